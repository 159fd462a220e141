"""Characters of many alphabets, each drawn by 20 people (Omniglot); or the user's own classes, each a few pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place, keyed
from ..media.image import SUFFIXES, Image
from ..media.ink import FAINTEST, at_work, contrast, laid_out, levels, otsu, widened
from ..media.pieces import pieces
from ..parts.distort import distort
from .listing import entries, subfolders
from .splits import SPLITS

SIDE, BOX = 28, 20.0  # of a picture, and of the larger side of its ink, in pixels
FULL = 105  # pixels of a side of Omniglot's own pictures
RUNS, WAY = 20, 20  # of the official test, and of the one for validation that is made like it
SPECK = 0.02  # of the largest piece of ink: smaller ones are dirt
LEAST = 2  # pictures of a class to learn from: one to know it by, one to ask about
MOST = 20  # pictures of a class of the user's that are kept; Omniglot has as many
FEWEST = 6  # classes of the user's: two each to train, to validate and to test
OFFICIAL = "Omniglot, the 20 official one-shot runs"

Change = Callable[["Drawn", torch.Generator], "Drawn"]


class Drawn(NamedTuple):
    """Drawings of characters, as many of each."""

    image: Tensor  # B S 1 H W uint8: S drawings of one character, ink light on 0
    label: Tensor  # B int64: which character
    group: Tensor  # B int64: it is told from the characters of the same group only


def omniglot(place: Place, background: str = "first", augment: Change | None = None) -> Data[Drawn]:
    """Omniglot's small background set of five alphabets, "first" or "second"; else the user's folder of classes.

    Train: characters with all their drawings, in one group. Valid: 20 runs of 20 characters of one alphabet, of those
    that only the other set has, each as its drawings by two people. Test: the 20 official runs, the drawing to learn
    from before the one to name. Of a folder each split has classes of its own. `augment` changes training batches only.
    Facts: kind, characters (names of the training ones), mean and spread (of the training levels), side, and data.
    UserError: anything wrong with the folder.
    """
    choice = place.choice
    if choice.split or choice.target:
        got = f"--split {choice.split}" if choice.split else f"--target {choice.target}"
        raise UserError("no --split and no --target: classes to test are never learned", got, "Leave it out", "data")
    if choice.data:
        names, parts, data = _own(Path(choice.data))
        titles = dict.fromkeys(SPLITS, Path(choice.data).name)
    else:
        names, parts, data = _embedded(background)
        titles = {"train": "Omniglot", "valid": "Omniglot, 20 made runs", "test": OFFICIAL}
    digest = hashlib.sha256()
    for split in SPLITS:
        for field in parts[split]:
            digest.update(np.ascontiguousarray(field))
    ink = parts["train"].image.float()
    counts = {split: len(parts[split].label) for split in SPLITS}
    facts: Facts = {
        "kind": "pictures", "characters": names, "mean": float(ink.mean()), "spread": float(ink.std()), "side": SIDE,
        "data": {"name": data["name"], **counts, "sha256": digest.hexdigest(), "note": data["note"], "shifted": True},
    }  # fmt: skip
    held = [Held(parts[split], place, titles[split], split, augment if split == "train" else None) for split in SPLITS]
    return Data(held[0], held[1], held[2], facts)


@lru_cache(maxsize=2)
def _embedded(background: str) -> tuple[list[str], dict[str, Drawn], dict[str, str]]:
    """Names of the training characters, the three splits, and what to say of them."""
    with np.load(Path(__file__).with_name("omniglot.npz"), allow_pickle=False) as archive:
        packed = {name: archive[name] for name in archive.files}
    number = ("first", "second").index(background)
    alphabets, of = packed["names"].tolist(), packed["alphabet"]
    learned, other = packed["sets"][number], packed["sets"][1 - number] & ~packed["sets"][number]
    rows = np.flatnonzero(learned[of])
    names = [f"{alphabets[of[k]]} {packed['character'][k]}" for k in rows]
    image = sheets(unpacked(packed["image"][rows])).reshape(len(rows), -1, 1, SIDE, SIDE)
    train = Drawn(torch.from_numpy(image), torch.arange(len(rows)), torch.zeros(len(rows), dtype=torch.long))
    rng, fresh = keyed("runs", background), np.flatnonzero(other).tolist()
    picked, group = [], []
    for run in range(RUNS):
        those = np.flatnonzero(of == fresh[run % len(fresh)])
        kinds = torch.randperm(len(those), generator=rng)[:WAY].tolist()
        people = torch.randperm(packed["image"].shape[1], generator=rng)[:2].tolist()
        picked += [packed["image"][those[k]][people] for k in kinds]
        group += [run] * len(kinds)
    valid = _pairs(np.stack(picked), group)
    asked, answer = packed["run_image"], packed["run_answer"].astype(np.int64)
    known = np.stack([asked[run, 0][answer[run]] for run in range(RUNS)])  # in the order of the questions
    both = np.stack([known, asked[:, 1]], 2).reshape(RUNS * WAY, 2, *asked.shape[3:])
    test = _pairs(both, np.repeat(np.arange(RUNS), WAY).tolist())
    said = ", ".join(name.replace("_", " ") for name, on in zip(alphabets, learned, strict=True) if on)
    rest = ", ".join(alphabets[k].replace("_", " ") for k in fresh)
    note = f"Omniglot (MIT, Brenden Lake), its {background} small background set: {said}; settings are chosen on {rest}"
    data = {"name": f"Omniglot's {background} five alphabets", "note": note}
    return names, {"train": train, "valid": valid, "test": test}, data


def _pairs(packed: np.ndarray, group: Sequence[int]) -> Drawn:
    """Characters in two drawings each, from their bits "N 2 H w"."""
    image = sheets(unpacked(packed)).reshape(len(packed), 2, 1, SIDE, SIDE)
    return Drawn(torch.from_numpy(image), torch.arange(len(packed)), torch.tensor(group))


def unpacked(packed: UInt8[np.ndarray, "... H w"]) -> np.ndarray:
    """The ink of pictures that are kept a bit a pixel, "... H W" of 0 and 1."""
    return np.unpackbits(packed, axis=-1, count=FULL)


def sheets(ink: np.ndarray) -> UInt8[np.ndarray, "N h w"]:
    """Pictures "... H W" of 0 and 1 laid out as `seen` lays out the user's, in one row."""
    return np.stack([laid(one) for one in ink.reshape(-1, *ink.shape[-2:]).astype(np.float32)])


