"""Load two-class expression data: files in, checked and aligned data out.

Every script starts here. Tables are joined by identifier only (patient and accession), never by
position, and whatever cannot be trusted ends in a `DataError` that says what to do about it.

Files of a data folder (see AML_ALL_data/README.md):
    data_set_ALL_AML_train.csv          expression of the training patients
    data_set_ALL_AML_independent.csv    expression of the test patients                (optional)
    actual.csv                          patient, class
    subtypes.csv                        patient, subtype                               (optional)
    golub_1999_informative_genes.csv    accession, higher_in                           (optional)
    caveats.txt                         what a reader of results must know             (optional)

Content decides how a file is read, never its name. Expression tables have a row a gene (as
published, with or without descriptions and detection calls; or GenePattern's GCT 1.2), or a row a
patient and a column of classes. Classes otherwise come from a table of patient and class, or from
a CLS file, which names no patients and so follows their order in the expression files. Comma,
semicolon or tab separate the cells; every file may be compressed with gzip.
"""

import csv
import gzip
import hashlib
import io
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

DATA_DIR = Path(__file__).resolve().parent / "AML_ALL_data"
TRAIN_FILE = "data_set_ALL_AML_train.csv"
TEST_FILE = "data_set_ALL_AML_independent.csv"
LABELS_FILE = "actual.csv"
SUBTYPES_FILE = "subtypes.csv"
INFORMATIVE_GENES_FILE = "golub_1999_informative_genes.csv"
CAVEATS_FILE = "caveats.txt"

# Column headers as `_plain` writes them
ACCESSION_HEADER = "gene accession number"
DESCRIPTION_HEADERS = {"gene description", "description"}
PATIENT_HEADERS = {"patient", "patient id", "sample", "sample id", "subject", "id"}
CLASS_HEADERS = {"cancer", "class", "diagnosis", "disease", "group", "label", "phenotype", "type"}

DETECTION_CALLS = {"A", "M", "P"}  # absent, marginal, present

EXPRESSION_SCALES = ("intensity", "log")
NUMBER_CHARACTERS = frozenset("0123456789+-.eE")
MAX_LOG2_VALUE = 32  # no scanner counts to 2**32, and no array of intensities stays below 32
MIN_PATIENTS = 5  # of each class, to train on: one for every fold of a 5-fold cross-validation
MAX_NAME_LENGTH = 60  # of a patient or a class: what a legend still holds
MAX_BYTES = 2**30  # a thousand arrays take a tenth of it; what compresses better is no data
SHORT_NAME_LENGTH = 30
NOT_SYMBOLS = {"ATP", "CAMP", "DNA", "GABA", "GTP", "MHC", "RNA", "TATA"}  # begin descriptions


class DataError(ValueError):
    """Input that cannot be trusted: what, the rule, what was found, what to do; one line."""


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


class _Table(NamedTuple):
    """One expression file, in its own order."""

    path: Path
    values: pd.DataFrame  # genes x patients
    descriptions: dict[str, str]  # by accession
    classes: dict[str, str]  # by patient; empty when the file has no column of them


