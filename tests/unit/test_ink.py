"""A digit is found whatever the paper, light and pen, and laid out as MNIST was made."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from unit import slow_ink

from milestones.core.errors import UserError
from milestones.media import Image
from milestones.media import pieces as joining
from milestones.media.ink import find_ink, otsu, percentile
from milestones.media.pieces import pieces

PICTURES = Path(__file__).parents[1] / "pictures"
EMBEDDED = Path(__file__).parents[2] / "milestones" / "data" / "digits10k.npz"
SIDE = 400


def stroke(width: int = 22) -> np.ndarray:
    """How much ink lies on each pixel of a large 7 left of the middle, "H W" in [0, 1]."""
    ink = np.zeros((SIDE, SIDE))
    ink[90 : 90 + width, 80:230] = 1
    for y in range(90, 310):
        x = int(230 - (y - 90) * 0.45)
        ink[y, x - width : x] = 1
    return ink


def page(ink: np.ndarray, paper: float = 220, pen: float = 30) -> np.ndarray:
    return paper * (1 - ink) + pen * ink


def grey(sheet: np.ndarray) -> Image:
    return Image(np.clip(sheet, 0, 255).astype(np.uint8))


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two pictures, where one may lie a pixel beside the other: centres are rounded."""
    moves = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(float(np.corrcoef(np.roll(a, move, (0, 1)).ravel(), b.ravel())[0, 1]) for move in moves)


PLAIN = find_ink(grey(page(stroke())))


def test_layout_is_that_of_mnist() -> None:
    rows, columns = np.flatnonzero(PLAIN.max(1) > 20), np.flatnonzero(PLAIN.max(0) > 20)
    assert PLAIN.shape == (28, 28) and PLAIN.dtype == np.uint8
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert PLAIN.max() == 255 and PLAIN[0].max() == 0
    mass = PLAIN.sum()
    for axis in (0, 1):
        centre = (PLAIN.sum(1 - axis) * np.arange(28)).sum() / mass
        assert abs(centre - 14) <= 0.6  # MNIST's own mean is 14.0


def shaded() -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return page(stroke()) * (0.45 + 0.55 * (x + 2 * y) / (3 * SIDE))


def framed(inset: int) -> np.ndarray:
    sheet = page(stroke())
    for edge in (slice(inset, inset + 5), slice(SIDE - inset - 5, SIDE - inset)):
        sheet[edge, inset : SIDE - inset] = sheet[inset : SIDE - inset, edge] = 20
    return sheet


def ruled() -> np.ndarray:
    sheet = page(stroke())
    sheet[20::40], sheet[21::40] = np.minimum(sheet[20::40], 150), np.minimum(sheet[21::40], 150)
    return sheet


def speckled() -> np.ndarray:
    sheet, rng = page(stroke()), np.random.default_rng(0)
    for y, x in rng.integers(0, SIDE - 4, (60, 2)):
        sheet[y : y + 3, x : x + 3] = 50
    return sheet


def on_a_table() -> np.ndarray:
    table = np.full((600, 600), 60.0)
    table[100:500, 100:500] = page(stroke())
    return table


def thumb() -> np.ndarray:
    sheet = page(stroke())
    sheet[320:, 260:] = 60
    return sheet


SHEETS = {
    "light on dark": lambda: page(stroke(), 30, 230), "pencil": lambda: page(stroke(), 200, 165), "shaded": shaded,
    "noise": lambda: page(stroke()) + np.random.default_rng(0).normal(0, 20, (SIDE, SIDE)), "specks": speckled,
    "frame at the edge": lambda: framed(0), "frame inside": lambda: framed(20), "ruled": ruled, "thumb": thumb,
    "paper on a table": on_a_table,
}  # fmt: skip


@pytest.mark.parametrize("name", SHEETS)
def test_paper_and_light_do_not_matter(name: str) -> None:
    assert alike(find_ink(grey(SHEETS[name]())), PLAIN) >= 0.95


