"""The scripts as their users run them: other cohorts, bad input, full disks, interrupts, kills."""

import csv
import importlib
import io
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from expression.data import DATA_DIR, LABELS_FILE, TEST_FILE, TRAIN_FILE
from expression.models import MODELS
from expression.report import Report

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("classifier_models", "explainability", "clustering_analysis", "pca_plot")
SIZES = ("--components", "--genes")  # counts that are not of repetitions
PATIENCE = 120  # seconds, for what takes two
# A process of its own, where a warning is an error; a script in it has the small models, too.
PYTHON = [sys.executable, "-W", "error", "-c"]
SMALL_SCRIPT = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.test_robustness import MODELS, small_models
MODELS.update(small_models())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def small_models() -> dict:
    """The models with a grid of one point, and few trees."""
    small = {}
    for name, model in MODELS.items():
        grid = {key: values[-1:] for key, values in (model.grid or {}).items()}
        trees = {"model__n_estimators": [10]} if name in ("Random Forest", "XGBoost") else {}
        small[name] = model._replace(grid=model.grid and grid | trees)
    return small


def quick(script: str) -> list[str]:
    """As little work as the script accepts."""
    counts = importlib.import_module(script).parse_args([]).counts
    least = [(c.option, str(c.least)) for c in counts if c.option not in SIZES]
    return ["--jobs", "1", *(text for pair in least for text in pair)]


def run_here(script: str, capsys, *argv) -> subprocess.CompletedProcess:
    """Run a script in this process."""
    capsys.readouterr()
    try:
        status = importlib.import_module(script).main(list(map(str, argv)))
    except SystemExit as refused:
        status = refused.code
    return subprocess.CompletedProcess([], status, *capsys.readouterr())


