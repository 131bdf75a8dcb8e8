"""Load two-class expression data: files in, checked and aligned data out.

Every script starts here. Tables are joined by identifier only (patient and accession), never by
position, and whatever cannot be trusted ends in a `DataError` that says what to do about it.

Files of a data folder (see AML_ALL_data/README.md, and `expression_files.py` for other layouts):
    data_set_ALL_AML_train.csv          expression of the training patients
    data_set_ALL_AML_independent.csv    expression of the test patients                (optional)
    actual.csv                          patient, class
    subtypes.csv                        patient, subtype                               (optional)
    golub_1999_informative_genes.csv    accession, higher_in                           (optional)
    caveats.txt                         what a reader of results must know             (optional)
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from expression_files import (
    PATIENT_HEADERS,
    DataError,
    Table,
    clean,
    read_annotation,
    read_classes,
    read_expression,
    read_text,
    refusal,
    some,
)

__all__ = ["DataError", "ExpressionData", "load_expression_data", "short_gene_names"]

DATA_DIR = Path(__file__).resolve().parent / "AML_ALL_data"
TRAIN_FILE = "data_set_ALL_AML_train.csv"
TEST_FILE = "data_set_ALL_AML_independent.csv"
LABELS_FILE = "actual.csv"
SUBTYPES_FILE = "subtypes.csv"
INFORMATIVE_GENES_FILE = "golub_1999_informative_genes.csv"
CAVEATS_FILE = "caveats.txt"

EXPRESSION_SCALES = ("intensity", "log")
MAX_INTENSITY = 1e9  # beyond any scanner or sequencer
MAX_LOG2_VALUE = 32  # no scanner counts to 2**32, and no array of intensities stays below 32
MIN_PATIENTS = 5  # of each class, to train on: one for every fold of a 5-fold cross-validation
SHORT_NAME_LENGTH = 30
NOT_SYMBOLS = {"ATP", "CAMP", "DNA", "GABA", "GTP", "MHC", "RNA", "TATA"}  # begin descriptions


@dataclass(frozen=True)
class ExpressionData:
    """Checked and aligned expression data of two classes of patients.

    Attributes
    ----------
    X_train, X_test : DataFrame of float, patients x genes
        Expression in the units of the files, indexed by patient, columns by accession. Patients
        and genes are in sorted order, the same genes in the same order in both. Without a test
        set, X_test and y_test have no rows.
    y_train, y_test : Series, ordered categorical of two classes, indexed like X
        The positive class is the higher one: ``y.cat.codes`` is 1 for it, 0 for the other.
    descriptions, gene_names : Series of str, indexed by accession
        The description of the file, and a short unique name for figures.
    subtypes : Series of str indexed by patient, or None
    informative_genes : Series indexed by accession, or None
        The class in which the literature found each gene higher.
    caveats : str
        What a reader of any result must know about these data; may be empty.
    """

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: pd.Series
    y_test: pd.Series
    descriptions: pd.Series
    gene_names: pd.Series
    subtypes: pd.Series | None = None
    informative_genes: pd.Series | None = None
    caveats: str = ""

    @property
    def classes(self) -> tuple[str, str]:
        """The two class names, (negative, positive)."""
        return tuple(self.y_train.cat.categories)

    @property
    def X_all(self) -> pd.DataFrame:
        """Training then test patients."""
        return pd.concat([self.X_train, self.X_test])

    @property
    def y_all(self) -> pd.Series:
        return pd.concat([self.y_train, self.y_test])

    @property
    def sample_set(self) -> pd.Series:
        """'train' or 'test' for every patient of `X_all`."""
        sets = ["train"] * len(self.X_train) + ["test"] * len(self.X_test)
        return pd.Series(sets, index=self.X_all.index, name="set")

    @property
    def checksum(self) -> str:
        """SHA-256 of the values, identifiers and labels: independent of file format and order."""
        digest = hashlib.sha256()
        for X, y in ((self.X_train, self.y_train), (self.X_test, self.y_test)):
            digest.update(X.to_numpy().tobytes())
            digest.update(repr((list(X.index), list(X.columns), list(y))).encode())
        return digest.hexdigest()


def load_expression_data(
    data_dir: str | Path = DATA_DIR,
    *,
    expression: str = "intensity",
    train: str | Path | None = None,
    test: str | Path | None = None,
    labels: str | Path | Sequence[str | Path] | None = None,
    positive_class: str | None = None,
    common_genes: bool = False,
) -> ExpressionData:
    """Read expression tables and classes, check them, and align them by patient and accession.

    Parameters
    ----------
    data_dir : folder with the files named in the module docstring
    expression : {"intensity", "log"}
        The scale of the values: array intensities, or their log2.
    train, test, labels : files (labels: one or several) in place of those of the folder
        With `train`, nothing comes from the folder. Its subtypes, informative genes and caveats
        belong to the folder as it is, and are left out when any of the three is given.
    positive_class : the class to call positive
        By default AML, or where there is none, the rarer class among the training patients.
    common_genes : use the genes that both files have, when the test file lacks fewer than half

    Raises
    ------
    DataError
        For everything that cannot be trusted, in one line.
    """
    folder = Path(data_dir)
    as_it_is = not (train or test or labels)
    if not train:
        train = folder / TRAIN_FILE
        test = test or _if_there(folder / TEST_FILE)
        labels = labels or _if_there(folder / LABELS_FILE)
    label_paths = [Path(p) for p in ([labels] if isinstance(labels, str | Path) else labels or [])]

    tables = [read_expression(Path(path)) for path in (train, test) if path]
    _check_arrays(tables, expression)
    genes, gene_note = _common_genes(tables, common_genes)
    classes = _gather_classes(tables, label_paths)
    order, class_note = _order_classes(tables, label_paths, classes, positive_class)
    subtypes = informative = None
    caveats = ""
    if as_it_is:
        subtypes, informative, caveats = _read_companions(folder, tables, order)

    numbers = all(re.fullmatch("0|[1-9][0-9]{0,17}", patient) for patient in classes)
    identifier = int if numbers else str
    X_train, *rest = (_align(table.values, genes, identifier) for table in tables)
    X_test = rest[0] if rest else X_train.iloc[:0]
    _check_copies(pd.concat([X_train, X_test]), tables)
    y = pd.Series(classes, name="class").rename(identifier).rename_axis("patient")
    y = y.astype(pd.CategoricalDtype(order, ordered=True))
    descriptions = _merge_descriptions(tables, genes)
    if subtypes is not None:
        subtypes = subtypes.rename(identifier).loc[[*X_train.index, *X_test.index]]
    if informative is not None:
        informative = informative[informative.index.isin(genes)]
    return ExpressionData(
        X_train=X_train,
        X_test=X_test,
        y_train=y.loc[X_train.index],
        y_test=y.loc[X_test.index],
        descriptions=descriptions,
        gene_names=short_gene_names(descriptions),
        subtypes=subtypes,
        informative_genes=informative,
        caveats="\n".join(filter(None, [caveats.strip(), class_note, gene_note])),
    )


def _if_there(path: Path) -> Path | None:
    return path if os.path.exists(path) else None


def _check_arrays(tables: list[Table], expression: str) -> None:
    """Raise when an array is constant, on the wrong scale, or in both sets."""
    rule, looks, other = {
        "intensity": ("values must be intensities", "logged", "log"),
        "log": ("values must be log2 values", "like intensities", "intensity"),
    }[expression]
    for path, values, *_ in tables:
        smallest, largest = values.min(), values.max()
        if constant := list(largest.index[smallest == largest]):
            found = f"the array of {some(constant)} has one value for all genes"
            raise refusal(path, "arrays must vary", found, "remove the patient or measure again")
        if absurd := list(largest.index[np.maximum(largest, -smallest) > MAX_INTENSITY]):
            limits = f"values must lie within -{MAX_INTENSITY:g} and {MAX_INTENSITY:g}"
            raise refusal(path, limits, f"found more in {some(absurd)}", "correct them")
        wrong = largest.index[(largest <= MAX_LOG2_VALUE) != (expression == "log")]
        if len(wrong):
            found = f"{len(wrong)} of {len(largest)} arrays look {looks}: {some(wrong)}"
            advice = f"put all arrays on one scale, see --expression {other}"
            raise refusal(path, rule, found, advice)
    train, test = tables[0], tables[-1]
    both = train.values.columns.intersection(test.values.columns)
    if test is not train and len(both):
        rule = f"no patient may be in {train.path} as well"
        raise refusal(test.path, rule, f"found {some(both)}", "remove them from one of the files")


def _check_copies(X: pd.DataFrame, tables: list[Table]) -> None:
    """Raise when two patients have the same values: one of them is a copy."""
    seen = {}
    for patient, values in zip(X.index, X.to_numpy(), strict=True):
        original = seen.setdefault(values.tobytes(), patient)
        if original != patient:
            files = " and ".join(str(table.path) for table in tables)
            found = f"those of {original} and {patient} are the same"
            raise refusal(files, "patients must differ in their values", found, "remove the copy")


def _common_genes(tables: list[Table], accept: bool) -> tuple[list[str], str]:
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
    found = [f"it lacks {lack} ({some(missing)})"] if missing else []
    found += [f"it has {len(extra):,} others ({some(extra)})"] if extra else []
    rule = f"must hold the same genes as {train.path}"
    if accept:
        rule = f"must hold more than half of the genes of {train.path}"
    advice = "export both from the same kind of array, or see --common-genes"
    raise refusal(test.path, rule, " and ".join(found), advice)


def _gather_classes(tables: list[Table], label_paths: list[Path]) -> dict[str, str]:
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
        found = f"{tables[0].path} has no column of them, and there is no {LABELS_FILE}"
        raise refusal("--labels", "must name the file of classes", found, "name the file")
    _check_complete(label_paths or [tables[0].path], "class", classes, tables)
    return classes


def _check_complete(
    paths: list[Path], what: str, given: Iterable[str], tables: list[Table]
) -> None:
    """Raise unless exactly the patients of the tables are given."""
    patients = {patient for table in tables for patient in table.values.columns}
    where = ", ".join(map(str, paths))
    rule = f"must give each patient of {' and '.join(str(table.path) for table in tables)} a {what}"
    if missing := patients.difference(given):
        raise refusal(where, rule, f"{some(missing)} have none", "complete it, or remove them")
    if surplus := set(given) - patients:
        advice = "add their expression values (--test for a test set), or remove them"
        raise refusal(where, rule, f"{some(surplus)} have no expression values", advice)


def _order_classes(
    tables: list[Table], label_paths: list[Path], classes: dict[str, str], positive: str | None
) -> tuple[list[str], str]:
    """Return the two classes, the positive one last, and a note when nobody chose it."""
    files = ", ".join(map(str, [*label_paths, *(table.path for table in tables)]))
    names = sorted(set(classes.values()))
    if len(names) != 2:
        found = f"found {len(names)}: {some(names)}"
        raise refusal(files, "patients must be of two classes", found, "keep those of two")
    note = ""
    in_training = Counter(classes[patient] for patient in tables[0].values.columns)
    if positive is None:
        positive = "AML" if "AML" in names else min(names, key=lambda name: in_training[name])
        if positive != "AML":
            note = (
                f"Positive class: {positive}, the rarer in training, or of equals the first (see "
            )
            note += "--positive-class)."
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


def _read_companions(
    folder: Path, tables: list[Table], order: list[str]
) -> tuple[pd.Series | None, pd.Series | None, str]:
    """Return the subtypes, the informative genes and the caveats of a folder that has them."""
    subtypes = informative = None
    if path := _if_there(folder / SUBTYPES_FILE):
        found = read_annotation(path, PATIENT_HEADERS, {"subtype"})
        _check_complete([path], "subtype", found, tables)
        subtypes = pd.Series(found, name="subtype").rename_axis("patient")
    if path := _if_there(folder / INFORMATIVE_GENES_FILE):
        found = read_annotation(path, {"accession"}, {"higher in"})
        unknown = (found.keys() - set(tables[0].values.index)) | (set(found.values()) - set(order))
        if unknown:
            rule = "must name genes of the training file, and the class each is higher in"
            raise refusal(path, rule, f"found {some(unknown)}", "correct or remove the file")
        informative = pd.Series(found, name="higher_in").sort_index().rename_axis("accession")
    path = _if_there(folder / CAVEATS_FILE)
    return subtypes, informative, read_text(path).strip() if path else ""


def _align(values: pd.DataFrame, genes: list[str], identifier: type) -> pd.DataFrame:
    """Return patients x genes, both sorted, in one memory layout: the same bytes, the same sums."""
    X = values.loc[genes].T.rename(identifier).sort_index()
    X = pd.DataFrame(np.ascontiguousarray(X), X.index, X.columns, copy=False)
    return X.rename_axis(index="patient", columns="accession")


def _merge_descriptions(tables: list[Table], genes: list[str]) -> pd.Series:
    """Return the description of each gene, from whichever table has one."""
    train, test = tables[0], tables[-1]
    merged = {
        gene: train.descriptions.get(gene) or test.descriptions.get(gene, "") for gene in genes
    }
    differ = [g for g, text in merged.items() if test.descriptions.get(g, "") not in ("", text)]
    if differ:
        rule = f"must describe genes as {train.path} does"
        found = f"{len(differ):,} descriptions differ: {some(differ)}"
        raise refusal(test.path, rule, found, "leave the descriptions out of one of the files")
    names = ["".join(filter(str.isprintable, text)) for text in merged.values()]
    return pd.Series(names, pd.Index(genes, name="accession"), name="description")


def short_gene_names(descriptions: pd.Series) -> pd.Series:
    """Return a short, unique name per gene: symbol, else shortened description, else accession.

    "CST3 Cystatin C (amyloid angiopathy)" and "Leukotriene C4 synthase (LTC4S) gene" become "CST3"
    and "LTC4S". A name that several genes share is followed by the accession.
    """
    names = pd.Series(
        [_short_name(text) or _shorten(gene) for gene, text in descriptions.items()],
        index=descriptions.index,
        name="gene",
    )
    taken = names.duplicated(keep=False) | names.isin(names.index)
    names = names.where(~taken | (names == names.index), names + " (" + names.index + ")")
    return names if names.is_unique else names.index.to_series(name="gene")


def _short_name(description: str) -> str:
    text = re.sub(r"^(GB DEF = |[^\w(]+)+", "", description)
    text = re.sub(r"^\(clone [^()]*\) (?!mRNA|gene)", "", text)
    text = re.sub(r"^\(([^()]*)\)", r"\1", text)
    symbol = (
        re.match(r"([A-Z][A-Z0-9]+(?:-[A-Z0-9]+)*) (?=[A-Z0-9][^ ]*)(?=.*[a-z]{3})", text)
        or re.match(r"(\w[\w-]{1,14})=", text)  # "GPSAT=glycophorin SAT"
        or re.search(r"\((?=[^()]*[A-Z0-9])(\w[\w-]{1,9})\)(?= gene| mRNA|$)", text)
        or re.search(r"^[^a-z]+ PROTEIN ([A-Z-]{2,}[0-9]+)$", text)
    )
    if symbol and symbol[1] not in NOT_SYMBOLS:
        return symbol[1]
    if " " in text and not re.search("[a-z]", text):  # "INTERLEUKIN-8 PRECURSOR"
        text = re.sub("[A-Z]{4,}", lambda word: word[0].lower(), text)
        text = text[:1].upper() + text[1:]
    return _shorten(re.sub(r"( mRNA\b| gene\b|, | [(\[{]).*", "", text))


def _shorten(text: str) -> str:
    if len(text) > SHORT_NAME_LENGTH:
        text = text[: SHORT_NAME_LENGTH - 1]
        text = (text[: text.rindex(" ")] if " " in text else text) + "…"
    balanced = text.count("(") == text.count(")")
    return text.strip() if balanced else re.sub("[()]", "", text).strip()
