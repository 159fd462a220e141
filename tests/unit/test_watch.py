"""Watching a net: what is seen is what the layers put out, by modules or functions; nothing stays, nothing grows."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode

from milestones.parts.watch import Watch, flat, layers_of, responses, steps_of


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


class Bare(nn.Module):
    """A net of bare functions on parameters of its own, as in 1989."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(4, 1, 3, 3)), nn.Parameter(torch.randn(4, 6, 6))
        self.w2 = nn.Parameter(torch.randn(5, 4 * 9))

    def forward(self, x: Tensor) -> Tensor:
        y = 1.7 * torch.tanh(0.6 * (F.conv2d(x, self.w1) + self.b1))
        return F.linear(F.avg_pool2d(y, 2).flatten(1), self.w2)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 2, 3, padding=1)
        self.fc = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return self.fc(F.relu(self.conv2(y) + x).mean((2, 3)))


def conv_net(inplace: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4)).eval()


def test_layers_of_modules() -> None:
    model = conv_net()
    layers = layers_of(steps_of(model, model, torch.randn(2, 1, 8, 8)))
    assert [(one.name, one.total, one.out, one.pool) for one in layers] == [("0", "0", "1", "2"), ("4", "4", "4", "")]
    assert [(one.shape, one.axis) for one in layers] == [((2, 3, 6, 6), 1), ((2, 4), 1)]


def test_layers_of_bare_functions() -> None:
    model = Bare()
    layers = layers_of(steps_of(model, model, torch.randn(2, 1, 8, 8)))
    assert [(one.name, one.total, one.out, one.pool) for one in layers] == [
        ("w1", "w1 sum", "w1 tanh", "w1 avg_pool2d"), ("w2", "w2", "w2", "")]  # fmt: skip
    x = torch.randn(3, 1, 8, 8)
    found = flat(model, model, x, ["w1 sum", "w1 tanh"], 2)
    total = F.conv2d(x, model.w1) + model.b1
    assert torch.allclose(found["w1 sum"], total.flatten(1))
    assert torch.allclose(found["w1 tanh"], torch.tanh(0.6 * total).flatten(1))


def test_a_sum_with_the_input_belongs_to_its_layer() -> None:
    model = Residual().eval()
    layers = layers_of(steps_of(model, model, torch.randn(2, 2, 5, 5)))
    assert [(one.name, one.total, one.out) for one in layers] == [
        ("conv1", "bn1", "conv1 relu"), ("conv2", "conv2 sum", "conv2 relu"), ("fc", "fc", "fc")]  # fmt: skip


def test_what_is_changed_in_place_afterwards_is_seen_as_it_was() -> None:
    model, x = conv_net(inplace=True), torch.randn(5, 1, 8, 8)
    found = flat(model, model, x, ["0", "1"], 5)
    with torch.no_grad():
        want = F.conv2d(x, model[0].weight, model[0].bias).flatten(1)
    assert (want < 0).any()
    assert torch.allclose(found["0"], want, atol=1e-6)
    assert torch.allclose(found["1"], want.relu(), atol=1e-6)


def test_the_first_of_several_calls() -> None:
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    x = torch.randn(2, 3)
    with Watch(model, ("0",)) as seen:
        model(x)
    assert seen.calls["0"] == 2
    assert torch.equal(seen.found["0"], layer(x))


@pytest.mark.parametrize("inplace", [False, True])
def test_the_gradient_by_a_layer_is_that_of_all_that_comes_after(inplace: bool) -> None:
    model, x = conv_net(inplace).requires_grad_(False), torch.randn(5, 1, 8, 8)
    for place, name in enumerate("0123"):
        with Watch(model, (name,), cut=True) as seen:
            score = model(x)[:, 2].sum()
        (slope,) = torch.autograd.grad(score, seen.found[name])
        here = model[: place + 1](x).clone().requires_grad_()
        if name == "0" and inplace:
            here = F.conv2d(x, model[0].weight, model[0].bias).requires_grad_()
        after = conv_net(False)[place + 1 :].requires_grad_(False)
        (want,) = torch.autograd.grad(after(here)[:, 2].sum(), here)
        assert torch.allclose(slope, want, atol=1e-6), name


def test_the_gradient_by_a_bare_function() -> None:
    model, x = Bare().requires_grad_(False), torch.randn(5, 1, 8, 8)
    with Watch(model, ("w1 tanh",), cut=True) as seen:
        score = model(x)[:, 1].sum()
    (slope,) = torch.autograd.grad(score, seen.found["w1 tanh"])
    here = seen.found["w1 tanh"].detach().requires_grad_()
    after = F.linear(F.avg_pool2d(1.7 * here, 2).flatten(1), model.w2)[:, 1].sum()
    assert torch.allclose(slope, torch.autograd.grad(after, here)[0], atol=1e-6)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("first", [False, True])
def test_recurrent_layers_come_batch_first(kind: type[nn.RNNBase], first: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = kind(3, 4, batch_first=first), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.rnn(x if first else x.transpose(0, 1))[0]
            return self.out(y[:, -1] if first else y[-1])

    model, x = Net().eval(), torch.randn(2, 7, 3)
    layers = layers_of(steps_of(model, model, x))
    assert [(one.name, one.shape, one.axis) for one in layers] == [("rnn", (2, 7, 4), 2), ("out", (2, 2), 1)]
    with Watch(model, ("rnn",), cut=True) as seen:
        score = model(x).sum()
    (slope,) = torch.autograd.grad(score, seen.found["rnn"])
    assert slope.shape == (2, 7, 4)
    assert slope[:, -1].abs().min() > 0
    assert slope[:, :-1].abs().max() == 0


def test_no_hook_stays() -> None:
    model, x = conv_net(), torch.randn(4, 1, 8, 8)
    flat(model, model, x, ["0"], 2)
    assert hooks(model) == 0
    assert _get_current_function_mode() is None
    with pytest.raises(RuntimeError, match="too small"):
        flat(model, model, torch.randn(4, 1, 3, 3), ["0"], 2)  # too small: its linear layer raises
    assert hooks(model) == 0
    assert _get_current_function_mode() is None
    with pytest.raises(RuntimeError, match="too small"), Watch(model, ("0",)):
        model(x[..., :3])
    assert hooks(model) == 0
    assert _get_current_function_mode() is None


@pytest.mark.parametrize("model", [conv_net(), Bare(), Residual().eval()], ids=["modules", "functions", "both"])
def test_the_same_for_every_chunk(model: nn.Module) -> None:
    x = torch.randn(11, 2 if isinstance(model, Residual) else 1, 8, 8)
    names = [layer.out for layer in layers_of(steps_of(model, model, x[:2]))]
    whole = flat(model, model, x, names, 11)
    for chunk in (1, 3, 100):
        parts = flat(model, model, x, names, chunk)
        assert all(torch.allclose(whole[name], parts[name], atol=1e-5) for name in names)
        assert len(responses(model, model, x, names, chunk)[names[0]]) == -(-11 // chunk)


def test_nothing_grows() -> None:
    model, x = conv_net(), torch.randn(6, 1, 8, 8)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(one), Tensor) for one in gc.get_objects())

    flat(model, model, x, ["0", "1"], 2)
    before = tensors()
    for _ in range(100):
        flat(model, model, x, ["0", "1"], 2)
    assert tensors() == before
    assert hooks(model) == 0
