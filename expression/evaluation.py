"""How good are predictions, and how sure is that? Scores, intervals and tests.

The functions take y, a Series of 0 and 1 (the positive class) by patient, and P, a DataFrame of
probabilities of the positive class, patients x models. A patient with a probability above 0.5 is
predicted positive. All intervals are 95 % intervals.

References: Newcombe (1998) Statistics in Medicine 17:857 and 17:873 (proportions and their
combinations); Nadeau & Bengio (2003) Machine Learning 52:239 (means over overlapping splits); Golub
et al. (1999) Science 286:531 (prediction strength).
"""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest, bootstrap, rankdata, t
from sklearn.base import BaseEstimator
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold

from expression.data import ExpressionData
from expression.models import (
    build_models,
    classifier_names,
    fit_models,
    predict,
    predict_held_out,
    tuning_table,
)

OUTER_FOLDS = 5


class Results(NamedTuple):
    """All that is computed. Without test patients the last three are empty."""

    fitted: dict[str, BaseEstimator]  # all models, on the training patients
    nested_scores: pd.DataFrame  # splits x (measure, model)
    tables: dict[str, pd.DataFrame]  # by their key in metrics.json
    P: pd.DataFrame  # probabilities of the test patients x models
    split_scores: pd.DataFrame  # Monte-Carlo cross-validation, splits x (measure, model)
    predictions: pd.DataFrame  # a row a test patient, the hardest first


def evaluate_models(
    data: ExpressionData, repeats: int, splits: int, resamples: int, threshold: float, seed: int
) -> Results:
    """Tune and fit all models on the training patients, then measure them three ways."""
    y = data.y_train.cat.codes
    models = build_models(data.preprocessing, seed)
    fitted = fit_models(models, data.X_train, y)
    nested = nested_cross_validation(models, data.X_train, y, repeats, seed)
    nested_scores = score_splits(y, nested)
    nested_table = summarise_splits(nested_scores, OUTER_FOLDS - 1, 1)
    tables = {"tuning": tuning_table(fitted), "nested_cv": nested_table}
    none = pd.DataFrame()
    if not len(data.y_test):
        return Results(fitted, nested_scores, tables, none, none, none)

    y_test, y_all = data.y_test.cat.codes, data.y_all.cat.codes
    P = predict(fitted, data.X_test)
    tables["test"] = score_table(y_test, P, resamples, seed)
    tables["classification"] = classification_table(y_test, P, threshold)
    predictions = prediction_table(data, P, classifier_names(), threshold)

    drawn = random_splits(y, y_test, splits, seed)
    held_out = predict_held_out(models, data.X_all, y_all, drawn, "Monte-Carlo cross-validation")
    split_scores, sizes = score_splits(y_all, held_out), (len(y), len(y_test))
    given = score(y_test, P)["accuracy"]
    tables["monte_carlo"] = summarise_splits(split_scores["accuracy"], *sizes).assign(
        **{"given split": given},
        percentile=percentile_of(given, split_scores["accuracy"]),
    )
    tables["pairs"] = mcnemar_table(y_test, P)
    patients = pd.DataFrame({"set": data.sample_set, "class": data.y_all})
    tables["patients"] = patients.join(error_rates(y_all, held_out, classifier_names()))
    return Results(fitted, nested_scores, tables, P, split_scores, predictions)


def nested_cross_validation(
    models: dict[str, BaseEstimator], X: pd.DataFrame, y: pd.Series, repeats: int, seed: int
) -> pd.DataFrame:
    """Return the probabilities of held-out training patients, (split, patient) x models."""
    other_seed = seed ^ 1  # else the outer folds are those the models were tuned on
    folds = RepeatedStratifiedKFold(
        n_splits=OUTER_FOLDS, n_repeats=repeats, random_state=other_seed
    ).split(X, y)
    return predict_held_out(models, X, y, list(folds), "nested cross-validation")


