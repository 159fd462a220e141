"""A recurrent net that has read a text writes on, character by character.

Paper       Graves (2013), Generating sequences with recurrent neural networks, arXiv:1308.0850, section 3; over words
            Mikolov et al. (2010), Recurrent neural network based language model; over characters Sutskever, Martens &
            Hinton (2011), Generating text with recurrent neural networks; its cells as Karpathy, Johnson & Fei-Fei
            (2016), Visualizing and understanding recurrent networks, look at them.
Idea        to foretell the next character a net must keep what matters of all before it: the word that is being
            spelled, who speaks, that quotes are open. What it has foretold is read as if it had been written, again
            and again; so it writes.
Deviations  each window of training begins with an empty memory, where the paper carries it on (a batch is then the same
            whatever came before it); what that costs is scored beside it (carried_loss). One layer reads the one below,
            without the connections that skip layers; Adam, dropout, gradients cut by their norm.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data.continued import answers, character_score, scores, shown
from ..data.text import Windows, codec, text
from ..media import Heat, Listing, Text
from ..parts.recurrent import LSTM, Memory
from ..parts.sampling import Logits, Onward, array
from ..parts.seq2seq import locked
from ..parts.traces import followers, traces

STREAMS = 32  # pieces of a text that are read at once, each from its beginning
CARRIED = 1 << 16  # tokens of each at most, where the memory is carried on
TRACED = 512  # tokens of each in which cells are watched
DRAWN = 30  # tokens of a picture


class Knobs(Config):
    level: Literal["character", "pairs"] = Field(default="character", description="what a token is: a character, or "
                                                 "byte pairs that are often together")  # fmt: skip
    vocabulary: int = Field(default=1024, ge=256, le=65536, description="tokens (level pairs)")
    length: int = Field(default=64, ge=2, le=4096, description="tokens of a training window")
    width: int = Field(default=64, ge=1, le=4096, description="of a token's vector")
    cells: int = Field(default=256, ge=1, le=4096, description="of a layer")
    layers: int = Field(default=1, ge=1, le=16, description="layers, one on the other")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of vectors and of each layer's output")
    steps: int = Field(default=1400, ge=1, description="optimiser updates")
    batch: int = Field(default=16, ge=1, description="windows per update")
    lr: float = Field(default=8e-3, gt=0, description="Adam's step size at its peak")
    warmup: int = Field(default=50, ge=0, description="updates until the peak")
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    average: float = Field(default=0.0, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")


class Writer(nn.Module):
    """Says what comes next after each token of a text of any length."""

    def __init__(self, tokens: int, width: int, cells: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.embed = nn.Embedding(tokens, width)
        self.net = LSTM(width, cells, layers, dropout=dropout)
        self.head = nn.Linear(cells, tokens)

    def read(self, token: Int[Tensor, "B T"], memory: Memory | None = None
             ) -> tuple[Float[Tensor, "B T V"], Memory]:  # fmt: skip
        """Logits of what comes after each token, and the memory after the last, going on from `memory`."""
        x, memory = self.net.stream(locked(self.embed(token), self.dropout, self.training), memory)
        return self.head(locked(x, self.dropout, self.training)), memory

    def forward(self, token: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Logits of what comes after each token, read with an empty memory."""
        return self.read(token)[0]

    @torch.inference_mode()
    def begin(self, token: Int[Tensor, "T"]) -> tuple[Logits, Onward]:
        """Logits of what comes after a text, and what goes on with it: the cells as their equations stand, in NumPy."""
        said, memory = self.read(token[None])
        hidden, cell = (array(part[:, 0]).copy() for part in memory)  # L D
        layers = [(array(net.weight_ih_l0), array(net.weight_hh_l0), array(net.bias_ih_l0 + net.bias_hh_l0))
                  for net in self.net.forwards]  # fmt: skip
        embed, weight, bias = array(self.embed.weight), array(self.head.weight), array(self.head.bias)

        def onward(token: int) -> Logits:
            x = embed[token]
            for k, (inputs, own, shift) in enumerate(layers):
                gates = (inputs.dot(x) + own.dot(hidden[k]) + shift).reshape(4, -1)
                enter, stay, _, tell = 0.5 + 0.5 * np.tanh(0.5 * gates)  # sigmoids
                cell[k] = stay * cell[k] + enter * np.tanh(gates[2])
                x = hidden[k] = tell * np.tanh(cell[k])
            return weight.dot(x) + bias

        return array(said[0, -1]), onward


def prepare(knobs: Knobs, place: Place) -> Data[Windows]:
    return text(place, "verses", knobs.level, knobs.vocabulary, knobs.length)


def build(knobs: Knobs, facts: Facts) -> Writer:
    return Writer(len(codec(facts)), knobs.width, knobs.cells, knobs.layers, knobs.dropout)


def loss(model: Writer, batch: Windows) -> dict[str, Tensor]:
    """Cross-entropy in nats a token, mean over all; and the percent of tokens whose likeliest is another."""
    logits, target = model(batch.token).flatten(0, 1), batch.target.flatten()
    return {"loss": F.cross_entropy(logits, target), "error": 100 * (logits.argmax(-1) != target).float().mean()}


