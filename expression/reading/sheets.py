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
import itertools
import re
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.errors import refusal
from expression.reading.files import clean, number, plain, read_bytes

DELIMITERS = "\t,;"
MISSING = {"", "NA", "na", "N/A", "n/a", "#N/A", "null", "NULL"}
MISSING |= {"NaN", "nan", "NAN", "-nan", "+nan"}
DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+([eE][+-]?\d+)?")
# pandas before 3.1 reads the last digit of long numbers wrongly unless told otherwise.
EXACT = {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}

# Column headers as `plain` writes them
ACCESSION_HEADER = "gene accession number"
DESCRIPTION_HEADERS = {"gene description", "description", "gene name", "gene symbol", "hugo symbol"}
PATIENT_HEADERS = {"patient", "patient id", "patientid", "sample", "sample id", "sampleid"}
PATIENT_HEADERS |= {"subject", "subject id", "subjectid", "id"}
CLASS_HEADERS = {"cancer", "class", "diagnosis", "disease", "group", "label", "phenotype", "type"}
# Numbers that say something of a gene: of featureCounts, of cBioPortal
ENTREZ_HEADER = "entrez gene id"
FEATURE_COUNTS_HEADERS = {"chr", "start", "end", "strand", "length"}
GENE_ANNOTATION = {ENTREZ_HEADER, *FEATURE_COUNTS_HEADERS}
NAME_HEADERS = {ACCESSION_HEADER, *PATIENT_HEADERS, *CLASS_HEADERS, *GENE_ANNOTATION}


@dataclass(frozen=True)
class Sheet:
    """The cells of one file. A column goes by its place in the file, from 0."""

    path: Path
    header: dict[int, str]
    text: dict[int, list[str]]  # columns of text, each cell in one line and one Unicode form
    numbers: pd.DataFrame  # the other columns; nan where a number is missing
    carefully: bool  # read cell by cell: the index of the numbers is the row in the file
    lead: int  # leading columns that hold no patient, where the format says so
    short: bool  # the header had a cell less than the rows
    ended: bool  # the last line ends with a line break

    @cached_property
    def words(self) -> set[int]:
        """The columns that hold no number."""
        return {j for j, cells in self.text.items() if is_text(cells)}

    @property
    def first(self) -> int:
        """The first column; 0 also where all columns are left out."""
        return min(self.header, default=0)

    def called(self, names: Collection[str]) -> set[int]:
        """Return the columns whose header, as `plain` writes it, is one of the names."""
        return {j for j, name in self.header.items() if plain(name) in names}

    def without_columns(self, columns: Iterable[int]) -> "Sheet":
        columns = set(columns)
        if not columns:
            return self
        return replace(
            self,
            header={j: name for j, name in self.header.items() if j not in columns},
            text={j: cells for j, cells in self.text.items() if j not in columns},
            numbers=self.numbers.drop(columns=columns.intersection(self.numbers)),
        )

    def with_rows(self, kept: list[bool]) -> "Sheet":
        text = {j: list(itertools.compress(cells, kept)) for j, cells in self.text.items()}
        return replace(self, text=text, numbers=self.numbers[kept])


class _Place(NamedTuple):
    """Where the table is in a file."""

    path: Path
    content: bytes  # from the header to the end of the table
    line: int  # the number of the header's line
    delimiter: str
    ended: bool  # the last line of the file ends with a line break
    annotated: int = 0  # rows of annotation below the header
    lead: int = 0
    shape: list[str] | None = None


def is_text(cells: list[str]) -> bool:
    """Return whether cells hold no number, not even with a decimal comma."""
    suspects = (cell for cell in cells if cell[:1] in "+-.,0123456789")
    return all(np.isnan(number(c)) and not DECIMAL_COMMA.fullmatch(c) for c in suspects)


