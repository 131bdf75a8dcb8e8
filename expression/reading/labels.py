"""Read files of classes: the patients they name, and the one column that holds the classes.

A table has a row a patient; which column names the patients shows in the expression files. Whose
the classes of a CLS file are: see `tables.py`.
"""

import math
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from expression.data import MIN_PATIENTS
from expression.errors import DataError, refusal, shortlist
from expression.reading.samples import KINDS, Column, find_columns, read_columns
from expression.reading.sheets import (
    DELIMITERS,
    MISSING,
    PATIENT_HEADERS,
    ReadingOptions,
    SampleSheet,
    Sheet,
    check_last,
    check_names,
    clean,
    number,
    plain,
    read_sample_sheet,
    read_sheet,
    read_table,
)

# Of a column of numbers that holds classes, as `plain` writes headers
TARGET_HEADERS = {"labels", "outcome", "response", "target", "targets", "y"}
# Of the class that another is compared with, as `plain` writes names; a minus ends it, as ER-
REFERENCE = re.compile(
    r"\b(normals?|controls?|ctrl|healthy|wild ?type|wt|reference|benign|negative|neg|untreated"
    r"|remission|false|absent|without)\b|^(no|non|not)\b"
)


class Labels(NamedTuple):
    """One file of classes: a sheet, or the classes of a CLS file in their order."""

    path: Path
    sheet: Sheet | None
    in_order: list[str]
    class_column: str | None = None  # where the format says so, as Orange's and that of GDS do
    group_column: str | None = None
    is_inside: bool = False  # the expression file itself


class Source(NamedTuple):
    """The classes that one file gives."""

    path: Path
    classes: dict[str, str]  # by patient
    column: str  # that holds them; empty of a CLS file
    columns: dict[str, Column]  # what else the file says of the patients, by kind


def read_labels(path: Path, options: ReadingOptions) -> Labels:
    """Return the content of a file of classes: a table, CLS, or a sample sheet within others."""
    if (inside := read_sample_sheet(path)) is not None:
        return _labels_inside(path, inside, options)
    content = read_table(path)
    text = content.decode() if isinstance(content, bytes) else ""
    lines = text.splitlines()
    if len(lines) < 2 or not re.match(r"\s*#", lines[1]) or lines[0].startswith("#"):
        _check_columns(path, lines)
        return Labels(path, read_sheet(path).without(options), [])

    classes = _read_cls(path, lines, ended=text.endswith("\n"))
    return Labels(path, None, classes)


def read_labels_inside(paths: list[Path], options: ReadingOptions) -> list[Labels]:
    """Return the sample sheets that expression files hold themselves, if any may hold classes."""
    sheets = {path: read_sample_sheet(path) for path in paths}
    labels = [
        _labels_inside(path, inside, options)._replace(is_inside=True)
        for path, inside in sheets.items()
        if inside is not None
    ]
    is_named = options.class_column is not None
    may_be = [
        label.class_column or possible_classes(label.sheet, label.sheet.text, options)
        for label in labels
    ]
    return labels if is_named or any(may_be) else []


def _labels_inside(path: Path, inside: SampleSheet, options: ReadingOptions) -> Labels:
    sheet = inside.sheet.without(options)
    return Labels(path, sheet, [], inside.class_column, inside.group_column)


def _check_columns(path: Path, lines: list[str]) -> None:
    """Raise when a file has one column: classes alone, or patients alone."""
    header, *rows = [line for line in lines if line.strip()] or [""]
    cells = {len(re.findall(r'"[^"]*"|\S+', row)) for row in rows}
    is_separated = any(sign in line for line in (header, *rows) for sign in DELIMITERS)
    if not rows or is_separated or (len(cells) == 1 and cells != {1}):
        return
    raise refusal(
        path,
        "must have a column of patients and one of classes",
        f"it has one column, {header.strip()[:40]!r}",
        "add the other, with a comma between (or write the classes as CLS, in the order of the "
        "patients, if these are columns)",
    )


