"""Curvature against torch.func.hessian on small nets, matrices whose eigenvalues are known, and the peers' bugs."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.nn import functional as F

from milestones.core.interval import spread
from milestones.parts.curvature import Product, hessian, largest, sharpness, traces
from milestones.parts.landscape import Terrain, vector

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # by torch.func.hessian


class Pairs(NamedTuple):
    input: Tensor
    target: Tensor


def loss(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
    return {"loss": F.cross_entropy(model(batch.input), batch.target)}


def made(unit: type[nn.Module] = nn.Tanh, count: int = 60, seed: int = 0) -> tuple[nn.Module, Pairs]:
    """A net of 1,000 parameters or so in double precision, and examples."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(12, 24), unit(), nn.Linear(24, 20), unit(), nn.Linear(20, 9)).double()
    return net, Pairs(torch.randn(count, 12).double(), torch.randint(0, 9, (count,)))


def whole(net: nn.Module, batch: Pairs) -> Tensor:
    """The Hessian "D D", written down."""
    shapes = {name: p.shape for name, p in net.named_parameters()}

    def height(flat: Tensor) -> Tensor:
        parts = flat.split([math.prod(shape) for shape in shapes.values()])
        weights = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return F.cross_entropy(functional_call(net, weights, (batch.input,)), batch.target)

    return torch.func.hessian(height)(vector(net))


def of(matrix: Tensor) -> Product:
    return lambda vector: matrix @ vector


