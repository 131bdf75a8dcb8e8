"""What batches say of classes: planted, by hand, and against scipy."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from expression.analysis import batches


def series(text: str, name: str) -> pd.Series:
    return pd.Series(list(text), [f"p{i}" for i in range(len(text))], name=name)


def classes(text: str) -> pd.Series:
    return series(text, "class").astype(pd.CategoricalDtype(sorted(set(text)), ordered=True))


def test_tau_by_hand():
    apart = batches.associate(classes("aaaabbbb"), series("11112222", "batch"))
    assert apart.tau == 1
    assert apart.in_words.startswith("cannot be told apart")
    assert batches.Association(0.99, 0).in_words.startswith("can hardly be told apart")
    assert batches.Association(0.49, 0).in_words == (
        "go together in part (the batch takes away 49% of the uncertainty about the class)"
    )
    assert batches.associate(classes("abababab"), series("11112222", "batch")).tau == 0
    # 3 of 4 in each batch: uncertainty 2 * 3/4 * 1/4 = 0.375 of 0.5
    part = batches.associate(classes("aaabbbba"), series("11112222", "batch"))
    assert part.tau == pytest.approx(1 - 0.375 / 0.5)
    three = batches.associate(classes("aabbcc"), series("112233", "batch"))
    assert three.tau == 1


def test_its_p_is_that_of_fishers_exact_test_for_two_by_two():
    y, of_patients = classes("aaaaaabbbbbbba"), series("11111112222222", "batch")
    p = batches.associate(y, of_patients).p
    exact = stats.fisher_exact(pd.crosstab(of_patients, y)).pvalue
    assert p == pytest.approx(exact, abs=0.02)


def test_batches_that_have_nothing_to_do_with_the_class_seldom_matter():
    rng = np.random.default_rng(0)
    warned = 0
    for _ in range(60):
        y = classes("".join(rng.permutation(list("a" * 20 + "b" * 12))))
        of_patients = series("".join(rng.choice(list("123456789"), 32)), "batch")
        warned += batches.associate(y, of_patients).matters
    assert warned <= 6  # of 60 at 5 %
    alone = batches.associate(classes("aabb"), series("1234", "batch"))  # a batch a patient
    assert alone.tau == 1
    assert not alone.matters


def test_the_batch_alone_on_the_published_counts():
    """27 ALL of DFCI and 11 AML of CALGB in training; 31 of 34, or 24: as the issue of it says."""
    y_train = classes("L" * 27 + "M" * 11)
    of_train = pd.Series(["DFCI"] * 27 + ["CALGB"] * 11, y_train.index)
    y_test = classes("L" * 20 + "M" * 14)
    names = ["DFCI"] * 17 + ["St Jude"] * 3 + ["CALGB"] * 4 + ["CCG"] * 5 + ["St Jude"] * 5
    of_test = pd.Series(names, y_test.index)
    found = batches.batch_alone(y_train, of_train, y_test, of_test)
    assert found == (24, 31)
    known = y_test.index[of_test.isin(["DFCI", "CALGB"])]
    assert batches.batch_alone(y_train, of_train, y_test[known], of_test[known]) == (21, 21)


def test_a_batch_is_left_out_where_others_keep_five_of_each_class():
    y = classes("aaaaa" + "bbbbb" + "aaa" + "bb" + "ab")
    of_patients = series("1" * 10 + "2" * 5 + "33", "batch")
    splits, impossible = batches.leave_one_out(y, of_patients, None)
    assert impossible == ["1"]
    assert list(splits) == ["2", "3"]
    train, test = splits["2"]
    assert test.tolist() == [10, 11, 12, 13, 14]
    assert sorted([*train, *test]) == list(range(17))


def test_people_of_a_batch_left_out_are_not_trained_on_elsewhere():
    y = classes("aaaaaa" + "bbbbbb" + "ab")
    of_patients = series("1" * 12 + "22", "batch")
    groups = series("ABCDEFGHIJKLAM", "person")  # A was measured in both batches
    splits, _ = batches.leave_one_out(y, of_patients, groups)
    train, test = splits["2"]
    assert (train.tolist(), test.tolist()) == ([*range(1, 12)], [12, 13])
    twice = series("AABBCCGHIJKLNM", "person")  # three people of class a are too few
    assert batches.leave_one_out(y, of_patients, twice) == ({}, ["1", "2"])


def test_pairs_of_one_batch_only_count():
    is_positive = np.array([0, 0, 1, 1, 1, 0, 1], bool)
    of_patients = np.array(list("AAAAABB"))
    values = np.array([[1, 2, 3, 0, 2, 9, 8], [0, 0, 1, 1, 1, 0, 1]], float).T
    assert batches.pairs_by_batch(is_positive, of_patients) == {"A": 6, "B": 1}
    three = np.array(["x", "x", "y", "z", "x", "x", "y"])
    assert batches.pairs_by_batch(three, np.array([*"AAAABBC"])) == {"A": 5}
    in_a = [roc_auc_score(is_positive[:5], column[:5]) for column in values.T]
    expected = [(6 * in_a[0] + 0) / 7, 1]
    assert batches.auc_within(values, is_positive, of_patients) == pytest.approx(expected)
    assert (
        np.isnan(batches.auc_within(values, is_positive, np.array(list("AAABBCC"))[::-1])).sum()
        == 0
    )
    alone = batches.auc_within(values, is_positive, np.arange(7).astype(str))
    assert np.isnan(alone).all()


def test_five_above_three_in_the_only_mixed_batch():
    """15 of 15 pairs: one of 56 arrangements, as of St Jude's patients."""
    is_positive = np.array([1] * 5 + [0] * 3 + [1] * 4, bool)
    of_patients = np.array(["St Jude"] * 8 + ["CALGB"] * 4)
    values = np.array([9, 8, 7, 6, 5, 4, 3, 2, 0, 0, 0, 0], float)
    assert batches.auc_within_p(values, is_positive, of_patients) == pytest.approx(1 / 56)


