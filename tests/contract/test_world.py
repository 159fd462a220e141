"""A page that plays in a world: it trains, is killed and resumed, scored, used, shown, compared; what does not fit is
refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from contract.conftest import Page
from contract.test_resume import log, resume, run, same, weights

from milestones.catalog import load
from milestones.cli import main
from milestones.core.errors import UserError
from milestones.verbs.execute import Order, begin

Fork = Callable[..., Any]
FILE = str(Path(__file__).parent / "pages" / "player.py")
PLAN = {"plan": "contiguous/float32/1"}
PAGE = Page(FILE, "player", {}, "", "")

BRITTLE = """
import gymnasium, numpy as np

class Brittle(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)
    def reset(self, seed=None, options=None):
        self.left = 4
        return np.zeros(1, np.float32), {}
    def step(self, action):
        global made
        made += 1
        self.left -= 1
        if made == most:
            raise OSError("the camera is gone")
        return np.zeros(1, np.float32), 1.0, self.left == 0, False, {}

made, most = 0, 150
gymnasium.register("Brittle-v0", Brittle)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(FILE, {}, Order(**PLAN), tmp_path_factory.mktemp("player") / "runs").folder


@pytest.mark.parametrize(("when", "at"), [("step", 3), ("step", 17), ("rename", 5), ("line", 9), ("weights", 1)])
def test_killed_in_the_middle_of_episodes(whole: Path, tmp_path: Path, fork: Fork, when: str, at: int) -> None:
    code, folder, said = run(fork, PAGE, tmp_path / "runs", order=PLAN, every=2, when=when, at=at)
    assert code == -9, said
    resume(folder, PAGE)
    same(folder, whole)
    assert json.loads((folder / "report.json").read_text())["world"]["reproducible"] is True


def test_stopped_and_resumed(whole: Path, tmp_path: Path, fork: Fork) -> None:
    code, folder, said = run(fork, PAGE, tmp_path / "runs", order=PLAN, when="step", at=11, what="term")
    assert code == 130, said
    resume(folder, PAGE)
    same(folder, whole)


def test_atari_is_resumed_to_the_same_bits(tmp_path: Path, fork: Fork) -> None:
    page = PAGE._replace(settings={"world": "pong", "together": 2, "steps": 6, "rollout": 8, "episodes": 2})
    code, folder, said = run(fork, page, tmp_path / "runs", order=PLAN, every=2, when="step", at=4)
    assert code == -9, said
    resume(folder, page)
    untouched = begin(FILE, page.settings, Order(**PLAN), tmp_path / "whole").folder
    same(folder, untouched)
    report = json.loads((folder / "report.json").read_text())
    world = report["world"]
    assert world["steps"] == 6 * 8 * 2 and world["frames"] == 4 * world["steps"] and world["sticky"] == 0.25
    assert report["scores"]["normalised"]["unit"] == "% of human"


def test_the_run_tells_of_its_world(whole: Path) -> None:
    report = json.loads((whole / "report.json").read_text())
    assert report["world"]["world"] == "CartPole-v1" and report["world"]["steps"] == 30 * 16 * 4
    assert report["scores"]["return"]["split"] == "fresh episodes" and report["scores"]["return"]["over"] == 4
    facts = json.loads((whole / "facts.json").read_text())
    assert facts["kind"] == "world" and facts["labels"] == ["left", "right"]
    page = (whole / "report.html").read_text()
    assert "4 fresh episodes of CartPole-v1" in page and "1,920 steps" in page
    assert page.index("<figcaption><b>return") < page.index("<figcaption><b>loss"), "the learning curve comes first"
    if list((whole / "shows").glob("episode.*")):
        assert 'src="data:image/webp;base64,' in page, "the film plays in the page"


