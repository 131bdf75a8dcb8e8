"""What surrounds every script: options, refusals in one line, the theme, one thread, a status."""

import dataclasses
import inspect
import re
import sys
import threading
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import scipy
import threadpoolctl

from expression import parallel
from expression.errors import DataError
from expression.preprocessing import Preprocessing
from expression.reading.load import DATA_DIR, load_expression_data
from expression.running.command import (
    Repetitions,
    command_line,
    load_data,
    make_parser,
    start_report,
    whole_number,
)
from expression.running.report import describe, describe_batches
from expression.running.style import theme

INTERRUPTED = "interrupted: no output is half-written\n"


REPEATS = Repetitions(10, fewest=2)


def parse_args(argv=None):
    parser = make_parser("What the script does.", "a_script")
    parser.add_argument("--resamples", type=whole_number(100), default=10_000, metavar="N")
    parser.add_argument("--repeats", type=whole_number(1), help=f"repetitions ({REPEATS})")
    return parser.parse_args(argv)


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--seed", "1.5"],
            "^error: --seed: must be a whole number from 0 to .* '1.5'; see a_script",
        ),
        (["--seed", "٣"], "must be a whole number from 0 to .* - found '٣'"),
        (["--seed", str(2**32)], "must be a whole number from 0 to 4294967295 - found '429"),
        (["--resamples", "99"], "error: --resamples: must be a whole number from 100 to .* '99'"),
        (["--figure-format", "gif"], "error: --figure-format: .*'gif'.*png.*pdf.*svg"),
        (["--see", "1"], "error: unrecognized arguments: --see 1; see a_script.py --help"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(capsys, argv, message):
    with pytest.raises(SystemExit, match="2"):
        parse_args(argv)
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert re.search(message, stderr), stderr


def test_help_carries_the_documentation_and_the_defaults(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse_args(["--help"])
    stdout = " ".join(capsys.readouterr().out.split())
    assert "What the script does." in stdout
    assert "repetitions (default: 10; beyond 72 patients fewer in proportion, at least 2)" in stdout


def test_the_options_of_the_data_reach_the_loader(monkeypatch):
    """Every parameter of the loader has its option, and none is crossed with another."""
    given = {
        "data_dir": Path("folder"),
        "expression": "log",
        "log_base": "10",
        "train": Path("a.csv"),
        "test": Path("b.csv"),
        "labels": [Path("c.csv")],
        "symbols": Path("d.csv"),
        "class_column": "diagnosis",
        "batch_column": "site",
        "group_column": "person",
        "subtype_column": "stage",
        "classes": ["A", "B"],
        "positive_class": "B",
        "common_genes": True,
        "missing": "drop",
        "drop": ["x"],
        "keep": ["y"],
        "duplicates": "mean",
        "max_genes": 50,
    }
    argv = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        values = value if isinstance(value, list) else [value]
        argv += [option] if value is True else [option, *map(str, values)]
    received = {}

    def load(data_dir, **named):
        received.update(named, data_dir=data_dir)

    monkeypatch.setattr("expression.running.command.load_expression_data", load)
    load_data(parse_args(argv))
    given["new"] = ()  # an option of one script
    assert received == given
    assert given.keys() == inspect.signature(load_expression_data).parameters.keys()


def test_repetitions_shrink_in_proportion_as_patients_grow():
    assert [REPEATS.for_patients(patients) for patients in (72, 144, 300, 2_000)] == [10, 5, 2, 2]


def test_a_report_says_first_what_it_analyses_and_records_what_changes_results(
    data, tmp_path, capsys
):
    argv = ["--output-dir", str(tmp_path), "--figure-format", "svg", "--seed", "7"]
    args = parse_args([*argv, "--resamples", "300", "--jobs", "1"])
    report = start_report(args, data, "A title", {}, repeats=3)
    about = [
        "Data: 38 training patients (27 ALL, 11 AML), 34 test patients (20 ALL, 14 AML).",
        *data.origin,
        *describe_batches(data),
        "Genes: 3,051 of 7,129 genes vary enough in the training patients.",
    ]
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == f"A title {' '.join(about)}"
    assert str(DATA_DIR) not in printed
    assert " ".join(report.record["data"]) == " ".join(about)
    assert max(map(len, report.record["data"])) <= 100
    assert (report.folder, report.figure_format) == (tmp_path / "a_script", "svg")
    assert (report.record["script"], report.record["seed"]) == ("a_script.py", 7)
    assert report.record["input_sha256"] == data.checksum
    assert report.record["versions"]["scipy"] == scipy.__version__
    assert None not in report.record["versions"].values()
    assert report.record["options"] == {
        "expression": "intensity",
        "log_base": None,
        "max_genes": 5_000,
        **dict.fromkeys(("class_column", "batch_column", "group_column", "subtype_column")),
        **dict.fromkeys(("classes", "positive_class", "drop", "keep")),
        "common_genes": False,
        "missing": "refuse",
        "quick": False,
        "duplicates": "refuse",
        "resamples": 300,
        "repeats": 3,
    }


@pytest.mark.parametrize(
    ("preprocessing", "sentence"),
    [
        ({"max_genes": 500}, "3,051 of 7,129 genes vary .*; the 500 most variable of them are"),
        ({"scale": "counts"}, r"\d,\d+ of 7,129 genes reach 1 per million in 11 or more training"),
    ],
)
def test_the_genes_kept_are_said(data, preprocessing, sentence):
    X, preprocessing = data.X_train.clip(lower=0), Preprocessing(**preprocessing)
    changed = dataclasses.replace(data, X_train=X, preprocessing=preprocessing)
    assert re.search(sentence, " ".join(describe(changed)))


# --- a command -----------------------------------------------------------------------------------


def test_what_surrounds_an_analysis_is_set_once():
    seen = {}

    @command_line(parse_args)
    def main(args):
        """Do it."""
        seen["seed"] = args.seed
        seen["jobs"] = parallel._workers.get().jobs
        seen["threads"] = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
        plt.figure()

    with threadpoolctl.threadpool_limits(2):
        assert main(["--seed", "3", "--jobs", "2"]) == 0
    assert seen == {"seed": 3, "jobs": 2, "threads": {1}}
    assert main.__doc__ == "Do it."
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("a.csv: the rule - found; do"), 2, "^error: a.csv: the rule - found; do\n$"),
        (OSError(28, "Full", "/dev/shm"), 2, "^error: /dev/shm: must be usable - Full; free disk"),
        (OSError("odd"), 2, "^error: system: must be usable - odd; free disk"),
        (MemoryError(), 2, "^error: memory: must hold the analysis - it is full; .*--jobs 1"),
        (KeyboardInterrupt(), 130, f"^{INTERRUPTED}$"),
    ],
)
def test_what_stops_a_script_is_one_line(capsys, error, status, line):
    @command_line(parse_args)
    def main(args):
        plt.figure()
        raise error

    assert main([]) == status
    assert re.search(line, capsys.readouterr().err)
    assert plt.get_fignums() == []


