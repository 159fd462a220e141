"""The runs under one folder, as the studio reads them: by id, never by path; half-written or harmful files are said."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..catalog import shipped, user_runs
from ..core.errors import UserError
from ..core.folder import inside
from ..report import files
from ..report.published import comparable
from .curves import Curves, rows

LIVE_SECONDS = 15.0  # a run that trains writes its status every two
PIECE = 1 << 20  # bytes of a log that are read at once
MOST_SCORES = 60  # of a run
HUGE = 1e300
PARTS = (("config", "config", dict), ("config", "choice", dict), ("report", "data", dict), ("report", "versions", dict),
         ("report", "plan", str), ("plan", "words", str), ("plan", "tried", list))  # fmt: skip
DEEPEST = 40  # levels of a record that are sent


class Library:
    """All runs of a studio: the user's under `root`, and those that ship."""

    def __init__(self, root: Path) -> None:
        self.root, self.curves = root, Curves()
        self._found: dict[str, Path] = {}
        self._lines: dict[Path, tuple[tuple[Any, ...], dict[str, Any]]] = {}  # of runs whose files did not change

    def folders(self) -> dict[str, Path]:
        """Every run's folder by its id. An id is only ever looked up here: no path is made of what a browser sent."""
        mine = {half(folder.name): folder for folder in user_runs(self.root)}
        self._found = {**{f"shipped:{name}": folder for name, folder in shipped().items()}, **mine}
        return self._found

    def folder(self, run: str) -> Path:
        """The folder of an id. UserError: there is none."""
        found = self._found.get(run)
        if found is None or not (found / "config.json").is_file():
            found = self.folders().get(run)
        if found is None:
            raise UserError("a run of this studio", repr(run)[:60], "Reload the list")
        return found

    def listed(self) -> list[dict[str, Any]]:
        """A line for each run, the user's newest first."""
        folders = self.folders()
        lines = [self.line(run, folder) for run, folder in folders.items()]
        for gone in self._lines.keys() - set(folders.values()):
            self._lines.pop(gone, None)
        return sorted(lines, key=lambda line: (line["shipped"], -(line["began"] or 0)))

    def line(self, run: str, folder: Path) -> dict[str, Any]:
        """The summary of a run; its files are read again when they have changed, its state is asked each time."""
        stamp = (run, *(changed(folder / f"{name}.json") for name in ("config", "status", "report")))
        kept = self._lines.get(folder)
        if kept is None or kept[0] != stamp:
            kept = self._lines[folder] = (stamp, summary(run, folder))
        line = kept[1]
        return {**line, "state": state(folder, {"state": line["said"], "updated": line["updated"]})}

    def drawn(self, runs: Sequence[str], name: str, over: str, low: float, high: float) -> dict[str, Any]:
        """The curves of a quantity of several runs on one axis; see curves.py. Runs that are gone are left out."""
        logs = {}
        for run in runs:
            with contextlib.suppress(OSError, UserError):
                folder = self.folder(run)
                if not (folder / "log.jsonl").is_symlink() and stat.S_ISREG(os.stat(folder / "log.jsonl").st_mode):
                    logs[run] = folder / "log.jsonl"
        return self.curves.drawn(logs, name, over, low, high)

    def log(self, run: str) -> tuple[list[dict[str, Any]], int]:
        """The lines of a run's log, thinned where it is long, and the byte from which `tail` goes on."""
        folder = self.folder(run)
        with contextlib.suppress(OSError, UserError):
            return rows(inside(folder, "log.jsonl"))
        return [], 0

    def run(self, run: str) -> dict[str, Any]:
        """All that is known of one run but its curves."""
        folder = self.folder(run)
        read = {name: files.record(folder, f"{name}.json")[0] for name in ("config", "report", "plan", "env", "facts")}
        for name, part, kind in PARTS:
            if not isinstance(read[name].get(part, kind()), kind):
                read[name] = {k: v for k, v in read[name].items() if k != part}  # made by another hand: not shown
        ways = read["plan"].get("tried", [])
        read["plan"] = {**read["plan"], "tried": [way for way in ways if isinstance(way, dict)]}
        read["facts"] = {k: read["facts"][k] for k in ("labels", "data") if k in read["facts"]}
        lies = "in the program" if run.startswith("shipped:") else half(f"{self.root.name}/{folder.name}")
        return {**self.line(run, folder), **finite(read), "shows": finite(self.shows(run)), "lies": lies}

    def shows(self, run: str) -> list[dict[str, Any]]:
        """The samples of a run: {"file", "stage", "step", "name"}, by name and then by step."""
        folder, found = self.folder(run), []
        with contextlib.suppress(OSError, UserError):
            for name in sorted(os.listdir(inside(folder, "shows"))):
                parts = files.SHOW.fullmatch(os.path.splitext(name)[0])
                if parts and name.endswith((".png", ".json", ".txt", ".wav", ".webp", ".gif")):
                    found.append({"file": name, "stage": parts[1], "step": int(parts[2]), "name": parts[3]})
        return sorted(found, key=lambda item: (item["name"], item["stage"], item["step"]))

    def show(self, run: str, name: str) -> bytes:
        """A file of `shows`. UserError: not one of the list."""
        if name not in [item["file"] for item in self.shows(run)]:
            raise UserError("a sample of this run", repr(name)[:60], "Reload the run")
        return files.show(self.folder(run), name)

    def tail(self, run: str, offset: int) -> tuple[list[dict[str, Any]], int]:
        """The whole lines of the log from byte `offset` on, at most a piece of it, and the offset after them.

        A log that is shorter than that was cut back by a resumed run: it is read from its beginning.
        """
        with contextlib.suppress(OSError, UserError):
            path = inside(self.folder(run), "log.jsonl")
            size = path.stat().st_size
            offset = offset if 0 <= offset <= size else 0
            with open(path, "rb") as file:
                file.seek(offset)
                piece = file.read(PIECE)
            end = piece.rfind(b"\n") + 1
            return list(_lines(piece[:end])), offset + end
        return [], 0


