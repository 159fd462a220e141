"""`look` without an input: on the shipped runs, a tiny run of each page, and small nets for text, sound, boards."""

from __future__ import annotations

import argparse
import io
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from contract.conftest import Page
from contract.test_cli import one_json, refused
from PIL import Image
from torch import Tensor, nn

from milestones.catalog import Entry, find
from milestones.catalog import page as module_of
from milestones.cli import main
from milestones.core.config import Config
from milestones.core.source import Data, Held, keyed
from milestones.core.system import Probe, System
from milestones.report.insides import html_of
from milestones.trained import Trained
from milestones.verbs import exhibits, interior
from milestones.verbs.inside import looked, options

SHIPPED = ("lenet", "lenet1989", "mlp")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few examples and short ascents: what is shown is not looked at here."""
    monkeypatch.setattr(interior, "TEST", 120)
    monkeypatch.setattr(interior, "TRAIN", 150)
    monkeypatch.setattr("milestones.parts.units.STEPS", 4)
    monkeypatch.setattr(exhibits, "MOVED", 30)


def wishes(**more: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options(parser)
    args = parser.parse_args([])
    for name, value in {"run": "x", "runs": "runs", "page": "", "seed": 0, "beside": [], **more}.items():
        setattr(args, name, value)
    return args


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_runs(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", name, "--json"]) == 0
    found = one_json(capsys)
    folder = home / found.pop("look")
    kept = json.loads((folder / "look.json").read_text())
    assert kept.pop("format") == 1
    assert kept == found
    sheets = [one["picture"] for one in found["units"]]
    files = {"look.json", "report.html", "filters.png", "hierarchy.png", "mistakes.png", *sheets}
    assert {file.name for file in folder.iterdir()} - files <= {"mistakes.png"}
    for file in folder.glob("*.png"):
        Image.open(io.BytesIO(file.read_bytes())).verify()
    text = (folder / "report.html").read_text()
    titles = ("Layers", "First filters", "Simple to complex", "Orientation", "Shift", "Read out", "Map", "Likeness")
    for title in titles:
        assert f"<h2>{title}</h2>" in text
    assert found["parameters"] == {"lenet": 61706, "lenet1989": 9760, "mlp": 52650}[name]
    assert found["probes"][0]["layer"] == "input"
    assert all(one["low"] <= one["accuracy"] <= one["high"] for one in found["probes"])
    assert found["alike"]["values"][0][0] == pytest.approx(1)
    assert main(["look", name]) == 0
    said = capsys.readouterr().out
    assert "right answers of a linear reader of each layer: input" in said
    assert f"{name}-look-2" in said


def test_the_perceptron_says_why_not(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["look", "perceptron"], capsys, "scores can be differentiated by its input", "the page perceptron")
    assert not (home / "runs").exists()


def test_each_page_is_looked_into_or_says_why_not(
    page: Page, trained: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, home / "runs" / trained.name)
    words = ["look", trained.name, "--units", "2", "--json"]
    words += ["--page", page.name] if page.name.endswith(".py") else []
    system = module_of(find(page.name)).system
    if system.probe is None:
        refused(words, capsys, "has no probe")
        return
    assert main(words) == 0
    found = one_json(capsys)
    report = json.loads((home / "runs" / trained.name / "report.json").read_text())
    assert found["parameters"] == report["parameters"]
    assert found["multiply_adds"] > 0
    rows = sum(map(sum, found["confusion"]["counts"]))
    assert rows == found["over"] == len(found["classes"])
    if len(found["input"]) == 1:  # rows, and what a policy sees
        assert "units" not in found
        assert any("filters, what excites units, orientation, shift and the dream are left out" in note
                   for note in found["notes"])  # fmt: skip
    else:
        assert found["units"]
        assert found["tuning"]["units"]
        assert found["shifts"]["lines"]["input"][0] == 1


# Small nets for other kinds of input


class Small(NamedTuple):
    input: Tensor
    target: Tensor


class Spoken(nn.Module):
    """Time steps of numbers, as embedded text or sound: "B T D"."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(5, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x)[0].mean(1))


