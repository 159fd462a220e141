"""Cells of recurrent nets side by side: how long they remember at the start, and how far a gradient reaches back."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .recurrent import LSTM, flipped, inside, through

CELLS = ("lstm", "gru", "rnn")


class Simple(nn.Module):
    """Layers of other cells, as LSTM has them: "gru", gated units (Cho et al. 2014), or "rnn", one tanh of input and
    state (Elman 1990). With `both`, each layer reads forwards and backwards."""

    def __init__(self, cell: str, inputs: int, width: int, layers: int = 1, both: bool = False,
                 dropout: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        self.width, self.both, self.dropout = width, both, dropout
        kind = {"gru": nn.GRU, "rnn": nn.RNN}[cell]
        sizes = [inputs] + [width * (2 if both else 1)] * (layers - 1)
        self.forwards = nn.ModuleList(kind(size, width, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(kind(size, width, batch_first=True) for size in sizes if both)
        for net in (*self.forwards, *self.backwards):
            for gate in net.weight_hh_l0.chunk(3 if cell == "gru" else 1):
                nn.init.orthogonal_(gate)
            nn.init.xavier_uniform_(net.weight_ih_l0)
            nn.init.zeros_(net.bias_hh_l0)
            nn.init.zeros_(net.bias_ih_l0)

    def forward(self, x: Float[Tensor, "B T C"], length: Int[Tensor, "B"]) -> Float[Tensor, "B T D"]:
        """The last layer's output at each frame."""
        return through(self.forwards, self.backwards, x, length, self.dropout * self.training)


def recurrent(cell: str, inputs: int, width: int, layers: int = 1, both: bool = False, dropout: float = 0.0,
              remember: int = 0) -> LSTM | Simple:  # fmt: skip
    """A net of this cell, one of CELLS. With `remember`, its units forget over 2 to so many steps at the start, evenly
    in the logarithm (Tallec & Ollivier 2018 draw the steps at random): gates that are nearly shut need not first learn
    to be. A plain "rnn" has none."""
    kinds = (inputs, width, layers, both, dropout)
    net = LSTM(*kinds) if cell == "lstm" else Simple(cell, *kinds)
    if remember and cell != "rnn":
        held = torch.linspace(0, math.log(remember), width)  # a gate of 1 - 1 / (1 + exp(held)) a step
        for one in (*net.forwards, *net.backwards):
            bias = one.bias_ih_l0.data
            if cell == "lstm":
                bias[:width], bias[width : 2 * width] = -held, held  # input and forget gate
            else:
                bias[width : 2 * width] = held  # the share of the old state
    return net


def gradient_flow(net: LSTM | Simple, x: Float[Tensor, "B T C"], length: Int[Tensor, "B"],
                  loss: Callable[[Float[Tensor, "B T D"]], Tensor]) -> dict[str, Float[Tensor, "T"]]:  # fmt: skip
    """How strongly a state so many steps before the end of its sequence acts on the loss: the norm of the gradient of
    each example's loss by the last layer's state, mean over the examples that are so long; of "hidden", and for an LSTM
    of its "cell". `loss` makes the mean of the examples' losses of the net's output.

    The state is what is carried from step to step, so the paths through all later steps are in it. A net that reads in
    both directions is measured in the one that reads forwards. Needs no weights' gradients and leaves none.
    """
    with torch.enable_grad():
        x = through(net.forwards[:-1], net.backwards[:-1], x.detach(), length).detach()
        layer, states = net.forwards[-1], []
        # Without a start that asks for gradients, frozen weights would leave the chain without any.
        zero = [x.new_zeros(1, len(x), net.width, requires_grad=True) for _ in range(1 + isinstance(layer, nn.LSTM))]
        carried = tuple(zero) if len(zero) == 2 else zero[0]
        for step in range(x.shape[1]):
            _, carried = layer(x[:, step : step + 1], carried)
            states.append(carried if isinstance(carried, tuple) else (carried,))
        said = torch.stack([state[0][0] for state in states], 1)  # B T D
        if net.both:
            said = torch.cat([said, flipped(net.backwards[-1](flipped(x, length))[0], length)], -1)
        kinds = list(zip(*states, strict=True))  # hidden, cell: each of all steps
        found = torch.autograd.grad(loss(said), [one for kind in kinds for one in kind], allow_unused=True)
    there = inside(length, x.shape[1]).float()  # B T, from the end
    flow = {}
    for name, part in zip(("hidden", "cell"), (found[: len(states)], found[len(states) :]), strict=True):
        if part:
            norms = torch.stack([x.new_zeros(len(x)) if g is None else g[0].norm(dim=-1) for g in part], 1)  # B T
            back = flipped(norms, length) * there * len(x)
            flow[name] = back.sum(0) / there.sum(0).clamp(min=1)
    return flow
