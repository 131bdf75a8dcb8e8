"""The loader: the shipped data, and what a user can decide about other data."""

import hashlib
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cohort import (
    CLASSES,
    DESCRIPTIONS,
    GENES,
    LABELS,
    SUBTYPE,
    SUBTYPES,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    assert_same,
    published,
    replaced,
    to_bytes,
    write,
    write_folder,
)

from expression.data import (
    CAVEATS_FILE,
    DATA_DIR,
    INFORMATIVE_GENES_FILE,
    LABELS_FILE,
    SYMBOLS_FILE,
    TEST_FILE,
    TRAIN_FILE,
    load_expression_data,
    short_gene_names,
)
from expression.files import DataError

# --- the shipped data -----------------------------------------------------------------------------


def test_the_shipped_data_are_those_of_the_paper(data):
    assert data.X_train.shape == (38, 7129)
    assert data.X_test.shape == (34, 7129)
    assert data.y_train.value_counts().to_dict() == {"ALL": 27, "AML": 11}
    assert data.y_test.value_counts().to_dict() == {"ALL": 20, "AML": 14}
    assert data.classes == ("ALL", "AML")
    assert list(data.X_all.index) == list(range(1, 73))
    assert data.y_all.cat.codes.sum() == 25
    assert data.X_train.loc[1, "AFFX-BioB-5_at"] == -214
    assert data.X_test.loc[72, "Z78285_f_at"] == pd.read_csv(DATA_DIR / TEST_FILE).iloc[-1]["72"]
    assert data.sample_set.value_counts().to_dict() == {"train": 38, "test": 34}
    assert data.subtypes.value_counts().to_dict() == {"B-cell ALL": 38, "T-cell ALL": 9, "AML": 25}
    assert ((data.subtypes == "AML") == (data.y_all == "AML")).all()
    assert len(data.informative_genes) == 50
    assert "laboratory and class" in data.caveats


def test_the_shipped_data_equal_what_pandas_reads(data):
    for file, X in ((TRAIN_FILE, data.X_train), (TEST_FILE, data.X_test)):
        table = pd.read_csv(DATA_DIR / file, index_col="Gene Accession Number")
        table = table.drop(columns="Gene Description").T.astype(float).sort_index(axis=1)
        np.testing.assert_array_equal(X.to_numpy(), table.to_numpy())
        assert list(X.columns) == list(table.columns)
        assert X.to_numpy().flags.c_contiguous


def test_the_readme_states_the_checksum_of_every_file():
    stated = re.findall(r"^([0-9a-f]{64})  (\S+)$", (DATA_DIR / "README.md").read_text(), re.M)
    files = {path.name for path in DATA_DIR.iterdir()} - {"README.md"}
    assert {name for _, name in stated} == files
    for digest, name in stated:
        assert hashlib.sha256((DATA_DIR / name).read_bytes()).hexdigest() == digest


def test_the_data_are_frozen(data):
    with pytest.raises(AttributeError):
        data.X_train = None


# --- folders --------------------------------------------------------------------------------------


def test_the_whole_published_file_with_calls_loads_to_the_shipped_data(data, tmp_path):
    for file in (TRAIN_FILE, TEST_FILE):
        table = pd.read_csv(DATA_DIR / file, dtype=str)
        for i, patient in enumerate(table.columns[2:][::-1]):
            cells = table.pop(patient)
            table.insert(len(table.columns), patient, cells)
            table.insert(len(table.columns), f"call.{i}" if i else "call", "A", True)
        table.to_csv(tmp_path / file, index=False, lineterminator="\r\n", encoding="utf-8-sig")
    for name in (LABELS_FILE, SYMBOLS_FILE):
        (tmp_path / name).write_bytes((DATA_DIR / name).read_bytes())
    found = load_expression_data(tmp_path)
    assert_same(found, data)
    pd.testing.assert_series_equal(found.gene_names, data.gene_names)


