"""Laboratory or disease? What batches say of classes, and what is left of a result within them.

A batch is a laboratory, hospital, run, ... Where batch and class go together, no correction tells
the two apart, and cross-validation is strongly biased (Soneson, Gerster & Delorenzi 2014): so
nothing is corrected here, but measured: how far they go together, what the batch alone predicts,
and what holds among patients of one batch.

y and batches hold the class and the batch of the same patients.

References: Soneson, Gerster & Delorenzi (2014), PLoS ONE 9:e100335; Goodman & Kruskal (1954), J.
Am. Stat. Assoc. 49:732 (tau); van Elteren (1960), Bull. Inst. Int. Stat. 37:351 (stratified rank
test); Kruskal & Wallis (1952), J. Am. Stat. Assoc. 47:583.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from expression.data import MIN_PATIENTS

RANDOM_TABLES = 999
PERMUTATIONS = 9_999
MOST_ARRANGEMENTS = 20_000  # of classes within batches, for an exact p
LEVEL = 0.05
# Of tau, from which on batch and class go together in part, and can hardly be told apart
IN_PART = 0.1
HARDLY_APART = 0.5


class Association(NamedTuple):
    """How far batch and class go together."""

    tau: float  # the share of the uncertainty of the class that the batch takes away, 0 to 1
    p: float  # of as much where batch and class have nothing to do with each other

    @property
    def matters(self) -> bool:
        """Whether the two go together, beyond chance and so far that results may hang on it."""
        return self.p < LEVEL and self.tau >= IN_PART

    @property
    def in_words(self) -> str:
        """How far the two can be told apart, and why, where it matters."""
        if self.tau == 1:
            return "cannot be told apart (every batch holds one class only)"
        degree = "can hardly be told apart" if self.tau >= HARDLY_APART else "go together in part"
        return f"{degree} (the batch takes away {self.tau:.0%} of the uncertainty about the class)"


def associate(y: pd.Series, batches: pd.Series) -> Association:
    """Return Goodman & Kruskal's tau of the class given the batch, and a permutation p.

    1: every batch holds one class only. Uncertainty: the chance that two patients, drawn with
    replacement, are of different classes.
    """
    counts = pd.crosstab(batches.to_numpy(), y.astype(str).to_numpy()).to_numpy()
    tau = _tau(counts)
    if min(counts.shape) < 2:
        return Association(tau, 1.0)
    rng = np.random.default_rng(0)  # not the user's seed: what is said of the data stays the same
    null = stats.random_table(counts.sum(axis=1), counts.sum(axis=0), seed=rng)
    draws = null.rvs(RANDOM_TABLES, method="patefield")
    as_large = sum(_tau(draw) >= tau - 1e-9 for draw in draws)
    return Association(tau, (1 + as_large) / (1 + RANDOM_TABLES))


def _tau(counts: np.ndarray) -> float:
    """Return tau of a table of batches x classes; 0 where there is one class only."""
    n = counts.sum()
    alike = np.square(counts.sum(axis=0) / n).sum()
    alike_within = (np.square(counts).sum(axis=1) / counts.sum(axis=1)).sum() / n
    return float((alike_within - alike) / (1 - alike)) if alike < 1 else 0.0


def batch_alone(
    y_train: pd.Series, batches_train: pd.Series, y_test: pd.Series, batches_test: pd.Series
) -> tuple[int, int]:
    """Return how many test patients a rule that knows only the batch gets right.

    It takes patients of a training batch for its larger class; of those of other batches nothing
    is known, so they are all taken for one class: the worst choice of it, and the best.
    """
    larger_class = y_train.astype(str).groupby(batches_train).agg(lambda classes: classes.mode()[0])
    predicted = batches_test.map(larger_class)
    is_known = predicted.notna()
    of_known = (predicted == y_test.astype(str))[is_known].sum()
    of_others = y_test[~is_known].value_counts()
    return int(of_known + of_others.min()), int(of_known + of_others.max())


def leave_one_out(
    y: pd.Series, batches: pd.Series, groups: pd.Series | None
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """Return the (train, test) positions that leave each batch out, and the batches that cannot be,
    as others hold fewer than `MIN_PATIENTS` patients of a class.

    Other arrays of people in the batch are in neither part.
    """
    people = pd.Series(y.index, y.index) if groups is None else groups.loc[y.index]
    splits = {}
    impossible = []
    for batch in sorted(batches.unique()):
        in_batch = (batches == batch).to_numpy()
        others = ~people.isin(people[in_batch]).to_numpy()
        left = people[others].groupby(y[others], observed=False).nunique()
        if left.min() < MIN_PATIENTS:
            impossible.append(batch)
        else:
            splits[batch] = np.flatnonzero(others), np.flatnonzero(in_batch)
    return splits, impossible


# --- within batches -------------------------------------------------------------------------------


def pairs_by_batch(classes: np.ndarray, batches: np.ndarray) -> dict[str, int]:
    """Return the number of pairs of patients of different classes in each batch that has any."""
    counts = pd.crosstab(batches, classes)
    pairs = (counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)) // 2
    return {str(batch): int(count) for batch, count in pairs.items() if count}


def auc_within(values: np.ndarray, is_positive: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Return the AUC of each column of values, patients x columns, within batches.

    The share of the pairs of a positive and another patient of one batch in which the positive has
    the higher value; ties count half. NaN where there is no such pair.
    """
    pairs = sum(pairs_by_batch(is_positive, batches).values())
    if not pairs:
        return np.full(values.shape[1], np.nan)
    higher = np.zeros(values.shape[1])
    for of_batch in _members(batches):
        ranks = stats.rankdata(values[of_batch], axis=0)
        positive = is_positive[of_batch]
        n = positive.sum()
        higher += ranks[positive].sum(axis=0) - n * (n + 1) / 2
    return higher / pairs


