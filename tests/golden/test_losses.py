"""The first five losses of each page at seed 0, against the committed ones.

A change on purpose: UPDATE_GOLDEN=1 python -m pytest tests/golden, and say in the commit why they moved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from milestones.catalog import KNOBS, TIMELINE, code_of, described, find, options, page, settings
from milestones.core.config import knobs
from milestones.core.run import Run
from milestones.core.source import Choice, Place

PAGES = [entry.name for entry in TIMELINE]
TABLE = Path(__file__).with_name("rows.csv")
STEPS = 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def losses(name: str, folder: Path, seed: int = 0) -> list[float]:
    """The losses of the first steps of the page's quick preset, on data that ships."""
    system = page(find(name)).system
    knobs = system.presets["quick"]
    choice = Choice(str(TABLE), "kind") if name == "mlp" else Choice()
    place = Place(torch.device("cpu"), seed, choice=choice)
    found: list[float] = []

    class Watched(Run):
        def log(self, **numbers: float | torch.Tensor) -> None:
            super().log(**numbers)
            if "loss" in numbers:
                found.append(float(torch.as_tensor(numbers["loss"]).detach()))
            if len(found) >= STEPS:
                self.enough()

    with Watched(folder, place, "contiguous/float32/1") as run:
        run.seed("prepare")
        data = system.prepare(knobs, place)
        run.seed("build")
        model = system.build(knobs, data.facts)
        system.train(knobs, model, data, run)
    return found[:STEPS]


@pytest.fixture(autouse=True)
def as_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets at hand on this machine change nothing here, and ways of running are not timed."""
    monkeypatch.delenv("MILESTONES_DATA", raising=False)
    monkeypatch.setattr("milestones.core.plan.SECONDS", 0.0)


@pytest.mark.parametrize("name", PAGES)
def test_first_losses(name: str, home: Path) -> None:
    file = Path(__file__).with_name(f"{name}.json")
    found = losses(name, home)
    assert len(found) == STEPS
    assert len(set(found)) > 1, "it learns"
    if os.environ.get("UPDATE_GOLDEN"):
        text = {
            "format": 1,
            "page": name,
            "seed": 0,
            "plan": "contiguous/float32/1",
            "losses": [round(x, 8) for x in found],
        }
        file.write_text(json.dumps(text, indent=1) + "\n")
    assert file.exists(), "write it: UPDATE_GOLDEN=1 python -m pytest tests/golden"
    assert found == pytest.approx(json.loads(file.read_text())["losses"], rel=1e-4)


def test_settings_are_kept_without_importing_the_page() -> None:
    """`train PAGE --help` reads them from a file; what it says is what the pages say."""
    true = {}
    for entry in TIMELINE:
        system = page(entry).system
        true[entry.name] = {
            "code": code_of(entry), "knobs": knobs(system.Config), "probe": system.probe is not None,
            "presets": {name: preset.model_dump(mode="json") for name, preset in system.presets.items()},
            "takes": [kind.__name__.lower() for kind in system.takes], "options": options(system.use),
        }  # fmt: skip
    true = json.loads(json.dumps(true))
    if os.environ.get("UPDATE_GOLDEN"):
        KNOBS.write_text(json.dumps({"format": 1, **true}, indent=1) + "\n")
    kept = json.loads(KNOBS.read_text())
    assert {name: kept.get(name) for name in true} == true, "UPDATE_GOLDEN=1 pytest tests/golden"
    assert set(kept) == {"format", *true}
    for entry in TIMELINE:
        assert settings(entry) == (list(true[entry.name]["presets"]), true[entry.name]["knobs"])
        assert described(entry) == {name: value for name, value in true[entry.name].items() if name != "code"}


def test_another_seed_has_other_losses(home: Path) -> None:
    committed = json.loads(Path(__file__).with_name("lenet.json").read_text())["losses"]
    assert losses("lenet", home, seed=1) != pytest.approx(committed, rel=1e-4)


def test_nothing_golden_is_left_over() -> None:
    searches = {"search_puct", "search_gumbel"}  # see test_search.py
    assert {file.stem for file in Path(__file__).parent.glob("*.json")} == {*PAGES, *searches}
