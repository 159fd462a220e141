"""Whether a path holds sentences with their translations, told from names and first lines alone."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

PAIRS = ("numbers", "dates", "verses", "multi30k")  # known sets
WAYS = (("source", "target"), ("src", "tgt"))
CODE = re.compile(r"[a-z]{2}([-_][A-Za-z]{2,4})?")
TABLES = (".tsv", ".jsonl", ".ndjson")
LINES = 20  # of a table without names that are looked at


def paired(path: Path) -> str:
    """Why it holds sentence pairs, in words that can follow "because"; empty where it does not."""
    if "," in str(path) and not path.exists():
        parts = [Path(part.strip()) for part in str(path).split(",")]
        return "these are files of one line a sentence" if all(part.is_file() for part in parts) else ""
    if path.is_dir():
        files: dict[str, list[str]] = {}
        for file in sorted(path.iterdir()):
            stem, _, code = file.name.removesuffix(".gz").rpartition(".")
            if stem and CODE.fullmatch(code) and file.is_file():
                files.setdefault(stem, []).append(file.name)
        both = next((names for names in files.values() if len(names) > 1), [])
        return f"{both[0]} and {both[1]} are one text in two languages" if both else ""
    if not path.is_file() or not path.name.lower().removesuffix(".gz").endswith(TABLES):
        return ""
    first = _first(path)
    if ".tsv" not in path.name.lower():
        return f"{path.name} has a text and its translation on each line" if first and _translates(first[0]) else ""
    rows = [line.split("\t") for line in first]
    if not rows:
        return ""
    names = {cell.strip().lower() for cell in rows[0]}
    codes = [name for name in names if CODE.fullmatch(name)]
    if any(set(way) <= names for way in WAYS) or (len(codes) > 1 and len(codes) >= len(names) - 2):
        return f"the columns of {path.name} are texts in two languages"
    words = [len(cell.split()) > 1 for row in rows for cell in row]
    if all(len(row) == 2 for row in rows) and sum(words) >= 0.8 * len(words):
        return f"{path.name} has two columns of sentences"
    return ""


def _first(path: Path) -> list[str]:
    """The first lines of a text; none of a file that is no .gz though it is called so."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb") as stream:
            head = stream.read(100_000).decode("utf-8-sig", "replace")
    except (OSError, EOFError):
        return []
    return [line for line in head.splitlines()[:LINES] if line.strip()]


def _translates(line: str) -> bool:
    """Whether a line is a JSON object with a text and its translation."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(row, dict):
        return False
    names = {str(name).lower() for name in {**row, **(row.get("translation") or {})}}
    return "translation" in names or any(set(way) <= names for way in WAYS)
