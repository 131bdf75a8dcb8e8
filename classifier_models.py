"""Can gene expression tell AML from ALL, and how sure can we be? (Q1)

Four models, each one scikit-learn `Pipeline` tuned by cross-validated grid search on the training
patients, beside three baselines: the majority class, the best single gene, and the weighted
voting of Golub et al. The test patients are looked at once, at the end.

The trap: with 7,129 genes and 38 patients, anything that learns outside the folds - a filter, a
gene selection, a scaling - makes noise look like a perfect classifier. Here everything that learns
is a step of the pipeline and is fitted anew inside every fold. And 34 test patients cannot tell
good models apart: the whole procedure is repeated on folds of the training patients (nested
cross-validation) and on other splits of all patients.

Input: a data folder (see expression_data.py). Written to outputs/classifier_models/:
    metrics.txt, metrics.json                  every number, its interval, its baseline
    tuning.csv                                 every grid point and its score
    predictions.csv, resplit_patients.csv      every patient under every model
    confusion_matrices, roc_curves, patients   figures: the test patients
    decision_tree, nested_cv, resplits         figures: the tree; how sure it all is

References: Golub et al. (1999) Science 286:531 (weighted voting, prediction strength); Nadeau &
Bengio (2003) Machine Learning 52:239 (interval over re-splits); Newcombe (1998) Statistics in
Medicine 17:857 and 17:873 (intervals of proportions and of their sums).
"""

import argparse
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectPercentile, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, roc_curve
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, plot_tree
from xgboost import XGBClassifier

from evaluation import (
    build_baselines,
    call_table,
    estimates,
    mcnemar_table,
    missed_rates,
    other_splits,
    positive_probability,
    predict_held_out,
    score,
    score_splits,
    spread,
    strength,
)
from expression_data import DataError, ExpressionData
from preprocessing import preprocessing_steps
from reporting import (
    PAGE_WIDTH,
    Report,
    class_palette,
    command_line,
    load_data,
    make_parser,
    run_parallel,
    whole_number,
)

FOLDS = 5  # of the tuning, and of the nested cross-validation around it
# The Brier score is proper (honest probabilities score best), has no ties as accuracy does on 38
# patients, and unlike the log-loss does not punish a tree's 0 and 1 with infinity.
SCORING = "neg_brier_score"
GRIDS = {
    "Logistic Regression": {"select__percentile": [2, 7, 33], "model__C": [0.01, 0.1, 1.0, 10.0]},
    "Decision Tree": {"model__max_depth": [1, 2, 3], "model__min_samples_leaf": [1, 3]},
    "Random Forest": {"model__max_features": ["sqrt", 0.1]},
    "XGBoost": {"model__n_estimators": [50, 150], "model__max_depth": [1, 3]},
}
MODELS = list(GRIDS)
MIN_PER_CLASS = {"training": 7, "test": 2}  # 7 leave one for each inner fold; a bootstrap needs 2
MAX_SHOWN = 60  # patients in a figure


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "classifier_models")
    for option, default, least, what in (
        ("--repeats", 2, 1, "repetitions of the nested cross-validation"),
        ("--resplits", 20, 2, "other splits of all patients into training and test patients"),
        ("--resamples", 2_000, 100, "bootstrap resamples of the test patients"),
    ):
        text = f"{what} (default: {default})"
        count = whole_number(least)
        parser.add_argument(option, type=count, default=default, metavar="N", help=text)
    text = "prediction strength from which on a call is certain (default: 0.3, Golub et al.'s)"
    parser.add_argument("--threshold", type=float, default=0.3, metavar="0-1", help=text)
    args = parser.parse_args(argv)
    if not 0 <= args.threshold <= 1:
        parser.error(f"--threshold: must be from 0 to 1 - found {args.threshold}")
    return args


def check_class_sizes(data: ExpressionData) -> None:
    """Raise DataError when folds or intervals would run out of patients of a class."""
    for name, y in (("training", data.y_train), ("test", data.y_test)):
        counts = y.value_counts()
        if len(y) and counts.min() < MIN_PER_CLASS[name]:
            raise DataError(
                f"{name} labels: must have {MIN_PER_CLASS[name]} patients or more of each class - "
                f"found {counts.min()} {counts.idxmin()}; add patients"
            )


