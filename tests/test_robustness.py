"""The scripts as their users run them: other cohorts, bad input, a full disk."""

import csv
import importlib
import io
import json
import os
import re
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expression.analysis.models import MODELS
from expression.reading.load import DATA_DIR, TRAIN_FILE
from expression.running import style
from run_script import contents
from summary import SCRIPTS

# As little work as each script accepts
LEAST = {
    "classifier_models": {"--random-states": 2, "--repeats": 1, "--monte-carlo": 2},
    "explainability": {"--pairs": 2, "--permutations": 1},
    "clustering_analysis": {
        "--clusters": 2,
        "--subsamples": 10,
        "--nulls": 2,
        "--permutations": 1,
    },
    "pca_plot": {"--permutations": 20, "--folds": 2},
}


def quick(script: str) -> list[str]:
    options = [f"{option}={least}" for option, least in LEAST[script].items()]
    return ["--jobs=1", *options]


def run(script: str, capsys, *argv) -> tuple[int, str, str]:
    """Run a script in this process; return its status, and what it prints."""
    capsys.readouterr()
    try:
        status = importlib.import_module(script).main(list(map(str, argv)))
    except SystemExit as refused:
        status = refused.code
    return status, *capsys.readouterr()


def assert_refused(finished: tuple[int, str, str], *words: str) -> None:
    """Assert exit status 2 and one line on stderr that has the words."""
    assert finished[:2] == (2, "")
    assert re.fullmatch("error: .*\n", finished[2])
    assert all(word in finished[2] for word in words), finished


@pytest.fixture
def outputs(tmp_path):
    """An outputs folder in which a script has results already."""
    (tmp_path / "outputs/pca_plot").mkdir(parents=True)
    (tmp_path / "outputs/pca_plot/metrics.txt").write_text("earlier results\n")
    return tmp_path / "outputs"


# --- other people's cohorts -----------------------------------------------------------------------


def simulate(low: int, high: int, seed: int) -> pd.DataFrame:
    """Return log2 values, a row a patient, of 100 genes; 20 are higher in the last patients."""
    rng = np.random.default_rng(seed)
    X = np.random.default_rng(9).normal(9, 1.5, 100) + rng.normal(0, 1, (low + high, 100))
    X[low:, :20] += 2
    patients = pd.Index([f"S/{seed}{i:02}-µ" for i in range(low + high)], name="sample")
    return pd.DataFrame(X, patients, [f"ENSG{i:05d}.1" for i in range(100)])


def write_twelve_patients(folder: Path) -> list:
    """Six and six, no test set, and class names that tempt a file name, LaTeX or a formula."""
    table = 2 ** simulate(6, 6, seed=0)
    table["diagnosis"] = np.repeat(["non/responder $x_1$", '=HYPERLINK("a")..\\{'], 6)
    table.to_csv(folder / "patients.csv")
    return ["--train", folder / "patients.csv"]


def write_gct(folder: Path) -> list:
    """GCT of log2 values with CLS, a gene less in the test set, the commoner class positive."""
    argv = ["--expression", "log", "--common-genes", "--positive-class", "healthy", "--labels"]
    for name, healthy, ill in (("train", 20, 6), ("test", 5, 3)):
        table = simulate(healthy, ill, seed=healthy).iloc[:, : 99 if name == "test" else None]
        genes = table.T.reset_index(names="Name")
        genes.insert(1, "Description", "na")
        head = f"#1.2\n{table.shape[1]}\t{table.shape[0]}\n"
        (folder / f"{name}.gct").write_text(head + genes.to_csv(sep="\t", index=False))
        codes = " ".join(["0"] * healthy + ["1"] * ill)
        (folder / f"{name}.cls").write_text(f"{len(table)} 2 1\n# healthy ill\n{codes}\n")
        argv.append(folder / f"{name}.cls")
    return ["--train", folder / "train.gct", "--test", folder / "test.gct", *argv]


TWELVE = write_twelve_patients, ["non/responder $x_1$", "no test patients"]
GCT = write_gct, ["The positive class: healthy", "Only the 99 genes in both files are used"]


@pytest.mark.parametrize(
    ("script", "write", "words"),
    [*((script, *TWELVE) for script in SCRIPTS), *((script, *GCT) for script in SCRIPTS[::3])],
)
def test_scripts_run_on_other_cohorts(tmp_path, capsys, monkeypatch, script, write, words):
    monkeypatch.setitem(style.LOOK, "savefig.dpi", 50)
    for name, model in MODELS.items():  # with a grid of one point, and few trees
        grid = {key: values[-1:] for key, values in (model.grid or {}).items()}
        trees = {"model__n_estimators": [10]} if name in ("Random Forest", "XGBoost") else {}
        monkeypatch.setitem(MODELS, name, model._replace(grid=model.grid and grid | trees))
    argv = [*write(tmp_path), *quick(script), "--output-dir", tmp_path / "outputs"]
    status, stdout, stderr = run(script, capsys, *argv)
    assert (status, stderr) == (0, "")
    if script == "classifier_models":  # with a test set, or without one
        at_once, _, _ = stdout.partition("With shuffled classes")
        assert all(f"\n{name} " in at_once for name in MODELS)
    written = contents(tmp_path / "outputs" / script)
    record, text = json.loads(written["metrics.json"]), written["metrics.txt"].decode()
    assert all(word in text for word in words)
    assert len(record["input_sha256"]) == 64
    assert str(tmp_path) not in json.dumps(record)
    for name, content in written.items():
        if name.endswith(".csv"):
            rows = csv.reader(io.StringIO(content.decode()))
            assert not [cell for row in rows for cell in row if cell.startswith(("=", "@"))], name


# --- nothing lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--data-dir", "nowhere"], ["nowhere", "no such file", "--data-dir"]),
        (["--data-dir", "half"], [TRAIN_FILE]),
        (["--train", DATA_DIR / TRAIN_FILE], ["--labels", "must name the file of classes"]),
        (["--labels", os.devnull], [os.devnull, "must be a table"]),
        (["--positive-class", "CML"], ["--positive-class", "ALL or AML", "'CML'"]),
        (["--expression", "log"], ["log2 values", "--expression intensity"]),
        (["--output-dir", "/dev/null/x"], ["/dev/null", "--output-dir"]),
        (["--output-dir", "half"], ["half/pca_plot", "not a folder"]),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_changes_nothing(outputs, capsys, monkeypatch, argv, words):
    half = outputs.parent / "half"
    half.mkdir()
    content = (DATA_DIR / TRAIN_FILE).read_bytes()
    (half / TRAIN_FILE).write_bytes(content[: len(content) // 2])
    (half / "pca_plot").write_text("mine")
    monkeypatch.chdir(outputs.parent)
    before = contents(outputs.parent)
    assert_refused(run("pca_plot", capsys, "--output-dir", outputs, *argv), *words)
    assert contents(outputs.parent) == before


@pytest.mark.parametrize("script", SCRIPTS)
def test_counts_below_their_least_are_refused(capsys, script):
    for option, least in LEAST[script].items():
        rule = f"{option}: must be a whole number from {least} "
        assert_refused(run(script, capsys, option, least - 1), rule)


def test_a_full_disk_is_one_line_and_changes_nothing(tmp_path, outputs, capsys):
    argv = [*write_twelve_patients(tmp_path), *quick("pca_plot"), "--output-dir", outputs]
    before, limits = contents(outputs), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        finished = run("pca_plot", capsys, "--quiet", *argv)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_refused(finished, "too large")
    assert contents(outputs) == before
    assert [path.name for path in outputs.iterdir()] == ["pca_plot"]
