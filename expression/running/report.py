"""What a script leaves behind: figures, tables, and its results in words and numbers.

A script computes and draws; a `Report` collects its results and writes them at the very end, all
files into a hidden folder inside its own first, and then renamed. Until then earlier outputs are
untouched, and no file is ever half-written, even when the script is killed. Afterwards what an
earlier run wrote and this one did not is gone; other files stay.
"""

import io
import json
import os
import platform
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from expression.analysis.batches import associate
from expression.data import ExpressionData
from expression.errors import DataError, refusal
from expression.preprocessing import UNITS
from expression.running.signals import not_stopped
from expression.running.streams import say
from expression.running.style import shorten

FIGURE_FORMATS = ("png", "pdf", "svg")
DATES = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}  # left out: the same bytes again
HIDDEN = ".writing."
LINE_LENGTH = 100  # of metrics.txt, in characters
SET_NAMES = {"train": "training", "test": "test"}
MAX_BATCHES = 10  # of a class, in a sentence
QUICK_RUN = "quick run: intervals are wide"
MAX_CLASSES = 10  # named in full, and with their batches
SHORT_NAME = 16  # characters of the name of a class, where there are more
PACKAGES = ("matplotlib", "numpy", "pandas", "scikit-learn", "scipy", "seaborn", "shap", "xgboost")


