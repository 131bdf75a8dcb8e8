"""What the lines above the tables of GEO say of the patients: a sample sheet in the file itself.

A series matrix has a line a property, !Sample_..., with a cell a patient; characteristics are cells
such as "tissue: tumour". A GDS file (SOFT) has a block a subset, ^SUBSET, with its patients, its
description ("tumour") and its type ("disease state").

Formats: https://www.ncbi.nlm.nih.gov/geo/info/soft.html
"""

import re
from pathlib import Path
from typing import NamedTuple

from expression.errors import refusal

LINE_STARTS = ("#", "!", "^")
TABLE_BEGIN = re.compile(r"!(\w+)_table_begin")
# Of a series matrix, what may tell patients apart; the rest is about the submission
DESCRIBING = re.compile(r"(geo_accession|title|description|(source_name|organism|molecule)_ch\d)")
CHARACTERISTICS = re.compile(r"characteristics_ch\d")
CLASS_TYPE = "disease state"  # of a subset of a GDS file
PERSON_TYPE = "individual"


class SampleLines(NamedTuple):
    """A sample sheet; a column is the entries of all patients, by its name."""

    columns: dict[str, list[str]]
    class_column: str | None = None  # where the format says which
    group_column: str | None = None


def find_table_end(path: Path, content: bytes, lines: list[str]) -> int:
    """Return where the table ends; `lines`: those above it. DataError when the end is missing."""
    begin = next(filter(None, map(TABLE_BEGIN.match, lines)), None)
    if begin is None:
        return len(content)
    name = begin[1]
    end = content.rfind(f"!{name}_table_end".encode())
    if end < 0:
        what = "a series matrix" if name == "series_matrix" else "a SOFT file"
        found = f"it has no !{name}_table_end"
        raise refusal(path, f"{what} must be whole", found, "download it again")
    return end


def check_one_table(path: Path, lines: list[str]) -> None:
    """Raise when the file is that of a whole family of records, with a table of each array."""
    if any(line.startswith(("^SERIES", "^SAMPLE")) for line in lines):
        raise refusal(
            path,
            "must have one table",
            "it is a SOFT file with a table of each array",
            "download the series matrix of it (..._series_matrix.txt.gz) instead",
        )


def check_filled(path: Path, table: bytes, lines: list[str]) -> None:
    """Raise when a series matrix has no values, as those of sequencing."""
    if "!series_matrix_table_begin" in lines and table.count(b"\n") < 2:
        raise refusal(
            path,
            "a series matrix must hold values",
            "its table is empty, as GEO keeps counts in supplementary files",
            "give those with --train, and this file with --labels",
        )


def arrays_of_dataset(lines: list[str]) -> set[str] | None:
    """Return the names of the arrays of a GDS file; None of any other."""
    if not any(line.startswith("^DATASET") for line in lines):
        return None
    return set(_describe_arrays(lines)).union(*(subset.arrays for subset in _find_subsets(lines)))


def read_sample_lines(lines: list[str]) -> SampleLines | None:
    """Return the sample sheet that the lines above a table hold, if they do."""
    columns = _read_series(lines)
    if len(columns) > 1:
        return SampleLines(columns)
    subsets = _find_subsets(lines)
    return _read_dataset(lines, subsets) if subsets else None


# --- series matrix --------------------------------------------------------------------------------


def _read_series(lines: list[str]) -> dict[str, list[str]]:
    """Return a column a property, and one a tag of the characteristics."""
    rows = [_split(line) for line in lines if line.startswith("!Sample_")]
    patients = max((len(cells) for _, cells in rows), default=0)
    columns = {}
    tags = {}
    for name, cells in rows:
        cells += [""] * (patients - len(cells))
        if CHARACTERISTICS.fullmatch(name):
            _add_characteristics(tags, name, cells)
        elif DESCRIBING.fullmatch(name):
            columns[_new_name(name, columns)] = cells
    for name, cells in tags.items():
        columns[_new_name(name, columns)] = cells
    return columns


def _split(line: str) -> tuple[str, list[str]]:
    """Return the property and the cells of a line."""
    name, *cells = line.split("\t")
    return name.removeprefix("!Sample_"), [_unquote(cell) for cell in cells]


def _unquote(cell: str) -> str:
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        cell = cell[1:-1].replace('""', '"')
    return cell.strip()


def _add_characteristics(tags: dict[str, list[str]], line_name: str, cells: list[str]) -> None:
    """Sort the cells of a line by their tags: a line may have other tags of other patients.

    Of two-colour arrays, the tags of the second channel end in ch2.
    """
    channel = line_name.rpartition("_")[2]
    suffix = "" if channel == "ch1" else f" {channel}"
    without_tag = _new_name(line_name, tags)
    for patient, cell in enumerate(cells):
        tag, colon, entry = cell.partition(":")
        name = tag.strip() + suffix if colon else without_tag
        entry = entry.strip() if colon else cell
        if entry:
            column = tags.setdefault(name, [""] * len(cells))
            column[patient] = "; ".join(filter(None, [column[patient], entry]))


def _new_name(name: str, taken: dict) -> str:
    """Return the name, or where it is taken, the name with a number."""
    number = 2
    new = name
    while new in taken:
        new = f"{name} {number}"
        number += 1
    return new


# --- GDS ------------------------------------------------------------------------------------------


class _Subset(NamedTuple):
    type: str
    description: str
    arrays: list[str]


def _find_subsets(lines: list[str]) -> list[_Subset]:
    """Return the subsets of a GDS file."""
    blocks = []
    for line in lines:
        name, _, entry = line.partition("=")
        if name.startswith("^"):
            blocks.append({})
        elif blocks:
            blocks[-1][name.strip()] = entry.strip()
    return [
        _Subset(
            block.get("!subset_type", "subset"),
            block.get("!subset_description", ""),
            [name.strip() for name in block["!subset_sample_id"].split(",")],
        )
        for block in blocks
        if "!subset_sample_id" in block
    ]


def _describe_arrays(lines: list[str]) -> dict[str, str]:
    """Return what a GDS file says of each array, such as "#GSM1 = Value for GSM1: bone marrow"."""
    matches = (re.match(r"#(\S+) = Value for \1(?:: *(.*))?", line) for line in lines)
    return {match[1]: match[2] or "" for match in matches if match}


def _read_dataset(lines: list[str], subsets: list[_Subset]) -> SampleLines:
    """Return a column a type of subset; disease state is the class, and the individual a group."""
    described = _describe_arrays(lines)
    in_subsets = [array for subset in subsets for array in subset.arrays]
    arrays = list(dict.fromkeys([*described, *in_subsets]))
    columns = {"sample": arrays}
    if described:
        columns["description"] = [described.get(array, "") for array in arrays]

    by_type = {}
    for subset in subsets:
        entries = by_type.setdefault(subset.type, {})
        for array in subset.arrays:
            entries[array] = "; ".join(filter(None, [entries.get(array), subset.description]))
    for name, entries in by_type.items():
        columns[_new_name(name, columns)] = [entries.get(array, "") for array in arrays]

    people = columns.get(PERSON_TYPE, [])
    says_who = all(people) and 1 < len(set(people)) < len(people)
    return SampleLines(
        columns,
        class_column=CLASS_TYPE if CLASS_TYPE in columns else None,
        group_column=PERSON_TYPE if says_who else None,
    )
