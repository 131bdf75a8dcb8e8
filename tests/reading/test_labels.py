"""Files of classes: the patients they name, and which of the two classes is the positive one."""

import re

import pandas as pd
import pytest

from expression.reading.labels import read_annotation
from small_cohort import (
    CLASSES,
    LABELS,
    SMALL,
    TEST_PATIENTS,
    TRAIN_PATIENTS,
    annotation,
    assert_same,
    load,
    refused,
    to_bytes,
    write,
)

LABEL_ROWS = SMALL[LABELS]


@pytest.mark.parametrize(
    ("names", "positive", "expected"),
    [
        ({"ALL": "AML", "AML": "ALL"}, None, ("ALL", "AML")),  # AML, though more frequent
        ({"ALL": "b", "AML": "a"}, None, ("b", "a")),  # the rarer
        ({"ALL": "cancer", "AML": "b"}, "cancer", ("b", "cancer")),  # as the column is called
        ({"ALL": "non\nresponder", "AML": "re-\r\n sponder/$x_1$"}, None,
         ("non responder", "re- sponder/$x_1$")),
        ({"ALL": "0", "AML": "1"}, " 1 ", ("0", "1")),
    ],
    ids=str,
)  # fmt: skip
def test_any_two_classes(tmp_path, names, positive, expected):
    labels = annotation({p: names[c] for p, c in CLASSES.items()}, ("case", "cancer"))
    data = load(tmp_path, {LABELS: labels}, positive_class=positive)
    assert data.classes == expected
    chosen = positive is not None or "AML" in expected
    why = "as chosen" if positive else "the default" if chosen else "the rarer in training"
    assert f"positive class: {expected[1]}, {why}" in "".join(data.origin)
    assert data.y_train.cat.ordered
    with refused(f"--positive-class: must be {' or '.join(map(re.escape, sorted(expected)))} - "):
        load(tmp_path, {LABELS: labels}, positive_class="CML")


def test_test_labels_do_not_choose_the_positive_class(tmp_path):
    classes = {p: "b" if c == "AML" else "a" for p, c in CLASSES.items()}
    classes |= dict.fromkeys(TEST_PATIENTS[1:], "b")  # now b has more patients over both sets
    assert load(tmp_path, {LABELS: annotation(classes)}).classes == ("a", "b")


def test_more_than_one_column_of_classes_is_refused_until_one_is_chosen(small, tmp_path):
    kinds = [[p, "fresh" if int(p) % 2 else "frozen", c, 20 + int(p)] for p, c in CLASSES.items()]
    tables = {LABELS: [["patient", "type", "diagnosis", "age"], *kinds]}
    with refused("actual.csv: .* diagnosis, type; .*--class-column NAME"):
        load(tmp_path, tables)
    assert_same(load(tmp_path, tables, class_column="Diagnosis"), small)
    assert load(tmp_path, tables, class_column="type").classes == ("frozen", "fresh")
    with refused("--class-column: must be .*actual.csv - diagnosis, type;"):
        load(tmp_path, tables, class_column="grade")


def test_two_of_several_classes_and_their_patients_alone(small, tmp_path):
    tables = {LABELS: annotation(CLASSES | {"1": "CML", "26": "CML", "2": ""})}
    with refused("actual.csv: every patient must have a class - 2 have none"):
        load(tmp_path, tables)
    found = load(tmp_path, tables, classes=["ALL", "AML"])
    pd.testing.assert_frame_equal(found.X_train, small.X_train.drop(index=[1, 2]))
    pd.testing.assert_frame_equal(found.X_test, small.X_test.drop(index=26))
    with refused("--classes: must be two of ALL, AML, CML - found ALL, KKL"):
        load(tmp_path, tables, classes=["ALL", "KKL"])


def test_a_label_that_may_be_cut_off_is_refused(small, tmp_path):
    classes = {p: "AB" if c == "AML" else "A" for p, c in CLASSES.items()}
    with refused("actual.csv: must end with a line .* it ends in 'A'"):  # which may have been "AB"
        load(tmp_path, {LABELS: to_bytes(annotation(classes))[:-1]})
    assert load(tmp_path, {LABELS: to_bytes(LABEL_ROWS)[:-1]}).checksum == small.checksum


@pytest.mark.parametrize("aml", [5, 4])
def test_five_training_patients_of_each_class_are_enough(tmp_path, aml):
    classes = CLASSES | {p: "AML" if i < aml else "ALL" for i, p in enumerate(TRAIN_PATIENTS)}
    if aml == 5:
        assert (load(tmp_path, {LABELS: annotation(classes)}).y_train == "AML").sum() == 5
        return
    with refused("must hold at least 5 training patients of each class - found 4 of AML"):
        load(tmp_path, {LABELS: annotation(classes)})


@pytest.mark.parametrize(
    "rows",
    [
        [["accession", "symbol"], ["g", "TP53"]],
        [["symbol", "accession"], ["TP53", "g"]],
        [["probe", "symbol"], ["g", "TP53"]],
        [["symbol", "probe"], ["TP53", "g"]],
        [["probe", "name"], ["g", "TP53"]],
        [["symbol", "note", "accession"], ["TP53", "x", "g"]],
    ],
    ids=lambda rows: "-".join(rows[0]),
)
def test_annotation_is_found_by_its_header_or_in_a_table_of_two_columns(tmp_path, rows):
    path = write(tmp_path, "symbols.csv", rows)
    assert read_annotation(path, {"accession"}, {"symbol"}) == {"g": "TP53"}


def test_annotation_in_a_table_of_three_columns_needs_both_headers(tmp_path):
    path = write(tmp_path, "symbols.csv", [["probe", "symbol", "note"], ["g", "TP53", "x"]])
    with refused("symbols.csv: must have the columns accession and symbol - found note, probe, sy"):
        read_annotation(path, {"accession"}, {"symbol"})
