"""How patients are split: by class in proportion, and arrays of one person never on both sides.

y holds the class of every array as a whole number; groups names the person of every array, or is
None where each is of a person of its own. Splits are positions in y.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    KFold,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

Split = tuple[np.ndarray, np.ndarray]  # positions: to train on, and held out


class People(NamedTuple):
    """The people whose arrays are split, numbered from 0."""

    numbers: np.ndarray  # of the person, an entry an array
    strata: np.ndarray  # an entry a person: the classes of their arrays

    def arrays_of(self, people: Iterable[int]) -> np.ndarray:
        """Return the positions of all arrays of these people."""
        return np.flatnonzero(np.isin(self.numbers, people))


def find_people(y: np.ndarray, groups: Iterable) -> People:
    """Return the people behind arrays; classes that only one person has join the largest stratum,
    as one person alone cannot be split."""
    numbers = pd.factorize(np.asarray(groups))[0]
    classes = [
        str(sorted(set(y[numbers == number].tolist()))) for number in range(numbers.max() + 1)
    ]
    counts = Counter(classes)
    largest = counts.most_common(1)[0][0]
    strata = [classes_of if counts[classes_of] > 1 else largest for classes_of in classes]
    return People(numbers, np.array(strata))


def stratified_folds(y: np.ndarray, groups: Iterable | None, folds: int, seed: int) -> list[Split]:
    """Return one partition of the arrays into folds."""
    if groups is None:
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y))
    folds = min(folds, *np.unique_counts(y).counts)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(y, y, np.asarray(groups)))


def repeated_folds(
    y: np.ndarray, groups: Iterable | None, folds: int, repeats: int, seed: int
) -> list[list[Split]]:
    """Return several partitions of the arrays into folds."""
    if groups is None:
        splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
        splits = list(splitter.split(y, y))
        return [splits[first : first + folds] for first in range(0, len(splits), folds)]
    seeds = np.random.default_rng(seed).integers(2**31, size=repeats)
    return [stratified_folds(y, groups, folds, int(one)) for one in seeds]


def plain_folds(count: int, groups: Iterable | None, folds: int, seed: int) -> list[Split]:
    """Return one partition of so many arrays into folds, whatever their classes."""
    if groups is None:
        return list(KFold(folds, shuffle=True, random_state=seed).split(np.zeros(count)))
    people = find_people(np.zeros(count, int), groups)
    folds = min(folds, len(people.strata))
    splitter = KFold(folds, shuffle=True, random_state=seed)
    return [
        (people.arrays_of(others), people.arrays_of(held_out))
        for others, held_out in splitter.split(people.strata)
    ]


def halves(y: np.ndarray, groups: Iterable | None, pairs: int, seed: int) -> list[Split]:
    """Return random complementary halves of the arrays, or of the people."""
    splitter = StratifiedShuffleSplit(pairs, train_size=0.5, test_size=0.5, random_state=seed)
    if groups is None:
        return list(splitter.split(y, y))
    people = find_people(y, groups)
    return [
        (people.arrays_of(one), people.arrays_of(other))
        for one, other in splitter.split(people.strata, people.strata)
    ]


def random_splits(
    y_train: np.ndarray, y_test: np.ndarray, groups: Iterable | None, count: int, seed: int
) -> list[Split]:
    """Return random (train, test) positions in y_train then y_test.

    The training part has as many arrays of each class as y_train, or as many people.
    """
    y = np.concatenate([y_train, y_test])
    if groups is not None:
        people = find_people(y, groups)
        training_people = len(set(people.numbers[: len(y_train)]))
        splitter = StratifiedShuffleSplit(count, train_size=training_people, random_state=seed)
        return [
            (people.arrays_of(train), people.arrays_of(test))
            for train, test in splitter.split(people.strata, people.strata)
        ]
    rng = np.random.default_rng(seed)
    splits = []
    for _ in range(count):
        drawn = [
            rng.choice(np.flatnonzero(y == label), (y_train == label).sum(), replace=False)
            for label in np.unique(y)
        ]
        train = np.sort(np.concatenate(drawn))
        splits.append((train, np.setdiff1d(np.arange(len(y)), train)))
    return splits


def subsample(
    count: int, groups: Iterable | None, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a random share of so many arrays, or the arrays of a share of the people."""
    if groups is None:
        return rng.choice(count, int(share * count), replace=False)
    people = find_people(np.zeros(count, int), groups)
    drawn = rng.choice(len(people.strata), int(share * len(people.strata)), replace=False)
    return people.arrays_of(drawn)


def permute_labels(
    labels: np.ndarray, groups: Iterable | None, rng: np.random.Generator
) -> np.ndarray:
    """Return labels in random order, arrays of one person and label together."""
    if groups is None:
        return rng.permutation(labels)
    numbers, kinds = pd.factorize(pd.Series(zip(groups, labels, strict=True)))
    of_kinds = np.array([label for _, label in kinds])
    return rng.permutation(of_kinds)[numbers]
