"""What training on records of go would read, and what is left out of it."""

from __future__ import annotations

import numpy as np

from ..core.errors import UserError
from ..data.look import SHOWN, Findings
from ..data.splits import SPLITS, divide, shares

EXAMPLES = 3


def games_found(path: str, reason: str, split: str) -> Findings:
    """The findings on the games of the size that most of them have: how many each split has, some of them, and why
    others are left out."""
    from ..worlds.games import game
    from ..worlds.games.recorded import enough, name_of
    from ..worlds.games.records import read_records, usual_size

    counts: dict[str, dict[str, int]] = {}
    problems: list[str] = []
    try:
        size = usual_size(path)
        read = read_records(path, game(f"go{size}"))
    except UserError as problem:
        return Findings(path, "games", reason, problems=(str(problem),))
    try:
        enough(read.games)
        part = divide([name_of(one) for one in read.games], np.zeros(len(read.games), np.int64), shares(split))
        counts = {name: {"games": int((part == k).sum())} for k, name in enumerate(SPLITS)}
    except UserError as problem:
        problems.append(str(problem))
    examples = tuple(
        ", ".join(filter(None, (" - ".join(filter(None, one.players)), one.result, f"{len(one.moves)} moves")))
        for one in read.games[:EXAMPLES]
    )
    notes = [f"go on {size} x {size}, {sum(len(one.moves) for one in read.games) / len(read.games):.1f} moves a game"]
    notes += [f"{read.variations:,} variations passed over"] * bool(read.variations)
    notes += [f"left out: {why}" for why in read.refused[:SHOWN]]
    notes += [f"and {len(read.refused) - SHOWN:,} more left out"] * (len(read.refused) > SHOWN)
    return Findings(path, "games", reason, counts, examples, problems=tuple(problems), notes=tuple(notes))
