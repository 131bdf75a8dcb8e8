"""Cluster patients and measure how stable the clusters are: no label is seen here.

Every algorithm finds clusters in noise, and some of them again in subsamples of it, so stability is
measured on data without clusters as well, and decides on their number in units of its spread there.

References: Ben-Hur, Elisseeff & Guyon (2002), Pac. Symp. Biocomput. 7:6 (stability under
subsampling); Monti et al. (2003), Mach. Learn. 52:91 (consensus clustering); John et al. (2020),
Sci. Rep. 10:1816 (M3C, null data of the same covariance); von Luxburg (2007), Stat. Comput. 17:395
(spectral clustering); Amini et al. (2013), Ann. Stat. 41:2097 (weak links in the graph).
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cut_tree, linkage
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import spectral_embedding
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from expression.errors import refusal
from expression.parallel import run_parallel
from expression.preprocessing import Preprocessing

RESTARTS, SUBSAMPLE_RESTARTS = 100, 3  # of KMeans: with few, the seed decides
SPECTRAL_RESTARTS = 10  # the default of scikit-learn's SpectralClustering
NEIGHBOURS = 10
WEAK_LINK = 1e-3  # between all patients: a graph in pieces has no spectral clustering
SUBSAMPLE_SHARE = 0.8
MOST_COMPONENTS = 100  # all of up to 101 patients; the leading ones of more
LEVEL = 0.05  # of the test for clusters
RESAMPLES = 200  # of the null data sets

Clusters = dict[tuple[str, int], np.ndarray]  # of the patients, by method and number of clusters


# Each method: from scores, patients x components, to the clusters of the patients by k. What starts
# at random takes the best of so many restarts.


def agglomerative(scores, ks, restarts, seed):
    return dict(zip(ks, cut_tree(linkage(scores, "ward"), ks).T, strict=True))


def kmeans(scores, ks, restarts, seed):
    return {k: KMeans(k, n_init=restarts, random_state=seed).fit_predict(scores) for k in ks}


def spectral(scores, ks, restarts, seed):
    graph = kneighbors_graph(scores, min(NEIGHBOURS, len(scores)), include_self=True).toarray()
    graph = (graph + graph.T) / 2 + WEAK_LINK
    # As SpectralClustering does for each k, which would find the same eigenvectors again
    maps = spectral_embedding(graph, n_components=max(ks), drop_first=False, random_state=seed)
    restarts = min(restarts, SPECTRAL_RESTARTS)
    return {k: kmeans(maps[:, :k], [k], restarts, seed)[k] for k in ks}


METHODS = {"Agglomerative": agglomerative, "KMeans": kmeans, "Spectral": spectral}


def feature_matrix(
    X: np.ndarray,
    preprocessing: Preprocessing,
    genes: int | None,
    standardise_arrays: bool = True,
    scale_genes: bool = False,
) -> np.ndarray:
    """Return the most variable genes of X, patients x genes, each with mean 0."""
    steps = preprocessing.steps() if standardise_arrays else preprocessing.log2_steps()
    values = Pipeline(steps).fit_transform(X)
    most_variable = np.argsort(-values.var(axis=0), kind="stable")[:genes]
    return StandardScaler(with_std=scale_genes).fit_transform(values[:, most_variable])


def component_scores(features: np.ndarray, components: int = MOST_COMPONENTS) -> np.ndarray:
    """Return principal component scores, which keep all distances or, of hundreds of patients,
    nearly all, in far fewer columns than genes."""
    return PCA(svd_solver="full").fit_transform(features)[:, :components]


def cluster(scores: np.ndarray, ks: Sequence[int], seed: int, restarts: int = RESTARTS) -> Clusters:
    """Return the clusters of the rows of scores, by (method, k), numbered by size from 1."""
    found = {name: method(scores, ks, restarts, seed) for name, method in METHODS.items()}
    return {(name, k): number_by_size(by_k[k]) for name, by_k in found.items() for k in ks}


def number_by_size(labels: np.ndarray) -> np.ndarray:
    """Return the same clusters numbered 1, 2, ... from the largest; ties by first appearance."""
    ranks = {label: rank for rank, (label, _) in enumerate(Counter(labels).most_common(), start=1)}
    return np.array([ranks[label] for label in labels])


def check_cluster_number(clusters: int, n_patients: int) -> None:
    """Raise a DataError when subsamples of the patients cannot make so many clusters."""
    size = int(SUBSAMPLE_SHARE * n_patients)
    if clusters >= size:
        rule = f"must be at most {size - 1}, as subsamples have {size} of {n_patients} patients"
        raise refusal("--clusters", rule, f"found {clusters}", "try fewer clusters")


def assess_cohorts(
    features: dict[str, np.ndarray], ks: Sequence[int], subsamples: int, nulls: int, seed: int
) -> tuple[pd.DataFrame, dict[str, Clusters]]:
    """Return the stability of the clusters, and those of the subsamples of each cohort.

    Stability: a row a method and k, a column a cohort and draw (0: the cohort; others: null data
    sets). Clusters of the subsamples: see `resample`.
    """
    keys = list(itertools.product(features, range(nulls + 1)))
    tasks = [(features[name], ks, subsamples, seed, draw) for name, draw in keys]
    assessed = dict(zip(keys, run_parallel(assess_draw, tasks, "stability"), strict=True))
    stability = pd.DataFrame({key: found for key, (found, _) in assessed.items()})
    stability = stability.rename_axis(index=["method", "k"], columns=["cohort", "draw"])
    return stability, {name: assessed[name, 0][1] for name in features}


def assess_draw(
    features: np.ndarray, ks: Sequence[int], subsamples: int, seed: int, draw: int
) -> tuple[pd.Series, Clusters]:
    """Return the stability of the clusters of the features (draw 0) or of null data: the mean
    adjusted Rand index of a subsample's clusters with those of all patients. With draw 0 also the
    clusters of the subsamples."""
    rng = np.random.default_rng([seed, draw])
    scores = component_scores(null_features(features, rng) if draw else features)
    resampled = resample(scores, ks, subsamples, seed, rng)
    stability = {
        key: np.mean([rand_index(found[row > 0], row[row > 0]) for row in resampled[key]])
        for key, found in cluster(scores, ks, seed).items()
    }
    return pd.Series(stability), {} if draw else resampled


def null_features(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return data without clusters that keep each gene's values and the genes' correlation.

    A Gaussian copula: random rotation of the patients leaves the covariance and makes Gaussian
    clouds of clusters; then each gene takes its own values in that order (Iman & Conover 1982).
    Without its values skewed or heavy-tailed genes would pass for clusters; with them, clusters
    that rest on a few genes of two modes are not told from the null.
    """
    # LAPACK's signs leave each patient some -0.1 of itself, too little to matter: over 95 null data
    # sets of the 72 and of the 38 patients the exact rotation gives the same z but for noise
    rotation = np.linalg.qr(rng.normal(size=(len(features), len(features))))[0]
    ranks = (rotation @ features).argsort(axis=0).argsort(axis=0)
    return np.take_along_axis(np.sort(features, axis=0), ranks, axis=0)


