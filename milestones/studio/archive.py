"""A run folder as one zip file, piece by piece while it is read: nothing is written, nothing is held whole."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PIECE = 1 << 18
KEPT = (".safetensors", ".png", ".wav")  # hardly smaller when packed
DEEPEST = 4  # folders in folders


class Spout:
    """A file to write to that hands on what was written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing waits."""

    def drained(self) -> bytes:
        """What came since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def name_of(folder: Path) -> str:
    """The zip file's name: the folder's, of letters that every system takes."""
    return (re.sub(r"[^A-Za-z0-9_-]", "_", folder.name)[:80] or "run") + ".zip"


def packed(folder: Path) -> Iterator[bytes]:
    """The pieces of a zip file of all regular files of a run folder, under its name. Links are left out, as are the
    lock and what is half-written; a file that grows meanwhile has what it had when its turn came."""
    spout, top = Spout(), name_of(folder).removesuffix(".zip")
    with zipfile.ZipFile(spout, "w", allowZip64=True) as zipped:  # type: ignore[call-overload]
        for path in regular(folder):
            with contextlib.suppress(OSError), opened(path) as file:
                facts = os.fstat(file.fileno())
                if not stat.S_ISREG(facts.st_mode):
                    continue
                how = zipfile.ZIP_STORED if path.suffix in KEPT else zipfile.ZIP_DEFLATED
                entry = zipfile.ZipInfo(f"{top}/{path.relative_to(folder).as_posix()}")
                entry.compress_type = how
                left = facts.st_size
                with zipped.open(entry, "w", force_zip64=left > 1 << 30) as sink:
                    while left > 0 and (piece := file.read(min(PIECE, left))):
                        sink.write(piece)
                        left -= len(piece)
                        yield spout.drained()
    yield spout.drained()


def regular(folder: Path, depth: int = 0) -> Iterator[Path]:
    """The files of a folder and of those in it, by name; neither links nor what begins with a dot."""
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name == "lock" or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False) and depth < DEEPEST:
                yield from regular(Path(entry.path), depth + 1)
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def opened(path: Path) -> IO[bytes]:
    """The file, not through a link that took its place meanwhile, where the system can tell."""
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb")
