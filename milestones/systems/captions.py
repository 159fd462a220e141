"""A net says what it sees in a picture, and shows where it looked for each word.

Paper       Vinyals, Toshev, Bengio & Erhan (2015), Show and tell, CVPR; Xu et al. (2015), Show, attend and tell, ICML.
Idea        a convolutional net reads the picture, a recurrent one says the sentence; for each word it looks at the
            picture anew, and where it looks is learned from the sentences alone.
Deviations  a small convolutional net, learned with the rest instead of on ImageNet; two looks for each word: what the
            lower recurrent layer finds feeds the upper one (Wu et al. 2016), which looks again, so that a sentence is
            learned in two calls; language, form and hue each propose the next word (Jacobs et al. 1991), hue by single
            pixels, form by colours mixed by chance at equal contrast, so that pairs never seen together are told; a
            world of shapes, for photographs.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Annotated, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.interval import quantiles
from ..core.run import Run
from ..core.score import Score, wilson
from ..core.source import Data, Facts, Held, Place, Source, keyed
from ..core.system import System
from ..data.captions import BEGIN, END, NAME, PAD, UNKNOWN, Captioned, attended, brief, captions, held, spell, trials
from ..media import Image, Listing, Media, Text, lit, mosaic
from ..parts.beam import Hypothesis, State, beam
from ..parts.cider import bleu, cider_d, matches
from ..parts.initial import he
from ..parts.layers import Normalise
from ..parts.muon import Muon

BEAM = 3  # sentences followed at once
EXACT = "one of the sentences that are true of the picture and leave nothing out"
ASKED = 0.25  # of a word's chance in training is shared out among the experts, whatever the gate says
STRIDE = 8  # pixels of the picture for each place of the map


class Knobs(Config):
    pictures: int = Field(default=12_000, ge=32, le=500_000, description="training pictures of the world of shapes")
    two: float = Field(default=0.65, ge=0, le=1, description="share of these with two groups of things, of which it is "
                       "said how they lie")  # fmt: skip
    side: int = Field(default=64, ge=32, le=256, multiple_of=8, description="pixels of your own pictures, scaled")
    width: int = Field(
        default=24, ge=4, le=512, description="channels of the first layer; the map has three times that"
    )
    hidden: int = Field(default=112, ge=8, le=2048, description="units of each recurrent layer")
    forget: float = Field(default=0.6, ge=0, lt=1, description="share of the words said before that are hidden: what "
                          "is said next is then seen, not guessed from the sentence")  # fmt: skip
    dropout: float = Field(default=0.2, ge=0, lt=1, description="of what the word is chosen by")
    short_steps: int = Field(default=0, ge=0, description="first updates: on the pictures that are told most shortly")
    steps: int = Field(default=900, ge=1, description="optimiser updates")
    batch: int = Field(default=32, ge=2, description="pictures per update")
    lr: float = Field(default=1e-2, gt=0, description="Muon's step size at its peak")
    decay: float = Field(default=0.2, ge=0, description="weight decay")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")


def layer(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Said(NamedTuple):
    """What the net says after each word of a sentence."""

    logits: Float[Tensor, "B T V"]  # of the next word
    looked: Float[Tensor, "B T P"]  # how much at each place of the map for it; sums to 1


class Teller(nn.Module):
    """Takes raw colour levels, 0 to 255, of pictures of `side` pixels, and the words said so far."""

    def __init__(self, words: int, side: int, width: int, hidden: int, mean: float, spread: float, forget: float = 0.0,
                 dropout: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        self.d, self.grid, self.forget, self.dropout = 3 * width, side // STRIDE, forget, dropout
        d, self.normalise = self.d, Normalise(mean, spread)
        self.form = nn.Sequential(
            layer(3, width, 5, 2), layer(width, 2 * width, 3, 2), layer(2 * width, d, 3, 2), layer(d, d), layer(d, d),
        )  # B D side/8 side/8: each place sees 49 x 49 pixels  # fmt: skip
        # Of single pixels, the strongest of an area: what sees a colour and a shape at once learns which are together.
        self.hue = nn.Sequential(nn.AvgPool2d(2), layer(3, width, 1), layer(width, width, 1), nn.MaxPool2d(STRIDE // 2))
        self.place = nn.Parameter(torch.randn(2, d, self.grid) * 0.1)  # of each row and of each column
        self.key, self.first, self.second = nn.Linear(d, d), nn.Linear(hidden, d), nn.Linear(hidden, d)
        self.start = nn.Linear(d, 4 * hidden)
        self.word = nn.Embedding(words, d)
        self.lower = nn.LSTM(d, hidden, batch_first=True)
        self.upper = nn.LSTM(hidden + d, hidden, batch_first=True)
        self.experts = nn.ModuleList(nn.Linear(size, words) for size in (hidden, d, width))
        self.gate = nn.Linear(hidden, 3)
        he(self.form)
        he(self.hue)

    def map(self, image: Tensor) -> Float[Tensor, "B P C"]:
        """What is at each place of the picture, row by row: its form and where it is, then its hue."""
        image = self.normalise(image)
        mixed = image
        if self.training:  # red, green and blue by chance: form is learned whatever the colour
            mixed = (torch.randn(len(image), 3, 3, device=image.device) @ image.flatten(2)).view_as(image)
        # Each channel at mean 0 and spread 1 in each picture: whatever the colours, forms stand out alike.
        form = self.form(F.instance_norm(mixed)) + self.place[0][:, :, None] + self.place[1][:, None]
        return torch.cat([form, self.hue(image)], 1).flatten(2).transpose(1, 2)

    def begin(self, seen: Float[Tensor, "B P C"]) -> State:
        """The memory of both recurrent layers before the first word: hidden and cell of the lower, of the upper."""
        return self.start(seen[..., : self.d].mean(1)).tanh().chunk(4, -1)

    def look(self, query: Float[Tensor, "B T D"], seen: Float[Tensor, "B P C"]) -> tuple[Tensor, Tensor, Tensor]:
        """How much at each place, by the forms there, "B T P"; what form is seen there, and what hue, "B T D"."""
        looked = (query @ self.key(seen[..., : self.d]).transpose(1, 2) * self.d**-0.5).softmax(-1)
        return looked, *(looked @ seen).tensor_split([self.d], -1)

    def say(self, seen: Float[Tensor, "B P C"], words: Int[Tensor, "B T"], state: State) -> tuple[Said, State]:
        """The next word after each of `words`, and the memory after the last."""
        h, c, above, kept = (part[None] for part in state)
        low, (h, c) = self.lower(self.word(words), (h, c))
        _, glance, _ = self.look(self.first(low), seen)  # by what was said
        high, (above, kept) = self.upper(torch.cat([low, glance], -1), (above, kept))
        looked, *found = self.look(self.second(high), seen)  # by what was said and seen
        told = [F.dropout(one, self.dropout, self.training) for one in (high, *found)]
        # Language, form and hue each have their word, and none can veto another's: what was never seen together can be
        # told (a mixture of experts, Jacobs et al. 1991).
        chances = torch.stack([expert(one).log_softmax(-1) for expert, one in zip(self.experts, told, strict=True)], -2)
        gate = self.gate(high).softmax(-1)
        if self.training:  # an expert that is never asked would never learn
            gate = (1 - ASKED) * gate + ASKED / len(self.experts)
        logits = (gate.log()[..., None] + chances).logsumexp(-2)
        return Said(logits, looked), (h[0], c[0], above[0], kept[0])

    def forward(
        self, image: Integer[Tensor, "B 3 H W"] | Float[Tensor, "B 3 H W"], words: Int[Tensor, "B R T"]
    ) -> Said:  # of B R sentences, those of one picture together
        seen = self.map(image).repeat_interleave(words.shape[1], 0)
        words = words.flatten(0, 1)
        if self.training and self.forget:
            hidden = (torch.rand_like(words, dtype=torch.float32) < self.forget) & (words != BEGIN)
            words = words.masked_fill(hidden, UNKNOWN)
        return self.say(seen, words, self.begin(seen))[0]


def prepare(knobs: Knobs, place: Place) -> Data[Captioned]:
    return captions(place, knobs.pictures, knobs.side, knobs.two)


def build(knobs: Knobs, facts: Facts) -> Teller:
    normal = float(facts["mean"]), float(facts["spread"])
    return Teller(len(facts["words"]), facts["side"], knobs.width, knobs.hidden, *normal, knobs.forget, knobs.dropout)


def loss(model: Teller, batch: Captioned) -> dict[str, Tensor]:
    """Cross-entropy in nats a word, mean over all words of at most two sentences of each picture."""
    words = batch.words[:, :2].long()
    words = words[..., : int((words != PAD).sum(-1).max())]
    logits, target = model(batch.image, words[..., :-1]).logits.flatten(0, 1), words[..., 1:].flatten()
    wrong = ((logits.argmax(-1) != target) & (target != PAD)).sum() / (target != PAD).sum()
    return {"loss": F.cross_entropy(logits, target, ignore_index=PAD), "error": 100 * wrong.float()}


def train(knobs: Knobs, model: Teller, data: Data[Captioned], run: Run) -> None:
    for stage, steps in (("short", knobs.short_steps), ("train", knobs.steps)):
        if steps:
            source = brief(cast("Held[Captioned]", data.train)) if stage == "short" else data.train
            optimizer = Muon(model.parameters(), knobs.lr, decay=knobs.decay)
            fit(model, loss, source, run, steps=steps, batch=knobs.batch, valid=data.valid, optimizer=optimizer,
                schedule=cosine(steps, steps // 20), clip=1.0, average=knobs.average or None, stage=stage)  # fmt: skip
    show(model, data, run)


@torch.no_grad()
def told(model: Teller, image: Tensor, longest: int, width: int = BEAM) -> list[list[Hypothesis]]:
    """The likeliest sentences for each picture, best first."""
    seen, unsaid = model.map(image), torch.tensor([PAD, BEGIN, UNKNOWN], device=image.device)

    def step(last: Tensor, state: State) -> tuple[Tensor, State]:
        said, state = model.say(seen.repeat_interleave(len(last) // len(seen), 0), last[:, None], state)
        return said.logits[:, 0].index_fill(1, unsaid, -torch.inf), state

    return beam(step, model.begin(seen), BEGIN, END, width, longest, penalty=0.0)


@torch.no_grad()
def where(model: Teller, image: Tensor, said: Sequence[list[int]]) -> Float[Tensor, "B T P"]:
    """How much the net looks at each place of the map for each word of what was said."""
    rows = [torch.tensor([BEGIN, *tokens][: max(1, len(tokens))]) for tokens in said]
    words = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return model.eval()(image, words[:, None].to(image.device)).looked


def answers(model: Teller, source: Source[Captioned], facts: Facts) -> tuple[list[list[int]], list[list[list[int]]]]:
    """What is said of each picture of a source, and all that may be said of it, as tokens."""
    said, meant = [], []
    model.eval()
    for batch in source.sweep(250):
        said += [those[0].tokens for those in told(model, batch.image, facts["longest"])]
        sentences = [rows[:count] for rows, count in zip(batch.words.tolist(), batch.count.tolist(), strict=True)]
        meant += [[[t for t in one if t not in (PAD, BEGIN, END)] for one in those] for those in sentences]
    return said, meant


def score(knobs: Knobs, model: Teller, data: Data[Captioned], place: Place) -> dict[str, Score]:
    test, facts = cast("Held[Captioned]", data.test), data.facts
    said, meant = answers(model, test, facts)
    n, rng, found = len(said), keyed("captions", "bootstrap"), matches(said, meant)

    def scored(value: float, low: float, high: float, unit: str = "%", name: str = test.name, over: int = n,
               note: str = "") -> Score:  # fmt: skip
        return Score(value, min(low, value), max(high, value), unit, "higher", name, test.split, over, note=note)

    def exact(said: list[list[int]], meant: list[list[list[int]]], name: str = test.name) -> Score:
        good = sum(one in those for one, those in zip(said, meant, strict=True))
        return scored(100 * good / len(said), *wilson(good, len(said)), name=name, over=len(said), note=EXACT)

    draws = [torch.randint(n, (n,), generator=rng).numpy() for _ in range(300)]
    rare = 100 * cider_d(said, meant)
    scores = {
        "exact": exact(said, meant),
        "bleu": scored(bleu(found), *quantiles([bleu(found.take(i)) for i in draws]), note="BLEU-4, not smoothed"),
        "cider": scored(float(rare.mean()), *quantiles([float(rare[i].mean()) for i in draws]), "points",
                        note="CIDEr-D times 100, by the references of these pictures"),
    }  # fmt: skip
    if facts["data"]["name"] != NAME:
        return scores
    seen = trials(n, "test", knobs.two)
    share, chance = attended(seen, said, facts["words"], partial(where, model), STRIDE)
    if len(share):
        half = 1.96 * float(share.std(correction=0)) / len(share) ** 0.5
        scores["attention_inside"] = scored(
            float(share.mean()), float(share.mean()) - half, min(100.0, float(share.mean()) + half), over=len(share),
            note=f"right sentences; {chance:.0f} % of all places would be inside",
        )  # fmt: skip
    known = held(trials(n, "known", knobs.two), facts["words"], place, f"{NAME}, known pairs", "test")
    return scores | {"exact_known": exact(*answers(model, known, facts), name=known.name)}


def shown(model: Teller, image: Tensor, said: Sequence[list[int]], words: Sequence[str], columns: int) -> Image:
    """Pictures, each with its sentence word by word: where the net looked for it; 0 columns are as many as it takes."""
    looked, frames, under = where(model, image, said), [], []
    columns = columns or 1 + max(map(len, said))
    for k, tokens in enumerate(said):
        side = image.shape[-1] // STRIDE
        row = lit(image[k].cpu(), looked[k, : len(tokens)].view(-1, side, side).cpu(), 3)
        row += [Image(np.full_like(row[0].pixels, 255))] * (-len(row) % columns)
        frames += row
        under += ["", *(words[token] for token in tokens)] + [""] * (len(row) - 1 - len(tokens))
    return mosaic(frames, under, columns)


def show(model: Teller, data: Data[Captioned], run: Run) -> None:
    """Where it looked for each word, and what it says wrongly."""
    facts, valid = data.facts, data.valid
    said, meant = answers(model, valid, facts)
    image = torch.cat([batch.image for batch in valid.sweep(250)])
    run.show(looked=shown(model, image[:4], said[:4], facts["words"], 0))
    wrong = [k for k, those in enumerate(meant) if said[k] not in those][:12]
    if wrong:
        rows = [[spell(said[k], facts["words"]), spell(meant[k][0], facts["words"])] for k in wrong]
        frames = [Image.of(image[k].repeat_interleave(4, 1).repeat_interleave(4, 2)) for k in wrong]
        under = [textwrap.fill("said: " + row[0], 30) + "\n" + textwrap.fill("is: " + row[1], 30) for row in rows]
        run.show(mistakes=mosaic(frames, under, 4))


def use(model: Teller, facts: Facts, images: Sequence[Image], *,
        beam: Annotated[int, "sentences followed at once"] = BEAM) -> list[dict[str, Media]]:  # fmt: skip
    if not 1 <= beam <= 100:
        raise UserError("--beam from 1 to 100 sentences", str(beam), "For example --beam 5", "captions")
    image = torch.from_numpy(np.stack([one.square(facts["side"]).pixels.transpose(2, 0, 1) for one in images]))
    found, words = [], facts["words"]
    for k, those in enumerate(told(model, image, facts["longest"], beam)):
        rows = [[spell(one.tokens, words), 100 * math.exp(one.score)] for one in those]
        found.append({"answer": Text(str(rows[0][0])), "sentences": Listing(["sentence", "chance, %"], rows),
                      "looked": shown(model, image[k : k + 1], [those[0].tokens], words, 5)})  # fmt: skip
    return found


PRESETS = {
    "quick": Knobs(two=0.0),  # how groups lie to each other takes more than a minute to learn
    "long": Knobs(pictures=20_000, short_steps=900, steps=2000),
    "paper": Knobs(pictures=100_000, width=64, hidden=512, steps=20_000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), loss=loss)
