"""Curves of many logs at once: columns of a thinned log, kept in memory, and put on one axis for a chart.

A log of 100,000 lines is not read: about a thousand whole lines at evenly spaced bytes are, with its first and last.
A zoom reads the lines of its own range in the same way. Knows no NumPy: the server imports it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

POINTS = 1000  # of a curve: more cannot be told apart on a chart
EXACT = 2000  # steps of all curves together that are sent as they are
LINES = 60_000  # that are read for one question, shared by its runs
LEAST, MOST = 700, 12_000  # lines of one log
CELLS = 6_000_000  # numbers kept in memory, 8 bytes each
NAMES = 60  # of quantities of one log
LONGEST = 1 << 17  # bytes of a line
SCANNED = 64 << 20  # bytes of a log that are looked through for a rare quantity
RARE = 0.2  # share of the lines below which a quantity is looked for in all
HUGE = 1e30  # figures beyond it are gaps
NOT_CURVES = ("stage", "format", "vitals")
NAN, NUMBERS = math.nan, (int, float)

Pair = tuple[int, dict[str, Any]]  # a line's first byte, and what it says


@dataclass
class Log:
    """An open log up to its last whole line; counts what is read of it."""

    file: IO[bytes]
    end: int = 0
    bytes: int = 0

    def read(self, at: int, count: int) -> bytes:
        """`count` bytes from byte `at` on, fewer at the end."""
        self.file.seek(at)
        piece = self.file.read(max(0, min(count, self.end - at))) if self.end else self.file.read(count)
        self.bytes += len(piece)
        return piece

    def close_at(self, size: int) -> None:
        """Set the end: after the last line that is whole."""
        tail = self.read(max(0, size - LONGEST), LONGEST)
        self.end = max(0, size - LONGEST) + tail.rfind(b"\n") + 1 if b"\n" in tail else 0

    def whole(self, begin: int, end: int) -> list[Pair]:
        """All lines of a piece."""
        pieces, at = self.read(begin, end - begin).split(b"\n")[:-1], begin
        starts = []
        for piece in pieces:
            starts.append(at)
            at += len(piece) + 1
        return paired(starts, pieces)

    def thin(self, begin: int, end: int, wanted: int) -> tuple[list[Pair], bool]:
        """About `wanted` lines of a piece at evenly spaced bytes, its first and its last ones among them; and whether
        lines were left out."""
        if end - begin <= LONGEST:
            return self.whole(begin, end), False
        head = self.read(begin, 4096)
        usual = len(head) // max(1, head.count(b"\n"))
        if end - begin <= 2 * wanted * usual:
            return self.whole(begin, end), False
        block, stride, after = max(256, 5 * usual // 2), (end - begin) / wanted, begin
        starts, lines, seek, read = [], [], self.file.seek, self.file.read
        for i in range(wanted):
            at = begin + int(i * stride)
            if at < after:
                continue
            at -= at > begin  # a line that begins here counts: the byte before it is a line's end
            seek(at)
            piece = read(block)
            self.bytes += len(piece)
            start = piece.find(b"\n") + 1 if at > begin else 0
            stop = piece.find(b"\n", start)
            if stop < 0 or (start == 0 and at > begin):
                piece = self.read(at, LONGEST)
                start = piece.find(b"\n") + 1 if at > begin else 0
                stop = piece.find(b"\n", start)
                if stop < 0:
                    continue
            starts.append(at + start)
            lines.append(piece[start:stop])
            after = at + stop + 1
        at = max(after, end - 4 * block)
        last = self.read(at, end - at)
        first = last.find(b"\n") + 1 if at > after else 0
        at += first
        for line in last[first:].split(b"\n")[:-1]:
            starts.append(at)
            lines.append(line)
            at += len(line) + 1
        return paired(starts, lines), True

    def holding(self, name: str, begin: int, end: int) -> list[Pair]:
        """All lines that name a quantity, by looking through the bytes and not at their meaning."""
        mark, found, at = json.dumps(name).encode() + b":", [], begin
        starts = []
        while at < end:
            piece = self.read(at, 1 << 20)
            stop = piece.rfind(b"\n") + 1
            spot = piece.find(mark, 0, stop)
            while spot >= 0:
                start, last = piece.rfind(b"\n", 0, spot) + 1, piece.find(b"\n", spot)
                starts.append(at + start)
                found.append(piece[start:last])
                spot = piece.find(mark, last, stop)
            at += stop or len(piece)
        return paired(starts, found)


def paired(starts: Sequence[int], lines: Sequence[bytes]) -> list[Pair]:
    """Lines as JSON objects, with where they begin; without those that are none."""
    try:
        values = json.loads(b"[" + b",".join(lines) + b"]")
        if len(values) != len(lines):
            raise ValueError("a line that holds several values")
    except (ValueError, RecursionError):
        values = [parsed(line) for line in lines]
    return [pair for pair in zip(starts, values, strict=True) if isinstance(pair[1], dict)]


def parsed(line: bytes) -> Any:
    """One line, None where it is no JSON."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(line)
    return None


