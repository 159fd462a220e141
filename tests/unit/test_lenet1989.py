"""The net of 1989: its counts, and back-propagation by hand against autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from milestones.systems.lenet1989 import HEIGHT, LeNet1989, Stochastic, squash


def test_counts_of_the_paper() -> None:
    net = LeNet1989(10, modern=False)
    counts = [
        w.numel() + b.numel() for w, b in ((net.w1, net.b1), (net.w2, net.b2), (net.w3, net.b3), (net.w4, net.b4))
    ]
    assert counts == [1068, 2592, 5790, 310]
    assert sum(counts) == 9760
    connections = 64 * 12 * 25 + 768 + 16 * 12 * 200 + 192 + 5790 + 310
    assert connections == 64660


def test_each_map_of_h2_reads_eight_of_twelve() -> None:
    net = LeNet1989(10, modern=False)
    image = torch.rand(1, 1, 16, 16) * 255
    for group, reads in enumerate(([*range(8)], [*range(4, 12)], [*range(4), *range(8, 12)])):
        net.zero_grad()
        h1 = squash(F.conv2d(F.pad(net.normalise(image), (2, 2, 2, 2), value=-1.0), net.w1, stride=2) + net.b1)
        h1.retain_grad()
        h2 = F.conv2d(F.pad(h1, (2, 2, 2, 2), value=-1.0)[:, net.maps], net.w2, stride=2, groups=3)
        h2[0, 4 * group].sum().backward()
        assert h1.grad is not None
        assert h1.grad[0].abs().sum((1, 2)).nonzero().flatten().tolist() == reads


def test_squash_is_about_one_at_one() -> None:
    assert float(squash(torch.ones(()))) == pytest.approx(1.0, abs=1e-3)


def test_update_follows_autograd() -> None:
    torch.manual_seed(0)
    net = LeNet1989(10, modern=False)
    with torch.no_grad():
        for bias in (net.b1, net.b2, net.b3, net.b4):
            bias.normal_(0, 0.1)
    image, target = torch.rand(1, 1, 16, 16) * 255, 2 * torch.eye(10)[3] - 1
    loss = 0.5 * (net(image) - target).square().sum()
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    before = [p.detach().clone() for p in net.parameters()]
    scale = 1e-2
    by_hand = Stochastic(net, lr=scale)
    with torch.inference_mode():
        wrong = by_hand.update(by_hand.patches(net.normalise(image))[0], target)
    assert 0.5 * float((HEIGHT * wrong).square().sum()) == pytest.approx(float(loss.detach()), rel=1e-5)
    for (name, now), was, gradient in zip(net.named_parameters(), before, gradients, strict=True):
        fan_in = {"1": 25, "2": 200, "3": 192, "4": 30}[name[1]]
        moved = (was - now.detach()) / scale * fan_in**0.5
        torch.testing.assert_close(moved, gradient, rtol=1e-3, atol=1e-4)


def test_a_second_update_sees_the_first() -> None:
    """Transposed weights are views, and the padded maps are used again: neither may keep old numbers."""
    torch.manual_seed(1)
    net, twin = LeNet1989(10, modern=False), LeNet1989(10, modern=False)
    twin.load_state_dict(net.state_dict())
    images, target = torch.rand(3, 1, 16, 16) * 255, 2 * torch.eye(10)[0] - 1
    by_hand = Stochastic(net, lr=0.1)
    for image in images:
        with torch.inference_mode():
            by_hand.update(by_hand.patches(net.normalise(image[None]))[0], target)
        loss = 0.5 * (twin(image[None]) - target).square().sum()
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        with torch.no_grad():
            for (name, p), gradient in zip(twin.named_parameters(), gradients, strict=True):
                p -= 0.1 / {"1": 25, "2": 200, "3": 192, "4": 30}[name[1]] ** 0.5 * gradient
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
