"""Films with a label for each frame: drawn ones, or the user's own, cut into pieces and held in memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image as Pillow
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.source import Data, Facts, Place, keyed
from ..media import Image, Video
from ..media.files import in_order
from ..media.film import SUFFIXES as FILMS
from ..media.sheet import LABEL_COLUMNS, SPLIT_COLUMNS, SPLIT_WORDS, column, is_named, sheet
from .kinds import CLIP_COLUMNS, FRAME_COLUMNS, PICTURES, TABLES
from .listing import entries, ordered, subfolders
from .moving import DEEDS, SIDE, drawn, scripts
from .ragged import Flat, Ragged
from .splits import FINAL, SPLITS, divide, shares

LONGEST = 96  # frames of a piece: longer films are cut
FEWEST = 3  # films: one each for train, valid and test
MOST = 4_000_000_000  # bytes of all frames
TIME = 24  # frames of a drawn film


class Clips(NamedTuple):
    """Pieces of films, padded to the longest, and what is in each frame."""

    frames: Tensor  # B T C H W uint8
    length: Tensor  # B int64: frames of each piece
    label: Tensor  # B T int64: 1 + the class; 0 where none is known, and after the end
    labels: Tensor  # B int64: as length
    film: Tensor  # B int64: of which film it is a piece


@dataclass
class Filmed:
    """A film in files, and the labels of its frames, counted from 0."""

    path: Path
    split: str = ""  # "" where the data has none
    rows: list[tuple[str, str, str]] = field(default_factory=list)  # as written: frame, label, and where
    said: dict[int, str] = field(default_factory=dict)  # frame -> label


def clips(place: Place, made: int, side: int = SIDE, colour: bool = False) -> Data[Clips]:
    """The films that the user chose, whole frames scaled to `side` x `side`; without a choice `made` drawn ones to
    learn from, with a tenth as many (50 at least) to validate and 400 to test with."""
    if place.choice.data:
        return own(Path(place.choice.data), place, side, colour)
    parts: list[Ragged[Clips]] = []
    for split, count in (("train", made), ("valid", max(50, made // 10)), ("test", 400)):
        rng = keyed("films", split)
        script = scripts(count, TIME, rng)
        frames = drawn(script, rng)
        begin = torch.arange(count + 1) * TIME
        columns = (Flat(frames.flatten(0, 1), begin), Flat(script.deed.flatten() + 1, begin), torch.arange(count))
        parts.append(Ragged(Clips, columns, place, "synthetic films of 24 frames", split))
    note = "synthetic: drawn figures that move among others; what one does shows in no single frame"
    return _data(parts, list(DEEDS), 1, {"name": "synthetic films", "note": note})


def _data(parts: Sequence[Ragged[Clips]], labels: list[str], channels: int, about: dict[str, Any]) -> Data[Clips]:
    level = parts[0].columns[0].values[:20_000].float()
    facts: Facts = {
        "kind": "frames", "labels": labels, "side": level.shape[-1], "channels": channels,
        "mean": round(float(level.mean()), 4), "spread": round(max(1.0, float(level.std())), 4),
        "data": {**about, **{split: len(part) for split, part in zip(SPLITS, parts, strict=True)}},
    }  # fmt: skip
    return Data(parts[0], parts[1], parts[2], facts)


def own(path: Path, place: Place, side: int, colour: bool) -> Data[Clips]:
    """The user's own films. UserError: what `listed` finds wrong, too few films, a label that is only in a test."""
    found, problems, notes = listed(path, place.choice.target)
    if problems:
        more = f" (and {len(problems) - 1} more problems: 'milestones data {path}' lists them)" if problems[1:] else ""
        raise UserError(problems[0].expected, problems[0].got + more, problems[0].do, "data")
    channels = 3 if colour else 1
    shot, keys = [], []
    for film in found:
        frames = shrunk(opened(film.path), side, channels)
        shot.append(frames)
        keys.append(hashlib.blake2b(frames.tobytes(), digest_size=8).digest())
        if sum(map(len, shot)) * channels * side * side > MOST:
            raise UserError(f"frames of at most {MOST:,} bytes", f"more in {path}", "Take fewer, or --side 32", "data")
    part = divided(found, keys, place.choice.split, path)
    names = checked(found, part, path)
    number = {name: k + 1 for k, name in enumerate(names)}
    sources = []
    for k, split in enumerate(SPLITS):
        pieces, label, film = [], [], []
        for i in np.flatnonzero(part == k).tolist():
            said = torch.tensor([number.get(found[i].said.get(t, ""), 0) for t in range(len(shot[i]))])
            count = -(-len(said) // LONGEST)
            pieces += torch.from_numpy(shot[i]).tensor_split(count)
            label += said.tensor_split(count)
            film += [i] * count
        columns = (Flat.of(pieces), Flat.of(label), torch.tensor(film))
        sources.append(Ragged(Clips, columns, place, path.resolve().name, split))
    digest = hashlib.sha256(b"".join(keys) + repr([sorted(film.said.items()) for film in found]).encode()).hexdigest()
    total = sum(map(len, shot))
    bare = total - sum(len(film.said) for film in found)
    told = [f"{len(found):,} films, {total:,} frames", *([f"{bare:,} without a label, not counted"] if bare else []),
            f"cut into pieces of at most {LONGEST} frames" if max(map(len, shot)) > LONGEST else "", *notes,
            f"split: {'its own' if any(film.split for film in found) else 'by content of whole films'}",
            f"frames scaled to {side} x {side} " + ("in colour" if colour else "grey")]  # fmt: skip
    about = {"name": path.resolve().name, "sha256": digest, "note": "; ".join(filter(None, told))}
    return _data(sources, names, channels, about)


def divided(found: Sequence[Filmed], keys: Sequence[bytes], split: str, path: Path) -> np.ndarray:
    """For each film 0, 1 or 2: its own split, else by content; what its own splits lack is taken from train. UserError:
    a split that got none."""
    where = np.array([film.split for film in found])
    one = np.zeros(len(found), np.int64)
    if not (where != "").any():
        part = divide(keys, one, shares(split))
    elif split not in ("", FINAL):
        raise UserError(f"no percentages for {path}, whose films have splits of their own", f"--split {split}",
                        "Leave --split out", "data")  # fmt: skip
    else:
        part = np.select([where == "valid", where == "test"], [1, 2], 0)
        rest = np.flatnonzero(part == 0)
        lacking = (0.8, 0.0 if (part == 1).any() else 0.1, 0.0 if (part == 2).any() else 0.1)
        part[rest] = divide([keys[i] for i in rest], one[rest], lacking)
    for k, name in enumerate(SPLITS):
        if not (part == k).any():
            got = f"none for {name} of {len(found)} in {path}"
            raise UserError("different films for train, valid and test", got, "Add films", "data")
    return part


def checked(found: Sequence[Filmed], part: np.ndarray, path: Path) -> list[str]:
    """The labels in order. UserError: fewer than two, or one that no film of train has."""
    names = ordered(label for film in found for label in film.said.values())
    if len(names) < 2:
        got = f"{len(names)} in {path}" + (f" ({names[0]})" if names else "")
        raise UserError("frames of at least two labels", got, "Label what else is to be seen", "data")
    train = {label for k in np.flatnonzero(part == 0) for label in found[k].said.values()}
    if lacking := [name for name in names if name not in train]:
        got = f"none with {lacking[0]!r}" + (f" and {len(lacking) - 1} more labels" if lacking[1:] else "")
        do = nearest(lacking[0], train, "Add films with it, or name the split of each film in a column split")
        raise UserError(f"films of train in {path} that show each label", got, do, "data")
    return names


def listed(path: Path, target: str = "") -> tuple[list[Filmed], list[UserError], list[str]]:
    """The films that `path` names with their labels, what is wrong with them, and notes. `path`: a CSV, TSV or JSONL of
    file, frame and label, or a folder that holds one; or a folder of films, each with a table of its own name beside
    it, and of folders with the pictures of a film and labels.csv. UserError: nothing that can be looked at."""
    if not path.exists():
        raise UserError("films with labels", f"{path}, which does not exist", "Check the path", "data")
    found: dict[Path, Filmed] = {}
    problems: list[UserError] = []
    tables = [path] if path.is_file() else [file for file in entries(path) if file.suffix.lower() in TABLES]
    alone = [(film, table, "") for film, table in beside(path)] if path.is_dir() else []
    if path.is_dir() and any(SPLIT_WORDS.get(folder.name.lower()) == "train" for folder in subfolders(path)):
        alone += [(film, table, SPLIT_WORDS[folder.name.lower()]) for folder in subfolders(path)
                  if folder.name.lower() in SPLIT_WORDS for film, table in beside(folder)]  # fmt: skip
    if not alone and not tables:
        raise UserError("films with labels (labels.csv: file, frame, label)", f"none in {path}", "Add it", "data")
    for film, table, split in alone or [(None, table, "") for table in tables]:
        _read(table, film, split, target, found, problems)
    zero = re.compile(r"0+(\D|$)")
    first = 0 if any(zero.match(word) for film in found.values() for word, _, _ in film.rows) else 1
    for film in found.values():
        _placed(film, first, problems)
    if len(found) < FEWEST and not problems:
        got = f"{len(found)} in {path}"
        problems.append(
            UserError(f"at least {FEWEST} films, one each for train, valid and test", got, "Cut them", "data")
        )
    inside = entries(path) if path.is_dir() else []
    loose = [file.name for file in inside if file.suffix.lower() in FILMS and file not in found]
    more = f" and {len(loose) - 1} more films" if loose[1:] else ""
    notes = [f"frames are counted from {first}", *([f"{loose[0]}{more} without labels, not read"] if loose else [])]
    return list(found.values()), problems, notes


def beside(folder: Path) -> list[tuple[Path, Path]]:
    """Films in a folder, and folders with the pictures of one, each with the table of its labels."""
    found = []
    for entry in entries(folder):
        names = [entry / f"labels{suffix}" for suffix in TABLES] if entry.is_dir() else []
        if entry.suffix.lower() in FILMS and entry.is_file():
            names = [entry.with_suffix(suffix) for suffix in TABLES]
        found += [(entry, name) for name in names if name.is_file()][:1]
    return found


def _read(table: Path, film: Path | None, split: str, target: str, found: dict[Path, Filmed],
          problems: list[UserError]) -> None:  # fmt: skip
    """Add what a table of labels says: of the `film` that it belongs to, or of those that it names."""
    try:
        rows = sheet(table)
    except UserError as problem:
        problems.append(UserError(problem.expected, problem.got, problem.do, "data"))
        return
    names, have = list(rows.columns), ", ".join(rows.columns)
    frame, part = column(names, FRAME_COLUMNS), column(names, SPLIT_COLUMNS)
    label = column(names, [target.lower()] if target else LABEL_COLUMNS)
    file = "" if film else column(names, CLIP_COLUMNS)
    if not frame or not label or not (film or file):
        want = "columns frame and label" if film else "columns file, frame and label"
        do = "Rename them" + ("" if label else ", or name the label with --target COLUMN")
        problems.append(UserError(want, f"{have} in {table}", do, "data"))
        return
    lacking: dict[Path, str] = {}
    for i, line in enumerate(rows.lines):
        where, said = f"{table} line {line}", str(rows.columns[label][i] or "").strip()
        name = film or table.parent / str(rows.columns[file][i] or "")
        word = str(rows.columns[part][i] or "").strip().lower() if part else split
        there = (
            is_named(name)
            if name.suffix.lower() in FILMS
            else is_named(name, folder=True) and (film or name != table.parent)
        )
        if not there:
            lacking.setdefault(name, where)
        elif not said:
            problems.append(UserError("a label for each frame that is named", f"none in {where}", "Write it", "data"))
        elif word and word not in SPLIT_WORDS:
            got = f"{word!r} in {where}"
            problems.append(UserError("train, valid or test as the film's split", got, "Correct the line", "data"))
        else:
            one = found.setdefault(name, Filmed(name, SPLIT_WORDS.get(word, "")))
            if one.split != SPLIT_WORDS.get(word, ""):
                got = f"{word or 'none'!r} in {where} after {one.split or 'none'!r}"
                problems.append(UserError(f"one split for all frames of {name}", got, "Correct the line", "data"))
            one.rows.append((str(rows.columns[frame][i]).strip(), said, where))
    for name, where in list(lacking.items())[:1]:
        got = f"{name} ({where})" + (f" and {len(lacking) - 1} more that are missing" if len(lacking) > 1 else "")
        problems.append(
            UserError(f"the films that {table} names, GIF, WebP or folders", got, "Correct the paths", "data")
        )


def _placed(film: Filmed, first: int, problems: list[UserError]) -> None:
    """Give each frame of the film the label that its rows say."""
    try:
        pictures = [file.name for file in shots(film.path)] if film.path.is_dir() else []
        count = len(pictures) if pictures else Video.length(film.path)
    except UserError as problem:
        problems.append(UserError(problem.expected, problem.got, problem.do, "data"))
        return
    for word, label, where in film.rows:
        match = re.fullmatch(r"(\d{1,9})(?:\s*[-:]\s*(\d{1,9}))?(?:\.0)?", word)
        if word in pictures:
            begin = end = pictures.index(word)
        elif match:
            begin, end = int(match[1]) - first, int(match[2] or match[1]) - first
        else:
            got = f"{word!r} in {where}"
            problems.append(
                UserError("a frame's number, as 7 or 7-12, or its picture's name", got, "Correct it", "data")
            )
            continue
        if not 0 <= begin <= end < count:
            got = f"{word} in {where}"
            want = f"a frame from {first} to {first + count - 1} of {film.path}"
            problems.append(UserError(want, got, "Correct the line", "data"))
            continue
        for t in range(begin, end + 1):
            if film.said.setdefault(t, label) != label:
                got = f"{film.said[t]!r} and {label!r} for frame {t + first} of {film.path} ({where})"
                problems.append(UserError("one label for a frame", got, "Remove one of the two", "data"))
                break


def shots(folder: Path) -> list[Path]:
    """The pictures in a folder in the order of the numbers in their names. UserError: none."""
    found = in_order(entry for entry in entries(folder) if entry.suffix.lower() in PICTURES)
    if not found:
        raise UserError("the pictures of a film", f"none in {folder}", "Add them, or correct the path", "data")
    return found


def opened(path: Path) -> list[np.ndarray]:
    """The frames of a film, or the pictures of a folder, uint8 "H W", "H W 3" or "H W 4". UserError: unreadable."""
    if path.is_dir():
        return [Image.open(file).pixels for file in shots(path)]
    return list(Video.open(path).frames)


def shrunk(frames: Sequence[np.ndarray], side: int, channels: int) -> UInt8[np.ndarray, "T C H W"]:
    """Whole frames scaled to `side` x `side`, their shape not kept; grey, or with 3 `channels` in colour."""
    out = np.empty((len(frames), channels, side, side), np.uint8)
    for k, pixels in enumerate(frames):
        small = Image(pixels).resized(side, side)
        if channels == 1:
            out[k, 0] = small.grey()
        else:
            out[k] = np.asarray(Pillow.fromarray(small.pixels).convert("RGB")).transpose(2, 0, 1)
    return out
