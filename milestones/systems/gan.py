"""A net learns to draw by deceiving another, which learns not to be deceived.

Paper       Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio (2014), Generative adversarial
            nets, arXiv:1406.2661, NeurIPS 27, algorithm 1. The class is told to both as Mirza & Osindero (2014),
            Conditional generative adversarial nets, arXiv:1411.1784.
Idea        nobody says what makes a picture good. A critic tells drawn pictures from real ones, and what draws follows
            the critic's gradient; where neither can gain, what is drawn is as what is real.
Deviations  convolutions (Radford et al. 2016) for maxout and sigmoid layers; the critic multiplies in the class (Miyato
            & Koyama 2018), and its slope at real pictures is held down (Mescheder et al. 2018), without which it may
            swing and never settle; Adam; a mean of the weights draws. What draws goes up the paper's second loss,
            log D(G(z)), from the start.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import blend, cosine
from ..core.plan import Plan
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data import Labelled
from ..data.drawings import answers, judge_of, noise_of, scores, shown, train_judge
from ..data.pictures import pictures
from ..media import Image, Text, mosaic
from ..parts.initial import he
from ..parts.quality import Judge

SLOPE = 0.2  # of the units where they are below 0
NOISE = 64  # numbers that a picture is made of, beside its class
LOOKS = 8  # at the pictures on the way


class Knobs(Config):
    width: int = Field(default=32, ge=4, le=512, description="channels at 14 x 14; twice that at 7 x 7")
    steps: int = Field(default=1800, ge=1, description="updates of each of the two nets")
    batch: int = Field(default=64, ge=4, description="real pictures per update, and as many drawn ones")
    lr: float = Field(default=1e-3, gt=0, description="Adam's step size at its peak")
    penalty: float = Field(default=1.0, ge=0, description="on the square of the critic's slope at real pictures")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights that draws")
    judge_steps: int = Field(default=700, ge=1, description="updates of the net that judges the pictures")


class Generator(nn.Module):
    """Pictures from noise and class: levels from -1 to 1."""

    def __init__(self, classes: int, channels: int, width: int) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, NOISE)
        self.start = nn.Linear(2 * NOISE, 2 * width * 49)
        self.small = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.large = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 4 * channels, 3, padding=1)
        he(self)

    def forward(self, noise: Float[Tensor, "B D"], label: Int[Tensor, "B"]) -> Float[Tensor, "B C 28 28"]:
        x = self.start(torch.cat([noise, self.label(label)], 1)).unflatten(1, (-1, 7, 7))  # B 2W 7 7
        x = self.small(F.leaky_relu(x, SLOPE))
        x = self.up(F.leaky_relu(x, SLOPE))  # B W 14 14
        x = self.large(F.leaky_relu(x, SLOPE))
        return F.pixel_shuffle(self.leave(F.leaky_relu(x, SLOPE)), 2).tanh()


class Critic(nn.Module):
    """How real a picture looks for one of its class: above 0 real, below 0 drawn."""

    def __init__(self, classes: int, channels: int, width: int) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1), nn.LeakyReLU(SLOPE),  # B W 14 14
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(SLOPE),  # B 2W 7 7
            nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Flatten(),
            nn.Linear(2 * width * 49, 4 * width), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.real, self.label = nn.Linear(4 * width, 1), nn.Embedding(classes, 4 * width)
        he(self)
        nn.init.normal_(self.label.weight, std=(4 * width) ** -0.5)

    def forward(self, image: Float[Tensor, "B C 28 28"], label: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
        found = self.seen(image)
        return self.real(found)[:, 0] + (found * self.label(label)).sum(1)


class Gan(nn.Module):
    """The critic and what it criticises; and beside them the net that judges, of which neither knows."""

    def __init__(self, critic: Critic, generator: Generator, judge: Judge) -> None:
        super().__init__()
        self.players, self.judge, self.noise = nn.ModuleList([critic, generator]), judge, (NOISE,)

    def draw(self, label: Int[Tensor, "B"], noise: Float[Tensor, "B D"]) -> Integer[Tensor, "B C 28 28"]:
        return levels(self.players[1](noise, label))


def levels(picture: Float[Tensor, "B C H W"]) -> Integer[Tensor, "B C H W"]:
    """Levels from -1 to 1 as uint8."""
    return ((picture + 1) * 127.5).round().clamp(0, 255).byte()


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    return pictures(place, default="digits", side=28)


def build(knobs: Knobs, facts: Facts) -> Gan:
    shape = len(facts["labels"]), facts["channels"], knobs.width
    return Gan(Critic(*shape), Generator(*shape), judge_of(facts))


def criticise(critic: nn.Module, batch: Labelled, image: Float[Tensor, "B C H W"], false: Float[Tensor, "B C H W"]
              ) -> dict[str, Tensor]:  # fmt: skip
    """The critic's loss in nats, the mean over as many real and drawn pictures (algorithm 1, its first gradient), and
    percent that it takes for what they are not."""
    real, drawn = critic(torch.cat([image, false]), batch.label.repeat(2)).float().chunk(2)
    value = F.softplus(-real).mean() + F.softplus(drawn).mean()
    fooled = 100 * ((real < 0).float().mean() + (drawn > 0).float().mean()) / 2
    return {"loss": value, "confused": fooled}


def steepness(critic: nn.Module, batch: Labelled, image: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """The mean square of the length of the critic's slope at real pictures, of a quarter of the batch."""
    few = len(image) // 4
    x = image[:few].detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x, batch.label[:few]).sum(), x, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def played(knobs: Knobs, players: nn.ModuleList, learners: Sequence[torch.optim.Optimizer], batch: Labelled, run: Run
           ) -> dict[str, Tensor]:  # fmt: skip
    """One update of the critic, then one of what it criticises, each by its own loss (algorithm 1 with k = 1)."""
    (critic, generator), image = players, batch.image.float() / 127.5 - 1
    with run.plan.running(run.place.device):
        false = generator(torch.randn(len(image), NOISE, device=image.device), batch.label).float()
        terms = criticise(critic, batch, image, false.detach())
    value = terms["loss"]
    if knobs.penalty:  # in float32: its gradient is a slope of a slope
        terms["slope"] = steepness(critic, batch, image)
        value = value + knobs.penalty / 2 * terms["slope"]
    learners[0].zero_grad()
    value.backward()
    run.average(critic)
    learners[0].step()
    critic.requires_grad_(False)  # it judges anew, and does not learn from this
    with run.plan.running(run.place.device):
        terms["found"] = F.softplus(-critic(false, batch.label).float()).mean()
    learners[1].zero_grad()
    terms["found"].backward()
    run.average(generator)
    learners[1].step()
    critic.requires_grad_(True)
    return terms


