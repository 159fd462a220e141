"""A digit found in any picture and laid out as MNIST was made: light on black, in a 20 x 20 box, centred by
mass."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFilter

from ..core.errors import UserError
from .image import Image
from .pieces import Pieces, pieces

WORK = 256  # pixels of the larger side while searching: strokes of a digit are then still several pixels wide
FAINTEST = 14  # grey levels between ink and paper; less is an empty sheet
THINNEST = 1.9  # pixels of a stroke at 28 x 28; MNIST's are 2 to 3
PEN = 2.4  # what thinner strokes are widened to
PARTS = np.arange(129.0)  # edges of a histogram, before they are stretched over the levels
BLURRED = 150  # pixels of the larger side, above which grain is smoothed


def find_ink(image: Image, side: int = 28, box: float | None = None) -> np.ndarray:
    """The digit in a photo, scan or drawing: uint8 "side side", ink light on 0, its larger side `box` pixels
    (20/28 of `side` if None), its centre of mass in the middle.

    Light may be uneven, ink any colour, darker or lighter than the paper; ruled lines, frames, specks and shadows
    from the border are left out. A pen too thin for the box is widened. UserError: no ink.
    """
    box = box or side * 20 / 28
    ink, noise, mask = _found(at_work(image))
    level = levels(ink, noise, mask)
    rows, columns = np.flatnonzero(level.max(1) > 0.05), np.flatnonzero(level.max(0) > 0.05)
    level = level[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    level = widened(level, box, side)
    return laid_out(level, side, box)


def _found(work: np.ndarray, inside: bool = False) -> tuple[np.ndarray, float, np.ndarray]:
    """Ink, noise and mask of the digit; where a whole sheet of paper was found, of the digit on it."""
    ink, noise = contrast(work)
    mask = _digit(ink, noise)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    if inside or min(tall, wide) < max(16, 0.3 * max(mask.shape)) or mask.sum() < 0.7 * tall * wide:
        return ink, noise, mask
    edge = max(2, min(tall, wide) // 25)
    sheet = work[rows[0] + edge : rows[-1] + 1 - edge, columns[0] + edge : columns[-1] + 1 - edge]
    try:
        return _found(sheet, True)
    except UserError:
        return ink, noise, mask


def _empty(why: str) -> UserError:
    do = "Write larger or darker, or cut the picture closer to the digit"
    return UserError("a picture with one digit in it", f"one without ink ({why})", do, "use")


def at_work(image: Image, most: int = WORK) -> np.ndarray:
    """The picture as float32 "H W C" on white, or its opacity where colour says nothing; larger ones made
    smaller, to `most` pixels on the larger side."""
    pixels = image.pixels
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha, picture = pixels[..., 3], Pillow.fromarray(pixels)
        seen = pixels[..., :3][alpha > 127]
        if np.ptp(alpha) > 127 and (not len(seen) or np.ptp(seen, axis=0).max() < 64):
            pixels = 255 - alpha  # drawn in one colour on nothing: white ink would vanish on white
        else:
            white = Pillow.new("RGBA", picture.size, (255, 255, 255, 255))
            pixels = np.asarray(Pillow.alpha_composite(white, picture).convert("RGB"))
    larger = max(pixels.shape[:2])
    if larger < 4:
        raise _empty(f"{pixels.shape[1]} x {pixels.shape[0]} pixels")
    if larger > BLURRED:
        pixels = np.asarray(_reduced(Pillow.fromarray(pixels), most))
    work = pixels.astype(np.float32)
    return work[..., None] if work.ndim == 2 else work


def _reduced(picture: Pillow.Image, most: int) -> Pillow.Image:
    """The picture with at most `most` pixels on the larger side, its grain smoothed."""
    shrink = max(picture.size) // most
    if shrink > 1:
        picture = picture.reduce(shrink)
    if max(picture.size) > most:
        scale = most / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Pillow.Resampling.BILINEAR)
    return picture.filter(ImageFilter.GaussianBlur(0.7)) if max(picture.size) > BLURRED else picture


def percentile(ordered: np.ndarray, percent: float) -> float:
    """As np.percentile has it, of values "N" that are sorted already: what asks for several sorts once."""
    at = (len(ordered) - 1) * (percent / 100)
    k = int(at)
    low, high, share = ordered[k], ordered[min(k + 1, len(ordered) - 1)], at - k
    return float(low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share))


def _median(ordered: np.ndarray) -> np.ndarray:
    """As np.median has it along the first axis, of values that are sorted along it already."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def contrast(work: np.ndarray) -> tuple[np.ndarray, float]:
    """How far each pixel is from the paper towards the ink ("H W", grey levels, 0 or more), and the paper's
    noise."""
    far = work - _paper(work)
    size = _length(far)
    sizes = np.sort(size, axis=None)
    strong = size >= max(0.5 * percentile(sizes, 99.6), 1e-3)
    vectors, weight = far[strong], size[strong] ** 2 * _middle(*size.shape)[strong]
    if not len(vectors):
        raise _empty("one even colour")
    grey = far.shape[2] == 1
    axis = np.ones(1, np.float32) if grey else np.linalg.eigh((vectors * weight[:, None]).T @ vectors)[1][:, -1]
    if (weight * np.sign(vectors @ axis)).sum() < 0:  # ink has more of the strong pixels, the middle counting most
        axis = -axis
    ink = far[..., 0] * axis if grey else far @ axis.astype(np.float32)
    noise = 1.4826 * float(_median(sizes if grey else np.sort(np.abs(ink), axis=None)))
    if 5 * noise > percentile(np.sort(ink, axis=None), 99.6):
        return _two_tones(work.mean(2))
    return np.maximum(ink, 0), noise


