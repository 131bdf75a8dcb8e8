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
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.files import check_names, clean, number, plain, read_text, refusal, shortlist
from expression.sheets import MISSING, Sheet, read_sheet

# Column headers as `plain` writes them
ACCESSION_HEADER = "gene accession number"
DESCRIPTION_HEADERS = {"gene description", "description", "gene name", "gene symbol", "hugo symbol"}
PATIENT_HEADERS = {"patient", "patient id", "sample", "sample id", "subject", "id"}
CLASS_HEADERS = {"cancer", "class", "diagnosis", "disease", "group", "label", "phenotype", "type"}
# Numbers that say something of a gene: of featureCounts, of cBioPortal
GENE_ANNOTATION = {"entrez gene id", "chr", "start", "end", "strand", "length"}
NAME_HEADERS = {ACCESSION_HEADER, *PATIENT_HEADERS, *CLASS_HEADERS, *GENE_ANNOTATION}
# Words in the names of columns and rows that are measured on patients, but are no genes
NO_GENES = {
    *("age", "sex", "gender", "stage", "grade", "survival", "time", "day", "days", "month"),
    *("months", "year", "years", "event", "status", "batch", "os", "pfs", "dfs", "bmi", "weight"),
    *("height", "patient", "sample", "subject", "class", "cancer", "diagnosis", "ambiguous"),
}
DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+([eE][+-]?\d+)?")


class Choices(NamedTuple):
    """What the user decided where files can be read in more than one way."""

    class_column: str | None = None
    classes: Collection[str] = ()  # two of several
    drop: Collection[str] = ()  # columns and rows that are left out; * stands for anything
    keep: Collection[str] = ()  # genes, though their names look otherwise


class Table(NamedTuple):
    """One expression file, in its own order."""

    path: Path
    values: pd.DataFrame  # genes x patients; nan where a value is missing
    descriptions: dict[str, str]  # by accession
    classes: dict[str, str]  # by patient; empty when the file has no column of them
    class_column: str  # the name of that column
    ignored: list[str]  # columns of annotation


class Labels(NamedTuple):
    """One file of classes: a sheet, or the classes of a CLS file in their order."""

    path: Path
    sheet: Sheet | None
    codes: list[str]

    @property
    def names(self) -> set[str]:
        """Whatever may be the name of a patient."""
        columns = [] if self.sheet is None else self.sheet.columns.to_numpy().ravel()
        return set(map(clean, columns))


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


# --- files of classes -----------------------------------------------------------------------------


def read_labels(path: Path, choices: Choices) -> Labels:
    """Return the content of a file of classes, table or CLS."""
    lines = read_text(path).splitlines()
    if len(lines) < 2 or not re.match(r"\s*#", lines[1]) or lines[0].startswith("#"):
        sheet = read_sheet(path)
        dropped = [j for j, name in enumerate(sheet.header) if matches(name, choices.drop)]
        return Labels(path, sheet.without(dropped), [])
    sizes, names, codes = lines[0], lines[1].replace("#", " ").split(), " ".join(lines[2:]).split()
    by_code = {str(i): name for i, name in enumerate(names)} | {name: name for name in names}
    stated = sizes.split()[:2] == [str(len(codes)), str(len(names))]
    if not stated or not by_code.keys() >= set(codes):
        found = f"{len(codes)} codes, {len(names)} names, and {sizes[:40]!r} above them"
        raise refusal(path, "must be a CLS file whose sizes agree", found, "export it again")
    _check_last(path, read_text(path).endswith(("\n", "\r")), codes)
    return Labels(path, None, [by_code[code] for code in codes])


def match_codes(labels: Labels, in_order: list[list[str]]) -> dict[str, str]:
    """Return the classes of a CLS file, which belong to the next patients in order."""
    codes, patients = labels.codes, [name for names in in_order for name in names]
    if in_order and len(codes) == len(in_order[0]):
        patients = in_order.pop(0)
    if len(codes) != len(patients):
        rule = "a CLS file must have a code for each patient of the training, test, or both files"
        advice = "give one a file, training first, or a table of patient and class"
        raise refusal(labels.path, rule, f"found {len(codes)} codes", advice)
    return dict(zip(patients, codes, strict=True))


