"""How work is spread over processes, here or on a Dask cluster: settled once, around a script.

    with workers(jobs=2, progress=True):
        expect({"tuning": 5, "refitting": 60})
        results = run_parallel(function, tasks, "tuning")

Inside a task one thread works (in this process, as its caller has it: see command.py), so that no
result depends on where and on how many processes it was computed. What several tasks share is no
copy of each: processes of this machine read one file (joblib's memory-mapping), a cluster gets it
once. So a task holds the whole matrix, the same object as the other tasks, and says by position
which patients and genes it is about.

Where the machine has no room for other processes, or kills one, the work goes on in this one. None
outlives a script that is killed.
"""

import asyncio
import logging
import multiprocessing
import os
import pickle
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field

import joblib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from expression.errors import DataError, refusal

PATIENCE = 10  # seconds to wait for a scheduler, and for its first worker
START = 3  # seconds that processes need for their imports; work that takes less is done here
WATCH = 1  # seconds until a process notices that the script was killed
# What goes wrong with processes, rather than in a task: no room for what they share, no permission
# to start them, or one that was killed
PROCESS_ERRORS = (OSError, MemoryError, BrokenExecutor, pickle.PicklingError)


class Progress(tqdm):
    """One bar for a whole script: how much of the expected seconds is done, and the time left."""

    def __init__(self, hidden: bool):
        self.stages: dict[str, float] = {}
        super().__init__(
            total=1,
            desc="reading",
            leave=False,
            disable=hidden or None,  # None: hidden unless stderr is a terminal
            miniters=0,
            smoothing=0,  # the time left follows from the whole run so far
            bar_format="{percentage:3.0f}% |{bar}| {elapsed}, {remaining} left: {desc}",
        )

    def move(self, stage: str, share: float) -> None:
        """Show that a share of a stage is done, and all stages before it."""
        self.set_description_str(stage, refresh=share == 0)
        names, seconds = list(self.stages), list(self.stages.values())
        if stage in names:
            number = names.index(stage)
            done = sum(seconds[:number]) + share * seconds[number]
            self.update(done / sum(seconds) - self.n)
            if share == 1 and stage != names[-1]:
                self.set_description_str(names[number + 1])


@dataclass
class Workers:
    """How many processes work here, or which cluster instead, and the bar that shows it."""

    jobs: int = 1
    client: "distributed.Client | None" = None  # noqa: F821 (an optional package)
    progress: Progress | None = None
    sent: dict = field(default_factory=dict)  # to the cluster, by identity: a value and its future
    started: bool = False  # processes have worked


_workers: ContextVar[Workers] = ContextVar("workers")


@contextmanager
def workers(jobs: int | None, progress: bool, scheduler: str | None = None) -> Iterator[None]:
    """Let every `run_parallel` inside work on `jobs` processes (None: one a core), or on a cluster.

    Raises DataError when no scheduler with a worker answers at the address.
    """
    cluster = connect(scheduler) if scheduler else nullcontext()
    with cluster as client, Progress(hidden=not progress) as bar:
        before = _workers.set(Workers(jobs or joblib.cpu_count(), client, bar))
        try:
            yield
        finally:
            _workers.reset(before)


def connect(scheduler: str):
    """Return a client of the Dask scheduler at an address such as tcp://127.0.0.1:8786."""
    try:
        import dask
        import distributed
    except ImportError:
        rule, found = "needs the package distributed", "it is missing"
        advice = "pip install -r requirements-distributed.txt"
        raise refusal("--scheduler", rule, found, advice) from None

    async def identify():  # a client that found nobody would not go in peace
        async with distributed.rpc(scheduler) as answering:
            return await answering.identity()

    try:
        kind = asyncio.run(asyncio.wait_for(identify(), PATIENCE))["type"]
        if kind != "Scheduler":
            raise ValueError(f"a {kind}")
        # dask warns of tasks from 10 MB; and the matrix is large
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # one line is enough
        client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise no_cluster(f"{scheduler}: {str(error) or 'no answer'}") from None
    try:
        await_worker(client)
    except DataError:
        client.close()
        raise
    return client


