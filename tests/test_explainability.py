"""Planted genes, published formulas and external oracles, and the script on the shipped data."""

import argparse
import json
from dataclasses import replace
from itertools import combinations
from math import comb

import gene_evidence as evidence
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import reporting
from expression_data import DataError, ExpressionData
from preprocessing import preprocessing_steps
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectPercentile, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

import explainability

ENDINGS = {
    "Logistic Regression": [SelectPercentile(f_classif, percentile=50), StandardScaler()],
    "Decision Tree": [],
    "Random Forest": [],
    "XGBoost": [],
}
MODELS = {
    "Logistic Regression": LogisticRegression(random_state=0),
    "Decision Tree": DecisionTreeClassifier(max_depth=2, random_state=0),
    "Random Forest": RandomForestClassifier(20, random_state=0),
    "XGBoost": XGBClassifier(n_estimators=20, max_depth=1, colsample_bytree=0.2, n_jobs=1),
}
PLANTED_UP, PLANTED_DOWN = ["g000", "g001", "g002"], ["g003", "g004"]
N_GENES = 300


def simulate(effect: float, seed: int = 0) -> ExpressionData:
    """Return 40 + 40 patients and their genes, of which five differ by `effect` SDs."""
    rng = np.random.default_rng(seed)
    patients, genes = [f"p{i:02}" for i in range(80)], [f"g{i:03}" for i in range(N_GENES)]
    y = np.tile([0, 1], 40)
    log2 = pd.DataFrame(
        rng.normal(9, 1, (80, N_GENES)), patients, pd.Index(genes, name="accession")
    )
    log2[PLANTED_UP] += effect * y[:, None]
    log2[PLANTED_DOWN] -= effect * y[:, None]
    labels = pd.Categorical.from_codes(y, ["control", "case"], ordered=True)
    labels, X = pd.Series(labels, patients), np.exp2(log2)
    names = pd.Series(genes, genes)
    return ExpressionData(X[:40], X[40:], labels[:40], labels[40:], "about " + names, names)


def build_pipelines() -> dict[str, Pipeline]:
    return {
        name: Pipeline(
            [
                *preprocessing_steps(),
                *((type(step).__name__, step) for step in ENDINGS[name]),
                ("model", model),
            ]
        )
        for name, model in MODELS.items()
    }


def options(**changes) -> argparse.Namespace:
    known = {"seed": 0, "jobs": 1, "quiet": True, "subsamples": 10, "permutations": 2, "top": 5}
    return argparse.Namespace(**known | changes)


@pytest.fixture(scope="module")
def planted():
    return simulate(effect=4)


@pytest.fixture(scope="module")
def fitted(planted):
    X, y = planted.X_train.to_numpy(), planted.y_train.cat.codes.to_numpy()
    return {name: pipeline.fit(X, y) for name, pipeline in build_pipelines().items()}


@pytest.fixture(scope="module")
def explanations(planted, fitted):
    return {
        name: evidence.explain(pipeline, planted.X_train, planted.X_all)
        for name, pipeline in fitted.items()
    }


# --- SHAP values


