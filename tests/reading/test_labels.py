"""Files of classes: the patients they name, and which of the two classes is the positive one."""

import re
from collections import Counter

import pandas as pd
import pytest

from expression.reading.labels import order_classes, read_annotation
from expression.reading.load import load_expression_data
from small_cohort import (
    CLASSES,
    LABELS,
    SMALL,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    annotation,
    assert_same,
    cls,
    load,
    refused,
    replaced,
    tidy,
    to_bytes,
    write,
    write_folder,
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
        ({"ALL": "tumour", "AML": "normal"}, None, ("tumour", "normal")),  # the rarer, all the same
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
    with refused("--classes: must be two or more of ALL, AML, CML - found ALL, KKL"):
        load(tmp_path, tables, classes=["ALL", "KKL"])
    table = tidy(TRAIN_PATIENTS, classes=CLASSES | {"1": "CML", "2": ""})
    with refused("--classes: must be two or more of ALL, AML, CML - found ALL, KKL"):
        load_expression_data(train=write(tmp_path, "table", table), classes=["ALL", "KKL"])
    found = load_expression_data(train=tmp_path / "table", classes=["ALL", "AML"])
    assert list(found.X_train.index) == list(range(3, 17))


def test_a_label_that_may_be_cut_off_is_refused(small, tmp_path):
    classes = {p: "AB" if c == "AML" else "A" for p, c in CLASSES.items()}
    with refused("actual.csv: must end with a line .* it ends in 'A'"):  # which may have been "AB"
        load(tmp_path, {LABELS: to_bytes(annotation(classes))[:-1]})
    assert load(tmp_path, {LABELS: to_bytes(LABEL_ROWS)[:-1]}).checksum == small.checksum


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        ("1", "0"),
        ("10", "9"),
        ("2", "1"),
        ("True", "False"),
        ("yes", "no"),
        ("tumour", "Normal"),
        ("adenoma", "zz_control"),
        ("AD", "Healthy controls"),
        ("IDH1 mutant", "wild-type"),
        ("mutant", "WT"),
        ("malignant", "benign"),
        ("ER positive", "ER negative"),
        ("ER+", "ER-"),
        ("drug A", "untreated"),
        ("relapse", "complete remission"),
        ("responder", "Non-responder"),
        ("abnormal", "reference"),
    ],
    ids=str,
)
def test_of_equals_the_positive_class_is_not_the_one_to_compare_with(positive, negative):
    counts = [Counter({positive: 9, negative: 9})]
    assert order_classes(counts, "labels", None)[0] == [negative, positive]
    found, why = order_classes(counts, "labels", None)
    assert found[1] == positive
    assert "as both are equally frequent in training and " in why
    assert ("the larger number" if positive.isdecimal() else repr(negative)) in why
    # of unequals the rarer, and the choice of the user always
    for rarer, other in ((positive, negative), (negative, positive)):
        found, why = order_classes([Counter({rarer: 8, other: 9})], "labels", None)
        assert found[1] == rarer
        assert why == f"The positive class: {rarer}, the rarer in training (see --positive-class)."
    chosen = f"The positive class: {negative}, as chosen."
    assert order_classes(counts, "labels", negative) == ([positive, negative], chosen)


@pytest.mark.parametrize("names", [("a", "b"), ("normal", "benign"), ("abnormal", "controlled")])
def test_of_equals_that_no_name_tells_apart_the_first_is_positive(names):
    found, why = order_classes([Counter(dict.fromkeys(names, 9))], "labels", None)
    assert found == sorted(names, reverse=True)
    assert "the first by alphabet" in why


@pytest.mark.parametrize("blank", ["", "NA", "n/a", "null"])
def test_who_was_not_measured_needs_no_class(small, tmp_path, blank):
    folder = write_folder(tmp_path)
    rows = [*LABEL_ROWS, ["99", blank], ["x", blank]]
    files = {"train": folder / TRAIN, "test": folder / TEST}
    found = load_expression_data(**files, labels=write(folder, "labels", rows))
    assert_same(found, small)
    rows = replaced(LABEL_ROWS, 4, 1, blank)
    message = r"labels: every patient must have a class - 4 have none.*; complete it, .*--drop NAME"
    with refused(message):
        load_expression_data(**files, labels=write(folder, "labels", rows))
    found = load_expression_data(**files, labels=folder / "labels", drop=["4"])
    assert list(found.X_train.index) == [1, 2, 3, *range(5, 17)]


