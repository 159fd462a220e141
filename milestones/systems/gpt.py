"""A net that has learned nothing but what comes next continues any text.

Paper       Radford, Narasimhan, Salimans & Sutskever (2018), Improving language understanding by generative
            pre-training, OpenAI. Grown large: Radford et al. (2019), Language models are unsupervised multitask
            learners.
Idea        the writing half of a transformer alone, trained to foretell the next token of plain text: no labels are
            needed, so all text teaches, and what it must know to foretell well can be used for other ends.
Deviations  what has been found since, not weighed one by one here: places are turned into queries and keys (Su et al.
            2021), which are normalised (Henry et al. 2020); squared ReLU (So et al. 2021); no biases; branches begin at
            zero; a vector for each pair of tokens that follow each other; matrices learn by Muon (Jordan 2024).
            Normalised before each part. Nothing is fine-tuned: the page stops where the paper's first half does.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data.continued import answers, scores, shown
from ..data.text import Windows, codec, text
from ..media import Heat, Text
from ..parts.attention import Kept, turned, turns
from ..parts.muon import Muon
from ..parts.sampling import Logits, Onward, array
from ..parts.seq2seq import locked

Numbers = TypeVar("Numbers", Tensor, np.ndarray[Any, Any])


class Knobs(Config):
    level: Literal["character", "pairs"] = Field(default="character", description="what a token is: a character, or "
                                                 "byte pairs that are often together")  # fmt: skip
    vocabulary: int = Field(default=1024, ge=256, le=65536, description="tokens (level pairs)")
    length: int = Field(default=64, ge=2, le=4096, description="tokens of context")
    width: int = Field(default=128, ge=4, le=4096, description="of a place's vector")
    heads: int = Field(default=4, ge=1, le=64, description="of each attention; they share the width")
    layers: int = Field(default=4, ge=1, le=48, description="of attention, each with one for every place alone")
    buckets: int = Field(default=8192, ge=0, le=1 << 20, description="vectors for pairs of tokens, shared by a hash if "
                         "there are more pairs; 0: none")  # fmt: skip
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of vectors and of what each part adds")
    muon: bool = Field(default=True, description="matrices learn by Muon; false: all by AdamW")
    steps: int = Field(default=400, ge=1, description="optimiser updates")
    batch: int = Field(default=32, ge=1, description="windows per update")
    lr: float = Field(default=1e-2, gt=0, description="step size at its peak")
    warmup: int = Field(default=50, ge=0, description="updates until the peak")
    decay: float = Field(default=0.1, ge=0, description="weight decay, times the step size")
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    average: float = Field(default=0.0, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")


def normed(x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    """Each vector with mean 0 and variance 1 (Ba, Kiros & Hinton 2016), without gain and shift."""
    return F.layer_norm(x, x.shape[-1:])


class Block(nn.Module):
    """Attention to what came before, then two layers for each place alone; each adds to its normalised input."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.look = nn.Linear(width, 2 * width, bias=False)  # queries and keys
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.inner = nn.Linear(width, 4 * width, bias=False)
        self.outer = nn.Linear(4 * width, width, bias=False)
        for last in (self.out, self.outer):
            nn.init.zeros_(last.weight)  # a block begins as the identity

    def forward(self, x: Float[Tensor, "B T D"], turn: Complex[Tensor, "T F"], hidden: Float[Tensor, "T T"]
                ) -> tuple[Float[Tensor, "B T D"], Kept, Float[Tensor, "B N T T"]]:  # fmt: skip
        """The places after this block, their keys and values, and where it looked. `hidden` is 0 for what a place may
        look at, minus infinity for the rest."""
        y = normed(x)
        sides = normed(self.look(y).unflatten(2, (2 * self.heads, -1)))  # B T 2N E
        query, key = turned(sides, turn).transpose(1, 2).chunk(2, 1)
        value = self.value(y).unflatten(2, (self.heads, -1)).transpose(1, 2)
        looked = self.looking(query, key, hidden)
        found = torch.bmm(looked.flatten(0, 1), value.flatten(0, 1)).view(query.shape)
        x = x + locked(self.out(found.transpose(1, 2).flatten(2)), self.dropout, self.training)
        y = self.outer(F.relu(self.inner(normed(x))).square())
        return x + locked(y, self.dropout, self.training), Kept(key, value), looked

    @staticmethod
    def looking(query: Tensor, key: Tensor, hidden: Tensor) -> Float[Tensor, "B N T S"]:
        """Softmax of the scaled products, in each head; products, scale and mask in one pass over memory."""
        b, n, t, e = query.shape
        mask = hidden.expand(b * n, *hidden.shape)
        products = torch.baddbmm(mask, query.flatten(0, 1), key.flatten(0, 1).mT, alpha=e**-0.5)
        return products.softmax(-1).view(b, n, t, -1)


