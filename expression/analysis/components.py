"""Principal components of the patients: how many there are, and what they separate.

Parallel analysis permutes each gene over the training patients after preprocessing, so that only
what genes share is lost (before it, every array would mix all arrays). A component is retained when
it and all before it exceed the 95th percentile under permutation: a strict rule behind large ones,
whose variance the null keeps; and one that a laboratory's effect can pass.

A fit flatters its own patients, who lie closer to its components, and farther out on them, than
others do: what components separate is measured on held-out patients.

References: Horn (1965), Psychometrika 30:179, and Lee, Zou & Wright (2010), Ann. Statist. 38:3605
(parallel analysis); Cumming & Finch (2001), Educ. Psychol. Meas. 61:532 (interval of Cohen's d).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.linalg import eigvalsh
from scipy.optimize import linear_sum_assignment
from scipy.special import nctdtrinc
from scipy.stats import ttest_ind
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from expression.data import ExpressionData
from expression.parallel import run_parallel
from expression.preprocessing import Steps

MIN_GROUP = 5  # patients, for an effect size with an interval
ERROR = "reconstruction error"


class Components(NamedTuple):
    """Principal components, fitted on some patients."""

    pipeline: Pipeline  # the fitted preprocessing, then each gene to mean 0
    loadings: pd.DataFrame  # genes kept x components; the largest of a component is positive
    ratio: pd.Series  # each component's share of the variance

    def scores(self, X: pd.DataFrame, retained: int) -> pd.DataFrame:
        """Return patients x components, and the error of the first `retained`: what they leave of
        a patient, root mean square over the genes, in units of the preprocessed values."""
        Z = self.pipeline.transform(X.to_numpy())
        scores = pd.DataFrame(Z @ self.loadings.to_numpy(), X.index, self.loadings.columns)
        explained = np.square(scores.iloc[:, :retained]).sum(axis=1)
        unexplained = np.maximum(np.square(Z).sum(axis=1) - explained, 0)
        scores[ERROR] = np.sqrt(unexplained / Z.shape[1])
        return scores


def fit_components(X: pd.DataFrame, steps: Steps, count: int | None = None) -> Components:
    """Return the first `count` components (default: all) of the preprocessed patients of X.

    They come from the patients x patients products, which stay small with any number of genes.
    """
    pipeline = clone(Pipeline([*steps, ("centre", StandardScaler(with_std=False))]))
    Z = pipeline.fit_transform(X.to_numpy())
    pca = KernelPCA(count, eigen_solver="dense", remove_zero_eig=True).fit(Z)
    loadings = Z.T @ pca.eigenvectors_ / np.sqrt(pca.eigenvalues_)
    n_components = loadings.shape[1]
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(n_components)]
    loadings *= np.sign(largest)

    names = pd.Index([f"PC{i + 1}" for i in range(n_components)], name="component")
    genes = pd.Index(pipeline.get_feature_names_out(X.columns), name="accession")
    ratio = pd.Series(pca.eigenvalues_ / np.square(Z).sum(), names, name="ratio")
    return Components(pipeline, pd.DataFrame(loadings, genes, names), ratio)


def parallel_analysis(
    fitted: Components, X: pd.DataFrame, permutations: int, seed: int
) -> pd.DataFrame:
    """Return a row a component: its share of the variance, beside what permuted genes reach.

    X: the patients of the fit.
    """
    Z = fitted.pipeline.transform(X.to_numpy())
    tasks = [(Z, (seed, number)) for number in range(permutations)]
    null = np.vstack(run_parallel(permuted_ratio, tasks, "permutations"))

    ratio = fitted.ratio
    table = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum()})
    table["permuted_95"] = np.quantile(null[:, : len(ratio)], 0.95, axis=0)
    table["retained"] = (table["ratio"] > table["permuted_95"]).cummin()
    return table


def permuted_ratio(Z: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """Return the explained variance of Z, its columns permuted one by one."""
    permuted = np.random.default_rng(seed).permuted(Z, axis=0)
    return eigvalsh(permuted @ permuted.T)[::-1] / np.square(Z).sum()


def held_out_scores(
    loadings: pd.DataFrame, X: pd.DataFrame, steps: Steps, retained: int, folds: int, seed: int
) -> tuple[pd.DataFrame, pd.Series]:
    """Return the scores and errors of the patients of X, each from fits to the other folds, and
    the overlap: mean absolute cosine of the loadings with those of the matching component.

    As many folds as patients leave one out at a time.
    """
    splits = KFold(folds, shuffle=True, random_state=seed).split(X)
    tasks = [(X, steps, loadings, retained, others, held_out) for others, held_out in splits]
    scored = run_parallel(score_fold, tasks, "held-out patients")
    scores = pd.concat([of_fold for of_fold, _ in scored])
    cosines = pd.DataFrame([of_fold for _, of_fold in scored])
    return scores.loc[X.index], cosines.abs().mean()


def score_fold(
    X: pd.DataFrame,
    steps: Steps,
    loadings: pd.DataFrame,
    retained: int,
    others: np.ndarray,
    held_out: np.ndarray,
) -> tuple[pd.DataFrame, pd.Series]:
    """Return the scores of the held-out rows from a fit to the others, and the cosines between its
    components, which come in another order and of other signs, and those of the loadings."""
    # Twice as many, among which also components that fall behind find their match
    fitted = fit_components(X.iloc[others], steps, 2 * loadings.shape[1])
    cosines = loadings.T @ fitted.loadings.reindex(loadings.index, fill_value=0)
    of_all, of_others = linear_sum_assignment(-cosines.abs())
    components = loadings.columns[of_all]
    matched = pd.Series(cosines.to_numpy()[of_all, of_others], components)

    as_fitted = fitted.scores(X.iloc[held_out], retained)
    scores = as_fitted.iloc[:, of_others].set_axis(components, axis=1) * np.sign(matched)
    # Fewer components where fewer genes vary without the held-out patients
    scores = scores.reindex(columns=loadings.columns, fill_value=0)
    matched = matched.reindex(loadings.columns, fill_value=0)
    return scores.join(as_fitted[ERROR]), matched


# The patients on the two sides, by name
Contrasts = dict[str, tuple[pd.Series, pd.Series]]


def contrasts_in_training(data: ExpressionData) -> Contrasts:
    """Return the comparisons of the classes, and of other subgroups with the rest."""
    y = data.y_all
    subgroups = data.subgroups
    negative, positive = data.classes
    train = data.sample_set == "train"
    contrasts = {f"{positive} - {negative}": (train & (y == positive), train & (y == negative))}
    for subgroup in sorted(set(subgroups) - set(data.classes)):
        contrasts[f"{subgroup} - rest"] = (
            train & (subgroups == subgroup),
            train & (subgroups != subgroup),
        )
    return contrasts


def contrasts_of_sets(data: ExpressionData) -> Contrasts:
    """Return the comparisons of test with training patients, also by class, as shares differ."""
    y = data.y_all
    test = data.sample_set == "test"
    contrasts = {"test - train": (test, ~test)}
    for label in data.classes:
        contrasts[f"test - train, {label}"] = (test & (y == label), ~test & (y == label))
    return contrasts


def effect_sizes(values: pd.DataFrame, contrasts: Contrasts) -> pd.DataFrame:
    """Return Cohen's d of every column of values, with its 95 % interval, a row a contrast and
    column. Contrasts with a side of fewer than `MIN_GROUP` patients have none."""
    rows = []
    for contrast, (one_side, other_side) in contrasts.items():
        a = values[one_side].to_numpy()
        b = values[other_side].to_numpy()
        if min(len(a), len(b)) >= MIN_GROUP:
            d, low, high = cohen_d(a, b)
            for i, component in enumerate(values.columns):
                rows.append((contrast, component, d[i], low[i], high[i]))
    table = pd.DataFrame(rows, columns=["contrast", "component", "d", "low", "high"])
    return table.set_index(["contrast", "component"])


def cohen_d(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the difference of two means in pooled standard deviations, and its 95 % interval.

    a, b: patients x columns. 0.8 counts as large. The interval inverts the noncentral t
    distribution: exact where values are normal with one variance.
    """
    t = ttest_ind(a, b).statistic
    unit = np.sqrt(1 / len(a) + 1 / len(b))
    degrees_of_freedom = len(a) + len(b) - 2
    low = nctdtrinc(degrees_of_freedom, 0.975, t)
    high = nctdtrinc(degrees_of_freedom, 0.025, t)
    return t * unit, low * unit, high * unit
