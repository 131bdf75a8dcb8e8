"""Stability selection: its published bounds, planted genes, and nothing where nothing is."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import DOWN, N_GENES, UP, quick_pipelines, simulate
from sklearn.metrics import cohen_kappa_score

from expression import selection

# Of the reference implementation of the R package stabs, by its authors
REFERENCE = pd.read_csv(Path(__file__).parent / "stability_selection_bounds.csv")


def test_bounds_are_those_of_the_reference_implementation():
    for row in REFERENCE.itertuples():
        genes, first, threshold, pairs = int(row.p), int(row.q), row.threshold, int(row.pairs)
        bound = selection.false_selections(genes, first, threshold, pairs)
        assert bound == pytest.approx(row.r_concave, rel=1e-4), row


@pytest.mark.parametrize(("genes", "first"), [(3_051, 110), (9_853, 201), (5_000, 142)])
def test_as_many_genes_are_the_first_as_the_bound_allows(genes, first):
    rule = selection.choose_rule(genes, 50, 1.0)
    assert rule.first == first
    assert rule.bound <= 1 < selection.false_selections(genes, first + 1, 0.75, 50)
    assert rule.worst_case == pytest.approx(first**2 / genes / 0.5)


def test_a_stricter_bound_allows_fewer_genes_and_few_genes_allow_one():
    assert selection.choose_rule(3_051, 50, 0.1).first < 50
    assert selection.choose_rule(10, 50, 1e-9).first == 1


def test_a_tail_of_any_mean_holds_what_a_distribution_of_that_mean_can_have():
    """Equal weights on 0 to k are r-concave, with a mean of k / 2 steps."""
    n = 20
    for k in range(2, 9):
        bound = selection.tail_bound(k / 2 / n, (k + 1) / n, n, -1 / 2)
        assert bound >= selection.tail_bound(k / 2 / n, (k + 2) / n, n, -1 / 2) > 0
    assert selection.tail_bound(0.4, 0.5, n, -1 / 2) == 1  # equal weights reach it surely


@pytest.fixture(scope="module")
def planted():
    data = simulate(effect=4)
    return data, data.X_train, data.y_train.cat.codes.to_numpy()


def everyone(y):
    return [(np.arange(len(y)), y)]


def selected_genes(data, rule):
    y = data.y_train.cat.codes.to_numpy()
    seeds = [[0, 0]]
    found = selection.refit_on_pairs(
        quick_pipelines(), data.X_train, everyone(y), rule, seeds, "refits"
    )
    frequency = found[0, :, -1].mean(axis=0)
    return set(data.X_train.columns[frequency >= selection.THRESHOLD])


def test_planted_genes_are_selected_and_few_others(planted):
    data, X, y = planted
    rule = selection.choose_rule(N_GENES, 10, 1.0)
    found = selected_genes(data, rule)
    assert set(UP + DOWN) <= found
    assert len(found) <= 7
    checks = selection.check_rule(quick_pipelines(), X, y, rule._replace(pairs=3), 2, seed=0)
    assert (checks.permuted >= selection.THRESHOLD).sum(axis=1).mean() <= 2
    assert checks.subsets.shape == (selection.SUBSETS, N_GENES)
    assert checks.subsets.iloc[:, :5].mean(axis=None) > 0.7


def test_where_no_gene_differs_about_none_is_selected():
    rule = selection.choose_rule(N_GENES, 8, 1.0)
    assert np.mean([len(selected_genes(simulate(0, seed), rule)) for seed in range(3)]) <= 2


def test_other_seeds_select_nearly_the_same_genes(data):
    """On an eighth of the shipped genes, Zyxin among them; wide bounds, 20 of 50 pairs."""
    X, y = data.X_train.iloc[:, 4::8], data.y_train.cat.codes.to_numpy()
    rule = selection.choose_rule(X.shape[1], 20, 1.0)
    lists = []
    for seed in range(3):
        found = selection.refit_on_pairs(quick_pipelines(), X, everyone(y), rule, [[seed]], "")
        frequency = found[0, :, -1].mean(axis=0)
        lists.append(set(X.columns[frequency >= selection.THRESHOLD]))
    assert "X95735_at" in set.intersection(*lists)
    assert len(set.intersection(*lists)) >= len(set.union(*lists)) / 3
    assert max(map(len, lists)) <= 2 * min(map(len, lists))


def test_halves_are_stratified_and_complementary(planted, monkeypatch):
    _, X, y = planted
    seen = []

    def record(function, tasks, label):
        seen.extend(tasks)
        return [np.zeros((5, N_GENES), dtype=bool) for _ in seen]

    monkeypatch.setattr(selection, "run_parallel", record)
    rule = selection.choose_rule(N_GENES, 5, 1.0)
    cohorts = [*everyone(y), (np.arange(20), y[:20])]
    shape = selection.refit_on_pairs(quick_pipelines(), X, cohorts, rule, [[0], [1]], "").shape
    assert shape == (2, 10, 5, N_GENES)
    sizes = [40] * 5 + [20] * 5
    for one, other, n in zip(seen[::2], seen[1::2], sizes, strict=True):
        (first, y_first, seed), (second, y_second, other_seed) = one[3:6], other[3:6]
        assert sorted([*first, *second]) == list(range(n))
        assert y_first.sum() == y_second.sum() == n / 4
        assert (y_first == y[first]).all()
        assert seed != other_seed


def test_more_permutations_and_pairs_change_no_refit(planted):
    _, X, y = planted
    rule = selection.choose_rule(N_GENES, 2, 1.0)
    few, more = (
        selection.check_rule(quick_pipelines(), X, y, rule, count, seed=0) for count in (1, 2)
    )
    pd.testing.assert_frame_equal(few.permuted, more.permuted[:1])
    pd.testing.assert_frame_equal(few.subsets, more.subsets)
    assert not more.permuted.loc[0].equals(more.permuted.loc[1])


def test_stability_of_equal_sizes_is_kunchevas_index():
    rng = np.random.default_rng(0)
    selected = np.zeros((7, 50), dtype=bool)
    for row in selected:
        row[rng.choice(20, 8, replace=False)] = True
    shared = np.mean([(a & b).sum() for a, b in combinations(selected, 2)])
    kuncheva = (shared - 8**2 / 50) / (8 - 8**2 / 50)
    assert selection.nogueira_stability(selected)[0] == pytest.approx(kuncheva)


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
    assert selection.nogueira_stability(Z) == pytest.approx(expected)


def test_stability_of_two_lists_of_one_size_is_cohens_kappa():
    a, b = np.zeros((2, 40), dtype=bool)
    a[:10], b[4:14] = True, True
    kappa = cohen_kappa_score(a, b)
    assert selection.nogueira_stability(np.array([a, b]))[0] == pytest.approx(kappa)


def test_stability_of_equal_and_of_random_lists():
    same, chance = np.zeros((6, 40), dtype=bool), np.random.default_rng(2).random((200, 40)) < 0.3
    same[:, :5] = True
    table = selection.stability_table({"same": same, "chance": chance, "none": same & False})
    assert np.isnan(table.loc["none", "stability"])
    assert table.loc["same", "stability"] == pytest.approx(1)
    assert table.loc["chance", "stability"] == pytest.approx(0, abs=0.01)


def test_ties_share_the_worse_rank():
    assert list(selection.rank_genes(np.array([0.0, 3.0, 0.0, 2.0, 2.0]))) == [5, 1, 5, 3, 3]
