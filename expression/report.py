"""What a script leaves behind: figures, tables, and what it found in words and numbers.

A script computes and draws; a `Report` collects what it found and writes it at the very end, all
files beside its folder first and then renamed into it. Until then earlier outputs are untouched,
and no file in the folder is ever half-written, even when the script is killed.
"""

import io
import json
import os
import sys
import tempfile
import textwrap
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from expression.data import ExpressionData

FIGURE_FORMATS = ("png", "pdf", "svg")
LINE_LENGTH = 100  # of metrics.txt, in characters
PACKAGES = ("matplotlib", "numpy", "pandas", "scikit-learn", "scipy", "seaborn", "shap")


class Report:
    """Collect a script's figures, tables and metrics, and write them at the end.

    `add_section` fills metrics.txt, for people, and metrics.json, for programs, from the same
    values, so that the two cannot disagree.
    """

    def __init__(
        self,
        title: str,
        data: ExpressionData,
        *,
        folder: Path,
        options: dict,
        figure_format: str = "png",
        quiet: bool = False,
    ):
        """Make the folder; `options` are those that change results, with the script and the seed.

        Raises
        ------
        OSError
            When nothing can be written into the folder.
        """
        self.folder, self.figure_format, self.quiet = folder, figure_format, quiet
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(13, "permission denied", str(self.folder))
        self.files: dict[str, bytes] = {}
        self.in_short = ""
        self.text = [title, "=" * len(title), "", wrap(describe(data)), *data.caveats.splitlines()]
        self.show("\n".join([title, wrap(describe(data))]))
        options = dict(options)
        self.record = {
            "script": f"{options.pop('script')}.py",
            "seed": options.pop("seed"),
            "options": options,
            "versions": package_versions(),
            "input_sha256": data.checksum,
            "headline": {},
            "results": {},
        }

    def add_figure(self, name: str, figure: plt.Figure) -> None:
        """Render a figure, to become ``name.<figure format>``, and close it."""
        dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        buffer = io.BytesIO()
        figure.savefig(buffer, format=self.figure_format, metadata=dates.get(self.figure_format))
        plt.close(figure)
        self.files[f"{name}.{self.figure_format}"] = buffer.getvalue()

    def add_table(self, name: str, table: pd.DataFrame) -> None:
        """Add a table, index included, to become ``name.csv``."""
        text = escape_formulas(table.reset_index()).to_csv(
            index=False, float_format="%.6g", lineterminator="\n"
        )
        self.files[f"{name}.csv"] = text.encode()

    def show(self, *texts: str) -> None:
        """Print texts, an answer as soon as it is known, unless the script is to be quiet."""
        if not self.quiet:
            print(*texts, sep="\n\n", end="\n\n", flush=True)

    def show_table(self, title: str, rows: list[dict]) -> None:
        """Print a table of finished cells, a row a model, gene, ..., as soon as it is known."""
        self.show(f"{title}\n{_rows_text(rows)}")

    def add_headline(self, title: str, rows: list[dict], in_short: list[str]) -> None:
        """Add what a reader looks for first: sentences that answer the script's question, with
        numbers, intervals and the caveat that matters; then a table of finished cells.

        Both open metrics.txt, and README.md shows the same; the sentences end the terminal's.
        """
        self.record["headline"] = {"title": title, "in_short": in_short, "rows": to_plain(rows)}
        self.in_short = "\n".join(map(wrap, in_short))
        short = ["", "In short", "--------", self.in_short]
        self.text += [*short, "", title, "-" * len(title), _rows_text(rows), ""]

    def add_section(
        self,
        key: str,
        title: str,
        values: dict | pd.Series | pd.DataFrame,
        note: str = "",
        shown: pd.DataFrame | None = None,
    ) -> None:
        """Add values to both metrics files: under `title` and `note`, and under `key`.

        A table prints one row a line; a mapping one entry a line, aligned. Floats print with
        three digits after the point (small ones with two significant), and go into metrics.json
        with six significant ones. People are `shown` the same values more briefly where given.
        """
        self.record["results"][key] = to_plain(values)
        about = [wrap(note), ""] if note else []
        self.text += [
            title,
            "-" * len(title),
            *about,
            to_text(values if shown is None else shown),
            "",
        ]

    def write(self) -> None:
        """Write every file, beside the folder first; then print what was found, and the files."""
        self.files["metrics.txt"] = "\n".join(self.text).encode()
        record = json.dumps(self.record, indent=2, ensure_ascii=False, allow_nan=False)
        self.files["metrics.json"] = f"{record}\n".encode()
        place = {"prefix": f".{self.folder.name}.", "dir": self.folder.parent}
        with tempfile.TemporaryDirectory(**place) as beside:  # the same disk: renaming is atomic
            for name, content in self.files.items():
                Path(beside, name).write_bytes(content)
            for name in self.files:
                Path(beside, name).replace(self.folder / name)
        files = f"Written to {self.folder}: {', '.join(sorted(self.files))}"
        self.show(self.in_short, wrap(files))


def describe(data: ExpressionData) -> str:
    """Return one line on the patients and genes of the data."""

    def group(name, y):
        if y.empty:
            return f"no {name} patients (what needs them is not computed)"
        counts = ", ".join(f"{(y == label).sum()} {label}" for label in data.classes)
        return f"{len(y)} {name} patients ({counts})"

    kept = Pipeline(data.preprocessing.filtered_steps()).fit(data.X_train.to_numpy())
    kept = kept.get_feature_names_out()
    return (
        f"Data: {group('training', data.y_train)}, {group('test', data.y_test)}, "
        f"positive class: {data.classes[1]}; {len(kept):,} of {data.X_train.shape[1]:,} genes vary "
        "enough in the training patients."
    )


def package_versions() -> dict[str, str]:
    """Return the versions the results depend on, Python's included."""
    installed = {name.name.lower(): name.version for name in metadata.distributions()}
    xgboost = installed.get("xgboost-cpu") or installed.get("xgboost")
    versions = {name: installed[name] for name in PACKAGES} | {"xgboost": xgboost}
    return {"python": ".".join(map(str, sys.version_info[:3]))} | versions


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
        formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
        return f"'{value}" if formula else value

    return table.rename(columns=escape).map(escape)


def to_plain(value):
    """Return numbers, tables and arrays as what JSON knows; floats with six significant digits."""
    if isinstance(value, pd.DataFrame):
        return [to_plain(row) for row in value.reset_index().to_dict("records")]
    if isinstance(value, pd.Series):
        return to_plain(value.to_dict())
    if isinstance(value, dict):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [to_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _rows_text(rows: list[dict]) -> str:
    return to_text(pd.DataFrame(rows).set_index(next(iter(rows[0]))) if rows else pd.DataFrame())


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
