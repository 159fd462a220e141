"""Searching a room for a mug, and meeting one that is too large for the room.

Paper       Eckstein, Koehler, Welbourne & Akbas (2017), Humans, but not deep neural networks, often miss giant targets
            in scenes, Current Biology 27(18), 2827-2832. Figures of people: as a summary has them.
Idea        people search for the size that the scene makes likely: they miss a target three or four times as large
            more often, though it is easier to see. One net answers twice from the same features: at each place by what
            is there alone, and with the whole scene in view. Where there are jugs, which look like large mugs, it pays
            to know how large a mug should be. Does the net then miss giants as people do?
Deviations  drawn scenes, one target, a small net that learned from such scenes: neither photographs nor the paper's
            detectors, and no limit of time. Figures of people are of other pictures: compare directions, not figures.
Result      not measured yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from PIL import Image as Pillow
from PIL import ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, error_score, rate_score
from ..core.source import Data, Facts, Place
from ..core.system import Probe, System
from ..data.scenes import CELL, GRID, NEAR, WRONG, Scenes, Trial, framed, rooms, trial
from ..media import Curve, Image, Listing, Ranking, Text, mosaic
from ..media.image import on_white
from ..parts.initial import he
from ..parts.layers import Normalise
from ..parts.metrics import error_rate

WAYS = ("with the scene", "each place alone")


class Condition(NamedTuple):
    """What is tested."""

    relative: float  # the mug's scale against the scene's
    zoom: float  # how near the scene is
    instead: float | None = None  # without a mug: how often a jug is in its place
    people: str = ""  # how many of them were wrong


CONDITIONS = {
    "miss_normal": Condition(1.0, 1.0, people="about 20 %"),
    "miss_giant": Condition(WRONG, 1.0, people="about 30 %"),
    "miss_control": Condition(1.0, NEAR, people="hardly any"),  # as many pixels as the giant, in a scene as large
    "miss_tiny": Condition(1 / WRONG, NEAR),
    "false_alarms": Condition(1.0, 1.0, 0.0),
    "false_alarms_near": Condition(1.0, NEAR, 0.0),
    "false_alarms_jug": Condition(1.0, 1.0, 1.0),
}
PEOPLE = "people: {}, by a summary of the paper (60 people, 42 rendered scenes; eliaszwang.com); not comparable"
ALONE = ("miss_normal", "miss_giant", "miss_control", "false_alarms")  # scored for each place alone, too


class Knobs(Config):
    scenes: int = Field(default=8000, ge=32, le=200_000, description="training scenes")
    lookalikes: float = Field(default=0.5, ge=0, le=1, description="share of rooms with a jug, a mug with a spout "
                              "of another size; and of those without a mug that have it in its place")  # fmt: skip
    noise: float = Field(default=25.0, ge=0, le=128, description="most noise of a picture, grey levels")
    width: int = Field(default=12, ge=2, le=256, description="channels of the first layer; the others have twice that")
    steps: int = Field(default=1000, ge=1, description="optimiser updates")
    batch: int = Field(default=64, ge=2, description="scenes per update")
    lr: float = Field(default=4e-3, gt=0, description="AdamW's step size at its peak")
    decay: float = Field(default=0.02, ge=0, description="weight decay")


class Sight(NamedTuple):
    """What the net says of each place."""

    scores: Tensor  # B 2 P: log odds of "here" against "nowhere", in the order of WAYS
    tall: Tensor  # B P: how tall a mug here would be, as a power of two in units of 8 pixels


def layer(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Searcher(nn.Module):
    """Looks for one thing at 16 x 16 places of a scene. Takes raw grey levels, 0 to 255."""

    def __init__(self, width: int, mean: float, spread: float) -> None:
        super().__init__()
        w, d = 2 * width, 4 * width
        self.features = nn.Sequential(
            Normalise(mean, spread), layer(1, width, 5, 2), layer(width, w, 3, 2),  # B w 16 16
            layer(w, w), layer(w, w), layer(w, w),  # each place sees 33 x 33 pixels
        )  # fmt: skip
        self.scene = nn.Sequential(
            nn.MaxPool2d(2), layer(w, w), nn.MaxPool2d(2), layer(w, w), nn.Flatten(), nn.Linear(16 * w, d)
        )  # B d
        self.within, self.alone = nn.Conv2d(w, d, 1), nn.Conv2d(w, d, 1)
        self.score = nn.ModuleList(nn.Conv2d(d, 1, 1) for _ in WAYS)
        self.tall = nn.Conv2d(d, 1, 1)
        he(self)
        for score in self.score:
            nn.init.zeros_(score.weight)
            nn.init.constant_(score.bias, -math.log(GRID * GRID))  # at first, as likely somewhere as nowhere

    def sight(self, image: Integer[Tensor, "B 1 64 64"] | Float[Tensor, "B 1 64 64"]) -> Sight:
        seen = self.features(image)
        alone = F.relu(self.alone(seen))
        within = F.relu(self.within(seen) + self.scene(seen)[:, :, None, None])
        scores = [score(hidden) for score, hidden in zip(self.score, (within, alone), strict=True)]
        return Sight(torch.cat(scores, 1).flatten(2), self.tall(alone).flatten(1))

    def forward(self, image: Integer[Tensor, "B 1 64 64"] | Float[Tensor, "B 1 64 64"]) -> Float[Tensor, "B 2"]:
        return presence(self.sight(image).scores[:, 0])


def presence(scores: Float[Tensor, "... P"]) -> Float[Tensor, "... 2"]:
    """Scores of "nowhere" and "somewhere": softmax gives the chance that the target is in the scene."""
    somewhere = scores.logsumexp(-1)
    return torch.stack([torch.zeros_like(somewhere), somewhere], -1)


def prepare(knobs: Knobs, place: Place) -> Data[Scenes]:
    return rooms(place, knobs.scenes, knobs.lookalikes, knobs.noise)


def build(knobs: Knobs, facts: Facts) -> Searcher:
    return Searcher(knobs.width, float(facts["mean"]), float(facts["spread"]))


def loss(model: Searcher, batch: Scenes) -> dict[str, Tensor]:
    """Cross-entropy in nats over all places and "nowhere", mean over the batch and both ways; and the size's error."""
    sight, target = model.sight(batch.image), batch.label * (batch.place + 1)
    options = F.pad(sight.scores, (1, 0)).transpose(1, 2)  # B 1+P 2: "nowhere" scores 0
    at = sight.tall.gather(1, batch.place[:, None])[:, 0]
    size = F.smooth_l1_loss(at, (batch.tall.clamp(min=1) / 8).log2(), reduction="none") * batch.label
    errors = [error_rate(presence(sight.scores[:, k]), batch.label) for k in range(2)]
    return {"loss": F.cross_entropy(options, target[:, None].expand(-1, 2)) + 0.1 * size.mean(),
            "error": errors[0], "alone_error": errors[1]}  # fmt: skip


