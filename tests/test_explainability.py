"""Q2: the script on the shipped data and on bare data, and its figures."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from planted import UP, quick_pipelines, simulate

import explainability
from expression import genes
from expression.models import MODELS
from expression.report import Report

GRIDS = {
    "Logistic Regression": {"select__percentile": [7]},
    "Decision Tree": {"select__percentile": [1.3]},
    "Random Forest": {"model__n_estimators": [10]},
    "XGBoost": {"model__n_estimators": [10]},
}
FILES = {
    *("metrics.txt", "metrics.json", "genes.csv", "importances.png", "shap_summary.png"),
    *("selection_frequency.png", "heatmap.png", "top_genes.png"),
}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--pairs", "1"], "--pairs: must be a whole number from 2"),
        (["--permutations", "0"], "--permutations: must be a whole number from 1"),
        (["--expected-false", "0"], "--expected-false: must be above 0 - found 0"),
        (["--expected-false", "nan"], "--expected-false: must be above 0 - found nan"),
    ],
)
def test_options_are_refused_in_one_line(argv, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        explainability.parse_args(argv)
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs the script on data, quickly."""

    def run_script(data, jobs=1):
        folder = tmp_path_factory.mktemp("outputs")
        with pytest.MonkeyPatch.context() as patch:
            for name, grid in GRIDS.items():
                patch.setitem(MODELS, name, MODELS[name]._replace(grid=grid))
            patch.setattr(explainability, "load_data", lambda args: data)
            argv = ["--pairs", "2", "--permutations", "1", "--quiet", "--jobs", str(jobs)]
            assert not explainability.main([*argv, "--output-dir", str(folder)])
        return {path.name: path for path in (folder / "explainability").iterdir()}

    return run_script


@pytest.fixture(scope="module")
def outputs(run, few_genes):
    return run(few_genes)


def test_the_same_bytes_whatever_the_jobs(run, few_genes, outputs):
    again = run(few_genes, jobs=2)
    assert set(outputs) == set(again) == FILES
    assert [n for n in outputs if outputs[n].read_bytes() != again[n].read_bytes()] == []


def test_metrics_are_those_of_the_genes(few_genes, outputs):
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
    zyxin = table.loc["X95735_at"]
    assert (zyxin["higher_in"], zyxin["auc"], zyxin["literature"]) == ("AML", 1, "AML")
    assert zyxin["logistic_regression_direction"] == "AML"
    assert table["decision_tree_rank"].min() == 1


def test_test_labels_change_no_list(few_genes, run, outputs, monkeypatch):
    monkeypatch.setattr(Report, "add_figure", lambda *given: None)
    classes = dict(zip(few_genes.classes, few_genes.classes[::-1], strict=True))
    flipped = few_genes.y_test.cat.rename_categories(classes)
    flipped = flipped.cat.reorder_categories(few_genes.classes, ordered=True)
    again = run(replace(few_genes, y_test=flipped))
    before, after = (pd.read_csv(files["genes.csv"], index_col=0) for files in (outputs, again))
    blind = [column for column in before if not column.startswith("test_")]
    pd.testing.assert_frame_equal(before[blind], after[blind])
    assert not before["test_auc"].equals(after["test_auc"])


def test_without_test_set_subtypes_and_literature(few_genes, run):
    def renamed(y):
        return y.cat.rename_categories(["healthy", "ill $x_1$"])

    bare = {"X_test": few_genes.X_test.iloc[:0], "y_test": renamed(few_genes.y_test.iloc[:0])}
    bare |= {"y_train": renamed(few_genes.y_train), "subtypes": None, "informative_genes": None}
    files = run(replace(few_genes, **bare, caveats=""))
    assert set(files) == FILES
    text = files["metrics.txt"].read_text()
    assert "no test patients" in text
    answer, evidence = text.split("The data")[0], text.split("Stability selection")[1]
    assert "AML" not in answer + evidence
    assert "literature" not in text
    assert "ill $x_1$" in text


def test_the_summary_draws_the_positive_class():
    data = simulate(effect=4)
    X, y = data.X_train, data.y_train.cat.codes.to_numpy()
    forest = quick_pipelines()["Random Forest"].fit(X.to_numpy(), y)
    found = {"Random Forest": genes.explain("Random Forest", forest, X, seed=0)}
    names = data.gene_names
    figure = explainability.draw_shap_summary(found, data, np.log2(X), names)
    ax = figure.axes[0]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    row = next(i for i, gene in enumerate(rows) if gene in UP)
    offsets = ax.collections[row].get_offsets()
    high = np.log2(X[rows[row]]).to_numpy()
    assert np.corrcoef(np.sort(offsets[:, 0]), np.sort(high))[0, 1] > 0.5
    assert offsets[:, 0].max() > 0 > offsets[:, 0].min()
    assert ax.get_xlabel() == "SHAP value (probability of case)"
    plt.close(figure)
