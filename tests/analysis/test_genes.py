"""The evidence for a gene: SHAP values add up, tests agree with hand-computed and outside ones."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway, mannwhitneyu, ttest_ind
from sklearn.metrics import roc_auc_score

from expression.analysis import batches, genes
from expression.analysis.models import MODELS
from expression.analysis.tuning import fit
from many_classes import planted_genes, simulate_few_genes
from planted import DOWN, N_GENES, UP, quick_explained_models, simulate


@pytest.fixture(scope="module")
def planted():
    return simulate(effect=4)


@pytest.fixture(scope="module")
def fitted(planted):
    X, y = planted.X_train.to_numpy(), planted.y_train.cat.codes.to_numpy()
    return fit(quick_explained_models(), X, y)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("name", quick_explained_models())
def test_shap_values_add_up_to_the_output_for_the_positive_class(
    planted, fitted, name, many, monkeypatch
):
    X, pipeline = planted.X_train, fitted[name].pipeline
    if many:  # patients: some of them are explained
        monkeypatch.setattr(genes, "MAX_EXPLAINED", 12)
        monkeypatch.setattr(genes, "MAX_BACKGROUND", 12)
    by_class = genes.explain(pipeline, X, planted.classes, seed=0)
    values = by_class["case"]
    np.testing.assert_allclose(by_class["control"], -values, atol=1e-8)
    assert len(values) == (12 if many else 40)
    assert list(values.index) == [patient for patient in X.index if patient in values.index]
    output = pipeline.predict_proba(X.loc[values.index].to_numpy())[:, 1]
    if MODELS[name].importance.shap_unit == "log-odds":
        output = np.log(output / (1 - output))
    np.testing.assert_allclose(values.sum(axis=1) + output.mean(), output, atol=1e-4)
    first = values.abs().mean().idxmax()
    z = X.loc[values.index, first] > X[first].median()
    direction = {**dict.fromkeys(UP, 1), **dict.fromkeys(DOWN, -1)}[first]
    assert direction * values.loc[~z, first].mean() < 0 < direction * values.loc[z, first].mean()


def test_of_very_many_patients_200_are_explained_against_100(fitted):
    """The first of those drawn; against others the values would add up to another output."""
    cohorts = [simulate(effect=4, seed=seed).X_all for seed in range(3)]
    X = pd.concat(cohorts, ignore_index=True)
    pipeline = fitted["Logistic Regression"].pipeline
    values = genes.explain(pipeline, X, ["control", "case"], seed=5)["case"]
    assert len(values) == 200
    background = X.sample(200, random_state=5).index[:100]
    output = pd.Series(pipeline.decision_function(X.to_numpy()), X.index)
    expected = output[values.index] - output[background].mean()
    np.testing.assert_allclose(values.sum(axis=1), expected, atol=1e-6)


def planted_table(fitted, planted, shap: dict) -> pd.DataFrame:
    """Return what the tree says of the genes if these were its SHAP values for cases, by gene."""
    _, expression = genes.expression_tables(planted)
    values = pd.DataFrame(0.0, planted.X_train.index, ["g000"]).assign(**shap)
    by_class = {"control": -values, "case": values}
    explanations = {"Decision Tree": pd.concat(by_class, axis=1, names=["class", "gene"])}
    selected = np.zeros((2, 2, expression.shape[1]), dtype=bool)
    selected[:, 0, 3] = True, False
    tables = genes.model_tables(
        {"Decision Tree": fitted["Decision Tree"].pipeline},
        explanations,
        expression,
        planted.X_train.columns,
        selected,
    )
    return tables["Decision Tree"]


def test_genes_that_a_model_does_not_use_have_no_rank(fitted, planted):
    table = planted_table(fitted, planted, {})
    used = table["importance"] > 0
    assert 0 < used.sum() < len(table)
    assert table.loc[used, "rank"].min() == 1
    assert table.loc[~used, "rank"].isna().all()
    assert (table["direction"] == "").all()
    assert table["frequency"].nlargest(2).tolist() == [0.5, 0]


def test_the_direction_is_that_of_contributions_as_expression_grows(fitted, planted):
    """Whatever their mean: of the patients explained it need not be 0."""
    _, expression = genes.expression_tables(planted)
    x = expression.loc[planted.X_train.index, "g010"]
    rising = x - 100 * np.sign(x.mean())
    table = planted_table(fitted, planted, {"g010": rising})
    assert table.loc["g010", "direction"] == "case"
    assert table.loc["g010", "mean_abs_shap"] == pytest.approx(rising.abs().mean())
    table = planted_table(fitted, planted, {"g010": -rising})
    assert table.loc["g010", "direction"] == "control"
    assert table.loc["g010", "mean_abs_shap"] == pytest.approx(rising.abs().mean())


def test_welch_statistics_are_those_of_scipy():
    rng = np.random.default_rng(0)
    X = rng.normal(5, 2, (20, 7))
    y = rng.permuted(np.tile([1.0] * 8 + [0.0] * 12, (4, 1)), axis=1)
    expected = [ttest_ind(X[row == 1], X[row == 0], equal_var=False).statistic for row in y]
    np.testing.assert_allclose(genes.welch_statistics(X, y), np.abs(expected))
    y = rng.permuted(np.tile([0] * 5 + [1] * 3 + [2] * 12, (4, 1)), axis=1)
    samples = [[X[row == code] for code in range(3)] for row in y]
    expected = [f_oneway(*classes, equal_var=False).statistic for classes in samples]
    np.testing.assert_allclose(genes.welch_statistics(X, y) ** 2, expected)


def test_a_class_in_which_a_gene_is_the_same_everywhere_has_a_finite_statistic():
    """Of two classes it is Welch's t, which needs the spread of one of them only."""
    X = np.array([[3.0, 3.0, 3.0, 5.0, 6.0, 7.5]]).T
    expected = (X[3:].mean() - 3) / np.sqrt(X[3:].var(ddof=1) / 3)
    y = np.array([[0, 0, 0, 1, 1, 1]])
    np.testing.assert_allclose(genes.welch_statistics(X, y), expected, rtol=1e-6)


