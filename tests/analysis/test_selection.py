"""Stability selection: its published bounds, planted genes, and nothing where nothing is."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from expression.analysis import selection
from expression.errors import DataError
from planted import DOWN, N_GENES, UP, quick_models, simulate, small_models

# Of the reference implementation of the R package stabs, by its authors
REFERENCE = pd.read_csv(Path(__file__).parent / "stability_selection_bounds.csv")


@pytest.fixture(scope="module", autouse=True)
def fast():
    with small_models({}):
        yield


def test_bounds_are_those_of_the_reference_implementation():
    for row in REFERENCE.itertuples():
        genes, first, threshold, pairs = int(row.p), int(row.q), row.threshold, int(row.pairs)
        bound = selection.false_selections(genes, first, threshold, pairs)
        assert bound == pytest.approx(row.r_concave, rel=1e-4), row


@pytest.mark.parametrize(("genes", "first"), [(3_051, 110), (9_853, 201)])
def test_as_many_genes_are_the_first_as_the_bound_allows(genes, first):
    rule = selection.choose_rule(genes, 50, 1.0)
    assert rule.first == first
    assert rule.bound <= 1 < selection.false_selections(genes, first + 1, 0.75, 50)
    assert rule.worst_case == pytest.approx(first**2 / genes / 0.5)


def test_a_bound_that_no_rule_keeps_is_refused():
    least = selection.false_selections(10, 1, 0.75, 50)
    assert selection.choose_rule(10, 50, least + 1e-12).first == 1
    with pytest.raises(DataError, match=r"^--expected-false: must be at least .* found 1e-09"):
        selection.choose_rule(10, 50, 1e-9)


def test_a_tail_of_any_mean_holds_what_a_distribution_of_that_mean_can_have():
    """Equal weights on 0 to k are r-concave, with a mean of k / 2 steps."""
    n = 20
    for k in range(2, 9):
        bound = selection.tail_bound(k / 2 / n, (k + 1) / n, n, -1 / 2)
        assert bound >= selection.tail_bound(k / 2 / n, (k + 2) / n, n, -1 / 2) > 0
    assert selection.tail_bound(0.4, 0.5, n, -1 / 2) == 1  # equal weights reach it surely


def selected_genes(X, y, rule, seed=0):
    cohort = np.arange(len(y)), y.cat.codes.to_numpy(), [seed]
    found = selection.refit_on_pairs(quick_models(), X, [cohort], rule, "")
    return set(X.columns[found[0, :, -1].mean(axis=0) >= selection.SELECTED_FROM])


@pytest.fixture(scope="module")
def planted():
    data = simulate(effect=4)
    return data.X_train, data.y_train


def test_planted_genes_are_selected_and_few_others(planted):
    found = selected_genes(*planted, selection.choose_rule(N_GENES, 8, 1.0))
    assert set(UP + DOWN) <= found
    assert len(found) <= 7


def test_permuted_labels_select_few_and_subsets_nearly_the_same(planted):
    X, y = planted
    rule = selection.choose_rule(N_GENES, 8, 1.0)._replace(pairs=1)
    arguments = quick_models(), X, y.cat.codes.to_numpy(), np.ones((16, 5, N_GENES), bool), rule
    few, checks = (selection.check_rule(*arguments, count, seed=0) for count in (1, 2))
    assert checks.resampled_range == [N_GENES, N_GENES]
    assert (checks.permuted >= selection.SELECTED_FROM).sum(axis=1).mean() <= 4
    assert checks.subsets.shape == (selection.SUBSETS, N_GENES)
    assert checks.subsets[UP + DOWN].mean(axis=None) > 0.7
    # One more permutation changes no other
    pd.testing.assert_frame_equal(few.permuted, checks.permuted[:1])
    pd.testing.assert_frame_equal(few.subsets, checks.subsets)
    assert not checks.permuted.loc[0].equals(checks.permuted.loc[1])


def test_resampled_pairs_select_a_gene_as_often_as_binomial_draws_do():
    """Of a gene that both halves of three pairs in four select, and the other pairs do not."""
    always, never, near = np.ones(40, bool), np.zeros(40, bool), np.arange(40) < 30
    selected = np.column_stack([always, never, near]).repeat(2, axis=0)
    shares = selection.resample_pairs(selected, seed=0).mean(axis=0)
    assert list(shares[:2]) == [1, 0]
    assert shares[2] == pytest.approx(stats.binom.sf(29, 40, 0.75), abs=0.1)


def test_where_no_gene_differs_about_none_is_selected():
    rule, cohorts = selection.choose_rule(N_GENES, 6, 1.0), [simulate(0, seed) for seed in (0, 1)]
    assert np.mean([len(selected_genes(c.X_train, c.y_train, rule)) for c in cohorts]) <= 2


def test_other_seeds_select_nearly_the_same_genes(few_genes):
    """On an eighth of the shipped genes, Zyxin among them; wide bounds, 8 of 50 pairs."""
    X, y = few_genes.X_train, few_genes.y_train
    rule = selection.choose_rule(X.shape[1], 8, 1.0)
    one, other = (selected_genes(X, y, rule, seed) for seed in (0, 1))
    assert "X95735_at" in one & other
    assert len(one & other) >= len(one | other) / 3


def test_halves_are_stratified_and_complementary(planted, monkeypatch):
    X, y = planted[0], planted[1].cat.codes.to_numpy()
    seen = []

    def record(function, tasks, label):
        seen.extend(tasks)
        return [np.zeros((5, N_GENES), dtype=bool) for _ in seen]

    monkeypatch.setattr(selection, "run_parallel", record)
    rule = selection.choose_rule(N_GENES, 5, 1.0)
    cohorts = [(np.arange(40), y, [0]), (np.arange(20), y[:20], [1])]
    shape = selection.refit_on_pairs(quick_models(), X, cohorts, rule, "").shape
    assert shape == (2, 10, 5, N_GENES)
    sizes = [40] * 5 + [20] * 5
    for one, other, n in zip(seen[::2], seen[1::2], sizes, strict=True):
        (first, y_first, seed), (second, y_second, other_seed) = one[3:6], other[3:6]
        assert sorted([*first, *second]) == list(range(n))
        assert y_first.sum() == y_second.sum() == n / 4
        assert (y_first == y[first]).all()
        assert seed != other_seed


def test_stability_is_kunchevas_index_of_lists_of_one_size_and_cohens_kappa_of_two():
    rng = np.random.default_rng(0)
    lists = np.zeros((7, 50), dtype=bool)
    for row in lists:
        row[rng.choice(20, 8, replace=False)] = True
    shared = np.mean([(a & b).sum() for a, b in combinations(lists, 2)])
    kuncheva = (shared - 8**2 / 50) / (8 - 8**2 / 50)
    assert selection.nogueira_stability(lists)[0] == pytest.approx(kuncheva)
    kappa = cohen_kappa_score(*lists[:2])
    assert selection.nogueira_stability(lists[:2])[0] == pytest.approx(kappa)


def test_stability_interval_follows_the_paper_term_by_term():
    Z = np.random.default_rng(1).random((12, 30)) < np.linspace(0.9, 0.1, 30)
    M, d = Z.shape
    p, k = Z.mean(axis=0), Z.sum(axis=1)
    k_mean = k.mean()
    chance = k_mean / d * (1 - k_mean / d)
    index = 1 - sum(M / (M - 1) * q * (1 - q) for q in p) / d / chance
    phi = [
        sum(Z[i] * p) / d
        - k[i] * k_mean / d**2
        + index / 2 * (2 * k_mean * k[i] / d**2 - k[i] / d - k_mean / d + 1)
        for i in range(M)
    ]
    error = 2 * np.std(np.array(phi) / chance) / np.sqrt(M)
    expected = index, index - 1.96 * error, index + 1.96 * error
    assert selection.nogueira_stability(Z) == pytest.approx(expected)


def test_stability_of_equal_and_of_random_lists():
    same, chance = np.zeros((6, 40), dtype=bool), np.random.default_rng(2).random((200, 40)) < 0.3
    same[:, :5] = True
    table = selection.stability_table({"same": same, "chance": chance, "none": same & False})
    assert np.isnan(table.loc["none", "stability"])
    assert table.loc["same", "stability"] == pytest.approx(1)
    assert table.loc["chance", "stability"] == pytest.approx(0, abs=0.01)


def test_ties_share_the_worse_rank():
    assert list(selection.rank_genes(np.array([0.0, 3.0, 0.0, 2.0, 2.0]))) == [5, 1, 5, 3, 3]
