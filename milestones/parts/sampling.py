"""Sampling from a net that says one token after the other: temperature, the k likeliest, the nucleus; and the text of
what it says, piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

Logits = Float[np.ndarray, "V"]
Onward = Callable[[int], Logits]
"""Goes on with a text by one token, and gives the logits of what comes after it. It carries what it needs of all that
came before: keys and values, or a recurrent net's memory. A step of a small net is mostly calls, and those of NumPy
cost least."""


@runtime_checkable
class Continues(Protocol):
    """A net that goes on with a text, step by step."""

    def begin(self, token: Int[Tensor, "T"]) -> tuple[Logits, Onward]:
        """Logits of what comes after a text of at least one token, and what goes on with it."""


def array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The numbers of a tensor; those that lie in the CPU's memory are shared, not copied."""
    return tensor.detach().cpu().numpy()


def filtered(logits: Logits, temperature: float, top_k: int, top_p: float) -> Float64[np.ndarray, "V"]:
    """The chances to draw from.

    Logits are divided by `temperature`; 0 leaves the likeliest alone. Then the `top_k` likeliest stay (0: all), then
    of these the smallest set whose chances make up `top_p` or more (1: all; the nucleus of Holtzman et al. 2020,
    equation 3). Of equal chances the one of the smaller number comes first, so that exactly `top_k` stay.
    """
    assert temperature >= 0 and top_k >= 0 and 0 < top_p <= 1
    logits = logits.astype(np.float64)
    best = logits.argmax()
    assert np.isfinite(logits[best])
    if temperature == 0:
        return (np.arange(len(logits)) == best).astype(np.float64)
    with np.errstate(over="ignore"):
        chance = np.exp((logits - logits[best]) / temperature)  # of 0 at most: no temperature is too small
    if top_k or top_p < 1:
        order = (-logits).argsort(kind="stable")
        chance[order[top_k or len(order) :]] = 0
        if top_p < 1:
            ranked = chance[order] / chance.sum()
            chance[order[ranked.cumsum() - ranked >= top_p]] = 0  # what comes before these is enough
    return chance / chance.sum()


def drawn(chance: Float64[np.ndarray, "V"], rng: torch.Generator) -> int:
    """A number from 0, drawn with its chance: each waits for a random time, the longer the smaller its chance, and the
    first is taken. So draws torch.multinomial, which gives the same but takes longer."""
    waits = torch.empty(len(chance), dtype=torch.float64).exponential_(generator=rng)
    return int((chance / waits.numpy()).argmax())


def sampled(model: Continues, prompt: Int[Tensor, "T"], count: int, temperature: float, top_k: int, top_p: float,
            rng: torch.Generator, context: int) -> Iterator[int]:  # fmt: skip
    """`count` tokens that go on from `prompt`, each as soon as it is drawn with `rng`, a generator of the CPU.

    The model holds `context` tokens at most (0: any number). Of a longer prompt it reads the last; once it is full it
    begins again from the last half of what it held. A prompt has at least one token.
    """
    assert len(prompt) and context >= 0
    held = prompt.tolist()[-context:]
    logits, onward = model.begin(prompt.new_tensor(held))
    for left in range(count, 0, -1):
        token = drawn(filtered(logits, temperature, top_k, top_p), rng)
        yield token
        if left == 1:
            return  # nobody asks what comes next
        held.append(token)
        if context and len(held) > context:
            held = held[-max(1, context // 2) :]
            logits, onward = model.begin(prompt.new_tensor(held))
        else:
            logits = onward(token)


def spelled(tokens: Iterable[int], spell: Callable[[int], bytes]) -> Iterator[str]:
    """The text of tokens in pieces, as they come: a character whose bytes lie in several of them comes with the last.
    `spell` says a token's bytes; those that are no UTF-8 become a mark of their own."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        if piece := decoder.decode(spell(token)):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece
