"""Texts side by side in files: tab-separated columns, aligned files of one line a sentence, JSON lines; plain or .gz.

What is wrong is said once, with its count and its first place: lines that are no UTF-8, columns too few or too many,
files of unequal length. Pairs with an empty side are left out and counted.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..core.errors import UserError
from ..media.sheet import SPLIT_COLUMNS, SPLIT_WORDS, column
from .fetch import LARGEST
from .pairing import CODE, TABLES, WAYS
from .splits import SPLITS

LANGUAGE_COLUMNS = ("language", "lang", "target_language")
BESIDE = {*SPLIT_COLUMNS, *LANGUAGE_COLUMNS}  # the texts


class Pair(NamedTuple):
    """A text and its translation."""

    source: str
    target: str
    language: str = ""  # of the target, where it is known
    split: str = ""


class Corpus(NamedTuple):
    """What files hold."""

    pairs: list[Pair]
    notes: list[str]  # what was left out, and why


class Table(NamedTuple):
    """Texts by column; `line[i]` is where row i stands in the file. None: a cell that is missing or unreadable."""

    columns: dict[str, list[str | None]]
    line: list[int]
    notes: list[str]
    split: str = ""  # of all rows


def corpus(word: str, target: str = "", skip: bool = False) -> Corpus:
    """All pairs of `word`: a file, a folder of files as train.en and train.de, or two files as ``a.en,a.de``. `target`
    chooses among several languages: ``de``, ``de,es`` or ``en-de``. With `skip` lines that are no UTF-8 are left
    out. UserError: anything else that is wrong."""
    path = Path(word)
    if "," in word and not path.exists():
        tables, ordered = [aligned([Path(part.strip()) for part in word.split(",")], skip)], True
    elif path.is_dir():
        tables, ordered = folder(path, skip), False
    else:
        tables, ordered = (
            [jsonl(path, skip) if ".json" in path.name or ".ndjson" in path.name else tsv(path, skip)],
            True,
        )
    found, notes = [], [note for table in tables for note in table.notes]
    empty, first = 0, ""
    for table in tables:
        source, targets, split, language = directed(list(table.columns), target, ordered, word)
        for goal in targets:
            code = goal if CODE.fullmatch(goal) else ""
            for k, (one, two) in enumerate(zip(table.columns[source], table.columns[goal], strict=True)):
                if not (one and one.strip() and two and two.strip()):
                    empty, first = empty + 1, first or f"line {table.line[k]}"
                    continue
                said = (table.columns[language][k] or "") if language else code
                where = (table.columns[split][k] or "") if split else table.split
                found.append(Pair(one.strip(), two.strip(), said, part_of(where, word, table.line[k]) if where else ""))
    if empty:
        notes.append(f"{empty:,} pairs with an empty side left out (first in {first})")
    if not found:
        raise UserError("sentences with their translations", f"none in {word}", "Give one pair a line", "data")
    return Corpus(found, notes)


def part_of(word: str, where: str, line: int) -> str:
    """The split that a word of a `split` column names. UserError: none."""
    if word.strip().lower() not in SPLIT_WORDS:
        got = f"{word!r} in {where} line {line}"
        raise UserError("train, valid or test in the column split", got, "Correct the line", "data")
    return SPLIT_WORDS[word.strip().lower()]


def directed(names: list[str], target: str, ordered: bool, where: str) -> tuple[str, list[str], str, str]:
    """The columns of the source and of the targets, and those of split and language, or "". UserError: unclear."""
    split, language = column(names, SPLIT_COLUMNS), column(names, LANGUAGE_COLUMNS)
    lower = {name.lower(): name for name in names}
    for one, two in WAYS:
        if one in lower and two in lower:
            return lower[one], [lower[two]], split, language
    texts = [name for name in names if name not in (split, language)]
    if not ordered:
        texts.sort(key=lambda name: (name != "en", name))
    source, goals = texts[0], [name for name in texts if name != texts[0]]
    if target:
        begin, dash, end = target.partition("-")
        chosen = end if dash and begin in texts else target
        goals = [name.strip() for name in chosen.split(",")]
        others = [name for name in texts if name not in goals]
        source = begin if dash and begin in texts else source if source in others else (others or [""])[0]
        if not set(goals) <= set(texts) or not source or source in goals:
            got = f"--target {target} for {where}"
            do = f"There are {', '.join(texts)}: write --target {texts[-1]} or --target {texts[0]}-{texts[-1]}"
            raise UserError("--target as one of its languages, or two as en-de", got, do, "data")
    if not goals:
        raise UserError("texts in two languages", f"{', '.join(texts) or 'none'} in {where}",
                        "Give source and target columns", "data")  # fmt: skip
    return source, goals, split, language


def embedded(name: str) -> list[list[str]]:
    """The rows of a table of sentences that ships, the names of its columns first: the split, then each language."""
    packed = Path(__file__).with_name(f"{name}.tsv.gz").read_bytes()
    return [line.split("\t") for line in gzip.decompress(packed).decode().splitlines()]


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked if it ends with .gz. UserError: not there, unreadable, too large."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb") as stream:
            found = stream.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise UserError("a file of texts", f"{path} ({reason})", "Check the path", "data") from None
    if len(found) > LARGEST:
        raise UserError(f"a text of at most {LARGEST >> 30} GB", f"more in {path}", "Take a part of it", "data")
    return found


def lines(path: Path, skip: bool = False) -> tuple[list[str | None], list[str]]:
    """The lines of a UTF-8 file, and notes. UserError: bytes that are no UTF-8, by line and byte; with `skip` these
    lines are None."""
    found: list[str | None] = []
    bad: list[tuple[int, int, int]] = []
    raw = content(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if raw and not raw[-1].strip():
        raw.pop()
    for number, line in enumerate(raw, 1):
        try:
            found.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as problem:
            bad.append((number, problem.start + 1, line[problem.start]))
            found.append(None)
    if not bad:
        return found, []
    number, at, byte = bad[0]
    where = f"byte {byte:#04x} at line {number}, byte {at} of {path.name}"
    if not skip:
        got = where + (f", and {len(bad) - 1:,} more such lines" if len(bad) > 1 else "")
        do = "Convert it to UTF-8, or leave such lines out with --skip-unreadable"
        raise UserError("text in UTF-8", got, do, "data")
    return found, [f"{len(bad):,} lines that are no UTF-8 left out (--skip-unreadable; first {where})"]


def tsv(path: Path, skip: bool = False) -> Table:
    """The columns of a tab-separated file. A first line that names them is known by its words: source and target, or
    codes of languages as en and de. UserError: other columns in some line, or no tab."""
    read, notes = lines(path, skip)
    if not read:
        raise UserError("sentences with their translations", f"{path}, which is empty", "Give one pair a line", "data")
    head = [cell.strip() for cell in (read[0] or "").split("\t")]
    named = len(head) > 1 and all(
        CODE.fullmatch(cell) or cell.lower() in {*WAYS[0], *WAYS[1], *BESIDE} for cell in head
    )
    if not named and len(head) != 2:
        got = f"{len(head)} without names in {path} line 1"
        do = "Name them in a first line: source, target, and perhaps split"
        raise UserError("two columns with a tab between", got, do, "data")
    names = head if named else ["source", "target"]
    columns: list[list[str | None]] = [[] for _ in names]
    wrong: list[tuple[int, int]] = []
    for number, line in enumerate(read[1:] if named else read, 2 if named else 1):
        cells: list[str | None] = [None] * len(names) if not (line or "").strip() else [*str(line).split("\t")]
        if len(cells) != len(names):
            wrong.append((number, len(cells)))
            continue
        for texts, cell in zip(columns, cells, strict=True):
            texts.append(cell)
    if wrong:
        number, count = wrong[0]
        got = f"{count} in {path} line {number}" + (f", and {len(wrong) - 1:,} more" if wrong[1:] else "")
        raise UserError(f"{len(names)} columns in each line, with tabs between", got, "Correct these lines", "data")
    first = 2 if named else 1
    return Table(dict(zip(names, columns, strict=True)), list(range(first, first + len(columns[0]))), notes)


def jsonl(path: Path, skip: bool = False) -> Table:
    """The rows of JSON lines: source and target, src and tgt, or codes of languages; also inside "translation".
    UserError: a line that is no such object."""
    read, notes = lines(path, skip)
    rows: list[dict[str, str | None]] = []
    numbers = []
    for number, line in enumerate(read, 1):
        if not (line or "").strip():
            continue
        try:
            row = json.loads(str(line))
            row = {**row, **row.pop("translation", {})}
        except (ValueError, TypeError, AttributeError, RecursionError):
            got = f"another text in {path} line {number}"
            raise UserError(
                "a JSON object on each line, with source and target", got, "Correct the line", "data"
            ) from None
        rows.append({str(name): value for name, value in row.items() if isinstance(value, str)})
        numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    known = {name for way in WAYS for name in way}
    kept = [n for n in names if n.lower() in known | BESIDE]
    if not any(name.lower() in known for name in kept):
        kept += [name for name in names if CODE.fullmatch(name)]
    if len(kept) < 2:
        got = f"{', '.join(names) or 'nothing'} in {path}"
        raise UserError("a JSON object on each line, with source and target", got, "Name the texts so", "data")
    return Table({name: [row.get(name) for row in rows] for name in kept}, numbers, notes)


def aligned(paths: Sequence[Path], skip: bool = False, split: str = "") -> Table:
    """Files of which each line translates that of the others. UserError: unequal numbers of lines."""
    if len(paths) < 2 or len({code_of(path) for path in paths}) < len(paths):
        got = ", ".join(str(path) for path in paths)
        raise UserError("files of different languages, as a.en,a.de", got, "Name them by their languages", "data")
    read = [lines(path, skip) for path in paths]
    if len({len(text) for text, _ in read}) > 1:
        got = " and ".join(f"{len(text):,} in {path.name}" for path, (text, _) in zip(paths, read, strict=True))
        do = "Line k of one must translate line k of the other: find where they part"
        raise UserError("files of equally many lines", got, do, "data")
    columns = {code_of(path): text for path, (text, _) in zip(paths, read, strict=True)}
    return Table(columns, list(range(1, len(read[0][0]) + 1)), [note for _, notes in read for note in notes], split)


def code_of(path: Path) -> str:
    """The language that a file's name ends with: that of train.en.gz is en."""
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[2] if "." in name else name


