"""Write the results section of README.md from the metrics the four scripts wrote.

    make readme        runs the scripts, then this

tests/test_readme.py fails when README.md says anything else than the scripts do.
"""

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- results: written by `make readme` -->\n", "<!-- end of results -->\n"
FIGURES = (
    "classifier_models/patients",
    "classifier_models/resplits",
    "explainability/heatmap",
    "pca_plot/pca_patients",
)


def read_results(outputs: Path, script: str) -> dict:
    """Return the results of a script, as metrics.json holds them."""
    return json.loads((outputs / script / "metrics.json").read_text())["results"]


def render(outputs: Path) -> str:
    """Return the results section, from the metrics below a folder of outputs."""
    sections = (
        render_models(read_results(outputs, "classifier_models")),
        render_genes(read_results(outputs, "explainability")),
        render_clusters(read_results(outputs, "clustering_analysis")),
        render_components(read_results(outputs, "pca_plot")),
    )
    return "\n".join(sections)


def markdown_table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def interval(row: dict, key: str, digits: int = 2) -> str:
    value = f"{row[key]:.{digits}f}"
    if row["lower"] is None:  # all splits gave the same
        return value
    return f"{value} ({row['lower']:.{digits}f}–{row['upper']:.{digits}f})"


def render_models(results: dict) -> str:
    def find(section, model, measure=None):
        rows = (row for row in results[section] if row["model"] == model)
        return next(row for row in rows if measure in (None, row.get("measure")))

    rows = []
    for call in results["calls"]:
        model = call["model"]
        rows.append(
            [
                model,
                call["right"],
                interval(find("test", model, "accuracy"), "estimate"),
                interval(find("test", model, "ROC AUC"), "estimate", 3),
                interval(find("test", model, "Brier score"), "estimate"),
                interval(find("nested_cv", model, "balanced accuracy"), "mean"),
                interval(find("resplits", model), "mean"),
            ]
        )
    header = ["model", "right", "accuracy", "ROC AUC", "Brier score"]
    header += ["balanced accuracy, nested CV on the 38", "accuracy, re-splits of the 72"]
    pairs = [row for row in results["pairs"] if "Majority class" not in row["models"]]
    smallest_p = min(row["p"] for row in pairs)
    single = ", ".join(f"{row['gene']} {row['right']}" for row in results["splitting_genes"])
    suspicious = ", ".join(str(row["patient"]) for row in results["suspicious"])
    return (
        "**Q1, the 34 test patients** (95 % intervals in brackets):\n\n"
        + markdown_table(header, rows)
        + "\nAccuracy on these patients tells no two of them apart, the majority class aside: the "
        f"smallest p is {smallest_p:.2f} (McNemar's exact test, not corrected for the number of "
        "pairs). Genes that alone split the training patients without a mistake, and the test "
        f"patients each calls right: {single}. Missed in more than half of the re-splits that held "
        f"them out, on average over the four models: patients {suspicious}.\n"
    )


def render_genes(results: dict) -> str:
    consensus = results["consensus"]
    rows = [
        [
            row["gene"],
            row["accession"],
            row["higher_in"],
            f"{row['frequency']:.0%}",
            "yes" if row["consensus"] else "",
            f"{row['auc']:.2f}",
            f"{row['test_auc']:.2f}",
            "yes" if row["literature"] else "",
        ]
        for row in results["leading_genes"]
        if row["frequency"] > consensus["highest frequency by chance"]
    ]
    header = ["gene", "accession", "higher in", "frequency", "consensus"]
    header += ["AUC, training", "AUC, test", "in the paper's 50"]
    stability = ", ".join(f"{row['index']} {row['stability']:.2f}" for row in results["stability"])
    return (
        "**Q2, the genes that consistently tell the classes apart**, with the models refitted on "
        "halves of the training patients. Among the first 20 genes in at least half of the halves: "
        f"{consensus['genes']}, and with permuted labels {consensus['genes by chance']:.1f} on "
        "average. More frequent than any gene with permuted labels (at most "
        f"{consensus['highest frequency by chance']:.0%}):\n\n"
        + markdown_table(header, rows)
        + f"\nNogueira's stability of the first 20 genes: {stability} (below 0.4 is poor).\n"
    )


def render_clusters(results: dict) -> str:
    rows = [
        [
            row["cohort"],
            row["method"],
            f"{row['purity']:.3f}",
            f"{row['majority class']:.3f}",
            f"{row['ARI']:.3f}",
            f"{row['AMI']:.3f}",
        ]
        for row in results["agreement_class"]
    ]
    header = ["patients", "method", "purity", "majority class", "ARI", "AMI"]
    return "**Q3, two clusters found without labels**:\n\n" + markdown_table(header, rows)


def render_components(results: dict) -> str:
    sizes = results["dimensions"]
    counts = [f"{sizes[f'for {share}%']} for {share} %" for share in (80, 90, 95)]
    return (
        f"**PCA of the training patients**: {', '.join(counts)} of the variance; {sizes['real']} "
        f"components exceed permuted genes; {sizes['to draw']} are worth drawing.\n"
    )


def split_readme(text: str) -> tuple[str, str, str]:
    """Return what stands before, in and after the results section."""
    before, rest = text.split(START)
    section, after = rest.split(END)
    return before, section, after


def main() -> int:
    outputs, readme = ROOT / "outputs", ROOT / "README.md"
    before, _, after = split_readme(readme.read_text())
    readme.write_text(f"{before}{START}{render(outputs)}{END}{after}")
    for figure in FIGURES:
        shutil.copyfile(
            outputs / f"{figure}.png", ROOT / "docs/figures" / f"{Path(figure).name}.png"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
