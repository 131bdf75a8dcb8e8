"""What shows up without labels? (Q3)

KMeans, agglomerative and spectral clustering see expression only; classes, subtypes and batches are
compared with their clusters afterwards. Once on all patients, once on those of training, as others
did.

The traps: every algorithm finds clusters in noise, so stability stands beside that of data with the
same genes and no clusters, and decides on the number and the method before a label is seen. Purity
grows with the number of clusters and starts at the majority class, so it stands beside that
of permuted labels. A laboratory makes clusters as well as a disease, so these are compared with the
batches of one class, too. And one kind of features is one draw, so sensitivity.csv varies them.
What is settled, without a look at a patient's label:
    features       the 1,000 most variable genes, unscaled, as scaling weighs noise like signal
    KMeans         Euclidean, the best of many starts
    Agglomerative  Ward's linkage; average linkage splits off single unusual patients
    Spectral       graph of the 10 nearest neighbours, scikit-learn's default: no bandwidth to tune

Input: a data folder (see expression/reading/load.py). Written to outputs/clustering_analysis/:
    metrics.txt, metrics.json              how many clusters, and how far they agree with the labels
    agreement.csv, contents.csv            purity and adjusted Rand index; what each cluster holds
    assignments.csv                        clusters and item consensus of each patient (or array)
    k_selection.csv, sensitivity.csv       stability by number of clusters; other features
    clusters, dendrogram                   figures: the patients
    consensus_matrices, k_selection        figures: how stable the clusters are, and how many

Reference: Golub et al. (1999), Science 286:531; others in expression/analysis/clusters.py.
"""

import argparse
import sys

import numpy as np
import pandas as pd

from expression.analysis import agreement, clusters
from expression.analysis.agreement import WITHIN, BatchAgreement
from expression.analysis.clusters import ClusterNumber
from expression.data import ExpressionData
from expression.figures import clustering_analysis as figures
from expression.running import style
from expression.running.command import (
    Repetitions,
    command_line,
    load_data,
    make_parser,
    parse_options,
    start_report,
    whole_number,
)
from expression.running.report import Report, join_first

COHORTS = {"all": "all {} {}", "training": "the {} training {}"}  # how many, of what
SUBSAMPLES = Repetitions(20, fewest=10)
STAGES = {"stability": 20, "features": 2, "drawing": 4}  # and roughly their seconds
TITLE = "Q3, clusters found without labels"
# Numbers of clusters to try: these, and where there are more labels up to as many, in steps that
# keep the time for twenty in bounds
FEW_CLUSTERS = (2, 3, 4, 5)
MORE_CLUSTERS = (6, 8, 10, 12, 15, 20)
# Rows in metrics.txt
MAX_NUMBERS = 4  # of clusters, of each cohort, beside those that matter
MAX_CLUSTERS = 5  # of each cohort, with what they hold
MAX_BATCH_ROWS = 6  # of classes
NAMES_WIDTH = 70  # characters of a line of metrics.txt, for the names of columns
QUICK = {"subsamples": 4, "nulls": 2, "permutations": 99}  # options of a quick run


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
        metavar="N",
        help="try 2 to N clusters (default: 5; of more classes or subtypes as many, up to "
        f"{MORE_CLUSTERS[-1]}, in steps)",
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
    return parse_options(parser, argv, QUICK)


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
    of_batches: BatchAgreement | None,
    sensitivity: pd.DataFrame,
    *,
    kinds: dict[str, int],
    nulls: int,
    names: dict[str, str],
) -> list[str]:
    """Return the sentences that answer the question: first without labels, then against them.

    `of_batches`: None without batches; `kinds`: the number of clusters to compare with each kind of
    label; `names`: of the cohorts.
    """
    sentences = [
        number_sentence(names[cohort], number, ks=looked_at(number, kinds), nulls=nulls)
        for cohort, number in cluster_numbers.items()
    ]
    if of_batches is not None:
        sentences.append(batch_sentence(of_batches, names))
    for kind, k in kinds.items():
        sentences.append(purity_sentence(cluster_numbers, agreements, sensitivity, kind, k, names))
    return sentences


def looked_at(number: ClusterNumber, kinds: dict[str, int]) -> list[int]:
    """Return the numbers of clusters that matter: that chosen, and those to compare with labels."""
    return sorted({number.k, *kinds.values()})


