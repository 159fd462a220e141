"""play RUN --gtp: a run as an engine that programs for go talk to, by the Go Text Protocol, version 2."""

from __future__ import annotations

import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from .. import __version__

if TYPE_CHECKING:
    from ..trained import Trained
    from ..worlds.games.thinking import Thought

VERSION = "2"
COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
INTERVAL_S = 0.5  # between two reports of an analysis, if nobody says
FIRST, MOST = 32, 100_000  # simulations of the first report of an analysis; of all
SPARE = 0.05  # of the time that is left, for what is not thinking
ID = re.compile(r"(\d+)(?:\s+|$)")


class Refused(Exception):
    """A command that cannot be done, in the words of the protocol."""


class Clock(NamedTuple):
    """What was said of the time, in seconds."""

    main: float = 0.0
    extra: float = 0.0  # of a period in overtime
    stones: int = 0  # that are due in it; 0 with extra above 0: no limit


def run(trained: Trained, simulations: int) -> int:
    """Answer what comes on standard input until "quit" or its end. UserError: a run of another game."""
    from ..core.errors import UserError

    if trained.facts.get("title") != "go":
        got = f"{trained.folder.name} of the page {trained.entry.name}, which plays {trained.facts.get('title')}"
        raise UserError("a run that plays go", got, "GTP is for go alone; leave --gtp out", "play")
    serve(Engine(trained, simulations), sys.stdin, sys.stdout)
    return 0


