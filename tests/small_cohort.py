"""A small cohort, and every way to write it: what the tests of the loader share."""

import csv
import gzip
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expression.errors import DataError
from expression.reading.load import LABELS_FILE as LABELS
from expression.reading.load import SUBTYPES_FILE as SUBTYPE
from expression.reading.load import TEST_FILE as TEST
from expression.reading.load import TRAIN_FILE as TRAIN
from expression.reading.load import load_expression_data

TRAIN_PATIENTS = [str(n) for n in range(1, 17)]
TEST_PATIENTS = [str(n) for n in range(17, 27)]
GENES = [f"X{n:05d}_at" for n in (7, 13, 42, 95, 101, 230, 777, 812, 1300, 2024, 31337, 95735)]
CLASSES = {p: "AML" if int(p) % 3 == 0 else "ALL" for p in TRAIN_PATIENTS + TEST_PATIENTS}
SUBTYPES = {p: f"{c} {'B' if int(p) % 2 else 'T'}" for p, c in CLASSES.items()}
DESCRIPTIONS = {gene: f'Protein {i}, subunit "{i % 3}β" (EC 1.{i})' for i, gene in enumerate(GENES)}


def small_values() -> pd.DataFrame:
    """Cells, genes x patients: whole and decimal, negative, of one to five digits."""
    rng = np.random.default_rng(0)
    numbers = np.exp(rng.normal(6, 2, (len(GENES), len(CLASSES)))).round(1) - 50
    cells = [[f"{x:.0f}" if i % 3 else f"{x:.1f}" for x in row] for i, row in enumerate(numbers)]
    return pd.DataFrame(cells, GENES, list(CLASSES))


VALUES = small_values()


def published(patients, values=VALUES, descriptions=DESCRIPTIONS, calls=False, trailing=False):
    """Rows of the published layout."""
    rows = [["Gene Accession Number"], *([gene] for gene in values.index)]
    if descriptions is not None:
        rows[0].insert(0, "Gene Description")
        for row in rows[1:]:
            row.insert(0, descriptions[row[-1]])
    for patient in patients:
        cells = [patient, *values[patient]]
        for i, (row, cell) in enumerate(zip(rows, cells, strict=True)):
            row += [cell, ("APM"[len(cell) % 3] if i else "call")] if calls else [cell]
    return [[*row, ""] for row in rows] if trailing else rows


def tidy(patients, values=VALUES, classes=CLASSES, header=("patient", "cancer")):
    rows = [[p, classes[p], *values[p]] for p in patients]
    return [[*header, *values.index], *rows]


def annotation(content, header=("patient", "cancer")):
    return [list(header), *([key, value] for key, value in content.items())]


def gct(patients, values=VALUES, descriptions=DESCRIPTIONS):
    rows = [[gene, descriptions[gene], *values.loc[gene, patients]] for gene in values.index]
    head = [["#1.2"], [str(len(values)), str(len(patients))]]
    return [*head, ["Name", "Description", *patients], *rows]


def cls(patients, classes=CLASSES, names=("ALL", "AML")):
    codes = " ".join(str(names.index(classes[p])) for p in patients)
    return f"{len(patients)} {len(names)} 1\n# {' '.join(names)}\n{codes}\n".encode()


def to_bytes(rows, delimiter=",", newline="\n", bom=False, gz=False):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=newline).writerows(rows)
    content = buffer.getvalue().encode("utf-8-sig" if bom else "utf-8")
    return gzip.compress(content, mtime=0) if gz else content


SMALL = {
    TRAIN: published(TRAIN_PATIENTS),
    TEST: published(TEST_PATIENTS),
    LABELS: annotation(CLASSES),
    SUBTYPE: annotation(SUBTYPES, ("patient", "subtype")),
}


def both(values, **options) -> dict:
    """The training and the test set of other values."""
    return {
        TRAIN: published(TRAIN_PATIENTS, values, **options),
        TEST: published(TEST_PATIENTS, values, **options),
    }


def write(folder: Path, name: str, content) -> Path:
    """Write rows, text or bytes into a file of a folder."""
    if isinstance(content, str):
        content = content.encode()
    (folder / name).write_bytes(content if isinstance(content, bytes) else to_bytes(content))
    return folder / name


def write_folder(folder: Path, tables=None) -> Path:
    """Write the small cohort; `tables`, rows or bytes by file name, replace files, None none."""
    folder.mkdir(exist_ok=True)
    for name, content in (SMALL | (tables or {})).items():
        if content is not None:
            write(folder, name, content)
    return folder


def load(folder: Path, tables=None, **options):
    return load_expression_data(write_folder(folder, tables), **options)


def refused(message: str):
    return pytest.raises(DataError, match=message)


def assert_same(found, expected):
    """Assert that two data sets hold the same, to the last bit."""
    found, expected = (replace(d, subtypes=None, informative_genes=None) for d in (found, expected))
    assert found.checksum == expected.checksum
    pd.testing.assert_frame_equal(found.X_train, expected.X_train, check_exact=True)
    pd.testing.assert_frame_equal(found.X_test, expected.X_test, check_exact=True)
    pd.testing.assert_series_equal(found.y_train, expected.y_train)
    pd.testing.assert_series_equal(found.y_test, expected.y_test)


def replaced(rows, row, column, cell):
    """Return rows with another cell."""
    rows = [list(r) for r in rows]
    rows[row][column] = cell
    return rows


def outcome(folder):
    try:
        return load_expression_data(folder)
    except DataError as error:
        return str(error)


def assert_refused_or_same(folder, name, expected, what):
    found = outcome(folder)
    if isinstance(found, str):
        assert name in found, f"{what}: {found}"
        assert found.isprintable()
        return
    assert_same(found, expected)
    if name != SUBTYPE:
        pd.testing.assert_series_equal(found.descriptions, expected.descriptions)
        pd.testing.assert_series_equal(found.subtypes, expected.subtypes)
