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

Reference: Golub et al. (1999), Molecular classification of cancer, Science 286:531-537; those of
the intervals are in evaluation.py.
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

import evaluation
from expression_data import ExpressionData
from preprocessing import preprocessing_steps
from reporting import (
    PAGE_WIDTH,
    Report,
    class_palette,
    command_line,
    in_lines,
    load_data,
    make_parser,
    run_parallel,
    whole_number,
)

OUTER_FOLDS, INNER_FOLDS = 5, 4  # of a class's 5 patients, the least, an outer fold leaves 4
# The Brier score is proper (honest probabilities score best), has no ties as accuracy does on 38
# patients, and unlike the log-loss does not punish a tree's 0 and 1 with infinity.
SCORING = "neg_brier_score"
# Genes are selected by percentage, which suits arrays of any size. Of the 3,051 genes here 1.3 %
# are the 40 of Dudoit, Fridlyand & Speed (2002, JASA 97:77). Where several genes split the training
# patients without a mistake, a tree takes any of them: the report says what each would have called.
GRIDS = {
    "Logistic Regression": {"select__percentile": [2, 7, 33], "model__C": [0.01, 0.1, 1.0, 10.0]},
    "Decision Tree": {"select__percentile": [1.3, 10, 100], "model__max_depth": [1, 3]},
    "Random Forest": {"model__max_features": ["sqrt", 0.1]},
    "XGBoost": {"model__n_estimators": [50, 150], "model__max_depth": [1, 3]},
}
MODELS = list(GRIDS)
MAX_SHOWN = 60  # patients in a figure


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "classifier_models")
    for option, default, least, what in (
        ("--repeats", 2, 1, "repetitions of the nested cross-validation"),
        ("--resplits", 20, 2, "other splits of all patients into training and test patients"),
        ("--resamples", 10_000, 100, "bootstrap resamples of the test patients"),
    ):
        text = f"{what} (default: {default:,})"
        count = whole_number(least)
        parser.add_argument(option, type=count, default=default, metavar="N", help=text)
    text = "prediction strength from which on a call is certain (default: 0.3, Golub et al.'s)"
    parser.add_argument("--threshold", type=float, default=0.3, metavar="0-1", help=text)
    args = parser.parse_args(argv)
    if not 0 <= args.threshold <= 1:
        parser.error(f"--threshold: must be from 0 to 1 - found {args.threshold}")
    return args


