"""Cells side by side: against PyTorch's packed nets; the flow of gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from milestones.parts.cells import CELLS, Simple, gradient_flow, recurrent
from milestones.parts.recurrent import inside, last


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_both_directions_are_those_of_a_packed_net(cell: str) -> None:
    torch.manual_seed(0)
    mine = Simple(cell, 3, 5, 2, both=True)
    theirs = {"gru": nn.GRU, "rnn": nn.RNN}[cell](3, 5, 2, batch_first=True, bidirectional=True)
    for k in range(2):
        for nets, end in ((mine.forwards, ""), (mine.backwards, "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, f"{name}_l{k}{end}").data.copy_(getattr(nets[k], f"{name}_l0"))
    x, length = torch.randn(4, 7, 3), torch.tensor([7, 2, 5, 1])
    packed = pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
    want, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    assert torch.allclose(mine(x, length) * inside(length, 7)[..., None], want, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_units_remember_as_long_as_they_are_told(cell: str) -> None:
    """With no input and weights of zero a unit's state fades by its gate alone: half-lives spread up to the longest."""
    net = recurrent(cell, 1, 16, remember=300)
    for weight in (net.forwards[0].weight_ih_l0, net.forwards[0].weight_hh_l0):
        nn.init.zeros_(weight)
    start = torch.ones(1, 1, 16)
    carried = (torch.zeros(1, 1, 16), start) if cell == "lstm" else start
    _, after = net.forwards[0](torch.zeros(1, 300, 1), carried)
    kept = (after[1] if cell == "lstm" else after)[0, 0].detach()
    assert kept[-1] > 0.3 and kept[0] < 1e-6, "1 - 1/300 to the power of 300 is 1/e"
    assert float(kept[-1]) == pytest.approx((300 / 301) ** 300, rel=1e-3)
    assert kept.diff().min() >= 0


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("both", [False, True])
def test_the_flow_of_gradients_is_that_of_finite_differences(cell: str, both: bool) -> None:
    torch.manual_seed(0)
    net = recurrent(cell, 2, 4, layers=2, both=both).double()
    x, length = torch.randn(3, 6, 2).double(), torch.tensor([6, 4, 6])
    wanted = torch.randn(3, 8 if both else 4).double()

    def loss(said: torch.Tensor) -> torch.Tensor:
        return (last(said, length) * wanted).sum(1).mean()

    flow = gradient_flow(net, x, length, loss)
    assert set(flow) == ({"hidden", "cell"} if cell == "lstm" else {"hidden"})
    below = net.forwards[0](x)[0]
    if both:
        from milestones.parts.recurrent import through

        below = through(net.forwards[:1], net.backwards[:1], x, length)
    layer = net.forwards[-1]

    def after(i: int, step: int, moved: torch.Tensor, what: int) -> float:
        """The loss of example i when the state after `step` is moved."""
        _, state = layer(below[i : i + 1, : step + 1])
        parts = list(state) if isinstance(state, tuple) else [state]
        parts[what] = parts[what] + moved
        rest = int(length[i]) - 1 - step
        hidden = parts[0][:, 0]
        if rest:
            again = tuple(parts) if len(parts) == 2 else parts[0]
            hidden = layer(below[i : i + 1, step + 1 : int(length[i])], again)[0][:, -1]
        return float((hidden[0] * wanted[i, :4]).sum().detach())

    for back in (0, 1, 3):
        for what, name in enumerate(flow):
            norms = []
            for i in range(3):
                slopes = []
                for unit in range(4):
                    moved = torch.zeros(1, 1, 4).double()
                    moved[0, 0, unit] = 1e-6
                    step = int(length[i]) - 1 - back
                    slopes.append((after(i, step, moved, what) - after(i, step, -moved, what)) / 2e-6)
                norms.append(math.hypot(*slopes))
            assert float(flow[name][back]) == pytest.approx(sum(norms) / 3, rel=1e-4, abs=1e-8)
    of_long = gradient_flow(net, x[[0, 2]], length[[0, 2]], lambda said: (said[:, -1] * wanted[[0, 2]]).sum(1).mean())
    assert torch.allclose(flow["hidden"][4:], of_long["hidden"][4:]), "short sequences do not count where they are not"


def test_a_plain_cell_loses_the_gradient_and_an_open_gate_keeps_it() -> None:
    """Hochreiter's finding: back through a squashed state it shrinks from step to step, along an open cell it stays."""
    torch.manual_seed(0)
    x, length = torch.randn(8, 100, 2), torch.full((8,), 100)
    flow = {
        cell: gradient_flow(recurrent(cell, 2, 32, remember=500), x, length, lambda said: said[:, -1].square().mean())
        for cell in CELLS
    }
    shrinks = {cell: float(one.get("cell", one["hidden"])[-1] / one.get("cell", one["hidden"])[1])
               for cell, one in flow.items()}  # fmt: skip
    assert shrinks["rnn"] < 1e-4 and shrinks["lstm"] > 0.1 and shrinks["gru"] > 0.01, shrinks
