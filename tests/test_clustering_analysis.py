"""Planted clusters are found and noise is called noise; scores agree with scikit-learn's."""

import json

import cluster_quality
import numpy as np
import pandas as pd
import pytest
from cluster_quality import (
    METHODS,
    agreement,
    ambiguous_pairs,
    assess,
    check_cluster_number,
    compare_with_null,
    consensus_share,
    feature_scores,
    misplaced_patients,
    number_by_size,
    pairwise_rand_index,
    purity_score,
)
from expression_data import DataError
from sklearn.cluster import AgglomerativeClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

import clustering_analysis
from clustering_analysis import GOLUB_CHECKSUM, main

QUICK = ("--subsamples", "10", "--nulls", "1", "--clusters", "4", "--permutations", "99", "--quiet")
SIZES = (12, 10, 8)


@pytest.fixture(scope="module")
def planted():
    """Three far clusters of 12, 10 and 8 patients, and what is found in them."""
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 2, 3], SIZES)
    scores = PCA().fit_transform(rng.normal(size=(30, 8)) + 20 * np.eye(8)[truth])
    return truth, assess(scores, (2, 3, 4), subsamples=10, seed=0)


@pytest.fixture(scope="module", autouse=True)
def small_grid():
    """A corner of the grid of features, as every choice takes a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(clustering_analysis.GRID, "genes", (200, 1_000))
        patch.setitem(clustering_analysis.GRID, "components", (None,))
        patch.setitem(clustering_analysis.GRID, "standardise_arrays", (True,))
        yield


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The files of a run on the shipped data, by two processes."""
    folder = tmp_path_factory.mktemp("outputs")
    assert main(["--output-dir", str(folder), "--jobs", "2", *QUICK]) == 0
    return folder / "clustering_analysis"


@pytest.fixture(scope="module")
def results(outputs):
    return json.loads((outputs / "metrics.json").read_text())["results"]


def table_of(results, key):
    return pd.DataFrame(results[key])


# --- purity and agreement


@pytest.mark.parametrize(
    ("truth", "clusters", "purity"),
    [
        ("aabb", [1, 1, 2, 2], 1.0),
        ("aabb", [2, 2, 1, 1], 1.0),
        ("aabb", [1, 1, 1, 2], 0.75),
        ("aaab", [1, 1, 1, 1], 0.75),  # one cluster: the largest class
        ("abab", [1, 2, 3, 4], 1.0),  # a cluster each: always perfect
        ("xxxxxoxooooxvvxvv"[:17], [1] * 6 + [2] * 6 + [3] * 5, 13 / 17),
    ],
)
def test_purity_by_hand(truth, clusters, purity):
    assert purity_score(list(truth), clusters) == pytest.approx(purity)


def test_purity_of_split_clusters_never_falls():
    rng = np.random.default_rng(1)
    truth, clusters = rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    split = clusters * 2 + rng.integers(0, 2, 60)
    assert purity_score(truth, split) >= purity_score(truth, clusters)
    tables = contingency_matrix(truth, clusters)
    assert purity_score(truth, clusters) == tables.max(axis=0).sum() / 60


def test_agreement_p_values_are_those_of_the_scores_themselves():
    rng = np.random.default_rng(2)
    truth = pd.Series(list("abc" * 10))
    clusters = np.where(rng.random(30) < 0.4, truth.map({"a": 1, "b": 2, "c": 3}), 1)
    result = agreement(truth, clusters, permutations=200, seed=5)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(30), (200, 1)), axis=1)
    for name, score in (
        ("purity", purity_score),
        ("ARI", adjusted_rand_score),
        ("AMI", adjusted_mutual_info_score),
    ):
        null = np.array([score(truth.iloc[order], clusters) for order in orders])
        observed = score(truth, clusters)
        assert result[name] == pytest.approx(observed)
        assert result[f"{name} p"] == (1 + np.sum(null >= observed - 1e-9)) / 201
        assert result[f"{name} chance"] == pytest.approx(np.quantile(null, 0.95), abs=0.02)


def test_unrelated_labels_are_called_chance():
    rng = np.random.default_rng(3)
    p = [
        agreement(pd.Series(rng.permutation(list("ab" * 20))), np.repeat([1, 2], 20), 199, 0)
        for _ in range(20)
    ]
    assert np.mean([one["ARI p"] < 0.05 for one in p]) <= 0.2
    assert min(one["purity"] for one in p) >= 0.5


# --- clusters and their clarity


def test_every_method_finds_planted_clusters(planted):
    truth, found = planted
    for method in METHODS:
        np.testing.assert_array_equal(found.labels[method, 3], truth)
        clear = found.quality.loc[(method, 3)]
        assert clear["stability"] == 1
        assert clear["PAC"] == 0
        assert clear["silhouette"] > 0.7
        assert found.quality.loc[(method, 4), "PAC"] > 0
        assert (consensus_share(found.consensus[method, 3], truth) == 1).all()


