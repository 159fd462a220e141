"""A character is a program of pen strokes, and so is known from one drawing.

Paper       Lake, Salakhutdinov & Tenenbaum (2015), Human-level concept learning through probabilistic program
            induction, Science 350(6266), 1332-1338.
Idea        a picture is parsed into the strokes that drew it. How strokes look, and how the same character differs from
            hand to hand, is learned from the pens' paths of other alphabets. Two pictures are the same character if
            the program of one, changed as hands change programs, is likely to have left the ink of the other.
Deviations  whole strokes for sub-strokes between pauses; the change from hand to hand is one Gaussian process over the
            points of a program, learned by gradient; ink is scattered about the points by Gaussians, fitted by
            expectation and maximisation; parses are not refined on pixels; the best of the candidate parses for five
            weighed ones; of relations only whether a stroke begins on an earlier one.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data.omniglot import FULL, classes, seen, unpacked
from ..data.strokes import Written, written
from ..media import Image, Ranking, mosaic
from ..parts.motor import Motor, split, strung
from ..parts.skeleton import parsed, thinned, traced
from ..parts.strokes import Bend, Drawing, Ink, bent, centred, drawn, laid_along, nats, smoothed

BOX = 75.0  # pixels of the larger side of the user's ink, as in Omniglot
SIDE, SCALE, PEN = 64, 15.0, 0.9  # of a picture that is drawn: pixels a side, a drawing's size, and of the pen
SHOWN = 12  # new characters, and new drawings of one
ABREAST = 800  # pairs of drawings that are compared at once


class Knobs(Config):
    background: Literal["first", "second"] = Field(default="first", description="which five alphabets to learn from")
    points: int = Field(default=48, ge=8, le=200, description="points of a program, along its strokes")
    kinds: int = Field(default=24, ge=1, le=200, description="kinds of strokes")
    steps: int = Field(default=150, ge=1, description="optimiser updates")
    batch: int = Field(default=32, ge=1, description="pairs of drawings per update")
    lr: float = Field(default=3e-2, gt=0, description="Adam's step size at its peak")
    parses: int = Field(default=10, ge=1, le=200, description="candidate parses of a picture")
    ink: float = Field(default=0.09, gt=0, description="spread of ink about a stroke, in sizes of a drawing")
    search: int = Field(default=16, ge=1, le=200, description="rounds of fitting a program to ink")
    turn: float = Field(default=1.0, ge=0, description="nats that ink across a stroke costs")


class Programs(nn.Module):
    """What is learned: how hands differ (`bend`), and how pens draw (`motor`)."""

    def __init__(self, knobs: Knobs) -> None:
        super().__init__()
        self.points, self.parses = knobs.points, knobs.parses
        self.ink = Ink(last=knobs.ink, turn=knobs.turn, steps=knobs.search)
        self.bend, self.motor = Bend(), Motor(knobs.kinds)

    def forward(self, drawing: Drawing) -> Float[Tensor, "B P P"]:
        return self.bend(drawing)


def prepare(knobs: Knobs, place: Place) -> Data[Written]:
    return written(place, knobs.background, knobs.points)


def build(knobs: Knobs, facts: Facts) -> Programs:
    return Programs(knobs)


def loss(model: Programs, batch: Written) -> dict[str, Tensor]:
    """-log density of how the second hand's points lie off the first's, in nats a point; a mean over the batch."""
    first = Drawing(batch.point[:, 0], batch.stroke[:, 0])
    return {"loss": nats(model(first), batch.point[:, 1] - batch.point[:, 0]).mean() / first.point.shape[1]}


def train(knobs: Knobs, model: Programs, data: Data[Written], run: Run) -> None:
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
        optimizer=torch.optim.Adam(model.parameters(), knobs.lr), schedule=cosine(knobs.steps))  # fmt: skip
    rows = next(iter(data.train.sweep(len(data.train))))
    model.motor.learn(split(Drawing(rows.point[:, 0].cpu(), rows.stroke[:, 0].cpu())), keyed(run.place.seed, "motor"))
    rng = keyed(run.place.seed, "shown")
    run.show(new=sheet([strung(model.motor.draw(rng), knobs.points) for _ in range(SHOWN)]))


def sheet(drawings: Sequence[tuple[Tensor, Tensor]]) -> Image:
    """Drawings side by side, in ink."""
    each = [drawn(centred(point[None]), SIDE, SCALE, PEN) for point, _ in drawings]
    return mosaic([Image.of((255 * one).byte()) for one in each], [""] * len(each), min(len(each), 6))


def program(model: Programs, skeleton: Bool[np.ndarray, "H W"]) -> tuple[Any, Any]:
    """Points and strokes of the likeliest of the candidate parses of a picture's thinned ink."""
    lines, rng = traced(skeleton), np.random.default_rng(0)
    best, found = np.inf, None
    for k in range(model.parses):
        strokes = [smoothed(path[:, ::-1]) for path in parsed(lines, rng if k else None)][: model.points]
        point, stroke = laid_along(strokes, model.points)
        drawing = Drawing(centred(torch.from_numpy(point)[None].float()), torch.from_numpy(stroke)[None])
        cost = model.motor.nats(split(drawing)[0])
        if cost < best:
            best, found = cost, (drawing.point[0], drawing.stroke[0])
        if all(len(line.path) == 1 for line in lines) or len(lines) == 1:
            break  # there is no other parse
    assert found is not None
    return found


