"""Contests: openings, both colours, whose points they are; players that fail, and the games that they lose by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from milestones.core.errors import UserError
from milestones.parts.keyed import keys
from milestones.worlds.games import game
from milestones.worlds.games.arena import (
    EVEN,
    Played,
    both,
    contest,
    distinct,
    in_pairs,
    openings,
    points_of,
    replayed,
    share,
    usual_plies,
)
from milestones.worlds.games.opponents import opponent, winning

FOUR, THREE = game("connect_four"), game("tictactoe")


class Scripted:
    """Plays the first move that is allowed, and fails where it is told to."""

    def __init__(self, name: str = "scripted", fails: str = "", at: int = 0) -> None:
        self.name, self.fails, self.at, self.asked, self.closed = name, fails, at, 0, 0
        self.lines: list[tuple[int, ...]] = []

    def moves(self, states: np.ndarray, lines: Sequence[Sequence[int]], seeds: np.ndarray) -> np.ndarray:
        self.asked += 1
        self.lines += [tuple(line) for line in lines]
        assert len(seeds) == len(states) == len(lines)
        found = FOUR.turn(states).legal.argmax(1)
        if any(len(line) >= self.at for line in lines):
            if self.fails == "raises":
                raise RuntimeError("out of order")
            if self.fails in ("illegal", "outside"):
                wrong = 0 if self.fails == "illegal" else 7
                found[:] = [wrong if len(line) >= self.at else move for line, move in zip(lines, found, strict=True)]
            if self.fails == "shape":
                found = found[:, None]
            if self.fails == "floats":
                found = found.astype(float)
        return found

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("name", ["tictactoe", "connect_four", "hex5", "othello6"])
def test_openings_differ_and_are_balanced(name: str) -> None:
    own = game(name)
    plies = usual_plies(own)
    found = openings(own, 12, plies, 3)
    assert found[:5] == openings(own, 5, plies, 3), "the first are the same for every count"
    assert found != openings(own, 12, plies, 4)
    states, legal = replayed(own, found)
    assert legal.all()
    assert len({state.tobytes() for state in states}) == 12
    assert all(len(line) >= plies for line in found)
    turn = own.turn(states)
    assert not turn.ended.any()
    assert not winning(own, states, turn.legal).any()
    if name != "tictactoe":  # which has so few that some are not
        value = own.playout(states.repeat(2000, 0), 9).reshape(-1, 2000).mean(1)
        assert np.abs(value).max() < EVEN + 0.3


def test_no_opening_is_the_mirror_image_of_another() -> None:
    found = openings(FOUR, 20, 2, 0)
    images = {min(line, tuple(6 - move for move in line)) for line in found if len(line) == 2}
    assert len(images) == sum(len(line) == 2 for line in found)
    three = openings(THREE, 30, 1, 0)
    assert len({line for line in three if len(line) == 1}) <= 3, "a corner, an edge, the middle"


def test_few_openings_are_longer_or_come_again() -> None:
    assert openings(FOUR, 3, 0, 0) == [(), (), ()]
    many = openings(THREE, 800, 1, 0)
    assert len(many) == 800
    assert 100 < len(set(many)) < 800
    with pytest.raises(UserError, match="openings of tic-tac-toe after which it goes on, got none of 9 moves"):
        openings(THREE, 2, 9, 0)


def test_points_are_those_of_the_first_player_named() -> None:
    """Who makes the first allowed move each time wins or loses by the beginning alone: by hand, 0 fills column after
    column, so it is seen whose stones are whose."""
    one, other = Scripted("one"), Scripted("other")
    games = list(contest(FOUR, (one, other), [(0, (), 0), (1, (), 1), (2, (3,), 0), (3, (3,), 1)], 0))
    assert sorted((played.opening, played.first) for played in games) == [(0, 0), (1, 1), (2, 0), (3, 1)]
    by = {played.opening: played for played in games}
    assert by[0].line == by[1].line
    assert by[0].points == 1 - by[1].points != 0.5
    assert by[2].line[0] == 3
    assert by[2].line == by[3].line
    assert by[2].points == 1 - by[3].points
    assert points_of(FOUR, games) == [played.points for played in games]
    assert max(one.asked, other.asked) <= 42, "all side by side"


def test_lines_are_told_whole() -> None:
    one = Scripted()
    list(contest(FOUR, (one, opponent("random", FOUR)), [(0, (3, 3), 0)], 0))
    assert one.lines[0] == (3, 3)
    assert [len(line) for line in one.lines] == list(range(2, 2 + 2 * len(one.lines), 2))


def test_a_draw_is_half_a_point() -> None:
    perfect = opponent("perfect", THREE)
    games = list(contest(THREE, (perfect, perfect), both([(), (4,)]), 0))
    assert [played.points for played in games] == [0.5] * 4
    assert in_pairs(games) == [1, 1]


@pytest.mark.parametrize(("fails", "reason"), [
    ("raises", "RuntimeError: out of order"),
    ("illegal", "the move 1, which is not allowed"),
    ("outside", "the move number 7, which is not allowed"),
    ("shape", "TypeError: int64 of shape (1, 1) for 1 moves"),
    ("floats", "TypeError: float64 of shape (1,) for 1 moves"),
])  # fmt: skip
def test_a_player_that_fails_forfeits(fails: str, reason: str) -> None:
    """Only the games in which it fails, and only after the moves that were right."""
    games = list(contest(FOUR, (Scripted(fails=fails, at=8), Scripted("other")), both([(0, 1), (2,)]), 0))
    assert len(games) == 4
    for played in games:
        assert played.points == 0
        assert played.forfeit == reason
        assert 8 <= len(played.line) <= 9
    turned = list(contest(FOUR, (Scripted("other"), Scripted(fails=fails, at=8)), both([(0, 1), (2,)]), 0))
    assert [played.points for played in turned] == [1] * 4


def test_one_bad_position_costs_one_game() -> None:
    class Picky(Scripted):
        def moves(self, states: np.ndarray, lines: Sequence[Sequence[int]], seeds: np.ndarray) -> np.ndarray:
            if any(line and line[0] == 3 for line in lines):
                raise MemoryError("too much of the middle")
            return super().moves(states, lines, seeds)

    games = list(contest(FOUR, (Picky(), Scripted()), both([(3,), (2,)]), 0))
    assert [played.forfeit for played in sorted(games)] == ["MemoryError: too much of the middle"] * 2 + ["", ""]


def test_a_record_that_breaks_the_rules_is_seen() -> None:
    good, too_soon, illegal = (3, 0, 3, 0, 3, 0, 3), (3, 0, 3), (0,) * 7
    games = [Played(0, 0, line, 1.0) for line in (good, too_soon, illegal, (9,), (*good, 1))]
    assert points_of(FOUR, games) == pytest.approx([1, *[float("nan")] * 4], nan_ok=True)
    assert points_of(FOUR, [Played(0, 1, good, 0.0)]) == [0]


def test_mirror_images_are_one_game() -> None:
    lines = [(3, 0, 3), (3, 6, 3), (3, 0, 3), (3, 1, 3)]
    assert distinct(FOUR, [Played(k, 0, line, 1.0) for k, line in enumerate(lines)]) == 2


def test_a_share_is_a_score() -> None:
    found = share(FOUR, opponent("greedy", FOUR), "random", pairs=20)
    assert found.unit == "%"
    assert found.over == 40
    assert 70 < found.value <= 100
    assert found.low <= found.value <= found.high
    assert "different games" in found.note
    assert found == share(FOUR, opponent("greedy", FOUR), "random", pairs=20)


def test_games_do_not_depend_on_their_neighbours() -> None:
    player, lines = opponent("random", FOUR), both(openings(FOUR, 6, 3, 0))
    together = sorted(contest(FOUR, (player, player), lines, 5))
    alone = sorted(played for line in lines for played in contest(FOUR, (player, player), [line], 5))
    assert together == alone


def test_keys_are_not_shared_out_twice() -> None:
    many = keys(3, np.arange(2000) % 50, np.arange(2000) // 50)
    assert len(set(many.tolist())) == 2000
