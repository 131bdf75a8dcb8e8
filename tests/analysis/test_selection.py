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
from many_classes import planted_genes, simulate_few_genes
from planted import DOWN, N_GENES, UP, quick_explained_models, simulate

# Of the reference implementation of the R package stabs, by its authors
REFERENCE = pd.read_csv(Path(__file__).parent / "stability_selection_bounds.csv")


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


def test_a_rule_of_very_many_pairs_is_found_too():
    """More pairs, a sharper bound, and so more genes; in few genes, as it takes long."""
    few, many = (selection.choose_rule(300, pairs, 1.0) for pairs in (250, 500))
    assert few.first <= many.first
    assert many.bound <= 1


def test_a_tail_of_any_mean_holds_what_a_distribution_of_that_mean_can_have():
    """Equal weights on 0 to k are r-concave, with a mean of k / 2 steps."""
    n = 20
    for k in range(2, 9):
        bound = selection.tail_bound(k / 2 / n, (k + 1) / n, n, -1 / 2)
        assert bound >= selection.tail_bound(k / 2 / n, (k + 2) / n, n, -1 / 2) > 0
    assert selection.tail_bound(0.4, 0.5, n, -1 / 2) == 1  # equal weights reach it surely


# --- one subsample


def test_the_first_genes_are_those_of_best_mean_rank():
    """A gene that one model ranks first and another one last is not among them."""
    importances = np.array([[9.0, 7.0, 5.0, 3.0], [1.0, 7.0, 9.0, 3.0]])
    *_, of_all = selection.select_genes(importances, first=2)
    assert list(of_all) == [False, True, True, False]


def test_a_model_selects_no_gene_that_it_does_not_use():
    """However many it may select, and whatever rank those share."""
    importances = np.array([[0.0, 2.0, 0.0, 0.0], [4.0, 3.0, 2.0, 1.0]])
    one, other, _ = selection.select_genes(importances, first=4)
    assert list(one) == [False, True, False, False]
    assert other.all()


def test_ties_share_the_worse_rank():
    assert list(selection.rank_genes(np.array([0.0, 3.0, 0.0, 2.0, 2.0]))) == [5, 1, 5, 3, 3]


def test_halves_are_stratified_and_complementary():
    y = np.tile([0, 0, 0, 1], 10)
    rows = np.arange(100, 140)
    halves = selection.draw_pairs(selection.PatientSet(rows, y, seed=[0]), pairs=5)
    assert len(halves) == 10
    for one, other in zip(halves[::2], halves[1::2], strict=True):
        assert sorted([*one.rows, *other.rows]) == list(rows)
        assert one.y.sum() == other.y.sum() == 5
        assert list(one.y) == list(y[one.rows - 100])
    assert len({tuple(half.rows) for half in halves}) == 10
    assert len({half.seed for half in halves}) == 10


# --- genes of a cohort


def selected_genes(X, y, rule, seed=0):
    everybody = selection.PatientSet(np.arange(len(y)), y.cat.codes.to_numpy(), [seed])
    (selected,) = selection.refit_on_pairs(quick_explained_models(), X, [everybody], rule, "")
    return set(X.columns[selected[:, -1].mean(axis=0) >= 0.75])


@pytest.fixture(scope="module")
def planted():
    data = simulate(effect=4)
    return data.X_train, data.y_train


def test_planted_genes_are_selected_and_few_others(planted):
    genes = selected_genes(*planted, selection.choose_rule(N_GENES, 8, 1.0))
    assert set(UP + DOWN) <= genes
    assert len(genes) <= 7


@pytest.mark.parametrize("sizes", [(12, 12, 12), (5, 20, 12), (8, 8, 8, 8, 8, 8)])
def test_planted_genes_of_more_classes_are_selected_and_few_others(sizes):
    data = simulate_few_genes(sizes, effect=5)
    rule = selection.choose_rule(N_GENES, 8, 1.0)
    genes = selected_genes(data.X_train, data.y_train, rule)
    planted = set(planted_genes(data))
    assert len(genes & planted) >= 0.8 * len(planted)
    assert len(genes - planted) <= 2


