"""Compare clusters with labels: how far they agree, and what hangs on the features.

Purity grows with the number of clusters and starts at the majority class, so agreement is measured
on permuted labels as well. `truths` are patients x kinds of label, cohorts the first patients of
`truths` or all.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics.cluster import contingency_matrix

from expression.analysis import clusters
from expression.analysis.clusters import METHODS, MOST_COMPONENTS, RESTARTS, Partitions
from expression.analysis.splits import permute_labels
from expression.parallel import run_parallel
from expression.preprocessing import Preprocessing

MEASURES = [
    "majority class",
    *(f"{score}{of_draws}" for score in ("purity", "ARI") for of_draws in ("", " 95 %", " p")),
]
WITHIN = "batch within "  # a class: what batches of its patients are called as labels
DIGITS = 9  # beyond them a difference of two scores is rounding
ROUNDING = 10**-DIGITS


class FeatureSettings(NamedTuple):
    """What patients are clustered on; `components` are those of `component_scores`."""

    genes: int | None
    standardise_arrays: bool = True
    scale_genes: bool = False
    components: int = MOST_COMPONENTS


# Other features than the default ones: one thing at a time
ALTERNATIVES = {
    "200 genes": {"genes": 200},
    "500 genes": {"genes": 500},
    "2,000 genes": {"genes": 2_000},
    "all genes that pass": {"genes": None},
    "arrays not standardised": {"standardise_arrays": False},
    "genes scaled": {"scale_genes": True},
    "10 components": {"components": 10},
}


def purity_score(labels_true, labels_pred) -> float:
    """Return the share of the samples that belong to the majority class of their cluster.

    From the share of the largest class (a single cluster) to 1 (perfect, but also one cluster a
    sample): splitting a cluster never lowers it. Not symmetric. Compare equal numbers of clusters
    only, and with permuted labels. (Manning et al. 2008, Introduction to Information Retrieval,
    16.3)

    labels_true, labels_pred: classes and clusters, array-like of shape (n_samples,).
    """
    contingency = contingency_matrix(labels_true, labels_pred)
    return float(contingency.max(axis=0).sum() / contingency.sum())


class Scores(NamedTuple):
    """Purity and ARI of clusters: with the labels as they are, then with permuted ones."""

    majority: float  # the share of the largest class
    purity: np.ndarray
    ari: np.ndarray


def score_partitions(
    partitions: dict[str, Partitions],
    truths: pd.DataFrame,
    groups: pd.Series | None,
    permutations: int,
    seed: int | tuple[int, ...],
) -> dict[tuple, Scores]:
    """Return the scores of all clusters with all kinds of label, by (kind, cohort, method, k).

    Patients without a label of a kind are left out of it. All clusters of a cohort meet the same
    permuted labels, which `permute_labels` keeps together for arrays of one person.
    """
    scores = {}
    for kind, cohort in itertools.product(truths, partitions):
        truth = labels_of_cohort(truths[kind], partitions[cohort])
        is_labelled = truth.notna().to_numpy()
        truth = truth[is_labelled]
        people = None if groups is None else groups.loc[truth.index]
        permuted = permuted_labels(truth, people, permutations, seed)
        for (method, k), labels in partitions[cohort].items():
            tables = contingency_tables(permuted, labels[is_labelled])
            scores[kind, cohort, method, k] = Scores(
                majority=truth.value_counts(normalize=True).max(),
                purity=tables.max(axis=1).sum(axis=1) / len(truth),
                ari=clusters.rand_indices(tables),
            )
    return scores


def labels_of_cohort(truth: pd.Series, partitions: Partitions) -> pd.Series:
    """Return the labels of the patients of a cohort: the first ones, or all."""
    return truth.iloc[: len(next(iter(partitions.values())))]


def permuted_labels(
    truth: pd.Series, groups: pd.Series | None, permutations: int, seed: int | tuple[int, ...]
) -> np.ndarray:
    """Return the labels as whole numbers, draws x patients: as they are, then in random order."""
    codes = pd.factorize(truth)[0]
    rng = np.random.default_rng(seed)
    draws = [permute_labels(codes, groups, rng) for _ in range(permutations)]
    return np.vstack([codes, *draws])


def contingency_tables(permuted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many patients of each class each cluster holds: draws x classes x clusters."""
    clusters_of, names = pd.factorize(labels, sort=True)
    shape = len(permuted), permuted.max() + 1, len(names)
    # Counted, as a row of zeros and a one for every patient and draw would fill the memory
    cells = (np.arange(shape[0])[:, None] * shape[1] + permuted) * shape[2] + clusters_of
    return np.bincount(cells.ravel(), minlength=math.prod(shape)).reshape(shape)


def agreement_table(scores: dict[tuple, Scores]) -> pd.DataFrame:
    """Return purity and ARI of clusters, and what permuted labels reach.

    "95 %" is the 95th percentile under permutation, "p" the one-sided p-value.
    """
    rows = []
    for of_clusters in scores.values():
        row = {"majority class": of_clusters.majority}
        for name, draws in (("purity", of_clusters.purity), ("ARI", of_clusters.ari)):
            row[name] = draws[0]
            row[f"{name} 95 %"] = np.sort(draws)[int(0.95 * len(draws))]
            row[f"{name} p"] = np.mean(draws >= draws[0] - ROUNDING)
        rows.append(row)
    return pd.DataFrame(rows, index_of(scores), MEASURES)


def index_of(scores: dict[tuple, Scores]) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples(scores, names=["labels", "cohort", "method", "k"])


# --- batches --------------------------------------------------------------------------------------


class BatchAgreement(NamedTuple):
    """How far clusters agree with batches."""

    every: pd.DataFrame  # the agreement of all clusters
    looked_at: pd.DataFrame  # of some numbers of clusters, see `compare_batches`
    overview: pd.DataFrame  # of the clusters that agree most, see `batch_overview`


def agree_with_batches(
    partitions: dict[str, Partitions],
    batches: pd.Series,
    y: pd.Series,
    groups: pd.Series | None,
    ks: dict[str, list[int]],
    *,
    permutations: int,
    seed: int,
) -> BatchAgreement:
    """Return how far clusters agree with the batch, over all patients and within each class.

    ks: the numbers of clusters to look at, by cohort.
    """
    kinds = batch_kinds(batches, y)
    scores = score_batches(partitions, kinds, groups, permutations, seed)
    looked_at = compare_batches(scores, ks)
    overview = batch_overview(looked_at, kinds, partitions)
    return BatchAgreement(agreement_table(scores), looked_at, overview)


def batch_kinds(batches: pd.Series, y: pd.Series) -> pd.DataFrame:
    """Return the batch of all patients and, a column a class, of those of the class alone."""
    batches = batches.loc[y.index]
    kinds = {"batch": batches}
    for label in y.cat.categories:
        kinds[WITHIN + label] = batches.where(y == label)
    return pd.DataFrame(kinds)


def score_batches(
    partitions: dict[str, Partitions],
    kinds: pd.DataFrame,
    groups: pd.Series | None,
    permutations: int,
    seed: int,
) -> dict[tuple, Scores]:
    """Return the scores of all clusters with the batch, where a cohort has two or more of a kind.

    Each of the `batch_kinds` is permuted under a seed of its own: `corrected_p` needs draws that
    have nothing to do with each other.
    """
    scores = {}
    for number, kind in enumerate(kinds):
        with_several = {
            cohort: of_cohort
            for cohort, of_cohort in partitions.items()
            if labels_of_cohort(kinds[kind], of_cohort).nunique() > 1
        }
        scores |= score_partitions(
            with_several, kinds[[kind]], groups, permutations, (seed, number)
        )
    return scores


def corrected_p(scores: dict[tuple, Scores]) -> pd.Series:
    """Return the p of each ARI, corrected for how many there are.

    The share of draws in which any of them has a p as small among its own draws (Westfall & Young
    1993, Resampling-Based Multiple Testing, single-step minP): clusters of several methods and
    numbers are much alike, which a division by their number would not notice.
    """
    ari = np.array([of_clusters.ari for of_clusters in scores.values()]).round(DIGITS)
    p = stats.rankdata(-ari, method="max", axis=1) / ari.shape[1]
    corrected = (p.min(axis=0) <= p[:, [0]]).mean(axis=1)
    return pd.Series(corrected, index_of(scores))


def compare_batches(scores: dict[tuple, Scores], ks: dict[str, list[int]]) -> pd.DataFrame:
    """Return the agreement of clusters with the batch for some numbers of clusters a cohort, with
    the `corrected_p` of all within a class."""
    looked_at = {key: of_clusters for key, of_clusters in scores.items() if key[3] in ks[key[1]]}
    within = {key: of_clusters for key, of_clusters in looked_at.items() if key[0] != "batch"}
    table = agreement_table(looked_at)
    if within:
        return table.assign(**{"corrected p": corrected_p(within)})
    return table.assign(**{"corrected p": np.nan})


