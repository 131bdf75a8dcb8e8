"""Put what the four scripts found onto one page: the three questions and their answers.

    python docs/summary.py [--output-dir DIR] [--readme]

`make run` ends with it and leaves outputs/summary.md. `make readme` makes the same page the results
section of README.md, with all figures in docs/figures; tests/test_readme.py holds README.md to it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- results: written by `make readme` -->\n", "<!-- end of results -->\n"
SENTENCES = 6  # of a script's answer in short
QUESTIONS = {
    "Q1: Can gene expression tell the classes apart, and how sure are we?": ["classifier_models"],
    "Q2: Which genes decide, and how surely those genes?": ["explainability"],
    "Q3: What shows up without labels?": ["clustering_analysis", "pca_plot"],
}
BEST = ("patients", "heatmap", "clusters", "pca_patients")  # the figure that answers best
SCRIPTS = [script for scripts in QUESTIONS.values() for script in scripts]


def render(outputs: Path, in_readme: bool = False) -> str:
    """Return the page in Markdown, with links from the outputs or from README.md."""
    parts = []
    for question, scripts in QUESTIONS.items():
        parts.append(f"### {question}")
        for script in scripts:
            record = outputs / script / "metrics.json"
            if record.exists():
                parts += render_answer(json.loads(record.read_text("utf-8")), in_readme)
            else:
                parts.append(f"Not answered yet: `{script}.py` has not been run.")
    return "\n\n".join(parts) + "\n"


def render_answer(record: dict, in_readme: bool) -> list[str]:
    """Return the paragraphs of one script: its answer, its best figure, its table, links.

    README.md needs no links: its table of scripts names all files, and the gallery shows them.
    """
    headline, script = record["headline"], record["script"].removesuffix(".py")
    folder = "docs/figures" if in_readme else script
    parts = []
    if record["options"].get("quick"):
        parts.append(
            "**A quick run: intervals are wide.** Run it without `--quick` for these numbers."
        )
    parts += ["\n".join(f"- {sentence}" for sentence in headline["in_short"][:SENTENCES])]
    for file in record["files"]:
        if Path(file).stem in BEST and not file.endswith(".csv"):
            parts.append(f"![{Path(file).stem}, see docs/gallery.md]({folder}/{file})")
    parts.append(markdown_table(headline["rows"]))
    if not in_readme:
        links = ", ".join(f"[{file}]({folder}/{file})" for file in record["files"])
        parts.append(f"All of `{script}.py`: {links}.")
    return parts


def markdown_table(rows: list[dict]) -> str:
    """Return a table of finished cells."""
    if not rows:
        return "none"
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    cells = ([str(cell).replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def split_readme(text: str) -> tuple[str, str, str]:
    """Return what stands before, in and after the results section."""
    before, section_and_after = text.split(START)
    section, after = section_and_after.split(END)
    return before, section, after


def write_readme(outputs: Path) -> None:
    """Replace the results section of README.md, and the figures in docs/figures."""
    drawn = [
        outputs / script / file
        for script in SCRIPTS
        for file in json.loads((outputs / script / "metrics.json").read_text("utf-8"))["files"]
        if file.endswith(".png")
    ]
    readme, figures = ROOT / "README.md", ROOT / "docs/figures"
    before, _, after = split_readme(readme.read_text("utf-8"))
    readme.write_text(f"{before}{START}{render(outputs, in_readme=True)}{END}{after}", "utf-8")
    for figure in figures.glob("*.png"):
        figure.unlink()
    for figure in drawn:
        shutil.copy(figure, figures)


def main(argv: list[str] | None = None) -> int:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    about = "where the scripts wrote their outputs (default: outputs beside the scripts)"
    parser.add_argument("--output-dir", type=Path, default=ROOT / "outputs", help=about)
    parser.add_argument("--readme", action="store_true", help="write README.md, too")
    args = parser.parse_args(argv)
    if not args.output_dir.is_dir():
        parser.error(f"--output-dir: must be a folder - {args.output_dir}; run a script first")
    for script, name in zip(SCRIPTS, BEST, strict=True):
        if args.readme and not (figure := args.output_dir / script / f"{name}.png").is_file():
            parser.error(f"--readme: all four scripts must have run - no {figure}; make run")
    page = args.output_dir / "summary.md"
    page.write_text(f"# What the four scripts found\n\n{render(args.output_dir)}", "utf-8")
    print(f"Written to {page}")
    if args.readme:
        write_readme(args.output_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
