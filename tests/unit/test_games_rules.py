"""The rules of games, move by move, over 100,000 positions of random games each: against OpenSpiel; othello on 6 x 6,
which it has not, against rules written down once more."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from milestones.worlds.games import Game, game

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

POSITIONS = 100_000
SIGNS = {".": 0, "-": 0, "x": 1, "o": 2}
SPIELS = {
    "tictactoe": "tic_tac_toe", "connect_four": "connect_four", "hex3": "hex(board_size=3)",
    "hex5": "hex(board_size=5)", "hex8": "hex(board_size=8)", "hex9": "hex(board_size=9)",
    "hex11": "hex(board_size=11)", "othello8": "othello",
}  # fmt: skip
FEWER = {"hex8": 20_000, "hex9": 20_000}  # where a position begins to take two words a player
ALL = [*SPIELS, "othello6"]


class Recorded(NamedTuple):
    """Random games, one position after the other."""

    begin: np.ndarray  # "G" the first position of each game
    moves: np.ndarray  # "P" the move from each position; -1 at the end
    legal: np.ndarray  # "P A"
    cells: np.ndarray  # "P HW" 1 the first player's stones
    mover: np.ndarray  # "P" -1 at the end
    value: np.ndarray  # "G" for the first player


def spiel_games(name: str) -> Iterator[tuple[list[list[int]], list[int], list[str], list[int], float]]:
    """Games of OpenSpiel: legal moves, moves, signs and movers of each position, and the first player's gain."""
    pyspiel = pytest.importorskip("pyspiel", reason='OpenSpiel needs an extra: pip install "milestones[games]"')
    rules, rng, size = pyspiel.load_game(SPIELS[name]), random.Random(0), game(name).facts["columns"]
    while True:
        state, legal, moves, texts, movers = rules.new_initial_state(), [], [], [], []
        while True:
            rows = ["".join(sign for sign in line if sign in SIGNS) for line in str(state).splitlines()]
            texts.append("".join(row for row in rows if len(row) == size))
            if state.is_terminal():
                break
            legal.append(state.legal_actions())
            movers.append(state.current_player())
            moves.append(rng.choice(legal[-1]))
            state.apply_action(moves[-1])
        yield [*legal, []], [*moves, -1], texts, [*movers, -1], state.returns()[0]


def othello6_games() -> Iterator[tuple[list[list[int]], list[int], list[str], list[int], float]]:
    """The same of othello on 6 x 6 cells, in lists."""
    size, rng = 6, random.Random(0)
    rays = [[[(r + k * down) * size + c + k * right for k in range(1, size)
              if 0 <= r + k * down < size and 0 <= c + k * right < size]
             for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
            for r in range(size) for c in range(size)]  # fmt: skip

    def turned(board: list[str], cell: int, mine: str, other: str) -> list[int]:
        found = []
        for ray in rays[cell]:
            count = 0
            while count < len(ray) and board[ray[count]] == other:
                count += 1
            if count < len(ray) and board[ray[count]] == mine:
                found += ray[:count]
        return found

    def allowed(board: list[str], mine: str, other: str) -> list[int]:
        return [cell for cell in range(size * size) if board[cell] == "-" and turned(board, cell, mine, other)]

    while True:
        board, legal, moves, texts, movers = ["-"] * size * size, [], [], [], []
        board[2 * size + 2] = board[3 * size + 3] = "o"
        board[2 * size + 3] = board[3 * size + 2] = "x"
        player = 0
        while True:
            texts.append("".join(board))
            mine, other = "xo" if player == 0 else "ox"
            cells = allowed(board, mine, other)
            if not cells and not allowed(board, other, mine):
                break
            legal.append(cells or [size * size])
            movers.append(player)
            moves.append(rng.choice(legal[-1]))
            if moves[-1] < size * size:
                for cell in [moves[-1], *turned(board, moves[-1], mine, other)]:
                    board[cell] = mine
            player = 1 - player
        more = board.count("x") - board.count("o")
        yield [*legal, []], [*moves, -1], texts, [*movers, -1], float(np.sign(more))


@cache
def recorded(name: str) -> Recorded:
    found = othello6_games() if name == "othello6" else spiel_games(name)
    begin, legal, moves, texts, movers, values = [], [], [], [], [], []
    while len(moves) < FEWER.get(name, POSITIONS):
        begin.append(len(moves))
        for kept, new in zip((legal, moves, texts, movers), one := next(found), strict=False):
            kept.extend(new)
        values.append(one[4])
    mask = np.zeros((len(moves), game(name).facts["actions"]), bool)
    mask[np.repeat(np.arange(len(moves)), [len(one) for one in legal]), [move for one in legal for move in one]] = True
    signs = np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(moves), -1)
    table = np.zeros(256, np.int64)
    table[[ord(sign) for sign in SIGNS]] = list(SIGNS.values())
    return Recorded(*map(np.array, (begin, moves)), mask, table[signs], np.array(movers), np.array(values))


