"""The house stays as it is drawn: imports go one way, and no room outgrows a reader."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {"classifier_models", "explainability", "clustering_analysis", "pca_plot"}
# From the ground up: a module imports only modules of floors below its own.
FLOORS = [
    {"files", "early", "intervals", "rendering"},
    {"sheets", "preprocessing", "parallel"},
    {"labels"},
    {"tables"},
    {"checks", "cohort"},
    {"data", "models", "clusters"},
    {"tuning", "selection", "agreement", "components", "style", "report"},
    {"evaluation", "genes", "options"},
]
COMPUTING = {"models", "tuning", "evaluation", "intervals", "selection", "genes"} | {
    *("clusters", "agreement", "components")
}
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


def test_every_module_has_its_floor():
    assert set.union(*FLOORS) == MODULES.keys() - {"__init__"}


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_imports_go_down_only(floor):
    at_or_above = set.union(*FLOORS[floor:])
    for name in FLOORS[floor]:
        assert not imported(MODULES[name]) & at_or_above, name


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_no_script_imports_a_script(script):
    assert not imported(ROOT / f"{script}.py") & SCRIPTS


@pytest.mark.parametrize("name", sorted(COMPUTING))
def test_computing_neither_draws_nor_reports_nor_parses(name):
    found = {module.split(".")[0] for module in imported(MODULES[name])}
    assert not found & {"matplotlib", "seaborn", "argparse", "report", "options", "style"}


@pytest.mark.parametrize("name", sorted(COMPUTING))
def test_args_end_in_main(name):
    tree = ast.parse(MODULES[name].read_text())
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert "args" not in arguments


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_one_skeleton_in_all_scripts(script):
    """parse_args, then what computes, then what draws, then what reports, then main."""
    tree = ast.parse((ROOT / f"{script}.py").read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert names[0] == "parse_args"
    assert names[-1] == "main"
    kinds = [name.split("_")[0] for name in names[1:-1]]
    order = [0 if kind not in ("draw", "report") else 1 + (kind == "report") for kind in kinds]
    assert order == sorted(order), names
    taking_args = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and "args" in [a.arg for a in node.args.args]
    ]
    assert taking_args == ["main"]


def test_no_file_outgrows_a_reader():
    sizes = {path.name: len(path.read_text().splitlines()) for path in MODULES.values()}
    sizes |= {f"{s}.py": len((ROOT / f"{s}.py").read_text().splitlines()) for s in SCRIPTS}
    assert {name: size for name, size in sizes.items() if size >= 300} == {}
