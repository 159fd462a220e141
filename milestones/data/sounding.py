"""Of a folder or a manifest: whether it holds recordings with what is said in them, told from names alone. Imports no
torch and reads no recording."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..core.errors import UserError

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")  # the last three by soundfile, where it is installed
MANIFESTS = (".tsv", ".csv", ".jsonl", ".ndjson")
NAMED = re.compile(r"(.+)_([^_]+)_(\d+)")  # label_speaker_number


def is_sound(path: str | Path) -> bool:
    """Whether the name is that of a sound: WAV, or FLAC, OGG and MP3, which soundfile reads."""
    return Path(path).suffix.lower() in SOUNDS


def sound_files(folder: Path) -> list[Path]:
    """The sounds in a folder itself, in order of name, hidden ones left out. UserError: it cannot be read."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and is_sound(name))
    except OSError as problem:
        got = f"{folder} ({problem.strerror})"
        raise UserError("a folder of recordings that can be read", got, "Check it", "data") from None
    return [folder / name for name in names]


def manifest_of(folder: Path) -> Path | None:
    """The manifest in a folder: metadata.* or manifest.*, else the one table there is; None without."""
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() in MANIFESTS and file.name[0] != ".")
    named = [file for file in tables if file.stem.lower() in ("metadata", "manifest", "transcripts")]
    return named[0] if named else tables[0] if len(tables) == 1 else None


def cells_of(line: str) -> list[str]:
    """The cells of a line of LJSpeech's manifest, which has no column names."""
    return [cell.strip() for cell in line.split("|")]


def sound_at(folder: Path, name: str) -> Path:
    """The recording that a manifest names: beside it, in one of its folders for sounds, with its suffix or without."""
    from ..media.sheet import is_named

    path = folder / name
    if is_named(path):
        return path
    places = [folder / inner / word for inner in (".", "wavs", "clips", "audio")
              for word in ([name] if is_sound(name) else [name + ".wav", name + ".flac", name])]  # fmt: skip
    return next((place for place in places if is_named(place)), path)


def sounding(path: Path) -> str:
    """Why the data at a path is speech with its transcripts, as what can follow "because"; "" if it is not."""
    if path.is_dir():
        files = [file for file in path.iterdir() if is_sound(file) and file.name[0] != "."]
        manifest = manifest_of(path)
        if manifest is not None:
            return sounding(manifest)
        if files and all(NAMED.fullmatch(file.stem) for file in files):
            return f"it holds {len(files):,} recordings named label_speaker_number"
        if any(file.with_suffix(".txt").is_file() for file in files):
            return f"it holds {len(files):,} recordings with texts beside them"
        return ""
    if path.suffix.lower() not in MANIFESTS:
        return ""
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        head = [stream.readline(100_000) for _ in range(2)]
    names = [cell.strip(' "{}\n') for line in head for cell in re.split(r'[,;\t|]|": *"', line)]
    first = cells_of(head[0])
    if any(map(is_sound, names)) or (len(first) > 1 and is_sound(sound_at(path.parent, first[0]))):
        return f"{path.name} names recordings"
    return ""
