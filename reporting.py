"""What every script shares around its analysis: options, progress, figures and metrics out.

A script computes and draws; a `Report` collects what it found and writes it at the very end, all
files beside its folder first and then renamed into it. Until then earlier outputs are untouched,
and no file in the folder is ever half-written, even when the script is killed.
"""

import argparse
import functools
import io
import itertools
import json
import os
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # before pyplot: the scripts also run where there is no screen

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn import config_context
from sklearn.utils.parallel import Parallel, delayed  # joblib's, taking the configuration along
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from expression_data import (
    DATA_DIR,
    EXPRESSION_SCALES,
    DataError,
    ExpressionData,
    load_expression_data,
)

OUTPUT_DIR = Path(__file__).resolve().parent / "outputs"
FIGURE_FORMATS = ("png", "pdf", "svg")
PACKAGES = ("matplotlib", "numpy", "pandas", "scikit-learn", "scipy", "seaborn", "shap")
PAGE_WIDTH = 7.2  # inches, two columns of a journal page

# Okabe & Ito's colours, told apart with every kind of colour blindness
NEGATIVE_COLOR, POSITIVE_COLOR = "#0072B2", "#D55E00"
SUBTYPE_COLORS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#000000")

# The options that do not change any result, and therefore do not belong into its record
UNRECORDED_OPTIONS = {
    *("data_dir", "train", "test", "labels"),
    *("output_dir", "jobs", "quiet", "figure_format"),
}


class ScriptParser(argparse.ArgumentParser):
    """An argument parser that refuses in the one line all scripts refuse in."""

    def error(self, message: str):
        message = message.removeprefix("argument ")
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def make_parser(doc: str, script: str) -> ScriptParser:
    """Return a parser with the shared options; a script adds those that change its results."""
    parser = ScriptParser(
        prog=f"{script}.py",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(script=script)
    add = parser.add_argument_group("shared options").add_argument
    about = "folder with the expression tables and classes (default: the shipped AML_ALL_data)"
    add("--data-dir", type=Path, default=DATA_DIR, metavar="DIR", help=about)
    about = f"results go to DIR/{script}/ (default: outputs beside the scripts)"
    add("--output-dir", type=Path, default=OUTPUT_DIR, metavar="DIR", help=about)
    about = "scale of the values: array intensities, or their log2 (default: intensity)"
    add("--expression", choices=EXPRESSION_SCALES, default="intensity", help=about)
    about = "seed of everything random; the same seed gives the same bytes (default: 0)"
    add("--seed", type=whole_number(0), default=0, metavar="N", help=about)
    about = "processes to work in; changes the time only, not the results (default: all cores)"
    add("--jobs", type=whole_number(1), default=joblib.cpu_count(), metavar="N", help=about)
    about = "file format of the figures (default: png)"
    add("--figure-format", choices=FIGURE_FORMATS, default="png", help=about)
    add("--quiet", action="store_true", help="no progress and no summary")
    _add_own_data_options(parser)
    return parser


def _add_own_data_options(parser: ScriptParser) -> None:
    add = parser.add_argument_group(
        "your own data",
        "Tables with a row a gene (as published, or GCT 1.2) or with a row a patient and a column\n"
        "of classes; comma, semicolon or tab between the cells; plain or gzip.",
    ).add_argument
    about = "expression of the training patients; nothing is then taken from the data folder"
    add("--train", type=Path, metavar="FILE", help=about)
    about = "expression of the test patients; may be left out, with all that needs them"
    add("--test", type=Path, metavar="FILE", help=about)
    about = (
        "table of patient and class, or CLS (its codes follow the order of the patients in the "
        "expression files, training first); not needed when those have a column of classes"
    )
    add("--labels", type=Path, nargs="+", metavar="FILE", help=about)
    about = "the class to call positive (default: AML, else the rarer one in training)"
    add("--positive-class", metavar="NAME", help=about)
    about = "use the genes both files have, when the test file lacks fewer than half of them"
    add("--common-genes", action="store_true", help=about)


def whole_number(minimum: int, maximum: int = 2**32 - 1) -> Callable[[str], int]:
    """Return an argparse type: a whole number from minimum to maximum."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= maximum:
            rule = f"must be a whole number from {minimum} to {maximum}"
            raise argparse.ArgumentTypeError(f"{rule} - found {text[:40]!r}")
        return int(text)

    return convert


def command_line(main: Callable[[Sequence[str] | None], int]):
    """Decorate a script's ``main(argv=None) -> int``: the theme, one thread, errors in one line."""

    @functools.wraps(main)
    def wrapped(argv: Sequence[str] | None = None) -> int:
        use_theme()
        try:
            # One thread, as sums in another order are other bytes; and no checks of what is
            # checked already, a fifth of the time where matrices are as small as these.
            fast = config_context(assume_finite=True, skip_parameter_validation=True)
            with threadpool_limits(1), fast:
                return main(argv)
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
        except OSError as error:
            what = error.filename or "output"
            print(
                f"error: {what}: must be usable - {error.strerror}; free it or choose another "
                "folder (see --output-dir)",
                file=sys.stderr,
            )
        except KeyboardInterrupt:
            print("interrupted: earlier outputs are as they were", file=sys.stderr)
            return 130
        finally:
            plt.close("all")
        return 2

    return wrapped


def load_data(args: argparse.Namespace) -> ExpressionData:
    """Return the data the shared options name."""
    names = ("expression", "train", "test", "labels", "positive_class", "common_genes")
    return load_expression_data(args.data_dir, **{name: getattr(args, name) for name in names})


def run_parallel(
    function: Callable, tasks: Iterable[tuple], args: argparse.Namespace, label: str
) -> list:
    """Return ``[function(*task) for task in tasks]``, computed on ``args.jobs`` processes.

    A progress bar named `label` shows on stderr when that is a terminal. Inside a task one thread
    works, so that results do not depend on the number of jobs.
    """
    tasks = list(tasks)
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        results = Parallel(return_as="generator")(delayed(function)(*task) for task in tasks)
        bar = tqdm(results, desc=label, total=len(tasks), disable=args.quiet or None, leave=False)
        return list(bar)


def use_theme() -> None:
    """Set the one look of all figures."""
    sns.set_theme(context="paper", style="ticks", palette=SUBTYPE_COLORS)
    plt.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.dpi": 200,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titleweight": "bold",
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "svg.hashsalt": "expression",  # else every SVG gets ids of its own
            "text.parse_math": False,  # a "$" in a name is a dollar
        }
    )


