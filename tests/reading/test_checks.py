"""Refusals: whatever cannot be trusted, in one line that names the file and what to do."""

import gzip
import re
import unicodedata
from functools import partial

import numpy as np
import pandas as pd
import pytest

from expression.reading import checks, containers
from expression.reading.load import INFORMATIVE_GENES_FILE, load_expression_data
from small_cohort import (
    CLASSES,
    GENES,
    LABELS,
    SMALL,
    SUBTYPE,
    SUBTYPES,
    TEST,
    TEST_PATIENTS,
    TRAIN,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    both,
    cls,
    gct,
    load,
    published,
    refused,
    replaced,
    to_bytes,
    write_folder,
)

TRAIN_ROWS, TEST_ROWS, LABEL_ROWS = SMALL[TRAIN], SMALL[TEST], SMALL[LABELS]
cell = partial(replaced, TRAIN_ROWS)
FEW_AML = CLASSES | dict.fromkeys(("3", "6"), "ALL")
REFUSED = [  # name, file, its content, message
    ("no training file", TRAIN, None, "train.csv: must be a readable file - no such file"),
    ("no classes", LABELS, None, "--labels: .*train.csv has a row a gene, .* no file of them"),
    ("empty", TRAIN, b"", "train.csv: must be a table with a header - found 0 rows"),
    ("only a header", TRAIN, TRAIN_ROWS[:1], "must be a table with a header - found 1 rows"),
    ("prose", TRAIN, b"Dear all,\nsee the annex.\n", "every row must have 2 cells .*row 2 has 1"),
    ("one column", LABELS, b"patient\n1\n2\n",
     "actual.csv: must have a column of patients and one of classes - it has one.* 'patient'; add"),
    ("not UTF-8", TRAIN, b"a,b\n\xff,1\n", "train.csv: must be a readable file - .* not UTF-8"),
    ("not UTF-16", TRAIN, b"\xff\xfe1", "train.csv: must be a readable file - .* not UTF-8"),
    ("zero byte", TRAIN, cell(3, 4, "1\0"), "train.csv: must be a readable file - it holds a zero"),
    ("gzip cut", TRAIN, to_bytes(TRAIN_ROWS, gz=True)[:-9], "train.csv: .*gzip data are damaged"),
    ("gzip flipped", TRAIN, b"\x1f\x8b" + b"x" * 99, "train.csv: .*gzip data are damaged"),
    ("ragged", TRAIN, [*TRAIN_ROWS, ["x", "y"]], "must have 18 cells .*row 14 has 2"),
    ("no archive", TRAIN, b"PK\x03\x04 no archive", "train.csv: .*zip data are damaged.*as CSV"),
    ("quote", TRAIN, b'"' + to_bytes(TRAIN_ROWS), "train.csv: must be a table - "),
    ("huge cell", TRAIN, cell(1, 0, "x" * 200_000), "larger than field limit"),
    ("text", TRAIN, cell(3, 4, "low"),
     r"finite number - 1 .*first 'low' in row 4 \(X00042_at\), column 3"),
    ("decimal comma", TRAIN, cell(3, 4, "1,5"),
     r"decimal points, not commas - 1 .*first '1,5' in row 4 \(X00042_at\)"),
    ("empty cells", TRAIN, replaced(cell(3, 4, ""), 5, 5, " "),
     r"must be there - 2 .* X00101_at \(1\) and patients 3 \(1\), 4 \(1\)"),
    ("two headers", TRAIN, TRAIN_ROWS + TRAIN_ROWS[:1], "must have one header - it occurs again"),
    ("gene twice", TRAIN, [*TRAIN_ROWS, TRAIN_ROWS[2]],
     "once - 1 of column 'Gene Accession Number' are on 2 rows: X00013_at; .*--duplicates mean"),
    ("patient twice", TRAIN, cell(0, 3, "1"), "every patient must occur once.*1"),
    ("nameless genes", TRAIN, [[*r[:1], "", *r[2:]] for r in TRAIN_ROWS],
     "train.csv: must have a column that names the genes"),
    ("nameless patient", TRAIN, cell(0, 3, " "), "column 4 .*--drop ''"),
    ("bell in a name", TRAIN, cell(2, 1, "a\ab"), "must be printable.*found a.b"),
    ("long class", LABELS, annotation({p: c * 30 for p, c in CLASSES.items()}),
     "actual.csv: every .* must be printable and have at most 60 characters"),
    ("no accessions", TRAIN, [row[:1] + row[2:] for row in TRAIN_ROWS], "train.csv"),
    ("in both sets", TEST, replaced(TEST_ROWS, 0, 2, "1"),
     "independent.csv: no patient may be in .*train.csv as well - found 1;"),
    ("other genes", TEST, replaced(TEST_ROWS, 1, 1, "x"),
     r"independent.csv: must hold the same .*lacks 1 .*X00007_at.*1 others \(x\)"),
    ("other descriptions", TEST, replaced(TEST_ROWS, 1, 0, "x"),
     "independent.csv: must describe genes as .*train.csv.*1 .*X00007_at"),
    ("no final line break", TRAIN, to_bytes(TRAIN_ROWS)[:-1], "train.csv: must end with a line"),
    ("constant", TRAIN, [TRAIN_ROWS[0], *(replaced([r], 0, 4, "7")[0] for r in TRAIN_ROWS[1:])],
     "train.csv: the values of a patient must vary - those of 3 are one"),
    ("absurd", TRAIN, cell(3, 4, "1e160"),
     r"train.csv: values must lie within -1e\+09 and 1e\+09 - found more in 3; correct"),
    ("renamed copy", TRAIN, [TRAIN_ROWS[0], *(r[:5] + r[4:5] + r[6:] for r in TRAIN_ROWS[1:])],
     "patients must differ in their values - those of 3 and 4 are the same"),
    ("copy in the test set", TEST, [TEST_ROWS[0], *([*r[:2], t[2], *r[3:]]
     for r, t in zip(TEST_ROWS[1:], TRAIN_ROWS[1:], strict=True))],
     "those of 1 and 17 are the same"),
    ("no AML to test", LABELS, annotation(CLASSES | dict.fromkeys(TEST_PATIENTS, "ALL")),
     "at least 1 test patients of each class - found 0 of AML"),
    ("unlabelled", LABELS, LABEL_ROWS[:-2], "actual.csv: .* a class - 25, 26 have none"),
    ("unmeasured", LABELS, [*LABEL_ROWS, ["x", "ALL"]], "actual.csv: .*x have no expression"),
    ("labelled twice", LABELS, [*LABEL_ROWS, ["1", "AML"]], "patient must occur once.*found 1"),
    ("three classes", LABELS, replaced(LABEL_ROWS, 4, 1, "CML"),
     "5 training patients of each .* 1 of CML; .*--classes with"),
    ("one class", LABELS, annotation(dict.fromkeys(CLASSES, "ALL")),
     "patients must be of two classes or more - found ALL"),
    ("no class", LABELS, replaced(LABEL_ROWS, 4, 1, ""),
     "actual.csv: every patient must have a class"),
    ("few AML", LABELS, annotation(FEW_AML),
     "actual.csv.*train.csv.*at least 5 training patients .*found 3 of AML"),
    ("other subtypes", SUBTYPE, annotation({"1": "a", "x": "b"}, ("patient", "subtype")),
     "subtypes.csv: .* a subtype - .* have none"),
    ("no subtype", SUBTYPE, annotation(SUBTYPES, ("patient", "kind"))[:-1],
     "subtypes.csv: .* a subtype - 26 have none"),
    ("unknown informative gene", INFORMATIVE_GENES_FILE, [["accession", "higher_in"], ["g", "AML"]],
     "informative_genes.csv: must name .*found g;"),
    ("unknown class", INFORMATIVE_GENES_FILE, [["accession", "higher_in"], [GENES[3], "CML"]],
     "informative_genes.csv: must name .*found CML;"),
    ("GCT 1.0", TRAIN, b"#1.0\n" + to_bytes(gct(TRAIN_PATIENTS)[1:], "\t"), "version 1.2 or 1.3"),
    ("GCT of another size", TRAIN, to_bytes(gct(TRAIN_PATIENTS)[:-1], "\t"),
     "as many genes and patients .*11, 16.*'12 16'"),
    ("CLS too short", LABELS, cls(TRAIN_PATIENTS[:-1]), "a CLS file must have a code"),
    ("CLS of another size", LABELS, cls(TRAIN_PATIENTS).replace(b"16", b"15"), "sizes agree"),
    ("CLS empty", LABELS, b"0 2 1\n# ALL AML\n", "sizes agree - 0 codes"),
    ("CLS order", LABELS, cls(TRAIN_PATIENTS, names=("AML", "ALL")), "two readings are possible"),
    ("CLS codes", LABELS, cls(list(CLASSES)).replace(b"0", b"7"), "sizes agree"),
    ("no patients", LABELS, annotation({f"P{p}": c for p, c in CLASSES.items()}),
     "actual.csv: must name .*train.csv .*none of P1, P10.* columns 1, 10"),
    ("other patients", TEST, [["g", "P1", "P2"], ["x", "0.1", "0.2"]],
     "independent.csv: must hold .*csv names, such as 1, .*found columns P1, P2"),
    ("labels without header", LABELS, LABEL_ROWS[1:],
     "actual.csv: must have a header - its first line, 1 and ALL"),
    ("named twice", LABELS, [list("abc"), *([p, str(27 - int(p)), CLASSES[p]] for p in CLASSES)],
     "actual.csv: must name the patients once - columns that may: a, b; .*--drop"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "content", "message"), [pytest.param(*row, id=name) for name, *row in REFUSED]
)
def test_what_cannot_be_trusted_is_refused(tmp_path, file, content, message):
    with refused(message) as error:
        load(tmp_path, {file: content})
    line = str(error.value)
    assert line.isprintable()
    assert re.fullmatch(r".+: .+ - .+; .+", line)


