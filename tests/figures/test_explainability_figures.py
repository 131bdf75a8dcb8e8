"""The figures of Q2: each dot, bar and tick stands for the gene and the class it says."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from expression.analysis import genes
from expression.analysis.selection import Controls, Rule
from expression.analysis.tuning import fit
from expression.figures.explainability import (
    BATCH_COLORS,
    draw_frequencies,
    draw_heatmap,
    draw_importances,
    draw_shap_summary,
    draw_top_genes,
    patient_bars,
)
from expression.running import style
from many_classes import simulate_few_genes
from planted import UP, quick_explained_models, simulate


@pytest.fixture(autouse=True)
def theme():
    with style.theme():
        yield


@pytest.fixture(scope="module")
def planted():
    return simulate(effect=4)


@pytest.fixture
def leading(planted):
    """The table of four genes, the first two of them selected."""
    accessions = ["g010", "g003", "g000", "g001"]
    return pd.DataFrame(
        {
            "gene": planted.gene_names[accessions],
            "frequency": [1.0, 0.8, 0.5, 0.25],
            "selected": [False, True, True, False],
        },
        accessions,
    )


def tick_texts(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_importances_have_the_sign_of_coefficients_and_the_colour_of_the_class(planted):
    table = pd.DataFrame(
        {
            "importance": [3.0, 2.0, 0.0],
            "rank": [1, 2, np.nan],
            "direction": ["control", "case", "case"],
        },
        ["g003", "g000", "g010"],
    )
    models = {"Logistic Regression": table, "Random Forest": table}
    figure = draw_importances(models, planted)
    signed, unsigned = figure.axes
    assert [ax.get_title() for ax in figure.axes] == list(models)
    assert tick_texts(signed.yaxis) == list(planted.gene_names[["g003", "g000"]])
    assert [bar.get_width() for bar in signed.patches] == [-3, 2]
    assert [bar.get_width() for bar in unsigned.patches] == [3, 2]
    negative, positive = (color.lower() for color in style.class_palette(planted).values())
    assert [to_hex(bar.get_facecolor()) for bar in signed.patches] == [negative, positive]
    assert legend_texts(figure) == ["towards control", "towards case"]


def test_of_more_than_two_classes_coefficients_have_a_norm_and_no_sign():
    data = simulate_few_genes((12, 10, 8), effect=4)
    table = pd.DataFrame(
        {
            "importance": [3.0, 2.0, 1.0],
            "rank": [1, 2, 3],
            "direction": ["class 00", "class 02", ""],
        },
        ["g000", "g004", "g010"],
    )
    figure = draw_importances({"Logistic Regression": table}, data)
    [ax] = figure.axes
    assert [bar.get_width() for bar in ax.patches] == [3, 2, 1]
    first, _, third = (color.lower() for color in style.class_palette(data).values())
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [first, third, "#999999"]
    assert ax.get_xlabel() == "norm over classes of the\ncoefficient (log-odds per SD)"
    texts = [f"towards {label}" for label in data.classes]
    assert legend_texts(figure) == [*texts, "towards no class alone"]


def test_the_summary_draws_the_positive_class():
    data = simulate(effect=4)
    X, y = data.X_train, data.y_train.cat.codes.to_numpy()
    forest = fit(quick_explained_models(), X.to_numpy(), y)["Random Forest"].pipeline
    explanations = {"Random Forest": genes.explain(forest, X, data.classes, seed=0)}
    figure = draw_shap_summary(explanations, data, np.log2(X))
    ax = figure.axes[0]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    row = next(i for i, gene in enumerate(rows) if gene in UP)
    offsets = ax.collections[row].get_offsets()
    high = np.log2(X[rows[row]]).to_numpy()
    assert np.corrcoef(np.sort(offsets[:, 0]), np.sort(high))[0, 1] > 0.5
    assert offsets[:, 0].max() > 0 > offsets[:, 0].min()
    assert ax.get_xlabel() == "SHAP value (probability of case)"
    # Red dots are patients of high expression, who are pushed towards the positive class
    red, _, blue, _ = ax.collections[row].get_facecolors().T
    assert np.corrcoef(offsets[:, 0], red - blue)[0, 1] > 0.5


def test_of_more_than_two_classes_the_summary_is_a_bar_of_all_of_them():
    """In shap's manner: the mean size towards each class, behind one another."""
    data = simulate_few_genes((12, 10, 8), effect=4)
    rng = np.random.default_rng(0)
    of_classes = {
        label: pd.DataFrame(rng.normal(size=(30, 3)), data.X_train.index, ["g000", "g002", "g004"])
        for label in data.classes
    }
    of_classes["class 01"]["g004"] *= 9
    values = pd.concat(of_classes, axis=1, names=["class", "gene"])
    models = {"Random Forest": values, "XGBoost": values}
    figure = draw_shap_summary(models, data, np.log2(data.X_all))
    ax, other = figure.axes
    assert ax.get_xlabel() == "mean |SHAP value| by class (probability)"
    assert other.get_xlabel() == "mean |SHAP value| by class (log-odds)"
    names = tick_texts(ax.yaxis)
    assert names[0] == "g004"
    colors = [color.lower() for color in style.class_palette(data).values()]
    for row, gene in enumerate(names):
        bars = sorted((bar for bar in ax.patches if round(bar.get_y() + 0.4) == row), key=left_of)
        sizes = [values[label][gene].abs().mean() for label in data.classes]
        assert [bar.get_width() for bar in bars] == pytest.approx(sizes)
        assert [left_of(bar) for bar in bars] == pytest.approx([0, *np.cumsum(sizes)[:-1]])
        assert [to_hex(bar.get_facecolor()) for bar in bars] == colors
    assert legend_texts(figure) == list(data.classes)
    assert figure.get_suptitle() == "What moves each model's output, 30 training patients"


