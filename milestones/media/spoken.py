"""Speech as a picture: its spectrum over time, and below it which letter was heard where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from .image import Image
from .records import Heat, Listing

BAND, STRIP, AXIS = 4, 26, 16  # pixels: of a band's height, of the letters, of the time
WIDEST = 1800  # pixels
COLUMNS = 300  # of a heat map
SHADES = np.array([(252, 252, 253), (214, 228, 240), (141, 183, 219), (58, 118, 175), (20, 55, 105), (8, 20, 50)])
TINTS = ((255, 236, 210), (221, 240, 222))  # of letters, in turn


def transcribed(levels: np.ndarray, signs: Sequence[tuple[float, float, str]], hop: float) -> Image:
    """The picture of a recording: log-mel frames "T C" with `hop` seconds between, light where it is quiet, and each
    sign at the time (from, to, in seconds) in which it was heard."""
    frames, bands = levels.shape
    wide = min(WIDEST, max(240, 6 * frames))
    low, high = np.percentile(levels, (10, 99.5))
    shade = np.clip((levels - low) / max(float(high - low), 1e-6), 0, 1).T[::-1]  # C T, high bands above
    steps = np.linspace(0, 1, len(SHADES))
    colour = np.stack([np.interp(shade, steps, SHADES[:, k]) for k in range(3)], -1)
    above = Pillow.fromarray(colour.round().astype(np.uint8)).resize((wide, BAND * bands), Pillow.Resampling.BILINEAR)
    sheet = Pillow.new("RGB", (wide, BAND * bands + STRIP + AXIS), (255, 255, 255))
    sheet.paste(above, (0, 0))
    draw, face, small = ImageDraw.Draw(sheet), ImageFont.load_default(15), ImageFont.load_default(11)
    scale, top = wide / (frames * hop), BAND * bands
    for k, (begin, end, sign) in enumerate(signs):
        left, right = begin * scale, max(end * scale, begin * scale + 4)
        if sign.strip():
            draw.rectangle((left, top, right, top + STRIP), TINTS[k % 2])
            draw.line((left, 0, left, top), (255, 160, 70), 1)
            draw.text(((left + right) / 2, top + STRIP / 2), sign, (20, 25, 30), face, anchor="mm")
        else:  # a blank between words
            draw.line((left, 0, left, top + STRIP), (90, 100, 110), 2)
    each = 0.1 if frames * hop <= 1.5 else 0.5 if frames * hop <= 8 else 2.0
    for k in range(1 + int(frames * hop / each)):
        x = k * each * scale
        draw.line((x, top + STRIP, x, top + STRIP + 4), (90, 100, 110), 1)
        draw.text((x + 2, top + STRIP + 3), f"{k * each:g} s" if k else "0", (90, 100, 110), small)
    return Image(np.asarray(sheet))


def spans(answer: str, where: Sequence[int], each: float) -> list[tuple[float, float, str]]:
    """From when to when, in seconds, each sign of `answer` was heard: `where` says of each frame of `each` seconds
    which sign it belongs to, -1 for none."""
    frames: list[list[int]] = [[] for _ in answer]
    for t, at in enumerate(where):
        if at >= 0:
            frames[at].append(t)
    return [(at[0] * each, (at[-1] + 1) * each, sign) for at, sign in zip(frames, answer, strict=True)]


def words(signs: Sequence[tuple[float, float, str]], chances: Sequence[float]) -> Listing:
    """The words of a text: from when to when each was heard, and how sure its least sure sign is, in percent."""
    rows: list[tuple[str | float, ...]] = []
    begin = 0
    for at in range(len(signs) + 1):
        if at == len(signs) or signs[at][2] == " ":
            if at > begin:
                word = signs[begin:at]
                sure = round(100 * min(chances[begin:at]), 1)
                rows.append(("".join(sign for *_, sign in word), round(word[0][0], 2), round(word[-1][1], 2), sure))
            begin = at + 1
    return Listing(("word", "from, s", "to, s", "sure, %"), rows)


def over_time(chance: np.ndarray, names: Sequence[str], each: float) -> Heat:
    """The chance of each sign at each time: "T K", a name for each of K; of long recordings the largest of several
    frames."""
    step = -(-len(chance) // COLUMNS)
    starts = np.arange(0, len(chance), step)
    values = np.maximum.reduceat(chance, starts, axis=0).T.round(3)
    return Heat(values, list(names), [f"{t * each:.2f}" for t in starts], ylabel="sign", xlabel="seconds")
