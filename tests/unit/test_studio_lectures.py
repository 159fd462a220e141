"""The course has one source, which docs/lectures.md repeats; its commands and its links are right."""

from __future__ import annotations

import importlib
import os
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from milestones.catalog import SHIPPED, TIMELINE, described, find
from milestones.cli import Parser
from milestones.core.errors import UserError
from milestones.studio.pages import LECTURES, lectures
from milestones.verbs import VERBS

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "lectures.md"
SLIDES = [slide for lecture in lectures()["lectures"] for slide in lecture["slides"]]
BEGIN = (
    "`milestones studio` opens the browser; its view Lectures has this course with its links. A view's address here is "
    "what follows the studio's own, as in `127.0.0.1:8421/#giants`."
)
PAGES = {entry.name for entry in TIMELINE}


def written(course: dict[str, Any]) -> str:
    """The course as docs/lectures.md."""
    lines = [f"# {course['title']}", "", course["lead"], "", BEGIN, ""]
    for number, lecture in enumerate(course["lectures"], 1):
        lines += [f"## {number}. {lecture['title']}", "", "| The slide | View | Expected picture | Command |",
                  "| --- | --- | --- | --- |"]  # fmt: skip
        for slide in lecture["slides"]:
            cells = (slide["says"], f"`{slide['link'].replace('#/', '#')}`", slide["picture"], f"`{slide['command']}`")
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)


def wrong_link(link: str) -> str:
    """Why a link cannot be right, or nothing."""
    route = (ROOT / "milestones" / "studio" / "page" / "main.js").read_text(encoding="utf-8")
    views = set(re.findall(r'^  "?(\w*)"?: \["', route, re.MULTILINE))
    found = re.fullmatch(r"#/(\w*)(?:/([\w:]+))?(?:\?(.*))?", link)
    if not found or found[1] not in views:
        return "no view"
    name = found[2] or ""
    if name.startswith("shipped:"):
        return "" if (SHIPPED / name[8:] / "config.json").is_file() else "no shipped run"
    if found[1] == "train" and name:
        query = {knob: values[-1] for knob, values in parse_qs(found[3] or "").items()}
        return wrong_settings(name, query.pop("preset", "quick"), query)
    return "no run" if name else ""


def wrong_settings(name: str, preset: str, knobs: dict[str, Any]) -> str:
    """Why a page cannot be trained so, or nothing."""
    if name not in PAGES:
        return "no page"
    has = described(find(name))
    if preset not in has["presets"]:
        return f"no preset {preset}"
    for knob, value in knobs.items():
        if knob not in has["knobs"]:
            return f"no knob {knob}"
        if "enum" in has["knobs"][knob] and value not in has["knobs"][knob]["enum"]:
            return f"no {knob} {value}"
    return ""


def wrong_command(command: str) -> str:
    """Why a command cannot be right, or nothing. Its verb's parser takes the words; nothing runs."""
    program, verb, *words = shlex.split(command)
    if program != "milestones" or verb not in VERBS:
        return "no verb"
    module = importlib.import_module(f"milestones.verbs.{verb}")
    parser = Parser(prog=verb, allow_abbrev=False)
    try:
        module.add(parser, words)
        args, unknown = parser.parse_known_intermixed_args(words)
    except UserError as problem:
        return str(problem)
    if unknown:
        return f"no option {unknown[0]}"
    words = [word for name in ("page", "run", "which") for word in [getattr(args, name, None)] if word]
    named = [name for word in words for name in ([word] if isinstance(word, str) else word)]
    if missing := [name for name in named if name not in PAGES]:
        return f"no page {missing[0]}"
    if verb == "train":
        given = {name[5:]: value for name, value in vars(args).items() if name.startswith("knob_")}
        return wrong_settings(args.page, args.preset or "quick", given)
    return ""


def test_the_document_repeats_the_course() -> None:
    text = written(lectures())
    if os.environ.get("UPDATE_DOCS"):
        DOC.write_text(text, encoding="utf-8")
    assert DOC.read_text(encoding="utf-8") == text, "UPDATE_DOCS=1 python -m pytest tests/unit/test_studio_lectures.py"


def test_every_slide_is_whole() -> None:
    assert len(SLIDES) >= 30
    for slide in SLIDES:
        assert set(slide) == {"says", "link", "command", "picture"}
        assert slide["says"].endswith((".", "?")) and slide["picture"].endswith(".")
        assert [word for word in slide.values() if "\n" in word] == []


def test_every_page_has_a_slide() -> None:
    text = LECTURES.read_text(encoding="utf-8")
    assert [name for name in sorted(PAGES) if f"shipped:{name}" not in text] == []


@pytest.mark.parametrize("command", sorted({slide["command"] for slide in SLIDES}))
def test_every_command_is_taken(command: str) -> None:
    assert wrong_command(command) == ""


@pytest.mark.parametrize("link", sorted({slide["link"] for slide in SLIDES}))
def test_every_link_leads_somewhere(link: str) -> None:
    assert wrong_link(link) == ""


WRONG = ["trian lenet", "train lenot", "train lenet --rate 1", "train lenet --preset huge",
         "train mlp --activation step", "look lenet --map round", "look lenot", "compare lenet lenot"]  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_is_found(words: str) -> None:
    assert wrong_command(f"milestones {words}")


@pytest.mark.parametrize("link", ["#/looks/shipped:lenet", "#/look/shipped:lenot", "#/train/lenot", "#/runs/lenet",
                                  "#/train/lenet?preset=huge", "#/train/mlp?hiden=3"])  # fmt: skip
def test_a_wrong_link_is_found(link: str) -> None:
    assert wrong_link(link)
