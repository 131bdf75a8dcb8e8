"""Reading: every way to write a table loads to the same data; nothing damaged as other data."""

import csv
import io
import re
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expression.errors import DataError
from expression.reading import sheets
from expression.reading.load import load_expression_data
from small_cohort import (
    CLASSES,
    DESCRIPTIONS,
    GENES,
    LABELS,
    SMALL,
    SUBTYPE,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    assert_refused_or_same,
    assert_same,
    both,
    gct,
    load,
    outcome,
    published,
    refused,
    tidy,
    to_bytes,
    write,
    write_folder,
)

FILES = [TRAIN, TEST, LABELS, SUBTYPE]
ENCODINGS = {
    "old Mac": lambda rows: to_bytes(rows, newline="\r"),
    "UTF-16": lambda rows: to_bytes(rows, "\t").decode().encode("utf-16"),
    "UTF-16, big-endian": lambda rows: ("\ufeff" + to_bytes(rows).decode()).encode("utf-16-be"),
    "everything": lambda rows: to_bytes(rows, ";", "\r\n", bom=True, gz=True),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_encodings_load_to_the_same_data(small, tmp_path, encode):
    found = load(tmp_path, {name: encode(rows) for name, rows in SMALL.items()})
    assert_same(found, small)
    pd.testing.assert_series_equal(found.descriptions, small.descriptions)
    pd.testing.assert_series_equal(found.subtypes, small.subtypes)


def test_a_workbook_loads_to_the_same_data(small, tmp_path, monkeypatch):
    folder = write_folder(tmp_path)
    for name, rows in SMALL.items():
        cells = [[float(c) if re.fullmatch(r"-?\d+\.?\d*", c) else c for c in row] for row in rows]
        with pd.ExcelWriter(tmp_path / "book.xlsx", engine="openpyxl") as book:
            pd.DataFrame(cells).to_excel(book, header=False, index=False)
        (tmp_path / "book.xlsx").rename(folder / name)
    assert_same(load_expression_data(folder), small)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with refused("openpyxl is not installed; run 'pip install openpyxl'"):
        load_expression_data(folder)


def test_numbers_are_read_to_the_last_digit(tmp_path):
    long = ["0.1234567890123456789", "123456789.987654321", "5e-324", "-0", "1e22", ".5", "+7."]
    rows = [["g", "1", "2"], *([f"g{i}", cell, "1"] for i, cell in enumerate(long))]
    found = sheets.read_sheet(write(tmp_path, "a.csv", rows), {"1", "2"}).numbers[1]
    np.testing.assert_array_equal(found, [float(cell) for cell in long])
    assert not np.signbit(found[3])


def test_a_column_of_hardly_any_numbers_is_read_as_text(tmp_path):
    rows = [["g", "1", "2", "3"], ["a", "1", "inf", "True"], ["b", "low", "2", "False"]]
    sheet = sheets.read_sheet(write(tmp_path, "a.csv", rows), {"1", "2", "3"})
    assert sheet.text == {0: ["a", "b"], 1: ["1", "low"], 2: ["inf", "2"], 3: ["True", "False"]}


def test_the_row_of_a_wrong_cell_is_counted_as_in_the_file(small, tmp_path):
    """With lines above the header, blank lines, and line breaks within cells."""
    text = '# made by hand\n\n"gene\nname",1,2\n\na,1,2\n,,\n"b\nb",3,4\n \nc,5,x\n'
    sheet = sheets.read_sheet(write(tmp_path, "a.csv", text), {"1", "2"})
    assert sheet.text[0] == ["a", "b b", "c"]
    assert [sheet.row_in_file(row) for row in range(3)] == [5, 7, 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('g,1\na,1\n"b"c,2\n', "a quote in row 3 begins a cell but does not end it"),
        ('g,1\na,1\n "b,1",2\n', "a quote in row 3 begins a cell but does not end it"),
        ('g,1\na,1\n"b,2\n', "a quote in row 3 begins a cell but does not end it"),
        ("g,1,2\na,1,2\nb,1\n", "every row must have 3 cells like the header - row 3 has 2"),
        ("g,1,2\na,1,2\n\nb,1,2,3\n", "every row must have 3 cells .* row 4 has 4"),
        ("g,1,2\na,1,2\ng,1,2\n", "must have one header - it occurs again"),
    ],
)
def test_what_pandas_would_forgive_is_refused_with_its_row(tmp_path, text, message):
    with refused(message):
        sheets.read_sheet(write(tmp_path, "a.csv", text), {"1", "2"})


