"""`look` collects all that is wrong, file by file, counts duplicates across splits, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from milestones.core.errors import UserError
from milestones.data.look import look


@pytest.fixture(autouse=True)
def nothing_at_hand(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILESTONES_DATA", raising=False)
    monkeypatch.setattr("milestones.data.pictures.DEBIAN", home / "no-debian")


def photo(k: int, i: int) -> np.ndarray:
    return np.random.default_rng([k, i]).integers(0, 256, (16, 16), np.uint8).repeat(4, 0).repeat(4, 1)


def folder(root: Path, classes: str = "ab", each: int = 10, start: int = 0) -> Path:
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(start, start + each):
            Pillow.fromarray(photo(k, i)).save(root / name / f"{i}.png")
    return root


def test_a_good_folder(tmp_path: Path) -> None:
    found = look(folder(tmp_path / "photos"))
    assert found.usable and found.kind == "pictures"
    assert found.counts == {"train": {"a": 8, "b": 8}, "valid": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    assert len(found.examples) == 3 and found.examples[0].endswith("is 'a'")
    lines = found.lines()
    assert lines[0].endswith("photos: pictures, because it holds 2 folders (a, b)")
    assert "  train: 16 (a 8, b 8)" in lines and lines[-1] == "  can be trained on"
    assert not any("near-duplicates" in line for line in lines)
    assert json.loads(json.dumps(found.plain()))["usable"] is True


def test_all_that_is_wrong_is_collected(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos")
    (root / "empty").mkdir()
    (root / "a" / "0.png").write_text("a letter")
    content = (root / "b" / "3.png").read_bytes()
    (root / "b" / "3.png").write_bytes(content[: len(content) // 2])
    (root / "b" / "same.png").write_bytes((root / "a" / "5.png").read_bytes())
    (root / "a" / "copy.png").write_bytes((root / "a" / "6.png").read_bytes())
    (root / "a" / "Thumbs.db").write_bytes(b"")
    before = sorted((file, file.stat().st_mtime_ns) for file in root.rglob("*"))
    found = look(root)
    assert sorted((file, file.stat().st_mtime_ns) for file in root.rglob("*")) == before
    text = "\n".join(found.problems)
    for words in ("none in", "0.png, which is a text file", "3.png, which is truncated or damaged",
                  "each picture in one class, got"):  # fmt: skip
        assert words in text
    assert len(found.problems) == 4 and not found.usable
    assert found.duplicates["files with the content of another"] == 2
    assert any("1 .db" in note for note in found.notes)
    assert found.lines()[-1] == "  4 problems to mend before training"


def test_near_duplicates_across_splits(tmp_path: Path) -> None:
    root = folder(tmp_path / "set" / "train")
    folder(tmp_path / "set" / "test", each=4, start=50)
    folder(tmp_path / "set" / "val", each=2, start=70)
    near = photo(0, 3).astype(int) + np.random.default_rng(0).integers(-6, 7, (64, 64))  # as another JPEG would be
    Pillow.fromarray(near.clip(0, 255).astype(np.uint8)).save(tmp_path / "set" / "test" / "a" / "near.png")
    Pillow.fromarray(255 - photo(0, 4)).save(tmp_path / "set" / "test" / "a" / "other.png")
    (tmp_path / "set" / "test" / "b" / "same.png").write_bytes((root / "b" / "1.png").read_bytes())
    found = look(tmp_path / "set")
    assert found.counts["test"] == {"a": 6, "b": 5}
    assert [count for what, count in found.duplicates.items() if what.startswith("near")] == [0, 2]
    assert "  2 near-duplicates: test pictures that look like one of train or valid" in found.lines()


def test_many_problems_are_cut_on_the_terminal_only(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", each=30)
    for i in range(25):
        (root / "a" / f"{i}.png").write_text("?")
    found = look(root)
    assert len(found.plain()["problems"]) == 25
    assert "  and 5 more problems" in found.lines()


def test_one_class_missing_files_and_bad_arrays_are_findings(tmp_path: Path) -> None:
    assert "at least two classes" in look(folder(tmp_path / "one", "a")).problems[0]
    (tmp_path / "list.csv").write_text("path,label\nno.png,a\nneither.png,b\n")
    assert "got 2 of 2 missing" in look(tmp_path / "list.csv").problems[0]
    np.savez(tmp_path / "a.npz", image=np.zeros((4, 2, 2)), label=np.zeros(4, int))
    assert "at least two classes" in look(tmp_path / "a.npz").problems[0]
    (tmp_path / "b.npz").write_bytes(b"no")
    assert "a .npz with image and label" in look(tmp_path / "b.npz").problems[0]
    with pytest.raises(UserError, match="which does not exist"):
        look(tmp_path / "nothing")


def test_a_known_set() -> None:
    found = look("digits")
    assert found.usable and sum(found.counts["test"].values()) == 1000
    assert any("MNIST training images" in note for note in found.notes)
    assert "milestones data mnist --download" in look("mnist").problems[0]


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("size,town,price\n" + "".join(f"{i % 7 or ''},{'xyz'[i % 3]},{i % 9}.5\n" for i in range(63)) * 2)
    plain = look(path)
    assert plain.counts == {"all": {"rows": 126}} and plain.duplicates == {"rows equal to an earlier one": 63}
    assert plain.columns[0] == "size: 7 different, 18 missing"
    assert "--target price" in plain.notes[0]
    full = look(path, "price")
    assert sum(full.counts[split]["rows"] for split in full.counts) == 126
    assert full.columns[1] == "town: category, 3 categories" and "missing in train" in full.columns[0]
    assert "Did you mean 'price'" in look(path, "prise").problems[0]
    path.write_text("a,b\n1\n")
    assert "2 columns in each row" in look(path).problems[0]
