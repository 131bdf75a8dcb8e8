"""Compare clusters with labels: how far they agree, and what hangs on the features.

Purity grows with the number of clusters and starts at the majority class, so agreement is measured
on permuted labels as well. `truths` are patients x kinds of label, cohorts the first patients of
`truths` or all.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from expression.analysis import clusters
from expression.analysis.clusters import METHODS, MOST_COMPONENTS, RESTARTS, Partitions
from expression.parallel import run_parallel
from expression.preprocessing import Preprocessing


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


def agreement(truth: pd.Series, labels: np.ndarray, permutations: int, seed: int) -> dict:
    """Return purity and ARI of clusters, and what permuted labels reach.

    "95 %" is the 95th percentile under permutation, "p" the one-sided p-value. With the sizes of
    classes and clusters kept, the ARI grows with the sum of squares of the contingency table.
    """
    orders = np.tile(np.arange(len(truth)), (1 + permutations, 1))
    orders[1:] = np.random.default_rng(seed).permuted(orders[1:], axis=1)
    classes = pd.get_dummies(truth).to_numpy(float)
    members = pd.get_dummies(labels).to_numpy(float)
    tables = classes[orders].transpose(0, 2, 1) @ members
    correct = tables.max(axis=1).sum(axis=1)
    squares = (tables**2).sum(axis=(1, 2))

    of_purity = percentile_order(correct, orders)
    of_ari = percentile_order(squares, orders)
    return {
        "majority class": truth.value_counts(normalize=True).max(),
        "purity": purity_score(truth, labels),
        "purity 95 %": purity_score(truth.iloc[of_purity], labels),
        "purity p": np.mean(correct >= correct[0]),
        "ARI": adjusted_rand_score(truth, labels),
        "ARI 95 %": adjusted_rand_score(truth.iloc[of_ari], labels),
        "ARI p": np.mean(squares >= squares[0]),
    }


def percentile_order(statistic: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return the order of the labels at the 95th percentile of a statistic of all orders."""
    return orders[np.argsort(statistic, kind="stable")[int(0.95 * len(orders))]]


def agreement_table(
    partitions: dict[str, Partitions], truths: pd.DataFrame, permutations: int, seed: int
) -> pd.DataFrame:
    """Return the `agreement` of all clusters with all kinds of label."""
    rows = {}
    for kind, cohort in itertools.product(truths, partitions):
        for (method, k), labels in partitions[cohort].items():
            truth = truths[kind].iloc[: len(labels)]
            rows[kind, cohort, method, k] = agreement(truth, labels, permutations, seed)
    return pd.DataFrame(rows).T.rename_axis(["labels", "cohort", "method", "k"])


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
