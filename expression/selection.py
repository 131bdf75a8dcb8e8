"""Which genes do models come back to, refitted on other patients, and under permuted labels?

Rankings are arrays of labels x subsamples x models x genes: first the refits on the true labels,
then those on permuted labels.

References: Meinshausen & Bühlmann (2010), JRSS B 72:417, and Shah & Samworth (2013), JRSS B 75:55
(complementary subsamples); Nogueira, Sechidis & Brown (2018), JMLR 18(174) (stability index).
"""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import Pipeline

from expression.files import DataError
from expression.models import MODELS, Importance, gene_importance, set_random_states
from expression.parallel import run_parallel

MIN_FREQUENCY = 0.5  # of the subsamples, for the consensus
POOR, EXCELLENT = 0.4, 0.75  # how Nogueira et al. read their index


def check_top(top: int, n_genes: int) -> None:
    """Raise a DataError when the first `top` genes are all there are, or nearly."""
    if 2 * top > n_genes:
        raise DataError(
            f"--top: must be at most half of the {n_genes} genes that vary - found {top}; "
            "choose a smaller number"
        )


def refit_on_subsamples(
    pipelines: dict[str, Pipeline],
    X: pd.DataFrame,
    y: np.ndarray,
    subsamples: int,
    permutations: int,
    seed: int,
) -> np.ndarray:
    """Return the importances of the pipelines refitted on subsamples of half the patients.

    X is patients x genes, y their classes as 0 and 1. Subsamples are stratified and come in
    complementary pairs; the same again for each of the permuted labels.
    """
    pairs = StratifiedShuffleSplit(
        subsamples // 2, train_size=0.5, test_size=0.5, random_state=seed
    )
    unfitted = [(clone(pipeline), MODELS[name].importance) for name, pipeline in pipelines.items()]
    tasks = []
    for number in range(permutations + 1):
        rng = np.random.default_rng([seed, number])  # no permutation changes another's refits
        codes = rng.permutation(y) if number else y
        drawn = [half for pair in pairs.split(X, codes) for half in pair]
        seeds = rng.integers(2**31, size=len(drawn)).tolist()
        tasks += [
            (unfitted, X.iloc[half], codes[half], random_state)
            for half, random_state in zip(drawn, seeds, strict=True)
        ]
    importances = run_parallel(_refit, tasks, "refitting on subsamples")
    return np.reshape(importances, (-1, subsamples, len(unfitted), X.shape[1]))


def _refit(
    unfitted: list[tuple[Pipeline, Importance]], X: pd.DataFrame, y: np.ndarray, seed: int
) -> list[np.ndarray]:
    importances = []
    for pipeline, importance in unfitted:
        fitted = clone(pipeline)
        set_random_states(fitted, seed)
        fitted.fit(X.to_numpy(), y)
        importances.append(gene_importance(importance, fitted, X.columns).to_numpy())
    return importances


def rank_genes(importances: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis, 1 for the largest; ties share the worse rank."""
    return stats.rankdata(-importances, axis=-1, method="max").astype(int)


def consensus_ranks(ranks: np.ndarray) -> np.ndarray:
    """Return the genes' ranks by their mean rank over the models: labels x subsamples x genes."""
    return rank_genes(-ranks.mean(axis=2))


def nogueira_stability(selected: np.ndarray) -> tuple[float, float, float]:
    """Return the stability index of Nogueira et al. (2018) and its asymptotic 95 % interval.

    `selected` is subsamples x genes, True where a subsample selects a gene. 1: always the same
    genes; 0 is expected of random lists; NaN if none or all are selected. Equals Fleiss' kappa.
    """
    subsamples, genes = selected.shape
    frequency, share = selected.mean(axis=0), selected.mean(axis=1)
    mean = share.mean()
    if mean in (0, 1):
        return np.nan, np.nan, np.nan
    variance = (frequency * (1 - frequency)).mean() * subsamples / (subsamples - 1)
    index = 1 - variance / (mean * (1 - mean))
    phi = selected @ frequency / genes - share * mean
    phi += index / 2 * (2 * share * mean - share - mean + 1)
    error = 2 * np.std(phi / (mean * (1 - mean))) / np.sqrt(subsamples)
    return index, index - 1.96 * error, index + 1.96 * error


def stability_table(lists: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return how alike the lists of the subsamples are, each of `lists` subsamples x genes."""
    rows = {name: (s.sum(axis=1).mean(), *nogueira_stability(s)) for name, s in lists.items()}
    columns = ["genes a subsample", "stability", "low", "high"]
    table = pd.DataFrame.from_dict(rows, "index", columns=columns)
    table["reading"] = np.select(
        [table["stability"] < POOR, table["stability"] > EXCELLENT, table["stability"].notna()],
        ["poor", "excellent", "intermediate"],
        "undefined",
    )
    return table