def test_scored_again(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(whole), "--page", FILE, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["scores"]
    assert again == json.loads((whole / "report.json").read_text())["scores"]
    assert main(["score", str(whole), "--page", FILE, "--data", "x.csv"]) == 2
    assert "no data for a page that plays in a world, got --data x.csv" in capsys.readouterr().err


def test_used_without_an_input(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pygame")
    assert main(["use", str(whole), "--page", FILE]) == 0
    said = capsys.readouterr().out
    assert "episode: film, " in said and "; the episode was " in said
    assert main(["use", str(whole), "--page", FILE, "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert len(answers) == 1 and list(answers[0]) == ["input", "episode", "return"]
    assert main(["use", str(whole), "x.png", "--page", FILE]) == 2
    assert "player: expected no input for a run that plays by itself, got x.png" in capsys.readouterr().err
    trained = load(str(whole), page_name=FILE)
    one, two = (trained.use([])[0]["episode"].values for _ in range(2))
    assert one == two


@pytest.mark.parametrize(("words", "message"), [
    (["look"], "a run whose scores can be differentiated by its input, got the page player, which has no probe"),
    (["attack"], "got the page player, which has no probe"),
    (["look", "--landscape"], "a run whose page has a `loss`, got the page player, which has none"),
])  # fmt: skip
def test_what_asks_for_a_probe_or_a_loss_is_refused(words: list[str], message: str, whole: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert main([words[0], str(whole), "--page", FILE, "--runs", str(tmp_path), *words[1:]]) == 2
    said = capsys.readouterr().err
    assert message in said and said.strip().count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_what_needs_a_loss_of_examples_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["lr", FILE], "a page that descends a gradient, with a setting 'lr', got one without"),
        (["train", FILE, "--auto-lr"], "a page that descends a gradient"),
        (["train", FILE, "--members", "3"], "a page without a `loss`, whose answers cannot be averaged"),
        (["train", FILE, "--data", "digits"], "no data for a page that plays in a world, got --data digits"),
        (["train", FILE, "--world", "Pendulum-v1"], "player: expected a world with a few actions to choose among"),
        (["train", FILE, "--world", "CartPoleX-v1"], "an environment that Gymnasium knows"),
    ):
        assert main([*words, "--runs", str(tmp_path)]) == 2, words
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "nothing is left of what did not begin"


def test_the_doctor_does_not_mind_a_loss_that_rises(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(whole), "--json"]) == 0
    names = {one["name"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert not names & {"rate_high", "rate_low", "ascending", "labels_wrong"}


def test_shown_listed_and_forked(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", FILE]) == 0
    assert "takes       nothing: it plays by itself" in capsys.readouterr().out
    assert main(["runs", "--runs", str(whole.parent)]) == 0
    assert "return " in capsys.readouterr().out
    words = ["train", FILE, "--steps", "2", "--runs", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "played: 128 steps" in said.out and "see it: milestones play player-1" in said.out
    assert "player: CartPole-v1; to " in said.err


def test_compared_with_learning_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for lr in ("0.01", "0.05"):
        words = ["train", FILE, "--lr", lr, "--seeds", "3", "--runs", str(tmp_path), "--plan", PLAN["plan"]]
        assert main(words) == 0
    capsys.readouterr()
    assert main(["compare", "--runs", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(group["runs"]) for group in found["groups"]] == [3, 3]
    for curve, whole in zip(found["curves"], found["aggregates"], strict=True):
        assert curve["unit"] == "steps of the world" and curve["seeds"] == 3
        assert 0 < curve["x"][0] < curve["x"][-1] <= 1920
        rows = zip(curve["low"], curve["mean"], curve["high"], strict=True)
        assert all(low <= mean <= high for low, mean, high in rows)
        middle = whole["interquartile_mean"]
        assert whole["score"] == "return" and middle["low"] <= middle["value"] <= middle["high"]
    folder = Path(found["compare"])
    assert folder.name == "compare-1"
    page = (folder / "report.html").read_text()
    assert "return while learning" in page and "Interquartile mean" in page and "<svg" in page
    assert main(["compare", "--runs", str(tmp_path), "--curve", "loss"]) == 0
    assert "3 seeds say little, 5 or more are usual" in capsys.readouterr().out
    assert main(["compare", "--runs", str(tmp_path), "--curve", "speed"]) == 2
    assert "a curve of these runs: loss, return, got --curve speed" in capsys.readouterr().err


def test_a_world_that_fails_leaves_a_run_that_can_be_used_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brittle.py").write_text(BRITTLE)
    name = "brittle.py:Brittle-v0"
    words = ["train", FILE, "--world", name, "--runs", "runs", "--steps", "9", "--plan", PLAN["plan"]]
    try:
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f"steps without an error from {name}, got OSError: the camera is gone at step 38" in said
        assert "Mend the environment, then 'milestones resume'. What was saved before is kept" in said
        folder = tmp_path / "runs" / "player-1"
        assert json.loads((folder / "status.json").read_text())["state"] == "failed"
        load(str(folder), page_name=FILE)  # its weights are those of the last update
        gymnasium.registry.pop("Brittle-v0")
        assert main(["resume", str(folder), "--page", FILE]) == 2
        assert f"say --world {name}" in capsys.readouterr().err, "a folder names no code"
        (tmp_path / "brittle.py").write_text(BRITTLE.replace("150", "-1"))
        assert main(["resume", str(folder), "--page", FILE, "--world", name]) == 0
        again = begin(FILE, {"world": name, "steps": 9}, Order(**PLAN), tmp_path / "whole").folder
        assert weights(folder) == weights(again) and log(folder) == log(again)
    finally:
        gymnasium.registry.pop("Brittle-v0", None)


def test_a_world_that_cannot_be_replayed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork: Fork) -> None:
    """Its state is of another course; the run says so in its report."""
    from milestones.worlds.episodes import Episodes

    code, folder, said = run(fork, PAGE, tmp_path / "runs", order=PLAN, every=2, when="step", at=9)
    assert code == -9, said
    before = Episodes._seeds
    with monkeypatch.context() as patch:
        patch.setattr(Episodes, "_seeds", lambda self, slots: before(self, slots) + 1)
        resume(folder, PAGE)
    assert json.loads((folder / "report.json").read_text())["world"]["reproducible"] is False


def test_a_page_of_a_world_takes_no_json_trap(whole: Path) -> None:
    """Facts from a folder are texts and numbers: a name in them that is no world's is refused, and runs nothing."""
    facts = json.loads((whole / "facts.json").read_text())
    trained = load(str(whole), page_name=FILE)
    with pytest.raises(UserError, match="the environment Evil-v0, which running os registers"):
        trained.system.use(trained.model, {**facts, "world": "os:Evil-v0"}, [])
