"""Which genes tell AML from ALL, and how surely those genes? (Q2)

The models of `classifier_models.py`, tuned as there, but on the mean over five partitions of the
patients into folds, are taken apart: by the importance they give each gene (|coefficient| per
standard deviation, impurity decrease, gain), and by SHAP values, each gene's signed contribution
to a patient's output. Each gene is looked at for the class it is higher in, against all others.

The trap: another 38 patients would give another list of importances. So the models are refitted on
complementary subsamples, each half of the training patients, and a gene is selected only if it
keeps coming back: in at least 75 % of the subsamples it is among the q genes of best mean rank over
the models (stability selection). q is the largest number whose bound on the expected number of
falsely selected genes is at most --expected-false. The same on permuted labels shows what is
selected where there is nothing to find, and on four fifths of the patients how much hangs on them.

The other trap: a gene may tell one laboratory from another. Where batches are known, each gene is
tested for a difference between batches of one class, and has its AUC within batches, of patients of
one batch alone. Where a person has several arrays, all of them are in the same half, and tests of
single genes take their mean.

Input: a data folder (see expression/reading/load.py). Written to outputs/explainability/:
    metrics.txt, metrics.json                  the selected genes, and the evidence for each gene
    genes.csv                                  everything about every gene that is analysed
    importances, shap_summary                  figures: what each model uses
    selection_frequency, heatmap, top_genes    figures: how surely, and how it looks
References: those of the methods are in expression/analysis/selection.py and genes.py.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from expression.analysis import genes, selection
from expression.analysis.batches import LEVEL, pairs_by_batch
from expression.analysis.models import build_models
from expression.analysis.selection import (
    SELECTED_FROM,
    SUBSETS,
    Controls,
    PatientSet,
    Rule,
    range_of_most,
)
from expression.analysis.tuning import fit_models, people_of
from expression.data import ExpressionData
from expression.figures import explainability as figures
from expression.running import style
from expression.running.command import (
    Repetitions,
    above_zero,
    command_line,
    load_data,
    make_parser,
    parse_options,
    start_report,
    whole_number,
)
from expression.running.report import Report, join_first

N_LEADING = 20  # genes in figures and tables
N_SHOWN = 8  # of them in the last table of metrics.txt
MAX_NAMED = 5  # batches in a sentence
MAX_LISTED = 40  # genes in a sentence, of all classes
MAX_CLASS = 15  # letters of a class in a table
PARTITIONS = 5  # to tune on: with one, settings and so the genes hang on the seed
PAIRS = Repetitions(175, fewest=15)
PERMUTATIONS = 3
# And roughly their seconds
STAGES = {"tuning": 3, "subsamples": 40, "permuted labels": 5, "fewer patients": 5, "drawing": 7}
QUICK = {"pairs": 3, "permutations": 1}  # options of a quick run


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "explainability")
    add = parser.add_argument_group("options of this script").add_argument
    add(
        "--pairs",
        type=whole_number(2),
        metavar="N",
        help=f"pairs of complementary halves of the training patients ({PAIRS})",
    )
    add(
        "--permutations",
        type=whole_number(1),
        default=PERMUTATIONS,
        metavar="N",
        help=f"permuted labels to repeat the selection with (default: {PERMUTATIONS})",
    )
    add(
        "--expected-false",
        type=above_zero,
        default=1,
        metavar="X",
        help="bound on the expected number of falsely selected genes (default: 1)",
    )
    return parse_options(parser, argv, QUICK)


def count_people(data: ExpressionData, y: pd.Series) -> int:
    """Return how many people the arrays of y are of."""
    return len(y) if data.groups is None else data.groups.loc[y.index].nunique()


def headline_title(table: pd.DataFrame) -> str:
    n_selected = table["selected"].sum()
    first = f", the first {N_LEADING} of {n_selected}" if n_selected > N_LEADING else ""
    return f"Genes that consistently tell the classes apart{first}"


def headline_rows(table: pd.DataFrame) -> list[dict]:
    """Return a row of finished cells for each of the first selected genes."""
    columns = {
        "gene": ("gene", partial(style.shorten, width=24)),
        "accession": ("accession", str),
        "higher_in": ("higher in", first_letters),
        "frequency": ("halves", "{:.0%}".format),
        "subsets": ("subsets", f"{{}} of {SUBSETS}".format),
        "auc": ("AUC train", "{:.2f}".format),
        "test_auc": ("AUC test", "{:.2f}".format),
        "auc_within_batches": ("AUC within", "{:.2f}".format),
        "follows_batch": ("batch", lambda follows: "differs" if follows else ""),
        "literature": ("paper", lambda label: "yes" if label else ""),
    }
    if "follows_batch" in table:  # a line has no room for all, and in training all are high
        del columns["auc"]
    first = table[table["selected"]].head(N_LEADING).reset_index()
    cells = {
        title: first[column].map(to_text)
        for column, (title, to_text) in columns.items()
        if column in first
    }
    return pd.DataFrame(cells).to_dict("records")


def first_letters(label: str) -> str:
    """Return the name of a class as a table has room for it."""
    return label if len(label) <= MAX_CLASS else f"{label[: MAX_CLASS - 1]}…"


def in_short(
    table: pd.DataFrame,
    rule: Rule,
    controls: Controls,
    people: genes.People,
    *,
    n_train: int,
    n_test: int,
) -> list[str]:
    """Return the sentences that answer the question: the selected genes, and their worth."""
    selected = table[table["selected"]]
    sentences = [
        selection_sentence(table, rule, n_train),
        *control_sentences(selected, rule, controls),
        differing_sentence(table),
    ]
    if n_test and selected["test_auc"].notna().any():
        sentences.append(
            f"In the {n_test} test patients, which the selection never saw, each "
            f"{auc_text(selected['test_auc'], people.y.cat.categories)}."
        )
    if people.batches is not None:
        sentences += batch_sentences(table, people.y, people.batches)
    return sentences


def selection_sentence(table: pd.DataFrame, rule: Rule, n_train: int) -> str:
    """Return how many genes are selected, and which."""
    selected = table[table["selected"]]
    by_class = selected.groupby("higher_in", sort=False)
    most = max(3, MAX_LISTED // max(2, len(by_class)))
    lists = [
        f"{join_first(of_class['gene'], most)} (higher in {label})" for label, of_class in by_class
    ]
    return (
        f"{len(selected)} of {len(table):,} genes are selected by {SELECTED_FROM:.0%} or more of "
        f"{2 * rule.pairs} random halves of the {n_train} training patients: "
        f"{'; '.join(lists) or 'none'}."
    )


def differing_sentence(table: pd.DataFrame) -> str:
    """Return how many genes differ, each for itself; of classes of few patients that may be few."""
    count = (table["welch_q"] < LEVEL).sum()
    start = "It is no complete list:" if count > table["selected"].sum() else "One by one,"
    return f"{start} {count:,} genes differ between the classes at a false discovery rate of 5 %."


def auc_text(auc: pd.Series, classes: Sequence[str]) -> str:
    """Return what AUC each of some genes reaches, NaN where its class has no patient."""
    of_class = " for its class against the others" if len(classes) > 2 else ""
    unknown = f" ({auc.isna().sum()} cannot be looked at)" if auc.isna().any() else ""
    return f"alone reaches an AUC of {auc.min():.2f} to {auc.max():.2f}{of_class}{unknown}"


def control_sentences(selected: pd.DataFrame, rule: Rule, controls: Controls) -> list[str]:
    """Return what the rule promises, and what it selects elsewhere."""
    permuted = controls.permuted_counts
    times = f"{len(permuted)} time{'s' * (len(permuted) > 1)}"
    fewest, most = controls.resampled_range
    nearly_always = (controls.resampled[selected.index].mean() >= 0.95).sum()
    again = controls.subsets[selected.index].sum(axis=1)
    fewest_of_all, most_of_all = range_of_most(
        controls.resampled_of_all[selected.index].sum(axis=1)
    )
    return [
        f"At most {rule.bound:.1f} such genes are expected by chance (under an assumption that "
        f"stands below); with shuffled classes the rule selects {permuted.mean():.1f} on average "
        f"({times}).",
        f"Another seed, which draws other halves, selects {fewest} to {most} genes, "
        f"{nearly_always} of the {len(selected)} nearly always; two such lists share "
        f"{controls.resampled_agreement:.0%} of their genes.",
        f"Without a fifth of the patients {again.min()} to {again.max()} of the {len(selected)} "
        f"are selected again, with all of them and as few halves {fewest_of_all} to {most_of_all}.",
    ]


def batch_sentences(table: pd.DataFrame, y: pd.Series, batches: pd.Series) -> list[str]:
    """Return whether the selected genes follow the batch, and what they tell within batches.

    y and batches are of all patients.
    """
    return [difference_sentence(table), within_sentence(table, y, batches)]


def difference_sentence(table: pd.DataFrame) -> str:
    """Return how many genes differ between batches of one class."""
    if "follows_batch" not in table:
        return (
            "Whether a gene tells the batch rather than the class cannot be told: "
            "no class has patients of two batches."
        )
    selected = table[table["selected"]]
    following = selected.loc[selected["follows_batch"], "gene"].tolist()
    named = f" ({join_first(following, N_LEADING)})" if following else ""
    differ = "differs" if len(following) == 1 else "differ"
    return (
        f"Between batches of one class, {len(following)} of the {len(selected)} selected genes "
        f"{differ}{named}, at a false discovery rate of 5 % among these; of all {len(table):,} "
        f"genes, at that rate among all, {(table['batch_q'] < LEVEL).sum():,}."
    )


def within_sentence(table: pd.DataFrame, y: pd.Series, batches: pd.Series) -> str:
    """Return how well the selected genes tell the classes apart within batches."""
    both = "more than one class" if len(y.cat.categories) > 2 else "both classes"
    if "auc_within_batches" not in table:
        return f"Within a batch no gene can be looked at: no batch has patients of {both}."
    pairs = pairs_by_batch(y.to_numpy(), batches.to_numpy())
    names = join_first(list(pairs), MAX_NAMED)
    counted = f"{sum(pairs.values()):,} pairs of patients to compare"
    only = "the only batch" if len(pairs) == 1 else "the only batches"
    where = f"Within {names}, {only} with {both} ({counted})"
    auc = table.loc[table["selected"], "auc_within_batches"]
    if not auc.notna().any():
        return f"{where}, there is no selected gene to look at."
    return f"{where}, each selected gene {auc_text(auc, y.cat.categories)}."


def report_selection(report: Report, table: pd.DataFrame, rule: Rule, controls: Controls) -> None:
    """Add the rule, and what it selects here and elsewhere."""
    values = {
        "selected genes": int(table["selected"].sum()),
        "genes with q below 0.05 (Benjamini & Hochberg)": int((table["welch_q"] < LEVEL).sum()),
        "genes with family-wise p below 0.05": int((table["max_t_p"] < LEVEL).sum()),
        "fewest and most in 95 % of resamples": controls.resampled_range,
        "agreement of two resamples (Jaccard)": controls.resampled_agreement,
        "first genes of a subsample (q)": rule.first,
        "bound on false selections, r-concave": rule.bound,
        "bound on false selections, worst case": rule.worst_case,
        "selected with permuted labels": list(controls.permuted_counts),
        "selected without a fifth of the patients": list(controls.subsets.sum(axis=1)),
    }
    note = (
        f"A gene is selected that is one of the {rule.first} of best mean rank over the models in "
        f"{SELECTED_FROM:.0%} of the halves; a model ranks genes it does not use last. The bound "
        "is on the expected number of genes that halves pick no more often than at random, if "
        "their frequencies are r-concave (Shah & Samworth 2013). Resamples: "
        f"{len(controls.resampled)}, of the pairs of halves. Halves of each permutation of the "
        f"labels: {2 * controls.permuted_pairs}; of each subset: {2 * controls.subset_pairs}."
    )
    report.add_section("selection", "Stability selection", values, note)


def report_stability(
    report: Report, models: list[str], selected: np.ndarray, controls: Controls
) -> None:
    """Add how stable the lists of the models are, and those of the rule.

    `selected`: subsamples x (models, then all of them) x genes.
    """
    lists = {name: selected[:, i] for i, name in enumerate([*models, "All, by mean rank"])}
    lists["Selected genes, over subsets of the patients"] = controls.subsets.to_numpy()
    note = (
        f"Nogueira's index (1: always the same genes; 0: random lists; below {selection.POOR}: "
        "poor). Subsets share most of their patients."
    )
    table = selection.stability_table(lists)
    report.add_section("stability", "Stability of the lists", table, note)


def report_leading_genes(report: Report, table: pd.DataFrame, classes: Sequence[str]) -> None:
    """Add what the genes selected most often show."""
    of_class = "for its class, against the others, as" if len(classes) > 2 else "in the direction"
    note = (
        f"AUCs and the one-sided p: {of_class} seen in training. welch_q: Benjamini-Hochberg "
        f"over {len(table):,} genes; max_t_p: Westfall & Young, family-wise."
    )
    columns = [
        "frequency",
        "signal_to_noise",
        "auc",
        "welch_q",
        "max_t_p",
        "test_auc",
        "test_auc_p",
    ]
    leading = table.head(N_LEADING).set_index("gene").filter(columns)
    leading = leading.rename(lambda name: style.shorten(name, 24))
    report.add_section(
        "leading_genes",
        "The genes selected most often",
        leading,
        note,
        shown=leading.head(N_SHOWN),
    )


def report_batches(report: Report, table: pd.DataFrame, people: genes.People) -> None:
    """Add how many genes follow the batch, and how that is told."""
    pairs = pairs_by_batch(people.y.to_numpy(), people.batches.to_numpy())
    values = {"pairs of patients of one batch and different classes": sum(pairs.values())}
    if "follows_batch" in table:
        of_selected = table.loc[table["selected"], "follows_batch"]
        values["selected genes that differ between batches of a class"] = int(of_selected.sum())
        values["of all genes"] = int((table["batch_q"] < LEVEL).sum())
    of_class = (
        " (of pairs with a patient of that class)" if len(people.y.cat.categories) > 2 else ""
    )
    note = (
        f"AUC within: the share of these pairs in which the gene is higher in its class{of_class}. "
        "Differences: Kruskal-Wallis tests between the batches of each class, added up over the "
        "classes; Benjamini-Hochberg among the selected, as among thousands of genes few patients "
        "show nothing, and over all genes (batch_q in genes.csv). Training and test patients."
    )
    report.add_section("batches", "Batches", values, note)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    pairs = args.pairs or PAIRS.for_patients(len(data.y_all))
    report = start_report(
        args,
        data,
        "Which genes decide, and how surely",
        STAGES,
        pairs=pairs,
    )
    log2, expression = genes.expression_tables(data)
    X = data.X_train[expression.columns]
    y = data.y_train.cat.codes.to_numpy()
    rule = selection.choose_rule(len(X.columns), pairs, args.expected_false)
    models = build_models(data.preprocessing, args.seed, len(data.classes))
    with_importance = {
        name: unfitted for name, unfitted in models.items() if unfitted.model.importance
    }
    fitted = fit_models(
        with_importance, data.X_train, data.y_train, data.groups, 1 if args.quick else PARTITIONS
    )
    pipelines = {name: model.pipeline for name, model in fitted.items()}
    tuned = {name: model.unfitted for name, model in fitted.items()}

    people = genes.average_arrays(data, expression, log2)
    everybody = PatientSet(
        rows=np.arange(len(y)),
        y=y,
        seed=[args.seed, 0],
        groups=people_of(data.X_train.index, data.groups),
    )
    (selected,) = selection.refit_on_pairs(tuned, X, [everybody], rule, "subsamples")
    of_all_models = selected[:, -1]
    table = genes.gene_table(data, people, of_all_models.mean(axis=0), args.seed)
    report.show_table(headline_title(table), headline_rows(table))

    controls = selection.run_controls(
        tuned,
        X,
        everybody,
        of_all_models,
        rule,
        permutations=args.permutations,
        seed=args.seed,
    )
    table.insert(4, "subsets", controls.subsets.sum())
    explanations = {
        name: genes.explain(pipeline, data.X_train, data.classes, args.seed)
        for name, pipeline in pipelines.items()
    }
    model_tables = genes.model_tables(
        pipelines, explanations, expression, data.X_train.columns, selected
    )

    sentences = in_short(
        table,
        rule,
        controls,
        people,
        n_train=count_people(data, data.y_train),
        n_test=count_people(data, data.y_test),
    )
    report.add_headline(headline_title(table), headline_rows(table), sentences)
    report_selection(report, table, rule, controls)
    report_stability(report, list(pipelines), selected, controls)
    report_leading_genes(report, table, data.classes)
    if data.batches is not None:
        report_batches(report, table, people)
    report.add_table("genes", genes.full_table(table, model_tables))

    leading = table.head(N_LEADING)
    with report.drawing():
        report.add_figure("importances", figures.draw_importances(model_tables, data))
        report.add_figure("shap_summary", figures.draw_shap_summary(explanations, data, expression))
        report.add_figure(
            "selection_frequency", figures.draw_frequencies(leading, model_tables, controls, rule)
        )
        report.add_figure("heatmap", figures.draw_heatmap(data, expression, leading))
        report.add_figure("top_genes", figures.draw_top_genes(data, expression, leading, args.seed))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
