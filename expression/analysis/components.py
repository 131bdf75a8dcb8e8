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
        rest = np.square(Z).sum(axis=1) - np.square(scores.iloc[:, :retained]).sum(axis=1)
        return scores.assign(**{ERROR: np.sqrt(np.maximum(rest, 0) / Z.shape[1])})


def fit_components(X: pd.DataFrame, steps: Steps, count: int | None = None) -> Components:
    """Return the first `count` components (default: all) of the preprocessed patients of X.

    They come from the patients x patients products, which stay small with any number of genes.
    """
    pipeline = clone(Pipeline([*steps, ("centre", StandardScaler(with_std=False))]))
    Z = pipeline.fit_transform(X.to_numpy())
    pca = KernelPCA(count, eigen_solver="dense", remove_zero_eig=True).fit(Z)
    loadings = Z.T @ pca.eigenvectors_ / np.sqrt(pca.eigenvalues_)
    loadings *= np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])])
    names = pd.Index([f"PC{i + 1}" for i in range(loadings.shape[1])], name="component")
    genes = pd.Index(pipeline.get_feature_names_out(X.columns), name="accession")
    ratio = pd.Series(pca.eigenvalues_ / np.square(Z).sum(), names, name="ratio")
    return Components(pipeline, pd.DataFrame(loadings, genes, names), ratio)


def parallel_analysis(
    fitted: Components, X: pd.DataFrame, permutations: int, seed: int
) -> pd.DataFrame:
    """Return a row a component: its share of the variance, beside what permuted genes reach.

    X: the patients of the fit.
    """
    Z, ratio = fitted.pipeline.transform(X.to_numpy()), fitted.ratio
    tasks = [(Z, (seed, number)) for number in range(permutations)]
    null = np.vstack(run_parallel(permuted_ratio, tasks, "permutations"))[:, : len(ratio)]
    table = pd.DataFrame({"ratio": ratio, "cumulative": ratio.cumsum()})
    table["permuted_95"] = np.quantile(null, 0.95, axis=0)
    return table.assign(retained=(table["ratio"] > table["permuted_95"]).cummin())


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
    tasks = [(X, steps, loadings, retained, *split) for split in splits]
    scores, cosines = zip(*run_parallel(score_fold, tasks, "held-out patients"), strict=True)
    return pd.concat(scores).loc[X.index], pd.DataFrame(cosines).abs().mean()


def score_fold(
    X: pd.DataFrame, steps: Steps, loadings: pd.DataFrame, retained: int, others, held_out
) -> tuple[pd.DataFrame, pd.Series]:
    """Return the scores of the held-out rows from a fit to the others, and the cosines between its
    components, which come in another order and of other signs, and those of the loadings."""
    fitted = fit_components(X.iloc[others], steps, 2 * loadings.shape[1])
    cosines = loadings.T @ fitted.loadings.reindex(loadings.index, fill_value=0)
    first, second = linear_sum_assignment(-cosines.abs())
    matched = pd.Series(cosines.to_numpy()[first, second], loadings.columns[first])
    found = fitted.scores(X.iloc[held_out], retained)
    scores = found.iloc[:, second].set_axis(matched.index, axis=1) * np.sign(matched)
    # Fewer components where fewer genes vary without the held-out patients
    scores = scores.reindex(columns=loadings.columns, fill_value=0).join(found[ERROR])
    return scores, matched.reindex(loadings.columns, fill_value=0)


Contrasts = dict[str, tuple[pd.Series, pd.Series]]  # the patients on the two sides, by name


def contrasts(data: ExpressionData) -> tuple[Contrasts, Contrasts]:
    """Return the comparisons of the classes, and of other groups with the rest, in training; and
    those of test with training patients, also by class, as shares differ."""
    y, groups, (negative, positive) = data.y_all, data.groups, data.classes
    test = data.sample_set == "test"
    train = ~test
    in_training = {f"{positive} - {negative}": (train & (y == positive), train & (y == negative))}
    for group in sorted(set(groups) - set(data.classes)):
        in_training[f"{group} - rest"] = (train & (groups == group), train & (groups != group))
    by_class = {f"test - train, {c}": (test & (y == c), train & (y == c)) for c in data.classes}
    return in_training, {"test - train": (test, train)} | by_class


def effect_sizes(values: pd.DataFrame, compared: Contrasts) -> pd.DataFrame:
    """Return Cohen's d of every column of values, with its 95 % interval, a row a contrast and
    column. Contrasts with a side of fewer than `MIN_GROUP` patients have none."""
    rows = []
    for name, sides in compared.items():
        a, b = (values[side].to_numpy() for side in sides)
        if min(len(a), len(b)) >= MIN_GROUP:
            rows += zip([name] * values.shape[1], values.columns, *cohen_d(a, b), strict=True)
    columns = ["contrast", "component", "d", "low", "high"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def cohen_d(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the difference of two means in pooled standard deviations, and its 95 % interval.

    a, b: patients x columns. 0.8 counts as large. The interval inverts the noncentral t
    distribution: exact where values are normal with one variance.
    """
    t, unit = ttest_ind(a, b).statistic, np.sqrt(1 / len(a) + 1 / len(b))
    low, high = (nctdtrinc(len(a) + len(b) - 2, share, t) for share in (0.975, 0.025))
    return t * unit, low * unit, high * unit
