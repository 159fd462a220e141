"""Players by the words of the command line: a run, RUN@400 (with so many simulations a move), or a fixed opponent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..trained import Trained
    from ..worlds.games.game import Game
    from ..worlds.games.opponents import Player

SIMULATIONS = 100
MOST = 1_000_000  # simulations a move


class Named(NamedTuple):
    """A player, and what it is: equal in two matches only if it plays alike."""

    player: Player
    what: dict[str, Any]  # "run", "weights", "simulations"; of a fixed opponent "opponent"


def split(word: str, simulations: int) -> tuple[str, int]:
    """The run that a word names, and the simulations a move. UserError: too many, or none."""
    from ..core.errors import UserError

    found = re.fullmatch(r"(.+)@(\d{1,9})", word)
    name, count = (found[1], int(found[2])) if found else (word, simulations)
    if not 1 <= count <= MOST:
        do = "For example --simulations 100, or RUN@400"
        raise UserError(f"simulations a move from 1 to {MOST:,}", f"{count:,}", do)
    return name, count


def opened(word: str, runs: str, page: str) -> Trained:
    """The run that a word names. `page`: the file of a page of the user's own, for a run of that page alone."""
    from ..catalog import TIMELINE, load, locate, published
    from ..core.folder import read_json

    own = page
    if page and not word.endswith(".py") and not published(word):
        name = read_json(locate(word, runs), "config.json").get("system")
        own = "" if name in {entry.name for entry in TIMELINE} else page
    return load(word, runs, own)


def game_of(trained: Trained) -> Game:
    """The game of a run. UserError: it plays none, or its net was trained for another size or game than it says."""
    from ..core.errors import UserError
    from ..worlds.games import game

    facts, who = trained.facts, trained.entry.name
    if facts.get("kind") != "game":
        got = f"{trained.folder.name} of the page {who}, which plays none"
        raise UserError("a run that plays a board game", got, "See 'milestones runs' for others", who)
    made = game(str(facts.get("game")))
    for name in ("rows", "columns", "actions", "shape"):
        if facts.get(name) != made.facts[name]:
            want = f"a net for {made.facts['title']}, {name} {made.facts[name]}"
            got = f"one that was trained for {name} {facts.get(name)!r}"[:80]
            raise UserError(want, got, f"Train again, or restore facts.json in {trained.folder}", who)
    return made


def named(trained: Trained, simulations: int, name: str = "") -> Named:
    """The player that a run is."""
    from ..core.folder import read_json
    from ..worlds.games.opponents import Searching

    weights = str(read_json(trained.folder, "status.json").get("weights_sha256"))[:16]
    what = {"run": trained.folder.name, "weights": weights, "simulations": simulations}
    return Named(Searching(name or trained.folder.name, trained.model, trained.facts, simulations), what)


def seated(words: Sequence[str], simulations: int, game_name: str, runs: str, page: str) -> tuple[Game, list[Named]]:
    """The game of all players, and the players. UserError: runs of different games, no game at all, a player twice."""
    from ..core.errors import UserError
    from ..worlds.games import game
    from ..worlds.games.opponents import fixed, opponent

    parts = [(word, 0) if fixed(word) else split(word, simulations) for word in words]
    loaded = {name: opened(name, runs, page) for name, count in parts if count}
    games = {name: game_of(trained) for name, trained in loaded.items()}
    one, *others = games or [""]
    for other in others:
        if kind_of(games[other]) != kind_of(games[one]):
            got = f"{kind_of(games[one])} ({one}) and {kind_of(games[other])} ({other})"
            raise UserError("runs of one game and size", got, "Let runs of the same game meet", "match")
    if not games and not game_name:
        do = "For example --game connect_four"
        raise UserError("a run, or --game NAME for fixed opponents alone", " ".join(words), do, "match")
    played = games[one] if games else game(game_name)
    if game_name and kind_of(game(game_name)) != kind_of(played):
        want = f"--game {played.facts['game']}, which the runs play"
        raise UserError(want, f"--game {game_name}", "Leave --game out", "match")
    found: list[Named] = []
    for word, (name, count) in zip(words, parts, strict=True):
        taken = {other.player.name for other in found}
        if count:
            folder, more = loaded[name].folder, f"@{count}" if count != simulations else ""
            seat = named(loaded[name], count, f"{folder if folder.name + more in taken else folder.name}{more}")
        else:
            player = opponent(word, played)
            seat = Named(player, {"opponent": player.name})
        if any(other.what == seat.what for other in found):
            do = "Name each once; RUN@400 is RUN with 400 simulations a move"
            raise UserError("players that differ", f"{word} twice", do, "match")
        found.append(seat)
    return played, found


def kind_of(game: Game) -> str:
    """The game and its size in words."""
    return f"{game.facts['title']}, {game.facts['rows']} x {game.facts['columns']}"
