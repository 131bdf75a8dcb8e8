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
from scipy.linalg import null_space
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import spectral_embedding
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from expression.analysis.splits import subsample
from expression.errors import refusal
from expression.parallel import run_parallel
from expression.preprocessing import Preprocessing

RESTARTS = 100  # of KMeans: with few, the seed decides
SUBSAMPLE_RESTARTS = 3
SPECTRAL_RESTARTS = 10  # the default of scikit-learn's SpectralClustering
NEIGHBOURS = 10
WEAK_LINK = 1e-3  # between all patients: a graph in pieces has no spectral clustering
SUBSAMPLE_SHARE = 0.8
MOST_COMPONENTS = 100  # all of up to 101 patients; the leading ones of more
NEAR = 1.0  # standard deviations of the null: a smaller difference is none
LEVEL = 0.05  # of the test for clusters

# The cluster of each patient, by method and number of clusters
Partitions = dict[tuple[str, int], np.ndarray]


# Each method: from scores, patients x components, to the clusters of the patients by k. What starts
# at random takes the best of so many restarts.


def agglomerative(scores, ks, restarts, seed):
    return dict(zip(ks, cut_tree(linkage(scores, "ward"), ks).T, strict=True))


def kmeans(scores, ks, restarts, seed):
    return {k: KMeans(k, n_init=restarts, random_state=seed).fit_predict(scores) for k in ks}


def spectral(scores, ks, restarts, seed):
    links = kneighbors_graph(scores, min(NEIGHBOURS, len(scores)), include_self=True).toarray()
    graph = (links + links.T) / 2 + WEAK_LINK
    # As SpectralClustering does, which finds the same eigenvectors for each k again: a tenth more
    # of the script's processor time (0.90 s a draw instead of 0.82)
    maps = spectral_embedding(graph, n_components=max(ks), drop_first=False, random_state=seed)
    starts = min(restarts, SPECTRAL_RESTARTS)
    return {k: kmeans(maps[:, :k], [k], starts, seed)[k] for k in ks}


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


def cluster_patients(
    scores: np.ndarray, ks: Sequence[int], *, restarts: int, seed: int
) -> Partitions:
    """Return the clusters of the rows of scores, by (method, k), numbered by size from 1."""
    partitions = {}
    for name, method in METHODS.items():
        by_k = method(scores, ks, restarts, seed)
        for k in ks:
            partitions[name, k] = number_by_size(by_k[k])
    return partitions


def number_by_size(labels: np.ndarray) -> np.ndarray:
    """Return the same clusters numbered 1, 2, ... from the largest; ties by first appearance."""
    ranks = {label: rank for rank, (label, _) in enumerate(Counter(labels).most_common(), start=1)}
    return np.array([ranks[label] for label in labels])


def check_cluster_number(most: int, people: np.ndarray | None, n_arrays: int) -> None:
    """Raise a DataError when subsamples of the patients cannot make so many clusters.

    people: whose each of the arrays is; None where each is of a person of its own.
    """
    largest = largest_cluster_number(people, n_arrays)
    if most > largest:
        counted, n = _count_people(people, n_arrays)
        size = int(SUBSAMPLE_SHARE * n)
        rule = f"must be at most {largest}, as subsamples have {size} of {n} {counted}"
        raise refusal("--clusters", rule, f"found {most}", "try fewer clusters")


def largest_cluster_number(people: np.ndarray | None, n_arrays: int) -> int:
    """Return how many clusters subsamples of the patients can make, one fewer than they have."""
    _, n = _count_people(people, n_arrays)
    return int(SUBSAMPLE_SHARE * n) - 1


def _count_people(people: np.ndarray | None, n_arrays: int) -> tuple[str, int]:
    """Return what subsamples draw, and how many of it there are."""
    return ("patients", n_arrays) if people is None else ("people", len(np.unique(people)))


