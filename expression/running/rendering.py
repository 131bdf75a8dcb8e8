"""Values as text: for people to read, for JSON, and for spreadsheets."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

LINE_LENGTH = 100  # of metrics.txt, in characters


def interval_text(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """Return a value with its interval in brackets, where there is one."""
    text = f"{value:.{digits}f}"
    return text if np.isnan(lower) else f"{text} ({lower:.{digits}f}–{upper:.{digits}f})"


def range_text(values: pd.Series) -> str:
    """Return the median and range over random states, or nothing where they change nothing."""
    low, high = values.min(), values.max()
    return "" if low == high else f"{values.median():g} ({low}–{high})"


def brief_table(table: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Return rows x measures as text, from (measure, row) x value, lower, upper, ..."""
    rows = table.index.get_level_values(1).unique()
    cells = table.iloc[:, :3].apply(lambda values: interval_text(*values, digits=3), axis=1)
    cells = cells.unstack("measure").reindex(columns=measures, index=rows)
    return cells.dropna(how="all").rename_axis(columns=None).fillna("-")


def wrap(note: str) -> str:
    """Return a note in lines of at most 100 characters."""
    return textwrap.fill(note, LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def escape_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Put a quote before text that a spreadsheet would run as a formula."""

    def escape(value):
        formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        return f"'{value}" if formula else value

    return table.rename(columns=escape).map(escape)


def to_plain(value):
    """Return numbers, tables and arrays as what JSON knows; floats with six significant digits."""
    if isinstance(value, pd.DataFrame):
        return [to_plain(row) for row in value.reset_index().to_dict("records")]
    if isinstance(value, dict | pd.Series):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def join_first(words: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return words in a row; of more than `most` the first, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return separator.join(words[:most]) + more


def rows_to_text(rows: list[dict]) -> str:
    """Return a table of finished cells, the names to the left."""
    if not rows:
        return "none"
    table = pd.DataFrame(rows)
    name = table.columns[0]
    width = max(map(len, [name, *table[name]]))
    table[name] = table[name].str.ljust(width)
    return table.rename(columns={name: name.ljust(width)}).to_string(index=False)


def to_text(values: dict | pd.Series | pd.DataFrame) -> str:
    """Return values aligned for reading."""
    if isinstance(values, pd.DataFrame):
        if values.empty:
            return "none"
        return values.to_string(float_format=_number_text, na_rep="-")
    width = max(map(len, map(str, values.keys())), default=0)
    return "\n".join(f"{key!s:<{width}}  {_entry_text(entry)}" for key, entry in values.items())


def _entry_text(entry) -> str:
    if isinstance(entry, float):
        return _number_text(entry)
    if isinstance(entry, list | tuple):
        return ", ".join(map(_entry_text, entry)) or "none"
    return str(entry)


def _number_text(number: float) -> str:
    return f"{number:.1e}" if 0 < abs(number) < 0.001 else f"{number:.3f}"
