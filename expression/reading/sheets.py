"""Read one file as a sheet: content in; a header, and columns of numbers or of text, out.

Content decides how a file is read, never its name; what it is packed in: see `containers.py`. Text
is UTF-8 or UTF-16. Tab, comma, semicolon or, as R's write.table leaves it, blanks separate the
cells. Lines above the table that begin with #, ! or ^ are comments (featureCounts, cBioPortal,
GEO: see `geo.py`, as they may hold a sample sheet); a GCT file says its size there, and GCT 1.3
has rows of patient annotation below the header, Orange two lines on its columns (`orange.py`). A
header may be one cell short, as R's write.table leaves it. What the columns mean is decided in
`tables.py`.

A damaged file must be refused, by name, and never be read as other numbers. pandas' C parser reads
fast, but forgives short rows and wrong quotes: so both are looked for before it reads.

Formats: https://www.genepattern.org/file-formats-guide (GCT 1.2), for GCT 1.3
https://clue.io/connectopedia/gct_format; https://docs.cbioportal.org/file-formats
"""

import csv
import io
import itertools
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.errors import MAX_NAME_LENGTH, DataError, refusal, shortlist
from expression.reading import geo, orange
from expression.reading.containers import (
    HDF5,
    read_anndata_samples,
    read_content,
    read_unpacked,
    unreadable,
)

DELIMITERS = "\t,;"
NUMBER_CHARACTERS = frozenset("0123456789+-.eE")
MISSING = frozenset(
    ["NA", "na", "N/A", "n/a", "#N/A", "null", "NULL", "NaN", "nan", "NAN", "-nan", "+nan"],
) | {""}
UNCLEAN = ("  ", " \n", "\n ", *"\t\r\v\f\x1c\x1d\x1e\x1f")  # of names, a line each
# Byte order marks aside, a line above the table: there GEO's files tell of the patients
COMMENTED = re.compile(rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff\0)?\s*[#!^]")
DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+([eE][+-]?\d+)?")
# pandas before 3.1 reads the last digit of long numbers wrongly unless told otherwise.
FLOAT_PRECISION = None if pd.__version__ >= "3.1" else "round_trip"

# Column headers as `plain` writes them
ACCESSION_HEADER = "gene accession number"
DESCRIPTION_HEADERS = {"gene description", "description", "gene title", "definition"}
SYMBOL_HEADERS = {
    "symbol",
    "symbols",
    "gene symbol",
    "gene symbols",
    "genesymbol",
    "hugo symbol",
    "hgnc symbol",
    "hgnc",
    "approved symbol",
    "official symbol",
    "official gene symbol",
    "external gene name",
    "external gene id",
    "gene short name",
    "feature name",
    "ilmn gene",
    "mgi symbol",
    "rgd symbol",
}
# That hold symbols, too, where no column is called by one of the above
OTHER_SYMBOL_HEADERS = ("gene name", "gene names", "genename", "gene", "genes", "identifier")
GENE_HEADERS = {ACCESSION_HEADER, "gene name", *DESCRIPTION_HEADERS, *SYMBOL_HEADERS}
PATIENT_HEADERS = {
    "patient",
    "patient id",
    "patientid",
    "sample",
    "sample id",
    "sampleid",
    "subject",
    "subject id",
    "subjectid",
    "id",
}
CLASS_HEADERS = {"cancer", "class", "diagnosis", "disease", "group", "label", "phenotype", "type"}
# Numbers that say something of a gene: of featureCounts, of cBioPortal
ENTREZ_HEADER = "entrez gene id"
FEATURE_COUNTS_HEADERS = {"chr", "start", "end", "strand", "length"}
GENE_ANNOTATION = {ENTREZ_HEADER, *FEATURE_COUNTS_HEADERS}
NAME_HEADERS = {ACCESSION_HEADER, *PATIENT_HEADERS, *CLASS_HEADERS, *GENE_ANNOTATION}


# --- names and numbers ----------------------------------------------------------------------------


def clean(name: str) -> str:
    """Return a name in one line and one Unicode form."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return " ".join(name.split())


def clean_all(names: list[str]) -> list[str]:
    """Return names as `clean` writes them.

    Nearly all columns are clean as they stand: to look first takes a tenth off the loading of
    300 x 20,000, where names weigh most.
    """
    lines = "\n".join(["", *names, ""])
    is_clean = lines.count("\n") == len(names) + 1 and not any(sign in lines for sign in UNCLEAN)
    if is_clean and lines.isascii():
        return names
    return list(map(clean, names))


def plain(header: str) -> str:
    """Return a column header as headers are compared."""
    return re.sub(r"[\W_]+", " ", header).strip().casefold()


def number(cell: str) -> float:
    """Return a plain decimal number; nan for everything else that `float` takes."""
    try:
        value = float(cell) if NUMBER_CHARACTERS.issuperset(cell) else np.nan
    except ValueError:
        return np.nan
    return value + 0.0 if abs(value) < np.inf else np.nan  # -0 becomes 0


def is_value(cell: str) -> bool:
    """Return whether a cell holds a number, or says that it is missing."""
    return cell in MISSING or not np.isnan(number(cell))


def is_text(cells: list[str]) -> bool:
    """Return whether cells hold no number, not even with a decimal comma."""
    suspects = (cell for cell in cells if cell[:1] in "+-.,0123456789")
    return all(np.isnan(number(c)) and not DECIMAL_COMMA.fullmatch(c) for c in suspects)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern fits, in which * and ? stand for others; brackets are in names."""
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)


