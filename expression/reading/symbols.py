"""Symbols of genes: of a column beside the identifiers, or of a file of identifiers and symbols."""

import re
from collections.abc import Collection
from pathlib import Path

from expression.errors import refusal, shortlist
from expression.reading import sheets
from expression.reading.sheets import MISSING, Sheet, check_last, read_sheet

# As Affymetrix and GEO write that a probe has no symbol: ---, --Control
NO_SYMBOL = re.compile(r"-.*|(?i:none|unknown|n\.?d\.?)")
VERSION = re.compile(r"(ENS\w*\d+)\.\d+")  # of an Ensembl identifier


def known_symbols(symbols: dict[str, str]) -> dict[str, str]:
    """Return the symbols, by identifier, without those that say there is none."""
    return {
        gene: symbol
        for gene, symbol in symbols.items()
        if symbol not in MISSING and not NO_SYMBOL.fullmatch(symbol)
    }


def symbol_column(sheet: Sheet, among: Collection[int]) -> int | None:
    """Return the first column that is called as those of symbols are, the surest names first."""
    called = [sheet.called(sheets.SYMBOL_HEADERS)]
    called += [sheet.called({header}) for header in sheets.OTHER_SYMBOL_HEADERS]
    for columns in called:
        if possible := [j for j in columns.intersection(among) if len(set(sheet.text[j])) > 1]:
            return min(possible)
    return None


def read_symbols(path: Path, genes: Collection[str]) -> tuple[dict[str, str], str]:
    """Return the symbols of a file by gene, and a sentence on where they were read.

    The column that shares most entries with the genes holds the identifiers. Of Ensembl's, the
    version may differ: ENSG00000141510.11 is ENSG00000141510.
    """
    sheet = read_sheet(path)
    by_identifier = {_without_version(gene): gene for gene in genes}
    key = _identifier_column(sheet, by_identifier.keys() | set(genes), path)
    column = symbol_column(sheet, sheet.text.keys() - {key})
    if column is None and len(sheet.text) == 2:
        [column] = sheet.text.keys() - {key}
    if column is None:
        found = f"found {shortlist(sheet.header.values())}"
        raise refusal(path, "must have a column of symbols", found, "call it 'symbol'")
    if sheet.header[key] in by_identifier:
        found = f"its first line, {sheet.header[key]} and {sheet.header[column]}, was read as one"
        raise refusal(path, "must have a header", found, "write one above: identifier,symbol")
    if max(sheet.text) in (key, column):
        check_last(path, sheet.ended, sheet.text[max(sheet.text)])

    symbols = _join(path, sheet.text[key], sheet.text[column])
    found = {gene: symbols.get(gene, symbols.get(_without_version(gene), "")) for gene in genes}
    found = known_symbols(found)
    place = f"column {sheet.header[column]!r} of {path.name}"
    return found, f"Gene symbols: {place}, of {len(found):,} of the {len(genes):,} genes."


def _without_version(name: str) -> str:
    match = VERSION.fullmatch(name)
    return match[1] if match else name


def _identifier_column(sheet: Sheet, known: Collection[str], path: Path) -> int:
    """Return the column that names most of the genes."""
    shared = {j: len(_all_without_version(cells) & known) for j, cells in sheet.text.items()}
    key = max(shared, key=shared.get, default=None)
    if not shared.get(key):
        raise refusal(
            f"--symbols {path}",
            f"must name genes of the expression table, such as {shortlist(known, 2)}",
            f"none of {shortlist(next(iter(sheet.text.values()), []), 2) or 'its rows'} is there",
            "give the annotation of this kind of array, or leave the option out",
        )
    return key


def _all_without_version(cells: list[str]) -> set[str]:
    return set(cells).union(map(_without_version, cells))


def _join(path: Path, identifiers: list[str], symbols: list[str]) -> dict[str, str]:
    """Return symbols by identifier, with and without its version; none may have two."""
    of_all = {}
    for identifier, symbol in zip(identifiers, symbols, strict=True):
        if symbol:
            of_all.setdefault(identifier, set()).add(symbol)
            of_all.setdefault(_without_version(identifier), set()).add(symbol)
    if doubled := [identifier for identifier, names in of_all.items() if len(names) > 1]:
        found = f"{shortlist(doubled)} have several"
        raise refusal(path, "an identifier must have one symbol", found, "keep one of each")
    return {identifier: symbol for identifier, [symbol] in of_all.items()}