QUOTED = '"P1" "P 2"\n"a b, c" 1 -2.5\n"d" NA 4\n'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (QUOTED, ["a b, c", "d"]),
        (QUOTED.replace("\n", " \n"), ["a b, c", "d"]),
        (QUOTED.replace('"a b, c"', "a").replace('"P 2"', "P2").replace('"', ""), ["a", "d"]),
        ("  P1   P2  \na  1 -2.5 \n\n d NA    4\n", ["a", "d"]),
        ("# made by R\ngene P1 P2\na;b 1 -2.5\nd NA 4\n", ["a;b", "d"]),
    ],
    ids=["quoted", "blanks at the end", "bare", "aligned", "with a name above the names"],
)
def test_blanks_separate_cells_where_nothing_else_does(tmp_path, text, names):
    sheet = sheets.read_sheet(write(tmp_path, "a.txt", text), {"P1", "P2", "P 2"})
    assert list(sheet.header.values())[1:] == ["P1", "P 2" if '"P' in text else "P2"]
    assert sheet.text[0] == names
    np.testing.assert_array_equal(sheet.numbers, [[1, -2.5], [np.nan, 4]])
    assert sheet.row_in_file(1) == text.rstrip("\n").count("\n") + 1


def test_a_row_of_another_length_is_refused_where_blanks_separate_cells(tmp_path):
    with refused("every row must have 3 cells like the header - row 3 has 4"):
        sheets.read_sheet(write(tmp_path, "a.txt", "P1 P2\na 1 2\nb c 3 4\n"), {"P1", "P2"})


def test_a_quote_within_a_cell_is_a_character(tmp_path):
    sheet = sheets.read_sheet(write(tmp_path, "a.csv", 'g,1\n3" end,1\n5\' or 5",2\n'), {"1"})
    assert sheet.text[0] == ['3" end', "5' or 5\""]


def test_a_chosen_column_of_classes_is_text_though_it_holds_numbers(tmp_path):
    rows = [["p", "x", "Responder"], ["a", "1", "0"], ["b", "2", "01"]]
    options = sheets.ReadingOptions(class_column="responder")
    sheet = sheets.read_sheet(write(tmp_path, "a.csv", rows), set(), options)
    assert sheet.text == {0: ["a", "b"], 2: ["0", "01"]}


@pytest.mark.parametrize(
    "odd", ["a  b", " a", "a ", "a\tb", "a\nb", "a\x1fb", "Zoe\u0308", "a\u00a0b", "a b", "ab", ""]
)
def test_names_are_cleaned_whether_others_need_it_or_not(odd):
    for names in ([odd], ["x", odd, "y z"]):
        assert sheets.clean_all(names) == list(map(sheets.clean, names))


# --- properties -----------------------------------------------------------------------------------