def check_names(where: object, kind: str, names: Iterable[str]) -> None:
    """Raise unless every name is there, can be printed, and occurs once."""
    counts = Counter(names)
    if not counts or "" in counts:
        advice = "name them or remove them"
        if kind != "class":
            advice += " (a column without a name, as pandas' index: --drop '')"
        nameless = f"{counts[''] or 'all'} have none"
        raise refusal(where, f"every {kind} must have a name", nameless, advice)

    if doubled := [name for name, count in counts.items() if count > 1]:
        raise refusal(
            where,
            f"every {kind} must occur once",
            f"found {shortlist(doubled)} more than once",
            "keep one of each, or leave all out with --drop NAME",
        )

    longest = np.inf
    rule = f"every {kind} must be printable"
    if kind != "gene":
        longest = MAX_NAME_LENGTH
        rule += f" and have at most {MAX_NAME_LENGTH} characters"
    if odd := [name for name in counts if not name.isprintable() or len(name) > longest]:
        raise refusal(where, rule, f"found {shortlist(odd)}", "rename it")


def check_last(path: Path, ended: bool, values: list[str]) -> None:
    """Raise when a file may have ended within the last value."""
    *others, last = values
    longer = any(other.startswith(last) and other != last for other in others)
    if not ended and (longer or last not in others):
        raise cut_off(path, f"it ends in {last!r}")


def cut_off(path: Path, found: str) -> DataError:
    """Return the refusal of a file that may have ended within its last cell."""
    advice = "copy it again, or if it is whole, end it with a line break"
    return refusal(path, "must end with a line break", found, advice)


# --- what a file becomes --------------------------------------------------------------------------


class ReadingOptions(NamedTuple):
    """What the user decided where files can be read in more than one way."""

    class_column: str | None = None
    batch_column: str | None = None
    group_column: str | None = None
    subtype_column: str | None = None
    classes: Collection[str] = ()  # some of several
    drop: Collection[str] = ()  # columns and rows that are left out; * stands for anything
    keep: Collection[str] = ()  # genes, though their names look otherwise
    duplicates: str = "refuse"  # or what of each patient stands for a gene: mean, max, first

    @property
    def named_columns(self) -> dict[str, str]:
        """The columns of a sample sheet besides that of classes, by kind (`samples.KINDS`)."""
        columns = {
            "batch": self.batch_column,
            "group": self.group_column,
            "subtype": self.subtype_column,
        }
        return {kind: name for kind, name in columns.items() if name is not None}

    def leaves_out(self, name: str) -> bool:
        return matches(name, self.drop)


NOTHING_DECIDED = ReadingOptions()


