"""The figures of Q3, clusters: every patient and every method is there, and told apart."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from expression.analysis import clusters
from expression.figures.clustering_analysis import (
    draw_clusters,
    draw_consensus,
    draw_dendrogram,
    draw_k_selection,
)
from expression.running import style


@pytest.fixture
def long_names():
    """80 patients with barcodes, three groups with names of 40 characters, and their clusters."""
    names = [f"acute leukemia of the lineage number {i}, x" for i in range(3)]
    members = np.arange(80) % 3
    barcodes = [f"TCGA-AB-{i:04}-03A-01T-0734-13" for i in range(80)]
    groups = pd.Series(np.array(names)[members], barcodes)
    palette = dict(zip(names, ("#0072B2", "#56B4E9", "#D55E00"), strict=True))
    scores = np.random.default_rng(9).normal(size=(80, 5)) + 8 * np.eye(5)[members]
    keys = itertools.product(clusters.METHODS, (2, 3))
    partitions = {(method, k): 1 + np.minimum(members, k - 1) for method, k in keys}
    with style.theme():
        yield scores, partitions, groups, palette


def assert_legend_fits(figure):
    figure.draw_without_rendering()
    legend, page = figure.legends[0].get_window_extent(), figure.bbox
    assert page.x0 <= legend.x0
    assert legend.x1 <= page.x1
    assert "80 patients" in figure.get_suptitle()


def test_clusters_have_a_key_for_colours_and_shapes(long_names):
    scores, partitions, groups, palette = long_names
    variance = 10 * scores[:, 0].var()
    figure = draw_clusters(scores, partitions, groups, palette, ks=[2, 3], variance=variance)
    assert figure.axes[-1].get_xlabel() == "PC1 (10.0 % of variance)"
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys[3:] == ["cluster 1", "cluster 2", "cluster 3"]
    shapes = [handle.get_marker() for handle in figure.legends[0].legend_handles[3:]]
    assert shapes == ["o", "s", "^"]
    assert len(figure.axes) == 2 * len(clusters.METHODS)
    titles = {ax.get_title() for ax in figure.axes}
    assert titles == {f"{method}, k = {k}" for method in clusters.METHODS for k in (2, 3)}
    assert_legend_fits(figure)


def test_a_patient_is_drawn_where_it_is_in_its_colour_and_joined_to_its_centre(long_names):
    scores, partitions, groups, palette = long_names
    figure = draw_clusters(scores, partitions, groups, palette, ks=[2, 3], variance=100)
    [ax] = [ax for ax in figure.axes if ax.get_title() == "KMeans, k = 3"]
    assert len(ax.collections) == 3
    for number, points in enumerate(ax.collections, start=1):
        members = partitions["KMeans", 3] == number
        np.testing.assert_allclose(points.get_offsets(), scores[members, :2])
        colors = {to_hex(color) for color in points.get_facecolors()}
        assert colors == {palette[group].lower() for group in set(groups[members])}
    assert len(ax.lines) == len(groups)
    centre = scores[partitions["KMeans", 3] == 1, :2].mean(axis=0)
    np.testing.assert_allclose(ax.lines[0].get_xydata()[0], centre)


def test_consensus_is_drawn_for_all_patients(long_names):
    _, partitions, groups, palette = long_names
    resampled = {key: np.tile(labels, (2, 1)) for key, labels in partitions.items()}
    figure = draw_consensus(resampled, partitions, groups, palette, ks=[2, 3])
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (80, 80)
    assert (np.diag(image) == 1).all()
    assert_legend_fits(figure)


def test_consensus_is_sorted_by_cluster_then_group_with_the_groups_left(long_names):
    _, partitions, groups, palette = long_names
    resampled = {key: np.tile(labels, (2, 1)) for key, labels in partitions.items()}
    figure = draw_consensus(resampled, partitions, groups, palette, ks=[2, 3])
    [ax] = [ax for ax in figure.axes if ax.get_title() == "KMeans, k = 2"]
    image, strip = (drawn.get_array() for drawn in ax.images)
    sizes = np.bincount(partitions["KMeans", 2])[1:]
    together = np.repeat([0, 1], sizes)
    np.testing.assert_array_equal(image, together[:, None] == together)
    drawn = [to_hex(color) for color in strip[:, 0]]
    counts = groups.value_counts().sort_index()
    assert drawn == list(np.repeat([palette[group].lower() for group in counts.index], counts))


def test_the_tree_thins_out_the_names_of_many_patients(long_names):
    scores, _, groups, palette = long_names
    figure = draw_dendrogram(scores, groups, palette)
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert 20 < len(labels) < 80
    assert labels[0] in set(groups.index)
    assert_legend_fits(figure)


def test_where_people_have_several_arrays_the_titles_say_arrays(long_names):
    scores, partitions, groups, palette = long_names
    resampled = {key: np.tile(labels, (2, 1)) for key, labels in partitions.items()}
    options = {"ks": [2], "noun": "arrays"}
    figures = [
        draw_clusters(scores, partitions, groups, palette, variance=100, **options),
        draw_consensus(resampled, partitions, groups, palette, **options),
        draw_dendrogram(scores, groups, palette, noun="arrays"),
    ]
    for figure in figures:
        assert "80 arrays" in figure.get_suptitle()


def test_stability_stands_beside_that_of_noise_for_every_method():
    keys = itertools.product(clusters.METHODS, (2, 3))
    index = pd.MultiIndex.from_tuples(keys, names=["method", "k"])
    columns = pd.MultiIndex.from_product([["all", "training"], range(4)], names=["cohort", "draw"])
    values = np.random.default_rng(0).uniform(size=(len(index), len(columns)))
    stability = pd.DataFrame(values, index, columns)
    with style.theme():
        figure = draw_k_selection(stability, {"all": "all 9 patients", "training": "the 5"})
    assert [ax.get_title() for ax in figure.axes] == list(clusters.METHODS)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [" ".join(text.split()) for text in texts] == [
        "all 9 patients",
        "all 9 patients, without clusters",
        "the 5",
        "the 5, without clusters",
    ]
    for ax, method in zip(figure.axes, clusters.METHODS, strict=True):
        of_all, null, *_ = (line.get_ydata() for line in ax.lines)
        np.testing.assert_allclose(of_all, stability.loc[method, ("all", 0)])
        np.testing.assert_allclose(null, stability.loc[method, "all"][[1, 2, 3]].mean(axis=1))


def test_twenty_clusters_of_twenty_classes_of_long_names_draw_without_overlap():
    names = [f"acute leukaemia with rearrangement no {i:03}" for i in range(20)]
    members = np.arange(100) % 20
    groups = pd.Series(np.array(names)[members], [f"p{i:03}" for i in range(100)])
    palette = dict(zip(names, style.CLASS_COLORS, strict=True))
    scores = np.random.default_rng(9).normal(size=(100, 20)) + 8 * np.eye(20)[members]
    partitions = {(method, 20): 1 + members for method in clusters.METHODS}
    resampled = {key: np.tile(labels, (2, 1)) for key, labels in partitions.items()}
    with style.theme():
        figures = [
            draw_clusters(scores, partitions, groups, palette, ks=[20], variance=100),
            draw_consensus(resampled, partitions, groups, palette, ks=[20]),
            draw_dendrogram(scores, groups, palette),
        ]
        for figure in figures:
            figure.draw_without_rendering()
            legend = figure.legends[0].get_window_extent()
            assert legend.x0 >= 0
            assert legend.x1 <= figure.bbox.x1
            assert not any(legend.overlaps(ax.get_tightbbox()) for ax in figure.axes)
            assert figure.axes[0].get_window_extent().height / figure.dpi > 1.5
    shapes = {handle.get_marker() for handle in figures[0].legends[0].legend_handles[20:]}
    assert len(shapes) == 20


def test_of_many_numbers_of_clusters_some_are_named():
    keys = itertools.product(clusters.METHODS, range(2, 31))
    index = pd.MultiIndex.from_tuples(keys, names=["method", "k"])
    columns = pd.MultiIndex.from_product([["all"], range(3)], names=["cohort", "draw"])
    stability = pd.DataFrame(0.5, index, columns)
    figure = draw_k_selection(stability, {"all": "all 99 patients"})
    assert list(figure.axes[0].get_xticks()) == list(range(2, 31, 3))
