"""Which genes tell AML from ALL, and how surely those genes? (Q2)

The tuned models of `classifier_models.py` are taken apart: by the importance they give each gene
(|coefficient| per standard deviation, impurity decrease, gain), and by SHAP values, each gene's
signed contribution to a patient's output.

The trap: another 38 patients would give another list of importances. So the models are refitted on
complementary subsamples, each half of the training patients, and a gene is selected only if it
keeps coming back: in at least 75 % of the subsamples it is among the q genes of best mean rank over
the models (stability selection). q is the largest number whose bound on the expected number of
falsely selected genes is at most --expected-false. The same on permuted labels shows what is
selected where there is nothing to find, and on four fifths of the patients how much hangs on them.

Input: a data folder (see expression/reading/load.py). Written to outputs/explainability/:
    metrics.txt, metrics.json                  the selected genes, and the evidence for each gene
    genes.csv                                  everything about every gene that is analysed
    importances, shap_summary                  figures: what each model uses
    selection_frequency, heatmap, top_genes    figures: how surely, and how it looks
References: those of the methods are in expression/analysis/selection.py and genes.py.
"""

import argparse
import sys
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from scipy.cluster.hierarchy import linkage

from expression.analysis import genes, selection
from expression.analysis.models import MODELS, build_models
from expression.analysis.selection import SELECTED_FROM, SUBSETS, Checks, Rule
from expression.analysis.tuning import fit_models
from expression.data import ExpressionData
from expression.running import style
from expression.running.command import command_line, load_data, start_report
from expression.running.options import above_zero, add_counts, make_parser
from expression.running.rendering import join_first
from expression.running.report import Report

N_LEADING, N_PANEL, MAX_DOTS = 20, 10, 200  # genes of a figure, of a panel; patients shown as dots
STAGES = {"tuning": 2, "subsamples": 12, "checks": 33, "drawing": 7}  # and roughly their seconds


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "explainability")
    add_counts(
        parser,
        ("--pairs", 50, 2, "pairs of complementary halves of the training patients", 5),
        ("--permutations", 10, 1, "permuted labels to repeat the selection with", 3),
    )
    about = "bound on the expected number of falsely selected genes (default: 1)"
    parser.add_argument("--expected-false", type=above_zero, default=1, metavar="X", help=about)
    return parser.parse_args(argv)


def headline(table: pd.DataFrame) -> tuple[str, list[dict]]:
    """Return a title, and a row of finished cells for each of the first selected genes."""
    top = table[table["selected"]].reset_index()
    first = f", the first {N_LEADING} of {len(top)}" if len(top) > N_LEADING else ""
    columns = {
        "gene": ("gene", partial(style.shorten, width=24)),
        "accession": ("accession", str),
        "higher_in": ("higher in", str),
        "frequency": ("subsamples", "{:.0%}".format),
        "subsets": ("subsets", f"{{}} of {SUBSETS}".format),
        "auc": ("AUC train", "{:.2f}".format),
        "test_auc": ("AUC test", "{:.2f}".format),
        "literature": ("literature", lambda label: "yes" if label else ""),
    }
    cells = {title: top[name].map(text) for name, (title, text) in columns.items() if name in top}
    rows = pd.DataFrame(cells).head(N_LEADING).to_dict("records")
    return f"Genes that consistently tell the classes apart{first}", rows


def draw_importances(models: dict[str, pd.DataFrame], data: ExpressionData) -> plt.Figure:
    """Draw each model's first genes by its own importance; coefficients with their sign."""
    figure, axes = style.panel_grid(len(models), columns=2, height=2.4)
    negative, positive = style.class_palette(data).values()
    for ax, (name, table) in zip(axes, models.items(), strict=True):
        first = table[table["rank"].notna()].nsmallest(N_PANEL, "rank")
        importance = MODELS[name].importance
        sizes = first["importance"] * (first["direction"] if importance.signed else 1)
        colors = np.where(first["direction"] > 0, positive, negative)
        style.draw_bars(ax, sizes, colors, data.gene_names[first.index], N_PANEL)
        ax.set(title=name, xlabel=importance.label)
    towards = {f"towards {label}": color for label, color in style.class_palette(data).items()}
    look = {"title": "Higher expression pushes", "loc": "outside lower center", "ncols": 2}
    figure.legend(handles=style.color_handles(towards), **look)
    figure.suptitle(f"The genes each model uses most, {len(data.X_train)} training patients")
    return figure


