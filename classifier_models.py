"""Can gene expression tell AML from ALL, and how sure can we be? (Q1)

Four models, tuned by cross-validated grid search on the training patients, beside three baselines:
the majority class, the best single gene, and the weighted voting of Golub et al.

The trap: with 7,129 genes and 38 patients, anything that learns outside the folds - a filter, a
gene selection, a scaling - makes noise look like a perfect classifier. Here everything that learns
is a step of the pipeline and is fitted anew inside every fold. And 34 test patients cannot tell
good models apart: the whole procedure is repeated on folds of the training patients (nested
cross-validation) and on random splits of all patients (Monte-Carlo cross-validation).

Input: a data folder (see expression/data.py). Written to outputs/classifier_models/:
    metrics.txt, metrics.json                  every number, its interval, its baseline
    tuning.csv                                 every grid point and its score
    predictions.csv, patients.csv              every patient under every model: test; Monte-Carlo
    confusion_matrices, roc_curves, patients   figures: the test patients
    decision_tree, nested_cv, monte_carlo_cv   figures: the tree; how sure it all is

Reference: Golub et al. (1999), Molecular classification of cancer, Science 286:531-537; those of
the models and intervals are in expression/models.py and expression/evaluation.py.
"""

import expression.early  # noqa: F401 (an interrupt during the imports)
import argparse
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap
from sklearn.metrics import confusion_matrix, roc_curve
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, plot_tree

from expression import style
from expression.data import ExpressionData
from expression.evaluation import OUTER_FOLDS, Results, evaluate_models
from expression.models import INNER_FOLDS, MAJORITY, MODELS, classifier_names, parameter_text
from expression.options import add_counts, command_line, load_data, make_parser, start_report
from expression.report import Report, interval_text

MAX_SHOWN = 60  # patients in a figure
OFTEN = 0.5  # misclassified more often than not


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "classifier_models")
    add_counts(
        parser,
        ("--repeats", 2, 1, "repetitions of the nested cross-validation"),
        ("--monte-carlo", 20, 2, "random splits of all patients into training and test patients"),
        ("--resamples", 10_000, 100, "bootstrap resamples of the test patients"),
    )
    text = "prediction strength that classifies a patient (default: 0.3, Golub et al.'s)"
    parser.add_argument("--threshold", type=float, default=0.3, metavar="0-1", help=text)
    args = parser.parse_args(argv)
    if not 0 <= args.threshold <= 1:
        parser.error(f"--threshold: must be from 0 to 1 - found {args.threshold}")
    return args


def draw_figures(data: ExpressionData, results: Results, threshold: float) -> dict[str, plt.Figure]:
    """Return all figures by name."""
    y, tables = data.y_test.cat.codes, results.tables
    tuned = tables["tuning"].groupby(level="model")["Brier score"].min()
    labels = "tuned score", "Brier score of a held-out fold (lower is better)"
    brier, nested = results.nested_scores["Brier score"], tables["nested_cv"].loc["Brier score"]
    figures = {"nested_cv": draw_split_scores(brier, nested, tuned, labels)}
    for name in classifier_names():
        pipeline = results.fitted[name].best_estimator_
        if isinstance(pipeline[-1], DecisionTreeClassifier):
            figures[name.lower().replace(" ", "_")] = draw_decision_tree(pipeline, data)
    if len(y):
        figures["confusion_matrices"] = draw_confusion_matrices(y, results.P, data.classes)
        figures["roc_curves"] = draw_roc_curves(y, results.P, tables["test"].loc["ROC AUC"])
        figures["patients"] = draw_patients(results.predictions, results.P, data, threshold)
        table, accuracy = tables["monte_carlo"], results.split_scores["accuracy"]
        labels = "given split", f"accuracy on {len(y)} held-out patients"
        figures["monte_carlo_cv"] = draw_split_scores(accuracy, table, table["given split"], labels)
    return figures


