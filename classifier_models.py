"""Can gene expression tell AML from ALL, and how sure can we be? (Q1)

Four models, each one scikit-learn `Pipeline` that begins with the preprocessing of
`preprocessing.py`, tuned by cross-validated grid search on the training patients only. The test
patients are looked at once, at the end.

The trap: with 7,129 genes and 38 patients, anything that learns outside the folds - a filter, a
gene selection, a scaling - makes noise look like a perfect classifier. Here everything that learns
is a step of the pipeline and is fitted anew inside every fold.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from preprocessing import preprocessing_steps
from reporting import run_parallel

INNER_FOLDS = 5
# The Brier score is proper (honest probabilities score best), has no ties as accuracy does on 38
# patients, and unlike the log-loss does not punish a tree's 0 and 1 with infinity.
SCORING = "neg_brier_score"


def build_searches(seed: int, expression: str = "intensity") -> dict[str, GridSearchCV]:
    """Return the four models, unfitted, each a grid search over one `Pipeline`.

    Fit on X, patients x genes in the units of the files, and y of 0 and 1 (the positive class).
    The last step of every pipeline is called "model".
    """
    linear_steps = [
        ("select", SelectKBest(f_classif)),
        ("scale", StandardScaler()),
        ("model", LogisticRegression(max_iter=1_000)),
    ]
    tree = DecisionTreeClassifier(random_state=seed)
    forest = RandomForestClassifier(n_estimators=200, random_state=seed, n_jobs=1)
    boosting = XGBClassifier(
        learning_rate=0.1, colsample_bynode=0.1, subsample=0.8, random_state=seed, n_jobs=1
    )
    candidates = {
        "Logistic Regression": (
            linear_steps,
            {"select__k": [50, 200, 1_000], "model__C": [0.01, 0.1, 1.0, 10.0]},
        ),
        "Decision Tree": (
            [("model", tree)],
            {"model__max_depth": [1, 2, 3], "model__min_samples_leaf": [1, 3]},
        ),
        "Random Forest": (
            [("model", forest)],
            {"model__max_features": ["sqrt", 0.1]},
        ),
        "XGBoost": (
            [("model", boosting)],
            {"model__n_estimators": [50, 150], "model__max_depth": [1, 3]},
        ),
    }
    inner_cv = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    return {
        name: GridSearchCV(
            Pipeline([*preprocessing_steps(expression), *steps]),
            grid,
            scoring=SCORING,
            cv=inner_cv,
            error_score="raise",
        )
        for name, (steps, grid) in candidates.items()
    }


def tune_models(X: pd.DataFrame, y: pd.Series, args: argparse.Namespace) -> dict[str, GridSearchCV]:
    """Return the four models, tuned and refitted on the patients of X and y.

    The same patients and seed give the same fitted models in every script. They are fitted on
    arrays (scikit-learn checks a DataFrame column by column, which takes longer than the fit);
    ``pipeline[:-1].get_feature_names_out(X.columns)`` names what reaches a model.
    """
    searches = build_searches(args.seed, args.expression)
    tasks = [(search, X.to_numpy(), y.to_numpy()) for search in searches.values()]
    return dict(zip(searches, run_parallel(_fit, tasks, args, "tuning"), strict=True))


def _fit(search: GridSearchCV, X: np.ndarray, y: np.ndarray) -> GridSearchCV:
    return search.fit(X, y)
