"""What the columns of a file mean: the labels decide.

The file of classes names the patients. So in an expression file the columns, or the rows, with
those names are the patients; the first other column of text whose entries are unique names the
genes; what is left is annotation, ignored and mentioned. A table with a row a patient may hold the
classes itself, in the one column of few different texts. A CLS file names nobody: its codes follow
the order of the patients, who are then all columns of numbers. Columns that the user names (see
`samples.py`) hold neither classes nor genes, though they may hold numbers. Where no column names
the patients of such a table, they are called by the numbers of their rows. New patients, of no
known class, are named nowhere else: there the genes of the training table show what is what.

Where more than one reading is possible, the file is refused, and the refusal names the option that
decides.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from expression.errors import refusal, shortlist
from expression.reading import sheets
from expression.reading.gene_names import JOINED, join_rows, may_be_gene, names_gene
from expression.reading.labels import (
    Labels,
    Source,
    check_classes,
    check_spelling,
    choose_classes,
    columns_of_two_numbers,
    join_classes,
    match_codes,
    name_patients,
    possible_classes,
    possible_targets,
    read_labels,
    read_labels_inside,
)
from expression.reading.samples import (
    KINDS,
    NO_BATCHES,
    Column,
    Samples,
    check_batches,
    check_groups,
    check_named,
    describe_columns,
    find_columns,
    join_columns,
    may_name_patients,
    no_column,
    numbers_name_patients,
    patient_column,
    read_columns,
)
from expression.reading.sheets import (
    MISSING,
    ReadingOptions,
    Sheet,
    check_names,
    cut_off,
    is_value,
    matches,
    number,
    plain,
    read_sheet,
)
from expression.reading.symbols import known_symbols, symbol_column

# A first column called so, as `plain` writes headers, names genes
GENE_HEADER = re.compile(r"gene|probe|symbol|ensembl|transcript|^id ref$")
ROW_NUMBERS = -1  # the column of patients that have no name, beside those of the file


class Table(NamedTuple):
    """One expression file, in its own order."""

    path: Path
    values: pd.DataFrame  # genes x patients; nan where a value is missing
    descriptions: dict[str, str]  # by accession
    symbols: dict[str, str]  # by accession, of those that have one
    classes: dict[str, str]  # by patient; empty when the file has no column of them
    class_column: str  # the name of that column
    columns: dict[str, Column]  # what else the file says of its patients, by kind
    layout: str  # in words
    symbol_column: str  # the name of the column of symbols; empty where there is none
    ignored: list[str]  # columns of annotation
    notes: list[str]  # on genes without a name, or with several rows


class Cohort(NamedTuple):
    """What expression files and files of classes say together."""

    tables: list[Table]  # of patients whose class is known
    classes: dict[str, str]  # of every patient that is named
    columns: dict[str, Column]  # what else is known of every patient of the tables, by kind
    where: str  # the files of classes, for messages
    notes: list[str]  # what was read, and what was left out
    new: list[Table]  # of patients whose class is not known


class _Layout(NamedTuple):
    """Which columns of a sheet are what."""

    key: int  # the column of genes, or of patients when each has a row
    numbers: list[int]
    columns: dict[str, int]  # that the user names in a table with a row a patient, by kind
    by_row: bool = False  # a row a patient
    unlabelled: Collection[str] = ()  # patients without a class
    description: int | None = None
    symbols: int | None = None
    classes: int | None = None


def read_cohort(
    paths: list[Path],
    label_paths: list[Path],
    options: ReadingOptions,
    samples: Samples | None = None,
    new_paths: Sequence[Path] = (),
) -> Cohort:
    """Read the tables and the classes of their patients, by name or by the order of a CLS file.

    `samples`: the sample sheet of a data folder; `new_paths`: files of patients without a class.
    """
    expression = set(map(os.path.abspath, paths))  # whose own column of classes is read anyway
    label_paths = [path for path in label_paths if os.path.abspath(path) not in expression]
    where = ", ".join(map(str, label_paths or paths))
    labels = [read_labels(path, options) for path in label_paths]
    if not labels:
        labels = read_labels_inside(paths, options)
    sample_sheets = [label.sheet for label in labels if label.sheet is not None]
    if samples is not None:
        sample_sheets.insert(0, samples.sheet)
    tables, sources = _read_files(paths, labels, sample_sheets, where, options)

    classes = join_classes(sources[::-1])
    if options.classes:
        tables = _choose_classes(tables, classes, options)
    _check_patients(tables, classes, where)

    of_files = [source.columns for source in sources]
    if samples is not None:
        of_files.insert(0, samples.columns)
    columns, column_notes = _join_columns(of_files, tables, sample_sheets, options)
    notes = _describe(tables, classes, sources, label_paths, column_notes)
    new = _read_new(new_paths, tables, options)
    notes += _describe_new(new, classes)
    return Cohort(tables, classes, columns, where, notes, new)


def patients_of(tables: list[Table]) -> list[str]:
    """Return the patients of all tables, in their order."""
    return [patient for table in tables for patient in table.values.columns]


def _read_files(
    paths: list[Path],
    labels: list[Labels],
    sample_sheets: list[Sheet],
    where: str,
    options: ReadingOptions,
) -> tuple[list[Table], list[Source]]:
    """Return the expression files as tables, and the classes that any file gives."""
    named = [label for label in labels if label.sheet is not None]
    ordered = [label for label in labels if label.sheet is None]

    patients = {cell for label in named for cells in label.sheet.text.values() for cell in cells}
    patients.discard("")
    in_files = [read_sheet(path, patients, options) for path in paths]
    check_named(options, sample_sheets, in_files)
    sources = [name_patients(label, in_files, options) for label in named]

    classes = join_classes(sources)
    tables = []
    rows_before = 0
    for sheet in in_files:
        tables.append(find_table(sheet, classes, bool(labels), options, where, rows_before))
        rows_before += len(sheet.numbers)
    sources += match_codes(ordered, [list(table.values.columns) for table in tables])
    sources += [
        Source(table.path, table.classes, table.class_column, table.columns) for table in tables
    ]
    return tables, sources


def _read_new(paths: Sequence[Path], tables: list[Table], options: ReadingOptions) -> list[Table]:
    """Return the files of new patients, none of whom may be a patient of the tables unasked."""
    genes = tables[0].values.index
    rows_before = len(patients_of(tables))
    new = []
    for path in paths:
        sheet = read_sheet(path, (), options)
        new.append(find_new_table(sheet, genes, options, rows_before))
        rows_before += len(sheet.numbers)

    names = Counter(patients_of(new))
    where = " and ".join(map(str, paths))
    if doubled := [name for name, count in names.items() if count > 1]:
        found = f"found {shortlist(doubled)} more than once"
        raise refusal(where, "every new patient must occur once", found, "rename or remove others")
    known = [name for name in patients_of(tables) if name in names]
    if known := [name for name in known if not matches(name, options.keep)]:
        raise refusal(
            where,
            "no new patient may be called as a patient of known class",
            f"found {shortlist(known)}",
            f"rename them, or to see what is said of a known patient: --keep {known[0]!r}",
        )
    return new


def _join_columns(
    of_files: list[dict[str, Column]],
    tables: list[Table],
    sample_sheets: list[Sheet],
    options: ReadingOptions,
) -> tuple[dict[str, Column], list[str]]:
    """Return what the files say of the patients of the tables, by kind, and sentences on it."""
    patients = patients_of(tables)
    joined = {}
    notes = []
    for kind in KINDS:
        columns = [of_file[kind] for of_file in of_files if kind in of_file]
        if columns:
            joined[kind] = join_columns(kind, columns, patients)
            notes.append(describe_columns(kind, columns, joined[kind]))
        elif kind in options.named_columns:
            raise no_column(kind, sample_sheets)
        elif kind == "batch":
            notes.append(NO_BATCHES)

    if "batch" in joined:
        check_batches(joined["batch"], is_named="batch" in options.named_columns)
    if "group" in joined:
        check_groups(joined["group"], patients_of(tables[:1]), patients_of(tables[1:]))
    return joined, notes


def _choose_classes(
    tables: list[Table], classes: dict[str, str], options: ReadingOptions
) -> list[Table]:
    """Return the tables with the patients of the classes that the user chose."""
    chosen = set(options.classes)
    known = set(classes.values()) - MISSING
    if len(chosen) < 2 or not chosen <= known:
        raise refusal(
            "--classes",
            f"must be two or more of {shortlist(known, 20)}",
            f"found {shortlist(options.classes)}",
            "choose among them",
        )
    kept = {patient for patient, name in classes.items() if name in chosen}
    return [
        table._replace(values=table.values.loc[:, table.values.columns.isin(kept)])
        for table in tables
    ]


def _check_patients(tables: list[Table], classes: dict[str, str], where: str) -> None:
    """Raise unless every patient has a class, and is in one file."""
    given = {patient: classes.get(patient, "") for patient in set(patients_of(tables))}
    check_classes(where, "must give each patient a class", given)
    if both := set(patients_of(tables[:1])) & set(patients_of(tables[1:])):
        rule = f"no patient may be in {tables[0].path} as well"
        advice = "remove them from one file"
        raise refusal(tables[1].path, rule, f"found {shortlist(both)}", advice)


def _describe(
    tables: list[Table],
    classes: dict[str, str],
    sources: list[Source],
    label_paths: list[Path],
    column_notes: list[str],
) -> list[str]:
    """Return sentences on what was read, and what was left out."""
    files = {}  # by layout
    for table in tables:
        files.setdefault(table.layout, []).append(table.path.name)
    notes = [f"Read: {', '.join(names)}; {layout}." for layout, names in files.items()]

    columns = [f"column {s.column!r} of {s.path.name}" for s in sources if s.column]
    notes.append(f"Classes: {', '.join(columns or [path.name for path in label_paths])}.")
    notes += column_notes

    patients = set(patients_of(tables))
    if len(classes) > len(patients):
        used = f"{len(patients):,} of the {len(classes):,} that have a class are used"
        notes.append(f"Patients: {used}, not {shortlist(classes.keys() - patients)}.")

    for table in tables:
        notes += table.notes
    for table in tables:
        if table.ignored:
            notes.append(f"Ignored columns of {table.path.name}: {shortlist(table.ignored)}.")
    return notes


def _describe_new(new: list[Table], classes: dict[str, str]) -> list[str]:
    """Return sentences on what was read of new patients."""
    notes = []
    for table in new:
        count = table.values.shape[1]
        patients = f"{count:,} patient{'s' if count > 1 else ''} of {table.path.name}"
        notes += [f"New: {patients}; {table.layout}.", *table.notes]
        if table.ignored:
            notes.append(f"Ignored columns of {table.path.name}: {shortlist(table.ignored)}.")
    if named := [name for name in patients_of(new) if name in classes]:
        notes.append(f"Classes that files give new patients are not used: {shortlist(named)}.")
    return notes


# --- one file -------------------------------------------------------------------------------------


def find_table(
    sheet: Sheet,
    classes: dict[str, str],
    ordered: bool,
    options: ReadingOptions,
    where: str,
    rows_before: int = 0,
) -> Table:
    """Return the genes, patients and values of an expression file.

    `classes` are those of the patients that the files of classes, `where`, name; where there are
    none, the classes are `ordered` (CLS), or in a column of the file. Rows that name no patient are
    numbered, on from those of the files before.
    """
    if not sheet.ended:
        raise cut_off(sheet.path, "its last number may be cut off")
    sheet = sheet.without(options)
    if options.class_column is None and not classes:
        options = options._replace(class_column=sheet.class_column)
    if classes:
        layout = _by_names(sheet, classes, where, options)
    elif ordered:
        layout = _by_order(sheet)
    else:
        layout = _by_class_column(sheet, options)
    if not options.classes:
        _check_labelled(sheet, layout, where, options)
    return _read_table(sheet, layout, classes, options, rows_before)


def find_new_table(
    sheet: Sheet, genes: Collection[str], options: ReadingOptions, rows_before: int
) -> Table:
    """Return the genes, patients and values of a file of new patients, whose class is not known.

    `genes`: of the training table. Rows that name no patient are numbered, on from those before.
    """
    if not sheet.ended:
        raise cut_off(sheet.path, "its last number may be cut off")
    sheet = sheet.without(options)
    layout = _by_genes(sheet, genes, options)
    table = _read_table(sheet, layout, {}, options._replace(classes=()), rows_before)
    return table._replace(classes={}, class_column="")


def _read_table(
    sheet: Sheet,
    layout: _Layout,
    classes: dict[str, str],
    options: ReadingOptions,
    rows_before: int,
) -> Table:
    """Return what a sheet of known layout holds; `classes`: known of patients before it is read."""
    if layout.key == ROW_NUMBERS:
        sheet = _number_rows(sheet, rows_before)
    if options.drop:
        sheet = sheet.with_rows([not options.leaves_out(name) for name in sheet.text[layout.key]])
    sheet, layout, nameless_note = _without_nameless(sheet, layout, options)
    values = _read_values(sheet, layout)
    if layout.by_row and options.classes:
        values = values.drop(columns=layout.unlabelled, errors="ignore")
    values, doubled_note = _join_rows_of_genes(sheet, layout, values, options)
    _check_axes(sheet.path, layout, values, options)

    notes = nameless_note + doubled_note
    return _build_table(sheet, layout, values, set(classes.values()), options, notes)


def _by_names(
    sheet: Sheet, classes: dict[str, str], where: str, options: ReadingOptions
) -> _Layout:
    """Find the patients that are named: columns or rows, whichever are named in larger part."""
    across = [j for j, name in sheet.header.items() if name in classes]
    others = sheet.text.keys() - set(across)
    down = {j: len(classes.keys() & set(sheet.text[j])) for j in sorted(others)}
    key = max(down, key=down.get, default=0)
    if not across and not down.get(key):
        raise refusal(
            sheet.path,
            f"must hold patients that {where} names, such as {shortlist(classes)}",
            f"found columns {shortlist(sheet.header.values())}",
            f"use the same names in both, or add the patients of this file to {where}; patients "
            "whose class is not known: classifier_models.py --new FILE",
        )
    if down.get(key, 0) * len(sheet.header) > len(across) * len(sheet.numbers):
        equals = [j for j in down if down[j] == down[key]]
        return _by_rows(sheet, classes, equals, options)
    return _by_columns(sheet, across, where)


def _by_rows(
    sheet: Sheet, classes: dict[str, str], equals: list[int], options: ReadingOptions
) -> _Layout:
    """Lay out a row a patient; the columns `equals` name as many patients, the most."""
    columns = find_columns(sheet, options.named_columns)
    named = set(columns.values())
    key, *others = [j for j in equals if j not in named] or equals
    rivals = [
        j
        for j in others
        if sheet.text[j] != sheet.text[key] and len(set(sheet.text[j])) == len(sheet.text[j])
    ]
    if rivals:
        names = shortlist(repr(sheet.header[j]) for j in (key, *rivals))
        raise refusal(
            sheet.path,
            "must name the patients once",
            f"columns that may: {names}",
            "leave the others out with --drop NAME",
        )
    unlabelled = [name for name in sheet.text[key] if name and name not in classes]
    genes = _genes_across(sheet, {key} | named)
    return _Layout(key, genes, columns, by_row=True, unlabelled=unlabelled)


def _by_columns(sheet: Sheet, across: list[int], where: str) -> _Layout:
    """Lay out a row a gene; other columns of numbers are patients without a class."""
    check_names(f"{sheet.path} or {where}", "patient", [sheet.header[j] for j in across])
    others = sheet.header.keys() - set(across)
    key = _gene_column(sheet, others)
    annotation = others - {key}
    unlabelled = [
        _name_or_place(sheet, j, key)
        for j in annotation - _known_annotation(sheet)
        if all(map(is_value, sheet.text.get(j, ())))
    ]
    return _Layout(
        key,
        across,
        columns={},
        unlabelled=unlabelled,
        description=_description(sheet, annotation),
        symbols=_symbols(sheet, key, annotation),
    )


def _name_or_place(sheet: Sheet, j: int, key: int) -> str:
    """Return what to call a column without a class, and how to leave out one without a name."""
    if sheet.header[j]:
        return sheet.header[j]
    # What drops a column without a name would drop the genes' column, too, where that has none
    remedy = "--drop ''" if sheet.header[key] else "name it or remove it"
    return f"column {j + 1} (without a name: {remedy})"


def _by_order(sheet: Sheet) -> _Layout:
    """Find the patients of a CLS file, which are all columns of numbers."""
    if sheet.short:
        found = f"found {len(sheet.header) - 1} names"
        raise refusal(sheet.path, "must name every column", found, "name the column of genes")
    annotation = _known_annotation(sheet)
    key = _gene_column(sheet, annotation or {sheet.first})
    numbers = [j for j in sheet.header if j not in annotation and j != key]
    return _Layout(
        key,
        numbers,
        columns={},
        description=_description(sheet, annotation - {key}),
        symbols=_symbols(sheet, key, annotation - {key}),
    )


def _by_genes(sheet: Sheet, genes: Collection[str], options: ReadingOptions) -> _Layout:
    """Find the patients of a file that nothing but the genes is known of."""
    known = set(genes)
    across = {j for j, name in sheet.header.items() if name in known}
    down = {j: len(known.intersection(cells)) for j, cells in sheet.text.items()}
    key = max(down, key=down.get, default=0)
    if not across and not down.get(key):
        raise refusal(
            sheet.path,
            f"must hold genes of the training table, such as {shortlist(known, 3)}",
            f"found columns {shortlist(sheet.header.values())}",
            "name genes as the training table does",
        )
    if len(across) > down.get(key, 0):
        columns = find_columns(sheet, options.named_columns)
        patients = patient_column(sheet, columns)
        if patients in across or (patients is not None and _says_few(sheet, patients)):
            patients = None
        others = {patients} | set(columns.values())
        key = ROW_NUMBERS if patients is None else patients
        return _Layout(key, _genes_across(sheet, others), columns, by_row=True)

    annotation = _known_annotation(sheet) - {key}
    numbers = [j for j in sheet.header if j not in annotation and j != key]
    return _Layout(
        key,
        numbers,
        columns={},
        description=_description(sheet, annotation),
        symbols=_symbols(sheet, key, annotation),
    )


def _known_annotation(sheet: Sheet) -> set[int]:
    """Return the columns that hold no patient: words, numbers about genes, and what leads a GCT."""
    return sheet.words | sheet.called(sheets.GENE_ANNOTATION) | set(range(sheet.lead))


def _by_class_column(sheet: Sheet, options: ReadingOptions) -> _Layout:
    """Find the column of classes in a table with a row a patient."""
    columns = find_columns(sheet, options.named_columns)
    named = set(columns.values())
    key = patient_column(sheet, columns)
    if key is not None and (_says_few(sheet, key) or matches(sheet.header[key], options.keep)):
        key = None  # a column that says something of each patient, or a gene
    among = _columns_of_classes(sheet, key, named, options)

    classes = choose_classes(sheet, among, columns, options)
    if classes == key:
        found = f"{sheet.header[key]!r} is that of classes"
        raise refusal(sheet.path, "must have a column of patients", found, "call it 'patient'")
    if key is None:
        _check_nobody_is_named(sheet, {classes} | named)
        key = ROW_NUMBERS
    else:
        _check_names_patients(sheet, key)
    genes = _genes_across(sheet, {key, classes} | named)
    return _Layout(key, genes, columns, by_row=True, classes=classes)


def _says_few(sheet: Sheet, column: int) -> bool:
    """Return whether a column of text says the same of many, as one of patients never does."""
    cells = sheet.text[column]
    is_called = column in sheet.called(sheets.PATIENT_HEADERS)
    return column in sheet.words and not is_called and 2 * len(set(cells)) <= len(cells)


def _columns_of_classes(
    sheet: Sheet, key: int | None, named: set[int], options: ReadingOptions
) -> set[int]:
    """Return the columns that may hold the classes, or any where the user names it."""
    if options.class_column is not None:
        return set(sheet.header)

    others = set(sheet.header) - named - {key}
    words = (sheet.words & others) - sheet.called(sheets.GENE_ANNOTATION)
    among = sheet.called(sheets.CLASS_HEADERS) & others
    among.update(possible_classes(sheet, words, options), possible_targets(sheet, others))
    by_gene = _has_a_row_a_gene(sheet, key)
    if among and not by_gene and among != set(possible_targets(sheet, others)):
        return among

    found = f"{sheet.path} has no column of them, and there is no file of them"
    if by_gene:
        found = f"{sheet.path} has a row a gene, and there is no file of them"
    else:
        check_spelling(sheet, words, options)
        _check_targets(sheet, among or columns_of_two_numbers(sheet, others))
    raise refusal("--labels", "must name the file of classes", found, "name the file")


def _has_a_row_a_gene(sheet: Sheet, key: int | None) -> bool:
    """Return whether headers say that the rows are genes."""
    if sheet.lead or sheet.called(sheets.GENE_HEADERS - {"description"}):
        return True
    if key not in sheet.words:
        return False
    header = plain(sheet.header[key])
    is_gsea = header == "name" and bool(sheet.called({"description"}))
    return is_gsea or bool(GENE_HEADER.search(header))


def _check_targets(sheet: Sheet, targets: Collection[int]) -> None:
    """Raise when columns of numbers may hold the classes, or genes: the user knows."""
    if not targets:
        return
    names = [sheet.header[j] for j in targets]
    raise refusal(
        sheet.path,
        "must have a column of classes",
        f"no text can be classes, but the few different numbers of {shortlist(names)} can",
        f"choose it with --class-column {names[0] if len(names) == 1 else 'NAME'}, or name a file "
        "of classes with --labels",
    )


def _check_nobody_is_named(sheet: Sheet, used: set[int]) -> None:
    """Raise when a column that is no gene may be meant to name the patients of a table."""
    texts = sheet.words - sheet.called(sheets.GENE_ANNOTATION) - used
    unique = {j for j in texts if len(set(sheet.text[j])) == len(sheet.text[j])}
    suspects = sorted(unique | (texts & {sheet.first}))
    if suspects:
        name = sheet.header[suspects[0]]
        raise refusal(
            sheet.path,
            "must show which column names the patients",
            f"the text of {name!r} may name them{'' if suspects[0] in unique else ', some twice'}",
            f"if it does, call it 'patient' and let no entry occur twice; if not, --drop {name!r}",
        )


def _check_names_patients(sheet: Sheet, key: int) -> None:
    """Raise when a column of whole numbers may hold a gene as well as the patients' names."""
    if key in sheet.words or not may_name_patients(sheet, key):
        return
    if not all(map(str.isdecimal, sheet.text[key])) or numbers_name_patients(sheet, key):
        return
    name = sheet.header[key]
    raise refusal(
        sheet.path,
        "must show which column names the patients",
        f"the whole numbers of {name!r} may be names or a gene",
        f"call the column 'patient', or if it is a gene: --keep {name!r}",
    )


