"""What the data say of patients: arrays, people, batches."""

from dataclasses import replace

import pandas as pd
import pytest

from planted import simulate


@pytest.fixture(scope="module")
def arrays():
    return simulate(effect=0)


def named(data, names) -> pd.Series:
    return pd.Series(list(names), data.y_all.index)


def test_without_groups_every_array_is_a_patient(arrays):
    assert arrays.people is None
    assert arrays.patients.index.equals(arrays.y_all.index)
    assert list(arrays.patients) == ["set", "class"]
    assert arrays.patients["class"].dtype == arrays.y_train.dtype


def test_a_person_of_two_classes_is_two_patients(arrays):
    groups = [f"person {i // 4}" for i in range(4)] + [f"person {i}" for i in range(4, 80)]
    data = replace(arrays, groups=named(arrays, groups))
    assert len(data.patients) == 2 + 76
    assert data.people.iloc[:4].to_list() == ["person 0 (control)", "person 0 (case)"] * 2
    assert data.people.iloc[4] == "person 4"
    assert data.patients.loc["person 0 (case)", "class"] == "case"
    assert data.patients["set"].value_counts().to_dict() == {"train": 38, "test": 40}


def test_a_person_of_two_batches_has_both(arrays):
    groups = named(arrays, [f"person {i % 40 % 2}{i // 40}" for i in range(80)])
    batches = named(arrays, ["south", "north", "north", "north"] * 20)
    data = replace(arrays, groups=groups, batches=batches)
    assert data.patients["batch"].to_dict() == {
        "person 00": "north + south",
        "person 10": "north",
        "person 01": "north + south",
        "person 11": "north",
    }


def test_the_checksum_knows_batches_and_groups(arrays):
    batches = named(arrays, "ab" * 40).rename("source")
    variants = [
        arrays,
        replace(arrays, batches=batches),
        replace(arrays, batches=batches[::-1].set_axis(batches.index).rename("source")),
        replace(arrays, groups=batches),
    ]
    assert len({data.checksum for data in variants}) == len(variants)
