"""Which genes tell AML from ALL, and how surely those genes? (Q2)

The tuned models of `classifier_models.py` are taken apart: by the importance they give each gene
(|coefficient| per standard deviation, impurity decrease, gain), and by SHAP values, each gene's
signed contribution to a patient's output.

The trap: another 38 patients would give another list of importances. So the models are refitted on
complementary subsamples, each half of the training patients, and a gene is selected only if it
keeps coming back: in at least 75 % of the subsamples it is among the q genes of best mean rank over
the models (stability selection). q is the largest number whose bound on the expected number of
falsely selected genes is at most --expected-false. The same on permuted labels shows what is
selected where there is nothing to find, and on four fifths of the patients how much hangs on them.

Input: a data folder (see expression/reading/load.py). Written to outputs/explainability/:
    metrics.txt, metrics.json                  the selected genes, and the evidence for each gene
    genes.csv                                  everything about every gene that is analysed
    importances, shap_summary                  figures: what each model uses
    selection_frequency, heatmap, top_genes    figures: how surely, and how it looks
References: those of the methods are in expression/analysis/selection.py and genes.py.
"""

import argparse
import sys
from functools import partial

import numpy as np
import pandas as pd

from expression.analysis import genes, selection
from expression.analysis.models import build_models
from expression.analysis.selection import SELECTED_FROM, SUBSETS, Controls, PatientSet, Rule
from expression.analysis.tuning import fit_models
from expression.figures import explainability as figures
from expression.running import style
from expression.running.command import (
    Repetitions,
    above_zero,
    command_line,
    load_data,
    make_parser,
    start_report,
    whole_number,
)
from expression.running.report import Report, join_first

N_LEADING = 20  # genes in figures and tables
PAIRS = Repetitions(50, fewest=5)
PERMUTATIONS = Repetitions(10, fewest=3)
STAGES = {"tuning": 2, "subsamples": 12, "controls": 33, "drawing": 7}  # and roughly their seconds


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
        metavar="N",
        help=f"permuted labels to repeat the selection with ({PERMUTATIONS})",
    )
    add(
        "--expected-false",
        type=above_zero,
        default=1,
        metavar="X",
        help="bound on the expected number of falsely selected genes (default: 1)",
    )
    return parser.parse_args(argv)


def headline_title(table: pd.DataFrame) -> str:
    n_selected = table["selected"].sum()
    first = f", the first {N_LEADING} of {n_selected}" if n_selected > N_LEADING else ""
    return f"Genes that consistently tell the classes apart{first}"


def headline_rows(table: pd.DataFrame) -> list[dict]:
    """Return a row of finished cells for each of the first selected genes."""
    columns = {
        "gene": ("gene", partial(style.shorten, width=24)),
        "accession": ("accession", str),
        "higher_in": ("higher in", str),
        "frequency": ("subsamples", "{:.0%}".format),
        "subsets": ("subsets", f"{{}} of {SUBSETS}".format),
        "auc": ("AUC train", "{:.2f}".format),
        "test_auc": ("AUC test", "{:.2f}".format),
        "literature": ("literature", lambda label: "yes" if label else ""),
    }
    first = table[table["selected"]].head(N_LEADING).reset_index()
    cells = {
        title: first[column].map(to_text)
        for column, (title, to_text) in columns.items()
        if column in first
    }
    return pd.DataFrame(cells).to_dict("records")


def in_short(
    table: pd.DataFrame, rule: Rule, controls: Controls, *, n_train: int, n_test: int
) -> list[str]:
    """Return the sentences that answer the question: the selected genes, and their worth."""
    selected = table[table["selected"]]
    sentences = [
        selection_sentence(table, rule, n_train),
        *control_sentences(selected, rule, controls),
        f"It is no complete list: {(table['welch_q'] < 0.05).sum():,} genes differ between the "
        f"classes at a false discovery rate of 5 %, {(table['max_t_p'] < 0.05).sum()} at a "
        "family-wise error rate of 5 %.",
    ]
    if n_test and len(selected):
        auc = selected["test_auc"]
        sentences.append(
            f"In the {n_test} test patients, which the selection never saw, each alone "
            f"reaches an AUC of {auc.min():.2f} to {auc.max():.2f}."
        )
    return sentences


def selection_sentence(table: pd.DataFrame, rule: Rule, n_train: int) -> str:
    """Return how many genes are selected, and which."""
    selected = table[table["selected"]]
    lists = [
        f"{join_first(of_class['gene'], N_LEADING)} (higher in {label})"
        for label, of_class in selected.groupby("higher_in", sort=False)
    ]
    return (
        f"{len(selected)} of {len(table):,} genes are selected by {SELECTED_FROM:.0%} or more of "
        f"{2 * rule.pairs} subsamples of half the {n_train} training patients: "
        f"{'; '.join(lists) or 'none'}."
    )