class _Layout(NamedTuple):
    """Which column of a table holds what."""

    key: int  # genes; patients when there are classes
    numbers: list[int]
    description: int | None = None
    classes: int | None = None


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
    label_files = [labels] if isinstance(labels, str | Path) else labels or []

    tables = [_read_expression(Path(path), expression) for path in (train, test) if path]
    _check_sets_apart(tables)
    genes, gene_note = _common_genes(tables, common_genes)
    classes = _gather_classes(tables, [Path(path) for path in label_files])
    order, class_note = _order_classes(tables, classes, positive_class)
    subtypes = informative = None
    caveats = ""
    if as_it_is:
        subtypes, informative, caveats = _read_companions(folder, tables, order)

    numbers = all(re.fullmatch("0|[1-9][0-9]{0,17}", patient) for patient in classes)
    identifier = int if numbers else str
    X_train, *rest = (_align(table.values, genes, identifier) for table in tables)
    X_test = rest[0] if rest else X_train.iloc[:0]
    y = pd.Series(classes, name="class").rename(identifier).rename_axis("patient")
    y = y.astype(pd.CategoricalDtype(order, ordered=True))
    descriptions = _merge_descriptions(tables, genes)
    if subtypes is not None:
        subtypes = subtypes.rename(identifier).loc[[*X_train.index, *X_test.index]]
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
    text = re.sub(r"^(GB DEF = |\W*\(clone [^()]*\) (?!mRNA|gene)|[^\w(]+)+", "", description)
    symbol = (
        re.match(r"([A-Z][A-Z0-9]+(?:-[A-Z0-9]+)*) (?=[A-Z0-9][^ ]*)(?=.*[a-z]{3})", text)
        or re.match(r"(\w[\w-]{1,14})=", text)  # "GPSAT=glycophorin SAT"
        or re.search(r"\((?=[^()]*[A-Z0-9])(\w[\w-]{1,9})\)(?= gene| mRNA|$)", text)
        or re.search(r"^[^a-z]+ PROTEIN ([A-Z-]+[0-9]+)$", text)
    )
    if symbol and symbol[1] not in NOT_SYMBOLS:
        return symbol[1]
    if " " in text and not re.search("[a-z]", text):  # "INTERLEUKIN-8 PRECURSOR"
        text = re.sub(r"(?<=[A-Z])[A-Z]{3,}", lambda word: word[0].lower(), text)
    return _shorten(re.sub(r"( mRNA\b| gene\b|, | [(\[{]).*", "", text.lstrip("(")))


def _shorten(text: str) -> str:
    if len(text) <= SHORT_NAME_LENGTH:
        return text
    text = text[: SHORT_NAME_LENGTH - 1]
    return (text if " " not in text else text[: text.rindex(" ")]) + "…"


def _error(where: object, rule: str, found: object, advice: str) -> DataError:
    line = " ".join(f"{where}: {rule} - {found}; {advice}".split())
    return DataError("".join(c if c.isprintable() else "?" for c in line))


def _some(items: Iterable, limit: int = 5) -> str:
    """Return the first few items for a message, and how many more there are."""
    names = sorted(str(item)[:MAX_NAME_LENGTH] for item in items)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _read_text(path: Path) -> str:
    """Return the text of a file, plain or gzip."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if content.startswith(b"\x1f\x8b"):
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return content.decode("utf-8-sig")
        found, advice = f"it has more than {MAX_BYTES:,} bytes", "is this the right file?"
    except (EOFError, zlib.error, gzip.BadGzipFile):
        found, advice = "its gzip data are damaged", "copy or compress it again"
    except UnicodeDecodeError:
        found, advice = "it is not UTF-8 text", "save it as CSV in UTF-8"
    except (OSError, ValueError) as error:
        found = str(getattr(error, "strerror", error)).lower()
        advice = "check its name and permissions (see --data-dir, --train, --test, --labels)"
    raise _error(path, "must be a readable file", found, advice)


def _read_rows(path: Path, text: str) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header and the rows of a delimited text, without empty rows and columns.

    Rows are keyed by their number as a spreadsheet shows it.
    """

    def parse(delimiter: str, **options):
        return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, **options)

    try:
        delimiter = max(",;\t", key=lambda mark: len(next(filter(any, parse(mark)), [])))
        numbered = enumerate(parse(delimiter, strict=True), start=1)
        rows = {n: [c.strip() for c in row] for n, row in numbered if any(map(str.strip, row))}
    except csv.Error as error:
        raise _error(path, "must be a table", error, "check its quotes, export it again") from None
    width = len(next(iter(rows.values()), []))
    if len(rows) < 2 or width < 2:
        found = f"found {len(rows)} rows of {width} columns"
        raise _error(path, "must be a table with a header", found, "check the export")
    for number, row in rows.items():
        if len(row) != width:
            rule = f"every row must have {width} cells like the header"
            raise _error(path, rule, f"row {number} has {len(row)}", "check the export")
    kept = [j for j in range(width) if any(row[j] for row in rows.values())]
    rows = {number: [row[j] for j in kept] for number, row in rows.items()}
    header = rows.pop(min(rows))
    if header in rows.values():
        raise _error(path, "must have one header", "it occurs again", "remove the copy")
    return header, rows


