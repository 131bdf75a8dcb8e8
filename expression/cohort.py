"""Bring expression files and files of classes together: which patients, of which two classes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from expression.files import clean, refusal, shortlist
from expression.labels import Choices, match_codes, name_patients, read_labels
from expression.sheets import read_sheet
from expression.tables import NAME_HEADERS, Table, find_table

MIN_PATIENTS = 5  # of each class, to train on: one for every fold of a 5-fold cross-validation


class Cohort(NamedTuple):
    """What expression files and files of classes say together."""

    tables: list[Table]  # of patients whose class is known
    classes: dict[str, str]  # of every patient that is named
    where: str  # the files of classes, for messages
    notes: tuple[str, ...]  # what was read, and what was left out


def read_cohort(paths: list[Path], label_paths: list[Path], choices: Choices) -> Cohort:
    """Read the tables and the classes of their patients, by name or by the order of a CLS file."""
    labels = [read_labels(path, choices) for path in label_paths]
    names = set().union(*(label.names for label in labels))
    sheets = [read_sheet(path, names, NAME_HEADERS) for path in paths]
    sources = [
        (label.path, *name_patients(label, sheets, choices)) for label in labels if label.sheet
    ]
    where = ", ".join(map(str, label_paths or paths))
    named = join_classes(source[:2] for source in sources)
    tables = []
    for i in range(len(sheets)):
        tables.append(find_table(sheets[i], named, bool(labels), choices, where))
        sheets[i] = None  # one copy of the values at a time
    in_order = [list(table.values.columns) for table in tables]
    sources += [
        (label.path, match_codes(label, in_order), "") for label in labels if not label.sheet
    ]
    sources += [(table.path, table.classes, table.class_column) for table in tables]
    classes = join_classes(source[:2] for source in reversed(sources))
    columns = [f"column {column!r} of {path.name}" for path, _, column in sources if column]
    files = {table.layout: [] for table in tables}
    for table in tables:
        files[table.layout].append(table.path.name)
    notes = [f"Read: {', '.join(names)}; {layout}." for layout, names in files.items()]
    notes.append(f"Classes: {', '.join(columns) or ', '.join(p.name for p in label_paths)}.")
    if choices.classes:
        tables = [_take_classes(table, classes, choices.classes) for table in tables]
    used = {patient for table in tables for patient in table.values.columns}
    if missing := used - classes.keys():
        rule, found = "must give each patient a class", f"{shortlist(missing)} have none"
        raise refusal(where, rule, found, "complete it, or leave them out with --drop NAME")
    if surplus := len(classes.keys() - used):
        total = len(used) + surplus
        notes.append(f"Patients: {len(used):,} of the {total:,} that have a class are used.")
    for table in tables:
        if table.ignored:
            ignored = shortlist(table.ignored)
            notes.append(f"Ignored columns of {table.path.name}: {ignored}.")
    return Cohort(tables, classes, where, tuple(notes))


def _take_classes(table: Table, classes: dict[str, str], chosen: Sequence[str]) -> Table:
    """Return a table of the patients of the chosen classes alone."""
    if len(set(chosen)) != 2 or not set(chosen) <= set(classes.values()):
        rule = f"must be two of {shortlist(set(classes.values()), 20)}"
        raise refusal("--classes", rule, f"found {shortlist(chosen)}", "choose two of them")
    kept = [patient for patient in table.values.columns if classes.get(patient) in chosen]
    return table._replace(values=table.values[kept])


def check_apart(tables: list[Table]) -> None:
    """Raise when a patient is in both tables."""
    train, test = tables[0], tables[-1]
    both = train.values.columns.intersection(test.values.columns)
    if test is not train and len(both):
        rule, advice = f"no patient may be in {train.path} as well", "remove them from one file"
        raise refusal(test.path, rule, f"found {shortlist(both)}", advice)


def join_classes(sources: Iterable[tuple[Path, dict[str, str]]]) -> dict[str, str]:
    """Return the class of every patient that a file names; none may have two."""
    classes, origin = {}, {}
    for path, found in sources:
        for patient, name in found.items():
            if classes.setdefault(patient, name) != name:
                both = f"{patient} is {name} here, {classes[patient]} in {origin[patient]}"
                raise refusal(path, "a patient has one class", both, "correct one of them")
            origin.setdefault(patient, path)
    return classes


def check_complete(where: str, what: str, given: Iterable[str], tables: list[Table]) -> None:
    """Raise unless exactly the patients of the tables are given."""
    patients = {patient for table in tables for patient in table.values.columns}
    rule = f"must give each patient of {' and '.join(str(table.path) for table in tables)} a {what}"
    if missing := patients.difference(given):
        raise refusal(where, rule, f"{shortlist(missing)} have none", "complete it, or remove them")
    if surplus := set(given) - patients:
        found = f"{shortlist(surplus)} have no expression values"
        advice = "add these (--test for a test set), or name the files with --train and --labels"
        raise refusal(where, rule, found, advice)


def order_classes(
    tables: list[Table], where: str, classes: dict[str, str], positive: str | None
) -> tuple[list[str], str]:
    """Return the two classes, the positive one last, and why it is that one."""
    files = ", ".join([where, *(str(table.path) for table in tables)])
    names = sorted({classes[patient] for table in tables for patient in table.values.columns})
    if len(names) != 2:
        found, advice = f"found {len(names)}: {shortlist(names)}", "choose two with --classes A B"
        raise refusal(files, "patients must be of two classes", found, advice)
    in_training = Counter(classes[patient] for patient in tables[0].values.columns)
    why = "as chosen"
    if positive is None:
        positive, why = "AML", "the default where there is one"
        if "AML" not in names:
            positive = min(names, key=lambda name: in_training[name])
            why = "the rarer in training, or of equals the first (see --positive-class)"
    elif (positive := clean(positive)) not in names:
        rule = f"must be {' or '.join(names)}"
        raise refusal("--positive-class", rule, f"found {positive!r}", "choose one of them")
    for table, least, which in zip(tables, (MIN_PATIENTS, 1), ("training", "test"), strict=False):
        counts = Counter(classes[patient] for patient in table.values.columns)
        for name in names:
            if counts[name] < least:
                rule = f"must hold at least {least} {which} patients of each class"
                raise refusal(files, rule, f"found {counts[name]} of {name}", "add patients of it")
    return sorted(names, key=lambda name: name == positive), why
