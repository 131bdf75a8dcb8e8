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
DRAWN = (2, 3)  # components, at least and at most
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
    for component, ratio in fitted.ratio[: DRAWN[1]].items():
        top = fitted.loadings[component].abs().nlargest(3).index
        genes = ", ".join(style.shorten(name, 24) for name in gene_names[top])
        cells = {"variance": f"{ratio:.1%}", "genes of largest loading": genes}
        rows.append({"component": component} | cells)
    return rows


def summarise(
    variance: pd.DataFrame, drawn: int, separated: pd.DataFrame, shifts: pd.DataFrame
) -> list[str]:
    """Return how many components there are, and what those drawn separate, in sentences."""
    retained = int(variance["retained"].sum())
    share, plural = variance["ratio"][:retained].sum(), "s" * (retained != 1)
    largest = separated.loc[separated["d"].abs().groupby("contrast", sort=False).idxmax()]
    found = []
    for (contrast, component), d, *ends in largest.itertuples():
        ends = sorted(np.sign(d) * np.array(ends))  # the sign of a component means nothing
        found.append(f"{contrast} most along {component}, {interval_text(abs(d), *ends)}")
    unsure = variance.index[variance["retained"] & (variance["overlap"] < SAME_AXIS)]
    unlike = (
        f" Not stable as single axes: {', '.join(unsure)} (overlap below {SAME_AXIS} with the "
        "matching components when patients are held out)."
    )
    sentences = [
        f"Parallel analysis against permuted genes retains {retained} component{plural}, with "
        f"{share:.0%} of the variance.{unlike if len(unsure) else ''} Drawn are those retained, at "
        f"least {DRAWN[0]} and at most {DRAWN[1]}: here {drawn}.",
        f"Held-out training patients differ (largest absolute Cohen's d of the {drawn} drawn, "
        f"intervals not corrected for that; 0.8 is large): {join_first(found, 4, '; ')}.",
    ]
    if len(shifts):
        of_error = shifts.xs(ERROR, level="component")
        d, *ends = of_error.loc["test - train"]
        rows = (f"{name} {interval_text(*row)}" for name, *row in of_error.itertuples())
        farther, meaning = "no farther from", "no sign that estimates from training are optimistic"
        if ends[0] > 0:
            farther, meaning = "farther from", "estimates from training may be optimistic"
        sentences.append(
            f"Test patients lie {farther} the components than held-out training patients "
            f"(d of the reconstruction error: {'; '.join(rows)}): {meaning}."
        )
    return [
        *sentences,
        "Genes vary together for any cause: a component can be a laboratory as well as a disease.",
    ]


def report_components(
    report: Report, numbers: dict[str, int], variance: pd.DataFrame, effects: pd.DataFrame, how: str
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
    note = f"Of held-out training patients ({how}); noncentral t intervals, for normal values."
    effects = effects.rename(index=lambda name: name if len(name) < 50 else f"{name[:48]}…")
    report.add_section("associations", "Cohen's d, with 95 % interval", effects, note)


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
    X, steps, n = data.X_train, data.preprocessing.steps(), len(data.X_train)
    fitted = components.fit_components(X, steps)
    title = f"Components of {n:,} training patients"
    rows = component_rows(fitted, data.gene_names)
    report.show_table(title, rows)

    variance = components.parallel_analysis(fitted, X, permutations, args.seed)
    retained = int(variance["retained"].sum())
    folds = min(folds, n)
    drawn = int(np.clip(retained, *DRAWN))
    kept = variance.index[: max(args.components, retained, drawn)]
    loadings, scores = fitted.loadings[kept], fitted.scores(data.X_all, retained)
    held_out, variance["overlap"] = components.held_out_scores(
        loadings, X, steps, retained, folds, args.seed
    )
    held_out = pd.concat([held_out, scores.loc[data.X_test.index, held_out.columns]])
    contrasts = components.contrasts(data)
    separated, shifts = (components.effect_sizes(held_out, compared) for compared in contrasts)
    of_drawn = separated[separated.index.isin(kept[:drawn], level="component")]
    of_error = shifts[shifts.index.isin([ERROR], level="component")]
    needed = {share: int((variance["cumulative"] < share).sum()) + 1 for share in VARIANCE_RULES}

    report.add_figure("scree", figures.draw_scree(variance, needed, n))
    names = {name: f"{name} ({ratio:.1%} of the variance)" for name, ratio in fitted.ratio.items()}
    planes = [scores[[x, "PC2"]].rename(columns=names) for x in ("PC1", "PC3")[: drawn - 1]]
    about = f"{len(scores):,} patients on the components of the {n:,} training patients"
    report.add_figure("pca_patients", figures.draw_patients(planes, data, about))
    if len(shifts):
        tests = f"{len(data.X_test):,} test patients"
        about = f"{tests} beside {n:,} held-out training patients: {ERROR}"
        plane = held_out[["PC1", ERROR]].rename(columns=names | {ERROR: f"{ERROR} (array SD)"})
        report.add_figure("train_vs_test", figures.draw_patients([plane], data, about))
    report.add_figure("loadings", figures.draw_loadings(loadings.iloc[:, :drawn], data))

    report.add_headline(title, rows[:drawn], summarise(variance, drawn, of_drawn, of_error))
    numbers = {f"{share:.0%} of the variance": count for share, count in needed.items()}
    numbers |= {"retained by parallel analysis": retained, "drawn": drawn}
    how = "leave-one-out" if folds == n else f"{folds}-fold cross-validation"
    effects = pd.concat([of_drawn, of_error])
    report_components(report, numbers, variance.loc[kept], effects, how)
    report.add_table("explained_variance", variance)
    columns = [data.y_all, data.subtypes, data.sample_set, held_out[ERROR], scores[kept]]
    columns += [held_out[kept].add_suffix(" held out")]
    report.add_table("scores", pd.concat(columns, axis=1))
    report.add_table("loadings", loadings.assign(gene=data.gene_names))
    report.add_table("associations", pd.concat([separated, shifts]))
    report.write()


if __name__ == "__main__":
    sys.exit(main())
