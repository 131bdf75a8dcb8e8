"""Write the results section of README.md from the headlines that the four scripts wrote.

    make readme        runs the scripts, then this

tests/test_readme.py fails when README.md says anything else than the scripts do.
"""

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("classifier_models", "explainability", "clustering_analysis", "pca_plot")
START, END = "<!-- results: written by `make readme` -->\n", "<!-- end of results -->\n"
FIGURES = (
    "classifier_models/patients",
    "classifier_models/monte_carlo_cv",
    "explainability/heatmap",
    "pca_plot/pca_patients",
)


def render(outputs: Path) -> str:
    """Return the results section, from the metrics below a folder of outputs."""
    sections = []
    for script in SCRIPTS:
        headline = json.loads((outputs / script / "metrics.json").read_text())["headline"]
        table = markdown_table(headline["rows"])
        sections.append(f"**{headline['title']}**\n\n{table}\n{' '.join(headline['in_short'])}\n")
    return "\n".join(sections)


def markdown_table(rows: list[dict]) -> str:
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *(row.values() for row in rows)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


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
        copy = ROOT / "docs/figures" / f"{Path(figure).name}.png"
        shutil.copyfile(outputs / f"{figure}.png", copy)
    return 0


if __name__ == "__main__":
    sys.exit(main())