def _read_cls(path: Path, lines: list[str], ended: bool) -> list[str]:
    """Return the classes of a CLS file in their order."""
    names = lines[1].replace("#", " ").split()
    codes = " ".join(lines[2:]).split()
    if set(codes) <= set(names):  # names can be numbers, too
        name_of = {name: name for name in names}
    else:
        name_of = {str(place): name for place, name in enumerate(names)}

    stated = lines[0].split()[:2]
    if not codes or stated != [str(len(codes)), str(len(names))] or set(codes) - name_of.keys():
        raise refusal(
            path,
            "must be a CLS file whose sizes agree",
            f"{len(codes)} codes, {len(names)} names, and {lines[0][:40]!r} above them",
            "export it again",
        )
    check_last(path, ended, codes)

    classes = [name_of[code] for code in codes]
    if list(dict.fromkeys(classes)) != names[: len(set(classes))]:
        # GenePattern reads 0 as the first name, GSEA the first code as the first name
        raise refusal(
            path,
            "a CLS file must use its classes in the order in which it names them",
            f"it names {names[0]} first, and begins with {codes[0]}: two readings are possible",
            "give a table of patient and class",
        )
    return classes


def match_codes(labels: list[Labels], in_order: list[list[str]]) -> list[Source]:
    """Return the classes of CLS files: of the next file's patients, or of all that are left."""
    sources = []
    taken = 0  # files whose patients have their classes
    for label in labels:
        left = in_order[taken:]
        if left and len(label.in_order) == len(left[0]):
            patients = left[0]
            taken += 1
        else:
            patients = [name for names in left for name in names]

        if len(label.in_order) != len(patients):
            raise refusal(
                label.path,
                "a CLS file must have a code for each patient of the training, test, or both files",
                f"found {len(label.in_order)} codes",
                "give one a file, training first, or a table of patient and class",
            )
        classes = dict(zip(patients, label.in_order, strict=True))
        sources.append(Source(label.path, classes, column="", columns={}))
    return sources


def name_patients(labels: Labels, expression: list[Sheet], options: ReadingOptions) -> Source:
    """Return the class of each patient in a table of classes."""
    sheet = labels.sheet
    known = _names_in(expression)
    if options.class_column is None:
        options = options._replace(class_column=labels.class_column)
    if options.group_column is None:
        options = options._replace(group_column=labels.group_column)
    columns = find_columns(sheet, options.named_columns)
    key = _patient_column(sheet, known, columns, expression)
    column = choose_classes(sheet, sheet.text.keys() - {key}, columns, options)
    _check_header(sheet, key, column, known)
    _check_end(sheet, key, column, columns)

    classes = _read_classes(sheet, key, column, known, options)
    return Source(sheet.path, classes, sheet.header[column], read_columns(sheet, key, columns))


def _names_in(sheets: list[Sheet]) -> set[str]:
    """Return all that may name a patient in the expression files."""
    known = set()
    for sheet in sheets:
        known.update(sheet.header.values())
        for cells in sheet.text.values():
            if 2 * len(set(cells)) > len(cells):  # no column of classes
                known.update(cells)
    return known


def _patient_column(
    sheet: Sheet, known: set[str], columns: dict[str, int], expression: list[Sheet]
) -> int:
    """Return the column that shares most entries with the expression files.

    Of equals, one that the user did not name for something else (`columns`, by kind).
    """
    named = set(columns.values())
    shared = {j: len(known.intersection(cells) - {""}) for j, cells in sheet.text.items()}
    key = max(shared, key=lambda j: (shared[j], j not in named), default=None)
    if not shared.get(key):
        raise _no_patient(sheet, expression)

    rivals = [
        j
        for j, cells in sheet.text.items()
        if shared[j] == shared[key] and cells != sheet.text[key] and j not in named
    ]
    if rivals:
        columns = shortlist(sheet.header[j] for j in (key, *rivals))
        raise refusal(
            sheet.path,
            "must name the patients once",
            f"columns that may: {columns}",
            "leave one out with --drop NAME",
        )
    return key


