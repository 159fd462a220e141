"""The files of a run folder, read with suspicion: they may be half-written, or made to harm."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.folder import inside, read_json

LARGEST_SHOW = 5 << 20  # bytes
LARGEST_FILM = 2 << 20  # that a page holds
LARGEST_LOG = 32 << 20
MOST_FILES = 60
SHOW = re.compile(r"([a-z][a-z0-9_]*)-(\d{1,18})-(.+)")


def _bytes(folder: Path, name: str, most: int) -> bytes:
    """The first `most` bytes of a regular file of the folder; none for links, pipes and what is missing."""
    try:
        path = inside(folder, name)
        if not stat.S_ISREG(path.lstat().st_mode):
            return b""
        with open(path, "rb") as file:
            return file.read(most)
    except (OSError, UserError, ValueError):
        return b""


def show(folder: Path, name: str) -> bytes:
    """A file of `shows/`; nothing if it is larger than LARGEST_SHOW or the folder is a link."""
    content = _bytes(folder, f"shows/{name}", LARGEST_SHOW + 1) if not (folder / "shows").is_symlink() else b""
    return content if len(content) <= LARGEST_SHOW else b""


def record(folder: Path, name: str) -> tuple[dict[str, Any], str]:
    """One JSON object, or {} and what is wrong with it. Of what is missing, only the report is told."""
    path = folder / name
    if not os.path.lexists(path):
        return {}, "No report.json: this run is not finished, or not scored." if name == "report.json" else ""
    if not path.is_symlink() and not path.is_file():
        return {}, f"{name} is not a regular file and was not read."
    try:
        return read_json(folder, name), ""
    except UserError as problem:
        return {}, f"{name} was not read: {problem.got}."


def log(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The lines of log.jsonl that are whole, and what is wrong with the rest."""
    text = _bytes(folder, "log.jsonl", LARGEST_LOG + 1)
    lines, broken = [], 0
    for line in text[:LARGEST_LOG].splitlines():
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            value, broken = None, broken + 1
        if isinstance(value, dict):
            lines.append(value)
    if len(text) > LARGEST_LOG:
        return lines, f"log.jsonl is larger than {LARGEST_LOG >> 20} MiB; the curves show its beginning."
    for line in lines:
        if isinstance(line.get("loss"), float) and not math.isfinite(line["loss"]):
            return lines, f"The loss was not a finite number at step {str(line.get('step'))[:20]}."
    return lines, f"log.jsonl: {broken} unreadable line{'s' * (broken > 1)} left out." if broken else ""


def latest(folder: Path) -> Iterator[tuple[str, str]]:
    """(title, file name) of the latest show of each stage and name, in the order of names."""
    shows = folder / "shows"
    if shows.is_symlink() or not shows.is_dir():
        return
    best: dict[tuple[str, str], tuple[int, str]] = {}
    for name in sorted(os.listdir(shows)):
        stem, suffix = os.path.splitext(name)
        if suffix not in (".png", ".json", ".txt", ".wav", ".webp", ".gif") or stem.startswith(
            ("mistake-", "suspect-")
        ):
            continue
        parts = SHOW.fullmatch(stem)
        stage, step, item = (parts[1], int(parts[2]), parts[3]) if parts else ("", 0, stem)
        if (stage, item) not in best or best[stage, item][0] <= step:
            best[stage, item] = step, name
    for (stage, item), (step, name) in sorted(best.items()):
        yield f"{item} · {stage}, step {step:,}" if stage else item, name


def media(content: bytes, name: str) -> object:
    """What a show file holds, as `Media.plain` gave it; None where it is damaged."""
    if name.endswith((".wav", ".webp", ".gif")):
        from ..media import Audio, Image, Video

        try:
            if name.endswith(".wav"):
                return Audio.decoded(content, name).plain()
            film = Video.decoded(content, name)  # what is no film is not embedded either
            moving = (name.rpartition(".")[2], content) if len(content) <= LARGEST_FILM else None
            return {**film.plain(), "strip": Image(film.strip()).encode()[1], "moving": moving}
        except UserError:
            return None
    text = content.decode(errors="replace")
    if name.endswith(".txt"):
        return text or None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value["value"] if isinstance(value, dict) and value.keys() == {"format", "value"} else value


def listing(folder: Path) -> dict[str, str]:
    """Names and sizes of what lies in the folder; links are named and not followed."""
    rows = {}
    for name in sorted(os.listdir(folder)):
        if name in ("report.html", "lock") or name.startswith("."):
            continue
        try:
            mode = (folder / name).lstat()
            if stat.S_ISDIR(mode.st_mode):
                sizes = [
                    entry.stat().st_size for entry in os.scandir(folder / name) if entry.is_file(follow_symlinks=False)
                ]
                rows[f"{name}/"] = f"{len(sizes):,} file{'s' * (len(sizes) != 1)}, {_size(sum(sizes))}"
            else:
                rows[name] = _size(mode.st_size) if stat.S_ISREG(mode.st_mode) else "not a regular file; not followed"
        except OSError:
            rows[name] = "not readable"
    more = {"…": f"and {len(rows) - MOST_FILES:,} more"} if len(rows) > MOST_FILES else {}
    return {**dict(list(rows.items())[:MOST_FILES]), **more}


def _size(count: int) -> str:
    if count < 10_000:
        return f"{count:,} bytes"
    return f"{count / 1000:,.0f} kB" if count < 10_000_000 else f"{count / 1e6:,.1f} MB"
