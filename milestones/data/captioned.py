"""Which pictures a table or COCO's JSON names, and what was said of each; what is wrong is collected, not raised."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.source import Choice
from ..media.sheet import SPLIT_COLUMNS, SPLIT_WORDS, column, is_named, sheet
from ..media.utf8 import utf8
from .kinds import CAPTION_COLUMNS, FILE_COLUMNS, captions_in
from .listing import content_keys, decoded
from .own import divided
from .splits import SPLITS

FEWEST = 3  # pictures: one each to train, to validate and to test
LONGEST = 60  # words of a sentence
SHOWN = 3  # of what is wrong, named in a message
TABLE = "a table with columns file and caption, or COCO's captions JSON"


def split_words(sentence: str) -> list[str]:
    """The words of a sentence in small letters, without its marks."""
    return re.findall(r"[^\W_]+(?:['-][^\W_]+)*", sentence.lower())


@dataclass
class Captions:
    """Pictures in files, with the sentences of each and its split ("" where the data has none), and what is wrong."""

    paths: list[Path] = field(default_factory=list)
    said: list[list[str]] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    problems: list[UserError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def captioned(path: Path) -> Captions:
    """The pictures and sentences that a table, COCO's JSON, or a folder with one of these names. A picture may stand in
    several rows, with a sentence in each, or in one row with a list of them."""
    file = captions_in(path) if path.is_dir() else path
    if file is None:
        raise UserError(
            TABLE, f"{path} with neither", "Write captions.jsonl with file and caption in each line", "data"
        )
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise UserError(TABLE, f"{file} ({problem.strerror or problem})", "Check the path", "data") from None
    text = utf8(content, "captions", str(file), "data")  # checked here, since a sheet takes other bytes as well
    rows = _coco(file, text) if file.suffix.lower() == ".json" else _rows(file)
    return _gathered(file, rows)


Rows = list[tuple[str, str, list[Any], str]]
"""Where a row stands, the picture's file, its sentences, its split."""


def _rows(file: Path) -> Rows:
    table = sheet(file)
    picture, caption = column(table.columns, FILE_COLUMNS), column(table.columns, CAPTION_COLUMNS)
    if not picture or not caption:
        do = "Name one column file and one caption"
        raise UserError("columns that name the picture and what is said", f"{', '.join(table.columns)} in {file}", do,
                        "data")  # fmt: skip
    part = table.columns.get(column(table.columns, SPLIT_COLUMNS), [""] * len(table.lines))
    split = [str(cell or "").strip().lower() for cell in part]
    rows = zip(table.lines, table.columns[picture], table.columns[caption], split, strict=True)
    return [(f"line {line}", str(name or ""), said if isinstance(said, list) else [said], where)
            for line, name, said, where in rows]  # fmt: skip


def _coco(file: Path, text: str) -> Rows:
    """COCO's: a list of images with id and file_name, one of annotations with image_id and caption."""
    try:
        found = json.loads(text)
        names = {image["id"]: str(image["file_name"]) for image in found["images"]}
        said: dict[Any, list[Any]] = {number: [] for number in names}
        strange = [one["image_id"] for one in found["annotations"] if one["image_id"] not in names]
        for one in found["annotations"]:
            said.get(one["image_id"], []).append(one["caption"])
    except (ValueError, LookupError, TypeError, RecursionError) as problem:
        got = f"{file}, another JSON ({type(problem).__name__}: {problem})"
        raise UserError("images and annotations with captions, as COCO has them", got, "Correct the file",
                        "data") from None  # fmt: skip
    if strange:
        got = f"{len(strange)} annotations of unknown ones in {file}, first image_id {strange[0]}"
        raise UserError("an image for each annotation", got, "Remove them, or add the images", "data")
    return [(f"image {number}", name, said[number], "") for number, name in names.items()]


def _gathered(file: Path, rows: Rows) -> Captions:
    """One entry a picture; what is wrong is counted by its kind and the first of each named."""
    found, at = Captions(), dict[Path, int]()
    # COCO's pictures lie beside the folder of its annotations: captions_val2017.json, ../val2017.
    folders = [file.parent, file.parent / "images", file.parent.parent / file.stem.rpartition("_")[2]]
    wrong: dict[str, list[str]] = {"missing": [], "empty": [], "long": [], "split": []}
    for where, name, said, split in rows:
        path = next((folder / name for folder in folders if name and is_named(folder / name)), None)
        texts = [str(one).strip() for one in said if one is not None and split_words(str(one))]
        if path is None:
            wrong["missing"].append(f"{name or 'no name'} ({where})")
        elif not texts:
            wrong["empty"].append(where)
        elif long := [one for one in texts if len(split_words(one)) > LONGEST]:
            wrong["long"].append(f"{where} with {len(split_words(long[0])):,} words")
        elif split and split not in SPLIT_WORDS:
            wrong["split"].append(f"{split!r} ({where})")
        else:
            row = at.setdefault(path, len(found.paths))
            if row == len(found.paths):
                found.paths.append(path)
                found.said.append([])
                found.splits.append(SPLIT_WORDS.get(split, ""))
            found.said[row] += texts
    told = {kind: f"{len(those):,} of {len(rows):,} in {file}, first {', '.join(those[:SHOWN])}"
            for kind, those in wrong.items() if those}  # fmt: skip
    if "missing" in told:
        found.problems.append(UserError("the pictures that the captions are of", f"missing {told['missing']}",
                                        "Correct the names, relative to the file", "data"))  # fmt: skip
    if "empty" in told:
        found.problems.append(
            UserError("a sentence for each picture", f"none for {told['empty']}", "Write it, or remove the row", "data")
        )
    if "long" in told:
        found.problems.append(
            UserError(f"sentences of at most {LONGEST} words", f"longer ones: {told['long']}", "Shorten them", "data")
        )
    if "split" in told:
        found.problems.append(UserError("train, valid or test as split", told["split"], "Correct it", "data"))
    if len(found.paths) < FEWEST and not found.problems:
        got = f"{len(found.paths)} in {file}"
        found.problems.append(UserError(f"at least {FEWEST} pictures with captions", got, "Add some", "data"))
    several = sum(len(each) > 1 for each in found.said)
    found.notes.append(f"{sum(map(len, found.said)):,} sentences, {several:,} pictures with several")
    return found


def parted(found: Captions, keys: list[bytes], path: Path, split: str) -> np.ndarray:
    """For each picture 0 (train), 1 (valid) or 2 (test): by its own split, else by content. UserError: one got none."""
    part = divided(keys, np.zeros(len(keys), np.int64), np.array(found.splits), split, path)
    for k, name in enumerate(SPLITS):
        if not (part == k).any():
            raise UserError("different pictures for each split", f"none for {name} in {path}", "Add pictures", "data")
    return part


def read(path: Path, choice: Choice, side: int) -> tuple[Captions, np.ndarray, np.ndarray]:
    """The captions at `path`, the middle square of each picture "N 3 side side", and the part (0, 1, 2) of each.
    UserError: the first problem; unreadable pictures are left out only where the user said so."""
    found = captioned(path)
    if found.problems:
        raise found.problems[0]
    frames, bad = [], []
    for file, (frame, _, problem) in zip(found.paths, decoded(found.paths, side, colour=True), strict=True):
        frames.append(np.zeros((side, side, 3), np.uint8) if frame is None else frame)
        if problem is not None:
            bad.append((file, problem))
    if bad and not choice.skip:
        do = f"'milestones data {path}' lists them: mend them, or train with --skip-unreadable"
        got = f"{len(bad)} of {len(frames)} that cannot, first {bad[0][1].got}"
        raise UserError("pictures that can be read", got, do, "data")
    image = np.stack(frames).transpose(0, 3, 1, 2)
    if bad:
        lost = {file for file, _ in bad}
        keep = [k for k, file in enumerate(found.paths) if file not in lost]
        notes = [*found.notes, f"{len(bad)} unreadable pictures left out (--skip-unreadable)"]
        found = Captions([found.paths[k] for k in keep], [found.said[k] for k in keep],
                         [found.splits[k] for k in keep], [], notes)  # fmt: skip
        image = image[keep]
        if len(keep) < FEWEST:
            raise UserError(
                f"at least {FEWEST} pictures that can be read", f"{len(keep)} in {path}", "Add some", "data"
            )
    return found, np.ascontiguousarray(image), parted(found, content_keys(found.paths), path, choice.split)
