"""Tuning and fitting: held to scikit-learn's grid search, and blind to patients held out."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
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
from planted import small_models

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
    y = data.y_train.cat.codes
    return tuning.fit_models({name: models[name] for name in names}, data.X_train, y)


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
    splits, y = [(np.arange(38), np.arange(38, 72))] * 2, few_genes.y_all.cat.codes
    together = tuning.predict_held_out(models, few_genes.X_all, y, splits, "")
    for split, seed in enumerate(np.random.default_rng(0).integers(2**31, size=2)):
        alone = tuning.predict(fit(few_genes, names, int(seed)), few_genes.X_test)
        pd.testing.assert_frame_equal(together.loc[split], alone)
    assert (together.loc[0] != together.loc[1]).any()["XGBoost"]  # no state decides a mean


def test_no_seed_changes_a_baseline_and_one_gene_is_zyxin(data):
    names = [name for name, model in MODELS.items() if model.baseline]
    fitted, again = fit(data, names, seed=0), fit(data, names, seed=5)
    rule = fitted["One gene"].pipeline
    genes = rule[:-1].get_feature_names_out(data.X_train.columns)
    assert genes[rule[-1].feature_importances_ > 0].tolist() == ["X95735_at"]
    P = tuning.predict(fitted, data.X_test)
    assert ((P["One gene"] > 0.5) == data.y_test.cat.codes).sum() == 31
    assert P[MAJORITY].unique() == pytest.approx([11 / 38])
    pd.testing.assert_frame_equal(tuning.predict(again, data.X_test), P)


def test_what_was_tuned_before_is_tuned_anew(few_genes):
    name, parameters = "Logistic Regression", {"model__C": 1e-3}  # which is not in the grid
    untuned = {name: build_models(few_genes.preprocessing, 4)[name]}
    tuned = {name: u._replace(parameters=parameters) for name, u in untuned.items()}
    task = few_genes.X_all, few_genes.y_all.cat.codes, [(np.arange(38), np.arange(38, 72))], ""
    P, again = (tuning.predict_held_out(models, *task) for models in (untuned, tuned))
    pd.testing.assert_frame_equal(P, again)
    fitted = tuning.fit(tuned, few_genes.X_train.to_numpy(), few_genes.y_train.cat.codes.to_numpy())
    assert not tuning.predict(fitted, few_genes.X_test).equals(P.loc[0])


def test_held_out_patients_are_predicted_by_models_that_have_not_seen_them():
    levels = np.array([0.0, 0.1, 5.0, 5.1, 9.0])  # by which patients are alike
    genes = np.linspace(100, 1_000, 12)
    X = pd.DataFrame(100 + np.outer(levels, genes), list("abcde")).add_prefix("gene")
    y = pd.Series([0, 1, 1, 0, 1], X.index)
    neighbour = KNeighborsClassifier(n_neighbors=1)  # who has seen a patient knows the patient
    models = {
        "neighbour": Model([("model", neighbour)], values="filtered", baseline=True),
        "prior": Model([("model", DummyClassifier())], values="filtered", baseline=True),
    }
    unfitted = {name: Unfitted(model, Preprocessing(), 0) for name, model in models.items()}
    splits = [([1, 3, 4], [0, 2]), ([0, 2, 4], [1, 3])]
    P = tuning.predict_held_out(unfitted, X, y, splits, "")
    assert P.index.tolist() == [(0, "a"), (0, "c"), (1, "b"), (1, "d")]
    assert P["neighbour"].tolist() == [1, 0, 0, 1]  # the label of the neighbour, never the own
    assert P["prior"].tolist() == pytest.approx([2 / 3] * 4)
