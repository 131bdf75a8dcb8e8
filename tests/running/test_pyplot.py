"""Whatever matplotlib finds around a script: the same figures, and nothing of others is changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = b"""
backend: svg
font.size: 22
text.usetex: True
savefig.bbox: tight
axes.facecolor: no colour
no.such.setting: 1
"""
DRAW = """
import hashlib, io
from expression.figures import pca_plot
from expression.running import style
import matplotlib, matplotlib.pyplot as plt

with style.theme():
    figure, ax = plt.subplots()
    ax.set(title="β $x_1$", xlabel="a")
    ax.plot([1, 2], label="line")
    ax.legend()
    content = io.BytesIO()
    figure.savefig(content)
print(hashlib.sha256(content.getvalue()).hexdigest())
print(matplotlib.rcParams["font.size"], matplotlib.rcParams["backend"])
"""


def draw(folder: Path, program: str = DRAW, **variables: str) -> list[str]:
    """Return what a program prints that runs in a folder, which is its home, too."""
    ours = {
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "MPLCONFIGDIR": "",
        "XDG_CACHE_HOME": str(folder.parent),  # one list of fonts for all tests
    }
    environment = os.environ | ours | variables
    for name in ("MPLBACKEND", "MATPLOTLIBRC"):
        if name not in variables:
            environment.pop(name, None)
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.splitlines()


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> str:
    """The checksum of a figure with nothing around."""
    return draw(tmp_path_factory.mktemp("clean"), MPLBACKEND="svg")[0]


@pytest.mark.parametrize(
    ("file", "content", "variables", "seen_by_others"),
    [
        (None, b"", {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, "10.0"),
        ("matplotlibrc", HOSTILE, {}, "22.0 svg"),
        ("matplotlibrc", b"font.size: \xff\n", {"MPLBACKEND": "svg"}, "10.0 svg"),
        ("other", HOSTILE, {"MATPLOTLIBRC": "other", "MPLBACKEND": "pdf"}, "22.0 pdf"),
    ],
)
def test_settings_of_others_change_no_figure_and_stay_theirs(
    tmp_path, clean, file, content, variables, seen_by_others
):
    if file:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    checksum, settings = draw(tmp_path, **variables)
    assert checksum == clean
    assert settings.startswith(seen_by_others)


NOTEBOOK = """
import sys
import matplotlib.pyplot as plt

plt.rcParams["font.size"] = 33
mine, ax = plt.subplots()
ax.plot([1, 2])
before = dict(plt.rcParams), plt.get_backend(), plt.get_fignums()

import pca_plot
import notebook_backend
assert len(notebook_backend.canvases) == 1
options = ["--quiet", "--jobs", "1", "--permutations", "20", "--folds", "2", "--output-dir", "out"]
assert pca_plot.main(options) == 0

assert (dict(plt.rcParams), plt.get_backend(), plt.get_fignums()) == before
assert len(notebook_backend.canvases) == 1, "a figure of the script is one of the notebook"
assert plt.figure().canvas is notebook_backend.canvases[-1]
"""
BACKEND = """
from matplotlib.backends.backend_agg import FigureCanvasAgg

canvases = []


class FigureCanvas(FigureCanvasAgg):
    def __init__(self, *given):
        super().__init__(*given)
        canvases.append(self)
"""


def test_a_script_leaves_the_plots_of_a_notebook_alone(tmp_path):
    (tmp_path / "notebook_backend.py").write_text(BACKEND)
    draw(tmp_path, program=NOTEBOOK, MPLBACKEND="module://notebook_backend")
    assert (tmp_path / "out/pca_plot/scree.png").exists()


def test_without_any_folder_for_its_list_of_fonts_the_variable_is_named(tmp_path):
    """Home and temporary folders that cannot be written to, as in some containers."""
    nowhere = """
import tempfile
def none(): raise FileNotFoundError("no usable temporary directory")
tempfile.gettempdir = none
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": "/dev/null"}
    command = [sys.executable, "-c", f"{nowhere}\nimport expression.running"]
    environment.pop("MPLCONFIGDIR", None)
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: MPLCONFIGDIR: must name a folder to write to")
    assert refused.stderr.count("\n") == 1
    remedy = environment | {"MPLCONFIGDIR": str(tmp_path)}
    assert subprocess.run(command, env=remedy, capture_output=True).returncode == 0
