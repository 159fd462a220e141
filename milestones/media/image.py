"""Pictures: read from files with every usual form set right, and grids of filters or pictures."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageOps
from torch import Tensor
from torch.nn import functional

from ..core.errors import UserError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")  # JPEG: also the MPO of phones with two lenses
PICTURE = "a PNG, JPEG, BMP, TIFF or WebP picture"
PIXELS = 100_000_000
SMALL = 10_000_000  # pixels that a file of any size may hold
PACKED = 10_000  # pixels for each byte of a larger one's file: blank sheets have 8,000, a few bytes made to harm more


@dataclass(frozen=True, eq=False)
class Image:
    """A picture: uint8 pixels, "H W" grey, "H W 3" colour or "H W 4" colour and opacity."""

    pixels: np.ndarray

    def __post_init__(self) -> None:
        shape, kind = self.pixels.shape, self.pixels.dtype
        if kind != np.uint8 or 0 in shape or not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))):
            size = " x ".join(map(str, shape))
            raise UserError(
                "a grey or colour picture of uint8 values", f"{size} of {kind}", "Pass one picture at a time"
            )

    @classmethod
    def open(cls, path: str | Path) -> Image:
        """The picture in a file, upright. UserError: not a picture, truncated, above 100 megapixels."""
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise UserError(PICTURE, f"{path} ({problem.strerror or problem})", "Check the path") from None
        return cls.decoded(content, str(path))

    @classmethod
    def decoded(cls, content: bytes, name: str) -> Image:
        """The picture in the bytes of a file called `name`. UserError as `open`."""
        return cls(_pixels(_decoded(content, name)))

    @classmethod
    def of(cls, picture: Tensor) -> Image:
        """The picture in a tensor "C H W" of levels 0 to 255, C 1 or 3."""
        pixels = picture.clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        return cls(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.pixels.shape[1]

    def grey(self) -> np.ndarray:
        """Grey levels "H W" (ITU-R 601), what is transparent shown on white."""
        if self.pixels.ndim == 2:
            return self.pixels
        picture = Pillow.fromarray(self.pixels)
        if self.pixels.shape[2] == 4:
            white = Pillow.new("RGBA", picture.size, (255, 255, 255, 255))
            picture = Pillow.alpha_composite(white, picture)
        return np.asarray(picture.convert("L"))

    def resized(self, h: int, w: int) -> Image:
        """The whole picture scaled to `h` x `w` with antialiasing; its aspect is not kept."""
        if self.pixels.shape[:2] == (h, w):
            return self
        return Image(np.asarray(Pillow.fromarray(self.pixels).resize((w, h), Pillow.Resampling.BILINEAR)))

    def square(self, side: int) -> Image:
        """The middle of the picture in colour, "side side 3": its shorter side scaled to `side`, the longer one cut."""
        return Image(_square(Pillow.fromarray(on_white(self)), side))

    def encode(self) -> tuple[str, bytes]:
        """The picture as PNG."""
        stream = io.BytesIO()
        Pillow.fromarray(self.pixels).save(stream, "PNG")
        return ".png", stream.getvalue()

    def plain(self) -> dict[str, Any]:
        """Size, and the PNG in base 64."""
        png = base64.b64encode(self.encode()[1]).decode()
        return {"height": self.height, "width": self.width, "png": png}

    def __str__(self) -> str:
        kind = "grey" if self.pixels.ndim == 2 else "colour"
        return f"{kind} picture, {self.height} x {self.width}"

    def blocks(self, columns: int = 28) -> str:
        """The picture in characters of five darknesses, for terminals: a line stands for two rows of pixels."""
        height = max(2, round(self.height * columns / self.width / 2) * 2)
        grey = Image(self.grey()).resized(height, columns).pixels
        shades = " .:+#"
        pairs = grey.reshape(height // 2, 2, columns).mean(1) * (len(shades) - 1) / 255
        return "\n".join("".join(shades[round(level)] for level in line) for line in pairs.tolist())


def _square(picture: Pillow.Image, side: int) -> np.ndarray:
    least = min(picture.size)
    if picture.size != (side, side):
        x, y = (picture.width - least) / 2, (picture.height - least) / 2
        picture = picture.resize((side, side), Pillow.Resampling.BILINEAR, (x, y, x + least, y + least))
    return np.asarray(picture)


def scaled(content: bytes, name: str, side: int, colour: bool = False) -> np.ndarray:
    """`side` x `side` of the picture in the bytes of a file called `name`, several times faster for JPEGs: grey levels
    nearly as ``grey`` and ``resized`` give them, or colours "side side 3" nearly as ``square`` gives them."""
    picture = _decoded(content, name, 4 * side, "RGB" if colour else "L")
    if colour:
        plain = picture.mode in ("L", "RGB") and "transparency" not in picture.info
        return _square(picture.convert("RGB"), side) if plain else Image(_pixels(picture)).square(side).pixels
    if picture.mode not in ("L", "RGB") or "transparency" in picture.info:
        return Image(Image(_pixels(picture)).grey()).resized(side, side).pixels
    grey = picture if picture.mode == "L" else picture.convert("L")
    return np.asarray(grey if grey.size == (side, side) else grey.resize((side, side), Pillow.Resampling.BILINEAR))


def _decoded(content: bytes, name: str, least: int = 0, mode: str = "L") -> Pillow.Image:
    """The picture in a file's bytes, upright. With `least`, JPEGs come in `mode`, and large ones smaller than they
    are, but with no side below `least` pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # our own limit is below
            picture = Pillow.open(io.BytesIO(content), formats=FORMATS)
    except Pillow.DecompressionBombError:
        raise too_large(name, "") from None
    except Exception:  # decoders raise nearly anything on hostile headers
        got = f"{name}, which is empty" if not content else f"{name}, which is {looks_like(content)}"
        raise UserError(PICTURE, got, "Save it again as PNG or JPEG, or remove it") from None
    if picture.width * picture.height > PIXELS:
        raise too_large(name, f" ({picture.width:,} x {picture.height:,})")
    if overpacked(picture.width * picture.height, content):
        got = f"{name}, which says {picture.width:,} x {picture.height:,} in {len(content):,} bytes"
        raise UserError("a picture as large as its file can hold", got, "Save it again as PNG or JPEG")
    try:
        if least and picture.format == "JPEG":
            picture.draft(mode, (least, least))
        picture.load()
        if "exif" in picture.info or picture.format != "JPEG":
            picture = ImageOps.exif_transpose(picture)
        return picture
    except Exception as problem:
        got = f"{name}, which is truncated or damaged ({problem})"
        raise UserError(PICTURE, got, "Copy the file again, or remove it") from None


