"""What shows up without labels? (Q3)

KMeans, agglomerative and spectral clustering see expression only; classes and subtypes are compared
with their clusters afterwards. Once on all patients, once on the training patients alone, the ones
the literature clusters.

The traps: purity grows with the number of clusters and starts at the majority class, so agreement
stands beside that of permuted labels. Every algorithm finds clusters in noise, so internal validity
stands beside that of Gaussian clouds of the same covariance. And one choice of features is one
draw, so a table varies it. Choices, none of which looks at a label:
    features       the fixed preprocessing, then the 1,000 most variable genes, a convention (500
                   are slightly more stable); unscaled, as scaling weighs noise like signal and
                   costs stability as well (metrics.txt shows both)
    KMeans         Euclidean, the best of many starts
    Agglomerative  Ward's linkage: least variance within clusters, the aim of KMeans; average
                   linkage splits off single unusual patients instead
    Spectral       affinity: the graph of the 10 nearest neighbours, scikit-learn's default, which
                   has no bandwidth to tune and keeps outlying patients linked (von Luxburg 2007)

Input: a data folder (see expression/data.py). Written to outputs/clustering_analysis/:
    metrics.txt, metrics.json              purity and the other measures, with what noise reaches
    agreement.csv, contents.csv            with the labels; what each cluster holds
    assignments.csv                        clusters and item consensus of each patient
    k_selection.csv, sensitivity.csv       how many clusters; other choices of features
    clusters, dendrogram                   figures: the patients
    consensus_matrices, k_selection        figures: how stable the clusters are, and how many

Reference: Golub et al. (1999), Science 286:531; those of the methods are in expression/clusters.py.
"""

import expression.early  # noqa: F401 (an interrupt during the imports)
import argparse
import itertools
import sys
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_rgba
from scipy.cluster.hierarchy import dendrogram, linkage

from expression import agreement, clusters, style
from expression.clusters import MEASURES, METHODS, Assessment
from expression.data import ExpressionData
from expression.options import add_counts, command_line, load_data, make_parser, start_report
from expression.report import Report

MAX_SHOWN_K = 4
SHADES = ("black", "0.7", style.COLORS["green"], "#99D8C9")  # of a cohort, its nulls, the next


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "clustering_analysis")
    add_counts(
        parser,
        ("--genes", 1_000, 2, "cluster on the N most variable genes"),
        ("--clusters", 6, 2, "try 2 to N clusters"),
        ("--subsamples", 25, 10, "subsamples of the patients, for stability and consensus"),
        ("--nulls", 19, 1, "data sets without clusters, for the number of clusters"),
        ("--permutations", 999, 1, "permutations of the labels, for the agreement with them"),
    )
    return parser.parse_args(argv)


def kinds_of_label(data: ExpressionData) -> pd.DataFrame:
    """Return the labels that clusters are compared with, patients x kinds."""
    truths = pd.DataFrame({"class": data.y_all.astype(str)})
    return truths if data.subtypes is None else truths.assign(subtype=style.patient_groups(data))


def add_legend(figure: plt.Figure, palette: dict[str, str]) -> None:
    figure.legend(handles=style.color_handles(palette), loc="outside lower center", ncols=4)


def draw_panels(ks: Sequence[int], palette: dict[str, str]) -> tuple[plt.Figure, dict]:
    """Return a figure with a panel by (method, k), and a legend of the palette."""
    shape, size = (len(ks), len(METHODS)), (style.PAGE_WIDTH, 2.3 * len(ks) + 0.6)
    figure, axes = plt.subplots(*shape, sharex=True, sharey=True, squeeze=False, figsize=size)
    panels = dict(zip(itertools.product(METHODS, ks), axes.T.flat, strict=True))
    for (method, k), ax in panels.items():
        ax.set_title(f"{method}, k = {k}")
    add_legend(figure, palette)
    return figure, panels


def draw_clusters(found: Assessment, groups: pd.Series, palette: dict, ks: list[int]) -> plt.Figure:
    """Draw each patient in its true colour, joined to the centre of its cluster."""
    figure, panels = draw_panels(ks, palette)
    share = 100 * found.scores.var(axis=0) / found.scores.var(axis=0).sum()
    for key, ax in panels.items():
        for number, marker in zip(np.unique(found.labels[key]), style.SERIES_MARKERS, strict=False):
            members = found.labels[key] == number
            points = found.scores[members, :2]
            rays = np.stack([np.broadcast_to(points.mean(axis=0), points.shape), points])
            ax.plot(rays[:, :, 0], rays[:, :, 1], c="0.8", lw=0.6, zorder=0)
            colors = groups[members].map(palette)
            ax.scatter(*points.T, c=colors, marker=marker, s=18, ec="white", lw=0.3)
        ax.set(
            xlabel=f"PC1 ({share[0]:.1f} % of variance)",
            ylabel=f"PC2 ({share[1]:.1f} % of variance)",
        )
        ax.label_outer()
    return figure