def _number_rows(sheet: Sheet, rows_before: int) -> Sheet:
    """Return a sheet with a column of the numbers of its rows, from 1."""
    numbers = [str(rows_before + row) for row in range(1, len(sheet.numbers) + 1)]
    header = {**sheet.header, ROW_NUMBERS: "row"}
    return replace(sheet, header=header, text={**sheet.text, ROW_NUMBERS: numbers})


def _genes_across(sheet: Sheet, others: set[int]) -> list[int]:
    """Return the columns of numbers, also those that lack them all."""
    words = {j for j in sheet.words if any(cell not in MISSING for cell in sheet.text[j])}
    return [j for j in sheet.header if j not in words | others]


def _gene_column(sheet: Sheet, among: Collection[int]) -> int:
    """Return the first column of text whose entries are unique; identifiers may be numbers."""
    if accession := sheet.called({sheets.ACCESSION_HEADER}):
        return min(accession)

    identifiers = sheet.called({sheets.ENTREZ_HEADER}) | {sheet.first}
    measured = {j for j in identifiers & sheet.text.keys() if _has_decimals(sheet, j)}
    known = (sheet.words | identifiers - measured) & sheet.text.keys() & set(among)
    known -= sheet.called({"gene description", "description"})
    candidates = sorted(known, key=lambda j: (j not in sheet.words, j))
    if not candidates:
        found = f"found the columns {shortlist(sheet.header.values())}"
        raise refusal(sheet.path, "must have a column that names the genes", found, "add it")
    for j in candidates:
        if len(set(sheet.text[j]) - {""}) == len(sheet.text[j]):
            return j
    return candidates[0]