def test_pooled_p_counts_the_permuted_statistics_of_all_genes():
    size = np.array([[5.0, 2.0, 0.0], [1.0, 2.0, 3.0], [4.0, 2.5, 0.5]])
    assert genes.pooled_p(size).tolist() == [1 / 7, 5 / 7, 7 / 7]


def test_adjusted_p_follows_westfall_and_young_step_by_step():
    """Algorithm 2.8 with all 70 ways to choose 4 of 8 patients, and as many drawn at random."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(8, 5)), np.repeat([1, 0], 4)
    X[:4, 0] += 3
    ways = np.zeros((70, 8))
    for row, chosen in zip(ways, itertools.combinations(range(8), 4), strict=True):
        row[list(chosen)] = 1
    size = genes.welch_statistics(X, ways)
    observed = genes.welch_statistics(X, y[None])[0]
    order, expected, before = np.argsort(-observed), np.empty(5), 0
    for step, gene in enumerate(order):
        reached = size[:, order[step:]].max(axis=1) >= observed[gene] - 1e-9
        expected[gene] = before = max(before, reached.mean())
    found = genes.max_t_p(genes.permuted_statistics(X, y, 20_000, seed=0))
    np.testing.assert_allclose(found, expected, atol=0.015)


@pytest.mark.parametrize("sizes", [(10, 10), (5, 5, 5, 5), (5, 12, 5)])
def test_adjusted_p_bounds_any_false_finding_where_nothing_differs(sizes):
    rng, y = np.random.default_rng(2), np.repeat(np.arange(len(sizes)), sizes)
    smallest = []
    for seed in range(60):
        X = rng.normal(size=(len(y), 40))
        smallest.append(genes.max_t_p(genes.permuted_statistics(X, y, 99, seed)).min())
    assert np.mean(np.array(smallest) <= 0.05) <= 0.15  # 0.05 expected, within 3.5 SDs


def rank_test(expression, y, gene, method):
    x = expression.loc[y.index, gene]
    sides = x[y == "case"], x[y == "control"]
    return mannwhitneyu(*sides, alternative="greater", method=method)


def test_tied_values_take_the_asymptotic_rank_test(planted):
    _, expression = genes.expression_tables(planted)
    expression, y = expression.round(), planted.y_train
    table = genes.auc_of_class(expression, y, pd.Series("case", expression.columns))
    expected = rank_test(expression, y, "g000", "asymptotic")
    assert table.loc["g000", "auc_p"] == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(("n_case", "method"), [(50, "exact"), (51, "asymptotic")])
def test_the_rank_test_of_few_patients_is_exact(n_case, method):
    """Up to 2,500 pairs of a patient of either class."""
    labels = np.repeat(["control", "case"], (50, n_case))
    y = pd.Series(pd.Categorical(labels, ["control", "case"], ordered=True))
    expression = pd.DataFrame({"gene": np.random.default_rng(0).normal(size=len(y))})
    table = genes.auc_of_class(expression, y, pd.Series("case", ["gene"]))
    expected = rank_test(expression, y, "gene", method)
    assert table.loc["gene", "auc_p"] == pytest.approx(expected.pvalue, rel=1e-9)


def test_class_difference_against_scikit_learn_and_by_hand(planted):
    log2, expression = genes.expression_tables(planted)
    y = planted.y_train
    cases = pd.Series("case", expression.columns)
    table = genes.class_difference(expression, log2, y, cases)
    direction = table["signal_to_noise"]
    higher_in = genes.class_higher_in(expression, y)
    assert (higher_in == np.where(direction > 0, "case", "control")).all()
    towards = genes.auc_of_class(expression, y, higher_in)
    for gene in ("g000", "g003", "g050"):
        x = expression.loc[y.index, gene]
        case, control = x[y == "case"], x[y == "control"]
        effect = (case.mean() - control.mean()) / (case.std() + control.std())
        assert direction[gene] == pytest.approx(effect)
        auc = roc_auc_score(y.cat.codes, x * np.sign(effect))
        assert towards.loc[gene, "auc"] == pytest.approx(auc)
        high, low = (case, control) if effect > 0 else (control, case)
        test = mannwhitneyu(high, low, alternative="greater", method="exact")
        assert towards.loc[gene, "auc_p"] == pytest.approx(test.pvalue)
    assert table.loc[UP, "log2_fold_change"].mean() == pytest.approx(4, abs=0.5)
    against = genes.auc_of_class(
        expression, y, higher_in.map({"case": "control", "control": "case"})
    )
    np.testing.assert_allclose(against["auc"], 1 - towards["auc"])


def test_genes_are_those_that_vary_in_training_and_the_rank_test_of_zyxin_is_exact(data):
    log2, expression = genes.expression_tables(data)
    assert expression.shape == log2.shape == (72, 3_051)
    np.testing.assert_allclose(expression.mean(axis=1), 0, atol=1e-12)
    zyxin = data.X_all["X95735_at"].clip(100, 16_000)
    np.testing.assert_allclose(log2["X95735_at"], np.log2(zyxin))
    table = genes.auc_of_class(expression, data.y_test, pd.Series("AML", expression.columns))
    assert table.loc["X95735_at", "auc_p"] == pytest.approx(2.2e-8, rel=0.05)


def table_of(data, frequency=None):
    log2, expression = genes.expression_tables(data)
    if frequency is None:
        frequency = np.zeros(expression.shape[1])
    people = genes.average_arrays(data, expression, log2)
    return genes.gene_table(data, people, frequency, seed=0)


def test_the_surest_genes_come_first(planted):
    _, expression = genes.expression_tables(planted)
    frequency = np.linspace(1, 0, expression.shape[1])
    table = table_of(planted, frequency[::-1])
    assert table.index[0] == expression.columns[-1]
    assert table["selected"].sum() == (frequency >= 0.75).sum()
    higher_in = {**dict.fromkeys(UP, "case"), **dict.fromkeys(DOWN, "control")}
    assert table.loc[UP + DOWN, "higher_in"].to_dict() == higher_in
    assert (table.loc[UP + DOWN, "welch_q"] < 0.01).all()
    np.testing.assert_allclose(table.loc[UP + DOWN, "max_t_p"], 1 / 1_001)  # of all permutations
    assert (table.loc[UP + DOWN, "test_auc"] > 0.9).all()
    x = expression.loc[planted.y_train.index, "g050"]
    case, control = x[planted.y_train == "case"], x[planted.y_train == "control"]
    welch = ttest_ind(case, control, equal_var=False)
    assert table.loc["g050", "welch_t"] == pytest.approx(welch.statistic)
    assert table.loc["g050", "welch_p"] == pytest.approx(welch.pvalue, rel=1e-9)


def test_test_patients_are_looked_at_in_the_direction_of_training(planted):
    """Where they show the opposite, the AUC is below a half and the one-sided p near 1."""
    other = planted.y_test.cat.rename_categories({"case": "control", "control": "case"})
    other = other.cat.reorder_categories(planted.classes, ordered=True)
    opposite = replace(planted, y_test=other)
    table = table_of(opposite, np.zeros(N_GENES)).loc[UP + DOWN]
    assert (table["auc"] > 0.9).all()
    assert (table["test_auc"] < 0.1).all()
    assert (table["test_auc_p"] > 0.99).all()
    assert (table["test_signal_to_noise"] * table["signal_to_noise"] < 0).all()


# --- more than two classes


COHORTS = [(12, 12, 12), (5, 30, 12), (8, 8, 8, 8, 8, 8), (5, 40, 7, 20, 10, 15)]


@pytest.mark.parametrize("sizes", COHORTS)
def test_planted_genes_are_found_each_with_its_class(sizes):
    data = simulate_few_genes(sizes, effect=4)
    table = table_of(data)
    planted = planted_genes(data)
    found = table.loc[list(planted)]
    assert found["higher_in"].to_dict() == planted
    assert (found["welch_q"] < 0.05).all()
    assert (found["max_t_p"] < 0.05).mean() > 0.9  # of a class of 5, not all
    assert (found[["auc", "test_auc"]] > 0.95).all(axis=None)
    assert (found["test_auc_p"] < 0.01).all()
    assert found["log2_fold_change"].mean() == pytest.approx(4, abs=0.5)
    assert (table["signal_to_noise"] > 0).all()
    assert (table["welch_q"] < 0.05).sum() <= len(planted) + 3  # at a false discovery rate of 5 %


def test_each_gene_is_judged_by_its_class_against_all_others():
    """By scikit-learn's AUC of one class against the rest, and scipy's F."""
    data = simulate_few_genes((12, 6, 9), effect=1)
    _, expression = genes.expression_tables(data)
    table = table_of(data)
    for gene in ("g000", "g002", "g005", "g050"):
        means = expression.loc[data.y_train.index, gene].groupby(data.y_train, observed=True).mean()
        label = table.loc[gene, "higher_in"]
        assert means[label] > means.drop(label).min()
        for y, column in ((data.y_train, "auc"), (data.y_test, "test_auc")):
            expected = roc_auc_score(y == label, expression.loc[y.index, gene])
            assert table.loc[gene, column] == pytest.approx(expected)
        x = expression.loc[data.y_train.index, gene]
        samples = [x[data.y_train == one] for one in data.classes]
        welch = f_oneway(*samples, equal_var=False)
        assert table.loc[gene, "welch_f"] == pytest.approx(welch.statistic)
        assert table.loc[gene, "welch_p"] == pytest.approx(welch.pvalue, rel=0.3, abs=0.002)
        members, others = x[data.y_train == label], x[data.y_train != label]
        effect = (members.mean() - others.mean()) / (members.std() + others.std())
        assert table.loc[gene, "signal_to_noise"] == pytest.approx(effect)


@pytest.mark.parametrize("sizes", [*COHORTS, [5] * 20])
def test_where_nothing_differs_no_gene_is_found(sizes):
    """Not even in many classes of few patients, of which F's own distribution finds some."""
    table = table_of(simulate_few_genes(sizes, effect=0))
    assert (table["welch_q"] < 0.05).sum() <= 1
    assert table["welch_p"].lt(0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert table["max_t_p"].min() > 0.01


def test_a_class_without_test_patients_has_no_auc_there_and_others_have():
    data = simulate_few_genes((6, 8, 10), effect=4)
    y_test = data.y_test[data.y_test != "class 00"]
    one = data.y_test.index[data.y_test == "class 00"][0]
    for patients, known in ((y_test.index, False), (y_test.index.append(pd.Index([one])), True)):
        fewer = replace(data, X_test=data.X_test.loc[patients], y_test=data.y_test[patients])
        found = table_of(fewer).loc[list(planted_genes(data)), "test_auc"]
        assert found[2:].notna().all()
        assert (found[:2].notna() == known).all()


def test_within_batches_a_gene_is_looked_at_for_its_class():
    """Where the one batch with class A has no other, its genes cannot be."""
    data = simulate_few_genes((6, 8, 10), effect=4)
    hospitals = np.where(data.y_all == "class 00", "south", "north")
    table = table_of(in_batches(data, hospitals))
    within = table.loc[list(planted_genes(data)), "auc_within_batches"]
    assert within[:2].isna().all()
    assert (within[2:] > 0.95).all()


@pytest.mark.parametrize("name", quick_explained_models())
def test_shap_values_add_up_for_every_class(name):
    """To probabilities, or to log-odds up to what all classes have in common."""
    data = simulate_few_genes((15, 10, 12), effect=2)
    X, y = data.X_train, data.y_train.cat.codes.to_numpy()
    pipeline = fit({name: quick_explained_models()[name]}, X.to_numpy(), y)[name].pipeline
    values = genes.explain(pipeline, X, data.classes, seed=0)
    assert values.columns.unique("class").tolist() == list(data.classes)
    added = np.column_stack([values[label].sum(axis=1) for label in data.classes])
    output = pipeline.predict_proba(X.to_numpy())
    if MODELS[name].importance.shap_unit == "log-odds":
        output = np.log(output) - np.log(output).mean(axis=1, keepdims=True)
        added -= added.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(added + output.mean(axis=0), output, atol=1e-4)


def test_the_direction_of_a_gene_is_the_class_that_its_expression_speaks_for():
    data = simulate_few_genes((15, 10, 12), effect=4)
    _, expression = genes.expression_tables(data)
    models = {"Random Forest": quick_explained_models()["Random Forest"]}
    y = data.y_train.cat.codes.to_numpy()
    pipeline = fit(models, data.X_train.to_numpy(), y)["Random Forest"].pipeline
    values = genes.explain(pipeline, data.X_train, data.classes, seed=0)
    tables = genes.model_tables(
        {"Random Forest": pipeline},
        {"Random Forest": values},
        expression,
        data.X_train.columns,
        np.zeros((2, 2, 300), dtype=bool),
    )
    table = tables["Random Forest"]
    used = table[table["importance"] > 0].loc[lambda genes: genes.index.isin(planted_genes(data))]
    assert len(used) >= 3
    assert used["direction"].to_dict() == {gene: planted_genes(data)[gene] for gene in used.index}
    gene = used.index[0]
    expected = np.mean([values[label][gene].abs().mean() for label in data.classes])
    assert table.loc[gene, "mean_abs_shap"] == pytest.approx(expected)


# --- batches


def in_batches(data, names):
    return replace(data, batches=pd.Series(names, data.y_all.index, name="hospital"))


def add_effect(data, accessions, patients):
    """Return data in which some patients have more of some genes, by four SDs."""
    X = data.X_all
    X.loc[patients, accessions] *= 2**4
    n_train = len(data.X_train)
    return replace(data, X_train=X[:n_train], X_test=X[n_train:])


@pytest.fixture(scope="module")
def two_hospitals(planted):
    """Two hospitals with both classes; genes 10 to 12 follow the hospital, the planted the class.

    The test patients are of the same.
    """
    data = in_batches(planted, np.tile(["north", "north", "south", "south"], 20))
    return add_effect(data, BATCH_GENES, data.batches == "south")


BATCH_GENES = ["g010", "g011", "g012"]


def test_genes_that_follow_the_batch_are_marked_and_those_of_the_class_are_not(two_hospitals):
    selected = np.array([gene in {"g000", "g001", "g010"} for gene in two_hospitals.X_train])
    table = table_of(two_hospitals, selected.astype(float))
    marked = set(table.index[table["follows_batch"]])
    assert set(BATCH_GENES) <= marked
    assert not marked & {*UP, *DOWN}
    assert len(marked) <= 5  # at a false discovery rate of 5 %
    assert (table.loc[BATCH_GENES, "batch_q"] < 1e-6).all()
    assert (table.loc[UP + DOWN, "auc_within_batches"] > 0.9).all()
    # Of class and batch, the AUC within batches sees the class alone
    assert (table.loc[BATCH_GENES, "auc_within_batches"] < 0.75).all()


def test_within_batches_a_gene_is_looked_at_in_the_direction_of_training(two_hospitals):
    table = table_of(two_hospitals, np.zeros(N_GENES))
    _, expression = genes.expression_tables(two_hospitals)
    y, hospitals = two_hospitals.y_all, two_hospitals.batches
    for gene in ("g000", "g003", "g050"):
        pairs = [
            (x > other) + (x == other) / 2
            for hospital in ("north", "south")
            for x in expression[gene][(y == "case") & (hospitals == hospital)]
            for other in expression[gene][(y == "control") & (hospitals == hospital)]
        ]
        upwards = np.mean(pairs)
        expected = upwards if table.loc[gene, "higher_in"] == "case" else 1 - upwards
        assert table.loc[gene, "auc_within_batches"] == pytest.approx(expected)


def test_selected_genes_are_judged_among_themselves(planted):
    """A difference that drowns among 300 genes shows among two."""
    data = in_batches(planted, np.tile(["north", "north", "south", "south"], 20))
    p = table_of(data, np.zeros(N_GENES))["batch_p"].sort_values()
    assert p.iloc[0] < 0.02
    assert p.iloc[0] * N_GENES > 0.05  # nothing is planted
    selected = data.X_train.columns.isin([p.index[0], p.index[-1]])
    table = table_of(data, selected.astype(float))
    assert table.index[table["follows_batch"]].tolist() == [p.index[0]]
    pd.testing.assert_series_equal(table["batch_p"], p[table.index])


def test_where_batch_and_class_are_the_same_nothing_can_be_told(planted):
    one_each = in_batches(planted, planted.y_all.astype(str).to_numpy())
    table = table_of(one_each, np.ones(N_GENES))
    told = {"auc_within_batches", "batch_p", "batch_q", "follows_batch"}
    assert not told & set(table.columns)
    three = one_each.batches.mask(planted.y_all.index.isin(planted.y_all.index[1:20:2]), "third")
    table = table_of(replace(one_each, batches=three), np.ones(N_GENES))
    assert told - set(table.columns) == {"auc_within_batches"}


def test_where_no_gene_follows_the_batch_hardly_a_cohort_has_a_mark():
    """At a false discovery rate of 5 %, in 5 % of the cohorts."""
    rng = np.random.default_rng(0)
    y = pd.Series(pd.Categorical(np.tile(["control", "case"], 20), ["control", "case"]))
    hospitals = pd.Series(np.repeat(["north", "south"], 20))
    marked = [
        (batches.follow_batch(pd.DataFrame(rng.normal(size=(40, 60))), y, hospitals)["batch_q"])
        .lt(0.05)
        .any()
        for _ in range(100)
    ]
    assert np.mean(marked) <= 0.12  # 0.05 expected, within 3 SDs


# --- several arrays of one person


def doubled(data):
    """Return every patient measured twice, the arrays of a person after another."""
    twice = np.arange(len(data.y_all)).repeat(2)
    names = [f"array{i:03}" for i in range(len(twice))]
    X = data.X_all.iloc[twice].set_axis(names)
    y = data.y_all.iloc[twice].set_axis(names)
    n_train = 2 * len(data.y_train)
    return replace(
        data,
        X_train=X[:n_train],
        X_test=X[n_train:],
        y_train=y[:n_train],
        y_test=y[n_train:],
        batches=None if data.batches is None else data.batches.iloc[twice].set_axis(names),
        groups=pd.Series(data.y_all.index[twice], names),
    )


def test_statistics_count_people_not_arrays(two_hospitals):
    """To measure everybody twice makes no gene surer."""
    twice = doubled(two_hospitals)
    frequency = np.linspace(0, 1, N_GENES)
    table, expected = table_of(twice, frequency), table_of(two_hospitals, frequency)
    pd.testing.assert_frame_equal(table, expected)
    surer = table_of(replace(twice, groups=None), frequency)
    assert (surer["welch_p"] < expected["welch_p"]).mean() > 0.9


def test_arrays_of_one_person_class_and_batch_become_their_mean(two_hospitals):
    twice = doubled(two_hospitals)
    noise = np.exp2(np.random.default_rng(0).normal(size=twice.X_train.shape))
    twice = replace(twice, X_train=twice.X_train * noise)
    log2, expression = genes.expression_tables(twice)
    people = genes.average_arrays(twice, expression, log2)
    assert len(people.expression) == len(people.y) == len(people.batches) == 80
    assert people.expression.index.tolist() == twice.y_all.index[::2].tolist()
    for gene in ("g000", "g050"):
        of_person = expression[gene].groupby(twice.groups).mean()
        assert sorted(people.expression[gene]) == pytest.approx(sorted(of_person))
        assert people.log2[gene].iloc[0] == pytest.approx(log2[gene].iloc[:2].mean())
    # Somebody who is in both hospitals is in both
    elsewhere = twice.batches.where(twice.batches.index != "array001", "south")
    assert twice.batches.iloc[1] == "north"
    moved = replace(twice, batches=elsewhere)
    assert len(genes.average_arrays(moved, expression, log2).y) == 81
