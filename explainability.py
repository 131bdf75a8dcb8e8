"""Which genes tell AML from ALL, and how surely those genes? (Q2)

The four tuned models of `classifier_models.py` are taken apart: SHAP values give each gene's signed
contribution to a patient's output, against the training patients as background.

The trap: an importance list from one fit on 38 patients is mostly luck. So the models are refitted
on many halves of the training patients, and a gene counts only if it keeps coming back. The rule
is fixed beforehand: in each half the genes are ordered by their mean rank over the four models, and
the consensus are those among the first 20 in at least half of the halves. The same refits on
permuted labels say how many genes the rule finds where there is nothing to find. Models rank genes
by their own importance (|coefficient| per standard deviation, impurity decrease, gain), keep the
settings tuned once on the true labels, and get a random state of their own in every refit. Only
then, with the list fixed, are the genes checked on the test patients.

Inputs: the data folder (see expression_data.py).
Written to outputs/explainability/: metrics.txt and metrics.json; genes.csv (everything about every
gene); the figures importances, shap_summary and model_comparison (what each model uses),
selection_frequency, heatmap and top_genes (how surely, and how it looks) and missed_patient.

References: Lundberg et al. (2020), Nature Machine Intelligence 2:56 (SHAP for trees); Meinshausen &
Bühlmann (2010), JRSS B 72:417, and Shah & Samworth (2013), JRSS B 75:55 (complementary halves);
Michiels, Koscielny & Hill (2005), Lancet 365:488 (genes in more than half of the lists); Nogueira,
Sechidis & Brown (2018), JMLR 18(174) (stability index); Golub et al. (1999), Science 286:531.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage
from scipy.special import expit
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

import reporting
from classifier_models import tune_models
from expression_data import ExpressionData
from gene_evidence import (
    MIN_FREQUENCY,
    consensus_lists,
    literature_overlap,
    model_evidence,
    most_missed_patient,
    nogueira_stability,
    own_importance,
    rank_genes,
    resample,
    tabulate_genes,
)
from preprocessing import preprocessing_steps
from reporting import PAGE_WIDTH, Report, class_palette

POOR, EXCELLENT = 0.4, 0.75  # how Nogueira et al. read their index
N_LEADING, N_PANEL = 20, 10  # genes of a table or figure, and of one panel
MODEL_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#000000")  # unlike those of the classes


class Explanation(NamedTuple):
    values: pd.DataFrame  # SHAP values, patients x genes
    base: float  # the mean output over the background
    output: pd.Series  # what ``base + values.sum(axis=1)`` must be
    unit: str


def explain(pipeline: Pipeline, background: pd.DataFrame, X: pd.DataFrame) -> Explanation:
    """Return what makes a fitted pipeline favour the positive class, for the patients of X.

    The SHAP values are interventional; trees of scikit-learn are explained in probability, the
    logistic regression and XGBoost in log-odds.
    """
    with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
        import shap  # takes seconds, and calls what matplotlib 3.11 announces to deprecate

    model = pipeline[-1]
    reference, Z = (pipeline[:-1].transform(part.to_numpy()) for part in (background, X))
    masker = shap.maskers.Independent(reference, max_samples=len(reference))
    explainer = shap.LinearExplainer if hasattr(model, "coef_") else shap.TreeExplainer
    explanation = explainer(model, masker)(Z)
    values, base = explanation.values, explanation.base_values
    if values.ndim == 3:  # trees of scikit-learn: patients x genes x classes, the positive one last
        values, base = values[..., 1], base[..., 1]
    if isinstance(model, XGBClassifier):
        output, unit = model.predict(Z, output_margin=True), "log-odds"
    elif hasattr(model, "decision_function"):
        output, unit = model.decision_function(Z), "log-odds"
    else:
        output, unit = model.predict_proba(Z)[:, 1], "probability"
    values = pd.DataFrame(values, X.index, pipeline[:-1].get_feature_names_out(X.columns))
    return Explanation(values, float(base[0]), pd.Series(output, X.index), unit)


def preprocess(data: ExpressionData, expression: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the log2 values of all patients, and the same with each array standardised.

    The genes are those that pass the variation filter on the training patients.
    """
    steps = Pipeline(preprocessing_steps(expression)).fit(data.X_train.to_numpy())
    genes = pd.Index(steps.get_feature_names_out(data.X_train.columns), name="accession")
    tables = (part.transform(data.X_all.to_numpy()) for part in (steps[:-1], steps))
    return tuple(pd.DataFrame(table, data.X_all.index, genes) for table in tables)