def left_of(bar):
    return bar.get_x()


def test_each_row_of_the_summary_has_its_own_gene_where_not_all_patients_are_explained():
    data = simulate(effect=4)
    values = pd.DataFrame(0.0, data.X_train.index[::-3], data.X_train.columns)
    values[["g009", "g001"]] = 2.0, 1.0  # largest first, not in the order of the alphabet
    by_class = pd.concat({"control": -values, "case": values}, axis=1, names=["class", "gene"])
    ax = draw_shap_summary({"Random Forest": by_class}, data, data.X_train).axes[0]
    names = [text.get_text() for text in ax.get_yticklabels()]
    middles = [points.get_offsets()[:, 0].mean() for points in ax.collections[:2]]
    assert (names, middles) == (list(data.gene_names[["g009", "g001"]]), [2, 1])


def test_frequencies_stand_beside_those_of_each_model_and_of_permuted_labels(leading):
    of_model = pd.DataFrame({"frequency": [0.9, 0.7, 0.1, 0.2]}, leading.index)
    permuted = pd.DataFrame({"g003": [0.1, 0.2], "g010": [0.3, 0.0]})
    none = pd.DataFrame()
    controls = Controls(none, permuted, 10, none, 5, none)
    rule = Rule(pairs=50, first=110, bound=1.0, worst_case=8.0)
    figure = draw_frequencies(leading, {"One": of_model, "Other": of_model}, controls, rule)
    [ax] = figure.axes
    assert tick_texts(ax.yaxis) == list(leading["gene"])
    assert ax.get_xlabel() == "share of 100 subsamples with the gene among the first 110"
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines["One"].get_xdata()) == list(of_model["frequency"])
    assert lines["One"].get_marker() != lines["Other"].get_marker()
    assert list(lines["selected from here"].get_xdata()) == [0.75, 0.75]
    spans = {patch.get_label(): patch for patch in ax.patches}
    span = spans["highest of 2 permutations, 20 subsamples each"]
    assert span.get_x() + span.get_width() == 0.3
    assert {"One", "Other", "mean rank over the models"} < set(legend_texts(figure))


