"""Runs as the studio reads them: cheap for huge logs, told where they are thinned, deleted with a way back."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from milestones.core.errors import UserError
from milestones.core.folder import held
from milestones.studio import comparison, curves
from milestones.studio.archive import name_of, packed
from milestones.studio.collection import bound, several, told
from milestones.studio.curves import Curves, gridded, rows
from milestones.studio.library import Library, finite
from milestones.studio.trash import Trash


def made(root: Path, name: str, lines: int = 0, seed: int = 0, **config: Any) -> Path:
    """A run folder; line i of its log has loss 1 / i, and every thousandth valid_loss."""
    folder = root / name
    folder.mkdir(parents=True)
    begun = {"format": 1, "system": name.rpartition("-")[0], "config": config, "seed": seed, "began": float(seed)}
    (folder / "config.json").write_text(json.dumps(begun))
    (folder / "status.json").write_text('{"format": 1, "state": "finished", "step": 3, "updated": 1}')
    with open(folder / "log.jsonl", "w") as file:
        for i in range(1, lines + 1):
            row = {"stage": "train", "step": i, "seconds": i / 100, "loss": 1 / i}
            file.write(json.dumps({**row, "valid_loss": 2 / i} if i % 1000 == 0 else row) + "\n")
    return folder


def report(folder: Path, value: float, **more: Any) -> None:
    score = {"value": value, "low": value - 1, "high": value + 1, "unit": "%", "better": "lower", "data": "digits",
             "split": "test", "over": 100, **more}  # fmt: skip
    (folder / "report.json").write_text(json.dumps({"format": 1, "scores": {"error": score}, "seconds": 2.0}))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 100,000 lines."""
    return made(tmp_path_factory.mktemp("long"), "lenet-1", 100_000) / "log.jsonl"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "runs")


