"""AlphaGo: its losses and its search against NumPy, its stages, what it says of positions, and what it is not given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')


from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Place
from milestones.media import Text
from milestones.systems import alphago as page
from milestones.worlds.games import sampled
from milestones.worlds.games.recorded import Ended, Recorded
from milestones.worlds.games.rollouts import TOLD, table
from milestones.worlds.games.thinking import How, think, usual

CPU = torch.device("cpu")
TINY = {"games": 40, "depth": 2, "channels": 4, "steps": 6, "batch": 8, "fast_steps": 4, "reinforce_steps": 6,
        "reinforce_games": 4, "join": 2, "selves": 2, "positions": 24, "until": 6, "value_steps": 6, "held": 8,
        "searched": 3, "pairs": 1}  # fmt: skip


def knobs_of(**settings: Any) -> page.Knobs:
    return changed(page.Knobs(), {**TINY, **settings}, "alphago")


def net_of(**settings: Any) -> tuple[page.AlphaGo, dict[str, Any]]:
    """Nets of any weights, and what they have to know of the game."""
    knobs = knobs_of(**settings)
    facts = page.prepare(knobs, Place(CPU, 0)).facts
    torch.manual_seed(0)
    model = page.AlphaGo(knobs, facts)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.eval(), facts


def some(count: int = 12, plies: int = 9) -> np.ndarray:
    """Positions after moves at random."""
    game, rng = table("go5"), np.random.default_rng(0)
    states = game.begin(count)
    for _ in range(plies):
        legal = game.turn(states).legal
        legal[:, -1] = False
        states, _ = game.step(states, (rng.random(legal.shape) * legal).argmax(1))
    return states


def test_a_policy_is_scored_as_in_numpy() -> None:
    model, _ = net_of()
    rng = np.random.default_rng(0)
    planes = torch.from_numpy(rng.integers(0, 2, (20, 8, 5, 5), np.uint8))
    move, told = torch.from_numpy(rng.integers(0, 26, 20)), torch.zeros(20, 25, TOLD, dtype=torch.int16)
    for net, seen in ((model.policy, planes), (model.fast, told)):
        terms = page.move_loss(net, Recorded(planes, move, told))
        logits = net(seen).detach().double().numpy()
        says = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert float(terms["loss"].detach()) == pytest.approx(-np.log(says[np.arange(20), move]).mean(), abs=1e-5)
        assert float(terms["error"]) == pytest.approx(100 * (logits.argmax(1) != move.numpy()).mean())


def test_a_value_is_scored_as_in_numpy() -> None:
    model, _ = net_of()
    planes = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (20, 8, 5, 5), np.uint8))
    result = torch.where(torch.arange(20) % 3 == 0, 1.0, -1.0)
    terms = page.value_loss(model.value, Ended(planes, result))
    worth = model.value(planes).detach().numpy()
    assert np.abs(worth).max() < 1 and worth.std() > 0
    assert float(terms["loss"].detach()) == pytest.approx(((worth - result.numpy()) ** 2).mean(), abs=1e-6)
    assert float(terms["spread"].detach()) == pytest.approx(worth.std(), abs=1e-6)


def test_a_leaf_mixes_value_and_rollout() -> None:
    """Equation of the paper's "Searching with policy and value networks": (1 - lambda) v + lambda z."""
    model, _ = net_of(mix=0.25)
    game, states = table("go5"), some()
    value, rollout = page.said(model.value, game, states), model.fast.finish(game, states)
    scores, worth = model.looked(game, states)
    assert np.allclose(worth, 0.75 * value + 0.25 * rollout, atol=1e-6) and set(rollout.tolist()) <= {-1.0, 1.0}
    assert np.allclose(scores, 0.67 * page.said(model.policy, game, states), atol=1e-6)
    for parts, want in (((True, True, False), value), ((True, False, True), rollout)):
        assert np.allclose(model.having(*parts).looked(game, states)[1], want, atol=1e-6)
    fast = model.having(False, True, True).looked(game, states)
    assert np.allclose(fast[1], worth, atol=1e-6)
    legal = game.turn(states).legal
    assert np.isfinite(fast[0][legal]).all() and not np.allclose(fast[0][legal], scores[legal])
    assert model.mix == 0.25 and model.prior, "the model itself stays whole"


