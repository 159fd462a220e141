"""Shapes, parameters and multiply-adds: by hand, by the published figures, and by torch's own counter."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from milestones.parts.census import OTHER, census
from milestones.systems import alexnet, lenet, lenet1989, resnet

FACTS = {"labels": list("0123456789"), "mean": 33.0, "spread": 78.0, "channels": 1, "side": 28, "counts": [1] * 10}
PHOTOS = {**FACTS, "labels": list(map(str, range(1000))), "channels": 3, "counts": [1] * 1000}


def test_lenet_by_hand() -> None:
    model = lenet.build(lenet.Knobs(), FACTS).eval()
    found = {line.name: line for line in census(model, model, torch.zeros(2, 1, 28, 28))}
    assert sum(line.parameters for line in found.values()) == 61706
    by_hand = {  # parameters, multiply-adds
        "features.1": (6 * 25 + 6, 28 * 28 * 6 * 25),
        "features.4": (16 * 150 + 16, 10 * 10 * 16 * 150),
        "classifier.0": (400 * 120 + 120, 400 * 120),
        "classifier.2": (120 * 84 + 84, 120 * 84),
        "classifier.4": (84 * 10 + 10, 84 * 10),
    }
    assert {name: (line.parameters, line.multiply_adds) for name, line in found.items() if line.parameters} == by_hand
    assert sum(line.multiply_adds for line in found.values()) == 416520
    assert [found[name].shape for name in ("features.1", "features.3", "features.4", "classifier.4")] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (10,)]  # fmt: skip
    assert OTHER not in found


def test_the_net_of_1989_has_its_papers_connections() -> None:
    """LeCun et al. (1989): 1,256 units, 64,660 connections, 9,760 parameters; a connection for each unit's bias."""
    model = lenet1989.build(lenet1989.Knobs(), FACTS).eval()
    found = census(model, model, torch.zeros(1, 1, 16, 16))
    assert [line.name for line in found] == ["w1", "w2", "w3", "w4"]
    assert [line.parameters for line in found] == [1068, 2592, 5790, 310]  # of the paper's section 3.2
    units = sum(math.prod(line.shape) for line in found)
    assert units == 1000
    assert sum(line.multiply_adds for line in found) + units == 64660


def test_alexnet_as_published() -> None:
    """Sze et al. (2017), Efficient processing of deep neural networks, table II: 61 M weights, 724 M multiply-adds, of
    which 666 M in the convolutions and 58.6 M in the fully connected layers."""
    with torch.device("meta"):
        model = alexnet.AlexNet(alexnet.Knobs(size="full", crop=224, side=256), PHOTOS).eval()
        found = census(model, model.once, torch.zeros(1, 3, 224, 224))
    assert sum(line.parameters for line in found) == 60965224
    convolutions = sum(line.multiply_adds for line in found if line.op == "conv2d")
    linear = sum(line.multiply_adds for line in found if line.op == "linear")
    assert convolutions == 105415200 + 223948800 + 149520384 + 112140288 + 74760192 == 665784864
    assert linear == 9216 * 4096 + 4096 * 4096 + 4096 * 1000 == 58621952
    assert sum(line.multiply_adds for line in found) == 724406816


def test_resnet_as_published() -> None:
    """He et al. (2015), table 1: the net of 18 layers takes 1.8 billion multiply-adds, that of 34 takes 3.6."""
    for depth, billions, parameters in ((18, 1.8, 11689512), (34, 3.6, 21797672)):
        with torch.device("meta"):
            model = resnet.ResNet(resnet.Knobs(depth=depth, side=224), PHOTOS).eval()
            found = census(model, model, torch.zeros(1, 3, 224, 224))
        assert sum(line.multiply_adds for line in found) / 1e9 == pytest.approx(billions, abs=0.1)
        assert sum(line.parameters for line in found) == parameters


class Odd(nn.Module):
    """Products of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose1d(3, 4, 3, stride=2, bias=False)
        self.line = nn.Conv1d(4, 6, 3, groups=2)
        self.mix = nn.Parameter(torch.randn(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.line(self.up(x)).transpose(1, 2)  # B T 6
        y = y @ self.mix
        y = torch.einsum("btd,bsd->bts", y, y).softmax(-1) @ y
        return torch.addmm(torch.zeros(2), y.mean(1), torch.ones(5, 2))


def test_against_the_counter_of_torch() -> None:
    for model, x in ((Odd(), torch.randn(2, 3, 7)), (lenet.build(lenet.Knobs(), FACTS), torch.zeros(2, 1, 28, 28))):
        model.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(x)
        assert sum(line.multiply_adds for line in census(model, model, x)) == counter.get_total_flops() / 2 / len(x)


def test_attention_without_weights_by_hand() -> None:
    """torch's own counter does not see this one on a CPU: queries 5, keys 7, width 3, values 2; two heads."""

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x[:, :, :5], x, x[..., :2])

    (line,) = census(Net(), Net(), torch.randn(4, 2, 7, 3))
    assert line.multiply_adds == 2 * (5 * 7 * 3 + 5 * 7 * 2)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("both", [False, True])
def test_recurrent_by_hand(kind: Callable[..., nn.RNNBase], gates: int, both: bool) -> None:
    t, d, h, ways = 7, 3, 5, 2 if both else 1
    model = kind(d, h, num_layers=2, batch_first=True, bidirectional=both).eval()
    (line,) = census(model, model, torch.randn(2, t, d))
    assert line.multiply_adds == t * ways * gates * h * ((d + h) + (ways * h + h))
    assert line.parameters == sum(p.numel() for p in model.parameters())
    assert line.calls == 1


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3)])
def test_a_cell_in_a_loop(kind: Callable[..., nn.Module], gates: int) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = kind(3, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            state = None
            for now in x.unbind(1):
                state = self.cell(now, state)
            return self.out(state[0] if isinstance(state, tuple) else state)

    model = Net().eval()
    cell, out = census(model, model, torch.randn(4, 6, 3))
    assert (cell.calls, cell.multiply_adds) == (6, 6 * gates * 5 * (3 + 5))
    assert (out.calls, out.multiply_adds) == (1, 10)


@pytest.mark.parametrize("first", [False, True])
def test_attention_by_hand(first: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, batch_first=first)

        def forward(self, x: Tensor) -> Tensor:
            x = x if first else x.transpose(0, 1)
            return self.attend(x, x, x)[0]

    model, t = Net().eval(), 6
    lines = census(model, model, torch.randn(3, t, 8))
    assert sum(line.multiply_adds for line in lines) == 4 * t * 8 * 8 + 2 * t * t * 8
    assert sum(line.parameters for line in lines) == 4 * 8 * 8 + 4 * 8


def test_what_the_pass_does_not_meet_is_counted_elsewhere() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    model.unused = nn.Parameter(torch.zeros(7))
    net = lambda x: model[0](x)  # noqa: E731
    found = census(model, net, torch.zeros(1, 3))
    assert [(line.name, line.parameters) for line in found] == [("0", 8), (OTHER, 7)]


def test_weights_that_two_layers_share_count_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    found = census(model, model, torch.zeros(1, 3))
    assert [line.parameters for line in found] == [9, 0]
    assert sum(line.multiply_adds for line in found) == 18
