"""Nets for pictures under torchvision's names, which are timm's too: opened, used, attacked, lent to a training."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.test_cli import one_json, refused
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file
from torch import nn

from milestones.catalog import find, load, page, published_page
from milestones.cli import main
from milestones.core.config import changed
from milestones.trained import LEVELS

NAMES = ["llama", "gibbon", "panda", "otter", "lynx"]
ONLY_OURS = ("whitened", "num_batches_tracked")


def saved(path: Path, who: str, settings: dict, preset: str = "quick") -> Path:
    """Weights of a page's net in a file as torchvision would name them."""
    system = page(find(who)).system
    facts = {"labels": NAMES, "counts": [1] * 5, "mean": 0.0, "spread": 1.0, "channels": 3}
    torch.manual_seed(0)
    net = system.build(changed(system.presets[preset], settings, who), facts)
    for layer in net.modules():  # blocks that begin as the identity would hide an error in them
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    save_file({name: tensor for name, tensor in net.state_dict().items() if not name.endswith(ONLY_OURS)}, path)
    return path


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return saved(folder / "resnet18.safetensors", "resnet", {"depth": 18})


@pytest.fixture
def photo(tmp_path: Path) -> str:
    levels = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    Pillow.fromarray(levels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_levels_are_those_of_imagenet(resnet: Path) -> None:
    """What goes in is (level / 255 - mean) / deviation with the usual three means and deviations."""
    trained = load(str(resnet))
    image = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(1))
    mean, deviation = (torch.tensor(three)[:, None, None] for three in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    bare = copy.deepcopy(trained.model)
    bare.normalise = nn.Identity()
    with torch.no_grad():
        assert torch.allclose(trained.model(image), bare((image / 255 - mean) / deviation), rtol=1e-4, atol=1e-4)
    kept = load_file(resnet)
    assert all(torch.equal(tensor, trained.model.state_dict()[name]) for name, tensor in kept.items())
    assert trained.knobs.depth == 18 and trained.entry.name == "resnet" and not trained.model.training
    assert [len(three) for three in LEVELS.values()] == [3, 3]


def test_the_panda(resnet: Path, photo: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user's photo, 0.007, both chances, and the difference magnified (Goodfellow et al. 2015, figure 1)."""
    assert main(["use", str(resnet), photo, "--json"]) == 0
    said = one_json(capsys)["answers"][0]["answer"]
    words = ["attack", str(resnet), photo, "--norm", "inf", "--eps", "0.007", "--method", "fgsm", "--json"]
    assert main(words) == 0
    found = one_json(capsys)
    (one,) = found["shown"]
    assert one["before"]["label"] in NAMES and one["before"]["label"] in json.dumps(said)
    assert 0 < one["before"]["chance"] <= 1 and 0 < one["after"]["chance"] <= 1
    assert one["distance"] == pytest.approx(0.007, rel=1e-3)
    assert one["magnified"] == pytest.approx(127 / (0.007 * 255), rel=1e-2)
    for name in one["files"]:
        with Pillow.open(home / found["study"] / "pictures" / name) as picture:
            assert picture.size == (224, 224)


def test_a_net_of_one_tower(tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    weights = saved(tmp_path / "alexnet.safetensors", "alexnet", {}, "single")
    assert published_page(weights) == "alexnet"
    assert main(["use", str(weights), photo, "--json"]) == 0
    ranking = one_json(capsys)["answers"][0]["answer"]
    assert {one["label"] for one in ranking} == set("01234"), "without classes.txt they are numbered"


def test_halves_are_read(resnet: Path, tmp_path: Path) -> None:
    save_file({name: tensor.half() for name, tensor in load_file(resnet).items()}, tmp_path / "half.safetensors")
    net = load(str(tmp_path / "half.safetensors")).model
    assert {tensor.dtype for tensor in net.parameters()} == {torch.float32}


def test_they_are_lent_to_a_training(resnet: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All but the last layer, which has other classes."""
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (home / "photos" / name).mkdir(parents=True)
        for number in range(10):
            levels = rng.integers(0, 128, (24, 24, 3)) + 128 * (name == "light")
            Pillow.fromarray(levels.astype(np.uint8)).save(home / "photos" / name / f"{number}.png")
    words = ["train", "resnet", "--depth", "18", "--side", "24", "--steps", "1", "--batch", "4", "--plan", "exact"]
    assert main([*words, "--data", "photos", "--from", str(resnet), "--json"]) == 0
    run = home / one_json(capsys)["run"]
    origin = json.loads((run / "config.json").read_text())["from"]
    left = {name for name in origin["left"] if not name.endswith("num_batches_tracked")}
    assert left == {"fc.weight", "fc.bias", "whitened"}
    assert set(origin["taken"]) == set(load_file(resnet)) - {"fc.weight", "fc.bias"}


def deeper(tensors: dict[str, torch.Tensor]) -> None:
    tensors["layer3.2.conv1.weight"] = torch.zeros(1)


def other_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["bn1.weight"] = torch.ones(63)


def without(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["layer2.1.bn2.bias"]


def no_numbers(tensors: dict[str, torch.Tensor]) -> None:
    tensors["fc.bias"] = torch.full((5,), torch.nan)


@pytest.mark.parametrize(("harm", "words"), [
    (deeper, "expected a residual net of 18, 34 or 50 layers, got blocks 2, 2, 3, 2"),
    (other_shape, "expected bn1.weight of shape [64]"),
    (without, "layer2.1.bn2.bias of shape [128]"),
    (no_numbers, "NaN or infinity in fc.bias"),
])  # fmt: skip
def test_other_nets_are_refused(resnet: Path, tmp_path: Path, photo: str, harm: Callable[[dict], None], words: str,
                                capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    tensors = load_file(resnet)
    harm(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    refused(["use", str(tmp_path / "other.safetensors"), photo], capsys, words)


def test_what_published_weights_cannot(resnet: Path, tmp_path: Path, photo: str,
                                       capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """They came without the examples that they learned from; and their classes must be as many as their outputs."""
    for words in (["attack"], ["look"], ["look", "--example", "1"], ["look", "--landscape"], ["score"]):
        refused([words[0], str(resnet), *words[1:]], capsys, "expected a run that knows what it learned from")
    moved = tmp_path / "resnet18.safetensors"
    moved.write_bytes(resnet.read_bytes())
    (tmp_path / "classes.txt").write_text("panda\ngibbon\n")
    refused(["use", str(moved), photo], capsys, "expected 5 classes in", "got 2 lines")
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\xff")
    refused(["use", str(moved), photo], capsys, "expected a class a line in")