def _read_expression(path: Path, expression: str) -> _Table:
    """Return the checked content of an expression table in any of the accepted layouts."""
    text = _read_text(path)
    table, shape = _split_gct(path, text) if text.startswith("#") else (text, None)
    header, rows = _read_rows(path, table)
    if not text.endswith(("\n", "\r")):
        advice = "copy it again, or if it is whole, end its last row with a line break"
        raise _error(path, "must end with a line break", "its last number may be cut off", advice)
    layout = _find_layout(path, header, rows)
    down = [_clean(row[layout.key]) for row in rows.values()]
    across = [_clean(header[j]) for j in layout.numbers]
    values = pd.DataFrame(_read_numbers(path, header, rows, layout), down, across)
    if shape is not None and shape != list(map(str, values.shape)):
        rule = "must have as many genes and patients as its second line says"
        raise _error(path, rule, f"found {values.shape} for {' '.join(shape)!r}", "export it again")
    if layout.classes is not None:
        values = values.T
    _check_names(path, "gene", values.index)
    _check_names(path, "patient", values.columns)
    _check_arrays(path, values, expression)

    def texts(column: int | None) -> dict[str, str]:
        cells = [] if column is None else [_clean(row[column]) for row in rows.values()]
        return dict(zip(down, cells, strict=False))

    return _Table(path, values, texts(layout.description), texts(layout.classes))


def _split_gct(path: Path, text: str) -> tuple[str, list[str]]:
    """Return the table of a GCT file, in its place, and the shape that the file states."""
    version, shape, *_ = [*text.splitlines()[:2], ""]
    if version.strip() != "#1.2":
        rule = "a file that begins with '#' must be GCT 1.2"
        raise _error(path, rule, f"it begins {version[:40]!r}", "export it as CSV or GCT 1.2")
    return "\n\n" + text.split("\n", 2)[-1], shape.split()[:2]


def _find_layout(path: Path, header: list[str], rows: dict[int, list[str]]) -> _Layout:
    """Tell the columns of a table apart, by their headers or else by what they hold.

    A row is a patient when there is a column of classes: one that is called so, or a column of
    few different texts in a table without the headers of the published layout.
    """
    names = [_plain(cell) for cell in header]
    columns = {j: {row[j] for row in rows.values()} for j in range(len(header))}
    calls = {j for j in columns if names[j].startswith("call") or columns[j] <= DETECTION_CALLS}
    accession, description = _find(names, {ACCESSION_HEADER}), _find(names, DESCRIPTION_HEADERS)
    classes = []
    if accession is None and description is None:
        classes = [j for j in columns if names[j] in CLASS_HEADERS] or [
            j
            for j in columns.keys() - calls - {0}
            if len(columns[j]) <= len(rows) / 2 and np.isnan([*map(_number, columns[j])]).all()
        ]
    if not classes:
        key = accession if accession is not None else int(description == 0)
        numbers = [j for j in columns if j not in {key, description} | calls]
        return _Layout(key, numbers, description=description)
    key = _find(names, PATIENT_HEADERS) or 0
    if len(classes) > 1 or key in classes:
        found = f"found classes in {_some(header[j] for j in classes)}"
        advice = "name them 'patient' and 'class', remove other texts"
        raise _error(path, "must have one column of patients, one of classes", found, advice)
    numbers = [j for j in columns if j not in {key, *classes}]
    return _Layout(key, numbers, classes=classes[0])


def _plain(header: str) -> str:
    return re.sub(r"[\W_]+", " ", header).strip().casefold()


