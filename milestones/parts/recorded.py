"""What a net's own attention and gates do with an input, as they are: no map is made of them.

PyTorch's functions are watched while the net computes, so a layer that is used twice is told twice, and no hook is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .relevance import Call, Watched

GATES = ("input gate", "forget gate", "cell candidate", "output gate")


class Attention(NamedTuple):
    """Where each of T places looks among S, in each of H heads; rows sum to 1."""

    weights: Float[Tensor, "B H T S"]


class Gates(NamedTuple):
    """The gates of one layer and direction of an LSTM in the order of GATES, and its cells, at each step."""

    layer: int
    backward: bool
    gates: Float[Tensor, "4 B T D"]
    cells: Float[Tensor, "B T D"]


def recorded(scores: Callable[[Tensor], Tensor], input: Tensor) -> list[Attention | Gates]:
    """All attention (``nn.MultiheadAttention`` and PyTorch's function of scaled dot products) and all LSTM gates, in
    the order in which the net computes them. [] where it has none; packed sequences are not told."""
    found: list[Attention | Gates] = []

    def change(name: str, call: Call, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if name == "multi_head_attention_forward":
            return attended(args, named, found)
        if name == "scaled_dot_product_attention":
            words = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
            all_named = {**dict(zip(words, args, strict=False)), **named}
            found.append(Attention(dot_products(all_named)))
        if name == "lstm" and isinstance(args[2], list | tuple) and isinstance(args[1], list | tuple):
            found.extend(gates_of(*args))
        return call()

    with torch.no_grad(), Watched(change):
        scores(input.clone())
    return found


def attended(args: tuple[Any, ...], named: dict[str, Any], found: list[Attention | Gates]) -> tuple[Tensor, Any]:
    """What a layer of attention gives, its weights noted."""
    from torch.nn.functional import multi_head_attention_forward

    more = {**named, "need_weights": True, "average_attn_weights": False}
    result, weights = multi_head_attention_forward(*args, **more)
    found.append(Attention(weights if weights.dim() == 4 else weights[None]))
    if not named.get("need_weights", True):
        return result, None
    return result, weights.mean(-3) if named.get("average_attn_weights", True) else weights


def dot_products(named: dict[str, Any]) -> Float[Tensor, "B H T S"]:
    """softmax(Q K' / sqrt(d)) with the mask."""
    query, key, mask = named["query"], named["key"], named.get("attn_mask")
    scale = named.get("scale") or 1 / math.sqrt(query.shape[-1])
    if named.get("enable_gqa"):
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    match = query @ key.transpose(-2, -1) * scale
    if named.get("is_causal"):
        match = match.masked_fill(torch.ones_like(match, dtype=torch.bool).triu(1), -math.inf)
    if mask is not None:
        match = match.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else match + mask
    weights = match.softmax(-1)
    return weights.flatten(1, -3) if weights.dim() > 4 else weights.view(len(weights), -1, *weights.shape[-2:])


def gates_of(input: Tensor, state: tuple[Tensor, Tensor], weights: list[Tensor], has_biases: bool, layers: int,
             dropout: float, train: bool, bidirectional: bool, batch_first: bool) -> list[Gates]:  # fmt: skip
    """The gates of ``torch.lstm``, which keeps them to itself, by its own equations (Hochreiter & Schmidhuber 1997;
    Gers, Schmidhuber & Cummins 2000). The arguments are that function's."""
    x = input if batch_first else input.transpose(0, 1)  # B T D
    each, ways = len(weights) // (layers * (1 + bidirectional)), 1 + bidirectional
    found = []
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            number = layer * ways + way
            own = weights[number * each : (number + 1) * each]
            h, c = state[0][number], state[1][number]
            steps = range(x.shape[1] - 1, -1, -1) if way else range(x.shape[1])
            at: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
            for t in steps:
                total = x[:, t] @ own[0].T + h @ own[1].T + (own[2] + own[3] if has_biases else 0)
                i, f, g, o = total.chunk(4, 1)
                i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
                c = f * c + i * g
                h = o * c.tanh()
                if (has_biases and len(own) == 5) or (not has_biases and len(own) == 3):
                    h = h @ own[-1].T  # a projected LSTM
                at[t] = torch.stack([i, f, g, o]), c, h
            stacked = [torch.stack([at[t][k] for t in range(x.shape[1])], -2) for k in range(3)]
            found.append(Gates(layer, bool(way), stacked[0], stacked[1]))
            outputs.append(stacked[2])
        x = torch.cat(outputs, -1)
    return found