@pytest.mark.parametrize("size", [40, 90, 1000])
def test_size_does_not_matter(size: int) -> None:
    assert alike(find_ink(grey(page(stroke())).resized(size, size)), PLAIN) >= 0.9


def test_colour_of_equal_luma() -> None:
    ink = stroke()[..., None]
    sheet = np.array((200.0, 60, 60)) * (1 - ink) + np.array((60.0, 130, 60)) * ink
    assert np.ptp(grey(sheet).grey()) < 12  # grey alone would see next to nothing
    assert alike(find_ink(grey(sheet)), PLAIN) >= 0.95


@pytest.mark.parametrize("level", [0, 255])
def test_drawn_on_nothing(level: int) -> None:
    pixels = np.full((SIDE, SIDE, 4), level, np.uint8)
    pixels[..., 3] = stroke() * 255
    assert alike(find_ink(Image(pixels)), PLAIN) >= 0.95


def test_a_thin_pen_is_widened() -> None:
    thin = find_ink(grey(page(stroke(2))))
    width = (thin[14] > 127).sum()  # a row through the stem
    assert 2 <= width <= 4
    assert alike(thin, PLAIN) >= 0.7


def test_an_mnist_digit_stays_as_it_is() -> None:
    with np.load(EMBEDDED, allow_pickle=False) as archive:
        images = archive["image"][:150]
    errors = [np.abs(find_ink(Image(image)).astype(int) - image).mean() for image in images]
    assert np.median(errors) < 0.6 and np.percentile(errors, 95) < 6  # grey levels of 255


def test_other_sides_and_boxes() -> None:
    small = find_ink(grey(page(stroke())), 16, 16)
    assert small.shape == (16, 16) and small[0].max() > 100 and small[-1].max() > 100
    rows = np.flatnonzero(find_ink(grey(page(stroke())), 56).max(1) > 20)
    assert np.ptp(rows) + 1 == 40


@pytest.mark.parametrize(
    "sheet",
    [
        np.full((90, 90), 255.0), np.full((3, 3), 9.0), 200 - 80 * np.mgrid[0:300, 0:300][0] / 300,
        200 + np.random.default_rng(0).normal(0, 5, (300, 300)),
    ],
    ids=["white", "tiny", "gradient", "noise"],
)  # fmt: skip
def test_no_ink(sheet: np.ndarray) -> None:
    with pytest.raises(UserError, match="a picture with one digit in it, got one without ink"):
        find_ink(grey(sheet))


def some_pictures(count: int) -> list[Image]:
    """Digits of all sizes, light and dark, faint, in noise and shade, coloured, drawn on nothing."""
    rng, made = np.random.default_rng(0), []
    with np.load(EMBEDDED, allow_pickle=False) as archive:
        digits = archive["image"][:count]
    for number, digit in enumerate(digits):
        side = int(rng.choice([28, 28, 28, 40, 63, 64, 90, 160, 300]))
        sheet = np.asarray(Pillow.fromarray(digit).resize((side, side + number % 5)), np.float64)
        sheet = sheet if number % 3 else 255 - sheet
        if number % 4 == 0:
            sheet = sheet * rng.uniform(0.05, 0.9) + rng.uniform(0, 60) + rng.normal(0, rng.uniform(0, 20), sheet.shape)
            sheet = sheet * np.linspace(rng.uniform(0.3, 1), 1, sheet.shape[1])
        if number % 7 == 0:
            sheet = sheet[..., None] * rng.uniform(0.1, 1, 3)
        if number % 11 == 0:
            sheet = np.concatenate([np.zeros((*sheet.shape[:2], 3)), sheet.reshape(*sheet.shape[:2], -1)[..., :1]], -1)
        made.append(grey(sheet))
    return made


