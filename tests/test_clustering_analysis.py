"""Q3, clusters: what the script says, and how it refuses."""

import numpy as np
import pandas as pd
import pytest

import clustering_analysis
from clustering_analysis import main
from expression.analysis import clusters
from run_script import contents, record, stated_default

QUICK = ("--subsamples", "10", "--nulls", "2", "--clusters", "3", "--permutations", "99")


@pytest.mark.parametrize(
    ("option", "default"),
    [
        ("--genes", 1_000),
        ("--clusters", 5),
        ("--subsamples", 20),
        ("--nulls", 19),
        ("--permutations", 999),
    ],
)
def test_defaults_are_those_of_the_methods(option, default, capsys):
    assert stated_default(clustering_analysis, option, capsys) == default


def test_the_purity_table_is_shown_before_the_long_work(capsys, monkeypatch, tmp_path):
    def stop(*args, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(clusters, "assess_cohorts", stop)
    assert main([*QUICK, "--output-dir", str(tmp_path), "--jobs", "1"]) == 130
    assert "Spectral" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("p", "nulls", "verdict"),
    [
        (0.05, 19, "show clusters; 2 is the smallest number about as far beyond noise as any"),
        (0.06, 99, "show no clusters beyond noise"),
        (0.1, 19, "show no clusters beyond noise"),
        (0.05, 18, "cannot be told from so little noise"),
        (0.1, 9, "cannot be told from so little noise"),
    ],
)
def test_clusters_are_claimed_only_beyond_noise(p, nulls, verdict):
    rows = {"method": "KMeans", "stability": [0.8, 0.6], "null mean": [0.7, 0.5], "p": [p, 0.3]}
    number = clusters.ClusterNumber(2, p, pd.DataFrame(rows, [2, 3]))
    sentence = clustering_analysis.number_sentence("9 patients", number, ks=[2, 3], nulls=nulls)
    assert sentence == (
        f"Without labels 9 patients {verdict} (p {p:.2f}; noise: {nulls} data sets without "
        f"clusters, so p is {1 / (nulls + 1):.2f} or more). Mean stability of the methods against "
        f"that in noise: 2 clusters 0.80 against 0.70 (p {p:.2f}); 3 clusters 0.60 against 0.50 "
        "(p 0.30)."
    )


def test_the_best_purity_and_that_of_the_steadiest_method_are_told():
    index = pd.MultiIndex.from_tuples(
        [("class", "all", method, 2) for method in ("A", "B", "C")],
        names=["labels", "cohort", "method", "k"],
    )
    purities = {"purity": [0.9, 0.8, 0.9], "majority class": 0.7}
    by_k = pd.DataFrame({"method": "B", "stability": 0.8, "null mean": 0.5, "p": 0.05}, [2])
    index_of_features = pd.MultiIndex.from_tuples(
        [("all", "class", "A"), ("all", "class", "B")], names=["cohort", "labels", "method"]
    )
    _, best, steadiest = clustering_analysis.in_short(
        {"all": clusters.ClusterNumber(2, 0.05, by_k)},
        pd.DataFrame(purities, index),
        pd.DataFrame({"default": [0.9, 0.8], "other": [0.75, 0.95]}, index_of_features),
        kinds={"class": 2},
        nulls=19,
        names={"all": "all 9 patients"},
    )
    assert best.endswith(": 2 clusters against the class 0.900 (A, C) on all 9 patients.")
    assert "biased as labels chose the method" in best
    assert steadiest == (
        "2 clusters of the method furthest beyond its noise against the class: purity 0.800 (B; "
        "majority 0.700) on all 9 patients; with other features or any method 0.750 to 0.950."
    )


def test_as_many_clusters_as_labels_are_compared_if_so_many_are_tried():
    truths = pd.DataFrame({"class": list("abab"), "subtype": list("wxyz"), "same": list("aaaa")})
    kinds = clustering_analysis.numbers_to_compare(truths, most=3)
    assert kinds == {"class": 2, "subtype": 3, "same": 2}


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
    assert set(table["method"]) == set(clusters.METHODS)
    assert (table["purity"] == 1).all()


def test_too_many_clusters_end_in_one_line(capsys, tmp_path):
    assert main(["--output-dir", str(tmp_path), *QUICK, "--clusters", "40"]) == 2
    rule = "error: --clusters: must be at most 29, as subsamples have 30 of 38 patients - found 40"
    assert capsys.readouterr().err.startswith(rule)
