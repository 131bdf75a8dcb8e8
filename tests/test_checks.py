"""Refusals: whatever cannot be trusted, in one line that names the file and what to do."""

import gzip
import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from small_cohort import (
    CLASSES,
    LABELS,
    SUBTYPE,
    SUBTYPES,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    cls,
    gct,
    published,
    replaced,
    to_bytes,
    write_folder,
)

from expression import files
from expression.data import (
    LABELS_FILE,
    SUBTYPES_FILE,
    TEST_FILE,
    TRAIN_FILE,
    load_expression_data,
)
from expression.files import DataError

TRAIN_ROWS = published(TRAIN_PATIENTS)
LABEL_ROWS = annotation(["patient", "cancer"], CLASSES)
FEW_AML = CLASSES | dict.fromkeys(("3", "6"), "ALL")
REFUSED = {
    "empty": ({TRAIN: b""}, "train.csv: must be a table with a header - found 0 rows"),
    "only a header": ({TRAIN: TRAIN_ROWS[:1]}, "must be a table with a header - found 1 rows"),
    "prose": ({TRAIN: b"Dear all,\nsee the annex.\n"}, "every row must have 2 cells .*row 2 has 1"),
    "one column": ({LABELS: b"patient\n1\n2\n"}, "actual.csv: must be a table .*of 1 columns"),
    "not UTF-8": ({TRAIN: b"a,b\n\xff,1\n"}, "train.csv: must be a readable file - .* not UTF-8"),
    "not UTF-16": ({TRAIN: b"\xff\xfe1"}, "train.csv: must be a readable file - .* not UTF-8"),
    "gzip cut": ({TRAIN: to_bytes(TRAIN_ROWS, gz=True)[:-9]}, "train.csv: .*gzip data are damaged"),
    "gzip flipped": ({TRAIN: b"\x1f\x8b" + b"x" * 99}, "train.csv: .*gzip data are damaged"),
    "ragged": ({TRAIN: [*TRAIN_ROWS, ["x", "y"]]}, "must have 18 cells .*row 14 has 2"),
    "quote": ({TRAIN: b'"' + to_bytes(TRAIN_ROWS)}, "train.csv: must be a table - "),
    "huge cell": ({TRAIN: replaced(TRAIN_ROWS, 1, 0, "x" * 200_000)}, "larger than field limit"),
    "text": ({TRAIN: replaced(TRAIN_ROWS, 3, 4, "low")},
             r"finite number - 1 .*first 'low' in row 4 \(X00042_at\), column 3"),
    "decimal comma": ({TRAIN: replaced(TRAIN_ROWS, 3, 4, "1,5")},
                      r"decimal points, not commas - 1 .*first '1,5' in row 4 \(X00042_at\)"),
    "empty cells": ({TRAIN: replaced(replaced(TRAIN_ROWS, 3, 4, ""), 5, 5, " ")},
                    r"must be there - 2 .* X00101_at \(1\) and patients 3 \(1\), 4 \(1\)"),
    "two headers": ({TRAIN: TRAIN_ROWS + TRAIN_ROWS[:1]}, "must have one header - it occurs again"),
    "gene twice": ({TRAIN: [*TRAIN_ROWS, TRAIN_ROWS[2]]}, "every gene must occur once.*X00013_at"),
    "patient twice": ({TRAIN: replaced(TRAIN_ROWS, 0, 3, "1")}, "every patient must occur once.*1"),
    "nameless gene": ({TRAIN: replaced(TRAIN_ROWS, 2, 1, "")}, "every gene must have a name - 1"),
    "nameless patient": ({TRAIN: replaced(TRAIN_ROWS, 0, 3, " ")}, "a class - column 4 have none"),
    "bell in a name": ({TRAIN: replaced(TRAIN_ROWS, 2, 1, "a\ab")}, "must be printable.*found a.b"),
    "long class": ({LABELS: annotation("ab", {p: c * 30 for p, c in CLASSES.items()})},
                   "actual.csv: every .* must be printable and have at most 60 characters"),
    "no accessions": ({TRAIN: [row[:1] + row[2:] for row in TRAIN_ROWS]}, "train.csv"),
    "in both sets": ({TEST: replaced(published(TEST_PATIENTS), 0, 2, "1")},
                     "independent.csv: no patient may be in .*train.csv as well - found 1;"),
    "other genes": ({TEST: replaced(published(TEST_PATIENTS), 1, 1, "x")},
                    r"independent.csv: must hold the same .*lacks 1 .*X00007_at.*1 others \(x\)"),
    "other descriptions": ({TEST: replaced(published(TEST_PATIENTS), 1, 0, "x")},
                           "independent.csv: must describe genes as .*train.csv.*1 .*X00007_at"),
    "no final line break": ({TRAIN: to_bytes(TRAIN_ROWS)[:-1]}, "train.csv: must end with a line"),
    "constant": ({TRAIN: [TRAIN_ROWS[0], *(replaced([r], 0, 4, "7")[0] for r in TRAIN_ROWS[1:])]},
                 "train.csv: the values of a patient must vary - those of 3 are one"),
    "absurd": ({TRAIN: replaced(TRAIN_ROWS, 3, 4, "1e160")},
               r"train.csv: values must lie within -1e\+09 and 1e\+09 - found more in 3; correct"),
    "renamed copy": ({TRAIN: [TRAIN_ROWS[0], *(r[:5] + r[4:5] + r[6:] for r in TRAIN_ROWS[1:])]},
                     "patients must differ in their values - those of 3 and 4 are the same"),
    "unlabelled": ({LABELS: LABEL_ROWS[:-2]}, "actual.csv: .* a class - 25, 26 have none"),
    "unmeasured": ({LABELS: [*LABEL_ROWS, ["x", "ALL"]]}, "actual.csv: .*x have no expression"),
    "labelled twice": ({LABELS: [*LABEL_ROWS, ["1", "AML"]]}, "patient must occur once.*found 1"),
    "three classes": ({LABELS: replaced(LABEL_ROWS, 4, 1, "CML")}, "two .*found 3: ALL, AML, CML"),
    "one class": ({LABELS: annotation(["patient", "cancer"], dict.fromkeys(CLASSES, "ALL"))},
                  "patients must be of two classes - found 1: ALL"),
    "no class": ({LABELS: replaced(LABEL_ROWS, 4, 1, "")},
                 "actual.csv: every patient must have a class"),
    "few AML": ({LABELS: annotation(["patient", "cancer"], FEW_AML)},
                "actual.csv.*train.csv.*at least 5 training patients .*found 3 of AML"),
    "other subtypes": ({SUBTYPE: annotation(["patient", "subtype"], {"1": "a", "x": "b"})},
                       "subtypes.csv: .* a subtype - .* have none"),
    "no subtype": ({SUBTYPE: annotation(["patient", "kind", "x"][:2], SUBTYPES)[:-1]},
                   "subtypes.csv: .* a subtype - 26 have none"),
    "GCT 1.0": ({TRAIN: b"#1.0\n" + to_bytes(gct(TRAIN_PATIENTS)[1:], "\t")}, "version 1.2 or 1.3"),
    "GCT of another size": ({TRAIN: to_bytes(gct(TRAIN_PATIENTS)[:-1], "\t")},
                            "as many genes and patients .*11, 16.*'12 16'"),
    "CLS too short": ({LABELS: cls(TRAIN_PATIENTS[:-1])}, "a CLS file must have a code"),
    "CLS of another size": ({LABELS: cls(TRAIN_PATIENTS).replace(b"16", b"15")}, "sizes agree"),
    "CLS codes": ({LABELS: cls(list(CLASSES)).replace(b"0", b"7")}, "sizes agree"),
    "no patients": ({LABELS: [["patient", "cancer"], *([f"P{p}", c] for p, c in CLASSES.items())]},
                    "actual.csv: must name the patients of .*train.csv .* none of P1, P10"),
    "named twice": ({LABELS: [list("abc"), *([p, str(27 - int(p)), CLASSES[p]] for p in CLASSES)]},
                    "actual.csv: must name the patients once - columns that may: a, b; .*--drop"),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trusted_is_refused(tmp_path, tables, message):
    with pytest.raises(DataError, match=message) as error:
        load_expression_data(write_folder(tmp_path, **tables))
    line = str(error.value)
    assert line.isprintable()
    assert re.fullmatch(r".+: .+ - .+; .+", line)


NO_NUMBERS = ["inf", "-Infinity", "1e400", "1_000", "٣", "0x1F", "1e5e5", "--1"]


@pytest.mark.parametrize("cell", [*NO_NUMBERS, "1 000", "x\x00"])
def test_only_plain_finite_numbers_are_numbers(tmp_path, cell):
    folder = write_folder(tmp_path, **{TRAIN: replaced(TRAIN_ROWS, 3, 4, cell)})
    with pytest.raises(DataError, match=r"train.csv: every value must be a finite number - 1 "):
        load_expression_data(folder)


@pytest.mark.parametrize(
    ("expression", "values", "message"),
    [
        (
            "intensity",
            np.log2(VALUES.astype(float) + 100),
            "must be array intensities - 16 of 16 .* logged: .*--expression log",
        ),
        ("log", VALUES, "must be log2 values - 16 of 16 .*look like intensities.*--expression int"),
    ],
)
def test_the_wrong_scale_is_refused(tmp_path, expression, values, message):
    values = values.astype(str)
    tables = {TRAIN: published(TRAIN_PATIENTS, values), TEST: published(TEST_PATIENTS, values)}
    with pytest.raises(DataError, match=message):
        load_expression_data(write_folder(tmp_path, **tables), expression=expression)


RNG = np.random.default_rng(0)
COUNTS = pd.DataFrame(RNG.negative_binomial(1, 1e-4, VALUES.shape), VALUES.index, VALUES.columns)
LOG = np.log2(COUNTS + 100)
SCALES = {
    "counts": ("intensity", COUNTS * 10, "whole numbers up to .* beyond any scanner.*ion counts$"),
    "mostly zeros": ("intensity", COUNTS.where(COUNTS.rank() > 8, 0), "are exactly 0.*ion counts$"),
    "TPM": ("intensity", COUNTS * 1e6 / COUNTS.sum(), "sum to a million.*--expression counts$"),
    "log-counts as log": ("log", LOG.where(LOG.rank() > 8, 0), "exactly 0.*ion log-counts$"),
    "z-scores": ("log", LOG.sub(LOG.mean(axis=1), axis=0), "13 of 16 .*log-ratios or z-scores"),
    "log-ratios": ("intensity", LOG.sub(LOG.mean(axis=1), axis=0), "16 .* log-ratios or z-scores"),
    "negative counts": ("counts", COUNTS - 500, "CPM or TPM - .* values below 0: .*intensity$"),
    "logged counts": ("counts", LOG, "CPM or TPM - 16 of 16 .*logged.*--expression log-counts$"),
    "counts as log-counts": ("log-counts", COUNTS, "16 of 16 .*--expression intensity or counts$"),
}


@pytest.mark.parametrize(("expression", "values", "message"), SCALES.values(), ids=SCALES)
def test_another_scale_is_refused_with_what_it_looks_like(tmp_path, expression, values, message):
    tables = {TRAIN: published(TRAIN_PATIENTS, values), TEST: published(TEST_PATIENTS, values)}
    with pytest.raises(DataError, match=message):
        load_expression_data(write_folder(tmp_path, **tables), expression=expression)


def test_one_array_on_another_scale_is_refused(tmp_path):
    values = VALUES.assign(**{"5": np.log2(VALUES["5"].astype(float) + 100).astype(str)})
    folder = write_folder(tmp_path, **{TRAIN: published(TRAIN_PATIENTS, values)})
    with pytest.raises(DataError, match="1 of 16 patients look logged: 5;"):
        load_expression_data(folder)


def test_log2_values_are_turned_back_into_intensities(tmp_path):
    log2, found = np.log2(VALUES.astype(float) + 100), {}
    for expression, values in (("log", log2), ("intensity", np.exp2(log2))):
        cells = values.map(repr)
        tables = {TRAIN: published(TRAIN_PATIENTS, cells), TEST: published(TEST_PATIENTS, cells)}
        folder = write_folder(tmp_path, **tables)
        found[expression] = load_expression_data(folder, expression=expression)
    X = found["log"].X_train
    np.testing.assert_array_equal(X.to_numpy(), np.exp2(log2[TRAIN_PATIENTS].T.to_numpy()))
    assert X.to_numpy().flags.c_contiguous
    pd.testing.assert_frame_equal(found["log"].X_all, found["intensity"].X_all, rtol=1e-12)


@pytest.mark.parametrize("name", [TRAIN_FILE, TEST_FILE, LABELS_FILE, SUBTYPES_FILE])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
    folder = write_folder(tmp_path)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(DataError, match=f"{name}: must be a readable file - is a directory"):
        load_expression_data(folder)


@pytest.mark.parametrize("name", ["nowhere", "no\x00where", "no\nwhere", "x" * 5000])
def test_a_missing_file_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(DataError, match=r"must be a readable file - .*--data-dir") as error:
        load_expression_data(tmp_path / name)
    assert str(error.value).isprintable()


def test_a_folder_without_labels_is_refused(tmp_path):
    folder = write_folder(tmp_path, **{LABELS: None})
    with pytest.raises(DataError, match=r"--labels: .*train.csv has no column .* no file of them"):
        load_expression_data(folder)


def test_a_label_that_may_be_cut_off_is_refused(tmp_path):
    classes = {p: "AB" if c == "AML" else "A" for p, c in CLASSES.items()}
    labels = to_bytes(annotation(["patient", "cancer"], classes))
    folder = write_folder(tmp_path, **{LABELS: labels[:-1]})  # "26,A" may have been "26,AB"
    with pytest.raises(DataError, match=r"actual.csv: must end with a line .* it ends in 'A'"):
        load_expression_data(folder)
    write_folder(tmp_path, **{LABELS: to_bytes(annotation(["patient", "cancer"], CLASSES))[:-1]})
    assert load_expression_data(folder).classes == ("ALL", "AML")


def test_names_agree_in_either_unicode_form(tmp_path):
    new = {p: f"Zoë{p}" for p in CLASSES}
    other = {p: unicodedata.normalize("NFD", new[p]) for p in CLASSES}
    tables = {
        TRAIN: published([new[p] for p in TRAIN_PATIENTS], VALUES.rename(columns=new)),
        TEST: published([new[p] for p in TEST_PATIENTS], VALUES.rename(columns=new)),
        LABELS: annotation(["patient", "cancer"], {other[p]: c for p, c in CLASSES.items()}),
    }
    data = load_expression_data(write_folder(tmp_path, **{SUBTYPE: None}, **tables))
    assert "Zoë1" in data.X_train.index


def test_an_unknown_positive_class_is_refused(tmp_path):
    with pytest.raises(DataError, match="--positive-class: must be ALL or AML - found 'CML'"):
        load_expression_data(write_folder(tmp_path), positive_class="CML")


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 10_000)
    bomb = gzip.compress(b"0" * 10_001)
    with pytest.raises(DataError, match=r"train.csv: .*more than 10,000 bytes"):
        load_expression_data(write_folder(tmp_path, **{TRAIN: bomb}))


