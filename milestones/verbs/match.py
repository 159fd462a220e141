"""match RUN RUN ...: runs and fixed opponents against each other, each opening with both colours: Elo with intervals,
and a record of every game. The same command goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .players import SIMULATIONS
from .words import answer, say

if TYPE_CHECKING:
    from ..parts.elo import Rating
    from ..worlds.games.arena import Played
    from ..worlds.games.game import Game
    from .players import Named

    Games = dict[tuple[int, int], list[Played]]  # of each pairing

TOGETHER = 256  # games side by side
SECONDS = 5.0  # between two savings, and two lines of progress
MOST_PLAYERS, MOST_GAMES = 32, 100_000


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    text = "two or more: runs, RUN@400 (so many simulations a move), random, greedy, rollouts:1000, perfect, gnugo:10"
    parser.add_argument("players", metavar="PLAYER", nargs="+", help=text)
    parser.add_argument("--games", type=int, default=100, metavar="N", help="of each pairing, an even number [100]")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, metavar="N",
                        help=f"of a run, a move [{SIMULATIONS}]")  # fmt: skip
    parser.add_argument("--openings", type=int, metavar="MOVES",
                        help="random moves that each pair of games begins with [by the game, 1 to 4]")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of openings and chances [0]")
    parser.add_argument("--anchor", default="", metavar="PLAYER", help="whose Elo is 0 [the first]")
    parser.add_argument("--game", default="", metavar="NAME", help="what fixed opponents play that meet without a run")
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..core.errors import UserError, nearest
    from ..core.folder import held, write_json
    from ..worlds.games.arena import usual_plies
    from .players import seated

    fits = 2 <= args.games <= MOST_GAMES and args.games % 2 == 0
    if not fits or not 2 <= len(args.players) <= MOST_PLAYERS:
        want = f"2 to {MOST_PLAYERS} players and an even number of games, from 2 to {MOST_GAMES:,}"
        got = f"{len(args.players)} and --games {args.games}"
        raise UserError(want, got, "For example: match RUN rollouts:1000 --games 100", "match")
    game, players = seated(args.players, args.simulations, args.game, args.runs, args.page)
    names = [one.player.name for one in players]
    if args.anchor and args.anchor not in names:
        do = nearest(args.anchor, names, "Name one of them")
        raise UserError(f"one of the players: {', '.join(names)}", f"--anchor {args.anchor}", do, "match")
    plies = usual_plies(game) if args.openings is None else args.openings
    longest = int(game.facts["longest"]) // 2
    if not 0 <= plies <= longest:
        raise UserError(f"openings of 0 to {longest} moves", f"--openings {plies}", "For example --openings 2", "match")
    order = {"game": game.facts["game"], "players": [one.what for one in players], "names": names, "openings": plies,
             "seed": args.seed}  # fmt: skip
    folder = place(Path(args.runs) / "matches", order)
    try:
        with held(folder):
            record = Record(folder, game, order)
            games = record.read()
            try:
                meet(game, players, args.games, order, games, record)
            except KeyboardInterrupt:
                say(f"stopped; {sum(map(len, games.values())):,} games are recorded, and the same command goes on")
                raise
    finally:
        for one in players:
            one.player.close()
    games = {pair: [one for one in found if 2 * one.opening < args.games] for pair, found in games.items()}
    found = summary(game, names, games, names.index(args.anchor) if args.anchor else 0, args.seed)
    content = {"match": str(folder), "game": game.facts["game"], "openings": plies, **found}
    write_json(folder / "match.json", {**order, **content})
    answer(args, content, "\n".join(lines(game, content)))
    return 0


def place(root: Path, order: dict[str, Any]) -> Path:
    """The folder of a match: the same for the same players, openings and seed, however many games."""
    from ..core.folder import unwritable
    from ..core.source import key

    label = "".join(letter if letter.isalnum() or letter == "_" else "-" for letter in str(order["game"]))[:40]
    folder = root / f"{label}-{key(json.dumps(order, sort_keys=True)):016x}"[: len(label) + 9]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise unwritable(folder, problem) from None
    return folder


def meet(game: Game, players: Sequence[Named], count: int, order: Mapping[str, Any], games: Games,
         record: Record) -> None:  # fmt: skip
    """Play what is not recorded yet; `games` grows."""
    from ..core.source import key
    from ..worlds.games.arena import both, contest, openings

    todo = both(openings(game, count // 2, order["openings"], order["seed"]))
    told = time.monotonic()
    for (i, j), found in games.items():
        names = f"{players[i].player.name} - {players[j].player.name}"
        there = {(one.opening, one.first) for one in found}
        left = [one for one in todo if (one[0], one[2]) not in there]
        seed = key("match", order["seed"], names)
        try:
            for begin in range(0, len(left), TOGETHER):
                part = left[begin : begin + TOGETHER]
                for one in contest(game, (players[i].player, players[j].player), part, seed):
                    found.append(one)
                    record.keep(games, now=False)
                    if time.monotonic() > told + SECONDS:
                        told = time.monotonic()
                        say(f"{names}: {len(found):,} of {count:,} games are over")
        finally:
            if left:
                record.keep(games)
        forfeits = [one.forfeit for one in found if one.forfeit]
        if left and forfeits:
            say(f"{names}: {len(forfeits):,} games forfeited; the first for {forfeits[0]}")


# The record: a game a line, and all of them as SGF where that can hold the game.


class Record:
    """The games of a match in its folder."""

    def __init__(self, folder: Path, game: Game, order: Mapping[str, Any]) -> None:
        self.folder, self.game, self.names = folder, game, list(order["names"])
        self._texts: dict[tuple[tuple[int, int], Played], tuple[str, str]] = {}
        self._saved, self._pause = time.monotonic(), SECONDS

    def keep(self, games: Games, now: bool = True) -> None:
        """Write all games that are over; without `now` only if that was some time ago."""
        from ..core.folder import write_whole

        begin = time.monotonic()
        if not now and begin < self._saved + self._pause:
            return
        texts = [self._text(pair, one) for pair, found in games.items() for one in sorted(found)]
        for name, text in (("games.jsonl", [one for one, _ in texts]), ("games.sgf", [sgf for _, sgf in texts])):
            if any(text):
                write_whole(self.folder / name, "".join(text).encode(errors="backslashreplace"))
        self._saved = time.monotonic()
        self._pause = max(SECONDS, 20 * (self._saved - begin))

    def _text(self, pair: tuple[int, int], one: Played) -> tuple[str, str]:
        """A game as a line of JSON, and as SGF."""
        if (pair, one) not in self._texts:
            row = line_of(self.game, self.names, pair, one)
            self._texts[pair, one] = json.dumps(row, ensure_ascii=False) + "\n", sgf_of(self.game, row)
        return self._texts[pair, one]

    def read(self) -> Games:
        """The games that are there, of each pairing; of a match that begins none. UserError: a damaged record."""
        from ..core.errors import UserError
        from ..core.folder import inside
        from ..worlds.games.arena import Played, points_of

        count, rows, at = len(self.names), list[tuple[tuple[int, int], Played]](), 0
        games: Games = {(i, j): [] for i in range(count) for j in range(i + 1, count)}
        path = inside(self.folder, "games.jsonl")
        if not path.exists():
            return games
        try:
            for text in path.read_text(encoding="utf-8").splitlines():
                at += 1
                row = json.loads(text)
                whole = [row["opening"], row["first"], *row["pair"], *row["line"]]
                assert all(type(k) is int and k >= 0 for k in whole), "numbers"
                one = Played(
                    row["opening"], row["first"], tuple(row["line"]), float(row["points"]), str(row["forfeit"])
                )
                rows.append((tuple(row["pair"]), one))
            at, points = 0, points_of(self.game, [one for _, one in rows])
            for (pair, one), reached in zip(rows, points, strict=True):
                at += 1
                there = {(other.opening, other.first) for other in games[pair]}
                assert one.first < 2 and (one.opening, one.first) not in there, "each once"
                assert one.points in ((0.0, 1.0) if one.forfeit else (reached,)), "as it was played"
                games[pair].append(one)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, AssertionError) as problem:
            do = "Restore the file, or delete it to play all games again"
            got = f"line {at}, which is none of its games ({type(problem).__name__})"
            raise UserError(f"a readable games.jsonl in {self.folder}", got, do, "match") from None
        return games


def line_of(game: Game, names: Sequence[str], pair: tuple[int, int], one: Played) -> dict[str, Any]:
    """A game as a JSON object: who began, the moves in words and as numbers, who won."""
    began, other = (names[pair[one.first]], names[pair[1 - one.first]])
    result = "1/2" if one.points == 0.5 else "1-0" if (one.points == 1) == (one.first == 0) else "0-1"
    return {"pair": list(pair), "opening": one.opening, "first": one.first, "began": began, "other": other,
            "moves": " ".join(map(game.name, one.line)), "line": list(one.line), "points": one.points,
            "result": result, "forfeit": one.forfeit}  # fmt: skip


def sgf_of(game: Game, row: Mapping[str, Any]) -> str:
    """A game of the record as SGF; nothing where that would be read as another position."""
    from dataclasses import replace

    import numpy as np

    from ..core.errors import UserError
    from ..media import Board
    from ..worlds.games.analysis import state_after
    from ..worlds.games.records import about

    state = state_after(game, row["line"])
    board, players = game.board(state, row["line"]), (str(row["began"]), str(row["other"]))
    note = f"{row['began']} ({board.pieces[0]}) - {row['other']} ({board.pieces[-1]}): {row['result']}"
    more = "; forfeit: " + row["forfeit"] if row["forfeit"] else ""
    try:
        said = about(game, state, players, row["result"], bool(row["forfeit"]))
        text = replace(board, note=note + more, about=said).sgf()
        return text if np.array_equal(Board.decoded(text.encode(), "sgf").cells, board.cells) else ""
    except UserError:  # pieces of many kinds
        return ""


# What came of it.


def summary(game: Game, names: Sequence[str], games: Games, anchor: int, seed: int) -> dict[str, Any]:
    """Ratings and points of each player, the best first; the pairings; how many games were different."""
    import numpy as np

    from ..core.source import key
    from ..parts.elo import rated
    from ..worlds.games.arena import distinct, in_pairs

    pairs = {pair: in_pairs(found) for pair, found in games.items()}
    found = rated(len(names), pairs, np.random.default_rng(key("elo", seed)), anchor)
    players = [
        {"player": name, **elo(found[k]), **tally([(one, side) for pair, each in games.items() for one in each
                                                   for side in (0, 1) if pair[side] == k])}
        for k, name in enumerate(names)
    ]  # fmt: skip
    order = sorted(range(len(names)), key=lambda k: (-found[k].value, -players[k]["points"]))
    pairings = [{"players": [names[i], names[j]], **tally([(one, 0) for one in each]),
                 "distinct": distinct(game, each), "forfeits": sum(bool(one.forfeit) for one in each)}
                for (i, j), each in games.items()]  # fmt: skip
    every = [one for each in games.values() for one in each]
    return {"anchor": names[anchor], "players": [players[k] for k in order], "pairings": pairings,
            "games": len(every), "distinct": sum(one["distinct"] for one in pairings)}  # fmt: skip


def elo(found: Rating) -> dict[str, float | None]:
    """A rating for JSON: what is infinite is null."""
    value, low, high = (round(v, 1) if math.isfinite(v) else None for v in found)
    return {"elo": value, "low": low, "high": high}


def tally(games: Sequence[tuple[Played, int]]) -> dict[str, Any]:
    """Points of the side that is named with each game, and how they came about."""
    points = [one.points if side == 0 else 1 - one.points for one, side in games]
    return {"points": sum(points), "games": len(points), "won": points.count(1), "drawn": points.count(0.5),
            "lost": points.count(0)}  # fmt: skip


def lines(game: Game, content: dict[str, Any]) -> list[str]:
    """The summary for a terminal."""
    from .tables import columns

    facts = game.facts
    table = [["player", "Elo", "95 %", "points", "won", "drawn", "lost"]]
    for one in content["players"]:
        table.append([one["player"], *rating_words(one), f"{100 * one['points'] / max(1, one['games']):.1f} %",
                      *(str(one[name]) for name in ("won", "drawn", "lost"))])  # fmt: skip
    text = [f"{facts['title']}, {facts['rows']} x {facts['columns']}; {content['games']:,} games, "
            f"{content['distinct']:,} of them different; {content['anchor']} has Elo 0", columns(table)]  # fmt: skip
    for one in content["pairings"] if len(content["players"]) > 2 else ():
        text.append(f"{' - '.join(one['players'])}: {one['points']:g} of {one['games']} points "
                    f"({one['won']} won, {one['drawn']} drawn, {one['lost']} lost)")  # fmt: skip
    for one in content["pairings"]:
        if one["distinct"] < 0.9 * one["games"]:
            text.append(f"{' - '.join(one['players'])}: only {one['distinct']} of {one['games']} games are different; "
                        "more random moves in the openings (--openings) make more of them")  # fmt: skip
        if one["forfeits"]:
            text.append(f"{' - '.join(one['players'])}: {one['forfeits']} games were forfeited")
    return [*text, f"record: {content['match']}"]


def rating_words(one: dict[str, Any]) -> list[str]:
    """A rating and its interval in words."""
    value, low, high = (one[name] for name in ("elo", "low", "high"))
    if value is None:
        return [f"> {low:.0f}" if low is not None else f"< {high:.0f}" if high is not None else "?",
                "without an upper end" if low is not None else "without a lower end"]  # fmt: skip
    ends = ["-inf" if low is None else f"{low:.0f}", "inf" if high is None else f"{high:.0f}"]
    return [f"{value:.0f}", f"{ends[0]} to {ends[1]}"]
