"""A text as a stream of tokens, characters or byte pairs, read in windows: the embedded one, or the user's own."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import json
import os
import shutil
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.source import Data, Facts, Place, keyed
from ..media.utf8 import utf8
from ..parts.bpe import BYTES, Vocabulary, learn, unspelled
from ..parts.gpt2 import BytePairs
from .fetch import cache
from .parallel import embedded
from .splits import FINAL, SPLITS, shares
from .writing import KNOWN, TEXTS, texts_in

BLOCK = 1 << 22  # bytes read at once, and the rest of the line
LEARNED = 4_000_000  # characters of the training part from which byte pairs are learned
MAPPED = 1 << 26  # bytes of text above which its tokens are kept in the cache, as a mapped file
MOST = 1 << 16  # different tokens
SWEPT = 1 << 14  # tokens of a sweep that are read at once
SIGNS = {"\n": "\\n", "\t": "\\t", "\r": "\\r", " ": "_"}  # how what cannot be seen is written in a picture
EMBEDDED = {"verses": "verses in English (World English Bible)"}

Blocks = Callable[[], Iterator[str]]
"""Reads a text from its start, in pieces that end with a line."""


class Windows(NamedTuple):
    """Pieces of a text, all of one length."""

    token: Int[Tensor, "B T"]
    target: Int[Tensor, "B T"]  # the token that follows each


class Part:
    """A Source of windows of one part of a text: `length` tokens, and for each the one that follows.

    In training a window begins anywhere: the part is cut into windows one after the other, which each epoch shuffles,
    and each is then moved by less than a window, drawn for it. So all places are equally likely beginnings, and an
    epoch reads about each token once. `augment`, which moves them, is None for the other parts.

    `sweep` gives the windows one after the other, as they were cut: each token is predicted once, the first of a
    window from nothing but the one before it, the last from `length`, on average from half of that. A rest shorter
    than a window is left out.
    """

    def __init__(self, tokens: np.ndarray, length: int, place: Place, name: str, split: str) -> None:
        self.tokens, self.length, self.place, self.name, self.split = tokens, length, place, name, split
        self.augment = self.moved if split == "train" else None
        self._order: tuple[tuple[int, int], Tensor] = ((-1, -1), torch.empty(0))

    def __len__(self) -> int:
        return max(0, len(self.tokens) - 1) // self.length

    def windows(self, begin: Int[Tensor, "B"]) -> Windows:
        """The windows that begin with these tokens, on the place's device."""
        index = begin.numpy()[:, None] + np.arange(self.length + 1)
        found = torch.from_numpy(self.tokens[index].astype(np.int64)).to(self.place.device)
        return Windows(found[:, :-1].contiguous(), found[:, 1:].contiguous())

    def moved(self, begin: Int[Tensor, "B"], rng: torch.Generator) -> Int[Tensor, "B"]:
        """Each beginning later by less than a window, so that the last still has all its tokens."""
        found = begin + torch.randint(self.length, begin.shape, generator=rng)
        return found.clamp(max=len(self.tokens) - self.length - 1)

    def _epoch(self, epoch: int) -> Tensor:
        """The order of one epoch. The last one is remembered, which changes no answer."""
        here = (self.place.seed, epoch)  # a copy of this source may get another place
        if self._order[0] != here:
            self._order = (here, torch.randperm(len(self), generator=keyed(self.place.seed, "order", epoch)))
        return self._order[1]

    def batch(self, step: int, size: int) -> Windows:
        """This process's share of batch `step`: `size // of` windows, moved in training."""
        at, parts, missing = step * size, [], size
        while missing:
            epoch, first = divmod(at, len(self))
            part = self._epoch(epoch)[first : first + missing]
            parts.append(part)
            at, missing = at + len(part), missing - len(part)
        begin = torch.cat(parts) * self.length
        if self.augment:
            begin = self.augment(begin, keyed(self.place.seed, "augment", step))
        share = size // self.place.of
        return self.windows(begin[self.place.rank * share : (self.place.rank + 1) * share])

    def sweep(self, size: int) -> Iterator[Windows]:
        """All windows in order, at most `size` at a time, and no more tokens than fit a memory with their logits."""
        size = max(1, min(size, SWEPT // self.length))
        for first in range(0, len(self), size):
            yield self.windows(torch.arange(first, min(first + size, len(self))) * self.length)


class Codec:
    """From a text to tokens and back. Either each of `characters` is a token, or each byte and what `merges` (as
    `Vocabulary.spell` writes them) join: then no text is unknown."""

    end = None  # no token ends a text

    def __init__(self, characters: str = "", merges: str = "") -> None:
        self.characters = characters
        self._number = {sign: k for k, sign in enumerate(characters)}
        self._words = Vocabulary(unspelled(merges))

    def __len__(self) -> int:
        return len(self.characters) or len(self._words.spelled)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text. UserError: a character that is none of the run's."""
        if not self.characters:
            # The vocabulary puts a blank before a text: it stays alone before a line's end, and both are taken off.
            return [token - self._words.first for token in self._words.encode("\n" + text)[2:]]
        try:
            return [self._number[sign] for sign in text]
        except KeyError:
            unknown = [sign for sign in dict.fromkeys(text) if sign not in self._number]
            name = unicodedata.name(unknown[0], f"U+{ord(unknown[0]):04X}")
            more = f", and {len(unknown) - 1} more that it has not" if unknown[1:] else ""
            known = "".join(sign for sign in self.characters if sign.isprintable())
            do = f"It knows {known[:120]}{' ...' if known[120:] else ''}"
            got = f"{unknown[0]!r} ({name}) in {text[:40]!r}{more}"
            raise UserError("only characters that the run has seen", got, do, "use") from None

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; bytes that are no UTF-8 become a mark of their own."""
        if self.characters:
            return "".join(self.characters[token] for token in tokens)
        return b"".join(self._words.spelled[token] for token in tokens).decode("utf-8", "replace")

    def spell(self, token: int) -> bytes:
        """The bytes of one token in UTF-8; a byte pair may hold a part of a character."""
        return self.characters[token].encode() if self.characters else self._words.spelled[token]

    @property
    def begin(self) -> int:
        """The token after which a text begins where nothing is given: a line's end, where there is one."""
        return (max(self.characters.find("\n"), 0)) if self.characters else ord("\n")

    def shown(self, token: int) -> str:
        """How one token is written in a picture: a blank as a low line, a line's end as \\n."""
        text = self.decode([token]) if self.characters else self._words.shown(token + self._words.first)
        return "".join(SIGNS.get(sign, sign) for sign in text)

    @property
    def letters(self) -> list[int]:
        """Of each token how many characters it begins: a byte that goes on with one begins none."""
        if self.characters:
            return [1] * len(self)
        return [sum(byte & 0xC0 != 0x80 for byte in spelled) for spelled in self._words.spelled]


def codec(facts: Facts) -> Codec | BytePairs:
    """The codec that is kept in a run's facts."""
    if facts["level"] == "gpt2":
        return BytePairs(facts["vocabulary"], facts["merges"])
    return Codec(facts["characters"], facts["merges"])


def text(place: Place, name: str = "verses", level: str = "character", vocabulary: int = 1024,
         length: int = 128) -> Data[Windows]:  # fmt: skip
    """The text that the user chose, else the embedded one called `name`, in windows of `length` tokens: characters, or
    (level "pairs") at most `vocabulary` byte pairs learned from its training part.

    Split where it stands: the first 90 % of its characters, the next 5 and the last 5 (as nanoGPT's, with its
    validation part halved), unless --split asks for other shares. A folder's texts are joined in order, a blank line
    between; line ends become one character. Large ones are kept as tokens in the cache, and mapped.

    Facts: kind, level, characters or merges, length, and data. UserError: anything wrong with the text.
    """
    choice = place.choice
    title, blocks, size, notes = chosen(choice.data or name)
    digest, count, used = surveyed(blocks)
    if not count:
        raise UserError("a text", f"{title}, which is empty", "Give a file with some text in it", "data")
    sizes = (0.9, 0.05, 0.05) if choice.split in ("", FINAL) else shares(choice.split)
    ends = [int(sizes[0] * count), int((sizes[0] + sizes[1]) * count), count]
    characters = "".join(map(chr, used)) if level == "character" else ""
    if len(characters) > MOST:
        got = f"{len(characters):,} in {title}"
        raise UserError(f"at most {MOST:,} different characters", got, "Take --level pairs", "data")
    merges = "" if characters else merged(blocks, ends[0], vocabulary)
    words = Codec(characters, merges)
    key = f"{digest}-{level}-{len(words)}-{ends[0]}-{ends[1]}" if size > MAPPED else ""
    tokens, counts = tokenised(blocks, ends, words, key)
    bounds = np.cumsum([0, *counts])
    if min(counts) <= 2 * length:
        got = f"{count:,} characters in {title}, of which {SPLITS[int(np.argmin(counts))]} has {min(counts):,} tokens"
        do = "Give a longer text, or lower --length"
        raise UserError(f"parts of more than {2 * length:,} tokens", got, do, "data")
    parts, kept = [], {}
    for k, split in enumerate(SPLITS):
        part = tokens[bounds[k] : bounds[k + 1]]
        if choice.split == FINAL and k == 0:
            part = tokens[: bounds[2]]
        seen = " (seen in training)" if split == "valid" and choice.split == FINAL else ""
        parts.append(Part(part, length, place, title + seen, split))
        kept[split] = len(parts[-1])
    notes = [f"{count:,} characters in {sum(counts):,} tokens of {len(words):,} kinds", *notes]
    share = "/".join(f"{100 * size:g}" for size in sizes)
    notes.append(f"split where it stands, {share} % of its characters; examples are windows of {length} tokens")
    if choice.split == FINAL:
        notes.append("the validation part is learned from, too (--split final)")
    data = {"name": title, **kept, "sha256": digest, "note": "; ".join(notes)}
    facts: Facts = {"kind": "text", "level": level, "characters": characters, "merges": merges, "length": length,
                    "data": data}  # fmt: skip
    return Data(parts[0], parts[1], parts[2], facts)


def chosen(name: str) -> tuple[str, Blocks, int, list[str]]:
    """Title of a text, what reads it, its size in bytes, and notes. UserError: there is none."""
    if name in EMBEDDED and not Path(name).exists():
        whole = verses()
        return EMBEDDED[name], lambda: iter([whole]), len(whole), []
    title, files, notes = files_of(name)
    size = 0 if name in KNOWN and not Path(name).exists() else sum(file.stat().st_size for file in files)
    return title, lambda: read(files), size, notes


def files_of(name: str) -> tuple[str, list[Path], list[str]]:
    """Title of a text, its files in order, and notes. UserError: there are none."""
    path = Path(name)
    if name in KNOWN and not path.exists():
        folders = [Path(os.environ.get("MILESTONES_DATA", "/nonexistent")), cache() / "texts"]
        at_hand = next((folder / KNOWN[name] for folder in folders if (folder / KNOWN[name]).is_file()), None)
        if at_hand is None:
            raise UserError(f"the text {KNOWN[name]}", f"none in {folders[-1]}", "Put it there", "data")
        return name, [at_hand], []
    if not path.exists():
        do = nearest(name, [*EMBEDDED, *KNOWN], f"Check the path, or name one of {', '.join([*EMBEDDED, *KNOWN])}")
        raise UserError("a text file or a folder of texts", f"{name}, which does not exist", do, "data")
    files = texts_in(path) if path.is_dir() else [path]
    if not files:
        raise UserError(f"a folder with texts ({', '.join(TEXTS)})", f"{path} without any", "Name a file", "data")
    notes = [f"{len(files):,} files joined, from {files[0].name} to {files[-1].name}"] if files[1:] else []
    return path.resolve().name, files, notes


def verses() -> str:
    """The English side of the embedded verses, a verse a line."""
    head, *rows = embedded("verses")
    english = head.index("en")
    return "\n".join(row[english] for row in rows) + "\n"


def read(files: Sequence[Path]) -> Iterator[str]:
    """The texts in files, one after the other with a blank line between, in blocks of whole lines. UserError: one that
    cannot be read, bytes that are no UTF-8, or none of a text."""
    for number, file in enumerate(files):
        before, end = 0, ""
        try:
            with gzip.open(file, "rb") if file.suffix.lower() == ".gz" else open(file, "rb") as stream:
                while block := stream.read(BLOCK) + stream.readline():
                    if (at := block.find(b"\0")) >= 0:
                        got = f"a zero byte in {file} line {before + block.count(10, 0, at) + 1}"
                        raise UserError("a text in UTF-8", got, "It is no text, or in UTF-16: save it as UTF-8", "data")
                    found = utf8(block, "a text", str(file), "data", before)
                    before += block.count(b"\n")
                    end = found[-1:]
                    yield found.replace("\r\n", "\n")
        except (OSError, EOFError, zlib.error) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            raise UserError("a text that can be read", f"{file} ({reason})", "Check the path", "data") from None
        if end and number + 1 < len(files):
            yield "\n" if end == "\n" else "\n\n"


def codes(piece: str) -> Integer[np.ndarray, "N"]:
    """The number of each character in Unicode."""
    return np.frombuffer(piece.encode("utf-32-le"), "<u4")


def surveyed(blocks: Blocks) -> tuple[str, int, list[int]]:
    """A hash of a text, its number of characters, and which there are, in order."""
    digest, count, seen = hashlib.sha256(), 0, np.zeros(0x110000, bool)
    for block in blocks():
        digest.update(block.encode())
        found = codes(block)
        seen[found] = True
        count += len(found)
    return digest.hexdigest(), count, np.flatnonzero(seen).tolist()


def merged(blocks: Blocks, end: int, vocabulary: int) -> str:
    """The byte pairs of a text's beginning, of the training part alone."""
    left, texts = min(end, LEARNED), []
    for block in blocks():
        texts.append(block[:left])
        left -= len(texts[-1])
        if not left:
            break
    return Vocabulary(learn(["".join(texts)], max(0, vocabulary - BYTES))).spell()


def tokenised(blocks: Blocks, ends: Sequence[int], words: Codec, key: str) -> tuple[np.ndarray, list[int]]:
    """All tokens of a text in a row, and how many come before each of `ends` (in characters), counted from the last.
    With a `key` they are kept in the cache under it, and mapped. UserError: no room there."""
    kind = np.dtype(np.uint8 if len(words) <= 256 else np.uint16)
    counts = [0] * len(ends)

    def encoded() -> Iterator[np.ndarray]:
        table = np.zeros(0x110000, kind)
        table[codes(words.characters)] = np.arange(len(words.characters))
        at = 0
        for block in blocks():
            cuts = [0, *(min(max(end - at, 0), len(block)) for end in ends)]
            for part, (first, last) in enumerate(itertools.pairwise(cuts)):
                piece = block[first:last]
                found = table[codes(piece)] if words.characters else np.array(words.encode(piece), kind)
                counts[part] += len(found)
                yield found
            at += len(block)

    if not key:
        return np.concatenate(list(encoded())), counts
    file = cache() / "texts" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.tokens"
    told = file.with_suffix(".json")
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        kept = [int(count) for count in json.loads(told.read_text())["counts"]]
        if len(kept) == len(ends) and sum(kept) * kind.itemsize == file.stat().st_size:
            return np.memmap(file, kind, "r"), kept
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        need, free = 1.05 * ends[-1] * kind.itemsize, shutil.disk_usage(file.parent).free
        if free < need:
            do = "Make room, or name another folder in XDG_CACHE_HOME"
            raise UserError(f"{need / 1e9:.1f} GB free for tokens in {file.parent}", f"{free / 1e9:.1f} GB", do, "data")
        with open(part, "wb") as stream:
            for found in encoded():
                found.tofile(stream)
        part.replace(file)
        told.write_text(json.dumps({"format": 1, "counts": counts}))
    except OSError as problem:
        raise UserError(f"room for tokens in {file.parent}", problem.strerror or str(problem),
                        "Free the disk or set XDG_CACHE_HOME", "data") from None  # fmt: skip
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return np.memmap(file, kind, "r"), counts