def test_where_no_gene_differs_between_three_classes_about_none_is_selected():
    rule = selection.choose_rule(N_GENES, 6, 1.0)
    cohorts = [simulate_few_genes((5, 15, 12), 0, seed) for seed in (0, 1)]
    assert np.mean([len(selected_genes(c.X_train, c.y_train, rule)) for c in cohorts]) <= 2


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


# --- controls


def all_patients(y, groups=None):
    return selection.PatientSet(np.arange(len(y)), y, [0, 0], groups)


def run_controls(X, y, rule, permutations):
    return selection.run_controls(
        quick_explained_models(),
        X,
        all_patients(y.cat.codes.to_numpy()),
        np.ones((16, N_GENES), bool),
        rule,
        permutations=permutations,
        seed=0,
    )


def test_permuted_labels_select_few_and_subsets_nearly_the_same(planted):
    rule = selection.choose_rule(N_GENES, 8, 1.0)._replace(pairs=1)
    few, controls = (run_controls(*planted, rule, permutations=count) for count in (1, 2))
    assert controls.resampled_range == [N_GENES, N_GENES]
    assert controls.permuted_counts.mean() <= 4
    assert controls.subsets[UP + DOWN].mean(axis=None) > 0.7
    # One more permutation changes no other
    pd.testing.assert_frame_equal(few.permuted, controls.permuted[:1])
    pd.testing.assert_frame_equal(few.subsets, controls.subsets)


def test_controls_are_as_many_as_the_methods_say(planted, monkeypatch):
    def select_none(function, tasks, label):
        return [np.zeros((len(quick_explained_models()) + 1, N_GENES), dtype=bool) for _ in tasks]

    monkeypatch.setattr(selection, "run_parallel", select_none)
    rule = selection.choose_rule(N_GENES, 50, 1.0)
    controls = run_controls(*planted, rule, permutations=3)
    assert (controls.permuted_pairs, controls.subset_pairs) == (8, 5)
    assert len(controls.resampled) == len(controls.resampled_of_all) == 200
    assert (len(controls.permuted), len(controls.subsets)) == (3, 5)
    assert run_controls(*planted, rule._replace(pairs=4), permutations=1).subset_pairs == 4


def test_every_permutation_has_labels_and_subsamples_of_its_own():
    y = np.repeat([0, 1], (27, 11))
    permuted = selection.permute_labels(all_patients(y), permutations=6, seed=0)
    assert len({tuple(patients.y) for patients in permuted}) == 6
    assert {tuple(np.sort(patients.y)) for patients in permuted} == {tuple(y)}
    halves = [selection.draw_pairs(patients._replace(y=y), 1)[0] for patients in permuted]
    assert len({tuple(half.rows) for half in halves}) == 6


def test_each_patient_is_left_out_of_one_subset():
    y = np.repeat([0, 1], (25, 10))
    subsets = selection.leave_out_fifths(all_patients(y), seed=0)
    assert np.bincount(np.concatenate([patients.rows for patients in subsets])).tolist() == [4] * 35
    for patients in subsets:
        assert (len(patients.y), patients.y.sum()) == (28, 8)
        assert list(patients.y) == list(y[patients.rows])
    random_states = {selection.draw_pairs(patients, 1)[0].seed for patients in subsets}
    assert len(random_states) == len(subsets)


def test_a_gene_counts_from_three_quarters_of_the_subsamples_on():
    frequencies = pd.DataFrame({"fewer": [0.74], "as many": [0.75], "more": [0.76]})
    none = pd.DataFrame()
    controls = selection.Controls(none, frequencies, 10, none, 5, none)
    assert list(controls.permuted_counts) == [2]


