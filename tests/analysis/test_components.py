"""Components: planted ranks and noise, scikit-learn and hand computation as oracles."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nct
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from expression.analysis import components
from expression.analysis.components import ERROR
from expression.preprocessing import GeneFilter, Preprocessing
from many_classes import simulate_classes
from planted import simulate

STEPS = [("as_given", "passthrough")]
PREPROCESSED = Preprocessing().steps()


def planted(rank, seed=1, n_patients=30, n_genes=300):
    """Gaussian noise with `rank` directions of clearly larger and well-separated variance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_patients, n_genes))
    for size in np.linspace(3, 2, rank):
        patients, genes = (rng.normal(size=n) for n in X.shape)
        direction = np.outer(patients / np.linalg.norm(patients), genes / np.linalg.norm(genes))
        X += size * np.sqrt(n_genes) * direction
    return pd.DataFrame(X).add_prefix("g").rename("p{}".format)


def variance_of(X, steps=STEPS, seed=0, permutations=60, groups=None):
    fitted = components.fit_components(X, steps)
    return components.parallel_analysis(fitted, X, groups, permutations, seed)


def hold_out(X, steps=STEPS, count=9, retained=9, folds=None):
    """Leave one patient out at a time, or those of each fold."""
    loadings = components.fit_components(X, steps).loadings.iloc[:, :count]
    folds = folds or len(X)
    return components.held_out_scores(loadings, X, None, steps, retained, folds, seed=0)


@pytest.fixture(scope="module")
def fitted(data):
    return components.fit_components(data.X_train, PREPROCESSED)


# How many components


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rank", [0, 1, 5])
def test_parallel_analysis_retains_a_planted_rank(rank, seed):
    assert variance_of(planted(rank, seed))["retained"].sum() == rank


@pytest.mark.parametrize("seed", range(3))
def test_the_number_retained_of_the_shipped_data_does_not_hang_on_the_seed(data, seed):
    assert 8 <= variance_of(data.X_train, PREPROCESSED, seed)["retained"].sum() <= 10


def test_noise_that_went_through_the_preprocessing_has_no_component():
    X = pd.DataFrame(np.exp2(np.random.default_rng(3).normal(9, 1.5, size=(38, 800))))
    assert variance_of(X.add_prefix("g"), PREPROCESSED)["retained"].sum() == 0


def test_the_null_is_that_of_columns_permuted_one_by_one():
    Z = (planted(2) - planted(2).mean()).to_numpy()
    rng = np.random.default_rng((4, 7))
    by_hand = np.column_stack([rng.permutation(column) for column in Z.T])
    oracle = PCA().fit(by_hand).explained_variance_ratio_
    np.testing.assert_allclose(components.permuted_ratio(Z, None, (4, 7)), oracle, atol=1e-12)


def test_a_component_behind_one_not_retained_is_not_retained(monkeypatch):
    X = planted(3)
    ratio = components.fit_components(X, STEPS).ratio.to_numpy()
    null = np.r_[0, ratio[1] * 1.01, np.zeros(28)]
    monkeypatch.setattr(components, "permuted_ratio", lambda Z, people, seed: null)
    assert list(variance_of(X)["retained"][:4]) == [True, False, False, False]


def several_arrays(X, count, noise=0.05, seed=0):
    """Several arrays of each patient of X, with noise; and the patient of each."""
    rng = np.random.default_rng(seed)
    arrays = X.loc[X.index.repeat(count)]
    groups = pd.Series(arrays.index, [f"array {i}" for i in range(len(arrays))])
    arrays = arrays.set_axis(groups.index)
    return arrays + noise * rng.normal(size=arrays.shape), groups


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("count", [2, 3])
def test_arrays_of_one_person_make_no_component(rank, count):
    """Permuted as if of people of their own, each person would be one."""
    X, groups = several_arrays(planted(rank, n_patients=20), count)
    assert variance_of(X, groups=groups)["retained"].sum() == rank
    assert variance_of(X)["retained"].sum() > rank


