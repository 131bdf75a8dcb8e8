"""The README and the scripts agree: the whole default analysis is run as a user runs it.

From another directory, with every option at its default: what `make run` produces, in the one slow
test. With the versions of requirements.lock every number must be the same; with any others the
models, methods and rules must be, and numbers within TOLERANCE.
"""

import re
import subprocess
import sys
from importlib import metadata

import matplotlib.image
import numpy as np
import pytest
from packaging.requirements import Requirement

from readme_results import FIGURES, ROOT, SCRIPTS, render, split_readme

README, LOCK = ((ROOT / name).read_text() for name in ("README.md", "requirements.lock"))
NUMBER = re.compile(r"\d+(?:\.\d+)?")
TOLERANCE = {"": 4, ".": 0.15}  # of counts and percentages; of what has decimals
BY_CHANCE = "Q2"  # which genes lead depends on the versions: only its title is held to the README


def is_installed(pin: Requirement) -> bool:
    try:
        return metadata.version(pin.name) in pin.specifier
    except metadata.PackageNotFoundError:
        return False


PINS = [Requirement(line) for line in LOCK.splitlines() if not line.startswith("#")]
LOCKED = all(is_installed(pin) for pin in PINS if pin.marker is None or pin.marker.evaluate())


def assert_same_meaning(stated: str, found: str) -> None:
    """Assert equal words, and numbers within the tolerance."""
    assert NUMBER.sub("#", stated) == NUMBER.sub("#", found)
    for a, b in zip(NUMBER.findall(stated), NUMBER.findall(found), strict=True):
        assert abs(float(a) - float(b)) <= TOLERANCE["." if "." in a else ""], (a, b, stated)


@pytest.fixture(scope="module")
def default_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("default")
    for script in SCRIPTS:
        command = [sys.executable, "-W", "error", ROOT / f"{script}.py", "--output-dir", folder]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
        assert f"Written to {folder / script}" in process.stdout
    return folder


def test_every_number_of_the_results_is_what_the_scripts_say(default_run):
    stated, found = split_readme(README)[1], render(default_run)
    if LOCKED:
        assert stated == found
        return
    for section, other in zip(stated.split("\n**"), found.split("\n**"), strict=True):
        lines, others = section.splitlines(), other.splitlines()
        assert lines[0] == others[0]
        if BY_CHANCE not in lines[0]:
            for line, in_run in zip(lines, others, strict=True):
                if line.startswith("|"):
                    assert_same_meaning(line, in_run)


@pytest.mark.skipif(not LOCKED, reason="other versions draw other pixels")
@pytest.mark.parametrize("figure", FIGURES)
def test_its_figures_are_those_of_the_scripts(default_run, figure):
    name = f"docs/figures/{figure.split('/')[1]}.png"
    assert name in README
    shown, drawn = (
        matplotlib.image.imread(p) for p in (ROOT / name, default_run / f"{figure}.png")
    )
    assert shown.shape == drawn.shape
    assert np.abs(shown - drawn).mean() < 1e-3


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_file_it_names_is_written_and_every_file_written_is_named(default_run, script):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{script}.py`"))
    named = set(re.findall(r"`([\w.]+)`", row)) - {f"{script}.py"}
    written = {
        path.stem if path.suffix == ".png" else path.name
        for path in (default_run / script).iterdir()
    }
    assert named == written - {"metrics.txt", "metrics.json"}


def test_the_commands_files_and_options_it_shows_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for name in re.findall(r"`(\w+\.py|require[\w-]+\.(?:txt|lock))`", README):
        assert any(ROOT.glob(f"**/{name}")), name
    for module in re.findall(r"`(\w+)`", README.split("| `expression/` |")[1].split("\n\n")[0]):
        assert (ROOT / "expression" / f"{module}.py").exists(), module
    sources = [ROOT / "expression/options.py", *(ROOT / f"{script}.py" for script in SCRIPTS)]
    code = "".join(path.read_text() for path in sources)
    for option in set(re.findall(r"`(--[\w-]+)", README)) - {"--help"}:
        assert f'"{option}"' in code, option


def test_the_lock_serves_every_python_and_names_no_index():
    assert "http" not in LOCK
    assert "file:" not in LOCK
    for pin in PINS:
        assert [specifier.operator for specifier in pin.specifier] == ["=="]
        assert "python" not in str(pin.marker) or "darwin" in str(pin.marker), pin
