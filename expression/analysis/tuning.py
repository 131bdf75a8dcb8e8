"""How models are tuned and fitted, and what they predict for patients they have not seen.

Tuning is the grid search of scikit-learn's `GridSearchCV`, but what models or grid points share is
computed once a fold: filter, logarithm and standardisation; selected genes; rounds of boosting.

X is patients x genes, in intensities or counts per million; y holds classes, ordered categories,
or their codes from 0; probabilities have the columns (model, class), predicted is the class of the
largest; groups names the person of every row of X, or is None (see splits.py).
Models are fitted on arrays: scikit-learn checks a DataFrame column by column, which takes longer
than a fit.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

from expression.analysis.models import (
    ROUNDS,
    Unfitted,
    classifier_names,
    common_seed,
    parameter_text,
)
from expression.analysis.splits import stratified_folds
from expression.parallel import run_parallel

INNER_FOLDS = 4  # of a class's 5 patients, the least, an outer fold of 5 leaves 4


class Fitted(NamedTuple):
    """A fitted model, and what it was before."""

    pipeline: Pipeline  # from values to probabilities
    unfitted: Unfitted  # with the parameters chosen
    grid_scores: pd.DataFrame | None = None  # a row a grid point, where the parameters were tuned


class Fold(NamedTuple):
    """Preprocessed patients to fit on, others to score, and their classes."""

    Z: np.ndarray
    y: np.ndarray
    Z_held_out: np.ndarray
    y_held_out: np.ndarray


# --- fitting -------------------------------------------------------------------------------------


def fit_models(
    models: dict[str, Unfitted],
    X: pd.DataFrame,
    y: pd.Series,
    groups: pd.Series | None = None,
    repeats: int = 1,
) -> dict[str, Fitted]:
    """Return the models tuned and fitted on the patients of X and y; the same in every script.

    repeats: partitions of the patients into folds, to tune on their mean.
    """
    values = X.to_numpy()
    codes = y.cat.codes.to_numpy()
    people = people_of(X.index, groups)
    tasks = [
        ({name: unfitted}, values, codes, people, repeats) for name, unfitted in models.items()
    ]
    fitted = {}
    for part in run_parallel(tune_and_fit, tasks, "tuning"):
        fitted |= part
    return fitted


def people_of(patients: pd.Index, groups: pd.Series | None) -> np.ndarray | None:
    """Return the group of each of the patients, where there are groups."""
    return None if groups is None else groups.loc[patients].to_numpy()


def tune_and_fit(
    models: dict[str, Unfitted],
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
    repeats: int = 1,
) -> dict[str, Fitted]:
    """Return the models fitted with the first of the best parameters; baselines have no others."""
    to_tune = {name: u for name, u in models.items() if not u.model.baseline}
    grid_scores = search_grids(to_tune, X, y, groups, repeats) if to_tune else {}

    tuned = dict(models)
    for name, scores in grid_scores.items():
        best = scores["Brier score"].idxmin()
        tuned[name] = models[name]._replace(parameters=scores.loc[best, "parameters"])

    fitted = fit(tuned, X, y)
    return {name: f._replace(grid_scores=grid_scores.get(name)) for name, f in fitted.items()}


def fit(models: dict[str, Unfitted], X: np.ndarray, y: np.ndarray) -> dict[str, Fitted]:
    """Return the models fitted on the patients of X and y, with the parameters they have."""
    preprocessed = preprocess(models, X)
    fitted = {}
    for name, unfitted in models.items():
        preprocessing, Z = preprocessed[unfitted.model.values]
        own_steps = unfitted.steps().fit(Z, y)
        fitted[name] = Fitted(Pipeline([*preprocessing.steps, *own_steps.steps]), unfitted)
    return fitted


def preprocess(models: dict[str, Unfitted], X: np.ndarray) -> dict[str, tuple]:
    """Return fitted preprocessing and what it makes of X, by the kind of values models take."""
    preprocessed = {}
    for unfitted in models.values():
        kind = unfitted.model.values
        if kind not in preprocessed:
            pipeline = Pipeline(unfitted.preprocessing.steps_to(kind))
            preprocessed[kind] = pipeline, pipeline.fit_transform(X)
    return preprocessed


# --- tuning --------------------------------------------------------------------------------------


def search_grids(
    models: dict[str, Unfitted],
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    repeats: int = 1,
) -> dict[str, pd.DataFrame]:
    """Return each model's grid points with mean and sd of their Brier score over the inner folds.

    The folds are of one partition of the patients, or of several: the more there are, the less the
    best grid point hangs on the seed.

    The Brier score is proper (honest probabilities score best), has fewer ties than accuracy on 38
    patients, and unlike the log-loss does not punish a tree's 0 and 1 with infinity.
    """
    seed = common_seed(models)
    further_seeds = np.random.default_rng(seed).integers(2**31, size=repeats - 1)
    inner_cv = [
        fold
        for partition_seed in [seed, *further_seeds.tolist()]
        for fold in stratified_folds(y, groups, INNER_FOLDS, partition_seed)
    ]

    scores = defaultdict(list)
    for train, held_out in inner_cv:
        folds = {
            kind: Fold(Z, y[train], preprocessing.transform(X[held_out]), y[held_out])
            for kind, (preprocessing, Z) in preprocess(models, X[train]).items()
        }
        for name, unfitted in models.items():
            scores[name].append(score_grid(unfitted, folds[unfitted.model.values]))
    return {
        name: pd.DataFrame(
            {
                "parameters": grid_points(models[name]),
                "Brier score": np.mean(fold_scores, axis=0),
                "sd": np.std(fold_scores, axis=0),
            }
        )
        for name, fold_scores in scores.items()
    }


def grid_points(unfitted: Unfitted) -> list[dict]:
    return list(ParameterGrid(unfitted.model.grid or {}))


def score_grid(unfitted: Unfitted, fold: Fold) -> list[float]:
    """Return the Brier score of every grid point on the held-out patients of a fold.

    Points that differ only in the classifier's own parameters share the steps before it, and the
    numbers of boosting rounds share one fit of the most.
    """
    model = unfitted.model
    *steps, (_, classifier) = unfitted._replace(parameters=model.search).steps().steps
    features = {}  # what the steps before the classifier make of a fold, by their parameters
    classifiers = {}  # fitted ones, by the parameters of all steps
    scores = []
    for point in grid_points(unfitted):
        of_steps, of_classifier = split_parameters(point)
        if model.staged:
            of_classifier[ROUNDS.removeprefix("model__")] = max(model.grid[ROUNDS])
        steps_key = tuple(of_steps.items())
        fit_key = steps_key, tuple(of_classifier.items())
        if steps_key not in features:
            features[steps_key] = fit_steps(steps, of_steps, fold)
        Z, Z_held_out = features[steps_key]
        if fit_key not in classifiers:
            classifiers[fit_key] = clone(classifier).set_params(**of_classifier).fit(Z, fold.y)
        rounds = {"iteration_range": (0, point[ROUNDS])} if model.staged else {}
        p = class_probabilities(classifiers[fit_key], Z_held_out, **rounds)
        scores.append(brier_score(fold.y_held_out, p))
    return scores


def brier_score(y: np.ndarray, p: np.ndarray) -> float:
    """Return the mean over patients of half the squared distance to their class; p: patients x
    classes. Of two classes, the mean squared error of the probability of either."""
    truth = np.eye(p.shape[1])[y]
    return float(np.mean(np.square(p - truth).sum(axis=1) / 2))


def split_parameters(point: dict) -> tuple[dict, dict]:
    """Return the parameters of the steps before the classifier, and the classifier's own."""
    of_steps = {}
    of_classifier = {}
    for name, value in point.items():
        if name.startswith("model__"):
            of_classifier[name.removeprefix("model__")] = value
        else:
            of_steps[name] = value
    return of_steps, of_classifier


