"""Load expression data of classes of patients: files in, checked and aligned data out.

Every script starts here. Tables are joined by identifier only (patient and accession), never by
position, and whatever cannot be trusted ends in a `DataError` that says what to do about it.

Files of a data folder (see AML_ALL_data/README.md, and `tables.py` for other layouts):
    data_set_ALL_AML_train.csv          expression of the training patients
    data_set_ALL_AML_independent.csv    expression of the test patients                (optional)
    actual.csv                          patient, class
    samples.csv                         patient, subtype, source (the batch), ...      (optional)
    subtypes.csv                        patient, subtype; read if samples.csv has none (optional)
    gene_symbols.csv                    accession, symbol                              (optional)
    golub_1999_informative_genes.csv    accession, higher_in                           (optional)
    caveats.txt                         what a reader of results must know             (optional)
"""

import os
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression.data import ExpressionData
from expression.errors import refusal, shortlist
from expression.preprocessing import (
    MAX_GENES,
    SCALES,
    TRIMMED,
    Preprocessing,
    Scale,
    factor_to_published,
    rescale,
    typical_level,
)
from expression.reading import checks
from expression.reading.labels import order_classes, read_annotation
from expression.reading.samples import Samples, read_samples
from expression.reading.sheets import PATIENT_HEADERS, ReadingOptions, clean, read_bytes
from expression.reading.symbols import read_symbols
from expression.reading.tables import Cohort, Table, patients_of, read_cohort

DATA_DIR = Path(__file__).resolve().parents[2] / "AML_ALL_data"
TRAIN_FILE = "data_set_ALL_AML_train.csv"
TEST_FILE = "data_set_ALL_AML_independent.csv"
LABELS_FILE = "actual.csv"
SAMPLES_FILE = "samples.csv"
SUBTYPES_FILE = "subtypes.csv"
SYMBOLS_FILE = "gene_symbols.csv"
INFORMATIVE_GENES_FILE = "golub_1999_informative_genes.csv"
CAVEATS_FILE = "caveats.txt"

SHORT_NAME_LENGTH = 30


