"""Texts with their class: the user's own, and pieces of sentences in eight languages, made of what ships."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.source import Data, Facts, Place, keyed
from ..media.sheet import SPLIT_COLUMNS, SPLIT_WORDS, column, sheet, texts_in
from ..media.utf8 import utf8
from ..parts.bpe import Vocabulary, learn, unspelled
from ..parts.grams import counted, words_of
from .listing import check_splits, entries, ordered, subfolders
from .own import divided
from .pairs import flat
from .parallel import embedded
from .ragged import Flat, Ragged
from .splits import FINAL, SPLITS
from .text import read
from .wording import classes_in
from .writing import is_text

MOST_WORDS = 1000  # of a text, for nets that count them
PIECE = (5, 14)  # letters of a piece of the embedded task
PIECES = {"train": 1000, "valid": 120, "test": 250}  # of each language, and of each kind of source
SHOWN = 3


class Texts(NamedTuple):
    """Texts in two readings, as tokens in their order and as counts of words and their pieces; and their class."""

    token: Tensor  # B T int32, zeros after the end
    label: Tensor  # B int64
    length: Tensor  # B int64: tokens
    gram: Tensor  # B G int32: hashes of 31 bits
    count: Tensor  # B G int32: how often each stands in the text; 0 after the end


@dataclass
class Found:
    """Texts as they stand in files: class and split ("" where the data has none) of each."""

    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # the columns "text" and "label"

    def add(self, text: str, label: str, split: str) -> None:
        """One more text."""
        self.texts.append(text)
        self.labels.append(label)
        self.splits.append(split)


def texts(place: Place, vocabulary: int, longest: int, low: int, high: int) -> Data[Texts]:
    """The texts that the user chose, else the pieces of ``languages``: tokens of a vocabulary learned from the training
    part, the first `longest` of each text; counts of words, pairs of words, and pieces of `low` to `high` letters.

    Split as they are themselves, what they lack taken from training, else by content within each class. Facts: kind,
    labels, counts (of the training classes), merges, longest, low, high and data. UserError: anything wrong
    with the data.
    """
    choice = place.choice
    found = labelled(Path(choice.data), choice.target, bool(choice.skip)) if choice.data else languages()
    title = Path(choice.data).name if choice.data else "pieces of sentences in eight languages (generated)"
    checked(found, choice.data or title)
    labels = ordered(found.labels)
    number = {name: k for k, name in enumerate(labels)}
    label = np.array([number[one] for one in found.labels])
    part = parted(found, label, choice.split, Path(choice.data or title))
    rows = [np.flatnonzero(part == k) for k in range(3)]
    if not all(map(len, rows)):
        got = f"{', '.join(str(len(row)) for row in rows)} from {choice.data}"
        raise UserError("texts for train, valid and test", got, "Add texts, or another --split", "words")
    if choice.split == FINAL:
        rows[0] = np.sort(np.concatenate(rows[:2]))
    merges = learn((found.texts[i] for i in rows[0]), max(0, vocabulary - 3 - 256))
    spelled = Vocabulary(merges).spell()
    facts: Facts = {"kind": "text", "labels": labels, "merges": spelled, "longest": longest, "low": low, "high": high}
    notes, counts, sources, long = list(found.notes), {}, [], 0
    for split, row in zip(SPLITS, rows, strict=True):
        tokens, grams, count = encoded(facts, [found.texts[i] for i in row])
        long += int((tokens.length >= longest).sum())
        title_here = title + (" (seen in training)" if split == "valid" and choice.split == FINAL else "")
        columns = (tokens, torch.from_numpy(label[row]), tokens.length, grams, count)
        sources.append(Ragged(Texts, columns, place, title_here, split))
        counts[split] = len(row)
    if long:
        notes.append(f"{long:,} texts of {longest} tokens or more: nets that read in order see the first {longest}")
    facts["counts"] = np.bincount(label[rows[0]], minlength=len(labels)).tolist()
    digest = hashlib.sha256("\x1f".join([*found.texts, *found.labels]).encode("utf-8", "replace") + part.tobytes())
    facts["data"] = {"name": title, **counts, "sha256": digest.hexdigest(), "note": "; ".join(notes)}
    return Data(*sources, facts)


def encoded(facts: Facts, found: Sequence[str]) -> tuple[Flat, Flat, Flat]:
    """Tokens, hashes and counts of texts, end to end."""
    words = Vocabulary(unspelled(facts["merges"]))
    tokens = flat([words.encode(text)[: facts["longest"]] for text in found])
    said = counted([words_of(text)[:MOST_WORDS] for text in found], facts["low"], facts["high"])
    begin = torch.from_numpy(np.cumsum([0, *said.length.tolist()]))
    grams, count = (Flat(torch.from_numpy(part), begin, told=False) for part in said[:2])
    return Flat(tokens.values.int(), tokens.begin, told=False), grams, count


def batched(facts: Facts, found: Sequence[str]) -> Texts:
    """Texts of the user's as a model reads them; their class is not known."""
    index = torch.arange(len(found))
    (token, length), (gram, _), (count, _) = (part.padded(index) for part in encoded(facts, found))
    return Texts(token, torch.zeros(len(found), dtype=torch.long), length, gram, count)


