"""Noise flows into pictures of a wanted class, along paths that are all but straight.

Paper       Lipman, Chen, Ben-Hamu, Nickel & Le (2023), Flow matching for generative modeling, arXiv:2210.02747, ICLR
            2023, section 4.1, example II. Guided by the class as Ho & Salimans (2022), Classifier-free diffusion
            guidance, arXiv:2207.12598.
Idea        mix a picture with noise, in any share, and let a net tell in which direction the picture lies: plain
            regression. Followed from pure noise in a few steps, the directions end at pictures nobody has seen.
Deviations  the smallest spread is 0, so paths end at the pictures themselves; times of a batch lie in even steps from a
            random one; a small net without normalisation in place of the paper's U-Net; the midpoint rule with few
            steps in place of an adaptive solver. The class is told, and hidden from every tenth example.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.drawings import answers, drawn, judge_of, noise_of, scores, shown, train_judge
from ..data.pictures import pictures
from ..media import Curve, Image, Text, mosaic
from ..parts.initial import he
from ..parts.quality import Judge

MOVES, GUIDANCE = 4, 1.5  # of the sampler, unless told otherwise
MOST_MOVES = 1000
WAVES = 16  # frequencies that a time is told by
TRIED = 10  # pictures of each class for the curve over the moves


class Knobs(Config):
    width: int = Field(default=32, ge=4, le=512, multiple_of=4, description="channels at 14 x 14; twice that at 7 x 7")
    blocks: int = Field(default=3, ge=1, le=16, description="blocks at 7 x 7; at 14 x 14 there are two")
    hidden: float = Field(default=0.1, ge=0, lt=1, description="share of the training examples whose class is hidden")
    steps: int = Field(default=1800, ge=1, description="optimiser updates")
    batch: int = Field(default=64, ge=1, description="pictures per update")
    lr: float = Field(default=2e-3, gt=0, description="Adam's step size at its peak")
    average: float = Field(default=0.995, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    moves: int = Field(default=MOVES, ge=1, le=MOST_MOVES, description="from noise to a picture that is scored")
    guidance: float = Field(default=GUIDANCE, ge=0, le=100, description="1: as learned; more: towards what is typical "
                            "of the class")  # fmt: skip
    judge_steps: int = Field(default=700, ge=1, description="updates of the net that judges the pictures")


class Block(nn.Module):
    """Two 3 x 3 layers, what is between them scaled and shifted by the time and the class; and the shortcut around."""

    def __init__(self, inputs: int, outputs: int, told: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.told = nn.Linear(told, 2 * outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "B C H W"], told: Float[Tensor, "B D"]) -> Float[Tensor, "B c H W"]:
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        found = self.first(F.silu(x)) * (1 + scale) + shift
        return self.shortcut(x) + self.second(F.silu(found))


class Velocity(nn.Module):
    """The direction from noise to picture, at any time between: levels from -1 to 1, time from 0 (noise) to 1."""

    wave: Tensor

    def __init__(self, classes: int, channels: int, width: int, blocks: int, hidden: float) -> None:
        super().__init__()
        self.classes, self.hidden, told = classes, hidden, 4 * width
        self.register_buffer("wave", torch.exp(torch.linspace(0, math.log(100), WAVES)), persistent=False)
        self.label = nn.Embedding(classes + 1, told)  # the last one: whatever class
        self.time = nn.Linear(2 * WAVES, told)
        self.mix = nn.Linear(told, told)
        self.enter = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.above = Block(width, width, told)
        self.down = nn.Conv2d(width, 2 * width, 2, 2)
        self.below = nn.ModuleList(Block(2 * width, 2 * width, told) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.again = Block(2 * width, width, told)
        self.leave = nn.Conv2d(width, 4 * channels, 3, padding=1)
        he(self)
        for block in self.modules():
            if isinstance(block, Block):
                nn.init.zeros_(block.second.weight)  # it begins as its shortcut
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Float[Tensor, "B C H W"], time: Float[Tensor, "B"], label: Int[Tensor, "B"]
                ) -> Float[Tensor, "B C H W"]:  # fmt: skip
        if self.training and self.hidden:
            label = label.masked_fill(torch.rand(label.shape, device=label.device) < self.hidden, self.classes)
        turn = time[:, None] * self.wave
        told = F.silu(self.time(torch.cat([turn.sin(), turn.cos()], 1)) + self.label(label))
        told = F.silu(self.mix(told))
        x = above = self.above(self.enter(F.pixel_unshuffle(x, 2)), told)  # B W 14 14
        x = self.down(x)  # B 2W 7 7
        for block in self.below:
            x = block(x, told)
        x = self.again(torch.cat([self.up(x), above], 1), told)
        return F.pixel_shuffle(self.leave(F.silu(x)), 2)


class Flow(nn.Module):
    """The net that draws, and beside it the net that judges what it drew, of which it knows nothing."""

    def __init__(self, net: Velocity, judge: Judge, noise: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.judge, self.noise = net, judge, noise

    def forward(self, x: Float[Tensor, "B C H W"], time: Float[Tensor, "B"], label: Int[Tensor, "B"]
                ) -> Float[Tensor, "B C H W"]:  # fmt: skip
        return self.net(x, time, label)

    def velocity(self, x: Tensor, time: float, label: Int[Tensor, "B"], guidance: float) -> Float[Tensor, "B C H W"]:
        """The direction for the class, `guidance` times as far from that for whatever class."""
        at = x.new_full((len(x),), time)
        if guidance == 1:
            return self.net(x, at, label)
        none = torch.full_like(label, self.net.classes)
        asked, free = self.net(x.repeat(2, 1, 1, 1), at.repeat(2), torch.cat([label, none])).chunk(2)
        return free + guidance * (asked - free)

    def way(self, label: Int[Tensor, "B"], noise: Float[Tensor, "B C H W"], moves: int = MOVES,
            guidance: float = GUIDANCE) -> list[Integer[Tensor, "B C H W"]]:  # fmt: skip
        """The pictures after each move from noise, by the midpoint rule: uint8, the noise itself first."""
        x, found = noise, [noise]
        for k in range(moves):
            half = x + self.velocity(x, k / moves, label, guidance) / (2 * moves)
            x = x + self.velocity(half, (k + 0.5) / moves, label, guidance) / moves
            found.append(x)
        return [((one + 1) * 127.5).round().clamp(0, 255).byte() for one in found]

    def draw(self, label: Int[Tensor, "B"], noise: Float[Tensor, "B C H W"], moves: int = MOVES,
             guidance: float = GUIDANCE) -> Integer[Tensor, "B C H W"]:  # fmt: skip
        return self.way(label, noise, moves, guidance)[-1]


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    return pictures(place, default="digits", side=28)


def build(knobs: Knobs, facts: Facts) -> Flow:
    net = Velocity(len(facts["labels"]), facts["channels"], knobs.width, knobs.blocks, knobs.hidden)
    return Flow(net, judge_of(facts), (facts["channels"], facts["side"], facts["side"]))


def loss(model: nn.Module, batch: Labelled) -> dict[str, Tensor]:
    """Squared error of the direction, mean over pixels and batch (equation 23 with a smallest spread of 0)."""
    image = batch.image.float() / 127.5 - 1
    rng = None if model.training else keyed("flow", len(image))  # so that two evaluations say the same
    noise = torch.randn(image.shape, generator=rng).to(image.device)
    time = (torch.arange(len(image)) / len(image) + torch.rand(1, generator=rng)).to(image.device) % 1
    share = time[:, None, None, None]
    said = model(share * image + (1 - share) * noise, time, batch.label)
    return {"loss": F.mse_loss(said.float(), image - noise)}


def train(knobs: Knobs, model: Flow, data: Data[Labelled], run: Run) -> None:
    # The plan is that of the net that draws: its judge is too small to tell.
    run.measure(
        model.net, lambda twin, plan: loss(twin, plan.lay(data.train.batch(0, knobs.batch)))["loss"], knobs.batch
    )
    train_judge(model.judge, data, run, knobs.judge_steps)
    fit(model.net, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=1.0,
        optimizer=torch.optim.Adam(model.net.parameters(), knobs.lr, betas=(0.9, 0.99), fused=True),
        schedule=cosine(knobs.steps, min(100, knobs.steps // 10)), average=knobs.average or None)  # fmt: skip
    if run.showing and not run.ended:
        run.show(**pictured(knobs, model.eval(), data))


@torch.no_grad()
def pictured(knobs: Knobs, model: Flow, data: Data[Labelled]) -> dict[str, Image | Curve]:
    """Random pictures, the way from noise to some, and what fewer or more moves are worth."""
    kinds, device = len(data.facts["labels"]), next(model.parameters()).device
    label = torch.arange(kinds, device=device)
    noise = noise_of(model, kinds, "shown").to(device)[:4]
    steps = model.way(label[:4], noise, knobs.moves, knobs.guidance)
    frames = [Image.of(one) for row in zip(*steps, strict=True) for one in row]
    times = [f"{k / knobs.moves:.2f}" for k in range(knobs.moves + 1)] * len(noise)
    each = label.repeat(TRIED)
    noise, moves = noise_of(model, len(each), "moves"), [1, 2, 4, 8]
    lines: dict[str, list[float]] = {"guided": [], "as learned": []}
    for name, guidance in zip(lines, (knobs.guidance, 1.0), strict=True):
        for count in moves:
            image = drawn(partial(model.draw, moves=count, guidance=guidance), each, noise)
            lines[name].append(100 * float((model.judge(image).argmax(-1) == each).float().mean()))
    draw = partial(model.draw, moves=knobs.moves, guidance=knobs.guidance)
    return {**shown(model, draw, data), "way": mosaic(frames, times, knobs.moves + 1),
            "moves": Curve(moves, lines, "moves from noise", "read as what was asked for, %", logx=True)}  # fmt: skip


def score(knobs: Knobs, model: Flow, data: Data[Labelled], place: Place) -> dict[str, Score]:
    return scores(model, partial(model.draw, moves=knobs.moves, guidance=knobs.guidance), data)


def use(model: Flow, facts: Facts, texts: Sequence[Text], *,
        samples: Annotated[int, "pictures of each class"] = 4,
        moves: Annotated[int, "from noise to picture; each asks the net twice"] = MOVES,
        guidance: Annotated[float, "1: as learned; more: towards what is typical of the class"] = GUIDANCE,
        seed: Annotated[int, "of the noise"] = 0) -> list[dict[str, Any]]:  # fmt: skip
    if not 1 <= moves <= MOST_MOVES:
        raise UserError(f"--moves from 1 to {MOST_MOVES}", str(moves), f"For example --moves {MOVES}", "flow")
    if not 0 <= guidance <= 100:
        raise UserError("--guidance from 0 to 100", f"{guidance:g}", f"For example --guidance {GUIDANCE}", "flow")
    return answers(model, partial(model.draw, moves=moves, guidance=guidance), facts, texts, samples, seed, "flow")


PRESETS = {
    "quick": Knobs(),
    "long": Knobs(width=48, steps=6000, batch=64, average=0.999),
    "fashion": Knobs(width=48, steps=6000, batch=64, average=0.999, judge_steps=2500),  # for --data fashion
    "paper": Knobs(width=256, blocks=8, steps=400_000, batch=256, lr=5e-4, average=0.9999, judge_steps=5000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), loss=loss)
