"""The README and the scripts agree: the whole default analysis is run as a user runs it.

In the one slow test, from another directory. With the versions of requirements.lock every number
must be the same; with others the models, methods and rules must be, and numbers within TOLERANCE.
"""

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement

import summary
from expression.analysis.batches import batch_alone
from expression.analysis.components import ERROR
from expression.analysis.evaluation import are_correct
from expression.analysis.intervals import wilson_interval
from expression.analysis.models import build_models, classifier_names
from expression.analysis.new_patients import count_farther_out
from expression.analysis.tuning import fit_models, predict
from expression.reading.load import DATA_DIR, load_expression_data
from run_script import contents, record, table
from summary import ROOT, SCRIPTS, render, split_readme

README, LOCK = ((ROOT / name).read_text() for name in ("README.md", "requirements.lock"))
NUMBER = re.compile(r"\d+(?:\.\d+)?")
TOLERANCE = {False: 4, True: 0.15}  # of counts and percentages; of what has decimals


def is_installed(pin: Requirement) -> bool:
    try:
        return metadata.version(pin.name) in pin.specifier
    except metadata.PackageNotFoundError:
        return False


PINS = [Requirement(line) for line in LOCK.splitlines() if not line.startswith("#")]
LOCKED = all(is_installed(pin) for pin in PINS if pin.marker is None or pin.marker.evaluate())


@pytest.fixture(scope="module")
def default_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("default")
    for script in SCRIPTS:
        command = [sys.executable, "-W", "error", ROOT / f"{script}.py", "--output-dir", folder]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3_600)
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
        assert f"Written to {folder / script}" in process.stdout
    return folder


def test_every_number_of_the_results_is_what_the_scripts_say(default_run):
    stated, found = split_readme(README)[1], render(default_run, in_readme=True)
    if LOCKED:
        assert stated == found
        return
    # The rows of all tables but that of Q2: which genes lead depends on the versions
    stated, found = (
        "\n".join(re.findall(r"^\|.*", re.sub("(?s)### Q2.*### Q3", "", page), re.MULTILINE))
        for page in (stated, found)
    )
    assert NUMBER.sub("#", stated) == NUMBER.sub("#", found)
    for a, b in zip(NUMBER.findall(stated), NUMBER.findall(found), strict=True):
        assert abs(float(a) - float(b)) <= TOLERANCE["." in a], (a, b)


@pytest.mark.skipif(not LOCKED, reason="other versions may predict another patient")
def test_the_table_of_three_classes_is_what_the_models_predict():
    samples = DATA_DIR / "samples.csv"
    data = load_expression_data(labels=[samples], class_column="subtype", batch_column="source")
    models = build_models(data.preprocessing, seed=0, classes=3)
    fitted = fit_models(
        {name: models[name] for name in classifier_names()}, data.X_train, data.y_train
    )
    correct = are_correct(predict(fitted, data.X_test, data.classes), data.y_test)
    lines = [f"| model | test patients | {' | '.join(data.classes)} |", "| --- " * 5 + "|"]
    for name in correct:
        right = correct[name].sum()
        low, high = (f"{100 * limit:.0f}" for limit in wilson_interval(right / 34, 34))
        by_class = correct[name].groupby(data.y_test, observed=True)
        counts = [f"{of_class.sum()} of {len(of_class)}" for _, of_class in by_class]
        lines.append(f"| {name} | {right} of 34 ({low}–{high}%) | {' | '.join(counts)} |")
    assert "\n".join(lines) in README
    assert f"0 of 1 has an interval of 0–{100 * wilson_interval(0, 1)[1]:.0f}%" in README


def test_the_introduction_says_what_the_hospital_alone_predicts(data):
    test = data.X_test.index
    train = data.X_train.index
    hospitals = data.batches
    assert pd.crosstab(hospitals[train], data.y_train).to_dict("index") == {
        "CALGB": {"ALL": 0, "AML": 11},
        "DFCI": {"ALL": 27, "AML": 0},
    }
    worst, best = batch_alone(data.y_train, hospitals[train], data.y_test, hospitals[test])
    assert f"only the hospital is right for {worst}–{best} of the {len(test)} test" in README