def number_sentence(cohort: str, number: ClusterNumber, *, ks: list[int], nulls: int) -> str:
    """Return how many clusters a cohort has, and how stable so many and `ks` clusters are."""
    least_p = 1 / (nulls + 1)
    if least_p > clusters.LEVEL:
        verdict = "cannot be told from so little noise"
    elif number.p > clusters.LEVEL:
        verdict = "show no clusters beyond noise"
    else:
        verdict = (
            "show clusters (or a gradual change, which can look the same): "
            f"{number.k} is the smallest number about as far beyond noise as any"
        )
    stabilities = "; ".join(
        f"{k} clusters {row['stability']:.2f}, in noise {row['null mean']:.2f} (p {row['p']:.2f})"
        for k, row in number.by_k.loc[ks].iterrows()
    )
    return (
        f"Without labels {cohort} {verdict} (p {number.p:.2f}, at best {least_p:.2f} with {nulls} "
        f"data sets of noise). Found again in subsamples (1: always): {stabilities}."
    )


def purity_sentence(
    cluster_numbers: dict[str, ClusterNumber],
    agreements: pd.DataFrame,
    sensitivity: pd.DataFrame,
    kind: str,
    k: int,
    names: dict[str, str],
) -> str:
    """Return the purity of the method furthest beyond its noise, and what else it might be."""
    of_furthest = []
    of_best = []
    for cohort, name in names.items():
        method = cluster_numbers[cohort].by_k.loc[k, "method"]
        row = agreements.loc[kind, cohort, method, k]
        of_furthest.append(
            f"{row['purity']:.3f} in {name} ({method}; one cluster {row['majority class']:.3f})"
        )
        purity = agreements.xs((kind, cohort, k), level=("labels", "cohort", "k"))["purity"]
        of_best.append(f"{purity.max():.3f}")
    varied = sensitivity.xs(kind, level="labels")
    return (
        f"Against the {kind}, {k} clusters of the method furthest beyond its noise have purity "
        f"{' and '.join(of_furthest)}; other features or methods {varied.min(axis=None):.3f} to "
        f"{varied.max(axis=None):.3f}; the best method {' and '.join(of_best)}, optimistically "
        "biased as labels chose it."
    )


def batch_sentence(of_batches: BatchAgreement, names: dict[str, str]) -> str:
    """Return whether the clusters follow the batch within a class."""
    within = of_batches.looked_at.drop(index="batch", level="labels", errors="ignore")
    if within.empty:
        return (
            "Whether clusters are batches cannot be told: every class has one batch only, so that "
            "clusters of classes are clusters of batches as well."
        )
    beyond_chance = within[within["corrected p"] <= clusters.LEVEL]
    if len(beyond_chance):
        verdict = "Within a class the clusters follow the batch"
        largest = beyond_chance["ARI"].idxmax()
    else:
        verdict = "Within a class the clusters do not follow the batch beyond chance"
        largest = within["ARI"].idxmax()
    kind, cohort, method, k = largest
    label = kind.removeprefix(WITHIN)
    row = within.loc[largest]
    return (
        f"{verdict}: largest adjusted Rand index {row['ARI']:.2f}, of {label} in {names[cohort]} "
        f"({method}, {k} clusters; p {row['corrected p']:.3f}, corrected for the {len(within)} "
        f"looked at).{not_compared(of_batches.overview, names)}"
    )


def not_compared(overview: pd.DataFrame, names: dict[str, str]) -> str:
    """Return which classes have one batch only, by cohort."""
    with_one = {}
    for kind, cohort in overview.index[overview["batches"] < 2]:
        with_one.setdefault(cohort, []).append(kind.removeprefix(WITHIN))
    sentences = [
        f" Not compared in {names[cohort]}, of one batch only: {join_first(labels, 4)}."
        for cohort, labels in with_one.items()
    ]
    return "".join(sentences)


def report_stability(
    report: Report,
    cluster_numbers: dict[str, ClusterNumber],
    stability: pd.DataFrame,
    kinds: dict[str, int],
) -> None:
    """Add how many clusters there are; for people the numbers that matter, and the first ones."""
    by_k = {cohort: number.by_k for cohort, number in cluster_numbers.items()}
    table = pd.concat(by_k, names=["cohort"])
    chosen = ["yes" if cluster_numbers[cohort].k == k else "" for cohort, k in table.index]
    table.insert(0, "chosen", chosen)
    note = (
        "Stability: adjusted Rand index of the clusters of 80 % of the patients with those of all, "
        "mean over the methods. Null: data without clusters, of the same genes and correlations; "
        "z: in its standard deviations; p: share of draws as good, not corrected for k. Method: of "
        "largest z. Chosen: the smallest k with z within 1 of the largest, settled without labels."
    )
    matters = [k in looked_at(cluster_numbers[cohort], kinds) for cohort, k in table.index]
    shown = table[table.groupby("cohort").cumcount().lt(MAX_NUMBERS) | np.array(matters)]
    report.add_section("k_selection", "Stability by number of clusters", table, note, shown)

    draws = pd.concat({cohort: stability[cohort] for cohort in cluster_numbers}, names=["cohort"])
    columns = {draw: f"null {draw}" if draw else "value" for draw in draws}
    report.add_table("k_selection", draws.rename(columns=columns))