@pytest.fixture
def few_starts(monkeypatch):
    monkeypatch.setattr(cluster_quality, "RESTARTS", 5)


@pytest.mark.usefixtures("few_starts")
def test_planted_clusters_are_beyond_the_null_and_noise_is_not(planted):
    rng = np.random.default_rng(4)
    noise = [PCA().fit_transform(rng.normal(size=(30, 60))) for _ in range(2)]
    p = []
    for scores in (planted[1].scores, *noise):
        draws = [assess(scores, (3,), 8, 0, draw).quality for draw in range(5)]
        clarity = pd.concat(dict(enumerate(draws)), names=["draw"])
        p.append(compare_with_null(clarity.rename_axis(columns="measure").stack())["p"])
    assert (p[0] == 1 / 5).all()
    assert np.mean(p[1:]) > 0.4


@pytest.mark.usefixtures("few_starts")
def test_null_keeps_the_covariance_and_loses_the_clusters(planted):
    scores = planted[1].scores
    null = assess(scores, (3,), 5, 0, draw=1)
    np.testing.assert_allclose(np.cov(null.scores.T), np.cov(scores.T), atol=1e-9)
    assert null.quality["silhouette"].max() < 0.4 < planted[1].quality["silhouette"].loc[:, 3].min()


@pytest.mark.usefixtures("few_starts")
def test_same_seed_same_assessment(planted):
    scores = planted[1].scores + np.random.default_rng(5).normal(size=(30, 8)) * 9
    once, again = (assess(scores, (2, 3), 5, 7) for _ in range(2))
    pd.testing.assert_frame_equal(once.quality, again.quality)


def test_ambiguous_pairs_by_hand():
    consensus = np.array([[1, 0.5, 0.05], [0.5, 1, 0.95], [0.05, 0.95, 1]])
    assert ambiguous_pairs(consensus) == pytest.approx(1 / 3)
    assert ambiguous_pairs(np.ones((4, 4))) == 0
    assert ambiguous_pairs(np.full((4, 4), 0.5)) == 1


def test_consensus_share_by_hand():
    consensus = np.array([[1, 0.8, 0.1], [0.8, 1, 0.3], [0.1, 0.3, 1]])
    np.testing.assert_allclose(
        consensus_share(consensus, np.array([1, 1, 2])), [0.8, 0.8, np.nan], equal_nan=True
    )


def test_pairwise_rand_index_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    for _ in range(20):
        a, b = rng.integers(0, 4, (2, 25))
        same = (np.equal.outer(labels, labels) for labels in (a, b))
        assert pairwise_rand_index(*same) == pytest.approx(adjusted_rand_score(a, b))


def test_numbers_of_clusters_follow_size_and_not_the_order_of_patients():
    labels = np.array([7, 7, 0, 3, 3, 3])
    np.testing.assert_array_equal(number_by_size(labels), [2, 2, 3, 1, 1, 1])
    order = np.random.default_rng(7).permutation(6)
    np.testing.assert_array_equal(number_by_size(labels[order]), number_by_size(labels)[order])
    np.testing.assert_array_equal(number_by_size(np.array([5, 1])), [1, 2])  # a tie


def test_misplaced_patients_are_those_purity_counts(planted):
    truth, found = planted
    classes = pd.Series(np.where(truth == 1, "A", "B"), index=range(100, 130))
    classes.loc[105] = "B"
    wrong = misplaced_patients(found, classes)
    for method in METHODS:
        share = 1 - purity_score(classes, found.labels[method, 2])
        assert wrong.get(method).notna().sum() == round(30 * share)
    assert 105 in wrong.index


def test_too_many_clusters_for_the_subsamples_are_refused():
    with pytest.raises(DataError, match=r"--clusters: must be at most 7.*found 8"):
        check_cluster_number(8, 10)
    check_cluster_number(7, 10)


# --- features


def test_scores_keep_the_distances_between_patients(data):
    X = data.X_train.to_numpy()
    scores = feature_scores(X, "intensity", 1_000)
    assert scores.shape == (38, 38)
    values = np.log2(np.clip(X, 100, 16_000))
    low, high = np.clip(X, 100, 16_000).min(axis=0), np.clip(X, 100, 16_000).max(axis=0)
    values = values[:, (high > 5 * low) & (high - low > 500)]
    values = (values - values.mean(axis=1)[:, None]) / values.std(axis=1)[:, None]
    values = values[:, np.argsort(values.var(axis=0))[-1_000:]]
    distance = np.linalg.norm(values[0] - values[1:], axis=1)
    np.testing.assert_allclose(np.linalg.norm(scores[0] - scores[1:], axis=1), distance)


def test_a_single_gene_that_varies_is_refused():
    X = np.full((6, 3), 500.0)
    X[:, 0] = [200, 400, 900, 3_000, 9_000, 15_000]
    with pytest.raises(DataError, match=r"at least 10 genes must vary.*found 1"):
        feature_scores(X, "intensity", 2)


