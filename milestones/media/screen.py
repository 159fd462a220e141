"""A terminal's picture and keys: frames in colour, two rows of pixels in a line of half blocks; what is pressed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable

import numpy as np

from ..core.errors import UserError
from .image import Image

ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}  # the last letter of what a terminal sends for them
WIDEST = 100  # columns: wider ones only take time


def half_blocks(pixels: np.ndarray, columns: int) -> str:
    """A frame, uint8 "H W" or "H W 3", in lines of `columns` characters whose upper half is one pixel and whose lower
    half another, in 24-bit colours; each line ends with the colours as they were."""
    height = max(2, 2 * round(pixels.shape[0] * columns / pixels.shape[1] / 2))
    small = Image(pixels).resized(height, columns).pixels
    small = small if small.ndim == 3 else small[..., None].repeat(3, 2)
    lines = []
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        before, text = None, ""
        for (r, g, b), (s, h, c) in zip(upper, lower, strict=True):
            if before != (r, g, b, s, h, c):
                text += f"\x1b[38;2;{r};{g};{b};48;2;{s};{h};{c}m"
                before = (r, g, b, s, h, c)
            text += "▀"
        lines.append(text + "\x1b[0m")
    return "\n".join(lines)


class Screen:
    """Frames one over the other in the terminal of standard error, each with a line of words, at so many a second."""

    def __init__(self, rate_hz: float) -> None:
        self._pause, self._lines, self._next = 1 / rate_hz, 0, time.monotonic()

    def show(self, pixels: np.ndarray, words: str) -> None:
        """Draw over the last frame. A frame that comes too late is left out, one that comes early waits."""
        now = time.monotonic()
        if now > self._next + self._pause:
            self._next = now
            return
        time.sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + self._pause
        size = shutil.get_terminal_size()
        columns = max(8, min(WIDEST, size.columns, 2 * (size.lines - 2) * pixels.shape[1] // pixels.shape[0]))
        text = half_blocks(pixels, columns)
        up = f"\x1b[{self._lines}A\r" if self._lines else ""
        self._lines = text.count("\n") + 2
        sys.stderr.write(f"{up}{text}\n\x1b[K{words[: size.columns - 1]}\n")
        sys.stderr.flush()


class Keys:
    """What is pressed in the terminal of standard input, key by key: `with Keys() as keys: keys.pressed(0.1)`.

    UserError: standard input is no terminal."""

    def __init__(self) -> None:
        if sys.stdin is None or not sys.stdin.isatty():
            do = "Run it in a terminal of your own, without a pipe"
            raise UserError("a terminal to press keys in", "standard input that is none", do, "play")
        self._restore: Callable[[], None] = lambda: None

    def __enter__(self) -> Keys:
        with contextlib.suppress(ImportError):  # Windows
            import termios
            import tty

            file = sys.stdin.fileno()
            before = termios.tcgetattr(file)
            tty.setcbreak(file)
            self._restore = lambda: termios.tcsetattr(file, termios.TCSADRAIN, before)
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        self._restore()

    def pressed(self, seconds: float) -> str:
        """The last key of so many seconds, all of which are waited for: a letter, a word of ARROWS, or nothing."""
        end, last = time.monotonic() + seconds, ""
        while (left := end - time.monotonic()) > 0:
            last = named(self._read(left)) or last
        return last

    @staticmethod
    def _read(seconds: float) -> str:
        """What was typed within so many seconds, as soon as something was."""
        try:
            import msvcrt
        except ImportError:
            import select

            ready, _, _ = select.select([sys.stdin], [], [], seconds)
            return os.read(sys.stdin.fileno(), 64).decode(errors="replace") if ready else ""
        time.sleep(min(seconds, 0.01))
        text = ""
        while msvcrt.kbhit():  # type: ignore[attr-defined]
            text += msvcrt.getwch()  # type: ignore[attr-defined]
        swapped = {"H": "A", "P": "B", "M": "C", "K": "D"}  # Windows' letters for arrows, after its own mark
        return f"\x1b[{swapped.get(text[-1], '')}" if text[:1] in ("\x00", "\xe0") else text


def named(typed: str) -> str:
    """The last key of what a terminal sent."""
    if "\x1b" in typed:
        return ARROWS.get(typed[-1], "")
    return typed[-1:].lower()
