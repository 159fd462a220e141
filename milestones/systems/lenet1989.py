"""The first convolutional net trained by back-propagation reads zip-code digits.

Paper       LeCun, Boser, Denker, Henderson, Howard, Hubbard & Jackel (1989), Backpropagation applied to handwritten
            zip code recognition, Neural Computation 1(4), 541-551.
Idea        one small detector slides over the picture with shared weights: 64,660 connections, 9,760 parameters.
Deviations  the paper does not print which 8 of the 12 maps each map of H2 reads (three groups of four here: maps 0-7,
            4-11, and 0-3 with 8-11); plain stochastic gradient steps, divided by the root of the fan-in, for its
            diagonal Newton steps. The preset `modern` keeps the net's size and takes today's training.
Result      paper: error 5.24 ± 0.52 %, 5 seeds, USPS test, 7,291 training images, 27.7 s; modern: error 2.96
            ± 0.25 %, 5 seeds, USPS test, 7,291 training images, 19.4 s, on 2 cores of AMD EPYC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, evaluate, fit
from ..core.run import Run
from ..core.score import Score, error_score
from ..core.source import Data, Facts, Place
from ..core.system import Probe, System
from ..data import Labelled
from ..data.pictures import pictures, seen
from ..media import Image, Ranking, tiles
from ..parts.distort import distorted
from ..parts.layers import Normalise
from ..parts.metrics import error_rate

CHUNK = 64  # patterns in one step of the run; each still has its own update
MAPS = [*range(0, 8), *range(4, 12), *range(0, 4), *range(8, 12)]  # what the three groups of H2 read


class Knobs(Config):
    passes: int = Field(default=23, ge=1, description="passes through the training set")
    modern: bool = Field(default=False, description="ReLU, softmax, AdamW and distortions instead of the paper's way")
    batch: int = Field(default=64, ge=1, description="pictures an update, when modern; else each has its own")
    lr: float = Field(default=0.03, gt=0, description="step size, divided by the root of the fan-in; or AdamW's")
    decay: float = Field(default=0.01, ge=0, description="AdamW's weight decay, when modern")
    shift: float = Field(default=1.0, ge=0, le=8, description="random shift, pixels, when modern")
    rotate: float = Field(default=8.0, ge=0, le=180, description="random rotation, degrees, when modern")
    elastic: float = Field(default=0.4, ge=0, le=5, description="elastic distortion, pixels, when modern")


HEIGHT, PACE = 1.7159, 2 / 3  # of the paper's scaled tangent: about +-1 at +-1, steepest where it matters


def squash(x: Tensor) -> Tensor:
    """The paper's scaled hyperbolic tangent, 1.7159 tanh(2x/3)."""
    return HEIGHT * torch.tanh(PACE * x)


class LeNet1989(nn.Module):
    """9,760 parameters for ten classes. Takes raw grey levels, 0 to 255; each unit has a bias of its own."""

    maps: Tensor

    def __init__(self, classes: int, modern: bool) -> None:
        super().__init__()
        self.squash = torch.relu if modern else squash
        self.modern = modern
        self.normalise = Normalise(127.5, 127.5)  # ink 1, background -1

        def weight(fan_in: int, *shape: int) -> nn.Parameter:
            reach = math.sqrt(6 / fan_in) if modern else 2.4 / fan_in  # the paper's
            return nn.Parameter((2 * torch.rand(*shape) - 1) * reach)

        self.w1, self.b1 = weight(25, 12, 1, 5, 5), nn.Parameter(torch.zeros(12, 8, 8))
        self.w2, self.b2 = weight(200, 12, 8, 5, 5), nn.Parameter(torch.zeros(12, 4, 4))
        self.w3, self.b3 = weight(192, 30, 192), nn.Parameter(torch.zeros(30))
        self.w4, self.b4 = weight(30, classes, 30), nn.Parameter(torch.zeros(classes))
        self.register_buffer("maps", torch.tensor(MAPS), persistent=False)

    def forward(self, image: Integer[Tensor, "B 1 16 16"] | Float[Tensor, "B 1 16 16"]) -> Float[Tensor, "B K"]:
        edge = 0.0 if self.modern else -1.0
        x = F.pad(self.normalise(image), (2, 2, 2, 2), value=-1.0)  # B 1 20 20
        h1 = self.squash(F.conv2d(x, self.w1, stride=2) + self.b1)  # B 12 8 8
        h1 = F.pad(h1, (2, 2, 2, 2), value=edge)[:, self.maps]  # B 24 12 12
        h2 = self.squash(F.conv2d(h1, self.w2, stride=2, groups=3) + self.b2)  # B 12 4 4
        h3 = self.squash(F.linear(h2.flatten(1), self.w3, self.b3))  # B 30
        out = F.linear(h3, self.w4, self.b4)
        return out if self.modern else squash(out)


