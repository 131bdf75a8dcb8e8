"""The README and the scripts agree: the whole default analysis is run as a user runs it.

From another directory, with every option at its default. It is the one slow test, and what it
produces is what `make run` produces.
"""

import re
import subprocess
import sys

import pytest

from readme_results import FIGURES, ROOT, render, split_readme

SCRIPTS = ("classifier_models", "explainability", "clustering_analysis", "pca_plot")
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def default_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("default")
    for script in SCRIPTS:
        command = [sys.executable, "-W", "error", ROOT / f"{script}.py", "--output-dir", folder]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
        assert f"Written to {folder / script}" in process.stdout
    return folder


def test_every_number_of_the_results_is_what_the_scripts_say(default_run):
    assert split_readme(README)[1] == render(default_run)


def test_its_figures_are_those_of_the_scripts(default_run):
    for figure in FIGURES:
        name = f"docs/figures/{figure.split('/')[1]}.png"
        assert name in README
        assert (ROOT / name).exists()
        assert (default_run / f"{figure}.png").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_file_it_names_is_written_and_every_file_written_is_named(default_run, script):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{script}.py`"))
    named = set(re.findall(r"`([\w.]+)`", row)) - {f"{script}.py"}
    written = {
        path.stem if path.suffix == ".png" else path.name
        for path in (default_run / script).iterdir()
    }
    assert named == written - {"metrics.txt", "metrics.json"}


def test_the_commands_it_shows_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for name in re.findall(r"`(\w+\.py|require[\w-]+\.txt)`", README):
        assert any(ROOT.glob(f"**/{name}")), name
