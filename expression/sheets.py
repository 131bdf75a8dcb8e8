"""Read one file as a sheet: a header and columns, of numbers or of text.

Comma, semicolon or tab separate the cells. Lines above the table that begin with # or ! are
comments (featureCounts, cBioPortal, GEO series matrices); a GCT file says its size there, and GCT
1.3 has rows of patient annotation below the header. A header may be one cell short, as R's
write.table leaves it. What the columns mean is decided in `tables.py`.

A damaged file must be refused, by name, and never be read as other numbers. pandas' C parser reads
fast, but forgives short rows and wrong quotes; so a file in which it may have forgiven anything is
read again by `_read_carefully`, whose word is final. Where both answer, they agree.

Formats: https://www.genepattern.org/file-formats-guide (GCT 1.2), for GCT 1.3
https://clue.io/connectopedia/gct_format; https://docs.cbioportal.org/file-formats
"""

import csv
import io
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.files import clean, number, plain, read_bytes, refusal

DELIMITERS = ",;\t"
MISSING = (
    "",
    "NA",
    "na",
    "N/A",
    "n/a",
    "#N/A",
    "NaN",
    "nan",
    "NAN",
    "null",
    "NULL",
    "-nan",
    "+nan",
)
# pandas before 3.1 reads the last digit of long numbers wrongly unless told otherwise.
EXACT = {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}


class Sheet(NamedTuple):
    """The cells of one file, by column: as text, or as numbers where it was read fast."""

    path: Path
    header: list[str]
    text: dict[int, list[str]]  # the cells of a column, each in one line and one Unicode form
    numbers: np.ndarray  # rows x those columns that are no text; nan where one is missing
    numeric: list[int]  # which columns these are
    lines: list[int] | None  # the number of each row in the file; None when it was read fast
    lead: int = 0  # leading columns that hold no patient, where the format says so
    short: bool = False  # the header had a cell less than the rows
    ended: bool = True  # the last line ends with a line break

    def without_columns(self, columns: Collection[int]) -> "Sheet":
        if not columns:
            return self
        new = {j: i for i, j in enumerate(k for k in range(len(self.header)) if k not in columns)}
        kept = [i for i, j in enumerate(self.numeric) if j in new]
        return self._replace(
            header=[self.header[j] for j in new],
            text={new[j]: cells for j, cells in self.text.items() if j in new},
            numbers=self.numbers[:, kept],
            numeric=[new[self.numeric[i]] for i in kept],
            lead=sum(j < self.lead for j in new),
        )

    def with_rows(self, kept: list[int]) -> "Sheet":
        return self._replace(
            text={j: [cells[i] for i in kept] for j, cells in self.text.items()},
            numbers=self.numbers[kept],
            lines=self.lines and [self.lines[i] for i in kept],
        )


class _Comment(NamedTuple):
    text: str
    start: int  # in the bytes of the file
    line: int


class _Place(NamedTuple):
    """Where the table is in the bytes of a file."""

    start: int
    end: int
    line: int  # the number of the header's line
    delimiter: str
    annotated: int = 0  # rows of annotation below the header
    lead: int = 0
    shape: list[str] | None = None


def read_sheet(
    path: Path, patients: Collection[str] | None = None, headers: Collection[str] = ()
) -> Sheet:
    """Return the cells of a table: all as text, or numbers as such where `patients` are given.

    What may be the name of a patient, or the header of a column of names, tells numbers from
    names that look like numbers; no more than how fast a file is read depends on it.
    """
    content = read_bytes(path)
    place = _locate(path, content)
    sheet = None
    if patients is not None:
        sheet = _read_fast(path, content, place, patients, headers)
    if sheet is None:
        sheet = _read_carefully(path, content, place, patients, headers)
    return sheet._replace(ended=content.endswith((b"\n", b"\r")))