class Stochastic:
    """The paper's way, one pattern at a time: forward, back-propagation and update written out on the net's weights.

    Autograd would take several times as long for so small a net, all of it overhead. For the same reason units are
    kept as plain tanh, u = y / 1.7159, and the constants of `squash` go into the products' factors.
    """

    def __init__(self, net: LeNet1989, lr: float) -> None:
        views = (net.w1.view(12, 25), net.b1.view(12, 64), net.w2.view(3, 4, 200), net.b2.view(3, 4, 16),
                 net.w3, net.b3, net.w4, net.b4)  # fmt: skip
        self.weights = [view.detach() for view in views]
        self.turned = [w.transpose(-1, -2) for w in (self.weights[2], self.weights[4], self.weights[6])]  # views, too
        both = HEIGHT * PACE  # a layer's share in the errors' factor; see `update`
        self.rates = [-lr / fan_in**0.5 * HEIGHT * both**n for fan_in, n in ((25, 4), (200, 3), (192, 2), (30, 1))]
        at = torch.arange(12 * 12 * 12.0).view(1, 12, 12, 12)
        windows = F.unfold(at, 5, stride=2).view(12, 25, 16)[MAPS]
        self.windows = windows.long().flatten()  # which units of padded H1 each unit of H2 sees
        self.padded = torch.full((12, 12, 12), -1 / HEIGHT)
        self.inner = self.padded[:, 2:10, 2:10]
        self.error = torch.zeros(12 * 12 * 12)
        self.inner_error = self.error.view(12, 12, 12)[:, 2:10, 2:10]

    @staticmethod
    def patches(image: Float[Tensor, "B 1 16 16"]) -> Float[Tensor, "B 25 64"]:
        """What each of the 64 units of a map of H1 sees."""
        return F.unfold(F.pad(image, (2, 2, 2, 2), value=-1.0), 5, stride=2)

    def update(self, patch: Float[Tensor, "25 64"], target: Float[Tensor, "K"]) -> Float[Tensor, "K"]:
        """One step down half the squared error of one pattern; the output's error before it, divided by HEIGHT."""
        w1, b1, w2, b2, w3, b3, w4, b4 = self.weights
        w2t, w3t, w4t = self.turned
        slope, both = torch.ops.aten.tanh_backward.default, HEIGHT * PACE  # slope(e, u) = e (1 - u^2)
        u1 = torch.addmm(b1, w1, patch, beta=PACE, alpha=PACE).tanh_()  # 12 64
        self.inner.copy_(u1.view(12, 8, 8))
        window = self.padded.view(-1).index_select(0, self.windows).view(3, 200, 16)
        u2 = torch.baddbmm(b2, w2, window, beta=PACE, alpha=both).tanh_()  # 3 4 16
        v2 = u2.view(192)
        u3 = torch.addmv(b3, w3, v2, beta=PACE, alpha=both).tanh_()
        u4 = torch.addmv(b4, w4, u3, beta=PACE, alpha=both).tanh_()
        wrong = torch.sub(u4, target, alpha=1 / HEIGHT)
        e4 = slope(wrong, u4)  # each e, times HEIGHT and a factor of `both` a layer, is the error at the layer's sum
        e3 = slope(torch.mv(w4t, e4), u3)
        e2 = slope(torch.mv(w3t, e3).view(3, 4, 16), u2)
        back = torch.bmm(w2t, e2)  # each window's error, added up where windows overlap
        self.error.zero_().scatter_add_(0, self.windows, back.view(-1))
        e1 = slope(self.inner_error.reshape(12, 64), u1)
        r1, r2, r3, r4 = self.rates
        w4.addr_(e4, u3, alpha=r4 * HEIGHT), b4.add_(e4, alpha=r4)
        w3.addr_(e3, v2, alpha=r3 * HEIGHT), b3.add_(e3, alpha=r3)
        w2.baddbmm_(e2, window.transpose(1, 2), alpha=r2 * HEIGHT), b2.add_(e2, alpha=r2)
        w1.addmm_(e1, patch.t(), alpha=r1), b1.add_(e1, alpha=r1)
        return wrong


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    distort = distorted(shift=knobs.shift, rotate=knobs.rotate, scale=0.1, slant=0.1, elastic=knobs.elastic)
    return pictures(place, default="digits", side=16, augment=distort if knobs.modern else None)


