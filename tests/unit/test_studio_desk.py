"""The desk's process: it ends with the server, whatever it computes."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

from milestones.studio.frames import pack, unpack


def test_it_ends_with_its_server_while_it_computes(home: Path) -> None:
    words = [sys.executable, "-m", "milestones.studio", str(home / "runs")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
        assert child.stdin is not None and child.stdout is not None
        ask = pack({"do": "landscape", "id": 1, "run": "shipped:lenet", "size": 49, "examples": 2000})
        child.stdin.write(struct.pack("<I", len(ask)) + ask)
        child.stdin.flush()
        (length,) = struct.unpack("<I", child.stdout.read(4))
        told, _ = unpack(child.stdout.read(length))
        assert told["id"] == 1 and not told["last"] and "error" not in told, told
        child.stdin.close()
        assert child.wait(timeout=20) == 0
