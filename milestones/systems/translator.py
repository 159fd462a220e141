"""A net reads a sentence and says it in another language, looking at the words that it needs.

Paper       Sutskever, Vinyals & Le (2014), Sequence to sequence learning with neural networks, NIPS 27, 3104-3112;
            Bahdanau, Cho & Bengio (2015), Neural machine translation by jointly learning to align and translate, ICLR;
            Luong, Pham & Manning (2015), Effective approaches to attention-based neural machine translation, EMNLP.
Idea        one recurrent net reads, another writes; for each token that it writes it looks at all that was read and
            takes a mean, weighted by what it looks for: the alignment is learned with the translation.
Deviations  the writing net does not see what was looked at before (no input feeding), so that a training sentence is
            one call; a vocabulary of byte pairs (Sennrich et al. 2016), shared with the output layer; label smoothing;
            Adam; dropout with one mask a sequence. Preset `plain` looks at nothing but the end of the reading, as in
            2014 (but read in both directions, not backwards). The target language is a token before the source where
            there are several (Johnson et al. 2017).
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data.pairs import Pairs, pairs, vocabulary
from ..data.translation import answers, scores, shown, word_by_word
from ..media import Text
from ..parts.beam import State, Step
from ..parts.recurrent import LSTM, Memory, inside, last
from ..parts.seq2seq import locked, token_loss


class Knobs(Config):
    vocabulary: int = Field(default=600, ge=300, le=8192, description="tokens; the output layer takes half the time")
    longest: int = Field(default=100, ge=4, le=1000, description="tokens of a sentence; longer ones are left out")
    attend: bool = Field(default=True, description="look at the source; false: remember it whole, as in 2014")
    width: int = Field(default=96, ge=4, le=2048, description="of a token's vector")
    hidden: int = Field(default=192, ge=4, le=4096, description="LSTM cells of a layer; half of them in each direction")
    layers: int = Field(default=1, ge=1, le=8, description="layers of the reading net")
    writing_layers: int = Field(default=1, ge=1, le=8, description="layers of the writing net")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="of vectors and outputs")
    smoothing: float = Field(default=0.05, ge=0, lt=1, description="share of a target's chance that goes to all tokens")
    steps: int = Field(default=1000, ge=1, description="optimiser updates")
    batch: int = Field(default=128, ge=1, description="sentences per update")
    lr: float = Field(default=3e-3, gt=0, description="Adam step size at its peak")
    warmup: int = Field(default=200, ge=0, description="updates until the peak")
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    beam: int = Field(default=4, ge=1, le=100, description="hypotheses kept when it is scored")
    penalty: float = Field(default=0.6, ge=0, le=2, description="power of the length by which a hypothesis is judged")
    baseline: bool = Field(default=False, description="score a table of words (IBM model 1) and trigrams beside it")


class Read(NamedTuple):
    """What was read: the source as the writing net sees it."""

    keys: Float[Tensor, "B S C"]
    values: Float[Tensor, "B S C"]
    there: Bool[Tensor, "B S"]  # false in the padding
    memory: Memory  # what the writing net begins with


class Translator(nn.Module):
    """Reads in both directions, writes with attention. Takes tokens, zeros after the end."""

    def __init__(self, tokens: int, width: int, hidden: int, layers: int, writing_layers: int, dropout: float,
                 smoothing: float, attend: bool) -> None:  # fmt: skip
        super().__init__()
        self.dropout, self.smoothing, self.attend, self.hidden = dropout, smoothing, attend, hidden
        self.embed = nn.Embedding(tokens, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        sizes = [width] + [hidden] * (layers - 1)
        self.reader = nn.ModuleList(LSTM(size, hidden // 2, both=True) for size in sizes)
        self.bridge = nn.Linear(hidden, 2 * writing_layers * hidden)
        self.writer = LSTM(width, hidden, writing_layers)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.mix = nn.Linear(2 * hidden if attend else hidden, width)
        self.bias = nn.Parameter(torch.zeros(tokens))

    def vectors(self, token: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        return locked(self.embed(token) * self.embed.embedding_dim**0.5, self.dropout, self.training)

    def read(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"]) -> Read:
        x = self.vectors(source)
        for layer in self.reader:
            x = locked(layer(x, length), self.dropout, self.training)
        half = self.hidden // 2
        ends = torch.cat([last(x, length)[:, :half], x[:, 0, half:]], -1)  # each direction where it has read all
        start = self.bridge(ends).tanh().unflatten(1, (2, -1, self.hidden)).permute(1, 2, 0, 3).contiguous()
        return Read(self.key(x), x, inside(length, source.shape[1]), Memory(start[0], start[1]))

    def looking(self, query: Float[Tensor, "B T C"], read: Read) -> Float[Tensor, "B T S"]:
        """Softmax of the products with the keys (Luong et al. 2015, equation 8, "general")."""
        return (query @ read.keys.mT).masked_fill(~read.there[:, None], -torch.inf).softmax(-1)

    def features(self, query: Float[Tensor, "B T C"], read: Read) -> Float[Tensor, "B T D"]:
        """What is to be said next, from the writing net and from what it looks at (equation 5)."""
        if self.attend:
            query = torch.cat([self.looking(query, read) @ read.values, query], -1)
        return locked(self.mix(query).tanh(), self.dropout, self.training)

    def forward(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"], before: Int[Tensor, "B T"]
                ) -> Float[Tensor, "B T D"]:  # fmt: skip
        read = self.read(source, length)
        return self.features(self.writer.stream(self.vectors(before), read.memory)[0], read)

    def scores(self, features: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Logits by the tokens' own vectors (Press & Wolf 2017)."""
        return nn.functional.linear(features, self.embed.weight, self.bias)

    def begin(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"]) -> tuple[Step, State]:
        """A step of the writing net, and what it begins with: rows first, then layers."""
        read = self.read(source, length)

        def step(token: Tensor, state: State) -> tuple[Tensor, State]:
            memory = Memory(*(part.transpose(0, 1).contiguous() for part in state))
            query, memory = self.writer.stream(self.vectors(token[:, None]), memory)
            features = self.features(query.view(len(source), -1, self.hidden), read)  # those of a source side by side
            return self.scores(features.flatten(0, 1)), tuple(part.transpose(0, 1) for part in memory)

        return step, tuple(part.transpose(0, 1) for part in read.memory)

    def attention(self, source: Int[Tensor, "B S"], length: Int[Tensor, "B"], before: Int[Tensor, "B T"]
                  ) -> Float[Tensor, "B T S"] | None:  # fmt: skip
        """Where it looks as it says what comes after each token; None if it does not look."""
        read = self.read(source, length)
        return self.looking(self.writer.stream(self.vectors(before), read.memory)[0], read) if self.attend else None


def prepare(knobs: Knobs, place: Place) -> Data[Pairs]:
    return pairs(place, "numbers", knobs.vocabulary, knobs.longest)


def build(knobs: Knobs, facts: Facts) -> Translator:
    shape = knobs.width, 2 * (knobs.hidden // 2), knobs.layers, knobs.writing_layers
    return Translator(len(vocabulary(facts)), *shape, knobs.dropout, knobs.smoothing, knobs.attend)


def loss(model: Translator, batch: Pairs) -> dict[str, Tensor]:
    return token_loss(model, *batch)


def train(knobs: Knobs, model: Translator, data: Data[Pairs], run: Run) -> None:
    optimizer = torch.optim.Adam(model.parameters(), knobs.lr, betas=(0.9, 0.98), fused=True)
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, optimizer=optimizer,
        schedule=cosine(knobs.steps, min(knobs.warmup, knobs.steps // 4)), clip=knobs.clip,
        average=knobs.average or None)  # fmt: skip
    run.show(**shown(model, data, knobs.beam, knobs.penalty))


def score(knobs: Knobs, model: Translator, data: Data[Pairs], place: Place) -> dict[str, Score]:
    beside = word_by_word(data) if knobs.baseline else {}
    return {**scores(model, data, knobs.beam, knobs.penalty), **beside}


def use(model: Translator, facts: Facts, texts: Sequence[Text], *,
        to: Annotated[str, "the language to translate to, where the data have several"] = "",
        beam: Annotated[int, "hypotheses that go on in parallel; 1 is greedy"] = 4,
        nbest: Annotated[int, "hypotheses that are shown"] = 1,
        penalty: Annotated[float, "power of the length by which a hypothesis is judged"] = 0.6,
        ) -> list[dict[str, Any]]:  # fmt: skip
    return answers(model, facts, texts, to, beam, nbest, penalty, "translator")


LARGE = {"vocabulary": 4000, "width": 256, "hidden": 384, "dropout": 0.3, "smoothing": 0.1, "batch": 64, "lr": 2e-3,
         "warmup": 400, "average": 0.998, "penalty": 1.0, "baseline": True}  # fmt: skip
PRESETS = {
    "quick": Knobs(baseline=True),
    "plain": Knobs(attend=False),  # as quick, without looking: what attention buys
    "dates": Knobs(vocabulary=500, steps=1200),  # for --data dates
    "text": Knobs(vocabulary=2000, width=192, hidden=384, dropout=0.2, smoothing=0.1, steps=3000),  # for texts of yours
    "multi30k": Knobs(**LARGE, steps=6500),  # for --data multi30k, and texts of that size
    "verses": Knobs(**LARGE, steps=2500),  # for --data verses
    "paper": Knobs(vocabulary=8192, width=1000, hidden=1000, writing_layers=4, layers=4, dropout=0.2, steps=100_000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), loss=loss)
