"""The figures of Q1: what is predicted for each patient, and how sure that is."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from sklearn.metrics import ConfusionMatrixDisplay, roc_curve
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, plot_tree

from expression.analysis.evaluation import (
    AUC,
    CLASSIFIED_FROM,
    Resampled,
    Tested,
    are_correct,
    hardest_first,
    no_calls,
)
from expression.analysis.models import MAJORITY, MODELS, classifier_names, file_name, models_of
from expression.analysis.new_patients import NewPatients
from expression.analysis.tuning import Fitted
from expression.data import ExpressionData, against_the_rest
from expression.running import style
from expression.running.report import interval_text, range_text

MAX_SHOWN = 60  # patients
LEGEND_COLUMNS = 5
ROC_COLUMNS = 4  # of panels of classes
ROC_INCHES = 2.2  # of a row of them
# Of red, green and blue; below DARK, marks on a colour are white
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
DARK = 0.6
MAX_BESIDE = 8  # classes, of which two confusion matrices stand beside each other
CLASS_INCHES = 0.25  # of a row of a confusion matrix of more than two


def draw_trees(fitted: dict[str, Fitted], data: ExpressionData) -> dict[str, plt.Figure]:
    """Return a figure of each classifier that is a single tree, by a name for its file."""
    figures = {}
    for name in classifier_names():
        pipeline = fitted[name].pipeline
        if isinstance(pipeline[-1], DecisionTreeClassifier):
            figures[file_name(name)] = draw_decision_tree(pipeline, data)
    return figures


def draw_confusion_matrices(tested: Tested) -> plt.Figure:
    """Draw the counts of the test patients, of all models but the majority's; above them, how many
    are correct, and under other random states."""
    y = tested.y
    codes = y.cat.codes
    classes = y.cat.categories
    if len(classes) == 2:
        columns, height, width = 3, 2.5, 12  # in inches and, of a name, in characters
    else:
        columns = 2 if len(classes) <= MAX_BESIDE else 1
        height, width = 2.2 + CLASS_INCHES * len(classes), 24
    models = models_of(tested.P.drop(columns=MAJORITY, level="model"))
    figure, axes = style.panel_grid(
        len(models),
        columns,
        height,
    )
    for ax, name in zip(axes, models, strict=True):
        called = tested.P[name].to_numpy().argmax(axis=1)
        ConfusionMatrixDisplay.from_predictions(
            codes,
            called,
            labels=range(len(classes)),
            display_labels=[style.wrap_name(label, width) for label in classes],
            cmap="Greys",
            colorbar=False,
            im_kw={"vmin": 0, "vmax": codes.value_counts().max()},  # one grey in all panels
            xticks_rotation="horizontal" if len(classes) == 2 else "vertical",
            ax=ax,
        )
        title = f"{name}\n{(called == codes).sum()} correct"
        if varying := range_text(tested.correct[name]):
            title += f"\n{varying} over random states"
        ax.set_title(title)
    figure.suptitle(f"{len(y)} test patients: predicted classes")
    return figure


def draw_roc_curves(tested: Tested) -> plt.Figure:
    """Draw a panel for each class against the rest, with a curve a model, baselines dashed."""
    P = tested.P.drop(columns=MAJORITY, level="model")
    classes = against_the_rest(tested.y.cat.categories)
    if len(classes) == 1:
        figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 4.2))
        draw_roc_panel(ax, tested, P, classes[0], widest=5)
        ax.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        figure.legend(title="ROC AUC (95 % interval)", loc="outside center right")
    else:
        rows = -(-len(classes) // ROC_COLUMNS)
        height = ROC_INCHES + style.LEGEND_INCHES / rows
        figure, axes = style.panel_grid(len(classes), ROC_COLUMNS, height)
        for ax, label in zip(axes, classes, strict=True):
            draw_roc_panel(ax, tested, P, label, widest=3)
            n = (tested.y == label).sum()
            noun = "patient" if n == 1 else "patients"
            ax.set_title(f"{style.wrap_name(label, 20)}\n{n} {noun}", fontsize="small")
            ax.set(xlabel="1 - specificity", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            ax.label_outer()
        figure.supylabel("sensitivity", fontsize="medium")
        handles, labels = axes[0].get_legend_handles_labels()
        title = "ROC AUC, mean of the classes (95 % interval)"
        style.legend_below(figure, handles, labels, columns=2, title=title)
    figure.suptitle(f"{len(tested.y)} test patients: sensitivity at every specificity")
    return figure


def draw_roc_panel(
    ax: plt.Axes, tested: Tested, P: pd.DataFrame, label: str, widest: float
) -> None:
    """Draw the curves of a class against the rest; later curves leave earlier ones visible."""
    for place, (name, series) in enumerate(style.series_styles(models_of(P)).items()):
        false_positive, true_positive, _ = roc_curve(tested.y == label, P[name, label])
        # not RocCurveDisplay, whose legend knows no intervals
        ax.plot(
            false_positive,
            true_positive,
            color=series["color"],
            linestyle="--" if MODELS[name].baseline else series["linestyle"],
            linewidth=max(1, widest - 0.6 * place),
            label=f"{name}: {auc_text(tested.scores, name)}",
        )


def auc_text(scores: pd.DataFrame, name: str) -> str:
    """Return the AUC of a model with its interval, where it has one."""
    if (AUC, name) not in scores.index:
        return "one threshold only"
    row = scores.loc[AUC, name]
    return interval_text(row["estimate"], row["lower"], row["upper"], digits=3)


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


def draw_patients(tested: Tested, data: ExpressionData) -> plt.Figure:
    """Draw the class that each model predicts for the test patients, the hardest first; errors and
    no-calls of a vote are marked."""
    y = tested.y
    P = tested.P.drop(columns=MAJORITY, level="model")
    shown = hardest_first(y, P)[:MAX_SHOWN]
    truth = pd.get_dummies(y).astype(float)
    baselines_last = sorted(models_of(P), key=lambda name: MODELS[name].baseline)
    columns = {"true class": truth, **{name: P[name] for name in baselines_last}}
    P = P[baselines_last].loc[shown]

    errors = np.where(are_correct(P, y[shown]), "", "×").astype(object)
    doubts = np.where(no_calls(P), "?", "")
    no_marks = [""] * len(shown)
    figure, ax = draw_probabilities(
        {name: p.loc[shown] for name, p in columns.items()},
        marks=np.vstack([no_marks, (errors + doubts).T]),
        data=data,
    )
    ax.hlines([1, 1 + len(classifier_names())], 0, len(shown), color="black", lw=1.5)
    no_call = f"; ? no-call: prediction strength below {CLASSIFIED_FROM:g}"
    votes = any(MODELS[name].votes for name in baselines_last)
    ax.set(xlabel=f"test patient, the hardest first (× error{no_call if votes else ''})")
    style.name_ticks(ax.xaxis, shown, 0.8 * style.PAGE_WIDTH, first=0.5)
    count = f"{len(shown)} hardest of {len(y)}" if len(shown) < len(y) else len(y)
    figure.suptitle(f"{count} test patients: {what_is_drawn(data)}")
    return figure


def draw_new_patients(new: NewPatients, data: ExpressionData) -> plt.Figure:
    """Draw the classes of new patients, of many the least certain, and mark the uncalled."""
    P = new.P[classifier_names()]
    of_best = P[new.best]
    least_certain = of_best.max(axis=1).sort_values(kind="stable").index[:MAX_SHOWN]
    # By predicted class, the last one first; within it by the probability of the last one
    codes = of_best.to_numpy().argmax(axis=1)
    place = pd.DataFrame({"code": codes, "p": of_best.iloc[:, -1]}).loc[least_certain]
    shown = place.sort_values(["code", "p"], ascending=False, kind="stable").index
    sizes = pd.DataFrame({name: new.possible.classes[name].sum(axis=1) for name in models_of(P)})
    marks = np.select([sizes.loc[shown] == 0, sizes.loc[shown] > 1], ["–", "?"], "").T
    figure, ax = draw_probabilities(
        {name: P[name].loc[shown] for name in models_of(P)}, marks, data
    )
    both, neither = ("both", "neither") if len(data.classes) == 2 else ("several", "none")
    ax.set(xlabel=f"new patient (? {both} classes possible; – {neither})")
    style.name_ticks(ax.xaxis, shown, 0.8 * style.PAGE_WIDTH, first=0.5)
    count = f"{len(shown)} least certain of {len(P):,}" if len(shown) < len(P) else len(P)
    noun = "patient" if len(new.P) == 1 else "patients"
    figure.suptitle(f"{count} new {noun}: {what_is_drawn(data)}")
    return figure


def what_is_drawn(data: ExpressionData) -> str:
    """Return what the colours of `draw_probabilities` say."""
    if len(data.classes) == 2:
        return f"probability of {style.wrap_name(data.classes[1], 40)}"
    return "predicted class, and its probability"


def draw_probabilities(
    P: dict[str, pd.DataFrame], marks: np.ndarray, data: ExpressionData
) -> tuple[plt.Figure, plt.Axes]:
    """Draw the predicted class of patients by colour, its probability by strength; a row each of P,
    patients x classes, with a mark in each cell.

    White is what knows nothing, a probability of 1 / K for each of K classes: of two classes, the
    colours run from that of one to that of the other.
    """
    palette = style.class_palette(data)
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 1.7 + 0.2 * len(P)))
    colors = np.stack([probability_colors(of_row, palette) for of_row in P.values()])
    ax.pcolormesh(colors, edgecolors="white", linewidth=0.5)
    for (row, column), mark in np.ndenumerate(marks):
        is_dark = colors[row, column] @ LUMINANCE < DARK
        ax.text(
            column + 0.5,
            row + 0.5,
            mark,
            color="white" if is_dark else "0.15",
            fontsize="x-small",
            ha="center",
            va="center",
        )
    ax.set_yticks(np.arange(len(P)) + 0.5, list(P))
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)

    if len(palette) == 2:
        negative, positive = palette.values()
        blend = LinearSegmentedColormap.from_list("classes", [negative, "white", positive])
        figure.colorbar(ScalarMappable(Normalize(0, 1), blend), ax=ax).outline.set_visible(False)
    else:
        style.legend_below(
            figure,
            style.color_handles(palette),
            list(palette),
            columns=LEGEND_COLUMNS,
            title="class (the paler, the less certain)",
        )
    return figure, ax


def probability_colors(P: pd.DataFrame, palette: dict[str, str]) -> np.ndarray:
    """Return the colour of the predicted class of each patient, blended with white, patients x
    red, green and blue."""
    own_colors = np.array([to_rgb(color) for color in palette.values()])
    chance = 1 / len(palette)
    strength = (P.max(axis=1).to_numpy()[:, np.newaxis] - chance) / (1 - chance)
    of_patients = own_colors[P.to_numpy().argmax(axis=1)]
    return np.clip(1 - strength * (1 - of_patients), 0, 1)


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