@dataclass(frozen=True)
class Sheet:
    """The cells of one file. A column goes by its place in the file, from 0."""

    path: Path
    header: dict[int, str]
    text: dict[int, list[str]]  # columns of text, each cell in one line and one Unicode form
    numbers: pd.DataFrame  # the other columns, nan where one is missing; rows by their order
    lead: int  # leading columns that hold no patient, where the format says so
    short: bool  # the header had a cell less than the rows
    ended: bool  # the last line ends with a line break
    class_column: str | None = None  # where the format says so
    patient_column: int | None = None

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

    def without(self, options: ReadingOptions) -> "Sheet":
        """Return the sheet without the columns that the user leaves out."""
        return self.without_columns(
            j for j, name in self.header.items() if options.leaves_out(name)
        )

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

    def row_in_file(self, row: int) -> int:
        """Return the number of a row in the file, for a message: so it is read again for it."""
        content = read_table(self.path)
        if isinstance(content, pd.DataFrame):
            return 1 + row
        place = _locate(self.path, content)
        rows = _rows_below(place, _remove_quoted_cells(place), _read_head(place).above)
        return [row_number for row_number, _ in rows][self.numbers.index[row]]


def read_sheet(
    path: Path,
    patients: Collection[str] | None = None,
    options: ReadingOptions = NOTHING_DECIDED,
) -> Sheet:
    """Return the cells of a table: all as text, or numbers as such where `patients` are given.

    What may be the name of a patient tells numbers from names that look like numbers. DataError
    when a cell stands between wrong quotes, a row has another length than the header, or the
    header occurs again.
    """
    content = read_table(path)
    if isinstance(content, pd.DataFrame):
        return _sheet_of_frame(path, content, patients, options)
    place = _locate(path, content)
    bare = _remove_quoted_cells(place)
    head = _read_head(place)
    _check_lengths(place, bare, head)
    short = len(head.first) > len(head.header) and not _ends_with_delimiters(place, head)

    header = ["", *head.header] if short else head.header  # as R's write.table leaves it
    as_text = set(range(len(header)))
    if patients is not None:
        as_text = _name_columns(header, head.first, patients, options)
        as_text |= place.roles.classes if place.roles is not None else set()
    text, numbers = _read_cells(place, head, len(header), as_text)
    _check_header_occurs_once(path, header, text, numbers)
    _check_size(place, len(numbers), len(header) - place.lead)

    sheet = Sheet(path, dict(enumerate(header)), text, numbers, place.lead, short, place.ended)
    nameless = {j for j in text if not header[j] and not any(text[j])}
    sheet = sheet.without_columns(nameless)
    if place.arrays is not None:
        return _without_annotation(sheet, place.arrays)
    if place.roles is not None:
        return _without_no_genes(sheet, place.roles, bool(patients), options)
    return sheet


def _without_annotation(sheet: Sheet, arrays: set[str]) -> Sheet:
    """Return the sheet of a GDS file without numbers about the genes, as a full one has."""
    kept = sheet.words | {0} | {j for j, name in sheet.header.items() if name in arrays}
    return sheet.without_columns(sheet.header.keys() - kept)


def _without_no_genes(
    sheet: Sheet, roles: orange.Columns, is_labelled: bool, options: ReadingOptions
) -> Sheet:
    """Return an Orange file without numbers that are no gene's, and which column is what.

    Where another file has the classes, `is_labelled`, the column of them is no gene's either.
    """
    chosen = {plain(name) for name in options.named_columns.values()}
    chosen.add(plain(options.class_column or ""))
    others = roles.no_genes | roles.classes if is_labelled else roles.no_genes
    sheet = sheet.without_columns(others - sheet.words - sheet.called(chosen))

    classes = [sheet.header[j] for j in sorted(roles.classes & sheet.header.keys())]
    strings = roles.strings & sheet.text.keys()
    names = {j for j in strings if len(set(sheet.text[j])) == len(sheet.text[j])}
    return replace(
        sheet,
        class_column=classes[0] if len(classes) == 1 else None,
        patient_column=min(names, default=None),
    )


class SampleSheet(NamedTuple):
    """What a file of expression itself says of the patients, all of it as text."""

    sheet: Sheet
    class_column: str | None = None  # where the format says so, as that of GDS does
    group_column: str | None = None


