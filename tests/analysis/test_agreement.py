"""Agreement with labels: by hand, and with scikit-learn's scores as oracles."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from expression.analysis import agreement, clusters
from expression.analysis.agreement import purity_score
from many_classes import simulate_classes


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


def agreement_of(partitions, truths, permutations, seed, groups=None):
    scores = agreement.score_partitions(partitions, truths, groups, permutations, seed)
    return agreement.agreement_table(scores)


def test_agreement_is_that_of_the_scores_themselves():
    rng = np.random.default_rng(2)
    truth = pd.Series(list("abc" * 10))
    labels = np.where(rng.random(30) < 0.4, truth.map({"a": 1, "b": 2, "c": 3}), 1)
    partitions = {"all": {("A", 3): labels}}
    table = agreement_of(partitions, truth.to_frame("class"), permutations=99, seed=5)
    result = table.loc["class", "all", "A", 3]
    assert result["majority class"] == pytest.approx(1 / 3)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(30), (99, 1)), axis=1)
    for name, score in (("purity", purity_score), ("ARI", adjusted_rand_score)):
        observed = score(truth, labels)
        draws = np.array([observed, *(score(truth.iloc[order], labels) for order in orders)])
        assert result[name] == pytest.approx(observed)
        assert result[f"{name} p"] == np.mean(draws >= observed - 1e-9)
        assert result[f"{name} 95 %"] == pytest.approx(np.sort(draws)[95])


@pytest.mark.parametrize("sizes", [[14, 5, 9], [20, 5, 12, 8, 16, 7]])
def test_as_many_clusters_as_planted_classes_hold_one_each_and_those_of_noise_none(sizes):
    """Also a class of five patients; of noise one p in twenty is as small."""
    k = len(sizes)
    least_p = {}
    for effect in (0, 3):
        cohort = simulate_classes(sizes, effect)
        features = clusters.feature_matrix(cohort.X_train.to_numpy(), cohort.preprocessing, 1_000)
        scores = clusters.component_scores(features)
        partitions = {"all": clusters.cluster_patients(scores, [k], restarts=20, seed=0)}
        truths = cohort.y_all.astype(str).to_frame("class")
        table = agreement_of(partitions, truths, permutations=199, seed=0)
        assert table["majority class"].unique() == pytest.approx(max(sizes) / sum(sizes))
        if effect:
            assert (table[["purity", "ARI"]] == 1).all(axis=None)
        least_p[effect] = table[["purity p", "ARI p"]].min(axis=None)
    assert least_p[3] == 1 / 200
    assert least_p[0] > 0.05


def test_permuted_labels_keep_people_together_and_are_scored_with_the_counts_they_then_have():
    """People of one to four arrays: the number of arrays of a class varies."""
    groups = pd.Series(np.repeat(list("pqrstu"), [1, 4, 2, 3, 1, 1]))
    truth = groups.map(dict(zip("pqrstu", "aabbba", strict=True)))
    permuted = agreement.permuted_labels(truth, groups, 50, seed=3)
    assert len({row.sum() for row in permuted}) > 3
    for row in permuted:
        assert (pd.Series(row).groupby(groups).nunique() == 1).all()
    labels = np.array([1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 2, 3])
    scores = agreement.score_partitions(
        {"all": {("A", 3): labels}}, truth.to_frame("class"), groups, 50, seed=3
    )["class", "all", "A", 3]
    oracle = [adjusted_rand_score(row, labels) for row in permuted]
    np.testing.assert_allclose(scores.ari, oracle, atol=1e-12)
    np.testing.assert_allclose(scores.purity, [purity_score(row, labels) for row in permuted])


# --- batches


def cohort_in_batches(rng, effect):
    """60 patients of two classes and three batches, their clusters by two methods: one method
    follows the batch of so large a share of class "a", the other nothing."""
    patients = [f"p{i}" for i in range(60)]
    classes = pd.Categorical.from_codes(np.repeat([0, 1], [35, 25]), ["a", "b"], ordered=True)
    y = pd.Series(classes, patients)
    batches = pd.Series(rng.choice(["x", "y", "z"], 60), patients)
    random = rng.integers(1, 4, (2, 60))
    of_batch = batches.map({"x": 1, "y": 2, "z": 3}).to_numpy()
    follows = (rng.random(60) < effect) & (y == "a").to_numpy()
    one, other = np.where(follows, of_batch, random[0]), random[1]
    return {"all": {("A", 3): one, ("B", 3): other, ("A", 4): one, ("B", 4): other}}, batches, y


def look_at(partitions, batches, y, seed, permutations=99):
    ks = {cohort: [3] for cohort in partitions}
    return agreement.agree_with_batches(
        partitions, batches, y, None, ks, permutations=permutations, seed=seed
    )


def test_clusters_that_follow_the_batch_within_a_class_are_found_there():
    partitions, batches, y = cohort_in_batches(np.random.default_rng(0), effect=0.8)
    found = look_at(partitions, batches, y, seed=0, permutations=199)
    for label in "ab":
        labels = partitions["all"]["A", 3][y == label]
        oracle = adjusted_rand_score(batches[y == label], labels)
        assert found.every.loc[f"batch within {label}", "all", "A", 3]["ARI"] == pytest.approx(
            oracle
        )
    p = found.looked_at["corrected p"]
    assert p["batch within a", "all", "A", 3] <= 0.02
    others = [("batch within a", "all", "B", 3), ("batch within b", "all", "A", 3)]
    assert (p[others] > 0.05).all()
    assert p[["batch"]].isna().all()
    assert set(found.looked_at.index.get_level_values("k")) == {3}
    assert set(found.every.index.get_level_values("k")) == {3, 4}


def test_clusters_that_do_not_follow_the_batch_are_not_found_in_95_percent():
    """Of 60 cohorts at most 8, which a rate of 5 % exceeds once in 200 times."""
    rng = np.random.default_rng(1)
    found = 0
    for seed in range(60):
        partitions, batches, y = cohort_in_batches(rng, effect=0)
        kinds = agreement.batch_kinds(batches, y).drop(columns="batch")
        scores = agreement.score_batches(partitions, kinds, None, 99, seed)
        found += agreement.corrected_p(scores).min() <= 0.05
    assert 0 < found <= 8


def test_two_classes_alike_do_not_share_their_permutations():
    """Else two looks would count as one."""
    y = pd.Series(pd.Categorical(list("ab") * 30, ordered=True))
    batches = pd.Series(np.repeat(list("xyxxy"), 12))
    partitions = {"all": {("A", 2): np.repeat([1, 2, 1, 2, 1, 2], 10)}}
    kinds = agreement.batch_kinds(batches, y)
    scores = agreement.score_batches(partitions, kinds, None, 50, seed=0)
    one, other = (scores[f"batch within {label}", "all", "A", 2].ari for label in "ab")
    assert one[0] == other[0]
    assert (one[1:] != other[1:]).any()


def test_p_is_corrected_for_all_that_is_looked_at_but_not_for_the_same_twice():
    rng = np.random.default_rng(4)
    draws = rng.random(1_000)
    draws[0] = np.sort(draws)[-10]

    def corrected(*rows):
        scores = {("k", "c", "A", i): agreement.Scores(0.5, row, row) for i, row in enumerate(rows)}
        return agreement.corrected_p(scores).iloc[0]

    alone = corrected(draws)
    assert alone == pytest.approx(0.01, abs=0.0015)
    assert corrected(draws, draws + 3, 2 * draws) == alone
    others = rng.random((9, 1_000))
    assert corrected(draws, *others) == pytest.approx(1 - 0.99**10, abs=0.02)


def test_a_class_of_one_batch_is_not_compared_with_it():
    rng = np.random.default_rng(2)
    partitions, batches, y = cohort_in_batches(rng, effect=0)
    batches[y == "a"] = "x"
    partitions["training"] = {key: labels[:35] for key, labels in partitions["all"].items()}
    found = look_at(partitions, batches, y, seed=0)
    compared = set(found.every.index.droplevel(["method", "k"]))
    assert compared == {("batch", "all"), ("batch within b", "all")}
    overview = found.overview
    assert list(overview.index) == [
        *(("batch", "all"), ("batch", "training")),
        *(("batch within a", "all"), ("batch within a", "training")),
        *(("batch within b", "all"), ("batch within b", "training")),
    ]
    assert overview["batches"].to_list() == [3, 1, 1, 1, 3, 0]
    assert overview["patients"].to_list() == [60, 35, 35, 35, 25, 0]
    assert overview["ARI"].notna().to_list() == [True, False, False, False, True, False]
    best = found.looked_at.loc["batch", "all"]["ARI"].max()
    assert overview.loc[("batch", "all"), "ARI"] == best


def test_one_batch_in_all_leaves_nothing_to_compare():
    partitions, batches, y = cohort_in_batches(np.random.default_rng(2), effect=0)
    found = look_at(partitions, batches.where(batches == "x", "x"), y, seed=0)
    assert found.every.empty
    assert found.looked_at.empty
    assert found.overview["ARI"].isna().all()


# --- what clusters hold


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
    table = agreement_of(partitions, truths, permutations=9, seed=0)
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
