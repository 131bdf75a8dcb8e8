"""The options of the scripts. No slow import is needed for them: --help is answered at once."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from expression.preprocessing import MAX_GENES, MIN_GENES, SCALES
from expression.reading.load import DATA_DIR

OUTPUT_DIR = Path(__file__).resolve().parents[2] / "outputs"
FIGURE_FORMATS = ("png", "pdf", "svg")
FEW_PATIENTS = 72  # up to as many as the published data have, all repetitions are affordable
MAX_SEED = 2**32 - 1  # of NumPy


class ScriptParser(argparse.ArgumentParser):
    """An argument parser that refuses in the one line all scripts refuse in."""

    def error(self, message: str):
        self.exit(2, f"error: {message.removeprefix('argument ')}; see {self.prog} --help\n")


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
    about = "scale: array intensities, or their log2; counts (or CPM, TPM), or their log2(x + 1) "
    about += "(default: intensity)"
    add("--expression", choices=SCALES, default="intensity", help=about)
    about = f"of genes that pass the filter, the N most variable at most (default: {MAX_GENES:,})"
    add("--max-genes", type=whole_number(MIN_GENES), default=MAX_GENES, metavar="N", help=about)
    about = "seed of everything random; the same seed gives the same bytes (default: 0)"
    add("--seed", type=whole_number(0), default=0, metavar="N", help=about)
    about = "processes to work in; changes the time only, not the results (default: all cores)"
    add("--jobs", type=whole_number(1), metavar="N", help=about)
    about = "address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers do the work"
    add("--scheduler", metavar="ADDRESS", help=about)
    about = "file format of the figures (default: png)"
    add("--figure-format", choices=FIGURE_FORMATS, default="png", help=about)
    add("--quiet", action="store_true", help="no progress and no summary")
    _add_own_data_options(parser)
    return parser


def _add_own_data_options(parser: ScriptParser) -> None:
    add = parser.add_argument_group(
        "your own data",
        "The file of classes names the patients; the columns or rows with those names are the\n"
        "patients, the first unique other text names the genes, the rest is ignored. Text with\n"
        "comma, semicolon or tab, GCT, GEO series matrix, .xlsx; plain or gzip.",
    ).add_argument
    about = "expression of the training patients; nothing is then taken from the data folder"
    add("--train", type=Path, metavar="FILE", help=about)
    about = "expression of the test patients; may be left out, with all that needs them"
    add("--test", type=Path, metavar="FILE", help=about)
    about = "table of patients and classes, or CLS (codes in the order of the patients in the "
    about += "expression files, training first); not needed when those have a column of classes"
    add("--labels", type=Path, nargs="+", metavar="FILE", help=about)
    about = "the column of classes, where more than one column can be"
    add("--class-column", metavar="NAME", help=about)
    about = "the two classes to take of several, with their patients alone"
    add("--classes", nargs=2, metavar="NAME", help=about)
    about = "the class to call positive (default: AML, else the rarer one in training)"
    add("--positive-class", metavar="NAME", help=about)
    about = "use the genes both files have, when the test file lacks fewer than half of them"
    add("--common-genes", action="store_true", help=about)
    about = "missing values: refuse the file, or drop the genes that lack any (default: refuse)"
    add("--missing", choices=("refuse", "drop"), default="refuse", help=about)
    about = "columns and rows to leave out: patients, genes, or what is neither; "
    about += "* and ? as in a shell"
    add("--drop", nargs="+", metavar="NAME", help=about)
    about = "genes to keep though their names look like clinical data"
    add("--keep", nargs="+", metavar="NAME", help=about)


class Count(NamedTuple):
    """An option that is a whole number; where `fewest` is given, a number of repetitions."""

    option: str
    default: int
    least: int
    about: str
    fewest: int | None = None

    def default_for(self, patients: int) -> int:
        """Return the default: repetitions shrink as patients grow, since intervals do."""
        if self.fewest is None or patients <= FEW_PATIENTS:
            return self.default
        return max(self.fewest, round(self.default * FEW_PATIENTS / patients))


def add_counts(parser: ScriptParser, *counts: tuple) -> None:
    """Add options of a script, each the fields of a `Count`; `load_data` settles the defaults."""
    add = parser.add_argument_group("options of this script").add_argument
    counts = [Count(*count) for count in counts]
    for count in counts:
        text = f"{count.about} (default: {count.default:,}"
        if count.fewest is not None:
            text += f"; beyond {FEW_PATIENTS} patients fewer in proportion, at least {count.fewest}"
        add(count.option, type=whole_number(count.least), metavar="N", help=f"{text})")
    parser.set_defaults(counts=counts)


def whole_number(minimum: int) -> Callable[[str], int]:
    """Return an argparse type: a whole number from the minimum to what a seed may be."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= MAX_SEED:
            rule = f"must be a whole number from {minimum} to {MAX_SEED}"
            raise argparse.ArgumentTypeError(f"{rule} - found {text[:40]!r}")
        return int(text)

    return convert


def above_zero(text: str) -> float:
    """Return an option's value, a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0 - found {text[:40]!r}")
    return value