def _no_patient(sheet: Sheet, expression: list[Sheet]) -> DataError:
    files = " or ".join(str(other.path) for other in expression)
    entries = next(iter(sheet.text.values()), [])
    columns = shortlist(expression[0].header.values(), 2)
    rows = shortlist(next(iter(expression[0].text.values()), []), 2)
    return refusal(
        sheet.path,
        f"must name the patients of {files}",
        f"none of {shortlist(entries) or 'its entries'} is there: columns {columns}, rows {rows}",
        "use the same names in both",
    )


def _check_header(sheet: Sheet, key: int, column: int, known: set[str]) -> None:
    """Raise when the header looks like a row: a patient and a class."""
    name = sheet.header[key]
    label = sheet.header[column]
    looks_like_a_row = name in known and label in sheet.text[column]
    if looks_like_a_row and key not in sheet.called(PATIENT_HEADERS):
        raise refusal(
            sheet.path,
            "must have a header",
            f"its first line, {name} and {label}, was read as one",
            "write one above, such as patient,class",
        )


def _check_end(sheet: Sheet, key: int, column: int, columns: dict[str, int]) -> None:
    """Raise when the file may have ended within the last cell that is used.

    Where another column is the last, its end cannot be told; the last class then stands for it.
    """
    last = max(sheet.text)
    is_used = last in (key, *columns.values())
    check_last(sheet.path, sheet.ended, sheet.text[last if is_used else column])


def _read_classes(
    sheet: Sheet, key: int, column: int, known: set[str], options: ReadingOptions
) -> dict[str, str]:
    """Return the classes of a column, by the patients of another.

    Who is not `known` to the expression files was not measured, and needs no class.
    """
    rows = [
        (patient, "" if label in MISSING else label)
        for patient, label in zip(sheet.text[key], sheet.text[column], strict=True)
        if not options.leaves_out(patient)
    ]
    check_names(sheet.path, sheet.header[key] or "row", [patient for patient, _ in rows])

    classes = {
        patient: label
        for patient, label in rows
        if label or (patient in known and not options.classes)
    }
    check_classes(sheet.path, "every patient must have a class", classes)
    check_names(sheet.path, sheet.header[column] or "class", set(classes.values()))
    return classes


def check_classes(where: object, rule: str, classes: dict[str, str]) -> None:
    """Raise unless every patient has a class."""
    if without := [patient for patient, label in classes.items() if label in MISSING]:
        found = f"{shortlist(without)} have none"
        if any(classes[patient] for patient in without):
            found += " (NA and the like are none)"
        raise refusal(where, rule, found, "complete it, or leave them out with --drop NAME")


def choose_classes(
    sheet: Sheet, among: Collection[int], columns: dict[str, int], options: ReadingOptions
) -> int:
    """Return the one column that can hold the classes, and none of the `columns`, by kind."""
    if options.class_column is not None:
        column = _named_column(sheet, among, options.class_column)
        _check_classes_alone(sheet, {column}, columns)
        return column

    _check_classes_alone(sheet, among, columns)
    among = set(among).difference(columns.values())
    possible = list(among)
    if len(among) != 1:
        possible = possible_classes(sheet, among, options)
    if options.classes and not possible:
        check_spelling(sheet, among, options)
    if len(possible) != 1:
        raise refusal(
            sheet.path,
            "must have one column of classes",
            f"found {shortlist(sheet.header[j] for j in possible or among)}",
            "choose one with --class-column NAME",
        )
    return possible[0]


def _check_classes_alone(sheet: Sheet, among: Collection[int], columns: dict[str, int]) -> None:
    """Raise when all columns that may hold the classes are named for something else."""
    if not among or not set(among).issubset(columns.values()):
        return
    kind = next(kind for kind, j in columns.items() if j in among)
    raise refusal(
        KINDS[kind].option,
        f"must be another column of {sheet.path} than that of classes",
        f"found {sheet.header[columns[kind]]}",
        "choose another",
    )


