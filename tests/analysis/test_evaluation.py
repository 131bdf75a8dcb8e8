"""Scores, splits and tables, held to hand-computed values."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.dummy import DummyClassifier
from sklearn.metrics import roc_auc_score

from expression.analysis import evaluation
from expression.analysis.intervals import auc_interval, newcombe_interval, wilson_interval
from expression.analysis.models import (
    MAJORITY,
    Model,
    Unfitted,
    build_models,
    classifier_names,
)
from expression.analysis.tuning import fit_models, predict_held_out
from expression.preprocessing import Preprocessing
from many_classes import simulate_classes
from planted import as_classes, of_both_classes, simulate


@pytest.fixture
def example():
    y = as_classes([1, 1, 1, 1, 0, 0, 0, 0], list("abcdefgh"))
    P = pd.DataFrame(
        {"A": [0.9, 0.8, 0.7, 0.4, 0.6, 0.2, 0.1, 0.0], "B": [1.0] * 4 + [0.0] * 4}, y.index
    )
    return y, P


def test_scores_by_hand(example):
    y, P = example
    C = P["B"].where(P.index != "h", 0.9)
    P = P.assign(C=C, D=0.4 * P["B"], **{MAJORITY: 0.3})
    table = evaluation.score(y, of_both_classes(P))
    A = table.xs("A", level="model")
    assert A["accuracy"] == A["recall of AML"] == A["recall of ALL"] == 6 / 8
    assert A["ROC AUC"] == 15 / 16
    assert A["Brier score"] == pytest.approx((0.01 + 0.04 + 0.09 + 0.36 + 0.36 + 0.04 + 0.01) / 8)
    assert table["Brier score", "B"] == 0
    assert ("ROC AUC", "B") not in table  # of 0 and 1 it is the balanced accuracy
    assert table["balanced accuracy", "B"] == roc_auc_score(y.cat.codes, P["B"])
    assert table["balanced accuracy", "D"] == 1 / 2  # all are called 0
    assert table["ROC AUC", "D"] == 1  # though they are in order
    C = table.xs("C", level="model")
    assert C["recall of AML"] == 1
    assert C["recall of ALL"] == 3 / 4
    assert C["balanced accuracy"] == 7 / 8
    assert table.xs(MAJORITY, level="model").to_dict() == {"accuracy": 0.5}  # more tells nothing


def test_intervals_are_those_of_the_patients(example):
    y, P = example
    scores = evaluation.score(y, of_both_classes(P))
    over = pd.DataFrame([scores - 0.1, scores + 0.2])
    table = evaluation.interval_table(scores, y, over)
    limits = table[["lower", "upper"]].apply(tuple, axis=1)
    assert limits["accuracy", "A"] == pytest.approx(wilson_interval(6 / 8, 8))
    assert limits["recall of AML", "A"] == pytest.approx(wilson_interval(3 / 4, 4))
    assert limits["balanced accuracy", "A"] == pytest.approx(newcombe_interval([0.75] * 2, [4] * 2))
    assert limits["ROC AUC", "A"] == pytest.approx(auc_interval(15 / 16, 4, 4))
    assert np.isnan(limits["Brier score", "A"]).all()
    assert table["highest"].to_list() == pytest.approx((scores + 0.2).to_list())
    assert table["lowest"].to_list() == pytest.approx((scores - 0.1).to_list())


def test_each_rate_has_the_interval_of_the_patients_of_its_class(example):
    y, P = example
    unequal = y.index[:6]  # 4 positive and 2 negative patients
    y, P = y[unequal], P.loc[unequal]
    scores = evaluation.score(y, of_both_classes(P))
    table = evaluation.interval_table(scores, y, scores.to_frame().T)
    limits = table[["lower", "upper"]].apply(tuple, axis=1)
    assert limits["recall of AML", "A"] == pytest.approx(wilson_interval(3 / 4, 4))
    assert limits["recall of ALL", "A"] == pytest.approx(wilson_interval(1 / 2, 2))
    expected = newcombe_interval([3 / 4, 1 / 2], [4, 2])
    assert limits["balanced accuracy", "A"] == pytest.approx(expected)


def test_mcnemar_by_hand():
    y = as_classes([1] * 9)
    P = pd.DataFrame({"A": [1.0] * 8 + [0.0], "B": [0.0] * 7 + [1.0, 0.0], "C": [1.0] * 8 + [0.0]})
    table = evaluation.mcnemar_table(y, of_both_classes(P))
    assert table.loc["A / B"].tolist() == [7, 0, 2 / 2**7]
    assert table.loc["A / C"].tolist() == [0, 0, 1]
    assert len(evaluation.mcnemar_table(y, of_both_classes(P.rename(columns={"C": MAJORITY})))) == 1


def test_a_split_may_lack_an_auc(example):
    y, P = example
    rounded = P.round().assign(B=P["A"])
    of_splits = pd.concat({0: P, 1: rounded}, names=["split"])
    scores = evaluation.score_splits(y, of_both_classes(of_splits))
    assert scores.index.to_list() == [0, 1]
    assert scores["ROC AUC"].isna().to_numpy().tolist() == [[False, True], [True, False]]
    assert scores["accuracy"].columns.to_list() == ["A", "B"]


@pytest.fixture
def prior():
    model = Model([("model", DummyClassifier())], baseline=True)
    return {"prior": Unfitted(model, Preprocessing(), 0)}


def test_the_first_random_state_is_the_seed(few_genes, prior):
    fitted = fit_models(prior, few_genes.X_train, few_genes.y_train)
    tested = evaluation.measure_on_test(few_genes, fitted, 3)
    assert tested.correct["prior"].to_list() == [20, 20, 20]
    assert tested.correct.index[0] == -1
    pd.testing.assert_frame_equal(tested.states.loc[-1], tested.P)


def test_nested_cv_holds_every_patient_out_once_a_repeat(few_genes, prior):
    found = evaluation.nested_cv(few_genes, prior, 3, seed=0)
    assert found.P.groupby("repeat").size().to_list() == [38] * 3
    assert (found.P.groupby("patient").size() == 3).all()
    assert found.P["prior", "AML"].between(8 / 30, 9 / 30).all()  # of 30 or 31 others, 8 or 9
    mean, low, high = found.table.loc[("accuracy", "prior")].iloc[:3]
    assert (low, high) == pytest.approx(wilson_interval(27 / 38, 38))  # also where all agree
    assert mean == pytest.approx(27 / 38)


def test_monte_carlo_cv_compares_the_given_split_with_others(few_genes, prior):
    P = of_both_classes(pd.DataFrame({"prior": 0.0}, few_genes.X_test.index))
    scores = evaluation.score(few_genes.y_test, P)
    table = evaluation.interval_table(scores, few_genes.y_test, scores.to_frame().T)
    given = evaluation.Tested(few_genes.y_test, P, P, table, P, P)
    found = evaluation.monte_carlo_cv(few_genes, prior, given, 3, seed=0)
    row = found.table.loc[("accuracy", "prior")]
    assert row[["mean", "given split"]].to_list() == pytest.approx([20 / 34] * 2)
    assert np.isnan(row["lower"])


def test_patients_are_counted_over_the_splits_that_held_them_out(data, monkeypatch):
    monkeypatch.setattr(evaluation, "classifier_names", lambda: ["A", "B"])
    held_out = [(0, 66), (0, 39), (1, 66), (1, 39), (2, 39), (2, 1)]  # AML, ALL, ALL
    index = pd.MultiIndex.from_tuples(held_out, names=["split", "patient"])
    P = pd.DataFrame({"A": [0.9, 0.9, 0.1, 0.8, 0.1, 0.1], "B": [0.9, 0.1, 0.9, 0.1, 0, 0]}, index)
    table = evaluation.patient_table(data, of_both_classes(P.assign(baseline=1.0)))
    rates = table[["held out", "A", "B", "baseline", "mean"]]
    assert rates.loc[66].tolist() == [2, 0.5, 0, 0, 0.25]
    assert rates.loc[39].tolist() == pytest.approx([3, 2 / 3, 0, 1, 1 / 3])
    assert rates.loc[2, "held out"] == 0
    assert table.loc[66, "sd of probability: A"] == pytest.approx(0.8 / np.sqrt(2))


def test_trust_in_probabilities_by_hand():
    y = as_classes([0, 0, 1, 1], list("abcd"))
    P = pd.DataFrame({"A": [0.0, 0.2, 0.4, 1.0], MAJORITY: 0.5}, y.index)
    other = P.assign(A=[0.0, 0.6, 0.4, 1.0])
    states = pd.concat({0: P, 1: other}, names=["state", "patient"])
    empty = pd.DataFrame()
    tested = evaluation.Tested(y, of_both_classes(P), of_both_classes(states), empty, empty, empty)
    splits = evaluation.Resampled(of_both_classes(states[["A"]] / 2), empty, empty)
    row = evaluation.probability_table(tested, splits).loc["A"]
    assert row["mean"] == pytest.approx(0.4)  # half of them are positive: not calibrated
    assert row[["0-0.2", "0.2-0.8", "0.8-1"]].to_list() == ["0 of 2", "1 of 1", "1 of 1"]
    assert row["class changes"] == 1
    sd = 0.4 / np.sqrt(2)
    assert row[["sd, states", "sd, splits"]].to_list() == pytest.approx([sd / 4, sd / 8])


def test_of_equally_hard_patients_the_more_doubtful_come_first():
    y = as_classes([0, 0, 1, 1], list("abcd"))
    P = pd.DataFrame({name: [0.1, 0.4, 0.9, 0.2] for name in classifier_names()}, y.index)
    assert evaluation.hardest_first(y, of_both_classes(P)).tolist() == ["d", "b", "a", "c"]


@pytest.mark.parametrize(("share", "no_call"), [(0.649, True), (0.651, False), (0.349, False)])
def test_a_vote_below_the_strength_of_the_paper_is_no_call(share, no_call):
    """Golub et al. (1999) classify from a prediction strength of 0.3 on: |2p - 1|."""
    P = of_both_classes(pd.DataFrame({"Weighted voting": [share], "One gene": [share]}))
    assert evaluation.no_calls(P).iloc[0].to_dict() == {
        "Weighted voting": no_call,
        "One gene": False,
    }


def test_a_fifth_of_the_training_patients_is_held_out_at_a_time(few_genes, prior, monkeypatch):
    sizes = []

    def record(models, X, y, splits, label, groups):
        sizes.extend(len(held_out) for _, held_out in splits)
        return predict_held_out(models, X, y, splits, label, groups)

    monkeypatch.setattr(evaluation, "predict_held_out", record)
    evaluation.nested_cv(few_genes, prior, 1, seed=0)
    assert sorted(sizes) == [7, 7, 8, 8, 8]


def test_hard_patients_come_first(data):
    y, names = data.y_test.cat.codes, classifier_names()
    P = pd.DataFrame({name: y.astype(float) for name in [*names, "One gene"]})
    P.loc[66, ["Logistic Regression", "Decision Tree"]] = [0.1, 0.45]
    P.loc[39, "Random Forest"] = 0.6
    P.loc[40, "One gene"] = 0.9  # a baseline's error makes no patient hard
    P["Weighted voting"] = 0.6
    P = of_both_classes(P)
    states = pd.concat({0: P, 1: P}, names=["state", "patient"])
    empty = pd.DataFrame()
    tested = evaluation.Tested(data.y_test, P, states, empty, empty, empty)
    table = evaluation.prediction_table(tested)
    assert table.index[:2].tolist() == [66, 39]
    assert table["errors"].tolist()[:3] == [2, 1, 0]
    row = table.loc[66]
    missed = [name for name in names if row[f"{name}: predicted class"] == "ALL"]
    assert missed == ["Logistic Regression", "Decision Tree"]
    assert row["Weighted voting: prediction strength"] == pytest.approx(0.2)
    classified = table.filter(like="classified")  # none but a vote has a prediction strength
    assert list(classified) == ["Weighted voting: classified"]
    assert not classified.to_numpy().any()
    assert evaluation.no_calls(P).sum()[["Decision Tree", "Weighted voting"]].to_list() == [0, 34]


def test_the_majority_class_is_that_of_all_training_patients(few_genes):
    """Of 12 + 12 patients without signal a stratified fold's own majority is right for 42 %."""
    y = few_genes.y_train
    even = y.index[y == "ALL"][:11].union(y.index[y == "AML"])
    halved = replace(few_genes, X_train=few_genes.X_train.loc[even], y_train=y[even])
    model = {MAJORITY: build_models(Preprocessing(), 0)[MAJORITY]}
    found = evaluation.nested_cv(halved, model, 1, seed=0)
    assert found.table.loc[("accuracy", MAJORITY), "mean"] == 0.5