NO_NUMBERS = ["inf", "-Infinity", "1e400", "1_000", "٣", "0x1F", "1e5e5", "--1", "1 000"]


@pytest.mark.parametrize("cell", NO_NUMBERS)
def test_only_plain_finite_numbers_are_numbers(tmp_path, cell):
    with refused("train.csv: every value must be a finite number - 1 "):
        load(tmp_path, {TRAIN: replaced(TRAIN_ROWS, 3, 4, cell)})


RNG = np.random.default_rng(0)
COUNTS = pd.DataFrame(RNG.negative_binomial(1, 1e-4, VALUES.shape), *VALUES.axes)
LOG = np.log2(COUNTS + 100)
LOG_VALUES = np.log2(VALUES.astype(float) + 100)
POISSON = pd.DataFrame(RNG.poisson(400, VALUES.shape), *VALUES.axes)
POISSON.iloc[0, ::2] = 0
AGES = pd.DataFrame(RNG.normal(8, 1, VALUES.shape), *VALUES.axes)
AGES.loc["Alter"] = np.linspace(20, 60, VALUES.shape[1])  # a clinical column that passes for a gene
LOG_CPM = (LOG - LOG.min() - 0.1).mask(LOG.rank() > 2, LOG)  # as edgeR's, with a few below 0
SCALES = {
    "logged": ("intensity", LOG_VALUES, "must be array intensities - 16 of 16 .*logged: .*ion log"),
    "one logged": ("intensity", VALUES.assign(**{"5": LOG_VALUES["5"]}), "1 of 16 .* logged: 5;"),
    "not logged": ("log", VALUES, "must be log2 values - 16 of 16 .*like intensities.*ion intens"),
    "not logged is one": ("log", AGES, r"is Alter, of the largest values, no gene\? \(--drop\)"),
    "counts": ("intensity", COUNTS * 10, "whole numbers up to .* beyond any scanner.*ion counts$"),
    "few zeros": ("intensity", POISSON, r" \d% of the values are 0 and none below.* counts$"),
    "zeros among decimals": ("intensity", POISSON * 1.5, r" \d% of the values are 0 .* counts$"),
    "mostly zeros": ("intensity", COUNTS.where(COUNTS.rank() > 8, 0), "are exactly 0.*ion counts$"),
    "TPM": ("intensity", COUNTS * 1e6 / COUNTS.sum(), "sum to a million.*--expression counts$"),
    "log-counts as log": ("log", LOG.where(LOG.rank() > 8, 0), "exactly 0.*ion log-counts$"),
    "z-scores": ("log", LOG.sub(LOG.mean(axis=1), axis=0), "13 of 16 .*log-ratios or z-scores"),
    "log-ratios": ("intensity", LOG.sub(LOG.mean(axis=1), axis=0), "16 .* log-ratios or z-scores"),
    "negative counts": ("counts", COUNTS - 500, "CPM or TPM - .* values below 0: .*intensity$"),
    "negative log-counts": ("log-counts", LOG_CPM, r"below 0: .*; give log2\(x \+ 1\), or the co"),
    "logged counts": ("counts", LOG, "CPM or TPM - 16 of 16 .*logged.*--expression log-counts$"),
    "counts as log-counts": ("log-counts", COUNTS, "16 of 16 .*--expression intensity or counts$"),
}


