"""What a user uploads, unpacked: a zip of picture folders, or a table. Run as a process of its own, since it parses.

Nothing keeps its name but the classes, and those are made safe; nothing is written outside the folder that is given.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import stat
import sys
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..core.errors import UserError
from ..data.kinds import PICTURES, TABLES
from .uploads import path_of

MOST_ENTRIES = 100_000
MOST_BYTES = 512 << 20  # of all that a zip holds
MOST_EACH = 256 << 20  # of one entry
MOST_RATIO = 200  # times an entry may grow, once it is larger than SMALL
SMALL = 1 << 20
MOST_PIXELS = 100_000_000  # of a picture, as everywhere
ALL_PIXELS = 2_000_000_000
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}
MEMORY = 4 << 30  # bytes that this process may take
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows
ZIP = "a zip with a folder of pictures for each class, or with one table"


class Held(NamedTuple):
    """What a zip holds of use."""

    pictures: list[tuple[tuple[str, ...], zipfile.ZipInfo]]  # folders of each, the outermost first
    tables: list[zipfile.ZipInfo]
    others: int  # files that are neither


def unpack(content: bytes, folder: Path) -> Path:
    """Write what an upload holds into `folder`, and return the path to train on: a folder of class folders, or a
    table. UserError: neither, unsafe names, too much."""
    folder.mkdir(parents=True, exist_ok=True)
    if content[:4] in (b"PK\3\4", b"PK\5\6", b"PK\7\x08"):
        return _zip(content, folder)
    if content[:4] == b"PAR1":
        return _written(folder / "table.parquet", content)
    return _written(folder / f"table{_kind(content)}", content)


def held(content: bytes) -> Held:
    """What a zip holds, its names and sizes checked before anything is read."""
    if content.count(b"PK\1\2") > MOST_ENTRIES:
        raise UserError(f"a zip of at most {MOST_ENTRIES:,} entries", "more", "Upload fewer pictures", "data")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError, LookupError) as problem:
        raise UserError(ZIP, f"a damaged one ({str(problem)[:60]})", "Make the zip again", "data") from None
    found, total = Held([], [], 0), 0
    others = 0
    for entry in entries:
        path = _path(entry)
        if entry.is_dir() or any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        total += entry.file_size
        grown = entry.file_size > max(SMALL, MOST_RATIO * max(1, entry.compress_size))
        if entry.file_size > MOST_EACH or total > MOST_BYTES or grown:
            got = f"one of {total >> 20:,} MiB or more from {len(content) >> 20:,} MiB"
            raise UserError(f"a zip that unpacks to at most {MOST_BYTES >> 20} MiB", got, "Upload less", "data")
        suffix = path.suffix.lower()
        if suffix in PICTURES:
            found.pictures.append((path.parts[:-1], entry))
        elif suffix in TABLES:
            found.tables.append(entry)
        else:
            others += 1
    return found._replace(others=others)


def _path(entry: zipfile.ZipInfo) -> PurePosixPath:
    """The entry's path. UserError: one that leads out of the folder, a link, or an encrypted entry."""
    name = entry.orig_filename
    shown = repr(name)[:60]
    parts = name.split("/")
    if not name or re.match(r"/|[A-Za-z]:", name) or "\\" in name or "\0" in name or ".." in parts:
        raise UserError("a zip of plain folder and file names", f"an entry {shown}", "Make the zip again", "data")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError("a zip of files and folders", f"a link or device, {shown}", "Zip the files themselves", "data")
    if entry.flag_bits & 0x41:
        raise UserError("a zip without a password", f"an encrypted entry, {shown}", "Zip it without one", "data")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError("a zip packed as usual (stored or deflated)", f"another packing of {shown}",
                        "Zip it with the system's own program", "data")  # fmt: skip
    return PurePosixPath(name)


