"""GEO's files whole: the lines above the table are the sample sheet, unless another is given."""

import pandas as pd
import pytest

from expression.reading import geo
from expression.reading.load import load_expression_data
from small_cohort import CLASSES, GENES, VALUES, annotation, assert_same, refused, write

ARRAYS = [f"GSM{1000 + int(p)}" for p in CLASSES]
CLASS_OF = dict(zip(ARRAYS, CLASSES.values(), strict=True))
X = VALUES.set_axis(ARRAYS, axis=1)
TITLES = [f"patient {p}, bone marrow" for p in CLASSES]
SEX = ["male", "female"] * 13
PEOPLE = [f"donor {1 + n // 2}" for n in range(26)]


def load(folder, content, **options):
    return load_expression_data(train=write(folder, "file", content), **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    labels = write(folder, "labels", annotation(CLASS_OF))
    return load(folder, X.to_csv(index_label="gene"), labels=labels)


def quoted(cells) -> str:
    return "\t".join(f'"{cell}"' for cell in cells)


def series_matrix(*characteristics, table=X) -> str:
    """As GEO writes it."""
    lines = [
        '!Series_title\t"Acute leukemia"',
        '!Series_sample_id\t"' + " ".join(ARRAYS) + ' "',
        "",
        f"!Sample_title\t{quoted(TITLES)}",
        f"!Sample_geo_accession\t{quoted(ARRAYS)}",
        f"!Sample_status\t{quoted(['Public on Jan 01 2010', 'Public on May 05 2010'] * 13)}",
        *(f"!Sample_characteristics_ch1\t{quoted(cells)}" for cells in characteristics),
        f"!Sample_contact_name\t{quoted(['Jane,,Doe'] * 26)}",
        "!series_matrix_table_begin",
        quoted(["ID_REF", *ARRAYS]),
        *(f'"{gene}"\t' + "\t".join(table.loc[gene]) for gene in table.index),
        "!series_matrix_table_end",
        "",
    ]
    return "\n".join(lines)


def tagged(tag, entries) -> list[str]:
    return [f"{tag}: {entry}" for entry in entries]


DISEASE = tagged("disease", CLASS_OF.values())


def gds(types=None, full=False) -> str:
    """A GDS file as GEO writes it; `types`: entries of all arrays by type of subset."""
    if types is None:
        types = {"disease state": CLASS_OF.values(), "gender": SEX}
    lines = ["^DATABASE = Geo", "!Database_name = Gene Expression Omnibus (GEO)"]
    lines += ["^DATASET = GDS99", "!dataset_title = Acute leukemia", "!dataset_sample_count = 26"]
    for kind, entries in types.items():
        of_array = pd.Series(list(entries), ARRAYS)
        for number, entry in enumerate(of_array.unique()):
            arrays = ",".join(of_array.index[of_array == entry])
            lines += [f"^SUBSET = GDS99_{number}", "!subset_dataset_id = GDS99"]
            lines += [f"!subset_description = {entry}", f"!subset_sample_id = {arrays}"]
            lines += [f"!subset_type = {kind}"]
    lines += ["^DATASET = GDS99", "#ID_REF = Platform reference identifier", "#IDENTIFIER = ident"]
    lines += [f"#{a} = Value for {a}: {t}; src: blood" for a, t in zip(ARRAYS, TITLES, strict=True)]
    more = ["Gene title", "Gene ID", "GenBank Accession"] if full else []
    lines += ["!dataset_table_begin", "\t".join(["ID_REF", "IDENTIFIER", *ARRAYS, *more])]
    for i, gene in enumerate(GENES):
        symbol = "--Control" if i == 3 else f"SYM{i}"
        about = [f"symbol {i}", str(700 + i), f"M{i:05}"] if full else []
        lines.append("\t".join([gene, symbol, *X.loc[gene], *about]))
    return "\n".join([*lines, "!dataset_table_end", ""])


# --- series matrix --------------------------------------------------------------------------------


def test_the_one_characteristic_of_few_entries_is_the_class(plain, tmp_path):
    age = tagged("age", range(30, 56))
    found = load(tmp_path, series_matrix(DISEASE, age))
    assert_same(found, plain)
    assert "Classes: column 'disease' of file." in found.origin


def test_several_that_may_be_the_class_are_listed_and_one_is_chosen(plain, tmp_path):
    content = series_matrix(DISEASE, tagged("Sex", SEX), tagged("person", PEOPLE))
    with refused("file: must have one column of classes - found Sex, disease, person; choose one"):
        load(tmp_path, content)
    columns = {"batch_column": "sex", "group_column": "person"}
    found = load(tmp_path, content, class_column="disease", **columns)
    assert found.classes == plain.classes
    assert found.batches.tolist() == SEX
    assert found.groups.tolist() == PEOPLE


def test_labels_are_taken_before_the_lines_of_the_file(plain, tmp_path):
    other = [f"{entry}x" for entry in DISEASE]
    labels = write(tmp_path, "labels", annotation(CLASS_OF))
    assert_same(load(tmp_path, series_matrix(other), labels=labels), plain)


def test_a_series_matrix_may_be_the_sample_sheet_of_another_table(plain, tmp_path):
    """As for sequencing, where its own table is empty; a table of counts may use the titles."""
    empty = series_matrix(DISEASE, table=X.iloc[:0])
    with refused("file: a series matrix must hold values - its table is empty.*--labels"):
        load(tmp_path, empty)
    labels = write(tmp_path, "labels", empty)
    assert_same(load(tmp_path, X.to_csv(index_label="gene"), labels=labels), plain)
    titled = X.set_axis(TITLES, axis=1).to_csv(index_label="gene", sep="\t")
    found = load(tmp_path, titled, labels=labels)
    assert found.y_train.loc[TITLES].tolist() == plain.y_train.loc[ARRAYS].tolist()


def test_cells_of_a_line_are_sorted_by_their_tags():
    lines = [
        '!Sample_geo_accession\t"a"\t"b"\t"c"',
        '!Sample_characteristics_ch1\t"tissue: tumour"\t"age: 4"\t"tissue:"',
        '!Sample_characteristics_ch1\t"age: 9"\t"tissue: normal"\t',
        '!Sample_characteristics_ch1\t"dose: 1:2"\t"smoker"\t"dose: 3"',
        '!Sample_characteristics_ch1\t"no"\t"dose: a"\t"dose: b ""c"""',
        '!Sample_characteristics_ch2\t"tissue: pool"\t"tissue: pool"\t"tissue: pool"',
        "!Sample_description\t\t\t",
        '!Sample_description\t"x"',
        '!Sample_supplementary_file\t"ftp://x"\t"ftp://y"\t"ftp://z"',
    ]
    found = geo.read_sample_lines(lines)
    assert (found.class_column, found.group_column) == (None, None)
    assert found.columns == {
        "geo_accession": ["a", "b", "c"],
        "description": ["", "", ""],
        "description 2": ["x", "", ""],
        "tissue": ["tumour", "normal", ""],
        "age": ["9", "4", ""],
        "dose": ["1:2", "a", '3; b "c"'],
        "characteristics_ch1": ["", "smoker", ""],
        "characteristics_ch1 2": ["no", "", ""],
        "tissue ch2": ["pool", "pool", "pool"],
    }


def test_a_file_without_such_lines_has_no_sample_sheet(tmp_path):
    assert geo.read_sample_lines(["# made by hand", '!Series_title\t"x"', "^DATASET = x"]) is None
    with refused("--labels: must name the file of classes"):
        load(tmp_path, "!Series_title\n" + X.to_csv(index_label="gene"))


def test_lines_that_tell_every_patient_from_every_other_hold_no_classes(tmp_path):
    with refused("--labels: must name the file of classes - .*file has a row a gene, and there is"):
        load(tmp_path, series_matrix(tagged("age", range(26))))


def test_a_small_test_file_may_need_the_name_of_the_column(tmp_path):
    """As nothing in it shows which column the training file took."""
    test = {f"GSM{2000 + n}": X[ARRAYS[n]].iloc[::-1].to_list() for n in range(3)}
    lines = [
        f"!Sample_geo_accession\t{quoted(test)}",
        f"!Sample_characteristics_ch1\t{quoted(tagged('disease', ['AML', 'ALL', 'ALL']))}",
        f"!Sample_characteristics_ch1\t{quoted(tagged('age', [5, 6, 7]))}",
        "!series_matrix_table_begin",
        quoted(["ID_REF", *test]),
        *("\t".join([gene, *cells]) for gene, *cells in zip(GENES, *test.values(), strict=True)),
        "!series_matrix_table_end\n",
    ]
    path = write(tmp_path, "test", "\n".join(lines))
    with refused(
        "test: must have one column of classes - found age, disease; choose one with --cl"
    ):
        load(tmp_path, series_matrix(DISEASE), test=path)
    found = load(tmp_path, series_matrix(DISEASE), test=path, class_column="disease")
    assert found.y_test.tolist() == ["AML", "ALL", "ALL"]


def test_patients_without_the_characteristic_are_refused_by_name(tmp_path):
    content = series_matrix(["", "age: 3", *DISEASE[2:]])
    with refused("file: every patient must have a class - GSM1001, GSM1002 have none; .*--drop"):
        load(tmp_path, content, class_column="disease")
    found = load(tmp_path, content, class_column="disease", drop=["GSM1001", "GSM1002"])
    assert list(found.X_train.index) == ARRAYS[2:]


# --- GDS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_disease_state_is_the_class_and_identifiers_are_the_symbols(plain, tmp_path, full):
    found = load(tmp_path, gds(full=full))
    assert_same(found, plain)
    assert "Classes: column 'disease state' of file." in found.origin
    assert "Gene symbols: column 'IDENTIFIER' of file." in found.origin
    symbols = [f"SYM{i}" for i in range(12)]
    symbols[3] = "symbol 3" if full else GENES[3]
    assert found.gene_names.tolist() == symbols
    assert found.groups is None
    labels = write(tmp_path, "labels", gds())
    assert_same(load(tmp_path, X.to_csv(index_label="gene"), labels=labels), plain)


def test_an_individual_of_several_arrays_is_a_group(plain, tmp_path):
    states = ["ALL" if n < 12 else "AML" for n in range(26)]
    types = {"individual": PEOPLE, "disease state": states, "gender": SEX}
    found = load(tmp_path, gds(types), batch_column="gender")
    assert found.groups.tolist() == PEOPLE
    assert found.batches.tolist() == SEX
    assert "Groups: column 'individual' of file (13 people, 26 arrays)." in found.origin
    types["individual"] = ARRAYS
    assert load(tmp_path, gds(types)).groups is None


def test_what_the_user_names_is_taken_before_the_disease_state(tmp_path):
    found = load(tmp_path, gds(), class_column="gender", batch_column="disease state")
    assert found.classes == ("male", "female")
    assert found.batches.tolist() == list(CLASS_OF.values())


def test_without_a_disease_state_the_class_must_be_plain(tmp_path):
    with refused("one column of classes - found agent, gender; choose one with --class-column"):
        load(tmp_path, gds({"agent": CLASS_OF.values(), "gender": SEX}))
    assert load(tmp_path, gds({"agent": CLASS_OF.values()})).classes == ("ALL", "AML")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gds()[:-30], "file: a SOFT file must be whole - it has no !dataset_table_end; download"),
        (series_matrix(DISEASE)[:-30], "file: a series matrix must be whole - it has no !series_m"),
        (
            "^DATABASE = Geo\n^SERIES = GSE1\n^SAMPLE = GSM1\n!sample_table_begin\nID_REF\tVALUE\n",
            "file: must have one table - it is a SOFT file with a table of each array; download",
        ),
    ],
)
def test_what_is_not_whole_or_not_one_table_is_refused(tmp_path, content, message):
    with refused(message):
        load(tmp_path, content)
