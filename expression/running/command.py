"""The command line of a script: its options, its data, and how it ends.

    def parse_args(argv=None):
        parser = make_parser(__doc__, "a_script")
        ...

    @command_line(parse_args)
    def main(args):
        data = load_data(args)
        report = start_report(args, data, "A title", STAGES)

`main()` then takes the command line, or a list of options, and returns the exit status.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from expression.data import ExpressionData
from expression.errors import DataError, refusal
from expression.parallel import expect, workers
from expression.preprocessing import LOG_BASES, MAX_GENES, MIN_GENES, SCALES
from expression.reading.load import DATA_DIR, load_expression_data
from expression.running.report import FIGURE_FORMATS, Report, join_first
from expression.running.signals import ended_in_order
from expression.running.streams import say, usable_streams
from expression.running.style import choose_fonts, theme

OUTPUT_DIR = Path(__file__).resolve().parents[2] / "outputs"
PUBLISHED_PATIENTS = 72  # of so many or fewer, all repetitions are affordable
MAX_SEED = 2**32 - 1  # of NumPy
MAX_CHARACTERS = 10  # in a sentence
# Not among the recorded options: what changes no number, where the input is (it has a checksum),
# and what the record names itself
UNRECORDED_OPTIONS = {
    "script",
    "seed",
    "data_dir",
    "train",
    "test",
    "new",
    "labels",
    "symbols",
    "output_dir",
    "jobs",
    "scheduler",
    "quiet",
    "figure_format",
}


# --- options -------------------------------------------------------------------------------------


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
    _add_shared_options(parser, script)
    _add_own_data_options(parser)
    return parser


def parse_options(
    parser: ScriptParser, argv: Sequence[str] | None, quick: dict[str, int]
) -> argparse.Namespace:
    """Return the options; `quick`: of a quick run, those that are not given otherwise."""
    args = parser.parse_args(argv)
    if args.quick:
        parser.set_defaults(**quick)
        args = parser.parse_args(argv)
    return args


def _add_shared_options(parser: ScriptParser, script: str) -> None:
    add = parser.add_argument_group("shared options").add_argument
    add(
        "--data-dir",
        type=Path,
        default=DATA_DIR,
        metavar="DIR",
        help="folder with the expression tables and classes (default: the shipped AML_ALL_data)",
    )
    add(
        "--output-dir",
        type=Path,
        default=OUTPUT_DIR,
        metavar="DIR",
        help=f"results go to DIR/{script}/ (default: outputs beside the scripts)",
    )
    add(
        "--expression",
        choices=SCALES,
        default="intensity",
        help="scale: array intensities, or their log2; counts (or CPM, TPM), or their log2(x + 1); "
        "log-ratios (of two-colour arrays) or z-scores (default: intensity)",
    )
    add(
        "--log-base",
        choices=LOG_BASES,
        help="base of the logarithms, where more than one is possible (default: 2)",
    )
    add(
        "--max-genes",
        type=whole_number(MIN_GENES),
        default=MAX_GENES,
        metavar="N",
        help=f"of genes that pass the filter, the N most variable at most (default: {MAX_GENES:,})",
    )
    add(
        "--seed",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="seed of everything random; the same seed gives the same bytes (default: 0)",
    )
    add(
        "--jobs",
        type=whole_number(1),
        metavar="N",
        help="processes to work in; changes the time only, not the results (default: all cores)",
    )
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers do the work",
    )
    add(
        "--figure-format",
        choices=FIGURE_FORMATS,
        default="png",
        help="file format of the figures (default: png)",
    )
    add(
        "--quick",
        action="store_true",
        help="everything computed and drawn with few repetitions, to try a file: intervals are "
        "wide, and all outputs say so; options given besides hold",
    )
    add("--quiet", action="store_true", help="no progress and no summary")


def _add_own_data_options(parser: ScriptParser) -> None:
    add = parser.add_argument_group(
        "your own data",
        "The file of classes is the sample sheet: it names the patients. The columns or rows with\n"
        "those names are the patients, the first unique other text names the genes, the rest is\n"
        "ignored. Other columns of the sheet, or of the samples.csv of a data folder, can say of\n"
        "which laboratory and person each array is. Text with tab, comma, semicolon or blanks,\n"
        "GCT, GEO series matrix and GDS (SOFT), Orange, .xlsx, .h5ad, Parquet, Feather; plain, or\n"
        "packed with gzip, bz2, xz or zip.",
    ).add_argument
    add(
        "--train",
        type=Path,
        metavar="FILE",
        help="expression of the training patients; nothing is then taken from the data folder",
    )
    add(
        "--test",
        type=Path,
        metavar="FILE",
        help="expression of the test patients; may be left out, with all that needs them",
    )
    add(
        "--labels",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="table of patients and classes, or CLS (codes in the order of the patients in the "
        "expression files, training first); not needed when those have a column of classes, or "
        "hold a sample sheet, as GEO's and AnnData's do",
    )
    add(
        "--symbols",
        type=Path,
        metavar="FILE",
        help="table of identifiers and gene symbols, such as the annotation of the array, to name "
        "genes by in figures and tables",
    )
    add(
        "--class-column",
        metavar="NAME",
        help="the column of classes, where more than one column can be",
    )
    add(
        "--batch-column",
        metavar="NAME",
        help="the column of the sample sheet that names the hospital, laboratory or run of each "
        "array, to tell its effect from that of the class (default: source, in a samples.csv)",
    )
    add(
        "--group-column",
        metavar="NAME",
        help="the column that names the person of each array, where one has several: they stay "
        "on one side of every split",
    )
    add(
        "--subtype-column",
        metavar="NAME",
        help="the column of subtypes of the classes (default: subtype, in a samples.csv)",
    )
    add(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="the classes to take of several, with their patients alone",
    )
    add(
        "--positive-class",
        metavar="NAME",
        help="of two classes, the one to call positive (default: AML, else the rarer one in "
        "training; of equals 1 rather than 0, and not what is called normal, control, ...)",
    )
    add(
        "--common-genes",
        action="store_true",
        help="use the genes both files have, when the test file lacks fewer than half of them",
    )
    add(
        "--missing",
        choices=("refuse", "drop"),
        default="refuse",
        help="missing values: refuse the file, or drop the genes that lack any (default: refuse)",
    )
    add(
        "--drop",
        nargs="+",
        metavar="NAME",
        help="columns and rows to leave out: patients, genes, or what is neither; "
        "* and ? as in a shell",
    )
    add(
        "--keep",
        nargs="+",
        metavar="NAME",
        help="genes to keep though their names look like a date, a header or clinical data; and "
        "new patients that are known ones, to see what is said of them",
    )
    add(
        "--duplicates",
        choices=("refuse", "mean", "max", "first"),
        default="refuse",
        help="several rows of one gene: refuse the file, or take of each patient their mean, their "
        "largest value, or that of the first row. As each gives other results, none is taken "
        "unasked. Rows without a gene's name are left out (default: refuse)",
    )


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


def share_below_one(text: str) -> float:
    """Return an option's value, a share between 0 and 1."""
    value = above_zero(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must be a share below 1, as 0.9 - found {text[:40]!r}")
    return value


class Repetitions(NamedTuple):
    """A number of repetitions that shrinks as patients grow, since intervals do."""

    default: int  # for as many patients as the published data have, or fewer
    fewest: int  # for however many

    def for_patients(self, patients: int) -> int:
        if patients <= PUBLISHED_PATIENTS:
            return self.default
        return max(self.fewest, round(self.default * PUBLISHED_PATIENTS / patients))

    def __str__(self) -> str:
        """Say it in the help of an option."""
        return (
            f"default: {self.default:,}; beyond {PUBLISHED_PATIENTS} patients fewer in "
            f"proportion, at least {self.fewest}"
        )


# --- around an analysis --------------------------------------------------------------------------


def command_line(parse_args: Callable[[Sequence[str] | None], argparse.Namespace]):
    """Decorate a script's ``main(args) -> None`` into ``main(argv=None) -> int``, a whole command.

    The theme of the figures, the processes and the progress bar are set here; what stops a script
    is told in one line, with its exit status.
    """

    def decorate(main: Callable[[argparse.Namespace], None]):
        @functools.wraps(main)
        def command(argv: Sequence[str] | None = None) -> int:
            with usable_streams():
                args = parse_args(argv)
                try:
                    with (
                        ended_in_order(),
                        theme(),
                        threadpool_limits(1),  # as sums in another order are other bytes
                        workers(args.jobs, not args.quiet, args.scheduler),
                    ):
                        main(args)
                except KeyboardInterrupt:
                    say("interrupted: no output is half-written", stream=sys.stderr)
                    return 130
                except DataError as error:
                    say(f"error: {error}", stream=sys.stderr)
                    return 2
                except (OSError, MemoryError) as error:
                    say(f"error: {_refuse_system(error)}", stream=sys.stderr)
                    return 2
                except Exception as error:  # a traceback follows
                    say(f"error: {_report_defect(args, error)}", stream=sys.stderr)
                    raise
                return 0

        return command

    return decorate


def _refuse_system(error: OSError | MemoryError) -> DataError:
    if isinstance(error, MemoryError):
        rule = "must hold the analysis"
        advice = "close other programs, or try --jobs 1 or a smaller --max-genes"
        return refusal("memory", rule, "it is full", advice)
    return refusal(
        error.filename or "system",
        "must be usable",
        error.strerror or error,
        "free disk space or memory, and run again",
    )


def _report_defect(args: argparse.Namespace, error: Exception) -> DataError:
    """Return how to report what nobody foresaw."""
    return refusal(
        f"{args.script}.py",
        "must not fail like this, whatever the data",
        type(error).__name__,
        "please report this line and those below to whom you have the program from, with the "
        "command and the package versions (pip freeze)",
    )


def load_data(args: argparse.Namespace) -> ExpressionData:
    """Return the data that the shared options name."""
    return load_expression_data(
        args.data_dir,
        expression=args.expression,
        log_base=args.log_base,
        train=args.train,
        test=args.test,
        new=getattr(args, "new", None) or (),
        labels=args.labels,
        symbols=args.symbols,
        class_column=args.class_column,
        batch_column=args.batch_column,
        group_column=args.group_column,
        subtype_column=args.subtype_column,
        classes=args.classes,
        positive_class=args.positive_class,
        common_genes=args.common_genes,
        missing=args.missing,
        drop=args.drop,
        keep=args.keep,
        duplicates=args.duplicates,
        max_genes=args.max_genes,
    )


def start_report(
    args: argparse.Namespace,
    data: ExpressionData,
    title: str,
    stages: dict[str, float],
    **settled: int,
) -> Report:
    """Return an empty report.

    stages: the work to come and roughly its seconds, for the progress bar.
    settled: options whose defaults depend on the data, as they are now.
    """
    expect(stages)
    tell_of_missing_characters(data)
    given = {name: value for name, value in vars(args).items() if name not in UNRECORDED_OPTIONS}
    return Report(
        title,
        data,
        script=args.script,
        seed=args.seed,
        options=given | settled,
        folder=args.output_dir / args.script,
        figure_format=args.figure_format,
        quiet=args.quiet,
        quick=args.quick,
    )


def tell_of_missing_characters(data: ExpressionData) -> None:
    """Say which characters of names no figure will show; let the others be shown."""
    names = {*data.classes, *data.subgroups, *data.gene_names, *map(str, data.y_all.index)}
    if data.batches is not None:
        names |= set(data.batches)
    if missing := choose_fonts(names):
        characters = join_first(sorted(missing), MAX_CHARACTERS)
        with tqdm.external_write_mode(file=sys.stderr):
            say(
                f"note: figures: no installed font has {characters}, shown as boxes; install one "
                "that has, such as Noto Sans CJK for Chinese, Japanese and Korean",
                stream=sys.stderr,
            )
