"""PCA: planted ranks and noise, scikit-learn and hand computation as oracles, the files."""

import argparse
import dataclasses
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from preprocessing import VariationFilter, preprocessing_steps
from reporting import group_palette
from scipy.stats import ttest_ind
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

import pca_plot

ARGS = argparse.Namespace(seed=0, permutations=60, quiet=True)
STEPS = [("as_given", "passthrough")]


def planted(rank, strength=2.0, n_patients=30, n_genes=300, seed=1):
    """Gaussian noise with `rank` directions of clearly larger and well-separated variance."""
    rng = np.random.default_rng(seed)
    patients = np.linalg.qr(rng.normal(size=(n_patients, rank)))[0] if rank else np.zeros((30, 0))
    sizes = strength * np.sqrt(n_genes) * np.linspace(1.5, 1, rank)
    genes = np.linalg.qr(rng.normal(size=(n_genes, max(rank, 1))))[0][:, :rank]
    X = rng.normal(size=(n_patients, n_genes)) + (patients * sizes) @ genes.T
    return pd.DataFrame(X).add_prefix("g").rename("p{}".format)


def variance_of(X, args=ARGS):
    pipeline = Pipeline([*STEPS, ("pca", PCA(svd_solver="full"))]).fit(X.to_numpy())
    return pca_plot.explained_variance(pipeline, X, args)


def with_train(data, X):
    """The data with other training values (and genes), and nobody to test."""
    return dataclasses.replace(data, X_train=X, X_test=X.iloc[:0], y_test=data.y_test.iloc[:0])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As `command_line` sets it: many small fits, and several test processes."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def fitted(data):
    return pca_plot.fit_pca(data, preprocessing_steps())


@pytest.fixture(scope="module")
def left_out(data, fitted):
    variance = pca_plot.explained_variance(fitted[0], data.X_train, ARGS)
    return pca_plot.left_out_scores(fitted[0], data, variance)


# How many components are real


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_parallel_analysis_recovers_a_planted_rank(rank):
    assert variance_of(planted(rank))["real"].sum() == rank


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_real_component(seed):
    assert variance_of(planted(0, seed=seed))["real"].sum() == 0


def test_noise_that_went_through_the_preprocessing_has_no_real_component(data):
    intensities = np.exp2(np.random.default_rng(3).normal(9, 1.5, size=(38, 800)))
    X = pd.DataFrame(intensities, data.X_train.index).add_prefix("g")
    pipeline, _ = pca_plot.fit_pca(with_train(data, X), preprocessing_steps())
    assert pca_plot.explained_variance(pipeline, X, ARGS)["real"].sum() == 0


def test_explained_variance_is_that_of_scikit_learn():
    X = planted(2)
    variance = variance_of(X)
    ratio = PCA().fit(X.to_numpy()).explained_variance_ratio_
    np.testing.assert_allclose(variance["ratio"], ratio[: len(X) - 1])
    assert variance["cumulative"].iloc[-1] == pytest.approx(1)


def test_permuting_keeps_the_total_variance():
    variance = variance_of(planted(2))
    assert variance["null_mean"].sum() == pytest.approx(1)


def test_smallest_p_value_counts_the_data_themselves():
    assert variance_of(planted(1))["p_value"].iloc[0] == pytest.approx(1 / 61)


def test_a_component_behind_an_unreal_one_is_not_real():
    variance = variance_of(planted(1))
    first_unreal = int(variance["real"].sum())
    assert not variance["real"].iloc[first_unreal:].any()


def few_genes(data, count):
    """Keep `count` of the genes that vary, and test patients of both classes."""
    genes = data.X_train.columns[
        VariationFilter().fit(data.X_train.clip(100, 16_000)).get_support()
    ]
    X_train, X_test = data.X_train[genes[:count]], data.X_test[genes[:count]]
    return dataclasses.replace(data, X_train=X_train, X_test=X_test)


