"""Read one file of expression data, in any of the accepted layouts: bytes in, checked table out.

Content decides how a file is read, never its name. An expression table has a row a gene (as
published, with or without descriptions and detection calls; or GenePattern's GCT 1.2), or a row a
patient and a column of classes. A file of classes is a table of patient and class, or GenePattern's
CLS, which names no patients and so follows their order in the expression files. Comma, semicolon or
tab separate the cells; every file may be compressed with gzip.

A damaged file must be refused, by name, and never be read as other numbers. Hence every row must be
as long as the header, every number plain, and the last line ended: "12" at the very end of a file
may have been "1234". Formats: https://www.genepattern.org/file-formats-guide
"""

import csv
import gzip
import io
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

# Column headers as `_plain` writes them
ACCESSION_HEADER = "gene accession number"
DESCRIPTION_HEADERS = {"gene description", "description"}
PATIENT_HEADERS = {"patient", "patient id", "sample", "sample id", "subject", "id"}
CLASS_HEADERS = {"cancer", "class", "diagnosis", "disease", "group", "label", "phenotype", "type"}
DETECTION_CALLS = {"A", "M", "P"}  # absent, marginal, present

NUMBER_CHARACTERS = frozenset("0123456789+-.eE")
MAX_NAME_LENGTH = 60  # of a patient or a class: what a legend still holds
MAX_BYTES = 2**30  # a thousand arrays take a tenth of it; what unpacks to more is no data


class DataError(ValueError):
    """Input that cannot be trusted: what, the rule, what was found, what to do; one line."""


class Table(NamedTuple):
    """One expression file, in its own order."""

    path: Path
    values: pd.DataFrame  # genes x patients
    descriptions: dict[str, str]  # by accession
    classes: dict[str, str]  # by patient; empty when the file has no column of them


class _Layout(NamedTuple):
    key: int  # the column of genes; of patients when there are classes
    numbers: list[int]
    description: int | None = None
    classes: int | None = None


def refusal(where: object, rule: str, found: object, advice: str) -> DataError:
    """Return an error whose one line says what, the rule, what was found, and what to do."""
    line = " ".join(f"{where}: {rule} - {found}; {advice}".split())
    return DataError("".join(c if c.isprintable() else "?" for c in line))


def shortlist(items: Iterable, limit: int = 5) -> str:
    """Return the first few items for a message, and how many more there are."""
    names = sorted(str(item)[:MAX_NAME_LENGTH] for item in items)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if names[limit:] else "")


def read_expression(path: Path) -> Table:
    """Return the checked content of an expression table in any of the accepted layouts."""
    text = read_text(path)
    table, shape = _split_gct(path, text) if text.startswith("#") else (text, None)
    header, rows = _read_rows(path, table)
    if not text.endswith(("\n", "\r")):
        advice = "copy it again, or if it is whole, end its last row with a line break"
        raise refusal(path, "must end with a line break", "its last number may be cut off", advice)
    layout = _find_layout(path, header, rows)
    down = [clean(row[layout.key]) for row in rows.values()]
    across = [clean(header[j]) for j in layout.numbers]
    values = pd.DataFrame(_read_numbers(path, header, rows, layout), down, across)
    if shape is not None and shape != list(map(str, values.shape)):
        rule = "must have as many genes and patients as its second line says"
        found = f"found {values.shape} for {' '.join(shape)!r}"
        raise refusal(path, rule, found, "export it again")
    if layout.classes is not None:
        values = values.T
    _check_names(path, "gene", values.index)
    _check_names(path, "patient", values.columns)

    def texts(column: int | None) -> dict[str, str]:
        cells = [] if column is None else [clean(row[column]) for row in rows.values()]
        return dict(zip(down, cells, strict=False))

    return Table(path, values, texts(layout.description), texts(layout.classes))


