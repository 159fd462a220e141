"""Pictures of classes: the embedded digits, MNIST, Fashion-MNIST, USPS, and folders, lists and arrays of the
user's."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.source import Data, Facts, Held, Place
from ..media.image import Image
from . import Labelled
from .arrays import USPS_COUNTS, Stack, idx_file, idx_folder, idx_pair, npz, usps, usps_file
from .fetch import DATASETS, IDX, cache, content_hash
from .listing import decoded, few, listing, ordered
from .splits import FINAL, divide, shares

SPLITS = ("train", "valid", "test")
NAMES = ("digits", "mnist", "fashion", "usps")
HELD_OUT = {"mnist": 5000, "fashion": 5000, "usps": 1000}  # validated on: the last ones of the training set
DEBIAN = Path("/usr/share/datasets")  # where Debian's dataset-fashion-mnist lies
EMBEDDED = "embedded digits (MNIST training images, writers shared across the split; not comparable with MNIST test)"

Augment = Callable[[Labelled, torch.Generator], Labelled]


def pictures(place: Place, default: str = "digits", side: int = 28, augment: Augment | None = None) -> Data[Labelled]:
    """The data set that the user chose, else `default`: grey pictures "B 1 side side" and their classes.

    Facts: kind, labels, mean and spread (of the training set's grey levels), side, channels, reading ("ink" or
    "resize"), box (pixels of the larger side of the ink, for digits) and data (counts, sha256, note). `augment`
    changes training batches only. UserError: anything wrong with the data, the first problem found.
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
        stacks, titles, facts = _own(Path(name), choice.target, choice.split, side)
    stacks = {split: _fitted(stack, name, side, facts) for split, stack in stacks.items()}
    if choice.split == FINAL:
        train, valid = stacks["train"], stacks["valid"]
        stacks["train"] = Stack(np.concatenate([train.image, valid.image]), np.concatenate([train.label, valid.label]))
        titles["valid"] += " (seen in training)"
        facts["data"]["notes"].append("the validation images are learned from, too (--split final)")
    if "{}" in titles["test"]:
        titles["test"] = titles["test"].format(f"{len(stacks['train'].label):,}")
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(np.ascontiguousarray(stacks[split].image))
        digest.update(np.ascontiguousarray(stacks[split].label))
    mean, spread = _levels(stacks["train"].image)
    data = facts.pop("data")
    counts = {split: len(stacks[split].label) for split in SPLITS}
    note = "; ".join(data["notes"])
    facts = {
        "kind": "pictures", "labels": facts.pop("labels"), "mean": mean, "spread": spread,
        "side": side, "channels": 1, **facts,
        "data": {"name": data["name"], **counts, "sha256": digest.hexdigest(), "note": note},
    }  # fmt: skip
    held = []
    for split in SPLITS:
        image, label = torch.from_numpy(stacks[split].image)[:, None], torch.from_numpy(stacks[split].label)
        change = augment if split == "train" else None
        held.append(Held(Labelled(image, label), place, titles[split], split, change))
    return Data(held[0], held[1], held[2], facts)


def seen(facts: Facts, images: Sequence[Image]) -> Tensor:
    """The user's pictures as the model reads them: uint8 "B 1 side side". Digits are found, scaled and centred as
    MNIST was made; other pictures are scaled whole, as in training. UserError: a picture without ink."""
    from ..media.ink import find_ink

    side = facts["side"]
    if type(side) is not int or not 1 <= side <= 1024:
        raise UserError(
            "facts.json with a side of 1 to 1,024 pixels", repr(side)[:40], "Restore the file or train again"
        )
    if facts["reading"] == "ink":
        frames = [find_ink(image, side, facts.get("box")) for image in images]
    else:
        frames = [Image(image.grey()).resized(side, side).pixels for image in images]
    return torch.from_numpy(np.stack(frames))[:, None]


