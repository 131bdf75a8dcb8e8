"""Tuning and fitting: held to scikit-learn's grid search, and blind to patients held out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from expression import tuning
from expression.models import MAJORITY, MODELS, Model, Unfitted, build_models, classifier_names
from expression.preprocessing import Preprocessing

GRIDS = {
    "Logistic Regression": {"select__percentile": [7, 100], "model__C": [10.0, 0.1]},
    "Decision Tree": {"select__percentile": [1.3, 10], "model__max_depth": [1, 3]},
    "Random Forest": {"model__max_features": ["sqrt", 0.1]},
    "XGBoost": {tuning.ROUNDS: [5, 20, 10]},
}


@pytest.fixture(scope="module", autouse=True)
def fast():
    """Small grids and forests, one thread."""
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        for name, grid in GRIDS.items():
            patch.setitem(MODELS, name, MODELS[name]._replace(grid=grid))
        steps = [("model", RandomForestClassifier(12))]
        forest = MODELS["Random Forest"]._replace(steps=steps, search={tuning.ROUNDS: 5})
        patch.setitem(MODELS, "Random Forest", forest)
        yield


def fit_baselines(data, seed):
    models = {n: m for n, m in build_models(data.preprocessing, seed).items() if m.model.baseline}
    return tuning.fit_models(models, data.X_train, data.y_train.cat.codes)


@pytest.fixture(scope="module")
def baselines(data):
    return fit_baselines(data, seed=0)


@pytest.mark.parametrize("name", classifier_names())
def test_tuned_models_are_those_of_scikit_learn_on_the_full_pipeline(few_genes, name):
    X, y = few_genes.X_train, few_genes.y_train.cat.codes
    unfitted = build_models(few_genes.preprocessing, seed=3)[name]
    values = few_genes.preprocessing.steps()
    whole = Pipeline([*values, *unfitted.steps(unfitted.model.search or {}).steps])
    cv = StratifiedKFold(tuning.INNER_FOLDS, shuffle=True, random_state=3)
    options = {"scoring": "neg_brier_score", "cv": cv, "refit": False}
    search = GridSearchCV(whole, unfitted.model.grid, **options).fit(X.to_numpy(), y)
    [found] = tuning.fit_models({name: unfitted}, X, y).values()
    assert found.cv_results_["parameters"].tolist() == search.cv_results_["params"]
    scores = -search.cv_results_["mean_test_score"], search.cv_results_["std_test_score"]
    assert found.cv_results_["Brier score"].to_numpy() == pytest.approx(scores[0], abs=1e-7)
    assert found.cv_results_["sd"].to_numpy() == pytest.approx(scores[1], abs=1e-7)
    assert found.best_params_ == search.best_params_
    refitted = Pipeline([*values, *unfitted.steps(search.best_params_).steps]).fit(X.to_numpy(), y)
    expected = refitted.predict_proba(few_genes.X_test.to_numpy())
    assert (found.best_estimator_.predict_proba(few_genes.X_test.to_numpy()) == expected).all()


def test_models_fitted_together_are_those_fitted_alone(few_genes):
    X, y = few_genes.X_train, few_genes.y_train.cat.codes
    names = ["Decision Tree", "XGBoost", "Weighted voting"]
    models = {name: build_models(few_genes.preprocessing, 0)[name] for name in names}
    splits = [(np.arange(38), np.arange(38, 72))] * 2
    y_all = few_genes.y_all.cat.codes
    together = tuning.predict_held_out(models, few_genes.X_all, y_all, splits, "")
    for split, seed in enumerate(np.random.default_rng(0).integers(2**31, size=2)):
        alone = {name: unfitted._replace(seed=int(seed)) for name, unfitted in models.items()}
        alone = tuning.predict(tuning.fit_models(alone, X, y), few_genes.X_test)
        pd.testing.assert_frame_equal(together.loc[split], alone)
    assert (together.loc[0] != together.loc[1]).any()["XGBoost"]  # no state decides a mean


def test_the_one_gene_rule_is_zyxin(baselines, data):
    rule = baselines["One gene"].best_estimator_
    names = rule[:-1].get_feature_names_out(data.X_train.columns)
    assert names[rule[-1].feature_importances_ > 0].tolist() == ["X95735_at"]
    p = tuning.predict(baselines, data.X_test)["One gene"]
    assert ((p > 0.5) == data.y_test.cat.codes).sum() == 31


def test_no_seed_changes_a_baseline(baselines, data):
    expected = tuning.predict(baselines, data.X_test)
    assert list(expected) == [MAJORITY, "One gene", "Weighted voting"]
    assert expected[MAJORITY].unique() == pytest.approx([11 / 38])
    other = tuning.predict(fit_baselines(data, seed=5), data.X_test)
    pd.testing.assert_frame_equal(other, expected)


def test_random_states_change_nothing_but_what_is_random(few_genes):
    X, y = few_genes.X_train, few_genes.y_train.cat.codes
    names = ["Logistic Regression", "Random Forest"]
    models = {name: build_models(few_genes.preprocessing, 4)[name] for name in names}
    fitted = tuning.fit_models(models, X, y)
    given = tuning.predict(fitted, few_genes.X_test)
    states = tuning.predict_under_random_states(fitted, X, y, few_genes.X_test, [4, 5])
    pd.testing.assert_frame_equal(states.loc[4], given)
    changed = (states.loc[5] != given).any()
    assert changed.to_dict() == {"Logistic Regression": False, "Random Forest": True}


def test_held_out_patients_are_predicted_by_models_that_have_not_seen_them():
    X = pd.DataFrame({"gene": [0.0, 0.1, 5.0, 5.1, 9.0]}, index=list("abcde"))
    y = pd.Series([0, 1, 1, 0, 1], X.index)
    classifiers = {"neighbour": KNeighborsClassifier(n_neighbors=1), "prior": DummyClassifier()}
    unfitted = {
        name: Unfitted(
            Model(name, [("model", m)], baseline=True, values=lambda _: [("all", "passthrough")]),
            Preprocessing(),
            seed=0,
        )
        for name, m in classifiers.items()  # who has seen a patient knows the patient
    }
    splits = [([1, 3, 4], [0, 2]), ([0, 2, 4], [1, 3])]
    P = tuning.predict_held_out(unfitted, X, y, splits, "")
    assert P.index.tolist() == [(0, "a"), (0, "c"), (1, "b"), (1, "d")]
    assert P["neighbour"].tolist() == [1, 0, 0, 1]  # the label of the neighbour, never the own
    assert P["prior"].tolist() == pytest.approx([2 / 3] * 4)
    assert not hasattr(classifiers["neighbour"], "classes_")
