"""GPT-2 as it was published (Radford et al. 2019): a net whose weights have the published names; its byte pairs.

It gives what the reference gives, for weights that others trained; the page `gpt` trains a net of its own.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from .sampling import Logits, Onward, array

Keys = tuple[Tensor, ...]  # and values of all places, of each layer in turn

END = "<|endoftext|>"  # the token between two texts
EPSILON = 1e-5


class Shape(NamedTuple):
    """What decides the sizes of all weights."""

    tokens: int
    length: int  # of the context
    width: int
    heads: int
    layers: int
    inner: int  # width between the two layers for each place alone
    epsilon: float = EPSILON  # of the normalisation


class Affine(nn.Module):
    """x W + b, the weights lying inputs first, as the published ones do."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "... I"]) -> Float[Tensor, "... O"]:
        return F.linear(x, self.weight.mT, self.bias)


class Looking(nn.Module):
    """Attention in heads to all places so far."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.c_attn = Affine(shape.width, 3 * shape.width)
        self.c_proj = Affine(shape.width, shape.width)

    def forward(self, x: Float[Tensor, "B T D"], past: Sequence[Tensor]) -> tuple[Float[Tensor, "B T D"], Keys]:
        """The mean of the values looked at, and keys and values "B N S E" of all places, those of `past` first."""
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, 2))
        if past:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        scores = query @ key.mT / math.sqrt(query.shape[-1])  # B N T S
        first = key.shape[2] - query.shape[2]
        hidden = torch.ones(scores.shape[2:], dtype=torch.bool, device=x.device).triu(first + 1)
        found = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value
        return self.c_proj(found.transpose(1, 2).flatten(2)), (key, value)


class Each(nn.Module):
    """Two layers for each place alone."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.c_fc = Affine(shape.width, shape.inner)
        self.c_proj = Affine(shape.inner, shape.width)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Attention, then each place alone; both add to what came in, normalised before."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(shape.width, shape.epsilon) for _ in range(2))
        self.attn, self.mlp = Looking(shape), Each(shape)

    def forward(self, x: Float[Tensor, "B T D"], past: Sequence[Tensor] = ()) -> tuple[Float[Tensor, "B T D"], Keys]:
        found, kept = self.attn(self.ln_1(x), past)
        x = x + found
        return x + self.mlp(self.ln_2(x)), kept


class GPT2(nn.Module):
    """Says what comes next after each token of a text of at most `length`; the output layer is the vectors' own."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.length = shape.length
        self.wte = nn.Embedding(shape.tokens, shape.width)
        self.wpe = nn.Embedding(shape.length, shape.width)
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width, shape.epsilon)

    def read(self, token: Int[Tensor, "B T"], past: Keys = ()) -> tuple[Float[Tensor, "B T D"], Keys]:
        """Features of what comes after each token; keys and values of each layer, in turn."""
        first = past[0].shape[2] if past else 0
        assert first + token.shape[1] <= self.length
        x = self.wte(token) + self.wpe.weight[first : first + token.shape[1]]
        kept: list[Tensor] = []
        for k, block in enumerate(self.h):
            x, both = block(x, past[2 * k : 2 * k + 2])
            kept += both
        return self.ln_f(x), tuple(kept)

    def forward(self, token: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Logits of what comes after each token."""
        return F.linear(self.read(token)[0], self.wte.weight)

    def begin(self, token: Int[Tensor, "T"]) -> tuple[Logits, Onward]:
        """Logits of what comes after a text, and what goes on with it: in PyTorch, for a net of this size computes more
        than it calls."""
        kept: Keys = ()

        @torch.inference_mode()
        def read(more: Int[Tensor, "T"]) -> Logits:
            nonlocal kept
            x, kept = self.read(more[None], kept)
            return array(F.linear(x[0, -1], self.wte.weight))

        return read(token), lambda one: read(token.new_tensor([one]))


# Byte pairs

CONTRACTED = re.compile("'(?:s|t|re|ve|m|ll|d)")
CUT = re.compile(r" ?L+| ?N+| ?O+|[ S]+(?![LNO])|[ S]+")  # over the sorts of the characters


