"""Programs that play go and speak GTP, as players of a match: GNU Go."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from ...core.errors import UserError
from .game import Game
from .opponents import Seeds, States

LEVELS = range(0, 11)
WORDS = ["--mode", "gtp", "--quiet", "--chinese-rules", "--positional-superko", "--capture-all-dead",
         "--play-out-aftermath", "--never-resign"]  # fmt: skip


class GnuGo:
    """GNU Go at a level from 0 to 10. It is told each game anew from its beginning, so that one process plays many
    games side by side; it takes all dead stones, and passes when there is nothing left to do."""

    def __init__(self, game: Game, level: int) -> None:
        """UserError: another game than go, no such level, GNU Go is not installed."""
        if game.facts["title"] != "go":
            want = "a game of go, which GNU Go plays"
            raise UserError(want, str(game.facts["title"]), "Take rollouts:1000", "gnugo")
        if level not in LEVELS:
            raise UserError("a level from 0 to 10", f"{level}", "For example gnugo:10", "gnugo")
        path = shutil.which("gnugo") or shutil.which("gnugo", path="/usr/games")
        if not path:
            raise UserError("GNU Go", "no program called gnugo", "Install it: sudo apt-get install gnugo", "gnugo")
        self.name, self.game, self.komi = f"gnugo:{level}", game, game.facts["komi"]
        self.command = [path, *WORDS, "--level", str(level), "--boardsize", str(game.facts["rows"])]
        self.process = self._begun()

    def _begun(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self, *commands: str) -> str:
        """The answer to the last of these. RuntimeError: GNU Go has ended, or refuses one of them; a new one is begun
        where it has ended, so that one game is lost and not all that follow."""
        try:
            answers = self._answers(commands)
        except (OSError, EOFError):
            code = self._ended()
            self.process = self._begun()
            raise RuntimeError(f"GNU Go ended with {code} at {commands[-1]!r}") from None
        for command, said in zip(commands, answers, strict=True):
            if not said.startswith("="):
                raise RuntimeError(f"GNU Go says {said[:100]!r} to {command!r}")
        return answers[-1][1:].strip()

    def _answers(self, commands: Sequence[str]) -> list[str]:
        """To each its own, all of which are read, also where one is a refusal. EOFError: it ended."""
        stdin, stdout, answers = self.process.stdin, self.process.stdout, list[str]()
        assert stdin is not None and stdout is not None
        stdin.write("".join(command + "\n" for command in commands))
        stdin.flush()
        for _ in commands:
            lines = list[str]()
            while (line := stdout.readline()) != "\n" or not lines:
                if not line:
                    raise EOFError
                lines += [line] * (line != "\n")
            answers.append("".join(lines).strip())
        return answers

    def after(self, line: Sequence[int]) -> list[str]:
        """The commands that set up the position after these moves."""
        played = [f"play {'bw'[k % 2]} {self.game.name(move)}" for k, move in enumerate(line)]
        return ["clear_board", f"komi {self.komi:g}", *played]

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds) -> Int64[np.ndarray, "N"]:
        found = np.empty(len(states), np.int64)
        numbers = {label: move for move, label in enumerate(self.game.facts["labels"])}
        for n, line in enumerate(lines):
            seed = f"set_random_seed {int(seeds[n]) % 2**31}"
            found[n] = numbers[self.told(*self.after(line), seed, f"genmove {'bw'[len(line) % 2]}").lower()]
        return found

    def score(self, line: Sequence[int]) -> float:
        """By how many points Black is ahead after these moves, as GNU Go counts: what it takes for dead, is."""
        said = self.told(*self.after(line), "final_score").upper()
        return 0.0 if said.startswith("0") else float(said[2:]) * (1 if said.startswith("B") else -1)

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.process.communicate("quit\n", timeout=5)
        self._ended()

    def _ended(self) -> int:
        """End it if it has not; its exit code."""
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if pipe:
                    pipe.close()
        return self.process.wait()
