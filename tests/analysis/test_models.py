"""The classifiers: by hand, and as published."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.random_projection import GaussianRandomProjection

from expression.analysis import models
from expression.analysis.evaluation import no_calls
from expression.analysis.models import COEFFICIENT, WeightedVoting
from expression.preprocessing import Preprocessing
from many_classes import simulate_classes
from planted import of_both_classes


def test_weighted_voting_by_hand():
    X = np.array([[0.0, 4.0, 1.0], [2.0, 6.0, 1.2], [4.0, 0.0, 1.1], [6.0, 2.0, 0.9]])
    voting = WeightedVoting(n_genes=1).fit(X, np.array([0, 0, 1, 1]))
    # Means 1 and 5, 5 and 1, sd 1: weights (5 - 1) / (1 + 1) = 2 and -2; the third gene is silent.
    assert voting.genes_.tolist() == [0, 1]
    assert voting.weights_.tolist() == [2, -2]
    assert voting.midpoints_.tolist() == [3, 3]
    # Votes 2 * (4 - 3) = 2 and -2 * (3.5 - 3) = -1: strength (2 - 1) / (2 + 1). No votes: a draw.
    X_new = np.array([[4, 3.5, 9], [3, 3, 0]])
    assert voting.predict_proba(X_new)[:, 1] == pytest.approx([2 / 3, 1 / 2])
    assert voting.predict(X_new).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("scale", "found", "right", "uncertain"),
    [
        ("intensity", 48, 26, [54, 57, 60, 61, 64, 67, 71]),
        ("log2", 28, 29, [54, 57, 60, 67]),
    ],
)
def test_voting_is_that_of_the_paper(data, scale, found, right, uncertain):
    """Its genes; and with them, the patients it calls uncertain: it classifies 29 of the 34."""
    steps, y = Preprocessing().log2_steps(), data.y_train.cat.codes
    steps = steps if scale == "log2" else steps[:2]
    voting = Pipeline([*steps, ("model", WeightedVoting())]).fit(data.X_train.to_numpy(), y)
    genes = voting[:-1].get_feature_names_out(data.X_train.columns)[voting[-1].genes_]
    shared = data.informative_genes.reindex(genes).dropna()
    assert (len(genes), len(shared)) == (50, found)
    higher = pd.Series(np.where(voting[-1].weights_ > 0, *data.classes[::-1]), genes)
    assert (shared == higher[shared.index]).all()

    unfiltered = [step for step in steps if step[0] != "filter"]
    voting = Pipeline([*unfiltered, ("model", WeightedVoting())])
    X_train, X_test = (X[data.informative_genes.index] for X in (data.X_train, data.X_test))
    p = voting.fit(X_train.to_numpy(), y).predict_proba(X_test.to_numpy())[:, [1]]
    P = of_both_classes(pd.DataFrame(p, X_test.index, ["Weighted voting"]))
    classified = ~no_calls(P)["Weighted voting"]
    assert classified.index[~classified].tolist() == uncertain
    correct = P["Weighted voting", "AML"].gt(0.5) == data.y_test.cat.codes
    assert correct[classified].sum() == right


@pytest.mark.parametrize("C", [0.1, 1.0, 100.0])
def test_logistic_regression_of_few_patients_is_the_optimum_on_all_genes(data, C):
    """By scikit-learn's Newton-conjugate-gradient on the genes themselves."""
    Z = Pipeline(Preprocessing().steps()).fit_transform(data.X_train.to_numpy())
    y = data.y_train.cat.codes.to_numpy()
    fitted = models.LogisticRegressionOfFewPatients(C=C).fit(Z, y)
    on_genes = LogisticRegression(C=C, solver="newton-cg", tol=1e-10, max_iter=1_000).fit(Z, y)
    np.testing.assert_allclose(fitted.coef_, on_genes.coef_, atol=1e-6)
    np.testing.assert_allclose(fitted.intercept_, on_genes.intercept_, atol=1e-5)
    X_test = (
        Pipeline(Preprocessing().steps())
        .fit(data.X_train.to_numpy())
        .transform(data.X_test.to_numpy())
    )
    np.testing.assert_allclose(
        fitted.predict_proba(X_test), on_genes.predict_proba(X_test), atol=1e-6
    )


