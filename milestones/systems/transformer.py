"""A net translates with attention alone: no recurrence, all places of a sentence at once.

Paper       Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser & Polosukhin (2017), Attention is all you need,
            NIPS 30, 5998-6008.
Idea        each place looks at all others, in several heads; layers of that replace recurrence, so that a sentence is
            learned in one step, and near and far are equally near.
Deviations  normalised before each part, not after (Xiong et al. 2020); a cosine for the rate instead of the inverse
            root; dropout with one mask a sequence, none within attention; a vocabulary of byte pairs over bytes. Data,
            search and scores are those of `translator`, the recurrent net of three years before.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data.pairs import Pairs, pairs, vocabulary
from ..data.translation import answers, scores, shown, word_by_word
from ..media import Text
from ..parts.attention import Kept, Layer, before, positions
from ..parts.beam import State, Step
from ..parts.recurrent import inside
from ..parts.seq2seq import locked, token_loss


class Knobs(Config):
    vocabulary: int = Field(default=600, ge=300, le=8192, description="tokens; large ones make the output layer slow")
    longest: int = Field(default=100, ge=4, le=1000, description="tokens of a sentence; longer ones are left out")
    width: int = Field(default=96, ge=4, le=2048, description="of a place's vector")
    heads: int = Field(default=4, ge=1, le=64, description="of each attention; they share the width")
    inner: int = Field(default=384, ge=4, le=8192, description="units of the layer that each place has for itself")
    layers: int = Field(default=2, ge=1, le=12, description="of the reading net, and of the writing net")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="of vectors and of what each part adds")
    smoothing: float = Field(default=0.05, ge=0, lt=1, description="share of a target's chance that goes to all tokens")
    steps: int = Field(default=1000, ge=1, description="optimiser updates")
    batch: int = Field(default=128, ge=1, description="sentences per update")
    lr: float = Field(default=3e-3, gt=0, description="Adam step size at its peak")
    warmup: int = Field(default=150, ge=0, description="updates until the peak")
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    beam: int = Field(default=4, ge=1, le=100, description="hypotheses kept when it is scored")
    penalty: float = Field(default=0.6, ge=0, le=2, description="power of the length by which a hypothesis is judged")
    baseline: bool = Field(default=False, description="score a table of words (IBM model 1) and trigrams beside it")


Source = tuple[Kept, Tensor]
"""What one writing layer sees of the source: its keys and values, and which places are there, "B 1 S"."""


class Transformer(nn.Module):
    """Layers that read and layers that write. Takes tokens, zeros after the end."""

    def __init__(self, tokens: int, width: int, heads: int, inner: int, layers: int, dropout: float,
                 smoothing: float) -> None:  # fmt: skip
        super().__init__()
        self.dropout, self.smoothing, self.heads = dropout, smoothing, heads
        self.embed = nn.Embedding(tokens, width)
        self.reader = nn.ModuleList(Layer(width, heads, inner, dropout) for _ in range(layers))
        self.writer = nn.ModuleList(Layer(width, heads, inner, dropout, writes=True) for _ in range(layers))
        self.reader_norm, self.writer_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        for matrix in self.parameters():
            if matrix.dim() == 2:
                nn.init.xavier_uniform_(matrix)
        nn.init.normal_(self.embed.weight, std=width**-0.5)

    def vectors(self, token: Int[Tensor, "B T"], first: int = 0) -> Float[Tensor, "B T D"]:
        """Of each token its vector and its position, that of the first given."""
        width = self.embed.embedding_dim
        x = self.embed(token) * width**0.5 + positions(first, token.shape[1], width, token.device)
        return locked(x, self.dropout, self.training)

    def read(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"]) -> list[Source]:
        """What each writing layer sees of the source."""
        x, there = self.vectors(source), inside(length, source.shape[1])[:, None]  # B 1 S
        for layer in self.reader:
            x = layer(x, there)[0]
        x = self.reader_norm(x)
        return [(layer.other.keep(x), there) for layer in self.writer]

    def write(self, token: Int[Tensor, "B T"], read: list[Source]) -> tuple[Tensor, Tensor]:
        """Features of what comes after each token, "B T D", and where the last layer looked, the mean of its heads."""
        x, seen, looked = self.vectors(token), before(token.shape[1], token.device), token
        for layer, kept in zip(self.writer, read, strict=True):
            x, _, looked = layer(x, seen, read=kept)
        return self.writer_norm(x), looked.mean(1)

    def forward(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"], token: Int[Tensor, "B T"]
                ) -> Float[Tensor, "B T D"]:  # fmt: skip
        return self.write(token, self.read(source, length))[0]

    def scores(self, features: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Logits by the tokens' own vectors (section 3.4)."""
        return nn.functional.linear(features, self.embed.weight)

    def begin(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"]) -> tuple[Step, State]:
        """A step of the writing net; its state is the keys and values of all that it has said, layer by layer."""
        read = self.read(source, length)

        def step(token: Tensor, state: State) -> tuple[Tensor, State]:
            said = state[0].shape[2]
            x, out = self.vectors(token[:, None], said), []
            seen = torch.ones(1, 1, said + 1, dtype=torch.bool, device=token.device)
            for k, (layer, kept) in enumerate(zip(self.writer, read, strict=True)):
                x, past, _ = layer(x, seen, Kept(*state[2 * k : 2 * k + 2]), kept)
                out += past
            return self.scores(self.writer_norm(x)[:, 0]), tuple(out)

        nothing = source.new_zeros(len(source), self.heads, 0, self.embed.embedding_dim // self.heads).float()
        return step, (nothing,) * (2 * len(self.writer))

    def attention(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"], token: Int[Tensor, "B T"]
                  ) -> Float[Tensor, "B T S"]:  # fmt: skip
        """Where the last layer looks as it says what comes after each token, the mean of its heads."""
        return self.write(token, self.read(source, length))[1]


def prepare(knobs: Knobs, place: Place) -> Data[Pairs]:
    return pairs(place, "numbers", knobs.vocabulary, knobs.longest)


def build(knobs: Knobs, facts: Facts) -> Transformer:
    if knobs.width % knobs.heads:
        got = f"width {knobs.width} in {knobs.heads} heads"
        raise UserError("a width that the heads divide", got, "Take 128 and 4", "transformer")
    shape = knobs.width, knobs.heads, knobs.inner, knobs.layers
    return Transformer(len(vocabulary(facts)), *shape, knobs.dropout, knobs.smoothing)


def loss(model: Transformer, batch: Pairs) -> dict[str, Tensor]:
    return token_loss(model, *batch)


def train(knobs: Knobs, model: Transformer, data: Data[Pairs], run: Run) -> None:
    optimizer = torch.optim.Adam(model.parameters(), knobs.lr, betas=(0.9, 0.98), fused=True)
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, optimizer=optimizer,
        schedule=cosine(knobs.steps, min(knobs.warmup, knobs.steps // 4)), clip=knobs.clip,
        average=knobs.average or None)  # fmt: skip
    run.show(**shown(model, data, knobs.beam, knobs.penalty))


def score(knobs: Knobs, model: Transformer, data: Data[Pairs], place: Place) -> dict[str, Score]:
    beside = word_by_word(data) if knobs.baseline else {}
    return {**scores(model, data, knobs.beam, knobs.penalty), **beside}


def use(model: Transformer, facts: Facts, texts: Sequence[Text], *,
        to: Annotated[str, "the language to translate to, where the data have several"] = "",
        beam: Annotated[int, "hypotheses that go on in parallel; 1 is greedy"] = 4,
        nbest: Annotated[int, "hypotheses that are shown"] = 1,
        penalty: Annotated[float, "power of the length by which a hypothesis is judged"] = 0.6,
        ) -> list[dict[str, Any]]:  # fmt: skip
    return answers(model, facts, texts, to, beam, nbest, penalty, "transformer")


LARGE = {"vocabulary": 4000, "width": 256, "inner": 512, "layers": 3, "dropout": 0.2, "smoothing": 0.1, "batch": 64,
         "lr": 1e-3, "warmup": 800, "average": 0.998, "penalty": 1.0}  # fmt: skip
PRESETS = {
    "quick": Knobs(),
    "dates": Knobs(vocabulary=500),  # for --data dates
    "multi30k": Knobs(**LARGE, steps=6000),  # for --data multi30k, and texts of that size
    "verses": Knobs(**LARGE, steps=3000),  # for --data verses
    "paper": Knobs(vocabulary=8192, width=512, heads=8, inner=2048, layers=6, steps=100_000, lr=7e-4, warmup=4000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), loss=loss)
