"""Scores, intervals and splits, held to hand-computed values, the literature and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import roc_auc_score

from expression import evaluation
from expression.models import classifier_names


@pytest.fixture
def example():
    y = pd.Series([1, 1, 1, 1, 0, 0, 0, 0], index=list("abcdefgh"))
    P = pd.DataFrame(
        {"A": [0.9, 0.8, 0.7, 0.4, 0.6, 0.2, 0.1, 0.0], "B": [1.0] * 4 + [0.0] * 4}, y.index
    )
    return y, P


def test_scores_by_hand(example):
    table = evaluation.score(*example)
    A = table.xs("A", level="model")
    assert A["accuracy"] == A["sensitivity"] == A["specificity"] == 6 / 8
    assert A["ROC AUC"] == 15 / 16
    assert A["Brier score"] == pytest.approx((0.01 + 0.04 + 0.09 + 0.36 + 0.36 + 0.04 + 0.01) / 8)
    assert table["Brier score", "B"] == 0


def test_the_majority_class_is_right_on_20_of_34(data):
    P = pd.DataFrame({"majority": 11 / 38}, data.y_test.index)
    scores = evaluation.score(data.y_test.cat.codes, P).xs("majority", level="model")
    assert scores["accuracy"] == pytest.approx(20 / 34)
    assert scores["balanced accuracy"] == scores["ROC AUC"] == 0.5


def test_balanced_accuracy_weighs_both_classes_alike():
    y = pd.Series([1, 0, 0, 0])
    scores = evaluation.score(y, pd.DataFrame({"A": [0.9, 0.1, 0.2, 0.7]}))
    assert scores["balanced accuracy", "A"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["sensitivity", "A"] == 1


@pytest.mark.parametrize(("right", "interval"), [(34, (0.898, 1)), (31, (0.770, 0.970))])
def test_wilson_intervals_are_the_published_ones(right, interval):
    p = pd.Series([1.0] * right + [0.0] * (34 - right))
    limits = evaluation.intervals(p, pd.Series([0.0, 0.0]), 100, 0)["sensitivity"]
    assert limits == pytest.approx(interval, abs=5e-4)


def test_balanced_accuracy_interval_by_hand(example):
    y, P = example
    limits = evaluation.intervals(P["A"][y == 1], P["A"][y == 0], 100, 0)
    low, high = limits["sensitivity"]  # as that of specificity: 3 of 4 in both
    reach = np.array([0.75 - low, high - 0.75]) / np.sqrt(2)
    assert limits["balanced accuracy"] == pytest.approx([0.75 - reach[0], 0.75 + reach[1]])
    low, high = evaluation.intervals(P["B"][y == 1], P["B"][y == 0], 100, 0)["balanced accuracy"]
    assert 0.5 < low < high == pytest.approx(1)


def test_every_interval_holds_its_estimate_and_the_seed_decides(data):
    y, rng = data.y_test.cat.codes, np.random.default_rng(0)
    P = pd.DataFrame({str(i): rng.random(34) + i * y for i in range(3)}).clip(0, 1)
    table, same, other = (evaluation.score_table(y, P, 500, seed) for seed in (0, 0, 1))
    assert table["estimate"].between(table["lower"] - 1e-9, table["upper"] + 1e-9).all()
    pd.testing.assert_frame_equal(table, same)
    assert not table.loc["ROC AUC"].equals(other.loc["ROC AUC"])


def test_a_perfect_order_has_an_interval_without_width(example):
    y, P = example
    limits = evaluation.intervals(P["B"][y == 1], P["B"][y == 0], 100, 0)
    assert tuple(limits["ROC AUC"]) == (1, 1)


def test_one_patient_of_a_class_has_no_bootstrap():
    limits = evaluation.intervals(pd.Series([0.9]), pd.Series([0.1, 0.2]), 100, 0)
    assert np.isnan(limits["ROC AUC"]).all()
    assert np.isfinite(limits["balanced accuracy"]).all()


def test_auc_of_ranks_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 6, (20, 7)), rng.integers(0, 5, (20, 9))  # many ties
    y = [1] * 7 + [0] * 9
    expected = [roc_auc_score(y, [*p, *n]) for p, n in zip(positive, negative, strict=True)]
    assert evaluation._auc(positive, negative) == pytest.approx(expected)


def test_summary_of_splits_by_hand():
    table = evaluation.summarise_splits(pd.DataFrame({"A": [0.7, 0.8, 0.9], "B": 0.5}), 2, 1)
    reach = 4.302653 * np.sqrt(0.01 * (1 / 3 + 1 / 2))  # t with 2 degrees of freedom
    assert table.loc["A"].tolist() == pytest.approx([0.8, 0.1, 0.8 - reach, 1.0])
    assert table.loc["B", ["mean", "sd"]].tolist() == [0.5, 0]
    assert table.loc["B", ["lower", "upper"]].isna().all()  # three splits do not make it certain


def test_mcnemar_by_hand():
    y = pd.Series([1] * 9)
    P = pd.DataFrame({"A": [1.0] * 8 + [0.0], "B": [0.0] * 7 + [1.0, 0.0], "C": [1.0] * 8 + [0.0]})
    table = evaluation.mcnemar_table(y, P)
    assert table.loc["A / B"].tolist() == [7, 0, 2 / 2**7]
    assert table.loc["A / C"].tolist() == [0, 0, 1]


def test_classification_by_hand():
    y = pd.Series([1, 1, 1, 1, 0, 0, 0, 0])
    P = pd.DataFrame({"tea": [0.9, 0.9, 0.6, 0.1, 0.9, 0.1, 0.4, 0.36]})
    row = evaluation.classification_table(y, P, threshold=0.3).loc["tea"]
    counts = {"correct": 6, "errors": 2, "classified": 5, "no-call": 3, "classified correctly": 3}
    assert row.to_dict() == counts
    strict = evaluation.classification_table(y, P, threshold=0.9).loc["tea"]
    assert strict.tolist() == [6, 2, 0, 8, 0]


def test_percentile_by_hand():
    scores = pd.DataFrame({"A": [0.5, 0.7, 0.7, 0.9], "B": [0.1, 0.2, 0.3, 0.4]})
    scores["A"] += [0, 1e-12, 0, 0]  # as computed in another order
    found = evaluation.percentile_of(pd.Series({"A": 0.7, "B": 0.0}), scores)
    assert found.to_dict() == {"A": 0.25 + 0.5 / 2, "B": 0}


def test_error_rates_are_of_the_splits_that_held_a_patient_out():
    y = pd.Series([1, 0, 1], list("abc"))
    held_out = [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "b"), (2, "c")]
    index = pd.MultiIndex.from_tuples(held_out, names=["split", "patient"])
    P = pd.DataFrame({"A": [0.9, 0.9, 0.1, 0.8, 0.1, 0.9], "B": [0.9, 0.1, 0.9, 0.1, 0, 1]})
    P = P.set_index(index).assign(baseline=1.0)
    rates = evaluation.error_rates(y, P, ["A", "B"])
    assert list(rates) == ["held out", "A", "B", "baseline", "mean"]
    assert rates.loc["a"].tolist() == [2, 0.5, 0, 0, 0.25]
    assert rates.loc["b"].tolist() == pytest.approx([3, 2 / 3, 0, 1, 1 / 3])
    assert evaluation.score_splits(y, P)["accuracy", "A"].tolist() == [0.5, 0, 1]


def test_random_splits_keep_the_class_counts(data):
    y, y_test = data.y_train.cat.codes, data.y_test.cat.codes
    splits = evaluation.random_splits(y, y_test, 3, seed=1)
    everyone = np.concatenate([y, y_test])
    for train, test in splits:
        assert np.bincount(everyone[train]).tolist() == [27, 11]
        assert np.bincount(everyone[test]).tolist() == [20, 14]
        assert sorted([*train, *test]) == list(range(72))
    assert len({tuple(train) for train, _ in splits}) == 3
    again = evaluation.random_splits(y, y_test, 3, seed=1)
    assert all((a[0] == b[0]).all() for a, b in zip(splits, again, strict=True))


def test_nested_cv_holds_every_patient_out_once_a_repeat(data, monkeypatch):
    monkeypatch.setattr(evaluation, "build_models", lambda seed: {"prior": DummyClassifier()})
    y = data.y_train.cat.codes
    P = evaluation.nested_cross_validation(data.X_train.iloc[:, :2], y, 3, seed=0)
    held_out = P.reset_index().groupby("split")["patient"].agg(frozenset)
    for repeat in range(3):
        folds = held_out[5 * repeat : 5 * repeat + 5]
        assert frozenset.union(*folds) == set(y.index)
        assert folds.map(len).sum() == len(y)
        assert folds.map(lambda fold: y.loc[list(fold)].sum()).between(2, 3).all()
    assert held_out.nunique() == 15


def test_hard_patients_come_first(data):
    y, names = data.y_test.cat.codes, classifier_names()
    P = pd.DataFrame({name: y.astype(float) for name in [*names, "One gene"]})
    P.loc[66, names[:2]] = [0.1, 0.45]
    P.loc[39, names[2]] = 0.6
    P.loc[40, "One gene"] = 0.9  # a baseline's error makes no patient hard
    table = evaluation.prediction_table(data, P, names, 0.3)
    assert table.index[:2].tolist() == [66, 39]
    assert table["errors"].tolist()[:3] == [2, 1, 0]
    row = table.loc[66]
    assert [row[f"{name}: predicted class"] for name in names] == ["ALL", "ALL", "AML", "AML"]
    assert [row[f"{name}: classified"] for name in names] == [True, False, True, True]
    assert row[f"{names[0]}: prediction strength"] == pytest.approx(0.8)
