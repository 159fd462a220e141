"""Tables in files: CSV and TSV by the standard library, JSON lines, Parquet by pyarrow."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import UserError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MISSING = frozenset(("", "na", "n/a", "nan", "null", "?"))
LABEL_COLUMNS = ("label", "class", "target", "category")
TEXT_COLUMNS = (
    "text", "texts", "sentence", "review", "message", "comment", "content", "document", "body", "tweet", "question",
    "utterance", "headline", "abstract", "description", "title",
)  # fmt: skip
WORDY, LOOKED_AT = 3.0, 1000  # words a cell in a column of texts; cells that are looked at
SPLIT_COLUMNS = ("split", "subset", "partition")
SPLIT_WORDS = {  # what stands in such a column, or names a folder or a file of a split
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
}  # fmt: skip
CELLS = 200_000_000  # above it a table would not fit an ordinary memory


class Sheet(NamedTuple):
    """A table by columns. `lines[i]` is where row i stands in the file (its number in a Parquet file)."""

    path: Path
    columns: dict[str, list[Any]]  # text, number, truth value, or None where missing
    lines: list[int]
    comma: bool = False  # numbers may be written 1,5


def sheet(path: str | Path) -> Sheet:
    """The table in a file. UserError: unreadable, without rows, ragged, column named twice."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".parquet":
            found = _parquet(path)
        elif path.suffix.lower() in (".jsonl", ".ndjson"):
            found = _jsonl(path)
        else:
            found = _csv(path)
    except OSError as problem:
        raise UserError("a table", f"{path} ({problem.strerror or problem})", "Check the path") from None
    if not found.columns or not found.lines:
        raise UserError("a table with a line of column names and rows", f"{path} without rows", "Add rows")
    return found


def header(path: Path) -> list[str]:
    """The column names of a CSV, TSV or JSON lines file; empty if it has none."""
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        with open(path, encoding="utf-8-sig", errors="replace") as stream:
            try:
                first = json.loads(stream.readline(1_000_000))
            except (ValueError, RecursionError):  # ValueError: also a number of too many digits
                return []
        return [str(name) for name in first] if isinstance(first, dict) else []
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as stream:
        line = stream.readline(1_000_000)
    try:
        return next(csv.reader([line], delimiter=_delimiter(line, path)), [])
    except csv.Error:
        return []


def is_named(path: Path, folder: bool = False) -> bool:
    """Whether there is a file (a folder) of a name that a cell holds. One that is too long for a name is none."""
    try:
        return path.is_dir() if folder else path.is_file()
    except OSError:
        return False


def column(names: Iterable[str], wanted: Iterable[str]) -> str:
    """The column that is called by one of the wanted words, in any case, by the earliest of them; "" if there is
    none."""
    by_word = {name.strip().lower(): name for name in reversed(list(names))}
    return next((by_word[word] for word in wanted if word in by_word), "")


def head(path: Path, rows: int = 50) -> dict[str, list[str]]:
    """The first rows of a CSV, TSV or JSON lines file by column, as texts; empty where they cannot be told."""
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as stream:
        lines = stream.read(200_000).splitlines(keepends=True)[: 20 * rows]
    try:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            found = [json.loads(line) for line in lines[:rows]]
            return {name: [str(row.get(name, "")) for row in found] for name in found[0]} if found else {}
        names, *cells = csv.reader(lines, delimiter=_delimiter(lines[0], path))
        cells = [row for row in cells[: min(rows, max(1, len(cells) - 1))] if len(row) == len(names)]
        return {name.strip(): list(column) for name, column in zip(names, zip(*cells, strict=True), strict=False)}
    except (csv.Error, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return {}


def texts_in(columns: Mapping[str, Sequence[Any]]) -> str:
    """The column that holds texts: one that is called so, else the one of the most words a cell, where these are WORDY
    at least and mostly different; "" where there is none."""
    if named := column(columns, TEXT_COLUMNS):
        return named
    best = max(columns, key=lambda name: words_a_cell(columns[name]), default="")
    cells = list(map(str, columns[best][:LOOKED_AT])) if best else []
    return best if cells and words_a_cell(cells) >= WORDY and 2 * len(set(cells)) > len(cells) else ""


def words_a_cell(cells: Sequence[Any]) -> float:
    """The mean number of words in the first cells of a column."""
    found = [len(str(cell).split()) for cell in cells[:LOOKED_AT] if cell is not None]
    return sum(found) / max(1, len(found))


def _delimiter(line: str, path: Path) -> str:
    """What separates the columns: that of four marks which the first line has most of."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t|", key=line.count)


def _csv(path: Path) -> Sheet:
    content = path.read_bytes()
    if b"\0" in content[:4096]:
        raise UserError("a CSV or TSV table", f"{path}, which is no text", "Export it as CSV in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # each byte is a character: what older spreadsheets write
    mark = _delimiter(text[: text.find("\n") + 1] or text, path)
    rows, numbers, names = [], [], None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if names is None:
                names = [name.strip() for name in row]
            elif len(row) != len(names):
                where = f"{len(row)} in {path} line {reader.line_num}"
                raise UserError(f"{len(names)} columns in each row", where, "Correct the line, or quote its text")
            else:
                rows.append(row)
                numbers.append(reader.line_num)
    except csv.Error as problem:
        where = f"{path} line {reader.line_num} ({problem})"
        raise UserError("a CSV or TSV table", where, "Export it again") from None
    names = names or []
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UserError("columns of different names", f"{twice[0]!r} twice in {path}", "Rename one")
    cells = zip(*rows, strict=True) if rows else ()
    columns = {name: [cell.strip() for cell in column] for name, column in zip(names, cells, strict=False)}
    return Sheet(path, columns, numbers, comma=mark == ";")


def _jsonl(path: Path) -> Sheet:
    rows, numbers = [], []
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise UserError(
                    "a JSON object on each line", f"another text in {path} line {number}", "Correct the line"
                )
            rows.append(row)
            numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Sheet(path, {name: [row.get(name) for row in rows] for name in names}, numbers)


def _parquet(path: Path) -> Sheet:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        do = 'Install it: pip install "milestones[tables]"'
        raise UserError("pyarrow, which reads Parquet files", "none installed", do) from None
    path.stat()
    try:
        file = parquet.ParquetFile(path)
        if file.metadata.num_rows * file.metadata.num_columns > CELLS:
            raise UserError(f"a table of at most {CELLS:,} cells", f"more in {path}", "Take a sample of its rows")
        table = file.read()
        columns = {name: table[name].to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise UserError("a Parquet file", f"{path} ({reason})", "Write it again") from None
    return Sheet(path, columns, list(range(1, table.num_rows + 1)))
