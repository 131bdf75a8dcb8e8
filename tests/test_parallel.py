"""Work spread over processes: the same results in the same order, here and on a cluster."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context, get_config

import pca_plot
from expression import parallel
from expression.files import DataError
from expression.parallel import expect, run_parallel, workers

ROOT = Path(__file__).resolve().parents[1]
MARKER = "EXPRESSION_TEST_MARKER"  # of the environment: the file that says a worker died


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
        with suppress(KeyError), workers(1, progress=False):
            assert works_here()
            raise KeyError
        assert not works_here()
    assert works_here()


def test_the_configuration_of_scikit_learn_goes_along():
    with workers(2, progress=False), config_context(assume_finite=True):
        configs = run_parallel(get_config, [()] * 4, "configurations")
    assert [config["assume_finite"] for config in configs] == [True] * 4


def file_behind(values: np.ndarray) -> str | None:
    """Return the file that is mapped into memory for an array, or that it is a view of."""
    while values is not None and not isinstance(values, np.memmap):
        values = getattr(values, "base", None)
    return None if values is None else values.filename


def files_behind(X: np.ndarray, table: pd.DataFrame, number: int) -> tuple:
    return file_behind(X), file_behind(table.to_numpy())


def test_processes_share_one_copy_of_a_matrix():
    X = np.ones((50, 5_000))
    tasks = [(X, pd.DataFrame(X), i) for i in range(6)]
    with workers(2, progress=False):
        files = run_parallel(files_behind, tasks, "files")
    arrays, tables = (set(names) for names in zip(*files, strict=True))
    assert len(arrays) == 1
    assert None not in arrays | tables


# --- progress ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "progress", "shown"),
    [(Terminal, True, True), (Terminal, False, False), (io.StringIO, True, False)],
)
def test_progress_shows_on_a_terminal_alone_and_when_wanted(monkeypatch, stream, progress, shown):
    monkeypatch.setattr(sys, "stderr", stream())
    with workers(1, progress):
        assert ("reading" in sys.stderr.getvalue()) == shown  # from the first moment on
        run_parallel(pow, [(2, 3)], "cubes")
    assert ("cubes" in sys.stderr.getvalue()) == shown
    assert shown or sys.stderr.getvalue() == ""


def done() -> float:
    return round(parallel._workers.get().progress.n, 6)


def test_one_bar_moves_with_the_expected_seconds(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with workers(1, progress=True):
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


def call_and_die_once(*args, call=parallel.call, **options):
    """Call as `parallel.call` does, in a worker that is killed in the midst of it, once."""
    result = call(*args, **options)
    marker = Path(os.environ[MARKER])
    call_and_die_once.calls += 1
    if call_and_die_once.calls == 3 and not marker.exists():
        marker.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return result


call_and_die_once.calls = 0


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a Dask scheduler with two workers, each a process."""
    folder = tmp_path_factory.mktemp("cluster")
    file, dask = folder / "scheduler.json", [sys.executable, "-m", "dask"]
    local = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", file]
    worker = [*dask, "worker", *local, "--no-nanny", "--nthreads", "1", "--local-directory", folder]
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", MARKER: str(folder / "died")}
    options = {"env": os.environ | paths, "cwd": folder, "stderr": subprocess.DEVNULL}
    commands = [[*dask, "scheduler", "--port", "0", *local], worker, worker]
    processes = [subprocess.Popen(command, **options) for command in commands]
    try:
        for _ in range(600):
            if file.exists():
                break
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def count_rows(X: np.ndarray, table: pd.DataFrame, own: np.ndarray, i: int) -> tuple:
    return X[i].sum() + own.sum(), table.iloc[i, 0], os.getpid(), get_config()["assume_finite"]


def test_a_cluster_returns_the_same_and_gets_what_is_shared_once(scheduler, monkeypatch):
    X, rng = np.arange(60_000.0).reshape(30, 2_000), np.random.default_rng(0)
    tasks = [(X, pd.DataFrame(X), rng.normal(size=300), i) for i in range(30)]
    expected = [count_rows(*task)[:2] for task in tasks]
    with workers(1, progress=False, scheduler=scheduler), config_context(assume_finite=True):
        parallel._workers.get().client.wait_for_workers(2, timeout=60)
        sent = parallel._workers.get().sent
        keys = []
        for _ in range(2):
            found = run_parallel(count_rows, tasks, "rows")
            assert [row[:2] for row in found] == expected
            assert all(row[3] for row in found)
            keys += [future.key for _, future in sent.values()]
        assert len(keys) == 2  # of X alone: each task has a table and numbers of its own
        assert keys[0] == keys[1]
        assert os.getpid() not in {row[2] for row in found}


def test_a_script_writes_the_same_bytes_on_a_cluster_that_loses_a_worker(
    scheduler, tmp_path, monkeypatch
):
    argv = ["--quiet", "--permutations", "20", "--output-dir"]
    assert pca_plot.main([*argv, str(tmp_path / "here"), "--jobs", "1"]) == 0
    monkeypatch.setattr(parallel, "call", call_and_die_once)
    assert pca_plot.main([*argv, str(tmp_path / "there"), "--scheduler", scheduler]) == 0
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / place / "pca_plot").iterdir()}
        for place in ("here", "there")
    )
    assert here == there
    assert (tmp_path.parent / "cluster0/died").exists(), "no worker was killed"


def fail(number: int) -> int:
    return 1 // (number - 2)


def test_what_a_task_raises_on_the_cluster_is_raised_here(scheduler):
    with workers(1, progress=False, scheduler=scheduler):
        with pytest.raises(ZeroDivisionError):
            run_parallel(fail, [(i,) for i in range(4)], "failing")
        assert run_parallel(fail, [(3,)], "not failing") == [1]
        assert run_parallel(fail, [], "nothing") == []


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("tcp://127.0.0.1:9", "tcp://127.0.0.1:9: no answer; start"),
        ("localhost", "localhost: missing port number"),
    ],
)
def test_an_address_where_nobody_answers_is_one_line(monkeypatch, capsys, address, found):
    monkeypatch.setattr(parallel, "PATIENCE", 0.3)
    assert pca_plot.main(["--scheduler", address]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: --scheduler: must be the address of a Dask scheduler with a worker - {found}"
    )


def test_without_the_package_the_advice_is_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DataError, match=r"pip install -r requirements-distributed\.txt"):
        parallel.connect("tcp://127.0.0.1:9")