def _zip(content: bytes, folder: Path) -> Path:
    found = held(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if not found.pictures:
            if len(found.tables) != 1:
                got = f"one with {len(found.tables):,} tables and no picture"
                raise UserError(ZIP, got, "Zip the folder that holds the class folders", "data")
            entry = found.tables[0]
            return _written(folder / f"table{PurePosixPath(entry.filename).suffix.lower()}", _read(archive, entry))
        root = folder / "pictures"
        root.mkdir()
        names, pixels = Names(), 0
        for number, (parts, entry) in enumerate(_rooted(found.pictures)):
            picture = _read(archive, entry)
            suffix, size = _measured(picture, entry)
            pixels += size
            if pixels > ALL_PIXELS:
                got = f"{pixels:,} by {entry.filename!r}"[:90]
                raise UserError(f"pictures of at most {ALL_PIXELS:,} pixels together", got, "Make them smaller", "data")
            place = root
            for part in parts:
                place = place / names.safe(part, place)
            place.mkdir(parents=True, exist_ok=True)
            _written(place / f"{number:06d}{suffix}", picture)
    return root


def _rooted(pictures: list[tuple[tuple[str, ...], zipfile.ZipInfo]]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The pictures, without the folders that hold all others; below that at most a split and a class."""
    from ..media.sheet import SPLIT_WORDS  # imports torch, which what is refused before this need not wait for

    depth = min(len(parts) for parts, _ in pictures)
    first, begin = pictures[0][0], 0
    while begin < depth - 1 and all(parts[begin] == first[begin] for parts, _ in pictures):
        begin += 1
    for parts, entry in pictures:
        rest = parts[begin:]
        split = len(rest) == 2 and rest[0].lower() in SPLIT_WORDS
        if len(rest) != 1 and not split:
            got = f"{entry.filename!r}"[:70] + (" in no folder" if not rest else " in a folder too deep")
            raise UserError("each picture in the folder of its class", got,
                            "Zip the folder that holds the class folders", "data")  # fmt: skip
        yield rest, entry


class Names:
    """Safe names for folders: letters, digits and a few marks; two that become equal are told apart."""

    def __init__(self) -> None:
        self._given: dict[tuple[Path, str], str] = {}
        self._taken: set[tuple[Path, str]] = set()

    def safe(self, name: str, place: Path) -> str:
        """The folder's name for `name` in `place`: always the same one."""
        if (place, name) in self._given:
            return self._given[place, name]
        text = unicodedata.normalize("NFC", name)
        text = "".join(c if c.isalnum() or c in " -_+()" else "_" for c in text).strip()[:60] or "class"
        text = f"{text}_" if RESERVED.fullmatch(text) else text
        text = text if len(text.encode()) < 200 else text.encode()[:200].decode(errors="ignore")
        found, number = text, 1
        while (place, found.casefold()) in self._taken:
            number += 1
            found = f"{text}-{number}"
        self._taken.add((place, found.casefold()))
        self._given[place, name] = found
        return found


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The entry's bytes: no more than it said."""
    try:
        with archive.open(entry) as file:
            content = file.read(entry.file_size + 1)
        if len(content) != entry.file_size:
            raise zipfile.BadZipFile("another size than it says")
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        OSError,
        RuntimeError,
        NotImplementedError,
    ) as problem:
        got = f"{entry.filename!r}"[:60] + f" ({str(problem)[:50]})"
        raise UserError("a whole zip", f"a damaged entry {got}", "Make the zip again", "data") from None
    return content


def _measured(picture: bytes, entry: zipfile.ZipInfo) -> tuple[str, int]:
    """The suffix and the pixels of a picture, by its head alone. One that is none keeps its suffix: reading the data
    will say so. UserError: above 100 megapixels."""
    from PIL import Image as Pillow

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Pillow.open(io.BytesIO(picture), formats=list(FORMATS)) as opened:
                size, suffix = opened.width * opened.height, FORMATS[opened.format or "PNG"]
    except Pillow.DecompressionBombError:
        size, suffix = MOST_PIXELS + 1, ""
    except Exception:  # whatever a parser does with what is no picture
        return PurePosixPath(entry.filename).suffix.lower(), 0
    if size > MOST_PIXELS:
        raise UserError(f"pictures of at most {MOST_PIXELS:,} pixels", f"a larger one, {entry.filename!r}"[:80],
                        "Make it smaller", "data")  # fmt: skip
    return suffix, size


def _kind(content: bytes) -> str:
    """The suffix of a table in plain text. UserError: no text."""
    head = content[:4096]
    if not head.strip() or b"\0" in head or any(byte < 9 or 13 < byte < 32 for byte in head):
        raise UserError("a zip of picture folders, CSV, TSV, JSON lines or Parquet", "a file of another kind",
                        "Choose another file", "data")  # fmt: skip
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return ".jsonl"
    line = head.split(b"\n")[0]
    return ".tsv" if line.count(b"\t") > max(line.count(b","), line.count(b";")) else ".csv"


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def told(folder: Path, target: str, others: int = 0) -> dict[str, Any]:
    """What would be read of an upload, the columns of a table, and which page fits it."""
    from ..data.look import look
    from ..verbs.train import choose

    path = path_of(folder)
    found = look(path, target).plain()
    if others:
        found["notes"] = [*found["notes"], f"other files in the zip, neither pictures nor tables, left out: {others:,}"]
    columns: list[str] = []
    if found["kind"] == "table" and path.suffix != ".parquet":
        from ..media.sheet import header

        columns = header(path)
    elif found["kind"] == "table":
        columns = [str(column).split(":")[0] for column in found["columns"]]
    content: dict[str, Any] = {**found, "names": columns}
    with contextlib.suppress(UserError):
        content["fit"] = choose(str(path), target)._asdict()
    value: dict[str, Any] = json.loads(_nearer(json.dumps(content), folder))
    return value


def _nearer(text: str, folder: Path) -> str:
    """The text without the place of an upload, which says nothing to the user; also inside JSON."""
    for place in (folder.resolve(), folder):
        text = text.replace(json.dumps(f"{place}/")[1:-1], "").replace(f"{place}/", "")
    return text


def main(words: Sequence[str]) -> int:
    """`python -m milestones.studio.unpack FOLDER [TARGET]`: unpack standard input into the folder unless it is there;
    standard output is one JSON object: what was found, or the error."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    folder, target = Path(words[0]), words[1] if len(words) > 1 else ""
    try:
        others = 0
        if not folder.exists():
            content = sys.stdin.buffer.read()
            others = held(content).others if content[:2] == b"PK" else 0
            unpack(content, folder)
            del content
        answer = told(folder, target, others)
    except UserError as problem:
        words = [problem.expected, problem.got, problem.do, problem.who]
        answer = {"error": [_nearer(word, folder) for word in words]}
    except MemoryError:
        answer = {"error": ["data that fits in 4 GiB of memory", "more", "Upload less", "data"]}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
