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
         "--play-out-aftermath"]  # fmt: skip


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
        self.name, self.game, self.komi, size = f"gnugo:{level}", game, game.facts["komi"], game.facts["rows"]
        command = [path, *WORDS, "--level", str(level), "--boardsize", str(size)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self, *commands: str) -> str:
        """The answer to the last of these. RuntimeError: GNU Go has ended, or refuses."""
        process, said = self.process, ""
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(command + "\n" for command in commands))
        process.stdin.flush()
        for command in commands:
            lines = []
            while (line := process.stdout.readline()) != "\n":
                if not line:
                    raise RuntimeError(f"GNU Go ended at {command!r}")
                lines.append(line)
            said = "".join(lines).strip()
            if not said.startswith("="):
                raise RuntimeError(f"GNU Go says {said[:100]!r} to {command!r}")
        return said[1:].strip()

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds) -> Int64[np.ndarray, "N"]:
        found = np.empty(len(states), np.int64)
        numbers = {label: move for move, label in enumerate(self.game.facts["labels"])}
        for n, line in enumerate(lines):
            played = [f"play {'bw'[k % 2]} {self.game.name(move)}" for k, move in enumerate(line)]
            begin = ["clear_board", f"komi {self.komi:g}", f"set_random_seed {int(seeds[n]) % 2**31}"]
            found[n] = numbers[self.told(*begin, *played, f"genmove {'bw'[len(line) % 2]}").lower()]
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.process.communicate("quit\n", timeout=5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
