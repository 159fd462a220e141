"""Nets that answer as one: the mean of their chances (Lakshminarayanan, Pritzel & Blundell 2017)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap


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


class Together(nn.Module):
    """The members as one batched net, which the page's own `train` can train as if it were one.

    Its parameters hold the members' one after the other along the first dimension. In training it takes the members'
    batches one after the other, "N*B ...", and puts out so: the mean loss is the mean of theirs. Gradients come back
    times N, so that each member has its own, whatever the optimiser, as long as that treats each element alone.
    In evaluation it takes "B ..." and answers as the ensemble. Any other name is the first member's.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count, self.like = len(members), (copy.deepcopy(members[0]),)  # in a tuple: its weights are not ours
        each = zip(*(member.parameters() for member in members), strict=True)
        self.stacks = nn.ParameterList(torch.cat([p.detach().reshape(-1, *p.shape[1:]) for p in same]) for same in each)
        for stack in self.stacks:
            stack.register_hook(lambda gradient: gradient * len(members))

    def __getattr__(self, name: str) -> Any:  # only for names that are not there
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["like"][0], name)

    def train(self, mode: bool = True) -> Together:
        self.like[0].train(mode)
        return super().train(mode)

    def weights(self) -> dict[str, Tensor]:
        """Each parameter of all members, "N ..."."""
        named = zip(self.like[0].named_parameters(), self.stacks, strict=True)
        return {name: stack.view(self.count, *p.shape) for (name, p), stack in named}

    def forward(self, input: Tensor) -> Tensor:
        def one(weights: dict[str, Tensor], input: Tensor) -> Tensor:
            return functional_call(self.like[0], weights, (input,))

        if self.training:
            return vmap(one, randomness="different")(self.weights(), input.unflatten(0, (self.count, -1))).flatten(0, 1)
        outputs = vmap(one, (0, None))(self.weights(), input)
        return pooled(outputs, outputs.new_full((self.count,), 1 / self.count))

    @torch.no_grad()
    def part(self, members: Sequence[nn.Module]) -> None:
        """Give each member its weights."""
        for name, stack in self.weights().items():
            for member, weight in zip(members, stack, strict=True):
                member.get_parameter(name).copy_(weight)