def _locate(path: Path, content: bytes) -> _Place:
    """Find the table below its comments, and what they say of it."""
    comments, start, line, text = [], 0, 1, ""
    for match in re.finditer(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)", content):
        text, start = match[0].decode().strip(" \r\n"), match.start()
        gct = len(comments) == 1 and comments[0].text.startswith("#1.")  # its size follows
        if text and not gct and not text.startswith(("#", "!")):
            break
        comments += [_Comment(text, start, line)] if text else []
        line += 1
    delimiter = max(DELIMITERS, key=text.count)
    version = comments[0].text.rstrip(DELIMITERS) if comments else ""
    if re.fullmatch(r"#\d\.\d", version):
        sizes = re.split(r"[\s,;]+", comments[1].text.rstrip(DELIMITERS)) if comments[1:] else []
        if version not in ("#1.2", "#1.3") or len(sizes) not in (2, 4) or len(comments) > 2:
            found = f"it begins {version!r}"
            raise refusal(path, "a GCT file must be version 1.2 or 1.3", found, "export it again")
        more = [int(size) if size.isdecimal() else 0 for size in sizes[2:]]
        lead, annotated = (1 + more[0], more[1]) if more else (2, 0)
        return _Place(start, len(content), line, delimiter, annotated, lead, sizes[:2])
    end = len(content)
    if any(comment.text.startswith("!series_matrix_table_begin") for comment in comments):
        end = content.rfind(b"!series_matrix_table_end")
        if end < 0:
            rule, found = "a series matrix must be whole", "it has no !series_matrix_table_end"
            raise refusal(path, rule, found, "download it again")
    cells = text.count(delimiter)
    wide = [c for c in comments if c.text.startswith("#") and c.text.count(delimiter) == cells > 0]
    if len(wide) == 1:  # no comment, but the header itself: "#gene"
        start, line = wide[0].start, wide[0].line
    return _Place(start, end, line, delimiter)


def _read_fast(
    path: Path, content: bytes, place: _Place, patients: Collection[str], headers: Collection[str]
) -> Sheet | None:
    """Read a table with pandas' C parser; None wherever it may have forgiven something."""
    buffer = io.BytesIO(content if place.end == len(content) else content[: place.end])
    buffer.seek(place.start)
    top = buffer.readline()
    for _ in range(place.annotated):
        buffer.readline()
    body = buffer.tell()
    first = buffer.readline()
    buffer.seek(body)
    lines = top + first
    if (
        b"\r" in lines.replace(b"\r\n", b"")
        or b"\0" in content
        or not _well_quoted(content, place.delimiter)
    ):
        return None
    try:
        reader = csv.reader([top.decode(), first.decode()], delimiter=place.delimiter)
        header, cells = ([cell.strip() for cell in row] for row in reader)
    except (ValueError, csv.Error):  # a quoted cell runs over the line
        return None
    header, short = _complete(header, len(cells), place)
    if len(header) != len(cells) or len(cells) < 2 or not any(header):
        return None
    text, named = _name_columns(header, cells, patients, headers)
    missing = {j: MISSING for j in range(len(cells)) if j not in text} if named else MISSING
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.DtypeWarning)
            frame = pd.read_csv(
                buffer,
                sep=place.delimiter,
                header=None,
                dtype=dict.fromkeys(text, object),
                keep_default_na=False,
                na_values=missing,
                **EXACT,
            )
    except (ValueError, OverflowError, pd.errors.DtypeWarning):
        return None
    if frame.shape[1] != len(header):
        return None
    words = {j: frame.pop(j).tolist() for j in sorted(text)}
    if not all(dtype.kind in "iuf" for dtype in frame.dtypes):
        return None
    numeric, numbers = list(frame.columns), frame.to_numpy(float, copy=True)
    numbers += 0.0  # -0 becomes 0
    end = len(header) - 1  # its last cell is missing where a row is short
    if (np.isnan(numbers[:, -1]).any() if end in numeric else "" in words[end]) or (
        np.isinf(numbers).any()
        or not all(isinstance(c, str) for cells in words.values() for c in cells)
    ):
        return None
    for j, cells in words.items():
        words[j] = [clean(cell) for cell in cells]
        if clean(header[j]) in words[j] or max(map(len, cells)) > csv.field_size_limit():
            return None
    return _finish(Sheet(path, header, words, numbers, numeric, None, place.lead, short), place)


