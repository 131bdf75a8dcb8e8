"""The figures of Q2: what the models use, how often genes are selected, and how they look."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from scipy.cluster.hierarchy import linkage

from expression.analysis.models import MODELS
from expression.analysis.selection import SELECTED_FROM, Checks, Rule
from expression.data import ExpressionData
from expression.running import style

N_PANEL = 10  # genes of a panel that shows one model
MAX_DOTS = 200  # patients


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
