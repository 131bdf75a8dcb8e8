"""New patients: which arrays are unlike, which genes decide, and what is counted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from expression.analysis import evaluation, new_patients
from expression.analysis.models import build_models
from expression.analysis.new_patients import (
    Possible,
    count_called,
    count_farther_out,
    explain_calls,
    find_possible,
    is_unlike,
    reasons_in_words,
)
from expression.analysis.tuning import fit, fit_models, predict
from many_classes import GENES_OF_CLASS, simulate_classes
from planted import DOWN, UP, quick_models, simulate


@pytest.fixture(scope="module")
def cohort():
    """40 training patients, and 40 others of the same kind as new ones."""
    data = simulate(effect=3)
    return replace(data, X_test=data.X_test[:0], y_test=data.y_test[:0], X_new=data.X_test)


@pytest.fixture(scope="module")
def fitted(cohort):
    return fit(quick_models(), cohort.X_train.to_numpy(), cohort.y_train.cat.codes.to_numpy())


def possible_of(**classes):
    table = pd.concat(
        {name: pd.DataFrame(rows, list("abcd"), ["A", "B"]) for name, rows in classes.items()},
        axis=1,
        names=["model", "class"],
    ).astype(bool)
    return Possible(table.astype(float), table)


def test_calls_are_of_one_class_and_counted():
    possible = possible_of(m=[[1, 0], [1, 1], [0, 0], [0, 1]])
    assert possible.in_words("m").to_dict() == {"a": "A", "b": "A or B", "c": "none", "d": "B"}
    y = pd.Series(pd.Categorical(["A", "A", "B", "A"]), list("abcd"))
    assert count_called(possible, y).loc["m"].to_dict() == {"called": 2, "correct": 1}
    assert count_called(possible.of(pd.Index(["a", "b"])), y).loc["m"].tolist() == [1, 1]


def test_known_patients_of_planted_classes_are_called_as_they_are(cohort):
    models = {name: u for name, u in quick_models().items() if name in ("XGBoost", "Decision Tree")}
    nested = evaluation.nested_cv(cohort, models, repeats=2, seed=0)
    fitted = fit_models(models, cohort.X_train, cohort.y_train)
    P = predict(fitted, cohort.X_new, cohort.classes)
    possible = find_possible(nested, P, 0.9)
    truth = simulate(effect=3).y_test
    counted = count_called(possible, truth)
    assert (counted["correct"] > 30).all()
    assert (counted["called"] - counted["correct"] <= 3).all()
    assert find_possible(nested, P, 0.96).classes.all(axis=None)  # of 20, p >= 1/21


def test_arrays_like_those_of_training_lie_among_them(cohort):
    farther = count_farther_out(cohort, seed=0)
    assert is_unlike(farther, 40).mean() <= 0.1
    assert 10 < farther.median() < 30


def test_arrays_of_another_kind_lie_farther_out(few_genes):
    """Each gene at a level of its own, as in another tissue."""
    rng = np.random.default_rng(1)
    moved = few_genes.X_test * np.exp2(rng.normal(0, 2, few_genes.X_test.shape[1]))
    farther = count_farther_out(replace(few_genes, X_new=moved), seed=0)
    assert is_unlike(farther, 38).all()
    assert not is_unlike(count_farther_out(replace(few_genes, X_new=few_genes.X_test), 0), 38).all()


def test_patients_in_parts_are_those_of_one(cohort, fitted, monkeypatch):
    whole = explain_calls(fitted, cohort, seed=0)
    farther = count_farther_out(cohort, seed=0)
    monkeypatch.setattr(new_patients, "AT_ONCE", 7)
    pd.testing.assert_series_equal(count_farther_out(cohort, seed=0), farther)
    for name, reasons in explain_calls(fitted, cohort, seed=0).items():
        pd.testing.assert_frame_equal(reasons.genes, whole[name].genes)


def test_planted_genes_are_the_reasons(cohort, fitted):
    reasons = explain_calls(fitted, cohort, seed=0)
    assert list(reasons) == ["Logistic Regression", "Random Forest"]
    truth = simulate(effect=3).y_test.astype(str)
    for of_model in reasons.values():
        is_planted = of_model.genes.isin([*UP, *DOWN])
        assert is_planted[1].mean() > 0.6  # of 300 genes 5 are
        for rank in of_model.genes:
            rows = is_planted[rank]
            rises = of_model.genes[rank].isin(UP)
            for_case = of_model.speaks_for[rank] == "case"
            assert (of_model.is_high[rank] == (rises == for_case))[rows].all()
    first = reasons["Logistic Regression"].speaks_for[1]
    assert (first == truth).mean() > 0.9


def test_linear_reasons_are_coefficients_times_the_distance_from_the_mean(cohort, fitted):
    pipeline = fitted["Logistic Regression"].pipeline
    Z = pd.DataFrame(pipeline[:-1].transform(cohort.X_new.to_numpy()))
    of_training = pipeline[:-1].transform(cohort.X_train.to_numpy())
    expected = (Z - of_training.mean(axis=0)) * pipeline[-1].coef_[0]
    values = explain_calls(fitted, cohort, seed=0)["Logistic Regression"].values
    largest = np.sort(expected.abs().to_numpy(), axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(values.abs(), largest, rtol=1e-6)


def test_reasons_in_words_name_the_class_they_speak_for(cohort, fitted):
    reasons = explain_calls(fitted, cohort, seed=0)["Random Forest"]
    words = reasons_in_words(reasons, cohort.gene_names, list(cohort.X_new.index[:2]))
    assert len(words) == 2
    assert words.str.contains(r"for (?:case|control) g\d+ (?:high|low)").all()


# --- more than two classes ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_three():
    """36 training patients of three classes, and as many of the same kind as new ones."""
    data = simulate_classes([15, 9, 12], effect=3, test_sizes=[15, 9, 12])
    truth = data.y_test
    return replace(data, X_test=data.X_test[:0], y_test=truth[:0], X_new=data.X_test), truth


def test_a_set_holds_each_class_that_cannot_be_excluded(of_three):
    data, truth = of_three
    built = build_models(data.preprocessing, 0, 3)
    models = {name: built[name] for name in ("Decision Tree", "Majority class")}
    nested = evaluation.nested_cv(data, models, repeats=2, seed=0)
    fitted = fit_models(models, data.X_train, data.y_train)
    possible = find_possible(nested, predict(fitted, data.X_new, data.classes), 0.85)
    assert possible.classes.columns.to_list() == [("Decision Tree", name) for name in data.classes]
    of_truth = [possible.classes.loc[who, ("Decision Tree", label)] for who, label in truth.items()]
    assert np.mean(of_truth) > 0.7
    several = possible.classes.sum(axis=1) > 1
    assert possible.in_words("Decision Tree")[several].str.contains(" or ").all()


def test_reasons_speak_for_the_class_that_a_gene_is_higher_in(of_three):
    data, truth = of_three
    built = build_models(data.preprocessing, 0, 3)
    models = {
        name: built[name]._replace(parameters=parameters)
        for name, parameters in {"Logistic Regression": {}, "Random Forest": {}}.items()
    }
    fitted = fit(models, data.X_train.to_numpy(), data.y_train.cat.codes.to_numpy())
    for reasons in explain_calls(fitted, data, seed=0).values():
        gene = reasons.genes[1].str.removeprefix("g").astype(int)
        own_class = gene // GENES_OF_CLASS
        assert (own_class < 3).mean() > 0.8
        assert (reasons.values[1] > 0).all()
        speaks_for_own = reasons.speaks_for[1] == own_class.map("class {:02}".format)
        assert (reasons.is_high[1] == speaks_for_own)[own_class < 3].mean() > 0.95
        assert (reasons.speaks_for[1] == truth.astype(str)).mean() > 0.8
