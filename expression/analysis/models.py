"""The classifiers of Q1 and Q2: one entry of `MODELS` each, with all that the scripts need of it.

Add a model here and every table and figure has it. What learns is a step of the pipeline, so that
it learns anew in every fold.

References: Golub et al. (1999) Science 286:531 (weighted voting, prediction strength); Dudoit,
Fridlyand & Speed (2002) JASA 97:77 (40 genes for the tree).
"""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.linalg import qr
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin, SelectPercentile, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from expression.preprocessing import Preprocessing

MAJORITY = "Majority class"  # the baseline of which only the accuracy tells anything
QUICK = "Weighted voting"  # untuned, so that it can be repeated with hundreds of permuted labels
ROUNDS = "model__n_estimators"  # of boosting

MOST_ROTATED = 100  # patients: of more, the rotation takes longer than what it saves
NEWTON_STEPS = 100
CONVERGED = 1e-9  # largest change of a weight
GRADIENT = 1e-6  # largest at the optimum of several classes; of less, rounding ends the search


class LogisticRegressionOfFewPatients(LogisticRegression):
    """scikit-learn's logistic regression, fitted on as many coordinates as there are patients.

    Penalised coefficients are a combination of the patients, so that a rotation of the genes into
    the space of the patients loses nothing (Hastie & Tibshirani 2004, Biostatistics 5:329). There
    Newton's method reaches the optimum, of which the default solver on thousands of genes stops
    short: at C = 10, by half of the largest coefficient on the shipped data. Of the parameters only
    C matters there.
    """

    def fit(self, X, y):
        """Fit on X, patients x genes, and y; `coef_` are of the genes, a row a class where there
        are more than two."""
        patients, genes = X.shape
        if genes <= patients or patients > MOST_ROTATED:
            return super().fit(X, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        genes_of_coordinates, coordinates = qr(X.T, mode="economic")
        if len(self.classes_) == 2:
            coefficients, intercept = fit_logistic(coordinates.T, codes, self.C)
            coefficients, intercepts = coefficients[np.newaxis], np.array([intercept])
        else:
            rotated = LogisticRegression(C=self.C, solver="newton-cg", tol=GRADIENT, max_iter=1_000)
            rotated.fit(coordinates.T, codes)
            coefficients, intercepts = rotated.coef_, rotated.intercept_
        self.coef_ = coefficients @ genes_of_coordinates.T
        self.intercept_ = intercepts
        self.n_features_in_ = genes
        return self


def fit_logistic(X: np.ndarray, y: np.ndarray, C: float) -> tuple[np.ndarray, float]:
    """Return the coefficients and the intercept of a logistic regression, by Newton's method.

    They minimise the log-loss summed over the patients plus the squared coefficients / 2C. For few
    columns: each step solves a system of as many equations.
    """
    design = np.column_stack([X, np.ones(len(X))])
    penalty = np.append(np.full(X.shape[1], 1 / C), 0.0)  # none of the intercept

    def loss(weights):
        margin = design @ weights
        return (np.logaddexp(0, margin) - y * margin).sum() + (penalty * weights**2).sum() / 2

    weights = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        p = expit(design @ weights)
        gradient = design.T @ (p - y) + penalty * weights
        hessian = (design.T * (p * (1 - p))) @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > CONVERGED:
            step /= 2
        weights = weights - step
        if np.abs(step).max() <= CONVERGED:
            return weights[:-1], weights[-1]
    warnings.warn(f"no optimum after {NEWTON_STEPS} steps", ConvergenceWarning, stacklevel=2)
    return weights[:-1], weights[-1]


class WeightedVoting(ClassifierMixin, BaseEstimator):
    """Weighted voting of Golub et al. (1999), for two classes.

    A gene's weight is its signal-to-noise a = (mean1 - mean0) / (sd1 + sd0). The `n_genes` genes
    of lowest and of highest weight vote a * (x - b), where b = (mean1 + mean0) / 2. Prediction
    strength is (winning votes - losing votes) / (winning votes + losing votes).
    """

    def __init__(self, n_genes=25):
        self.n_genes = n_genes

    def fit(self, X, y):
        """Learn `genes_` (columns), `weights_` a and `midpoints_` b from X, patients x genes."""
        self.classes_ = np.unique(y)
        low, high = (X[y == label] for label in self.classes_)
        noise = low.std(axis=0) + high.std(axis=0)
        weights = (high.mean(axis=0) - low.mean(axis=0)) / np.maximum(noise, np.finfo(float).eps)
        order = np.argsort(weights, kind="stable")
        self.genes_ = np.union1d(order[: self.n_genes], order[-self.n_genes :])
        self.weights_ = weights[self.genes_]
        self.midpoints_ = (low.mean(axis=0) + high.mean(axis=0))[self.genes_] / 2
        return self

    def predict_proba(self, X):
        """Return the share of the votes of each class, whose |2p - 1| is the strength."""
        votes = self.weights_ * (X[:, self.genes_] - self.midpoints_)
        cast = np.abs(votes).sum(axis=1)
        share = (1 + votes.sum(axis=1) / np.where(cast > 0, cast, 1)) / 2
        return np.column_stack([1 - share, share])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def models_of(P: pd.DataFrame) -> list[str]:
    """Return the models of probabilities, whose columns are (model, class)."""
    return list(P.columns.unique(0))


def predict_classes(P: pd.DataFrame) -> pd.DataFrame:
    """Return the class of largest probability, of equals the first, as codes: patients x models.

    P has the columns (model, class), the classes in the order of their codes.
    """
    codes = {name: P[name].to_numpy().argmax(axis=1) for name in models_of(P)}
    return pd.DataFrame(codes, P.index)


class Importance(NamedTuple):
    """How a fitted classifier says which genes it uses."""

    attribute: str  # holds a number a gene, 0 for those it does not use
    label: str  # of an axis
    shap_unit: str  # in which shap explains such a classifier: "log-odds" or "probability"
    signed: bool = False  # above 0 towards the positive class


COEFFICIENT = Importance(
    attribute="coef_",
    label="coefficient (log-odds per SD)",
    shap_unit="log-odds",
    signed=True,
)
IMPURITY_DECREASE = Importance(
    attribute="feature_importances_",
    label="share of impurity decrease",
    shap_unit="probability",
)
GAIN = Importance(
    attribute="feature_importances_",
    label="share of gain",
    shap_unit="log-odds",
)


class Model(NamedTuple):
    """One classifier, unfitted, and what the scripts need to know of it.

    `steps` follow the preprocessing, the last one is the classifier and is called "model"; a grid
    names its hyper-parameters by step. A model without an `importance` is left out of Q2, a
    baseline is neither tuned nor explained.
    """

    steps: list[tuple[str, BaseEstimator]]
    grid: dict[str, list] | None = None
    importance: Importance | None = None
    baseline: bool = False
    values: str = "standardised"  # that reach the first step: see `Preprocessing.steps_to`
    votes: bool = False  # probabilities are shares of votes: |2p - 1| is a prediction strength
    of_two: bool = False  # it tells two classes apart, no more
    grid_of_many: dict[str, list] | None = None  # for more than two classes, if it is another
    search: dict | None = None  # other hyper-parameters while the grid is searched
    staged: bool = False  # one fit of the most boosting rounds of the grid scores all of them


class Unfitted(NamedTuple):
    """A model for one data set, to be tuned and fitted anew on the patients of every fold."""

    model: Model
    preprocessing: Preprocessing
    seed: int
    parameters: dict | None = None  # of its grid, once it is tuned

    def steps(self) -> Pipeline:
        """Return the steps that follow the preprocessing, with the parameters and the seed."""
        pipeline = clone(Pipeline(self.model.steps))
        pipeline.set_params(**(self.parameters or {}))
        for name in pipeline.get_params():
            if name.endswith("__random_state"):
                pipeline.set_params(**{name: self.seed})
        return pipeline


def f_ranks(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ranks by the F statistic: of equally good genes SelectPercentile may keep none."""
    return rankdata(f_classif(X, y)[0], method="ordinal", nan_policy="omit")


# Genes are selected by percentage, which suits arrays of any size: of the 3,051 genes of the
# published data 1.3 % are the 40 of Dudoit et al. One gene and voting take clipped intensities: a
# threshold on one gene needs no logarithm and no other genes to standardise by, and on the training
# patients signal-to-noise finds 48 of the paper's 50 genes on intensities, 28 on logarithms.
#
# Boosting is set for few patients, by cross-validation of the training patients: 38 of them weigh
# too little for min_child_weight=1, which leaves most trees without a split; many small steps, each
# on few genes, let the random state change less; deeper trees are no better, and rounds beyond 300
# gain less than the random state changes.
BOOSTING = XGBClassifier(
    learning_rate=0.1,
    max_depth=1,
    min_child_weight=0,
    subsample=0.8,
    colsample_bytree=0.03,
    importance_type="total_gain",  # of all splits on a gene, as impurity decrease is in a forest
    tree_method="exact",  # thresholds midway between two patients, as in the other trees
    n_jobs=1,
)
GRIDS_NOTE = (
    "Two of the grids were set when results on the test patients of Golub et al. (1999) were known."
)
SELECT = ("genes", SelectPercentile(f_ranks))
SCALE = ("scale", StandardScaler())
MODELS = {
    "Logistic Regression": Model(
        steps=[SELECT, SCALE, ("model", LogisticRegressionOfFewPatients(max_iter=1_000))],
        grid={"genes__percentile": [2, 10, 100], "model__C": [0.1, 1.0, 10.0, 100.0]},
        importance=COEFFICIENT,
    ),
    "Decision Tree": Model(
        steps=[SELECT, ("model", DecisionTreeClassifier())],
        grid={"genes__percentile": [1.3, 10, 100], "model__max_depth": [1, 3]},
        grid_of_many={"genes__percentile": [1.3, 10, 100], "model__max_depth": [3, 10]},
        importance=IMPURITY_DECREASE,
    ),
    "Random Forest": Model(
        steps=[("model", RandomForestClassifier())],
        grid={"model__max_features": ["sqrt", 0.1]},
        importance=IMPURITY_DECREASE,
        search={"model__n_estimators": 25},  # a quarter of a forest is enough to choose by
    ),
    "XGBoost": Model(
        steps=[("model", BOOSTING)],
        grid={ROUNDS: [100, 200, 300]},
        importance=GAIN,
        staged=True,
    ),
    MAJORITY: Model(
        steps=[("model", DummyClassifier())],
        values="filtered",
        baseline=True,
    ),
    "One gene": Model(
        steps=[("model", DecisionTreeClassifier(max_depth=1))],
        values="filtered",
        baseline=True,
        of_two=True,
    ),
    "Weighted voting": Model(
        steps=[("model", WeightedVoting())],
        values="filtered",
        baseline=True,
        votes=True,
        of_two=True,
    ),
}


def common_seed(models: dict[str, Unfitted]) -> int:
    """Return the seed of models that were built together."""
    [seed] = {unfitted.seed for unfitted in models.values()}
    return seed


def classifier_names() -> list[str]:
    """Return the names of the models that are no baselines."""
    return [name for name, model in MODELS.items() if not model.baseline]


def build_models(preprocessing: Preprocessing, seed: int, classes: int = 2) -> dict[str, Unfitted]:
    """Return all models for one data set of so many classes, by name."""
    if classes == 2:
        models = MODELS
    else:
        models = {
            name: model._replace(grid=model.grid_of_many or model.grid)
            for name, model in MODELS.items()
            if not model.of_two
        }
    return {name: Unfitted(model, preprocessing, seed) for name, model in models.items()}


def quick_model(models: dict[str, Unfitted]) -> dict[str, Unfitted]:
    """Return one of the models, untuned, to be repeated with hundreds of permuted labels."""
    if QUICK in models:
        return {QUICK: models[QUICK]}
    [name, *_] = classifier_names()
    untuned = models[name].model._replace(baseline=True)
    return {f"{name} (not tuned)": models[name]._replace(model=untuned)}


def gene_importance(importance: Importance, pipeline: Pipeline, genes: pd.Index) -> pd.Series:
    """Return the absolute importance of every gene in a fitted pipeline, 0 where it is not used.

    `genes` are the columns the pipeline was fitted on. Of several numbers a gene, one a class, it
    is their Euclidean norm.
    """
    columns = np.arange(len(genes))
    for step in pipeline[:-1]:
        if isinstance(step, SelectorMixin):
            columns = columns[step.get_support()]
    values = np.zeros(len(genes))
    of_classes = np.atleast_2d(getattr(pipeline[-1], importance.attribute))
    values[columns] = np.linalg.norm(of_classes, axis=0)
    return pd.Series(values, genes)


def file_name(name: str) -> str:
    """Return the name of a model as files and columns have it."""
    return name.lower().replace(" ", "_")


def parameter_text(parameters: dict) -> str:
    return ", ".join(f"{name.split('__')[-1]}={value}" for name, value in parameters.items())
