"""How long do the four scripts take, and how much memory do they need?

Runs each script with its defaults on the shipped data, as a user does, into a temporary folder,
and prints wall time, processor time and the peak memory of its largest process. The aims are 90,
60, 60 and 20 seconds of wall time on 2 cores.

    python benchmarks/measure_scripts.py [--jobs N] [SCRIPT ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ["classifier_models", "explainability", "clustering_analysis", "pca_plot"]


def measure(command: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and peak memory in MiB (on Linux) of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # counts the finished worker processes in
    if status:
        sys.exit(f"error: {command[1]}: must succeed - its status is {status}; run it by hand")
    wall = time.perf_counter() - start
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="default: all four")
    parser.add_argument("--jobs", default=str(os.cpu_count()))
    args = parser.parse_args()
    print(f"{'script':<22}{'wall s':>8}{'cpu s':>8}{'MiB':>8}   ({args.jobs} jobs)")
    for script in args.scripts or SCRIPTS:
        with tempfile.TemporaryDirectory() as folder:
            options = ["--output-dir", folder, "--jobs", args.jobs, "--quiet"]
            command = [sys.executable, str(ROOT / f"{script}.py"), *options]
            wall, cpu, memory = measure(command)
        print(f"{script:<22}{wall:>8.1f}{cpu:>8.1f}{memory:>8.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