def plain(value: Any) -> bool:
    """Whether a value is a number that can be drawn."""
    return type(value) in NUMBERS and -HUGE < value < HUGE


@dataclass
class Sheet:
    """Lines of a log as columns, in the order of the log; NaN where a line lacks a number."""

    at: array[int] = field(default_factory=lambda: array("q"))
    stage: list[str] = field(default_factory=list)
    columns: dict[str, array[float]] = field(default_factory=dict)

    def add(self, pairs: Sequence[Pair]) -> None:
        """Append lines. Those without a step are left out."""
        kept = [pair for pair in pairs if type(pair[1].get("step")) in NUMBERS]
        rows, before = [row for _, row in kept], len(self.at)
        self.at.extend([at for at, _ in kept])
        self.stage += [stage if type(stage := row.get("stage")) is str else "" for row in rows]
        kinds = {tuple(row): row for row in rows}  # lines that name the same quantities: few kinds
        names = {name: 1 for row in kinds.values() for name, value in row.items() if type(value) in NUMBERS}
        for name in [n for n in names if n not in self.columns and n not in NOT_CURVES][: NAMES - len(self.columns)]:
            self.columns[name] = array("d", [NAN]) * before
        for name, column in self.columns.items():
            values = [row.get(name, NAN) for row in rows]
            try:
                column.extend(array("d", values))
            except (TypeError, OverflowError):
                column.extend(float(value) if plain(value) else NAN for value in values)

    def share(self, name: str) -> float:
        """Of the lines, how many have the quantity."""
        column = self.columns.get(name, ())
        return sum(value == value for value in column) / max(1, len(self.at))

    def series(self, name: str, over: str) -> dict[str, tuple[list[float], list[float]]]:
        """x and y of each stage that has the quantity."""
        xs, ys = self.columns.get(over), self.columns.get(name)
        found: dict[str, tuple[list[float], list[float]]] = {}
        if xs is None or ys is None:
            return found
        for stage, x, y in zip(self.stage, xs, ys, strict=True):
            if -HUGE < y < HUGE and -HUGE < x < HUGE:  # no NaN is
                if stage not in found:
                    found[stage] = ([], [])
                found[stage][0].append(x)
                found[stage][1].append(y)
        return found


@dataclass
class Kept:
    """What is remembered of one log."""

    stamp: tuple[int, int, int]  # size, time of change and number of the file
    wanted: int
    end: int
    mark: bytes  # the last line, to know the log again after it grew
    sheet: Sheet
    thinned: bool
    rare: dict[str, tuple[int, Sheet]] = field(default_factory=dict)  # name -> where the search ended, what it found

    @property
    def cells(self) -> int:
        sheets = [self.sheet, *(sheet for _, sheet in self.rare.values())]
        return sum(len(sheet.at) * (2 + len(sheet.columns)) for sheet in sheets)


