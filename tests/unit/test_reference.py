"""docs/systems/ and docs/reference.md have one source: the pages' docstrings, settings and reports, and the parsers."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from milestones.catalog import SHIPPED, TIMELINE, Entry, described, fields, find
from milestones.cli import Parser
from milestones.core.config import describe
from milestones.verbs import VERBS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MODULES = ("__init__", "trained", "core/config", "core/source", "core/run", "core/fit", "core/score", "core/system")
AGAIN = "UPDATE_DOCS=1 python -m pytest tests/unit/test_reference.py"


def cell(text: object) -> str:
    """A text as a cell of a table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(head: list[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(map(cell, row))} |" for row in rows)]


def value(number: float) -> str:
    """Four digits of a measured number."""
    return f"{number:.4g}"


def settings(found: dict[str, Any]) -> list[str]:
    """A page's knobs with their values under `quick`, and what each other preset has otherwise."""
    quick = found["presets"]["quick"]
    rows = [
        [f"`--{name.replace('_', '-')}`", f"`{quick[name]}`", describe(knob), knob.get("description", "")]
        for name, knob in found["knobs"].items()
    ]
    lines = ["## Settings", "", *table(["setting", "`quick`", "takes", "what it is"], rows), ""]
    others = [(name, preset) for name, preset in found["presets"].items() if name != "quick"]
    rows = [[f"`--preset {name}`", ", ".join(f"`{key} {preset[key]}`" for key in preset if preset[key] != quick[key])]
            for name, preset in others]  # fmt: skip
    return [*lines, *table(["preset", "differs from `quick` in"], rows), ""]


def measured(name: str) -> list[str]:
    """The report of the run that ships."""
    file = SHIPPED / name / "report.json"
    if not file.is_file():
        return ["## Measured", "", "No run of this page ships.", ""]
    report = json.loads(file.read_text(encoding="utf-8"))
    rows = []
    for key, score in report["scores"].items():
        paper = "" if score.get("paper") is None else f"{value(score['paper'])} {score['unit']}, {score['paper_data']}"
        if paper and (score["paper_data"] != score["data"]):
            paper += " (published on other data; not comparable)"
        shown, between = f"{value(score['value'])} {score['unit']}", f"{value(score['low'])} to {value(score['high'])}"
        rows.append([f"`{key}`", shown, between, f"{score['over']:,}", score["data"], paper, score.get("note", "")])
    head = ["score", "value", "95 %, test sample", "over", "data", "published", "note"]
    versions = report["versions"]
    told = (
        f"The run that ships: one seed, {report['parameters']:,} parameters, {report['steps']:,} updates in "
        f"{report['seconds']:.0f} s on {versions['machine']}."
    )
    return ["## Measured", "", *table(head, rows), "", told, "", "```sh", report["command"], "```", ""]


def system(entry: Entry) -> str:
    """docs/systems/NAME.md."""
    source = f"milestones/systems/{entry.name}.py"
    says, found = fields(ast.get_docstring(ast.parse((ROOT / source).read_text("utf-8"))) or ""), described(entry)
    lines = [f"# {entry.name} ({entry.year})", "", f"{says['title']}. It showed: {entry.showed}.", ""]
    lines += [line for key in ("paper", "idea", "deviations", "result")
              for line in (f"**{key.capitalize()}.** {says[key]}", "")]  # fmt: skip
    takes = ", ".join(found["takes"])
    asks = f"`milestones use {entry.name} ...` takes: {takes}." if takes else "It takes no input: it acts by itself."
    lines += [f"The page: [{source}](../../{source}). {asks}", ""]
    if found["options"]:
        rows = [[f"`--{name.replace('_', '-')}`", f"`{one['default']}`", one["description"]]
                for name, one in found["options"].items()]  # fmt: skip
        lines += [*table(["option of `use`", "default", "what it is"], rows), ""]
    return "\n".join([*lines, *settings(found), *measured(entry.name)])


def options(verb: str) -> list[list[object]]:
    """The words that a verb takes: each, its default and its help."""
    parser = Parser(prog=f"milestones {verb}", allow_abbrev=False)
    importlib.import_module(f"milestones.verbs.{verb}").add(parser, [])
    rows: list[list[object]] = []
    for action in parser._actions:
        if "--help" in action.option_strings:
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        takes_value = action.option_strings and action.nargs != 0
        among = "" if action.choices is None else "{" + ", ".join(map(str, action.choices)) + "}"
        word = f" {action.metavar or among or action.dest.upper()}" if takes_value else ""
        rows.append([f"`{name}{word}`", "" if action.help == argparse.SUPPRESS else (action.help or "")])
    return rows


def members(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The public functions, classes and methods of a module: signature, and first paragraph of the docstring."""

    def one(node: ast.AST, before: str = "") -> Iterator[tuple[str, str]]:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            return
        doc = (ast.get_docstring(node) or "").split("\n\n")[0]
        if isinstance(node, ast.ClassDef):
            if doc:
                yield node.name, doc
                for inner in node.body:
                    yield from one(inner, f"{node.name}.")
        elif doc:
            back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            yield f"{before}{node.name}({ast.unparse(node.args)}){back}", doc

    for node in tree.body:
        yield from one(node)


def reference() -> str:
    """docs/reference.md."""
    lines = ["# Reference", "", "Generated from the parsers and the docstrings.", "", "## Command line", ""]
    lines += ["Every verb takes `--json`: standard output is then one JSON object. Exit codes: 0 done, 1 our fault, 2 "
              "the user's input, 130 interrupted and saved. The settings of a page are options of `train`; they are in "
              "[systems](systems/README.md).", ""]  # fmt: skip
    for verb, what in VERBS.items():
        rows = options(verb)
        lines += [f"### milestones {verb}", "", f"{what[0].upper()}{what[1:]}.", ""]
        lines += [*table(["word", "what it is"], rows), ""] if rows else []
    lines += ["## Python", ""]
    for name in MODULES:
        rows = [[f"`{signature}`", doc] for signature, doc in members(ast.parse((ROOT / "milestones" / f"{name}.py")
                .read_text("utf-8")))]  # fmt: skip
        title = "milestones" if name == "__init__" else f"milestones.{name.replace('/', '.')}"
        lines += [f"### {title}", "", *table(["name", "what comes back"], rows), ""]
    return "\n".join(lines)


def index() -> str:
    """docs/systems/README.md."""
    rows = [[entry.year, f"[{entry.name}]({entry.name}.md)", entry.showed] for entry in TIMELINE]
    return "\n".join(["# The systems", "", *table(["year", "page", "what it showed"], rows), ""])


def documents() -> dict[str, Any]:
    """Each generated file, by name, and the function that writes it."""
    pages = {f"systems/{entry.name}.md": lambda name=entry.name: system(find(name)) for entry in TIMELINE}
    return {"reference.md": reference, "systems/README.md": index, **pages}


@pytest.mark.parametrize("name", documents())
def test_the_document_repeats_its_source(name: str) -> None:
    text, file = documents()[name](), DOCS / name
    if os.environ.get("UPDATE_DOCS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.is_file(), AGAIN
    assert file.read_text(encoding="utf-8") == text, AGAIN


def test_no_document_of_a_page_that_is_gone() -> None:
    assert {f"systems/{file.name}" for file in (DOCS / "systems").glob("*.md")} == set(documents()) - {"reference.md"}


def test_a_table_survives_a_bar_and_a_line_break() -> None:
    assert table(["a"], [["x|y\nz"]])[-1] == "| x\\|y z |"


def test_every_figure_of_a_system_page_is_in_its_report() -> None:
    for entry in TIMELINE:
        shown = re.findall(
            r"^\| `\w+` \| (\S+) ", (DOCS / "systems" / f"{entry.name}.md").read_text("utf-8"), re.MULTILINE
        )
        file = SHIPPED / entry.name / "report.json"
        scores = json.loads(file.read_text("utf-8"))["scores"] if file.is_file() else {}
        assert shown == [value(score["value"]) for score in scores.values()], entry.name