PROPERTY = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@given(
    delimiter=st.sampled_from(",;\t"),
    newline=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    gz=st.booleans(),
    layout=st.sampled_from(["published", "tidy", "gct"]),
    calls=st.booleans(),
    described=st.booleans(),
    trailing=st.booleans(),
    order=st.permutations(TRAIN_PATIENTS),
    genes=st.permutations(GENES),
    labels=st.permutations(list(CLASSES.items())),
)
@settings(max_examples=30, **PROPERTY)
def test_any_way_of_writing_the_cohort_loads_to_the_same_data(
    small, tmp_path_factory, delimiter, newline, bom, gz, layout, calls, described, trailing,
    order, genes, labels,
):  # fmt: skip
    values = VALUES.loc[genes]
    if layout == "published":
        rows = published(order, values, DESCRIPTIONS if described else None, calls, trailing)
    elif layout == "tidy":
        rows = tidy(order, values)
    else:
        rows, delimiter, bom = gct(order, values), "\t", False
    content = to_bytes(rows, delimiter, newline, bom, gz)
    folder = tmp_path_factory.getbasetemp() / "any_way"
    found = load(folder, {TRAIN: content, LABELS: annotation(dict(labels))})
    assert_same(found, small)
    pd.testing.assert_series_equal(found.gene_names, small.gene_names)


WRONG_CELLS = ["", " ", "x", "NA", "nan", "inf", "A", '"', "'", "=1+1", "1;2", "a\tb", "1,5"]
WRONG_CELLS += ["#", "!", "True", "1e999", "٣", "0x10", "1_0", "call", "patient", "class"]
WRONG_CELLS += ["\x00", "Gene Description", None]  # None: the first cell of the header
CORRUPTIONS = ["cell", "header", "cell cut", "row cut", "row doubled", "row moved", "truncated"]
CORRUPTIONS += ["column cut", "column doubled", "column moved", "column shifted"]


def corrupted(rows, kind, i, j, to, cell) -> bytes:
    """Write rows after one corruption; i, j and `to` point anywhere in the table."""
    rows = [list(row) for row in rows]
    i, j = i % len(rows), j % len(rows[-1])
    if kind == "truncated":
        content = to_bytes(rows)
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
    return to_bytes(rows)


LAYOUTS = {
    "published": {},
    "with calls": both(VALUES, calls=True),
    "trailing column": both(VALUES, descriptions=None, trailing=True),
    "tidy": {TRAIN: tidy(TRAIN_PATIENTS), TEST: tidy(TEST_PATIENTS)},
    "GCT": {TRAIN: gct(TRAIN_PATIENTS), TEST: gct(TEST_PATIENTS)},
}


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory):
    """A folder of the small cohort in every layout, and its data."""
    folders = {layout: tmp_path_factory.mktemp("undamaged") for layout in LAYOUTS}
    return {layout: (folder, load(folder, LAYOUTS[layout])) for layout, folder in folders.items()}


@given(
    layout=st.sampled_from(list(LAYOUTS)),
    name=st.sampled_from(FILES),
    kind=st.sampled_from(CORRUPTIONS),
    i=st.integers(0, 200),
    j=st.integers(0, 50),
    to=st.integers(0, 200),
    cell=st.sampled_from(WRONG_CELLS),
)
@settings(max_examples=100, **PROPERTY)
def test_a_corrupted_file_is_refused_by_name_or_changes_nothing(
    undamaged, layout, name, kind, i, j, to, cell
):
    folder, expected = undamaged[layout]
    rows, before = (SMALL | LAYOUTS[layout])[name], (folder / name).read_bytes()
    try:
        write(folder, name, corrupted(rows, kind, i, j, to, cell))
        what = f"{kind} at row {i}, column {j} (to {to}, {cell!r}) of {name}, {layout}"
        assert_refused_or_same(folder, name, expected, what)
    finally:
        write(folder, name, before)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_byte_is_refused_or_changes_nothing(small, tmp_path, name):
    folder = write_folder(tmp_path)
    content = to_bytes(SMALL[name], newline="\r\n", bom=True)
    for length in [*range(0, len(content), 61), *range(len(content) - 12, len(content))]:
        write(folder, name, content[:length])
        assert_refused_or_same(folder, name, small, f"{length} bytes of {len(content)}")


