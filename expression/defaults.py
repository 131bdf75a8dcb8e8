"""What both the options and the analysis name: defaults, and choices."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = ROOT / "AML_ALL_data"
OUTPUT_DIR = ROOT / "outputs"
FIGURE_FORMATS = ("png", "pdf", "svg")
MIN_GENES = 10  # fewer are no expression profile, and leave a selection of genes nothing to take
MAX_GENES = 5_000  # of those that pass the filter, the most variable
# What values must be, and what they are called when they look otherwise, by --expression
SCALES = {
    "intensity": "array intensities",
    "log": "log2 values",
    "counts": "counts, CPM or TPM",
    "log-counts": "log2(x + 1) of counts, CPM or TPM",
}