def test_people_are_permuted_with_what_their_arrays_share():
    people = np.repeat(np.arange(6), [1, 2, 3, 1, 2, 3])
    Z = np.random.default_rng(0).normal(size=(6, 40))[people]
    permuted = components.permute_people(Z, people, np.random.default_rng(1))
    for person in range(6):
        assert np.ptp(permuted[people == person], axis=0).max() < 1e-12
    np.testing.assert_allclose(permuted.mean(axis=0), 0, atol=1e-12)
    values = np.sort(np.unique(Z.round(9), axis=0), axis=0)
    moved = np.unique(permuted.round(9), axis=0)
    shift = np.sort(moved, axis=0) - values
    np.testing.assert_allclose(shift - shift[0], 0, atol=1e-8)


def test_the_null_is_the_95th_percentile_of_the_permutations(monkeypatch):
    """Of 101 permutations that reach 0.000, 0.001, ..., 0.100, whatever the component."""

    def reached(Z, people, seed):
        return np.full(30, seed[1] / 1_000)

    monkeypatch.setattr(components, "permuted_ratio", reached)
    variance = variance_of(planted(3), permutations=101)
    np.testing.assert_allclose(variance["permuted_95"], 0.095)
    np.testing.assert_allclose(variance["cumulative"], variance["ratio"].cumsum())


# The components


def test_components_are_those_of_an_svd(data, fitted):
    oracle = PCA(svd_solver="full").fit(fitted.pipeline.transform(data.X_train.to_numpy()))
    cosines = (oracle.components_[:37] * fitted.loadings.T).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-9)
    np.testing.assert_allclose(fitted.ratio, oracle.explained_variance_ratio_[:37])
    assert (fitted.loadings.max() == fitted.loadings.abs().max()).all()
    first = components.fit_components(data.X_train, PREPROCESSED, 2)
    np.testing.assert_allclose(first.ratio, fitted.ratio[:2])


def test_test_patients_are_projected_by_hand(data, fitted):
    def prepared(X):
        Z = np.log2(X[fitted.loadings.index].clip(100, 16_000).to_numpy())
        return (Z - Z.mean(axis=1, keepdims=True)) / Z.std(axis=1, keepdims=True)

    loadings = fitted.loadings.to_numpy()[:, :9]
    centred = prepared(data.X_test) - prepared(data.X_train).mean(axis=0)
    unexplained = centred - centred @ loadings @ loadings.T
    scores = fitted.scores(data.X_test, retained=9)
    np.testing.assert_allclose(scores.iloc[:, :9], centred @ loadings, atol=1e-8)
    np.testing.assert_allclose(scores[ERROR], np.sqrt(np.square(unexplained).mean(axis=1)))


# Patients outside the fit


def test_a_left_out_patient_by_hand(few_genes):
    X, patient = few_genes.X_train, few_genes.X_train.index[4]
    scores, _ = hold_out(X, PREPROCESSED)
    alone = Pipeline([*PREPROCESSED, ("pca", PCA(9, svd_solver="full"))])
    projected = alone.fit(X.drop(patient).to_numpy()).transform(X.loc[[patient]].to_numpy())
    whole = alone[:-1].transform(X.loc[[patient]].to_numpy())
    unexplained = whole - alone[-1].inverse_transform(projected)
    assert scores.loc[patient, ERROR] == pytest.approx(np.sqrt(np.square(unexplained).mean()))
    assert abs(scores.loc[patient, "PC1"]) == pytest.approx(abs(projected[0, 0]))
    in_sample = components.fit_components(X, PREPROCESSED).scores(X, retained=9)
    assert scores.loc[patient, "PC1"] * in_sample.loc[patient, "PC1"] > 0
    assert (scores[ERROR] > in_sample[ERROR]).all()


def nearly_equal(X, second):
    """Values like X with two planted directions, the second of nearly the first's variance."""
    rng = np.random.default_rng(3)
    patterns = np.linalg.qr(rng.normal(size=(len(X), 2)))[0] * [60, second]
    genes = np.linalg.qr(rng.normal(size=(80, 2)))[0]
    Z = patterns @ genes.T + rng.normal(scale=0.1, size=(len(X), 80))
    return pd.DataFrame(Z, X.index).add_prefix("g"), patterns


