"""Read files of classes: the patients they name, and the one column that holds the classes.

A table has a row a patient; which column names the patients shows in the expression files. A CLS
file of GenePattern names nobody: its codes follow the order of the patients in those. Where more
than one column can hold the classes the file is refused, and the refusal names the option that
decides.
"""

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from expression.files import check_names, number, plain, read_text, refusal, shortlist
from expression.sheets import Sheet, read_sheet

DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+([eE][+-]?\d+)?")


class Choices(NamedTuple):
    """What the user decided where files can be read in more than one way."""

    class_column: str | None = None
    classes: Collection[str] = ()  # two of several
    drop: Collection[str] = ()  # columns and rows that are left out; * stands for anything
    keep: Collection[str] = ()  # genes, though their names look otherwise


class Labels(NamedTuple):
    """One file of classes: a sheet, or the classes of a CLS file in their order."""

    path: Path
    sheet: Sheet | None
    codes: list[str]

    @property
    def names(self) -> set[str]:
        """Whatever may be the name of a patient."""
        return set().union(*(self.sheet.text.values() if self.sheet else ()))


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def is_text(cells: list[str]) -> bool:
    """Return whether cells hold no number, not even with a decimal comma."""
    suspects = (cell for cell in cells if cell[:1] in "+-.,0123456789")
    return all(np.isnan(number(c)) and not DECIMAL_COMMA.fullmatch(c) for c in suspects)


def read_labels(path: Path, choices: Choices) -> Labels:
    """Return the content of a file of classes, table or CLS."""
    lines = read_text(path).splitlines()
    if len(lines) < 2 or not re.match(r"\s*#", lines[1]) or lines[0].startswith("#"):
        sheet = read_sheet(path)
        dropped = {j for j, name in enumerate(sheet.header) if matches(name, choices.drop)}
        return Labels(path, sheet.without_columns(dropped), [])
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
    known = {name for s in sheets for name in s.header}
    known.update(*(cells for s in sheets for cells in s.text.values()))
    columns = list(sheet.text.values())
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
    chosen = choose_classes(path, sheet, set(range(len(columns))) - same, choices)
    names, classes = columns[key], columns[chosen]
    _check_last(path, sheet.ended, columns[-1] if key == len(columns) - 1 else classes)
    rows = [(n, c) for n, c in zip(names, classes, strict=True) if not matches(n, choices.drop)]
    check_names(path, sheet.header[key] or "row", [name for name, _ in rows])
    given = {name: label for name, label in rows if label or not choices.classes}
    if empty := [name for name, label in given.items() if not label]:
        rule, found = "every patient must have a class", f"{shortlist(empty)} have none"
        raise refusal(path, rule, found, "complete it, or leave them out with --drop NAME")
    check_names(path, sheet.header[chosen] or "class", set(given.values()))
    return given, sheet.header[chosen]


def choose_classes(path: Path, sheet: Sheet, among: set[int], choices: Choices) -> int:
    """Return the one column that can hold the classes."""
    column, found = choices.class_column, shortlist(sheet.header[j] for j in among)
    if column is not None:
        exact = [j for j in among if sheet.header[j] == column]
        same = exact or [j for j in among if plain(sheet.header[j]) == plain(column)]
        if len(same) != 1:
            raise refusal("--class-column", f"must be a column of {path}", found, "choose one")
        return same[0]
    possible = sorted(among) if len(among) == 1 else possible_classes(sheet, among, choices)
    if len(possible) > 1:
        found = shortlist(sheet.header[j] for j in possible)
    if len(possible) != 1:
        rule = "must have one column of classes"
        raise refusal(path, rule, f"found {found}", "choose one with --class-column NAME")
    return possible[0]


def possible_classes(sheet: Sheet, among: set[int], choices: Choices) -> list[int]:
    """Return the columns of few different texts, or of two different numbers."""
    possible = []
    for j in sorted(among):
        values = set(cells := sheet.text.get(j, []))
        most = 2 if cells and not is_text(cells) else len(cells) / 2
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
        advice = "copy it again, or if it is whole, end it with a line break"
        raise refusal(path, "must end with a line break", f"it ends in {last!r}", advice)