class Report:
    """Collect a script's figures, tables and metrics, and write them at the end."""

    def __init__(
        self,
        title: str,
        data: ExpressionData,
        *,
        script: str,
        seed: int,
        options: dict,
        folder: Path,
        figure_format: str = "png",
        quiet: bool = False,
        quick: bool = False,
    ):
        """Start empty; `options` are those that change results, besides the seed.

        DataError when nothing could be written into the folder, which is made at the end.
        """
        check_folder(folder)
        self.title = f"{title} ({QUICK_RUN})" if quick else title
        self.folder = folder
        self.figure_format = figure_format
        self.quiet = quiet
        self.quick = quick
        self.files: dict[str, bytes] = {}
        self.answer = ""
        self.new_patients = ""  # what is said of them in short, on the terminal
        # Lines of metrics.txt
        described = describe(data)
        self.new_lines: list[str] = []
        self.headline: list[str] = []
        self.data_lines = [*described, *map(wrap, data.caveats.splitlines())]
        self.sections: list[str] = []
        self.record = {
            "script": f"{script}.py",
            "seed": seed,
            "options": options,
            "versions": package_versions(),
            "input_sha256": data.checksum,
            "data": described,
            "headline": {},
            "results": {},
        }
        self.show("\n".join([self.title, *described]))

    def add_figure(self, name: str, figure: plt.Figure) -> None:
        """Add a figure, to become ``name.<figure format>``, and close it."""
        if self.quick:
            figure.suptitle(f"{figure.get_suptitle()}\n{QUICK_RUN}")
        buffer = io.BytesIO()
        figure.savefig(buffer, format=self.figure_format, metadata=DATES.get(self.figure_format))
        plt.close(figure)
        self.files[f"{name}.{self.figure_format}"] = buffer.getvalue()

    def add_table(self, name: str, table: pd.DataFrame) -> None:
        """Add a table, index included, to become ``name.csv``."""
        table = escape_formulas(table.reset_index())
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        self.files[f"{name}.csv"] = text.encode()

    def show(self, *texts: str) -> None:
        """Print texts, an answer as soon as it is known, unless the script is to be quiet."""
        if self.quiet:
            return
        with tqdm.external_write_mode():  # not into a progress bar
            error = say(*texts, stream=sys.stdout, sep="\n\n", end="\n\n")
        if error and not isinstance(error, BrokenPipeError):  # as after head, which has read enough
            say(f"note: standard output: {error.strerror}; the files follow", stream=sys.stderr)

    def show_table(self, title: str, rows: list[dict]) -> None:
        """Print a table of finished cells, a row a model, gene, ..., as soon as it is known."""
        self.show(f"{title}\n{rows_to_text(rows)}")

    def add_headline(self, title: str, rows: list[dict], in_short: list[str]) -> None:
        """Add what a reader looks for first: sentences that answer the script's question, and a
        table of finished cells. Both open metrics.txt, and the sentences end on the terminal.
        """
        self.record["headline"] = {"title": title, "in_short": in_short, "rows": to_plain(rows)}
        self.answer = "\n".join(map(wrap, in_short))
        self.headline = [
            *under_line("In short", "-"),
            self.answer,
            "",
            *under_line(title, "-"),
            rows_to_text(rows),
            "",
            *under_line("The data", "-"),
        ]

    def add_new_patients(
        self,
        in_short: list[str],
        rows: list[dict],
        of_models: list[dict],
        note: str,
        reasons: dict[str, str],
    ) -> None:
        """Add what is said of patients whose class is not known: it comes before all else.

        rows, of_models: a row a patient, of the call and of what each model says; reasons: by
        patient.
        """
        self.record["new_patients"] = {
            "in_short": in_short,
            "rows": rows,
            "models": of_models,
            "reasons": reasons,
        }
        self.new_patients = "\n".join(map(wrap, in_short))
        self.new_lines = [
            *under_line("New patients", "-"),
            self.new_patients,
            "",
            rows_to_text(rows),
            "",
            wrap(note),
            "",
            rows_to_text(of_models),
            "",
            *(wrap(f"{who}: {words}.") for who, words in reasons.items()),
            "",
        ]

    def add_section(
        self,
        key: str,
        title: str,
        values: dict | pd.Series | pd.DataFrame,
        note: str = "",
        shown: pd.DataFrame | None = None,
    ) -> None:
        """Add values to both metrics files: for people under `title` and `note`, or what is `shown`
        of them instead; and for programs under `key`.
        """
        self.add_values(key, values)
        self.sections += under_line(title, "-")
        if note:
            self.sections += [wrap(note), ""]
        self.sections += [to_text(values if shown is None else shown), ""]

    def add_values(self, key: str, values: dict | pd.Series | pd.DataFrame) -> None:
        """Add values to metrics.json only, for programs."""
        self.record["results"][key] = to_plain(values)

    def metrics_text(self) -> str:
        """Return metrics.txt: the title, the headline, the data, then the sections."""
        lines = [
            *under_line(self.title, "="),
            "",
            *self.new_lines,
            *self.headline,
            *self.data_lines,
            "",
            *self.sections,
        ]
        return "\n".join(lines)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Add figures inside, when all else is there: should one fail, all else is written."""
        try:
            yield
        except Exception:
            self.show("The figures could not all be drawn; what had been found before is written.")
            self.write()
            raise

    def write(self) -> None:
        """Write every file, and remove what else an earlier run wrote; then print the findings."""
        self.record["files"] = sorted({*self.files, "metrics.txt", "metrics.json"})
        record = json.dumps(self.record, indent=2, ensure_ascii=False, allow_nan=False)
        # The record first: even when the script is killed just then, it names all files of ours
        contents = {
            "metrics.json": f"{record}\n".encode(),
            "metrics.txt": self.metrics_text().encode(),
            **self.files,
        }
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob(f"{HIDDEN}*"):  # of a killed run
                shutil.rmtree(path, ignore_errors=True)
            try:
                self._replace_files(contents)
            except FileNotFoundError:  # another run that ends just now took them for a killed one's
                self._replace_files(contents)
        except BaseException as error:
            for path in missing:
                with suppress(OSError):
                    path.rmdir()  # if empty
            if isinstance(error, OSError):
                found = str(error.strerror).lower()
                raise unusable(error.filename or self.folder, found) from None
            raise
        files = f"Written to {self.folder}: {', '.join(self.record['files'])}"
        self.show(*filter(None, [self.new_patients, self.answer, wrap(files)]))

    def _replace_files(self, contents: dict[str, bytes]) -> None:
        # Inside, as on the same disk renaming is atomic
        with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=self.folder) as hidden:
            for name, content in contents.items():
                Path(hidden, name).write_bytes(content)
            with not_stopped():
                for name in written_files(self.folder) - set(contents):
                    (self.folder / name).unlink(missing_ok=True)
                for name in contents:
                    Path(hidden, name).replace(self.folder / name)


def check_folder(folder: Path) -> None:
    """Raise a DataError when a folder could not be made or written into."""
    for path in (folder, *folder.absolute().parents):
        if path.exists():
            break
        if path.is_symlink():
            raise unusable(path, "it is a link to what does not exist")
    if not path.is_dir():
        raise unusable(path, "it is not a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise unusable(path, "permission denied")


def unusable(path: object, found: str) -> DataError:
    """Return the refusal of a place to write to."""
    return refusal(path, "must be a folder to write to", found, "free it, or see --output-dir")


def written_files(folder: Path) -> set[str]:
    """Return the names of the files that the last run wrote into a folder, by its metrics.json."""
    try:
        names = json.loads((folder / "metrics.json").read_bytes())["files"]
        return {name for name in names if Path(name).name == name and (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours
        return set()


def describe(data: ExpressionData) -> list[str]:
    """Return lines on what is analysed: patients, classes, genes, and what was read for them."""
    sentences = [
        f"Data: {_count_patients(data, 'train')}, {_count_patients(data, 'test')}.",
        *data.origin,
        *describe_batches(data),
        f"Genes: {_count_genes(data)}.",
    ]
    return "\n".join(map(wrap, share_lines(sentences))).splitlines()


def share_lines(sentences: Sequence[str]) -> list[str]:
    """Return sentences, short ones behind one another as long as a line has room for them."""
    lines = []
    for sentence in sentences:
        if lines and len(f"{lines[-1]} {sentence}") <= LINE_LENGTH:
            lines[-1] += f" {sentence}"
        else:
            lines.append(sentence)
    return lines


def _count_patients(data: ExpressionData, part: str) -> str:
    """Return how many patients a part has, of which classes, and how many arrays if more."""
    y = data.patients.loc[data.patients["set"] == part, "class"]
    name = SET_NAMES[part]
    if y.empty:
        return f"no {name} patients (what needs them is not computed)"
    sizes = y.value_counts(sort=False)
    if part == "test" and len(sizes) > MAX_CLASSES:
        least, most = sizes.min(), sizes.max()
        counts = f"{least if least == most else f'{least} to {most}'} of each class"
    else:
        names = _told_names(data.classes)
        counts = ", ".join(f"{sizes[label]} {name}" for label, name in names.items())
    arrays = (data.sample_set == part).sum()
    more_arrays = f"; {arrays} arrays" if arrays > len(y) else ""
    return f"{len(y)} {name} patients ({counts}{more_arrays})"


def _told_names(classes: Sequence[str]) -> dict[str, str]:
    """Return how sentences call each class: of many, with shortened names."""
    if len(classes) <= MAX_CLASSES:
        return {label: label for label in classes}
    return {label: shorten(label, SHORT_NAME) for label in classes}


def describe_batches(data: ExpressionData) -> list[str]:
    """Return sentences that count patients by class and batch, and say where these go together."""
    if data.batches is None:
        return []
    counts = []
    warnings = []
    for part, patients in data.patients.groupby("set", sort=False):
        counts.append(f"{SET_NAMES[part]}: {_count_batches(patients, data.classes)}")
        association = associate(patients["class"], patients["batch"])
        if association.matters:
            warnings.append(f"in {SET_NAMES[part]} {association.in_words}")
    by = "batch" if len(data.classes) > MAX_CLASSES else "class and batch"
    sentences = [f"Patients by {by}, {'. In '.join(counts)}."]
    if warnings:
        sentences.append(f"Batch and class: {'; '.join(warnings)}.")
    return sentences


def _count_batches(patients: pd.DataFrame, classes: Sequence[str]) -> str:
    """Return how many patients of each class each batch has; of many classes, how many patients and
    classes."""
    if len(classes) > MAX_CLASSES:
        of_batches = patients.groupby("batch")["class"]
        totals = zip(of_batches.size().items(), of_batches.nunique(), strict=True)
        batches = [f"{size} {batch} (of {n} classes)" for (batch, size), n in totals]
        return join_first(batches, MAX_BATCHES)
    of_classes = []
    for label in classes:
        by_batch = patients.loc[patients["class"] == label, "batch"].value_counts()
        batches = [f"{count} {batch}" for batch, count in sorted(by_batch.items())]
        of_classes.append(f"{label} {join_first(batches, MAX_BATCHES)}")
    return "; ".join(of_classes)


def _count_genes(data: ExpressionData) -> str:
    kept = Pipeline(data.preprocessing.filtered_steps()).fit(data.X_train.to_numpy())[-1]
    least = data.y_train.value_counts().min()
    finding = UNITS[data.preprocessing.scale].finding.format(least=least)
    passing = f"{kept.n_passing_:,} of {data.X_train.shape[1]:,} genes {finding}"
    used = kept.support_.sum()
    if kept.n_passing_ == used:
        return passing
    return f"{passing}; the {used:,} most variable of them are used"


def package_versions() -> dict[str, str]:
    """Return the versions the results depend on, Python's included."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # xgboost's build without GPUs
            versions[name] = metadata.version(f"{name}-cpu")
    return versions


# --- values as text: for people, for JSON, and for spreadsheets ----------------------------------


def under_line(title: str, character: str) -> list[str]:
    """Return a title and the line under it."""
    return [title, character * len(title)]


def interval_text(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """Return a value with its interval in brackets, where there is one."""
    text = f"{value:.{digits}f}"
    if np.isnan(lower):
        return text
    return f"{text} ({lower:.{digits}f}–{upper:.{digits}f})"


def range_text(values: pd.Series) -> str:
    """Return the median and range over random states, or nothing where they change nothing."""
    lowest, highest = values.min(), values.max()
    if lowest == highest:
        return ""
    return f"{values.median():g} ({lowest}–{highest})"


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


def join_words(words: Sequence[str]) -> str:
    """Return words as in a sentence: one, two and three."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


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