def test_components_that_change_places_are_matched(data):
    X, patterns = nearly_equal(data.X_train, second=58)
    whole = components.fit_components(X, STEPS).loadings["PC1"]
    parts = [components.fit_components(X.drop(p), STEPS, 1).loadings["PC1"] for p in X.index]
    assert 0 < sum(abs(part @ whole) < 0.7 for part in parts) < 38  # in some fits, not in all
    scores, overlap = hold_out(X, count=2, retained=2)
    for component, pattern in zip(("PC1", "PC2"), patterns.T, strict=True):
        assert abs(np.corrcoef(scores[component], pattern)[0, 1]) > 0.9
    assert (overlap > 0.8).all()


@pytest.mark.parametrize("count", [1, 3])
def test_a_component_is_found_among_those_behind_the_ones_asked_for(data, count):
    """When patients leave, the last component of a table may come later than the table ends."""
    rng = np.random.default_rng(3)
    sizes = np.array([58.0] * (count + 1))
    patterns = np.linalg.qr(rng.normal(size=(38, count + 1)))[0] * sizes
    genes = np.linalg.qr(rng.normal(size=(80, count + 1)))[0]
    Z = patterns @ genes.T + rng.normal(scale=0.1, size=(38, 80))
    X = pd.DataFrame(Z, data.X_train.index).add_prefix("g")
    _, overlap = hold_out(X, count=count, retained=count)
    assert (overlap > 0.8).all()


def test_folds_hold_every_patient_out_once_and_tell_axes_from_directions_in_noise(data):
    X, patterns = nearly_equal(data.X_train, second=30)
    scores, overlap = hold_out(X, count=10, folds=5)
    assert list(scores.index) == list(X.index)
    assert abs(np.corrcoef(scores["PC1"], patterns[:, 0])[0, 1]) > 0.95
    assert (overlap[:2] > 0.99).all()
    assert (overlap[4:] < 0.8).all()


def test_arrays_of_one_person_are_held_out_together(monkeypatch):
    X, groups = several_arrays(planted(2, n_patients=12), 2)
    held_out_together = []
    score_fold = components.score_fold

    def record(X, steps, loadings, retained, others, held_out):
        assert not set(groups.iloc[others]) & set(groups.iloc[held_out])
        held_out_together.append(list(held_out))
        return score_fold(X, steps, loadings, retained, others, held_out)

    monkeypatch.setattr(components, "score_fold", record)
    loadings = components.fit_components(X, STEPS).loadings.iloc[:, :2]
    for folds, sizes in ((12, {2}), (5, {4, 6})):
        held_out_together.clear()
        scores, _ = components.held_out_scores(loadings, X, groups, STEPS, 2, folds, seed=0)
        assert {len(fold) for fold in held_out_together} == sizes
        assert sorted(np.concatenate(held_out_together)) == list(range(24))
        assert list(scores.index) == list(X.index)


@pytest.mark.parametrize("count", [10, 40])
def test_fewer_genes_than_patients_are_enough(data, count):
    varying = GeneFilter().fit(data.X_train.clip(100, 16_000)).get_support()
    X = data.X_train.loc[:, varying].iloc[:, :count]
    assert len(variance_of(X)) == min(count, 37)
    scores, overlap = hold_out(X, count=37, retained=2, folds=10)
    assert np.isfinite(scores.to_numpy()).all()
    assert len(overlap) == min(count, 37)


# What components separate


@pytest.mark.parametrize(
    ("n_a", "n_b", "shift"), [(8, 30, 0), (11, 27, 3), (12, 9, -2), (900, 1_100, 2)]
)
def test_interval_of_cohen_d_inverts_the_noncentral_t_distribution(n_a, n_b, shift):
    rng, unit = np.random.default_rng(0), np.sqrt(1 / n_a + 1 / n_b)
    a, b = rng.normal(shift, 1, n_a), rng.normal(0, 1, n_b)
    d, low, high = components.cohen_d(a, b)
    pooled = ((n_a - 1) * a.var(ddof=1) + (n_b - 1) * b.var(ddof=1)) / (n_a + n_b - 2)
    assert d == pytest.approx((a.mean() - b.mean()) / np.sqrt(pooled))
    tails = nct.cdf(d / unit, n_a + n_b - 2, np.array([low, high]) / unit)
    np.testing.assert_allclose(tails, [0.975, 0.025], atol=1e-4)


