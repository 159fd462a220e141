"""Films with a label a frame: drawn ones, the user's own, what is wrong with them, and the page that reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data.clips import LONGEST, clips, listed
from milestones.data.kinds import sight
from milestones.data.look import look
from milestones.data.moving import BRIEF, DEEDS, LARGE, LONG, SIDE, SMALL, drawn, scripts
from milestones.media import Video, read
from milestones.media.bands import COLOURS, HIGH, NAME, bands
from milestones.parts.places import Places, change
from milestones.systems.frames import FrameNet, Judged, Knobs, confusion, error, prepare, since
from milestones.verbs.train import choose

WORDS = ("dark", "light")


def place(data: object = "", **more: str) -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(data) if data else "", **more))


# ---- drawn films


def test_each_frame_has_what_changed_since_the_one_before() -> None:
    script = scripts(200, 40, keyed("test"))
    dx, dy, ds, da = (field.diff(dim=1) for field in (script.x, script.y, script.size, script.there))
    signs = {"left": (dx, -1), "right": (dx, 1), "up": (dy, -1), "down": (dy, 1), "growing": (ds, 1),
             "shrinking": (ds, -1), "appearing": (da, 1), "disappearing": (da, -1)}  # fmt: skip
    moved = torch.zeros(200, 39)
    for name, (by, sign) in signs.items():
        at = script.deed[:, 1:] == DEEDS.index(name)
        assert at.any() and (sign * by[at] > 0).all(), name
        moved += (sign * by > 0) & at
    changes = sum(by.abs() > 0 for by in (dx, dy, ds, da))
    assert torch.equal(changes, (script.deed[:, 1:] != 0).long()), "nothing but what the label says"
    assert torch.equal(script.deed[:, 0], script.deed[:, 1])


def test_the_figure_stays_inside_and_of_a_fit_size() -> None:
    script = scripts(300, 60, keyed("test", 2))
    for at in (script.x, script.y):
        assert (at - script.size >= 0.99).all() and (at + script.size <= SIDE - 0.99).all()
    assert float(script.size.min()) >= SMALL - 1e-4 and float(script.size.max()) <= LARGE + 1e-4
    assert set(script.there[:, -1].unique().tolist()) >= {0.0, 1.0}
    lengths = [len(run) for row in script.deed[:, 1:].tolist() for run in runs(row)[1:-1]]
    assert min(lengths) >= BRIEF and max(lengths) <= LONG


def runs(row: list[int]) -> list[list[int]]:
    out = [[row[0]]]
    for item in row[1:]:
        out[-1].append(item) if item == out[-1][-1] else out.append([item])
    return out


def test_a_film_shows_its_script() -> None:
    """The figure is where the script has it: there frames differ most from the ground."""
    script = scripts(60, 12, keyed("test", 3))
    frames = drawn(script, keyed("test", 4))[:, :, 0].float()
    there = script.there == 1
    x, y = script.x[there].long(), script.y[there].long()
    shown = frames[there]
    middle = shown[torch.arange(len(x)), y, x]
    ground = shown.flatten(1).median(1).values
    assert float(((middle - ground).abs() > 40).float().mean()) > 0.95
    gone = script.there == 0
    if gone.any():
        x, y = script.x[gone].long(), script.y[gone].long()
        middle = frames[gone][torch.arange(len(x)), y, x]
        assert float(((middle - frames[gone].flatten(1).median(1).values).abs() < 40).float().mean()) > 0.7


def test_drawn_films_are_the_same_anywhere() -> None:
    one, two = (clips(place(), 40) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.train.batch(3, 8), two.train.batch(3, 8), strict=True))
    frames = [next(source.sweep(400)).frames for source in one[:3]]
    assert not torch.equal(frames[0][:40], frames[1][:40]) and len(frames[2]) == 400
    assert "synthetic" in one.test.name and "synthetic" in one.facts["data"]["note"]


# ---- the user's own


def film(path: Path, lights: list[bool], seed: int = 0) -> None:
    """A film of dark and light frames, 20 high and 30 wide; a GIF, a WebP, or a folder of pictures."""
    rng = np.random.default_rng([seed, len(lights)])
    frames = [(rng.integers(0, 60, (20, 30, 3)) + 180 * light).astype(np.uint8) for light in lights]
    if path.suffix:
        pictures = [Pillow.fromarray(frame) for frame in frames]
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
        return
    path.mkdir(parents=True)
    for k, frame in enumerate(frames):
        Pillow.fromarray(frame).save(path / f"shot{k + 1}.png")  # shot10 comes after shot9


def lights(k: int, count: int = 12) -> list[bool]:
    return [(t // (2 + k % 3)) % 2 == 1 for t in range(count)]


def written(path: Path, rows: list[list[object]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def manifest(root: Path, count: int = 10, first: int = 0, suffix: str = ".webp") -> Path:
    """Films and labels.csv with a row a frame."""
    rows: list[list[object]] = [["file", "frame", "label"]]
    for k in range(count):
        film(root / f"f{k}{suffix}", lights(k), k)
        rows += [[f"f{k}{suffix}", t + first, WORDS[light]] for t, light in enumerate(lights(k))]
    return written(root / "labels.csv", rows)


def right(data: object) -> bool:
    """Whether the labels are those of the light of the frames, and all frames are there."""
    light, dark = (data.facts["labels"].index(word) + 1 for word in ("light", "dark"))  # type: ignore[attr-defined]
    total = 0
    for source in data[:3]:  # type: ignore[index]
        for batch in source.sweep(4):
            bright = batch.frames.float().mean((2, 3, 4)) > 120
            inside = torch.arange(bright.shape[1]) < batch.length[:, None]
            want = torch.where(bright, light, dark) * inside
            assert torch.equal(batch.label, want)
            total += int(inside.sum())
    return total == 120


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("suffix", [".webp", ".gif", ""])
def test_a_table_of_files_frames_and_labels(tmp_path: Path, suffix: str, first: int) -> None:
    table = manifest(tmp_path, first=first, suffix=suffix)
    assert sight(str(tmp_path))[0] == sight(str(table))[0] == "frames"
    data = clips(place(tmp_path), 0, 16)
    assert right(data) and [len(source) for source in data[:3]] == [8, 1, 1]
    assert f"frames are counted from {first}" in data.facts["data"]["note"]
    assert data.facts["channels"] == 1 and data.facts["side"] == 16
    assert right(clips(place(table), 0, 16, colour=True))


def test_ranges_json_lines_and_a_split_of_its_own(tmp_path: Path) -> None:
    lines = []
    for k in range(10):
        film(tmp_path / f"f{k}.webp", lights(k), k)
        begin = 1
        for run in runs([int(light) for light in lights(k)]):
            span = f"{begin}-{begin + len(run) - 1}"
            split = ("train", "val", "test")[max(0, k - 7)]
            lines.append(json.dumps({"video": f"f{k}.webp", "frames": span, "label": WORDS[run[0]], "split": split}))
            begin += len(run)
    (tmp_path / "films.jsonl").write_text("\n".join(lines) + "\n")
    data = clips(place(tmp_path / "films.jsonl"), 0, 16)
    assert right(data) and [len(source) for source in data[:3]] == [8, 1, 1]
    assert "split: its own" in data.facts["data"]["note"]
    with pytest.raises(UserError, match="whose films have splits of their own"):
        clips(place(tmp_path / "films.jsonl", split="60/20/20"), 0, 16)


def test_folders_of_pictures_each_with_its_labels(tmp_path: Path) -> None:
    for k in range(10):
        folder = tmp_path / f"clip{k}"
        film(folder, lights(k), k)
        rows = [[f"shot{t + 1}.png", WORDS[light]] for t, light in enumerate(lights(k))]
        written(folder / "labels.csv", [["frame", "label"], *rows])
    kind, reason = sight(str(tmp_path))
    assert kind == "frames" and "clip0/labels.csv" in reason
    assert right(clips(place(tmp_path), 0, 16))
    one = read(tmp_path / "clip0", (Video,))
    assert len(one) == 1 and isinstance(one[0], Video) and one[0].frames.shape == (12, 20, 30, 3)
    assert [bool(frame.mean() > 120) for frame in one[0].frames] == lights(0), "shot10 after shot9"


def test_films_with_a_table_beside_each_in_folders_of_splits(tmp_path: Path) -> None:
    for k in range(10):
        split = tmp_path / ("train", "valid", "test")[max(0, k - 7)]
        film(split / f"f{k}.gif", lights(k), k)
        written(split / f"f{k}.csv", [["frame", "label"], *[[t, WORDS[x]] for t, x in enumerate(lights(k))]])
    data = clips(place(tmp_path), 0, 16)
    assert right(data) and [len(source) for source in data[:3]] == [8, 1, 1]


def test_frames_without_a_label_are_counted_and_long_films_cut(tmp_path: Path) -> None:
    rows: list[list[object]] = [["file", "frame", "label"]]
    for k in range(4):
        film(tmp_path / f"f{k}.webp", lights(k, 150), k)
        rows += [[f"f{k}.webp", t, WORDS[light]] for t, light in enumerate(lights(k, 150)) if t % 3 == 0]
    written(tmp_path / "labels.csv", rows)
    data = clips(place(tmp_path), 0, 16)
    assert "4 films, 600 frames" in data.facts["data"]["note"]
    assert "400 without a label, not counted" in data.facts["data"]["note"]
    batches = [next(source.sweep(10)) for source in data[:3]]
    assert sum(int((batch.label > 0).sum()) for batch in batches) == 200
    assert all(batch.length.tolist() == [75, 75] * (len(batch.film) // 2) for batch in batches) and LONGEST < 150
    assert len(batches[0].film.unique()) == 2, "pieces of a film stay in one split"


def test_what_milestones_data_says(tmp_path: Path) -> None:
    manifest(tmp_path)
    found = look(tmp_path)
    assert found.kind == "frames" and found.usable
    assert sum(found.counts["train"].values()) == 96
    assert choose(str(tmp_path)).page == "frames"
    film(tmp_path / "loose.webp", lights(1), 99)
    assert any("loose.webp" in note for note in look(tmp_path).notes)
    with open(tmp_path / "labels.csv", "a") as file:
        file.write("f0.webp,99,dark\nf1.webp,x,dark\n")
    found = look(tmp_path)
    assert not found.usable and len(found.problems) == 2


Change = Callable[[Path], object]


def lines(change: Callable[[list[str]], list[str]]) -> Change:
    """Changes labels.csv."""
    return lambda root: (root / "labels.csv").write_text(
        "\n".join(change((root / "labels.csv").read_text().split())) + "\n"
    )


WRONG: dict[str, tuple[Change, str]] = {
    "frame after the end": (lines(lambda x: [*x, "f0.webp,12,dark"]), "a frame from 0 to 11 of .*f0.webp.* got 12 in"),
    "no number": (lines(lambda x: [*x, "f0.webp,half,dark"]), "a frame's number, as 7 or 7-12, or its picture's name"),
    "two labels": (lines(lambda x: [*x, "f0.webp,0,light"]), "one label for a frame, got 'dark' and 'light'"),
    "no label": (lines(lambda x: [*x[:-1], "f9.webp,11,"]), "a label for each frame that is named, got none in"),
    "missing film": (lines(lambda x: [*x, "g.webp,1,dark", "h.webp,1,dark"]), "and 1 more that are missing"),
    "no such column": (lines(lambda x: ["file,number,label", *x[1:]]), "columns file, frame and label"),
    "bad split": (
        lines(lambda x: [x[0] + ",split", *(row + ",rain" for row in x[1:])]),
        "train, valid or test as the film's split",
    ),
    "two splits": (
        lines(lambda x: [x[0] + ",split", x[1] + ",train", *(row + ",test" for row in x[2:])]),
        "one split for all frames of",
    ),
    "one class": (lines(lambda x: [row.replace("light", "dark") for row in x]), "frames of at least two labels, got 1"),
    "two films": (lines(lambda x: x[:25]), "at least 3 films, one each for train, valid and test"),
    "no film": (lambda root: (root / "f3.webp").write_bytes(b"none"), "an animated WebP or GIF"),
    "ragged table": (lines(lambda x: [*x, "f0.webp"]), "columns in each row"),
    "no test": (
        lines(lambda x: [x[0] + ",split", *(row + ",valid" for row in x[1:])]),
        "different films for train, valid and test, got none for train",
    ),
    "a label only in test": (
        lines(lambda x: [x[0] + ",split", *(row + (",test" if row.startswith("f9") else ",train") for row in x[1:-1]),
                         "f9.webp,11,odd,test"]),
        "films of train in .* that show each label, got none with 'odd'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data_is_told(tmp_path: Path, case: str) -> None:
    manifest(tmp_path)
    change, message = WRONG[case]
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        clips(place(tmp_path), 0, 16)


def test_nothing_to_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"films with labels, got .*nowhere, which does not exist"):
        listed(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"films with labels \(labels.csv: file, frame, label\)"):
        listed(tmp_path)
    folder = tmp_path / "empty"
    folder.mkdir()
    written(folder / "labels.csv", [["frame", "label"], [1, "dark"]])
    assert "the pictures of a film" in str(listed(tmp_path)[1][0])
    with pytest.raises(UserError, match="drawn films, grey and 32 pixels wide, or --data"):
        prepare(Knobs(side=48), place())


# ---- the page


def test_padding_changes_nothing() -> None:
    """What is said of a film does not depend on the longer one beside it."""
    facts = {"labels": list("abc"), "side": 16, "channels": 1, "mean": 100.0, "spread": 50.0}
    for memory in ("both", "forward", "none"):
        net = FrameNet(Knobs(width=4, hidden=8), memory, facts).eval()
        frames = torch.randint(0, 255, (2, 9, 1, 16, 16), dtype=torch.uint8)
        frames[1, 5:] = 0
        both = net(frames, torch.tensor([9, 5]))
        alone = net(frames[1:, :5], torch.tensor([5]))
        torch.testing.assert_close(both[1, :5], alone[0], atol=1e-5, rtol=1e-4)


def test_without_memory_frames_do_not_see_each_other() -> None:
    facts = {"labels": list("abc"), "side": 16, "channels": 1, "mean": 100.0, "spread": 50.0}
    frames = torch.randint(0, 255, (1, 6, 1, 16, 16), dtype=torch.uint8)
    changed = frames.clone()
    changed[:, 3] = 255 - changed[:, 3]
    moved, no, yes = {}, [False], [True]
    for memory in ("both", "forward", "none"):
        net, length = FrameNet(Knobs(width=4, hidden=8), memory, facts).eval(), torch.tensor([6])
        differ = (net(frames, length) - net(changed, length)).abs().amax(-1)[0]
        moved[memory] = (differ > 1e-6).tolist()
    assert moved == {"both": yes * 6, "forward": no * 3 + yes * 3, "none": no * 3 + yes + no * 2}


def test_error_is_of_labelled_frames_and_its_interval_of_films() -> None:
    class Net(torch.nn.Module):
        def forward(self, frames: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(frames[:, :, 0, 0, 0].long(), 2).float()

    rng = np.random.default_rng(0)
    wrong = [rng.random(10) < (0.1 if k % 2 else 0.5) for k in range(40)]  # films differ: half of them are hard
    data = clips(place(), 30)
    source = data.test
    source.columns = [type(source.columns[0])(*part) for part in (
        (torch.cat([torch.from_numpy(w.astype(np.uint8)) for w in wrong])[:, None, None, None], torch.arange(41) * 10),
        (torch.ones(400, dtype=torch.long), torch.arange(41) * 10))] + [torch.arange(40)]  # fmt: skip
    source.length = source.columns[0].length
    found = error(Net(), source, "")
    assert found.value == pytest.approx(100 * np.concatenate(wrong).mean()) and found.over == 400
    means = np.array([100 * w.mean() for w in wrong])
    half = 1.96 * means.std(ddof=1) / np.sqrt(40)  # films have equal lengths: the mean of their means
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)
    source.columns[1] = type(source.columns[1])(torch.where(source.columns[0].values.flatten() > 0, 0, 1),
                                                torch.arange(41) * 10)  # fmt: skip
    found = error(Net(), source, "")
    assert found.value == found.low == 0 and found.high == pytest.approx(100 * 1.96**2 / (40 + 1.96**2), abs=0.1)


def test_frames_since_a_change() -> None:
    target = torch.tensor([[1, 1, 2, 2, 2, -1, 2, 0], [0, 0, 0, 0, 0, 0, 0, 0]])
    assert since(target).tolist() == [[-1, -1, 0, 1, 2, -1, -1, 0], [-1] * 8]
    heat = confusion(Judged(target, target.clamp(min=0), torch.arange(2)), ["a", "b", "c"])
    assert np.array_equal(heat.values, 100 * np.eye(3))


def test_bands_stand_below_their_frames() -> None:
    frames = np.full((5, 8, 8), 200, np.uint8)
    said = {"true": ["a", "a", "b", "b", ""], "said": ["a", "b", "b", "b", "a"]}
    sheet = bands(frames, said, ["a", "b"], columns=5, wide=48).pixels

    def colour(row: int, column: int) -> str:
        y = 48 + 3 + row * (HIGH + 3) + HIGH - 4
        return "#" + bytes(sheet[y, NAME + 48 * column + 40]).hex()

    assert [colour(0, t) for t in range(5)] == [COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[1], "#ffffff"]
    assert [colour(1, t) for t in range(5)] == [COLOURS[0], COLOURS[1], COLOURS[1], COLOURS[1], COLOURS[0]]
    edge = sheet[48 + 3 + HIGH + 3, NAME + 48 : NAME + 90]
    assert (edge == 0).all(), "what differs from the truth has a dark edge"


def test_places_are_expected_places() -> None:
    """Against a loop over pixels."""
    maps = torch.randn(2, 3, 4, 5, generator=keyed("maps"))
    layer = Places(3)
    layer.sharpness.data = torch.tensor([0.0, 0.5, -0.5])
    found = layer(maps).view(2, 3, 3)  # B, what, C
    for b in range(2):
        for c in range(3):
            chance = np.exp(maps[b, c].numpy() * np.exp(layer.sharpness[c].item()))
            chance /= chance.sum()
            x = sum(chance[i, j] * (2 * j / 4 - 1) for i in range(4) for j in range(5))
            y = sum(chance[i, j] * (2 * i / 3 - 1) for i in range(4) for j in range(5))
            want = [np.maximum(maps[b, c].numpy(), 0).mean(), x, y]
            assert found[b, :, c].tolist() == pytest.approx(want, abs=1e-5)
    moved = change(maps[:, :, :, 0])
    assert not moved[:, 0].any() and torch.equal(moved[:, 2], maps[:, 2, :, 0] - maps[:, 1, :, 0])
