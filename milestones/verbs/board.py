"""A board game in the terminal: you against a run, or a run against an opponent; hints, moves taken back, a record."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .players import SIMULATIONS, game_of, named, opened, split
from .words import answer, say

if TYPE_CHECKING:
    import numpy as np

    from ..media import Board
    from ..trained import Trained
    from ..worlds.games.game import Game
    from ..worlds.games.opponents import Player

SIGNS = ".XO"
PASS = "pass"
HELP = "a move by its name; moves: all of them; hint: what the run would do; undo: take back; board; quit"
WRITTEN = (".json", ".sgf")
LEFT, INTERRUPTED = "left", "interrupted"  # instead of a game's end


def add(parser: argparse.ArgumentParser) -> None:
    """The options of a game on a board."""
    group = parser.add_argument_group("of a run that plays a board game")
    group.add_argument("--begin", choices=("you", "run"), default="you", help="who makes the first move [you]")
    group.add_argument(
        "--opponent",
        default="",
        metavar="PLAYER",
        help="for the run: a run, RUN@400, random, greedy, rollouts:1000, perfect, gnugo:10",
    )
    group.add_argument("--simulations", type=int, default=SIMULATIONS, metavar="N",
                       help=f"how far the run looks ahead at each move [{SIMULATIONS}]")  # fmt: skip
    group.add_argument("--moves", default="", metavar="TEXT", help="moves that were made already, as 4453")
    group.add_argument("--record", default="", metavar="FILE", help="keep the game: a name that ends in .json or .sgf")


class Table:
    """A game that is being played: its moves, and the position after each."""

    def __init__(self, game: Game, text: str = "") -> None:
        self.game, self.line, self.states = game, list[int](), [game.begin(1)]
        for move in game.parse(text):
            self.play(move)

    @property
    def state(self) -> np.ndarray:
        """The position, "1 W"."""
        return self.states[-1]

    @property
    def mover(self) -> int:
        """Who is to move, 0 or 1."""
        return int(self.game.mover(self.state)[0])

    @property
    def legal(self) -> list[int]:
        """The moves that are allowed; none at the end."""
        return self.game.turn(self.state).legal[0].nonzero()[0].tolist()

    @property
    def result(self) -> str:
        """1-0 where the first player has won, 0-1, 1/2, or * while it goes on."""
        turn = self.game.turn(self.state)
        value = float(turn.value[0]) * (1 if self.mover == 0 else -1)
        return "*" if not turn.ended[0] else "1/2" if not value else "1-0" if value > 0 else "0-1"

    @property
    def names(self) -> list[str]:
        """The moves that were made."""
        return [self.game.name(move, state[0]) for move, state in zip(self.line, self.states[:-1], strict=True)]

    def name(self, move: int) -> str:
        """A move that is allowed now."""
        return self.game.name(move, self.state[0])

    def play(self, move: int) -> None:
        """Make a move, which is allowed."""
        import numpy as np

        self.states.append(self.game.step(self.state, np.array([move]))[0])
        self.line.append(move)

    def back(self) -> None:
        """Take the last move back."""
        self.states.pop()
        self.line.pop()

    def ask(self, player: Player, seed: int) -> str:
        """Let a player move. Why it did not, where it failed; otherwise nothing."""
        import numpy as np

        from ..core.source import key
        from ..parts.keyed import keys
        from ..worlds.games.arena import asked

        seeds = keys(key("play", seed), np.zeros(1, np.int64), np.array([len(self.line)]))
        legal = self.game.turn(self.state).legal
        moves, (reason,) = asked(self.game, player, self.state, [tuple(self.line)], seeds, legal)
        if not reason:
            self.play(int(moves[0]))
        return reason


class Ended(NamedTuple):
    """A game that is over, or was left."""

    table: Table
    players: tuple[str, str]
    result: str  # 1-0, 0-1, 1/2 or *
    end: str = ""  # why it ended before its time

    def plain(self) -> dict[str, Any]:
        """The game for JSON."""
        return {"players": list(self.players), "moves": self.table.names,
                "line": list(self.table.line), "result": self.result, "end": self.end}  # fmt: skip

    def __str__(self) -> str:
        pieces = self.table.game.facts["pieces"]
        who = " - ".join(f"{name} ({piece})" for name, piece in zip(self.players, pieces, strict=True))
        won = {"1-0": f"{self.players[0]} won", "0-1": f"{self.players[1]} won", "1/2": "a draw", "*": "not over"}
        end = f"; {self.end}" if self.end else ""
        return (
            f"{who}: {won[self.result]} after {len(self.table.line)} moves{end}\n{' '.join(self.table.names)}".rstrip()
        )


def run(args: argparse.Namespace, trained: Trained) -> int:
    """Play a run of a board game, as the words say."""
    from ..core.errors import UserError
    from .play import unused

    if args.film:
        raise UserError("a game on a board, which has no film", f"--film {args.film}", "Keep it by --record", "play")
    if args.human and args.opponent:
        raise UserError("you or an opponent against the run", "both", "Leave out --human or --opponent", "play")
    if args.record:
        if Path(args.record).suffix.lower() not in WRITTEN:
            want = f"a record whose name ends in {' or '.join(WRITTEN)}"
            raise UserError(want, args.record, "For example --record game.sgf", "play")
        unused(Path(args.record), args.overwrite, "record")
    game = game_of(trained)
    count = split(args.run, args.simulations)[1]
    mine = named(trained, count).player
    if args.human or (sys.stdin is not None and sys.stdin.isatty() and not args.opponent and not args.json):
        games = [human(args, trained, Table(game, args.moves), mine, count)]
    else:
        games = list(watched(args, game, mine))
    if args.record:
        keep(Path(args.record), games)
    content = {"run": str(trained.folder), "game": game.facts["game"], "simulations": count,
               "record": args.record or None, "games": [one.plain() for one in games]}  # fmt: skip
    text = [str(one) if one.players.count("you") else f"{drawn(one.table)}\n\n{one}" for one in games]
    answer(args, content, "\n".join([*text, *[f"record: {args.record}"] * bool(args.record)]))
    return 130 if any(one.end == INTERRUPTED for one in games) else 0


def keep(path: Path, games: Sequence[Ended]) -> None:
    """Write games as JSON or SGF."""
    from dataclasses import replace

    from ..core.folder import write_json, write_whole
    from ..worlds.games.records import about

    if path.suffix.lower() == ".json":
        write_json(path, {"game": games[0].table.game.facts["game"], "games": [one.plain() for one in games]})
        return
    boards = []
    for one in games:
        early = one.result != "*" and one.table.result == "*"
        said = about(one.table.game, one.table.state[0], one.players, one.result, early)
        boards.append(replace(board_of(one.table), note=str(one).splitlines()[0], about=said))
    write_whole(path, "".join(board.sgf() for board in boards).encode(errors="backslashreplace"))


# The run against an opponent, or itself.


def watched(args: argparse.Namespace, game: Game, mine: Player) -> Iterator[Ended]:
    """Games of the run, in each second of which the other begins."""
    from ..worlds.games.opponents import fixed, opponent

    other = mine
    if args.opponent:
        other = opponent(args.opponent, game) if fixed(args.opponent) else rival(args, game)
    with contextlib.closing(mine), contextlib.closing(other):
        for number in range(args.episodes or 1):
            table = Table(game, args.moves)
            seats = (mine, other) if (number % 2 == 0) == (table.mover == 0) else (other, mine)
            names, end, result = (seats[0].name, seats[1].name), "", table.result
            while result == "*":
                who = table.mover
                reason = table.ask(seats[who], args.seed + number)
                end = f"{names[who]} forfeits: {reason}" if reason else ""
                result = ("0-1", "1-0")[who] if reason else table.result
            say(f"game {number + 1}: {names[0]} - {names[1]} {result}, {len(table.line)} moves")
            yield Ended(table, names, result, end)


def rival(args: argparse.Namespace, game: Game) -> Player:
    """The run that --opponent names. UserError: it plays another game."""
    from ..core.errors import UserError
    from .players import kind_of

    name, count = split(args.opponent, args.simulations)
    trained = opened(name, args.runs, args.page)
    theirs = kind_of(game_of(trained))
    if theirs != kind_of(game):
        do = "Name a run of the same game, or rollouts:1000"
        raise UserError(f"an opponent in {kind_of(game)}", f"{name}, which plays {theirs}", do, "play")
    return named(trained, count).player


# You against the run.


def human(args: argparse.Namespace, trained: Trained, table: Table, mine: Player, count: int) -> Ended:
    """A game of whoever types against the run, to its end or until it is left."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    game, start, shown, end = table.game, len(table.line), -1, ""
    you = table.mover if args.begin == "you" else 1 - table.mover
    names = ("you", mine.name) if you == 0 else (mine.name, "you")
    say(f"{game.facts['title']}: {game.facts['aim']}")
    sides = [f"{SIGNS[1 + side]} ({piece})" for side, piece in enumerate(game.facts["pieces"])]
    say(f"you are {sides[you]}, {mine.name} is {sides[1 - you]}; {HELP}")
    try:
        while table.result == "*" and not end:
            if table.mover == you and len(table.line) != shown:
                shown = len(table.line)
                say("\n" + drawn(table))
            if table.mover != you:
                reason = table.ask(mine, args.seed)
                end = f"{mine.name} forfeits: {reason}" if reason else ""
                say(end or f"{mine.name}: {table.names[-1]}")
            elif [table.name(move) for move in table.legal] == [PASS]:
                say("you have no move, and pass")
                table.play(table.legal[0])
            else:
                end = typed(trained, table, start, count)
    except KeyboardInterrupt:
        end = INTERRUPTED
        say()
    if len(table.line) != shown:
        say("\n" + drawn(table))
    won = "1-0" if you == 0 else "0-1"
    return Ended(table, names, table.result if end in ("", LEFT, INTERRUPTED) else won, end)