def test_named_files_stand_in_for_the_folder_and_leave_its_companions_out(small, tmp_path):
    folder = write_folder(tmp_path)
    (folder / CAVEATS_FILE).write_text("Mind the gap.\n")
    (folder / SYMBOLS_FILE).write_text(f"accession,symbol\n{GENES[0]},TP53\n")
    (folder / INFORMATIVE_GENES_FILE).write_text(f"accession,higher_in\n{GENES[0]},AML\n")
    whole = load_expression_data(folder)
    assert whole.caveats == "Mind the gap."
    assert whole.subtypes.to_dict() == {int(p): subtype for p, subtype in SUBTYPES.items()}
    assert whole.gene_names[GENES[0]] == "TP53"
    assert whole.informative_genes.to_dict() == {GENES[0]: "AML"}
    files = {"train": TRAIN_FILE, "test": TEST_FILE, "labels": LABELS_FILE}
    for names in (("train", "test", "labels"), ("test",), ("labels",), ("test", "labels")):
        found = load_expression_data(folder, **{name: folder / files[name] for name in names})
        assert_same(found, small)
        assert found.subtypes is None
        assert found.informative_genes is None
        assert found.caveats == ""
        pd.testing.assert_series_equal(found.gene_names, small.gene_names)


def test_without_a_test_set_the_test_matrix_is_empty(small, tmp_path):
    train = {p: CLASSES[p] for p in TRAIN_PATIENTS}
    subtypes = {p: SUBTYPES[p] for p in TRAIN_PATIENTS}
    tables = {
        LABELS: annotation(["patient", "cancer"], train),
        SUBTYPE: annotation(["patient", "subtype"], subtypes),
    }
    folder = write_folder(tmp_path, **{TEST: None}, **tables)
    data = load_expression_data(folder)
    pd.testing.assert_frame_equal(data.X_train, small.X_train)
    assert data.X_test.shape == (0, 12)
    assert list(data.X_test.columns) == list(data.X_train.columns)
    assert data.X_test.dtypes.unique() == [float]
    assert data.y_test.dtype == data.y_train.dtype
    pd.testing.assert_frame_equal(data.X_all, data.X_train)
    pd.testing.assert_series_equal(data.y_all, data.y_train)
    assert data.sample_set.tolist() == ["train"] * 16
    assert len(data.subtypes) == 16
    assert len(data.checksum) == 64


def test_ids_are_text_unless_all_are_whole_numbers(tmp_path):
    new = {p: p.replace("7", "07") for p in CLASSES}
    tables = {
        TRAIN: published([new[p] for p in TRAIN_PATIENTS], VALUES.rename(columns=new)),
        TEST: published([new[p] for p in TEST_PATIENTS], VALUES.rename(columns=new)),
        LABELS: annotation(["patient", "cancer"], {new[p]: c for p, c in CLASSES.items()}),
        SUBTYPE: annotation(["patient", "subtype"], {new[p]: s for p, s in SUBTYPES.items()}),
    }
    data = load_expression_data(write_folder(tmp_path, **tables))
    assert list(data.X_train.index) == sorted(map(new.get, TRAIN_PATIENTS))
    assert list(data.subtypes.index) == [*data.X_train.index, *data.X_test.index]


# --- classes --------------------------------------------------------------------------------------


def renamed(tmp_path, **names):
    classes = {p: names[c] for p, c in CLASSES.items()}
    labels = annotation(["patient", "cancer"], classes)
    return write_folder(tmp_path, **{LABELS: labels})


