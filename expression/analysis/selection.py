"""Which genes do models come back to, refitted on other patients, and under permuted labels?

Complementary-pairs stability selection: the models are refitted on both halves of many random
splits of the patients. A subsample selects its first genes, in the order of their mean rank over
the models; a gene is selected that most subsamples select. How many genes are the first follows
from a bound on the expected number of falsely selected genes, those that a subsample selects no
more often than a gene drawn at random, and so from the number of genes alone.

References: Meinshausen & Bühlmann (2010), JRSS B 72:417; Shah & Samworth (2013), JRSS B 75:55
(complementary pairs, bounds); Nogueira, Sechidis & Brown (2018), JMLR 18(174) (stability index).
"""

import math
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from expression.analysis import splits
from expression.analysis.models import Unfitted, gene_importance
from expression.analysis.tuning import fit
from expression.errors import refusal
from expression.parallel import run_parallel

SELECTED_FROM = 0.75  # of the subsamples, from which on a gene is selected
SUBSETS = 5  # of the patients, each without another fifth
RESAMPLES = 200  # of the pairs
# Of controls: frequencies scatter more, for less time. With 5 pairs of permuted labels the scatter
# alone selects genes.
PERMUTED_PAIRS = 8
SUBSET_PAIRS = 5
POOR = 0.4  # as Nogueira et al. read their index
# Shah & Samworth search the extreme distribution with R's `optimize`, to this tolerance. The same
# here gives the same bounds; the exact maximum is up to 5 % larger.
TOLERANCE = np.finfo(float).eps ** 0.25


class Rule(NamedTuple):
    """When a gene is selected, and what that promises."""

    pairs: int  # of complementary subsamples
    first: int  # q: how many genes a subsample selects
    bound: float  # on the expected number of falsely selected genes, under r-concavity
    worst_case: float  # the same without an assumption on their distribution


class PatientSet(NamedTuple):
    """Patients to select genes on, and a seed for what is drawn from them."""

    rows: np.ndarray  # of X, patients x genes
    y: np.ndarray  # their classes, as whole numbers
    seed: int | list[int]
    groups: np.ndarray | None = None  # the person of each row, None where each is of another


class Controls(NamedTuple):
    """What a rule does elsewhere: with other subsamples, permuted labels, fewer patients."""

    resampled: pd.DataFrame  # which genes are selected, resamples of the pairs x genes
    permuted: pd.DataFrame  # selection frequencies, permutations x genes
    permuted_pairs: int  # of subsamples, of each permutation
    subsets: pd.DataFrame  # which genes are selected, subsets x genes
    subset_pairs: int
    resampled_of_all: pd.DataFrame  # as `resampled`, of as few pairs as a subset has

    @property
    def permuted_counts(self) -> pd.Series:
        """How many genes are selected with each permutation of the labels."""
        return (self.permuted >= SELECTED_FROM).sum(axis=1)

    @property
    def resampled_range(self) -> list[int]:
        """How few and how many genes are selected in 95 % of the resamples."""
        return range_of_most(self.resampled.sum(axis=1))

    @property
    def resampled_agreement(self) -> float:
        """How alike two resamples are, and so two seeds: the mean Jaccard index of neighbours.

        Genes that both select, among those that either selects; 1 where neither selects any.
        """
        selected = self.resampled.to_numpy()
        one, other = selected[:-1], selected[1:]
        either = (one | other).sum(axis=1)
        shared = (one & other).sum(axis=1)
        return float(np.mean(np.where(either > 0, shared / np.maximum(either, 1), 1.0)))


def range_of_most(counts: pd.Series) -> list[int]:
    """Return the range of the middle 95 % of counts."""
    return np.quantile(counts, [0.025, 0.975], method="inverted_cdf").tolist()


def choose_rule(genes: int, pairs: int, expected_false: float) -> Rule:
    """Return the rule of the largest q whose bound is at most `expected_false`.

    DataError when not even one gene of each subsample keeps it.
    """
    least = false_selections(genes, 1, SELECTED_FROM, pairs)
    if least > expected_false:
        rule = f"must be at least {math.ceil(1000 * least) / 1000:g} with {pairs} pairs"
        found = f"found {expected_false:g}"
        raise refusal("--expected-false", rule, found, "raise it, or the number of --pairs")
    # The bound grows with q
    first = bisect_right(
        range(1, genes),
        expected_false,
        key=lambda q: false_selections(genes, q, SELECTED_FROM, pairs),
    )
    return Rule(
        pairs=pairs,
        first=first,
        bound=false_selections(genes, first, SELECTED_FROM, pairs),
        worst_case=first**2 / genes / (2 * SELECTED_FROM - 1),
    )