@pytest.mark.parametrize("count", [10, 30, 40])
def test_fewer_genes_than_patients_are_enough(data, count):
    few = few_genes(data, count)
    pipeline, _ = pca_plot.fit_pca(few, STEPS)
    variance = pca_plot.explained_variance(pipeline, few.X_train, ARGS)
    left_out = pca_plot.left_out_scores(pipeline, few, variance)
    assert len(variance) == min(count, 37)
    assert np.isfinite(left_out.to_numpy()).all()
    assert pca_plot.recommend_dimensions(variance)[0] in (2, 3)


def test_only_patients_that_are_there_are_in_the_legend(data):
    none = {"X_test": data.X_test[:0], "y_test": data.y_test[:0], "subtypes": data.subtypes[:38]}
    train_only = dataclasses.replace(data, **none)
    plane = pd.DataFrame(np.zeros((38, 2)), train_only.X_train.index, ["PC1", "PC2"])
    figure = pca_plot.plot_patients([plane], train_only)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["B-cell ALL, train (19)", "T-cell ALL, train (8)", "AML, train (11)"]


def test_leading_genes_by_sign_and_size(data):
    genes = data.X_train.columns[:20]
    loadings = pd.DataFrame({"PC1": np.linspace(-0.5, 1, 20)}, genes)
    named = pca_plot.leading_genes(loadings, data)
    assert named["PC1 +"] == list(data.gene_names[genes[::-1][: len(named["PC1 +"])]])
    assert named["PC1 -"][0] == data.gene_names[genes[0]]
    assert sum(map(len, named.values())) == pca_plot.NAMED_GENES


def test_seed_decides_the_null():
    X = planted(2)
    other = variance_of(X, argparse.Namespace(seed=1, permutations=60, quiet=True))
    pd.testing.assert_frame_equal(variance_of(X), variance_of(X))
    assert not other["null_mean"].equals(variance_of(X)["null_mean"])


@pytest.mark.parametrize(
    ("ratio", "n_real", "expected"),
    [
        ([0.4, 0.2, 0.19, 0.05], 3, 3),  # the second and third belong together
        ([0.4, 0.3, 0.1, 0.09], 3, 2),
        ([0.4, 0.2, 0.19, 0.05], 2, 2),  # never an unreal one, when two are real
        ([0.3, 0.26, 0.24, 0.2], 0, 2),  # a page has two axes
    ],
)
def test_recommended_dimensions(ratio, n_real, expected):
    variance = pd.DataFrame({"ratio": ratio, "real": np.arange(4) < n_real})
    drawn, why = pca_plot.recommend_dimensions(variance)
    assert drawn == expected
    assert f"Above permuted genes: {n_real} components" in why
    assert f"To draw: {expected} " in why


# Components, their signs, and patients outside the fit


def test_components_are_those_of_scikit_learn_up_to_sign(data, fitted):
    pipeline, scores = fitted
    Z = pipeline[:-1].transform(data.X_train.to_numpy())
    oracle = PCA(n_components=5, svd_solver="arpack").fit(Z)
    agreement = np.abs((pipeline[-1].components_[:5] * oracle.components_).sum(axis=1))
    np.testing.assert_allclose(agreement, 1, atol=1e-9)
    assert scores.columns[0] == "PC1 (16.5 % of variance)"


def test_test_patients_are_projected_by_hand(data, fitted):
    pipeline, scores = fitted
    kept = list(pipeline[:-1].get_feature_names_out(data.X_train.columns))

    def prepared(X):
        Z = np.log2(X[kept].clip(100, 16_000).to_numpy())
        return (Z - Z.mean(axis=1, keepdims=True)) / Z.std(axis=1, keepdims=True)

    centred = prepared(data.X_test) - prepared(data.X_train).mean(axis=0)
    by_hand = centred @ pipeline[-1].components_[:4].T
    np.testing.assert_allclose(scores.loc[data.X_test.index].iloc[:, :4], by_hand, atol=1e-8)


def test_test_patients_change_no_component(data, fitted):
    other = dataclasses.replace(data, X_test=data.X_test * 3 + 500)
    np.testing.assert_array_equal(
        pca_plot.fit_pca(other, preprocessing_steps())[0][-1].components_,
        fitted[0][-1].components_,
    )