def test_features_do_not_depend_on_the_labels_or_the_order_of_patients(data):
    X = data.X_train.to_numpy()
    forward, backward = (feature_scores(x, "intensity", 500) for x in (X, X[::-1]))
    np.testing.assert_allclose(np.abs(backward[::-1, :5]), np.abs(forward[:, :5]), rtol=1e-6)


def test_average_linkage_splits_off_single_patients_and_ward_does_not(data):
    scores = feature_scores(data.X_all.to_numpy(), "intensity", 1_000)
    smallest = {
        linkage: np.bincount(AgglomerativeClustering(3, linkage=linkage).fit_predict(scores)).min()
        for linkage in ("average", "ward")
    }
    assert smallest["average"] == 1
    assert smallest["ward"] > 5


# --- the script on the shipped data


def test_all_files_are_written(outputs):
    names = {path.name for path in outputs.iterdir()}
    figures = ["clusters", "consensus_matrices", "contingency", "dendrogram"]
    tables = ["agreement", "assignments"]
    both = ["k_selection", "sensitivity"]
    assert names == {
        *(f"{name}.png" for name in figures + both),
        *(f"{name}.csv" for name in tables + both),
        "metrics.txt",
        "metrics.json",
    }


def test_known_agreement_on_the_shipped_data(results):
    table = table_of(results, "agreement_class").set_index(["cohort", "method"])
    assert table.loc[("all", "KMeans"), "purity"] == pytest.approx(70 / 72, abs=1e-6)
    assert table.loc["all", "majority class"].iloc[0] == pytest.approx(47 / 72, abs=1e-6)
    assert (table["purity p"] == 0.01).all()
    table = table_of(results, "agreement_subtype").set_index(["cohort", "method"])
    assert (table["purity"].drop("Agglomerative", level="method") > 0.95).all()


def test_the_literature_stands_beside_its_own_data_only(data, results):
    assert data.checksum == GOLUB_CHECKSUM
    assert "0.895" in results["literature"]["self-organising map (Golub et al. 1999)"]
    assert "66" in results["hard_patients"]


def test_every_patient_is_assigned_once_a_cohort(data, outputs):
    table = pd.read_csv(outputs / "assignments.csv")
    assert table["cohort"].value_counts().to_dict() == {"all": 72, "training": 38}
    every = table[table["cohort"] == "all"].set_index("patient")
    assert (every["class"] == data.y_all.astype(str)).all()
    assert set(every["KMeans 3"]) == {1, 2, 3}
    assert every["KMeans 3 share"].between(0, 1).all()
    sizes = every["Spectral 4"].value_counts().sort_index()
    assert sizes.is_monotonic_decreasing


def test_sensitivity_covers_the_grid(outputs):
    table = pd.read_csv(outputs / "sensitivity.csv")
    assert len(table) == 2 * 4 * 2 * 3  # cohorts, choices, kinds of label, methods
    default = table.query(
        "cohort == 'all' and genes == 1000 and standardise_arrays == 'yes' "
        "and scale_genes == 'no' and components == 'all' and labels == 'class'"
    ).set_index("method")
    assert default.loc["KMeans", "purity"] == pytest.approx(70 / 72, abs=1e-6)


def test_same_bytes_whatever_the_jobs(outputs, tmp_path):
    assert main(["--output-dir", str(tmp_path), "--jobs", "1", *QUICK]) == 0
    for path in outputs.iterdir():
        assert (tmp_path / "clustering_analysis" / path.name).read_bytes() == path.read_bytes()


def test_own_cohort_without_test_set_and_subtypes(tmp_path):
    rng = np.random.default_rng(8)
    classes = np.repeat(["sick", "well $x$"], [6, 8])
    X = rng.lognormal(7, 1, size=(14, 300))
    X[:6, :150] *= 20
    table = pd.DataFrame(X, columns=[f"g{i}" for i in range(300)])
    table.insert(0, "class", classes)
    table.insert(0, "patient", [f"p{i}" for i in range(14)])
    table.to_csv(tmp_path / "own.csv", index=False)
    arguments = ["--train", str(tmp_path / "own.csv"), "--output-dir", str(tmp_path)]
    assert main([*arguments, "--jobs", "1", *QUICK]) == 0
    results = json.loads((tmp_path / "clustering_analysis" / "metrics.json").read_text())["results"]
    assert results["left_out"] == {"for want of": ["a test set", "subtypes"]}
    assert not {"literature", "hard_patients", "agreement_subtype"} & set(results)
    assert table_of(results, "agreement_class")["purity"].tolist()[:2] == [1, 1]


def test_too_many_clusters_end_in_one_line(capsys, tmp_path):
    assert main(["--output-dir", str(tmp_path), *QUICK, "--clusters", "40"]) == 2
    assert capsys.readouterr().err.startswith("error: --clusters: must be at most")


def test_bad_option_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--subsamples", "3"])
    assert "--subsamples" in capsys.readouterr().err
    assert cluster_quality.SUBSAMPLE_SHARE < 1
