"""Small nets side by side, the weights of each one vector, and rules that change these: what optimisers are for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

UNITS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}

Rule = Callable[[Tensor, Any, int], tuple[Tensor, Any]]
"""gradient "G N", what the rule keeps (None at first), updates so far -> what is added to the weights "G N", kept."""
Batches = Callable[[int], tuple[Tensor, Tensor]]
"""number of an update -> inputs "G B I" and classes "G B"."""


class Task(NamedTuple):
    """A net with hidden layers that tells classes apart."""

    inputs: int
    hidden: tuple[int, ...]
    unit: str  # one of UNITS
    classes: int

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        return list(pairwise([self.inputs, *self.hidden, self.classes]))

    @property
    def size(self) -> int:
        """N: all weights and biases."""
        return sum((a + 1) * b for a, b in self.layers)


def begun(task: Task, count: int, rng: torch.Generator) -> Float[Tensor, "G N"]:
    """Starting weights of `count` nets: uniform as Glorot & Bengio (2010) have them, biases 0."""
    parts = []
    for a, b in task.layers:
        reach = (6 / (a + b)) ** 0.5
        parts += [(2 * torch.rand(count, a * b, generator=rng) - 1) * reach, torch.zeros(count, b)]
    return torch.cat(parts, 1)


def scores_of(task: Task, theta: Float[Tensor, "G N"], input: Float[Tensor, "G B I"]) -> Float[Tensor, "G B K"]:
    """What each net says of its own inputs."""
    x, at = input, 0
    for k, (a, b) in enumerate(task.layers):
        weight, bias = theta[:, at : at + a * b].unflatten(1, (a, b)), theta[:, at + a * b : at + (a + 1) * b]
        x = torch.baddbmm(bias[:, None], UNITS[task.unit](x) if k else x, weight)  # G B b
        at += (a + 1) * b
    return x


def losses(task: Task, theta: Float[Tensor, "G N"], input: Float[Tensor, "G B I"],
           label: Int[Tensor, "G B"]) -> Float[Tensor, "G"]:  # fmt: skip
    """Each net's cross-entropy, mean over its batch, in nats."""
    return -scores_of(task, theta, input).log_softmax(-1).gather(-1, label[..., None]).mean((1, 2))


def descended(task: Task, rule: Rule, theta: Float[Tensor, "G N"], batches: Batches, steps: int,
              ) -> tuple[Float[Tensor, "G N"], Float[Tensor, "T G"]]:  # fmt: skip
    """The weights after `steps` updates by the rule, and the loss before each update. No graph is kept."""
    kept, seen = None, []
    for step in range(steps):
        with torch.enable_grad():
            theta = theta.detach().requires_grad_()
            loss = losses(task, theta, *batches(step))
            gradient = torch.autograd.grad(loss.sum(), theta)[0]
        with torch.no_grad():
            update, kept = rule(gradient, kept, step)
            theta = theta + update
        seen.append(loss.detach())
    return theta.detach(), torch.stack(seen)


def adam(lr: Float[Tensor, "G 1"]) -> Rule:
    """Kingma & Ba (2015) with their decays, a rate for each net."""

    def rule(g: Tensor, kept: Any, step: int) -> tuple[Tensor, Any]:
        m, v = kept or (torch.zeros_like(g), torch.zeros_like(g))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        return -lr * (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8), (m, v)

    return rule


def momentum(lr: Float[Tensor, "G 1"], share: float = 0.9) -> Rule:
    """Gradient descent with a share of the last step (Polyak 1964), a rate for each net."""

    def rule(g: Tensor, kept: Any, step: int) -> tuple[Tensor, Any]:
        m = g if kept is None else share * kept + g
        return -lr * m, m

    return rule


def best_rate(task: Task, make: Callable[[Tensor], Rule], rates: Sequence[float], theta: Float[Tensor, "G N"],
              batches: Batches, steps: int, held: tuple[Tensor, Tensor]) -> float:  # fmt: skip
    """The rate after which the loss on `held` (inputs "B I", classes "B") is lowest, mean over the starts. All rates
    are tried on the same starts and batches, side by side."""
    count, over = len(theta), len(rates)
    lr = torch.tensor(list(rates), dtype=theta.dtype, device=theta.device).repeat_interleave(count)[:, None]

    def repeated(step: int) -> tuple[Tensor, Tensor]:
        input, label = batches(step)
        return input.repeat(over, 1, 1), label.repeat(over, 1)

    end, _ = descended(task, make(lr), theta.repeat(over, 1), repeated, steps)
    found = held_losses(task, end, *held).view(over, count).mean(1)
    return float(rates[int(found.nan_to_num(torch.inf).argmin())])


def held_losses(task: Task, theta: Float[Tensor, "G N"], input: Float[Tensor, "B I"],
                label: Int[Tensor, "B"]) -> Float[Tensor, "G"]:  # fmt: skip
    """The loss of each net on the same examples, one net at a time: they may be many."""
    with torch.no_grad():
        return torch.cat([losses(task, one[None], input[None], label[None]) for one in theta])