def plot_importances(
    models: dict[str, pd.DataFrame],
    pipelines: dict[str, Pipeline],
    labels: pd.Series,
    palette: dict,
) -> plt.Figure:
    """Draw each model's most important genes; coefficients with their sign."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE_WIDTH, 5))
    for ax, (name, evidence) in zip(axes.flat, models.items(), strict=True):
        first = evidence[evidence["rank"].notna()].nsmallest(N_PANEL, "rank")
        heights, unit = first["importance"], "importance (share of all genes)"
        if hasattr(pipelines[name][-1], "coef_"):
            to_positive = first["pushes_to"] == list(palette)[1]
            heights = heights.where(to_positive, -heights)
            unit = "coefficient (log-odds per SD of the gene)"
        ax.barh(labels[first.index], heights, color=first["pushes_to"].map(palette))
        ax.axvline(0, color="0.3", linewidth=0.6)
        ax.set(title=name, xlabel=unit, ylim=(N_PANEL - 0.5, -0.5))
    add_direction_legend(figure, palette)
    return figure


def add_direction_legend(figure: plt.Figure, palette: dict[str, str]) -> None:
    handles = [Patch(color=color, label=f"towards {name}") for name, color in palette.items()]
    title = "Higher expression pushes   (* gene of the literature)"
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=2)


def plot_shap_summary(
    explanations: dict[str, Explanation], expression: pd.DataFrame, labels: pd.Series, positive: str
) -> plt.Figure:
    """Draw the SHAP values of every training patient for each model's N_PANEL first genes."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE_WIDTH, 5))
    z = (expression - expression.mean()) / expression.std()
    for ax, (name, explained) in zip(axes.flat, explanations.items(), strict=True):
        values = explained.values.loc[expression.index]
        size = values.abs().mean()
        first = size[size > 0].nlargest(N_PANEL).index
        dots = draw_beeswarm(ax, values[first], z)
        ax.set_yticks(range(len(first)), labels[first])
        ax.set(title=name, xlabel=f"SHAP value ({explained.unit} of {positive})")
    figure.colorbar(dots, ax=axes, label="expression (SDs from the training mean)", aspect=50)
    return figure


def draw_beeswarm(ax: plt.Axes, values: pd.DataFrame, z: pd.DataFrame):
    """Draw a dot a patient, in a row a gene: SHAP value, coloured by standardised expression."""
    width = np.abs(values.to_numpy()).max() / 25
    for row, gene in enumerate(values):
        y = row + spread(values[gene], width)
        dots = ax.scatter(values[gene], y, s=5, c=z[gene], vmin=-2, vmax=2, cmap="viridis")
    ax.axvline(0, color="0.3", linewidth=0.6)
    ax.set_ylim(N_PANEL - 0.5, -0.5)
    return dots


