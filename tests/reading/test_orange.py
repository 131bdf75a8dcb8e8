"""Orange's files: the second and third line say which columns are genes, and which the class."""

import pytest

from expression.reading import orange
from expression.reading.load import load_expression_data
from small_cohort import CLASSES, GENES, VALUES, annotation, refused, write

NUMBERS = len(GENES)


def load(folder, content, **options):
    return load_expression_data(train=write(folder, "file", content), **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    labels = write(folder, "labels", annotation(CLASSES))
    return load(folder, VALUES.to_csv(index_label="gene"), labels=labels)


def tab(short=False, class_type="discrete", codes=None, roles=True) -> str:
    """As Orange writes it: the class, then what is about the patients, then the genes."""
    kinds = [class_type, "string", "continuous", "ward-1 ward-2", "continuous", "continuous"]
    parts = ["class", "meta", "meta", "meta", "ignore", "weight"]
    if short:
        kinds = ["d", "s", "c", "d", "c", "c"]
        parts = ["c", "m", "m", "m", "i", "w"]
    if not roles:
        parts = [""] * 6
    rows = [
        ["type", "who", "years", "ward", "score", "w", *GENES],
        [*kinds, *["c" if short else "continuous"] * NUMBERS],
        parts if roles else [*parts, *[""] * NUMBERS],
    ]
    for n, (patient, name) in enumerate(CLASSES.items()):
        entry = name if codes is None else codes[name]
        about = [f"P{patient}", str(40 + n), f"ward-{1 + n % 2}", f"{n / 3:.2f}", "1.0"]
        rows.append([entry, *about, *VALUES[patient]])
    return "".join("\t".join(row) + "\n" for row in rows)


@pytest.mark.parametrize("short", [False, True])
def test_the_class_and_the_genes_are_those_the_header_names(plain, tmp_path, short):
    found = load(tmp_path, tab(short=short))
    assert found.X_train.columns.tolist() == plain.X_train.columns.tolist()
    assert found.y_train.loc["P1"] == CLASSES["1"]
    assert found.X_train.loc["P1"].tolist() == plain.X_train.loc[1].tolist()
    assert "Classes: column 'type' of file." in found.origin


def test_a_class_of_digits_is_no_gene(plain, tmp_path):
    content = tab(class_type="0 1", codes={"ALL": "0", "AML": "1"})
    found = load(tmp_path, content)
    assert found.classes == ("0", "1") or found.classes == ("1", "0")
    assert found.X_train.columns.tolist() == plain.X_train.columns.tolist()
    labels = write(tmp_path, "labels", annotation({f"P{p}": c for p, c in CLASSES.items()}))
    again = load(tmp_path, content, labels=labels)
    assert again.X_train.columns.tolist() == plain.X_train.columns.tolist()
    assert again.classes == plain.classes


def test_what_the_user_names_is_taken_before_the_flagged_class(tmp_path):
    found = load(tmp_path, tab(), class_column="ward", batch_column="type", group_column="years")
    assert found.classes == ("ward-2", "ward-1") or found.classes == ("ward-1", "ward-2")
    assert found.batches.loc["P1"] == CLASSES["1"]
    assert found.groups.loc["P1"] == "40"


def test_such_a_file_may_be_the_sample_sheet_of_another(plain, tmp_path):
    values = VALUES.add_prefix("P").to_csv(index_label="gene")
    found = load(tmp_path, values, labels=write(tmp_path, "labels", tab()), class_column="type")
    assert found.y_train.loc["P1"] == CLASSES["1"]
    assert len(found.y_train) == len(plain.y_train)


def test_a_wrong_cell_is_refused_with_its_row_in_the_file(tmp_path):
    content = tab().replace(f"\t{VALUES['2'].iloc[5]}\t", "\tlow\t", 1)
    with refused(r"the first 'low' in row 5 \(P2\)"):
        load(tmp_path, content)


@pytest.mark.parametrize(
    ("types", "roles"),
    [
        (["1.5", "continuous"], ["", ""]),
        (["continuous", "continuous"], ["9.5", "3.5"]),
        (["acute myeloid", "acute lymphoid"], ["", ""]),
        (["", ""], ["", ""]),
    ],
)
def test_two_rows_of_data_are_no_header(types, roles):
    assert orange.read_columns(types, roles) is None


def test_an_empty_third_line_flags_nothing(tmp_path):
    assert orange.read_columns(["d", "c"], ["", ""]) == orange.Columns(1, set(), set(), {0})
    found = load(tmp_path, tab(roles=False), class_column="type", drop=["years", "score", "w"])
    assert found.X_train.columns.tolist() == GENES
