"""Trainings as processes of their own: they outlive the server, and speak to it by their run folder alone."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..catalog import settings
from ..core.errors import UserError
from ..data.kinds import NAMES
from .library import Library, owner
from .trash import locked
from .uploads import Uploads

MOST = 2  # trainings at a time: two cores
MOST_WORDS = 4000  # letters of an error that is told


class Trainings:
    """What this server started. A restarted server finds the same runs by their folders."""

    def __init__(self, library: Library, pages: Mapping[str, str]) -> None:
        self.library, self.pages = library, pages
        self.uploads = Uploads(self.place("uploads"))
        self._started: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def place(self, name: str) -> Path:
        """A folder of the studio's own beside the runs."""
        folder = self.library.root / ".studio" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def start(self, words: Sequence[str]) -> str:
        """Begin `milestones WORDS`, and return a ticket to ask about it. UserError: too many at once."""
        running = [ticket for ticket, (child, _) in self._started.items() if child.poll() is None]
        if len(running) >= MOST:
            raise UserError(f"at most {MOST} trainings at once", "another", "Stop one, or wait for it", "studio")
        ticket = secrets.token_hex(8)
        said = self.place("said") / f"{ticket}.txt"
        with open(said, "xb") as file:
            command = [sys.executable, "-P", "-m", "milestones", *words, "--runs", str(self.library.root)]
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file,
                                     start_new_session=True)  # fmt: skip
        self._started[ticket] = child, said
        return ticket

    def train(self, system: str, preset: str, values: Mapping[str, Any], seed: int, more: Sequence[str] = ()) -> str:
        """Begin a training of a page with settings; each is checked by the command line in the child."""
        from .pages import known

        entry = known(system, self.pages)
        _, schema = settings(entry)
        words = ["train", self.pages.get(system, system), f"--seed={int(seed)}"]
        words += [f"--preset={preset}"] if preset else []
        for name, value in values.items():
            if name not in schema:
                raise UserError(f"a setting of {system}", repr(name)[:60], "Reload the page", "studio")
            words += option(name, value)
        return self.start([*words, *more])

    def options(self, asked: Mapping[str, Any]) -> list[str]:
        """The words for what belongs to a run: data, target, members, minutes, auto_lr, skip. UserError: another."""
        words = []
        for name, value in asked.items():
            if name == "data" and isinstance(value, str):
                words += [f"--data={value if value in NAMES else self.uploads.path(value)}"]
            elif name == "target" and isinstance(value, str):
                words += [f"--target={value}"]
            elif name == "members" and type(value) is int:
                words += [f"--members={value}"]
            elif name == "minutes" and type(value) in (int, float):
                words += [f"--minutes={value}"]
            elif name in ("auto_lr", "skip_unreadable") and value is True:
                words += [f"--{name.replace('_', '-')}"]
            else:
                raise UserError("an option of a run", f"{name} = {value!r}"[:60], "Reload the page", "studio")
        return words

    def told(self, ticket: str) -> dict[str, Any]:
        """What became of a start: the run's id once its folder is there, and what was said on the way."""
        if ticket not in self._started:
            raise UserError("a training of this server", "another", "Look at the list of runs", "studio")
        child, said = self._started[ticket]
        code = child.poll()
        lines = said.read_text(errors="replace")[-MOST_WORDS:].splitlines()
        found = next((run for run, folder in self.library.folders().items() if owner(folder) == child.pid), "")
        return {"run": found, "ended": code, "said": lines}

    def stop(self, run: str, finish: bool) -> None:
        """Ask a run to stop: saved, to be resumed; or, with `finish`, to score what it has."""
        folder = self.library.folder(run)
        if finish:
            (folder / "stop").touch()
            return
        pid = owner(folder)
        if not pid or not ours(pid) or not locked(folder):  # a number in a file may be anybody's
            raise UserError("a run that trains on this machine", f"{run}, which does not", "Reload the list", "studio")
        os.kill(pid, signal.SIGTERM)

    def gone(self, ticket: str, seconds: float) -> bool:
        """Wait for a child's end."""
        until = time.monotonic() + seconds
        while self._started[ticket][0].poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        return self._started[ticket][0].poll() is not None


def option(name: str, value: Any) -> list[str]:
    """A setting as words of the command line; joined by "=", so that no value is taken for an option."""
    word = f"--{name.replace('_', '-')}"
    each = value if isinstance(value, list) else ["none" if value is None else value]
    return [f"{word}={each[0]}"] if len(each) == 1 else [word, *map(str, each)]


def ours(pid: int) -> bool:
    """Whether the process is one of this program, where that can be told: a number may be another's by now."""
    path = Path(f"/proc/{pid}/cmdline")
    try:
        return b"milestones" in path.read_bytes()
    except OSError:
        return not Path("/proc").exists()
