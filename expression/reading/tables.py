"""What the columns of a file mean: the labels decide.

The file of classes names the patients. So in an expression file the columns, or the rows, with
those names are the patients; the first other column of text whose entries are unique names the
genes; what is left is annotation, ignored and mentioned. A table with a row a patient may hold the
classes itself, in the one column of few different texts. A CLS file names nobody: its codes follow
the order of the patients, who are then all columns of numbers. Columns that the user names (see
`samples.py`) hold neither classes nor genes, though they may hold numbers.

Where more than one reading is possible, the file is refused, and the refusal names the option that
decides.
"""

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from expression.errors import refusal, shortlist
from expression.reading import sheets
from expression.reading.labels import (
    Labels,
    Source,
    check_classes,
    choose_classes,
    join_classes,
    match_codes,
    name_patients,
    possible_classes,
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
    no_column,
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
    read_sheet,
)
from expression.reading.symbols import known_symbols, symbol_column

# What is no gene. As a whole name: what a counting program adds, headers, Excel's MARCH1 and SEPT2
COUNTED = {"no feature", "ambiguous", "too low aqual", "not aligned", "alignment not unique"}
WHOLE = "|".join(COUNTED | sheets.PATIENT_HEADERS | sheets.CLASS_HEADERS).replace(" ", r"[\W_]+")
DATE = r"\d{1,2}-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)|\d{4}-\d\d-\d\d.*"
NO_GENE = re.compile(rf"^__|^N_|^[\W_]*(?i:{WHOLE})[\W_]*$|^(?:{DATE})$")
# As a word of a name, beside the genes of a table with a row a patient: what is measured on those
MEASURED = (
    "age|sex|gender|stage|grade|survival|time|days?|months?|years?|event|status|batch"
    "|os|pfs|dfs|bmi|weight|height|diagnosis"
)
HUMP = "(?<=[a-z])(?=[A-Z])"  # of a camelCaseName
CLINICAL = re.compile(rf"((?<![^\W_])|{HUMP})(?i:{MEASURED})((?![^\W_])|{HUMP})")


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


class Cohort(NamedTuple):
    """What expression files and files of classes say together."""

    tables: list[Table]  # of patients whose class is known
    classes: dict[str, str]  # of every patient that is named
    columns: dict[str, Column]  # what else is known of every patient of the tables, by kind
    where: str  # the files of classes, for messages
    notes: list[str]  # what was read, and what was left out


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
) -> Cohort:
    """Read the tables and the classes of their patients, by name or by the order of a CLS file.

    `samples`: the sample sheet of a data folder.
    """
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
        tables = _choose_two_classes(tables, classes, options)
    _check_patients(tables, classes, where)

    of_files = [source.columns for source in sources]
    if samples is not None:
        of_files.insert(0, samples.columns)
    columns, column_notes = _join_columns(of_files, tables, sample_sheets, options)
    notes = _describe(tables, classes, sources, label_paths, column_notes)
    return Cohort(tables, classes, columns, where, notes)


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
    tables = [find_table(sheet, classes, bool(labels), options, where) for sheet in in_files]
    sources += match_codes(ordered, [list(table.values.columns) for table in tables])
    sources += [
        Source(table.path, table.classes, table.class_column, table.columns) for table in tables
    ]
    return tables, sources


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


