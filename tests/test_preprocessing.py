"""Oracles: the gene counts of the literature, hand-computed values, scikit-learn's own checks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from expression import preprocessing
from expression.errors import DataError
from expression.preprocessing import (
    PUBLISHED_LEVEL,
    GeneFilter,
    Preprocessing,
    factor_to_published,
    rescale,
    typical_level,
)


@pytest.fixture
def pipeline():
    return Pipeline(Preprocessing().steps())


@parametrize_with_checks([GeneFilter(), GeneFilter("counts", min_share=0), GeneFilter("log-ratio")])
def test_filter_is_a_scikit_learn_estimator(estimator, check, monkeypatch):
    """With thresholds that any varying column passes: the check data vary around zero."""
    for name, value in {"MIN_FOLD": 1, "MIN_DIFFERENCE": 0, "MIN_CPM": -9}.items():
        monkeypatch.setattr(preprocessing, name, value)
    check(estimator)


def test_published_number_of_genes_and_what_a_leak_would_add(data, pipeline):
    assert pipeline.fit_transform(data.X_train.to_numpy()).shape == (38, 3_051)
    assert pipeline.fit_transform(data.X_all.to_numpy()).shape == (72, 3_571)


def test_thresholds_of_intensities_are_exclusive():
    X = np.array([[100.0, 100, 1_000, 1_000], [1_000, 500, 1_500, 6_000]])
    np.testing.assert_array_equal(GeneFilter().fit(X).get_support(), [True, False, False, True])


def test_values_by_hand():
    X = np.array([[-50.0, 200, 800, 300], [20_000, 3_200, 100, 310]])
    Z = Pipeline(Preprocessing().steps()).set_params(filter__min_genes=3).fit_transform(X)
    first = np.log2([100, 200, 800])
    np.testing.assert_allclose(Z[0], (first - first.mean()) / first.std())
    second = np.log2([16_000, 3_200, 100])
    np.testing.assert_allclose(Z[1], (second - second.mean()) / second.std())


def test_values_of_counts_by_hand():
    X = np.array([[0, 7, 15, 0.9], [3, 1, 0, 0]])
    steps = Preprocessing(scale="counts").steps()
    with pytest.raises(DataError, match="found 1 of 4"):  # at least two patients express a gene
        Pipeline(steps).fit(X)
    X = np.vstack([X, X])
    Z = Pipeline(steps).set_params(filter__min_genes=3).fit_transform(X)
    log2 = np.array([0, 3, 4])
    np.testing.assert_allclose(Z[0], (log2 - log2.mean()) / log2.std())


def test_names_survive_pandas_in_and_out(data, pipeline):
    Z = clone(pipeline).set_output(transform="pandas").fit_transform(data.X_train)
    assert isinstance(Z, pd.DataFrame)
    assert Z.index.equals(data.X_train.index)
    assert "X95735_at" in Z.columns
    names = pipeline.fit(data.X_train.to_numpy()).get_feature_names_out(data.X_train.columns)
    assert list(Z.columns) == list(names)


def test_each_list_of_steps_is_the_beginning_of_the_next(data):
    X, steps = data.X_train.to_numpy(), Preprocessing()
    assert [name for name, _ in steps.steps()] == ["clip", "filter", "log2", "standardise"]
    filtered, log2 = (
        Pipeline(first).fit_transform(X) for first in (steps.filtered_steps(), steps.log2_steps())
    )
    assert (filtered.min(), filtered.max()) == (100, 16_000)
    np.testing.assert_array_equal(log2, np.log2(filtered))


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("intensity", "10 genes must vary more than 5-fold and by more than 500 - found 9 of 12 "),
        ("counts", "10 genes must reach 1 per million in 50% of the patients - found 9 of 12 "),
        ("log-ratio", "10 genes must vary - found 9 of 12 "),
    ],
)
def test_too_few_genes_are_refused_in_any_pipeline(scale, message):
    X = np.zeros((6, 12))
    X[::2, :9] = 9_000
    with pytest.raises(DataError, match=f"at least {message}among 6 patients; check the scale"):
        Pipeline(Preprocessing(scale=scale).steps()).fit(X)


def test_of_more_genes_the_most_variable_after_log2(data):
    pipeline = Pipeline(Preprocessing(max_genes=100).steps()).fit(data.X_train.to_numpy())
    clipped = np.clip(data.X_train.to_numpy(), 100, 16_000)
    passing = GeneFilter().fit(clipped).get_support()
    expected = np.argsort(np.where(passing, -np.log2(clipped).var(axis=0), 0))[:100]
    np.testing.assert_array_equal(np.flatnonzero(pipeline["filter"].support_), np.sort(expected))
    assert pipeline["filter"].n_passing_ == 3_051


def test_the_threshold_of_counts_is_inclusive_and_follows_the_size_of_a_fold():
    X = np.zeros((20, 3))
    X[:5] = [1, 0.999, 1]
    X[0, 2] = 0
    expressed = GeneFilter("counts", min_share=0.25)
    np.testing.assert_array_equal(expressed.fit(X).get_support(), [True, False, False])
    np.testing.assert_array_equal(expressed.fit(X[:8]).get_support(), [True, False, True])


def test_log_ratios_are_neither_clipped_nor_logged_but_standardised():
    X = np.array([[-3.0, 0.5, 1, 7], [2, -1, 1, 0]])
    steps = Preprocessing(scale="log-ratio").steps()
    assert [name for name, _ in steps] == ["filter", "standardise"]
    Z = Pipeline(steps).set_params(filter__min_genes=3).fit_transform(X)
    varying = X[:, [0, 1, 3]]
    expected = (varying - varying.mean(axis=1, keepdims=True)) / varying.std(axis=1, keepdims=True)
    np.testing.assert_allclose(Z, expected)


def test_the_base_of_log_ratios_does_not_matter():
    X = np.random.default_rng(0).normal(0, 1, (20, 50)) * np.linspace(0.5, 2, 50)
    steps = Pipeline(Preprocessing(max_genes=30, scale="log-ratio").steps())
    Z = steps.fit_transform(X)
    kept = steps["filter"].get_support(indices=True)
    np.testing.assert_array_equal(kept, np.sort(np.argsort(-X.std(axis=0))[:30]))
    np.testing.assert_allclose(steps.fit_transform(X * np.log10(2)), Z)


# --- one factor for a cohort ----------------------------------------------------------------------


def test_the_published_level_is_that_of_the_shipped_training_patients(data):
    level = typical_level(data.X_train.to_numpy())
    assert level == PUBLISHED_LEVEL  # to the last bit, so that the factor is 1
    X = data.X_train.to_numpy()
    assert rescale(X, factor_to_published(level)) is X


def test_the_level_is_a_trimmed_mean_as_in_mas_5():
    """R: mean(x, trim=0.02), as affy.scalevalue.exprSet has it; the median of three arrays."""
    array = np.arange(100.0)
    array[-2:] = 1e6  # of 100 genes, two at each end do not count
    assert typical_level([array, array - 1e9, array * 2]) == pytest.approx(np.mean(range(2, 98)))
    below = np.where(array < 50, -array, array)
    assert typical_level([below]) == pytest.approx(np.sum(range(50, 98)) / 96)


@pytest.mark.parametrize("gain", [0.2, 1 / 3, 0.7, 3, 5, 1234.5])
def test_another_gain_of_the_scanner_leads_to_the_same_bytes(data, gain):
    """Also of the many genes whose fold or difference is exactly a threshold."""
    X = data.X_train.to_numpy()
    seen = X * gain
    found = rescale(seen, factor_to_published(typical_level(seen)))
    np.testing.assert_array_equal(found, X)


def test_another_background_keeps_most_of_the_genes(data):
    """A floor at the scanner, or a background not taken away, is no gain; as methods.md says."""
    X = data.X_train.to_numpy()
    kept = Pipeline(Preprocessing().filtered_steps()).fit(X)[-1].get_support()
    for seen, least in ((np.maximum(X, 100), 0.94), (X + 100, 0.86), (X - 100, 0.93)):
        seen = rescale(0.2 * seen, factor_to_published(typical_level(0.2 * seen)))
        found = Pipeline(Preprocessing().filtered_steps()).fit(seen)[-1].get_support()
        assert (kept & found).sum() / (kept | found).sum() > least
