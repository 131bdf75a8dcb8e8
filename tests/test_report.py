"""A report: whole files or none, the same bytes again, and metrics that people can read."""

import functools
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from expression.report import (
    FIGURE_FORMATS,
    Report,
    escape_formulas,
    interval_text,
    to_plain,
    to_text,
)
from expression.style import theme

ROWS = [{"model": "Tree", "correct of 34": 31}, {"model": "=Forest", "correct of 34": 33}]


@pytest.fixture
def new_report(data, tmp_path):
    """Start a report of a script."""
    options = {"script": "a_script", "seed": 0, "resamples": 100}
    folder = tmp_path / "outputs/a_script"
    return functools.partial(Report, "A title", data, folder=folder, options=options, quiet=True)


@pytest.fixture
def report(new_report):
    return new_report()


def draw() -> plt.Figure:
    with theme():
        return plt.figure()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def metrics(report: Report) -> tuple[str, dict]:
    """Return the text and the record that a report writes."""
    report.write()
    files = contents(report.folder)
    return files["metrics.txt"].decode(), json.loads(files["metrics.json"])


# --- files ---------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_end(report):
    report.add_figure("figure", draw())
    report.add_table("table", pd.DataFrame({"a": [1]}))
    report.add_headline("Q", ROWS, "A note.")
    report.add_section("key", "Title", {"a": 1})
    assert not contents(report.folder)
    report.write()
    names = {"figure.png", "table.csv", "metrics.txt", "metrics.json"}
    assert set(contents(report.folder)) == names
    assert [path.name for path in report.folder.parent.iterdir()] == ["a_script"]


@pytest.mark.parametrize("figure_format", FIGURE_FORMATS)
def test_the_same_bytes_again(new_report, figure_format):
    runs = []
    for _ in range(2):
        report = new_report(figure_format=figure_format)
        with theme():
            figure, ax = plt.subplots()
            ax.plot([1, 2], label="$5")
            ax.legend()
            report.add_figure("figure", figure)
        report.add_section("key", "Title", {"a": 1})
        report.write()
        runs.append(contents(report.folder))
    assert f"figure.{figure_format}" in runs[0]
    assert runs[0] == runs[1]


def test_a_figure_that_was_added_is_closed(report):
    figure, other = plt.figure(), plt.figure()
    report.add_figure("figure", figure)
    assert plt.get_fignums() == [other.number]
    plt.close(other)


def test_a_full_disk_leaves_the_old_files_whole(report, monkeypatch):
    report.add_section("key", "Title", {"a": 1})
    report.write()
    old = contents(report.folder)
    write_bytes = Path.write_bytes

    def disk_full(path, content):
        write_bytes(path, content[:10])
        if "metrics.json" in path.name:
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    report.add_section("key", "Title", {"a": 2})
    with pytest.raises(OSError, match="No space left"):
        report.write()
    assert contents(report.folder) == old
    assert [path.name for path in report.folder.parent.iterdir()] == ["a_script"]