@pytest.mark.parametrize(
    ("names", "positive", "expected"),
    [
        ({"ALL": "AML", "AML": "ALL"}, None, ("ALL", "AML")),  # AML, though more frequent
        ({"ALL": "a", "AML": "b"}, None, ("a", "b")),  # the rarer
        ({"ALL": "b", "AML": "a"}, None, ("b", "a")),
        ({"ALL": "a", "AML": "b"}, "a", ("b", "a")),
        ({"ALL": "ALL", "AML": "AML"}, " ALL ", ("AML", "ALL")),
        ({"ALL": "non\nresponder", "AML": "re-\r\n sponder/$x_1$"}, None,
         ("non responder", "re- sponder/$x_1$")),
        ({"ALL": "0", "AML": "1"}, None, ("0", "1")),
    ],
    ids=str,
)  # fmt: skip
def test_any_two_classes(tmp_path, names, positive, expected):
    data = load_expression_data(renamed(tmp_path, **names), positive_class=positive)
    assert data.classes == expected
    chosen = positive is not None or "AML" in expected
    why = "as chosen" if positive else "the default" if chosen else "the rarer in training"
    assert f"positive class: {expected[1]}, {why}" in "".join(data.origin)
    assert data.y_train.cat.ordered


def test_test_labels_do_not_choose_the_positive_class(tmp_path):
    classes = {p: "b" if c == "AML" else "a" for p, c in CLASSES.items()}
    classes |= dict.fromkeys(TEST_PATIENTS[1:], "b")  # now b has more patients over both sets
    folder = write_folder(tmp_path, **{LABELS: annotation(["patient", "cancer"], classes)})
    assert load_expression_data(folder).classes == ("a", "b")


# --- genes ----------------------------------------------------------------------------------------


def test_common_genes_are_an_explicit_choice(small, tmp_path):
    values = VALUES.drop(GENES[:5]).rename(index={GENES[5]: "other"})
    test = published(TEST_PATIENTS, values, dict(DESCRIPTIONS, other=""))
    folder = write_folder(tmp_path, **{TEST: test})
    message = (
        r"it lacks 6 of the 12 training genes \(.*\) and it has 1 others \(other\); .*--common"
    )
    with pytest.raises(DataError, match=message):
        load_expression_data(folder)
    with pytest.raises(DataError, match=r"must hold more than half of the genes of .*it lacks 6"):
        load_expression_data(folder, common_genes=True)
    write_folder(tmp_path, **{TEST: published(TEST_PATIENTS, VALUES.drop(GENES[:5]))})
    data = load_expression_data(folder, common_genes=True)
    assert list(data.X_test.columns) == list(data.X_train.columns) == GENES[5:]
    pd.testing.assert_frame_equal(data.X_train, small.X_train[GENES[5:]])
    assert "Only the 7 genes in both files are used" in "".join(data.origin)
    assert list(data.gene_names.index) == GENES[5:]


def test_a_missing_description_comes_from_the_other_file(small, tmp_path):
    train = published(TRAIN_PATIENTS, descriptions=DESCRIPTIONS | {GENES[0]: ""})
    folder = write_folder(tmp_path, **{TRAIN: train})
    pd.testing.assert_series_equal(load_expression_data(folder).descriptions, small.descriptions)


def test_informative_genes_are_checked(small, tmp_path):
    folder = write_folder(tmp_path)
    header = ["accession", "higher_in"]
    rows = annotation(header, {GENES[3]: "AML", GENES[1]: "ALL"})
    (folder / INFORMATIVE_GENES_FILE).write_bytes(to_bytes(rows))
    found = load_expression_data(folder).informative_genes
    assert found.to_dict() == {GENES[1]: "ALL", GENES[3]: "AML"}
    for gene, name, wrong in (("nope", "AML", "nope"), (GENES[3], "CML", "CML")):
        rows = annotation(header, {gene: name})
        (folder / INFORMATIVE_GENES_FILE).write_bytes(to_bytes(rows))
        with pytest.raises(DataError, match=f"informative_genes.csv: must name .*found {wrong}"):
            load_expression_data(folder)


# --- gene names -----------------------------------------------------------------------------------


def test_a_gene_is_named_by_its_symbol_else_its_description_else_its_accession():
    descriptions = {
        "a": "Leukotriene C4 synthase (LTC4S) gene",
        "b": "Zyxin",
        "c": "Cellular  retinoic acid-binding protein [human, skin]",
        "d": "",
        "e": "",
    }
    names = short_gene_names(pd.Series(descriptions), {"a": "LTC4S", "d": "MPO", "z": "ZYX"})
    assert names.to_dict() == {
        "a": "LTC4S",
        "b": "Zyxin",
        "c": "Cellular retinoic acid-…",
        "d": "MPO",
        "e": "e",
    }
    assert short_gene_names(pd.Series({"a": "x" * 30}))["a"] == "x" * 30