def _has_decimals(sheet: Sheet, column: int) -> bool:
    """Return whether a column holds numbers alone, some with decimals: they are no identifiers."""
    cells = sheet.text[column]
    return all(map(is_value, cells)) and any(number(cell) % 1 > 0 for cell in cells)


def _description(sheet: Sheet, among: set[int]) -> int | None:
    """Return the column that describes the genes; one that says the same of all says nothing."""
    called = among & sheet.words & sheet.called(sheets.DESCRIPTION_HEADERS)
    return min((j for j in called if len(set(sheet.text[j])) > 1), default=None)


def _symbols(sheet: Sheet, key: int, among: Collection[int]) -> int | None:
    """Return the column of the genes' symbols: that which names them, or one beside it."""
    if key in sheet.called(sheets.SYMBOL_HEADERS):
        return key
    return symbol_column(sheet, sheet.words.intersection(among))


def _check_labelled(sheet: Sheet, layout: _Layout, where: str, options: ReadingOptions) -> None:
    """Raise unless the files of classes name all patients of a table."""
    unlabelled = [name for name in layout.unlabelled if not options.leaves_out(name)]
    if unlabelled:
        raise refusal(
            where,
            f"must give each patient of {sheet.path} a class",
            f"{shortlist(unlabelled)} have none",
            "complete it, or leave them out: --drop NAME, or choose classes: --classes A B; "
            "patients whose class is not known, in a file of their own: classifier_models.py --new "
            "FILE",
        )


