"""Compare clusters with labels: how far they agree, who is discordant, and what hangs on features.

Purity grows with the number of clusters and starts at the majority class, so agreement is measured
on permuted labels as well. `truths` are patients x kinds of label, `kinds` the number of clusters
to compare with each, cohorts the first patients of `truths` or all.
"""

import itertools
from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from expression.clusters import METHODS, Assessment, assess_draw, feature_scores, item_consensus
from expression.parallel import run_parallel
from expression.preprocessing import Preprocessing

# Choices of features beside the default: one thing at a time
ALTERNATIVES = {
    "200 genes": {"genes": 200},
    "500 genes": {"genes": 500},
    "2,000 genes": {"genes": 2_000},
    "all genes": {"genes": None},
    "arrays not standardised": {"standardise_arrays": False},
    "genes scaled": {"scale_genes": True},
    "10 components": {"components": 10},
}


def purity_score(labels_true, labels_pred) -> float:
    """Share of the samples that belong to the majority class of their cluster.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)
        Classes and clusters. Not symmetric.

    Returns
    -------
    float
        From the share of the largest class (a single cluster) to 1.0 (perfect, but also one
        cluster a sample): splitting a cluster never lowers it. Compare equal numbers of clusters
        only, and with permuted labels. (Manning et al. 2008, Introduction to Information Retrieval,
        16.3)
    """
    contingency = contingency_matrix(labels_true, labels_pred)
    return float(contingency.max(axis=0).sum() / contingency.sum())


def agreement(truth: pd.Series, clusters: np.ndarray, permutations: int, seed: int) -> dict:
    """Return purity, ARI and AMI; of the first two also what permuted labels reach.

    "95 %" is the 95th percentile under permutation, "p" the one-sided p-value. With the sizes of
    classes and clusters kept, the ARI grows with the sum of squares of the contingency table.
    """
    orders = np.tile(np.arange(len(truth)), (1 + permutations, 1))
    orders[1:] = np.random.default_rng(seed).permuted(orders[1:], axis=1)
    classes, members = (pd.get_dummies(labels).to_numpy(float) for labels in (truth, clusters))
    tables = classes[orders].transpose(0, 2, 1) @ members
    result = {"majority class": truth.value_counts(normalize=True).max()}
    for name, score, statistic in (
        ("purity", purity_score, tables.max(axis=1).sum(axis=1)),
        ("ARI", adjusted_rand_score, (tables**2).sum(axis=(1, 2))),
    ):
        order = orders[np.argsort(statistic, kind="stable")[int(0.95 * len(orders))]]
        result[name] = score(truth, clusters)
        result[f"{name} 95 %"] = score(truth.iloc[order], clusters)
        result[f"{name} p"] = np.mean(statistic >= statistic[0])
    return result | {"AMI": adjusted_mutual_info_score(truth, clusters)}


def agreement_table(
    found: dict[str, Assessment], truths: pd.DataFrame, permutations: int, seed: int
) -> pd.DataFrame:
    """Return the `agreement` of all clusters with all kinds of label."""
    rows = {
        (kind, name, *key): agreement(truths[kind].iloc[: len(labels)], labels, permutations, seed)
        for kind, name in itertools.product(truths, found)
        for key, labels in found[name].labels.items()
    }
    return pd.DataFrame(rows).T.rename_axis(["labels", "cohort", "method", "k"])


def discordant_patients(found: Assessment, truth: pd.Series) -> pd.DataFrame:
    """Return who of two clusters sits with the other class, and its item consensus, by method."""
    shares = {}
    for method in METHODS:
        labels, consensus = found.labels[method, 2], found.consensus[method, 2]
        majority = truth.groupby(labels).transform(lambda members: members.mode()[0])
        share = pd.Series(item_consensus(consensus, labels), truth.index)
        shares[method] = share[majority != truth]
    return pd.DataFrame(shares)


def assignment_table(found: dict[str, Assessment], patients: pd.DataFrame) -> pd.DataFrame:
    """Return every cohort's patients with their clusters and item consensus."""
    tables = {}
    for name, one in found.items():
        columns = {}
        for (method, k), labels in one.labels.items():
            columns[f"{method} {k}"] = labels
            columns[f"{method} {k} consensus"] = item_consensus(one.consensus[method, k], labels)
        tables[name] = patients.iloc[: len(one.scores)].assign(**columns)
    return pd.concat(tables, names=["cohort"])


def content_table(
    found: dict[str, Assessment], groups: pd.Series, ks: Iterable[int]
) -> pd.DataFrame:
    """Return how many patients of each group each cluster holds, for every cohort."""
    tables = {
        (name, method, k): pd.crosstab(one.labels[method, k], groups.iloc[: len(one.scores)].array)
        for name, one in found.items()
        for method, k in itertools.product(METHODS, ks)
    }
    table = pd.concat(tables, names=["cohort", "method", "k", "cluster"])
    return table.rename_axis(columns=None).fillna(0).astype(int)


def vary_features(
    cohorts: dict[str, pd.DataFrame],
    preprocessing: Preprocessing,
    truths: pd.DataFrame,
    kinds: dict[str, int],
    genes: int,
    subsamples: int,
    seed: int,
) -> pd.DataFrame:
    """Return what clustering finds with the default features, and with each alternative."""
    default = {"genes": genes}
    choices = {f"default: {genes:,} genes": default}
    choices |= {name: default | change for name, change in ALTERNATIVES.items()}
    keys = list(itertools.product(cohorts, choices))
    tasks = []
    for name, choice in keys:
        scores = feature_scores(cohorts[name].to_numpy(), preprocessing, **choices[choice])
        tasks.append((scores, truths.loc[cohorts[name].index], kinds, subsamples, seed))
    tables = run_parallel(score_features, tasks, "sensitivity")
    table = pd.concat(dict(zip(keys, tables, strict=True)), names=["cohort", "features"])
    return table.droplevel(2)


def score_features(
    scores: np.ndarray, truths: pd.DataFrame, ks: dict[str, int], subsamples: int, seed: int
) -> pd.DataFrame:
    """Return stability and purity of one choice of features, a row a method and kind of label.

    truths: patients x kinds of label; ks: the number of clusters to compare with each.
    """
    found = assess_draw(scores, sorted(set(ks.values())), subsamples, seed, draw=0)
    return pd.DataFrame(
        {
            "labels": kind,
            "method": method,
            "stability": found.validity.loc[(method, k), "stability"],
            "purity": purity_score(truths[kind], found.labels[method, k]),
        }
        for (kind, k), method in itertools.product(ks.items(), METHODS)
    )
