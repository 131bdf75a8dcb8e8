"""What the values of expression tables must fulfil; what does not is refused."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from expression.errors import DataError, refusal, shortlist
from expression.preprocessing import (
    LOG_BASES,
    LOG_NAMES,
    MAX_GENES,
    Preprocessing,
    Scale,
    typical_level,
)
from expression.reading.sheets import FEATURE_COUNTS_HEADERS, clean, matches, plain
from expression.reading.tables import Table, patients_of

# Of a row of totals, whose cells are rounded, and which a row of means may be beside
WITHIN_OF_SUM = 0.01
WITHIN_OF_MEAN = 0.001
MAX_VALUE = 1e9  # beyond any scanner or sequencer
MAX_LOG2_VALUE = 32  # no scanner counts to 2**32, and no array of intensities stays below 32
# Share of a patient's genes, or one, that may be anything: an age, a total, far out
OUTLIERS = 0.01
# How often the median the other values reach: logarithms of the published arrays at most 2.3 times,
# their intensities at least 68 times, and 20 times with a background of 500 left in them
MAX_SPREAD_OF_LOGS = 8
CENTRED = 1 / 4  # of the values of a patient are below 0: log2 of intensities has hardly any
# How much further up than down the other values reach: at least 7.8 times in the published arrays
MAX_SKEW_OF_RATIOS = 3
FEW_BELOW = 0.02  # of the values of a cohort are below 0 where they were not centred
HIGH_RATIO = 1  # above which three quarters of a patient's log-ratios or z-scores never are
MOST_ZEROS = 1 / 2  # that values of any array have
FEW_ZEROS = 0.02  # that arrays may have, if no value is below 0
MAX_SCANNED = 2**17  # a scanner has 16 bits; twice that leaves room for re-scaled arrays
MILLION_WITHIN = 0.01  # of a million, what CPM and TPM of a patient sum to once genes are rounded
NEAR_COPY = 0.98  # correlation of two arrays of one person; of two shipped patients at most 0.90
# On few genes, patients correlate so by chance: of 300 whose true correlation is 0.90, the most
# alike two reach 0.96 on 100 genes; of 0.93, they reach 0.98 on 50 (20 simulations each)
MIN_GENES_TO_COMPARE = 100
# Of more, every second, third, ... is compared, which tells a correlation of 0.98 to 0.002: for
# 300 x 20,000 that takes 0.06 s where all genes take 0.15 s, of a loading of 0.6 s
MAX_GENES_TO_COMPARE = 10_000
PATIENTS_AT_ONCE = 1_000  # new ones, so that a copy of all is never needed
FAR_APART = 10  # times the level of an array, or a part of it: another unit, and no other gain


def check_complete(where: object, what: str, given: Collection[str], tables: list[Table]) -> None:
    """Raise unless exactly the patients of the tables are given."""
    patients = set(patients_of(tables))
    rule = f"must give each patient of {' and '.join(str(table.path) for table in tables)} a {what}"
    if missing := patients.difference(given):
        raise refusal(where, rule, f"{shortlist(missing)} have none", "complete it, or remove them")
    if surplus := set(given) - patients:
        found = f"{shortlist(surplus)} have no expression values"
        advice = "add these (--test for a test set), or name the files with --train and --labels"
        raise refusal(where, rule, found, advice)


def check_arrays(tables: list[Table], scale: Scale, log_base: str | None) -> None:
    """Raise when the values of a patient are constant, or on the wrong scale."""
    for table in tables:
        if table.values.columns.size:
            _check_annotation(table, scale)
            smallest, largest = table.values.min(), table.values.max()
            _check_range(table.path, smallest, largest)
            wrong = _wrong_scale(table.values, smallest, largest, scale)
            if wrong:
                looks, advice = wrong
                rule = f"values must be {scale.describe(log_base)}"
                raise refusal(table.path, rule, looks, advice)


def check_totals(path: Path, values: pd.DataFrame, keep: Collection[str]) -> None:
    """Raise when a gene is the sum or the mean of all others in every patient: it is none.

    values: genes x patients, of so many patients that no gene is so by chance.
    """
    cells = values.to_numpy()
    totals, numbers = _sum_up(cells)
    are_sums = _are_near(cells, totals / 2, WITHIN_OF_SUM)  # as it is among them itself

    if are_sums.any():
        totals, numbers = _sum_up(cells[~are_sums])
    are_means = ~are_sums & _are_near(cells, totals / numbers, WITHIN_OF_MEAN)
    are_means[are_means] = np.ptp(cells[are_means], axis=1) > 0  # of such as arrays are scaled to

    for are_totals, what in ((are_sums, "sum"), (are_means, "mean")):
        names = [name for name in values.index[are_totals] if not matches(name, keep)]
        if names:
            raise refusal(
                path,
                "every gene must be one",
                f"{shortlist(names)} is the {what} of all others in every patient",
                f"leave it out with --drop {names[0]!r}, or --keep {names[0]!r}",
            )


def _sum_up(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of the genes of each patient, and how many are not missing."""
    totals = cells.sum(axis=0)
    numbers = np.full(len(totals), len(cells))
    lacking = np.isnan(totals)
    if lacking.any():
        totals[lacking] = np.nansum(cells[:, lacking], axis=0)
        numbers[lacking] -= np.isnan(cells[:, lacking]).sum(axis=0)
    return totals, np.maximum(numbers, 1)


