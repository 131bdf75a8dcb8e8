"""The figures of Q2: what the models use, how often genes are selected, and how they look."""

import math
from collections.abc import Collection
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
from scipy.cluster.hierarchy import linkage

from expression.analysis.models import MODELS
from expression.analysis.selection import SELECTED_FROM, Controls, Rule
from expression.data import ExpressionData
from expression.running import style

N_PANEL = 10  # genes of a panel that shows one model
N_TOP = 8  # genes with a panel of their own
MAX_DOTS = 200  # patients
MAX_BESIDE = 6  # classes, of which four panels stand beside each other
LEGEND_COLUMNS = 5
HEATMAP_INCHES = 5.4  # high, with one row in each legend
LEGEND_ROW_INCHES = 0.17
LEGEND_INCHES = 6  # wide over the heatmap, beside the scale of its colours
HANDLE_INCHES = 0.45  # of a colour in a legend, with the space around it
LETTER_INCHES = 0.065
MAX_LEGEND = 22  # letters of a name
FOLLOWS_BATCH = "†"  # beside the name of a gene
# Of batches: Paul Tol's muted colours without those that could be of a class or a set
BATCH_COLORS = ("#DDCC77", "#882255", "#44AA99", "#117733", "#AA4499", "#999933")
OTHER_BATCHES = "#FFFFFF"
NO_CLASS = "0.6"  # where a gene pushes towards none, but away from one


def draw_importances(models: dict[str, pd.DataFrame], data: ExpressionData) -> plt.Figure:
    """Draw each model's first genes by its own importance; coefficients of two classes with their
    sign."""
    figure, axes = style.panel_grid(len(models), columns=2, height=2.4)
    palette = style.class_palette(data)
    of_two = len(palette) == 2
    towards = {f"towards {label}": color for label, color in palette.items()}
    for ax, (name, table) in zip(axes, models.items(), strict=True):
        first = table[table["rank"].notna()].nsmallest(N_PANEL, "rank")
        importance = MODELS[name].importance
        sizes, label = first["importance"], importance.label
        if importance.signed and of_two:
            sizes = sizes.where(first["direction"] == data.classes[1], -sizes)
        elif importance.signed:
            label = f"norm over classes of the\n{label}"
        colors = first["direction"].map(palette).fillna(NO_CLASS)
        if NO_CLASS in set(colors):
            towards["towards no class alone"] = NO_CLASS
        style.draw_bars(ax, sizes, colors, data.gene_names[first.index], N_PANEL)
        ax.set(title=name, xlabel=label)
    style.legend_below(
        figure,
        style.color_handles(towards),
        list(towards),
        columns=LEGEND_COLUMNS,
        title="Higher expression pushes",
    )
    figure.suptitle(
        f"The genes each model uses most, {len(data.X_train)} training {patient_word(data)}s"
    )
    return figure


def draw_shap_summary(
    explanations: dict[str, pd.DataFrame], data: ExpressionData, expression: pd.DataFrame
) -> plt.Figure:
    """Draw each model's first genes by their SHAP values: a dot a patient towards the positive of
    two classes, of more the mean size towards each.

    explanations: patients x (class, gene), by model.
    """
    if len(data.classes) > 2:
        return draw_shap_sizes(explanations, data)
    return draw_shap_dots(explanations, data, expression)


