"""What shows up without labels? (Q3)

KMeans, agglomerative and spectral clustering see expression only; classes and subtypes are compared
with their clusters afterwards. Once on all patients, once on those of training, as others did.

The traps: every algorithm finds clusters in noise, so stability stands beside that of data with the
same genes and no clusters, and decides on the number and the method before a label is seen. Purity
grows with the number of clusters and starts at the majority class, so it stands beside that
of permuted labels. And one choice of features is one draw, so sensitivity.csv varies it.
Choices, none of which looks at a patient's label:
    features       the 1,000 most variable genes, unscaled, as scaling weighs noise like signal
    KMeans         Euclidean, the best of many starts
    Agglomerative  Ward's linkage; average linkage splits off single unusual patients
    Spectral       graph of the 10 nearest neighbours, scikit-learn's default: no bandwidth to tune

Input: a data folder (see expression/reading/load.py). Written to outputs/clustering_analysis/:
    metrics.txt, metrics.json              how many clusters, and how far they agree with the labels
    agreement.csv, contents.csv            purity and adjusted Rand index; what each cluster holds
    assignments.csv                        clusters and item consensus of each patient
    k_selection.csv, sensitivity.csv       stability by number of clusters; other features
    clusters, dendrogram                   figures: the patients
    consensus_matrices, k_selection        figures: how stable the clusters are, and how many

Reference: Golub et al. (1999), Science 286:531; others in expression/analysis/clusters.py.
"""

import argparse
import sys

import pandas as pd

from expression.analysis import agreement, clusters
from expression.analysis.clusters import Choice
from expression.figures import clustering_analysis as figures
from expression.running import style
from expression.running.command import (
    Repetitions,
    command_line,
    load_data,
    make_parser,
    start_report,
    whole_number,
)
from expression.running.report import Report

COHORTS = {"all": "all {} patients", "training": "the {} training patients"}
SUBSAMPLES = Repetitions(20, fewest=10)
STAGES = {"stability": 20, "features": 2, "drawing": 4}  # and roughly their seconds
TITLE = "Q3, clusters found without labels"
MAX_LISTED = 15  # numbers of clusters, in metrics.txt


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "clustering_analysis")
    add = parser.add_argument_group("options of this script").add_argument
    add(
        "--genes",
        type=whole_number(2),
        default=1_000,
        metavar="N",
        help="cluster on the N most variable genes (default: 1,000)",
    )
    add(
        "--clusters",
        type=whole_number(2),
        default=5,
        metavar="N",
        help="try 2 to N clusters (default: 5)",
    )
    add(
        "--subsamples",
        type=whole_number(10),
        metavar="N",
        help=f"subsamples of the patients, for stability and consensus ({SUBSAMPLES})",
    )
    add(
        "--nulls",
        type=whole_number(2),
        default=19,
        metavar="N",
        help="data sets without clusters; of fewer than 19 none can tell (default: 19)",
    )
    add(
        "--permutations",
        type=whole_number(1),
        default=999,
        metavar="N",
        help="permutations of the labels, for the agreement with them (default: 999)",
    )
    return parser.parse_args(argv)


def headline_rows(agreements: pd.DataFrame, kinds: dict[str, int]) -> list[dict]:
    """Return what each method reaches in each cohort, as finished cells."""
    columns = {}
    for kind, k in kinds.items():
        table = agreements.xs((kind, k), level=("labels", "k"))
        columns[f"purity, {kind}, k = {k}"] = table["purity"]
        columns[f"ARI, {kind}"] = table["ARI"]
    cells = pd.DataFrame(columns).map("{:.3f}".format).rename_axis(["patients", "method"])
    return cells.reset_index().to_dict("records")


def summarise(
    choices: dict[str, Choice], nulls: int, agreements, kinds: dict[str, int], sensitivity, names
) -> list[str]:
    """Return the sentences that answer the question: first without labels, then against them."""
    sentences, best, of_chosen = [], [], []
    for cohort, (k, p, by_k) in choices.items():
        share = f"as any, in {by_k.loc[k, 'resampled']:.0%} of resamples of the noise, too"
        verdict = f"show clusters; {k} is the smallest number about as far beyond noise {share}"
        if p > clusters.LEVEL:
            verdict = "show no clusters beyond noise"
        if clusters.LEVEL * (nulls + 1) < 1:
            verdict = "cannot be told from so little noise"
        numbers = "; ".join(
            f"{n} clusters {row['stability']:.2f} against {row['null mean']:.2f} (p {row['p']:.2f})"
            for n, row in by_k.loc[sorted({k, *kinds.values()})].iterrows()
        )
        sentences.append(
            f"Without labels {names[cohort]} {verdict} (p {p:.2f}; noise: {nulls} data sets "
            f"without clusters, so p is {1 / (nulls + 1):.2f} or more). Mean stability of the "
            f"methods against that in noise: {numbers}."
        )
    for kind, k in kinds.items():
        purities, highest = [], []
        for cohort, name in names.items():
            table = agreements.xs((kind, cohort, k), level=("labels", "cohort", "k"))
            method, purity = choices[cohort].by_k.loc[k, "method"], table["purity"]
            methods = ", ".join(purity.index[purity == purity.max()])
            majority = f"majority {table.loc[method, 'majority class']:.3f}"
            highest.append(f"{purity.max():.3f} ({methods}) on {name}")
            purities.append(f"{purity[method]:.3f} ({method}; {majority}) on {name}")
        varied = sensitivity.xs(kind, level="labels")
        best.append(f"{k} clusters against the {kind} {' and '.join(highest)}")
        of_chosen.append(
            f"{k} clusters of the method furthest beyond its noise against the {kind}: purity "
            f"{' and '.join(purities)}; with other features or any method "
            f"{varied.min(axis=None):.3f} to {varied.max(axis=None):.3f}."
        )
    about = "Best purity across methods, optimistically biased as labels chose the method"
    return [*sentences, f"{about}: {'; '.join(best)}.", *of_chosen]