def _are_near(cells: np.ndarray, of_patients: np.ndarray, within: float) -> np.ndarray:
    """Return which genes lie near the patient's number, relative to it, in every patient."""
    tolerance = within * np.abs(of_patients)
    are_near = np.abs(cells[:, 0] - of_patients[0]) < tolerance[0]  # which few genes are
    are_near[are_near] = (np.abs(cells[are_near] - of_patients) < tolerance).all(axis=1)
    return are_near


def _check_annotation(table: Table, scale: Scale) -> None:
    """Raise when the columns beside the patients are those of a program that counts."""
    if scale.unit != "intensity" or scale.is_logged:
        return
    if FEATURE_COUNTS_HEADERS.issubset(map(plain, table.ignored)):
        found = "its columns are those of featureCounts"
        rule = f"values must be {scale.describe(None)}"
        raise refusal(table.path, rule, found, "see --expression counts")


def _check_range(path: Path, smallest: pd.Series, largest: pd.Series) -> None:
    """Raise when the values of a patient are all the same, or beyond any device."""
    if constant := list(largest.index[smallest == largest]):
        raise refusal(
            path,
            "the values of a patient must vary",
            f"those of {shortlist(constant)} are one value for all genes",
            "leave the patient out (--drop) or measure again",
        )
    if absurd := list(largest.index[np.maximum(largest, -smallest) > MAX_VALUE]):
        rule = f"values must lie within -{MAX_VALUE:g} and {MAX_VALUE:g}"
        raise refusal(path, rule, f"found more in {shortlist(absurd)}", "correct them")


def _wrong_scale(
    values: pd.DataFrame, smallest: pd.Series, largest: pd.Series, scale: Scale
) -> tuple[str, str] | None:
    """Return what values look like, if not of the scale they are given as, and what to do."""
    if scale.is_ratio:
        return _looks_uncentred(values)
    wrong = _looks_centred(values, smallest, largest, scale)
    if wrong is None:
        wrong = _looks_logged_otherwise(values, largest, scale)
    if wrong is None and scale.is_counted:
        wrong = _looks_negative(smallest, scale)
    elif wrong is None:
        wrong = _looks_sequenced(values, smallest, largest, scale)
    return wrong


def _looks_uncentred(values: pd.DataFrame) -> tuple[str, str] | None:
    """Return which patients look like intensities or their logarithms, if any, and what to do."""
    high = ~_few_beyond(values, MAX_LOG2_VALUE)
    if high.any():
        return _say_which(high, "like intensities"), "see --expression intensity or counts"

    logged = values.quantile(0.25) > HIGH_RATIO
    if (values < 0).mean().mean() < FEW_BELOW:
        logged[:] = True
    if logged.any():
        return _say_which(logged, "logged, but not centred"), "see --expression log or log-counts"
    return None


