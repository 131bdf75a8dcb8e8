"""How good are predictions, and how sure is that? Scores, intervals and tests.

y is an ordered categorical of classes by patient, P a DataFrame of probabilities, patients x
(model, class). Several arrays of one patient count as one, by their mean probability. All intervals
are 95 % intervals.

References: Golub et al. (1999) Science 286:531 (prediction strength); Collins et al. (2024) BMJ
385:e078378 (TRIPOD+AI: calibration, instability); Golland & Fischl (2003) IPMI 2732:330 (permuted
labels); of the intervals: intervals.py.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest, t
from sklearn.metrics import roc_auc_score

from expression.analysis import batches, intervals, splits
from expression.analysis.models import (
    MAJORITY,
    MODELS,
    Unfitted,
    classifier_names,
    models_of,
    predict_classes,
    quick_model,
)
from expression.analysis.tuning import (
    Fitted,
    brier_score,
    people_of,
    predict,
    predict_held_out,
    tune_and_fit,
)
from expression.data import ExpressionData, against_the_rest
from expression.parallel import run_parallel

OUTER_FOLDS = 5
CLASSIFIED_FROM = 0.3  # of the prediction strength, from which on Golub et al. classify a patient
BINS = (0, 0.2, 0.8, 1)  # of probabilities, to compare with how many patients have the class
AUC = "ROC AUC"  # of a class against the rest, of several their mean


class Tested(NamedTuple):
    """What the test patients say; of the random states, -1 is the seed itself."""

    y: pd.Series  # their classes, categorical
    P: pd.DataFrame  # probabilities, patients x (model, class)
    states: pd.DataFrame  # the same under other random states, (split, patient) x (model, class)
    scores: pd.DataFrame  # (measure, model) x estimate, lower, upper, lowest, highest
    correct: pd.DataFrame  # how many predicted classes are correct, random states x models
    pairs: pd.DataFrame  # of models, with McNemar's p


class Resampled(NamedTuple):
    """What patients say that were held out again and again."""

    P: pd.DataFrame  # probabilities, (repeat or split, patient) x (model, class)
    scores: pd.DataFrame  # of every repeat or split, x (measure, model)
    table: pd.DataFrame  # (measure, model) x mean, lower, upper, and more
    patients: pd.DataFrame | None = None  # how often each was misclassified, of random splits
    batch_alone: tuple[float, float] | None = None  # mean accuracy of the batch, at worst, at best
    y: pd.Series | None = None  # classes of the patients of a nested cross-validation, categorical


class Permuted(NamedTuple):
    """What one quick model reaches with the true classes, and with permuted ones."""

    model: str
    accuracy: float  # balanced, of patients held out in folds
    permuted: np.ndarray  # the same with each permutation

    @property
    def as_good(self) -> int:
        """How many permutations do as well as the true classes."""
        return int((self.permuted >= self.accuracy - 1e-9).sum())

    @property
    def p(self) -> float:
        return (1 + self.as_good) / (1 + len(self.permuted))


# --- what is measured ----------------------------------------------------------------------------


def measure_on_test(data: ExpressionData, fitted: dict[str, Fitted], count: int) -> Tested:
    """Predict the test patients, also with models tuned and fitted under other random states.

    There are `count` states with the seed's own.
    """
    P = average_arrays(predict(fitted, data.X_test, data.classes), data)
    y = data.patients.loc[P.index, "class"]
    states = pd.concat({-1: P}, names=["split", "patient"])
    if count > 1:
        states = pd.concat([states, predict_under_states(data, fitted, count - 1)])
    scores_of_states = score_splits(y, states)
    return Tested(
        y=y,
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
    arrays = np.arange(len(data.y_all))
    train, test = np.split(arrays, [len(data.X_train)])
    P = predict_held_out(
        models,
        data.X_all,
        data.y_all,
        splits=[(train, test)] * count,
        label="other random states",
        groups=data.groups,
    )
    return average_arrays(P, data)


def average_arrays(P: pd.DataFrame, data: ExpressionData) -> pd.DataFrame:
    """Return probabilities a patient from probabilities an array: the mean of each person's.

    The last index level of P names the arrays, that of the result the patients.
    """
    if data.people is None:
        return P
    arrays = P.index.get_level_values("patient")
    people = data.people.loc[arrays].to_numpy()
    if P.index.nlevels == 1:
        return P.groupby(pd.Index(people, name="patient"), sort=False).mean()
    split = P.index.get_level_values(0)
    return P.groupby([split, pd.Index(people, name="patient")], sort=False).mean()


def nested_cv(
    data: ExpressionData, models: dict[str, Unfitted], repeats: int, seed: int
) -> Resampled:
    """Hold the training patients out in folds; the interval is that of the patients, pooled."""
    X = data.X_train
    codes = data.y_train.cat.codes.to_numpy()
    groups = people_of(X.index, data.groups)
    partitions = splits.repeated_folds(codes, groups, OUTER_FOLDS, repeats, seed)
    folds = [fold for partition in partitions for fold in partition]
    P = predict_held_out(models, X, data.y_train, folds, "nested cross-validation", data.groups)

    repeat_of_fold = np.repeat(np.arange(repeats), [len(partition) for partition in partitions])
    repeat = pd.Index(repeat_of_fold[P.index.get_level_values("split")], name="repeat")
    P = average_arrays(P.set_index([repeat, P.index.get_level_values("patient")]), data)
    y = data.patients.loc[data.patients["set"] == "train", "class"]
    if MAJORITY in P:
        # The largest class of all patients: that of the others in a fold is, of 12 + 12 patients,
        # the one that the held-out part has fewer of
        P[MAJORITY] = np.tile(y.value_counts(normalize=True, sort=False), (len(P), 1))
    scores = score_splits(y, P)
    table = interval_table(scores.mean(), y, scores).rename(columns={"estimate": "mean"})
    return Resampled(P, scores, table, batch_alone=batch_alone_in(data, X.index, folds), y=y)


def batch_alone_in(
    data: ExpressionData, arrays: pd.Index, folds: list[splits.Split]
) -> tuple[float, float] | None:
    """Return the accuracy of the batch alone over splits of arrays, at worst and at best; None
    where no batch is known."""
    if data.batches is None:
        return None
    y = data.y_all[arrays]
    of_arrays = data.batches[arrays]
    correct = [
        batches.batch_alone(
            y_train=y.iloc[train],
            batches_train=of_arrays.iloc[train],
            y_test=y.iloc[test],
            batches_test=of_arrays.iloc[test],
        )
        for train, test in folds
    ]
    held_out = sum(len(test) for _, test in folds)
    lowest, highest = np.sum(correct, axis=0) / held_out
    return float(lowest), float(highest)


def permuted_labels(
    data: ExpressionData, models: dict[str, Unfitted], permutations: int, seed: int
) -> Permuted:
    """Repeat all that is done to one quick model with permuted classes of the training patients.

    With each of them patients are held out in other folds.
    """
    y = data.y_train.cat.codes.to_numpy()
    groups = people_of(data.X_train.index, data.groups)
    values = data.X_train.to_numpy()
    quick = quick_model(models)
    [name] = quick
    tasks = [(quick, values, y, groups, seed)]
    for number in range(permutations):
        rng = np.random.default_rng([seed, 5, number])
        permuted = splits.permute_labels(y, groups, rng)
        tasks.append((quick, values, permuted, groups, int(rng.integers(2**31))))
    accuracies = run_parallel(_balanced_accuracy_in_folds, tasks, "permuted labels")
    return Permuted(name, accuracies[0], np.array(accuracies[1:]))


def _balanced_accuracy_in_folds(models, X, y, groups, seed) -> float:
    """Return the balanced accuracy of one model on the rows of X, held out in folds."""
    called = np.zeros(len(y))
    for train, test in splits.stratified_folds(y, groups, OUTER_FOLDS, seed):
        groups_train = None if groups is None else groups[train]
        [fitted] = tune_and_fit(models, X[train], y[train], groups_train).values()
        called[test] = fitted.pipeline.predict(X[test])
    return float(np.mean([(called[y == label] == label).mean() for label in np.unique(y)]))


def monte_carlo_cv(
    data: ExpressionData, models: dict[str, Unfitted], given: Tested, count: int, seed: int
) -> Resampled:
    """Repeat everything on random splits, to compare with the given one."""
    X = data.X_all
    drawn = splits.random_splits(
        data.y_train.cat.codes.to_numpy(),
        data.y_test.cat.codes.to_numpy(),
        people_of(X.index, data.groups),
        count,
        seed,
    )
    P = average_arrays(
        predict_held_out(
            models,
            X,
            data.y_all,
            drawn,
            "Monte-Carlo cross-validation",
            data.groups,
        ),
        data,
    )
    patients = data.patients
    scores = score_splits(patients["class"], P)
    n_test = len(given.y)
    table = intervals.summarise_splits(scores["accuracy"], len(patients) - n_test, n_test)
    table["given split"] = given.scores.loc["accuracy", "estimate"]
    table = pd.concat({"accuracy": table}, names=["measure", "model"])
    return Resampled(
        P,
        scores,
        table,
        patients=patient_table(data, P),
        batch_alone=batch_alone_in(data, X.index, drawn),
    )


# --- scores --------------------------------------------------------------------------------------


def recall_of(label: str) -> str:
    """Return the name of a measure: the share of the patients of a class who are recognised."""
    return f"recall of {label}"


def auc_by_class(classes: Sequence[str]) -> dict[str, str]:
    """Return the names of the AUCs of the classes that are held against the rest."""
    labels = against_the_rest(classes)
    return {label: AUC if len(labels) == 1 else f"{AUC} of {label}" for label in labels}


def score(y: pd.Series, P: pd.DataFrame) -> pd.Series:
    """Return the scores by (measure, model); the higher the better, but for the Brier score."""
    scores = {name: score_model(y, P[name]) for name in models_of(P)}
    if MAJORITY in scores:  # of which only the accuracy tells anything
        scores[MAJORITY] = {"accuracy": scores[MAJORITY]["accuracy"]}
    return pd.DataFrame(scores).T.unstack().rename_axis(["measure", "model"]).dropna()


def score_model(y: pd.Series, P: pd.DataFrame) -> dict[str, float]:
    """Return the scores of one model by measure; P: patients x classes.

    With one probability for each predicted class, as 0 and 1, the ROC AUC is the balanced accuracy:
    it is NaN.
    """
    codes = y.cat.codes.to_numpy()
    called = P.to_numpy().argmax(axis=1)
    correct = pd.Series(called == codes, y.index)
    recalls = {recall_of(label): correct[y == label].mean() for label in y.cat.categories}
    aucs = {}
    for label, measure in auc_by_class(y.cat.categories).items():
        is_called = called == y.cat.categories.get_loc(label)
        has_thresholds = P[label].nunique() > len(np.unique(is_called))
        aucs[measure] = roc_auc_score(y == label, P[label]) if has_thresholds else np.nan
    return {
        "accuracy": correct.mean(),
        "balanced accuracy": np.mean(list(recalls.values())),
        **recalls,
        **aucs,
        AUC: np.mean(list(aucs.values())),
        "Brier score": brier_score(codes, P.to_numpy()),
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
    their mean and for the ROC AUC of a class. Those of the mean AUC of several classes are the mean
    limits, as wide as if all erred together. None for the Brier score: where it is low, on few
    patients, neither the bootstrap nor t keep their level (both cover 78 % in a simulation of 34
    patients and a Brier score of 0.014). Lowest and highest are over the rows of `repeated`, other
    random states or repeats of the same, x (measure, model).
    """
    limits = [
        _interval(scores.xs(model, level="model"), measure, y) for measure, model in scores.index
    ]
    table = pd.DataFrame(limits, scores.index, ["lower", "upper"])
    table.insert(0, "estimate", scores)
    return table.assign(lowest=repeated.min(), highest=repeated.max())