def test_misspelt_classes_are_said_to_be_others_and_which_there_are(small, tmp_path):
    rows = [[*row, "AB"[i % 3 == 0]] for i, row in enumerate(LABEL_ROWS)]
    rows[0] = ["patient", "kind", "site"]
    message = (
        "--classes: must be entries of one column of .*actual.csv - found {}, but {}; write "
        "them as the file does, or name their column with --class-column NAME"
    )
    both_columns = "column 'kind' has ALL, AML, column 'site' has A, B"
    with refused(message.format("All and Aml", both_columns)):
        load(tmp_path, {LABELS: rows}, classes=["Aml", "All"])
    with refused(message.format("AML and Al", "column 'kind' has ALL, AML")):
        load(tmp_path, {LABELS: rows}, classes=["Al", "AML"])
    with refused("--classes: must be two or more of ALL, AML - found AML, Al; choose"):
        load(tmp_path, {LABELS: rows}, classes=["Al", "AML"], class_column="kind")
    assert_same(load(tmp_path, {LABELS: rows}, classes=["ALL", "AML"]), small)


@pytest.mark.parametrize(
    "lines",
    [
        list(CLASSES.values()),
        ["class", *CLASSES.values()],
        ["class", *(f"acute {c}" if c == "ALL" else c for c in CLASSES.values())],
        ["patient", *CLASSES],
    ],
    ids=["classes", "with header", "of two words", "patients"],
)
def test_labels_of_one_column_lack_the_other(small, tmp_path, lines):
    """Classes in the order of the rows say nothing of who is who."""
    text = "".join(f"{line}\n" for line in lines)
    with refused(
        "actual.csv: must have a column of patients and one of classes - it has one column, "
        f"{lines[0]!r}; add the other, with a comma between .*or write the classes as CLS"
    ):
        load(tmp_path, {LABELS: text.encode()})
    both_columns = "".join(f"{p},{c}\n" for p, c in [("patient", "class"), *CLASSES.items()])
    assert_same(load(tmp_path, {LABELS: both_columns.encode()}), small)
    assert_same(load(tmp_path, {LABELS: cls(list(CLASSES))}), small)


def test_labels_in_latin_1_are_refused_with_the_place_and_read_once_converted(tmp_path):
    names = {"ALL": "Müller, fröhlich", "AML": "b"}
    rows = annotation({p: names[c] for p, c in CLASSES.items()})
    latin = to_bytes(rows).decode().encode("latin-1")
    message = (
        "actual.csv: must be a readable file - it is not UTF-8 text: 'Müller' in row 2 is as in "
        "Latin-1 or Windows-1252; save it as CSV in UTF-8 .in Excel 'CSV UTF-8'; or with iconv"
    )
    with refused(message):
        load(tmp_path, {LABELS: latin})
    assert names["ALL"] in load(tmp_path, {LABELS: latin.decode("cp1252").encode()}).classes
    with refused("it is not UTF-8 text; save"):  # nor text of any kind
        load(tmp_path, {LABELS: b"\x01\xff" + latin})


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


# --- more than two classes ------------------------------------------------------------------------


def test_more_classes_than_two_are_in_the_order_of_their_names():
    counts = [Counter({"T": 9, "B": 5, "AML": 7}), Counter({"T": 1, "B": 1, "AML": 1})]
    found, note = order_classes(counts, "labels", None)
    assert (found, note) == (["AML", "B", "T"], "The 3 classes are in the order of their names.")
    numbers = [Counter(dict.fromkeys(["10", "9", "x", "1.5"], 5))]
    assert order_classes(numbers, "labels", None)[0] == ["1.5", "9", "10", "x"]
    with refused("--positive-class: must be of two classes - found 3: AML, B, T; leave it out"):
        order_classes(counts, "labels", "AML")


def three_classes(few=()):
    """The small cohort's classes, half of ALL as T; `few`: patients of a fourth."""
    classes = {p: "T" if c == "ALL" and int(p) % 2 else c for p, c in CLASSES.items()}
    return annotation(classes | dict.fromkeys(few, "CML"))


def test_any_number_of_classes_is_read(tmp_path, small):
    found = load(tmp_path, {LABELS: three_classes()})
    assert found.classes == ("ALL", "AML", "T")
    assert "The 3 classes are in the order of their names." in found.origin
    pd.testing.assert_frame_equal(found.X_train, small.X_train)
    assert found.y_train.cat.codes.max() == 2
    two = load(tmp_path, {LABELS: three_classes()}, classes=["T", "AML"])
    assert two.classes == ("T", "AML")


def test_a_class_of_too_few_patients_is_left_out_as_the_message_says(tmp_path):
    tables = {LABELS: three_classes(few=["2", "17"])}
    message = "at least 5 training patients of each class - found 1 of CML; .*or leave it out: --cl"
    with refused(message):
        load(tmp_path, tables)
    found = load(tmp_path, tables, classes=["ALL", "AML", "T"])
    assert found.classes == ("ALL", "AML", "T")
    assert 2 not in found.X_train.index
