"""How long do the four scripts take, how much memory, and how does that grow with the data?

    make benchmark                                        full size: an hour on two cores
    make benchmark SIZES="150x3000 300x3000 300x6000"     less

Runs each script with its defaults on the shipped data and on simulated cohorts of patients x genes,
in the published layout, made on the fly. Writes RESULTS.md and scaling.png after each cohort.
Compare numbers of one run only: they hang on the machine and on what else it does.
"""

import argparse
import itertools
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from expression.analysis import models, tuning
from expression.reading import load
from expression.running import style

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ["classifier_models", "explainability", "clustering_analysis", "pca_plot"]
SIZES = ["300x20000", "600x10000", "600x20000", "1100x20000", "2096x54675"]
PLANTED = 40  # genes that differ between the classes, and as many between the subtypes of ALL
TURNS = 3  # of what is timed, as the first reads from the disk and imports
SHIFT = 2.0  # of a planted gene, in log2
LOADERS = {
    "load_expression_data": "expression.reading.load.load_expression_data(sys.argv[1])",
    "pandas.read_csv": "[pandas.read_csv(path) for path in sys.argv[2:]]",
}
LOADING = """
import sys, time
from pathlib import Path
import pandas, expression.reading.load

def peak():  # kiB, of Linux; getrusage would tell that of the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

start, before = time.process_time(), peak()
{}
print(time.process_time() - start, peak() - before)
"""


def simulate_cohort(folder: Path, patients: int, genes: int, seed: int) -> list[str]:
    """Write a cohort in the published layout; return the names of the genes that tell the classes.

    Intensities are powers of 2: a level of each gene, noise, heavier for some genes, two batches
    that shift a tenth of the genes, and the planted genes. A third of the patients is AML, and of
    ALL a third is T-cell. Seven in ten patients train.
    """
    rng = np.random.default_rng(seed)
    subtype = rng.permutation(np.arange(patients) % 9)  # 0-2 AML, 3-4 T-cell, 5-8 B-cell ALL
    subtype = np.select([subtype < 3, subtype < 5], ["AML", "T-cell ALL"], "B-cell ALL")
    X = rng.normal(9, 1.5, genes) + rng.normal(0, 0.3 + rng.gamma(2, 0.2, genes), (patients, genes))
    planted, other = np.split(rng.choice(genes, 2 * PLANTED, replace=False), 2)
    X[np.ix_(subtype == "AML", planted)] += SHIFT
    X[np.ix_(subtype == "T-cell ALL", other)] += SHIFT
    shifted = rng.random(genes) < 0.1
    X[::2, shifted] += rng.normal(0, 0.7, shifted.sum())
    names = np.array([f"G{number:05d}_at" for number in range(genes)])
    values = np.rint(np.exp2(X)).clip(max=65_535).astype(int).T  # where a scanner saturates
    table = pd.DataFrame(values, columns=np.arange(1, patients + 1).astype(str))
    table.insert(0, "Gene Accession Number", names)
    table.insert(0, "Gene Description", [f"gene {number}" for number in range(genes)])
    train = round(0.7 * patients)
    table.iloc[:, : 2 + train].to_csv(folder / load.TRAIN_FILE, index=False)
    test = [0, 1, *range(2 + train, 2 + patients)]
    table.iloc[:, test].to_csv(folder / load.TEST_FILE, index=False)
    labels = pd.DataFrame({"patient": table.columns[2:], "subtype": subtype})
    labels.to_csv(folder / load.SUBTYPES_FILE, index=False)
    labels["cancer"] = np.where(subtype == "AML", "AML", "ALL")
    labels[["patient", "cancer"]].to_csv(folder / load.LABELS_FILE, index=False)
    return names[planted].tolist()


def measure(command: list, limit: float) -> tuple[float, float, float]:
    """Return wall and processor seconds and peak MiB of a command and all its processes.

    The memory they share counts once on Linux. NaN when the command takes longer than the limit.
    """
    start, before, peak = time.perf_counter(), ended_processes_seconds(), 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        memory = 0
        for part in [process, *process.children(recursive=True)]:
            try:
                info = part.memory_full_info()
            except psutil.Error:  # it has just ended
                continue
            memory += getattr(info, "pss", info.rss)
        peak = max(peak, memory)
        if time.perf_counter() - start > limit:
            for part in [*process.children(recursive=True), process]:
                with suppress(psutil.Error):  # it has just ended
                    part.kill()
            process.wait()
            return np.nan, np.nan, peak / 2**20
        with suppress(psutil.TimeoutExpired):  # to ask more often would slow the command down
            process.wait(1)
    if process.returncode:
        sys.exit(f"error: {command[1]}: must succeed - status {process.returncode}; run it by hand")
    wall, cpu = time.perf_counter() - start, ended_processes_seconds() - before
    return wall, cpu, peak / 2**20


