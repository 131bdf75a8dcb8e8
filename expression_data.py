"""Load two-class expression data: files in, checked and aligned data out.

Every script starts here. Tables are joined by identifier only (patient and accession), never by
position, and whatever cannot be trusted ends in a `DataError` that says what to do about it.

Files of a data folder (see AML_ALL_data/README.md):
    data_set_ALL_AML_train.csv, data_set_ALL_AML_independent.csv
        a row a probe set: description, accession, then a column a patient
    actual.csv                          patient, class
    subtypes.csv                        patient, subtype                (optional)
    golub_1999_informative_genes.csv    accession, higher_in            (optional)
    caveats.txt                         what a reader of results must know (optional)
"""

import csv
import hashlib
import io
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DATA_DIR = Path(__file__).resolve().parent / "AML_ALL_data"
TRAIN_FILE = "data_set_ALL_AML_train.csv"
TEST_FILE = "data_set_ALL_AML_independent.csv"
LABELS_FILE = "actual.csv"
SUBTYPES_FILE = "subtypes.csv"
INFORMATIVE_GENES_FILE = "golub_1999_informative_genes.csv"
CAVEATS_FILE = "caveats.txt"

EXPRESSION_SCALES = ("intensity", "log")
NOT_SYMBOLS = {
    "ATP",
    "CAMP",
    "DNA",
    "GABA",
    "GTP",
    "MHC",
    "RNA",
    "TATA",
}  # begin plain descriptions
MAX_LOG2_VALUE = 32  # no scanner counts to 2**32, and no array of intensities stays below 32


class DataError(ValueError):
    """Input that cannot be trusted: what, the rule, what was found, what to do; one line."""


@dataclass(frozen=True)
class ExpressionData:
    """Checked and aligned expression data of two classes of patients.

    Attributes
    ----------
    X_train, X_test : DataFrame of float, patients x genes
        Expression in the units of the files, indexed by patient, columns by accession. Patients
        and genes are in sorted order, the same genes in the same order in both.
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
            digest.update(np.ascontiguousarray(X.to_numpy()).tobytes())
            digest.update(repr((list(X.index), list(X.columns), list(y))).encode())
        return digest.hexdigest()


def load_expression_data(
    data_dir: str | Path = DATA_DIR, *, expression: str = "intensity"
) -> ExpressionData:
    """Read a data folder, check it, and align it by patient and accession.

    Parameters
    ----------
    data_dir : folder with the files named in the module docstring
    expression : {"intensity", "log"}
        The scale of the values: array intensities, or their log2.

    Raises
    ------
    DataError
        For everything that cannot be trusted, in one line.
    """
    data_dir = Path(data_dir)
    train, descriptions = _read_expression(data_dir / TRAIN_FILE)
    test, _ = _read_expression(data_dir / TEST_FILE)
    labels = _read_annotation(data_dir / LABELS_FILE, ["patient", "cancer"])
    for path, table in ((data_dir / TRAIN_FILE, train), (data_dir / TEST_FILE, test)):
        _check_scale(path, table, expression)
    missing = train.index.symmetric_difference(test.index)
    if len(missing):
        raise DataError(
            f"{data_dir / TEST_FILE}: must hold the same genes as {TRAIN_FILE} - "
            f"{_some(missing)} in only one of them; export both from the same array"
        )
    both = train.columns.intersection(test.columns)
    if len(both):
        raise DataError(
            f"{data_dir / TEST_FILE}: no patient may be in the training file as well - "
            f"found {_some(both)}; remove them from one of the files"
        )
    patients = [*train.columns, *test.columns]
    for where, ids in (
        (f"no label for {{}} in {LABELS_FILE}", set(patients) - set(labels.index)),
        ("labels without expression values for {}", set(labels.index) - set(patients)),
    ):
        if ids:
            raise DataError(
                f"{data_dir / LABELS_FILE}: must label every patient once - "
                f"{where.format(_some(ids))}; complete the labels or remove the patients"
            )
    y = _as_two_classes(data_dir / LABELS_FILE, labels)
    subtypes = informative = None
    if (path := data_dir / SUBTYPES_FILE).exists():
        subtypes = _read_annotation(path, ["patient", "subtype"])
    if (path := data_dir / INFORMATIVE_GENES_FILE).exists():
        informative = _read_annotation(path, ["accession", "higher_in"])
    numbers = all(re.fullmatch(r"0|[1-9]\d{0,17}", patient) for patient in patients)
    identifier = int if numbers else str

    def sorted_matrix(table):
        matrix = table.T.rename(index=identifier).sort_index().sort_index(axis=1)
        return matrix.rename_axis(index="patient", columns="accession")

    X_train, X_test = sorted_matrix(train), sorted_matrix(test)
    y = y.rename(index=identifier)
    if subtypes is not None:
        subtypes = subtypes.rename(index=identifier).reindex([*X_train.index, *X_test.index])
    return ExpressionData(
        X_train=X_train,
        X_test=X_test,
        y_train=y.loc[X_train.index],
        y_test=y.loc[X_test.index],
        descriptions=descriptions.loc[X_train.columns],
        gene_names=short_gene_names(descriptions.loc[X_train.columns]),
        subtypes=subtypes,
        informative_genes=informative,
        caveats=caveats.read_text(encoding="utf-8")
        if (caveats := data_dir / CAVEATS_FILE).exists()
        else "",
    )


def short_gene_names(descriptions: pd.Series) -> pd.Series:
    """Return a short, unique name per gene: symbol, else shortened description, else accession.

    "CST3 Cystatin C (amyloid angiopathy)" -> "CST3"; "C-myb gene extracted from ..." -> "C-myb".
    """
    names = {}
    for accession, description in descriptions.items():
        symbol = re.match(
            r"([A-Z][A-Z0-9]+(?:-[A-Z0-9]+)*) (?=[A-Z0-9][^ ]*)(?=.*[a-z]{3})", description
        )
        if symbol and symbol[1] not in NOT_SYMBOLS:
            name = symbol[1]
        else:
            name = re.sub(r"( mRNA\b| gene\b|, | \().*", "", description).strip()
            name = textwrap.shorten(name, 28, placeholder="…") or accession
        names[accession] = name
    names = pd.Series(names, name="gene")
    repeated = names.duplicated(keep=False) & (names != names.index)
    return names.where(~repeated, names + " (" + names.index + ")")


def _read_rows(path: Path) -> list[list[str]]:
    """Return the cells of a CSV file, without empty rows and columns at the end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: must exist - no such file; see --data-dir") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: must be UTF-8 text - it is not; save it as CSV") from None
    rows = [row for row in csv.reader(io.StringIO(text), strict=True) if any(row)]
    if len(rows) < 2:
        raise DataError(f"{path}: must be a table - it has {len(rows)} rows; check the export")
    if all(row[-1] == "" for row in rows):
        rows = [row[:-1] for row in rows]
    header = rows[0]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path}: every row must have {len(header)} cells like the header - "
                f"row {number} has {len(row)}; check the export"
            )
    return [[cell.strip() for cell in row] for row in rows]


