"""Models across batches: counted by hand, and on planted batch effects."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from expression.analysis import across_batches, evaluation
from expression.analysis.models import build_models
from expression.data import ExpressionData
from expression.preprocessing import Preprocessing
from many_classes import simulate_classes
from planted import of_both_classes, simulate


@pytest.fixture(scope="module")
def hospitals(data):
    """The shipped data with the hospitals of the published sample table."""
    source = {**dict.fromkeys(range(1, 28), "DFCI"), **dict.fromkeys(range(28, 39), "CALGB")}
    source |= dict.fromkeys(data.y_test.index[data.y_test == "ALL"], "DFCI")
    source |= dict.fromkeys(data.y_test.index[data.y_test == "AML"], "CALGB")
    return replace(data, batches=pd.Series(source).loc[data.y_all.index])


def as_tested(data: ExpressionData, P: pd.DataFrame) -> evaluation.Tested:
    empty = pd.DataFrame()
    return evaluation.Tested(data.y_test, P, empty, empty, empty, empty)


@pytest.fixture
def planted_cohort():
    data = simulate(effect=0)
    names = np.where(np.arange(80) % 4 < 2, "north", "south").astype(object)
    names[70:] = "east"
    return replace(data, batches=pd.Series(names, data.y_all.index))


def test_correct_ones_are_counted_by_batch(planted_cohort):
    y = planted_cohort.y_test.cat.codes
    P = pd.DataFrame({"right": y.astype(float), "wrong": 1.0 - y})
    P = of_both_classes(P, planted_cohort.classes)
    table = across_batches.count_correct(planted_cohort, as_tested(planted_cohort, P))
    assert table.index.to_list() == ["north", "south", "east"]  # those of training first
    assert table["in training"].to_list() == [True, True, False]
    assert table["patients"].to_list() == table["right"].to_list() == [16, 14, 10]
    assert table["wrong"].to_list() == [0, 0, 0]


def test_ranks_within_batches_have_a_p_only_where_others_were_trained_on(planted_cohort):
    y = planted_cohort.y_test.cat.codes
    P = pd.DataFrame({"right": y + 0.0, "wrong": 1.0 - y, "Majority class": 0.5})
    P = of_both_classes(P, planted_cohort.classes)
    within = across_batches.rank_within(planted_cohort, P, trained_on_others=True)
    assert set(within.batches) == {"north", "south", "east"}
    assert within.auc["auc"].to_dict() == {"right": 1, "wrong": 0}
    assert within.auc.loc["right", "p"] < 0.001
    assert within.auc.loc["wrong", "p"] == 1
    inside = across_batches.rank_within(planted_cohort, P, trained_on_others=False)
    assert inside.auc["p"].isna().all()


def batch_effect(confounded: float, seed: int) -> ExpressionData:
    """Return 40 + 40 patients of two batches that differ in 60 genes; no gene knows the class.

    Of class "control" a share `confounded` is of batch A, of the other class the rest.
    """
    data = simulate(effect=0, seed=seed)
    rng = np.random.default_rng([seed, 1])
    y = data.y_all
    in_a = pd.Series(False, y.index)
    for label, share in zip(data.classes, (confounded, 1 - confounded), strict=True):
        for part in (data.y_train, data.y_test):
            members = part.index[part == label]
            in_a[rng.choice(members, round(share * len(members)), replace=False)] = True
    effect = np.where(in_a, 4.0, 1.0)[:, None] ** (np.arange(data.X_all.shape[1]) < 60)
    X = data.X_all * effect
    more = pd.Series(rng.choice(["a", "b"], len(y)), y.index)  # four batches, so that three stay
    names = pd.Series(np.where(in_a, "A", "B"), y.index) + more
    return replace(
        data,
        X_train=X.loc[data.X_train.index],
        X_test=X.loc[data.X_test.index],
        batches=names,
    )


@pytest.mark.parametrize(("confounded", "inflated"), [(0.5, False), (0.75, True), (1.0, True)])
def test_a_batch_effect_passes_for_the_disease_but_not_when_held_out_or_within(
    confounded, inflated
):
    across, within, held_out = [], [], []
    for seed in range(3):
        data = batch_effect(confounded, seed)
        models = {"Weighted voting": build_models(Preprocessing(), seed)["Weighted voting"]}
        nested = evaluation.nested_cv(data, models, 1, seed)
        across.append(nested.table.loc[("accuracy", "Weighted voting"), "mean"])
        P = nested.P.groupby(level="patient").mean()
        ranks = across_batches.rank_within(data, P, trained_on_others=False)
        within.append(ranks.auc["auc"].iloc[0])
        # What a new laboratory is like: both kinds of A held out together
        together = replace(data, batches=data.batches.str[0])
        counts = across_batches.hold_out(together, models, 1).correct
        if len(counts):
            held_out.append(counts["Weighted voting"].sum() / counts["patients"].sum())
    assert (np.mean(across) > 0.65) == inflated
    if confounded < 1:
        assert np.mean(within) < 0.65
        assert np.mean(held_out) < 0.6
    else:  # nothing is left within a batch, and no batch can be held out
        assert np.isnan(within).all()
        assert not held_out


def test_batches_are_held_out_under_several_states(planted_cohort):
    models = {"Majority class": build_models(Preprocessing(), 0)["Majority class"]}
    found = across_batches.hold_out(planted_cohort, models, 3)
    assert found.correct["patients"].sum() == 80
    assert found.impossible == []
    assert len(found.states) == 3
    sizes = planted_cohort.batches.value_counts()
    assert found.correct["patients"].to_dict() == sizes.to_dict()
    none = across_batches.hold_out(replace(planted_cohort, batches=planted_cohort.y_all), models, 3)
    assert none.correct.empty
    assert none.impossible == sorted(planted_cohort.classes)


def test_the_batch_alone_tells_the_published_test_patients(hospitals):
    P = pd.DataFrame(index=hospitals.y_test.index)
    assert across_batches.batch_alone(hospitals, as_tested(hospitals, P)) == (34, 34)


def test_of_several_classes_each_is_ranked_against_the_rest_within_batches():
    data = simulate_classes([8, 6, 7], 0, test_sizes=[8, 6, 7], batches=2)
    y = data.y_test
    truth = pd.get_dummies(y).astype(float)
    half = truth.assign(**{"class 00": 0.5})  # knows nothing of the first class
    P = pd.concat({"right": truth, "half": half}, axis=1, names=["model", "class"])
    within = across_batches.rank_within(data, P, trained_on_others=True)
    counts = pd.crosstab(data.batches[y.index], y)
    pairs = {
        batch: sum(a * b for i, a in enumerate(of) for b in of[:i])
        for batch, of in counts.iterrows()
    }
    assert within.batches == pairs
    assert within.auc["auc"].to_dict() == pytest.approx({"right": 1, "half": 2.5 / 3})
    assert within.auc.loc["right", "p"] < 0.01
    shuffled = P.sample(frac=1, random_state=0).set_axis(P.index)
    assert across_batches.rank_within(data, shuffled, trained_on_others=True).auc["p"].min() > 0.01
