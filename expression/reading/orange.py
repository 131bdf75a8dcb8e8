"""The three header lines of Orange's tab-separated files: names, types and roles of the columns.

A type is "continuous", "discrete", "string", "time", the first letter of one, or the values of a
discrete column; a role is "class", "meta", "ignore" or "weight", or nothing of a gene.

Format: https://orange3.readthedocs.io/projects/orange-data-mining-library/en/latest/reference/
data.io.html
"""

import re
from typing import NamedTuple

NUMERIC = {"continuous", "c", "numeric", "n"}
STRINGS = {"string", "s", "text"}
OTHERS = {"discrete", "d", "categorical", "time", "t"}
VALUES = re.compile(r"\S+( \S+)+")  # of a discrete column, listed
ROLE = re.compile(r"class|c|ignore|i|meta|m|weight|w|\w+=.*")


class Columns(NamedTuple):
    """What the second and third line say of the columns, by their places."""

    lines: int  # below the names that hold anything
    classes: set[int]
    strings: set[int]  # which Orange uses for names and remarks alone
    no_genes: set[int]  # of numbers, but no gene: ignored, weights, or about the patients


def read_columns(types: list[str], roles: list[str]) -> Columns | None:
    """Return what two lines below a header say, if they are Orange's; else None."""
    named = [kind for kind in types if kind]
    known = NUMERIC | STRINGS | OTHERS
    if not any(kind in known for kind in named):
        return None
    if not all(kind in known or VALUES.fullmatch(kind) for kind in named):
        return None
    roles = [role.split(" ")[0] for role in roles]
    if not all(role == "" or ROLE.fullmatch(role) for role in roles):
        return None

    roles += [""] * (len(types) - len(roles))
    classes = {j for j, role in enumerate(roles) if role in ("class", "c")}
    genes = {
        j
        for j, (kind, role) in enumerate(zip(types, roles, strict=False))
        if kind in NUMERIC | {""} and (role == "" or "=" in role)
    }
    return Columns(
        lines=1 + any(roles),
        classes=classes,
        strings={j for j, kind in enumerate(types) if kind in STRINGS},
        no_genes=set(range(len(types))) - genes - classes,
    )
