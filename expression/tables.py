"""What the columns of a file mean: the labels decide.

The file of classes names the patients. So in an expression file the columns, or the rows, with
those names are the patients; the first other column of text whose entries are unique names the
genes; what is left is annotation, ignored and mentioned. A table with a row a patient may hold the
classes itself, in the one column of few different texts. A CLS file names nobody: its codes follow
the order of the patients, who are then all columns of numbers.

Where more than one reading is possible, the file is refused, and the refusal names the option that
decides.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.files import check_names, number, plain, refusal, shortlist
from expression.labels import (
    DECIMAL_COMMA,
    Choices,
    choose_classes,
    is_text,
    matches,
    possible_classes,
)
from expression.sheets import MISSING, Sheet, read_sheet

# Column headers as `plain` writes them
ACCESSION_HEADER = "gene accession number"
DESCRIPTION_HEADERS = {"gene description", "description", "gene name", "gene symbol", "hugo symbol"}
PATIENT_HEADERS = {"patient", "patient id", "sample", "sample id", "subject", "id"}
CLASS_HEADERS = {"cancer", "class", "diagnosis", "disease", "group", "label", "phenotype", "type"}
# Numbers that say something of a gene: of featureCounts, of cBioPortal
GENE_ANNOTATION = {"entrez gene id", "chr", "start", "end", "strand", "length"}
NAME_HEADERS = {ACCESSION_HEADER, *PATIENT_HEADERS, *CLASS_HEADERS, *GENE_ANNOTATION}
# Names, and words in names, of what is measured on patients or added by a counting program
NO_GENE_WORDS = {
    *("age", "sex", "gender", "stage", "grade", "survival", "time", "day", "days", "month"),
    *("months", "year", "years", "event", "status", "batch", "os", "pfs", "dfs", "bmi", "weight"),
    *("height", "diagnosis"),
}
NO_GENE_NAMES = {
    *("no feature", "ambiguous", "too low aqual", "not aligned", "alignment not unique"),
    *(PATIENT_HEADERS | CLASS_HEADERS),
}

# Few names hold any of these, and only they are looked at twice
SUSPECT = re.compile(
    "|".join(["^_", "^N_", *NO_GENE_WORDS, *NO_GENE_NAMES]).replace(" ", "."), re.I
)


class Table(NamedTuple):
    """One expression file, in its own order."""

    path: Path
    values: pd.DataFrame  # genes x patients; nan where a value is missing
    descriptions: dict[str, str]  # by accession
    classes: dict[str, str]  # by patient; empty when the file has no column of them
    class_column: str  # the name of that column
    layout: str  # in words
    ignored: list[str]  # columns of annotation


class _UnsureError(Exception):
    """A sheet that was read fast must be read carefully."""


class _Layout(NamedTuple):
    key: int  # the column of genes, or of patients when each has a row
    numbers: list[int]
    by_row: bool = False  # a row a patient
    unlabelled: Collection[str] = ()
    description: int | None = None
    classes: int | None = None


class _Columns(NamedTuple):
    """What is in the columns of a sheet."""

    header: list[str]
    headers: list[str]  # as they are compared
    text: dict[int, list[str]]  # the cells of those read as text
    words: set[int]  # those that hold no number


def find_table(
    sheet: Sheet, named: dict[str, str], ordered: bool, choices: Choices, where: str
) -> Table:
    """Return the genes, patients and values of an expression file.

    `named` are the classes of the patients that the files of classes, `where`, name; where there
    are none, the classes are `ordered` (CLS), or in a column of the file.
    """
    try:
        return _find_table(sheet, named, ordered, choices, where)
    except _UnsureError:
        return _find_table(read_sheet(sheet.path), named, ordered, choices, where)


def _find_table(sheet, named, ordered, choices, where) -> Table:
    if not sheet.ended:
        rule, found = "must end with a line break", "its last number may be cut off"
        advice = "copy it again, or if it is whole, end its last row with a line break"
        raise refusal(sheet.path, rule, found, advice)
    dropped = {j for j, name in enumerate(sheet.header) if matches(name, choices.drop)}
    sheet = sheet.without_columns(dropped)
    header, text = sheet.header, sheet.text
    words = {j for j, cells in text.items() if is_text(cells)}
    columns = _Columns(header, list(map(plain, header)), text, words)
    if named:
        layout = _by_names(sheet, columns, named, where)
    elif ordered:
        layout = _by_order(sheet, columns)
    else:
        layout = _by_class_column(sheet, columns, choices)
    if not {layout.key, layout.classes} <= {*text, None}:
        raise _UnsureError  # names that look like numbers
    unlabelled = [name for name in layout.unlabelled if not matches(name, choices.drop)]
    if unlabelled and not choices.classes:
        rule = f"must give each patient of {sheet.path} a class"
        advice = "complete it, or leave them out: --drop NAME, or two classes: --classes A B"
        raise refusal(where, rule, f"{shortlist(unlabelled)} have none", advice)
    return _read_table(sheet, columns, layout, set(named.values()), choices)


def _by_names(sheet: Sheet, columns: _Columns, named: dict[str, str], where: str) -> _Layout:
    """Find the patients that are named: columns or rows, whichever are named in larger part."""
    header, headers, text, words = columns
    across = [j for j, name in enumerate(header) if name in named]
    down = {j: len(named.keys() & set(cells)) for j, cells in text.items() if j not in across}
    key = max(down, key=down.get, default=0)
    if not across and not down.get(key):
        rule, found = f"must hold patients that {where} names", f"columns {shortlist(header)}"
        raise refusal(sheet.path, rule, f"found {found}", "use the same names in both")
    if down.get(key, 0) * len(header) > len(across) * len(sheet.numbers):
        unlabelled = [name for name in text[key] if name and name not in named]
        return _Layout(key, _genes_across(columns, {key}), True, unlabelled)
    check_names(f"{sheet.path} or {where}", "patient", [header[j] for j in across])
    rest = {j for j in range(len(header)) if j not in across}
    key = _gene_column(sheet, columns, rest)
    odd = [j for j in rest - words - {key} if j >= sheet.lead and headers[j] not in GENE_ANNOTATION]
    odd = [j for j in odd if all(map(_is_value, text.get(j, ())))]
    unlabelled = [header[j] or f"column {j + 1}" for j in odd]
    return _Layout(key, across, False, unlabelled, _description(columns, rest - {key}))


def _by_order(sheet: Sheet, columns: _Columns) -> _Layout:
    """Find the patients of a CLS file, which are all columns of numbers."""
    if sheet.short:
        rule, found = "must name every column", f"found {len(columns.header) - 1} names"
        raise refusal(sheet.path, rule, found, "name the column of genes")
    annotation = columns.words | set(range(sheet.lead))
    annotation |= {j for j, name in enumerate(columns.headers) if name in GENE_ANNOTATION}
    key = _gene_column(sheet, columns, annotation or {0})
    numbers = [j for j in range(len(columns.header)) if j not in annotation | {key}]
    return _Layout(key, numbers, description=_description(columns, annotation - {key}))


def _by_class_column(sheet: Sheet, columns: _Columns, choices: Choices) -> _Layout:
    """Find the column of classes in a table with a row a patient."""
    path, (header, headers, _, words) = sheet.path, columns
    key = next((j for j, name in enumerate(headers) if name in PATIENT_HEADERS), 0)
    called = {j for j, name in enumerate(headers) if name in CLASS_HEADERS}
    among = {j for j in words - {key} if headers[j] not in GENE_ANNOTATION}
    among = called | set(possible_classes(sheet, among, choices))
    if choices.class_column is not None:
        among = set(range(len(header)))
    elif not among or {ACCESSION_HEADER, *DESCRIPTION_HEADERS} & set(headers):
        found = f"{path} has no column of them, and there is no file of them"
        raise refusal("--labels", "must name the file of classes", found, "name the file")
    classes = choose_classes(path, sheet, among, choices)
    if classes == key:
        rule, found = "must have a column of patients", f"{header[key]!r} is that of classes"
        raise refusal(path, rule, found, "call it 'patient'")
    return _Layout(key, _genes_across(columns, {key, classes}), True, classes=classes)


def _genes_across(columns: _Columns, others: set[int]) -> list[int]:
    """Return the columns of numbers, also those that lack them all."""
    empty = {j for j in columns.words if all(cell in MISSING for cell in columns.text[j])}
    return [j for j in range(len(columns.header)) if j not in (columns.words - empty) | others]


def _gene_column(sheet: Sheet, columns: _Columns, among: set[int]) -> int:
    """Return the first column of text whose entries are unique; identifiers may be numbers."""
    header, headers, text, words = columns
    if ACCESSION_HEADER in headers:
        return headers.index(ACCESSION_HEADER)
    among = [
        j
        for j in sorted(among)
        if j in text and headers[j] not in {"gene description", "description"}
    ]
    among.sort(key=lambda j: j not in words)
    among = [j for j in among if j in words or j == 0 or headers[j] in GENE_ANNOTATION]
    if not among:
        found = f"found the columns {shortlist(header)}"
        raise refusal(sheet.path, "must have a column that names the genes", found, "add it")
    return next((j for j in among if len(set(text[j]) - {""}) == len(text[j])), among[0])


def _description(columns: _Columns, among: set[int]) -> int | None:
    """Return the column that describes the genes; one that says the same of all says nothing."""
    called = [j for j in sorted(among & columns.words) if columns.headers[j] in DESCRIPTION_HEADERS]
    return next((j for j in called if len(set(columns.text[j])) > 1), None)


def _read_table(
    sheet: Sheet, columns: _Columns, layout: _Layout, classes: set[str], choices: Choices
) -> Table:
    """Read the values of a sheet whose layout is known, and check its names."""
    path, (header, _, text, words) = sheet.path, columns
    names, across = text[layout.key], [header[j] for j in layout.numbers]
    if dropped := {name for name in names if matches(name, choices.drop)}:
        sheet = sheet.with_rows([i for i, name in enumerate(names) if name not in dropped])
        text, names = sheet.text, sheet.text[layout.key]
    values = _read_numbers(sheet, layout.numbers, names)
    index, header_index = pd.Index(names, dtype=object), pd.Index(across, dtype=object)
    values = pd.DataFrame(values, index, header_index, copy=False)
    values = values.T if layout.by_row else values
    if layout.by_row and choices.classes:
        values = values.drop(columns=layout.unlabelled, errors="ignore")
    check_names(path, "gene", values.index)
    check_names(path, "patient", values.columns)
    odd = [name for name in values.index if _is_no_gene(name) and not matches(name, choices.keep)]
    if odd:
        found = f"{len(odd)} look otherwise: {shortlist(odd)}"
        advice = "leave them out with --drop NAME, or --keep NAME"
        raise refusal(path, "every gene must be one", found, advice)

    def by_name(column: int | None) -> dict[str, str]:
        return {} if column is None else dict(zip(names, text[column], strict=True))

    own = {layout.classes} if layout.classes is not None else set()
    if layout.by_row and not own:  # classes beside those of the labels must not contradict them
        own = {j for j in words - {layout.key} if set(text[j]) <= classes}
    used = {layout.key, layout.description, *layout.numbers, *own}
    ignored = [header[j] for j in range(len(header)) if j not in used]
    own_classes = by_name(min(own)) if own else {}
    if not choices.classes:
        check_names(path, "class", set(own_classes.values()) or {"-"})
    called = ", ".join(header[j] for j in own)
    row = (
        f"a row a {'patient' if layout.by_row else 'gene'}, named in column {header[layout.key]!r}"
    )
    return Table(path, values, by_name(layout.description), own_classes, called, row, ignored)


def _read_numbers(sheet: Sheet, columns: list[int], names: list[str]) -> np.ndarray:
    """Return the numbers of some columns of a sheet; nan where one is missing."""
    if columns == sheet.numeric:
        return sheet.numbers
    values, wrong = np.empty((len(sheet.numbers), len(columns))), []
    place = {j: i for i, j in enumerate(sheet.numeric)}
    for k, j in enumerate(columns):
        if j in place:
            values[:, k] = sheet.numbers[:, place[j]]
            continue
        values[:, k] = list(map(number, sheet.text[j]))
        empty = np.flatnonzero(np.isnan(values[:, k]))
        wrong += [(i, j) for i in empty if sheet.text[j][i] not in MISSING]
    if wrong and sheet.lines is None:
        raise _UnsureError
    if wrong:
        i, j = min(wrong)
        cell = sheet.text[j][i]
        found = (
            f"{len(wrong):,} are not, the first {cell[:40]!r} in row {sheet.lines[i]} "
            f"({names[i]}), column {sheet.header[j]}"
        )
        rule, advice = "every value must be a finite number", "correct or --drop its row or column"
        if DECIMAL_COMMA.fullmatch(cell):
            rule, advice = "numbers must have decimal points, not commas", "export them with points"
        raise refusal(sheet.path, rule, found, advice)
    values += 0.0  # -0 becomes 0
    return values


def _is_value(cell: str) -> bool:
    return cell in MISSING or not np.isnan(number(cell))


def _is_no_gene(name: str) -> bool:
    """Return whether a name is one of clinical data, or of what a counting program adds."""
    if not SUSPECT.search(name):
        return False
    words = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name)
    added = name.startswith(("__", "N_")) or plain(name) in NO_GENE_NAMES
    return added or not NO_GENE_WORDS.isdisjoint(map(str.casefold, words))