def read_sheet(path: Path, patients: Collection[str] | None = None) -> Sheet:
    """Return the cells of a table: all as text, or numbers as such where `patients` are given.

    What may be the name of a patient tells numbers from names that look like numbers.
    """
    place = _locate(path, read_bytes(path))
    fast = None if patients is None else _read_fast(place, patients)
    header, text, numbers, short = fast or _read_carefully(place, patients)
    shape = [str(len(numbers)), str(len(header) - place.lead)]
    if place.shape is not None and shape != place.shape:
        rule = "must have as many genes and patients as its second line says"
        found = f"found ({', '.join(shape)}) for {' '.join(place.shape)!r}"
        raise refusal(path, rule, found, "export it again")
    names, carefully = dict(enumerate(header)), fast is None
    sheet = Sheet(path, names, text, numbers, carefully, place.lead, short, place.ended)
    return sheet.without_columns(j for j in text if not header[j] and not any(text[j]))


def _locate(path: Path, content: bytes) -> _Place:
    """Find the table below its comments, and what they say of it."""
    comments, start, text = [], 0, ""  # of a comment: text, start, line
    lines = re.finditer(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)", content)
    for line, match in enumerate(lines, start=1):
        text, start = match[0].decode().strip(" \r\n"), match.start()
        gct = len(comments) == 1 and comments[0][0].startswith("#1.")  # its size follows
        if text and not gct and not text.startswith(("#", "!")):
            break
        comments += [(text, start, line)] if text else []
    # R's write.table leaves a header of one cell for a table of two columns
    below = next(lines, None)
    among = text if set(text) & set(DELIMITERS) or not below else below[0].decode()
    delimiter, ended = max(DELIMITERS, key=among.count), content.endswith((b"\n", b"\r"))
    if text and delimiter not in among:
        rule, advice = "cells must be separated by comma, semicolon or tab", "export it so"
        raise refusal(path, rule, f"found {text[:40]!r}", advice)
    version = comments[0][0].rstrip(DELIMITERS) if comments else ""
    if re.fullmatch(r"#\d\.\d", version):
        sizes = re.split(r"[\s,;]+", comments[1][0].rstrip(DELIMITERS)) if comments[1:] else []
        if version not in ("#1.2", "#1.3") or len(sizes) not in (2, 4) or len(comments) > 2:
            found = f"it begins {version!r}"
            raise refusal(path, "a GCT file must be version 1.2 or 1.3", found, "export it again")
        lead, annotated = [int(size) if size.isdecimal() else 0 for size in sizes[2:]] or (1, 0)
        return _Place(path, content[start:], line, delimiter, ended, annotated, 1 + lead, sizes[:2])
    end = len(content)
    if any(comment.startswith("!series_matrix_table_begin") for comment, _, _ in comments):
        end = content.rfind(b"!series_matrix_table_end")
        if end < 0:
            rule, found = "a series matrix must be whole", "it has no !series_matrix_table_end"
            raise refusal(path, rule, found, "download it again")
    cells = text.count(delimiter)
    wide = [c for c in comments if c[0].startswith("#") and c[0].count(delimiter) == cells > 0]
    if len(wide) == 1:  # no comment, but the header itself: "#gene"
        _, start, line = wide[0]
    return _Place(path, content[start:end], line, delimiter, ended)


# What the two readers return: the header, the columns of text, those of numbers, and whether the
# header had a cell less than the rows
_Cells = tuple[list[str], dict[int, list[str]], pd.DataFrame, bool]


def _read_fast(place: _Place, patients: Collection[str]) -> _Cells | None:
    """Read a table with pandas' C parser; None wherever it may have forgiven something."""
    if b"\0" in place.content or not _well_quoted(place):
        return None
    buffer = io.BytesIO(place.content)
    above = b"".join(buffer.readline() for _ in range(1 + place.annotated))
    try:
        header, rows, short = _parse(place._replace(content=above + buffer.readline()))
        (first,) = rows.values()
        text, across = _name_columns(header, first, patients)
        # One set for all columns is faster, but empties text, too.
        missing = {j: MISSING for j in range(len(header)) if j not in text} if across else MISSING
        buffer.seek(len(above))
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
    longest = csv.field_size_limit()
    if any(
        set(map(type, cells)) != {str} or max(map(len, cells)) > longest for cells in words.values()
    ):
        return None
    if not all(dtype.kind in "iuf" for dtype in frame.dtypes):
        return None
    words = {j: list(map(clean, column)) for j, column in words.items()}
    numbers = frame.to_numpy(float, copy=True)
    numbers += 0.0  # -0 becomes 0
    last = len(header) - 1  # of a short row the last cell is missing
    short_row = "" in words[last] if last in words else np.isnan(numbers[:, -1]).any()
    if short_row or np.isinf(numbers).any() or any(header[j] in words[j] for j in words):
        return None
    numbers = pd.DataFrame(numbers, columns=frame.columns, copy=False)
    return header, words, numbers, short


