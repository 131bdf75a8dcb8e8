"""Where is the variance, and how many dimensions matter? (Q3)

Principal component analysis (PCA) of the training patients; the test patients are projected.
The traps: noise has a first component too, and "80 % of the variance" does not notice; and a fit
flatters its own patients. So parallel analysis decides which components are retained, and what
they separate is measured on held-out patients (see analysis/components.py). Figures show the
components retained: at least two, at most three.

Input: a data folder (see expression/reading/load.py). Written to outputs/pca_plot/:
    metrics.txt, metrics.json                    how many components, and what they separate
    explained_variance.csv, associations.csv     a row a component; what components separate
    scores.csv, loadings.csv                     a row a patient; a row a gene
    scree, pca_patients, train_vs_test, loadings figures: the components, the patients, the genes

Reference: Jolliffe (2002), Principal Component Analysis, 2nd ed., Springer.
"""

import argparse
import sys

import numpy as np
import pandas as pd

from expression.analysis import components
from expression.analysis.components import ERROR
from expression.data import ExpressionData
from expression.figures import pca_plot as figures
from expression.running import style
from expression.running.command import (
    Repetitions,
    command_line,
    load_data,
    make_parser,
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
SAME_AXIS = 0.9  # overlap, below which components turn into others when patients leave


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
    return parser.parse_args(argv)


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
    variance: pd.DataFrame, drawn: int, separated: pd.DataFrame, shifts: pd.DataFrame
) -> list[str]:
    """Return how many components there are, and what those drawn separate, in sentences.

    `separated` and `shifts` are effect sizes: of groups of training patients along the components
    drawn, and of the test patients' error (no rows without test patients).
    """
    sentences = [retained_sentence(variance, drawn), separated_sentence(separated, drawn)]
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
            f" Not stable as single axes: {', '.join(unstable)} (overlap below {SAME_AXIS} with "
            "the matching components when patients are held out)."
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
    for (contrast, component), d, low, high in largest.itertuples():
        if d < 0:  # the sign of a component means nothing
            low, high = -high, -low
        size = interval_text(abs(d), low, high)
        contrasts.append(f"{contrast} most along {component}, {size}")
    return (
        f"Held-out training patients differ (largest absolute Cohen's d of the {drawn} drawn, "
        f"intervals not corrected for that; 0.8 is large): {join_first(contrasts, 4, '; ')}."
    )


def shift_sentence(shifts: pd.DataFrame) -> str:
    """Return whether test patients lie farther from the components than those of training."""
    of_error = shifts.xs(ERROR, level="component")
    if of_error.loc["test - train", "low"] > 0:
        farther = "farther from"
        meaning = "estimates from training may be optimistic"
    else:
        farther = "no farther from"
        meaning = "no sign that estimates from training are optimistic"
    sizes = [
        f"{contrast} {interval_text(d, low, high)}"
        for contrast, d, low, high in of_error.itertuples()
    ]
    return (
        f"Test patients lie {farther} the components than held-out training patients "
        f"(d of the reconstruction error: {'; '.join(sizes)}): {meaning}."
    )


def report_components(
    report: Report,
    numbers: dict[str, int],
    variance: pd.DataFrame,
    effects: pd.DataFrame,
    held_out_by: str,
) -> None:
    """Add how many components there are by each rule, their variance, and what they separate."""
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
    effects = effects.rename(index=lambda name: name if len(name) < 50 else f"{name[:48]}…")
    report.add_section("associations", "Cohen's d, with 95 % interval", effects, note)


def components_needed(cumulative: pd.Series) -> dict[float, int]:
    """Return how many components together hold each of `VARIANCE_RULES` of the variance."""
    return {share: int((cumulative < share).sum()) + 1 for share in VARIANCE_RULES}


def score_table(data: ExpressionData, scores: pd.DataFrame, held_out: pd.DataFrame) -> pd.DataFrame:
    """Return who each patient is, its error, its scores, and those of fits without it."""
    of_other_fits = held_out[scores.columns].add_suffix(" held out")
    columns = [data.y_all, data.subtypes, data.sample_set, held_out[ERROR], scores, of_other_fits]
    return pd.concat(columns, axis=1)


@command_line(parse_args)
def main(args: argparse.Namespace) -> None:
    data = load_data(args)
    permutations = args.permutations or PERMUTATIONS.for_patients(len(data.y_all))
    folds = args.folds or FOLDS.for_patients(len(data.y_all))
    report = start_report(
        args,
        data,
        "Principal components of gene expression",
        STAGES,
        permutations=permutations,
        folds=folds,
    )
    X = data.X_train
    steps = data.preprocessing.steps()
    n = len(X)
    fitted = components.fit_components(X, steps)
    title = f"Components of {n:,} training patients"
    rows = component_rows(fitted, data.gene_names)
    report.show_table(title, rows)

    variance = components.parallel_analysis(fitted, X, permutations, args.seed)
    retained = int(variance["retained"].sum())
    drawn = int(np.clip(retained, LEAST_DRAWN, MOST_DRAWN))
    kept = variance.index[: max(args.components, retained, drawn)]
    loadings = fitted.loadings[kept]
    scores = fitted.scores(data.X_all, retained)
    used_folds = min(folds, n)
    of_training, variance["overlap"] = components.held_out_scores(
        loadings, X, steps, retained=retained, folds=used_folds, seed=args.seed
    )
    # No fit saw the test patients
    held_out = pd.concat([of_training, scores.loc[data.X_test.index, of_training.columns]])

    separated = components.effect_sizes(held_out, components.contrasts_in_training(data))
    shifts = components.effect_sizes(held_out, components.contrasts_of_sets(data))
    of_drawn = separated[separated.index.isin(kept[:drawn], level="component")]
    of_error = shifts[shifts.index.isin([ERROR], level="component")]
    needed = components_needed(variance["cumulative"])

    report.add_figure("scree", figures.draw_scree(variance, needed, n))
    report.add_figure("pca_patients", figures.draw_planes(scores, fitted.ratio, data, drawn))
    if len(shifts):
        report.add_figure("train_vs_test", figures.draw_errors(held_out, fitted.ratio, data))
    report.add_figure("loadings", figures.draw_loadings(loadings.iloc[:, :drawn], data))

    sentences = in_short(variance, drawn, of_drawn, of_error)
    report.add_headline(title, rows[:drawn], sentences)
    numbers = {f"{share:.0%} of the variance": count for share, count in needed.items()}
    numbers["retained by parallel analysis"] = retained
    numbers["drawn"] = drawn
    held_out_by = "leave-one-out" if used_folds == n else f"{used_folds}-fold cross-validation"
    effects = pd.concat([of_drawn, of_error])
    report_components(report, numbers, variance.loc[kept], effects, held_out_by)
    report.add_table("explained_variance", variance)
    report.add_table("scores", score_table(data, scores[kept], held_out))
    report.add_table("loadings", loadings.assign(gene=data.gene_names))
    report.add_table("associations", pd.concat([separated, shifts]))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
