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
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from expression.analysis.models import Unfitted, gene_importance
from expression.analysis.tuning import fit
from expression.errors import refusal
from expression.parallel import run_parallel

SELECTED_FROM = 0.75  # of the subsamples, from which on a gene is selected
SUBSETS = 5  # of the patients, each without another fifth
RESAMPLES = 200  # of the pairs
FEWER_PAIRS = 10  # for permuted labels and subsets: frequencies scatter more, for half the time
POOR = 0.4  # as Nogueira et al. read their index
# Shah & Samworth search the extreme distribution with R's `optimize`, to this tolerance. The same
# here gives the same bounds; the exact maximum is up to 5 % larger.
PRECISION = {"xatol": np.finfo(float).eps ** 0.25}


class Rule(NamedTuple):
    """When a gene is selected, and what that promises."""

    pairs: int  # of complementary subsamples
    first: int  # q: how many genes a subsample selects
    bound: float  # on the expected number of falsely selected genes, under r-concavity
    worst_case: float  # the same without an assumption on their distribution


class Checks(NamedTuple):
    """What a rule does elsewhere: with other subsamples, permuted labels, fewer patients."""

    resampled: pd.DataFrame  # which genes are selected, resamples of the pairs x genes
    pairs: int  # of subsamples, of each permutation and each subset
    permuted: pd.DataFrame  # selection frequencies, permutations x genes
    subsets: pd.DataFrame  # which genes are selected, subsets x genes

    @property
    def permuted_counts(self) -> pd.Series:
        """How many genes are selected with each permutation of the labels."""
        return (self.permuted >= SELECTED_FROM).sum(axis=1)

    @property
    def resampled_range(self) -> list[int]:
        """How few and how many genes are selected in 95 % of the resamples."""
        counts = self.resampled.sum(axis=1)
        return np.quantile(counts, [0.025, 0.975], method="inverted_cdf").tolist()


def choose_rule(genes: int, pairs: int, expected_false: float) -> Rule:
    """Return the rule of the largest q whose bound is at most `expected_false`.

    DataError when not even one gene of each subsample keeps it.
    """

    def bound(first):
        return false_selections(genes, first, SELECTED_FROM, pairs)

    if (least := bound(1)) > expected_false:
        rule = f"must be at least {math.ceil(1000 * least) / 1000:g} with {pairs} pairs"
        found = f"found {expected_false:g}"
        raise refusal("--expected-false", rule, found, "raise it, or the number of --pairs")
    first = bisect_right(range(1, genes), expected_false, key=bound)
    return Rule(pairs, first, bound(first), first**2 / genes / (2 * SELECTED_FROM - 1))


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
    target, least = mean * n, math.ceil(round(threshold * n, 9))
    smallest = math.ceil(2 * target)  # of fewer steps not even equal weights reach the mean
    if least <= smallest or smallest + 1 >= n:
        return 1.0

    def weights(a, k):
        return (a + np.arange(k + 1)) ** (1 / r)

    def excess(a, k):
        w = weights(a, k)
        return w @ np.arange(k + 1) / w.sum() - target

    def below_threshold(a, k):
        w = weights(a, k)
        return (k + 1 - target) * w[:least].sum() / (w @ np.arange(k + 1, 0, -1))

    found, lower = [], 1e5
    for k in range(smallest, n):
        upper, lower = lower, optimize.brentq(excess, 1e-5, lower, (k + 1,))
        if k > smallest and k + 1 >= least:
            options = {"bounds": (lower, upper), "method": "bounded", "args": (k,)}
            best = optimize.minimize_scalar(below_threshold, **options, options=PRECISION)
            found.append(1 - best.fun)
    return float(max(found))


def refit_on_pairs(
    models: dict[str, Unfitted], X: pd.DataFrame, cohorts: list[tuple], rule: Rule, label: str
) -> np.ndarray:
    """Return which genes are selected: cohorts x subsamples x (models, then all of them) x genes.

    A cohort is rows of X (patients x genes), their classes as 0 and 1, and a seed. Subsamples are
    halves of it, stratified; two after another are complementary. Genes that a model does not use
    it does not select. Of all models, the genes of best mean rank are selected.
    """
    values, tasks = X.to_numpy(), []
    for rows, y, seed in cohorts:
        rng = np.random.default_rng(seed)
        halves = StratifiedShuffleSplit(
            rule.pairs, train_size=0.5, test_size=0.5, random_state=int(rng.integers(2**31))
        )
        for pair in halves.split(rows, y):
            for half in pair:
                drawn = values, X.columns, rows[half], y[half], int(rng.integers(2**31))
                tasks.append((models, *drawn, rule.first))
    selected = run_parallel(_select_on_subsample, tasks, label)
    return np.reshape(selected, (len(cohorts), 2 * rule.pairs, len(models) + 1, X.shape[1]))


