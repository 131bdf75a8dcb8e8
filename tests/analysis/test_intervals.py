"""Intervals: the published ones, by hand, and how often they cover the truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from expression.analysis import intervals


@pytest.mark.parametrize(("correct", "interval"), [(34, (0.898, 1)), (31, (0.770, 0.970))])
def test_wilson_intervals_are_the_published_ones(correct, interval):
    assert intervals.wilson_interval(correct / 34, 34) == pytest.approx(interval, abs=5e-4)


def test_balanced_accuracy_interval_by_hand():
    low, high = intervals.wilson_interval(0.75, 4)
    reach = np.array([0.75 - low, high - 0.75]) / np.sqrt(2)
    found = intervals.newcombe_interval([0.75, 0.75], [4, 4])
    assert found == pytest.approx([0.75 - reach[0], 0.75 + reach[1]])
    low, high = intervals.newcombe_interval([1.0, 1.0], [4, 4])
    assert 0.5 < low < high == pytest.approx(1)


@pytest.mark.parametrize("auc", [0.0, 0.3, 0.92, 1.0])
def test_limits_of_the_auc_are_where_their_own_error_reaches_it(auc):
    m, n = 14, 20
    for limit in intervals.auc_interval(auc, m, n):
        other = (2 * (m + n) / 2 - 1) - 3 * ((m + n) / 2 - 1) / ((2 - limit) * (1 + limit))
        error = np.sqrt(limit * (1 - limit) / (m * n) * other)  # as Newcombe writes it
        assert abs(auc - limit) == pytest.approx(1.959964 * error, abs=1e-8)
    low, high = intervals.auc_interval(auc, m, n)
    assert low <= auc <= high
    assert 0.1 < high - low < 0.45  # also at 0 and 1, where a bootstrap has no width
    assert (1 - high, 1 - low) == pytest.approx(intervals.auc_interval(1 - auc, m, n))


@pytest.mark.parametrize("auc", [0.75, 0.97])
def test_intervals_of_the_auc_cover_it_on_14_and_20_patients(auc):
    rng = np.random.default_rng(0)
    positive = rng.normal(np.sqrt(2) * norm.ppf(auc), 1, (4000, 14, 1))  # of this AUC
    found = (positive > rng.normal(size=(4000, 1, 20))).mean(axis=(1, 2))
    values, times = np.unique(found, return_counts=True)
    limits = np.array([intervals.auc_interval(value, 14, 20) for value in values])
    covered = (limits[:, 0] <= auc) & (auc <= limits[:, 1])
    assert 0.945 < np.average(covered, weights=times) < 0.99


def test_summary_of_splits_by_hand():
    table = intervals.summarise_splits(pd.DataFrame({"A": [0.7, 0.8, 0.9], "B": 0.5}), 2, 1)
    reach = 4.302653 * np.sqrt(0.01 * (1 / 3 + 1 / 2))  # t with 2 degrees of freedom
    assert table.loc["A"].tolist() == pytest.approx([0.8, 0.1, 0.8 - reach, 1.0])
    assert table.loc["B", ["mean", "sd"]].tolist() == [0.5, 0]
    assert table.loc["B", ["lower", "upper"]].isna().all()  # three splits do not make it certain
