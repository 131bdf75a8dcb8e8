"""Load two-class expression data: files in, checked and aligned data out.

Every script starts here. Tables are joined by identifier only (patient and accession), never by
position, and whatever cannot be trusted ends in a `DataError` that says what to do about it.

Files of a data folder (see AML_ALL_data/README.md, and `tables.py` for other layouts):
    data_set_ALL_AML_train.csv          expression of the training patients
    data_set_ALL_AML_independent.csv    expression of the test patients                (optional)
    actual.csv                          patient, class
    subtypes.csv                        patient, subtype                               (optional)
    gene_symbols.csv                    accession, symbol                              (optional)
    golub_1999_informative_genes.csv    accession, higher_in                           (optional)
    caveats.txt                         what a reader of results must know             (optional)
"""

import os
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from expression.data import ExpressionData
from expression.errors import refusal, shortlist
from expression.preprocessing import MAX_GENES, SCALES, Preprocessing, Scale
from expression.reading import checks
from expression.reading.cohort import check_complete, order_classes, patients_of, read_cohort
from expression.reading.files import clean, read_bytes
from expression.reading.labels import Choices, read_annotation
from expression.reading.sheets import PATIENT_HEADERS
from expression.reading.tables import Table

DATA_DIR = Path(__file__).resolve().parents[2] / "AML_ALL_data"
TRAIN_FILE = "data_set_ALL_AML_train.csv"
TEST_FILE = "data_set_ALL_AML_independent.csv"
LABELS_FILE = "actual.csv"
SUBTYPES_FILE = "subtypes.csv"
SYMBOLS_FILE = "gene_symbols.csv"
INFORMATIVE_GENES_FILE = "golub_1999_informative_genes.csv"
CAVEATS_FILE = "caveats.txt"

SHORT_NAME_LENGTH = 30


def load_expression_data(
    data_dir: str | Path = DATA_DIR,
    *,
    expression: str = "intensity",
    train: str | Path | None = None,
    test: str | Path | None = None,
    labels: str | Path | Sequence[str | Path] | None = None,
    class_column: str | None = None,
    classes: Sequence[str] | None = None,
    positive_class: str | None = None,
    common_genes: bool = False,
    missing: str = "refuse",
    drop: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    max_genes: int | None = MAX_GENES,
) -> ExpressionData:
    """Read expression tables and classes, check them, and align them by patient and accession.

    The parameters are the options of the same names (see options.py). Logarithms are turned back
    here, and counts scaled to a million for each patient. With `train`, nothing comes from the
    folder; subtypes, gene symbols, informative genes and caveats are left out when any of `train`,
    `test` and `labels` is given. Files given so may name more patients than the tables hold; those
    of a folder belong together.

    Raises DataError, in one line, for everything that cannot be trusted.
    """
    folder = Path(data_dir)
    only_the_folder = not (train or test or labels)
    if not train:
        train = folder / TRAIN_FILE
        test = test or _path_if_exists(folder / TEST_FILE)
        labels = labels or _path_if_exists(folder / LABELS_FILE)
    labels = [labels] if isinstance(labels, str | Path) else labels or []
    scale = SCALES[expression]
    choices = Choices(class_column, tuple(map(clean, classes or ())), drop or (), keep or ())

    paths = [Path(path) for path in (train, test) if path]
    cohort = read_cohort(paths, [Path(path) for path in labels], choices)
    tables, class_of = cohort.tables, cohort.classes
    if only_the_folder and not choices.classes:
        wanted = [patient for patient in class_of if not choices.leaves_out(patient)]
        check_complete(cohort.where, "class", wanted, tables)
    lacking, missing_note = checks.find_missing(tables, missing == "drop")
    genes, gene_note = checks.find_common_genes(tables, common_genes, lacking)
    checks.check_arrays(tables, scale)
    order, why = order_classes(tables, cohort.where, class_of, positive_class)
    companions = _read_companions(folder, tables, genes, order, choices) if only_the_folder else {}
    descriptions = checks.merge_descriptions(tables, genes)
    gene_names = short_gene_names(descriptions, companions.pop("symbols", {}))

    patients = patients_of(tables)
    numbers = all(re.fullmatch("0|[1-9][0-9]{0,17}", patient) for patient in patients)
    identifier = int if numbers else str
    X_train, *rest = (_align(table.values, genes, identifier, scale) for table in tables)
    X_test = rest[0] if rest else X_train.iloc[:0]
    checks.check_copies([X_train, X_test], tables)
    y = pd.Series(class_of, name="class").loc[patients].rename(identifier).rename_axis("patient")
    y = y.astype(pd.CategoricalDtype(order, ordered=True))
    y_train, y_test = y.loc[X_train.index], y.loc[X_test.index]
    if "subtypes" in companions:
        subtypes = companions["subtypes"].rename(identifier)
        companions["subtypes"] = subtypes.loc[[*X_train.index, *X_test.index]]
    rarer_share = float(y_train.value_counts(normalize=True).min())
    read = tables[0].values.index
    values_note = f"Values: {scale.description}; genes from {read[0]} to {read[-1]}."
    positive = f"The positive class: {order[1]}, {why}."
    return ExpressionData(
        X_train=X_train,
        X_test=X_test,
        y_train=y_train,
        y_test=y_test,
        descriptions=pd.Series(descriptions.values(), X_train.columns, str, "description"),
        gene_names=pd.Series(gene_names.values(), X_train.columns, str, "gene"),
        preprocessing=Preprocessing(
            max_genes=max_genes,
            scale=scale.filtered_as,
            min_share=rarer_share,
        ),
        origin=(*cohort.notes, positive, values_note, *missing_note, *gene_note),
        **companions,
    )


