"""The decorator with which tests check shapes in public signatures: --jaxtyping-packages puts it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype

SHAPED = ("Float[", "Int[", "UInt8[", "Bool[", "Shaped[", "Num[", "Integer[", "Inexact[", "Complex[")


def check(function: Any) -> Any:
    """`function` with its shapes checked at each call, if its signature states any; else as it is.

    Only those: types without shapes are the type checker's, and a protocol cannot be checked at a call.
    """
    if not isinstance(function, Callable):
        return function
    hints = " ".join(map(str, getattr(function, "__annotations__", {}).values()))
    return beartype(function) if any(word in hints for word in SHAPED) else function
