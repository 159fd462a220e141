"""A quick look at a user's pictures: how many, how large, grey or not. Reads the heads of a few files only."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.errors import UserError

LOOKED_AT = 60  # files


class Glance(NamedTuple):
    """Pictures in files, as a few of them tell."""

    count: int
    side: int  # the typical smaller side, pixels
    grey: bool
    uneven: float  # pictures of the largest class for each one of the smallest


def glance(path: str, target: str = "") -> Glance | None:
    """What the pictures in a folder or list are like; None for arrays, and where nothing can be told."""
    from PIL import Image as Pillow

    from .listing import listing

    place = Path(path)
    if not place.exists() or place.suffix.lower() == ".npz" or place.name.startswith(("zip.train", "zip.test")):
        return None
    try:
        found = listing(place, target)
    except UserError:
        return None
    if not found.paths:
        return None  # reading them will say what is wrong
    sides, grey = [], []
    for file in found.paths[:: max(1, len(found.paths) // LOOKED_AT)]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Pillow.open(file) as picture:
                    sides.append(min(picture.size))
                    grey.append(picture.mode in ("1", "L", "LA") or picture.mode.startswith("I"))
        except Exception:
            continue
    if not sides:
        return None
    counts = Counter(found.labels).values()
    return Glance(len(found.paths), int(np.median(sides)), all(grey), max(counts) / min(counts))
