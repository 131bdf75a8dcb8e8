"""A report: whole files or none, the same bytes again, and metrics that people can read."""

import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from expression.errors import DataError
from expression.preprocessing import Preprocessing
from expression.running.report import (
    FIGURE_FORMATS,
    Report,
    describe,
    interval_text,
    join_first,
    range_text,
    to_plain,
    to_text,
)
from expression.running.style import theme
from many_classes import simulate_classes
from run_script import contents

ROOT = Path(__file__).resolve().parents[2]
ROWS = [{"model": "Tree", "correct of 34": 31}, {"model": "=Forest", "correct of 34": 33}]
TABLE = "model    correct of 34\nTree                31\n=Forest             33\n"
IN_SHORT = ["Both models beat the majority class.", "34 patients cannot tell them apart."]
ONE = pd.DataFrame({"a": [1]})


@pytest.fixture
def new_report(data, tmp_path):
    """Start a report of a script."""
    return functools.partial(
        Report,
        "A title",
        data,
        script="a_script",
        seed=0,
        options={"resamples": 100},
        folder=tmp_path / "outputs/a_script",
        quiet=True,
    )


@pytest.fixture
def report(new_report):
    return new_report()


def metrics(report: Report) -> tuple[str, dict]:
    """Return the text and the record that a report writes."""
    report.write()
    files = contents(report.folder)
    return files["metrics.txt"].decode(), json.loads(files["metrics.json"])


def test_of_a_long_list_the_first_are_named_and_the_others_counted():
    assert join_first(["a", "b"], 2) == "a, b"
    assert join_first(pd.Series(["a", "b", "c", "d"]), 2, "; ") == "a; b and 2 more"


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure_format", FIGURE_FORMATS)
def test_files_are_written_at_the_end_and_the_same_bytes_again(new_report, figure_format):
    runs, files = [], [f"figure.{figure_format}", "metrics.json", "metrics.txt", "table.csv"]
    for _ in range(2):
        report = new_report(figure_format=figure_format)
        with theme():
            figure, ax = plt.subplots()
            ax.plot([1, 2], label="$5")
            ax.legend()
            report.add_figure("figure", figure)
            assert plt.get_fignums() == []
        report.add_table("table", ONE)
        report.add_headline("Q", ROWS, IN_SHORT)
        report.add_section("key", "Title", {"a": 1})
        assert report.folder.exists() == bool(runs)
        _, record = metrics(report)
        assert record["files"] == files
        runs.append(contents(report.folder))
    assert sorted(runs[0]) == files
    assert runs[0] == runs[1]
    assert b"CreationDate" not in runs[0][files[0]]  # the same within a second only
    assert [path.name for path in report.folder.parent.iterdir()] == ["a_script"]


def test_the_folder_holds_the_last_run_and_what_is_not_ours(new_report):
    first, second = new_report(), new_report()
    first.add_table("predictions", ONE)
    first.write()
    (first.folder / "notes.txt").write_text("mine")
    (first.folder / "figures").mkdir()
    second.add_table("genes", ONE)
    second.write()
    names = {path.name for path in second.folder.iterdir()}
    assert names == {"genes.csv", "metrics.json", "metrics.txt", "notes.txt", "figures"}


@pytest.mark.parametrize(
    "record", ["", "[1]", '{"files": 1}', '{"files": [1]}', '{"files": ["../mine", ".", "folder"]}']
)
def test_a_strange_record_of_an_earlier_run_removes_nothing(report, record):
    (report.folder / "folder").mkdir(parents=True)
    (report.folder.parent / "mine").write_text("mine")
    (report.folder / "metrics.json").write_text(record)
    report.write()
    assert (report.folder.parent / "mine").exists()
    assert (report.folder / "folder").is_dir()