def _path_if_exists(path: Path) -> Path | None:
    return path if os.path.exists(path) else None  # which, unlike Path.exists, takes any name


def _read_companions(
    folder: Path, tables: list[Table], genes: list[str], classes: list[str], choices: Choices
) -> dict[str, object]:
    """Return what lies beside the tables, checked against them: fields of the data, and symbols."""
    found = {}
    if path := _path_if_exists(folder / SUBTYPES_FILE):
        subtypes = read_annotation(path, PATIENT_HEADERS, {"subtype"})
        partly = choices.classes or choices.drop
        given = subtypes.keys() & patients_of(tables) if partly else subtypes
        check_complete(path, "subtype", given, tables)
        found["subtypes"] = pd.Series(subtypes, name="subtype").rename_axis("patient")
    if path := _path_if_exists(folder / SYMBOLS_FILE):
        found["symbols"] = read_annotation(path, {"accession"}, {"symbol"})
    if path := _path_if_exists(folder / INFORMATIVE_GENES_FILE):
        higher_in = read_annotation(path, {"accession"}, {"higher in"})
        unknown = higher_in.keys() - set(tables[0].values.index)
        unknown = {gene for gene in unknown if not choices.leaves_out(gene)}
        if unknown := unknown | (set(higher_in.values()) - set(classes)):
            rule = "must name genes of the training file, and the class each is higher in"
            raise refusal(path, rule, f"found {shortlist(unknown)}", "correct or remove the file")
        higher_in = pd.Series({gene: higher_in[gene] for gene in genes if gene in higher_in})
        found["informative_genes"] = higher_in.rename("higher_in").rename_axis("accession")
    if path := _path_if_exists(folder / CAVEATS_FILE):
        found["caveats"] = read_bytes(path).decode().strip()
    return found


def _align(values: pd.DataFrame, genes: list[str], identifier: type, scale: Scale) -> pd.DataFrame:
    """Return intensities or counts per million, patients x genes, both sorted.

    In one memory layout: the same bytes, the same sums.
    """
    patients = values.columns.map(identifier)
    order = np.argsort(patients, kind="stable")
    rows, X = values.index.get_indexer(genes), values.to_numpy().T
    sorted_already = (np.diff(order) == 1).all() and np.array_equal(rows, np.arange(X.shape[1]))
    X = np.ascontiguousarray(X if sorted_already else X[np.ix_(order, rows)])  # no copy, as a rule
    if scale.is_logged:
        X = scale.turn_back(X)
    if scale.is_counted:
        X = X * (1e6 / X.sum(axis=1, keepdims=True))
    index = pd.Index(patients[order], name="patient")
    return pd.DataFrame(X, index, pd.Index(genes, name="accession"), copy=False)


def short_gene_names(descriptions: dict[str, str], symbols: dict[str, str]) -> dict[str, str]:
    """Return a short, unique name per gene: its symbol, else shortened description or accession.

    A name that several genes share is followed by the accession.
    """
    shorten = partial(textwrap.shorten, width=SHORT_NAME_LENGTH, placeholder="…")
    names = {gene: text or gene for gene, text in descriptions.items()}
    names = {g: n if len(n) <= SHORT_NAME_LENGTH else shorten(n) for g, n in names.items()}
    names |= {gene: symbol for gene, symbol in symbols.items() if gene in names}
    count = Counter(names.values())
    for gene, name in list(names.items()):
        if name != gene and (count[name] > 1 or name in names):
            names[gene] = f"{name} ({gene})"
    return names if len(set(names.values())) == len(names) else {gene: gene for gene in names}
