"""Whether a path holds plain text, told from names alone: imports no torch and reads no file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..media.sheet import SPLIT_WORDS

TEXTS = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc")
KNOWN = {"tinyshakespeare": "tinyshakespeare.txt.gz"}  # known sets, by their file
MOSTLY = 0.8  # of a folder's files are texts: then it is read as text without being asked to


def is_text(path: Path) -> bool:
    """Whether a file is called as texts are; also packed, as notes.txt.gz."""
    return path.name.lower().removesuffix(".gz").endswith(TEXTS)


def texts_in(folder: Path) -> list[Path]:
    """The texts in a folder and in those below it, folder by folder, 2.txt before 10.txt. Hidden ones do not count."""
    found = []
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".") and is_text(Path(name))]
    return sorted(found, key=lambda file: (str(file.parent), _in_order(file.name)))


def _in_order(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d{1,15})", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def written(path: Path) -> str:
    """Why it holds plain text, in words that can follow "because"; empty where it does not."""
    if str(path) in KNOWN and not os.path.lexists(path):
        return f"{path} is a known text"
    if path.is_file():
        return f"{path.name} is a text" if is_text(path) else ""
    if not path.is_dir():
        return ""
    files = [name for _, _, names in os.walk(path) for name in names if not name.startswith(".")]
    texts = sum(is_text(Path(name)) for name in files)
    return f"the folder holds texts ({texts:,})" if texts and texts >= MOSTLY * len(files) else ""


def classed(path: Path) -> bool:
    """Whether each text of a folder lies in a folder within it (or within train, valid and test), of which there are
    several: these are classes then, for a page that tells texts apart. Pages that continue texts, when they are named,
    read them all the same."""
    if not path.is_dir() or any(is_text(name) for name in path.iterdir()):
        return False
    below = _folders(path)
    splits = [inner for folder in below if folder.name.lower() in SPLIT_WORDS for inner in _folders(folder)]
    return len({folder.name for folder in splits or below if any(map(is_text, folder.iterdir()))}) > 1


def _folders(path: Path) -> list[Path]:
    return [folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