def train(knobs: Knobs, model: Writer, data: Data[Windows], run: Run) -> None:
    before = watched(model, data)
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=knobs.clip,
        optimizer=torch.optim.Adam(model.parameters(), knobs.lr, betas=(0.9, 0.99), fused=True),
        schedule=cosine(knobs.steps, min(knobs.warmup, knobs.steps // 4)), average=knobs.average or None)  # fmt: skip
    run.show(**shown(model, data, 0), **kept(model, data, before))


def streams(source: Any, most: int) -> Windows:
    """A part's text in at most STREAMS pieces of at most `most` tokens each, side by side: "B T"."""
    per, found, count = max(1, min(most // source.length, len(source) // STREAMS)), [], 0
    for windows in source.sweep(STREAMS * per):
        found.append(windows)
        count += len(windows.token)
        if count >= STREAMS * per:
            break
    rows = min(STREAMS, count // per)
    return Windows(*(torch.cat(part)[: rows * per].view(rows, -1) for part in zip(*found, strict=True)))


@torch.inference_mode()
def watched(model: Writer, data: Data[Windows]) -> tuple[Tensor, Tensor]:
    """Validation text in streams, tokens "B T", and the state of each cell of each layer after each, "B T C"."""
    was, memory, found = model.training, None, []
    token = streams(data.valid, TRACED).token
    model.eval()
    for now in token.split(1, 1):  # the fast kernel tells the state after the last step alone
        memory = model.net.stream(model.embed(now), memory)[1]
        found.append(memory.cell.tanh().transpose(0, 1).flatten(1))
    model.train(was)
    return token, torch.stack(found, 1)


def kept(model: Writer, data: Data[Windows], before: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Which cells keep count of the line, the word, quotes: chosen on one half of the streams, their correlation that
    on the other; beside it that of the net before it learned. And these cells over some text of the other half."""
    words, (token, cells) = codec(data.facts), watched(model, data)
    pieces = [[words.decode([one]) for one in row] for row in token.tolist()]
    ends = [torch.tensor([len(piece) for piece in row]).cumsum(0) - 1 for row in pieces]
    read = [traces("".join(row)) for row in pieces]
    traced = {name: torch.cat([torch.from_numpy(one[name])[end.clamp(min=0)]
                               for one, end in zip(read, ends, strict=True)]).numpy() for name in read[0]}  # fmt: skip
    found = followers(cells.flatten(0, 1).cpu().numpy(), traced)
    if not found:
        return {}
    first = {one.what: one for one in followers(before[1].flatten(0, 1).cpu().numpy(), traced)}
    rows = [(one.what, one.cell + 1, round(one.correlation, 3), round(first[one.what].correlation, 3))
            for one in found]  # fmt: skip
    row = len(token) // 2  # of the other half
    end = next((k for k, piece in enumerate(pieces[row]) if "\n" in piece), 0)  # a line's end, where there is one
    span = slice(max(0, end - DRAWN // 2), max(0, end - DRAWN // 2) + DRAWN)
    values = torch.stack([cells[row, span, one.cell] * one.sign for one in found])
    signs = [words.shown(one) for one in token[row, span].tolist()]
    names = [f"{one.what}: {one.cell + 1}" for one in found]
    return {"cells": Heat(values.cpu().numpy(), names, signs, "what a cell keeps", "read"),
            "kept": Listing(("what is kept count of", "cell", "correlation", "before training"), rows)}  # fmt: skip


@torch.inference_mode()
def carried(model: Writer, data: Data[Windows]) -> Score:
    """The loss of the test part where the memory is carried on from window to window."""
    test: Any = data.test
    whole, memory, found, was = streams(test, CARRIED), None, [], model.training
    model.eval()
    for token, target in zip(*(field.split(test.length, 1) for field in whole), strict=True):
        said, memory = model.read(token, memory)
        found.append(F.cross_entropy(said.float().flatten(0, 1), target.flatten(), reduction="none").view_as(target))
    model.train(was)
    cost, target = (part.reshape(-1, test.length) for part in (torch.cat(found, 1), whole.target))
    return character_score(
        cost, target, codec(data.facts), test, f"; the memory carried on, in {len(whole.token)} pieces of the part"
    )


def score(knobs: Knobs, model: Writer, data: Data[Windows], place: Place) -> dict[str, Score]:
    found = scores(model, data)
    return {"loss": found.pop("loss"), "carried_loss": carried(model, data), **found}


def use(model: Writer, facts: Facts, texts: Sequence[Text], *,
        length: Annotated[int, "tokens that are said"] = 300,
        temperature: Annotated[float, "below 1 more of what is likely, above 1 less; 0: always the likeliest"] = 0.8,
        top_k: Annotated[int, "draw from so many likeliest tokens; 0: from all"] = 0,
        top_p: Annotated[float, "draw from the likeliest that make up this chance"] = 1.0,
        seed: Annotated[int, "of what is drawn"] = 0,
        samples: Annotated[int, "continuations of each text"] = 1,
        ) -> list[dict[str, Any]]:  # fmt: skip
    return answers(model, facts, texts, length, temperature, top_k, top_p, seed, samples, "charrnn", 0)


PRESETS = {
    "quick": Knobs(),
    "text": Knobs(cells=384, dropout=0.1, length=128, lr=6e-3, steps=3000),  # for texts of yours
    "shakespeare": Knobs(cells=384, dropout=0.1, length=128, lr=6e-3, steps=1400),  # --data tinyshakespeare, 3 minutes
    "long": Knobs(cells=512, layers=2, dropout=0.3, length=128, batch=32, lr=4e-3, steps=3500),  # the same in 30
    "paper": Knobs(length=100, width=205, cells=700, layers=7, batch=100, lr=1e-4, steps=250_000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), loss=loss)
