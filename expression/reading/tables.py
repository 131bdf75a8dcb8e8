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
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.errors import refusal, shortlist
from expression.reading import sheets
from expression.reading.files import check_names, cut_off, number
from expression.reading.labels import Choices, choose_classes, matches, possible_classes
from expression.reading.sheets import MISSING, Sheet, read_sheet

# What is measured on patients, as a word of a name; what a counting program adds, as a whole name
CLINICAL = "age sex gender stage grade survival time days? months? years? event status batch"
CLINICAL += " os pfs dfs bmi weight height diagnosis"
COUNTED = {"no feature", "ambiguous", "too low aqual", "not aligned", "alignment not unique"}
WHOLE = "|".join(COUNTED | sheets.PATIENT_HEADERS | sheets.CLASS_HEADERS).replace(" ", r"[\W_]+")
HUMP = "(?<=[a-z])(?=[A-Z])"  # of a camelCaseName
DATE = r"\d{1,2}-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)|\d{4}-\d\d-\d\d.*"
NO_GENE = re.compile(
    rf"^__|^N_|^[\W_]*(?i:{WHOLE})[\W_]*$|^(?:{DATE})$"  # what Excel makes of MARCH1 and SEPT2
    rf"|((?<![^\W_])|{HUMP})(?i:{CLINICAL.replace(' ', '|')})((?![^\W_])|{HUMP})"
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


class _Layout(NamedTuple):
    key: int  # the column of genes, or of patients when each has a row
    numbers: list[int]
    by_row: bool = False  # a row a patient
    unlabelled: Collection[str] = ()
    description: int | None = None
    classes: int | None = None


def find_table(
    sheet: Sheet, named: dict[str, str], ordered: bool, choices: Choices, where: str
) -> Table:
    """Return the genes, patients and values of an expression file.

    `named` are the classes of the patients that the files of classes, `where`, name; where there
    are none, the classes are `ordered` (CLS), or in a column of the file.
    """
    if not sheet.ended:
        raise cut_off(sheet.path, "its last number may be cut off")
    sheet = choices.drop_columns(sheet)
    if named:
        layout = _by_names(sheet, named, where)
    elif ordered:
        layout = _by_order(sheet)
    else:
        layout = _by_class_column(sheet, choices)
    names_as_numbers = not {layout.key, layout.classes} <= {*sheet.text, None}
    numbers_as_text = not sheet.carefully and not sheet.text.keys().isdisjoint(layout.numbers)
    if names_as_numbers or numbers_as_text:
        return find_table(read_sheet(sheet.path), named, ordered, choices, where)
    unlabelled = [name for name in layout.unlabelled if not choices.leaves_out(name)]
    if unlabelled and not choices.classes:
        rule = f"must give each patient of {sheet.path} a class"
        advice = "complete it, or leave them out: --drop NAME, or two classes: --classes A B"
        raise refusal(where, rule, f"{shortlist(unlabelled)} have none", advice)
    return _read_table(sheet, layout, set(named.values()), choices)


def _by_names(sheet: Sheet, named: dict[str, str], where: str) -> _Layout:
    """Find the patients that are named: columns or rows, whichever are named in larger part."""
    header, text = sheet.header, sheet.text
    across = [j for j, name in header.items() if name in named]
    down = {j: len(named.keys() & set(cells)) for j, cells in text.items() if j not in across}
    key = max(down, key=down.get, default=0)
    if not across and not down.get(key):
        rule = f"must hold patients that {where} names, such as {shortlist(named)}"
        found = f"found columns {shortlist(header.values())}"
        raise refusal(sheet.path, rule, found, "use the same names in both")
    if down.get(key, 0) * len(header) > len(across) * len(sheet.numbers):
        rivals = [j for j, count in down.items() if count == down[key] and text[j] != text[key]]
        if rivals := [j for j in rivals if len(set(text[j])) == len(text[j])]:
            rule = "must name the patients once"
            found = f"columns that may: {shortlist(repr(header[j]) for j in (key, *rivals))}"
            raise refusal(sheet.path, rule, found, "leave the others out with --drop NAME")
        unlabelled = [name for name in text[key] if name and name not in named]
        return _Layout(key, _genes_across(sheet, {key}), True, unlabelled)
    check_names(f"{sheet.path} or {where}", "patient", [header[j] for j in across])
    rest = header.keys() - set(across)
    key = _gene_column(sheet, rest)
    others = rest - sheet.words - sheet.called(sheets.GENE_ANNOTATION) - {key, *range(sheet.lead)}
    odd = [j for j in others if all(map(_is_value, text.get(j, ())))]
    # What drops a column without a name would drop the genes' column, too, where that has none
    remedy = "without a name: --drop ''" if header[key] else "without a name: name it or remove it"
    unlabelled = [header[j] or f"column {j + 1} ({remedy})" for j in odd]
    return _Layout(key, across, False, unlabelled, _description(sheet, rest - {key}))


def _by_order(sheet: Sheet) -> _Layout:
    """Find the patients of a CLS file, which are all columns of numbers."""
    if sheet.short:
        rule, found = "must name every column", f"found {len(sheet.header) - 1} names"
        raise refusal(sheet.path, rule, found, "name the column of genes")
    annotation = sheet.words | sheet.called(sheets.GENE_ANNOTATION) | set(range(sheet.lead))
    key = _gene_column(sheet, annotation or {sheet.first})
    numbers = [j for j in sheet.header if j not in annotation | {key}]
    return _Layout(key, numbers, description=_description(sheet, annotation - {key}))


def _by_class_column(sheet: Sheet, choices: Choices) -> _Layout:
    """Find the column of classes in a table with a row a patient."""
    path = sheet.path
    key = min(sheet.called(sheets.PATIENT_HEADERS), default=sheet.first)
    among = sheet.words - sheet.called(sheets.GENE_ANNOTATION) - {key}
    among = sheet.called(sheets.CLASS_HEADERS).union(possible_classes(sheet, among, choices))
    if choices.class_column is not None:
        among = set(sheet.header)
    elif not among or sheet.called({sheets.ACCESSION_HEADER, *sheets.DESCRIPTION_HEADERS}):
        found = f"{path} has no column of them, and there is no file of them"
        raise refusal("--labels", "must name the file of classes", found, "name the file")
    classes = choose_classes(sheet, among, choices)
    if classes == key:
        rule, found = "must have a column of patients", f"{sheet.header[key]!r} is that of classes"
        raise refusal(path, rule, found, "call it 'patient'")
    return _Layout(key, _genes_across(sheet, {key, classes}), True, classes=classes)


def _genes_across(sheet: Sheet, others: set[int]) -> list[int]:
    """Return the columns of numbers, also those that lack them all."""
    words = {j for j in sheet.words if any(cell not in MISSING for cell in sheet.text[j])}
    return [j for j in sheet.header if j not in words | others]


def _gene_column(sheet: Sheet, among: Collection[int]) -> int:
    """Return the first column of text whose entries are unique; identifiers may be numbers."""
    if accession := sheet.called({sheets.ACCESSION_HEADER}):
        return min(accession)
    text, words = sheet.text, sheet.words
    known = words | sheet.called({sheets.ENTREZ_HEADER}) | {sheet.first}
    named = among & known & text.keys() - sheet.called({"gene description", "description"})
    named = sorted(named, key=lambda j: (j not in words, j))
    if not named:
        found = f"found the columns {shortlist(sheet.header.values())}"
        raise refusal(sheet.path, "must have a column that names the genes", found, "add it")
    return next((j for j in named if len(set(text[j]) - {""}) == len(text[j])), named[0])


def _description(sheet: Sheet, among: set[int]) -> int | None:
    """Return the column that describes the genes; one that says the same of all says nothing."""
    called = among & sheet.words & sheet.called(sheets.DESCRIPTION_HEADERS)
    return min((j for j in called if len(set(sheet.text[j])) > 1), default=None)


def _read_table(sheet: Sheet, layout: _Layout, classes: set[str], choices: Choices) -> Table:
    """Read the values of a sheet whose layout is known, and check its names."""
    path, header, key = sheet.path, sheet.header, layout.key
    if choices.drop:
        sheet = sheet.with_rows([not choices.leaves_out(name) for name in sheet.text[key]])
    names = sheet.text[key]
    values, patients = _read_numbers(sheet, layout.numbers, names), map(header.get, layout.numbers)
    # As objects, which are faster to go through than pandas' strings
    values = values.set_axis(pd.Index(names, dtype=object))
    values = values.set_axis(pd.Index(patients, dtype=object), axis=1)
    values = values.T if layout.by_row else values
    if layout.by_row and choices.classes:
        values = values.drop(columns=layout.unlabelled, errors="ignore")
    check_names(path, "gene", values.index)
    check_names(path, "patient", values.columns)
    odd = [name for name in values.index if not may_be_gene(name)]
    if odd := [name for name in odd if not matches(name, choices.keep)]:
        found = f"{len(odd)} look otherwise: {shortlist(odd)}"
        advice = "leave them out with --drop NAME, or --keep NAME"
        raise refusal(path, "every gene must be one", found, advice)

    def by_name(columns: Collection[int]) -> dict[str, str]:
        return dict(zip(names, sheet.text[min(columns)], strict=True)) if columns else {}

    described = {layout.description} - {None}
    own = {layout.classes} - {None}
    if layout.by_row and not own:  # classes beside those of the labels must not contradict them
        own = sorted(j for j in sheet.words - {key} if set(sheet.text[j]) <= classes)[:1]
    own_classes = by_name(own)
    if not choices.classes:
        if unclassed := [patient for patient, name in own_classes.items() if not name]:
            rule, found = "must give each patient a class", f"{shortlist(unclassed)} have none"
            raise refusal(path, rule, found, "complete it, or leave them out with --drop NAME")
        check_names(path, "class", set(own_classes.values()) or {"-"})
    used = {key, *described, *layout.numbers, *own}
    ignored = [name for j, name in header.items() if j not in used]
    called = ", ".join(header[j] for j in own)
    row = f"a row a {'patient' if layout.by_row else 'gene'}, named in column {header[key]!r}"
    return Table(path, values, by_name(described), own_classes, called, row, ignored)


def _read_numbers(sheet: Sheet, columns: list[int], names: list[str]) -> pd.DataFrame:
    """Return the numbers of some columns of a sheet; nan where one is missing."""
    text = {j: sheet.text[j] for j in columns if j in sheet.text}
    if not text:
        same = columns == list(sheet.numbers)
        return sheet.numbers if same else sheet.numbers[columns]  # a copy
    wrong = [(i, j) for j in text for i, cell in enumerate(text[j]) if not _is_value(cell)]
    if wrong:
        i, j = min(wrong)
        cell, row = text[j][i], f"row {sheet.numbers.index[i]} ({names[i]})"
        found = f"the first {cell[:40]!r} in {row}, column {sheet.header[j]}"
        rule, advice = "every value must be a finite number", "correct or --drop its row or column"
        if sheets.DECIMAL_COMMA.fullmatch(cell):
            rule, advice = "numbers must have decimal points, not commas", "export them with points"
        raise refusal(sheet.path, rule, f"{len(wrong):,} are not, {found}", advice)
    numbers = {j: list(map(number, cells)) for j, cells in text.items()}
    return sheet.numbers.join(pd.DataFrame(numbers, sheet.numbers.index, dtype=float))[columns]


@cache  # as the test file has the same names, and to search takes a tenth of the loading
def may_be_gene(name: str) -> bool:
    return not NO_GENE.search(name)


def _is_value(cell: str) -> bool:
    return cell in MISSING or not np.isnan(number(cell))