def _looks_centred(
    values: pd.DataFrame, smallest: pd.Series, largest: pd.Series, scale: Scale
) -> tuple[str, str] | None:
    """Return which patients look like log-ratios, if any, and what to do."""
    below = smallest < 0
    below[below] = (values.loc[:, below] < 0).mean() > CENTRED
    below &= _few_beyond(values, MAX_LOG2_VALUE)
    centred = below & (largest <= MAX_LOG2_VALUE)
    unsure = below & ~centred
    if unsure.any():
        upper = values.loc[:, unsure].quantile(1 - OUTLIERS, interpolation="lower")
        lower = values.loc[:, unsure].quantile(OUTLIERS, interpolation="higher")
        centred[unsure] = upper < MAX_SKEW_OF_RATIOS * -lower
    if not centred.any():
        return None

    advice = "see --expression log-ratio, or export the values from before they were centred"
    if scale.is_counted and scale.is_logged:
        advice = "give log2(x + 1), or the counts; of log-ratios see --expression log-ratio"
    return _say_which(centred, "like log-ratios or z-scores"), advice


def _few_beyond(values: pd.DataFrame, limit: float) -> pd.Series:
    """Return of which patients no more values than outliers are beyond a limit, up or down."""
    beyond = (values > limit).sum() + (values < -limit).sum()
    return beyond <= max(1, OUTLIERS * len(values))


def _looks_logged_otherwise(
    values: pd.DataFrame, largest: pd.Series, scale: Scale
) -> tuple[str, str] | None:
    """Return which patients are logged though they should not be, or not though they should."""
    low = _are_low(values, largest)
    wrong = largest > MAX_LOG2_VALUE if scale.is_logged else low
    if not wrong.any():
        return None

    if scale.is_logged:
        alike, others = "like intensities", "intensity or counts"
    elif scale.is_counted:
        alike, others = "logged", "log-counts"
    else:
        alike, others = "logged", "log or log-counts"
    advice = f"put all on one scale, see --expression {others}"
    if low.any() and (largest > MAX_LOG2_VALUE).any():
        gene = values.max(axis=1).idxmax()
        advice += f"; or is {gene}, of the largest values, no gene? (--drop)"
    return _say_which(wrong, alike), advice


def _are_low(values: pd.DataFrame, largest: pd.Series) -> pd.Series:
    """Return which patients have values as low and as close together as logarithms are."""
    few_beyond = _few_beyond(values, MAX_LOG2_VALUE)
    low = few_beyond & (largest <= MAX_LOG2_VALUE)
    unsure = few_beyond & ~low
    if unsure.any():
        upper = values.loc[:, unsure].quantile(1 - OUTLIERS, interpolation="lower")
        low[unsure] = upper < MAX_SPREAD_OF_LOGS * values.loc[:, unsure].median()
    return low


def check_log_base(tables: list[Table], scale: Scale, log_base: str | None) -> None:
    """Raise when values may be logarithms to another base than the one they are read by.

    How high they reach in both sets tells it; of counts, first of all, their sums.
    """
    if not scale.is_logged:
        return
    highest = max(table.values.max(axis=None) for table in tables if table.values.columns.size)
    doubts = None
    if log_base is not None:
        if highest > MAX_LOG2_VALUE / np.log2(LOG_BASES[log_base]):
            doubts = f"they reach {highest:.2f}, too high for it", "see --log-base 2"
    else:
        bases = _bases_of_equal_sums(tables[0].values, scale) if scale.is_counted else []
        if bases == ["2"]:
            return
        if len(bases) == 1:
            found = f"those of all patients have one sum if read as {LOG_NAMES[bases[0]]}"
            doubts = found, f"say so with --log-base {bases[0]}"
        elif np.exp(highest) <= scale.largest:
            doubts = _say_readings(highest, scale)
    if doubts is not None:
        where = " and ".join(str(table.path) for table in tables)
        found, advice = doubts
        raise refusal(where, f"values must be {scale.describe(log_base)}", found, advice)


