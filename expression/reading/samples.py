"""What the sample sheet says of patients besides their class: their batch, person and subtype.

The sample sheet has a row a patient: a file of classes, an expression table with a row a patient,
or the samples.csv of a data folder. The user names its columns; of samples.csv some are known.
"""

import re
from pathlib import Path
from typing import NamedTuple

from expression.errors import DataError, refusal, shortlist
from expression.reading.sheets import (
    MISSING,
    PATIENT_HEADERS,
    ReadingOptions,
    Sheet,
    check_last,
    check_names,
    is_value,
    plain,
    read_sheet,
)

# Of a column of whole numbers that names patients, as `plain` writes headers
NAMING_HEADER = re.compile(
    "patient|sample|subject|donor|individual|barcode|accession|unnamed|rownames?"
    r"|\b(case|id|number|no|nr|code|array|chip|index|row|names?|x)\b|^$"
)


class Kind(NamedTuple):
    """One thing that a sample sheet may say of a patient."""

    option: str  # that names its column
    title: str
    known_column: str = ""  # of samples.csv, taken where the option names no other


KINDS = {
    "batch": Kind("--batch-column", "Batches", known_column="source"),
    "group": Kind("--group-column", "Groups"),
    "subtype": Kind("--subtype-column", "Subtypes", known_column="subtype"),
}
NO_BATCHES = (
    "Batches: none known, so whether the classes differ by disease or by laboratory was not "
    f"looked at (see {KINDS['batch'].option})."
)


class Column(NamedTuple):
    """What one file says of its patients."""

    path: Path
    name: str  # in the header of the file
    entries: dict[str, str]  # by patient, of those that have one

    @property
    def place(self) -> str:
        return f"column {self.name!r} of {self.path.name}"


class Samples(NamedTuple):
    """The samples.csv of a data folder."""

    sheet: Sheet
    patients: list[str]
    columns: dict[str, Column]  # by kind


def read_samples(path: Path, options: ReadingOptions) -> Samples:
    """Return the sample sheet of a data folder, with the columns known or named."""
    sheet = read_sheet(path).without(options)
    known = {kind: about.known_column for kind, about in KINDS.items() if about.known_column}
    columns = find_columns(sheet, known | options.named_columns)
    key = patient_column(sheet, columns)
    if key is None:
        found = f"found none in {shortlist(sheet.header.values()) or 'it'}"
        raise refusal(path, "must have a column of patients", found, "call it 'sample'")

    patients = [patient for patient in sheet.text[key] if not options.leaves_out(patient)]
    check_names(path, sheet.header[key] or "row", patients)
    last = max(sheet.text)
    if last in (key, *columns.values()):
        check_last(path, sheet.ended, sheet.text[last])
    return Samples(sheet, patients, read_columns(sheet, key, columns))


# --- which column is what -------------------------------------------------------------------------


def find_columns(sheet: Sheet, names: dict[str, str]) -> dict[str, int]:
    """Return the columns of these names, by kind; kinds whose column is not there are left out.

    A column has this very name, or else one that differs in its case or punctuation only.
    """
    columns = {}
    for kind, name in names.items():
        fitting = [j for j, header in sheet.header.items() if header == name]
        if not fitting:
            fitting = sorted(sheet.called({plain(name)}))
        if len(fitting) > 1:
            raise refusal(
                KINDS[kind].option,
                f"must be one column of {sheet.path}",
                f"{len(fitting)} are called {name}",
                "rename the others",
            )
        if fitting:
            columns[kind] = fitting[0]
    return columns


def patient_column(sheet: Sheet, columns: dict[str, int]) -> int | None:
    """Return the column called as those of patients are, or else the first; None if neither names.

    One of the `columns`, by kind, names the arrays only where no other can: as where each patient
    is a group.
    """
    if sheet.patient_column not in (None, *columns.values()):
        return sheet.patient_column
    called = sheet.called(PATIENT_HEADERS)
    if called and not columns:
        return min(called)

    named = set(columns.values())
    unique = {j for j, cells in sheet.text.items() if len(set(cells)) == len(cells)}
    for candidates in ((called - named) & unique, called & unique, called - named):
        if candidates:
            return min(candidates)

    others = {sheet.first}
    if columns:
        others = (others | sheet.words) & unique
    return min((j for j in others - named if may_name_patients(sheet, j)), default=None)


def may_name_patients(sheet: Sheet, column: int) -> bool:
    """Return whether a column holds text, or whole numbers of which each is another.

    Numbers with decimals, repeated ones and missing ones are measured: they name nobody.
    """
    cells = sheet.text.get(column)
    if cells is None:
        return False
    if not all(map(is_value, cells)):
        return True
    return all(map(str.isdecimal, cells)) and len(set(cells)) == len(cells)


