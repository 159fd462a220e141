"""Games that policies play by drawing each move, and positions of them: what a policy gradient and a value are learned
from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped, UInt64

from ...core.source import key
from .game import Game
from .recorded import Ended

TOGETHER = 512  # games side by side, of which positions are taken
Says = Callable[[np.ndarray], np.ndarray]  # positions "M W" -> a score for each move "M A"


class Moves(NamedTuple):
    """All moves of games that were played to their ends."""

    game: Int64[np.ndarray, "M"]  # of which game
    ply: Int64[np.ndarray, "M"]  # how many moves of it were made before
    states: UInt64[np.ndarray, "M W"]
    legal: Bool[np.ndarray, "M A"]
    move: Int64[np.ndarray, "M"]
    result: Shaped[np.ndarray, "M"]  # of the game, for the one who moved


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
    return Moves(which, plies, before, legal, move, sign * result[which])


def duel(game: Game, one: Says, other: Says, count: int, seed: int) -> Moves:
    """The moves of `one` in games against `other`, of which it begins every second one."""

    def choose(states: np.ndarray, games: np.ndarray, ply: int) -> np.ndarray:
        return by_turns(states, [(one, mine(states, games)), (other, ~mine(states, games))])

    def mine(states: np.ndarray, games: np.ndarray) -> np.ndarray:
        return (game.mover(states) + games) % 2 == 0

    found = played(game, count, choose, seed)
    kept = mine(found.states, found.game)
    return Moves(*(field[kept] for field in found))


def results(found: Moves) -> Shaped[np.ndarray, "N"]:
    """How each game ended, for the one whose moves these are."""
    return found.result[np.unique(found.game, return_index=True)[1]]


def by_turns(states: np.ndarray, players: Sequence[tuple[Says, np.ndarray]]) -> np.ndarray:
    """The scores that each player gives in the positions that are its own, and of none in the rest."""
    parts = [(rows, says(states[rows])) for says, rows in players if rows.any()]
    scores = np.zeros((len(states), parts[0][1].shape[1] if parts else 1), np.float32)
    for rows, said in parts:
        scores[rows] = said
    return scores


def positions(game: Game, before: Says, after: Says, until: int, count: int, seed: int) -> tuple[Ended, Ended]:
    """So many positions, each of another game; and as many of whole games, of which there are fewer.

    A game has up to `until` moves by `before`, one at random, and then is played to its end by `after`: the position
    after the random move is the one that is taken (Silver et al. 2016, "Value network: regression")."""
    singles, wholes, have, round_ = list[Moves](), list[Moves](), 0, 0
    while have < count:
        first = np.random.default_rng(key("until", seed, round_)).integers(0, until + 1, TOGETHER)

        def choose(states: np.ndarray, games: np.ndarray, ply: int, first: np.ndarray = first) -> np.ndarray:
            return by_turns(states, [(before, ply < first[games]), (after, ply > first[games])])

        found = played(game, TOGETHER, choose, key("value", seed, round_))
        since = found.ply - first[found.game] - 1
        order = np.lexsort((found.ply, found.game))
        singles.append(Moves(*(field[since == 0] for field in found)))
        wholes.append(Moves(*(field[order][since[order] >= 0] for field in found)))
        have, round_ = have + len(singles[-1].move), round_ + 1
    return _ended(game, singles, count), _ended(game, wholes, count)


def _ended(game: Game, parts: Sequence[Moves], count: int) -> Ended:
    states, result = (np.concatenate([getattr(part, name) for part in parts])[:count] for name in ("states", "result"))
    return Ended(torch.from_numpy(game.planes(states)), torch.from_numpy(result.astype(np.float32)))