def _say_readings(highest: float, scale: Scale) -> tuple[str, str]:
    """Return what the highest logarithm is of, by each base that is possible, and what to do."""
    readings = {
        base: f"{number**highest:,.0f} if {LOG_NAMES[base]}"
        for base, number in LOG_BASES.items()
        if number**highest <= MAX_VALUE
    }
    found = f"they reach {highest:.2f}, that is {scale.logged} of {', '.join(readings.values())}"
    return found, f"say which it is: --log-base {' or '.join(readings)}"


def _bases_of_equal_sums(values: pd.DataFrame, scale: Scale) -> list[str]:
    """Return the bases by which values of all patients, turned back, sum to the same."""
    bases = list(LOG_BASES)
    expected = {}
    for patient in values:
        logs = values[patient].to_numpy()
        sums = {base: scale.turn_back(logs, base).sum() for base in bases}
        expected = expected or sums
        bases = [base for base in bases if abs(sums[base] / expected[base] - 1) < MILLION_WITHIN]
        if not bases:
            break
    return bases


def _looks_negative(smallest: pd.Series, scale: Scale) -> tuple[str, str] | None:
    """Return which patients have values below 0, as counts never are."""
    negative = smallest < 0
    if not negative.any():
        return None
    advice = "give log2(x + 1), or the counts" if scale.is_logged else "see --expression intensity"
    return _say_which(negative, "otherwise, with values below 0"), advice


def _looks_sequenced(
    values: pd.DataFrame, smallest: pd.Series, largest: pd.Series, scale: Scale
) -> tuple[str, str] | None:
    """Return why values that should be of arrays look like those of a sequencer, if they do."""
    advice = f"see --expression {'log-counts' if scale.is_logged else 'counts'}"
    zeros = (values == 0).mean().mean()
    if zeros > MOST_ZEROS:
        return f"{zeros:.0%} of the values are exactly 0, as in sequencing", advice
    if scale.is_logged or (smallest < 0).any():
        return None
    if zeros > FEW_ZEROS:
        return f"{zeros:.0%} of the values are 0 and none below, as in sequencing", advice
    if largest.max() > MAX_SCANNED and not any((values[name] % 1 > 0).any() for name in values):
        return f"whole numbers up to {largest.max():,.0f}, beyond any scanner", advice
    is_million = (values.sum() / 1e6 - 1).abs() < MILLION_WITHIN
    if len(is_million) > 2 and is_million.all():  # which one array is by chance
        return "the values of each patient sum to a million, as CPM or TPM", advice
    return None


def _say_which(wrong: pd.Series, alike: str) -> str:
    names = wrong.index[wrong]
    return f"{len(names)} of {len(wrong)} patients look {alike}: {shortlist(names)}"


