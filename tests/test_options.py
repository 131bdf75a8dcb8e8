"""What surrounds every script: options, refusals in one line, the theme, one thread, a status."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import threadpoolctl
from sklearn import get_config

from expression import parallel
from expression.data import DATA_DIR
from expression.files import DataError
from expression.options import (
    Count,
    add_counts,
    command_line,
    load_data,
    make_parser,
    start_report,
)
from expression.preprocessing import Preprocessing
from expression.report import describe

ROOT = Path(__file__).resolve().parents[1]


def new_parser():
    parser = make_parser("What the script does.", "a_script")
    add_counts(parser, ("--resamples", 10_000, 100, "bootstrap resamples"))
    return parser


def parse_args(argv=None):
    return new_parser().parse_args(argv)


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--seed", "-1"], "error: --seed: must be a whole number from 0 to .* - found '-1'; see"),
        (["--seed", "1.5"], "must be a whole number from 0 to .* - found '1.5'"),
        (["--seed", "٣"], "must be a whole number from 0 to .* - found '٣'"),
        (["--seed", str(2**32)], "--seed: must be .* to 4294967295 - found '4294967296'"),
        (["--jobs", "0"], "error: --jobs: must be a whole number from 1 to .* - found '0'"),
        (["--resamples", "99"], "error: --resamples: must be a whole number from 100 to .* '99'"),
        (["--figure-format", "gif"], "error: --figure-format: .*'gif'.*png.*pdf.*svg"),
        (["--see", "1"], "error: unrecognized arguments: --see 1; see a_script.py --help"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(capsys, argv, message):
    with pytest.raises(SystemExit) as exit_info:
        parse_args(argv)
    assert exit_info.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert re.search(message, stderr), stderr


def test_help_carries_the_documentation_and_the_defaults(capsys):
    with pytest.raises(SystemExit) as exit_info:
        parse_args(["--help"])
    assert exit_info.value.code == 0
    stdout = capsys.readouterr().out
    assert "What the script does." in stdout
    assert re.search(r"--resamples N\s+bootstrap resamples \(default: 10,000\)", stdout)


def test_the_options_of_the_data_reach_the_loader(data):
    found = load_data(parse_args(["--positive-class", "ALL"]))
    assert found.classes == ("AML", "ALL")
    assert found.X_train.equals(data.X_train)
    with pytest.raises(DataError, match="look like intensities"):
        load_data(parse_args(["--expression", "log"]))
    found = load_data(parse_args(["--drop", "X95735_at", "M2*", "--max-genes", "50"]))
    assert not [gene for gene in found.X_train.columns if gene.startswith(("X95735", "M2"))]
    assert found.preprocessing.max_genes == 50
    with pytest.raises(
        DataError, match=r"--class-column: must be a column of .*actual.csv - cancer"
    ):
        load_data(parse_args(["--class-column", "type"]))
    with pytest.raises(DataError, match="--classes: must be two of ALL, AML - found ALL, CML"):
        load_data(parse_args(["--classes", "ALL", "CML"]))


@pytest.mark.parametrize(
    ("patients", "repeats"), [(20, 10), (72, 10), (144, 5), (300, 2), (2_000, 2)]
)
def test_repetitions_shrink_in_proportion_as_patients_grow(patients, repeats):
    assert Count("--repeats", 10, 1, "repetitions", fewest=2).default_for(patients) == repeats
    assert Count("--genes", 10, 1, "genes").default_for(patients) == 10


def test_the_data_settle_the_counts_that_were_not_asked_for(data):
    parser = new_parser()
    add_counts(parser, ("--repeats", 10, 1, "repetitions", 2), ("--top", 20, 1, "genes"))
    args = parser.parse_args(["--top", "3"])
    load_data(args)
    assert (args.repeats, args.top) == (10, 3)


def test_every_script_says_first_what_it_analyses(data, tmp_path, capsys):
    args = parse_args(["--output-dir", str(tmp_path)])
    report = start_report(args, data, "A title", {})
    about = [
        "Data: 38 training patients (27 ALL, 11 AML), 34 test patients (20 ALL, 14 AML).",
        *data.origin,
        "Genes: 3,051 of 7,129 genes vary enough in the training patients.",
    ]
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == f"A title {' '.join(about)}"
    assert max(map(len, report.record["data"])) <= 100
    assert " ".join(report.record["data"]) == " ".join(about)
    assert str(DATA_DIR) not in printed


@pytest.mark.parametrize(
    ("preprocessing", "sentence"),
    [
        (
            Preprocessing(max_genes=500),
            "3,051 of 7,129 genes vary .*; the 500 most variable of the",
        ),
        (
            Preprocessing(scale="counts"),
            r"\d,\d+ of 7,129 genes reach 1 per million in 11 or more training",
        ),
    ],
)
def test_the_genes_kept_are_said(data, preprocessing, sentence):
    X = data.X_train.clip(lower=0)
    changed = dataclasses.replace(data, X_train=X, preprocessing=preprocessing)
    assert re.search(sentence, " ".join(describe(changed).split()))


def test_a_report_records_the_options_that_change_results(tmp_path):
    argv = ["--output-dir", str(tmp_path), "--quiet", "--jobs", "1", "--figure-format", "svg"]
    argv += ["--scheduler", "tcp://127.0.0.1:8786"]
    args = parse_args([*argv, "--seed", "7"])
    report = start_report(args, load_data(args), "A title", {})
    assert report.text[0] == "A title"
    assert report.folder == tmp_path / "a_script"
    assert (report.figure_format, report.quiet) == ("svg", True)
    assert report.record["script"] == "a_script.py"
    assert report.record["seed"] == 7
    assert report.record["options"] == {
        "expression": "intensity",
        "max_genes": 5_000,
        "class_column": None,
        "classes": None,
        "positive_class": None,
        "common_genes": False,
        "missing": "refuse",
        "drop": None,
        "keep": None,
        "resamples": 10_000,
    }


# --- a command -----------------------------------------------------------------------------------


def test_what_surrounds_an_analysis_is_set_once(monkeypatch):
    seen = {}

    @command_line(parse_args)
    def main(args):
        """Do it."""
        seen["seed"] = args.seed
        seen["jobs"] = parallel._workers.get().jobs
        seen["threads"] = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
        seen["checks"] = not get_config()["skip_parameter_validation"]
        seen["mathematics"] = plt.rcParams["text.parse_math"]
        plt.figure()

    monkeypatch.setitem(plt.rcParams, "text.parse_math", True)
    assert main(["--seed", "3", "--jobs", "2"]) == 0
    assert seen == {
        "seed": 3,
        "jobs": 2,
        "threads": {1},
        "checks": False,
        "mathematics": False,
    }
    assert main.__doc__ == "Do it."
    assert not get_config()["skip_parameter_validation"]
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("a.csv: the rule - found; do"), 2, "^error: a.csv: the rule - found; do\n$"),
        (
            OSError(28, "No space left on device", "out.png"),
            2,
            "^error: out.png: .*No space left.*--output-dir",
        ),
        (OSError(28, "No space left on device"), 2, "^error: output: must be .*No space left"),
        (KeyboardInterrupt(), 130, "^interrupted: earlier outputs are as they were\n$"),
    ],
)
def test_what_stops_a_script_is_one_line(capsys, error, status, line):
    @command_line(parse_args)
    def main(args):
        raise error

    assert main([]) == status
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert re.search(line, stderr), stderr


@pytest.mark.parametrize("script", ["classifier_models", "pca_plot"])
def test_an_interrupt_during_the_imports_is_one_line(tmp_path, script):
    interrupt = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "numpy.py").write_text(interrupt)  # the first package that takes its time
    finished = subprocess.run(
        [sys.executable, ROOT / f"{script}.py"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a parent may ignore it
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.stderr == "interrupted: earlier outputs are as they were\n"
    assert finished.returncode == 130
    assert finished.stdout == ""


def test_another_error_during_the_imports_keeps_its_traceback(tmp_path):
    (tmp_path / "numpy.py").write_text("1 / 0\n")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, ROOT / "pca_plot.py"]
    finished = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr
    assert "ZeroDivisionError: division by zero" in finished.stderr


def test_a_mistake_of_ours_keeps_its_traceback():
    @command_line(parse_args)
    def main(args):
        return 1 / 0

    with pytest.raises(ZeroDivisionError, match="division by zero"):
        main([])