@pytest.mark.parametrize(("expression", "values", "message"), SCALES.values(), ids=SCALES)
def test_another_scale_is_refused_with_what_it_looks_like(tmp_path, expression, values, message):
    with refused(message):
        load(tmp_path, both(values, descriptions=None), expression=expression)


def test_missing_values_hide_no_counts(tmp_path):
    counts = (COUNTS * 10).astype(object)
    counts.loc[GENES[0], ["1", "17"]] = "NA"  # in both sets
    with refused("whole numbers up to .* beyond any scanner"):
        load(tmp_path, both(counts, descriptions=None), missing="drop")


def test_a_test_set_left_without_patients_is_said_to_have_none(tmp_path):
    other = CLASSES | dict.fromkeys(TEST_PATIENTS, "CML")
    with refused("at least 1 test patients of each class - found 0 of ALL"):
        load(tmp_path, {LABELS: annotation(other)}, classes=("ALL", "AML"))


def test_log2_values_are_turned_back_into_intensities(tmp_path):
    log = load(tmp_path, both(LOG_VALUES.map(repr)), expression="log").X_all
    found = load(tmp_path, both(np.exp2(LOG_VALUES).map(repr))).X_all
    pd.testing.assert_frame_equal(log, found, rtol=1e-12)
    expected = np.exp2(LOG_VALUES).T.to_numpy()
    np.testing.assert_allclose(log / log.max(axis=None), expected / expected.max(), atol=1e-6)


