"""Can gene expression tell AML from ALL, and how sure can we be? (Q1)

Four models, tuned by grid search on the training patients, beside three baselines: the majority
class, the best single gene, and the weighted voting of Golub et al.
The traps: with 7,129 genes and 38 patients, anything that learns outside the folds makes noise look
like a perfect classifier: here everything that learns is fitted anew inside every fold. 34 test
patients cannot tell good models apart: all is repeated on folds of the training patients (nested
cross-validation), on random splits of all (Monte-Carlo), and under other random states. And where
class and hospital go together, the hospital alone predicts the class: so it is a baseline, too,
models are compared within batches, and each batch is held out that can be.

Input: a data folder (see expression/reading/load.py). Written to outputs/classifier_models/:
    metrics.txt, metrics.json                  the answer in short; every number, its interval
    new_patients.csv, new_patients             table and figure of patients without a class (--new)
    tuning.csv, pairs.csv, predictions.csv, patients.csv    grid points; McNemar's tests; patients
    batches.csv                                correct by batch, where batches are known
    confusion_matrices, roc_curves, patients   figures: the test patients
    decision_tree, nested_cv, monte_carlo_cv   figures: the tree; how sure it all is
Reference: Golub et al. (1999) Science 286:531; others in expression/analysis/.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from expression.analysis import across_batches, batches, conformal, evaluation, new_patients
from expression.analysis.across_batches import HeldOut, Within
from expression.analysis.evaluation import (
    AUC,
    Permuted,
    Resampled,
    Tested,
    are_correct,
    no_calls,
    recall_of,
)
from expression.analysis.intervals import wilson_interval
from expression.analysis.models import (
    GRIDS_NOTE,
    MAJORITY,
    MODELS,
    build_models,
    classifier_names,
    models_of,
)
from expression.analysis.new_patients import NewPatients, Possible
from expression.analysis.tuning import (
    INNER_FOLDS,
    Fitted,
    chosen_parameters,
    fit_models,
    tuning_table,
)
from expression.data import ExpressionData, against_the_rest
from expression.figures import classifier_models as figures
from expression.running import style
from expression.running.command import (
    Repetitions,
    command_line,
    load_data,
    make_parser,
    parse_options,
    share_below_one,
    start_report,
    whole_number,
)
from expression.running.report import (
    Report,
    brief_table,
    interval_text,
    join_first,
    join_words,
)

TITLE = "Q1: accuracy (95 % interval)"
NESTED_TITLE = "Held-out training patients predicted correctly (95 % interval)"
BATCH_ALONE = "Batch alone"
STAGES = {  # and roughly their seconds
    "tuning": 3,
    "other random states": 25,
    "nested cross-validation": 72,
    "Monte-Carlo cross-validation": 30,
    "batches held out": 6,
    "permuted labels": 5,
    "drawing": 6,
}
RANDOM_STATES = Repetitions(21, fewest=5)
NESTED_REPEATS = Repetitions(10, fewest=1)
RANDOM_SPLITS = Repetitions(20, fewest=10)
PERMUTATIONS = Repetitions(200, fewest=40)
HELD_OUT_STATES = 5  # random states to train under, with each batch held out
CONFIDENCE = 0.9  # the convention, settled before any result was known
MAX_CLASSES = 10  # in a table
MAX_LABEL = 16  # characters of a class in the table of new patients
MAX_NAMES = 60  # characters of the names of all classes, in a title or sentence
MAX_NAMED = 10  # patients, or batches, in a sentence
MAX_LISTED = 20  # new patients, in a table
LEVEL = 0.05
SMALL_EXCESS = 0.05  # of a mean probability over the share of patients: it misleads nobody


class Results(NamedTuple):
    """All that is computed; `tested`, `possible` and `splits` are None without test patients,
    `new` without new ones, `within` and `held_out` without batches."""

    fitted: dict[str, Fitted]  # on the training patients
    tested: Tested | None
    nested: Resampled | None = None
    splits: Resampled | None = None
    permuted: Permuted | None = None
    possible: Possible | None = None  # classes of the test patients that cannot be excluded
    new: NewPatients | None = None
    within: Within | None = None
    held_out: HeldOut | None = None

    @property
    def called(self) -> pd.DataFrame:
        """How many test patients each model calls, and how many of these correctly."""
        return new_patients.count_called(self.possible, self.tested.y)


QUICK = {
    "random_states": 2,
    "repeats": 1,
    "monte_carlo": 3,
    "permutations": 19,
}  # options of a quick run


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "classifier_models")
    add = parser.add_argument_group("options of this script").add_argument
    add(
        "--new",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="expression of patients whose class is not known, to classify them: one or many, of "
        "the same genes, in any format",
    )
    add(
        "--confidence",
        type=share_below_one,
        default=CONFIDENCE,
        metavar="SHARE",
        help="of the patients of each class, for whom theirs is not excluded; a patient is called "
        f"where all classes but one can be (default: {CONFIDENCE})",
    )
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
    add(
        "--permutations",
        type=whole_number(19),
        metavar="N",
        help=f"permutations of the classes, to repeat one model with ({PERMUTATIONS})",
    )
    return parse_options(parser, argv, QUICK)


def headline_title(results: Results) -> str:
    """Return what stands over the headline table."""
    title = TITLE
    if results.tested is not None:
        mean = "" if len(results.tested.y.cat.categories) == 2 else "mean "
        title += f"; {mean}recall and AUC on the test patients"
        if len(results.tested.correct) > 1:
            title += f"; range over {len(results.tested.correct)} random states"
    return title


def headline_rows(data: ExpressionData, results: Results) -> list[dict]:
    """Return a row a model: accuracy on the test patients, and on patients held out again."""
    rows = [{"model": name, **headline_cells(name, results)} for name in results.fitted]
    if data.batches is not None:
        rows.append({"model": BATCH_ALONE, **batch_alone_cells(data, results)})
    return pd.DataFrame(rows).fillna("").to_dict("records")


def headline_cells(name: str, results: Results) -> dict[str, str]:
    """Return what the results say of the accuracy of one model, by column."""
    cells = {}
    tested = results.tested
    if tested is not None:
        cells["test patients"] = correct_text(name, tested)
        cells |= recall_cells(name, tested.y, tested.scores["estimate"])
        if len(tested.correct) > 1:
            cells["range"] = span_text(tested.correct[name])
        if results.possible is not None and name != MAJORITY:
            called, correct = results.called.loc[name]
            cells["called"] = f"{correct} of {called}"
    if results.nested is not None:
        cells["nested CV"] = mean_text(results.nested, name)
        if tested is None:
            cells |= recall_cells(name, results.nested.y, results.nested.table["mean"])
    if results.splits is not None:
        cells["splits"] = f"{results.splits.table.loc[('accuracy', name), 'mean']:.0%}"
    if results.held_out is not None and len(results.held_out.correct):
        correct = results.held_out.states[name]
        n = results.held_out.correct["patients"].sum()
        cells["new batch"] = f"{from_to(correct.min(), correct.max())} of {n}"
    return cells


def batch_alone_cells(data: ExpressionData, results: Results) -> dict[str, str]:
    """Return what a rule reaches that knows only the batch, at worst and at best, by column."""
    cells = {}
    if results.tested is not None:
        worst, best = across_batches.batch_alone(data, results.tested)
        cells["test patients"] = f"{from_to(worst, best)} of {len(results.tested.y)}"
    if results.nested is not None:
        cells["nested CV"] = percent_range(*results.nested.batch_alone)
    if results.splits is not None:
        cells["splits"] = percent_range(*results.splits.batch_alone)
    return cells


def correct_text(name: str, tested: Tested) -> str:
    """Return how many test patients a model predicts correctly, with the interval of the share."""
    score = tested.scores.loc[("accuracy", name)]
    limits = percent_range(score["lower"], score["upper"])
    return f"{tested.correct[name].iloc[0]} of {len(tested.y)} ({limits})"


def recall_cells(name: str, y: pd.Series, scores: pd.Series) -> dict[str, str]:
    """Return the recall of both classes, or the mean of more, and the ROC AUC of a model."""
    classes = y.cat.categories
    if len(classes) == 2:
        measures = {style.shorten(label, 8): recall_of(label) for label in classes[::-1]}
    else:
        measures = {"recall": "balanced accuracy"}
    digits = {AUC: "{:.2f}".format}
    return {
        title: digits.get(measure, "{:.0%}".format)(scores[measure, name])
        if (measure, name) in scores.index
        else ""
        for title, measure in {**measures, "AUC": AUC}.items()
    }


def mean_text(resampled: Resampled, name: str) -> str:
    """Return the mean accuracy of a model with its interval."""
    row = resampled.table.loc[("accuracy", name)]
    return f"{row['mean']:.0%} ({percent_range(row['lower'], row['upper'])})"


def percent_range(lower: float, upper: float) -> str:
    """Return two shares as percentages, or one where they are the same."""
    low, high = f"{100 * lower:.0f}", f"{100 * upper:.0f}"
    return f"{low}%" if low == high else f"{low}–{high}%"


def from_to(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"{lowest}–{highest}"


def span_text(counts: pd.Series) -> str:
    """Return the least and the most over random states, or nothing where they change nothing."""
    return "" if counts.min() == counts.max() else from_to(counts.min(), counts.max())


# --- the answer in sentences ----------------------------------------------------------------------


def in_short(data: ExpressionData, results: Results) -> list[str]:
    """Return sentences for a reader who reads no table."""
    sentences = [verdict(data, results)]
    if results.tested is not None:
        sentences.append(counts_sentence(results.tested))
    if data.batches is not None:
        sentences += in_short_of_batches(data, results)
    sentences.append(permutation_sentence(results.permuted))
    if results.tested is not None:
        sentences.append(missed_sentence(results.tested))
        sentences += warnings_of_test(data, results)
    sentences += left_out_sentence(results)
    if data.batches is None:
        sentences.append("No interval covers other laboratories, or patients chosen otherwise.")
    return sentences


def verdict(data: ExpressionData, results: Results) -> str:
    """Return whether expression tells the classes apart, by one model and one measure.

    The model is settled on the training patients. The measure is the ROC AUC, which does not hang
    on how many patients a class has, or the balanced accuracy of a model with one threshold only.
    """
    best = best_in_training(results.nested)
    if results.tested is not None:
        scores, where, y = results.tested.scores, "on the test patients", results.tested.y
        scores = scores.rename(columns={"estimate": "value"})
    else:
        scores, where, y = results.nested.table, "on held-out patients", results.nested.y
        scores = scores.rename(columns={"mean": "value"})

    measure = AUC if (AUC, best) in scores.index else "balanced accuracy"
    chance = 0.5 if measure == AUC else 1 / len(data.classes)
    row = scores.loc[(measure, best)]
    beyond_chance = row["lower"] > chance
    answer = "Yes" if beyond_chance else "Not shown"
    tells = "tells" if beyond_chance else "does not surely tell"

    share = y.value_counts(normalize=True).max()
    accuracy = scores.loc[("accuracy", best)]
    more = "more often" if accuracy["lower"] > share else "not surely more often"
    value = interval_text(row["value"], row["lower"], row["upper"], digits=3)
    limits = percent_range(accuracy["lower"], accuracy["upper"])
    return (
        f"{answer}: {best}, of the lowest Brier score on held-out training patients, {tells} "
        f"{told_apart(data.classes)} {where}: {named_measure(measure, data.classes)} {value}, by "
        f"chance {chance:.2g}. It predicts the "
        f"right class {more} than calling every one {y.mode()[0]}: for {accuracy['value']:.0%} "
        f"({limits}) against {share:.0%}."
    )


def told_apart(classes: Sequence[str]) -> str:
    """Return what is told, as the object of 'tell'."""
    if len(classes) == 2:
        return f"{classes[1]} from {classes[0]}"
    names = join_words(classes)
    if len(names) > MAX_NAMES:
        names = f"{len(classes)} classes"
    return f"{names} apart"


def named_measure(measure: str, classes: Sequence[str]) -> str:
    """Return the name of a measure; that it is a mean over classes goes without saying for two."""
    return measure if len(classes) == 2 else f"{measure}, the mean of the classes,"


def best_in_training(nested: Resampled) -> str:
    """Return the model of the lowest Brier score on held-out training patients."""
    return nested.table.loc["Brier score", "mean"][classifier_names()].idxmin()


def counts_sentence(tested: Tested) -> str:
    """Return how many test patients each model predicts correctly."""
    names = classifier_names()
    by_count = {}
    for name in sorted(names, key=lambda name: -tested.correct[name].iloc[0]):
        by_count.setdefault(correct_text(name, tested), []).append(name)
    counts = "; ".join(f"{join_words(of_count)} {text}" for text, of_count in by_count.items())
    return f"Test patients predicted correctly (95 % interval): {counts}."


def missed_sentence(tested: Tested) -> str:
    """Return which test patients are predicted wrongly."""
    missed = ~are_correct(tested.P[classifier_names()], tested.y)
    by_all = named_patients(tested.y[missed.all(axis=1)])
    by_some = named_patients(tested.y[missed.any(axis=1) & ~missed.all(axis=1)])
    return f"Missed by all models: {by_all or 'no test patient'}; by some: {by_some or 'none'}."


def named_patients(classes: pd.Series) -> str:
    """Return patients with their classes, at most `MAX_NAMED` of them."""
    return join_first([f"{patient} ({label})" for patient, label in classes.items()], MAX_NAMED)


def in_short_of_batches(data: ExpressionData, results: Results) -> list[str]:
    """Return what is disease and what is laboratory, as far as that can be told."""
    sentences = [confounding_sentence(data, results)]
    if results.tested is not None:
        sentences += new_batches_sentence(data, results.tested)
    sentences.append(within_sentence(data, results))
    sentences.append(held_out_sentence(results))
    return sentences


def confounding_sentence(data: ExpressionData, results: Results) -> str:
    """Return whether the batch alone could give such results."""
    association = batches.associate(data.y_train, data.batches[data.X_train.index])
    if results.tested is not None:
        worst, best = across_batches.batch_alone(data, results.tested)
        right = f"{from_to(worst, best)} of the {len(results.tested.y)} test patients"
    else:
        right = f"{percent_range(*results.nested.batch_alone)} of held-out patients"
    rule = f"a rule that knows only the batch is right for {right}"
    if association.matters:
        return (
            "That alone does not show that genes tell the classes apart: in training batch and "
            f"class {association.in_words}, and {rule}."
        )
    return f"Batch and class do not go together in training: {rule}."


def new_batches_sentence(data: ExpressionData, tested: Tested) -> list[str]:
    """Return how patients of other batches than those of training fare, where there are any."""
    counts = across_batches.count_correct(data, tested)
    of_others = counts[~counts["in training"]]
    of_training = counts[counts["in training"]]
    if of_others.empty:
        return []
    parts = [f"{correct_range(of_others)} from batches not seen in training "]
    parts.append(f"({join_first(list(of_others.index), MAX_NAMED)}) are predicted correctly")
    if len(of_training):
        parts.append(f", {correct_range(of_training)} from those of training")
    return [f"{''.join(parts)}, by model."]


def correct_range(counts: pd.DataFrame) -> str:
    """Return the fewest and the most patients that a model predicts correctly."""
    correct = counts[classifier_names()].sum()
    return f"{from_to(correct.min(), correct.max())} of the {counts['patients'].sum()} patients"


def within_sentence(data: ExpressionData, results: Results) -> str:
    """Return how models rank the patients of one batch, where laboratories play no part."""
    within = results.within
    who = "test patients" if results.tested is not None else "held-out training patients"
    if not within.batches:
        several = "both classes" if len(data.classes) == 2 else "more than one class"
        return f"No batch of the {who} holds {several}: no comparison is free of the batch."

    above = "each class above all others"
    if len(data.classes) == 2:
        above = f"every {data.classes[1]} above every {data.classes[0]} patient"
    best = best_in_training(results.nested)
    of_models = within.auc.loc[classifier_names()]
    by_text = {}
    for name, (auc, p) in of_models.iterrows():
        p_text = "" if pd.isna(p) else f" (p {p:.2g})"
        reaches = f"AUC {auc:.2f}{p_text}"
        if auc == 1:
            reaches = f"{above}{p_text}"
        by_text.setdefault(reaches, []).append(name)
    ranks = "; ".join(f"{join_words(names)} {text}" for text, names in by_text.items())

    p = of_models.loc[best, "p"]
    if pd.isna(p):
        start = "Within batches"
    elif p < LEVEL:
        start = "Genes do tell the classes apart where the batch cannot: within batches"
    else:
        start = (
            "Where the batch cannot, genes are not shown to tell the classes apart: within batches"
        )
    pairs = sum(within.batches.values())
    names = join_first(list(within.batches), MAX_NAMED)
    return f"{start} ({pairs} pairs of {who} of {names}), models rank: {ranks}."


def held_out_sentence(results: Results) -> str:
    """Return what to expect of a new batch."""
    correct = results.held_out.correct
    without = ""
    if results.held_out.impossible:
        names = join_first(results.held_out.impossible, MAX_NAMED)
        without = f" Without {names} too few patients of a class are left to train on."
    if correct.empty:
        return f"No batch can be held out, as a new one would be.{without}"
    total = correct.sum()
    share = total[classifier_names()] / total["patients"]
    others = results.splits or results.nested
    means = others.table.loc["accuracy", "mean"][classifier_names()]
    names = join_first(list(correct.index), MAX_NAMED)
    kind = "random splits of the same patients" if results.splits else "folds across batches"
    return (
        f"At a new batch expect {percent_range(share.min(), share.max())} by model, as with each "
        f"batch held out ({names}; {total['patients']} patients); {kind} give "
        f"{percent_range(means.min(), means.max())}.{without}"
    )


def permutation_sentence(permuted: Permuted) -> str:
    """Return whether permuted classes do as well."""
    return (
        f"With shuffled classes {permuted.as_good} of {len(permuted.permuted)} runs of "
        f"{permuted.model} did as well on held-out patients (p {permuted.p:.2g})."
    )


def left_out_sentence(results: Results) -> list[str]:
    """Return which models take no part, where any does not."""
    left_out = [name for name in MODELS if name not in results.fitted]
    return [f"Left out, as of two classes only: {join_words(left_out)}."] if left_out else []


def warnings_of_test(data: ExpressionData, results: Results) -> list[str]:
    """Return what a reader must beware of, where it is so."""
    tested = results.tested
    names = classifier_names()
    sentences = []
    calibration = evaluation.calibration_in_the_large(tested.y, tested.P[names])
    is_wrong = (calibration["lower"] > 0) | (calibration["upper"] < 0)
    wrong = calibration[is_wrong & (calibration["excess"].abs() >= SMALL_EXCESS)]
    shares = data.patients.groupby("set")["class"].value_counts(normalize=True).unstack()
    for label, of_class in wrong.groupby(level="class", sort=False):
        means = ", ".join(
            f"{name} {tested.P[name, label].mean():.2f}" for name, _ in of_class.index
        )
        sentences.append(
            f"Do not read these probabilities of {label} as risks: their mean is {means}, but "
            f"{shares.loc['test', label]:.2f} of the test patients have {label}."
        )
    if batches.associate(data.patients["class"], data.patients["set"]).p < LEVEL:
        change = shares.loc["test"].sub(shares.loc["train"])[list(against_the_rest(data.classes))]
        label = change.abs().idxmax()
        sentences.append(
            f"Do not read a probability as a risk where the classes have other shares: "
            f"{shares.loc['train', label]:.0%} of the training patients have {label}, "
            f"{shares.loc['test', label]:.0%} of the test patients."
        )
    in_folds = results.nested.table.loc["accuracy"].loc[names]
    on_test = tested.scores.loc["accuracy"].loc[names]
    apart = (in_folds["lower"] > on_test["upper"]) | (in_folds["upper"] < on_test["lower"])
    if apart.any():
        differing = ", ".join(
            f"{name} {in_folds.loc[name, 'mean']:.0%} and {on_test.loc[name, 'estimate']:.0%}"
            for name in in_folds.index[apart]
        )
        sentences.append(
            f"Held-out training patients and test patients disagree ({differing}; the intervals do "
            "not overlap): the test patients are of another kind, or of another laboratory."
        )
    return sentences


# --- new patients ---------------------------------------------------------------------------------


def first_rows(P: pd.DataFrame) -> list[dict]:
    """Return what each model says of each new patient, before it is known how surely."""
    models = models_of(P)
    return [
        {"patient": str(patient)}
        | {name: f"{row[name].idxmax()} {row[name].max():.2f}" for name in models}
        for patient, row in P.iloc[:MAX_LISTED].iterrows()
    ]


def new_rows(new: NewPatients) -> list[dict]:
    """Return a row a new patient: the call, its doubts, and whether the array is like others."""
    predicted = new.predicted[classifier_names()]
    possible = new.possible.in_words(new.best)
    rows = []
    for patient, of_models in predicted.iloc[:MAX_LISTED].iterrows():
        label = of_models[new.best]
        others = of_models.drop(new.best)
        differ = others[others != label].value_counts(sort=False)
        rows.append(
            {
                "patient": str(patient),
                "class": style.shorten(label, MAX_LABEL),
                "probability": f"{new.P.loc[patient, (new.best, label)]:.2f}",
                "not excluded": brief_classes(possible[patient]),
                "other models": ", ".join(
                    f"{n} of {len(others)} {style.shorten(name, MAX_LABEL)}"
                    for name, n in differ.items()
                )
                or "agree",
                "arrays farther out": f"{new.farther_out[patient]} of {new.training_arrays}",
            }
        )
    return rows


def brief_classes(words: str) -> str:
    """Return the classes that cannot be excluded, or of more than two how many."""
    classes = words.split(" or ")
    if len(classes) > 2:
        return f"{len(classes)} classes"
    return " or ".join(style.shorten(label, MAX_LABEL) for label in classes)


def new_in_short(data: ExpressionData, new: NewPatients, confidence: float) -> list[str]:
    """Return what is said of the new patients, in sentences."""
    possible = new.possible.in_words(new.best)
    said = {}
    for patient, words in possible.items():
        kind = f"uncertain ({words})" if " or " in words else words
        said.setdefault(kind, []).append(str(patient))
    unlike_all = said.pop("none", [])
    parts = [f"{kind} {join_first(names, MAX_NAMED)}" for kind, names in sorted(said.items())]
    if unlike_all:
        names = join_first(unlike_all, MAX_NAMED)
        parts.append(f"unlike the training patients of every class {names}")
    sentences = [
        f"{count_text(len(possible), 'new patient')}, by {new.best} (of the lowest Brier score on "
        f"held-out training patients) at a confidence of {confidence:.0%}: {'; '.join(parts)}."
    ]

    predicted = new.predicted[classifier_names()]
    differ = predicted.ne(predicted[new.best], axis=0).any(axis=1)
    if differ.any():
        names = join_first(list(map(str, differ.index[differ])), MAX_NAMED)
        sentences.append(f"Not all models predict the same class for: {names}.")
    if len(new.unlike):
        names = join_first(list(map(str, new.unlike)), MAX_NAMED)
        sentences.append(
            f"As a whole unlike the training arrays, so that a call on them means nothing: {names}."
        )
    sentences.append(guarantee_sentence(data, confidence))
    return sentences


def guarantee_sentence(data: ExpressionData, confidence: float) -> str:
    """Return what the confidence promises, and of whom."""
    origin = "if new patients are like those of training"
    if data.batches is not None:
        names = sorted(set(data.batches[data.X_train.index]))
        origin = f"for patients of the training batches ({join_first(names, MAX_NAMED)}), no others"
    sentence = (
        f"The true class is excluded for about {1 - confidence:.0%} of the patients of each class "
        f"at most, {origin}."
    )
    return sentence + never_excluded_sentence(data, confidence)


def never_excluded_sentence(data: ExpressionData, confidence: float) -> str:
    """Return which classes have too few patients to be excluded, to follow another sentence."""
    y = training_classes(data)
    never = conformal.never_excluded(y, confidence)
    if not never:
        return ""
    n = min(y.value_counts()[never])
    return (
        f" Of so few training patients {join_first(never, MAX_NAMED)} can never be excluded at "
        f"this confidence: ask for less than {1 - 1 / (n + 1):.2f}."
    )


def training_classes(data: ExpressionData) -> pd.Series:
    """Return the class of each training patient."""
    patients = data.patients
    return patients.loc[patients["set"] == "train", "class"]


def count_text(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def report_new(report: Report, data: ExpressionData, new: NewPatients, confidence: float) -> None:
    """Add what is said of new patients, before all else."""
    smallest = ", ".join(
        f"{label} 1/{count + 1}" for label, count in training_classes(data).value_counts().items()
    )
    shown = list(new.P.index[:MAX_NAMED])
    words = {
        name: new_patients.reasons_in_words(of_model, data.gene_names, shown)
        for name, of_model in new.reasons.items()
    }
    reasons = {
        str(patient): ". ".join(f"{name}: {of_model[patient]}" for name, of_model in words.items())
        for patient in shown
    }
    report.add_new_patients(
        new_in_short(data, new, confidence),
        new_rows(new),
        first_rows(new.P),
        note=f"Not excluded: classes of a p-value above {1 - confidence:.2g}, the share of their "
        "training patients, held out, whose probability of their own class was no higher "
        f"(smallest possible: {smallest}). Arrays farther out: of the training arrays, from their "
        "components. All patients, and what every model says, are in new_patients.csv.",
        reasons=reasons,
    )
    report.add_table("new_patients", new_patients.new_table(new, data.gene_names))


# --- figures and sections -------------------------------------------------------------------------


def add_training_figures(report: Report, data: ExpressionData, results: Results) -> None:
    """Add the figures of the training patients."""
    title = f"{len(data.y_train)} training patients, held out in folds (nested cross-validation)"
    alone = held_out_accuracy(results) if results.splits is None else None
    nested_cv = figures.draw_resampled(results.nested, title, "repetitions", alone)
    report.add_figure("nested_cv", nested_cv)
    for name, figure in figures.draw_trees(results.fitted, data).items():
        report.add_figure(name, figure)


def add_test_figures(report: Report, data: ExpressionData, results: Results) -> None:
    """Add the figures of the test patients, and of others in their place."""
    tested = results.tested
    report.add_figure("confusion_matrices", figures.draw_confusion_matrices(tested))
    report.add_figure("roc_curves", figures.draw_roc_curves(tested))
    report.add_figure("patients", figures.draw_patients(tested, data))
    title = f"{len(tested.y)} of all {len(data.patients)} patients, held out in random splits"
    held_out = held_out_accuracy(results)
    monte_carlo_cv = figures.draw_resampled(results.splits, title, "splits", held_out)
    report.add_figure("monte_carlo_cv", monte_carlo_cv)


def held_out_accuracy(results: Results) -> pd.Series | None:
    """Return the accuracy of each model on batches held out, where any could be."""
    if results.held_out is None or results.held_out.correct.empty:
        return None
    correct = results.held_out.correct.sum().drop(MAJORITY)  # which would only widen the axis
    return correct / correct["patients"]


def report_test(report: Report, data: ExpressionData, results: Results, confidence: float) -> None:
    """Add what the test patients say."""
    tested = results.tested
    note = (
        "Recall: share of the patients of a class who are predicted correctly. 95 % intervals: "
        "Wilson, Newcombe (ROC AUC; none of one threshold)."
    )
    if any(MODELS[name].votes for name in results.fitted):
        note += f" No-calls of votes ({no_calls(tested.P).sum(axis=None)}) count as predicted."
    note += f" Called, above: all classes but one are excluded at a confidence of {confidence:.0%}."
    if len(data.classes) == 2:
        recalls = [recall_of(label) for label in data.classes[::-1]]
        shown = brief_table(tested.scores, [*recalls, AUC, "Brier score"]).rename_axis(None)
    else:
        note += never_excluded_sentence(data, confidence)
        shown = recall_table(tested)
        if len(data.classes) > MAX_CLASSES:
            note += f" The {MAX_CLASSES} classes of lowest recall; all are in metrics.json."
    title = f"The {len(tested.y)} test patients"
    report.add_section("test", title, tested.scores, note=note, shown=shown)
    report.add_values("called", results.called)
    not_excluded = {
        f"{name}: cannot be excluded": results.possible.in_words(name)
        for name in models_of(results.possible.classes)
    }
    predictions = evaluation.prediction_table(tested).join(pd.DataFrame(not_excluded))
    report.add_table("predictions", predictions)
    report.add_table("pairs", tested.pairs)


def recall_table(tested: Tested) -> pd.DataFrame:
    """Return how many patients of each of several classes are predicted correctly, and the means of
    the classes, x models."""
    counts = tested.y.value_counts(sort=False)
    models = models_of(tested.P.drop(columns=MAJORITY, level="model"))
    estimates = tested.scores["estimate"].unstack("model")[models]
    recalls = estimates.loc[[recall_of(label) for label in counts.index]].set_axis(counts.index)
    hardest = recalls.mean(axis=1).nsmallest(MAX_CLASSES, keep="first").index
    shown = recalls[recalls.index.isin(hardest)]
    rows = {
        style.shorten(label, 19): [
            f"{share * counts[label]:.0f} of {counts[label]}" for share in of
        ]
        for label, of in zip(shown.index, shown.to_numpy(), strict=True)
    }
    for measure in ("balanced accuracy", AUC):
        of_models = tested.scores.loc[measure].reindex(models)
        rows[measure] = [
            "-" if pd.isna(value) else interval_text(value, low, high)
            for value, low, high in of_models[["estimate", "lower", "upper"]].to_numpy()
        ]
    rows["Brier score"] = [f"{value:.3f}" for value in estimates.loc["Brier score"]]
    return pd.DataFrame.from_dict(rows, orient="index", columns=models)


def report_probabilities(
    report: Report, data: ExpressionData, tested: Tested, splits: Resampled
) -> None:
    """Add how far the probabilities can be trusted."""
    table = evaluation.probability_table(tested, splits)
    if len(data.classes) == 2:
        positive = data.classes[1]
        title = f"The probability of {positive}"
        note = (
            f"Calibrated in the large: mean {(tested.y == positive).mean():.2f}. 0-0.2, ...: of "
            f"test patients with such a probability, how many have {positive}."
        )
    else:
        title = "The probabilities of the classes"
        note = (
            "0-0.2, ...: of such probabilities, one a test patient and class, how many are of the "
            "patient's own class."
        )
    report.add_section(
        "probabilities",
        title,
        table,
        note=f"{note} Class changes: patients, over random states. Sd: of a patient's "
        "probability, on average, over states and over splits.",
        shown=table.rename_axis(None),
    )


def report_cross_validation(report: Report, results: Results) -> None:
    """Add what patients say that were held out again: in folds of training, and of all."""
    nested, splits = results.nested, results.splits
    tuning = tuning_table(results.fitted)
    shown = brief_table(nested.table, ["balanced accuracy", "Brier score"])
    shown["best inner"] = tuning.groupby(level="model")["Brier score"].min()
    note = (
        f"Nested: training patients held out in {evaluation.OUTER_FOLDS} folds, "
        f"{len(nested.scores)} times over, all but the choice of grids repeated inside; mean, and "
        "95 % interval of so many patients (Newcombe), as if the models were always the same. "
        f"Parameters are chosen on {INNER_FOLDS} folds by the Brier score (its best: best inner, "
        "optimistic)."
    )
    if splits is not None:
        of_splits = splits.table.loc["accuracy"].loc[shown.index]
        shown["Monte-Carlo accuracy"] = [
            interval_text(row["mean"], row["lower"], row["upper"], digits=3)
            for _, row in of_splits.iterrows()
        ]
        shown["sd"] = of_splits["sd"]
        often = splits.patients["mean"][splits.patients["mean"] > 0.5]
        note += (
            f" Monte-Carlo: all repeated in {len(splits.scores)} random splits of all patients, "
            "as many for training and test; mean, approximate 95 % interval (Nadeau & Bengio)."
        )
        report.add_values("monte_carlo", splits.table)
        report.add_values("often_misclassified", splits.patients.loc[often.index])
        report.add_table("patients", splits.patients)
    report.add_section(
        "nested_cv",
        "Cross-validation",
        nested.table,
        note=note,
        shown=shown.rename_axis(None),
    )
    report.add_section("tuning", "Hyper-parameters", chosen_parameters(results.fitted), GRIDS_NOTE)
    report.add_table("tuning", tuning)


def report_batches(report: Report, data: ExpressionData, results: Results) -> None:
    """Add how models fare across batches."""
    columns = {}
    tables = {}
    if results.tested is not None:
        counts = across_batches.count_correct(data, results.tested)
        tables["test"] = counts
        for title, seen in {"training batches": True, "other batches": False}.items():
            columns[title] = counts[counts["in training"] == seen].drop(columns="in training")
    if len(results.held_out.correct):
        tables["held out"] = results.held_out.correct
        columns["held out"] = results.held_out.correct

    called = ""
    if results.possible is not None:
        calls = across_batches.count_called(data, results.tested, results.possible)
        tables["test, called"] = calls.xs("called", level="calls")
        tables["test, called correctly"] = calls.xs("correct", level="calls")
        best = best_in_training(results.nested)
        by_batch = ", ".join(
            f"{batch} {of_batch['correct']} of {of_batch['called']}"
            for batch, of_batch in calls[best].unstack("calls").loc[counts.index].iterrows()
        )
        called = f" Correct of those called by {best}: {by_batch}."

    shown = pd.DataFrame(index=[name for name in results.fitted if name != MAJORITY])
    for title, correct in columns.items():
        shown[title] = [share_text(correct.sum(), name) for name in shown.index]
    shown["AUC within"] = [
        "-" if pd.isna(auc) else f"{auc:.2f}" + ("" if pd.isna(p) else f" (p {p:.2g})")
        for auc, p in results.within.auc.loc[shown.index].to_numpy()
    ]
    report.add_section(
        "batches",
        "Across batches",
        {
            "within": results.within.auc,
            "pairs within": results.within.batches,
            "correct": {kind: table.to_dict("index") for kind, table in tables.items()},
            "cannot be held out": results.held_out.impossible,
        },
        note="Predicted correctly (Wilson): test patients of training batches, of others, and of "
        "each batch held out. AUC within: of pairs of patients of one batch, one-sided "
        f"p{'' if len(data.classes) == 2 else ' times the number of classes'}.{called}",
        shown=shown,
    )
    if tables:
        report.add_table("batches", pd.concat(tables, names=["patients are"]))


def share_text(correct: pd.Series, name: str) -> str:
    """Return how many patients a model predicts correctly, with the interval of the share."""
    n = correct["patients"]
    if not n:
        return "-"
    limits = percent_range(*wilson_interval(correct[name] / n, n))
    return f"{correct[name]:.0f} of {n:.0f} ({limits})"


def rank_within(data: ExpressionData, results: Results) -> Within:
    """Return how models rank test patients of one batch, or else held-out training patients."""
    if results.tested is not None:
        return across_batches.rank_within(data, results.tested.P, trained_on_others=True)
    P = results.nested.P.groupby(level="patient").mean()
    return across_batches.rank_within(data, P, trained_on_others=False)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    patients = len(data.patients)
    random_states = args.random_states or RANDOM_STATES.for_patients(patients)
    repeats = args.repeats or NESTED_REPEATS.for_patients(patients)
    random_splits = args.monte_carlo or RANDOM_SPLITS.for_patients(patients)
    permutations = args.permutations or PERMUTATIONS.for_patients(patients)
    report = start_report(
        args,
        data,
        f"Telling {told_apart(data.classes)} by expression",
        STAGES,
        random_states=random_states,
        repeats=repeats,
        monte_carlo=random_splits,
        permutations=permutations,
    )

    models = build_models(data.preprocessing, args.seed, len(data.classes))
    fitted = fit_models(models, data.X_train, data.y_train, data.groups)
    tested = None
    named_new = None if data.X_new is None else count_text(len(data.X_new), "new patient")
    if len(data.y_test):
        at_once = evaluation.measure_on_test(data, fitted, 1)
        report.show_table("Predicted correctly", headline_rows(data, Results(fitted, at_once)))
    if data.X_new is not None:
        P = new_patients.predict_new(fitted, data, MAX_LISTED)
        report.show_table(f"{named_new}: class and probability", first_rows(P))
    if len(data.y_test):
        tested = evaluation.measure_on_test(data, fitted, random_states)
    results = Results(fitted, tested)
    results = results._replace(nested=evaluation.nested_cv(data, models, repeats, args.seed))
    best = best_in_training(results.nested)
    if data.X_new is not None:
        new = new_patients.judge(data, fitted, results.nested, best, args.confidence, args.seed)
        results = results._replace(new=new)
        report.show_table(f"{named_new}: which classes cannot be excluded", new_rows(new))
    if tested is None:
        report.show_table(NESTED_TITLE, headline_rows(data, results))
    if tested is not None:
        possible = new_patients.find_possible(results.nested, tested.P, args.confidence)
        results = results._replace(possible=possible)
        splits = evaluation.monte_carlo_cv(data, models, tested, random_splits, args.seed)
        results = results._replace(splits=splits)
    if data.batches is not None:
        results = results._replace(
            within=rank_within(data, results),
            held_out=across_batches.hold_out(data, models, 1 if args.quick else HELD_OUT_STATES),
        )
    permuted = evaluation.permuted_labels(data, models, permutations, args.seed)
    results = results._replace(permuted=permuted)

    report.add_headline(
        headline_title(results), headline_rows(data, results), in_short(data, results)
    )
    if results.new is not None:
        report_new(report, data, results.new, args.confidence)
    if tested is not None:
        report_test(report, data, results, args.confidence)
    if data.batches is not None:
        report_batches(report, data, results)
    if tested is not None:
        report_probabilities(report, data, tested, results.splits)
    report_cross_validation(report, results)

    with report.drawing():
        if results.new is not None:
            report.add_figure("new_patients", figures.draw_new_patients(results.new, data))
        add_training_figures(report, data, results)
        if tested is not None:
            add_test_figures(report, data, results)
    report.write()


if __name__ == "__main__":
    sys.exit(main())