def parted(found: Found, label: np.ndarray, split: str, path: Path) -> np.ndarray:
    """0, 1 or 2 for each text: its own split, else by content. UserError: percentages for texts with splits."""
    where = np.array(found.splits)
    if (where != "").any() and split not in ("", FINAL):
        got = f"--split {split}"
        raise UserError(f"no percentages for {path.name}, which has splits of its own", got, "Leave it out", "words")
    keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in found.texts]
    return divided(keys, label, where, split, path)


def labelled(path: Path, target: str = "", skip: bool = False) -> Found:
    """The texts of a CSV, TSV, JSON lines or Parquet file with a column of texts and one of classes, perhaps one of
    splits, or of a folder with a folder of .txt files for each class, perhaps inside train, valid and test. Texts
    without words are left out and counted; with `skip` also files that are no UTF-8. UserError: anything else that is
    wrong."""
    if path.is_dir():
        return _folder(path, skip)
    if not path.exists():
        raise UserError("a table or a folder of texts", f"{path}, which does not exist", "Check the path", "words")
    return _table(path, target)


def _table(path: Path, target: str) -> Found:
    if path.suffix.lower() != ".parquet":
        try:
            utf8(path.read_bytes(), "texts", path.name, "words")
        except OSError as problem:
            got = f"{path} ({problem.strerror or problem})"
            raise UserError("a table of texts that can be read", got, "Check its permissions", "words") from None
    table = sheet(path)
    have = f"columns {', '.join(table.columns)} in {path.name}"
    if target and target not in table.columns:
        do = nearest(target, table.columns, "Name one of these with --target")
        raise UserError(f"the target column {target!r}", have, do, "words")
    text = texts_in({name: cells for name, cells in table.columns.items() if name != target})
    if not text:
        raise UserError("a column of texts, called text", have, "Rename the column that holds the texts", "words")
    label = target or classes_in(table.columns, text)
    if not label:
        raise UserError("a column of classes, called label", have, "Name it with --target COLUMN", "words")
    split = column(table.columns, SPLIT_COLUMNS)
    note = f"texts of column {text!r}, classes of {label!r}"
    found, empty, without = Found(notes=[note], names={"text": text, "label": label}), [], []
    for k, line in enumerate(table.lines):
        said, name = (_cell(table.columns[one][k]) for one in (text, label))
        where = _cell(table.columns[split][k]).lower() if split else ""
        if split and where not in SPLIT_WORDS:
            got = f"{where!r} in {path.name} line {line}"
            raise UserError(f"train, valid or test in column {split!r}", got, "Correct the line", "words")
        if not words_of(said):
            empty.append(line)
        elif not name:
            without.append(line)
        else:
            found.add(said, name, SPLIT_WORDS.get(where, ""))
    if without:
        got = f"none in {path.name} line {without[0]}" + f", and {len(without) - 1:,} more" * bool(without[1:])
        raise UserError(f"a class in {label!r} for each text", got, "Write it, or remove these lines", "words")
    if empty:
        found.notes.append(f"{len(empty):,} rows without a text left out (first line {empty[0]})")
    return found


