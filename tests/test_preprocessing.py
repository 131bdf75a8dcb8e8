"""Oracles: the gene counts of the literature, hand-computed values, scikit-learn's own checks."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from expression.files import DataError
from expression.preprocessing import (
    VariationFilter,
    intensity_steps,
    log2_steps,
    preprocessing_steps,
)


@pytest.fixture
def pipeline():
    return Pipeline(preprocessing_steps())


# Thresholds that any varying column passes: scikit-learn's check data vary around zero.
@parametrize_with_checks([VariationFilter(min_fold=1, min_difference=0)])
def test_variation_filter_is_a_scikit_learn_estimator(estimator, check):
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
    Z = Pipeline(preprocessing_steps()).set_params(filter__min_genes=3).fit_transform(X)
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
    lists = [intensity_steps(), log2_steps(), preprocessing_steps()]
    names = [[name for name, _ in steps] for steps in lists]
    assert names[-1] == ["clip", "filter", "log2", "standardise"]
    assert [len(steps) for steps in names] == [2, 3, 4]
    for shorter, longer in itertools.pairwise(names):
        assert longer[: len(shorter)] == shorter


def test_log2_values_are_those_of_the_intensities_that_are_left(data):
    X = data.X_train.to_numpy()
    intensities, log2 = (Pipeline(s()).fit_transform(X) for s in (intensity_steps, log2_steps))
    assert (intensities.min(), intensities.max()) == (100, 16_000)
    np.testing.assert_array_equal(log2, np.log2(intensities))


def test_no_varying_gene_is_refused():
    with pytest.raises(DataError, match=r"at least 1 genes must vary .* found 0 of 3 among 4 pat"):
        VariationFilter().fit(np.ones((4, 3)))


def test_too_few_varying_genes_are_refused_in_any_pipeline():
    X = np.vstack([np.full((3, 12), 100.0), np.full((3, 12), 9_000.0)])
    X[:, 9:] = 500
    with pytest.raises(DataError, match=r"at least 10 genes must vary .* - found 9 of 12"):
        Pipeline(preprocessing_steps()).fit(X)
