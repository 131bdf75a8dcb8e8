"""Import pyplot, whatever surrounds a script: its first import reads somebody else's settings.

MPLBACKEND names a backend that may be missing here (a notebook sets it for what it starts), and a
matplotlibrc in the folder or at home may be unreadable. Neither may stop a script. Figures take
nothing from either (see style.py); who else draws in this process, such as the notebook that runs
a script, finds its settings as after an import of its own.
"""

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from expression.errors import refusal

LOGGER = logging.getLogger("matplotlib")


def import_pyplot() -> None:
    """Import pyplot, and leave alone what is imported already.

    Ends the program where matplotlib finds no folder for the list of fonts that it keeps.
    """
    try:
        if "matplotlib" not in sys.modules:
            with own_settings(), only_errors():
                import matplotlib
            take_settings_of_others(matplotlib)
        with only_errors():
            import matplotlib.pyplot
    except OSError:
        error = refusal(
            "MPLCONFIGDIR",
            "must name a folder to write to, where home and temporary folders are none",
            os.environ.get("MPLCONFIGDIR", "not set"),
            "set it, as in: MPLCONFIGDIR=/a/folder python ...",
        )
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Let matplotlib find no settings but those it was installed with.

    It looks for a matplotlibrc in the working directory first, before all variables.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    folder = Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data"
    elsewhere = contextlib.nullcontext()
    with contextlib.suppress(FileNotFoundError):  # the working directory was removed
        os.getcwd()
        if (folder / "matplotlibrc").is_file():  # some distributions put it into /etc
            elsewhere = contextlib.chdir(folder)
    try:
        with elsewhere:
            yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


@contextlib.contextmanager
def only_errors() -> Iterator[None]:
    """Let matplotlib keep to itself what it has to say about settings, folders and fonts."""
    before = LOGGER.level
    LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        LOGGER.setLevel(before)


def take_settings_of_others(matplotlib) -> None:
    """Set what a matplotlibrc and MPLBACKEND say, as far as they can be used."""
    with only_errors(), contextlib.suppress(OSError, ValueError):
        matplotlib.rcParams.update(matplotlib.rc_params())
    if backend := os.environ.get("MPLBACKEND"):
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


import_pyplot()
