"""A page that plays tic-tac-toe by looking at every game to its end: boards in, boards out; nothing is learned."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from milestones.core.config import Config, Field
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.score import Score
from milestones.core.source import Data, Facts, Held, Place
from milestones.core.system import System
from milestones.media import Board, Media, Move, Ranking
from milestones.media.board import spot

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
PIECES = ("cross", "nought")


class Nothing(NamedTuple):
    nothing: Tensor


class Knobs(Config):
    steps: int = Field(default=3, ge=1, description="updates of nothing")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heat = nn.Parameter(torch.tensor(3.0))  # how sharply it prefers better moves


def winner(cells: tuple[int, ...]) -> int:
    return next((cells[a] for a, b, c in LINES if cells[a] and cells[a] == cells[b] == cells[c]), 0)


@cache
def value(cells: tuple[int, ...], turn: int) -> tuple[int, int]:
    """What the best play gives the piece to move (1, 0 or -1), and how many positions lie below."""
    if winner(cells) or 0 not in cells:
        return (-1 if winner(cells) else 0), 1
    below = [value((*cells[:k], turn, *cells[k + 1 :]), 3 - turn) for k in range(9) if not cells[k]]
    return max(-v for v, _ in below), 1 + sum(n for _, n in below)


def prepare(knobs: Knobs, place: Place) -> Data[Nothing]:
    held = [Held(Nothing(torch.arange(4)[:, None]), place, "none", split) for split in ("train", "valid", "test")]
    empty = Board.empty(3, 3, "tic-tac-toe", PIECES).plain()
    return Data(*held, {"board": empty, "data": {"name": "none", "train": 4, "valid": 4, "test": 4}})


def build(knobs: Knobs, facts: Facts) -> Net:
    return Net()


def train(knobs: Knobs, model: Net, data: Data[Nothing], run: Run) -> None:
    for _ in run.steps(knobs.steps, "train", model=model):
        run.log(loss=0.0)
    run.show(start=think(model, Board.empty(3, 3, "tic-tac-toe", PIECES)))


def score(knobs: Knobs, model: Net, data: Data[Nothing], place: Place) -> dict[str, Score]:
    return {"value": Score(value((0,) * 9, 1)[0], 0, 0, "", "higher", "all games", "test", 1)}


def played(board: Board, move: Move) -> Board:
    """The board after a move. UserError: it is not allowed."""
    cells = board.cells.copy()
    if move.piece != board.turn or move.row < 0 or cells[move.row, move.column]:
        raise UserError("a move to an empty square", spot(move.row, move.column, 3), "Choose another", "tictactoe")
    cells[move.row, move.column] = move.piece
    flat = tuple(int(v) for v in cells.reshape(-1))
    note = f"{PIECES[winner(flat) - 1]} has won" if winner(flat) else "a draw" if 0 not in flat else ""
    turn = 0 if note else 3 - board.turn
    return replace(board, cells=cells, moves=(*board.moves, move), turn=turn, note=note, wish=None)


def think(model: Net, board: Board) -> Board:
    """The board with the chances of each move, how many games it looked at, and the tree."""
    cells = tuple(int(v) for v in board.cells.reshape(-1))
    if not board.turn:
        won = winner(cells)
        return replace(board, win=0.5 if not won else float(won == 1), policy=None, visits=None, tree=())
    worth, visits, tree = np.full(9, -np.inf), np.zeros(9, int), []
    for k in (k for k in range(9) if not cells[k]):
        after = (*cells[:k], board.turn, *cells[k + 1 :])
        v, visits[k] = value(after, 3 - board.turn)
        worth[k] = -v
        other = 3 - board.turn
        replies = [[spot(j // 3, j % 3, 3), value((*after[:j], other, *after[j + 1 :]), board.turn)[1], None, []]
                   for j in range(9) if not after[j]] if not winner(after) else []  # fmt: skip
        tree.append([spot(k // 3, k % 3, 3), int(visits[k]), (1 + worth[k]) / 2, replies])
    policy = np.exp(float(model.heat.detach()) * (worth - worth.max()))
    best = worth.max() if board.turn == 1 else -worth.max()
    return replace(board, policy=(policy / policy.sum()).reshape(3, 3), visits=visits.reshape(3, 3),
                   win=float(1 + best) / 2, tree=tree)  # fmt: skip


def use(model: Net, facts: Facts, items: list[Media]) -> list[dict[str, Media]]:
    answers: list[dict[str, Media]] = []
    for board in items:
        assert isinstance(board, Board)
        now = played(board, board.wish) if board.wish else board
        thought = think(model, now)
        if now.turn:
            k = int(np.argmax(thought.policy))
            now = played(now, Move(now.turn, k // 3, k % 3))
        shown: dict[str, Media] = {"board": think(model, now)}
        if thought.policy is not None:
            names = [spot(k // 3, k % 3, 3) for k in range(9)]
            shown["considered"] = Ranking.of(torch.from_numpy(thought.policy.reshape(-1)), names)
        answers.append(shown)
    return answers


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, build, train, score, use, takes=(Board,))
