"""The sample sheet: which batch, person and subtype each array is of, and what must hold."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from expression.preprocessing import Preprocessing
from expression.reading import checks
from expression.reading.load import SAMPLES_FILE, load_expression_data
from expression.reading.samples import NO_BATCHES
from small_cohort import (
    CLASSES,
    GENES,
    LABELS,
    SUBTYPE,
    SUBTYPES,
    TEST,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    assert_same,
    cls,
    gct,
    load,
    published,
    refused,
    to_bytes,
    write,
    write_folder,
)

SITES = {p: str(1 + int(p) % 3) for p in CLASSES}  # numbers, as batches often are
PEOPLE = {p: f"person {(int(p) + 1) // 2}" for p in CLASSES}  # with two arrays each
STAGES = {p: f"{c} {int(p) % 2}" for p, c in CLASSES.items()}
COLUMNS = {"batch_column": "Site", "group_column": "person", "subtype_column": "stage"}
ALL_IN_ONE = dict.fromkeys(CLASSES, "x")


def sheet(sites=SITES, people=PEOPLE, stages=STAGES, classes=CLASSES):
    rows = [[p, sites[p], people[p], classes[p], stages[p]] for p in CLASSES]
    return [["patient", "Site", "person", "cancer", "stage"], *rows]


def load_files(folder, labels, tables=None, **options):
    """Load the small cohort with a file of classes of one's own."""
    folder = write_folder(folder, tables)
    path = write(folder, "sheet.csv", labels)
    return load_expression_data(train=folder / TRAIN, test=folder / TEST, labels=path, **options)


def by_number(entries):
    return {int(patient): entry for patient, entry in entries.items()}


def assert_same_values_and_classes(found, expected):
    assert_same(*(replace(data, batches=None, groups=None) for data in (found, expected)))


# --- which columns are read -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        sheet(),
        to_bytes(sheet(), delimiter=";", newline="\r\n", bom=True),
        [*sheet()[:1], *sheet()[:0:-1]],
        to_bytes(sheet()).replace(b"Site,person", b"SITE,Person"),
    ],
    ids=["csv", "semicolon", "other order", "other case"],
)
def test_named_columns_say_batch_person_and_subtype_and_change_nothing_else(
    small, tmp_path, labels
):
    data = load_files(tmp_path, labels, **COLUMNS)
    assert_same_values_and_classes(data, small)
    for known, entries in ((data.batches, SITES), (data.groups, PEOPLE), (data.subtypes, STAGES)):
        assert known.to_dict() == by_number(entries)
        assert known.index.equals(data.X_all.index)
        assert known.index.name == "patient"
    assert data.batches.name.casefold() == "site"
    assert data.groups.name.casefold() == "person"
    assert data.subtypes.name == "subtype"
    assert data.origin[2:5] == (
        f"Batches: column {data.batches.name!r} of sheet.csv.",
        f"Groups: column {data.groups.name!r} of sheet.csv (13 people, 26 arrays).",
        "Subtypes: column 'stage' of sheet.csv.",
    )


def test_without_batches_it_is_said_what_was_not_looked_at(small, tmp_path):
    assert NO_BATCHES in small.origin
    data = load_files(tmp_path, annotation(CLASSES))
    assert data.batches is data.groups is data.subtypes is None
    assert NO_BATCHES in data.origin
    data = load_files(tmp_path, sheet(), group_column="person", drop=["Site", "stage"])
    assert NO_BATCHES in data.origin


def table_of_patients():
    """A row a patient: class, batch as a number, person, and the genes."""
    rows = [[p, SITES[p], CLASSES[p], PEOPLE[p], *VALUES[p]] for p in CLASSES]
    return [["sample", "batch", "cancer", "subject", *GENES], *rows]


