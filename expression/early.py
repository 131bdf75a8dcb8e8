"""The first import of every script: an interrupt during all others is one line, too."""

import sys


def tell_interrupt(kind, error, traceback) -> None:
    """Tell what stops a script as Python does, but an interrupt in one line, with status 130."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    print("interrupted: no output is half-written", file=sys.stderr)
    sys.exit(130)


sys.excepthook = tell_interrupt
