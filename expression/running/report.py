"""What a script leaves behind: figures, tables, and what it found in words and numbers.

A script computes and draws; a `Report` collects what it found and writes it at the very end, all
files into a hidden folder inside its own first, and then renamed. Until then earlier outputs are
untouched, and no file is ever half-written, even when the script is killed. Afterwards what an
earlier run wrote and this one did not is gone; other files stay.
"""

import io
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from expression.data import ExpressionData
from expression.errors import DataError, refusal
from expression.preprocessing import MIN_CPM
from expression.running.rendering import escape_formulas, rows_to_text, to_plain, to_text, wrap

HIDDEN = ".writing."
PACKAGES = ("matplotlib", "numpy", "pandas", "scikit-learn", "scipy", "seaborn", "shap", "xgboost")


class Report:
    """Collect a script's figures, tables and metrics, and write them at the end."""

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
        """Start empty; `options` are those that change results, with the script and the seed.

        DataError when nothing could be written into the folder, which is made at the end.
        """
        self.folder, self.figure_format, self.quiet = folder, figure_format, quiet
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise unusable(existing, "it is not a folder")
        if not os.access(existing, os.W_OK):
            raise unusable(existing, "permission denied")
        self.files: dict[str, bytes] = {}
        self.in_short = ""
        about = describe(data)
        self.text = [title, "=" * len(title), "", about, *map(wrap, data.caveats.splitlines()), ""]
        self.show(f"{title}\n{about}")
        options = dict(options)
        self.record = {
            "script": f"{options.pop('script')}.py",
            "seed": options.pop("seed"),
            "options": options,
            "versions": package_versions(),
            "input_sha256": data.checksum,
            "data": about.splitlines(),
            "headline": {},
            "results": {},
        }

    def add_figure(self, name: str, figure: plt.Figure) -> None:
        """Add a figure, to become ``name.<figure format>``, and close it."""
        dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        buffer = io.BytesIO()
        figure.savefig(buffer, format=self.figure_format, metadata=dates.get(self.figure_format))
        plt.close(figure)
        self.files[f"{name}.{self.figure_format}"] = buffer.getvalue()

    def add_table(self, name: str, table: pd.DataFrame) -> None:
        """Add a table, index included, to become ``name.csv``."""
        table = escape_formulas(table.reset_index())
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        self.files[f"{name}.csv"] = text.encode()

    def show(self, *texts: str) -> None:
        """Print texts, an answer as soon as it is known, unless the script is to be quiet."""
        if not self.quiet:
            with tqdm.external_write_mode():  # not into a progress bar
                try:
                    print(*texts, sep="\n\n", end="\n\n", flush=True)
                except BrokenPipeError:  # nobody reads on, as after head; but the files are wanted
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def show_table(self, title: str, rows: list[dict]) -> None:
        """Print a table of finished cells, a row a model, gene, ..., as soon as it is known."""
        self.show(f"{title}\n{rows_to_text(rows)}")

    def add_headline(self, title: str, rows: list[dict], in_short: list[str]) -> None:
        """Add what a reader looks for first: sentences that answer the script's question, and a
        table of finished cells. Both open metrics.txt, and the sentences end on the terminal.
        """
        self.record["headline"] = {"title": title, "in_short": in_short, "rows": to_plain(rows)}
        self.in_short = "\n".join(map(wrap, in_short))
        short = ["In short", "--------", self.in_short, ""]
        table = [title, "-" * len(title), rows_to_text(rows), ""]
        self.text[3:3] = [*short, *table, "The data", "--------"]

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
        self.record["results"][key] = to_plain(values)
        about = [wrap(note), ""] if note else []
        text = to_text(values if shown is None else shown)
        self.text += [title, "-" * len(title), *about, text, ""]

    def write(self) -> None:
        """Write every file, and remove what else an earlier run wrote; then print the findings."""
        self.record["files"] = sorted({*self.files, "metrics.txt", "metrics.json"})
        record = json.dumps(self.record, indent=2, ensure_ascii=False, allow_nan=False)
        metrics = {"metrics.json": f"{record}\n", "metrics.txt": "\n".join(self.text)}
        # The record first: even when the script is killed just then, it names all files of ours
        contents = {name: text.encode() for name, text in metrics.items()} | self.files
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
        self.show(self.in_short, wrap(files))

    def _replace_files(self, contents: dict[str, bytes]) -> None:
        # Inside, as on the same disk renaming is atomic
        with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=self.folder) as hidden:
            for name, content in contents.items():
                Path(hidden, name).write_bytes(content)
            with interrupts_ignored():
                for name in written_files(self.folder) - set(contents):
                    (self.folder / name).unlink(missing_ok=True)
                for name in contents:
                    Path(hidden, name).replace(self.folder / name)


def unusable(path: object, found: str) -> DataError:
    """Return the refusal of a place to write to."""
    return refusal(path, "must be a folder to write to", found, "free it, or see --output-dir")


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Let what takes a moment come to its end, so that outputs are all earlier ones or all new."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def written_files(folder: Path) -> set[str]:
    """Return the names of the files that the last run wrote into a folder, by its metrics.json."""
    try:
        names = json.loads((folder / "metrics.json").read_bytes())["files"]
        return {name for name in names if Path(name).name == name and (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours
        return set()


def describe(data: ExpressionData) -> str:
    """Return lines on what is analysed: patients, classes, genes, and what was read for them."""

    def group(name, y):
        counts = ", ".join(f"{(y == label).sum()} {label}" for label in data.classes)
        none = f"no {name} patients (what needs them is not computed)"
        return none if y.empty else f"{len(y)} {name} patients ({counts})"

    kept = Pipeline(data.preprocessing.filtered_steps()).fit(data.X_train.to_numpy())[-1]
    does = "vary enough in the training patients"
    if data.preprocessing.scale == "counts":
        least = data.y_train.value_counts().min()
        does = f"reach {MIN_CPM} per million in {least} or more training patients"
    genes = f"{kept.n_passing_:,} of {data.X_train.shape[1]:,} genes {does}"
    if kept.n_passing_ > kept.support_.sum():
        genes += f"; the {kept.support_.sum():,} most variable of them are used"
    patients = f"{group('training', data.y_train)}, {group('test', data.y_test)}"
    return "\n".join(map(wrap, [f"Data: {patients}.", *data.origin, f"Genes: {genes}."]))


def package_versions() -> dict[str, str]:
    """Return the versions the results depend on, Python's included."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # xgboost's build without GPUs
            versions[name] = metadata.version(f"{name}-cpu")
    return versions
