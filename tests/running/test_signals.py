"""What stops a script from outside: cleared up inside, and a caller's own handling is its own."""

import os
import signal
import threading

import pytest

from expression.running.signals import ended_in_order, not_stopped


def test_a_request_to_end_is_an_exception_with_the_status_of_a_shell():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"), ended_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_caller_that_handles_requests_itself_goes_on_to():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *given: heard.append(given))
    try:
        with ended_in_order():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(heard) == 1


def test_what_takes_a_moment_is_not_stopped():
    with not_stopped():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_in_a_thread_signals_are_left_alone():
    seen = []

    def work():
        with ended_in_order(), not_stopped():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
