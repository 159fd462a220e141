"""Series in files of the user's: what is read, how it is split and encoded, and each thing that can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data.kinds import sight
from milestones.data.look import look
from milestones.data.pictures import pictures
from milestones.data.series import Timed, adding, encoded, series, timed
from milestones.media import Series, read
from milestones.verbs.train import choose


def place(path: Path | str = "", target: str = "", split: str = "", seed: int = 0) -> Place:
    return Place(torch.device("cpu"), seed, choice=Choice(str(path), target, split))


def ts(path: Path, count: int, seed: int = 0, classes: str = "ab", gaps: bool = False) -> Path:
    """Two channels of 5 to 9 steps; class b is higher."""
    rng = np.random.default_rng(seed)
    lines = ["# made", "@problemName made", "@timeStamps false", "@univariate false", "@classLabel true a b", "@data"]
    for i in range(count):
        label, steps = classes[i % len(classes)], int(rng.integers(5, 10))
        rows = rng.normal(2.0 * (i % 2), 1, (2, steps)).round(3)
        cells = [",".join(map(str, row)) for row in rows]
        if gaps and i % 3 == 0:
            cells[1] = "?" + cells[1][cells[1].index(",") :]
        lines.append(":".join([*cells, label]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_archives_pairs_keep_their_split(tmp_path: Path) -> None:
    ts(tmp_path / "Made_TRAIN.ts", 40)
    ts(tmp_path / "Made_TEST.ts", 20, seed=1)
    assert sight(str(tmp_path))[0] == "series" and sight(str(tmp_path / "Made_TEST.ts"))[0] == "series"
    assert choose(str(tmp_path))[:2] == ("lstm", "series")
    data = series(place(tmp_path))
    assert [len(part) for part in data[:3]] == [36, 4, 20]
    facts = json.loads(json.dumps(data.facts, allow_nan=False))
    assert facts["labels"] == ["a", "b"] and facts["channels"] == ["channel 1", "channel 2"]
    assert facts["missing"] == [False, False] and facts["inputs"] == 2 and facts["longest"] == 9
    batch = next(data.test.sweep(20))
    assert isinstance(batch, Timed) and batch.series.shape == (20, int(batch.length.max()), 2)
    originals = Series.open(tmp_path / "Made_TEST.ts")
    for i, one in enumerate(originals):
        assert one.label == facts["labels"][int(batch.label[i])]
        assert np.allclose(batch.series[i, : len(one.values)], one.values, atol=1e-5)
        assert not batch.series[i, len(one.values) :].any()
    steps = np.concatenate([one.values for one in Series.open(tmp_path / "Made_TRAIN.ts")])
    assert np.allclose(facts["mean"], steps.mean(0), atol=0.2)
    shown = look(tmp_path)
    assert shown.usable and shown.counts["test"] == {"a": 10, "b": 10} and "5 to 9 steps" in shown.notes[0]
    assert len(series(place(tmp_path, split="final")).train) == 40


def test_a_page_of_pictures_says_whose_series_are(tmp_path: Path) -> None:
    path = ts(tmp_path / "made.ts", 30)
    with pytest.raises(UserError, match=r"expected pictures, got series in .*They are for lstm: milestones train"):
        pictures(place(path))


def test_missing_values_are_the_mean_and_said_so(tmp_path: Path) -> None:
    data = series(place(ts(tmp_path / "made.ts", 60, gaps=True)))
    facts = data.facts
    assert facts["missing"] == [False, True] and facts["inputs"] == 3
    one = encoded(facts, np.array([[1.0, np.nan], [2.0, 3.0]], np.float32))
    assert np.allclose(one, [[1, facts["mean"][1], 1], [2, 3, 0]])
    assert "values missing in 20 series" in facts["data"]["note"]
    assert torch.isfinite(next(data.train.sweep(100)).series).all()


def table(path: Path, rows: list[list[Any]]) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def test_a_row_for_each_step(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["series", "time", "x", "y", "label"]]
    for i in range(30):
        order = [2, 0, 1] if i % 2 else [0, 1, 2, 3]
        rows += [[f"s{i}", t, 10 * i + t, "" if t == 1 else -t, "up" if i % 2 else "down"] for t in order]
    path = table(tmp_path / "long.csv", rows)
    assert sight(str(path))[0] == "series"
    found = Series.open(path)
    assert len(found) == 30 and found[1].channels == ("x", "y")
    assert found[1].values[:, 0].tolist() == [10, 11, 12], "in the order of time"
    assert np.isnan(found[1].values[1, 1]) and found[0].values.shape == (4, 2)
    data = series(place(path))
    assert data.facts["labels"] == ["down", "up"] and sum(len(part) for part in data[:3]) == 30
    again = timed(data.facts, [Series(found[0].values[:, ::-1], ("y", "x"))])
    assert torch.equal(again.series, timed(data.facts, found[:1]).series), "channels by name, in any order"


def test_a_row_for_each_series(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["id", "x_1", "x_2", "y_1", "y_2", "kind", "split"]]
    rows += [[i, i, i + 1, -i, "", "ab"[i % 2], ["train", "train", "test", "test", "valid", "valid"][i % 6]]
             for i in range(24)]  # fmt: skip
    path = table(tmp_path / "wide.csv", rows)
    assert sight(str(path))[0] == "table", "for lstm it is series all the same"
    data = series(place(path, "kind"))
    assert [len(part) for part in data[:3]] == [8, 8, 8]
    assert data.facts["channels"] == ["x", "y"]
    first = next(data.train.sweep(1)).series[0]
    assert first[:, 0].tolist() == [0, 1] and first.shape[1] == 3
    plain = table(tmp_path / "plain.csv", [["a", "b", "c", "label"], [1, 2, "", "u"], [4, "", 6, "v"]])
    one, two = Series.open(plain)
    assert one.values[:, 0].tolist() == [1, 2] and np.isnan(two.values[1, 0]) and two.label == "v"
    assert isinstance(read(plain, (Series,))[0], Series)


def test_arrays(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 7, 2)).astype(np.float32)
    x[0, 5:] = np.nan
    path = tmp_path / "made.npz"
    np.savez(path, x=x, y=np.arange(30) % 3, length=np.full(30, 6))
    assert sight(str(path))[0] == "series"
    found = Series.open(path)
    assert [len(one.values) for one in found[:2]] == [5, 6] and found[4].label == "1"
    np.savez(path, train_x=x, train_y=np.arange(30) % 3, test_x=x[:9] + 1, test_y=np.arange(9) % 3)
    data = series(place(path))
    assert len(data.test) == 9 and len(data.train) + len(data.valid) == 30
    np.savez(path, x=np.zeros((9, 28, 28), np.float32), y=np.arange(9))
    assert sight(str(path))[0] == "pictures"


@pytest.mark.parametrize(("line", "texts"), {
    "no number": ("1,x,3:1,2,3:a", ["numbers between commas", "line 10"]),
    "infinite": ("1,inf,3:1,2,3:a", ["numbers between commas"]),
    "unequal channels": ("1,2,3:1,2:a", ["2 channels of one length in each series, got 2 of 2 and 3 in"]),
    "one channel": ("1,2,3:a", ["2 channels of one length", "got 1 of 3 in"]),
    "no class": ("1,2,3:1,2,3:", ["a class for each series, got none in", "line 10"]),
    "no steps": ("?,?:?,?:a", ["1 to 100,000 steps of up to 1000 channels", "0 steps of 2 channels in"]),
}.values(), ids=lambda value: "")  # fmt: skip
def test_a_line_that_is_wrong_is_named(line: str, texts: list[str], tmp_path: Path) -> None:
    path = ts(tmp_path / "made.ts", 30)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], line, *lines[9:], line]))
    with pytest.raises(UserError) as problem:
        series(place(path))
    assert all(text in str(problem.value) for text in texts), str(problem.value)
    assert "1 more problems, listed by: milestones data" in str(problem.value), "counted"
    assert len(look(path).problems) == 2, "listed once, each"


def raised(path: Path, target: str = "", split: str = "") -> str:
    with pytest.raises(UserError) as problem:
        series(place(path, target, split))
    return str(problem.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "made.ts"
    path.write_text("@problemName nothing\n")
    assert "a line @data and series below it" in raised(path)
    path.write_text("@timeStamps true\n@data\n(1,2):a\n")
    assert "series without time stamps" in raised(path)
    path.write_bytes(b"@data\n1,2,\xff:a\n")
    assert "series in UTF-8, got byte 0xff in" in raised(path) and "line 2, byte 5" in raised(path)
    assert "a .ts file, got" in raised(tmp_path / "none.ts")
    path.write_text("@classLabel true a b\n@data\n")
    assert "at least one series, got none" in raised(path)
    assert "a file of series, got" in raised(tmp_path / "made.xyz")
    (tmp_path / "empty").mkdir()
    assert "files of series in the folder, got none" in raised(tmp_path / "empty")
    ts(path, 20, classes="a")
    assert "series of at least two classes, got a in" in raised(path)
    ts(tmp_path / "empty" / "M_TRAIN.ts", 20)
    ts(tmp_path / "empty" / "M_TEST.ts", 9, classes="abc")
    assert "in test only classes of train, got 'c' in" in raised(tmp_path / "empty")
    other = tmp_path / "empty" / "M_TEST.ts"
    other.write_text("@classLabel true a b\n@data\n1,2:a\n")
    assert "1 channels in all series, as in the first, got 2 in" in raised(tmp_path / "empty")
    ts(other, 9)
    (tmp_path / "empty" / "M_TRAIN.ts").unlink()
    assert "at least two classes, got none" in raised(tmp_path / "empty")


def test_tables_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    table(path, [["series", "time", "x", "label"], ["a", 0, 1, "u"], ["a", 1, 2, "v"]])
    assert "one class and one split (train, valid or test) for a series, got u, v in" in raised(path)
    table(path, [["series", "time", "x", "label"], ["a", 0, 1, "u"], ["a", "soon", 2, "u"]])
    assert "a number in each row of 'time', got 'soon' in" in raised(path) and "line 3" in raised(path)
    table(path, [["series", "time", "x", "label"], ["a", 0, "much", "u"]])
    assert "finite numbers, empty where one is missing, got" in raised(path)
    table(path, [["series", "time", "label"], ["a", 0, "u"]])
    assert "columns of numbers, got none in" in raised(path)
    table(path, [["series", "time", "x", "kind"], ["a", 0, 1, "u"]])
    assert "the target column 'kin', got columns series, time" in raised(path, "kin")
    assert "Did you mean 'kind'" in raised(path, "kin")


def test_arrays_that_are_wrong(tmp_path: Path) -> None:
    path, x, y = tmp_path / "made.npz", np.zeros((9, 4, 2), np.float32), np.arange(9)
    for arrays, text in [
        ({"z": x}, "a .npz with x (series x steps x channels) and y"),
        ({"x": x, "y": y[:3]}, "a class for each of 9 series, whole numbers or texts, got (3,)"),
        ({"x": x, "y": y, "length": y / 2}, "a length for each of 9 series, got (9,) of float64"),
        ({"x": x[..., None], "y": y}, "numbers, series x steps x channels, got (9, 4, 2, 1)"),
        ({"x": x + np.inf, "y": y}, "finite values, NaN where one is missing, got infinity"),
        ({"x": np.array([None] * 9), "y": y}, "it holds Python objects"),
    ]:
        np.savez(path, **arrays)
        assert text in raised(path), text
    path.write_bytes(b"PK nothing")
    assert "Save it again with numpy.savez" in raised(path)


def test_arrays_too_large_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.media.npz.LARGEST", 100)
    np.savez(tmp_path / "made.npz", x=np.zeros((9, 4, 2)), y=np.arange(9))
    assert "at most 100 bytes of arrays, got" in raised(tmp_path / "made.npz")


def test_a_series_to_use_has_the_channels_of_the_run(tmp_path: Path) -> None:
    facts = series(place(ts(tmp_path / "made.ts", 60))).facts
    with pytest.raises(UserError, match="series with channels as in training: channel 1, channel 2"):
        timed(facts, [Series(np.zeros((4, 3), np.float32), ("a", "b", "c"))])


def test_the_adding_problem_is_what_it_says() -> None:
    data = adding(place(), 40, 64)
    for batch in (data.train.batch(0, 32), next(data.test.sweep(100))):
        marked = batch.series[..., 1] > 0
        assert (marked[:, :20].sum(1) == 1).all() and (marked[:, 20:].sum(1) == 1).all()
        assert torch.allclose((batch.series[..., 0] * marked).sum(1), batch.label)
    assert torch.equal(data.train.batch(3, 8).series, adding(place(), 40, 64).train.batch(3, 8).series)
    assert not torch.equal(data.train.batch(0, 64).series, data.train.batch(1, 64).series), "an epoch later, others"
    assert float(data.test.examples.label.var()) == pytest.approx(1 / 6, abs=0.02), "of two uniform numbers"  # type: ignore[attr-defined]