def stems(path: Path) -> dict[str, list[Path]]:
    """The files of a folder whose names end with a language, by what stands before it."""
    found: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        stem, dot, code = file.name.removesuffix(".gz").rpartition(".")
        if dot and file.is_file() and CODE.fullmatch(code) and not stem.startswith("."):
            found.setdefault(stem, []).append(file)
    return {stem: files for stem, files in found.items() if len(files) > 1}


def split_of(stem: str) -> str:
    """The split that a file's name begins with: that of test_2016_flickr is test."""
    return SPLIT_WORDS.get(re.split(r"[^A-Za-z]", stem)[0].lower(), "")


def folder(path: Path, skip: bool = False) -> list[Table]:
    """The tables of a folder: aligned files by split (of several test sets the first), else its one table."""
    found = stems(path)
    chosen = {split: next((stem for stem in found if split_of(stem) == split), "") for split in SPLITS}
    if chosen["train"]:
        tables = [aligned(found[stem], skip, split) for split, stem in chosen.items() if stem]
        both = set.intersection(*(set(table.columns) for table in tables))
        rest = [stem for stem in found if stem not in chosen.values()]
        if rest:
            tables[0].notes.append(f"not used: {', '.join(rest)}")
        return [t._replace(columns={name: t.columns[name] for name in sorted(both)}) for t in tables]
    if len(found) == 1:
        return [aligned(next(iter(found.values())), skip)]
    tables = [file for file in sorted(path.iterdir()) if file.name.removesuffix(".gz").endswith(TABLES)]
    by_split = {split_of(file.name): file for file in reversed(tables)}
    files = [by_split[split] for split in SPLITS if split in by_split] if "train" in by_split else tables[:1]
    if not files:
        got = f"{path} without train.en and train.de, or a .tsv or .jsonl"
        raise UserError("a folder of texts in two languages", got, "Name one file for each language", "data")
    read = [jsonl(file, skip) if ".json" in file.name or ".ndjson" in file.name else tsv(file, skip) for file in files]
    return [table._replace(split=split_of(file.name)) for table, file in zip(read, files, strict=True)]
