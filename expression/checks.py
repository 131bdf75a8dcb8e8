"""What the tables and classes of a cohort must fulfil together; what does not is refused."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from expression.files import Table, clean, read_classes, refusal, shortlist

MAX_INTENSITY = 1e9  # beyond any scanner or sequencer
MAX_LOG2_VALUE = 32  # no scanner counts to 2**32, and no array of intensities stays below 32
MIN_PATIENTS = 5  # of each class, to train on: one for every fold of a 5-fold cross-validation


def check_arrays(tables: list[Table], expression: str) -> None:
    """Raise when an array is constant, on the wrong scale, or in both sets."""
    rule, looks, other = {
        "intensity": ("values must be intensities", "logged", "log"),
        "log": ("values must be log2 values", "like intensities", "intensity"),
    }[expression]
    for path, values, *_ in tables:
        smallest, largest = values.min(), values.max()
        if constant := list(largest.index[smallest == largest]):
            found = f"the array of {shortlist(constant)} has one value for all genes"
            raise refusal(path, "arrays must vary", found, "remove the patient or measure again")
        if absurd := list(largest.index[np.maximum(largest, -smallest) > MAX_INTENSITY]):
            limits = f"values must lie within -{MAX_INTENSITY:g} and {MAX_INTENSITY:g}"
            raise refusal(path, limits, f"found more in {shortlist(absurd)}", "correct them")
        wrong = largest.index[(largest <= MAX_LOG2_VALUE) != (expression == "log")]
        if len(wrong):
            found = f"{len(wrong)} of {len(largest)} arrays look {looks}: {shortlist(wrong)}"
            advice = f"put all arrays on one scale, see --expression {other}"
            raise refusal(path, rule, found, advice)
    train, test = tables[0], tables[-1]
    both = train.values.columns.intersection(test.values.columns)
    if test is not train and len(both):
        rule = f"no patient may be in {train.path} as well"
        raise refusal(
            test.path, rule, f"found {shortlist(both)}", "remove them from one of the files"
        )


def check_copies(X: pd.DataFrame, tables: list[Table]) -> None:
    """Raise when two patients have the same values: one of them is a copy."""
    seen = {}
    for patient, values in zip(X.index, X.to_numpy(), strict=True):
        original = seen.setdefault(values.tobytes(), patient)
        if original != patient:
            files = " and ".join(str(table.path) for table in tables)
            found = f"those of {original} and {patient} are the same"
            raise refusal(files, "patients must differ in their values", found, "remove the copy")


def find_common_genes(tables: list[Table], accept: bool) -> tuple[list[str], str]:
    """Return the genes of all tables, sorted, and a note when they are not those of each table."""
    train, test = tables[0], tables[-1]
    genes, others = set(train.values.index), set(test.values.index)
    missing, extra = genes - others, others - genes
    if not missing and not extra:
        return sorted(genes), ""
    lack = f"{len(missing):,} of the {len(genes):,} training genes"
    if accept and 2 * len(missing) < len(genes):
        note = f"Only the {len(genes & others):,} genes in both files are used: the test file lacks"
        return sorted(genes & others), f"{note} {lack} and has {len(extra):,} others."
    found = [f"it lacks {lack} ({shortlist(missing)})"] if missing else []
    found += [f"it has {len(extra):,} others ({shortlist(extra)})"] if extra else []
    rule = f"must hold the same genes as {train.path}"
    if accept:
        rule = f"must hold more than half of the genes of {train.path}"
    advice = "export both from the same kind of array, or see --common-genes"
    raise refusal(test.path, rule, " and ".join(found), advice)


def gather_classes(tables: list[Table], label_paths: list[Path]) -> dict[str, str]:
    """Return the class of every patient, from columns of the tables and from files of classes."""
    in_order = [list(table.values.columns) for table in tables]
    sources = [(table.path, table.classes) for table in tables]
    sources += [(path, read_classes(path, in_order)) for path in label_paths]
    classes, origin = {}, {}
    for path, found in sources:
        for patient, name in found.items():
            if classes.setdefault(patient, name) != name:
                both = f"{patient} is {name} here, {classes[patient]} in {origin[patient]}"
                raise refusal(path, "a patient has one class", both, "correct one of them")
            origin.setdefault(patient, path)
    if not classes:
        found = f"{tables[0].path} has no column of them, and there is no file of them"
        raise refusal("--labels", "must name the file of classes", found, "name the file")
    check_complete(label_paths or [tables[0].path], "class", classes, tables)
    return classes


def check_complete(paths: list[Path], what: str, given: Iterable[str], tables: list[Table]) -> None:
    """Raise unless exactly the patients of the tables are given."""
    patients = {patient for table in tables for patient in table.values.columns}
    where = ", ".join(map(str, paths))
    rule = f"must give each patient of {' and '.join(str(table.path) for table in tables)} a {what}"
    if missing := patients.difference(given):
        raise refusal(where, rule, f"{shortlist(missing)} have none", "complete it, or remove them")
    if surplus := set(given) - patients:
        advice = "add their expression values (--test for a test set), or remove them"
        raise refusal(where, rule, f"{shortlist(surplus)} have no expression values", advice)


def order_classes(
    tables: list[Table], label_paths: list[Path], classes: dict[str, str], positive: str | None
) -> tuple[list[str], str]:
    """Return the two classes, the positive one last, and a note when nobody chose it."""
    files = ", ".join(map(str, [*label_paths, *(table.path for table in tables)]))
    names = sorted(set(classes.values()))
    if len(names) != 2:
        found = f"found {len(names)}: {shortlist(names)}"
        raise refusal(files, "patients must be of two classes", found, "keep those of two")
    note = ""
    in_training = Counter(classes[patient] for patient in tables[0].values.columns)
    if positive is None:
        positive = "AML" if "AML" in names else min(names, key=lambda name: in_training[name])
        if positive != "AML":
            rule = "the rarer in training, or of equals the first (see --positive-class)"
            note = f"Positive class: {positive}, {rule}."
    elif (positive := clean(positive)) not in names:
        rule = f"must be {' or '.join(names)}"
        raise refusal("--positive-class", rule, f"found {positive!r}", "choose one of them")
    for table, least, which in zip(tables, (MIN_PATIENTS, 1), ("training", "test"), strict=False):
        counts = Counter(classes[patient] for patient in table.values.columns)
        for name in names:
            if counts[name] < least:
                rule = f"must hold at least {least} {which} patients of each class"
                raise refusal(files, rule, f"found {counts[name]} of {name}", "add patients of it")
    return sorted(names, key=lambda name: name == positive), note