def name_patients(
    labels: Labels, sheets: list[Sheet], choices: Choices
) -> tuple[dict[str, str], str]:
    """Return the class of each patient in a table of classes, and the name of the class column.

    The patients are the column that shares most entries with the expression files.
    """
    path, sheet = labels.path, labels.sheet
    known = {clean(name) for s in sheets for name in s.header}
    for s in sheets:
        known.update(*(s.text(j) or () for j in range(len(s.header))))
    columns = [sheet.text(j) for j in range(len(sheet.header))]
    shared = [len(known.intersection(cells) - {""}) for cells in columns]
    files = " or ".join(str(s.path) for s in sheets)
    if not max(shared):
        found = f"none of {shortlist(columns[0])} is a column or a row there"
        raise refusal(path, f"must name the patients of {files}", found, "use the same names")
    key, *others = (j for j, count in enumerate(shared) if count == max(shared))
    if others := [j for j in others if columns[j] != columns[key]]:
        rule, found = (
            "must name the patients once",
            shortlist(sheet.header[j] for j in [key, *others]),
        )
        raise refusal(path, rule, f"columns that may: {found}", "leave one out with --drop NAME")
    same = {j for j, cells in enumerate(columns) if cells == columns[key]}
    chosen = _choose_classes(path, sheet, set(range(len(columns))) - same, choices)
    names, classes = columns[key], columns[chosen]
    check_names(path, sheet.header[key] or "row", names)
    _check_last(path, sheet.ended, columns[-1] if key == len(columns) - 1 else classes)
    given = {n: c for n, c in zip(names, classes, strict=True) if c or not choices.classes}
    check_names(path, sheet.header[chosen] or "class", set(given.values()))
    return given, sheet.header[chosen]


def _choose_classes(path: Path, sheet: Sheet, among: set[int], choices: Choices) -> int:
    """Return the one column that can hold the classes."""
    column, found = choices.class_column, shortlist(sheet.header[j] for j in among)
    if column is not None:
        exact = [j for j in among if sheet.header[j] == column]
        same = exact or [j for j in among if plain(sheet.header[j]) == plain(column)]
        if len(same) != 1:
            raise refusal("--class-column", f"must be a column of {path}", found, "choose one")
        return same[0]
    possible = sorted(among) if len(among) == 1 else _possible_classes(sheet, among, choices)
    if len(possible) > 1:
        found = shortlist(sheet.header[j] for j in possible)
    if len(possible) != 1:
        rule = "must have one column of classes"
        raise refusal(path, rule, f"found {found}", "choose one with --class-column NAME")
    return possible[0]


def _possible_classes(sheet: Sheet, among: set[int], choices: Choices) -> list[int]:
    """Return the columns of few different texts, or of two different numbers."""
    possible = []
    for j in sorted(among):
        values = set(cells := sheet.text(j) or [])
        most = 2 if cells and not _is_text(cells) else len(cells) / 2
        fits = set(choices.classes) <= values if choices.classes else 2 <= len(values) <= most
        possible += [j] if fits else []
    return possible


def read_annotation(path: Path, keys: set[str], values: set[str]) -> dict[str, str]:
    """Return the column called one of `values` by the one called one of `keys`.

    In a table of two columns the names may be others, in this order.
    """
    sheet = read_sheet(path)
    headers = [plain(cell) for cell in sheet.header]
    key, value = (
        next((j for j, name in enumerate(headers) if name in known), None)
        for known in (keys, values)
    )
    if len(headers) == 2:
        key = key if key is not None else int(value == 0)
        value = 1 - key
    if key is None or value is None:
        rule = f"must have the columns {min(keys)} and {min(values)}"
        raise refusal(path, rule, f"found {shortlist(sheet.header)}", "rename its header")
    names, texts = sheet.text(key), sheet.text(value)
    check_names(path, sheet.header[key] or "row", names)
    _check_last(path, sheet.ended, texts)
    check_names(path, sheet.header[value], set(texts))
    return dict(zip(names, texts, strict=True))


def _check_last(path: Path, ended: bool, values: list[str]) -> None:
    """Raise when a file may have ended within the last value."""
    *others, last = values
    longer = any(other.startswith(last) and other != last for other in others)
    if not ended and (longer or last not in others):
        advice = "copy it again, or if it is whole, end it with a line break"
        raise refusal(path, "must end with a line break", f"it ends in {last!r}", advice)