@pytest.mark.parametrize(("patients", "genes"), [(40, 8), (120, 150)])
def test_of_few_genes_or_many_patients_it_is_that_of_scikit_learn(patients, genes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(patients, genes))
    y = np.tile([0, 1], patients // 2)
    fitted = models.LogisticRegressionOfFewPatients().fit(X, y)
    assert (fitted.coef_ == LogisticRegression().fit(X, y).coef_).all()


@pytest.mark.parametrize("seed", [0, 1, 59, 111, 114, 137])
def test_newtons_method_ends_at_the_optimum_whatever_the_values(seed):
    """Heavy-tailed values and a weak penalty: of the last four seeds whole steps never arrive."""
    rng = np.random.default_rng(seed)
    X = 50 * rng.standard_t(1.2, size=(12, 4))
    y = rng.permutation(np.tile([0, 1, 1], 4))
    coefficients, intercept = models.fit_logistic(X, y, C=1e4)
    residuals = expit(X @ coefficients + intercept) - y
    np.testing.assert_allclose(X.T @ residuals + coefficients / 1e4, 0, atol=1e-5)  # the gradient
    assert residuals.sum() == pytest.approx(0, abs=1e-6)


def test_of_equally_probable_classes_the_first_is_predicted():
    P = of_both_classes(pd.DataFrame({"A": [0.49, 0.5, 0.51]}))
    assert models.predict_classes(P)["A"].tolist() == [0, 0, 1]


def test_every_part_with_a_random_state_gets_the_seed():
    steps = [("project", GaussianRandomProjection()), ("model", RandomForestClassifier())]
    found = models.Unfitted(models.Model(steps), Preprocessing(), seed=3).steps()
    assert (found["project"].random_state, found["model"].random_state) == (3, 3)


def test_boosting_does_split_on_few_patients(data):
    """Which min_child_weight=1 does not: two thirds of its trees have no split."""
    X, y = np.log2(data.X_train.clip(100, 16_000)), data.y_train.cat.codes
    booster = models.BOOSTING.fit(X.to_numpy(), y).get_booster()
    assert (booster.trees_to_dataframe().groupby("Tree").size() > 1).mean() > 0.95


@pytest.mark.parametrize("percentile", [1.3, 2, 10, 100])
def test_of_few_genes_that_are_equally_good_some_are_selected(percentile):
    X, y = np.tile(np.random.default_rng(0).normal(size=(20, 1)), 40), np.tile([0, 1], 10)
    _, selector = models.SELECT
    kept = clone(selector).set_params(percentile=percentile).fit(X, y).get_support()
    assert kept.sum() == max(1, round(0.4 * percentile))


@pytest.mark.filterwarnings("ignore:Features .* are constant", "ignore:invalid value")
def test_genes_that_do_not_vary_in_a_fold_cost_no_others_their_ranks():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 10)
    X = rng.normal(size=(20, 40))
    X[:, 30:] += 5 * y[:, np.newaxis]
    X[:, 20] = 7  # of one value
    _, selector = models.SELECT
    kept = clone(selector).set_params(percentile=25).fit(X, y).get_support()
    assert np.flatnonzero(kept).tolist() == list(range(30, 40))


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


@pytest.mark.parametrize("C", [0.1, 100.0])
def test_logistic_regression_of_several_classes_is_the_optimum_on_all_genes(C):
    data = simulate_classes([12, 5, 7], effect=1)
    Z = Pipeline(Preprocessing().steps()).fit_transform(data.X_train.to_numpy())
    codes = data.y_train.cat.codes.to_numpy()
    fitted = models.LogisticRegressionOfFewPatients(C=C).fit(Z, codes)
    on_genes = LogisticRegression(C=C, solver="newton-cg", tol=1e-7, max_iter=1_000).fit(Z, codes)
    assert fitted.coef_.shape == (3, Z.shape[1])
    np.testing.assert_allclose(fitted.coef_, on_genes.coef_, atol=3e-4)
    np.testing.assert_allclose(fitted.predict_proba(Z), on_genes.predict_proba(Z), atol=1e-5)


def test_importance_for_several_classes_is_the_norm_over_them():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    codes = np.tile([0, 1, 2], 20)
    X[:, 1] += 3 * (codes == 2)
    pipeline = Pipeline([("model", LogisticRegression())]).fit(X, codes)
    importance = models.gene_importance(COEFFICIENT, pipeline, pd.Index(list("abcd")))
    assert importance.idxmax() == "b"
    coefficients = pipeline[-1].coef_[:, 1]
    assert importance["b"] == pytest.approx(np.sqrt((coefficients**2).sum()))


def test_models_of_two_classes_take_no_part_where_there_are_more():
    of_two, of_three = (models.build_models(Preprocessing(), 0, count) for count in (2, 3))
    assert list(of_two) == list(models.MODELS)
    assert set(of_two) - set(of_three) == {"One gene", "Weighted voting"}
    assert list(models.quick_model(of_two)) == ["Weighted voting"]
    [(name, quick)] = models.quick_model(of_three).items()
    assert name == "Logistic Regression (not tuned)"
    assert quick.model.baseline  # so that nobody tunes it
