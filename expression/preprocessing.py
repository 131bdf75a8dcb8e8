"""Expression values -> comparable features, as scikit-learn steps.

The steps and their thresholds are fixed in advance, from the literature and never from test
results. Array intensities: clip to [100, 16000], keep the genes that vary, log2. Counts per
million: keep the genes that are expressed, log2(x + 1). Of very many genes the most variable are
kept, and each array is standardised over those. Only the filter learns anything, from the patients
it is fitted on; inside a `Pipeline` those are the training patients of the fold at hand.

References: Dudoit, Fridlyand & Speed (2002), JASA 97:77 (intensities); Chen, Lun & Smyth (2016),
F1000Research 5:1438 (the idea of edgeR's filterByExpr).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import FunctionTransformer, scale
from sklearn.utils.validation import check_is_fitted, validate_data

from expression.errors import refusal

MIN_GENES = 10  # fewer are no expression profile, and leave a selection of genes nothing to take
MAX_GENES = 5_000  # of those that pass the filter, the most variable
FLOOR = 100  # of intensities
CEILING = 16_000
MIN_FOLD = 5
MIN_DIFFERENCE = 500
# Counts per million at which a gene is expressed: filterByExpr's 10 counts in a library of ten
# million reads. CPM and TPM no longer tell how large a library was, so that all are held to it.
MIN_CPM = 1
BLOCK = 2_000  # genes whose logarithms are held at once; of all they would take three times X

Steps = list[tuple[str, BaseEstimator]]


def log2_plus_one(X: np.ndarray) -> np.ndarray:
    """Return log2(X + 1), which is 0 for 0."""
    return np.log2(X + 1)


def exp2_minus_one(X: np.ndarray) -> np.ndarray:
    """Return 2**X - 1, which turns `log2_plus_one` back."""
    values = np.exp2(X)
    values -= 1  # in place, as X is the largest thing in memory
    return values


LOG2 = {"intensity": np.log2, "counts": log2_plus_one}  # of values on each scale


class Scale(NamedTuple):
    """One scale that the values of a file may have, an entry of `SCALES`."""

    description: str  # of what the values must be
    filtered_as: str  # "intensity", or "counts" once each patient is scaled to a million
    turn_back: Callable[[np.ndarray], np.ndarray] | None = None  # logarithms into values

    @property
    def is_logged(self) -> bool:
        return self.turn_back is not None

    @property
    def is_counted(self) -> bool:
        return self.filtered_as == "counts"


SCALES = {  # by --expression
    "intensity": Scale("array intensities", filtered_as="intensity"),
    "log": Scale("log2 values", filtered_as="intensity", turn_back=np.exp2),
    "counts": Scale("counts, CPM or TPM", filtered_as="counts"),
    "log-counts": Scale(
        "log2(x + 1) of counts, CPM or TPM", filtered_as="counts", turn_back=exp2_minus_one
    ),
}


class GeneFilter(SelectorMixin, BaseEstimator):
    """Keep the genes that pass; of more than `max_genes`, those whose log2 values vary most.

    `scale` "intensity": of positive values, max > 5 * min and max - min > 500. "counts", per
    million: two patients and `min_share` of them express the gene, whatever their class. That is
    the share of the smaller class in training, so that a gene of one class alone can pass, and
    folds need no labels to know it. `support_`: the genes kept; `n_passing_`: how many passed.
    DataError when fewer than `min_genes` pass.
    """

    def __init__(self, scale="intensity", min_share=0.5, min_genes=1, max_genes=None):
        self.scale = scale
        self.min_share = min_share
        self.min_genes = min_genes
        self.max_genes = max_genes

    def fit(self, X, y=None):
        """Learn which genes of X, patients x genes, to keep."""
        X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        if self.scale == "counts":
            passing = (X >= MIN_CPM).sum(axis=0) >= max(2, round(self.min_share * len(X)))
            rule = f"reach {MIN_CPM} per million in {self.min_share:.0%} of the patients"
        else:
            largest, smallest = X.max(axis=0), X.min(axis=0)
            passing = (largest > MIN_FOLD * smallest) & (largest - smallest > MIN_DIFFERENCE)
            rule = f"vary more than {MIN_FOLD}-fold and by more than {MIN_DIFFERENCE}"
        self.n_passing_ = int(passing.sum())
        if self.n_passing_ < self.min_genes:
            found = f"found {self.n_passing_} of {X.shape[1]} among {X.shape[0]} patients"
            rule = f"at least {self.min_genes} genes must {rule}"
            advice = "check the scale (see --expression; logarithms: base 2)"
            raise refusal("expression values", rule, found, advice)
        self.support_ = passing
        if self.max_genes is not None and self.n_passing_ > self.max_genes:
            columns = np.flatnonzero(passing)
            blocks = np.array_split(columns, 1 + len(columns) // BLOCK)
            variance = [LOG2[self.scale](X[:, block]).var(axis=0) for block in blocks]
            kept = columns[np.argsort(-np.concatenate(variance), kind="stable")[: self.max_genes]]
            self.support_ = np.isin(np.arange(X.shape[1]), kept)
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.support_


class Preprocessing(NamedTuple):
    """The steps between the values of a data set and a model; settled when the data are loaded."""

    max_genes: int | None = MAX_GENES
    scale: str = "intensity"  # or "counts", which are per million
    min_share: float = 0.5  # of the patients who must express a gene, where it is counted

    def filtered_steps(self) -> Steps:
        """Return the steps that leave the values' unit: clip intensities, keep genes."""
        keep = ("filter", GeneFilter(self.scale, self.min_share, MIN_GENES, self.max_genes))
        if self.scale == "counts":
            return [keep]
        return [("clip", _named_step(np.clip, a_min=FLOOR, a_max=CEILING)), keep]

    def log2_steps(self) -> Steps:
        """Return the steps up to log2 values, before each array is standardised."""
        return [*self.filtered_steps(), ("log2", _named_step(LOG2[self.scale]))]

    def steps(self) -> Steps:
        """Return all steps, as the beginning of a `Pipeline`; names survive all of them."""
        standardise = _named_step(scale, axis=1)  # each array to mean 0, variance 1
        return [*self.log2_steps(), ("standardise", standardise)]

    def steps_to(self, values: str) -> Steps:
        """Return the steps up to "filtered", "log2" or "standardised" values."""
        steps = {
            "filtered": self.filtered_steps,
            "log2": self.log2_steps,
            "standardised": self.steps,
        }
        return steps[values]()


def _named_step(function, **options):
    return FunctionTransformer(function, kw_args=options, feature_names_out="one-to-one")