def test_a_summary_is_read_again_only_when_a_file_changed(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(library.root, "lenet-1")
    asked = []
    real = json.loads
    monkeypatch.setattr(json, "loads", lambda *words, **named: asked.append(1) or real(*words, **named))
    before = {line["run"]: line for line in library.listed()}["lenet-1"]
    assert before["state"] == "finished" and asked
    asked.clear()
    library.listed()
    assert asked == []
    (folder / "status.json").write_text('{"format": 1, "state": "stopped", "step": 44, "updated": 1}')
    assert {line["run"]: line for line in library.listed()}["lenet-1"]["step"] == 44


def test_a_run_of_no_such_id(library: Library) -> None:
    made(library.root, "lenet-1")
    assert library.folder("lenet-1").name == "lenet-1"
    for run in ("lenet-2", "../lenet-1", "lenet-1/../lenet-1", "..\\lenet-1", "/etc", ""):
        with pytest.raises(UserError, match="a run of this studio"):
            library.folder(run)
    (library.root / "lenet-1").rename(library.root / "gone")
    with pytest.raises(UserError, match="Reload the list"):
        library.folder("lenet-1")


def test_a_sample_that_is_none(library: Library) -> None:
    folder = made(library.root, "lenet-1")
    (folder / "shows").mkdir()
    (folder / "shows" / "train-00000010-filters.txt").write_text("seen")
    assert library.show("lenet-1", "train-00000010-filters.txt") == b"seen"
    with pytest.raises(UserError, match="a sample of this run"):
        library.show("lenet-1", "../config.json")


def test_figures_that_json_does_not_have_become_none(library: Library) -> None:
    folder = made(library.root, "lenet-1")
    (folder / "log.jsonl").write_text(
        '{"step": 1, "loss": NaN}\n{"step": 2, "loss": 1e999}\nno json\n{"step": 3, "loss": 1}\n'
    )
    read, _ = library.tail("lenet-1", 0)
    assert [row["loss"] for row in read] == [None, None, 1]
    assert finite([{"a": math.inf}]) == [{"a": None}]
    drawn = library.drawn(["lenet-1"], "loss", "step", -math.inf, math.inf)
    assert (drawn["x"], drawn["curves"][0]["y"]) == ([3], [1])
    assert json.loads(told({"rows": library.log("lenet-1")[0]}).body)["rows"][1]["loss"] is None
    (folder / "report.json").write_text('{"format": 1, "scores": {"a": {"value": 1e999, "low": 0, "high": 0}, "b": 3}}')
    assert next(line for line in library.listed() if line["run"] == "lenet-1")["scores"] == {}


def test_a_short_log_is_drawn_exactly(library: Library) -> None:
    made(library.root, "lenet-1", 50)
    made(library.root, "lenet-2", 20)
    drawn = library.drawn(["lenet-1", "lenet-2"], "loss", "step", -math.inf, math.inf)
    assert drawn["x"] == list(range(1, 51)) and drawn["thinned"] == []
    assert drawn["curves"][0]["y"] == [1 / i for i in range(1, 51)]
    assert drawn["curves"][1]["y"][18:22] == [1 / 19, 1 / 20, None, None]
    assert drawn["names"] == ["loss"]


def test_a_long_log_is_thinned_and_says_so(long: Path) -> None:
    store = Curves()
    drawn = store.drawn({"a": long, "b": long.with_name("none")}, "loss")
    y = [value for value in drawn["curves"][0]["y"] if value is not None]
    assert drawn["thinned"] == ["a"] and len(drawn["x"]) == curves.POINTS
    assert y[0] == 1 and y[-1] == pytest.approx(1 / 100_000)  # the first line and the last
    assert drawn["x"][0] == 1 and drawn["x"][-1] == 100_000
    assert store.bytes < 0.6 * long.stat().st_size


def test_the_work_for_a_curve_does_not_grow_with_its_log(tmp_path: Path, long: Path) -> None:
    read = []
    for path in (made(tmp_path, "lenet-1", 25_000) / "log.jsonl", long):
        store = Curves()
        kept = store._known(path, 1000)
        assert kept is not None and kept.thinned and len(kept.sheet.at) >= 900
        read.append(store.bytes)
        assert store._known(path, 1000) is kept and store.bytes == read[-1]  # again: nothing is read
    assert max(read) < 1000 * 256 + 3 * curves.LONGEST and abs(read[1] - read[0]) < 0.2 * read[0]


def test_a_log_that_grew_is_read_from_where_it_ended(tmp_path: Path, long: Path) -> None:
    path = Path(shutil.copy(long, tmp_path))
    store = Curves()
    store.drawn({"a": path}, "loss")
    before = store.bytes
    with open(path, "a") as file:
        file.write('{"stage": "train", "step": 100001, "loss": 7.5}\n{"stage": "train", "step": 100002, "lo')
    drawn = store.drawn({"a": path}, "loss")
    assert max(y for y in drawn["curves"][0]["y"][500:] if y is not None) == 7.5
    assert store.bytes - before < 2 * curves.LONGEST
    path.write_text('{"stage": "train", "step": 1, "loss": 3}\n')  # cut back by a resumed run
    assert store.drawn({"a": path}, "loss")["curves"][0]["y"] == [3]


def test_a_peak_between_is_kept_by_the_buckets() -> None:
    xs, ys = list(range(10_000)), [0.0] * 10_000
    ys[4321], ys[4325] = 9.0, -9.0
    x, (column, flat), cut = gridded([(xs, ys), (xs[:5000], [1.0] * 5000)])
    spot = column.index(9.0)
    assert cut and column[spot + 1] == -9.0 and abs(x[spot] - 4323) < 20
    assert len(x) == curves.POINTS and all(value is None for value in flat[510:])


def test_a_zoom_reads_the_lines_of_its_range(long: Path) -> None:
    store = Curves()
    store.drawn({"a": long}, "loss")
    before = store.bytes
    drawn = store.drawn({"a": long}, "loss", "step", 50_000, 50_400)
    assert drawn["x"] == list(range(50_000, 50_401)) and drawn["thinned"] == []
    assert store.bytes - before < 100_000
    assert store.drawn({"a": long}, "loss", "seconds", 500.0, 500.1)["x"] == [s / 100 for s in range(50_000, 50_011)]


def test_a_rare_quantity_of_a_thinned_log_is_whole(long: Path) -> None:
    store = Curves()
    drawn = store.drawn({"a": long}, "valid_loss")
    assert drawn["x"] == list(range(1000, 100_001, 1000)) and drawn["thinned"] == []
    before = store.bytes
    store.drawn({"a": long}, "valid_loss")
    assert store.bytes == before
    found, end = rows(long)
    assert end == long.stat().st_size and len(found) < 6000
    assert sum("valid_loss" in row for row in found) == 100 and found == sorted(found, key=lambda row: row["step"])


def test_stages_are_curves_of_their_own(library: Library) -> None:
    folder = made(library.root, "parity-1")
    with open(folder / "log.jsonl", "w") as file:
        for stage in ("one", "two"):
            for step in range(3):
                file.write(json.dumps({"stage": stage, "step": step, "loss": step}) + "\n")
        file.write('[1]\n{"stage": "two"}\n{"stage": "two", "step": "x", "loss": 1}\n')
    drawn = library.drawn(["parity-1"], "loss", "step", -math.inf, math.inf)
    assert [(c["stage"], c["y"]) for c in drawn["curves"]] == [("one", [0, 1, 2]), ("two", [0, 1, 2])]


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "CELLS", 30_000)
    store = Curves()
    for i in range(8):
        store._known(made(tmp_path, f"lenet-{i + 1}", 2000) / "log.jsonl", 1000)
    assert 1 <= len(store._kept) < 8 and sum(kept.cells for kept in store._kept.values()) <= 30_000