def test_heatmap_names_every_gene_with_the_selected_in_bold(planted, leading):
    figure = draw_heatmap(planted, np.log2(planted.X_all), leading)
    [ax] = [ax for ax in figure.axes if ax.get_xlabel().startswith("patient")]
    weights = {label.get_text(): label.get_weight() for label in ax.get_yticklabels()}
    assert set(weights) == set(leading["gene"])
    bold = {gene for gene, weight in weights.items() if weight == "bold"}
    assert bold == set(leading["gene"][leading["selected"]])
    assert set(tick_texts(ax.xaxis)) <= set(planted.y_all.index)
    assert legend_texts(figure) == ["control", "case", "train", "test"]
    # A row is that of the gene beside it, and the tree puts them into another order
    assert tick_texts(ax.yaxis) != list(leading["gene"])
    values = ax.collections[0].get_array().reshape(len(leading), -1)
    for accession, name in leading["gene"].items():
        log2 = np.log2(planted.X_all[accession])
        train = log2[planted.X_train.index]
        z = np.sort((log2 - train.mean()) / train.std())
        np.testing.assert_allclose(np.sort(values[tick_texts(ax.yaxis).index(name)]), z)


def test_heatmap_leaves_room_for_title_and_legend(planted, leading):
    with style.theme():
        figure = draw_heatmap(planted, np.log2(planted.X_all), leading)
        assert max(ax.get_position().y1 for ax in figure.axes) < 0.881


def test_heatmap_without_test_patients_has_no_bar_of_sets(planted, leading):
    alone = replace(planted, X_test=planted.X_test[:0], y_test=planted.y_test[:0])
    figure = draw_heatmap(alone, np.log2(alone.X_all), leading)
    assert legend_texts(figure) == ["control", "case"]
    assert "all 40 patients" in figure.get_suptitle()


def test_genes_that_follow_the_batch_have_a_mark_that_the_title_explains(planted, leading):
    named = leading.assign(follows_batch=[True, False, False, False])
    named.loc["g010", "gene"] = "a name of more than thirty letters (Y12670_at)"
    figure = draw_heatmap(planted, np.log2(planted.X_all), named)
    [ax] = [ax for ax in figure.axes if ax.get_xlabel().startswith("patient")]
    marked = [name for name in tick_texts(ax.yaxis) if name.endswith(" †")]
    assert len(marked) == 1
    assert marked[0].startswith("a name of")
    assert marked[0].endswith(" (Y12670_at) †")
    assert figure.get_suptitle().endswith("(bold: selected; †: differs between batches)")
    for unmarked in (leading, leading.assign(follows_batch=False)):
        figure = draw_heatmap(planted, np.log2(planted.X_all), unmarked)
        assert "†" not in figure.get_suptitle()


def test_batches_are_a_bar_of_their_own_in_colours_that_no_class_has(planted, leading):
    batches = pd.Series(np.repeat(["south", "north"], 40), planted.y_all.index)
    data = replace(planted, batches=batches)
    bars, (_, palette) = patient_bars(data)
    assert list(bars) == ["class", "set", "batch"]
    assert list(palette) == ["north", "south"]
    assert (bars["batch"] == batches.map(palette)).all()
    others = {*style.class_palette(data).values(), *style.SET_COLORS.values()}
    assert not {*BATCH_COLORS} & {*others, *style.COLORS.values()}
    figure = draw_heatmap(data, np.log2(data.X_all), leading)
    texts = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert texts == [["control", "case", "train", "test"], ["north", "south"]]


def test_of_many_batches_the_largest_have_a_colour(planted):
    names = np.repeat([f"hospital {i}" for i in range(8)], [2, 12, 11, 11, 11, 11, 11, 11])
    batches = pd.Series(names, planted.y_all.index)
    bars, (_, palette) = patient_bars(replace(planted, batches=batches))
    assert list(bars) == ["class", "set", "batch (6 largest)"]
    assert len(set(palette.values())) == len(palette) == 6
    assert "hospital 0" not in palette
    assert (bars.iloc[:2, 2] == "#FFFFFF").all()