def overpacked(pixels: int, content: bytes) -> bool:
    """Whether a file says that it holds more pixels than files of its size do: they would take their seconds."""
    return pixels > max(SMALL, PACKED * len(content))


def too_large(name: str, size: str) -> UserError:
    """The refusal of a picture that would fill the memory."""
    return UserError("a picture of at most 100 megapixels", f"{name}, which has more{size}", "Save it smaller")


def looks_like(content: bytes) -> str:
    """What the content of a file that is no picture seems to be."""
    head = content[:512]
    if head[4:8] == b"ftyp":
        return "an HEIC, AVIF or video file"
    if head[:3] == b"GIF":
        return "a GIF"
    if head[:4] == b"%PDF":
        return "a PDF"
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as problem:
        if problem.start < len(head) - 3:
            return "no picture or a damaged one"
        text = head[: problem.start].decode("utf-8")
    return "a text file" if text.isprintable() or "\n" in text or "\t" in text else "no picture or a damaged one"


def _pixels(picture: Pillow.Image) -> np.ndarray:
    """The pixels of any mode as uint8 grey, RGB or RGBA."""
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        values = np.asarray(picture)
        if mode == "F" and values.size and values.min() >= 0 and values.max() <= 1:
            return (values * 255 + 0.5).astype(np.uint8)
        if mode.startswith("I") and (mode != "I" or values.max(initial=0) > 255):
            return (np.clip(values, 0, 65535) / 257 + 0.5).astype(np.uint8)  # 16 bits
        return np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)
    if mode in ("LA", "La", "PA", "RGBa", "RGBA") or "transparency" in picture.info:
        return np.asarray(picture.convert("RGBA"))
    return np.asarray(picture.convert("L" if mode in ("1", "L") else "RGB"))