def build_searches(seed: int, expression: str = "intensity") -> dict[str, GridSearchCV]:
    """Return the four models, unfitted, each a grid search over one `Pipeline`.

    Fit on X, patients x genes in the units of the files, and y of 0 and 1 (the positive class).
    The last step of every pipeline is called "model".
    """
    select, scale = ("select", SelectPercentile(f_classif)), ("scale", StandardScaler())
    boosting = XGBClassifier(
        learning_rate=0.1,
        subsample=0.8,
        colsample_bytree=0.1,
        tree_method="exact",  # thresholds midway between two patients, as the other trees'
        random_state=seed,
        n_jobs=1,
    )
    models = {
        "Logistic Regression": [select, scale, LogisticRegression(max_iter=1_000)],
        "Decision Tree": [
            ("select", SelectPercentile(f_classif)),
            DecisionTreeClassifier(random_state=seed),
        ],
        "Random Forest": [RandomForestClassifier(random_state=seed)],
        "XGBoost": [boosting],
    }
    cv = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    return {
        name: GridSearchCV(
            Pipeline([*preprocessing_steps(expression), *steps[:-1], ("model", steps[-1])]),
            GRIDS[name],
            scoring=SCORING,
            cv=cv,
            error_score="raise",
        )
        for name, steps in models.items()
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
    scores = {"Brier score": -table["mean_test_score"], "sd": table["std_test_score"]}
    return pd.DataFrame({"parameters": table["params"].map(parameter_text), **scores})


def parameter_text(parameters: dict) -> str:
    return ", ".join(f"{name.split('__')[1]}={value}" for name, value in parameters.items())


def genes_asked(pipeline: Pipeline, data: ExpressionData) -> str:
    """Return the names of the genes in the splits of a fitted tree."""
    names = pipeline[:-1].get_feature_names_out(data.X_train.columns)
    return ", ".join(data.gene_names[names[pipeline[-1].feature_importances_ > 0]]) or "no gene"


def draw_confusion_matrices(y: pd.Series, P: pd.DataFrame, classes) -> plt.Figure:
    """Draw the counts, on the colour of the share of their true class."""
    figure, axes = plt.subplots(2, 4, figsize=(PAGE_WIDTH, 3.6))
    classes = [in_lines(name) for name in classes]
    options = {"vmin": 0, "vmax": 1, "cmap": "Greys", "cbar": False, "square": True, "fmt": ""}
    for ax, (name, p) in zip(axes.flat, P.items(), strict=False):
        counts = confusion_matrix(y, p > 0.5)
        shares = counts / counts.sum(axis=1, keepdims=True)
        text = np.char.add(counts.astype(str), np.char.mod("\n%.0f %%", 100 * shares))
        sns.heatmap(shares, annot=text, xticklabels=classes, yticklabels=classes, ax=ax, **options)
        ax.set(title=name)
    axes[-1, -1].axis("off")
    figure.colorbar(axes[0, 0].collections[0], ax=axes, label="share of the true class")
    figure.supxlabel("called", fontsize="medium")
    figure.supylabel("true class", fontsize="medium")
    return figure


def draw_roc_curves(y: pd.Series, P: pd.DataFrame, table: pd.DataFrame) -> plt.Figure:
    """Draw models and baselines apart; `table` holds the AUC of each and its interval."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 5.2), sharey=True)
    for i, (name, p) in enumerate(P.items()):
        false_positive, true_positive, _ = roc_curve(y, p)
        label = "{}: {:.3f} ({:.3f} to {:.3f})".format(name, *table.loc[name])
        baseline, place = divmod(i, len(MODELS))
        axes[baseline].plot(false_positive, true_positive, f"C{i}", lw=5 - place, label=label)
    for ax, title in zip(axes, ("Models", "Baselines"), strict=True):
        ax.set(title=title, xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        ax.label_outer()
    figure.legend(title="ROC AUC (95 % interval)", loc="outside lower center", ncols=2)
    return figure


def draw_decision_tree(pipeline: Pipeline, data: ExpressionData) -> plt.Figure:
    """Draw a fitted tree with gene names, its nodes in the colour of their class."""
    tree, names = pipeline[-1], pipeline[:-1].get_feature_names_out(data.X_train.columns)
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 1 + 1.3 * tree.get_depth()))
    options = {"class_names": list(data.classes), "impurity": False, "precision": 2}
    genes = list(data.gene_names[names])
    for node in plot_tree(tree, feature_names=genes, ax=ax, fontsize=9, **options):
        text, _, label = node.get_text().rpartition("\nclass = ")
        if text:
            light = sns.light_palette(class_palette(data)[label], 4)[1]
            node.get_bbox_patch().set(facecolor=light)
            counts = ", ".join(data.classes) + " = "
            text = text.replace("samples = ", "patients = ").replace("value = ", counts)
            node.set_text(f"{text}\ncalled {label}")
    ax.set_title("Decision tree on log2 intensities standardised over the genes of each patient")
    return figure


def draw_patients(table: pd.DataFrame, P: pd.DataFrame, data, threshold) -> plt.Figure:
    """Draw P of the test patients in the order of `table`, wrong and uncertain calls marked."""
    shown = table.index[:MAX_SHOWN]
    y, P = data.y_test.cat.codes[shown], P.loc[shown]
    calls = table.loc[shown, [f"{name}: call" for name in P]].to_numpy()
    wrong = P.gt(0.5).ne(y, axis=0).to_numpy()
    marks = np.where(wrong, "×", "").astype(object) + np.where(calls == "uncertain", "?", "")
    palette, label = class_palette(data), f"probability of\n{in_lines(data.classes[1], 24)}"
    colours = [palette[data.classes[0]], "white", palette[data.classes[1]]]
    cmap = LinearSegmentedColormap.from_list("classes", colours)
    text = {"annot": np.vstack([np.full(len(shown), ""), marks.T]), "fmt": ""}
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 2.8))
    image = pd.concat([y.rename("true class"), P], axis=1).T
    options = {"cmap": cmap, "vmin": 0, "vmax": 1, "linewidths": 0.5, "cbar_kws": {"label": label}}
    sns.heatmap(image, ax=ax, annot_kws={"fontsize": 7}, **text, **options)
    ax.hlines([1, 1 + len(MODELS)], 0, len(shown), color="black", lw=1.5)
    marked = f"× wrong; ? uncertain: prediction strength below {threshold:g}"
    ax.set(xlabel=f"test patient, the hardest first ({marked})", ylabel="")
    ax.tick_params(axis="x", rotation=90)
    return figure


def draw_spread(scores: pd.DataFrame, table: pd.DataFrame, marks, mark, xlabel) -> plt.Figure:
    """Draw splits x models as bubbles, one a value, with mean, interval, and a mark a model."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 3.2))
    rows, table = np.arange(scores.shape[1]), table.loc[scores.columns]
    for row, name in enumerate(scores):
        values = scores[name].round(9).value_counts()
        label = "splits (area: how many)" if row == 0 else None
        options = {"s": 400 * values / len(scores), "color": "0.8", "lw": 0, "label": label}
        ax.scatter(values.index, [row] * len(values), **options)
    reach = table[["lower", "upper"]].sub(table["mean"], axis=0).abs().to_numpy().T
    label = "mean and its 95 % interval"
    ax.errorbar(table["mean"], rows, xerr=reach, fmt="o", color="black", ms=4, label=label)
    ax.scatter(marks.reindex(scores.columns), rows + 0.25, marker="^", color="C2", label=mark)
    ax.set(xlabel=xlabel, yticks=rows, yticklabels=scores.columns)
    ax.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def one_line(title: str, values: pd.Series) -> str:
    entries = (f"{name} {value:.3g}" for name, value in values.items())
    return f"{title}: {', '.join(entries) or 'none'}"


def report_training(report: Report, data: ExpressionData, models: dict, P, args) -> str:
    """Add what the training patients say: tuning, the tree, and the nested cross-validation."""
    scores, brier = evaluation.score_splits(data.y_train.cat.codes, P), "Brier score"
    table = evaluation.spread(scores, OUTER_FOLDS - 1, 1)
    searches = {name: models[name] for name in MODELS}
    tree = searches["Decision Tree"].best_estimator_
    tuned = -pd.Series({name: search.best_score_ for name, search in searches.items()})
    chosen = {name: parameter_text(search.best_params_) for name, search in searches.items()}
    nested = table.loc[brier, "mean"][MODELS]
    values = pd.DataFrame({"chosen": chosen, f"tuned {brier}": tuned, f"nested {brier}": nested})
    note = (
        f"Grid search on the training patients, {INNER_FOLDS} folds, by the Brier score (lower is "
        "better). The tuned score is\nthe best of its grid: too good on average if not always; the "
        "nested one is of patients kept out of it.\nThe decision tree asks for "
        f"{genes_asked(tree, data)}; the one-gene rule for {genes_asked(models['One gene'], data)}."
    )
    report.add_section("tuning", "Tuning", values.rename_axis("model"), note)
    note = (
        f"Training patients held out in {OUTER_FOLDS} folds, {args.repeats} times over; filter, "
        "selection and tuning repeated inside.\nOver the folds: mean, sd, and 95 % interval of the "
        "mean corrected for overlap (Nadeau & Bengio)."
    )
    shown = ["balanced accuracy", "ROC AUC", brier]
    report.add_section("nested_cv", "Nested cross-validation", table.loc[shown], note)
    report.add_table("tuning", tuning_table(searches))
    report.add_figure("decision_tree", draw_decision_tree(tree, data))
    label = f"{brier} of a held-out fold (lower is better)"
    figure = draw_spread(scores[brier], table.loc[brier], tuned, "tuned score", label)
    report.add_figure("nested_cv", figure)
    return one_line("Nested balanced accuracy", table.loc["balanced accuracy", "mean"])


def report_test(report: Report, data: ExpressionData, P: pd.DataFrame, args) -> str:
    """Add what the test patients say: scores, calls, comparisons, and the patients themselves."""
    y, (negative, positive) = data.y_test.cat.codes, data.classes
    table = evaluation.estimates(y, P, args.resamples, args.seed)
    calls = evaluation.call_table(y, P, args.threshold)
    predictions = evaluation.prediction_table(data, P, MODELS, args.threshold)
    note = (
        f"The {len(y)} test patients, used once. Sensitivity: share of {positive} called "
        f"{positive}; specificity: of {negative} called {negative}.\n95 % intervals: Wilson for "
        "proportions, Newcombe for balanced accuracy, bootstrap within classes for\nROC AUC and "
        "Brier score, which are too narrow where the AUC is near 1."
    )
    report.add_section("test", "Test patients", table, note)
    note = (
        "Fisher's exact test of calls against chance. Certain: calls with a prediction strength "
        f"|2p - 1| of\n{args.threshold:g} or more, set in advance as Golub et al. did for votes."
    )
    report.add_section("calls", "Calls of the test patients", calls, note)
    note = (
        "Genes that split the training patients without a mistake (a tree takes any, as its seed "
        "decides), and\nhow many test patients a threshold midway between the classes calls right."
    )
    single = evaluation.splitting_genes(data, args.expression)
    report.add_section("splitting_genes", "One gene alone", single, note)
    note = "McNemar's exact test on the test patients, not corrected for the number of pairs."
    report.add_section("pairs", "Models in pairs", evaluation.mcnemar_table(y, P), note)
    hard = predictions[predictions["models wrong"] > 0].filter(regex="^class|wrong|probability")
    hard.columns = [column.partition(":")[0] for column in hard]
    note = f"Probability of {positive} under each model, hardest patient first."
    report.add_section("hard_patients", "Test patients that a model misses", hard, note)
    report.add_table("predictions", predictions)
    report.add_figure("confusion_matrices", draw_confusion_matrices(y, P, data.classes))
    report.add_figure("roc_curves", draw_roc_curves(y, P, table.loc["ROC AUC"]))
    report.add_figure("patients", draw_patients(predictions, P, data, args.threshold))
    return one_line(f"Right of {len(y)} test patients", calls["right"])


def report_resplits(report: Report, data: ExpressionData, P: pd.DataFrame, published) -> str:
    """Add what other splits say: of the published split, and of each patient."""
    y, n_train, n_test = data.y_all.cat.codes, len(data.y_train), len(data.y_test)
    all_scores = evaluation.score_splits(y, P)
    scores = all_scores["accuracy"]
    table = evaluation.spread(scores, n_train, n_test).assign(published=published)
    ties = (scores - published).abs() < 1e-9
    table["easier than"] = ((scores < published) & ~ties).mean() + ties.mean() / 2
    note = (
        f"Accuracy on {n_test} patients held out of all {n_train + n_test}, {len(scores)} random "
        "splits with the class counts of the\npublished one, everything repeated inside. Mean, sd, "
        "95 % interval (Nadeau & Bengio); the published\nsplit; share of splits with a lower "
        "accuracy than there, ties half (0.5: neither easy nor hard)."
    )
    report.add_section("resplits", "Re-splits", table, note)
    differences = {
        measure: evaluation.difference_table(all_scores[measure], n_train, n_test)
        for measure in ("accuracy", "Brier score")
    }
    differences = pd.concat(differences, axis=1)
    differences.columns = [" ".join(column) for column in differences]
    note = "Mean difference over the re-splits; p as above, not corrected for the number of pairs."
    report.add_section("differences", "Re-splits: models in pairs", differences, note)
    note = (
        "Missed in more than half of the re-splits that held them out, on average over the models: "
        "possible\nmislabels, or patients unlike the others of their class. Rates of all patients: "
        "resplit_patients.csv."
    )
    missed = evaluation.missed_rates(y, P, MODELS)
    patients = pd.DataFrame({"set": data.sample_set, "class": data.y_all}).join(missed)
    columns = ["set", "class", "held out", *MODELS, "average"]
    suspicious = patients.loc[patients["suspicious"].eq(True), columns]
    report.add_section("suspicious", "Suspicious patients", suspicious, note)
    report.add_table("resplit_patients", patients)
    label = f"accuracy on {n_test} held-out patients"
    report.add_figure("resplits", draw_spread(scores, table, published, "published split", label))
    return one_line("Suspicious patients and how often missed", suspicious["average"])


@command_line
def main(argv=None) -> int:
    args = parse_args(argv)
    data = load_data(args)
    report = Report(args, data, "Telling {1} from {0} by gene expression".format(*data.classes))
    X, y = data.X_train, data.y_train.cat.codes
    baselines = evaluation.build_baselines(args.seed, args.expression)
    fitted = {name: model.fit(X.to_numpy(), y.to_numpy()) for name, model in baselines.items()}
    models = tune_models(X, y, args) | fitted
    other_seed = args.seed ^ 1  # else the outer folds are those the models were tuned on
    folds = RepeatedStratifiedKFold(
        n_splits=OUTER_FOLDS, n_repeats=args.repeats, random_state=other_seed
    ).split(X, y)
    P = evaluation.predict_held_out(models, X, y, list(folds), args, "nested cross-validation")
    lines = [report_training(report, data, models, P, args)]
    if len(data.y_test):
        P = evaluation.predict(models, data.X_test)
        lines.append(report_test(report, data, P, args))
        y_test, y_all = data.y_test.cat.codes, data.y_all.cat.codes
        published = evaluation.score(y_test, P)["accuracy"]
        splits = evaluation.other_splits(y, y_test, args.resplits, args.seed)
        P = evaluation.predict_held_out(models, data.X_all, y_all, splits, args, "re-splits")
        lines.append(report_resplits(report, data, P, published))
    else:
        note = "There are no test patients: no test results, and no re-splits of all patients."
        report.add_section("left_out", "Left out", {}, note)
    report.write("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