def draw_shap_summary(explanations: dict, data: ExpressionData, expression) -> plt.Figure:
    """Draw each model's first genes by the SHAP values of the patients: not shap's own beeswarm,
    whose dots depend on NumPy's global random state."""
    figure, axes = style.panel_grid(len(explanations), columns=2, height=2.7)
    names, expression = data.gene_names, expression.loc[data.X_train.index]
    z = (expression - expression.mean()) / expression.std()
    color = plt.cm.ScalarMappable(plt.Normalize(-2, 2), "coolwarm")
    for ax, (name, values) in zip(axes, explanations.items(), strict=True):
        size = values.abs().mean()
        first = size[size > 0].nlargest(N_PANEL).index
        dots = values[first].stack().to_frame("value").assign(z=z[first].stack())
        dots["gene"] = names[dots.index.get_level_values(1)].to_numpy()
        look = {"hue": "z", "palette": color.cmap, "hue_norm": color.norm}
        style.draw_swarm(ax, dots, x="value", y="gene", **look)
        ax.axvline(0, color="0.3", linewidth=0.6, zorder=0)
        label = f"SHAP value ({MODELS[name].importance.shap_unit} of {data.classes[1]})"
        ax.set(title=name, xlabel=style.wrap_name(label, 40), ylabel="")
        style.name_ticks(ax.yaxis, names[first], ax.bbox.height / figure.dpi)
        ax.set_ylim(N_PANEL - 0.5, -0.5)
        ax.locator_params(axis="x", nbins=4)
    look = {"label": "expression (SDs from the training mean)", "location": "bottom"}
    figure.colorbar(color, ax=axes, **look, shrink=0.6, aspect=50)
    title = f"What moves each model's output, {len(values)} training patients (equal ones overlap)"
    figure.suptitle(title)
    return figure


def draw_frequencies(leading, models: dict, checks: Checks, rule: Rule) -> plt.Figure:
    """Draw how often the leading genes are selected, by all models and by each."""
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 4.4))
    label, rows = "mean rank over the models", len(leading)
    style.draw_bars(ax, leading["frequency"], "0.75", leading["gene"], rows, label=label)
    for name, look in style.series_styles(models).items():
        look = look | {"linestyle": "", "markersize": 3.5, "label": name}
        ax.plot(models[name].loc[leading.index, "frequency"], range(len(leading)), **look)
    label = f"highest of {len(checks.permuted)} permutations, {2 * checks.pairs} subsamples each"
    ax.axvspan(0, checks.permuted.max(axis=None), color="0.93", zorder=0, label=label)
    ax.axvline(SELECTED_FROM, color="0.3", linestyle="--", label="selected from here")
    xlabel = f"share of {2 * rule.pairs} subsamples with the gene among the first {rule.first}"
    ax.set(xlim=(-0.01, 1.01), xlabel=xlabel)
    figure.legend(loc="outside lower center", ncols=3)
    figure.suptitle(f"The {len(leading)} genes selected most often in subsamples of the patients")
    return figure