def control_sentences(selected: pd.DataFrame, rule: Rule, controls: Controls) -> list[str]:
    """Return what the rule promises, and what it selects elsewhere."""
    permuted = controls.permuted_counts
    permutations = f"{len(permuted)} permutation{'s' * (len(permuted) > 1)}"
    fewest, most = controls.resampled_range
    nearly_always = (controls.resampled[selected.index].mean() >= 0.95).sum()
    in_subsets = controls.subsets.sum(axis=1)
    again = controls.subsets[selected.index].sum(axis=1)
    return [
        f"The rule selects at most {rule.bound:.2f} genes on average that subsamples pick no more "
        f"often than at random, if frequencies are r-concave ({rule.worst_case:.1f} without that "
        f"assumption); with permuted labels {permuted.mean():.1f} on average (of {permutations}, "
        f"each of {2 * controls.pairs} subsamples).",
        f"Other subsamples, as of another seed, select {fewest} to {most} genes, and "
        f"{nearly_always} of the {len(selected)} nearly always (95 % of "
        f"{len(controls.resampled)} bootstrap resamples).",
        f"Without each fifth of the patients {in_subsets.min()} to {in_subsets.max()} genes are "
        f"selected, of which {again.min()} to {again.max()} are among these.",
    ]


def report_selection(report: Report, table: pd.DataFrame, rule: Rule, controls: Controls) -> None:
    """Add the rule, and what it selects here and elsewhere."""
    values = {
        "selected genes": int(table["selected"].sum()),
        "fewest and most in 95 % of resamples": controls.resampled_range,
        "first genes of a subsample (q)": rule.first,
        "bound on false selections, r-concave": rule.bound,
        "bound on false selections, worst case": rule.worst_case,
        "selected with permuted labels": list(controls.permuted_counts),
        "selected without a fifth of the patients": list(controls.subsets.sum(axis=1)),
    }
    note = (
        f"A gene is selected that is one of the {rule.first} of best mean rank over the models in "
        f"{SELECTED_FROM:.0%} of the subsamples; a model ranks genes it does not use last. The "
        "bound counts genes selected no more often than at random (Shah & Samworth 2013)."
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


def report_leading_genes(report: Report, table: pd.DataFrame) -> None:
    """Add what the genes selected most often show."""
    note = (
        "AUCs and the one-sided p: in the direction seen in training. welch_q: Benjamini-Hochberg "
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
    report.add_section("leading_genes", "The genes selected most often", leading, note)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    pairs = args.pairs or PAIRS.for_patients(len(data.y_all))
    permutations = args.permutations or PERMUTATIONS.for_patients(len(data.y_all))
    report = start_report(
        args,
        data,
        "Which genes decide, and how surely",
        STAGES,
        pairs=pairs,
        permutations=permutations,
    )
    log2, expression = genes.expression_tables(data)
    X = data.X_train[expression.columns]
    y = data.y_train.cat.codes.to_numpy()
    rule = selection.choose_rule(len(X.columns), pairs, args.expected_false)
    models = build_models(data.preprocessing, args.seed)
    with_importance = {
        name: unfitted for name, unfitted in models.items() if unfitted.model.importance
    }
    fitted = fit_models(with_importance, data.X_train, y)
    pipelines = {name: model.pipeline for name, model in fitted.items()}
    tuned = {name: model.unfitted for name, model in fitted.items()}

    everybody = PatientSet(np.arange(len(y)), y, [args.seed, 0])
    (selected,) = selection.refit_on_pairs(tuned, X, [everybody], rule, "subsamples")
    of_all_models = selected[:, -1]
    table = genes.gene_table(data, expression, log2, of_all_models.mean(axis=0), args.seed)
    report.show_table(headline_title(table), headline_rows(table))

    controls = selection.run_controls(
        tuned,
        X,
        y,
        of_all_models,
        rule,
        permutations=permutations,
        seed=args.seed,
    )
    table.insert(4, "subsets", controls.subsets.sum())
    explanations = {
        name: genes.explain(pipeline, data.X_train, args.seed)
        for name, pipeline in pipelines.items()
    }
    model_tables = genes.model_tables(
        pipelines, explanations, expression, data.X_train.columns, selected
    )

    sentences = in_short(table, rule, controls, n_train=len(data.y_train), n_test=len(data.y_test))
    report.add_headline(headline_title(table), headline_rows(table), sentences)
    report_selection(report, table, rule, controls)
    report_stability(report, list(pipelines), selected, controls)
    report_leading_genes(report, table)
    report.add_table("genes", genes.full_table(table, model_tables, data.classes))

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