@pytest.mark.parametrize("labels", [None, annotation(CLASSES)], ids=["a column", "labels"])
def test_columns_of_a_table_with_a_row_a_patient_are_no_genes(tmp_path, labels):
    files = {"train": write(tmp_path, "table.csv", table_of_patients())}
    if labels is not None:
        files["labels"] = write(tmp_path, "labels.csv", labels)
    columns = {"batch_column": "batch", "group_column": "subject"}
    data = load_expression_data(**files, **columns)
    assert list(data.X_train.columns) == GENES
    assert data.batches.to_dict() == by_number(SITES)
    assert data.groups.to_dict() == by_number(PEOPLE)
    assert data.y_train.to_dict() == by_number(CLASSES)
    assert "Batches: column 'batch' of table.csv." in data.origin
    assert not any("subject" in sentence for sentence in data.origin if "Ignored" in sentence)
    with refused("--batch-column: must be a column of .*(table|labels).csv - found .*cancer"):
        load_expression_data(**files, batch_column="site", group_column="subject")


@pytest.mark.parametrize("header", [("patient", "sample"), ("patient", "array"), ("who", "array")])
def test_a_column_of_persons_does_not_name_the_arrays(tmp_path, header):
    """Though it comes first, and may be called as those of patients are."""
    rows = [[PEOPLE[p], f"A{p}", CLASSES[p], *VALUES[p]] for p in CLASSES]
    train = write(tmp_path, "table.csv", [[*header, "cancer", *GENES], *rows])
    data = load_expression_data(train=train, group_column=header[0])
    assert data.groups.to_dict() == {f"A{p}": person for p, person in PEOPLE.items()}
    assert list(data.X_train.columns) == GENES

    without_names = [[row[0], *row[3:], row[2]] for row in rows]
    train = write(tmp_path, "table.csv", [[header[0], *GENES, "cancer"], *without_names])
    data = load_expression_data(train=train, group_column=header[0])
    assert list(data.X_train.columns) == GENES  # and none is taken for the names
    assert data.groups.to_dict() == dict(enumerate(PEOPLE.values(), start=1))


def test_each_array_may_be_a_person(tmp_path):
    data = load_files(tmp_path, annotation(CLASSES), group_column="patient")
    assert data.groups.to_dict() == {int(p): p for p in CLASSES}
    train = write(tmp_path, "table.csv", table_of_patients())
    data = load_expression_data(
        train=train, group_column="sample", class_column="cancer", drop=["batch"]
    )
    assert data.groups.to_dict() == {int(p): p for p in CLASSES}


def test_files_that_say_the_same_of_a_patient_must_agree(tmp_path):
    train = write(tmp_path, "table.csv", table_of_patients())
    rows = [[p, CLASSES[p], SITES[p]] for p in CLASSES]
    files = {"train": train, "labels": write(tmp_path, "l.csv", [["id", "cancer", "batch"], *rows])}
    data = load_expression_data(**files, batch_column="batch", drop=["subject"])
    assert "Batches: column 'batch' of l.csv, column 'batch' of table.csv." in data.origin
    rows[4][2] = "9"
    write(tmp_path, "l.csv", [["id", "cancer", "batch"], *rows])
    with refused("table.csv: a patient has one batch - 5 is 3 here, 9 in .*l.csv; correct"):
        load_expression_data(**files, batch_column="batch", drop=["subject"])


# --- the sample sheet of a folder -----------------------------------------------------------------


def samples(sources=SITES, header=("patient", "subtype", "tissue", "source")):
    return [list(header), *([p, SUBTYPES[p], PEOPLE[p], sources[p]] for p in CLASSES)]


