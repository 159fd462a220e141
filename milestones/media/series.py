"""A series: numbers in some channels, step after step; read from CSV, .npz and the .ts files of the UEA archive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError, nearest
from .npz import arrays_in
from .records import as_json, finite
from .sheet import LABEL_COLUMNS, MISSING, SPLIT_COLUMNS, SPLIT_WORDS, Sheet, column, sheet
from .utf8 import utf8

SUFFIXES = (".ts", ".npz", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
IDS = ("series", "series_id", "sequence", "sequence_id", "recording", "trial", "id")  # which rows are one series
TIMES = ("time", "t", "step", "timestamp", "frame")
GREATEST = float(np.finfo(np.float32).max)
NPZ = "a .npz with x (series x steps x channels) and y, or train_x, train_y, test_x and test_y"


@dataclass(frozen=True)
class Series:
    """Values "T C" over time, NaN where one is missing; what its channels are called, and, where it is known, its class
    and whether it is to learn from ("train") or to be tested on."""

    values: np.ndarray
    channels: tuple[str, ...]
    label: str = ""
    split: str = ""
    name: str = ""  # where it stands: the file and the line

    def __post_init__(self) -> None:
        assert self.values.ndim == 2 and self.values.shape[1] == len(self.channels), "one name a channel"

    @classmethod
    def open(cls, path: str | Path) -> list[Series]:
        """All series in a file. UserError: the first thing that is wrong with it."""
        found, problems = recorded(path)
        if problems:
            raise problems[0]
        return found

    def encode(self) -> tuple[str, bytes]:
        """JSON of channels and values."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """The values by channel, None where missing."""
        lines = zip(self.channels, self.values.T.tolist(), strict=True)
        return {"x": list(range(len(self.values))), "lines": {name: finite(line) for name, line in lines},
                "xlabel": "step", "ylabel": "", "logx": False, "logy": False}  # fmt: skip

    def __str__(self) -> str:
        return f"{len(self.values)} steps of {', '.join(self.channels[:4])}" + (", ..." if self.channels[4:] else "")


def recorded(path: str | Path, target: str = "") -> tuple[list[Series], list[UserError]]:
    """All series of a file, and what is wrong with the others. `target` names the column of the classes in a table.
    UserError: no such file, or nothing of it can be read."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".ts":
        return _ts(path)
    if suffix == ".npz":
        return _npz(path), []
    if suffix in SUFFIXES:
        return _table(path, target)
    do = f"Give one of {', '.join(SUFFIXES)}"
    raise UserError("a file of series", f"{path}, of another kind", do, "data")


def _number(cell: object) -> float:
    """The cell as a number, NaN where it is empty. ValueError: none, or none that float32 can hold."""
    text = "" if cell is None else str(cell).strip()
    if text.lower() in MISSING:
        return np.nan
    value = float(text)
    if abs(value) > GREATEST:
        raise ValueError
    return value


def _ts(path: Path) -> tuple[list[Series], list[UserError]]:
    """The series of a .ts file, a line each: its channels between colons, then its class."""
    try:
        lines = utf8(path.read_bytes(), "series", str(path), "data").splitlines()
    except OSError as problem:
        raise UserError("a .ts file", f"{path} ({problem.strerror})", "Check the path", "data") from None
    told: dict[str, str] = {}
    begin = 0
    for number, line in enumerate(lines):
        word, _, rest = line.strip().partition(" ")
        if word.lower() == "@data":
            begin = number + 1
            break
        if word.startswith("@"):
            told[word[1:].lower()] = rest.strip().lower()
    if not begin:
        raise UserError("a line @data and series below it", f"{path} without", "Fetch the file again", "data")
    if told.get("timestamps") == "true":
        raise UserError(
            "series without time stamps", f"@timeStamps true in {path}", "Write evenly spaced values", "data"
        )
    labelled = told.get("classlabel", "").startswith("true")
    found: list[Series] = []
    problems: list[UserError] = []
    channels: tuple[str, ...] = ()
    for number, line in enumerate(lines[begin:], begin + 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path} line {number}"
        parts = line.split(":")
        label = parts.pop().strip() if labelled else ""
        channels = channels or tuple(f"channel {k}" for k in range(1, len(parts) + 1))
        try:
            rows = [[_number(cell) for cell in part.split(",")] for part in parts]
        except ValueError:
            problems.append(UserError("numbers between commas, ? where one is missing", where, "Correct it", "data"))
            continue
        sizes = sorted({len(row) for row in rows})
        if len(rows) != len(channels) or len(sizes) != 1:
            got = f"{len(rows)} of {' and '.join(map(str, sizes))} in {where}"
            want = f"{len(channels)} channels of one length in each series"
            problems.append(UserError(want, got, "Correct the line", "data"))
            continue
        found.append(_cut(np.array(rows, np.float32).T, channels, label, _part_of(path), where))
    return found, problems