# --- genes without a name, or with several rows ---------------------------------------------------


def _without_nameless(
    sheet: Sheet, layout: _Layout, options: ReadingOptions
) -> tuple[Sheet, _Layout, list[str]]:
    """Return sheet and layout without genes that have no name, and a sentence on them.

    A column without any header beside patients may be an index: it stays, and is refused.
    """
    if layout.by_row:
        where = "columns"
        genes = {j: sheet.header[j] for j in layout.numbers}
        kept = [j for j, name in genes.items() if not name or names_gene(name, options.keep)]
        left_out = len(genes) - len(kept)
        layout = layout._replace(numbers=kept)
    else:
        where = "rows"
        named = [names_gene(name, options.keep) for name in sheet.text[layout.key]]
        left_out = named.count(False)
        if left_out == len(named):  # which is refused
            left_out = 0
        if left_out:
            sheet = sheet.with_rows(named)

    notes = [f"Left out of {sheet.path.name}: {left_out:,} {where} that name no gene."]
    return sheet, layout, notes if left_out else []


def _join_rows_of_genes(
    sheet: Sheet, layout: _Layout, values: pd.DataFrame, options: ReadingOptions
) -> tuple[pd.DataFrame, list[str]]:
    """Return values with each gene once, as the user decided, and a sentence on it."""
    is_doubled = values.index.duplicated(keep=False) & (values.index != "")
    if not is_doubled.any():
        return values, []

    where = "columns" if layout.by_row else "rows"
    doubled = list(values.index[is_doubled])
    genes = set(doubled)
    if options.duplicates == "refuse":
        named_in = "" if layout.by_row else f" of column {sheet.header[layout.key]!r}"
        raise refusal(
            sheet.path,
            "every gene must occur once",
            f"{len(genes):,}{named_in} are on {len(doubled):,} {where}: {shortlist(genes)}",
            "choose what stands for each with --duplicates mean, max or first, or leave them out "
            "with --drop NAME",
        )

    note = (
        f"Genes on several {where} of {sheet.path.name}: {len(genes):,} on {len(doubled):,}; "
        f"{JOINED[options.duplicates]} of the values of each patient is taken (see --duplicates)."
    )
    return join_rows(values, options.duplicates), [note]


