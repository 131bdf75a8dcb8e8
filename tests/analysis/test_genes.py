"""The evidence for a gene: SHAP values add up, tests agree with hand-computed and outside ones."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, ttest_ind
from sklearn.metrics import roc_auc_score

from expression.analysis import genes
from expression.analysis.models import MODELS
from expression.analysis.tuning import fit
from planted import DOWN, UP, quick_explained_models, simulate


@pytest.fixture(scope="module")
def planted():
    return simulate(effect=4)


@pytest.fixture(scope="module")
def fitted(planted):
    X, y = planted.X_train.to_numpy(), planted.y_train.cat.codes.to_numpy()
    return fit(quick_explained_models(), X, y)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("name", quick_explained_models())
def test_shap_values_add_up_to_the_output_for_the_positive_class(
    planted, fitted, name, many, monkeypatch
):
    X, pipeline = planted.X_train, fitted[name].pipeline
    if many:  # patients: some of them are explained
        monkeypatch.setattr(genes, "MAX_EXPLAINED", 12)
        monkeypatch.setattr(genes, "MAX_BACKGROUND", 12)
    values = genes.explain(pipeline, X, seed=0)
    assert len(values) == (12 if many else 40)
    assert list(values.index) == [patient for patient in X.index if patient in values.index]
    output = pipeline.predict_proba(X.loc[values.index].to_numpy())[:, 1]
    if MODELS[name].importance.shap_unit == "log-odds":
        output = np.log(output / (1 - output))
    np.testing.assert_allclose(values.sum(axis=1) + output.mean(), output, atol=1e-4)
    first = values.abs().mean().idxmax()
    z = X.loc[values.index, first] > X[first].median()
    direction = {**dict.fromkeys(UP, 1), **dict.fromkeys(DOWN, -1)}[first]
    assert direction * values.loc[~z, first].mean() < 0 < direction * values.loc[z, first].mean()


def test_of_very_many_patients_200_are_explained_against_100(fitted):
    """The first of those drawn; against others the values would add up to another output."""
    cohorts = [simulate(effect=4, seed=seed).X_all for seed in range(3)]
    X = pd.concat(cohorts, ignore_index=True)
    pipeline = fitted["Logistic Regression"].pipeline
    values = genes.explain(pipeline, X, seed=5)
    assert len(values) == 200
    background = X.sample(200, random_state=5).index[:100]
    output = pd.Series(pipeline.decision_function(X.to_numpy()), X.index)
    expected = output[values.index] - output[background].mean()
    np.testing.assert_allclose(values.sum(axis=1), expected, atol=1e-6)


def planted_table(fitted, planted, shap: dict) -> pd.DataFrame:
    """Return what the tree says of the genes if these were its SHAP values, by gene."""
    _, expression = genes.expression_tables(planted)
    explanations = {"Decision Tree": pd.DataFrame(shap, planted.X_train.index)}
    selected = np.zeros((2, 2, expression.shape[1]), dtype=bool)
    selected[:, 0, 3] = True, False
    tables = genes.model_tables(
        {"Decision Tree": fitted["Decision Tree"].pipeline},
        explanations,
        expression,
        planted.X_train.columns,
        selected,
    )
    return tables["Decision Tree"]


def test_genes_that_a_model_does_not_use_have_no_rank(fitted, planted):
    table = planted_table(fitted, planted, {})
    used = table["importance"] > 0
    assert 0 < used.sum() < len(table)
    assert table.loc[used, "rank"].min() == 1
    assert table.loc[~used, "rank"].isna().all()
    assert (table["direction"] == 0).all()
    assert table["frequency"].nlargest(2).tolist() == [0.5, 0]


def test_the_direction_is_that_of_contributions_as_expression_grows(fitted, planted):
    """Whatever their mean: of the patients explained it need not be 0."""
    _, expression = genes.expression_tables(planted)
    x = expression.loc[planted.X_train.index, "g010"]
    rising = x - 100 * np.sign(x.mean())
    table = planted_table(fitted, planted, {"g010": rising})
    assert table.loc["g010", "direction"] == 1
    assert table.loc["g010", "mean_abs_shap"] == pytest.approx(rising.abs().mean())
    table = planted_table(fitted, planted, {"g010": -rising})
    assert table.loc["g010", "direction"] == -1
    assert table.loc["g010", "mean_abs_shap"] == pytest.approx(rising.abs().mean())


def test_welch_statistics_are_those_of_scipy():
    rng = np.random.default_rng(0)
    X, y = rng.normal(5, 2, (20, 7)), rng.permuted(np.tile([1.0] * 8 + [0.0] * 12, (4, 1)), axis=1)
    expected = [ttest_ind(X[row == 1], X[row == 0], equal_var=False).statistic for row in y]
    np.testing.assert_allclose(genes.welch_statistics(X, y), expected)


def test_adjusted_p_follows_westfall_and_young_step_by_step():
    """Algorithm 2.8 with all 70 ways to choose 4 of 8 patients, and as many drawn at random."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(8, 5)), np.repeat([1, 0], 4)
    X[:4, 0] += 3
    ways = np.zeros((70, 8))
    for row, chosen in zip(ways, itertools.combinations(range(8), 4), strict=True):
        row[list(chosen)] = 1
    size = np.abs(genes.welch_statistics(X, ways))
    observed = np.abs(genes.welch_statistics(X, y[None]))[0]
    order, expected, before = np.argsort(-observed), np.empty(5), 0
    for step, gene in enumerate(order):
        reached = size[:, order[step:]].max(axis=1) >= observed[gene] - 1e-9
        expected[gene] = before = max(before, reached.mean())
    found = genes.max_t_p(X, y, 20_000, seed=0)
    np.testing.assert_allclose(found, expected, atol=0.015)