def test_resampled_pairs_select_a_gene_as_often_as_binomial_draws_do():
    """Of a gene that both halves of three pairs in four select, and the other pairs do not."""
    always, never, near = np.ones(40, bool), np.zeros(40, bool), np.arange(40) < 30
    selected = np.column_stack([always, never, near]).repeat(2, axis=0)
    for drawn in (40, 8):
        shares = selection.resample_pairs(selected, drawn, seed=0).mean(axis=0)
        assert list(shares[:2]) == [1, 0]
        expected = stats.binom.sf(0.75 * drawn - 1, drawn, 0.75)
        assert shares[2] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("lists", "agreement"),
    [
        ([[1, 1, 0], [1, 1, 0]], 1),
        ([[1, 1, 0], [0, 1, 1]], 1 / 3),
        ([[1, 0, 0], [0, 1, 0], [0, 1, 0]], 1 / 2),
        ([[0, 0, 0], [0, 0, 0]], 1),
    ],
)
def test_resamples_agree_by_the_genes_they_share(lists, agreement):
    resampled = pd.DataFrame(lists).astype(bool)
    none = pd.DataFrame()
    controls = selection.Controls(resampled, none, 10, none, 5, none)
    assert controls.resampled_agreement == pytest.approx(agreement)


# --- several arrays of one person


@pytest.fixture(params=range(10))
def arrays(request):
    """Arrays of people who have one to four of them, of one class or of both, in random order."""
    rng = np.random.default_rng(request.param)
    person = rng.permutation(np.arange(30).repeat(rng.integers(1, 5, 30)))
    y = np.where(person < 4, rng.integers(0, 2, len(person)), person % 3 == 0).astype(int)
    return selection.PatientSet(
        np.arange(100, 100 + len(y)), y, [request.param], person.astype(str)
    )


def test_a_person_is_never_in_both_halves(arrays):
    halves = selection.draw_pairs(arrays, pairs=10)
    for one, other in zip(halves[::2], halves[1::2], strict=True):
        assert not set(one.groups) & set(other.groups)
        assert sorted([*one.rows, *other.rows]) == list(arrays.rows)
        for half in (one, other):
            assert list(half.y) == list(arrays.y[half.rows - 100])
            assert list(half.groups) == list(arrays.groups[half.rows - 100])
            assert len(set(half.groups)) == 15
            assert set(half.y) == {0, 1}


def test_a_person_is_left_out_with_all_arrays(arrays):
    left_out = []
    for patients in selection.leave_out_fifths(arrays, seed=0):
        others = np.setdiff1d(arrays.rows, patients.rows)
        assert not set(patients.groups) & set(arrays.groups[others - 100])
        left_out += list(others)
    assert sorted(left_out) == list(arrays.rows)


def test_permuted_labels_are_the_same_for_arrays_of_one_person_and_class(arrays):
    for patients in selection.permute_labels(arrays, permutations=5, seed=0):
        of_kinds = pd.Series(patients.y).groupby([arrays.groups, arrays.y]).nunique()
        assert of_kinds.max() == 1
        assert (patients.y != arrays.y).any()
        assert list(patients.groups) == list(arrays.groups)


# --- stability of lists


def test_stability_is_kunchevas_index_of_lists_of_one_size_and_cohens_kappa_of_two():
    rng = np.random.default_rng(0)
    lists = np.zeros((7, 50), dtype=bool)
    for row in lists:
        row[rng.choice(20, 8, replace=False)] = True
    shared = np.mean([(a & b).sum() for a, b in combinations(lists, 2)])
    kuncheva = (shared - 8**2 / 50) / (8 - 8**2 / 50)
    assert selection.nogueira_stability(lists) == pytest.approx(kuncheva)
    kappa = cohen_kappa_score(*lists[:2])
    assert selection.nogueira_stability(lists[:2]) == pytest.approx(kappa)


def test_stability_of_equal_and_of_random_lists():
    same, chance = np.zeros((6, 40), dtype=bool), np.random.default_rng(2).random((200, 40)) < 0.3
    same[:, :5] = True
    table = selection.stability_table({"same": same, "chance": chance, "none": same & False})
    assert np.isnan(table.loc["none", "stability"])
    assert table.loc["same", "stability"] == pytest.approx(1)
    assert table.loc["chance", "stability"] == pytest.approx(0, abs=0.01)
    assert table.loc["same", "genes (mean)"] == 5
