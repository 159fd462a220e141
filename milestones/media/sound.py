"""Sounds: one channel of samples, read from WAV files by their chunks and written by the standard library."""

from __future__ import annotations

import io
import math
import struct
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError

SUFFIXES = frozenset((".wav",))
OTHERS = frozenset((".flac", ".ogg", ".mp3"))  # by soundfile, where it is installed
SOUND = "a WAV file of whole numbers (8 to 32 bits) or float32"
RATES = (1, 768_000)  # hertz
MOST = 60_000_000  # samples: an hour at 16 kHz
POINTS = 400  # of an envelope


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound: float32 samples "T" from -1 to 1, one channel, so many a second."""

    samples: np.ndarray
    rate_hz: int

    def __post_init__(self) -> None:
        shape, kind = self.samples.shape, self.samples.dtype
        if kind != np.float32 or len(shape) != 1 or not shape[0] or not np.isfinite(self.samples).all():
            size = " x ".join(map(str, shape))
            raise UserError("one channel of finite float32 samples", f"{size} of {kind}", "Pass one sound at a time")
        if type(self.rate_hz) is not int or not RATES[0] <= self.rate_hz <= RATES[1]:
            want = f"a rate of {RATES[0]} to {RATES[1]:,} samples a second"
            raise UserError(want, f"{self.rate_hz!r}"[:40], "Give the rate in hertz")

    @classmethod
    def open(cls, path: str | Path) -> Audio:
        """The sound in a WAV file (FLAC, OGG and MP3 where soundfile is installed). UserError: not a sound, cut off,
        longer than an hour at 16 kHz."""
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise UserError(SOUND, f"{path} ({problem.strerror or problem})", "Check the path") from None
        return cls.decoded(content, str(path))

    @classmethod
    def decoded(cls, content: bytes, name: str) -> Audio:
        """The sound in the bytes of a file called `name`; several channels become their mean. UserError as `open`."""
        if content[:4] in (b"RIFF", b"RIFX") or Path(name).suffix.lower() not in OTHERS:
            return _wav(content, name)
        return _other(content, name)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate_hz

    def resampled(self, rate_hz: int) -> Audio:
        """The sound at another rate, by its spectrum: what the new rate cannot hold is left out."""
        if rate_hz == self.rate_hz:
            return self
        common = math.gcd(rate_hz, self.rate_hz)
        up, down = rate_hz // common, self.rate_hz // common
        padded = (len(self.samples) // down + 2) * down  # silence after it: the spectrum takes the end for the start
        count = padded * up // down
        spectrum = np.fft.rfft(self.samples, padded)[: count // 2 + 1]
        samples = np.fft.irfft(spectrum, count)[: -(-len(self.samples) * up // down)] * (up / down)
        return Audio(np.clip(samples, -1, 1).astype(np.float32), rate_hz)

    def encode(self) -> tuple[str, bytes]:
        """A WAV file of 16 bits; louder samples are cut."""
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate_hz)
            file.writeframes((np.clip(self.samples, -1, 1) * 32767).round().astype("<i2").tobytes())
        return ".wav", stream.getvalue()

    def plain(self) -> dict[str, Any]:
        """Rate, seconds, and the envelope: the lowest and highest sample of each of at most 400 equal pieces."""
        starts = np.linspace(0, len(self.samples), min(POINTS, len(self.samples)), endpoint=False).astype(int)
        low, high = np.minimum.reduceat(self.samples, starts), np.maximum.reduceat(self.samples, starts)
        return {
            "rate_hz": self.rate_hz, "seconds": round(self.seconds, 6),
            "envelope": [[round(float(a), 4), round(float(b), 4)] for a, b in zip(low, high, strict=True)],
        }  # fmt: skip

    def __str__(self) -> str:
        return f"sound, {self.seconds:.3g} s at {self.rate_hz:,} Hz"


def _wav(content: bytes, name: str) -> Audio:
    """A RIFF file taken apart. What is said of it by its header is checked before anything is made of it."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise UserError(SOUND, f"{name}, which is {'empty' if not content else 'of another kind'}", "Save it as WAV")
    at, form, data = 12, b"", None
    while at + 8 <= len(content) and data is None:
        chunk, (size,) = content[at : at + 4], struct.unpack("<I", content[at + 4 : at + 8])
        body = content[at + 8 : at + 8 + size]
        if chunk == b"fmt ":
            form = body
        elif chunk == b"data":
            data = body
            if len(body) < size and size != 0xFFFFFFFF:  # which programs write that do not know the end yet
                raise _damaged(name, f"{len(body):,} of {size:,} bytes of sound")
        at += 8 + size + size % 2
    if len(form) < 16 or data is None:
        raise _damaged(name, "no format before its sound" if data is not None else "no sound")
    code, channels, rate, _, width, bits = struct.unpack("<HHIIHH", form[:16])
    if code == 0xFFFE and len(form) >= 26:
        (code,) = struct.unpack("<H", form[24:26])
    kind = {(1, 8): "u1", (1, 16): "<i2", (1, 24): "i3", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}.get(
        (code, bits)
    )
    if kind is None or not 1 <= channels <= 64 or width != channels * bits // 8 or not RATES[0] <= rate <= RATES[1]:
        got = f"{name}: format {code}, {bits} bits, {channels} channels, {rate:,} Hz"
        raise UserError(SOUND, got, "Save it as WAV of 16 bits")
    count = len(data) // width
    if not count:
        raise _damaged(name, "no samples")
    if count > MOST or count * channels > 4 * MOST:
        raise UserError(f"a sound of at most {MOST:,} samples", f"{count:,} in {name}", "Cut it into pieces")
    values = _scaled(np.frombuffer(data[: count * width], np.uint8), kind).reshape(count, channels)
    if not np.isfinite(values).all():
        raise _damaged(name, "samples that are no numbers")
    mixed = values[:, 0] if channels == 1 else values.mean(1, dtype=np.float32)
    return Audio(np.clip(mixed, -1, 1), rate)


def _scaled(raw: np.ndarray, kind: str) -> np.ndarray:
    """Bytes as float32 from -1 to 1."""
    if kind == "u1":
        return (raw.astype(np.float32) - 128) / 128
    if kind == "i3":
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        return wide.reshape(-1).view("<i4").astype(np.float32) / 2**31
    values = raw.view(kind)
    if kind in ("<f4", "<f8"):
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(np.float32)
    return values.astype(np.float32) / 2 ** (8 * values.itemsize - 1)


def _other(content: bytes, name: str) -> Audio:
    try:
        import soundfile  # pyright: ignore[reportMissingImports]
    except ImportError:
        do = 'Save it as WAV, or install it: pip install "milestones[speech]"'
        raise UserError("soundfile, which reads FLAC, OGG and MP3", "none installed", do) from None
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate = file.samplerate
            samples = file.read(MOST // max(1, file.channels), dtype="float32", always_2d=True).mean(1)
    except Exception as problem:  # decoders raise nearly anything on hostile headers
        raise _damaged(name, str(problem)[:80]) from None
    return Audio(np.clip(np.nan_to_num(samples), -1, 1).astype(np.float32), int(rate))


def _damaged(name: str, what: str) -> UserError:
    return UserError("a whole sound", f"{name}, which is damaged ({what})", "Copy or save the file again")
