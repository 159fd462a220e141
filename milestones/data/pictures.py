"""Pictures of classes: the embedded digits, MNIST, Fashion-MNIST, USPS, and folders, lists and arrays of the
user's."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place
from ..media.image import Image
from . import Labelled
from .arrays import USPS_COUNTS, Stack, idx_file, idx_folder, idx_pair, npz, resized, usps, usps_file
from .fetch import DATASETS, IDX, cache, content_hash
from .kinds import of_series
from .own import own
from .splits import FINAL, SPLITS

NAMES = ("digits", "mnist", "fashion", "usps")
HELD_OUT = {"mnist": 5000, "fashion": 5000, "usps": 1000}  # validated on: the last ones of the training set
DEBIAN = Path("/usr/share/datasets")  # where Debian's dataset-fashion-mnist lies
EMBEDDED = "embedded digits (MNIST training images, writers shared across the split; not comparable with MNIST test)"

Augment = Callable[[Labelled, torch.Generator], Labelled]


def pictures(place: Place, default: str = "digits", side: int = 28, augment: Augment | None = None,
             colour: bool = False) -> Data[Labelled]:  # fmt: skip
    """The data set that the user chose, else `default`: grey pictures "B 1 side side" and their classes.

    With `colour`, pictures in files of the user's come as "B 3 side side", the middle square of each. Facts: kind,
    labels, counts (training examples of each), mean and spread (of the training set's levels), side, channels, reading
    ("ink", "resize" or "square"), box (pixels of the larger side of the ink, for digits) and data (counts, sha256,
    note). `augment` changes training batches only. UserError: anything wrong with the data, the first problem found.
    """
    choice = place.choice
    name = choice.data or default
    name, whole = (name, None) if name in NAMES and not (choice.data and Path(name).exists()) else _known(Path(name))
    if name in NAMES:
        if choice.split not in ("", FINAL):
            got = f"--split {choice.split}"
            raise UserError(f"no percentages for {name}, whose split is fixed", got, "Leave it out, or say final", name)
        stacks, titles, facts = _digits() if name == "digits" else _published(name, whole or _at_hand(name))
    else:
        if of_series(name):
            raise UserError("pictures", f"series in {name}", f"They are for lstm: milestones train {name}", "data")
        stacks, titles, facts = own(Path(name), choice, side, colour)
    stacks = {split: _fitted(stack, name, side, facts) for split, stack in stacks.items()}
    if choice.split == FINAL:
        train, valid = stacks["train"], stacks["valid"]
        stacks["train"] = Stack(np.concatenate([train.image, valid.image]), np.concatenate([train.label, valid.label]))
        titles["valid"] += " (seen in training)"
        facts["data"]["notes"].append("the validation images are learned from, too (--split final)")
    if "{}" in titles["test"]:
        titles["test"] = titles["test"].format(f"{len(stacks['train'].label):,}")
    data = facts.pop("data")
    if "sha256" not in data:  # that of pictures in files was made from the files
        digest = hashlib.sha256()
        for split in SPLITS:
            digest.update(np.ascontiguousarray(stacks[split].image))
            digest.update(np.ascontiguousarray(stacks[split].label))
        data["sha256"] = digest.hexdigest()
    mean, spread = _levels(stacks["train"].image)
    channels = stacks["train"].image.shape[1] if stacks["train"].image.ndim == 4 else 1
    counts = {split: len(stacks[split].label) for split in SPLITS}
    note = "; ".join(data["notes"])
    labels = facts.pop("labels")
    facts = {
        "kind": "pictures", "labels": labels, "counts": np.bincount(stacks["train"].label, None, len(labels)).tolist(),
        "mean": mean, "spread": spread, "side": side, "channels": channels, **facts,
        "data": {"name": data["name"], **counts, "sha256": data["sha256"], "note": note},
    }  # fmt: skip
    held = []
    for split in SPLITS:
        image, label = torch.from_numpy(stacks[split].image), torch.from_numpy(stacks[split].label)
        image = image if image.dim() == 4 else image[:, None]
        change = augment if split == "train" else None
        held.append(Held(Labelled(image, label), place, titles[split], split, change))
    return Data(held[0], held[1], held[2], facts)


def seen(facts: Facts, images: Sequence[Image]) -> Tensor:
    """The user's pictures as the model reads them: uint8 "B C side side". Digits are found, scaled and centred as
    MNIST was made; other pictures are scaled as in training. UserError: a picture without ink."""
    from ..media.ink import find_ink

    side = facts["side"]
    if type(side) is not int or not 1 <= side <= 1024:
        raise UserError(
            "facts.json with a side of 1 to 1,024 pixels", repr(side)[:40], "Restore the file or train again"
        )
    if facts["reading"] == "square":
        return torch.from_numpy(np.stack([image.square(side).pixels.transpose(2, 0, 1) for image in images]))
    if facts["reading"] == "ink":
        frames = [find_ink(image, side, facts.get("box")) for image in images]
    else:
        frames = [Image(image.grey()).resized(side, side).pixels for image in images]
    return torch.from_numpy(np.stack(frames))[:, None]


def _levels(image: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the levels, from their counts: exact and in little memory; of a large set in
    colour, over every so many pictures."""
    image = image[:: max(1, len(image) // 20_000)] if image.ndim == 4 else image
    counts = np.zeros(256, np.int64)
    block = max(1, 2**22 // image[0].size)
    for begin in range(0, len(image), block):
        counts += np.bincount(image[begin : begin + block].reshape(-1), minlength=256)
    levels, total = np.arange(256), counts.sum()
    mean = (counts * levels).sum() / total
    spread = np.sqrt((counts * (levels - mean) ** 2).sum() / total)
    return float(mean), max(float(spread), 1e-3)


def _fitted(stack: Stack, name: str, side: int, facts: Facts) -> Stack:
    """The stack at `side` x `side`, ink in its customary box, which `facts` then tells; labels as int64."""
    image, height = stack.image, stack.image.shape[1]
    note = ""
    if image.shape[1:] != (side, side) and image.ndim == 3:
        if name == "usps":
            facts["box"] = inner = round(side * 20 / 28)
            image = np.pad(resized(image, inner), ((0, 0), *((_margins(side - inner),) * 2)))
            note = f"16 x 16 scaled to {inner} x {inner} inside {side} x {side}, as MNIST is laid out"
        elif facts["reading"] == "ink" and side < height:
            facts["box"] = 20 * side / 24
            image = _area(image[:, 2:-2, 2:-2], side)
            note = f"the middle 24 x 24 of 28 x 28 scaled to {side} x {side}"
        else:
            facts["box"] = 20 * side / 28
            image = resized(image, side)
            note = f"{image.shape[1]} x {image.shape[1]} scaled from {height} x {stack.image.shape[2]}"
        if note not in facts["data"]["notes"]:
            facts["data"]["notes"].append(note)
    if facts["reading"] != "ink":
        facts.pop("box", None)
    return Stack(np.require(image, requirements=["C", "W"]), stack.label.astype(np.int64))


def _margins(pixels: int) -> tuple[int, int]:
    return pixels // 2, pixels - pixels // 2


def _area(image: np.ndarray, side: int) -> np.ndarray:
    """Square pictures made smaller, each pixel the mean of the area that it covers."""
    height = image.shape[1]
    edges = np.arange(side + 1) * height / side
    pixel = np.arange(height)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weight = (np.maximum(covered, 0) * side / height).astype(np.float32)  # side height
    parts = (image[begin : begin + 1000] for begin in range(0, len(image), 1000))
    return np.concatenate([(weight @ part.astype(np.float32) @ weight.T + 0.5).astype(np.uint8) for part in parts])


def folders() -> list[Path]:
    """Where data sets are looked for: ``$MILESTONES_DATA``, the cache, Debian's folder."""
    named = os.environ.get("MILESTONES_DATA", "")
    return [*([Path(named)] if named else []), cache(), DEBIAN]


def published(name: str, part: str) -> Stack | None:
    """The verified "train" or "t10k" part of mnist or fashion, None if not at hand. UserError: other content."""
    entry = DATASETS[name]
    spellings = (entry["folder"], name, f"{name}-test" if part == "t10k" else f"{name}-train")
    for folder in (root / spelling for root in folders() for spelling in spellings):
        files = []
        for file in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
            files += [
                (folder / (file + end), entry["sha256"][file])
                for end in ("", ".gz")
                if (folder / (file + end)).is_file()
            ][:1]
        if len(files) == 2:
            for path, sha256 in files:
                try:
                    same = content_hash(path) == sha256
                except (OSError, EOFError, zlib.error):
                    same = False
                if not same:
                    do = f"Remove it, then: milestones data {name} --download"
                    raise UserError(f"{entry['title']} as published", f"{path} with other content", do, name)
            return idx_pair(files[0][0], files[1][0])
    return None


def _digits() -> tuple[dict[str, Stack], dict[str, str], Facts]:
    """The embedded digits by position; MNIST's own test set instead of their last 1,000 where it is at hand."""
    with np.load(Path(__file__).with_name("digits10k.npz"), allow_pickle=False) as archive:
        image, label = archive["image"], archive["label"]
    parts = {"train": slice(8000), "valid": slice(8000, 9000), "test": slice(9000, None)}
    stacks = {split: Stack(image[part], label[part]) for split, part in parts.items()}
    notes = ["10,000 MNIST training images (the first; CC BY-SA 3.0, LeCun, Cortes and Burges), "
             "split by position"]  # fmt: skip
    title = EMBEDDED
    official = published("mnist", "t10k")
    if official is not None:
        stacks["test"], title = official, "MNIST test, {} training images"
        notes.append("scored on MNIST's own test set, other writers")
    else:
        notes.append("scored on 1,000 of them, so writers are shared: not comparable with MNIST's test")
    facts = {
        "labels": list("0123456789"),
        "reading": "ink",
        "box": 20.0,
        "data": {"name": "digits", "notes": notes},
    }
    return stacks, {"train": "embedded digits", "valid": "embedded digits", "test": title}, facts


def _at_hand(name: str) -> dict[str, Stack]:
    """Training and test set of mnist, fashion or usps. UserError: not at hand."""
    where = ", ".join(map(str, folders()))
    if name == "usps":
        for root in folders():
            for path in (root / "usps.npz", root / "usps", root):
                if path.is_file() or (path.is_dir() and usps_file(path, "zip.train")):
                    return usps(path)
        do = "Bring zip.train and zip.test and name their folder with --data, or put it there"
        raise UserError("the USPS digits", f"none in {where}", do, "usps")
    train, test = published(name, "train"), published(name, "t10k")
    if train is None or test is None:
        do = f"Fetch them: milestones data {name} --download"
        raise UserError(f"{DATASETS[name]['title']}'s four IDX files", f"not all in {where}", do, name)
    return {"train": train, "test": test}


def _known(path: Path) -> tuple[str, dict[str, Stack] | None]:
    """The name and content of a published data set which the user names by its path; else the path."""
    if path.suffix == ".npz" and path.is_file():
        stacks = npz(path)
        counts = tuple(len(stacks[split].label) for split in ("train", "test") if split in stacks)
        if counts == USPS_COUNTS and stacks["train"].image.shape[1:] == (16, 16):
            return "usps", stacks
    elif path.name.startswith(("zip.train", "zip.test")) or (path.is_dir() and usps_file(path, "zip.train")):
        return "usps", usps(path)
    elif path.is_dir() and (file := idx_file(path, IDX[0])):
        try:
            sha256 = content_hash(file)
        except (OSError, EOFError, zlib.error):
            sha256 = ""  # damaged: reading it will say how
        for name, entry in DATASETS.items():
            if sha256 == entry["sha256"][IDX[0]]:
                stacks = idx_folder(path)
                return (name, stacks) if "test" in stacks else (str(path), None)
    return str(path), None


def _published(name: str, stacks: dict[str, Stack]) -> tuple[dict[str, Stack], dict[str, str], Facts]:
    """MNIST, Fashion-MNIST or USPS: its training set less the last ones, those as valid, its own test set."""
    if name == "usps":
        title, labels = "USPS", tuple("0123456789")
        same = tuple(len(stacks[split].label) for split in ("train", "test")) == USPS_COUNTS
        notes = [("" if same else "not ") + "the paper's 7,291 and 2,007 digits"]
    else:
        title, labels, notes = DATASETS[name]["title"], DATASETS[name]["labels"], []
    train, held = stacks["train"], HELD_OUT[name]
    if len(train.label) <= held:
        raise UserError(f"more than {held:,} training images", f"{len(train.label):,}", "Fetch the set again", name)
    stacks = {"train": Stack(train.image[:-held], train.label[:-held]),
              "valid": Stack(train.image[-held:], train.label[-held:]), "test": stacks["test"]}  # fmt: skip
    facts: Facts = {"labels": list(labels), "reading": "resize" if name == "fashion" else "ink"}
    if name != "fashion":
        facts["box"] = 16.0 if name == "usps" else 20.0
    facts["data"] = {"name": name, "notes": [*notes, f"valid: the last {held:,} of the training set"]}
    return stacks, {"train": title, "valid": title, "test": title + " test, {} training images"}, facts