def load_expression_data(
    data_dir: str | Path = DATA_DIR,
    *,
    expression: str = "intensity",
    log_base: str | None = None,
    train: str | Path | None = None,
    test: str | Path | None = None,
    labels: str | Path | Sequence[str | Path] | None = None,
    new: Sequence[str | Path] = (),
    symbols: str | Path | None = None,
    class_column: str | None = None,
    batch_column: str | None = None,
    group_column: str | None = None,
    subtype_column: str | None = None,
    classes: Sequence[str] | None = None,
    positive_class: str | None = None,
    common_genes: bool = False,
    missing: str = "refuse",
    drop: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    duplicates: str = "refuse",
    max_genes: int | None = MAX_GENES,
) -> ExpressionData:
    """Read expression tables and classes, check them, and align them by patient and accession.

    The parameters are the options of the same names (running/command.py). Logarithms are turned
    back here, counts scaled to a million for each patient, and intensities of both sets multiplied
    by the one factor that brings the training patients to the level of the published ones.

    With `train`, nothing comes from the folder. Its gene symbols and caveats, which are of its
    tables, are left out when `train` or `test` is given; its sample sheet, subtypes and informative
    genes, which are of its classes, when `labels` is given, too.
    Files given so may name more patients than the tables hold; those of a folder belong together.

    The columns named are those of the sample sheet: of samples.csv, and of every file of classes
    and every expression table with a row a patient.

    Raises DataError, in one line, for everything that cannot be trusted.
    """
    folder = Path(data_dir)
    tables_of_folder = not (train or test)
    only_the_folder = tables_of_folder and not labels
    train, test, label_paths = _find_files(folder, train, test, labels)
    options = ReadingOptions(
        class_column=class_column,
        batch_column=batch_column,
        group_column=group_column,
        subtype_column=subtype_column,
        classes=tuple(map(clean, classes or ())),
        drop=drop or (),
        keep=keep or (),
        duplicates=duplicates,
    )
    scale = SCALES[expression]
    _check_base_is_of_logarithms(scale, log_base)

    samples = None
    if only_the_folder and (path := _path_if_exists(folder / SAMPLES_FILE)):
        samples = read_samples(path, options)
    files = [train] if test is None else [train, test]
    new_paths = [Path(path) for path in new]
    cohort = read_cohort(files, label_paths, options, samples, new_paths)
    if only_the_folder and not options.classes:
        _check_folder_is_complete(cohort, samples, options)
    tables = cohort.tables
    of_all = [*tables, *cohort.new]
    incomplete, missing_note = checks.find_missing(of_all, accept=missing == "drop")
    genes, gene_note = checks.find_common_genes(of_all, common_genes, incomplete)
    checks.check_arrays(of_all, scale, log_base)
    checks.check_log_base(tables, scale, log_base)
    order, order_note = _order_classes(cohort, positive_class)
    checks.check_totals(train, tables[0].values, options.keep)

    companions = _Companions()
    if tables_of_folder:
        companions = _read_companions_of_tables(folder)
    if only_the_folder:
        companions = _read_companions_of_classes(companions, folder, cohort, genes, order, options)
    descriptions = checks.merge_descriptions(tables, genes)
    known_symbols, symbol_notes = _join_symbols(tables, genes, companions, symbols)
    gene_names = short_gene_names(descriptions, known_symbols)

    identifier = _type_of_identifiers(patients_of(tables))
    factor = _factor_of(tables[0], scale, log_base) if scale.unit == "intensity" else 1.0
    reading = _ScaleOfCohort(scale, log_base, factor)
    X_train = _align(tables[0].values, genes, identifier, reading)
    if scale.is_logged:  # as totals may be of the values before they were logged
        checks.check_totals(train, X_train.T, options.keep)
    X_test = X_train.iloc[:0]
    if test is not None:
        X_test = _align(tables[1].values, genes, identifier, reading)
    checks.check_copies([X_train, X_test], tables)
    X_new = None
    if cohort.new:
        X_new = _align_new(cohort.new, genes, reading)

    y = _classes_of(cohort, order, identifier)
    y_train = y.loc[X_train.index]
    y_test = y.loc[X_test.index]
    preprocessing = Preprocessing(
        max_genes=max_genes,
        scale=scale.unit,
        min_share=float(y_train.value_counts(normalize=True).min()),
    )
    if "group" not in cohort.columns:
        checks.check_near_copies(X_train, X_test, preprocessing, tables)
    if X_new is not None:
        checks.check_levels(X_new, X_train, scale, cohort.new)
        checks.check_known(X_new, [X_train, X_test], preprocessing, cohort.new, options.keep)

    patients = [*X_train.index, *X_test.index]
    known = _known_of_patients(cohort, companions, identifier, patients)
    in_file = tables[0].values.index
    return ExpressionData(
        X_train=X_train,
        X_test=X_test,
        y_train=y_train,
        y_test=y_test,
        X_new=X_new,
        descriptions=pd.Series(descriptions.values(), X_train.columns, str, "description"),
        gene_names=pd.Series(gene_names.values(), X_train.columns, str, "gene"),
        subtypes=known.get("subtype"),
        batches=known.get("batch"),
        groups=known.get("group"),
        informative_genes=companions.informative_genes,
        caveats=companions.caveats,
        preprocessing=preprocessing,
        origin=(
            *cohort.notes,
            order_note,
            f"Values: {reading.in_words}; genes from {in_file[0]} to {in_file[-1]}.",
            *missing_note,
            *gene_note,
            *symbol_notes,
        ),
    )


def _find_files(
    folder: Path,
    train: str | Path | None,
    test: str | Path | None,
    labels: str | Path | Sequence[str | Path] | None,
) -> tuple[Path, Path | None, list[Path]]:
    """Return the training file, the test file, and those of classes: given, or of the folder."""
    if not train:
        train = folder / TRAIN_FILE
        test = test or _path_if_exists(folder / TEST_FILE)
        labels = labels or _path_if_exists(folder / LABELS_FILE)
    if isinstance(labels, str | Path):
        labels = [labels]
    return Path(train), Path(test) if test else None, [Path(path) for path in labels or ()]


def _path_if_exists(path: Path) -> Path | None:
    return path if os.path.exists(path) else None  # which, unlike Path.exists, takes any name


def _check_folder_is_complete(
    cohort: Cohort, samples: Samples | None, options: ReadingOptions
) -> None:
    wanted = [patient for patient in cohort.classes if not options.leaves_out(patient)]
    checks.check_complete(cohort.where, "class", wanted, cohort.tables)
    if samples is not None:
        checks.check_complete(samples.sheet.path, "row", samples.patients, cohort.tables)


def _order_classes(cohort: Cohort, positive: str | None) -> tuple[list[str], str]:
    """Return the classes in their order, and a sentence on it.

    Where the person of each array is known, people count, not arrays.
    """
    files = ", ".join(dict.fromkeys([cohort.where, *(str(t.path) for t in cohort.tables)]))
    groups = cohort.columns.get("group")
    counts = []
    for table in cohort.tables:
        patients = list(table.values.columns)
        people = patients if groups is None else [groups.entries[patient] for patient in patients]
        classes = [cohort.classes[patient] for patient in patients]
        of_people = set(zip(people, classes, strict=True))
        counts.append(Counter(name for _, name in of_people))
    who = "patients" if groups is None else "people"
    return order_classes(counts, files, positive, who)


