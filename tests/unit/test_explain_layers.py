"""Maps that change the way back through a net, against Captum, by hand, and where peers' hooks fail."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from captum.attr import LRP, Deconvolution, GuidedBackprop, LayerGradCam
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import Tensor, nn
from torch.nn import functional as F
from unit.test_explain import drawn, of, rectified, same, seeded, shipped

from milestones.parts.explain import gradient, question
from milestones.parts.recorded import Attention, Gates, recorded
from milestones.parts.relevance import Watched, deconvolution, grad_cam, guided_backpropagation, relevance

__all__ = ["shipped"]  # a fixture


def hooks(net: nn.Module) -> int:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, name)) for module in net.modules() for name in names)


class Functional(nn.Module):
    """The layers of `rectified` with every way to write a ReLU, one layer used twice, and units in place."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.third, self.fourth = (net[k] for k in (0, 3, 7, 9))
        self.unit = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        self.unit(h)  # in place, its result not taken
        h = F.max_pool2d(h, 2)
        h = F.avg_pool2d(self.unit(self.second(h)), 2)
        return self.fourth(self.third(h.flatten(1)).clamp(min=0))


# Guided backpropagation and deconvolution


@pytest.mark.parametrize(("ours", "theirs"), [(guided_backpropagation, GuidedBackprop), (deconvolution, Deconvolution)])
def test_against_captum(ours: Callable[..., Tensor], theirs: type) -> None:
    net, x = rectified(), drawn(3, 2, 9, 9)
    asked = of(net, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = theirs(net).attribute(x.clone().requires_grad_(), asked.target)
    same(ours(asked), found)
    assert not torch.allclose(found, gradient(asked)), "else this test shows nothing"


@pytest.mark.parametrize("method", [guided_backpropagation, deconvolution, relevance, grad_cam])
def test_units_in_place_as_functions_and_used_twice(method: Callable[..., Tensor]) -> None:
    """Captum #199, #578, #857: reused modules; #1180: LRP with ReLU. Functions are not seen by its hooks at all."""
    net, x = rectified(), drawn(3, 2, 9, 9)
    other = Functional(net)
    assert torch.allclose(net(x), other(x))
    same(method(of(other, x)), method(of(net, x)), 1e-6)


def test_by_hand() -> None:
    """Two units; slopes 1 and -1 above them; the second is off."""
    first, last = nn.Linear(2, 2, bias=False), nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, -1.0]]))
        last.weight.copy_(torch.tensor([[1.0, 1.0], [-1.0, 0.0], [0.0, 0.0]]))
    net = nn.Sequential(first, nn.ReLU(), last).requires_grad_(False)
    x = torch.tensor([[1.0, 1.0]])
    for target, guided, deconvolved in ((0, [1.0, 2.0], [0.0, 1.0]), (1, [0.0, 0.0], [0.0, 0.0])):
        asked = question(net, x, torch.tensor([target]))
        assert guided_backpropagation(asked)[0].tolist() == guided
        assert deconvolution(asked)[0].tolist() == deconvolved


@pytest.mark.parametrize("method", [guided_backpropagation, deconvolution])
def test_a_net_without_rectifiers_is_left_out(method: Callable[..., Tensor]) -> None:
    with pytest.raises(NotImplementedError, match="this net has none"):
        method(of(seeded(lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))), drawn(1, 3)))


# Grad-CAM


def test_grad_cam_against_captum() -> None:
    """On the unit after the last convolution that is a map, here the fifth layer."""
    net, x = rectified(), drawn(3, 2, 9, 9)
    asked = of(net, x)
    theirs = LayerGradCam(net, net[4]).attribute(x.clone().requires_grad_(), asked.target, relu_attributions=True)
    same(grad_cam(asked), F.interpolate(theirs.detach(), (9, 9), mode="bilinear", align_corners=False))


def test_grad_cam_of_the_shipped_lenet(shipped: tuple[nn.Module, Tensor]) -> None:
    net, x = shipped
    asked = of(net, x)
    theirs = LayerGradCam(net, net.features[5]).attribute(
        x.clone().requires_grad_(), asked.target, relu_attributions=True
    )
    same(grad_cam(asked), F.interpolate(theirs.detach(), (28, 28), mode="bilinear", align_corners=False))


class Around(nn.Module):
    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.conv, self.out, self.direct, self.twice = nn.Conv2d(1, 3, 3), nn.Linear(3, 4), nn.Linear(36, 4), twice

    def forward(self, x: Tensor) -> Tensor:
        one = self.out(self.conv(x).relu().mean((2, 3)))
        return one + (self.out(self.conv(x.flip(3)).relu().mean((2, 3))) if self.twice else self.direct(x.flatten(1)))