@functools.cache
def sort_of(sign: str) -> str:
    """L a letter, N a number, a blank itself, S other white space, O what is none of these: as Unicode has them, in
    the version that Python knows: what came later is O."""
    if sign == " ":
        return sign
    kind = unicodedata.category(sign)[0]
    white = sign.isspace() and sign not in "\x1c\x1d\x1e\x1f"  # which Python calls space and Unicode does not
    return kind if kind in "LN" else "S" if white else "O"


def pieces(text: str) -> list[str]:
    """The text cut where nothing is joined: 's 't 're 've 'm 'll 'd; letters, numbers, other signs, each with the blank
    before them; white space, its last sign left to what comes after it."""
    sorts, found, at = "".join(map(sort_of, text)), [], 0
    while at < len(text):
        match = CONTRACTED.match(text, at) or CUT.match(sorts, at)
        assert match is not None, "every sign is of some sort"
        found.append(text[at : match.end()])
        at = match.end()
    return found


def byte_signs() -> dict[str, int]:
    """The sign by which the published vocabulary writes each byte: itself where it prints, else one from 256 on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = (byte for byte in range(256) if byte not in shown)
    return {**{chr(byte): byte for byte in shown}, **{chr(256 + k): byte for k, byte in enumerate(hidden)}}


class BytePairs:
    """GPT-2's tokens: bytes, and what its `merges` ("a b" a line, the first joined first) join of them, numbered as
    `vocabulary` says. ValueError: they do not fit each other."""

    def __init__(self, vocabulary: Mapping[str, int], merges: Sequence[str]) -> None:
        signs = byte_signs()

        def spelled(written: str) -> bytes:
            if not written or not set(written) <= signs.keys():
                raise ValueError(f"the token {written[:40]!r}, which is not written in bytes")
            return bytes(signs[sign] for sign in written)

        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise ValueError(f"{len(vocabulary):,} tokens that are not numbered from 0 to {len(vocabulary) - 1:,}")
        self._spelled = [b""] * len(vocabulary)
        for written, number in vocabulary.items():
            self._spelled[number] = spelled(written)
        self._number = {one: k for k, one in enumerate(self._spelled)}
        self._rank: dict[tuple[bytes, bytes], int] = {}
        for rank, line in enumerate(merges):
            one, _, two = line.partition(" ")
            pair = spelled(one), spelled(two)
            if pair[0] + pair[1] not in self._number:
                raise ValueError(f"the merge {line[:40]!r}, whose token is missing")
            self._rank[pair] = rank
        if missing := [byte for byte in range(256) if bytes([byte]) not in self._number]:
            raise ValueError(f"no token for the byte {missing[0]:#04x}")
        self.end = vocabulary.get(END)
        self.begin = self._number[b"\n"] if self.end is None else self.end
        self._known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._spelled)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; a half of a pair of surrogates becomes a question mark."""
        found: list[int] = []
        for piece in pieces(text):
            if piece not in self._known:
                self._known[piece] = [self._number[one] for one in self._joined(piece.encode("utf-8", "replace"))]
            found += self._known[piece]
        return found

    def _joined(self, piece: bytes) -> list[bytes]:
        """The bytes of a piece, the pair that was learned first joined everywhere, until there is none."""
        word, none = [bytes([byte]) for byte in piece], len(self._rank)
        while len(word) > 1:
            best = min(itertools.pairwise(word), key=lambda pair: self._rank.get(pair, none))
            if best not in self._rank:
                break
            joined, at = [], 0
            while at < len(word):
                both = at + 1 < len(word) and (word[at], word[at + 1]) == best
                joined.append(word[at] + word[at + 1] if both else word[at])
                at += 2 if both else 1
            word = joined
        return word

    def spell(self, token: int) -> bytes:
        """The bytes of a token; of one that the net has and the vocabulary has not, none."""
        return self._spelled[token] if token < len(self) else b""

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; bytes that are no UTF-8 become a mark of their own."""
        return b"".join(map(self.spell, tokens)).decode("utf-8", "replace")

    def shown(self, token: int) -> str:
        """How one token is written in a picture: a blank as a low line, a line's end as \\n."""
        return self.decode([token]).replace(" ", "_").replace("\n", "\\n").replace("\t", "\\t")
