"""Maps of what speaks for an answer, against Captum, against closed forms on linear nets, and in any chunk."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, NoiseTunnel, Occlusion, Saliency, ShapleyValueSampling
from captum.attr import IntegratedGradients as CaptumPath
from torch import Tensor, nn

from milestones import load
from milestones.parts import explain
from milestones.parts.explain import Question, question
from milestones.parts.maps import METHODS, Setting, parts_of
from milestones.parts.memory import free_memory, kept


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval().requires_grad_(False)


def rectified() -> nn.Module:
    """A small ReLU net for pictures "B 2 9 9"."""
    return seeded(lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> tuple[nn.Module, Tensor]:
    """The shipped lenet and three of its test digits."""
    from milestones.core.source import Place

    trained = load("lenet")
    data = trained.system.prepare(trained.knobs, Place(torch.device("cpu"), 0))
    return trained.model.eval().requires_grad_(False), data.test.examples.image[:3].float()


def of(net: nn.Module, x: Tensor, baseline: Tensor | float = 0.0) -> Question:
    return question(net, x, net(x).argmax(-1), baseline)


def same(ours: Tensor, theirs: Tensor, most: float = 1e-4) -> None:
    """No farther apart than `most` of the largest number."""
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= most * max(float(theirs.abs().max()), 1e-12)


CASES = {"relu net": lambda shipped: (rectified(), drawn(3, 2, 9, 9)), "shipped lenet": lambda shipped: shipped}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, shipped: tuple[nn.Module, Tensor]) -> tuple[nn.Module, Tensor]:
    return CASES[request.param](shipped)


# Against Captum


def test_gradient(case: tuple[nn.Module, Tensor]) -> None:
    net, x = case
    asked = of(net, x)
    theirs = Saliency(net).attribute(x.clone().requires_grad_(), asked.target, abs=False)
    same(explain.gradient(asked), theirs)


def test_input_gradient(case: tuple[nn.Module, Tensor]) -> None:
    net, x = case
    asked = of(net, x)
    same(
        explain.input_gradient(asked), InputXGradient(net).attribute(x.clone().requires_grad_(), asked.target).detach()
    )


def test_integrated_gradients(case: tuple[nn.Module, Tensor]) -> None:
    net, x = case
    asked = of(net, x, 0.3)
    theirs = CaptumPath(net).attribute(x, torch.full_like(x, 0.3), asked.target, n_steps=40, method="gausslegendre")
    same(explain.integrated_gradients(asked, 40, tolerance=math.inf), theirs.float())


def test_smoothgrad_is_the_mean_over_the_same_noise(case: tuple[nn.Module, Tensor]) -> None:
    """Captum draws its noise from the global generator, one copy after the other."""
    net, x = case
    asked, n = of(net, x[:1]), 6
    ours = explain.smoothgrad(asked, n, 0.2, seed=4)
    spread = 0.2 * float(x[:1].max() - x[:1].min())
    noise = torch.randn(n, *x.shape[1:], generator=torch.Generator().manual_seed(4))
    copies = (x[:1] + spread * noise).requires_grad_()
    theirs = Saliency(net).attribute(copies, asked.target.expand(n), abs=False).mean(0, keepdim=True)
    same(ours, theirs)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tunnel = NoiseTunnel(Saliency(net)).attribute(
            x[:1].clone().requires_grad_(), nt_samples=200, stdevs=spread, target=asked.target, abs=False)  # fmt: skip
    many = explain.smoothgrad(asked, 200, 0.2)
    alike = torch.corrcoef(torch.stack([many.flatten(), tunnel.detach().flatten()]))[0, 1]
    assert alike > 0.9, "other noise, nearly the same mean"


@pytest.mark.parametrize(("window", "stride"), [((3, 3), (1, 1)), ((4, 3), (3, 2)), ((9, 9), (2, 2))])
def test_occlusion(case: tuple[nn.Module, Tensor], window: tuple[int, int], stride: tuple[int, int]) -> None:
    net, x = case
    asked, channels = of(net, x, 0.2), x.shape[1]
    ours = explain.occlusion(asked, (channels, *window), (channels, *stride))
    theirs = Occlusion(net).attribute(x, (channels, *window), (channels, *stride), 0.2, asked.target)
    same(ours, theirs)


def test_occlusion_of_one_number_is_ablation() -> None:
    net, x = seeded(lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))), drawn(4, 5)
    asked = of(net, x, 0.5)
    same(explain.occlusion(asked, (1,), (1,)), FeatureAblation(net).attribute(x, 0.5, asked.target))


def test_shapley(case: tuple[nn.Module, Tensor]) -> None:
    """The same orders as Captum's, so the same numbers; Captum gives a group's whole share to each of its numbers."""
    net, x = case
    asked, parts = of(net, x, 0.1), parts_of(x.shape[1:])
    order = explain.orders(4, parts.count, seed=2)
    theirs = ShapleyValueSampling(net)
    theirs.permutation_generator = lambda features, count: iter(order[:count].tolist())
    groups = parts.groups.expand(x.shape[1:]).contiguous()[None]
    found = theirs.attribute(x, 0.1, asked.target, feature_mask=groups, n_samples=4)
    ours = explain.shapley(asked, parts.groups, order)
    size = torch.bincount(groups.flatten())[groups]
    same(ours.map * size, found)
    assert ours.error.shape == (3, parts.count)


# Closed forms


@pytest.mark.parametrize("classes", [2, 4])
def test_linear_nets(classes: int) -> None:
    """The gradient is the weights, and each share is weight times difference, whatever the method."""
    net, x, empty = seeded(lambda: nn.Linear(6, classes)), drawn(5, 6), drawn(6, seed=1)
    asked = of(net, x, empty)
    weight = net.weight[asked.target]
    weight = weight - net.weight[1 - asked.target] if classes == 2 else weight  # of two, one compared with the other
    same(explain.gradient(asked), weight)
    same(explain.smoothgrad(asked, 5), weight)
    share = weight * (x - empty)
    for found in (
        explain.input_gradient(asked), explain.integrated_gradients(asked, 2), explain.occlusion(asked, (1,), (1,)),
        explain.shapley(asked, torch.arange(6), explain.orders(3, 6)).map,
    ):  # fmt: skip
        same(found, share)


def test_shapley_of_all_orders_is_the_definition() -> None:
    """max(a, b) + c by hand: a and b share what they do together."""
    import itertools

    def scores(x: Tensor) -> Tensor:
        return torch.stack([torch.maximum(x[:, 0], x[:, 1]) + x[:, 2], torch.zeros(len(x)), torch.zeros(len(x))], 1)

    asked = question(scores, torch.tensor([[3.0, 5.0, 2.0]]), torch.tensor([0]))
    order = torch.tensor(list(itertools.permutations(range(3))))
    assert explain.shapley(asked, torch.arange(3), order).map[0].tolist() == pytest.approx([1.5, 3.5, 2.0])


@pytest.mark.parametrize("name", ["occlusion", "shapley"])
def test_what_is_empty_already_is_not_asked(name: str) -> None:
    """The map is the same as from a net that is asked about all; each question that could only repeat an answer is
    saved."""
    net, x = rectified(), drawn(2, 2, 9, 9)
    x[:, :, :, 3:] = 0.0
    seen = []

    def counted(input: Tensor) -> Tensor:
        seen.append(len(input))
        return net(input)

    parts, target = parts_of(x.shape[1:]), net(x).argmax(-1)
    asked = question(counted, x, target)
    setting = Setting(orders=3, chunk=50)
    found = METHODS[name].make(asked, parts, setting)
    few = sum(seen)
    seen.clear()
    # A baseline that differs everywhere by less than the scores' rounding: nothing is empty, and all is asked.
    all_asked = METHODS[name].make(asked._replace(baseline=torch.full_like(x, 1e-9)), parts, setting)
    assert few < 0.4 * sum(seen)
    assert float((found - all_asked).abs().max()) <= 1e-5
    assert float(found[..., 3:].abs().max()) == 0
    empty = METHODS[name].make(question(net, torch.zeros(1, 2, 9, 9), target[:1]), parts, setting)
    assert float(empty.abs().max()) == 0


def test_orders_come_with_their_reverse() -> None:
    order = explain.orders(5, 7)
    assert order.shape == (5, 7)
    assert order[1].tolist() == order[0].flip(0).tolist()
    assert all(sorted(row) == list(range(7)) for row in order.tolist())


def test_integrated_gradients_add_up(case: tuple[nn.Module, Tensor]) -> None:
    """To 1e-3 of the difference, with more steps where they are needed; Shapley values add up by construction."""
    net, x = case
    asked = of(net, x)
    goal = explain.difference(asked)
    assert torch.allclose(goal, net(x).gather(1, asked.target[:, None])[:, 0] -
                          net(torch.zeros_like(x)).gather(1, asked.target[:, None])[:, 0], rtol=1e-5)  # fmt: skip
    off = (explain.integrated_gradients(asked, 4).flatten(1).sum(1) - goal).abs() / goal.abs()
    assert off.max() <= 1e-3
    rough = explain.integrated_gradients(asked, 4, tolerance=math.inf).flatten(1).sum(1)
    assert (rough - goal).abs().max() > 1e-3 * goal.abs().max(), "else this test shows nothing"
    parts = parts_of(x.shape[1:])
    shares = explain.shapley(asked, parts.groups, explain.orders(2, parts.count)).map
    assert ((shares.flatten(1).sum(1) - goal).abs() / goal.abs()).max() <= 1e-4


# Chunks, neighbours and memory


def values_of(asked: Question) -> Tensor:
    return explain.values(asked, asked.input.clone(), torch.arange(len(asked.input)))


def made(name: str, asked: Question, chunk: int = 0) -> Tensor:
    """A map with few samples and points."""
    if name == "integrated":
        return explain.integrated_gradients(asked, 7, tolerance=math.inf, chunk=chunk)
    return METHODS[name].make(asked, parts_of(asked.input.shape[1:]), Setting(7, 3, 0, chunk))


@pytest.mark.parametrize("name", METHODS)
def test_any_chunk_gives_the_same(name: str) -> None:
    asked = of(rectified(), drawn(2, 2, 9, 9))
    found = [made(name, asked, chunk) for chunk in (0, 1, 5, 1000)]
    size = max(
        float(found[0].abs().max()), float(values_of(asked).abs().max())
    )  # a fall of the score rounds as the score
    for other in found[1:]:
        assert float((other - found[0]).abs().max()) <= 1e-6 * size


@pytest.mark.parametrize("name", METHODS)
def test_a_map_does_not_depend_on_its_neighbours(name: str) -> None:
    net, x = rectified(), drawn(3, 2, 9, 9)
    together = made(name, of(net, x))
    for b in range(3):
        same(made(name, of(net, x[b : b + 1]))[0], together[b], 1e-5)


def test_room_follows_the_free_memory() -> None:
    """A hundred times the memory is room for more; a net with more units gets fewer; one always fits."""
    net, wide = rectified(), seeded(lambda: nn.Sequential(nn.Conv2d(2, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
                                                          nn.Linear(64 * 81, 3)))  # fmt: skip
    x = drawn(2, 2, 9, 9)
    assert explain.room(of(net, x), 0) == 1
    assert explain.room(of(net, x), 10**6) < explain.room(of(net, x), 10**8)
    assert explain.room(of(wide, x), 10**7) < explain.room(of(net, x), 10**7)
    assert free_memory(x.device) > 1 << 20
    weight = torch.ones(5, 3, requires_grad=True)  # a product keeps its other factor, here twelve numbers of 4 bytes
    assert kept(lambda: torch.ones(4, 3) @ weight.T) == 48
    # What one example keeps is at least its activations, 64 maps before and after the unit.
    assert explain.room(of(wide, x), 10**8) <= 0.25 * 10**8 / (2 * 64 * 81 * 4)


def test_room_of_a_net_that_cannot_take_an_empty_batch() -> None:
    net = nn.Sequential(nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 3)).requires_grad_(False)

    def strict(x: Tensor) -> Tensor:
        return net(x.view(len(x), -1))  # of no elements, -1 is nothing

    x = drawn(2, 8, 5)
    with pytest.raises(RuntimeError):
        strict(x[:0])
    free = 10**6
    assert explain.room(question(strict, x, torch.tensor([0, 1])), free) == explain.room(
        question(lambda x: net(x.flatten(1)), x, torch.tensor([0, 1])), free)  # fmt: skip


def test_weights_do_not_count_as_room() -> None:
    """A large matrix of weights is kept once, not once an example."""
    net, x = seeded(lambda: nn.Sequential(nn.Linear(1000, 1000), nn.Tanh(), nn.Linear(1000, 3))), drawn(1, 1000)
    assert explain.room(of(net, x), 10**9) > 300, "with its 4 MB an example there would be room for 16"


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_calls_keep_nothing(count: int) -> None:
    """Captum #866 and pytorch-grad-cam #117: memory that grew with each call. Objects and bytes are counted."""
    import gc
    import resource

    net, x = (
        seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))),
        drawn(1, 1, 3, 3),
    )
    asked, names = of(net, x), list(METHODS)

    def calls(count: int) -> None:
        for number in range(count):
            made(names[number % len(names)], asked, 64)

    calls(100)
    gc.collect()
    objects, memory = len(gc.get_objects()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls(count)
    gc.collect()
    assert len(gc.get_objects()) - objects < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 8 * 1024  # kilobytes


# What the model may do to its input


def test_a_net_that_changes_its_input_in_place() -> None:
    net, x = seeded(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 3))), drawn(2, 5)
    before, asked = x.clone(), of(net, x.clone())
    plain = seeded(lambda: nn.Sequential(nn.ReLU(), nn.Linear(5, 3)))
    other = question(plain, before, asked.target)
    asked = question(net, before, asked.target)
    parts = parts_of((5,))
    for name in ("gradient", "smoothgrad", "integrated", "occlusion", "shapley", "relevance", "guided"):
        same(METHODS[name].make(asked, parts, Setting(8, 4)), METHODS[name].make(other, parts, Setting(8, 4)), 1e-6)
    assert torch.equal(asked.input, x)


@pytest.mark.parametrize(("scores", "input", "text"), [
    (lambda x: x, torch.ones(1, 3, dtype=torch.long), "expected an input of real numbers, got one of torch.int64"),
    (lambda x: x.detach(), torch.ones(1, 3), "expected scores that can be differentiated by the input"),
    (lambda x: x.sqrt(), torch.zeros(1, 3), "expected finite scores and gradients, got values that are no numbers"),
])  # fmt: skip
def test_probes_without_a_gradient(scores: Callable[[Tensor], Tensor], input: Tensor, text: str) -> None:
    from milestones.core.errors import UserError
    from milestones.core.system import Probe
    from milestones.verbs.subject import differentiated

    with pytest.raises(UserError, match=re.escape(text)):
        differentiated(Probe(input, 0.0, 1.0, scores, torch.zeros(1).long()), "page")
