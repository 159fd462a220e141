"""Reading what a user hands over: a picture, a sound, a board, a film, the rows of a table, or a text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from ..core.errors import UserError
from .board import Board
from .film import SUFFIXES as FILMS
from .film import Video
from .image import SUFFIXES as PICTURES
from .image import Image
from .microphone import NAME as MICROPHONE
from .microphone import record
from .recording import SUFFIXES as RECORDINGS
from .recording import Recording
from .records import Media, Row, Text
from .series import SUFFIXES as RECORDS
from .series import Series
from .sgf import LARGEST, SGF
from .sheet import SUFFIXES as TABLES
from .sheet import Sheet, sheet, texts_in
from .sound import OTHERS, Audio
from .sound import SUFFIXES as SOUNDS
from .utf8 import utf8

MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"RIFF")


def read(path_or_text: str | Path, takes: tuple[type, ...] = ()) -> list[Media]:
    """The picture, sound (.wav) or board (.sgf) in a file, all pictures of a folder, or one Row a line of a table. A
    text that begins with ``{`` is one row in JSON, unless a page takes Text and no Row. Where a page `takes` Text: one
    a line of a .txt file, and words that are no file themselves, an empty text, too; where it takes Audio, all sounds
    of a folder, and what the `microphone` hears; where it takes Recording, what is in an .edf or .npz file; where it
    takes Video and no Image, the film in a GIF or WebP, and the pictures of a folder as one film, in the order of the
    numbers in their names, of the size of the first; where it takes Series, those of a table, .npz or .ts file.
    UserError: no such file, or of no known kind."""
    text = str(path_or_text)
    if text.lstrip().startswith("{") and (Row in takes or Text not in takes):
        return [_row(text)]
    if Text in takes and not text.strip():
        return [Text(text)]  # a page that can make nothing of it says so
    if not text.strip():
        raise UserError("a file or a folder", "an empty argument", "Name what to read")
    path = Path(text)
    if Audio in takes and text.partition(":")[0] == MICROPHONE and not _there(path):
        return [record(_seconds(text))]
    if Text in takes and not _there(path):
        if path.suffix.lower() in (*TABLES, ".txt", ".sgf") and len(text.split()) == 1:  # no sentence
            raise UserError("a text, or a file of texts", f"{text}, which does not exist", "Check the path")
        return [Text(text)]
    if not os.path.lexists(path):
        raise UserError("a file or a folder", f"{text}, which does not exist", "Check the path")
    if path.is_dir():
        if Audio in takes and Image not in takes:
            sounds = sorted(file for file in path.iterdir() if file.suffix.lower() in SOUNDS | OTHERS)
            if not sounds:
                raise UserError("a folder with recordings", f"{path} without any", "Name a recording or another folder")
            return [Audio.open(file) for file in sounds]
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
        if found and Video in takes and Image not in takes:
            shots = [Image.open(file) for file in in_order(found)]
            high, wide = shots[0].height, shots[0].width
            return [Video(np.stack([_rgb(shot.resized(high, wide).pixels) for shot in shots]))]
        if not found:
            raise UserError("a folder with pictures", f"{path} without any", "Name a picture or another folder")
        return [Image.open(file) for file in found]
    suffix = path.suffix.lower()
    if Series in takes and suffix in RECORDS:
        return list(Series.open(path))
    if suffix in SOUNDS | OTHERS:
        return [Audio.open(path)]
    if suffix == ".sgf":
        return [_board(path)]
    if suffix in RECORDINGS and Recording in takes:
        return [Recording.open(path)]
    if suffix in FILMS and Video in takes and Image not in takes:
        return [Video.open(path)]
    if suffix in PICTURES:
        return [Image.open(path)]
    if suffix in TABLES:
        table = sheet(path)
        if Text in takes and Row not in takes:
            return _column(table)
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
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return [Audio.open(path)]
    if head.startswith(MAGIC):
        return [Image.open(path)]
    do = "Give a PNG, JPEG, BMP, TIFF or WebP picture, or a CSV, TSV, JSONL or Parquet table"
    raise UserError("a picture or a table", f"{path}, of another kind", do)


def in_order(files: Iterable[Path]) -> list[Path]:
    """Files in the order of the numbers in their names: frame2 before frame10."""
    return sorted(files, key=lambda file: [
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,15})", file.name.lower())
    ])  # fmt: skip


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Pillow.fromarray(pixels).convert("RGB"))


def _seconds(text: str) -> float:
    """Of microphone:5 the five seconds; 0 without."""
    word = text.partition(":")[2]
    try:
        return float(word or 0)
    except ValueError:
        raise UserError("microphone, or microphone:5 for five seconds", text, "Say so many seconds") from None


def _there(path: Path) -> bool:
    """Whether the path is one; a long text or one with a zero byte names none."""
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _board(path: Path) -> Board:
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as problem:
        raise UserError(SGF, f"{path} ({problem.strerror or problem})", "Check the path") from None
    return Board.decoded(content, str(path))


def _column(table: Sheet) -> list[Media]:
    """The texts of a table, of the column that holds them; of one column, of that."""
    name = texts_in(table.columns) or (next(iter(table.columns)) if len(table.columns) == 1 else "")
    if not name:
        have = f"columns {', '.join(table.columns)} in {table.path}"
        raise UserError("a column of texts, called text", have, "Rename the column that holds the texts")
    found: list[Media] = [
        Text(str(cell).strip()) for cell in table.columns[name] if cell is not None and str(cell).strip()
    ]
    if not found:
        raise UserError("a text in some row", f"none in column {name!r} of {table.path}", "Write one a row")
    return found


def _lines(path: Path) -> list[Media]:
    try:
        lines = utf8(path.read_bytes(), "text", str(path)).splitlines()
    except OSError as problem:
        raise UserError("a text that can be read", f"{path} ({problem.strerror})", "Check the path") from None
    found: list[Media] = [Text(line.strip()) for line in lines if line.strip()]
    if not found:
        raise UserError("a text with at least one line", f"{path}, which is empty", "Write one input a line")
    return found


def _row(text: str) -> Row:
    import json

    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise UserError("a row as JSON", f"a text that is none ({problem})", 'Write {"column": value, ...}') from None
    return Row(values)