# --- values, names and classes of a file whose layout is known ------------------------------------


def _read_values(sheet: Sheet, layout: _Layout) -> pd.DataFrame:
    """Return the values, genes x patients."""
    names = sheet.text[layout.key]
    values = _read_numbers(sheet, layout.numbers, names)
    # As objects, which are faster to go through than pandas' strings
    values = values.set_axis(pd.Index(names, dtype=object))
    columns = [sheet.header[j] for j in layout.numbers]
    values = values.set_axis(pd.Index(columns, dtype=object), axis=1)
    return values.T if layout.by_row else values


def _read_numbers(sheet: Sheet, columns: list[int], names: list[str]) -> pd.DataFrame:
    """Return the numbers of some columns of a sheet; nan where one is missing."""
    if columns == list(sheet.numbers):
        return sheet.numbers
    text = {j: sheet.text[j] for j in columns if j in sheet.text}
    if not text:
        return sheet.numbers[columns]  # a copy

    _check_numbers(sheet, text, names)
    numbers = {j: list(map(number, cells)) for j, cells in text.items()}
    return sheet.numbers.join(pd.DataFrame(numbers, sheet.numbers.index, dtype=float))[columns]


def _check_numbers(sheet: Sheet, text: dict[int, list[str]], names: list[str]) -> None:
    """Raise unless all cells of columns of text are numbers, or missing; say where the first is."""
    wrong = [(i, j) for j in text for i, cell in enumerate(text[j]) if not is_value(cell)]
    if not wrong:
        return
    i, j = min(wrong)
    cell = text[j][i]
    if sheets.DECIMAL_COMMA.fullmatch(cell):
        rule = "numbers must have decimal points, not commas"
        advice = "export them with points"
    else:
        rule = "every value must be a finite number"
        advice = "correct or --drop its row or column"
    row = f"row {sheet.row_in_file(i)} ({names[i]})"
    first = f"the first {cell[:40]!r} in {row}, column {sheet.header[j]}"
    raise refusal(sheet.path, rule, f"{len(wrong):,} are not, {first}", advice)