def test_an_interval_of_more_confidence_is_wider():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 11), rng.normal(0, 1, 27)
    d, low, high = components.cohen_d(a, b, confidence=0.99)
    unit = np.sqrt(1 / 11 + 1 / 27)
    tails = nct.cdf(d / unit, 36, np.array([low, high]) / unit)
    np.testing.assert_allclose(tails, [0.995, 0.005], atol=1e-4)


def test_people_are_counted_once_a_side_with_the_mean_of_their_arrays():
    rng = np.random.default_rng(0)
    of_people = pd.DataFrame({"PC1": rng.normal(size=12)}, [f"p{i}" for i in range(12)])
    arrays, groups = several_arrays(of_people, 3, noise=0)
    one_side = groups < "p5"
    contrast = {"some": (one_side, ~one_side)}
    first = of_people.index < "p5"
    of_means = components.effect_sizes(of_people, {"some": (first, ~first)})
    found = components.effect_sizes(arrays, contrast, groups)
    pd.testing.assert_frame_equal(found, of_means)
    arrays.iloc[0] += 3  # of the first person, the mean of three
    of_people.iloc[0] += 1
    found = components.effect_sizes(arrays, contrast, groups)
    pd.testing.assert_frame_equal(
        found, components.effect_sizes(of_people, {"some": (first, ~first)})
    )
    few = {"four": (groups.isin(["p0", "p1", "p2", "p3"]), groups >= "p4")}  # with 12 arrays
    assert components.effect_sizes(arrays, few, groups).empty


def test_effect_sizes_find_what_is_planted_and_nothing_else(data):
    rng = np.random.default_rng(5)
    values = pd.DataFrame(rng.normal(size=(72, 3)), data.X_all.index, ["noise", "class", "set"])
    values["class"] += 3 * data.y_all.cat.codes
    values["set"] += 2 * (data.sample_set == "test")
    in_training = components.contrasts_in_training(data)
    of_groups = components.effect_sizes(values, in_training)
    groups = ["AML - ALL", "B-cell ALL - rest", "T-cell ALL - rest"]
    assert list(of_groups.index.unique("contrast")) == groups
    low = of_groups.loc["AML - ALL", "low"]
    assert low["class"] > 0 > low["noise"]
    of_sets = components.effect_sizes(values, components.contrasts_of_sets(data))
    sets = ["test - train", "test - train, ALL", "test - train, AML"]
    assert list(of_sets.index[of_sets["low"] > 0]) == [(name, "set") for name in sets]
    values[data.sample_set == "test"] *= 9
    pd.testing.assert_frame_equal(components.effect_sizes(values, in_training), of_groups)


def test_five_patients_a_side_have_an_effect_size_and_four_have_none():
    values = pd.DataFrame({"PC1": np.random.default_rng(0).normal(size=12)})
    number = values.index.to_series()
    contrasts = {
        "four": (number < 4, number >= 4),
        "five": (number < 5, number >= 5),
        "five on the other side": (number < 7, number >= 7),
        "nobody": (number < 0, number >= 0),
    }
    table = components.effect_sizes(values, contrasts)
    assert list(table.index.unique("contrast")) == ["five", "five on the other side"]
    assert table.notna().all(axis=None)
    assert list(components.effect_sizes(values, {})) == list(table)


def test_contrasts_have_the_patients_they_name_on_their_sides(data):
    in_training = components.contrasts_in_training(data)
    of_sets = components.contrasts_of_sets(data)
    counts = {
        name: (one_side.sum(), other_side.sum())
        for name, (one_side, other_side) in (in_training | of_sets).items()
    }
    assert counts == {
        "AML - ALL": (11, 27),
        "B-cell ALL - rest": (19, 19),
        "T-cell ALL - rest": (8, 30),
        "test - train": (34, 38),
        "test - train, ALL": (20, 27),
        "test - train, AML": (14, 11),
    }
    for one_side, other_side in (in_training | of_sets).values():
        assert not (one_side & other_side).any()


