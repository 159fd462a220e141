"""report.html of whole, minimal, stopped, damaged and hostile run folders."""

from __future__ import annotations

import io
import json
import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from milestones.core.errors import UserError
from milestones.report.drawn import drawn
from milestones.report.page import html_of, write
from milestones.report.pictures import MOST_POINTS, chart, confusion, curves, picture
from milestones.report.result import bibtex, sentence

EVIL = "<script>alert(1)</script>\"'><img src=http://evil.example/x.png onerror=alert(2)>"
PAPER = "LeCun, Bottou, Bengio & Haffner (1998), Proc. IEEE 86(11), section II.B."


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of grey levels."""
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "png")
    return file.getvalue()


def put(folder: Path, name: str, content: dict | str | bytes) -> None:
    """Write a file of a run folder; objects with their format number."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps({"format": 1, **content})
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def undrawn(folder: Path) -> Path:
    """The folder without what is drawn as charts: drawing is slow, and has its own tests."""
    for path in (folder / "log.jsonl", *folder.glob("shows/train*json")):
        path.unlink()
    return folder


def a_score(**more: object) -> dict:
    """A score as report.json has it."""
    score = {
        "value": 1.1,
        "low": 0.616,
        "high": 1.95,
        "unit": "%",
        "better": "lower",
        "data": "digits",
        "split": "test",
        "over": 1000,
        "paper": 0.95,
        "paper_data": "MNIST test, 60,000 training images",
        "note": "",
    }
    return {**score, **more}


def log_text(steps: int = 1500, stages: tuple[str, ...] = ("train",)) -> str:
    """A log with means over ten steps and validation every hundred."""
    rng, lines = np.random.default_rng(0), []
    for stage in stages:
        for step in range(10, steps + 1, 10):
            loss = 2.2 * math.exp(-step / 120) + 0.25 / (1 + step / 60) + 0.01 * abs(rng.normal())
            line = {
                "stage": stage,
                "step": step,
                "seconds": step / 26,
                "loss": loss,
                "error": 28 * loss,
                "rate": 2e-3 * (1 + math.cos(math.pi * step / steps)) / 2,
            }
            if step % 100 == 0:
                line |= {"valid_loss": loss * 0.8 + 0.02, "valid_error": 24 * loss + 0.5}
            lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


