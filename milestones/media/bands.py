"""Frames side by side with what is said of each below, as bands of colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from .image import Image

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#eeca3b", "#ff9da6",
           "#8f8f8f", "#2f4b7c", "#79706e")  # fmt: skip
HIGH, GAP, NAME = 16, 3, 44  # pixels: of a band, between rows, for the name of a band


def bands(frames: np.ndarray, said: Mapping[str, Sequence[str]], labels: Sequence[str], columns: int = 24,
          wide: int = 48) -> Image:  # fmt: skip
    """A sheet of `frames`, uint8 "T H W" or "T H W 3", in rows of `columns`, each `wide` pixels, and below each row a
    band for each name of `said` ("true", "said"), its labels in their colours, written where one begins. What differs
    from the first band has a dark edge. An empty label leaves its place white."""
    time = len(frames)
    assert all(len(line) == time for line in said.values()), f"a label for each of {time} frames"
    high = max(1, round(wide * frames.shape[1] / frames.shape[2]))
    rows, columns = -(-time // columns), min(columns, time)
    each = high + len(said) * (HIGH + GAP) + 3 * GAP
    sheet = Pillow.new("RGB", (NAME + columns * wide, rows * each), "white")
    pen = ImageDraw.Draw(sheet)
    first = next(iter(said.values()), [""] * time)
    for t, frame in enumerate(frames):
        x, y = NAME + t % columns * wide, t // columns * each
        sheet.paste(Pillow.fromarray(frame).resize((wide - 1, high), Pillow.Resampling.NEAREST).convert("RGB"), (x, y))
    for k, (name, line) in enumerate(said.items()):
        wrong = [bool(word and true) and word != true for word, true in zip(line, first, strict=True)]
        begins = [t for t in range(time) if t % columns == 0 or (line[t], wrong[t]) != (line[t - 1], wrong[t - 1])]
        for t, end in zip(begins, [*begins[1:], time], strict=True):
            x, y = NAME + t % columns * wide, t // columns * each + high + GAP + k * (HIGH + GAP)
            if t % columns == 0:
                pen.text((2, y + 2), readable(name, NAME), fill="black")
            if line[t]:
                number = labels.index(line[t]) if line[t] in labels else len(labels)
                box = (x, y, x + (end - t) * wide - 2, y + HIGH - 1)
                pen.rectangle(box, COLOURS[number % len(COLOURS)], "black" if wrong[t] else None, 2)
                pen.text((x + 4, y + 2), readable(line[t], (end - t) * wide), fill="white")
    return Image(np.asarray(sheet))


def readable(text: str, wide: int) -> str:
    """The text in letters that the built-in font has, as much as fits into so many pixels."""
    return text.encode("latin-1", "replace").decode("latin-1")[: max(1, (wide - 4) // 6)]