def random_splits(y_train: pd.Series, y_test: pd.Series, count: int, seed: int) -> list[tuple]:
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
        correct = (p > 0.5) == y
        sensitivity, specificity = correct[y == 1].mean(), correct[y == 0].mean()
        scores[name] = {
            "accuracy": correct.mean(),
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


def summarise_splits(scores: pd.DataFrame, n_train: float, n_test: float) -> pd.DataFrame:
    """Return mean, sd and interval of the mean over splits (Nadeau & Bengio).

    Training parts overlap: the variance of the mean over J splits is not 1/J of the variance of
    a score but 1/J + n_test/n_train of it. No interval where all scores are the same.
    """
    mean, sd = scores.mean(), scores.std()
    error = sd * np.sqrt(1 / len(scores) + n_test / n_train)
    margin = t.ppf(0.975, len(scores) - 1) * error.where(sd > 1e-9)
    limits = {"lower": (mean - margin).clip(0, 1), "upper": (mean + margin).clip(0, 1)}
    return pd.DataFrame({"mean": mean, "sd": sd.round(12), **limits})


def score_table(y: pd.Series, P: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
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

    def resampled(statistic):
        if min(len(positive), len(negative)) < 2:
            return np.nan, np.nan
        options = {"n_resamples": resamples, "method": "percentile", "rng": seed}
        return bootstrap((positive, negative), statistic, **options).confidence_interval

    detected, rejected = positive > 0.5, negative <= 0.5
    return {
        "accuracy": wilson_interval(pd.concat([detected, rejected])),
        "balanced accuracy": newcombe_interval(detected, rejected),
        "sensitivity": wilson_interval(detected),
        "specificity": wilson_interval(rejected),
        "ROC AUC": resampled(_auc),
        "Brier score": resampled(_brier),
    }


def wilson_interval(correct: pd.Series) -> np.ndarray:
    """Return Wilson's score interval of a proportion, from who is predicted correctly."""
    interval = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson")
    return np.array([interval.low, interval.high])


def newcombe_interval(first: pd.Series, second: pd.Series) -> tuple[float, float]:
    """Return Newcombe's square-and-add interval of the mean of two independent proportions.

    Either limit is as far from the mean as the two proportions' own limits are from them, added
    as independent errors are.
    """
    rates = np.array([first.mean(), second.mean()])
    low, high = np.transpose([wilson_interval(first), wilson_interval(second)])
    below, above = np.hypot(*(rates - low)) / 2, np.hypot(*(high - rates)) / 2
    return rates.mean() - below, rates.mean() + above


def _auc(positive, negative, axis=-1):
    """Return the share of pairs in the right order, ties half, from the sum of ranks."""
    n, m = positive.shape[-1], negative.shape[-1]
    ranks = rankdata(np.concatenate([positive, negative], axis=-1), axis=-1)
    return (ranks[..., :n].sum(axis=-1) / n - (n + 1) / 2) / m


def _brier(positive, negative, axis=-1):
    return (np.concatenate([1 - positive, negative], axis=-1) ** 2).mean(axis=-1)


def prediction_strength(p):
    """Return the prediction strength, 0 to 1: that of Golub et al. where p is a share of votes."""
    return (2 * p - 1).abs()


def classification_table(y: pd.Series, P: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return, for each model, how many predicted classes are correct: of all patients, and of
    those whose prediction strength reaches the threshold; the others are no-calls."""
    rows = {}
    for name, p in P.items():
        correct, classified = (p > 0.5) == y, prediction_strength(p) >= threshold
        rows[name] = {
            "correct": int(correct.sum()),
            "errors": int((~correct).sum()),
            "classified": int(classified.sum()),
            "no-call": int((~classified).sum()),
            "classified correctly": int(correct[classified].sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def prediction_table(
    data: ExpressionData, P: pd.DataFrame, models: list[str], threshold: float
) -> pd.DataFrame:
    """Return what all models predict for each test patient, those hardest for `models` first."""
    y, positive = data.y_test.cat.codes, data.classes[1]
    errors = P[models].gt(0.5).ne(y, axis=0).sum(axis=1)
    table = pd.DataFrame({"class": data.y_test, "errors": errors})
    for name, p in P.items():
        strength = prediction_strength(p)
        table[f"{name}: probability of {positive}"] = p
        table[f"{name}: prediction strength"] = strength
        table[f"{name}: predicted class"] = np.where(p > 0.5, *data.classes[::-1])
        table[f"{name}: classified"] = strength >= threshold
    doubt = P[models].mean(axis=1).sub(y).abs()
    return table.iloc[np.lexsort([-doubt, -errors])]


def mcnemar_table(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair of models, on whom only one is correct, and McNemar's exact p."""
    correct = P.gt(0.5).eq(y, axis=0)
    rows = {}
    for a, b in itertools.combinations(P, 2):
        only_a, only_b = (
            int((correct[a] & ~correct[b]).sum()),
            int((correct[b] & ~correct[a]).sum()),
        )
        p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        rows[f"{a} / {b}"] = {"only first correct": only_a, "only second correct": only_b, "p": p}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("models")


def percentile_of(value: pd.Series, scores: pd.DataFrame) -> pd.Series:
    """Return the share of splits with a lower score than `value`, ties half, for each model."""
    ties = (scores - value).abs() < 1e-9
    return ((scores < value) & ~ties).mean() + ties.mean() / 2


def error_rates(y: pd.Series, P: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Return how often each patient was held out, and misclassified by each model when held out.

    The mean is over `models`.
    """
    patients = P.index.get_level_values("patient")
    errors = P.gt(0.5).ne(y.loc[patients].to_numpy(), axis=0).groupby(patients)
    rates = errors.mean()
    rates.insert(0, "held out", errors.size())
    return rates.assign(mean=rates[models].mean(axis=1))