def board() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 3))


def wave() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 4, 5, stride=2), nn.ReLU(inplace=True), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                         nn.Linear(4, 3))  # fmt: skip


def spectrogram() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 5 * 9, 3))


def twice() -> nn.Module:
    layer = nn.Linear(7, 7)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(7, 3))


def narrow() -> nn.Module:
    """A layer of one unit, as a player's value is, where the map of the last hidden one is drawn."""
    return nn.Sequential(nn.Linear(7, 1), nn.Tanh(), nn.Linear(1, 3))


KINDS: dict[str, tuple[Any, tuple[int, ...], tuple[float, float]]] = {
    "text": (Spoken, (8, 5), (-float("inf"), float("inf"))),
    "board": (board, (2, 6, 6), (0.0, 1.0)),
    "sound": (wave, (1, 40), (-1.0, 1.0)),
    "spectrogram": (spectrogram, (1, 12, 20), (0.0, 1.0)),
    "rows": (twice, (7,), (-float("inf"), float("inf"))),
    "narrow": (narrow, (7,), (-float("inf"), float("inf"))),
}


def small(kind: str, folder: Path, count: int = 90) -> Trained:
    make, shape, (low, high) = KINDS[kind]

    def prepare(knobs: Any, place: Any) -> Data[Any]:
        input = torch.rand(3 * count, *shape, generator=keyed("small", kind))
        target = (input.flatten(1)[:, 0] * 3).long().clamp(max=2)
        parts = [Held(Small(input[i::3], target[i::3]), place, f"{kind} {s}", s) for i, s in
                 enumerate(("train", "valid", "test"))]  # fmt: skip
        return Data(*parts, {"labels": ["low", "mid", "high"]})

    def probe(model: nn.Module, batch: Small) -> Probe:
        return Probe(batch.input, low, high, model, batch.target)

    nothing: Any = None
    system = System(Config, {}, prepare, nothing, nothing, nothing, nothing, probe=probe)
    torch.manual_seed(0)
    config = {"seed": 0, "choice": {}}
    return Trained(folder, Entry(kind, 0, "", ""), system, nothing, {"labels": ["low", "mid", "high"]}, make().eval(),
                   config)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_other_inputs(kind: str, home: Path) -> None:
    trained = small(kind, home)
    net = interior.opened(trained)
    found, pictures = looked(net, wishes())
    json.dumps(found, allow_nan=False)
    assert found["probes"][0]["layer"] == "input"
    assert found["parameters"] == sum(weight.numel() for weight in trained.model.parameters())
    assert ("units" in found) == bool(pictures) == (kind == "spectrogram")
    if kind != "spectrogram":
        assert "no pictures: filters" in found["notes"][-1]
    text = html_of({**found, "seconds": 1.0, "command": "x"}, {n: i.encode()[1] for n, i in pictures.items()})
    assert "<h2>Layers</h2>" in text
    assert ("<h2>Orientation</h2>" in text) == (kind == "spectrogram")
    assert hooks(trained.model) == 0


def test_a_layer_that_is_reached_twice_is_told_of(home: Path) -> None:
    net = interior.opened(small("rows", home))
    assert [layer.name for layer in net.layers] == ["0", "4"]
    assert any("Reached several times" in note and "0" in note for note in net.notes)


@pytest.mark.parametrize("kind", ["spectrogram", "text", "board"])
def test_the_same_for_every_chunk(kind: str, home: Path) -> None:
    whole, _ = looked(interior.opened(small(kind, home), 1000), wishes())
    parts, _ = looked(interior.opened(small(kind, home), 7), wishes())
    assert near(whole, parts) == []


