"""How work is spread over processes: settled once, around a whole script.

    with workers(jobs=2, progress=True):
        results = run_parallel(function, tasks, "what the tasks do")

Inside a task one thread works, so that no result depends on the number of processes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import joblib
from sklearn.utils.parallel import Parallel, delayed  # joblib's, taking the configuration along
from tqdm import tqdm


class Workers(NamedTuple):
    """How many processes work, and whether a terminal sees them progress."""

    jobs: int = 1
    progress: bool = False


_workers: ContextVar[Workers] = ContextVar("workers")


@contextmanager
def workers(jobs: int, progress: bool) -> Iterator[None]:
    """Let every `run_parallel` inside work on `jobs` processes, with a progress bar or without."""
    before = _workers.set(Workers(jobs, progress))
    try:
        yield
    finally:
        _workers.reset(before)


def run_parallel(function: Callable, tasks: Iterable[tuple], label: str) -> list:
    """Return ``[function(*task) for task in tasks]``, computed by the workers.

    A progress bar named `label` shows on stderr when that is a terminal.
    """
    tasks, (jobs, progress) = list(tasks), _workers.get(Workers())
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        results = Parallel(return_as="generator")(delayed(function)(*task) for task in tasks)
        hidden = None if progress else True  # None: hidden unless stderr is a terminal
        return list(tqdm(results, desc=label, total=len(tasks), disable=hidden, leave=False))
