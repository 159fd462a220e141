"""play RUN --gtp: a run as an engine that programs for go talk to, by the Go Text Protocol, version 2."""

from __future__ import annotations

import io
import itertools
import math
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from .. import __version__
from .words import say

if TYPE_CHECKING:
    from ..trained import Trained
    from ..worlds.games.thinking import Thought

VERSION = "2"
COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
INTERVAL_S = 0.5  # between two reports of an analysis, if nobody says
MOST, BYTES = 100_000, 256_000_000  # simulations of an analysis, and of its tree
TRIAL = 32  # simulations that tell how fast it is, where a clock runs
SPARE = 0.05  # of the time that is left, for what is not thinking
DUE = 0.02  # seconds between two looks whether a command is there
ID = re.compile(r"(\d+)(?:\s+|$)")


class Refused(Exception):
    """A command that cannot be done, in the words of the protocol."""


class Clock(NamedTuple):
    """What was said of the time, in seconds."""

    main: float = 0.0
    extra: float = 0.0  # of a period in overtime
    stones: int = 0  # that are due in it; 0 with extra above 0: no limit


class Analysis(NamedTuple):
    """What is to be told after the answer."""

    how: str  # "lz" or "kata"
    colour: int
    seconds: float  # between two reports
    owner: bool  # whether they say whose each point will be
    plays: bool  # it ends with a move, and not with the next command


