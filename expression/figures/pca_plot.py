"""The figures of Q3, components: their variance, the patients and the genes."""

import itertools

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D

from expression.analysis.components import ERROR
from expression.data import ExpressionData
from expression.running import style

NAMED_GENES = 12
LEGEND_COLUMNS = 3
LINE_INCHES = 0.15  # that a line of a legend takes


def draw_scree(variance: pd.DataFrame, needed: dict[float, int], fitted_on: str) -> plt.Figure:
    """Draw the shares of variance over their null, and their running sum.

    `needed`: how many components together hold a share of the variance; `fitted_on`: how many
    training patients, in words.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE_WIDTH, 3.2))
    retained = int(variance["retained"].sum())
    percent = 100 * variance.drop(columns="retained").set_axis(range(1, len(variance) + 1))
    first = percent[: 2 * retained + 20]  # the others lie flat
    label = "95th percentile under permutation"
    left.fill_between(first.index, first["permuted_95"], color="0.85", label=label)
    left.plot(first["ratio"], "o-", color="0.3", mfc="w", label="not retained")
    left.plot(first["ratio"][:retained], "ko", label=f"retained ({retained})")
    left.set(xlabel="Component", ylabel="% of the variance", ylim=0, title="Each component")
    left.legend()
    right.plot(percent["cumulative"], "k.-")
    right.set(xlabel="Components", ylabel="% of the variance", title="Together", xlim=0)
    shares = [100 * share for share in needed]
    right.set(xticks=[1, *needed.values()], yticks=[0, 50, *shares])
    right.grid(ls=":")
    figure.suptitle(f"Variance of {fitted_on} along their components")
    return figure


def draw_planes(
    scores: pd.DataFrame, ratio: pd.Series, data: ExpressionData, drawn: int
) -> plt.Figure:
    """Draw all patients on the second over the first component, and over the third."""
    noun = noun_of_rows(data)
    title = f"{len(scores):,} {noun} on the components of the {len(data.X_train):,} training {noun}"
    return draw_patients(planes_of(scores, ratio, drawn), data, title)


def planes_of(scores: pd.DataFrame, ratio: pd.Series, drawn: int) -> list[pd.DataFrame]:
    """Return the planes that are drawn: the second component over the first, and over the third."""
    planes = [scores[[x, "PC2"]] for x in ("PC1", "PC3")[: drawn - 1]]
    return [plane.rename(columns=axis_labels(ratio)) for plane in planes]


def noun_of_rows(data: ExpressionData) -> str:
    return "patients" if data.groups is None else "arrays"


def draw_batches(
    scores: pd.DataFrame, ratio: pd.Series, data: ExpressionData, drawn: int
) -> plt.Figure:
    """Draw all patients in the colour of their subgroup and the marker of their batch: filled
    training, open test."""
    palette = style.subgroup_palette(data)
    counts = data.batches.loc[scores.index].value_counts().sort_index()
    markers = dict(zip(counts.index, itertools.cycle(style.MARKERS), strict=False))
    shapes = {f"{batch} ({count})": markers[batch] for batch, count in counts.items()}
    handles = [*style.color_handles(palette), *marker_handles(shapes, fill="0.3")]
    if len(data.X_test):
        handles += marker_handles({"filled: training": "o"}, fill="0.3")
        handles += marker_handles({"open: test": "o"}, fill="none")
    labels = [style.wrap_name(handle.get_label(), 30) for handle in handles]

    planes = planes_of(scores, ratio, drawn)
    legend_lines = sum(label.count("\n") + 1 for label in labels) / LEGEND_COLUMNS
    legend_inches = LINE_INCHES * legend_lines
    size = (style.PAGE_WIDTH, 3.4 + legend_inches)
    figure, axes = plt.subplots(1, len(planes), squeeze=False, figsize=size)
    for ax, plane in zip(axes.flat, planes, strict=True):
        draw_plane(ax, plane, data, palette, markers)
    style.legend_below(figure, handles, labels, LEGEND_COLUMNS, inches=legend_inches + 0.3)
    figure.suptitle(f"{len(scores):,} {noun_of_rows(data)}: colour the class, shape the batch")
    return figure


def draw_plane(
    ax: plt.Axes,
    plane: pd.DataFrame,
    data: ExpressionData,
    palette: dict[str, str],
    markers: dict[str, str],
) -> None:
    """Draw the patients over the two columns of a plane, by subgroup, batch and set."""
    size = marker_size(data)
    batches = data.batches.loc[plane.index]
    patients = plane.groupby([data.subgroups, batches, data.sample_set], sort=False)
    for (subgroup, batch, set_name), xy in patients:
        color = palette[subgroup]
        fill = color if set_name == "train" else "none"
        ax.plot(
            xy.iloc[:, 0],
            xy.iloc[:, 1],
            linestyle="",
            marker=markers[batch],
            color=color,
            mfc=fill,
            ms=size,
        )
    ax.set(xlabel=plane.columns[0], ylabel=plane.columns[1])
    ax.locator_params(nbins=5)


def marker_handles(markers: dict[str, str], fill: str) -> list[Line2D]:
    """Return what a legend shows for each name of markers."""
    return [
        Line2D(
            [],
            [],
            linestyle="",
            color="0.3",
            mfc=fill,
            marker=marker,
            label=style.legend_name(name),
        )
        for name, marker in markers.items()
    ]


def marker_size(data: ExpressionData) -> int:
    return 6 if len(data.subgroups) < 300 else 2


def draw_errors(held_out: pd.DataFrame, ratio: pd.Series, data: ExpressionData) -> plt.Figure:
    """Draw what the components leave of each patient that the fit has not seen, over the first."""
    plane = held_out[["PC1", ERROR]]
    plane = plane.rename(columns={**axis_labels(ratio), ERROR: f"{ERROR} (array SD)"})
    noun = noun_of_rows(data)
    title = (
        f"{len(data.X_test):,} test {noun} beside {len(data.X_train):,} held-out training "
        f"{noun}: {ERROR}"
    )
    return draw_patients([plane], data, title)


def axis_labels(ratio: pd.Series) -> dict[str, str]:
    return {name: f"{name} ({share:.1%} of the variance)" for name, share in ratio.items()}


def draw_patients(planes: list[pd.DataFrame], data: ExpressionData, title: str) -> plt.Figure:
    """Draw the patients over the two columns of each plane: filled training, open test."""
    figure, axes = plt.subplots(1, len(planes), squeeze=False, figsize=(style.PAGE_WIDTH, 4))
    subgroups, palette = data.subgroups, style.subgroup_palette(data)
    size = marker_size(data)
    for ax, plane in zip(axes.flat, planes, strict=True):
        for (subgroup, color), marker in zip(palette.items(), itertools.cycle(style.MARKERS)):
            for set_name, fill in (("train", color), ("test", "none")):
                xy = plane[(subgroups == subgroup) & (data.sample_set == set_name)]
                if len(xy):
                    name = style.wrap_name(subgroup, 24)
                    ax.plot(
                        xy.iloc[:, 0],
                        xy.iloc[:, 1],
                        linestyle="",
                        marker=marker,
                        color=color,
                        mfc=fill,
                        ms=size,
                        label=style.legend_name(f"{name}, {set_name} ({len(xy)})"),
                    )
        ax.set(xlabel=plane.columns[0], ylabel=plane.columns[1])
        ax.locator_params(nbins=5)
    style.legend_below(figure, *ax.get_legend_handles_labels(), columns=LEGEND_COLUMNS)
    figure.suptitle(title)
    return figure


def draw_loadings(loadings: pd.DataFrame, data: ExpressionData) -> plt.Figure:
    """Draw the largest loadings by gene name, informative genes in the colour of their class."""
    figure, axes = style.panel_grid(loadings.shape[1], 1, height=2.4)
    palette = style.class_palette(data)
    known = pd.Series(dtype=str) if data.informative_genes is None else data.informative_genes
    for ax, (component, column) in zip(axes, loadings.items(), strict=True):
        top = column[column.abs().nlargest(NAMED_GENES).index]
        colors = known.reindex(top.index).map(palette).fillna("0.7")
        style.draw_bars(ax, top, colors, data.gene_names[top.index], NAMED_GENES)
        ax.set(title=component, xlabel="Loading" if ax is axes[-1] else "")
    if len(known):
        names = {"other genes": "0.7"}
        for label, color in palette.items():
            names[style.wrap_name(f"informative, higher in {label}", 28)] = color
        handles = style.color_handles(names)
        labels = [handle.get_label() for handle in handles]
        style.legend_below(figure, handles, labels, columns=LEGEND_COLUMNS)
    n = len(data.X_train)
    noun = noun_of_rows(data)
    figure.suptitle(f"Components of {n:,} training {noun}: the {NAMED_GENES} largest loadings")
    return figure