def test_a_log_that_is_a_link_is_not_followed(library: Library, tmp_path: Path) -> None:
    folder = made(library.root, "lenet-1")
    (tmp_path / "secret").write_text('{"step": 1, "loss": 42}\n')
    (folder / "log.jsonl").unlink()
    (folder / "log.jsonl").symlink_to(tmp_path / "secret")
    assert library.drawn(["lenet-1"], "loss", "step", -math.inf, math.inf)["curves"] == []
    assert library.log("lenet-1") == ([], 0)


def test_groups_of_seeds_and_what_differs(library: Library) -> None:
    for number, (seed, lr, value) in enumerate([(0, 0.1, 3.0), (1, 0.1, 5.0), (0, 0.2, 9.0)], 1):
        report(made(library.root, f"lenet-{number}", seed=seed, lr=lr, batch=8), value, paper=4, paper_data="digits")
    found = comparison.compared(library, ["lenet-1", "gone-1", "lenet-2", "lenet-3"])
    assert found["differ"] == ["lr"] and found["names"] == ["error"]
    two, one = found["groups"]
    assert two["runs"] == ["lenet-1", "lenet-2"] and two["settings"] == {"lr": 0.1}
    assert two["scores"]["error"]["mean"] == 4
    assert two["scores"]["error"]["low"] < 3 < 5 < two["scores"]["error"]["high"]  # Student's, of two
    assert one["scores"]["error"]["value"] == 9 and one["scores"]["error"]["comparable"]


def test_a_deleted_run_comes_back(library: Library) -> None:
    folder = made(library.root, "lenet-1", 3)
    trash = Trash(library)
    told = trash.add("lenet-1")
    assert not folder.exists() and told["where"].startswith("runs/.studio/trash/")
    assert (library.root.parent / told["where"] / "log.jsonl").is_file()
    assert [item["run"] for item in trash.listed()] == ["lenet-1"]
    assert not any(line["run"] == "lenet-1" for line in library.listed())
    made(library.root, "lenet-1")  # a training took the name meanwhile
    assert trash.restore(told["id"]) == "lenet-2"
    assert (library.root / "lenet-2" / "log.jsonl").stat().st_size and trash.listed() == []
    for ident in (told["id"], "..", "1-" + 16 * "0", "../../x"):
        with pytest.raises(UserError, match="a deleted run of this studio"):
            trash.restore(ident)


def test_what_cannot_be_deleted(library: Library) -> None:
    folder = made(library.root, "lenet-1")
    trash = Trash(library)
    with pytest.raises(UserError, match="which ships with the program"):
        trash.add("shipped:lenet")
    (folder / "lock").touch()
    with held(folder), pytest.raises(UserError, match="a run that no process works on"):
        trash.add("lenet-1")
    (library.root / ".studio").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="to move lenet-1 to the deleted runs"):
        trash.add("lenet-1")
    assert folder.is_dir()


def test_a_run_that_cannot_come_back_stays_where_it_is(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    made(library.root, "lenet-1")
    trash = Trash(library)
    told = trash.add("lenet-1")

    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(UserError, match="It stays among the deleted runs"):
        trash.restore(told["id"])


def test_a_run_is_packed_without_links(library: Library, tmp_path: Path) -> None:
    folder = made(library.root, "lenet-1", 5000)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("secret")
    (folder / "linked").symlink_to(tmp_path / "secret")
    (folder / "file").symlink_to(tmp_path / "secret" / "file")
    (folder / "lock").touch()
    (folder / ".aside").touch()
    os.mkfifo(folder / "pipe")
    (folder / "shows").mkdir()
    (folder / "shows" / "train-1-a.txt").write_text("sample")
    (folder / "weights.safetensors").write_bytes(os.urandom(600_000))
    pieces = list(packed(folder))
    assert len(pieces) > 3 and max(map(len, pieces)) < 1 << 20
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as zipped:
        assert zipped.testzip() is None
        assert sorted(zipped.namelist()) == [
            f"lenet-1/{name}" for name in
            ("config.json", "log.jsonl", "shows/train-1-a.txt", "status.json", "weights.safetensors")]  # fmt: skip
        assert zipped.read("lenet-1/weights.safetensors") == (folder / "weights.safetensors").read_bytes()
    assert name_of(Path('runs/a"b\r\n-1')) == "a_b__-1.zip"


def test_questions_about_many_runs() -> None:
    assert several("a,b,,a") == ["a", "b"] and bound("", 3) == 3 and bound("1e3", 0) == 1000
    with pytest.raises(UserError, match="at most 500 runs at once"):
        several(",".join(map(str, range(501))))
    for word in ("x", "nan"):
        with pytest.raises(UserError, match="a range of two numbers"):
            bound(word, 0)
