"""Symbols of genes: of a column beside the identifiers, or of a file that the user names."""

import re

import pytest

from expression.reading.load import load_expression_data
from expression.reading.symbols import known_symbols
from small_cohort import CLASSES, DESCRIPTIONS, GENES, VALUES, annotation, refused, write

NAMES = {gene: f"SYM{i}" for i, gene in enumerate(GENES)}
ENSEMBL = [f"ENSG{i:011}" for i in range(len(GENES))]
HEADERS = ["Gene", "Symbol", "SYMBOL", "GeneSymbol", "external_gene_name", "hgnc_symbol"]
HEADERS += ["Gene.symbol", "Hugo_Symbol", "Gene Name", "gene_short_name", "Approved symbol"]
HEADERS += ["feature_name", "ILMN_Gene", "IDENTIFIER"]


def load(folder, table, **options):
    labels = write(folder, "labels", annotation(CLASSES))
    content = table.to_csv(index_label="ID") if hasattr(table, "to_csv") else table
    return load_expression_data(train=write(folder, "table", content), labels=labels, **options)


def with_columns(**columns):
    table = VALUES.copy()
    for place, (name, entries) in enumerate(columns.items()):
        table.insert(place, name, list(entries))
    return table


@pytest.mark.parametrize("header", HEADERS)
def test_every_usual_header_of_symbols_names_the_genes(tmp_path, header):
    found = load(
        tmp_path, with_columns(**{"Gene title": DESCRIPTIONS.values(), header: NAMES.values()})
    )
    assert found.gene_names.to_dict() == NAMES
    assert found.descriptions.to_dict() == DESCRIPTIONS
    assert f"Gene symbols: column '{header}' of table." in found.origin


def test_a_surer_header_is_taken_before_another(tmp_path):
    table = with_columns(gene=ENSEMBL, Gene_Name=DESCRIPTIONS.values(), symbol=NAMES.values())
    assert load(tmp_path, table).gene_names.to_dict() == NAMES


def test_symbols_that_name_the_rows_name_the_genes_though_they_are_described(tmp_path):
    table = with_columns(Description=DESCRIPTIONS.values()).rename(index=NAMES)
    found = load(tmp_path, table.to_csv(index_label="Gene Symbol"))
    assert (found.gene_names == found.gene_names.index).all()
    assert not any("Gene symbols" in sentence for sentence in found.origin)


def test_a_gene_without_a_symbol_keeps_its_identifier(tmp_path):
    none = ["---", "", "NA", "--Control", "-", "null"]
    table = with_columns(Symbol=[*none, "DDR1 /// MIR4640", *[f"SYM{i}" for i in range(7, 12)]])
    names = load(tmp_path, table).gene_names
    assert names.tolist() == [*GENES[:6], "DDR1 /// MIR4640", *[f"SYM{i}" for i in range(7, 12)]]
    assert known_symbols({"a": "-", "b": "MYC", "c": "None"}) == {"b": "MYC"}


def test_a_long_symbol_is_cut(tmp_path):
    table = with_columns(Symbol=["HLA-DRB1///HLA-DRB3///HLA-DRB4///HLA-DRB5", *["MYC"] * 11])
    assert load(tmp_path, table).gene_names.iloc[0] == "HLA-DRB1///HLA-DRB3///HLA-DRB…"


def annotation_of_an_array() -> str:
    """As GEO writes that of a platform, with rows of other probes."""
    lines = ["^Annotation", "!Annotation_platform = GPL96", "#ID = ID from Platform data table"]
    lines += ["!platform_table_begin", "ID\tGene title\tGene symbol\tGene ID"]
    lines += [f"{gene}\tgene {gene}\t{name}\t7" for gene, name in NAMES.items()]
    return "\n".join([*lines, "other_at\t\t\t", "!platform_table_end", ""])


@pytest.mark.parametrize(
    "content",
    [
        annotation(NAMES, ("probe", "name")),
        [["name", "probe"], *([name, gene] for gene, name in NAMES.items()), ["MYC", "other"]],
        annotation_of_an_array(),
        "".join(f'"{gene}" "{name}"\n' for gene, name in {"ID": "symbol", **NAMES}.items()),
    ],
)
def test_a_file_of_symbols_names_the_genes(tmp_path, content):
    path = write(tmp_path, "names", content)
    found = load(tmp_path, with_columns(Symbol=[f"old{i}" for i in range(12)]), symbols=path)
    assert found.gene_names.to_dict() == NAMES
    assert re.search(r"Gene symbols: column .* of names, of 12 of the 12 genes\.", found.origin[-1])


def test_the_version_of_an_ensembl_identifier_does_not_matter(tmp_path):
    table = VALUES.set_axis([f"{gene}.3" for gene in ENSEMBL])
    symbols = dict(zip(ENSEMBL, NAMES.values(), strict=True))
    path = write(tmp_path, "names", annotation(symbols, ("ensembl_gene_id", "hgnc_symbol")))
    assert load(tmp_path, table, symbols=path).gene_names.tolist() == list(NAMES.values())
    newer = {f"{gene}.7": name for gene, name in symbols.items()}
    path = write(tmp_path, "names", annotation(newer, ("ensembl_gene_id", "hgnc_symbol")))
    assert load(tmp_path, table, symbols=path).gene_names.tolist() == list(NAMES.values())


def test_genes_that_the_file_does_not_name_keep_their_names(tmp_path):
    path = write(tmp_path, "names", annotation({GENES[2]: "MYC", GENES[3]: ""}, ("id", "symbol")))
    found = load(tmp_path, VALUES, symbols=path)
    assert found.gene_names.tolist() == [*GENES[:2], "MYC", *GENES[3:]]
    assert found.origin[-1].endswith("of 1 of the 12 genes.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (annotation({"x": "MYC", "y": "TP53"}), "--symbols .*names: must name genes of the expr.*"),
        ([["id", "a", "b"], [GENES[0], "x", "y"]], "names: must have a column of symbols - found"),
        ([*annotation(NAMES)[1:]], "names: must have a header - its first line, X00007_at and SYM"),
        ([*annotation(NAMES), [GENES[0], "MYC"]], "an identifier must have one symbol - X00007_at"),
        ("id,symbol\nX00007_at,MYC\nX00013_at,TP5", "names: must end with a line break"),
    ],
)
def test_a_file_of_other_things_is_refused(tmp_path, content, message):
    with refused(message):
        load(tmp_path, VALUES, symbols=write(tmp_path, "names", content))


def test_a_column_of_symbols_that_is_called_so_is_read(tmp_path):
    """What the refusal of a file without one proposes."""
    rows = [["id", "a", "symbol"], *([gene, "x", name] for gene, name in NAMES.items())]
    found = load(tmp_path, VALUES, symbols=write(tmp_path, "names", rows))
    assert found.gene_names.to_dict() == NAMES
