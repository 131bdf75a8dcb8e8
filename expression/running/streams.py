"""Standard output and error as a script finds them: without dashes, closed, or none at all."""

import codecs
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TextIO

PLAIN = {"–": "-", "—": "-", "×": "x", "…": "...", "±": "+/-", "≥": ">=", "≤": "<=", "µ": "u"}


def in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding does not have, and where they end."""
    missing = error.object[error.start : error.end]
    return "".join(plain_character(character) for character in missing), error.end


def plain_character(character: str) -> str:
    """Return the like of a character in ASCII: its letter without accents, or a question mark."""
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return PLAIN.get(character) or letters or "?"


codecs.register_error("plain_characters", in_plain_characters)


@contextmanager
def usable_streams() -> Iterator[None]:
    """Let everything be printed inside, or be lost where nobody could read it, without an error."""
    for number in range(3):
        keep_open(number)
    with ExitStack() as afterwards:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", False):
                nowhere = afterwards.enter_context(open(os.devnull, "w", encoding="utf-8"))
                setattr(sys, name, nowhere)
                afterwards.callback(setattr, sys, name, stream)
            elif hasattr(stream, "reconfigure"):
                afterwards.callback(set_errors, stream, stream.errors)
                set_errors(stream, "plain_characters")
        yield


def set_errors(stream: TextIO, errors: str) -> None:
    """Set what becomes of characters that the encoding of a stream does not have."""
    with suppress(OSError, ValueError):  # it was closed meanwhile, or cannot be written to
        stream.reconfigure(errors=errors)


def keep_open(number: int) -> None:
    """Open a closed standard stream of the system, else the next file or pipe would become it."""
    try:
        os.fstat(number)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        os.set_inheritable(number, True)


def say(*texts: str, stream: TextIO, **how) -> OSError | None:
    """Print texts; where that fails nothing is printed there any more, and the error returned."""
    try:
        print(*texts, file=stream, flush=True, **how)
    except OSError as error:
        with suppress(OSError):  # of no file, as in a notebook
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return error
    return None
