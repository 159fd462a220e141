"""What a net says of a position that somebody gives, as moves in letters or as a board, and of the whole game that led
there; and its reply on a board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from ...core.errors import UserError
from ...core.source import Data, Facts, Held, Place, key
from ...core.system import Probe
from ...media import Board, Curve, Heat, Listing, Media, Move, Number, Ranking, Text
from ...parts.tower import Tower
from . import game as game_of
from .game import Game
from .thinking import Thought, think

MOST = 100_000  # simulations
STREWN, MOST_STREWN = 64, 1000  # games played at random side by side, and positions of them that are kept
ALONG = 50  # simulations of each position of a game, at most
WRONG, WORST = 5.0, 10  # percent that a move must lose to be told of; so many such moves at most


class Positions(NamedTuple):
    """Positions as a net sees them."""

    planes: UInt8[Tensor, "B C H W"]


def positions(facts: Facts, items: Sequence[Media]) -> Positions:
    """The positions that people give, as `analysed` takes them. UserError: moves that the rules do not allow."""
    game = game_of(facts["game"])
    given = [board_in(item) for item in items]
    games = [game.parse(item.text) if isinstance(item, Text) else moves_of(game, item) for item in given]
    states = np.stack([state_after(game, moves) for moves in games])
    return Positions(torch.from_numpy(np.ascontiguousarray(game.planes(states))))


def strewn(facts: Facts, place: Place) -> Data[Positions]:
    """Positions after moves at random, as examples: other games for each part of the data."""
    game, parts = game_of(facts["game"]), []
    for split in ("train", "valid", "test"):
        rng = np.random.default_rng(key(place.seed, "strewn", split))
        states, seen = game.begin(STREWN), list[np.ndarray]()
        for _ in range(max(1, int(facts["longest"]) // 2)):
            states = np.where(game.turn(states).ended[:, None], game.begin(STREWN), states)
            seen.append(game.planes(states))
            legal = game.turn(states).legal
            states = game.step(states, (rng.random(legal.shape) * legal).argmax(1))[0]
        planes = np.concatenate(seen)[rng.permutation(len(seen) * STREWN)[:MOST_STREWN]]
        name = f"positions of {facts['title']} after moves at random, what it likes most taken for right"
        parts.append(Held(Positions(torch.from_numpy(np.ascontiguousarray(planes))), place, name, split))
    return Data(parts[0], parts[1], parts[2], facts)


def liked(model: Tower, batch: Positions) -> Probe:
    """The probe of a player: how it likes each move by itself, without a search; the one it likes most is right."""
    seen = batch.planes.float()

    def scores(planes: Tensor) -> Float[Tensor, "B A"]:
        return model(planes)[0]

    with torch.no_grad():
        return Probe(seen, 0.0, 1 / model.scale, scores, scores(seen).argmax(-1))


def analysed(model: nn.Module, facts: Facts, items: Sequence[Media], simulations: int) -> list[dict[str, Media]]:
    """Of each position: the board with what the net thinks of it, the moves it considers, what it expects to come, and
    the mover's chance to win; of a net that counts, whose each point will be, from -1 (the second player's) to 1, and
    by how much the first will be ahead, without komi. On a Board its `wish` is played and replied to; on that of a
    file nothing is, but the chances along the game are told, and the moves that lost most of them. A Text has moves as
    the game names them. UserError: moves that the rules do not allow."""
    if not 0 <= simulations <= MOST:
        raise UserError(f"simulations from 0 to {MOST:,}", str(simulations), "For example 200", "use")
    game = game_of(facts["game"])
    items = [board_in(item) for item in items]
    games = [game.parse(item.text) if isinstance(item, Text) else moves_of(game, item) for item in items]
    states = np.stack([state_after(game, moves) for moves in games]) if games else game.begin(0)
    before = think(model, facts, states, simulations, trees=True)
    asked = np.array([isinstance(item, Board) and not item.origin for item in items], bool)
    after, replied = before, asked & (before.move >= 0)
    if replied.any():
        played = np.flatnonzero(replied)
        states[played] = game.step(states[played], before.move[played])[0]
        for n in played:
            games[n] = [*games[n], int(before.move[n])]
        after = think(model, facts, states, simulations, trees=True)
    answers = []
    for n, moves in enumerate(games):
        item = items[n]
        found: dict[str, Media] = {"board": shown(game, states[n], moves, after, n)}
        if before.move[n] >= 0:
            found["considered"] = Ranking.of(torch.from_numpy(before.policy[n]), game.facts["labels"])
            found["line"] = Text(" ".join(map(game.name, before.line[n])))
            found["win"] = Number(50 * (1 + float(before.value[n])), "%" + " (proved)" * bool(before.exact[n]))
        if isinstance(item, Board) and item.origin:
            found |= game_told(model, facts, game, moves, min(simulations, ALONG))
            found |= {"aside": Text(said)} if (said := aside(item, game)) else {}
        answers.append(found)
    for found, more in zip(answers, counted(model, game, states), strict=True):
        found |= more
        board = found["board"]
        if isinstance(board, Board) and "owner" in more:
            found["board"] = replace(board, owner=more["owner"].values)
    return answers


def game_told(model: nn.Module, facts: Facts, game: Game, moves: Sequence[int], simulations: int) -> dict[str, Media]:
    """The first player's chance to win after each move of a game, and the moves that lost most of the mover's."""
    if not moves:
        return {}
    states = [game.begin(1)]
    for move in moves:
        states.append(game.step(states[-1], np.array([move]))[0])
    whole, turn = np.concatenate(states), game.turn(np.concatenate(states))
    found, first = think(model, facts, whole, simulations), game.mover(whole) == 0
    value = np.where(turn.ended, turn.value, found.value)
    win = 50 + 50 * np.where(first, value, -value)
    lost = np.where(first[:-1], 1, -1) * (win[:-1] - win[1:])  # by whoever moved
    pieces, rows = game.facts["pieces"], list[list[str | float | None]]()
    for k in [k for k in np.argsort(-lost, kind="stable")[:WORST].tolist() if lost[k] >= WRONG]:
        mover = pieces[int(not first[k])]
        played, better = game.name(moves[k], whole[k]), game.name(int(found.move[k]), whole[k])
        rows.append([k + 1, mover, played, round(float(lost[k]), 1), better if better != played else None])
    curve = Curve(list(range(len(win))), {f"{pieces[0]} wins, %": win.tolist()}, "moves", "percent")
    columns = ["move", "by", "played", "chance lost, %", "the run would play"]
    return {"along_the_game": curve, **({"costly_moves": Listing(columns, rows)} if rows else {})}


def aside(board: Board, game: Game) -> str:
    """What of a file plays no part in what is said of it."""
    said = [f"{board.omitted} passed over"] if board.omitted else []
    komi, learned = board.about.get("KM", ""), game.facts.get("komi")
    if learned is not None and komi and komi != f"{learned:g}":
        try:
            said += [f"komi {float(komi):g} there, the net learned with {learned:g}"] if float(komi) != learned else []
        except ValueError:
            said += [f"komi {komi!r} is no number"]
    return "; ".join(said)


@torch.inference_mode()
def expected(model: nn.Module, game: Game, states: Shaped[np.ndarray, "N W"]
             ) -> tuple[Float[np.ndarray, "N P"], Float[np.ndarray, "N"]] | None:  # fmt: skip
    """Whose each point will be, from 1 (the mover's) to -1, and how many more the mover will own, no komi. None: of
    a net that does not count."""
    if not isinstance(model, Tower) or model.owner is None:
        return None
    device = next(model.parameters()).device
    heads = model.heads(torch.from_numpy(game.planes(states)).to(device))
    owner = (2 * heads.owner.sigmoid() - 1).cpu().numpy()
    return owner, heads.score.cpu().numpy() * game.facts["rows"] * game.facts["columns"]


def counted(model: nn.Module, game: Game, states: Shaped[np.ndarray, "N W"]) -> list[dict[str, Any]]:
    """What the net expects of each point, and of all of them, for the first player; nothing of a net that does not."""
    told = expected(model, game, states) if len(states) else None
    if told is None:
        return [{} for _ in states]
    sign, size = 1 - 2 * game.mover(states), (game.facts["rows"], game.facts["columns"])
    return [{"owner": Heat((side * owner).reshape(size), xlabel="1: the first player's, -1: the second's"),
             "ahead": Number(float(side * points), "points")}
            for side, owner, points in zip(sign, *told, strict=True)]  # fmt: skip


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
    where = f" in {board.origin}" if board.origin else ""
    if board.cells.shape != (rows, columns):
        got = " x ".join(map(str, board.cells.shape))
        raise UserError(f"a board of {rows} x {columns} for {title}", f"one of {got}{where}", "Choose another")
    start = game.board(game.begin(1)[0]).cells
    if board.setup or (not board.moves and not np.array_equal(board.cells, start)):
        want = f"a game of {title} from its beginning"
        got = "stones that were laid by hand, as handicap is" if board.setup else "a position that was set up"
        raise UserError(want, got + where, "Give it from its first move")
    states, found = game.begin(1), list[int]()
    for number, stone in enumerate([*board.moves, *([board.wish] if board.wish else [])], 1):
        move = _move(game, states, stone)
        if move < 0:
            got = f"{board.spot(stone.row, stone.column)} as move {number}{where}"
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
