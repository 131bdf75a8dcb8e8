"""How patients are split: in proportion, and no person ever on both sides."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import (
    KFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from expression.analysis import splits


def cohort(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and the people of some 90 arrays, one to four a person, some of both
    classes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, 36)
    groups = np.repeat([f"person {n}" for n in range(36)], sizes)
    y = np.repeat(rng.permutation([0, 1] * 18), sizes)
    y[: sizes[0]] = rng.integers(0, 2, sizes[0])
    order = rng.permutation(len(y))
    return y[order], groups[order]


def all_splits(y, groups, seed) -> dict[str, list]:
    """Return every kind of split that there is."""
    rng = np.random.default_rng(seed)
    drawn = splits.subsample(len(y), groups, 0.8, rng)
    half = len(y) // 2
    if groups is not None:
        order = np.argsort(groups, kind="stable")  # training: the first people
        y, groups = y[order], groups[order]
        half = int(np.flatnonzero(groups == np.unique(groups)[18])[0])
    return {
        "stratified folds": splits.stratified_folds(y, groups, 4, seed),
        "repeated folds": list(
            itertools.chain.from_iterable(splits.repeated_folds(y, groups, 5, 2, seed))
        ),
        "plain folds": splits.plain_folds(len(y), groups, 7, seed),
        "halves": splits.halves(y, groups, 5, seed),
        "random splits": splits.random_splits(y[:half], y[half:], groups, 5, seed),
        "subsample": [(drawn, np.setdiff1d(np.arange(len(y)), drawn))],
    }


@pytest.mark.parametrize("seed", range(5))
def test_no_person_is_on_both_sides_of_any_split(seed):
    y, groups = cohort(seed)
    in_order = np.sort(groups)
    for kind, of_kind in all_splits(y, groups, seed).items():
        names = groups if kind == "subsample" else in_order
        for train, test in of_kind:
            assert not set(names[train]) & set(names[test]), kind
            assert sorted([*train, *test]) == list(range(len(y))), kind
            assert min(len(train), len(test)) > 0, kind


@pytest.mark.parametrize("seed", range(3))
def test_folds_of_people_hold_each_once_and_both_classes(seed):
    y, groups = cohort(seed)
    for folds in (splits.stratified_folds(y, groups, 4, seed), splits.plain_folds(90, None, 4, 0)):
        held_out = np.concatenate([test for _, test in folds])
        assert len(set(held_out)) == len(held_out)
    for train, test in splits.stratified_folds(y, groups, 4, seed):
        assert set(y[train]) == set(y[test]) == {0, 1}


def test_halves_and_random_splits_keep_the_shares_of_the_classes():
    y, groups = cohort(0)
    people = splits.find_people(y, groups)
    for one, other in splits.halves(y, groups, 5, seed=0):
        counts = [len(set(groups[half])) for half in (one, other)]
        assert max(counts) - min(counts) <= 1
        shares = [
            np.mean(people.strata[np.unique(people.numbers[half])] == "[0]")
            for half in (one, other)
        ]
        assert abs(shares[0] - shares[1]) < 0.1


def test_without_groups_splits_are_those_of_scikit_learn():
    y = np.array([0] * 27 + [1] * 11)
    oracles = {
        "stratified folds": StratifiedKFold(4, shuffle=True, random_state=3).split(y, y),
        "repeated folds": RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=3).split(
            y, y
        ),
        "plain folds": KFold(7, shuffle=True, random_state=3).split(y),
        "halves": StratifiedShuffleSplit(5, train_size=0.5, test_size=0.5, random_state=3).split(
            y, y
        ),
    }
    found = all_splits(y, None, 3)
    for kind, oracle in oracles.items():
        for split, expected in zip(found[kind], oracle, strict=True):
            for part, expected_part in zip(split, expected, strict=True):
                np.testing.assert_array_equal(part, expected_part)


def test_random_splits_keep_the_class_counts(data):
    y_train, y_test = data.y_train.cat.codes.to_numpy(), data.y_test.cat.codes.to_numpy()
    found = splits.random_splits(y_train, y_test, None, 3, seed=1)
    everyone = np.concatenate([y_train, y_test])
    for train, test in found:
        assert np.bincount(everyone[train]).tolist() == [27, 11]
        assert np.bincount(everyone[test]).tolist() == [20, 14]
        assert sorted([*train, *test]) == list(range(72))
    assert len({tuple(train) for train, _ in found}) == 3


def test_a_subsample_draws_a_share_of_the_people():
    y, groups = cohort(1)
    drawn = splits.subsample(len(y), groups, 0.8, np.random.default_rng(0))
    assert len(set(groups[drawn])) == int(0.8 * 36)


def test_arrays_of_one_person_and_label_are_permuted_together():
    y, groups = cohort(2)
    rng = np.random.default_rng(0)
    permuted = [splits.permute_labels(y, groups, rng) for _ in range(20)]
    for labels in permuted:
        for _, members in itertools.groupby(
            sorted(zip(groups, y, labels, strict=True)), lambda row: row[:2]
        ):
            assert len({label for *_, label in members}) == 1
    assert len({tuple(labels) for labels in permuted}) == 20


def test_labels_of_people_stay_as_many():
    groups = ["a", "a", "b", "b", "c", "d"]
    labels = np.array(["x", "x", "y", "y", "x", "y"])
    permuted = splits.permute_labels(labels, groups, np.random.default_rng(1))
    of_people = pd.Series(permuted).groupby(groups).first()
    assert sorted(of_people) == ["x", "x", "y", "y"]


def test_a_kind_of_person_that_occurs_once_can_be_split():
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 1])
    groups = ["a", "b", "c", "d", "e", "f", "g", "h", "both", "both"]
    people = splits.find_people(y, groups)
    assert set(people.strata) == {"[0]", "[1]"}
    assert len(splits.halves(y, groups, 2, seed=0)) == 2
