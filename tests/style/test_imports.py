"""Who may import whom, as the drawing in docs/design.md has it; and nothing that runs code from a file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "milestones"
FILES = sorted(PACKAGE.rglob("*.py"))

# Part of the package -> what it may import of ours beside files of its own part.
MAY = {
    "core": set(),
    "parts": set(),
    "media": {"core"},
    "data": {"media", "core", "parts"},
    "worlds": {"media", "core", "parts"},
    "report": {"core", "media", "parts"},
    "systems": {"data", "worlds", "media", "core", "parts", "catalog"},
    "catalog": {"core", "trained"},
    "trained": {"catalog", "core", "parts"},  # catalog.load's other half, apart because it imports torch
    "verbs": {"catalog", "trained", "report", "media", "core", "parts", "data", "worlds"},
    "studio": {"verbs", "catalog", "trained", "report", "media", "core", "parts", "data", "worlds"},
    "estimators": {"verbs", "catalog", "trained", "media", "data", "core"},
    "cli": {"verbs", "core", "catalog", "__init__"},
    "__init__": {"catalog", "trained", "verbs", "core", "estimators"},
    "__main__": {"cli"},
}
VERB_OF = {"verbs/studio.py": "studio", "verbs/serve.py": "studio"}  # the command line's words for what is above verbs
ALONE = {"systems"}  # their files may not import each other


def part_of(file: Path) -> str:
    inside = file.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def ours(file: Path, tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """Each import of ours: line, and the dotted name under ``milestones`` as a list."""
    here = ["milestones", *file.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            base = start + (node.module.split(".") if node.module else [])
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "milestones":
                yield node.lineno, name[1:]


def module(name: str) -> bool:
    """Whether it is a part of the package, and not a name that its ``__init__`` defines."""
    return name in MAY or (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()


def problems(file: Path, source: str) -> list[str]:
    me, found = part_of(file), []
    if me not in MAY:
        return [f"{file.name}: {me!r} is in no place of the drawing"]
    for line, name in ours(file, ast.parse(source)):
        other = name[0] if name and module(name[0]) else "__init__"
        if VERB_OF.get(file.relative_to(PACKAGE).as_posix()) == other:
            continue
        if (other == me and me not in ALONE) or (name == ["__version__"] and me not in ("core", "parts")):
            continue
        at = f"{file.relative_to(ROOT)}:{line}"
        if other not in MAY[me]:
            found.append(f"{at}: {me} may not import {'.'.join(name) or 'milestones'}")
        elif me == "systems" and other == "catalog" and name[1:] not in (["load"], []):
            found.append(f"{at}: a page takes only `load` from catalog")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports(file: Path) -> None:
    assert problems(file, file.read_text()) == []


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("core/run.py", "from ..parts import conv"),
        ("core/run.py", "def f():\n    import milestones.media"),
        ("parts/conv.py", "from milestones.core.run import Run"),
        ("systems/lenet.py", "from .mlp import MLP"),
        ("systems/lenet.py", "from ..catalog import TIMELINE"),
        ("data/digits.py", "from milestones import cli"),
        ("catalog.py", "from .systems import lenet"),
        ("cli.py", "from .data import digits"),
    ],
)
def test_a_wrong_import_is_found(where: str, source: str) -> None:
    assert problems(PACKAGE / where, source)


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("core/run.py", "from .plan import Plan"),
        ("systems/lenet.py", "from ..catalog import load\nfrom ..core.run import Run\nimport torch"),
        ("verbs/train.py", "from .. import catalog\nfrom milestones.data import digits"),
    ],
)
def test_a_right_import_passes(where: str, source: str) -> None:
    assert problems(PACKAGE / where, source) == []


PICKLERS = {"pickle", "cloudpickle", "dill", "shelve", "joblib", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__"}


def unsafe(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno}: {a.name}" for a in node.names if a.name.split(".")[0] in PICKLERS]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports_load = node.module == "torch" and any(a.name == "load" for a in node.names)
            if node.module.split(".")[0] in PICKLERS or imports_load:
                found.append(f"{node.lineno}: from {node.module}")
        elif isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            if text in CALLS or text in ("torch.load", "torch.save", "torch.hub.load", "pandas.read_pickle"):
                found.append(f"{node.lineno}: {text}()")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += [f"{node.value.lineno}: allow_pickle"] if ast.unparse(node.value) != "False" else []
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_nothing_runs_code_from_a_file(file: Path) -> None:
    # model.eval() is an attribute, not the builtin; what is named here is the builtin alone.
    assert unsafe(file.read_text()) == []


@pytest.mark.parametrize("source", ["import pickle", "eval('1')", "torch.load(f)", "np.load(f, allow_pickle=True)"])
def test_unsafe_code_is_found(source: str) -> None:
    assert unsafe(source)


def test_safe_code_passes() -> None:
    assert unsafe("model.eval()\nre.compile('x')\nnp.load(f, allow_pickle=False)\nload_file(f)") == []