def _select_on_subsample(models, X, genes, rows, y, seed, first) -> np.ndarray:
    """Return which genes each model and all of them select on one subsample, rows of X."""
    fitted = fit({name: u._replace(seed=seed) for name, u in models.items()}, X[rows], y).values()
    importances = np.array(
        [gene_importance(f.unfitted.model.importance, f.pipeline, genes) for f in fitted]
    )
    ranks = rank_genes(importances)
    consensus = rank_genes(-ranks.mean(axis=0))
    return np.vstack([(ranks <= first) & (importances > 0), consensus <= first])


def resample_pairs(selected: np.ndarray, seed: int) -> np.ndarray:
    """Return which genes other pairs might select: bootstrap resamples of the pairs x genes.

    `selected` is subsamples x genes, complementary ones after another. As each has patients and a
    random state of its own, another seed does no more than draw other pairs, the settings kept.
    """
    pairs, rng = len(selected) // 2, np.random.default_rng([seed, 4])
    drawn = rng.multinomial(pairs, np.full(pairs, 1 / pairs), RESAMPLES)
    return drawn @ selected.reshape(pairs, 2, -1).sum(axis=1) >= SELECTED_FROM * 2 * pairs


def check_rule(
    models: dict[str, Unfitted], X: pd.DataFrame, y, selected, rule: Rule, permutations: int, seed
) -> Checks:
    """Return what the rule does with other subsamples, with permuted labels, and without each fifth
    of the patients. `selected`: what `refit_on_pairs` found for all patients and their labels."""
    resampled = pd.DataFrame(resample_pairs(selected[:, -1], seed), columns=X.columns)
    rule = rule._replace(pairs=min(rule.pairs, FEWER_PAIRS))
    rngs = (np.random.default_rng([seed, 3, number]) for number in range(permutations))
    shuffled = [rng.permutation(y) for rng in rngs]
    permuted = [(np.arange(len(y)), codes, [seed, 1, n]) for n, codes in enumerate(shuffled)]
    folds = StratifiedKFold(SUBSETS, shuffle=True, random_state=seed).split(y, y)
    subsets = [(rows, y[rows], [seed, 2, number]) for number, (rows, _) in enumerate(folds)]
    refitted = refit_on_pairs(models, X, [*permuted, *subsets], rule, "checks")
    frequencies = pd.DataFrame(refitted[:, :, -1].mean(axis=1), columns=X.columns)
    return Checks(
        resampled,
        rule.pairs,
        permuted=frequencies[:permutations],
        subsets=frequencies[permutations:].reset_index(drop=True) >= SELECTED_FROM,
    )


def rank_genes(importances: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis, 1 for the largest; ties share the worse rank."""
    return stats.rankdata(-importances, axis=-1, method="max").astype(int)


def nogueira_stability(selected: np.ndarray) -> tuple[float, float, float]:
    """Return the stability index of Nogueira et al. (2018) and its asymptotic 95 % interval.

    `selected` is lists x genes, True where a list has a gene. 1: always the same genes; 0 is
    expected of random lists; NaN if none or all are selected. Equals Fleiss' kappa.
    """
    lists, genes = selected.shape
    frequency, share = selected.mean(axis=0), selected.mean(axis=1)
    mean = share.mean()
    if mean in (0, 1):
        return np.nan, np.nan, np.nan
    variance = (frequency * (1 - frequency)).mean() * lists / (lists - 1)
    index = 1 - variance / (mean * (1 - mean))
    phi = selected @ frequency / genes - share * mean
    phi += index / 2 * (2 * share * mean - share - mean + 1)
    error = 2 * np.std(phi / (mean * (1 - mean))) / np.sqrt(lists)
    return index, index - 1.96 * error, index + 1.96 * error


def stability_table(lists: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return how alike selections are, each of `lists` lists x genes; few have no interval."""
    rows = {name: (s.sum(axis=1).mean(), *nogueira_stability(s)) for name, s in lists.items()}
    columns = ["genes (mean)", "stability", "low", "high"]
    table = pd.DataFrame.from_dict(rows, "index", columns=columns)
    few = [len(s) <= SUBSETS for s in lists.values()]
    table.loc[few, ["low", "high"]] = np.nan
    return table
