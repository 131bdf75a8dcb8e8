"""Where is the variance, and how many dimensions matter? (Q3)

Principal component analysis (PCA) of the training patients; the test patients are projected.
The traps: noise has a first component too, and "80 % of the variance" does not notice; and a fit
flatters its own patients. So parallel analysis decides which components are retained, and what
they separate is measured on held-out patients (see analysis/components.py): classes, subtypes,
training and test set, and the batches of one class. Figures show the components retained: at least
two, at most three.

Input: a data folder (see expression/reading/load.py). Written to outputs/pca_plot/:
    metrics.txt, metrics.json                    how many components, and what they separate
    explained_variance.csv, associations.csv     a row a component; what components separate
    scores.csv, loadings.csv                     a row a patient; a row a gene
    scree, pca_patients, train_vs_test, loadings figures: the components, the patients, the genes
    batches                                      figure, with batches: the patients by batch

Reference: Jolliffe (2002), Principal Component Analysis, 2nd ed., Springer.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

from expression.analysis import components
from expression.analysis.components import ERROR, effect_sizes
from expression.data import ExpressionData
from expression.figures import pca_plot as figures
from expression.running import style
from expression.running.command import (
    Repetitions,
    command_line,
    load_data,
    make_parser,
    parse_options,
    start_report,
    whole_number,
)
from expression.running.report import Report, interval_text, join_first

PERMUTATIONS = Repetitions(200, fewest=20)
FOLDS = Repetitions(50, fewest=10)
STAGES = {"permutations": 1, "held-out patients": 1, "drawing": 3}  # and roughly their seconds
VARIANCE_RULES = (0.8, 0.9, 0.95)
LEAST_DRAWN = 2  # components
MOST_DRAWN = 3
MAX_LISTED = 20  # components, in metrics.txt
# Effect sizes in metrics.txt: the largest, where there are more
MAX_GROUP_ROWS = 15
MAX_BATCH_ROWS = 6
MAX_SET_ROWS = 4
# In a sentence
MAX_TOLD = 4  # contrasts
MAX_UNSTABLE = 10  # components
SAME_AXIS = 0.9  # overlap, below which components turn into others when patients leave
QUICK = {"permutations": 20, "folds": 5}  # options of a quick run


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__, "pca_plot")
    add = parser.add_argument_group("options of this script").add_argument
    add(
        "--permutations",
        type=whole_number(20),
        metavar="N",
        help=f"permutations of the parallel analysis ({PERMUTATIONS})",
    )
    add(
        "--folds",
        type=whole_number(2),
        metavar="N",
        help=f"folds to hold patients out in, at most one a patient ({FOLDS})",
    )
    add(
        "--components",
        type=whole_number(2),
        default=10,
        metavar="N",
        help="components in the tables, at least those retained and drawn (default: 10)",
    )
    return parse_options(parser, argv, QUICK)


def component_rows(fitted: components.Components, gene_names: pd.Series) -> list[dict]:
    """Return finished cells, a row a component: its variance, and its genes by name."""
    rows = []
    for component, ratio in fitted.ratio[:MOST_DRAWN].items():
        top = fitted.loadings[component].abs().nlargest(3).index
        rows.append(
            {
                "component": component,
                "variance": f"{ratio:.1%}",
                "genes of largest loading": ", ".join(
                    style.shorten(name, 24) for name in gene_names[top]
                ),
            }
        )
    return rows


def in_short(
    variance: pd.DataFrame,
    drawn: int,
    separated: pd.DataFrame,
    of_batches: str,
    shifts: pd.DataFrame,
) -> list[str]:
    """Return how many components there are, and what those drawn separate, in sentences.

    `separated` and `shifts` are effect sizes: of groups of training patients along the components
    drawn, and of the test patients' error (no rows without test patients). `of_batches`: the
    sentence on them, empty where none are known.
    """
    sentences = [retained_sentence(variance, drawn), separated_sentence(separated, drawn)]
    if of_batches:
        sentences.append(of_batches)
    if len(shifts):
        sentences.append(shift_sentence(shifts))
    sentences.append(
        "Genes vary together for any cause: a component can be a laboratory as well as a disease."
    )
    return sentences


def retained_sentence(variance: pd.DataFrame, drawn: int) -> str:
    """Return how many components there are, and which of them are no axes of their own."""
    retained = int(variance["retained"].sum())
    share = variance["ratio"][:retained].sum()
    unstable = variance.index[variance["retained"] & (variance["overlap"] < SAME_AXIS)]
    not_stable = ""
    if len(unstable):
        not_stable = (
            f" Not stable as single axes: {join_first(unstable, MAX_UNSTABLE)} (overlap below "
            f"{SAME_AXIS} with the matching components when patients are held out)."
        )
    return (
        f"Parallel analysis against permuted genes retains {retained} "
        f"component{'s' * (retained != 1)}, with {share:.0%} of the variance.{not_stable} Drawn "
        f"are those retained, at least {LEAST_DRAWN} and at most {MOST_DRAWN}: here {drawn}."
    )


def separated_sentence(separated: pd.DataFrame, drawn: int) -> str:
    """Return along which component each contrast is largest."""
    largest = separated.loc[separated["d"].abs().groupby("contrast", sort=False).idxmax()]
    contrasts = []
    for (contrast, component), effect in keep_largest(largest, MAX_TOLD).iterrows():
        contrasts.append(f"{contrast} most along {component}, {size_text(effect)}")
    return (
        f"Held-out training patients differ (largest absolute Cohen's d of the {drawn} drawn, "
        f"intervals not corrected for that; 0.8 is large): {'; '.join(contrasts)}"
        f"{smaller_text(len(largest) - len(contrasts))}."
    )


def keep_largest(effects: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the effect sizes; of more than `most` the largest, in the order they had."""
    return effects[effects["d"].abs().rank(ascending=False, method="first") <= most]


