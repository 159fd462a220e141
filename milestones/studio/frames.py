"""One message between page, server and desk: a JSON header and raw arrays, in one piece of bytes.

    uint32 little-endian n | n bytes of JSON | payload

The header's "arrays" say what the payload holds: name, dtype (uint8, float32, int32), shape and offset of each.
Knows neither NumPy nor PyTorch, since the server imports it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

LARGEST = 64 << 20  # bytes of one message


class Malformed(ValueError):
    """A message that is none."""


def pack(header: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """The bytes of a message."""
    text = json.dumps(header, allow_nan=False, ensure_ascii=False).encode(errors="backslashreplace")
    return struct.pack("<I", len(text)) + text + payload


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and payload. Malformed: too short, no JSON object."""
    if not 4 <= len(message) <= LARGEST:
        raise Malformed(f"a message of {len(message):,} bytes")
    (length,) = struct.unpack_from("<I", message)
    if length > len(message) - 4:
        raise Malformed(f"a header of {length:,} bytes in a message of {len(message):,}")
    try:
        header = json.loads(message[4 : 4 + length])
    except (ValueError, RecursionError):
        raise Malformed("a header that is no JSON") from None
    if not isinstance(header, dict):
        raise Malformed("a header that is no object")
    return header, message[4 + length :]
