"""AlexNet against what is known of it: parameters, names, towers, ten crops, starting weights."""

from __future__ import annotations

import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.systems.alexnet import PRESETS, AlexNet, Knobs, stepped


def facts(classes: int = 1000, channels: int = 3) -> dict:
    return {"labels": [str(k) for k in range(classes)], "channels": channels, "mean": 120.0, "spread": 60.0}


@pytest.mark.parametrize(("preset", "count"), [("paper", 60_965_224), ("single", 61_100_840)])
def test_parameters_as_published(preset: str, count: int) -> None:
    with torch.device("meta"):
        net = AlexNet(PRESETS[preset], facts())
    assert sum(p.numel() for p in net.parameters()) == count


def test_names_of_the_single_tower_are_torchvisions() -> None:
    with torch.device("meta"):
        names = set(AlexNet(PRESETS["single"], facts()).state_dict())
    layers = [f"features.{k}" for k in (0, 3, 6, 8, 10)] + [f"classifier.{k}" for k in (1, 4, 6)]
    assert names == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_towers_meet_in_layer_three_only() -> None:
    torch.manual_seed(0)
    net = AlexNet(changed(Knobs(), {"normalise": False}, "alexnet"), facts(10)).eval()
    x = torch.randn(1, 32, 8, 8)
    changed_half = x.clone()
    changed_half[:, :16] += 1
    second = net.features[3] if isinstance(net.features[3], torch.nn.Conv2d) else net.features[4]
    moved = (second(changed_half) != second(x)).any(3).any(2)[0]
    assert moved[:32].all() and not moved[32:].any()


def test_ten_crops_are_their_mean() -> None:
    torch.manual_seed(0)
    net = AlexNet(changed(Knobs(), {"flip": True}, "alexnet"), facts(10)).eval()
    image = torch.randint(0, 256, (2, 3, 36, 36), dtype=torch.uint8)
    parts = [image[:, :, y : y + 32, x : x + 32] for y, x in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))]
    want = torch.stack([net(p).softmax(-1) for part in parts for p in (part, part.flip(3))]).mean(0)
    assert torch.allclose(net(image).softmax(-1), want, atol=1e-6)
    single = AlexNet(changed(Knobs(), {"crops": False}, "alexnet"), facts(10)).eval()
    assert torch.allclose(single(image).softmax(-1), single(parts[4]).softmax(-1), atol=1e-6)


def test_the_papers_starting_weights() -> None:
    net = AlexNet(changed(Knobs(), {"start": "paper"}, "alexnet"), facts(10))
    convolutions = [layer for layer in net.features if isinstance(layer, torch.nn.Conv2d)]
    assert [float(layer.bias.detach().mean()) for layer in convolutions] == [0, 1, 0, 1, 1]
    assert float(convolutions[2].weight.detach().std()) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("change", [{"unit": "tanh"}, {"overlap": False}, {"normalise": False}, {"towers": 1}])
def test_each_ablation_is_another_net(change: dict) -> None:
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.manual_seed(0)
    base = AlexNet(Knobs(), facts(10)).eval()(image)
    torch.manual_seed(0)
    assert not torch.allclose(AlexNet(changed(Knobs(), change, "alexnet"), facts(10)).eval()(image), base)


def test_a_full_net_needs_a_large_crop() -> None:
    with pytest.raises(UserError, match=r"a crop from 63 pixels for the full net, got 32. Raise 'crop' and 'side'"):
        AlexNet(changed(Knobs(), {"size": "full"}, "alexnet"), facts(10))


def test_the_rate_falls_three_times() -> None:
    at = stepped(400)
    assert [round(at(step), 6) for step in (0, 99, 100, 200, 300, 399)] == [1, 1, 0.1, 0.01, 0.001, 0.001]
