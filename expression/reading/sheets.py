"""Read one file as a sheet: bytes in; a header, and columns of numbers or of text, out.

Content decides how a file is read, never its name: plain or gzip, UTF-8 or UTF-16, or the one sheet
of an Excel file (.xlsx), which becomes a tab-separated table. Comma, semicolon or tab separate the
cells. Lines above the table that begin with # or ! are comments (featureCounts, cBioPortal, GEO
series matrices); a GCT file says its size there, and GCT 1.3 has rows of patient annotation below
the header. A header may be one cell short, as R's write.table leaves it. What the columns mean is
decided in `tables.py`.

A damaged file must be refused, by name, and never be read as other numbers. pandas' C parser reads
fast, but forgives short rows and wrong quotes: so both are looked for before it reads.

Formats: https://www.genepattern.org/file-formats-guide (GCT 1.2), for GCT 1.3
https://clue.io/connectopedia/gct_format; https://docs.cbioportal.org/file-formats
"""

import csv
import gzip
import io
import itertools
import re
import unicodedata
import warnings
import zlib
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

MAX_BYTES = 2**32  # 2,096 arrays of 54,675 genes take a quarter; what unpacks to more is no data
DELIMITERS = "\t,;"
NUMBER_CHARACTERS = frozenset("0123456789+-.eE")
MISSING = frozenset(
    ["NA", "na", "N/A", "n/a", "#N/A", "null", "NULL", "NaN", "nan", "NAN", "-nan", "+nan"],
) | {""}
UNCLEAN = ("  ", " \n", "\n ", *"\t\r\v\f\x1c\x1d\x1e\x1f")  # of names, a line each
DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+([eE][+-]?\d+)?")
# pandas before 3.1 reads the last digit of long numbers wrongly unless told otherwise.
FLOAT_PRECISION = None if pd.__version__ >= "3.1" else "round_trip"

# Column headers as `plain` writes them
ACCESSION_HEADER = "gene accession number"
DESCRIPTION_HEADERS = {"gene description", "description", "gene name", "gene symbol", "hugo symbol"}
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
    classes: Collection[str] = ()  # two of several
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
        place = _locate(self.path, read_bytes(self.path))
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
    place = _locate(path, read_bytes(path))
    bare = _remove_quoted_cells(place)
    head = _read_head(place)
    _check_lengths(place, bare, head)
    short = len(head.first) > len(head.header) and not _ends_with_delimiters(place, head)

    header = ["", *head.header] if short else head.header  # as R's write.table leaves it
    as_text = set(range(len(header)))
    if patients is not None:
        as_text = _name_columns(header, head.first, patients, options)
    text, numbers = _read_cells(place, head, len(header), as_text)
    _check_header_occurs_once(path, header, text, numbers)
    _check_size(place, len(numbers), len(header) - place.lead)

    sheet = Sheet(path, dict(enumerate(header)), text, numbers, place.lead, short, place.ended)
    return sheet.without_columns(j for j in text if not header[j] and not any(text[j]))


# --- bytes ----------------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    r"""Return the content of a file as UTF-8 without a byte order mark; a line ends with \n."""
    content = _read_file(path)
    if content.startswith(b"\x1f\x8b"):
        content = _decompress(path, content)
    if content.startswith(b"PK\x03\x04"):
        content = _unpack_workbook(path, content)
    content = _to_utf8(path, content)

    if b"\0" in content:
        raise _unreadable(path, "it holds a zero byte, as no text does", "export it again")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def _unreadable(path: Path, found: object, advice: str) -> DataError:
    return refusal(path, "must be a readable file", found, advice)


def _read_file(path: Path) -> bytes:
    content = b""
    try:
        is_pipe = path.is_fifo()
        if not is_pipe:
            with open(path, "rb") as file:
                content = _read_limited(file)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        found = str(getattr(error, "strerror", error)).lower()
        advice = "check its name and permissions (see --data-dir, --train, --test, --labels)"
        raise _unreadable(path, found, advice) from None

    if is_pipe:
        found = "it is a pipe, which can be read once only"
        raise _unreadable(path, found, "write it to a file")
    _check_bytes(path, content)
    return content


