"""Films: frames with what was thought of each, as an animated WebP (or GIF) that a browser plays and we read again."""

from __future__ import annotations

import base64
import binascii
import io
import json
import shutil
import subprocess
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import features

from ..core.errors import UserError
from .image import overpacked
from .records import finite

SUFFIXES = frozenset((".gif", ".webp"))
WRITTEN = (".gif", ".webp", ".mp4")
INSTEAD = "Install ffmpeg, or name a file that ends in .gif or .webp"
FILM = "an animated WebP or GIF"
MOST_FRAMES = 5000
LARGEST = 400_000_000  # bytes of frames
MARK = "milestones:"  # before our values in the file


@dataclass(frozen=True, eq=False)
class Video:
    """Frames, uint8 "T H W" grey or "T H W 3" colour, so many a second. `values` has a number for each frame by name
    ("value", "reward"); `saliency` "T h w", from 0 to 1, is drawn over the frames and may be coarser than they are."""

    frames: np.ndarray
    rate_hz: float = 10.0
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    saliency: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape, kind = self.frames.shape, self.frames.dtype
        fits = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
        if kind != np.uint8 or not fits or 0 in shape or shape[0] > MOST_FRAMES or self.frames.nbytes > LARGEST:
            size = " x ".join(map(str, shape))
            want = f"1 to {MOST_FRAMES:,} grey or colour frames of uint8"
            raise UserError(want, f"{size} of {kind}", "Pass fewer or smaller frames")
        assert 0 < self.rate_hz <= 1000, f"frames a second, not {self.rate_hz}"
        assert all(len(line) == shape[0] for line in self.values.values()), f"a value for each of {shape[0]} frames"
        assert self.saliency is None or (self.saliency.ndim == 3 and len(self.saliency) == shape[0])

    @classmethod
    def open(cls, path: str | Path) -> Video:
        """The film in a file. UserError: not a film, damaged, too large."""
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise UserError(FILM, f"{path} ({problem.strerror or problem})", "Check the path") from None
        return cls.decoded(content, str(path))

    @classmethod
    def decoded(cls, content: bytes, name: str) -> Video:
        """The film in the bytes of a file called `name`, with its values if we wrote it. UserError as `open`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Pillow.DecompressionBombWarning)
                picture = Pillow.open(io.BytesIO(content), formats=("GIF", "WEBP"))
            count = getattr(picture, "n_frames", 1)
            if count > MOST_FRAMES or count * picture.width * picture.height * 3 > LARGEST:
                got = f"{count:,} of {picture.width:,} x {picture.height:,} in {name}"
                raise UserError(f"at most {MOST_FRAMES:,} frames and {LARGEST >> 20} MiB", got, "Cut the film")
            if overpacked(count * picture.width * picture.height, content):
                told = f"{count:,} of {picture.width:,} x {picture.height:,} in {len(content):,} bytes"
                got = f"{name}, which says {told}"
                raise UserError("a film as large as its file can hold", got, "Save the film again")
            size, spent = picture.size, 0.0
            stack = np.empty((count, size[1], size[0], 3), np.uint8)
            for k in range(count):
                picture.seek(k)
                if picture.size != size:  # before its pixels are made: a damaged frame may say that it is larger
                    raise ValueError(f"frame {k + 1} of another size than the first")
                stack[k] = np.asarray(picture.convert("RGB"))
                spent += float(picture.info.get("duration", 100))
        except UserError:
            raise
        except Exception as problem:  # decoders raise nearly anything on hostile headers
            got = f"{name}, which is none or damaged ({str(problem)[:60]})"
            raise UserError(FILM, got, "Save the film again") from None
        if (stack[..., :1] == stack).all():
            stack = np.ascontiguousarray(stack[..., 0])
        values, saliency = _told(picture.info.get("xmp", b""), len(stack))
        return cls(stack, min(1000.0, max(0.1, 1000 * len(stack) / max(spent, 1.0))), values, saliency)

    @staticmethod
    def length(path: str | Path) -> int:
        """How many frames the film in a file has, read from its head. UserError as `open`."""
        try:
            with Pillow.open(path, formats=("GIF", "WEBP")) as picture:
                return getattr(picture, "n_frames", 1)
        except Exception as problem:  # as in `decoded`
            got = f"{path}, which is none or damaged ({str(problem)[:60]})"
            raise UserError(FILM, got, "Save the film again") from None

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.frames) / self.rate_hz

    def thinned(self, most: int) -> Video:
        """Every k-th frame, so that the frames have at most so many bytes; it lasts as long."""
        step = -(-self.frames.nbytes // most)
        if step == 1:
            return self
        values = {name: list(line)[::step] for name, line in self.values.items()}
        coarse = None if self.saliency is None else self.saliency[::step]
        return Video(self.frames[::step], max(0.1, self.rate_hz / step), values, coarse)

    def strip(self, count: int = 6) -> np.ndarray:
        """Frames side by side, evenly chosen from the first to the last."""
        chosen = np.linspace(0, len(self.frames) - 1, min(count, len(self.frames))).round().astype(int)
        return np.concatenate(list(self.frames[chosen]), axis=1)

    def encode(self) -> tuple[str, bytes]:
        """An animated WebP without loss, values and saliency within; a GIF without them where Pillow has no WebP."""
        stream, pictures = io.BytesIO(), [Pillow.fromarray(frame) for frame in self.frames]
        duration = max(1, round(1000 / self.rate_hz))
        if not features.check("webp"):
            return ".gif", self.written(".gif")
        told: dict[str, Any] = {"values": {name: finite(line) for name, line in self.values.items()}}
        if self.saliency is not None:
            levels = (np.clip(np.nan_to_num(self.saliency), 0, 1) * 255).round().astype(np.uint8)
            packed = base64.b64encode(zlib.compress(levels.tobytes())).decode()
            told["saliency"] = {"shape": list(levels.shape), "levels": packed}
        pictures[0].save(stream, "WEBP", save_all=True, append_images=pictures[1:], duration=duration, loop=0,
                         lossless=True, quality=30, method=1, xmp=(MARK + json.dumps(told)).encode())  # fmt: skip
        return ".webp", stream.getvalue()

    def written(self, suffix: str) -> bytes:
        """The film as a file of that suffix, one of WRITTEN: a GIF has 256 colours and no values, an MP4 needs ffmpeg.
        UserError: another suffix, or no ffmpeg that can."""
        tool = writer(suffix)
        if suffix == ".webp":
            return self.encode()[1]
        if suffix == ".gif":
            stream, pictures = io.BytesIO(), [Pillow.fromarray(frame) for frame in self.frames]
            duration = max(1, round(1000 / self.rate_hz))
            pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0)
            return stream.getvalue()
        return self._mp4(tool)

    def _mp4(self, tool: str) -> bytes:
        frames = self.frames if self.frames.ndim == 4 else self.frames[..., None].repeat(3, 3)
        size, rate = f"{frames.shape[2]}x{frames.shape[1]}", f"{self.rate_hz:g}"
        words = [tool, "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", rate, "-i", "-",
                 "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-f", "mp4",
                 "-movflags", "frag_keyframe+empty_moov", "-"]  # fmt: skip
        done = subprocess.run(words, input=frames.tobytes(), capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no word why"]
            raise UserError("an ffmpeg that can write .mp4 files", said[0][:120], INSTEAD)
        return done.stdout

    def plain(self) -> dict[str, Any]:
        """Count, size, rate and the values of the frames; no pixels."""
        return {
            "frames": len(self.frames), "height": self.frames.shape[1], "width": self.frames.shape[2],
            "rate_hz": self.rate_hz, "values": {name: finite(line) for name, line in self.values.items()},
        }  # fmt: skip

    def __str__(self) -> str:
        count, height, width = self.frames.shape[:3]
        ends = "".join(f", {name} {line[0]:.3g} -> {line[-1]:.3g}" for name, line in self.values.items())
        return f"film, {count} frames of {height} x {width} at {self.rate_hz:g} a second{ends}"


def writer(name: str) -> str:
    """The program that writes a film of that name (or suffix); nothing where we do. UserError: no such kind of film, or
    no such program."""
    suffix = Path(f"film{name}" if name in WRITTEN else name).suffix.lower()
    if suffix not in WRITTEN:
        raise UserError(f"a film whose name ends in {', '.join(WRITTEN)}", repr(name), "For example out.gif")
    tool = shutil.which("ffmpeg") or "" if suffix == ".mp4" else ""
    if suffix == ".mp4" and not tool:
        raise UserError("ffmpeg, which writes .mp4 files", "no such program here", INSTEAD)
    return tool


def _told(raw: object, count: int) -> tuple[dict[str, list[float]], np.ndarray | None]:
    """Values and saliency that we wrote into a film; nothing where others wrote, or somebody changed it."""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else ""
    try:
        assert text.startswith(MARK)
        told = json.loads(text.removeprefix(MARK))
        values = {str(name)[:40]: [float("nan") if v is None else float(v) for v in line]
                  for name, line in told["values"].items()}  # fmt: skip
        assert all(len(line) == count for line in values.values())
        if "saliency" not in told:
            return values, None
        shape = told["saliency"]["shape"]
        assert len(shape) == 3 and shape[0] == count and all(type(n) is int and 0 < n <= 512 for n in shape[1:])
        size = shape[0] * shape[1] * shape[2]
        assert size <= LARGEST // 4
        levels = zlib.decompressobj().decompress(base64.b64decode(told["saliency"]["levels"]), size)
        return values, np.frombuffer(levels, np.uint8).reshape(shape).astype(np.float32) / 255
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError, RecursionError, zlib.error,
            binascii.Error):  # fmt: skip
        return {}, None