def test_whole_numbers_with_zeros_and_none_below_are_counts(tmp_path):
    counts = pd.DataFrame(np.random.default_rng(0).poisson(400, VALUES.shape), *VALUES.axes)
    counts.iloc[0, ::2] = 0
    table = {"values": counts.astype(str)}
    folder = write_folder(
        tmp_path,
        **{TRAIN: published(TRAIN_PATIENTS, **table), TEST: published(TEST_PATIENTS, **table)},
    )
    with pytest.raises(DataError, match=r"whole numbers, \d+% of them 0 .*see --expression counts"):
        load_expression_data(folder)


def test_one_column_of_another_scale_is_named(tmp_path):
    """As a clinical column that passes for a gene: the patients' ages in a table of log2 values."""
    logged = pd.DataFrame(np.random.default_rng(0).normal(8, 1, VALUES.shape), *VALUES.axes)
    logged.loc["Alter"] = np.linspace(20, 60, VALUES.shape[1])
    table = {"values": logged.round(3).astype(str), "descriptions": None}
    folder = write_folder(
        tmp_path,
        **{TRAIN: published(TRAIN_PATIENTS, **table), TEST: published(TEST_PATIENTS, **table)},
    )
    with pytest.raises(DataError, match=r"is Alter, of the largest values, no gene\? \(--drop\)"):
        load_expression_data(folder, expression="log")
