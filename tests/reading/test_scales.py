"""Scales of values: other scanners, other logarithms, log-ratios; and that each remedy works."""

import re

import numpy as np
import pandas as pd
import pytest

from expression.reading.load import load_expression_data
from small_cohort import (
    CLASSES,
    TEST,
    TEST_PATIENTS,
    TRAIN_PATIENTS,
    VALUES,
    both,
    load,
    published,
    refused,
    write_folder,
)

RNG = np.random.default_rng(0)
GENES = [f"g{number:02}" for number in range(60)]
LEVELS = RNG.normal(8.5, 2, (len(GENES), 1))
LOG2 = pd.DataFrame(
    np.clip(LEVELS + RNG.normal(0, 1, (len(GENES), len(CLASSES))), 4, 15.5), GENES, list(CLASSES)
)
LOG2.loc["g00", "1"] = 15.5  # of an array with one gene near the scanner's limit
INTENSITIES = np.exp2(LOG2)
COUNTS = INTENSITIES.round()
CPM = COUNTS * 1e6 / COUNTS.sum()
RATIOS = LOG2.sub(LOG2.mean(axis=1), axis=0)
Z_SCORES = RATIOS.div(RATIOS.std(axis=1), axis=0)


def tables(values: pd.DataFrame) -> dict:
    return both(values.map(repr), descriptions=None)


# --- the scanner does not matter ------------------------------------------------------------------


def test_the_published_arrays_stay_as_they_are(data):
    values = np.unique(data.X_all)
    np.testing.assert_array_equal(values, values.round())
    assert not [sentence for sentence in data.origin if "times" in sentence]


@pytest.mark.parametrize("factor", [0.2, 1 / 3, 4, 7.7])
def test_values_times_any_factor_are_the_same_data(small, tmp_path, factor):
    found = load(tmp_path, both((VALUES.astype(float) * factor).map(repr)))
    assert found.checksum == small.checksum
    [said] = [sentence for sentence in found.origin if "array intensities" in sentence]
    times = float(re.search(r"times (\S+), which brings the training patients", said)[1])
    [before] = [sentence for sentence in small.origin if "array intensities" in sentence]
    assert times * factor == pytest.approx(float(re.search(r"times (\S+),", before)[1]), rel=1e-3)


def test_log2_values_plus_a_constant_are_the_same_data(tmp_path):
    checksums = {
        load(tmp_path, tables(LOG2 + constant), expression="log").checksum
        for constant in (0, 1, -0.3)
    }
    assert len(checksums) == 1


def test_the_test_patients_get_the_factor_of_the_training_patients(small, tmp_path):
    doubled = published(TEST_PATIENTS, (2 * VALUES.astype(float)).map(repr))
    found = load(tmp_path, {TEST: doubled})
    pd.testing.assert_frame_equal(found.X_train, small.X_train, check_exact=True)
    np.testing.assert_allclose(found.X_test, 2 * small.X_test, atol=0.002)


def test_the_factor_is_of_all_genes_of_the_training_file(small, tmp_path):
    fewer = published(TEST_PATIENTS, VALUES.iloc[5:])
    found = load(tmp_path, {TEST: fewer}, common_genes=True)
    pd.testing.assert_frame_equal(found.X_all, small.X_all.iloc[:, 5:], check_exact=True)


def test_intensities_that_hardly_ever_are_above_zero_are_refused(tmp_path):
    values = -1000 * RNG.uniform(1, 2, LOG2.shape)
    values = pd.DataFrame(values, GENES, list(CLASSES))
    with refused("must be array intensities - in half .* not 2% of the values are above 0; export"):
        load(tmp_path, tables(values))


# --- what is refused, and that following the advice loads the right values ------------------------