def _name_columns(
    header: list[str], first: list[str], patients: Collection[str], headers: Collection[str]
) -> tuple[set[int], bool]:
    """Return the columns that hold no numbers or names, and whether the patients are columns."""
    names = [clean(name) in patients for name in header]
    named = 2 * sum(names) >= len(header)
    text = {j for j, cell in enumerate(first) if np.isnan(number(cell))}
    text |= {j for j, name in enumerate(names) if named and not name}
    text |= {j for j, cell in enumerate(first) if not named and (j == 0 or cell in patients)}
    text |= {j for j, name in enumerate(header) if plain(name) in headers and not names[j]}
    return text, named


def _well_quoted(content: bytes, delimiter: str) -> bool:
    """Return whether every quote opens or closes a cell, or is doubled within one."""
    quotes = 0
    for match in re.finditer(rb'"[^"]*(?:""[^"]*)*"', content):
        around = content[max(match.start() - 1, 0) : match.start()]
        around += content[match.end() : match.end() + 1]
        if around.strip(delimiter.encode() + b"\r\n"):
            return False
        quotes += match[0].count(b'"')
    return quotes == content.count(b'"')


def _read_carefully(
    path: Path,
    content: bytes,
    place: _Place,
    patients: Collection[str] | None,
    headers: Collection[str],
) -> Sheet:
    """Read a table cell by cell, or say where it is damaged."""
    text = content[place.start : place.end].decode()
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=place.delimiter, strict=True)
        numbered = enumerate(reader, start=place.line)
        rows = {n: [c.strip() for c in row] for n, row in numbered if any(map(str.strip, row))}
    except csv.Error as error:
        raise refusal(path, "must be a table", error, "check its quotes, export it again") from None
    numbers = list(rows)
    header = rows.pop(numbers[0]) if rows else []
    for number_ in numbers[1 : 1 + place.annotated]:
        del rows[number_]
    header, short = _complete(header, len(next(iter(rows.values()), [])), place)
    if not rows or len(header) < 2:
        found = f"found {len(rows) + bool(header)} rows of {len(header)} columns"
        raise refusal(path, "must be a table with a header", found, "check the export")
    for line, row in rows.items():
        if len(row) != len(header):
            rule = f"every row must have {len(header)} cells like the header"
            raise refusal(path, rule, f"row {line} has {len(row)}", "check the export")
    if header in rows.values():
        raise refusal(path, "must have one header", "it occurs again", "remove the copy")
    columns, numeric, numbers = list(zip(*rows.values(), strict=True)), [], []
    text = set(range(len(header)))
    if patients is not None:
        text, _ = _name_columns(header, [cells[0] for cells in columns], patients, headers)
    for j in sorted(set(range(len(header))) - text):
        values = np.array(list(map(number, columns[j])))
        if all(columns[j][i] in MISSING for i in np.flatnonzero(np.isnan(values))):
            numeric, numbers = [*numeric, j], [*numbers, values + 0.0]
    numbers = np.column_stack(numbers) if numbers else np.empty((len(rows), 0))
    words = {j: list(map(clean, columns[j])) for j in range(len(header)) if j not in numeric}
    lines = list(rows)
    return _finish(Sheet(path, header, words, numbers, numeric, lines, place.lead, short), place)


def _complete(header: list[str], width: int, place: _Place) -> tuple[list[str], bool]:
    """Name the column of row names where R's write.table left it nameless."""
    short = len(header) + 1 == width > 2 and not place.lead
    return ["", *header] if short else header, short


def _finish(sheet: Sheet, place: _Place) -> Sheet:
    """Leave out empty columns, and hold a GCT file to its size."""
    shape = [str(len(sheet.numbers)), str(len(sheet.header) - place.lead)]
    if place.shape is not None and shape != place.shape:
        rule = "must have as many genes and patients as its second line says"
        found = f"found ({', '.join(shape)}) for {' '.join(place.shape)!r}"
        raise refusal(sheet.path, rule, found, "export it again")
    return sheet._replace(header=list(map(clean, sheet.header))).without_columns(
        {j for j, cells in sheet.text.items() if not sheet.header[j] and not any(cells)}
    )
