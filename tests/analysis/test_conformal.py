"""Prediction sets: counted by hand, against MAPIE, and by simulation."""

import numpy as np
import pandas as pd
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from expression.analysis.conformal import are_possible, never_excluded, p_values

CODES = np.array([0, 0, 0, 1, 1])
OF_CLASS_1 = np.array([0.1, 0.2, 0.4, 0.7, 0.9])  # of each held-out patient
HELD_OUT = np.stack([1 - OF_CLASS_1, OF_CLASS_1], axis=1)[np.newaxis]


def of_class_1(p):
    return np.column_stack([1 - np.asarray(p), p])


def test_p_values_are_counted_with_the_patient_among_them():
    p = p_values(HELD_OUT, CODES, of_class_1([0.8, 0.95, 0.3, 0.0]))
    # of the three of class 0, with 0.9, 0.8 and 0.6 of their own, and of the two of class 1
    np.testing.assert_allclose(p[:, 0], np.array([1, 1, 2, 4]) / 4)
    np.testing.assert_allclose(p[:, 1], np.array([2, 3, 1, 1]) / 3)


def test_equal_probabilities_are_no_higher():
    assert p_values(HELD_OUT, CODES, of_class_1([0.7]))[0, 1] == pytest.approx(2 / 3)


def test_repeats_are_averaged_by_their_p():
    other = HELD_OUT[:, :, ::-1]
    both = p_values(np.concatenate([HELD_OUT, other]), CODES, of_class_1([0.3]))
    apart = [p_values(part, CODES, of_class_1([0.3])) for part in (HELD_OUT, other)]
    np.testing.assert_allclose(both, np.mean(apart, axis=0))


def test_a_class_is_possible_above_the_rest_of_the_confidence():
    p = pd.DataFrame({"A": [0.1, 0.11, 1.0], "B": [0.05, 0.2, 0.1]})
    assert are_possible(p, 0.9).to_numpy().tolist() == [[0, 0], [1, 1], [1, 0]]
    assert are_possible(p, 0.96).to_numpy().all()


def test_so_few_patients_that_nobody_is_outside_are_known():
    y = pd.Series(pd.Categorical(["A"] * 27 + ["B"] * 11))
    assert never_excluded(y, 0.9) == []
    assert never_excluded(y, 11 / 12) == []  # p = 1/12 is no more than 1 - 11/12
    assert never_excluded(y, 0.92) == ["B"]
    assert never_excluded(y, 0.97) == ["A", "B"]


class AsGiven(ClassifierMixin, BaseEstimator):
    """What MAPIE takes for a fitted classifier: rows of X are probabilities already."""

    def __init__(self, classes=2):
        self.classes = classes
        self.classes_ = np.arange(classes)
        self.is_fitted_ = True

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.asarray(X)

    def predict(self, X):
        return np.asarray(X).argmax(axis=1)


@pytest.mark.filterwarnings("ignore:WARNING. your conformalization dataset has less labels")
@pytest.mark.parametrize("confidence", [0.8, 0.9])
@pytest.mark.parametrize("classes", [2, 4])
def test_sets_are_those_of_mapie_calibrated_on_one_class_at_a_time(classes, confidence):
    rng = np.random.default_rng(classes)
    P = rng.dirichlet(np.ones(classes), 300)
    codes = rng.integers(classes, size=200)
    held_out, new = P[:200], P[200:]
    possible = p_values(held_out[np.newaxis], codes, new) > 1 - confidence + 1e-9
    for label in range(classes):
        own = codes == label
        mapie = SplitConformalClassifier(AsGiven(classes), confidence, "lac", prefit=True)
        mapie.conformalize(held_out[own], codes[own])
        _, sets = mapie.predict_set(new)
        np.testing.assert_array_equal(possible[:, label], sets[:, label, 0])


# --- by simulation --------------------------------------------------------------------------------


def draw(rng, counts, shift=0.0):
    """Patients of classes that five of 20 genes tell apart, a class a gene more."""
    codes = np.repeat(np.arange(len(counts)), counts)
    X = rng.normal(size=(len(codes), 20)) + shift
    for label in range(len(counts)):
        X[codes == label, label : label + 5] += 1
    return X, codes


def cover(rng, counts, shift=0.0, repeats=3):
    """Return the share of new patients of each class for whom it is not excluded, at 0.8 and 0.9:
    confidences x classes."""
    X, codes = draw(rng, counts)
    model = LogisticRegression(C=0.1)
    held_out = np.empty((repeats, len(codes), len(counts)))
    for of_repeat in held_out:
        folds = StratifiedKFold(5, shuffle=True, random_state=int(rng.integers(2**31)))
        for train, test in folds.split(X, codes):
            of_repeat[test] = model.fit(X[train], codes[train]).predict_proba(X[test])
    new, truth = draw(rng, [50] * len(counts), shift)
    p = p_values(held_out, codes, model.fit(X, codes).predict_proba(new))
    of_truth = p[np.arange(len(truth)), truth].reshape(len(counts), 50)
    return [(of_truth > 1 - confidence + 1e-9).mean(axis=1) for confidence in (0.8, 0.9)]


@pytest.mark.parametrize(
    "counts", [(10, 10), (20, 20), (100, 100), (40, 10), (80, 20), (10, 20, 40)], ids=str
)
def test_each_class_keeps_the_confidence(counts):
    """0.02: the noise of 24 draws, whose coverages have a standard deviation of about 0.1."""
    rng = np.random.default_rng(0)
    at_80, at_90 = np.mean([cover(rng, counts) for _ in range(24)], axis=0)
    assert (at_80 > 0.78).all(), at_80
    assert (at_90 > 0.88).all(), at_90


def test_patients_of_another_kind_lose_it():
    rng = np.random.default_rng(0)
    _, at_90 = np.mean([cover(rng, (20, 20), shift=1.5) for _ in range(10)], axis=0)
    assert at_90.min() < 0.8