def draw_shap_sizes(explanations: dict[str, pd.DataFrame], data: ExpressionData) -> plt.Figure:
    """Draw the mean size of each model's SHAP values, classes behind each other, as shap's own
    bars are."""
    figure, axes = style.panel_grid(len(explanations), columns=2, height=2.7)
    palette = style.class_palette(data)
    for ax, (name, values) in zip(axes, explanations.items(), strict=True):
        sizes = values.abs().mean().unstack("class")
        of_all_classes = sizes.sum(axis="columns")
        first = of_all_classes[of_all_classes > 0].nlargest(N_PANEL).index
        drawn = pd.Series(0.0, first)
        for label, color in palette.items():
            size = sizes.loc[first, label]
            names = data.gene_names[first]
            style.draw_bars(ax, size, color, names, N_PANEL, left=drawn, linewidth=0.3)
            drawn += size
        ax.set(
            title=name, xlabel=f"mean |SHAP value| by class ({MODELS[name].importance.shap_unit})"
        )
    style.legend_below(
        figure,
        style.color_handles(palette),
        list(map(style.legend_name, palette)),
        columns=LEGEND_COLUMNS,
        title="Moves the output for",
    )
    figure.suptitle(f"What moves each model's output, {explained_patients(explanations, data)}")
    return figure


def draw_shap_dots(
    explanations: dict[str, pd.DataFrame], data: ExpressionData, expression: pd.DataFrame
) -> plt.Figure:
    """Draw each model's first genes by the SHAP values of the patients: not shap's own beeswarm,
    whose dots depend on NumPy's global random state."""
    figure, axes = style.panel_grid(len(explanations), columns=2, height=2.7)
    in_training = expression.loc[data.X_train.index]
    z = (in_training - in_training.mean()) / in_training.std()
    color = plt.cm.ScalarMappable(plt.Normalize(-2, 2), "coolwarm")
    for ax, (name, by_class) in zip(axes, explanations.items(), strict=True):
        values = by_class[data.classes[1]]
        mean_size = values.abs().mean()
        first = mean_size[mean_size > 0].nlargest(N_PANEL).index
        draw_shap_values(ax, values[first], z[first], data.gene_names[first], color)
        unit = MODELS[name].importance.shap_unit
        label = style.wrap_name(f"SHAP value ({unit} of {data.classes[1]})", 40)
        ax.set(title=name, xlabel=label, ylabel="")
        style.name_ticks(ax.yaxis, data.gene_names[first], ax.bbox.height / figure.dpi)
        ax.set_ylim(N_PANEL - 0.5, -0.5)
        ax.locator_params(axis="x", nbins=4)
    figure.colorbar(
        color,
        ax=axes,
        label="expression (SDs from the training mean)",
        location="bottom",
        shrink=0.6,
        aspect=50,
    )
    patients = explained_patients(explanations, data)
    figure.suptitle(f"What moves each model's output, {patients} (equal ones overlap)")
    return figure


def explained_patients(explanations: dict[str, pd.DataFrame], data: ExpressionData) -> str:
    """Return how many patients have SHAP values."""
    n_explained = len(next(iter(explanations.values())))
    return f"{n_explained} training {patient_word(data)}s"


def draw_shap_values(
    ax: plt.Axes,
    values: pd.DataFrame,
    z: pd.DataFrame,
    names: pd.Series,
    color: plt.cm.ScalarMappable,
) -> None:
    """Draw a dot a patient and gene, in the colour of the gene's expression z; a row a gene."""
    dots = values.stack().to_frame("value").assign(z=z.stack())
    dots["gene"] = names[dots.index.get_level_values(1)].to_numpy()
    style.draw_swarm(
        ax, dots, x="value", y="gene", hue="z", palette=color.cmap, hue_norm=color.norm
    )
    ax.axvline(0, color="0.3", linewidth=0.6, zorder=0)


