"""Games of two players, by name."""

from __future__ import annotations

from ...core.errors import UserError, nearest
from .game import Game, Turn

__all__ = ["Game", "Turn", "game", "names"]

SHORT = {"hex": "hex11", "othello": "othello8"}
OTHERS = "openspiel:"


def names() -> list[str]:
    """Of all games whose rules are compiled here."""
    return ["tictactoe", "connect_four", *(f"hex{size}" for size in range(3, 12)), "othello6", "othello8"]


def game(name: str) -> Game:
    """The game: one of `names`, or "openspiel:NAME" for one of OpenSpiel's, "openspiel:NAME(board_size=5)" with
    settings of its own.

    UserError: no such game, with the nearest name; numba or OpenSpiel is missing; not a game of two players who take
    turns, see everything, and have no luck.
    """
    if name.startswith(OTHERS):
        from .openspiel import openspiel

        return openspiel(name.removeprefix(OTHERS))
    own = SHORT.get(name, name)
    if own not in names():
        do = nearest(name, [*names(), *SHORT], f"There are: {', '.join(names())}; and 'openspiel:NAME'")
        raise UserError("a game that is known", f"no {name!r}", do)
    try:
        from .connect_four import connect_four
        from .hex import hex_game
        from .lines import tictactoe
        from .othello import othello
    except ImportError as missing:
        do = 'Install it: pip install "milestones[games]"'
        raise UserError("numba, which compiles the rules of games", str(missing)[:200], do) from None
    if own.startswith("hex"):
        return hex_game(int(own.removeprefix("hex")))
    if own.startswith("othello"):
        return othello(int(own.removeprefix("othello")))
    return tictactoe() if own == "tictactoe" else connect_four()