@torch.no_grad()
def programs(model: Programs, ink: Bool[np.ndarray, "B H W"]) -> Drawing:
    """The program of each picture."""
    found = [program(model, skeleton) for skeleton in thinned(ink)]
    return Drawing(torch.stack([point for point, _ in found]), torch.stack([stroke for _, stroke in found]))


@torch.no_grad()
def costs(model: Programs, known: Drawing, asked: Drawing) -> Float[Tensor, "N M"]:
    """How unlikely each asked drawing is under each known one's program, and it under its, in nats a point. The second
    counts beyond what the other known programs make of it: simple drawings are likely under any."""
    n = len(known.point)
    one, other = model(known), model(asked)

    def matched(cov: Tensor, programs: Drawing, inks: Drawing) -> Float[Tensor, "I J"]:
        i = torch.arange(len(programs.point)).repeat_interleave(len(inks.point))
        j, found = torch.arange(len(inks.point)).repeat(len(programs.point)), []
        for a, b in zip(i.split(ABREAST), j.split(ABREAST), strict=True):
            first, second = Drawing(*(field[a] for field in programs)), Drawing(*(field[b] for field in inks))
            found.append(bent(cov[a], first, second, model.ink)[0])
        return torch.cat(found).view(len(programs.point), -1)

    back = matched(other, asked, known).T
    if n > 1:
        usual = matched(one, known, known).fill_diagonal_(0).sum(0) / (n - 1)
        back = back - usual[:, None]
    return matched(one, known, asked) + back


def score(knobs: Knobs, model: Programs, data: Data[Written], place: Place) -> dict[str, Score]:
    """`error`: of naming each second drawing of the official runs by the first ones of its run."""
    model = model.cpu()
    batch = next(iter(data.test.sweep(len(data.test))))
    image = unpacked(batch.image.cpu().numpy()) > 0
    known, asked = programs(model, image[:, 0]), programs(model, image[:, 1])
    wrong = 0
    for group in batch.group.unique():
        on = torch.as_tensor(batch.group == group).cpu()
        cost = costs(model, Drawing(*(field[on] for field in known)), Drawing(*(field[on] for field in asked)))
        wrong += int((cost.argmin(0) != torch.arange(len(cost))).sum())
    note = f"{len(batch.group.unique())} runs, 20-way 1-shot, likelihood both ways"
    return {"error": rate_score(wrong, len(batch.label), data.test, note=note, paper=4.2,
                                paper_data="these runs, both small backgrounds, Lake et al. 2019")}  # fmt: skip


def ink_of(images: Sequence[Image]) -> Bool[np.ndarray, "B H W"]:
    """The user's pictures as Omniglot's are: ink or none. UserError: a picture without ink."""
    return seen(images, FULL, BOX)[:, 0].numpy() > 127


def read(facts: Facts, images: Sequence[Image]) -> Written:
    ink = ink_of(images)
    none = torch.zeros(len(ink), 2, facts["points"], 2)
    bits = torch.from_numpy(np.packbits(ink, -1))[:, None].expand(-1, 2, -1, -1)
    which = torch.arange(len(ink))
    return Written(bits, none, torch.full(none.shape[:3], -1), which, torch.zeros_like(which))


def use(model: Programs, facts: Facts, images: Sequence[Image], *,
        learn: Annotated[str, "a folder with a folder of pictures, one or more, for each class", "path"] = "",
        seed: Annotated[int, "of the new drawings"] = 0) -> list[dict[str, Ranking | Image]]:  # fmt: skip
    """The strokes of each picture, and the same character drawn anew; with `learn`, which class it is of."""
    drawing = programs(model, ink_of(images))
    found: list[dict[str, Ranking | Image]] = [{} for _ in images]
    if learn:
        examples = classes(Path(learn), "bpl")
        far = torch.stack([costs(model, programs(model, ink_of(one)), drawing).amin(0) for one in examples.values()], 1)
        for answer, row in zip(found, far, strict=True):
            answer["answer"] = Ranking.of((-model.points * row).softmax(-1), list(examples))
    root = torch.linalg.cholesky(model(drawing))
    for k, answer in enumerate(found):
        rng = keyed(seed, "again")
        noise = torch.randn(SHOWN, model.points, 2, generator=rng)
        anew = drawing.point[k] + root[k] @ noise
        answer["strokes"] = coloured(drawing.point[k], drawing.stroke[k])
        answer["again"] = sheet([(point, drawing.stroke[k]) for point in anew])
    return found


def coloured(point: Float[Tensor, "P 2"], stroke: Tensor) -> Image:
    """A drawing with each stroke in a colour of its own."""
    tone = torch.tensor([[1, 0.35, 0.3], [0.3, 0.9, 0.4], [0.4, 0.55, 1], [1, 0.85, 0.2], [0.9, 0.4, 0.9]])
    page = torch.zeros(SIDE, SIDE, 3)
    for k in stroke.unique():
        page = torch.maximum(page, drawn(point[None, stroke == k], SIDE, SCALE, PEN)[0, ..., None] * tone[int(k) % 5])
    return Image((255 * page).byte().numpy())


PRESETS = {"quick": Knobs(), "paper": Knobs(kinds=100, parses=150, steps=2000), "second": Knobs(background="second")}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read)