def await_worker(client) -> None:
    """Raise when the cluster has no worker, nor gets one soon."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except OSError:  # a TimeoutError, too
        raise no_cluster(f"{client.scheduler.address}: no worker") from None


def no_cluster(found: str) -> DataError:
    rule = "must be the address of a Dask scheduler with a worker"
    return refusal("--scheduler", rule, found, "start them as README.md says, or leave it out")


def expect(stages: dict[str, float]) -> None:
    """Announce the stages to come: by the label of their `run_parallel`, roughly their seconds, of
    which only the proportions matter. Other labels stand for work besides, such as drawing.
    """
    if (bar := _workers.get(Workers()).progress) is not None:
        bar.stages = stages


def run_parallel(function: Callable, tasks: Iterable[tuple], label: str) -> list:
    """Return ``[function(*task) for task in tasks]``, with `label` on the progress bar.

    Other processes are started when the rest would take longer here than they need to start, as
    the time of the first tasks tells.
    """
    tasks = list(tasks)
    current = _workers.get(Workers())

    def show(share: float) -> None:
        if current.progress is not None:
            current.progress.move(label, share)

    show(0)
    if current.client is not None:
        return run_on_cluster(function, tasks, current, show)
    results = run_until_processes_pay(function, tasks, current, show)
    if len(results) < len(tasks):
        current.started = True
        try:
            for result in run_on_processes(function, tasks[len(results) :], current.jobs):
                results.append(result)
                show(len(results) / len(tasks))
        except PROCESS_ERRORS as error:
            current.jobs = 1
            tell_of_one_process(error)
    for task in tasks[len(results) :]:
        results.append(function(*task))
        show(len(results) / len(tasks))
    return results


def run_on_processes(function: Callable, tasks: list[tuple], jobs: int) -> Iterator:
    """Yield the results of tasks, in their order, from processes of this machine."""
    multiprocessing.Lock()  # raises where they can share none: joblib would work in threads then
    with (
        warnings.catch_warnings(),
        joblib.parallel_config(
            "loky",
            n_jobs=jobs,
            inner_max_num_threads=1,
            initializer=end_with_parent,
            initargs=(os.getpid(),),
        ),
    ):
        # A process that holds too much memory is replaced, which changes no result
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
        calls = (delayed(function)(*task) for task in tasks)
        yield from Parallel(return_as="generator")(calls)


def end_with_parent(parent: int) -> None:
    """Let this process end when the one that started it does, however that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def tell_of_one_process(error: BaseException) -> None:
    """Say that processes failed, and that the work goes on without."""
    if isinstance(error, BrokenExecutor):
        reason = "one was killed, as for want of memory"
    else:
        # Of what happened in a thread or process of joblib the cause is a whole traceback
        text = str(error.__cause__ or error) or type(error).__name__
        reason = text.strip('"\n ').splitlines()[-1]
    with tqdm.external_write_mode(file=sys.stderr):
        print(
            f"note: processes: cannot be used here - {reason}; going on with one, which takes "
            "longer and gives the same results (so from the start: --jobs 1)",
            file=sys.stderr,
        )


def run_until_processes_pay(
    function: Callable, tasks: list[tuple], current: Workers, show: Callable[[float], None]
) -> list:
    """Return the results of the first tasks, computed here: of all where no process would pay."""
    results = []
    begin = time.perf_counter()
    for task in tasks:
        seconds_a_task = (time.perf_counter() - begin) / max(1, len(results))
        seconds_left = seconds_a_task * (len(tasks) - len(results))
        if current.jobs > 1 and (current.started or seconds_left > START):
            break
        results.append(function(*task))
        show(len(results) / len(tasks))
    return results


def run_on_cluster(
    function: Callable, tasks: list[tuple], current: Workers, show: Callable[[float], None]
) -> list:
    """Return what `run_parallel` does; what is lost with a worker is computed by another.

    Joblib's backend for Dask scatters large arguments, which are lost with the worker that holds
    them; and it falls back to this process when a single thread is left.
    """
    from distributed import as_completed

    client = current.client
    share_values(tasks, current)
    futures = []
    for task in tasks:
        arguments = [sent_value(value, current) for value in task]
        futures.append(client.submit(call, function, arguments, pure=False))

    results = {}
    heard = time.monotonic()
    waiting = as_completed(futures, loop=client.loop, with_results=True)
    while not waiting.is_empty():
        if waiting.has_ready():
            future, result = next(waiting)
            if future.cancelled():  # not "lost": its worker died after the result was here
                raise no_cluster("lost the scheduler")
            results[future.key] = result
            heard = time.monotonic()
            show(len(results) / len(tasks))
        elif time.monotonic() - heard > PATIENCE:
            await_worker(client)
            heard = time.monotonic()
        else:
            time.sleep(0.05)
    return [results[future.key] for future in futures]


def sent_value(value, current: Workers):
    """Return what stands for a value on the cluster, if it was sent, else the value."""
    _, future = current.sent.get(id(value), (None, value))
    return future


def share_values(tasks: list[tuple], current: Workers) -> None:
    """Send the cluster, once, what more than one of the tasks holds."""
    values = [value for task in tasks for value in task]
    uses = Counter(map(id, values))
    for value in values:
        is_large = isinstance(value, np.ndarray | pd.DataFrame | pd.Series)
        if is_large and uses[id(value)] > 1 and id(value) not in current.sent:
            # A result, which another worker repeats when the one that holds it is lost; `value` is
            # kept, so that no other gets its identity.
            future = current.client.submit(lambda same: same, value, pure=False)
            current.sent[id(value)] = value, future


def call(function: Callable, arguments: list):
    """Call a function with one thread, as it would have here."""
    with threadpool_limits(1):
        return function(*arguments)
