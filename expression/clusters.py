"""Cluster patients and measure the clusters' internal validity: no label is seen here.

Every algorithm finds clusters in noise, and consensus clustering finds stable ones, so internal
validity is measured on Gaussian clouds without clusters as well.

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
from sklearn.cluster import AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from expression.files import DataError
from expression.parallel import run_parallel
from expression.preprocessing import Preprocessing

RESTARTS, SUBSAMPLE_RESTARTS = 100, 3  # of KMeans: with few, the seed decides
NEIGHBOURS = 10
WEAK_LINK = 1e-3  # between all patients: a graph in pieces has no spectral clustering
SUBSAMPLE_SHARE = 0.8
AMBIGUOUS = (0.1, 0.9)
MEASURES = {"silhouette": 1, "stability": 1, "PAC": -1}  # 1: higher is better, -1: lower


def agglomerative(
    scores: np.ndarray, ks: Iterable[int], restarts: int, seed: int
) -> dict[int, np.ndarray]:
    return {k: AgglomerativeClustering(k, linkage="ward").fit_predict(scores) for k in ks}


def kmeans(
    scores: np.ndarray, ks: Iterable[int], restarts: int, seed: int
) -> dict[int, np.ndarray]:
    return {k: KMeans(k, n_init=restarts, random_state=seed).fit_predict(scores) for k in ks}


def spectral(
    scores: np.ndarray, ks: Iterable[int], restarts: int, seed: int
) -> dict[int, np.ndarray]:
    graph = kneighbors_graph(scores, min(NEIGHBOURS, len(scores)), include_self=True).toarray()
    graph = (graph + graph.T) / 2 + WEAK_LINK
    options = {"affinity": "precomputed", "n_init": min(restarts, 10), "random_state": seed}
    return {k: SpectralClustering(k, **options).fit_predict(graph) for k in ks}


# One entry a method: from scores, patients x components, to the clusters of the patients by k
METHODS = {"Agglomerative": agglomerative, "KMeans": kmeans, "Spectral": spectral}


class Assessment(NamedTuple):
    """What clustering found in `scores`, patients x components; the rest by (method, k).

    The labels number the clusters from 1, the largest. The consensus of two patients is the share
    of the subsamples with both that put them into one cluster; NaN if there was none. `validity`
    has the columns `MEASURES`.
    """

    scores: np.ndarray
    labels: dict[tuple[str, int], np.ndarray]
    consensus: dict[tuple[str, int], np.ndarray]
    validity: pd.DataFrame


def feature_scores(
    X: np.ndarray,
    preprocessing: Preprocessing,
    genes: int | None,
    standardise_arrays: bool = True,
    scale_genes: bool = False,
    components: int | None = None,
) -> np.ndarray:
    """Return principal component scores of the most variable genes, patients x components.

    X: patients x genes. All components keep all distances, in far fewer columns than genes.
    """
    steps = preprocessing.steps() if standardise_arrays else preprocessing.log2_steps()
    values = Pipeline(steps).fit_transform(X)
    most_variable = np.argsort(-values.var(axis=0), kind="stable")[:genes]
    matrix = StandardScaler(with_std=scale_genes).fit_transform(values[:, most_variable])
    return PCA(svd_solver="full").fit_transform(matrix)[:, :components]


def cluster(
    scores: np.ndarray, ks: Iterable[int], restarts: int, seed: int
) -> dict[tuple[str, int], np.ndarray]:
    """Return the clusters of the rows of scores, by (method, k)."""
    found = {name: method(scores, ks, restarts, seed) for name, method in METHODS.items()}
    return {(name, k): labels for name, by_k in found.items() for k, labels in by_k.items()}


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


def assess_cohorts(
    cohorts: dict[str, pd.DataFrame],
    preprocessing: Preprocessing,
    ks: Sequence[int],
    genes: int,
    subsamples: int,
    nulls: int,
    seed: int,
) -> tuple[dict[str, Assessment], pd.Series]:
    """Return what clustering finds in each cohort (patients x genes), and the internal validity.

    The validity is indexed by cohort, draw (0: the cohort; others: null data sets), method, k and
    measure.
    """
    check_cluster_number(max(ks), min(map(len, cohorts.values())))
    scores = {n: feature_scores(X.to_numpy(), preprocessing, genes) for n, X in cohorts.items()}
    keys = list(itertools.product(cohorts, range(nulls + 1)))
    tasks = [(scores[name], ks, subsamples, seed, draw) for name, draw in keys]
    assessed = dict(zip(keys, run_parallel(assess_draw, tasks, "consensus"), strict=True))
    validity = pd.concat({key: assessed[key].validity for key in keys}, names=["cohort", "draw"])
    found = {name: assessed[name, 0] for name in cohorts}
    return found, validity.rename_axis(columns="measure").stack()


def assess(
    scores: np.ndarray, ks: Sequence[int], subsamples: int, seed: int, rng: np.random.Generator
) -> Assessment:
    """Cluster all patients and subsamples of them, and measure the clusters' internal validity.

    silhouette: mean over all patients, in the space that was clustered
    stability: mean adjusted Rand index of a subsample's clusters with those of all patients
    PAC: proportion of ambiguous pairs, of patients together in neither few nor most subsamples
    """
    clusters = cluster(scores, ks, RESTARTS, seed)
    labels = {key: number_by_size(numbers) for key, numbers in clusters.items()}
    together = {key: np.zeros((len(scores), len(scores))) for key in labels}
    drawn_together = np.zeros((len(scores), len(scores)))
    rand_indices = []
    for _ in range(subsamples):
        drawn = rng.choice(len(scores), int(SUBSAMPLE_SHARE * len(scores)), replace=False)
        drawn_together[np.ix_(drawn, drawn)] += 1
        found = cluster(scores[drawn], ks, SUBSAMPLE_RESTARTS, seed)
        for key, numbers in found.items():
            together[key][np.ix_(drawn, drawn)] += np.equal.outer(numbers, numbers)
        rand_indices.append({key: rand_index(labels[key][drawn], found[key]) for key in labels})
    drawn_together[drawn_together == 0] = np.nan
    consensus = {key: count / drawn_together for key, count in together.items()}
    measures = {
        "silhouette": {key: silhouette_score(scores, labels[key]) for key in labels},
        "stability": pd.DataFrame(rand_indices).mean(),
        "PAC": {key: ambiguous_pairs(consensus[key]) for key in labels},
    }
    validity = pd.DataFrame(measures).rename_axis(["method", "k"]).sort_index()
    return Assessment(scores, labels, consensus, validity)


def assess_draw(
    scores: np.ndarray, ks: Sequence[int], subsamples: int, seed: int, draw: int
) -> Assessment:
    """Assess the scores (draw 0), or a null data set in their place."""
    rng = np.random.default_rng([seed, draw])
    return assess(null_scores(scores, rng) if draw else scores, ks, subsamples, seed, rng)


def null_scores(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return Gaussian data of exactly the covariance of the scores, and without clusters.

    Uncorrelated scores, each of its variance, in random directions.
    """
    noise = rng.normal(size=scores.shape)
    directions = np.linalg.qr(noise - noise.mean(axis=0))[0]
    return directions * scores.std(axis=0) * np.sqrt(len(scores))


def rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """Return the adjusted Rand index; scikit-learn's checks would take a third of the run."""
    one, other = (np.equal.outer(labels, labels) for labels in (first, second))
    n = len(first)
    both, ones, others = (np.count_nonzero(pairs) - n for pairs in (one & other, one, other))
    expected = ones * others / (n * (n - 1))
    return float((both - expected) / ((ones + others) / 2 - expected))


def ambiguous_pairs(consensus: np.ndarray) -> float:
    """Return the proportion of ambiguous pairs, PAC; 0 is best."""
    pairs = consensus[np.triu_indices(len(consensus), k=1)]
    return float(np.mean((pairs > AMBIGUOUS[0]) & (pairs < AMBIGUOUS[1])))


def compare_with_null(validity: pd.Series) -> pd.DataFrame:
    """Return the validity of draw 0 beside the range of the other draws, with one-sided p."""
    draws = validity.unstack("draw")
    observed, null = draws[0], draws.drop(columns=0)
    sign = draws.index.get_level_values("measure").map(MEASURES).to_numpy()
    as_good = null.mul(sign, axis=0).ge(observed * sign, axis=0).sum(axis=1)
    table = null.agg(["mean", "min", "max"], axis=1).add_prefix("null ")
    return table.assign(observed=observed, p=(1 + as_good) / draws.shape[1])


def best_cluster_number(selection: pd.DataFrame) -> pd.DataFrame:
    """Return the k furthest beyond the null's mean, by cohort and measure, a column a method."""
    beyond = selection["observed"] - selection["null mean"]
    beyond *= beyond.index.get_level_values("measure").map(MEASURES)
    by_k = beyond.unstack("k")
    return by_k.idxmax(axis=1).unstack("method")


def item_consensus(consensus: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the mean consensus of each patient with the others of its cluster (Monti et al.).

    1 is always together. NaN for a patient alone.
    """
    others = np.equal.outer(clusters, clusters) & ~np.eye(len(clusters), dtype=bool)
    return pd.DataFrame(consensus).where(others).mean(axis=1).to_numpy()