def run(trained: Trained, simulations: int) -> int:
    """Answer what comes on standard input until "quit" or its end. UserError: a run of another game."""
    from ..core.errors import UserError

    if trained.facts.get("title") != "go":
        got = f"{trained.folder.name} of the page {trained.entry.name}, which plays {trained.facts.get('title')}"
        raise UserError("a run that plays go", got, "GTP is for go alone; leave --gtp out", "play")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
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
        self.analysing: Analysis | None = None

    def answer(self, command: str, words: Sequence[str]) -> str:
        """What is said to a command. Refused: it cannot be done."""
        self.analysing = None
        does = self.commands().get(command)
        if does is None:
            raise Refused("unknown command")
        return does(words)

    def commands(self) -> dict[str, Callable[[Sequence[str]], str]]:
        """By their names, in the order of the alphabet."""
        names = sorted(name for name in dir(self) if name.startswith("do_"))
        return {re.sub("^(lz|kata)_", r"\1-", name[3:]): getattr(self, name) for name in names}

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
        if words[0].lstrip("0") != str(self.size):  # the net was trained for one size
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
        self.lay(COLOURS[words[0].lower()], self.spot(words[1]))
        return ""

    def do_undo(self, words: Sequence[str]) -> str:
        if not self.marks:
            raise Refused("cannot undo")
        del self.moves[self.marks.pop() :]
        return ""

    def do_set_free_handicap(self, words: Sequence[str]) -> str:
        """Black's stones, between which White passes."""
        try:
            spots = [self.spot(word) for word in words]
        except Refused:
            raise Refused("bad vertex list") from None
        if self.moves or len(spots) < 2 or len(set(spots)) < len(spots) or self.size**2 in spots:
            raise Refused("board not empty" if self.moves else "bad vertex list")
        for spot in spots:
            self.lay(0, spot)
        self.marks = [0]
        return ""

    def do_loadsgf(self, words: Sequence[str]) -> str:
        from ..core.errors import UserError
        from ..worlds.games.records import read_record

        try:
            record = read_record(words[0], self.game)
            until = max(0, int(words[1]) - 1) if len(words) > 1 else len(record.moves)
        except (IndexError, ValueError, UserError) as problem:
            say(str(problem))
            raise Refused("cannot load file") from None
        self.moves = list(record.moves[:until])
        self.marks = list(range(len(self.moves)))
        if record.komi is not None and (2 * record.komi).is_integer():
            self.do_komi([str(record.komi)])
        return ""

    def do_showboard(self, words: Sequence[str]) -> str:
        letters = " ".join(label[0].upper() for label in self.game.facts["labels"][: self.size])
        cells = self.game.board(self.state()[0]).cells.tolist()
        lines = [f"{self.size - k:2} " + " ".join(".XO"[cell] for cell in row) for k, row in enumerate(cells)]
        return "\n" + "\n".join(["   " + letters, *lines, "   " + letters])

    def do_final_score(self, words: Sequence[str]) -> str:
        from ..worlds.games.records import result_of

        area = self.game.area(self.state())
        assert area is not None, "go is counted"
        return result_of(float(area.score[0]) * (-1 if len(self.moves) % 2 else 1))

    def do_final_status_list(self, words: Sequence[str]) -> str:
        """Nothing is taken for dead: it is counted as the board stands."""
        if list(words) not in (["alive"], ["seki"], ["dead"]):
            raise Refused("invalid status")
        cells = self.game.board(self.state()[0]).cells.reshape(-1)
        return " ".join(self.named(k) for k in cells.nonzero()[0].tolist()) if words[0] == "alive" else ""

    # moves

    def do_genmove(self, words: Sequence[str]) -> str:
        colour = self.colour(words)
        if self.ended(colour):
            return "pass"
        count, begin = self.affordable(colour), time.monotonic()
        thought = self.thought(colour, count)
        self.timed(colour, thought, begin)
        move = int(thought.move[0])
        self.lay(colour, move)
        return self.named(move)

    def do_reg_genmove(self, words: Sequence[str]) -> str:
        kept = list(self.moves), list(self.marks)
        try:
            return self.do_genmove(words)
        finally:
            self.moves, self.marks = kept

    def do_time_settings(self, words: Sequence[str]) -> str:
        main, extra, stones = (*numbers(words, "not three numbers"), -1.0, -1.0, -1.0)[:3]
        if stones < 0 or stones != int(stones):
            raise Refused("not three numbers")
        self.clock, self.left = Clock(main, extra, int(stones)), {}
        return ""

    def do_time_left(self, words: Sequence[str]) -> str:
        seconds, stones = (*numbers(words[1:], "not a color and two numbers"), -1.0, -1.0)[:2]
        if stones < 0:
            raise Refused("not a color and two numbers")
        self.left[self.colour(words)] = seconds if not stones else seconds / stones * self.expected()
        return ""

    def do_lz_analyze(self, words: Sequence[str]) -> str:
        return self.asked("lz", words, False)

    def do_kata_analyze(self, words: Sequence[str]) -> str:
        return self.asked("kata", words, False)

    def do_lz_genmove_analyze(self, words: Sequence[str]) -> str:
        return self.asked("lz", words, True)

    def do_kata_genmove_analyze(self, words: Sequence[str]) -> str:
        return self.asked("kata", words, True)

    # how

    def state(self, colour: int | None = None) -> Any:
        """The position "1 W"; where it is not this colour's turn, after a pass of the other."""
        from ..worlds.games.analysis import state_after

        return state_after(self.game, [*self.moves, *self.between(colour)])[None]

    def between(self, colour: int | None) -> list[int]:
        """The pass of the other side, where a colour moves twice."""
        return [self.size**2] if colour is not None and len(self.moves) % 2 != colour else []

    def ended(self, colour: int | None = None) -> bool:
        return bool(self.game.turn(self.state()).ended[0] or self.game.turn(self.state(colour)).ended[0])

    def colour(self, words: Sequence[str]) -> int:
        if not words or words[0].lower() not in COLOURS:
            raise Refused("invalid color")
        return COLOURS[words[0].lower()]

    def spot(self, word: str) -> int:
        """The move of this name, which is that of a point or "pass"."""
        labels = self.game.facts["labels"]
        if word.lower() not in labels:
            raise Refused("invalid color or coordinate")
        return int(labels.index(word.lower()))

    def named(self, move: int) -> str:
        return self.game.name(move).upper() if move < self.size**2 else "pass"

    def lay(self, colour: int, move: int) -> None:
        """Make a move. Refused: the rules do not allow it."""
        if self.ended(colour) or not self.game.turn(self.state(colour)).legal[0, move]:
            raise Refused("illegal move")
        self.marks.append(len(self.moves))
        self.moves += [*self.between(colour), move]

    def expected(self) -> int:
        """Moves of one side that are still to come, roughly."""
        return max(8, (self.size**2 - len(self.moves)) // 2)

    def affordable(self, colour: int) -> int:
        """Simulations that the clock allows."""
        clock = self.clock
        if (not clock.main and not clock.extra) or (clock.extra and not clock.stones):
            return self.simulations
        for count in (1, TRIAL) if not self.rate else ():  # what is done for the first time says nothing
            begin = time.monotonic()
            self.timed(colour, self.thought(colour, count), begin)
        left = self.left.get(colour, clock.main)
        seconds = max(left / self.expected(), clock.extra / max(1, clock.stones) if left <= 0 else 0.0)
        return max(1, min(self.simulations, int((1 - SPARE) * seconds * self.rate)))

    def timed(self, colour: int, thought: Thought, begin: float) -> None:
        """It took from `begin` until now, on the clock of a colour, to think that."""
        spent, count = time.monotonic() - begin, int(thought.visits.sum())  # a proof may have come early
        self.rate, self.left[colour] = count / max(spent, 1e-3), self.left.get(colour, self.clock.main) - spent

    def facts(self) -> dict[str, Any]:
        """With the komi that was set."""
        return {**self.trained.facts, "game": self.game.facts["game"]}

    def thought(self, colour: int, simulations: int) -> Thought:
        from ..worlds.games.thinking import think

        return think(self.trained.model, self.facts(), self.state(colour), simulations)

    def asked(self, how: str, words: Sequence[str], plays: bool) -> str:
        """[colour] [seconds / 100] ["interval" seconds / 100] ["ownership" "true"]; more is passed over."""
        rest = [word.lower() for word in words]
        colour = COLOURS[rest.pop(0)] if rest and rest[0] in COLOURS else len(self.moves) % 2
        told = dict(itertools.pairwise(rest))
        pause = rest[0] if rest and rest[0].isdecimal() else told.get("interval", "")
        seconds = float(pause) / 100 if pause.isdecimal() else INTERVAL_S
        self.analysing = Analysis(how, colour, seconds, told.get("ownership") == "true", plays)
        return ""

    def analyse(self, tell: Callable[[str], None], interrupted: Callable[[], bool]) -> None:
        """Think on, and tell again and again what is thought, until the next command is there or the move is due."""
        assert self.analysing is not None
        said, over, thought = self.analysing, self.ended(self.analysing.colour), None
        most = min(MOST, BYTES // (16 * self.size**2 + 8 * self.game.words))
        most = min(most, self.affordable(said.colour)) if said.plays and not over else most
        begin = time.monotonic()
        for thought in self.pondered(said, most, interrupted) if not over else ():
            if report := self.report(said, thought):  # an empty line would end the answer
                tell(report)
            if interrupted() and not said.plays:
                return
        if said.plays:
            if thought is None:
                tell("play pass")
                return
            self.timed(said.colour, thought, begin)
            self.lay(said.colour, int(thought.move[0]))
            tell(f"play {self.named(self.moves[-1])}")
            return
        while not interrupted():
            time.sleep(DUE)

    def pondered(self, said: Analysis, most: int, interrupted: Callable[[], bool]) -> Iterator[Thought]:
        """What is thought each time that a report is due."""
        from ..worlds.games.thinking import ponder

        due = time.monotonic() + said.seconds

        def ready() -> bool:
            return time.monotonic() >= due or (interrupted() and not said.plays)

        for thought in ponder(self.trained.model, self.facts(), self.state(said.colour), most, ready):
            yield thought
            due = time.monotonic() + said.seconds

    def report(self, said: Analysis, thought: Thought) -> str:
        """One line, the moves from the best on, all for the one to move: chances to win in hundredths of a percent for
        lz, from 0 to 1 for kata, which is told of points, too, if the net counts them."""
        one, found = 10_000 if said.how == "lz" else 1, []
        owner, leads = self.counts(said.colour, [move for move, *_ in thought.tree[0]])
        for order, (move, visits, q, _) in enumerate(thought.tree[0]):
            chance, prior = one * (1 + q) / 2, one * float(thought.prior[0, move])
            numbers = [f"{round(x) if said.how == 'lz' else round(x, 6)}" for x in (chance, prior)]
            line = [move, *(thought.line[0][1:] if thought.line[0][:1] == [move] else [])]
            spots = " ".join(map(self.named, line))
            more = f" utility {q:.6f}" if said.how == "kata" else ""
            more += f" scoreMean {leads[order]:.2f} scoreLead {leads[order]:.2f}" if more and leads else ""
            found.append(f"info move {self.named(move)} visits {visits} winrate {numbers[0]} prior {numbers[1]}"
                         f" lcb {numbers[0]}{more} order {order} pv {spots}")  # fmt: skip
        if owner and said.owner:
            found.append("ownership " + " ".join(f"{value:.3f}" for value in owner))
        return " ".join(found)

    def counts(self, colour: int, moves: Sequence[int]) -> tuple[list[float], list[float]]:
        """Whose each point will be, and how far each of these moves leads with komi, for the one to move; nothing of a
        net that does not count."""
        import numpy as np

        from ..worlds.games.analysis import expected

        state, komi = self.state(colour), float(self.game.facts["komi"])
        after, _ = self.game.step(state.repeat(len(moves), 0), np.array(moves, np.int64))
        told = expected(self.trained.model, self.game, np.concatenate([state, after]))
        if told is None:
            return [], []
        owner, points = told
        return owner[0].tolist(), (-points[1:] - (komi if colour == 0 else -komi)).tolist()


def numbers(words: Sequence[str], otherwise: str) -> list[float]:
    """Those that the words are, from 0 on. Refused: they are others."""
    try:
        found = [float(word) for word in words]
    except ValueError:
        raise Refused(otherwise) from None
    if any(not 0 <= number < math.inf for number in found):
        raise Refused(otherwise)
    return found
