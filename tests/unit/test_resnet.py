"""The residual net against what is known of it: parameters, names, shortcuts, whitening."""

from __future__ import annotations

import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.data import Labelled
from milestones.parts.layers import whiten
from milestones.systems.resnet import PRESETS, Block, Knobs, ResNet, loss, stepped


def facts(classes: int = 10, channels: int = 3) -> dict:
    return {"labels": [str(k) for k in range(classes)], "counts": [10] * classes, "channels": channels,
            "mean": 120.0, "spread": 60.0}  # fmt: skip


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("depth", "classes", "count"), [
    (20, 10, 269_722), (56, 10, 853_018), (18, 1000, 11_689_512), (34, 1000, 21_797_672), (50, 1000, 25_557_032),
])  # fmt: skip
def test_parameters_as_published(depth: int, classes: int, count: int) -> None:
    knobs = changed(PRESETS["paper"], {"depth": depth}, "resnet")
    with torch.device("meta"):
        assert parameters(ResNet(knobs, facts(classes))) == count


def test_names_are_torchvisions() -> None:
    with torch.device("meta"):
        names = set(ResNet(changed(Knobs(), {"depth": 50}, "resnet"), facts(1000)).state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.1.bias", "layer3.5.conv3.weight",
            "layer4.2.bn3.num_batches_tracked", "fc.bias"} <= names  # fmt: skip
    assert len(names) == 320 + 1, "torchvision's 320, and whether the stem is whitened"


def test_a_block_begins_as_the_identity() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 8, 6, 6).relu()
    block = Block(8, 8, 1, project=False)
    assert torch.allclose(block(x), x)
    narrowed = Block(8, 16, 2, project=False)(x)
    assert torch.equal(narrowed[:, :8], x[:, :, ::2, ::2]) and (narrowed[:, 8:] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_are_white(channels: int) -> None:
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(torch.randn(200, channels, 34, 34), 3, 1) * 3
    layer = torch.nn.Conv2d(channels, 18 * channels, 3, 3, bias=False)
    whiten(layer, smooth[:, :, :30, :30], least=0.0)
    half = 9 * channels
    assert torch.equal(layer.weight[:half], -layer.weight[half:])
    out = layer(smooth[:, :, :30, :30])[:, :half].transpose(0, 1).flatten(1)
    assert torch.allclose(torch.cov(out), torch.eye(half), atol=0.02)


def test_a_depth_that_is_none() -> None:
    with pytest.raises(UserError, match=r"a depth of 6n \+ 2 .*got 21. Change 'depth'"):
        ResNet(changed(Knobs(), {"depth": 21}, "resnet"), facts())


def test_rare_classes_weigh_more() -> None:
    uneven = {**facts(2), "counts": [90, 10]}
    assert ResNet(changed(Knobs(), {"balance": 1.0}, "resnet"), uneven).class_weight.tolist() == pytest.approx(
        [50 / 90, 5.0]
    )
    assert ResNet(Knobs(), uneven).class_weight.tolist() == [1, 1]


def test_mirrored_views_agree_and_targets_may_be_soft() -> None:
    torch.manual_seed(0)
    net = ResNet(changed(Knobs(), {"flip": True, "width": 8}, "resnet"), facts()).eval()
    image = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert torch.allclose(net(image), net(image.flip(3)), atol=1e-5)
    with torch.no_grad():
        hard = loss(net, Labelled(image, torch.arange(4)))
        soft = loss(net, Labelled(image, torch.nn.functional.one_hot(torch.arange(4), 10).float()))
    assert float(hard["loss"]) == pytest.approx(float(soft["loss"]), rel=1e-5) and hard["error"] == soft["error"]


def test_the_papers_rates() -> None:
    at = stepped(64_000)
    assert [at(0), at(31_999), at(32_000), at(47_999), at(48_000)] == [1.0, 1.0, 0.1, 0.1, 0.01]