def false_selections(genes: int, first: int, threshold: float, pairs: int) -> float:
    """Return the bound on the expected number of falsely selected genes (equation 8 of Shah &
    Samworth): the share of subsamples that select a gene is taken to be -1/4-concave, the share of
    pairs of which both do -1/2-concave."""
    share = first / genes
    both = tail_bound(share**2, 2 * threshold - 1, pairs, -1 / 2)
    single = tail_bound(share, threshold, 2 * pairs, -1 / 4)
    return genes * min(both, single)


def tail_bound(mean: float, threshold: float, n: int, r: float) -> float:
    """Return the largest P(X >= threshold) of r-concave X on 0, 1/n, ..., 1 of that mean.

    The extreme distribution has the weights ``(a + i) ** (1 / r)`` on 0, ..., k, and on k + 1 what
    gives it the mean, from none (at the upper limit of a) to a weight of its own (at the lower).
    """
    steps = mean * n
    least = math.ceil(round(threshold * n, 9))
    smallest = math.ceil(2 * steps)  # of fewer steps not even equal weights reach the mean
    if least <= smallest or smallest + 1 >= n:
        return 1.0

    tails = []
    lower = 1e5
    while _excess_mean(lower, smallest + 1, steps, r) < 0:  # of very many steps
        lower *= 10
    for k in range(smallest, n):
        upper = lower
        lower = optimize.brentq(_excess_mean, 1e-5, upper, args=(k + 1, steps, r))
        if k > smallest and k + 1 >= least:
            best = optimize.minimize_scalar(
                _below_threshold,
                bounds=(lower, upper),
                args=(k, least, steps, r),
                method="bounded",
                options={"xatol": TOLERANCE},
            )
            tails.append(1 - best.fun)
    return float(max(tails))


def _weights(a: float, k: int, r: float) -> np.ndarray:
    return (a + np.arange(k + 1)) ** (1 / r)


def _excess_mean(a: float, k: int, steps: float, r: float) -> float:
    """Return by how much the mean of the weights on 0, ..., k exceeds so many steps."""
    weights = _weights(a, k, r)
    return weights @ np.arange(k + 1) / weights.sum() - steps


def _below_threshold(a: float, k: int, least: int, steps: float, r: float) -> float:
    """Return P(X < least) of the weights on 0, ..., k and what k + 1 needs for the mean."""
    weights = _weights(a, k, r)
    return (k + 1 - steps) * weights[:least].sum() / (weights @ np.arange(k + 1, 0, -1))


def refit_on_pairs(
    models: dict[str, Unfitted],
    X: pd.DataFrame,
    patient_sets: list[PatientSet],
    rule: Rule,
    label: str,
) -> np.ndarray:
    """Return which genes are selected: patient sets x subsamples x (models, then all of them) x
    genes. Of two subsamples after another one is the complement of the other."""
    values = X.to_numpy()
    tasks = [
        (models, values, X.columns, half.rows, half.y, half.seed, rule.first)
        for patients in patient_sets
        for half in draw_pairs(patients, rule.pairs)
    ]
    selected = run_parallel(_select_on_subsample, tasks, label)
    return np.reshape(selected, (len(patient_sets), 2 * rule.pairs, len(models) + 1, X.shape[1]))


def draw_pairs(patients: PatientSet, pairs: int) -> list[PatientSet]:
    """Return stratified halves of patients, complementary ones after another, each with a seed.

    All rows of one person are in the same half.
    """
    rng = np.random.default_rng(patients.seed)
    halves = splits.halves(patients.y, patients.groups, pairs, int(rng.integers(2**31)))
    return [
        part_of(patients, half, seed=int(rng.integers(2**31))) for pair in halves for half in pair
    ]


def part_of(patients: PatientSet, chosen: np.ndarray, seed: int | list[int]) -> PatientSet:
    """Return the patients at the chosen positions, with a seed of their own."""
    groups = None if patients.groups is None else patients.groups[chosen]
    return PatientSet(patients.rows[chosen], patients.y[chosen], seed, groups)


def _select_on_subsample(models, X, genes, rows, y, seed, first) -> np.ndarray:
    """Return which genes each model and all of them select on one subsample, rows of X."""
    fitted = fit({name: u._replace(seed=seed) for name, u in models.items()}, X[rows], y)
    importances = [
        gene_importance(f.unfitted.model.importance, f.pipeline, genes) for f in fitted.values()
    ]
    return select_genes(np.array(importances), first)


