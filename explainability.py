"""Which genes tell AML from ALL, and how surely those genes? (Q2)

The four tuned models of `classifier_models.py` are taken apart: SHAP values give each gene's signed
contribution to a patient's output, against the training patients as background.

The trap: an importance list from one fit on 38 patients is mostly luck. So the models are refitted
on many halves of the training patients, and a gene counts only if it keeps coming back. One rule,
which knows no test patient: in each half the genes are ordered by their mean rank over the models;
the consensus are those among the first 20 in at least half of the halves. The same refits on
permuted labels say how many genes the rule finds where there is nothing to find; they do not
account for the other rules that were tried on the training patients. Models rank genes by their own
importance (|coefficient| per standard deviation, impurity decrease, gain), those they do not use
last, so that the mean rank asks first how many models use a gene. They keep the settings tuned once
on the true labels, and get a random state of their own in every refit. Only then, with the list
fixed, are the genes checked on the test patients.

Inputs: the data folder (see expression_data.py).
Written to outputs/explainability/: metrics.txt and metrics.json; genes.csv (everything about every
gene); the figures importances, shap_summary, model_comparison (what each model uses),
selection_frequency, heatmap, top_genes (how surely, and how it looks) and missed_patient.

References: Lundberg et al. (2020), Nature Machine Intelligence 2:56 (SHAP for trees); Michiels,
Koscielny & Hill (2005), Lancet 365:488 (genes in more than half of the lists); gene_evidence.py.
"""

import argparse
import sys
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage

import gene_evidence as evidence
import reporting
from classifier_models import tune_models
from expression_data import ExpressionData
from gene_evidence import Explanation
from reporting import PAGE_WIDTH, Report, class_palette, in_lines

N_LEADING, N_PANEL = 20, 10  # genes of a table or figure, and of one panel
MARKERS = {"o": "#009E73", "s": "#CC79A7", "^": "#E69F00", "D": "#000000"}  # unlike the classes


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = reporting.make_parser(__doc__, "explainability")
    for option, least, default, what in (
        ("--subsamples", 2, 40, "halves of the training patients to refit on, an even number"),
        ("--permutations", 1, 6, "permuted labels to repeat all of it with"),
        ("--top", 1, 20, "how many genes are the first of a ranking"),
    ):
        text, count = f"{what} (default: {default})", reporting.whole_number(least)
        parser.add_argument(option, type=count, default=default, metavar="N", help=text)
    args = parser.parse_args(argv)
    if args.subsamples % 2:
        parser.error(f"--subsamples: must be even, halves come in pairs - found {args.subsamples}")
    return args


def draw_bars(ax: plt.Axes, sizes: pd.Series, colors, names: Sequence[str], rows: int, **options):
    """Draw a bar a gene, the first on top, with room for `rows` of them."""
    ax.barh(range(len(sizes)), sizes, color=colors, **options)
    ax.axvline(0, color="0.3", linewidth=0.6)
    ax.set_ylim(rows - 0.5, -0.5)
    ax.set_yticks(range(len(sizes)), names, fontsize=6)


def starred(label: str, names: pd.Series) -> str:
    """Return the label, with what the star behind a name means where there is one."""
    gap = " " * 10
    return f"{label}{gap}* gene of the literature" if names.str.endswith(" *").any() else label


def add_class_legend(figure: plt.Figure, data: ExpressionData, title: str) -> None:
    handles = [Patch(color=c, label=f"towards {name}") for name, c in class_palette(data).items()]
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=2)


def direction_colors(direction: pd.Series, data: ExpressionData) -> list[str]:
    """Return the colour of the class to which each gene or contribution pushes."""
    negative, positive = class_palette(data).values()
    return [positive if sign > 0 else negative for sign in direction]