@pytest.mark.parametrize("unit", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("seed", [0, 1])
def test_against_the_exact_hessian(unit: type[nn.Module], seed: int) -> None:
    net, batch = made(unit, seed=seed)
    exact = whole(net, batch)
    product, is_exact = hessian(Terrain(net, loss, [batch], 17))
    assert is_exact
    some = torch.randn(len(exact)).double()
    torch.testing.assert_close(product(some), exact @ some)
    values = torch.linalg.eigvalsh(exact).flip(0)
    found = largest(product, some, 5)
    for value, bound, want in zip(found.values, found.bounds, values.tolist(), strict=False):
        assert value == pytest.approx(want, rel=0.01), "what is promised"
        assert min(abs(value - one) for one in values.tolist()) <= bound + 1e-12, "an eigenvalue lies within the bound"
    assert found.lowest >= float(values[-1]) - 1e-12
    assert found.products < 120


@pytest.mark.parametrize("seed", range(3))
def test_eigenvalues_that_lie_close_together(seed: int) -> None:
    """One of two per cent less must not pass for the one that is asked for: in single precision, at fresh weights."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 10))
    batch = Pairs(torch.randn(200, 16), torch.randint(0, 10, (200,)))
    product, _ = hessian(Terrain(net, loss, [batch]))
    found = largest(product, vector(net), 5, seed).values
    exact = whole(net.double(), Pairs(batch.input.double(), batch.target))
    assert found == pytest.approx(torch.linalg.eigvalsh(exact).flip(0)[:5].tolist(), rel=1e-3)


def test_the_same_for_every_chunk_size() -> None:
    net, batch = made()
    some = torch.randn(sum(p.numel() for p in net.parameters())).double()
    want = hessian(Terrain(net, loss, [batch], 60))[0](some)
    for chunk in (1, 7, 59):
        torch.testing.assert_close(hessian(Terrain(net, loss, [batch], chunk))[0](some), want)


@pytest.mark.parametrize("spectrum", [
    [5.0] * 4 + [3.0] * 3 + [1.0] * 30, [2.0] * 40, [9.0, 9.0, 1e-3] + [0.0] * 30, [0.0] * 12, [-1.0, -2.0, -3.0],
    [7.0], [100.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5], [-50.0, 3.0, 2.0, 2.0, 1.0, 0.0, 0.0],
])  # fmt: skip
def test_eigenvalues_that_occur_several_times(spectrum: list[float]) -> None:
    torch.manual_seed(1)
    turn = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum)).double())[0]
    matrix = turn @ torch.diag(torch.tensor(spectrum).double()) @ turn.T
    found = largest(of(matrix), torch.zeros(len(spectrum)).double(), 5)
    want = sorted(spectrum, reverse=True)[:5]
    assert found.values == pytest.approx(want, rel=0.01, abs=1e-3 * max(map(abs, spectrum)) + 1e-12)


def test_linear_net_of_several_outputs() -> None:
    """Its Hessian is one block for each output: each eigenvalue occurs as often."""
    torch.manual_seed(0)
    net, batch = nn.Linear(6, 3, bias=False).double(), Pairs(torch.randn(50, 6).double(), torch.randn(50, 3).double())

    def squared(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
        return {"loss": 0.5 * (model(batch.input) - batch.target).square().sum(1).mean()}

    product, _ = hessian(Terrain(net, squared, [batch]))
    block = torch.linalg.eigvalsh(batch.input.T @ batch.input / 50).flip(0).tolist()
    assert largest(product, vector(net), 5).values == pytest.approx([block[0]] * 3 + [block[1]] * 2, rel=1e-3)


def test_single_precision_stays_at_right_angles() -> None:
    """Without reorthogonalisation the largest eigenvalue is found again and again."""
    spectrum = torch.cat([torch.tensor([1000.0, 900.0, 10.0, 5.0, 2.0]), torch.rand(400, generator=torch.Generator().
                         manual_seed(0))])  # fmt: skip
    found = largest(lambda vector: spectrum * vector, torch.zeros(405), 5)
    assert found.values == pytest.approx([1000.0, 900.0, 10.0, 5.0, 2.0], rel=0.01)


def test_many_eigenvalues_of_a_small_problem_take_no_time() -> None:
    """PyHessian, issue 6: 45 s for 50 eigenvalues of 100 parameters."""
    torch.manual_seed(0)
    half = torch.randn(100, 100).double()
    matrix = half @ half.T
    began = time.perf_counter()
    found = largest(of(matrix), torch.zeros(100).double(), 50)
    assert time.perf_counter() - began < 5
    assert found.values == pytest.approx(torch.linalg.eigvalsh(matrix).flip(0)[:50].tolist(), rel=0.01)


def test_the_spread_weighs_by_the_first_component() -> None:
    """PyHessian, pull request 23: with other weights than the squares of the vectors' first components the spread was
    wrong, and nobody saw it."""
    spectrum = torch.cat([torch.full((1800,), 1.0), torch.full((200,), 10.0)]).double()
    spectrum += 0.01 * torch.randn(2000, generator=torch.Generator().manual_seed(0)).double()
    found = largest(lambda vector: spectrum * vector, spectrum, 5, most=40)
    assert sum(found.weights) == pytest.approx(1)
    high = sum(w for w, node in zip(found.weights, found.nodes, strict=True) if node > 5)
    assert high == pytest.approx(0.1, abs=0.03)
    mean = sum(w * node for w, node in zip(found.weights, found.nodes, strict=True))
    assert mean == pytest.approx(float(spectrum.mean()), rel=0.1)


def test_seeds() -> None:
    net, batch = made()
    product, _ = hessian(Terrain(net, loss, [batch]))
    state = torch.get_rng_state()
    one, again, other = (largest(product, vector(net), 3, seed) for seed in (0, 0, 1))
    assert one == again
    assert one.nodes != other.nodes
    assert one.values == pytest.approx(other.values, rel=0.01)
    assert torch.equal(state, torch.get_rng_state())


def test_trace() -> None:
    net, batch = made()
    exact = float(whole(net, batch).trace())
    product, _ = hessian(Terrain(net, loss, [batch]))
    found = spread(traces(product, vector(net), 40))
    assert found["low"] < exact < found["high"]
    assert found["high"] - found["low"] < 0.5 * abs(exact)
    diagonal = torch.tensor([1.0, 2.0, 3.0]).double()
    assert traces(lambda v: diagonal * v, diagonal, 2) == pytest.approx([6.0, 6.0]), "of a diagonal, exact"


def test_the_interval_of_the_trace_holds() -> None:
    torch.manual_seed(0)
    half = torch.randn(30, 30).double()
    matrix = half + half.T
    held = 0
    for seed in range(300):
        found = spread(traces(of(matrix), matrix[0], 8, seed))
        held += found["low"] <= float(matrix.trace()) <= found["high"]
    assert 0.92 <= held / 300 <= 0.98


class Cube(torch.autograd.Function):
    """x^3, whose derivative PyTorch may not differentiate, as with layers that have no second one."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Cubes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, -3.0]))

    def forward(self, input: Tensor) -> Tensor:
        return Cube.apply(self.weight) @ input.T


def summed(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
    return {"loss": model(batch.input).mean()}


def test_without_a_second_derivative() -> None:
    terrain = Terrain(Cubes(), summed, [Pairs(torch.ones(4, 3), torch.zeros(4))])
    product, exact = hessian(terrain)
    assert not exact
    home = terrain.point.clone()
    some = torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(product(some), 6 * torch.tensor([1.0, 2.0, -3.0]) * some, rtol=2e-3, atol=2e-3)
    assert product(torch.zeros(3)).tolist() == [0, 0, 0]
    assert torch.equal(terrain.point, home), "it stands where it stood"
    assert largest(product, some, 2).values == pytest.approx([12, 6], rel=0.01)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_nets(kind: type[nn.RNNBase]) -> None:
    """In single precision, where PyTorch may take a kernel without a second derivative."""
    torch.manual_seed(0)

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = kind(3, 5, batch_first=True), nn.Linear(5, 4)

        def forward(self, input: Tensor) -> Tensor:
            return self.out(self.cell(input)[0][:, -1])

    net, batch = Reader(), Pairs(torch.randn(20, 6, 3), torch.randint(0, 4, (20,)))
    double, _ = hessian(Terrain(net.double(), loss, [Pairs(batch.input.double(), batch.target)]))
    some = torch.randn(len(vector(net)), generator=torch.Generator().manual_seed(0))
    product, _ = hessian(Terrain(net.float(), loss, [batch]))
    want = double(some.double()).float()
    assert float((product(some) - want).norm() / want.norm()) < 0.01


def test_linear_in_its_weights() -> None:
    net = nn.Linear(3, 1)
    product, exact = hessian(Terrain(net, summed, [Pairs(torch.randn(5, 3), torch.zeros(5))]))
    assert exact
    assert largest(product, vector(net), 2).values == [0.0, 0.0]


def test_sharpness_of_a_parabola() -> None:
    """With curvature c in each direction and a gradient of length g: g r + c r^2 / 2."""

    class Bowl(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([3.0, 4.0]).double())

    terrain = Terrain(Bowl(), lambda model, batch: {"loss": model.weight.square().sum() / 2}, [Pairs(torch.zeros(1, 1),
                      torch.zeros(1))])  # fmt: skip
    assert sharpness(terrain, 0.1) == pytest.approx(5 * 0.1 + 0.1**2 / 2)
    assert terrain.point.tolist() == [3, 4]
    terrain.stand(torch.zeros(2).double())
    assert sharpness(terrain) == 0.0
