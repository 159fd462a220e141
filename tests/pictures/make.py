"""Draws the 30 digits of this folder: three handwritings, each picture with its own size, pen, paper and
light.

    python tests/pictures/make.py [FOLDER]

Strokes are skeletons written down by hand, here, as points that a smooth curve passes through; nothing comes
from a
data set. The pictures are committed; this script tells how they were made.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Points x, y in a box of 100 x 140, y downwards; a list of strokes each. A stroke of two points is straight.
SKELETONS = {
    0: ([[(52, 4), (18, 22), (6, 72), (22, 122), (54, 136), (86, 112), (94, 62), (80, 18), (50, 4)]],
        [[(60, 8), (26, 14), (8, 60), (14, 112), (46, 134), (80, 116), (92, 70), (84, 26), (58, 6),
          (40, 16)]],
        [[(50, 2), (16, 40), (14, 98), (46, 138), (82, 104), (86, 44), (56, 4), (48, 2)]]),
    1: ([[(50, 4), (49, 70), (50, 136)]],
        [[(24, 40), (56, 6)], [(56, 6), (54, 70), (52, 136)]],
        [[(66, 4), (54, 70), (40, 136)]]),
    2: ([[(10, 36), (26, 8), (62, 4), (84, 30), (70, 66), (36, 104), (8, 134)], [(8, 134), (50, 132),
          (94, 134)]],
        [[(14, 30), (40, 4), (78, 16), (80, 54), (48, 98), (18, 126), (10, 134), (22, 122), (46, 124),
          (70, 136), (94, 124)]],
        [[(16, 24), (46, 6), (76, 22), (72, 58), (40, 100), (12, 132), (50, 130), (90, 132)]]),
    3: ([[(14, 20), (44, 4), (78, 18), (74, 50), (42, 66)], [(42, 66), (80, 76), (88, 108), (58, 134),
          (10, 122)]],
        [[(16, 12), (56, 4), (82, 26), (64, 56), (38, 64), (74, 74), (88, 104), (62, 132), (30, 134),
          (8, 116)]],
        [[(12, 8), (50, 6), (84, 8)], [(84, 8), (46, 54)], [(46, 54), (80, 66), (88, 100), (60, 134),
          (12, 124)]]),
    4: ([[(30, 6), (20, 46), (12, 84)], [(12, 84), (50, 84), (92, 80)], [(72, 4), (70, 70), (68, 136)]],
        [[(66, 4), (36, 44), (6, 92)], [(6, 92), (50, 92), (94, 92)], [(66, 36), (66, 80), (66, 136)]],
        [[(20, 10), (14, 44), (24, 70), (56, 72), (80, 58)], [(82, 6), (78, 60), (70, 136)]]),
    5: ([[(82, 6), (52, 6), (22, 8)], [(22, 8), (20, 34), (18, 62)],
         [(18, 62), (50, 50), (84, 72), (82, 114), (48, 136), (10, 122)]],
        [[(30, 8), (26, 34), (22, 60), (56, 56), (82, 80), (74, 120), (40, 134), (12, 122)], [(30, 8),
          (60, 10), (88, 6)]],
        [[(90, 4), (60, 8), (34, 8)], [(34, 8), (26, 56)], [(26, 56), (60, 50), (84, 82), (66, 124),
          (30, 136), (6, 124)]]),
    6: ([[(72, 4), (36, 34), (14, 86), (26, 126), (60, 134), (84, 106), (66, 76), (32, 82), (16, 104)]],
        [[(60, 2), (26, 50), (14, 100), (38, 136), (76, 122), (78, 88), (50, 76), (22, 94)]],
        [[(80, 10), (52, 8), (24, 48), (14, 100), (40, 134), (78, 118), (74, 84), (42, 78), (18, 100)]]),
    7: ([[(10, 8), (50, 8), (90, 6)], [(90, 6), (62, 66), (42, 136)]],
        [[(8, 14), (50, 8), (88, 10)], [(88, 10), (60, 70), (44, 136)], [(32, 74), (54, 70), (80, 68)]],
        [[(12, 24), (16, 8), (54, 12), (88, 4)], [(88, 4), (70, 52), (56, 136)]]),
    8: ([[(74, 22), (46, 4), (20, 26), (40, 58), (74, 86), (78, 118), (48, 136), (18, 116), (28, 84),
          (62, 56), (78, 26), (60, 6)]],
        [[(50, 66), (24, 46), (26, 14), (54, 4), (76, 22), (68, 50), (48, 66), (22, 90), (22, 124),
          (52, 136), (82, 118),
          (76, 86), (50, 66)]],
        [[(82, 16), (50, 6), (26, 28), (46, 60), (76, 92), (66, 130), (30, 132), (20, 104), (48, 66),
          (76, 36), (82, 14)]]),
    9: ([[(80, 30), (50, 4), (18, 28), (24, 64), (56, 70), (80, 34)], [(80, 34), (78, 80), (68, 136)]],
        [[(76, 16), (42, 8), (16, 40), (36, 70), (70, 54), (80, 16)], [(80, 16), (80, 70), (78, 104),
          (54, 134), (22, 126)]],
        [[(78, 26), (52, 4), (22, 24), (24, 58), (54, 66), (78, 40), (78, 24)], [(78, 24), (66, 82),
          (48, 136)]]),
}  # fmt: skip

# name, height, width, pen (part of the digit's height), part of the picture's height that the digit takes, paper, ink
SCENES = (
    ("paper", 480, 360, 0.05, 0.62, "paper", (40, 42, 60)),
    ("board", 300, 400, 0.07, 0.66, "board", (236, 236, 226)),
    ("clear", 200, 200, 0.11, 0.70, "clear", (20, 20, 20)),
    ("shade", 640, 480, 0.04, 0.50, "shade", (30, 50, 120)),
    ("ruled", 420, 420, 0.055, 0.60, "ruled", (28, 34, 90)),
    ("small", 44, 40, 0.10, 0.72, "white", (0, 0, 0)),
    ("large", 900, 700, 0.03, 0.44, "paper", (24, 24, 28)),
    ("yellow", 320, 320, 0.08, 0.60, "yellow", (170, 24, 30)),
    ("night", 160, 240, 0.09, 0.70, "night", (120, 230, 160)),
    ("thin", 400, 400, 0.014, 0.56, "white", (60, 60, 60)),
)


def curve(points: list[tuple[float, float]]) -> np.ndarray:
    """Points "N 2" close together on the Catmull-Rom curve through `points`."""
    ends = np.array([points[0], *points, points[-1]], dtype=float)
    t = np.linspace(0, 1, 24, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*parts, ends[-1:]])


def mask(
    digit: int, hand: int, height: int, width: int, pen: float, share: float, rng: np.random.Generator
) -> np.ndarray:
    """How much ink lies on each pixel, "H W" in [0, 1], drawn three times as large and made smaller."""
    fine, tall = 3, share * height * 3
    slant, turn = rng.normal(0.05, 0.06), np.radians(rng.normal(0, 4))
    wide = rng.uniform(0.88, 1.06)
    strokes = []
    for points in SKELETONS[digit][hand]:
        line = curve([(x + rng.normal(0, 1.3), y + rng.normal(0, 1.3)) for x, y in points])
        line += np.stack([np.convolve(rng.normal(0, 0.9, len(line) + 14), np.ones(15) / 15, "valid") for _ in "xy"], 1)
        x, y = (line[:, 0] - 50) * wide - (line[:, 1] - 70) * slant, line[:, 1] - 70
        strokes.append(
            np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1) * tall / 140
        )
    reach = np.abs(np.concatenate(strokes)).max(0) + pen * tall
    room = np.maximum(np.array([width, height]) * fine / 2 - reach, 0)
    centre = np.array([width, height]) * fine / 2 + room * rng.uniform(-0.6, 0.6, 2)
    sheet = Image.new("L", (width * fine, height * fine))
    draw = ImageDraw.Draw(sheet)
    for line in strokes:
        press = 1 + 0.12 * np.sin(np.linspace(0, rng.uniform(3, 7), len(line)) + rng.uniform(0, 6))
        for (x, y), width_here in zip(line + centre, press * max(pen * tall, 3) / 2, strict=False):
            draw.ellipse((x - width_here, y - width_here, x + width_here, y + width_here), fill=255)
    return np.asarray(sheet.resize((width, height), Image.Resampling.BOX), dtype=float) / 255


def grain(height: int, width: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """Noise "H W" of about unit strength whose spots are `size` pixels wide."""
    rough = Image.fromarray((rng.normal(128, 40, (height, width))).clip(0, 255).astype(np.uint8))
    smooth = np.asarray(rough.filter(ImageFilter.GaussianBlur(size)), dtype=float)
    return (smooth - smooth.mean()) / (smooth.std() + 1e-6)


def paper(kind: str, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """The background "H W 3"."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    tone = {"paper": (222, 216, 204), "board": (44, 62, 54), "shade": (214, 210, 206), "ruled": (240, 240, 234),
            "yellow": (244, 222, 96), "night": (24, 20, 44)}.get(kind, (255, 255, 255))  # fmt: skip
    sheet = np.ones((height, width, 3)) * tone
    if kind == "paper":
        sheet += 3.5 * grain(height, width, 1.2, rng)[..., None] + 3 * grain(height, width, 30, rng)[..., None]
    if kind == "board":
        sheet += 5 * grain(height, width, 12, rng)[..., None] + 3 * grain(height, width, 1, rng)[..., None]
    if kind == "shade":
        angle = rng.uniform(0, 2 * np.pi)
        sheet *= (0.42 + 0.58 * np.clip(0.5 + np.cos(angle) * (x - 0.4) + np.sin(angle) * (y - 0.5), 0, 1))[..., None]
        sheet += 2 * grain(height, width, 1, rng)[..., None]
    if kind == "ruled":
        for row in range(int(rng.integers(20, 40)), height - 2, 52):
            sheet[row : row + 2] = (176, 196, 224)
        sheet[:, 36:38] = (232, 150, 150)
        sheet += 2 * grain(height, width, 1, rng)[..., None]
    if kind in ("yellow", "night"):
        sheet += 3 * grain(height, width, 2, rng)[..., None]
    return sheet