def plot_importances(models: dict[str, pd.DataFrame], data: ExpressionData, names: pd.Series):
    """Draw each model's first genes by its own importance; coefficients with their sign."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE_WIDTH, 4.8))
    for ax, (name, table) in zip(axes.flat, models.items(), strict=True):
        first = table[table["rank"].notna()].nsmallest(N_PANEL, "rank")
        linear = name == "Logistic Regression"
        sizes = first["importance"] * (first["direction"] if linear else 1)
        colors = direction_colors(first["direction"], data)
        draw_bars(ax, sizes, colors, names[first.index], N_PANEL)
        ax.set(title=name, xlabel="coefficient (log-odds per SD)" if linear else "importance")
    add_class_legend(figure, data, starred("Higher expression pushes", names))
    return figure


def plot_shap_summary(
    explanations: dict[str, Explanation],
    expression: pd.DataFrame,
    positive: str,
    names: pd.Series,
) -> plt.Figure:
    """Draw, for each model's first genes, the SHAP values of the patients of `expression`."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE_WIDTH, 5.4))
    z = (expression - expression.mean()) / expression.std()
    for ax, (name, explanation) in zip(axes.flat, explanations.items(), strict=True):
        values = explanation.values.loc[expression.index]
        size = values.abs().mean()
        first = size[size > 0].nlargest(N_PANEL).index
        draw_bars(ax, 0 * size[first], None, names[first], N_PANEL)
        for row, gene in enumerate(first):
            y = row + spread(values[gene], values.abs().max(axis=None) / 25)
            dots = ax.scatter(values[gene], y, s=4, c=z[gene], vmin=-2, vmax=2, cmap="viridis")
        ax.set_title(name)
        ax.set_xlabel(f"SHAP value ({explanation.unit} of {positive})", fontsize=7)
    label = starred("expression (SDs from the training mean)", names)
    figure.colorbar(dots, ax=axes, label=label, location="bottom", shrink=0.6, aspect=50)
    return figure