def serve(engine: Engine, source: TextIO, sink: TextIO) -> None:
    """Answer each line of `source` on `sink`."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in source:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()  # an analysis ends when the next command is there
    while not engine.over and (line := lines.get()) is not None:
        line = "".join(sign for sign in line.partition("#")[0].replace("\t", " ") if sign >= " " and sign != "\x7f")
        found = ID.match(line.strip())
        name, words = found[1] if found else "", (line.strip()[found.end() :] if found else line).split()
        if not words:
            continue
        try:
            said = engine.answer(words[0], words[1:])
            sink.write(f"={name}{'' if said[:1] in ('', chr(10)) else ' '}{said}\n")
            if engine.analysing:
                engine.analyse(lambda report: print(report, file=sink, flush=True), lambda: not lines.empty())
        except Refused as problem:
            sink.write(f"?{name} {problem}\n")
        sink.write("\n")
        sink.flush()


class Engine:
    """A game in progress, and what may be asked of it: the methods whose names begin with `do_`."""

    def __init__(self, trained: Trained, simulations: int) -> None:
        from ..worlds.games import game

        self.trained, self.simulations, self.over = trained, simulations, False
        self.game = game(trained.facts["game"])
        self.size = int(self.game.facts["rows"])
        self.moves: list[int] = []
        self.marks: list[int] = []  # moves before each one that was asked for: undo goes back there
        self.clock, self.left = Clock(), dict[int, float]()
        self.rate = 0.0  # simulations a second, as the last move had it
        self.analysing: tuple[str, float] | None = None  # how, and seconds between reports

    def answer(self, command: str, words: Sequence[str]) -> str:
        """What is said to a command. Refused: it cannot be done."""
        self.analysing = None
        does: Callable[[Sequence[str]], str] | None = getattr(self, "do_" + command.replace("-", "_"), None)
        if does is None or command.startswith("_"):
            raise Refused("unknown command")
        return does(words)

    def commands(self) -> list[str]:
        names = sorted(name[3:] for name in dir(self) if name.startswith("do_"))
        return [name.replace("_", "-") if name.endswith("_analyze") else name for name in names]

    # what the engine is

    def do_protocol_version(self, words: Sequence[str]) -> str:
        return VERSION

    def do_name(self, words: Sequence[str]) -> str:
        return f"milestones {self.trained.entry.name}"

    def do_version(self, words: Sequence[str]) -> str:
        return f"{__version__} ({self.trained.folder.name})"

    def do_known_command(self, words: Sequence[str]) -> str:
        return "true" if words and words[0] in self.commands() else "false"

    def do_list_commands(self, words: Sequence[str]) -> str:
        return "\n".join(self.commands())

    def do_quit(self, words: Sequence[str]) -> str:
        self.over = True
        return ""

    # the position

    def do_boardsize(self, words: Sequence[str]) -> str:
        if not words or not words[0].isdecimal():
            raise Refused("boardsize not an integer")
        if int(words[0]) != self.size:  # the net was trained for one size
            raise Refused("unacceptable size")
        return self.do_clear_board(words)

    def do_clear_board(self, words: Sequence[str]) -> str:
        self.moves, self.marks = [], []
        return ""

    def do_komi(self, words: Sequence[str]) -> str:
        from ..core.errors import UserError
        from ..worlds.games import game

        try:
            self.game = game(f"go{self.size}:{float(words[0]):g}")
        except (IndexError, ValueError, UserError):
            raise Refused("komi not a float in steps of 0.5") from None
        return ""

    def do_play(self, words: Sequence[str]) -> str:
        if len(words) < 2 or words[0].lower() not in COLOURS:
            raise Refused("invalid color or coordinate")
        numbers = {label: move for move, label in enumerate(self.game.facts["labels"])}
        if words[1].lower() not in numbers:
            raise Refused("invalid color or coordinate")
        self.lay(COLOURS[words[0].lower()], numbers[words[1].lower()])
        return ""

    def do_undo(self, words: Sequence[str]) -> str:
        if not self.marks:
            raise Refused("cannot undo")
        del self.moves[self.marks.pop() :]
        return ""

    def do_loadsgf(self, words: Sequence[str]) -> str:
        from ..core.errors import UserError
        from ..media import Board
        from ..worlds.games.analysis import moves_of

        try:
            path = Path(words[0])
            moves = moves_of(self.game, Board.decoded(path.read_bytes(), path.name))
            until = max(0, int(words[1]) - 1) if len(words) > 1 else len(moves)
        except (IndexError, ValueError, OSError, UserError):
            raise Refused("cannot load file") from None
        self.moves = moves[:until]
        self.marks = list(range(len(self.moves)))
        return "white" if len(self.moves) % 2 else "black"

    def do_showboard(self, words: Sequence[str]) -> str:
        letters = " ".join(label[0].upper() for label in self.game.facts["labels"][: self.size])
        cells = self.game.board(self.state()[0]).cells.tolist()
        lines = [f"{self.size - k:2} " + " ".join(".XO"[cell] for cell in row) for k, row in enumerate(cells)]
        return "\n" + "\n".join(["   " + letters, *lines, "   " + letters])

    def do_final_score(self, words: Sequence[str]) -> str:
        area: Any = self.game.area(self.state())  # type: ignore[attr-defined]
        points = float(area.score[0]) * (-1 if len(self.moves) % 2 else 1)
        return f"{'B' if points > 0 else 'W'}+{abs(points):g}" if points else "0"

    # moves

    def do_genmove(self, words: Sequence[str]) -> str:
        colour = self.colour(words)
        if self.ended():
            return "pass"
        self.turned(colour)
        begin, count = time.monotonic(), self.affordable(colour)
        move = int(self.thought(count).move[0])
        spent = time.monotonic() - begin
        self.rate, self.left[colour] = count / max(spent, 1e-3), self.left.get(colour, self.clock.main) - spent
        self.lay(colour, move)
        return self.game.name(move).upper() if move < self.size**2 else "pass"

    def do_reg_genmove(self, words: Sequence[str]) -> str:
        kept = list(self.moves), list(self.marks)
        try:
            return self.do_genmove(words)
        finally:
            self.moves, self.marks = kept

    def do_time_settings(self, words: Sequence[str]) -> str:
        try:
            main, extra, stones = float(words[0]), float(words[1]), int(words[2])
        except (IndexError, ValueError):
            raise Refused("not three numbers") from None
        self.clock, self.left = Clock(main, extra, stones), {}
        return ""

    def do_time_left(self, words: Sequence[str]) -> str:
        try:
            seconds, stones = float(words[1]), int(words[2])
        except (IndexError, ValueError):
            raise Refused("not a color and two numbers") from None
        self.left[self.colour(words)] = seconds if not stones else seconds / stones * self.expected()
        return ""

    def do_lz_analyze(self, words: Sequence[str]) -> str:
        return self.asked_to_analyse("lz", words)

    def do_kata_analyze(self, words: Sequence[str]) -> str:
        return self.asked_to_analyse("kata", words)

    # how

    def state(self) -> Any:
        from ..worlds.games.analysis import state_after

        return state_after(self.game, self.moves)[None]

    def ended(self) -> bool:
        return bool(self.game.turn(self.state()).ended[0])

    def colour(self, words: Sequence[str]) -> int:
        if not words or words[0].lower() not in COLOURS:
            raise Refused("invalid color")
        return COLOURS[words[0].lower()]

    def turned(self, colour: int) -> None:
        """Let the other pass, where a colour moves twice."""
        if len(self.moves) % 2 != colour:
            self.moves.append(self.size**2)

    def lay(self, colour: int, move: int) -> None:
        """Make a move. Refused: the rules do not allow it."""
        before = len(self.moves)
        self.turned(colour)
        turn = self.game.turn(self.state())
        if turn.ended[0] or not turn.legal[0, move]:
            del self.moves[before:]
            raise Refused("illegal move")
        self.moves.append(move)
        self.marks.append(before)

    def expected(self) -> int:
        """Moves of one side that are still to come, roughly."""
        return max(8, (self.size**2 - len(self.moves)) // 2)

    def affordable(self, colour: int) -> int:
        """Simulations that the clock allows."""
        clock = self.clock
        if (not clock.main and not clock.extra) or (clock.extra and not clock.stones) or not self.rate:
            return self.simulations
        left = self.left.get(colour, clock.main)
        seconds = max(left / self.expected(), clock.extra / max(1, clock.stones) if left <= 0 else 0.0)
        return max(1, min(self.simulations, int((1 - SPARE) * seconds * self.rate)))

    def thought(self, simulations: int, trees: bool = False) -> Thought:
        from ..worlds.games.thinking import think

        facts = {**self.trained.facts, "game": self.game.facts["game"]}
        return think(self.trained.model, facts, self.state(), simulations, trees=trees)

    def asked_to_analyse(self, how: str, words: Sequence[str]) -> str:
        """[colour] [seconds / 100] [more, which is passed over]."""
        rest = list(words)
        if rest and rest[0].lower() in COLOURS:
            self.turned(COLOURS[rest.pop(0).lower()])
        if rest and rest[0].lower() == "interval":
            rest.pop(0)
        hundredths = float(rest[0]) if rest and rest[0].isdecimal() else 100 * INTERVAL_S
        self.analysing = (how, hundredths / 100)
        return ""

    def analyse(self, tell: Callable[[str], None], interrupted: Callable[[], bool]) -> None:
        """Think on, each time about twice as long, and tell what is thought, until the next command is there."""
        assert self.analysing is not None
        (how, seconds), count = self.analysing, FIRST
        while not interrupted() and not self.ended():
            begin = time.monotonic()
            tell(self.report(how, self.thought(count, trees=True)))
            while not interrupted() and (time.monotonic() < begin + seconds or count >= MOST):
                time.sleep(0.01)
            count = min(2 * count, MOST)

    def report(self, how: str, thought: Thought) -> str:
        """One line, the moves from the best on: chances to win in hundredths of a percent for lz, from 0 to 1 for
        kata."""
        policy, one = thought.policy[0], 10_000 if how == "lz" else 1
        found = []
        for order, (move, visits, q, _) in enumerate(thought.tree[0]):
            chance, prior = one * (1 + q) / 2, one * float(policy[move])
            numbers = [f"{round(x) if how == 'lz' else round(x, 6)}" for x in (chance, prior, chance)]
            line = [move, *(thought.line[0][1:] if thought.line[0][:1] == [move] else [])]
            spots = " ".join(self.game.name(k).upper() if k < self.size**2 else "pass" for k in line)
            said = f"info move {spots.split()[0]} visits {visits} winrate {numbers[0]} prior {numbers[1]}"
            more = f" utility {q:.6f}" if how == "kata" else ""
            found.append(f"{said} lcb {numbers[2]}{more} order {order} pv {spots}")
        return " ".join(found)