def select_genes(importances: np.ndarray, first: int) -> np.ndarray:
    """Return which genes are among the first: of each model, then by their mean rank over them.

    importances: models x genes, 0 where a model does not use a gene, which it then does not select;
    the result: (models, then all of them) x genes.
    """
    ranks = rank_genes(importances)
    of_each = (ranks <= first) & (importances > 0)
    of_all = rank_genes(-ranks.mean(axis=0)) <= first
    return np.vstack([of_each, of_all])


def rank_genes(importances: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis, 1 for the largest; ties share the worse rank."""
    return stats.rankdata(-importances, axis=-1, method="max").astype(int)


def run_controls(
    models: dict[str, Unfitted],
    X: pd.DataFrame,
    everybody: PatientSet,
    selected: np.ndarray,
    rule: Rule,
    permutations: int,
    seed: int,
) -> Controls:
    """Return what the rule does with other subsamples, with permuted labels, and without each fifth
    of the patients.

    `selected`: subsamples x genes, what everybody with the true labels selects by mean rank.
    """
    permuted_pairs = min(rule.pairs, PERMUTED_PAIRS)
    subset_pairs = min(rule.pairs, SUBSET_PAIRS)

    def frequencies(patient_sets: list[PatientSet], pairs: int, label: str) -> pd.DataFrame:
        refitted = refit_on_pairs(models, X, patient_sets, rule._replace(pairs=pairs), label)
        return pd.DataFrame(refitted[:, :, -1].mean(axis=1), columns=X.columns)

    def resamples(pairs: int) -> pd.DataFrame:
        return pd.DataFrame(resample_pairs(selected, pairs, seed), columns=X.columns)

    permuted_sets = permute_labels(everybody, permutations, seed)
    subsets = leave_out_fifths(everybody, seed)
    return Controls(
        resampled=resamples(rule.pairs),
        permuted=frequencies(permuted_sets, permuted_pairs, "permuted labels"),
        permuted_pairs=permuted_pairs,
        subsets=frequencies(subsets, subset_pairs, "fewer patients") >= SELECTED_FROM,
        subset_pairs=subset_pairs,
        resampled_of_all=resamples(subset_pairs),
    )


def resample_pairs(selected: np.ndarray, drawn: int, seed: int) -> np.ndarray:
    """Return which genes so many other pairs might select: bootstrap resamples x genes.

    `selected` is subsamples x genes, complementary ones after another. As each has patients and a
    random state of its own, another seed does no more than draw other pairs, the settings kept.
    """
    pairs = len(selected) // 2
    rng = np.random.default_rng([seed, 4])
    times_drawn = rng.multinomial(drawn, np.full(pairs, 1 / pairs), RESAMPLES)
    selected_by = times_drawn @ selected.reshape(pairs, 2, -1).sum(axis=1)
    return selected_by >= SELECTED_FROM * 2 * drawn


def permute_labels(everybody: PatientSet, permutations: int, seed: int) -> list[PatientSet]:
    """Return all patients with permuted classes, each time others; one more changes no other."""
    permuted = []
    for n in range(permutations):
        rng = np.random.default_rng([seed, 3, n])
        labels = splits.permute_labels(everybody.y, everybody.groups, rng)
        permuted.append(everybody._replace(y=labels, seed=[seed, 1, n]))
    return permuted


def leave_out_fifths(everybody: PatientSet, seed: int) -> list[PatientSet]:
    """Return the patients without one of `SUBSETS` parts of them, stratified, for each part."""
    folds = splits.stratified_folds(everybody.y, everybody.groups, SUBSETS, seed)
    return [part_of(everybody, others, seed=[seed, 2, n]) for n, (others, _) in enumerate(folds)]


def nogueira_stability(selected: np.ndarray) -> float:
    """Return the stability index of Nogueira et al. (2018).

    `selected` is lists x genes, True where a list has a gene. 1: always the same genes; 0 is
    expected of random lists; NaN if none or all are selected. Equals Fleiss' kappa.
    """
    lists = len(selected)
    frequency = selected.mean(axis=0)
    mean = frequency.mean()
    if mean in (0, 1):
        return np.nan
    variance = (frequency * (1 - frequency)).mean() * lists / (lists - 1)
    return 1 - variance / (mean * (1 - mean))


def stability_table(lists: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return how alike selections are, each of `lists` lists x genes."""
    rows = {
        name: {
            "genes (mean)": selected.sum(axis=1).mean(),
            "stability": nogueira_stability(selected),
        }
        for name, selected in lists.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
