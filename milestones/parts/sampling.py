"""Sampling from a net that says one token after the other: temperature, the k likeliest, the nucleus; and the text of
what it says, piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

State = tuple[Tensor, ...]
"""What a net carries from token to token: keys and values of all that it has read, or a recurrent net's memory."""


@runtime_checkable
class Continues(Protocol):
    """A net that goes on with a text, step by step."""

    def begin(self, token: Int[Tensor, "B T"]) -> tuple[Float[Tensor, "B V"], State]:
        """Logits of what comes after a text of at least one token, and the state after it."""

    def next(self, token: Int[Tensor, "B"], state: State) -> tuple[Float[Tensor, "B V"], State]:
        """Logits of what comes after one more token, and the state after it."""


def filtered(logits: Float[Tensor, "B V"], temperature: float, top_k: int, top_p: float) -> Float[Tensor, "B V"]:
    """The chances to draw from, in double precision.

    Logits are divided by `temperature`; 0 leaves the likeliest alone. Then the `top_k` likeliest stay (0: all), then
    of these the smallest set whose chances make up `top_p` or more (1: all; the nucleus of Holtzman et al. 2020,
    equation 3). Of equal chances the one of the smaller number comes first, so that exactly `top_k` stay.
    """
    assert temperature >= 0 and top_k >= 0 and 0 < top_p <= 1
    logits = logits.double()
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    logits = (logits - logits.amax(-1, keepdim=True)) / temperature  # 0 at most: no temperature is too small
    if not 0 < top_k < logits.shape[-1] and top_p == 1:
        return logits.softmax(-1)
    logits, order = logits.sort(dim=-1, descending=True, stable=True)
    if top_k:
        logits[..., top_k:] = -torch.inf
    chance = logits.softmax(-1)
    if top_p < 1:
        chance = chance.where(chance.cumsum(-1) - chance < top_p, 0.0)  # what comes before it is not yet enough
        chance /= chance.sum(-1, keepdim=True)
    return torch.zeros_like(chance).scatter_(-1, order, chance)


@torch.inference_mode()
def sampled(model: Continues, prompt: Int[Tensor, "T"], count: int, temperature: float, top_k: int, top_p: float,
            rng: torch.Generator, context: int) -> Iterator[int]:  # fmt: skip
    """`count` tokens that go on from `prompt`, each as soon as it is drawn with `rng`, a generator of the CPU.

    The model holds `context` tokens at most (0: any number). Of a longer prompt it reads the last; once it is full it
    begins again from the last half of what it held. A prompt has at least one token.
    """
    assert len(prompt) and context >= 0
    held = prompt.tolist()[-context:]
    logits, state = model.begin(prompt.new_tensor([held]))
    for left in range(count, 0, -1):
        chance = filtered(logits, temperature, top_k, top_p)[0].cpu()
        token = int(torch.multinomial(chance, 1, generator=rng))
        yield token
        if left == 1:
            return  # nobody asks what comes next
        held.append(token)
        if context and len(held) > context:
            held = held[-max(1, context // 2) :]
            logits, state = model.begin(prompt.new_tensor([held]))
        else:
            logits, state = model.next(prompt.new_tensor([token]), state)


def spelled(tokens: Iterable[int], spell: Callable[[int], bytes]) -> Iterator[str]:
    """The text of tokens in pieces, as they come: a character whose bytes lie in several of them comes with the last.
    `spell` says a token's bytes; those that are no UTF-8 become a mark of their own."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        if piece := decoder.decode(spell(token)):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece
