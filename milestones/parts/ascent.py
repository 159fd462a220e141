"""The other way to teach a circuit: gradient ascent, its slopes taken from the same expected counts as expectation
maximisation takes, so without autograd."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from .circuit import STIFF, Circuit

DIMS = {"prior": -1, "root": -1, "transition": -1, "category": 2}  # along which chances sum to 1


class Ascent(nn.Module):
    """Numbers without bounds that say a circuit's chances: logarithms of shares; means, and logarithms of variances."""

    def __init__(self, circuit: Circuit) -> None:
        super().__init__()
        with torch.no_grad():
            each = {"prior": 1.0, "root": circuit.states, "transition": STIFF * circuit.states**2}
            log = {name: circuit.shares(getattr(circuit, name), each=n).log() for name, n in each.items()}
            log["category"] = circuit.categories().log().clamp_min(-30.0)  # codes that a column does not have
            mean, variance = circuit.normals()
        self.log = nn.ParameterDict({name: nn.Parameter(value) for name, value in log.items()})
        self.mean, self.width = nn.Parameter(mean), nn.Parameter(variance.log())
        self.counts = copy.deepcopy(circuit)
        self.write(circuit)

    def parameters(self, recurse: bool = True):  # type: ignore[no-untyped-def]
        """What an optimiser moves; the counts are none of it."""
        return iter([*self.log.values(), self.mean, self.width])

    @torch.no_grad()
    def write(self, circuit: Circuit) -> None:
        """Give the circuit these chances, without smoothing."""
        circuit.scale.zero_()
        for name, dim in DIMS.items():
            getattr(circuit, name).copy_(self.log[name].softmax(dim))
        circuit.category *= circuit.there[:, None, :, None]
        variance = self.width.exp()
        circuit.moments.copy_(torch.stack([torch.ones_like(variance), self.mean, variance + self.mean.square()], 2))

    @torch.no_grad()
    def slopes(self, circuit: Circuit, row: Float[Tensor, "B C"], label: Integer[Tensor, "B"] | None) -> Tensor:
        """-log p(row, its class), mean over the batch, whose slopes are then in `grad`: of a share's logarithm chance x
        all counts - its own."""
        value, weight = circuit.parts_of(row, label)
        way = circuit.up(value)
        prior = circuit.shares(circuit.prior).log()[:, None]
        loss = -torch.where(weight > 0, way.joint + prior, 0.0).sum() / len(row)
        for counts in self.counts.parameters():
            counts.zero_()
        state = circuit.down(way, weight, self.counts.transition)
        self.counts.add(value, state, weight, 1.0)
        for name, dim in DIMS.items():
            counts = getattr(self.counts, name)
            share = getattr(circuit, name)
            self.log[name].grad = (share * counts.sum(dim, keepdim=True) - counts) / len(row)
        count, first, second = self.counts.moments.unbind(2)
        variance = self.width.exp()
        self.mean.grad = (self.mean * count - first) / variance / len(row)
        square = second - 2 * self.mean * first + self.mean.square() * count
        self.width.grad = (count - square / variance) / 2 / len(row)
        return loss
