"""What shows up without labels? (Q3)

KMeans, agglomerative and spectral clustering see expression only; classes and subtypes are compared
with their clusters afterwards. Once on all patients, once on those of training, as others did.

The traps: every algorithm finds clusters in noise, so stability stands beside that of data with the
same genes and no clusters, and decides on the number and the method before a label is seen. Purity
grows with the number of clusters and starts at the majority class, so it stands beside that
of permuted labels. And one kind of features is one draw, so sensitivity.csv varies them.
What is settled, without a look at a patient's label:
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
from expression.analysis.clusters import ClusterNumber
from expression.data import ExpressionData
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


def in_short(
    cluster_numbers: dict[str, ClusterNumber],
    agreements: pd.DataFrame,
    sensitivity: pd.DataFrame,
    *,
    kinds: dict[str, int],
    nulls: int,
    names: dict[str, str],
) -> list[str]:
    """Return the sentences that answer the question: first without labels, then against them.

    `kinds`: the number of clusters to compare with each kind of label; `names`: of the cohorts.
    """
    of_cohorts = [
        number_sentence(names[cohort], number, ks=sorted({number.k, *kinds.values()}), nulls=nulls)
        for cohort, number in cluster_numbers.items()
    ]
    best = [best_purities(agreements, kind, k, names) for kind, k in kinds.items()]
    of_best_method = (
        "Best purity across methods, optimistically biased as labels chose the method: "
        f"{'; '.join(best)}."
    )
    of_steadiest_methods = [
        steadiest_sentence(cluster_numbers, agreements, sensitivity, kind, k, names)
        for kind, k in kinds.items()
    ]
    return [*of_cohorts, of_best_method, *of_steadiest_methods]


def number_sentence(cohort: str, number: ClusterNumber, *, ks: list[int], nulls: int) -> str:
    """Return how many clusters a cohort has, and how stable so many and `ks` clusters are."""
    least_p = 1 / (nulls + 1)
    if least_p > clusters.LEVEL:
        verdict = "cannot be told from so little noise"
    elif number.p > clusters.LEVEL:
        verdict = "show no clusters beyond noise"
    else:
        verdict = (
            f"show clusters; {number.k} is the smallest number about as far beyond noise as any"
        )
    stabilities = "; ".join(
        f"{k} clusters {row['stability']:.2f} against {row['null mean']:.2f} (p {row['p']:.2f})"
        for k, row in number.by_k.loc[ks].iterrows()
    )
    return (
        f"Without labels {cohort} {verdict} (p {number.p:.2f}; noise: {nulls} data sets "
        f"without clusters, so p is {least_p:.2f} or more). Mean stability of the "
        f"methods against that in noise: {stabilities}."
    )


def best_purities(agreements: pd.DataFrame, kind: str, k: int, names: dict[str, str]) -> str:
    """Return the best purity in each cohort, and of which methods."""
    highest = []
    for cohort, name in names.items():
        purity = agreements.xs((kind, cohort, k), level=("labels", "cohort", "k"))["purity"]
        methods = ", ".join(purity.index[purity == purity.max()])
        highest.append(f"{purity.max():.3f} ({methods}) on {name}")
    return f"{k} clusters against the {kind} {' and '.join(highest)}"


def steadiest_sentence(
    cluster_numbers: dict[str, ClusterNumber],
    agreements: pd.DataFrame,
    sensitivity: pd.DataFrame,
    kind: str,
    k: int,
    names: dict[str, str],
) -> str:
    """Return the purity of the method furthest beyond its noise, and what else it might be."""
    purities = []
    for cohort, name in names.items():
        method = cluster_numbers[cohort].by_k.loc[k, "method"]
        row = agreements.loc[kind, cohort, method, k]
        majority = f"majority {row['majority class']:.3f}"
        purities.append(f"{row['purity']:.3f} ({method}; {majority}) on {name}")
    varied = sensitivity.xs(kind, level="labels")
    return (
        f"{k} clusters of the method furthest beyond its noise against the {kind}: purity "
        f"{' and '.join(purities)}; with other features or any method "
        f"{varied.min(axis=None):.3f} to {varied.max(axis=None):.3f}."
    )


def report_stability(
    report: Report, cluster_numbers: dict[str, ClusterNumber], stability: pd.DataFrame
) -> None:
    """Add how many clusters there are."""
    by_k = {cohort: number.by_k for cohort, number in cluster_numbers.items()}
    table = pd.concat(by_k, names=["cohort"])
    chosen = ["yes" if cluster_numbers[cohort].k == k else "" for cohort, k in table.index]
    table.insert(0, "chosen", chosen)
    note = (
        "Stability: adjusted Rand index of the clusters of 80 % of the patients with those of all, "
        "mean over the methods. Null: data without clusters, each gene with its values and its "
        "correlations; z: in standard deviations of the null; p: share of all draws as good, not "
        "corrected for the number of k. Method: of largest z. Chosen: the smallest k whose z is "
        "within 1 of the largest, a rule settled on these patients without their labels."
    )
    shown = table.groupby("cohort", sort=False).head(MAX_LISTED)
    report.add_section("k_selection", "Stability by number of clusters", table, note, shown)

    draws = pd.concat({cohort: stability[cohort] for cohort in cluster_numbers}, names=["cohort"])
    columns = {draw: f"null {draw}" if draw else "value" for draw in draws}
    report.add_table("k_selection", draws.rename(columns=columns))


def report_agreement(report: Report, agreements: pd.DataFrame, kinds: dict[str, int]) -> None:
    """Add how far clusters and labels agree."""
    for kind, k in kinds.items():
        table = agreements.xs((kind, k), level=("labels", "k"))
        p = table[["purity p", "ARI p"]]
        title = f"Agreement of {k} clusters with the {kind}"
        note = f"95 %: percentile under permuted labels; largest p: {p.max(axis=None):.3f}."
        report.add_section(f"agreement_{kind}", title, table.drop(columns=p.columns), note)
    report.add_table("agreement", agreements)


def report_contents(
    report: Report, contents: pd.DataFrame, cluster_numbers: dict[str, ClusterNumber]
) -> None:
    """Add what the chosen clusters hold, of the method furthest beyond noise."""
    chosen = [
        (cohort, number.by_k.loc[number.k, "method"], number.k)
        for cohort, number in cluster_numbers.items()
    ]
    table = contents[contents.index.droplevel("cluster").isin(chosen)]
    report.add_section("contents", "What the clusters furthest beyond noise hold", table)
    report.add_table("contents", contents)


def patients_by_cohort(data: ExpressionData) -> dict[str, pd.DataFrame]:
    """Return the expression of all patients, if some are for testing, and of those of training."""
    if len(data.X_test):
        return {"all": data.X_all, "training": data.X_train}
    return {"training": data.X_train}


def labels_to_compare(data: ExpressionData) -> pd.DataFrame:
    """Return the labels of all patients, a column a kind."""
    truths = pd.DataFrame({"class": data.y_all.astype(str)})
    if data.subtypes is not None:
        truths["subtype"] = data.subgroups
    return truths


def numbers_to_compare(truths: pd.DataFrame, most: int) -> dict[str, int]:
    """Return the number of clusters to compare with each kind of label: as many as it has labels,
    where so many clusters are tried."""
    return {kind: max(2, min(truths[kind].nunique(), most)) for kind in truths}


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
    cohorts = patients_by_cohort(data)
    names = {cohort: COHORTS[cohort].format(len(X)) for cohort, X in cohorts.items()}
    ks = range(2, args.clusters + 1)
    clusters.check_cluster_number(args.clusters, len(data.X_train))

    features = {}
    scores = {}
    partitions = {}
    for cohort, X in cohorts.items():
        features[cohort] = clusters.feature_matrix(X.to_numpy(), data.preprocessing, args.genes)
        scores[cohort] = clusters.component_scores(features[cohort])
        partitions[cohort] = clusters.cluster_patients(
            scores[cohort], ks, restarts=clusters.RESTARTS, seed=args.seed
        )
    truths = labels_to_compare(data)
    kinds = numbers_to_compare(truths, most=args.clusters)
    agreements = agreement.agreement_table(partitions, truths, args.permutations, args.seed)
    rows = headline_rows(agreements, kinds)
    report.show_table(TITLE, rows)

    stability, resampled = clusters.assess_cohorts(
        features, ks, subsamples=subsamples, nulls=args.nulls, seed=args.seed
    )
    cluster_numbers = {cohort: clusters.choose_clusters(stability[cohort]) for cohort in cohorts}
    sensitivity = agreement.vary_features(
        cohorts, data.preprocessing, truths, kinds, genes=args.genes, seed=args.seed
    )

    widest = next(iter(cohorts))
    variance = features[widest].var(axis=0).sum()
    subgroups = data.subgroups
    palette = style.subgroup_palette(data)
    drawn = sorted({*kinds.values(), cluster_numbers[widest].k})
    report.add_figure(
        "clusters",
        figures.draw_clusters(
            scores[widest], partitions[widest], subgroups, palette, ks=drawn, variance=variance
        ),
    )
    report.add_figure(
        "consensus_matrices",
        figures.draw_consensus(resampled[widest], partitions[widest], subgroups, palette, ks=drawn),
    )
    report.add_figure("k_selection", figures.draw_k_selection(stability, names))
    report.add_figure("dendrogram", figures.draw_dendrogram(scores[widest], subgroups, palette))

    sentences = in_short(
        cluster_numbers, agreements, sensitivity, kinds=kinds, nulls=args.nulls, names=names
    )
    report.add_headline(TITLE, rows, sentences)
    report_stability(report, cluster_numbers, stability)
    report_agreement(report, agreements, kinds)
    report_contents(report, agreement.content_table(partitions, subgroups), cluster_numbers)
    report.add_table("sensitivity", sensitivity)
    patients = truths.assign(set=data.sample_set)
    report.add_table("assignments", agreement.assignment_table(partitions, resampled, patients))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
