"""Where is the variance, and how many dimensions matter? (Q3)

Principal component analysis (PCA) of the training patients; the test patients are projected.
The traps: noise has a first component too, and "80 % of the variance" does not notice. And a fit
flatters its own patients, who lie closer to its components, and farther out on them, than others
do: what a component separates is measured on scores of patients left out of the fit.

Parallel analysis: each gene is permuted over the training patients after preprocessing, so that
only what genes share is lost (before it, every array would mix all arrays). A component is real
when it and all before it exceed 95 % of the permutations: a strict rule behind large ones, whose
variance the null keeps; and one that a laboratory's effect can pass.
Signs: the gene of largest absolute loading is positive (scikit-learn's `svd_flip`).

Reads the data folder (see expression_data.py). Writes metrics.txt, metrics.json, four tables
(explained_variance, scores, loadings, and associations: what components separate) and the figures
scree, pca_patients, pca_components, loadings, raw_vs_preprocessed and train_vs_test.

References: Horn (1965), Psychometrika 30:179; Lee, Zou & Wright (2010), Ann. Statist. 38:3605.
"""

import itertools
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.linalg import eigvalsh
from scipy.stats import bootstrap, hypergeom
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from tqdm import trange

from expression_data import ExpressionData
from preprocessing import preprocessing_steps
from reporting import (
    PAGE_WIDTH,
    Report,
    class_palette,
    command_line,
    group_palette,
    load_data,
    make_parser,
    patient_groups,
    whole_number,
)

VARIANCE_RULES = (0.8, 0.9, 0.95)
MIN_GROUP = 5  # patients, for an effect size with an interval
TOP_GENES, NAMED_GENES = 50, 12  # in the enrichment, as many as the literature's list; by name
ERROR = "reconstruction error"


def fit_pca(data: ExpressionData, steps: list) -> tuple[Pipeline, pd.DataFrame]:
    """Return steps and PCA, fitted on the training patients, and the scores of all patients."""
    pca = PCA(svd_solver="full")  # the default would pick a randomised one for some shapes
    pipeline = Pipeline([*steps, ("pca", pca)]).fit(data.X_train.to_numpy())
    shares = enumerate(100 * pca.explained_variance_ratio_, start=1)
    axes = [f"PC{number} ({share:.1f} % of variance)" for number, share in shares]
    return pipeline, pd.DataFrame(pipeline.transform(data.X_all.to_numpy()), data.X_all.index, axes)


def explained_variance(pipeline: Pipeline, X: pd.DataFrame, args) -> pd.DataFrame:
    """Return a row a component: its share of the variance, and what permuted genes reach."""
    ratio = pipeline[-1].explained_variance_ratio_[: len(X) - 1]  # centring takes one away
    Z = pipeline[:-1].transform(X.to_numpy()) - pipeline[-1].mean_
    rng = np.random.default_rng(args.seed)
    rounds = trange(args.permutations, desc="permutations", disable=args.quiet or None, leave=False)
    permuted = (rng.permuted(Z, axis=0) for _ in rounds)
    null = np.array([eigvalsh(P @ P.T)[::-1][: len(ratio)] for P in permuted]) / np.square(Z).sum()
    names = pd.Index([f"PC{i + 1}" for i in range(len(ratio))], name="component")
    table = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum()}, names)
    table["null_mean"], table["null_95"] = null.mean(axis=0), np.quantile(null, 0.95, axis=0)
    table["p_value"] = (1 + (null >= ratio).sum(axis=0)) / (1 + len(null))
    return table.assign(real=(table["ratio"] > table["null_95"]).cummin())


