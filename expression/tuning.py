"""How models are tuned and fitted, and what they predict for patients they have not seen.

Tuning is the grid search of scikit-learn's `GridSearchCV`, but what models and grid points share is
computed once a fold: filter, logarithm and standardisation; gene selections; boosting rounds.

The functions take X, patients x genes in array intensities, and y, 0 and 1 (the positive class),
and fit on arrays: scikit-learn checks a DataFrame column by column, which takes longer than a fit.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid, StratifiedKFold
from sklearn.pipeline import Pipeline

from expression.models import ROUNDS, Unfitted, classifier_names, parameter_text, set_random_states
from expression.parallel import run_parallel

INNER_FOLDS = 4  # of a class's 5 patients, the least, an outer fold of 5 leaves 4


class Fitted(NamedTuple):
    """A tuned and fitted model, named as by `GridSearchCV`."""

    best_estimator_: Pipeline  # from values to probabilities
    best_params_: dict
    cv_results_: pd.DataFrame | None  # a row a grid point; None for a baseline


def fit_models(models: dict[str, Unfitted], X: pd.DataFrame, y: Iterable[int]) -> dict[str, Fitted]:
    """Return the models tuned and fitted on the patients of X and y; the same in every script."""
    arrays = X.to_numpy(), np.asarray(y)
    tasks = [({name: model}, *arrays) for name, model in models.items()]
    fitted = {}
    for found in run_parallel(_tune_and_fit, tasks, "tuning"):
        fitted |= found
    return fitted


def _tune_and_fit(models: dict[str, Unfitted], X: np.ndarray, y: np.ndarray) -> dict[str, Fitted]:
    results, values, fitted = _search_grids(models, X, y), _fit_values(models, X), {}
    for name, unfitted in models.items():
        result, (preprocessing, Z) = results.get(name), values[unfitted.model.values]
        best = {} if result is None else result["parameters"][result["Brier score"].idxmin()]
        steps = unfitted.steps(best).fit(Z, y)
        fitted[name] = Fitted(Pipeline([*preprocessing.steps, *steps.steps]), best, result)
    return fitted


def _fit_values(models: dict[str, Unfitted], X: np.ndarray) -> dict:
    """Return the fitted preprocessing and what it makes of X, once for all models that share it."""
    steps = {u.model.values: u.model.values(u.preprocessing) for u in models.values()}
    pipelines = {key: Pipeline(values) for key, values in steps.items()}
    return {key: (pipeline, pipeline.fit_transform(X)) for key, pipeline in pipelines.items()}


def _search_grids(
    models: dict[str, Unfitted], X: np.ndarray, y: np.ndarray
) -> dict[str, pd.DataFrame]:
    """Return the mean and sd over the inner folds of the Brier score of every grid point.

    The Brier score is proper (honest probabilities score best), has no ties as accuracy does on
    38 patients, and unlike the log-loss does not punish a tree's 0 and 1 with infinity.
    """
    models = {name: u for name, u in models.items() if not u.model.baseline}
    if not models:
        return {}
    [seed] = {u.seed for u in models.values()}
    cv = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    scores, results = {name: [] for name in models}, {}
    for train, held_out in cv.split(X, y):
        values = _fit_values(models, X[train])
        for name, unfitted in models.items():
            preprocessing, Z = values[unfitted.model.values]
            fold = Z, y[train], preprocessing.transform(X[held_out]), y[held_out]
            scores[name].append(_score_grid(unfitted, *fold))
    for name, unfitted in models.items():
        mean, sd = np.mean(scores[name], axis=0), np.std(scores[name], axis=0)
        points = list(ParameterGrid(unfitted.model.grid or {}))
        results[name] = pd.DataFrame({"parameters": points, "Brier score": mean, "sd": sd})
    return results


def _score_grid(unfitted: Unfitted, Z, y, Z_held_out, y_held_out) -> list[float]:
    """Return the Brier score of every grid point on held-out patients.

    The steps before the classifier are fitted once for all classifiers that follow them.
    """
    model = unfitted.model
    grid, search = model.grid or {}, model.search or {}
    before = {key: values for key, values in grid.items() if not key.startswith("model__")}
    rounds = {ROUNDS: grid[ROUNDS]} if model.staged else {}
    rest = {key: values for key, values in grid.items() if key not in before | rounds}
    most = {key: max(values) for key, values in rounds.items()}
    scores = {}
    for first in ParameterGrid(before):
        selection = unfitted.steps(search | first).steps[:-1]
        selection = Pipeline([("all", "passthrough"), *selection])
        selected, selected_held_out = selection.fit_transform(Z, y), selection.transform(Z_held_out)
        for second in ParameterGrid(rest):
            classifier = unfitted.steps(search | second | most)[-1].fit(selected, y)
            for third in ParameterGrid(rounds):
                stage = {"iteration_range": (0, third[ROUNDS])} if rounds else {}
                p = positive_probability(classifier, selected_held_out, **stage)
                point = frozenset((first | second | third).items())
                scores[point] = np.mean((p - y_held_out) ** 2)
    return [scores[frozenset(point.items())] for point in ParameterGrid(grid)]


def tuning_table(fitted: dict[str, Fitted]) -> pd.DataFrame:
    """Return every grid point with the mean and sd of its Brier score over the inner folds."""
    tables = {name: fitted[name].cv_results_ for name in classifier_names()}
    table = pd.concat(tables, names=["model"]).droplevel(1)
    return table.assign(parameters=table["parameters"].map(parameter_text))


def predict(fitted: dict[str, Fitted], X: pd.DataFrame) -> pd.DataFrame:
    """Return the probability of the positive class under fitted models, patients x models."""
    X, patients = X.to_numpy(), X.index
    columns = {name: positive_probability(f.best_estimator_, X) for name, f in fitted.items()}
    return pd.DataFrame(columns, patients)


def positive_probability(model: BaseEstimator, X: np.ndarray, **options) -> np.ndarray:
    return model.predict_proba(X, **options)[:, 1].astype(float)


def predict_held_out(
    models: dict[str, Unfitted], X: pd.DataFrame, y: Iterable[int], splits: list, label: str
) -> pd.DataFrame:
    """Return the probabilities for the test part of every split, (split, patient) x models.

    `splits` are (train, test) positions in X. Whatever a model tunes or learns, it learns anew
    from the training part of the split, under a random state of the split's own, so that no mean
    over splits depends on one state.
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


def predict_under_random_states(
    fitted: dict[str, Fitted], X: pd.DataFrame, y: Iterable[int], X_new: pd.DataFrame, states: list
) -> pd.DataFrame:
    """Return probabilities for the patients of X_new, (random state, patient) x models.

    The tuned models are refitted on X and y with nothing but their random state changed.
    """
    unfitted = {name: clone(f.best_estimator_) for name, f in fitted.items()}
    tasks = [(unfitted, X, np.asarray(y), X_new, state) for state in states]
    parts = run_parallel(_refit_and_predict, tasks, "other random states")
    return pd.concat(dict(zip(states, parts, strict=True)), names=["state", "patient"])


def _refit_and_predict(unfitted, X, y, X_new, state) -> pd.DataFrame:
    columns = {}
    for name, pipeline in unfitted.items():
        set_random_states(pipeline, state)
        columns[name] = positive_probability(pipeline.fit(X.to_numpy(), y), X_new.to_numpy())
    return pd.DataFrame(columns, X_new.index)
