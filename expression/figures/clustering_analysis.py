"""The figures of Q3, clusters: the patients, how stable the clusters are, and how many."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_rgba_array
from matplotlib.lines import Line2D
from scipy.cluster.hierarchy import dendrogram, linkage

from expression.analysis import clusters
from expression.analysis.clusters import METHODS, Clusters
from expression.running import style


def draw_panels(ks: list[int], title: str, handles: list) -> tuple[plt.Figure, dict]:
    """Return a figure with a panel by (method, k), a title and a legend."""
    shape, size = (len(ks), len(METHODS)), (style.PAGE_WIDTH, 2.3 * len(ks) + 1)
    figure, axes = plt.subplots(*shape, sharex=True, sharey=True, squeeze=False, figsize=size)
    panels = dict(zip(itertools.product(METHODS, ks), axes.T.flat, strict=True))
    for (method, k), ax in panels.items():
        ax.set_title(f"{method}, k = {k}")
    draw_title_and_legend(figure, title, handles)
    return figure, panels


def draw_title_and_legend(figure: plt.Figure, title: str, handles: list) -> None:
    labels = [style.wrap_name(handle.get_label(), 24) for handle in handles]
    figure.suptitle(title)
    figure.legend(handles, labels, loc="outside lower center", ncols=4)


def draw_clusters(
    scores: np.ndarray, variance: float, found: Clusters, groups, palette: dict, ks: list[int]
) -> plt.Figure:
    """Draw each patient in its true colour, in the shape of its cluster, joined to its centre.

    `variance` is that of all features, of whose components the scores may be the leading ones.
    """
    markers = dict(zip(range(1, max(ks) + 1), itertools.cycle(style.SERIES_MARKERS), strict=False))
    shapes = [
        Line2D([], [], c="0.3", ls="", marker=markers[n], label=f"cluster {n}") for n in markers
    ]
    title = f"Clusters of {len(groups)} patients, found without their labels"
    figure, panels = draw_panels(ks, title, [*style.color_handles(palette), *shapes])
    share = 100 * scores.var(axis=0) / variance
    for key, ax in panels.items():
        for number in np.unique(found[key]):
            members = found[key] == number
            points = scores[members, :2]
            rays = np.stack([np.broadcast_to(points.mean(axis=0), points.shape), points])
            ax.plot(rays[:, :, 0], rays[:, :, 1], c="0.8", lw=0.6, zorder=0)
            look = {"c": groups[members].map(palette), "marker": markers[number]}
            ax.scatter(*points.T, **look, s=18, ec="white", lw=0.3)
        x, y = (f"PC{i + 1} ({share[i]:.1f} % of variance)" for i in (0, 1))
        ax.set(xlabel=x, ylabel=y)
        ax.label_outer()
    return figure


def draw_consensus(
    resampled: Clusters, found: Clusters, groups: pd.Series, palette: dict, ks: list[int]
) -> plt.Figure:
    """Draw the consensus of all pairs of patients, sorted by cluster and group, groups left."""
    title = f"How often subsamples put two of {len(groups)} patients into one cluster"
    figure, panels = draw_panels(ks, title, style.color_handles(palette))
    n, strip = len(groups), to_rgba_array(list(groups.map(palette)))[:, None]
    for key, ax in panels.items():
        order = np.lexsort((groups, found[key]))
        image = clusters.consensus(resampled[key])[np.ix_(order, order)]
        shown = ax.imshow(image, cmap="Greys", vmin=0, vmax=1, extent=(0, n, n, 0))
        ax.imshow(strip[order], extent=(-0.07 * n, -0.01 * n, n, 0))
        ax.set(xlim=(-0.07 * n, n), aspect="auto")
        ax.axis("off")
    figure.colorbar(shown, ax=list(panels.values()), label="share of subsamples", aspect=50)
    return figure


def draw_k_selection(stability: pd.DataFrame, names: dict[str, str]) -> plt.Figure:
    """Draw the stability against k, with the mean and range of the null data sets."""
    size = (style.PAGE_WIDTH, 3.2)
    figure, axes = plt.subplots(1, len(METHODS), sharex=True, sharey=True, figsize=size)
    rows = stability.T.stack(["method", "k"]).reset_index(name="value")
    rows["data"] = rows["cohort"].map(names) + np.where(rows["draw"] > 0, ", without clusters", "")
    palette = dict(zip(rows["data"].unique(), style.COHORT_SHADES, strict=False))
    look = {"hue": "data", "palette": palette, "errorbar": ("pi", 100), "legend": False}
    for ax, method in zip(axes, METHODS, strict=True):
        panel = rows[rows["method"] == method]
        sns.lineplot(panel, x="k", y="value", marker="o", markersize=4, ax=ax, **look)
        ax.set(title=method, xlabel="number of clusters k", xticks=panel["k"].unique())
    axes[0].set_ylabel("stability (adjusted Rand index)")
    title = f"Stability under subsampling of {' and '.join(names.values())}"
    draw_title_and_legend(figure, title, style.color_handles(palette))
    return figure


def draw_dendrogram(scores: np.ndarray, groups: pd.Series, palette: dict) -> plt.Figure:
    """Draw Ward's tree of the patients over a strip of their colours."""
    figure, (ax, below) = plt.subplots(2, height_ratios=[9, 1], figsize=(style.PAGE_WIDTH, 4))
    order = dendrogram(linkage(scores, "ward"), ax=ax, link_color_func=lambda _: "0.3")["leaves"]
    ax.set(xticks=[], ylabel="Ward distance")
    below.imshow([to_rgba_array(list(groups.iloc[order].map(palette)))], aspect="auto")
    below.set(yticks=[], xlabel="patient")
    style.name_ticks(below.xaxis, groups.index[order], 0.9 * style.PAGE_WIDTH)
    title = f"Ward's tree of {len(scores)} patients, their groups below"
    draw_title_and_legend(figure, title, style.color_handles(palette))
    return figure
