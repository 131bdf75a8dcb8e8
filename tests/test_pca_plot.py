"""Q3, components: the script, and what it says of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import pca_plot
from many_classes import simulate_classes
from run_script import record, run, stated_default, table

# The script


@pytest.mark.parametrize(
    ("option", "default"), [("--permutations", 200), ("--folds", 50), ("--components", 10)]
)
def test_defaults_are_those_of_the_methods(option, default, capsys):
    assert stated_default(pca_plot, option, capsys) == default


def test_options_limit_the_folds_and_the_tables_but_not_what_is_found(few_genes, tmp_path):
    counts = "--permutations", "20", "--components", "2", "--folds", "3"
    files = run(pca_plot, few_genes, tmp_path, *counts)
    written = record(files)
    retained = written["results"]["dimensions"]["retained by parallel analysis"]
    assert list(table(files, "loadings")) == [*(f"PC{i + 1}" for i in range(retained)), "gene"]
    assert retained > 3
    scores = table(files, "scores")
    in_test = scores[scores["set"] == "test"]  # whom no fit saw
    assert (in_test["PC1"] == in_test["PC1 held out"]).all()
    assert (scores["PC1"] != scores["PC1 held out"]).sum() == len(few_genes.X_train)
    assert written["results"]["dimensions"]["drawn"] == len(written["headline"]["rows"]) == 3
    assert b"(3-fold cross-validation)" in files["metrics.txt"]
    assert written["options"]["folds"] == 3


def test_the_folds_recorded_are_those_used(few_genes, tmp_path):
    files = run(pca_plot, few_genes, tmp_path, "--permutations", "20")
    assert record(files)["options"]["folds"] == len(few_genes.X_train) == 38
    assert b"(leave-one-out)" in files["metrics.txt"]


def test_batches_and_people_are_in_tables_and_words(few_genes, tmp_path):
    """Two arrays of each person, within training and test; ten batches of long names."""
    y = few_genes.y_all
    numbers = np.r_[np.arange(38) // 2, 50 + np.arange(34) // 2]
    laboratories = [f"laboratory of a rather long name, number {i % 10}" for i in range(72)]
    data = replace(few_genes, batches=pd.Series(laboratories, y.index, name="center"))
    alone = run(pca_plot, data, tmp_path, "--permutations", "20", "--folds", "5", figures=True)
    assert "batches.png" in alone
    lines = alone["metrics.txt"].decode().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    assert set(table(alone, "scores")["batch"]) == set(laboratories)
    between = [name for name in table(alone, "associations").index if "other batches" in name]
    assert between
    sentences = record(alone)["headline"]["in_short"]
    assert sentences[2].startswith("Between batches, patients of one class differ beyond chance")

    groups = pd.Series(numbers, y.index).map("person {}".format)
    files = run(pca_plot, replace(data, groups=groups), tmp_path, "--permutations", "20")
    assert record(files)["options"]["folds"] == 19
    assert b"(leave-one-out)" in files["metrics.txt"]
    assert "38 training arrays" in record(files)["headline"]["title"]


@pytest.fixture
def noise(few_genes):
    """Values without structure, long names, no subtypes, nobody to test, no list of genes."""
    X = few_genes.X_train
    X = pd.DataFrame(np.exp2(np.random.default_rng(0).normal(9, 1.5, X.shape)), X.index, X.columns)
    y = few_genes.y_train.cat.rename_categories({"ALL": "a $ober " * 5, "AML": "sick_" * 8})
    none = {"X_test": X[:0], "y_test": y[:0], "subtypes": None, "informative_genes": None}
    names = few_genes.gene_names + " with a name that is long"
    return replace(few_genes, X_train=X, y_train=y, gene_names=names, caveats="", **none)


def test_noise_of_a_cohort_with_long_names_and_nothing_else(noise, tmp_path):
    counts = "--permutations", "40", "--components", "10", "--folds", "9"
    files = run(pca_plot, noise, tmp_path, *counts, figures=True)
    assert max(map(len, files["metrics.txt"].decode().splitlines()[2:])) <= 100
    written = record(files)
    assert "retains 0 components, with 0% of" in written["headline"]["in_short"][0]
    assert written["results"]["dimensions"]["drawn"] == len(written["headline"]["rows"]) == 2
    assert len(written["results"]["associations"]) == 2
    assert (
        files["scores.csv"]
        .splitlines()[0]
        .startswith(b"patient,class,batch,set,reconstruction error")
    )


# The answer in short


@pytest.mark.parametrize(("low", "farther"), [(0.1, "farther from"), (-0.1, "no farther from")])
def test_test_patients_lie_farther_only_where_the_interval_says_so(low, farther):
    variance = pd.DataFrame({"retained": True, "ratio": [0.5], "overlap": 1.0}, ["PC1"])
    index = ["contrast", "component"]
    effects = pd.DataFrame({"contrast": ["B - A"], "component": "PC1", "d": 0.5, "low": low})
    effects = effects.assign(high=1.0).set_index(index)
    shifts = effects.rename({"B - A": "test - train", "PC1": pca_plot.ERROR})
    sentences = pca_plot.in_short(variance, 2, effects, "", shifts)
    assert f"Test patients lie {farther} the components" in sentences[2]
    assert len(pca_plot.in_short(variance, 2, effects, "", shifts[:0])) == len(sentences) - 1
    with_batches = pca_plot.in_short(variance, 2, effects, "Batches.", shifts)
    assert with_batches == [*sentences[:2], "Batches.", *sentences[2:]]


def test_components_of_little_overlap_are_no_axes_of_their_own():
    """Of those retained; from 0.9 on they are."""
    components = ["PC1", "PC2", "PC3", "PC4"]
    overlap = [0.95, 0.9, 0.89, 0.1]
    variance = pd.DataFrame({"ratio": 0.2, "overlap": overlap}, components)
    sentence = pca_plot.retained_sentence(variance.assign(retained=[True] * 3 + [False]), drawn=3)
    assert sentence == (
        "Parallel analysis against permuted genes retains 3 components, with 60% of the variance. "
        "Not stable as single axes: PC3 (overlap below 0.9 with the matching components when "
        "patients are held out). Drawn are those retained, at least 2 and at most 3: here 3."
    )
    sentence = pca_plot.retained_sentence(variance.assign(retained=[True] + [False] * 3), drawn=2)
    assert "retains 1 component, with 20% of the variance. Drawn" in sentence


def test_each_contrast_is_told_where_it_is_largest_whatever_the_sign():
    rows = [("B - A", "PC1", 0.5, 0.1, 0.9), ("B - A", "PC2", -2.0, -3.0, -1.0)]
    separated = pd.DataFrame(rows, columns=["contrast", "component", "d", "low", "high"])
    sentence = pca_plot.separated_sentence(separated.set_index(["contrast", "component"]), drawn=2)
    assert sentence.endswith("B - A most along PC2, 2.00 (1.00–3.00).")


def effects_of(*rows):
    table = pd.DataFrame(rows, columns=["contrast", "component", "d", "low", "high"])
    return table.set_index(["contrast", "component"])


def test_batches_differ_within_a_class_where_the_corrected_interval_says_so(data):
    data = replace(data, batches=data.y_all.astype(str))
    of_classes = effects_of(("AML - ALL", "PC1", 3.0, 2.0, 4.0), ("AML - ALL", "PC2", 1.0, 0, 2))
    rows = [("x - other batches, ALL", "PC1", 0.3, -0.5, 1.1)]
    rows.append(("x - other batches, ALL", "PC2", -1.5, -2.5, -0.5))
    assert pca_plot.batch_sentence(effects_of(*rows), of_classes, data) == (
        "Between batches, patients of one class differ beyond chance in 1 of 2 comparisons "
        "(intervals corrected for their number). The largest: x - other batches, ALL along PC2, "
        "1.50 (0.50–2.50); for comparison AML - ALL along PC1, 3.00."
    )
    sentence = pca_plot.batch_sentence(effects_of(rows[0]), of_classes[:0], data)
    assert "beyond chance in none of 1 comparisons" in sentence
    assert sentence.endswith("along PC1, 0.30 (-0.50–1.10).")
    nothing = pca_plot.batch_sentence(effects_of(), of_classes, data)
    assert nothing.startswith("No class can be compared between batches: that needs two sides of 5")
    assert pca_plot.batch_sentence(effects_of(), of_classes, replace(data, batches=None)) == ""


def rows_of(sizes, component="PC1"):
    return [(contrast, component, d, d - 1, d + 1) for contrast, d in sizes.items()]


def test_of_many_contrasts_the_largest_are_told_in_their_order_and_the_others_counted():
    sizes = dict(zip("abcdef", [0.1, -3.0, 0.2, 2.0, 5.0, -4.0], strict=True))
    sentence = pca_plot.separated_sentence(effects_of(*rows_of(sizes)), 2)
    assert sentence.endswith(
        "0.8 is large): b most along PC1, 3.00 (2.00–4.00); d most along PC1, 2.00 (1.00–3.00); e "
        "most along PC1, 5.00 (4.00–6.00); f most along PC1, 4.00 (3.00–5.00); 2 more are smaller."
    )
    shifts = effects_of(*rows_of({"test - train": 0.1} | sizes, pca_plot.ERROR))
    sentence = pca_plot.shift_sentence(shifts)
    told = "test - train 0.10 (-0.90–1.10); b -3.00 (-4.00–-2.00); e 5.00 (4.00–6.00); f -4.00"
    assert told in sentence
    assert "; 3 more are smaller): no sign" in sentence


def test_twenty_classes_with_subtypes_of_long_names_fit_the_page(tmp_path):
    cohort = simulate_classes(
        [5, 8] * 10,
        effect=3,
        test_sizes=[5, 1] * 10,
        name="acute leukaemia with rearrangement no {:03}",
        batches=4,
    )
    y = cohort.y_all.astype(str)
    subtypes = y + np.where(np.arange(len(y)) % 3 == 0, ", one kind", ", another")
    cohort = replace(cohort, subtypes=subtypes)
    files = run(pca_plot, cohort, tmp_path, "--permutations", "20", "--folds", "3")
    lines = files["metrics.txt"].decode().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    contrasts = set(table(files, "associations").index)
    assert {f"{label} - rest" for label in cohort.classes} <= contrasts
    assert "test - train" in " ".join(lines)


def test_as_many_components_are_needed_as_reach_a_share():
    cumulative = pd.Series([0.5, 0.8, 0.89, 0.95, 1.0])
    assert pca_plot.components_needed(cumulative) == {0.8: 2, 0.9: 4, 0.95: 4}


def test_a_row_of_scores_has_the_patient_its_error_and_both_kinds_of_scores(data):
    values = np.arange(144.0).reshape(72, 2)
    scores = pd.DataFrame(values, data.X_all.index, ["PC1", "PC2"])
    held_out = (-scores).assign(**{pca_plot.ERROR: 0.5})
    rows = pca_plot.score_table(data, scores, held_out)
    row = rows.loc[data.X_test.index[0]]
    assert row["set"] == "test"
    assert row["class"] == data.y_test.iloc[0]
    assert row[pca_plot.ERROR] == 0.5
    assert (row["PC1"], row["PC1 held out"]) == (76, -76)