def _well_quoted(place: _Place) -> bool:
    """Return whether every quote opens or closes a whole cell, or is doubled within one."""
    if b'"' not in place.content:
        return True
    delimiter = place.delimiter.encode()
    # Before the first quote (the look-behind spans it, too) and after the last one there is a
    # delimiter, a line break or nothing.
    cell = rb'"(?<![^%b\r\n]")[^"]*(?:""[^"]*)*"(?![^%b\r\n])' % (delimiter, delimiter)
    quotes = sum(found[0].count(b'"') for found in re.finditer(cell, place.content))
    return quotes == place.content.count(b'"')


def _read_carefully(place: _Place, patients: Collection[str] | None) -> _Cells:
    """Read a table cell by cell, or say where it is damaged."""
    header, rows, short = _parse(place)
    text = set(range(len(header)))
    if patients is not None:
        text, _ = _name_columns(header, next(iter(rows.values())), patients)
    words, numbers = {}, {}
    for j, cells in enumerate(zip(*rows.values(), strict=True)):
        values = [] if j in text else list(map(number, cells))
        if values and all(cells[i] in MISSING for i in np.flatnonzero(np.isnan(values))):
            numbers[j] = values
        else:
            words[j] = list(map(clean, cells))
    numbers = pd.DataFrame(numbers, index=list(rows), dtype=float)
    return header, words, numbers, short


def _parse(place: _Place) -> tuple[list[str], dict[int, list[str]], bool]:
    """Return the header, the other rows by line, and whether the header had a cell less."""
    path, lines = place.path, io.StringIO(place.content.decode(), newline="")
    try:
        reader = enumerate(csv.reader(lines, delimiter=place.delimiter, strict=True), place.line)
        rows = [(n, [c.strip() for c in row]) for n, row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise refusal(path, "must be a table", error, "check its quotes, export it again") from None
    header, rows = rows[0][1] if rows else [], dict(rows[1 + place.annotated :])
    longer = len(header) + 1 == len(next(iter(rows.values()), [])) and not place.lead
    short = longer and any(row[-1] for row in rows.values())
    header = ["", *header] if short else header  # as R's write.table leaves it
    if longer and not short:  # each row ends with a delimiter
        width = len(header)
        rows = {n: row[:width] if len(row) == width + 1 else row for n, row in rows.items()}
    if not rows or len(header) < 2:
        found = f"found {len(rows) + bool(header)} rows of {len(header)} columns"
        raise refusal(path, "must be a table with a header", found, "check the export")
    for line, row in rows.items():
        if len(row) != len(header):
            rule = f"every row must have {len(header)} cells like the header"
            raise refusal(path, rule, f"row {line} has {len(row)}", "check the export")
    if header in rows.values():
        raise refusal(path, "must have one header", "it occurs again", "remove the copy")
    return list(map(clean, header)), rows, short


def _name_columns(
    header: list[str], first: list[str], patients: Collection[str]
) -> tuple[set[int], bool]:
    """Return the columns that hold no numbers, or names; and whether the patients are columns."""
    others = {j for j, name in enumerate(header) if name not in patients}
    if 2 * len(others) <= len(header):
        return others, True
    names = {j for j, cell in enumerate(first) if np.isnan(number(cell)) or cell in patients}
    names |= {j for j, name in enumerate(header) if plain(name) in NAME_HEADERS}
    return names | {0}, False
