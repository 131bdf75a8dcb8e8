"""The loader: each accepted format gives the same data; nothing damaged loads as other data."""

import csv
import gzip
import hashlib
import io
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expression import files
from expression.data import (
    CAVEATS_FILE,
    DATA_DIR,
    INFORMATIVE_GENES_FILE,
    LABELS_FILE,
    SUBTYPES_FILE,
    SYMBOLS_FILE,
    TEST_FILE,
    TRAIN_FILE,
    load_expression_data,
    short_gene_names,
)
from expression.files import DataError

# --- a small cohort, and every way to write it ----------------------------------------------------

TRAIN_PATIENTS = [str(n) for n in range(1, 17)]
TEST_PATIENTS = [str(n) for n in range(17, 27)]
GENES = [f"X{n:05d}_at" for n in (7, 13, 42, 95, 101, 230, 777, 812, 1300, 2024, 31337, 95735)]
CLASSES = {p: "AML" if int(p) % 3 == 0 else "ALL" for p in TRAIN_PATIENTS + TEST_PATIENTS}
SUBTYPES = {p: f"{c} {'B' if int(p) % 2 else 'T'}" for p, c in CLASSES.items()}
DESCRIPTIONS = {gene: f'Protein {i}, subunit "{i % 3}β" (EC 1.{i})' for i, gene in enumerate(GENES)}


def small_values() -> pd.DataFrame:
    """Cells, genes x patients: whole and decimal, negative, of one to five digits."""
    rng = np.random.default_rng(0)
    numbers = np.exp(rng.normal(6, 2, (len(GENES), len(CLASSES)))).round(1) - 50
    cells = [[f"{x:.0f}" if i % 3 else f"{x:.1f}" for x in row] for i, row in enumerate(numbers)]
    return pd.DataFrame(cells, GENES, list(CLASSES))


VALUES = small_values()


def published(patients, values=VALUES, descriptions=DESCRIPTIONS, calls=False, trailing=False):
    """Rows of the published layout."""
    rows = [["Gene Accession Number"], *([gene] for gene in values.index)]
    if descriptions is not None:
        rows[0].insert(0, "Gene Description")
        for row in rows[1:]:
            row.insert(0, descriptions[row[-1]])
    for patient in patients:
        cells = [patient, *values[patient]]
        for i, (row, cell) in enumerate(zip(rows, cells, strict=True)):
            row += [cell, ("APM"[len(cell) % 3] if i else "call")] if calls else [cell]
    return [[*row, ""] for row in rows] if trailing else rows


def tidy(patients, values=VALUES, classes=CLASSES, header=("patient", "cancer")):
    rows = [[p, classes[p], *values[p]] for p in patients]
    return [[*header, *values.index], *rows]


def annotation(header, content):
    return [list(header), *([key, value] for key, value in content.items())]


def gct(patients, values=VALUES, descriptions=DESCRIPTIONS):
    rows = [[gene, descriptions[gene], *values.loc[gene, patients]] for gene in values.index]
    head = [["#1.2"], [str(len(values)), str(len(patients))]]
    return [*head, ["Name", "Description", *patients], *rows]


def cls(patients, classes=CLASSES, names=("ALL", "AML")):
    codes = " ".join(str(names.index(classes[p])) for p in patients)
    return f"{len(patients)} {len(names)} 1\n# {' '.join(names)}\n{codes}\n".encode()


def to_bytes(rows, delimiter=",", newline="\n", bom=False, gz=False):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=newline).writerows(rows)
    content = buffer.getvalue().encode("utf-8-sig" if bom else "utf-8")
    return gzip.compress(content, mtime=0) if gz else content


def small_tables():
    """Rows of each file of the folder, in the plainest form."""
    return {
        TRAIN_FILE: published(TRAIN_PATIENTS),
        TEST_FILE: published(TEST_PATIENTS),
        LABELS_FILE: annotation(["patient", "cancer"], CLASSES),
        SUBTYPES_FILE: annotation(["patient", "subtype"], SUBTYPES),
    }


