"""What a classification result is measured against: baselines, intervals, tests.

The functions take y, a Series of 0 and 1 (the positive class) by patient, and P, a DataFrame of
probabilities of the positive class, patients x models. A patient with a probability above 0.5 is
called positive. All intervals are 95 % intervals.

References: Golub et al. (1999) Science 286:531 (weighted voting, prediction strength); Newcombe
(1998) Statistics in Medicine 17:857 and 17:873 (proportions and their combinations); Nadeau &
Bengio (2003) Machine Learning 52:239 (means over overlapping splits).
"""

import argparse
import itertools

import numpy as np
import pandas as pd
from scipy.stats import binomtest, bootstrap, fisher_exact, rankdata, t
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from expression_data import ExpressionData
from preprocessing import preprocessing_steps
from reporting import run_parallel


class WeightedVoting(ClassifierMixin, BaseEstimator):
    """Weighted voting of Golub et al. (1999), for two classes.

    A gene's weight is its signal-to-noise a = (mean1 - mean0) / (sd1 + sd0). The `n_genes` genes
    of lowest and of highest weight vote a * (x - b), where b = (mean1 + mean0) / 2. Prediction
    strength is (winning votes - losing votes) / (winning votes + losing votes).
    """

    def __init__(self, n_genes=25):
        self.n_genes = n_genes

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X, y):
        """Learn `genes_` (columns), `weights_` a and `midpoints_` b from X, patients x genes."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)}, with {len(self.classes_)} class(es)."
            )
        low, high = (X[y == label] for label in self.classes_)
        noise = low.std(axis=0) + high.std(axis=0)
        weights = (high.mean(axis=0) - low.mean(axis=0)) / np.maximum(noise, np.finfo(float).eps)
        order = np.argsort(weights, kind="stable")
        self.genes_ = np.union1d(order[: self.n_genes], order[-self.n_genes :])
        self.weights_ = weights[self.genes_]
        self.midpoints_ = (low.mean(axis=0) + high.mean(axis=0))[self.genes_] / 2
        return self

    def decision_function(self, X):
        """Return the prediction strength, -1 to 1: above 0 the second class wins."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        votes = self.weights_ * (X[:, self.genes_] - self.midpoints_)
        cast = np.abs(votes).sum(axis=1)
        return votes.sum(axis=1) / np.where(cast > 0, cast, 1)

    def predict_proba(self, X):
        """Return the share of the votes of each class, whose |2p - 1| is the strength."""
        share = (1 + self.decision_function(X)) / 2
        return np.column_stack([1 - share, share])

    def predict(self, X):
        wins = self.decision_function(X) > 0
        return self.classes_[wins.astype(int)]


def build_baselines(seed: int, expression: str = "intensity") -> dict[str, BaseEstimator]:
    """Return what a model must beat, unfitted.

    One gene and voting take clipped intensities: a threshold on one gene needs no logarithm and
    no other genes to standardise by, and on the training patients signal-to-noise finds 48 of the
    paper's 50 genes on intensities, 28 on logarithms.
    """
    steps = [s for s in preprocessing_steps(expression) if s[0] in ("unlog", "clip", "filter")]
    stump = DecisionTreeClassifier(max_depth=1, random_state=seed)
    return {
        "Majority class": DummyClassifier(),
        "One gene": Pipeline([*steps, ("model", stump)]),
        "Weighted voting": Pipeline([*steps, ("model", WeightedVoting())]),
    }


def predict(models: dict[str, BaseEstimator], X: pd.DataFrame) -> pd.DataFrame:
    """Return P of fitted models."""
    columns = {name: _positive_probability(model, X.to_numpy()) for name, model in models.items()}
    return pd.DataFrame(columns, X.index)


def predict_held_out(
    models: dict[str, BaseEstimator], X, y, splits: list[tuple], args: argparse.Namespace, label
) -> pd.DataFrame:
    """Return P for the test part of every split, (split, patient) x models.

    Whatever a model tunes or learns, it learns anew from the training part of the split.
    """
    arrays = X.to_numpy(), y.to_numpy()
    tasks = [(clone(model), *arrays, *split) for split in splits for model in models.values()]
    found = iter(run_parallel(_fit_and_predict, tasks, args, label))
    parts = [pd.DataFrame({name: next(found) for name in models}, X.index[s[1]]) for s in splits]
    return pd.concat(dict(enumerate(parts)), names=["split", "patient"])


def _fit_and_predict(model, X, y, train, test) -> np.ndarray:
    return _positive_probability(model.fit(X[train], y[train]), X[test])


