"""Run a script in this process, on data that are loaded already; shared by tests."""

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from expression.running.report import Report


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(script, data, folder: Path, *options, figures=False) -> dict[str, bytes]:
    """Return the files a script writes; without `figures` these are named, but not drawn."""
    argv = ["--quiet", "--jobs", "1", *options, "--output-dir", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "load_data", lambda args: data)
        if not figures:
            patch.setattr(Report, "add_figure", name_figure)
            for name in list(vars(script.figures)):
                if name.startswith("draw_") and name != "draw_trees":  # which names them
                    patch.setattr(script.figures, name, lambda *given, **named: None)
        assert script.main(argv) == 0
    return contents(folder / script.__name__)


def name_figure(report, name, figure):
    report.files[f"{name}.png"] = b""


def stated_default(script, option: str, capsys) -> float:
    """Return the default of an option that --help states, and that the option has."""
    with pytest.raises(SystemExit):
        script.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    stated = re.search(rf" {option} [A-Z] [^(]*\(default: ([\d,]+)", text)[1].replace(",", "")
    value = getattr(script.parse_args([]), option.removeprefix("--").replace("-", "_"))
    assert value in (None, float(stated))  # None: it depends on the number of patients
    return float(stated)


def record(files: dict[str, bytes]) -> dict:
    return json.loads(files["metrics.json"])


def table(files: dict[str, bytes], name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(files[f"{name}.csv"]), index_col=0)