def test_gene_of_largest_loading_is_positive(fitted):
    components = fitted[0][-1].components_[:-1]
    largest = np.abs(components).argmax(axis=1)
    assert (components[range(len(components)), largest] > 0).all()


def test_order_of_patients_flips_no_component(data, fitted):
    reversed_data = dataclasses.replace(
        data, X_train=data.X_train[::-1], y_train=data.y_train[::-1]
    )
    _, scores = pca_plot.fit_pca(reversed_data, preprocessing_steps())
    first = fitted[1].iloc[:, :9]
    np.testing.assert_allclose(scores.loc[first.index].iloc[:, :9], first, atol=1e-8)


def test_negated_values_negate_the_scores_and_keep_the_loadings(data):
    negate = [("negate", FunctionTransformer(np.negative))]
    one, scores = pca_plot.fit_pca(data, STEPS)
    other, negated = pca_plot.fit_pca(data, negate)
    np.testing.assert_allclose(one[-1].components_[:9], other[-1].components_[:9], atol=1e-9)
    np.testing.assert_allclose(scores.iloc[:, :9], -negated.iloc[:, :9], rtol=1e-6)


def test_left_out_training_patient_by_hand(data, fitted, left_out):
    _, scores = fitted
    patient = data.X_train.index[4]
    X = data.X_train.drop(patient).to_numpy()
    alone = Pipeline([*preprocessing_steps(), ("pca", PCA(n_components=9, svd_solver="full"))])
    alone.fit(X)
    Z = alone[:-1].transform(data.X_train.loc[[patient]].to_numpy())
    rest = Z - alone[-1].inverse_transform(alone[-1].transform(Z))
    assert left_out.loc[patient, pca_plot.ERROR] == pytest.approx(np.sqrt(np.square(rest).mean()))
    score = alone.transform(data.X_train.loc[[patient]].to_numpy())[0, 0]
    assert abs(left_out.loc[patient, "PC1"]) == pytest.approx(abs(score))
    assert left_out.loc[patient, "PC1"] * scores.loc[patient].iloc[0] > 0


