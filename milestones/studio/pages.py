"""What the studio tells of the catalog's pages, without importing one: PyTorch would take two seconds."""

from __future__ import annotations

import ast
import functools
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..catalog import TIMELINE, Entry, described, fields, find
from ..core.errors import UserError
from .library import Library

SYSTEMS = Path(__file__).parents[1] / "systems"
QUIZ = Path(__file__).parent / "quiz.json"  # made by benchmarks/quiz.py
LECTURES = Path(__file__).parent / "lectures.json"  # docs/lectures.md is made of it


def entries(files: Mapping[str, str]) -> list[Entry]:
    """The catalog's pages by year, then those of the user's own."""
    return [*TIMELINE, *(find(file) for file in files.values())]


def known(name: str, files: Mapping[str, str]) -> Entry:
    """The page of a name that came from a browser, which never becomes a path. UserError: none of this studio."""
    for entry in entries(files):
        if entry.name == name:
            return entry
    raise UserError("a page of this studio", repr(name)[:60], "Reload the page", "studio")


def source(entry: Entry) -> str:
    """The page's text."""
    file = Path(entry.module) if entry.module.endswith(".py") else SYSTEMS / f"{entry.name}.py"
    return file.read_text(encoding="utf-8")


@functools.lru_cache(maxsize=100)
def told(text: str, name: str) -> dict[str, str]:
    """The fields of the docstring of a page's text."""
    return fields(inspect.cleandoc(ast.get_docstring(ast.parse(text)) or name))


@functools.lru_cache(maxsize=100)
def stated(text: str) -> dict[str, Any]:
    """What a page's last line says it takes, and whether it has a probe and a loss; from its text, since the server
    runs no page of the user's own."""
    found: dict[str, Any] = {"takes": [], "probe": False, "loss": False}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "System":
            for word in node.keywords:
                if word.arg == "takes" and isinstance(word.value, ast.Tuple | ast.List):
                    found["takes"] = [ast.unparse(kind).split(".")[-1].lower() for kind in word.value.elts]
                elif word.arg in ("probe", "loss"):
                    found[word.arg] = ast.unparse(word.value) != "None"
    return found


def timeline(library: Library, files: Mapping[str, str]) -> list[dict[str, Any]]:
    """A line for each page: name, year, what it showed, its docstring's fields, what `stated` finds, its runs."""
    runs = library.listed()
    lines = []
    for entry in entries(files):
        page = source(entry)
        said = {**told(page, entry.name), **stated(page)}
        mine = [run for run in runs if run["system"] == entry.name]
        lines.append({"name": entry.name, "year": entry.year, "showed": entry.showed, **said, "runs": mine})
    return lines


def system(name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """All that a form and a page's view need: fields, settings as JSON schema, presets, what it takes, its source."""
    entry = known(name, files)
    text = source(entry)
    return {"name": entry.name, "page": files.get(name, name), "year": entry.year, "showed": entry.showed,
            **told(text, entry.name), **described(entry), "source": text}  # fmt: skip


@functools.cache
def quiz() -> dict[str, Any]:
    """The rounds of the learning-rate quiz: a page, its updates, and curves with the rate that each had."""
    return json.loads(QUIZ.read_text(encoding="utf-8"))


def lectures() -> dict[str, Any]:
    """The course: its lead, and its lectures with their slides, each with a view, a command and what is seen."""
    found: dict[str, Any] = json.loads(LECTURES.read_text(encoding="utf-8"))
    return found
