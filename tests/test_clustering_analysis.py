"""Q3, clusters: what the script says, and how it refuses."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import clustering_analysis
from clustering_analysis import main
from expression.analysis import agreement, clusters
from many_classes import simulate_classes
from run_script import contents, record, run, stated_default

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
        (
            0.05,
            19,
            "show clusters (or a gradual change, which can look the same): 2 is the smallest "
            "number about as far beyond noise as any",
        ),
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
        f"Without labels 9 patients {verdict} (p {p:.2f}, at best {1 / (nulls + 1):.2f} with "
        f"{nulls} data sets of noise). Found again in subsamples (1: always): 2 clusters 0.80, in "
        f"noise 0.70 (p {p:.2f}); 3 clusters 0.60, in noise 0.50 (p 0.30)."
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
    _, of_class = clustering_analysis.in_short(
        {"all": clusters.ClusterNumber(2, 0.05, by_k)},
        pd.DataFrame(purities, index),
        None,
        pd.DataFrame({"default": [0.9, 0.8], "other": [0.75, 0.95]}, index_of_features),
        kinds={"class": 2},
        nulls=19,
        names={"all": "all 9 patients"},
    )
    assert of_class == (
        "Against the class, 2 clusters of the method furthest beyond its noise have purity 0.800 "
        "in all 9 patients (B; one cluster 0.700); other features or methods 0.750 to 0.950; the "
        "best method 0.900, optimistically biased as labels chose it."
    )


@pytest.fixture
def batch_agreement():
    """Of one method and number in two cohorts, of which the second has one batch in class a."""
    kinds = ["batch", "batch within a", "batch within b"]
    index = pd.MultiIndex.from_product(
        [kinds, ["all", "training"], ["A"], [2]], names=["labels", "cohort", "method", "k"]
    )
    table = pd.DataFrame({"ARI": 0.9, "corrected p": np.nan}, index)
    table.loc["batch within a", "all"] = [0.2, 0.01]
    table.loc["batch within b", "all"] = [0.4, 0.3]
    table.loc["batch within b", "training"] = [0.1, 0.04]
    table = table.drop(("batch within a", "training", "A", 2))
    overview = pd.DataFrame({"batches": 2}, index.droplevel(["method", "k"]))
    overview.loc["batch within a", "training"] = 1
    return agreement.BatchAgreement(table, table, overview)


NAMES = {"all": "all 9 patients", "training": "the 5 training patients"}


def test_clusters_follow_the_batch_where_the_corrected_p_says_so(batch_agreement):
    sentence = clustering_analysis.batch_sentence(batch_agreement, NAMES)
    assert sentence == (
        "Within a class the clusters follow the batch: largest adjusted Rand index 0.20, of a in "
        "all 9 patients (A, 2 clusters; p 0.010, corrected for the 3 looked at). Not compared in "
        "the 5 training patients, of one batch only: a."
    )
    batch_agreement.looked_at["corrected p"] *= 10
    sentence = clustering_analysis.batch_sentence(batch_agreement, NAMES)
    assert sentence.startswith(
        "Within a class the clusters do not follow the batch beyond chance: largest adjusted Rand "
        "index 0.40, of b in all 9 patients (A, 2 clusters; p 3.000, corrected for the 3 looked at)"
    )


def test_where_every_class_has_one_batch_nothing_is_claimed(batch_agreement):
    for only in (batch_agreement.looked_at.loc[["batch"]], batch_agreement.looked_at[:0]):
        nothing = batch_agreement._replace(looked_at=only)
        sentence = clustering_analysis.batch_sentence(nothing, NAMES)
        assert sentence.startswith("Whether clusters are batches cannot be told: every class has")


def test_batches_and_people_are_in_tables_and_words(few_genes, tmp_path, monkeypatch):
    """Two arrays of each person, within training and test; with names as long as they come."""
    monkeypatch.setattr(agreement, "ALTERNATIVES", {})
    y = few_genes.y_all
    numbers = np.r_[np.arange(38) // 2, 50 + np.arange(34) // 2]
    laboratories = [f"laboratory of a rather long name, number {i % 3}" for i in range(72)]
    data = replace(
        few_genes,
        batches=pd.Series(laboratories, y.index, name="center"),
        groups=pd.Series(numbers, y.index, name="person").map("person {}".format),
    )
    files = run(clustering_analysis, data, tmp_path, *QUICK, figures=True)
    written = record(files)
    sentences = written["headline"]["in_short"]
    assert "Without labels all 72 arrays" in sentences[0]
    assert sentences[2].startswith("Within a class the clusters ")
    assert b" arrays  batches " in files["metrics.txt"]
    lines = files["metrics.txt"].decode().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    kinds = pd.read_csv(io.BytesIO(files["agreement.csv"]))["labels"].unique()
    of_batches = ["batch", "batch within ALL", "batch within AML"]
    assert list(kinds) == ["class", "subtype", *of_batches]
    compared = pd.DataFrame(written["results"]["agreement_batch"])
    assert set(compared["labels"]) == set(of_batches)
    assigned = pd.read_csv(io.BytesIO(files["assignments.csv"]))
    assert list(assigned)[:6] == ["cohort", "patient", "class", "subtype", "batch", "set"]
    assert set(assigned["batch"]) == set(laboratories)


def test_as_many_clusters_as_labels_are_compared_if_so_many_are_tried():
    truths = pd.DataFrame({"class": list("abab"), "subtype": list("wxyz"), "same": list("aaaa")})
    kinds = clustering_analysis.numbers_to_compare(truths, most=3)
    assert kinds == {"class": 2, "subtype": 3, "same": 2}


@pytest.mark.parametrize(
    ("labels", "largest", "numbers"),
    [
        ({"class": 2}, 29, [2, 3, 4, 5]),
        ({"class": 2, "subtype": 5}, 29, [2, 3, 4, 5]),
        ({"class": 7}, 29, [2, 3, 4, 5, 6, 7]),
        ({"class": 9, "subtype": 13}, 99, [2, 3, 4, 5, 6, 8, 9, 10, 12, 13]),
        ({"class": 20}, 99, [2, 3, 4, 5, 6, 8, 10, 12, 15, 20]),
        ({"class": 2, "subtype": 70}, 99, [2, 3, 4, 5, 6, 8, 10, 12, 15, 20]),
        ({"class": 2, "subtype": 9}, 7, [2, 3, 4, 5, 6, 7]),
    ],
)
def test_numbers_of_clusters_reach_the_number_of_labels_in_steps(labels, largest, numbers):
    truths = pd.DataFrame({kind: np.arange(140) % count for kind, count in labels.items()})
    tried = clustering_analysis.numbers_to_try(truths, largest)
    assert tried == numbers
    kinds = clustering_analysis.numbers_to_compare(truths, most=tried[-1])
    assert set(kinds.values()) <= set(tried)


def test_contents_of_many_groups_are_told_by_the_largest():
    contents = pd.DataFrame([[1, 0, 7, 2], [0, 4, 0, 0]], columns=list("abcd"))
    table = clustering_analysis.largest_groups(contents)
    assert table.to_numpy().tolist() == [[10, "7 c, 2 d and 1 more"], [4, "4 b"]]


def test_twenty_classes_with_subtypes_of_long_names_fit_the_page(tmp_path, monkeypatch):
    """The classes are found, as twenty clusters are tried without being asked for."""
    monkeypatch.setattr(agreement, "ALTERNATIVES", {})
    monkeypatch.setattr(clusters, "RESTARTS", 5)
    cohort = simulate_classes(
        [5, 8] * 10,
        effect=4,
        test_sizes=[1] * 20,
        name="acute leukaemia with rearrangement no {:03}",
        batches=3,
    )
    y = cohort.y_all.astype(str)
    subtypes = y + np.where(np.arange(len(y)) % 2 == 0, ", one kind", ", another")
    counts = "--subsamples", "10", "--nulls", "2", "--permutations", "19"
    files = run(clustering_analysis, replace(cohort, subtypes=subtypes), tmp_path, *counts)
    lines = files["metrics.txt"].decode().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    written = record(files)
    assert written["options"]["clusters"] == 20
    assert written["headline"]["rows"][0]["purity, class, k = 20"] == "1.000"


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
