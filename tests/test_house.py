"""The house stays as it is drawn: imports go one way, and no room outgrows a reader."""

import ast
from pathlib import Path

import pytest

from summary import ROOT, SCRIPTS

# From the ground up: a module imports only modules of floors below its own.
FLOORS = [
    {"defaults", "early", "intervals", "rendering"},
    {"files", "options"},
    {"sheets", "preprocessing", "parallel"},
    {"labels"},
    {"tables"},
    {"checks", "cohort"},
    {"data", "models", "clusters"},
    {"tuning", "agreement", "components", "style", "report"},
    {"selection", "evaluation", "command"},
    {"genes"},
]
COMPUTING = {"models", "tuning", "evaluation", "intervals", "selection", "genes"} | {
    *("clusters", "agreement", "components")
}
AROUND = {"matplotlib", "seaborn", "argparse", "report", "options", "command", "style"}
MODULES = {path.stem: path for path in (ROOT / "expression").glob("*.py")}


def imported(path: Path) -> set[str]:
    """Return everything a file imports, modules of the package by their own name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            inside = node.module == "expression"
            names |= {alias.name for alias in node.names} if inside else {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("expression.") for name in names}


def test_imports_go_down_only():
    assert set.union(*FLOORS) == MODULES.keys() - {"__init__"}
    for floor, names in enumerate(FLOORS):
        at_or_above = set.union(*FLOORS[floor:])
        for name in names:
            assert not imported(MODULES[name]) & at_or_above, name


@pytest.mark.parametrize("name", sorted(COMPUTING))
def test_computing_neither_draws_nor_reports_nor_parses(name):
    found = {module.split(".")[0] for module in imported(MODULES[name])}
    assert not found & AROUND
    nodes = ast.walk(ast.parse(MODULES[name].read_text()))
    assert "args" not in {node.arg for node in nodes if isinstance(node, ast.arg)}


@pytest.mark.parametrize("script", SCRIPTS)
def test_one_skeleton_in_all_scripts(script):
    """parse_args, then what computes, then what draws, then what reports, then main."""
    assert not imported(ROOT / f"{script}.py") & set(SCRIPTS)
    tree = ast.parse((ROOT / f"{script}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names = [node.name for node in functions]
    assert (names[0], names[-1]) == ("parse_args", "main")
    kinds = [name.split("_")[0] for name in names[1:-1]]
    order = [1 + (kind == "report") if kind in ("draw", "report") else 0 for kind in kinds]
    assert order == sorted(order), names
    taking_args = [node.name for node in functions if "args" in [a.arg for a in node.args.args]]
    assert taking_args == ["main"]


def test_no_file_outgrows_a_reader():
    paths = [*MODULES.values(), *(ROOT / f"{script}.py" for script in SCRIPTS)]
    sizes = {path.name: len(path.read_text().splitlines()) for path in paths}
    assert {name: size for name, size in sizes.items() if size >= 300} == {}