def read_sample_sheet(path: Path) -> SampleSheet | None:
    """Return the sample sheet that is in a file of expression: GEO's or AnnData's; else None."""
    content = read_unpacked(path)
    if HDF5.match(content):
        return SampleSheet(_sheet_of_frame(path, read_anndata_samples(path, content)))
    if not COMMENTED.match(content):
        return None

    comments, _, _ = _read_comments(_to_text(path, content))
    samples = geo.read_sample_lines([comment.text for comment in comments])
    if samples is None:
        return None
    sheet = _sheet_of_frame(path, pd.DataFrame(samples.columns, dtype=object))
    return SampleSheet(sheet, samples.class_column, samples.group_column)


# --- bytes ----------------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """Return the content of a text file as `read_table` does."""
    content = read_table(path)
    if isinstance(content, pd.DataFrame):
        raise unreadable(path, "it is a binary table", "save it as text")
    return content


def read_table(path: Path) -> bytes | pd.DataFrame:
    r"""Return the content of a file as UTF-8 without a byte order mark, a line ends with \n; or
    as a frame where the file is a binary table."""
    content = read_content(path)
    return content if isinstance(content, pd.DataFrame) else _to_text(path, content)


def _to_text(path: Path, content: bytes) -> bytes:
    content = _to_utf8(path, content)
    if b"\0" in content:
        raise unreadable(path, "it holds a zero byte, as no text does", "export it again")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def _to_utf8(path: Path, content: bytes) -> bytes:
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16").encode()
        content = content.removeprefix(b"\xef\xbb\xbf")
        if not content.isascii():
            content.decode()
        return content
    except UnicodeError as error:
        found = "it is not UTF-8 text" + _say_where(content, error)
        advice = "save it as CSV in UTF-8 (in Excel 'CSV UTF-8'; or with iconv)"
        raise unreadable(path, found, advice) from None


def _say_where(content: bytes, error: UnicodeError) -> str:
    """Return what is no UTF-8, if it would be text in another encoding: old CSV files of Excel."""
    is_text = isinstance(error, UnicodeDecodeError) and error.encoding == "utf-8"
    if not is_text or re.search(rb"[\0-\x08\x0e-\x1f]", content):
        return ""
    row = content.count(b"\n", 0, error.start) + 1
    word = re.search(rb"[^\s,;\"]*$", content[: error.start])[0]
    word += re.match(rb"[^\s,;\"]*", content[error.start :])[0]
    latin = word[:40].decode("cp1252", errors="replace")
    return f": {latin!r} in row {row} is as in Latin-1 or Windows-1252"


# --- the place of the table -----------------------------------------------------------------------


class _Comment(NamedTuple):
    """A line above the table."""

    text: str
    start: int  # in the content
    line: int


class _Place(NamedTuple):
    """Where the table is in a file, and what the lines above say of it."""

    path: Path
    content: bytes  # from the header to the end of the table
    line: int  # the number of the header's line
    delimiter: str
    ended: bool  # the last line of the file ends with a line break
    annotated: int = 0  # rows of annotation below the header
    lead: int = 0
    size: list[str] | None = None  # genes and patients, in digits
    roles: orange.Columns | None = None  # of the columns, where the lines below the header say so
    arrays: set[str] | None = None  # the columns of arrays, where the lines above say so


def _locate(path: Path, content: bytes) -> _Place:
    """Find the table below its comments, and what they say of it."""
    comments, header, below = _read_comments(content)
    lines = [comment.text for comment in comments]
    geo.check_one_table(path, lines)
    ended = content.endswith(b"\n")
    delimiter = _find_delimiter(path, header.text, below)
    if delimiter == " ":
        table = _blanks_to_tabs(content[header.start :])
        return _Place(path, table, header.line, "\t", ended)

    version = lines[0].rstrip(DELIMITERS) if lines else ""
    if re.fullmatch(r"#\d\.\d", version):
        lead, annotated, size = _read_gct_size(path, version, comments)
        table = content[header.start :]
        return _Place(path, table, header.line, delimiter, ended, annotated, lead, size)

    end = geo.find_table_end(path, content, lines)
    cells = header.text.count(delimiter)
    wide = [c for c in comments if c.text.startswith("#") and c.text.count(delimiter) == cells > 0]
    if len(wide) == 1:  # no comment, but the header itself: "#gene"
        header = wide[0]
    table = content[header.start : end]
    geo.check_filled(path, table, lines)
    roles = _read_roles(table, delimiter)
    return _Place(
        path,
        table,
        header.line,
        delimiter,
        ended,
        annotated=0 if roles is None else roles.lines,
        roles=roles,
        arrays=geo.arrays_of_dataset(lines),
    )


