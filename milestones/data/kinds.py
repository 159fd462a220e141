"""Of what kind the data at a path is, told from names and first lines alone: imports no torch and reads no
data."""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Literal

from ..core.errors import UserError, nearest
from .pairing import PAIRS, paired
from .sounding import SOUNDS, is_sound, sounding
from .writing import classed, written

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
FILE_COLUMNS = ("file", "file_name", "filename", "path", "image", "image_path")
CLIP_COLUMNS = (*FILE_COLUMNS, "clip", "film", "video")
FRAME_COLUMNS = ("frame", "frames")
FILMS = (".gif", ".webp")
RECORDS = (".sgf", ".sgf.gz")
CAPTION_COLUMNS = ("caption", "captions", "sentence", "sentences", "text", "description")
NAMES = ("digits", "mnist", "fashion", "usps")

Kind = Literal["pictures", "table", "frames", "speech", "pairs", "recordings", "series", "sounds", "captions", "text",
               "texts", "games"]  # fmt: skip


def kind(path: str) -> Kind:
    """The kind of the data at a path. UserError: nothing there, or neither."""
    return sight(path)[0]


def of_series(path: str) -> bool:
    """Whether the data at a path are series; False where they are nothing at all."""
    with contextlib.suppress(UserError):
        return kind(path) == "series"
    return False


def sight(path: str) -> tuple[Kind, str]:
    """The kind of the data at `path`, and a short reason that can follow "because"."""
    if path in NAMES and not os.path.lexists(path):
        return "pictures", f"{path} is a known set of pictures"
    if path in PAIRS and not os.path.lexists(path):
        return "pairs", f"{path} is a known set of sentences and their translations"
    place = Path(path)
    if why := paired(place):
        return "pairs", why
    if (why := written(place)) and not classed(place):
        return "text", why
    if not place.exists():
        do = nearest(path, NAMES, "Check the path")
        raise UserError("a folder of pictures or a table", f"{path}, which does not exist", do, "data")
    if why := sounding(place):
        return "speech", why
    if place.is_dir():
        return _folder(place)
    name, suffix = place.name.lower(), place.suffix.lower()
    if suffix == ".edf" or (suffix == ".npz" and _sampled(place)):
        return "recordings", _RECORDED.get(suffix, "")
    if suffix == ".npz":
        return _arrays(place)
    if name.endswith(RECORDS):
        return "games", "it is an SGF file, as games of go are kept in"
    if suffix == ".ts":
        return "series", "a .ts file holds series, as the UEA archive's do"
    if "-ubyte" in name:
        return "pictures", "it is an IDX file, as MNIST's are"
    if name.startswith(("zip.train", "zip.test")):
        return "pictures", "zip.train and zip.test are the USPS digits"
    if suffix in TABLES:
        return _table(place)
    if suffix == ".json" and _coco(place):
        return "captions", "it is a JSON of images and annotations with captions, as COCO has them"
    if suffix in PICTURES:
        do = "Name the folder that holds a folder for each class"
        raise UserError("pictures of several classes", f"one picture, {path}", do, "data")
    raise UserError(
        "a folder of pictures or a table",
        f"{path}, of another kind",
        "Give a folder, CSV, TSV, JSONL or Parquet",
        "data",
    )


def _folder(folder: Path) -> tuple[Kind, str]:
    names = sorted(os.listdir(folder))
    lower = [name.lower() for name in names if not name.startswith(".")]
    if any("-ubyte" in name for name in lower):
        return "pictures", "the folder holds IDX files, as MNIST's are"
    if any(name.startswith("zip.train") for name in lower):
        return "pictures", "zip.train and zip.test are the USPS digits"
    if told := captions_in(folder):
        return "captions", f"{told.name} says what is in each picture"
    if why := _films(folder, names):
        return "frames", why
    if any(name.endswith(".ts") for name in lower):
        return "series", "the folder holds .ts files, as the UEA archive's do"
    inside = [folder / name for name in names if not (folder / name).is_dir()]
    inside += [file for name in names if (folder / name).is_dir() for file in sorted((folder / name).iterdir())[:20]]
    for file in inside:
        if file.suffix.lower() == ".edf" or (file.suffix.lower() == ".npz" and _sampled(file)):
            return "recordings", f"{file.relative_to(folder)}: {_RECORDED[file.suffix.lower()]}"
    below = [name for name in names if (folder / name).is_dir() and not name.startswith(".")]
    if any(name.endswith(RECORDS) for name in lower) or (below and _holds(folder, below, RECORDS[:1])):
        return "games", "it holds SGF files, as games of go are kept in"
    if below and _holds(folder, below, SOUNDS) and not _holds(folder, below, PICTURES):
        return (
            "sounds",
            f"it holds {len(below)} folders of sounds ({', '.join(below[:3])}{', ...' if below[3:] else ''})",
        )
    if classed(folder) and not _holds(folder, below, PICTURES):
        return "texts", f"it holds {len(below)} folders of texts ({', '.join(below[:3])}{', ...' if below[3:] else ''})"
    if below:
        return (
            "pictures",
            f"it holds {len(below)} folders ({', '.join(below[:3])}{', ...' if below[3:] else ''})",
        )
    tables = [folder / name for name in names if name.lower().endswith(TABLES)]
    if tables:
        found, why = _table(tables[0])
        if found != "table":
            return found, why
        raise UserError(
            "a folder of pictures, or a table by its name",
            f"{folder} with {tables[0].name}",
            f"Name {tables[0]}",
            "data",
        )
    if any(name.endswith(PICTURES) for name in lower):
        do = "Put the pictures of each class into a folder of its own"
        raise UserError("a folder for each class", f"{folder} with pictures of no class", do, "data")
    if any(map(is_sound, lower)):
        do = "Add a manifest (metadata.csv with columns file and text), or name them label_speaker_number.wav"
        raise UserError("recordings with transcripts", f"{folder} with recordings alone", do, "data")
    raise UserError(
        "a folder with a folder of pictures for each class", f"{folder} without any", "Check the path", "data"
    )