def test_the_first_sentence_counts_the_probe_sets_and_the_controls_among_them(data):
    genes = data.X_train.columns
    controls = genes.str.startswith("AFFX-").sum()
    assert f"{len(genes):,} genes (probe sets of the array, {controls} of them controls)" in README


@pytest.mark.skipif(not LOCKED, reason="other versions draw other pixels")
def test_its_figures_are_those_of_the_scripts(default_run):
    drawn = {path.name: path for script in SCRIPTS for path in (default_run / script).glob("*.png")}
    shown = {path.name: path for path in (ROOT / "docs/figures").iterdir()}
    assert shown.keys() == drawn.keys()
    for name in shown:
        a, b = (matplotlib.image.imread(paths[name]) for paths in (shown, drawn))
        assert a.shape == b.shape, name
        assert np.abs(a - b).mean() < 1e-3, name


def test_the_new_patients_are_told_what_they_are_as_test_patients(default_run, data):
    files = contents(default_run / "classifier_models")
    best = record(files)["headline"]["in_short"][0].split(": ")[1].split(",")[0]
    found = table(files, "predictions")
    block = README.split("patient class probability not excluded")[1].split("```")[0]
    rows = [re.split(r"\s{2,}", line.strip()) for line in block.splitlines()[1:]]
    patients = [int(row[0]) for row in rows]
    farther = count_farther_out(replace(data, X_new=data.X_test.loc[patients]), seed=0)
    expected = []
    for patient in patients:
        predicted = [found.loc[patient, f"{name}: predicted class"] for name in classifier_names()]
        label = found.loc[patient, f"{best}: predicted class"]
        p = found.loc[patient, f"{best}: probability of AML"]
        others = len(predicted) - predicted.count(label)
        [other] = {"ALL", "AML"} - {label}
        expected.append(
            [
                str(patient),
                label,
                f"{p if label == 'AML' else 1 - p:.2f}",
                found.loc[patient, f"{best}: cannot be excluded"],
                f"{others} of {len(predicted) - 1} {other}" if others else "agree",
                f"{farther[patient]} of 38",
            ]
        )
    if LOCKED:
        assert rows == expected
    assert [row[0] for row in rows] == [row[0] for row in expected]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_file_it_names_is_written_and_every_file_written_is_named(default_run, script):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{script}.py`"))
    named = {f"{script}.py", "metrics.txt", "metrics.json", *re.findall(r"`([\w.]+)`", row)}
    written = {path.name.removesuffix(".png") for path in (default_run / script).iterdir()}
    assert named == written | {f"{script}.py"}
    docstring = ast.get_docstring(ast.parse((ROOT / f"{script}.py").read_text()))
    assert [name for name in written if name not in docstring] == []
    lines = (default_run / script / "metrics.txt").read_text().splitlines()
    assert len(lines) <= 120
    assert max(len(line.rstrip()) for line in lines) <= 100


def test_the_components_of_the_shipped_data(default_run, data):
    found = record(contents(default_run / "pca_plot"))
    results = found["results"]
    assert results["dimensions"] == {
        **{"80% of the variance": 20, "90% of the variance": 27, "95% of the variance": 32},
        **{"retained by parallel analysis": 9, "drawn": 3},
    }
    assert [row["retained"] for row in results["variance"]] == [True] * 9 + [False]
    rows = {(row["contrast"], row["component"]): row for row in results["associations"]}
    assert rows["T-cell ALL - rest", "PC2"]["low"] > 2
    assert rows["test - train", ERROR]["low"] > 0
    assert "Not stable as single axes: PC8, PC9 (" in found["headline"]["in_short"][0]
    files = contents(default_run / "pca_plot")
    assert b"(leave-one-out)" in files["metrics.txt"]
    scores, loadings = table(files, "scores"), table(files, "loadings")
    names = [f"PC{i}" for i in range(1, 11)]
    held_out = [f"{name} held out" for name in names]
    assert list(scores) == ["class", "subtype", "batch", "set", ERROR, *names, *held_out]
    assert list(scores.index) == list(data.X_all.index)
    assert len(loadings) == 3_051
    assert list(loadings) == [*names, "gene"]
    test = scores[scores["set"] == "test"]
    assert (test[names].to_numpy() == test[held_out].to_numpy()).all()
    assert (scores[names].to_numpy() != scores[held_out].to_numpy()).any(axis=1).sum() == 38


def test_the_clusters_of_the_shipped_data(default_run, data):
    files = contents(default_run / "clustering_analysis")
    found = record(files)
    sentences = found["headline"]["in_short"]
    assert [sentence for sentence in sentences if "optimistically biased" in sentence]
    agreement = pd.DataFrame(found["results"]["agreement_class"])
    assert (agreement["purity"] > agreement["purity 95 %"]).all()
    assigned = table(files, "assignments").reset_index()
    assert assigned["cohort"].value_counts().to_dict() == {"all": 72, "training": 38}
    every = assigned[assigned["cohort"] == "all"].set_index("patient")
    assert (every["class"] == data.y_all.astype(str)).all()
    assert (every["set"] == data.sample_set).all()
    assert every["KMeans 3 consensus"].between(0, 1).all()
    assert every["Spectral 3"].value_counts().sort_index().is_monotonic_decreasing


def test_the_commands_files_and_options_it_shows_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for name in re.findall(r"`(\w+\.py|require[\w-]+\.(?:txt|lock))`", README):
        assert any(ROOT.glob(f"**/{name}")), name
    house = (ROOT / "CONTRIBUTING.md").read_text().split("| `expression/` |")[1].split("\n\n")[0]
    for module in re.findall(r"`(\w+)`", house):
        assert list((ROOT / "expression").rglob(f"{module}.py")), module
    sources = [
        ROOT / "expression/running/command.py",
        *(ROOT / f"{script}.py" for script in SCRIPTS),
    ]
    code = "".join(path.read_text() for path in sources)
    pages = README + (ROOT / "docs/files.md").read_text()
    for option in set(re.findall(r"`(--[a-z][\w-]*)", pages)) - {"--help"}:
        assert f'"{option}"' in code, option