def spread(values: pd.Series, width: float) -> pd.Series:
    """Return offsets within 0.4 that keep dots apart whose values differ by less than `width`."""
    crowd = values.groupby((values / width).round()).cumcount()
    return ((crowd + 1) // 2 * (-1) ** crowd * 0.1).clip(-0.4, 0.4)


def plot_model_comparison(
    models: dict[str, pd.DataFrame],
    explanations: dict[str, Explanation],
    labels: pd.Series,
    palette: dict,
) -> plt.Figure:
    """Draw mean |SHAP| side by side for all genes that are among the first of any model."""
    sizes = pd.DataFrame({name: evidence["mean_abs_shap"] for name, evidence in models.items()})
    shares = sizes / sizes.sum()
    first = {
        gene for name in sizes for gene in sizes[name][sizes[name] > 0].nlargest(N_PANEL).index
    }
    genes = shares.loc[shares.index.isin(first)].mean(axis=1).sort_values(ascending=False).index
    figure, axes = plt.subplots(
        1, len(models), sharey=True, figsize=(PAGE_WIDTH, 1.2 + 0.16 * len(genes))
    )
    for ax, (name, evidence) in zip(axes, models.items(), strict=True):
        shown = evidence.loc[genes]
        ax.barh(
            labels[genes],
            shown["mean_abs_shap"],
            color=shown["pushes_to"].map(palette).fillna("0.5"),
        )
        ax.set(title=name, xlabel=f"mean |SHAP|\n({explanations[name].unit})")
        ax.margins(y=0.01)
    ax.invert_yaxis()
    add_direction_legend(figure, palette)
    return figure


def plot_frequencies(
    leading: pd.DataFrame, models: dict[str, pd.DataFrame], labels: pd.Series, chance: float
) -> plt.Figure:
    """Draw how often the leading genes are among the first, of all models together and of each."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 4.5))
    y = labels[leading.index]
    ax.barh(y, leading["consensus_frequency"], color="0.85", label="mean rank of the four models")
    for (name, evidence), marker, color in zip(models.items(), "os^D", MODEL_COLORS, strict=True):
        frequency = evidence.loc[leading.index, "frequency"]
        ax.plot(frequency, y, marker, color=color, markersize=4, label=name)
    ax.axvline(MIN_FREQUENCY, color="0.3", linestyle="--", label="needed for the consensus")
    ax.axvline(chance, color="0.3", linestyle=":", label="most reached with permuted labels")
    ax.set(xlabel="share of the halves with the gene among the first", xlim=(0, 1))
    ax.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def plot_heatmap(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame, labels: pd.Series
) -> plt.Figure:
    """Draw the leading genes in all patients, both clustered (Ward); consensus genes in bold."""
    train = expression.loc[data.X_train.index, leading.index]
    z = (expression[leading.index] - train.mean()) / train.std()
    tree = linkage(z, "ward")
    z = z.iloc[leaves_list(tree), leaves_list(linkage(z.T, "ward"))]
    bars = {"class": data.y_all, "subtype": reporting.patient_groups(data), "set": data.sample_set}
    palette = reporting.group_palette(data) | class_palette(data) | {"train": "0.3", "test": "0.8"}
    colors = [[to_rgb(palette[name]) for name in bar[z.index]] for bar in bars.values()]

    figure, axes = plt.subplots(3, 1, figsize=(PAGE_WIDTH, 5.5), height_ratios=(1, 0.6, 8))
    dendrogram(tree, ax=axes[0], no_labels=True, color_threshold=0, above_threshold_color="0.3")
    axes[0].axis("off")
    axes[1].imshow(colors, aspect="auto", interpolation="none")
    axes[1].set_yticks(range(len(bars)), bars)
    axes[1].set_xticks([])
    image = axes[2].imshow(z.T, aspect="auto", cmap="PRGn_r", vmin=-2.5, vmax=2.5)
    axes[2].set_yticks(range(z.shape[1]), labels[z.columns], fontsize=7)
    axes[2].set_xticks(range(len(z)), z.index, fontsize=5, rotation=90)
    axes[2].set_xlabel("patient")
    for gene, tick in zip(z.columns, axes[2].get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if leading.loc[gene, "consensus"] else "normal")
    figure.colorbar(image, ax=axes, label="SDs from the training mean", aspect=50)
    handles = [Patch(color=color, label=name) for name, color in palette.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def plot_top_genes(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame, labels: pd.Series
) -> plt.Figure:
    """Draw the first eight genes in every patient, by class, training and test apart."""
    figure, axes = plt.subplots(2, 4, figsize=(PAGE_WIDTH, 4.5), sharex=True)
    groups = data.y_all.groupby([data.sample_set, data.y_all], observed=True, sort=False).groups
    for ax, gene in zip(axes.flat, leading.index[:8], strict=False):
        width = np.ptp(expression[gene]) / 25
        for x, ((_, label), patients) in enumerate(sorted(groups.items(), reverse=True)):
            values = expression.loc[patients, gene]
            color = class_palette(data)[label]
            ax.scatter(x + spread(values, width), values, s=6, color=color)
            ax.hlines(values.median(), x - 0.4, x + 0.4, color="0.2")
        ax.set_title(labels[gene], fontsize=8)
        ax.set_xticks(range(len(groups)), [f"{c}\n{s}" for s, c in sorted(groups, reverse=True)])
        ax.tick_params(labelsize=6)
    figure.supylabel("expression (log2, each array standardised)", fontsize=8)
    return figure


def plot_missed_patient(
    explanations: dict[str, Explanation], patient, labels: pd.Series, palette: dict
) -> plt.Figure:
    """Draw how each model's genes lead from its mean output to its output for one patient."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE_WIDTH, 5))
    for ax, (name, explained) in zip(axes.flat, explanations.items(), strict=True):
        values = explained.values.loc[patient]
        first = values[values != 0].abs().nlargest(N_PANEL - 2).index
        rest = values.drop(first)
        steps = pd.concat(
            [
                pd.Series({f"{(rest != 0).sum()} other genes": rest.sum()}),
                values[first][::-1].rename(labels),
            ]
        )
        starts = explained.base + steps.cumsum().shift(fill_value=0.0)
        ax.barh(
            steps.index,
            steps,
            left=starts,
            color=np.where(steps > 0, *list(palette.values())[::-1]),
        )
        ax.axvline(0.5 if explained.unit == "probability" else 0, color="0.3", linestyle=":")
        ax.set(
            title=f"{name}: {explained.output[patient]:.2f}",
            xlabel=f"{explained.unit} of {list(palette)[1]}",
            ylim=(-0.5, N_PANEL - 0.5),
        )
    handles = [Patch(color=color, label=f"pulls towards {name}") for name, color in palette.items()]
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="the call changes"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def report_models(report: Report, explanations: dict, models: dict, gene_names: pd.Series) -> None:
    """Write that the SHAP values add up, and each model's first genes."""
    rows = {
        name: {
            "unit": e.unit,
            "base value": e.base,
            "largest error": float((e.values.sum(axis=1) + e.base - e.output).abs().max()),
            "genes used": int(models[name]["rank"].notna().sum()),
        }
        for name, e in explanations.items()
    }
    note = (
        "Base value plus SHAP values must be the model's output, for each patient. Background: the "
        "training patients, so the base value is the mean output over them."
    )
    report.add_section("additivity", "SHAP values", pd.DataFrame.from_dict(rows, "index"), note)
    first = {
        name: list(
            gene_names[evidence["mean_abs_shap"].loc[lambda size: size > 0].nlargest(5).index]
        )
        for name, evidence in models.items()
    }
    report.add_section("first_genes", "Largest mean |SHAP| over the training patients", first)


def report_stability(report: Report, lists: dict[str, np.ndarray], args) -> None:
    """Write how alike the lists of the halves are; `lists` are halves x genes by name."""
    rows = {name: (np.mean(s.sum(axis=1)), *nogueira_stability(s)) for name, s in lists.items()}
    table = pd.DataFrame.from_dict(
        rows, "index", columns=["genes a half", "stability", "low", "high"]
    )
    bounds = [-np.inf, POOR, EXCELLENT, np.inf]
    table["reading"] = pd.cut(
        table["stability"], bounds, labels=["poor", "intermediate", "excellent"]
    ).astype(object)
    note = (
        f"Nogueira's index over {args.subsamples} halves of the training patients, with its 95 % "
        f"interval; 1 is the same {args.top} genes in every half, 0 is chance. Below {POOR}: poor; "
        f"above {EXCELLENT}: excellent. Genes a model does not use are not selected."
    )
    report.add_section("stability", f"Stability of the first {args.top} genes", table, note)


def report_consensus(report: Report, table: pd.DataFrame, frequency: np.ndarray, args) -> None:
    """Write how many genes pass the rule, how many by chance, and the evidence for each."""
    found = (frequency >= MIN_FREQUENCY).sum(axis=1)
    values = {
        "consensus genes": int(found[0]),
        "expected by chance": float(found[1:].mean()),
        "with permuted labels": found[1:].tolist(),
        "highest frequency by chance": float(frequency[1:].max()),
    }
    note = (
        f"Rule, fixed beforehand: among the first {args.top} by mean rank over the models, in at "
        f"least {MIN_FREQUENCY:.0%} of {args.subsamples} halves. By chance: the same with the "
        f"training labels permuted, {args.permutations} times."
    )
    report.add_section("consensus", "Consensus", values, note)
    shown = table.reset_index().set_index("gene").head(N_LEADING)
    shown = shown.drop(columns=["description", "welch_t", "welch_p", "auc_p"])
    note = (
        "by_chance: genes reaching this frequency with permuted labels, on average. welch_q: "
        "Benjamini-Hochberg over all genes. auc: in the direction seen in training, 0.5 is chance."
    )
    report.add_section("leading_genes", "The most frequent genes", shown, note)


def report_test(report: Report, table: pd.DataFrame) -> None:
    """Write how the lists, fixed before, fare on the test patients."""
    groups = {"consensus": table[table["consensus"]], "most frequent": table.head(N_LEADING)}
    rows = {}
    for name, genes in (groups | {"all genes (baseline)": table}).items():
        same = np.sign(genes["signal_to_noise"]) == np.sign(genes["test_signal_to_noise"])
        rows[name] = (
            len(genes),
            int(same.sum()),
            genes["auc"].median(),
            genes["test_auc"].median(),
        )
    columns = ["genes", "same direction", "median AUC, training", "median AUC, test"]
    table = pd.DataFrame.from_dict(rows, "index", columns=columns)
    report.add_section("test", "The lists on the test patients", table)


def report_missed(report: Report, explanations: dict, P: pd.DataFrame, patient, data) -> None:
    """Write which genes pull one patient to the other class."""
    label = data.y_test[patient]
    sign = 1 if label == data.classes[0] else -1
    values = {
        "patient": str(patient),
        "class": label,
        "missed by": f"{((P.loc[patient] > 0.5) == (sign > 0)).sum()} of {P.shape[1]} models",
    }
    for name, explained in explanations.items():
        pulls = (sign * explained.values.loc[patient]).nlargest(5)
        genes = ", ".join(data.gene_names[pulls.index[pulls > 0]]) or "none"
        values[name] = (
            f"probability of {data.classes[1]} {P.loc[patient, name]:.2f}; misled by {genes}"
        )
    report.add_section("missed_patient", "The test patient most models miss", values)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = reporting.make_parser(__doc__, "explainability")
    for option, least, default, what in (
        ("--subsamples", 2, 40, "halves of the training patients to refit on, an even number"),
        ("--permutations", 1, 4, "permuted labels to do all of that with"),
        ("--top", 1, 20, "how many genes count as a ranking's first"),
    ):
        text, count = f"{what} (default: {default})", reporting.whole_number(least)
        parser.add_argument(option, type=count, default=default, metavar="N", help=text)
    args = parser.parse_args(argv)
    if args.subsamples % 2:
        parser.error(f"--subsamples: must be even, halves come in pairs - found {args.subsamples}")
    return args


@reporting.command_line
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    data = reporting.load_data(args)
    report = Report(args, data, "Which genes decide, and how surely")
    y = data.y_train.cat.codes
    searches = tune_models(data.X_train, y, args)
    pipelines = {name: search.best_estimator_ for name, search in searches.items()}
    log2, expression = preprocess(data, args.expression)
    genes = expression.columns
    explanations = {name: explain(p, data.X_train, data.X_all) for name, p in pipelines.items()}

    importances = resample(pipelines, data.X_train[genes], y.to_numpy(), args)
    ranks = rank_genes(importances)
    selected = (ranks[0] <= args.top) & (importances[0] > 0)
    lists = consensus_lists(ranks, args.top)
    frequency = lists.mean(axis=1)
    models = {
        name: model_evidence(
            own_importance(pipelines[name], data.X_train.columns)[genes],
            explanations[name].values,
            expression.loc[y.index],
            ranks[0, :, i],
            selected[:, i],
            data.classes,
        )
        for i, name in enumerate(pipelines)
    }
    table = tabulate_genes(data, expression, log2, frequency)
    leading = table.head(N_LEADING)
    labels = table["gene"] + np.where(table.get("literature", "") != "", " *", "")
    palette = class_palette(data)
    report_models(report, explanations, models, table["gene"])
    lists_by_name = dict(zip(pipelines, selected.swapaxes(0, 1), strict=True))
    report_stability(report, lists_by_name | {"All four, by mean rank": lists[0]}, args)
    report_consensus(report, table, frequency, args)
    for name, figure in {
        "importances": plot_importances(models, pipelines, labels, palette),
        "shap_summary": plot_shap_summary(
            explanations, expression.loc[y.index], labels, data.classes[1]
        ),
        "model_comparison": plot_model_comparison(models, explanations, labels, palette),
        "selection_frequency": plot_frequencies(leading, models, labels, frequency[1:].max()),
        "heatmap": plot_heatmap(data, expression, leading, labels),
        "top_genes": plot_top_genes(data, expression, leading, labels),
    }.items():
        report.add_figure(name, figure)
    if data.informative_genes is not None:
        known, firsts = (
            data.informative_genes.index,
            {
                name: evidence[evidence["rank"] <= args.top].index
                for name, evidence in models.items()
            },
        )
        firsts |= {
            "signal-to-noise": table["signal_to_noise"].abs().nlargest(args.top).index,
            "consensus": table.index[table["consensus"]],
        }
        report.add_section(
            "literature",
            "Overlap with the literature's genes",
            literature_overlap(firsts, known, genes),
            "p: hypergeometric",
        )
    if len(data.y_test):
        report_test(report, table)
        P = pd.DataFrame(
            {
                n: e.output if e.unit == "probability" else expit(e.output)
                for n, e in explanations.items()
            }
        ).loc[data.y_test.index]
        patient = most_missed_patient(P, data.y_test)
        report_missed(report, explanations, P, patient, data)
        report.add_figure(
            "missed_patient", plot_missed_patient(explanations, patient, labels, palette)
        )
    else:
        report.add_section(
            "left_out",
            "Left out",
            {},
            "There are no test patients: the genes are not checked on any, and none is missed.",
        )
    by_model = pd.concat({name.lower().replace(" ", "_"): m for name, m in models.items()}, axis=1)
    by_model.columns = ["_".join(column) for column in by_model]
    report.add_table(
        "genes", table.join(by_model).join(pd.DataFrame(index=data.X_train.columns), how="outer")
    )
    report.write("summary")
    return 0


if __name__ == "__main__":
    sys.exit(main())