def test_what_stops_the_writing_leaves_the_old_files_and_no_empty_folder(
    new_report, monkeypatch, tmp_path
):
    def interrupt(path, content):
        path.write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            new_report().write()
    assert list(tmp_path.iterdir()) == []

    report = new_report()
    report.add_table("table", ONE)
    report.write()
    old = contents(report.folder)
    monkeypatch.setattr(Path, "write_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        new_report().write()
    assert contents(report.folder) == old
    assert [path.name for path in report.folder.parent.iterdir()] == ["a_script"]


def test_an_interrupt_in_the_last_step_comes_too_late(report, monkeypatch):
    rename = Path.replace

    def interrupt(path, target):
        os.kill(os.getpid(), signal.SIGINT)
        rename(path, target)

    monkeypatch.setattr(Path, "replace", interrupt)
    report.write()
    assert set(contents(report.folder)) == {"metrics.json", "metrics.txt"}
    with pytest.raises(KeyboardInterrupt):  # and comes through again afterwards
        os.kill(os.getpid(), signal.SIGINT)


def test_the_next_run_removes_what_a_killed_one_left(report):
    left, other = (report.folder / name for name in (".writing.x1y2z3", ".mine"))
    for folder in (left, other):
        folder.mkdir(parents=True)
        (folder / "figure.png").write_bytes(b"half")
    report.write()
    assert not left.exists()
    assert other.exists()


def test_two_runs_that_end_at_once_both_write_whole_files(new_report, monkeypatch):
    """The second clears up while the first is writing its files."""
    first, second = new_report(), new_report()
    first.add_table("first", ONE)
    second.add_table("second", ONE)
    write_bytes, waiting = Path.write_bytes, [second]

    def let_the_other_in(path, content):
        if waiting:
            waiting.pop().write()
        write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", let_the_other_in)
    first.write()
    assert set(contents(first.folder)) == {"first.csv", "metrics.json", "metrics.txt"}
    assert [path.name for path in first.folder.parent.iterdir()] == ["a_script"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0.9118, 0.7704, 0.9695), "0.91 (0.77–0.97)"),
        ((0.9118, 0.7704, 0.9695, 3), "0.912 (0.770–0.970)"),
        ((-0.5, -1, 0), "-0.50 (-1.00–0.00)"),
        ((0.5, np.nan, np.nan), "0.50"),
    ],
)
def test_an_interval_stands_in_brackets_where_there_is_one(arguments, text):
    assert interval_text(*arguments) == text


def test_a_range_over_random_states_stands_only_where_there_is_one():
    assert range_text(pd.Series([30, 26, 26, 29])) == "27.5 (26–30)"
    assert range_text(pd.Series([30, 30])) == ""


def test_numbers_of_tables_and_records_have_six_digits(report):
    report.add_table("table", pd.DataFrame({"x": [1 / 3]}))
    assert report.files["table.csv"].decode() == "index,x\n0,0.333333\n"


def test_a_killed_run_leaves_no_file_that_its_record_does_not_name(report, monkeypatch):
    rename = Path.replace

    def rename_one(path, target):
        monkeypatch.setattr(Path, "replace", lambda path, target: sys.exit("killed"))
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", rename_one)
    with pytest.raises(SystemExit, match="killed"):
        report.write()
    assert list(contents(report.folder)) == ["metrics.json"]