def _positive_probability(model: BaseEstimator, X: np.ndarray) -> np.ndarray:
    return model.predict_proba(X)[:, 1].astype(float)


def other_splits(y_train: pd.Series, y_test: pd.Series, count: int, seed: int) -> list[tuple]:
    """Return random (train, test) positions in y_train then y_test, the class counts kept."""
    y, rng = np.concatenate([y_train, y_test]), np.random.default_rng(seed)
    groups = [(np.flatnonzero(y == label), int((y_train == label).sum())) for label in (0, 1)]
    splits = []
    for _ in range(count):
        train = np.concatenate([rng.choice(group, n, replace=False) for group, n in groups])
        splits.append((np.sort(train), np.setdiff1d(np.arange(len(y)), train)))
    return splits


def score(y: pd.Series, P: pd.DataFrame) -> pd.Series:
    """Return the scores by (measure, model); the higher the better, but for the Brier score."""
    scores = {}
    for name, p in P.items():
        right = (p > 0.5) == y
        sensitivity, specificity = right[y == 1].mean(), right[y == 0].mean()
        scores[name] = {
            "accuracy": right.mean(),
            "balanced accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ROC AUC": roc_auc_score(y, p),
            "Brier score": brier_score_loss(y, p),
        }
    return pd.DataFrame(scores).T.unstack().rename_axis(["measure", "model"])


