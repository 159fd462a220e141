"""Each page made tiny: the only place where the contract tests know a page by name."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Tiny(NamedTuple):
    """Settings with which a page trains in a second, the data that it is given, and inputs that `use` takes."""

    settings: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    data: str = ""  # "digits", "table", or "" for the page's own
    parameters: int | None = None  # of the paper, for ten classes
    texts: tuple[str, ...] = ()  # what `use` takes, of a page that takes words


PAGES = {
    "descent": Tiny({"surface": "himmelblau", "steps": 30, "starts": 16}),
    "perceptron": Tiny({"examples": 120, "inputs": 6, "passes": 30, "margin": 0.01}),
    "roman": Tiny(
        {"largest": 30, "examples": 200, "steps": 20, "batch": 16, "hidden": 16}, texts=("XIV + VIII", "3+4", "i+xxx")
    ),
    "parity": Tiny(
        {"bits": 8, "examples": 200, "steps": 12, "batch": 16, "width": 6, "hidden": 8}, texts=("10110", "0", "1 1 0")
    ),
    "mlp": Tiny({"steps": 40, "batch": 16, "hidden": [8]}, "table"),
    "lenet1989": Tiny({"passes": 6}, "digits", 9760),
    "lenet": Tiny({"steps": 30, "batch": 16}, "digits", 61706),
    "zipcode": Tiny({"lines": 120, "single_steps": 8, "steps": 16, "batch": 8, "width": 4}, "digits"),
    "alexnet": Tiny({"steps": 16, "batch": 8, "crop": 24, "side": 26}, "digits"),
    "depth": Tiny(
        {
            "steps": 8,
            "wave_steps": 8,
            "start_steps": 6,
            "start_layers": 4,
            "start_width": 8,
            "batch": 16,
            "weights": 400,
            "wave_weights": 40,
            "layers": [1, 2],
        },
        "digits",
    ),
    "adversarial": Tiny({"steps": 12, "standard_steps": 6, "batch": 16, "width": 4, "examples": 6}, "digits"),
    "resnet": Tiny({"steps": 20, "batch": 8, "width": 4, "side": 16}, "digits"),
    "scenes": Tiny({"scenes": 96, "steps": 20, "batch": 8, "width": 4}),
}


def of(page: str) -> Tiny:
    """What to test a page with. A page that is not in the table fails here: add its line."""
    return PAGES[page]


def data(kind: str, folder: Path) -> tuple[str, str]:
    """The path of the data of a kind, made when missing, and the target column."""
    if kind == "digits":
        return str(digits(folder / "some-digits.npz")), ""
    if kind == "table":
        return str(table(folder / "some-rows.csv")), "kind"
    return "", ""


def digits(path: Path, count: int = 300) -> Path:
    """The first embedded digits as an .npz."""
    if not path.exists():
        import milestones.data

        with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
            np.savez(path, image=archive["image"][:count], label=archive["label"][:count])
    return path


def table(path: Path, count: int = 120) -> Path:
    """Rows of two kinds that two numbers and a category tell apart, a few cells missing."""
    if not path.exists():
        rng = random.Random(0)
        with open(path, "w", newline="", encoding="utf-8") as file:
            write = csv.writer(file)
            write.writerow(["length", "width", "colour", "kind"])
            for i in range(count):
                kind = i % 2
                length = "" if i % 17 == 3 else f"{rng.gauss(3 + 4 * kind, 1):.3f}"
                write.writerow([length, f"{rng.gauss(1 - kind, 0.3):.3f}", rng.choice(["red", "blue"]), "ab"[kind]])
    return path


def inputs(page: str, facts: dict[str, Any], folder: Path) -> list[Path]:
    """Files that `use` takes: a picture of a digit, words, or rows."""
    if facts["kind"] == "text":
        words = folder / f"{page}.txt"
        words.write_text("\n".join(of(page).texts) + "\n", encoding="utf-8")
        return [words]
    if facts["kind"] == "pictures":
        from PIL import Image

        files = []
        with np.load(digits(folder / "some-digits.npz")) as archive:
            for i in range(3):
                big = np.kron(archive["image"][i], np.ones((3, 3), np.uint8))
                files.append(folder / f"digit-{i}.png")
                Image.fromarray(big).save(files[-1])
        return files
    path = folder / "rows-to-use.csv"
    names = [column["name"] for column in facts["columns"]]
    kinds = {column["name"]: column["kind"] for column in facts["columns"]}
    cells = [[str(1 + i) if kinds[name] == "number" else "red" for name in names] for i in range(3)]
    path.write_text("\n".join([",".join(names), *(",".join(row) for row in cells)]) + "\n", encoding="utf-8")
    return [path]
