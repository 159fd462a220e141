"""How well a net plays: against perfect play where that is known, and against opponents that never change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from torch import nn

from ...core.score import Score, rate_score
from ...core.source import Facts
from . import game as game_of
from .game import Game
from .opponents import Player
from .thinking import Thought

MOST = 20_000  # positions of a game that are all looked at
OPPONENTS = ("random", "greedy", "rollouts:1000")  # the last is what Elo is counted from
FARTHEST = 1200.0  # Elo between players of whom one won all
Think = Callable[[Shaped[np.ndarray, "N W"]], Thought]


class Positions(NamedTuple):
    """What a score is measured on."""

    name: str
    split: str


class Known(NamedTuple):
    """What perfect play says of a game."""

    first: Shaped[np.ndarray, "A"]  # the worth of each move from the beginning, for who makes it
    states: Shaped[np.ndarray, "N W"]  # all positions of a small game, or none
    values: Shaped[np.ndarray, "N A"]


@cache
def known(name: str) -> Known | None:
    """Of the game of this name; None where nobody knows. Solved once."""
    from .perfect import perfect

    game = game_of(name)
    oracle = perfect(game)
    if oracle is None:
        return None
    start, found = game.begin(1), reachable(game)
    states = start[:0] if found is None else found
    return Known(oracle.values(start)[0], states, oracle.values(states))


def judged(game: Game, think: Think) -> dict[str, Score]:
    """What perfect play says, in percent: `wrong_moves` among all positions of a small game, and `wrong_openings`, the
    first moves of which the winner is told wrongly, in a game without draws. Nothing where it is not known."""
    from .perfect import wrong

    perfect, found, title = known(game.facts["game"]), dict[str, Score](), game.facts["title"]
    if perfect is None:
        return {}
    moves = np.flatnonzero(game.turn(game.begin(1)).legal[0])
    signs = np.sign(perfect.first[moves])
    if (signs != 0).all():
        after, _ = game.step(game.begin(len(moves)), moves)
        mistaken = np.sign(-think(after).value) != signs
        found["wrong_openings"] = rate_score(int(mistaken.sum()), len(moves), Positions(title, "first moves"))
    if len(perfect.states):
        mistaken = wrong(perfect.values, think(perfect.states).move)
        found["wrong_moves"] = rate_score(int(mistaken.sum()), len(mistaken), Positions(title, "all positions"))
    return found


def reachable(game: Game, most: int = MOST) -> Shaped[np.ndarray, "N W"] | None:
    """All positions of a game that are not over, each once, by the moves before it; None where there are too many."""
    level, found, total = game.begin(1), list[np.ndarray](), 0
    while len(level):
        found.append(level)
        total += len(level)
        if total > most:
            return None
        row, move = np.nonzero(game.turn(level).legal)
        after, turn = game.step(level[row], move)
        level = np.unique(after[~turn.ended], axis=0)
    return np.concatenate(found)


def matched(game: Game, model: nn.Module, facts: Facts, simulations: int, pairs: int, seed: int) -> dict[str, Score]:
    """Percent of the points against each of OPPONENTS, in so many pairs of games; and `elo` beside the last of them."""
    from .arena import share
    from .opponents import Searching

    player = Searching("the net", model, facts, simulations)
    found = {f"against_{word.split(':')[0]}": share(game, player, word, pairs, seed) for word in OPPONENTS}
    last = found[f"against_{OPPONENTS[-1].split(':')[0]}"]
    return {**found, "elo": elo(last, f"beside {OPPONENTS[-1]}, which has 0")}


def elo(points: Score, note: str) -> Score:
    """A share of the points in percent as a difference in Elo; of all or none as if a quarter of one were missing."""
    least = 25 / points.over

    def of(percent: float) -> float:
        part = min(max(percent, least), 100 - least) / 100
        return 400 * math.log10(part / (1 - part))

    return Score(of(points.value), of(points.low), of(points.high), "Elo", "higher", points.data, points.split,
                 points.over, note=note)  # fmt: skip


def ranked(game: Game, players: Mapping[str, Player], paper: Mapping[str, float], paper_data: str, pairs: int,
           seed: int) -> dict[str, Score]:  # fmt: skip
    """The Elo of each player by its name, above the first, which has none: each meets each in so many pairs of games.
    Who won or lost all is told to be FARTHEST away."""
    from .arena import tournament

    found, (first, *names) = tournament(game, list(players.values()), pairs, seed), players
    scores = {}
    for name, rating in zip(names, found[1:], strict=True):
        value, low, high = (min(max(edge, -FARTHEST), FARTHEST) for edge in rating)
        note = f"above {players[first].name}, which has 0; 2 x {pairs} games against each of {len(names)} others"
        low, high = min(low, value), max(high, value)
        scores[name] = Score(value, low, high, "Elo", "higher", game.facts["title"], "games", 2 * pairs * len(names),
                             paper[name], paper_data, note)  # fmt: skip
    return scores
