"""Photographs of the user's: colour, the mapped cache, unreadable files, and the page that fits them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data import own
from milestones.data.glance import glance
from milestones.data.pictures import pictures, seen
from milestones.media import Image
from milestones.media.image import scaled
from milestones.verbs.train import choose

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (20, 40, 220)}


def place(data: object, **more: str) -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(data), **more))


def photos(
    root: Path, each: int = 12, size: tuple[int, int] = (90, 60), suffix: str = ".jpg", grey: bool = False
) -> Path:
    for k, (name, colour) in enumerate(COLOURS.items()):
        (root / name).mkdir(parents=True)
        for i in range(each):
            noise = np.random.default_rng([k, i]).integers(-25, 26, (size[1], size[0], 3))
            pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            picture = Pillow.fromarray(pixels).convert("L" if grey else "RGB")
            picture.save(root / name / f"{i}{suffix}", quality=92)
    return root


def test_colour_is_kept(tmp_path: Path) -> None:
    data = pictures(place(photos(tmp_path / "p")), side=16, colour=True)
    assert data.facts["channels"] == 3 and data.facts["reading"] == "square"
    assert data.facts["counts"] == [10, 10, 10] and (len(data.valid), len(data.test)) == (3, 3)
    for batch in data.train.sweep(100):
        assert batch.image.shape[1:] == (3, 16, 16) and batch.image.dtype == torch.uint8
        for image, label in zip(batch.image, batch.label.tolist(), strict=True):
            want = COLOURS[data.facts["labels"][label]]
            assert image.float().mean((1, 2)).tolist() == pytest.approx(want, abs=12)
    grey = pictures(place(tmp_path / "p"), side=16)
    assert grey.facts["channels"] == 1, "pages that read grey levels still do"


def test_the_middle_square_and_what_use_sees_is_what_training_saw(tmp_path: Path) -> None:
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = (10, 250, 60)
    file = tmp_path / "wide.png"
    Pillow.fromarray(wide).save(file)
    trained = scaled(file.read_bytes(), "wide", 20, colour=True)
    assert trained.shape == (20, 20, 3) and np.abs(trained[:, 1:-1].astype(int) - (10, 250, 60)).max() < 3
    used = seen({"side": 20, "reading": "square"}, [Image.open(file)])
    assert torch.equal(used[0], torch.from_numpy(trained.transpose(2, 0, 1).copy()))


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "I;16", "LA"])
def test_each_mode_becomes_colour(tmp_path: Path, mode: str) -> None:
    grey = np.tile(np.linspace(0, 250, 32, dtype=np.uint8), (32, 1))
    picture = Pillow.fromarray(grey)
    picture = Pillow.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    file = tmp_path / f"a.{'jpg' if mode == 'CMYK' else 'png'}"
    picture.save(file)
    found = scaled(file.read_bytes(), "a", 32, colour=True).astype(int)
    assert np.abs(found - grey[..., None]).max() < 12


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    pixels = np.zeros((30, 30, 3), np.uint8)
    pixels[:10, :, 0] = 250  # red on top
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was turned: shown after a quarter turn clockwise
    Pillow.fromarray(np.rot90(pixels).copy()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = scaled((tmp_path / "a.jpg").read_bytes(), "a", 30, colour=True)
    assert found[4, 15, 0] > 200 and found[25, 15, 0] < 60


def test_decoded_once_into_the_cache(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path / "p", each=20)
    plain = pictures(place(folder), side=24, colour=True)
    monkeypatch.setattr(own, "MAPPED", 1000)
    first = pictures(place(folder), side=24, colour=True)
    (file,) = (home / "home" / ".cache" / "milestones" / "pictures").iterdir()
    assert file.stat().st_size > 60 * 3 * 24 * 24
    monkeypatch.setattr(own, "_decode", lambda *words: pytest.fail("decoded again"))
    again = pictures(place(folder), side=24, colour=True)
    for a, b, c in zip(plain[:3], first[:3], again[:3], strict=True):
        (x,), (y,), (z,) = (list(source.sweep(1000)) for source in (a, b, c))
        assert torch.equal(x.image, y.image) and torch.equal(y.image, z.image) and torch.equal(x.label, z.label)
    assert plain.facts == first.facts == again.facts
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "home" / ".cache"))
    monkeypatch.setattr(own, "MAPPED", 1000)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match=r"a whole file of decoded pictures, got .*which is damaged. Remove it"):
        pictures(place(folder), side=24, colour=True)


def test_a_full_disk_is_seen_before(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path / "p")
    monkeypatch.setattr(own, "MAPPED", 1000)
    monkeypatch.setattr(own.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(UserError, match=r"0.0 GB free for the decoded pictures in .*Make room"):
        pictures(place(folder), side=24, colour=True)
    monkeypatch.undo()
    monkeypatch.setattr(own, "MAPPED", 1000)
    monkeypatch.setattr(own, "cache", lambda: tmp_path / "p" / "red" / "0.jpg")
    with pytest.raises(UserError, match=r"room for decoded pictures in .*Free the disk or set XDG_CACHE_HOME"):
        pictures(place(folder), side=24, colour=True)


def test_unreadable_files_are_told_once_and_left_out_when_asked(tmp_path: Path) -> None:
    folder = photos(tmp_path / "p")
    for name in ("3", "4"):
        (folder / "red" / f"{name}.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(UserError, match=r"can be read, got 2 of 36 that cannot, first .*3\.jpg.*--skip-unreadable"):
        pictures(place(folder), side=16, colour=True)
    data = pictures(place(folder, skip="unreadable"), side=16, colour=True)
    assert sum(map(len, data[:3])) == 34
    assert "2 unreadable pictures left out (--skip-unreadable)" in data.facts["data"]["note"]
    (folder / "red" / "4.jpg").unlink()
    with pytest.raises(UserError, match=r"TIFF or WebP picture, got .*3\.jpg.*or leave it out with --skip-unreadable"):
        pictures(place(folder), side=16)
    for file in sorted((folder / "red").iterdir())[:-2]:
        file.write_bytes(b"")
    with pytest.raises(UserError, match="at least 3 examples of each class, got 2 of 'red'"):
        pictures(place(folder, skip="unreadable"), side=16)
    for file in (folder / "red").iterdir():
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"a readable picture of each class, got none of 'red' in .* remove the class"):
        pictures(place(folder, skip="unreadable"), side=16)


def test_unreadable_files_of_a_large_set_are_not_all_decoded_again(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(tmp_path / "p")
    (folder / "red" / "3.jpg").write_bytes(b"\xff\xd8\xff no picture")
    monkeypatch.setattr(own, "MAPPED", 1000)
    first = pictures(place(folder, skip="unreadable"), side=24, colour=True)
    opened: list[int] = []
    original = own.decoded
    monkeypatch.setattr(own, "decoded", lambda paths, *more: (opened.append(len(paths)), original(paths, *more))[1])
    again = pictures(place(folder, skip="unreadable"), side=24, colour=True)
    assert opened == [1], "only the one that could not be read"
    assert again.facts == first.facts and sum(map(len, again[:3])) == 35
    with pytest.raises(UserError, match=r"a PNG, JPEG, BMP, TIFF or WebP picture, got .*3\.jpg"):
        pictures(place(folder), side=24, colour=True)


def test_a_test_folder_with_another_class(tmp_path: Path) -> None:
    photos(tmp_path / "p" / "train")
    photos(tmp_path / "p" / "test")
    (tmp_path / "p" / "test" / "green").rename(tmp_path / "p" / "test" / "greens")
    with pytest.raises(
        UserError, match=r"in train, got 'greens' only in test, and none of 'green'. Did you mean 'green'"
    ):
        pictures(place(tmp_path / "p"), colour=True)
    assert choose(str(tmp_path / "p")).page == "resnet", "what it would be trained with is told before what is wrong"


def test_a_test_folder_without_a_class(tmp_path: Path) -> None:
    photos(tmp_path / "p" / "train")
    photos(tmp_path / "p" / "test")
    shutil.rmtree(tmp_path / "p" / "test" / "green")
    with pytest.raises(UserError, match=r"in test all classes that are in train, got none of 'green'. Add test pict"):
        pictures(place(tmp_path / "p"), colour=True)


def test_the_page_that_fits(tmp_path: Path) -> None:
    large = photos(tmp_path / "large", size=(300, 200))
    fit = choose(str(large))
    assert (fit.page, fit.preset, fit.settings) == ("resnet", "photos", {"side": 64, "steps": 300})
    assert "36 pictures in colour, typically 200 pixels" in fit.why
    small = photos(tmp_path / "small", size=(28, 28), suffix=".png", grey=True)
    assert choose(str(small)).page == "lenet" and "small and grey" in choose(str(small)).why
    for file in sorted((large / "red").iterdir())[3:]:
        file.unlink()
    uneven = choose(str(large))
    assert uneven.settings["balance"] == 0.5 and "4 times the pictures" in uneven.why
    assert glance(str(tmp_path / "none")) is None
    (tmp_path / "empty" / "a").mkdir(parents=True)
    (tmp_path / "empty" / "b").mkdir()
    assert choose(str(tmp_path / "empty")).page == "lenet", "where nothing can be told, reading says what is wrong"
