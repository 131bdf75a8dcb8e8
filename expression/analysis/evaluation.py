"""How good are predictions, and how sure is that? Scores, intervals and tests.

y is a Series of 0 and 1 (the positive class) by patient, P a DataFrame of probabilities of the
positive class, patients x models. A patient with a probability above 0.5 is predicted positive. All
intervals are 95 % intervals.

References: Golub et al. (1999) Science 286:531 (prediction strength); Collins et al. (2024) BMJ
385:e078378 (TRIPOD+AI: calibration, instability); of the intervals: intervals.py.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold

from expression.analysis import intervals
from expression.analysis.models import MAJORITY, MODELS, Unfitted, classifier_names
from expression.analysis.tuning import Fitted, predict, predict_held_out
from expression.data import ExpressionData

OUTER_FOLDS = 5
CLASSIFIED_FROM = 0.3  # of the prediction strength, from which on Golub et al. classify a patient
BINS = (0, 0.2, 0.8, 1)  # of probabilities, to compare with how many patients are positive


class Tested(NamedTuple):
    """What the test patients say; of the random states, -1 is the seed itself."""

    P: pd.DataFrame  # probabilities, patients x models
    states: pd.DataFrame  # the same under other random states, (split, patient) x models
    scores: pd.DataFrame  # (measure, model) x estimate, lower, upper, lowest, highest
    correct: pd.DataFrame  # how many predicted classes are correct, random states x models
    pairs: pd.DataFrame  # of models, with McNemar's p


class Resampled(NamedTuple):
    """What patients say that were held out again and again."""

    P: pd.DataFrame  # probabilities, (repeat or split, patient) x models
    scores: pd.DataFrame  # of every repeat or split, x (measure, model)
    table: pd.DataFrame  # (measure, model) x mean, lower, upper, and more
    patients: pd.DataFrame | None = None  # how often each was misclassified, of random splits


class Results(NamedTuple):
    """All that is computed; `tested` and `splits` are None without test patients."""

    fitted: dict[str, Fitted]  # on the training patients
    tested: Tested | None
    nested: Resampled | None = None
    splits: Resampled | None = None


def measure_on_test(data: ExpressionData, fitted: dict[str, Fitted], count: int) -> Tested:
    """Predict the test patients, also with models tuned and fitted under other random states.

    There are `count` states with the seed's own.
    """
    P, y, n = predict(fitted, data.X_test), data.y_test.cat.codes, len(data.X_train)
    states = [pd.concat({-1: P}, names=["split", "patient"])]
    if count > 1:
        models = {name: f.unfitted for name, f in fitted.items()}
        given = [(np.arange(n), np.arange(n, n + len(y)))] * (count - 1)
        label = "other random states"
        states.append(predict_held_out(models, data.X_all, data.y_all.cat.codes, given, label))
    states = pd.concat(states)
    over = score_splits(y, states)
    scores = interval_table(score(y, P), y, over)
    correct = (over["accuracy"] * len(y)).round().astype(int)
    return Tested(P, states, scores, correct, mcnemar_table(y, P))


def nested_cv(
    data: ExpressionData, models: dict[str, Unfitted], repeats: int, seed: int
) -> Resampled:
    """Hold the training patients out in folds; the interval is that of the patients, pooled."""
    X, y = data.X_train, data.y_train.cat.codes
    folds = RepeatedStratifiedKFold(n_splits=OUTER_FOLDS, n_repeats=repeats, random_state=seed)
    P = predict_held_out(models, X, y, list(folds.split(X, y)), "nested cross-validation")
    repeat = P.index.get_level_values("split") // OUTER_FOLDS
    P = P.set_index([repeat.rename("repeat"), P.index.get_level_values("patient")])
    scores = score_splits(y, P)
    table = interval_table(scores.mean(), y, scores).rename(columns={"estimate": "mean"})
    return Resampled(P, scores, table)


def monte_carlo_cv(
    data: ExpressionData, models: dict[str, Unfitted], given: Tested, count: int, seed: int
) -> Resampled:
    """Repeat everything on random splits, to compare with the given one."""
    y, y_train, y_test = (y.cat.codes for y in (data.y_all, data.y_train, data.y_test))
    splits = random_splits(y_train, y_test, count, seed)
    P = predict_held_out(models, data.X_all, y, splits, "Monte-Carlo cross-validation")
    scores = score_splits(y, P)
    table = intervals.summarise_splits(scores["accuracy"], len(y_train), len(y_test))
    table["given split"] = given.scores.loc["accuracy", "estimate"]
    table = pd.concat({"accuracy": table}, names=["measure", "model"])
    return Resampled(P, scores, table, patient_table(data, P))


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
    """Return the scores by (measure, model); the higher the better, but for the Brier score.

    With one probability for each predicted class, as 0 and 1, the ROC AUC is the balanced accuracy:
    it is NaN. Of the majority class only the accuracy tells anything.
    """
    scores = {}
    for name, p in P.items():
        called = p > 0.5
        correct = called == y
        scores[name] = {"accuracy": correct.mean()}
        if name == MAJORITY:
            continue
        sensitivity, specificity = correct[y == 1].mean(), correct[y == 0].mean()
        scores[name] |= {
            "balanced accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ROC AUC": roc_auc_score(y, p) if p.nunique() > called.nunique() else np.nan,
            "Brier score": brier_score_loss(y, p),
        }
    return pd.DataFrame(scores).T.unstack().rename_axis(["measure", "model"]).dropna()


def score_splits(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return the scores within each entry of the first index level, x (measure, model)."""
    parts = {split: part.droplevel(0) for split, part in P.groupby(level=0, sort=False)}
    scores = {split: score(y.loc[part.index], part) for split, part in parts.items()}
    return pd.concat(scores, axis=1).T  # some splits may lack a ROC AUC


