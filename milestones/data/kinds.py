"""Of what kind the data at a path is, told from names and first lines alone: imports no torch and reads no
data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ..core.errors import UserError, nearest

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
FILE_COLUMNS = ("file", "file_name", "filename", "path", "image", "image_path")
NAMES = ("digits", "mnist", "fashion", "usps")

Kind = Literal["pictures", "table"]


def kind(path: str) -> Kind:
    """Pictures or a table. UserError: nothing there, or neither."""
    return sight(path)[0]


def sight(path: str) -> tuple[Kind, str]:
    """The kind of the data at `path`, and a short reason that can follow "because"."""
    if path in NAMES and not os.path.lexists(path):
        return "pictures", f"{path} is a known set of pictures"
    place = Path(path)
    if not place.exists():
        do = nearest(path, NAMES, "Check the path")
        raise UserError("a folder of pictures or a table", f"{path}, which does not exist", do, "data")
    if place.is_dir():
        return _folder(place)
    name, suffix = place.name.lower(), place.suffix.lower()
    if suffix == ".npz":
        return "pictures", "a .npz holds pictures and labels as arrays"
    if "-ubyte" in name:
        return "pictures", "it is an IDX file, as MNIST's are"
    if name.startswith(("zip.train", "zip.test")):
        return "pictures", "zip.train and zip.test are the USPS digits"
    if suffix in TABLES:
        return _table(place)
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
    below = [name for name in names if (folder / name).is_dir() and not name.startswith(".")]
    if below:
        return (
            "pictures",
            f"it holds {len(below)} folders ({', '.join(below[:3])}{', ...' if below[3:] else ''})",
        )
    tables = [folder / name for name in names if name.lower().endswith(TABLES)]
    if tables:
        found, why = _table(tables[0])
        if found == "pictures":
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
    raise UserError(
        "a folder with a folder of pictures for each class", f"{folder} without any", "Check the path", "data"
    )


def _table(path: Path) -> tuple[Kind, str]:
    from ..media.sheet import header

    columns = [] if path.suffix.lower() == ".parquet" else header(path)
    file = next((name for name in columns if name.strip().lower() in FILE_COLUMNS), None)
    if file is not None and _names_pictures(path):
        return "pictures", f"column {file!r} of {path.name} names pictures"
    return "table", f"{path.name} has {len(columns)} columns" if columns else f"{path.name} is a table"


def _names_pictures(path: Path) -> bool:
    """Whether the first row has a cell that ends as a picture's name does."""
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        first, second = stream.readline(1_000_000), stream.readline(1_000_000)
    row = (first if path.suffix.lower() in (".jsonl", ".ndjson") else second).lower()
    return any(suffix in row for suffix in PICTURES)
