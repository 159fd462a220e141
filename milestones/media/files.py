"""Reading what a user hands over: a picture, or the rows of a table."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.errors import UserError
from .image import SUFFIXES as PICTURES
from .image import Image
from .records import Media, Row
from .sheet import SUFFIXES as TABLES
from .sheet import sheet

MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"RIFF")


def read(path_or_text: str | Path) -> list[Media]:
    """The picture in a file, all pictures of a folder, or one Row a line of a table. A text that begins with
    ``{`` is
    one row in JSON. UserError: no such file, or of no known kind."""
    text = str(path_or_text)
    if text.lstrip().startswith("{"):
        return [_row(text)]
    path = Path(text)
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
    try:
        with open(path, "rb") as stream:
            head = stream.read(16)
    except OSError as problem:
        raise UserError("a readable file", f"{path} ({problem.strerror})", "Check its permissions") from None
    if head.startswith(MAGIC):
        return [Image.open(path)]
    do = "Give a PNG, JPEG, BMP, TIFF or WebP picture, or a CSV, TSV, JSONL or Parquet table"
    raise UserError("a picture or a table", f"{path}, of another kind", do)


def _row(text: str) -> Row:
    import json

    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as problem:
        raise UserError("a row as JSON", f"a text that is none ({problem})", 'Write {"column": value, ...}') from None
    return Row(values)
