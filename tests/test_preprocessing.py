"""Oracles: the gene counts of the literature, hand-computed values, scikit-learn's own checks."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from expression.files import DataError
from expression.preprocessing import ExpressedFilter, Preprocessing, VariationFilter


@pytest.fixture
def pipeline():
    return Pipeline(Preprocessing().steps())


# Thresholds that any varying column passes: scikit-learn's check data vary around zero.
@parametrize_with_checks(
    [VariationFilter(min_fold=1, min_difference=0), ExpressedFilter(min_value=-9, min_share=0)]
)
def test_filters_are_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_3051_genes_vary_among_the_training_patients(data, pipeline):
    assert pipeline.fit_transform(data.X_train.to_numpy()).shape == (38, 3_051)


def test_fitting_on_all_72_patients_would_leak_3571_genes(data, pipeline):
    assert pipeline.fit_transform(data.X_all.to_numpy()).shape == (72, 3_571)


def test_both_thresholds_are_exclusive():
    X = np.array([[100.0, 100, 1_000, 1_000], [1_000, 500, 1_500, 6_000]])
    support = VariationFilter(min_fold=5, min_difference=500).fit(X).get_support()
    np.testing.assert_array_equal(support, [True, False, False, True])


def test_filter_forgets_nothing_and_learns_nothing_from_transform(data):
    X_train, X_test = data.X_train.to_numpy(), data.X_test.to_numpy()
    variation = VariationFilter().fit(X_train)
    before = variation.get_support().copy()
    variation.transform(X_test)
    np.testing.assert_array_equal(variation.get_support(), before)


def test_each_array_is_standardised(data, pipeline):
    Z = pipeline.fit(data.X_train.to_numpy()).transform(data.X_test.to_numpy())
    np.testing.assert_allclose(Z.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(Z.std(axis=1), 1)


def test_one_patient_is_transformed_as_in_company(data, pipeline):
    """An array's features depend on that array and the training patients alone."""
    X_test = data.X_test.to_numpy()
    pipeline.fit(data.X_train.to_numpy())
    np.testing.assert_allclose(pipeline.transform(X_test[:1]), pipeline.transform(X_test)[:1])


def test_values_by_hand():
    X = np.array([[-50.0, 200, 800, 300], [20_000, 3_200, 100, 310]])
    Z = Pipeline(Preprocessing().steps()).set_params(filter__min_genes=3).fit_transform(X)
    first = np.log2([100, 200, 800])
    np.testing.assert_allclose(Z[0], (first - first.mean()) / first.std())
    second = np.log2([16_000, 3_200, 100])
    np.testing.assert_allclose(Z[1], (second - second.mean()) / second.std())


def test_names_survive_pandas_in_and_out(data, pipeline):
    Z = pipeline.set_output(transform="pandas").fit_transform(data.X_train)
    assert isinstance(Z, pd.DataFrame)
    assert Z.index.equals(data.X_train.index)
    assert list(Z.columns) == list(pipeline.get_feature_names_out())
    assert "X95735_at" in Z.columns


def test_names_of_a_fit_on_arrays(data, pipeline):
    pipeline.fit(data.X_train.to_numpy())
    frame_fit = clone(pipeline).fit(data.X_train)
    np.testing.assert_array_equal(
        pipeline.get_feature_names_out(data.X_train.columns), frame_fit.get_feature_names_out()
    )


def test_each_list_of_steps_is_the_beginning_of_the_next():
    steps = Preprocessing()
    lists = [steps.filtered_steps(), steps.log2_steps(), steps.steps()]
    names = [[name for name, _ in steps] for steps in lists]
    assert names[-1] == ["clip", "filter", "log2", "standardise"]
    assert [len(steps) for steps in names] == [2, 3, 4]
    for shorter, longer in itertools.pairwise(names):
        assert longer[: len(shorter)] == shorter


def test_log2_values_are_those_of_the_intensities_that_are_left(data):
    X = data.X_train.to_numpy()
    steps = Preprocessing()
    intensities = Pipeline(steps.filtered_steps()).fit_transform(X)
    log2 = Pipeline(steps.log2_steps()).fit_transform(X)
    assert (intensities.min(), intensities.max()) == (100, 16_000)
    np.testing.assert_array_equal(log2, np.log2(intensities))