@pytest.mark.parametrize("name", [TRAIN, TEST, LABELS, SUBTYPE])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
    (write_folder(tmp_path / "data", {name: None}) / name).mkdir()
    with refused(f"{name}: must be a readable file - is a directory"):
        load(tmp_path / "data", {name: None})


@pytest.mark.parametrize("name", ["nowhere", "no\x00where", "no\nwhere", "x" * 5000])
def test_a_missing_file_is_refused_in_one_line(tmp_path, name):
    with refused(r"must be a readable file - .*--data-dir") as error:
        load_expression_data(tmp_path / name)
    assert str(error.value).isprintable()


def test_names_agree_in_either_unicode_form(tmp_path):
    new = {p: f"Zoë{p}" for p in CLASSES}
    other = {unicodedata.normalize("NFD", new[p]): c for p, c in CLASSES.items()}
    tables = {
        TRAIN: published([new[p] for p in TRAIN_PATIENTS], VALUES.rename(columns=new)),
        TEST: published([new[p] for p in TEST_PATIENTS], VALUES.rename(columns=new)),
    }
    data = load(tmp_path, {**tables, LABELS: annotation(other), SUBTYPE: None})
    assert "Zoë1" in data.X_train.index


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_BYTES", 10_000)
    with refused("train.csv: .*more than 10,000 bytes"):
        load(tmp_path, {TRAIN: gzip.compress(b"0" * 10_001)})


def test_only_patients_alike_in_every_value_are_copies():
    X = pd.DataFrame(np.tile(np.arange(3_000.0), (2, 1)), ["a", "b"])
    with refused("patients must differ in their values - those of a and b are the same"):
        checks.check_copies([X], [])
    with refused("those of a and b are the same"):
        checks.check_copies([X[:1], X[1:]], [])
    for gene in range(2_990, 3_000):  # most of which are not among those looked at first
        other = X.copy()
        other.loc["b", gene] += 1
        checks.check_copies([other], [])


# --- each limit, just below and just above --------------------------------------------------------


MANY = pd.DataFrame(
    RNG.uniform(200, 9_000, (100, VALUES.shape[1])).round(1),
    [f"g{i}" for i in range(100)],
    VALUES.columns,
)


def few(cells, values=MANY):
    """Return values of which the first cells of each patient are others."""
    values = values.copy()
    for row, cell in enumerate(cells):
        values.iloc[row] = cell
    return values


@pytest.mark.parametrize(
    ("expression", "fine", "refused_values", "message"),
    [
        # zeros, beside a value below 0 as background correction leaves it
        ("intensity", few([-5, *[0] * 49]), few([-5, *[0] * 51]), "51% of the values are exactly"),
        # zeros, with none below
        ("intensity", few([0] * 2), few([0] * 3), "3% of the values are 0 and none below"),
        ("intensity", few([2**17], MANY.round()), few([2**17 + 1], MANY.round()),
         "whole numbers up to 131,073, beyond any scanner"),
        ("intensity", MANY * (1.011e6 / MANY.sum()), MANY * (1.009e6 / MANY.sum()),
         "sum to a million"),
        ("intensity", MANY * (0.989e6 / MANY.sum()), MANY * (0.991e6 / MANY.sum()),
         "sum to a million"),
        ("log", few([-1.5] * 25, np.log2(4 * MANY)), few([-1.5] * 26, np.log2(4 * MANY)),
         "16 of 16 .*log-ratios or z-scores"),
        ("intensity", few([1e9]), few([1.001e9]), "must lie within -1e.09 and 1e.09"),
        ("intensity", few([-1e9]), few([-1.001e9]), "must lie within -1e.09 and 1e.09"),
        ("log", few([32], np.log2(MANY)), few([32.01], np.log2(MANY)), "look like intensities"),
    ],
    ids=["half zeros", "few zeros", "scanner", "above a million", "below a million", "centred",
         "largest", "smallest", "log2"],
)  # fmt: skip
def test_values_are_held_to_the_limits(tmp_path, expression, fine, refused_values, message):
    load(tmp_path, both(fine.map(repr), descriptions=None), expression=expression)
    with refused(message):
        load(tmp_path, both(refused_values.map(repr), descriptions=None), expression=expression)


