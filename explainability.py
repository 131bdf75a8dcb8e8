"""Which genes tell AML from ALL, and how surely those genes? (Q2)

The tuned models of `classifier_models.py` are taken apart: by the importance they give each gene,
and by SHAP values, each gene's signed contribution to a patient's output.

The trap: another 38 patients would give another list of importances. So the models are refitted on
many complementary subsamples, each half of the training patients, and a gene counts only if it
keeps coming back. One rule, which knows no test patient: in each subsample the genes are ordered by
their mean rank over the models; the consensus are those among the first 20 in at least half of the
subsamples. The same refits on permuted labels say how many genes the rule finds where there is
nothing to find. Models rank genes by their own importance (|coefficient| per standard deviation,
impurity decrease, gain), those they do not use last. They keep the settings tuned once on the true
labels, and get a random state of their own in every refit.

Input: a data folder (see expression/data.py). Written to outputs/explainability/:
    metrics.txt, metrics.json                  the consensus, and the evidence for each gene
    genes.csv                                  everything about every gene
    importances, shap_summary                  figures: what each model uses
    selection_frequency, heatmap, top_genes    figures: how surely, and how it looks

References: Michiels, Koscielny & Hill (2005), Lancet 365:488 (genes in more than half of the
lists); those of the methods are in expression/selection.py and expression/genes.py.
"""

import expression.early  # noqa: F401 (an interrupt during the imports)
import argparse
import sys
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from expression import style
from expression.data import ExpressionData
from expression.genes import (
    Evidence,
    Explanation,
    full_table,
    gather_evidence,
    literature_overlap,
)
from expression.models import MODELS
from expression.options import add_counts, command_line, load_data, make_parser, start_report
from expression.report import Report
from expression.selection import EXCELLENT, MIN_FREQUENCY, POOR

N_LEADING, N_PANEL = 20, 10  # genes of a table or figure, and of one panel


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "explainability")
    add_counts(
        parser,
        ("--subsamples", 40, 2, "halves of the training patients to refit on, an even number"),
        ("--permutations", 6, 1, "permuted labels to repeat all of it with"),
        ("--top", 20, 1, "how many genes are the first of a ranking"),
    )
    args = parser.parse_args(argv)
    if (args.subsamples or 0) % 2:
        rule = "must be even, complementary subsamples come in pairs"
        parser.error(f"--subsamples: {rule} - found {args.subsamples}")
    return args


def explain_star(label: str, names: pd.Series) -> str:
    """Return the label, with what the star behind a name means where there is one."""
    known = names.str.endswith(" *").any()
    return f"{label}{' ' * 10}* gene of the literature" if known else label


def draw_figures(data: ExpressionData, evidence: Evidence) -> dict[str, plt.Figure]:
    """Return all figures by name."""
    table, expression = evidence.table, evidence.expression
    leading, train = table.head(N_LEADING), expression.loc[data.X_train.index]
    names = table["gene"] + np.where(table.get("literature", "") == "", "", " *")
    permuted = evidence.frequency[1:].max()
    return {
        "importances": draw_importances(evidence.models, data, names),
        "shap_summary": draw_shap_summary(evidence.explanations, train, data.classes[1], names),
        "selection_frequency": draw_frequencies(leading, evidence.models, permuted, names),
        "heatmap": draw_heatmap(data, expression, leading, names),
        "top_genes": draw_top_genes(data, expression, leading, names),
    }


def draw_importances(models: dict[str, pd.DataFrame], data: ExpressionData, names: pd.Series):
    """Draw each model's first genes by its own importance; coefficients with their sign."""
    figure, axes = style.panel_grid(len(models), columns=2, height=2.4)
    for ax, (name, table) in zip(axes, models.items(), strict=True):
        first = table[table["rank"].notna()].nsmallest(N_PANEL, "rank")
        importance = MODELS[name].importance
        sizes = first["importance"] * (first["direction"] if importance.signed else 1)
        colors = style.direction_colors(first["direction"], data)
        style.draw_bars(ax, sizes, colors, names[first.index], N_PANEL)
        ax.set(title=name, xlabel=importance.label)
    style.add_direction_legend(figure, data, explain_star("Higher expression pushes", names))
    return figure


def draw_shap_summary(
    explanations: dict[str, Explanation], expression: pd.DataFrame, positive: str, names: pd.Series
) -> plt.Figure:
    """Draw, for each model's first genes, the SHAP values of the patients of `expression`.

    Not shap's own beeswarm, whose dots depend on NumPy's global random state.
    """
    figure, axes = style.panel_grid(len(explanations), columns=2, height=2.7)
    z = (expression - expression.mean()) / expression.std()
    color = plt.cm.ScalarMappable(plt.Normalize(-2, 2), "coolwarm")
    for ax, (name, explanation) in zip(axes, explanations.items(), strict=True):
        values = explanation.values.loc[expression.index]
        size = values.abs().mean()
        first = size[size > 0].nlargest(N_PANEL).index
        dots = pd.DataFrame({"value": values[first].stack(), "z": z[first].stack()})
        dots["gene"] = names[dots.index.get_level_values(1)].to_numpy()
        look = {"hue": "z", "palette": color.cmap, "hue_norm": color.norm, "legend": False}
        sns.swarmplot(dots, x="value", y="gene", size=2, warn_thresh=1, ax=ax, **look)
        ax.axvline(0, color="0.3", linewidth=0.6, zorder=0)
        ax.set(title=name, xlabel=f"SHAP value ({explanation.unit} of {positive})", ylabel="")
        ax.set_ylim(N_PANEL - 0.5, -0.5)
        ax.tick_params(axis="y", labelsize=6)
        ax.locator_params(axis="x", nbins=4)
    label = explain_star("expression (SDs from the training mean)", names)
    figure.colorbar(color, ax=axes, label=label, location="bottom", shrink=0.6, aspect=50)
    return figure