def build_searches(seed: int, expression: str = "intensity") -> dict[str, GridSearchCV]:
    """Return the four models, unfitted, each a grid search over one `Pipeline`.

    Fit on X, patients x genes in the units of the files, and y of 0 and 1 (the positive class).
    The last step of every pipeline is called "model".
    """
    boosting = XGBClassifier(
        learning_rate=0.1,
        subsample=0.8,
        colsample_bytree=0.1,
        random_state=seed,
        n_jobs=1,
        tree_method="exact",
    )
    steps = {
        "Logistic Regression": [
            ("select", SelectPercentile(f_classif)),
            ("scale", StandardScaler()),
            ("model", LogisticRegression(max_iter=1_000)),
        ],
        "Decision Tree": [("model", DecisionTreeClassifier(random_state=seed))],
        "Random Forest": [("model", RandomForestClassifier(random_state=seed))],
        "XGBoost": [("model", boosting)],
    }
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    pipelines = {name: Pipeline([*preprocessing_steps(expression), *steps[name]]) for name in GRIDS}
    return {
        name: GridSearchCV(pipeline, GRIDS[name], scoring=SCORING, cv=cv, error_score="raise")
        for name, pipeline in pipelines.items()
    }


def tune_models(X: pd.DataFrame, y: pd.Series, args: argparse.Namespace) -> dict[str, GridSearchCV]:
    """Return the four models, tuned and refitted on the patients of X and y.

    The same patients and seed give the same fitted models in every script. They are fitted on
    arrays (scikit-learn checks a DataFrame column by column, which takes longer than the fit);
    ``pipeline[:-1].get_feature_names_out(X.columns)`` names what reaches a model.
    """
    searches = build_searches(args.seed, args.expression)
    tasks = [(search, X.to_numpy(), y.to_numpy()) for search in searches.values()]
    return dict(zip(searches, run_parallel(_fit, tasks, args, "tuning"), strict=True))


def _fit(search: GridSearchCV, X: np.ndarray, y: np.ndarray) -> GridSearchCV:
    return search.fit(X, y)


def tuning_table(searches: dict[str, GridSearchCV]) -> pd.DataFrame:
    """Return every grid point with the mean and sd of its Brier score over the inner folds."""
    tables = {name: pd.DataFrame(search.cv_results_) for name, search in searches.items()}
    table = pd.concat(tables, names=["model"]).droplevel(1)
    return pd.DataFrame(
        {
            "parameters": table["params"].map(parameter_text),
            "Brier score": -table["mean_test_score"],
            "sd": table["std_test_score"],
            "rank": table["rank_test_score"],
        }
    )


def parameter_text(parameters: dict) -> str:
    return ", ".join(f"{name.split('__')[1]}={value}" for name, value in parameters.items())


def genes_asked(pipeline: Pipeline, data: ExpressionData) -> str:
    """Return the names of the genes in the splits of a fitted tree."""
    names = pipeline[:-1].get_feature_names_out(data.X_train.columns)
    return ", ".join(data.gene_names[names[pipeline[-1].feature_importances_ > 0]]) or "no gene"