def fit_steps(steps: list[tuple], parameters: dict, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of both parts of a fold; of no steps, its values."""
    if not steps:
        return fold.Z, fold.Z_held_out
    fitted = clone(Pipeline(steps)).set_params(**parameters)
    return fitted.fit_transform(fold.Z, fold.y), fitted.transform(fold.Z_held_out)


def chosen_parameters(fitted: dict[str, Fitted]) -> dict[str, str]:
    """Return the parameters of each classifier in words."""
    return {name: parameter_text(fitted[name].unfitted.parameters) for name in classifier_names()}


def tuning_table(fitted: dict[str, Fitted]) -> pd.DataFrame:
    """Return every grid point with the mean and sd of its Brier score over the inner folds."""
    tables = {name: fitted[name].grid_scores for name in classifier_names()}
    table = pd.concat(tables, names=["model"]).droplevel(1)
    return table.assign(parameters=table["parameters"].map(parameter_text))


# --- predicting ----------------------------------------------------------------------------------


def predict(fitted: dict[str, Fitted], X: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return the probabilities under fitted models, patients x (model, class)."""
    values = X.to_numpy()
    P = {name: class_probabilities(f.pipeline, values) for name, f in fitted.items()}
    columns = pd.MultiIndex.from_product([P, classes], names=["model", "class"])
    return pd.DataFrame(np.hstack(list(P.values())), X.index, columns)


def class_probabilities(model: BaseEstimator, X: np.ndarray, **options) -> np.ndarray:
    """Return the probabilities of the classes, patients x classes, as float64.

    Of two the first is what the other leaves, so that one number says all.
    """
    p = model.predict_proba(X, **options).astype(float)
    if p.shape[1] == 2:
        p[:, 0] = 1 - p[:, 1]
    return p


def predict_held_out(
    models: dict[str, Unfitted],
    X: pd.DataFrame,
    y: pd.Series,
    splits: list,
    label: str,
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Return the probabilities for the test part of every split, (split, patient) x (model, class).

    `splits` are (train, test) positions in X. Whatever a model tunes or learns, it learns anew from
    the training part of the split, under a random state of the split's own, so that no mean over
    splits depends on one state.
    """
    codes = y.cat.codes.to_numpy()
    classes = list(y.cat.categories)
    people = people_of(X.index, groups)
    rng = np.random.default_rng(common_seed(models))
    tasks = []
    for seed, (train, test) in zip(
        rng.integers(2**31, size=len(splits)).tolist(), splits, strict=True
    ):
        own_models = {name: unfitted._replace(seed=seed) for name, unfitted in models.items()}
        tasks.append((own_models, X, codes, classes, people, train, test))
    parts = run_parallel(_fit_and_predict, tasks, label)
    return pd.concat(dict(enumerate(parts)), names=["split", "patient"])


def _fit_and_predict(models, X, y, classes, people, train, test) -> pd.DataFrame:
    groups = None if people is None else people[train]
    fitted = tune_and_fit(models, X.to_numpy()[train], y[train], groups)
    return predict(fitted, X.iloc[test], classes)
