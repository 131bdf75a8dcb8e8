"""Planted clusters are found and noise is called noise; scikit-learn's methods as oracles."""

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import AgglomerativeClustering, SpectralClustering
from sklearn.metrics import adjusted_rand_score

from expression.analysis import clusters
from expression.analysis.clusters import (
    METHODS,
    choose_clusters,
    cluster_patients,
    component_scores,
    feature_matrix,
)
from expression.errors import DataError
from expression.preprocessing import Preprocessing

SIZES = (12, 10, 8)


def number_of(features, ks, *, subsamples, nulls, seed, people=None) -> clusters.ClusterNumber:
    stability, _ = clusters.assess_cohorts(
        {"one": features - features.mean(axis=0)},
        {"one": people},
        ks,
        subsamples=subsamples,
        nulls=nulls,
        seed=seed,
    )
    return choose_clusters(stability["one"])


# --- methods


def test_every_method_finds_planted_clusters():
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 2, 3], SIZES)
    features = rng.normal(size=(30, 40)) + 20 * np.eye(40)[truth]
    features -= features.mean(axis=0)
    partitions = cluster_patients(component_scores(features), (2, 3, 4), restarts=5, seed=0)
    stability, resampled = clusters.assess_draw(features, None, (2, 3, 4), 5, seed=0, draw=0)
    for method in METHODS:
        np.testing.assert_array_equal(partitions[method, 3], truth)
        assert stability[method, 3] == 1
        assert stability[method, 4] < 1
        assert (clusters.item_consensus(resampled[method, 3], truth) == 1).all()


def test_methods_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(40, 6)) + 3 * np.eye(6)[np.arange(40) % 3]
    partitions = cluster_patients(scores, (2, 3, 5), restarts=10, seed=0)
    for k in (2, 3, 5):
        ward = AgglomerativeClustering(k, linkage="ward").fit_predict(scores)
        assert adjusted_rand_score(partitions["Agglomerative", k], ward) == 1
    graph = SpectralClustering(3, affinity="nearest_neighbors", random_state=0)
    assert adjusted_rand_score(partitions["Spectral", 3], graph.fit_predict(scores)) == 1


def test_the_graph_joins_ten_neighbours():
    """In noise, where nine or eleven of them make other clusters."""
    scores = np.random.default_rng(11).normal(size=(60, 4))
    labels = clusters.spectral(scores, [3], 10, 0)[3]
    agreement = {}
    for neighbours in (9, 10, 11):
        graph = SpectralClustering(
            3, affinity="nearest_neighbors", n_neighbors=neighbours, random_state=0
        )
        agreement[neighbours] = adjusted_rand_score(labels, graph.fit_predict(scores))
    assert agreement[10] > 0.9 > 0.8 > max(agreement[9], agreement[11])


def test_spectral_clustering_stands_a_graph_in_pieces():
    """More patients in each far group than neighbours; scikit-learn warns of pieces."""
    rng = np.random.default_rng(2)
    truth = np.repeat([1, 2, 3], (20, 16, 14))
    scores = rng.normal(size=(50, 3)) + 1_000 * np.eye(3)[truth - 1]
    for seed in range(3):
        by_k = clusters.spectral(scores, (2, 3), 10, seed)
        np.testing.assert_array_equal(clusters.number_by_size(by_k[3]), truth)


def test_subsamples_have_more_patients_than_clusters():
    clusters.check_cluster_number(29, None, n_arrays=38)
    with pytest.raises(DataError, match="must be at most 29, as subsamples have 30 of 38 patients"):
        clusters.check_cluster_number(30, None, n_arrays=38)
    people = np.arange(40) // 2
    clusters.check_cluster_number(15, people, n_arrays=40)
    with pytest.raises(DataError, match="must be at most 15, as subsamples have 16 of 20 people"):
        clusters.check_cluster_number(16, people, n_arrays=40)


# --- features


def test_scores_keep_the_distances_between_patients_in_any_order(data):
    X = data.X_train.to_numpy()
    scores = component_scores(feature_matrix(X, Preprocessing(), 1_000))
    assert scores.shape == (38, 38)
    clipped = np.clip(X, 100, 16_000)
    low, high = clipped.min(axis=0), clipped.max(axis=0)
    values = np.log2(clipped[:, (high > 5 * low) & (high - low > 500)])
    values = (values - values.mean(axis=1)[:, None]) / values.std(axis=1)[:, None]
    values = values[:, np.argsort(values.var(axis=0))[-1_000:]]
    distance = np.linalg.norm(values[0] - values[1:], axis=1)
    np.testing.assert_allclose(np.linalg.norm(scores[0] - scores[1:], axis=1), distance)
    backward = component_scores(feature_matrix(X[::-1], Preprocessing(), 1_000))[::-1]
    np.testing.assert_allclose(np.linalg.norm(backward[0] - backward[1:], axis=1), distance)


