"""Lines of digits: what they say is what was drawn, splits stay apart, strange ones have no text; and lines found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data import lines as module
from milestones.data.lines import (
    DASH,
    GLYPH,
    LONGEST,
    SHORT,
    STRANGE,
    Pool,
    Recipe,
    compose,
    lines,
    numbers,
    of_one_height,
    printed,
    sheet_width,
    turned,
    windows,
)
from milestones.media import Image
from milestones.media.line import find_lines, marked


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bars() -> Pool:
    """A block for each sign."""
    image = torch.zeros(12, 28, 28, dtype=torch.uint8)
    image[:, 4:24, 8:20] = 255
    return Pool(image, torch.arange(1, 13))


def signs(pool: Pool, recipe: Recipe) -> torch.Tensor:
    return torch.where(recipe.glyph >= 0, pool.sign[recipe.glyph.clamp(min=0)], 0)


def test_numbers_have_their_shares() -> None:
    pool = bars()
    sign = signs(pool, numbers(pool, 4000, rng()))
    length, zip4 = (sign > 0).sum(1), (sign == DASH).any(1)
    assert 0.2 < float(zip4.float().mean()) < 0.3
    assert (length[zip4] == LONGEST).all() and (sign[zip4, 5] == DASH).all()
    assert float((length == 5).float().mean()) > 0.4
    assert set(length.tolist()) == set(range(1, 11))
    assert not (sign == STRANGE).any()
    fixed = signs(pool, numbers(pool, 50, rng(), 5))
    assert fixed.shape == (50, 5) and ((fixed > 0) & (fixed < DASH)).all()


def test_windows_have_a_dash_inside_and_what_is_strange() -> None:
    pool = bars()
    sign = signs(pool, windows(pool, 4000, rng(), 0.2))
    length = (sign > 0).sum(1)
    assert set(length.tolist()) == {5, SHORT}
    assert float((sign == DASH).any(1).float().mean()) == pytest.approx(0.25, abs=0.04)
    ends = sign[torch.arange(4000), length - 1]
    assert (sign[:, 0] != DASH).all() and (ends != DASH).all()
    assert float((sign == STRANGE).any(1).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert not (signs(pool, windows(pool, 500, rng())) == STRANGE).any()


def test_composed_lines_say_what_they_show() -> None:
    pool = bars()
    glyph = torch.full((3, 10), -1)
    for row, said in enumerate(([1, 2, 3], [5] * 10, [4, 0, 4, 11])):
        glyph[row, : len(said)] = torch.tensor(said)
    found = compose(pool, Recipe(glyph), rng())
    assert found.image.shape == (3, 1, 28, sheet_width(10)) and found.image.dtype == torch.uint8
    assert found.length.tolist() == [3, 10, 4]
    assert found.text[0].tolist() == [2, 3, 4] + [0] * 7 and found.text[2, :4].tolist() == [5, 1, 5, 12]
    ink = (found.image > 100).float().mean((1, 2, 3))
    assert ink[1] > 2 * ink[0] > 0.05, "ten glyphs are more ink than three"


def test_glyphs_stay_inside_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_noisy", lambda line, rng: line)
    image = torch.zeros(2, 28, 28, dtype=torch.uint8)
    image[0, 4:24, 6:22] = 255  # a block
    image[1, 4:24, 13:15] = 255  # a bar
    pool = Pool(image, torch.tensor([1, 2]))
    row = compose(pool, Recipe(torch.tensor([[0, 1]] * 60)), rng()).image[:, 0, 14].float()  # in the middle: no slant
    place = torch.arange(row.shape[1])
    centre = (row * place).sum(1) / row.sum(1)
    inked = [(line > 100).nonzero()[:, 0] for line in row]
    middle = torch.stack([(at[0] + at[-1]) / 2 for at in inked])
    assert (centre <= middle + 0.5).all(), "the block, which has most ink, is left of the bar"
    edges = compose(pool, Recipe(torch.zeros(200, 10, dtype=torch.long)), rng()).image[:, 0, :, [0, -1]]
    assert (edges > 128).float().mean() < 0.002, "the longest lines stay inside"


def test_ones_are_never_upon_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_noisy", lambda line, rng: line)
    monkeypatch.setattr(module, "distort", lambda image, rng, **more: image)
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 4:24, 12:16] = 255
    row = compose(Pool(image, torch.tensor([2])), Recipe(torch.zeros(300, 5, dtype=torch.long)), rng()).image[:, 0, 14]
    assert ((row > 0).sum(1) >= 5 * 4 - 4 * 2).all(), (
        "each hides a quarter of the next at most, and a pixel of rounding"
    )
    assert ((row > 0).sum(1) < 20).any(), "some do touch"


def test_digits_get_one_height() -> None:
    image = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    image[0, 0, 9:19, 4:12] = 200  # 10 tall, 8 wide, not in the middle
    image[1, 0, 12:16, 2:26] = 200  # a lying one: 26 wide at most
    found = of_one_height(image)
    seen = found > 100
    assert int(seen[0].any(1).sum()) == 20 and int(seen[0].any(0).sum()) == pytest.approx(16, abs=1)
    assert int(seen[1].any(0).sum()) == 26
    rows = seen[0].any(1).nonzero()[:, 0]
    assert rows[0] == 4 and rows[-1] == GLYPH - 5
    assert not found[2].any(), "no ink stays none"


def test_printed_and_turned_glyphs() -> None:
    pool = printed()
    assert set(pool.sign.tolist()) == {*range(1, 11), STRANGE}
    assert (pool.image.flatten(1).max(1).values > 200).all()
    assert 0.1 < float((pool.sign < DASH).float().mean()) < 0.4
    upside = turned(bars())
    assert len(upside.image) == 3 and (upside.sign == STRANGE).all()
    assert torch.equal(upside.image[0], bars().image[3].flip(0, 1))


@pytest.fixture
def small(home, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("MILESTONES_DATA", raising=False)
    monkeypatch.setattr("milestones.data.pictures.DEBIAN", home / "no-debian")
    return Place(torch.device("cpu"), 0)


def test_splits_use_their_own_digits(small: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Pool] = []
    original = module.compose
    monkeypatch.setattr(module, "compose", lambda pool, *more: (seen.append(pool), original(pool, *more))[1])
    data = lines(small, 100, 0.1)
    data.train.batch(0, 4)
    pools = {id(pool): pool for pool in seen}.values()
    assert len(pools) == 3
    digits = [{frame.numpy().tobytes() for frame, sign in zip(*pool, strict=True) if 0 < sign < DASH} for pool in pools]
    for a in range(3):
        for b in range(a):
            assert len(digits[a] & digits[b]) < 5, "nearly: a few digits of MNIST are there twice"
    assert data.test.name.startswith("composed lines of embedded digits")
    assert (data.test.examples.length == 5).all()  # type: ignore[attr-defined]
    assert "composed" in data.facts["data"]["note"]


def test_the_test_lines_are_the_same_for_all_seeds(small: Place) -> None:
    one, other = lines(small, 100, 0.1), lines(small._replace(seed=5), 100, 0.1)
    assert torch.equal(next(one.test.sweep(100)).image, next(other.test.sweep(100)).image)
    assert not torch.equal(one.train.batch(0, 4).image, other.train.batch(0, 4).image)
    single = one.train.short(1).batch(0, 4)  # type: ignore[attr-defined]
    assert single.image.shape == (4, 1, 28, sheet_width(1)) and (single.length == 1).all()
    assert torch.equal(single.text[:, 0], one.train.batch(0, 4).text[:, 0])


def test_other_classes_are_refused(small: Place, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", image=np.random.default_rng(0).integers(0, 255, (40, 28, 28)).astype(np.uint8),
             label=np.arange(40) % 4)  # fmt: skip
    with pytest.raises(UserError, match=r"the ten digits as classes, got 0, 1, 2, 3. Name digits with --data"):
        lines(small._replace(choice=Choice(str(tmp_path / "a.npz"))), 100, 0.0)


def written(text: str, size: int = 40, paper: int = 245, ink: int = 30, at: tuple[int, int] = (60, 50)) -> Pillow.Image:
    sheet = Pillow.new("L", (500, 150), paper)
    ImageDraw.Draw(sheet).text(at, text, ink, ImageFont.load_default(size))
    return sheet


@pytest.mark.parametrize(("paper", "ink"), [(245, 30), (20, 230), (150, 90)])
def test_a_line_is_found_and_scaled(paper: int, ink: int) -> None:
    (line,) = find_lines(Image(np.asarray(written("80322", 40, paper, ink))))
    assert line.pixels.shape[0] == 28 and line.pixels.shape[1] % 4 == 0
    rows = np.flatnonzero((line.pixels > 128).any(1))
    assert 18 <= rows[-1] - rows[0] + 1 <= 22, "digits are 20 pixels tall"
    strong = line.pixels > 128
    assert 0.05 < strong.mean() < 0.4 and line.pixels[:, :3].max() == 0
    left, right = np.flatnonzero(strong.any(0))[[0, -1]]
    assert line.place(left)[0] == pytest.approx(60, abs=8)
    assert line.place(right)[0] == pytest.approx(60 + 5 * 23, abs=12)
    assert line.place(right)[1] == pytest.approx(50 + 26, abs=10)


def test_a_dash_belongs_to_its_line_and_two_lines_are_two() -> None:
    sheet = written("80322-4129", 30, at=(40, 20))
    ImageDraw.Draw(sheet).text((40, 95), "Boulder", 30, ImageFont.load_default(30))
    found = find_lines(Image(np.asarray(sheet)))
    assert len(found) == 2
    numbers = min(found, key=lambda line: line.middle)
    assert numbers.middle == pytest.approx(20 + 20, abs=8)
    columns = (numbers.pixels > 100).any(0)
    gaps = np.flatnonzero(np.diff(columns.astype(int)) == 1)
    assert len(gaps) >= 8, "the dash is there, apart from its neighbours"


def test_no_ink_no_line() -> None:
    assert find_lines(Image(np.full((100, 200), 240, np.uint8))) == []
    noise = np.random.default_rng(0).normal(200, 6, (100, 200)).clip(0, 255).astype(np.uint8)
    assert find_lines(Image(noise)) == []


def test_what_is_transparent_is_shown_on_white() -> None:
    ink = np.zeros((40, 60, 4), np.uint8)  # black on nothing, as drawn by many programs
    ink[10:30, 28:32, 3] = 255
    shown = marked(Image(ink), "1", [(30, 20)]).pixels
    assert shown.shape == (40, 60, 3)
    assert (shown[0, 0] == 255).all() and (shown[28, 28] == 0).all()
