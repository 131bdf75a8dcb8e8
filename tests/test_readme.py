"""The README and the scripts agree: the whole default analysis is run as a user runs it.

From another directory, with every option at its default: what `make run` produces, in the one slow
test. With the versions of requirements.lock every number must be the same; with any others the
models, methods and rules must be, and numbers within TOLERANCE.
"""

import json
import re
import subprocess
import sys
from importlib import metadata

import matplotlib.image
import numpy as np
import pytest
from packaging.requirements import Requirement

import summary
from summary import ROOT, SCRIPTS, locate_in_readme, render, split_readme

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
    stated, found = split_readme(README)[1], render(default_run, locate_in_readme)
    if LOCKED:
        assert stated == found
        return
    for section, other in zip(stated.split("### ")[1:], found.split("### ")[1:], strict=True):
        lines, others = section.splitlines(), other.splitlines()
        assert lines[0] == others[0]
        if BY_CHANCE not in lines[0]:
            for line, in_run in zip(lines, others, strict=True):
                if line.startswith("|"):
                    assert_same_meaning(line, in_run)


@pytest.mark.skipif(not LOCKED, reason="other versions select other genes")
def test_each_selected_gene_has_a_phrase_of_biology(default_run):
    record = json.loads((default_run / "explainability/metrics.json").read_text())
    phrases = next(line for line in README.splitlines() if line.startswith("**The selected genes"))
    for row in record["headline"]["rows"]:
        assert row["gene"].split()[0] in phrases


@pytest.mark.skipif(not LOCKED, reason="other versions draw other pixels")
def test_its_figures_are_those_of_the_scripts(default_run):
    drawn = {path.name: path for script in SCRIPTS for path in (default_run / script).glob("*.png")}
    shown = {path.name: path for path in (ROOT / "docs/figures").iterdir()}
    assert shown.keys() == drawn.keys()
    for name in shown:
        a, b = (matplotlib.image.imread(paths[name]) for paths in (shown, drawn))
        assert a.shape == b.shape, name
        assert np.abs(a - b).mean() < 1e-3, name


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
    names = [pin.name for pin in PINS if "darwin" not in str(pin.marker)]
    assert len(names) == len(set(names))  # one version of each for all Pythons
    for pin in PINS:
        assert [specifier.operator for specifier in pin.specifier] == ["=="]


# --- the page of results -------------------------------------------------------------------------


@pytest.fixture
def outputs(tmp_path):
    """Outputs of the script that answers Q2; the others have not been run."""
    record = {
        "script": "explainability.py",
        "headline": {
            "title": "Q2, the genes",
            "in_short": ["One.", "Two.", "Three.", "Four."],
            "rows": [{"gene": "ZYX", "higher in": "A|B"}],
        },
        "files": ["genes.csv", "heatmap.png", "metrics.txt", "top_genes.png"],
    }
    (tmp_path / "explainability").mkdir()
    (tmp_path / "explainability/metrics.json").write_text(json.dumps(record))
    return tmp_path


def test_the_page_answers_each_question_in_three_lines_a_figure_and_links(outputs, capsys):
    assert summary.main(["--output-dir", str(outputs)]) == 0
    page = (outputs / "summary.md").read_text()
    assert capsys.readouterr().out == f"Written to {outputs / 'summary.md'}\n"
    answer = page.split("### Q2")[1].split("### Q3")[0]
    assert "- One.\n- Two.\n- Three.\n\n![Q2, the genes](explainability/heatmap.png)" in answer
    assert "Four." not in page
    assert "| gene | higher in |\n| --- | --- |\n| ZYX | A\\|B |\n" in answer
    links = re.findall(r"[^!]\[([\w.]+)\]\(explainability/([\w.]+)\)", answer)
    assert links == [
        (name, name) for name in ("genes.csv", "heatmap.png", "metrics.txt", "top_genes.png")
    ]
    assert page.count("Not answered yet") == 3


def test_in_the_readme_the_page_links_figures_alone(outputs):
    page = render(outputs, locate_in_readme)
    assert "![Q2, the genes](docs/figures/heatmap.png)" in page
    assert "[top_genes.png](docs/figures/top_genes.png)" in page
    assert "`genes.csv`" in page


def test_a_page_without_genes_says_none(outputs):
    record = json.loads((outputs / "explainability/metrics.json").read_text())
    record["headline"]["rows"] = []
    (outputs / "explainability/metrics.json").write_text(json.dumps(record))
    assert "\n\nnone\n\nAll of" in render(outputs)


def test_a_page_of_no_folder_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        summary.main(["--output-dir", str(tmp_path / "nowhere")])
    assert "--output-dir: must be a folder - " in capsys.readouterr().err