def numbers_name_patients(sheet: Sheet, column: int) -> bool:
    """Return whether whole numbers, each another, are names beyond doubt and no gene.

    They are where their header says so, or where they count the rows.
    """
    if NAMING_HEADER.search(plain(sheet.header[column])):
        return True
    numbers = sorted(map(int, sheet.text[column]))
    return numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def read_columns(sheet: Sheet, key: int, columns: dict[str, int]) -> dict[str, Column]:
    """Return what columns say of the patients that the column `key` names, by kind."""
    return {
        kind: Column(
            sheet.path,
            sheet.header[j],
            {
                patient: entry
                for patient, entry in zip(sheet.text[key], sheet.text[j], strict=True)
                if entry not in MISSING
            },
        )
        for kind, j in columns.items()
    }


def check_named(options: ReadingOptions, sheets: list[Sheet], expression: list[Sheet]) -> None:
    """Raise unless every column that the user names is in a sample sheet, or in the expression."""
    for kind, name in options.named_columns.items():
        if not any(find_columns(sheet, {kind: name}) for sheet in [*sheets, *expression]):
            raise no_column(kind, sheets or expression)


def no_column(kind: str, sheets: list[Sheet]) -> DataError:
    """Return the refusal of a name that no column of the sheets has."""
    files = " or ".join(str(sheet.path) for sheet in sheets) or "the file of classes"
    names = list(dict.fromkeys(name for sheet in sheets for name in sheet.header.values()))
    found = f"found {shortlist(names[:20], 20) or 'none'}" + (", ..." if names[20:] else "")
    advice = "choose one, or add it to a table of patient and class (--labels)"
    return refusal(KINDS[kind].option, f"must be a column of {files}", found, advice)


# --- what all files say together ------------------------------------------------------------------


def join_columns(kind: str, columns: list[Column], patients: list[str]) -> Column:
    """Return what all files say of these patients: of each something, and of none two things."""
    path, name, _ = columns[0]
    entries = {}
    for patient in patients:
        paths = {column.entries.get(patient): column.path for column in columns}
        paths.pop(None, None)  # of the files that say nothing of this patient
        if len(paths) > 1:
            raise _contradiction(kind, patient, paths)
        if paths:
            [entries[patient]] = paths

    where = ", ".join(str(column.path) for column in columns)
    if without := [patient for patient in patients if patient not in entries]:
        raise refusal(
            where,
            f"must give each patient a {kind} in column {name!r}",
            f"{shortlist(without)} have none",
            "complete it, or leave them out with --drop NAME",
        )
    check_names(where, name or kind, set(entries.values()))
    return Column(path, name, entries)


def _contradiction(kind: str, patient: str, paths: dict[str, Path]) -> DataError:
    """Return the refusal of two entries of one patient; `paths` by entry."""
    (first, first_path), (other, other_path) = list(paths.items())[:2]
    return refusal(
        other_path,
        f"a patient has one {kind}",
        f"{patient} is {other} here, {first} in {first_path}",
        f"correct one of them (see {KINDS[kind].option})",
    )


def check_batches(batches: Column, is_named: bool) -> None:
    """Raise when every patient is a batch: then the column, named or known, says something else."""
    if len(set(batches.entries.values())) < len(batches.entries):
        return
    option = KINDS["batch"].option
    leave_out = "leave the option out" if is_named else f"leave it out with --drop {batches.name}"
    raise refusal(
        option if is_named else batches.path,
        "a batch must have more than one patient",
        f"every entry of {batches.place} is another",
        f"choose another column with {option} NAME, or {leave_out}",
    )


def check_groups(groups: Column, training: list[str], test: list[str]) -> None:
    """Raise when arrays of one person are in the training and in the test set."""
    people = {groups.entries[patient] for patient in training}
    if both := people.intersection(groups.entries[patient] for patient in test):
        raise refusal(
            groups.path,
            f"no one in column {groups.name!r} may be in the training and in the test set",
            f"found {shortlist(both)}",
            "put all arrays of one into one file, or leave some out with --drop NAME",
        )


def describe_columns(kind: str, columns: list[Column], joined: Column) -> str:
    """Return a sentence on where what is known of a kind was read."""
    places = ", ".join(column.place for column in columns)
    counts = ""
    if kind == "group":
        people = len(set(joined.entries.values()))
        counts = f" ({people:,} people, {len(joined.entries):,} arrays)"
    return f"{KINDS[kind].title}: {places}{counts}."
