"""Nets that answer as one: the mean of their chances (Lakshminarayanan, Pritzel & Blundell 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Equal nets in place of one. "B K" logs of the mean of their chances, over a temperature: to whoever takes their
    softmax, scores as those of one net. Where a net puts out numbers ("B"), their mean.

    `shares` are the members' weights in the mean; one that was not trained has 0 and is not asked. Any other name is
    the first member's. ValueError: unequal members.
    """

    temperature: Tensor
    shares: Tensor

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        like = {name: tensor.shape for name, tensor in members[0].state_dict().items()}
        for number, member in enumerate(members):
            shapes = {name: tensor.shape for name, tensor in member.state_dict().items()}
            if shapes != like:
                other = next(name for name in [*like, *shapes] if like.get(name) != shapes.get(name))
                have = [" x ".join(map(str, found[other])) if other in found else "none" for found in (like, shapes)]
                raise ValueError(f"{other} of {have[0]} in the first, of {have[1]} in member {number + 1}")
        self.members = nn.ModuleList(members)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("shares", torch.full((len(members),), 1 / len(members)))

    def __getattr__(self, name: str) -> Any:  # only for names that are not there
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "members":
                raise
            return getattr(self.members[0], name)

    def forward(self, input: Tensor) -> Float[Tensor, "B K"] | Float[Tensor, "B"]:
        asked = self.shares.nonzero()[:, 0].tolist()
        outputs = torch.stack([self.members[k](input) for k in asked])
        return pooled(outputs, self.shares[asked]) / (self.temperature if outputs.dim() > 2 else 1.0)


def pooled(outputs: Tensor, shares: Float[Tensor, "N"]) -> Float[Tensor, "B K"] | Float[Tensor, "B"]:
    """The log of the weighted mean of the softmax of "N B K", or the weighted mean of "N B"."""
    if outputs.dim() == 2:
        return shares @ outputs
    return (outputs.log_softmax(-1) + shares.log()[:, None, None]).logsumexp(0)