@given(
    name=st.sampled_from(FILES),
    content=st.binary(max_size=400) | st.text(max_size=200).map(str.encode),
    position=st.integers(0, 10**6),
    gz=st.booleans(),
)
@settings(max_examples=40, **PROPERTY)
def test_any_bytes_are_read_or_refused_by_name(tmp_path_factory, name, content, position, gz):
    folder = tmp_path_factory.getbasetemp() / "bytes"
    with refused(name):
        load(folder, {name: content})
    damaged = bytearray(to_bytes(SMALL[name], gz=gz))
    damaged[position % len(damaged)] = content[0] if content else 0
    found = outcome(write_folder(folder, {name: bytes(damaged)}))
    assert not isinstance(found, str) or name in found


CELLS = ["1", "-2.5", "+3.", ".5", "1e5", "", "NA", "nan", "-nan", "inf", "True", " 4 ", "\t", "x"]
CELLS += ['"6"', '"a,b"', '"a""b"', 'a"b', '"c"d', '"a,"b', "0x1", "1_0", "-0", "\xe9", "1\0"]
CELLS += ["1e400", "12345678901234567890", "0.1234567890123456789", "p1", "g", "patient", "#", "٣"]
CELLS += ["\xa07", "007"]
FINE = [["g", "p1", "p2"], ["g1", "1", "2"]]


def cell_by_cell(content: str, delimiter: str) -> list[list[str]]:
    """Return the rows of a table by the csv module; those without a filled cell are none."""
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    return [row for row in rows if any(row)]


def as_number(cell: str) -> float:
    """Return the number that a cell is; nan for none, so that -0 is 0."""
    is_plain = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell, re.ASCII)
    return float(cell) + 0.0 if is_plain else np.nan


@given(
    rows=st.lists(st.lists(st.sampled_from(CELLS), min_size=2, max_size=4), min_size=2, max_size=5),
    plain=st.booleans(),
    delimiter=st.sampled_from(",;\t"),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)
@example(rows=[*FINE, ['"c"d', "1", "2"]], plain=False, delimiter=",", newline="\n")
@example(rows=[*FINE, [' "a,b"', "1"]], plain=False, delimiter=",", newline="\n")
@example(rows=[*FINE, ['a"b', "1", "-0"]], plain=False, delimiter=",", newline="\n")
@example(rows=[*FINE, ["g2", "1", "inf"]], plain=False, delimiter=",", newline="\n")
@example(rows=[*FINE, ["x" * 100_000, "1", "2"]], plain=False, delimiter=",", newline="\n")
@settings(max_examples=300, **PROPERTY)
def test_what_is_read_is_what_stands_in_the_cells(
    tmp_path_factory, rows, plain, delimiter, newline
):
    """Beside the csv module and `float`: where the reader answers, it answers the same."""
    if plain:  # mostly readable, but for one cell
        rows = [["g", "p1", "p2"], *([f"g{i}", f"{i}.5", row[0]] for i, row in enumerate(rows))]
    content = "".join(delimiter.join(row) + newline for row in rows)
    path = write(tmp_path_factory.getbasetemp(), "cells.csv", content)
    try:
        sheet = sheets.read_sheet(path, {"p1", "p2"})
    except DataError:
        return

    others = set(sheets.DELIMITERS) - {delimiter}
    if others.intersection(content) or content.lstrip().startswith("#"):
        return  # another may separate the cells, or the first line is a comment
    header, *cells = cell_by_cell(content, delimiter)
    if sheet.short:
        header.insert(0, "")
    assert sheet.header.items() <= dict(enumerate(header)).items()
    assert len(sheet.numbers) == len(cells)
    for row in cells:
        assert len(row) == len(header) or (len(row) == len(header) + 1 and not row[-1])
    for j, column in sheet.text.items():
        assert column == [row[j] for row in cells]
    for j in sheet.numbers:
        expected = [as_number(row[j]) for row in cells]
        np.testing.assert_array_equal(sheet.numbers[j], expected)
        np.testing.assert_array_equal(np.signbit(sheet.numbers[j]), np.array(expected) < 0)
        missing = [row[j] for row, value in zip(cells, expected, strict=True) if np.isnan(value)]
        assert sheets.MISSING.issuperset(missing)
