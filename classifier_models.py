"""Can gene expression tell AML from ALL, and how sure can we be? (Q1)

Four models, tuned by grid search on the training patients, beside three baselines: the majority
class, the best single gene, and the weighted voting of Golub et al.
The trap: with 7,129 genes and 38 patients, anything that learns outside the folds makes noise look
like a perfect classifier: here everything that learns is fitted anew inside every fold. And 34 test
patients cannot tell good models apart: all is repeated on folds of the training patients (nested
cross-validation), on random splits of all (Monte-Carlo), and under other random states.

Input: a data folder (see expression/reading/load.py). Written to outputs/classifier_models/:
    metrics.txt, metrics.json                  the answer in short; every number, its interval
    tuning.csv, pairs.csv, predictions.csv, patients.csv    grid points; McNemar's tests; patients
    confusion_matrices, roc_curves, patients   figures: the test patients
    decision_tree, nested_cv, monte_carlo_cv   figures: the tree; how sure it all is
Reference: Golub et al. (1999) Science 286:531; others in expression/analysis/.
"""

import argparse
import sys

from expression.analysis import evaluation
from expression.analysis.evaluation import Resampled, Results, Tested, no_calls
from expression.analysis.models import GRIDS_NOTE, MAJORITY, MODELS, build_models, classifier_names
from expression.analysis.tuning import INNER_FOLDS, chosen_parameters, fit_models, tuning_table
from expression.data import ExpressionData
from expression.figures import classifier_models as figures
from expression.running.command import (
    Repetitions,
    command_line,
    load_data,
    make_parser,
    start_report,
    whole_number,
)
from expression.running.report import Report, brief_table, interval_text, range_text

TITLE = "Q1: accuracy of the models and baselines (95 % interval)"
STAGES = {  # and roughly their seconds
    "tuning": 3,
    "other random states": 25,
    "nested cross-validation": 72,
    "Monte-Carlo cross-validation": 30,
    "drawing": 6,
}
RANDOM_STATES = Repetitions(21, fewest=5)
NESTED_REPEATS = Repetitions(10, fewest=1)
RANDOM_SPLITS = Repetitions(20, fewest=3)
MAX_LISTED = 5  # patients, in metrics.txt


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "classifier_models")
    add = parser.add_argument_group("options of this script").add_argument
    add(
        "--random-states",
        type=whole_number(2),
        metavar="N",
        help=f"random states to tune and fit under, the seed's among them ({RANDOM_STATES})",
    )
    add(
        "--repeats",
        type=whole_number(1),
        metavar="N",
        help=f"repetitions of the nested cross-validation ({NESTED_REPEATS})",
    )
    add(
        "--monte-carlo",
        type=whole_number(2),
        metavar="N",
        help=f"random splits of all patients into training and test ({RANDOM_SPLITS})",
    )
    return parser.parse_args(argv)


def headline_rows(results: Results) -> list[dict]:
    """Return a row a model: accuracy on the test patients, and on patients held out again."""
    return [{"model": name, **headline_cells(name, results)} for name in MODELS]


def headline_cells(name: str, results: Results) -> dict[str, str]:
    """Return what the results say of the accuracy of one model, by column."""
    cells = {}
    tested = results.tested
    if tested is not None:
        correct = tested.correct[name]
        score = tested.scores.loc["accuracy", name]
        limits = f"({score['lower']:.0%}–{score['upper']:.0%})"
        cells["test patients"] = f"{correct.iloc[0]} of {len(tested.P)} {limits}"
        if len(correct) > 1:
            cells[f"{len(correct)} random states"] = range_text(correct)
    if results.nested is not None:
        cells["nested CV"] = mean_text(results.nested, name)
    if results.splits is not None:
        cells["Monte-Carlo CV"] = mean_text(results.splits, name)
    return cells


def mean_text(resampled: Resampled, name: str) -> str:
    """Return the mean accuracy of a model with its interval."""
    row = resampled.table.loc["accuracy", name]
    return interval_text(row["mean"], row["lower"], row["upper"])


def in_short(data: ExpressionData, results: Results) -> list[str]:
    """Return sentences for a reader who reads no table."""
    return [*in_short_of_test(data, results), *in_short_of_training(results.nested)]


