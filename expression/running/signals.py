"""What stops a script from outside: an interrupt, or a request to end."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def handled(handlers: dict[int, Callable | signal.Handlers]) -> Iterator[None]:
    """Handle signals inside, by number. Outside the main thread, to which they go, nothing is
    changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let a request to end clear up inside, as an interrupt does: files, and other processes."""

    def end(number: int, frame) -> None:
        sys.exit(128 + number)

    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:  # of a program that calls the script
        yield
        return
    with handled({signal.SIGTERM: end}):
        yield


@contextmanager
def not_stopped() -> Iterator[None]:
    """Let what takes a moment come to its end, so that outputs are all earlier ones or all new."""
    with handled({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield
