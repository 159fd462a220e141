"""Sheets of small pictures with names: rows of units with what excites them, and layers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from ..media import Image

CELL, GAP, GROUP, LABEL, HEAD = 56, 4, 18, 74, 24  # pixels
INK, QUIET, FRAME, EDGE, VOID = (34, 33, 30), (108, 104, 95), (194, 87, 26), (190, 186, 176), (255, 255, 255)


class Cell(NamedTuple):
    """A picture "H W" or "H W 3" of uint8, with a frame around some rows and columns (first and last of each)."""

    pixels: np.ndarray
    frame: tuple[int, ...] = ()
    caption: str = ""


class Strip(NamedTuple):
    """A row: its name, and groups of cells."""

    name: str
    groups: list[list[Cell]]


def drawn(cell: Cell, side: int = CELL) -> Pillow.Image:
    """The cell, enlarged unsmoothed to a square of `side`, its aspect kept."""
    picture = Pillow.fromarray(np.ascontiguousarray(cell.pixels)).convert("RGB")
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    how = Pillow.Resampling.NEAREST if scale >= 1 else Pillow.Resampling.BOX
    square = Pillow.new("RGB", (side, side), VOID)
    x, y = (side - size[0]) // 2, (side - size[1]) // 2
    square.paste(picture.resize(size, how), (x, y))
    # An outline, so that a white picture is seen as one.
    ImageDraw.Draw(square).rectangle((x, y, x + size[0] - 1, y + size[1] - 1), outline=EDGE)
    if cell.frame:
        top, bottom, left, right = (edge * scale for edge in (cell.frame[0], cell.frame[1] + 1, cell.frame[2],
                                                              cell.frame[3] + 1))  # fmt: skip
        box = (x + left, y + top, min(x + right, side) - 1, min(y + bottom, side) - 1)
        ImageDraw.Draw(square).rectangle(box, outline=FRAME, width=2)
    return square


def strip(rows: Sequence[Strip], heads: Sequence[str]) -> Image:
    """Rows of pictures with their names at the left; `heads` stand above the groups."""
    most = [max(len(row.groups[k]) for row in rows) for k in range(len(heads))]
    captions = any(cell.caption for row in rows for group in row.groups for cell in group)
    tall = CELL + GAP + 14 * captions
    starts, x = [], LABEL
    for count in most:
        starts.append(x)
        x += count * (CELL + GAP) + GROUP * bool(count)
    sheet = Pillow.new("RGB", (x - GROUP, HEAD + len(rows) * tall), VOID)
    draw, face = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for head, start, count in zip(heads, starts, most, strict=True):
        if count:
            draw.text((start, 4), fitted(head, count * (CELL + GAP) + GROUP - 4, face), QUIET, face)
    for number, row in enumerate(rows):
        y = HEAD + number * tall
        draw.text((2, y + CELL // 2 - 7), fitted(row.name, LABEL - 6, face), INK, face)
        for start, group in zip(starts, row.groups, strict=True):
            for place, cell in enumerate(group):
                at = start + place * (CELL + GAP)
                sheet.paste(drawn(cell), (at, y))
                if cell.caption:
                    draw.text((at + 2, y + CELL), fitted(cell.caption, CELL, face), QUIET, face)
    return Image(np.asarray(sheet))


def columns(layers: Sequence[tuple[str, list[Cell], list[Cell]]], most: int = 6) -> Image:
    """Layers from left to right, each with its name and, for its units, what was made for them and what excites them
    most."""
    wide = 2 * (CELL + GAP) + GROUP
    tall = max(min(most, len(made)) for _, made, _ in layers)
    sheet = Pillow.new("RGB", (len(layers) * wide - GROUP, 2 * HEAD + tall * (CELL + GAP)), VOID)
    draw, face, small = ImageDraw.Draw(sheet), ImageFont.load_default(13), ImageFont.load_default(11)
    for number, (name, made, shown) in enumerate(layers):
        x = number * wide
        draw.text((x, 4), fitted(name, wide - GROUP, face), INK, face)
        for column, head in enumerate(("made", "in the data")):
            draw.text((x + column * (CELL + GAP), HEAD), head, QUIET, small)
        for row, pair in enumerate(list(zip(made, shown, strict=True))[:most]):
            for column, cell in enumerate(pair):
                sheet.paste(drawn(cell), (x + column * (CELL + GAP), 2 * HEAD - 4 + row * (CELL + GAP)))
    return Image(np.asarray(sheet))


def fitted(text: str, width: int, face: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, its end cut where it is too long for so many pixels."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
