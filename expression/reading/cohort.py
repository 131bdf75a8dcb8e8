"""Bring expression files and files of classes together: which patients, of which two classes."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from expression.errors import refusal, shortlist
from expression.reading.files import clean
from expression.reading.labels import Choices, Source, match_codes, name_patients, read_labels
from expression.reading.sheets import read_sheet
from expression.reading.tables import Table, find_table

MIN_PATIENTS = 5  # of each class, to train on: one for every fold of a 5-fold cross-validation


class Cohort(NamedTuple):
    """What expression files and files of classes say together."""

    tables: list[Table]  # of patients whose class is known
    classes: dict[str, str]  # of every patient that is named
    where: str  # the files of classes, for messages
    notes: list[str]  # what was read, and what was left out


def read_cohort(paths: list[Path], label_paths: list[Path], choices: Choices) -> Cohort:
    """Read the tables and the classes of their patients, by name or by the order of a CLS file."""
    labels = [read_labels(path, choices) for path in label_paths]
    columns = (c for label in labels if label.sheet for c in label.sheet.text.values())
    names = set().union(*columns) - {""}  # what may be the name of a patient
    sheets = [read_sheet(path, names) for path in paths]
    sources = [name_patients(label, sheets, choices) for label in labels if label.sheet]
    where, named = ", ".join(map(str, label_paths or paths)), _join_classes(sources)
    tables = []
    while sheets:  # one copy of the values at a time
        tables.append(find_table(sheets.pop(0), named, bool(labels), choices, where))
    in_order = [list(table.values.columns) for table in tables]
    sources += [match_codes(label, in_order) for label in labels if not label.sheet]
    sources += [Source(table.path, table.classes, table.class_column) for table in tables]
    classes = _join_classes(reversed(sources))
    if choices.classes:
        if len(set(choices.classes)) != 2 or not set(choices.classes) <= set(classes.values()):
            rule = f"must be two of {shortlist(set(classes.values()), 20)}"
            found = f"found {shortlist(choices.classes)}"
            raise refusal("--classes", rule, found, "choose two of them")
        chosen = {patient for patient, name in classes.items() if name in choices.classes}
        tables = [t._replace(values=t.values.loc[:, t.values.columns.isin(chosen)]) for t in tables]
    patients = set(patients_of(tables))
    if missing := patients - classes.keys():
        rule, found = "must give each patient a class", f"{shortlist(missing)} have none"
        raise refusal(where, rule, found, "complete it, or leave them out with --drop NAME")
    if both := set(patients_of(tables[:1])) & set(patients_of(tables[1:])):
        rule, advice = f"no patient may be in {paths[0]} as well", "remove them from one file"
        raise refusal(paths[1], rule, f"found {shortlist(both)}", advice)

    files = {table.layout: [] for table in tables}
    for table in tables:
        files[table.layout].append(table.path.name)
    named = [f"column {s.column!r} of {s.path.name}" for s in sources if s.column]
    notes = [f"Read: {', '.join(names)}; {layout}." for layout, names in files.items()]
    notes += [f"Classes: {', '.join(named or [path.name for path in label_paths])}."]
    if len(classes) > len(patients):
        used = f"{len(patients):,} of the {len(classes):,} that have a class are used"
        notes += [f"Patients: {used}, not {shortlist(classes.keys() - patients)}."]
    ignored = [(table.path.name, shortlist(table.ignored)) for table in tables if table.ignored]
    notes += [f"Ignored columns of {name}: {listed}." for name, listed in ignored]
    return Cohort(tables, classes, where, notes)


def patients_of(tables: list[Table]) -> list[str]:
    """Return the patients of all tables, in their order."""
    return [patient for table in tables for patient in table.values.columns]


def _join_classes(sources: Iterable[Source]) -> dict[str, str]:
    """Return the class of every patient that a file names; none may have two."""
    classes, origin = {}, {}
    for source in sources:
        for patient, name in source.classes.items():
            if classes.setdefault(patient, name) != name:
                both = f"{patient} is {name} here, {classes[patient]} in {origin[patient]}"
                advice = "correct one, or leave a column that is no class out: --drop NAME"
                raise refusal(source.path, "a patient has one class", both, advice)
            origin.setdefault(patient, source.path)
    return classes


def check_complete(where: object, what: str, given: Iterable[str], tables: list[Table]) -> None:
    """Raise unless exactly the patients of the tables are given."""
    patients, given = set(patients_of(tables)), set(given)
    rule = f"must give each patient of {' and '.join(str(table.path) for table in tables)} a {what}"
    if missing := patients - given:
        raise refusal(where, rule, f"{shortlist(missing)} have none", "complete it, or remove them")
    if surplus := given - patients:
        found = f"{shortlist(surplus)} have no expression values"
        advice = "add these (--test for a test set), or name the files with --train and --labels"
        raise refusal(where, rule, found, advice)


def order_classes(
    tables: list[Table], where: str, classes: dict[str, str], positive: str | None
) -> tuple[list[str], str]:
    """Return the two classes, the positive one last, and why it is that one."""
    files = ", ".join([where, *(str(table.path) for table in tables)])
    counts = [Counter(classes[patient] for patient in table.values.columns) for table in tables]
    names = sorted(set().union(*counts))
    if len(names) != 2:
        found, advice = f"found {len(names)}: {shortlist(names)}", "choose two with --classes A B"
        raise refusal(files, "patients must be of two classes", found, advice)
    if positive is not None:
        positive, why = clean(positive), "as chosen"
    elif "AML" in names:
        positive, why = "AML", "the default where there is one"
    else:
        positive = min(names, key=lambda name: counts[0][name])
        why = "the rarer in training, or of equals the first (see --positive-class)"
    if positive not in names:
        rule = f"must be {' or '.join(names)}"
        raise refusal("--positive-class", rule, f"found {positive!r}", "choose one of them")
    for count, least, which in zip(counts, (MIN_PATIENTS, 1), ("training", "test"), strict=False):
        if short := [name for name in names if count[name] < least]:
            rule = f"must hold at least {least} {which} patients of each class"
            found = f"found {count[short[0]]} of {short[0]}"
            raise refusal(files, rule, found, "add patients of it")
    return sorted(names, key=lambda name: name == positive), why
