"""Expression values -> comparable features, as scikit-learn steps.

The steps and their thresholds are fixed in advance, from the literature and never from test
results. Array intensities: clip to [100, 16000], keep the genes that vary, log2. Counts per
million: keep the genes that are expressed, log2(x + 1). Log-ratios stay as they are. Of very many
genes the most variable are kept, and each array is standardised over those. Only the filter learns
anything, from the patients it is fitted on; inside a `Pipeline` those are the training patients of
the fold at hand.

The thresholds of intensities are in units of the published arrays, to which a cohort of any other
scanner is brought by one factor when it is loaded (`factor_to_published`).

References: Dudoit, Fridlyand & Speed (2002), JASA 97:77 (intensities, log-ratios); Affymetrix
(2002), Statistical Algorithms Description Document (the trimmed mean that MAS 5 scales arrays by);
Chen, Lun & Smyth (2016), F1000Research 5:1438 (the idea of edgeR's filterByExpr).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from scipy.stats import trim_mean
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

TRIMMED = 0.02  # of an array's genes, lowest and highest, are left out of its mean, as in MAS 5
PUBLISHED_LEVEL = 403.9290723155588  # `typical_level` of the 38 published training patients
# Decimals that values have once they are brought to the published level. So no threshold falls
# between two roundings, and the same values times 3 give the same bytes; the floor is 100.
DECIMALS = 3

Steps = list[tuple[str, BaseEstimator]]


# --- what values are, and which genes of them are kept --------------------------------------------


def log2_plus_one(X: np.ndarray) -> np.ndarray:
    """Return log2(X + 1), which is 0 for 0."""
    return np.log2(X + 1)


def vary_enough(X: np.ndarray, min_share: float) -> np.ndarray:
    """Return which genes of positive intensities vary by a fold and a difference."""
    largest, smallest = X.max(axis=0), X.min(axis=0)
    return (largest > MIN_FOLD * smallest) & (largest - smallest > MIN_DIFFERENCE)


def are_expressed(X: np.ndarray, min_share: float) -> np.ndarray:
    """Return which genes reach `MIN_CPM` in at least two patients, and `min_share` of them."""
    return (X >= MIN_CPM).sum(axis=0) >= max(2, round(min_share * len(X)))


def vary_at_all(X: np.ndarray, min_share: float) -> np.ndarray:
    """Return which genes are not constant."""
    return X.max(axis=0) > X.min(axis=0)


class Unit(NamedTuple):
    """What the values of loaded data are, and what is done with them: an entry of `UNITS`."""

    passing: Callable[[np.ndarray, float], np.ndarray]  # which genes of X, patients x genes, pass
    rule: str  # that they pass by, of a `share` of the patients
    finding: str  # the same of training patients, of whom `least` are of the smaller class
    log2: Callable[[np.ndarray], np.ndarray] | None  # None of logarithms
    limits: tuple[float, float] | None = None  # that values are clipped to


UNITS = {  # by `Preprocessing.scale`
    "intensity": Unit(
        vary_enough,
        rule=f"vary more than {MIN_FOLD}-fold and by more than {MIN_DIFFERENCE}",
        finding="vary enough in the training patients",
        log2=np.log2,
        limits=(FLOOR, CEILING),
    ),
    "counts": Unit(
        are_expressed,
        rule=f"reach {MIN_CPM} per million in {{share:.0%}} of the patients",
        finding=f"reach {MIN_CPM} per million in {{least}} or more training patients",
        log2=log2_plus_one,
    ),
    "log-ratio": Unit(
        vary_at_all,
        rule="vary",
        finding="vary in the training patients",
        log2=None,
    ),
}


# --- what the values of a file may be -------------------------------------------------------------

LOG_BASES = {"2": 2.0, "10": 10.0, "e": np.e}  # by --log-base
LOG_NAMES = {"2": "log2", "10": "log10", "e": "natural log"}


class Scale(NamedTuple):
    """One scale that the values of a file may have, an entry of `SCALES`.

    `description` says what the values must be; `{log}` stands for the name of the logarithm.
    """

    description: str
    unit: str  # of `UNITS`, once logarithms are turned back and each patient's counts are scaled
    logged: str = ""  # what the values are logarithms of
    added: int = 0  # before the logarithm was taken
    largest: float = np.inf  # that values can be before the logarithm was taken

    @property
    def is_logged(self) -> bool:
        return bool(self.logged)

    @property
    def is_counted(self) -> bool:
        return self.unit == "counts"

    @property
    def is_ratio(self) -> bool:
        return self.unit == "log-ratio"

    def describe(self, log_base: str | None) -> str:
        return self.description.format(log=LOG_NAMES[log_base or "2"])

    def turn_back(self, X: np.ndarray, log_base: str | None) -> np.ndarray:
        """Return values of which X are the logarithms; of ratios, their logarithms to base 2."""
        base = LOG_BASES[log_base or "2"]
        if self.is_ratio:
            return X if base == 2 else X * np.log2(base)
        if not self.is_logged:
            return X
        values = np.exp2(X) if base == 2 else np.power(base, X)
        values -= self.added  # in place, as X is the largest thing in memory
        return values


SCALES = {  # by --expression
    "intensity": Scale("array intensities", unit="intensity"),
    # Eight times what the 16 bits of a scanner hold leaves room for re-scaled arrays
    "log": Scale("{log} values", unit="intensity", logged="intensities", largest=2**19),
    "counts": Scale("counts, CPM or TPM", unit="counts"),
    "log-counts": Scale(
        "{log}(x + 1) of counts, CPM or TPM",
        unit="counts",
        logged="counts, CPM or TPM",
        added=1,
        largest=1e6,
    ),
    "log-ratio": Scale("log-ratios or z-scores", unit="log-ratio"),
}


# --- one factor for a cohort of intensities -------------------------------------------------------


def typical_level(arrays: Iterable[np.ndarray]) -> float:
    """Return the median over arrays of the trimmed mean of each one's intensities.

    Values below 0 count as 0: they say "not above background", and whether a scanner's software
    writes them at all, or floors them, must not matter.
    """
    return float(np.median([trim_mean(np.maximum(array, 0), TRIMMED) for array in arrays]))


def factor_to_published(level: float) -> float:
    """Return what intensities of this typical level times is of the published arrays'."""
    return PUBLISHED_LEVEL / level


