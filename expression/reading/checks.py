"""What the values of expression tables must fulfil; what does not is refused."""

from collections import Counter, defaultdict
from collections.abc import Collection

import numpy as np
import pandas as pd

from expression.errors import refusal, shortlist
from expression.preprocessing import Scale
from expression.reading.files import clean, plain
from expression.reading.sheets import FEATURE_COUNTS_HEADERS
from expression.reading.tables import Table

MAX_VALUE = 1e9  # beyond any scanner or sequencer
MAX_LOG2_VALUE = 32  # no scanner counts to 2**32, and no array of intensities stays below 32
FEW_ZEROS = 0.02  # that arrays may have, if no value is below 0
MAX_SCANNED = 2**17  # a scanner has 16 bits; twice that leaves room for re-scaled arrays


def check_arrays(tables: list[Table], scale: Scale) -> None:
    """Raise when the values of a patient are constant, or on the wrong scale."""
    rule = f"values must be {scale.description}"
    for table in (table for table in tables if table.values.columns.size):
        path, values = table.path, table.values
        if (
            not (scale.is_logged or scale.is_counted)
            and set(map(plain, table.ignored)) >= FEATURE_COUNTS_HEADERS
        ):
            found = "its columns are those of featureCounts"
            raise refusal(path, rule, found, "see --expression counts")
        smallest, largest = values.min(), values.max()
        if constant := list(largest.index[smallest == largest]):
            found = f"those of {shortlist(constant)} are one value for all genes"
            advice = "leave the patient out (--drop) or measure again"
            raise refusal(path, "the values of a patient must vary", found, advice)
        if absurd := list(largest.index[np.maximum(largest, -smallest) > MAX_VALUE]):
            limits = f"values must lie within -{MAX_VALUE:g} and {MAX_VALUE:g}"
            raise refusal(path, limits, f"found more in {shortlist(absurd)}", "correct them")
        if wrong := _wrong_scale(values, smallest, largest, scale):
            raise refusal(path, rule, *wrong)


def _wrong_scale(
    values: pd.DataFrame, smallest: pd.Series, largest: pd.Series, scale: Scale
) -> tuple[str, str] | None:
    """Return what values look like, if not of the scale they are given as, and what to do."""

    def those(patients: pd.Series, look: str) -> str:
        names = largest.index[patients]
        return f"{len(names)} of {len(largest)} patients look {look}: {shortlist(names)}"

    logged, counted = scale.is_logged, scale.is_counted
    low, negative = largest <= MAX_LOG2_VALUE, smallest < 0
    centred = low & negative
    centred[centred] = (values.loc[:, centred] < 0).mean() > 1 / 4
    if centred.any():
        advice = "export the values from before they were centred"
        return those(centred, "like log-ratios or z-scores"), advice
    if (low != logged).any():
        look, others = "logged", "log-counts" if counted else "log or log-counts"
        if logged:
            look, others = "like intensities", "intensity or counts"
        advice = f"put all on one scale, see --expression {others}"
        if low.any() and not low.all():
            gene = values.max(axis=1).idxmax()
            advice += f"; or is {gene}, of the largest values, no gene? (--drop)"
        return those(low != logged, look), advice
    if counted and negative.any():
        advice = "give log2(x + 1), or the counts" if logged else "see --expression intensity"
        return those(negative, "otherwise, with values below 0"), advice
    if counted:
        return None
    advice = f"see --expression {'log-counts' if logged else 'counts'}"
    zeros = (values == 0).mean().mean()
    if zeros > 1 / 2:
        return f"{zeros:.0%} of the values are exactly 0, as in sequencing", advice
    if logged or negative.any():
        return None
    if zeros > FEW_ZEROS:
        return f"{zeros:.0%} of the values are 0 and none below, as in sequencing", advice
    if largest.max() > MAX_SCANNED and not any((values[name] % 1 > 0).any() for name in values):
        return f"whole numbers up to {largest.max():,.0f}, beyond any scanner", advice
    if ((values.sum() / 1e6 - 1).abs() < 0.01).all():
        return "the values of each patient sum to a million, as CPM or TPM", advice
    return None


def check_copies(parts: Collection[pd.DataFrame], tables: list[Table]) -> None:
    """Raise when two patients have the same values: one of them is a copy."""
    seen = defaultdict(list)  # by a thousand values, which hardly any two patients share
    for patient, values in (row for X in parts for row in zip(X.index, X.to_numpy(), strict=True)):
        alike = seen[values[:: 1 + len(values) // 1_000].tobytes()]
        for original, others in alike:
            if np.array_equal(values, others):
                files = " and ".join(str(table.path) for table in tables)
                found = f"those of {original} and {patient} are the same"
                rule = "patients must differ in their values"
                raise refusal(files, rule, found, f"leave one out: --drop {patient}")
        alike.append((patient, values))


def find_missing(tables: list[Table], accept: bool) -> tuple[set[str], list[str]]:
    """Return the genes that lack a value in any table, and a note of how many they are."""
    genes, patients, files = Counter(), Counter(), []
    for table in tables:
        missing = table.values.isna()
        if missing.any(axis=None):
            genes += Counter(missing.sum(axis=1).to_dict())  # which drops those that lack none
            patients += Counter(missing.sum().to_dict())
            files.append(str(table.path))
    if not files:
        return set(), []
    if accept and len(genes) < len(tables[0].values):
        return set(genes), [f"{len(genes):,} genes are left out, as values of them are missing."]
    worst = [", ".join(f"{k} ({n})" for k, n in c.most_common(3)) for c in (genes, patients)]
    found = f"{genes.total():,} are missing, most in genes {worst[0]} and patients {worst[1]}"
    advice = "--missing drop leaves out genes that lack any, --drop NAME a patient or gene"
    raise refusal(" and ".join(files), "every value must be there", found, advice)


def find_common_genes(
    tables: list[Table], accept: bool, without: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the genes of all tables, sorted, and a note when they are not those of each table.

    Genes that lack values, `without`, are left out of both tables before these are compared.
    """
    train, test = tables[0], tables[-1]
    genes, others = (set(table.values.index).difference(without) for table in (train, test))
    missing, extra = genes - others, others - genes
    common = sorted(genes & others)
    if not missing and not extra:
        return common, []
    lack = f"lacks {len(missing):,} of the {len(genes):,} training genes"
    if accept and 2 * len(missing) < len(genes):
        note = f"Only the {len(common):,} genes in both files are used: the test file"
        return common, [f"{note} {lack} and has {len(extra):,} others."]
    found = [f"it {lack} ({shortlist(missing)})"] if missing else []
    found += [f"it has {len(extra):,} others ({shortlist(extra)})"] if extra else []
    rule = "must hold more than half of the genes of" if accept else "must hold the same genes as"
    advice = "export both from the same kind of array, or see --common-genes"
    raise refusal(test.path, f"{rule} {train.path}", " and ".join(found), advice)


def merge_descriptions(tables: list[Table], genes: list[str]) -> dict[str, str]:
    """Return the description of each gene, from whichever table has one."""
    train, test = tables[0].descriptions, tables[-1].descriptions
    merged = {gene: train.get(gene) or test.get(gene, "") for gene in genes}
    if differ := [g for g in genes if test.get(g, "") not in ("", merged[g])]:
        rule = f"must describe genes as {tables[0].path} does"
        found = f"{len(differ):,} descriptions differ: {shortlist(differ)}"
        advice = "leave the descriptions out of one of the files"
        raise refusal(tables[-1].path, rule, found, advice)
    for gene, text in merged.items():
        if not text.isprintable():
            merged[gene] = clean("".join(filter(str.isprintable, text)))
    return merged
