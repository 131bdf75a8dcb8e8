"""Principal components of the patients: how many there are, and what they separate.

Parallel analysis permutes each gene over the training patients after preprocessing, so that only
what genes share is lost (before it, every array would mix all arrays). A component is retained when
it and all before it exceed the 95th percentile under permutation: a strict rule behind large ones,
whose variance the null keeps; and one that a laboratory's effect can pass. Where `groups` names the
person of each array, what arrays of one person share is permuted over people.

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
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from expression.analysis.splits import plain_folds
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
    fitted: Components, X: pd.DataFrame, groups: pd.Series | None, permutations: int, seed: int
) -> pd.DataFrame:
    """Return a row a component: its share of the variance, beside what permuted genes reach.

    X: the patients of the fit.
    """
    Z = fitted.pipeline.transform(X.to_numpy())
    people = None if groups is None else groups.loc[X.index].to_numpy()
    tasks = [(Z, people, (seed, number)) for number in range(permutations)]
    null = np.vstack(run_parallel(permuted_ratio, tasks, "permutations"))

    ratio = fitted.ratio
    table = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum()})
    table["permuted_95"] = np.quantile(null[:, : len(ratio)], 0.95, axis=0)
    table["retained"] = (table["ratio"] > table["permuted_95"]).cummin()
    return table


def permuted_ratio(Z: np.ndarray, people: np.ndarray | None, seed: tuple[int, int]) -> np.ndarray:
    """Return the explained variance of Z, its columns permuted one by one."""
    rng = np.random.default_rng(seed)
    permuted = rng.permuted(Z, axis=0) if people is None else permute_people(Z, people, rng)
    return eigvalsh(permuted @ permuted.T)[::-1] / np.square(permuted).sum()


def permute_people(Z: np.ndarray, people: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return Z, its columns permuted one by one: the means of people over people, and what arrays
    differ by from these over arrays, so that the arrays of one person stay alike."""
    numbers = pd.factorize(people)[0]
    means = pd.DataFrame(Z).groupby(numbers).mean().to_numpy()
    differences = Z - means[numbers]
    permuted = rng.permuted(means, axis=0)[numbers] + rng.permuted(differences, axis=0)
    return permuted - permuted.mean(axis=0)  # not 0 where some have more arrays than others


def held_out_scores(
    loadings: pd.DataFrame,
    X: pd.DataFrame,
    groups: pd.Series | None,
    steps: Steps,
    retained: int,
    folds: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.Series]:
    """Return the scores and errors of the patients of X, each from fits to the other folds, and
    the overlap: mean absolute cosine of the loadings with those of the matching component.

    As many folds as patients (people, where groups name them) leave one out at a time.
    """
    people = None if groups is None else groups.loc[X.index]
    splits = plain_folds(len(X), people, folds, seed)
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


def contrasts_of_classes(data: ExpressionData) -> Contrasts:
    """Return the comparisons of each class with the rest, in training; of two classes the one
    comparison there is."""
    y = data.y_all
    train = data.sample_set == "train"
    first, *others = data.classes
    if len(others) == 1:
        labels, rest = others, first  # the other comparison is this one with the sign turned
    else:
        labels, rest = data.classes, "rest"
    return {f"{label} - {rest}": (train & (y == label), train & (y != label)) for label in labels}


def contrasts_in_training(data: ExpressionData) -> Contrasts:
    """Return the comparisons of the classes, and of other subgroups with the rest, in training."""
    subgroups = data.subgroups
    train = data.sample_set == "train"
    contrasts = contrasts_of_classes(data)
    for subgroup in sorted(set(subgroups) - set(data.classes)):
        contrasts[f"{subgroup} - rest"] = (
            train & (subgroups == subgroup),
            train & (subgroups != subgroup),
        )
    return contrasts


def contrasts_of_batches(data: ExpressionData) -> Contrasts:
    """Return the comparisons of each batch with the other batches of the same class; of two
    batches the one comparison there is. None without batches."""
    contrasts = {}
    if data.batches is None:
        return contrasts
    y = data.y_all
    batches = data.batches.loc[y.index]
    for label in data.classes:
        of_class = y == label
        names = sorted(set(batches[of_class]))
        if len(names) <= 2:
            names = names[:-1]  # the other comparison is this one with the sign turned
        for batch in names:
            in_batch = batches == batch
            sides = of_class & in_batch, of_class & ~in_batch
            contrasts[f"{batch} - other batches, {label}"] = sides
    return contrasts


def contrasts_of_sets(data: ExpressionData) -> Contrasts:
    """Return the comparisons of test with training patients, also by class, as shares differ."""
    y = data.y_all
    test = data.sample_set == "test"
    contrasts = {"test - train": (test, ~test)}
    for label in data.classes:
        contrasts[f"test - train, {label}"] = (test & (y == label), ~test & (y == label))
    return contrasts


def effect_sizes(
    values: pd.DataFrame,
    contrasts: Contrasts,
    groups: pd.Series | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return Cohen's d of every column of values, with its interval, a row a contrast and column.

    Contrasts with a side of fewer than `MIN_GROUP` patients have none. Where groups name people,
    people are counted: each with the mean of their arrays on that side.
    """
    rows = []
    for contrast, (a, b) in values_of_sides(values, contrasts, groups).items():
        d, low, high = cohen_d(a, b, confidence)
        for i, component in enumerate(values.columns):
            rows.append((contrast, component, d[i], low[i], high[i]))
    table = pd.DataFrame(rows, columns=["contrast", "component", "d", "low", "high"])
    return table.set_index(["contrast", "component"]).astype(float)


def values_of_sides(
    values: pd.DataFrame, contrasts: Contrasts, groups: pd.Series | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the values on both sides of each contrast that has enough patients on each: a row a
    patient, or the mean of a person's arrays."""
    of_contrasts = {}
    for contrast, sides in contrasts.items():
        parts = [values[side] for side in sides]
        if groups is not None:
            parts = [part.groupby(groups.loc[part.index]).mean() for part in parts]
        a, b = (part.to_numpy() for part in parts)
        if min(len(a), len(b)) >= MIN_GROUP:
            of_contrasts[contrast] = a, b
    return of_contrasts


def corrected_effect_sizes(
    values: pd.DataFrame, contrasts: Contrasts, groups: pd.Series | None
) -> pd.DataFrame:
    """Return the `effect_sizes` with intervals corrected for their number (Bonferroni): with 95 %
    probability all of them hold what they are intervals of."""
    looked_at = len(values_of_sides(values, contrasts, groups)) * values.shape[1]
    return effect_sizes(values, contrasts, groups, confidence=1 - 0.05 / max(1, looked_at))


def cohen_d(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the difference of two means in pooled standard deviations, and its interval.

    a, b: patients x columns. 0.8 counts as large. The interval inverts the noncentral t
    distribution: exact where values are normal with one variance.
    """
    t = ttest_ind(a, b).statistic
    unit = np.sqrt(1 / len(a) + 1 / len(b))
    degrees_of_freedom = len(a) + len(b) - 2
    tail = (1 - confidence) / 2
    low = nctdtrinc(degrees_of_freedom, 1 - tail, t)
    high = nctdtrinc(degrees_of_freedom, tail, t)
    return t * unit, low * unit, high * unit
