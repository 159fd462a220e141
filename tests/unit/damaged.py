"""Damaged inputs for readers, and what a reader may do with them: a result or a refusal, soon, and nothing else."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SEED = 1986
STUCK = 30.0  # seconds by the clock: it hangs
NUMBERS = (0, 1, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = (b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"-1", b"1e999", b"NaN", b"9" * 5000, b"null", b'"', b"\\",
         b"\\ud800", b"\r", b"\n", b"[" * 3000, b'{"a":' * 1500, b",", b";", b"(", b")")  # fmt: skip
VALUES = (None, True, -1, 0.5, 2**70, 10**400, 1e308, float("nan"), float("inf"), "", "\ud800", "\0", "x" * 3000, [],
          {}, [[]], {"a": []}, [None], "../x", "<script>")  # fmt: skip
# What a reader never does: each is told to an audit hook by Python itself.
ACTS = frozenset(("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen",
                  "pickle.find_class", "socket.connect", "socket.bind", "socket.sendto"))  # fmt: skip
CHANGES = frozenset(("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate",
                     "os.chmod", "os.chown", "os.utime", "shutil.rmtree", "shutil.move"))  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Stuck(BaseException):
    """An input that takes too long; not an Exception, which readers may catch."""


class Strayed(BaseException):
    """A reader that does what no reader may do: it writes elsewhere, starts a program, connects."""


def stop(*_: object) -> None:
    raise Stuck


@contextmanager
def limited() -> Iterator[None]:
    """Ends what hangs, where the system has timers."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, STUCK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Guard:
    """Watches what a reader does: outside `folder` it changes nothing, it starts nothing and connects nowhere."""

    def __init__(self) -> None:
        self.folder, self.strayed = "", ""
        sys.addaudithook(self._hear)  # for the rest of the process; silent without a folder

    @contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        self.folder, self.strayed = str(folder.resolve()), ""
        try:
            yield
        finally:
            self.folder = ""
        if self.strayed:
            raise Strayed(self.strayed)

    def _hear(self, event: str, words: tuple[Any, ...]) -> None:
        if not self.folder or (event != "open" and event not in CHANGES and event not in ACTS):
            return
        if event in ACTS:
            self.strayed = self.strayed or event
            return
        writes = event != "open" or any(sign in str(words[1] or "") for sign in "wax+")
        if event == "open" and words[1] is None:  # by os.open, which has flags alone
            writes = bool(int(words[2] or 0) & WRITES)
        base = words[-1] if event in ("os.remove", "os.rmdir") and words[-1] != -1 else None  # beside an open folder
        for path in words[: 1 if event == "open" else 2] if writes else ():
            if isinstance(path, str | bytes | os.PathLike) and not self._within(os.fsdecode(path), base):
                self.strayed = self.strayed or f"{event} of {os.fsdecode(path)[:100]!r}"

    def _within(self, path: str, base: int | None) -> bool:
        if base is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{base}"), path)
        return path == os.devnull or os.path.realpath(path).startswith(self.folder + os.sep)


def mutated(chance: random.Random, content: bytes, other: bytes) -> bytes:
    """The content with one to four damages of the usual kinds; `other` is spliced in now and then."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        kind = chance.randrange(9)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and at < len(made):
            made[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))
        elif kind == 2:
            size, order = chance.choice((2, 4)), chance.choice(("little", "big"))
            number = chance.choice(NUMBERS) % 256**size
            made[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
        elif kind == 3:
            del made[at : at + chance.choice((1, 2, 4, 16, 100))]
        elif kind == 4:
            piece = made[at : at + chance.choice((1, 4, 16, 64))]
            made[at:at] = piece * chance.choice((1, 2, 50))
        elif kind == 5:
            made[at:at] = chance.randbytes(chance.choice((1, 4, 32)))
        elif kind == 6 and chance.random() < 0.3:
            del made[at:]
        elif kind == 7:
            made[at:] = other[chance.randrange(len(other)) :] if chance.random() < 0.3 else made[at:]
        else:
            made[at : at + chance.choice((0, 0, 1, 3))] = chance.choice(WORDS)
    return bytes(made)


def changed(chance: random.Random, value: Any, depth: int = 0) -> Any:
    """The JSON value with one place replaced by another kind of value, at times nested deeply."""
    if isinstance(value, dict) and value and chance.random() < 0.9 - 0.1 * depth:
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: changed(chance, value[name], depth + 1)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return [*value[:at], changed(chance, value[at], depth + 1), *value[at + 1 :]]
    found = chance.choice(VALUES)
    for _ in range(chance.choice((0, 0, 0, 0, 0, 0, 100, 400))):
        found = [found] if chance.random() < 0.5 else {"a": found}
    return found


def inputs(*originals: bytes | dict[str, Any], count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """(seed, bytes) of damaged originals, in turn; JSON is damaged in its bytes or in its values."""
    plain = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in originals]
    for number in range(count):
        chance = random.Random(seed + number)
        original = originals[number % len(originals)]
        if isinstance(original, dict) and number // len(originals) % 2:
            for _ in range(chance.randint(1, 3)):
                original = changed(chance, original) if isinstance(original, dict) else original
            yield number, json.dumps(original).encode()
        else:
            yield number, mutated(chance, plain[number % len(originals)], chance.choice(plain))


def met(call: Callable[[bytes], object], given: Iterator[tuple[int, bytes]], refused: tuple[type[Exception], ...],
        slow: float) -> tuple[Counter[str], float, list[str]]:  # fmt: skip
    """How many inputs gave results and refusals, the longest that one took in seconds of the processor, and what
    should not have happened: crashes, hangs, strays, each with its input."""
    told: Counter[str] = Counter()
    longest, wrong = 0.0, list[str]()
    for number, content in given:
        took, what = math.inf, ""
        for _ in range(2):  # what is slow is so again; a collection of garbage falls into one of two
            began = time.process_time()
            try:
                with limited():
                    call(content)
                what = "results"
            except refused:
                what = "refusals"
            except (Exception, Stuck, Strayed) as problem:
                what = f"{type(problem).__name__}: {str(problem)[:200]}"
            took = min(took, time.process_time() - began)
            if took < slow and what != "Stuck: ":
                break
        told[what if what in ("results", "refusals") else "wrong"] += 1
        longest = max(longest, took)
        if what not in ("results", "refusals") or took >= slow:
            wrong.append(f"input {number}: {what}, {took:.1f} s; {content[:2000]!r}")
    return told, longest, wrong


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing is printed; what C libraries say of broken files goes nowhere."""
    import warnings

    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
