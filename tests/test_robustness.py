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

from expression.data import DATA_DIR, TRAIN_FILE
from expression.models import MODELS

SCRIPTS = ("classifier_models", "explainability", "clustering_analysis", "pca_plot")
SIZES = ("--components", "--genes")  # counts that are not of repetitions


def quick(script: str) -> list[str]:
    """As little work as the script accepts."""
    counts = importlib.import_module(script).parse_args([]).counts
    least = [(c.option, str(c.least)) for c in counts if c.option not in SIZES]
    return ["--jobs", "1", *(text for pair in least for text in pair)]


def run(script: str, capsys, *argv) -> tuple[int, str, str]:
    """Run a script in this process; return its status, and what it prints."""
    capsys.readouterr()
    try:
        status = importlib.import_module(script).main(list(map(str, argv)))
    except SystemExit as refused:
        status = refused.code
    return status, *capsys.readouterr()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


def write_twelve_patients(folder: Path) -> list:
    """Write six and six patients, 100 genes of which 20 differ, no test set, and class names that
    tempt a file name, LaTeX or a formula."""
    rng = np.random.default_rng(0)
    X = rng.normal(9, 1.5, 100) + rng.normal(0, 1, (12, 100))
    X[6:, :20] += 2
    patients = pd.Index([f"S/{i:02}-µ" for i in range(12)], name="sample")
    table = pd.DataFrame(2**X, patients, [f"ENSG{i:05d}.1" for i in range(100)])
    table["diagnosis"] = np.repeat(["non/responder $x_1$", '=HYPERLINK("a")..\\{'], 6)
    table.to_csv(folder / "patients.csv")
    return ["--train", folder / "patients.csv"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_scripts_run_on_few_patients_with_strange_names(tmp_path, capsys, monkeypatch, script):
    for name, model in MODELS.items():  # with a grid of one point, and few trees
        grid = {key: values[-1:] for key, values in (model.grid or {}).items()}
        trees = {"model__n_estimators": [10]} if name in ("Random Forest", "XGBoost") else {}
        monkeypatch.setitem(MODELS, name, model._replace(grid=model.grid and grid | trees))
    # seaborn's swarms lay the whole figure out, once a panel
    monkeypatch.setattr("seaborn.swarmplot", lambda *data, **look: None)
    argv = [*write_twelve_patients(tmp_path), *quick(script), "--output-dir", tmp_path / "outputs"]
    status, _, stderr = run(script, capsys, *argv)
    assert (status, stderr) == (0, "")
    written = contents(tmp_path / "outputs" / script)
    record, text = json.loads(written["metrics.json"]), written["metrics.txt"].decode()
    assert "non/responder $x_1$" in text
    assert "no test patients" in text
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
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_changes_nothing(outputs, capsys, monkeypatch, argv, words):
    half = outputs.parent / "half"
    half.mkdir()
    content = (DATA_DIR / TRAIN_FILE).read_bytes()
    (half / TRAIN_FILE).write_bytes(content[: len(content) // 2])
    monkeypatch.chdir(outputs.parent)
    before = contents(outputs)
    assert_refused(run("pca_plot", capsys, "--output-dir", outputs, *argv), *words)
    assert contents(outputs) == before


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