def draw_frequencies(
    leading: pd.DataFrame, models: dict[str, pd.DataFrame], permuted: float, names: pd.Series
) -> plt.Figure:
    """Draw how often the leading genes are among the first, of all models and of each."""
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 4))
    bars = {"label": "mean rank of all", "rows": len(leading)}
    style.draw_bars(ax, leading["frequency"], "0.75", names[leading.index], **bars)
    for name, look in style.series_styles(models).items():
        look = look | {"linestyle": "", "markersize": 3.5, "label": name}
        ax.plot(models[name].loc[leading.index, "frequency"], range(len(leading)), **look)
    ax.axvspan(0, permuted, color="0.93", zorder=0, label="reached with permuted labels")
    ax.axvline(MIN_FREQUENCY, color="0.3", linestyle="--", label="consensus from here")
    xlabel = explain_star("share of subsamples with the gene among the first", names)
    ax.set(xlim=(-0.01, 1), xlabel=xlabel)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def draw_heatmap(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame, names: pd.Series
) -> plt.Figure:
    """Draw the leading genes in all patients, both clustered (Ward); consensus genes in bold."""
    train = expression.loc[data.X_train.index, leading.index]
    z = ((expression[leading.index] - train.mean()) / train.std()).T
    bars = {"class": data.y_all.astype(str), "subtype": style.patient_groups(data)}
    bars = pd.DataFrame(bars | {"set": data.sample_set})
    if data.subtypes is None:
        del bars["subtype"]
    palette = style.class_palette(data) | style.group_palette(data) | style.SET_COLORS
    look = {"method": "ward", "cmap": "PRGn_r", "vmin": -2.5, "vmax": 2.5, "colors_ratio": 0.025}
    look |= {"dendrogram_ratio": (0.1, 0.12), "cbar_pos": (0.02, 0.84, 0.015, 0.09)}
    look |= {"xticklabels": True, "yticklabels": names[z.index], "cbar_kws": {"ticks": [-2, 0, 2]}}
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn sets its own
        size = (style.PAGE_WIDTH, 5.2)
        grid = sns.clustermap(z, col_colors=bars.replace(palette), figsize=size, **look)
    grid.ax_heatmap.set(xlabel=explain_star("patient          bold: consensus", names), ylabel="")
    grid.ax_heatmap.tick_params(axis="x", labelsize=min(4.5, 330 / z.shape[1]), length=0)
    grid.ax_heatmap.tick_params(axis="y", labelsize=6, length=0)
    consensus = leading["consensus"].iloc[grid.dendrogram_row.reordered_ind]
    for bold, tick in zip(consensus, grid.ax_heatmap.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if bold else "normal")
    grid.ax_cbar.set_title("SDs from the\ntraining mean", fontsize=6, fontweight="normal")
    grid.figure.subplots_adjust(top=0.93)
    handles = style.color_handles(palette)
    grid.figure.legend(handles=handles, loc="upper center", ncols=7, fontsize=7)
    return grid.figure


def draw_top_genes(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame, names: pd.Series
) -> plt.Figure:
    """Draw the first eight genes in every patient, by set and class, with medians."""
    genes = leading.index[:8]
    figure, axes = style.panel_grid(len(genes), columns=4, height=2)
    groups = [(s, c) for s in data.sample_set.unique() for c in data.classes]
    labels = {(s, c): f"{style.wrap_name(c)}\n{s}" for s, c in groups}
    order = list(labels.values())
    patients = [labels[key] for key in zip(data.sample_set, data.y_all, strict=True)]
    palette = {label: style.class_palette(data)[c] for (_, c), label in labels.items()}
    for ax, gene in zip(axes, genes, strict=True):
        dots = {"x": patients, "y": expression[gene].to_numpy(), "order": order, "hue": patients}
        sns.swarmplot(**dots, palette=palette, size=2, warn_thresh=1, legend=False, ax=ax)
        medians = expression[gene].groupby(patients).median()[order]
        ax.hlines(medians, np.arange(len(order)) - 0.4, np.arange(len(order)) + 0.4, color="0.2")
        ax.set(ylabel="")
        ax.set_title(names[gene], fontsize=7)
        ax.tick_params(labelsize=6)
    figure.supylabel("expression (log2, arrays standardised)", fontsize=8)
    return figure