def typed(trained: Trained, table: Table, start: int, simulations: int) -> str:
    """One line of who plays: a move, or another word. LEFT where that is the end of it."""
    from ..core.errors import UserError

    sys.stderr.write("your move: ")
    sys.stderr.flush()
    text = sys.stdin.readline()
    word = text.strip().lower()
    legal = {table.name(move).lower(): move for move in table.legal}
    if word in legal:
        table.play(legal[word])
    elif not text or word in ("quit", "exit", "q"):
        say("" if text else "\nno more input")
        return LEFT
    elif word == "moves":
        say(" ".join(legal))
    elif word == "hint":
        say(hint(trained, table, simulations))
    elif word == "undo":
        if not taken_back(table, start):
            say("there is no move of yours to take back")
    elif word in ("", "board"):
        say("\n" + drawn(table))
    elif word in ("help", "?"):
        say(HELP)
    else:
        try:
            found = table.game.parse(text.strip(), table.state[0])
            if len(found) == 1:
                table.play(found[0])
            else:
                say(f"one move at a time, as {next(iter(legal))}; {HELP}")
        except UserError as problem:
            say(f"expected {problem.expected}, got {problem.got}; or one of: moves, hint, undo, board, quit")
    return ""


def taken_back(table: Table, start: int) -> bool:
    """Take back the last move of the one whose turn it is, and what followed; False: there is none since `start`."""
    game, you = table.game, table.mover
    for k in range(len(table.line) - 1, start - 1, -1):
        if int(game.mover(table.states[k])[0]) == you and table.names[k] != PASS:
            while len(table.line) > k:
                table.back()
            return True
    return False


