"""Which pictures a folder, a CSV or JSON lines name, with label and split; what is wrong is collected, not
raised."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..core.errors import UserError, nearest
from ..media.image import SUFFIXES, scaled
from ..media.sheet import LABEL_COLUMNS, SPLIT_COLUMNS, SPLIT_WORDS, column, is_named, sheet
from .kinds import FILE_COLUMNS

FEWEST = 3  # examples of a class: one each for train, valid and test


@dataclass
class Listing:
    """Pictures in files: path, label and split ("" where the data has none) of each; and what is wrong with
    them."""

    paths: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    problems: list[UserError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: Path, label: str, split: str) -> None:
        """One more picture."""
        self.paths.append(path)
        self.labels.append(label)
        self.splits.append(split)


def listing(path: Path, target: str = "") -> Listing:
    """The pictures that `path` names: a folder with a folder per class, or a CSV or JSONL of files and labels."""
    if not path.is_dir():
        return _table(path, target)
    found = Listing()
    below = subfolders(path)
    splits = [folder for folder in below if folder.name.lower() in SPLIT_WORDS]
    if any(SPLIT_WORDS[folder.name.lower()] == "train" for folder in splits):
        for folder in splits:
            _classes(folder, SPLIT_WORDS[folder.name.lower()], found)
        for folder in below:
            if folder not in splits:
                found.notes.append(f"{folder.name}/ stands beside the splits and is not read")
    elif not below and (
        tables := [file for file in entries(path) if file.suffix.lower() in (".csv", ".jsonl", ".tsv")]
    ):
        return _table(tables[0], target)
    else:
        _classes(path, "", found)
    check(path, found)
    return found


def entries(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, in order of name."""
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith((".", "__MACOSX"))]
    except OSError as problem:
        raise UserError("a readable folder", f"{folder} ({problem.strerror})", "Check its permissions") from None


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder."""
    return [entry for entry in entries(folder) if entry.is_dir()]


def ordered(labels: Iterable[str]) -> list[str]:
    """The distinct labels: whole numbers by value, else texts by spelling."""
    distinct = set(labels)
    whole = all(re.fullmatch(r"-?\d{1,15}", label) for label in distinct)
    return sorted(distinct, key=lambda label: (int(label), label) if whole else (0, label))


def _classes(folder: Path, split: str, found: Listing) -> None:
    """Add the pictures of a folder per class."""
    loose = 0
    for entry in entries(folder):
        if not entry.is_dir():
            loose += entry.suffix.lower() in SUFFIXES
            continue
        count, others = 0, Counter[str]()
        for file in entries(entry):
            if file.suffix.lower() in SUFFIXES and not file.is_dir():
                found.add(file, entry.name, split)
                count += 1
            else:
                others["folder" if file.is_dir() else file.suffix.lower() or "no suffix"] += 1
        if others:
            kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))
            found.notes.append(f"{entry} holds other things that are not read: {kinds}")
        if not count:
            do = "Add pictures to the folder, or remove it"
            found.problems.append(
                UserError("PNG, JPEG, BMP, TIFF or WebP pictures of each class", f"none in {entry}", do, "data")
            )
    if loose:
        found.notes.append(f"{loose} pictures in {folder} itself have no class and are not read")


def check(path: Path, found: Listing) -> None:
    """Add what is wrong with the classes as a whole."""
    counts = Counter(found.labels)
    if len(counts) < 2:
        below = subfolders(path) if path.is_dir() else []
        inner = below[0] if len(below) == 1 and len(subfolders(below[0])) > 1 else None
        do = f"Name {inner}" if inner else "Put the pictures of each class into a folder of its own"
        got = f"{len(counts)} in {path}" + (f" ({next(iter(counts))})" if counts else "")
        found.problems.insert(
            0 if path.is_dir() else len(found.problems), UserError("pictures of at least two classes", got, do, "data")
        )
    check_splits(found.labels, found.splits, found.problems)


def check_splits(labels: list[str], splits: list[str], problems: list[UserError]) -> None:
    """Add what is wrong with the classes of each split; of a whole set that is yet to be divided, with their sizes."""
    official = set(splits) - {""}
    if not official:
        few(Counter(labels), problems)
        return
    of: dict[str, set[str]] = {split: set() for split in official | {"train"}}
    for label, split in zip(labels, splits, strict=True):
        of.setdefault(split, set()).add(label)
    train = of["train"]
    for split in sorted(official - {"train"}):
        lacking = ordered(train - of[split])
        if unknown := ordered(of[split] - train):
            got = f"{_some(unknown)} only in {split}" + (f", and none of {_some(lacking)}" if lacking else "")
            do = nearest(unknown[0], train, "Add training pictures of this class, or remove it")
            problems.append(UserError(f"in {split} only classes that are in train", got, do, "data"))
        elif lacking:
            got, do = f"none of {_some(lacking)}", f"Add {split} pictures of it, or leave the class out of train"
            problems.append(UserError(f"in {split} all classes that are in train", got, do, "data"))
    least = 1 + len({"valid", "test"} - official)
    few(
        Counter(label for label, where in zip(labels, splits, strict=True) if where == "train"),
        problems,
        least,
    )


def _some(labels: list[str]) -> str:
    return f"{labels[0]!r}" + (f" and {len(labels) - 1} more" if labels[1:] else "")


def few(counts: Counter[str], problems: list[UserError], least: int = FEWEST) -> None:
    """Add a problem where a class has less than `least` examples."""
    scarce = [label for label in ordered(counts) if counts[label] < least]
    if scarce:
        more = f" (and {len(scarce) - 1} more classes)" if scarce[1:] else ""
        got = f"{counts[scarce[0]]} of {scarce[0]!r}{more}"
        problems.append(
            UserError(
                f"at least {least} examples of each class",
                got,
                "Add examples, or leave the class out",
                "data",
            )
        )


def _table(path: Path, target: str) -> Listing:
    """The pictures that a CSV, TSV or JSONL names, relative to its folder."""
    table, found = sheet(path), Listing()
    have = ", ".join(table.columns)
    file = column(table.columns, FILE_COLUMNS)
    if not file:
        raise UserError("a column that names the pictures (file)", f"{have} in {path}", "Rename the column", "data")
    if target and target not in table.columns:
        do = nearest(target, table.columns, "Name one of these with --target")
        raise UserError(f"the target column {target!r}", f"columns {have} in {path}", do, "data")
    label = target or column(table.columns, LABEL_COLUMNS)
    if not label:
        raise UserError("a label column", f"{have} in {path}", "Name it with --target COLUMN", "data")
    split = column(table.columns, SPLIT_COLUMNS)
    missing: list[str] = []
    for i, line in enumerate(table.lines):
        value, cell = table.columns[file][i], table.columns[label][i]
        text = str(cell).strip() if cell is not None else ""
        picture = path.parent / str(value or "")
        where = str(table.columns[split][i] or "").strip().lower() if split else ""
        if not text:
            found.problems.append(
                UserError("a label for each picture", f"none in {path} line {line}", "Write it", "data")
            )
        elif split and where not in SPLIT_WORDS:
            got = f"{where!r} in {path} line {line}"
            found.problems.append(UserError("train, valid or test as split", got, "Correct the line", "data"))
        elif not value or not is_named(picture):
            missing.append(f"{picture} (line {line})")
        else:
            found.add(picture, text, SPLIT_WORDS.get(where, ""))
    if missing:
        got = f"{len(missing)} of {len(table.lines)} missing, first {missing[0]}"
        found.problems.append(
            UserError(f"the pictures that {path} names", got, "Correct the paths, relative to the table", "data")
        )
    if found.paths or not found.problems:
        check(path, found)
    return found


def content_keys(paths: list[Path]) -> list[bytes]:
    """A key of each file's content, in order; of an unreadable file, one of its name."""

    def one(path: Path) -> bytes:
        try:
            return _key(path.read_bytes())
        except OSError:
            return _key(str(path).encode())

    some = [paths[begin : begin + 512] for begin in range(0, len(paths), 512)]  # a task a file costs more than the file
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return [key for keys in threads.map(lambda part: list(map(one, part)), some) for key in keys]


def _key(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).digest()


def decoded(
    paths: list[Path], side: int, colour: bool = False
) -> Iterator[tuple[np.ndarray | None, bytes, UserError | None]]:
    """For each file in order: its picture `side` x `side` as ``media.image.scaled`` gives it (None if unreadable), a
    key of its content, the problem."""

    def one(path: Path) -> tuple[np.ndarray | None, bytes, UserError | None]:
        try:
            content = path.read_bytes()
        except OSError as problem:
            got = f"{path} ({problem.strerror})"
            return None, b"", UserError("a readable picture", got, "Check its permissions", "data")
        key = _key(content)
        try:
            return scaled(content, str(path), side, colour), key, None
        except UserError as problem:
            return None, key, UserError(problem.expected, problem.got, problem.do, "data")

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for begin in range(0, len(paths), 1024):  # a batch at a time, so that a stop need not wait for all
            yield from threads.map(one, paths[begin : begin + 1024])