# --- what lies beside the tables ------------------------------------------------------------------


class _Companions(NamedTuple):
    """What a folder says beside its tables; fields as of `ExpressionData`, but `symbols`."""

    subtypes: dict[str, str] | None = None  # by patient
    symbols: dict[str, str] | None = None  # by accession
    informative_genes: pd.Series | None = None
    caveats: str = ""


def _read_companions_of_tables(folder: Path) -> _Companions:
    """Return what a folder says of its tables, whatever the classes."""
    companions = _Companions()
    if path := _path_if_exists(folder / SYMBOLS_FILE):
        companions = companions._replace(symbols=read_annotation(path, {"accession"}, {"symbol"}))
    if path := _path_if_exists(folder / CAVEATS_FILE):
        companions = companions._replace(caveats=read_bytes(path).decode().strip())
    return companions


def _read_companions_of_classes(
    companions: _Companions,
    folder: Path,
    cohort: Cohort,
    genes: list[str],
    classes: list[str],
    options: ReadingOptions,
) -> _Companions:
    """Return the companions with what a folder says of its own classes, checked against the
    tables."""
    tables = cohort.tables
    path = _path_if_exists(folder / SUBTYPES_FILE)
    if path and "subtype" not in cohort.columns:
        companions = companions._replace(subtypes=_read_subtypes(path, tables, options))
    if path := _path_if_exists(folder / INFORMATIVE_GENES_FILE):
        informative = _read_informative_genes(path, tables, genes, classes, options)
        companions = companions._replace(informative_genes=informative)
    return companions


def _read_subtypes(path: Path, tables: list[Table], options: ReadingOptions) -> dict[str, str]:
    subtypes = read_annotation(path, PATIENT_HEADERS, {"subtype"})
    given = set(subtypes)
    if options.classes or options.drop:  # the file may name the patients that are left out
        given &= set(patients_of(tables))
    checks.check_complete(path, "subtype", given, tables)
    return subtypes


def _read_informative_genes(
    path: Path, tables: list[Table], genes: list[str], classes: list[str], options: ReadingOptions
) -> pd.Series:
    """Return the class that each gene of the file, if among `genes`, is higher in."""
    higher_in = read_annotation(path, {"accession"}, {"higher in"})
    known = set(tables[0].values.index)
    unknown = {gene for gene in higher_in if gene not in known and not options.leaves_out(gene)}
    unknown.update(set(higher_in.values()) - set(classes))
    if unknown:
        raise refusal(
            path,
            "must name genes of the training file, and the class each is higher in",
            f"found {shortlist(unknown)}",
            "correct or remove the file",
        )
    kept = pd.Series({gene: higher_in[gene] for gene in genes if gene in higher_in})
    return kept.rename("higher_in").rename_axis("accession")


# --- alignment and names --------------------------------------------------------------------------


def _type_of_identifiers(patients: list[str]) -> type:
    """Return int where all are whole numbers as Python writes them, else str."""
    if all(re.fullmatch("0|[1-9][0-9]{0,17}", patient) for patient in patients):
        return int
    return str


def _classes_of(cohort: Cohort, order: list[str], identifier: type) -> pd.Series:
    """Return the class of every patient, as an ordered categorical."""
    y = pd.Series(cohort.classes, name="class").loc[patients_of(cohort.tables)]
    y = y.rename(identifier).rename_axis("patient")
    return y.astype(pd.CategoricalDtype(order, ordered=True))


def _known_of_patients(
    cohort: Cohort, companions: _Companions, identifier: type, patients: list
) -> dict[str, pd.Series]:
    """Return batches, groups and subtypes, as far as they are known, of patients in this order."""
    entries = {kind: column.entries for kind, column in cohort.columns.items()}
    names = {kind: column.name or kind for kind, column in cohort.columns.items()}
    if companions.subtypes is not None:
        entries["subtype"] = companions.subtypes
    names["subtype"] = "subtype"
    return {
        kind: pd.Series(by_patient, name=names[kind])
        .rename(identifier)
        .rename_axis("patient")
        .loc[patients]
        for kind, by_patient in entries.items()
    }