def prediction_table(data: ExpressionData, P: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return what each model says of each test patient and how surely, the hardest first."""
    y, (negative, positive) = data.y_test.cat.codes, data.classes
    wrong = P[MODELS].gt(0.5).ne(y, axis=0).sum(axis=1)
    columns = {"class": data.y_test, "models wrong": wrong}
    for name, p in P.items():
        call = np.where(p > 0.5, positive, negative)
        columns[f"{name}: probability of {positive}"] = p
        columns[f"{name}: prediction strength"] = strength(p)
        columns[f"{name}: call"] = np.where(strength(p) < threshold, "uncertain", call)
    of_truth = P[MODELS].mean(axis=1).sub(1 - y).abs()
    order = np.lexsort([of_truth, -wrong])
    return pd.DataFrame(columns).iloc[order]


def draw_confusion_matrices(y: pd.Series, P: pd.DataFrame, classes) -> plt.Figure:
    """Draw counts, and the share of the true class in the same colours everywhere."""
    figure, axes = plt.subplots(2, 4, figsize=(PAGE_WIDTH, 3.8))
    for ax, (name, p) in zip(axes.flat, P.items(), strict=False):
        counts = confusion_matrix(y, p > 0.5)
        shares = counts / counts.sum(axis=1, keepdims=True)
        text = np.char.add(counts.astype(str), np.char.mod("\n%.0f %%", 100 * shares))
        options = {"vmin": 0, "vmax": 1, "cmap": "Greys", "cbar": False, "square": True}
        sns.heatmap(shares, annot=text, fmt="", ax=ax, **options)
        ax.set(title=name, xlabel="called", ylabel="true class")
        ax.set(xticklabels=classes, yticklabels=classes)
    axes[-1, -1].axis("off")
    colours = axes[0, 0].collections[0]
    figure.colorbar(colours, ax=axes[-1, -1], label="share of the true class", location="left")
    return figure


def draw_roc_curves(y: pd.Series, P: pd.DataFrame, table: pd.DataFrame) -> plt.Figure:
    """Draw models and baselines apart; `table` holds the AUC of each and its interval."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 4), sharey=True)
    baselines = [name for name in P if name not in MODELS]
    for ax, names, title in zip(axes, (MODELS, baselines), ("Models", "Baselines"), strict=True):
        for i, name in enumerate(names):
            false_positive, true_positive, _ = roc_curve(y, P[name])
            label = "{}\n{:.3f} ({:.3f} to {:.3f})".format(name, *table.loc[name])
            ax.plot(false_positive, true_positive, lw=6 - 1.5 * i, label=label)
        ax.plot([0, 1], [0, 1], ":", color="0.6", lw=1)
        ax.set(title=title, xlabel="1 - specificity", aspect="equal")
        ax.legend(title="AUC (95 % interval)", loc="lower right")
    axes[0].set(ylabel="sensitivity")
    return figure


def draw_decision_tree(pipeline: Pipeline, data: ExpressionData) -> plt.Figure:
    """Draw a fitted tree with gene names, its nodes in the colour of their class."""
    tree, names = pipeline[-1], pipeline[:-1].get_feature_names_out(data.X_train.columns)
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 1 + 1.3 * tree.get_depth()))
    options = {"class_names": list(data.classes), "impurity": False, "precision": 2}
    genes = list(data.gene_names[names])
    for node in plot_tree(tree, feature_names=genes, ax=ax, fontsize=9, **options):
        label = node.get_text().rpartition("class = ")[2]
        if node.get_bbox_patch() and label in data.classes:
            node.get_bbox_patch().set(facecolor=class_palette(data)[label], alpha=0.4)
    ax.set_title("Expression: log2 of the intensity, standardised over the genes of each patient")
    return figure


def draw_patients(table: pd.DataFrame, P: pd.DataFrame, data: ExpressionData) -> plt.Figure:
    """Draw P of the test patients in the order of `table`, wrong and uncertain calls marked."""
    shown = table.index[:MAX_SHOWN]
    y, P = data.y_test.cat.codes[shown], P.loc[shown]
    calls = table.loc[shown, [f"{name}: call" for name in P]].to_numpy()
    wrong = P.gt(0.5).ne(y, axis=0).to_numpy()
    marks = np.where(wrong, "×", "") + np.where(calls == "uncertain", "?", "").astype(object)
    blank = np.full((len(shown), 1), "", dtype=object)
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 2.8))
    palette = class_palette(data)
    colours = [palette[data.classes[0]], "white", palette[data.classes[1]]]
    sns.heatmap(
        pd.concat([y.rename("true class"), P], axis=1).T,
        annot=np.hstack([blank, marks]).T,
        fmt="",
        cmap=LinearSegmentedColormap.from_list("classes", colours),
        vmin=0,
        vmax=1,
        linewidths=0.5,
        cbar_kws={"label": f"probability of {data.classes[1]}"},
        ax=ax,
    )
    ax.hlines([1, 1 + len(MODELS)], 0, len(shown), color="black", lw=1.5)
    ax.set(xlabel="test patient, the hardest first (× wrong, ? uncertain)", ylabel="")
    ax.tick_params(axis="x", rotation=90)
    return figure


