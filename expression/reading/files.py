"""Read files: bytes in, text out, whatever wrote them.

Content decides how a file is read, never its name: plain or gzip, UTF-8 or UTF-16, or the one sheet
of an Excel file (.xlsx), which becomes a tab-separated table.
"""

import gzip
import io
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from expression.errors import MAX_NAME_LENGTH, DataError, refusal, shortlist

NUMBER_CHARACTERS = frozenset("0123456789+-.eE")
MAX_BYTES = 2**32  # 2,096 arrays of 54,675 genes take a quarter; what unpacks to more is no data


def clean(name: str) -> str:
    """Return a name in one line and one Unicode form."""
    return " ".join(name.split() if name.isascii() else unicodedata.normalize("NFC", name).split())


def plain(header: str) -> str:
    """Return a column header as headers are compared."""
    return re.sub(r"[\W_]+", " ", header).strip().casefold()


def number(cell: str) -> float:
    """Return a plain decimal number; nan for everything else that `float` takes."""
    try:
        value = float(cell) if NUMBER_CHARACTERS.issuperset(cell) else np.nan
    except ValueError:
        return np.nan
    return value + 0.0 if abs(value) < np.inf else np.nan  # -0 becomes 0


def cut_off(path: Path, found: str) -> DataError:
    """Return the refusal of a file that may have ended within its last cell."""
    advice = "copy it again, or if it is whole, end it with a line break"
    return refusal(path, "must end with a line break", found, advice)


def check_names(where: object, kind: str, names: Iterable[str]) -> None:
    """Raise unless every name is there, can be printed, and occurs once."""
    counts = Counter(names)
    if not counts or "" in counts:
        rule = f"every {kind} must have a name"
        advice = "name them or remove them"
        if kind != "class":
            advice += " (a column without a name, as pandas' index: --drop '')"
        raise refusal(where, rule, f"{counts[''] or 'all'} have none", advice)
    if doubled := [name for name, count in counts.items() if count > 1]:
        rule, found = f"every {kind} must occur once", f"found {shortlist(doubled)} more than once"
        raise refusal(where, rule, found, "keep one of each, or leave all out with --drop NAME")
    longest = np.inf if kind == "gene" else MAX_NAME_LENGTH
    if odd := [name for name in counts if not name.isprintable() or len(name) > longest]:
        rule = f"every {kind} must be printable"
        rule += "" if kind == "gene" else f" and have at most {MAX_NAME_LENGTH} characters"
        raise refusal(where, rule, f"found {shortlist(odd)}", "rename it")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file as UTF-8 without a byte order mark."""
    try:
        if path.is_fifo():
            found, advice = "it is a pipe, which can be read once only", "write it to a file"
            raise refusal(path, "must be a readable file", found, advice)
        with open(path, "rb") as file:
            content = _read_limited(file)
        if content.startswith(b"\x1f\x8b"):
            content = _read_limited(gzip.GzipFile(fileobj=io.BytesIO(content)))
        if len(content) > MAX_BYTES:
            found, advice = f"it has more than {MAX_BYTES:,} bytes", "is this the right file?"
            raise refusal(path, "must be a readable file", found, advice)
        if content.startswith(b"PK\x03\x04"):
            return _unpack_workbook(path, content)
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16").encode()
        content = content.removeprefix(b"\xef\xbb\xbf")
        if not content.isascii():
            content.decode()
        return content
    except DataError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile):
        found, advice = "its gzip data are damaged", "copy or compress it again"
    except UnicodeError:
        found, advice = "it is not UTF-8 text", "save it as CSV in UTF-8"
    except (OSError, ValueError) as error:
        found = str(getattr(error, "strerror", error)).lower()
        advice = "check its name and permissions (see --data-dir, --train, --test, --labels)"
    raise refusal(path, "must be a readable file", found, advice)


def _read_limited(file) -> bytes:
    buffer = io.BytesIO()
    while buffer.tell() <= MAX_BYTES and (part := file.read(2**20)):
        buffer.write(part)
    return buffer.getvalue()


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
        raise refusal(path, rule, f"{type(error).__name__}", "save it as CSV") from None
    filled = {name: sheet for name, sheet in sheets.items() if not sheet.empty}
    if len(filled) != 1:
        rule, found = "an .xlsx file must have one sheet", f"it has {shortlist(filled) or 'none'}"
        raise refusal(path, rule, found, "save the one of the table as CSV")
    (sheet,) = filled.values()
    return sheet.to_csv(sep="\t", header=False, index=False).encode()
