"""What nets that draw pictures of a class have in common: their judge, scores, answers, and pictures for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import UserError, nearest
from ..core.fit import cosine, fit
from ..core.interval import Z95
from ..core.run import Run
from ..core.score import Score, error_score, wilson
from ..core.source import Data, Facts, Held, keyed
from ..media import Image, Text, mosaic
from ..parts import quality
from ..parts.metrics import error_rate
from ..parts.quality import Judge
from . import Labelled

PICTURES = 1000  # drawn for the scores
NEIGHBOURS = 5  # of coverage, as its authors have it
TOGETHER = 100  # pictures that are drawn at once
DRAWS = 100  # of the bootstrap
NEAR = 0.01  # of real test pictures lie nearer to a training picture than what is called a copy
JUDGED = 100  # pictures of an update of the judge
EACH, ROWS = 8, 10  # pictures of a class in the report, and classes at most
MOST = 100  # pictures of one answer

Draw = Callable[[Tensor, Tensor], Tensor]
"""Pictures "B C H W" of uint8 from classes "B" and noise "B ..."."""


@runtime_checkable
class Artist(Protocol):
    """A model that draws: its judge, and the shape of the noise that one picture is made of."""

    judge: Judge
    noise: tuple[int, ...]


def judge_of(facts: Facts) -> Judge:
    """The judge of pictures with these facts, not yet trained."""
    return Judge(len(facts["labels"]), facts["channels"], facts["side"], float(facts["mean"]), float(facts["spread"]))


def judge_loss(judge: Judge, batch: Labelled) -> dict[str, Tensor]:
    """Cross-entropy in nats, and the percent of wrong classes."""
    logits = judge(batch.image)
    return {"loss": F.cross_entropy(logits, batch.label), "error": error_rate(logits, batch.label)}


def train_judge(judge: Judge, data: Data[Labelled], run: Run, steps: int) -> None:
    """Teach the judge real training pictures, in a stage of its own. It comes first, so that a run that is cut short
    has one; it never sees a drawn picture, and the net that draws never sees its judge."""
    fit(judge, judge_loss, data.train, run, steps=steps, batch=JUDGED, valid=data.valid, stage="judge", average=0.99,
        optimizer=torch.optim.Adam(judge.parameters(), 2e-3, fused=True), schedule=cosine(steps))  # fmt: skip


def noise_of(artist: Artist, count: int, *words: object) -> Float[Tensor, "B ..."]:
    """Noise for so many pictures, the same for the same words. Of each picture its own: it depends on no other."""
    return torch.stack([torch.randn(artist.noise, generator=keyed("drawn", *words, k)) for k in range(count)])


@torch.no_grad()
def drawn(draw: Draw, label: Int[Tensor, "N"], noise: Float[Tensor, "N ..."]) -> Integer[Tensor, "N C H W"]:
    """A picture of each class, a few at a time."""
    parts = zip(label.split(TOGETHER), noise.split(TOGETHER), strict=True)
    return torch.cat([draw(some, one.to(label.device)) for some, one in parts])


def features(judge: Judge, image: Integer[Tensor, "N C H W"]) -> Float[Tensor, "N D"]:
    return torch.cat([judge.features(part) for part in image.split(500)])


def some(source: Held[Labelled], *words: object) -> Labelled:
    """PICTURES examples of a source, drawn at random, the same for the same words."""
    index = torch.randperm(len(source), generator=keyed("quality", *words))[:PICTURES].to(source.examples.label.device)
    return Labelled(*(field[index] for field in source.examples))


@torch.no_grad()
def scores(artist: Artist, draw: Draw, data: Data[Labelled]) -> dict[str, Score]:
    """How good the pictures are that `draw` makes of the classes of test pictures drawn at random.

    `sample_accuracy`: percent that the judge reads as what was asked for; `judge_accuracy`: of real test pictures;
    `frechet`: in the judge's features, to those test pictures; `coverage`: percent of those that have a drawn picture
    within their fifth neighbour's distance; `copies`: percent that lie nearer to a training picture than all but 1 % of
    real test pictures do; `nearest_train`: the median of these distances. What as many real training pictures would
    have stands in the notes.
    """
    judge, train, test = artist.judge, cast("Held[Labelled]", data.train), cast("Held[Labelled]", data.test)
    real, known = some(test, "test"), some(train, "train")
    n, learned = len(real.label), train.examples.image
    image = drawn(draw, real.label, noise_of(artist, n, "scores"))
    wrong = error_score(judge, test)
    right = int((judge(image).argmax(-1) == real.label).sum())
    ours, theirs, plain = (features(judge, part) for part in (image, real.image, known.image))
    near, usual = quality.nearest(learned, image).distance, quality.nearest(learned, real.image).distance
    edge = usual.double().quantile(NEAR)
    copies, level = int((near < edge).sum()), float(near.median())
    inside, most = (quality.covered(theirs, rows, NEIGHBOURS) for rows in (ours, plain))
    asked = f"{n:,} drawn pictures of the classes of as many test pictures"
    space = f"{ours.shape[1]} features of the judge, a net that learned from the real training pictures alone"

    def scored(value: float, low: float, high: float, unit: str, better: Any, note: str, over: int = n) -> Score:
        return Score(value, min(low, value), max(high, value), unit, better, test.name, test.split, over, note=note)

    # Four digits: the last ones of the features depend on the threads that sum them.
    rng, far = keyed("quality", "bootstrap"), float(f"{quality.frechet(theirs, ours):.4g}")
    tries = [quality.frechet(*(rows[torch.randint(len(rows), (len(rows),), generator=rng)] for rows in (theirs, ours)))
             for _ in range(DRAWS)]  # fmt: skip
    half = Z95 * float(torch.tensor(tries).std())  # their spread alone: rows drawn twice make each of them too large
    rank = Z95 * (n / 4) ** 0.5  # of the median's interval, in ranks
    order = near.sort().values
    low, high = (float(order[min(n - 1, max(0, round(n / 2 + way * rank)))]) for way in (-1, 1))
    return {
        "sample_accuracy": scored(100 * right / n, *wilson(right, n), "%", "higher",
                                  f"{asked}; by a net that reads {100 - wrong.value:.1f} % of real ones rightly"),
        "judge_accuracy": scored(100 - wrong.value, 100 - wrong.high, 100 - wrong.low, "%", "higher",
                                 "of real test pictures, by the net that judges the drawn ones", wrong.over),
        "frechet": scored(far, max(0.0, far - half), far + half, "squared", "lower",
                          f"distance of {asked} to these, in {space}; of as many training pictures "
                          f"{quality.frechet(theirs, plain):.3g}; not comparable with other nets' features"),
        "coverage": scored(100 * float(inside.double().mean()), *wilson(int(inside.sum()), n), "%", "higher",
                           f"of {n:,} test pictures, by as many drawn ones within their neighbour {NEIGHBOURS}'s "
                           f"distance, in {space}; by training pictures {100 * float(most.double().mean()):.1f}"),
        "copies": scored(100 * copies / n, *wilson(copies, n), "%", "lower",
                         f"{asked}; nearer to a training picture than all but {100 * NEAR:.0f} % of real test pictures "
                         f"({float(edge):.1f} levels, root mean square over the pixels)"),
        "nearest_train": scored(level, low, high, "levels", "higher",
                                f"median distance to the nearest training picture, root mean square over the pixels; "
                                f"of real test pictures {float(usual.median()):.1f}"),
    }  # fmt: skip


def class_of(facts: Facts, word: str, who: str) -> int:
    """The number of the class that a text names. UserError: no class was learned under this name."""
    labels, word = [str(label) for label in facts["labels"]], word.strip()
    for change in (str, str.casefold):  # as it is written, else whatever its capitals
        for number, label in enumerate(labels):
            if change(label) == change(word):
                return number
    known = ", ".join(labels) if len(labels) <= 20 else f"{', '.join(labels[:20])} ..."
    got = repr(word[:40]) if word else "an empty text"
    raise UserError(f"the name of a class that was learned: {known}", got, nearest(word, labels, "Name one"), who)


@torch.no_grad()
def answers(artist: Artist, draw: Draw, facts: Facts, texts: Sequence[Text], samples: int, seed: int, who: str
            ) -> list[dict[str, Any]]:  # fmt: skip
    """So many random pictures of the class that each text names, and how many of them the judge reads as it. What is
    drawn depends on `seed` and the class alone. UserError: an unknown class, or an option out of its range."""
    if not 1 <= samples <= MOST:
        raise UserError(f"--samples from 1 to {MOST} pictures", str(samples), "For example --samples 4", who)
    device, found = next(artist.judge.parameters()).device, []
    for number in [class_of(facts, text.text, who) for text in texts]:
        name = str(facts["labels"][number])
        label = torch.full((samples,), number, device=device)
        image = drawn(draw, label, noise_of(artist, samples, seed, name))
        right = int((artist.judge(image).argmax(-1) == label).sum())
        answer: dict[str, Any] = {f"sample {k + 1}" if k else "answer": Image.of(one) for k, one in enumerate(image)}
        said = f"{right} of {samples} read as {name} by a net that learned from real pictures"
        found.append({**answer, "judged": Text(said)})
    return found


@torch.no_grad()
def shown(artist: Artist, draw: Draw, data: Data[Labelled]) -> dict[str, Image]:
    """Pictures for a report, at random and none left out: some of each class; and the first ones with the training
    picture that is nearest to each below it."""
    labels, learned = [str(label) for label in data.facts["labels"]], cast("Held[Labelled]", data.train).examples.image
    kinds = torch.arange(min(len(labels), ROWS), device=learned.device)
    image = drawn(draw, kinds.repeat_interleave(EACH), noise_of(artist, EACH * len(kinds), "shown"))
    sheet = [Image.of(one) for one in image]
    words = [labels[k // EACH] if k % EACH == 0 else "" for k in range(len(sheet))]
    first = image[::EACH][:EACH]  # one of each class
    near = quality.nearest(learned, first)
    pairs = [*(Image.of(one) for one in first), *(Image.of(learned[k]) for k in near.row.tolist())]
    far = [*(["drawn"] * len(first)), *(f"{distance:.0f} away" for distance in near.distance.tolist())]
    return {"samples": mosaic(sheet, words, EACH), "nearest": mosaic(pairs, far, len(first))}
