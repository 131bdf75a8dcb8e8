"""Compare clusters with labels: how far they agree, and what hangs on the choice of features.

Purity grows with the number of clusters and starts at the majority class, so agreement is measured
on permuted labels as well. `truths` are patients x kinds of label, cohorts the first patients of
`truths` or all.
"""

import itertools

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from expression.analysis import clusters
from expression.analysis.clusters import METHODS, MOST_COMPONENTS, Clusters
from expression.parallel import run_parallel
from expression.preprocessing import Preprocessing

# Choices of features beside the default: one thing at a time
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
    classes, members = (pd.get_dummies(kind).to_numpy(float) for kind in (truth, labels))
    tables = classes[orders].transpose(0, 2, 1) @ members
    result = {"majority class": truth.value_counts(normalize=True).max()}
    for name, score, statistic in (
        ("purity", purity_score, tables.max(axis=1).sum(axis=1)),
        ("ARI", adjusted_rand_score, (tables**2).sum(axis=(1, 2))),
    ):
        order = orders[np.argsort(statistic, kind="stable")[int(0.95 * len(orders))]]
        result[name] = score(truth, labels)
        result[f"{name} 95 %"] = score(truth.iloc[order], labels)
        result[f"{name} p"] = np.mean(statistic >= statistic[0])
    return result


def agreement_table(
    found: dict[str, Clusters], truths: pd.DataFrame, permutations: int, seed: int
) -> pd.DataFrame:
    """Return the `agreement` of all clusters with all kinds of label."""
    rows = {
        (kind, name, *key): agreement(truths[kind].iloc[: len(labels)], labels, permutations, seed)
        for kind, name in itertools.product(truths, found)
        for key, labels in found[name].items()
    }
    return pd.DataFrame(rows).T.rename_axis(["labels", "cohort", "method", "k"])


def content_table(found: dict[str, Clusters], groups: pd.Series) -> pd.DataFrame:
    """Return how many patients of each group each cluster holds, for every cohort."""
    tables = {
        (name, *key): pd.crosstab(labels, groups.iloc[: len(labels)].array)
        for name, by_key in found.items()
        for key, labels in by_key.items()
    }
    table = pd.concat(tables, names=["cohort", "method", "k", "cluster"])
    return table.rename_axis(columns=None).fillna(0).astype(int)


def assignment_table(
    found: dict[str, Clusters], resampled: dict[str, Clusters], patients: pd.DataFrame
) -> pd.DataFrame:
    """Return every cohort's patients with their clusters and item consensus."""
    tables = {}
    for name, by_key in found.items():
        columns = {}
        for (method, k), labels in by_key.items():
            columns[f"{method} {k}"] = labels
            share = clusters.item_consensus(resampled[name][method, k], labels)
            columns[f"{method} {k} consensus"] = share
        tables[name] = patients.iloc[: len(labels)].assign(**columns)
    return pd.concat(tables, names=["cohort"])


def vary_features(
    cohorts: dict[str, pd.DataFrame],
    preprocessing: Preprocessing,
    truths: pd.DataFrame,
    kinds: dict[str, int],
    genes: int,
    seed: int,
) -> pd.DataFrame:
    """Return the purity with the default features and each alternative, a column a choice of them.

    kinds: the number of clusters to compare with each kind of label. Rows: cohort, labels, method.
    """
    default = {"genes": genes}
    choices = {f"default: up to {genes:,} genes": default}
    choices |= {name: default | change for name, change in ALTERNATIVES.items()}
    ks = sorted(set(kinds.values()))
    keys = list(itertools.product(cohorts, choices))
    tasks = [(cohorts[c].to_numpy(), preprocessing, choices[name], ks, seed) for c, name in keys]
    results = run_parallel(cluster_features, tasks, "features")
    purity = {}
    for (cohort, name), found in zip(keys, results, strict=True):
        for (kind, k), method in itertools.product(kinds.items(), METHODS):
            truth = truths.loc[cohorts[cohort].index, kind]
            row = purity.setdefault((cohort, kind, method), {})
            row[name] = purity_score(truth, found[method, k])
    return pd.DataFrame(purity).T.rename_axis(["cohort", "labels", "method"])


def cluster_features(X, preprocessing, choice, ks, seed):
    """Return the `cluster`s with one choice of features."""
    matrix = {name: value for name, value in choice.items() if name != "components"}
    features = clusters.feature_matrix(X, preprocessing, **matrix)
    scores = clusters.component_scores(features, choice.get("components", MOST_COMPONENTS))
    return clusters.cluster(scores, ks, seed)