def hint(trained: Trained, table: Table, simulations: int) -> str:
    """What the run would do: its chances of the moves and its visits on the board, and what it expects to come."""
    import numpy as np

    from ..worlds.games.thinking import think

    try:
        thought = think(trained.model, trained.facts, table.state, simulations, trees=True)
    except Exception as problem:  # whatever is wrong with the page: the game goes on
        return f"no hint: {type(problem).__name__}: {problem}"[:200]
    game, policy, visits = table.game, thought.policy[0], thought.visits[0]
    share = visits / max(1, visits.sum())
    boards = [
        drawn(table, values, title).splitlines() for title, values in (("policy, %", policy), ("visits, %", share))
    ]
    wide = max(map(len, boards[0])) + 4
    text = [f"{left.ljust(wide)}{right}".rstrip() for left, right in zip(*boards, strict=True)]
    for move in np.argsort(-share, kind="stable")[:5].tolist():
        if visits[move]:
            won = 50 + 50 * float(thought.q[0, move])
            text.append(
                f"{table.name(move)}: {visits[move]} visits, policy {100 * policy[move]:.0f} %, wins {won:.0f} %"
            )
    line = Table(game)
    for move in [*table.line, *thought.line[0]]:
        line.play(move)
    told = "proved" if thought.exact[0] else f"{simulations} simulations"
    won, coming = 50 + 50 * float(thought.value[0]), " ".join(line.names[len(table.line) :])
    text.append(
        f"it would play {table.name(int(thought.move[0]))}; you win with {won:.0f} % ({told}); expected: {coming}"
    )
    return "\n".join(text)


