"""Functions compiled by numba: one place for how.

Numba keeps what it compiled, and looks only at the file of the function itself to see whether that is still true: so a
compiled function calls compiled functions of its own file only.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
MISSING = "games and search need numba, which is not installed: pip install 'milestones[games]'"


def folder() -> Path:
    """Where compiled code is kept: in the data cache, never beside the source."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "milestones" / "compiled"


try:
    os.environ["NUMBA_CACHE_DIR"] = os.environ.get("NUMBA_CACHE_DIR") or str(folder())  # read by numba's import
    import numba
except ImportError:
    raise ImportError(MISSING) from None

numba.config.reload_config()  # where another package imported it before
KEEP = False
with contextlib.suppress(OSError):  # what cannot be kept is compiled again each time
    Path(os.environ["NUMBA_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
    KEEP = os.access(os.environ["NUMBA_CACHE_DIR"], os.W_OK)


def njit(function: F) -> F:
    """`function`, compiled for the types of its first call. It holds no lock while it runs; a division by zero gives
    infinity or nan, as in NumPy; indices are not checked."""
    bare = inspect.unwrap(function)  # without what the tests put around every function to check its shapes
    return cast("F", numba.njit(cache=KEEP, nogil=True, error_model="numpy")(bare))
