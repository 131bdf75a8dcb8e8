"""The figures of Q3, components: what is drawn is what the table says."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from expression.analysis.components import ERROR
from expression.figures.pca_plot import (
    draw_batches,
    draw_errors,
    draw_loadings,
    draw_patients,
    draw_planes,
    draw_scree,
)
from expression.running import style
from expression.running.style import class_palette, subgroup_palette
from many_classes import simulate_classes


def legend_texts(owner):
    return [text.get_text() for text in owner.get_texts()]


def test_scree_figure_shows_null_and_rules():
    ratio = pd.Series([0.5, 0.3, 0.1, 0.06, 0.04])
    variance = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum(), "permuted_95": 0.2})
    variance["retained"] = ratio > 0.2
    figure = draw_scree(variance, {0.8: 2, 0.9: 3, 0.95: 4}, "1,234 training patients")
    left, right = figure.axes
    labels = ["95th percentile under permutation", "not retained", "retained (2)"]
    assert legend_texts(left.get_legend()) == labels
    assert left.lines[1].get_ydata().tolist() == [50, 30]
    np.testing.assert_allclose(right.lines[0].get_ydata(), [50, 80, 90, 96, 100])
    assert set(right.get_xticks()) == {1, 2, 3, 4}
    assert {80, 90, 95} <= set(right.get_yticks())
    assert "1,234 training patients" in figure.get_suptitle()


def test_patients_figure_tells_subtype_class_and_set_of_those_that_are_there(data):
    plane = pd.DataFrame(np.zeros((72, 2)), data.X_all.index, ["PC1", "PC2"])
    figure = draw_patients([plane, plane], data, "A title")
    labels = legend_texts(figure.legends[0])
    assert labels[:2] == ["B-cell ALL, train (19)", "B-cell ALL, test (19)"]
    assert labels[-2:] == ["AML, train (11)", "AML, test (14)"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    train, test = lines["AML, train (11)"], lines["AML, test (14)"]
    assert train.get_color() == test.get_color() == subgroup_palette(data)["AML"]
    assert (train.get_markerfacecolor(), test.get_markerfacecolor()) == (train.get_color(), "none")
    assert len({line.get_marker() for line in lines.values()}) == 3
    assert sum(len(line.get_xdata()) for line in lines.values()) == 72
    none = {"X_test": data.X_test[:0], "y_test": data.y_test[:0], "subtypes": None}
    figure = draw_patients([plane.loc[data.X_train.index]], replace(data, **none), "A title")
    assert legend_texts(figure.legends[0]) == ["ALL, train (27)", "AML, train (11)"]


def test_planes_are_as_many_as_the_components_drawn_need(data):
    values = np.random.default_rng(0).normal(size=(72, 3))
    scores = pd.DataFrame(values, data.X_all.index, ["PC1", "PC2", "PC3"])
    ratio = pd.Series([0.165, 0.1, 0.05], scores.columns)
    for drawn, labels in ((2, ["PC1 (16.5%"]), (3, ["PC1 (16.5%", "PC3 (5.0%"])):
        figure = draw_planes(scores, ratio, data, drawn)
        assert [ax.get_xlabel().split(" of ")[0] for ax in figure.axes] == labels
        assert {ax.get_ylabel() for ax in figure.axes} == {"PC2 (10.0% of the variance)"}
    points = np.vstack([line.get_xydata() for line in figure.axes[1].lines])
    np.testing.assert_allclose(np.sort(points[:, 0]), np.sort(scores["PC3"]))
    assert figure.get_suptitle() == "72 patients on the components of the 38 training patients"


def test_batches_are_told_by_marker_and_fit_the_page_with_ten_long_names(data):
    values = np.random.default_rng(0).normal(size=(72, 3))
    scores = pd.DataFrame(values, data.X_all.index, ["PC1", "PC2", "PC3"])
    ratio = pd.Series([0.165, 0.1, 0.05], scores.columns)
    names = [f"Department of Haematology, hospital number {i}" for i in range(10)]
    batches = pd.Series([names[i % 10] for i in range(72)], data.X_all.index)
    with style.theme():
        figure = draw_batches(scores, ratio, replace(data, batches=batches), drawn=3)
        figure.draw_without_rendering()
        height = figure.axes[0].get_window_extent().height / figure.dpi
        legend, page = figure.legends[0].get_window_extent(), figure.bbox
    assert height > 2
    assert page.x0 <= legend.x0
    assert legend.x1 <= page.x1
    assert page.y0 <= legend.y0
    labels = [" ".join(label.split()) for label in legend_texts(figure.legends[0])]
    counts = batches.value_counts()
    assert labels == [
        *("B-cell ALL", "T-cell ALL", "AML"),
        *(f"{name} ({counts[name]})" for name in names),
        *("filled: training", "open: test"),
    ]
    handles = figure.legends[0].legend_handles[3:13]
    markers = {name: handle.get_marker() for name, handle in zip(names, handles, strict=True)}
    assert len(set(markers.values())) == 10

    drawn = {}
    for line in figure.axes[1].lines:
        is_filled = line.get_markerfacecolor() != "none"
        for x, y in line.get_xydata():
            drawn[x, y] = (line.get_marker(), line.get_color(), is_filled)
    palette = subgroup_palette(data)
    for patient, (_, y, x) in scores.iterrows():
        expected = (
            markers[batches[patient]],
            palette[data.subgroups[patient]],
            data.sample_set[patient] == "train",
        )
        assert drawn[x, y] == expected
    assert len(drawn) == 72


def test_without_test_patients_no_fill_is_explained(data):
    none = {"X_test": data.X_test[:0], "y_test": data.y_test[:0], "subtypes": None}
    batches = pd.Series("one", data.X_all.index)
    scores = pd.DataFrame(0.0, data.X_train.index, ["PC1", "PC2"])
    ratio = pd.Series([0.2, 0.1], scores.columns)
    figure = draw_batches(scores, ratio, replace(data, batches=batches, **none), drawn=2)
    assert legend_texts(figure.legends[0]) == ["ALL", "AML", "one (38)"]


def test_where_people_have_several_arrays_the_titles_say_arrays(data):
    data = replace(data, groups=data.y_all.index.to_series())
    scores = pd.DataFrame(0.0, data.X_all.index, ["PC1", "PC2"])
    figure = draw_planes(scores, pd.Series([0.2, 0.1], scores.columns), data, 2)
    assert figure.get_suptitle() == "72 arrays on the components of the 38 training arrays"


def test_errors_are_drawn_over_the_first_component(data):
    held_out = pd.DataFrame({"PC1": 0.0, "PC2": 1.0, ERROR: 0.5}, data.X_all.index)
    figure = draw_errors(held_out, pd.Series({"PC1": 0.2, "PC2": 0.1}), data)
    [ax] = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "PC1 (20.0% of the variance)",
        f"{ERROR} (array SD)",
    )
    assert {tuple(xy) for line in ax.lines for xy in line.get_xydata()} == {(0, 0.5)}


def test_loadings_figure_names_the_largest_genes_in_order(data):
    genes = [*data.informative_genes.index[:2], *data.X_train.columns[:30]]
    column = pd.Series(np.linspace(1, -0.1, 32), genes, name="PC1")
    named = replace(data, gene_names=data.gene_names.index.to_series())
    figure = draw_loadings(pd.DataFrame({"PC1": column, "PC2": -column}), named)
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["PC1", "PC2"]
    assert [tick.get_text() for tick in first.get_yticklabels()] == genes[:12]
    assert [bar.get_width() for bar in second.patches] == list(-column[:12])
    drawn = [to_hex(bar.get_facecolor()) for bar in first.patches[:2]]
    assert drawn == [class_palette(data)[c].lower() for c in data.informative_genes[:2]]


def test_twenty_classes_of_long_names_draw_without_overlap_in_colours_and_markers_of_their_own():
    cohort = simulate_classes(
        [5] * 20,
        effect=0,
        test_sizes=[1] * 20,
        name="acute leukaemia with rearrangement no {:03}",
        batches=15,
    )
    values = np.random.default_rng(0).normal(size=(120, 3))
    scores = pd.DataFrame(values, cohort.X_all.index, ["PC1", "PC2", "PC3"])
    ratio = pd.Series([0.165, 0.1, 0.05], scores.columns)
    with style.theme():
        figures = [draw(scores, ratio, cohort, drawn=3) for draw in (draw_planes, draw_batches)]
        for figure in figures:
            figure.draw_without_rendering()
            legend = figure.legends[0].get_window_extent()
            assert figure.bbox.x0 <= legend.x0
            assert legend.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= legend.y0
            for ax in figure.axes:
                assert not legend.overlaps(ax.get_tightbbox())
                assert ax.get_window_extent().height / figure.dpi > 2
    lines = figures[0].axes[0].lines
    assert len({line.get_color() for line in lines}) == 20
    assert len({line.get_marker() for line in lines}) == 20
    assert sum(len(line.get_xdata()) for line in lines) == 120
    assert {line.get_linestyle() for figure in figures for line in figure.axes[0].lines} == {"None"}
