"""Reading what a user hands over: a picture, the rows of a table, or a text."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.errors import UserError
from .image import SUFFIXES as PICTURES
from .image import Image
from .records import Media, Row, Text
from .sheet import SUFFIXES as TABLES
from .sheet import sheet

MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"RIFF")


def read(path_or_text: str | Path, takes: tuple[type, ...] = ()) -> list[Media]:
    """The picture in a file, all pictures of a folder, or one Row a line of a table. A text that begins with
    ``{`` is one row in JSON. Where a page `takes` Text: one a line of a .txt file, and words that are no file
    themselves. UserError: no such file, or of no known kind."""
    text = str(path_or_text)
    if text.lstrip().startswith("{"):
        return [_row(text)]
    path = Path(text)
    if Text in takes and not _there(path):
        return [Text(text)]
    if not os.path.lexists(path):
        raise UserError("a picture, a table or a folder of pictures", f"{text}, which does not exist", "Check the path")
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
        if not found:
            raise UserError("a folder with pictures", f"{path} without any", "Name a picture or another folder")
        return [Image.open(file) for file in found]
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return [Image.open(path)]
    if suffix in TABLES:
        table = sheet(path)
        return [
            Row(dict(zip(table.columns, cells, strict=True))) for cells in zip(*table.columns.values(), strict=False)
        ]
    if Text in takes and suffix == ".txt":
        return _lines(path)
    try:
        with open(path, "rb") as stream:
            head = stream.read(16)
    except OSError as problem:
        raise UserError("a readable file", f"{path} ({problem.strerror})", "Check its permissions") from None
    if head.startswith(MAGIC):
        return [Image.open(path)]
    do = "Give a PNG, JPEG, BMP, TIFF or WebP picture, or a CSV, TSV, JSONL or Parquet table"
    raise UserError("a picture or a table", f"{path}, of another kind", do)


def _there(path: Path) -> bool:
    """Whether the path is one; a long text or one with a zero byte names none."""
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _lines(path: Path) -> list[Media]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not in UTF-8"
        raise UserError("a text that can be read", f"{path} ({reason})", "Save it as UTF-8") from None
    found: list[Media] = [Text(line.strip()) for line in lines if line.strip()]
    if not found:
        raise UserError("a text with at least one line", f"{path}, which is empty", "Write one input a line")
    return found


def _row(text: str) -> Row:
    import json

    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as problem:
        raise UserError("a row as JSON", f"a text that is none ({problem})", 'Write {"column": value, ...}') from None
    return Row(values)
