"""The classifiers: by hand, and as published."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.random_projection import GaussianRandomProjection
from sklearn.utils.estimator_checks import parametrize_with_checks

from expression import models
from expression.evaluation import prediction_strength
from expression.models import COEFFICIENT, MODELS, WeightedVoting
from expression.preprocessing import Preprocessing


@parametrize_with_checks([WeightedVoting()])
def test_weighted_voting_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_weighted_voting_by_hand():
    X = np.array([[0.0, 4.0, 1.0], [2.0, 6.0, 1.2], [4.0, 0.0, 1.1], [6.0, 2.0, 0.9]])
    voting = WeightedVoting(n_genes=1).fit(X, [0, 0, 1, 1])
    # Means 1 and 5, 5 and 1, sd 1: weights (5 - 1) / (1 + 1) = 2 and -2; the third gene is silent.
    assert voting.genes_.tolist() == [0, 1]
    assert voting.weights_.tolist() == [2, -2]
    assert voting.midpoints_.tolist() == [3, 3]
    # Votes 2 * (4 - 3) = 2 and -2 * (3.5 - 3) = -1: strength (2 - 1) / (2 + 1).
    assert voting.decision_function([[4, 3.5, 9]]) == pytest.approx([1 / 3])
    assert voting.predict_proba([[4, 3.5, 9]])[0] == pytest.approx([1 / 3, 2 / 3])
    assert voting.predict_proba([[3, 3, 0]])[0] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(("scale", "found"), [("intensity", 48), ("log2", 28)])
def test_voting_genes_are_those_of_the_paper_on_intensities(data, scale, found):
    steps = (
        Preprocessing().filtered_steps() if scale == "intensity" else Preprocessing().log2_steps()
    )
    voting = Pipeline([*steps, ("model", WeightedVoting())])
    voting.fit(data.X_train.to_numpy(), data.y_train.cat.codes)
    genes = voting[:-1].get_feature_names_out(data.X_train.columns)[voting[-1].genes_]
    assert len(genes) == 50
    assert len(set(genes) & set(data.informative_genes.index)) == found
    higher = np.where(voting[-1].weights_ > 0, *data.classes[::-1])
    shared = data.informative_genes.reindex(genes).dropna()
    assert (shared == pd.Series(higher, genes)[shared.index]).all()


@pytest.mark.parametrize(
    ("scale", "right", "uncertain"),
    [("intensity", 26, [54, 57, 60, 61, 64, 67, 71]), ("log2", 29, [54, 57, 60, 67])],
)
def test_the_genes_of_the_paper_leave_its_uncertain_patients_uncertain(
    data, scale, right, uncertain
):
    # The paper classifies 29 of the 34; here 27 on intensities and 30 on logarithms.
    genes = data.informative_genes.index
    steps = [step for step in Preprocessing().log2_steps() if step[0] in ("clip", "log2")]
    steps = steps[:1] if scale == "intensity" else steps
    voting = Pipeline([*steps, ("model", WeightedVoting())])
    voting.fit(data.X_train[genes].to_numpy(), data.y_train.cat.codes)
    p = pd.Series(voting.predict_proba(data.X_test[genes].to_numpy())[:, 1], data.X_test.index)
    classified = prediction_strength(p) >= 0.3
    assert p.index[~classified].tolist() == uncertain
    assert ((p > 0.5) == data.y_test.cat.codes)[classified].sum() == right


@pytest.mark.parametrize("name", models.classifier_names())
def test_a_classifier_is_seeded_and_its_grid_is_of_its_steps(name):
    unfitted = models.build_models(Preprocessing(), seed=7)[name]
    parameters = unfitted.steps({}).get_params()
    seeds = {k: v for k, v in parameters.items() if k.split("__")[-1] == "random_state"}
    assert seeds == {"model__random_state": 7}
    assert MODELS[name].grid.keys() <= parameters.keys()
    assert MODELS[name].steps[-1][1].random_state != 7  # the registry stays unseeded
    assert all(len(values) == len(set(values)) for values in MODELS[name].grid.values())


def test_every_part_with_a_random_state_gets_the_seed():
    pipeline = Pipeline([("project", GaussianRandomProjection()), ("m", RandomForestClassifier())])
    models.set_random_states(pipeline, 3)
    assert (pipeline["project"].random_state, pipeline["m"].random_state) == (3, 3)


def test_boosting_does_split_on_few_patients(data):
    """Which min_child_weight=1 does not: two thirds of its trees have no split."""
    X, y = np.log2(data.X_train.clip(100, 16_000)), data.y_train.cat.codes
    booster = models.BOOSTING.fit(X.to_numpy(), y).get_booster()
    assert (booster.trees_to_dataframe().groupby("Tree").size() > 1).mean() > 0.95


def test_importance_is_absolute_and_zero_for_genes_left_out():
    genes, rng = pd.Index(list("abcd")), np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), np.tile([0, 1], 20)
    X[:, 1] += 3 * y
    X[:, 3] -= 9 * y
    select = ("select", SelectKBest(f_classif, k=2))
    pipeline = Pipeline([select, ("model", LogisticRegression())]).fit(X, y)
    importance = models.gene_importance(COEFFICIENT, pipeline, genes)
    assert importance["d"] > importance["b"] > 0
    assert importance[["a", "c"]].tolist() == [0, 0]


def test_parameters_are_told_without_their_step():
    text = models.parameter_text({"select__percentile": 2, "model__C": 1.0})
    assert text == "percentile=2, C=1.0"
