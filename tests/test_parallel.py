"""Work spread over processes: the same results in the same order, here and on a cluster."""

import functools
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from expression import parallel
from expression.errors import DataError
from expression.parallel import expect, run_parallel, workers

ROOT = Path(__file__).resolve().parents[1]
calls = itertools.count(1)  # of a worker


def square(number: int) -> tuple:
    return number**2, os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.usefixtures("processes")
def test_results_are_the_same_in_the_same_order_with_any_number_of_jobs(jobs):
    with workers(jobs, progress=True):
        found = run_parallel(square, ((i,) for i in range(20)), "squares")
        assert run_parallel(square, [], "nothing") == []
    assert [number for number, _ in found] == [i**2 for i in range(20)]
    assert ({process for _, process in found} == {os.getpid()}) == (jobs == 1)


def test_work_of_a_moment_starts_no_process_and_longer_work_is_handed_over(monkeypatch):
    with workers(2, progress=False):
        monkeypatch.setattr(parallel, "START", 3_600)
        found = run_parallel(square, [(i,) for i in range(4)], "quick")
        assert {process for _, process in found} == {os.getpid()}
        monkeypatch.setattr(parallel, "START", 0.5)
        seconds = [(0.15,)] * 6
        found = run_parallel(sleep, seconds, "longer")  # of the first 0.15 s follow 0.75 s
        assert [pid == os.getpid() for pid in found] == [True] + [False] * 5
        assert os.getpid() not in run_parallel(sleep, seconds, "later")


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def file_behind(table: pd.DataFrame, number: int) -> str | None:
    """Return the file that is mapped into memory for the values of a table."""
    values = table.to_numpy()
    while values is not None and not isinstance(values, np.memmap):
        values = values.base
    return None if values is None else values.filename


@pytest.mark.usefixtures("processes")
def test_processes_share_one_copy_of_a_table():
    table = pd.DataFrame(np.ones((50, 5_000)))
    with workers(2, progress=False):
        files = run_parallel(file_behind, [(table, i) for i in range(6)], "files")
    assert len(set(files)) == 1
    assert None not in files


# --- where processes cannot work ------------------------------------------------------------------

X = np.ones((20, 10_000))  # so large that processes share a file of it


def sum_row(values: np.ndarray, row: int, here: int, what_happens: str) -> tuple:
    """Return a sum and the process; in other processes than `here` something happens, once in a
    while."""
    if os.getpid() != here and row > 9:
        if what_happens == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if what_happens == "no memory":
            raise MemoryError
    return values[row].sum() + row, os.getpid()


def deny(*given):
    raise OSError(30, "Read-only file system")


@pytest.mark.parametrize(
    ("what_happens", "reason"),
    [
        ("killed", "one was killed, as for want of memory"),
        ("no memory", "MemoryError"),
        ("no folder", "FileNotFoundError: .*'/proc/nowhere'"),
        ("no semaphore", "Read-only file system"),
    ],
)
@pytest.mark.usefixtures("processes")
def test_work_goes_on_in_one_process_where_others_cannot_work(
    monkeypatch, capfd, what_happens, reason
):
    if what_happens == "no folder":
        monkeypatch.setenv("JOBLIB_TEMP_FOLDER", "/proc/nowhere")
    if what_happens == "no semaphore":
        monkeypatch.setattr(parallel.multiprocessing, "Lock", deny)
    tasks = [(X, row, os.getpid(), what_happens) for row in range(20)]
    with workers(2, progress=False):
        found = run_parallel(sum_row, tasks, "first")
        again = run_parallel(sum_row, tasks, "again")
    assert [value for value, _ in found] == [10_000 + row for row in range(20)]
    assert {pid for _, pid in again} == {os.getpid()}
    _, stderr = capfd.readouterr()
    [line] = stderr.splitlines()
    assert re.match(f"note: processes: cannot be used here - .*{reason}; going on with one", line)

    assert "--jobs 1" in line
    with workers(1, progress=False):
        run_parallel(sum_row, tasks, "as the note says")
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("processes")
def test_an_error_of_a_task_is_no_error_of_its_process(capfd):
    with workers(2, progress=False), pytest.raises(ZeroDivisionError):
        run_parallel(divmod, [(1, 1), (1, 0)], "failing")
    assert capfd.readouterr().err == ""