def check_copies(parts: Collection[pd.DataFrame], tables: list[Table]) -> None:
    """Raise when two patients have the same values: one of them is a copy."""
    seen = defaultdict(list)  # by a thousand values, which hardly any two patients share
    patients = [patient for X in parts for patient in X.index]
    rows = itertools.chain.from_iterable(X.to_numpy() for X in parts)
    for patient, values in zip(patients, rows, strict=True):
        alike = seen[values[:: 1 + len(values) // 1_000].tobytes()]
        for original, others in alike:
            if np.array_equal(values, others):
                raise refusal(
                    " and ".join(str(table.path) for table in tables),
                    "patients must differ in their values",
                    f"those of {original} and {patient} are the same",
                    f"leave one out: --drop {patient}",
                )
        alike.append((patient, values))


def check_near_copies(
    X_train: pd.DataFrame,
    X_test: pd.DataFrame,
    preprocessing: Preprocessing,
    tables: list[Table],
) -> None:
    """Raise when preprocessed profiles of two patients are alike as only those of one person are.

    Arrays of one person on both sides of a split inflate all that is measured there.
    """
    profiles = _comparable_profiles(X_train, X_test, preprocessing)
    if profiles is None:
        return
    correlation = profiles @ profiles.T
    correlation /= profiles.shape[1]
    first, second = np.nonzero(np.triu(correlation > NEAR_COPY, k=1))
    if not len(first):
        return

    patients = [*X_train.index, *X_test.index]
    r = correlation[first, second]
    most_alike = [
        f"{patients[first[pair]]} and {patients[second[pair]]} (r = {r[pair]:.3f})"
        for pair in np.argsort(-r, kind="stable")[:2]
    ]
    raise refusal(
        " and ".join(str(table.path) for table in tables),
        f"profiles of two patients must not correlate above {NEAR_COPY}",
        f"{len(first):,} pairs do, as arrays of one person: {', '.join(most_alike)}",
        "name the column of persons with --group-column NAME, or leave out one of each pair with "
        "--drop NAME",
    )


def check_levels(
    X_new: pd.DataFrame, X_train: pd.DataFrame, scale: Scale, tables: list[Table]
) -> None:
    """Raise when new patients are on a scale that no training patient is near.

    Of intensities the level of an array is compared, of log-ratios how far they reach; counts were
    scaled to a million. A training patient's differ by less than threefold in the shipped data.
    """
    if scale.is_counted:
        return

    def size(array: np.ndarray) -> float:
        return array.std() if scale.is_ratio else typical_level([array])

    of_training = [size(array) for array in X_train.to_numpy()]
    of_new = np.array([size(array) for array in X_new.to_numpy()])
    too_low = of_new * FAR_APART < min(of_training)
    too_high = of_new > FAR_APART * max(of_training)
    if not (too_low | too_high).any():
        return
    times = f"a {FAR_APART}th" if too_low.any() else f"{FAR_APART} times"
    names = X_new.index[too_low if too_low.any() else too_high].astype(str)
    raise refusal(
        " and ".join(str(table.path) for table in tables),
        "new patients must be on the scale of the training patients",
        f"the values of {shortlist(names)} are beyond {times} those of every training patient",
        f"export them as the training patients were, or leave them out: --drop {names[0]!r}",
    )


def check_known(
    X_new: pd.DataFrame,
    known: list[pd.DataFrame],
    preprocessing: Preprocessing,
    tables: list[Table],
    keep: Collection[str],
) -> None:
    """Raise when a new patient is a known one, or as alike as arrays of one person are.

    known: training and test patients. What models say of patients they were trained on is no
    prediction; who wants it for a check asks by name.
    """
    X_train, X_test = known
    copies = []
    asked = np.array([matches(str(name), keep) for name in X_new.index])
    unasked = X_new[~asked]
    for start in range(0, len(unasked), PATIENTS_AT_ONCE):
        part = unasked.iloc[start : start + PATIENTS_AT_ONCE]
        copies += _most_alike(part, X_train, X_test, preprocessing)
    if not copies:
        return
    named = ", ".join(f"{name} and {like} (r = {r:.3f})" for name, like, r in copies[:2])
    raise refusal(
        " and ".join(str(table.path) for table in tables),
        f"no new patient may correlate with one of known class above {NEAR_COPY}",
        f"{len(copies):,} do, as arrays of one person: {named}",
        f"leave them out: --drop {copies[0][0]!r}, or to see what is said of a known patient: "
        f"--keep {copies[0][0]!r}",
    )


def _most_alike(
    X_new: pd.DataFrame, X_train: pd.DataFrame, X_test: pd.DataFrame, preprocessing: Preprocessing
) -> list[tuple]:
    """Return new patients, the known one that each is most alike, and r, where that is a copy."""
    X_known = pd.concat([X_train, X_test])
    profiles = _comparable_profiles(X_train, pd.concat([X_test, X_new]), preprocessing)
    if profiles is None:  # of few genes: then only the same values tell
        same = [
            (name, X_known.index[alike][0], 1.0)
            for name, values in zip(X_new.index, X_new.to_numpy(), strict=True)
            if (alike := (X_known.to_numpy() == values).all(axis=1)).any()
        ]
        return same
    of_known, of_new = np.split(profiles, [len(X_known)])
    correlation = of_new @ of_known.T / profiles.shape[1]
    nearest = correlation.argmax(axis=1)
    r = correlation[np.arange(len(nearest)), nearest]
    return [
        (X_new.index[row], X_known.index[nearest[row]], r[row])
        for row in np.flatnonzero(r > NEAR_COPY)
    ]


def _comparable_profiles(
    X_train: pd.DataFrame, X_test: pd.DataFrame, preprocessing: Preprocessing
) -> np.ndarray | None:
    """Return preprocessed profiles of all patients, of mean 0 and variance 1; None of few genes."""
    every = 1 + X_train.shape[1] // MAX_GENES_TO_COMPARE
    most_variable = preprocessing._replace(max_genes=MAX_GENES // every)
    steps = Pipeline(most_variable.steps()).set_params(filter__min_genes=MIN_GENES_TO_COMPARE)
    try:
        profiles = [steps.fit_transform(X_train.to_numpy()[:, ::every])]
    except DataError:
        return None
    if len(X_test):
        profiles.append(steps.transform(X_test.to_numpy()[:, ::every]))
    return np.concatenate(profiles)


def find_missing(tables: list[Table], accept: bool) -> tuple[set[str], list[str]]:
    """Return the genes that lack a value in any table, and a note of how many they are."""
    genes = Counter()
    patients = Counter()
    files = []
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

    worst_genes = _say_most(genes)
    worst_patients = _say_most(patients)
    raise refusal(
        " and ".join(files),
        "every value must be there",
        f"{genes.total():,} are missing, most in genes {worst_genes} and patients {worst_patients}",
        "--missing drop leaves out genes that lack any, --drop NAME a patient or gene",
    )


def _say_most(counts: Counter) -> str:
    return ", ".join(f"{name} ({lacking})" for name, lacking in counts.most_common(3))


def find_common_genes(
    tables: list[Table], accept: bool, without: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the genes of all tables, sorted, and a note when they are not those of each table.

    Genes that lack values, `without`, are left out of all tables before these are compared with the
    first, the training table.
    """
    train, *others = tables
    genes = set(train.values.index).difference(without)
    common = set(genes)
    differ = []
    for table in others:
        of_table = set(table.values.index).difference(without)
        missing = genes - of_table
        extra = of_table - genes
        if not missing and not extra:
            continue
        lacks = f"lacks {len(missing):,} of the {len(genes):,} training genes"
        if not accept or 2 * len(missing) >= len(genes):
            raise _other_genes(train, table, accept, missing, extra, lacks)
        common &= of_table
        differ.append(f"{table.path.name} {lacks} and has {len(extra):,} others")
    if not differ:
        return sorted(common), []
    files = "both files" if len(others) == 1 else f"all {len(tables)} files"
    return sorted(common), [
        f"Only the {len(common):,} genes in {files} are used: {'; '.join(differ)}."
    ]


def _other_genes(
    train: Table, table: Table, accept: bool, missing: set[str], extra: set[str], lacks: str
) -> DataError:
    """Return the refusal of a table whose genes are not those of the training table."""
    differences = []
    if missing:
        differences.append(f"it {lacks} ({shortlist(missing)})")
    if extra:
        differences.append(f"it has {len(extra):,} others ({shortlist(extra)})")
    rule = "must hold more than half of the genes of" if accept else "must hold the same genes as"
    return refusal(
        table.path,
        f"{rule} {train.path}",
        " and ".join(differences),
        "export both from the same kind of array, or see --common-genes",
    )


def merge_descriptions(tables: list[Table], genes: list[str]) -> dict[str, str]:
    """Return the description of each gene, from whichever table has one."""
    train = tables[0].descriptions
    test = tables[-1].descriptions
    merged = {gene: train.get(gene) or test.get(gene, "") for gene in genes}
    if differ := [gene for gene in genes if test.get(gene, "") not in ("", merged[gene])]:
        raise refusal(
            tables[-1].path,
            f"must describe genes as {tables[0].path} does",
            f"{len(differ):,} descriptions differ: {shortlist(differ)}",
            "leave the descriptions out of one of the files",
        )
    for gene, text in merged.items():
        if not text.isprintable():
            merged[gene] = clean("".join(filter(str.isprintable, text)))
    return merged