def test_the_lock_serves_every_python_and_names_no_index():
    assert not re.search("http|file:", LOCK)
    names = [pin.name for pin in PINS if "darwin" not in str(pin.marker)]
    assert len(names) == len(set(names))  # one version of each for all Pythons
    assert all(str(pin.specifier).startswith("==") for pin in PINS)


# --- the page of results -------------------------------------------------------------------------


def test_the_page_answers_each_question_in_six_lines_a_figure_a_table_and_links(tmp_path, capsys):
    sentences = [f"{n}." for n in range(1, 8)]
    headline = {"title": "Q2", "in_short": sentences, "rows": [{"a": "b", "c": "|"}]}
    record = {"script": "explainability.py", "headline": headline, "options": {}}
    record["files"] = ["heatmap.csv", "heatmap.png", "top_genes.png"]
    (tmp_path / "explainability").mkdir()
    (tmp_path / "explainability/metrics.json").write_text(json.dumps(record))
    assert summary.main(["--output-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Written to {tmp_path / 'summary.md'}\n"
    page = (tmp_path / "summary.md").read_text()
    assert page.count("Not answered yet") == 3
    answer = (
        "- 1.\n- 2.\n- 3.\n- 4.\n- 5.\n- 6.\n\n"
        "![heatmap, see docs/gallery.md](explainability/heatmap.png)\n\n"
        "| a | c |\n| --- | --- |\n| b | \\| |\n\nAll of `explainability.py`: "
        "[heatmap.csv](explainability/heatmap.csv), [heatmap.png](explainability/heatmap.png), "
        "[top_genes.png](explainability/top_genes.png).\n\n"
    )
    assert answer in page
    in_readme = answer[: answer.index("All of")].replace("(explainability/", "(docs/figures/")
    assert in_readme in render(tmp_path, in_readme=True)
    assert "All of" not in render(tmp_path, in_readme=True)
    assert summary.markdown_table([]) == "none"


def test_a_page_of_no_folder_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        summary.main(["--output-dir", str(tmp_path / "nowhere")])
    assert "--output-dir: must be a folder - " in capsys.readouterr().err


def test_figures_of_the_readme_are_not_replaced_by_none(tmp_path, capsys):
    with pytest.raises(SystemExit):
        summary.main(["--output-dir", str(tmp_path), "--readme"])
    assert f"no {tmp_path / 'classifier_models' / 'patients.png'}; " in capsys.readouterr().err
