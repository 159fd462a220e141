"""Connect-four positions whose every move is known: six sets by length and difficulty, solved by our own solver.

A set's name says how many stones lie there (begin: 10 to 14; middle: 15 to 28; end: 29 to 38) and how many more are
placed before the game is over, if both play perfectly (easy: fewer than 14; medium: 14 to 28; hard: more), as Pons's
sets do. benchmarks/positions.py made them and says how; no position, nor its mirror image, is there twice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int8, UInt64

from ..core.score import Score, rate_score
from ..parts.worths import wrong

FILE = Path(__file__).with_name("connect_four.npz")
SETS = ("begin easy", "begin medium", "begin hard", "middle easy", "middle medium", "end easy")
Level = Literal["easy", "middle", "opening"]
LEVELS: dict[Level, tuple[str, ...]] = {
    "easy": ("end easy",),
    "middle": ("middle easy", "middle medium"),
    "opening": ("begin easy", "begin medium", "begin hard"),
}


class Known(NamedTuple):
    """Positions, in each of which some move is wrong and no stone ends the game in favour of the one to move; they lie
    in mixed order."""

    name: str
    split: str
    states: UInt64[np.ndarray, "N 2"]  # stones of the one to move, all stones; see parts/solver.py
    values: Int8[np.ndarray, "N 7"]  # the exact worth of each column


def positions(split: Literal["valid", "test"] = "test") -> dict[str, Known]:
    """The six sets by name: 1,000 positions each to test, 200 others each to look at while a player learns."""
    known = {}
    with np.load(FILE, allow_pickle=False) as archive:
        for name in SETS:
            states, values = (archive[f"{split} {name} {what}"] for what in ("states", "values"))
            known[name] = Known(f"connect four, {name}", split, states, values)
    return known


def wrong_share(choose: Callable[[np.ndarray], np.ndarray], level: Level, split: Literal["valid", "test"] = "test",
                most: int | None = None) -> Score:  # fmt: skip
    """How often a player gives away what a position is worth, in percent, over the sets of a level; `most`: over the
    first so many of each. `choose` is given positions "N 2" and returns the column it plays in each, "N"."""
    known = positions(split)
    sets = [known[name] for name in LEVELS[level]]
    states = np.concatenate([one.states[:most] for one in sets])
    values = np.concatenate([one.values[:most] for one in sets])
    source = Known(f"connect four, {' + '.join(LEVELS[level])}", split, states, values)
    return rate_score(int(wrong(values, choose(states)).sum()), len(states), source)