def test_an_unwritable_folder_is_refused_before_any_computing(new_report, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(PermissionError, match="a_script"):
        new_report()


def test_a_file_in_the_place_of_the_folder_is_refused(new_report, tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/a_script").write_text("mine")
    with pytest.raises(OSError, match="a_script"):
        new_report()
    assert (tmp_path / "outputs/a_script").read_text() == "mine"


def test_the_summary_is_the_headline_and_the_files_unless_quiet(new_report, capsys):
    for quiet in (False, True):
        report = new_report(quiet=quiet)
        report.add_headline("Best model", ROWS, "A note.")
        report.write()
        stdout = capsys.readouterr().out
        if quiet:
            assert stdout == ""
        else:
            headline, files = stdout.split("\n\nWritten to ")
            assert headline == report.headline
            assert files == f"{report.folder}: metrics.json, metrics.txt\n"


# --- contents ------------------------------------------------------------------------------------


def test_the_record_says_what_made_the_results(report, data):
    report.add_section("key", "Title", {"a": np.float64(1 / 3)})
    _, record = metrics(report)
    assert record["script"] == "a_script.py"
    assert record["seed"] == 0
    assert record["options"] == {"resamples": 100}
    assert record["input_sha256"] == data.checksum
    assert record["versions"]["numpy"] == np.__version__
    assert None not in record["versions"].values()
    assert record["headline"] == {}
    assert record["results"] == {"key": {"a": 0.333333}}


def test_metrics_text_states_patients_and_caveats(report):
    report.add_section("key", "Title", {"a": 0.5, "longer name": 12}, note="Measured on nobody.")
    text, _ = metrics(report)
    assert text.startswith("A title\n=======\n\nData: 38 training patients (27 ALL, 11 AML), ")
    assert "11 AML), 34 test patients (20 ALL, 14 AML), 7,129 genes; positive class: AML." in text
    assert "laboratory and class cannot be told apart" in text
    assert "Title\n-----\nMeasured on nobody.\n\na            0.500\nlonger name  12\n" in text


def test_a_headline_is_written_where_it_is_added_and_recorded(report):
    report.add_section("before", "Before", {"a": 1})
    report.add_headline("Best model", ROWS, "All 34.")
    report.add_section("after", "After", {"a": 1})
    text, record = metrics(report)
    table = "         correct of 34\nmodel                 \nTree                31\n"
    table += "=Forest             33\n"
    between = text[text.index("Before\n------\n") : text.index("After\n-----\n")]
    assert between == f"Before\n------\na  1\n\nBest model\n----------\n{table}\nAll 34.\n\n"
    assert record["headline"] == {"title": "Best model", "rows": ROWS, "note": "All 34."}
    assert record["results"] == {"before": {"a": 1}, "after": {"a": 1}}


def test_a_headline_without_rows_says_none(report):
    report.add_headline("Genes", [], "No gene.")
    text, record = metrics(report)
    assert "Genes\n-----\nnone\n\nNo gene.\n" in text
    assert record["headline"]["rows"] == []


def test_notes_are_wrapped_at_100_characters(report):
    note = " ".join(["word"] * 50 + ["one-two"] * 30 + ["x" * 120])
    report.add_section("key", "Section", {"a": 1}, note)
    report.add_headline("Headline", ROWS, note)
    text, record = metrics(report)
    assert record["headline"]["note"] == note
    for paragraph in (
        text.split("Section\n-------\n")[1].split("\n\n")[0],
        text.split("Headline\n")[1].split("\n\n")[1],
    ):
        lines = paragraph.splitlines()
        assert " ".join(lines) == note  # words, hyphenated and long ones too, stay whole
        assert [len(line) for line in lines] == [99, 99, 97, 95, 95, 120]


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


def test_text_of_a_table_is_aligned():
    table = pd.DataFrame({"accuracy": [0.5, np.nan]}, index=["one", "another"])
    assert to_text(table).splitlines() == [
        "         accuracy",
        "one         0.500",
        "another         -",
    ]


def test_a_small_number_does_not_print_as_zero():
    assert to_text({"p": 0.00012, "q": 0.0, "r": 0.001}) == "p  1.2e-04\nq  0.000\nr  0.001"


def test_text_of_no_entries():
    assert to_text({"genes": []}) == "genes  none"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.float32(0.25), 0.25),
        (1 / 3, 0.333333),
        (float("nan"), None),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        (pd.Series({1: 0.5}), {"1": 0.5}),
        (pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="id")), [{"id": "x", "a": 1}]),
        ({"a": (1, None)}, {"a": [1, None]}),
    ],
)
def test_plain_values_for_json(value, plain):
    assert to_plain(value) == plain
    json.dumps(to_plain(value), allow_nan=False)


def test_a_cell_never_comes_out_as_a_formula(report):
    table = pd.DataFrame({"=a": ["=HYPERLINK(0)", "@x"], "n": [-1.5, 2]}, index=["+1", "fine"])
    report.add_table("table", table)
    text = report.files["table.csv"].decode()
    assert text == "index,'=a,n\n'+1,'=HYPERLINK(0),-1.5\nfine,'@x,2\n"


def test_escaping_leaves_other_text_alone():
    table = pd.DataFrame({"a": ["T-cell", "x=1", ""]})
    pd.testing.assert_frame_equal(escape_formulas(table), table)