def write_folder(folder: Path, **options) -> Path:
    """Write the small cohort; options by file name without suffix replace rows or bytes."""
    folder.mkdir(exist_ok=True)
    for name, rows in small_tables().items():
        content = options.get(name.split(".")[0], rows)
        if content is not None:
            content = content if isinstance(content, bytes) else to_bytes(content)
            (folder / name).write_bytes(content)
    return folder


TRAIN, TEST, LABELS, SUBTYPE = (
    name.split(".")[0] for name in (TRAIN_FILE, TEST_FILE, LABELS_FILE, SUBTYPES_FILE)
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small cohort, loaded."""
    return load_expression_data(write_folder(tmp_path_factory.mktemp("small")))


def assert_same(found, expected):
    """Assert that two data sets hold the same, to the last bit."""
    assert found.checksum == expected.checksum
    pd.testing.assert_frame_equal(found.X_train, expected.X_train, check_exact=True)
    pd.testing.assert_frame_equal(found.X_test, expected.X_test, check_exact=True)
    pd.testing.assert_series_equal(found.y_train, expected.y_train)
    pd.testing.assert_series_equal(found.y_test, expected.y_test)


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


# --- formats --------------------------------------------------------------------------------------

VARIANTS = {
    "calls": {"calls": True},
    "no descriptions": {"descriptions": None},
    "calls, no descriptions": {"calls": True, "descriptions": None},
    "trailing column": {"trailing": True},
    "calls and trailing column": {"calls": True, "trailing": True},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_published_variants_load_to_the_same_data(small, tmp_path, options):
    tables = {
        TRAIN: published(TRAIN_PATIENTS[::-1], **options),
        TEST: published(TEST_PATIENTS[3:] + TEST_PATIENTS[:3], **options),
    }
    assert_same(load_expression_data(write_folder(tmp_path, **tables)), small)


@pytest.mark.parametrize(
    "options",
    [
        {"bom": True},
        {"newline": "\r\n"},
        {"newline": "\r"},
        {"delimiter": "\t"},
        {"delimiter": ";"},
        {"gz": True},
        {"bom": True, "newline": "\r\n", "delimiter": ";", "gz": True},
    ],
    ids=str,
)
def test_encodings_load_to_the_same_data(small, tmp_path, options):
    tables = {name.split(".")[0]: to_bytes(t, **options) for name, t in small_tables().items()}
    found = load_expression_data(write_folder(tmp_path, **tables))
    assert_same(found, small)
    pd.testing.assert_series_equal(found.descriptions, small.descriptions)
    pd.testing.assert_series_equal(found.subtypes, small.subtypes)


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


@pytest.mark.parametrize("labelled", ["one CLS", "two CLS", "a table"])
def test_gct_with_cls_loads_to_the_same_data(small, tmp_path, labelled):
    train, test = TRAIN_PATIENTS[::-1], TEST_PATIENTS
    (tmp_path / "a").write_bytes(to_bytes(gct(train), "\t", "\r\n"))
    (tmp_path / "b").write_bytes(to_bytes(gct(test), "\t", gz=True))
    (tmp_path / "one").write_bytes(cls(train + test))
    (tmp_path / "first").write_bytes(cls(train).replace(b"\n", b"\r\n"))
    (tmp_path / "second").write_bytes(gzip.compress(cls(test)))
    (tmp_path / "table").write_bytes(to_bytes(annotation(["", "x"], CLASSES), "\t"))
    files = {"one CLS": ["one"], "two CLS": ["first", "second"], "a table": ["table"]}[labelled]
    found = load_expression_data(
        train=tmp_path / "a", test=tmp_path / "b", labels=[tmp_path / file for file in files]
    )
    assert_same(found, small)
    pd.testing.assert_series_equal(found.descriptions, small.descriptions)


def test_cls_names_serve_as_codes(small, tmp_path):
    content = f"26 2 1\n# AML ALL\n{' '.join(CLASSES.values())}".encode()
    folder = write_folder(tmp_path, **{LABELS: content, SUBTYPE: None})
    assert_same(load_expression_data(folder), small)


@pytest.mark.parametrize(
    "header",
    [
        ("patient", "cancer"),
        ("Sample_ID", "Class"),
        ("", "diagnosis"),
        ("case", "what they have"),  # the only column of few texts
    ],
    ids=str,
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tidy_tables_need_no_labels(small, tmp_path, header, delimiter):
    (tmp_path / "a").write_bytes(to_bytes(tidy(TRAIN_PATIENTS[::-1], header=header), delimiter))
    (tmp_path / "b").write_bytes(to_bytes(tidy(TEST_PATIENTS, header=header), delimiter))
    assert_same(load_expression_data(train=tmp_path / "a", test=str(tmp_path / "b")), small)


def test_tidy_tables_in_a_folder_agree_with_the_labels_or_do_not_load(small, tmp_path):
    tables = {TRAIN: tidy(TRAIN_PATIENTS), TEST: tidy(TEST_PATIENTS)}
    assert_same(load_expression_data(write_folder(tmp_path, **tables)), small)
    (tmp_path / LABELS_FILE).unlink()
    assert_same(load_expression_data(tmp_path), small)
    wrong = annotation(["patient", "cancer"], CLASSES | {"2": "AML"})
    (tmp_path / LABELS_FILE).write_bytes(to_bytes(wrong))
    with pytest.raises(DataError, match=r"actual.csv: a patient has .* - 2 is AML here, ALL in"):
        load_expression_data(tmp_path)


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
    why = "as chosen" if positive else "AML where" if chosen else "the rarer in training"
    assert f"Positive class: {expected[1]} ({why}" in "".join(data.origin)
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


# --- refusals -------------------------------------------------------------------------------------


def replaced(rows, row, column, cell):
    rows = [list(r) for r in rows]
    rows[row][column] = cell
    return rows


TRAIN_ROWS = published(TRAIN_PATIENTS)
LABEL_ROWS = annotation(["patient", "cancer"], CLASSES)
FEW_AML = CLASSES | dict.fromkeys(("3", "6"), "ALL")
REFUSED = {
    "empty": ({TRAIN: b""}, "train.csv: must be a table with a header - found 0 rows"),
    "only a header": ({TRAIN: TRAIN_ROWS[:1]}, "must be a table with a header - found 1 rows"),
    "prose": ({TRAIN: b"Dear all,\nsee the annex.\n"}, "every row must have 2 cells .*row 2 has 1"),
    "one column": ({LABELS: b"patient\n1\n2\n"}, "actual.csv: must be a table .*of 1 columns"),
    "not UTF-8": ({TRAIN: b"\xff\xfe1\x00"}, "train.csv: must be a readable file - .* not UTF-8"),
    "gzip cut": ({TRAIN: to_bytes(TRAIN_ROWS, gz=True)[:-9]}, "train.csv: .*gzip data are damaged"),
    "gzip flipped": ({TRAIN: b"\x1f\x8b" + b"x" * 99}, "train.csv: .*gzip data are damaged"),
    "ragged": ({TRAIN: [*TRAIN_ROWS, ["x", "y"]]}, "must have 18 cells .*row 14 has 2"),
    "quote": ({TRAIN: b'"' + to_bytes(TRAIN_ROWS)}, "train.csv: must be a table - "),
    "huge cell": ({TRAIN: replaced(TRAIN_ROWS, 1, 0, "x" * 200_000)}, "larger than field limit"),
    "text": ({TRAIN: replaced(TRAIN_ROWS, 3, 4, "n/a")},
             r"finite number - 1 .*first 'n/a' in row 4 \(X00042_at\), column 3"),
    "empty cells": ({TRAIN: replaced(replaced(TRAIN_ROWS, 3, 4, ""), 5, 5, " ")},
                    r"finite number - 2 .*first '' in row 4 \(X00042_at\), column 3"),
    "two headers": ({TRAIN: TRAIN_ROWS + TRAIN_ROWS[:1]}, "must have one header - it occurs again"),
    "gene twice": ({TRAIN: [*TRAIN_ROWS, TRAIN_ROWS[2]]}, "every gene must occur once.*X00013_at"),
    "patient twice": ({TRAIN: replaced(TRAIN_ROWS, 0, 3, "1")}, "every patient must occur once.*1"),
    "nameless gene": ({TRAIN: replaced(TRAIN_ROWS, 2, 1, "")}, "every gene must have a name - 1"),
    "nameless patient": ({TRAIN: replaced(TRAIN_ROWS, 0, 3, " ")}, "patient must have a name - 1"),
    "bell in a name": ({TRAIN: replaced(TRAIN_ROWS, 0, 3, "a\ab")}, "must be printable.*found a.b"),
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
                 "train.csv: arrays must vary - the array of 3 has one value"),
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
    "no class": ({LABELS: replaced(LABEL_ROWS, 4, 1, "")}, "actual.csv: every cancer must have"),
    "few AML": ({LABELS: annotation(["patient", "cancer"], FEW_AML)},
                "actual.csv.*train.csv.*at least 5 training patients .*found 3 of AML"),
    "other subtypes": ({SUBTYPE: annotation(["patient", "subtype"], {"1": "a", "x": "b"})},
                       "subtypes.csv: .* a subtype - .* have none"),
    "no subtype": ({SUBTYPE: annotation(["patient", "kind", "x"][:2], SUBTYPES)[:-1]},
                   "subtypes.csv: .* a subtype - 26 have none"),
    "GCT 1.3": ({TRAIN: b"#1.3\n" + to_bytes(gct(TRAIN_PATIENTS)[1:], "\t")}, "must be GCT 1.2"),
    "GCT of another size": ({TRAIN: to_bytes(gct(TRAIN_PATIENTS)[:-1], "\t")},
                            "as many genes and patients .*11, 16.*'12 16'"),
    "CLS too short": ({LABELS: cls(TRAIN_PATIENTS[:-1])}, "a CLS file must have a code"),
    "CLS of another size": ({LABELS: cls(TRAIN_PATIENTS).replace(b"16", b"15")}, "sizes agree"),
    "CLS codes": ({LABELS: cls(list(CLASSES)).replace(b"0", b"7")}, "sizes agree"),
    "two classes columns": ({TRAIN: [["patient", "class", "type", "g"], *("pqrs" for _ in "123")]},
                            "must have one column of patients, one of classes - .*class, type"),
    "no patient column": ({TRAIN: [["class", "g", "h"], *(["ALL", "1", "2"] for _ in "123")]},
                          "must have one column of patients, one of classes"),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trusted_is_refused(tmp_path, tables, message):
    with pytest.raises(DataError, match=message) as error:
        load_expression_data(write_folder(tmp_path, **tables))
    line = str(error.value)
    assert line.isprintable()
    assert re.fullmatch(r".+: .+ - .+; .+", line)


NO_NUMBERS = ["nan", "inf", "-Infinity", "1e400", "1_000", "٣", "1,5", "0x1F", "1e5e5", "--1"]


@pytest.mark.parametrize("cell", [*NO_NUMBERS, "1 000", "x\x00"])
def test_only_plain_finite_numbers_are_numbers(tmp_path, cell):
    folder = write_folder(tmp_path, **{TRAIN: replaced(TRAIN_ROWS, 3, 4, cell)})
    with pytest.raises(DataError, match=r"train.csv: every value must be a finite number - 1 "):
        load_expression_data(folder)


@pytest.mark.parametrize(
    ("expression", "values", "message"),
    [
        ("intensity", np.log2(VALUES.astype(float) + 100), "must be intensities - 16 of 16 .*log"),
        ("log", VALUES, "must be log2 values - 16 of 16 .*look like intensities.*--expression int"),
    ],
)
def test_the_wrong_scale_is_refused(tmp_path, expression, values, message):
    values = values.astype(str)
    tables = {TRAIN: published(TRAIN_PATIENTS, values), TEST: published(TEST_PATIENTS, values)}
    with pytest.raises(DataError, match=message):
        load_expression_data(write_folder(tmp_path, **tables), expression=expression)


def test_one_array_on_another_scale_is_refused(tmp_path):
    values = VALUES.assign(**{"5": np.log2(VALUES["5"].astype(float) + 100).astype(str)})
    folder = write_folder(tmp_path, **{TRAIN: published(TRAIN_PATIENTS, values)})
    with pytest.raises(DataError, match="1 of 16 arrays look logged: 5;"):
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


# --- properties -----------------------------------------------------------------------------------

PROPERTY = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "print_blob": False,
}
encodings = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t"),
        "newline": st.sampled_from(["\n", "\r\n"]),
        "bom": st.booleans(),
        "gz": st.booleans(),
    }
)


@given(
    encoding=encodings,
    layout=st.sampled_from(["published", "tidy", "gct"]),
    calls=st.booleans(),
    described=st.booleans(),
    trailing=st.booleans(),
    order=st.permutations(TRAIN_PATIENTS),
    genes=st.permutations(GENES),
    labels=st.permutations(list(CLASSES.items())),
)
@settings(max_examples=60, **PROPERTY)
def test_any_way_of_writing_the_cohort_loads_to_the_same_data(
    small, tmp_path_factory, encoding, layout, calls, described, trailing, order, genes, labels
):
    values = VALUES.loc[genes]
    if layout == "published":
        descriptions = DESCRIPTIONS if described else None
        rows = published(order, values, descriptions, calls, trailing)
    elif layout == "tidy":
        rows = tidy(order, values)
    else:
        rows = gct(order, values)
        encoding = encoding | {"delimiter": "\t", "bom": False}
    folder = write_folder(
        tmp_path_factory.getbasetemp() / "any_way",
        **{
            TRAIN: to_bytes(rows, **encoding),
            LABELS: annotation(["patient", "cancer"], dict(labels)),
        },
    )
    found = load_expression_data(folder)
    assert_same(found, small)
    pd.testing.assert_series_equal(found.gene_names, small.gene_names)


WRONG_CELLS = st.sampled_from(  # None: another cell of the header
    [
        *("", " ", "x", "NA", "nan", "inf", "A", '"', "'", "=1+1", "1;2", "a\tb", "\x00", "1,5"),
        *("#", "1e999", "٣", "0x10", "1_0", "call", "patient", "class", "Gene Description", None),
    ]
)
CORRUPTIONS = [
    *("cell", "header", "cell cut", "row cut", "row doubled", "row moved", "truncated"),
    *("column cut", "column doubled", "column moved", "column shifted"),
]


def corrupted(rows, kind, i, j, to, cell, delimiter) -> bytes:
    """Write rows after one corruption; i, j and `to` point anywhere in the table."""
    rows = [list(row) for row in rows]
    i, j = i % len(rows), j % len(rows[-1])
    if kind == "truncated":
        content = to_bytes(rows, delimiter)
        return content[: i * 1009 % len(content)] if to % 2 else content[: -1 - i]
    if kind in ("cell", "header"):
        row = rows[0 if kind == "header" else i]
        row[j % len(row)] = rows[0][to % len(rows[0])] if cell is None else cell
    elif kind == "cell cut":
        del rows[i][j % len(rows[i])]
    elif kind.startswith("row"):
        row = rows[i] if kind == "row doubled" else rows.pop(i)
        if kind != "row cut":
            rows.insert(to % (len(rows) + 1), row)
    elif kind == "column shifted":
        cells = ["", *(row[j % len(row)] for row in rows[1:])]
        for row, above in zip(rows[1:], cells, strict=False):
            row[j % len(row)] = above
    else:
        for row in rows:
            if j < len(row):
                moved = row[j] if kind == "column doubled" else row.pop(j)
                if kind != "column cut":
                    row.insert(to % (len(row) + 1), moved)
    return to_bytes(rows, delimiter)


def assert_refused_or_same(folder, name, expected, what):
    try:
        found = load_expression_data(folder)
    except DataError as error:
        line = str(error)
        assert name in line, f"{what}: {line}"
        assert line.isprintable()
        return
    assert found.checksum == expected.checksum, what
    assert_same(found, expected)
    if name != SUBTYPES_FILE:
        pd.testing.assert_series_equal(found.descriptions, expected.descriptions)
        pd.testing.assert_series_equal(found.subtypes, expected.subtypes)


LAYOUTS = {
    "published": {},
    "with calls": {
        TRAIN_FILE: published(TRAIN_PATIENTS, calls=True),
        TEST_FILE: published(TEST_PATIENTS, calls=True),
    },
    "without descriptions, trailing column": {
        TRAIN_FILE: published(TRAIN_PATIENTS, descriptions=None, trailing=True),
        TEST_FILE: published(TEST_PATIENTS, descriptions=None),
    },
    "tidy": {TRAIN_FILE: tidy(TRAIN_PATIENTS), TEST_FILE: tidy(TEST_PATIENTS)},
    "GCT": {TRAIN_FILE: gct(TRAIN_PATIENTS), TEST_FILE: gct(TEST_PATIENTS)},
}


@pytest.fixture(scope="module", params=LAYOUTS)
def undamaged(request, tmp_path_factory):
    """A folder of the small cohort in one layout, its tables, their delimiters, and its data."""
    folder = tmp_path_factory.mktemp("undamaged")
    tables = small_tables() | LAYOUTS[request.param]
    tabs = {TRAIN_FILE, TEST_FILE} if request.param == "GCT" else {}
    delimiters = {name: "\t" if name in tabs else "," for name in tables}
    for name, rows in tables.items():
        (folder / name).write_bytes(to_bytes(rows, delimiters[name]))
    return folder, tables, delimiters, load_expression_data(folder)


@given(
    name=st.sampled_from([TRAIN_FILE, TEST_FILE, LABELS_FILE, SUBTYPES_FILE]),
    kind=st.sampled_from(CORRUPTIONS),
    i=st.integers(0, 200),
    j=st.integers(0, 50),
    to=st.integers(0, 200),
    cell=WRONG_CELLS,
)
@settings(max_examples=150, **PROPERTY)
def test_a_corrupted_file_is_refused_by_name_or_changes_nothing(
    undamaged, name, kind, i, j, to, cell
):
    folder, tables, delimiters, expected = undamaged
    before = (folder / name).read_bytes()
    try:
        content = corrupted(tables[name], kind, i, j, to, cell, delimiters[name])
        (folder / name).write_bytes(content)
        what = f"{kind} at row {i}, column {j} (to {to}, {cell!r}) of {name}"
        assert_refused_or_same(folder, name, expected, what)
    finally:
        (folder / name).write_bytes(before)


@pytest.mark.parametrize("name", [TRAIN_FILE, TEST_FILE, LABELS_FILE, SUBTYPES_FILE])
@pytest.mark.parametrize("encoding", [{}, {"newline": "\r\n", "bom": True}, {"gz": True}], ids=str)
def test_a_file_cut_at_any_byte_is_refused_or_changes_nothing(small, tmp_path, name, encoding):
    folder = write_folder(tmp_path)
    content = to_bytes(small_tables()[name], **encoding)
    for length in [*range(0, len(content), 7), *range(len(content) - 40, len(content))]:
        (folder / name).write_bytes(content[:length])
        assert_refused_or_same(folder, name, small, f"{length} bytes of {len(content)}")


@given(
    name=st.sampled_from([TRAIN_FILE, TEST_FILE, LABELS_FILE, SUBTYPES_FILE]),
    position=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    gz=st.booleans(),
)
@settings(max_examples=100, **PROPERTY)
def test_no_overwritten_byte_ends_in_another_exception(tmp_path_factory, name, position, byte, gz):
    folder = write_folder(tmp_path_factory.getbasetemp() / "bytes")
    content = bytearray(to_bytes(small_tables()[name], gz=gz))
    content[position % len(content)] = byte
    (folder / name).write_bytes(content)
    try:
        load_expression_data(folder)
    except DataError as error:
        assert name in str(error)  # noqa: PT017


@given(content=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@settings(max_examples=60, **PROPERTY)
def test_any_bytes_in_the_place_of_a_file_are_refused(tmp_path_factory, content):
    folder = write_folder(tmp_path_factory.getbasetemp() / "any_bytes")
    for name in (TRAIN_FILE, LABELS_FILE):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            load_expression_data(folder)
        (folder / name).write_bytes(before)
