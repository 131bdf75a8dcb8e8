"""The house stays as it is drawn: three wings under one roof, and imports go one way."""

import ast
from pathlib import Path

import pytest

from summary import ROOT, SCRIPTS

PACKAGE = ROOT / "expression"
# From the ground up: a place imports its own kind and what lies on floors below it. The wings of
# one floor know nothing of each other.
FLOORS = [
    {"errors"},
    {"preprocessing", "parallel"},
    {"data"},
    {"reading", "analysis"},
    {"running"},
    {"figures"},
]
DRAWING_OR_RUNNING = {"matplotlib", "seaborn", "argparse", "expression.running"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def imports(path: Path) -> set[str]:
    """Return all that a file imports, by its full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def place_of(path: Path) -> str:
    """Return the wing of a module, or its own name where it stands in none."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_place_is_on_a_floor():
    assert {place_of(path) for path in MODULES} <= set.union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    place = place_of(path)
    [floor] = [number for number, places in enumerate(FLOORS) if place in places]
    allowed = set.union({place}, *FLOORS[:floor])
    inside = {name.split(".")[1] for name in imports(path) if name.startswith("expression.")}
    assert inside <= allowed


@pytest.mark.parametrize("wing", ["reading", "analysis"])
def test_what_reads_or_computes_neither_draws_nor_reports_nor_parses(wing):
    for path in (PACKAGE / wing).glob("*.py"):
        for name in imports(path):
            assert not any(f"{name}.".startswith(f"{other}.") for other in DRAWING_OR_RUNNING), path
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        assert "args" not in {node.arg for node in nodes if isinstance(node, ast.arg)}, path


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_needs_another_and_args_end_in_main(script):
    path = ROOT / f"{script}.py"
    assert not {name.split(".")[0] for name in imports(path)} & set(SCRIPTS)
    functions = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert functions[-1].name == "main"
    taking_args = [node.name for node in functions if "args" in [a.arg for a in node.args.args]]
    assert taking_args == ["main"]
