"""A page says what it is of, ends with its System, and stands in the catalog; the catalog names no other."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "milestones"
PAGES = [file for file in sorted((PACKAGE / "systems").glob("*.py")) if file.name != "__init__.py"]
FIELDS = ("Paper", "Idea", "Deviations", "Result")


def test_catalog_equals_folder() -> None:
    from milestones.catalog import TIMELINE

    modules = [entry.module.rsplit(".", 1)[-1] for entry in TIMELINE]
    assert sorted(modules) == [file.stem for file in PAGES]
    names = [entry.name for entry in TIMELINE]
    assert len(set(names)) == len(names)
    years = [entry.year for entry in TIMELINE]
    assert years == sorted(years), "the timeline is in the order of time"
    assert all(entry.showed.strip() for entry in TIMELINE)


def missing_fields(docstring: str) -> list[str]:
    """The fields without text. A field starts a line, and two spaces or more stand before its text."""
    found = dict(re.findall(r"^(\w+) {2,}(\S.*)$", docstring, re.MULTILINE))
    return [field for field in FIELDS if field not in found]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_docstring(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    assert missing_fields(docstring) == []
    first, second = [*docstring.splitlines(), "", ""][:2]
    assert first.endswith(".")
    assert second == ""


def test_a_missing_field_is_found() -> None:
    text = "A.\n\nPaper       P (1998).\nIdea        an idea\n            goes on.\nDeviations\nResult      r"
    assert missing_fields(text) == ["Deviations"]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_ends_with_system(file: Path) -> None:
    last = ast.parse(file.read_text()).body[-1]
    assert isinstance(last, ast.Assign)
    assert ast.unparse(last).startswith("system = System(")


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_presets(file: Path) -> None:
    system: Any = importlib.import_module(f"milestones.systems.{file.stem}").system
    assert {"quick", "paper"} <= set(system.presets)
    for name, preset in system.presets.items():
        assert isinstance(preset, system.Config), name
    for name, field in system.Config.model_fields.items():
        assert field.description, f"{name} has no description"
