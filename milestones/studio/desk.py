"""The desk: a child process of the server that has PyTorch and answers one browser's questions, in order.

It reads messages (see frames.py) on standard input and writes them on standard output; each is preceded by its length,
uint32 little-endian. It parses what users send, so that a file that breaks a parser breaks nothing else; its end is the
end of its questions, and the server makes another.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .acts import ACTS
from .frames import LARGEST, Malformed, pack, unpack

WIDTHS = {"uint8": 1, "int32": 4, "float32": 4}


@dataclass
class Answer:
    """What an act gives: JSON, and arrays of uint8, int32 or float32 (or bytes, as a PNG) by name."""

    content: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)

    def packed(self, number: int, last: bool) -> bytes:
        """The message: arrays in the order given, each at a multiple of 4 bytes."""
        import numpy as np

        parts, listed, at = [], [], 0
        for name, value in self.arrays.items():
            if isinstance(value, bytes):
                value = np.frombuffer(value, np.uint8)
            array = np.ascontiguousarray(value)
            assert str(array.dtype) in WIDTHS, f"{name} of type {array.dtype}"
            raw = array.tobytes()
            listed.append({"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "at": at})
            raw += bytes(-len(raw) % 4)
            parts.append(raw)
            at += len(raw)
        return pack({**self.content, "id": number, "last": last, "arrays": listed}, b"".join(parts))


class Desk:
    """What acts share: where runs lie, the pages of the user's own, and what was opened lately."""

    def __init__(self, root: Path, pages: Mapping[str, str]) -> None:
        self.root, self.pages = root, pages  # folder of run folders; page name -> file, as the user named them
        self.memory: dict[str, Any] = {}  # of acts that go on from question to question, by their own key
        self._opened: dict[str, Any] = {}

    def trained(self, run: object) -> Any:
        """The opened run of an id that the server gave out: a folder's name, or "shipped:NAME". UserError: none."""
        from ..catalog import shipped, user_runs
        from ..core.errors import UserError
        from ..trained import open_run

        ours = {f"shipped:{name}": folder for name, folder in shipped().items()}
        known = {**ours, **{folder.name: folder for folder in user_runs(self.root)}}
        if not isinstance(run, str) or run not in known:
            raise UserError("a run of this studio", repr(run)[:60], "Choose one of the list")
        folder = known[run]
        stamp = f"{run} {(folder / 'status.json').stat().st_mtime_ns if (folder / 'status.json').exists() else 0}"
        if stamp not in self._opened:
            page = run.removeprefix("shipped:") if run in ours else run.rpartition("-")[0]
            while len(self._opened) >= 4:
                self._opened.pop(next(iter(self._opened)))
            self._opened[stamp] = open_run(folder, self.pages.get(page, ""))
        return self._opened[stamp]


def act_of(name: object) -> Any:
    """The function that answers a question. UserError: there is none of that name."""
    from ..core.errors import UserError

    if not isinstance(name, str) or name not in ACTS:
        raise UserError(f"a question that the desk knows: {', '.join(ACTS)}", repr(name)[:60], "Reload the page")
    return importlib.import_module(f".acts.{ACTS[name]}", __package__).act


def serve(source: IO[bytes], sink: IO[bytes], desk: Desk, gone: Callable[[], None] = lambda: None) -> None:
    """Answer until the source ends. One question at a time; those that stream take turns with what comes in."""
    inbox: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_listen, args=(source, inbox, gone), daemon=True).start()
    streams: dict[int, Iterator[Answer]] = {}

    def tell(number: int, answer: Answer, last: bool) -> None:
        message = answer.packed(number, last)
        sink.write(struct.pack("<I", len(message)) + message)
        sink.flush()

    def step(number: int, stream: Iterator[Answer]) -> None:
        """The next answer of a stream; the one that follows the last is empty, and says so."""
        try:
            tell(number, next(stream), last=False)
        except StopIteration:
            streams.pop(number, None)
            tell(number, Answer(), last=True)
        except Exception as problem:
            streams.pop(number, None)
            tell(number, failure(problem), last=True)

    def hear(message: bytes) -> None:
        number = 0
        try:
            ask, payload = unpack(message)
            number = ask["id"] if type(ask.get("id")) is int else 0
            if ask.get("do") == "cancel":
                stream = streams.pop(ask.get("of"), None)  # type: ignore[arg-type]
                if stream is not None:
                    stream.close()  # type: ignore[attr-defined]
                tell(number, Answer(), last=True)
                return
            found = act_of(ask.get("do"))(desk, ask, payload)
            if isinstance(found, Answer):
                tell(number, found, last=True)
            else:
                streams[number] = found
        except Exception as problem:
            tell(number, failure(problem), last=True)

    while True:
        try:
            message = inbox.get(block=not streams)
            if message is None:
                return
            hear(message)
            continue  # what was asked comes before what streams
        except queue.Empty:
            pass
        for number, stream in list(streams.items()):
            step(number, stream)


def failure(problem: Exception) -> Answer:
    """What a question that failed is answered: the user's error in its own line, ours without details."""
    from ..core.errors import UserError

    if isinstance(problem, UserError | Malformed):
        return Answer({"error": str(problem)})
    traceback.print_exception(problem)
    return Answer({"error": f"This is our fault: {type(problem).__name__}. The terminal has the details"})


def _listen(source: IO[bytes], inbox: queue.Queue[bytes | None], gone: Callable[[], None]) -> None:
    """Put each message into the inbox; None at the end, and tell that who asks has gone."""
    while True:
        head = source.read(4)
        if len(head) < 4:
            break
        (length,) = struct.unpack("<I", head)
        if length > LARGEST:
            break
        message = source.read(length)
        if len(message) < length:
            break
        inbox.put(message)
    inbox.put(None)
    gone()


def main(words: list[str]) -> None:
    """`python -m milestones.studio ROOT [PAGE.py ...]`: serve standard input and output until the server goes."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what pages print goes to the terminal, not between the messages
    root, files = Path(words[0]), words[1:]
    import torch  # before the first question, which then does not wait for it

    from .. import media  # noqa: F401

    torch.set_num_threads(min(2, torch.get_num_threads()))
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        # A server that has gone waits for no answer: the process ends at once, whatever it computes.
        serve(sys.stdin.buffer, sink, Desk(root, {Path(file).stem: file for file in files}), lambda: os._exit(0))
