"""The runs that ship: one for each page, whole, small, and what their reports say of them is what they do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from milestones.catalog import SHIPPED, TIMELINE, shipped
from milestones.core.folder import read_json
from milestones.core.source import Place
from milestones.report import files
from milestones.trained import open_run, order_of

MOST = 48_000_000  # bytes of all
MORE = dict.fromkeys(("alphazero-go5", "alphazero-go7"), "alphazero")  # made by another preset: name -> page
PAGES = {entry.name: entry.name for entry in TIMELINE} | MORE


def test_each_page_ships_one_and_all_are_small() -> None:
    assert sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()) == sorted(PAGES)
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) <= MOST


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_and_has_curves(name: str) -> None:
    folder = shipped()[name]
    trained = open_run(folder)
    assert trained.entry.name == PAGES[name]
    assert read_json(folder, "config.json")["shipped"].startswith(f"milestones train {PAGES[name]}")
    lines, wrong = files.log(folder)
    assert not wrong and 10 <= sum("vitals" not in line for line in lines) <= 400
    steps: dict[str, int] = {}
    for line in lines:
        assert line["step"] >= steps.get(line["stage"], 0), "steps of a stage only grow"
        steps[line["stage"]] = line["step"]
    assert read_json(folder, "report.json")["scores"]


@pytest.mark.parametrize("name", ["perceptron", "mlp"])
def test_its_scores_are_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured again on what ships: the embedded data, of which the report's test set may be a larger one."""
    monkeypatch.delenv("MILESTONES_DATA", raising=False)
    trained = open_run(SHIPPED / name)
    seed, choice = order_of(trained.config, trained.folder)
    place = Place(torch.device("cpu"), seed, choice=choice)
    data = trained.system.prepare(trained.knobs, place)
    again = trained.system.score(trained.knobs, trained.model.eval(), data, place)["error"]
    said = read_json(SHIPPED / name, "report.json")["scores"]["error"]
    assert again.low <= said["high"] and said["low"] <= again.high, "the two intervals meet"


def test_nothing_of_the_machine_that_made_them() -> None:
    for path in SHIPPED.rglob("*.json*"):
        text = path.read_text(encoding="utf-8")
        assert "/tmp/" not in text and "/home/" not in text, path
        assert str(Path.home()) + "/" not in text, path