def report_agreement(report: Report, agreements: pd.DataFrame, kinds: dict[str, int]) -> None:
    """Add how far clusters and labels agree."""
    for kind, k in kinds.items():
        table = agreements.xs((kind, k), level=("labels", "k"))
        p = table[["purity p", "ARI p"]]
        title = (
            f"Agreement of {k} clusters with the {kind} (95 %: of permuted labels; largest p "
            f"{p.max(axis=None):.3f})"
        )
        report.add_section(f"agreement_{kind}", title, table.drop(columns=p.columns))


def report_batches(report: Report, of_batches: BatchAgreement, noun: str) -> None:
    """Add how far clusters and batches agree; `noun`: what is clustered."""
    title = "Agreement of the clusters with the batch"
    note = "The clusters that agree most: method, number. Corrected: for all within a class."
    overview = of_batches.overview.drop(columns="ARI 95 %")
    of_classes = overview["ARI"].drop(index="batch", level="labels")
    place = of_classes.rank(ascending=False, method="first", na_option="bottom")
    shown = overview.drop(index=place.index[place > MAX_BATCH_ROWS])
    shown = shown.rename(index=class_of_kind, level="labels").rename_axis(["class", "cohort"])
    shown = shown.rename(columns={"patients": noun})
    report.add_section("agreement_batch", title, of_batches.looked_at, note, shown)


def class_of_kind(kind: str) -> str:
    """Return the class of a kind of batch label, short enough for a table."""
    return "(all classes)" if kind == "batch" else style.shorten(kind.removeprefix(WITHIN), 18)


def report_contents(
    report: Report, contents: pd.DataFrame, cluster_numbers: dict[str, ClusterNumber]
) -> None:
    """Add what the chosen clusters hold, of the method furthest beyond noise."""
    chosen = [
        (cohort, number.by_k.loc[number.k, "method"], number.k)
        for cohort, number in cluster_numbers.items()
    ]
    table = contents[contents.index.droplevel("cluster").isin(chosen)]
    names_fit = sum(len(name) + 2 for name in table) <= NAMES_WIDTH
    shown = table if names_fit else largest_groups(table)
    shown = shown.groupby("cohort", sort=False).head(MAX_CLUSTERS)
    title = "What the clusters furthest beyond noise hold"
    report.add_section("contents", title, table, shown=shown)
    report.add_table("contents", contents)


def largest_groups(contents: pd.DataFrame) -> pd.DataFrame:
    """Return the patients of each cluster, and its largest groups in words."""
    of_clusters = []
    for _, counts in contents.iterrows():
        largest = counts[counts > 0].sort_values(ascending=False, kind="stable")
        groups = [f"{count} {style.shorten(name, 16)}" for name, count in largest.items()]
        of_clusters.append(join_first(groups, 2))
    columns = {"patients": contents.sum(axis=1), "largest groups": of_clusters}
    return pd.DataFrame(columns, contents.index)


def patients_by_cohort(data: ExpressionData) -> dict[str, pd.DataFrame]:
    """Return the expression of all patients, if some are for testing, and of those of training."""
    if len(data.X_test):
        return {"all": data.X_all, "training": data.X_train}
    return {"training": data.X_train}


def people_by_cohort(
    cohorts: dict[str, pd.DataFrame], groups: pd.Series | None
) -> dict[str, np.ndarray | None]:
    """Return whose array each row is; None where each is of a person of its own."""
    return {
        cohort: None if groups is None else groups.loc[X.index].to_numpy()
        for cohort, X in cohorts.items()
    }


def labels_to_compare(data: ExpressionData) -> pd.DataFrame:
    """Return the labels of all patients, a column a kind."""
    truths = pd.DataFrame({"class": data.y_all.astype(str)})
    if data.subtypes is not None:
        truths["subtype"] = data.subgroups
    return truths


def numbers_to_try(truths: pd.DataFrame, largest: int) -> list[int]:
    """Return the numbers of clusters to try where none is asked for: a few, more of them up to the
    largest number of labels of a kind, and those of every kind.

    largest: the number that can be tried.
    """
    most = min(MORE_CLUSTERS[-1], largest)
    labels = [min(truths[kind].nunique(), most) for kind in truths]
    more = [k for k in (*MORE_CLUSTERS, *labels) if FEW_CLUSTERS[-1] < k <= max(labels)]
    return sorted({*FEW_CLUSTERS, *more})