def auc_within_p(values: np.ndarray, is_positive: np.ndarray, batches: np.ndarray) -> float:
    """Return the one-sided p of an AUC within batches, of one value a patient.

    The share of the arrangements of classes within batches that reach it: of all arrangements, or
    of `PERMUTATIONS` random ones where they are more than `MOST_ARRANGEMENTS`.
    """
    members = _members(batches)
    ranks = [stats.rankdata(values[of_batch]) for of_batch in members]
    positive = [is_positive[of_batch] for of_batch in members]
    observed = sum(of_batch[chosen].sum() for of_batch, chosen in zip(ranks, positive, strict=True))
    arrangements = math.prod(math.comb(len(chosen), int(chosen.sum())) for chosen in positive)
    if arrangements > MOST_ARRANGEMENTS:
        null = _random_rank_sums(ranks, positive)
        return float((1 + (null >= observed - 1e-9).sum()) / (1 + PERMUTATIONS))
    null = np.zeros(1)
    for of_batch, chosen in zip(ranks, positive, strict=True):
        sums = [sum(subset) for subset in itertools.combinations(of_batch, int(chosen.sum()))]
        null = np.add.outer(null, sums).ravel()
    return float((null >= observed - 1e-9).mean())


def _random_rank_sums(ranks: list[np.ndarray], positive: list[np.ndarray]) -> np.ndarray:
    rng = np.random.default_rng(0)
    null = np.zeros(PERMUTATIONS)
    for of_batch, chosen in zip(ranks, positive, strict=True):
        orders = np.tile(of_batch, (PERMUTATIONS, 1))
        null += rng.permuted(orders, axis=1)[:, : chosen.sum()].sum(axis=1)
    return null


def _members(batches: np.ndarray) -> list[np.ndarray]:
    """Return which patients are of each batch."""
    return [batches == batch for batch in np.unique(batches)]


def follow_batch(values: pd.DataFrame, y: pd.Series, batches: pd.Series) -> pd.DataFrame:
    """Return whether each column of values, patients x genes, differs between batches of one class.

    batch_p: of the Kruskal-Wallis statistics of the classes with two or more batches, summed, as
    are their degrees of freedom; batch_q: Benjamini & Hochberg. NaN where no class has two.
    """
    statistic = np.zeros(values.shape[1])
    degrees_of_freedom = 0
    for label in y.cat.categories:
        of_class = batches[y == label]
        parts = [values.loc[patients] for patients in of_class.groupby(of_class).groups.values()]
        if len(parts) > 1:
            with np.errstate(invalid="ignore"):  # 0 / 0 where all values are the same
                h = stats.kruskal(*(part.to_numpy() for part in parts), axis=0).statistic
            statistic += np.nan_to_num(h)
            degrees_of_freedom += len(parts) - 1
    if not degrees_of_freedom:
        return pd.DataFrame(np.nan, values.columns, ["batch_p", "batch_q"])
    p = stats.chi2.sf(statistic, degrees_of_freedom)
    q = stats.false_discovery_control(p)
    return pd.DataFrame({"batch_p": p, "batch_q": q}, values.columns)
