"""How models are tuned and fitted, and what they predict for patients they have not seen.

Tuning is the grid search of scikit-learn's `GridSearchCV`, but what models share is computed once a
fold: filter, logarithm and standardisation; and of boosting, rounds that grid points share.

The functions take X, patients x genes in intensities or counts per million, and y, 0 and 1 (the
positive class), and fit on arrays: scikit-learn checks a DataFrame column by column, which takes
longer than a fit.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import ParameterGrid, StratifiedKFold
from sklearn.pipeline import Pipeline

from expression.analysis.models import ROUNDS, Unfitted, classifier_names, parameter_text
from expression.parallel import run_parallel

INNER_FOLDS = 4  # of a class's 5 patients, the least, an outer fold of 5 leaves 4


class Fitted(NamedTuple):
    """A fitted model, and what it was before."""

    pipeline: Pipeline  # from values to probabilities
    unfitted: Unfitted  # with the parameters chosen
    grid_scores: pd.DataFrame | None = None  # a row a grid point, where the parameters were tuned


def fit_models(models: dict[str, Unfitted], X: pd.DataFrame, y: Iterable[int]) -> dict[str, Fitted]:
    """Return the models tuned and fitted on the patients of X and y; the same in every script."""
    X, y = X.to_numpy(), np.asarray(y)
    tasks = [({name: model}, X, y) for name, model in models.items()]
    found = run_parallel(_tune_and_fit, tasks, "tuning")
    return {name: fitted for part in found for name, fitted in part.items()}


def _tune_and_fit(models: dict[str, Unfitted], X: np.ndarray, y: np.ndarray) -> dict[str, Fitted]:
    untuned = {name: u for name, u in models.items() if not u.model.baseline}
    tuned, scores = dict(models), {}
    for name, folds in (_search_grids(untuned, X, y) if untuned else {}).items():
        mean, sd = np.mean(folds, axis=0), np.std(folds, axis=0)
        points = list(ParameterGrid(models[name].model.grid or {}))
        scores[name] = pd.DataFrame({"parameters": points, "Brier score": mean, "sd": sd})
        tuned[name] = models[name]._replace(parameters=points[mean.argmin()])
    return {n: f._replace(grid_scores=scores.get(n)) for n, f in fit(tuned, X, y).items()}


def fit(models: dict[str, Unfitted], X: np.ndarray, y: np.ndarray) -> dict[str, Fitted]:
    """Return the models fitted on the patients of X and y, with the parameters they have."""
    values, fitted = _fit_values(models, X), {}
    for name, unfitted in models.items():
        preprocessing, Z = values[unfitted.model.values]
        steps = [*preprocessing.steps, *unfitted.steps().fit(Z, y).steps]
        fitted[name] = Fitted(Pipeline(steps), unfitted)
    return fitted


def _fit_values(models: dict[str, Unfitted], X: np.ndarray) -> dict:
    """Return the fitted preprocessing and what it makes of X, once for all models that share it."""
    steps = {u.model.values: u.model.values(u.preprocessing) for u in models.values()}
    pipelines = {key: Pipeline(values) for key, values in steps.items()}
    return {key: (pipeline, pipeline.fit_transform(X)) for key, pipeline in pipelines.items()}


def _search_grids(models: dict[str, Unfitted], X: np.ndarray, y: np.ndarray) -> dict[str, list]:
    """Return the Brier scores of every model, inner folds x grid points.

    The Brier score is proper (honest probabilities score best), has fewer ties than accuracy on 38
    patients, and unlike the log-loss does not punish a tree's 0 and 1 with infinity.
    """
    [seed] = {u.seed for u in models.values()}
    cv, scores = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed), defaultdict(list)
    for train, held_out in cv.split(X, y):
        folds = {
            key: (Z, y[train], preprocessing.transform(X[held_out]), y[held_out])
            for key, (preprocessing, Z) in _fit_values(models, X[train]).items()
        }
        for name, unfitted in models.items():
            scores[name].append(_score_grid(unfitted, *folds[unfitted.model.values]))
    return scores


def _score_grid(unfitted: Unfitted, Z, y, Z_held_out, y_held_out) -> list[float]:
    """Return the Brier score of every grid point on held-out patients.

    Only what a point changes is fitted again, as most of the time goes there: the classifier's own
    parameters vary fastest in the grid, and all rounds of boosting are scored from one fit.
    """
    model, scores, before, last = unfitted.model, [], None, None
    pipeline = unfitted._replace(parameters=model.search).steps()
    *steps, (_, classifier) = pipeline.steps
    for point in ParameterGrid(model.grid or {}):
        parameters, stage = point, {}
        if model.staged:
            parameters = point | {ROUNDS: max(model.grid[ROUNDS])}
            stage = {"iteration_range": (0, point[ROUNDS])}
        pipeline.set_params(**parameters)
        others = {name: value for name, value in point.items() if not name.startswith("model__")}
        if others != before:
            before, features, features_held_out = others, Z, Z_held_out
            for _, step in steps:
                features = step.fit_transform(features, y)
                features_held_out = step.transform(features_held_out)
        if parameters != last:
            classifier.fit(features, y)
            last = parameters
        p = positive_probability(classifier, features_held_out, **stage)
        scores.append(np.mean((p - y_held_out) ** 2))
    return scores


def chosen_parameters(fitted: dict[str, Fitted]) -> dict[str, str]:
    return {name: parameter_text(fitted[name].unfitted.parameters) for name in classifier_names()}


def tuning_table(fitted: dict[str, Fitted]) -> pd.DataFrame:
    """Return every grid point with the mean and sd of its Brier score over the inner folds."""
    tables = {name: fitted[name].grid_scores for name in classifier_names()}
    table = pd.concat(tables, names=["model"]).droplevel(1)
    return table.assign(parameters=table["parameters"].map(parameter_text))


def predict(fitted: dict[str, Fitted], X: pd.DataFrame) -> pd.DataFrame:
    """Return the probability of the positive class under fitted models, patients x models."""
    X, patients = X.to_numpy(), X.index
    columns = {name: positive_probability(f.pipeline, X) for name, f in fitted.items()}
    return pd.DataFrame(columns, patients)


def positive_probability(model: BaseEstimator, X: np.ndarray, **options) -> np.ndarray:
    return model.predict_proba(X, **options)[:, 1].astype(float)


def predict_held_out(
    models: dict[str, Unfitted], X: pd.DataFrame, y: Iterable[int], splits: list, label: str
) -> pd.DataFrame:
    """Return the probabilities for the test part of every split, (split, patient) x models.

    `splits` are (train, test) positions in X. Whatever a model tunes or learns, it learns anew from
    the training part of the split, under a random state of the split's own, so that no mean over
    splits depends on one state.
    """
    [seed] = {u.seed for u in models.values()}
    seeds = np.random.default_rng(seed).integers(2**31, size=len(splits)).tolist()
    tasks = [
        ({name: u._replace(seed=own) for name, u in models.items()}, X, np.asarray(y), *split)
        for own, split in zip(seeds, splits, strict=True)
    ]
    parts = run_parallel(_fit_and_predict, tasks, label)
    return pd.concat(dict(enumerate(parts)), names=["split", "patient"])


def _fit_and_predict(models, X, y, train, test) -> pd.DataFrame:
    return predict(_tune_and_fit(models, X.to_numpy()[train], y[train]), X.iloc[test])
