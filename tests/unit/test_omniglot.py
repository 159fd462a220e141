"""Omniglot as it ships against its own archives, how drawings are laid out, and folders of the user's classes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import milestones.data
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data.omniglot import classes, laid, omniglot, redrawn, seen, sheets, unpacked
from milestones.media import Image

CPU = torch.device("cpu")
PLACE = Place(CPU, 0)


def packed() -> dict[str, np.ndarray]:
    with np.load(Path(milestones.data.__file__).with_name("omniglot.npz"), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def folder_of(root: Path, counts: dict[str, int], size: int = 90) -> Path:
    """A folder of classes: each a stroke of its own slope, of mixed sizes."""
    for k, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            side = size + 7 * i
            pixels = np.full((side, side), 255, np.uint8)
            for t in np.linspace(0.2, 0.8, 200):
                y, x = int(side * t), int(side * (0.5 + (t - 0.5) * (k - 2) / 3))
                pixels[y - 2 : y + 2, x - 2 : x + 2] = 0
            Pillow.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def test_what_ships_is_whole() -> None:
    found = packed()
    assert found["image"].shape == (242, 20, 105, 14)
    assert found["sets"].sum(1).tolist() == [5, 5] and len(found["names"]) == 8
    assert sorted({*found["run_answer"].ravel().tolist()}) == list(range(20))
    assert unpacked(found["run_image"]).any((-1, -2)).all(), "each has ink"


def test_what_ships_is_omniglot(shared_data: Callable[[str], Path]) -> None:
    folder, found = shared_data("omniglot"), packed()
    with zipfile.ZipFile(folder / "images_background_small2.zip") as archive:
        names = [name for name in archive.namelist() if "Sanskrit/character07/" in name and name.endswith("_05.png")]
        theirs = np.asarray(Pillow.open(io.BytesIO(archive.read(names[0]))).convert("L")) < 128
    row = np.flatnonzero((found["names"][found["alphabet"]] == "Sanskrit") & (found["character"] == 7))[0]
    assert (unpacked(found["image"][row, 4]) == theirs).all()
    with zipfile.ZipFile(folder / "all_runs.zip") as archive:
        line = archive.read("run01/class_labels.txt").decode().split("\n")[0]
    assert line.split()[0].endswith("item01.png") and line.split()[1].endswith("class08.png")
    assert found["run_answer"][0, 0] == 7


def test_no_alphabet_is_learned_and_asked_about() -> None:
    first, second = omniglot(PLACE, "first"), omniglot(PLACE, "second")
    for data, count in ((first, 136), (second, 156)):
        assert data.train.examples.image.shape == (count, 20, 1, 28, 28)
        assert data.valid.examples.image.shape[1:] == data.test.examples.image.shape[1:] == (2, 1, 28, 28)
        assert data.facts["data"]["train"] == count == len(set(data.facts["characters"]))
        assert len(data.test) == 400 and data.test.examples.group.bincount().tolist() == [20] * 20
        known = {row.tobytes() for row in data.train.examples.image.numpy().reshape(-1, 784)}
        for held in (data.valid, data.test):
            assert not known & {row.tobytes() for row in held.examples.image.numpy().reshape(-1, 784)}
    assert "Sanskrit" in first.facts["data"]["note"].split("chosen on")[1]
    assert "Balinese" in second.facts["data"]["note"].split("chosen on")[1]
    assert torch.equal(first.test.examples.image, second.test.examples.image)


def test_a_question_stands_beside_its_answer() -> None:
    found = packed()
    image = omniglot(PLACE).test.examples.image
    for run, item in ((0, 0), (7, 3), (19, 19)):
        answer = int(found["run_answer"][run, item])
        for k, one in enumerate((found["run_image"][run, 0, answer], found["run_image"][run, 1, item])):
            assert (image[20 * run + item, k, 0].numpy() == sheets(unpacked(one)[None])[0]).all()


def test_place_and_size_on_the_paper_do_not_matter() -> None:
    ink = np.zeros((105, 105), np.float32)
    ink[30:60, 20:23], ink[57:60, 20:50] = 1, 1
    moved = np.roll(ink, (25, 40), (0, 1))
    large = np.kron(ink[25:65, 15:55], np.ones((2, 2), np.float32))
    one = laid(ink).astype(float)
    assert (laid(moved) == one).all()
    assert np.abs(laid(large) - one).mean() < 8
    rows, columns = np.flatnonzero(one.max(1) > 100), np.flatnonzero(one.max(0) > 100)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)


def test_a_users_picture_is_seen_as_the_training_ones_are() -> None:
    """Also light on dark, in colour, and with pieces far apart, which no digit has."""
    found = packed()
    for k in (0, 50, 100, 200):
        ink = unpacked(found["image"][k, 3])
        want = sheets(ink[None])[0].astype(float)
        grey = np.where(ink, 0, 255).astype(np.uint8)
        colour = np.where(ink[..., None], (40, 20, 160), (250, 245, 220)).astype(np.uint8)
        for pixels in (grey, 255 - grey, colour):
            assert np.abs(seen([Image(pixels)])[0, 0].numpy() - want).mean() < 4
    apart = np.full((100, 100), 255, np.uint8)
    apart[10:30, 10:14], apart[80:84, 60:90] = 0, 0
    sheet = seen([Image(apart)])[0, 0].numpy()
    assert (sheet[:14] > 128).any() and (sheet[15:] > 128).any()


def test_a_picture_without_ink() -> None:
    with pytest.raises(UserError, match="expected a picture with one drawing in it, got one without ink"):
        seen([Image(np.random.default_rng(0).integers(196, 205, (60, 60)).astype(np.uint8))])


def test_redrawn_takes_different_drawings_and_turns_whole_characters() -> None:
    train = omniglot(PLACE, augment=None).train
    batch = train.batch(0, 32)
    found = redrawn(1, turn=True)(batch, keyed("some"))
    assert found.image.shape == (32, 2, 1, 28, 28)
    assert set((found.label % 4).tolist()) == {0, 1, 2, 3}
    for k in range(32):
        quarter = int(found.label[k]) % 4
        assert int(found.label[k]) // 4 == int(batch.label[k])
        whole = {one.numpy().tobytes() for one in batch.image[k].rot90(quarter, (2, 3)).contiguous()}
        both = [one.contiguous().numpy().tobytes() for one in found.image[k]]
        assert set(both) <= whole and both[0] != both[1]
    bent = redrawn(4, turn=False, rotate=10.0)(batch, keyed("some"))
    assert bent.image.shape == (32, 5, 1, 28, 28) and torch.equal(bent.label, batch.label)


def test_a_folder_of_classes_is_divided_by_class(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "signs", {name: 2 + k % 3 for k, name in enumerate("abcdefg")})
    place = Place(CPU, 0, choice=Choice(str(folder)))
    data, again = omniglot(place), omniglot(place)
    assert data.facts == again.facts
    assert [len(source) for source in data[:3]] == [3, 2, 2]
    assert data.test.examples.image.shape == (2, 2, 1, 28, 28)
    assert data.facts["characters"] == sorted(data.facts["characters"])


def test_one_picture_of_a_class_is_enough_to_learn_it(tmp_path: Path) -> None:
    found = classes(folder_of(tmp_path, {"a": 1, "b": 3}))
    assert {name: len(images) for name, images in found.items()} == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 1, "b": 2, "c": 2, "d": 2, "e": 2, "f": 2}, "expected 2 pictures or more of each class to train with, "
         "got one of 'a'"),
        ({"a": 2, "b": 2}, "expected 6 classes or more, since those to test are never learned, got 2 in"),
        ({"a": 2}, "expected two classes or more to tell apart, got 1 in"),
        ({"a": 2, "b": 0}, "expected pictures of each class, got none in"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_learned(tmp_path: Path, counts: dict[str, int], message: str) -> None:
    folder = folder_of(tmp_path / "signs", counts)
    with pytest.raises(UserError) as problem:
        omniglot(Place(CPU, 0, choice=Choice(str(folder))))
    assert message in str(problem.value)


def test_no_folder_and_no_percentages(tmp_path: Path) -> None:
    for word, got in (("absent", "which does not exist"), ("file.txt", "which is no folder")):
        (tmp_path / "file.txt").write_text("x")
        with pytest.raises(UserError, match=f"expected a folder of classes, got .*{got}"):
            classes(tmp_path / word)
    with pytest.raises(UserError, match="expected no --split and no --target: classes to test are never learned"):
        omniglot(Place(CPU, 0, choice=Choice(split="80/10/10")))
