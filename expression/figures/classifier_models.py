"""The figures of Q1: what is predicted for each patient, and how sure that is."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import ConfusionMatrixDisplay, roc_curve
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, plot_tree

from expression.analysis.evaluation import CLASSIFIED_FROM, Resampled, hardest_first, no_calls
from expression.analysis.models import MODELS, classifier_names, file_name, predicts_positive
from expression.analysis.new_patients import NewPatients
from expression.analysis.tuning import Fitted
from expression.data import ExpressionData
from expression.running import style
from expression.running.report import interval_text, range_text

MAX_SHOWN = 60  # patients


def draw_trees(fitted: dict[str, Fitted], data: ExpressionData) -> dict[str, plt.Figure]:
    """Return a figure of each classifier that is a single tree, by a name for its file."""
    figures = {}
    for name in classifier_names():
        pipeline = fitted[name].pipeline
        if isinstance(pipeline[-1], DecisionTreeClassifier):
            figures[file_name(name)] = draw_decision_tree(pipeline, data)
    return figures


def draw_confusion_matrices(
    P: pd.DataFrame, classes: pd.Series, correct: pd.DataFrame
) -> plt.Figure:
    """Draw the counts; `classes`: of the patients of P; `correct`: how many are, under other random
    states, states x models."""
    y = classes.cat.codes
    figure, axes = style.panel_grid(P.shape[1], columns=3, height=2.5)
    for ax, (name, p) in zip(axes, P.items(), strict=True):
        called = predicts_positive(p).astype(int)
        ConfusionMatrixDisplay.from_predictions(
            y,
            called,
            display_labels=[style.wrap_name(label) for label in classes.cat.categories],
            cmap="Greys",
            colorbar=False,
            im_kw={"vmin": 0, "vmax": y.value_counts().max()},  # one grey in all panels
            ax=ax,
        )
        title = f"{name}\n{(called == y).sum()} correct"
        if varying := range_text(correct[name]):
            title += f"\n{varying} over random states"
        ax.set_title(title)
    figure.suptitle(f"{len(y)} test patients: predicted classes")
    return figure


def draw_roc_curves(P: pd.DataFrame, classes: pd.Series, scores: pd.DataFrame) -> plt.Figure:
    """Draw models, and baselines dashed; `scores` holds the AUC of each and its interval."""
    y = classes.cat.codes
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 4.2))
    for name, series in style.series_styles(P).items():
        auc = "one threshold only"
        if ("ROC AUC", name) in scores.index:
            row = scores.loc["ROC AUC", name]
            auc = interval_text(row["estimate"], row["lower"], row["upper"], digits=3)
        false_positive, true_positive, _ = roc_curve(y, P[name])
        # not RocCurveDisplay, whose legend knows no intervals
        ax.plot(
            false_positive,
            true_positive,
            color=series["color"],
            linestyle="--" if MODELS[name].baseline else series["linestyle"],
            linewidth=max(1, 5 - 0.6 * len(ax.lines)),  # later curves leave earlier ones visible
            label=f"{name}: {auc}",
        )
    ax.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    figure.legend(title="ROC AUC (95 % interval)", loc="outside center right")
    figure.suptitle(f"{len(y)} test patients: sensitivity at every specificity")
    return figure


def draw_decision_tree(pipeline: Pipeline, data: ExpressionData) -> plt.Figure:
    """Draw a fitted tree with the names of genes and classes."""
    tree = pipeline[-1]
    genes = pipeline[:-1].get_feature_names_out(data.X_train.columns)
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.2 + 1.3 * tree.get_depth()))
    plot_tree(
        tree,
        feature_names=[style.wrap_name(name, 18) for name in data.gene_names[genes]],
        class_names=[style.wrap_name(name, 18) for name in data.classes],
        impurity=False,
        precision=2,
        fontsize=int(plt.rcParams["font.size"]),
        ax=ax,
    )
    figure.suptitle(f"Decision tree of the {len(data.y_train)} training patients")
    ax.set_title("log2 expression, arrays standardised", fontweight="normal")
    return figure


def draw_patients(P: pd.DataFrame, classes: pd.Series, palette: dict[str, str]) -> plt.Figure:
    """Draw P of the test patients, the hardest first; errors and no-calls of a vote are marked.

    `classes`: of the patients of P; `palette`: the colour of each class.
    """
    y = classes.cat.codes
    shown = hardest_first(y, P)[:MAX_SHOWN]
    baselines_last = sorted(P, key=lambda name: MODELS[name].baseline)
    y = y[shown]
    P = P.loc[shown, baselines_last]

    errors = np.where(predicts_positive(P).ne(y, axis=0), "×", "").astype(object)
    doubts = np.where(no_calls(P), "?", "")
    no_marks = [""] * len(shown)
    figure, ax = draw_probabilities(
        pd.concat([y.rename("true class"), P], axis=1),
        marks=np.vstack([no_marks, (errors + doubts).T]),
        palette=palette,
    )
    ax.hlines([1, 1 + len(classifier_names())], 0, len(shown), color="black", lw=1.5)
    no_call = f"? no-call: prediction strength below {CLASSIFIED_FROM:g}"
    ax.set(xlabel=f"test patient, the hardest first (× error; {no_call})", ylabel="")
    style.name_ticks(ax.xaxis, shown, 0.8 * style.PAGE_WIDTH, first=0.5)
    count = f"{len(y)} hardest of {len(classes)}" if len(y) < len(classes) else len(y)
    positive = style.wrap_name(classes.cat.categories[1], 40)
    figure.suptitle(f"{count} test patients: probability of {positive}")
    return figure


def draw_new_patients(new: NewPatients, data: ExpressionData) -> plt.Figure:
    """Draw the probabilities of new patients, of many the least certain, and mark the uncalled."""
    positive = data.classes[1]
    P = new.P.xs(positive, axis=1, level="class")[classifier_names()]
    least_certain = P[new.best].sub(0.5).abs().sort_values(kind="stable").index[:MAX_SHOWN]
    P = P.loc[least_certain].sort_values(new.best, ascending=False, kind="stable")
    sizes = new.possible.classes.T.groupby(level="model").sum().T.loc[P.index, P.columns]
    marks = sizes.replace({0: "–", 1: "", 2: "?"}).to_numpy().T
    figure, ax = draw_probabilities(P, marks, style.class_palette(data))
    ax.set(xlabel="new patient (? both classes possible; – neither)", ylabel="")
    style.name_ticks(ax.xaxis, P.index, 0.8 * style.PAGE_WIDTH, first=0.5)
    count = f"{len(P)} least certain of {len(new.P):,}" if len(P) < len(new.P) else len(P)
    noun = "patient" if len(new.P) == 1 else "patients"
    figure.suptitle(f"{count} new {noun}: probability of {style.wrap_name(positive, 40)}")
    return figure


def draw_probabilities(
    P: pd.DataFrame, marks: np.ndarray, palette: dict[str, str]
) -> tuple[plt.Figure, plt.Axes]:
    """Draw probabilities of the positive class, a column a row of P, with a mark in each cell."""
    import seaborn as sns  # here, as --help need not wait for it

    negative_color, positive_color = palette.values()
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.7 + 0.2 * P.shape[1]))
    sns.heatmap(
        P.T,
        cmap=sns.blend_palette([negative_color, "white", positive_color], as_cmap=True),
        vmin=0,
        vmax=1,
        linewidths=0.5,
        annot=marks,
        annot_kws={"fontsize": "x-small"},
        fmt="",
        xticklabels=False,
        ax=ax,
    )
    return figure, ax


def draw_resampled(
    resampled: Resampled, title: str, label: str, held_out_batches: pd.Series | None = None
) -> plt.Figure:
    """Draw the accuracy of every split with mean and interval, and that of the given split.

    `held_out_batches`: the accuracy of each model on batches held out, where there are any.
    """
    scores = resampled.scores["accuracy"]
    table = resampled.table.loc["accuracy"].loc[scores.columns]
    rows = np.arange(scores.shape[1])
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.5 + 0.3 * scores.shape[1]))

    for row, name in enumerate(scores):  # not seaborn's strip or swarm: few values, many ties
        counts = scores[name].round(9).value_counts()
        ax.scatter(
            counts.index,
            [row] * len(counts),
            s=400 * counts / len(scores),
            color="0.8",
            linewidths=0,
            label=f"{label} (area: how many)" if row == 0 else None,
        )
    margins = table[["lower", "upper"]].sub(table["mean"], axis=0).abs()
    ax.errorbar(
        table["mean"],
        rows,
        xerr=margins.to_numpy().T,
        fmt="o",
        color="black",
        markersize=4,
        label="mean and its 95 % interval",
    )
    if "given split" in table:
        ax.scatter(
            table["given split"],
            rows + 0.25,
            marker="^",
            color=style.COLORS["green"],
            label="given split",
        )
    if held_out_batches is not None:
        ax.scatter(
            held_out_batches.reindex(scores.columns),
            rows - 0.25,
            marker="D",
            s=18,
            color=style.COLORS["purple"],
            label="each batch held out",
        )
    if resampled.batch_alone is not None:
        worst, best = resampled.batch_alone
        ax.axvspan(
            worst - 0.002,  # to be seen also where both are the same
            best + 0.002,
            color=style.COLORS["yellow"],
            alpha=0.4,
            linewidth=0,
            zorder=0,
            label="the batch alone",
        )
    ax.set(xlabel="accuracy on the held-out patients", yticks=rows, yticklabels=scores.columns)
    ax.set_ylim(len(rows) - 0.3, -0.7)  # room for the largest bubbles, the first row on top
    figure.legend(loc="outside lower center", ncols=3)
    figure.suptitle(title)
    return figure
