"""The figures of Q1: what is predicted for each patient, and how sure that is."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.metrics import ConfusionMatrixDisplay, roc_curve
from sklearn.tree import DecisionTreeClassifier, plot_tree

from expression.analysis import evaluation
from expression.analysis.evaluation import Resampled, Results, hardest_first, no_calls
from expression.analysis.models import MAJORITY, MODELS, classifier_names
from expression.data import ExpressionData
from expression.running import style
from expression.running.report import interval_text, range_text

MAX_SHOWN = 60  # patients


def draw_figures(data: ExpressionData, results: Results) -> dict[str, plt.Figure]:
    """Return all figures by name."""
    n_train, n_test, tested = len(data.y_train), len(data.y_test), results.tested
    title = f"{n_train} training patients, held out in folds (nested cross-validation)"
    figures = {"nested_cv": draw_resampled(results.nested, title, "repetitions")}
    for name in classifier_names():
        if isinstance((pipeline := results.fitted[name].pipeline)[-1], DecisionTreeClassifier):
            figures[name.lower().replace(" ", "_")] = draw_decision_tree(pipeline, data)
    if tested:
        P = tested.P.drop(columns=MAJORITY)
        figures["confusion_matrices"] = draw_confusion_matrices(P, data, tested.correct)
        figures["roc_curves"] = draw_roc_curves(P, data, tested.scores)
        figures["patients"] = draw_patients(P, data)
        title = f"{n_test} of all {n_train + n_test} patients, held out in random splits"
        figures["monte_carlo_cv"] = draw_resampled(results.splits, title, "splits")
    return figures


def draw_confusion_matrices(P: pd.DataFrame, data: ExpressionData, correct) -> plt.Figure:
    """Draw the counts; `correct`: how many are, under other random states, states x models."""
    figure, axes = style.panel_grid(P.shape[1], columns=3, height=2.5)
    y, look = data.y_test.cat.codes, {"cmap": "Greys", "colorbar": False}
    look["display_labels"] = [style.wrap_name(name) for name in data.classes]
    look["im_kw"] = {"vmin": 0, "vmax": y.value_counts().max()}  # one grey in all panels
    for ax, (name, p) in zip(axes, P.items(), strict=True):
        ConfusionMatrixDisplay.from_predictions(y, (p > 0.5).astype(int), ax=ax, **look)
        title = f"{name}\n{((p > 0.5) == y).sum()} correct"
        if varying := range_text(correct[name]):
            title += f"\n{varying} over random states"
        ax.set_title(title)
    figure.suptitle(f"{len(y)} test patients: predicted classes")
    return figure


def draw_roc_curves(P: pd.DataFrame, data: ExpressionData, scores: pd.DataFrame) -> plt.Figure:
    """Draw models, and baselines dashed; `scores` holds the AUC of each and its interval."""
    y, (figure, ax) = data.y_test.cat.codes, plt.subplots(figsize=(style.PAGE_WIDTH, 4.2))
    for name, look in style.series_styles(P).items():
        key, auc = ("ROC AUC", name), "one threshold only"
        if key in scores.index:
            auc = interval_text(*scores.loc[key, ["estimate", "lower", "upper"]], 3)
        width = max(1, 5 - 0.6 * len(ax.lines))  # later curves leave earlier ones visible below
        look |= {"marker": "", "lw": width} | ({"linestyle": "--"} if MODELS[name].baseline else {})
        # not RocCurveDisplay, whose legend knows no intervals
        ax.plot(*roc_curve(y, P[name])[:2], **look, label=f"{name}: {auc}")
    ax.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    figure.legend(title="ROC AUC (95 % interval)", loc="outside center right")
    figure.suptitle(f"{len(y)} test patients: sensitivity at every specificity")
    return figure


def draw_decision_tree(pipeline, data: ExpressionData) -> plt.Figure:
    """Draw a fitted tree with the names of genes and classes."""
    tree, names = pipeline[-1], pipeline[:-1].get_feature_names_out(data.X_train.columns)
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.2 + 1.3 * tree.get_depth()))
    genes = [style.wrap_name(name, 18) for name in data.gene_names[names]]
    classes = [style.wrap_name(name, 18) for name in data.classes]
    options = {"impurity": False, "precision": 2, "fontsize": int(plt.rcParams["font.size"])}
    plot_tree(tree, feature_names=genes, class_names=classes, ax=ax, **options)
    figure.suptitle(f"Decision tree of the {len(data.y_train)} training patients")
    ax.set_title("log2 expression, arrays standardised", fontweight="normal")
    return figure


def draw_patients(P: pd.DataFrame, data: ExpressionData) -> plt.Figure:
    """Draw P of the test patients, the hardest first; errors and no-calls of a vote are marked."""
    y = data.y_test.cat.codes
    shown = hardest_first(y, P)[:MAX_SHOWN]
    y, P = y[shown], P.loc[shown, sorted(P, key=lambda name: MODELS[name].baseline)]
    errors = np.where(P.gt(0.5).ne(y, axis=0), "×", "").astype(object)
    marks = np.vstack([[""] * len(shown), (errors + np.where(no_calls(P), "?", "")).T])
    negative, positive = style.class_palette(data).values()
    cmap = sns.blend_palette([negative, "white", positive], as_cmap=True)
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.9 + 0.2 * P.shape[1]))
    image = pd.concat([y.rename("true class"), P], axis=1).T
    options = {"cmap": cmap, "vmin": 0, "vmax": 1, "linewidths": 0.5}
    options |= {"annot": marks, "annot_kws": {"fontsize": "x-small"}, "fmt": ""}
    sns.heatmap(image, ax=ax, xticklabels=False, **options)
    ax.hlines([1, 1 + len(classifier_names())], 0, len(shown), color="black", lw=1.5)
    no_call = f"? no-call: prediction strength below {evaluation.CLASSIFIED_FROM:g}"
    ax.set(xlabel=f"test patient, the hardest first (× error; {no_call})", ylabel="")
    style.name_ticks(ax.xaxis, shown, 0.8 * style.PAGE_WIDTH, first=0.5)
    count = f"{len(y)} hardest of {len(data.y_test)}" if len(y) < len(data.y_test) else len(y)
    figure.suptitle(f"{count} test patients: probability of {style.wrap_name(data.classes[1], 40)}")
    return figure


def draw_resampled(resampled: Resampled, title: str, label: str) -> plt.Figure:
    """Draw the accuracy of every split with mean and interval, and that of the given split."""
    scores = resampled.scores["accuracy"]
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.5 + 0.3 * scores.shape[1]))
    rows, table = np.arange(scores.shape[1]), resampled.table.loc["accuracy"].loc[scores.columns]
    for row, name in enumerate(scores):  # not seaborn's strip or swarm: few values, many ties
        values = scores[name].round(9).value_counts()
        bubble = f"{label} (area: how many)" if row == 0 else None
        options = {"s": 400 * values / len(scores), "color": "0.8", "lw": 0, "label": bubble}
        ax.scatter(values.index, [row] * len(values), **options)
    margins = table[["lower", "upper"]].sub(table["mean"], axis=0).abs().to_numpy().T
    options = {"fmt": "o", "color": "black", "ms": 4, "label": "mean and its 95 % interval"}
    ax.errorbar(table["mean"], rows, xerr=margins, **options)
    if "given split" in table:
        look = {"marker": "^", "color": style.COLORS["green"], "label": "given split"}
        ax.scatter(table["given split"], rows + 0.25, **look)
    ax.set(xlabel="accuracy on the held-out patients", yticks=rows, yticklabels=scores.columns)
    ax.set_ylim(len(rows) - 0.3, -0.7)  # room for the largest bubbles, the first row on top
    figure.legend(loc="outside lower center", ncols=3)
    figure.suptitle(title)
    return figure
