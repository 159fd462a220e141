"""Makes the drawings of characters that ship in milestones/data: both small background sets of Omniglot and its 20
official one-shot runs, each picture a bit a pixel. Taken from the archives in MILESTONES_DATA/omniglot.

    python benchmarks/ship_omniglot.py
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

PATH = Path(__file__).parents[1] / "milestones" / "data" / "omniglot.npz"
SIDE, DRAWERS, RUNS, WAY = 105, 20, 20, 20
MOST = 2_000_000  # bytes


def bits(content: bytes) -> np.ndarray:
    """A picture's ink, packed along its rows."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert pixels.shape == (SIDE, SIDE)
    return np.packbits(pixels < 128, axis=1)


def main() -> None:
    folder = Path(os.environ["MILESTONES_DATA"]) / "omniglot"
    found: dict[tuple[str, int], dict[int, np.ndarray]] = {}
    sets: list[set[str]] = []
    for number in (1, 2):
        sets.append(set())
        with zipfile.ZipFile(folder / f"images_background_small{number}.zip") as archive:
            for name in sorted(archive.namelist()):
                if match := re.fullmatch(r"[^/]+/([^/]+)/character(\d+)/\d+_(\d+)\.png", name):
                    sets[-1].add(match[1])
                    found.setdefault((match[1], int(match[2])), {})[int(match[3])] = bits(archive.read(name))
    keys = sorted(found)
    assert all(sorted(found[key]) == list(range(1, DRAWERS + 1)) for key in keys)
    names = sorted({alphabet for alphabet, _ in keys})
    run_image = np.zeros((RUNS, 2, WAY, SIDE, (SIDE + 7) // 8), np.uint8)
    run_answer = np.zeros((RUNS, WAY), np.uint8)
    with zipfile.ZipFile(folder / "all_runs.zip") as archive:
        for run in range(RUNS):
            top = f"run{run + 1:02d}"
            for k in range(WAY):
                run_image[run, 0, k] = bits(archive.read(f"{top}/training/class{k + 1:02d}.png"))
                run_image[run, 1, k] = bits(archive.read(f"{top}/test/item{k + 1:02d}.png"))
            pairs = re.findall(r"item(\d+)\.png \S+class(\d+)\.png", archive.read(f"{top}/class_labels.txt").decode())
            assert len(pairs) == WAY
            for item, kind in pairs:
                run_answer[run, int(item) - 1] = int(kind) - 1
    assert all(sorted(answers) == list(range(WAY)) for answers in run_answer.tolist())
    np.savez_compressed(
        PATH,
        image=np.stack([np.stack([found[key][k + 1] for k in range(DRAWERS)]) for key in keys]),
        alphabet=np.array([names.index(alphabet) for alphabet, _ in keys], np.uint8),
        character=np.array([character for _, character in keys], np.uint8),
        names=np.array(names),
        sets=np.array([[name in one for name in names] for one in sets]),
        run_image=run_image,
        run_answer=run_answer,
    )
    size = PATH.stat().st_size
    print(f"{PATH.name}: {len(keys)} characters of {len(names)} alphabets, {RUNS} runs, {size / 1e6:.2f} MB")
    assert size <= MOST


if __name__ == "__main__":
    main()