def _two_tones(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """Ink and noise of a picture that ink fills nearly as much as paper does: the corners tell which is which."""
    light = grey > otsu(grey)
    height, width = (max(1, n // 8) for n in grey.shape)
    corners = np.concatenate([light[y, x].ravel() for y in (slice(height), slice(-height, None))
                              for x in (slice(width), slice(-width, None))])  # fmt: skip
    paper = light == (corners.mean() > 0.5)
    tone = float(np.median(grey[paper]))
    noise = 1.4826 * float(np.median(np.abs(grey[paper] - tone)))
    return np.where(paper, 0, np.abs(grey - tone)), noise


def _length(vectors: np.ndarray) -> np.ndarray:
    """The length of vectors along the last axis."""
    return np.abs(vectors[..., 0]) if vectors.shape[-1] == 1 else np.sqrt((vectors**2).sum(-1))


@lru_cache(maxsize=8)
def _middle(height: int, width: int) -> np.ndarray:
    """Weights "H W", 1 in the middle and near 0.1 in the corners."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (height, width))
    return np.exp(-1.2 * (y[:, None] ** 2 + x[None] ** 2))


def _paper(work: np.ndarray) -> np.ndarray:
    """The paper's colour everywhere, a smooth surface of third degree fitted to the pixels that are like it."""
    height, width, channels = work.shape
    step = max(1, max(height, width) // 64)
    small = work[step // 2 :: step, step // 2 :: step]
    values = small.reshape(-1, channels)
    border = values[_ring(*small.shape[:2])]
    middle = _median(np.sort(border, axis=0))
    if _median(np.sort(np.abs(border - middle), axis=None)) > 24:  # the border is of two kinds: the majority decides
        middle = _median(np.sort(values, axis=0))
    degrees = (0, 1, 1, 2, 2, 3, 3) if min(height, width) >= 64 else (0, 0)
    powers, known = _powers(height, width, step, degrees[-1])
    guess, factors = middle, middle[None]
    for degree in degrees:
        distance = _length(values - guess)
        scale = max(3.0, 2.5 * 1.4826 * float(_median(np.sort(distance))))
        weight = (distance < scale) * (1 - (distance / scale) ** 2)
        terms = known[degree]
        weighted = terms * weight[:, None]
        ridge = 1e-4 * max(1.0, float(weight.sum())) * np.eye(terms.shape[1], dtype=np.float32)
        factors = np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ values)
        guess = terms @ factors
    if not degrees[-1]:
        return np.clip(factors, 0, 255)
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (height, width))
    rows, columns = (np.stack([at**i for i in range(4)], -1) for at in (y, x))
    cube = np.zeros((4, 4, channels), np.float32)
    for k, (i, j) in enumerate(powers):
        cube[i, j] = factors[k]
    return np.clip(np.einsum("yi,ijc,xj->yxc", rows, cube, columns, optimize=True), 0, 255)


@lru_cache(maxsize=8)
def _ring(height: int, width: int) -> np.ndarray:
    """Which pixels "N" lie at the border."""
    ring = max(1, min(height, width) // 12)
    outer = np.ones((height, width), bool)
    outer[ring:-ring, ring:-ring] = False
    return np.flatnonzero(outer)


@lru_cache(maxsize=8)
def _powers(height: int, width: int, step: int, most: int) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
    """The powers of y and x up to a degree, and for each degree those terms "N T" at every `step`-th pixel."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32)[step // 2 :: step] for n in (height, width))
    ys, xs = np.broadcast_arrays(y[:, None], x[None])
    powers = [(i, j) for i in range(most + 1) for j in range(most + 1 - i)]
    terms = {(i, j): (ys**i * xs**j).reshape(-1) for i, j in powers}
    return powers, [np.stack([terms[i, j] for i, j in powers if i + j <= degree], -1) for degree in range(most + 1)]


def otsu(values: np.ndarray) -> float:
    """The threshold that parts values into two groups with the least variance inside (Otsu 1979)."""
    return _parted(np.sort(values, axis=None))


def _parted(ordered: np.ndarray) -> float:
    """As `otsu`, of values "N" that are sorted already."""
    top = float(ordered[-1])
    edges = (PARTS * (top / (len(PARTS) - 1))).astype(ordered.dtype)  # as np.histogram lays them
    edges[-1] = top
    cuts = np.searchsorted(ordered, edges)
    cuts[-1] = len(ordered)
    counts = cuts[1:] - cuts[:-1]
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    total = np.cumsum(counts * ((edges[:-1] + edges[1:]) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    between[above == 0] = -1
    between[below == 0] = -2
    return float(edges[int(between.argmax()) + 1])


def _digit(ink: np.ndarray, noise: float) -> np.ndarray:
    """The mask of the digit among all that is darker or lighter than the paper."""
    height, width = ink.shape
    ink = unruled(ink, noise)
    for _ in range(2):
        ordered = np.sort(ink, axis=None)
        peak = percentile(ordered, 99.6)
        if peak < 0.5 * float(ordered[-1]):  # very little ink: its darkest pixels are rarer than that
            peak = float(ordered[-max(4, ink.size // 1500) :].mean())
        if peak < max(FAINTEST, 5 * noise):
            raise _empty(f"at most {peak:.0f} grey levels between it and the paper")
        mask = ink > max(min(_parted(ordered), 0.7 * peak), 0.38 * peak, min(3.5 * noise, 0.6 * peak))
        found = pieces(mask)
        keep = _chosen(found, height, width)
        if keep.any():
            chosen = keep[found.label] & (found.label >= 0)
            if chosen.sum() == mask.sum():
                return chosen
            ink = np.where(mask & ~chosen, 0, ink)  # what was dropped shall not set the threshold
    if not keep.any():
        raise _empty("only specks or lines")
    return chosen


def _chosen(found: Pieces, height: int, width: int) -> np.ndarray:
    """Which pieces are the digit."""
    tall, wide = found.bottom - found.top + 1, found.right - found.left + 1
    size = np.maximum(tall, wide)
    touches = (found.top == 0) | (found.left == 0) | (found.bottom == height - 1) | (found.right == width - 1)
    large = size >= max(4, 0.08 * max(height, width))
    if len(size) == 1:
        return large
    frame = (tall > 0.75 * height) & (wide > 0.75 * width) & (found.area < 0.35 * tall * wide)
    for k in np.flatnonzero(frame):
        inside = (found.top > found.top[k]) & (found.bottom < found.bottom[k])
        inside &= (found.left > found.left[k]) & (found.right < found.right[k])
        frame[k] = (inside & (size >= 0.25 * size[k])).any()
    good = large & ~frame
    if (good & ~touches).any():
        good &= ~touches
    if not good.any():
        return good
    y, x = (found.top + found.bottom) / 2 / height - 0.5, (found.left + found.right) / 2 / width - 0.5
    score = np.where(good, found.area * size * np.exp(-2 * (y**2 + x**2)), -1)
    main = int(score.argmax())
    gap = np.maximum(
        np.maximum(found.top - found.bottom[main], found.top[main] - found.bottom),
        np.maximum(found.left - found.right[main], found.left[main] - found.right),
    )
    part = (found.area >= 0.04 * found.area[main]) & (gap <= 0.3 * size[main]) & ~frame
    part &= ~touches | touches[main]
    part[main] = True
    return part


def unruled(ink: np.ndarray, noise: float) -> np.ndarray:
    """The ink without straight lines along rows or columns through the whole picture: ruled paper, grids, edges."""
    if min(ink.shape) < 40:
        return ink
    for _ in range(2):
        ink = ink.T
        height, width = ink.shape
        some = ink > max(FAINTEST / 2, 2.5 * noise)
        # a line through at least two thirds, also if it is a little askew: three rows together
        band = some.copy()
        band[1:] |= some[:-1]
        band[:-1] |= some[1:]
        line = (band.mean(1) > 0.66) & (some.mean(1) > 0.15)
        if not line.any() or line.mean() > 0.5:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
        ink = ink.copy()
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            if end - begin > max(6, 0.05 * height):
                continue
            above = ink[max(0, begin - 1)] if begin else np.zeros(width, ink.dtype)
            below = ink[end] if end < height else np.zeros(width, ink.dtype)
            ink[begin:end] = np.minimum(ink[begin:end], np.minimum(above, below))  # strokes that cross it remain
    return ink


def levels(ink: np.ndarray, noise: float, mask: np.ndarray) -> np.ndarray:
    """Ink levels "H W" in [0, 1]: the mask with its soft edges, 1 in the middle of strokes."""
    peak = percentile(np.sort(ink[mask]), 70)
    floor = min(0.35, 2.5 * noise / peak)
    near = _grown(mask, True) if max(mask.shape) < 64 else _grown(_grown(mask, True), True)
    level = np.clip((ink / peak - floor) / (1 - floor), 0, 1)
    return np.where(near, level, 0).astype(np.float32)


def widened(level: np.ndarray, box: float, side: int) -> np.ndarray:
    """The strokes at least so wide that they survive being scaled to the box."""
    solid = np.zeros((level.shape[0] + 2, level.shape[1] + 2), bool)
    solid[1:-1, 1:-1] = level > 0.5
    area = np.count_nonzero(solid)
    steps = np.count_nonzero(solid[1:] != solid[:-1]) + np.count_nonzero(solid[:, 1:] != solid[:, :-1])
    outline = steps * np.pi / 4  # of a curve in all directions
    width = 2 * area / max(outline, 1)
    scale = box / max(level.shape)
    unit = side / 28
    if width * scale >= THINNEST * unit:
        return level
    grow = (PEN * unit / scale - width) / 2
    if grow < 0.5:
        return level
    wide = np.pad(level, int(np.ceil(grow)) + 1)
    for k in range(round(grow)):  # a cross and a square by turns make an octagon
        wide = _grown(wide, bool(k % 2))
    rows, columns = np.flatnonzero(wide.max(1) > 0.05), np.flatnonzero(wide.max(0) > 0.05)
    return wide[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _grown(level: np.ndarray, square: bool) -> np.ndarray:
    """Each pixel the largest of itself and its four neighbours; of all eight with `square`."""
    wide = level.copy()
    np.maximum(wide[1:], level[:-1], out=wide[1:])
    np.maximum(wide[:-1], level[1:], out=wide[:-1])
    across = wide.copy() if square else level
    np.maximum(wide[:, 1:], across[:, :-1], out=wide[:, 1:])
    np.maximum(wide[:, :-1], across[:, 1:], out=wide[:, :-1])
    return wide


def laid_out(level: np.ndarray, side: int, box: float) -> np.ndarray:
    """The crop scaled to the box and centred by mass."""
    height, width = level.shape
    scale = box / max(height, width)
    size = (min(side, max(1, round(width * scale))), min(side, max(1, round(height * scale))))
    if size != (width, height):
        how = Pillow.Resampling.BICUBIC if scale > 1 else Pillow.Resampling.HAMMING
        level = np.asarray(Pillow.fromarray(level.astype(np.float32)).resize(size, how))
        strong = level[level > 0.4]
        level = np.clip(level / (percentile(np.sort(strong), 70) if len(strong) else 1.0), 0, 1)
    height, width = level.shape
    mass = float(level.sum())
    y = float((level.sum(1) * (np.arange(height) + 0.5)).sum()) / mass
    x = float((level.sum(0) * (np.arange(width) + 0.5)).sum()) / mass
    centre = side / 2 + 0.5  # MNIST's centres of mass lie half a pixel below and right of the middle
    top = min(max(0, round(centre - y)), side - height)
    left = min(max(0, round(centre - x)), side - width)
    sheet = np.zeros((side, side), np.uint8)
    sheet[top : top + height, left : left + width] = (level * 255 + 0.5).astype(np.uint8)
    return sheet