def class_palette(data: ExpressionData) -> dict[str, str]:
    """Return the colour of each class, the same in every figure."""
    return dict(zip(data.classes, (NEGATIVE_COLOR, POSITIVE_COLOR), strict=True))


def in_lines(name: str, width: int = 12) -> str:
    """Return a class name in at most three short lines, for where a figure has little room."""
    return textwrap.fill(name, width, max_lines=3, placeholder="…")


def patient_groups(data: ExpressionData) -> pd.Series:
    """Return the subtype of each patient of `X_all`, or the class where no subtype is known."""
    classes = data.y_all.astype(str)
    return classes if data.subtypes is None else data.subtypes.fillna(classes)


def group_palette(data: ExpressionData) -> dict[str, str]:
    """Return the colour of each group of `patient_groups`: shades of the colour of its class."""
    groups, spare, palette = patient_groups(data), itertools.cycle(SUBTYPE_COLORS[4:]), {}
    for label, shades in zip(data.classes, (SUBTYPE_COLORS[:2], SUBTYPE_COLORS[2:4]), strict=True):
        members = sorted(set(groups[data.y_all == label]) - set(palette))
        palette |= dict(zip(members, itertools.chain(shades, spare), strict=False))
    return palette


class Report:
    """Collect a script's figures, tables and metrics, and write them at the end.

    `add_section` fills metrics.txt, for people, and metrics.json, for programs, from the same
    values, so that the two cannot disagree.
    """

    def __init__(self, args: argparse.Namespace, data: ExpressionData, title: str):
        self.folder = args.output_dir / args.script
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(13, "permission denied", str(self.folder))
        self.figure_format, self.quiet = args.figure_format, args.quiet
        self.files: dict[str, bytes] = {}
        self.text = [title, "=" * len(title), "", describe(data), *data.caveats.splitlines(), ""]
        options = {k: v for k, v in vars(args).items() if k not in UNRECORDED_OPTIONS}
        self.record = {
            "script": f"{options.pop('script')}.py",
            "seed": options.pop("seed"),
            "options": options,
            "versions": package_versions(),
            "input_sha256": data.checksum,
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

    def add_section(
        self, key: str, title: str, values: dict | pd.Series | pd.DataFrame, note: str = ""
    ) -> None:
        """Add values to both metrics files: under `title` and `note`, and under `key`.

        A table prints one row a line; a mapping one entry a line, aligned. Floats print with
        three digits after the point (small ones with two significant), and go into metrics.json
        with six significant ones.
        """
        self.record["results"][key] = to_plain(values)
        self.text += [title, "-" * len(title), *([note, ""] if note else []), to_text(values), ""]

    def write(self, summary: str = "") -> None:
        """Write every file, beside the folder first; then print the summary and the files."""
        self.files["metrics.txt"] = "\n".join(self.text).encode()
        record = json.dumps(self.record, indent=2, ensure_ascii=False, allow_nan=False)
        self.files["metrics.json"] = f"{record}\n".encode()
        place = {"prefix": f".{self.folder.name}.", "dir": self.folder.parent}
        with tempfile.TemporaryDirectory(**place) as beside:  # the same disk: renaming is atomic
            for name, content in self.files.items():
                Path(beside, name).write_bytes(content)
            for name in self.files:
                Path(beside, name).replace(self.folder / name)
        if not self.quiet:
            print(summary, f"Written to {self.folder}: {', '.join(sorted(self.files))}", sep="\n")


def describe(data: ExpressionData) -> str:
    """Return one line on the patients and genes of the data."""

    def group(name, y):
        if y.empty:
            return f"no {name} patients"
        counts = ", ".join(f"{(y == label).sum()} {label}" for label in data.classes)
        return f"{len(y)} {name} patients ({counts})"

    return (
        f"Data: {group('training', data.y_train)}, {group('test', data.y_test)}, "
        f"{data.X_train.shape[1]:,} genes; positive class: {data.classes[1]}."
    )


def package_versions() -> dict[str, str]:
    """Return the versions the results depend on, Python's included."""
    installed = {name.name.lower(): name.version for name in metadata.distributions()}
    xgboost = installed.get("xgboost-cpu") or installed.get("xgboost")
    versions = {name: installed[name] for name in PACKAGES} | {"xgboost": xgboost}
    return {"python": ".".join(map(str, sys.version_info[:3]))} | versions


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