def _read_roles(table: bytes, delimiter: str) -> orange.Columns | None:
    """Return what the second and third line say of the columns, if they are Orange's."""
    lines = (line.decode() for line in itertools.islice(io.BytesIO(table), 1, 3))
    types, roles = ([*map(clean, line.split(delimiter))] for line in [*lines, "", ""][:2])
    return orange.read_columns(types, roles)


def _read_comments(content: bytes) -> tuple[list[_Comment], _Comment, str | None]:
    """Return the lines above the table, its first line, and the line below that."""
    comments, last = [], _Comment("", 0, 1)
    lines = re.finditer(rb"[^\n]*(?:\n|\Z)", content)
    for line, match in enumerate(lines, start=1):
        last = _Comment(match[0].decode().strip(" \n"), match.start(), line)
        is_gct_size = len(comments) == 1 and comments[0].text.startswith("#1.")
        if last.text and not is_gct_size and not last.text.startswith(geo.LINE_STARTS):
            break
        if last.text:
            comments.append(last)
    below = next(lines, None)
    return comments, last, None if below is None else below[0].decode()


def _find_delimiter(path: Path, header: str, below: str | None) -> str:
    """Return what separates the cells; a blank where only blanks do, as in R's write.table."""
    bare = [re.sub(r'"[^"]*"', "x", line).strip(" \n") for line in (header, below or "")]
    is_separated = bool(set(bare[0]) & set(DELIMITERS))
    # R's write.table leaves a header of one cell for a table of two columns
    line = bare[0] if below is None or is_separated else bare[1]
    delimiter = max(DELIMITERS, key=line.count)

    names, cells = (len(line.split()) for line in bare)
    are_alike = cells > 1 and cells - names in (0, 1)
    is_in_a_name = delimiter != "\t" and names > 2
    if are_alike and not is_separated and (delimiter not in line or is_in_a_name):
        return " "
    if header and delimiter not in line:
        rule = "cells must be separated by comma, semicolon, tab or blanks"
        raise refusal(path, rule, f"found {header[:40]!r}", "export it so")
    return delimiter


def _blanks_to_tabs(content: bytes) -> bytes:
    """Return the lines with a tab for all blanks between two cells; blanks in quotes stay."""
    parts = content.split(b'"')
    for place in range(0, len(parts), 2):
        part = parts[place]
        while b"  " in part:
            part = part.replace(b"  ", b" ")
        parts[place] = part.replace(b" \n", b"\n").replace(b"\n ", b"\n").replace(b" ", b"\t")
    return b'"'.join(parts).strip(b"\t")


def _read_gct_size(
    path: Path, version: str, comments: list[_Comment]
) -> tuple[int, int, list[str]]:
    """Return how many columns lead and rows annotate; and, in digits, genes and patients."""
    sizes = re.split(r"[\s,;]+", comments[1].text.rstrip(DELIMITERS)) if comments[1:] else []
    if version not in ("#1.2", "#1.3") or len(sizes) not in (2, 4) or len(comments) > 2:
        rule = "a GCT file must be version 1.2 or 1.3"
        raise refusal(path, rule, f"it begins {version!r}", "export it again")
    if len(sizes) == 2:
        return 2, 0, sizes  # Name and Description
    described, annotated = (int(size) if size.isdecimal() else 0 for size in sizes[2:])
    return 1 + described, annotated, sizes[:2]


# --- what pandas would forgive --------------------------------------------------------------------


class _Head(NamedTuple):
    """The first rows of a table, cell by cell."""

    header: list[str]
    first: list[str]  # the first row below header and annotation that holds anything
    above: int  # rows down to the last of header and annotation
    start: int  # of the row below them, in the content