def tiles(weights: Tensor, columns: int = 0, enlarge: int = 0) -> Image:
    """Filters "N C H W" in a grid, each scaled to its own largest |w|: grey 128 is 0. C is 1 or 3; filters
    over
    other numbers of channels are laid out channel by channel."""
    filters = weights.detach().float().cpu().numpy()
    assert filters.ndim == 4, f"N C H W, not {filters.shape}"
    if filters.shape[1] not in (1, 3):
        filters = filters.reshape(-1, 1, *filters.shape[2:])
    peak = np.maximum(np.abs(np.nan_to_num(filters)).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    levels = np.clip(np.nan_to_num(filters) / peak * 127 + 128, 0, 255).round().astype(np.uint8)
    levels = levels.transpose(0, 2, 3, 1)
    levels = levels[..., 0] if levels.shape[-1] == 1 else levels
    enlarge = enlarge or max(1, 40 // max(levels.shape[1:3]))
    return _grid([frame.repeat(enlarge, 0).repeat(enlarge, 1) for frame in levels], columns, 2)


def mosaic(images: Sequence[Image], captions: Sequence[str] | None = None, columns: int = 0) -> Image:
    """Pictures side by side in a grid, each with its caption below, of one line or several; all in the size of the
    largest, in colour where one is."""
    height, width = max(image.height for image in images), max(image.width for image in images)
    scale = max(1, 56 // max(height, width))
    colour = any(image.pixels.ndim == 3 for image in images)
    lines = max((text.count("\n") + 1 for text in captions), default=0) if captions is not None else 0
    frames = []
    for k, image in enumerate(images):
        frame = np.full((height, width, 3) if colour else (height, width), 255, np.uint8)
        frame[: image.height, : image.width] = on_white(image) if colour else image.grey()
        frame = frame.repeat(scale, 0).repeat(scale, 1)
        if captions is not None:
            label = Pillow.new(
                "RGB" if colour else "L", (frame.shape[1], 12 * lines), (255, 255, 255) if colour else 255
            )
            text = captions[k].encode("latin-1", "replace").decode("latin-1")
            for line, words in enumerate(text.split("\n")):
                ImageDraw.Draw(label).text((1, 12 * line), words, fill=(0, 0, 0) if colour else 0)
            frame = np.concatenate([frame, np.asarray(label)])
        frames.append(frame)
    return _grid(frames, columns, 4)


def lit(picture: Tensor, weights: Tensor, enlarge: int = 1) -> list[Image]:
    """The picture "C H W" of levels 0 to 255, then, for each map of weights "T h w", the picture lit where it has its
    largest ones; each pixel as a square of `enlarge`."""
    maps = weights[:, None] / weights.amax((1, 2))[:, None, None, None].clamp(min=1e-12)
    light = functional.interpolate(maps.float(), size=picture.shape[1:], mode="bilinear").clamp(0, 1)
    frames = [picture, *(picture.float() * (0.25 + 0.75 * one) for one in light)]
    return [Image.of(one.repeat_interleave(enlarge, 1).repeat_interleave(enlarge, 2)) for one in frames]


def on_white(image: Image) -> np.ndarray:
    """The pixels in colour, what is transparent shown on white."""
    if image.pixels.ndim == 2:
        return image.pixels[..., None].repeat(3, 2)
    if image.pixels.shape[2] == 3:
        return image.pixels
    white = Pillow.new("RGBA", (image.width, image.height), (255, 255, 255, 255))
    return np.asarray(Pillow.alpha_composite(white, Pillow.fromarray(image.pixels)).convert("RGB"))


def _grid(frames: Sequence[np.ndarray], columns: int, border: int) -> Image:
    """Frames of one shape on a white sheet, in rows of `columns` (near a square if 0)."""
    assert len(frames), "no frames"
    columns = min(columns or int(np.ceil(np.sqrt(len(frames)))), len(frames))
    rows = -(-len(frames) // columns)
    height, width = frames[0].shape[:2]
    shape = (rows * (height + border) + border, columns * (width + border) + border, *frames[0].shape[2:])
    sheet = np.full(shape, 255, np.uint8)
    for k, frame in enumerate(frames):
        y, x = (k // columns) * (height + border) + border, (k % columns) * (width + border) + border
        sheet[y : y + height, x : x + width] = frame
    return Image(sheet)