def test_where_people_have_several_arrays_the_figures_count_arrays(planted, leading):
    data = replace(planted, groups=pd.Series(np.arange(80) // 2, planted.y_all.index).map(str))
    figure = draw_top_genes(data, np.log2(data.X_all), leading, seed=0)
    assert figure.get_suptitle() == "The leading genes in 80 of 80 arrays"
    figure = draw_heatmap(data, np.log2(data.X_all), leading)
    assert "all 80 arrays" in figure.get_suptitle()


def test_top_genes_have_a_dot_a_patient_in_the_colour_of_its_class(planted, leading):
    figure = draw_top_genes(planted, np.log2(planted.X_all), leading, seed=0)
    assert [ax.get_title() for ax in figure.axes[:4]] == list(leading["gene"])
    dots = np.vstack([points.get_offsets() for points in figure.axes[1].collections])
    assert len(dots) == 80
    np.testing.assert_allclose(np.sort(dots[:, 1]), np.sort(np.log2(planted.X_all["g003"])))
    assert legend_texts(figure) == ["control", "case"]
    assert figure.get_suptitle() == "The leading genes in 80 of 80 patients"


# --- twenty classes


@pytest.fixture(scope="module")
def twenty():
    """Twenty classes with long names, in four hospitals."""
    data = simulate_few_genes([5] * 20, effect=4)
    names = {label: f"{label} of leukemia, with t(9;22)" for label in data.classes}
    return replace(
        data,
        y_train=data.y_train.cat.rename_categories(names),
        y_test=data.y_test.cat.rename_categories(names),
        batches=pd.Series(np.resize(["a", "b", "c", "d"], 200), data.y_all.index),
    )


@pytest.fixture(scope="module")
def leading_of_twenty(twenty):
    genes = twenty.X_train.columns[:20]
    table = {"gene": twenty.gene_names[genes], "frequency": 1.0, "selected": True}
    return pd.DataFrame(table, genes)


def extents(figure):
    """Return the boxes of the legends and axes of a figure, in pixels."""
    figure.draw_without_rendering()
    legends = [legend.get_window_extent() for legend in figure.legends]
    return legends, [ax.get_tightbbox() for ax in figure.axes if ax.axison or ax.has_data()]


def assert_legends_apart(figure):
    legends, axes = extents(figure)
    for i, legend in enumerate(legends):
        assert figure.bbox.x0 <= legend.x0
        assert legend.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= legend.y0
        inside = legend.padded(-4.4)  # its frame, which is not drawn
        assert not any(inside.overlaps(ax) for ax in axes)
        assert not any(inside.overlaps(other.padded(-4.4)) for other in legends[i + 1 :])


def test_twenty_classes_have_a_heatmap_whose_legends_overlap_nothing(twenty, leading_of_twenty):
    figure = draw_heatmap(twenty, np.log2(twenty.X_all), leading_of_twenty)
    assert [len(legend.get_texts()) for legend in figure.legends] == [22, 4]
    assert_legends_apart(figure)


def test_twenty_classes_have_swarms_that_stand_apart(twenty, leading_of_twenty):
    figure = draw_top_genes(twenty, np.log2(twenty.X_all), leading_of_twenty, seed=0)
    assert_legends_apart(figure)
    ax = figure.axes[0]
    swarms = [dots.get_offsets()[:, 0] for dots in ax.collections if len(dots.get_offsets())]
    assert len(swarms) == 40
    dot = 2 / 72 * figure.dpi / (ax.bbox.width / np.ptp(ax.get_xlim()))
    ends = sorted((x.min(), x.max()) for x in swarms)
    assert all(end + dot / 2 <= start for (_, end), (start, _) in pairwise(ends))


def test_twenty_classes_have_bars_and_importances_with_a_legend(twenty):
    of_classes = {
        label: pd.DataFrame(1.0, twenty.X_train.index, ["g000", "g001"]) for label in twenty.classes
    }
    values = pd.concat(of_classes, axis=1, names=["class", "gene"])
    table = pd.DataFrame(
        {"importance": 1.0, "rank": range(1, 11), "direction": twenty.classes[:10]},
        twenty.X_train.columns[:10],
    )
    models = ["Logistic Regression", "Decision Tree", "Random Forest", "XGBoost"]
    for figure in (
        draw_shap_summary(dict.fromkeys(models, values), twenty, np.log2(twenty.X_all)),
        draw_importances(dict.fromkeys(models, table), twenty),
    ):
        assert len(figure.legends[0].get_texts()) == 20
        assert_legends_apart(figure)