def report_headline(report: Report, evidence: Evidence, top: int) -> None:
    """Open with the genes that come back more often than any gene under permutation."""
    table, frequency = evidence.table, evidence.frequency
    highest = frequency[1:].max()
    shown = table[table["frequency"] > highest]
    cells = pd.DataFrame({"gene": shown["gene"], "accession": shown.index})
    cells["higher in"] = shown["higher_in"]
    cells["selection frequency"] = shown["frequency"].map("{:.0%}".format)
    cells["consensus"] = shown["consensus"].map({True: "yes", False: ""})
    cells["AUC, training"] = shown["auc"].map("{:.2f}".format)
    if "test_auc" in shown:
        cells["AUC, test"] = shown["test_auc"].map("{:.2f}".format)
    if "literature" in shown:
        cells["in the literature"] = shown["literature"].map(lambda label: "yes" if label else "")
    selected = (frequency >= MIN_FREQUENCY).sum(axis=1)
    stability = (f"{name} {value:.2f}" for name, value in evidence.stability["stability"].items())
    note = (
        f"Genes among the first {top} more often than any gene under permutation (at most "
        f"{highest:.0%} of the subsamples). Consensus, in at least {MIN_FREQUENCY:.0%} of them: "
        f"{selected[0]}; expected false selections, the mean under permutation: "
        f"{selected[1:].mean():.1f}. Nogueira's stability of the first {top} genes (below "
        f"{POOR} is poor): {', '.join(stability)}."
    )
    title = "Q2, the genes that consistently tell the classes apart"
    report.add_headline(title, cells.to_dict("records"), [note])


def report_genes(report: Report, evidence: Evidence, subsamples: int, top: int) -> None:
    """Add how many genes pass the rule, and under permutation, and the evidence for each."""
    table, highest = evidence.table, evidence.frequency.max(axis=1)
    selected = (evidence.frequency >= MIN_FREQUENCY).sum(axis=1)
    values = {
        "consensus": list(table["gene"][table["consensus"]]),
        "genes": selected[0],
        "genes under permutation": list(selected[1:]),
        "expected false selections": selected[1:].mean(),
        "p of so many genes": np.mean(selected >= selected[0]),
        "highest frequency": highest[0],
        "highest frequency under permutation": highest[1:].max(),
        "p of so high a frequency": np.mean(highest >= highest[0]),
    }
    note = (
        f"Rule, blind to test patients: one of the {top} with the best mean rank, in at least "
        f"{MIN_FREQUENCY:.0%} of {subsamples} complementary subsamples. The permutations of the "
        "training labels do not account for the other rules that were tried on the training "
        "patients. p: share of labels, true and permuted, that reach as much. Genes near the "
        "threshold come and go with the seed."
    )
    report.add_section("consensus", "Consensus", values, note)
    note = (
        f"Nogueira's index over the subsamples, 95 % interval. 1: always the same genes; 0: "
        f"expected of random lists; below {POOR}: poor; above {EXCELLENT}: excellent. Genes a "
        "model does not use are not selected."
    )
    title = f"Stability of the first {top} genes"
    report.add_section("stability", title, evidence.stability, note)
    note = (
        "expected_false_selections: genes that reach the frequency under permutation, on average. "
        "AUC and its one-sided p: in the direction seen in training. welch_q: Benjamini-Hochberg "
        f"over {len(table)} genes, of which {(table['welch_q'] < 0.05).sum()} have q < 0.05."
    )
    hidden = ["description", "auc_p", "welch_t", "welch_p", "test_signal_to_noise"]
    shown = table.head(N_LEADING).reset_index().set_index("gene")
    shown = shown.drop(columns=hidden, errors="ignore")
    report.add_section("leading_genes", "The genes of highest frequency", shown, note)


def report_literature(report: Report, evidence: Evidence, known: pd.Index, top: int) -> None:
    """Add how the lists overlap with the genes of the literature."""
    table = evidence.table
    lists = {name: model.index[model["rank"] <= top] for name, model in evidence.models.items()}
    lists["Signal-to-noise"] = table["signal_to_noise"].abs().nlargest(top).index
    lists["Highest frequency"] = table.index[:N_LEADING]
    lists["Consensus"] = table.index[table["consensus"]]
    note = (
        f"First {top} genes of each model; p: hypergeometric, among all genes analysed. The "
        "literature chose its genes on the same patients: p says that the lists are alike."
    )
    overlap = literature_overlap(lists, known, table.index)
    report.add_section("literature", "Overlap with the genes of the literature", overlap, note)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    report = start_report(args, data, "Which genes decide, and how surely")
    evidence = gather_evidence(data, args.subsamples, args.permutations, args.top, args.seed)
    for name, figure in draw_figures(data, evidence).items():
        report.add_figure(name, figure)
    report_headline(report, evidence, args.top)
    report_genes(report, evidence, args.subsamples, args.top)
    if data.informative_genes is not None:
        report_literature(report, evidence, data.informative_genes.index, args.top)
    report.add_table("genes", full_table(evidence.table, evidence.models, data))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
