"""Q2: the script on the shipped data and on bare data, and its figures."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

import explainability
from expression.analysis import genes
from expression.analysis.models import ROUNDS
from expression.analysis.tuning import fit
from planted import UP, quick_models, simulate, small_models
from run_script import record, run, table


@pytest.mark.parametrize("bound", ["0", "nan"])
def test_a_bound_on_false_selections_must_be_positive(bound, capsys):
    with pytest.raises(SystemExit, match="2"):
        explainability.parse_args(["--expected-false", bound])
    refusal = f"error: --expected-false: must be a number above 0 - found {bound!r}"
    assert capsys.readouterr().err.startswith(refusal)


@pytest.fixture(scope="module")
def outputs(few_genes, tmp_path_factory):
    grids = {"Logistic Regression": {"genes__percentile": [7]}, "Decision Tree": {}}
    options = "--pairs", "2", "--permutations", "1"
    with small_models(grids | {"Random Forest": {}, "XGBoost": {ROUNDS: [10]}}):
        return run(explainability, few_genes, tmp_path_factory.mktemp("outputs"), *options)


def test_metrics_are_those_of_the_genes(few_genes, outputs):
    found = record(outputs)
    selection, headline = found["results"]["selection"], found["headline"]
    analysed = table(outputs, "genes")
    kept = Pipeline(few_genes.preprocessing.filtered_steps()).fit(few_genes.X_train.to_numpy())
    assert set(analysed.index) == set(kept.get_feature_names_out(few_genes.X_train.columns))
    assert analysed["welch_q"].notna().all()
    selected = analysed[analysed["selected"]]
    assert [row["accession"] for row in headline["rows"]] == list(selected.index)
    assert selection["selected genes"] == len(selected) >= 1
    assert (selected["frequency"] >= 0.75).all()
    assert len(selection["selected with permuted labels"]) == 1
    assert len(selection["selected without a fifth of the patients"]) == 5
    assert headline["in_short"][0].startswith(f"{len(selected)} of ")
    assert "(of 1 permutation, each of 4 subsamples)" in headline["in_short"][1]
    zyxin = analysed.loc["X95735_at"]
    assert (zyxin["higher_in"], zyxin["auc"], zyxin["literature"]) == ("AML", 1, "AML")
    assert zyxin["logistic_regression_direction"] == "AML"
    assert analysed["decision_tree_rank"].min() == 1


def test_the_summary_draws_the_positive_class():
    data = simulate(effect=4)
    X, y = data.X_train, data.y_train.cat.codes.to_numpy()
    forest = fit(quick_models(), X.to_numpy(), y)["Random Forest"].pipeline
    found = {"Random Forest": genes.explain(forest, X, seed=0)}
    figure = explainability.figures.draw_shap_summary(found, data, np.log2(X))
    ax = figure.axes[0]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    row = next(i for i, gene in enumerate(rows) if gene in UP)
    offsets = ax.collections[row].get_offsets()
    high = np.log2(X[rows[row]]).to_numpy()
    assert np.corrcoef(np.sort(offsets[:, 0]), np.sort(high))[0, 1] > 0.5
    assert offsets[:, 0].max() > 0 > offsets[:, 0].min()
    assert ax.get_xlabel() == "SHAP value (probability of case)"


def test_each_row_of_the_summary_has_its_own_gene_where_not_all_patients_are_explained():
    data = simulate(effect=4)
    values = pd.DataFrame(0.0, data.X_train.index[::-3], data.X_train.columns)
    values[["g009", "g001"]] = 2.0, 1.0  # largest first, not in the order of the alphabet
    ax = explainability.figures.draw_shap_summary(
        {"Random Forest": values}, data, data.X_train
    ).axes[0]
    names = [text.get_text() for text in ax.get_yticklabels()]
    middles = [points.get_offsets()[:, 0].mean() for points in ax.collections[:2]]
    assert (names, middles) == (list(data.gene_names[["g009", "g001"]]), [2, 1])