def _part_of(path: Path) -> str:
    """train, valid or test, where the file's name says it."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((SPLIT_WORDS[word] for word in reversed(words) if word in SPLIT_WORDS), "")


def _cut(values: np.ndarray, channels: tuple[str, ...], label: str, split: str, name: str) -> Series:
    """Without the steps at the end at which all is missing: how shorter series are filled up in tables."""
    there = np.flatnonzero(~np.isnan(values).all(1))
    return Series(values[: int(there[-1]) + 1 if len(there) else 0], channels, label, split, name)


def _npz(path: Path) -> list[Series]:
    arrays = arrays_in(path, NPZ, "data")
    names = arrays.get("channels")
    found: list[Series] = []
    for split in ("", *SPLIT_WORDS):
        x, y, length = (_named(arrays, split, words) for words in (("x", "series"), ("y", "label"), ("length",)))
        if x is None:
            continue
        if x.ndim == 2:
            x = x[:, :, None]
        if x.ndim != 3 or x.dtype.kind not in "iuf" or 0 in x.shape:
            raise UserError("numbers, series x steps x channels", f"{x.shape} of {x.dtype} in {path}", NPZ, "data")
        if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iuUb"):
            got = f"{y.shape} of {y.dtype} in {path}"
            raise UserError(f"a class for each of {len(x)} series, whole numbers or texts", got, NPZ, "data")
        if length is not None and (length.shape != (len(x),) or length.dtype.kind not in "iu"):
            got = f"{length.shape} of {length.dtype} in {path}"
            raise UserError(f"a length for each of {len(x)} series", got, "Leave it out", "data")
        if (np.abs(x) > GREATEST).any():
            raise UserError("finite values, NaN where one is missing", f"infinity in {path}", "Clean it", "data")
        fits = names is not None and names.shape == (x.shape[2],)
        channels = tuple(map(str, names)) if fits else tuple(f"channel {k + 1}" for k in range(x.shape[2]))
        for i, values in enumerate(x.astype(np.float32)):
            label = "" if y is None else str(y[i])
            values = values if length is None else values[: max(0, int(length[i]))]
            found.append(_cut(values, channels, label, SPLIT_WORDS.get(split, ""), f"{path} series {i + 1}"))
    if not found:
        raise UserError(NPZ, f"{path} with {', '.join(arrays) or 'nothing'}", "Rename its arrays", "data")
    return found


def _named(arrays: Mapping[str, np.ndarray], split: str, words: Sequence[str]) -> np.ndarray | None:
    """The array of these names, for a split with its name before or behind it."""
    spelled = [s for word in words for s in ((f"{split}_{word}", f"{word}_{split}") if split else (word,))]
    return next((arrays[name] for name in spelled if name in arrays), None)


def _table(path: Path, target: str) -> tuple[list[Series], list[UserError]]:
    """The series of a table: a row for each step where columns say which series or when, else a row for each series."""
    table = sheet(path)
    names = list(table.columns)
    if target and target not in names:
        do = nearest(target, names, "Name one of these with --target")
        raise UserError(f"the target column {target!r}", f"columns {', '.join(names)[:200]} in {path}", do, "data")
    label, which, time = target or column(names, LABEL_COLUMNS), column(names, IDS), column(names, TIMES)
    part = column(names, SPLIT_COLUMNS)
    values = [name for name in names if name not in (label, part, which, time)]
    long = bool(time) or (bool(which) and len(set(map(str, table.columns[which]))) < len(table.lines))
    rows = _rows(table, which, time) if long else [("", [i]) for i in range(len(table.lines))]
    channels, order = (tuple(values), values) if long else _wide(values)
    if not values:
        raise UserError("columns of numbers", f"none in {path}", "Add the measured values", "data")
    found: list[Series] = []
    problems: list[UserError] = []
    for name, lines in rows:
        where = f"{path} line {table.lines[lines[0]]}" + (f" (series {name})" if name else "")
        try:
            cells = np.array([[_number(table.columns[c][i]) for c in order] for i in lines], np.float32)
        except ValueError:
            problems.append(UserError("finite numbers, empty where one is missing", where, "Correct it", "data"))
            continue
        labels = {str(table.columns[label][i] if table.columns[label][i] is not None else "").strip() for i in lines
                  } if label else {""}  # fmt: skip
        parts = {str(table.columns[part][i] or "").strip().lower() for i in lines} if part else {_part_of(path)}
        if len(labels) > 1 or len(parts) > 1 or not parts <= {"", *SPLIT_WORDS}:
            got = f"{', '.join(sorted(labels if len(labels) > 1 else parts))} in {where}"
            want = "one class and one split (train, valid or test) for a series"
            problems.append(UserError(want, got, "Correct its rows", "data"))
            continue
        split = SPLIT_WORDS.get(parts.pop(), "")
        found.append(_cut(cells.reshape(-1, len(channels)), channels, labels.pop(), split, where))
    return found, problems


def _rows(table: Sheet, which: str, time: str) -> list[tuple[str, list[int]]]:
    """Which rows belong to one series, in the order of time. UserError: a time that is no number."""
    groups: dict[str, list[int]] = {}
    for i in range(len(table.lines)):
        groups.setdefault(str(table.columns[which][i]).strip() if which else "", []).append(i)
    if time:
        try:
            at = [_number(cell) for cell in table.columns[time]]
            if np.isnan(at).any():
                raise ValueError
        except ValueError:
            cells = table.columns[time]
            i = next(i for i, cell in enumerate(cells) if not _is(_number, cell))
            got = f"{cells[i]!r} in {table.path} line {table.lines[i]}"
            raise UserError(f"a number in each row of {time!r}", got, "Correct it", "data") from None
        groups = {name: sorted(lines, key=at.__getitem__) for name, lines in groups.items()}
    return list(groups.items())


def _is(convert: Callable[[object], float], cell: object) -> bool:
    try:
        return not np.isnan(convert(cell))
    except ValueError:
        return False


def _wide(names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The channels of a row that is a series, and its columns step by step. Columns as x_1, x_2, y_1, y_2 are two
    channels of two steps; others are one channel in the order of the columns."""
    split = [re.fullmatch(r"(.*?)[ _.]?(\d+)", name) for name in names]
    of: dict[str, dict[int, str]] = {}
    for match, name in zip(split, names, strict=True):
        if match:
            of.setdefault(match[1], {})[int(match[2])] = name
    same = all(split) and len({tuple(sorted(steps)) for steps in of.values()}) == 1
    if not same or sum(map(len, of.values())) != len(names):
        return ("value",), list(names)
    steps = sorted(next(iter(of.values())))
    return tuple(prefix or "value" for prefix in of), [of[prefix][step] for step in steps for prefix in of]


def files_of(folder: Path) -> Iterator[Path]:
    """The files of series in a folder: of .ts, else of .npz, else tables, those of the kind of which there are some."""
    names = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    for kinds in ((".ts",), (".npz",), SUFFIXES):
        found = [path for path in names if path.suffix.lower() in kinds]
        if found:
            yield from found
            return