def draw_spread(scores: pd.DataFrame, table: pd.DataFrame, marks: pd.Series, mark: str, xlabel):
    """Draw splits x models as bubbles, one a value, with mean, interval, and a mark a model."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 3.2))
    for row, name in enumerate(scores):
        values = scores[name].round(9).value_counts()
        sizes = 400 * values / len(scores)
        ax.scatter(values.index, [row] * len(values), s=sizes, color="0.8", lw=0)
    rows, table = np.arange(scores.shape[1]), table.loc[scores.columns]
    reach = np.abs(table[["lower", "upper"]].sub(table["mean"], axis=0)).T.to_numpy()
    label = "mean and its 95 % interval"
    ax.errorbar(table["mean"], rows, xerr=reach, fmt="o", color="black", ms=4, label=label)
    ax.scatter(marks.reindex(scores.columns), rows + 0.25, marker="^", color="C2", label=mark)
    ax.set(xlabel=xlabel, yticks=rows, yticklabels=scores.columns)
    ax.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def report_training(report: Report, data: ExpressionData, models: dict, P, args) -> None:
    """Add what the training patients say: tuning, the tree, and the nested cross-validation."""
    scores = score_splits(data.y_train.cat.codes, P)
    table, brier = spread(scores, FOLDS - 1, 1), "Brier score"
    searches = {name: models[name] for name in MODELS}
    tuned = -pd.Series({name: search.best_score_ for name, search in searches.items()})
    tree = searches["Decision Tree"].best_estimator_
    chosen = {name: parameter_text(search.best_params_) for name, search in searches.items()}
    nested = table.loc[brier, "mean"][MODELS]
    values = pd.DataFrame({"chosen": chosen, f"tuned {brier}": tuned, f"nested {brier}": nested})
    note = (
        "Grid search on the training patients, scored by the Brier score (lower is better). The\n"
        "tuned score is the best of its grid and therefore optimistic; the nested one is honest.\n"
        f"The decision tree asks for {genes_asked(tree, data)}, the one-gene rule for "
        f"{genes_asked(models['One gene'], data)}."
    )
    report.add_section("tuning", "Tuning", values.rename_axis("model"), note)
    note = (
        f"Training patients, held out in {FOLDS} folds, {args.repeats} times over; filter, "
        "selection and tuning repeated\ninside each. Over the folds: mean, sd, and the corrected "
        "interval of Nadeau and Bengio."
    )
    measures = ["balanced accuracy", "ROC AUC", brier]
    report.add_section("nested_cv", "Nested cross-validation", table.loc[measures], note)
    report.add_table("tuning", tuning_table(searches))
    report.add_figure("decision_tree", draw_decision_tree(tree, data))
    label = f"{brier} of a held-out fold (lower is better)"
    figure = draw_spread(scores[brier], table.loc[brier], tuned, "tuned score", label)
    report.add_figure("nested_cv", figure)


def report_test(report: Report, data: ExpressionData, P: pd.DataFrame, args) -> pd.DataFrame:
    y, n = data.y_test.cat.codes, len(data.y_test)
    table = estimates(y, P, args.resamples, args.seed)
    predictions = prediction_table(data, P, args.threshold)
    report.add_table("predictions", predictions)
    report.add_figure("confusion_matrices", draw_confusion_matrices(y, P, data.classes))
    report.add_figure("roc_curves", draw_roc_curves(y, P, table.loc["ROC AUC"]))
    report.add_figure("patients", draw_patients(predictions, P, data))
    note = (
        f"The {n} test patients, looked at once. Sensitivity is the share of {data.classes[1]}, "
        f"specificity of {data.classes[0]} recognised.\nIntervals (95 %): Wilson for proportions, "
        "Newcombe for balanced accuracy, bootstrap within classes\nfor ROC AUC and Brier score. "
        "An AUC of 1 has the bootstrap interval 1 to 1, which is too narrow."
    )
    report.add_section("test", "Test patients", table, note)
    note = (
        f"Fisher: exact test of the confusion matrix against chance. Certain: prediction strength\n"
        f"|2p - 1| of {args.threshold:g} or more, as Golub et al. chose for their votes."
    )
    calls = call_table(y, P, args.threshold)
    report.add_section("calls", "Calls of the test patients", calls, note)
    note = "McNemar's exact test on the test patients, not corrected for the number of pairs."
    report.add_section("mcnemar", "Models in pairs", mcnemar_table(y, P), note)
    hard = predictions[predictions["models wrong"] > 0].filter(regex="^class|wrong|probability")
    hard.columns = [column.partition(":")[0] for column in hard]
    note = f"Probability of {data.classes[1]}; all test patients are in predictions.csv."
    report.add_section("hard", "Test patients a model misses", hard, note)
    return table


def report_resplits(report: Report, data: ExpressionData, P: pd.DataFrame, published) -> None:
    y = data.y_all.cat.codes
    scores = score_splits(y, P)["accuracy"]
    n_train, n_test = len(data.y_train), len(data.y_test)
    table = spread(scores, n_train, n_test).assign(published=published)
    table["as low or lower"] = (scores <= published + 1e-9).mean()
    missed = missed_rates(y, P)
    mean = missed[MODELS].mean(axis=1)
    missed = missed.assign(**{"mean of the models": mean, "suspicious": mean > 0.5})
    patients = pd.DataFrame({"set": data.sample_set, "class": data.y_all}).join(missed)
    report.add_table("resplit_patients", patients)
    note = (
        f"{len(scores)} random splits of all {len(y)} patients into {n_train} and {n_test}, with "
        "the class counts of the published\nsplit; everything repeated inside. Accuracy on the "
        "held-out part, with the corrected interval of\nNadeau and Bengio; beside it the "
        "published split, and the share of re-splits no better than it."
    )
    report.add_section("resplits", "Re-splits", table, note)
    note = (
        "Missed by the four models in more than half of the re-splits that held them out, on "
        "average:\npossible mislabels, or patients unlike the others of their class."
    )
    suspicious = patients[patients["suspicious"].eq(True)].drop(columns="suspicious")
    report.add_section("suspicious", "Suspicious patients", suspicious, note)
    xlabel = f"accuracy on {n_test} held-out patients"
    report.add_figure("resplits", draw_spread(scores, table, published, "published split", xlabel))


@command_line
def main(argv=None) -> int:
    args = parse_args(argv)
    data = load_data(args)
    check_class_sizes(data)
    report = Report(args, data, "Telling {1} from {0} by gene expression".format(*data.classes))
    X, y = data.X_train, data.y_train.cat.codes
    models = tune_models(X, y, args) | {
        name: model.fit(X.to_numpy(), y.to_numpy())
        for name, model in build_baselines(args.seed, args.expression).items()
    }
    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=args.repeats, random_state=args.seed)
    P = predict_held_out(models, X, y, list(folds.split(X, y)), args, "nested cross-validation")
    report_training(report, data, models, P, args)
    if len(data.y_test):
        X_test, y_test = data.X_test, data.y_test.cat.codes
        P = {name: positive_probability(m, X_test.to_numpy()) for name, m in models.items()}
        P = pd.DataFrame(P, X_test.index)
        report_test(report, data, P, args)
        splits = other_splits(y, y_test, args.resplits, args.seed)
        P_resplits = predict_held_out(
            models, data.X_all, data.y_all.cat.codes, splits, args, "re-splits"
        )
        report_resplits(report, data, P_resplits, score(y_test, P)["accuracy"])
    else:
        note = "There are no test patients: no test results, and no re-splits of all patients."
        report.add_section("left_out", "Left out", {}, note)
    report.write("summary")
    return 0


if __name__ == "__main__":
    sys.exit(main())