def rich(folder: Path, seed: int = 0) -> Path:
    """A finished run of LeNet with everything that a run folder may hold."""
    rng, labels = np.random.default_rng(seed), [str(i) for i in range(10)]
    counts = np.diag(rng.integers(90, 112, 10))
    for true, said, n in ((4, 9, 4), (9, 4, 2), (7, 2, 2), (5, 3, 1), (8, 3, 1), (2, 7, 1)):
        counts[true, said] = n
    note = "These are MNIST training images; writers are shared across the split: not comparable."
    data = {"name": "digits", "train": 8000, "valid": 1000, "test": 1000, "sha256": "5f" * 32, "note": note}
    tried = [
        {"layout": layout, "precision": precision, "threads": 2, "rate": rate, "within": within}
        for layout, precision, rate, within in (
            ("contiguous", "float32", 7286, True),
            ("channels_last", "float32", 15300, True),
            ("channels_last", "bfloat16", 31200, False),
        )
    ]
    about = {
        "title": "LeNet-5 reads handwritten digits.",
        "paper": PAPER,
        "idea": "local receptive fields, shared weights and sub-sampling: shift-tolerance by design.",
        "deviations": "softmax for RBF outputs; full C3 connections; Adam.",
    }
    knobs = {"steps": 1500, "batch": 128, "lr": 0.002, "augment": True, "shift": 2.0}
    put(
        folder,
        "config.json",
        {
            "system": "lenet",
            "preset": "quick",
            "config": knobs,
            "seed": 0,
            "about": about,
            "year": 1998,
            "choice": {"data": "", "target": "", "split": ""},
            "command": "milestones train lenet --seed 0",
            "plan": "auto",
            "milestones": "0.1.0",
            "from": {"run": "lenet-1", "taken": ["a", "b", "c"], "left": ["head.weight"], "frozen": True},
        },
    )
    put(folder, "facts.json", {"labels": labels, "mean": 33.3, "data": data})
    put(
        folder,
        "plan.json",
        {
            "layout": "channels_last",
            "precision": "float32",
            "threads": 2,
            "tried": tried,
            "peak_gflops": 212.0,
            "words": "channels_last float32, 2 threads: 15,300 examples/s, 2.1 x PyTorch's defaults",
        },
    )
    put(
        folder,
        "env.json",
        {
            "python": "3.11.2",
            "torch": "2.13.0",
            "milestones": "0.1.0",
            "platform": "Linux-6.1-x86_64",
            "cpu": "Intel(R) Xeon(R) Platinum 8488C",
            "cores": 2,
            "memory_gb": 8.0,
        },
    )
    put(
        folder,
        "status.json",
        {"state": "finished", "stage": "train", "step": 1500, "total": 1500, "seconds": 57.6},
    )
    put(folder, "log.jsonl", log_text())
    mistakes = [
        {"true": str(t), "said": str(s), "chance": c, "picture": f"shows/mistake-{i:02}.png"}
        for i, (t, s, c) in enumerate(
            (
                (4, 9, 0.991),
                (9, 4, 0.9991),
                (7, 2, 0.97),
                (5, 3, 0.93),
                (8, 3, 0.88),
                (4, 9, 0.8),
                (2, 7, 0.71),
            )
        )
    ]
    for i in range(len(mistakes)):
        y, x = np.mgrid[:28, :28]
        ring = np.abs(np.hypot(y - 14, (x - 14) * (1 + i / 9)) - 7) < 1.4 + i / 5
        put(folder, f"shows/mistake-{i:02}.png", png((200 + rng.integers(0, 55, (28, 28))) * ring))
    filters = np.kron(rng.integers(0, 256, (2, 3, 5, 5)).transpose(0, 2, 1, 3).reshape(10, 15), np.ones((4, 4)))
    for step in (500, 1500):
        put(folder, f"shows/train-{step:08}-filters.png", png(filters))
    shows = {
        "accuracy": {
            "x": [100, 1000, 9000],
            "lines": {"nets": [12.0, 4.1, 1.1], "trees": [20.0, 11.0, 6.4]},
            "xlabel": "examples",
            "ylabel": "error, %",
            "logx": True,
            "logy": True,
        },
        "reading": [{"label": str(k), "chance": c} for k, c in ((4, 0.82), (9, 0.15), (7, 0.02), (1, 0.01))],
        "weights": {
            "values": rng.normal(size=(6, 12)).tolist(),
            "rows": list("abcdef"),
            "columns": [],
            "ylabel": "",
            "xlabel": "",
        },
    }
    for name, value in shows.items():
        put(folder, f"shows/train-00001500-{name}.json", {"value": value})
    put(folder, "shows/train-00001500-words.txt", "the quick brown fox\njumps over the lazy dog")
    put(
        folder,
        "report.json",
        {
            "system": "lenet",
            "preset": "quick",
            "config": knobs,
            "seed": 0,
            "device": "cpu",
            "data": data,
            "steps": 1500,
            "total": 1500,
            "seconds": 57.6,
            "rate": 14210.0,
            "peak_share": 17.4,
            "ended": "finished",
            "command": "milestones train lenet --seed 0",
            "confusion": {"labels": labels, "counts": counts.tolist()},
            "scores": {
                "error": a_score(),
                "neighbours": a_score(
                    value=4.6,
                    low=3.5,
                    high=6.1,
                    paper=5.0,
                    paper_data="digits",
                    note="3 nearest neighbours on raw pixels",
                ),
            },
            "group": {"error": {"mean": 1.14, "sd": 0.12, "low": 0.99, "high": 1.29, "n": 5}},
            "mistakes": mistakes,
        },
    )
    return folder