def ended_processes_seconds() -> float:
    """Return the processor seconds of all processes that were started from here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_scripts(name: str, folder: Path, jobs: int, limit: float, planted: list) -> list[dict]:
    """Return a row a script: what it takes on the cohort of a folder, and the genes it finds."""
    cohort = load.load_expression_data(folder)
    size = {"cohort": name, "patients": len(cohort.y_all), "genes": cohort.X_train.shape[1]}
    rows = []
    for script in SCRIPTS:
        with tempfile.TemporaryDirectory() as outputs:
            options = ["--data-dir", folder, "--output-dir", outputs, "--jobs", str(jobs)]
            command = [sys.executable, ROOT / f"{script}.py", *options, "--quiet"]
            wall, cpu, memory = measure(list(map(str, command)), limit)
            row = {**size, "script": script, "wall s": wall, "cpu s": cpu, "peak MiB": memory}
            genes = Path(outputs) / script / "genes.csv"
            if genes.exists() and planted:
                table = pd.read_csv(genes, index_col=0)
                selected = set(table.index[table["selected"]])
                found = len(selected & set(planted))
                row["planted genes"] = f"{found} of {len(planted)}, {len(selected) - found} others"
        print(row, flush=True)
        rows.append(row)
    return rows


def measure_loading(name: str, folder: Path) -> dict:
    """Return processor seconds and peak MiB of loading a cohort, beyond imports, beside pandas:
    the best of three turns."""
    row, files = {"cohort": name}, [folder, folder / load.TRAIN_FILE, folder / load.TEST_FILE]
    for loader, code in LOADERS.items():
        command = [sys.executable, "-c", LOADING.format(code), *files]
        turns = [subprocess.check_output(command, text=True).split() for _ in range(TURNS)]
        seconds, kibibytes = np.array(turns, dtype=float).min(axis=0)
        row[f"{loader} s"], row[f"{loader} MiB"] = seconds, kibibytes / 2**10
    return row


def compare_tuning() -> pd.DataFrame:
    """Return the processor seconds of tuning and fitting the models on the shipped data, a row a
    way to write it (the best of three turns), and of which models the predictions are ours.

    The logistic regression's are not: here it is fitted to the optimum.
    """
    cohort = load.load_expression_data()
    X = cohort.X_train
    y = cohort.y_train.cat.codes.to_numpy()
    built = models.build_models(cohort.preprocessing, 0)
    ours = {name: built[name] for name in models.classifier_names()}
    ways = {
        "as every fold is tuned here": lambda: tuning.tune_and_fit(ours, X.to_numpy(), y),
        "GridSearchCV on arrays": lambda: search_grids(ours, X.to_numpy(), y),
        "GridSearchCV on a data frame": lambda: search_grids(ours, X, y),
    }
    fitted = {}
    seconds = dict.fromkeys(ways, np.inf)
    with threadpool_limits(1):
        for way, tune in itertools.chain(*[ways.items()] * TURNS):
            start = time.process_time()
            fitted[way] = tune()
            seconds[way] = min(seconds[way], time.process_time() - start)

    here = next(iter(ways))
    P = tuning.predict(fitted.pop(here), cohort.X_test, cohort.classes)
    rows = [{"way": here, "processor s": seconds[here], "ours / this": 1.0}]
    for way, pipelines in fitted.items():
        same = [n for n in ours if np.allclose(P[n], predict_plainly(pipelines[n], cohort))]
        rows.append(
            {
                "way": way,
                "processor s": seconds[way],
                "ours / this": seconds[here] / seconds[way],
                "same predictions": ", ".join(same),
            }
        )
    return pd.DataFrame(rows)


def search_grids(unfitted: dict, X, y) -> dict:
    """Return the classifiers tuned and fitted as scikit-learn's own examples do it."""
    fitted = {}
    for name, own in unfitted.items():
        preprocessing = own.preprocessing.steps_to(own.model.values)
        pipeline = Pipeline([*preprocessing, *own.steps().steps])
        if name == "Logistic Regression":
            pipeline.set_params(model=LogisticRegression(max_iter=1_000))
        search = GridSearchCV(
            clone(pipeline).set_params(**(own.model.search or {})),
            own.model.grid or {},
            scoring="neg_brier_score",
            cv=StratifiedKFold(tuning.INNER_FOLDS, shuffle=True, random_state=own.seed),
            refit=False,
        )
        best = search.fit(X, y).best_params_
        fitted[name] = pipeline.set_params(**best).fit(X, y)
    return fitted