class Curves:
    """The curves of a library's logs. What was read is kept, at most CELLS numbers, the longest unused goes first."""

    def __init__(self) -> None:
        self.bytes = 0  # read from logs so far
        self._kept: OrderedDict[Path, Kept] = OrderedDict()
        self._one = threading.Lock()  # the server asks from several threads

    def drawn(self, logs: Mapping[str, Path], name: str, over: str = "step", low: float = -math.inf,
              high: float = math.inf) -> dict[str, Any]:  # fmt: skip
        """The curves of one quantity on one axis: {"x", "curves": [{"run", "stage", "y"}], "names", "thinned"}.

        `y` has None where a curve has no point. `thinned`: the runs of whose log not every line was read, or drawn.
        """
        with self._one:
            return self._drawn(logs, name, over, low, high)

    def _drawn(self, logs: Mapping[str, Path], name: str, over: str, low: float, high: float) -> dict[str, Any]:
        wanted = max(LEAST, min(MOST, LINES // max(1, len(logs))))
        names: dict[str, int] = {}
        lines, thinned = [], []
        for run, path in logs.items():
            kept = self._known(path, wanted)
            if kept is None:
                continue
            names |= dict.fromkeys(kept.sheet.columns, 1)
            sheet, partly = self._sheet(path, kept, name, over, low, high, wanted)
            if partly:
                thinned.append(run)
            for stage, (xs, ys) in sheet.series(name, over).items():
                inside = [i for i, x in enumerate(xs) if low <= x <= high]
                if len(inside) < len(xs):
                    xs, ys = [xs[i] for i in inside], [ys[i] for i in inside]
                if xs:
                    lines.append((run, stage, xs, ys))
        x, columns, cut = gridded([(xs, ys) for _, _, xs, ys in lines])
        thinned += [run for run in dict.fromkeys(line[0] for line in lines) if cut and run not in thinned]
        return {
            "x": x, "names": [n for n in names if n not in ("step", "seconds")], "thinned": thinned,
            "curves": [{"run": run, "stage": stage, "y": y}
                       for (run, stage, _, _), y in zip(lines, columns, strict=True)],
        }  # fmt: skip

    def _known(self, path: Path, wanted: int) -> Kept | None:
        """What is kept of a log, brought up to date; None where there is no log."""
        try:
            facts = os.stat(path)
            stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
            kept = self._kept.get(path)
            if kept and kept.stamp == stamp and (kept.wanted >= wanted or not kept.thinned):
                self._kept.move_to_end(path)
                return kept
            with open(path, "rb", buffering=0) as file:
                log = Log(file)
                kept = self._read(log, stamp, kept, wanted)
                self.bytes += log.bytes
        except OSError:
            return None
        self._kept[path] = kept
        self._kept.move_to_end(path)
        while len(self._kept) > 1 and sum(each.cells for each in self._kept.values()) > CELLS:
            self._kept.popitem(last=False)
        return kept

    def _read(self, log: Log, stamp: tuple[int, int, int], kept: Kept | None, wanted: int) -> Kept:
        """Read a log, or what it has more than before."""
        log.close_at(stamp[0])
        grown = kept and kept.stamp[2] == stamp[2] and 0 < kept.end <= log.end and kept.wanted >= wanted
        if kept and grown and log.read(kept.end - len(kept.mark), len(kept.mark)) == kept.mark:
            share = (log.end - kept.end) / kept.end if kept.thinned else 1.0
            more = max(1, math.ceil(len(kept.sheet.at) * share))
            pairs, cut = log.thin(kept.end, log.end, more)
            if len(kept.sheet.at) + len(pairs) <= 4 * kept.wanted:
                kept.sheet.add(pairs)
                kept.stamp, kept.end, kept.mark = stamp, log.end, log.read(max(0, log.end - 80), 80)
                kept.thinned = kept.thinned or cut
                return kept
        pairs, cut = log.thin(0, log.end, wanted)
        sheet = Sheet()
        sheet.add(pairs)
        return Kept(stamp, wanted, log.end, log.read(max(0, log.end - 80), 80), sheet, cut)

    def _sheet(self, path: Path, kept: Kept, name: str, over: str, low: float, high: float,
               wanted: int) -> tuple[Sheet, bool]:  # fmt: skip
        """The lines to draw a quantity from: those kept; all that have it, where few do; those of a zoom's range."""
        if not kept.thinned:
            return kept.sheet, False
        sparse = kept.sheet.share(name) < RARE
        zoomed = math.isfinite(low) or math.isfinite(high)
        if not sparse and not zoomed:
            return kept.sheet, True
        with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
            log = Log(file, kept.end)
            try:
                if sparse:
                    at, sheet = kept.rare.get(name, (0, Sheet()))
                    stop = min(kept.end, SCANNED)
                    if at < stop:
                        sheet.add(log.holding(name, at, stop))
                        kept.rare[name] = (stop, sheet)
                    return sheet, kept.end > SCANNED
                begin, end = extent(kept.sheet, over, low, high, kept.end)
                sheet = Sheet()
                pairs, cut = log.thin(begin, end, wanted)
                sheet.add(pairs)
                return sheet, cut
            finally:
                self.bytes += log.bytes
        return kept.sheet, True


def rows(path: Path, wanted: int = 4 * POINTS) -> tuple[list[dict[str, Any]], int]:
    """The lines of a log, thinned where it is long, and the byte after its last whole line. Of quantities that few
    lines have, as far as the end of the log names them, all are there. OSError: no such file."""
    with open(path, "rb", buffering=0) as file:
        log = Log(file)
        log.close_at(os.fstat(file.fileno()).st_size)
        pairs, cut = log.thin(0, log.end, wanted)
        found = dict(pairs)
        if cut:
            sheet = Sheet()
            sheet.add(pairs)
            for name in {name for _, row in pairs[-10:] for name in row} - set(NOT_CURVES):
                if sheet.share(name) < RARE:
                    found.update(log.holding(name, 0, min(log.end, SCANNED)))
        return [found[at] for at in sorted(found)], log.end


def extent(sheet: Sheet, over: str, low: float, high: float, end: int) -> tuple[int, int]:
    """First and last byte of the lines whose x may lie in a range, as far as the lines of a sheet tell."""
    xs = sheet.columns.get(over, array("d"))
    inside = [i for i, x in enumerate(xs) if low <= x <= high]
    if not inside:  # between two lines of the sheet
        after = bisect_left(xs, low)
        inside = [min(after, len(xs) - 1)]
    first, last = max(0, inside[0] - 1), inside[-1] + 1
    return sheet.at[first], sheet.at[last] if last < len(sheet.at) else end


def gridded(lines: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[list[float], list[list[Any]], bool]:
    """One axis for several curves, each curve on it, and whether any was cut.

    Where all have few points together, the axis has each of them. Otherwise it has POINTS places, two a bucket: a
    curve has its lowest and its highest value of the bucket there, in their order, so that no peak is lost.
    """
    steps: set[float] = set()
    for xs, _ in lines:
        steps.update(xs)
        if len(steps) > EXACT:
            break
    if len(steps) <= EXACT:
        axis = sorted(steps)
        place = {x: i for i, x in enumerate(axis)}
        columns: list[list[Any]] = []
        for xs, ys in lines:
            column: list[Any] = [None] * len(axis)
            for x, y in zip(xs, ys, strict=True):
                column[place[x]] = y
            columns.append(column)
        return axis, columns, False
    low, high = min(min(xs) for xs, _ in lines), max(max(xs) for xs, _ in lines)
    scale = (POINTS // 2 - 1e-9) / (high - low)
    axis = [float(f"{low + (high - low) * i / (POINTS - 1):.7g}") for i in range(POINTS)]
    return axis, [bucketed(xs, ys, low, scale) for xs, ys in lines], True


def bucketed(xs: Iterable[float], ys: Iterable[float], low: float, scale: float) -> list[Any]:
    """A curve on POINTS places: the lowest and the highest value of each bucket, in the order in which they came."""
    column: list[Any] = [None] * POINTS
    for x, y in zip(xs, ys, strict=True):
        spot = 2 * int((x - low) * scale)
        one, two = column[spot], column[spot + 1]
        if one is None:
            column[spot] = y
        elif two is None:
            column[spot + 1] = y
        else:  # y takes the later place of the extreme that it passes
            least, most = (one, two) if one < two else (two, one)
            if y < least:
                column[spot], column[spot + 1] = most, y
            elif y > most:
                column[spot], column[spot + 1] = least, y
    return column
