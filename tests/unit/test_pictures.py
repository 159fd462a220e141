"""Each form of a set of pictures is read, split by content, and refused in one line where it is wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data import fetch
from milestones.data.kinds import kind, sight
from milestones.data.listing import decoded, entries
from milestones.data.pictures import pictures, seen
from milestones.media import Image


def place(data: object = "", target: str = "", split: str = "", seed: int = 0) -> Place:
    return Place(torch.device("cpu"), seed, choice=Choice(str(data), target, split))


def draw(k: int, i: int, side: int = 20) -> np.ndarray:
    """A picture of class k, different for each i."""
    pixels = np.random.default_rng([k, i]).integers(0, 60, (side, side), np.uint8)
    pixels[4 * k : 4 * k + 4] += 180
    return pixels


def folder(root: Path, classes: str = "abc", each: int = 12, suffix: str = ".png") -> Path:
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(each):
            Pillow.fromarray(draw(k, i)).save(root / name / f"{i}{suffix}")
    return root


def idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


@pytest.fixture(autouse=True)
def nothing_at_hand(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "shared_data" not in request.fixturenames:
        monkeypatch.delenv("MILESTONES_DATA", raising=False)
    monkeypatch.setattr("milestones.data.pictures.DEBIAN", home / "no-debian")


def test_embedded_digits() -> None:
    data = pictures(place())
    facts = data.facts
    assert [len(source) for source in data[:3]] == [8000, 1000, 1000]
    assert (facts["kind"], facts["side"], facts["channels"], facts["reading"]) == ("pictures", 28, 1, "ink")
    assert facts["labels"] == list("0123456789")
    image = data.train.examples.image
    assert image.dtype == torch.uint8 and image.shape == (8000, 1, 28, 28)
    assert data.train.examples.label.dtype == torch.int64
    assert facts["mean"] == pytest.approx(float(image.double().mean()), rel=1e-9)
    assert facts["spread"] == pytest.approx(float(image.double().std(unbiased=False)), rel=1e-9)
    title = "embedded digits (MNIST training images, writers shared across the split; not comparable with MNIST test)"
    assert data.test.name == title
    assert json.loads(json.dumps(facts)) == facts
    digest = hashlib.sha256()
    for source in data[:3]:
        digest.update(source.examples.image.numpy())
        digest.update(source.examples.label.numpy())
    assert facts["data"]["sha256"] == digest.hexdigest()


def test_final_trains_on_valid_and_says_so() -> None:
    plain, final = pictures(place()), pictures(place(split="final"))
    assert len(final.train) == 9000 and len(final.valid) == 1000
    assert final.valid.name.endswith("(seen in training)") and not plain.valid.name.endswith("training)")
    assert torch.equal(final.train.examples.image[:8000], plain.train.examples.image)
    assert torch.equal(final.train.examples.image[8000:], plain.valid.examples.image)


def test_sixteen_is_the_middle_made_smaller() -> None:
    whole, small = pictures(place()), pictures(place(), side=16)
    middle = whole.train.examples.image[:50, :, 2:-2, 2:-2].float()
    exact = torch.nn.functional.interpolate(middle, (16, 16), mode="area")
    # 24 to 16: "area" takes whole pixels, a box filter weighs halves; so compare the sums of 3 x 3 and 2 x 2.
    sums = (
        torch.nn.functional.avg_pool2d(middle, 3),
        torch.nn.functional.avg_pool2d(small.train.examples.image[:50].float(), 2),
    )
    assert (sums[0] - sums[1]).abs().max() <= 1
    assert exact.shape == small.train.examples.image[:50].shape
    assert "the middle 24 x 24 of 28 x 28 scaled to 16 x 16" in small.facts["data"]["note"]
    assert small.facts["box"] == pytest.approx(20 * 16 / 24)


def test_only_training_is_augmented() -> None:
    data = pictures(place(), augment=lambda batch, rng: batch._replace(image=batch.image * 0))
    assert data.train.batch(0, 8).image.max() == 0
    assert data.valid.batch(0, 8).image.max() > 0


def test_digits_are_tested_on_mnist_where_it_is_at_hand(shared_data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESTONES_DATA", str(shared_data("mnist-test").parent))
    assert pictures(place()).test.name == "MNIST test, 8,000 training images"
    data = pictures(place(split="final"))
    assert data.test.name == "MNIST test, 9,000 training images" and len(data.test) == 10_000


def test_fashion(shared_data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESTONES_DATA", str(shared_data("fashion-mnist").parent))
    data = pictures(place("fashion", split="final"))
    assert (len(data.train), len(data.valid), len(data.test)) == (60_000, 5_000, 10_000)
    assert data.test.name == "Fashion-MNIST test, 60,000 training images"
    assert data.facts["reading"] == "resize" and data.facts["labels"][9] == "ankle boot"
    assert torch.equal(data.train.examples.image[-5000:], data.valid.examples.image)


def test_usps(shared_data, tmp_path: Path) -> None:
    path = shared_data("usps.npz")
    data = pictures(place(path), side=16)
    assert (len(data.train), len(data.valid), len(data.test)) == (6291, 1000, 2007)
    assert data.test.name == "USPS test, 6,291 training images"
    assert pictures(place(path, split="final"), side=16).test.name == "USPS test, 7,291 training images"
    assert "the paper's 7,291 and 2,007 digits" in data.facts["data"]["note"]
    with np.load(path, allow_pickle=False) as archive:  # the same as the text files that users bring
        for split in ("train", "test"):
            image, label = archive[f"{split}_image"], archive[f"{split}_label"]
            lines = [f"{k}.0000 " + " ".join(f"{v / 1000:.4f}" for v in row.ravel().tolist()) + " \n"
                     for k, row in zip(label, image, strict=True)]  # fmt: skip
            (tmp_path / f"zip.{split}.gz").write_bytes(gzip.compress("".join(lines).encode(), 1))
    text = pictures(place(tmp_path / "zip.train.gz"), side=16)
    assert text.facts["data"]["sha256"] == data.facts["data"]["sha256"]
    wide = pictures(place(path), side=28)
    assert wide.train.examples.image[:, :, :4].max() == 0 and wide.train.examples.image[:, :, 4].max() > 0
    assert wide.facts["box"] == 20


def test_mnist_from_the_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"MNIST's four IDX files, got not all in .*milestones data mnist --download"):
        pictures(place("mnist"))
    cached = fetch.cache() / "mnist"
    cached.mkdir(parents=True)
    rng, hashes = np.random.default_rng(0), {}
    arrays = [rng.integers(0, 256, (n, 28, 28)) if r else rng.integers(0, 10, n) for n in (5100, 50) for r in (1, 0)]
    for name, array in zip(fetch.IDX, arrays, strict=True):
        idx(cached / f"{name}.gz", array)
        hashes[name] = fetch.content_hash(cached / f"{name}.gz")
    with pytest.raises(UserError, match=r"MNIST as published, got .*with other content\. Remove it, then"):
        pictures(place("mnist"))
    monkeypatch.setitem(fetch.DATASETS, "mnist", {**fetch.DATASETS["mnist"], "sha256": hashes})
    data = pictures(place("mnist"))
    assert (len(data.train), len(data.valid), len(data.test)) == (100, 5000, 50)
    assert data.test.name == "MNIST test, 100 training images"
    assert pictures(place("mnist", split="final")).test.name == "MNIST test, 5,100 training images"
    np.testing.assert_array_equal(data.valid.examples.image[:, 0], arrays[0][100:])
    assert pictures(place(cached)).facts["data"]["name"] == "mnist"  # known by its content
    with pytest.raises(UserError, match="no percentages for mnist, whose split is fixed"):
        pictures(place("mnist", split="80/10/10"))


def test_folder_per_class_is_split_by_content(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", each=20)
    data = pictures(place(root), side=20)
    assert (len(data.train), len(data.valid), len(data.test)) == (48, 6, 6)
    assert data.facts["labels"] == ["a", "b", "c"] and data.facts["reading"] == "resize"
    assert data.train.name == data.test.name == "photos"
    known = {draw(k, i).tobytes(): k for k in range(3) for i in range(20)}
    for source in data[:3]:
        for image, label in zip(*source.examples, strict=True):
            assert known.pop(image.numpy().tobytes()) == label
    assert not known
    test = {image.numpy().tobytes() for image in data.test.examples.image}
    for name in "abc":  # other names, other order, other seed: the same split
        for i, file in enumerate(sorted((root / name).iterdir())):
            file.rename(root / name / f"x{(i * 7) % 20:03}.png")
    again = pictures(place(root, seed=5), side=20)
    assert {image.numpy().tobytes() for image in again.test.examples.image} == test
    assert len(pictures(place(root, split="50/25/25")).test) == 15
    assert len(pictures(place(root, split="final")).train) == 54


def test_equal_pictures_come_into_one_split(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", each=10)
    for name in "abc":
        for i in range(10):
            (root / name / f"copy{i}.png").write_bytes((root / name / f"{i}.png").read_bytes())
    data = pictures(place(root), side=20)
    where = [{image.numpy().tobytes() for image in source.examples.image} for source in data[:3]]
    assert not (where[0] & where[1] or where[0] & where[2] or where[1] & where[2])
    assert sum(map(len, where)) == 30


def test_official_splits_are_respected(tmp_path: Path) -> None:
    folder(tmp_path / "set" / "train", each=10)
    folder(tmp_path / "set" / "val", each=2)
    folder(tmp_path / "set" / "test", each=3)
    data = pictures(place(tmp_path / "set"))
    assert (len(data.train), len(data.valid), len(data.test)) == (30, 6, 9)
    with pytest.raises(UserError, match="which has splits of its own"):
        pictures(place(tmp_path / "set", split="80/10/10"))


def test_csv_and_jsonl_that_name_files(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", each=8)
    rows = [(f"photos/{name}/{i}.png", name, "test" if i < 2 else "train") for name in "abc" for i in range(8)]
    lines = "".join(f"{file},{name},{split}\n" for file, name, split in rows)
    (tmp_path / "list.csv").write_text("path,kind,split\n" + lines)
    with pytest.raises(UserError, match=r"a label column, got path, kind, split in .* Name it with --target COLUMN"):
        pictures(place(tmp_path / "list.csv"))
    with pytest.raises(UserError, match=r"target column 'knd', got columns path, kind, split .*Did you mean 'kind'"):
        pictures(place(tmp_path / "list.csv", "knd"))
    data = pictures(place(tmp_path / "list.csv", "kind"), side=20)
    assert (len(data.train), len(data.valid), len(data.test)) == (15, 3, 6)
    (tmp_path / "list.jsonl").write_text("".join(json.dumps({"file_name": f, "label": k}) + "\n" for f, k, _ in rows))
    assert sum(map(len, pictures(place(tmp_path / "list.jsonl"))[:3])) == 24
    assert kind(str(tmp_path / "list.jsonl")) == kind(str(tmp_path / "list.csv")) == kind(str(root)) == "pictures"
    for content, words in [
        (
            "path,label\nphotos/a/0.png,a\nphotos/a/99.png,b\n",
            r"the pictures that .* names, got 1 of 2 missing, first .*99\.png \(line 3\)",
        ),
        ("path,label\nphotos/a/0.png,\n", r"a label for each picture, got none in .* line 2"),
        ("path,label,split\nphotos/a/0.png,a,tomorrow\n", "train, valid or test as split, got 'tomorrow'"),
        ("name,label\na,b\n", r"a column that names the pictures \(file\)"),
    ]:
        (tmp_path / "bad.csv").write_text(content)
        with pytest.raises(UserError, match=words):
            pictures(place(tmp_path / "bad.csv"))


def test_npz(tmp_path: Path) -> None:
    image = np.stack([draw(k, i) for k in range(3) for i in range(20)])
    label = np.repeat(["ant", "bee", "cat"], 20)
    np.savez(tmp_path / "a.npz", image=image, label=label)
    plain = pictures(place(tmp_path / "a.npz"), side=20)
    assert plain.facts["labels"] == ["ant", "bee", "cat"] and len(plain.test) == 6
    np.savez(
        tmp_path / "b.npz", x_train=image[..., None] / 255, y_train=label, x_test=image[::7, None], y_test=label[::7]
    )
    split = pictures(place(tmp_path / "b.npz"), side=20)
    assert len(split.test) == 9 and torch.equal(split.test.examples.image[:, 0], torch.from_numpy(image[::7]))
    colour = np.stack([image, image // 2, image // 3], -1)
    np.savez(tmp_path / "c.npz", images=colour, labels=label)
    want = np.stack([Image(frame).grey() for frame in colour])
    got = pictures(place(tmp_path / "c.npz"), side=20)
    known = {frame.tobytes() for frame in want}
    assert {frame.numpy().tobytes() for source in got[:3] for frame in source.examples.image} == known


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"image": np.zeros((4, 2, 2), np.uint8)}, "a .npz with image and label, .*with image. Rename its arrays"),
        ({"image": np.zeros((4, 2, 2)), "label": np.zeros(3, int)}, r"4 labels, whole numbers or texts, got \(3,\)"),
        ({"image": np.zeros((4, 2)), "label": np.zeros(4, int)}, "N x H x W pictures, grey or colour"),
        ({"image": np.full((4, 2, 2), 999.0), "label": np.zeros(4, int)}, "0 to 255, 0 to 1 or -1 to 1, got 999"),
        ({"image": np.full((4, 2, 2), np.nan), "label": np.zeros(4, int)}, "finite grey levels, got NaN"),
        ({"image": np.zeros((4, 2, 2)), "label": np.zeros(4, int)}, "pictures of at least two classes, got 1"),
        ({"image": np.zeros((4, 2, 2)), "label": np.arange(4) // 3}, "at least 3 examples of each class, got 1 of '1'"),
        ({"image": np.zeros((4, 2, 2)), "label": np.array([None] * 4)}, "it holds Python objects"),
        ({"image": np.zeros((0, 2, 2)), "label": np.zeros(0, int)}, r"at least one picture, got \(0, 2, 2\)"),
        ({"x_train": np.zeros((6, 2, 2)), "y_train": np.arange(6) // 3, "x_test": np.zeros((1, 2, 2)), "y_test": [7]},
         "in test only classes that are in train, got '7' only in test"),
        ({"x_train": np.zeros((6, 2, 2)), "y_train": np.arange(6) // 3, "x_test": np.zeros((1, 2, 2)), "y_test": [0]},
         "in test all classes that are in train, got none of '1'. Add test pictures"),
    ],
)  # fmt: skip
def test_bad_npz(tmp_path: Path, arrays: dict, words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=words):
        pictures(place(tmp_path / "a.npz"))


def test_an_npz_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", image=np.zeros((999, 40, 40)), label=np.zeros(999, int))
    monkeypatch.setattr("milestones.media.npz.LARGEST", 1_000_000)
    with pytest.raises(UserError, match=r"at most 1,000,000 bytes of arrays, got 12,79.*Take a sample"):
        pictures(place(tmp_path / "a.npz"))


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a readable folder, got"):
        entries(tmp_path / "none")
    ((frame, _, problem),) = decoded([tmp_path / "none.png"], 8)
    assert frame is None and "a readable picture, got" in str(problem)


def test_damaged_npz_and_idx(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(UserError, match=r"a .npz with image and label"):
        pictures(place(tmp_path / "a.npz"))
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    idx(images, np.stack([draw(k % 3, k) for k in range(30)]))
    with pytest.raises(UserError, match="IDX files of pictures and of labels, got only"):
        pictures(place(tmp_path))
    idx(labels, np.arange(30) % 3)
    assert sum(map(len, pictures(place(tmp_path))[:3])) == 30
    idx(labels, np.arange(29) % 3)
    with pytest.raises(UserError, match="N x H x W pictures and N labels, got"):
        pictures(place(tmp_path))
    for content, words in [
        (b"\0\0\x08\x01" + struct.pack(">I", 9) + bytes(8), "9 values as its head says, got .* with 8"),
        (b"\0\0\x0d\x01\0\0\0\0", "an IDX file of uint8 values, got"),
        (b"\0\0\x08\x03" + struct.pack(">III", 2**31, 2**31, 2**31), "values as its head says"),
    ]:
        labels.write_bytes(content)
        with pytest.raises(UserError, match=words):
            pictures(place(tmp_path))
    labels.unlink()
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(99))[:-9])
    with pytest.raises(UserError, match=r"an IDX file, got .*which is truncated or damaged"):
        pictures(place(tmp_path))


def test_bad_usps_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the USPS digits, got none in .*Bring zip.train and zip.test"):
        pictures(place("usps"))
    (tmp_path / "zip.train").write_text("6 " + "0 " * 255 + "\n")
    for content, words in [
        ("6 " + "0 " * 255 + "\n", "257 numbers a line, the digit and 16 x 16 levels, got 256 in .*digit 1"),
        ("6 " + "0 " * 255 + "3\n", "digits 0 to 9 and levels -1 to 1, got others"),
        ("6 " + "0 " * 255 + "x\n", "USPS digits as text, 257 numbers a line"),
        ("6 " + "0 " * 256 + "\n", "zip.train and zip.test in one folder, got no zip.test"),
    ]:
        (tmp_path / "zip.train").write_text(content)
        with pytest.raises(UserError, match=words):
            pictures(place(tmp_path))
    (tmp_path / "zip.test").write_text("6 " + "0 " * 256 + "\n")
    with pytest.raises(UserError, match="more than 1,000 training images, got 1"):
        pictures(place(tmp_path))


def one_class(root: Path) -> None:
    folder(root, "a")


def wrapped(root: Path) -> None:
    folder(root / "inner")


def empty_class(root: Path) -> None:
    folder(root)
    (root / "d").mkdir()


def text_named_png(root: Path) -> None:
    folder(root)
    (root / "b" / "0.png").write_text("not a picture")


def truncated(root: Path) -> None:
    folder(root)
    content = (root / "c" / "3.png").read_bytes()
    (root / "c" / "3.png").write_bytes(content[: len(content) // 2])


def few(root: Path) -> None:
    folder(root)
    folder(root / ".." / "more", "x", each=2)
    (root / ".." / "more" / "x").rename(root / "x")


def unknown_in_test(root: Path) -> None:
    folder(root / "train", "abc")
    folder(root / "test", "abd")


BAD = {
    one_class: r"pictures of at least two classes, got 1 in .* \(a\)\. Put the pictures of each class into a folder",
    wrapped: r"at least two classes, got .*Name .*inner",
    empty_class: r"pictures of each class, got none in .*d\. Add pictures to the folder, or remove it",
    text_named_png: r"got .*0\.png, which is a text file",
    truncated: r"got .*3\.png, which is truncated or damaged",
    few: "at least 3 examples of each class, got 2 of 'x'",
    unknown_in_test: "in test only classes that are in train, got 'd' only in test",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_bad_folders(tmp_path: Path, make) -> None:
    make(tmp_path / "photos")
    with pytest.raises(UserError, match=BAD[make]) as caught:
        pictures(place(tmp_path / "photos"))
    assert "\n" not in str(caught.value)


def test_bad_choices(tmp_path: Path) -> None:
    folder(tmp_path / "photos")
    for split in ("80/20", "a/b/c", "90/10/0", "50/50/50"):
        with pytest.raises(UserError, match="--split as three percentages that make 100, or final"):
            pictures(place(tmp_path / "photos", split=split))
    with pytest.raises(
        UserError, match=r"a folder, a list or arrays of pictures, got minst, which .*Did you mean 'mnist'"
    ):
        pictures(place("minst"))
    (tmp_path / "twins").mkdir()
    for name in "ab":
        (tmp_path / "twins" / name).mkdir()
        for i in range(4):
            Pillow.fromarray(draw(ord(name) % 3, 0)).save(tmp_path / "twins" / name / f"{i}.png")
    with pytest.raises(UserError, match="different pictures for each split, got none for"):
        pictures(place(tmp_path / "twins"))


def test_seen_is_what_training_saw(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", each=10)
    data = pictures(place(root), side=12)
    trained = {image.numpy().tobytes() for source in data[:3] for image in source.examples.image}
    read = seen(data.facts, [Image.open(root / "a" / "0.png"), Image.open(root / "b" / "1.png")])
    assert read.shape == (2, 1, 12, 12) and read.dtype == torch.uint8
    assert {image.numpy().tobytes() for image in read} <= trained
    digits = pictures(place(), side=16)
    ink = seen(digits.facts, [Image.open(Path(__file__).parents[1] / "pictures" / "3-paper.jpg")])
    rows = (ink[0, 0].amax(1) > 20).nonzero()
    assert ink.shape == (1, 1, 16, 16) and int(rows.max() - rows.min()) + 1 == 13


def test_kinds(tmp_path: Path) -> None:
    assert kind("digits") == "pictures" and sight("mnist")[1] == "mnist is a known set of pictures"
    (tmp_path / "a.csv").write_text("path,price\n/home,3\n")
    assert sight(str(tmp_path / "a.csv")) == ("table", "a.csv has 2 columns")
    assert kind(str(tmp_path / "a.csv")) == "table"
    for name in ("a.npz", "zip.train", "t10k-images-idx3-ubyte.gz"):
        (tmp_path / name).write_bytes(b"")
        assert kind(str(tmp_path / name)) == "pictures"
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a.exe").write_bytes(b"")
    (tmp_path / "none").mkdir()
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "a.png").write_bytes(b"")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "b.csv").write_text("a\n1\n")
    for name, words in [
        ("nowhere", "a folder of pictures or a table, got .*nowhere, which does not exist"),
        ("a.png", "pictures of several classes, got one picture"),
        ("a.exe", "a folder of pictures or a table, got .*of another kind"),
        ("none", "a folder with a folder of pictures for each class"),
        ("loose", "a folder for each class, got .* with pictures of no class"),
        ("tables", r"or a table by its name, got .* with b\.csv"),
    ]:
        with pytest.raises(UserError, match=words):
            kind(str(tmp_path / name))
