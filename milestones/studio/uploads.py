"""Data of the user's own, in `.studio/uploads/ID/` beside the runs; unpacked and read by a child process alone."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..data.kinds import TABLES

SECONDS = 180.0  # that a child may take
MOST_KEPT = 4 << 30  # bytes of all uploads
ID = re.compile(r"[0-9a-f]{16}")


class Uploads:
    """What was uploaded, by its id; `folder` is the studio's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, content: bytes) -> dict[str, Any]:
        """Unpack an upload and say what would be read of it. UserError: the child's own line, or too much kept."""
        kept = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        if kept > MOST_KEPT:
            raise UserError(f"at most {MOST_KEPT >> 30} GiB of uploads", f"{kept >> 20:,} MiB before this one",
                            f"Delete folders in {self.folder}", "data")  # fmt: skip
        name = secrets.token_hex(8)
        aside = self.folder / f"{name}.new"  # a child that dies leaves nothing that looks whole
        try:
            found = self._asked([str(aside)], content)
            os.rename(aside, self.folder / name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self._kept(name, found, "")

    def look(self, name: str, target: str) -> dict[str, Any]:
        """What would be read of an upload with a target column. UserError: no such upload."""
        folder = self._place(name)
        told = self.folder / f"{name}.json"
        if told.is_file():
            before: dict[str, Any] = json.loads(told.read_text())
            if before["target"] == target:
                return before
        return self._kept(name, self._asked([str(folder), target], b""), target)

    def path(self, name: str) -> Path:
        """The path to train on."""
        return path_of(self._place(name)).resolve()

    def _place(self, name: str) -> Path:
        folder = self.folder / name
        if not ID.fullmatch(name) or not folder.is_dir():
            raise UserError("an upload of this studio", repr(name)[:60], "Upload the data again", "data")
        return folder

    def _kept(self, name: str, found: dict[str, Any], target: str) -> dict[str, Any]:
        content = {**found, "id": name, "target": target, "path": str(self.path(name)), "at": time.time()}
        (self.folder / f"{name}.json").write_text(json.dumps(content))
        return content

    def _asked(self, words: Sequence[str], content: bytes) -> dict[str, Any]:
        """The child's answer. UserError: what it says, or that it ended without a word."""
        command = [sys.executable, "-P", "-m", "milestones.studio.unpack", *words]
        try:
            done = subprocess.run(command, input=content, stdout=subprocess.PIPE, timeout=SECONDS, check=False)
            found = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            raise UserError(f"data that is read within {SECONDS:.0f} s", "more", "Upload less", "data") from None
        except ValueError:
            raise UserError("data that can be read", "a file that ends the process that reads it",
                            "Choose another file", "data") from None  # fmt: skip
        if "error" in found:
            raise UserError(*found["error"])
        assert isinstance(found, dict)
        return found


def path_of(folder: Path) -> Path:
    """The path to train on in the folder of an upload. UserError: there is none."""
    for name in ("pictures", *(f"table{suffix}" for suffix in TABLES)):
        if (folder / name).exists():
            return folder / name
    raise UserError("an upload of this studio", "one that is gone", "Upload the data again", "data")