def _remove_quoted_cells(place: _Place) -> bytes:
    """Return the content with x for each quoted cell, so that a line is a row.

    A quote within an unquoted cell is a character like others. One that begins a cell must end it.
    """
    if b'"' not in place.content:
        return place.content
    delimiter = place.delimiter.encode()
    # Before the first quote and after the last one is a delimiter, a line break or nothing.
    quoted = rb'(?<![^%b\n])"[^"]*+(?:""[^"]*+)*+"(?![^%b\n])' % (delimiter, delimiter)
    bare = re.sub(quoted, b"x", place.content)
    # Blanks before it, too, as pandas skips those at the beginning of a line
    wrong = re.search(rb'(?:^|[%b\n])[ \t]*"' % delimiter, bare)
    if wrong:
        row = place.line + bare.count(b"\n", 0, wrong.end())
        found = f"a quote in row {row} begins a cell but does not end it"
        raise refusal(place.path, "must be a table", found, "check its quotes, export it again")
    return bare


def _rows_below(place: _Place, bare: bytes, above: int) -> Iterator[tuple[int, bytes]]:
    """Yield the rows below the head with their numbers in the file, but those pandas skips."""
    lines = enumerate(io.BytesIO(bare), start=place.line)
    for row, line in itertools.islice(lines, above, None):
        if line.strip(b" \t\n") or place.delimiter.encode() in line:
            yield row, line


def _read_head(place: _Place) -> _Head:
    """Return header and first row, and where the rows of data begin."""
    lines = io.BytesIO(place.content)
    reader = csv.reader(map(bytes.decode, lines), delimiter=place.delimiter)
    heads = []
    above = 0
    start = 0
    try:
        for row, cells in enumerate(reader, start=1):
            cells = list(map(clean, cells))
            if not any(cells):
                continue
            if len(heads) == 1 + place.annotated:
                return _Head(heads[0], cells, above, start)
            heads.append(cells)
            above = row
            start = lines.tell()
    except csv.Error as error:
        raise refusal(place.path, "must be a table", error, "export it again") from None
    found = f"found {len(heads)} rows of {len(heads[0]) if heads else 0} columns"
    raise refusal(place.path, "must be a table with a header", found, "check the export")


def _check_lengths(place: _Place, bare: bytes, head: _Head) -> None:
    """Raise unless all rows have the length of the first, which the header has, or a cell less."""
    length = len(head.header)
    if len(head.first) == length + 1 and not place.lead:
        length += 1
    if length < 2:
        found = f"found rows of {len(head.header)} column"
        raise refusal(place.path, "must be a table with a header", found, "check the export")
    delimiter = place.delimiter.encode()
    blank = f" \n{DELIMITERS}".encode()
    lines = enumerate(io.BytesIO(bare), start=place.line)
    for row, line in itertools.islice(lines, head.above, None):
        cells = line.count(delimiter) + 1
        if cells != length and (cells > length or line.strip(blank)):
            rule = f"every row must have {length} cells like the header"
            raise refusal(place.path, rule, f"row {row} has {cells}", "check the export")


def _ends_with_delimiters(place: _Place, head: _Head) -> bool:
    """Return whether the last cell of every row is empty: it only ends the row."""
    lines = io.BytesIO(place.content[head.start :])
    reader = csv.reader(map(bytes.decode, lines), delimiter=place.delimiter)
    return not any(cells and cells[-1].strip() for cells in reader)


# --- cells ----------------------------------------------------------------------------------------


def _name_columns(
    header: list[str], first: list[str], patients: Collection[str], options: ReadingOptions
) -> set[int]:
    """Return the columns that hold no numbers, or numbers that are names."""
    others = {j for j, name in enumerate(header) if name not in patients}
    if 2 * len(others) <= len(header):  # the patients are columns
        return others

    headers = NAME_HEADERS.union(map(plain, options.named_columns.values()))
    if options.class_column is not None:
        headers.add(plain(options.class_column))
    names = {
        j for j, cell in enumerate(first) if j < len(header) and not _is_number(cell, patients)
    }
    names.update(j for j, name in enumerate(header) if plain(name) in headers)
    names.add(0)
    names.add(next((j for j, name in enumerate(header) if not options.leaves_out(name)), 0))
    return names


def _is_number(cell: str, patients: Collection[str]) -> bool:
    return cell not in patients and not np.isnan(number(cell))


