"""Array intensities -> comparable features, as scikit-learn steps.

The steps and their thresholds are fixed in advance, from the literature and never from test
results: clip to [100, 16000], keep the genes that vary (of very many the most variable), log2,
standardise each array. Only the variation filter learns anything, and it learns it from the
patients it is fitted on; inside a `Pipeline` those are the training patients of the fold at hand.

Reference: Dudoit, Fridlyand & Speed (2002), Comparison of discrimination methods for the
classification of tumors using gene expression data, JASA 97:77-87.
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import FunctionTransformer, scale
from sklearn.utils.validation import check_is_fitted, validate_data

from expression.files import DataError

FLOOR, CEILING = 100, 16_000
MIN_FOLD, MIN_DIFFERENCE = 5, 500
MIN_GENES = 10  # fewer are no expression profile, and leave a selection of genes nothing to take
MAX_GENES = 5_000  # of those that vary enough, the most variable

Steps = list[tuple[str, BaseEstimator]]


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
    max_genes : int or None
        Of more genes that vary, keep those of largest variance of log2 values; X must be positive.

    Attributes
    ----------
    support_ : ndarray of bool of shape (n_features_in_,)
        The genes that are kept.
    """

    def __init__(
        self, min_fold=MIN_FOLD, min_difference=MIN_DIFFERENCE, min_genes=1, max_genes=None
    ):
        self.min_fold = min_fold
        self.min_difference = min_difference
        self.min_genes = min_genes
        self.max_genes = max_genes

    def fit(self, X, y=None):
        """Learn which genes of X, patients x genes, vary; `y` is ignored.

        Raises
        ------
        DataError
            When fewer than `min_genes` vary enough.
        """
        X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        largest, smallest = X.max(axis=0), X.min(axis=0)
        varies = largest > self.min_fold * smallest
        varies &= largest - smallest > self.min_difference
        if (found := varies.sum()) < self.min_genes:
            raise DataError(
                f"expression values: at least {self.min_genes} genes must vary more than "
                f"{self.min_fold}-fold and by more than {self.min_difference} - found {found} of "
                f"{X.shape[1]} among {X.shape[0]} patients; check the scale (see --expression)"
            )
        self.support_ = keep_most_variable(X, varies, self.max_genes)
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.support_


def keep_most_variable(X: np.ndarray, candidates: np.ndarray, limit: int | None) -> np.ndarray:
    """Return a mask of at most `limit` candidate columns: those whose log2 values vary most."""
    columns = np.flatnonzero(candidates)
    if limit is None or len(columns) <= limit:
        return candidates
    variance = np.log2(X[:, columns]).var(axis=0)
    kept = columns[np.argsort(-variance, kind="stable")[:limit]]
    return np.isin(np.arange(X.shape[1]), kept)


class Preprocessing(NamedTuple):
    """The steps between the values of a data set and a model; settled when the data are loaded."""

    max_genes: int | None = MAX_GENES

    def filtered_steps(self) -> Steps:
        """Return the steps that leave intensities: clip them, keep the genes that vary."""
        variation = VariationFilter(min_genes=MIN_GENES, max_genes=self.max_genes)
        return [("clip", _named_step(np.clip, a_min=FLOOR, a_max=CEILING)), ("filter", variation)]

    def log2_steps(self) -> Steps:
        """Return the steps up to log2 values, before each array is standardised."""
        return [*self.filtered_steps(), ("log2", _named_step(np.log2))]

    def steps(self) -> Steps:
        """Return all steps, as the beginning of a `Pipeline`; names survive all of them."""
        standardise = _named_step(scale, axis=1)  # each array to mean 0, variance 1
        return [*self.log2_steps(), ("standardise", standardise)]


def _named_step(function, **options):
    return FunctionTransformer(function, kw_args=options, feature_names_out="one-to-one")