def draw_frequencies(
    leading: pd.DataFrame, models: dict[str, pd.DataFrame], controls: Controls, rule: Rule
) -> plt.Figure:
    """Draw how often the leading genes are selected, by all models and by each."""
    figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 4.4))
    style.draw_bars(
        ax,
        leading["frequency"],
        "0.75",
        leading["gene"],
        rows=len(leading),
        label="mean rank over the models",
    )
    for name, series_style in style.series_styles(models).items():
        ax.plot(
            models[name].loc[leading.index, "frequency"],
            range(len(leading)),
            color=series_style["color"],
            marker=series_style["marker"],
            linestyle="",
            markersize=3.5,
            label=name,
        )
    ax.axvspan(
        0,
        controls.permuted.max(axis=None),
        color="0.93",
        zorder=0,
        label=(
            f"highest of {len(controls.permuted)} permutations, "
            f"{2 * controls.permuted_pairs} subsamples each"
        ),
    )
    ax.axvline(SELECTED_FROM, color="0.3", linestyle="--", label="selected from here")
    xlabel = f"share of {2 * rule.pairs} subsamples with the gene among the first {rule.first}"
    ax.set(xlim=(-0.01, 1.01), xlabel=xlabel)
    figure.legend(loc="outside lower center", ncols=3)
    figure.suptitle(f"The {len(leading)} genes selected most often in subsamples of the patients")
    return figure


def draw_heatmap(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame
) -> plt.Figure:
    """Draw the leading genes in all patients, both clustered (Ward); selected genes in bold, and
    those that follow the batch marked."""
    import seaborn as sns  # slow to import

    train = expression.loc[data.X_train.index, leading.index]
    z = ((expression[leading.index] - train.mean()) / train.std()).T
    bars, palettes = patient_bars(data)
    rows_of_legends = [math.ceil(len(names) / legend_columns(names)) for names in palettes]
    further_rows = LEGEND_ROW_INCHES * (sum(rows_of_legends) - len(palettes))
    height = HEATMAP_INCHES + further_rows
    shrink = HEATMAP_INCHES / height
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn sets its own
        grid = sns.clustermap(
            z,
            col_colors=bars,
            # Not seaborn's own trees: of hundreds of patients it warns that another package is
            # faster
            row_linkage=linkage(z, "ward"),
            col_linkage=linkage(z.T, "ward"),
            cmap="PRGn_r",
            vmin=-2.5,
            vmax=2.5,
            cbar_kws={"ticks": [-2, 0, 2]},
            dendrogram_ratio=(0.1, 0.12),
            colors_ratio=0.025,
            figsize=(style.PAGE_WIDTH, height),
        )
    rows = grid.dendrogram_row.reordered_ind
    columns = grid.dendrogram_col.reordered_ind
    genes = leading.iloc[rows]
    name_heatmap(grid.ax_heatmap, genes, z.columns.map(str)[columns], patient_word(data))
    grid.ax_cbar.set_title("SDs from the\ntraining mean", fontsize="x-small", fontweight="normal")
    top = 1 - shrink * (0.1 + 0.02 * len(palettes)) - further_rows / height
    grid.gs.update(left=0.02, right=0.79, bottom=shrink * 0.09, top=top)
    for ax in grid.figure.axes:  # which moves by itself only what pyplot keeps
        ax.set_position(ax.get_subplotspec().get_position(grid.figure))
    grid.ax_cbar.set_position([0.04, 1 - shrink * 0.2, 0.015, shrink * 0.08])
    legend_top = 1 - shrink * 0.05
    for palette, rows_of_legend in zip(palettes, rows_of_legends, strict=True):
        grid.figure.legend(
            style.color_handles(palette),
            [style.legend_name(style.shorten(name, MAX_LEGEND)) for name in palette],
            loc="upper center",
            bbox_to_anchor=(0.5, legend_top),
            ncols=legend_columns(palette),
        )
        legend_top -= shrink * 0.025 + LEGEND_ROW_INCHES * (rows_of_legend - 1) / height
    patients = f"{z.shape[1]:,} {patient_word(data)}s"
    grid.figure.suptitle(
        f"The {len(leading)} leading genes in all {patients} ({marks_text(leading)})"
    )
    return grid.figure


def legend_columns(names: Collection[str]) -> int:
    """Return how many columns a legend of these names has room for over the heatmap."""
    longest = min(MAX_LEGEND, max(map(len, names)))
    room = int(LEGEND_INCHES / (HANDLE_INCHES + LETTER_INCHES * longest))
    return min(len(names), room, LEGEND_COLUMNS)