def draw_confusion_matrices(y: pd.Series, P: pd.DataFrame, classes) -> plt.Figure:
    """Draw the counts, on the colour of the share of their true class."""
    figure, axes = style.panel_grid(P.shape[1], columns=4, height=1.8)
    classes = [style.wrap_name(name) for name in classes]
    # not ConfusionMatrixDisplay, which writes either counts or shares, on the colour of the same
    options = {"vmin": 0, "vmax": 1, "cmap": "Greys", "cbar": False, "square": True, "fmt": ""}
    for ax, (name, p) in zip(axes, P.items(), strict=True):
        counts = confusion_matrix(y, p > 0.5)
        shares = counts / counts.sum(axis=1, keepdims=True)
        text = np.char.add(counts.astype(str), np.char.mod("\n%.0f %%", 100 * shares))
        sns.heatmap(shares, annot=text, xticklabels=classes, yticklabels=classes, ax=ax, **options)
        ax.set(title=name)
    label = "share of the true class"
    figure.colorbar(axes[0].collections[0], ax=figure.axes, label=label)
    figure.supxlabel("predicted class", fontsize="medium")
    figure.supylabel("true class", fontsize="medium")
    return figure


def draw_roc_curves(y: pd.Series, P: pd.DataFrame, auc: pd.DataFrame) -> plt.Figure:
    """Draw models and baselines apart; `auc` holds the AUC of each and its interval."""
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE_WIDTH, 5.2), sharey=True)
    for name, look in style.series_styles(P).items():
        ax = axes[int(MODELS[name].baseline)]
        width = 5 - 0.6 * len(ax.lines)  # later curves leave earlier ones visible below them
        label = "{}: {:.3f} ({:.3f} to {:.3f})".format(name, *auc.loc[name])
        # not RocCurveDisplay, whose legend knows no intervals
        false_positive, true_positive, _ = roc_curve(y, P[name])
        look = look | {"marker": "", "lw": max(width, 1), "label": label}
        ax.plot(false_positive, true_positive, **look)
    for ax, title in zip(axes, ("Models", "Baselines"), strict=True):
        ax.set(title=title, xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        ax.label_outer()
    figure.legend(title="ROC AUC (95 % interval)", loc="outside lower center", ncols=2)
    return figure


def draw_decision_tree(pipeline: Pipeline, data: ExpressionData) -> plt.Figure:
    """Draw a fitted tree with the names of genes and classes."""
    tree, names = pipeline[-1], pipeline[:-1].get_feature_names_out(data.X_train.columns)
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1 + 1.3 * tree.get_depth()))
    options = {"class_names": list(data.classes), "impurity": False, "precision": 2, "fontsize": 9}
    plot_tree(tree, feature_names=list(data.gene_names[names]), ax=ax, **options)
    ax.set_title("Decision tree on log2 intensities standardised over the genes of each patient")
    return figure


def draw_patients(
    predictions: pd.DataFrame, P: pd.DataFrame, data: ExpressionData, threshold: float
) -> plt.Figure:
    """Draw P of the test patients in the order of `predictions`, errors and no-calls marked."""
    shown = predictions.index[:MAX_SHOWN]
    y, P = data.y_test.cat.codes[shown], P.loc[shown]
    classified = predictions.loc[shown, [f"{name}: classified" for name in P]].to_numpy()
    errors = P.gt(0.5).ne(y, axis=0).to_numpy()
    marks = np.where(errors, "×", "").astype(object) + np.where(classified, "", "?")
    negative, positive = style.class_palette(data).values()
    cmap = LinearSegmentedColormap.from_list("classes", [negative, "white", positive])
    label = f"probability of\n{style.wrap_name(data.classes[1], 24)}"
    text = {"annot": np.vstack([np.full(len(shown), ""), marks.T]), "fmt": ""}
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.4 + 0.2 * P.shape[1]))
    image = pd.concat([y.rename("true class"), P], axis=1).T
    options = {"cmap": cmap, "vmin": 0, "vmax": 1, "linewidths": 0.5, "cbar_kws": {"label": label}}
    sns.heatmap(image, ax=ax, annot_kws={"fontsize": 7}, **text, **options)
    ax.hlines([1, 1 + len(classifier_names())], 0, len(shown), color="black", lw=1.5)
    marked = f"× error; ? no-call: prediction strength below {threshold:g}"
    ax.set(xlabel=f"test patient, the hardest first ({marked})", ylabel="")
    ax.tick_params(axis="x", rotation=90)
    return figure