WRITER = """
import itertools, pathlib, sys
from expression.reading.load import load_expression_data
from expression.running.report import Report

report = Report(
    "A title",
    load_expression_data(),
    script="writer",
    seed=0,
    options={},
    folder=pathlib.Path(sys.argv[1]),
    quiet=True,
)
for letter in itertools.cycle("ab"):
    report.files = {f"{i}.txt": (letter * 3_000_000).encode() for i in range(4)}
    report.metrics_text = lambda letter=letter: letter * 3_000_000
    report.write()
    print("ready", flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_whole_files(tmp_path):
    command = [sys.executable, "-c", WRITER, tmp_path / "writer"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        try:
            assert select.select([writer.stdout], [], [], 3_600)[0], "never ready"
            time.sleep(0.1)
        finally:
            writer.kill()
    written = filter(Path.is_file, (tmp_path / "writer").iterdir())  # beside a hidden folder
    found = {path.name: path.read_bytes() for path in written}
    assert json.loads(found.pop("metrics.json"))["script"] == "writer.py"
    assert len(found) == 5
    assert {(len(text), len(set(text))) for text in found.values()} == {(3_000_000, 1)}


def test_an_unwritable_folder_is_refused_before_any_computing(new_report, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(DataError, match="must be a folder to write to - permission denied"):
        new_report()


@pytest.mark.parametrize("link", ["a_script", ""])
def test_a_link_to_nothing_is_refused_before_any_computing(new_report, tmp_path, link):
    place = tmp_path / "outputs" / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"^{place}: .* - it is a link to .* not exist; free it"):
        new_report()
    place.unlink()
    new_report().write()


def test_what_stops_the_drawing_loses_no_number(new_report):
    before = new_report()
    before.files["figure.png"] = b"of an earlier run"
    before.write()
    report = new_report()
    report.add_table("table", ONE)
    report.files["first.png"] = b"drawn"
    with pytest.raises(ZeroDivisionError), report.drawing():
        report.add_figure("second", 1 / 0)
    names = {"table.csv", "first.png", "metrics.json", "metrics.txt"}
    assert set(contents(report.folder)) == names
    assert set(report.record["files"]) == names


def test_what_stops_the_writing_is_told_of_the_output_folder(report, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=f"^{report.folder}: .* - no space left on device; "):
        report.write()
    assert not report.folder.exists()


def test_a_reader_who_has_seen_enough_stops_no_script(tmp_path):
    command = [sys.executable, ROOT / "pca_plot.py", "--output-dir", tmp_path]
    command += ["--permutations", "20", "--folds", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as script:
        script.stdout.close()
        assert script.stderr.read() == b""
    assert script.returncode == 0
    assert (tmp_path / "pca_plot/metrics.txt").exists()


# --- contents ------------------------------------------------------------------------------------


def test_the_terminal_shows_the_data_the_answers_and_at_last_the_findings(new_report, capsys):
    new_report().show_table("Best model", ROWS)
    assert capsys.readouterr() == ("", "")
    report = new_report(quiet=False)
    assert capsys.readouterr().out.startswith("A title\nData: 38 training patients")
    report.show_table("Best model", ROWS)
    assert capsys.readouterr().out == f"Best model\n{TABLE}\n"
    report.add_headline("Best model", ROWS, IN_SHORT)
    report.write()
    end = [*IN_SHORT, f"Written to {report.folder}: metrics.json, metrics.txt"]
    assert capsys.readouterr().out.split() == " ".join(end).split()  # wrapped


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ("intensity", "Genes: 3,051 of 7,129 genes vary enough in the training patients."),
        ("counts", "genes reach 1 per million in 11 or more training patients;"),
        ("log-ratio", "Genes: 7,129 of 7,129 genes vary in the training patients; the 5,000 most"),
    ],
)
def test_the_filter_of_each_scale_is_said_in_its_words(data, scale, words):
    data = replace(
        data, X_train=data.X_train.clip(lower=0), preprocessing=Preprocessing(scale=scale)
    )
    if scale == "log-ratio":
        data = replace(data, X_train=data.X_train + np.arange(38.0)[:, None])
    assert words in " ".join(describe(data))


def test_of_many_classes_all_are_counted_with_short_names_and_batches_without_them():
    cohort = simulate_classes(
        [5, 6] * 10,
        0,
        test_sizes=[1] * 20,
        name="acute leukaemia with rearrangement {:02}",
        batches=3,
    )
    text = " ".join(describe(cohort))
    assert (
        "110 training patients (5 acute l…ement 00, 6 acute l…ement 01, 5 acute l…ement 02" in text
    )
    assert text.count("acute l…ement") == 20
    assert "20 test patients (1 of each class)" in text
    assert "Patients by batch, training: 37 laboratory 0 (of 20 classes), 37 lab" in text
    few = simulate_classes([5, 6, 7], 0, batches=2)
    text = " ".join(describe(few))
    assert "Patients by class and batch, training: class 00 3 laboratory 0, 2 laboratory 1;" in text


def test_metrics_text_is_the_answer_in_short_then_the_data_then_the_sections(report):
    report.add_section("before", "Before", {"a": 0.5, "longer": 12}, note="Measured on nobody.")
    report.add_headline("Best model", ROWS, IN_SHORT)
    report.add_section("after", "After", ONE, shown=ONE[:0])
    text, record = metrics(report)
    short, rest = text.split("The data\n--------\n")
    in_short = "In short\n--------\n" + "\n".join(IN_SHORT)
    assert short == f"A title\n=======\n\n{in_short}\n\nBest model\n----------\n{TABLE}\n"
    about, before, after = rest.partition(
        "Before\n------\nMeasured on nobody.\n\na       0.500\nlonger  12\n\n"
    )
    assert about.startswith("Data: 38 training patients (27 ALL, 11 AML), 34 test patients (20 ALL")
    assert "Batch and class: in training cannot be told apart" in about
    assert before
    assert after == "After\n-----\nnone\n"
    assert record["headline"] == {"title": "Best model", "in_short": IN_SHORT, "rows": ROWS}
    assert record["results"] == {
        "before": {"a": 0.5, "longer": 12},
        "after": [{"index": 0, "a": 1}],
    }


def test_notes_and_sentences_are_wrapped_at_100_characters(report):
    note = " ".join(["word"] * 50 + ["one-two"] * 30 + ["x" * 120])
    report.add_section("key", "Section", {"a": 1}, note)
    report.add_headline("Headline", ROWS, [note, note])
    text, _ = metrics(report)
    wrapped = text.split("Section\n-------\n")[1].split("\n\n")[0]
    assert " ".join(wrapped.splitlines()) == note  # words, hyphenated and long ones too, stay whole
    assert [len(line) for line in wrapped.splitlines()] == [99, 99, 97, 95, 95, 120]
    assert f"In short\n--------\n{wrapped}\n{wrapped}\n\n" in text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pd.DataFrame({"p": [0.5, np.nan]}, ["one", "two"]), "        p\none 0.500\ntwo     -"),
        ({"p": 0.00012, "q": 0.0, "r": 0.001}, "p  1.2e-04\nq  0.000\nr  0.001"),
        ({"genes": [], "q": [1, 0.5]}, "genes  none\nq      1, 0.500"),
    ],
)
def test_values_are_aligned_and_small_ones_do_not_print_as_zero(values, text):
    assert to_text(values) == text


def test_plain_values_for_json():
    table = pd.DataFrame({"n": np.int64([1]), "x": np.float32([0.25])}, pd.Index(["a"], name="id"))
    values = {"table": table, "series": pd.Series({1: 1 / 3}), "none": (None, float("nan"))}
    values |= {"array": np.array([True]), "number": np.int64(3)}
    plain = {"table": [{"id": "a", "n": 1, "x": 0.25}], "series": {"1": 0.333333}}
    plain |= {"none": [None, None], "array": [True], "number": 3}
    assert to_plain(values) == plain
    assert json.loads(json.dumps(to_plain(values), allow_nan=False)) == plain


def test_a_cell_never_comes_out_as_a_formula_and_other_text_is_as_it_was(report):
    cells = ["=HYPERLINK(0)", "@x", "T-cell", "x=1", ""]
    report.add_table("table", pd.DataFrame({"=a": cells, "n": -1.5}, ["+1", *"bcde"]))
    text = report.files["table.csv"].decode()
    assert text == (
        "index,'=a,n\n'+1,'=HYPERLINK(0),-1.5\nb,'@x,-1.5\nc,T-cell,-1.5\nd,x=1,-1.5\ne,,-1.5\n"
    )


def test_a_quick_run_stands_in_the_title_of_every_figure(new_report):
    for quick in (False, True):
        report = new_report(quick=quick)
        figure = plt.figure()
        figure.suptitle("A finding")
        report.add_figure("finding", figure)
        assert ("\nquick run" in figure.get_suptitle()) == quick
        text, _ = metrics(report)
        assert text.startswith("A title (quick run: intervals are wide)\n") == quick