def test_adjusted_p_bounds_any_false_finding_where_nothing_differs():
    rng, y = np.random.default_rng(2), np.repeat([0, 1], 10)
    smallest = [genes.max_t_p(rng.normal(size=(20, 40)), y, 99, seed).min() for seed in range(60)]
    assert np.mean(np.array(smallest) <= 0.05) <= 0.15  # 0.05 expected, within 3.5 SDs


def rank_test(expression, y, gene, method):
    x = expression.loc[y.index, gene]
    sides = x[y == "case"], x[y == "control"]
    return mannwhitneyu(*sides, alternative="greater", method=method)


def test_tied_values_take_the_asymptotic_rank_test(planted):
    _, expression = genes.expression_tables(planted)
    expression, y = expression.round(), planted.y_train
    table = genes.auc_in_direction(expression, y, pd.Series(1, expression.columns))
    expected = rank_test(expression, y, "g000", "asymptotic")
    assert table.loc["g000", "auc_p"] == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(("n_case", "method"), [(50, "exact"), (51, "asymptotic")])
def test_the_rank_test_of_few_patients_is_exact(n_case, method):
    """Up to 2,500 pairs of a patient of either class."""
    labels = np.repeat(["control", "case"], (50, n_case))
    y = pd.Series(pd.Categorical(labels, ["control", "case"], ordered=True))
    expression = pd.DataFrame({"gene": np.random.default_rng(0).normal(size=len(y))})
    table = genes.auc_in_direction(expression, y, pd.Series(1, ["gene"]))
    expected = rank_test(expression, y, "gene", method)
    assert table.loc["gene", "auc_p"] == pytest.approx(expected.pvalue, rel=1e-9)


def test_class_difference_against_scikit_learn_and_by_hand(planted):
    log2, expression = genes.expression_tables(planted)
    y = planted.y_train
    table = genes.class_difference(expression, log2, y)
    direction = table["signal_to_noise"]
    towards = genes.auc_in_direction(expression, y, direction)
    for gene in ("g000", "g003", "g050"):
        x = expression.loc[y.index, gene]
        case, control = x[y == "case"], x[y == "control"]
        effect = (case.mean() - control.mean()) / (case.std() + control.std())
        assert direction[gene] == pytest.approx(effect)
        auc = roc_auc_score(y.cat.codes, x * np.sign(effect))
        assert towards.loc[gene, "auc"] == pytest.approx(auc)
        high, low = (case, control) if effect > 0 else (control, case)
        test = mannwhitneyu(high, low, alternative="greater", method="exact")
        assert towards.loc[gene, "auc_p"] == pytest.approx(test.pvalue)
    assert table.loc[UP, "log2_fold_change"].mean() == pytest.approx(4, abs=0.5)
    against = genes.auc_in_direction(expression, y, -direction)
    np.testing.assert_allclose(against["auc"], 1 - towards["auc"])


def test_genes_are_those_that_vary_in_training_and_the_rank_test_of_zyxin_is_exact(data):
    log2, expression = genes.expression_tables(data)
    assert expression.shape == log2.shape == (72, 3_051)
    np.testing.assert_allclose(expression.mean(axis=1), 0, atol=1e-12)
    zyxin = data.X_all["X95735_at"].clip(100, 16_000)
    np.testing.assert_allclose(log2["X95735_at"], np.log2(zyxin))
    table = genes.auc_in_direction(expression, data.y_test, pd.Series(1, expression.columns))
    assert table.loc["X95735_at", "auc_p"] == pytest.approx(2.2e-8, rel=0.05)


def test_the_surest_genes_come_first(planted):
    log2, expression = genes.expression_tables(planted)
    frequency = np.linspace(1, 0, expression.shape[1])
    table = genes.gene_table(planted, expression, log2, frequency[::-1], seed=0)
    assert table.index[0] == expression.columns[-1]
    assert table["selected"].sum() == (frequency >= 0.75).sum()
    higher_in = {**dict.fromkeys(UP, "case"), **dict.fromkeys(DOWN, "control")}
    assert table.loc[UP + DOWN, "higher_in"].to_dict() == higher_in
    assert (table.loc[UP + DOWN, "welch_q"] < 0.01).all()
    np.testing.assert_allclose(table.loc[UP + DOWN, "max_t_p"], 1 / 1_001)  # of all permutations
    assert (table.loc[UP + DOWN, "test_auc"] > 0.9).all()
    x = expression.loc[planted.y_train.index, "g050"]
    case, control = x[planted.y_train == "case"], x[planted.y_train == "control"]
    welch = ttest_ind(case, control, equal_var=False)
    assert table.loc["g050", "welch_t"] == pytest.approx(welch.statistic)
    assert table.loc["g050", "welch_p"] == pytest.approx(welch.pvalue, rel=1e-9)


def test_test_patients_are_looked_at_in_the_direction_of_training(planted):
    """Where they show the opposite, the AUC is below a half and the one-sided p near 1."""
    other = planted.y_test.cat.rename_categories({"case": "control", "control": "case"})
    other = other.cat.reorder_categories(planted.classes, ordered=True)
    opposite = replace(planted, y_test=other)
    log2, expression = genes.expression_tables(opposite)
    frequency = np.zeros(expression.shape[1])
    table = genes.gene_table(opposite, expression, log2, frequency, seed=0).loc[UP + DOWN]
    assert (table["auc"] > 0.9).all()
    assert (table["test_auc"] < 0.1).all()
    assert (table["test_auc_p"] > 0.99).all()
    assert (table["test_signal_to_noise"] * table["signal_to_noise"] < 0).all()