def test_the_shipped_sheet_says_hospital_and_subtype(data):
    t_cells = [2, 3, 6, 9, 10, 11, 14, 23, 67]
    assert list(data.subtypes.index[data.subtypes == "T-cell ALL"]) == t_cells
    assert ((data.subtypes == "AML") == (data.y_all == "AML")).all()
    assert (data.subtypes.name, data.batches.name) == ("subtype", "source")
    counts = pd.crosstab(data.batches, [data.sample_set, data.y_all.astype(str)])
    assert counts["train"].to_dict("index") == {
        "CALGB": {"ALL": 0, "AML": 11},
        "CCG": {"ALL": 0, "AML": 0},
        "DFCI": {"ALL": 27, "AML": 0},
        "St Jude": {"ALL": 0, "AML": 0},
    }
    assert counts["test"].to_dict("index") == {
        "CALGB": {"ALL": 0, "AML": 4},
        "CCG": {"ALL": 0, "AML": 5},
        "DFCI": {"ALL": 17, "AML": 0},
        "St Jude": {"ALL": 3, "AML": 5},
    }
    assert data.groups is None


def test_another_column_of_the_shipped_sheet_can_be_the_batch(data):
    found = load_expression_data(batch_column="tissue")
    assert found.batches.value_counts().to_dict() == {"bone marrow": 62, "peripheral blood": 10}
    pd.testing.assert_series_equal(found.subtypes, data.subtypes)
    assert "Batches: column 'tissue' of samples.csv." in found.origin


def test_a_folder_takes_source_and_subtype_unless_others_are_named(small, tmp_path):
    tables = {SAMPLES_FILE: samples(), SUBTYPE: None}
    data = load(tmp_path, tables)
    assert_same_values_and_classes(data, small)
    assert data.batches.to_dict() == by_number(SITES)
    assert data.subtypes.to_dict() == by_number(SUBTYPES)
    assert data.groups is None
    data = load(tmp_path, tables, group_column="tissue", subtype_column="source")
    assert data.groups.to_dict() == by_number(PEOPLE)
    assert data.subtypes.to_dict() == by_number(SITES)
    assert data.batches.name == "source"
    assert load(tmp_path, tables, drop=["source"]).batches is None

    labels = [["patient", "cancer", "site"], *([p, CLASSES[p], SITES[p]] for p in CLASSES)]
    data = load(tmp_path, tables | {LABELS: labels}, batch_column="site")
    assert "Batches: column 'site' of actual.csv." in data.origin
    with refused(
        "--batch-column: must be a column of .*samples.csv or .*actual.csv - found cancer, patient,"
        " site, source, subtype, tissue; choose one"
    ):
        load(tmp_path, tables | {LABELS: labels}, batch_column="hospital")


def test_a_folder_without_a_sample_sheet_has_subtypes_as_before(small, tmp_path):
    assert small.subtypes.to_dict() == by_number(SUBTYPES)
    assert small.batches is None
    only_sources = [[row[0], row[3]] for row in samples()]
    data = load(tmp_path, {SAMPLES_FILE: only_sources})
    assert data.subtypes.to_dict() == by_number(SUBTYPES)
    assert data.batches.to_dict() == by_number(SITES)


def test_the_sheet_of_a_folder_is_not_that_of_other_files(tmp_path):
    folder = write_folder(tmp_path, {SAMPLES_FILE: samples()})
    data = load_expression_data(folder, labels=folder / LABELS)
    assert data.batches is data.subtypes is None
    with refused("--batch-column: must be a column of .*actual.csv - found cancer, patient;"):
        load_expression_data(folder, labels=folder / LABELS, batch_column="source")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (samples()[:-1], "samples.csv: must give each patient a batch .* - 26 have none"),
        ([*samples(), ["x", "a", "b", "c"]], "samples.csv: .* - x have no expression values"),
        ([*samples(), samples()[-1]], "samples.csv: every patient must occur once - found 26"),
        (samples(SITES | {"7": "", "8": "NA"}),
         "samples.csv: must give each patient a batch in column 'source' - 7, 8 have none; .*--"),
        (samples({p: p for p in CLASSES}),
         "samples.csv: a batch must have more than one .*'source' of samples.csv .*--drop source"),
        (samples(header=("patient", "subtype", "source", "Source")), None),
        (samples(header=("patient", "subtype", "SOURCE", "Source")),
         "--batch-column: must be one column of .*samples.csv - 2 are called source"),
        (to_bytes(samples())[:-1] + b"3", "samples.csv: must end with a line break .* in '33'"),
    ],
    ids=["fewer", "more", "twice", "blank", "no batches", "exact name", "two columns", "cut off"],
)  # fmt: skip
def test_a_sheet_of_a_folder_must_fit_it(tmp_path, content, message):
    if message is None:
        assert load(tmp_path, {SAMPLES_FILE: content}).batches.to_dict() == by_number(PEOPLE)
        return
    with refused(message):
        load(tmp_path, {SAMPLES_FILE: content})