def _interval(scores: pd.Series, measure: str, y: pd.Series) -> tuple[float, float]:
    """Return the limits of a measure; `scores`: of one model, by measure."""
    counts = y.value_counts(sort=False)
    recalls = {recall_of(label): count for label, count in counts.items()}
    aucs = {name: counts[label] for label, name in auc_by_class(y.cat.categories).items()}
    if measure == "Brier score":
        return np.nan, np.nan
    if measure == "balanced accuracy":
        return intervals.newcombe_interval(scores[list(recalls)], recalls.values())
    if measure == AUC:
        of_classes = [
            intervals.auc_interval(scores[name], n, len(y) - n) for name, n in aucs.items()
        ]
        lower, upper = np.mean(of_classes, axis=0)
        return lower, upper
    if measure in aucs:
        n = aucs[measure]
        return intervals.auc_interval(scores[measure], n, len(y) - n)
    return intervals.wilson_interval(scores[measure], recalls.get(measure, len(y)))


# --- tables --------------------------------------------------------------------------------------


def mcnemar_table(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair of models, on whom only one is correct, and McNemar's exact p."""
    correct = are_correct(P.drop(columns=MAJORITY, level="model", errors="ignore"), y)
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


def probability_table(tested: Tested, splits: Resampled) -> pd.DataFrame:
    """Return how far the probabilities of each model can be trusted, models x columns.

    Of the probabilities of a class in each bin, how many are of a patient of the class
    (calibrated: as many as the probability says); summed over classes, of two the positive one
    alone, with its mean probability. How many patients are not in the same predicted class under
    all random states. How much a patient's probability varies, as `mean_sd` says, on average: over
    random states, and over the splits that held the patient out.
    """
    classes = against_the_rest(tested.y.cat.categories)
    labels = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(BINS)]
    called = predict_classes(tested.states)
    class_changes = called.groupby(level="patient").nunique().gt(1).sum()
    sd_states = mean_sd(tested.states, classes).mean()
    sd_splits = mean_sd(splits.P, classes).mean()
    is_class = pd.concat([tested.y == label for label in classes])
    rows = {}
    for name in models_of(tested.P.drop(columns=MAJORITY, level="model")):
        p = pd.concat([tested.P[name, label] for label in classes])
        binned = pd.cut(p, BINS, labels=labels, include_lowest=True)
        bins = is_class.groupby(binned.array, observed=False)
        rows[name] = {
            "mean": p.mean(),
            **{label: f"{members.sum()} of {len(members)}" for label, members in bins},
            "class changes": class_changes[name],
            "sd, states": sd_states[name],
            "sd, splits": sd_splits[name],
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    return table if len(classes) == 1 else table.drop(columns="mean")  # which is 1 / K


def mean_sd(P: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return the sd of each patient's probability of a class, mean of the classes, patients x
    models."""
    sd = P.groupby(level="patient").std()
    return pd.DataFrame({name: sd[name][list(classes)].mean(axis=1) for name in models_of(P)})


def calibration_in_the_large(y: pd.Series, P: pd.DataFrame) -> pd.DataFrame:
    """Return by how much each model's mean probability of a class exceeds the share of patients
    who have it; of two classes, the positive one.

    (model, class) x (excess, lower, upper): t intervals of the mean of p - y, which together, with
    a probability of 95 %, all cover 0 where the probabilities are right on average (Bonferroni).
    """
    excess = pd.DataFrame(
        {
            (name, label): P[name, label] - (y == label)
            for name in models_of(P)
            for label in against_the_rest(y.cat.categories)
        }
    )
    excess.columns.names = ["model", "class"]
    mean = excess.mean()
    level = 1 - 0.025 / excess.shape[1]
    margin = t.ppf(level, len(y) - 1) * excess.std() / np.sqrt(len(y))
    return pd.DataFrame({"excess": mean, "lower": mean - margin, "upper": mean + margin})


def prediction_strength(P: pd.DataFrame) -> pd.Series:
    """Return the prediction strength, 0 to 1, of Golub et al. from the shares of votes of two
    classes."""
    return 2 * P.max(axis=1) - 1


def no_calls(P: pd.DataFrame) -> pd.DataFrame:
    """Return which patients a model that votes does not classify, after Golub et al."""
    return pd.DataFrame(
        {
            name: (prediction_strength(P[name]) < CLASSIFIED_FROM) & MODELS[name].votes
            for name in models_of(P)
        }
    )


def prediction_table(tested: Tested) -> pd.DataFrame:
    """Return what all models predict for each test patient, the hardest for classifiers first.

    With the sd of each probability over random states.
    """
    y = tested.y
    classes = against_the_rest(y.cat.categories)
    sd = mean_sd(tested.states, classes)
    called = predict_classes(tested.P)
    columns = {"class": y, "errors": count_errors(y, tested.P)}
    for name in called:
        for label in classes:
            columns[f"{name}: probability of {label}"] = tested.P[name, label]
        columns[f"{name}: sd over random states"] = sd[name]
        columns[f"{name}: predicted class"] = y.cat.categories[called[name]]
        if MODELS[name].votes:
            columns[f"{name}: prediction strength"] = prediction_strength(tested.P[name])
            columns[f"{name}: classified"] = ~no_calls(tested.P)[name]
    return pd.DataFrame(columns, y.index).loc[hardest_first(y, tested.P)]


def are_correct(P: pd.DataFrame, y: pd.Series) -> pd.DataFrame:
    """Return whether the predicted class is that of y, patients x models."""
    return predict_classes(P).eq(y.cat.codes, axis=0)


def count_errors(y: pd.Series, P: pd.DataFrame) -> pd.Series:
    """Return how many classifiers misclassify each patient."""
    return (~are_correct(P, y)[classifier_names()]).sum(axis=1)


def hardest_first(y: pd.Series, P: pd.DataFrame) -> pd.Index:
    """Return the patients, those most classifiers misclassify first, then by the mean probability
    of their class."""
    errors = count_errors(y, P)
    of_class = own_probability(P[classifier_names()], y).mean(axis=1)
    return y.index[np.lexsort([of_class, -errors])]


def own_probability(P: pd.DataFrame, y: pd.Series) -> pd.DataFrame:
    """Return the probability of the class that patients have, patients x models."""
    rows = np.arange(len(y))
    codes = y.cat.codes.to_numpy()
    return pd.DataFrame(
        {name: P[name].to_numpy()[rows, codes] for name in models_of(P)},
        y.index,
    )


def patient_table(data: ExpressionData, held_out: pd.DataFrame) -> pd.DataFrame:
    """Return how often each patient was held out, and misclassified by each model when held out.

    With the mean error rate of the classifiers, and the sd of each model's probability.
    """
    patients = held_out.index.get_level_values("patient")
    table = data.patients
    codes = table["class"].cat.codes.loc[patients].to_numpy()
    errors = predict_classes(held_out).ne(codes, axis=0).groupby(patients)
    error_rates = errors.mean()
    table["held out"] = errors.size().reindex(table.index, fill_value=0)
    table = table.join(error_rates)
    table["mean"] = error_rates.filter(classifier_names()).mean(axis=1)
    sd = mean_sd(held_out, against_the_rest(data.classes))
    return table.join(sd.add_prefix("sd of probability: "))