def draw_split_scores(
    scores: pd.DataFrame, table: pd.DataFrame, marks: pd.Series, labels: tuple[str, str]
) -> plt.Figure:
    """Draw splits x models with mean and interval; `labels` name the marks and the axis.

    Scores on few patients have few values: bubbles show how many splits share one, where the
    points of seaborn's strip and swarm plots would lie on each other or run out of their row.
    """
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.1 + 0.3 * scores.shape[1]))
    rows, table = np.arange(scores.shape[1]), table.loc[scores.columns]
    for row, name in enumerate(scores):
        values = scores[name].round(9).value_counts()
        label = "splits (area: how many)" if row == 0 else None
        options = {"s": 400 * values / len(scores), "color": "0.8", "lw": 0, "label": label}
        ax.scatter(values.index, [row] * len(values), **options)
    margins = table[["lower", "upper"]].sub(table["mean"], axis=0).abs().to_numpy().T
    label = "mean and its 95 % interval"
    ax.errorbar(table["mean"], rows, xerr=margins, fmt="o", color="black", ms=4, label=label)
    look = {"marker": "^", "color": style.COLORS["green"], "label": labels[0]}
    ax.scatter(marks.reindex(scores.columns), rows + 0.25, **look)
    ax.set(xlabel=labels[1], yticks=rows, yticklabels=scores.columns)
    ax.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def report_headline(report: Report, data: ExpressionData, tables: dict, often: pd.Series) -> None:
    """Open with a row a model: what the test patients say, and how sure that is."""
    n_train, n_test = len(data.y_train), len(data.y_test)
    nested = tables["nested_cv"].loc["balanced accuracy", ["mean", "lower", "upper"]]
    rows = {name: {"model": name} for name in MODELS}
    for name, row in rows.items():
        if n_test:
            row[f"correct of {n_test}"] = tables["classification"].loc[name, "correct"]
            for measure, digits in (("accuracy", 2), ("ROC AUC", 3), ("Brier score", 2)):
                row[measure] = interval_text(*tables["test"].loc[(measure, name)], digits)
        key = f"balanced accuracy, nested CV on the {n_train}"
        row[key] = interval_text(*nested.loc[name])
        if n_test:
            splits = tables["monte_carlo"].loc[name, ["mean", "lower", "upper"]]
            row[f"accuracy, Monte-Carlo CV of the {n_train + n_test}"] = interval_text(*splits)
    title = f"Q1, the {n_test} test patients" if n_test else "Q1, training patients held out"
    note = "95 % intervals in brackets."
    if n_test:
        p = tables["pairs"]["p"]
        note += (
            f" Smallest p of McNemar's exact test between any two models, the majority class aside:"
            f" {p[~p.index.str.contains(MAJORITY)].min():.2f}, not corrected for the number"
            " of pairs. Patients misclassified in more than half of the Monte-Carlo splits that "
            "held them out, on average over the models: "
            f"{', '.join(map(str, often.index)) or 'none'}."
        )
    report.add_headline(title, list(rows.values()), [note])