def test_a_number_that_differs_between_all_does_not_name_the_patients(tmp_path):
    header = ["who", "age", "array", "source"]
    rows = [[PEOPLE[p], 30 + int(p), p, SITES[p]] for p in CLASSES]
    with refused(
        "samples.csv: must have a column of patients - found none in age, array, s.*, who"
    ):
        load(tmp_path, {SAMPLES_FILE: [header, *rows]}, group_column="who")
    data = load(tmp_path, {SAMPLES_FILE: [[*header[:2], "sample", "source"], *rows]})
    assert data.batches.to_dict() == by_number(SITES)


def test_patients_that_are_left_out_need_no_row(tmp_path):
    tables = {SAMPLES_FILE: [row for row in samples() if row[0] != "26"]}
    data = load(tmp_path, tables, drop=["26"])
    assert 26 not in data.batches.index
    assert len(data.batches) == 25


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "columns", "message"),
    [
        (sheet(), {"group_column": "donor"},
         "--group-column: must be a column of .*sheet.csv - found Site, cancer, patient, person, "
         "stage; choose one"),
        (sheet(SITES | {"3": " ", "4": "null"}), COLUMNS,
         "sheet.csv: must give each patient a batch in column 'Site' - 3, 4 have none; complete"),
        (sheet(SITES | {"3": "a\ab"}), COLUMNS, "sheet.csv: every Site must be printable"),
        (sheet(SITES | {"3": "x" * 61}), COLUMNS, "sheet.csv: every Site .* at most 60 characters"),
        (sheet({p: f"run {p}" for p in CLASSES}), COLUMNS,
         "--batch-column: a batch must have more than one patient - every entry of column 'Site' "
         "of sheet.csv is another; choose"),
        (sheet(), COLUMNS | {"group_column": "cancer", "class_column": "cancer"},
         "--group-column: must be another column of .*sheet.csv than that of classes - found canc"),
        (annotation(CLASSES), {"batch_column": "cancer"},
         "--batch-column: must be another column .* than that of classes - found cancer"),
        (sheet(people=PEOPLE | {"20": "person 1", "21": "person 3"}), COLUMNS,
         "sheet.csv: no one in column 'person' may be in the training and in the test set - found "
         "person 1, person 3; put all"),
        (to_bytes(sheet())[:-1] + b"7", COLUMNS, "sheet.csv: must end with a line .* in 'ALL 07'"),
    ],
    ids=["unknown", "blank", "bell", "long", "no batches", "classes", "the only one", "in both",
         "cut off"],
)  # fmt: skip
def test_a_column_must_say_what_its_option_means(tmp_path, labels, columns, message):
    with refused(message):
        load_files(tmp_path, labels, **columns)


def test_one_batch_is_a_batch(tmp_path):
    data = load_files(tmp_path, sheet(ALL_IN_ONE), **COLUMNS)
    assert set(data.batches) == {"x"}


