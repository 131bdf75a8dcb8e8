"""What a file is packed in, told by its content: text out, or the frame of a binary table.

gzip, bz2, xz, and a zip of one file are unpacked, also within each other. The one sheet of an
.xlsx file becomes text; Parquet, Feather and AnnData (.h5ad) become a frame, as text of so many
numbers takes half a minute to write. What holds no table that can be read here is refused by its
name.

Formats: https://anndata.readthedocs.io/en/stable/fileformat-prose.html, read with h5py, which
anndata brings along; https://arrow.apache.org/docs/format/Columnar.html
"""

import importlib
import io
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from expression.errors import DataError, refusal, shortlist

MAX_BYTES = 2**32  # 2,096 arrays of 54,675 genes take a quarter; what unpacks to more is no data
MAX_LAYERS = 4  # of packing around a file

COMPRESSED = {  # module of Python, by what a file begins with
    "gzip": re.compile(rb"\x1f\x8b"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "lzma": re.compile(rb"\xfd7zXZ\x00"),
}
ZIP = re.compile(rb"PK(\x03\x04|\x05\x06)")
HDF5 = re.compile(rb"\x89HDF\r\n\x1a\n")
PARQUET = re.compile(rb"PAR1")
FEATHER = re.compile(rb"ARROW1|FEA1")
OFFICE = {  # what a zip is, by a file within
    "content.xml": "an OpenDocument file (.ods)",
    "xl/workbook.bin": "a binary Excel workbook (.xlsb)",
    "word/document.xml": "a Word document (.docx)",
    "ppt/presentation.xml": "a PowerPoint presentation (.pptx)",
}
UNPACK = "unpack it, and give the file of the table"
AS_CSV = "export the table as CSV"
FOREIGN = [  # what a file begins with, what it is, what to do
    (
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Excel workbook (.xls)",
        "save it as .xlsx or CSV",
    ),
    (rb"RD[AX][23]\n", "R's data (RData)", "export the table with R's write.csv"),
    (
        rb"X\n\x00\x00\x00[\x02\x03]|A\n[23]\n\d{5,6}\n",
        "R's data (.rds)",
        "export it with R's write.csv",
    ),
    (rb"(?s).{257}ustar", "a tar archive", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", UNPACK),
    (rb"\x04\x22\x4d\x18", "compressed by lz4", UNPACK),
    (rb"\x1f\x9d", "compressed by Unix compress (.Z)", UNPACK),
    (rb"\x93NUMPY", "an array of NumPy (.npy)", "save it as CSV, with names"),
    (rb"\x80[\x02-\x05]", "a pickle of Python", AS_CSV),
    (rb"MATLAB [57]\.", "a file of MATLAB (.mat)", AS_CSV),
    (rb"\x00{12}\xc2\xea\x81\x60", "a data set of SAS (.sas7bdat)", AS_CSV),
    (rb"\$FL[23]", "a data set of SPSS (.sav)", AS_CSV),
    (rb"<stata_dta>|[qrs][\x01\x02]\x01\x00", "a data set of Stata (.dta)", AS_CSV),
    (rb"SQLite format 3\x00", "an SQLite database", AS_CSV),
    (rb"%PDF-", "a PDF document", "give the table itself as CSV"),
    (rb"\{\\rtf", "an RTF document", "save it as plain text"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\x00|MM\x00\*", "an image", "give the values as CSV"),
    (
        rb"@\x00{3}\x04\x00{3}|;\x01|\[CEL\]|IDAT[\x01-\x09]\x00",
        "the raw scan of one array (CEL, IDAT)",
        "summarise the arrays to a table of genes first, as R's affy or limma do",
    ),
    (rb"(?i)\s*<(!doctype html|html|head|body)\b", "a web page", "download the file itself"),
    (rb"\s*<\?xml\b", "XML", AS_CSV),
    (rb"(?i)(%[^\n]*\n|\s)*@relation\b", "an ARFF file (Weka)", AS_CSV),
    (rb"version https://git-lfs", "a pointer of Git LFS to the file", "run 'git lfs pull'"),
]


def unreadable(path: Path, found: object, advice: str) -> DataError:
    return refusal(path, "must be a readable file", found, advice)


def read_content(path: Path) -> bytes | pd.DataFrame:
    """Return the text of a file in its encoding, or the frame of a binary table."""
    content = read_unpacked(path)
    if ZIP.match(content):
        content = _unpack_workbook(path, content)
    elif HDF5.match(content):
        return read_anndata(path, content)
    elif PARQUET.match(content):
        return _read_arrow(path, content, "Parquet", pd.read_parquet)
    elif FEATHER.match(content):
        return _read_arrow(path, content, "Feather", pd.read_feather)
    check_size(path, content)
    _check_kind(path, content)
    return content


# --- bytes ----------------------------------------------------------------------------------------


def read_unpacked(path: Path) -> bytes:
    """Return the bytes of a file, or of the one that is packed in it."""
    content = _read_file(path)
    for _ in range(1 + MAX_LAYERS):
        inner = _unpack(path, content)
        if inner is None:
            return content
        content = inner
    raise unreadable(path, f"it is packed more than {MAX_LAYERS} times", UNPACK)


def _unpack(path: Path, content: bytes) -> bytes | None:
    """Return what is packed, if anything is."""
    for name, signature in COMPRESSED.items():
        if signature.match(content):
            return _decompress(path, content, name)
    return _unpack_zip(path, content) if ZIP.match(content) else None


def _read_file(path: Path) -> bytes:
    content = b""
    try:
        is_pipe = path.is_fifo()
        if not is_pipe:
            with open(path, "rb") as file:
                content = _read_limited(file)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        found = str(getattr(error, "strerror", error)).lower()
        advice = "check its name and permissions (see --data-dir, --train, --test, --labels, --new)"
        raise unreadable(path, found, advice) from None

    if is_pipe:
        found = "it is a pipe, which can be read once only"
        raise unreadable(path, found, "write it to a file")
    check_size(path, content)
    return content


def _decompress(path: Path, content: bytes, name: str) -> bytes:
    """Return what gzip, bz2 or xz holds; `name`: of the module that reads it."""
    called = "xz" if name == "lzma" else name
    try:
        module = importlib.import_module(name)
    except ImportError:  # a Python that was built without it
        raise unreadable(path, f"this Python cannot read {called}", UNPACK) from None
    errors = (EOFError, OSError, ValueError, zlib.error, getattr(module, "LZMAError", OSError))
    try:
        content = _read_limited(module.open(io.BytesIO(content)))
    except errors:
        found = f"its {called} data are damaged"
        raise unreadable(path, found, "copy or compress it again") from None
    check_size(path, content)
    return content


def _read_limited(file) -> bytes:
    """Read until the end, or until it is too much."""
    buffer = io.BytesIO()
    while buffer.tell() <= MAX_BYTES and (part := file.read(2**20)):
        buffer.write(part)
    return buffer.getvalue()


def check_size(path: Path, content: bytes) -> None:
    if len(content) > MAX_BYTES:
        found = f"it has more than {MAX_BYTES:,} bytes"
        raise unreadable(path, found, "is this the right file?")


def _check_kind(path: Path, content: bytes) -> None:
    """Raise when the content is that of another format."""
    head = content[:4096]
    for signature, name, advice in FOREIGN:
        if re.match(signature, head):
            raise unreadable(path, f"it is {name}", advice)


# --- zip ------------------------------------------------------------------------------------------


def _unpack_zip(path: Path, content: bytes) -> bytes | None:
    """Return the one file of a zip; None of a workbook, which is a zip, too."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        names = archive.namelist()
    except Exception:  # of whatever kind a damaged archive raises
        found = "its zip data are damaged, as of a copy that was cut (.xlsx is zip, too)"
        raise unreadable(path, found, "copy it again, or save the table as CSV") from None

    if "xl/workbook.xml" in names:
        return None
    for name, kind in OFFICE.items():
        if name in names:
            raise unreadable(path, f"it is {kind}", "save the table as .xlsx or CSV")
    files = [name for name in names if not _is_beside(name)]
    if len(files) != 1:
        found = f"it has {shortlist(files) or 'none'}"
        raise refusal(path, "a zip must hold one file", found, UNPACK)
    return _read_member(path, archive, files[0])


def _is_beside(name: str) -> bool:
    """Return whether an entry of a zip is a folder, or what macOS and Windows add."""
    *folders, last = name.split("/")
    return last in ("", ".DS_Store", "Thumbs.db") or "__MACOSX" in folders


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).flag_bits & 1:
        raise unreadable(path, "its zip data are encrypted", UNPACK)
    try:
        with archive.open(name) as file:
            content = _read_limited(file)
    except Exception:  # of whatever kind a damaged archive raises
        raise unreadable(path, "its zip data are damaged", "copy or compress it again") from None
    check_size(path, content)
    return content


def _unpack_workbook(path: Path, content: bytes) -> bytes:
    """Return the one sheet of an .xlsx file as tab-separated text."""
    rule = "an .xlsx file must be readable"
    try:
        sheets = pd.read_excel(
            io.BytesIO(content), sheet_name=None, header=None, dtype=str, na_filter=False
        )
    except ImportError:
        advice = "run 'pip install openpyxl', or save it as CSV"
        raise refusal(path, rule, "openpyxl is not installed", advice) from None
    except Exception as error:  # of whatever kind a damaged archive raises
        raise refusal(path, rule, type(error).__name__, "save it as CSV") from None

    filled = {name: sheet for name, sheet in sheets.items() if not sheet.empty}
    if len(filled) != 1:
        raise refusal(
            path,
            "an .xlsx file must have one sheet",
            f"it has {shortlist(filled) or 'none'}",
            "save the one of the table as CSV",
        )
    (sheet,) = filled.values()
    return sheet.to_csv(sep="\t", header=False, index=False).encode()


# --- Parquet, Feather -----------------------------------------------------------------------------


def _read_arrow(path: Path, content: bytes, name: str, read) -> pd.DataFrame:
    """Return the frame of a file, with the names of its rows, if it has any, as first column."""
    rule = f"a {name} file must be readable"
    try:
        frame = read(io.BytesIO(content))
        if not isinstance(frame.index, pd.RangeIndex):
            frame = frame.reset_index(names=frame.index.name or "")
        for name in frame.select_dtypes(exclude=["number", "bool"]):
            frame[name].tolist()  # as damaged text shows when it is read, and not before
        return frame
    except ImportError:
        advice = "run 'pip install pyarrow', or save it as CSV"
        raise refusal(path, rule, "pyarrow is not installed", advice) from None
    except Exception as error:  # of whatever kind a damaged file raises
        raise refusal(path, rule, type(error).__name__, "save it as CSV") from None


# --- AnnData --------------------------------------------------------------------------------------


def read_anndata(path: Path, content: bytes) -> pd.DataFrame:
    """Return X of an .h5ad file with a row a gene, beside the names and the text of var."""
    file = _open_hdf5(path, content)
    try:
        genes = _read_columns(file["var"], "var_names")
        patients = _read_columns(file["obs"], "obs_names")["obs_names"]
        shape = (len(patients), len(genes["var_names"]))
        _check_patients_by_genes(path, shape)
        values = _read_matrix(file["X"], shape).T
    except (DataError, MemoryError):
        raise
    except Exception as error:  # of whatever kind a damaged or foreign file raises
        raise _no_anndata(path, error) from None
    text = {name: entries for name, entries in genes.items() if _is_text(entries)}
    return pd.concat([pd.DataFrame(text), pd.DataFrame(values, columns=patients)], axis=1)


def read_anndata_samples(path: Path, content: bytes) -> pd.DataFrame:
    """Return obs of an .h5ad file, the names of its rows first."""
    file = _open_hdf5(path, content)
    try:
        return pd.DataFrame(_read_columns(file["obs"], "obs_names"))
    except Exception as error:  # of whatever kind a damaged or foreign file raises
        raise _no_anndata(path, error) from None


def _open_hdf5(path: Path, content: bytes):
    try:
        import h5py
    except ImportError:
        rule = "an HDF5 file (AnnData's .h5ad) must be readable"
        advice = "run 'pip install h5py', or export X, obs and var as CSV"
        raise refusal(path, rule, "h5py is not installed", advice) from None
    try:
        return h5py.File(io.BytesIO(content), "r")
    except OSError as error:
        raise _no_anndata(path, error) from None


def _no_anndata(path: Path, error: Exception) -> DataError:
    return refusal(
        path,
        "an HDF5 file must be AnnData's .h5ad, with X, obs and var",
        f"it cannot be read so: {type(error).__name__} {str(error)[:80]}",
        "write it again with a recent anndata, or export the table as CSV",
    )


def _check_patients_by_genes(path: Path, shape: tuple[int, int]) -> None:
    if shape[0] * shape[1] > MAX_BYTES // 8:
        raise refusal(
            path,
            f"must have at most {MAX_BYTES // 8:,} values",
            f"found {shape[0]:,} x {shape[1]:,}, as of single cells",
            "sum the cells of each patient first (pseudobulk)",
        )


def _read_matrix(matrix, shape: tuple[int, int]) -> np.ndarray:
    """Return X, patients x genes, from an array or its sparse form."""
    if not hasattr(matrix, "keys"):
        values = matrix[:]
    else:
        is_by_gene = matrix.attrs["encoding-type"] == "csc_matrix"
        form = sparse.csc_matrix if is_by_gene else sparse.csr_matrix
        parts = (matrix["data"][:], matrix["indices"][:], matrix["indptr"][:])
        values = form(parts, shape=shape).toarray()
    if values.shape != shape:
        raise ValueError(f"X is {values.shape}, obs and var are {shape}")
    return values.astype(float)


def _read_columns(group, names: str) -> dict[str, np.ndarray]:
    """Return the columns of obs or var: first the names of its rows, under the name `names`."""
    columns = {names: read_column(group[group.attrs["_index"]])}
    for column in group.attrs["column-order"]:
        columns[str(column)] = read_column(group[column])
    return columns


def read_column(column) -> np.ndarray:
    """Return a column of obs or var; None where an entry of it is missing."""
    if not hasattr(column, "keys"):
        return column.asstr()[:] if column.dtype.kind == "O" else column[:]
    if "codes" in column:
        categories = [*read_column(column["categories"]), None]  # a missing one has the code -1
        return np.array(categories, dtype=object)[column["codes"][:]]
    entries = read_column(column["values"]).astype(object)
    entries[column["mask"][:]] = None
    return entries


def _is_text(entries: np.ndarray) -> bool:
    return all(isinstance(entry, str) for entry in entries.tolist() if entry is not None)