def predict_plainly(pipeline: Pipeline, cohort) -> np.ndarray:
    """Return the probabilities of the test patients under a pipeline fitted on arrays or frames."""
    named = hasattr(pipeline, "feature_names_in_")
    X = cohort.X_test if named else cohort.X_test.to_numpy()
    return pipeline.predict_proba(X)[:, 1]


def compare_jobs(alone: list[dict], rows: list[dict], jobs: int) -> pd.DataFrame:
    """Return wall seconds of each script with one and with several processes (1: no loss)."""
    one, many = (pd.DataFrame(runs).set_index("script")["wall s"] for runs in (alone, rows))
    table = pd.DataFrame({"1 process": one, f"{jobs} processes": many})
    return table.assign(efficiency=one / many / jobs).reset_index()


def growth_exponents(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a and b of processor seconds ~ patients^a genes^b, a row a script, least squares; NaN
    for so few cohorts that any exponents would fit them."""
    rows = {}
    for script, table in runs.dropna(subset="cpu s").groupby("script", sort=False):
        A = np.column_stack([np.log(table[["patients", "genes"]]), np.ones(len(table))])
        (a, b, _), _, rank, _ = np.linalg.lstsq(A, np.log(table["cpu s"]), rcond=None)
        rows[script] = [a, b] if rank == 3 and len(table) > 3 else [np.nan, np.nan]
    return pd.DataFrame(rows, ["patients", "genes"]).T.rename_axis("script").reset_index()


def write_results(folder: Path, tables: dict[str, pd.DataFrame], runs: pd.DataFrame, jobs: int):
    """Write RESULTS.md, and the figure of processor time over the size of the cohort."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    lines = [
        "# What `make benchmark` measured\n",
        f"{cores} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()};"
        f" {jobs} processes. Times in seconds. Planted genes: of those that differ between the "
        "classes; others may be those of a subtype, which differ, too.",
        "\n![Processor time by size](scaling.png)",
    ]
    for title, table in tables.items():
        cells = table.to_csv(sep="|", index=False, float_format="%.3g").strip().split("\n")
        rule = "|".join(["---"] * table.shape[1])
        rows = "\n".join(f"|{row}|" for row in (cells[0], rule, *cells[1:]))
        lines.append(f"\n## {title}\n\n{rows}")
    (folder / "RESULTS.md").write_text("\n".join(lines) + "\n", "utf-8")
    with style.theme():
        figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH / 1.5, 3))
        for script, look in style.series_styles(SCRIPTS).items():
            table = runs[runs["script"] == script]
            cells = table["patients"] * table["genes"]
            ax.loglog(
                cells / 1e6,
                table["cpu s"],
                label=f"{script}.py",
                color=look["color"],
                marker=look["marker"],
                linestyle="",
            )
        ax.set(xlabel="patients x genes, millions", ylabel="processor seconds")
        ax.set(title=f"Processor time of each script, {runs['cohort'].nunique()} cohorts")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:,g}")
            axis.set_minor_formatter("")
        figure.legend(loc="outside lower center", ncols=2)
        figure.savefig(folder / "scaling.png", metadata={"Software": None})


def main() -> int:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    about = f"patients x genes of the simulated cohorts (default: {' '.join(SIZES)})"
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="NxP", help=about)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--limit", type=float, default=60, help="minutes a script (default: 60)")
    parser.add_argument("--output-dir", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    if not Path("/proc/self/status").exists():
        parser.error("must run on Linux, whose /proc tells the peak of memory")

    limit = 60 * args.limit
    rows = run_scripts("shipped", load.DATA_DIR, args.jobs, limit, [])
    alone = run_scripts("shipped", load.DATA_DIR, 1, limit, [])
    loading = []  # of the shipped data it takes too short a moment
    tables = {
        "Tuning the models on the shipped data": compare_tuning(),
        "Efficiency on the shipped data, wall seconds": compare_jobs(alone, rows, args.jobs),
    }
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            patients, genes = map(int, size.split("x"))
            planted = simulate_cohort(Path(folder), patients, genes, seed=0)
            rows += run_scripts(size, Path(folder), args.jobs, limit, planted)
            loading.append(measure_loading(size, Path(folder)))
        runs = pd.DataFrame(rows)
        measured = {
            "The four scripts": runs,
            "Growth: processor time ~ patients^a genes^b": growth_exponents(runs),
            "Loading, beside pandas' C reader": pd.DataFrame(loading),
        }
        write_results(args.output_dir, measured | tables, runs, args.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
