"""Pictures held in arrays: IDX files, .npz archives and the USPS digits as the user brings them."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.errors import UserError
from ..media.npz import arrays_in
from .fetch import IDX, LARGEST

USPS_COUNTS = (7291, 2007)
NPZ = "a .npz with image and label, or train_image, train_label, test_image and test_label"


class Stack(NamedTuple):
    """Pictures of one shape and their labels: image uint8 "N H W", label "N" (whole numbers or texts)."""

    image: np.ndarray
    label: np.ndarray


def idx(path: Path) -> np.ndarray:
    """The uint8 array of an IDX file, gzipped or not. UserError: another format, another length than it says."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
            content = stream.read(LARGEST)
    except (OSError, EOFError, zlib.error) as problem:
        raise UserError("an IDX file", f"{path}, which is truncated or damaged ({problem})", "Fetch it again") from None
    if len(content) < 8 or content[:3] != b"\0\0\x08" or content[3] not in (1, 2, 3):
        raise UserError("an IDX file of uint8 values", f"{path}, which begins otherwise", "Fetch it again")
    rank = content[3]
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, 4)) if len(content) >= 4 + 4 * rank else ()
    if not shape or int(np.prod(shape, dtype=object)) != len(content) - 4 - 4 * rank:
        got = f"{path} with {len(content) - 4 - 4 * rank:,}"
        raise UserError(f"{' x '.join(map(str, shape))} values as its head says", got, "Fetch it again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def idx_file(folder: Path, name: str) -> Path | None:
    """The IDX file `name` in a folder: also with a dot for its last hyphen, and gzipped."""
    for spelling in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if (folder / (spelling + suffix)).is_file():
                return folder / (spelling + suffix)
    return None


def idx_pair(images: Path, labels: Path) -> Stack:
    """Pictures and labels of two IDX files. UserError: counts differ, wrong ranks."""
    image, label = idx(images), idx(labels)
    if image.ndim != 3 or label.ndim != 1 or len(image) != len(label):
        got = f"{image.shape} in {images} and {label.shape} in {labels}"
        raise UserError("N x H x W pictures and N labels", got, "Pair the right two files")
    return Stack(image, label)


def idx_folder(folder: Path) -> dict[str, Stack]:
    """The stacks by split (train, test) of a folder with IDX files; empty if it has none."""
    files = [idx_file(folder, name) for name in IDX]
    found = {}
    for split, images, labels in (("train", *files[:2]), ("test", *files[2:])):
        if (images is None) != (labels is None):
            there = images or labels
            raise UserError("IDX files of pictures and of labels", f"only {there}", "Put its partner beside it")
        if images and labels:
            found[split] = idx_pair(images, labels)
    return found


def npz(path: Path) -> dict[str, Stack]:
    """The stacks by split ("" where the archive has none) of a .npz."""
    arrays = arrays_in(path, NPZ)
    found: dict[str, Stack] = {}
    for split, word in (("", ""), ("train", "train"), ("valid", "valid"), ("valid", "val"), ("test", "test")):
        image = _first(arrays, word, ("image", "images", "x"))
        label = _first(arrays, word, ("label", "labels", "y"))
        if image is not None and label is not None:
            found[split] = Stack(_levels(image, path), _labels(label, len(image), path))
    if not found:
        raise UserError(NPZ, f"{path} with {', '.join(arrays) or 'nothing'}", "Rename its arrays")
    return found if "train" in found or "" not in found else {"": found[""]}


def _first(arrays: dict[str, np.ndarray], word: str, names: tuple[str, ...]) -> np.ndarray | None:
    """The first array of these names, alone or with the split's `word` before or after it."""
    spelled = [both for name in names for both in ((f"{word}_{name}", f"{name}_{word}") if word else (name,))]
    return next((arrays[name] for name in spelled if name in arrays), None)


def _labels(label: np.ndarray, over: int, path: Path) -> np.ndarray:
    if label.shape not in ((over,), (over, 1)) or label.dtype.kind not in "iuUb":
        got = f"{label.shape} of {label.dtype} in {path}"
        raise UserError(f"{over:,} labels, whole numbers or texts", got, "Save one label a picture")
    return label.reshape(over)


def _levels(image: np.ndarray, path: Path) -> np.ndarray:
    """Grey levels uint8 "N H W" of pictures "N H W", "N H W C" or "N C H W", colour as ITU-R 601 luma."""
    if image.ndim == 4 and image.shape[1] in (1, 3) and image.shape[3] not in (1, 3, 4):
        image = image.transpose(0, 2, 3, 1)
    if (
        image.ndim not in (3, 4)
        or (image.ndim == 4 and image.shape[3] not in (1, 3, 4))
        or image.dtype.kind not in "iufb"
    ):
        raise UserError(
            "N x H x W pictures, grey or colour", f"{image.shape} of {image.dtype} in {path}", "Reshape them"
        )
    if 0 in image.shape:
        raise UserError("at least one picture", f"{image.shape} in {path}", "Add some")
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        if not np.isfinite(low + high):
            raise UserError("finite grey levels", f"NaN or infinity in {path}", "Clean the array")
        if image.dtype == np.int16 and low < 0 and low >= -1000 and high <= 1000:
            image = usps_levels(image / np.float32(1000))  # the USPS digits in thousandths
        elif low >= 0 and high <= 1:
            image = (image.astype(np.float32) * 255 + 0.5).astype(np.uint8)
        elif low >= 0 and high <= 255:
            image = (image + 0.5).astype(np.uint8) if image.dtype.kind == "f" else image.astype(np.uint8)
        elif low >= -1 and high <= 1:
            image = usps_levels(image)
        else:
            got = f"{low:g} to {high:g} in {path}"
            raise UserError("grey levels 0 to 255, 0 to 1 or -1 to 1", got, "Scale the array")
    if image.ndim == 3:
        return image
    if image.shape[3] == 1:
        return image[..., 0]
    weights = np.array((19595, 38470, 7471), np.uint32)
    parts = (image[i : i + 1000, ..., :3] for i in range(0, len(image), 1000))  # in little memory
    return np.concatenate([((part @ weights + 32768) >> 16).astype(np.uint8) for part in parts])


def usps_levels(values: np.ndarray) -> np.ndarray:
    """Values in [-1, 1] as uint8 grey levels."""
    return ((values + 1) * 127.5 + 0.5).astype(np.uint8)


def usps_file(folder: Path, name: str) -> Path | None:
    """``zip.train`` or ``zip.test`` in a folder, gzipped or not."""
    return next((folder / (name + end) for end in ("", ".gz", ".txt") if (folder / (name + end)).is_file()), None)


def usps(path: Path) -> dict[str, Stack]:
    """The USPS digits from a folder with zip.train and zip.test, from one of these two files, or from usps.npz."""
    if path.suffix == ".npz":
        return npz(path)
    folder = path if path.is_dir() else path.parent
    found = {}
    for split, name in (("train", "zip.train"), ("test", "zip.test")):
        file = usps_file(folder, name)
        if file is None:
            do = "Get both from the data page of The Elements of Statistical Learning"
            raise UserError("zip.train and zip.test in one folder", f"no {name} in {folder}", do)
        found[split] = _usps_text(file)
    return found


def _usps_text(path: Path) -> Stack:
    try:
        with (
            gzip.open(path, "rt", encoding="ascii") if path.suffix == ".gz" else open(path, encoding="ascii") as stream
        ):
            rows = [line for line in stream if line.strip()]
        wrong = next((i for i, row in enumerate(rows) if len(row.split()) != 257), None)
        if wrong is not None or not rows:
            got = f"{len(rows[wrong].split())} in {path}, digit {wrong + 1}" if wrong is not None else f"none in {path}"
            raise UserError("257 numbers a line, the digit and 16 x 16 levels", got, "Fetch the file again")
        values = np.loadtxt(rows, dtype=np.float32, comments=None, ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as problem:
        raise UserError(
            "USPS digits as text, 257 numbers a line", f"{path} ({problem})", "Fetch the file again"
        ) from None
    label, image = values[:, 0], values[:, 1:]
    if not ((label >= 0) & (label <= 9) & (label == label.round())).all() or not (np.abs(image) <= 1).all():
        raise UserError("digits 0 to 9 and levels -1 to 1", f"others in {path}", "Fetch the file again")
    return Stack(usps_levels(image).reshape(-1, 16, 16), label.astype(np.uint8))


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Grey pictures "N H W" scaled to `side` x `side`."""
    from PIL import Image as Pillow

    out = np.empty((len(image), side, side), np.uint8)
    for i, frame in enumerate(image):
        out[i] = Pillow.fromarray(frame).resize((side, side), Pillow.Resampling.BILINEAR)
    return out
