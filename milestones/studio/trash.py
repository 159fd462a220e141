"""Runs that were deleted: moved aside under an opaque id, whence they come back. Nothing here erases a file."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.folder import grab
from ..report import files
from .library import Library, state

LIVE = ("starting", "training", "scoring")
IDENT = re.compile(r"(\d{1,12})-[0-9a-f]{16}")


class Trash:
    """`.studio/trash` beside the runs: a folder for each deletion, with the run's folder in it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.place = library.root / ".studio" / "trash"

    def listed(self) -> list[dict[str, Any]]:
        """What was deleted, the latest first: {"id", "run", "deleted", "where"}."""
        found = []
        with contextlib.suppress(OSError):
            for ident in sorted(os.listdir(self.place), reverse=True):
                folder = self._run_of(ident)
                if folder is not None:
                    found.append({"id": ident, "run": folder.name, "deleted": int(ident.split("-")[0]),
                                  "where": self._where(folder)})  # fmt: skip
        return found

    def add(self, run: str) -> dict[str, Any]:
        """Move a run aside. UserError: it ships, it trains, or its folder cannot be moved."""
        folder = self.library.folder(run)
        if run.startswith("shipped:"):
            raise UserError("a run of your own", f"{run}, which ships with the program", "It stays", "studio")
        if busy(folder):
            raise UserError("a run that no process works on", f"{run}, which trains", "Stop it first", "studio")
        ident = f"{int(time.time())}-{secrets.token_hex(8)}"
        aside = self.place / ident
        try:
            aside.mkdir(parents=True)
            os.rename(folder, aside / folder.name)
        except OSError as problem:
            with contextlib.suppress(OSError):
                aside.rmdir()
            got = problem.strerror or str(problem)
            raise UserError(f"to move {run} to the deleted runs", got, "It stays where it is", "studio") from None
        return {"id": ident, "run": folder.name, "where": self._where(aside / folder.name)}

    def restore(self, ident: str) -> str:
        """Move a run back; under the next free number where its name was taken since. The name comes back.

        UserError: none of that id, or it cannot be moved.
        """
        folder = self._run_of(ident) if ident in [item["id"] for item in self.listed()] else None
        if folder is None:
            raise UserError("a deleted run of this studio", repr(ident)[:60], "Reload the list", "studio")
        page, _, number = folder.name.rpartition("-")
        name, count = folder.name, int(number) if number.isdecimal() else 0
        while os.path.lexists(self.library.root / name):
            count += 1
            name = f"{page}-{count}"
        try:
            os.rename(folder, self.library.root / name)
        except OSError as problem:
            got = problem.strerror or str(problem)
            raise UserError(
                f"to move {name} back", got, f"It stays among the deleted runs: {self._where(folder)}", "studio"
            ) from None
        with contextlib.suppress(OSError):
            folder.parent.rmdir()
        return name

    def _run_of(self, ident: str) -> Path | None:
        """The run's folder in a deletion's."""
        aside = self.place / ident
        if not IDENT.fullmatch(ident) or aside.is_symlink() or not aside.is_dir():
            return None
        return next((path for path in sorted(aside.iterdir()) if path.is_dir()), None)

    def _where(self, folder: Path) -> str:
        return str(Path(self.library.root.name) / folder.relative_to(self.library.root))


def busy(folder: Path) -> bool:
    """Whether a process works on the folder: it holds its lock now, or said a moment ago that it trains."""
    return state(folder, files.record(folder, "status.json")[0]) in LIVE or locked(folder)


def locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock now."""
    path = folder / "lock"
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with open(path, "r+", encoding="utf-8") as file:
            return not grab(file)
    except OSError:
        return False
