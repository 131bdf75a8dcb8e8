"""Q3, components: the figures, what is said of them, and the script."""

import io
import json
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import pca_plot
from expression import components
from expression.components import ERROR
from expression.style import class_palette, group_palette

TABLES = {"explained_variance.csv", "scores.csv", "loadings.csv", "associations.csv"}
FIGURES = {"scree.png", "pca_patients.png", "train_vs_test.png", "loadings.png"}
FILES = TABLES | FIGURES | {"metrics.txt", "metrics.json"}


def run(folder, data, *options, figures=True) -> dict[str, bytes]:
    """Run the script on the data, in this process, and return its files."""
    argv = ["--output-dir", str(folder), "--quiet", "--jobs", "1", "--components", "10"]
    argv += ["--permutations", "40", "--folds", "50", *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pca_plot, "load_data", lambda args: data)
        if not figures:
            patch.setattr(pca_plot.Report, "add_figure", lambda *given: None)
        assert pca_plot.main(argv) == 0
    return {path.name: path.read_bytes() for path in (folder / "pca_plot").iterdir()}


def table(files, name) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(files[f"{name}.csv"]), index_col=0)


@pytest.fixture(scope="module")
def outputs(data, tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"), data)


@pytest.fixture(scope="module")
def of_few_genes(few_genes, tmp_path_factory):
    return run(tmp_path_factory.mktemp("few"), few_genes, "--folds", "9", figures=False)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


# The script


def test_the_answer_on_the_shipped_data(outputs):
    assert set(outputs) == FILES
    record = json.loads(outputs["metrics.json"])
    results = record["results"]
    assert results["dimensions"] == {
        **{"80% of the variance": 20, "90% of the variance": 27, "95% of the variance": 32},
        **{"retained by parallel analysis": 9, "drawn": 3},
    }
    assert [row["retained"] for row in results["variance"]] == [True] * 9 + [False]
    found = {(row["contrast"], row["component"]): row for row in results["associations"]}
    assert found["T-cell ALL - rest", "PC2"]["low"] > 2
    assert found["test - train", ERROR]["low"] > 0
    assert "held out): PC8, PC9." in " ".join(record["headline"]["in_short"])
    text = outputs["metrics.txt"].decode()
    assert len(text.splitlines()) <= 120
    assert max(map(len, text.splitlines())) <= 102  # the caveats of the data have one long line
    assert "(leave-one-out)" in text


def test_tables_name_patients_and_genes(outputs, data):
    scores, loadings = table(outputs, "scores"), table(outputs, "loadings")
    names = [f"PC{i}" for i in range(1, 11)]
    held_out = [f"{name} held out" for name in names]
    assert list(scores) == ["class", "subtype", "set", ERROR, *names, *held_out]
    assert list(scores.index) == list(data.X_all.index)
    assert len(loadings) == 3_051
    assert list(loadings) == [*names, "gene"]
    test = scores[scores["set"] == "test"]
    assert (test[names].to_numpy() == test[held_out].to_numpy()).all()
    assert (scores[names].to_numpy() != scores[held_out].to_numpy()).any(axis=1).sum() == 38


@pytest.mark.usefixtures("processes")
def test_the_same_bytes_whatever_the_jobs(of_few_genes, few_genes, tmp_path, monkeypatch):
    workers, run_parallel = set(), components.run_parallel

    def watched(function, tasks, label):
        workers.update(run_parallel(os.getpid, [()] * 4, label))
        return run_parallel(function, tasks, label)

    monkeypatch.setattr(components, "run_parallel", watched)
    two = run(tmp_path, few_genes, "--jobs", "2", "--folds", "9", figures=False)
    assert two == of_few_genes
    assert workers
    assert os.getpid() not in workers


def test_test_patients_change_nothing_learned(of_few_genes, few_genes, tmp_path):
    changed = replace(few_genes, X_test=few_genes.X_test * 3 + 500)
    other = run(tmp_path, changed, "--folds", "9", figures=False)
    for name in ("explained_variance.csv", "loadings.csv"):
        assert of_few_genes[name] == other[name]
    assert of_few_genes["scores.csv"] != other["scores.csv"]


def test_options_limit_the_tables_and_the_folds(of_few_genes, few_genes, tmp_path):
    assert b"(9-fold cross-validation)" in of_few_genes["metrics.txt"]
    files = run(tmp_path, few_genes, "--components", "2", "--folds", "2", figures=False)
    assert list(table(files, "loadings")) == ["PC1", "PC2", "gene"]


@pytest.fixture
def noise(few_genes):
    """Values without structure, long names, no subtypes, nobody to test, no list of genes."""
    X = few_genes.X_train
    X = pd.DataFrame(np.exp2(np.random.default_rng(0).normal(9, 1.5, X.shape)), X.index, X.columns)
    y = few_genes.y_train.cat.rename_categories({"ALL": "a $ober " * 5, "AML": "sick_" * 8})
    none = {"X_test": X[:0], "y_test": y[:0], "subtypes": None, "informative_genes": None}
    names = few_genes.gene_names + " with a name that is long"
    return replace(few_genes, X_train=X, y_train=y, gene_names=names, caveats="", **none)


def test_noise_of_a_cohort_with_long_names_and_nothing_else(noise, tmp_path):
    files = run(tmp_path, noise, "--folds", "9")
    assert set(files) == FILES - {"train_vs_test.png"}
    assert max(map(len, files["metrics.txt"].decode().splitlines()[2:])) <= 100
    record = json.loads(files["metrics.json"])
    assert "retains 0 components, with 0% of" in record["headline"]["in_short"][0]
    assert record["results"]["dimensions"]["drawn"] == 2
    assert len(record["results"]["associations"]) == 2
    assert files["scores.csv"].splitlines()[0].startswith(b"patient,class,set,reconstruction error")


# Figures


def legend_texts(owner):
    return [text.get_text() for text in owner.get_texts()]


def test_scree_figure_shows_null_and_rules():
    ratio = pd.Series([0.5, 0.3, 0.1, 0.06, 0.04])
    variance = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum(), "permuted_95": 0.2})
    variance["retained"] = ratio > 0.2
    figure = pca_plot.draw_scree(variance, [2, 3, 4], 1_234)
    left, right = figure.axes
    labels = ["95th percentile under permutation", "not retained", "retained (2)"]
    assert legend_texts(left.get_legend()) == labels
    assert left.lines[1].get_ydata().tolist() == [50, 30]
    assert set(right.get_xticks()) == {1, 2, 3, 4}
    assert {80, 90, 95} <= set(right.get_yticks())
    assert "1,234 training patients" in figure.get_suptitle()


