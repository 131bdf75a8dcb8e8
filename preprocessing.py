"""Intensities -> comparable features, as scikit-learn steps.

The steps and their thresholds are fixed in advance, from the literature and never from test
results: clip to [100, 16000], keep the genes that vary, log2, standardise each array. Only the
variation filter learns anything, and it learns it from the patients it is fitted on; inside a
`Pipeline` those are the training patients of the fold at hand.

Reference: Dudoit, Fridlyand & Speed (2002), Comparison of discrimination methods for the
classification of tumors using gene expression data, JASA 97:77-87.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import FunctionTransformer, scale
from sklearn.utils.validation import check_is_fitted, validate_data

from expression_data import DataError

FLOOR, CEILING = 100, 16_000
MIN_FOLD, MIN_DIFFERENCE = 5, 500
MIN_GENES = 10  # fewer are no expression profile, and leave a selection of genes nothing to take


class VariationFilter(SelectorMixin, BaseEstimator):
    """Keep the genes that vary: max > min_fold * min and max - min > min_difference.

    Parameters
    ----------
    min_fold : float
        Smallest ratio of a gene's largest to its smallest value, exclusive.
    min_difference : float
        Smallest difference of the two, exclusive, in the units of X.
    min_genes : int
        The fewest genes that must be kept.

    Attributes
    ----------
    max_, min_ : ndarray of shape (n_features_in_,)
        Extremes of each gene among the patients of the fit.
    """

    def __init__(self, min_fold=MIN_FOLD, min_difference=MIN_DIFFERENCE, min_genes=1):
        self.min_fold = min_fold
        self.min_difference = min_difference
        self.min_genes = min_genes

    def fit(self, X, y=None):
        """Learn each gene's extremes from X, patients x genes; `y` is ignored.

        Raises
        ------
        DataError
            When fewer than `min_genes` vary enough.
        """
        X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        self.max_, self.min_ = X.max(axis=0), X.min(axis=0)
        if (found := self._get_support_mask().sum()) < self.min_genes:
            raise DataError(
                f"expression values: at least {self.min_genes} genes must vary more than "
                f"{self.min_fold}-fold and by more than {self.min_difference} - found {found} of "
                f"{X.shape[1]} among {X.shape[0]} patients; check the scale (see --expression)"
            )
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        return (self.max_ > self.min_fold * self.min_) & (
            self.max_ - self.min_ > self.min_difference
        )


def preprocessing_steps(expression: str = "intensity") -> list[tuple[str, BaseEstimator]]:
    """Return the fixed steps as the beginning of a `Pipeline`; names survive all of them.

    Values that are already log2 (``expression="log"``) are turned back into intensities first,
    so that the same thresholds mean the same thing.
    """
    steps = [
        ("clip", _named_step(np.clip, a_min=FLOOR, a_max=CEILING)),
        ("filter", VariationFilter(min_genes=MIN_GENES)),
        ("log2", _named_step(np.log2)),
        ("standardise", _named_step(scale, axis=1)),  # each array to mean 0, variance 1
    ]
    return [("unlog", _named_step(np.exp2)), *steps] if expression == "log" else steps


def _named_step(function, **options):
    return FunctionTransformer(function, kw_args=options, feature_names_out="one-to-one")