def laid(level: np.ndarray, side: int = SIDE, box: float = BOX) -> UInt8[np.ndarray, "h w"]:
    """Ink levels "H W" from 0 to 1: the box around the ink scaled to the sheet, thin pens widened, its centre of mass
    in the middle. Where on its paper something was drawn, and how large, is not what it is."""
    rows, columns = np.flatnonzero(level.max(1) > 0.05), np.flatnonzero(level.max(0) > 0.05)
    level = level[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return laid_out(widened(level, box, side), side, box)


def seen(images: Sequence[Image], side: int = SIDE, box: float = BOX) -> UInt8[Tensor, "B 1 h w"]:
    """The user's pictures as the model reads them. All ink counts, however far apart its pieces are. UserError: a
    picture without ink."""
    return torch.from_numpy(np.stack([laid(_ink(image), side, box) for image in images]))[:, None]


def _ink(image: Image) -> np.ndarray:
    """The levels of a picture's ink; specks are left out. Ruled lines stay: a long straight stroke looks the same."""
    ink, noise = contrast(at_work(image))
    peak = float(np.percentile(ink, 99.6))
    if peak < 0.5 * float(ink.max()):  # very little ink: its darkest pixels are rarer than that
        peak = float(np.sort(ink, axis=None)[-max(4, ink.size // 1500) :].mean())
    if peak < max(FAINTEST, 5 * noise):
        got = f"one without ink (at most {peak:.0f} grey levels between it and the paper)"
        raise UserError("a picture with one drawing in it", got, "Draw larger or darker", "use")
    mask = ink > max(min(otsu(ink), 0.7 * peak), 0.38 * peak, min(3.5 * noise, 0.6 * peak))
    found = pieces(mask)
    keep = found.area >= max(1.0, SPECK * float(found.area.max()))
    return levels(ink, noise, keep[found.label] & (found.label >= 0))


def classes(folder: Path, who: str = "data") -> dict[str, list[Image]]:
    """The pictures in each folder of `folder`, by its name; one picture of a class is enough. UserError: no such
    folder, fewer than two classes, a class without pictures, a picture that cannot be read."""
    do = "Name a folder that holds a folder of pictures for each class"
    if not folder.is_dir():
        got = f"{folder}, which is no folder" if folder.exists() else f"{folder}, which does not exist"
        raise UserError("a folder of classes", got, do, who)
    found: dict[str, list[Image]] = {}
    for one in subfolders(folder):
        files = [file for file in entries(one) if file.suffix.lower() in SUFFIXES and not file.is_dir()]
        if not files:
            raise UserError("pictures of each class", f"none in {one}", "Add a picture, or remove the folder", who)
        found[one.name] = [Image.open(file) for file in files[:MOST]]
    if len(found) < 2:
        raise UserError("two classes or more to tell apart", f"{len(found)} in {folder}", do, who)
    return found


def _own(folder: Path) -> tuple[list[str], dict[str, Drawn], dict[str, str]]:
    """The user's classes, divided by their names' hashes into those to train, to validate and to test."""
    found = classes(folder)
    few = [name for name, images in found.items() if len(images) < LEAST]
    if few:
        do = "Add a picture of it, or keep it for: use --learn, where one is enough"
        raise UserError(f"{LEAST} pictures or more of each class to train with", f"one of {few[0]!r}", do, "data")
    if len(found) < FEWEST:
        got, do = f"{len(found)} in {folder}", "Add classes, or name this folder in: use --learn"
        raise UserError(f"{FEWEST} classes or more, since those to test are never learned", got, do, "data")
    order = sorted(found, key=lambda name: hashlib.blake2b(name.encode()).digest())
    held = max(2, len(order) // 5)
    names = {"valid": order[:held], "test": order[held : 2 * held], "train": sorted(order[2 * held :])}
    parts = {}
    for split in SPLITS:
        count = max(len(found[name]) for name in names[split]) if split == "train" else 2
        drawn = [seen(found[name]) for name in names[split]]
        image = torch.stack([one[torch.arange(count) % len(one)] for one in drawn])
        parts[split] = Drawn(image, torch.arange(len(drawn)), torch.zeros(len(drawn), dtype=torch.long))
    note = f"{len(found)} classes, divided by name; of each at most {MOST} pictures"
    return names["train"], parts, {"name": folder.name, "note": note}


def redrawn(shots: int, turn: bool, **ranges: float) -> Change:
    """A change of training batches: `shots` and one drawings of each character, at random, each distorted by itself;
    with `turn`, each character turned by its own quarter turns, which makes another one of it."""

    def change(batch: Drawn, rng: torch.Generator) -> Drawn:
        image, label, group = batch
        b, s = image.shape[:2]
        pick = torch.rand(b, s, generator=rng).argsort(1)[:, : shots + 1].to(image.device)
        image = image[torch.arange(b, device=image.device)[:, None], pick]
        if turn:
            quarter = torch.randint(0, 4, (b,), generator=rng).to(image.device)
            for k in range(1, 4):
                image[quarter == k] = image[quarter == k].rot90(k, (3, 4))
            label = 4 * label + quarter
        if any(ranges.values()):
            image = distort(image.flatten(0, 1), rng, **ranges).unflatten(0, image.shape[:2])
        return Drawn(image, label, group)

    return change
