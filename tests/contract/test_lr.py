"""`lr` and `train --auto-lr` on every page: they work or say why not, and leave nothing outside their folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from contract import children, tiny
from contract.conftest import Page
from contract.test_cli import one_json, refused

from milestones.catalog import find
from milestones.catalog import page as module_of
from milestones.cli import main
from milestones.verbs.study import RANGE

EXACT = ["--plan", children.PLAN]


def typed(page: Page) -> list[str]:
    """The page with its tiny settings and data, as words."""
    words = [page.name, "--data", page.data, "--target", page.target, *EXACT]
    for name, value in page.settings.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words


def test_each_page_is_studied_or_refused(page: Page, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = module_of(find(page.name)).system
    if "lr" not in system.Config.model_fields or system.loss is None:
        refused(["lr", *typed(page)], capsys, "expected a page that descends a gradient, with a setting 'lr'")
        refused(["train", *typed(page), "--auto-lr"], capsys, "a page that descends a gradient")
        return
    before = {path for path in home.rglob("*") if path.is_file()}
    assert main(["lr", *typed(page), "--json"]) == 0
    found = one_json(capsys)
    assert found["low"] <= found["rate"] <= found["high"]
    assert RANGE[0] < found["rate"] < RANGE[1]
    assert [one["name"] for one in found["quiz"]] == ["low", "good", "high", "very high"]
    assert found["share"] > 0
    new = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()} - {str(p) for p in before}
    folder = found["study"]
    assert {name for name in new if not name.startswith("home/.")} == {
        f"{folder}/study.json", f"{folder}/report.html"}  # fmt: skip
    kept = json.loads((home / folder / "study.json").read_text())
    assert kept.pop("format") == 1
    assert kept == {name: value for name, value in found.items() if name != "study"}
    assert "Which rate is very high, high, good, low?" in (home / folder / "report.html").read_text()


def test_auto_lr_is_recorded_and_repeated(home: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tiny.data("digits", place)[0]
    words = ["lenet", "--data", data, "--steps", "30", "--batch", "8", *EXACT]
    assert main(["lr", *words, "--json"]) == 0
    alone = one_json(capsys)
    assert main(["train", *words, "--auto-lr", "--seeds", "2", "--json"]) == 0
    said = capsys.readouterr()
    assert f"--auto-lr: {alone['rate']:g}, 95 % interval of 3 seeds [" in said.err
    runs = json.loads(said.out)["runs"]
    for run in runs:
        config = json.loads((home / run["run"] / "config.json").read_text())
        assert config["config"]["lr"] == config["auto_lr"]["rate"] == alone["rate"]
        assert config["auto_lr"]["low"] == alone["low"]
        preset = alone["rate"] == 0.0025  # which no command has to name
        assert preset or f"--lr {alone['rate']}" in config["command"]
        assert "auto" not in config["command"], "what repeats the run needs no study"
    assert main([*shlex.split(runs[0]["command"])[1:], "--json"]) == 0
    again = one_json(capsys)
    files = [home / run / "weights.safetensors" for run in (runs[0]["run"], again["run"])]
    assert files[0].read_bytes() == files[1].read_bytes()
    capsys.readouterr()
    assert main(["lr", *words]) == 0
    text = capsys.readouterr().out
    assert f"lenet: learning rate {alone['rate']:g}, 95 % interval of 3 seeds [" in text
    assert "runs/lenet-lr-2/report.html" in text


@pytest.mark.parametrize(("words", "texts"), {
    "perceptron": (["lr", "perceptron"], ["a setting 'lr', got one without"]),
    "the rate itself": (["lr", "lenet", "--lr", "1"], ["no --lr where the study chooses it, got --lr 1"]),
    "the rate in training": (["train", "lenet", "--auto-lr", "--lr", "1"], ["no --lr where the study chooses it"]),
    "one seed": (["lr", "lenet", "--seeds", "1"], ["two seeds or more, for an interval, got --seeds 1"]),
    "weights of another": (["train", "lenet", "--auto-lr", "--from", "lenet"], ["--auto-lr for a training from"]),
    "a time limit": (["train", "lenet", "--auto-lr", "--minutes", "1"], ["--auto-lr without a time limit"]),
    "preset": (["lr", "lenet", "--preset", "papper"], ["a preset of this page: ", "Did you mean 'paper'?"]),
    "knob": (["lr", "lenet", "--steps", "0"], ["a whole number from 1, got steps = '0'"]),
    "page": (["lr", "lenett"], ["Did you mean 'lenet'?"]),
    "plan": (["lr", "lenet", "--plan", "fast"], ["a plan auto, exact or"]),
    "data": (["lr", "lenet", "--data", "no/such"], ["no/such"]),
}.values(), ids=lambda value: "")  # fmt: skip
def test_what_cannot_be_used(
    words: list[str], texts: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(words, capsys, *texts)
    assert not (home / "runs").exists()
