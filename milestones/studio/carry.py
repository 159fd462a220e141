"""Media between page and desk: what a page of the catalog answers, as JSON and arrays; what a user sends, as media."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import catalog
from ..core.errors import UserError
from ..media import Audio, Board, Image, Media, Text, Video
from .desk import Answer

MOST_FILM = 40 << 20  # bytes of a film that is sent


def options(use: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """What a page's `use` can be told from afar: all but paths, since the files of the server are not the asker's."""
    return {name: schema for name, schema in catalog.options(use).items() if schema.get("format") != "path"}


def carried(items: Mapping[str, Media], **content: Any) -> Answer:
    """An answer whose "items" are media in order: each a name, the kind's class name, and its plain value.

    A picture is an array "H W C" of uint8 named after the item, a sound float32 "T", a film uint8 "T H W C", whose last
    channel is the saliency if it has one ("saliency" of its value says so).
    """
    listed, arrays = [], {}
    for name, item in items.items():
        kind = type(item).__name__.lower()
        if isinstance(item, Image):
            pixels = np.asarray(item.pixels)
            arrays[name] = pixels[..., None] if pixels.ndim == 2 else pixels
            listed.append({"name": name, "kind": kind, "value": None})
        elif isinstance(item, Audio):
            arrays[name] = item.samples
            listed.append({"name": name, "kind": kind, "value": item.plain()})
        elif isinstance(item, Video):
            film = item.thinned(MOST_FILM)
            arrays[name] = layers(film)
            value = {**film.plain(), "saliency": film.saliency is not None}
            listed.append({"name": name, "kind": kind, "value": value})
        else:
            listed.append({"name": name, "kind": kind, "value": item.plain()})
    return Answer({**content, "items": listed}, arrays)


def layers(film: Video) -> np.ndarray:
    """Frames "T H W C"; saliency, stretched over them, as one channel more."""
    frames = film.frames[..., None] if film.frames.ndim == 3 else film.frames
    if film.saliency is None:
        return frames
    height, width = frames.shape[1:3]
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), film.saliency.shape[1:], strict=True))
    over = film.saliency[:, rows][:, :, columns]
    levels = (np.clip(np.nan_to_num(over), 0, 1) * 255).astype(np.uint8)
    return np.concatenate([frames, levels[..., None]], axis=3)


def received(ask: Mapping[str, Any], payload: bytes, takes: tuple[type, ...], who: str) -> Any:
    """The media that a question brings: "kind" image (the payload is a file, or raw grey levels of "shape"), text, row,
    audio (the payload is a WAV file, or float32 samples with "rate_hz"), board ("board", or the payload is SGF), video.

    UserError: a kind that the page does not take, or a file that is none.
    """
    kind = ask.get("kind")
    kinds = {each.__name__.lower(): each for each in takes}
    if kind not in kinds:
        want = " or ".join(kinds) or "no input"
        raise UserError(want, f"{kind!r}"[:60], "Choose another run", who)
    if kind == "image":
        return picture(ask, payload, who)
    if kind == "text":
        return Text(str(ask.get("text", ""))[:100_000])
    if kind == "row":
        values = ask.get("values")
        if not isinstance(values, dict):
            raise UserError("a row: column names with values", type(values).__name__, "Fill in the form", who)
        return kinds["row"]({str(name): value for name, value in values.items()})
    if kind == "audio":
        return sound(ask, payload, who)
    if kind == "board":
        return Board.decoded(payload, "your file") if payload else Board.of(ask.get("board"))
    if kind == "video":
        return Video.decoded(payload, "your film")
    raise UserError("a kind of input that the studio can send", f"{kind!r}"[:60], "Use the command line", who)


def sound(ask: Mapping[str, Any], payload: bytes, who: str) -> Audio:
    """A sound as a file, or as raw float32 samples, "rate_hz" of them a second."""
    rate = ask.get("rate_hz")
    if rate is None:
        return Audio.decoded(payload, str(ask.get("name", "your sound"))[-40:])
    if type(rate) is not int or not payload or len(payload) % 4:
        got = f"{len(payload):,} bytes at {rate!r}"[:80]
        raise UserError("float32 samples and their rate in hertz", got, "Record it again", who)
    samples = np.frombuffer(payload, "<f4").astype(np.float32)
    return Audio(np.clip(np.nan_to_num(samples), -1, 1), rate)


def picture(ask: Mapping[str, Any], payload: bytes, who: str) -> Image:
    """A picture as a file (PNG, JPEG ...), or as raw bytes of "shape" [H, W] or [H, W, 3]."""
    shape = ask.get("shape")
    if shape is None:
        return Image.decoded(payload, "your picture")
    fits = isinstance(shape, list) and len(shape) in (2, 3) and all(type(n) is int and 0 < n <= 4096 for n in shape)
    if not fits or len(payload) != np.prod(shape) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise UserError("as many bytes as the picture's shape says", f"{len(payload):,} for {shape}"[:80],
                        "Draw it again", who)  # fmt: skip
    pixels = np.frombuffer(payload, np.uint8).reshape(shape)
    return Image(pixels[..., 0] if len(shape) == 3 and shape[2] == 1 else pixels)
