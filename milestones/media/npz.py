"""Archives of arrays, .npz: what each array's head says is checked before any of it is loaded."""

from __future__ import annotations

import math
import warnings
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as layout

from ..core.errors import UserError

LARGEST = 2_000_000_000  # bytes of arrays


def arrays_in(path: Path, want: str, who: str = "milestones") -> dict[str, np.ndarray]:
    """The arrays of a .npz by their names in small letters. UserError, which says that `want` was expected: none,
    damaged, with Python objects in it, or larger than LARGEST."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of heads that Python 2 wrote
            with zipfile.ZipFile(path) as archive:
                size = sum(item.file_size for item in archive.infolist())
                if size > LARGEST:
                    raise UserError(f"at most {LARGEST:,} bytes of arrays", f"{size:,} in {path}", "Take a sample", who)
                for item in archive.infolist():
                    _check(archive, item)
            with np.load(path, allow_pickle=False) as archive:
                return {name.lower(): archive[name] for name in archive.files}
    except UserError:
        raise
    except Exception as problem:  # numpy and zipfile raise nearly anything on hostile heads
        got = f"{path}, which is none, or damaged ({str(problem)[:80] or type(problem).__name__})"
        raise UserError(want, got, "Save it again with numpy.savez", who) from None


def _check(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> None:
    """ValueError: an array that is none, of Python objects, or of another size than its head says."""
    with archive.open(item) as stream:
        version = layout.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError("an array of a later format")
        shape, _, kind = (layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0)(stream)
        if kind.hasobject:
            raise ValueError("it holds Python objects")
        if math.prod(shape) * kind.itemsize != item.file_size - stream.tell():
            raise ValueError("an array of another size than its head says")
