"""Q3, clusters: what the script says, and its figures."""

import itertools

import numpy as np
import pandas as pd
import pytest

import clustering_analysis
from clustering_analysis import main
from expression.analysis import clusters
from expression.figures.clustering_analysis import draw_clusters, draw_consensus, draw_dendrogram
from expression.running import style
from run_script import contents, record

QUICK = ("--subsamples", "10", "--nulls", "2", "--clusters", "3", "--permutations", "99")


# --- the script


def test_the_purity_table_is_shown_before_the_long_work(capsys, monkeypatch, tmp_path):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(clusters, "assess_cohorts", stop)
    assert main([*QUICK, "--output-dir", str(tmp_path), "--jobs", "1"]) == 130
    assert "Spectral" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("p", "nulls", "verdict"),
    [
        (
            0.05,
            19,
            "show clusters; 2 is the smallest number about as far beyond noise as any, in 90% of "
            "resamples of the noise, too (p 0.05; noise: 19 data sets without clusters, so p is "
            "0.05 or more).",
        ),
        (
            0.1,
            19,
            "show no clusters beyond noise (p 0.10; noise: 19 data sets without clusters, so p is "
            "0.05 or more).",
        ),
        (
            0.1,
            9,
            "cannot be told from so little noise (p 0.10; noise: 9 data sets without clusters, so "
            "p is 0.10 or more).",
        ),
    ],
)
def test_clusters_are_claimed_only_beyond_noise(p, nulls, verdict):
    row = {"method": "KMeans", "stability": 0.8, "null mean": 0.7, "p": p, "resampled": 0.9}
    choices = {"all": clusters.Choice(2, p, pd.DataFrame(row, [2]))}
    said, _ = clustering_analysis.summarise(choices, nulls, None, {}, None, {"all": "9 patients"})
    assert said.startswith(f"Without labels 9 patients {verdict}")


def test_planted_classes_are_found_without_test_set_and_subtypes(tmp_path):
    rng, y = np.random.default_rng(8), np.tile(["sick", "well $x$"], 10)
    X = rng.lognormal(7, 1, size=(20, 200))
    X[y == "sick", :100] *= 20
    table = pd.DataFrame(X).add_prefix("gene").rename("p{}".format)
    table.insert(0, "class", y)
    table.to_csv(tmp_path / "train.csv", index_label="patient")
    argv = ["--train", str(tmp_path / "train.csv"), "--output-dir", str(tmp_path), *QUICK]
    assert main([*argv, "--jobs", "1", "--quiet", "--clusters", "2"]) == 0
    results = record(contents(tmp_path / "clustering_analysis"))["results"]
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
    scores, *others = long_names
    figure = draw_clusters(scores, 10 * scores[:, 0].var(), *others, [2, 3])
    assert figure.axes[-1].get_xlabel() == "PC1 (10.0 % of variance)"
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
