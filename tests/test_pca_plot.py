"""Q3, components: the figures, what is said of them, and the script."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import pca_plot
from expression.running.style import class_palette, group_palette
from run_script import record, run, table

# The script


def test_options_limit_the_folds_and_the_tables_but_not_what_is_found(few_genes, tmp_path):
    counts = "--permutations", "20", "--components", "2", "--folds", "3"
    files = run(pca_plot, few_genes, tmp_path, *counts)
    found = record(files)
    retained = found["results"]["dimensions"]["retained by parallel analysis"]
    assert list(table(files, "loadings")) == [*(f"PC{i + 1}" for i in range(retained)), "gene"]
    assert retained > 3
    assert "Not stable as single axes: " in found["headline"]["in_short"][0]
    assert b"(3-fold cross-validation)" in files["metrics.txt"]


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
    counts = "--permutations", "40", "--components", "10", "--folds", "9"
    files = run(pca_plot, noise, tmp_path, *counts, figures=True)
    assert max(map(len, files["metrics.txt"].decode().splitlines()[2:])) <= 100
    found = record(files)
    assert "retains 0 components, with 0% of" in found["headline"]["in_short"][0]
    assert found["results"]["dimensions"]["drawn"] == 2
    assert len(found["results"]["associations"]) == 2
    assert files["scores.csv"].splitlines()[0].startswith(b"patient,class,set,reconstruction error")


# Figures


def legend_texts(owner):
    return [text.get_text() for text in owner.get_texts()]


def test_scree_figure_shows_null_and_rules():
    ratio = pd.Series([0.5, 0.3, 0.1, 0.06, 0.04])
    variance = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum(), "permuted_95": 0.2})
    variance["retained"] = ratio > 0.2
    figure = pca_plot.figures.draw_scree(variance, {0.8: 2, 0.9: 3, 0.95: 4}, 1_234)
    left, right = figure.axes
    labels = ["95th percentile under permutation", "not retained", "retained (2)"]
    assert legend_texts(left.get_legend()) == labels
    assert left.lines[1].get_ydata().tolist() == [50, 30]
    assert set(right.get_xticks()) == {1, 2, 3, 4}
    assert {80, 90, 95} <= set(right.get_yticks())
    assert "1,234 training patients" in figure.get_suptitle()


def test_patients_figure_tells_subtype_class_and_set_of_those_that_are_there(data, noise):
    plane = pd.DataFrame(np.zeros((72, 2)), data.X_all.index, ["PC1", "PC2"])
    figure = pca_plot.figures.draw_patients([plane, plane], data, "A title")
    labels = legend_texts(figure.legends[0])
    assert labels[:2] == ["B-cell ALL, train (19)", "B-cell ALL, test (19)"]
    assert labels[-2:] == ["AML, train (11)", "AML, test (14)"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    train, test = lines["AML, train (11)"], lines["AML, test (14)"]
    assert train.get_color() == test.get_color() == group_palette(data)["AML"]
    assert (train.get_markerfacecolor(), test.get_markerfacecolor()) == (train.get_color(), "none")
    assert len({line.get_marker() for line in lines.values()}) == 3
    assert sum(len(line.get_xdata()) for line in lines.values()) == 72
    figure = pca_plot.figures.draw_patients([plane.loc[noise.X_train.index]], noise, "A title")
    labels = legend_texts(figure.legends[0])
    assert [label[-10:] for label in labels] == ["train (27)", "train (11)"]


def test_loadings_figure_names_the_largest_genes_in_order(data):
    genes = [*data.informative_genes.index[:2], *data.X_train.columns[:30]]
    column = pd.Series(np.linspace(1, -0.1, 32), genes, name="PC1")
    named = replace(data, gene_names=data.gene_names.index.to_series())
    figure = pca_plot.figures.draw_loadings(pd.DataFrame({"PC1": column, "PC2": -column}), named)
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["PC1", "PC2"]
    assert [tick.get_text() for tick in first.get_yticklabels()] == genes[:12]
    assert [bar.get_width() for bar in second.patches] == list(-column[:12])
    drawn = [plt.matplotlib.colors.to_hex(bar.get_facecolor()) for bar in first.patches[:2]]
    assert drawn == [class_palette(data)[c].lower() for c in data.informative_genes[:2]]


@pytest.mark.parametrize(("low", "farther"), [(0.1, "farther from"), (-0.1, "no farther from")])
def test_test_patients_lie_farther_only_where_the_interval_says_so(low, farther):
    variance = pd.DataFrame({"retained": True, "ratio": [0.5], "overlap": 1.0}, ["PC1"])
    index = ["contrast", "component"]
    effects = pd.DataFrame({"contrast": ["B - A"], "component": "PC1", "d": 0.5, "low": low})
    effects = effects.assign(high=1.0).set_index(index)
    shifts = effects.rename({"B - A": "test - train", "PC1": pca_plot.ERROR})
    said = pca_plot.summarise(variance, 2, effects, shifts)
    assert f"Test patients lie {farther} the components" in said[2]