def _read_expression(path: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Return the values, genes x patients, and the gene descriptions of a published-format file."""
    header, *rows = _read_rows(path)
    if "Gene Accession Number" not in header:
        raise DataError(
            f"{path}: must have a column 'Gene Accession Number' - found {_some(header)}; "
            "name the column of gene identifiers so"
        )
    described = "Gene Description" in header
    key = header.index("Gene Accession Number")
    text_columns = {"Gene Accession Number", "Gene Description"}
    columns = [
        (i, name)
        for i, name in enumerate(header)
        if name not in text_columns and not re.fullmatch(r"call(\.\d+)?", name)
    ]
    patients, genes = [name for _, name in columns], [row[key] for row in rows]
    for kind, ids in (("patient", patients), ("gene", genes)):
        if doubled := sorted(
            {i for i in ids if ids.count(i) > 1} if len(set(ids)) < len(ids) else ()
        ):
            raise DataError(
                f"{path}: every {kind} must occur once - found {_some(doubled)} more than once; "
                "remove the copies"
            )
    values = np.empty((len(rows), len(columns)))
    wrong = []
    for i, row in enumerate(rows):
        for j, (column, patient) in enumerate(columns):
            try:
                values[i, j] = float(row[column])
            except ValueError:
                values[i, j] = np.nan
            if not np.isfinite(values[i, j]):
                wrong.append((genes[i], patient, row[column]))
    if wrong:
        gene, patient, cell = wrong[0]
        raise DataError(
            f"{path}: every value must be a finite number - found {len(wrong)} that are not, the "
            f"first {cell!r} for gene {gene}, patient {patient}; correct or remove them"
        )
    text = [row[header.index("Gene Description")] if described else "" for row in rows]
    return pd.DataFrame(values, genes, patients), pd.Series(text, genes, name="description")


def _read_annotation(path: Path, columns: list[str]) -> pd.Series:
    """Return the second of two named columns, indexed by the first."""
    header, *rows = _read_rows(path)
    if not set(columns) <= set(header):
        raise DataError(
            f"{path}: must have the columns {', '.join(columns)} - found {_some(header)}; "
            "rename its header"
        )
    key, value = (header.index(column) for column in columns)
    table = pd.Series([row[value] for row in rows], [row[key] for row in rows], name=columns[1])
    if table.index.has_duplicates:
        doubled = table.index[table.index.duplicated()].unique()
        raise DataError(
            f"{path}: every {columns[0]} must occur once - found {_some(doubled)} more than once; "
            "remove the copies"
        )
    return table


def _as_two_classes(path: Path, labels: pd.Series) -> pd.Series:
    counts = labels.value_counts()
    if len(counts) != 2:
        raise DataError(
            f"{path}: must name exactly two classes - found {len(counts)}: {_some(counts.index)}; "
            "keep the patients of two classes"
        )
    positive = "AML" if "AML" in counts else min(counts.index, key=lambda c: (counts[c], c))
    order = sorted(counts.index, key=lambda name: name == positive)
    return labels.astype(pd.CategoricalDtype(order, ordered=True)).rename("class")


def _check_scale(path: Path, table: pd.DataFrame, expression: str) -> None:
    largest = table.to_numpy().max()
    if (largest <= MAX_LOG2_VALUE) != (expression == "log"):
        looks, option = ("logged", "log") if expression != "log" else ("not logged", "intensity")
        raise DataError(
            f"{path}: values must be {'log2 values' if expression == 'log' else 'intensities'} - "
            f"the largest is {largest:g}, which looks {looks}; see --expression {option}"
        )


def _some(items, limit: int = 5) -> str:
    """Return the first few items for a message, and how many more there are."""
    names = sorted(map(str, items))
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
