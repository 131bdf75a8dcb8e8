"""What is called as a gene is, what has no gene's name, and what stands for a gene of several rows.

Tables of public data have several rows of one gene symbol, and rows without any. The latter are
left out. Of the former the user decides, as each choice gives other results.
"""

import re
from collections.abc import Collection
from functools import cache

import numpy as np
import pandas as pd

from expression.reading.labels import TARGET_HEADERS
from expression.reading.sheets import (
    CLASS_HEADERS,
    MISSING,
    PATIENT_HEADERS,
    matches,
    plain,
)

# What is no gene. As a whole name: what a counting program adds, totals, headers; and Excel's
# MARCH1 and SEPT2
COUNTED = {"no feature", "ambiguous", "too low aqual", "not aligned", "alignment not unique"}
TOTALS = (
    "(?:(?:grand|row|column|col|gene|sample) )?"
    "(?:sub)?(?:totals?|sums?|means?|averages?|avg|median)"
    "(?: (?:counts?|reads|expression))?"
)
WHOLE = "|".join([*COUNTED, TOTALS, *PATIENT_HEADERS, *CLASS_HEADERS]).replace(" ", r"[\W_]+")
DATE = r"\d{1,2}-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)|\d{4}-\d\d-\d\d.*"
NO_GENE = re.compile(rf"^__|^N_|^[\W_]*(?i:{WHOLE})[\W_]*$|^(?:{DATE})$")
# As a word of a name, beside the genes of a table with a row a patient: what is measured on those
MEASURED = (
    "age|sex|gender|stage|grade|survival|time|days?|months?|years?|event|status|batch"
    "|os|pfs|dfs|bmi|weight|height|diagnosis"
)
HUMP = "(?<=[a-z])(?=[A-Z])"  # of a camelCaseName
CLINICAL = re.compile(rf"((?<![^\W_])|{HUMP})(?i:{MEASURED})((?![^\W_])|{HUMP})")
# What stands where a probe has no gene: Affymetrix writes ---, TCGA ?
NAMELESS = MISSING | {"-", "--", "---", ".", "?"}

# What of each patient may stand for a gene of several rows, and how it is said (`--duplicates`).
# Each looks at one patient alone: no other, training or test, has a part in the value.
JOINED = {"mean": "the mean", "max": "the largest", "first": "the first"}


@cache  # as the test file has the same names, and to search takes a tenth of the loading
def may_be_gene(name: str, beside_patients: bool) -> bool:
    """Return whether a gene may be called so; in a row of each patient, also what is measured."""
    if beside_patients and (CLINICAL.search(name) or plain(name) in TARGET_HEADERS):
        return False
    return not NO_GENE.search(name)


def names_gene(name: str, keep: Collection[str]) -> bool:
    """Return whether a name is one, or the user keeps it."""
    return name not in NAMELESS or matches(name, keep)


def join_rows(values: pd.DataFrame, how: str) -> pd.DataFrame:
    """Return values, genes x patients, with each gene once, where it occurs first.

    how: an entry of `JOINED`. A patient who lacks a value in one of a gene's rows lacks its mean
    and maximum, as other patients' are those of more rows.
    """
    joined = values[~values.index.duplicated()].copy()
    if how == "first":
        return joined

    doubled = values[values.index.duplicated(keep=False)]
    cells = doubled.to_numpy()
    rows = doubled.groupby(level=0, sort=False).indices
    summary = {"mean": np.mean, "max": np.max}[how]
    joined.loc[list(rows)] = np.array([summary(cells[rows[gene]], axis=0) for gene in rows])
    return joined
