"""Ratings of players from their games (Bradley & Terry 1952, in the scale of Elo): how far each is above one of them,
by maximum likelihood, draws as half a win; with intervals by the bootstrap over pairs of games.

The model: i scores against j with the chance 1 / (1 + 10^((r_j - r_i) / 400)). Who won every point against others is
infinitely far above them: no finite rating is likelier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

SCALE = 400 / math.log(10)  # Elo in a nat
DRAWS = 1000  # of the bootstrap
ROUNDS = 60  # of Newton's method: it needs five to ten
EDGE = 0.025  # of the draws lie outside the interval at either end


class Rating(NamedTuple):
    """Elo above the anchor with its 95 % interval; infinite where no point was won, or none lost."""

    value: float
    low: float
    high: float


def expected(ahead: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """The share of the points of a player that is so many Elo ahead."""
    return 0.5 + 0.5 * np.tanh(ahead / SCALE / 2)


def ratings(points: Float[np.ndarray, "D K K"], anchor: int = 0) -> Float[np.ndarray, "D K"]:
    """The likeliest ratings of K players in D tournaments, the anchor's being 0. `points[d, i, j]`: what i scored
    against j. Infinite: above or below the anchor in every game that ties them; nan: no game ties them."""
    draws, players, _ = points.shape
    reached = beaten(points)
    up, down = reached[:, :, anchor], reached[:, anchor]  # took points from the anchor, over others too; and lost some
    inside = up & down
    held = points * inside[:, :, None] * inside[:, None, :]
    games = held + held.swapaxes(1, 2)
    free = inside.copy()
    free[:, anchor] = False
    at = np.zeros((draws, players))
    for _ in range(ROUNDS):  # in nats
        chance = expected(SCALE * (at[:, :, None] - at[:, None, :]))
        slope = np.where(free, (held - games * chance).sum(2), 0.0)
        weight = games * chance * (1 - chance)
        curve = np.eye(players) * np.where(free, weight.sum(2), 1.0)[:, :, None]
        curve -= weight * free[:, :, None] * free[:, None, :]
        step = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(1, keepdims=True), 1e-12))  # far away it overshoots
        at += step
        if float(np.abs(step).max(initial=0.0)) < 1e-10:
            break
    outside = np.select([up, down], [np.inf, -np.inf], np.nan)
    return np.where(inside, SCALE * at, outside)


def beaten(points: Float[np.ndarray, "D K K"]) -> Bool[np.ndarray, "D K K"]:
    """[d, i, j]: whether i took points from j, or from one who took points from j, and so on; also i from itself."""
    reached = (points > 0) | np.eye(points.shape[1], dtype=bool)
    for _ in range(max(1, math.ceil(math.log2(points.shape[1])))):
        reached = np.einsum("dij,djk->dik", reached.astype(np.int64), reached.astype(np.int64)) > 0
    return reached


def table(players: int, pairs: Mapping[tuple[int, int], Sequence[float]]) -> Float[np.ndarray, "K K"]:
    """The points of each against each. `pairs[i, j]`: what i scored against j in each pair of games, from 0 to 2."""
    points = np.zeros((players, players))
    for (i, j), found in pairs.items():
        points[i, j] += sum(found)
        points[j, i] += 2 * len(found) - sum(found)
    return points


def rated(players: int, pairs: Mapping[tuple[int, int], Sequence[float]], rng: np.random.Generator, anchor: int = 0,
          draws: int = DRAWS) -> list[Rating]:  # fmt: skip
    """The ratings with their intervals, of pairs of games as `table` has them: the two games of one opening are drawn
    together. Where one side has all points a pair of one win each is among those that are drawn: that no point was lost
    in so few games does not say that none would be."""
    value = ratings(table(players, pairs)[None], anchor)[0]
    points = np.zeros((draws, players, players))
    for (i, j), found in pairs.items():
        each = np.asarray(found, np.float64)
        if not len(each):
            continue
        one_sided = each.sum() in (0, 2 * len(each))
        pool = np.append(each, 1.0) if one_sided else each
        drawn = pool[rng.integers(len(pool), size=(draws, len(pool)))].sum(1)
        points[:, i, j] += drawn
        points[:, j, i] += 2 * len(pool) - drawn
    found = np.sort(ratings(points, anchor), axis=0)
    low, high = found[math.floor(EDGE * (draws - 1))], found[math.ceil((1 - EDGE) * (draws - 1))]
    return [Rating(*map(float, row)) for row in zip(value, low, high, strict=True)]


def scored(found: Sequence[float], rng: np.random.Generator, draws: int = DRAWS) -> Rating:
    """The share of the points in pairs of two games, in percent, with the bootstrap's interval as in `rated`."""
    each = np.asarray(found, np.float64)
    pool = np.append(each, 1.0) if each.sum() in (0, 2 * len(each)) else each
    drawn = np.sort(pool[rng.integers(len(pool), size=(draws, len(pool)))].mean(1))
    low, high = drawn[math.floor(EDGE * (draws - 1))], drawn[math.ceil((1 - EDGE) * (draws - 1))]
    value = float(each.mean())
    return Rating(50 * value, 50 * min(value, float(low)), 50 * max(value, float(high)))