def interval_table(scores: pd.Series, y: pd.Series, over: pd.DataFrame) -> pd.DataFrame:
    """Return estimate, lower, upper, lowest, highest of scores by (measure, model).

    The limits see the patients of y as drawn from many: Wilson's for proportions, Newcombe's for
    their mean and for the ROC AUC. None for the Brier score: where it is low, on few patients,
    neither the bootstrap nor t keep their level (both cover 78 % in a simulation of 34 patients
    and a Brier score of 0.014). Lowest and highest are over the rows of `over`, other random states
    or repeats of the same, x (measure, model).
    """
    n = int((y == 1).sum()), int((y == 0).sum())
    limits = [_interval(scores, *key, *n) for key in scores.index]
    table = pd.DataFrame(limits, scores.index, ["lower", "upper"])
    table.insert(0, "estimate", scores)
    return table.assign(lowest=over.min(), highest=over.max())


def _interval(scores: pd.Series, measure: str, model: str, positive: int, negative: int) -> tuple:
    value, counts = scores[measure, model], {"sensitivity": positive, "specificity": negative}
    if measure == "balanced accuracy":
        rates = [scores[rate, model] for rate in counts]
        return intervals.newcombe_interval(rates, counts.values())
    if measure == "ROC AUC":
        return intervals.auc_interval(value, positive, negative)
    if measure == "Brier score":
        return np.nan, np.nan
    return intervals.wilson_interval(value, counts.get(measure, positive + negative))


def probability_table(y: pd.Series, tested: Tested, splits: Resampled) -> pd.DataFrame:
    """Return how far the probabilities of each model can be trusted, models x columns.

    The mean, and how many patients of each bin are positive (calibrated: as many as the
    probability says). How many patients are not in the same predicted class under all random
    states. How much a patient's probability varies, the mean over patients of its sd: over random
    states, and over the splits that held the patient out.
    """
    labels = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(BINS)]
    states, held_out = (P.groupby(level="patient") for P in (tested.states, splits.P))
    changes = tested.states.gt(0.5).groupby(level="patient").nunique().gt(1).sum()
    sd_states, sd_splits = states.std().mean(), held_out.std().mean()
    rows = {}
    for name, p in tested.P.drop(columns=MAJORITY).items():
        bins = y.groupby(pd.cut(p, BINS, labels=labels, include_lowest=True), observed=False)
        counts = {label: f"{members.sum()} of {len(members)}" for label, members in bins}
        rows[name] = {"mean": p.mean(), **counts, "class changes": changes[name]}
        rows[name] |= {"sd, states": sd_states[name], "sd, splits": sd_splits[name]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def prediction_strength(p):
    """Return the prediction strength, 0 to 1, of Golub et al. from a share of votes."""
    return (2 * p - 1).abs()


def no_calls(P: pd.DataFrame) -> pd.DataFrame:
    """Return which patients a model that votes does not classify, after Golub et al."""
    return (prediction_strength(P) < CLASSIFIED_FROM) & [MODELS[name].votes for name in P]


def prediction_table(data: ExpressionData, P: pd.DataFrame, states: pd.DataFrame) -> pd.DataFrame:
    """Return what all models predict for each test patient, the hardest for classifiers first.

    With the sd of each probability over random states.
    """
    y, positive, sd = data.y_test.cat.codes, data.classes[1], states.groupby(level="patient").std()
    errors = P[classifier_names()].gt(0.5).ne(y, axis=0).sum(axis=1)
    table = pd.DataFrame({"class": data.y_test, "errors": errors})
    for name, p in P.items():
        table[f"{name}: probability of {positive}"] = p
        table[f"{name}: sd over random states"] = sd[name]
        table[f"{name}: predicted class"] = np.where(p > 0.5, *data.classes[::-1])
        if MODELS[name].votes:
            table[f"{name}: prediction strength"] = prediction_strength(p)
            table[f"{name}: classified"] = ~no_calls(P)[name]
    return table.loc[hardest_first(y, P)]


def hardest_first(y: pd.Series, P: pd.DataFrame) -> pd.Index:
    """Return the patients, those most classifiers misclassify first, then by mean probability."""
    P = P[classifier_names()]
    errors, doubt = P.gt(0.5).ne(y, axis=0).sum(axis=1), P.mean(axis=1).sub(y).abs()
    return y.index[np.lexsort([-doubt, -errors])]


def mcnemar_table(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair of models, on whom only one is correct, and McNemar's exact p."""
    correct, rows = P.drop(columns=MAJORITY, errors="ignore").gt(0.5).eq(y, axis=0), {}
    for a, b in itertools.combinations(correct, 2):
        only_a, only_b = int((correct[a] > correct[b]).sum()), int((correct[b] > correct[a]).sum())
        p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        rows[f"{a} / {b}"] = {"only first correct": only_a, "only second correct": only_b, "p": p}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("models")


def patient_table(data: ExpressionData, held_out: pd.DataFrame) -> pd.DataFrame:
    """Return how often each patient was held out, and misclassified by each model when held out.

    With the mean error rate of the classifiers, and the sd of each model's probability.
    """
    patients = held_out.index.get_level_values("patient")
    y = data.y_all.cat.codes.loc[patients].to_numpy()
    errors = held_out.gt(0.5).ne(y, axis=0).groupby(patients)
    table = pd.DataFrame({"set": data.sample_set, "class": data.y_all})
    table["held out"] = errors.size().reindex(table.index, fill_value=0)
    rates = errors.mean()
    table = table.join(rates).assign(mean=rates.filter(classifier_names()).mean(axis=1))
    return table.join(held_out.groupby(level="patient").std().add_prefix("sd of probability: "))