def test_calibration_in_the_large_by_hand():
    y = as_classes([0, 0, 1, 1])
    P = pd.DataFrame({"right": [0.1, 0.2, 0.8, 0.9], "high": [0.5, 0.6, 1.0, 1.0]})
    table = evaluation.calibration_in_the_large(y, of_both_classes(P))
    assert table.index.to_list() == [("right", "AML"), ("high", "AML")]
    assert table["excess"].to_list() == pytest.approx([0, 0.275])
    excess = P["high"] - y.cat.codes
    expected = stats.ttest_1samp(excess, 0).confidence_interval(1 - 0.05 / 2)
    assert table.loc[("high", "AML"), ["lower", "upper"]].to_list() == pytest.approx(list(expected))


def test_permuted_classes_do_as_well_only_where_there_is_nothing_to_learn(few_genes):
    models = build_models(Preprocessing(), 0)
    found = evaluation.permuted_labels(few_genes, models, 19, seed=0)
    assert found.accuracy > 0.9
    assert (found.as_good, found.p) == (0, 1 / 20)
    assert 0.3 < found.permuted.mean() < 0.7
    shuffled = few_genes.y_train.sample(frac=1, random_state=1).set_axis(few_genes.y_train.index)
    nothing = evaluation.permuted_labels(replace(few_genes, y_train=shuffled), models, 19, seed=0)
    assert nothing.as_good >= 1
    assert len(set(nothing.permuted)) > 5