def read_classes(path: Path, in_order: list[list[str]]) -> dict[str, str]:
    """Return the classes of a table; those of a CLS file belong to the next patients in order."""
    lines = (text := read_text(path)).splitlines()
    if len(lines) < 2 or not lines[1].lstrip().startswith("#"):
        return read_annotation(path, PATIENT_HEADERS, CLASS_HEADERS)
    sizes, names, codes = lines[0], lines[1].replace("#", " ").split(), " ".join(lines[2:]).split()
    by_code = {str(i): name for i, name in enumerate(names)} | {name: name for name in names}
    stated = sizes.split()[:2] == [str(len(codes)), str(len(names))]
    if not stated or not by_code.keys() >= set(codes):
        found = f"{len(codes)} codes, {len(names)} names, and {sizes[:40]!r} above them"
        raise refusal(path, "must be a CLS file whose sizes agree", found, "export it again")
    _check_last(path, text, codes)
    patients = [patient for patients in in_order for patient in patients]
    if in_order and len(codes) == len(in_order[0]):
        patients = in_order.pop(0)
    if len(codes) != len(patients):
        rule = "a CLS file must have a code for each patient of the training, test, or both files"
        advice = "give one a file, training first, or a table of patient and class"
        raise refusal(path, rule, f"found {len(codes)} codes", advice)
    return dict(zip(patients, map(by_code.get, codes), strict=True))


def read_annotation(path: Path, keys: set[str], values: set[str]) -> dict[str, str]:
    """Return the column called one of `values` by the one called one of `keys`.

    In a table of two columns the names may be others, in this order.
    """
    text = read_text(path)
    header, rows = _read_rows(path, text)
    headers = [_plain(cell) for cell in header]
    key, value = _find(headers, keys), _find(headers, values)
    if len(headers) == 2:
        key = key if key is not None else int(value == 0)
        value = 1 - key
    if key is None or value is None:
        rule = f"must have the columns {min(keys)} and {min(values)}"
        raise refusal(path, rule, f"found {shortlist(header)}", "rename its header")
    names, texts = ([clean(row[j]) for row in rows.values()] for j in (key, value))
    _check_names(path, header[key] or "row", names)
    _check_last(path, text, texts)
    _check_names(path, header[value], set(texts))
    return dict(zip(names, texts, strict=True))


def read_text(path: Path) -> str:
    """Return the text of a file, plain or gzip."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if content.startswith(b"\x1f\x8b"):
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return content.decode("utf-8-sig")
        found, advice = f"it has more than {MAX_BYTES:,} bytes", "is this the right file?"
    except (EOFError, zlib.error, gzip.BadGzipFile):
        found, advice = "its gzip data are damaged", "copy or compress it again"
    except UnicodeDecodeError:
        found, advice = "it is not UTF-8 text", "save it as CSV in UTF-8"
    except (OSError, ValueError) as error:
        found = str(getattr(error, "strerror", error)).lower()
        advice = "check its name and permissions (see --data-dir, --train, --test, --labels)"
    raise refusal(path, "must be a readable file", found, advice)


def _read_rows(path: Path, text: str) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header and the rows of a delimited text, without empty rows and columns.

    Rows are keyed by their number as a spreadsheet shows it.
    """

    def parse(delimiter: str, **options):
        return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, **options)

    try:
        delimiter = max(",;\t", key=lambda mark: len(next(filter(any, parse(mark)), [])))
        numbered = enumerate(parse(delimiter, strict=True), start=1)
        rows = {n: [c.strip() for c in row] for n, row in numbered if any(map(str.strip, row))}
    except csv.Error as error:
        raise refusal(path, "must be a table", error, "check its quotes, export it again") from None
    width = len(next(iter(rows.values()), []))
    if len(rows) < 2 or width < 2:
        found = f"found {len(rows)} rows of {width} columns"
        raise refusal(path, "must be a table with a header", found, "check the export")
    for number, row in rows.items():
        if len(row) != width:
            rule = f"every row must have {width} cells like the header"
            raise refusal(path, rule, f"row {number} has {len(row)}", "check the export")
    kept = [j for j in range(width) if any(row[j] for row in rows.values())]
    rows = {number: [row[j] for j in kept] for number, row in rows.items()}
    header = rows.pop(min(rows))
    if header in rows.values():
        raise refusal(path, "must have one header", "it occurs again", "remove the copy")
    return header, rows


def _split_gct(path: Path, text: str) -> tuple[str, list[str]]:
    """Return the table of a GCT file, in its place, and the shape that the file states."""
    version, _, rest = text.partition("\n")
    if version.strip() != "#1.2":
        rule = "a file that begins with '#' must be GCT 1.2"
        raise refusal(path, rule, f"it begins {version[:40]!r}", "export it as CSV or GCT 1.2")
    shape, _, table = rest.partition("\n")
    return "\n\n" + table, shape.split()[:2]  # the rows keep their numbers