def picture(digit: int, hand: int, scene: tuple) -> Image.Image:
    """One picture; the same every time."""
    _, height, width, pen, share, kind, ink = scene
    rng = np.random.default_rng([1998, digit, hand])
    amount = mask(digit, hand, height, width, pen, share, rng)[..., None]
    if kind == "clear":
        colour = np.ones((height, width, 3)) * ink
        return Image.fromarray(np.concatenate([colour, amount * 255], 2).round().astype(np.uint8), "RGBA")
    if kind == "board":  # chalk leaves gaps
        amount = amount * np.clip(0.86 + 0.12 * grain(height, width, 1, rng), 0.4, 1)[..., None]
    sheet = paper(kind, height, width, rng) * (1 - amount) + np.array(ink) * amount
    shot = Image.fromarray(sheet.clip(0, 255).round().astype(np.uint8))
    return shot.filter(ImageFilter.GaussianBlur(0.6)) if kind in ("paper", "shade") else shot


def main(folder: Path) -> None:
    """Write the 30 pictures. Each digit meets three scenes, each scene three digits."""
    for digit in range(10):
        for hand in range(3):
            scene = SCENES[(digit + (0, 3, 7)[hand]) % 10]
            shot = picture(digit, hand, scene)
            stem = f"{digit}-{scene[0]}"
            if scene[0] in ("clear", "small", "thin", "night"):
                shot.save(folder / f"{stem}.png", optimize=True)
            else:
                shot.save(folder / f"{stem}.jpg", quality=32 if scene[0] == "large" else 80)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
