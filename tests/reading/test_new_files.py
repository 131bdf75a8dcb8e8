"""Patients of no known class: read as a test set is, and never a known patient unasked."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from expression.reading.load import load_expression_data
from small_cohort import (
    CLASSES,
    GENES,
    LABELS,
    SUBTYPE,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    gct,
    load,
    published,
    refused,
    tidy,
    to_bytes,
    write,
    write_folder,
)

NEW = [f"N{patient}" for patient in TEST_PATIENTS]
ONE = NEW[:1]
NEW_VALUES = VALUES[TEST_PATIENTS].set_axis(NEW, axis=1)
# Without a test set, and without the classes of its patients
TRAINING = {
    TEST: None,
    SUBTYPE: None,
    LABELS: annotation({p: CLASSES[p] for p in TRAIN_PATIENTS}),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The values of the same patients, read as a test set."""
    found = load(tmp_path_factory.mktemp("expected"))
    return found.X_test.set_axis(pd.Index(NEW, name="patient"))


def load_new(folder, *contents, tables=None, **options):
    """Load the training patients, and new ones."""
    paths = [write(folder, f"new{n}", content) for n, content in enumerate(contents)]
    return load(folder / "cohort", TRAINING | (tables or {}), new=paths, **options)


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("table.csv", to_bytes(content))
    return buffer.getvalue()


BY_ROW = [[patient, *NEW_VALUES[patient]] for patient in NEW]
LAYOUTS = {
    "a row a gene": published(NEW, NEW_VALUES),
    "with calls": published(NEW, NEW_VALUES, calls=True),
    "GCT": to_bytes(gct(NEW, NEW_VALUES), delimiter="\t"),
    "a row a patient": [["patient", *GENES], *BY_ROW],
    "in another order": [["patient", *GENES], *BY_ROW[::-1]],
    "with a class": tidy(NEW, NEW_VALUES, dict.fromkeys(NEW, "ALL")),
    "semicolons": to_bytes(published(NEW, NEW_VALUES), delimiter=";"),
    "zip": zipped(published(NEW, NEW_VALUES)),
}