def assess_cohorts(
    features: dict[str, np.ndarray],
    people: dict[str, np.ndarray | None],
    ks: Sequence[int],
    *,
    subsamples: int,
    nulls: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Partitions]]:
    """Return the stability of the clusters, and those of the subsamples of each cohort.

    people: the person of each row of features by cohort, None where each is one of its own.
    Stability: a row a method and k, a column a cohort and draw (0: the cohort; others: null data
    sets). Clusters of the subsamples: see `resample`.
    """
    keys = list(itertools.product(features, range(nulls + 1)))
    tasks = [
        (features[cohort], people[cohort], ks, subsamples, seed, draw) for cohort, draw in keys
    ]
    assessed = dict(zip(keys, run_parallel(assess_draw, tasks, "stability"), strict=True))

    stability = pd.DataFrame({key: of_draw for key, (of_draw, _) in assessed.items()})
    stability = stability.rename_axis(index=["method", "k"], columns=["cohort", "draw"])
    resampled = {cohort: assessed[cohort, 0][1] for cohort in features}
    return stability, resampled


def assess_draw(
    features: np.ndarray,
    people: np.ndarray | None,
    ks: Sequence[int],
    subsamples: int,
    seed: int,
    draw: int,
) -> tuple[pd.Series, Partitions]:
    """Return the stability of the clusters of the features (draw 0) or of null data, by (method,
    k). With draw 0 also the clusters of the subsamples."""
    rng = np.random.default_rng([seed, draw])
    scores = component_scores(null_features(features, people, rng) if draw else features)
    resampled = resample(scores, people, ks, subsamples, seed, rng)
    of_all = cluster_patients(scores, ks, restarts=RESTARTS, seed=seed)
    stability = pd.Series({key: stability_score(of_all[key], resampled[key]) for key in of_all})
    return stability, {} if draw else resampled


def stability_score(labels: np.ndarray, resampled: np.ndarray) -> float:
    """Return the mean adjusted Rand index of a subsample's clusters with those of all patients.

    1: always the same clusters; 0 is expected of random ones. `labels`: clusters of all patients;
    resampled: subsamples x patients, see `resample`.
    """
    return np.mean([rand_index(labels[row > 0], row[row > 0]) for row in resampled])


def rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """Return the adjusted Rand index of two partitions (Hubert & Arabie 1985, J. Classif. 2:193).

    1: the same clusters, whatever their numbers; 0 is expected of random ones of these sizes.
    """
    # Not scikit-learn's: for its checks of 9,600 short vectors the script would take a quarter more
    # processor time (59 s instead of 46), and more than 30 s on two cores
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    return float(rand_indices(table))


def rand_indices(tables: np.ndarray) -> np.ndarray:
    """Return the adjusted Rand index of every contingency table, the last two axes of `tables`."""
    n = tables.sum(axis=(-2, -1))
    pairs_in_both = (tables**2).sum(axis=(-2, -1)) - n
    pairs_in_first = (tables.sum(axis=-1) ** 2).sum(axis=-1) - n
    pairs_in_second = (tables.sum(axis=-2) ** 2).sum(axis=-1) - n
    expected = pairs_in_first * pairs_in_second / (n * (n - 1))
    most = (pairs_in_first + pairs_in_second) / 2
    # Both a single cluster, or both a cluster each: the same
    same = np.ones_like(expected)
    return np.divide(pairs_in_both - expected, most - expected, out=same, where=most > expected)


