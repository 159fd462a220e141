"""Games of two players, by name."""

from __future__ import annotations

import re

from ...core.errors import UserError, nearest
from .game import Game, Turn

__all__ = ["Game", "Turn", "game", "names"]

SHORT = {"hex": "hex11", "othello": "othello8", "go": "go19"}
KOMI = re.compile(r"(go\d+):(-?\d{1,3}(?:\.5|\.0)?)")
OTHERS = "openspiel:"


def names() -> list[str]:
    """Of all games whose rules are compiled here."""
    return ["tictactoe", "connect_four", *(f"hex{size}" for size in range(3, 12)), "othello6", "othello8",
            *(f"go{size}" for size in range(5, 20))]  # fmt: skip


def game(name: str) -> Game:
    """The game: one of `names`, or "openspiel:NAME" for one of OpenSpiel's, "openspiel:NAME(board_size=5)" with
    settings of its own; "go7:8.5" is go with another komi.

    UserError: no such game, with the nearest name; numba or OpenSpiel is missing; not a game of two players who take
    turns, see everything, and have no luck.
    """
    if name.startswith(OTHERS):
        from .openspiel import openspiel

        return openspiel(name.removeprefix(OTHERS))
    komi = KOMI.fullmatch(name)
    own = komi[1] if komi else SHORT.get(name, name)
    if own not in names():
        do = nearest(name, [*names(), *SHORT], f"There are: {', '.join(names())}; and 'openspiel:NAME'")
        raise UserError("a game that is known", f"no {name!r}", do)
    try:
        from . import go as rules_of_go
        from .connect_four import connect_four
        from .hex import hex_game
        from .lines import tictactoe
        from .othello import othello
    except ImportError as missing:
        do = 'Install it: pip install "milestones[games]"'
        raise UserError("numba, which compiles the rules of games", str(missing)[:200], do) from None
    if own.startswith("hex"):
        return hex_game(int(own.removeprefix("hex")))
    if own.startswith("go"):
        size = int(own.removeprefix("go"))
        return rules_of_go.go(size, float(komi[2]) if komi else rules_of_go.KOMI.get(size, 7.5))
    if own.startswith("othello"):
        return othello(int(own.removeprefix("othello")))
    return tictactoe() if own == "tictactoe" else connect_four()