@pytest.mark.parametrize("content", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_values_of_a_test_set(tmp_path, expected, content):
    found = load_new(tmp_path, content)
    pd.testing.assert_frame_equal(found.X_new, expected, check_exact=True)
    assert len(found.X_test) == 0
    assert list(found.X_all.index) == [int(patient) for patient in TRAIN_PATIENTS]


def test_one_patient_a_file(tmp_path, expected):
    contents = [[["gene", p], *zip(GENES, NEW_VALUES[p], strict=True)] for p in NEW[::-1]]
    found = load_new(tmp_path, *contents)
    pd.testing.assert_frame_equal(found.X_new, expected, check_exact=True)
    assert sum(note.startswith("New: 1 patient of new") for note in found.origin) == len(NEW)


def test_rows_without_names_are_numbered_on(tmp_path, expected):
    found = load_new(tmp_path, [GENES, *(row[1:] for row in BY_ROW)])
    assert list(found.X_new.index) == list(range(17, 27))
    np.testing.assert_array_equal(found.X_new, expected)


def test_a_class_that_files_give_them_is_not_used(tmp_path):
    found = load_new(tmp_path, LAYOUTS["with a class"])
    assert "Ignored columns of new0: cancer." in found.origin
    folder = write_folder(tmp_path / "whole")
    new = [write(tmp_path, "new", published(TEST_PATIENTS))]
    found = load_expression_data(train=folder / TRAIN, labels=folder / LABELS, new=new)
    assert [note for note in found.origin if "patients are not used: 17, 18" in note]


def test_they_change_nothing_of_what_is_known(tmp_path):
    without = load_new(tmp_path)
    found = load_new(tmp_path, LAYOUTS["a row a gene"])
    pd.testing.assert_frame_equal(found.X_train, without.X_train, check_exact=True)
    assert without.X_new is None
    assert found.checksum != without.checksum


def test_other_genes_are_refused_and_common_ones_used(tmp_path):
    lacking = published(NEW, NEW_VALUES.iloc[1:])
    complete = (VALUES[["3"]].astype(float) * 1.7 + 13).set_axis(["other"], axis=1).astype(str)
    contents = [lacking, published(["other"], complete)]
    with refused(
        f"new0: must hold the same genes .*lacks 1 of the 12 .*{GENES[0]}.*--common-genes"
    ):
        load_new(tmp_path, *contents)
    found = load_new(tmp_path, *contents, common_genes=True)
    assert list(found.X_new.columns) == list(found.X_train.columns) == GENES[1:]
    note = "Only the 11 genes in all 3 files are used: new0 lacks 1 of the 12 training genes and"
    assert [sentence for sentence in found.origin if sentence.startswith(note)]
    with refused(
        "new0: must hold genes of the training table, such as X.* - found columns a, gene"
    ):
        load_new(tmp_path, [["gene", "a"], ["other", "1"]])


def test_a_name_twice_is_refused(tmp_path):
    with refused("every new patient must occur once - found N17, N18.* more than once"):
        load_new(tmp_path, LAYOUTS["a row a gene"], LAYOUTS["a row a patient"])


def test_a_known_patient_is_refused_until_asked_for_by_name(tmp_path):
    known = TRAIN_PATIENTS[:2]
    with refused("no new patient may be called as .* - found 1, 2; .*--keep '1'"):
        load_new(tmp_path, published(known))
    found = load_new(tmp_path, published(known), keep=known)
    pd.testing.assert_frame_equal(found.X_new, found.X_train.loc[[1, 2]], check_exact=True)

    renamed = published(["a", "b"], VALUES[known].set_axis(["a", "b"], axis=1))
    with refused(
        r"above 0.98 - 2 do, .*: a and 1 \(r = 1.000\), b and 2 .*--drop 'a', .*--keep 'a'"
    ):
        load_new(tmp_path, renamed)
    assert list(load_new(tmp_path, renamed, drop=["a"], keep=["b"]).X_new.index) == ["b"]


def test_a_noisy_copy_is_known_by_its_profile(tmp_path):
    rng = np.random.default_rng(0)
    log2 = rng.normal(9, 2, (300, 12))
    values = pd.DataFrame(2**log2, [f"g{j}" for j in range(300)], [f"p{i}" for i in range(12)])
    again = (values[["p3"]] * rng.normal(1, 0.05, (300, 1))).set_axis(["x"], axis=1)
    labels = [["patient", "class"], *([p, "AB"[i % 2]] for i, p in enumerate(values))]
    options = {
        "train": write(tmp_path, "train", values.to_csv(index_label="gene")),
        "labels": write(tmp_path, "labels", labels),
        "new": [write(tmp_path, "new", again.to_csv(index_label="gene"))],
    }
    with refused(r"new: no new patient may correlate .* x and p3 \(r = 0.99"):
        load_expression_data(**options)
    assert list(load_expression_data(**options, keep=["x"]).X_new.index) == ["x"]


def test_another_scale_is_refused(tmp_path):
    def times(factor):
        return published(ONE, (NEW_VALUES[ONE].astype(float) * factor).astype(str))

    load_new(tmp_path, times(3))
    with refused("scale of the training patients - .* N17 are beyond 10 times .*--drop 'N17'"):
        load_new(tmp_path, times(1000))
    with refused("scale of the training patients - .* N17 are beyond a 10th .*--drop 'N17'"):
        load_new(tmp_path, times(0.02))
    logs = np.log2(NEW_VALUES[ONE].astype(float).clip(lower=20)).astype(str)
    with refused("new0: values must be array intensities - 1 of 1 patients look logged: N17"):
        load_new(tmp_path, published(ONE, logs))


def test_one_array_whose_values_sum_to_a_million_is_an_array(tmp_path):
    values = NEW_VALUES[ONE].astype(float).clip(lower=1)
    of_a_million = published(ONE, (values * 1e6 / values.sum()).round(3).astype(str))
    cohort = published(TRAIN_PATIENTS, (40.5 * VALUES.astype(float).clip(lower=1)).astype(str))
    assert len(load_new(tmp_path, of_a_million, tables={TRAIN: cohort}).X_new) == 1


def test_who_has_no_class_is_sent_to_the_option_which_works(tmp_path):
    train = write_folder(tmp_path / "cohort") / TRAIN
    labels = write(tmp_path, "labels", TRAINING[LABELS])
    other = write(tmp_path, "other", LAYOUTS["a row a gene"])
    with refused(
        r"other: must hold patients that .*labels names, .*classifier_models\.py --new FILE"
    ):
        load_expression_data(train=train, labels=labels, test=other)
    both = write(tmp_path, "both", published([*TRAIN_PATIENTS, *ONE], VALUES.join(NEW_VALUES)))
    with refused(r"N17 have none; .*in a file of their own: classifier_models\.py --new FILE"):
        load_expression_data(train=both, labels=labels)
    found = load_expression_data(train=train, labels=labels, new=[other])
    assert list(found.X_new.index) == NEW
