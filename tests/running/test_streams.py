"""Standard output as it comes: other encodings, closed, full, none: nothing dies of it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from expression.running.streams import say, usable_streams

ROOT = Path(__file__).resolve().parents[2]
TEXT = "91–100 % × 3 … é β 患"


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("utf-8", TEXT),
        ("latin-1", "91-100 % × 3 ... é ? ?"),
        ("ascii", "91-100 % x 3 ... e ? ?"),
        ("cp437", "91-100 % x 3 ... é ? ?"),
        ("cp1252", "91–100 % × 3 … é ? ?"),
    ],
)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_an_encoding_lacks_is_printed_as_its_like(monkeypatch, name, encoding, printed):
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding=encoding)
    monkeypatch.setattr(sys, name, stream)
    with usable_streams():
        print(TEXT, file=getattr(sys, name), flush=True)
    assert content.getvalue().decode(encoding).strip() == printed
    assert stream.errors == "strict"


def test_a_name_that_is_no_text_is_printed_with_question_marks(monkeypatch):
    """As Python reads the name of a file whose bytes are not UTF-8."""
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding="utf-8"))
    with usable_streams():
        print("t\udce4.csv", flush=True)
    assert content.getvalue() == b"t?.csv\n"


@pytest.mark.parametrize("is_closed", [True, False])
def test_without_a_stream_nothing_is_printed_and_nothing_dies(monkeypatch, is_closed):
    stream = io.StringIO() if is_closed else None
    if is_closed:
        stream.close()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    with usable_streams():
        print(TEXT)
        sys.stderr.write(TEXT)
        sys.stderr.flush()
    assert sys.stdout is stream
    assert sys.stderr is stream


def test_no_other_file_takes_the_place_of_a_closed_stream(tmp_path):
    """Else what another program prints into its standard output would end in that file."""
    program = """
import sys
from expression.running.streams import usable_streams

with usable_streams(), open(sys.argv[1], "w") as file:
    file.write(str(file.fileno()))
"""
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run([*shell, tmp_path / "number"], cwd=ROOT).returncode == 0
    assert int((tmp_path / "number").read_text()) > 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_a_stream_is_told_once_and_then_forgotten():
    with open("/dev/full", "w") as stream:
        assert say(TEXT, stream=stream).strerror == "No space left on device"
        assert say(TEXT, stream=stream) is None


SCRIPT = [sys.executable, ROOT / "pca_plot.py", "--permutations", "20", "--folds", "2"]


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_script_writes_the_same_whatever_becomes_of_its_streams(tmp_path, closed):
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    finished = subprocess.run([*shell, *SCRIPT, "--jobs", "2", "--output-dir", tmp_path])
    assert finished.returncode == 0
    record = json.loads((tmp_path / "pca_plot/metrics.json").read_bytes())
    assert {path.name for path in (tmp_path / "pca_plot").iterdir()} == set(record["files"])
