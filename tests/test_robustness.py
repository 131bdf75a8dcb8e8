"""The scripts as their users run them: other cohorts, bad input, full disks, kills."""

import csv
import importlib
import io
import json
import os
import resource
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expression.data import DATA_DIR, LABELS_FILE, TRAIN_FILE
from expression.models import MODELS

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("classifier_models", "explainability", "clustering_analysis", "pca_plot")
SIZES = ("--components", "--genes")  # counts that are not of repetitions
PATIENCE = 120  # seconds, for what takes two
PYTHON = [sys.executable, "-W", "error"]


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


@pytest.fixture
def outputs(tmp_path):
    """An outputs folder in which a script has results already."""
    (tmp_path / "outputs/pca_plot").mkdir(parents=True)
    (tmp_path / "outputs/pca_plot/metrics.txt").write_text("earlier results\n")
    return tmp_path / "outputs"


# --- other people's cohorts -----------------------------------------------------------------------


def simulate(counts: dict[str, int], seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return log2 values, patients x 100 genes, and classes, between which 20 genes differ."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(list(counts), list(counts.values()))
    X = np.random.default_rng(1).normal(9, 1.5, 100) + rng.normal(0, 1, (len(classes), 100))
    X[:, :20] += 2 * (classes == list(counts)[1])[:, None]
    patients = pd.Index([f"S/{seed}{i:02}-µ" for i in range(len(classes))], name="sample")
    return pd.DataFrame(X, patients, [f"ENSG{i:05d}.1" for i in range(100)]).round(3), classes


def write_twelve_patients(folder: Path) -> list:
    """Six and six without a test set, class names that tempt a file name, LaTeX or a formula."""
    X, classes = simulate({"non/responder $x_1$": 6, '=HYPERLINK("a")..\\{': 6}, 2)
    (2**X).assign(diagnosis=classes).to_csv(folder / "patients.csv")
    return ["--train", folder / "patients.csv"]


def assert_written(outputs: Path, script: str, name: str, note: str) -> None:
    """Assert that the results name a class and say a note, that no cell is a formula, and that the
    record does not say where it was made."""
    written = contents(outputs)
    text = written[f"{script}/metrics.txt"].decode()
    record = json.loads(written[f"{script}/metrics.json"])
    assert note in text
    assert name in text
    assert len(record["input_sha256"]) == 64
    assert str(outputs.parent) not in json.dumps(record)
    for name, content in written.items():
        if name.endswith(".csv"):
            rows = csv.reader(io.StringIO(content.decode()))
            assert not [cell for row in rows for cell in row if cell.startswith(("=", "@"))], name


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_scripts_run_on_few_patients_with_strange_names(tmp_path, capsys, monkeypatch, script):
    for name, model in MODELS.items():  # with a grid of one point, and few trees
        grid = {key: values[-1:] for key, values in (model.grid or {}).items()}
        trees = {"model__n_estimators": [10]} if name in ("Random Forest", "XGBoost") else {}
        monkeypatch.setitem(MODELS, name, model._replace(grid=model.grid and grid | trees))
    # seaborn's swarms lay the whole figure out, once a panel
    monkeypatch.setattr("seaborn.swarmplot", lambda *data, **look: None)
    argv = [*write_twelve_patients(tmp_path), *quick(script), "--output-dir", tmp_path / "outputs"]
    finished = run_here(script, capsys, *argv)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert_written(tmp_path / "outputs", script, "non/responder $x_1$", "no test patients")


def test_a_command_runs_elsewhere_on_other_formats(tmp_path):
    """Twenty healthy, six ill; log2 values as GCT with CLS; another positive class; a test set with
    a gene less."""
    for name, counts, n_genes in (
        ("train", {"healthy": 20, "ill": 6}, 100),
        ("test", {"healthy": 5, "ill": 3}, 99),
    ):
        X, classes = simulate(counts, n_genes)
        genes = X.iloc[:, :n_genes].T.reset_index(names="Name")
        genes.insert(1, "Description", "na")
        head = f"#1.2\n{n_genes}\t{len(X)}\n"
        (tmp_path / f"{name}.gct").write_text(head + genes.to_csv(sep="\t", index=False))
        codes = " ".join(str(list(counts).index(c)) for c in classes)
        (tmp_path / f"{name}.cls").write_text(f"{len(X)} 2 1\n# {' '.join(counts)}\n{codes}\n")
    files = ["--train", "train.gct", "--test", "test.gct", "--labels", "train.cls", "test.cls"]
    files = [text if text.startswith("--") else tmp_path / text for text in files]
    options = ["--expression", "log", "--common-genes", "--positive-class", "healthy"]
    command = [*PYTHON, ROOT / "pca_plot.py", *files, *options, *quick("pca_plot")]
    command += ["--output-dir", tmp_path / "outputs"]
    finished = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=PATIENCE)
    assert (finished.returncode, finished.stderr) == (0, "")
    note = "Only the 99 genes in both files are used"
    assert_written(tmp_path / "outputs", "pca_plot", "healthy", note)


# --- nothing lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--data-dir", "nowhere"], ["nowhere", "no such file", "--data-dir"]),
        (["--data-dir", "half"], [TRAIN_FILE]),
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
def test_bad_input_is_one_line_and_changes_nothing(outputs, capsys, monkeypatch, argv, words):
    half = outputs.parent / "half"
    half.mkdir()
    content = (DATA_DIR / TRAIN_FILE).read_bytes()
    (half / TRAIN_FILE).write_bytes(content[: len(content) // 2])
    monkeypatch.chdir(outputs.parent)
    before = contents(outputs)
    assert_refused(run_here("pca_plot", capsys, "--output-dir", outputs, *argv), *words)
    assert contents(outputs) == before


def test_a_full_disk_is_one_line_and_changes_nothing(tmp_path, outputs, capsys):
    argv = [*write_twelve_patients(tmp_path), *quick("pca_plot"), "--output-dir", outputs]
    before, limits = contents(outputs), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        finished = run_here("pca_plot", capsys, "--quiet", *argv)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_refused(finished, "too large")
    assert contents(outputs) == before
    assert [path.name for path in outputs.iterdir()] == ["pca_plot"]


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


def test_a_script_killed_while_it_writes_leaves_whole_files(tmp_path):
    command = [*PYTHON, "-c", WRITER, "--quiet", "--output-dir", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert select.select([writer.stdout], [], [], PATIENCE)[0], "never ready"
            assert writer.stdout.readline() == "ready\n"
            time.sleep(0.1)
        finally:
            writer.kill()
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["writer"]
    written = contents(tmp_path / "writer")
    assert json.loads(written.pop("metrics.json"))["script"] == "writer.py"
    assert len(written) == 5
    for name, content in written.items():
        assert len(set(content)) == 1, name
        assert len(content) == (1_000_000 if name == "metrics.txt" else 3_000_000), name
