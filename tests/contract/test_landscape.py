"""`look RUN --landscape` on every page: it works or says why not, and leaves nothing outside its folder."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from contract import children, tiny
from contract.conftest import Page
from contract.test_cli import one_json, refused

from milestones.catalog import find, load
from milestones.catalog import page as module_of
from milestones.cli import main
from milestones.core.errors import UserError
from milestones.verbs.execute import Order, begin
from milestones.verbs.landscape import Study

SMALL = ["--landscape", "--size", "7", "--examples", "24", "--eigenvalues", "2"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points of a line and fewer probes of the trace than are worth looking at."""
    monkeypatch.setattr("milestones.verbs.landscape.ON_THE_WAY", 11)
    monkeypatch.setattr("milestones.verbs.landscape.PROBES", 3)
    monkeypatch.setattr("milestones.verbs.landscape.BENT", 20)


def opened(page: Page, trained: Path) -> list[str]:
    own = ["--page", page.name] if page.name.endswith(".py") else []
    return ["look", str(trained), *own, *SMALL]


def test_each_page_has_a_landscape_or_none(page: Page, trained: Path, home: Path, capsys: pytest.CaptureFixture[str]
                                           ) -> None:  # fmt: skip
    if module_of(find(page.name)).system.loss is None:
        refused(opened(page, trained), capsys, "expected a run whose page has a `loss`")
        assert not (home / "runs").exists()
        return
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert main([*opened(page, trained), "--json"]) == 0
    found = one_json(capsys)
    folder = home / found["landscape"]
    assert {path.name for path in folder.iterdir()} == {"landscape.json", "report.html"}
    kept = json.loads((folder / "landscape.json").read_text())
    assert kept.pop("format") == 1
    assert kept == {name: value for name, value in found.items() if name != "landscape"}
    assert found["finished"] and found["examples"] == 24
    values = found["plane"]["values"]
    assert len(values) == 7 and all(len(row) == 7 for row in values)
    assert values[3][3] == pytest.approx(found["here"]["loss"], rel=1e-5), "the solution is in the middle"
    line = found["line"]
    assert len(line["loss"]) == len(line["valid_loss"]) == len(line["at"]) == 11
    assert line["climb"] >= 0
    if not found["batch_normalised"]:
        assert line["loss"][-1] == pytest.approx(found["here"]["loss"], rel=1e-4, abs=1e-6)
    assert len(found["curvature"]["eigenvalues"]) == 2
    assert "Seen from above" in (folder / "report.html").read_text()
    assert before == {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pair(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of lenet with batch normalisation, of different seeds; one of other shapes; one on other data."""
    root = tmp_path_factory.mktemp("pair")
    data = tiny.data("digits", place)[0]
    for seed, more in ((0, {}), (1, {}), (0, {"norm": "none"})):
        order = Order(data=data, plan=children.PLAN, seed=seed)
        begin("lenet", {"steps": 40, "batch": 16, "norm": "batch", **more}, order, root / "runs")
    other = tiny.digits(root / "fewer-digits.npz", 200)
    order = Order(data=str(other), plan=children.PLAN)
    begin("lenet", {"steps": 3, "batch": 16, "norm": "batch"}, order, root / "runs")
    return root / "runs"


@pytest.fixture
def runs(pair: Path, home: Path) -> Path:
    shutil.copytree(pair, home / "runs")
    return home / "runs"


def test_ways_to_another_run_and_of_training(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = ["--to", "lenet-2", "--beside", "lenet-2,lenet-3"]
    words = ["look", "lenet-1", *SMALL, "--size", "15", *others, "--path", "--json"]
    assert main(words) == 0
    found = one_json(capsys)
    for way in found["between"]["ways"].values():
        for split, name in (("train", "loss"), ("valid", "valid_loss")):
            assert way["barrier"][split]["loss"] >= 0
            assert way["middle"][split]["loss"] == pytest.approx(way[name][5], rel=1e-5)
    ends = [way["loss"] for way in found["between"]["ways"].values()]
    assert ends[0][0] == ends[1][0] and ends[0][-1] == ends[1][-1]
    assert found["between_plane"]["anew"] and found["between_plane"]["size"] == 7
    assert found["between_plane"]["paths"]["curve"][-1][0] == pytest.approx(found["between"]["distance"], rel=1e-4)
    assert [one["run"] for one in found["beside"]] == [f"runs/lenet-{k}" for k in (1, 2, 3)]
    assert found["path"]["gap"] == 0
    assert found["path"]["steps"][0] == 0 and found["path"]["steps"][-1] == 40
    assert found["path"]["paths"]["training"][-1] == pytest.approx([0, 0], abs=1e-5)
    html = (runs.parent / found["landscape"] / "report.html").read_text()
    for text in ("The way of training", "to the same bits", "Loss between both runs", "3 linear layers, closed form"):
        assert text in html
    assert main(words) == 0
    again = one_json(capsys)
    for name in ("plane", "between_plane", "path"):
        assert again[name]["values"] == found[name]["values"], "the same surface, bit for bit"
    assert again["curvature"]["eigenvalues"] == found["curvature"]["eigenvalues"]
    assert main([*words[:2], *SMALL, "--seed", "1", "--json"]) == 0
    assert one_json(capsys)["plane"]["values"] != found["plane"]["values"]


def test_the_page_is_there_early(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the coarse view, whatever happens then."""

    def stopped(self: Study) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "line", stopped)
    assert main(["look", "lenet-1", *SMALL, "--size", "31"]) == 130
    folder = runs / "lenet-landscape-1"
    kept = json.loads((folder / "landscape.json").read_text())
    assert not kept["finished"] and kept["plane"]["size"] < kept["plane"]["of"] == 31
    assert "Not finished" in (folder / "report.html").read_text()
    assert "report.html" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "texts"), {
    "a file": (["digit.png"], ["no INPUT with --landscape", "digit.png"]),
    "an even size": (["--size", "50"], ["--size as an odd number from 7 to 401, got 50"]),
    "too small": (["--size", "5"], ["--size as an odd number from 7 to 401, got 5"]),
    "too large": (["--size", "403"], ["--size as an odd number from 7 to 401, got 403"]),
    "no span": (["--span", "0"], ["--span above 0, at most 100, got 0"]),
    "a span that is no number": (["--span", "nan"], ["--span above 0, at most 100, got nan"]),
    "no examples": (["--examples", "0"], ["--examples from 1, got 0"]),
    "eigenvalues": (["--eigenvalues", "-1"], ["--eigenvalues from 0 to 50, got -1"]),
    "another page": (["--to", "mlp"], ["--to with another run of lenet, got a run of mlp"]),
    "another shape": (["--to", "lenet-3"], ["--to with weights of the same shape: features.2.weight of 6"]),
    "other data": (["--to", "lenet-4"], ["--to with a run on the same data, got other counts in its facts.json"]),
    "no run": (["--to", "lenet-9"], ["a run (a folder, a name as lenet-3, or a page), got 'lenet-9'"]),
    "none beside": (["--beside", "lenet-9"], ["a run (a folder, a name as lenet-3, or a page), got 'lenet-9'"]),
}.values(), ids=lambda value: "")  # fmt: skip
def test_what_cannot_be_used(
    words: list[str], texts: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["look", "lenet-1", *words, "--landscape"], capsys, *texts)
    assert not (runs / "lenet-landscape-1").exists()


def test_a_run_without_a_seed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((runs / "lenet-1" / "config.json").read_text())
    del config["seed"]
    (runs / "lenet-1" / "config.json").write_text(json.dumps(config))
    refused(["look", "lenet-1", *SMALL], capsys, "a whole config.json", "no seed, or another choice of data")
    assert not (runs / "lenet-landscape-1").exists()


def test_a_page_without_training_examples(runs: Path) -> None:
    trained = load("lenet-1", str(runs))
    page = trained.system
    system = argparse.Namespace(prepare=lambda knobs, place: object(), loss=page.loss, build=page.build)
    args = argparse.Namespace(examples=10, seed=0)
    with pytest.raises(UserError, match="a run that learned from examples"):
        Study(trained._replace(system=system), args)
