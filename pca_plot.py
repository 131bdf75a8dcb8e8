"""Where is the variance, and how many dimensions matter? (Q3)

Principal component analysis (PCA) of the training patients; the test patients are projected.
The traps: noise has a first component too, and "80 % of the variance" does not notice. And a fit
flatters its own patients, who lie closer to its components, and farther out on them, than others
do: what a component separates is measured on leave-one-out scores.

Parallel analysis: each gene is permuted over the training patients after preprocessing, so that
only what genes share is lost (before it, every array would mix all arrays). A component is retained
when it and all before it exceed 95 % of the permutations: a strict rule behind large ones, whose
variance the null keeps; and one that a laboratory's effect can pass.
Signs: the gene of largest absolute loading is positive (scikit-learn's `svd_flip`).

Input: a data folder (see expression/data.py). Written to outputs/pca_plot/:
    metrics.txt, metrics.json                    how many components, and what they separate
    explained_variance.csv, associations.csv     a row a component; what components separate
    scores.csv, loadings.csv                     a row a patient; a row a gene
    scree, pca_patients, pca_components          figures: the components and the patients
    loadings, raw_vs_preprocessed, train_vs_test figures: their genes; preprocessing; test patients

References: Horn (1965), Psychometrika 30:179; Lee, Zou & Wright (2010), Ann. Statist. 38:3605.
"""

import expression.early  # noqa: F401 (an interrupt during the imports)
import argparse
import itertools
import sys
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.linalg import eigvalsh
from scipy.stats import bootstrap
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from expression import style
from expression.data import ExpressionData
from expression.genes import literature_overlap
from expression.options import add_counts, command_line, load_data, make_parser, start_report
from expression.parallel import run_parallel
from expression.report import Report

VARIANCE_RULES = (0.8, 0.9, 0.95)
MIN_GROUP = 5  # patients, for an effect size with an interval
TOP_GENES, NAMED_GENES = 50, 12  # in the overlap, as many as the literature's list; by name
BATCHES = 20  # of the permutations, each a task
ERROR = "reconstruction error"


class Components(NamedTuple):
    """A fitted PCA: scores of all patients, and the loadings of the genes, by component."""

    pipeline: Pipeline
    scores: pd.DataFrame  # patients x components, named with their share of the variance
    loadings: pd.DataFrame  # genes x components


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "pca_plot")
    add_counts(
        parser,
        ("--permutations", 500, 20, "permutations of the parallel analysis"),
        ("--components", 10, 2, "components to keep in the tables"),
    )
    return parser.parse_args(argv)


def fit_components(data: ExpressionData, steps: list) -> Components:
    """Return steps and PCA, fitted on the training patients."""
    pca = PCA(svd_solver="full")  # the default would pick a randomised one for some shapes
    pipeline = Pipeline([*steps, ("pca", pca)]).fit(data.X_train.to_numpy())
    shares = enumerate(100 * pca.explained_variance_ratio_, start=1)
    axes = [f"PC{number} ({share:.1f} % of variance)" for number, share in shares]
    scores = pd.DataFrame(pipeline.transform(data.X_all.to_numpy()), data.X_all.index, axes)
    genes = pipeline[:-1].get_feature_names_out(data.X_train.columns)
    loadings = pd.DataFrame(pca.components_.T, pd.Index(genes, name="accession"))
    return Components(pipeline, scores, loadings.rename(columns=lambda i: f"PC{i + 1}"))


def explained_variance(
    pipeline: Pipeline, X: pd.DataFrame, permutations: int, seed: int
) -> pd.DataFrame:
    """Return a row a component: its share of the variance, and what permuted genes reach."""
    ratio = pipeline[-1].explained_variance_ratio_[: len(X) - 1]  # centring takes one away
    Z = pipeline[:-1].transform(X.to_numpy()) - pipeline[-1].mean_
    batches = np.array_split(np.arange(permutations), BATCHES)
    tasks = [(Z, [(seed, number) for number in batch]) for batch in batches]
    null = np.vstack(run_parallel(permuted_ratios, tasks, "permutations"))[:, : len(ratio)]
    names = pd.Index([f"PC{i + 1}" for i in range(len(ratio))], name="component")
    table = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum()}, names)
    table["null_mean"], table["null_95"] = null.mean(axis=0), np.quantile(null, 0.95, axis=0)
    table["p_value"] = (1 + (null >= ratio).sum(axis=0)) / (1 + len(null))
    return table.assign(retained=(table["ratio"] > table["null_95"]).cummin())


def permuted_ratios(Z: np.ndarray, seeds: list[tuple[int, int]]) -> np.ndarray:
    """Return the explained variance of Z, its columns permuted one by one, a row a seed."""
    permuted = (np.random.default_rng(seed).permuted(Z, axis=0) for seed in seeds)
    eigenvalues = [eigvalsh(P @ P.T)[::-1] for P in permuted]
    return np.reshape(eigenvalues, (len(seeds), len(Z))) / np.square(Z).sum()


