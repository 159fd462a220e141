"""Landscapes of nets whose loss is known in closed form; what they leave untouched; and a run's way traced again."""

from __future__ import annotations

import copy
import gc
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.catalog import load
from milestones.core.errors import UserError
from milestones.core.source import Held, Place
from milestones.parts.landscape import (
    Plane,
    Terrain,
    barrier,
    bend,
    bezier,
    climb,
    cut,
    directions,
    factored,
    laid,
    passes,
    principal,
    through,
    vector,
)
from milestones.report.terrain import html_of, relief
from milestones.trained import Trained, order_of
from milestones.verbs import execute
from milestones.verbs.execute import Order, begin
from milestones.verbs.landscape import around, drawn, finite
from milestones.verbs.retrace import beginning, built, retraced, thinned


class Pairs(NamedTuple):
    input: Tensor
    target: Tensor


def squared(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
    gap = model(batch.input) - batch.target
    return {"loss": 0.5 * gap.square().sum(1).mean(), "error": 100 * (gap.abs() > 1).double().mean()}


def crossed(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
    return {"loss": F.cross_entropy(model(batch.input), batch.target)}


def linear(count: int = 40) -> tuple[nn.Module, Pairs]:
    torch.manual_seed(0)
    return nn.Linear(5, 3).double(), Pairs(torch.randn(count, 5).double(), torch.randn(count, 3).double())


def pictures(normed: bool = False, count: int = 50) -> tuple[nn.Module, Pairs]:
    torch.manual_seed(0)
    norms = [[nn.BatchNorm2d(4)], [nn.BatchNorm2d(6)]] if normed else [[], []]
    net = nn.Sequential(nn.Conv2d(1, 4, 3), *norms[0], nn.ReLU(), nn.Conv2d(4, 6, 3), *norms[1], nn.ReLU(),
                        nn.Flatten(), nn.Linear(96, 5))  # fmt: skip
    return net, Pairs(torch.randn(count, 1, 8, 8), torch.randint(0, 5, (count,)))


def test_a_quadratic_loss_is_an_exact_parabola() -> None:
    net, batch = linear()
    terrain = Terrain(net, squared, [batch], 7)
    first, second = directions(net, 0)
    inputs = torch.cat([batch.input, torch.ones(40, 1).double()], 1)  # N 6

    def matrix(flat: Tensor) -> Tensor:
        return torch.cat([flat[:15].view(3, 5), flat[15:, None]], 1)  # 3 6

    for x, y in itertools.product((-1.5, 0.0, 0.3, 2.0), (-1.0, 0.0, 0.7)):
        gap = inputs @ matrix(terrain.home + x * first + y * second).T - batch.target
        found = terrain.at(Plane(terrain.home, first, second).point(x, y))
        assert found["loss"] == pytest.approx(float(0.5 * gap.square().sum() / 40), rel=1e-12)
        assert found["error"] == pytest.approx(100 * float((gap.abs() > 1).double().mean()))
    slope = inputs.T @ (inputs @ matrix(terrain.home).T - batch.target) / 40  # 6 3
    terrain.stand(terrain.home)
    torch.testing.assert_close(terrain.slope(), torch.cat([slope[:5].T.reshape(-1), slope[5]]))


@pytest.mark.parametrize("normed", [False, True])
def test_the_same_for_every_chunk_size(normed: bool) -> None:
    net, batch = pictures(normed)
    whole, far = Terrain(net, crossed, [batch], 50), directions(net, 1)[0]
    for chunk in (1, 7, 49):
        parts = Terrain(net, crossed, [batch], chunk)
        for t, anew in itertools.product((0.0, 0.4), (False, True)):
            want = whole.at(whole.home + t * far, anew)["loss"]
            assert parts.at(parts.home + t * far, anew)["loss"] == pytest.approx(want, rel=1e-6)
        whole.stand(whole.home)
        parts.stand(parts.home)
        torch.testing.assert_close(parts.slope(), whole.slope(), rtol=1e-4, atol=1e-6)


def test_several_batches_are_one() -> None:
    net, batch = linear()
    one, many = Terrain(net, squared, [batch]), Terrain(net, squared, list(cut(batch, 9)))
    assert many.count == 40
    assert many.at(many.home)["loss"] == pytest.approx(one.at(one.home)["loss"], rel=1e-12)


def test_the_chunk_fits_caches_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = pictures(count=600)
    assert Terrain(net, crossed, [batch]).chunk == 512
    wide = Pairs(torch.zeros(20, 1, 8, 8).repeat(1, 1, 1, 1), batch.target[:20])
    monkeypatch.setattr("milestones.parts.landscape.AT_ONCE", 640)
    assert Terrain(net, crossed, [wide]).chunk == 10
    monkeypatch.setattr("os.sysconf", lambda name: 40 if "PAGES" in name else 4096)
    assert 1 <= Terrain(net, crossed, [wide]).chunk < 10, "in 160 kB"


def test_pictures_become_numbers_once() -> None:
    net, _ = pictures()
    raw = Pairs(torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8), torch.randint(0, 5, (6,)))

    def asked(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
        return crossed(model, batch._replace(input=batch.input.float() / 255))

    assert Terrain(net, asked, [raw]).chunks[0].input.dtype == torch.float32

    def whole(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
        return crossed(model, batch._replace(input=torch.bitwise_and(batch.input, 1).float()))

    assert Terrain(net, whole, [raw]).chunks[0].input.dtype == torch.uint8, "where the loss asks for whole numbers"
    assert laid(raw)[1] is raw.target


def test_filter_normalisation() -> None:
    net, _ = pictures(normed=True)
    first, second = directions(net, 3)
    sizes = [p.numel() for p in net.parameters()]
    for p, one, two in zip(net.parameters(), first.split(sizes), second.split(sizes), strict=True):
        if p.dim() < 2:
            assert not one.any() and not two.any(), "biases and gains stay"
            continue
        rows = p.detach().flatten(1)
        for way in (one, two):
            torch.testing.assert_close(way.view_as(rows).norm(dim=1), rows.norm(dim=1))
        assert (one.view_as(rows) * two.view_as(rows)).sum(1).abs().max() < 1e-5
    state = torch.get_rng_state()
    assert torch.equal(directions(net, 3)[0], first)
    assert not torch.equal(directions(net, 4)[0], first)
    assert torch.equal(state, torch.get_rng_state())


def test_scale_of_a_normalised_net_does_not_matter() -> None:
    """What filter normalisation is for (Li et al. 2018): a net that computes the same has the same surface. With
    running means that belong to each point."""
    net, batch = pictures(normed=True)
    larger = copy.deepcopy(net)
    with torch.no_grad():
        larger[0].weight.mul_(10)
        larger[0].bias.mul_(10)
    one, two = Terrain(net, crossed, [batch]), Terrain(larger, crossed, [batch])
    for x, y in ((0.0, 0.0), (0.5, -0.3), (-1.0, 1.0)):
        want = one.at(Plane(one.home, *directions(net, 0)).point(x, y), anew=True)["loss"]
        found = two.at(Plane(two.home, *directions(larger, 0)).point(x, y), anew=True)["loss"]
        assert found == pytest.approx(want, rel=2e-3)


@pytest.mark.parametrize("net", [nn.Linear(4, 1, bias=False), nn.BatchNorm1d(3)])
def test_directions_of_a_net_without_filters(net: nn.Module) -> None:
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(0.5)
    first, second = directions(net, 0)
    length = next(net.parameters()).detach().norm()
    assert float(first[: next(net.parameters()).numel()].norm()) == pytest.approx(float(length))
    assert abs(float(first @ second)) < 1e-6


@pytest.mark.parametrize("size", [7, 9, 25, 51, 101])
def test_passes_go_from_coarse_to_fine(size: int) -> None:
    found, known = passes(size), set[tuple[int, int]]()
    assert found[0].places[0] == (size // 2, size // 2)
    assert found[-1].stride == 1
    for stride, places in found:
        assert not known & set(places)
        known |= set(places)
        kept = range(size // 2 % stride, size, stride)
        assert known == set(itertools.product(kept, kept)), "a whole grid"
    assert len(known) == size**2
    assert len(found[0].places) <= 169


def untouched(net: nn.Module) -> dict[str, Any]:
    modules = list(net.modules())
    return {"state": {name: t.clone() for name, t in net.state_dict().items()}, "training": net.training,
            "asks": [p.requires_grad for p in net.parameters()], "hooks": [len(m._forward_hooks) for m in modules],
            "momentum": [getattr(m, "momentum", None) for m in modules]}  # fmt: skip


def test_the_model_stays_as_it_is() -> None:
    net, batch = pictures(normed=True)
    net.train()[0].weight.requires_grad_(False)
    before = untouched(net)
    terrain = Terrain(net, crossed, [batch])
    terrain.at(terrain.home * 2, anew=True)
    terrain.slope()
    bend(terrain, terrain.home, terrain.home * 1.1, lambda step: batch, 3)
    after = untouched(net)
    torch.testing.assert_close(after.pop("state"), before.pop("state"), rtol=0, atol=0)
    assert after == before
    assert not terrain.net.training and not any(m.training for m in terrain.net.modules())


def test_the_model_stays_as_it_is_when_the_loss_raises() -> None:
    net, batch = pictures(normed=True)
    net.train()
    before, moment = untouched(net), [0]

    def broken(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
        moment[0] += 1
        if moment[0] > 4:
            raise RuntimeError("as told")
        return crossed(model, batch)

    terrain = Terrain(net, broken, [batch], 20)
    for call in (terrain.terms, terrain.slope, lambda: terrain.stand(terrain.home, True)):
        moment[0] = 4
        with pytest.raises(RuntimeError, match="as told"):
            call()
        assert not any(m.training for m in terrain.net.modules())
        assert not any(p.requires_grad for p in terrain.net.parameters())
    after = untouched(net)
    torch.testing.assert_close(after.pop("state"), before.pop("state"), rtol=0, atol=0)
    assert after == before


def test_memory_does_not_grow() -> None:
    net, batch = linear(4)
    terrain = Terrain(net, squared, [batch])

    def alive() -> int:
        gc.collect()
        return sum(type(thing) in (Tensor, nn.Parameter) for thing in gc.get_objects())

    terrain.at(terrain.home)
    terrain.slope()
    before = alive()
    for _ in range(10_000):
        terrain.at(terrain.home)
    for _ in range(200):
        terrain.slope()
    assert alive() == before


def test_running_means_between_solutions() -> None:
    """Those of either end belong to no point between: the loss there must be that of a net normalised by its own."""
    net, batch = pictures(normed=True, count=64)
    batch = batch._replace(input=4 * batch.input + 3)  # far from what fresh running means say
    other, _ = pictures(normed=True)
    torch.manual_seed(5)
    for p in other.parameters():
        if p.dim() > 1:
            nn.init.kaiming_uniform_(p)
    one, two = vector(net), vector(other)
    terrain = Terrain(net, crossed, [batch])
    middle = (one + two) / 2
    own = copy.deepcopy(net).train()
    nn.utils.vector_to_parameters(middle, own.parameters())
    for m in own.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 1.0  # what one batch has
    with torch.no_grad():
        own(batch.input)
    want = float(crossed(own.eval(), batch)["loss"].detach())
    stale = terrain.at(middle)["loss"]
    assert terrain.at(middle, anew=True)["loss"] == pytest.approx(want, rel=1e-5)
    assert abs(stale - want) > 0.05 * want, "else this test says nothing"
    assert terrain.at(middle, anew=True)["loss"] == pytest.approx(want, rel=1e-5), "no memory of where it was"
    own = float(crossed(net.eval(), batch)["loss"].detach())
    assert terrain.at(one)["loss"] == pytest.approx(own, rel=1e-6), "the trained net's means again"


def test_statistics_come_from_training_examples() -> None:
    net, batch = pictures(normed=True)
    other = Pairs(5 + 3 * batch.input, batch.target)
    alone, lent = Terrain(net, crossed, [other]), Terrain(net, crossed, [other], statistics=[batch])
    alone.stand(alone.home, True)
    lent.stand(lent.home, True)
    assert float((alone.norms[0].running_mean - lent.norms[0].running_mean).abs().max()) > 0.5
    own = Terrain(net, crossed, [batch])
    own.stand(own.home, True)
    torch.testing.assert_close(own.norms[0].running_mean, lent.norms[0].running_mean)


def test_climb_and_barrier() -> None:
    assert climb([3.0, 2.0, 1.0]) == 0
    assert climb([3.0, 1.0, 2.0, 0.5, 0.75]) == 1.0
    assert climb([1.0, 5.0]) == 4.0
    assert barrier([0, 0.5, 1], [1.0, 4.0, 3.0]) == 2.0
    assert barrier([0, 0.25, 1], [1.0, 1.0, 3.0]) == 0.0, "never below its ends"


class Ring(nn.Module):
    """Its valley is a circle."""

    def __init__(self, x: float, y: float) -> None:
        super().__init__()
        self.spot = nn.Parameter(torch.tensor([x, y]))


def off_the_ring(model: Ring, batch: Pairs) -> dict[str, Tensor]:
    return {"loss": (model.spot.square().sum() - 1) ** 2 + 0 * batch.input.sum()}


def test_a_curve_around_a_hill() -> None:
    batch = Pairs(torch.zeros(2, 1), torch.zeros(2))
    first, last = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    terrain = Terrain(Ring(1.0, 0.0), off_the_ring, [batch])
    control = bend(terrain, first, last, lambda step: batch, 300)
    at = [k / 20 for k in range(21)]
    straight = [terrain.at(first + t * (last - first))["loss"] for t in at]
    curve = [terrain.at(bezier(t, first, control, last))["loss"] for t in at]
    assert barrier(at, straight) == pytest.approx(0.25)
    assert barrier(at, curve) < 0.02
    assert torch.equal(bezier(0.0, first, control, last), first)
    assert torch.equal(bezier(1.0, first, control, last), last)
    assert torch.equal(control, bend(terrain, first, last, lambda step: batch, 300))


def test_the_plane_through_three_points() -> None:
    one, two, three = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).double().unbind()
    plane = through(one, two, three)
    assert plane.seen(one) == pytest.approx((0, 0))
    assert plane.seen(two) == pytest.approx((float((two - one).norm()), 0))
    for point in (two, three):
        torch.testing.assert_close(plane.point(*plane.seen(point)), point)


def test_principal_components_of_a_path() -> None:
    rng = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(40, 2, generator=rng).double())[0].T
    spots = torch.tensor([[9.0, 2.0], [6.0, 3.0], [3.0, 1.0], [1.0, -1.0], [0.0, 0.0]]).double()
    plane, shares = principal(spots @ axes + 7)
    assert sum(shares) == pytest.approx(1) and shares[0] > 0.8
    seen = torch.tensor([plane.seen(row) for row in spots @ axes + 7])
    torch.testing.assert_close(torch.cdist(seen, seen), torch.cdist(spots, spots).float(), rtol=1e-4, atol=1e-4)
    _, shares = principal(torch.arange(5).double()[:, None] * axes[:1])
    assert shares == pytest.approx([1, 0], abs=1e-9), "a path along a line has a second direction of no share"


def test_factored() -> None:
    assert factored([1.0], 4) == [0.0]
    assert factored([0.0, 0.5], 3, 0.1) == pytest.approx([0.5 * (1 - 0.001) ** 2, 0.5 * (1 - 0.55**3) ** 2])
    assert climb(factored([k / 100 for k in range(101)])) == 0


def test_examples_are_drawn_by_the_seed() -> None:
    numbers, cpu = Pairs(torch.arange(100.0)[:, None], torch.arange(100)), Place(torch.device("cpu"), 0)
    held = Held(numbers, cpu, "numbers", "train")
    (one,), (again,), (other,) = drawn(held, 10, 0), drawn(held, 10, 0), drawn(held, 10, 1)
    assert one.target.tolist() == again.target.tolist() == sorted(one.target.tolist())
    assert one.target.tolist() != other.target.tolist()
    assert len(drawn(held, 1000, 0)[0].target) == 100

    class Made(Held[Any]):  # each example costs something: the first ones are taken
        def sweep(self, size: int) -> Any:
            return super().sweep(min(size, 7))

    some = drawn(Made(numbers, cpu, "numbers", "train"), 10, 0)
    assert torch.cat([batch.target for batch in some]).tolist() == list(range(10))


def test_windows() -> None:
    assert around([(0, 0), (10, 0)]) == pytest.approx([-1.5, 11.5, -10 / 3 * 0.65, 10 / 3 * 0.65])
    low, high, bottom, top = around([(1, 1)])
    assert low < 1 < high and bottom < 1 < top
    assert finite(float("inf")) is None and finite(float("nan")) is None and finite(1 / 3) == 0.333333


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    from contract import tiny

    return tiny.data("digits", tmp_path_factory.mktemp("data"))[0]


def started(run: Trained) -> Tensor:
    seed, choice = order_of(run.config, run.folder)
    data = run.system.prepare(run.knobs, Place(torch.device("cpu"), seed, choice=choice))
    return vector(beginning(run, data))


def trained(page: str, digits: str, folder: Path, order: dict[str, Any] | None = None, **settings: Any) -> Path:
    plan = {"plan": "contiguous/float32/1"}
    return begin(page, settings, Order(data=digits, **plan, **(order or {})), folder / "runs").folder


@pytest.mark.parametrize(("page", "settings", "order"), [
    ("lenet", {"steps": 12, "batch": 8}, {"seed": 3}),
    ("mlp", {"steps": 12, "batch": 8, "hidden": [6], "norm": "batch", "dropout": 0.3}, {}),
    ("resnet", {"steps": 8, "batch": 8, "width": 4, "side": 16}, {"seed": 1}),
    ("lenet", {"steps": 12, "batch": 8}, {"members": 2}),
])  # fmt: skip
def test_the_starting_weights_are_built_again(page: str, settings: dict[str, Any], order: dict[str, Any], digits: str,
                                              tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    begun: list[Tensor] = []

    def looked(model: nn.Module, step: int, total: int) -> None:
        if not begun:
            begun.append(vector(model))

    monkeypatch.setattr(execute, "look", looked)
    monkeypatch.setattr(execute.members, "ratio", lambda *_: float("inf"))  # one after the other
    run = load(str(trained(page, digits, tmp_path, order, **settings)))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    found = started(run)
    assert torch.equal(found, begun[0])
    assert torch.equal(state, torch.get_rng_state()), "the global generator is as before"
    assert not torch.equal(found, vector(run.model)[: len(found)])


def test_the_start_of_a_run_from_another(digits: str, tmp_path: Path) -> None:
    first = trained("lenet", digits, tmp_path, steps=5, batch=8)
    second = load(str(trained("lenet", digits, tmp_path, {"origin": str(first), "seed": 1}, steps=5, batch=8)))
    assert torch.equal(started(second), vector(load(str(first)).model))
    frozen = load(str(trained("lenet", digits, tmp_path, {"origin": str(first), "freeze": True}, steps=5, batch=8,
                              norm="layer")))  # fmt: skip
    asks = {name: p.requires_grad for name, p in built(frozen).named_parameters()}
    assert not asks["features.1.weight"] and any(asks.values())
    (first / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="weights"):
        built(second)
    other = trained("mlp", digits, tmp_path, steps=5, batch=8, hidden=[6])
    second.config["from"]["run"] = str(other)
    with pytest.raises(UserError, match="that the run began with, got others of that name"):
        built(second)


@pytest.mark.parametrize("settings", [{}, {"average": 0.0, "norm": "batch", "dropout": 0.2}])
def test_training_is_traced_again_to_the_same_bits(settings: dict[str, Any], digits: str, tmp_path: Path) -> None:
    run = load(str(trained("lenet", digits, tmp_path, steps=30, batch=8, **settings)))
    files = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    way = retraced(run, spots=10)
    assert way.gap == 0, "bit for bit"
    assert way.steps == [0, *range(3, 30, 3), 30]
    assert torch.equal(way.points[0], started(run))
    assert torch.equal(way.points[-1], vector(run.model))
    assert files == {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    few = thinned(way, 4)
    assert few.steps[0] == 0 and few.steps[-1] == 30 and len(few.points) == 4
    assert thinned(way, 50) is way


def test_what_cannot_be_traced(digits: str, tmp_path: Path) -> None:
    both = load(str(trained("lenet", digits, tmp_path, {"members": 2}, steps=4, batch=8)))
    with pytest.raises(UserError, match="--path for a run of one net, got 2 members"):
        retraced(both)
    short = load(str(trained("lenet", digits, tmp_path, steps=2, batch=8)))
    with pytest.raises(UserError, match="--path for a page that trains its whole net"):
        retraced(short)


def bowl(size: int, high: Callable[[float, float], float | None]) -> list[list[float | None]]:
    return [[high(2 * c / (size - 1) - 1, 2 * r / (size - 1) - 1) for c in range(size)] for r in range(size)]


def test_the_picture_says_when_its_height_is_logarithmic() -> None:
    window = [-1, 1, -1, 1]
    assert "logarithmic" in relief("a", bowl(9, lambda x, y: 10 ** (3 * x)), window)
    flat = relief("a", bowl(9, lambda x, y: 1 + x * x + y * y), window)
    assert "<svg" in flat and "logarithmic" not in flat
    assert "<svg" in relief("a", bowl(9, lambda x, y: None if x > 0.9 else x + y), window), "with a hole"
    assert relief("a", bowl(9, lambda x, y: None), window) == ""
    assert relief("a", bowl(9, lambda x, y: x - y), window) == relief("a", bowl(9, lambda x, y: x - y), window)


def test_an_unfinished_page_says_so() -> None:
    found = {"system": "a<b", "run": "runs/a-1", "data": "some", "examples": 20, "valid_examples": 5, "weights": 10,
             "learned_from_valid": False, "seed": 0, "first_member": False, "batch_normalised": True, "finished": False,
             "here": {"loss": 0.25}, "valid_here": {"loss": 0.5}, "seconds": 1.0, "no_line": "<gone>",
             "plane": {"values": bowl(7, lambda x, y: x * x + y * y + 0.25), "window": [-1, 1, -1, 1], "size": 7,
                       "of": 51, "seconds": 0.1}}  # fmt: skip
    page = html_of(found)
    assert "Not finished" in page and "Coarse so far: 7 of 51 points a side." in page
    assert "a&lt;b" in page and "&lt;gone&gt;" in page and "<gone>" not in page
    assert "0.5 on validation examples" in page and "running means of the trained net" in page
    assert page == html_of(found)
    assert "Not finished" not in html_of(found | {"finished": True})
    assert "on validation examples" not in html_of(found | {"learned_from_valid": True})