@pytest.mark.parametrize("twice", [True, False])
def test_grad_cam_says_where_it_cannot_be(twice: bool) -> None:
    """Maps that are only a part of the answer would be a wrong picture."""
    net = seeded(lambda: Around(twice))
    with pytest.raises(NotImplementedError, match="not all of the answer goes through one convolution's maps"):
        grad_cam(of(net, drawn(2, 1, 6, 6)))
    with pytest.raises(NotImplementedError, match="the maps of a convolution, and this net has none"):
        grad_cam(of(seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 3))), drawn(1, 1, 3, 3)))
    with pytest.raises(NotImplementedError, match="it needs pictures"):
        grad_cam(of(seeded(lambda: nn.Linear(9, 3)), drawn(1, 9)))


def test_grad_cam_takes_residual_blocks_whole() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.out = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
            self.kept: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x).relu()
            self.kept = F.relu(h + self.second(h))
            return self.out(self.kept.mean((2, 3)))

    net, x = seeded(Residual), drawn(1, 1, 6, 6)
    asked = of(net, x)
    weight = net.out.weight[asked.target[0]] / 16
    cam = (weight[:, None, None] * net.kept[0]).sum(0).clamp(min=0)
    same(grad_cam(asked)[0, 0], F.interpolate(cam[None, None], (6, 6), mode="bilinear", align_corners=False)[0, 0])


# Layer-wise relevance


def captum_relevance(net: nn.Module, x: Tensor, target: Tensor, epsilon: float) -> Tensor:
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.MaxPool2d | Flat):
            # Captum adds epsilon after pooling, too; ours is where a unit follows.
            layer.rule = EpsilonRule(epsilon if isinstance(layer, nn.Linear | nn.Conv2d) else 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LRP(net).attribute(x.clone().requires_grad_(), target).detach()


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_relevance_against_captum(epsilon: float) -> None:
    net, x = seeded(lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3),
                                          nn.ReLU(), Flat(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 4))), \
        drawn(3, 2, 9, 9)  # fmt: skip
    asked = of(net, x)
    same(relevance(asked, epsilon), captum_relevance(net, x, asked.target, epsilon))


class Flat(nn.Module):
    """Captum's LRP has no rule for nn.Flatten."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def test_relevance_is_conserved() -> None:
    """Without biases the map's sum is the score, through every kind of layer."""
    net = seeded(lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, bias=False),
        nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 8, bias=False), nn.ReLU(),
        nn.Linear(8, 4, bias=False)))  # fmt: skip
    x = drawn(3, 2, 9, 9)
    asked = of(net, x)
    score = net(x).gather(1, asked.target[:, None])[:, 0]
    assert torch.allclose(relevance(asked).flatten(1).sum(1), score, rtol=1e-3)


def test_biases_keep_their_share() -> None:
    """With the biases as one more input, nothing is lost: the rest of the score is theirs."""
    net, x = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))), drawn(5, 4)
    asked = of(net, x)

    def lifted(both: Tensor) -> Tensor:
        h = both[:, :4] @ net[0].weight.T + both[:, 4:5] * net[0].bias
        return h.relu() @ net[2].weight.T + both[:, 4:5] * net[2].bias

    more = question(lifted, torch.cat([x, torch.ones(5, 1)], 1), asked.target)
    whole = relevance(more)
    same(whole[:, :4], relevance(asked), 1e-5)
    assert torch.allclose(whole.sum(1), net(x).gather(1, asked.target[:, None])[:, 0], rtol=1e-4)


def test_batch_normalisation_is_merged_with_the_layer_before() -> None:
    """The canonised net, its normalisation folded into the convolution, has the same relevance."""
    conv, norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
    rest = [nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)]
    norm.running_mean.copy_(drawn(3))
    norm.running_var.copy_(drawn(3, seed=1).abs() + 0.5)
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(2))
    net = nn.Sequential(conv, norm, *rest).eval().requires_grad_(False)
    folded = nn.Conv2d(1, 3, 3)
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    with torch.no_grad():
        folded.weight.copy_(conv.weight * gain[:, None, None, None])
        folded.bias.copy_((conv.bias - norm.running_mean) * gain + norm.bias)
    x = drawn(2, 1, 6, 6)
    same(relevance(of(net, x), 0.01), relevance(of(nn.Sequential(folded, *rest).requires_grad_(False), x), 0.01), 1e-4)