def keep_first_and_largest(effects: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the first effect size, that of all patients, and the largest of the others."""
    return pd.concat([effects[:1], keep_largest(effects[1:], most - 1)])


def smaller_text(count: int) -> str:
    """Return how many effect sizes are left out, as the end of a list."""
    return f"; {count} more are smaller" if count else ""


def batch_sentence(
    between_batches: pd.DataFrame, between_classes: pd.DataFrame, data: ExpressionData
) -> str:
    """Return whether patients of one class differ between batches along the components drawn.

    Both are effect sizes along these; the intervals between batches are corrected for their number.
    """
    if data.batches is None:
        return ""
    if between_batches.empty:
        return (
            "No class can be compared between batches: that needs two sides of "
            f"{components.MIN_GROUP} patients of one class, this batch and others."
        )
    beyond_chance = ((between_batches["low"] > 0) | (between_batches["high"] < 0)).sum()
    contrast, component = between_batches["d"].abs().idxmax()
    size = size_text(between_batches.loc[(contrast, component)])
    sentence = (
        f"Between batches, patients of one class differ beyond chance in {beyond_chance or 'none'} "
        f"of {len(between_batches)} comparisons (intervals corrected for their number). The "
        f"largest: {contrast} along {component}, {size}"
    )
    if between_classes.empty:
        return f"{sentence}."
    classes, along = between_classes["d"].abs().idxmax()
    of_classes = abs(between_classes.loc[(classes, along), "d"])
    return f"{sentence}; for comparison {classes} along {along}, {of_classes:.2f}."


def size_text(effect: pd.Series) -> str:
    """Return an absolute effect size with its interval: the sign of a component means nothing."""
    d, low, high = effect
    if d < 0:
        low, high = -high, -low
    return interval_text(abs(d), low, high)


def shift_sentence(shifts: pd.DataFrame) -> str:
    """Return whether test patients lie farther from the components than those of training."""
    of_error = shifts.xs(ERROR, level="component")
    if of_error.loc["test - train", "low"] > 0:
        farther = "farther from"
        meaning = "estimates from training may be optimistic"
    else:
        farther = "no farther from"
        meaning = "no sign that estimates from training are optimistic"
    told = keep_first_and_largest(of_error, MAX_TOLD)
    sizes = [
        f"{contrast} {interval_text(d, low, high)}" for contrast, d, low, high in told.itertuples()
    ]
    return (
        f"Test patients lie {farther} the components than held-out training patients "
        f"(d of the reconstruction error: {'; '.join(sizes)}"
        f"{smaller_text(len(of_error) - len(told))}): {meaning}."
    )


def report_components(
    report: Report,
    numbers: dict[str, int],
    variance: pd.DataFrame,
    effects: dict[str, pd.DataFrame],
    held_out_by: str,
) -> None:
    """Add how many components there are by each rule, their variance, and what they separate.

    `effects`: effect sizes of "subgroups", "batches" and "sets".
    """
    note = "A share of the variance does not tell signal from noise; parallel analysis does."
    report.add_section("dimensions", "Components, by rule", numbers, note)
    note = (
        "permuted_95: 95th percentile of the ratio, each gene permuted over the patients. "
        "retained: this component and all before it lie above. overlap: mean absolute cosine with "
        "the matching component when patients are held out; 1 is the same."
    )
    shown = variance.head(MAX_LISTED)
    report.add_section("variance", "Variance along each component", variance, note, shown)

    note = (
        f"Of held-out training patients ({held_out_by}); noncentral t intervals, for normal values."
    )
    of_batches = effects["batches"]
    largest = of_batches.loc[of_batches["d"].abs().nlargest(MAX_BATCH_ROWS).index]
    if len(of_batches):
        note += (
            f" Between batches of one class: also of test patients; the {len(largest)} largest of "
            f"{len(of_batches)}, intervals not corrected for their number."
        )
    groups = keep_largest(effects["subgroups"], MAX_GROUP_ROWS)
    sets = keep_first_and_largest(effects["sets"], MAX_SET_ROWS)
    left_out = len(effects["subgroups"]) - len(groups) + len(effects["sets"]) - len(sets)
    if left_out:
        note += f" {left_out} smaller ones of classes and of test patients are in associations.csv."
    shown = pd.concat([groups, largest, sets])
    shown = shown.rename(index=lambda name: style.shorten(name, 49))
    table = pd.concat(effects.values())
    report.add_section("associations", "Cohen's d, with 95 % interval", table, note, shown)


def rows_along(effects: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the effect sizes along the components of these names."""
    return effects[effects.index.isin(names, level="component")]


def components_needed(cumulative: pd.Series) -> dict[float, int]:
    """Return how many components together hold each of `VARIANCE_RULES` of the variance."""
    return {share: int((cumulative < share).sum()) + 1 for share in VARIANCE_RULES}


def score_table(data: ExpressionData, scores: pd.DataFrame, held_out: pd.DataFrame) -> pd.DataFrame:
    """Return who each patient is, its error, its scores, and those of fits without it."""
    of_other_fits = held_out[scores.columns].add_suffix(" held out")
    batches = None if data.batches is None else data.batches.loc[scores.index].rename("batch")
    known = [data.y_all, data.subtypes, batches, data.sample_set]
    return pd.concat([*known, held_out[ERROR], scores, of_other_fits], axis=1)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    permutations = args.permutations or PERMUTATIONS.for_patients(len(data.y_all))
    X = data.X_train
    n = len(X)
    people = n if data.groups is None else data.groups[X.index].nunique()
    folds = min(args.folds or FOLDS.for_patients(len(data.y_all)), people)
    report = start_report(
        args,
        data,
        "Principal components of gene expression",
        STAGES,
        permutations=permutations,
        folds=folds,
    )
    steps = data.preprocessing.steps()
    fitted = components.fit_components(X, steps)
    fitted_on = f"{n:,} training {'patients' if data.groups is None else 'arrays'}"
    title = f"Components of {fitted_on}"
    rows = component_rows(fitted, data.gene_names)
    report.show_table(title, rows)

    variance = components.parallel_analysis(fitted, X, data.groups, permutations, args.seed)
    retained = int(variance["retained"].sum())
    drawn = int(np.clip(retained, LEAST_DRAWN, MOST_DRAWN))
    kept = variance.index[: max(args.components, retained, drawn)]
    loadings = fitted.loadings[kept]
    scores = fitted.scores(data.X_all, retained)
    of_training, variance["overlap"] = components.held_out_scores(
        loadings, X, data.groups, steps, retained=retained, folds=folds, seed=args.seed
    )
    # No fit saw the test patients
    held_out = pd.concat([of_training, scores.loc[data.X_test.index, of_training.columns]])

    between_batches = components.contrasts_of_batches(data)
    effects = {
        "subgroups": effect_sizes(held_out, components.contrasts_in_training(data), data.groups),
        "batches": effect_sizes(held_out, between_batches, data.groups),
        "sets": effect_sizes(held_out, components.contrasts_of_sets(data), data.groups),
    }
    shown = {
        "subgroups": rows_along(effects["subgroups"], kept[:drawn]),
        "batches": rows_along(effects["batches"], kept[:drawn]),
        "sets": rows_along(effects["sets"], [ERROR]),
    }
    needed = components_needed(variance["cumulative"])

    of_classes = effect_sizes(
        held_out[kept[:drawn]], components.contrasts_of_classes(data), data.groups
    )
    of_batches = components.corrected_effect_sizes(
        held_out[kept[:drawn]], between_batches, data.groups
    )
    sentences = in_short(
        variance,
        drawn,
        shown["subgroups"],
        batch_sentence(of_batches, of_classes, data),
        shown["sets"],
    )
    report.add_headline(title, rows[:drawn], sentences)
    numbers = {f"{share:.0%} of the variance": count for share, count in needed.items()}
    numbers["retained by parallel analysis"] = retained
    numbers["drawn"] = drawn
    held_out_by = "leave-one-out" if folds == people else f"{folds}-fold cross-validation"
    report_components(report, numbers, variance.loc[kept], shown, held_out_by)
    report.add_table("explained_variance", variance)
    report.add_table("scores", score_table(data, scores[kept], held_out))
    report.add_table("loadings", loadings.assign(gene=data.gene_names))
    report.add_table("associations", pd.concat(effects.values()))

    with report.drawing():
        report.add_figure("scree", figures.draw_scree(variance, needed, fitted_on))
        report.add_figure("pca_patients", figures.draw_planes(scores, fitted.ratio, data, drawn))
        if data.batches is not None:
            report.add_figure("batches", figures.draw_batches(scores, fitted.ratio, data, drawn))
        if len(effects["sets"]):
            report.add_figure("train_vs_test", figures.draw_errors(held_out, fitted.ratio, data))
        report.add_figure("loadings", figures.draw_loadings(loadings.iloc[:, :drawn], data))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
