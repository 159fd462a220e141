"""A run that plays a board game, in the studio: it judges what a person plays, replies, and says what it thinks; and
what perfect play knows, where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..media import Board, Media, Text
from ..trained import Trained
from ..verbs.players import game_of
from ..worlds.games.analysis import ALONG, analysed, aside, counted, game_told, moves_of, shown, state_after
from ..worlds.games.game import PASS, Game
from ..worlds.games.thinking import think
from .carry import carried
from .desk import Answer, Desk

SIMULATIONS, MOST = 100, 10_000  # a move
NONE = -128  # the solver's word for a move that is not allowed


def answered(desk: Desk, trained: Trained, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """A new board; or one from an SGF file; or, to a board, the run's reply, or with "only" what it thinks, with
    "along" its chances after each move, with "solver" what each move is worth. UserError: moves that the rules do not
    allow, a game that nobody has solved."""
    game, who = game_of(trained), trained.entry.name
    start = game.begin(1)
    if game.cell(int(game.turn(start).legal[0].argmax()), start[0])[0] < 0:
        do = "Play it in the terminal: milestones play"
        raise UserError("a game whose moves lay stones on a board", str(game.facts["title"]), do, who)
    if payload:
        board = replace(Board.decoded(payload, "your file"), wish=None)
        moves = moves_of(game, board)
        read = replace(game.board(state_after(game, moves), moves), about=board.about)
        return told(desk, game, {"board": read, **({"aside": Text(said)} if (said := aside(board, game)) else {})})
    if ask.get("board") is None:
        return told(desk, game, {"board": game.board(start[0])})
    board = Board.of(ask["board"])
    if ask.get("solver"):
        moves = moves_of(game, replace(board, wish=None))
        return Answer({"worth": worths(desk, game, state_after(game, moves))})
    count = ask.get("simulations", SIMULATIONS)
    if type(count) is not int or not 1 <= count <= MOST:
        raise UserError(f"simulations from 1 to {MOST:,}", f"{count!r}"[:40], "Choose one of the list", who)
    if ask.get("along"):
        moves = moves_of(game, replace(board, wish=None))
        return carried(game_told(trained.model, trained.facts, game, moves, min(count, ALONG)))
    if ask.get("only"):
        moves = moves_of(game, replace(board, wish=None))
        state = state_after(game, moves)
        thought = think(trained.model, trained.facts, state[None], count, trees=True)
        seen, (more,) = shown(game, state, moves, thought, 0), counted(trained.model, game, state[None])
        seen = replace(seen, owner=more["owner"].values if more else None, about=board.about)
        return told(desk, game, {"board": seen, **more})
    return told(desk, game, analysed(trained.model, trained.facts, [board], count)[0])


def told(desk: Desk, game: Game, items: Mapping[str, Media]) -> Answer:
    """A board and what goes with it; whether a pass is allowed now, and whether perfect play is known."""
    board = items["board"]
    assert isinstance(board, Board)
    moves = moves_of(game, board)
    legal = game.turn(state_after(game, moves)[None]).legal[0]
    passes = bool(legal[-1]) and game.facts["labels"][-1] == PASS
    return carried(items, thinks=True, passes=passes, solver=oracle(desk, game) is not None)


def oracle(desk: Desk, game: Game) -> Any:
    """Who knows perfect play in this game, or None. It is made once."""
    from ..worlds.games.perfect import perfect

    name = f"perfect {game.facts['game']}"
    if name not in desk.memory:
        desk.memory[name] = perfect(game)
    return desk.memory[name]


def worths(desk: Desk, game: Game, state: np.ndarray) -> list[list[int | None]]:
    """What each move is worth to the one to move, where its stone would lie: above 0 it wins, below 0 it loses."""
    known = oracle(desk, game)
    if known is None:
        want = "a game whose perfect play is known: connect four, tic-tac-toe, hex to 5 x 5"
        raise UserError(want, str(game.facts["title"]), "Ask what the run thinks", "solver")
    found: list[list[int | None]] = [[None] * game.facts["columns"] for _ in range(game.facts["rows"])]
    for move, worth in enumerate(known.values(state[None])[0].tolist()):
        row, column = game.cell(move, state) if worth != NONE else (-1, -1)
        if row >= 0:
            found[row][column] = worth
    return found
