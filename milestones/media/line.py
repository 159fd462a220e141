"""Lines of writing found in any picture, each laid out as the lines that a reader of numbers is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from ..core.errors import UserError
from .image import Image, on_white
from .ink import FAINTEST, at_work, contrast, levels, otsu, unruled, widened
from .pieces import Pieces, pieces

WORK = 1200  # pixels of the larger side while searching: digits on an envelope are then still 20 pixels tall
DIGIT = 20  # pixels of a digit's height in a line of 28
MARGIN = 5  # pixels of paper at both ends
WIDEST = 640  # pixels of a line
MOST_PIECES, MOST_LINES = 400, 8


@dataclass(frozen=True)
class Line:
    """A line: uint8 "height W", ink light on 0, and where it lies in the picture that it was found in."""

    pixels: np.ndarray
    left: float  # in pixels of the picture: where the line's first column lies
    middle: float  # from the top, the line's middle
    scale: float  # pixels of the picture for one of the line

    def place(self, x: float) -> tuple[int, int]:
        """The point of the picture, x and y in pixels, for a column of the line."""
        return round(self.left + x * self.scale), round(self.middle)


def find_lines(image: Image, height: int = 28) -> list[Line]:
    """The lines of writing in a picture, the largest first, at most eight; none if there is no ink."""
    try:
        work = at_work(image, WORK)
        ink, noise = contrast(work)
    except UserError:
        return []
    ink = unruled(ink, noise)
    peak = float(np.sort(ink, axis=None)[-max(4, ink.size // 400) :].mean())
    if peak < max(FAINTEST, 5 * noise):
        return []
    mask = ink > max(min(otsu(ink), 0.7 * peak), 0.35 * peak, min(3.5 * noise, 0.6 * peak))
    found = pieces(mask)
    if not len(found.area):
        return []
    tall = found.bottom - found.top + 1
    size = np.maximum(tall, found.right - found.left + 1)
    kept = np.flatnonzero((size >= 5) & (found.area >= 6) & ~frames(found, *mask.shape))
    kept = kept[np.argsort(-found.area[kept])][:MOST_PIECES]
    lines = sorted((g for g in groups(found, kept) if tall[g].max() >= 8), key=lambda g: -int(found.area[g].sum()))
    out = []
    for group in lines[:MOST_LINES]:
        chosen = np.zeros(len(found.area), bool)
        chosen[group] = True
        level = levels(ink, noise, chosen[found.label] & (found.label >= 0))
        out.append(_laid_out(level, tall[group], image.width / work.shape[1], height))
    return out


def frames(found: Pieces, height: int, width: int) -> np.ndarray:
    """Which pieces are a frame, a shadow or an edge of the sheet: as large as the picture, and thin."""
    tall, wide = found.bottom - found.top + 1, found.right - found.left + 1
    large = (tall > 0.7 * height) & (wide > 0.7 * width) & (found.area < 0.3 * tall * wide)
    touches = (found.top == 0) | (found.left == 0) | (found.bottom == height - 1) | (found.right == width - 1)
    return large | (
        touches & ((tall > 0.8 * height) & (wide < 0.1 * width) | (wide > 0.8 * width) & (tall < 0.2 * height))
    )


def groups(found: Pieces, kept: np.ndarray) -> list[np.ndarray]:
    """Pieces side by side at one height, with gaps of at most about a digit: the lines."""
    top, bottom, left, right = (
        side[kept].astype(np.float64) for side in (found.top, found.bottom, found.left, found.right)
    )
    tall, wide = bottom - top + 1, right - left + 1
    taller = np.maximum(tall[:, None], tall[None])
    overlap = np.minimum(bottom[:, None], bottom[None]) - np.maximum(top[:, None], top[None]) + 1
    gap = np.maximum(left[:, None], left[None]) - np.minimum(right[:, None], right[None])
    beside = (overlap >= 0.4 * np.minimum(tall[:, None], tall[None])) & (gap <= 0.9 * taller)
    similar = np.minimum(tall[:, None], tall[None]) >= 0.4 * taller
    dash = (wide < 1.3 * taller) & (tall < 0.4 * taller) & (wide > 1.2 * tall)  # column j is a dash beside row i
    near = beside & (similar | dash | dash.T)
    root = np.arange(len(kept))
    while True:
        fresh = np.where(near | np.eye(len(kept), dtype=bool), root[None], len(kept)).min(1)
        if (fresh == root).all():
            return [kept[root == k] for k in np.unique(root)]
        root = fresh


def _laid_out(level: np.ndarray, tall: np.ndarray, factor: float, height: int) -> Line:
    """The ink of one line, scaled so that its digits have their customary height."""
    rows, columns = np.flatnonzero(level.max(1) > 0.05), np.flatnonzero(level.max(0) > 0.05)
    level = level[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    large = tall[tall >= 0.5 * tall.max()]
    scale = min(DIGIT / float(np.median(large)), (height - 2) / level.shape[0], (WIDEST - 2 * MARGIN) / level.shape[1])
    before = level.shape
    level = widened(level, scale * max(level.shape), 28)
    left = columns[0] - (level.shape[1] - before[1]) / 2
    middle = (rows[0] + rows[-1] + 1) / 2
    size = max(1, round(level.shape[1] * scale)), min(height, max(1, round(level.shape[0] * scale)))
    how = Pillow.Resampling.BICUBIC if scale > 1 else Pillow.Resampling.HAMMING
    level = np.asarray(Pillow.fromarray(level.astype(np.float32)).resize(size, how))
    strong = level[level > 0.4]
    level = np.clip(level / (float(np.percentile(strong, 70)) if len(strong) else 1.0), 0, 1)
    width = -(-(level.shape[1] + 2 * MARGIN) // 4) * 4
    sheet = np.zeros((height, width), np.uint8)
    top = (height - level.shape[0]) // 2
    sheet[top : top + level.shape[0], MARGIN : MARGIN + level.shape[1]] = (level * 255 + 0.5).astype(np.uint8)
    return Line(sheet, (left - MARGIN / scale) * factor, middle * factor, factor / scale)


def marked(image: Image, text: str, places: Sequence[tuple[int, int]]) -> Image:
    """The picture with each sign of `text` written in red above the place where it was read."""
    picture = Pillow.fromarray(on_white(image))
    size = max(12, picture.height // 12)
    face, draw = ImageFont.load_default(size), ImageDraw.Draw(picture)
    for sign, (x, y) in zip(text, places, strict=True):
        draw.line((x, y - size // 2, x, y + size // 2), (220, 30, 30), max(1, size // 16))
        draw.text((x, y - size // 2), sign, (220, 30, 30), face, anchor="ms")
    return Image(np.asarray(picture))
