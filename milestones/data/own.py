"""The user's own pictures: folders, lists and arrays, divided into splits and decoded once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError, nearest
from ..core.source import Choice, Facts
from .arrays import Stack, idx_folder, npz, resized, usps, usps_file
from .fetch import cache
from .kinds import NAMES
from .listing import Listing, check, check_splits, content_keys, decoded, listing, ordered
from .splits import FINAL, SPLITS, divide, shares

MAPPED = 2**26  # bytes of decoded pictures above which they are kept in the cache, as a mapped file


def own(path: Path, choice: Choice, side: int, colour: bool) -> tuple[dict[str, Stack], dict[str, str], Facts]:
    """The user's own pictures, divided by their official splits, else by content: grey "N side side", or with `colour`
    those in files as "N 3 side side". Stacks, titles of the splits and facts."""
    if not path.exists():
        do = nearest(str(path), NAMES, f"Check the path, or name one of {', '.join(NAMES)}")
        raise UserError("a folder, a list or arrays of pictures", f"{path}, which does not exist", do, "data")
    found = arrays(path)
    if found is None:
        listed = listing(path, choice.target)
        if listed.problems:
            raise listed.problems[0]
        return _files(path, listed, choice, side, colour)
    if "train" not in found:  # only a test set, or only a whole: divided as the user's own
        found = {"": next(iter(found.values()))}
    images = [stack.image for stack in found.values()]
    image = np.concatenate([one if one.shape[1:] == (side, side) else resized(one, side) for one in images])
    labels = [str(label) for stack in found.values() for label in stack.label.tolist()]
    splits = [where for where, stack in found.items() for _ in stack.label]
    keys = [hashlib.blake2b(frame.tobytes(), digest_size=8).digest() for one in images for frame in one]
    _check_arrays(path, labels, splits)
    names, label, part = _parts(path, labels, splits, keys, choice.split)
    stacks = {name: Stack(image[part == k], label[part == k]) for k, name in enumerate(SPLITS)}
    notes = [f"whole pictures scaled to {side} x {side} grey"]
    return _whole(path, stacks, splits, notes, {"labels": names, "reading": "resize"})


def _files(path: Path, listed: Listing, choice: Choice, side: int, colour: bool) -> tuple[Any, Any, Facts]:
    """Pictures in files. What cannot be read is left out only where the user said so."""
    keys = content_keys(listed.paths)
    names, label, part = _parts(path, listed.labels, listed.splits, keys, choice.split)
    # Each split is a slice of one array, which may lie in a file; classes mixed, so that its head stands for the whole.
    order = np.array(sorted(range(len(keys)), key=lambda i: (part[i], keys[i])))
    image, problems = _pixels([listed.paths[i] for i in order], [keys[i] for i in order], side, colour)
    if problems:
        if not choice.skip:
            first = next(iter(problems.values()))
            if len(problems) == 1:
                do = f"{first.do}, or leave it out with --skip-unreadable"
                raise UserError(first.expected, first.got, do, "data")
            got = f"{len(problems)} of {len(keys)} that cannot, first {first.got}"
            do = f"'milestones data {path}' lists them: mend or remove them, or train with --skip-unreadable"
            raise UserError("pictures that can be read", got, do, "data")
        bad = {int(order[i]) for i in problems}
        rest = replace(listed, notes=[f"{len(bad)} unreadable pictures left out (--skip-unreadable)", *listed.notes])
        for name in ("paths", "labels", "splits"):
            setattr(rest, name, [value for i, value in enumerate(getattr(listed, name)) if i not in bad])
        lost = ordered(set(listed.labels) - set(rest.labels))
        if lost:
            do = "Mend some of its pictures, or remove the class"
            raise UserError("a readable picture of each class", f"none of {lost[0]!r} in {path}", do, "data")
        check(path, rest)
        if rest.problems:
            raise rest.problems[0]
        return _files(path, rest, choice, side, colour)
    ends = np.searchsorted(part[order], [0, 1, 2, 3])
    stacks = {name: Stack(image[ends[k] : ends[k + 1]], label[order][ends[k] : ends[k + 1]])
              for k, name in enumerate(SPLITS)}  # fmt: skip
    how = f"the middle square of each scaled to {side} x {side}" if colour else f"whole, scaled to {side} x {side} grey"
    facts: Facts = {"labels": names, "reading": "square" if colour else "resize"}
    digest = hashlib.sha256(b"".join(keys[i] for i in order) + label[order].tobytes())
    return _whole(path, stacks, listed.splits, [*listed.notes[:3], how], facts, digest.hexdigest())


def _parts(path: Path, labels: list[str], splits: list[str], keys: list[bytes],
           split: str) -> tuple[list[str], np.ndarray, np.ndarray]:  # fmt: skip
    """Names of the classes; the class and the split (0, 1, 2) of each picture."""
    names = ordered(labels)
    number = {label: k for k, label in enumerate(names)}
    label = np.array([number[label] for label in labels])
    return names, label, divided(keys, label, np.array(splits), split, path)


def _whole(path: Path, stacks: dict[str, Stack], splits: list[str], notes: list[str], facts: Facts,
           sha256: str = "") -> tuple[dict[str, Stack], dict[str, str], Facts]:  # fmt: skip
    """Stacks, titles and facts of a set of the user's. UserError: a split that got nothing."""
    for name, stack in stacks.items():
        if not len(stack.label):
            raise UserError("different pictures for each split", f"none for {name} in {path}", "Add pictures", "data")
    title = path.resolve().name
    how = "split: " + ("its own splits" if any(splits) else "by content within each class")
    facts["data"] = {"name": title, "notes": [*notes[:-1], how, notes[-1]], **({"sha256": sha256} if sha256 else {})}
    return stacks, dict.fromkeys(stacks, title), facts


