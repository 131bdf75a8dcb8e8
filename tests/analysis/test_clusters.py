"""Planted clusters are found and noise is called noise; scikit-learn's methods as oracles."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.cluster import AgglomerativeClustering, SpectralClustering
from sklearn.metrics import adjusted_rand_score

from expression.analysis import clusters
from expression.analysis.clusters import (
    METHODS,
    choose_clusters,
    cluster,
    component_scores,
    feature_matrix,
)
from expression.preprocessing import Preprocessing

SIZES = (12, 10, 8)


@pytest.fixture(autouse=True)
def few_starts(monkeypatch):
    monkeypatch.setattr(clusters.cluster, "__defaults__", (5,))  # starts of KMeans
    with config_context(skip_parameter_validation=True):
        yield


def choice_of(features, *work) -> clusters.Choice:
    stability, _ = clusters.assess_cohorts({"one": features - features.mean(axis=0)}, *work)
    return choose_clusters(stability["one"], seed=0)


# --- methods


def test_every_method_finds_planted_clusters():
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 2, 3], SIZES)
    features = rng.normal(size=(30, 40)) + 20 * np.eye(40)[truth]
    features -= features.mean(axis=0)
    found = cluster(component_scores(features), (2, 3, 4), seed=0)
    stability, resampled = clusters.assess_draw(features, (2, 3, 4), 5, seed=0, draw=0)
    for method in METHODS:
        np.testing.assert_array_equal(found[method, 3], truth)
        assert stability[method, 3] == 1
        assert stability[method, 4] < 1
        assert (clusters.item_consensus(resampled[method, 3], truth) == 1).all()


def test_methods_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(40, 6)) + 3 * np.eye(6)[np.arange(40) % 3]
    found = cluster(scores, (2, 3, 5), seed=0, restarts=10)
    for k in (2, 3, 5):
        ward = AgglomerativeClustering(k, linkage="ward").fit_predict(scores)
        assert adjusted_rand_score(found["Agglomerative", k], ward) == 1
    graph = SpectralClustering(3, affinity="nearest_neighbors", random_state=0)
    assert adjusted_rand_score(found["Spectral", 3], graph.fit_predict(scores)) == 1


def test_spectral_clustering_stands_a_graph_in_pieces():
    """More patients in each far group than neighbours; scikit-learn warns of pieces."""
    rng = np.random.default_rng(2)
    truth = np.repeat([1, 2, 3], (20, 16, 14))
    scores = rng.normal(size=(50, 3)) + 1_000 * np.eye(3)[truth - 1]
    for seed in range(3):
        found = clusters.spectral(scores, (2, 3), 10, seed)
        np.testing.assert_array_equal(clusters.number_by_size(found[3]), truth)


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


# --- stability and the null


def test_rand_index_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    for _ in range(20):
        a, b = rng.integers(0, 4, (2, 25))
        assert clusters.rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b))


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
    null = clusters.null_features(features - features.mean(axis=0), rng)
    np.testing.assert_array_equal(
        np.sort(null, axis=0), np.sort(features - features.mean(axis=0), axis=0)
    )
    apart = np.corrcoef(null.T) - np.corrcoef(features.T)
    assert np.abs(apart).mean() < 0.1 < np.abs(np.corrcoef(features.T)).mean() / 2


@pytest.mark.parametrize("kind", ["skewed", "heavy-tailed"])
def test_noise_gives_no_clusters_whatever_the_values_of_its_genes(kind, monkeypatch):
    """At a level of 0.1, more than 4 of 12 data sets have a probability of 0.005.

    A Gaussian null of the same covariance rejects most of them. The quickest method tells.
    """
    monkeypatch.setattr(clusters, "METHODS", {"Agglomerative": clusters.agglomerative})
    rng = np.random.default_rng(len(kind))
    draw = {"skewed": rng.lognormal, "heavy-tailed": lambda size: rng.standard_t(3, size)}[kind]
    found = [choice_of(draw(size=(30, 150)), (2, 3), 4, 9, seed) for seed in range(12)]
    assert sum(choice.p <= 0.1 for choice in found) <= 4


def test_planted_clusters_are_counted_beyond_the_null():
    """Three clusters that differ a little in every gene, as the null keeps the values of each."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(30, 80)) + rng.normal(size=(3, 80))[np.repeat([0, 1, 2], SIZES)]
    choice = choice_of(features, (2, 3), 5, 9, 0)
    assert choice.k == 3
    assert choice.p == 0.1


def table_of(draws: dict[int, list[float]]) -> pd.DataFrame:
    table = pd.DataFrame({("A", k): row for k, row in draws.items()}).T
    return table.rename_axis(["method", "k"])


def test_the_number_of_clusters_is_chosen_in_units_of_the_null():
    noisy = [0.9, 0.7, 0.2, 0.1, 0.4, 0.7, 0.4]  # 0.48 beyond the mean, but 0.25 is the spread
    steady = [0.6, 0.3, 0.32, 0.28, 0.3, 0.29, 0.31]
    choice = choose_clusters(table_of({2: noisy, 3: steady}), seed=0)
    assert choice.k == 3
    assert choice.by_k.loc[3, "z"] == pytest.approx(0.3 / np.std(steady[1:], ddof=1))
    assert choice.by_k.loc[3, "resampled"] > 0.98 > 0.02 > choice.by_k.loc[2, "resampled"]
    assert choice.by_k.loc[2, "p"] == choice.p == pytest.approx(1 / 7)


def test_of_numbers_less_than_one_unit_apart_the_smallest_is_chosen():
    null = [0.3, 0.4, 0.5, 0.6]
    near, far = [0.9, *null], [1.0, *null]
    assert choose_clusters(table_of({3: near, 5: far}), 0).k == 3
    assert choose_clusters(table_of({3: [0.8, *null], 5: far}), 0).k == 5


def test_resamples_of_one_null_data_set_alone_count_for_nothing():
    choice = choose_clusters(table_of({2: [0.4, 0.2, 0.3], 3: [0.9, 0.2, 0.3]}), seed=0)
    assert (choice.k, choice.by_k["resampled"].to_dict()) == (3, {2: 0, 3: 1})


def test_three_clusters_of_the_training_patients_hold_over_seeds(data):
    """B-cell, T-cell and myeloid leukemia; two clusters are less far beyond the null."""
    features = feature_matrix(data.X_train.to_numpy(), data.preprocessing, 1_000)
    for seed in range(2):
        choice = choice_of(features, (2, 3), 4, 5, seed)
        assert choice.k == 3
        assert choice.p <= 2 / 6
        assert choice.by_k.loc[2, "z"] < choice.by_k.loc[3, "z"]
