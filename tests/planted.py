"""A simulated cohort in which five genes differ, and quick models for it; shared by tests."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectPercentile, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

from expression.data import ExpressionData
from expression.models import MODELS, ROUNDS
from expression.preprocessing import Preprocessing

SELECT = SelectPercentile(f_classif, percentile=50)
XGBOOST = XGBClassifier(n_estimators=10, max_depth=1, colsample_bytree=0.2, n_jobs=1)
QUICK = {
    "Logistic Regression": [("select", SELECT), ("scale", StandardScaler()),
                            ("model", LogisticRegression())],
    "Decision Tree": [("model", DecisionTreeClassifier(max_depth=2, random_state=0))],
    "Random Forest": [("model", RandomForestClassifier(10, random_state=0))],
    "XGBoost": [("model", XGBOOST)],
}  # fmt: skip
UP, DOWN = ["g000", "g001", "g002"], ["g003", "g004"]
N_GENES = 300


def simulate(effect: float, seed: int = 0) -> ExpressionData:
    """Return 40 + 40 patients and their genes, of which five differ by `effect` SDs."""
    rng = np.random.default_rng(seed)
    patients, genes = [f"p{i:02}" for i in range(80)], [f"g{i:03}" for i in range(N_GENES)]
    y = np.tile([0, 1], 40)
    log2 = rng.normal(9, 1, (80, N_GENES))
    log2 = pd.DataFrame(log2, patients, pd.Index(genes, name="accession"))
    log2[UP] += effect * y[:, None]
    log2[DOWN] -= effect * y[:, None]
    labels = pd.Categorical.from_codes(y, ["control", "case"], ordered=True)
    labels, X = pd.Series(labels, patients), np.exp2(log2)
    names = pd.Series(genes, genes)
    return ExpressionData(X[:40], X[40:], labels[:40], labels[40:], "about " + names, names)


def quick_pipelines() -> dict[str, Pipeline]:
    return {name: Pipeline([*Preprocessing().steps(), *steps]) for name, steps in QUICK.items()}


@contextmanager
def small_models(grids: dict[str, dict], trees: int = 10):
    """Let all scripts have these grids and small forests, and do what `command_line` sets."""
    forest = {"steps": [("model", RandomForestClassifier(trees))], "search": {ROUNDS: trees // 2}}
    fast = config_context(assume_finite=True, skip_parameter_validation=True)
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1), fast:
        for name, grid in grids.items():
            changes = forest if name == "Random Forest" else {}
            patch.setitem(MODELS, name, MODELS[name]._replace(grid=grid, **changes))
        yield
