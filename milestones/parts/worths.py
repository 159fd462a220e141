"""What moves of a solved game are worth, and which of them are wrong."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Int8

NONE = -128  # the worth of a move that is not legal


def wrong(worths: Int8[np.ndarray, "N A"], moves: Int[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
    """Whether each move gives away what the position was worth: a win for less than a win, a draw for a loss. A slower
    win is right, and where all moves lose none is wrong."""
    played = np.take_along_axis(worths, moves[:, None], 1)[:, 0]
    assert bool((played != NONE).all()), "a move that is not legal"
    return np.sign(played) < np.sign(worths.max(1))


def best(worths: Int8[np.ndarray, "N A"], soon: bool = True) -> Bool[np.ndarray, "N A"]:
    """The best moves of each position: those that win soonest or lose latest; without `soon` all that are not wrong."""
    legal = worths != NONE
    rated = worths if soon else np.where(legal, np.sign(worths), NONE)
    return legal & (rated == rated.max(1, keepdims=True))


def careful(worths: Int8[np.ndarray, "N A"]) -> Bool[np.ndarray, "N"]:
    """Where a move can be wrong: the legal moves are not all won, all drawn or all lost."""
    rated = np.sign(worths.astype(np.int16))
    return np.where(worths == NONE, 9, rated).min(1) < np.where(worths == NONE, -9, rated).max(1)


def chosen(worths: Int8[np.ndarray, "N A"], rng: np.random.Generator, soon: bool = True) -> Int[np.ndarray, "N"]:
    """A best move of each position that is not over, at random among equals."""
    among = best(worths, soon)
    assert bool(among.any(1).all()), "a position that is over"
    return np.where(among, rng.random(among.shape), -1.0).argmax(1)