def test_the_exact_p_is_that_of_mann_whitney_and_of_all_arrangements():
    rng = np.random.default_rng(1)
    is_positive = np.array([1, 0] * 5, bool)
    values = rng.normal(size=10)
    one_batch = np.array(["A"] * 10)
    expected = stats.mannwhitneyu(
        values[is_positive], values[~is_positive], alternative="greater", method="exact"
    ).pvalue
    found = batches.auc_within_p(values, is_positive, one_batch)
    assert found == pytest.approx(expected)

    two = np.array(list("AAAABBBBBB"))
    observed = batches.auc_within(values[:, None], is_positive, two)[0]
    null = []
    for in_a in itertools.combinations(range(4), 2):
        for in_b in itertools.combinations(range(4, 10), 3):
            chosen = np.isin(np.arange(10), [*in_a, *in_b])
            null.append(batches.auc_within(values[:, None], chosen, two)[0])
    expected = np.mean(np.array(null) >= observed - 1e-9)
    assert batches.auc_within_p(values, is_positive, two) == pytest.approx(expected)


def test_of_many_arrangements_random_ones_give_nearly_the_same_p(monkeypatch):
    rng = np.random.default_rng(2)
    is_positive = np.array([1, 0] * 6, bool)
    of_patients = np.array(["A"] * 6 + ["B"] * 6)
    values = rng.normal(size=12) + 0.5 * is_positive
    exact = batches.auc_within_p(values, is_positive, of_patients)
    monkeypatch.setattr(batches, "MOST_ARRANGEMENTS", 1)
    assert batches.auc_within_p(values, is_positive, of_patients) == pytest.approx(exact, abs=0.02)


def test_the_batch_test_is_kruskal_wallis_where_one_class_has_batches():
    rng = np.random.default_rng(3)
    y = classes("a" * 12 + "b" * 5)
    of_patients = series("1" * 5 + "2" * 4 + "3" * 3 + "1" * 5, "batch")
    values = pd.DataFrame(rng.normal(size=(17, 3)), y.index, ["g", "h", "i"])
    values["i"] = 7.0
    table = batches.follow_batch(values, y, of_patients)
    parts = [values["g"].iloc[rows] for rows in (slice(0, 5), slice(5, 9), slice(9, 12))]
    assert table.loc["g", "batch_p"] == pytest.approx(stats.kruskal(*parts).pvalue)
    assert table.loc["i", "batch_p"] == 1
    q = stats.false_discovery_control(table["batch_p"])
    assert table["batch_q"].to_list() == pytest.approx(list(q))
    alone = batches.follow_batch(values, y, series("1" * 12 + "2" * 5, "batch"))
    assert alone.isna().all(axis=None)


@pytest.mark.parametrize("confounded", [0.5, 0.75])
def test_genes_that_follow_the_batch_are_found_whatever_the_class(confounded):
    """Neither half nor no confounding hides a batch effect: the test looks within classes."""
    rng = np.random.default_rng(4)
    y = classes("a" * 40 + "b" * 40)
    share = np.where(y == "a", confounded, 1 - confounded)
    of_patients = pd.Series(np.where(rng.random(80) < share, "1", "2"), y.index)
    values = pd.DataFrame(rng.normal(size=(80, 500)), y.index)
    values.iloc[:, :10] += 2.0 * (of_patients == "1").to_numpy()[:, None]
    values.iloc[:, 10:20] += 1.5 * (y == "a").to_numpy()[:, None]  # the disease is no batch
    q = batches.follow_batch(values, y, of_patients)["batch_q"]
    assert (q[:10] < 0.05).all()
    assert (q[10:] < 0.05).sum() <= 2


def test_without_a_batch_effect_no_gene_follows_it_in_95_percent():
    rng = np.random.default_rng(5)
    y = classes("a" * 20 + "b" * 20)
    found = 0
    for _ in range(60):
        of_patients = pd.Series(rng.choice(["1", "2", "3"], 40), y.index)
        values = pd.DataFrame(rng.normal(size=(40, 200)), y.index)
        found += (batches.follow_batch(values, y, of_patients)["batch_q"] < 0.05).any()
    assert found <= 6  # of 60 at 5 %: more with a probability of 3 % only