def resample(
    scores: np.ndarray, ks: Sequence[int], subsamples: int, seed: int, rng: np.random.Generator
) -> Clusters:
    """Cluster subsamples of the patients: subsamples x patients, 0 if not drawn, by (method, k)."""
    found = {}
    for i in range(subsamples):
        drawn = rng.choice(len(scores), int(SUBSAMPLE_SHARE * len(scores)), replace=False)
        for key, labels in cluster(scores[drawn], ks, seed, SUBSAMPLE_RESTARTS).items():
            found.setdefault(key, np.zeros((subsamples, len(scores)), np.uint16))[i, drawn] = labels
    return found


def rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """Return the adjusted Rand index; scikit-learn's checks would take a third of the run."""
    n = len(first)
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    tables = table, table.sum(axis=1), table.sum(axis=0)
    both, ones, others = ((counts**2).sum() - n for counts in tables)
    expected = ones * others / (n * (n - 1))
    return float((both - expected) / ((ones + others) / 2 - expected))


def consensus(resampled: np.ndarray) -> np.ndarray:
    """Return the share of subsamples with both that put two patients together (Monti et al.).

    resampled: subsamples x patients, see `resample`. NaN where no subsample has both.
    """
    drawn = (resampled > 0).astype(np.float32)
    members = ((resampled == c).astype(np.float32) for c in range(1, resampled.max() + 1))
    together = sum(member.T @ member for member in members)
    with_both = drawn.T @ drawn
    return together / np.where(with_both > 0, with_both, np.nan)


def item_consensus(resampled: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean consensus of each patient with the others of its cluster (Monti et al.).

    1 is always together. NaN for a patient alone.
    """
    others = np.equal.outer(labels, labels) & ~np.eye(len(labels), dtype=bool)
    return pd.DataFrame(consensus(resampled)).where(others).mean(axis=1).to_numpy()


class Choice(NamedTuple):
    """How many clusters one cohort has, by stability alone; p: of any clusters at all.

    `by_k` has a row a number of clusters: the method furthest beyond the null; stability, the mean
    over the methods; that of the null data sets; the distance from it in their standard deviations
    (z); the share of draws as stable (p); and how often resampled null data sets choose it.
    """

    k: int
    p: float
    by_k: pd.DataFrame


def choose_clusters(stability: pd.DataFrame, seed: int) -> Choice:
    """Return the smallest number of clusters whose z is within 1 of the largest.

    Numbers and methods are compared in standard deviations of their own null (z): some are stable
    on noise, too. A difference of less than one is none, as with the gap statistic (Tibshirani et
    al. 2001). The p is the share of draws in which any k lies as far from the mean of all draws: a
    number is chosen anew in each null data set. With few of these their spread is uncertain, so the
    share of resamples (bootstrap) of them that choose each number stands beside.

    stability: of one cohort, by method and k, a column a draw, see `assess_cohorts`.
    """

    def beyond_null(draws):
        null = draws.drop(columns=0)
        return ((draws[0] - null.mean(axis=1)) / null.std(axis=1)).fillna(0)  # no spread

    def smallest_near_largest(z):
        return int((z >= z.max() - 1).idxmax())

    mean = stability.groupby("k").mean()
    draws = np.random.default_rng(seed).choice(mean.columns[1:], (RESAMPLES, mean.shape[1] - 1))
    again = [
        smallest_near_largest(beyond_null(mean[[0, *drawn]]))
        for drawn in draws
        if len(set(drawn)) > 1  # one null alone has no spread
    ]
    by_k = pd.DataFrame(
        {
            "method": beyond_null(stability).unstack("k").idxmax(),
            "stability": mean[0],
            "null mean": mean.drop(columns=0).mean(axis=1),
            "z": beyond_null(mean),
            "p": mean.ge(mean[0], axis=0).mean(axis=1),
            "resampled": [again.count(k) / len(again) for k in mean.index],
        }
    )
    beyond = mean.sub(mean.mean(axis=1), axis=0).div(mean.std(axis=1), axis=0)
    furthest = beyond.fillna(0).max()
    k = smallest_near_largest(by_k["z"])
    return Choice(k, float((furthest >= furthest[0]).mean()), by_k)
