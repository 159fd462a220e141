"""Self-play against a plain record of what happened, saved and begun again in the middle of games; the window against a
plain list; twins against the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.state import pack, unpack
from milestones.parts.tower import Tower, player
from milestones.worlds.games import Game, game, selfplay
from milestones.worlds.games.selfplay import Course, Group, SelfPlay
from milestones.worlds.games.thinking import Found, How
from milestones.worlds.games.window import Positions, Window, turned

EVERY = np.arange(6)


class Dice:
    """Searches that find anything: a legal move, a value, sometimes a proof."""

    def __init__(self, table: Game, proofs: float) -> None:
        self.table, self.proofs, self.rng = table, proofs, np.random.default_rng(3)

    def found(self, states: np.ndarray) -> Found:
        legal = self.table.turn(states).legal
        policy = (self.rng.random(legal.shape) * legal).astype(np.float32)
        exact = self.rng.random(len(states)) < self.proofs
        value = np.where(exact, self.rng.integers(-1, 2, len(states)), self.rng.random(len(states)) * 1.8 - 0.9)
        return Found(policy.argmax(1), policy / policy.sum(1, keepdims=True), value.astype(np.float32), exact)


def outcome(group: Group, slot: int, found: Found) -> tuple[float, bool]:
    """The result of the game for the mover, and whether it is over, by the rules of the course."""
    _, turn = group.game.step(group.states[slot : slot + 1], found.move[slot : slot + 1])
    if bool(turn.ended[0]):
        return -float(turn.value[0]), True
    return float(found.value[slot]), bool(found.exact[slot]) and group.course.stop


@pytest.mark.parametrize(("name", "course", "proofs"), [
    ("tictactoe", Course(), 0.0),
    ("tictactoe", Course(stop=False, trust=0.3), 0.2),
    ("connect_four", Course(strewn=0.5, most=6, trust=0.25), 0.05),
    ("othello6", Course(strewn=1.0, most=40), 0.01),
])  # fmt: skip
def test_what_is_learned_is_what_happened(name: str, course: Course, proofs: float) -> None:
    table = game(name)
    group, dice = Group(table, EVERY, 5, course), Dice(table, proofs)
    lived: list[list[tuple[Any, ...]]] = [[] for _ in EVERY]  # state, policy, value, exact
    ends, over_by_rule = 0, 0
    for _ in range(150):
        found, want = dice.found(group.states), list[tuple[Any, ...]]()
        for slot in EVERY:
            lived[slot].append((group.states[slot].copy(), found.policy[slot], found.value[slot], found.exact[slot]))
            result, over = outcome(group, slot, found)
            if not over:
                continue
            ends += 1
            over_by_rule += not found.exact[slot]
            for back, (state, policy, value, exact) in enumerate(reversed(lived[slot])):
                ended = result if back % 2 == 0 else -result
                won, lost = float(ended == 1), float(ended == -1)
                if exact:
                    won, lost = float(value == 1), float(value == -1)
                else:
                    won = (1 - course.trust) * won + course.trust * (1 + value) / 2
                    lost = (1 - course.trust) * lost + course.trust * (1 - value) / 2
                want.append((slot, len(lived[slot]) - 1 - back, state, policy, won, lost))
            lived[slot] = []
        rows = group.step(found)
        want.sort(key=lambda row: row[:2])
        assert len(rows.states) == len(want)
        for row, (_, _, state, policy, won, lost) in enumerate(want):
            assert np.array_equal(rows.states[row], state)
            assert np.allclose(rows.policy[row], policy, atol=1e-3)
            assert rows.chance[row].tolist() == pytest.approx([won, lost], abs=2e-3)
        assert not table.turn(group.states).ended.any()
    assert ends > 20 and over_by_rule > 3


def test_long_games_find_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a search is the first to need it, as in go, whose games are longer than their random openings."""
    table = game("othello6")

    def learned() -> list[Positions]:
        group, dice = Group(table, EVERY, 5, Course()), Dice(table, 0.0)
        return [group.step(dice.found(group.states)) for _ in range(80)]

    wide = learned()
    monkeypatch.setattr(selfplay, "ROOM", 2)
    for one, other in zip(wide, learned(), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert sum(len(one.states) for one in wide) > 200


def test_the_kth_game_begins_alike_whatever_else_is_played() -> None:
    table, course = game("connect_four"), Course(strewn=0.7, most=10)
    many, few = Group(table, EVERY, 1, course), Group(table, EVERY[2:4], 1, course)
    assert np.array_equal(many.states[2:4], few.states)
    many._begin(np.array([3, 5]))
    few._begin(np.array([1]))
    assert np.array_equal(many.states[3], few.states[1])
    assert np.array_equal(many.keys()[2:4], few.keys()) and len(set(many.keys().tolist())) == 6
    other = Group(table, EVERY, 2, course)
    assert not np.array_equal(other.states, Group(table, EVERY, 1, course).states)


def test_openings_are_strewn_as_asked() -> None:
    """What is left of them to the most is spread evenly in its logarithm."""
    group = Group(game("connect_four"), np.arange(4000), 0, Course(strewn=0.5, most=7))
    left = 8 ** ((np.arange(100_000) + 0.5) / 100_000)
    want = np.bincount((8 - left).round().astype(int), minlength=8) / 100_000
    want = 0.5 * want + np.array([0.5, *[0.0] * 7])
    assert np.bincount(group.first, minlength=8) / 4000 == pytest.approx(want, abs=0.03)
    moves = group.past.move[group.first >= 5, :4]
    assert np.bincount(moves[:, 3], minlength=7) / len(moves) == pytest.approx([1 / 7] * 7, abs=0.06)


def saved(state: Any) -> Any:
    """As a file gives it back."""
    tensors: dict[str, torch.Tensor] = {}
    tree = pack(state, tensors, {}, "state")
    return unpack(tree, tensors)


@pytest.mark.parametrize("name", ["tictactoe", "othello6", "hex3"])
def test_begun_again_in_the_middle_of_games(name: str) -> None:
    table, course = game(name), Course(strewn=0.5, most=3, trust=0.5)
    group, dice = Group(table, EVERY, 5, course), Dice(table, 0.02)
    for _ in range(23):
        group.step(dice.found(group.states))
    again = Group(table, EVERY, 5, course)
    again.load_state_dict(saved(group.state_dict()))
    for _ in range(30):
        found = dice.found(group.states)
        for one, two in zip(group.step(found), again.step(found), strict=True):
            assert np.array_equal(one, two)
        assert np.array_equal(group.states, again.states) and np.array_equal(group.keys(), again.keys())


def test_a_state_that_leads_elsewhere_is_refused() -> None:
    table = game("tictactoe")
    group, dice = Group(table, EVERY, 5, Course()), Dice(table, 0.0)
    for _ in range(3):
        group.step(dice.found(group.states))
    good = saved(group.state_dict())
    move = good["move"].clone()
    move[0, 1] = move[0, 0]
    with pytest.raises(ValueError, match="a move that the rules do not allow, at move 2"):
        Group(table, EVERY, 5, Course()).load_state_dict({**good, "move": move})
    with pytest.raises(ValueError, match="a move that the rules do not allow"):
        Group(table, EVERY, 5, Course()).load_state_dict({**good, "move": move + 100})
    with pytest.raises(ValueError, match="other positions than its moves lead to"):
        Group(table, EVERY, 5, Course()).load_state_dict({**good, "states": good["states"] + 1})
    with pytest.raises(ValueError, match="6 games of"):
        Group(table, EVERY[:5], 5, Course()).load_state_dict(good)


def test_threads_change_nothing() -> None:
    table, how = game("connect_four"), How(8, noise=True)
    torch.manual_seed(0)
    net = player(Tower(table.facts["shape"], 7, 1, 8))
    found = []
    for threads in (1, 2):
        games = SelfPlay(table, 24, 8, 0, Course(strewn=0.5, most=8))
        before = torch.get_num_threads()
        try:
            found.append([games.play(net, how, 6, threads) for _ in range(3)])
        finally:
            torch.set_num_threads(before)
        assert games.steps == 18 and games.observation.shape == (24, *table.facts["shape"])
    for one, two in zip(*found, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert sum(len(rows.states) for rows in found[0]) > 20


def test_saved_whole() -> None:
    table, how = game("tictactoe"), How(6, noise=True)
    net = player(Tower(table.facts["shape"], 9, 1, 4))
    games, again = (SelfPlay(table, 10, 4, 0, Course(trust=0.5)) for _ in range(2))
    games.play(net, how, 5)
    again.load_state_dict(saved(games.state_dict()))
    one, two = games.play(net, how, 4), again.play(net, how, 4)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    fresh = games.fresh(3, 9)
    assert len(fresh.observation) == 3 and fresh.facts == games.facts
    assert fresh.facts["kind"] == "game" and fresh.facts["board"]["turn"] == 1


def test_the_window_is_a_list_of_the_newest() -> None:
    window, past, rng = Window(1, 2, 50, 10, 0.5), list[int](), np.random.default_rng(0)
    for size in (3, 0, 7, 20, 1, 80, 4, 300, 2):
        numbers = rng.integers(0, 1000, size)
        window.add(
            Positions(
                numbers[:, None].astype(np.uint64),
                np.zeros((size, 2)),
                np.zeros((size, 2)),
                np.zeros((size, 0), np.int8),
            )
        )
        past += numbers.tolist()
        count = len(past)
        assert len(window) == round(min(count, 50, 10 * max(1, count / 10) ** 0.5))
        newest = past[count - len(window) :]
        torch.manual_seed(0)
        assert set(window.draw(2000).states[:, 0].tolist()) == set(newest)
        again = Window(1, 2, 50, 10, 0.5)
        again.load_state_dict(saved(window.state_dict()))
        torch.manual_seed(0)
        assert again.count == window.count
        assert set(again.draw(2000).states[:, 0].tolist()) == set(newest)
    with pytest.raises(ValueError, match="positions of"):
        Window(1, 3, 50, 10, 0.5).load_state_dict(window.state_dict())


@pytest.mark.parametrize("name", ["tictactoe", "connect_four", "hex4", "othello6"])
def test_a_twin_is_a_position_with_its_moves(name: str) -> None:
    """What is turned together with its moves is again a position of the game: the turned moves are those it allows."""
    table = game(name)
    states = table.begin(200)
    rng = np.random.default_rng(1)
    for k in range(8):
        on = rng.random(200) < 1 - k / 10
        legal = table.turn(states).legal
        move = (rng.random(legal.shape) * legal).argmax(1)
        after, turn = table.step(states, move)
        states = np.where((on & ~turn.ended)[:, None], after, states)
    legal = table.turn(states).legal
    chance = rng.random((200, 2)).astype(np.float16) / 2
    torch.manual_seed(0)
    found = turned(
        table,
        Positions(
            states, (legal / legal.sum(1, keepdims=True)).astype(np.float16), chance, np.zeros((200, 0), np.int8)
        ),
    )
    cells, moves = table.twins()
    planes, turns = table.planes(states), []
    for n in range(200):
        mine, its = planes[n].reshape(len(planes[n]), -1), found.planes[n].flatten(1).numpy()
        fits = [g for g in range(len(cells)) if np.array_equal(mine[:, cells[g]], its)]
        assert fits
        allowed = found.policy[n].numpy() > 0
        assert any(np.array_equal(legal[n][moves[g]], allowed) for g in fits)
        turns += fits if len(fits) == 1 else []
        three = [chance[n, 0], 1 - float(chance[n, 0]) - float(chance[n, 1]), chance[n, 1]]
        assert found.chance[n].tolist() == pytest.approx([float(c) for c in three], abs=1e-3)
    assert len(set(turns)) == len(cells), "all of them are drawn"