def cells(own: Game, states: np.ndarray) -> np.ndarray:
    """N HW as in `Recorded`."""
    seen, mover = own.planes(states), own.mover(states)[:, None]
    mine, other = (plane.reshape(len(states), -1).astype(np.int64) for plane in (seen[:, 0], seen[:, 1]))
    return mine * (1 + mover) + other * (2 - mover)


def replayed(name: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Recorded games played by our rules, all in lock step: rows of the record, games, our positions after each move.
    Each answer of the rules is compared on the way."""
    own, record = game(name), recorded(name)
    which = np.arange(len(record.begin))
    states = own.begin(len(which))
    turn, ply = own.turn(states), 0
    while len(which):
        rows = record.begin[which] + ply
        yield rows, which, states
        over = record.moves[rows] < 0
        for now in (turn, own.turn(states)):
            assert np.array_equal(now.ended, over)
            assert np.array_equal(now.legal, record.legal[rows])
            side = 1 - 2 * own.mover(states)
            assert np.array_equal(now.value * over, side * record.value[which] * over)
            assert not now.value[~over].any()
        assert np.array_equal(cells(own, states), record.cells[rows])
        assert np.array_equal(own.mover(states)[~over], record.mover[rows][~over])
        which, states, moves, before = which[~over], states[~over], record.moves[rows][~over], states[~over].copy()
        if len(which):
            new, turn = own.step(states, moves)
            assert np.array_equal(states, before), "nothing is changed in place"
            states, ply = new, ply + 1


@pytest.mark.parametrize("name", ALL)
def test_rules_move_by_move(name: str) -> None:
    seen, longest = 0, 0
    for rows, *_ in replayed(name):
        seen, longest = seen + len(rows), longest + 1
    assert seen >= FEWER.get(name, POSITIONS)
    assert longest - 1 <= game(name).facts["longest"]


@pytest.mark.parametrize("name", ["tictactoe", "connect_four", "hex3", "hex5", "hex9", "othello6", "othello8"])
def test_equal_positions_have_equal_words(name: str) -> None:
    own, record, words, boards = game(name), recorded(name), [], []
    for rows, _, states in replayed(name):
        words.append(states)
        boards.append(np.concatenate([record.cells[rows], own.mover(states)[:, None]], 1).astype(np.uint64))
    together = np.concatenate(words), np.concatenate(boards)
    kinds = [len(np.unique(one, axis=0)) for one in (*together, np.concatenate(together, 1))]
    assert kinds[0] == kinds[1] == kinds[2] < len(together[0])


def test_tic_tac_toe_has_as_many_positions_as_it_should() -> None:
    own = game("tictactoe")
    states, count, over = own.begin(1), 0, 0
    while len(states):
        turn = own.turn(states)
        count, over = count + len(states), over + int(turn.ended.sum())
        rows, moves = np.nonzero(turn.legal)
        states = np.unique(own.step(states[rows], moves)[0], axis=0)
    assert (count, over) == (5478, 958)


@pytest.mark.parametrize("name", ["tictactoe", "connect_four", "hex5", "hex11", "othello6", "othello8"])
def test_random_play_ends_as_often_so(name: str) -> None:
    """From the beginning and from a position on the way: wins, draws and losses are as in OpenSpiel's random games."""
    own, record = game(name), recorded(name)
    games, count = len(record.begin), 40_000
    for outcome in (-1, 0, 1):
        share, found = (record.value == outcome).mean(), (own.playout(own.begin(count), 1) == outcome).mean()
        assert abs(share - found) <= 4 * np.sqrt(max(share * (1 - share), 1 / games) * (1 / games + 1 / count))
    for ply in (1, 4):  # games in lock step: each is played on at random from where it stands
        states = next(s for k, (_, _, s) in enumerate(replayed(name)) if k == ply)
        mean = np.mean([own.playout(states, seed).mean() for seed in range(20)])
        side = 1 - 2 * own.mover(states)
        assert abs(mean - (record.value * side).mean()) <= 4 / np.sqrt(games)
