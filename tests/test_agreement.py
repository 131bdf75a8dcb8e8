"""Agreement with labels: by hand, and with scikit-learn's scores as oracles."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from threadpoolctl import threadpool_limits

from expression import agreement as module
from expression import clusters
from expression.agreement import (
    agreement,
    agreement_table,
    assignment_table,
    content_table,
    purity_score,
    vary_features,
)


@pytest.mark.parametrize(
    ("truth", "found", "purity"),
    [
        ("aabb", [1, 1, 2, 2], 1.0),
        ("aabb", [2, 2, 1, 1], 1.0),
        ("aabb", [1, 1, 1, 2], 0.75),
        ("aaab", [1, 1, 1, 1], 0.75),  # one cluster: the largest class
        ("abab", [1, 2, 3, 4], 1.0),  # a cluster each: always perfect
        ("xxxxxoxooooxvvxvv", [1] * 6 + [2] * 6 + [3] * 5, 13 / 17),
    ],
)
def test_purity_by_hand(truth, found, purity):
    assert purity_score(list(truth), found) == pytest.approx(purity)


def test_purity_of_split_clusters_never_falls():
    rng = np.random.default_rng(1)
    truth, found = rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    split = found * 2 + rng.integers(0, 2, 60)
    assert purity_score(truth, split) >= purity_score(truth, found)
    tables = contingency_matrix(truth, found)
    assert purity_score(truth, found) == tables.max(axis=0).sum() / 60


def test_agreement_is_that_of_the_scores_themselves():
    rng = np.random.default_rng(2)
    truth = pd.Series(list("abc" * 10))
    found = np.where(rng.random(30) < 0.4, truth.map({"a": 1, "b": 2, "c": 3}), 1)
    result = agreement(truth, found, permutations=200, seed=5)
    assert result["majority class"] == pytest.approx(1 / 3)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(30), (200, 1)), axis=1)
    for name, score in (("purity", purity_score), ("ARI", adjusted_rand_score)):
        null = np.array([score(truth.iloc[order], found) for order in orders])
        observed = score(truth, found)
        assert result[name] == pytest.approx(observed)
        assert result[f"{name} p"] == (1 + np.sum(null >= observed - 1e-9)) / 201
        assert result[f"{name} 95 %"] == pytest.approx(np.quantile(null, 0.95), abs=0.02)


def test_unrelated_labels_agree_no_more_than_permuted_ones():
    rng = np.random.default_rng(3)
    p = [
        agreement(pd.Series(rng.permutation(list("ab" * 20))), np.repeat([1, 2], 20), 199, 0)
        for _ in range(20)
    ]
    assert np.mean([one["ARI p"] < 0.05 for one in p]) <= 0.2
    assert min(one["purity"] for one in p) >= 0.5


@pytest.fixture
def small():
    """Two cohorts of the same patients, the training patients first, and their labels."""
    truths = pd.DataFrame({"class": list("aabb"), "subtype": list("xyzz")}, index=[5, 6, 7, 8])
    found = {
        "all": {("KMeans", 2): np.array([1, 1, 2, 2])},
        "training": {("KMeans", 2): np.array([1, 2])},
    }
    return truths, found


def test_every_cohort_is_compared_with_the_labels_of_its_own_patients(small):
    truths, found = small
    table = agreement_table(found, truths, permutations=9, seed=0)
    purity = table["purity"].unstack("cohort").droplevel(["method", "k"])
    assert purity.loc["class"].to_dict() == {"all": 1, "training": 1}
    assert purity.loc["subtype"].to_dict() == {"all": 0.75, "training": 1}
    assert table.loc["class", "majority class"].to_list() == [0.5, 1]


def test_contents_and_assignments_by_hand(small):
    truths, found = small
    contents = content_table(found, truths["subtype"])
    assert contents.loc["all", "KMeans", 2].to_numpy().tolist() == [[1, 1, 0], [0, 0, 2]]
    assert contents.loc["training", "KMeans", 2].to_numpy().tolist() == [[1, 0, 0], [0, 1, 0]]
    drawn = np.array([[1, 1, 2, 2], [1, 2, 2, 0]])
    resampled = {"all": {("KMeans", 2): drawn}, "training": {("KMeans", 2): drawn[:, :2]}}
    table = assignment_table(found, resampled, truths)
    assert table.loc["all", "KMeans 2"].tolist() == [1, 1, 2, 2]
    np.testing.assert_allclose(table.loc["all", "KMeans 2 consensus"], [0.5, 0.5, 1, 1])
    assert table.loc["training"].index.tolist() == [5, 6]


def test_each_alternative_changes_the_features(data, monkeypatch):
    monkeypatch.setattr(clusters, "RESTARTS", 2)
    seen = []

    def record(scores, ks, seed):
        seen.append(scores)
        return clusters.cluster(scores, ks, seed, 2)

    monkeypatch.setattr(module, "cluster", record)
    truths = pd.DataFrame({"class": data.y_train.astype(str)})
    cohorts = {"training": data.X_train}
    with threadpool_limits(1):
        table = vary_features(cohorts, data.preprocessing, truths, {"class": 2}, 1_000, seed=0)
    assert len(table) == len(seen) == 1 + len(module.ALTERNATIVES)
    assert table.index[0] == "default: 1,000 genes"
    assert table.to_numpy().min() >= 27 / 38  # the majority class
    variances = {round(scores.var(axis=0).sum(), 6) for scores in seen}
    assert len(variances) == len(seen)
    assert seen[-1].shape == (38, 10)