def report_training(report: Report, results: Results, repeats: int) -> None:
    """Add what the training patients say: tuning, and the nested cross-validation."""
    chosen = {name: results.fitted[name].best_params_ for name in classifier_names()}
    tuning, nested = results.tables["tuning"], results.tables["nested_cv"]
    values = pd.DataFrame(index=pd.Index(chosen, name="model")).assign(
        chosen=pd.Series(chosen).map(parameter_text),
        **{"tuned Brier score": tuning.groupby(level="model")["Brier score"].min()},
        **{"nested Brier score": nested.loc["Brier score", "mean"]},
    )
    note = (
        f"Grid search on the training patients, {INNER_FOLDS} folds, by the Brier score (lower is "
        "better). The tuned score is the best of its grid and optimistically biased; the nested "
        "one is of patients kept out of it."
    )
    report.add_section("tuning", "Tuning", values, note)
    note = (
        f"Training patients held out in {OUTER_FOLDS} folds, {repeats} times over; filter, "
        "selection and tuning repeated inside. Over the folds: mean, sd, and 95 % interval of the "
        "mean corrected for overlap (Nadeau & Bengio)."
    )
    shown = ["balanced accuracy", "ROC AUC", "Brier score"]
    report.add_section("nested_cv", "Nested cross-validation", nested.loc[shown], note)
    report.add_table("tuning", tuning)


def report_test(report: Report, data: ExpressionData, results: Results, threshold: float) -> None:
    """Add what the test patients say: scores, predicted classes, the patients themselves."""
    tables, (negative, positive) = results.tables, data.classes
    note = (
        f"Sensitivity: share of {positive} predicted {positive}; specificity: of {negative} "
        f"predicted {negative}. 95 % intervals: Wilson for proportions, Newcombe for balanced "
        "accuracy, bootstrap within classes for ROC AUC and Brier score, which are too narrow "
        "where the AUC is near 1."
    )
    report.add_section("test", f"The {len(data.y_test)} test patients", tables["test"], note)
    title = "Predicted classes of the test patients"
    note = f"Classified: prediction strength |2p - 1| of {threshold:g} or more; others: no-call."
    report.add_section("classification", title, tables["classification"], note)
    hard = results.predictions[results.predictions["errors"] > 0]
    hard = hard.filter(regex="^class|^errors|probability").rename(columns=lambda c: c.split(":")[0])
    note = f"Probability of {positive} under each model, hardest patient first."
    report.add_section("errors", "Test patients that a model misclassifies", hard, note)
    report.add_table("predictions", results.predictions)


def report_monte_carlo(report: Report, tables: dict, sizes: tuple[int, int], often) -> None:
    """Add what other splits say: of the given split, and of each patient."""
    note = (
        f"Accuracy on {sizes[1]} patients held out of all {sum(sizes)}, random splits with the "
        "class counts of the given one, everything repeated inside. Mean, sd, 95 % interval "
        "(Nadeau & Bengio); the given split, and its percentile: the share of random splits with a "
        "lower accuracy, ties half (0.5: neither easy nor hard). Models in pairs: pairs.csv."
    )
    report.add_section("monte_carlo", "Monte-Carlo cross-validation", tables["monte_carlo"], note)
    note = (
        "Share of the splits that held a patient out and misclassified it; these in more than half "
        "of them, on average over the models. All patients: patients.csv."
    )
    columns = ["set", "class", "held out", *classifier_names(), "mean"]
    shown = tables["patients"].loc[often.index, columns]
    report.add_section("often_misclassified", "Patients often misclassified", shown, note)
    report.add_table("pairs", tables["pairs"])
    report.add_table("patients", tables["patients"])


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    title = "Telling {1} from {0} by gene expression".format(*data.classes)
    report = start_report(args, data, title)
    results = evaluate_models(
        data, args.repeats, args.monte_carlo, args.resamples, args.threshold, args.seed
    )
    tables = results.tables
    for name, figure in draw_figures(data, results, args.threshold).items():
        report.add_figure(name, figure)
    rates = tables["patients"]["mean"] if "patients" in tables else pd.Series(dtype=float)
    often = rates[rates > OFTEN]
    report_headline(report, data, tables, often)
    report_training(report, results, args.repeats)
    if len(data.y_test):
        report_test(report, data, results, args.threshold)
        report_monte_carlo(report, tables, (len(data.y_train), len(data.y_test)), often)
    report.write()


if __name__ == "__main__":
    sys.exit(main())