def numbers_to_compare(truths: pd.DataFrame, most: int) -> dict[str, int]:
    """Return the number of clusters to compare with each kind of label: as many as it has labels,
    where so many clusters are tried."""
    return {kind: max(2, min(truths[kind].nunique(), most)) for kind in truths}


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    cohorts = patients_by_cohort(data)
    people = people_by_cohort(cohorts, data.groups)
    truths = labels_to_compare(data)
    largest = clusters.largest_cluster_number(people["training"], len(data.X_train))
    ks = list(range(2, args.clusters + 1)) if args.clusters else numbers_to_try(truths, largest)
    kinds = numbers_to_compare(truths, most=ks[-1])
    subsamples = args.subsamples or SUBSAMPLES.for_patients(len(data.y_all))
    report = start_report(
        args,
        data,
        "Clustering: what shows up without labels",
        STAGES,
        subsamples=subsamples,
        clusters=ks[-1],
    )
    clusters.check_cluster_number(ks[-1], people["training"], len(data.X_train))
    noun = "patients" if data.groups is None else "arrays"
    names = {cohort: COHORTS[cohort].format(len(X), noun) for cohort, X in cohorts.items()}

    features = {}
    scores = {}
    partitions = {}
    for cohort, X in cohorts.items():
        features[cohort] = clusters.feature_matrix(X.to_numpy(), data.preprocessing, args.genes)
        scores[cohort] = clusters.component_scores(features[cohort])
        partitions[cohort] = clusters.cluster_patients(
            scores[cohort], ks, restarts=clusters.RESTARTS, seed=args.seed
        )
    agreements = agreement.agreement_table(
        agreement.score_partitions(partitions, truths, data.groups, args.permutations, args.seed)
    )
    rows = headline_rows(agreements, kinds)
    report.show_table(TITLE, rows)

    stability, resampled = clusters.assess_cohorts(
        features, people, ks, subsamples=subsamples, nulls=args.nulls, seed=args.seed
    )
    cluster_numbers = {cohort: clusters.choose_clusters(stability[cohort]) for cohort in cohorts}
    sensitivity = agreement.vary_features(
        cohorts, data.preprocessing, truths, kinds, genes=args.genes, seed=args.seed
    )

    of_batches = None
    if data.batches is not None:
        of_batches = agreement.agree_with_batches(
            partitions,
            data.batches,
            data.y_all,
            data.groups,
            ks={cohort: looked_at(number, kinds) for cohort, number in cluster_numbers.items()},
            permutations=args.permutations,
            seed=args.seed,
        )
    sentences = in_short(
        cluster_numbers,
        agreements,
        of_batches,
        sensitivity,
        kinds=kinds,
        nulls=args.nulls,
        names=names,
    )
    report.add_headline(TITLE, rows, sentences)
    report_stability(report, cluster_numbers, stability, kinds)
    report_agreement(report, agreements, kinds)
    patients = truths
    if of_batches is not None:
        report_batches(report, of_batches, noun)
        agreements = pd.concat([agreements, of_batches.every])
        patients = truths.assign(batch=data.batches)
    report.add_table("agreement", agreements)
    report_contents(report, agreement.content_table(partitions, data.subgroups), cluster_numbers)
    report.add_table("sensitivity", sensitivity)
    patients = patients.assign(set=data.sample_set)
    report.add_table("assignments", agreement.assignment_table(partitions, resampled, patients))

    widest = next(iter(cohorts))
    subgroups = data.subgroups
    palette = style.subgroup_palette(data)
    drawn = sorted({*kinds.values(), cluster_numbers[widest].k})
    with report.drawing():
        report.add_figure(
            "clusters",
            figures.draw_clusters(
                scores[widest],
                partitions[widest],
                subgroups,
                palette,
                ks=drawn,
                variance=features[widest].var(axis=0).sum(),
                noun=noun,
            ),
        )
        report.add_figure(
            "consensus_matrices",
            figures.draw_consensus(
                resampled[widest], partitions[widest], subgroups, palette, ks=drawn, noun=noun
            ),
        )
        report.add_figure("k_selection", figures.draw_k_selection(stability, names))
        report.add_figure(
            "dendrogram", figures.draw_dendrogram(scores[widest], subgroups, palette, noun=noun)
        )
    report.write()


if __name__ == "__main__":
    sys.exit(main())
