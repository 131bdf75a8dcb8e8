"""The figures of Q3, clusters: the patients, how stable the clusters are, and how many."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba_array
from matplotlib.lines import Line2D
from scipy.cluster.hierarchy import dendrogram, linkage

from expression.analysis import clusters
from expression.analysis.clusters import METHODS, Partitions
from expression.running import style

MOST_TICKS = 10


def draw_panels(ks: list[int], title: str, handles: list) -> tuple[plt.Figure, dict]:
    """Return a figure with a panel by (method, k), a title and a legend."""
    figure, axes = plt.subplots(
        len(ks),
        len(METHODS),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(style.PAGE_WIDTH, 2.3 * len(ks) + 1),
    )
    panels = {}
    for column, method in enumerate(METHODS):
        for row, k in enumerate(ks):
            axes[row, column].set_title(f"{method}, k = {k}")
            panels[method, k] = axes[row, column]
    draw_title_and_legend(figure, title, handles)
    return figure, panels


def draw_title_and_legend(figure: plt.Figure, title: str, handles: list) -> None:
    labels = [style.wrap_name(handle.get_label(), 24) for handle in handles]
    figure.suptitle(title)
    style.legend_below(figure, handles, labels, columns=4)


def draw_clusters(
    scores: np.ndarray,
    partitions: Partitions,
    subgroups: pd.Series,
    palette: dict[str, str],
    *,
    ks: list[int],
    variance: float,
    noun: str = "patients",
) -> plt.Figure:
    """Draw each patient in its true colour, in the shape of its cluster, joined to its centre.

    `variance` is that of all features, of whose components the scores may be the leading ones;
    `noun`: what is drawn, arrays where a patient has several.
    """
    numbers = range(1, max(ks) + 1)
    markers = dict(zip(numbers, itertools.cycle(style.MARKERS), strict=False))
    shapes = [
        Line2D([], [], color="0.3", linestyle="", marker=markers[number], label=f"cluster {number}")
        for number in numbers
    ]
    title = f"Clusters of {len(subgroups)} {noun}, found without their labels"
    figure, panels = draw_panels(ks, title, [*style.color_handles(palette), *shapes])

    percent = 100 * scores.var(axis=0) / variance
    for key, ax in panels.items():
        draw_partition(ax, scores[:, :2], partitions[key], subgroups.map(palette), markers)
        ax.set(
            xlabel=f"PC1 ({percent[0]:.1f} % of variance)",
            ylabel=f"PC2 ({percent[1]:.1f} % of variance)",
        )
        ax.label_outer()
    return figure


def draw_partition(
    ax: plt.Axes, points: np.ndarray, labels: np.ndarray, colors: pd.Series, markers: dict[int, str]
) -> None:
    """Draw patients at points, each in its colour, in the marker of its cluster."""
    for number in np.unique(labels):
        members = labels == number
        xy = points[members]
        centres = np.broadcast_to(xy.mean(axis=0), xy.shape)
        ax.plot([centres[:, 0], xy[:, 0]], [centres[:, 1], xy[:, 1]], c="0.8", lw=0.6, zorder=0)
        ax.scatter(
            xy[:, 0],
            xy[:, 1],
            c=colors[members],
            marker=markers[number],
            s=18,
            edgecolors="white",
            linewidths=0.3,
        )


def draw_consensus(
    resampled: Partitions,
    partitions: Partitions,
    subgroups: pd.Series,
    palette: dict[str, str],
    *,
    ks: list[int],
    noun: str = "patients",
) -> plt.Figure:
    """Draw the consensus of all pairs of patients, by cluster and subgroup, subgroups left."""
    title = f"How often subsamples put two of {len(subgroups)} {noun} into one cluster"
    figure, panels = draw_panels(ks, title, style.color_handles(palette))
    n = len(subgroups)
    strip = to_rgba_array(list(subgroups.map(palette)))[:, None]
    for key, ax in panels.items():
        order = np.lexsort((subgroups, partitions[key]))
        consensus = clusters.consensus(resampled[key])[np.ix_(order, order)]
        image = ax.imshow(consensus, cmap="Greys", vmin=0, vmax=1, extent=(0, n, n, 0))
        ax.imshow(strip[order], extent=(-0.07 * n, -0.01 * n, n, 0))
        ax.set(xlim=(-0.07 * n, n), aspect="auto")
        ax.axis("off")
    figure.colorbar(image, ax=list(panels.values()), label="share of subsamples", aspect=50)
    return figure


def draw_k_selection(stability: pd.DataFrame, names: dict[str, str]) -> plt.Figure:
    """Draw the stability against k, with the mean and range of the null data sets."""
    import seaborn as sns  # slow to import

    figure, axes = plt.subplots(
        1, len(METHODS), sharex=True, sharey=True, figsize=(style.PAGE_WIDTH, 3.2)
    )
    rows = stability.T.stack(["method", "k"]).reset_index(name="value")
    rows["data"] = rows["cohort"].map(names) + np.where(rows["draw"] > 0, ", without clusters", "")
    palette = dict(zip(rows["data"].unique(), style.COHORT_SHADES, strict=False))
    for ax, method in zip(axes, METHODS, strict=True):
        panel = rows[rows["method"] == method]
        sns.lineplot(
            panel,
            x="k",
            y="value",
            hue="data",
            palette=palette,
            errorbar=("pi", 100),
            marker="o",
            markersize=4,
            legend=False,
            ax=ax,
        )
        ks = panel["k"].unique()
        step = math.ceil(len(ks) / MOST_TICKS)
        ax.set(title=method, xlabel="number of clusters k", xticks=ks[::step])
    axes[0].set_ylabel("stability (adjusted Rand index)")
    title = f"Stability under subsampling of {' and '.join(names.values())}"
    draw_title_and_legend(figure, title, style.color_handles(palette))
    return figure


def draw_dendrogram(
    scores: np.ndarray, subgroups: pd.Series, palette: dict, noun: str = "patients"
) -> plt.Figure:
    """Draw Ward's tree of the patients over a strip of their colours."""
    figure, (ax, below) = plt.subplots(2, height_ratios=[9, 1], figsize=(style.PAGE_WIDTH, 4))
    order = dendrogram(linkage(scores, "ward"), ax=ax, link_color_func=lambda _: "0.3")["leaves"]
    ax.set(xticks=[], ylabel="Ward distance")
    below.imshow([to_rgba_array(list(subgroups.iloc[order].map(palette)))], aspect="auto")
    below.set(yticks=[], xlabel="patient")
    style.name_ticks(below.xaxis, subgroups.index[order], 0.9 * style.PAGE_WIDTH)
    title = f"Ward's tree of {len(scores)} {noun}, their groups below"
    draw_title_and_legend(figure, title, style.color_handles(palette))
    return figure