def test_patients_figure_tells_subtype_class_and_set_of_those_that_are_there(data, noise):
    plane = pd.DataFrame(np.zeros((72, 2)), data.X_all.index, ["PC1", "PC2"])
    figure = pca_plot.draw_patients([plane, plane], data, "A title")
    labels = legend_texts(figure.legends[0])
    assert labels[:2] == ["B-cell ALL, train (19)", "B-cell ALL, test (19)"]
    assert labels[-2:] == ["AML, train (11)", "AML, test (14)"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    train, test = lines["AML, train (11)"], lines["AML, test (14)"]
    assert train.get_color() == test.get_color() == group_palette(data)["AML"]
    assert (train.get_markerfacecolor(), test.get_markerfacecolor()) == (train.get_color(), "none")
    assert len({line.get_marker() for line in lines.values()}) == 3
    assert sum(len(line.get_xdata()) for line in lines.values()) == 72
    figure = pca_plot.draw_patients([plane.loc[noise.X_train.index]], noise, "A title")
    labels = legend_texts(figure.legends[0])
    assert [label[-10:] for label in labels] == ["train (27)", "train (11)"]


def test_loadings_figure_names_the_largest_genes_in_order(data):
    genes = [*data.informative_genes.index[:2], *data.X_train.columns[:30]]
    column = pd.Series(np.linspace(1, -0.1, 32), genes, name="PC1")
    named = replace(data, gene_names=data.gene_names.index.to_series())
    figure = pca_plot.draw_loadings(pd.DataFrame({"PC1": column, "PC2": -column}), named)
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["PC1", "PC2"]
    assert [tick.get_text() for tick in first.get_yticklabels()] == genes[:12]
    assert [bar.get_width() for bar in second.patches] == list(-column[:12])
    drawn = [plt.matplotlib.colors.to_hex(bar.get_facecolor()) for bar in first.patches[:2]]
    assert drawn == [class_palette(data)[c].lower() for c in data.informative_genes[:2]]