def test_of_many_patients_the_leading_components_are_clustered():
    features = np.random.default_rng(3).normal(size=(120, 130))
    features -= features.mean(axis=0)
    scores = component_scores(features)
    assert scores.shape == (120, 100)
    np.testing.assert_allclose(scores, component_scores(features, 120)[:, :100])
    assert component_scores(features[:90]).shape == (90, 90)


# --- stability and the null


@pytest.mark.parametrize(("n_patients", "size"), [(20, 16), (38, 30)])
def test_subsamples_have_four_fifths_of_the_patients(n_patients, size):
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(n_patients, 3))
    resampled = clusters.resample(scores, None, (2, 3), 6, seed=0, rng=rng)
    assert set(resampled) == {(method, k) for method in METHODS for k in (2, 3)}
    for (_, k), labels in resampled.items():
        assert ((labels > 0).sum(axis=1) == size).all()
        assert labels.max() == k
    assert len(np.unique(resampled["KMeans", 2] > 0, axis=0)) == 6


@pytest.mark.parametrize("seed", range(5))
def test_subsamples_take_people_with_all_their_arrays(seed):
    rng = np.random.default_rng(seed)
    people = rng.integers(0, 15, 40)  # of one to several arrays
    scores = rng.normal(size=(40, 3))
    resampled = clusters.resample(scores, people, (2,), 5, seed=0, rng=rng)
    for drawn in resampled["KMeans", 2] > 0:
        assert not set(people[drawn]) & set(people[~drawn])
        assert len(set(people[drawn])) == int(0.8 * len(set(people)))


def test_stability_is_that_of_the_patients_drawn():
    labels = np.array([1, 1, 1, 2, 2, 2])
    resampled = np.array([[2, 2, 0, 1, 1, 0], [0, 1, 2, 1, 2, 0]])
    expected = (1 + adjusted_rand_score([1, 1, 2, 2], [1, 2, 1, 2])) / 2
    assert clusters.stability_score(labels, resampled) == pytest.approx(expected)


def test_rand_index_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    for _ in range(20):
        a, b = rng.integers(0, 4, (2, 25))
        assert clusters.rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b))
    same = np.arange(5)  # a cluster each
    assert clusters.rand_index(same, same) == adjusted_rand_score(same, same) == 1


def test_consensus_by_hand():
    resampled = np.array([[1, 1, 2, 0], [1, 2, 2, 0], [2, 2, 0, 1]])
    expected = [
        [1, 2 / 3, 0, 0],
        [2 / 3, 1, 1 / 2, 0],
        [0, 1 / 2, 1, np.nan],
        [0, 0, np.nan, 1],
    ]
    np.testing.assert_allclose(clusters.consensus(resampled), expected, rtol=1e-6)
    of_items = clusters.item_consensus(resampled, np.array([1, 1, 2, 3]))
    np.testing.assert_allclose(of_items, [2 / 3, 2 / 3, np.nan, np.nan], rtol=1e-6)


def test_null_keeps_the_values_and_the_correlation_of_genes():
    rng = np.random.default_rng(4)
    factors = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 30))
    features = np.exp(0.5 * factors + 0.3 * rng.normal(size=(200, 30)))
    null = clusters.null_features(features - features.mean(axis=0), None, rng)
    np.testing.assert_array_equal(
        np.sort(null, axis=0), np.sort(features - features.mean(axis=0), axis=0)
    )
    apart = np.corrcoef(null.T) - np.corrcoef(features.T)
    assert np.abs(apart).mean() < 0.1 < np.abs(np.corrcoef(features.T)).mean() / 2


def test_the_null_of_people_keeps_how_alike_their_arrays_are():
    """And the covariance, as the rotation is one."""
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(12), [1, 2, 3] * 4)
    rotation = clusters.rotation_of_people(people, rng)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(24), atol=1e-12)
    features = rng.normal(size=(12, 50))[people]
    turned = rotation @ features
    for person in range(12):
        assert np.ptp(turned[people == person], axis=0).max() < 1e-9
    assert np.abs(turned - features).mean() > 0.5


def test_several_arrays_of_a_person_are_no_clusters(monkeypatch):
    """Sixteen people without clusters, each measured three times: a null that rotates arrays, not
    people, takes most of them for clusters."""
    monkeypatch.setattr(clusters, "METHODS", {"Agglomerative": clusters.agglomerative})
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(16), 3)
    found = 0
    for seed in range(5):
        features = rng.normal(size=(16, 100))[people] + 0.05 * rng.normal(size=(48, 100))
        number = number_of(features, (3, 4, 5), subsamples=5, nulls=9, seed=seed, people=people)
        found += number.p <= 0.1
    assert found <= 1