def test_a_shared_name_is_followed_by_the_accession():
    descriptions = {"a": "Lysozyme", "b": "LYZ", "c": "LYZ", "d": "c", "e": "d (e)"}
    names = short_gene_names(pd.Series(descriptions), {"a": "LYZ"})
    assert names.tolist() == ["LYZ (a)", "LYZ (b)", "LYZ (c)", "c (d)", "d (e)"]


def test_accessions_stand_in_for_names_that_cannot_be_told_apart():
    names = short_gene_names(pd.Series({"a": "LYZ", "b": "LYZ", "c": "LYZ (a)"}))
    assert names.tolist() == ["a", "b", "c"]


@given(
    st.dictionaries(st.text("abc ()", min_size=1), st.text("abc ()") | st.text(), min_size=1),
    st.dictionaries(st.text("abc ()", min_size=1), st.text("abc ()", min_size=1)),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_gene_names_are_unique_whatever_descriptions_and_symbols(descriptions, symbols):
    names = short_gene_names(pd.Series(descriptions, dtype=str), symbols)
    assert names.is_unique
    assert list(names.index) == list(descriptions)


def test_all_shipped_genes_have_short_unique_names(data):
    names = data.gene_names
    assert names.is_unique
    bare = [name.removesuffix(f" ({gene})") for gene, name in names.items()]
    assert max(map(len, bare)) <= 30
    assert all(map(str.isprintable, names))
    informative = names[data.informative_genes.index]
    assert not (informative == informative.index).any()
    expected = {"X95735_at": "ZYX", "D26156_s_at": "SMARCA4 (D26156_s_at)", "M23197_at": "CD33",
                "L08246_at": "MCL1", "Y12670_at": "LEPR Leptin receptor (Y12670_at)"}  # fmt: skip
    assert informative[list(expected)].to_dict() == expected


def test_the_shipped_symbols_are_symbols_of_genes_in_the_data(data):
    symbols = pd.read_csv(DATA_DIR / SYMBOLS_FILE, index_col="accession", na_filter=False)["symbol"]
    assert symbols.index.is_unique
    assert symbols.index.difference(data.X_train.columns).empty
    assert symbols.str.fullmatch("[A-Z][A-Z0-9]+(-[A-Z0-9]+)?").all()
    names = data.gene_names[symbols.index].str.split(" (", regex=False).str[0]
    assert names.to_dict() == symbols.to_dict()


# --- what the user decides ------------------------------------------------------------------------


def labelled(tmp_path, header, rows):
    return {
        "train": write(tmp_path, "train.csv", published(TRAIN_PATIENTS)),
        "test": write(tmp_path, "test.csv", published(TEST_PATIENTS)),
        "labels": write(tmp_path, "labels.csv", [header, *rows]),
    }


def test_more_than_one_column_of_classes_is_refused_until_one_is_chosen(small, tmp_path):
    kinds = [[p, "fresh" if int(p) % 2 else "frozen", c, 20 + int(p)] for p, c in CLASSES.items()]
    files = labelled(tmp_path, ["patient", "type", "diagnosis", "age"], kinds)
    with pytest.raises(DataError, match=r"labels.csv: .* diagnosis, type; .*--class-column NAME"):
        load_expression_data(**files)
    assert_same(load_expression_data(**files, class_column="Diagnosis"), small)
    assert load_expression_data(**files, class_column="type").classes == ("frozen", "fresh")
    with pytest.raises(
        DataError, match=r"--class-column: must be .*labels.csv - age, diagnosis, type"
    ):
        load_expression_data(**files, class_column="grade")


def test_two_of_several_classes_and_their_patients_alone(small, tmp_path):
    classes = CLASSES | {"1": "CML", "26": "CML", "2": ""}
    files = labelled(tmp_path, ["patient", "class"], classes.items())
    with pytest.raises(
        DataError, match=r"labels.csv: every patient must have a class - 2 have none"
    ):
        load_expression_data(**files)
    found = load_expression_data(**files, classes=["ALL", "AML"])
    pd.testing.assert_frame_equal(found.X_train, small.X_train.drop(index=[1, 2]))
    pd.testing.assert_frame_equal(found.X_test, small.X_test.drop(index=26))
    with pytest.raises(
        DataError, match=r"--classes: must be two of ALL, AML, CML - found ALL, KKL"
    ):
        load_expression_data(**files, classes=["ALL", "KKL"])
    with pytest.raises(DataError, match=r"two classes - found 3: ALL, AML, CML; .*--classes A B"):
        load_expression_data(**labelled(tmp_path, "pc", (classes | {"2": "ALL"}).items()))


def test_labels_may_name_more_patients_but_not_fewer(small, tmp_path):
    more = [*CLASSES.items(), ("x", "ALL"), ("y", "CML")]
    found = load_expression_data(**labelled(tmp_path, ["patient", "class"], more))
    assert_same(found, small)
    assert "Patients: 26 of the 28 that have a class are used." in found.origin
    files = labelled(tmp_path, ["patient", "class"], more[1:])
    with pytest.raises(DataError, match=r"labels.csv: must give .* a class - 1 have none.*--drop"):
        load_expression_data(**files)
    assert list(load_expression_data(**files, drop=["1"]).X_train.index) == list(range(2, 17))


def test_missing_values_are_refused_or_cost_their_genes(small, tmp_path):
    rows = replaced(
        replaced(replaced(published(TRAIN_PATIENTS), 3, 4, ""), 3, 5, "NA"), 7, 4, "nan"
    )
    folder = write_folder(tmp_path, **{TRAIN: rows})
    message = (
        r"train.csv: every value .* 3 are missing, most in genes X00042_at \(2\), X00777_at \(1\) "
        r"and patients 3 \(2\), 4 \(1\); --missing drop"
    )
    with pytest.raises(DataError, match=message):
        load_expression_data(folder)
    found = load_expression_data(folder, missing="drop")
    kept = [gene for gene in GENES if gene not in ("X00042_at", "X00777_at")]
    pd.testing.assert_frame_equal(found.X_all, small.X_all[kept])
    assert "2 genes are left out, as values of them are missing." in found.origin


def test_of_very_many_genes_the_most_variable(data, small, tmp_path):
    assert data.preprocessing.max_genes == 5_000
    found = load_expression_data(write_folder(tmp_path), max_genes=11)
    assert_same(found, small)
    assert found.preprocessing.max_genes == 11


def test_counts_become_counts_per_million(tmp_path):
    counts = (VALUES.astype(float) + 60).round()
    scaled, found = counts * 1e6 / counts.sum(), {}
    for expression, cells in (
        ("counts", counts),
        ("log-counts", np.log2(scaled + 1)),
    ):
        tables = {TRAIN: published(TRAIN_PATIENTS, cells), TEST: published(TEST_PATIENTS, cells)}
        folder = write_folder(tmp_path, **tables)
        found[expression] = load_expression_data(folder, expression=expression)
    X = found["counts"].X_all
    np.testing.assert_allclose(X, scaled[list(map(str, X.index))].T)
    pd.testing.assert_frame_equal(found["log-counts"].X_all, X, rtol=1e-9)
    assert found["counts"].preprocessing.scale == "counts"
    assert found["counts"].preprocessing.min_share == 5 / 16


def test_what_was_read_is_said(data):
    assert data.origin == (
        "Read: data_set_ALL_AML_train.csv, data_set_ALL_AML_independent.csv; a row a gene, named "
        "in column 'Gene Accession Number'.",
        "Classes: column 'cancer' of actual.csv.",
        "The positive class: AML, the default where there is one.",
        "Values: array intensities; genes from AFFX-BioB-5_at to Z78285_f_at.",
    )