def test_no_varying_gene_is_refused():
    with pytest.raises(DataError, match=r"at least 1 genes must vary .* found 0 of 3 among 4 pat"):
        VariationFilter().fit(np.ones((4, 3)))


def test_too_few_varying_genes_are_refused_in_any_pipeline():
    X = np.vstack([np.full((3, 12), 100.0), np.full((3, 12), 9_000.0)])
    X[:, 9:] = 500
    with pytest.raises(DataError, match=r"at least 10 genes must vary .* - found 9 of 12"):
        Pipeline(Preprocessing().steps()).fit(X)


# --- at most so many genes ------------------------------------------------------------------------


def test_the_published_3051_genes_are_untouched(data):
    X = data.X_train.to_numpy()
    limited, free = (Pipeline(Preprocessing(most).steps()).fit(X) for most in (5_000, None))
    np.testing.assert_array_equal(limited.transform(X), free.transform(X))


def test_of_more_genes_the_most_variable_after_log2(data):
    X = data.X_train.to_numpy()
    pipeline = Pipeline(Preprocessing(max_genes=100).steps()).fit(X)
    log2 = np.log2(np.clip(X, 100, 16_000))
    passing = VariationFilter().fit(np.clip(X, 100, 16_000)).get_support()
    expected = np.argsort(np.where(passing, -log2.var(axis=0), 0))[:100]
    np.testing.assert_array_equal(np.flatnonzero(pipeline["filter"].support_), np.sort(expected))
    assert pipeline["filter"].n_passing_ == 3_051


# --- counts ---------------------------------------------------------------------------------------


def simulate_counts(n=40, genes=400, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Return negative binomial counts of libraries of unequal size, and the classes, 30 to 10.

    Genes 0-9 are expressed in the smaller class alone, 10-19 in too few patients, 20-29 in none.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n) < 10
    means = np.exp(rng.normal(5, 1, (1, genes))) * np.ones((n, 1))
    means[:, :30] = 0
    means[y, :10] = 100
    means[:5, 10:20] = 100
    means *= rng.uniform(0.3, 3, (n, 1))
    return rng.negative_binomial(5, 5 / (5 + means)), y


def per_million(counts):
    return counts * 1e6 / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_a_gene_is_kept_when_as_many_patients_express_it_as_the_smaller_class_has(seed):
    counts, _ = simulate_counts(seed=seed)
    steps = Preprocessing(scale="counts", min_share=10 / 40).filtered_steps()
    support = Pipeline(steps).fit(per_million(counts))[-1].get_support()
    assert support[:10].all()
    assert not support[10:30].any()
    assert support[30:].all()


def test_the_threshold_of_counts_is_inclusive_and_follows_the_size_of_a_fold():
    X = np.zeros((20, 3))
    X[:5] = [1, 0.999, 1]
    X[0, 2] = 0
    expressed = ExpressedFilter(min_share=0.25)
    np.testing.assert_array_equal(expressed.fit(X).get_support(), [True, False, False])
    np.testing.assert_array_equal(expressed.fit(X[:8]).get_support(), [True, False, True])


def test_counts_of_any_depth_give_the_same_features():
    counts, _ = simulate_counts()
    pipeline = Pipeline(Preprocessing(scale="counts", min_share=0.25).steps())
    Z = pipeline.fit_transform(per_million(counts))
    deeper = counts * np.linspace(1, 9, len(counts))[:, None]
    np.testing.assert_allclose(pipeline.fit_transform(per_million(deeper)), Z)
    kept = per_million(counts)[:, pipeline["filter"].get_support()]
    log2 = np.log2(kept + 1)
    expected = (log2 - log2.mean(axis=1, keepdims=True)) / log2.std(axis=1, keepdims=True)
    np.testing.assert_allclose(Z, expected)


def test_too_few_expressed_genes_are_refused():
    X = np.zeros((10, 20))
    X[:, :9] = 100
    steps = Preprocessing(scale="counts", min_share=0.3).steps()
    with pytest.raises(
        DataError, match=r"10 genes must reach 1 per million in 30% .* found 9 of 20"
    ):
        Pipeline(steps).fit(X)


def test_units_are_named():
    assert Preprocessing().unit == "intensity"
    assert Preprocessing(scale="counts").unit == "counts per million"