def recommend_dimensions(variance: pd.DataFrame) -> tuple[int, str]:
    """Return 2 or 3, the number of components to draw: those before the larger drop; and why."""
    ratio, n_real = variance["ratio"].to_numpy(), variance["real"].sum()
    k = max((2, 3) if n_real > 2 else (2,), key=lambda k: ratio[k - 1] - ratio[k])
    return k, (
        f"Above permuted genes: {n_real} components, {ratio[:n_real].sum():.0%} of the variance. "
        f"To draw: {k} ({ratio[:k].sum():.0%}), as those\nof nearly equal variance are arbitrary "
        f"as axes, and it drops more after PC{k} ({ratio[k - 1]:.1%} to {ratio[k]:.1%})."
    )


def left_out_scores(pipeline: Pipeline, data: ExpressionData, variance: pd.DataFrame):
    """Return each patient's scores, and error off the real components (root mean square over
    genes): training patients from a fit to the others, turned to the signs of `pipeline`."""
    X, n, rows = data.X_train.to_numpy(), len(variance), []
    full = pipeline.transform(X)[:, :n]
    for i, patient in enumerate(data.X_all.to_numpy()):
        fitted = clone(pipeline).fit(np.delete(X, i, axis=0)) if i < len(X) else pipeline
        found = fitted.transform([*X, patient])[:, :n]
        found = np.pad(found, [(0, 0), (0, n - found.shape[1])])  # fewer genes may vary without it
        scores = np.sign((found[:-1] * full).sum(axis=0)) * found[-1]
        centred = fitted[:-1].transform([patient]) - fitted[-1].mean_
        left = np.square(centred).sum() - np.square(scores[variance["real"]]).sum()
        rows.append([*scores, np.sqrt(left / centred.size)])
    return pd.DataFrame(rows, data.X_all.index, [*variance.index, ERROR])


