"""Pictures laid out on a sheet, each at its own place and in the colour of its class."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .image import Image

COLOURS = np.array([
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (227, 119, 194),
    (110, 110, 110), (188, 189, 34), (23, 190, 207),
], np.float32)  # fmt: skip
MARGIN = 0.01  # of the places, on each side, that may lie outside: a few far ones shall not push all others together


def pinned(spots: Tensor, pictures: Tensor, label: Tensor, side: int = 720, small: int = 16) -> Image:
    """A square sheet with `pictures` "N H W" of levels 0 to 255, scaled to `small` pixels, at `spots` "N 2", the first
    number to the right and the second one up; later ones lie on earlier ones. Classes beyond ten begin the colours
    anew."""
    at = spots.detach().double().cpu().numpy()
    low, high = np.quantile(at, MARGIN, 0), np.quantile(at, 1 - MARGIN, 0)
    place = (at - low) / np.maximum(high - low, 1e-12)
    corner = (place.clip(0, 1) * (side - small)).round().astype(int)
    sheet = np.full((side, side, 3), 255, np.float32)
    for (x, y), picture, k in zip(corner, pictures.detach().cpu(), label.tolist(), strict=True):
        ink = Image.of(picture[None].float()).resized(small, small).pixels[..., None] / np.float32(255)
        y = side - small - y
        part = sheet[y : y + small, x : x + small]
        part += ink * (COLOURS[k % len(COLOURS)] - part)
    return Image(sheet.round().astype(np.uint8))
