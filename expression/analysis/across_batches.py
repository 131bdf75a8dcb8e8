"""How models fare across batches: in those they were trained on, in others, within one, held out.

P holds probabilities, patients x (model, class); a patient is a person, as in evaluation.py. What
is measured, and why nothing is corrected: see batches.py.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.analysis import batches
from expression.analysis.evaluation import Tested, are_correct, average_arrays
from expression.analysis.models import MAJORITY, Unfitted, models_of, predict_classes
from expression.analysis.new_patients import Possible
from expression.analysis.new_patients import count_called as count_called_patients
from expression.analysis.tuning import predict_held_out
from expression.data import ExpressionData, against_the_rest


class Within(NamedTuple):
    """How models rank the patients of one batch."""

    batches: dict[str, int]  # that hold several classes: pairs of patients of different ones
    auc: pd.DataFrame  # models x auc, p (NaN where the models were trained on these patients)


class HeldOut(NamedTuple):
    """What models say of each batch when they are trained on the others."""

    correct: pd.DataFrame  # batches x patients, then models: correct ones, median over states
    states: pd.DataFrame  # random states x models: correct ones of all batches
    impossible: list[str]  # batches without which too few patients of a class are left


def count_correct(data: ExpressionData, tested: Tested) -> pd.DataFrame:
    """Return how many test patients of each batch are predicted correctly.

    Batches x (whether models saw it in training, patients, then models).
    """
    patients = data.patients
    in_training = set(data.batches[data.X_train.index])
    of_test = patients.loc[tested.y.index, "batch"]
    table = _count_by_batch(tested.P, tested.y, of_test)
    seen = [set(batch.split(" + ")) <= in_training for batch in table.index]
    table.insert(0, "in training", seen)
    return table.sort_values("in training", ascending=False, kind="stable")


def count_called(data: ExpressionData, tested: Tested, possible: Possible) -> pd.DataFrame:
    """Return how many test patients of each batch each model calls, and how many correctly.

    (batch, 'called' or 'correct') x models, in the order of `count_correct`.
    """
    of_test = data.patients.loc[tested.y.index, "batch"]
    counts = {
        batch: count_called_patients(possible.of(patients), tested.y[patients]).T
        for batch, patients in of_test.groupby(of_test).groups.items()
    }
    in_order = count_correct(data, tested).index
    return pd.concat({batch: counts[batch] for batch in in_order}, names=["batch", "calls"])


def _count_by_batch(P: pd.DataFrame, y: pd.Series, of_patients: pd.Series) -> pd.DataFrame:
    correct = are_correct(P, y.loc[P.index]).groupby(of_patients.loc[P.index])
    table = correct.sum()
    table.insert(0, "patients", correct.size())
    return table.rename_axis("batch")


def batch_alone(data: ExpressionData, tested: Tested) -> tuple[int, int]:
    """Return how many test patients the batch alone tells, at worst and at best."""
    patients = data.patients
    train = patients[patients["set"] == "train"]
    test = patients.loc[tested.y.index]
    return batches.batch_alone(
        y_train=train["class"],
        batches_train=train["batch"],
        y_test=test["class"],
        batches_test=test["batch"],
    )


def rank_within(data: ExpressionData, P: pd.DataFrame, *, trained_on_others: bool) -> Within:
    """Return how models rank patients of different classes within the same batch.

    Of more than two classes each is held against the rest: the mean AUC, and the smallest p, times
    the number of classes (Bonferroni). P: of patients that the models had not seen. Where those of
    `P` trained the models of one another, as in cross-validation, permuting their classes gives no
    p: it is NaN.
    """
    patients = data.patients.loc[P.index]
    classes = patients["class"].to_numpy()
    of_patients = patients["batch"].to_numpy()
    names = models_of(P.drop(columns=MAJORITY, level="model", errors="ignore"))
    table = pd.DataFrame(np.nan, pd.Index(names, name="model"), ["auc", "p"])
    pairs = batches.pairs_by_batch(classes, of_patients)

    told = [  # in some batch, from others
        label
        for label in against_the_rest(data.classes)
        if batches.pairs_by_batch(classes == label, of_patients)
    ]
    for name in names if told else ():
        aucs = []
        p_values = []
        for label in told:
            p = P[name, label].to_numpy()
            aucs.append(batches.auc_within(p[:, np.newaxis], classes == label, of_patients)[0])
            if trained_on_others:
                p_values.append(batches.auc_within_p(p, classes == label, of_patients))
        table.loc[name, "auc"] = np.mean(aucs)
        if trained_on_others:
            table.loc[name, "p"] = min(1, min(p_values) * len(told))
    return Within(pairs, table)


def hold_out(data: ExpressionData, models: dict[str, Unfitted], states: int) -> HeldOut:
    """Train on all patients but those of a batch, and predict these, for each batch.

    Under so many random states, an odd number, as on few patients the count hangs on them.
    """
    y_all = data.y_all
    of_arrays = data.batches.loc[y_all.index]
    splits, impossible = batches.leave_one_out(y_all, of_arrays, data.groups)
    if not splits:
        return HeldOut(pd.DataFrame(), pd.DataFrame(), impossible)
    P = predict_held_out(
        models,
        data.X_all,
        y_all,
        list(splits.values()) * states,
        "batches held out",
        data.groups,
    )
    P = average_arrays(P, data)
    codes = data.patients["class"].cat.codes
    of_rows = codes[P.index.get_level_values("patient")].to_numpy()
    is_correct = predict_classes(P).eq(of_rows, axis=0)
    correct = is_correct.groupby(level=0).sum()
    correct.index = pd.MultiIndex.from_product([range(states), splits], names=["state", "batch"])
    table = correct.groupby(level="batch").median().astype(int)
    table.insert(
        0, "patients", is_correct.loc[: len(splits) - 1].groupby(level=0).size().to_numpy()
    )
    return HeldOut(table, correct.groupby(level="state").sum(), impossible)