def _pixels(paths: list[Path], keys: list[bytes], side: int, colour: bool) -> tuple[np.ndarray, dict[int, UserError]]:
    """All pictures, "N side side" or "N 3 side side", and what is wrong with those that cannot be read (left 0).

    Large sets are decoded once into a file in the cache, which is mapped: what was not used lately needs no memory.
    """
    shape = (len(paths), *((3,) if colour else ()), side, side)
    size = int(np.prod(shape, dtype=np.int64))
    if size < MAPPED:
        image = np.zeros(shape, np.uint8)
        return image, _decode(paths, image, side, colour)
    name = hashlib.sha256(b"".join(keys) + str(shape).encode()).hexdigest()[:24]
    folder = cache() / "pictures"
    file, unread = folder / f"{name}.npy", folder / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # met before: only these are tried again
        known = json.loads(unread.read_text())["unreadable"]
        found = decoded([paths[i] for i in known], side, colour)
        problems = {i: problem for i, (_, _, problem) in zip(known, found, strict=True) if problem}
        if problems:  # none: a newer decoder may read them
            return np.empty(0, np.uint8), problems
    try:
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(folder).free < 1.05 * size:  # a mapped file on a full disk would end the process
                got = f"{shutil.disk_usage(folder).free / 1e9:.1f} GB"
                do = "Make room, or name another folder in XDG_CACHE_HOME"
                raise UserError(f"{size / 1e9:.1f} GB free for the decoded pictures in {folder}", got, do, "data")
            for left in folder.glob(f".{name}.*"):  # of a killed process
                left.unlink()
            part = folder / f".{name}.{os.getpid()}"
            try:
                image = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
                problems = _decode(paths, image, side, colour)
                image.flush()
                del image
                if problems:  # of no use, for it is refused or decoded without them: only which they are is kept
                    unread.write_text(json.dumps({"format": 1, "unreadable": list(problems)}))
                    return np.empty(0, np.uint8), problems
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
    except OSError as problem:
        raise UserError(f"room for decoded pictures in {folder}", problem.strerror or str(problem),
                        "Free the disk or set XDG_CACHE_HOME", "data") from None  # fmt: skip
    try:
        return np.lib.format.open_memmap(file, "c"), {}
    except ValueError:
        raise UserError("a whole file of decoded pictures", f"{file}, which is damaged", "Remove it", "data") from None


def _decode(paths: list[Path], out: np.ndarray, side: int, colour: bool) -> dict[int, UserError]:
    problems = {}
    for i, (frame, _, problem) in enumerate(decoded(paths, side, colour)):
        if problem is not None:
            problems[i] = problem
        elif frame is not None:
            out[i] = frame.transpose(2, 0, 1) if colour else frame
    return problems


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
    if len(set(labels)) < 2:
        got = f"{len(set(labels))} in {path}"
        raise UserError("pictures of at least two classes", got, "Add another class", "data")
    problems: list[UserError] = []
    check_splits(labels, splits, problems)
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