def test_a_gradual_change_passes_for_clusters(monkeypatch):
    """Genes that peak one after another, as along a development: no groups, but stable clusters.

    That is why the sentence on the number of clusters names it.
    """
    monkeypatch.setattr(clusters, "METHODS", {"Agglomerative": clusters.agglomerative})
    found = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        stage = rng.random(40)
        peak = rng.uniform(-0.2, 1.2, 150)
        features = 3 * np.exp(-np.square((stage[:, None] - peak) / 0.25))
        features += rng.normal(size=features.shape)
        number = number_of(features, (2, 3, 4), subsamples=5, nulls=9, seed=seed)
        found += number.p <= 0.1
    assert found >= 2


@pytest.mark.parametrize("kind", ["skewed", "heavy-tailed"])
def test_noise_gives_no_clusters_whatever_the_values_of_its_genes(kind, monkeypatch):
    """At a level of 0.1, more than 4 of 12 data sets have a probability of 0.005.

    A Gaussian null of the same covariance rejects most of them. The quickest method tells.
    """
    monkeypatch.setattr(clusters, "METHODS", {"Agglomerative": clusters.agglomerative})
    rng = np.random.default_rng(len(kind))
    draw = {"skewed": rng.lognormal, "heavy-tailed": lambda size: rng.standard_t(3, size)}[kind]
    numbers = [
        number_of(draw(size=(30, 150)), (2, 3), subsamples=4, nulls=9, seed=seed)
        for seed in range(12)
    ]
    assert sum(number.p <= 0.1 for number in numbers) <= 4


def test_planted_clusters_are_counted_beyond_the_null():
    """Three clusters that differ a little in every gene, as the null keeps the values of each."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(30, 80)) + rng.normal(size=(3, 80))[np.repeat([0, 1, 2], SIZES)]
    number = number_of(features, (2, 3), subsamples=5, nulls=9, seed=0)
    assert number.k == 3
    assert number.p == 0.1


def table_of(draws: dict[int, list[float]]) -> pd.DataFrame:
    table = pd.DataFrame({("A", k): row for k, row in draws.items()}).T
    return table.rename_axis(["method", "k"])


def test_the_number_of_clusters_is_chosen_in_units_of_the_null():
    noisy = [0.9, 0.7, 0.2, 0.1, 0.4, 0.7, 0.4]  # 0.48 beyond the mean, but 0.25 is the spread
    steady = [0.6, 0.3, 0.32, 0.28, 0.3, 0.29, 0.31]
    number = choose_clusters(table_of({2: noisy, 3: steady}))
    assert number.k == 3
    assert number.by_k.loc[3, "z"] == pytest.approx(0.3 / np.std(steady[1:], ddof=1))
    assert number.by_k.loc[2, "p"] == number.p == pytest.approx(1 / 7)


def test_of_numbers_less_than_one_unit_apart_the_smallest_is_chosen():
    null = np.array([0.3, 0.4, 0.5, 0.6])
    unit = null.std(ddof=1)
    for apart, k in ((0.95, 3), (1.05, 5)):
        near, far = [1.0 - apart * unit, *null], [1.0, *null]
        assert choose_clusters(table_of({3: near, 5: far})).k == k


def test_clusters_of_noise_that_are_always_the_same_are_not_beyond_it():
    number = choose_clusters(table_of({2: [1.0] * 5, 3: [0.9, 0.2, 0.3, 0.2, 0.3]}))
    assert number.k == 3
    assert number.by_k.loc[2, ["method", "z", "p"]].to_list() == ["A", 0, 1]


def test_the_p_is_that_of_the_furthest_number_of_clusters():
    """One null data set lies as far out at 3 clusters as the patients do at 2."""
    at_2 = [0.9, 0.3, 0.3, 0.3, 0.3]
    at_3 = [0.3, 0.9, 0.3, 0.3, 0.3]
    number = choose_clusters(table_of({2: at_2, 3: at_3}))
    assert number.by_k["p"].to_dict() == {2: 1 / 5, 3: 1}
    assert number.p == 2 / 5


def test_the_method_furthest_beyond_its_own_null_stands_beside_each_number():
    index = pd.MultiIndex.from_product([["A", "B"], [2, 3]], names=["method", "k"])
    draws = [[0.9, 0.2, 0.6], [0.7, 0.3, 0.5], [0.8, 0.7, 0.72], [0.5, 0.4, 0.6]]
    number = choose_clusters(pd.DataFrame(draws, index))
    assert number.by_k["method"].to_dict() == {2: "B", 3: "A"}
    assert number.by_k["stability"].to_dict() == pytest.approx({2: 0.85, 3: 0.6})
    assert number.by_k["null mean"].to_dict() == pytest.approx({2: 0.555, 3: 0.45})


def test_three_clusters_of_the_training_patients_hold_over_seeds(data):
    """B-cell, T-cell and myeloid leukemia; two clusters are less far beyond the null."""
    features = feature_matrix(data.X_train.to_numpy(), data.preprocessing, 1_000)
    for seed in range(2):
        number = number_of(features, (2, 3), subsamples=4, nulls=5, seed=seed)
        assert number.k == 3
        assert number.p <= 2 / 6
        assert number.by_k.loc[2, "z"] < number.by_k.loc[3, "z"]