def test_what_nobody_foresaw_keeps_its_traceback_after_a_line_on_how_to_report_it(capsys):
    @command_line(parse_args)
    def main(args):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main([])
    [line] = capsys.readouterr().err.splitlines()
    assert re.match(r"error: a_script\.py: must not fail .* - ZeroDivisionError; please rep", line)
    assert "pip freeze" in line


def test_a_script_runs_in_a_thread_and_without_standard_streams(data, tmp_path, monkeypatch):
    statuses = []

    @command_line(parse_args)
    def main(args):
        start_report(args, data, "A title", {}).write()

    def work():
        statuses.append(main(["--output-dir", str(tmp_path), "--jobs", "1"]))

    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert statuses == [0]
    assert (tmp_path / "a_script/metrics.txt").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Gesunde β", ""),
        ("\U00018b01", "note: figures: no installed font has \U00018b01, shown as boxes; install"),
    ],
)
def test_characters_that_no_font_has_are_one_line(data, tmp_path, capsys, name, message):
    """The second is of the Khitan script, last used by a physician some 800 years ago."""
    args = parse_args(["--output-dir", str(tmp_path), "--quiet"])
    batches = data.batches.replace("DFCI", name)
    with theme():
        start_report(args, dataclasses.replace(data, batches=batches), "A title", {})
    stderr = capsys.readouterr().err
    assert stderr.startswith(message)
    assert stderr.count("\n") == bool(message)


def test_patients_are_counted_by_class_and_batch(data):
    counts, warning = describe_batches(data)
    assert counts == (
        "Patients by class and batch, training: ALL 27 DFCI; AML 11 CALGB. In test: ALL 17 DFCI, "
        "3 St Jude; AML 4 CALGB, 5 CCG, 5 St Jude."
    )
    assert "in training cannot be told apart" in warning
    assert "in test can hardly be told apart" in warning


def test_batches_that_do_not_go_with_the_class_are_no_reason_to_warn(data):
    place = data.y_all.groupby(data.y_all, observed=True).cumcount()
    mixed = place.mod(2).map({0: "north", 1: "south"})
    found = describe_batches(dataclasses.replace(data, batches=mixed))
    assert len(found) == 1
    assert describe_batches(dataclasses.replace(data, batches=None)) == []


def test_of_many_batches_of_a_class_ten_are_counted(data):
    many = data.y_all.index.map(lambda patient: f"run {patient % 15:02}").to_series(
        data.y_all.index
    )
    counts, *_ = describe_batches(dataclasses.replace(data, batches=many))
    assert "and 5 more" in counts


def test_with_several_arrays_of_a_person_people_are_counted(data):
    patients = data.y_all.index
    twice = (patients // 2).map("person {}".format).to_series(patients)
    twice[[38, 39]] = ["person 38", "person 39"]  # the last of training, the first of test
    text = " ".join(describe(dataclasses.replace(data, groups=twice, batches=None)))
    training = twice[data.y_train.index]
    people = len(set(zip(training, data.y_train, strict=True)))
    assert f"Data: {people} training patients (" in text
    assert "; 38 arrays)" in text