def test_the_codes_of_a_cls_file_have_no_columns(tmp_path):
    tables = {TRAIN: to_bytes(gct(TRAIN_PATIENTS), "\t"), TEST: None}
    folder = write_folder(tmp_path, tables)
    codes = write(folder, "codes.cls", cls(TRAIN_PATIENTS))
    for name in ("site", "Description"):
        with refused("--batch-column: must be a column .*; choose one, or add it to a table"):
            load_expression_data(train=folder / TRAIN, labels=codes, batch_column=name)


def test_people_are_counted_not_their_arrays(tmp_path):
    """Five of the training patients have AML: 3, 6, 9, 12 and 15."""
    load_files(tmp_path, sheet(), **COLUMNS)
    people = PEOPLE | {"3": "one", "6": "one"}
    message = "at least 5 training people of each class - found 4 of AML"
    with refused(message):
        load_files(tmp_path, sheet(people=people), **COLUMNS)
    with_both_classes = PEOPLE | {"3": "one", "1": "one"}  # as tumour and normal of one person
    data = load_files(tmp_path, sheet(people=with_both_classes), **COLUMNS)
    assert set(data.y_all[data.groups == "one"]) == {"ALL", "AML"}


# --- near copies ----------------------------------------------------------------------------------


def replicates(genes, noise, seed=0):
    """Log2 values, genes x patients, of 13 people without signal, each measured twice."""
    rng = np.random.default_rng(seed)
    people = rng.normal(9, 1.5, (genes, 1)) + rng.normal(0, 1, (genes, 13))
    log = np.repeat(people, 2, axis=1) + rng.normal(0, noise, (genes, 26))
    return pd.DataFrame(log, [f"g{number}" for number in range(genes)], list(CLASSES))


def load_replicates(folder, log, **options):
    values = np.exp2(log).map(repr)
    tables = {
        TRAIN: published(TRAIN_PATIENTS, values, None),
        TEST: published([p for p in CLASSES if p not in TRAIN_PATIENTS], values, None),
    }
    return load_files(folder, sheet(), tables, drop=["Site", "stage"], **options)


def test_near_copies_are_refused_until_it_is_said_who_is_who(tmp_path):
    log = replicates(genes=400, noise=0.05)
    with refused(
        r"train.csv and .*independent.csv: profiles of two patients must not correlate above 0.98 "
        r"- 13 pairs do, as arrays of one person: \d+ and \d+ \(r = 0.99\d\), \d+ and \d+ \(r = "
        r".*--group-column NAME.*--drop NAME"
    ):
        load_replicates(tmp_path, log, class_column="cancer")
    data = load_replicates(tmp_path, log, group_column="person")
    assert data.groups.nunique() == 13


def test_near_copies_are_found_across_training_and_test(tmp_path):
    log = replicates(genes=400, noise=1)
    options = {"class_column": "cancer"}
    load_replicates(tmp_path, log, **options)
    log["20"] = log["3"] + 0.1 * log["4"]
    with refused(r"- 1 pairs do, as arrays of one person: 3 and 20 \(r = 0.99\d\); name"):
        load_replicates(tmp_path, log, **options)


def test_of_few_genes_none_are_near_copies(tmp_path):
    load_replicates(tmp_path, replicates(genes=90, noise=0.05), class_column="cancer")


def test_of_very_many_genes_a_part_tells_near_copies(tmp_path):
    X = np.exp2(replicates(genes=25_000, noise=1).T)
    checks.check_near_copies(X[:16], X[16:], Preprocessing(), [])
    X.loc["20"] = X.loc["3"] * 1.1
    with refused("1 pairs do, as arrays of one person: 3 and 20"):
        checks.check_near_copies(X[:16], X[16:], Preprocessing(), [])


def test_the_shipped_patients_are_no_near_copies(data, monkeypatch):
    monkeypatch.setattr(checks, "NEAR_COPY", 0.89)
    with refused(r"- 1 pairs do, as arrays of one person: \d+ and \d+ \(r = 0.896\)"):
        checks.check_near_copies(data.X_train, data.X_test, data.preprocessing, [])
