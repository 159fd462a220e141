"""Characters with the paths that the pens took, of Omniglot's small background sets; and its official runs, without."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place
from ..parts.strokes import along, centred, laid_along, shares
from .omniglot import OFFICIAL, RUNS, WAY

FINE = 2  # steps of a pixel in what ships
DRAWERS = 20
MOST = 5  # strokes of a drawing that is compared stroke by stroke
SHAPE = 8  # points of a stroke while strokes are told apart
FAR = 0.45  # root mean square distance, in sizes of a drawing: farther strokes were drawn in another way


class Written(NamedTuple):
    """Two drawings of a character each, by two people; point i of one was drawn as point i of the other."""

    image: Tensor  # B 2 H w uint8, a bit a pixel
    point: Tensor  # B 2 P 2 float, as parts.strokes.Drawing has them; 0 where the paths are not known
    stroke: Tensor  # B 2 P int64; -1 where the paths are not known
    label: Tensor  # B int64: which character
    group: Tensor  # B int64: it is told from the characters of the same group only


def written(place: Place, background: str = "first", points: int = 48) -> Data[Written]:
    """Omniglot's small background set of five alphabets, "first" or "second", with the pens' paths.

    Train: pairs of drawings of a character whose strokes can be told to be the same, whatever their order. Valid: such
    pairs of the alphabets that only the other set has. Test: the pictures of the 20 official runs, the drawing to learn
    from before the one to name. UserError: data of the user's own, which have no paths.
    """
    choice = place.choice
    if choice.data or choice.target or choice.split:
        given = {"--data": choice.data, "--target": choice.target, "--split": choice.split}
        got = next(f"{name} {value}" for name, value in given.items() if value)
        do = "Leave it out; name a folder of classes in: use --learn"
        raise UserError("Omniglot as it ships: a picture has no pen's path to learn from", got, do, "data")
    train, valid, test, note = _packed(background, points)
    digest = hashlib.sha256()
    for part in (train, valid, test):
        for field in part:
            digest.update(np.ascontiguousarray(field))
    counts = {"train": len(train.label), "valid": len(valid.label), "test": len(test.label)}
    name = f"Omniglot's {background} five alphabets, with strokes"
    facts: Facts = {"kind": "pictures", "points": points,
                    "data": {"name": name, **counts, "sha256": digest.hexdigest(), "note": note}}  # fmt: skip
    return Data(Held(train, place, "Omniglot's strokes", "train"), Held(valid, place, "Omniglot's strokes", "valid"),
                Held(test, place, OFFICIAL, "test"), facts)  # fmt: skip


@lru_cache(maxsize=2)
def _packed(background: str, points: int) -> tuple[Written, Written, Written, str]:
    with np.load(Path(__file__).with_name("omniglot.npz"), allow_pickle=False) as archive:
        packed = {name: archive[name] for name in archive.files}
    number, of = ("first", "second").index(background), packed["alphabet"]
    learned, other = packed["sets"][number], packed["sets"][1 - number] & ~packed["sets"][number]
    paths = drawings()
    train, valid = (_pairs(packed["image"], paths, np.flatnonzero(on[of]), points) for on in (learned, other))
    asked, answer = packed["run_image"], packed["run_answer"].astype(np.int64)
    known = np.stack([asked[run, 0][answer[run]] for run in range(RUNS)])  # in the order of the questions
    image = torch.from_numpy(np.stack([known, asked[:, 1]], 2).reshape(RUNS * WAY, 2, *asked.shape[3:]))
    count = len(image)
    test = Written(image, torch.zeros(count, 2, points, 2), torch.full((count, 2, points), -1),
                   torch.arange(count), torch.arange(count) // WAY)  # fmt: skip
    said, rest = (
        ", ".join(name.replace("_", " ") for name, one in zip(packed["names"].tolist(), on, strict=True) if one)
        for on in (learned, other)
    )
    note = f"Omniglot (MIT, Brenden Lake), its {background} small background set: {said}; settings are chosen on {rest}"
    return train, valid, test, note


@lru_cache(maxsize=1)
def drawings() -> list[list[np.ndarray]]:
    """The strokes of each drawing that ships, character by character, x before y downwards, in pixels."""
    with np.load(Path(__file__).with_name("strokes.npz"), allow_pickle=False) as archive:
        point, points, strokes = (archive[name] for name in ("point", "points", "strokes"))
    each = np.split(point.astype(np.float64) / FINE, np.cumsum(points.astype(int))[:-1])
    ends = np.cumsum(strokes.astype(int)).tolist()
    return [each[end - int(n) : end] for end, n in zip(ends, strokes, strict=True)]


def matched(one: list[np.ndarray], other: list[np.ndarray]) -> list[np.ndarray] | None:
    """The strokes of `other` in the order and directions of those of `one`; None where they are not the same."""
    if len(one) != len(other) or len(one) > MOST:
        return None

    def shapes(strokes: list[np.ndarray]) -> np.ndarray:
        each = torch.from_numpy(np.concatenate([along(path, SHAPE) for path in strokes]))
        return centred(each[None])[0].numpy().reshape(len(strokes), SHAPE, 2)

    a, b = shapes(one), shapes(other)
    far = np.stack([((a[:, None] - way[None]) ** 2).sum(-1).mean(-1) for way in (b, b[:, ::-1])])  # 2 S S
    ways = np.array(list(permutations(range(len(one)))))
    sums = far.min(0)[np.arange(len(one)), ways].mean(1)
    if sums.min() > FAR**2:
        return None
    best = ways[sums.argmin()].tolist()
    return [other[j] if far[0, k, j] <= far[1, k, j] else other[j][::-1] for k, j in enumerate(best)]


def _pairs(image: np.ndarray, paths: list[list[np.ndarray]], rows: np.ndarray, points: int) -> Written:
    """Each drawing with the next person's of the same character, where their strokes are the same."""
    images, point, stroke, label = [], [], [], []
    for place, row in enumerate(rows.tolist()):
        for k in range(DRAWERS):
            ends = (k, (k + 1) % DRAWERS)
            one, other = (paths[row * DRAWERS + who] for who in ends)
            again = matched(one, other)
            if again is None or len(one) > points:
                continue
            count = shares(one, points)
            both = [laid_along(drawn, points, count) for drawn in (one, again)]
            images.append(image[row][list(ends)])
            point.append(np.stack([xy for xy, _ in both]))
            stroke.append(np.stack([which for _, which in both]))
            label.append(place)
    return Written(
        torch.from_numpy(np.stack(images)),
        centred(torch.from_numpy(np.concatenate(point)).float()).unflatten(0, (-1, 2)),
        torch.from_numpy(np.stack(stroke)).long(),
        torch.tensor(label),
        torch.zeros(len(label)).long(),
    )
