"""Draw the README's picture: LeNet, as shipped, reads the thirty pictures of tests/pictures.

python benchmarks/pictures.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import milestones
from milestones.media import Image

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 10

matplotlib.rcParams["font.family"] = "DejaVu Sans"
paths = sorted(path for path in (ROOT / "tests" / "pictures").iterdir() if path.suffix in (".png", ".jpg"))
images = [Image.open(path) for path in paths]
answers = milestones.load("lenet").use(images)
rows = len(paths) // COLUMNS
figure = Figure(figsize=(12, 1.3 * rows), facecolor="white")
for i, (path, image, answer) in enumerate(zip(paths, images, answers, strict=True)):
    row, column = i % rows, i // rows  # a digit a column, since names begin with it
    for k, pixels in enumerate((image.pixels, answer["seen"].pixels)):
        left, bottom = (column + 0.05 + 0.47 * k) / COLUMNS, 1 - (row + 0.78) / rows
        axes = figure.add_axes((left, bottom, 0.43 / COLUMNS, 0.68 / rows))
        flat = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, -1)
        axes.imshow(flat, interpolation="nearest" if k else "antialiased", aspect="equal", vmin=0, vmax=255)
        axes.set_axis_off()
    said, chance = answer["answer"].best, answer["answer"].chances[0]
    right = said == path.name[0]
    figure.text((column + 0.5) / COLUMNS, 1 - (row + 0.9) / rows, f"{said}   {100 * chance:.0f} %", ha="center",
                color="#1a1a1a" if right else "#c0262d", fontsize=11, weight="normal" if right else "bold")  # fmt: skip
target = ROOT / "docs" / "pictures" / "reads.png"
target.parent.mkdir(exist_ok=True)
figure.savefig(target, dpi=90, metadata={"Software": None})
right = sum(a["answer"].best == p.name[0] for a, p in zip(answers, paths, strict=True))
print(f"{right} of {len(paths)} read; drawn to {target.relative_to(ROOT)}")
