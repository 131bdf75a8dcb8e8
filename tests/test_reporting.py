"""What the scripts share: refusals in one line, whole files, the same bytes, readable metrics."""

import json
import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import reporting
from expression_data import DataError
from reporting import (
    Report,
    class_palette,
    command_line,
    escape_formulas,
    make_parser,
    run_parallel,
    to_plain,
    to_text,
    use_theme,
)


@pytest.fixture
def parser():
    return make_parser("What the script does.", "a_script")


@pytest.fixture
def args(parser, tmp_path):
    return parser.parse_args(["--output-dir", str(tmp_path), "--quiet"])


@pytest.fixture
def report(args, data):
    return Report(args, data, "A title")


def figure_with_text(text="$5"):
    use_theme()
    figure, ax = plt.subplots()
    ax.set_title(text)
    return figure


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--seed", "-1"], "error: --seed: must be a whole number from 0 to .* - found '-1'; see"),
        (["--seed", "1.5"], "must be a whole number from 0 to .* - found '1.5'"),
        (["--jobs", "0"], "error: --jobs: must be a whole number from 1 to .* - found '0'"),
        (["--figure-format", "gif"], "error: --figure-format: .*'gif'.*png.*pdf.*svg"),
        (["--see", "1"], "error: unrecognized arguments: --see 1; see a_script.py --help"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(parser, capsys, argv, message):
    with pytest.raises(SystemExit) as exit_info:
        parser.parse_args(argv)
    assert exit_info.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert re.search(message, stderr), stderr


def test_help_carries_the_documentation(parser, capsys):
    with pytest.raises(SystemExit) as exit_info:
        parser.parse_args(["--help"])
    assert exit_info.value.code == 0
    assert "What the script does." in capsys.readouterr().out


def test_progress_and_results_in_order(args):
    args.jobs = 2
    assert run_parallel(pow, [(i, 2) for i in range(20)], args, "squares") == [
        i**2 for i in range(20)
    ]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("a.csv: the rule - found; do"), 2, "error: a.csv: the rule - found; do\n"),
        (OSError(28, "No space left on device", "out.png"), 2, "out.png.*No space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_stops_a_script_is_one_line(capsys, error, status, line):
    @command_line
    def main(argv=None):
        raise error

    assert main([]) == status
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert re.search(line, stderr), stderr


def test_a_mistake_of_ours_keeps_its_traceback():
    @command_line
    def main(argv=None):
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        main([])


# --- files ---------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_end(report):
    report.add_figure("figure", figure_with_text())
    report.add_table("table", pd.DataFrame({"a": [1]}))
    report.add_section("key", "Title", {"a": 1})
    assert not contents(report.folder)
    report.write()
    assert set(contents(report.folder)) == {
        "figure.png",
        "table.csv",
        "metrics.txt",
        "metrics.json",
    }


@pytest.mark.parametrize("figure_format", reporting.FIGURE_FORMATS)
def test_the_same_bytes_again(args, data, figure_format):
    args.figure_format = figure_format
    runs = []
    for _ in range(2):
        report = Report(args, data, "A title")
        report.add_figure("figure", figure_with_text())
        report.add_section("key", "Title", {"a": 1})
        report.write()
        runs.append(contents(report.folder))
    assert runs[0] == runs[1]


def test_figures_are_closed(report):
    report.add_figure("figure", figure_with_text())
    assert not plt.get_fignums()


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


def test_an_unwritable_folder_is_refused_before_any_computing(args, data, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(PermissionError, match="a_script"):
        Report(args, data, "A title")


def test_a_file_in_the_place_of_the_folder_is_refused(args, data):
    (args.output_dir / "a_script").write_text("mine")
    with pytest.raises(OSError, match="a_script"):
        Report(args, data, "A title")


def test_the_summary_names_the_files(args, data, capsys):
    args.quiet = False
    Report(args, data, "A title").write("4 of 5")
    stdout = capsys.readouterr().out
    assert "4 of 5" in stdout
    assert "metrics.json, metrics.txt" in stdout


# --- contents ------------------------------------------------------------------------------------


def test_the_record_says_what_made_the_results(args, data):
    report = Report(args, data, "A title")
    report.add_section("key", "Title", {"a": np.float64(1 / 3)})
    report.write()
    record = json.loads((report.folder / "metrics.json").read_text())
    assert record["script"] == "a_script.py"
    assert record["seed"] == 0
    assert record["options"] == {
        "expression": "intensity",
        "positive_class": None,
        "common_genes": False,
    }
    assert record["input_sha256"] == data.checksum
    assert record["versions"]["numpy"] == np.__version__
    assert record["results"] == {"key": {"a": 0.333333}}


def test_metrics_text_states_patients_and_caveats(report):
    report.add_section("key", "Title", {"a": 0.5, "longer name": 12}, note="Measured on nobody.")
    report.write()
    text = (report.folder / "metrics.txt").read_text()
    assert "38 training patients (27 ALL, 11 AML), 34 test patients (20 ALL, 14 AML)" in text
    assert "laboratory and class cannot be told apart" in text
    assert "Title\n-----\nMeasured on nobody.\n\na            0.500\nlonger name  12\n" in text


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


# --- looks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("AML", "AML"),
        ("normal, stage 1", "normal,\nstage 1"),
        ("a" * 30, "a" * 12 + "\n" + "a" * 12 + "\n" + "a" * 6),
    ],
)
def test_a_long_class_name_goes_over_several_lines(name, lines):
    assert reporting.in_lines(name) == lines


def test_a_very_long_class_name_ends_in_an_ellipsis():
    assert reporting.in_lines("word " * 12).endswith("…")
    assert reporting.in_lines("word " * 12).count("\n") == 2


def test_one_colour_a_class(data):
    palette = class_palette(data)
    assert list(palette) == ["ALL", "AML"]
    assert len(set(palette.values())) == 2


def test_a_dollar_in_a_name_is_a_dollar(report):
    report.add_figure("figure", figure_with_text("a $x_{ b"))
    assert "figure.png" in report.files
