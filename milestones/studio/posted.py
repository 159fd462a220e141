"""What is posted to a served run, as media: files as they are or in a form, or JSON."""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from collections.abc import Sequence
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..media import Image, Row
from ..media.image import SUFFIXES as PICTURES
from ..verbs.subject import media_of
from .carry import received
from .serve import read

if TYPE_CHECKING:
    from ..trained import Trained

MOST_INPUTS = 1000  # of one question
MOST_LETTERS = 100_000  # of one text
FORM, JSON = "multipart/form-data", "application/json"
FILE = {"name", "base64"}  # an input in JSON that is a file
SUFFIXES = {  # of a body that is one file without a name; a machine's own table would tell other ones elsewhere
    "image/png": ".png", "image/jpeg": ".jpg", "image/bmp": ".bmp", "image/tiff": ".tif", "image/webp": ".webp",
    "image/gif": ".gif", "audio/wav": ".wav", "audio/x-wav": ".wav", "audio/wave": ".wav", "text/plain": ".txt",
    "text/csv": ".csv", "text/tab-separated-values": ".tsv", "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl", "application/x-go-sgf": ".sgf",
}  # fmt: skip


class File(NamedTuple):
    """A file that was sent."""

    name: str
    content: bytes


def posted(trained: Trained, kind: str, name: str, body: bytes) -> tuple[list[Any], list[str]]:
    """The media in a body of the Content-Type `kind`, and what each is called. `name` is what the file of a body that
    is one file is called. UserError: what `milestones use` would refuse, too; no JSON, no form, too many inputs."""
    parts: list[Any]
    who, plain = trained.entry.name, kind.partition(";")[0].strip().lower()
    if plain == JSON:
        content = read(body)
        if not isinstance(content, dict) or content.keys() != {"inputs"} or not isinstance(content["inputs"], list):
            raise UserError('JSON as {"inputs": [...]}', "something else", "See /openapi.json", who)
        parts = [a_file(value, who) or value for value in content["inputs"]]
    elif plain == FORM:
        parts = form(kind, body, who)
    else:
        parts = [File(name or f"input{SUFFIXES.get(plain, '')}", body)]
    if not parts:
        raise UserError("an input", "none", "Send a file or a list of inputs", who)
    items, names = [], []
    for number, part in enumerate(parts, 1):
        if len(items) <= MOST_INPUTS:
            found, called = opened(trained, part) if isinstance(part, File) else ([made(trained, part)], [f"{number}"])
            items += found
            names += called
    if len(items) > MOST_INPUTS or len(parts) > MOST_INPUTS:
        got = f"{max(len(items), len(parts)):,}"
        raise UserError(f"at most {MOST_INPUTS:,} inputs in one question", got, "Send them in several", who)
    return items, names


def form(kind: str, body: bytes, who: str) -> list[Any]:
    """The files of a form, by the standard library's reader of mail, whose form this is. UserError: no such form."""
    found = BytesParser(policy=policy.HTTP).parsebytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + body)
    if not found.is_multipart():
        raise UserError("a form of files", "a body without its boundary", "Send it as 'curl -F file=@x.png' does", who)
    files = []
    for part in found.iter_parts():
        name, content = part.get_filename(), part.get_payload(decode=True)
        if name is None or not isinstance(content, bytes):
            got = "a field that is no file"
            raise UserError("a form of files alone", got, "Options belong into the address: ?name=value", who)
        files.append(File(name, content))
    return files


def a_file(value: object, who: str) -> File | None:
    """The file that an input in JSON is; None: it is something else. UserError: no base 64."""
    if not isinstance(value, dict) or value.keys() != FILE:
        return None
    try:
        return File(str(value["name"]), base64.b64decode(str(value["base64"]), validate=True))
    except (binascii.Error, ValueError) as problem:
        raise UserError("a file's content in base 64", str(problem)[:80], "Encode it whole", who) from None


def opened(trained: Trained, file: File) -> tuple[list[Any], list[str]]:
    """The media in a file, read as `milestones use` reads it: by its path, which is gone afterwards. A picture needs
    none, and no wait for a disk."""
    safe = re.sub(r"[^\w.-]", "_", Path(file.name.replace("\\", "/")).name)[-80:].lstrip(".") or "input"
    if Image in trained.system.takes and Path(safe).suffix.lower() in PICTURES:
        try:
            return [Image.decoded(file.content, safe)], [safe]
        except UserError as problem:
            raise UserError(problem.expected, problem.got, problem.do, trained.entry.name) from None
    number, word = tempfile.mkstemp(f"-{safe}", "milestones-")
    path = Path(word)

    def without(text: str) -> str:
        return text.replace(word, safe).replace(path.name, safe)

    try:
        with open(number, "wb") as stream:
            stream.write(file.content)
        items, names = media_of(trained, [word])
    except UserError as problem:
        raise UserError(problem.expected, without(problem.got), without(problem.do), trained.entry.name) from None
    finally:
        path.unlink()
    return items, [without(name) for name in names]


def made(trained: Trained, value: object) -> Any:
    """The media that an input in JSON is: a text, grey levels or colours "H W" or "H W 3" of a picture, or an object: a
    row, else a board. UserError: of another kind than the page takes."""
    takes, who = trained.system.takes, trained.entry.name
    if isinstance(value, str):
        if len(value) > MOST_LETTERS:
            raise UserError(f"a text of at most {MOST_LETTERS:,} letters", f"{len(value):,}", "Send it in parts", who)
        return received({"kind": "text", "text": value}, b"", takes, who)
    if isinstance(value, dict):
        kind = "row" if Row in takes else "board"
        return received({"kind": kind, "values": value, "board": value}, b"", takes, who)
    if isinstance(value, list):
        return received({"kind": "image", "shape": list((levels := pixels(value, who)).shape)}, levels.tobytes(), takes,
                        who)  # fmt: skip
    do = "Send a text, a list of lists, an object, or a file as name and base64"
    raise UserError("an input", repr(value)[:40], do, who)


def pixels(value: Sequence[Any], who: str) -> np.ndarray:
    """The levels of a picture as uint8. UserError: ragged, no whole numbers, or outside 0 to 255."""
    do = "Send rows of equal length, or a file"
    try:
        levels = np.array(value)
    except ValueError:
        raise UserError("a picture as rows of levels", "rows of different lengths", do, who) from None
    if levels.dtype.kind not in "iu" or not levels.size or levels.min() < 0 or levels.max() > 255:
        raise UserError("levels from 0 to 255, whole numbers", f"{levels.dtype} of shape {levels.shape}", do, who)
    return levels.astype(np.uint8)
