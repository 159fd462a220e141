"""Perfect players: tables against plain minimax, the search of hex against the table, known openings, whole games."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from milestones.parts.connection import Hex, joined, plan, won
from milestones.parts.retrograde import Table, ternary
from milestones.parts.worths import NONE, chosen, wrong
from milestones.worlds.games import game
from milestones.worlds.games.perfect import Perfect, perfect

Stones = tuple[frozenset[int], frozenset[int]]  # of the first and the second player
OPENINGS = {
    "hex3": ["--+", "+++", "+--"],
    "hex4": ["---+", "--+-", "-+--", "+---"],
    "hex5": ["----+", "-++++", "-+++-", "++++-", "+----"],
}


@cache
def known(name: str) -> Perfect:
    found = perfect(game(name))
    assert found is not None
    return found


def touching(cell: int, side: int) -> list[int]:
    row, column = divmod(cell, side)
    near = ((row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column), (row - 1, column + 1),
            (row + 1, column - 1))  # fmt: skip
    return [r * side + c for r, c in near if 0 <= r < side and 0 <= c < side]


def joins(stones: frozenset[int], side: int, player: int) -> bool:
    """By walking from one side to the other."""

    def line(cell: int) -> int:
        return divmod(cell, side)[player]

    seen = [cell for cell in stones if line(cell) == 0]
    for cell in seen:
        seen += [other for other in touching(cell, side) if other in stones and other not in seen]
    return any(line(cell) == side - 1 for cell in seen)


def in_a_row(stones: frozenset[int]) -> bool:
    lines = ("012", "345", "678", "036", "147", "258", "048", "246")
    return any({int(c) for c in line} <= stones for line in lines)


def placed(stones: Stones, cell: int) -> Stones:
    first, second = stones
    return (first | {cell}, second) if len(first) == len(second) else (first, second | {cell})


@cache
def minimax(stones: Stones, side: int, connects: bool) -> int:
    """The worth for the one to move, by trying everything."""
    cells, taken = side * side, len(stones[0]) + len(stones[1])
    last = (taken + 1) % 2  # who has just moved
    if joins(stones[last], side, last) if connects else in_a_row(stones[last]):
        return -((cells + 2 - taken) // 2)
    free = [cell for cell in range(cells) if cell not in stones[0] | stones[1]]
    return max((-minimax(placed(stones, cell), side, connects) for cell in free), default=0)


def sets(first: int, second: int) -> Stones:
    """Sets of cells from bits."""
    one, two = (frozenset(cell for cell in range(25) if bits >> cell & 1) for bits in (first, second))
    return one, two


def reachable(name: str) -> np.ndarray:
    """All positions of a small game, those that are over too."""
    rules = game(name)
    found = every = rules.begin(1)
    while len(every):
        which, moves = np.nonzero(rules.turn(every).legal)
        every = np.unique(rules.step(every[which], moves)[0], axis=0) if len(which) else every[:0]
        found = np.concatenate([found, every])
    return found


def stones_of(name: str, states: np.ndarray) -> list[Stones]:
    rules = game(name)
    planes, second = rules.planes(states).reshape(len(states), -1, rules.facts["actions"]), rules.mover(states) == 1
    own, other = ([frozenset(np.flatnonzero(row).tolist()) for row in planes[:, k]] for k in (0, 1))
    return [(b, a) if turned else (a, b) for a, b, turned in zip(own, other, second.tolist(), strict=True)]


@pytest.mark.parametrize(("name", "count"), [("tictactoe", 5478), ("hex3", None)])
def test_every_position_is_worth_what_minimax_says(name: str, count: int | None) -> None:
    rules, states = game(name), reachable(name)
    assert count in (None, len(states))
    values, legal = known(name).values(states), rules.turn(states).legal
    assert known(name).distance
    assert values.dtype == np.int8 and np.array_equal(values == NONE, ~legal)
    for stones, row in zip(stones_of(name, states), values.tolist(), strict=True):
        for cell, value in enumerate(row):
            assert value == NONE or value == -minimax(placed(stones, cell), 3, name != "tictactoe")


@pytest.mark.parametrize("name", OPENINGS)
def test_known_openings_of_hex(name: str) -> None:
    """Which first stones win, row by row; the longer diagonal's corners always lose."""
    values = known(name).values(game(name).begin(1))[0]
    side = int(len(values) ** 0.5)
    rows = ["".join("+" if value > 0 else "-" for value in line) for line in values.reshape(side, side).tolist()]
    assert rows == OPENINGS[name]


def positions(side: int, count: int, least: int, most: int) -> np.ndarray:
    """Positions at random in which nobody has won: stones of the first, of the second, "N 2"."""
    rng, found = np.random.default_rng(side), list[tuple[int, int]]()
    while len(found) < count:
        order = rng.permutation(side * side)[: rng.integers(least, most + 1)].tolist()
        first, second = frozenset(order[::2]), frozenset(order[1::2])
        if not joins(first, side, 0) and not joins(second, side, 1):
            found.append((sum(1 << cell for cell in first), sum(1 << cell for cell in second)))
    return np.array(found)