def _named_column(sheet: Sheet, among: Collection[int], name: str) -> int:
    """Return the column of this very name, or else the one whose name differs in its case only."""
    fitting = [j for j in among if sheet.header[j] == name]
    if not fitting:
        fitting = list(sheet.called({plain(name)}).intersection(among))
    if len(fitting) != 1:
        of_text = sheet.words.intersection(among)
        columns = shortlist(sheet.header[j] for j in of_text or among)
        raise refusal("--class-column", f"must be a column of {sheet.path}", columns, "choose one")
    return fitting[0]


def possible_classes(sheet: Sheet, among: Collection[int], options: ReadingOptions) -> list[int]:
    """Return the columns of few different texts, or of two different numbers.

    Where the user chose classes, those that have them all.
    """
    if not options.classes:
        return _columns_of_few(sheet, among)
    return [j for j in sorted(among) if set(options.classes).issubset(sheet.text.get(j, ()))]


def _columns_of_few(sheet: Sheet, among: Collection[int]) -> list[int]:
    columns = {j: set(sheet.text[j]) - MISSING for j in sheet.text.keys() & set(among)}
    most = {j: len(sheet.numbers) / 2 if j in sheet.words else 2 for j in columns}
    of_few = {j for j, entries in columns.items() if 2 <= len(entries) <= most[j]}
    return sorted(of_few.union(possible_targets(sheet, among)))


def check_spelling(sheet: Sheet, among: Collection[int], options: ReadingOptions) -> None:
    """Raise when columns may hold classes, but none those that the user chose."""
    few = sheet.text.keys() & set(_columns_of_few(sheet, among))
    entries = {sheet.header[j]: set(sheet.text[j]) - MISSING for j in sorted(few)}
    if not entries:
        return
    alike = [name for name in entries if entries[name].intersection(options.classes)]
    columns = [f"column {name!r} has {shortlist(entries[name])}" for name in (alike or entries)]
    raise refusal(
        "--classes",
        f"must be entries of one column of {sheet.path}",
        f"found {' and '.join(sorted(options.classes))}, but {', '.join(columns[:3])}",
        "write them as the file does, or name their column with --class-column NAME",
    )


def possible_targets(sheet: Sheet, among: Collection[int]) -> list[int]:
    """Return the columns of numbers called as classes often are, with few different ones."""
    called = sheet.called(TARGET_HEADERS).intersection(among) - sheet.words
    most = len(sheet.numbers) / 2
    return [j for j in sorted(called) if 2 <= len(set(_cells(sheet, j))) <= most]


def columns_of_two_numbers(sheet: Sheet, among: Collection[int]) -> list[int]:
    """Return the columns of two different numbers, in the order of the file."""
    numbers = sheet.numbers
    smallest, largest = numbers.min(), numbers.max()
    is_either = ((numbers == smallest) | (numbers == largest)).all()
    of_two = set(numbers.columns[is_either & (smallest < largest)])
    as_text = among & sheet.text.keys() - sheet.words
    of_two.update(j for j in as_text if len(set(sheet.text[j])) == 2)
    return sorted(of_two.intersection(among))


def _cells(sheet: Sheet, column: int) -> list:
    return sheet.text[column] if column in sheet.text else sheet.numbers[column].tolist()


def join_classes(sources: list[Source]) -> dict[str, str]:
    """Return the class of every patient that a file names; none may have two."""
    classes = {}
    origin = {}
    for source in sources:
        for patient, name in source.classes.items():
            if classes.setdefault(patient, name) != name:
                raise refusal(
                    source.path,
                    "a patient has one class",
                    f"{patient} is {name} here, {classes[patient]} in {origin[patient]}",
                    "correct one, or leave a column that is no class out: --drop NAME",
                )
            origin.setdefault(patient, source.path)
    return classes