def in_short_of_test(data: ExpressionData, results: Results) -> list[str]:
    """Return what the test patients say; nothing where there are none."""
    tested = results.tested
    if tested is None:
        return []
    names = classifier_names()

    larger_class = data.y_test.mode()[0]
    size = data.y_test.value_counts().max()
    lower = tested.scores.loc["accuracy", "lower"][names]
    better = (lower > size / len(tested.P)).sum()
    if better == len(names):
        answer = "Yes"
    elif better:
        answer = "In part"
    else:
        answer = "No"
    counts = ", ".join(f"{name} {headline_cells(name, results)['test patients']}" for name in names)

    ranges = {name: range_text(tested.correct[name]) for name in names}
    varying = ", ".join(f"{name} {text}" for name, text in ranges.items() if text)

    mean = tested.P[names].mean()
    rates = results.splits.patients
    always = rates.index[(rates[names] > 0.5).all(axis=1)]
    return [
        f"{answer}: on the test patients {better} of {len(names)} models are more accurate than "
        f"calling every one {larger_class} ({size} correct), their 95 % interval above it: "
        f"{counts}.",
        f"With other random states: {varying or 'the same'} (median and range).",
        f"Do not read a probability as a risk: its mean is {mean.min():.2f} to {mean.max():.2f} by "
        f"model, and {data.y_test.cat.codes.mean():.2f} of test patients have {data.classes[1]}.",
        "Misclassified by every model in most random splits that held them out: patient "
        f"{', '.join(map(str, always)) or 'none'}.",
    ]


def in_short_of_training(nested: Resampled) -> list[str]:
    """Return what the training patients say, and what no number here covers."""
    accuracy = nested.table.loc["accuracy", "mean"]
    of_classifiers = accuracy[classifier_names()]
    return [
        f"Training patients held out in folds: {of_classifiers.min():.0%} to "
        f"{of_classifiers.max():.0%} predicted correctly; by the majority class "
        f"{accuracy[MAJORITY]:.0%}.",
        "No interval covers other laboratories, or patients chosen otherwise.",
    ]


def add_training_figures(report: Report, data: ExpressionData, results: Results) -> None:
    """Add the figures of the training patients."""
    title = f"{len(data.y_train)} training patients, held out in folds (nested cross-validation)"
    nested_cv = figures.draw_resampled(results.nested, title, "repetitions")
    report.add_figure("nested_cv", nested_cv)
    for name, figure in figures.draw_trees(results, data).items():
        report.add_figure(name, figure)


def add_test_figures(report: Report, data: ExpressionData, results: Results) -> None:
    """Add the figures of the test patients, and of others in their place."""
    tested = results.tested
    P = tested.P.drop(columns=MAJORITY)
    report.add_figure(
        "confusion_matrices", figures.draw_confusion_matrices(P, data, tested.correct)
    )
    report.add_figure("roc_curves", figures.draw_roc_curves(P, data, tested.scores))
    report.add_figure("patients", figures.draw_patients(P, data))
    title = f"{len(data.y_test)} of all {len(data.y_all)} patients, held out in random splits"
    monte_carlo_cv = figures.draw_resampled(results.splits, title, "splits")
    report.add_figure("monte_carlo_cv", monte_carlo_cv)


def report_test(report: Report, data: ExpressionData, tested: Tested) -> None:
    """Add what the test patients say."""
    negative, positive = data.classes
    report.add_section(
        "test",
        f"The {len(data.y_test)} test patients",
        tested.scores,
        note=f"Sensitivity: share of {positive} predicted correctly; specificity: of {negative}. "
        "95 % intervals: Wilson, Newcombe (ROC AUC; left out where a model has one threshold "
        f"only). No-calls of votes ({no_calls(tested.P).sum(axis=None)}) count as called.",
        shown=brief_table(tested.scores, ["sensitivity", "specificity", "ROC AUC", "Brier score"]),
    )
    report.add_table("predictions", evaluation.prediction_table(data, tested.P, tested.states))
    report.add_table("pairs", tested.pairs)