class GPT(nn.Module):
    """Says what comes next after each token of a text of at most `length`."""

    turn: Tensor
    hidden: Tensor

    def __init__(self, tokens: int, length: int, width: int, heads: int, layers: int, buckets: int,
                 dropout: float) -> None:  # fmt: skip
        super().__init__()
        buckets = min(buckets, (tokens + 1) * tokens)  # so many pairs there are
        self.tokens, self.length, self.buckets, self.dropout = tokens, length, buckets, dropout
        self.embed = nn.Embedding(tokens, width)
        self.pair = nn.Embedding(buckets, width) if buckets else None
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.head = nn.Linear(width, tokens, bias=False)
        nn.init.zeros_(self.head.weight)
        if self.pair is not None:
            nn.init.zeros_(self.pair.weight)
        self.register_buffer("turn", turns(length, width // heads), persistent=False)
        self.register_buffer("hidden", torch.full((length, length), -torch.inf).triu(1), persistent=False)

    def vectors(self, before: Int[Tensor, "B T"], token: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Of each token its vector, and that of its pair with the token before (`tokens` where that is unknown)."""
        x = self.embed(token)
        if self.pair is not None:
            x = x + self.pair(self.bucket(before, token))
        return locked(normed(x), self.dropout, self.training)

    def bucket(self, before: Numbers, token: Numbers) -> Numbers:
        """Which vector each pair of tokens has."""
        pair = before * self.tokens + token
        if (self.tokens + 1) * self.tokens > self.buckets:
            pair = (pair * 2654435761 >> 8) % self.buckets  # Knuth's multiplicative hash
        return pair

    def read(self, token: Int[Tensor, "B T"]) -> tuple[Float[Tensor, "B T D"], list[Kept], list[Tensor]]:
        """Features of what comes after each token; keys and values of each block, and where it looked."""
        end = token.shape[1]
        assert end <= self.length, f"{end} tokens in a context of {self.length}"
        before = F.pad(token[:, :-1], (1, 0), value=self.tokens)  # the first: none that is known
        x, kept, looked = self.vectors(before, token), [], []
        for block in self.blocks:
            x, now, where = block(x, self.turn[:end], self.hidden[:end, :end])
            kept.append(now)
            looked.append(where)
        return normed(x), kept, looked

    def forward(self, token: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Logits of what comes after each token."""
        return self.head(self.read(token)[0])

    @torch.inference_mode()
    def begin(self, token: Int[Tensor, "T"]) -> tuple[Logits, Onward]:
        """Logits of what comes after a text, and what goes on with it."""
        x, kept, _ = self.read(token[None])
        return array(self.head(x[0, -1])), onward(self, kept, int(token[-1]))


def levelled(x: Float[np.ndarray, "... D"]) -> Float[np.ndarray, "... D"]:
    """As `normed`, in NumPy."""
    x = x.T  # the features of a vector first: then its mean needs no new axis
    x = x - x.sum(0) / len(x)
    return (x / np.sqrt((x * x).sum(0) / len(x) + 1e-5)).T


def onward(model: GPT, kept: Sequence[Kept], last: int) -> Onward:
    """The same net for one token after the other, in NumPy. It goes on from keys and values of a text and its last
    token; those of all so far stand in arrays as long as the context, so that no step copies what was before."""
    blocks = [[array(part.weight) for part in (block.look, block.value, block.out, block.inner, block.outer)]
              for block in model.blocks]  # fmt: skip
    embed, head, turn = array(model.embed.weight), array(model.head.weight), array(model.turn)
    pair = None if model.pair is None else array(model.pair.weight)
    _, heads, place, each = kept[0].keys.shape
    memory = np.empty((len(blocks), 2, heads, model.length, each), np.float32)
    for own, both in zip(memory, kept, strict=True):
        own[:, :, :place] = [array(part[0]) for part in both]

    def step(token: int) -> Logits:
        nonlocal place, last
        x = embed[token]
        if pair is not None:
            x = x + pair[model.bucket(np.array([last]), np.array([token]))[0]]
        x, end = levelled(x), place + 1
        for (look, value, out, inner, outer), (keys, values) in zip(blocks, memory, strict=True):
            y = levelled(x)
            sides = levelled(look.dot(y).reshape(2 * heads, each))
            query, keys[:, place] = (sides.view(np.complex64) * turn[place]).view(np.float32).reshape(2, heads, each)
            values[:, place] = value.dot(y).reshape(heads, each)
            scores = (keys[:, :end] @ query[:, :, None]).reshape(heads, 1, end)
            looked = np.exp(scores * each**-0.5)  # N 1 S; at most exp(sqrt(E)), which is finite
            found = looked @ values[:, :end] / looked.sum(-1, keepdims=True)
            x = x + out.dot(found.ravel())
            x = x + outer.dot(np.square(np.maximum(inner.dot(levelled(x)), 0)))
        place, last = end, token
        return head.dot(levelled(x))

    return step


def prepare(knobs: Knobs, place: Place) -> Data[Windows]:
    return text(place, "verses", knobs.level, knobs.vocabulary, knobs.length)


def build(knobs: Knobs, facts: Facts) -> GPT:
    if knobs.width % (2 * knobs.heads):
        got = f"width {knobs.width} in {knobs.heads} heads"
        raise UserError("a width that the heads divide into even parts", got, "Take 128 and 4", "gpt")
    shape = knobs.width, knobs.heads, knobs.layers, knobs.buckets
    return GPT(len(codec(facts)), facts["length"], *shape, knobs.dropout)


def loss(model: GPT, batch: Windows) -> dict[str, Tensor]:
    """Cross-entropy in nats a token, mean over all; and the percent of tokens whose likeliest is another."""
    logits, target = model(batch.token).flatten(0, 1), batch.target.flatten()
    return {"loss": F.cross_entropy(logits, target), "error": 100 * (logits.argmax(-1) != target).float().mean()}


def train(knobs: Knobs, model: GPT, data: Data[Windows], run: Run) -> None:
    matrices = [weight for weight in model.blocks.parameters() if knobs.muon]
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in taken]
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=knobs.clip,
        optimizer=Muon(others, knobs.lr, decay=knobs.decay, matrices=matrices),
        schedule=cosine(knobs.steps, min(knobs.warmup, knobs.steps // 4)), average=knobs.average or None)  # fmt: skip
    run.show(**shown(model, data, model.length), **looks(model, data))


@torch.inference_mode()
def looks(model: GPT, data: Data[Windows], most: int = 32) -> dict[str, Heat]:
    """Where two heads look in a validation text: the one that looks most at the token before, and the one that looks
    furthest back."""
    was = model.training
    token = next(iter(data.valid.sweep(1))).token[:, :most]
    model.eval()
    looked = torch.cat(model.read(token)[2], 1)[0].float().cpu()  # heads of all blocks, T T
    model.train(was)
    near = looked.diagonal(-1, 1, 2).mean(1)
    apart = torch.arange(looked.shape[1])[:, None] - torch.arange(looked.shape[1])
    names = [codec(data.facts).shown(one) for one in token[0].tolist()]
    found = {}
    for name, head in (("head_before", int(near.argmax())), ("head_far", int((looked * apart).mean((1, 2)).argmax()))):
        block, number = divmod(head, looked.shape[0] // len(model.blocks))
        found[name] = Heat(looked[head].numpy(), names, names, f"block {block + 1}, head {number + 1}", "looked at")
    return found


def score(knobs: Knobs, model: GPT, data: Data[Windows], place: Place) -> dict[str, Score]:
    return scores(model, data)


def use(model: GPT, facts: Facts, texts: Sequence[Text], *,
        length: Annotated[int, "tokens that are said"] = 300,
        temperature: Annotated[float, "below 1 more of what is likely, above 1 less; 0: always the likeliest"] = 0.8,
        top_k: Annotated[int, "draw from so many likeliest tokens; 0: from all"] = 0,
        top_p: Annotated[float, "draw from the likeliest that make up this chance"] = 1.0,
        seed: Annotated[int, "of what is drawn"] = 0,
        samples: Annotated[int, "continuations of each text"] = 1,
        ) -> list[dict[str, Any]]:  # fmt: skip
    return answers(model, facts, texts, length, temperature, top_k, top_p, seed, samples, "gpt", model.length)


PRESETS = {
    "quick": Knobs(),
    "text": Knobs(level="pairs", dropout=0.1, steps=1000),  # for texts of yours
    "shakespeare": Knobs(level="pairs", dropout=0.1, steps=950),  # for --data tinyshakespeare, in 3 minutes
    "long": Knobs(level="pairs", width=192, heads=6, dropout=0.2, steps=4500),  # the same in 30
    "paper": Knobs(level="pairs", vocabulary=40_000, length=512, width=768, heads=12, layers=12, buckets=0, muon=False,
                   dropout=0.1, steps=1_000_000, batch=64, lr=2.5e-4, warmup=2000, decay=0.01),
}  # fmt: skip
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), loss=loss)
