"""Lines of handwritten digits, composed from single ones: touching, slanted, of unknown length; for training with what
is no digit among them."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import UserError
from ..core.source import Choice, Data, Facts, Held, Place, keyed
from ..parts.distort import distort
from . import Labelled
from .pictures import pictures

HEIGHT, GLYPH = 28, 28  # pixels: of a line, of a digit's picture (its ink is 20 tall, as in MNIST)
EACH, MARGIN = 18, 12  # pixels: room for a sign, and at both ends, where slanted lines reach
LEAST, SHORT, LONGEST = 5, 6, 10  # signs: of training lines, and of nine digits and the dash
SIGNS = "0123456789-?"  # sign k has class k + 1; class 0 is CTC's blank; ? is what is no digit
DASH, STRANGE = 11, 12
TALL = 20  # pixels: the digits of a number are of one height
LETTERS = "ACEFHJKLMNPRTUVWXYacdefhkmnprtuvwxy"  # without those that could pass for a digit (B, D, I, O, S, b, g ...)
BLOCK = 64  # lines composed together where they are not a batch


class Lines(NamedTuple):
    """Pictures of lines, and what they say."""

    image: Tensor  # B 1 28 W uint8: ink light on dark
    text: Tensor  # B L int64: classes of the signs, then zeros
    length: Tensor  # B int64: how many signs


class Recipe(NamedTuple):
    """Which glyphs make a line."""

    glyph: Tensor  # B L int64: rows of the pool, then -1


class Pool(NamedTuple):
    """Glyphs to compose lines from."""

    image: UInt8[Tensor, "P 28 28"]
    sign: Int[Tensor, "P"]  # 1 to 10 the digits, 11 the dash, 12 what is neither


class Composed(Held[Any]):
    """Lines composed anew for each batch: glyphs drawn once, their places and distortions for each step."""

    def __init__(self, recipes: Recipe, pool: Pool, place: Place, name: str) -> None:
        super().__init__(recipes, place, name, "train", lambda recipe, rng: compose(pool, recipe, rng, True))
        self.pool = pool

    def short(self, most: int) -> Composed:
        """The first `most` signs of the lines."""
        return Composed(Recipe(self.examples.glyph[:, :most]), self.pool, self.place, self.name)

    def sweep(self, size: int) -> Iterator[Any]:
        """All lines in order, each in the one composition that its number decides; without `augment` the recipes, as
        `batch` gives them then."""
        if self.augment is None:
            yield from super().sweep(size)
            return
        rest: list[Lines] = []
        for number, recipes in enumerate(super().sweep(BLOCK)):
            made = compose(self.pool, recipes, keyed(self.place.seed, "sweep", number), True)
            rest += [Lines(*line) for line in zip(*made, strict=True)]
            while len(rest) >= size:
                yield Lines(*map(torch.stack, zip(*rest[:size], strict=True)))
                rest = rest[size:]
        if rest:
            yield Lines(*map(torch.stack, zip(*rest, strict=True)))


def lines(place: Place, train: int, strange: float) -> Data[Lines]:
    """`train` lines from training digits, a twentieth as many from validation digits, a tenth of five test digits each.

    Digits: the data set that the user chose, else the embedded ones, with USPS beside them where that is at hand; the
    test lines are made of MNIST's and USPS's test digits where those are. `strange` is the share of training lines in
    which most signs are no digits: printed letters, and 3, 4 and 7 upside down (the others still look like digits).
    """
    sets = [pictures(place, default="digits", side=GLYPH)]
    if sets[0].facts["labels"] != list(SIGNS[:10]):
        raise UserError("the ten digits as classes", ", ".join(sets[0].facts["labels"][:12]), "Name digits with --data")
    if not place.choice.data:
        with contextlib.suppress(UserError):  # not at hand: the embedded digits alone
            sets.append(pictures(place._replace(choice=Choice("usps", "", place.choice.split)), side=GLYPH))
    kept = [[cast("Held[Labelled]", source) for source in found[:3]] for found in sets]  # train, valid, test of each
    pools = [_pool([splits[k].examples for splits in kept]) for k in range(3)]
    valid, test = max(100, train // 20), max(100, train // 10)
    title = "composed lines of " + " and ".join(re.split(r", | \(", splits[2].name)[0] for splits in kept)
    training = Pool(*map(torch.cat, zip(pools[0], printed(), turned(pools[0]), strict=True)))
    recipes = windows(training, train, keyed(place.seed, "recipes"), strange)
    held: list[Held[Any]] = [Composed(recipes, training, place, title)]
    for name, pool, count, fixed in (("valid", pools[1], valid, 0), ("test", pools[2], test, 5)):
        chosen = numbers(pool, count, keyed("lines", name), fixed)
        blocks = [compose(pool, Recipe(*(field[at : at + BLOCK] for field in chosen)), keyed("lines", name, at))
                  for at in range(0, count, BLOCK)]  # fmt: skip
        whole = Lines(*map(torch.cat, zip(*blocks, strict=True)))
        held.append(Held(whole, place, title, name))
    ink = held[1].examples.image.float()
    data = sets[0].facts["data"]
    digest = hashlib.sha256("".join(found.facts["data"]["sha256"] for found in sets).encode()).hexdigest()
    facts: Facts = {
        "kind": "pictures", "labels": list(SIGNS), "mean": float(ink.mean()), "spread": float(ink.std()),
        "side": HEIGHT, "channels": 1, "reading": "line",
        "data": {"name": "lines of " + " and ".join(found.facts["data"]["name"] for found in sets), "train": train,
                 "valid": valid, "test": test, "sha256": digest,
                 "note": f"composed: digits of each split stay in it; test lines have five; {data['note']}"},
    }  # fmt: skip
    return Data(held[0], held[1], held[2], facts)


def _pool(sets: list[Labelled]) -> Pool:
    """The digits of several sets, of one height, and dashes."""
    image = of_one_height(torch.cat([image for image, _ in sets]))
    sign = torch.cat([label for _, label in sets]) + 1
    dash = torch.zeros(12, GLYPH, GLYPH, dtype=torch.uint8)
    for k in range(12):
        wide, thick, up = 6 + k % 6, 2 + k % 2, 12 + k % 4
        dash[k, up : up + thick, 14 - wide // 2 : 14 - wide // 2 + wide] = 255
    return Pool(torch.cat([image, dash]), torch.cat([sign, torch.full((12,), DASH)]))


def of_one_height(image: UInt8[Tensor, "P 1 28 28"]) -> UInt8[Tensor, "P 28 28"]:
    """Each digit scaled, with its shape kept, until its ink is 20 pixels tall, or 26 wide; in the middle."""
    ink = image[:, 0] > 60
    ends = []
    for seen in (ink.any(1), ink.any(2)):  # columns, rows
        first = seen.int().argmax(1)
        ends += [first, GLYPH - seen.flip(1).int().argmax(1)]  # without ink: 0 to 28
    left, right, top, bottom = (end.float() for end in ends)
    scale = torch.minimum(TALL / (bottom - top), (GLYPH - 2) / (right - left)).clamp(0.5, 2)
    where = (torch.arange(GLYPH) - (GLYPH - 1) / 2)[None] / scale[:, None]  # pixels of the old picture from its middle
    x = where + ((left + right - 1) / 2)[:, None]
    y = where + ((top + bottom - 1) / 2)[:, None]
    grid = torch.stack([x[:, None].expand(-1, GLYPH, -1), y[:, :, None].expand(-1, -1, GLYPH)], -1)
    grid = (2 * grid + 1) / GLYPH - 1  # grid_sample's unit: half the picture
    return F.grid_sample(image.float(), grid, align_corners=False)[:, 0].round_().to(torch.uint8)


def turned(pool: Pool) -> Pool:
    """Each 3, 4 and 7 upside down."""
    image = pool.image[torch.isin(pool.sign, torch.tensor([4, 5, 8]))].flip(1, 2)
    return Pool(image, torch.full((len(image),), STRANGE))


def printed() -> Pool:
    """Letters, and digits, as matplotlib's own fonts print them, laid out as MNIST's digits are."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = matplotlib.get_data_path() + "/fonts/ttf/"
    frames, signs = [], []
    for font in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "DejaVuSerif-Italic", "STIXGeneral"):
        face = ImageFont.truetype(f"{folder}{font}.ttf", 27)
        for letter in LETTERS + SIGNS[:10]:
            sheet = Image.new("L", (GLYPH * 2, GLYPH * 2))
            ImageDraw.Draw(sheet).text((GLYPH, GLYPH), letter, 255, face, "mm")
            ink = sheet.crop(sheet.getbbox())
            scale = 20 / max(ink.size)
            ink = ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))))
            frame = Image.new("L", (GLYPH, GLYPH))
            frame.paste(ink, ((GLYPH - ink.width) // 2, (GLYPH - ink.height) // 2))
            frames.append(np.asarray(frame))
            signs.append(SIGNS.find(letter) + 1 or STRANGE)
    return Pool(torch.from_numpy(np.stack(frames)), torch.tensor(signs))


def windows(pool: Pool, count: int, rng: torch.Generator, strange: float = 0.0) -> Recipe:
    """What training lines are made of: five or six signs, in every fourth a dash between digits; in a share `strange`
    of them six of ten signs are no digits."""
    glyph = _some((pool.sign > 0) & (pool.sign < DASH), rng, count, SHORT)
    length = torch.randint(LEAST, SHORT + 1, (count,), generator=rng)
    dashed = torch.rand(count, generator=rng) < 0.25
    at = 1 + (torch.rand(count, generator=rng) * (length - 2)).long()  # neither first nor last
    dash = _some(pool.sign == DASH, rng, count, 1)
    glyph = torch.where(dashed[:, None] & (torch.arange(SHORT) == at[:, None]), dash, glyph)
    odd = (torch.rand(count, 1, generator=rng) < strange) & (torch.rand(count, SHORT, generator=rng) < 0.6)
    if strange:
        glyph = torch.where(odd, _some(pool.sign == STRANGE, rng, count, SHORT), glyph)
    return Recipe(torch.where(torch.arange(SHORT) < length[:, None], glyph, -1))


def numbers(pool: Pool, count: int, rng: torch.Generator, fixed: int = 0) -> Recipe:
    """What lines to be scored are made of: `fixed` digits each, or else five (45 %), five-dash-four (25 %), or one to
    nine."""
    digits = (pool.sign > 0) & (pool.sign < DASH)
    if fixed:
        return Recipe(_some(digits, rng, count, fixed))
    glyph, kind = _some(digits, rng, count, LONGEST), torch.rand(count, generator=rng)
    length = torch.where(kind < 0.45, 5, torch.randint(1, 10, (count,), generator=rng))
    zip4 = (kind >= 0.45) & (kind < 0.7)
    length = torch.where(zip4, LONGEST, length)
    glyph[:, 5] = torch.where(zip4, _some(pool.sign == DASH, rng, count), glyph[:, 5])
    return Recipe(torch.where(torch.arange(LONGEST) < length[:, None], glyph, -1))


def _some(which: Tensor, rng: torch.Generator, *shape: int) -> Tensor:
    """Rows where `which` is true, drawn with replacement."""
    rows = which.nonzero()[:, 0]
    return rows[torch.randint(len(rows), shape, generator=rng)]


def sheet_width(signs: int) -> int:
    """Pixels of a line with room for so many signs; a multiple of 4."""
    return -(-(EACH * signs + 2 * MARGIN + 4) // 4) * 4


def compose(pool: Pool, recipe: Recipe, rng: torch.Generator, training: bool = False) -> Lines:
    """The lines of these recipes: each glyph set beside the one before, from an overlap of a quarter of the narrower
    one, 4 pixels at most, to 6 pixels apart; the line as a whole slanted and turned a little, its contrast and noise
    drawn. For training each glyph is distorted, too, and the line bent."""
    glyph = recipe.glyph
    b, most = glyph.shape
    used, wide = glyph >= 0, sheet_width(most)
    image = pool.image[glyph.clamp(min=0)].view(-1, 1, GLYPH, GLYPH)
    if training:
        image = distort(image, rng, rotate=7.0, scale=0.15, slant=0.1)
    image = image.view(b, most, GLYPH, GLYPH) * used[:, :, None, None]
    ink = (image > 60).any(2)  # B L 28: columns with ink
    first = ink.int().argmax(-1)
    width = torch.where(ink.any(-1), GLYPH - ink.flip(-1).int().argmax(-1) - first, 0)
    gap = 6 * torch.rand(b, most, generator=rng) - 2.5 + 4 * torch.rand(b, 1, generator=rng) - 1.5
    narrower = torch.minimum(width, F.pad(width[:, 1:], (0, 1)))
    gap = torch.maximum(gap, -narrower / 4)  # two ones upon each other are one
    total = (width + gap * used).sum(1, keepdim=True)
    signs = used.sum(1, keepdim=True)
    gap = torch.where(used, gap - (total - (wide - 2 * MARGIN - 2)).clamp(min=0) / signs, 0.0)
    total = (width + gap).sum(1, keepdim=True)
    begin = MARGIN + torch.rand(b, 1, generator=rng) * (wide - 2 * MARGIN - total).clamp(min=0)  # bent, yet inside
    x = (begin + (width + gap).cumsum(1) - width - gap).round().long() - first  # B L: of the glyph's picture
    y = 3 * torch.rand(b, 1, generator=rng) - 1.5 + torch.rand(b, most, generator=rng) - 0.5
    across, down = x[:, :, None] + torch.arange(GLYPH), y.round().long()[:, :, None] + torch.arange(GLYPH)
    inside = ((down >= 0) & (down < HEIGHT))[:, :, :, None] & ((across >= 0) & (across < wide))[:, :, None, :]
    at = torch.arange(b)[:, None, None, None] * HEIGHT * wide + down[:, :, :, None] * wide + across[:, :, None, :]
    sheet = torch.zeros(b * HEIGHT * wide, dtype=torch.uint8)
    sheet.scatter_reduce_(0, torch.where(inside, at, 0).flatten(), (image * inside).flatten(), "amax")
    line = distort(sheet.view(b, 1, HEIGHT, wide), rng, shift=1.0, rotate=1.5, scale=0.08, slant=0.3,
                   elastic=0.8 if training else 0.0)  # fmt: skip
    return Lines(_noisy(line, rng), torch.where(used, pool.sign[glyph.clamp(min=0)], 0), used.sum(1))


def _noisy(line: UInt8[Tensor, "B 1 H W"], rng: torch.Generator) -> UInt8[Tensor, "B 1 H W"]:
    """Lines with contrast, noise, and in some a stroke from the border, as of a ruled line, drawn for each."""
    b = len(line)

    def draw() -> Float[Tensor, "B 1 1 1"]:
        return torch.rand(b, 1, 1, 1, generator=rng)

    noise = torch.randn(line.shape, generator=rng) * 25 * draw() ** 2
    ruled = (draw() < 0.1) & ((torch.arange(line.shape[2]) - math.floor(line.shape[2] * 0.94))[:, None].abs() < 1)
    level = torch.maximum(line.float(), 200.0 * ruled * draw())
    return (level * (1 - 0.4 * draw()) + noise).clamp_(0, 255).to(torch.uint8)