# --- several arrays of one person -----------------------------------------------------------------


@pytest.fixture
def measured_twice():
    """40 + 40 arrays, each person's two in a row; p0 and p1 are of one person, of both classes."""
    data = simulate(effect=0)
    arrays = data.y_all.index
    by_class = data.y_all.sort_values(kind="stable").index
    groups = pd.Series([f"person {i // 2}" for i in range(80)], by_class).loc[arrays]
    train = groups[groups.isin(groups.unique()[:20])].index
    X, y = data.X_all, data.y_all
    return replace(
        data,
        X_train=X.loc[train],
        X_test=X.drop(train),
        y_train=y[train],
        y_test=y.drop(train),
        groups=pd.concat([groups[train], groups.drop(train)]),
    )


def test_two_arrays_of_a_person_count_once_by_their_mean_probability(measured_twice):
    arrays = measured_twice.X_test.index
    P = pd.DataFrame({"A": np.linspace(0, 1, len(arrays))}, arrays.rename("patient"))
    P = of_both_classes(P)
    found = evaluation.average_arrays(P, measured_twice)
    people = measured_twice.groups[arrays]
    assert sorted(found.index) == sorted(people.unique())
    for person, arrays_of in people.groupby(people).groups.items():
        assert found.loc[person, ("A", "AML")] == pytest.approx(
            P.loc[arrays_of, ("A", "AML")].mean()
        )
    twice = evaluation.average_arrays(pd.concat({0: P, 1: P}, names=["split"]), measured_twice)
    pd.testing.assert_frame_equal(twice.loc[1], found)


