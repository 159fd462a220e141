"""Words become vectors that tell which words stand around them; what is alike in meaning or form lies near.

Paper       Mikolov, Sutskever, Chen, Corrado & Dean (2013), Distributed representations of words and phrases and their
            compositionality, NIPS 26 (skip-gram: Mikolov, Chen, Corrado & Dean, ICLR workshop 2013).
Idea        a word's vector shall tell the words around it from words drawn at random: two vectors a word and a product
            are enough, learned from raw text, and directions between them come to mean something: plural, past.
Deviations  Adam for stochastic descent, many words a batch, the random words shared by all around one word; frequent
            words are left out without moving the rest together. With `pieces`, a word is the mean of its own vector
            and those of its pieces (Bojanowski et al. 2017). Beside it what counting gives: the mutual information of
            the same words around each other, and its largest singular values (Levy & Goldberg 2014).
Result      not yet measured with several seeds
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError, nearest
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score, wilson
from ..core.source import Data, Facts, Place, Source, keyed
from ..core.system import System
from ..data.sentences import Near, left, sentences
from ..media import Listing, Text, history
from ..parts.cooccurrence import factors, interval, ppmi, questions, solved, together, unit
from ..parts.grams import grams

SHOWN = ("king", "egypt", "water", "walked", "bread", "seven", "wise", "jerusalem")
ONE = re.compile(r"\s*([+-]?)\s*([^\s+-]+)")


class Knobs(Config):
    vocabulary: int = Field(default=6000, ge=10, le=50_000, description="the most frequent words")
    least: int = Field(default=5, ge=1, description="times that a word stands in the training text, or it is left out")
    window: int = Field(default=5, ge=1, le=20, description="words on either side that are told, at most")
    negatives: int = Field(
        default=8, ge=1, le=100, description="random words that each word's neighbours are told from"
    )
    sample: float = Field(default=3e-4, ge=0, le=1, description="share of the text above which a word is left out at "
                          "times; 0: none is")  # fmt: skip
    pieces: bool = Field(default=True, description="vectors of pieces of words, too: those are the page's")
    beside: bool = Field(default=True, description="with pieces: learn whole words alone, too, to compare them")
    shortest: int = Field(default=3, ge=1, le=10, description="letters of the shortest pieces, marks counted")
    longest: int = Field(default=5, ge=1, le=10, description="letters of the longest pieces, marks counted")
    buckets: int = Field(default=8192, ge=16, le=2_000_000, description="vectors that pieces share")
    width: int = Field(default=64, ge=2, le=1000, description="of a vector")
    steps: int = Field(default=2000, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=2048, ge=1, description="words per update")
    lr: float = Field(default=2e-2, gt=0, description="Adam's step size at its peak")


class SkipGram(nn.Module):
    """Two vectors a word: of what it means, and of how it stands around others. Takes numbers of words, from 1."""

    spelled: Tensor

    def __init__(self, words: Sequence[str], width: int, buckets: int, shortest: int, longest: int) -> None:
        super().__init__()
        self.means = nn.Embedding(len(words) + 1, width)
        self.stands = nn.Embedding(len(words) + 1, width)
        nn.init.uniform_(self.means.weight, -0.5 / width, 0.5 / width)
        nn.init.zeros_(self.stands.weight)
        self.sizes = (buckets, shortest, longest)
        if buckets:
            self.pieces = nn.Embedding(buckets + 1, width, padding_idx=0)
            nn.init.uniform_(self.pieces.weight[1:], -0.5 / width, 0.5 / width)
            each = [[], *map(self.cut, words)]
            most = max(map(len, each))
            table = torch.tensor([[*one, *[0] * (most - len(one))] for one in each], dtype=torch.int32)
            self.register_buffer("spelled", table, persistent=False)

    def cut(self, word: str) -> list[int]:
        """The buckets of the pieces of a word, from 1."""
        buckets, shortest, longest = self.sizes
        return [1 + gram % buckets for gram in grams(word, shortest, longest)[1:]]

    def meant(self, word: Int[Tensor, "B"]) -> Float[Tensor, "B D"]:
        """What words mean: a vector of their own, or the mean of that and of those of their pieces."""
        own = self.means(word)
        if not self.sizes[0]:
            return own
        pieces = self.spelled[word.long()]
        return (own + self.pieces(pieces).sum(1)) / (1 + (pieces > 0).sum(1, keepdim=True))

    def forward(self, batch: Near) -> tuple[Float[Tensor, "P"], Float[Tensor, "L N"], Float[Tensor, "L"]]:
        """The product of what a word means with how one around it stands, for each such pair; of the words that have
        any around them, the products with how the others stand, and how many are around."""
        there = batch.context > 0
        live = there.any(1).nonzero()[:, 0]
        meant, there = self.meant(batch.word[live]), there[live]
        row, at = there.nonzero(as_tuple=True)
        near = (self.stands(batch.context[live[row], at]) * meant[row]).sum(1)
        return near, (self.stands(batch.other[live]) @ meant[:, :, None])[..., 0], there.sum(1).to(near.dtype)


class Vectors(nn.Module):
    """The nets by name, the first being the page's, and the vectors that counting gives."""

    counted_means: Tensor
    counted_stands: Tensor

    def __init__(self, knobs: Knobs, words: Sequence[str]) -> None:
        super().__init__()
        self.words = words
        self.number = {word: k for k, word in enumerate(words, 1)}
        names = ["pieces"] * knobs.pieces + ["words"] * (knobs.beside or not knobs.pieces)
        shape = (knobs.shortest, max(knobs.shortest, knobs.longest))
        self.of: Any = nn.ModuleDict({
            name: SkipGram(words, knobs.width, knobs.buckets * (name == "pieces"), *shape) for name in names
        })  # fmt: skip
        for name in ("counted_means", "counted_stands"):
            self.register_buffer(name, torch.zeros(len(words) + 1, knobs.width))

    def tables(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each way: what all words mean and how they stand, "V D"; row 0 is no word."""
        found = {}
        for name, net in self.of.items():
            every = torch.arange(1, len(self.words) + 1, device=net.means.weight.device).split(2000)
            means = torch.cat([net.meant(part) for part in every])
            found[name] = F.pad(means, (0, 0, 1, 0)), net.stands.weight
        return {**found, "counted": (self.counted_means, self.counted_stands)}

    def forward(self, batch: Near) -> tuple[Tensor, Tensor, Tensor]:
        return next(iter(self.of.values()))(batch)


def prepare(knobs: Knobs, place: Place) -> Data[Near]:
    return sentences(place, knobs.vocabulary, knobs.least, knobs.window, knobs.negatives, knobs.sample)


def build(knobs: Knobs, facts: Facts) -> Vectors:
    return Vectors(knobs, facts["words"].split(" "))


def loss(model: nn.Module, batch: Near) -> dict[str, Tensor]:
    """Equation 4 of Mikolov et al. with its sign changed, in nats, mean over the pairs of a word and one around it:
    -log s(x) for the pair, and -log s(-x) for each random word."""
    near, other, count = model(batch)
    return {"loss": (F.softplus(-near).sum() + F.softplus(other).sum(1) @ count) / max(1, len(near))}


def train(knobs: Knobs, model: Vectors, data: Data[Near], run: Run) -> None:
    means, stands = counted(data.train, len(model.words), knobs)
    model.counted_means.copy_(means)
    model.counted_stands.copy_(stands)
    for name, net in model.of.items():
        fit(net, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
            optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True),
            schedule=cosine(knobs.steps, knobs.steps // 20), stage=name)  # fmt: skip
    run.show(learning=history(run.folder, {name: name for name in model.of}, "valid_loss", "updates", "loss, nats"),
             ways=compared(model, data), relations=related(model, data.facts))  # fmt: skip
    for name in [word for word in SHOWN if word in model.number]:
        run.show(**{f"near_{name}": near(model, {name: 1.0}, 6)})


def counted(source: Any, words: int, knobs: Knobs) -> tuple[Tensor, Tensor]:
    """What counting gives, of the same text: each pair counts as often as a net meets it."""
    word, context = source.examples.word.cpu(), source.examples.context.cpu()
    found = together(word, context, left(torch.bincount(word.long(), minlength=words + 1), knobs.sample))
    means, stands = factors(ppmi(found), min(knobs.width, words), keyed("counted"))
    wide = (0, knobs.width - means.shape[1])
    return F.pad(means, wide), F.pad(stands, wide)


@torch.no_grad()
def mistaken(tables: tuple[Tensor, Tensor], source: Source[Near]) -> tuple[int, int]:
    """How many words tell one of those around them (the first of one, the second of the next, and so on) from one drawn
    as often as it stands in the text the wrong way round, half of the equal ones; of how many. Chance is a half."""
    wrong, ties, over, (means, stands) = 0, 0, 0, tables
    for batch in source.sweep(1000):
        present = batch.context > 0
        among = present.sum(1)
        which = torch.arange(over, over + len(among), device=among.device) % among.clamp(min=1)
        at = (present & (present.cumsum(1) - 1 == which[:, None])).to(torch.uint8).argmax(1, keepdim=True)
        pair = torch.cat([batch.context.gather(1, at), batch.other[:, :1]], 1).long()
        word, there = means[batch.word.long()], (among > 0) & (pair[:, 0] != pair[:, 1])
        said = (stands[pair] @ word[:, :, None])[there, :, 0]
        less, even = (int(found.sum()) for found in (said[:, 0] < said[:, 1], said[:, 0] == said[:, 1]))
        wrong, ties, over = wrong + less, ties + even, over + int(there.sum())
    return wrong + (ties + 1) // 2, max(over, 1)


@torch.no_grad()
def compared(model: Vectors, data: Data[Near]) -> Listing:
    """Of each way how often it errs on validation neighbours, and how many analogies it solves."""
    quiz, _ = questions([list(map(tuple, pairs)) for pairs in data.facts["relations"].values()])
    rows = []
    for name, tables in model.tables().items():
        wrong, over = mistaken(tables, data.valid)
        right = solved(unit(tables[0]), quiz)
        rows.append([name, 100 * wrong / over, 100 * float(right.double().mean()) if len(right) else None])
    return Listing(("way", "neighbours mistaken (validation), %", "analogies, %"), rows)


@torch.no_grad()
def related(model: Vectors, facts: Facts) -> Listing:
    """Percent of the analogies of each relation that are solved."""
    rows = []
    for name, pairs in facts["relations"].items():
        quiz, _ = questions([list(map(tuple, pairs))])
        found = [100 * float(solved(unit(table[0]), quiz).double().mean()) for table in model.tables().values()]
        rows.append([name, len(quiz), *found])
    return Listing(("relation", "questions", *model.tables()), rows)


@torch.no_grad()
def score(knobs: Knobs, model: Vectors, data: Data[Near], place: Place) -> dict[str, Score]:
    found, tables, test = {}, model.tables(), data.test
    quiz, where = questions([list(map(tuple, pairs)) for pairs in data.facts["relations"].values()])
    rng = keyed("analogies")

    def analogies(vectors: Tensor, note: str, leave_out: bool = True, offset: bool = True) -> Score:
        right = solved(unit(vectors), quiz, leave_out, offset)
        value, (low, high) = 100 * float(right.double().mean()), interval(right, where, rng)
        if low == high:  # all are right, or none: as sure as so many questions make it
            low, high = wilson(int(right.sum()), len(right))
        ends = min(low, value), max(high, value)
        return Score(value, *ends, "%", "higher", "pairs of words written for the verses", "all", len(right), note=note)

    first = next(iter(tables))
    for name, table in tables.items():
        title = "" if name == first else f"_{name}"
        how = {"counted": "mutual information and singular values of the same text"}.get(name, f"skip-gram, {name}")
        found[f"error{title}"] = rate_score(*mistaken(table, test), test, note=f"{how}; 50 % is chance")
        if len(quiz):
            found[f"analogies{title}"] = analogies(table[0], f"{how}; the three words of the question are no answers")
    if len(quiz):
        found["analogies_all"] = analogies(tables[first][0], "any word may be the answer", leave_out=False)
        alone = "the nearest to c, without b - a: what is near alone explains"
        found["analogies_nearest"] = analogies(tables[first][0], alone, offset=False)
    return found


def signed(model: Vectors, text: str) -> dict[str, float]:
    """The words of a sum as ``king - man + woman`` with their signs. UserError: a word that no net knows."""
    found: dict[str, float] = {}
    for sign, word in ONE.findall(text.lower()):
        if word not in model.number and not (word.isalnum() and "pieces" in model.of):
            do = nearest(word, model.words[:3000], "Take one of the text's words")
            raise UserError("words that the training text has", repr(word[:40]), do, "vectors")
        found[word] = found.get(word, 0.0) + (-1.0 if sign == "-" else 1.0)
    if not found:
        raise UserError("a word, or a sum as king - man + woman", repr(text[:40]), "Write one", "vectors")
    return found


@torch.no_grad()
def near(model: Vectors, asked: dict[str, float], count: int, leave_out: bool = True) -> Listing:
    """The words nearest to a sum of words, by each way, with their cosines. A word that was never seen is the mean of
    its pieces; ways without pieces say nothing of it."""
    columns, lists = [], []
    for name, (means, _) in model.tables().items():
        vectors, total = unit(means), torch.zeros(means.shape[1], device=means.device)
        for word, weight in asked.items():
            if word in model.number:
                total += weight * vectors[model.number[word]]
            elif name == "pieces" and (cut := model.of[name].cut(word)):
                total += weight * unit(model.of[name].pieces.weight[cut].mean(0, keepdim=True))[0]
            else:
                total = total * torch.nan
        nearness = vectors @ unit(total[None])[0]
        nearness[[0, *(model.number[word] for word in asked if leave_out and word in model.number)]] = -torch.inf
        best = nearness.nan_to_num(-torch.inf).topk(min(count, len(model.words)))
        sure = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        lists.append([(model.words[k - 1], close) if close > -2 else ("", None) for close, k in sure])
        columns += [name, "cosine"]
    return Listing(columns, [[cell for pair in row for cell in pair] for row in zip(*lists, strict=True)])


def use(model: Vectors, facts: Facts, inputs: Sequence[Text]) -> list[dict[str, Any]]:
    answers = []
    for item in inputs:
        asked = signed(model, item.text)
        listed = near(model, asked, 10)
        answer: dict[str, Any] = {"answer": Text(str(listed.cells[0][0])), "nearest": listed}
        if len(asked) > 1:
            answer["nearest, the question's words among them"] = near(model, asked, 4, leave_out=False)
        answers.append(answer)
    return answers


PRESETS = {
    "quick": Knobs(),
    "own": Knobs(vocabulary=20_000, buckets=50_000, width=100, steps=5000),  # for --data
    "paper": Knobs(vocabulary=50_000, pieces=False, negatives=15, sample=1e-5, width=300, steps=100_000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), loss=loss)