def test_each_of_several_classes_is_compared_with_the_rest():
    """A class of five patients, too; of twenty classes there are twenty comparisons."""
    cohort = simulate_classes([12, 5, 9], effect=2, test_sizes=[4, 4, 4])
    of_classes = components.contrasts_of_classes(cohort)
    assert components.contrasts_in_training(cohort).keys() == of_classes.keys()
    counts = {name: (a.sum(), b.sum()) for name, (a, b) in of_classes.items()}
    assert counts == {
        "class 00 - rest": (12, 14),
        "class 01 - rest": (5, 21),
        "class 02 - rest": (9, 17),
    }
    assert (
        of_classes["class 01 - rest"][0]
        == (cohort.y_all == "class 01").mul(cohort.sample_set == "train")
    ).all()
    assert len(components.contrasts_of_classes(simulate_classes([5] * 20, effect=0))) == 20


@pytest.mark.parametrize("effect", [0, 3])
def test_components_separate_planted_classes_of_unequal_size_and_none_in_noise(effect):
    """Six classes; in noise 18 corrected intervals leave out 0 in 5 % of cohorts."""
    cohort = simulate_classes([20, 5, 12, 8, 16, 7], effect)
    scores, _ = hold_out(cohort.X_train, PREPROCESSED, count=3, retained=3, folds=6)
    effects = components.corrected_effect_sizes(
        scores[["PC1", "PC2", "PC3"]], components.contrasts_of_classes(cohort), None
    )
    assert len(effects) == 18
    beyond = (effects["low"] > 0) | (effects["high"] < 0)
    assert (beyond.sum() >= 3) if effect else not beyond.any()


# Batches


def in_batches(names, data):
    """The data, their patients of each class in batches of these names by turns."""
    batches = [names[i // 2 % len(names)] for i in range(len(data.y_all))]
    return replace(data, batches=pd.Series(batches, data.y_all.index))


def test_each_batch_is_compared_with_the_others_of_its_class():
    data = in_batches(["x", "y", "z"], simulate(effect=0))
    contrasts = components.contrasts_of_batches(data)
    assert list(contrasts) == [
        f"{batch} - other batches, {label}" for label in ("control", "case") for batch in "xyz"
    ]
    for name, (one_side, other_side) in contrasts.items():
        batch, label = name[0], name.split(", ")[1]
        assert set(data.batches[one_side]) == {batch}
        assert set(data.batches[other_side]) == set("xyz") - {batch}
        assert set(data.y_all[one_side | other_side]) == {label}
        assert (one_side | other_side).sum() == 40


def test_two_batches_are_compared_once_and_one_not_at_all():
    data = simulate(effect=0)
    assert components.contrasts_of_batches(data) == {}
    assert components.contrasts_of_batches(in_batches(["x"], data)) == {}
    two = components.contrasts_of_batches(in_batches(["x", "y"], data))
    assert list(two) == ["x - other batches, control", "x - other batches, case"]
    by_class = replace(data, batches=data.y_all.astype(str))
    assert components.contrasts_of_batches(by_class) == {}


def test_a_planted_batch_effect_is_found_within_each_class_and_none_in_95_percent():
    """Of 60 cohorts at most 8 without any, which a rate of 5 % exceeds once in 200 times."""
    data = in_batches(["x", "y", "z"], simulate(effect=0))
    contrasts = components.contrasts_of_batches(data)
    rng = np.random.default_rng(0)
    found = {0: 0, 2: 0}
    for cohort in range(60):
        values = pd.DataFrame(rng.normal(size=(80, 2)), data.y_all.index).add_prefix("PC")
        for effect in (0, 2) if cohort < 5 else (0,):
            shifted = values.assign(PC1=values["PC1"] + effect * (data.batches == "x"))
            table = components.corrected_effect_sizes(shifted, contrasts, None)
            beyond = table[(table["low"] > 0) | (table["high"] < 0)]
            found[effect] += len(beyond) > 0
            if effect:
                assert set(beyond[beyond["d"] > 0].index) == {
                    ("x - other batches, control", "PC1"),
                    ("x - other batches, case", "PC1"),
                }
    assert len(table) == 12
    assert found[2] == 5
    assert 0 < found[0] <= 8