def _cell(cell: object) -> str:
    """A cell as text; a whole number that was read as another is written as one."""
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _folder(path: Path, skip: bool) -> Found:
    found, below = Found(), subfolders(path)
    official = [folder for folder in below if folder.name.lower() in SPLIT_WORDS]
    empty: list[str] = []
    bad: list[UserError] = []
    if any(SPLIT_WORDS[folder.name.lower()] == "train" for folder in official):
        found.notes += [f"{one.name}/ stands beside the splits and is not read" for one in below if one not in official]
        classes = [(SPLIT_WORDS[one.name.lower()], inner) for one in official for inner in subfolders(one)]
    else:
        classes = [("", inner) for inner in below]
    for split, folder in classes:
        files = [file for file in entries(folder) if is_text(file)]
        if not files:
            found.notes.append(f"{folder.name}/ holds no texts")
        for file in files:
            try:
                said = "".join(read([file])).strip()
            except UserError as problem:
                bad.append(problem)
                continue
            if words_of(said):
                found.add(said, folder.name, split)
            else:
                empty.append(f"{folder.name}/{file.name}")
    if bad and not skip:
        more = f", and {len(bad) - 1:,} more" if bad[1:] else ""
        do = f"{bad[0].do}, or leave such files out with --skip-unreadable"
        raise UserError(bad[0].expected, bad[0].got + more, do, "words")
    if bad:
        found.notes.append(f"{len(bad):,} unreadable files left out (--skip-unreadable; first {bad[0].got})")
    if empty:
        found.notes.append(f"{len(empty):,} files without a text left out (first {empty[0]})")
    return found


def checked(found: Found, where: str) -> None:
    """UserError: no texts, one class, or classes of too few."""
    counts = Counter(found.labels)
    if not found.texts:
        raise UserError("texts with their classes", f"none in {where}", "Give one text a row, or a .txt file", "words")
    if len(counts) < 2:
        got = f"only {next(iter(counts))!r} in {where}"
        do = "Add texts of another class, or name another column with --target"
        raise UserError("texts of at least two classes", got, do, "words")
    if 2 * len(counts) > len(found.texts) > 10:
        got = f"{len(counts):,} classes for {len(found.texts):,} texts in {where}"
        label = found.names.get("label", "the folder")
        do = f"Is {label!r} the class? Name another column with --target"
        raise UserError("classes that have several texts each", got, do, "words")
    problems: list[UserError] = []
    check_splits(found.labels, found.splits, problems)
    if problems:
        one = problems[0]
        raise UserError(one.expected, f"{one.got} in {where}", one.do.replace("pictures", "texts"), "words")


def languages() -> Found:
    """Pieces of 5 to 14 letters, cut anywhere, out of numbers and dates in words (eight languages) and verses (English
    and Spanish), each language about as often. The split is that of the sentences; a held-out piece that training has,
    too, is left out."""
    found = Found(names={"text": "piece", "label": "language"}, notes=[
        "generated: pieces of 5 to 14 letters, cut anywhere, of numbers and dates in words by rules; of English and "
        "Spanish half are of verses; held-out pieces that training has are left out"])  # fmt: skip
    whole: dict[tuple[str, str, str], list[str]] = {}
    for name in ("numbers", "verses"):
        (_, *codes), *rows = embedded(name)
        for split, *said in rows:
            for code, one in zip(codes, said, strict=True):
                whole.setdefault((split, code, name), []).append(one)
    both = {code for _, code, name in whole if name == "verses"}
    seen: set[str] = set()
    for split, wanted in PIECES.items():
        here: set[tuple[str, str]] = set()
        for (where, code, name), sentences in sorted(whole.items()):
            if where == split:
                count = wanted if code in both else 2 * wanted
                here |= {(piece, code) for piece in _pieces(sentences, count, keyed("languages", split, code, name))}
        for piece, code in sorted(here):
            if piece not in seen:
                found.add(piece, code, split)
        if split == "train":
            seen = {piece for piece, _ in here}
    return found


def _pieces(sentences: Sequence[str], count: int, rng: torch.Generator) -> list[str]:
    """So many pieces, each of a sentence drawn at random, from anywhere in it."""
    draw = torch.rand(count, 3, generator=rng).tolist()
    found = []
    for which, how, where in draw:
        text = sentences[int(which * len(sentences))]
        size = PIECE[0] + int(how * (PIECE[1] - PIECE[0] + 1))
        at = int(where * max(1, len(text) - size + 1))
        found.append(text[at : at + size].strip())
    return [piece for piece in found if len(piece) >= PIECE[0] - 1]