def draw_heatmap(data: ExpressionData, expression, leading) -> plt.Figure:
    """Draw the leading genes in all patients, both clustered (Ward); selected genes in bold."""
    train = expression.loc[data.X_train.index, leading.index]
    z = ((expression[leading.index] - train.mean()) / train.std()).T
    groups, palette = data.groups, style.group_palette(data)
    bars = pd.DataFrame({"subtype" if data.subtypes is not None else "class": groups.map(palette)})
    if len(data.X_test):
        bars["set"] = data.sample_set.map(style.SET_COLORS)
        palette = palette | style.SET_COLORS
    # Not seaborn's own trees: of hundreds of patients it warns that another package is faster
    look = {"row_linkage": linkage(z, "ward"), "col_linkage": linkage(z.T, "ward")}
    look |= {"cmap": "PRGn_r", "vmin": -2.5, "vmax": 2.5, "cbar_kws": {"ticks": [-2, 0, 2]}}
    look |= {"dendrogram_ratio": (0.1, 0.12), "colors_ratio": 0.025}
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn sets its own
        grid = sns.clustermap(z, col_colors=bars, figsize=(style.PAGE_WIDTH, 5.4), **look)
    ax, rows = grid.ax_heatmap, grid.dendrogram_row.reordered_ind
    patients = z.columns.map(str)[grid.dendrogram_col.reordered_ind]
    ax.set(xlabel="patient", ylabel="")
    style.name_ticks(ax.xaxis, patients if max(map(len, patients)) < 9 else [], 5.4, first=0.5)
    style.name_ticks(ax.yaxis, leading["gene"].iloc[rows], 4, first=0.5)
    for bold, tick in zip(leading["selected"].iloc[rows], ax.get_yticklabels(), strict=False):
        tick.set_fontweight("bold" if bold else "normal")
    grid.ax_cbar.set_title("SDs from the\ntraining mean", fontsize="x-small", fontweight="normal")
    grid.gs.update(left=0.02, right=0.79, bottom=0.09, top=0.88)
    grid.ax_cbar.set_position([0.04, 0.8, 0.015, 0.08])
    handles = style.color_handles({style.wrap_name(n, 24): color for n, color in palette.items()})
    grid.figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.95), ncols=5)
    about = f"The {len(leading)} leading genes in all {z.shape[1]:,} patients (bold: selected)"
    grid.figure.suptitle(about)
    return grid.figure


def draw_top_genes(data: ExpressionData, expression, leading, seed: int) -> plt.Figure:
    """Draw the first eight genes in every patient, by set and class."""
    first, palette = leading.index[:8], style.class_palette(data)
    figure, axes = style.panel_grid(len(first), columns=4, height=1.9)
    patients = pd.DataFrame({"set": data.sample_set, "class": data.y_all.astype(str)})
    drawn = patients.sample(min(len(patients), MAX_DOTS), random_state=seed).sort_index()
    drawn = drawn.sort_values("set", ascending=False, kind="stable")  # train, test
    look = {"x": "set", "hue": "class", "dodge": True, "palette": palette}
    for ax, gene in zip(axes, first, strict=True):
        dots = drawn.assign(expression=expression[gene])
        style.draw_swarm(ax, dots, y="expression", **look)
        ax.set(title=style.shorten(leading.loc[gene, "gene"], 22), xlabel="", ylabel="")
    figure.supylabel("expression (log2, arrays standardised)", fontsize="medium")
    figure.legend(handles=style.color_handles(palette), loc="outside lower center", ncols=2)
    figure.suptitle(f"The leading genes in {len(drawn)} of {len(patients)} patients")
    return figure


def report_headline(report: Report, data: ExpressionData, table, rule: Rule, checks: Checks):
    """Open with the selected genes, and what they are worth."""
    selected, permuted = table[table["selected"]], checks.permuted_counts
    fewest, most = checks.resampled_range
    sure = (checks.resampled[selected.index].mean() >= 0.95).sum()
    found, again = checks.subsets.sum(axis=1), checks.subsets[selected.index].sum(axis=1)
    permutations = f"{len(permuted)} permutation{'s' * (len(permuted) > 1)}"
    lists = [
        f"{join_first(genes_of['gene'], N_LEADING)} (higher in {label})"
        for label, genes_of in selected.groupby("higher_in", sort=False)
    ]
    in_short = [
        f"{len(selected)} of {len(table):,} genes are selected by {SELECTED_FROM:.0%} or more of "
        f"{2 * rule.pairs} subsamples of half the {len(data.y_train)} training patients: "
        f"{'; '.join(lists) or 'none'}.",
        f"The rule selects at most {rule.bound:.2f} genes on average that subsamples pick no more "
        f"often than at random, if frequencies are r-concave ({rule.worst_case:.1f} without that "
        f"assumption); with permuted labels {permuted.mean():.1f} on average (of {permutations}, "
        f"each of {2 * checks.pairs} subsamples).",
        f"Other subsamples, as of another seed, select {fewest} to {most} genes, and {sure} of "
        f"the {len(selected)} nearly always (95 % of {len(checks.resampled)} bootstrap resamples).",
        f"Without each fifth of the patients {found.min()} to {found.max()} genes are selected, of "
        f"which {again.min()} to {again.max()} are among these.",
        f"It is no complete list: {(table['welch_q'] < 0.05).sum():,} genes differ between the "
        f"classes at a false discovery rate of 5 %, {(table['max_t_p'] < 0.05).sum()} at a "
        "family-wise error rate of 5 %.",
    ]
    if len(data.y_test) and len(selected):
        auc = selected["test_auc"]
        in_short.append(
            f"In the {len(data.y_test)} test patients, which the selection never saw, each alone "
            f"reaches an AUC of {auc.min():.2f} to {auc.max():.2f}."
        )
    report.add_headline(*headline(table), in_short)


