"""The script and its figures: on the shipped data, and on cohorts of other shapes."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

import clustering_analysis
from clustering_analysis import draw_clusters, draw_consensus, draw_dendrogram, main
from expression import agreement, clusters, parallel, style

QUICK = ("--subsamples", "10", "--nulls", "1", "--clusters", "3", "--permutations", "99")


def run(folder, *options):
    assert main(["--output-dir", str(folder), "--quiet", *QUICK, *options]) == 0
    return folder / "clustering_analysis"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The files of a run on the shipped data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters.cluster, "__defaults__", (5,))  # starts of KMeans
        return run(tmp_path_factory.mktemp("outputs"), "--jobs", "1")


@pytest.fixture(scope="module")
def own_cohort(tmp_path_factory):
    """The options of a file of 20 patients, half of whose genes differ; no test set or subtypes."""
    rng = np.random.default_rng(8)
    y = np.tile(["sick", "well $x$"], 10)
    X = rng.lognormal(7, 1, size=(20, 200))
    X[y == "sick", :100] *= 20
    table = pd.DataFrame(X).add_prefix("gene").rename("p{}".format)
    table.insert(0, "class", y)
    path = tmp_path_factory.mktemp("own") / "train.csv"
    table.to_csv(path, index_label="patient")
    return "--train", str(path)


# --- the script


def test_the_files_that_its_docstring_names_are_written(outputs):
    names = {path.name for path in outputs.iterdir()}
    figures = {"clusters.png", "consensus_matrices.png", "dendrogram.png", "k_selection.png"}
    tables = {"agreement", "assignments", "contents", "k_selection", "sensitivity"}
    assert names == figures | {f"{name}.csv" for name in tables} | {"metrics.txt", "metrics.json"}
    for name in names:
        assert name.removesuffix(".png") in clustering_analysis.__doc__


def test_the_answer_is_short_and_first_without_labels(outputs):
    record = json.loads((outputs / "metrics.json").read_text())
    sentences = record["headline"]["in_short"]
    assert [s.startswith("Without labels") for s in sentences] == [True, True, False, False]
    assert all("optimistically biased as labels chose it" in s for s in sentences[2:])
    lines = [line.rstrip() for line in (outputs / "metrics.txt").read_text().splitlines()]
    assert len(lines) <= 120
    assert max(map(len, lines[lines.index("In short") :])) <= 100
    table = pd.DataFrame(record["results"]["agreement_class"])
    assert (table["purity"] > table["purity 95 %"]).all()


def test_every_patient_is_assigned_once_a_cohort(data, outputs):
    table = pd.read_csv(outputs / "assignments.csv")
    assert table["cohort"].value_counts().to_dict() == {"all": 72, "training": 38}
    every = table[table["cohort"] == "all"].set_index("patient")
    assert (every["class"] == data.y_all.astype(str)).all()
    assert (every["set"] == data.sample_set).all()
    assert every["KMeans 3 consensus"].between(0, 1).all()
    assert every["Spectral 3"].value_counts().sort_index().is_monotonic_decreasing


def test_the_purity_table_is_shown_before_the_long_work(capsys, monkeypatch, tmp_path, own_cohort):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(clusters, "assess_cohorts", stop)
    assert main([*own_cohort, "--output-dir", str(tmp_path), "--jobs", "1"]) == 130
    assert "Spectral" in capsys.readouterr().out


@pytest.mark.usefixtures("processes")
def test_same_bytes_whatever_the_jobs_without_test_set_and_subtypes(
    own_cohort, monkeypatch, tmp_path
):
    jobs, run_parallel = [], clusters.run_parallel

    def recorded(*args):
        jobs.append(parallel._workers.get().jobs)
        return run_parallel(*args)

    monkeypatch.setattr(clusters, "run_parallel", recorded)
    monkeypatch.setattr(agreement, "ALTERNATIVES", {})
    one = run(tmp_path / "one", *own_cohort, "--jobs", "1", "--clusters", "2")
    monkeypatch.setattr(clustering_analysis.Report, "add_figure", lambda *given: None)
    two = run(tmp_path / "two", *own_cohort, "--jobs", "2", "--clusters", "2")
    assert jobs == [1, 2]
    for name in {path.name for path in two.iterdir()} - {"metrics.json"}:  # it lists the figures
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    results = json.loads((one / "metrics.json").read_text())["results"]
    assert "agreement_subtype" not in results
    table = pd.DataFrame(results["agreement_class"])
    assert set(table["cohort"]) == {"training"}
    assert table["purity"].tolist() == [1, 1, 1]


def test_too_many_clusters_end_in_one_line(capsys, tmp_path):
    assert main(["--output-dir", str(tmp_path), *QUICK, "--clusters", "40"]) == 2
    rule = "error: --clusters: must be at most 29, as subsamples have 30 of 38 patients - found 40"
    assert capsys.readouterr().err.startswith(rule)


# --- figures


@pytest.fixture
def long_names():
    """80 patients with barcodes, three groups with names of 40 characters, and their clusters."""
    names = [f"acute leukemia of the lineage number {i}, x" for i in range(3)]
    members = np.arange(80) % 3
    barcodes = [f"TCGA-AB-{i:04}-03A-01T-0734-13" for i in range(80)]
    groups = pd.Series(np.array(names)[members], barcodes)
    palette = dict(zip(names, ("#0072B2", "#56B4E9", "#D55E00"), strict=True))
    scores = np.random.default_rng(9).normal(size=(80, 5)) + 8 * np.eye(5)[members]
    keys = itertools.product(clusters.METHODS, (2, 3))
    found = {(method, k): 1 + np.minimum(members, k - 1) for method, k in keys}
    with style.theme():
        yield scores, found, groups, palette


def assert_legend_fits(figure):
    figure.draw_without_rendering()
    legend, page = figure.legends[0].get_window_extent(), figure.bbox
    assert page.x0 <= legend.x0
    assert legend.x1 <= page.x1
    assert "80 patients" in figure.get_suptitle()


def test_clusters_have_a_key_for_colours_and_shapes(long_names):
    figure = draw_clusters(*long_names, [2, 3])
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys[3:] == ["cluster 1", "cluster 2", "cluster 3"]
    shapes = [handle.get_marker() for handle in figure.legends[0].legend_handles[3:]]
    assert shapes == ["o", "s", "^"]
    assert len(figure.axes) == 2 * len(clusters.METHODS)
    assert_legend_fits(figure)


def test_consensus_is_drawn_for_all_patients(long_names):
    _, found, groups, palette = long_names
    resampled = {key: np.tile(labels, (2, 1)) for key, labels in found.items()}
    figure = draw_consensus(resampled, found, groups, palette, [2, 3])
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (80, 80)
    assert (np.diag(image) == 1).all()
    assert_legend_fits(figure)


def test_the_tree_thins_out_the_names_of_many_patients(long_names):
    scores, _, groups, palette = long_names
    figure = draw_dendrogram(scores, groups, palette)
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert 20 < len(labels) < 80
    assert labels[0] in set(groups.index)
    assert_legend_fits(figure)
