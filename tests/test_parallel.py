"""Work spread over processes: the same results in the same order, and the settings put back."""

import io
import os
import sys

import pytest
from sklearn import config_context, get_config

from expression.parallel import run_parallel, workers


class Terminal(io.StringIO):
    def isatty(self):
        return True


def works_here() -> bool:
    """Tell whether tasks run in this very process."""
    return set(run_parallel(os.getpid, [()] * 4, "pids")) == {os.getpid()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_the_same_in_the_same_order_with_any_number_of_jobs(jobs):
    with workers(jobs, progress=True):
        assert run_parallel(pow, ((i, 2) for i in range(20)), "squares") == [
            i**2 for i in range(20)
        ]
        assert run_parallel(pow, [], "nothing") == []


def test_workers_puts_back_what_was_before():
    assert works_here()
    with workers(2, progress=False):
        assert not works_here()
        with workers(1, progress=False):
            assert works_here()
        assert not works_here()
        with pytest.raises(TypeError), workers(1, progress=False):
            len(works_here())
        assert not works_here()
    assert works_here()


def test_the_configuration_of_scikit_learn_goes_along():
    with workers(2, progress=False), config_context(assume_finite=True):
        configs = run_parallel(get_config, [()] * 4, "configurations")
    assert [config["assume_finite"] for config in configs] == [True] * 4


@pytest.mark.parametrize(
    ("stream", "progress", "shown"),
    [(Terminal, True, True), (Terminal, False, False), (io.StringIO, True, False)],
)
def test_progress_shows_on_a_terminal_alone_and_when_wanted(monkeypatch, stream, progress, shown):
    monkeypatch.setattr(sys, "stderr", stream())
    with workers(1, progress):
        run_parallel(pow, [(2, 3)], "cubes")
    assert ("cubes" in sys.stderr.getvalue()) == shown
    assert shown or sys.stderr.getvalue() == ""
