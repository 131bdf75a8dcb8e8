"""Cluster patients, measure without labels how clear the clusters are, then compare with labels.

Every algorithm finds clusters in noise, and consensus clustering finds stable ones, so clarity is
measured on Gaussian clouds without clusters as well. Purity grows with the number of clusters and
starts at the majority class, so agreement is measured on permuted labels as well.

References: Monti et al. (2003), Mach. Learn. 52:91 (consensus clustering); Senbabaoglu et al.
(2014), Sci. Rep. 4:6207 (PAC); John et al. (2020), Sci. Rep. 10:1816 (M3C, the null); von Luxburg
(2007), Stat. Comput. 17:395 (spectral clustering); Amini et al. (2013), Ann. Stat. 41:2097 (weak
links in the graph).
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import xlogy
from sklearn.cluster import AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from expression_data import DataError
from preprocessing import preprocessing_steps

METHODS = ("Agglomerative", "KMeans", "Spectral")
RESTARTS, SUBSAMPLE_RESTARTS = 100, 3  # of KMeans: with few, the seed decides
NEIGHBOURS = 10
WEAK_LINK = 1e-3  # between all patients: a graph in pieces has no spectral clustering
SUBSAMPLE_SHARE = 0.8
AMBIGUOUS = (0.1, 0.9)
MEASURES = {"silhouette": 1, "stability": 1, "PAC": -1}  # 1: higher is clearer, -1: lower


class Assessment(NamedTuple):
    """What clustering found in `scores`, patients x components; the rest by (method, k).

    The labels number the clusters from 1, the largest. The consensus of two patients is the share
    of the subsamples with both that put them into one cluster; NaN if there was none. `quality`
    has the columns `MEASURES`.
    """

    scores: np.ndarray
    labels: dict[tuple[str, int], np.ndarray]
    consensus: dict[tuple[str, int], np.ndarray]
    quality: pd.DataFrame


def feature_scores(
    X: np.ndarray,
    expression: str,
    genes: int | None,
    standardise_arrays: bool = True,
    scale_genes: bool = False,
    components: int | None = None,
) -> np.ndarray:
    """Return principal component scores of the most variable genes, patients x components.

    X: patients x genes. All components keep all distances, in far fewer columns than genes.
    """
    pipeline = Pipeline(preprocessing_steps(expression))
    if not standardise_arrays:
        pipeline.set_params(standardise="passthrough")
    values = pipeline.fit_transform(X)
    most_variable = np.argsort(-values.var(axis=0), kind="stable")[:genes]
    matrix = StandardScaler(with_std=scale_genes).fit_transform(values[:, most_variable])
    return PCA(svd_solver="full").fit_transform(matrix)[:, :components]


def cluster(
    scores: np.ndarray, ks: Iterable[int], seed: int, restarts: int
) -> dict[tuple[str, int], np.ndarray]:
    """Return the clusters of the rows of scores, by (method, k)."""
    graph = kneighbors_graph(scores, min(NEIGHBOURS, len(scores)), include_self=True).toarray()
    graph = (graph + graph.T) / 2 + WEAK_LINK
    options = {"affinity": "precomputed", "n_init": min(restarts, 10), "random_state": seed}
    labels = {}
    for k in ks:
        kmeans = KMeans(k, n_init=restarts, random_state=seed)
        labels["Agglomerative", k] = AgglomerativeClustering(k, linkage="ward").fit_predict(scores)
        labels["KMeans", k] = kmeans.fit_predict(scores)
        labels["Spectral", k] = SpectralClustering(k, **options).fit_predict(graph)
    return labels


def number_by_size(labels: np.ndarray) -> np.ndarray:
    """Return the same clusters numbered 1, 2, ... from the largest; ties by first appearance."""
    ranks = {label: rank for rank, (label, _) in enumerate(Counter(labels).most_common(), start=1)}
    return np.array([ranks[label] for label in labels])


def check_cluster_number(clusters: int, n_patients: int) -> None:
    """Raise a DataError when subsamples of the patients cannot make so many clusters."""
    size = int(SUBSAMPLE_SHARE * n_patients)
    if clusters >= size:
        raise DataError(
            f"--clusters: must be at most {size - 1}, as subsamples have {size} of {n_patients} "
            f"patients - found {clusters}; try fewer clusters"
        )


def assess(
    scores: np.ndarray, ks: Sequence[int], subsamples: int, seed: int, draw: int = 0
) -> Assessment:
    """Cluster all patients and subsamples of them, and measure how clear the clusters are.

    silhouette: mean over all patients, in the space that was clustered
    stability: mean adjusted Rand index of a subsample's clusters with those of all patients
    PAC: proportion of ambiguous pairs, of patients together in neither few nor most subsamples
    With a `draw` above 0 the scores give way to Gaussian data of exactly their covariance: for data
    without clusters such draws are exchangeable with them, so a p-value from them is exact.
    """
    n_patients, rng = len(scores), np.random.default_rng([seed, draw])
    if draw:  # uncorrelated scores, each of its variance, in random directions
        noise = rng.normal(size=scores.shape)
        directions = np.linalg.qr(noise - noise.mean(axis=0))[0]
        scores = directions * scores.std(axis=0) * np.sqrt(n_patients)
    size = int(SUBSAMPLE_SHARE * n_patients)
    found = cluster(scores, ks, seed, RESTARTS)
    labels = {key: number_by_size(clusters) for key, clusters in found.items()}
    same = {key: np.equal.outer(clusters, clusters) for key, clusters in labels.items()}
    together, rand = {key: np.zeros((n_patients, n_patients)) for key in labels}, []
    drawn_together = np.zeros((n_patients, n_patients))
    for _ in range(subsamples):
        drawn = rng.choice(n_patients, size, replace=False)
        pairs = np.ix_(drawn, drawn)
        drawn_together[pairs] += 1
        rand.append({})
        for key, clusters in cluster(scores[drawn], ks, seed, SUBSAMPLE_RESTARTS).items():
            now_same = np.equal.outer(clusters, clusters)
            together[key][pairs] += now_same
            rand[-1][key] = pairwise_rand_index(same[key][pairs], now_same)
    drawn_together[drawn_together == 0] = np.nan
    consensus = {key: count / drawn_together for key, count in together.items()}
    quality = pd.DataFrame(
        {
            "silhouette": {key: silhouette_score(scores, labels[key]) for key in labels},
            "stability": pd.DataFrame(rand).mean(),
            "PAC": {key: ambiguous_pairs(consensus[key]) for key in labels},
        }
    )
    return Assessment(scores, labels, consensus, quality.rename_axis(["method", "k"]).sort_index())


def pairwise_rand_index(same: np.ndarray, also_same: np.ndarray) -> float:
    """Return the adjusted Rand index of two clusterings, each given as who is with whom.

    Equal to scikit-learn's `adjusted_rand_score`, whose checks would take a third of the run.
    """
    n_patients = len(same)
    both, first, second = (
        np.count_nonzero(pairs) - n_patients for pairs in (same & also_same, same, also_same)
    )
    by_chance = first * second / (n_patients * (n_patients - 1))
    return float((both - by_chance) / ((first + second) / 2 - by_chance))


def ambiguous_pairs(consensus: np.ndarray) -> float:
    """Return the proportion of ambiguous pairs, PAC; 0 is clear."""
    pairs = consensus[np.triu_indices(len(consensus), k=1)]
    return float(np.mean((pairs > AMBIGUOUS[0]) & (pairs < AMBIGUOUS[1])))


def compare_with_null(quality: pd.Series) -> pd.DataFrame:
    """Return the quality of draw 0 beside the range of the other draws, with one-sided p-values."""
    draws = quality.unstack("draw")
    observed, null = draws[0], draws.drop(columns=0)
    sign = draws.index.get_level_values("measure").map(MEASURES).to_numpy()
    as_clear = null.mul(sign, axis=0).ge(observed * sign, axis=0).sum(axis=1)
    table = null.agg(["mean", "min", "max"], axis=1).add_prefix("null ")
    return table.assign(observed=observed, p=(1 + as_clear) / draws.shape[1])


def consensus_share(consensus: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return how firmly each patient sits: its mean consensus with the others of its cluster.

    1 is always together (Monti et al. 2003, item consensus). NaN for a patient alone.
    """
    others = np.equal.outer(clusters, clusters) & ~np.eye(len(clusters), dtype=bool)
    return pd.DataFrame(consensus).where(others).mean(axis=1).to_numpy()


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
        only, and with chance. (Manning et al. 2008, Introduction to Information Retrieval, 16.3)
    """
    contingency = contingency_matrix(labels_true, labels_pred)
    return float(contingency.max(axis=0).sum() / contingency.sum())


def agreement(truth: pd.Series, clusters: np.ndarray, permutations: int, seed: int) -> dict:
    """Return purity, ARI, AMI and NMI, with what permuted labels reach.

    "chance" is the value that one permutation in twenty exceeds, "p" the one-sided p-value. With
    the sizes of classes and clusters kept, the ARI grows with the sum of squares of the contingency
    table, AMI and NMI with its sum of n log n: these stand for them. NMI has the p of the AMI.
    """
    orders = np.tile(np.arange(len(truth)), (1 + permutations, 1))
    orders[1:] = np.random.default_rng(seed).permuted(orders[1:], axis=1)
    classes, members = (pd.get_dummies(labels).to_numpy(float) for labels in (truth, clusters))
    tables = classes[orders].transpose(0, 2, 1) @ members
    result = {"majority class": truth.value_counts(normalize=True).max()}
    for name, score, statistic in (
        ("purity", purity_score, tables.max(axis=1).sum(axis=1)),
        ("ARI", adjusted_rand_score, (tables**2).sum(axis=(1, 2))),
        ("AMI", adjusted_mutual_info_score, xlogy(tables, tables).sum((1, 2)).round(9)),
    ):
        order = orders[np.argsort(statistic, kind="stable")[int(0.95 * len(orders))]]
        result[name] = score(truth, clusters)
        result[f"{name} chance"] = score(truth.iloc[order], clusters)
        result[f"{name} p"] = np.mean(statistic >= statistic[0])
    return result | {"NMI": normalized_mutual_info_score(truth, clusters)}


def misplaced_patients(found: Assessment, truth: pd.Series) -> pd.DataFrame:
    """Return who of two clusters sits with the other class, and its consensus share, by method."""
    shares = {}
    for method in METHODS:
        labels, consensus = found.labels[method, 2], found.consensus[method, 2]
        majority = truth.groupby(labels).transform(lambda members: members.mode()[0])
        share = pd.Series(consensus_share(consensus, labels), truth.index)
        shares[method] = share[majority != truth]
    return pd.DataFrame(shares)


def tabulate_assignments(found: dict[str, Assessment], patients: pd.DataFrame) -> pd.DataFrame:
    """Return every cohort's patients with their clusters and consensus shares."""
    tables = {}
    for name, one in found.items():
        columns = {}
        for (method, k), labels in one.labels.items():
            columns[f"{method} {k}"] = labels
            columns[f"{method} {k} share"] = consensus_share(one.consensus[method, k], labels)
        tables[name] = patients.iloc[: len(one.scores)].assign(**columns)
    return pd.concat(tables, names=["cohort"])


def count_contents(found: Assessment, groups: pd.Series, ks: Iterable[int]) -> pd.DataFrame:
    """Return how many patients of each group each cluster holds."""
    groups = groups.to_numpy()
    tables = {(m, k): pd.crosstab(found.labels[m, k], groups) for m in METHODS for k in ks}
    return pd.concat(tables, names=["method", "k", "cluster"]).rename_axis(columns=None)


def score_features(
    scores: np.ndarray, truths: pd.DataFrame, ks: dict[str, int], subsamples: int, seed: int
) -> pd.DataFrame:
    """Return stability, purity and ARI of one choice of features, a row a method and kind of label.

    truths: patients x kinds of label; ks: the number of clusters to compare with each.
    """
    found = assess(scores, sorted(set(ks.values())), subsamples, seed)
    return pd.DataFrame(
        {
            "labels": kind,
            "method": method,
            "k": k,
            "stability": found.quality.loc[(method, k), "stability"],
            "purity": purity_score(truths[kind], found.labels[method, k]),
            "ARI": adjusted_rand_score(truths[kind], found.labels[method, k]),
        }
        for (kind, k), method in itertools.product(ks.items(), METHODS)
    )
