"""Every page whose `use` takes media can be served: its files, posted, are answered as `use` answers them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from contract import tiny
from contract.conftest import Page

from milestones.catalog import load
from milestones.cli import main
from milestones.media import read
from milestones.studio.posted import posted
from milestones.studio.predict import Limits, Service
from milestones.verbs.use import plain


def test_each_page_can_be_served(page: Page, trained: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = page.name if page.name.endswith(".py") else ""
    run = load(str(trained), page_name=own)
    files = tiny.inputs(page.like, run.facts, place)
    if not run.system.takes:
        assert main(["serve", str(trained), *(["--page", own] if own else [])]) == 2
        assert "expected a run that takes inputs" in capsys.readouterr().err
        return
    service = Service(run, Limits(1 << 20, 8, 60.0), 0.0, 64)
    assert files
    for file in files:
        items, names = posted(run, "application/octet-stream", file.name, file.read_bytes())
        wanted = [plain(found) for found in run.use(read(file, run.system.takes))]
        assert len(items) == len(names) == len(wanted)
        assert names[0].partition(":")[0] == file.name
        found = service.together.ask(items, ((), None)).result(120)
        assert json.dumps(found, allow_nan=False) == json.dumps(wanted, allow_nan=False)
    service.together.end()
    service.end()