def _decompress(path: Path, content: bytes) -> bytes:
    try:
        content = _read_limited(gzip.GzipFile(fileobj=io.BytesIO(content)))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        found = "its gzip data are damaged"
        raise _unreadable(path, found, "copy or compress it again") from None
    _check_bytes(path, content)
    return content


def _read_limited(file) -> bytes:
    """Read until the end, or until it is too much."""
    buffer = io.BytesIO()
    while buffer.tell() <= MAX_BYTES and (part := file.read(2**20)):
        buffer.write(part)
    return buffer.getvalue()


def _check_bytes(path: Path, content: bytes) -> None:
    if len(content) > MAX_BYTES:
        found = f"it has more than {MAX_BYTES:,} bytes"
        raise _unreadable(path, found, "is this the right file?")


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
        raise _unreadable(path, found, advice) from None


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


def _unpack_workbook(path: Path, content: bytes) -> bytes:
    """Return the one sheet of an .xlsx file as tab-separated text."""
    rule = "an .xlsx file must be readable"
    try:
        sheets = pd.read_excel(
            io.BytesIO(content), sheet_name=None, header=None, dtype=str, na_filter=False
        )
    except ImportError:
        advice = "run 'pip install openpyxl', or save it as CSV"
        raise refusal(path, rule, "openpyxl is not installed", advice) from None
    except Exception as error:  # of whatever kind a damaged archive raises
        raise refusal(path, rule, type(error).__name__, "save it as CSV") from None

    filled = {name: sheet for name, sheet in sheets.items() if not sheet.empty}
    if len(filled) != 1:
        raise refusal(
            path,
            "an .xlsx file must have one sheet",
            f"it has {shortlist(filled) or 'none'}",
            "save the one of the table as CSV",
        )
    (sheet,) = filled.values()
    return sheet.to_csv(sep="\t", header=False, index=False).encode()


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


def _locate(path: Path, content: bytes) -> _Place:
    """Find the table below its comments, and what they say of it."""
    comments, header, below = _read_comments(content)
    delimiter = _find_delimiter(path, header.text, below)
    ended = content.endswith(b"\n")
    version = comments[0].text.rstrip(DELIMITERS) if comments else ""
    if re.fullmatch(r"#\d\.\d", version):
        lead, annotated, size = _read_gct_size(path, version, comments)
        table = content[header.start :]
        return _Place(path, table, header.line, delimiter, ended, annotated, lead, size)

    end = _end_of_table(path, content, comments)
    cells = header.text.count(delimiter)
    wide = [c for c in comments if c.text.startswith("#") and c.text.count(delimiter) == cells > 0]
    if len(wide) == 1:  # no comment, but the header itself: "#gene"
        header = wide[0]
    return _Place(path, content[header.start : end], header.line, delimiter, ended)


def _read_comments(content: bytes) -> tuple[list[_Comment], _Comment, str | None]:
    """Return the lines above the table, its first line, and the line below that."""
    comments, last = [], _Comment("", 0, 1)
    lines = re.finditer(rb"[^\n]*(?:\n|\Z)", content)
    for line, match in enumerate(lines, start=1):
        last = _Comment(match[0].decode().strip(" \n"), match.start(), line)
        is_gct_size = len(comments) == 1 and comments[0].text.startswith("#1.")
        if last.text and not is_gct_size and not last.text.startswith(("#", "!")):
            break
        if last.text:
            comments.append(last)
    below = next(lines, None)
    return comments, last, None if below is None else below[0].decode()


def _find_delimiter(path: Path, header: str, below: str | None) -> str:
    # R's write.table leaves a header of one cell for a table of two columns
    line = header if below is None or set(header) & set(DELIMITERS) else below
    delimiter = max(DELIMITERS, key=line.count)
    if header and delimiter not in line:
        rule = "cells must be separated by comma, semicolon or tab"
        raise refusal(path, rule, f"found {header[:40]!r}", "export it so")
    return delimiter


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


def _end_of_table(path: Path, content: bytes, comments: list[_Comment]) -> int:
    if not any(c.text.startswith("!series_matrix_table_begin") for c in comments):
        return len(content)
    end = content.rfind(b"!series_matrix_table_end")
    if end < 0:
        found = "it has no !series_matrix_table_end"
        raise refusal(path, "a series matrix must be whole", found, "download it again")
    return end


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