_RECORDED = {".edf": ".edf files hold recordings", ".npz": "its arrays come with a rate_hz"}


def _sampled(path: Path) -> bool:
    """Whether an .npz has an array rate_hz, told from its list of names."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "rate_hz.npy" in archive.namelist()
    except Exception:  # hostile heads raise nearly anything
        return False


def _films(folder: Path, names: list[str]) -> str:
    """Why a folder holds films with a label for each frame: empty where it does not."""
    for name in names:
        place = folder / name
        tables = [place / f"labels{suffix}" for suffix in TABLES] if place.is_dir() else [place]
        if not place.is_dir() and name.lower().endswith(FILMS):
            tables = [place.with_suffix(suffix) for suffix in TABLES]
        elif not place.is_dir() and not name.lower().endswith(TABLES):
            continue
        for table in tables:
            if table.is_file() and _framed(table):
                return f"{table.relative_to(folder)} has a column that numbers frames"
    return ""


def _framed(path: Path) -> bool:
    """Whether a table has a column that numbers frames."""
    from ..media.sheet import header

    columns = [] if path.suffix.lower() == ".parquet" else header(path)
    return any(name.strip().lower() in FRAME_COLUMNS for name in columns)


def _holds(folder: Path, below: list[str], kinds: tuple[str, ...]) -> bool:
    """Whether one of these folders, or a folder in one (of splits), has a file of these kinds."""
    inner = [folder / name for name in below]
    inner += [entry for place in inner for entry in sorted(place.iterdir())[:8] if entry.is_dir()]
    return any(file.suffix.lower() in kinds for place in inner for file in place.iterdir())


def _table(path: Path) -> tuple[Kind, str]:
    from ..media.sheet import header

    columns = [] if path.suffix.lower() == ".parquet" else header(path)
    lower = [name.strip().lower() for name in columns]
    if set(lower) & set(FRAME_COLUMNS) and set(lower) & set(CLIP_COLUMNS):
        return "frames", f"{path.name} has columns that name films and number their frames"
    file = next((name for name in columns if name.strip().lower() in FILE_COLUMNS), None)
    said = next((name for name in columns if name.strip().lower() in CAPTION_COLUMNS), None)
    if file is not None and said is not None and _names_pictures(path):
        return "captions", f"columns {file!r} and {said!r} of {path.name} name pictures and what is said of them"
    if file is not None and _names_pictures(path):
        return "pictures", f"column {file!r} of {path.name} names pictures"
    from ..media.series import IDS, TIMES

    if set(lower) & set(IDS) and set(lower) & set(TIMES):
        return "series", f"{path.name} has a row for each step: which series and when stand in columns"
    from .wording import worded

    if columns and (why := worded(path)):
        return "texts", why
    return "table", f"{path.name} has {len(columns)} columns" if columns else f"{path.name} is a table"


def _arrays(path: Path) -> tuple[Kind, str]:
    """Series where a .npz says so, or where its x are real numbers that make no squares."""
    from numpy.lib import format as arrays

    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:  # hostile heads raise nearly anything
        names = {Path(name).stem.lower(): name for name in archive.namelist()}
        if any("series" in name for name in names):
            return "series", "its arrays are called series"
        if name := next((names[word] for word in ("x", "train_x", "x_train") if word in names), ""):
            with archive.open(name) as stream:
                arrays.read_magic(stream)
                shape, _, kind = arrays.read_array_header_1_0(stream)
            if kind.kind == "f" and (len(shape) == 2 or (len(shape) == 3 and shape[1] != shape[2])):
                return "series", f"its x are real numbers, {' x '.join(map(str, shape))}"
    return "pictures", "a .npz holds pictures and labels as arrays"


def captions_in(folder: Path) -> Path | None:
    """The file in a folder that says what is in each picture; None where there is none."""
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if name.startswith(".") or path.is_dir():
            continue
        if name.lower().endswith((".csv", ".tsv", ".jsonl", ".ndjson")) and _table(path)[0] == "captions":
            return path
        if name.lower().endswith(".json") and _coco(path):
            return path
    return None


def _coco(path: Path) -> bool:
    """Whether the file's beginning or end names what a COCO file of captions has; such files are large."""
    with open(path, "rb") as stream:
        text = stream.read(100_000)
        stream.seek(max(0, os.path.getsize(path) - 100_000))
        text += stream.read()
    return b'"caption"' in text and (b'"images"' in text or b'"annotations"' in text)


def _names_pictures(path: Path) -> bool:
    """Whether the first row has a cell that ends as a picture's name does."""
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        first, second = stream.readline(1_000_000), stream.readline(1_000_000)
    row = (first if path.suffix.lower() in (".jsonl", ".ndjson") else second).lower()
    return any(suffix in row for suffix in PICTURES)