def test_no_person_is_on_both_sides_and_intervals_count_people(measured_twice, prior, monkeypatch):
    straddling = []

    def record(models, X, y, splits, label, groups):
        for train, test in splits:
            straddling.append(set(groups[X.index[train]]) & set(groups[X.index[test]]))
        return predict_held_out(models, X, y, splits, label, groups)

    monkeypatch.setattr(evaluation, "predict_held_out", record)
    fitted = fit_models(prior, measured_twice.X_train, measured_twice.y_train)
    tested = evaluation.measure_on_test(measured_twice, fitted, 2)
    nested = evaluation.nested_cv(measured_twice, prior, 2, seed=0)
    splits = evaluation.monte_carlo_cv(measured_twice, prior, tested, 3, seed=0)
    assert len(straddling) == 1 + 2 * 5 + 3
    assert not any(straddling)
    people = measured_twice.groups[measured_twice.y_train.index].nunique()
    assert nested.P.groupby("repeat").size().to_list() == [people] * 2
    accuracy = nested.table.loc[("accuracy", "prior")]
    assert accuracy[["lower", "upper"]].to_list() == pytest.approx(
        wilson_interval(accuracy["mean"], people)
    )
    assert set(splits.patients.index) == set(measured_twice.groups)


# --- more than two classes ------------------------------------------------------------------------


@pytest.fixture
def of_four():
    """40 patients of four unequal classes, whose probabilities know something of their class."""
    classes = ["A", "B", "C", "D"]
    codes = np.repeat([0, 1, 2, 3], [16, 12, 7, 5])
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(40, 4)) + 1.5 * np.eye(4)[codes]
    p = np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)
    columns = pd.MultiIndex.from_product([["model"], classes], names=["model", "class"])
    return as_classes(codes, classes=classes), pd.DataFrame(p, columns=columns)