@pytest.mark.parametrize("name", MODELS)
def test_shap_values_add_up_to_the_probability_of_the_positive_class(
    planted, fitted, explanations, name
):
    explanation = explanations[name]
    total = explanation.values.sum(axis=1) + explanation.base
    np.testing.assert_allclose(total, explanation.output, atol=1e-5)
    probability = fitted[name].predict_proba(planted.X_all.to_numpy())[:, 1]
    np.testing.assert_allclose(explanation.probability, probability, atol=1e-5)
    assert explanation.base == pytest.approx(explanation.output[:40].mean(), abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_planted_gene_pushes_to_the_class_it_is_higher_in(planted, explanations, name):
    values = explanations[name].values.loc[planted.X_train.index]
    first = values.abs().mean().nlargest(1).index[0]
    assert first in PLANTED_UP + PLANTED_DOWN
    high = planted.X_train[first] > planted.X_train[first].median()
    direction = 1 if first in PLANTED_UP else -1
    assert (
        direction * values.loc[high, first].mean() > 0 > direction * values.loc[~high, first].mean()
    )


def test_the_summary_draws_the_positive_class(planted, explanations):
    names = planted.gene_names
    figure = explainability.plot_shap_summary(explanations, np.log2(planted.X_train), "case", names)
    ax = figure.axes[list(MODELS).index("Random Forest")]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    row = next(i for i, gene in enumerate(rows) if gene in PLANTED_UP)
    dots = ax.collections[row]
    assert np.corrcoef(dots.get_offsets()[:, 0], dots.get_array())[0, 1] > 0.5
    assert ax.get_xlabel() == "SHAP value (probability of case)"
    plt.close(figure)


def test_a_class_axis_left_in_is_refused(planted, fitted, monkeypatch):
    import shap

    class Stacked:
        def __init__(self, model, masker):
            self.explainer = explainer(model, masker)

        def __call__(self, Z):
            explanation = self.explainer(Z)
            explanation.values = explanation.values[..., None]  # an axis nobody asked for
            return explanation

    explainer = shap.TreeExplainer
    monkeypatch.setattr(shap, "TreeExplainer", Stacked)
    with pytest.raises(ValueError, match="2-d"):
        evidence.explain(fitted["Random Forest"], planted.X_train, planted.X_train)


# --- stability and consensus


def test_stability_of_equal_sizes_is_kunchevas_index():
    rng = np.random.default_rng(0)
    selected = np.zeros((7, 50), dtype=bool)
    for row in selected:
        row[rng.choice(20, 8, replace=False)] = True
    shared = np.mean([(a & b).sum() for a, b in combinations(selected, 2)])
    kuncheva = (shared - 8**2 / 50) / (8 - 8**2 / 50)
    assert evidence.nogueira_stability(selected)[0] == pytest.approx(kuncheva)


def test_stability_interval_follows_the_paper_term_by_term():
    Z = np.random.default_rng(1).random((12, 30)) < np.linspace(0.9, 0.1, 30)
    M, d = Z.shape
    p, k = Z.mean(axis=0), Z.sum(axis=1)
    k_mean = k.mean()
    chance = k_mean / d * (1 - k_mean / d)
    index = 1 - sum(M / (M - 1) * q * (1 - q) for q in p) / d / chance
    phi = [
        (
            sum(Z[i] * p) / d
            - k[i] * k_mean / d**2
            + index / 2 * (2 * k_mean * k[i] / d**2 - k[i] / d - k_mean / d + 1)
        )
        / chance
        for i in range(M)
    ]
    variance = 4 / M**2 * sum((value - np.mean(phi)) ** 2 for value in phi)
    expected = index, index - 1.96 * variance**0.5, index + 1.96 * variance**0.5
    assert evidence.nogueira_stability(Z) == pytest.approx(expected)


def test_stability_of_two_lists_of_one_size_is_cohens_kappa():
    a, b = np.zeros((2, 40), dtype=bool)
    a[:10], b[4:14] = True, True
    kappa = cohen_kappa_score(a, b)
    assert evidence.nogueira_stability(np.array([a, b]))[0] == pytest.approx(kappa)


def test_stability_reads_as_nogueira_reads_it():
    same, chance = np.zeros((6, 40), dtype=bool), np.random.default_rng(2).random((200, 40)) < 0.3
    same[:, :5] = True
    table = evidence.stability_table({"same": same, "chance": chance, "none": same & False})
    assert list(table["reading"]) == ["excellent", "poor", "undefined"]
    assert table.loc["same", "stability"] == pytest.approx(1)
    assert table.loc["chance", "low"] < 0.005
    assert table.loc["chance", "stability"] == pytest.approx(0, abs=0.01)


def test_ties_share_the_worse_rank():
    assert list(evidence.rank_genes(np.array([0.0, 3.0, 0.0, 2.0, 2.0]))) == [5, 1, 5, 3, 3]


def consensus_of(data: ExpressionData, args: argparse.Namespace):
    """Return the gene table, and how many genes pass with true and with permuted labels."""
    log2, expression = evidence.expression_tables(data, "intensity")
    X, y = data.X_train[expression.columns], data.y_train.cat.codes.to_numpy()
    ranks = evidence.rank_genes(evidence.resample(build_pipelines(), X, y, args))
    consensus = evidence.consensus_ranks(ranks)
    table = evidence.gene_table(data, expression, log2, consensus, args.top)
    return table, ((consensus <= args.top).mean(axis=1) >= evidence.MIN_FREQUENCY).sum(axis=1)


def test_more_permutations_change_no_refit(planted):
    y = planted.y_train.cat.codes.to_numpy()
    few, more = (
        evidence.resample(
            build_pipelines(), planted.X_train, y, options(subsamples=2, permutations=count)
        )
        for count in (1, 2)
    )
    np.testing.assert_array_equal(few, more[:2])
    assert not np.array_equal(more[1], more[2])


def test_a_top_of_most_genes_is_refused():
    evidence.check_top(50, 100)
    with pytest.raises(DataError, match=r"--top: must be at most half of the 99 .* - found 50; "):
        evidence.check_top(50, 99)


def test_the_star_is_explained_where_there_is_one():
    assert explainability.starred("label", pd.Series(["a", "b *"])).endswith("of the literature")
    assert explainability.starred("label", pd.Series(["a", "b"])) == "label"


def test_consensus_finds_the_planted_genes_and_few_by_chance(planted):
    table, found = consensus_of(planted, options())
    consensus = table[table["consensus"]]
    assert len(consensus) >= 4
    assert set(consensus.index) <= set(PLANTED_UP + PLANTED_DOWN)
    assert found[1:].mean() <= 0.5
    assert (consensus["by_chance"] <= found[1:].mean()).all()
    planted_in = {**dict.fromkeys(PLANTED_UP, "case"), **dict.fromkeys(PLANTED_DOWN, "control")}
    assert consensus["higher_in"].to_dict() == {gene: planted_in[gene] for gene in consensus.index}
    assert (consensus["test_auc"] > 0.9).all()


def test_consensus_without_signal_finds_nothing():
    table, found = consensus_of(simulate(effect=0), options())
    assert found.max() == 0
    assert not table["consensus"].any()
    assert (table["welch_q"] > 0.05).all()
    assert table["by_chance"].iloc[4] > 0  # such a frequency is reached by chance as well


def test_halves_are_stratified_and_complementary(planted, monkeypatch):
    seen = []

    def record(function, tasks, args, label):
        seen.extend(tasks)
        return [[np.zeros(N_GENES)] * 4 for _ in seen]

    monkeypatch.setattr(evidence, "run_parallel", record)
    X, y = planted.X_train, planted.y_train.cat.codes.to_numpy()
    shape = evidence.resample(build_pipelines(), X, y, options()).shape
    assert shape == (1 + 2, 10, 4, N_GENES)
    for (_, first, y_first, seed), (_, second, y_second, other) in zip(
        seen[::2], seen[1::2], strict=True
    ):
        assert sorted([*first.index, *second.index]) == sorted(X.index)
        assert y_first.sum() == y_second.sum() == 10
        assert seed != other
    assert all((task[2] == y[X.index.get_indexer(task[1].index)]).all() for task in seen[:10])


def test_no_gene_passes_a_filter_of_a_half_that_fails_on_all(data):
    X = data.X_train
    genes = evidence.expression_tables(data, "intensity")[0].columns
    half = Pipeline(preprocessing_steps()).fit(X.iloc[::2].to_numpy())
    assert set(half.get_feature_names_out(X.columns)) < set(genes)
    assert len(genes) == 3051


# --- each gene on its own, the literature, the patient


def test_class_difference_against_scikit_learn_and_by_hand(planted):
    log2, expression = evidence.expression_tables(planted, "intensity")
    y = planted.y_train
    table = evidence.class_difference(expression, log2, y)
    for gene in ("g000", "g003", "g050"):
        x = expression.loc[y.index, gene]
        case, control = x[y == "case"], x[y == "control"]
        effect = (case.mean() - control.mean()) / (case.std() + control.std())
        assert table.loc[gene, "signal_to_noise"] == pytest.approx(effect)
        auc = roc_auc_score(y.cat.codes, x * np.sign(effect))
        assert table.loc[gene, "auc"] == pytest.approx(auc)
    assert table.loc[PLANTED_UP, "log2_fold_change"].mean() == pytest.approx(4, abs=0.5)
    against = evidence.class_difference(expression, log2, y, -table["signal_to_noise"])
    np.testing.assert_allclose(against["auc"], 1 - table["auc"])


def test_literature_overlap_is_the_hypergeometric_tail():
    universe = pd.Index(range(50))
    lists = {"three of four": pd.Index([0, 1, 2, 40]), "empty": universe[:0]}
    table = evidence.literature_overlap(lists, pd.Index([0, 1, 2, 3, 4, 99]), universe)
    tail = sum(comb(5, k) * comb(45, 4 - k) for k in (3, 4)) / comb(50, 4)
    assert table.loc["three of four", "p"] == pytest.approx(tail)
    assert table.loc["three of four", "expected"] == pytest.approx(4 * 5 / 50)
    assert table.loc["empty", "p"] == 1


def test_most_missed_patient_counts_models_first():
    labels = pd.Categorical.from_codes([1, 1, 0], ["no", "yes"], ordered=True)
    P = pd.DataFrame({"a": [0.4, 0.0, 0.1], "b": [0.4, 0.6, 0.2]}, index=["x", "y", "z"])
    assert evidence.most_missed_patient(P, pd.Series(labels, P.index)) == "x"


# --- the script


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--subsamples", "7"], "--subsamples: must be even, halves come in pairs - found 7"),
        (["--permutations", "0"], "--permutations: must be a whole number from 1"),
        (["--top", "x"], "--top: must be a whole number from 1"),
    ],
)
def test_options_are_refused_in_one_line(argv, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        explainability.parse_args(argv)
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Return a function that runs the script on (altered) data; the models are tuned once."""
    tune, tuned = explainability.tune_models, {}

    def tune_once(X, y, args):
        if tuple(y) not in tuned:
            tuned[tuple(y)] = tune(X, y, args)
        return tuned[tuple(y)]

    def run_script(altered=data, jobs=1):
        folder = tmp_path_factory.mktemp("outputs")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reporting, "load_data", lambda args: altered)
            patch.setattr(explainability, "tune_models", tune_once)
            argv = ["--subsamples", "4", "--permutations", "1", "--quiet"]
            assert not explainability.main(
                [*argv, "--jobs", str(jobs), "--output-dir", str(folder)]
            )
        return {path.name: path for path in (folder / "explainability").iterdir()}

    return run_script


@pytest.fixture(scope="module")
def outputs(run):
    return run()


def test_the_same_bytes_whatever_the_jobs(run, outputs):
    again = run(jobs=2)
    assert again.keys() == outputs.keys()
    assert [n for n in outputs if outputs[n].read_bytes() != again[n].read_bytes()] == []


def test_files_and_metrics_of_the_shipped_data(data, outputs):
    figures = "importances shap_summary model_comparison selection_frequency heatmap top_genes"
    figures = {f"{name}.png" for name in f"{figures} missed_patient".split()}
    assert set(outputs) == {"metrics.txt", "metrics.json", "genes.csv"} | figures
    results = json.loads(outputs["metrics.json"].read_text())["results"]
    assert all(row["largest error"] < 1e-5 for row in results["additivity"])
    assert [row["unit"] for row in results["additivity"]] == [
        "log-odds",
        "probability",
        "probability",
        "log-odds",
    ]
    assert results["missed_patient"]["patient"] == "66"
    genes = pd.read_csv(outputs["genes.csv"], index_col="accession")
    assert sorted(genes.index) == list(data.X_train.columns)
    assert genes["welch_q"].notna().sum() == 3051
    zyxin = genes.loc["X95735_at"]
    assert (zyxin["higher_in"], zyxin["auc"], zyxin["literature"]) == ("AML", 1, "AML")
    assert zyxin["random_forest_direction"] == "AML"
    assert genes["decision_tree_rank"].min() == 1


def test_test_labels_change_no_list(data, run, outputs):
    flipped = data.y_test.cat.rename_categories(
        dict(zip(data.classes, data.classes[::-1], strict=True))
    )
    flipped = flipped.cat.reorder_categories(data.classes, ordered=True)
    again = run(replace(data, y_test=flipped))
    before, after = (pd.read_csv(files["genes.csv"], index_col=0) for files in (outputs, again))
    blind = [column for column in before if not column.startswith("test_")]
    pd.testing.assert_frame_equal(before[blind], after[blind])
    assert not before["test_auc"].equals(after["test_auc"])


def test_without_test_set_subtypes_and_literature(data, run):
    def renamed(y):
        return y.cat.rename_categories(["healthy", "ill $x_1$"])

    bare = replace(
        data,
        X_test=data.X_test.iloc[:0],
        y_test=renamed(data.y_test.iloc[:0]),
        y_train=renamed(data.y_train),
        subtypes=None,
        informative_genes=None,
    )
    files = run(bare)
    text = files["metrics.txt"].read_text()
    assert "missed_patient.png" not in files
    assert "There are no test patients" in text
    assert "AML" not in text.split("SHAP values", 1)[1]
