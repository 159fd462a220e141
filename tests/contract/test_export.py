"""`export` on pages of several kinds: its nets say what the page's say, its script answers as `use`, or it says why
not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract import tiny
from contract.conftest import ROOT, page_of
from contract.test_cli import one_json, refused
from PIL import Image as Pillow

from milestones.catalog import load
from milestones.cli import main
from milestones.verbs.execute import Order, begin
from milestones.verbs.export import ALONE
from milestones.verbs.subject import prepared

onnxruntime = pytest.importorskip("onnxruntime")
PLAYS = "plays by itself in a world"
SCRIPTS = {  # page -> why it has no script; "": it has one
    "lenet": "", "resnet": "", "fewshot": "", "parity": "", "vectors": "", "ppo": PLAYS,
    "alphazero": "it searches a game by compiled rules",
}  # fmt: skip
NETS = ("lenet", "resnet")  # whose forward takes the batch's pictures


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """As its user runs it: in this process the tests' checks of shapes would be traced with the net."""
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "milestones", "export", *words], capture_output=True, text=True,
                          env=path, check=False)  # fmt: skip


@pytest.fixture(scope="session", params=SCRIPTS)
def made(request: pytest.FixtureRequest, place: Path) -> tuple[str, Path, Path, dict[str, Any]]:
    """A page, its tiny run, the folder of its export, and what the verb said."""
    page, target = page_of(request.param, place), place / f"export-{request.param}"
    folder = begin(page.name, page.settings, Order(**page.order()), place / "exported").folder
    done = command(str(folder), "--to", str(target), "--script", "--json")
    assert done.returncode == 0, done.stderr
    return request.param, folder, target, json.loads(done.stdout)


def near(one: Any, other: Any) -> bool:
    """Whether two answers in JSON are the same but for the last bits of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(near, one, other))
    return one == (pytest.approx(other, rel=1e-4, abs=1e-5) if isinstance(other, float) else other)


def test_what_is_exported(made: tuple[str, Path, Path, dict[str, Any]], capsys: pytest.CaptureFixture[str],
                          tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    name, folder, target, said = made
    assert said["files"] == sorted(path.name for path in target.iterdir())
    assert {"README.md", "config.json", "facts.json", "model.safetensors"} <= set(said["files"])
    card = (target / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: pytorch")
    assert all(f"- {line}" in card for line in said["refused"])
    for score in json.loads((folder / "report.json").read_text())["scores"].values():
        assert f"{score['value']:.4g} ({score['low']:.4g} to {score['high']:.4g})" in card
    trained = load(str(folder))
    if name in NETS:
        image = next(iter(prepared(trained).train.sweep(100)))[0]
        session = onnxruntime.InferenceSession(target / "model.onnx")
        with torch.no_grad():
            want = trained.model(image).numpy()
        for size in (100, 3):
            got = session.run(None, {"input": image[:size].numpy()})[0]
            assert got.shape == (size, want.shape[1])
            assert np.abs(got - want[:size]).max() <= 1e-4
        wrong = session.run(None, {"input": 255 - image.numpy()})[0]
        assert np.abs(wrong - want).max() > 1e-2, "a check that could not fail"
        assert b"labels" in (target / "model.onnx").read_bytes()
    if SCRIPTS[name]:
        assert "use.py" not in said["files"]
        assert any(line.startswith("use.py: ") and SCRIPTS[name] in line for line in said["refused"])
        return
    assert "import milestones" not in (target / "use.py").read_text()
    inputs = list(tiny.of(name).texts)
    if not inputs:
        pixels = np.full((40, 40, 3), 250, np.uint8)
        pixels[8:32, 18:23] = 10
        Pillow.fromarray(pixels).save(tmp_path / "one.png")
        pixels[8:12, 10:24] = 60
        Pillow.fromarray(pixels).save(tmp_path / "seven.png")
        inputs = [str(tmp_path / "one.png"), str(tmp_path / "seven.png")]
    assert main(["use", str(folder), *inputs, "--json"]) == 0
    want = one_json(capsys)["answers"]
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [sys.executable, "-I", "-c", ALONE, str(target / "use.py"), *inputs]
    done = subprocess.run(words, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert near(json.loads(done.stdout)["answers"], want)


def test_a_folder_that_exists_stays_as_it_is(trained_lenet: Path, tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept.txt").write_text("kept")
    words = ["export", str(trained_lenet), "--to"]
    refused([*words, str(tmp_path / "mine")], capsys, "expected a new folder to export to")
    refused([*words, str(tmp_path / "no" / "where")], capsys, "expected --to in a folder that exists")
    (tmp_path / ".new.part").mkdir()
    refused([*words, str(tmp_path / "new")], capsys, "to make the folder")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["kept.txt"]


def test_runs_that_cannot_be_exported(trained_lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    import shutil

    monkeypatch.chdir(tmp_path)
    refused(["export", "lenet-77"], capsys, "expected a run (a folder")
    refused(["export", "lenet"], capsys, "expected --to FOLDER for a run that comes with the program")
    copy = Path(shutil.copytree(trained_lenet, tmp_path / "half"))
    status = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(json.dumps({**status, "state": "stopped"}))
    refused(["export", str(copy)], capsys, "expected a finished run to export, got one that is stopped")
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "vocab.json").write_text("{}")
    refused(["export", str(tmp_path / "gpt2")], capsys, "expected a run that was trained here")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(["export", str(trained_lenet)], capsys, "expected the extra 'export', got no onnx")
    assert not (copy / "export").exists()