def near(one: Any, other: Any, at: str = "") -> list[str]:
    """Where two findings differ by more than rounding."""
    if isinstance(one, dict):
        return [w for key in one | other for w in near(one.get(key), other.get(key), f"{at}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [word for k, pair in enumerate(zip(one, other, strict=True)) for word in near(*pair, f"{at}[{k}]")]
    if isinstance(one, float) and isinstance(other, float):
        return [] if one == pytest.approx(other, rel=2e-3, abs=2e-3) else [f"{at}: {one} and {other}"]
    return [] if one == other else [f"{at}: {one} and {other}"]


def test_no_hook_stays_when_it_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = small("spectrogram", home)
    net = interior.opened(trained)

    def fail(*words: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(interior.similarity, "direction", fail)
    monkeypatch.setattr(exhibits.units, "peaks", fail)
    with pytest.raises(ZeroDivisionError):
        looked(net, wishes())
    assert hooks(trained.model) == 0


def test_memory_is_shared_out() -> None:
    assert interior.chunk_for(1) == interior.LARGEST_CHUNK
    assert interior.chunk_for(1 << 60) == 1
    assert 1 <= interior.chunk_for(50 << 20) < interior.LARGEST_CHUNK


# Wishes


def digits_of(folder: Path, label: int, count: int) -> Path:
    """Pictures of one class in a folder."""
    folder.mkdir()
    import milestones.data

    with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
        for k in np.flatnonzero(archive["label"][:2000] == label)[:count]:
            Image.fromarray(archive["image"][k]).save(folder / f"{k}.png")
    return folder


def test_a_concept_that_is_a_class_raises_its_score(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sevens as the concept: the score of seven rises towards them at every layer, and that is no chance."""
    folder = digits_of(home / "sevens", 7, 10)
    assert main(["look", "lenet", "--concept", str(folder), "--units", "1", "--json"]) == 0
    rows = [one for one in one_json(capsys)["concept"]["rows"] if one["class"] == "7"]
    late = [one for one in rows if one["layer"].startswith("classifier")]
    assert late
    assert all(one["share"] > 90 and one["significant"] for one in late), rows


def test_what_is_no_concept_is_not_significant(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two digits of each class are as any other draw of digits."""
    folder = home / "mixed"
    folder.mkdir()
    import milestones.data

    with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
        for label in range(10):
            for k in np.flatnonzero(archive["label"] == label)[-2:]:
                Image.fromarray(archive["image"][k]).save(folder / f"{label}-{k}.png")
    assert main(["look", "lenet", "--concept", str(folder), "--units", "1", "--json"]) == 0
    found = one_json(capsys)["concept"]
    assert sum(one["significant"] for one in found["rows"]) <= 0.2 * len(found["rows"])
    assert max(found["told"].values()) < 75


def test_beside_itself_all_layers_are_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", "lenet", "--beside", "lenet", "--units", "1", "--json"]) == 0
    found = one_json(capsys)
    assert np.allclose(np.diag(found["beside"]["values"]), 1, atol=1e-4)
    assert found["beside"]["values"] == found["alike"]["values"]
    assert main(["look", "lenet", "--beside", "mlp", "--layer", "classifier.2"]) == 0
    assert "CKA with mlp" in capsys.readouterr().out


def test_the_dream_and_one_layer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)).save(home / "photo.png")
    assert main(["look", "lenet", "--dream", "photo.png", "--layer", "features.4", "--units", "3", "--json"]) == 0
    found = one_json(capsys)
    assert [one["layer"] for one in found["units"]] == ["features.4"]
    assert len(found["units"][0]["units"]) == 3
    assert found["dream"]["layer"] == "features.4"
    assert found["dream"]["gain"][1] > found["dream"]["gain"][0]
    picture = Image.open(io.BytesIO((home / found["look"] / "dream.png").read_bytes()))
    assert (picture.height, picture.width) == (112, 168)


def test_a_map_by_tsne(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", "mlp", "--map", "tsne", "--units", "1", "--json"]) == 0
    found = one_json(capsys)
    assert [one["kind"] for one in found["maps"]] == ["tsne", "tsne"]
    assert all(len(one["points"]) == found["over"] for one in found["maps"])


def test_without_scikit_learn(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    refused(["look", "mlp", "--map", "tsne"], capsys, "scikit-learn, which makes the map of --map tsne",
            'pip install "milestones[tables]"')  # fmt: skip


def test_a_repeated_look_finds_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for _ in range(2):
        assert main(["look", "lenet1989", "--units", "2", "--seed", "3", "--json"]) == 0
        found.append(one_json(capsys))
    assert found[0].pop("command") == found[1].pop("command") == "milestones look lenet1989 --seed 3 --units 2"
    for one in found:
        del one["look"], one["seconds"]
    assert found[0] == found[1]


def test_an_ensemble_is_one_of_its_nets(home: Path) -> None:
    from milestones.parts.ensemble import Ensemble

    trained = small("spectrogram", home)
    net = interior.opened(trained._replace(model=Ensemble([trained.model, spectrogram().eval()]).eval()))
    assert "2 nets that answer as one; this is net 1 alone" in net.notes[0]
    assert [layer.name for layer in net.layers] == ["0", "4"]


def bad_files(home: Path) -> None:
    (home / "empty").mkdir()
    digits_of(home / "few", 3, 3)
    (home / "text.png").write_text("no picture")


@pytest.mark.parametrize(("words", "texts"), {
    "layer": (["lenet", "--layer", "features.11"], ["a layer of this net, got --layer features.11", "'features.1'?"]),
    "no such layer": (["mlp", "--layer", "zzz"], ["a layer of this net", "There are: layers.0, layers.1"]),
    "units": (["lenet", "--units", "0"], ["one unit or more, got --units 0"]),
    "empty concept": (["lenet", "--concept", "empty"], ["a folder with pictures", "without any"]),
    "small concept": (["lenet", "--concept", "few"], ["8 examples of the concept or more, got 3 in few"]),
    "no concept": (["lenet", "--concept", "no/such"], ["no/such, which does not exist"]),
    "other inputs": (["lenet", "--beside", "lenet1989"], ["a run that takes the same inputs", "1 x 16 x 16 instead"]),
    "beside nothing": (["lenet", "--beside", "lenett"], ["Did you mean 'lenet'?"]),
    "beside two": (["lenet", "--beside", "mlp,lenet1989"], ["one run to compare the layers", "2: mlp, lenet1989"]),
    "beside without a probe": (["lenet", "--beside", "perceptron"], ["which has no probe"]),
    "dream of text": (["lenet", "--dream", "text.png"], ["text.png, which is a text file"]),
    "dream of nothing": (["lenet", "--dream", "none.png"], ["none.png"]),
    "map": (["lenet", "--map", "umap"], ["invalid choice: 'umap'"]),
    "run": (["lenett"], ["Did you mean 'lenet'?"]),
}.values(), ids=lambda value: "")  # fmt: skip
def test_what_cannot_be_used(
    words: list[str], texts: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad_files(home)
    refused(["look", *words], capsys, *texts)
    assert not (home / "runs").exists()


def test_a_dream_needs_pictures_and_likeness_examples(home: Path) -> None:
    from milestones.core.errors import UserError

    net = interior.opened(small("rows", home))
    with pytest.raises(UserError, match="--dream for a run that sees pictures, got inputs of rows of 7 numbers"):
        looked(net, wishes(dream="x.png"))
    net = interior.opened(small("rows", home, 3))
    found, _ = looked(net, wishes())
    assert "alike" not in found
    assert any("Likeness of layers is left out" in note for note in net.notes)
    with pytest.raises(UserError, match="4 test examples for --beside"):
        interior.companion(net, small("rows", home))


def test_a_net_without_layers(home: Path) -> None:
    from milestones.core.errors import UserError

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :3].sin()

    trained = small("rows", home)._replace(model=Odd())
    with pytest.raises(UserError, match="convolutions, linear or recurrent layers, got a net in whose pass"):
        interior.opened(trained)