def _find_layout(path: Path, header: list[str], rows: dict[int, list[str]]) -> _Layout:
    """Tell the columns of a table apart, by their headers or else by what they hold.

    A row is a patient when there is a column of classes: one that is called so, or a column of
    few different texts in a table without the headers of the published layout.
    """
    names = [_plain(cell) for cell in header]
    columns = {j: {row[j] for row in rows.values()} for j in range(len(header))}
    called = re.compile(r"call( \d+)?")
    calls = {j for j in columns if called.fullmatch(names[j]) or columns[j] <= DETECTION_CALLS}
    accession, description = _find(names, {ACCESSION_HEADER}), _find(names, DESCRIPTION_HEADERS)
    classes = []
    if accession is None and description is None:
        classes = [j for j in columns if names[j] in CLASS_HEADERS] or [
            j
            for j in columns.keys() - calls - {0}
            if len(columns[j]) <= len(rows) / 2 and np.isnan([*map(_number, columns[j])]).all()
        ]
    if not classes:
        key = accession if accession is not None else int(description == 0)
        numbers = [j for j in columns if j not in {key, description} | calls]
        return _Layout(key, numbers, description=description)
    key = _find(names, PATIENT_HEADERS) or 0
    if len(classes) > 1 or key in classes:
        found = f"found classes in {shortlist(header[j] for j in classes)}"
        advice = "name them 'patient' and 'class', remove other texts"
        raise refusal(path, "must have one column of patients, one of classes", found, advice)
    numbers = [j for j in columns if j not in {key, *classes}]
    return _Layout(key, numbers, classes=classes[0])


def _plain(header: str) -> str:
    return re.sub(r"[\W_]+", " ", header).strip().casefold()


def _find(names: list[str], known: Collection[str]) -> int | None:
    return next((j for j, name in enumerate(names) if name in known), None)


def _read_numbers(
    path: Path, header: list[str], rows: dict[int, list[str]], layout: _Layout
) -> np.ndarray:
    """Return the numbers of a table, rows x columns."""
    values = np.array([[_number(row[j]) for j in layout.numbers] for row in rows.values()])
    wrong = np.argwhere(np.isnan(values))
    if len(wrong):
        number, row = list(rows.items())[wrong[0, 0]]
        column = layout.numbers[wrong[0, 1]]
        found = (
            f"{len(wrong):,} are not, the first {row[column][:40]!r} in row {number} "
            f"({row[layout.key]}), column {header[column]}"
        )
        advice = "correct or remove them; write 1234.5, without other marks"
        raise refusal(path, "every value must be a finite number", found, advice)
    return values


def _number(cell: str) -> float:
    """Return a plain decimal number; nan for everything else that `float` takes."""
    try:
        number = float(cell) if NUMBER_CHARACTERS.issuperset(cell) else np.nan
    except ValueError:
        return np.nan
    return number + 0.0 if abs(number) < np.inf else np.nan  # -0 becomes 0


def clean(name: str) -> str:
    """Return a name in one line and one Unicode form."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _check_names(path: Path, kind: str, names: Iterable[str]) -> None:
    """Raise unless every name is there, can be printed, and occurs once."""
    counts = Counter(names)
    doubled = [name for name, count in counts.items() if count > 1 and name]
    longest = np.inf if kind == "gene" else MAX_NAME_LENGTH
    odd = [name for name in counts if not name.isprintable() or len(name) > longest]
    if not counts or "" in counts:
        rule = f"every {kind} must have a name"
        raise refusal(path, rule, f"{counts[''] or 'all'} have none", "name them or remove them")
    if doubled:
        rule, found = f"every {kind} must occur once", f"found {shortlist(doubled)} more than once"
        raise refusal(path, rule, found, "remove the copies")
    if odd:
        rule = f"every {kind} must be printable and have at most {MAX_NAME_LENGTH} characters"
        raise refusal(path, rule, f"found {shortlist(odd)}", "rename it")


def _check_last(path: Path, text: str, values: list[str]) -> None:
    """Raise when the text may have ended within the last value."""
    *others, last = values
    longer = any(other.startswith(last) and other != last for other in others)
    if not text.endswith(("\n", "\r")) and (longer or last not in others):
        advice = "copy it again, or if it is whole, end it with a line break"
        raise refusal(path, "must end with a line break", f"it ends in {last!r}", advice)
