"""Reading: every way to write a table loads to the same data; nothing damaged as other data."""

import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_cohort import (
    CLASSES,
    DESCRIPTIONS,
    GENES,
    LABELS,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    assert_same,
    gct,
    published,
    replaced,
    small_tables,
    tidy,
    to_bytes,
    write,
    write_folder,
)

from expression import sheets
from expression.data import (
    LABELS_FILE,
    SUBTYPES_FILE,
    TEST_FILE,
    TRAIN_FILE,
    load_expression_data,
)
from expression.files import DataError

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


@pytest.mark.parametrize("name", [TRAIN_FILE, LABELS_FILE])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_with_a_mark_loads_to_the_same_data(small, tmp_path, name, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    folder = write_folder(tmp_path)
    text = mark + to_bytes(small_tables()[name], "\t").decode()
    (folder / name).write_bytes(text.encode(encoding))
    assert_same(load_expression_data(folder), small)


def test_a_workbook_loads_to_the_same_data(small, tmp_path):
    pytest.importorskip("openpyxl")
    folder = write_folder(tmp_path)
    for name, rows in small_tables().items():
        cells = [[float(c) if re.fullmatch(r"-?\d+\.?\d*", c) else c for c in row] for row in rows]
        with pd.ExcelWriter(tmp_path / "book.xlsx", engine="openpyxl") as book:
            pd.DataFrame(cells).to_excel(book, header=False, index=False)
        (tmp_path / "book.xlsx").rename(folder / name)
    assert_same(load_expression_data(folder), small)


def test_a_workbook_is_refused_with_what_to_install_or_to_save(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    folder = write_folder(tmp_path)
    with zipfile.ZipFile(folder / TRAIN_FILE, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(DataError, match=r"openpyxl is not installed; run 'pip install openpyxl'"):
        load_expression_data(folder)
    (folder / TRAIN_FILE).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"train.csv: an .xlsx file must be readable - .*as CSV"):
        load_expression_data(folder)


@pytest.mark.parametrize(
    "rows", [published(TRAIN_PATIENTS), tidy(TRAIN_PATIENTS)], ids=["genes", "patients"]
)
def test_plain_tables_are_read_fast_and_to_the_last_digit(tmp_path, rows):
    long = ["0.1234567890123456789", "123456789.987654321", "5e-324", "-0", "1e22", ".5", "+7."]
    for i, cell in enumerate(long):
        rows = replaced(rows, 2 + i, 5, cell)
    path = write(tmp_path, "a.csv", rows)
    sheet = sheets.read_sheet(path, set(CLASSES), {"patient", "cancer"})
    assert sheet.lines is None
    found = sheet.numbers[1 : 1 + len(long), sheet.numeric.index(5)]
    np.testing.assert_array_equal(found, [float(cell) for cell in long])
    assert not np.signbit(found[3])


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
@settings(max_examples=50, **PROPERTY)
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


WRONG_CELLS = st.sampled_from(  # None: the first cell of the header
    [
        *("", " ", "x", "NA", "nan", "inf", "A", '"', "'", "=1+1", "1;2", "a\tb", "\x00", "1,5"),
        *(
            "#",
            "!",
            "True",
            "1e999",
            "٣",
            "0x10",
            "1_0",
            "call",
            "patient",
            "class",
            "Gene Description",
            None,
        ),
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
        row[j % len(row)] = rows[0][0] if cell is None else cell
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


def outcome(folder):
    try:
        return load_expression_data(folder)
    except DataError as error:
        return str(error)


def assert_refused_or_same(folder, name, expected, what):
    """And whether pandas' parser or the careful reader reads, the outcome is the same."""
    found = outcome(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "_read_fast", lambda *_: None)
        carefully = outcome(folder)
    if isinstance(found, str):
        assert carefully == found, what
        assert name in found, f"{what}: {found}"
        assert found.isprintable()
        return
    assert carefully.checksum == found.checksum, what
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
@settings(max_examples=80, **PROPERTY)
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
    for length in [*range(0, len(content), 31), *range(len(content) - 20, len(content))]:
        (folder / name).write_bytes(content[:length])
        assert_refused_or_same(folder, name, small, f"{length} bytes of {len(content)}")


@given(
    name=st.sampled_from([TRAIN_FILE, TEST_FILE, LABELS_FILE, SUBTYPES_FILE]),
    position=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    gz=st.booleans(),
)
@settings(max_examples=80, **PROPERTY)
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
@settings(max_examples=50, **PROPERTY)
def test_any_bytes_in_the_place_of_a_file_are_refused(tmp_path_factory, content):
    folder = write_folder(tmp_path_factory.getbasetemp() / "any_bytes")
    for name in (TRAIN_FILE, LABELS_FILE):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            load_expression_data(folder)
        (folder / name).write_bytes(before)


CELLS = ["1", "-2.5", "+3.", ".5", "1e5", "", "NA", "nan", "-nan", "inf", "True", " 4 ", "\t", "x"]
CELLS += [
    '"6"',
    '"a,b"',
    '"a""b"',
    'a"b',
    '"c"d',
    "0x1",
    "1_0",
    "-0",
    "\xe9",
    "1\0",
    "\xa07",
    "007",
]
CELLS += ["1e400", "12345678901234567890", "0.1234567890123456789", "p1", "g", "patient", "#", "٣"]


@given(
    rows=st.lists(st.lists(st.sampled_from(CELLS), min_size=2, max_size=4), min_size=2, max_size=5),
    plain=st.booleans(),
    delimiter=st.sampled_from(",;\t"),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)
@settings(max_examples=300, **PROPERTY)
def test_what_is_read_fast_is_what_is_read_carefully(rows, plain, delimiter, newline):
    if plain:  # mostly readable, but for one cell
        rows = [["g", "p1", "p2"], *([f"g{i}", f"{i}.5", row[0]] for i, row in enumerate(rows))]
    path, content = Path("a.csv"), "".join(delimiter.join(r) + newline for r in rows).encode()
    try:
        place = sheets._locate(path, content)
    except DataError:
        return
    fast = sheets._read_fast(path, content, place, {"p1", "p2"}, {"patient"})
    if fast is None:
        return
    carefully = sheets._read_carefully(path, content, place, {"p1", "p2"}, {"patient"})
    assert (fast.header, fast.text, fast.numeric) == (
        carefully.header,
        carefully.text,
        carefully.numeric,
    )
    np.testing.assert_array_equal(fast.numbers, carefully.numbers)