def run_alone(script: str, *argv, **options) -> subprocess.CompletedProcess:
    """Run a script in a process of its own."""
    command = [*PYTHON, SMALL_SCRIPT, str(ROOT / f"{script}.py"), *map(str, argv)]
    options |= {"capture_output": True, "text": True, "timeout": PATIENCE}
    return subprocess.run(command, check=False, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_refused(finished: subprocess.CompletedProcess, *words: str) -> None:
    """Assert exit status 2 and one line on stderr that has the words."""
    assert finished.returncode == 2, finished.stderr
    assert finished.stdout == ""
    assert finished.stderr.startswith("error: ")
    assert finished.stderr.count("\n") == 1
    assert finished.stderr.endswith("\n")
    assert all(word in finished.stderr for word in words), finished.stderr


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    for name, model in small_models().items():
        monkeypatch.setitem(MODELS, name, model)


@pytest.fixture
def outputs(tmp_path):
    """An outputs folder in which every script has results already."""
    for script in SCRIPTS:
        (tmp_path / "outputs" / script).mkdir(parents=True)
        (tmp_path / "outputs" / script / "metrics.txt").write_text("earlier results\n")
    return tmp_path / "outputs"


# --- other people's cohorts -----------------------------------------------------------------------


def simulate(counts: dict[str, int], seed: int, first: int, log: bool = False) -> pd.DataFrame:
    """Return a row a patient, a column of classes, 100 genes; 20 differ between the classes."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(list(counts), list(counts.values()))
    genes = np.random.default_rng(1).normal(9, 1.5, 100)
    X = genes + rng.normal(0, 1, (len(classes), 100))
    X[:, :20] += 2 * (classes == list(counts)[1])[:, None]
    patients = pd.Index([f"S/{first + i}-µ" for i in range(len(classes))], name="sample")
    table = pd.DataFrame(X if log else 2**X, patients, [f"ENSG{i:05d}.1" for i in range(100)])
    table.insert(0, "diagnosis", classes)
    return table.round(3)


def write_twelve_patients(folder: Path) -> list:
    """Six and six without a test set, class names that tempt a file name, LaTeX or a formula."""
    names = {"non/responder $x_1$": 6, '=HYPERLINK("a")..\\{': 6}
    simulate(names, 2, 0).to_csv(folder / "patients.csv")
    return ["--train", folder / "patients.csv"]


def write_twenty_to_six(folder: Path) -> list:
    """Twenty healthy, six ill; log2 values as GCT with CLS; another positive class; a test set with
    a gene less."""
    for name, counts, first in (
        ("train", {"healthy": 20, "ill": 6}, 0),
        ("test", {"healthy": 5, "ill": 3}, 100),
    ):
        table = simulate(counts, first, first, log=True).iloc[:, : 100 if first else None]
        classes = table.pop("diagnosis")
        genes = table.T.reset_index(names="Name")
        genes.insert(1, "Description", "na")
        head = f"#1.2\n{table.shape[1]}\t{table.shape[0]}\n"
        (folder / f"{name}.gct").write_text(head + genes.to_csv(sep="\t", index=False))
        codes = " ".join(str(list(counts).index(c)) for c in classes)
        (folder / f"{name}.cls").write_text(f"{len(table)} 2 1\n# {' '.join(counts)}\n{codes}\n")
    labels = [folder / "train.cls", folder / "test.cls"]
    return ["--train", folder / "train.gct", "--test", folder / "test.gct", "--labels", *labels,
            "--expression", "log", "--common-genes", "--positive-class", "healthy"]  # fmt: skip


COHORTS = {
    write_twelve_patients: (["non/responder $x_1$", '=HYPERLINK("a")..\\{'], "no test patients"),
    write_twenty_to_six: (["ill", "healthy"], "Only the 99 genes in both files are used"),
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("write", COHORTS, ids=lambda write: write.__name__[6:])
def test_all_scripts_run_on_other_cohorts(tmp_path, capsys, monkeypatch, script, write):
    argv = [*write(tmp_path), *quick(script), "--output-dir", tmp_path / "outputs"]
    if write is write_twelve_patients:  # as a command, once a script
        finished = run_alone(script, *argv, cwd="/")
    else:
        monkeypatch.setattr(Report, "add_figure", lambda report, name, figure: plt.close(figure))
        finished = run_here(script, capsys, *argv)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    written = contents(tmp_path / "outputs")
    text = written[f"{script}/metrics.txt"].decode()
    record = json.loads(written[f"{script}/metrics.json"])
    names, note = COHORTS[write]
    assert note in text
    assert any(name in text for name in names)
    assert len(record["input_sha256"]) == 64
    assert str(tmp_path) not in json.dumps(record)
    for name, content in written.items():
        if name.endswith(".csv"):
            rows = csv.reader(io.StringIO(content.decode()))
            assert not [cell for row in rows for cell in row if cell.startswith(("=", "@"))], name


# --- bad input ------------------------------------------------------------------------------------


def shipped_folder(folder: Path) -> Path:
    for name in (TRAIN_FILE, TEST_FILE, LABELS_FILE):
        (folder / name).write_bytes((DATA_DIR / name).read_bytes())
    return folder


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_damaged_file_is_one_line_and_changes_nothing(tmp_path, outputs, capsys, script):
    folder = shipped_folder(tmp_path)
    content = (folder / TRAIN_FILE).read_bytes()
    (folder / TRAIN_FILE).write_bytes(content[: len(content) // 2])
    before = contents(outputs)
    finished = run_here(script, capsys, "--data-dir", folder, "--output-dir", outputs)
    assert_refused(finished, TRAIN_FILE)
    assert contents(outputs) == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--data-dir", "nowhere"], ["nowhere", "no such file", "--data-dir"]),
        (["--train", DATA_DIR / TRAIN_FILE], ["--labels", "must name the file of classes"]),
        (["--train", DATA_DIR / LABELS_FILE], [LABELS_FILE]),
        (["--labels", os.devnull], [os.devnull, "must be a table"]),
        (["--positive-class", "CML"], ["--positive-class", "ALL or AML", "'CML'"]),
        (["--expression", "log"], ["log2 values", "--expression intensity"]),
        (["--expression", "ratio"], ["--expression", "ratio"]),
        (["--seed", "-1"], ["--seed"]),
        (["--output-dir", "/dev/null/x"], ["/dev/null", "--output-dir"]),
    ],
    ids=lambda value: " ".join(str(v) for v in value) if isinstance(value, list) else None,
)  # fmt: skip
def test_bad_input_is_one_line_and_changes_nothing(outputs, capsys, argv, words):
    before = contents(outputs)
    assert_refused(run_here("pca_plot", capsys, "--output-dir", outputs, *argv), *words)
    assert contents(outputs) == before


# --- nothing lost ---------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_changes_nothing(tmp_path, outputs):
    argv = [*write_twelve_patients(tmp_path), *quick("pca_plot"), "--output-dir", outputs]
    before = contents(outputs)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    assert_refused(run_alone("pca_plot", "--quiet", *argv, preexec_fn=limit), "too large")
    assert contents(outputs) == before
    assert sorted(path.name for path in outputs.iterdir()) == sorted(SCRIPTS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_one_line(outputs, capsys):
    (outputs / "pca_plot").chmod(0o500)
    finished = run_here("pca_plot", capsys, "--output-dir", outputs)
    (outputs / "pca_plot").chmod(0o700)
    assert_refused(finished, "pca_plot", "ermission")


WRITER = f"""
import itertools, sys
sys.path.insert(0, {str(ROOT)!r})
from expression.data import load_expression_data
from expression.options import command_line, make_parser, start_report

def parse_args(argv):
    return make_parser("Write the same files for ever.", "writer").parse_args(argv)

@command_line(parse_args)
def main(args):
    report = start_report(args, load_expression_data(), "A title", {{}})
    for letter in itertools.cycle("ab"):
        report.files = {{f"{{i}}.txt": (letter * 3_000_000).encode() for i in range(4)}}
        report.text = [letter * 1_000_000]
        report.write()
        print("ready", flush=True)

sys.exit(main())
"""


@pytest.mark.parametrize("moment", [0.05, 0.2])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_a_script_stopped_while_it_writes_leaves_whole_files(tmp_path, how, moment):
    def interruptible():  # also where this process ignores interrupts, in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [*PYTHON, WRITER, "--quiet", "--output-dir", str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=interruptible, **pipes) as writer:
        try:
            assert select.select([writer.stdout], [], [], PATIENCE)[0], "never ready"
            assert writer.stdout.readline() == "ready\n"
            time.sleep(moment)
            for _ in range(PATIENCE):  # an interrupt amid the renaming lets it come to its end
                writer.send_signal(how)
                with suppress(subprocess.TimeoutExpired):
                    _, stderr = writer.communicate(timeout=1)
                    break
        finally:
            writer.kill()
    if how == signal.SIGINT:
        assert writer.returncode == 130
        assert stderr == "interrupted: earlier outputs are as they were\n"
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["writer"]
    written = contents(tmp_path / "writer")
    assert len(written) == 6
    for name, content in written.items():
        assert content, name
        if name.endswith(".json"):
            assert json.loads(content)["script"] == "writer.py"
        else:
            assert len(set(content)) == 1, name
            assert len(content) in (3_000_000, 1_000_000), name
