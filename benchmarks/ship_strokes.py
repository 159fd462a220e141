"""Makes the pens' paths that ship in milestones/data: of the drawings in omniglot.npz, in its order. Taken from the
archives in MILESTONES_DATA/omniglot; points that lie on the line between others are left out.

    python benchmarks/ship_strokes.py
"""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "milestones" / "data"
PATH = DATA / "strokes.npz"
DRAWERS, SIDE = 20, 105
FINE = 2  # steps of a pixel
OFF = 0.6  # pixels that a point may lie off the line that replaces it
MOST = 600_000  # bytes


def sparse(path: np.ndarray) -> np.ndarray:
    """The points of a path that its shape needs (Douglas & Peucker 1973)."""
    if len(path) < 3:
        return path
    step = path[-1] - path[0]
    size = float(np.hypot(*step))
    gap = path - path[0]
    far = np.hypot(*gap.T) if size < 1e-9 else np.abs(gap[:, 0] * step[1] - gap[:, 1] * step[0]) / size
    k = int(far.argmax())
    if far[k] <= OFF:
        return path[[0, -1]]
    return np.concatenate([sparse(path[: k + 1])[:-1], sparse(path[k:])])


def strokes(text: str) -> list[np.ndarray]:
    """The strokes of one drawing, x before y downwards, in pixels of its picture."""
    found: list[list[tuple[float, float]]] = [[]]
    for line in text.split():
        if line == "BREAK":
            found.append([])
        elif line != "START":
            x, y, _ = map(float, line.split(","))
            found[-1].append((x, -y))
    return [np.clip(np.array(one), 0, SIDE - 1) for one in found if one]


def main() -> None:
    folder = Path(os.environ["MILESTONES_DATA"]) / "omniglot"
    with np.load(DATA / "omniglot.npz", allow_pickle=False) as archive:
        names = archive["names"].tolist()
        keys = [(names[a], int(c)) for a, c in zip(archive["alphabet"], archive["character"], strict=True)]
    found: dict[tuple[str, int], dict[int, list[np.ndarray]]] = {}
    for number in (1, 2):
        with zipfile.ZipFile(folder / f"strokes_background_small{number}.zip") as archive:
            for name in sorted(archive.namelist()):
                if match := re.fullmatch(r"[^/]+/([^/]+)/character(\d+)/\d+_(\d+)\.txt", name):
                    drawn = strokes(archive.read(name).decode())
                    found.setdefault((match[1], int(match[2])), {})[int(match[3])] = drawn
    drawings = [found[key][k + 1] for key in keys for k in range(DRAWERS)]
    paths = [np.round(FINE * sparse(one)).astype(np.uint8) for drawn in drawings for one in drawn]
    np.savez_compressed(
        PATH,
        point=np.concatenate(paths),
        points=np.array([len(one) for one in paths], np.uint16),
        strokes=np.array([len(drawn) for drawn in drawings], np.uint8),
    )
    size = PATH.stat().st_size
    print(f"{PATH.name}: {len(drawings)} drawings, {len(paths)} strokes, {size / 1e6:.2f} MB")
    assert size <= MOST


if __name__ == "__main__":
    main()
