"""The solver of connect four against minimax, another solver's answers and known values; its position sets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milestones.data.positions import LEVELS, SETS, positions, wrong_share
from milestones.parts.solver import (
    BOARD,
    BOTTOM,
    CELLS,
    COLUMNS,
    ROWS,
    Solver,
    completing,
    count,
    four,
    layers,
    name,
    opened,
    playable,
    remaining,
    safe,
    unfolded,
)
from milestones.parts.worths import NONE, best, careful, chosen, wrong
from milestones.worlds.games.perfect import OPENING

ELSEWHERE = [
    ("71465614126", [2, 2, -2, 4, 4, 2, 2]),
    ("41274526271", [-15, -11, -15, -15, -15, -15, -15]),
    ("513733162411", [-2, -2, -1, 0, -2, -2, -2]),
    ("643566776365", [-5, -12, -5, -13, -5, -5, -15]),
    ("323625531336", [-3, -3, -4, -3, -2, -3, -2]),
    ("1645551423741", [7, -14, -14, -14, -14, -14, -14]),
    ("7752533523735", [-13, -13, 2, -14, -13, 0, -13]),
    ("6351221742222", [-2, None, 2, 4, -2, 0, -2]),
    ("4414565742654", [6, 7, 6, 5, 12, 5, 4]),
    ("51756437136621", [-11, -6, -11, -9, -6, -11, -14]),
    ("52573326313712", [2, 4, 4, 3, 4, 2, 3]),
    ("324141164373271", [-13, -13, -13, -2, -13, -13, -13]),
    ("637514542651251", [-9, -2, -11, 4, -9, 3, 0]),
    ("2636341575764742", [-13, -13, -13, -13, -13, -13, -13]),
    ("3721531461425666", [-2, -1, -2, -12, 11, -11, -11]),
    ("45345551265337633", [-6, -1, -3, -9, -7, -1, -3]),
    ("615735221441253211", [-8, -2, -2, -10, -3, -8, -7]),
    ("455677653334753662", [-12, -12, -12, 0, -12, -12, -12]),
    ("6524574737766474535", [-11, -11, -11, -11, -11, -11, -11]),
    ("4116721164264413654", [-4, -2, -10, -4, -4, -2, -4]),
    ("5314712132256677661", [-1, -1, 2, 1, 2, -2, -2]),
    ("2515133765436722342373", [-10, -10, None, -10, -10, -10, -10]),
    ("6443741476371651433266164", [-8, -8, -8, None, -8, None, -8]),
    ("4763336646556252161527157", [7, -8, -8, -8, -8, None, -8]),
]  # fmt: skip
Cells = tuple[tuple[int, ...], ...]  # each column from below: 0 the one who began, 1 the other


def dropped(columns: Cells, column: int, player: int) -> Cells:
    return (*columns[:column], (*columns[column], player), *columns[column + 1 :])


def has_four(columns: Cells, player: int) -> bool:
    """By looking along every line of four cells."""
    own = {(c, r) for c, stones in enumerate(columns) for r, stone in enumerate(stones) if stone == player}
    ways = ((1, 0), (0, 1), (1, 1), (1, -1))
    return any(all((c + k * x, r + k * y) in own for k in range(4)) for c, r in own for x, y in ways)


@cache
def minimax(columns: Cells) -> int:
    """The worth of a position for the one to move, by trying everything."""
    stones = sum(map(len, columns))
    player = stones % 2
    if has_four(columns, 1 - player):
        return -((CELLS + 2 - stones) // 2)
    after = [-minimax(dropped(columns, c, player)) for c in range(COLUMNS) if len(columns[c]) < ROWS]
    return max(after, default=0)


def played(moves: str) -> Cells:
    """The stones after moves, columns from 1."""
    columns: Cells = ((),) * COLUMNS
    for k, letter in enumerate(moves):
        columns = dropped(columns, int(letter) - 1, k % 2)
    return columns


def words(columns: Cells) -> tuple[int, int]:
    """Stones of the one to move, and all."""
    player = sum(map(len, columns)) % 2
    own = sum(1 << 7 * c + r for c, stones in enumerate(columns) for r, s in enumerate(stones) if s == player)
    mask = sum(1 << 7 * c + r for c, stones in enumerate(columns) for r in range(len(stones)))
    return own, mask


def games(rng: np.random.Generator, least: int, most: int) -> Iterator[str]:
    """Moves of games at random that are not over."""
    while True:
        stones, moves, columns = int(rng.integers(least, most + 1)), "", played("")
        while len(moves) < stones and not has_four(columns, (len(moves) + 1) % 2):
            column = int(rng.integers(COLUMNS))
            if len(columns[column]) < ROWS:
                columns, moves = dropped(columns, column, len(moves) % 2), f"{moves}{column + 1}"
        if not has_four(columns, (len(moves) + 1) % 2):
            yield moves


def states(moves: list[str]) -> np.ndarray:
    return np.array([words(played(game)) for game in moves], np.uint64).reshape(-1, 2)


def book() -> tuple[np.ndarray, int]:
    with np.load(OPENING, allow_pickle=False) as archive:
        return archive["worths"], int(archive["stones"])


def test_late_positions_are_worth_what_minimax_says() -> None:
    moves = list(itertools.islice(games(np.random.default_rng(0), 33, 41), 80))
    found = Solver(1 << 16).scores(states(moves))
    for game, scores in zip(moves, found, strict=True):
        columns = played(game)
        for c in range(COLUMNS):
            want = -minimax(dropped(columns, c, len(game) % 2)) if len(columns[c]) < ROWS else NONE
            assert scores[c] == want, (game, c)


def test_known_values() -> None:
    """From the centre the first player wins with its last stone; beside it nobody does (Allis, Allen 1988)."""
    solver = Solver(book=book()[0], stones=book()[1])
    assert solver.scores(states([""])).tolist() == [[-2, -1, 0, 1, 0, -1, -2]]
    assert solver.worths(states(["", "4", "1", "3", "5"])).tolist() == [1, -1, 2, 0, 0]
    assert solver.nodes == 0, "the book knows them"


def test_positions_of_another_solver() -> None:
    """What bitbully 0.0.79 says of positions at random; None: the column is full."""
    moves, want = zip(*ELSEWHERE, strict=True)
    found = Solver(book=book()[0], stones=book()[1]).scores(states(list(moves)))
    assert [[None if score == NONE else score for score in row] for row in found.tolist()] == list(want)


def test_wins_at_once_and_threats() -> None:
    moves = list(itertools.islice(games(np.random.default_rng(8), 22, 30), 120))
    won = threatened = 0
    for game, scores in zip(moves, Solver().scores(states(moves)), strict=True):
        columns, stones = played(game), len(game)
        free = [c for c in range(COLUMNS) if len(columns[c]) < ROWS]
        assert np.flatnonzero(scores != NONE).tolist() == free
        ours, theirs = ([c for c in free if has_four(dropped(columns, c, player), player)]
                        for player in (stones % 2, (stones + 1) % 2))  # fmt: skip
        assert np.flatnonzero(scores == (CELLS + 1 - stones) // 2).tolist() == ours
        for c in set(free) - set(ours) if theirs else ():
            assert [c] == theirs or scores[c] == -((CELLS - stones) // 2), "not stopped"
        won, threatened = won + bool(ours), threatened + bool(theirs)
    assert won > 10 and threatened > 10
    assert (Solver(1).scores(states(["1122334"])) == NONE).all(), "over"


def test_what_is_over_or_drawn() -> None:
    columns = (*((0, 1, 0, 1, 0, 1),) * 2, *((1, 0, 1, 0, 1, 0),) * 2, *((0, 1, 0, 1, 0, 1),) * 2, (0, 1, 0, 1, 0))
    assert not has_four(columns, 0) and not has_four(columns, 1)
    assert Solver(1 << 10).scores(np.array([words(columns)], np.uint64)).tolist() == [[NONE] * 6 + [minimax(columns)]]


@pytest.mark.parametrize("entries", [1, 1 << 8])
def test_forgetting_changes_no_worth(entries: int) -> None:
    some = states(list(itertools.islice(games(np.random.default_rng(1), 26, 32), 40)))
    large, small = Solver(), Solver(entries)
    found = large.scores(some)
    assert np.array_equal(small.scores(some), found) and small.nodes >= large.nodes
    once = large.nodes
    assert np.array_equal(large.scores(some), found) and large.nodes < 2 * once, "it remembers"


def test_a_position_is_worth_its_best_move_and_its_mirror_image_as_much() -> None:
    moves = list(itertools.islice(games(np.random.default_rng(2), 14, 30), 60))
    solver = Solver()
    scores = solver.scores(states(moves))
    assert np.array_equal(scores.max(1), solver.worths(states(moves)))
    mirrored = ["".join(str(8 - int(letter)) for letter in game) for game in moves]
    assert np.array_equal(Solver().scores(states(mirrored)), scores[:, ::-1])


def test_bits() -> None:
    assert count(BOARD) == CELLS and count(BOTTOM) == COLUMNS
    for moves in itertools.islice(games(np.random.default_rng(5), 0, 41), 200):
        columns = played(moves)
        own, mask = words(columns)
        player = len(moves) % 2
        assert four(own) == has_four(columns, player) and not four(own ^ mask)
        wins, lets = completing(own) & playable(mask), 0
        for c in range(COLUMNS):
            if len(columns[c]) < ROWS:
                cell = 1 << 7 * c + len(columns[c])
                assert playable(mask) & cell
                after = dropped(columns, c, player)
                assert bool(wins & cell) == has_four(after, player)
                replies = [dropped(after, d, 1 - player) for d in range(COLUMNS) if len(after[d]) < ROWS]
                lets |= 0 if any(has_four(reply, 1 - player) for reply in replies) else cell
        assert safe(own, mask) == lets
        mirror = words(columns[::-1])
        assert name(own, mask) == name(*mirror) and opened(name(own, mask)) in ((own, mask), mirror)


def test_every_opening_once() -> None:
    reached = layers(5)
    every: set[Cells] = {played("")}
    for stones, keys in enumerate(reached):
        once = {min(columns, columns[::-1]) for columns in every}
        assert len(keys) == len(once) == len(np.unique(keys)) and (np.diff(keys) > 0).all()
        assert sorted(name(*words(columns)) for columns in once) == keys.tolist()
        every = {dropped(columns, c, stones % 2) for columns in every for c in range(COLUMNS)}
        every = {columns for columns in every if not any(len(column) > ROWS for column in columns)}


def test_a_book_is_unfolded_to_its_first_page() -> None:
    """Of a book of made-up worths, what comes before is the best of what follows."""
    last = layers(3)[-1]
    worths = np.random.default_rng(6).integers(-9, 9, len(last)).astype(np.int8)
    keys, values = unfolded(worths, 3)
    assert len(keys) == len(values) == sum(map(len, layers(3))) and (np.diff(keys) > 0).all()
    told = dict(zip(keys.tolist(), values.tolist(), strict=True))

    def value(columns: Cells) -> int:
        if sum(map(len, columns)) == 3:
            return told[name(*words(columns))]
        player = sum(map(len, columns)) % 2
        return max(-value(dropped(columns, c, player)) for c in range(COLUMNS))

    for moves in ("", "4", "17", "33", "26"):
        assert told[name(*words(played(moves)))] == value(played(moves))
    assert np.array_equal(values[np.searchsorted(keys, last)], worths)
    with pytest.raises(AssertionError, match="worths, not 4"):
        unfolded(worths[:4], 3)


def test_the_book_is_whole() -> None:
    worths, stones = book()
    keys, values = unfolded(worths, stones)
    assert len(keys) == sum(map(len, layers(stones))) and OPENING.stat().st_size <= 200_000
    assert values[keys == BOTTOM] == 1 and np.abs(values).max() <= CELLS // 2


@pytest.mark.slow
def test_the_book_is_what_the_solver_finds() -> None:
    worths, stones = book()
    last = layers(stones)[-1]
    some = np.random.default_rng(6).choice(len(last), min(4, len(last)), replace=False)
    found = Solver(1 << 24).worths(np.array([opened(key) for key in last[some].tolist()], np.uint64))
    assert np.array_equal(found, worths[some])


def test_the_end_comes_when_it_is_told() -> None:
    rng, solver = np.random.default_rng(7), Solver()
    moves = list(itertools.islice(games(rng, 20, 34), 30))
    left = remaining(solver.worths(states(moves)).astype(np.int64), np.array([len(game) for game in moves]))
    for game, placed in zip(moves, left.tolist(), strict=True):
        columns, stones, over = played(game), len(game), False
        while not over and stones < CELLS:
            column = int(chosen(solver.scores(np.array([words(columns)], np.uint64)), rng)[0])
            columns = dropped(columns, column, stones % 2)
            over = has_four(columns, stones % 2)
            stones += 1
        assert stones - len(game) == placed, game


def test_which_moves_are_wrong() -> None:
    worths = np.array([[3, 1, 0, -2, NONE], [-1, -9, -4, NONE, NONE], [0, 0, -1, NONE, -3]], np.int8)
    for column, want in enumerate([[False, False, False], [False, False, False], [True, False, True]]):
        assert wrong(worths, np.full(3, column)).tolist() == want
    assert best(worths).tolist() == [[True, *[False] * 4], [True, *[False] * 4], [True, True, *[False] * 3]]
    assert best(worths, soon=False).sum(1).tolist() == [2, 3, 2]
    assert careful(worths).tolist() == [True, False, True]
    with pytest.raises(AssertionError, match="not legal"):
        wrong(worths, np.array([4, 0, 0]))
    with pytest.raises(AssertionError, match="over"):
        chosen(np.full((1, 7), NONE, np.int8), np.random.default_rng(0))


@given(st.lists(st.lists(st.sampled_from([NONE, -5, -1, 0, 1, 2, 9]), min_size=4, max_size=4), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_chosen_moves_are_best_and_all_of_them_come(rows: list[list[int]]) -> None:
    worths = np.array([[*row, 0] for row in rows], np.int8)
    rng = np.random.default_rng(0)
    for soon in (True, False):
        drawn = np.stack([chosen(worths, rng, soon) for _ in range(200)])  # draws N
        for n, among in enumerate(best(worths, soon)):
            assert set(drawn[:, n].tolist()) == set(np.flatnonzero(among).tolist())
        assert not wrong(worths, drawn[0]).any()


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_sets_are_what_they_are_called(split: str) -> None:
    ends = {"begin": (10, 14), "middle": (15, 28), "end": (29, 38)}
    lefts = {"easy": (1, 13), "medium": (14, 28), "hard": (29, 42)}
    known = positions(split)  # type: ignore[arg-type]
    assert tuple(known) == SETS == tuple(one for level in ("opening", "middle", "easy") for one in LEVELS[level])  # type: ignore[index]
    for title, one in known.items():
        assert one.states.shape == ({"valid": 200, "test": 1000}[split], 2) and one.values.shape[1] == COLUMNS
        length, hardness = title.split()
        stones = np.bitwise_count(one.states[:, 1]).astype(np.int64)
        assert ends[length][0] <= stones.min() <= stones.max() <= ends[length][1]
        left = remaining(one.values.max(1).astype(np.int64), stones)
        assert lefts[hardness][0] <= left.min() <= left.max() <= lefts[hardness][1]
        assert careful(one.values).all(), "some move is wrong"
        own, mask = one.states.astype(np.int64).T
        assert not any(completing(o) & playable(m) for o, m in zip(own.tolist(), mask.tolist(), strict=True))
        assert not any(four(o) or four(o ^ m) for o, m in zip(own.tolist(), mask.tolist(), strict=True))
        assert np.array_equal(one.values == NONE, (mask[:, None] >> (7 * np.arange(7) + 5) & 1) == 1)


def test_no_position_of_the_sets_is_there_twice() -> None:
    rows = [one.states for split in ("valid", "test") for one in positions(split).values()]  # type: ignore[arg-type]
    names = {name(own, mask) for own, mask in np.concatenate(rows).astype(np.int64).tolist()}
    assert len(names) == 6 * 1200


def test_the_sets_have_the_worths_that_the_solver_finds() -> None:
    solver = Solver(book=book()[0], stones=book()[1])
    for title, one in positions().items():
        few = slice(0, {"begin": 4, "middle": 40, "end": 200}[title.split()[0]])
        assert np.array_equal(solver.scores(one.states[few]), one.values[few]), title


def test_the_share_of_wrong_moves() -> None:
    known = positions()
    values = {one.states.tobytes(): one.values for one in known.values()}
    assert len(values) == len(SETS)
    every = np.concatenate([known[title].values for title in LEVELS["opening"]])

    def worst(states: np.ndarray) -> np.ndarray:
        assert states.shape == (3000, 2)
        return np.where(every == NONE, 99, every).argmin(1)

    score = wrong_share(worst, "opening")
    assert (score.value, score.high, score.over, score.unit, score.better) == (100, 100, 3000, "%", "lower")
    assert score.low > 99.8 and score.split == "test"
    assert score.data == "connect four, begin easy + begin medium + begin hard"
    right = wrong_share(lambda states: known["end easy"].values[: len(states)].argmax(1), "easy", most=100)
    assert (right.value, right.low, right.over) == (0, 0, 100) and 3 < right.high < 4
    assert wrong_share(lambda states: positions("valid")["end easy"].values.argmax(1), "easy", "valid").over == 200
