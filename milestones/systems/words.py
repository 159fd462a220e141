"""Texts are told apart by their words: counted, averaged, read in order, or all at once.

Paper       Joulin, Grave, Bojanowski & Mikolov (2017), Bag of tricks for efficient text classification, EACL 15(2),
            427-431; on the vectors of Mikolov, Chen, Corrado & Dean (2013, page `vectors`).
Idea        the mean of the vectors of a text's words, of pairs of words and of pieces of words, then one linear layer,
            all learned together: on large sets found as good as deep nets, and orders of magnitude faster.
Deviations  dense Adam with a cosine and early stopping for their asynchronous descent; a full softmax. Beside it, of
            the same texts: the standard pipeline of counts, weighted by rarity, and logistic regression; an LSTM in
            both directions (Hochreiter & Schmidhuber 1997) and a small transformer (Vaswani et al. 2017) over byte
            pairs.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, evaluate, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Place, Source
from ..core.system import System
from ..data.texts import Texts, batched, texts
from ..media import Heat, Listing, Ranking, Text, history
from ..parts.attention import Layer, positions
from ..parts.bag import Bag
from ..parts.bpe import Vocabulary, unspelled
from ..parts.grams import WORDS
from ..parts.metrics import error_rate
from ..parts.recurrent import LSTM, inside
from ..parts.seq2seq import locked

WIDER = 8  # a bucket of the pipeline holds a weight a class, not a vector: so it has so many times as many
ROUNDS, FLAT = 40, 3e-5  # of five updates of the pipeline, at most; the slope at which it ends
FASTER = 4.0  # times lr, of the average: a step moves only what a text holds
ASKED = 60  # words of a text that are left out, one by one, to see what each says


class Knobs(Config):
    net: Literal["best", "bag", "average", "lstm", "transformer"] = Field(
        default="best", description="whose error is the page's; best: that of the fewest validation errors"
    )
    beside: bool = Field(default=True, description="train the other nets, too, to compare them")
    shortest: int = Field(default=2, ge=1, le=10, description="letters of the shortest pieces of words")
    pieces: int = Field(default=4, ge=0, le=10, description="letters of the longest pieces of words; 0: whole words")
    buckets: int = Field(default=8192, ge=16, le=4_000_000, description="vectors that words and pieces share (average)")
    vocabulary: int = Field(default=1000, ge=300, le=8192, description="byte pairs and bytes (lstm, transformer)")
    longest: int = Field(default=128, ge=4, le=4000, description="tokens that are read of a text (lstm, transformer)")
    width: int = Field(default=64, ge=4, le=1024, description="of a vector")
    hidden: int = Field(default=64, ge=4, le=2048, description="LSTM cells, half of them in each direction")
    heads: int = Field(default=4, ge=1, le=64, description="of the transformer's attention; they share the width")
    layers: int = Field(default=2, ge=1, le=12, description="of the transformer")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="of vectors and of what each part adds")
    strength: float = Field(
        default=10.0,
        gt=0,
        description="of the pipeline's fit: the pull of its weights to 0 is 1 over this and the number of texts",
    )
    steps: int = Field(default=1200, ge=1, description="optimiser updates of each net but the pipeline")
    batch: int = Field(default=64, ge=1, description="texts per update")
    lr: float = Field(default=3e-3, gt=0, description="Adam's step size at its peak; of average 4 times that")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a gradient")
    patience: int = Field(default=6, ge=1, description="end after so many evaluations without a lower loss")


class Average(nn.Module):
    """The mean of the vectors of all that is counted, then one linear layer (Joulin et al. 2017, figure 1)."""

    def __init__(self, buckets: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.buckets = buckets
        self.vectors = nn.EmbeddingBag(buckets, width, mode="sum")
        nn.init.uniform_(self.vectors.weight, -1 / width, 1 / width)
        self.dropped, self.out = nn.Dropout(dropout), nn.Linear(width, classes)

    def forward(self, batch: Texts) -> Float[Tensor, "B K"]:
        weight = batch.count / batch.count.sum(1, keepdim=True).clamp(min=1)
        return self.out(self.dropped(self.vectors(batch.gram % self.buckets, per_sample_weights=weight)))


class Reader(nn.Module):
    """Tokens in their order, through an LSTM in both directions; of each of its units the largest output counts."""

    def __init__(self, tokens: int, width: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.embed = dropout, nn.Embedding(tokens, width)
        self.net = LSTM(width, max(1, hidden // 2), both=True)
        self.out = nn.Linear(2 * max(1, hidden // 2), classes)

    def forward(self, batch: Texts) -> Float[Tensor, "B K"]:
        x = self.net(locked(self.embed(batch.token), self.dropout, self.training), batch.length)
        there = inside(batch.length, x.shape[1])[..., None]
        x = x.masked_fill(~there, -torch.inf).amax(1)
        return self.out(F.dropout(x, self.dropout, self.training))


class Transformer(nn.Module):
    """Tokens and their positions, each looking at all; the mean of what becomes of them."""

    def __init__(self, tokens: int, width: int, heads: int, layers: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.embed = dropout, nn.Embedding(tokens, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.layers = nn.ModuleList(Layer(width, heads, 2 * width, dropout) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, batch: Texts) -> Float[Tensor, "B K"]:
        width, there = self.embed.embedding_dim, inside(batch.length, batch.token.shape[1])
        x = self.embed(batch.token) * width**0.5 + positions(0, batch.token.shape[1], width, batch.token.device)
        x = locked(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x, there[:, None])[0]
        return self.out((self.norm(x) * there[..., None]).sum(1) / batch.length.clamp(min=1)[:, None])


class Nets(nn.Module):
    """Nets by name, and which of them answers."""

    chosen: Tensor

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        classes, tokens = len(facts["labels"]), 3 + 256 + len(facts["merges"].split()) // 2
        make = {
            "bag": lambda: Bag(WIDER * knobs.buckets, classes, 1 / (knobs.strength * facts["data"]["train"])),
            "average": lambda: Average(knobs.buckets, knobs.width, classes, knobs.dropout),
            "lstm": lambda: Reader(tokens, knobs.width, knobs.hidden, classes, knobs.dropout),
            "transformer": lambda: Transformer(tokens, knobs.width, knobs.heads, knobs.layers, classes, knobs.dropout),
        }
        names = [name for name in make if knobs.beside or knobs.net in ("best", name)]
        self.of: Any = nn.ModuleDict({name: make[name]() for name in names})
        self.register_buffer("chosen", torch.tensor(names.index(knobs.net) if knobs.net in names else 0))

    @property
    def name(self) -> str:
        """The net that answers."""
        return list(self.of)[int(self.chosen)]

    def forward(self, batch: Texts) -> Float[Tensor, "B K"]:
        return self.of[self.name](batch)


def prepare(knobs: Knobs, place: Place) -> Data[Texts]:
    return texts(place, knobs.vocabulary, knobs.longest, knobs.shortest, knobs.pieces)


def build(knobs: Knobs, facts: Facts) -> Nets:
    if knobs.width % knobs.heads:
        got = f"width {knobs.width} in {knobs.heads} heads"
        raise UserError("a width that the heads divide", got, "Take 64 and 4", "words")
    return Nets(knobs, facts)


def loss(model: nn.Module, batch: Texts) -> dict[str, Tensor]:
    """Cross-entropy in nats, mean over the batch. Error in percent."""
    said = model(batch)
    return {"loss": F.cross_entropy(said, batch.label), "error": error_rate(said, batch.label)}


def regress(net: Bag, data: Data[Texts], run: Run) -> None:
    """Logistic regression by L-BFGS (Liu & Nocedal 1989), of all texts in each step, until its slope is nearly 0."""
    net.rarity(data.train.sweep(1000))
    whole = net.rows(data.train.sweep(1000))
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=5, tolerance_grad=0.0, line_search_fn="strong_wolfe")
    for _ in run.steps(ROUNDS, "bag", model=net, optimizer=optimizer):
        value = optimizer.step(lambda: net.downhill(*whole))  # type: ignore[arg-type]
        run.log(loss=value, **{f"valid_{name}": found for name, found in evaluate(net, loss, data.valid).items()})
        if max(float(weight.grad.abs().max()) for weight in net.parameters() if weight.grad is not None) < FLAT:
            run.enough()


def train(knobs: Knobs, model: Nets, data: Data[Texts], run: Run) -> None:
    for name, net in model.of.items():
        if isinstance(net, Bag):
            regress(net, data, run)
            continue
        optimizer = torch.optim.Adam(net.parameters(), knobs.lr * (FASTER if name == "average" else 1.0), fused=True)
        fit(net, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, optimizer=optimizer,
            clip=knobs.clip, patience=knobs.patience,
            schedule=cosine(knobs.steps, knobs.steps // 20), stage=name)  # fmt: skip
    labels, wrong = data.facts["labels"], {name: missed(net, data.valid) for name, net in model.of.items()}
    if knobs.net == "best":
        model.chosen.fill_(min(range(len(wrong)), key=lambda k: int([*wrong.values()][k][0].sum())))
    rows = [[name, sum(weight.numel() for weight in net.parameters()), 100 * float(wrong[name][0].double().mean())]
            for name, net in model.of.items()]  # fmt: skip
    run.show(nets=Listing(("net", "weights", "validation error, %"), rows), mistakes=mistaken(model, data, wrong))
    if stages := {name: name for name in wrong if name != "bag"}:
        run.show(learning=history(run.folder, stages, "valid_error", "updates", "wrong, %"))
    if len(labels) <= 40:
        _, said, truth = wrong[model.name]
        counts = torch.bincount(truth * len(labels) + said, minlength=len(labels) ** 2).view(len(labels), -1)
        run.show(confusion=Heat(counts.numpy(), labels, labels, "true (validation)", "said"))


def missed(net: nn.Module, source: Source[Texts]) -> tuple[Tensor, Tensor, Tensor]:
    """Of each text of a sweep whether the net is wrong, what it says and what is true."""
    was, said, truth = net.training, [], []
    net.eval()
    with torch.inference_mode():
        for batch in source.sweep(250):
            said.append(net(batch).argmax(1).cpu())
            truth.append(batch.label.cpu())
    net.train(was)
    return torch.cat(said) != torch.cat(truth), torch.cat(said), torch.cat(truth)


def mistaken(model: Nets, data: Data[Texts], wrong: dict[str, tuple[Tensor, Tensor, Tensor]]) -> Listing:
    """The first validation texts that the chosen net gets wrong, and who else does."""
    spelled, labels = Vocabulary(unspelled(data.facts["merges"])), data.facts["labels"]
    where, said, truth = wrong[model.name]
    first = next(iter(data.valid.sweep(len(data.valid))))
    rows = [(spelled.decode(first.token[i].tolist())[:100], labels[truth[i]], labels[said[i]],
             ", ".join(name for name, (those, _, _) in wrong.items() if those[i] and name != model.name) or "none")
            for i in where.nonzero()[:15, 0].tolist()]  # fmt: skip
    return Listing(("text", "class", "said", "also wrong"), rows)


def score(knobs: Knobs, model: Nets, data: Data[Texts], place: Place) -> dict[str, Score]:
    found, labels = {}, data.facts["labels"]
    for name, net in model.of.items():
        wrong, _, truth = missed(net, data.test)
        found[f"error_{name}"] = rate_score(int(wrong.sum()), len(wrong), data.test)
    most = int(np.argmax(data.facts["counts"]))
    chance = 100 * float((truth != most).double().mean())
    how = f"{model.name}, " + ("of the fewest validation errors" if knobs.net == "best" else "as asked for")
    note = f"{how}; who always says {labels[most]!r} has {chance:.1f} %"
    wrong = missed(model, data.test)[0]
    return {"error": rate_score(int(wrong.sum()), len(wrong), data.test, note=note), **found}


def read(facts: Facts, inputs: Sequence[Text]) -> Texts:
    for item in inputs:
        if not WORDS.search(item.text):
            raise UserError("a text with words", repr(item.text[:40]), "Write some", "words")
    return batched(facts, [item.text.strip() for item in inputs])


def use(model: Nets, facts: Facts, inputs: Sequence[Text]) -> list[dict[str, Any]]:
    batch, labels = read(facts, inputs), facts["labels"]
    each = {name: net(batch).softmax(-1) for name, net in model.of.items()}
    answers = []
    for i, item in enumerate(inputs):
        first = Ranking.of(each[model.name][i], labels)
        rows = [(name, labels[int(chance[i].argmax())], 100 * float(chance[i].max())) for name, chance in each.items()]
        answers.append({"answer": first, **spoke(model, facts, item.text, labels.index(first.best)),
                        "each net": Listing(("net", "says", "sure, %"), rows)})  # fmt: skip
    return answers


def spoke(model: Nets, facts: Facts, text: str, label: int) -> dict[str, Listing]:
    """The words that spoke most for a class or against it: by how many nats its log-odds fall without each of them."""
    spans = [found.span() for found in WORDS.finditer(text)][:ASKED]
    without = [text[:begin] + " " + text[end:] for begin, end in spans]
    kept = [k for k, one in enumerate(without) if WORDS.search(one)]
    if not kept:
        return {}
    chance = model(batched(facts, [text, *(without[k].strip() for k in kept)])).softmax(-1)[:, label].logit(1e-7)
    rows = [(text[slice(*spans[k])], float(chance[0] - odds)) for k, odds in zip(kept, chance[1:], strict=True)]
    rows.sort(key=lambda row: -abs(row[1]))
    return {"words": Listing(("word", f"speaks for {facts['labels'][label]}, nats"), rows[:8])}


OWN: dict[str, Any] = {"shortest": 3, "pieces": 5, "buckets": 16_384, "vocabulary": 4000, "layers": 1, "steps": 500}
PRESETS = {
    "quick": Knobs(),
    "own": Knobs(**OWN),  # for --data
    "paper": Knobs(net="average", beside=False, pieces=0, buckets=2_000_000, width=10, dropout=0.0, steps=20_000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), read=read, loss=loss)