def _read_cells(
    place: _Place, head: _Head, columns: int, as_text: set[int]
) -> tuple[dict[int, list[str]], pd.DataFrame]:
    """Return the columns of text and those of numbers; text is also what holds anything else."""
    frame = _parse(place, head, columns, as_text)
    others = {j for j in frame if j not in as_text and not _are_finite(frame[j])}
    if others:
        as_text = as_text | others
        frame = _parse(place, head, columns, as_text)

    text = {j: clean_all(frame[j].tolist()) for j in sorted(as_text)}
    numeric = [j for j in frame if j not in as_text]
    values = frame[numeric].to_numpy(float, copy=True)
    del frame  # the values are the largest thing in memory
    values += 0.0  # -0 becomes 0
    numbers = pd.DataFrame(values, columns=numeric, copy=False)

    nameless = [i for i, cells in enumerate(zip(*text.values(), strict=True)) if not any(cells)]
    blank = {i for i in nameless if numbers.iloc[i].isna().all()}
    if blank:
        kept = [i not in blank for i in range(len(numbers))]
        text = {j: list(itertools.compress(cells, kept)) for j, cells in text.items()}
        numbers = numbers[kept]
    return text, numbers


def _parse(place: _Place, head: _Head, columns: int, as_text: set[int]) -> pd.DataFrame:
    buffer = io.BytesIO(place.content)
    buffer.seek(head.start)
    with warnings.catch_warnings():  # of a column that is numbers here and text there: see above
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        return pd.read_csv(
            buffer,
            sep=place.delimiter,
            header=None,
            names=range(max(columns, len(head.first))),
            usecols=range(columns),
            index_col=False,
            dtype=dict.fromkeys(as_text, object),
            keep_default_na=False,
            na_values={j: MISSING for j in range(columns) if j not in as_text},
            float_precision=FLOAT_PRECISION,
        )


def _are_finite(column: pd.Series) -> bool:
    """Return whether a column holds numbers, none infinite; also where some are missing."""
    kind = column.dtype.kind
    return kind in "iu" or (kind == "f" and not np.isinf(column.to_numpy()).any())


def _sheet_of_frame(
    path: Path,
    frame: pd.DataFrame,
    patients: Collection[str] | None = None,
    options: ReadingOptions = NOTHING_DECIDED,
) -> Sheet:
    """Return the cells of a binary table, as `read_sheet` does those of text."""
    header = [clean(str(name)) for name in frame.columns]
    frame = frame.set_axis(range(len(header)), axis=1)
    as_text = set(range(len(header)))
    if patients is not None:
        first = _to_cells(frame.iloc[0]) if len(frame) else []
        as_text = _name_columns(header, first, patients, options)
        as_text.update(j for j in frame if not _are_finite(frame[j]))

    text = {j: clean_all(_to_cells(frame[j])) for j in sorted(as_text)}
    numeric = [j for j in frame if j not in as_text]
    numbers = pd.DataFrame(frame[numeric].to_numpy(float) + 0.0, columns=numeric, copy=False)
    return Sheet(path, dict(enumerate(header)), text, numbers, lead=0, short=False, ended=True)


def _to_cells(column: pd.Series) -> list[str]:
    """Return entries as text files have them: nothing of a missing one, whole numbers as such."""
    cells = []
    for entry in column.tolist():
        if isinstance(entry, float) and entry.is_integer():
            entry = int(entry)
        cells.append("" if entry is None or entry is pd.NA or entry != entry else str(entry))
    return cells


def _check_header_occurs_once(
    path: Path, header: list[str], text: dict[int, list[str]], numbers: pd.DataFrame
) -> None:
    names = tuple(header[j] for j in text)
    expected = [number(header[j]) for j in numbers]
    for i, cells in enumerate(zip(*text.values(), strict=True)):
        if cells == names and np.array_equal(numbers.iloc[i], expected, equal_nan=True):
            raise refusal(path, "must have one header", "it occurs again", "remove the copy")


def _check_size(place: _Place, genes: int, patients: int) -> None:
    """Raise unless a table has the size that its second line says."""
    size = [str(genes), str(patients)]
    if place.size is not None and size != place.size:
        rule = "must have as many genes and patients as its second line says"
        found = f"found ({', '.join(size)}) for {' '.join(place.size)!r}"
        raise refusal(place.path, rule, found, "export it again")