def score_splits(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of every split, splits x (measure, model)."""
    parts = {split: part.droplevel("split") for split, part in P.groupby("split")}
    return pd.DataFrame({split: score(y.loc[part.index], part) for split, part in parts.items()}).T


def standard_error(scores, n_train: float, n_test: float):
    """Return the standard error of the mean of each score over splits (Nadeau & Bengio).

    Training parts overlap: the variance of the mean over J splits is not 1/J of the variance of
    a score but 1/J + n_test/n_train of it.
    """
    return scores.std() * np.sqrt(1 / len(scores) + n_test / n_train)


def spread(scores: pd.DataFrame, n_train: float, n_test: float) -> pd.DataFrame:
    """Return mean, sd and interval of the mean over splits (Nadeau & Bengio).

    No interval where all scores are the same.
    """
    mean, sd = scores.mean(), scores.std().round(12)
    reach = t.ppf(0.975, len(scores) - 1) * standard_error(scores, n_train, n_test)
    reach = reach.where(sd > 1e-9)
    limits = {"lower": (mean - reach).clip(0, 1), "upper": (mean + reach).clip(0, 1)}
    return pd.DataFrame({"mean": mean, "sd": sd, **limits})


def estimates(y: pd.Series, P: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Return the scores with their intervals, (measure, model) x estimate, lower, upper."""
    values = score(y, P)
    limits = {name: intervals(p[y == 1], p[y == 0], resamples, seed) for name, p in P.items()}
    rows = [(value, *limits[model][measure]) for (measure, model), value in values.items()]
    return pd.DataFrame(rows, values.index, ["estimate", "lower", "upper"])


def intervals(positive: pd.Series, negative: pd.Series, resamples: int, seed: int) -> dict:
    """Return the interval of each measure, from a model's probabilities in the two classes.

    Proportions: Wilson's. Balanced accuracy, the mean of two: Newcombe's combination. ROC AUC and
    Brier score: percentiles over bootstrap resamples of each class; where no pair of patients is
    in the wrong order none is in any resample, and the interval of the AUC, 1 to 1, is too narrow.
    """

    def wilson(right):
        return binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")

    def resampled(statistic):
        if min(len(positive), len(negative)) < 2:
            return np.nan, np.nan
        options = {"n_resamples": resamples, "method": "percentile", "rng": seed}
        return bootstrap((positive, negative), statistic, **options).confidence_interval

    right = positive > 0.5, negative <= 0.5
    rates, limits = np.array([[r.mean()] for r in right]), np.array([wilson(r) for r in right])
    return {
        "accuracy": wilson(pd.concat(right)),
        "balanced accuracy": rates.mean() + np.hypot(*(limits - rates)) / 2 * (-1, 1),
        "sensitivity": limits[0],
        "specificity": limits[1],
        "ROC AUC": resampled(_auc),
        "Brier score": resampled(_brier),
    }


def _auc(positive, negative, axis=-1):
    """Return the share of pairs in the right order, ties half, from the sum of ranks."""
    n, m = positive.shape[-1], negative.shape[-1]
    ranks = rankdata(np.concatenate([positive, negative], axis=-1), axis=-1)
    return (ranks[..., :n].sum(axis=-1) / n - (n + 1) / 2) / m


def _brier(positive, negative, axis=-1):
    return (np.concatenate([1 - positive, negative], axis=-1) ** 2).mean(axis=-1)


def call_table(y: pd.Series, P: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return, for each model, Fisher's exact test of its calls against chance, and the calls of
    patients whose prediction strength |2p - 1| reaches the threshold."""
    rows = {}
    for name, p in P.items():
        certain = strength(p) >= threshold
        right = ((p > 0.5) == y)[certain]
        rows[name] = {
            "right": int(((p > 0.5) == y).sum()),
            "Fisher p": fisher_exact(confusion_matrix(y, p > 0.5)).pvalue,
            "certain": int(certain.sum()),
            "certain and right": int(right.sum()),
            "accuracy of certain": right.mean() if len(right) else None,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def strength(p):
    """Return the prediction strength, 0 to 1: that of Golub et al. where p is a share of votes."""
    return (2 * p - 1).abs()


def prediction_table(
    data: ExpressionData, P: pd.DataFrame, models: list[str], threshold: float
) -> pd.DataFrame:
    """Return what all say of each test patient and how surely, those hardest for `models` first."""
    y, positive = data.y_test.cat.codes, data.classes[1]
    wrong = P[models].gt(0.5).ne(y, axis=0).sum(axis=1)
    table = pd.DataFrame({"class": data.y_test, "models wrong": wrong})
    for name, p in P.items():
        sure, call = strength(p), np.where(p > 0.5, *data.classes[::-1])
        table[f"{name}: probability of {positive}"] = p
        table[f"{name}: prediction strength"] = sure
        table[f"{name}: call"] = np.where(sure < threshold, "uncertain", call)
    doubt = P[models].mean(axis=1).sub(y).abs()
    return table.iloc[np.lexsort([-doubt, -wrong])]


def mcnemar_table(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair of models, the patients only one gets right, and McNemar's exact p."""
    right = P.gt(0.5).eq(y, axis=0)
    rows = {}
    for a, b in itertools.combinations(P, 2):
        only_a, only_b = int((right[a] & ~right[b]).sum()), int((right[b] & ~right[a]).sum())
        p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        rows[f"{a} / {b}"] = {"only first right": only_a, "only second right": only_b, "p": p}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("models")


def difference_table(scores: pd.DataFrame, n_train: float, n_test: float) -> pd.DataFrame:
    """Return the mean difference of each pair of models over the same splits, and its p-value.

    The t-test with the standard error of Nadeau & Bengio.
    """
    rows = {}
    for a, b in itertools.combinations(scores, 2):
        difference = scores[a] - scores[b]
        error = standard_error(difference, n_train, n_test)
        p = 2 * t.sf(abs(difference.mean()) / error, len(scores) - 1) if error > 1e-9 else np.nan
        rows[f"{a} - {b}"] = {"difference": difference.mean(), "p": p}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("models")


def splitting_genes(data: ExpressionData, expression: str) -> pd.DataFrame:
    """Return the genes that split the training patients, and what each calls right in the test set.

    In the units of the models: preprocessed.
    """
    steps = Pipeline(preprocessing_steps(expression)).fit(data.X_train.to_numpy())
    genes = steps.get_feature_names_out(data.X_train.columns)
    Z, Z_test = (steps.transform(X.to_numpy()) for X in (data.X_train, data.X_test))
    y, y_test = data.y_train.cat.codes == 1, data.y_test.cat.codes == 1
    rows = {}
    for sign in (1, -1):
        low, high = (sign * Z[~y]).max(axis=0), (sign * Z[y]).min(axis=0)
        right = ((sign * Z_test > (low + high) / 2) == y_test.to_numpy()[:, None]).sum(axis=0)
        for i in np.flatnonzero(low < high):
            rows[genes[i]] = data.gene_names[genes[i]], right[i]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["gene", "right"])
    return table.rename_axis("accession").sort_values(["right", "gene"], ascending=False)


def missed_rates(y: pd.Series, P: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Return how often each patient was held out, and missed by each model when held out.

    Suspicious is who is missed more often than not, on average over `models`.
    """
    patients = P.index.get_level_values("patient")
    wrong = P.gt(0.5).ne(y.loc[patients].to_numpy(), axis=0).groupby(patients)
    rates = wrong.mean()
    average = rates[models].mean(axis=1)
    rates.insert(0, "held out", wrong.size())
    return rates.assign(average=average, suspicious=average > 0.5)