def _lines(text: bytes) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line, parse_constant=lambda word: None)  # a browser reads no NaN
            if isinstance(value, dict):
                yield finite(value)


def changed(path: Path) -> tuple[int, int]:
    """Size and time of change of a file, to know it again."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def summary(run: str, folder: Path) -> dict[str, Any]:
    """One line about a run, from its config, status and report."""
    config, wrong = files.record(folder, "config.json")
    status, _ = files.record(folder, "status.json")
    report = files.record(folder, "report.json")[0] if (folder / "report.json").is_file() else {}
    found = report.get("findings")
    shown = [finding for finding in found if isinstance(finding, dict)] if isinstance(found, list) else []
    return {
        "run": run, "shipped": run.startswith("shipped:"), "problem": wrong or text(status, "problem"),
        "system": text(config, "system"), "preset": text(config, "preset"), "seed": number(config, "seed"),
        "command": text(config, "command"), "began": number(config, "began"), "said": text(status, "state"),
        "updated": number(status, "updated"), "state": state(folder, status),
        "stage": text(status, "stage"), "step": number(status, "step"), "total": number(status, "total"),
        "seconds": number(status, "seconds"), "scores": scores(report),
        "findings": finite(shown), "parameters": number(report, "parameters"),
        "rate": number(report or status, "rate"), "peak_share": number(report or status, "peak_share"),
    }  # fmt: skip


def state(folder: Path, status: Mapping[str, Any]) -> str:
    """starting, training, scoring, stopped, killed, finished, failed, or unreadable."""
    word = text(status, "state") or "starting"
    if word in ("training", "starting") and not alive(folder, number(status, "updated") or 0):
        return "killed"
    return word


def alive(folder: Path, updated: float) -> bool:
    """Whether a process works on the folder: it said so a moment ago, or the one that holds its lock is there."""
    if abs(time.time() - updated) < LIVE_SECONDS:  # a clock that was set back tells of the future
        return True
    pid = owner(folder)
    if not pid:
        with contextlib.suppress(OSError):
            return abs(time.time() - folder.stat().st_mtime) < LIVE_SECONDS
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def owner(folder: Path) -> int:
    """The process that last held the folder's lock; 0 if none did."""
    with contextlib.suppress(OSError, UserError):
        parts = re.match(r"process (\d{1,9}) on ", inside(folder, "lock").read_text(errors="replace")[:200])
        return int(parts[1]) if parts else 0
    return 0


def text(record: Mapping[str, Any], name: str) -> str:
    """A text of a record; empty where it is none."""
    value = record.get(name)
    return half(value) if isinstance(value, str) else ""


def half(word: str) -> str:
    """The text, with ? for halves of characters, which JSON and names of files may hold and UTF-8 may not."""
    return word if word.isascii() else word.encode(errors="replace").decode()


def number(record: Mapping[str, Any], name: str) -> float | None:
    """A number of a record; None where it is none."""
    value = record.get(name)
    return value if type(value) in (int, float) and -HUGE < value < HUGE else None


def scores(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores of a report that are whole, each with "comparable": whether its published figure may stand beside."""
    found = report.get("scores")
    kept = {}
    for name, score in list(found.items())[:MOST_SCORES] if isinstance(found, dict) else ():
        if isinstance(score, dict) and all(number(score, key) is not None for key in ("value", "low", "high")):
            told = {key: text(score, key) for key in ("unit", "better", "data", "split", "paper_data", "note")}
            figures = {key: number(score, key) for key in ("value", "low", "high", "over", "paper")}
            kept[name] = {**told, **figures, "comparable": comparable(score)}
    return kept


def finite(value: Any, depth: int = 0) -> Any:
    """JSON that came from a file, such that it can be sent: None for figures that JSON does not have and for what is
    nested too deeply, ? for half characters."""
    if isinstance(value, dict | list) and depth >= DEEPEST:
        return None
    if isinstance(value, dict):
        return {half(name): finite(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item, depth + 1) for item in value]
    if isinstance(value, str):
        return half(value)
    return value if not isinstance(value, float) or -HUGE < value < HUGE else None
