"""What the microphone hears, until Enter is pressed or some seconds are over."""

from __future__ import annotations

import select
import sys
from typing import Any

import numpy as np

from ..core.errors import UserError
from .sound import Audio

NAME = "microphone"
RATE_HZ = 16_000
MOST = 60.0  # seconds, where none are asked for


def record(seconds: float = 0.0) -> Audio:
    """A recording of so many seconds; of 0, until Enter is pressed, or for a minute. UserError: no microphone, not to
    be opened, nothing heard."""
    if not 0 <= seconds <= 3600:
        raise UserError("a recording of up to 3,600 seconds", f"{seconds:g}", "Take --seconds 5, or Enter to end it")
    sound = _device()
    pieces: list[np.ndarray] = []
    waiting = not seconds and sys.platform != "win32" and sys.stdin is not None and sys.stdin.isatty()
    print(
        f"listening; {'press Enter to end' if waiting else f'{seconds or MOST:g} seconds'}", file=sys.stderr, flush=True
    )
    try:
        with sound.InputStream(
            RATE_HZ, channels=1, dtype="float32", callback=lambda data, *_: pieces.append(data.copy())
        ):
            left = seconds or MOST
            while left > 0:
                if waiting and select.select([sys.stdin], [], [], 0.1)[0]:
                    sys.stdin.readline()
                    break
                sound.sleep(0 if waiting else 100)
                left -= 0.1
    except sound.PortAudioError as problem:
        raise _unheard(str(problem)) from None
    heard = np.concatenate(pieces)[:, 0] if pieces else np.zeros(1, np.float32)
    if not heard.any():
        raise _unheard("only silence came from it")
    return Audio(np.clip(np.nan_to_num(heard), -1, 1).astype(np.float32), RATE_HZ)


def _device() -> Any:
    """The module sounddevice. UserError: not installed, or its library is not; no microphone."""
    try:
        import sounddevice  # pyright: ignore[reportMissingImports]
    except ImportError:
        do = 'Install it: pip install "milestones[speech]"; or record a WAV file'
        raise UserError("sounddevice, which hears the microphone", "none installed", do) from None
    except OSError as problem:  # PortAudio itself
        raise _unheard(str(problem)) from None
    try:
        sounddevice.query_devices(kind="input")
    except (ValueError, sounddevice.PortAudioError) as problem:
        raise _unheard(str(problem)) from None
    return sounddevice


def _unheard(why: str) -> UserError:
    do = "Plug one in and allow its use, or name a WAV file"
    return UserError("a microphone that can be heard", why[:100], do)