def _choose_two_classes(
    tables: list[Table], classes: dict[str, str], options: ReadingOptions
) -> list[Table]:
    """Return the tables with the patients of the two classes that the user chose."""
    chosen = set(options.classes)
    known = set(classes.values())
    if len(chosen) != 2 or not chosen <= known:
        raise refusal(
            "--classes",
            f"must be two of {shortlist(known, 20)}",
            f"found {shortlist(options.classes)}",
            "choose two of them",
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
        if table.ignored:
            notes.append(f"Ignored columns of {table.path.name}: {shortlist(table.ignored)}.")
    return notes


# --- one file -------------------------------------------------------------------------------------


def find_table(
    sheet: Sheet, classes: dict[str, str], ordered: bool, options: ReadingOptions, where: str
) -> Table:
    """Return the genes, patients and values of an expression file.

    `classes` are those of the patients that the files of classes, `where`, name; where there are
    none, the classes are `ordered` (CLS), or in a column of the file.
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
    if options.drop:
        sheet = sheet.with_rows([not options.leaves_out(name) for name in sheet.text[layout.key]])
    values = _read_values(sheet, layout)
    if layout.by_row and options.classes:
        values = values.drop(columns=layout.unlabelled, errors="ignore")
    _check_axes(sheet.path, layout, values, options)
    return _build_table(sheet, layout, values, set(classes.values()), options)


def _by_names(
    sheet: Sheet, classes: dict[str, str], where: str, options: ReadingOptions
) -> _Layout:
    """Find the patients that are named: columns or rows, whichever are named in larger part."""
    across = [j for j, name in sheet.header.items() if name in classes]
    down = {
        j: len(classes.keys() & set(cells)) for j, cells in sheet.text.items() if j not in across
    }
    key = max(down, key=down.get, default=0)
    if not across and not down.get(key):
        raise refusal(
            sheet.path,
            f"must hold patients that {where} names, such as {shortlist(classes)}",
            f"found columns {shortlist(sheet.header.values())}",
            "use the same names in both",
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


def _known_annotation(sheet: Sheet) -> set[int]:
    """Return the columns that hold no patient: words, numbers about genes, and what leads a GCT."""
    return sheet.words | sheet.called(sheets.GENE_ANNOTATION) | set(range(sheet.lead))


def _by_class_column(sheet: Sheet, options: ReadingOptions) -> _Layout:
    """Find the column of classes in a table with a row a patient."""
    columns = find_columns(sheet, options.named_columns)
    named = set(columns.values())
    key = patient_column(sheet, columns)
    words = sheet.words - sheet.called(sheets.GENE_ANNOTATION) - {key} - named
    among = sheet.called(sheets.CLASS_HEADERS).union(possible_classes(sheet, words, options))
    among -= named
    if options.class_column is not None:
        among = set(sheet.header)
    elif not among or sheet.called(sheets.GENE_HEADERS):
        found = f"{sheet.path} has no column of them, and there is no file of them"
        raise refusal("--labels", "must name the file of classes", found, "name the file")

    classes = choose_classes(sheet, among, columns, options)
    if classes == key:
        found = f"{sheet.header[key]!r} is that of classes"
        raise refusal(sheet.path, "must have a column of patients", found, "call it 'patient'")
    genes = _genes_across(sheet, {key, classes} | named)
    return _Layout(key, genes, columns, by_row=True, classes=classes)


def _genes_across(sheet: Sheet, others: set[int]) -> list[int]:
    """Return the columns of numbers, also those that lack them all."""
    words = {j for j in sheet.words if any(cell not in MISSING for cell in sheet.text[j])}
    return [j for j in sheet.header if j not in words | others]


def _gene_column(sheet: Sheet, among: Collection[int]) -> int:
    """Return the first column of text whose entries are unique; identifiers may be numbers."""
    if accession := sheet.called({sheets.ACCESSION_HEADER}):
        return min(accession)

    identifiers = sheet.called({sheets.ENTREZ_HEADER}) | {sheet.first}
    known = (sheet.words | identifiers) & sheet.text.keys() & set(among)
    known -= sheet.called({"gene description", "description"})
    candidates = sorted(known, key=lambda j: (j not in sheet.words, j))
    if not candidates:
        found = f"found the columns {shortlist(sheet.header.values())}"
        raise refusal(sheet.path, "must have a column that names the genes", found, "add it")
    for j in candidates:
        if len(set(sheet.text[j]) - {""}) == len(sheet.text[j]):
            return j
    return candidates[0]


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
            "complete it, or leave them out: --drop NAME, or two classes: --classes A B",
        )


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


@cache  # as the test file has the same names, and to search takes a tenth of the loading
def may_be_gene(name: str, beside_patients: bool) -> bool:
    """Return whether a gene may be called so; in a row of each patient, also what is measured."""
    if beside_patients and CLINICAL.search(name):
        return False
    return not NO_GENE.search(name)


def _build_table(
    sheet: Sheet,
    layout: _Layout,
    values: pd.DataFrame,
    known_classes: set[str],
    options: ReadingOptions,
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
    return Table(
        path=sheet.path,
        values=values,
        descriptions=_column_by_name(sheet, layout, layout.description),
        symbols=known_symbols(_column_by_name(sheet, layout, layout.symbols)),
        classes=classes,
        class_column="" if class_column is None else sheet.header[class_column],
        columns=read_columns(sheet, layout.key, layout.columns),
        layout=f"a row a {kind}, named in column {sheet.header[layout.key]!r}",
        symbol_column="" if layout.symbols in (None, layout.key) else sheet.header[layout.symbols],
        ignored=[name for j, name in sheet.header.items() if j not in used],
    )


def _repeated_classes(sheet: Sheet, layout: _Layout, known_classes: set[str]) -> int | None:
    """Return the column that says what the labels say, and so must not contradict them."""
    others = sheet.words - {layout.key, *layout.columns.values()}
    return min((j for j in others if set(sheet.text[j]) <= known_classes), default=None)


def _column_by_name(sheet: Sheet, layout: _Layout, column: int | None) -> dict[str, str]:
    """Return the text of a column by gene or patient; nothing of no column."""
    if column is None:
        return {}
    return dict(zip(sheet.text[layout.key], sheet.text[column], strict=True))