def marks_text(genes: pd.DataFrame) -> str:
    """Return what the names of genes in a heatmap say besides."""
    marks = "bold: selected"
    if marked_genes(genes).any():
        marks += f"; {FOLLOWS_BATCH}: differs between batches"
    return marks


def marked_genes(genes: pd.DataFrame) -> pd.Series:
    """Return which of the genes follow the batch, as far as that is known."""
    return genes.get("follows_batch", pd.Series(False, genes.index))


def patient_word(data: ExpressionData) -> str:
    """Return what a dot or a column is: a patient, or one of the arrays of a patient."""
    return "patient" if data.groups is None else "array"


def patient_bars(data: ExpressionData) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return the colours of the patients, a column a bar over the heatmap, and what they mean, a
    row of the legend after another."""
    palette = style.subgroup_palette(data)
    kind = "class" if data.subtypes is None else "subtype"
    bars = pd.DataFrame({kind: data.subgroups.map(palette)})
    if len(data.X_test):
        bars["set"] = data.sample_set.map(style.SET_COLORS)
        palette = palette | style.SET_COLORS
    if data.batches is None:
        return bars, [palette]
    counts = data.batches.value_counts()
    largest = sorted(counts.index[: len(BATCH_COLORS)])
    of_batches = dict(zip(largest, BATCH_COLORS, strict=False))
    are_all = len(largest) == len(counts)
    bar = "batch" if are_all else f"batch ({len(largest)} largest)"
    bars[bar] = data.batches.map(of_batches).fillna(OTHER_BATCHES)
    return bars, [palette, of_batches]


def name_heatmap(ax: plt.Axes, genes: pd.DataFrame, patients: pd.Index, word: str) -> None:
    """Name the rows of a heatmap, and the columns where the names are short."""
    ax.set(xlabel=word, ylabel="")
    style.name_ticks(ax.xaxis, patients if max(map(len, patients)) < 9 else [], 5.4, first=0.5)
    marked = genes["gene"].map(partial(style.shorten, width=style.MAX_NAME - 2))
    marked += f" {FOLLOWS_BATCH}"
    names = genes["gene"].mask(marked_genes(genes), marked)
    style.name_ticks(ax.yaxis, names, 4, first=0.5)
    for is_selected, tick in zip(genes["selected"], ax.get_yticklabels(), strict=False):
        tick.set_fontweight("bold" if is_selected else "normal")


def draw_top_genes(
    data: ExpressionData, expression: pd.DataFrame, leading: pd.DataFrame, seed: int
) -> plt.Figure:
    """Draw the first genes in every patient, by set and class; of very many patients, in some."""
    first = leading.index[:N_TOP]
    palette = style.class_palette(data)
    columns = 4 if len(palette) <= MAX_BESIDE else 2
    figure, axes = style.panel_grid(len(first), columns=columns, height=1.9)
    patients = pd.DataFrame({"set": data.sample_set, "class": data.y_all.astype(str)})
    drawn = patients.sample(min(len(patients), MAX_DOTS), random_state=seed).sort_index()
    drawn = drawn.sort_values("set", ascending=False, kind="stable")  # train, test
    for ax, gene in zip(axes, first, strict=True):
        style.draw_swarm(
            ax,
            drawn.assign(expression=expression[gene]),
            x="set",
            y="expression",
            hue="class",
            hue_order=list(palette),
            dodge=True,
            palette=palette,
        )
        ax.set(title=style.shorten(leading.loc[gene, "gene"], 22), xlabel="", ylabel="")
    figure.supylabel("expression (log2, arrays standardised)", fontsize="medium")
    style.legend_below(
        figure,
        style.color_handles(palette),
        list(map(style.legend_name, palette)),
        columns=LEGEND_COLUMNS,
    )
    figure.suptitle(f"The leading genes in {len(drawn)} of {len(patients)} {patient_word(data)}s")
    return figure