def build(knobs: Knobs, facts: Facts) -> LeNet1989:
    return LeNet1989(len(facts["labels"]), knobs.modern)


def loss(model: LeNet1989, batch: Labelled) -> dict[str, Tensor]:
    out = model(batch.image)
    if model.modern:
        return {"loss": F.cross_entropy(out, batch.label), "error": error_rate(out, batch.label)}
    target = 2.0 * F.one_hot(batch.label, out.shape[1]) - 1
    return {"loss": 0.5 * (out - target).square().sum(1).mean(), "error": error_rate(out, batch.label)}


def train(knobs: Knobs, model: LeNet1989, data: Data[Labelled], run: Run) -> None:
    if knobs.modern:
        steps = knobs.passes * len(data.train) // knobs.batch
        optimizer = torch.optim.AdamW(model.parameters(), knobs.lr, weight_decay=knobs.decay, fused=True)
        fit(model, loss, data.train, run, steps=steps, batch=knobs.batch, valid=data.valid, average=0.999,
            optimizer=optimizer, schedule=cosine(steps))  # fmt: skip
    else:
        present(knobs, model, data, run)
    run.show(filters=tiles(model.w1))


@torch.inference_mode()
def present(knobs: Knobs, model: LeNet1989, data: Data[Labelled], run: Run) -> None:
    """Each pattern in turn, with an update after each."""
    torch.set_num_threads(1)  # products this small are slower on two
    net, steps = Stochastic(model, knobs.lr), knobs.passes * len(data.train) // CHUNK
    targets = 2 * torch.eye(len(model.b4)) - 1
    for step in run.steps(steps, model=model):
        batch = data.train.batch(step, CHUNK)
        patches = net.patches(model.normalise(batch.image))
        patterns = zip(patches.unbind(), targets[batch.label].unbind(), strict=True)
        wrong = torch.stack([net.update(patch, target) for patch, target in patterns]) * HEIGHT
        run.log(loss=0.5 * wrong.square().sum(1).mean())
        if run.every(len(data.train) // CHUNK):
            run.log(**{f"valid_{name}": value for name, value in evaluate(model, loss, data.valid).items()})


def score(knobs: Knobs, model: LeNet1989, data: Data[Labelled], place: Place) -> dict[str, Score]:
    return {"error": error_score(model, data.test, paper=5.0, paper_data="USPS test, 7,291 training images")}


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def scores(model: nn.Module, image: Tensor) -> Float[Tensor, "B K"]:
    """What softmax turns into chances: squared error leaves none, so that the paper's outputs are spread."""
    return model(image) if model.modern else 4 * model(image)


def probe(model: LeNet1989, batch: Labelled) -> Probe:
    return Probe(batch.image.float(), 0.0, 255.0, partial(scores, model), batch.label)


def use(model: LeNet1989, facts: Facts, images: Sequence[Image]) -> list[dict[str, Ranking | Image]]:
    image = seen(facts, images)
    chance = scores(model, image).softmax(-1)
    return [
        {"answer": Ranking.of(row, facts["labels"]), "seen": Image(picture[0].numpy())}
        for row, picture in zip(chance, image, strict=True)
    ]


MODERN = Knobs(modern=True, passes=40, lr=0.004)
system = System(
    Knobs, {"quick": Knobs(), "paper": Knobs(), "modern": MODERN}, prepare, build, train, score, use,
    takes=(Image,), read=read, loss=loss, probe=probe,
)  # fmt: skip
