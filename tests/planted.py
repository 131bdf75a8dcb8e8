"""A simulated cohort in which five genes differ, and quick models for it; shared by tests."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from expression.analysis.models import MODELS, ROUNDS, Unfitted, build_models, classifier_names
from expression.data import ExpressionData
from expression.preprocessing import Preprocessing

UP, DOWN = ["g000", "g001", "g002"], ["g003", "g004"]
N_GENES = 300


def simulate(effect: float, seed: int = 0) -> ExpressionData:
    """Return 40 + 40 patients and their genes, of which five differ by `effect` SDs."""
    rng = np.random.default_rng(seed)
    patients = pd.Index([f"p{i:02}" for i in range(80)], name="patient")
    genes = [f"g{i:03}" for i in range(N_GENES)]
    y = np.tile([0, 1], 40)
    log2 = rng.normal(9, 1, (80, N_GENES))
    log2 = pd.DataFrame(log2, patients, pd.Index(genes, name="accession"))
    log2[UP] += effect * y[:, None]
    log2[DOWN] -= effect * y[:, None]
    labels = pd.Categorical.from_codes(y, ["control", "case"], ordered=True)
    labels, X = pd.Series(labels, patients), np.exp2(log2)
    names = pd.Series(genes, genes)
    return ExpressionData(X[:40], X[40:], labels[:40], labels[40:], "about " + names, names)


def quick_models() -> dict[str, Unfitted]:
    """Return the classifiers with few trees."""
    few = {"Random Forest": {ROUNDS: 10}, "XGBoost": {ROUNDS: 50}}
    models = build_models(Preprocessing(), seed=0)
    return {n: models[n]._replace(parameters=few.get(n, {})) for n in classifier_names()}


def quick_explained_models() -> dict[str, Unfitted]:
    """Return those that tell which genes they use."""
    return {name: u for name, u in quick_models().items() if u.model.importance}


@contextmanager
def small_models(grids: dict[str, dict], trees: int = 10):
    """Let all scripts have these grids and small forests."""
    forest = {"steps": [("model", RandomForestClassifier(trees))], "search": {ROUNDS: trees // 2}}
    with pytest.MonkeyPatch.context() as patch:
        for name, grid in grids.items():
            changes = forest if name == "Random Forest" else {}
            patch.setitem(
                MODELS, name, MODELS[name]._replace(grid=grid, grid_of_many=None, **changes)
            )
        yield


def as_classes(codes, index=None, classes=("ALL", "AML")) -> pd.Series:
    """Return the classes of codes, as ordered categories."""
    return pd.Series(pd.Categorical.from_codes(list(codes), list(classes), ordered=True), index)


def of_both_classes(P: pd.DataFrame, classes=("ALL", "AML")) -> pd.DataFrame:
    """Return probabilities, patients x (model, class), from those of the positive class, patients x
    models."""
    columns = {(name, classes[0]): 1 - P[name] for name in P}
    columns |= {(name, classes[1]): P[name] for name in P}
    order = [(name, label) for name in P for label in classes]
    return pd.DataFrame(columns)[order].rename_axis(columns=["model", "class"])