def train(knobs: Knobs, model: Gan, data: Data[Labelled], run: Run) -> None:
    players, rate = model.players, cosine(knobs.steps)

    def probe(twins: Any, plan: Plan) -> Tensor:
        batch = plan.lay(data.train.batch(0, knobs.batch))
        false = twins[1](torch.randn(len(batch.image), NOISE, device=batch.image.device), batch.label)
        return criticise(twins[0], batch, batch.image.float() / 127.5 - 1, false)["loss"]

    run.measure(players, probe, knobs.batch)  # the plan is that of the players: their judge is too small to tell
    train_judge(model.judge, data, run, knobs.judge_steps)
    run.measure(players, probe, knobs.batch)  # of its own work per picture again
    mean = copy.deepcopy(players[1])
    learners = [torch.optim.Adam(net.parameters(), knobs.lr, betas=(0.5, 0.99), fused=True) for net in players]
    for step in run.steps(knobs.steps, "train", model=players, critic=learners[0], generator=learners[1], mean=mean):
        for learner in learners:
            learner.param_groups[0]["lr"] = knobs.lr * rate(step)
        run.log(**played(knobs, players, learners, run.plan.lay(data.train.batch(step, knobs.batch)), run))
        blend(mean, players[1], min(knobs.average, (1 + step) / (10 + step)))
        if run.every(-(-knobs.steps // LOOKS)):
            run.show(drawn=on_the_way(model, mean, data))
    players[1].load_state_dict(mean.state_dict())
    if run.showing and not run.ended:
        run.show(**shown(model.eval(), model.draw, data))


@torch.no_grad()
def on_the_way(model: Gan, mean: nn.Module, data: Data[Labelled]) -> Image:
    """A picture of each class from the same noise each time, so that one sees what is learned."""
    label = torch.arange(min(10, len(data.facts["labels"])), device=next(mean.parameters()).device)
    image = levels(mean(noise_of(model, len(label), "shown").to(label.device), label))
    return mosaic([Image.of(one) for one in image], None, len(label))


def score(knobs: Knobs, model: Gan, data: Data[Labelled], place: Place) -> dict[str, Score]:
    return scores(model, model.draw, data)


def use(model: Gan, facts: Facts, texts: Sequence[Text], *,
        samples: Annotated[int, "pictures of each class"] = 4,
        seed: Annotated[int, "of the noise"] = 0) -> list[dict[str, Any]]:  # fmt: skip
    return answers(model, model.draw, facts, texts, samples, seed, "gan")


PRESETS = {
    "quick": Knobs(),
    "long": Knobs(width=48, steps=8000, average=0.999),
    "fashion": Knobs(width=48, steps=8000, average=0.999, judge_steps=2500),  # for --data fashion
    "paper": Knobs(width=128, steps=50_000, batch=128, lr=2e-4, average=0.999, judge_steps=5000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,))