def dimensions_to_draw(variance: pd.DataFrame) -> int:
    """Return 2 or 3: how many components stand before the larger drop of their variance."""
    ratio = variance["ratio"].to_numpy()
    candidates = (2, 3) if variance["retained"].sum() > 2 else (2,)
    return max(candidates, key=lambda k: ratio[k - 1] - ratio[k])


def leave_one_out_scores(
    pipeline: Pipeline, data: ExpressionData, variance: pd.DataFrame
) -> pd.DataFrame:
    """Return each patient's scores, and the error (root mean square over genes) of the retained
    components: a training patient's from a fit to the others, turned to the signs of `pipeline`."""
    X = data.X_train.to_numpy()
    tasks = [(pipeline, X, patient, i) for i, patient in enumerate(data.X_all.to_numpy())]
    tasks = [(*task, variance["retained"].to_numpy()) for task in tasks]
    rows = run_parallel(score_patient, tasks, "leave-one-out scores")
    return pd.DataFrame(rows, data.X_all.index, [*variance.index, ERROR])


def score_patient(
    pipeline: Pipeline, X: np.ndarray, patient: np.ndarray, position: int, retained: np.ndarray
) -> list[float]:
    """Return the scores and the error of one patient, left out of X where it has a position."""
    n, fitted = len(retained), pipeline
    if position < len(X):
        fitted = clone(pipeline).fit(np.delete(X, position, axis=0))
    found = fitted.transform([*X, patient])[:, :n]
    found = np.pad(found, [(0, 0), (0, n - found.shape[1])])  # fewer genes may vary without it
    signs = np.sign((found[:-1] * pipeline.transform(X)[:, :n]).sum(axis=0))
    centred = fitted[:-1].transform([patient]) - fitted[-1].mean_
    unexplained = np.square(centred).sum() - np.square(found[-1, retained]).sum()
    return [*(signs * found[-1]), np.sqrt(unexplained / centred.size)]