def batch_overview(
    compared: pd.DataFrame, kinds: pd.DataFrame, partitions: dict[str, Partitions]
) -> pd.DataFrame:
    """Return the clusters that agree most with each of the `batch_kinds` in each cohort; without
    any where there is one batch only."""
    counts = {}
    for kind, cohort in itertools.product(kinds, partitions):
        batches = labels_of_cohort(kinds[kind], partitions[cohort])
        counts[kind, cohort] = {"patients": batches.count(), "batches": batches.nunique()}
    overview = pd.DataFrame(counts).T.rename_axis(["labels", "cohort"])

    most = compared.loc[compared.groupby(["labels", "cohort"])["ARI"].idxmax()]
    most = most.reset_index(["method", "k"])
    clusters_of = [f"{method}, {k}" for method, k in zip(most["method"], most["k"], strict=True)]
    most.insert(0, "clusters", clusters_of)
    columns = ["clusters", "purity", "ARI", "ARI 95 %", "ARI p", "corrected p"]
    return overview.join(most[columns])


# --- what clusters hold ---------------------------------------------------------------------------


def content_table(partitions: dict[str, Partitions], subgroups: pd.Series) -> pd.DataFrame:
    """Return how many patients of each subgroup each cluster holds, for every cohort."""
    tables = {}
    for cohort, of_cohort in partitions.items():
        for (method, k), labels in of_cohort.items():
            tables[cohort, method, k] = pd.crosstab(labels, subgroups.iloc[: len(labels)].array)
    table = pd.concat(tables, names=["cohort", "method", "k", "cluster"])
    return table.rename_axis(columns=None).fillna(0).astype(int)


def assignment_table(
    partitions: dict[str, Partitions], resampled: dict[str, Partitions], patients: pd.DataFrame
) -> pd.DataFrame:
    """Return every cohort's patients with their clusters and item consensus."""
    tables = {}
    for cohort, of_cohort in partitions.items():
        n_patients = len(next(iter(of_cohort.values())))
        columns = {}
        for (method, k), labels in of_cohort.items():
            consensus = clusters.item_consensus(resampled[cohort][method, k], labels)
            columns[f"{method} {k}"] = labels
            columns[f"{method} {k} consensus"] = consensus
        tables[cohort] = patients.iloc[:n_patients].assign(**columns)
    return pd.concat(tables, names=["cohort"])


def vary_features(
    cohorts: dict[str, pd.DataFrame],
    preprocessing: Preprocessing,
    truths: pd.DataFrame,
    kinds: dict[str, int],
    genes: int,
    seed: int,
) -> pd.DataFrame:
    """Return the purity with the default features and each alternative, a column for each.

    kinds: the number of clusters to compare with each kind of label. Rows: cohort, labels, method.
    """
    default = FeatureSettings(genes)
    settings = {f"default: up to {genes:,} genes": default}
    for name, changes in ALTERNATIVES.items():
        settings[name] = default._replace(**changes)

    ks = sorted(set(kinds.values()))
    keys = list(itertools.product(cohorts, settings))
    tasks = [
        (cohorts[cohort].to_numpy(), preprocessing, settings[name], ks, seed)
        for cohort, name in keys
    ]
    partitions = run_parallel(cluster_features, tasks, "features")

    purity = {}
    for (cohort, name), of_settings in zip(keys, partitions, strict=True):
        patients = cohorts[cohort].index
        for (kind, k), method in itertools.product(kinds.items(), METHODS):
            row = purity.setdefault((cohort, kind, method), {})
            row[name] = purity_score(truths.loc[patients, kind], of_settings[method, k])
    return pd.DataFrame(purity).T.rename_axis(["cohort", "labels", "method"])


def cluster_features(
    X: np.ndarray,
    preprocessing: Preprocessing,
    settings: FeatureSettings,
    ks: Sequence[int],
    seed: int,
) -> Partitions:
    """Return the clusters of the patients of X on one kind of features."""
    features = clusters.feature_matrix(
        X,
        preprocessing,
        settings.genes,
        standardise_arrays=settings.standardise_arrays,
        scale_genes=settings.scale_genes,
    )
    scores = clusters.component_scores(features, settings.components)
    return clusters.cluster_patients(scores, ks, restarts=RESTARTS, seed=seed)
