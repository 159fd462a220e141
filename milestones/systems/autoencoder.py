"""A net puts a picture into a few numbers and gets it back, better than the best linear code of as many.

Paper       Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks, Science 313(5786),
            504-507.
Idea        layers narrow to a code and widen again; what comes out shall be what went in. Such a deep net does not
            learn from small random weights by gradients alone, so each pair of layers first learns as a Boltzmann
            machine from what the one below says, and the stack is unrolled into both ways.
Deviations  Adam with a cosine for conjugate gradients; smaller layers in `quick`; machines of one step of contrastive
            divergence learn with a falling rate. Preset `scratch` leaves them out, to see what they are worth.
Scores      `reconstruction`: squared error of a pixel whose level lies from 0 to 1, mean over pixels and pictures;
            `probe_error`: percent of pictures whose class a linear reader of the code does not tell; `pca_...`: the
            same of as many principal components.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, mean_score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.likely import QUANTILES, likelihoods, quantiles, sheet
from ..data.pictures import pictures, seen
from ..data.rungs import pixels, probe_score, rungs
from ..media import Curve, Image, Media, Number, Text, pinned
from ..parts.boltzmann import RBM, contrast, gibbs, stepping
from ..parts.initial import glorot
from ..parts.likelihood import percentile
from ..parts.similarity import principal

LINEAR = 0.05  # the share of the step size for a machine whose hidden units are real numbers: they have no bound
PAPER = {"reconstruction": 3.0 / 784, "pca_reconstruction": 13.87 / 784}  # it has sums over the pixels
PINNED = 1000  # pictures on the sheet of codes


class Knobs(Config):
    hidden: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        default=(500, 250), max_length=8, description="units of the layers on the way to the code, and back"
    )
    code: int = Field(default=30, ge=1, le=1024, description="numbers of the code; with 2 it is shown as it is")
    pretrain: int = Field(default=1000, ge=0, description="updates of each layer's Boltzmann machine; 0: none is made")
    pretrain_lr: float = Field(default=0.1, gt=0, description="its step size at the beginning")
    steps: int = Field(default=5000, ge=1, description="optimiser updates of the whole net")
    batch: int = Field(default=100, ge=1, description="pictures per update")
    lr: float = Field(default=2e-3, gt=0, description="Adam's step size at its peak")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")


class Autoencoder(nn.Module):
    """Takes levels 0 to 255; called, the logits of the pixels that come back, "B P".

    `middle` and `axes` are the principal components of the training pictures, as many as the code has numbers; `usual`
    are quantiles of validation pictures' errors.
    """

    middle: Tensor
    axes: Tensor
    usual: Tensor

    def __init__(self, knobs: Knobs, side: int) -> None:
        super().__init__()
        self.side, count = side, side * side
        pairs = list(pairwise([count, *knobs.hidden, knobs.code]))
        self.up = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.down = nn.ModuleList(nn.Linear(b, a) for a, b in reversed(pairs))
        glorot(self)
        self.register_buffer("middle", torch.zeros(count))
        self.register_buffer("axes", torch.zeros(count, knobs.code))
        self.register_buffer("usual", torch.zeros(QUANTILES))

    def encode(self, image: Integer[Tensor, "B 1 H W"], depth: int | None = None) -> Float[Tensor, "B D"]:
        """The code, a linear layer's; or what the first `depth` layers of logistic units say."""
        x = pixels(image)
        for k, layer in enumerate(self.up[:depth]):
            x = layer(x) if k == len(self.up) - 1 else layer(x).sigmoid()
        return x

    def decode(self, code: Float[Tensor, "B D"]) -> Float[Tensor, "B P"]:
        """The logit of each pixel."""
        for k, layer in enumerate(self.down):
            code = layer(code.sigmoid() if k else code)
        return code

    def forward(self, image: Integer[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
        return self.decode(self.encode(image))

    def rebuilt(self, image: Integer[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
        """What comes back, levels from 0 to 1."""
        return self(image).sigmoid()

    def components(self, image: Integer[Tensor, "B 1 H W"]) -> Float[Tensor, "B D"]:
        """The code of the principal components."""
        return (pixels(image) - self.middle) @ self.axes

    def linear(self, image: Integer[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
        """What comes back from the principal components, levels about 0 to 1."""
        return self.middle + self.components(image) @ self.axes.T


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    return pictures(place, default="digits", side=28)


def build(knobs: Knobs, facts: Facts) -> Autoencoder:
    return Autoencoder(knobs, facts["side"])


def loss(model: Autoencoder, batch: Labelled) -> dict[str, Tensor]:
    """Cross-entropy of what comes back with what went in, in nats a picture, mean over the batch; and the squared error
    of a pixel."""
    said, want = model(batch.image), pixels(batch.image)
    gap = (said.sigmoid() - want).square().mean()
    return {"loss": cross_entropy(said, want).mean(), "reconstruction": gap}


def cross_entropy(said: Float[Tensor, "B P"], want: Float[Tensor, "B P"]) -> Float[Tensor, "B"]:
    """Of logits with levels from 0 to 1, in nats a picture."""
    return F.binary_cross_entropy_with_logits(said, want, reduction="none").sum(1)


def pretrain(knobs: Knobs, model: Autoencoder, data: Data[Labelled], run: Run) -> None:
    """Each layer as a Boltzmann machine of what the layers below it say of the pictures; then unrolled (figure 1)."""
    fall = cosine(knobs.pretrain)
    for k, (up, down) in enumerate(zip(model.up, reversed(model.down), strict=True)):
        last = k == len(model.up) - 1
        machine = RBM(up.in_features, up.out_features, last, keyed(run.place.seed, "machine", k)).to(run.place.device)
        lr = knobs.pretrain_lr * (LINEAR if last else 1)
        optimizer = stepping(machine, lr)
        for step in run.steps(knobs.pretrain, f"layer{k + 1}", model=machine, optimizer=optimizer):
            for group in optimizer.param_groups:
                group["lr"] = lr * fall(step)
            with torch.no_grad():
                v = model.encode(data.train.batch(step, knobs.batch).image, k)
            apart = contrast(machine, v, gibbs(machine, v, 1, run.rng))
            run.average(machine)
            optimizer.step()
            run.log(loss=apart)
        with torch.no_grad():
            up.weight.copy_(machine.weight.T)
            up.bias.copy_(machine.above)
            down.weight.copy_(machine.weight)
            down.bias.copy_(machine.below)


def train(knobs: Knobs, model: Autoencoder, data: Data[Labelled], run: Run) -> None:
    if knobs.pretrain:
        pretrain(knobs, model, data, run)
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
        optimizer=torch.optim.Adam(model.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
        average=knobs.average or None)  # fmt: skip
    model.middle, model.axes = main_axes(data.train, model.axes.shape[1])
    model.usual.copy_(quantiles(likelihoods(model, lambda image: errors(model.rebuilt, image), data.valid)))
    if run.showing and not run.ended:
        run.show(**shown(model.eval(), data))


def main_axes(source: Any, count: int) -> tuple[Float[Tensor, "P"], Float[Tensor, "P D"]]:
    """The mean picture, and the directions in which pictures differ most, as columns: the best linear code."""
    total, square, over = 0.0, 0.0, 0
    for batch in source.sweep(1000):
        x = pixels(batch.image).double()
        total, square, over = total + x.sum(0), square + x.T @ x, over + len(x)
    mean = total / over
    _, vectors = torch.linalg.eigh(square / over - mean[:, None] * mean)
    axes = torch.zeros(len(mean), count, dtype=torch.float64, device=mean.device)
    axes[:, : min(count, len(mean))] = vectors.flip(1)[:, :count]
    return mean.float(), axes.float()


def errors(back: Callable[[Tensor], Tensor], image: Tensor) -> Float[Tensor, "B"]:
    """The mean squared error of the pixels of each picture, levels from 0 to 1."""
    return (back(image).clamp(0, 1) - pixels(image)).square().mean(1)


@torch.no_grad()
def shown(model: Autoencoder, data: Data[Labelled]) -> dict[str, Any]:
    """Of validation pictures as they come: what comes back, of the net and of principal components; ways from one to
    another through the code and through the pixels; all codes as a picture. And, chosen, what comes back worst."""
    image, label = data.valid.batch(0, min(PINNED, len(data.valid)))
    was, ten = pixels(image), image[:10]
    code, linear = model.encode(image), model.components(image)
    worst = errors(model.rebuilt, image).argsort(descending=True)[:10]

    def levels(*rows: Tensor) -> Image:
        return sheet(255 * torch.cat(rows).unflatten(1, (model.side, model.side)), len(rows[0]))

    share = torch.linspace(0, 1, 10, device=image.device)[:, None]
    ways = [row for k in range(min(3, len(image) // 2)) for row in (
        model.decode(code[2 * k] * (1 - share) + code[2 * k + 1] * share).sigmoid(),
        was[2 * k] * (1 - share) + was[2 * k + 1] * share)]  # fmt: skip
    names = {"pixels": pixels, f"{code.shape[1]} principal components": model.components}
    names |= {f"{layer.out_features} units of layer {k + 1}": lambda image, k=k: model.encode(image, k + 1)
              for k, layer in enumerate(model.up[:-1])}  # fmt: skip
    found = {"rebuilt": levels(was[:10], model.rebuilt(ten), model.linear(ten)),
             "worst": levels(was[worst], model.rebuilt(image[worst]), model.linear(image[worst])),
             "rungs": rungs({**names, f"the code of {code.shape[1]}": model.encode}, data)}  # fmt: skip
    if ways:
        found["ways"] = levels(*ways)
    if code.shape[1] > 1 and len(image) > 2:
        spots = code if code.shape[1] == 2 else principal(code)[0]
        found["codes"] = pinned(spots, image[:, 0], label)
        found["codes_pca"] = pinned(linear[:, :2], image[:, 0], label)
    return found


@torch.no_grad()
def score(knobs: Knobs, model: Autoencoder, data: Data[Labelled], place: Place) -> dict[str, Score]:
    was, scores = model.training, {}
    model.eval()
    published = model.axes.shape[1] == 30  # of the code that the paper has for digits
    for name, back in (("reconstruction", model.rebuilt), ("pca_reconstruction", model.linear)):
        gap = torch.cat([errors(back, batch.image) for batch in data.test.sweep(500)])
        note = f"{model.axes.shape[1]} numbers; squared error of a pixel whose level lies from 0 to 1"
        paper = {"paper": PAPER[name], "paper_data": "MNIST test, 60,000 training images"} if published else {}
        scores[name] = mean_score(gap, "squared level", data.test, note=note, **paper)
    scores["probe_error"] = probe_score(model.encode, data, "the code")
    scores["pca_probe_error"] = probe_score(model.components, data, "principal components")
    model.train(was)
    return scores


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def use(model: Autoencoder, facts: Facts, images: Sequence[Image]) -> list[dict[str, Media]]:
    image = seen(facts, images)
    backs = {"rebuilt": model.rebuilt(image), "pca": model.linear(image)}
    pairs = {name: (255 * back.unflatten(1, (1, model.side, model.side))) for name, back in backs.items()}
    gaps = errors(model.rebuilt, image)
    found: list[dict[str, Media]] = []
    for k, (gap, low) in enumerate(zip(gaps.tolist(), percentile(gaps, model.usual).tolist(), strict=True)):
        code = model.encode(image[k : k + 1])[0].tolist()
        found.append({
            "answer": Text(f"{low:.0f} % of the validation pictures come back better"),
            "reconstruction": Number(float(f"{gap:.4g}"), "squared level of a pixel, from 0 to 1"),
            "strange": Number(round(low, 1), "% of the validation pictures come back better"),
            "seen": Image.of(image[k]), **{name: Image.of(pair[k]) for name, pair in pairs.items()},
            "code": Curve(list(range(1, len(code) + 1)), {"code": code}, "number of the code", "value"),
        })  # fmt: skip
    return found


PRESETS = {
    "quick": Knobs(),
    "plane": Knobs(hidden=(500, 250, 100), code=2),  # the paper's figure 3
    "scratch": Knobs(pretrain=0),
    "fashion": Knobs(pretrain=2000, steps=12_000),  # for --data fashion
    "paper": Knobs(hidden=(1000, 500, 250), pretrain=30_000, steps=100_000, average=0.0),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read, loss=loss)
