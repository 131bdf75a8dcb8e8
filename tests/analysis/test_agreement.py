"""Agreement with labels: by hand, and with scikit-learn's scores as oracles."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from expression.analysis import agreement, clusters
from expression.analysis.agreement import purity_score


@pytest.mark.parametrize(
    ("truth", "labels", "purity"),
    [
        ("aabb", [2, 2, 1, 1], 1.0),
        ("aabb", [1, 1, 1, 2], 0.75),
        ("aaab", [1, 1, 1, 1], 0.75),  # one cluster: the largest class
        ("abab", [1, 2, 3, 4], 1.0),  # a cluster each: always perfect
        ("xxxxxoxooooxvvxvv", [1] * 6 + [2] * 6 + [3] * 5, 13 / 17),
    ],
)
def test_purity_by_hand(truth, labels, purity):
    assert purity_score(list(truth), labels) == pytest.approx(purity)


def test_agreement_is_that_of_the_scores_themselves():
    rng = np.random.default_rng(2)
    truth = pd.Series(list("abc" * 10))
    labels = np.where(rng.random(30) < 0.4, truth.map({"a": 1, "b": 2, "c": 3}), 1)
    result = agreement.agreement(truth, labels, permutations=99, seed=5)
    assert result["majority class"] == pytest.approx(1 / 3)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(30), (99, 1)), axis=1)
    for name, score in (("purity", purity_score), ("ARI", adjusted_rand_score)):
        observed = score(truth, labels)
        draws = np.array([observed, *(score(truth.iloc[order], labels) for order in orders)])
        assert result[name] == pytest.approx(observed)
        assert result[f"{name} p"] == np.mean(draws >= observed - 1e-9)
        assert result[f"{name} 95 %"] == pytest.approx(np.sort(draws)[95])


def test_the_95th_percentile_is_that_of_all_orders():
    orders = np.arange(200)[:, None]
    assert agreement.percentile_order(np.arange(200)[::-1], orders) == 199 - 190


@pytest.fixture
def small():
    """Two cohorts of the same patients, the training patients first, and their labels."""
    truths = pd.DataFrame({"class": list("aaba"), "subtype": list("xyzz")}, index=[5, 6, 7, 8])
    partitions = {
        "all": {("KMeans", 2): np.array([1, 1, 2, 2])},
        "training": {("KMeans", 2): np.array([1, 2])},
    }
    return truths, partitions


def test_every_cohort_is_compared_with_the_labels_of_its_own_patients(small):
    truths, partitions = small
    table = agreement.agreement_table(partitions, truths, permutations=9, seed=0)
    purity = table["purity"].unstack("cohort").droplevel(["method", "k"])
    assert purity.loc["class"].to_dict() == {"all": 0.75, "training": 1}
    assert purity.loc["subtype"].to_dict() == {"all": 0.75, "training": 1}
    assert table.loc["class", "majority class"].to_list() == [0.75, 1]


def test_contents_and_assignments_by_hand(small):
    truths, partitions = small
    contents = agreement.content_table(partitions, truths["subtype"])
    assert contents.loc["all", "KMeans", 2].to_numpy().tolist() == [[1, 1, 0], [0, 0, 2]]
    assert contents.loc["training", "KMeans", 2].to_numpy().tolist() == [[1, 0, 0], [0, 1, 0]]
    drawn = np.array([[1, 1, 2, 2], [1, 2, 2, 0]])
    resampled = {"all": {("KMeans", 2): drawn}, "training": {("KMeans", 2): drawn[:, :2]}}
    table = agreement.assignment_table(partitions, resampled, truths)
    assert table.loc["all", "KMeans 2"].tolist() == [1, 1, 2, 2]
    np.testing.assert_allclose(table.loc["all", "KMeans 2 consensus"], [0.5, 0.5, 1, 1])
    assert table.loc["training"].index.tolist() == [5, 6]


def test_each_alternative_changes_the_features(data, monkeypatch):
    seen = []
    cluster_patients = clusters.cluster_patients

    def record(scores, ks, *, restarts, seed):
        seen.append(scores)
        return cluster_patients(scores, ks, restarts=2, seed=seed)

    monkeypatch.setattr(clusters, "cluster_patients", record)
    truths = pd.DataFrame({"class": data.y_train.astype(str)})
    cohorts, kinds = {"training": data.X_train}, {"class": 2}
    table = agreement.vary_features(cohorts, data.preprocessing, truths, kinds, 1_000, seed=0)
    assert list(table) == ["default: up to 1,000 genes", *agreement.ALTERNATIVES]
    assert table.to_numpy().min() >= 27 / 38  # the majority class
    variances = {round(scores.var(axis=0).sum(), 6) for scores in seen}
    assert len(variances) == len(table.columns)
    assert seen[-1].shape == (38, 10)
