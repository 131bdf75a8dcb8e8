"""Tuning and fitting: held to scikit-learn's grid search, and blind to patients held out."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import brier_score_loss, make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from expression.analysis import tuning
from expression.analysis.models import (
    MAJORITY,
    MODELS,
    Model,
    Unfitted,
    build_models,
    classifier_names,
)
from expression.preprocessing import Preprocessing
from many_classes import simulate_classes
from planted import as_classes, small_models

GRIDS = {
    "Logistic Regression": {"genes__percentile": [7, 100], "model__C": [10.0, 0.1]},
    "Decision Tree": {"genes__percentile": [1.3, 10], "model__max_depth": [1, 3]},
    "Random Forest": {"model__max_features": ["sqrt", 0.1]},
    "XGBoost": {tuning.ROUNDS: [5, 20, 10]},
}


@pytest.fixture(scope="module", autouse=True)
def fast():
    with small_models(GRIDS):
        yield


def fit(data, names, seed):
    models = build_models(data.preprocessing, seed)
    return tuning.fit_models({name: models[name] for name in names}, data.X_train, data.y_train)


@pytest.mark.parametrize("name", classifier_names())
def test_tuned_models_are_those_of_scikit_learn_on_the_full_pipeline(few_genes, name):
    X, y = few_genes.X_train.to_numpy(), few_genes.y_train.cat.codes
    unfitted = build_models(few_genes.preprocessing, seed=3)[name]
    values = few_genes.preprocessing.steps()

    def pipeline(parameters):
        return Pipeline([*values, *unfitted._replace(parameters=parameters).steps().steps])

    cv = StratifiedKFold(tuning.INNER_FOLDS, shuffle=True, random_state=3)
    options = {"scoring": "neg_brier_score", "cv": cv, "refit": False}
    search = GridSearchCV(pipeline(unfitted.model.search), unfitted.model.grid, **options)
    search.fit(X, y)
    [found] = fit(few_genes, [name], seed=3).values()
    assert found.grid_scores["parameters"].tolist() == search.cv_results_["params"]
    scores = -search.cv_results_["mean_test_score"], search.cv_results_["std_test_score"]
    assert found.grid_scores["Brier score"].to_numpy() == pytest.approx(scores[0], abs=1e-7)
    assert found.grid_scores["sd"].to_numpy() == pytest.approx(scores[1], abs=1e-7)
    assert found.unfitted.parameters == search.best_params_
    X_test = few_genes.X_test.to_numpy()
    expected = pipeline(search.best_params_).fit(X, y).predict_proba(X_test)
    assert (found.pipeline.predict_proba(X_test) == expected).all()


def test_parameters_are_chosen_on_quarters_of_the_patients(few_genes, monkeypatch):
    sizes = []

    def record(unfitted, fold):
        sizes.append(len(fold.y_held_out))
        return score_grid(unfitted, fold)

    score_grid = tuning.score_grid
    monkeypatch.setattr(tuning, "score_grid", record)
    fit(few_genes, ["Decision Tree"], seed=0)
    assert sorted(sizes) == [9, 9, 10, 10]


def test_on_several_partitions_the_scores_are_the_mean_over_all_their_folds(few_genes):
    """The first partition is that of a single one, whatever the number of the others."""
    X, y = few_genes.X_train.to_numpy(), few_genes.y_train.cat.codes.to_numpy()
    models = {"Decision Tree": build_models(few_genes.preprocessing, 3)["Decision Tree"]}
    seeds = [3, *np.random.default_rng(3).integers(2**31, size=2).tolist()]
    partitions = [
        list(StratifiedKFold(tuning.INNER_FOLDS, shuffle=True, random_state=seed).split(X, y))
        for seed in seeds
    ]
    for repeats in (1, 3):
        [found] = tuning.search_grids(models, X, y, None, repeats).values()
        of_folds = []
        for train, held_out in itertools.chain.from_iterable(partitions[:repeats]):
            [(preprocessing, Z)] = tuning.preprocess(models, X[train]).values()
            fold = tuning.Fold(Z, y[train], preprocessing.transform(X[held_out]), y[held_out])
            of_folds.append(tuning.score_grid(models["Decision Tree"], fold))
        assert found["Brier score"].tolist() == pytest.approx(np.mean(of_folds, axis=0))
        assert found["sd"].tolist() == pytest.approx(np.std(of_folds, axis=0))


def test_models_fitted_together_are_those_fitted_alone(few_genes):
    names = ["Decision Tree", "XGBoost", "Weighted voting"]
    models = {name: build_models(few_genes.preprocessing, 0)[name] for name in names}
    splits, y = [(np.arange(38), np.arange(38, 72))] * 2, few_genes.y_all
    together = tuning.predict_held_out(models, few_genes.X_all, y, splits, "")
    for split, seed in enumerate(np.random.default_rng(0).integers(2**31, size=2)):
        fitted = fit(few_genes, names, int(seed))
        alone = tuning.predict(fitted, few_genes.X_test, few_genes.classes)
        pd.testing.assert_frame_equal(together.loc[split], alone)
    assert (together.loc[0] != together.loc[1]).any()["XGBoost"].all()  # no state decides a mean


def test_no_seed_changes_a_baseline_and_one_gene_is_zyxin(data):
    names = [name for name, model in MODELS.items() if model.baseline]
    fitted, again = fit(data, names, seed=0), fit(data, names, seed=5)
    rule = fitted["One gene"].pipeline
    genes = rule[:-1].get_feature_names_out(data.X_train.columns)
    assert genes[rule[-1].feature_importances_ > 0].tolist() == ["X95735_at"]
    P = tuning.predict(fitted, data.X_test, data.classes)
    assert ((P["One gene", "AML"] > 0.5) == data.y_test.cat.codes).sum() == 31
    assert P[MAJORITY, "AML"].unique() == pytest.approx([11 / 38])
    pd.testing.assert_frame_equal(tuning.predict(again, data.X_test, data.classes), P)


def test_what_was_tuned_before_is_tuned_anew(few_genes):
    name, parameters = "Logistic Regression", {"model__C": 1e-3}  # which is not in the grid
    untuned = {name: build_models(few_genes.preprocessing, 4)[name]}
    tuned = {name: u._replace(parameters=parameters) for name, u in untuned.items()}
    task = few_genes.X_all, few_genes.y_all, [(np.arange(38), np.arange(38, 72))], ""
    P, again = (tuning.predict_held_out(models, *task) for models in (untuned, tuned))
    pd.testing.assert_frame_equal(P, again)
    fitted = tuning.fit(tuned, few_genes.X_train.to_numpy(), few_genes.y_train.cat.codes.to_numpy())
    assert not tuning.predict(fitted, few_genes.X_test, few_genes.classes).equals(P.loc[0])


def test_held_out_patients_are_predicted_by_models_that_have_not_seen_them():
    levels = np.array([0.0, 0.1, 5.0, 5.1, 9.0])  # by which patients are alike
    genes = np.linspace(100, 1_000, 12)
    X = pd.DataFrame(100 + np.outer(levels, genes), list("abcde")).add_prefix("gene")
    y = as_classes([0, 1, 1, 0, 1], X.index)
    neighbour = KNeighborsClassifier(n_neighbors=1)  # who has seen a patient knows the patient
    models = {
        "neighbour": Model([("model", neighbour)], values="filtered", baseline=True),
        "prior": Model([("model", DummyClassifier())], values="filtered", baseline=True),
    }
    unfitted = {name: Unfitted(model, Preprocessing(), 0) for name, model in models.items()}
    splits = [([1, 3, 4], [0, 2]), ([0, 2, 4], [1, 3])]
    P = tuning.predict_held_out(unfitted, X, y, splits, "")
    assert P.index.tolist() == [(0, "a"), (0, "c"), (1, "b"), (1, "d")]
    assert P["neighbour", "AML"].tolist() == [
        1,
        0,
        0,
        1,
    ]  # the label of the neighbour, never the own
    assert P["prior", "AML"].tolist() == pytest.approx([2 / 3] * 4)


@pytest.mark.parametrize("name", classifier_names())
def test_of_several_classes_tuning_is_that_of_scikit_learn(name):
    data = simulate_classes([9, 5, 7], effect=1)
    X, codes = data.X_train.to_numpy(), data.y_train.cat.codes
    unfitted = build_models(data.preprocessing, 3, 3)[name]
    [found] = tuning.fit_models({name: unfitted}, data.X_train, data.y_train).values()

    steps = unfitted._replace(parameters=unfitted.model.search).steps().steps
    pipeline = Pipeline([*data.preprocessing.steps(), *steps])
    half_brier = make_scorer(
        brier_score_loss, response_method="predict_proba", scale_by_half=True, labels=[0, 1, 2]
    )
    cv = StratifiedKFold(tuning.INNER_FOLDS, shuffle=True, random_state=3)
    grid = unfitted.model.grid
    search = GridSearchCV(pipeline, grid, scoring=half_brier, cv=cv, refit=False).fit(X, codes)
    expected = search.cv_results_["mean_test_score"]
    assert found.grid_scores["Brier score"].to_numpy() == pytest.approx(expected, abs=1e-6)


def test_probabilities_of_several_classes_add_up_to_one():
    data = simulate_classes([6, 5, 5, 5, 5, 5], effect=2, test_sizes=[1] * 6)
    models = build_models(data.preprocessing, 0, 6)
    P = tuning.predict(
        tuning.fit_models(models, data.X_train, data.y_train), data.X_test, data.classes
    )
    assert P.columns.to_list() == [(name, label) for name in models for label in data.classes]
    sums = P.T.groupby(level="model").sum()
    np.testing.assert_allclose(sums, 1, atol=1e-6)