class _ScaleOfCohort(NamedTuple):
    """How the values of both sets of one cohort become those of `ExpressionData`."""

    scale: Scale
    log_base: str | None
    factor: float  # of intensities

    @property
    def in_words(self) -> str:
        words = self.scale.describe(self.log_base)
        if self.factor == 1:
            return words
        return (
            f"{words}, times {self.factor:.4g}, which brings the training patients to the mean "
            "level of the arrays of Golub et al. (1999), in whose units the filter is"
        )

    def read(self, X: np.ndarray) -> np.ndarray:
        X = self.scale.turn_back(X, self.log_base)
        if self.scale.is_counted:
            X = X * (1e6 / X.sum(axis=1, keepdims=True))
        return rescale(X, self.factor)


def _check_base_is_of_logarithms(scale: Scale, log_base: str | None) -> None:
    if log_base is not None and not (scale.is_logged or scale.is_ratio):
        raise refusal(
            "--log-base",
            "must be of logarithms",
            f"the values are given as {scale.describe(None)}",
            "see --expression log, log-counts or log-ratio; or leave it out",
        )


def _factor_of(table: Table, scale: Scale, log_base: str | None) -> float:
    """Return what the intensities of a cohort are multiplied by: of training patients, all genes.

    No label has a part in it, so that one factor serves all folds.
    """
    level = typical_level(
        scale.turn_back(table.values[patient].dropna().to_numpy(), log_base)
        for patient in table.values
    )
    if level == 0:
        raise refusal(
            table.path,
            f"values must be {scale.describe(log_base)}",
            f"in half of the patients or more, not {TRIMMED:.0%} of the values are above 0",
            "export them with less background taken away",
        )
    return factor_to_published(level)


def _align(
    values: pd.DataFrame, genes: list[str], identifier: type, reading: _ScaleOfCohort
) -> pd.DataFrame:
    """Return the values of `ExpressionData`, patients x genes, both sorted.

    In one memory layout: the same bytes, the same sums.
    """
    patients = values.columns.map(identifier)
    order = np.argsort(patients, kind="stable")
    rows = values.index.get_indexer(genes)
    X = values.to_numpy().T
    in_order = (np.diff(order) == 1).all() and np.array_equal(rows, np.arange(X.shape[1]))
    X = np.ascontiguousarray(X if in_order else X[np.ix_(order, rows)])  # no copy, as a rule
    return pd.DataFrame(
        reading.read(X),
        index=pd.Index(patients[order], name="patient"),
        columns=pd.Index(genes, name="accession"),
        copy=False,
    )


def _align_new(new: list[Table], genes: list[str], reading: _ScaleOfCohort) -> pd.DataFrame:
    """Return the values of all new patients, in the order of their names."""
    identifier = _type_of_identifiers(patients_of(new))
    parts = [_align(table.values, genes, identifier, reading) for table in new]
    return parts[0] if len(parts) == 1 else pd.concat(parts).sort_index()


def _join_symbols(
    tables: list[Table], genes: list[str], companions: _Companions, path: str | Path | None
) -> tuple[dict[str, str], list[str]]:
    """Return all symbols that are known, by gene, and sentences on where they were read.

    What the user gives, `path`, is taken before what lies beside the tables, and this before what
    they say themselves.
    """
    symbols = {}
    files = {}  # by the name of their column of symbols
    for table in reversed(tables):
        symbols |= table.symbols
        if table.symbol_column:
            files[table.symbol_column] = table.path.name
    notes = [f"Gene symbols: column {name!r} of {file}." for name, file in files.items()]
    symbols |= companions.symbols or {}
    if path is not None:
        given, note = read_symbols(Path(path), genes)
        symbols |= given
        notes.append(note)
    return symbols, notes


def short_gene_names(descriptions: dict[str, str], symbols: dict[str, str]) -> dict[str, str]:
    """Return a short, unique name per gene: its symbol, else shortened description or accession.

    A name that several genes share is followed by the accession.
    """
    names = {gene: description or gene for gene, description in descriptions.items()}
    for gene, name in names.items():
        if len(name) > SHORT_NAME_LENGTH:
            names[gene] = textwrap.shorten(name, width=SHORT_NAME_LENGTH, placeholder="…")
    for gene, symbol in symbols.items():
        if gene in names:
            is_long = len(symbol) > SHORT_NAME_LENGTH and symbol != gene
            names[gene] = symbol[: SHORT_NAME_LENGTH - 1] + "…" if is_long else symbol
    count = Counter(names.values())
    unique = {
        gene: f"{name} ({gene})" if name != gene and (count[name] > 1 or name in names) else name
        for gene, name in names.items()
    }
    if len(set(unique.values())) < len(unique):
        return {gene: gene for gene in names}
    return unique