def draw_consensus(
    found: Assessment, groups: pd.Series, palette: dict, ks: list[int]
) -> plt.Figure:
    """Draw the consensus of all pairs of patients, sorted by cluster and group, groups left."""
    figure, panels = draw_panels(ks, palette)
    strip = np.array([to_rgba(palette[group]) for group in groups])[:, None]
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), "Greys")
    for key, ax in panels.items():
        order = np.lexsort((groups, found.labels[key]))
        image = scale.to_rgba(found.consensus[key][np.ix_(order, order)])
        side = strip[order].repeat(len(order) // 15 + 1, axis=1)
        ax.imshow(np.hstack([side, image]), interpolation="none", aspect="auto")
        ax.axis("off")
    label = "share of the subsamples that put two patients together"
    figure.colorbar(scale, ax=list(panels.values()), label=label, aspect=50, pad=0.02)
    return figure


def draw_k_selection(validity: pd.Series) -> plt.Figure:
    """Draw each measure against k, and the mean and range of the null data sets."""
    shape, size = (
        (len(MEASURES), len(METHODS)),
        (style.PAGE_WIDTH, 2 * len(MEASURES)),
    )
    figure, axes = plt.subplots(*shape, sharex=True, sharey="row", squeeze=False, figsize=size)
    rows = validity.rename("value").reset_index()
    rows["data"] = rows["cohort"] + np.where(rows["draw"] > 0, ", no clusters", " patients")
    palette = dict(zip(rows["data"].unique(), SHADES, strict=False))
    for ax, (measure, method) in zip(axes.flat, itertools.product(MEASURES, METHODS), strict=True):
        panel = rows[(rows["measure"] == measure) & (rows["method"] == method)]
        look = {"hue": "data", "palette": palette, "errorbar": ("pi", 100), "legend": False}
        sns.lineplot(panel, x="k", y="value", marker="o", markersize=4, ax=ax, **look)
        direction = "higher" if MEASURES[measure] > 0 else "lower"
        ax.set(xlabel="number of clusters k", ylabel=f"{measure}\n({direction} is better)")
        ax.set(title=method if ax in axes[0] else "", xticks=panel["k"].unique())
    add_legend(figure, palette)
    return figure


def draw_dendrogram(scores: np.ndarray, strips: pd.DataFrame, palette: dict) -> plt.Figure:
    """Draw Ward's tree of the patients over strips of colours, patients x kinds of label."""
    figure, (ax, below) = plt.subplots(2, height_ratios=[6, 1], figsize=(style.PAGE_WIDTH, 3.8))
    tree = dendrogram(linkage(scores, "ward"), ax=ax, link_color_func=lambda _: "0.3")
    ax.set(xticks=[], ylabel="Ward distance")
    strips = strips.iloc[tree["leaves"]]
    image = [[to_rgba(color) for color in strips[kind]] for kind in strips]
    below.imshow(image, aspect="auto", interpolation="none")
    below.set_yticks(range(len(image)), strips.columns)
    below.set_xticks(range(len(strips)), strips.index, rotation=90)
    below.tick_params(axis="x", labelsize=min(7, 400 / len(strips)))
    below.set_xlabel("patient")
    add_legend(figure, palette)
    return figure


def report_headline(report: Report, agreements: pd.DataFrame, kinds: dict[str, int]) -> None:
    """Open with the purity of each method, and the best of them."""
    tables = {kind: agreements.xs((kind, k), level=("labels", "k")) for kind, k in kinds.items()}
    rows = [{"patients": c, "method": m} for c, m in next(iter(tables.values())).index]
    best = []
    for kind, table in tables.items():
        for row, (_, values) in zip(rows, table.iterrows(), strict=True):
            row[f"purity, {kinds[kind]} clusters, {kind}"] = f"{values['purity']:.3f}"
            row[f"ARI, {kind}"] = f"{values['ARI']:.3f}"
        for cohort, of_cohort in table.groupby("cohort", sort=False):
            purity, majority = of_cohort["purity"].max(), of_cohort["majority class"].iloc[0]
            methods = of_cohort.index[of_cohort["purity"] == purity].get_level_values("method")
            best.append(
                f"{purity:.3f} for the {kind} ({kinds[kind]} clusters, {cohort} patients, "
                f"{' and '.join(methods)}; majority {majority:.3f})"
            )
    note = (
        f"Best purity across methods, optimistically biased as labels chose it: {', '.join(best)}."
    )
    report.add_headline("Q3, clusters found without labels", rows, [note])


def report_agreement(report: Report, agreements: pd.DataFrame, kinds: dict[str, int]) -> None:
    """Add how far clusters and labels agree."""
    for kind, k in kinds.items():
        table = agreements.xs((kind, k), level=("labels", "k"))
        p = [column for column in table if column.endswith(" p")]
        note = (
            "95 %: the 95th percentile under permutation of the labels, whose largest p here is "
            f"{table[p].max(axis=None):.3f}."
        )
        title = f"Agreement of {k} clusters with the {kind}"
        report.add_section(f"agreement_{kind}", title, table.drop(columns=p), note)
    report.add_table("agreement", agreements)


def report_patients(
    report: Report,
    found: dict[str, Assessment],
    patients: pd.DataFrame,
    contents: pd.DataFrame,
) -> None:
    """Add who sits with the other class, and what the clusters hold."""
    note = "With its item consensus: 1 is always together with the others of that cluster."
    for name, one in found.items():
        table = agreement.discordant_patients(one, patients["class"].iloc[: len(one.scores)])
        title = f"Discordant patients, in a cluster of the other class: {name} patients, 2 clusters"
        values = patients.loc[table.index].join(table) if len(table) else {"patients": "none"}
        report.add_section(f"discordant_{name}", title, values, note)
    report.add_section("contents", "What the clusters hold", contents)
    report.add_table("contents", contents)
    report.add_table("assignments", agreement.assignment_table(found, patients))


def report_validity(report: Report, selection: pd.DataFrame) -> None:
    """Add how many clusters there are."""
    best = clusters.best_cluster_number(selection)
    report.add_section("best_k", "Number of clusters furthest beyond the null", best)
    observed, p = (selection[column].unstack("measure") for column in ("observed", "p"))
    table = pd.concat([observed, p.add_suffix(" p")], axis=1)
    table = table[[column for measure in MEASURES for column in (measure, f"{measure} p")]]
    note = (
        "p: share of the null (Gaussian, the same covariance), patients included, as good: never "
        "below 1 / (1 + nulls), and not corrected for the number of rows."
    )
    report.add_section("k_selection", "Internal validity by number of clusters", table, note)
    report.add_table("k_selection", selection)


def report_sensitivity(report: Report, sensitivity: pd.DataFrame) -> None:
    """Add what hangs on the choice of features."""
    rows = sensitivity[sensitivity["labels"] == "class"]
    table = rows.pivot(columns="method", values=["stability", "purity"]).loc[rows.index.unique()]
    table.columns = [" ".join(column) for column in table.columns]
    note = "Two clusters; each choice of features changes one thing. Subtypes: sensitivity.csv."
    title = "Stability and purity by choice of features"
    report.add_section("sensitivity", title, table, note)
    report.add_table("sensitivity", sensitivity)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    report = start_report(args, data, "Clustering: what shows up without labels")
    cohorts = ({"all": data.X_all} if len(data.X_test) else {}) | {"training": data.X_train}
    ks = range(2, args.clusters + 1)
    found, validity = clusters.assess_cohorts(
        cohorts, data.preprocessing, ks, args.genes, args.subsamples, args.nulls, args.seed
    )

    truths = kinds_of_label(data)
    kinds = {kind: min(truths[kind].nunique(), args.clusters) for kind in truths}
    agreements = agreement.agreement_table(found, truths, args.permutations, args.seed)
    contents = agreement.content_table(found, truths.iloc[:, -1], sorted(set(kinds.values())))
    sensitivity = agreement.vary_features(
        cohorts, data.preprocessing, truths, kinds, args.genes, args.subsamples // 2, args.seed
    )

    groups, palette = style.patient_groups(data), style.group_palette(data)
    whole = next(iter(found.values()))
    shown = [k for k in ks if k <= MAX_SHOWN_K]
    report.add_figure("clusters", draw_clusters(whole, groups, palette, shown))
    report.add_figure("consensus_matrices", draw_consensus(whole, groups, palette, shown))
    colors = truths.replace(style.class_palette(data) | palette)
    report.add_figure("dendrogram", draw_dendrogram(whole.scores, colors, palette))
    report.add_figure("k_selection", draw_k_selection(validity))

    report_headline(report, agreements, kinds)
    report_agreement(report, agreements, kinds)
    report_patients(report, found, truths.assign(set=data.sample_set), contents)
    report_validity(report, clusters.compare_with_null(validity))
    report_sensitivity(report, sensitivity)
    report.write()


if __name__ == "__main__":
    sys.exit(main())