# --- expression files -----------------------------------------------------------------------------


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
    if not sheet.ended:
        rule, found = "must end with a line break", "its last number may be cut off"
        advice = "copy it again, or if it is whole, end its last row with a line break"
        raise refusal(sheet.path, rule, found, advice)
    sheet = sheet.without(j for j, h in enumerate(sheet.header) if matches(clean(h), choices.drop))
    header = list(map(clean, sheet.header))
    text = {j: cells for j in range(len(header)) if (cells := sheet.text(j)) is not None}
    words = {j for j, cells in text.items() if _is_text(cells)}
    columns = _Columns(header, list(map(plain, header)), text, words)
    if named:
        layout = _by_names(sheet, columns, named, where)
    elif ordered:
        layout = _by_order(sheet, columns)
    else:
        layout = _by_class_column(sheet, columns, choices)
    if not {layout.key, layout.classes} <= {*text, None}:  # names that look like numbers
        return find_table(read_sheet(sheet.path), named, ordered, choices, where)
    if layout.unlabelled and not choices.classes:
        rule, found = (
            f"must give each patient of {sheet.path} a class",
            shortlist(layout.unlabelled),
        )
        advice = "complete it, or leave them out: --drop NAME, or two classes: --classes A B"
        raise refusal(where, rule, f"{found} have none", advice)
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
    if down.get(key, 0) * len(header) > len(across) * len(sheet.columns):
        unlabelled = [name for name in text[key] if name and name not in named]
        numbers = [j for j in range(len(header)) if j not in words | {key}]
        return _Layout(key, numbers, True, unlabelled)
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
    among = called | set(_possible_classes(sheet, among, choices))
    if choices.class_column is not None:
        among = set(range(len(header)))
    elif not among or {ACCESSION_HEADER, *DESCRIPTION_HEADERS} & set(headers):
        found = f"{path} has no column of them, and there is no file of them"
        raise refusal("--labels", "must name the file of classes", found, "name the file")
    classes = _choose_classes(path, sheet, among, choices)
    if classes == key:
        rule, found = "must have a column of patients", f"{header[key]!r} is that of classes"
        raise refusal(path, rule, found, "call it 'patient'")
    numbers = [j for j in range(len(header)) if j not in words | {key, classes}]
    return _Layout(key, numbers, True, classes=classes)


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
    return next(
        (
            j
            for j in sorted(among & columns.words)
            if columns.headers[j] in DESCRIPTION_HEADERS and len(set(columns.text[j])) > 1
        ),
        None,
    )


def _read_table(
    sheet: Sheet, columns: _Columns, layout: _Layout, classes: set[str], choices: Choices
) -> Table:
    """Read the values of a sheet whose layout is known, and check its names."""
    path, (header, _, text, words) = sheet.path, columns
    names, across = text[layout.key], [header[j] for j in layout.numbers]
    if dropped := {name for name in names if matches(name, choices.drop)}:
        kept = [i for i, name in enumerate(names) if name not in dropped]
        names, lines = [names[i] for i in kept], [sheet.lines[i] for i in kept]
        text = {j: [cells[i] for i in kept] for j, cells in text.items()}
        sheet = sheet._replace(columns=sheet.columns.iloc[kept], lines=lines)
    values = _read_numbers(sheet, layout, names)
    values = pd.DataFrame(values, names, across, copy=False)
    values = values.T if layout.by_row else values
    if layout.by_row and choices.classes:
        values = values.drop(columns=layout.unlabelled, errors="ignore")
    check_names(path, "gene", values.index)
    check_names(path, "patient", values.columns)
    odd = [name for name in values.index if _is_no_gene(name) and not matches(name, choices.keep)]
    if odd:
        found = f"{len(odd)} look otherwise: {shortlist(odd)}"
        raise refusal(
            path, "every gene must be one", found, "leave them out (--drop) or --keep them"
        )

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
    return Table(
        path,
        values,
        by_name(layout.description),
        own_classes,
        ", ".join(header[j] for j in own),
        ignored,
    )


def _read_numbers(sheet: Sheet, layout: _Layout, names: list[str]) -> np.ndarray:
    """Return the numbers of a sheet, rows x columns; nan where one is missing."""
    columns, wrong = sheet.columns[layout.numbers], []
    if all(dtype.kind != "O" for dtype in columns.dtypes):
        values = columns.to_numpy(float)
        values += 0.0  # -0 becomes 0
        return values
    values = np.empty(columns.shape)
    for j, (position, cells) in enumerate(columns.items()):
        values[:, j] = list(map(number, cells)) if cells.dtype.kind == "O" else cells
        for i in np.flatnonzero(np.isnan(values[:, j])):
            wrong += [(i, position)] if str(cells.iloc[i]) not in MISSING else []
    if wrong:
        i, j = min(wrong)
        cell = sheet.columns[j].iloc[i]
        found = (
            f"{len(wrong):,} are not, the first {cell[:40]!r} in row {sheet.lines[i]} "
            f"({names[i]}), column {sheet.header[j]}"
        )
        rule, advice = "every value must be a finite number", "correct or --drop its row or column"
        if DECIMAL_COMMA.fullmatch(cell):
            rule, advice = "numbers must have decimal points, not commas", "export them with points"
        raise refusal(sheet.path, rule, found, advice)
    return values + 0.0


def _is_value(cell: str) -> bool:
    return cell in MISSING or not np.isnan(number(cell))


def _is_text(cells: list[str]) -> bool:
    """Return whether cells hold no number, not even with a decimal comma."""
    numeric = any(not np.isnan(number(c)) or DECIMAL_COMMA.fullmatch(c) for c in cells)
    return not numeric and any(cell not in MISSING for cell in cells)


def _is_no_gene(name: str) -> bool:
    """Return whether a name is one of clinical data, or of what a counting program adds."""
    parts = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name)
    return name.startswith(("__", "N_")) or not NO_GENES.isdisjoint(map(str.casefold, parts))
