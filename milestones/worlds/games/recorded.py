"""Positions of game records with the move that was played there, to learn from. The comment of a record may say from
which move on: "learn from move 5"."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int16, Int64, UInt8, UInt64
from torch import Tensor

from ...core.errors import UserError
from ...core.source import Facts, Held, Place
from .game import Game, Stones
from .records import Record, Records
from .rollouts import told_of

SPLITS, FEWEST = ("train", "valid", "test"), 10
LEARN = re.compile(r"\blearn from move (\d{1,4})\b")


class Recorded(NamedTuple):
    """Positions of records."""

    planes: UInt8[Tensor, "B C H W"]
    move: Int64[Tensor, "B"]  # that was played
    told: Int16[Tensor, "B P F"]  # of each point to the fast policy: see rollouts.py


class Ended(NamedTuple):
    """Positions of games that are over."""

    planes: UInt8[Tensor, "B C H W"]
    result: Float[Tensor, "B"]  # for the one to move: 1 won, 0 drawn, -1 lost


def recorded(game: Stones, records: Sequence[Record]) -> tuple[Recorded, Int64[np.ndarray, "B"]]:
    """All positions of the records, or those from which on there is something to learn; and of which record each is."""
    lines = [record.moves for record in records]
    begins = np.array([int(found[1]) - 1 if (found := LEARN.search(one.comment)) else 0 for one in records])
    states, kept = game.begin(len(lines)), list[tuple[np.ndarray, ...]]()
    last = np.full(len(lines), -1)
    for ply in range(max(map(len, lines), default=0)):
        rows = np.array([n for n, line in enumerate(lines) if ply < len(line)], np.int64)
        moves = np.array([lines[n][ply] for n in rows], np.int64)
        at = begins[rows] <= ply
        some = states[rows[at]]
        kept.append((rows[at], moves[at], game.planes(some), told_of(game, some, last[rows[at]])))
        states[rows] = game.step(states[rows], moves)[0]
        last[rows] = np.where(moves < game.facts["actions"] - 1, moves, -1)
    which, moves, planes, told = (np.concatenate(field) for field in zip(*kept, strict=True))
    order = np.argsort(which, kind="stable")
    found = Recorded(*(torch.from_numpy(field[order]) for field in (planes, moves, told)))
    return found, which[order]


def alike(game: Game, planes: UInt8[Tensor, "B C H W"]) -> UInt64[np.ndarray, "B"]:
    """A number for each position: the same for those that are mirror images, and as good as never for others."""
    seen = planes.flatten(2).numpy().astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 1 << 63, seen.shape[1:], np.uint64)
    return np.min([(seen[:, :, cells] * factors).sum((1, 2)) for cells in game.twins()[0]], axis=0)


def unseen(game: Game, known: UInt8[Tensor, "A C H W"], others: UInt8[Tensor, "B C H W"]) -> Bool[np.ndarray, "B"]:
    """Which of the others are no position that is known, nor a mirror image of one, nor of one before it."""
    keys = alike(game, others)
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first & ~np.isin(keys, alike(game, known))


def sources(game: Stones, records: Sequence[Record], part: Int64[np.ndarray, "N"], place: Place,
            name: str) -> list[Held[Recorded]]:  # fmt: skip
    """Positions to train, to validate and to test, of the records whose part is 0, 1 and 2: those to train turned and
    mirrored; the others each once, and none that is known from training. UserError: fewer than ten records."""
    enough(records)
    every, which = recorded(game, records)
    parts = [Recorded(*(field[torch.from_numpy(part[which] == k)] for field in every)) for k in range(3)]
    for k in (1, 2):
        new = torch.from_numpy(unseen(game, parts[0].planes, parts[k].planes))
        parts[k] = Recorded(*(field[new] for field in parts[k]))
    turns = (turned(game), None, None)
    return [Held(*one) for one in zip(parts, [place] * 3, [name] * 3, SPLITS, turns, strict=True)]


def enough(records: Sequence[Record]) -> None:
    """UserError: fewer than ten records."""
    if len(records) < FEWEST:
        raise UserError(f"at least {FEWEST} games to learn from", f"{len(records)}", "Give more records", "records")


def facts_of(game: Stones, read: Records, parts: Sequence[Held[Recorded]]) -> Facts:
    """The game's facts, and what there is to learn from."""
    left = {"left_out": len(read.refused), "first_left_out": read.refused[0]} if read.refused else {}
    counts = {part.split: len(part) for part in parts}
    data = {"name": parts[0].name, "games": len(read.games), **counts, "variations_left_out": read.variations, **left}
    return {**game.facts, "board": game.board(game.begin(1)[0]).plain(), "data": data}


def name_of(record: Record) -> bytes:
    """A key of the moves, by which records are divided."""
    return hashlib.blake2b(np.array(record.moves, np.int32).tobytes(), digest_size=8).digest()


def turned(game: Game) -> Callable[[Recorded, torch.Generator], Recorded]:
    """Turns or mirrors each position into one of its twins, and its move with it."""
    cells, moves = (torch.from_numpy(np.ascontiguousarray(twin)).long() for twin in game.twins())
    goes = moves.argsort(1)  # where each move goes

    def change(batch: Recorded, rng: torch.Generator) -> Recorded:
        which = torch.randint(len(cells), (len(batch.move),), generator=rng)
        places, to = cells[which].to(batch.move.device), goes[which].to(batch.move.device)
        told = batch.told.gather(1, places[..., None].expand_as(batch.told))
        return Recorded(laid_anew(batch.planes, places), to.gather(1, batch.move[:, None])[:, 0], told)

    return change


def turned_ends(game: Game) -> Callable[[Ended, torch.Generator], Ended]:
    """The same of positions without a move."""
    cells = torch.from_numpy(np.ascontiguousarray(game.twins()[0])).long()

    def change(batch: Ended, rng: torch.Generator) -> Ended:
        which = torch.randint(len(cells), (len(batch.result),), generator=rng)
        return Ended(laid_anew(batch.planes, cells[which].to(batch.planes.device)), batch.result)

    return change


def laid_anew(planes: UInt8[Tensor, "B C H W"], places: Int[Tensor, "B P"]) -> UInt8[Tensor, "B C H W"]:
    """Boards on which each point has what lay elsewhere."""
    return planes.flatten(2).gather(2, places[:, None].expand(-1, planes.shape[1], -1)).view_as(planes)