def report_probabilities(
    report: Report, data: ExpressionData, tested: Tested, splits: Resampled
) -> None:
    """Add how far the probabilities can be trusted."""
    positive = data.classes[1]
    y = data.y_test.cat.codes
    report.add_section(
        "probabilities",
        f"The probability of {positive}",
        evaluation.probability_table(y, tested, splits),
        note=f"Calibrated in the large: mean {y.mean():.2f}. 0-0.2, ...: of test patients with "
        f"such a probability, how many have {positive}. Class changes: patients whose class "
        "changes with the random state. Sd: mean over patients of that of their probability, over "
        "random states and over splits that held them out.",
    )


def report_splits(report: Report, data: ExpressionData, splits: Resampled) -> None:
    """Add what other patients would have said in the place of the test patients."""
    report.add_section(
        "monte_carlo",
        "Monte-Carlo cross-validation",
        splits.table,
        note=f"Accuracy on {len(data.y_test)} held out of all {len(data.y_all)} patients, "
        f"everything but the choice of grids repeated in {len(splits.scores)} random splits. 95 % "
        "interval of the mean: approximate, for other patients of this kind (Nadeau & Bengio).",
        shown=splits.table.drop(index=MAJORITY, level="model"),
    )
    patients = splits.patients
    often = patients.loc[patients["mean"] > 0.5, ["held out", *classifier_names()]]
    report.add_section(
        "often_misclassified",
        "Patients misclassified in most splits, on average over the models",
        often,
        shown=often.head(MAX_LISTED),
    )
    report.add_table("patients", patients)


def report_training(report: Report, results: Results) -> None:
    """Add what the training patients say: the nested cross-validation, and tuning."""
    nested = results.nested
    tuning = tuning_table(results.fitted)
    shown = brief_table(nested.table, ["balanced accuracy", "Brier score"])
    shown["best inner"] = tuning.groupby(level="model")["Brier score"].min()
    report.add_section(
        "nested_cv",
        "Nested cross-validation",
        nested.table,
        note=f"Chosen on {INNER_FOLDS} folds by the Brier score, whose best in the grid (best "
        f"inner) is an optimistic choice. Nested: held out in {evaluation.OUTER_FOLDS} folds, "
        f"{len(nested.scores)} times over, all but the choice of grids repeated inside; mean, and "
        "95 % interval of so many patients (Newcombe), training sets taken as given.",
        shown=shown,
    )
    report.add_section("tuning", "Hyper-parameters", chosen_parameters(results.fitted), GRIDS_NOTE)
    report.add_table("tuning", tuning)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    negative, positive = data.classes
    patients = len(data.y_all)
    random_states = args.random_states or RANDOM_STATES.for_patients(patients)
    repeats = args.repeats or NESTED_REPEATS.for_patients(patients)
    random_splits = args.monte_carlo or RANDOM_SPLITS.for_patients(patients)
    report = start_report(
        args,
        data,
        f"Telling {positive} from {negative} by expression",
        STAGES,
        random_states=random_states,
        repeats=repeats,
        monte_carlo=random_splits,
    )

    models = build_models(data.preprocessing, args.seed)
    fitted = fit_models(models, data.X_train, data.y_train.cat.codes)
    tested = None
    splits = None
    if len(data.y_test):
        at_once = evaluation.measure_on_test(data, fitted, 1)
        report.show_table("Predicted correctly", headline_rows(Results(fitted, at_once)))
        tested = evaluation.measure_on_test(data, fitted, random_states)
    nested = evaluation.nested_cv(data, models, repeats, args.seed)
    if tested is not None:
        splits = evaluation.monte_carlo_cv(data, models, tested, random_splits, args.seed)
    results = Results(fitted, tested, nested, splits)

    add_training_figures(report, data, results)
    if tested is not None:
        add_test_figures(report, data, results)

    report.add_headline(TITLE, headline_rows(results), in_short(data, results))
    if tested is not None:
        report_test(report, data, tested)
        report_probabilities(report, data, tested, splits)
        report_splits(report, data, splits)
    report_training(report, results)
    report.write()


if __name__ == "__main__":
    sys.exit(main())
