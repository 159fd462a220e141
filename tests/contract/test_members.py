"""An ensemble of each page that trains by `fit`: kept, resumed, loaded, used and scored as one net is."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from contract import children, tiny
from contract.conftest import PAGES, Page, page_of
from contract.test_resume import own, resume, run, same

from milestones.catalog import load
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.parts.ensemble import Ensemble
from milestones.verbs.execute import Order, begin, go_on

Fork = Callable[..., Any]
REFUSED = {  # page: why
    **dict.fromkeys(
        (
            "descent",
            "mdp",
            "reinforce",
            "ppo",
            "dqn",
            "pqn",
            "worldmodel",
            "driver",
            "alphago",
            "alphazero",
            "gan",
            "circuit",
            "learned_optimizer",
            "bpl",
        ),
        "whose answers are classes or numbers, got a page without a `loss`",
    ),
    **dict.fromkeys(
        (
            "autoencoder",
            "captions",
            "charrnn",
            "dbn",
            "depth",
            "dynamics",
            "eeg",
            "fewshot",
            "flow",
            "frames",
            "gpt",
            "lstm",
            "made",
            "memory",
            "parity",
            "perceptron",
            "roman",
            "speech",
            "stack",
            "transformer",
            "translator",
            "vae",
            "vectors",
            "words",
            "zipcode",
        ),
        "whose answers are classes or numbers, got a page without a `probe`",
    ),
}
SETTINGS = {"lenet1989": {"modern": True, "passes": 2}, "mlp": {"pipelines": False}}  # by `fit`, and soon
FITTED = [name for name in PAGES if name not in REFUSED]


@pytest.fixture(scope="module", params=FITTED)
def fitted(request: pytest.FixtureRequest, place: Path) -> Page:
    page = page_of(request.param, place)
    return page._replace(settings={**page.settings, **SETTINGS.get(page.like, {})})


@pytest.fixture(scope="module")
def whole(fitted: Page, place: Path) -> Path:
    return begin(fitted.name, fitted.settings, Order(**fitted.order(members=2)), place / "members").folder


@pytest.mark.parametrize("at", [3, -3])
def test_kill_then_resume(fitted: Page, whole: Path, tmp_path: Path, fork: Fork, at: int) -> None:
    """Killed in the first member, and in the last."""
    steps = sum(json.loads(line)["stage"] == "m0_train" for line in (whole / "log.jsonl").read_text().splitlines())
    code, folder, said = run(fork, fitted, tmp_path / "runs", order=fitted.order(members=2), every=2, when="step",
                             at=at if at > 0 else steps - at)  # fmt: skip
    assert code == -9, said
    assert (folder / "state" / "m0_train.safetensors").exists()
    resume(folder, fitted)
    same(folder, whole)
    assert (folder / "state" / "m1_train.safetensors").exists()


def test_loaded_it_answers_as_one(fitted: Page, whole: Path, place: Path) -> None:
    from milestones.media import read

    one, two = (load(str(whole), page_name=own(fitted)) for _ in range(2))
    assert isinstance(one.model, Ensemble)
    assert len(one.model.members) == 2
    pairs = zip(*(member.parameters() for member in one.model.members), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs), "each has weights of its own"
    inputs = [item for file in tiny.inputs(fitted.like, one.facts, place) for item in read(file)]
    answers = [[{k: v.plain() for k, v in answer.items()} for answer in run.use(inputs)] for run in (one, two)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(inputs)
    single = [one.system.use(member, one.facts, inputs) for member in one.model.members]
    for found, *each in zip(answers[0], *single, strict=True):
        first = next(iter(found))
        mean: dict[str, float] = {}
        for answer in each:
            ranking = answer[first]
            for label, chance in zip(ranking.labels, ranking.chances, strict=True):
                mean[label] = mean.get(label, 0.0) + chance / 2
        powers = {label: chance ** (1 / float(one.model.temperature)) for label, chance in mean.items()}
        for row in found[first]:
            assert row["chance"] == pytest.approx(powers[row["label"]] / sum(powers.values()), abs=1e-4)


def test_report(fitted: Page, whole: Path) -> None:
    report = json.loads((whole / "report.json").read_text())
    ours = report["members"]
    assert (ours["count"], ours["trained"], len(ours["errors"]), len(ours["seconds"])) == (2, 2, 2, 2)
    assert ours["mean_error"] == pytest.approx(sum(ours["errors"]) / 2)
    scores = report["scores"]
    error = scores["error"]["value"] if "error" in scores else 100 - scores["accuracy"]["value"]
    assert ours["error"] == pytest.approx(error)
    assert sum(ours["seconds"]) == pytest.approx(report["seconds"], abs=0.02)
    page = (whole / "report.html").read_text()
    assert "2 nets answer as one" in page
    assert "Reliability" in page
    assert "--members 2" in report["command"]
    assert {path.name.split("_")[0] for path in (whole / "shows").glob("m*_*")} <= {"m0"}, "the first one shows"


def test_scored_again(fitted: Page, whole: Path) -> None:
    one = load(str(whole), page_name=own(fitted))
    place = Place(torch.device("cpu"), 0, choice=Choice(fitted.data, fitted.target))
    data = one.system.prepare(one.knobs, place)
    found = one.system.score(one.knobs, one.model, data, place)
    reported = json.loads((whole / "report.json").read_text())["scores"]
    assert {name: score.value for name, score in found.items()} == {n: s["value"] for n, s in reported.items()}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_pages_that_have_no_mean(name: str, place: Path, tmp_path: Path) -> None:
    page = page_of(name, place)
    with pytest.raises(UserError, match=REFUSED[name]):
        begin(page.name, page.settings, Order(**page.order(members=2)), tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing is left"


@pytest.mark.parametrize(("name", "settings"), [("lenet1989", {"passes": 1}), ("mlp", {"method": "rprop"})])
def test_a_loop_of_its_own(name: str, settings: dict[str, Any], place: Path, tmp_path: Path) -> None:
    page = page_of(name, place)
    with pytest.raises(UserError, match="a page that trains by `fit` with these settings, got a training with a loop"):
        begin(page.name, {**page.settings, **settings}, Order(**page.order(members=2)), tmp_path)


@pytest.mark.parametrize("count", [0, -3, 101, 1000])
def test_how_many(count: int, place: Path, tmp_path: Path) -> None:
    page = page_of("lenet", place)
    with pytest.raises(UserError, match=r"expected --members from 1 to 100, got .*Leave it out for one net"):
        begin(page.name, page.settings, Order(**page.order(members=count)), tmp_path)


def test_one_member_is_the_plain_run(trained_lenet: Path, place: Path, tmp_path: Path) -> None:
    page = page_of("lenet", place)
    folder = begin(page.name, page.settings, Order(**page.order(members=1)), tmp_path).folder
    assert (folder / "weights.safetensors").read_bytes() == (trained_lenet / "weights.safetensors").read_bytes()
    assert "members" not in json.loads((folder / "config.json").read_text())


def test_each_takes_the_weights_of_another_run(trained_lenet: Path, place: Path, tmp_path: Path) -> None:
    page = page_of("lenet", place)
    settings = {**page.settings, "steps": 1, "lr": 1e-12, "average": 0.0}
    order = Order(**page.order(members=2, origin=str(trained_lenet)))
    found = load(str(begin(page.name, settings, order, tmp_path).folder))
    before = load(str(trained_lenet)).model.state_dict()
    for member in found.model.members:  # type: ignore[union-attr]
        for name, tensor in member.state_dict().items():
            torch.testing.assert_close(tensor, before[name])


def test_stopped_after_a_member_and_resumed(place: Path, tmp_path: Path, fork: Fork) -> None:
    """What is there answers; the rest is trained later."""
    page = page_of("lenet", place)
    code, folder, said = run(fork, page, tmp_path / "runs", order=page.order(members=3), when="step", at=45,
                             what="stop")  # fmt: skip
    assert code == 0, said
    report = json.loads((folder / "report.json").read_text())
    if report["ended"] == "finished":
        pytest.skip("it had ended before it looked for the stop file")
    assert report["members"]["trained"] < 3
    assert load(str(folder)).model.shares.count_nonzero() == report["members"]["trained"]
    resume(folder, page)
    assert load(str(folder)).model.shares.count_nonzero() == 3


def test_final_split_has_no_temperature(place: Path, tmp_path: Path) -> None:
    page = page_of("lenet", place)
    folder = begin(page.name, page.settings, Order(**page.order(members=2, split="final")), tmp_path).folder
    assert float(load(str(folder)).model.temperature) == 1.0
    found = json.loads((folder / "report.json").read_text())["calibration"]
    assert "temperature" not in found
    assert "answering" not in found
    assert math.isfinite(found["error"])


def test_edited_count(place: Path, tmp_path: Path) -> None:
    page = page_of("lenet", place)
    folder = begin(page.name, page.settings, Order(**page.order(members=2)), tmp_path).folder
    config = json.loads((folder / "config.json").read_text())
    for count, message in ((3, "weights"), (10**9, "1 to 100 members")):
        (folder / "config.json").write_text(json.dumps({**config, "members": count}))
        with pytest.raises(UserError, match=message):
            load(str(folder))
    with pytest.raises(UserError, match="1 to 100 members"):
        go_on(folder, "", None, lambda _: None)


def test_the_command_repeats_it(place: Path, tmp_path: Path) -> None:
    from milestones.cli import main

    page = page_of("lenet", place)
    words = ["train", "lenet", "--members", "2", "--steps", "3", "--data", page.data, "--plan", children.PLAN]
    assert main([*words, "--runs", str(tmp_path)]) == 0
    command = json.loads((tmp_path / "lenet-1" / "config.json").read_text())["command"].split()
    assert main([*command[1:], "--runs", str(tmp_path)]) == 0
    first, second = ((tmp_path / f"lenet-{n}" / "weights.safetensors").read_bytes() for n in (1, 2))
    assert first == second


def test_together_as_in_turn_and_resumed(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batched net: the members that training in turn gives, up to rounding; interrupted, to the same bits."""
    from milestones.core.run import Run

    page = page_of("mlp", place)
    settings = {**page.settings, "pipelines": False}

    def weights(folder: Path) -> dict[str, torch.Tensor]:
        return load(str(folder)).model.state_dict()

    turn = begin("mlp", settings, Order(**page.order(members=3)), tmp_path / "turn").folder
    assert json.loads((turn / "config.json").read_text())["together"] == 0, "the plan was given: nothing is measured"
    monkeypatch.setattr("milestones.verbs.execute._together", lambda *_: 1.5)
    whole = begin("mlp", settings, Order(**page.order(members=3)), tmp_path / "whole").folder
    assert [path.name for path in (whole / "state").iterdir()] == ["train.safetensors"]
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(tensor, weights(turn)[name], rtol=1e-3, atol=1e-4)
    tick = children.Moment(17, lambda: os.kill(os.getpid(), signal.SIGINT))
    log = Run.log
    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", lambda self, **numbers: (log(self, **numbers), tick())[0])
        ended = begin("mlp", settings, Order(**page.order(members=3)), tmp_path / "cut")
    assert ended.ended == "interrupted"
    resume(ended.folder, page)
    same(ended.folder, whole)


def test_measured_and_kept(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.verbs.members.CLEARLY", 1e-6)  # how fast it is here is not the question
    page = page_of("mlp", place)
    said: list[str] = []
    order = Order(**{**page.order(members=8), "plan": "auto"})
    folder = begin("mlp", {**page.settings, "pipelines": False}, order, tmp_path, said.append).folder
    cost = json.loads((folder / "config.json").read_text())["together"]
    assert cost > 0
    assert any("8 members are trained as one batched net" in line for line in said)
    assert json.loads((folder / "report.json").read_text())["members"]["cost"] == cost
    assert "as one batched net" in (folder / "report.html").read_text()