def report_stability(report: Report, choices: dict[str, Choice], stability: pd.DataFrame) -> None:
    """Add how many clusters there are."""
    table = pd.concat({name: choice.by_k for name, choice in choices.items()}, names=["cohort"])
    table.insert(0, "chosen", ["yes" if choices[name].k == k else "" for name, k in table.index])
    note = (
        "Stability: adjusted Rand index of the clusters of 80 % of the patients with those of all, "
        "mean over the methods. Null: data without clusters, each gene with its values and its "
        "correlations; z: in standard deviations of the null; p: share of all draws as good, not "
        "corrected for the number of k. Method: of largest z. Chosen: the smallest k whose z is "
        "within 1 of the largest, a rule settled on these patients without their labels; "
        f"resampled: by which share of {clusters.RESAMPLES} resamples of the null data sets."
    )
    shown = table.groupby("cohort", sort=False).head(MAX_LISTED)
    report.add_section("k_selection", "Stability by number of clusters", table, note, shown)
    table = pd.concat({name: stability[name] for name in choices}, names=["cohort"])
    columns = {draw: f"null {draw}" if draw else "value" for draw in table}
    report.add_table("k_selection", table.rename(columns=columns))


def report_agreement(report: Report, agreements: pd.DataFrame, kinds: dict[str, int]) -> None:
    """Add how far clusters and labels agree."""
    for kind, k in kinds.items():
        table = agreements.xs((kind, k), level=("labels", "k"))
        p, title = table[["purity p", "ARI p"]], f"Agreement of {k} clusters with the {kind}"
        note = f"95 %: percentile under permuted labels; largest p: {p.max(axis=None):.3f}."
        report.add_section(f"agreement_{kind}", title, table.drop(columns=p.columns), note)
    report.add_table("agreement", agreements)


def report_contents(report: Report, contents: pd.DataFrame, choices: dict[str, Choice]) -> None:
    """Add what the chosen clusters hold, of the method furthest beyond noise."""
    keys = [(name, by_k.loc[k, "method"], k) for name, (k, _, by_k) in choices.items()]
    table = contents[contents.index.droplevel("cluster").isin(keys)]
    report.add_section("contents", "What the clusters furthest beyond noise hold", table)
    report.add_table("contents", contents)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    subsamples = args.subsamples or SUBSAMPLES.for_patients(len(data.y_all))
    report = start_report(
        args,
        data,
        "Clustering: what shows up without labels",
        STAGES,
        subsamples=subsamples,
    )
    cohorts = ({"all": data.X_all} if len(data.X_test) else {}) | {"training": data.X_train}
    names = {name: COHORTS[name].format(len(X)) for name, X in cohorts.items()}
    whole, ks = next(iter(cohorts)), range(2, args.clusters + 1)
    clusters.check_cluster_number(args.clusters, len(data.X_train))
    features, scores, found = {}, {}, {}
    for name, X in cohorts.items():
        features[name] = clusters.feature_matrix(X.to_numpy(), data.preprocessing, args.genes)
        scores[name] = clusters.component_scores(features[name])
        found[name] = clusters.cluster(scores[name], ks, args.seed)
    groups, palette = data.groups, style.group_palette(data)
    truths = pd.DataFrame({"class": data.y_all.astype(str)})
    if data.subtypes is not None:
        truths["subtype"] = groups
    kinds = {kind: max(2, min(truths[kind].nunique(), args.clusters)) for kind in truths}
    agreements = agreement.agreement_table(found, truths, args.permutations, args.seed)
    rows = headline_rows(agreements, kinds)
    report.show_table(TITLE, rows)
    work = subsamples, args.nulls, args.seed
    stability, resampled = clusters.assess_cohorts(features, ks, *work)
    choices = {name: clusters.choose_clusters(stability[name], args.seed) for name in cohorts}
    sensitivity = agreement.vary_features(
        cohorts, data.preprocessing, truths, kinds, args.genes, args.seed
    )
    variance = features[whole].var(axis=0).sum()
    drawn = found[whole], groups, palette, sorted({*kinds.values(), choices[whole].k})
    report.add_figure("clusters", figures.draw_clusters(scores[whole], variance, *drawn))
    report.add_figure("consensus_matrices", figures.draw_consensus(resampled[whole], *drawn))
    report.add_figure("k_selection", figures.draw_k_selection(stability, names))
    report.add_figure("dendrogram", figures.draw_dendrogram(scores[whole], groups, palette))

    in_short = summarise(choices, args.nulls, agreements, kinds, sensitivity, names)
    report.add_headline(TITLE, rows, in_short)
    report_stability(report, choices, stability)
    report_agreement(report, agreements, kinds)
    report_contents(report, agreement.content_table(found, groups), choices)
    report.add_table("sensitivity", sensitivity)
    truths["set"] = data.sample_set
    report.add_table("assignments", agreement.assignment_table(found, resampled, truths))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
