"""Which recordings a folder or a manifest names, what is said in each, by whom; what is wrong is collected."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import UserError
from ..media.sheet import SPLIT_COLUMNS, SPLIT_WORDS, column, sheet
from ..media.utf8 import utf8
from .sounding import NAMED, cells_of, manifest_of, sound_at, sound_files

FILES = ("file", "file_name", "filename", "path", "wav", "audio", "audio_file", "audio_path", "audio_filepath")
TEXTS = ("text", "transcript", "transcription", "sentence", "normalized_text", "label")
SPEAKERS = ("speaker", "speaker_id", "client_id", "voice", "reader")
WHERE = (*SPLIT_COLUMNS, "set")
SHOWN = 3  # examples in a note


@dataclass
class Transcripts:
    """Recordings in files: path, text, speaker ("" if unknown), number ("" if the name has none) and split of each."""

    paths: list[Path] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: Path, text: str, speaker: str = "", number: str = "", split: str = "") -> None:
        """One more recording."""
        self.paths.append(path)
        self.texts.append(spoken_form(text))
        self.speakers.append(speaker)
        self.numbers.append(number)
        self.splits.append(split)

    def only(self, kept: Sequence[int]) -> Transcripts:
        """Those of these numbers."""
        paths = [self.paths[i] for i in kept]
        columns = ([column[i] for i in kept] for column in (self.texts, self.speakers, self.numbers, self.splits))
        return Transcripts(paths, *columns, notes=list(self.notes))


def spoken_form(text: str) -> str:
    """What can be heard of a text: lower case, no punctuation but apostrophes and hyphens in words, single blanks."""
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    text = re.sub(r"(?<!\w)['-]+|['-]+(?!\w)", " ", text)
    kept = (c if c in "'-" or unicodedata.category(c)[0] not in "PCZ" else " " for c in text)
    return " ".join("".join(kept).split())


def transcripts(path: Path) -> Transcripts:
    """The recordings that a manifest, a folder with one, or a folder of `label_speaker_number.wav` or of texts beside
    recordings names. Rows without a text are left out, and told of. UserError: none of these, or no recordings."""
    if not path.exists():
        raise UserError("a folder of recordings or a manifest", f"{path}, which does not exist", "Check it", "data")
    manifest = manifest_of(path) if path.is_dir() else path
    found = _beside(path) if manifest is None else _manifest(manifest)
    empty = [i for i, text in enumerate(found.texts) if not text]
    if empty:
        first = ", ".join(found.paths[i].name for i in empty[:SHOWN])
        found.notes.append(f"{len(empty):,} recordings with an empty transcript are left out ({first})")
        found = found.only([i for i, text in enumerate(found.texts) if text])
    twice = [name for name, count in Counter(found.paths).items() if count > 1]
    if twice:
        raise UserError("each recording once", f"{twice[0].name} twice in {path}", "Remove one of the rows", "data")
    if not found.paths:
        raise UserError("recordings with their transcripts", f"none in {path}", "Add some", "data")
    return found


def _beside(folder: Path) -> Transcripts:
    """Texts from the files' names, or from a .txt file beside each."""
    found, files = Transcripts(), sound_files(folder)
    names = [NAMED.fullmatch(file.stem) for file in files]
    if files and all(names):
        for file, name in zip(files, names, strict=True):
            assert name is not None
            found.add(file, name[1], name[2], name[3])
        return found
    for file in files:
        beside = file.with_suffix(".txt")
        if beside.is_file():
            found.add(file, _read(beside))
    if not found.paths:
        do = "Add a manifest (metadata.csv with columns file and text), or name them label_speaker_number.wav"
        raise UserError("recordings with transcripts", f"{len(files)} recordings without any in {folder}", do, "data")
    if len(found.paths) < len(files):
        found.notes.append(f"{len(files) - len(found.paths):,} recordings without a .txt beside them are not read")
    return found


def _read(path: Path) -> str:
    """The text in a file. UserError: unreadable, or bytes that are no UTF-8, by line and byte."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise UserError("a transcript that can be read", f"{path} ({problem.strerror})", "Check it", "data") from None
    return utf8(content, "transcripts", str(path), "data")


def _manifest(path: Path) -> Transcripts:
    text, found = _read(path), Transcripts()
    first = text.split("\n", 1)[0]
    if path.suffix.lower() == ".csv" and "|" in first and not set(cells_of(first.lower())) & {*FILES, *TEXTS}:
        for number, line in enumerate(text.splitlines(), 1):  # of LJSpeech: a name, what is said, and as it is read
            cells = cells_of(line)
            if line.strip() and len(cells) < 2:
                raise UserError("a file and a text, with | between", f"{path} line {number}", "Mend the line", "data")
            if line.strip():
                found.add(sound_at(path.parent, cells[0]), cells[-1])
        return found
    table = sheet(path)
    wanted = (("file", FILES), ("text", TEXTS), ("speaker", SPEAKERS), ("split", WHERE))
    named = {what: column(table.columns, words) for what, words in wanted}
    for what, words in (("file", FILES), ("text", TEXTS)):
        if not named[what]:
            got = f"{', '.join(table.columns)} in {path.name}"
            raise UserError(f"a column for the {what} ({', '.join(words[:4])} ...)", got, "Rename it", "data")
    for row in range(len(table.lines)):
        cell = {what: str(table.columns[name][row] or "").strip() for what, name in named.items() if name}
        where = cell.get("split", "")
        if where and where.lower() not in SPLIT_WORDS:
            got = f"{where!r} in {path.name} line {table.lines[row]}"
            raise UserError("a split as train, valid or test", got, "Correct the row", "data")
        if not cell["file"]:
            got = f"none in {path.name} line {table.lines[row]}"
            raise UserError("a recording in each row", got, "Name it, or remove the row", "data")
        file = sound_at(path.parent, cell["file"])
        found.add(file, cell["text"], cell.get("speaker", ""), "", SPLIT_WORDS[where.lower()] if where else "")
    return found