# The board.


def board_of(table: Table) -> Board:
    """The position as it is drawn elsewhere."""
    return table.game.board(table.state[0], table.line)


def drawn(table: Table, values: np.ndarray | None = None, title: str = "") -> str:
    """The position in lines, the last stone in brackets; with `values` "A" the percent of each move where its stone
    would lie."""
    game, board = table.game, board_of(table)
    note = board.note or f"{SIGNS[board.turn]} ({board.pieces[board.turn - 1]}) to move"
    if not game.facts["rows"]:  # a game that nobody can draw here
        return f"{title}\n{note}".strip()
    rows = len(board.cells)
    signs = SIGNS if len(board.pieces) <= 2 else "." + "".join(name[0] for name in board.pieces)
    cells = [[f" {signs[piece]} " for piece in line] for line in board.cells.tolist()]
    row, column = game.cell(table.line[-1], table.states[-2][0]) if table.line else (-1, -1)
    if row >= 0:
        cells[row][column] = f"({cells[row][column].strip()})"
    for move in table.legal if values is not None else ():
        row, column = game.cell(move, table.state[0])
        if row >= 0 and values is not None and values[move] >= 0.005:
            cells[row][column] = f"{100 * values[move]:3.0f}"
    left, below = names_of(game, table)
    wide, lean = max(map(len, left)), 2 * board.hexagons
    text = [f"{' ' * lean * r}{left[r].rjust(wide)} {' '.join(cells[r])}".rstrip() for r in range(rows)]
    ends = " " * (wide + 1 + lean * rows) + " ".join(name.center(3) for name in below)
    return "\n".join([title, *text, ends.rstrip()] if title else [*text, ends.rstrip(), note])


def names_of(game: Game, table: Table) -> tuple[list[str], list[str]]:
    """What stands beside the rows and below the columns, as moves are named; nothing where they are not so named."""
    facts = game.facts
    left, below = [""] * facts["rows"], [""] * facts["columns"]
    if facts["actions"] == facts["columns"]:
        return left, [str(name) for name in facts["labels"]]
    for move, name in enumerate(facts["labels"]):
        found, (row, column) = re.fullmatch(r"([a-z]+)(\d+)", str(name)), game.cell(move, table.state[0])
        if found and row >= 0:
            below[column], left[row] = found[1], found[2]
    return left, below