Z_SCORES_FAR_OUT = Z_SCORES.copy()
Z_SCORES_FAR_OUT.iloc[3] = np.linspace(40, 90, len(CLASSES))
LOG2_AND_AGE = pd.concat([LOG2, pd.DataFrame({p: 40.0 + int(p) for p in CLASSES}, index=["Age"])])
LOG_10 = {"expression": "log", "log_base": "10"}
LOG_E = {"expression": "log", "log_base": "e"}
COUNTS_10 = {"expression": "log-counts", "log_base": "10"}
COUNTS_E = {"expression": "log-counts", "log_base": "e"}
RATIO = {"expression": "log-ratio"}
ARE_INTENSITIES = (INTENSITIES, {})
ARE_COUNTS = (COUNTS, {"expression": "counts"})
REMEDIES = {  # the values, as what they are given, the refusal, what it proposes, what must result
    "log10": (
        np.log10(INTENSITIES), {"expression": "log"},
        "must be log2 values - they reach 4.67, that is intensities of 25 if log2, 46,341 if log10,"
        " 106 if natural log; say which it is: --log-base 2 or 10 or e$",
        LOG_10, ARE_INTENSITIES,
    ),
    "natural": (
        np.log(INTENSITIES), {"expression": "log"},
        "they reach 10.74, that is .* 1,715 if log2, 46,341 if natural .*: --log-base 2 or e$",
        LOG_E, ARE_INTENSITIES,
    ),
    "log2 of weak arrays": (
        LOG2 - 3, {"expression": "log"},
        "they reach 12.50, that is intensities of 5,793 if log2, .*--log-base 2 or e$",
        {"expression": "log", "log_base": "2"}, ARE_INTENSITIES,
    ),
    "too high for the base": (
        LOG2 * 2, LOG_E,
        "must be natural log values - they reach 31.00, too high .* --log-base 2$",
        {"expression": "log", "log_base": "2"}, None,
    ),
    "log1p of CPM": (
        np.log1p(CPM), {"expression": "log-counts"},
        r"must be log2\(x \+ 1\) of counts, CPM or TPM - those of all patients have one sum if "
        "read as natural log; say so with --log-base e$",
        COUNTS_E, ARE_COUNTS,
    ),
    "log10 of CPM": (
        np.log10(CPM + 1), {"expression": "log-counts"}, "log10; say so with --log-base 10$",
        COUNTS_10, ARE_COUNTS,
    ),
    "log1p of counts": (
        np.log1p(COUNTS), {"expression": "log-counts"},
        "they reach 10.74, that is counts, CPM or TPM of .*--log-base 2 or e$",
        COUNTS_E, ARE_COUNTS,
    ),
    "base of intensities": (
        INTENSITIES, {"log_base": "10"},
        "--log-base: must be of logarithms - the values are given as array inten.* leave it out$",
        {}, ARE_INTENSITIES,
    ),
    "z-scores": (
        Z_SCORES, {"expression": "log"}, "16 of 16 .*like log-ratios or z-scores.*ion log-ratio",
        RATIO, None,
    ),
    "z-scores, one gene far out": (
        Z_SCORES_FAR_OUT, {}, "16 of 16 .*like log-ratios or z-scores: .*ion log-ratio",
        RATIO, None,
    ),
    "log-ratios as log-counts": (
        RATIOS, {"expression": "log-counts"}, "give log2.* of log-ratios see --expression log-rat",
        RATIO, None,
    ),
    "log2 and no gene": (
        LOG2_AND_AGE, {}, "16 of 16 .*logged.*--expression log or .* or is Age, .* no gene.*--drop",
        {"expression": "log", "drop": ["Age"]}, ARE_INTENSITIES,
    ),
    "log2 as log-ratios": (
        LOG2, RATIO,
        "log-ratios or z-scores - 16 of 16 .* logged, but not centred: .*--expression log or",
        {"expression": "log"}, ARE_INTENSITIES,
    ),
    "log-counts as log-ratios": (
        np.log2(CPM + 1).where(CPM > 6_000, 0), RATIO, "see --expression log or log-counts$",
        {"expression": "log-counts"}, (CPM.where(CPM > 6_000, 0), {"expression": "counts"}),
    ),
    "intensities as log-ratios": (
        INTENSITIES - 300, RATIO, "16 of 16 .*like intensities.* intensity or counts$",
        {}, (INTENSITIES - 300, {}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "given", "message", "proposed", "expected"), REMEDIES.values(), ids=REMEDIES
)
def test_another_scale_is_refused_and_its_remedy_works(
    tmp_path, values, given, message, proposed, expected
):
    with refused(message):
        load(tmp_path, tables(values), **given)

    folder = write_folder(tmp_path, tables(values))
    found = load_expression_data(folder, **proposed)
    if expected is not None:
        right_values, options = expected
        right = load(tmp_path / "right", tables(right_values), **options)
        pd.testing.assert_frame_equal(found.X_all, right.X_all, rtol=1e-6, atol=0.002)


def test_sums_tell_that_logarithms_of_counts_are_to_base_2(tmp_path):
    found = load(tmp_path, tables(np.log2(CPM / 100 + 1)), expression="log-counts")  # at most 12
    np.testing.assert_allclose(found.X_all.T, CPM, rtol=1e-9)


def test_one_patient_on_another_scale_is_named(tmp_path):
    values = RATIOS.assign(**{"5": LOG2["5"]})
    with refused("1 of 16 patients look logged, but not centred: 5;"):
        load(tmp_path, tables(values), **RATIO)


# --- log-ratios -----------------------------------------------------------------------------------


def test_log_ratios_and_z_scores_stay_as_they_are(tmp_path):
    for values in (RATIOS, Z_SCORES):
        found = load(tmp_path, tables(values), expression="log-ratio")
        np.testing.assert_array_equal(found.X_train, values[TRAIN_PATIENTS].T)
        assert found.preprocessing.scale == "log-ratio"
    [said] = [sentence for sentence in found.origin if sentence.startswith("Values: ")]
    assert said == "Values: log-ratios or z-scores; genes from g00 to g59."


def test_log_ratios_to_another_base_become_log2(tmp_path):
    ratios = RATIOS * np.log10(2)
    found = load(tmp_path, tables(ratios), expression="log-ratio", log_base="10")
    np.testing.assert_allclose(found.X_all.T, RATIOS, rtol=1e-9)