def spread(values: pd.Series, width: float) -> pd.Series:
    """Return offsets within 0.4 that keep dots apart whose values differ by less than `width`."""
    crowd = values.groupby((values / width).round()).cumcount()
    return ((crowd + 1) // 2 * (-1) ** crowd * 0.1).clip(-0.4, 0.4)


def plot_model_comparison(
    models: dict[str, pd.DataFrame], explanations: dict, data: ExpressionData, names: pd.Series
) -> plt.Figure:
    """Draw mean |SHAP| of the four models side by side, for the first genes of each of them."""
    sizes = pd.DataFrame({name: table["mean_abs_shap"] for name, table in models.items()})
    first = (sizes.rank(ascending=False) <= N_PANEL) & (sizes > 0)
    genes = (sizes / sizes.sum()).mean(axis=1)[first.any(axis=1)].sort_values()[::-1].index
    size = (PAGE_WIDTH, 1.5 + 0.13 * len(genes))
    figure, axes = plt.subplots(1, len(models), sharey=True, figsize=size)
    for ax, (name, table) in zip(axes, models.items(), strict=True):
        shown = table.loc[genes]
        colors = direction_colors(shown["direction"], data)
        draw_bars(ax, shown["mean_abs_shap"], colors, names[genes], len(genes))
        ax.set_title(name, fontsize=8)
        ax.set_xlabel(f"mean |SHAP|\n({explanations[name].unit})")
    add_class_legend(figure, data, starred("Higher expression pushes", names))
    return figure


def plot_frequencies(
    leading: pd.DataFrame, models: dict[str, pd.DataFrame], by_chance: float, names: pd.Series
) -> plt.Figure:
    """Draw how often the leading genes are among the first, of all models and of each."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 4))
    label = "mean rank of all"
    draw_bars(ax, leading["frequency"], "0.75", names[leading.index], len(leading), label=label)
    for (name, table), (marker, color) in zip(models.items(), MARKERS.items(), strict=True):
        x, y = table.loc[leading.index, "frequency"], range(len(leading))
        ax.scatter(x, y, s=9, color=color, marker=marker, label=name, zorder=3)
    ax.axvspan(0, by_chance, color="0.93", zorder=0, label="reached with permuted labels")
    ax.axvline(evidence.MIN_FREQUENCY, color="0.3", linestyle="--", label="consensus from here")
    xlabel = starred("share of halves with the gene among the first", names)
    ax.set(xlim=(-0.01, 1), xlabel=xlabel)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def plot_heatmap(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame, names: pd.Series
) -> plt.Figure:
    """Draw the leading genes in all patients, both clustered (Ward); consensus genes in bold."""
    train = expression.loc[data.X_train.index, leading.index]
    z = (expression[leading.index] - train.mean()) / train.std()
    tree = linkage(z, "ward")
    z = z.iloc[leaves_list(tree), leaves_list(linkage(z.T, "ward"))]
    bars = {"class": data.y_all, "subtype": reporting.patient_groups(data), "set": data.sample_set}
    if data.subtypes is None:
        del bars["subtype"]
    palette = class_palette(data) | reporting.group_palette(data) | {"train": "0.3", "test": "0.8"}
    figure, axes = plt.subplots(3, 1, figsize=(PAGE_WIDTH, 5), height_ratios=(1, 1, 9))
    dendrogram(tree, ax=axes[0], no_labels=True, color_threshold=0, above_threshold_color="0.3")
    axes[0].axis("off")
    colors = [[to_rgb(palette[name]) for name in bar[z.index]] for bar in bars.values()]
    axes[1].imshow(colors, aspect="auto")
    axes[1].hlines([0.5, 1.5], -0.5, len(z) - 0.5, color="white")
    axes[1].set_yticks(range(len(bars)), bars, fontsize=6)
    axes[1].set_xticks([])
    image = axes[2].imshow(z.T, aspect="auto", cmap="PRGn_r", vmin=-2.5, vmax=2.5)
    axes[2].set_yticks(range(z.shape[1]), names[z.columns], fontsize=6)
    axes[2].set_xticks(range(len(z)), z.index, fontsize=min(4.5, 330 / len(z)), rotation=90)
    axes[2].set_xlabel(starred("patient          bold: consensus", names))
    for gene, tick in zip(z.columns, axes[2].get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if leading.loc[gene, "consensus"] else "normal")
    figure.colorbar(image, ax=axes, label="expression (SDs from the training mean)", aspect=50)
    handles = [Patch(color=color, label=name) for name, color in palette.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
    return figure


def plot_top_genes(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame, names: pd.Series
) -> plt.Figure:
    """Draw the first eight genes in every patient, by set and class, with medians."""
    figure, axes = plt.subplots(2, 4, figsize=(PAGE_WIDTH, 4), sharex=True)
    groups = [(s, c) for s in data.sample_set.unique() for c in data.classes]
    for ax, gene in zip(axes.flat, leading.index[:8], strict=False):
        for x, (sample_set, label) in enumerate(groups):
            members = (data.sample_set == sample_set) & (data.y_all == label)
            values = expression.loc[members, gene]
            x_dots = x + spread(values, np.ptp(expression[gene]) / 25)
            ax.scatter(x_dots, values, s=5, color=class_palette(data)[label])
            ax.hlines(values.median(), x - 0.4, x + 0.4, color="0.2")
        ax.set_title(names[gene], fontsize=7)
        ax.set_xticks(range(len(groups)), [f"{in_lines(c)}\n{s}" for s, c in groups])
        ax.tick_params(labelsize=6)
    figure.supylabel("expression (log2, arrays standardised)", fontsize=8)
    return figure


def plot_missed_patient(
    explanations: dict[str, Explanation], patient, data: ExpressionData, names: pd.Series
) -> plt.Figure:
    """Draw how the genes lead each model from its mean output to its output for one patient."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE_WIDTH, 4.8))
    for ax, (name, explanation) in zip(axes.flat, explanations.items(), strict=True):
        values = explanation.values.loc[patient].loc[lambda value: value != 0]
        first = values.abs().nlargest(N_PANEL - 1).index
        steps = [*values[first], values.drop(first).sum()][: len(values)]
        labels = [*names[first], f"{len(values) - len(first)} other genes"][: len(values)]
        after = explanation.output[patient] - np.cumsum([0, *steps[:-1]])
        draw_bars(ax, -np.array(steps), direction_colors(steps, data), labels, N_PANEL, left=after)
        ax.lines[0].set_xdata([explanation.base] * 2)
        ax.use_sticky_edges = False
        ax.relim()  # the line was at 0, which may be far away
        ax.autoscale()
        ax.set_title(f"{name}: probability {explanation.probability[patient]:.2f}", fontsize=8)
        ax.set(xlabel=f"{explanation.unit} of {data.classes[1]}", ylim=(N_PANEL - 0.5, -0.5))
    add_class_legend(figure, data, f"Patient {patient}, from the mean output (line) up: pulled")
    return figure


def report_models(
    report: Report,
    explanations: dict[str, Explanation],
    lists: dict[str, np.ndarray],
    args,
) -> None:
    """Write whether the SHAP values add up, and how alike the lists of the halves are."""
    rows = {
        name: (e.unit, e.base, (e.base + e.values.sum(axis=1) - e.output).abs().max())
        for name, e in explanations.items()
    }
    table = pd.DataFrame.from_dict(rows, "index", columns=["unit", "base value", "largest error"])
    note = "Base value (mean output over the training patients) plus SHAP values is the output."
    report.add_section("additivity", "SHAP values of all patients", table, note)
    note = (
        f"Nogueira's index over {args.subsamples} halves of the training patients, 95 % interval. "
        f"1: always the same genes; 0: chance;\nbelow {evidence.POOR}: poor; above "
        f"{evidence.EXCELLENT}: excellent. Genes a model does not use are not selected."
    )
    title = f"Stability of the first {args.top} genes"
    report.add_section("stability", title, evidence.stability_table(lists), note)


def report_genes(report: Report, table: pd.DataFrame, frequency: np.ndarray, args) -> None:
    """Write how many genes pass the rule, how many do by chance, and the evidence for each."""
    found, highest = (frequency >= evidence.MIN_FREQUENCY).sum(axis=1), frequency.max(axis=1)
    values = {
        "consensus": list(table["gene"][table["consensus"]]),
        "genes": found[0],
        "genes by chance": found[1:].mean(),
        "with permuted labels": list(found[1:]),
        "p of so many genes": np.mean(found >= found[0]),
        "highest frequency": highest[0],
        "highest frequency by chance": highest[1:].max(),
        "p of so high a frequency": np.mean(highest >= highest[0]),
    }
    note = (
        f"Rule, blind to test patients: one of the {args.top} with the best mean rank, in at "
        f"least {evidence.MIN_FREQUENCY:.0%} of {args.subsamples} halves.\nChance: the same on "
        f"{args.permutations} permutations of the training labels; it does not account for the "
        "other rules that were tried on the\ntraining patients. p: share of labels, true and "
        "permuted, that reach as much. Genes near the threshold come and\ngo with the seed."
    )
    report.add_section("consensus", "Consensus", values, note)
    note = (
        "frequency: of halves. by_chance: genes that reach it with permuted labels, on average. "
        "rank: 5 % to 95 % of halves.\nAUC and its one-sided p: in the direction seen in training. "
        f"welch_q: Benjamini-Hochberg over {len(table)} genes,\nof which "
        f"{(table['welch_q'] < 0.05).sum()} have q < 0.05."
    )
    hidden = ["description", "auc_p", "welch_t", "welch_p", "test_signal_to_noise"]
    shown = table.head(N_LEADING).reset_index().set_index("gene")
    shown = shown.drop(columns=hidden, errors="ignore")
    report.add_section("leading_genes", "The genes of highest frequency", shown, note)


def report_lists(report: Report, table: pd.DataFrame, models: dict, data: ExpressionData, args):
    """Write how lists of genes overlap with the literature, and how they fare on test patients."""
    lists = {name: model.index[model["rank"] <= args.top] for name, model in models.items()}
    lists["Signal-to-noise"] = table["signal_to_noise"].abs().nlargest(args.top).index
    lists["Highest frequency"] = table.index[:N_LEADING]
    lists["Consensus"] = table.index[table["consensus"]]
    if data.informative_genes is not None:
        known = evidence.literature_overlap(lists, data.informative_genes.index, table.index)
        note = (
            f"First {args.top} genes of each model; p: hypergeometric, among all genes analysed. "
            "Where the literature chose its\ngenes on the same patients, p says no more than that "
            "the lists are alike."
        )
        report.add_section("literature", "Overlap with the genes of the literature", known, note)
    if len(data.y_test):
        test = evidence.replication_table(lists | {"All genes": table.index}, table)
        report.add_section("test", "The same lists on the test patients", test)


def report_missed_patient(report: Report, explanations: dict, patient, data: ExpressionData):
    """Write which genes pull one test patient to the other class."""
    label = data.y_test[patient]
    sign = 1 if label == data.classes[0] else -1
    values = {"patient": str(patient), "class": label}
    for name, e in explanations.items():
        pulls = (sign * e.values.loc[patient]).nlargest(5)
        genes = ", ".join(data.gene_names[pulls.index[pulls > 0]]) or "none"
        values[name] = f"{e.probability[patient]:.2f}; {genes}"
    note = f"Probability of {data.classes[1]}, and the genes that speak most against {label}."
    report.add_section("missed_patient", "The hardest test patient", values, note)


@reporting.command_line
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    data = reporting.load_data(args)
    report = Report(args, data, "Which genes decide, and how surely")
    X, y = data.X_train, data.y_train.cat.codes
    pipelines = {name: s.best_estimator_ for name, s in tune_models(X, y, args).items()}
    explanations = {name: evidence.explain(p, X, data.X_all) for name, p in pipelines.items()}
    log2, expression = evidence.expression_tables(data, args.expression)
    genes, train = expression.columns, expression.loc[X.index]
    evidence.check_top(args.top, len(genes))

    importances = evidence.resample(pipelines, X[genes], y.to_numpy(), args)
    ranks = evidence.rank_genes(importances)
    selected = (ranks <= args.top) & (importances > 0)
    consensus = evidence.consensus_ranks(ranks)
    table = evidence.gene_table(data, expression, log2, consensus, args.top)
    models = evidence.model_tables(pipelines, explanations, train, X.columns, ranks[0], selected[0])
    leading, frequency = table.head(N_LEADING), (consensus <= args.top).mean(axis=1)
    names = table["gene"] + np.where(table.get("literature", "") == "", "", " *")
    lists = dict(zip(pipelines, selected[0].swapaxes(0, 1), strict=True))
    lists["All, by mean rank"] = consensus[0] <= args.top
    report_models(report, explanations, lists, args)
    report_genes(report, table, frequency, args)
    for name, figure in {
        "importances": plot_importances(models, data, names),
        "shap_summary": plot_shap_summary(explanations, train, data.classes[1], names),
        "model_comparison": plot_model_comparison(models, explanations, data, names),
        "selection_frequency": plot_frequencies(leading, models, frequency[1:].max(), names),
        "heatmap": plot_heatmap(data, expression, leading, names),
        "top_genes": plot_top_genes(data, expression, leading, names),
    }.items():
        report.add_figure(name, figure)
    report_lists(report, table, models, data, args)
    if len(data.y_test):
        P = pd.DataFrame({name: e.probability for name, e in explanations.items()})
        patient = evidence.most_missed_patient(P.loc[data.y_test.index], data.y_test)
        report_missed_patient(report, explanations, patient, data)
        report.add_figure("missed_patient", plot_missed_patient(explanations, patient, data, names))
    else:
        note = "There are no test patients to check the genes on, and none that the models miss."
        report.add_section("left_out", "Left out", {}, note)
    report.add_table("genes", evidence.full_table(table, models, data))
    report.write(f"Consensus genes: {', '.join(table['gene'][table['consensus']]) or 'none'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