def test_scores_of_several_classes_are_those_of_scikit_learn(of_four):
    y, P = of_four
    found = evaluation.score(y, P).xs("model", level="model")
    called = P["model"].idxmax(axis=1)
    p = P["model"].to_numpy()
    expected = {
        "accuracy": metrics.accuracy_score(y, called),
        "balanced accuracy": metrics.balanced_accuracy_score(y, called),
        "ROC AUC": metrics.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "ROC AUC of C": metrics.roc_auc_score(y == "C", P["model", "C"]),
        "recall of D": metrics.recall_score(y, called, labels=["D"], average="macro"),
        "Brier score": metrics.brier_score_loss(y, p, scale_by_half=True),
    }
    assert found[list(expected)].to_dict() == pytest.approx(expected)
    assert len(found) == 4 + 2 * 4


def test_intervals_of_several_classes_are_those_of_their_patients(of_four):
    y, P = of_four
    scores = evaluation.score(y, P)
    table = evaluation.interval_table(scores, y, scores.to_frame().T)
    limits = table[["lower", "upper"]].apply(tuple, axis=1).xs("model", level="model")
    counts = {"A": 16, "B": 12, "C": 7, "D": 5}
    recalls = [scores[f"recall of {label}", "model"] for label in counts]
    assert limits["recall of D"] == pytest.approx(wilson_interval(recalls[3], 5))
    assert limits["balanced accuracy"] == pytest.approx(newcombe_interval(recalls, counts.values()))
    of_classes = [
        auc_interval(scores[f"ROC AUC of {label}", "model"], n, 40 - n)
        for label, n in counts.items()
    ]
    assert limits["ROC AUC of A"] == pytest.approx(of_classes[0])
    assert limits["ROC AUC"] == pytest.approx(np.mean(of_classes, axis=0))


def test_probabilities_of_several_classes_are_counted_together(of_four):
    y, P = of_four
    states = pd.concat({-1: P, 0: P}, names=["split", "patient"])
    empty = pd.DataFrame()
    with_majority = pd.concat([P, P.rename(columns={"model": MAJORITY})], axis=1)
    tested = evaluation.Tested(y, with_majority, states, empty, empty, empty)
    splits = evaluation.Resampled(states, empty, empty)
    row = evaluation.probability_table(tested, splits).loc["model"]
    p = P["model"].to_numpy().ravel()
    is_class = np.eye(4)[y.cat.codes].ravel()
    certain = p > 0.8
    assert row["0.8-1"] == f"{is_class[certain].sum():.0f} of {certain.sum()}"
    counts = [int(row[name].split(" of ")[1]) for name in ("0-0.2", "0.2-0.8", "0.8-1")]
    assert sum(counts) == 4 * 40
    assert "mean" not in row


def test_each_class_has_a_calibration_of_its_own(of_four):
    y, P = of_four
    table = evaluation.calibration_in_the_large(y, P)
    assert table.index.to_list() == [("model", label) for label in "ABCD"]
    assert table["excess"].sum() == pytest.approx(0)
    expected = stats.ttest_1samp(P["model", "B"] - (y == "B"), 0).confidence_interval(1 - 0.05 / 4)
    assert table.loc[("model", "B"), ["lower", "upper"]].to_list() == pytest.approx(list(expected))


def test_the_majority_of_several_classes_is_the_largest():
    data = simulate_classes([12, 5, 7], effect=0)
    model = {MAJORITY: build_models(Preprocessing(), 0, 3)[MAJORITY]}
    found = evaluation.nested_cv(data, model, 2, seed=0)
    assert found.table.loc[("accuracy", MAJORITY), "mean"] == pytest.approx(12 / 24)
    assert found.P.iloc[0].to_list() == pytest.approx([12 / 24, 5 / 24, 7 / 24])


@pytest.mark.parametrize("effect", [0, 3])
def test_shuffled_labels_of_several_classes_do_as_well_only_without_signal(effect):
    data = simulate_classes([9, 5, 7], effect)
    models = build_models(Preprocessing(), 0, 3)
    found = evaluation.permuted_labels(data, models, 19, seed=0)
    assert found.model == "Logistic Regression (not tuned)"
    assert (found.as_good == 0) == (effect > 0)