def test_a_thought_is_one_of_its_position_alone() -> None:
    model, facts = net_of()
    states = some()
    together = think(model, facts, states, 30, trees=True)
    for n in (0, 5, 11):
        alone = think(model, facts, states[n : n + 1], 30, trees=True)
        assert alone.move[0] == together.move[n] and alone.line[0] == together.line[n]
        assert np.array_equal(alone.visits[0], together.visits[n])
    assert usual(facts, 7) == How(7, considered=0, c=facts["puct"]) and usual({}, 7) == How(7)
    legal = table("go5").turn(states).legal
    at_once = think(model, facts, states, 0).move
    scores = np.where(legal, page.said(model.policy, table("go5"), states), -np.inf)
    assert np.array_equal(at_once, scores.argmax(1)), "without a search the likeliest move"


def test_use_says_what_it_thinks() -> None:
    model, facts = net_of()
    (said,) = page.use(model, facts, [Text("c3 b2")], simulations=20)
    assert list(said) == ["board", "considered", "line", "win"]
    assert said["board"].visits.sum() > 0  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="a move that is allowed there"):
        page.use(model, facts, [Text("c3 c3")], simulations=2)


def test_moves_of_games_that_were_won_become_likelier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule by which Black wins who opens in the first two columns: the policy finds out, earlier selves change."""
    knobs = knobs_of(reinforce_steps=40, reinforce_games=32, reinforce_lr=0.02)
    model, _ = net_of()
    game, real = table("go5"), sampled.duel

    def rigged(*words: Any) -> sampled.Moves:
        found = real(*words)
        found = sampled.Moves(*(field[found.ply == 0] for field in found))
        won = (found.move % 5 < 2) & (found.move < 25)
        return found._replace(result=np.where(won, 1, -1).astype(np.float32))

    def share(net: torch.nn.Module) -> float:
        chance = torch.from_numpy(page.said(net, game, game.begin(1))).softmax(-1)[0, :25].view(5, 5)
        return float(chance[:, :2].sum())

    monkeypatch.setattr(page, "duel", rigged)
    with Run(tmp_path, Place(CPU, 0), "exact") as run:
        page.reinforce(knobs, model, game, run)
    assert share(model.policy) < 0.6 and share(model.actor) > 0.8
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    won = [line["won"] for line in lines]
    assert np.mean(won[-5:]) > np.mean(won[:5]) + 20


def test_what_cannot_be_learned_from(tmp_path: Path) -> None:
    for settings, data, message in (
        ({"game": "hex5"}, "", "a game of go: go5 to go19, got --game hex5"),
        ({"game": "go7"}, "", "--data with records of go on 7 x 7, got none, and those that ship are on 5 x 5"),
        ({"games": 4}, "", "at least 10 games to learn from, got 4"),
        ({}, str(tmp_path / "none.sgf"), "an SGF file or a folder of them"),
        ({}, str(tmp_path / "large.sgf"), "games of go on 5 x 5 in .*a board of 9 x 9"),
    ):
        (tmp_path / "large.sgf").write_text("(;GM[1]SZ[9];B[cc];W[dd])")
        with pytest.raises(UserError, match=message):
            page.prepare(knobs_of(**settings), Place(CPU, 0, choice=Choice(data)))


def test_records_of_ones_own(tmp_path: Path) -> None:
    """What cannot be used is left out, and counted."""
    import gzip

    text = gzip.decompress(page.RECORDS.read_bytes()).decode()
    lines = text.splitlines()[:30]
    (tmp_path / "some.sgf").write_text("\n".join(lines))
    (tmp_path / "bad.sgf").write_text("(;GM[1]SZ[5];B[cc];W[cc])")
    facts = page.prepare(knobs_of(games=0), Place(CPU, 0, choice=Choice(str(tmp_path)))).facts
    assert facts["data"]["games"] == 30 and facts["data"]["left_out"] == 1
    assert "C3 as move 2" in facts["data"]["first_left_out"]
    assert facts["kind"] == "game" and facts["title"] == "go"