def report_evidence(report: Report, stability, table, rule: Rule, checks: Checks) -> None:
    """Add the rule, what it selects elsewhere, how stable the lists are, and what genes show."""
    values = {
        "selected genes": int(table["selected"].sum()),
        "fewest and most in 95 % of resamples": checks.resampled_range,
        "first genes of a subsample (q)": rule.first,
        "bound on false selections, r-concave": rule.bound,
        "bound on false selections, worst case": rule.worst_case,
        "selected with permuted labels": list(checks.permuted_counts),
        "selected without a fifth of the patients": list(checks.subsets.sum(axis=1)),
    }
    note = (
        f"A gene is selected that is one of the {rule.first} of best mean rank over the models in "
        f"{SELECTED_FROM:.0%} of the subsamples; a model ranks genes it does not use last. The "
        "bound counts genes selected no more often than at random (Shah & Samworth 2013)."
    )
    report.add_section("selection", "Stability selection", values, note)
    note = (
        f"Nogueira's index (1: always the same genes; 0: random lists; below {selection.POOR}: "
        "poor), 95 % interval over lists, not over patients, of whom subsets share most."
    )
    report.add_section("stability", "Stability of the lists", stability, note)
    note = (
        "AUCs and the one-sided p: in the direction seen in training. welch_q: Benjamini-Hochberg "
        f"over {len(table):,} genes; max_t_p: Westfall & Young, family-wise."
    )
    shown = ["frequency", "signal_to_noise", "auc", "welch_q", "max_t_p", "test_auc", "test_auc_p"]
    shown = table.head(N_LEADING).set_index("gene").filter(shown)
    shown = shown.rename(lambda name: style.shorten(name, 24))
    report.add_section("leading_genes", "The genes selected most often", shown, note)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    report = start_report(args, data, "Which genes decide, and how surely", STAGES)
    log2, expression = genes.expression_tables(data)
    X, y = data.X_train[expression.columns], data.y_train.cat.codes.to_numpy()
    rule = selection.choose_rule(len(X.columns), args.pairs, args.expected_false)
    models = build_models(data.preprocessing, args.seed).items()
    fitted = fit_models({name: u for name, u in models if u.model.importance}, data.X_train, y)
    pipelines = {name: f.pipeline for name, f in fitted.items()}
    tuned = {name: f.unfitted for name, f in fitted.items()}
    whole = np.arange(len(y)), y, [args.seed, 0]
    (selected,) = selection.refit_on_pairs(tuned, X, [whole], rule, "subsamples")
    table = genes.gene_table(data, expression, log2, selected[:, -1].mean(axis=0), args.seed)
    report.show_table(*headline(table))
    checks = selection.check_rule(tuned, X, y, selected, rule, args.permutations, args.seed)
    table.insert(4, "subsets", checks.subsets.sum())
    explanations = {n: genes.explain(p, data.X_train, args.seed) for n, p in pipelines.items()}
    models = genes.model_tables(pipelines, explanations, expression, data.X_train.columns, selected)
    leading = table.head(N_LEADING)
    report.add_figure("importances", draw_importances(models, data))
    report.add_figure("shap_summary", draw_shap_summary(explanations, data, expression))
    report.add_figure("selection_frequency", draw_frequencies(leading, models, checks, rule))
    report.add_figure("heatmap", draw_heatmap(data, expression, leading))
    report.add_figure("top_genes", draw_top_genes(data, expression, leading, args.seed))

    report_headline(report, data, table, rule, checks)
    lists = dict(zip([*pipelines, "All, by mean rank"], selected.swapaxes(0, 1), strict=True))
    lists["Selected genes, over subsets of the patients"] = checks.subsets.to_numpy()
    report_evidence(report, selection.stability_table(lists), table, rule, checks)
    report.add_table("genes", genes.full_table(table, models, data.classes))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
