"""How long things may be, so that they stay readable; and the one signature that flags would creep into."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "milestones"
FILES = sorted(PACKAGE.rglob("*.py"))
PAGES = [file for file in sorted((PACKAGE / "systems").glob("*.py")) if file.name != "__init__.py"]
FIT = (
    "(model, loss, source, run, *, steps, batch, optimizer, schedule=constant, valid=None, clip=None, "
    "patience=None, average=None, stage='train')"
)


def lines(text: str) -> int:
    """Lines with something on them."""
    return sum(bool(line.strip()) for line in text.splitlines())


def find(tree: ast.Module, kind: type[ast.AST], name: str) -> ast.AST | None:
    nodes = (node for node in tree.body if isinstance(node, kind) and getattr(node, "name", "") == name)
    return next(nodes, None)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_file(file: Path) -> None:
    assert lines(file.read_text()) <= 400


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_page(file: Path) -> None:
    text = file.read_text()
    assert lines(text) <= 250
    train = find(ast.parse(text), ast.FunctionDef, "train")
    assert train is not None, "a page has a function train"
    assert lines(ast.get_source_segment(text, train) or "") <= 40


def test_core() -> None:
    each = {file.name: lines(file.read_text()) for file in (PACKAGE / "core").glob("*.py")}
    assert sum(each.values()) <= 1200, each


def test_cli() -> None:
    file = PACKAGE / "cli.py"
    if not file.exists():
        pytest.fail("milestones/cli.py is missing")
    assert lines(file.read_text()) <= 300


def test_run_is_no_god_object() -> None:
    text = (PACKAGE / "core" / "run.py").read_text()
    run = find(ast.parse(text), ast.ClassDef, "Run")
    assert isinstance(run, ast.ClassDef)
    public = [f.name for f in run.body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")]
    assert len(public) <= 10, public
    assert lines(text) <= 300


def test_fit_has_the_signature_of_the_design() -> None:
    fit = find(ast.parse((PACKAGE / "core" / "fit.py").read_text()), ast.FunctionDef, "fit")
    assert isinstance(fit, ast.FunctionDef)
    for argument in [*fit.args.posonlyargs, *fit.args.args, *fit.args.kwonlyargs]:
        argument.annotation = None
    # Annotations are off, so ast.unparse writes the defaults as in FIT.
    assert f"({ast.unparse(fit.args)})" == FIT
