"""What surrounds the analysis of a script: its data, its report, and how it ends."""

import argparse
import functools
import inspect
import sys
from collections.abc import Callable, Sequence

from sklearn import config_context
from threadpoolctl import threadpool_limits

from expression.data import ExpressionData
from expression.errors import DataError, refusal
from expression.parallel import expect, workers
from expression.reading.load import load_expression_data
from expression.running.report import Report
from expression.running.style import theme

# Not in the record of a result: what changes no number, and where the input is (it has a checksum)
UNRECORDED_OPTIONS = {
    *("data_dir", "train", "test", "labels"),
    *("output_dir", "jobs", "scheduler", "quiet", "figure_format", "counts"),
}


def command_line(parse_args: Callable[[Sequence[str] | None], argparse.Namespace]):
    """Decorate a script's ``main(args) -> None`` into ``main(argv=None) -> int``, a whole command.

    The theme of the figures, the processes and the progress bar are set here; what stops a script
    is told in one line, with its exit status.
    """

    def decorate(main: Callable[[argparse.Namespace], None]):
        @functools.wraps(main)
        def command(argv: Sequence[str] | None = None) -> int:
            args = parse_args(argv)
            # One thread, as sums in another order are other bytes; and no checks of what is
            # checked already, a fifth of the time where matrices are as small as these.
            fast = config_context(assume_finite=True, skip_parameter_validation=True)
            work = workers(args.jobs, not args.quiet, args.scheduler)
            try:
                with theme(), threadpool_limits(1), fast, work:
                    main(args)
                return 0
            except KeyboardInterrupt:
                print("interrupted: no output is half-written", file=sys.stderr)
                return 130
            except DataError as error:
                message = error
            except OSError as error:
                where, found = error.filename or "system", error.strerror or error
                advice = "free disk space or memory, and run again"
                message = refusal(where, "must be usable", found, advice)
            print(f"error: {message}", file=sys.stderr)
            return 2

        return command

    return decorate


def load_data(args: argparse.Namespace) -> ExpressionData:
    """Return the data the shared options name, and settle the counts that depend on them."""
    names = inspect.signature(load_expression_data).parameters  # those of the options
    data = load_expression_data(**{name: getattr(args, name) for name in names})
    for count in args.counts:
        name = count.option.removeprefix("--").replace("-", "_")
        if getattr(args, name) is None:
            setattr(args, name, count.default_for(len(data.y_all)))
    return data


def start_report(
    args: argparse.Namespace, data: ExpressionData, title: str, stages: dict[str, float]
) -> Report:
    """Return an empty report; `stages`: the work to come and roughly its seconds, for the bar."""
    expect(stages)
    return Report(
        title,
        data,
        folder=args.output_dir / args.script,
        options={k: v for k, v in vars(args).items() if k not in UNRECORDED_OPTIONS},
        figure_format=args.figure_format,
        quiet=args.quiet,
    )
