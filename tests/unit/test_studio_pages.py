"""What the studio tells of pages without running one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from milestones.catalog import TIMELINE, described
from milestones.studio.library import Library
from milestones.studio.pages import source, stated, timeline, told


@pytest.mark.parametrize("entry", TIMELINE, ids=lambda entry: entry.name)
def test_what_a_page_states_is_what_it_is(entry: object) -> None:
    found, known = stated(source(entry)), described(entry)  # type: ignore[arg-type]
    assert (found["takes"], found["probe"]) == (known["takes"], known["probe"])


def test_a_page_of_the_users_own_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "mine.py"
    page.write_text('"""Mine.\n\nPaper       Me (2026).\nIdea        one\n            two.\n"""\n'
                    'raise SystemExit\nsystem = core.System(1, takes=[media.Image], probe=None, loss=f)\n')  # fmt: skip
    (line,) = [line for line in timeline(Library(tmp_path), {"mine": str(page)}) if line["name"] == "mine"]
    assert (line["title"], line["paper"], line["idea"], line["year"]) == ("Mine", "Me (2026).", "one two.", 0)
    assert (line["takes"], line["probe"], line["loss"]) == (["image"], False, True)
    assert "mine" not in sys.modules


def test_a_page_without_a_docstring_has_its_name() -> None:
    assert told("x = 1", "mine") == {"title": "mine"}


def test_the_runs_of_a_page_say_what_may_be_compared(tmp_path: Path) -> None:
    score = {"value": 1, "low": 0.5, "high": 1.5, "unit": "%", "data": "a", "split": "test", "over": 9, "paper": 2}
    for number, data in enumerate(("a", "b", ""), 1):
        folder = tmp_path / f"lenet-{number}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"format": 1, "system": "lenet", "began": number}))
        scores = {"error": {**score, "paper_data": data}}
        (folder / "report.json").write_text(json.dumps({"format": 1, "scores": scores}))
    (line,) = [line for line in timeline(Library(tmp_path), {}) if line["name"] == "lenet"]
    told = {run["run"]: run["scores"]["error"]["comparable"] for run in line["runs"]}
    assert told == {"lenet-3": False, "lenet-2": False, "lenet-1": True, "shipped:lenet": False}