@pytest.mark.parametrize(("net", "word"), [
    pytest.param(lambda: Attends(), "matmul", id="attention over its own input"),
    pytest.param(lambda: Recurrent(), "lstm", id="lstm"),
    pytest.param(lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)), "layer_norm", id="norm"),
    pytest.param(lambda: Gated(), "mul", id="a product of two signals"),
    pytest.param(lambda: Inverse(), "div", id="one over a signal"),
])  # fmt: skip
def test_relevance_says_what_it_has_no_rule_for(net: Callable[[], nn.Module], word: str) -> None:
    """Captum #712: a type error on modules it does not know; a wrong map would be worse."""
    model = seeded(net)
    x = drawn(2, 5, 4) if isinstance(model, Attends | Recurrent) else drawn(2, 4)
    with pytest.raises(NotImplementedError, match=f"relevance has no rule for \\w*{word}"):
        relevance(of(model, x))


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) * self.two(x)


class Inverse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 1 / self.one(x)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out((self.q(x) @ self.k(x).transpose(1, 2)).softmax(-1) @ x).mean(1)


class Recurrent(nn.Module):
    def __init__(self, **words: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True, **words)
        self.out = nn.Linear(5 * (1 + words.get("bidirectional", 0)), 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x)[0].mean(1))


# Nothing stays on the net


@pytest.mark.parametrize("method", [guided_backpropagation, deconvolution, relevance, grad_cam])
def test_nothing_stays_also_when_it_raised(method: Callable[..., Tensor]) -> None:
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.calls = rectified(), 0

        def forward(self, x: Tensor) -> Tensor:
            found = self.net(x)
            if self.calls:
                raise ZeroDivisionError("in the middle")
            return found

    net, x = Breaks(), drawn(2, 2, 9, 9)
    asked, right = of(net, x), method(of(net.net, x))
    weights = [p.clone() for p in net.parameters()]
    net.calls = 1
    with pytest.raises(ZeroDivisionError):
        method(asked)
    assert hooks(net) == 0
    assert torch.overrides._get_current_function_mode() is None
    net.calls = 0
    same(method(asked), right, 1e-7)
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    assert all(p.grad is None for p in net.parameters())
    plain = torch.tensor([-1.0, 2.0], requires_grad=True)
    torch.relu(plain).sum().backward()
    assert plain.grad is not None and plain.grad.tolist() == [0.0, 1.0], "ReLU has its own slope again"


def test_watching_changes_nothing_by_itself() -> None:
    net, x = rectified(), drawn(1, 2, 9, 9)
    names = []
    with Watched(lambda name, call, args, named: (names.append(name), call())[1]):
        seen = net(x)
    assert torch.equal(seen, net(x))
    assert {"conv2d", "relu", "linear"} <= set(names)


# Attention and gates as they are


def test_attention_is_told_as_it_is() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            h, _ = self.attend(x, x, x, need_weights=False)
            return self.out((h + F.scaled_dot_product_attention(h, x, x, is_causal=True)).mean(1))

    net, x = seeded(Two), drawn(3, 5, 8)
    first, second = recorded(net, x)
    assert isinstance(first, Attention) and isinstance(second, Attention)
    want = net.attend(x, x, x, need_weights=True, average_attn_weights=False)[1]
    same(first.weights, want, 1e-6)
    assert second.weights.shape == (3, 1, 5, 5)
    assert torch.allclose(second.weights.sum(-1), torch.ones(3, 1, 5))
    assert float(second.weights.triu(1).abs().max()) == 0, "what comes later is not seen"
    h = net.attend(x, x, x)[0]
    same(second.weights[:, 0] @ x, F.scaled_dot_product_attention(h, x, x, is_causal=True), 1e-5)
    assert hooks(net) == 0


@pytest.mark.parametrize("words", [{}, {"num_layers": 2}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_gates_give_the_cells_that_pytorch_gives(words: dict[str, int]) -> None:
    net, x = seeded(lambda: Recurrent(**words)), drawn(3, 6, 4)
    found = recorded(net, x)
    ways = 1 + words.get("bidirectional", 0)
    assert [(one.layer, one.backward) for one in found] == [
        (layer, bool(way)) for layer in range(words.get("num_layers", 1)) for way in range(ways)]  # fmt: skip
    output, (_, cells) = net.lstm(x)
    last = [one for one in found if isinstance(one, Gates)][-ways:]
    hidden = torch.cat([one.gates[3] * one.cells.tanh() for one in last], -1)
    same(hidden, output, 1e-5)
    for number, one in enumerate(found):
        same(one.cells[:, 0 if one.backward else -1], cells[number], 1e-5)
        assert one.gates.shape == (4, 3, 6, 5)


def test_nets_without_either_tell_nothing() -> None:
    assert recorded(rectified(), drawn(1, 2, 9, 9)) == []
