"""Run folders that are half-written, edited or made to harm: one line, exit code 2, and nothing on disk changed."""

# ruff: noqa: E501  (one case a line)

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from milestones.cli import main

Harm = Callable[[Path], None]


def edit(name: str, **changes: Any) -> Harm:
    """Change fields of a JSON file; None removes one."""

    def harm(run: Path) -> None:
        content = {**json.loads((run / name).read_text()), **changes}
        (run / name).write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return harm


def write(name: str, content: bytes) -> Harm:
    return lambda run: (run / name).write_bytes(content) and None


def weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], sealed: bool = True) -> Harm:
    """Other tensors; `sealed`: with their checksum put right."""

    def harm(run: Path) -> None:
        path = run / "weights.safetensors"
        save_file(change(load_file(path)), path)
        if sealed:
            seal(run)

    return harm


def seal(run: Path) -> None:
    import hashlib

    files = ("weights.safetensors", "facts.json")
    sha = {f"{name.split('.')[0]}_sha256": hashlib.sha256((run / name).read_bytes()).hexdigest() for name in files}
    edit("status.json", **sha)(run)


def facts(**changes: Any) -> Harm:
    """Other facts, with their checksum put right."""

    def harm(run: Path) -> None:
        edit("facts.json", **changes)(run)
        seal(run)

    return harm


def cut(name: str, keep: float) -> Harm:
    def harm(run: Path) -> None:
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: int(keep * len(content))])

    return harm


def link(name: str) -> Harm:
    """The file stands outside, a link to it in the folder."""

    def harm(run: Path) -> None:
        outside = run.parent / f"outside-{name}"
        shutil.move(run / name, outside)
        (run / name).symlink_to(outside)

    return harm