def test_left_out_scores_keep_the_sign_of_the_full_fit(data):
    """Two genes of nearly the same, opposite loading: which is larger changes with the patients."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(38, 80)), data.X_train.index).add_prefix("g")
    X["g0"] += 10 * np.linspace(-1, 1, 38)
    X["g1"] -= 10 * np.linspace(-1, 1, 38)
    alone = with_train(data, X)
    pipeline, scores = pca_plot.fit_pca(alone, STEPS)
    flips = [np.abs(PCA().fit(X.drop(patient)).components_[0]).argmax() != 0 for patient in X.index]
    assert 0 < sum(flips) < 38
    variance = pca_plot.explained_variance(pipeline, X, ARGS)
    found = pca_plot.left_out_scores(pipeline, alone, variance)["PC1"]
    assert np.corrcoef(found, scores.iloc[:, 0])[0, 1] > 0.95


def test_left_out_scores_of_test_patients_are_the_projections(data, fitted, left_out):
    projected = fitted[1].loc[data.X_test.index].iloc[:, :37]
    np.testing.assert_allclose(left_out.loc[data.X_test.index].iloc[:, :37], projected, atol=1e-8)


def test_left_out_patients_lie_farther_off_than_fitted_ones(data, fitted, left_out):
    pipeline, _ = fitted
    Z = pipeline[:-1].transform(data.X_train.to_numpy())
    pca = PCA(9, svd_solver="full").fit(Z)
    in_sample = np.sqrt(np.square(Z - pca.inverse_transform(pca.transform(Z))).mean(axis=1))
    assert (left_out.loc[data.X_train.index, pca_plot.ERROR] > in_sample).all()


# What components separate


def test_cohen_d_by_hand_and_by_the_t_statistic():
    a, b = np.array([4.0, 6.0]), np.array([1.0, 3.0, 5.0])
    assert pca_plot.cohen_d(a, b) == pytest.approx(2 / np.sqrt((2 + 8) / 3))
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 2, (3, 12)), rng.normal(0, 2, (3, 20))
    t = ttest_ind(a, b, axis=1).statistic
    np.testing.assert_allclose(pca_plot.cohen_d(a, b), t * np.sqrt(1 / 12 + 1 / 20))


def test_effect_sizes_find_what_is_planted_and_nothing_else(data):
    rng = np.random.default_rng(5)
    values = pd.DataFrame(rng.normal(size=(72, 3)), data.X_all.index, ["noise", "class", "set"])
    values["class"] += 3 * data.y_all.cat.codes
    values["set"] += 2 * (data.sample_set == "test")
    effects = pca_plot.effect_sizes(values, data, seed=0)
    found = effects.index[effects["low"] > 0]
    assert ("AML - ALL", "class") in found
    assert {("test - train", "set"), ("test - train, ALL", "set")} <= set(found)
    assert ("AML - ALL", "noise") not in found
    assert ("test - train", "class") not in found
    assert (effects["low"] < effects["d"]).all()
    assert (effects["d"] < effects["high"]).all()


def test_contrasts_are_of_training_patients_unless_they_name_the_test_set(data):
    values = pd.DataFrame({"x": np.arange(72.0)}, data.X_all.index)
    changed = values.copy()
    changed.loc[data.X_test.index] = -5.0
    changed.iloc[-1] = 7.0
    one, other = (pca_plot.effect_sizes(v, data, seed=0) for v in (values, changed))
    same = ["AML - ALL", "B-cell ALL - rest", "T-cell ALL - rest"]
    pd.testing.assert_frame_equal(one.loc[same], other.loc[same])
    assert set(one.index.levels[0]) - set(same) == {
        *("test - train", "test - train, ALL", "test - train, AML")
    }


def test_without_subtypes_and_test_patients_only_the_classes_are_compared(data):
    alone = dataclasses.replace(with_train(data, data.X_train), subtypes=None)
    values = pd.DataFrame({"x": np.arange(38.0)}, data.X_train.index)
    assert list(pca_plot.effect_sizes(values, alone, seed=0).index) == [("AML - ALL", "x")]


def test_enrichment_by_hand():
    genes = [f"g{i}" for i in range(500)]
    loadings = pd.DataFrame({"PC1": np.linspace(-1, 0, 500), "PC2": np.linspace(0, 1, 500)}, genes)
    informative = pd.Series("AML", index=[*genes[:10], "not kept"])
    table = pca_plot.enrichment(loadings, informative)
    assert list(table["found"]) == [10, 0]
    assert list(table["expected"]) == pytest.approx([1, 1])
    chance = np.prod([(50 - i) / (500 - i) for i in range(10)])
    assert list(table["p_value"]) == pytest.approx([chance, 1])


# Figures


def test_scree_figure_shows_null_and_rules():
    variance = variance_of(planted(3))
    figure = pca_plot.plot_scree(variance, {"for 80%": 3, "for 90%": 7, "for 95%": 12})
    left, right = figure.axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["95 % of permutations", "not above them", "above: real (3)"]
    assert {3, 7, 12} <= set(right.get_xticks())
    assert {80, 90, 95} <= set(right.get_yticks())
    plt.close(figure)


def test_patients_figure_tells_subtype_class_and_set(data, fitted):
    figure = pca_plot.plot_patients([fitted[1].iloc[:, :2]], data)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["B-cell ALL, train (19)", "B-cell ALL, test (19)"]
    assert labels[-2:] == ["AML, train (11)", "AML, test (14)"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    train, test = lines["AML, train (11)"], lines["AML, test (14)"]
    assert train.get_color() == test.get_color() == group_palette(data)["AML"]
    assert (train.get_markerfacecolor(), test.get_markerfacecolor()) == (train.get_color(), "none")
    assert len({line.get_marker() for line in lines.values()}) == 3
    assert figure.axes[0].get_xlabel() == "PC1 (16.5 % of variance)"
    assert sum(len(line.get_xdata()) for line in lines.values()) == 72
    plt.close(figure)


def test_loadings_figure_names_the_largest_genes_in_order(data):
    genes = data.X_train.columns[:100]
    column = pd.Series(np.linspace(-0.5, 1, 100), genes, name="PC1")
    figure = pca_plot.plot_loadings(pd.DataFrame({"PC1": column, "PC2": -column}), data)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names[::-1] == list(data.gene_names[genes[::-1][: pca_plot.NAMED_GENES]])
    assert [ax.get_title() for ax in figure.axes] == ["PC1", "PC2"]
    plt.close(figure)


# The script


def run(folder, *options):
    assert pca_plot.main(["--output-dir", str(folder), "--quiet", *options]) == 0
    return {path.name: path.read_bytes() for path in (folder / "pca_plot").iterdir()}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    options = ("--permutations", "40", "--jobs", "1")
    return run(tmp_path_factory.mktemp("one"), *options)


def test_script_writes_every_file(outputs):
    tables = {"explained_variance.csv", "scores.csv", "loadings.csv", "associations.csv"}
    figures = {"scree", "pca_patients", "pca_components", "loadings", "raw_vs_preprocessed"}
    figures = {f"{name}.png" for name in figures | {"train_vs_test"}}
    assert set(outputs) == tables | figures | {"metrics.txt", "metrics.json"}


def test_same_bytes_whatever_the_jobs(outputs, tmp_path):
    assert run(tmp_path, "--permutations", "40", "--jobs", "2") == outputs


def test_metrics_of_the_shipped_data(outputs):
    results = json.loads(outputs["metrics.json"])["results"]
    assert results["dimensions"] == {
        **{"for 80%": 20, "for 90%": 27, "for 95%": 32},
        **{"real": 9, "to draw": 3},
    }
    assert sum(row["real"] for row in results["variance"]) == 9
    found = {(row["contrast"], row["component"]): row for row in results["associations"]}
    assert found["AML - ALL", "PC1"]["low"] > 2
    assert found["T-cell ALL - rest", "PC2"]["low"] > 2
    assert found["test - train", pca_plot.ERROR]["low"] > 0
    assert "Farther off than left-out training patients" in outputs["metrics.txt"].decode()
    assert results["enrichment"][0]["p_value"] < 1e-10


def test_tables_name_patients_and_genes(outputs, tmp_path):
    for name in ("scores.csv", "loadings.csv"):
        (tmp_path / name).write_bytes(outputs[name])
    scores = pd.read_csv(tmp_path / "scores.csv", index_col="patient")
    loadings = pd.read_csv(tmp_path / "loadings.csv", index_col="accession")
    assert list(scores.columns[:4]) == ["class", "subtype", "set", pca_plot.ERROR]
    assert len(scores) == 72
    assert len(loadings) == 3_051
    assert list(loadings.columns) == [*scores.columns[4:], "gene"]


def test_components_option_limits_the_tables(tmp_path):
    files = run(tmp_path, "--permutations", "20", "--components", "2")
    assert files["loadings.csv"].splitlines()[0].endswith(b"accession,PC1,PC2,gene")


@pytest.mark.parametrize("option", ["--permutations", "--components"])
def test_options_refuse_what_they_cannot_use(option, capsys):
    with pytest.raises(SystemExit) as stop:
        pca_plot.main([option, "1"])
    assert stop.value.code == 2
    assert f"{option}: must be a whole number from" in capsys.readouterr().err


def test_own_data_without_test_patients(data, tmp_path):
    """Other classes, no subtypes, no list of genes: what needs them is left out, and said so."""
    values = data.X_train.iloc[:, :400].T.rename_axis("Gene Accession Number")
    values.to_csv(tmp_path / "train.csv")
    classes = data.y_train.astype(str).replace({"ALL": "$ober", "AML": "sick"}).rename("cancer")
    classes.to_csv(tmp_path / "labels.csv")
    own = ("--train", str(tmp_path / "train.csv"), "--labels", str(tmp_path / "labels.csv"))
    files = run(tmp_path, "--permutations", "20", *own)
    assert "train_vs_test.png" not in files
    assert "Left out: too few test patients." in files["metrics.txt"].decode()
    results = json.loads(files["metrics.json"])["results"]
    assert "enrichment" not in results
    assert {row["contrast"] for row in results["associations"]} == {"sick - $ober"}
    assert files["scores.csv"].splitlines()[0].startswith(b"patient,class,set,reconstruction error")