def _levels(image: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of grey levels, from their counts: exact and in little memory."""
    counts = np.zeros(256, np.int64)
    for begin in range(0, len(image), 1000):
        counts += np.bincount(image[begin : begin + 1000].reshape(-1), minlength=256)
    levels, total = np.arange(256), counts.sum()
    mean = (counts * levels).sum() / total
    spread = np.sqrt((counts * (levels - mean) ** 2).sum() / total)
    return float(mean), max(float(spread), 1e-3)


def _fitted(stack: Stack, name: str, side: int, facts: Facts) -> Stack:
    """The stack at `side` x `side`, ink in its customary box, which `facts` then tells; labels as int64."""
    image, height = stack.image, stack.image.shape[1]
    note = ""
    if image.shape[1:] != (side, side):
        if name == "usps":
            facts["box"] = inner = round(side * 20 / 28)
            image = np.pad(_resized(image, inner), ((0, 0), *((_margins(side - inner),) * 2)))
            note = f"16 x 16 scaled to {inner} x {inner} inside {side} x {side}, as MNIST is laid out"
        elif facts["reading"] == "ink" and side < height:
            facts["box"] = 20 * side / 24
            image = _area(image[:, 2:-2, 2:-2], side)
            note = f"the middle 24 x 24 of 28 x 28 scaled to {side} x {side}"
        else:
            facts["box"] = 20 * side / 28
            image = _resized(image, side)
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


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    out = np.empty((len(image), side, side), np.uint8)
    for i, frame in enumerate(image):
        out[i] = Pillow.fromarray(frame).resize((side, side), Pillow.Resampling.BILINEAR)
    return out


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


def _own(path: Path, target: str, split: str, side: int) -> tuple[dict[str, Stack], dict[str, str], Facts]:
    """The user's own pictures, divided by their official splits, else by content."""
    if not path.exists():
        do = nearest(str(path), NAMES, f"Check the path, or name one of {', '.join(NAMES)}")
        raise UserError("a folder, a list or arrays of pictures", f"{path}, which does not exist", do, "data")
    found, notes = arrays(path), []
    if found is not None:
        if "train" not in found:  # only a test set, or only a whole: divided as the user's own
            found = {"": next(iter(found.values()))}
        images = [stack.image for stack in found.values()]
        image = np.concatenate([one if one.shape[1:] == (side, side) else _resized(one, side) for one in images])
        labels = [str(label) for stack in found.values() for label in stack.label.tolist()]
        splits = [where for where, stack in found.items() for _ in stack.label]
        keys = [hashlib.blake2b(frame.tobytes(), digest_size=8).digest() for one in images for frame in one]
        _check_arrays(path, labels, splits)
    else:
        listed = listing(path, target)
        if listed.problems:
            raise listed.problems[0]
        labels, splits, keys, notes = listed.labels, listed.splits, [], listed.notes
        image = np.empty((len(labels), side, side), np.uint8)
        for i, (frame, key, problem) in enumerate(decoded(listed.paths, side)):
            if problem:
                raise problem
            image[i] = frame
            keys.append(key)
    names = ordered(labels)
    number = {label: k for k, label in enumerate(names)}
    label, where = np.array([number[label] for label in labels]), np.array(splits)
    part = divided(keys, label, where, split, path)
    stacks = {name: Stack(image[part == k], label[part == k]) for k, name in enumerate(("train", "valid", "test"))}
    for name, stack in stacks.items():
        if not len(stack.label):
            raise UserError("different pictures for each split", f"none for {name} in {path}", "Add pictures", "data")
    title = path.resolve().name
    how = "its own splits" if (where != "").any() else "by content within each class"
    notes = [note for note in [*notes[:3], f"split: {how}", f"whole pictures scaled to {side} x {side} grey"] if note]
    facts: Facts = {"labels": names, "reading": "resize", "data": {"name": title, "notes": notes}}
    return stacks, dict.fromkeys(stacks, title), facts


def arrays(path: Path) -> dict[str, Stack] | None:
    """The stacks of a .npz, of IDX files or of the USPS digits; None where `path` is none of these."""
    if path.is_dir():
        if usps_file(path, "zip.train"):
            return usps(path)
        return idx_folder(path) or None
    if path.suffix.lower() == ".npz":
        return npz(path)
    if path.name.startswith(("zip.train", "zip.test")):
        return usps(path)
    if "-ubyte" in path.name:
        return idx_folder(path.parent) or None
    return None


def _check_arrays(path: Path, labels: list[str], splits: list[str]) -> None:
    counts = Counter(label for label, split in zip(labels, splits, strict=True) if split in ("", "train"))
    unknown = ordered(set(labels) - set(counts))
    if unknown:
        got = f"{unknown[0]!r} only in valid or test of {path}"
        raise UserError("classes that are in train", got, "Add training pictures of this class, or remove it", "data")
    if len(counts) < 2:
        raise UserError("pictures of at least two classes", f"{len(counts)} in {path}", "Add another class", "data")
    problems: list[UserError] = []
    few(counts, problems, 1 + len({"valid", "test"} - set(splits)))
    if problems:
        raise problems[0]


def divided(keys: list[bytes], label: np.ndarray, where: np.ndarray, split: str, path: Path) -> np.ndarray:
    """For each example 0, 1 or 2: official splits as they are, what they lack taken from train."""
    parts = shares(split)
    if not (where != "").any():
        return divide(keys, label, parts)
    if split not in ("", FINAL):
        do = "Leave --split out, or put all pictures into one folder per class"
        raise UserError(f"no percentages for {path}, which has splits of its own", f"--split {split}", do, "data")
    part = np.select([where == "valid", where == "test"], [1, 2], 0)
    rest = np.flatnonzero(part == 0)
    lacking = (0.8, 0.0 if (part == 1).any() else 0.1, 0.0 if (part == 2).any() else 0.1)
    part[rest] = divide([keys[i] for i in rest], label[rest], lacking)
    return part