def _find(names: list[str], known: Collection[str]) -> int | None:
    return next((j for j, name in enumerate(names) if name in known), None)


def _read_numbers(
    path: Path, header: list[str], rows: dict[int, list[str]], layout: _Layout
) -> np.ndarray:
    """Return the numbers of a table, rows x columns."""
    values = np.array([[_number(row[j]) for j in layout.numbers] for row in rows.values()])
    wrong = np.argwhere(np.isnan(values))
    if len(wrong):
        number, row = list(rows.items())[wrong[0, 0]]
        column = layout.numbers[wrong[0, 1]]
        found = (
            f"{len(wrong):,} are not, the first {row[column][:40]!r} in row {number} "
            f"({row[layout.key]}), column {header[column]}"
        )
        advice = "correct or remove them; write 1234.5, without other marks"
        raise _error(path, "every value must be a finite number", found, advice)
    return values


def _number(cell: str) -> float:
    """Return a plain decimal number; nan for everything else that `float` takes."""
    try:
        number = float(cell) if NUMBER_CHARACTERS.issuperset(cell) else np.nan
    except ValueError:
        return np.nan
    return number + 0.0 if abs(number) < np.inf else np.nan  # -0 becomes 0


def _clean(name: str) -> str:
    """Return a name in one line and one Unicode form."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _check_names(path: Path, kind: str, names: Iterable[str]) -> None:
    """Raise unless every name is there, can be printed, and occurs once."""
    counts = Counter(names)
    doubled = [name for name, count in counts.items() if count > 1 and name]
    odd = [
        n for n in counts if not n.isprintable() or (kind != "gene" and len(n) > MAX_NAME_LENGTH)
    ]
    if not counts or "" in counts:
        rule = f"every {kind} must have a name"
        raise _error(path, rule, f"{counts[''] or 'all'} have none", "name them or remove them")
    if doubled:
        rule, found = f"every {kind} must occur once", f"found {_some(doubled)} more than once"
        raise _error(path, rule, found, "remove the copies")
    if odd:
        rule = (
            f"the name of a {kind} must be printable and have at most {MAX_NAME_LENGTH} characters"
        )
        raise _error(path, rule, f"found {_some(odd)}", "rename it")


def _check_arrays(path: Path, values: pd.DataFrame, expression: str) -> None:
    """Raise when an array is constant or on the wrong scale."""
    smallest, largest = values.min(), values.max()
    if constant := list(largest.index[smallest == largest]):
        found = f"the array of {_some(constant)} has one value for all genes"
        raise _error(path, "arrays must vary", found, "remove the patient or measure again")
    wrong = largest[(largest <= MAX_LOG2_VALUE) != (expression == "log")]
    if len(wrong):
        rule, looks, other = {
            "intensity": ("values must be intensities", "logged", "log"),
            "log": ("values must be log2 values", "like intensities", "intensity"),
        }[expression]
        found = f"{len(wrong)} of {len(largest)} arrays look {looks}: {_some(wrong.index)}"
        advice = f"put all arrays on one scale, see --expression {other}"
        raise _error(path, rule, found, advice)


def _check_sets_apart(tables: list[_Table]) -> None:
    train, test = tables[0], tables[-1]
    both = train.values.columns.intersection(test.values.columns)
    if test is not train and len(both):
        rule = f"no patient may be in {train.path} as well"
        advice = "remove them from one of the files"
        raise _error(test.path, rule, f"found {_some(both)}", advice)


def _common_genes(tables: list[_Table], accept: bool) -> tuple[list[str], str]:
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
    found = f"it lacks {lack} ({_some(missing)}) and has {len(extra):,} others ({_some(extra)})"
    rule = f"must hold the same genes as {train.path}"
    if accept:
        rule = f"must hold more than half of the genes of {train.path}"
    advice = "export both from the same kind of array, or see --common-genes"
    raise _error(test.path, rule, found, advice)


def _gather_classes(tables: list[_Table], paths: list[Path]) -> dict[str, str]:
    """Return the class of every patient, from columns of the tables and from files of classes."""
    sources = [(table.path, table.classes) for table in tables]
    in_order = [list(table.values.columns) for table in tables]
    sources += [(path, _read_classes(path, in_order)) for path in paths]
    if not any(found for _, found in sources):
        rule, found = "must name the file of classes", f"{tables[0].path} has no column of them"
        raise _error("--labels", rule, f"{found}, its folder no {LABELS_FILE}", "name the file")
    classes = {}
    for path, found in sources:
        for patient, name in found.items():
            if classes.setdefault(patient, name) != name:
                found = f"{patient} is {name} here and {classes[patient]} in another file"
                raise _error(path, "a patient has one class", found, "correct one of them")
    _check_complete(paths or [tables[0].path], "class", classes, tables)
    return classes


def _read_classes(path: Path, in_order: list[list[str]]) -> dict[str, str]:
    """Return the classes of a table; those of a CLS file belong to the next patients in order."""
    text = _read_text(path)
    sizes, names, *codes = [*text.splitlines(), "", ""]
    if not names.lstrip().startswith("#"):
        return _read_annotation(path, PATIENT_HEADERS, CLASS_HEADERS)
    names, codes = names.replace("#", " ").split(), " ".join(codes).split()
    by_code = {str(i): name for i, name in enumerate(names)} | {name: name for name in names}
    stated = sizes.split()[:2] == [str(len(codes)), str(len(names))]
    if not stated or not by_code.keys() >= set(codes):
        found = f"{len(codes)} codes, {len(names)} names, and {sizes[:40]!r} above them"
        raise _error(path, "must be a CLS file whose sizes agree", found, "export it again")
    _check_last(path, text, codes)
    patients = [patient for patients in in_order for patient in patients]
    if in_order and len(codes) == len(in_order[0]):
        patients = in_order.pop(0)
    if len(codes) != len(patients):
        rule = "a CLS file must have a code for each patient of the training, test, or both files"
        advice = "give one a file, training first, or a table of patient and class"
        raise _error(path, rule, f"found {len(codes)} codes", advice)
    return dict(zip(patients, map(by_code.get, codes), strict=True))


def _read_annotation(path: Path, keys: set[str], values: set[str]) -> dict[str, str]:
    """Return the column called one of `values` by the one called one of `keys`.

    In a table of two columns the names may be others, in this order.
    """
    text = _read_text(path)
    header, rows = _read_rows(path, text)
    names = [_plain(cell) for cell in header]
    key, value = _find(names, keys), _find(names, values)
    if len(names) == 2:
        key = key if key is not None else int(value == 0)
        value = 1 - key
    if key is None or value is None:
        rule = f"must have the columns {min(keys)} and {min(values)}"
        raise _error(path, rule, f"found {_some(header)}", "rename its header")
    found = [(_clean(row[key]), _clean(row[value])) for row in rows.values()]
    _check_names(path, header[key] or "row", [name for name, _ in found])
    _check_last(path, text, [text for _, text in found])
    _check_names(path, header[value], {text for _, text in found})
    return dict(found)


def _check_last(path: Path, text: str, values: list[str]) -> None:
    """Raise when the text may have ended within the last value."""
    *others, last = values
    longer = any(other.startswith(last) and other != last for other in others)
    if not text.endswith(("\n", "\r")) and (longer or last not in others):
        advice = "copy it again, or if it is whole, end it with a line break"
        raise _error(path, "must end with a line break", f"it ends in {last!r}", advice)


def _check_complete(
    paths: list[Path], what: str, given: Iterable[str], tables: list[_Table]
) -> None:
    """Raise unless exactly the patients of the tables are given."""
    patients = {patient for table in tables for patient in table.values.columns}
    where = ", ".join(map(str, paths))
    rule = f"must give each patient of {' and '.join(str(table.path) for table in tables)} a {what}"
    if missing := patients.difference(given):
        raise _error(where, rule, f"{_some(missing)} have none", "complete it, or remove them")
    if surplus := set(given) - patients:
        advice = "add their expression values (--test for a test set), or remove them"
        raise _error(where, rule, f"{_some(surplus)} have no expression values", advice)


def _order_classes(
    tables: list[_Table], classes: dict[str, str], positive: str | None
) -> tuple[list[str], str]:
    """Return the two classes, the positive one last, and a note when nobody chose it."""
    files = " and ".join(str(table.path) for table in tables)
    names = sorted(set(classes.values()))
    if len(names) != 2:
        found = f"found {len(names)}: {_some(names)}"
        raise _error(files, "patients must be of two classes", found, "keep those of two")
    note = ""
    in_training = Counter(classes[patient] for patient in tables[0].values.columns)
    if positive is None:
        positive = "AML" if "AML" in names else min(names, key=lambda name: in_training[name])
        if positive != "AML":
            note = f"Positive class: {positive}, the rarer in training (see --positive-class)."
    elif (positive := _clean(positive)) not in names:
        rule = f"must be {' or '.join(names)}"
        raise _error("--positive-class", rule, f"found {positive!r}", "choose one of them")
    for table, least in zip(tables, (MIN_PATIENTS, 1), strict=False):
        counts = Counter(classes[patient] for patient in table.values.columns)
        for name in names:
            if counts[name] < least:
                rule = f"must hold at least {least} patients of each class"
                raise _error(table.path, rule, f"found {counts[name]} of {name}", "add patients")
    return sorted(names, key=lambda name: name == positive), note


def _read_companions(
    folder: Path, tables: list[_Table], order: list[str]
) -> tuple[pd.Series | None, pd.Series | None, str]:
    """Return the subtypes, the informative genes and the caveats of a folder that has them."""
    subtypes = informative = None
    if path := _if_there(folder / SUBTYPES_FILE):
        found = _read_annotation(path, PATIENT_HEADERS, {"subtype"})
        _check_complete([path], "subtype", found, tables)
        subtypes = pd.Series(found, name="subtype").rename_axis("patient")
    if path := _if_there(folder / INFORMATIVE_GENES_FILE):
        found = _read_annotation(path, {"accession"}, {"higher in"})
        unknown = (found.keys() - set(tables[0].values.index)) | (set(found.values()) - set(order))
        if unknown:
            rule = "must name genes of the training file, and the class each is higher in"
            raise _error(path, rule, f"found {_some(unknown)}", "correct or remove the file")
        informative = pd.Series(found, name="higher_in").sort_index().rename_axis("accession")
    path = _if_there(folder / CAVEATS_FILE)
    return subtypes, informative, _read_text(path).strip() if path else ""


def _align(values: pd.DataFrame, genes: list[str], identifier: type) -> pd.DataFrame:
    """Return patients x genes, both sorted, in one memory layout: the same bytes, the same sums."""
    X = values.loc[genes].T.rename(identifier).sort_index()
    X = pd.DataFrame(np.ascontiguousarray(X), X.index, X.columns)
    return X.rename_axis(index="patient", columns="accession")


def _merge_descriptions(tables: list[_Table], genes: list[str]) -> pd.Series:
    """Return the description of each gene, from whichever table has one."""
    train, test = tables[0], tables[-1]
    merged = {
        gene: train.descriptions.get(gene) or test.descriptions.get(gene, "") for gene in genes
    }
    differ = [g for g, text in merged.items() if test.descriptions.get(g, "") not in ("", text)]
    if differ:
        rule = f"must describe genes as {train.path} does"
        found = f"{len(differ):,} descriptions differ: {_some(differ)}"
        raise _error(test.path, rule, found, "leave the descriptions out of one of the files")
    names = ["".join(filter(str.isprintable, text)) for text in merged.values()]
    return pd.Series(names, pd.Index(genes, name="accession"), name="description")
