"""Formats as their own tools write them: the labels decide what a column means."""

import os
import re
import time

import numpy as np
import pandas as pd
import pytest

from expression.reading.load import load_expression_data
from expression.reading.sheets import matches, read_sheet
from small_cohort import (
    CLASSES,
    DESCRIPTIONS,
    GENES,
    TEST_PATIENTS,
    TRAIN_PATIENTS,
    VALUES,
    annotation,
    cls,
    published,
    refused,
    replaced,
    tidy,
    write,
)

PATIENTS = [f"TCGA-AB-{p}" for p in CLASSES]  # the training patients, then the test patients
CLASS_OF = dict(zip(PATIENTS, CLASSES.values(), strict=True))
X = VALUES.set_axis(PATIENTS, axis=1)
COUNTS = (X.astype(float) + 60).round().astype(int)
LABEL_ROWS = annotation(CLASS_OF)


def load(folder, content, labels=LABEL_ROWS, **options):
    if labels is not None:
        options["labels"] = write(folder, "labels", labels)
    return load_expression_data(train=write(folder, "expression", content), **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The values and classes that every format must give."""
    rows = [["gene", *PATIENTS], *([gene, *X.loc[gene]] for gene in GENES)]
    return load(tmp_path_factory.mktemp("plain"), rows)


def assert_loads_to(plain, found):
    pd.testing.assert_frame_equal(found.X_train, plain.X_train, check_exact=True)
    pd.testing.assert_series_equal(found.y_train, plain.y_train)


def assert_equal_up_to_a_factor(found, expected):
    """Compare intensities with those of a file: one factor brings them to the published level."""
    found, expected = np.asarray(found), np.asarray(expected)
    factor = found.max() / expected.max()
    np.testing.assert_allclose(found, factor * expected, rtol=1e-4, atol=0.002)


# --- formats --------------------------------------------------------------------------------------


def with_columns(values=X, **columns) -> pd.DataFrame:
    """Return a table whose rows begin with columns of annotation."""
    return pd.concat([pd.DataFrame(columns, values.index), values], axis=1)


def gct_1_3() -> str:
    """As cmapR and CLUE write it: two columns about genes, two rows about patients."""
    blank = ["na", "na"]
    rows = [
        ["#1.3"],
        [len(GENES), len(PATIENTS), 2, 2],
        ["id", "pr_gene_symbol", "pr_gene_id", *PATIENTS],
        ["cell_id", *blank, *("A375" for _ in PATIENTS)],
        ["pert_dose", *blank, *("10" for _ in PATIENTS)],
        *([g, f"SYM{i}", 100 + i, *X.loc[g]] for i, g in enumerate(GENES)),
    ]
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def series_matrix() -> str:
    """As GEO writes it, with quotes around all text."""
    head = ['!Series_title\t"Acute leukemia; 26 patients"', '!Series_summary\t"# of ""cells"""', ""]
    patients = "\t".join(f'"{p}"' for p in PATIENTS)
    head += [f"!Sample_title\t{patients}", "!series_matrix_table_begin", f'"ID_REF"\t{patients}']
    lines = [f'"{gene}"\t' + "\t".join(X.loc[gene]) for gene in GENES]
    return "\n".join([*head, *lines, "!series_matrix_table_end", ""])


R_TABLE = X.to_csv(sep="\t").removeprefix("\t")
QUOTED = re.sub(r'([^\t\n]*[A-Z][^\t\n]*)', r'"\1"', R_TABLE)  # fmt: skip
HUGO = with_columns(Entrez_Gene_Id=range(7, 7 + len(GENES)))
FORMATS = {
    "pandas index": X.to_csv(),
    "R write.table": R_TABLE,
    "R write.table, quotes": QUOTED,
    "R write.csv2 with points": X.to_csv(sep=";"),
    "GSEA TXT": with_columns(DESCRIPTION="na").to_csv(sep="\t", index_label="NAME"),
    "cBioPortal": HUGO.to_csv(sep="\t", index_label="Hugo_Symbol"),
    "GCT 1.3": gct_1_3(),
    "GEO series matrix": series_matrix(),
    "a header with #": X.to_csv(sep="\t", index_label="#gene"),
    "Unicode text": X.to_csv(sep="\t", index_label="gene").encode("utf-16"),
    "a row a patient": X.T.to_csv(index_label="case"),
    "a row a patient, R": X.T.to_csv(sep=" ").replace(" ", "\t").removeprefix("\t"),
    "a row a patient, annotated": with_columns(X.T, site="Lyon", sex="M").to_csv(),
}


@pytest.mark.parametrize("content", FORMATS.values(), ids=FORMATS)
def test_formats_load_to_the_same_data(plain, tmp_path, content):
    assert_loads_to(plain, load(tmp_path, content))


@pytest.mark.parametrize("name", ["GSEA TXT", "GCT 1.3", "GEO series matrix", "cBioPortal"])
def test_the_codes_of_a_cls_file_follow_the_columns(plain, tmp_path, name):
    found = load(tmp_path, FORMATS[name], cls(PATIENTS, CLASS_OF))
    assert_loads_to(plain, found)
    with refused(r"expression: must name every column - found 26 names"):
        load(tmp_path, FORMATS["R write.table"], cls(PATIENTS, CLASS_OF))


@pytest.mark.parametrize(("names", "codes"), [("1 2", "0 1"), ("0 1", "0 1"), ("2 1", "2 1")])
def test_the_names_of_a_cls_file_can_be_numbers(tmp_path, names, codes):
    """Codes are names where all of them are, else positions."""
    code = dict(zip(("ALL", "AML"), codes.split(), strict=True))
    name = dict(zip(("ALL", "AML"), names.split(), strict=True))
    text = f"26 2 1\n# {names}\n{' '.join(code[c] for c in CLASS_OF.values())}\n"
    found = load(tmp_path, FORMATS["GCT 1.3"], text.encode())
    assert found.y_all.to_dict() == {p: name[c] for p, c in CLASS_OF.items()}


@pytest.mark.parametrize("one_exon", [True, False])
def test_feature_counts(tmp_path, one_exon):
    n = len(GENES)
    place = {"Chr": ["1", "X"] * (n // 2), "Start": range(n), "End": range(9, 9 + n), "Strand": "+"}
    if not one_exon:
        place = dict.fromkeys(place, "1;1")
    table = with_columns(COUNTS, **place, Length=range(900, 900 + n))
    head = '# Program:featureCounts v2.0.3; Command:"featureCounts" "-o" "counts.txt" "1.bam"\n'
    text = head + table.to_csv(sep="\t", index_label="Geneid")
    found = load(tmp_path, text, expression="counts")
    np.testing.assert_allclose(found.X_train.loc[PATIENTS], (COUNTS * 1e6 / COUNTS.sum()).T[GENES])
    assert "Ignored columns of expression: Chr, End, Length, Start, Strand." in found.origin
    with refused("--labels: must name the file of classes"):
        load(tmp_path, text, None, expression="counts")
    with refused("expression: values must be array intensities - .* featureCounts; .* counts"):
        load(tmp_path, text)
    nameless = head + table.to_csv(sep="\t", index=False)
    with refused("expression: every gene must occur once"):  # not one named by its start
        load(tmp_path, nameless, expression="counts")


def test_cbioportal_names_samples_in_a_clinical_file_and_may_double_a_symbol(plain, tmp_path):
    head = "#Patient Identifier\tSample Identifier\tType\n" + 3 * "#STRING\tSTRING\tSTRING\n"
    rows = "".join(f"{p[:-1]}{i}\t{p}\t{c}\n" for i, (p, c) in enumerate(CLASS_OF.items()))
    labels = f"{head}PATIENT_ID\tSAMPLE_ID\tCANCER_TYPE\n{rows}"
    found = load(tmp_path, FORMATS["cBioPortal"], labels)
    assert_loads_to(plain, found)
    doubled = HUGO.rename(index={GENES[1]: GENES[0]}).to_csv(sep="\t", index_label="Hugo_Symbol")
    found = load(tmp_path, doubled, labels)
    assert "named in column 'Entrez_Gene_Id'" in found.origin[0]
    assert found.gene_names[["7", "9"]].tolist() == [f"{GENES[0]} (7)", GENES[2]]


def test_a_series_matrix_that_is_cut_off_is_refused(tmp_path):
    with refused(r"expression: a series matrix must be whole"):
        load(tmp_path, "\n".join(series_matrix().splitlines()[:-3]) + "\n")


# --- silent until now -----------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [LABEL_ROWS, None], ids=["labels", "a column"])
def test_clinical_numbers_are_no_genes(plain, tmp_path, labels):
    table = with_columns(X.T, survival_days=range(26), AgeAtDiagnosis=range(40, 66))
    if labels is None:
        table.insert(0, "diagnosis", CLASS_OF)
    text = table.to_csv(index_label="patient")
    message = r"expression: every gene must be one - 2 .*: AgeAtDiagnosis, survival_days; .*--drop"
    with refused(message):
        load(tmp_path, text, labels)
    found = load(tmp_path, text, labels, drop=["survival_days", "Age*"])
    assert_loads_to(plain, found)
    kept = load(tmp_path, text, labels, drop=["Age*"], keep=["survival_days"])
    assert "survival_days" in kept.X_train.columns


def test_a_gene_may_be_called_as_what_is_measured_on_patients_where_it_has_a_row(tmp_path):
    names = {GENES[0]: "Weight loss gene", GENES[1]: "AGE", GENES[2]: "TimeToStage"}
    table = X.rename(names)
    found = load(tmp_path, table.to_csv(index_label="gene"))
    assert set(names.values()) <= set(found.X_train.columns)
    with refused("expression: every gene must be one - 3 look .*: AGE, TimeToStage, Weight loss"):
        load(tmp_path, table.T.to_csv(index_label="patient"))


@pytest.mark.parametrize("name", ["__no_feature", "N_unmapped", "ambiguous", "2-Sep", "patient"])
@pytest.mark.parametrize("by_row", [False, True], ids=["genes", "patients"])
def test_what_a_program_left_is_no_gene_in_either_layout(tmp_path, name, by_row):
    table = X.rename({GENES[3]: name})
    text = table.T.to_csv(index_label="case") if by_row else table.to_csv(index_label="gene")
    with refused(f"expression: every gene must be one - 1 look otherwise: {name}"):
        load(tmp_path, text)


def test_numbers_about_genes_that_lead_a_gct_are_no_patients(plain, tmp_path):
    """Columns that GCT 1.3 declares to say something of genes, though they hold numbers alone."""
    rows = [line.split("\t") for line in gct_1_3().splitlines()]
    rows[2][2] = "pr_quality"
    for row in rows[3:]:
        row[1] = "na" if row[0] in ("cell_id", "pert_dose") else "7"
    content = "".join("\t".join(row) + "\n" for row in rows)
    assert_loads_to(plain, load(tmp_path, content))
    assert_loads_to(plain, load(tmp_path, content, cls(PATIENTS, CLASS_OF)))


def test_what_a_counting_program_adds_is_no_gene(tmp_path):
    counts = COUNTS.rename({GENES[0]: "AGER", GENES[1]: "LINEAGE"})  # which hold an age
    counts.loc["__no_feature"] = counts.sum()
    counts.loc["too_low_aQual"] = counts.loc["AGER"] + 7
    counts.loc["N_unmapped"] = counts.loc["AGER"] + 8
    text = counts.to_csv(sep="\t")
    with refused("3 look otherwise: N_unmapped, __no_feature, too_low_aQual"):
        load(tmp_path, text, expression="counts")
    found = load(tmp_path, text, expression="counts", drop=["__*", "N_unmapped", "too_low*"])
    assert list(found.X_train.columns) == ["AGER", "LINEAGE", *GENES[2:]]
    np.testing.assert_allclose(found.X_train.sum(axis=1), 1e6)


def test_a_description_that_is_the_same_for_all_describes_nothing(tmp_path):
    text = with_columns(Description="na").to_csv(sep="\t", index_label="Name")
    assert load(tmp_path, text).gene_names.tolist() == GENES
    text = with_columns(Description="unknown").to_csv(sep="\t", index_label="Name")
    assert load(tmp_path, text).gene_names.tolist() == GENES


def test_an_empty_cell_in_the_labels_is_no_name_of_a_column_without_one(plain, tmp_path):
    text = "".join(f"{line},\n" for line in X.to_csv(index_label="gene").splitlines())
    rows = [["patient", "cancer", "note"], *([*row, ""] for row in LABEL_ROWS[1:])]
    assert_loads_to(plain, load(tmp_path, text, rows, class_column="cancer"))


@pytest.mark.parametrize(
    "labels", [LABEL_ROWS, cls(PATIENTS, CLASS_OF), None], ids=["table", "CLS", "none"]
)
def test_all_columns_left_out_leave_nothing_to_read(tmp_path, labels):
    with refused("must "):
        load(tmp_path, X.to_csv(index_label="gene"), labels, drop=["*"])


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("table", [X.astype(float), X.astype(float).T], ids=["genes", "patients"])
def test_decimal_commas_are_refused_with_that_reason(tmp_path, separator, table):
    message = r"expression: numbers must have decimal points, not commas - .* in row 2 "
    with refused(message):
        load(tmp_path, table.to_csv(sep=separator, decimal=","))


def test_an_unlabelled_column_of_numbers_is_a_patient_not_annotation(plain, tmp_path):
    text = with_columns(unknown=range(len(GENES))).to_csv()
    with refused(r"labels: must give .* - unknown have none; .*--drop NAME"):
        load(tmp_path, text)
    assert_loads_to(plain, load(tmp_path, text, drop=["unknown"]))


def test_patients_that_two_columns_may_name_are_refused(plain, tmp_path):
    """As R's row names and an identifier of other numbers are."""
    numbers = [str(n) for n in CLASSES]
    labels = annotation(dict(zip(numbers, CLASSES.values(), strict=True)), ("number", "class"))
    table = with_columns(X.T.set_axis(numbers), number=numbers[::-1])
    message = r"expression: must name the patients once - columns that may: '', 'number'; .*--drop"
    with refused(message):
        load(tmp_path, table.to_csv(), labels)
    found = load(tmp_path, table.to_csv(), labels, drop=[""])
    np.testing.assert_array_equal(found.X_train.to_numpy(), plain.X_train.loc[PATIENTS[::-1]])
    # Also where the first of them has no class
    table = with_columns(X.T.set_axis(range(26)), SampleID=numbers).to_csv()
    found = load(tmp_path, table, labels[:1] + labels[2:], drop=[""], classes=("ALL", "AML"))
    assert_equal_up_to_a_factor(found.X_train, plain.X_train.loc[PATIENTS[1:]])
    with refused(r"expression: every gene must have a name - 1 have none.*index: --drop ''"):
        load(tmp_path, table, labels[:1] + labels[2:], classes=("ALL", "AML"))


def test_a_row_that_ends_with_a_delimiter_moves_no_name(plain, tmp_path):
    labels = "patient,cancer,sex\n" + "".join(f"{p},{c},F,\n" for p, c in CLASS_OF.items())
    text = X.to_csv(index_label="gene")
    head, *rows = text.splitlines()
    text = "\n".join([head, *(f"{row}," for row in rows), ""])
    assert_loads_to(plain, load(tmp_path, text, labels, class_column="cancer"))
    with refused("expression: every row must have 28 cells like the header - row 3 has 27"):
        load(tmp_path, text.replace(",\n", "\n").replace("\n", ",\n", 2).replace(",\n", "\n", 1))


def test_a_table_of_classes_as_r_writes_it(plain, tmp_path):
    text = "class\n" + "".join(f"{p}\t{c}\n" for p, c in CLASS_OF.items())
    assert_loads_to(plain, load(tmp_path, X.to_csv(), text))
    assert_loads_to(plain, load(tmp_path, X.to_csv(), text.replace("\t", " ")))
    with refused("labels: must have a column of patients and one of classes - it has one column"):
        load(tmp_path, X.to_csv(), text.replace("\t", "|"))


def test_commas_in_names_separate_no_cells_where_tabs_do(tmp_path):
    sheet = read_sheet(write(tmp_path, "table", "gene\tP1, AML\tP2, AML\nx\t1\t2\n"))
    assert list(sheet.header.values()) == ["gene", "P1, AML", "P2, AML"]


def test_genes_that_excel_made_dates_are_refused(tmp_path):
    table = X.rename({GENES[0]: "1-Mar", GENES[1]: "2021-09-02 00:00:00", GENES[2]: "MARCHF1"})
    with refused("2 look otherwise: 1-Mar, 2021-09-02 00:00:00; .*--drop NAME, or --keep NAME"):
        load(tmp_path, table.to_csv())


def test_a_pipe_cannot_be_read_twice(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with refused("pipe: must be a readable file - it is a pipe"):
        load_expression_data(train=tmp_path / "pipe")


# --- a table with a column of classes -------------------------------------------------------------


def test_a_table_of_patients_and_classes_may_be_named_as_the_file_of_classes_too(tmp_path):
    rows = tidy(PATIENTS, X, CLASS_OF)
    path = write(tmp_path, "both", rows)
    beside = tmp_path / "x" / ".." / "both"  # the same file in another way
    (tmp_path / "x").mkdir()
    found = load_expression_data(train=path, labels=beside)
    assert found.y_train.to_dict() == CLASS_OF
    assert "Classes: column 'cancer' of both." in found.origin
    with refused("both: must give each patient a class - TCGA-AB-3 have none; complete it"):
        load_expression_data(train=write(tmp_path, "both", replaced(rows, 3, 1, "")))
    with refused("--class-column: must be a column of .*both - cancer, patient; choose one"):
        load_expression_data(train=write(tmp_path, "both", rows), class_column="centre")


def test_a_table_without_labels_must_show_its_patients_and_classes(tmp_path):
    rows = tidy(PATIENTS, X, CLASS_OF, ("patient", "class"))
    rows = [[*row[:2], "fresh" if i % 2 else "frozen", *row[2:]] for i, row in enumerate(rows)]
    rows[0][2] = "type"
    with refused(r"expression: must have one column of classes - .*class, ty"):
        load(tmp_path, rows, None)
    found = load(tmp_path, [[row[1], *row[3:]] for row in rows], None)
    assert found.y_train.tolist() == list(CLASS_OF.values())


def test_a_column_of_classes_may_be_chosen_and_may_be_numbers(plain, tmp_path):
    rows = tidy(PATIENTS, X, {p: str(int(c == "AML")) for p, c in CLASS_OF.items()})
    rows = [[*row[:2], f"{i % 2}", *row[2:]] for i, row in enumerate(rows)]
    rows[0][:3] = ["case", "responder", "X1"]
    found = load(tmp_path, rows, None, class_column="responder", drop=["X1"])
    pd.testing.assert_frame_equal(found.X_train, plain.X_train)
    assert found.y_train.cat.codes.tolist() == plain.y_train.cat.codes.tolist()


def test_classes_beside_the_labels_must_not_contradict_them(plain, tmp_path):
    rows = tidy(PATIENTS, X, CLASS_OF)
    assert_loads_to(plain, load(tmp_path, rows))
    with refused("labels: a patient has one class - TCGA-AB-1 is ALL here.* out: --drop NAME"):
        load(tmp_path, replaced(rows, 1, 1, "AML"))


def test_a_column_beside_the_labels_that_has_one_of_their_classes_is_held_to_them(tmp_path):
    """Of the patients here all are ALL: a column that says so of each says what the labels say."""
    rows = tidy(PATIENTS, X, dict.fromkeys(PATIENTS, "ALL"))
    with refused("labels: a patient has one class - TCGA-AB-3 is AML here, ALL in .*expression"):
        load(tmp_path, rows)


def test_a_column_of_other_texts_than_the_classes_is_annotation(plain, tmp_path):
    rows = tidy(PATIENTS, X, CLASS_OF)
    rows = replaced(rows, 1, 1, "CML")
    found = load(tmp_path, rows)
    assert_loads_to(plain, found)
    assert "Ignored columns of expression: cancer." in found.origin


def test_classes_beside_other_names_do_not_make_patients_of_classes(tmp_path):
    rows = tidy(
        [f"{p}-03" for p in PATIENTS],
        X.add_suffix("-03"),
        {f"{p}-03": c for p, c in CLASS_OF.items()},
    )
    with refused("labels: must name the patients of .*expression - none of TCGA-AB-1, .* is there"):
        load(tmp_path, rows)


def test_descriptions_are_kept_and_published_calls_ignored(tmp_path):
    rows = published(TRAIN_PATIENTS + TEST_PATIENTS, calls=True)
    found = load(tmp_path, rows, annotation(CLASSES))
    assert found.descriptions.to_dict() == DESCRIPTIONS
    assert "columns of expression: call, call, call, call, call and 21 more." in found.origin[-3]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("S[1]", "S[1]"), ("S1", "S1"), ("S?", "S1 S2 S*"), ("S*", "S[1] S1 S2 S*"), ("", "")],
)
def test_patterns_know_two_wildcards_and_no_brackets(pattern, names):
    found = [name for name in ("S[1]", "S1", "S2", "S*") if matches(name, [pattern])]
    assert found == names.split()
    assert matches("", [pattern]) == (pattern == "")


# --- patients without names -----------------------------------------------------------------------


def without_names(table=X.T, classes=CLASS_OF):
    """Rows of a table with a row a patient, the class last, and no column of names."""
    rows = [[*cells, classes[patient]] for patient, cells in table.iterrows()]
    return [[*table.columns, "class"], *rows]


MARKER = {p: 900.5 if c == "AML" else 100.5 for p, c in CLASS_OF.items()}  # repeated, with decimals
WHOLE = dict(zip(PATIENTS, range(100, 100 + 7 * len(PATIENTS), 7), strict=True))  # each another


@pytest.mark.parametrize(
    "first",
    [MARKER, {p: int(v) for p, v in MARKER.items()}, {p: n + 0.5 for p, n in WHOLE.items()}],
    ids=["a marker", "repeated whole numbers", "decimals"],
)
def test_a_gene_in_the_first_column_names_no_patient(tmp_path, first):
    table = X.T.assign(**{GENES[0]: first})
    found = load(tmp_path, without_names(table), None)
    assert list(found.X_train.columns) == GENES
    assert_equal_up_to_a_factor(found.X_train[GENES[0]], list(first.values()))
    assert list(found.X_train.index) == list(range(1, 27))
    assert found.y_train.tolist() == list(CLASS_OF.values())
    read = "Read: expression; a row a patient, without names and called by its number, 1 to 26."
    assert found.origin[0] == read


def test_rows_of_a_test_set_without_names_are_numbered_on(tmp_path):
    rows = without_names()
    train = write(tmp_path, "train", rows[:17])
    found = load_expression_data(train=train, test=write(tmp_path, "test", rows[:1] + rows[17:]))
    assert list(found.X_test.index) == list(range(17, 27))
    assert found.y_all.tolist() == list(CLASS_OF.values())
    found = load_expression_data(train=train, drop=["4"])
    assert list(found.X_train.index) == [1, 2, 3, *range(5, 17)]


def test_whole_numbers_may_be_names_or_a_gene_and_the_remedies_tell(tmp_path):
    table = X.T.assign(**{GENES[0]: WHOLE})
    message = (
        f"expression: must show which .* '{GENES[0]}' may .*'patient', or .*: --keep '{GENES[0]}'"
    )
    with refused(message):
        load(tmp_path, without_names(table), None)
    found = load(tmp_path, without_names(table), None, keep=[GENES[0]])
    assert list(found.X_train.columns) == GENES
    found = load(tmp_path, without_names(table.rename(columns={GENES[0]: "patient"})), None)
    assert list(found.X_train.index) == list(WHOLE.values())
    assert list(found.X_train.columns) == GENES[1:]


@pytest.mark.parametrize("header", ["", "Sample_No", "case", "X", "PatientNumber"])
def test_whole_numbers_under_a_header_that_says_so_are_names(tmp_path, header):
    table = X.T.rename(columns={GENES[0]: header}).assign(**{header: WHOLE})
    found = load(tmp_path, without_names(table), None)
    assert list(found.X_train.index) == list(WHOLE.values())


@pytest.mark.parametrize("start", [0, 1])
def test_whole_numbers_that_count_the_rows_are_names(tmp_path, start):
    table = X.T.assign(**{GENES[0]: range(start + 25, start - 1, -1)})
    found = load(tmp_path, without_names(table), None)
    assert list(found.X_train.index) == list(range(start, start + 26))


def test_text_that_may_name_patients_is_not_passed_over(tmp_path):
    """Neither what occurs often in the first column, nor what occurs once in another."""
    kinds = pd.DataFrame({"kind": ["F", "M"] * 13}, PATIENTS)
    rows = without_names(pd.concat([kinds, X.T], axis=1))
    with refused("expression: must have one column of classes - found class, kind; .*--class-col"):
        load(tmp_path, rows, None)
    with refused("expression: must show .* 'kind' may name them, some twice; .*--drop 'kind'"):
        load(tmp_path, rows, None, class_column="class")
    assert list(load(tmp_path, rows, None, drop=["kind"]).X_train.columns) == GENES

    named = without_names(X.T.assign(what=PATIENTS))
    with refused("expression: must show .* 'what' may name them; .*'patient'.*--drop 'what'"):
        load(tmp_path, named, None)
    assert list(load(tmp_path, named, None, drop=["what"]).X_train.index) == list(range(1, 27))
    named[0][-2] = "patient"
    assert sorted(load(tmp_path, named, None).X_train.index) == sorted(PATIENTS)


def test_values_of_a_patient_without_a_class_name_no_gene(tmp_path):
    table = with_columns(unknown=[f"{n}.5" for n in range(len(GENES))])
    with refused("expression: must have a column that names the genes"):
        load(tmp_path, table.to_csv(index=False))


# --- classes in the table -------------------------------------------------------------------------


def with_target(name="target", codes="01", **columns):
    """A table with a row a patient, and the classes as numbers among the genes."""
    target = [codes[c == "AML"] for c in CLASS_OF.values()]
    table = pd.concat([X.T, pd.DataFrame({name: target, **columns}, PATIENTS)], axis=1)
    return table.to_csv(index_label="patient")


@pytest.mark.parametrize("name", ["target", "Outcome", "subclone"])
def test_a_target_of_two_numbers_is_asked_for(tmp_path, name):
    text = with_target(name)
    with refused(
        f"expression: must have a column of classes - .* {name} can; .*--class-column {name}"
    ):
        load(tmp_path, text, None)
    found = load(tmp_path, text, None, class_column=name)
    assert list(found.X_train.columns) == GENES
    assert found.y_train.to_dict() == {p: str(int(c == "AML")) for p, c in CLASS_OF.items()}


def test_a_target_is_neither_passed_over_for_another_text_nor_a_gene(tmp_path):
    text = with_target(tissue=["blood", "marrow"] * 13)
    with refused(
        "expression: must have one column of classes - found target, tissue; .*--class-col"
    ):
        load(tmp_path, text, None)
    with refused("expression: every gene must be one - 1 look otherwise: target; .*--drop NAME"):
        load(tmp_path, text, LABEL_ROWS)
    assert list(load(tmp_path, text, LABEL_ROWS, drop=["target"]).X_train.columns) == GENES


def test_more_numbers_than_two_may_be_a_target_by_its_name_alone(tmp_path):
    stages = [str(n % 3) for n in range(26)]
    with refused("must have a column of classes - .* y can; choose it with --class-column y"):
        load(tmp_path, X.T.assign(y=stages, z=stages).to_csv(index_label="patient"), None)
    with refused("--labels: must name the file of classes - .*no column of them"):
        load(tmp_path, X.T.assign(z=stages).to_csv(index_label="patient"), None)


@pytest.mark.parametrize("header", ["kind", "class"])
def test_misspelt_classes_of_a_table_are_said_to_be_others(tmp_path, header):
    rows = tidy(PATIENTS, X, CLASS_OF, ("patient", header))
    message = {
        "kind": "entries of one column of .*expression - found All and Aml, but column 'kind' "
        "has ALL, AML; write them as the file does",
        "class": "two or more of ALL, AML - found All, Aml; choose among them",
    }
    with refused(f"--classes: must be {message[header]}"):
        load(tmp_path, rows, None, classes=("All", "Aml"))
    assert load(tmp_path, rows, None, classes=("ALL", "AML")).classes == ("ALL", "AML")


def test_groups_of_genes_are_no_classes_of_patients(tmp_path):
    """A table with a row a gene, and a column of few texts: not a row a patient."""
    text = with_columns(arm=["p", "q"] * (len(GENES) // 2)).to_csv(index_label="Gene symbol")
    with refused("--labels: must name the file of classes - .*expression has a row a gene"):
        load(tmp_path, text, None)
    assert list(load(tmp_path, text).X_train.columns) == GENES


def test_a_description_of_patients_is_no_sign_of_a_row_a_gene(plain, tmp_path):
    rows = tidy(PATIENTS, X, CLASS_OF)
    rows = [
        [*row[:2], "description" if i == 0 else f"of {i}", *row[2:]] for i, row in enumerate(rows)
    ]
    assert_loads_to(plain, load(tmp_path, rows, None))


# --- totals, and genes without a name or with several rows ----------------------------------------


NUMBERS = X.astype(float)


@pytest.mark.parametrize(
    "name", ["Total", "SUM", "row_means", "Grand total", "average", "Total counts"]
)
@pytest.mark.parametrize("by_row", [False, True], ids=["genes", "patients"])
def test_a_name_of_totals_is_no_gene(tmp_path, name, by_row):
    table = pd.concat([X, X.iloc[[3]].set_axis([name])])
    text = (table.T if by_row else table).to_csv(index_label="case" if by_row else "gene")
    with refused(f"expression: every gene must be one - 1 look otherwise: {name}; .*--drop NAME"):
        load(tmp_path, text)
    assert list(load(tmp_path, text, drop=[name]).X_train.columns) == GENES


def doubled(names, by_row=False):
    """The table with other names of the genes."""
    table = X.set_axis(names)
    return (table.T if by_row else table).to_csv(index_label="case" if by_row else "gene")


THREE_ROWS = [GENES[1], GENES[1], *GENES[2:5], GENES[1], *GENES[6:]]


@pytest.mark.parametrize("by_row", [False, True], ids=["genes", "patients"])
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", lambda rows: rows.mean()),
        ("max", lambda rows: rows.max()),
        ("first", lambda rows: rows.iloc[0]),
    ],
    ids=["mean", "max", "first"],
)
def test_of_several_rows_of_a_gene_the_user_decides(tmp_path, how, expected, by_row):
    text = doubled(THREE_ROWS, by_row)
    where = "columns" if by_row else "rows"
    with refused(f"expression: every gene must occur once - 1 .*on 3 {where}: {GENES[1]}; .*"
                 "--duplicates mean, max or first, .*--drop NAME"):  # fmt: skip
        load(tmp_path, text)
    found = load(tmp_path, text, duplicates=how)
    assert list(found.X_train.columns) == [*GENES[1:5], *GENES[6:]]
    rows = NUMBERS.iloc[[0, 1, 5]]
    joined = NUMBERS.T.assign(**{GENES[1]: expected(rows)})[[*GENES[1:5], *GENES[6:]]]
    assert_equal_up_to_a_factor(found.X_train.loc[PATIENTS], joined)
    [note] = [sentence for sentence in found.origin if "--duplicates" in sentence]
    taken = {"mean": "the mean", "max": "the largest", "first": "the first"}[how]
    assert note.startswith(f"Genes on several {where} of expression: 1 on 3; {taken} of the values")
    assert GENES[1] not in load(tmp_path, text, drop=[GENES[1]]).X_train.columns


def test_a_value_that_one_row_of_a_gene_lacks_is_missing(tmp_path):
    """Else its mean would be of fewer rows than that of others."""
    table = X.set_axis(THREE_ROWS)
    table.iloc[5, 0] = "NA"
    text = table.to_csv(index_label="gene")
    with refused(
        f"expression: every value must be there - 1 are missing, most in genes {GENES[1]}"
    ):
        load(tmp_path, text, duplicates="mean")
    assert GENES[1] in load(tmp_path, text, duplicates="first").X_train.columns
    assert GENES[1] not in load(tmp_path, text, duplicates="max", missing="drop").X_train.columns


@pytest.mark.parametrize("by_row", [False, True], ids=["genes", "patients"])
def test_what_names_no_gene_is_left_out_and_counted(tmp_path, by_row):
    names = ["---", "NA", "" if not by_row else "?", "---", *GENES[4:]]
    found = load(tmp_path, doubled(names, by_row))
    assert list(found.X_train.columns) == GENES[4:]
    assert_equal_up_to_a_factor(found.X_train.loc[PATIENTS], NUMBERS.T[GENES[4:]])
    where = "columns" if by_row else "rows"
    assert f"Left out of expression: 4 {where} that name no gene." in found.origin
    found = load(tmp_path, doubled(["NA", *GENES[1:]], by_row), keep=["NA"])
    assert "NA" in found.X_train.columns


def test_the_description_of_a_gene_of_several_rows_is_the_first_there_is(tmp_path):
    texts = ["", "first", *(f"of {i}" for i in range(2, len(GENES)))]
    table = with_columns(X.set_axis(THREE_ROWS), Description=texts)
    found = load(tmp_path, table.to_csv(sep="\t", index_label="Name"), duplicates="max")
    assert found.descriptions[GENES[1]] == "first"


# --- speed ----------------------------------------------------------------------------------------


def wide(cell_of, separator=","):
    """A table of 30 patients and 3,000 genes; `cell_of` (patient, gene)."""
    head = separator.join(["sample", "type", *(f"g{j}" for j in range(3_000))])
    rows = [
        separator.join([f"p{i}", "AB"[i % 2], *(cell_of(i, j) for j in range(3_000))])
        for i in range(30)
    ]
    return "\n".join([head, *rows, ""])


def a_number(i, j):
    return f"{200 + (i * 3_001 + j * 7_919) % 9_973}.5"


WIDE = {
    "decimal commas": (wide(lambda i, j: a_number(i, j).replace(".", ","), ";"), "not commas"),
    "the first patient lacks half": (
        wide(lambda i, j: "NA" if i == 0 and j % 2 else a_number(i, j)),
        None,
    ),
    "words in the third row": (wide(lambda i, j: "low" if i == 2 else a_number(i, j)), "finite"),
    "words everywhere": (wide(lambda i, j: "APM"[(i * j) % 3]), "one column of classes"),
}


@pytest.mark.parametrize(("text", "message"), WIDE.values(), ids=WIDE)
def test_thousands_of_columns_of_text_take_seconds_at_most(tmp_path, text, message):
    """A second on a machine that does nothing else; minutes, were columns handled one by one."""
    begin = time.process_time()
    if message is None:
        found = load(tmp_path, text, None, missing="drop")
        assert found.X_train.shape == (30, 1_500)
    else:
        with refused(message):
            load(tmp_path, text, None)
    assert time.process_time() - begin < 8
