"""Read files of classes: the patients they name, and the one column that holds the classes.

A table has a row a patient; which column names the patients shows in the expression files. Whose
the classes of a CLS file are: see `tables.py`.
"""

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from expression.errors import refusal, shortlist
from expression.reading.files import check_names, cut_off, plain, read_bytes
from expression.reading.sheets import PATIENT_HEADERS, Sheet, read_sheet


class Choices(NamedTuple):
    """What the user decided where files can be read in more than one way."""

    class_column: str | None = None
    classes: Collection[str] = ()  # two of several
    drop: Collection[str] = ()  # columns and rows that are left out; * stands for anything
    keep: Collection[str] = ()  # genes, though their names look otherwise

    def leaves_out(self, name: str) -> bool:
        return matches(name, self.drop)

    def drop_columns(self, sheet: Sheet) -> Sheet:
        return sheet.without_columns(j for j, name in sheet.header.items() if self.leaves_out(name))


class Labels(NamedTuple):
    """One file of classes: a sheet, or the classes of a CLS file in their order."""

    path: Path
    sheet: Sheet | None
    ordered: list[str]


class Source(NamedTuple):
    """The classes that one file gives."""

    path: Path
    classes: dict[str, str]  # by patient
    column: str = ""  # that holds them


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern fits, in which * and ? stand for others; brackets are in names."""
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)


def read_labels(path: Path, choices: Choices) -> Labels:
    """Return the content of a file of classes, table or CLS."""
    text = read_bytes(path).decode()
    lines = text.splitlines()
    if len(lines) < 2 or not re.match(r"\s*#", lines[1]) or lines[0].startswith("#"):
        return Labels(path, choices.drop_columns(read_sheet(path)), [])
    sizes, names, codes = lines[0], lines[1].replace("#", " ").split(), " ".join(lines[2:]).split()
    by_name = set(codes) <= set(names)  # else by position; names can be numbers, too
    by_code = {name if by_name else str(i): name for i, name in enumerate(names)}
    stated = sizes.split()[:2] == [str(len(codes)), str(len(names))]
    if not codes or not stated or not by_code.keys() >= set(codes):
        found = f"{len(codes)} codes, {len(names)} names, and {sizes[:40]!r} above them"
        raise refusal(path, "must be a CLS file whose sizes agree", found, "export it again")
    _check_last(path, text.endswith(("\n", "\r")), codes)
    classes = [by_code[code] for code in codes]
    if list(dict.fromkeys(classes)) != names[: len(set(classes))]:
        # GenePattern reads 0 as the first name, GSEA the first code as the first name
        rule = "a CLS file must use its classes in the order in which it names them"
        found = f"it names {names[0]} first, and begins with {codes[0]}: two readings are possible"
        raise refusal(path, rule, found, "give a table of patient and class")
    return Labels(path, None, classes)


def match_codes(labels: Labels, in_order: list[list[str]]) -> Source:
    """Return the classes of a CLS file, which belong to the next patients in order."""
    codes, patients = labels.ordered, [name for names in in_order for name in names]
    if in_order and len(codes) == len(in_order[0]):
        patients = in_order.pop(0)
    if len(codes) != len(patients):
        rule = "a CLS file must have a code for each patient of the training, test, or both files"
        advice = "give one a file, training first, or a table of patient and class"
        raise refusal(labels.path, rule, f"found {len(codes)} codes", advice)
    return Source(labels.path, dict(zip(patients, codes, strict=True)))


def name_patients(labels: Labels, sheets: list[Sheet], choices: Choices) -> Source:
    """Return the class of each patient in a table of classes.

    The patients are the column that shares most entries with the expression files.
    """
    path, header, columns = labels.path, labels.sheet.header, labels.sheet.text
    if path in [sheet.path for sheet in sheets]:
        rule, found = "must be another file than the expression", "its classes are read anyway"
        raise refusal(path, rule, found, "leave --labels out, and see --class-column")
    there = [cells for sheet in sheets for cells in sheet.text.values()]
    there = [cells for cells in there if 2 * len(set(cells)) > len(cells)]  # no column of classes
    known = set().union(*there, *(sheet.header.values() for sheet in sheets))
    shared = {j: len(known.intersection(cells) - {""}) for j, cells in columns.items()}
    key = max(shared, key=shared.get, default=None)
    if not shared.get(key):
        rule = f"must name the patients of {' or '.join(str(s.path) for s in sheets)}"
        names, rows = (next(iter(s.text.values()), []) for s in (labels.sheet, sheets[0]))
        there = f"columns {shortlist(sheets[0].header.values(), 2)}, rows {shortlist(rows, 2)}"
        found = f"none of {shortlist(names) or 'its entries'} is there: {there}"
        raise refusal(path, rule, found, "use the same names in both")
    if others := [j for j in columns if shared[j] == shared[key] and columns[j] != columns[key]]:
        rule = "must name the patients once"
        found = f"columns that may: {shortlist(header[j] for j in (key, *others))}"
        raise refusal(path, rule, found, "leave one out with --drop NAME")
    chosen = choose_classes(labels.sheet, columns.keys() - {key}, choices)
    headless = header[key] in known and header[chosen] in columns[chosen]
    if headless and key not in labels.sheet.called(PATIENT_HEADERS):
        found = f"its first line, {header[key]} and {header[chosen]}, was read as one"
        raise refusal(path, "must have a header", found, "write one above, such as patient,class")
    last = max(columns)
    _check_last(path, labels.sheet.ended, columns[last if key == last else chosen])
    rows = zip(columns[key], columns[chosen], strict=True)
    rows = [(name, label) for name, label in rows if not choices.leaves_out(name)]
    check_names(path, header[key] or "row", [name for name, _ in rows])
    given = {name: label for name, label in rows if label or not choices.classes}
    if empty := [name for name, label in given.items() if not label]:
        rule, found = "every patient must have a class", f"{shortlist(empty)} have none"
        raise refusal(path, rule, found, "complete it, or leave them out with --drop NAME")
    check_names(path, header[chosen] or "class", set(given.values()))
    return Source(path, given, header[chosen])


def choose_classes(sheet: Sheet, among: Collection[int], choices: Choices) -> int:
    """Return the one column that can hold the classes."""
    column = choices.class_column
    found = shortlist(sheet.header[j] for j in sheet.words.intersection(among) or among)
    if column is not None:
        exact = [j for j in among if sheet.header[j] == column]
        same = exact or list(sheet.called({plain(column)}).intersection(among))
        if len(same) != 1:
            rule = f"must be a column of {sheet.path}"
            raise refusal("--class-column", rule, found, "choose one")
        return same[0]
    possible = list(among) if len(among) == 1 else possible_classes(sheet, among, choices)
    if len(possible) != 1:
        found = f"found {shortlist(sheet.header[j] for j in possible or among)}"
        advice = "choose one with --class-column NAME"
        raise refusal(sheet.path, "must have one column of classes", found, advice)
    return possible[0]


def possible_classes(sheet: Sheet, among: Collection[int], choices: Choices) -> list[int]:
    """Return the columns of few different texts, or of two different numbers."""

    def is_possible(j: int) -> bool:
        values = set(sheet.text.get(j, ()))
        if choices.classes:
            return values.issuperset(choices.classes)
        return 2 <= len(values) <= (len(sheet.numbers) / 2 if j in sheet.words else 2)

    return [j for j in sorted(among) if is_possible(j)]


def read_annotation(path: Path, keys: set[str], values: set[str]) -> dict[str, str]:
    """Return the column called one of `values` by the one called one of `keys`.

    In a table of two columns the names may be others, in this order.
    """
    sheet = read_sheet(path)
    columns = list(sheet.header)
    key, value = (min(sheet.called(names), default=None) for names in (keys, values))
    if len(columns) == 2:
        key = key if key is not None else columns[columns[0] == value]
        value = columns[columns[0] == key]
    if key is None or value is None:
        rule = f"must have the columns {min(keys)} and {min(values)}"
        found = f"found {shortlist(sheet.header.values())}"
        raise refusal(path, rule, found, "rename its header")
    names, texts = sheet.text[key], sheet.text[value]
    check_names(path, sheet.header[key] or "row", names)
    _check_last(path, sheet.ended, texts)
    check_names(path, sheet.header[value], set(texts))
    return dict(zip(names, texts, strict=True))


def _check_last(path: Path, ended: bool, values: list[str]) -> None:
    """Raise when a file may have ended within the last value."""
    *others, last = values
    longer = any(other.startswith(last) and other != last for other in others)
    if not ended and (longer or last not in others):
        raise cut_off(path, f"it ends in {last!r}")