def cohen_d(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the difference of two means in pooled standard deviations (0.8 counts as large)."""
    n_a, n_b = a.shape[axis], b.shape[axis]
    squares = n_a * a.var(axis=axis) + n_b * b.var(axis=axis)
    return (a.mean(axis=axis) - b.mean(axis=axis)) / np.sqrt(squares / (n_a + n_b - 2))


def effect_sizes(values: pd.DataFrame, data: ExpressionData, seed: int) -> pd.DataFrame:
    """Return Cohen's d of every column, with its 95 % interval (bootstrap, BCa): of classes and
    subtypes in training, and of test with training patients, also by class, as shares differ."""
    train, y, groups = data.sample_set == "train", data.y_all, patient_groups(data)
    contrasts = {" - ".join(data.classes[::-1]): (train, y == data.classes[1])}
    for group in sorted(set(groups) - set(data.classes)):
        contrasts[f"{group} - rest"] = (train, groups == group)
    contrasts["test - train"] = (y.notna(), ~train)
    contrasts |= {f"test - train, {label}": (y == label, ~train) for label in data.classes}
    tables = {}
    for name, (among, chosen) in contrasts.items():
        a, b = (values[among & side].to_numpy().T for side in (chosen, ~chosen))
        if min(a.shape[1], b.shape[1]) >= MIN_GROUP:
            result = bootstrap((a, b), cohen_d, axis=-1, n_resamples=2_000, rng=seed)
            sizes = [cohen_d(a, b), *result.confidence_interval]
            tables[name] = pd.DataFrame(sizes, ["d", "low", "high"], values.columns).T
    return pd.concat(tables, names=["contrast", "component"])


def enrichment(loadings: pd.DataFrame, informative: pd.Series) -> pd.DataFrame:
    """Return how many informative genes, a list chosen by class, load most; p: hypergeometric."""
    known, n_top = loadings.index.isin(informative.index), min(TOP_GENES, len(loadings))
    found = (loadings.abs().rank(ascending=False, method="first") <= n_top)[known].sum()
    p_value = hypergeom.sf(found - 1, len(loadings), known.sum(), n_top)
    return pd.DataFrame({"found": found, "expected": n_top * known.mean(), "p_value": p_value})


def leading_genes(loadings: pd.DataFrame, data: ExpressionData) -> dict[str, list[str]]:
    """Return the names of the genes of largest loading, by component and sign."""
    named = {}
    for component, column in loadings.items():
        top = column[column.abs().nlargest(NAMED_GENES).index]
        for sign, side in (("+", top[top > 0]), ("-", top[top < 0])):
            named[f"{component} {sign}"] = list(data.gene_names[side.index])
    return named


def plot_scree(variance: pd.DataFrame, needed: dict[str, int]) -> plt.Figure:
    """Draw the shares of variance over their null, and their running sum with the rules."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3))
    number, percent, n_real = range(1, len(variance) + 1), 100 * variance, variance["real"].sum()
    left.fill_between(number, percent["null_95"], color="0.85", label="95 % of permutations")
    left.plot(number, percent["ratio"], "o-", color="0.3", mfc="w", label="not above them")
    left.plot(number[:n_real], percent["ratio"][:n_real], "ko", label=f"above: real ({n_real})")
    left.set(xlabel="Component", ylabel="% of variance", ylim=0)
    left.legend()
    right.plot(number, percent["cumulative"], "k.-")
    right.set(xlabel="Components", ylabel="% of variance, together", xlim=0, ylim=(0, 102))
    right.set(xticks=[1, *needed.values()], yticks=[0, 50, *(100 * s for s in VARIANCE_RULES)])
    right.grid(ls=":")
    return figure


def plot_patients(planes: list, data: ExpressionData, height: float = 3.2) -> plt.Figure:
    """Draw the patients over the two columns of each plane: filled training, open test."""
    figure, axes = plt.subplots(1, len(planes), squeeze=False)
    figure.set_size_inches(PAGE_WIDTH, height)
    groups, palette = patient_groups(data), group_palette(data)
    for ax, xy in zip(axes.flat, planes, strict=True):
        for (group, color), marker in zip(palette.items(), itertools.cycle("os^DvP*X")):
            for name, fill in (("train", color), ("test", "none")):
                x, y = xy[(groups == group) & (data.sample_set == name)].to_numpy().T
                if len(x):
                    label = f"{group}, {name} ({len(x)})"
                    ax.plot(x, y, marker, color=color, mfc=fill, label=label)
        ax.set(xlabel=xy.columns[0], ylabel=xy.columns[1])
        ax.locator_params(nbins=5)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def plot_loadings(loadings: pd.DataFrame, data: ExpressionData) -> plt.Figure:
    """Draw the largest loadings by gene name, informative genes in the colour of their class."""
    n, width = loadings.shape[1], PAGE_WIDTH
    figure, axes = plt.subplots(n, 1, sharex=True, figsize=(width, 2.2 * n))
    higher_in = pd.Series(dtype=str) if data.informative_genes is None else data.informative_genes
    for ax, (component, column) in zip(axes, loadings.items(), strict=True):
        top = column[column.abs().nlargest(NAMED_GENES).index[::-1]]
        names, listed = data.gene_names[top.index], higher_in.reindex(top.index)
        ax.barh(names, top, color="0.7", label="other genes")
        for label, color in class_palette(data).items():
            shown = top.where(listed == label)
            ax.barh(names, shown, color=color, label=f"informative, higher in {label}")
        ax.set(title=component, xlabel="Loading" if ax is axes[-1] else "")
    if len(higher_in):
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def report_test_patients(report: Report, data: ExpressionData, left_out, effects) -> None:
    """Say how far the test patients sit off the training components, and what that means."""
    key, title = ("test - train", ERROR), "Test patients off the training components"
    if key not in effects.index:
        return report.add_section("test_patients", title, {}, "Left out: too few test patients.")
    errors, shift = left_out[ERROR], effects.loc["test - train", "d"].drop(ERROR).abs()
    farthest = ", ".join(map(str, errors[data.sample_set == "test"].nlargest(5).index))
    note = "No farther off than left-out training patients: cross-validation is a fair guide."
    if effects.loc[key, "low"] > 0:
        note = "Farther off than left-out training patients: cross-validation may flatter models."
    note += f"\nFarthest: {farthest}. Error: root mean square over genes, in array SDs."
    report.add_section("test_patients", title, errors.groupby(data.sample_set).describe(), note)
    planes = [left_out[["PC1", ERROR]], left_out[list(shift.nlargest(2).index)]]
    report.add_figure("train_vs_test", plot_patients(planes, data))


def parse_args(argv=None):
    parser = make_parser(__doc__, "pca_plot")
    add = parser.add_argument_group("options of this script").add_argument
    about = "permutations of the parallel analysis (default: 500)"
    add("--permutations", type=whole_number(20), default=500, metavar="N", help=about)
    about = "components to keep in the tables (default: 10)"
    add("--components", type=whole_number(2), default=10, metavar="N", help=about)
    return parser.parse_args(argv)


@command_line
def main(argv=None) -> int:
    args = parse_args(argv)
    data = load_data(args)
    report = Report(args, data, "Principal components of gene expression")
    pipeline, scores = fit_pca(data, preprocessing_steps(args.expression))
    _, raw_scores = fit_pca(data, [("as_given", "passthrough")])
    variance = explained_variance(pipeline, data.X_train, args)
    n_drawn, why = recommend_dimensions(variance)
    kept = variance.index[: args.components]
    genes = pd.Index(pipeline[:-1].get_feature_names_out(data.X_train.columns), name="accession")
    loadings = pd.DataFrame(pipeline[-1].components_[: len(kept)].T, genes, kept)
    left_out = left_out_scores(pipeline, data, variance)
    effects = effect_sizes(left_out[[*kept, ERROR]], data, args.seed)
    needed = {f"for {s:.0%}": (variance["cumulative"] < s).sum() + 1 for s in VARIANCE_RULES}
    report.add_figure("scree", plot_scree(variance, needed))
    report.add_figure("pca_patients", plot_patients([scores.iloc[:, :2]], data, height=4.5))
    planes = [scores[list(pair)] for pair in itertools.combinations(scores.columns[:n_drawn], 2)]
    report.add_figure("pca_components", plot_patients(planes, data))
    report.add_figure("loadings", plot_loadings(loadings.iloc[:, :n_drawn], data))
    planes = [raw_scores.iloc[:, :2].add_prefix("Raw "), scores.iloc[:, :2]]
    report.add_figure("raw_vs_preprocessed", plot_patients(planes, data))
    report.add_table("explained_variance", variance)
    parts = [data.y_all, data.subtypes, data.sample_set, left_out[ERROR]]
    parts += [scores.iloc[:, : len(kept)].set_axis(kept, axis=1)]
    report.add_table("scores", pd.concat(parts, axis=1))
    report.add_table("loadings", loadings.assign(gene=data.gene_names))
    report.add_table("associations", effects)
    needed |= {"real": variance["real"].sum(), "to draw": n_drawn}
    report.add_section("dimensions", "How many components", needed, why)
    report.add_section("variance", "Variance, beside genes permuted one by one", variance.loc[kept])
    shown = effects[effects.index.isin([*kept[:n_drawn], ERROR], level="component")]
    report.add_section("associations", "Cohen's d on left-out scores, 95 % interval", shown)
    genes = leading_genes(loadings[kept[:n_drawn]], data)
    report.add_section("leading_genes", f"The {NAMED_GENES} genes of largest loading", genes)
    if data.informative_genes is not None:
        found = enrichment(loadings, data.informative_genes)
        title = f"Informative genes among the {TOP_GENES} of largest loading"
        note = (
            "The list was chosen by class, so a component that follows the class holds some of it."
        )
        report.add_section("enrichment", title, found, note)
    report_test_patients(report, data, left_out, effects)
    report.write(why)
    return 0


if __name__ == "__main__":
    sys.exit(main())
