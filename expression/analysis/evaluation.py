"""How good are predictions, and how sure is that? Scores, intervals and tests.

y is a Series of 0 and 1 (the positive class) by patient, P a DataFrame of probabilities of the
positive class, patients x models. All intervals are 95 % intervals.

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
from expression.analysis.models import (
    MAJORITY,
    MODELS,
    Unfitted,
    classifier_names,
    predicts_positive,
)
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


# --- what is measured ----------------------------------------------------------------------------


def measure_on_test(data: ExpressionData, fitted: dict[str, Fitted], count: int) -> Tested:
    """Predict the test patients, also with models tuned and fitted under other random states.

    There are `count` states with the seed's own.
    """
    P = predict(fitted, data.X_test)
    y = data.y_test.cat.codes
    states = pd.concat({-1: P}, names=["split", "patient"])
    if count > 1:
        states = pd.concat([states, predict_under_states(data, fitted, count - 1)])
    scores_of_states = score_splits(y, states)
    return Tested(
        P=P,
        states=states,
        scores=interval_table(score(y, P), y, scores_of_states),
        correct=(scores_of_states["accuracy"] * len(y)).round().astype(int),
        pairs=mcnemar_table(y, P),
    )


def predict_under_states(
    data: ExpressionData, fitted: dict[str, Fitted], count: int
) -> pd.DataFrame:
    """Return the test patients' probabilities under other random states, tuning included."""
    models = {name: f.unfitted for name, f in fitted.items()}
    patients = np.arange(len(data.y_all))
    train, test = np.split(patients, [len(data.X_train)])
    return predict_held_out(
        models,
        data.X_all,
        data.y_all.cat.codes,
        splits=[(train, test)] * count,
        label="other random states",
    )


def nested_cv(
    data: ExpressionData, models: dict[str, Unfitted], repeats: int, seed: int
) -> Resampled:
    """Hold the training patients out in folds; the interval is that of the patients, pooled."""
    X = data.X_train
    y = data.y_train.cat.codes
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
    y = data.y_all.cat.codes
    y_train = data.y_train.cat.codes
    y_test = data.y_test.cat.codes
    splits = random_splits(y_train, y_test, count, seed)
    P = predict_held_out(models, data.X_all, y, splits, "Monte-Carlo cross-validation")
    scores = score_splits(y, P)
    table = intervals.summarise_splits(scores["accuracy"], len(y_train), len(y_test))
    table["given split"] = given.scores.loc["accuracy", "estimate"]
    table = pd.concat({"accuracy": table}, names=["measure", "model"])
    return Resampled(P, scores, table, patient_table(data, P))


def random_splits(y_train: pd.Series, y_test: pd.Series, count: int, seed: int) -> list[tuple]:
    """Return random (train, test) positions in y_train then y_test, the class counts kept."""
    y = np.concatenate([y_train, y_test])
    rng = np.random.default_rng(seed)
    splits = []
    for _ in range(count):
        drawn = [
            rng.choice(np.flatnonzero(y == label), (y_train == label).sum(), replace=False)
            for label in (0, 1)
        ]
        train = np.sort(np.concatenate(drawn))
        splits.append((train, np.setdiff1d(np.arange(len(y)), train)))
    return splits


# --- scores --------------------------------------------------------------------------------------


def score(y: pd.Series, P: pd.DataFrame) -> pd.Series:
    """Return the scores by (measure, model); the higher the better, but for the Brier score."""
    scores = {name: score_model(y, p) for name, p in P.items()}
    if MAJORITY in scores:  # of which only the accuracy tells anything
        scores[MAJORITY] = {"accuracy": scores[MAJORITY]["accuracy"]}
    return pd.DataFrame(scores).T.unstack().rename_axis(["measure", "model"]).dropna()


def score_model(y: pd.Series, p: pd.Series) -> dict[str, float]:
    """Return the scores of one model by measure.

    With one probability for each predicted class, as 0 and 1, the ROC AUC is the balanced accuracy:
    it is NaN.
    """
    called = predicts_positive(p)
    correct = called == y
    sensitivity = correct[y == 1].mean()
    specificity = correct[y == 0].mean()
    has_thresholds = p.nunique() > called.nunique()
    return {
        "accuracy": correct.mean(),
        "balanced accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ROC AUC": roc_auc_score(y, p) if has_thresholds else np.nan,
        "Brier score": brier_score_loss(y, p),
    }