def _check_axes(path: Path, layout: _Layout, values: pd.DataFrame, options: ReadingOptions) -> None:
    """Raise unless genes and patients have unique names, and genes such as genes have."""
    check_names(path, "gene", values.index)
    check_names(path, "patient", values.columns)
    odd = [
        name
        for name in values.index
        if not may_be_gene(name, layout.by_row) and not matches(name, options.keep)
    ]
    if odd:
        found = f"{len(odd)} look otherwise: {shortlist(odd)}"
        advice = "leave them out with --drop NAME, or --keep NAME"
        raise refusal(path, "every gene must be one", found, advice)


def _build_table(
    sheet: Sheet,
    layout: _Layout,
    values: pd.DataFrame,
    known_classes: set[str],
    options: ReadingOptions,
    notes: list[str],
) -> Table:
    """Return a table of values with what else the sheet says of its genes or patients."""
    class_column = layout.classes
    if layout.by_row and class_column is None:
        class_column = _repeated_classes(sheet, layout, known_classes)
    classes = _column_by_name(sheet, layout, class_column)
    if class_column is not None and not options.classes:
        check_classes(sheet.path, "must give each patient a class", classes)
        check_names(sheet.path, "class", set(classes.values()))

    used = {layout.key, layout.description, layout.symbols, class_column}
    used.update(layout.columns.values())
    used.update(layout.numbers)
    kind = "patient" if layout.by_row else "gene"
    arrangement = f"a row a {kind}, named in column {sheet.header[layout.key]!r}"
    if layout.key == ROW_NUMBERS:
        first, last = values.columns[[0, -1]]
        arrangement = f"a row a patient, without names and called by its number, {first} to {last}"
    return Table(
        path=sheet.path,
        values=values,
        descriptions=_column_by_name(sheet, layout, layout.description),
        symbols=known_symbols(_column_by_name(sheet, layout, layout.symbols)),
        classes=classes,
        class_column="" if class_column is None else sheet.header[class_column],
        columns=read_columns(sheet, layout.key, layout.columns),
        layout=arrangement,
        symbol_column="" if layout.symbols in (None, layout.key) else sheet.header[layout.symbols],
        ignored=[name for j, name in sheet.header.items() if j not in used],
        notes=notes,
    )


def _repeated_classes(sheet: Sheet, layout: _Layout, known_classes: set[str]) -> int | None:
    """Return the column that says what the labels say, and so must not contradict them."""
    others = sheet.words - {layout.key, *layout.columns.values()}
    return min((j for j in others if set(sheet.text[j]) <= known_classes), default=None)


def _column_by_name(sheet: Sheet, layout: _Layout, column: int | None) -> dict[str, str]:
    """Return the text of a column by gene or patient, of several the first; none of no column."""
    if column is None:
        return {}
    texts = dict.fromkeys(sheet.text[layout.key], "")
    for name, text in zip(sheet.text[layout.key], sheet.text[column], strict=True):
        texts[name] = texts[name] or text
    return texts