def pipe(name: str) -> Harm:
    def harm(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return harm


def header(text: str, tail: int = 0, length: int | None = None) -> Harm:
    content = text.encode()
    return write(
        "weights.safetensors", struct.pack("<Q", len(content) if length is None else length) + content + b"\0" * tail
    )


def tensor(shape: list[Any], offsets: list[Any], dtype: str = "F32") -> str:
    return json.dumps({"features.1.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})


def sparse(name: str, size: int) -> Harm:
    def harm(run: Path) -> None:
        with open(run / name, "r+b") as file:
            file.truncate(size)

    return harm


def first(tensors: dict[str, torch.Tensor], change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    name = min(tensors)
    return {**tensors, name: change(tensors[name])}


HARMS: dict[str, tuple[Harm, str]] = {
    # weights
    "header of 2**62 bytes": (header("{}", length=2**62), "a whole safetensors file weights.safetensors"),
    "header beyond the file": (header("{}", length=3), "with a header of 3"),
    "no header": (write("weights.safetensors", b"1234"), "with a header of -1"),
    "empty": (write("weights.safetensors", b""), "a whole safetensors file"),
    "header no JSON": (header("{" * 9), "a damaged header"),
    "header deep": (header("[" * 100_000), "a damaged header"),
    "header a list": (header("[1]"), "a damaged header"),
    "tensor of 10**18 numbers": (header(tensor([10**9, 10**9], [0, 8]), 8), "outside the file or over another"),
    "a hundred thousand dimensions": (header(tensor([10**9] * 100_000, [0, 8]), 8), "outside the file or over another"),
    "offsets beyond": (header(tensor([100], [0, 400]), 8), "outside the file or over another"),
    "offsets backward": (header(tensor([2], [8, 0]), 8), "outside the file or over another"),
    "offsets negative": (header(tensor([2], [-8, 0]), 8), "outside the file or over another"),
    "offsets no numbers": (header(tensor([2], ["0", "8"]), 8), "outside the file or over another"),
    "shape of fractions": (header(tensor([2.0], [0, 8]), 8), "outside the file or over another"),
    "shape of truths": (header(tensor([True], [0, 4]), 4), "outside the file or over another"),
    "tensors over each other": (
        header(json.dumps({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}), 8), "over another"),
    "type unknown": (header(tensor([2], [0, 8], "F99"), 8), "a damaged header"),
    "bytes that no tensor has": (header(tensor([2], [0, 8]), 999), "bytes where the header describes"),
    "path in a name": (weights(lambda t: {"../../etc/passwd": t["classifier.0.bias"].clone(), **t}), "../../etc/passwd of shape none"),
    "truncated": (cut("weights.safetensors", 0.7), "a whole safetensors file"),
    "longer": (sparse("weights.safetensors", 10_000_000), "bytes where the header describes"),
    "wrong type": (weights(lambda t: first(t, lambda x: x.double())), "of type torch.float32 in"),
    "half precision": (weights(lambda t: first(t, lambda x: x.half())), "of type torch.float32 in"),
    "wrong shape": (weights(lambda t: first(t, lambda x: x[:1])), "These weights belong to another page or other settings"),
    "one missing": (weights(lambda t: {n: t[n] for n in sorted(t)[1:]}), "got none"),
    "one more": (weights(lambda t: {**t, "extra": torch.zeros(3)}), "extra of shape none in"),
    "NaN": (weights(lambda t: first(t, lambda x: x * float("nan"))), "finite weights in"),
    "infinite": (weights(lambda t: first(t, lambda x: x + float("inf"))), "NaN or infinity in"),
    "edited": (weights(lambda t: first(t, lambda x: x + 1), sealed=False), "an edited or half-written weights.safetensors"),
    "no weights": (lambda run: (run / "weights.safetensors").unlink(), "no such file"),
    # links, pipes and devices
    **{f"{name} is a link": (link(name), f"{name} that leads out of")
       for name in ("weights.safetensors", "facts.json", "config.json", "status.json")},
    **{f"{name} is a pipe": (pipe(name), f"{name} of another kind in")
       for name in ("weights.safetensors", "facts.json", "status.json")},
    "facts.json is a folder": (lambda run: (run / "facts.json").unlink() or (run / "facts.json").mkdir(), "a readable facts.json"),
    # JSON
    "config half-written": (cut("config.json", 0.5), "a readable config.json"),
    "config empty": (write("config.json", b""), "no valid JSON"),
    "config a list": (write("config.json", b"[]"), "a list instead of an object"),
    "config binary": (write("config.json", bytes(range(256))), "no valid JSON"),
    "config of a later format": (edit("config.json", format=2), "format '2' where this version reads 1"),
    "config without format": (edit("config.json", format=None), "format 'None' where this version reads 1"),
    "config deep": (write("config.json", b'{"format": 1, "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "no valid JSON"),
    "config of 100 MB": (sparse("config.json", 100_000_000), "100,000,000 bytes, more than"),
    "facts of 100 MB": (sparse("facts.json", 100_000_000), "100,000,000 bytes, more than"),
    "facts deep": (write("facts.json", b'{"format": 1, "a": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_001), "no valid JSON"),
    "facts with NaN": (lambda run: edit("facts.json", mean=float("nan"))(run), "the number NaN"),
    "facts with a number beyond all bounds": (write("facts.json", b'{"format": 1, "mean": 1e999}'), "the number 1e999"),
    "facts with a number of many digits and a point": (write("facts.json", b'{"format": 1, "mean": ' + b"9" * 400 + b".5}"), "the number 99999999999999999999"),
    "config with infinity": (write("config.json", b'{"format": 1, "system": "lenet", "config": {"lr": -Infinity}}'), "the number -Infinity"),
    "facts with a number of a million figures": (write("facts.json", b'{"format": 1, "mean": ' + b"9" * 1_000_000 + b"}"), "no valid JSON"),
    # what config names
    "another module": (edit("config.json", system="os"), "a run of a page of the catalog"),
    "a dotted module": (edit("config.json", system="milestones.systems.lenet"), "a run of a page of the catalog"),
    "a path": (edit("config.json", system="/tmp/evil.py"), "a run of a page of the catalog"),
    "a path relative": (edit("config.json", system="../evil"), "a run of a page of the catalog"),
    "no system": (edit("config.json", system=None), "a run of a page of the catalog"),
    "a system that is no text": (edit("config.json", system={"a": [1]}), "a run of a page of the catalog"),
    "another page": (edit("config.json", system="perceptron"), "perceptron"),
    "escape sequences": (edit("config.json", system="\x1b]0;owned\x07\x1b[2J"), "a run of a page of the catalog"),
    "no settings": (edit("config.json", config=None), "'config' in config.json"),
    "settings unknown": (edit("config.json", config={"depth": 3}), "no setting 'depth'"),
    "settings out of range": (edit("config.json", config={"steps": -1}), "a whole number from 1, got steps = -1"),
    # facts
    "facts empty": (facts(labels=None, mean=None), "facts.json in"),
    "facts edited": (edit("facts.json", mean=40.0), "an edited or half-written facts.json"),
    "a million labels": (facts(labels=["x"] * 1_000_000), "classifier.4.bias of shape [1000000]"),
    "labels a number": (facts(labels=10**9), "that fit the page lenet"),
    "a mean that is a text": (facts(mean="much"), "that fit the page lenet"),
    "a mean of a million": (facts(mean=[1.0] * 1_000_000), "that fit the page lenet"),
    "side of 10**9": (facts(side=10**9), "facts.json with a side of 1 to 1,024 pixels, got 1000000000"),
    "side of 0": (facts(side=0), "facts.json with a side of 1 to 1,024 pixels, got 0"),
    "side a text": (facts(side="wide"), "facts.json with a side of 1 to 1,024 pixels, got 'wide'"),
    "no status": (lambda run: (run / "status.json").unlink(), "a readable status.json"),
}  # fmt: skip


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.name != "lock"}


@pytest.fixture
def run(trained_lenet: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_lenet, tmp_path / "runs" / "lenet-1"))


@pytest.fixture(scope="session")
def picture(place: Path) -> str:
    from contract import tiny

    return str(tiny.inputs("lenet", {"kind": "pictures"}, place)[0])


@pytest.fixture
def little_memory() -> Any:
    """2 GB more than now, at most: an absurd size ends in MemoryError and not in the machine's death."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 2 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(words: list[str], capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Exit code 2 and one line, whose wording is matched."""
    capsys.readouterr()
    assert main(words) == 2, capsys.readouterr()
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if ": expected " in line]
    assert len(lines) == 1, said.err
    assert text in lines[0]
    assert len(lines[0]) < 700
    assert lines[0].isprintable()
    assert said.out == ""


@pytest.mark.parametrize("harm", HARMS)
def test_hostile(run: Path, picture: str, capsys: pytest.CaptureFixture[str], harm: str, little_memory: None) -> None:
    act, text = HARMS[harm]
    act(run)
    before = snapshot(run.parent)
    refused(["use", "lenet-1", picture, "--runs", str(run.parent)], capsys, text)
    assert snapshot(run.parent) == before
    main(["runs", "--runs", str(run.parent), "--json"])  # one bad folder does not hide the others
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [item["run"] for item in listed] == ["lenet-1"]
    assert snapshot(run.parent) == before


RESUMED: dict[str, tuple[Harm, str]] = {
    "state of something else": (
        lambda run: (run / "state/train.safetensors").write_bytes((run / "weights.safetensors").read_bytes()) and None, "the state of this page in"),
    "state truncated": (cut("state/train.safetensors", 0.6), "a whole safetensors file train.safetensors"),
    "state empty": (write("state/train.safetensors", b""), "a whole safetensors file train.safetensors"),
    "state is a link": (
        lambda run: shutil.move(run / "state", run.parent / "else") and (run / "state").symlink_to(run.parent / "else"), "leads out of"),
    "shows is a link": (
        lambda run: shutil.move(run / "shows", run.parent / "else") and (run / "shows").symlink_to(run.parent / "else"), "leads out of"),
    "log is a link": (
        lambda run: link("log.jsonl")(run) or (run / "state/train.safetensors").unlink(), "log.jsonl that leads out of"),
    "lock is a link": (link("lock"), "lock that leads out of"),
    "plan of another version": (edit("plan.json", layout="spiral"), "a plan.json of this version"),
    "plan with a million threads": (edit("plan.json", threads=10**6), "a plan.json of this version"),
    "plan with other fields": (edit("plan.json", speed=9), "a plan.json of this version"),
    "seed a text": (edit("config.json", seed="0"), "a whole config.json in"),
    "choice of other words": (edit("config.json", choice={"path": "x"}), "a whole config.json in"),
    "choice a list": (edit("config.json", choice=[]), "'choice' in config.json"),
    "choice of no texts": (edit("config.json", choice={"data": 5}), "a whole config.json in"),
    "device unknown": (edit("config.json", device="warp"), "a device that this machine has"),
    "plan asked for unknown": (edit("config.json", plan="fast"), "a plan auto, exact or LAYOUT/PRECISION/THREADS"),
    "other data": (edit("facts.json", mean=1.0), "other data (facts.json differs)"),
    "data gone": (edit("config.json", choice={"data": "/no/such/data.npz"}), "/no/such/data.npz"),
}  # fmt: skip


@pytest.mark.parametrize("harm", RESUMED)
def test_resume_of_a_hostile_folder(
    run: Path, capsys: pytest.CaptureFixture[str], harm: str, little_memory: None
) -> None:
    act, text = RESUMED[harm]
    act(run)
    outside = {k: v for k, v in snapshot(run.parent).items() if not k.startswith(str(run))}
    kept = (run / "weights.safetensors").read_bytes()
    refused(["resume", "lenet-1", "--runs", str(run.parent)], capsys, text)
    assert {k: v for k, v in snapshot(run.parent).items() if not k.startswith(str(run))} == outside
    assert (run / "weights.safetensors").read_bytes() == kept


REPORTS: dict[str, Harm] = {
    "half-written": cut("report.json", 0.5), "no scores": edit("report.json", scores=None),
    "a score of no number": edit("report.json", scores={"error": {"value": "low"}}),
    "scores a list": edit("report.json", scores=[1]), "seconds a text": edit("report.json", seconds="long"),
    "missing": lambda run: (run / "report.json").unlink(),
}  # fmt: skip


@pytest.mark.parametrize("harm", REPORTS)
def test_compare_of_a_broken_report(run: Path, capsys: pytest.CaptureFixture[str], harm: str) -> None:
    REPORTS[harm](run)
    refused(["compare", "lenet-1", "--runs", str(run.parent)], capsys, "report.json")
    assert main(["runs", "--runs", str(run.parent)]) == 0


def test_edited_state_of_the_optimiser(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A state whose tree is nonsense, in a file that is whole."""
    from safetensors import safe_open

    path = run / "state" / "train.safetensors"
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        whole = json.loads(file.metadata()["state"])
    for tree in (
        {},
        [],
        None,
        5,
        {"dict": 3},
        {"tie": "nowhere"},
        {"dict": [["model", 1], ["optimizer", 2], ["memo", 3]]},
        {"dict": [[name, {"dict": []}] for name in ("model", "optimizer", "memo")]},
        {"tensor": "x", "order": []},
    ):
        save_file(tensors, path, metadata={"state": json.dumps({**whole, "tree": tree, "done": False})})
        refused(["resume", "lenet-1", "--runs", str(run.parent)], capsys, "the state of this page in")
    for field in ("step", "done", "log", "seconds", "waiting"):
        save_file(tensors, path, metadata={"state": json.dumps({**whole, field: "x"})})
        refused(["resume", "lenet-1", "--runs", str(run.parent)], capsys, "other fields in its header")


def test_half_written_folder(tmp_path: Path, picture: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lenet-1").mkdir()
    refused(["use", "lenet-1", picture, "--runs", str(tmp_path)], capsys, "one without config.json: half-written")
    assert main(["runs", "--runs", str(tmp_path)]) == 0


def test_weights_of_another_system(run: Path, picture: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"linear.weight": torch.zeros(2, 2)}, run / "weights.safetensors")
    seal(run)
    refused(["use", "lenet-1", picture, "--runs", str(run.parent)], capsys, "of shape")
    refused(["train", "lenet", "--from", "lenet-1", "--runs", str(run.parent), "--steps", "1", "--plan", "exact"], capsys,
            "none of the same name and shape")  # fmt: skip


def test_a_page_of_ones_own_is_named_by_the_user(
    run: Path, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder names a file beside it: it is not run."""
    (tmp_path / "mine.py").write_text("raise SystemExit('ran')")
    edit("config.json", system="mine")(run)
    os.chdir(tmp_path)
    refused(["use", "lenet-1", picture, "--runs", str(run.parent)], capsys, "Name its file: --page mine.py")