def order_classes(
    counts: list[Counter], where: str, positive: str | None, who: str = "patients"
) -> tuple[list[str], str]:
    """Return the classes in their order, and a sentence on it.

    Of two, the positive one is the last; more are ordered by their names. `counts`: patients (or
    people, `who`) by class, of the training and the test file; `where`: the files.
    """
    names = sorted(set().union(*counts), key=_as_listed)
    if len(names) < 2:
        found = f"found {shortlist(names) or 'none'}"
        advice = "add patients of another, or see --class-column"
        raise refusal(where, "patients must be of two classes or more", found, advice)

    for count, least, part in zip(counts, (MIN_PATIENTS, 1), ("training", "test"), strict=False):
        for name in names:
            if count[name] < least:
                rule = f"must hold at least {least} {part} {who} of each class"
                advice = "add patients of it"
                if len(names) > 2:
                    advice += ", or leave it out: --classes with the others"
                raise refusal(where, rule, f"found {count[name]} of {name}", advice)

    if len(names) == 2:
        chosen, why = _choose_positive(names, counts[0], positive)
        [other] = set(names) - {chosen}
        return [other, chosen], f"The positive class: {chosen}, {why}."
    if positive is not None:
        found = f"found {len(names)}: {shortlist(names)}"
        raise refusal("--positive-class", "must be of two classes", found, "leave it out")
    return names, f"The {len(names)} classes are in the order of their names."


def _as_listed(name: str) -> tuple:
    """Return what sorts names: numbers by size, before all others."""
    value = number(name)
    return (math.isnan(value), 0 if math.isnan(value) else value, name)


def _choose_positive(names: list[str], training: Counter, chosen: str | None) -> tuple[str, str]:
    """Return the positive class, and why it is that one."""
    if chosen is not None:
        if clean(chosen) not in names:
            rule = f"must be {' or '.join(names)}"
            found = f"found {clean(chosen)!r}"
            raise refusal("--positive-class", rule, found, "choose one of them")
        return clean(chosen), "as chosen"
    if "AML" in names:
        return "AML", "the default where there is one"
    first, second = names
    if training[first] != training[second]:
        rarer = min(names, key=lambda name: training[name])
        return rarer, "the rarer in training (see --positive-class)"
    positive, why = _choose_of_equals(first, second)
    return positive, f"as both are equally frequent in training and {why} (see --positive-class)"


def _choose_of_equals(first: str, second: str) -> tuple[str, str]:
    """Return the class that the names make the positive one, and why."""
    numbers = number(first), number(second)
    if numbers[0] != numbers[1] and not any(map(math.isnan, numbers)):
        return max(first, second, key=number), "it is the larger number"
    if _is_reference(first) != _is_reference(second):
        positive, other = (second, first) if _is_reference(first) else (first, second)
        return positive, f"{other!r} names a group to compare with"
    return first, "it is the first by alphabet"


def _is_reference(name: str) -> bool:
    return bool(REFERENCE.search(plain(name))) or bool(re.search(r"\w-$", name))


def read_annotation(path: Path, keys: set[str], values: set[str]) -> dict[str, str]:
    """Return the column called one of `values` by the one called one of `keys`.

    In a table of two columns the names may be others, in this order.
    """
    sheet = read_sheet(path)
    key = min(sheet.called(keys), default=None)
    value = min(sheet.called(values), default=None)
    if len(sheet.header) == 2:
        first, second = sheet.header
        if key is None:
            key = second if value == first else first
        value = second if key == first else first

    if key is None or value is None:
        rule = f"must have the columns {min(keys)} and {min(values)}"
        found = f"found {shortlist(sheet.header.values())}"
        raise refusal(path, rule, found, "rename its header")
    check_names(path, sheet.header[key] or "row", sheet.text[key])
    check_last(path, sheet.ended, sheet.text[value])
    check_names(path, sheet.header[value], set(sheet.text[value]))
    return dict(zip(sheet.text[key], sheet.text[value], strict=True))