def score_splits(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return the scores within each entry of the first index level, x (measure, model)."""
    scores = {}
    for split, part in P.groupby(level=0, sort=False):
        of_patients = part.droplevel(0)
        scores[split] = score(y.loc[of_patients.index], of_patients)
    return pd.concat(scores, axis=1).T  # some splits may lack a ROC AUC


def interval_table(scores: pd.Series, y: pd.Series, repeated: pd.DataFrame) -> pd.DataFrame:
    """Return estimate, lower, upper, lowest, highest of scores by (measure, model).

    The limits see the patients of y as drawn from many: Wilson's for proportions, Newcombe's for
    their mean and for the ROC AUC. None for the Brier score: where it is low, on few patients,
    neither the bootstrap nor t keep their level (both cover 78 % in a simulation of 34 patients
    and a Brier score of 0.014). Lowest and highest are over the rows of `repeated`, other random
    states or repeats of the same, x (measure, model).
    """
    positive = int((y == 1).sum())
    negative = int((y == 0).sum())
    limits = [
        _interval(scores, measure, model, positive=positive, negative=negative)
        for measure, model in scores.index
    ]
    table = pd.DataFrame(limits, scores.index, ["lower", "upper"])
    table.insert(0, "estimate", scores)
    return table.assign(lowest=repeated.min(), highest=repeated.max())


def _interval(
    scores: pd.Series, measure: str, model: str, *, positive: int, negative: int
) -> tuple[float, float]:
    value = scores[measure, model]
    if measure == "balanced accuracy":
        rates = scores["sensitivity", model], scores["specificity", model]
        return intervals.newcombe_interval(rates, (positive, negative))
    if measure == "ROC AUC":
        return intervals.auc_interval(value, positive, negative)
    if measure == "Brier score":
        return np.nan, np.nan
    patients = {"sensitivity": positive, "specificity": negative}
    return intervals.wilson_interval(value, patients.get(measure, positive + negative))


# --- tables --------------------------------------------------------------------------------------


def mcnemar_table(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair of models, on whom only one is correct, and McNemar's exact p."""
    correct = predicts_positive(P.drop(columns=MAJORITY, errors="ignore")).eq(y, axis=0)
    rows = {}
    for a, b in itertools.combinations(correct, 2):
        only_a = int((correct[a] > correct[b]).sum())
        only_b = int((correct[b] > correct[a]).sum())
        differ = only_a + only_b
        rows[f"{a} / {b}"] = {
            "only first correct": only_a,
            "only second correct": only_b,
            "p": binomtest(only_a, differ).pvalue if differ else 1.0,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("models")


def probability_table(y: pd.Series, tested: Tested, splits: Resampled) -> pd.DataFrame:
    """Return how far the probabilities of each model can be trusted, models x columns.

    The mean, and how many patients of each bin are positive (calibrated: as many as the
    probability says). How many patients are not in the same predicted class under all random
    states. How much a patient's probability varies, the mean over patients of its sd: over random
    states, and over the splits that held the patient out.
    """
    labels = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(BINS)]
    called = predicts_positive(tested.states)
    class_changes = called.groupby(level="patient").nunique().gt(1).sum()
    sd_states = tested.states.groupby(level="patient").std().mean()
    sd_splits = splits.P.groupby(level="patient").std().mean()
    rows = {}
    for name, p in tested.P.drop(columns=MAJORITY).items():
        bins = y.groupby(pd.cut(p, BINS, labels=labels, include_lowest=True), observed=False)
        rows[name] = {
            "mean": p.mean(),
            **{label: f"{members.sum()} of {len(members)}" for label, members in bins},
            "class changes": class_changes[name],
            "sd, states": sd_states[name],
            "sd, splits": sd_splits[name],
        }
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
    y = data.y_test.cat.codes
    negative, positive = data.classes
    sd = states.groupby(level="patient").std()
    table = pd.DataFrame({"class": data.y_test, "errors": count_errors(y, P)})
    for name, p in P.items():
        table[f"{name}: probability of {positive}"] = p
        table[f"{name}: sd over random states"] = sd[name]
        table[f"{name}: predicted class"] = np.where(predicts_positive(p), positive, negative)
        if MODELS[name].votes:
            table[f"{name}: prediction strength"] = prediction_strength(p)
            table[f"{name}: classified"] = ~no_calls(P)[name]
    return table.loc[hardest_first(y, P)]


def count_errors(y: pd.Series, P: pd.DataFrame) -> pd.Series:
    """Return how many classifiers misclassify each patient."""
    return predicts_positive(P[classifier_names()]).ne(y, axis=0).sum(axis=1)


def hardest_first(y: pd.Series, P: pd.DataFrame) -> pd.Index:
    """Return the patients, those most classifiers misclassify first, then by mean probability."""
    errors = count_errors(y, P)
    doubt = P[classifier_names()].mean(axis=1).sub(y).abs()
    return y.index[np.lexsort([-doubt, -errors])]


def patient_table(data: ExpressionData, held_out: pd.DataFrame) -> pd.DataFrame:
    """Return how often each patient was held out, and misclassified by each model when held out.

    With the mean error rate of the classifiers, and the sd of each model's probability.
    """
    patients = held_out.index.get_level_values("patient")
    y = data.y_all.cat.codes.loc[patients].to_numpy()
    errors = predicts_positive(held_out).ne(y, axis=0).groupby(patients)
    error_rates = errors.mean()
    table = pd.DataFrame({"set": data.sample_set, "class": data.y_all})
    table["held out"] = errors.size().reindex(table.index, fill_value=0)
    table = table.join(error_rates)
    table["mean"] = error_rates.filter(classifier_names()).mean(axis=1)
    sd = held_out.groupby(level="patient").std()
    return table.join(sd.add_prefix("sd of probability: "))
