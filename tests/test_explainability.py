"""Q2: the script on the shipped data and on bare data, and its figures."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from planted import UP, quick_models, simulate, small_models

import explainability
from expression import genes
from expression.models import ROUNDS
from expression.tuning import fit

FILES = {
    *("metrics.txt", "metrics.json", "genes.csv", "importances.png", "shap_summary.png"),
    *("selection_frequency.png", "heatmap.png", "top_genes.png"),
}


@pytest.mark.parametrize("bound", ["0", "nan"])
def test_a_bound_on_false_selections_must_be_positive(bound, capsys):
    with pytest.raises(SystemExit, match="2"):
        explainability.parse_args(["--expected-false", bound])
    refusal = f"error: --expected-false: must be a number above 0 - found {bound!r}"
    assert capsys.readouterr().err.startswith(refusal)


def run_script(folder, data, jobs=1):
    """Run the script on data, quickly; return its files by name."""
    grids = {"Logistic Regression": {"select__percentile": [7]}, "Decision Tree": {}}
    grids |= {"Random Forest": {}, "XGBoost": {ROUNDS: [10]}}
    with pytest.MonkeyPatch.context() as patch, small_models(grids):
        patch.setattr(explainability, "load_data", lambda args: data)
        argv = ["--pairs", "2", "--permutations", "1", "--quiet", "--jobs", str(jobs)]
        assert not explainability.main([*argv, "--output-dir", str(folder)])
    return {path.name: path for path in (folder / "explainability").iterdir()}


@pytest.fixture(scope="module")
def outputs(few_genes, tmp_path_factory):
    return run_script(tmp_path_factory.mktemp("outputs"), few_genes)


def test_metrics_are_those_of_the_genes(few_genes, outputs):
    assert set(outputs) == FILES
    record = json.loads(outputs["metrics.json"].read_text())
    selection, headline = record["results"]["selection"], record["headline"]
    table = pd.read_csv(outputs["genes.csv"], index_col="accession")
    assert sorted(table.index) == list(few_genes.X_train.columns)
    assert table["welch_q"].notna().sum() == sum(table["selected"].notna())
    selected = table[table["selected"].eq(True)]
    assert [row["accession"] for row in headline["rows"]] == list(selected.index)
    assert selection["selected genes"] == len(selected) >= 1
    assert (selected["frequency"] >= 0.75).all()
    assert len(selection["selected with permuted labels"]) == 1
    assert len(selection["selected without a fifth of the patients"]) == 5
    assert headline["in_short"][0].startswith(f"{len(selected)} of ")
    assert "(of 1 permutation, each of 4 subsamples)" in headline["in_short"][1]
    zyxin = table.loc["X95735_at"]
    assert (zyxin["higher_in"], zyxin["auc"], zyxin["literature"]) == ("AML", 1, "AML")
    assert zyxin["logistic_regression_direction"] == "AML"
    assert table["decision_tree_rank"].min() == 1


@pytest.mark.usefixtures("processes")
def test_neither_jobs_nor_test_labels_change_what_is_trained(
    few_genes, outputs, tmp_path, monkeypatch
):
    for name in ("importances", "shap_summary", "frequencies", "heatmap", "top_genes"):
        monkeypatch.setattr(explainability, f"draw_{name}", lambda *given: plt.figure())
    classes = dict(zip(few_genes.classes, few_genes.classes[::-1], strict=True))
    flipped = few_genes.y_test.cat.rename_categories(classes)
    flipped = flipped.cat.reorder_categories(few_genes.classes, ordered=True)
    again = run_script(tmp_path, replace(few_genes, y_test=flipped), jobs=2)
    before, after = (pd.read_csv(files["genes.csv"], index_col=0) for files in (outputs, again))
    blind = [column for column in before if not column.startswith("test_")]
    pd.testing.assert_frame_equal(before[blind], after[blind])
    assert not before["test_auc"].equals(after["test_auc"])
    before, after = (json.loads(files["metrics.json"].read_text()) for files in (outputs, again))
    for section in ("selection", "stability"):
        assert before["results"][section] == after["results"][section]


def test_the_summary_draws_the_positive_class():
    data = simulate(effect=4)
    X, y = data.X_train, data.y_train.cat.codes.to_numpy()
    forest = fit(quick_models(), X.to_numpy(), y)["Random Forest"].pipeline
    found = {"Random Forest": genes.explain(forest, X, seed=0)}
    figure = explainability.draw_shap_summary(found, data, np.log2(X))
    ax = figure.axes[0]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    row = next(i for i, gene in enumerate(rows) if gene in UP)
    offsets = ax.collections[row].get_offsets()
    high = np.log2(X[rows[row]]).to_numpy()
    assert np.corrcoef(np.sort(offsets[:, 0]), np.sort(high))[0, 1] > 0.5
    assert offsets[:, 0].max() > 0 > offsets[:, 0].min()
    assert ax.get_xlabel() == "SHAP value (probability of case)"
    plt.close(figure)
