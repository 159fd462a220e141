"""Pictures of numbers, made: printed in several fonts, and handwritten ones of embedded test digits, on paper of
different size and colour, on an envelope, tilted; and pictures without a number."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

import milestones.data

FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")
NONE = "no number"


def printed(text: str, face: str, size: int, paper: int = 245, ink: int = 30, noise: float = 0.0) -> Pillow.Image:
    sheet = Pillow.new("L", (900, 300), paper)
    ImageDraw.Draw(sheet).text((120, 90), text, ink, ImageFont.truetype(str(FONTS / f"{face}.ttf"), size))
    grain = np.random.default_rng(0).normal(0, noise, (300, 900))
    return Pillow.fromarray((np.asarray(sheet) + grain).clip(0, 255).astype(np.uint8))


def written(text: str, seed: int, scale: float = 2.5, gap: float = 2, size: tuple[int, int] = (900, 300),
            at: tuple[int, int] = (150, 90), paper: int = 235, ink: int = 40) -> Pillow.Image:  # fmt: skip
    """Embedded test digits side by side, `gap` of their pixels apart, `scale` times as large."""
    with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
        images, labels = archive["image"][9000:], archive["label"][9000:]
    rng, level, x = np.random.default_rng(seed), np.zeros((size[1], size[0]), np.uint8), at[0]
    for sign in text:
        if sign == "-":
            glyph = np.zeros((28, 9), np.uint8)
            glyph[14:16] = 255
        else:
            glyph = images[rng.choice(np.flatnonzero(labels == int(sign)))]
            columns = np.flatnonzero((glyph > 60).any(0))
            glyph = glyph[:, columns[0] : columns[-1] + 1]
        wide, tall = round(glyph.shape[1] * scale), round(28 * scale)
        large = np.asarray(Pillow.fromarray(glyph).resize((wide, tall), Pillow.Resampling.BICUBIC))
        place = level[at[1] : at[1] + tall, x : x + wide]
        np.maximum(place, large, out=place)
        x += wide + round(gap * scale)
    return Pillow.fromarray((paper + (ink - paper) * (level / 255)).astype(np.uint8))


def envelope(text: str, seed: int) -> Pillow.Image:
    sheet = written(text, seed, 2.2, size=(1200, 800), at=(560, 520))
    for y, line in ((300, "Miss Ada Weaver"), (380, "Hill Road"), (450, "Boulder")):
        ImageDraw.Draw(sheet).text((480, y), line, 45, ImageFont.truetype(str(FONTS / "DejaVuSerif-Italic.ttf"), 54))
    return sheet


def cases() -> list[tuple[str, Pillow.Image]]:
    """What each picture says, and the picture."""
    return [
        ("80322", printed("80322", "DejaVuSans", 90)),
        ("14627", printed("14627", "DejaVuSerif", 60)),
        ("94305-2004", printed("94305-2004", "DejaVuSans", 70, 20, 220)),
        ("7", printed("7", "DejaVuSans", 120)),
        ("60614", printed("60614", "DejaVuSansMono", 80, noise=12)),
        ("123456789", printed("123456789", "DejaVuSans", 60)),
        ("80322", written("80322", 1)),
        ("80322-4129", written("80322-4129", 2, 2.0)),
        ("10003", written("10003", 3, 3, 1)),
        ("55416", written("55416", 4, 2, -1)),
        ("2718", written("2718", 5, 4).rotate(3, Pillow.Resampling.BICUBIC, fillcolor=235)),
        ("94040", written("94040", 6, paper=30, ink=230)),
        ("33109", written("33109", 7, 1.2)),
        ("80322", envelope("80322", 8)),
        ("20740-6021", envelope("20740-6021", 9)),
        (NONE, Pillow.new("L", (600, 300), 240)),
        (NONE, printed("Boulder", "DejaVuSans", 80)),
        (NONE, printed("Hello world", "DejaVuSerif", 60)),
        (NONE, written("43747", 11).rotate(180)),
        (NONE, printed("34743", "DejaVuSans", 80).rotate(180)),
        (NONE, written("74301", 12).rotate(180)),
    ]
