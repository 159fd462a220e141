"""Games that policies play by drawing each move, and positions of them: what a policy gradient and a value are learned
from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt64

from ...core.source import Held, Place, key
from .game import Game
from .recorded import Ended, turned_ends

KINDS = ("one of a game", "of whole games")  # positions of which a value can learn
TOGETHER = 512  # games side by side, at most, of which positions are taken
Says = Callable[[np.ndarray], np.ndarray]  # positions "M W" -> a score for each move "M A"


class Moves(NamedTuple):
    """All moves of games that were played to their ends."""

    game: Int64[np.ndarray, "M"]  # of which game
    ply: Int64[np.ndarray, "M"]  # how many moves of it were made before
    states: UInt64[np.ndarray, "M W"]
    legal: Bool[np.ndarray, "M A"]
    move: Int64[np.ndarray, "M"]
    result: Float32[np.ndarray, "M"]  # of the game, for the one who moved


Choose = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def played(game: Game, count: int, choose: Choose, seed: int) -> Moves:
    """So many games side by side. `choose`: positions, of which game each is, how many moves were made -> a score for
    each move, of which one is drawn, its chance the softmax among those that are legal."""
    rng, states, live, ply = np.random.default_rng(seed), game.begin(count), np.arange(count), 0
    legal, kept, result = game.turn(states).legal, list[tuple[np.ndarray, ...]](), np.zeros(count, np.float32)
    while len(live):
        at = states[live]
        scores = choose(at, live, ply) + rng.gumbel(size=legal.shape)
        move, sign = np.where(legal, scores, -np.inf).argmax(1), 1 - 2 * game.mover(at)
        kept.append((live, np.full(len(live), ply), at, legal, move, sign))
        states[live], turn = game.step(at, move)
        worth, going = (1 - 2 * game.mover(states[live])) * turn.value, ~turn.ended  # for the first player
        result[live[turn.ended]] = worth[turn.ended]
        live, legal, ply = live[going], turn.legal[going], ply + 1
    which, plies, before, legal, move, sign = (np.concatenate(field) for field in zip(*kept, strict=True))
    return Moves(which, plies, before, legal, move, (sign * result[which]).astype(np.float32))


def duel(game: Game, one: Says, other: Says, count: int, seed: int) -> Moves:
    """The moves of `one` in games against `other`, of which it begins every second one."""

    def choose(states: np.ndarray, games: np.ndarray, ply: int) -> np.ndarray:
        return by_turns(states, [(one, mine(states, games)), (other, ~mine(states, games))])

    def mine(states: np.ndarray, games: np.ndarray) -> np.ndarray:
        return (game.mover(states) + games) % 2 == 0

    found = played(game, count, choose, seed)
    kept = mine(found.states, found.game)
    return Moves(*(field[kept] for field in found))


def results(found: Moves) -> Float32[np.ndarray, "N"]:
    """How each game ended, for the one whose moves these are."""
    return found.result[np.unique(found.game, return_index=True)[1]]


def by_turns(states: np.ndarray, players: Sequence[tuple[Says, np.ndarray]]) -> np.ndarray:
    """The scores that each player gives in the positions that are its own, and of none in the rest."""
    parts = [(rows, says(states[rows])) for says, rows in players if rows.any()]
    scores = np.zeros((len(states), parts[0][1].shape[1] if parts else 1), np.float32)
    for rows, said in parts:
        scores[rows] = said
    return scores


def positions(game: Game, before: Says, after: Says, until: int, count: int, place: Place, split: str
              ) -> list[Held[Ended]]:  # fmt: skip
    """So many positions, each of another game; and as many of whole games, of which there are fewer. Those to train are
    turned and mirrored.

    A game has up to `until` moves by `before`, one at random, and then is played to its end by `after`: the position
    after the random move is the one that is taken (Silver et al. 2016, "Value network: regression")."""
    singles, wholes, have, turn, together = list[Moves](), list[Moves](), 0, 0, min(TOGETHER, count)
    while have < count:
        seed = key(place.seed, "games", split, turn)
        first = np.random.default_rng(key("until", seed)).integers(0, until + 1, together)

        def choose(states: np.ndarray, games: np.ndarray, ply: int, first: np.ndarray = first) -> np.ndarray:
            return by_turns(states, [(before, ply < first[games]), (after, ply > first[games])])

        found = played(game, together, choose, seed)
        since, order = found.ply - first[found.game] - 1, np.lexsort((found.ply, found.game))
        singles.append(Moves(*(field[since == 0] for field in found)))
        wholes.append(Moves(*(field[order][since[order] >= 0] for field in found)))
        have, turn = have + len(singles[-1].move), turn + 1
    ends = list[Ended]()
    for parts in (singles, wholes):
        every = Moves(*(np.concatenate(field)[:count] for field in zip(*parts, strict=True)))
        ends.append(Ended(torch.from_numpy(game.planes(every.states)), torch.from_numpy(every.result)))
    title = f"self-play of {game.facts['title']}, {game.facts['rows']} x {game.facts['columns']}"
    turns = turned_ends(game) if split == "train" else None
    return [Held(one, place, f"{title}, {kind}", split, turns) for one, kind in zip(ends, KINDS, strict=True)]