def train(knobs: Knobs, model: Searcher, data: Data[Scenes], run: Run) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), knobs.lr, weight_decay=knobs.decay, fused=True)
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, optimizer=optimizer,
        schedule=cosine(knobs.steps, knobs.steps // 20), average=0.99)  # fmt: skip
    model.eval()
    count = min(300, len(data.valid))
    run.show(by_scale=by_scale(knobs, model, count), answers=listed(knobs, model, count), scenes=compared(knobs, model),
             seen_alone=looked(knobs, model, count))  # fmt: skip


class Answer(NamedTuple):
    """What was found in each scene, in the order of WAYS."""

    chance: Tensor  # B 2: that there is a mug
    place: Tensor  # B 2: the likeliest cell
    tall: Tensor  # B 2: pixels, if it is there
    maps: Tensor  # B 2 P: the chance of each cell


@torch.no_grad()
def asked(model: Searcher, image: Tensor) -> Answer:
    parts = [model.sight(image[k : k + 500]) for k in range(0, len(image), 500)]
    scores, tall = torch.cat([part.scores for part in parts]), torch.cat([part.tall for part in parts])
    maps, place = F.pad(scores, (1, 0)).softmax(-1)[..., 1:], scores.argmax(-1)
    return Answer(maps.sum(-1), place, 8 * 2 ** tall.gather(1, place).clamp(-3, 3), maps)


def tested(knobs: Knobs, name: str, count: int, split: str) -> Trial:
    """The scenes of a condition: the same worlds for all."""
    one, what = CONDITIONS[name], name.removeprefix("miss_").replace("_", " ")
    return trial(what, one.relative, one.zoom, count, knobs.noise, knobs.lookalikes, split, one.instead)


def wrong(model: Searcher, scenes: Scenes) -> list[int]:
    """How many are answered wrongly, in the order of WAYS."""
    return ((asked(model, scenes.image).chance > 0.5) != (scenes.label > 0)[:, None]).sum(0).tolist()


def score(knobs: Knobs, model: Searcher, data: Data[Scenes], place: Place) -> dict[str, Score]:
    scores, count = {"error": error_score(model, data.test)}, len(data.test)
    alone = {}
    for name, one in CONDITIONS.items():
        test = tested(knobs, name, count, "test")
        mistakes = wrong(model, test.examples)
        scores[name] = rate_score(mistakes[0], count, test, note=PEOPLE.format(one.people) if one.people else "")
        if name in ALONE:
            alone[f"alone_{name}"] = rate_score(mistakes[1], count, test)
    return scores | alone


def listed(knobs: Knobs, model: Searcher, count: int) -> Listing:
    """Wrong answers on validation scenes, percent."""
    counts = {name: wrong(model, tested(knobs, name, count, "valid").examples) for name in CONDITIONS}
    rows = [[name.replace("_", " "), *(100 * n / count for n in counts[name])] for name in CONDITIONS]
    return Listing(["wrong answers, %", *WAYS], rows)


def by_scale(knobs: Knobs, model: Searcher, count: int) -> Curve:
    """Hits on validation scenes over the mug's scale against the scene's. The mug keeps its pixels, a large one
    those as from near, a small one as from afar: it is the scene that gets smaller or larger around it."""
    scales = [2 ** (k / 2) for k in range(-4, 5)]
    lines = {f"{size} mug, {way}": [math.nan] * 9 for size in ("large", "small") for way in WAYS}
    for k, relative in enumerate(scales):
        for size, most in (("large", NEAR), ("small", 1.0)):
            if 1 <= most / relative <= NEAR:
                one = trial("scale", relative, most / relative, count, knobs.noise, knobs.lookalikes, "valid")
                for way, mistakes in zip(WAYS, wrong(model, one.examples), strict=True):
                    lines[f"{size} mug, {way}"][k] = 100 * (1 - mistakes / count)
    return Curve(scales, lines, "the mug's scale over the one that fits", "found, %", logx=True)


def boxed(image: Image, x: float, y: float, tall: float) -> Image:
    """The picture with a frame around what is so tall, its middle at (x, y)."""
    picture = Pillow.fromarray(on_white(image))
    draw, line = ImageDraw.Draw(picture), max(1, min(picture.size) // 128)
    for level, out in ((0, line), (255, 0)):
        w, h = 0.8 * tall + 2 * line + out, 0.55 * tall + 2 * line + out
        draw.rectangle((x - w, y - h, x + w, y + h), outline=(level, level, level), width=line)
    return Image(np.asarray(picture))


def middle(cell: int) -> tuple[float, float]:
    """The middle of a cell, in pixels from the left and from the top."""
    return (cell % GRID + 0.5) * CELL, (cell // GRID + 0.5) * CELL


def twice(picture: Tensor) -> Image:
    """Grey levels "H W" at double size."""
    return Image(picture.byte().numpy().repeat(2, 0).repeat(2, 1))


def compared(knobs: Knobs, model: Searcher, columns: int = 3) -> Image:
    """The same rooms with a mug that fits, with a giant, and from near; framed where it is found with the scene."""
    pictures, captions = [], []
    for name in list(CONDITIONS)[:3]:
        image = tested(knobs, name, columns, "shown").examples.image
        answer = asked(model, image)
        for k in range(columns):
            chance, (x, y) = float(answer.chance[k, 0]), middle(int(answer.place[k, 0]))
            picture = twice(image[k, 0])
            pictures.append(boxed(picture, 2 * x, 2 * y, 2 * float(answer.tall[k, 0])) if chance > 0.5 else picture)
            captions.append(f"{name.removeprefix('miss_')}: mug {100 * chance:.0f} %")
    return mosaic(pictures, captions, columns)


def looked(knobs: Knobs, model: Searcher, count: int, most: int = 3) -> Image:
    """The giants that each place alone finds and the scene talks it out of; lit is where each way sees a mug."""
    image = tested(knobs, "miss_giant", count, "valid").examples.image
    answer, pictures, captions = asked(model, image), [], []
    for k in (answer.chance[:, 0] - answer.chance[:, 1]).argsort()[:most].tolist():
        maps = answer.maps[k].view(2, GRID, GRID).repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
        lit = 0.45 * image[k] + 140 * maps / maps.amax((1, 2), keepdim=True).clamp(min=0.1)  # 2 64 64
        pictures += [twice(image[k, 0]), twice(lit[1]), twice(lit[0])]
        said = [f"{way} {100 * float(answer.chance[k, n]):.0f} %" for n, way in ((1, "alone:"), (0, "with the scene:"))]
        captions += ["a giant", *said]
    return mosaic(pictures, captions, 3)


def read(facts: Facts, images: Sequence[Image]) -> Scenes:
    image = torch.from_numpy(np.stack([framed(image).pixels for image in images]))[:, None]
    none = torch.zeros(len(image), dtype=torch.long)
    return Scenes(image, none, none, none.float())


def use(model: Searcher, facts: Facts, images: Sequence[Image]) -> list[dict[str, Ranking | Text | Image]]:
    image, labels, answers = read(facts, images).image, facts["labels"], []
    chance, answer = model(image).softmax(-1), asked(model, image)
    for k, (picture, frame) in enumerate(zip(images, map(framed, images), strict=True)):
        alone, (x, y) = answer.chance[k, 1], middle(int(answer.place[k, 0]))
        x, y = (x - frame.left) * frame.scale, (y - frame.top) * frame.scale
        tall, there = float(answer.tall[k, 0]) * frame.scale, bool(chance[k, 1] > 0.5)
        where = f"at {x:.0f}, {y:.0f} of {picture.width} x {picture.height} pixels, about {tall:.0f} tall"
        answers.append({"answer": Ranking.of(chance[k], labels),
                        "without the scene": Ranking.of(torch.stack([1 - alone, alone]), labels),
                        "where": Text(where if there else "nowhere"),
                        "picture": boxed(picture, x, y, tall) if there else picture})  # fmt: skip
    return answers


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(scenes=60_000, width=32, steps=12_000),  # larger; the study's own pictures may not be shipped
    "plain": Knobs(lookalikes=0.0),  # a world in which nothing looks like a mug of another size
}
system = System(
    Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read, loss=loss,
    probe=lambda model, batch: Probe(batch.image.float(), 0.0, 255.0, model, batch.label),
)  # fmt: skip
