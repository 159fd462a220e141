"""From one sequence of tokens to another: what nets that translate have in common, whatever they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from .beam import Hypothesis, State, Step, beam
from .bpe import BEGIN, END

TOKENS = 4000  # of sources translated together, padding included


@runtime_checkable
class Translates(Protocol):
    """A net that reads a source and says a target, token by token."""

    training: bool
    smoothing: float  # share of the chance that a training target leaves to all tokens alike

    def __call__(self, source: Tensor, length: Tensor, before: Tensor) -> Tensor:
        """Features "B T D" of what comes after each token of `before` "B T"."""
        ...

    def scores(self, features: Tensor) -> Tensor:
        """The logits of all tokens, "... V"."""
        ...

    def begin(self, source: Tensor, length: Tensor) -> tuple[Step, State]:
        """A step of a search, and the state at its start, one row a source."""
        ...

    def attention(self, source: Tensor, length: Tensor, before: Tensor) -> Tensor | None:
        """Where it looks at each token of the target, "B T S"; None if nowhere."""
        ...


def shifted(target: Int[Tensor, "B T"], length: Int[Tensor, "B"]
            ) -> tuple[Int[Tensor, "B T+1"], Int[Tensor, "B T+1"], Bool[Tensor, "B T+1"]]:  # fmt: skip
    """The tokens before each place, the tokens to say there (the last is the sign of the end), and which places
    count."""
    before = F.pad(target, (1, 0), value=BEGIN)
    goal = F.pad(target, (0, 1)).scatter(1, length[:, None], END)
    return before, goal, torch.arange(goal.shape[1], device=goal.device) <= length[:, None]


def token_loss(model: Translates, source: Int[Tensor, "B S"], source_length: Int[Tensor, "B"],
               target: Int[Tensor, "B T"], target_length: Int[Tensor, "B"]) -> dict[str, Tensor]:  # fmt: skip
    """Cross-entropy in nats a token, with smoothed targets in training (Szegedy et al. 2016), mean over the tokens;
    and the percent of tokens whose likeliest is another, each after the true ones before it."""
    before, goal, counts = shifted(target, target_length)
    scores = model.scores(model(source, source_length, before)[counts])  # N V: padding costs no output layer
    loss = F.cross_entropy(scores, goal[counts], label_smoothing=model.smoothing if model.training else 0.0)
    return {"loss": loss, "error": 100 * (scores.argmax(-1) != goal[counts]).float().mean()}


def locked(x: Float[Tensor, "B T D"], rate: float, training: bool) -> Float[Tensor, "B T D"]:
    """Dropout with one mask for all places of a sequence (Gal & Ghahramani 2016): it costs few random numbers, and a
    recurrent net does not see it flicker."""
    if not training or not rate:
        return x
    return x * (torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= rate).to(x.dtype).div(1 - rate)


@torch.no_grad()
def translated(model: Translates, sources: Sequence[Sequence[int]], device: torch.device, width: int = 4,
               penalty: float = 0.6) -> list[list[Hypothesis]]:  # fmt: skip
    """For each source at most `width` hypotheses, best first. Sources of like length are translated together; a
    translation has at most 20 tokens more than twice the source."""
    order = sorted(range(len(sources)), key=lambda k: len(sources[k]))
    found: list[list[Hypothesis]] = [[] for _ in sources]
    while order:
        longest = len(sources[order[-1]])
        size = max(1, TOKENS // max(1, longest * width))
        group, order = order[-size:], order[:-size]
        source = torch.zeros(len(group), longest, dtype=torch.long)
        for row, k in enumerate(group):
            source[row, : len(sources[k])] = torch.tensor(sources[k])
        length = torch.tensor([len(sources[k]) for k in group])
        step, state = model.begin(source.to(device), length.to(device))
        for k, those in zip(group, beam(step, state, BEGIN, END, width, 2 * length + 20, penalty), strict=True):
            found[k] = those
    return found