@pytest.mark.parametrize("side", [2, 3, 4])
def test_the_search_of_hex_agrees_with_the_table(side: int) -> None:
    cells, every = side * side, np.arange(1 << side * side)
    table = Table(won(every, side, 0), won(every, side, 1), cells)
    first, second = positions(side, 1500, 0, cells - 1).T
    legal = ((first | second)[:, None] >> np.arange(cells) & 1) == 0
    want = np.where(legal, np.sign(table.scores(first, second, legal)), NONE)
    assert np.array_equal(Hex(side).scores(first, second, legal), want)
    assert np.array_equal(Hex(side, 1).scores(first[:200], second[:200], legal[:200]), want[:200]), "forgets all"


def test_late_positions_of_hex_5_are_won_by_whom_minimax_says() -> None:
    search = Hex(5)
    for first, second in positions(5, 60, 17, 24).tolist():
        assert search.wins(first, second) == (minimax(sets(first, second), 5, True) > 0)


def test_what_is_joined_cannot_be_cut() -> None:
    """On 4 x 4 the other loses whatever it does; and by hand: edges, a side taken away, diagonals."""
    every, seen = np.arange(1 << 16), 0
    table = Table(won(every, 4, 0), won(every, 4, 1), 16)
    for first, second in positions(4, 4000, 1, 12).tolist():
        player = (first.bit_count() + second.bit_count() + 1) % 2  # the other is to move
        if joined((first, second)[player], 0xFFFF & ~(first | second), player, *plan(4)) >= 0:
            legal = (first | second) >> np.arange(16) & 1 == 0
            scores = table.scores(np.array([first]), np.array([second]), legal[None])[0]
            assert (scores[legal] < 0).all()
            seen += 1
    assert seen > 200
    middle, whole = 1 << 4, 0x1FF
    assert joined(middle, whole & ~middle, 0, *plan(3)) == 0b011000110  # two cells on either side
    assert joined(middle, whole & ~middle, 1, *plan(3)) == 0b001101100
    assert joined(middle, whole & ~middle & ~(1 << 1), 0, *plan(3)) == -1
    assert joined(0b010010010, 0, 0, *plan(3)) == 0 and joined(0b010010010, whole, 1, *plan(3)) > 0
    short, long = np.array([0b001010100]), np.array([0b100010001])
    assert [bool(won(cells, 3, player)[0]) for cells in (short, long) for player in (0, 1)] == [True] * 2 + [False] * 2


def test_numbers_of_positions() -> None:
    assert ternary(np.array([0, 1, 0b101, 0b111]), 3).tolist() == [0, 1, 10, 13]


def begun(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Connect four after 14 moves at random, from where it is fast; other games from their beginning."""
    rules = game(name)
    states = rules.begin(count if name != "connect_four" else 50 * count)
    for _ in range(14 if name == "connect_four" else 0):
        legal = rules.turn(states).legal
        states, turn = rules.step(states, np.where(legal, rng.random(legal.shape), -1).argmax(1))
        states = states[~turn.ended]
    return states[:count]


@pytest.mark.parametrize("name", ["tictactoe", "hex4", "hex5", "connect_four"])
def test_a_perfect_player_gives_nothing_away(name: str) -> None:
    """Both sides perfect: who wins never changes; against one that plays at random the first never gets less."""
    rules, rng = game(name), np.random.default_rng(0)
    for both, soon in itertools.product((True, False), repeat=2):
        states = begun(name, 8, rng)
        due = np.sign(known(name).values(states).max(1))  # for the one who is to move now
        for k in range(int(rules.facts["longest"])):
            turn = rules.turn(states)
            states, due = states[~turn.ended], due[~turn.ended]
            if not len(states):
                break
            values = known(name).values(states)
            worth = np.sign(values.max(1))
            assert (worth == due).all() if both else (worth >= due if k % 2 == 0 else worth <= due).all()
            moves = chosen(values, rng, soon)
            assert not wrong(values, moves).any()
            if not both and k % 2:
                moves = np.where(turn.legal[~turn.ended], rng.random(values.shape), -1).argmax(1)
            states, due = rules.step(states, moves)[0], -worth
        assert rules.turn(states).ended.all()


def test_connect_four_is_read_as_it_is_written() -> None:
    rules = game("connect_four")
    states = rules.begin(1)
    assert known("connect_four").values(states).tolist() == [[-2, -1, 0, 1, 0, -1, -2]]
    for column in rules.parse("444444121212"):
        states, turn = rules.step(states, np.array([column]))
    values = known("connect_four").values(states)[0]
    assert not turn.ended.any() and values[3] == NONE and values[0] == values.max() == (43 - 12) // 2
    states, turn = rules.step(states, np.array([0]))
    assert turn.ended.all() and (known("connect_four").values(states) == NONE).all()


@pytest.mark.parametrize("name", ["hex4", "hex5", "tictactoe", "connect_four"])
def test_values_turn_with_the_board(name: str) -> None:
    rules, rng = game(name), np.random.default_rng(1)
    _, twins = rules.twins()
    for twin in twins:
        states = turned = rules.begin(1)
        for _ in range(16 if name == "connect_four" else 5):
            legal = np.flatnonzero(rules.turn(states).legal[0])
            if not len(legal):
                break
            move = int(rng.choice(legal))
            states, _ = rules.step(states, np.array([move]))
            turned, _ = rules.step(turned, np.flatnonzero(twin == move))
        assert np.array_equal(known(name).values(turned)[0], known(name).values(states)[0][twin])


@pytest.mark.parametrize("name", ["hex6", "hex11", "othello6"])
def test_where_nobody_is_perfect(name: str) -> None:
    assert perfect(game(name)) is None