class Page(HTMLParser):
    """Every tag, attribute and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "br", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def checked(folder: Path) -> tuple[str, Page]:
    """The page of a folder, after what holds for all: nothing from outside, nothing runs, well nested."""
    path = write(folder)
    assert path == folder / "report.html"
    text = path.read_text()
    page = Page(text)
    assert not page.open
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert "<script" not in text.lower()
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "srcset", "action"):
            assert value.startswith(("data:image/png;base64,", "#")), (name, value[:80])
    assert not re.search(r"url\((?!#)|@import", text)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not list(folder.glob(".report*"))
    return text, page


def test_finished_run(tmp_path: Path) -> None:
    text, page = checked(rich(tmp_path / "lenet-3"))
    said = " ".join(" ".join(page.texts).split())
    assert "Wrong on 1.10 % of 1,000 test examples of digits (95 % interval 0.62 to 1.95 %)" in said
    assert "published on other data (MNIST test, 60,000 training images; not comparable): 0.95 %" in said
    assert "published: 5 %" in said
    assert "writers are shared across the split" in said
    assert "is 4, read as 9, 99 % sure" in said
    assert "is 9, read as 4, over 99 % sure" in said
    assert "4 as 9 (4 of" in said
    assert "milestones train lenet --seed 0" in said
    assert "filters · train, step 1,500" in said
    assert "step 500" not in said
    assert "jumps over the lazy dog" in said
    assert "15,300 examples/s, 2.1 x PyTorch's defaults" in said
    assert "Started from lenet-1 : 3 tensors taken, and frozen; new here: head.weight." in said
    assert "8,000 examples" in said
    assert "5f" * 32 in said
    assert "@misc{lecun1998," in said
    assert page.tags.count("svg") == 5
    assert page.tags.count("img") == 8
    assert len(text) < 300_000


def test_same_folder_same_page(tmp_path: Path) -> None:
    folder = rich(tmp_path / "lenet-3")
    first = write(folder).read_bytes()
    assert write(folder).read_bytes() == first


def test_a_single_file_is_enough(tmp_path: Path) -> None:
    put(tmp_path, "config.json", {"system": "mlp"})
    text, page = checked(tmp_path)
    assert "<h1>mlp</h1>" in text
    assert "Not scored yet" in text
    assert "not finished, or not scored" in text
    assert "svg" not in page.tags


@pytest.mark.parametrize("missing", ["config", "facts", "plan", "env", "status", "report", "log", "shows"])
def test_any_file_may_be_missing(tmp_path: Path, missing: str) -> None:
    folder = rich(tmp_path / "run-1")
    if missing not in ("log", "shows"):
        undrawn(folder)
    for path in [*folder.glob(f"{missing}.json*"), *folder.glob(f"{missing}/*")]:
        path.unlink()
    text, _ = checked(folder)
    assert ("Not scored yet" in text) == (missing == "report")
    assert ("Wrong on" in text) == (missing != "report")


def test_stopped_run_has_curves(tmp_path: Path) -> None:
    put(tmp_path, "config.json", {"system": "lenet"})
    put(
        tmp_path,
        "status.json",
        {"state": "interrupted", "stage": "train", "step": 420, "total": 1500, "seconds": 16.2},
    )
    whole = log_text(420)
    put(tmp_path, "log.jsonl", whole[: len(whole) - 25])
    text, page = checked(tmp_path)
    assert "Ended early (interrupted) at step 420 of 1,500." in text
    assert "log.jsonl: 1 unreadable line left out." in text
    assert page.tags.count("svg") == 3


def test_only_a_whole_run_is_promised_to_repeat(tmp_path: Path) -> None:
    folder = rich(tmp_path / "run-1")
    assert "equal bit by bit" in checked(folder)[0]
    report = json.loads((folder / "report.json").read_text())
    put(folder, "report.json", {**report, "ended": "minutes"})
    text = checked(folder)[0]
    assert "need not end at the same step" in " ".join(text.split()) and "equal bit by bit" not in text


def test_half_written_and_foreign_files_are_named(tmp_path: Path) -> None:
    folder = undrawn(rich(tmp_path / "run-1"))
    put(folder, "report.json", '{"format": 1, "scores": {"error"')
    put(folder, "plan.json", '{"format": 2}')
    put(folder, "env.json", "[1, 2]")
    put(folder, "facts.json", '{"format": 1, "mean": NaN}')
    text, _ = checked(folder)
    for name in ("report.json", "plan.json", "env.json", "facts.json"):
        assert f"{name} was not read: " in text


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    folder = rich(tmp_path / "run-1")
    for name in ("config", "facts", "plan", "env", "status", "report"):
        content = json.loads((folder / f"{name}.json").read_text())

        def poison(value: object) -> object:
            if isinstance(value, dict):
                return {k: poison(v) for k, v in value.items()} | {EVIL: EVIL}
            return [poison(v) for v in value] if isinstance(value, list) else EVIL if isinstance(value, str) else value

        content = poison(content)
        content["format"] = 1
        put(folder, f"{name}.json", json.dumps(content))
    report = json.loads((folder / "report.json").read_text())
    report["scores"] = {EVIL: a_score(unit=EVIL, data=EVIL, split=EVIL, paper_data=EVIL, note=EVIL, better=EVIL)}
    report["confusion"]["labels"] = [EVIL + "$\\frac{1}$"] * 10
    report["mistakes"] = [{"true": EVIL, "said": EVIL, "chance": 0.9, "picture": "shows/mistake-00.png"}]
    put(folder, "report.json", json.dumps(report))
    put(folder, "log.jsonl", json.dumps({"stage": EVIL, "step": 1, EVIL: 1.0, "$\\frac$": 2.0}) + "\n")
    curve = {"x": [1, 2], "lines": {EVIL: [1, 2]}, "xlabel": EVIL, "ylabel": "$\\frac{"}
    put(folder, f"shows/train-00000009-{EVIL.replace('/', '')}.json", {"value": curve})
    put(
        folder,
        "shows/train-00000009-a.json",
        {"value": {"values": [[1, -2]], "rows": [EVIL], "columns": [EVIL, "$_$"]}},
    )
    put(folder, "shows/train-00000009-b.json", {"value": [{"label": EVIL, "chance": 0.5}]})
    put(folder, "shows/train-00000009-c.json", {"kind": "text", "text": EVIL})
    text, page = checked(folder)
    assert text.count("&lt;script&gt;alert(1)") > 20
    assert all(not value.startswith("http") for _, value in page.attributes)


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], [[]], {}, {"error": 3}, [{}], True, 1e308, 10**400, "\ud800", float("nan")]
)
def test_values_of_any_type(tmp_path: Path, value: object) -> None:
    folder = undrawn(rich(tmp_path / "run-1"))
    for name in ("config", "facts", "plan", "status", "report"):
        content = json.loads((folder / f"{name}.json").read_text())
        for key in set(content) - {"format"}:
            put(folder, f"{name}.json", json.dumps({**content, key: value}))
            assert not Page(html_of(folder)).open
        put(folder, f"{name}.json", json.dumps(dict.fromkeys(content, value) | {"format": 1}))
    lines = (value, {"step": value, "loss": 1}, {"step": 1, "loss": value, "stage": value})
    put(folder, "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    checked(folder)


def test_score_of_odd_figures(tmp_path: Path) -> None:
    put(
        tmp_path,
        "report.json",
        {
            "scores": {
                "mae": a_score(value=-3.5, low=None, high=None, unit="kW", paper=None),
                "win": a_score(value=0, low=0, high=0),
                "x": a_score(value="1", over="many"),
            }
        },
    )
    text, _ = checked(tmp_path)
    assert "-3.5" in text
    assert "no interval" in text
    assert "published:" not in text


@pytest.mark.parametrize(("score", "why"), [
    ({"value": 500, "low": 500, "high": 500, "over": 100}, "all came out alike"),
    ({"value": 500, "low": 500, "high": 500, "over": 1}, "too few examples"),
    ({"value": 500, "low": None, "high": None, "over": 100}, "too few examples"),
])  # fmt: skip
def test_why_there_is_no_interval(score: dict, why: str) -> None:
    assert f"no interval: {why}" in sentence("return", score)


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    folder, secret = undrawn(rich(tmp_path / "run-1")), tmp_path / "secret.png"
    secret.write_bytes(png(np.full((9, 9), 77)))
    (tmp_path / "secret.json").write_text('{"format": 1, "system": "stolen words"}')
    report = json.loads((folder / "report.json").read_text())
    ways = [
        "shows/link.png",
        "../secret.png",
        "shows/../../secret.png",
        str(secret),
        "shows/pipe.png",
        "weights.safetensors",
        "\0",
        "",
    ]
    report["mistakes"] = [{"true": 1, "said": 2, "chance": 0.5, "picture": way} for way in ways]
    put(folder, "report.json", json.dumps(report))
    for path in folder.glob("shows/*"):
        path.unlink()
    (folder / "shows/link.png").symlink_to(secret)
    (folder / "shows/train-00000001-link.png").symlink_to(secret)
    os.mkfifo(folder / "shows/pipe.png")
    (folder / "env.json").unlink()
    (folder / "env.json").symlink_to(tmp_path / "secret.json")
    (folder / "plan.json").unlink()
    os.mkfifo(folder / "plan.json")
    (folder / "log.jsonl").symlink_to(tmp_path / "secret.json")
    text, page = checked(folder)
    assert "img" not in page.tags
    assert "stolen words" not in text
    assert "not a regular file" in text


def test_shows_folder_that_is_a_link(tmp_path: Path) -> None:
    folder, outside = undrawn(rich(tmp_path / "run-1")), tmp_path / "outside"
    (folder / "shows").rename(outside)
    (folder / "shows").symlink_to(outside)
    _, page = checked(folder)
    assert "img" not in page.tags


def test_page_that_is_a_link_is_replaced(tmp_path: Path) -> None:
    folder, other = undrawn(rich(tmp_path / "run-1")), tmp_path / "other.txt"
    other.write_text("keep")
    (folder / "report.html").symlink_to(other)
    checked(folder)
    assert other.read_text() == "keep"
    assert not (folder / "report.html").is_symlink()


def test_large_and_false_pictures_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "config.json", {"system": "lenet"})
    good = png(np.zeros((8, 8)))
    put(tmp_path, "shows/train-00000001-huge.png", good + b"\0" * (5 << 20))
    put(tmp_path, "shows/train-00000001-bomb.png", good[:16] + b"\x7f\xff\xff\xff" * 2 + good[24:])
    put(tmp_path, "shows/train-00000001-false.png", b"<svg onload=alert(1)>" * 9)
    put(tmp_path, "shows/train-00000001-good.png", good)
    put(tmp_path, "shows/train-00000001-deep.json", "[" * 100_000)
    put(tmp_path, "shows/train-00000001-long.json", json.dumps({"value": "x" * (6 << 20)}))
    text, page = checked(tmp_path)
    assert page.tags.count("img") == 1
    assert len(text) < 50_000


def test_at_most_sixty_pictures(tmp_path: Path) -> None:
    put(tmp_path, "config.json", {"system": "lenet"})
    for i in range(80):
        put(tmp_path, f"shows/train-00000001-p{i}.png", png(np.zeros((4, 4))))
    _, page = checked(tmp_path)
    assert page.tags.count("img") == 60


def test_not_a_number_in_the_log_is_said(tmp_path: Path) -> None:
    put(tmp_path, "config.json", {"system": "lenet"})
    put(
        tmp_path,
        "log.jsonl",
        '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": Infinity}\n',
    )
    text, page = checked(tmp_path)
    assert "The loss was not a finite number at step 2." in text
    assert "with gaps" in text
    assert page.tags.count("svg") == 1


def test_no_folder_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a run folder, got .*nothing, which is none"):
        write(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"expected a run folder, got .* without config.json"):
        write(tmp_path)


def test_curves_of_several_stages_and_log_axis() -> None:
    lines = [json.loads(line) for line in log_text(1500, ("pretrain", "train")).splitlines()]
    text = curves(lines)
    assert text.count("<svg") == 6
    assert "pretrain: loss" in text
    assert "logarithmic" in text
    titles = re.findall("<b>((?:pre)?train: [a-z, %]+)</b>", text)
    assert titles == [
        "pretrain: loss",
        "pretrain: error, %",
        "pretrain: rate",
        "train: loss",
        "train: error, %",
        "train: rate",
    ]
    assert curves([]) == ""
    assert curves(lines) == text


def test_long_lines_are_thinned() -> None:
    steps = list(range(100_000))
    text = chart("loss", {"training": (steps, [1.0 + step % 2 for step in steps])})
    assert len(text) < 20_000
    assert text.count(" L ") < MOST_POINTS + 60


def test_chart_that_cannot_be_drawn() -> None:
    assert chart("a", {}) == ""
    assert chart("a", {"b": ([1, 2], [math.nan, math.nan])}) == ""
    assert chart("a", {"b": ([1, 2], [1])}) == ""


def test_confusion_is_a_table_up_to_twenty_classes_and_a_heat_map_beyond() -> None:
    small = confusion(["a", "b"], [[8, 2], [0, 5]])
    assert "a as b (2 of 10)" in small
    assert "<svg" not in small
    assert ">20.0</td>" in small
    assert "No example was mistaken" in confusion(["a", "b"], [[8, 0], [0, 0]])
    large = confusion([f"class {i}" for i in range(21)], (np.eye(21) * 9 + 1).tolist())
    assert "<svg" in large
    assert "class 0 as class 1 (1 of 30)" in large
    assert confusion(["a"], [[1, 2]]) == confusion("ab", [[1, 2], [3, 4]]) == confusion(["a", "b"], [[1, 2], [3]]) == ""


@pytest.mark.parametrize(
    "media",
    [
        None,
        3,
        [],
        {},
        [[1]],
        {"lines": {"a": 3}},
        {"values": [1]},
        {"values": [[1], [1, 2]]},
        {"items": [3]},
        {"cells": [[1]], "columns": 3},
        {"cells": [[1, 2]], "columns": ["a"]},
        {"cells": [], "columns": []},
        {"surface": [[1]], "window": [0, 1, 0, 1]},
        {"surface": [[1, 2], [3, 4]]},
        {"surface": [[1, 2], [3, 4]], "window": [0, 1, 1, 0]},
        {"surface": [[1, 2], [3, 4]], "window": [0, 1, 0, 1e99]},
        {"surface": [[None, None], [None, None]], "window": [0, 1, 0, 1]},
    ],
)  # fmt: skip
def test_damaged_media_draw_nothing(media: object) -> None:
    assert drawn("x", media) == ""


def test_media_are_drawn_as_they_encode_themselves() -> None:
    records = pytest.importorskip("milestones.media.records")
    assert "<svg" in drawn("x", records.Curve([1, 2], {"a": [1.0, math.nan]}, "x", "y").plain())
    assert "<svg" in drawn("x", records.Heat(np.eye(3)).plain())
    assert "82.0 %" in drawn("x", records.Ranking(("4", "9"), (0.82, 0.18)).plain())
    assert "kW" in drawn("x", records.Number(3.5, "kW").plain())
    assert "words" in drawn("x", records.Text("words").plain())
    table = drawn("x", records.Listing(["rule", "steps"], [["<b>", 3], ["adam", None], ["muon", math.inf]]).plain())
    assert 'class="plot full"' in table
    assert "&lt;b&gt;" in table and "–" in table and "<b>&" not in table


def test_a_surface_is_drawn_with_its_paths_and_survives_what_is_no_path() -> None:
    records = pytest.importorskip("milestones.media.records")
    x, y = np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 20))
    way = [(1.0, 1.0), (0.5, 0.2), (0.0, 0.0)]
    media = records.Surface(
        x * x + y * y, (-1, 1, -1, 1), {"<adam>": way}, {"start": way[:1], "minimum": way[2:]}
    ).plain()
    html = drawn("x", json.loads(json.dumps(media)))
    assert "<svg" in html and "&lt;adam&gt;" in html and "<adam>" not in html and "○ start" in html
    assert drawn("x", media) == html, "the same each time"
    flat = {"surface": [[1, 1], [1, 1]], "window": [0, 1, 0, 1], "paths": 3, "marks": {"a": 3}}
    assert "<svg" in drawn("x", flat)
    paths = {"a": "text", "b": [[1], ["x", 2], [1e99, 0]], "c": [[0, 0], None, [1e29, 1]], "d": [[math.nan, 1]]}
    assert "<svg" in drawn("x", {**media, "paths": paths, "marks": {"start": [[None, 1]]}})


def test_picture_refuses_what_is_no_png() -> None:
    assert picture(b"GIF89a" + b"\0" * 60, "x") == ""
    assert 'width="96"' in picture(png(np.zeros((8, 8))), "x")


def test_bibtex() -> None:
    entry = bibtex(PAPER)
    assert entry.startswith("@misc{lecun1998,\n")
    assert "author = {LeCun and Bottou and Bengio and Haffner}" in entry
    assert "howpublished = {Proc. IEEE 86(11), section II.B}" in entry
    quoted = bibtex('Rosenblatt, F. (1958). "The perceptron: a probabilistic model", Psychological Review 65.')
    assert "author = {Rosenblatt, F.}" in quoted
    assert "title = {{The perceptron: a probabilistic model}}" in quoted
    assert bibtex("a talk that nobody wrote down") == ""
    many = bibtex(
        "Poon & Domingos (2011), Sum-product networks, UAI, 337-346; the loss: Graves, de Freitas & Gomez (2006), "
        "Show, attend and tell, ICML. Guided as Ho et al. (2022), Classifier-free guidance, arXiv:2207.12598; "
        "(2018) Science 362; starts: see there."
    )
    first, second, third = many.split("\n\n")
    assert first == ("@misc{poon2011,\n  author = {Poon and Domingos},\n  year = {2011},\n"
                     "  title = {{Sum-product networks}},\n  howpublished = {UAI, 337-346},\n}")  # fmt: skip
    assert "author = {Graves and de Freitas and Gomez}" in second
    assert "title = {{Show, attend and tell}}" in second and "howpublished = {ICML}" in second
    assert third.startswith("@misc{ho2022,") and "author = {Ho and others}" in third
    assert "howpublished = {arXiv:2207.12598; (2018) Science 362}" in third
    assert "howpublished" not in bibtex("Minsky & Papert (1969), Perceptrons.")


GOOD = {"data": "made", "over": 100, "error": 2.0, "log_loss": 0.3,
        "bins": [{"low": 80.0, "high": 90.0, "count": 60, "sure": 86.0, "right": 81.0}],
        "temperature": {"value": 1.3, "error": 1.0, "log_loss": 0.29},
        "answering": {"over": 50, "rows": [], "test": [{"most": 1.0, "expected": 70.0, "answered": 68.0,
                                                        "error": 1.2}]}}  # fmt: skip


def test_calibration_in_words() -> None:
    from milestones.report import trust

    text = trust.calibration({"calibration": GOOD})
    assert "When it says 86 %, it is right in 81 % of the cases." in text
    assert "2 points apart" in text
    assert "It is too sure: with its scores divided by 1.30" in text
    assert "<svg" in text
    assert "at most 1 %" in text
    assert "70.0 %" in text
    assert trust.calibration({}) == ""
    said = {"count": 10, "trained": 10, "mean_error": 9.5, "error": 8.0, "errors": [9.0, 10.0], "seconds": [4.0, 5.0],
            "cost": 0}  # fmt: skip
    assert "One alone makes 9.50 % errors in the mean (9.00, 10.00), all together 8.00 %." in trust.members(
        {"members": said}
    )
    assert "3 of 10 nets were trained before the end" in trust.members({"members": {**said, "trained": 3}})


@pytest.mark.parametrize("bad", [None, 7, "x", [], {}, [None], {"bins": 3}, float("nan"), 10**400, "<script>"])
def test_calibration_that_was_edited(bad: object) -> None:
    from milestones.report import trust

    for name in GOOD:
        assert "<script>" not in trust.calibration({"calibration": {**GOOD, name: bad}})
    for name in GOOD["bins"][0]:  # type: ignore[index]
        trust.calibration({"calibration": {**GOOD, "bins": [{**GOOD["bins"][0], name: bad}]}})  # type: ignore[index]
    for name in ("count", "trained", "mean_error", "error", "errors", "seconds", "cost"):
        trust.members({"members": {"count": 2, "trained": 2, "mean_error": 1.0, "error": 1.0, name: bad}})
    assert trust.calibration({"calibration": bad}) == ""
    assert trust.members({"members": bad}) == ""
