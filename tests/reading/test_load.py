"""The loader: the shipped data, and what a user can decide about other data."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expression.reading.load import (
    CAVEATS_FILE,
    DATA_DIR,
    INFORMATIVE_GENES_FILE,
    SYMBOLS_FILE,
    load_expression_data,
    short_gene_names,
)
from small_cohort import (
    CLASSES,
    DESCRIPTIONS,
    GENES,
    LABELS,
    SMALL,
    SUBTYPE,
    SUBTYPES,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    assert_same,
    both,
    load,
    published,
    refused,
    replaced,
    write,
    write_folder,
)

# --- the shipped data -----------------------------------------------------------------------------


def test_the_shipped_data_are_those_of_the_paper(data):
    assert data.y_train.value_counts().to_dict() == {"ALL": 27, "AML": 11}
    assert data.y_test.value_counts().to_dict() == {"ALL": 20, "AML": 14}
    assert data.classes == ("ALL", "AML")
    assert list(data.X_all.index) == list(data.y_all.index) == list(range(1, 73))
    assert data.sample_set.value_counts().to_dict() == {"train": 38, "test": 34}
    assert data.subtypes.value_counts().to_dict() == {"B-cell ALL": 38, "T-cell ALL": 9, "AML": 25}
    assert ((data.subtypes == "AML") == (data.y_all == "AML")).all()
    assert len(data.informative_genes) == 50
    assert "peripheral blood" in data.caveats
    assert data.preprocessing.max_genes == 5_000
    assert data.origin == (
        "Read: data_set_ALL_AML_train.csv, data_set_ALL_AML_independent.csv; a row a gene, named "
        "in column 'Gene Accession Number'.",
        "Classes: column 'cancer' of actual.csv.",
        "Batches: column 'source' of samples.csv.",
        "Subtypes: column 'subtype' of samples.csv.",
        "The positive class: AML, the default where there is one.",
        "Values: array intensities; genes from AFFX-BioB-5_at to Z78285_f_at.",
    )
    for file, X in ((TRAIN, data.X_train), (TEST, data.X_test)):
        table = pd.read_csv(DATA_DIR / file, index_col="Gene Accession Number")
        table = table.drop(columns="Gene Description").T.astype(float).sort_index(axis=1)
        np.testing.assert_array_equal(X.to_numpy(), table.to_numpy())
        assert X.shape[1] == 7129
        assert list(X.columns) == list(table.columns)
        assert X.to_numpy().flags.c_contiguous
    with pytest.raises(AttributeError):
        data.X_train = None


def test_the_readme_states_the_checksum_of_every_file():
    stated = re.findall(r"^([0-9a-f]{64})  (\S+)$", (DATA_DIR / "README.md").read_text(), re.M)
    files = {path.name for path in DATA_DIR.iterdir()} - {"README.md"}
    assert {name for _, name in stated} == files
    for digest, name in stated:
        assert hashlib.sha256((DATA_DIR / name).read_bytes()).hexdigest() == digest


# --- folders --------------------------------------------------------------------------------------


def test_named_files_stand_in_for_the_folder_and_leave_its_companions_out(small, tmp_path):
    folder = write_folder(tmp_path)
    write(folder, CAVEATS_FILE, "Mind the gap.\n")
    write(folder, SYMBOLS_FILE, f"accession,symbol\n{GENES[0]},TP53\n")
    write(folder, INFORMATIVE_GENES_FILE, f"accession,higher_in\n{GENES[0]},AML\n")
    whole = load_expression_data(folder)
    assert whole.caveats == "Mind the gap."
    assert whole.subtypes.to_dict() == {int(p): subtype for p, subtype in SUBTYPES.items()}
    assert whole.gene_names[GENES[0]] == "TP53"
    assert whole.informative_genes.to_dict() == {GENES[0]: "AML"}
    files = {"train": folder / TRAIN, "test": folder / TEST, "labels": folder / LABELS}
    for names in (("train", "test", "labels"), ("test",), ("labels",)):
        found = load_expression_data(folder, **{name: files[name] for name in names})
        assert_same(found, small)
        assert found.subtypes is found.informative_genes is None
        of_folder = names == ("labels",)  # what is said of its tables stays
        assert found.caveats == ("Mind the gap." if of_folder else "")
        expected = whole if of_folder else small
        pd.testing.assert_series_equal(found.gene_names, expected.gene_names)


def test_without_a_test_set_the_test_matrix_is_empty(small, tmp_path):
    subtypes = {p: SUBTYPES[p] for p in TRAIN_PATIENTS}
    tables = {
        TEST: None,
        LABELS: annotation({p: CLASSES[p] for p in TRAIN_PATIENTS}),
        SUBTYPE: annotation(subtypes, ("patient", "subtype")),
    }
    data = load(tmp_path, tables)
    pd.testing.assert_frame_equal(data.X_all, small.X_train)
    pd.testing.assert_series_equal(data.y_all, small.y_train)
    assert list(data.X_test.columns) == list(data.X_train.columns)
    assert data.y_test.dtype == data.y_train.dtype
    assert data.sample_set.tolist() == ["train"] * 16
    assert len(data.subtypes) == 16
    assert len(data.checksum) == 64


def test_ids_are_text_unless_all_are_whole_numbers(tmp_path):
    new = {p: p.replace("7", "07") for p in CLASSES}
    values = VALUES.rename(columns=new)
    tables = {
        TRAIN: published([new[p] for p in TRAIN_PATIENTS], values),
        TEST: published([new[p] for p in TEST_PATIENTS], values),
        LABELS: annotation({new[p]: c for p, c in CLASSES.items()}),
        SUBTYPE: annotation({new[p]: s for p, s in SUBTYPES.items()}, ("patient", "subtype")),
    }
    data = load(tmp_path, tables)
    assert list(data.X_train.index) == sorted(map(new.get, TRAIN_PATIENTS))
    assert list(data.subtypes.index) == [*data.X_train.index, *data.X_test.index]


# --- genes ----------------------------------------------------------------------------------------


def test_common_genes_are_an_explicit_choice(small, tmp_path):
    values = VALUES.drop(GENES[:5]).rename(index={GENES[5]: "other"})
    other = {TEST: published(TEST_PATIENTS, values, dict(DESCRIPTIONS, other=""))}
    with refused(
        r"it lacks 6 of the 12 training genes \(.*\) and it has 1 others \(other\); .*--co"
    ):
        load(tmp_path, other)
    with refused("must hold more than half of the genes of .*it lacks 6"):
        load(tmp_path, other, common_genes=True)
    fewer = {TEST: published(TEST_PATIENTS, VALUES.drop(GENES[:5]))}
    data = load(tmp_path, fewer, common_genes=True)
    assert list(data.X_test.columns) == list(data.gene_names.index) == GENES[5:]
    pd.testing.assert_frame_equal(data.X_train, small.X_train[GENES[5:]])
    assert "Only the 7 genes in both files are used" in "".join(data.origin)


def test_a_missing_description_comes_from_the_other_file(small, tmp_path):
    train = published(TRAIN_PATIENTS, descriptions=DESCRIPTIONS | {GENES[0]: ""})
    pd.testing.assert_series_equal(load(tmp_path, {TRAIN: train}).descriptions, small.descriptions)


def test_a_description_is_one_printable_line(tmp_path):
    train = published(TRAIN_PATIENTS, descriptions=DESCRIPTIONS | {GENES[0]: "of \a two"})
    data = load(tmp_path, {TRAIN: train, TEST: published(TEST_PATIENTS, descriptions=None)})
    assert data.descriptions[GENES[0]] == data.gene_names[GENES[0]] == "of two"


def test_a_gene_is_named_by_its_symbol_else_its_description_else_its_accession():
    descriptions = {
        "a": "Leukotriene C4 synthase (LTC4S) gene",
        "b": "Zyxin",
        "c": "Cellular  retinoic acid-binding protein [human, skin]",
        "d": "",
        "e": "",
        "f": "Lysozyme",
        "g": "LYZ",
        "h": "b",
    }
    symbols = {"a": "LTC4S", "d": "MPO", "f": "LYZ", "z": "ZYX"}
    names = list(short_gene_names(descriptions, symbols).values())
    assert names[:5] == ["LTC4S", "Zyxin", "Cellular retinoic acid-…", "MPO", "e"]
    assert names[5:] == ["LYZ (f)", "LYZ (g)", "b (h)"]
    names = short_gene_names({"a": "LYZ", "b": "LYZ", "c": "LYZ (a)"}, {})
    assert list(names.values()) == ["a", "b", "c"]  # as the others cannot be told apart


@given(
    st.dictionaries(st.text("abc ()", min_size=1), st.text("abc ()") | st.text(), min_size=1),
    st.dictionaries(st.text("abc ()", min_size=1), st.text("abc ()", min_size=1)),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_gene_names_are_unique_whatever_descriptions_and_symbols(descriptions, symbols):
    names = short_gene_names(descriptions, symbols)
    assert len(set(names.values())) == len(names)
    assert list(names) == list(descriptions)


def test_all_shipped_genes_have_short_unique_names(data):
    names = data.gene_names
    bare = [name.removesuffix(f" ({gene})") for gene, name in names.items()]
    assert max(map(len, bare)) <= 30
    assert all(map(str.isprintable, names))
    informative = names[data.informative_genes.index]
    assert not (informative == informative.index).any()
    expected = {"X95735_at": "ZYX", "D26156_s_at": "SMARCA4 (D26156_s_at)", "M23197_at": "CD33",
                "L08246_at": "MCL1", "Y12670_at": "LEPR Leptin receptor (Y12670_at)"}  # fmt: skip
    assert informative[list(expected)].to_dict() == expected
    symbols = pd.read_csv(DATA_DIR / SYMBOLS_FILE, index_col="accession", na_filter=False)["symbol"]
    assert symbols.str.fullmatch("[A-Z][A-Z0-9]+(-[A-Z0-9]+)?").all()
    found = names[symbols.index].str.split(" (", regex=False).str[0]
    assert found.to_dict() == symbols.to_dict()


def test_the_checksum_tells_values_names_and_labels(data):
    X, y = data.X_train, data.y_train
    others = ({"X_train": X + 1}, {"X_train": X.rename({1: 99})}, {"y_train": y[::-1]})
    others += ({"subtypes": data.subtypes[::-1]}, {"informative_genes": None})
    assert len({data.checksum, *(replace(data, **other).checksum for other in others)}) == 6


# --- what the user decides ------------------------------------------------------------------------


def test_labels_may_name_more_patients_but_not_fewer(small, tmp_path):
    more = annotation(CLASSES | {"x": "ALL", "y": "CML"})
    folder = write_folder(tmp_path)
    files = {"train": folder / TRAIN, "test": folder / TEST, "labels": folder / LABELS}
    write(folder, LABELS, more)
    found = load_expression_data(**files)
    assert_same(found, small)
    assert "Patients: 26 of the 28 that have a class are used, not x, y." in found.origin
    write(folder, LABELS, more[:1] + more[2:])
    with refused("actual.csv: must give .* a class - 1 have none.*--drop"):
        load_expression_data(**files)
    assert list(load_expression_data(**files, drop=["1"]).X_train.index) == list(range(2, 17))


def test_missing_values_are_refused_or_cost_their_genes(small, tmp_path):
    rows = replaced(replaced(replaced(SMALL[TRAIN], 3, 4, ""), 3, 5, "NA"), 7, 4, "nan")
    message = r"train.csv: every value .* 3 are missing, most in genes X00042_at \(2\), X00777_at "
    with refused(message + r"\(1\) and patients 3 \(2\), 4 \(1\); --missing drop"):
        load(tmp_path, {TRAIN: rows})
    found = load(tmp_path, {TRAIN: rows}, missing="drop", max_genes=11)
    kept = [gene for gene in GENES if gene not in ("X00042_at", "X00777_at")]
    pd.testing.assert_frame_equal(found.X_all, small.X_all[kept])
    assert "2 genes are left out, as values of them are missing." in found.origin
    assert found.preprocessing.max_genes == 11


def test_counts_become_counts_per_million(tmp_path):
    counts = (VALUES.astype(float) + 60).round()
    scaled = counts * 1e6 / counts.sum()
    found = load(tmp_path, both(counts), expression="counts")
    np.testing.assert_allclose(found.X_all, scaled.T)
    assert found.preprocessing.scale == "counts"
    assert found.preprocessing.min_share == 5 / 16
    logged = load(tmp_path, both(np.log2(scaled + 1)), expression="log-counts")
    pd.testing.assert_frame_equal(logged.X_all, found.X_all, rtol=1e-9)


def test_what_is_left_out_is_left_out_of_the_companions(tmp_path):
    listed = [["accession", "higher_in"], [GENES[0], "AML"], [GENES[1], "ALL"]]
    found = load(tmp_path, {INFORMATIVE_GENES_FILE: listed}, drop=["1", GENES[0]])
    assert list(found.subtypes.index) == list(range(2, 27))
    assert found.informative_genes.to_dict() == {GENES[1]: "ALL"}