def test_the_same_as_the_plain_reference_to_the_last_bit() -> None:
    def both(image: Image, side: int, box: float | None) -> list[object]:
        said: list[object] = []
        for find in (slow_ink.find_ink, find_ink):
            try:
                said.append(find(image, side, box).tolist())
            except UserError as problem:
                said.append(str(problem))
        return said

    drawn = [*(grey(make()) for make in SHEETS.values()), *map(Image.open, PICTURES.glob("*-*.*g"))]
    for number, image in enumerate([*some_pictures(400), *drawn]):
        slow, fast = both(image, *((28, None), (28, 20.0), (16, 16.0), (56, None))[number % 4])
        assert slow == fast, number
    assert sum(isinstance(both(image, 28, None)[0], str) for image in some_pictures(100)) < 20, "most have ink"


def test_percentiles_and_thresholds_are_numpys() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 784, 1001):
        values = rng.gamma(1, 40, size).astype(np.float32)
        for percent in (0, 40.0, 70, 99.6, 100):
            assert percentile(np.sort(values), percent) == float(np.percentile(values, percent))
        values[rng.random(size) < 0.4] = 0
        values[0] = 200
        assert otsu(values) == slow_ink.otsu(values)


@pytest.mark.parametrize("few", [0, 10_000])
def test_pieces_against_flooding(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "FEW", few)  # all at once, and one by one
    rng = np.random.default_rng(0)
    for share in (0.2, 0.45, 0.6):
        mask = rng.random((23, 31)) < share
        found, seen = pieces(mask), np.full(mask.shape, -1)
        count = 0
        for start in zip(*np.nonzero(mask), strict=True):
            if seen[start] >= 0:
                continue
            stack, seen[start] = [start], count
            while stack:
                y, x = stack.pop()
                for a in range(max(0, y - 1), min(23, y + 2)):
                    for b in range(max(0, x - 1), min(31, x + 2)):
                        if mask[a, b] and seen[a, b] < 0:
                            seen[a, b] = count
                            stack.append((a, b))
            count += 1
        assert len(found.area) == count and ((found.label >= 0) == mask).all()
        for k in range(count):
            where = np.unique(found.label[seen == k])
            assert len(where) == 1
            y, x = np.nonzero(seen == k)
            box = [part[where[0]] for part in found[1:]]
            assert box == [len(y), y.min(), y.max(), x.min(), x.max()]


def test_a_megapixel_takes_little_time() -> None:
    image = grey(page(stroke())).resized(1000, 1000)
    best = 9.0
    for _ in range(5):
        began = time.perf_counter()
        find_ink(image)
        best = min(best, time.perf_counter() - began)
    assert best < 0.2  # seconds; 0.03 on an idle core


def test_the_pictures_are_those_that_the_script_draws(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make", PICTURES / "make.py")
    assert spec and spec.loader
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.main(tmp_path)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == sorted(file.name for file in PICTURES.iterdir() if file.suffix in (".png", ".jpg"))
    assert [sum(name[0] == str(digit) for name in files) for digit in range(10)] == [3] * 10
    for name in files:  # by levels: another Pillow may pack them otherwise
        mine, kept = Image.open(tmp_path / name).grey().astype(int), Image.open(PICTURES / name).grey()
        assert np.abs(mine - kept).mean() < 2
        assert (PICTURES / name).stat().st_size < 30_000


@pytest.mark.parametrize("file", sorted(PICTURES.glob("*.[pj][np]g")), ids=lambda file: file.name)
def test_ink_in_each_picture(file: Path) -> None:
    with np.load(EMBEDDED, allow_pickle=False) as archive:
        images, labels = archive["image"].reshape(10_000, -1).astype(np.float32), archive["label"]
    found = find_ink(Image.open(file)).ravel().astype(np.float32)
    near = images @ found / np.linalg.norm(images, axis=1)
    votes = np.bincount(labels[np.argsort(-near)[:15]], minlength=10)
    assert votes[int(file.name[0])] >= 1  # among the 15 nearest of 10,000 digits is one of its kind