SLEEPER = """
import time
from expression import parallel

parallel.START = -1
with parallel.workers(2, progress=False):
    parallel.run_parallel(time.sleep, [(3_600,)] * 4, "endless")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_script_leaves_no_process(number):
    script = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    children = []
    while sum("LokyProcess" in " ".join(child.cmdline()) for child in children) < 2:
        assert script.poll() is None
        time.sleep(0.1)
        children = psutil.Process(script.pid).children(recursive=True)
    script.send_signal(number)
    script.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    for child in alive:
        child.kill()
    assert not alive


# --- progress ------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "progress"), [(Terminal, False), (io.StringIO, True)])
def test_no_progress_shows_on_other_than_a_terminal_or_when_unwanted(monkeypatch, stream, progress):
    monkeypatch.setattr(sys, "stderr", stream())
    with workers(1, progress):
        run_parallel(pow, [(2, 3)], "cubes")
    assert sys.stderr.getvalue() == ""


def done() -> float:
    return round(parallel._workers.get().progress.n, 6)


def test_one_bar_moves_with_the_expected_seconds(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with workers(1, progress=True):
        assert "reading" in sys.stderr.getvalue()  # from the first moment on
        expect({"short": 1, "skipped": 2, "long": 4, "drawing": 1})
        assert run_parallel(done, [()] * 2, "short") == [0, 1 / 16]
        run_parallel(done, [()], "unexpected")
        assert done() == 1 / 8
        assert run_parallel(done, [()] * 2, "long") == [3 / 8, 5 / 8]
        assert done() == 7 / 8
    assert " 0% |" in sys.stderr.getvalue()
    assert " left: long" in sys.stderr.getvalue()
    assert " left: drawing" in sys.stderr.getvalue()  # no stage of ours, but what is now under way


# --- a cluster -----------------------------------------------------------------------------------


@pytest.fixture
def scheduler(cluster, monkeypatch):
    """The address of a Dask scheduler with two workers, for which even a busy machine has time."""
    monkeypatch.setattr(parallel, "PATIENCE", 3_600)
    return cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a Dask scheduler with two workers, each a process."""
    folder = tmp_path_factory.mktemp("cluster")
    file, dask = folder / "scheduler.json", [sys.executable, "-m", "dask"]
    local = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", file]
    worker = [*dask, "worker", *local, "--no-nanny", "--nthreads", "1", "--local-directory", folder]
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    options = {"env": os.environ | path, "cwd": folder, "stderr": subprocess.DEVNULL}
    commands = [[*dask, "scheduler", "--port", "0", *local], worker, worker]
    processes = [subprocess.Popen(command, **options) for command in commands]
    try:
        deadline = time.monotonic() + 3_600
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def count_row(X: np.ndarray, table: pd.DataFrame, i: int) -> tuple:
    return X[i].sum(), table.iloc[i, 0]


def test_a_cluster_returns_and_raises_the_same_and_gets_what_is_shared_once(scheduler):
    X = np.arange(60_000.0).reshape(30, 2_000)
    tasks, keys = [(X, pd.DataFrame(X), i) for i in range(30)], set()
    with workers(1, progress=False, scheduler=scheduler):
        own = parallel._workers.get()
        client, sent = own.client, own.sent
        client.wait_for_workers(2, timeout=3_600)
        for _ in range(2):
            found = run_parallel(count_row, tasks, "rows")
            assert found == [(X[i].sum(), X[i, 0]) for i in range(30)]
            keys |= {future.key for _, future in sent.values()}
        assert os.getpid() not in run_parallel(os.getpid, [()] * 4, "pids")
        with pytest.raises(ZeroDivisionError):
            run_parallel(divmod, [(1, 1), (1, 0)], "failing")
        assert run_parallel(divmod, [], "nothing") == []
    assert len(keys) == 1  # of X alone: each task has a table of its own


def call_and_die_once(*args, died: Path, call=parallel.call, **options):
    """Call as `parallel.call` does, in a worker that is killed in the midst of it, once."""
    result = call(*args, **options)
    if next(calls) == 3:
        with suppress(FileExistsError):  # where the other worker came first, in the same moment
            died.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
    return result


def test_a_script_writes_the_same_bytes_on_a_cluster_that_loses_a_worker(
    scheduler, tmp_path, monkeypatch
):
    import pca_plot  # here, as workers import this file, too

    monkeypatch.setattr("expression.running.report.Report.add_figure", lambda *figure: None)
    argv = ["--quiet", "--permutations", "20", "--folds", "5", "--output-dir"]
    assert pca_plot.main([*argv, str(tmp_path / "here"), "--jobs", "1"]) == 0
    dying = functools.partial(call_and_die_once, died=tmp_path / "died")
    monkeypatch.setattr(parallel, "call", dying)
    assert pca_plot.main([*argv, str(tmp_path / "there"), "--scheduler", scheduler]) == 0
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / place / "pca_plot").iterdir()}
        for place in ("here", "there")
    )
    assert here == there
    assert (tmp_path / "died").exists(), "no worker was killed"


def test_a_cluster_without_workers_is_not_waited_for(scheduler, monkeypatch):
    def none_arrives(count, timeout):
        raise TimeoutError

    with workers(1, progress=False, scheduler=scheduler):
        monkeypatch.setattr(parallel._workers.get().client, "wait_for_workers", none_arrives)
        monkeypatch.setattr(parallel, "PATIENCE", 0.2)
        with pytest.raises(DataError, match=f"^--scheduler: must .* - {scheduler}: no worker; "):
            run_parallel(time.sleep, [(2,)], "long")


def test_a_lost_scheduler_is_told_in_one_line(scheduler, capfd):
    """The last test with this scheduler."""
    with workers(1, progress=False, scheduler=scheduler):
        pid = parallel._workers.get().client.run_on_scheduler(os.getpid)
        with pytest.raises(DataError, match=r"^--scheduler: must .* - lost the scheduler; "):
            run_parallel(os.kill, [(pid, signal.SIGKILL)], "fatal")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("tcp://127.0.0.1:9", "tcp://127.0.0.1:9: no answer; start"),
        ("localhost", "localhost: miss"),
    ],
)
def test_an_address_where_nobody_answers_is_refused(monkeypatch, address, found):
    monkeypatch.setattr(parallel, "PATIENCE", 0.3)
    rule = "--scheduler: must be the address of a Dask scheduler with a worker"
    with pytest.raises(DataError, match=f"^{rule} - {found}"):
        parallel.connect(address)


def test_without_the_package_the_advice_is_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DataError, match=r"pip install -r requirements-distributed\.txt"):
        parallel.connect("tcp://127.0.0.1:9")