@pytest.mark.parametrize("length", [60, 61])
def test_a_name_of_a_patient_or_a_class_has_at_most_60_characters(tmp_path, length):
    name = "A" * length
    labels = {p: name if c == "ALL" else c for p, c in CLASSES.items()}
    if length == 60:
        assert load(tmp_path, {LABELS: annotation(labels)}).classes == (name, "AML")
        return
    with refused("actual.csv: every cancer must be printable and have at most 60 characters"):
        load(tmp_path, {LABELS: annotation(labels)})


# --- totals ---------------------------------------------------------------------------------------


TOTALS = {
    "sum": lambda values: values.sum(),
    "mean": lambda values: values.mean(),
    "mean to a whole number": lambda values: values.mean().round(),
    "sum of what is there": lambda values: values.iloc[1:].sum(),
}


def with_row(values, row, place):
    """Return values with another row, called neither a gene nor a total."""
    rows = [values.iloc[:place], row.to_frame("Summe").T, values.iloc[place:]]
    return pd.concat(rows)


@pytest.mark.parametrize("place", [0, 40, 100], ids=["first", "middle", "last"])
@pytest.mark.parametrize("total", TOTALS.values(), ids=TOTALS)
def test_a_gene_that_is_the_total_of_all_others_is_none(total, place):
    values = with_row(MANY, total(MANY), place)
    what = "mean" if total(MANY).max() < 20_000 else "sum"
    message = f"t: every gene must be one - Summe is the {what} of all others in every patient; .*"
    with refused(message + "--drop 'Summe', or --keep 'Summe'"):
        checks.check_totals("t", values, keep=())
    checks.check_totals("t", values, keep=["Summe"])
    checks.check_totals("t", values.drop("Summe"), keep=())
    values.loc["Summe", "5"] *= 1.1  # of one patient it is not
    checks.check_totals("t", values, keep=())


def test_a_sum_and_a_mean_are_found_beside_each_other_and_beside_missing_values():
    values = MANY.copy()
    values.iloc[3, 2:5] = np.nan
    values = pd.concat([values, pd.DataFrame({"Summe": values.sum(), "Mittel": values.mean()}).T])
    with refused("t: .* - Summe is the sum"):
        checks.check_totals("t", values, keep=())
    with refused("t: .* - Mittel is the mean"):
        checks.check_totals("t", values, keep=["Summe"])
    with refused("t: .* - Mittel is the mean"):
        checks.check_totals("t", values.drop("Summe"), keep=())


def test_genes_are_no_totals_for_being_constant_or_zero():
    centred = MANY - MANY.mean()
    for place in (0.0, 1.0):
        values = centred + place  # whose mean is the same in all patients
        values.loc["constant"] = place
        checks.check_totals("t", values, keep=())


@pytest.mark.parametrize("expression", ["intensity", "log", "counts"])
def test_totals_are_refused_on_every_scale_and_left_out_as_the_message_says(tmp_path, expression):
    """Of logarithms also the logarithm of the total."""
    values = MANY.round() if expression == "counts" else MANY
    values = with_row(values, values.sum(), 7)
    if expression == "log":
        values = np.log2(values)
    tables = both(values.map(repr), descriptions=None)
    options = {"expression": expression, "log_base": "2" if expression == "log" else None}
    with refused(
        "train.csv: .* Summe is the sum of all others .* --drop 'Summe', or --keep 'Summe'"
    ):
        load(tmp_path, tables, **options)
    found = load(tmp_path, tables, **options, drop=["Summe"])
    assert set(found.X_train.columns) == set(MANY.index)
    assert "Summe" in load(tmp_path, tables, **options, keep=["Summe"]).X_train


def test_no_shipped_gene_is_a_total(data):
    checks.check_totals("t", data.X_train.T, keep=())