def cohen_d(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the difference of two means in pooled standard deviations (0.8 counts as large)."""
    n_a, n_b = a.shape[axis], b.shape[axis]
    squares = n_a * a.var(axis=axis) + n_b * b.var(axis=axis)
    return (a.mean(axis=axis) - b.mean(axis=axis)) / np.sqrt(squares / (n_a + n_b - 2))


def effect_sizes(values: pd.DataFrame, data: ExpressionData, seed: int) -> pd.DataFrame:
    """Return Cohen's d of every column, with its 95 % interval (bootstrap, BCa): of classes and
    subtypes in training, and of test with training patients, also by class, as shares differ."""
    train, y, groups = data.sample_set == "train", data.y_all, style.patient_groups(data)
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


def draw_scree(variance: pd.DataFrame, needed: dict[str, int]) -> plt.Figure:
    """Draw the shares of variance over their null, and their running sum with the rules."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE_WIDTH, 3))
    number, percent, n = range(1, len(variance) + 1), 100 * variance, variance["retained"].sum()
    left.fill_between(number, percent["null_95"], color="0.85", label="95 % of permutations")
    left.plot(number, percent["ratio"], "o-", color="0.3", mfc="w", label="not above them")
    left.plot(number[:n], percent["ratio"][:n], "ko", label=f"above: retained ({n})")
    left.set(xlabel="Component", ylabel="% of variance", ylim=0)
    left.legend()
    right.plot(number, percent["cumulative"], "k.-")
    right.set(xlabel="Components", ylabel="% of variance, together", xlim=0, ylim=(0, 102))
    right.set(xticks=[1, *needed.values()], yticks=[0, 50, *(100 * s for s in VARIANCE_RULES)])
    right.grid(ls=":")
    return figure


def draw_patients(planes: list, data: ExpressionData, height: float = 3.2) -> plt.Figure:
    """Draw the patients over the two columns of each plane: filled training, open test."""
    figure, axes = plt.subplots(1, len(planes), squeeze=False)
    figure.set_size_inches(style.PAGE_WIDTH, height)
    groups, palette = style.patient_groups(data), style.group_palette(data)
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


def draw_loadings(loadings: pd.DataFrame, data: ExpressionData) -> plt.Figure:
    """Draw the largest loadings by gene name, informative genes in the colour of their class."""
    n = loadings.shape[1]
    figure, axes = plt.subplots(n, 1, sharex=True, figsize=(style.PAGE_WIDTH, 2.2 * n))
    higher_in = pd.Series(dtype=str) if data.informative_genes is None else data.informative_genes
    for ax, (component, column) in zip(axes, loadings.items(), strict=True):
        top = column[column.abs().nlargest(NAMED_GENES).index[::-1]]
        names, listed = data.gene_names[top.index], higher_in.reindex(top.index)
        ax.barh(names, top, color="0.7", label="other genes")
        for label, color in style.class_palette(data).items():
            shown = top.where(listed == label)
            ax.barh(names, shown, color=color, label=f"informative, higher in {label}")
        ax.set(title=component, xlabel="Loading" if ax is axes[-1] else "")
    if len(higher_in):
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def report_dimensions(report: Report, variance: pd.DataFrame, needed: dict, drawn: int) -> None:
    """Open with how many components there are, by every rule."""
    ratio, retained = variance["ratio"], int(variance["retained"].sum())
    rows = [{"rule": f"{rule} of the variance", "components": n} for rule, n in needed.items()]
    rows += [{"rule": "retained by parallel analysis", "components": retained}]
    rows += [{"rule": "to draw", "components": drawn}]
    before, after = ratio.iloc[drawn - 1 : drawn + 1]
    note = (
        f"The {retained} retained components hold {ratio[:retained].sum():.0%} of the variance. "
        f"{drawn} are drawn ({ratio[:drawn].sum():.0%}): the variance drops more after PC{drawn} "
        f"({before:.1%} to {after:.1%}), and components of nearly equal variance are arbitrary as "
        "axes."
    )
    report.add_headline("PCA of the training patients", rows, [note])


def report_test_patients(report: Report, errors: pd.Series, sets: pd.Series, effects) -> None:
    """Say how well the training components describe the test patients, and what that means."""
    key, title = ("test - train", ERROR), "Test patients: reconstruction error"
    if key not in effects.index:
        report.add_section("test_patients", title, {}, "Not computed: too few test patients.")
        return
    farther = effects.loc[key, "low"] > 0
    meaning = "may flatter models" if farther else "is a fair guide"
    largest = ", ".join(map(str, errors[sets == "test"].nlargest(5).index))
    note = (
        f"{'Larger' if farther else 'No larger'} than that of training patients left out of the "
        f"fit: cross-validation {meaning}. Largest: {largest}. Root mean square over genes, in "
        "array SDs."
    )
    report.add_section("test_patients", title, errors.groupby(sets).describe(), note)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    report = start_report(args, data, "Principal components of gene expression")

    pipeline, scores, loadings = fit_components(data, data.preprocessing.steps())
    raw_scores = fit_components(data, [("intensities", "passthrough")]).scores
    variance = explained_variance(pipeline, data.X_train, args.permutations, args.seed)
    drawn = dimensions_to_draw(variance)
    needed = {f"{s:.0%}": int((variance["cumulative"] < s).sum()) + 1 for s in VARIANCE_RULES}
    kept = variance.index[: args.components]
    loadings = loadings[kept]
    left_out = leave_one_out_scores(pipeline, data, variance)
    effects = effect_sizes(left_out[[*kept, ERROR]], data, args.seed)
    report.add_figure("scree", draw_scree(variance, needed))
    report.add_figure("pca_patients", draw_patients([scores.iloc[:, :2]], data, height=4.5))
    planes = [scores[list(pair)] for pair in itertools.combinations(scores.columns[:drawn], 2)]
    report.add_figure("pca_components", draw_patients(planes, data))
    report.add_figure("loadings", draw_loadings(loadings.iloc[:, :drawn], data))
    planes = [raw_scores.iloc[:, :2].add_prefix("Raw "), scores.iloc[:, :2]]
    report.add_figure("raw_vs_preprocessed", draw_patients(planes, data))
    if ("test - train", ERROR) in effects.index:
        shift = effects.loc["test - train", "d"].drop(ERROR).abs().nlargest(2).index
        planes = [left_out[["PC1", ERROR]], left_out[list(shift)]]
        report.add_figure("train_vs_test", draw_patients(planes, data))

    report_dimensions(report, variance, needed, drawn)
    report.add_section("variance", "Variance, beside genes permuted one by one", variance.loc[kept])
    shown = effects[effects.index.isin([*kept[:drawn], ERROR], level="component")]
    title = "Cohen's d of leave-one-out scores, 95 % interval"
    report.add_section("associations", title, shown)
    if data.informative_genes is not None:
        lists = {name: loadings[name].abs().nlargest(TOP_GENES).index for name in kept}
        overlap = literature_overlap(lists, data.informative_genes.index, loadings.index)
        title = f"Informative genes among the {TOP_GENES} of largest loading"
        note = "Chosen by class, so a component that follows the class holds some of them."
        report.add_section("literature", title, overlap.rename_axis("component"), note)
    report_test_patients(report, left_out[ERROR], data.sample_set, effects)
    report.add_table("explained_variance", variance)
    columns = [data.y_all, data.subtypes, data.sample_set, left_out[ERROR]]
    columns += [scores.iloc[:, : len(kept)].set_axis(kept, axis=1)]
    report.add_table("scores", pd.concat(columns, axis=1))
    report.add_table("loadings", loadings.assign(gene=data.gene_names))
    report.add_table("associations", effects)
    report.write()


if __name__ == "__main__":
    sys.exit(main())
