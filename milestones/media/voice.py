"""A voice: text to sound by espeak-ng, which the package espeakng-loader brings as a library."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ..core.errors import UserError, nearest
from .sound import Audio

SPEED = (80, 450)  # words a minute
PITCH = (0, 99)
PAUSE = 0.35  # seconds between lines
LEAST = 0.02  # seconds: what is shorter is the silence that a sign becomes
PAUSES = " \t\n.,;:!?…-"  # a text of these alone is a silence, whose length depends on who spoke before
LONGEST = 20_000  # letters of a line

# Of espeak-ng's speak_lib.h
SYNCHRONOUS, DONT_EXIT, CHARACTERS, UTF8, RATE, HEIGHT = 2, 0x8000, 1, 1, 1, 3
HEARD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Engine:
    """espeak-ng, opened once in a process; it speaks one text at a time."""

    def __init__(self) -> None:
        try:
            import espeakng_loader  # pyright: ignore[reportMissingImports]

            self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        except (ImportError, OSError) as problem:
            got = "none installed" if isinstance(problem, ImportError) else f"one that does not load ({problem})"
            do = 'Install it: pip install "milestones[speech]"'
            raise UserError("espeakng-loader, which has the voices", got, do, "say") from None
        folder = Path(espeakng_loader.get_data_path())
        self.rate_hz = self.library.espeak_Initialize(SYNCHRONOUS, 0, str(folder).encode(), DONT_EXIT)
        languages = {file.name.lower(): file.name for file in (folder / "lang").rglob("*") if file.is_file()}
        self.languages = languages | {"en-gb": languages["en"]}
        self.colours = {file.name.lower(): file.name for file in (folder / "voices" / "!v").iterdir()}
        self.pieces: list[np.ndarray] = []
        self.lock = threading.Lock()
        self.heard = HEARD(self._hear)  # kept: the library holds no reference to it
        self.library.espeak_SetSynthCallback(self.heard)

    def _hear(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: int | None) -> int:
        if samples and count > 0:
            self.pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def named(self, voice: str) -> str:
        """The library's own name of a voice as en-us or en-us+f3. UserError: it has none."""
        language, _, colour = voice.lower().partition("+")
        if language not in self.languages:
            do = nearest(language, self.languages, "For example en-us, en-gb, es, de or fr")
            raise UserError("a voice by its language", repr(voice), do, "say")
        if colour and colour not in self.colours:
            do = nearest(colour, self.colours, "For example f2 to f5 or m1 to m8")
            raise UserError("a colour of the voice after the +", repr(voice), do, "say")
        return self.languages[language] + (f"+{self.colours[colour]}" if colour else "")

    def speak(self, text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        """int16 samples "T" at `rate_hz`; empty where the text has nothing that can be said."""
        if not text.strip(PAUSES):
            return np.zeros(0, np.int16)
        name, content = self.named(voice).encode(), text.replace("\0", " ").encode() + b"\0"
        with self.lock:
            self.pieces.clear()
            self.library.espeak_SetVoiceByName(name)
            self.library.espeak_SetParameter(RATE, speed, 0)
            self.library.espeak_SetParameter(HEIGHT, pitch, 0)
            self.library.espeak_Synth(content, len(content), 0, CHARACTERS, 0, UTF8, None, None)
            return np.concatenate([np.zeros(0, np.int16), *self.pieces])


@cache
def engine() -> Engine:
    """The one engine of this process. UserError: espeakng-loader is missing."""
    return Engine()


def voices() -> tuple[list[str], list[str]]:
    """The languages and the colours of voices that espeak-ng has. UserError as `spoken`."""
    return sorted(engine().languages), sorted(engine().colours)


def spoken(text: str | Sequence[str], voice: str = "en-us", speed: int = 160, pitch: int = 50) -> Audio:
    """The sound of a text, at 22,050 Hz; of several, one after the other with a pause between.

    `voice` is a language, with a colour after a + if wanted (en-us, es+f2); `speed` is in words a minute, `pitch` from
    0 to 99. Equal texts sound nearly, not exactly equal: the voice's flutter runs on from one to the next. UserError:
    espeakng-loader is missing, no such voice, out of range, a text too long or without anything that can be said.
    """
    for name, value, (low, high) in (("speed", speed, SPEED), ("pitch", pitch, PITCH)):
        if not low <= value <= high:
            raise UserError(
                f"a {name} from {low} to {high}", str(value), f"For example --{name} {low + high >> 1}", "say"
            )
    lines = [text] if isinstance(text, str) else list(text)
    longest = max(map(len, lines), default=0)
    if longest > LONGEST:
        raise UserError(f"lines of at most {LONGEST:,} letters", f"one of {longest:,}", "Break it into lines", "say")
    machine = engine()
    found = [machine.speak(line, voice, speed, pitch) for line in lines]
    found = [samples for samples in found if len(samples) > LEAST * machine.rate_hz]
    if not found:
        raise UserError("a text that can be said", "none" if not lines else repr(lines[0][:40]), "Write words", "say")
    silence = np.zeros(round(PAUSE * machine.rate_hz), np.int16)
    between = [piece for samples in found for piece in (silence, samples)][1:]
    return Audio(np.concatenate(between).astype(np.float32) / 32768, machine.rate_hz)