def rescale(X: np.ndarray, factor: float) -> np.ndarray:
    """Return intensities times the factor of their cohort, rounded; as they are, if that is 1."""
    if factor == 1:
        return X
    X = X * factor
    return np.round(X, DECIMALS, out=X)


# --- the steps ------------------------------------------------------------------------------------


class GeneFilter(SelectorMixin, BaseEstimator):
    """Keep the genes that pass; of more than `max_genes`, those whose log2 values vary most.

    `scale` "intensity": of positive values, max > 5 * min and max - min > 500. "counts", per
    million: two patients and `min_share` of them express the gene, whatever their class. That is
    the share of the smaller class in training, so that a gene of one class alone can pass, and
    folds need no labels to know it. "log-ratio": all that are not constant. `support_`: the genes
    kept; `n_passing_`: how many passed. DataError when fewer than `min_genes` pass.
    """

    def __init__(self, scale="intensity", min_share=0.5, min_genes=1, max_genes=None):
        self.scale = scale
        self.min_share = min_share
        self.min_genes = min_genes
        self.max_genes = max_genes

    def fit(self, X, y=None):
        """Learn which genes of X, patients x genes, to keep."""
        X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        unit = UNITS[self.scale]
        passing = unit.passing(X, self.min_share)
        self.n_passing_ = int(passing.sum())
        if self.n_passing_ < self.min_genes:
            rule = f"at least {self.min_genes} genes must {unit.rule.format(share=self.min_share)}"
            found = f"found {self.n_passing_} of {X.shape[1]} among {X.shape[0]} patients"
            advice = "check the scale (see --expression; logarithms: --log-base)"
            raise refusal("expression values", rule, found, advice)
        self.support_ = passing
        if self.max_genes is not None and self.n_passing_ > self.max_genes:
            columns = np.flatnonzero(passing)
            blocks = np.array_split(columns, 1 + len(columns) // BLOCK)
            log2 = unit.log2 or np.asarray
            variance = [log2(X[:, block]).var(axis=0) for block in blocks]
            kept = columns[np.argsort(-np.concatenate(variance), kind="stable")[: self.max_genes]]
            self.support_ = np.isin(np.arange(X.shape[1]), kept)
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.support_


class Preprocessing(NamedTuple):
    """The steps between the values of a data set and a model; settled when the data are loaded."""

    max_genes: int | None = MAX_GENES
    scale: str = "intensity"  # of `UNITS`
    min_share: float = 0.5  # of the patients who must express a gene, where it is counted

    def filtered_steps(self) -> Steps:
        """Return the steps that leave the values' unit: clip intensities, keep genes."""
        keep = ("filter", GeneFilter(self.scale, self.min_share, MIN_GENES, self.max_genes))
        limits = UNITS[self.scale].limits
        if limits is None:
            return [keep]
        return [("clip", _named_step(np.clip, a_min=limits[0], a_max=limits[1])), keep]

    def log2_steps(self) -> Steps:
        """Return the steps up to log2 values, before each array is standardised."""
        log2 = UNITS[self.scale].log2
        if log2 is None:
            return self.filtered_steps()
        return [*self.filtered_steps(), ("log2", _named_step(log2))]

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
