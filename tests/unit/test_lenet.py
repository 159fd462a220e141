"""LeNet-5: its counts, and that its raw input is any number type."""

from __future__ import annotations

import torch

from milestones.systems.lenet import Knobs, LeNet, build, loss


def test_counts_of_the_paper() -> None:
    net = LeNet(10, 33.0, 79.0)
    assert sum(p.numel() for p in net.parameters()) == 61706
    assert [p.shape for p in net.features[1].parameters()] == [(6, 1, 5, 5), (6,)]


def test_takes_raw_grey_levels() -> None:
    torch.manual_seed(0)
    net = build(Knobs(), {"labels": list("0123456789"), "mean": 33.0, "spread": 79.0})
    image = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(net(image), net(image.float()))
    assert net(image).shape == (3, 10)


def test_learns_only_from_labels_given() -> None:
    net = LeNet(3, 0.0, 1.0)
    from milestones.data import Labelled

    terms = loss(net, Labelled(torch.zeros(4, 1, 28, 28), torch.tensor([0, 1, 2, 0])))
    assert set(terms) == {"loss", "error"}
    assert 0.5 < float(terms["loss"].detach()) < 2


def test_mirrored_it_sees_both() -> None:
    torch.manual_seed(0)
    net = build(Knobs(flip=True), {"labels": list("0123456789"), "mean": 33.0, "spread": 79.0})
    image = 255 * torch.rand(3, 1, 28, 28)
    once = net(image), net(image.flip(3))
    torch.testing.assert_close(net.eval()(image), (once[0] + once[1]) / 2)
    torch.testing.assert_close(net(image), net(image.flip(3)))
