"""Expression values -> comparable features, as scikit-learn steps.

The steps and their thresholds are fixed in advance, from the literature and never from test
results. Array intensities: clip to [100, 16000], keep the genes that vary, log2. Counts per
million: keep the genes that are expressed, log2(x + 1). Of very many genes the most variable are
kept, and each array is standardised over those. Only the filters learn anything, and they learn it
from the patients they are fitted on; inside a `Pipeline` those are the training patients of the
fold at hand.

References: Dudoit, Fridlyand & Speed (2002), Comparison of discrimination methods for the
classification of tumors using gene expression data, JASA 97:77-87. Chen, Lun & Smyth (2016), From
reads to genes to pathways: differential expression analysis of RNA-Seq experiments using Rsubread
and the edgeR quasi-likelihood pipeline, F1000Research 5:1438 (the idea of edgeR's filterByExpr).
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
# Counts per million at which a gene is expressed: filterByExpr's 10 counts in a library of ten
# million reads. CPM and TPM no longer tell how large a library was, so that all are held to it.
MIN_CPM = 1
MIN_GENES = 10  # fewer are no expression profile, and leave a selection of genes nothing to take
MAX_GENES = 5_000  # of those that pass, the most variable

Steps = list[tuple[str, BaseEstimator]]


class _GeneFilter(SelectorMixin, BaseEstimator):
    """Keep the genes that pass, of more than `max_genes` those whose log2 values vary most.

    Attributes
    ----------
    support_ : ndarray of bool of shape (n_features_in_,)
        The genes that are kept.
    n_passing_ : int
        How many passed, before the most variable were taken.
    """

    def fit(self, X, y=None):
        """Learn which genes of X, patients x genes, to keep; `y` is ignored.

        Raises
        ------
        DataError
            When fewer than `min_genes` pass.
        """
        X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        passing = self._passing(X)
        self.n_passing_ = int(passing.sum())
        if self.n_passing_ < self.min_genes:
            raise DataError(
                f"expression values: at least {self.min_genes} genes must {self._rule()} - found "
                f"{self.n_passing_} of {X.shape[1]} among {X.shape[0]} patients; check the scale "
                "(see --expression)"
            )
        self.support_ = passing
        if self.max_genes is not None and self.n_passing_ > self.max_genes:
            columns = np.flatnonzero(passing)
            variance = self._log2(X[:, columns]).var(axis=0)
            kept = columns[np.argsort(-variance, kind="stable")[: self.max_genes]]
            self.support_ = np.isin(np.arange(X.shape[1]), kept)
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.support_


class VariationFilter(_GeneFilter):
    """Keep the genes of array intensities with max > min_fold * min, max - min > min_difference.

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
    """

    def __init__(
        self, min_fold=MIN_FOLD, min_difference=MIN_DIFFERENCE, min_genes=1, max_genes=None
    ):
        self.min_fold = min_fold
        self.min_difference = min_difference
        self.min_genes = min_genes
        self.max_genes = max_genes

    def _passing(self, X):
        largest, smallest = X.max(axis=0), X.min(axis=0)
        return (largest > self.min_fold * smallest) & (largest - smallest > self.min_difference)

    def _rule(self):
        return f"vary more than {self.min_fold}-fold and by more than {self.min_difference}"

    def _log2(self, X):
        return np.log2(X)


class ExpressedFilter(_GeneFilter):
    """Keep the genes of counts per million that enough patients express, whatever their class.

    Enough is a share of the patients: that of the smaller class among the training patients, so
    that a gene expressed in one class alone can pass, and folds need no labels to know it.

    Parameters
    ----------
    min_value : float
        Least value at which a patient expresses a gene, inclusive, in the units of X.
    min_share : float
        Least share of the patients that must, inclusive; at least two.
    min_genes, max_genes : int
        As of `VariationFilter`.
    """

    def __init__(self, min_value=MIN_CPM, min_share=0.5, min_genes=1, max_genes=None):
        self.min_value = min_value
        self.min_share = min_share
        self.min_genes = min_genes
        self.max_genes = max_genes

    def _passing(self, X):
        least = max(2, round(self.min_share * len(X)))
        return (self.min_value <= X).sum(axis=0) >= least

    def _rule(self):
        return f"reach {self.min_value} per million in {self.min_share:.0%} of the patients"

    def _log2(self, X):
        return log2_plus_one(X)


def log2_plus_one(X: np.ndarray) -> np.ndarray:
    """Return log2(X + 1), which is 0 for 0."""
    return np.log2(X + 1)


class Preprocessing(NamedTuple):
    """The steps between the values of a data set and a model; settled when the data are loaded."""

    max_genes: int | None = MAX_GENES
    scale: str = "intensity"  # or "counts", which are per million
    min_share: float = 0.5  # of the patients who must express a gene, where it is counted

    @property
    def unit(self) -> str:
        """What a value is, as on an axis."""
        return "counts per million" if self.scale == "counts" else "intensity"

    def filtered_steps(self) -> Steps:
        """Return the steps that leave the values' unit: clip intensities, keep genes."""
        limits = {"min_genes": MIN_GENES, "max_genes": self.max_genes}
        if self.scale == "counts":
            return [("filter", ExpressedFilter(min_share=self.min_share, **limits))]
        clip = _named_step(np.clip, a_min=FLOOR, a_max=CEILING)
        return [("clip", clip), ("filter", VariationFilter(**limits))]

    def log2_steps(self) -> Steps:
        """Return the steps up to log2 values, before each array is standardised."""
        log2 = log2_plus_one if self.scale == "counts" else np.log2
        return [*self.filtered_steps(), ("log2", _named_step(log2))]

    def steps(self) -> Steps:
        """Return all steps, as the beginning of a `Pipeline`; names survive all of them."""
        standardise = _named_step(scale, axis=1)  # each array to mean 0, variance 1
        return [*self.log2_steps(), ("standardise", standardise)]


def _named_step(function, **options):
    return FunctionTransformer(function, kw_args=options, feature_names_out="one-to-one")