def null_features(
    features: np.ndarray, people: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return data without clusters that keep each gene's values and the genes' correlation.

    A Gaussian copula: random rotation of the patients leaves the covariance and makes Gaussian
    clouds of clusters; then each gene takes its own values in that order (Iman & Conover 1982).
    Without its values skewed or heavy-tailed genes would pass for clusters; with them, clusters
    that rest on a few genes of two modes are not told from the null, nor is a gradual change told
    from clusters.
    """
    if people is None:
        rotation = random_rotation(len(features), rng)
    else:
        rotation = rotation_of_people(people, rng)
    ranks = (rotation @ features).argsort(axis=0).argsort(axis=0)
    return np.take_along_axis(np.sort(features, axis=0), ranks, axis=0)


def random_rotation(size: int, rng: np.random.Generator) -> np.ndarray:
    # LAPACK's signs leave each patient some -0.1 of itself, too little to matter: over 95 null data
    # sets of the 72 and of the 38 patients the exact rotation gives the same z but for noise
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def rotation_of_people(people: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a rotation of arrays after which those of one person are as alike as before.

    What differs between people is rotated apart from what differs between arrays of one person:
    without clusters of people, several arrays of each would be clusters beyond noise.
    """
    of_person = pd.get_dummies(people).to_numpy(float)
    between = of_person / np.sqrt(of_person.sum(axis=0))
    within = null_space(between.T)
    return sum(
        basis @ random_rotation(basis.shape[1], rng) @ basis.T for basis in (between, within)
    )


def resample(
    scores: np.ndarray,
    people: np.ndarray | None,
    ks: Sequence[int],
    subsamples: int,
    seed: int,
    rng: np.random.Generator,
) -> Partitions:
    """Cluster subsamples of the patients: subsamples x patients, 0 if not drawn, by (method, k)."""
    n_patients = len(scores)
    resampled = {
        key: np.zeros((subsamples, n_patients), np.uint16) for key in itertools.product(METHODS, ks)
    }
    for number in range(subsamples):
        drawn = subsample(n_patients, people, SUBSAMPLE_SHARE, rng)
        partitions = cluster_patients(scores[drawn], ks, restarts=SUBSAMPLE_RESTARTS, seed=seed)
        for key, labels in partitions.items():
            resampled[key][number, drawn] = labels
    return resampled


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


class ClusterNumber(NamedTuple):
    """How many clusters one cohort has, by stability alone; p: of any clusters at all.

    `by_k` has a row a number of clusters: the method furthest beyond the null; stability, the mean
    over the methods; that of the null data sets; the distance from it in their standard deviations
    (z); and the share of draws as stable (p).
    """

    k: int
    p: float
    by_k: pd.DataFrame


def choose_clusters(stability: pd.DataFrame) -> ClusterNumber:
    """Return the smallest number of clusters whose z is within `NEAR` of the largest.

    Numbers and methods are compared in standard deviations of their own null (z): some are stable
    on noise, too. A difference of less than one is none, as with the gap statistic (Tibshirani et
    al. 2001).

    stability: of one cohort, by method and k, a column a draw, see `assess_cohorts`.
    """
    mean = stability.groupby("k").mean()
    by_k = pd.DataFrame(
        {
            "method": beyond_null(stability).unstack("k").idxmax(),
            "stability": mean[0],
            "null mean": mean.drop(columns=0).mean(axis=1),
            "z": beyond_null(mean),
            "p": mean.ge(mean[0], axis=0).mean(axis=1),
        }
    )
    near_largest = by_k["z"] >= by_k["z"].max() - NEAR
    return ClusterNumber(k=int(near_largest.idxmax()), p=p_of_any_clusters(mean), by_k=by_k)


def beyond_null(stability: pd.DataFrame) -> pd.Series:
    """Return how far draw 0 lies from the mean of the others, in their standard deviations; 0 where
    these do not vary."""
    null = stability.drop(columns=0)
    return ((stability[0] - null.mean(axis=1)) / null.std(axis=1)).fillna(0)


def p_of_any_clusters(mean: pd.DataFrame) -> float:
    """Return the share of draws in which any k lies as far from the mean of all draws as in draw 0:
    a number is chosen anew in each null data set.

    mean: stability over the methods, a row a number of clusters, a column a draw.
    """
    beyond = mean.sub(mean.mean(axis=1), axis=0).div(mean.std(axis=1), axis=0)
    furthest = beyond.fillna(0).max()
    return float((furthest >= furthest[0]).mean())
