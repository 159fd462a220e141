"""What a net says of a position that somebody gives, as moves in letters or as a board; and its reply on a board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import nn

from ...core.errors import UserError
from ...core.source import Facts
from ...media import Board, Heat, Media, Move, Number, Ranking, Text
from ...parts.tower import Tower
from . import game as game_of
from .game import Game
from .thinking import Thought, think

MOST = 100_000  # simulations


def analysed(model: nn.Module, facts: Facts, items: Sequence[Media], simulations: int) -> list[dict[str, Media]]:
    """Of each position: the board with what the net thinks of it, the moves it considers, what it expects to come, and
    the mover's chance to win; of a net that counts, whose each point will be, from -1 (the second player's) to 1, and
    by how much the first will be ahead, without komi. On a Board its `wish` is played and replied to; a Text has moves
    as the game names them. UserError: moves that the rules do not allow."""
    if not 0 <= simulations <= MOST:
        raise UserError(f"simulations from 0 to {MOST:,}", str(simulations), "For example 200", "use")
    game = game_of(facts["game"])
    items = [board_in(item) for item in items]
    games = [game.parse(item.text) if isinstance(item, Text) else moves_of(game, item) for item in items]
    states = np.stack([state_after(game, moves) for moves in games]) if games else game.begin(0)
    before = think(model, facts, states, simulations, trees=True)
    after, replied = before, np.array([isinstance(item, Board) for item in items]) & (before.move >= 0)
    if replied.any():
        played = np.flatnonzero(replied)
        states[played] = game.step(states[played], before.move[played])[0]
        for n in played:
            games[n] = [*games[n], int(before.move[n])]
        after = think(model, facts, states, simulations, trees=True)
    answers = []
    for n, moves in enumerate(games):
        found: dict[str, Media] = {"board": shown(game, states[n], moves, after, n)}
        if before.move[n] >= 0:
            found["considered"] = Ranking.of(torch.from_numpy(before.policy[n]), game.facts["labels"])
            found["line"] = Text(" ".join(map(game.name, before.line[n])))
            found["win"] = Number(50 * (1 + float(before.value[n])), "%" + " (proved)" * bool(before.exact[n]))
        answers.append(found)
    if isinstance(model, Tower) and model.owner is not None and len(states):
        for found, more in zip(answers, counted(model, game, states), strict=True):
            found |= more
    return answers


@torch.inference_mode()
def counted(model: Tower, game: Game, states: Shaped[np.ndarray, "N W"]) -> list[dict[str, Media]]:
    """What the net expects of each point, and of all of them, for the first player."""
    heads = model.heads(torch.from_numpy(game.planes(states)))
    sign = 1 - 2 * game.mover(states)
    rows, columns = game.facts["rows"], game.facts["columns"]
    owner = sign[:, None] * (2 * heads.owner.sigmoid() - 1).numpy()
    points = sign * heads.score.numpy() * rows * columns
    return [{"owner": Heat(one.reshape(rows, columns), xlabel="1: the first player's, -1: the second's"),
             "ahead": Number(float(more), "points")} for one, more in zip(owner, points, strict=True)]  # fmt: skip


def board_in(item: Media) -> Media:
    """The board that a text holds as JSON; another text, or a board, as it is. UserError: JSON of something else."""
    if not isinstance(item, Text) or not item.text.lstrip().startswith("{"):
        return item
    try:
        return Board.of(json.loads(item.text))
    except (ValueError, RecursionError):
        raise UserError("moves, or a board as JSON", "JSON that is damaged", "Give moves as 4453") from None


def state_after(game: Game, moves: Sequence[int]) -> Shaped[np.ndarray, "W"]:
    """The position after these moves, which are legal."""
    states = game.begin(1)
    for move in moves:
        states, _ = game.step(states, np.array([move]))
    return states[0]


def moves_of(game: Game, board: Board) -> list[int]:
    """The moves of a board, its wish last, by their numbers. UserError: of another game or size, a position that was
    set up, a move that the rules do not allow."""
    rows, columns, title = (game.facts[name] for name in ("rows", "columns", "title"))
    if board.cells.shape != (rows, columns):
        got = " x ".join(map(str, board.cells.shape))
        raise UserError(f"a board of {rows} x {columns} for {title}", f"one of {got}", "Choose another")
    start = game.board(game.begin(1)[0]).cells
    if board.setup or (not board.moves and not np.array_equal(board.cells, start)):
        want = f"a game of {title} from its beginning"
        raise UserError(want, "a position that was set up", "Give its moves")
    states, found = game.begin(1), list[int]()
    for number, stone in enumerate([*board.moves, *([board.wish] if board.wish else [])], 1):
        move = _move(game, states, stone)
        if move < 0:
            got = f"{board.spot(stone.row, stone.column)} as move {number}"
            raise UserError("a move that the rules allow", got, "Choose another point")
        found.append(move)
        states, _ = game.step(states, np.array([move]))
    return found


def _move(game: Game, states: Shaped[np.ndarray, "1 W"], stone: Move) -> int:
    """The number of the legal move that lays this stone; -1: there is none. In a game whose stones fall, any point of
    a column names it."""
    if stone.piece != 1 + int(game.mover(states)[0]):
        return -1
    legal = np.flatnonzero(game.turn(states).legal[0]).tolist()
    cells = {game.cell(move, states[0]): move for move in legal}
    if (stone.row, stone.column) in cells:
        return cells[stone.row, stone.column]
    if game.facts["actions"] != game.facts["columns"] or stone.row < 0:
        return -1
    return next((move for (_, column), move in cells.items() if column == stone.column), -1)


def shown(game: Game, state: Shaped[np.ndarray, "W"], moves: Sequence[int], thought: Thought, n: int) -> Board:
    """The position as a board, with the n-th thought."""
    board, first = game.board(state, moves), int(game.mover(state[None])[0]) == 0
    if thought.move[n] < 0:
        value = float(game.turn(state[None]).value[0])
        return replace(board, win=0.5 + 0.5 * (value if first else -value))
    policy, visits = np.zeros((2, *board.cells.shape))
    for move in np.flatnonzero(thought.policy[n] > 0).tolist():
        row, column = game.cell(move, state)
        if row >= 0:
            policy[row, column], visits[row, column] = thought.policy[n, move], thought.visits[n, move]
    win = 0.5 + 0.5 * float(thought.value[n] if first else -thought.value[n])
    return replace(board, policy=policy, visits=visits, win=win, tree=_tree(game, thought.tree[n], first))


def _tree(game: Game, nodes: Sequence[Any], first: bool) -> list[Any]:
    """[name, visits, chance that the first piece wins, replies]."""
    return [
        [game.name(move), visits, 0.5 + 0.5 * (q if first else -q), _tree(game, replies, not first)]
        for move, visits, q, replies in nodes
    ]
