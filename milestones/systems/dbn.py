"""Machines that learn one on top of the other, without labels, give a deep net its start and draw pictures.

Paper       Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets, Neural Computation 18(7),
            1527-1554; log Z: Salakhutdinov & Murray (2008), On the quantitative analysis of deep belief networks, ICML.
Idea        a restricted Boltzmann machine learns what pictures have in common by one step of its own dreaming; the
            next one learns from what its hidden units say, and each raises a bound of the likelihood. The weights of
            all then begin a classifier, which labels have only to adjust.
Deviations  labels come in a softmax layer trained by gradients (Hinton & Salakhutdinov 2006), not in the top machine;
            the way down is not adjusted after the greedy learning (the paper's up-down algorithm); the machines'
            fantasies are chains that go on (Tieleman 2008) where `persistent`; the classifier, too, learns from bits
            drawn anew, by Adam with a cosine.
Scores      `error` of the classifier; `log_likelihood` of pictures under the machines alone, in nats, its terms beside
            it; `probe_error` of a linear reader of the top layer before any label was seen.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, error_score, mean_score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.likely import QUANTILES, asked, bits_anew, likelihoods, quantiles, sheet
from ..data.pictures import pictures, seen
from ..data.rungs import pixels, probe_score, rungs
from ..media import Image, Listing, Media, Number, Ranking, tiles
from ..parts.boltzmann import RBM, Chains, checked, contrast, gibbs, log_odds, partition, stepping
from ..parts.initial import glorot
from ..parts.layers import Normalise
from ..parts.likelihood import Terms, bernoulli, bits, importance, percentile
from ..parts.metrics import error_rate

RUNS = 100  # of annealing
FEW = 12  # hidden units of the part of each machine whose sum is made exactly, to check the annealing
ASKED, SEED = 20, 2006  # importance samples of a picture in `use`; of their noise


class Knobs(Config):
    hidden: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        default=(500, 500), min_length=1, max_length=8, description="hidden units of each machine, from the pixels up"
    )
    pretrain: int = Field(default=3000, ge=0, description="updates of each machine; 0: the classifier begins at random")
    pretrain_lr: float = Field(default=0.1, gt=0, description="a machine's step size at the beginning")
    persistent: bool = Field(default=True, description="fantasies go on from update to update, instead of beginning at "
                             "the data")  # fmt: skip
    rounds: int = Field(default=1, ge=1, le=1000, description="rounds of dreaming in an update: the k of CD-k")
    anneal: int = Field(default=1000, ge=10, description="temperatures from which log Z is estimated")
    scored: int = Field(default=20, ge=1, le=10_000, description="importance samples a test picture")
    steps: int = Field(default=1600, ge=1, description="optimiser updates of the classifier")
    batch: int = Field(default=100, ge=1, description="pictures per update")
    lr: float = Field(default=3e-3, gt=0, description="the classifier's step size at its peak")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of its weights; 0: none is kept")


class DBN(nn.Module):
    """Takes levels 0 to 255; called, the classifier's scores "B K". `machines` are as they were before any label.

    `partition` is log Z of the top machine with its interval, `usual` quantiles of -log p of validation pictures.
    """

    partition: Tensor
    usual: Tensor

    def __init__(self, hidden: Sequence[int], side: int, classes: int) -> None:
        super().__init__()
        self.side, sizes = side, list(pairwise([side * side, *hidden]))
        self.machines = nn.ModuleList(RBM(a, b) for a, b in sizes)
        layers = [part for a, b in sizes for part in (nn.Linear(a, b), nn.Sigmoid())]
        self.classifier = nn.Sequential(Normalise(0.0, 255.0), nn.Flatten(), *layers, nn.Linear(hidden[-1], classes))
        glorot(self.classifier)
        self.register_buffer("partition", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("usual", torch.zeros(QUANTILES))

    def forward(self, image: Integer[Tensor, "B 1 H W"] | Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B K"]:
        return self.classifier(image)

    def say(self, image: Integer[Tensor, "B 1 H W"], depth: int | None = None) -> Float[Tensor, "B D"]:
        """What the hidden units of the first `depth` machines, or of all, expect of the levels."""
        x = pixels(image)
        for machine in self.machines[:depth]:
            x = machine(x)
        return x

    def weights(self, image: Integer[Tensor, "B 1 H W"], samples: int, rng: torch.Generator) -> Float[Tensor, "S B"]:
        """Logarithms of importance weights of the pictures' bits: p(v, h1, h2, ...) / q(h1, h2, ... | v), of hidden
        units drawn on the way up; exact where there is but one machine (Salakhutdinov & Murray 2008, section 5)."""
        x, log_weight = bits(image).flatten(1)[None], torch.zeros(1, len(image), device=image.device)
        for machine in self.machines[:-1]:
            total = machine.total(x)
            # Drawn where the generator is: the same picture gets the same noise on any device.
            noise = torch.rand(samples, 1, total.shape[-1], generator=rng).to(total.device)
            h = (noise < total.sigmoid()).float()
            log_weight = log_weight + (bernoulli(x, machine.down(h)).sum(-1) - bernoulli(h, total.expand_as(h)).sum(-1))
            x = h
        return log_weight - self.machines[-1].free_energy(x) - self.partition[0].float()

    def dream(self, v: Float[Tensor, "B D"], rounds: int, rng: torch.Generator) -> Float[Tensor, "B H W"]:
        """Levels 0 to 255 of pictures drawn from the top machine after so many rounds from `v`, and down from it."""
        x = gibbs(self.machines[-1], v, rounds, rng)
        for machine in reversed(self.machines[1:-1]):
            x = machine.draw_down(x, rng)
        if len(self.machines) > 1:
            x = self.machines[0].down(x).sigmoid()
        return 255 * x.unflatten(1, (self.side, self.side))


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    return pictures(place, default="digits", side=28, augment=bits_anew)


def build(knobs: Knobs, facts: Facts) -> DBN:
    return DBN(knobs.hidden, facts["side"], len(facts["labels"]))


def loss(model: nn.Module, batch: Labelled) -> dict[str, Tensor]:
    scores = model(batch.image)
    return {"loss": F.cross_entropy(scores, batch.label), "error": error_rate(scores, batch.label)}


def below(model: DBN, k: int, image: Tensor, rng: torch.Generator) -> Float[Tensor, "B V"]:
    """What machine `k` learns from: bits, as they are drawn for training, or drawn units of the machine below."""
    x = bits(image).flatten(1)
    for machine in model.machines[:k]:
        x = machine.draw_up(x, rng)
    return x


@torch.no_grad()
def stacked(knobs: Knobs, model: DBN, data: Data[Labelled], run: Run) -> None:
    """Each machine by contrastive divergence, from the pixels up; then the classifier begins with their weights."""
    fall, device = cosine(knobs.pretrain), run.place.device
    model.machines[0].below.copy_(log_odds(averages(model, data.train)[0]))
    for k, machine in enumerate(model.machines):
        optimizer = stepping(machine, knobs.pretrain_lr)
        start = torch.Generator(device).manual_seed(run.place.seed)
        chains = Chains(below(model, k, data.train.batch(0, knobs.batch).image, start))
        for step in run.steps(knobs.pretrain, f"layer{k + 1}", model=machine, optimizer=optimizer, chains=chains):
            for group in optimizer.param_groups:
                group["lr"] = knobs.pretrain_lr * fall(step)
            v = below(model, k, data.train.batch(step, knobs.batch).image, run.rng)
            fantasy = gibbs(machine, chains.visible if knobs.persistent else v, knobs.rounds, run.rng)
            chains.visible.copy_(fantasy)
            apart = contrast(machine, v, fantasy)
            optimizer.step()
            run.log(loss=apart)
    for machine, layer in zip(model.machines, linear(model), strict=False):
        layer.weight.copy_(machine.weight.T)
        layer.bias.copy_(machine.above)


def linear(model: DBN) -> list[nn.Linear]:
    return [layer for layer in model.classifier if isinstance(layer, nn.Linear)]


def train(knobs: Knobs, model: DBN, data: Data[Labelled], run: Run) -> None:
    if knobs.pretrain:
        stacked(knobs, model, data, run)
    fit(model.classifier, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
        optimizer=torch.optim.Adam(model.classifier.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
        average=knobs.average or None)  # fmt: skip
    means, top = averages(model, data.train), model.machines[-1]
    found = partition(top, log_odds(means[-1]), knobs.anneal, RUNS, keyed_on(top, "anneal"))
    model.partition.copy_(torch.tensor(found, dtype=torch.float64))
    model.usual.copy_(quantiles(likelihoods(model, lambda image: nats(model, image, ASKED), data.valid, most=1000)))
    if run.showing and not run.ended:
        run.show(**shown(knobs, model.eval(), data, means))


def keyed_on(machine: nn.Module, *words: object) -> torch.Generator:
    """A generator of its own where the machine is."""
    device = next(machine.parameters()).device
    return torch.Generator(device).manual_seed(keyed(SEED, *words).initial_seed())


@torch.no_grad()
def averages(model: DBN, source: Any) -> list[Float[Tensor, "D"]]:
    """What each machine sees on the average, over the first pictures."""
    image = next(iter(source.sweep(2000))).image
    return [model.say(image, k).mean(0) for k in range(len(model.machines))]


@torch.no_grad()
def nats(model: DBN, image: Tensor, samples: int) -> Float[Tensor, "B"]:
    """A bound from above of -log p of each picture's bits, from the same noise for each: no neighbour matters."""
    return -importance(model.weights(image, samples, keyed(SEED, "nats")))


def annealing(knobs: Knobs, model: DBN, means: Sequence[Tensor]) -> Listing:
    """log Z of each machine cut to its first hidden units, exactly and by annealing; and of the top one as it is."""
    rows: list[list[str | float | None]] = []
    for k, (machine, mean) in enumerate(zip(model.machines, means, strict=True)):
        rng, few = keyed_on(machine, "check", k), min(FEW, len(machine.above))
        sure, found = checked(machine, log_odds(mean), few, knobs.anneal, RUNS, rng)
        rows.append([f"machine {k + 1}, {few} units", sure, *found, found.value - sure])
    value, low, high = model.partition.tolist()
    whole = [None, value, low, high, None] if high > low else [value, None, None, None, None]
    rows.append([f"machine {len(means)}, all {len(machine.above)} units", *whole])
    return Listing(["log Z, nats", "exact", "annealed", "from", "to", "difference"], rows)


@torch.no_grad()
def shown(knobs: Knobs, model: DBN, data: Data[Labelled], means: Sequence[Tensor]) -> dict[str, Any]:
    """Drawn by chance, not chosen: what the machines dream from nothing, and from validation pictures; what units of
    the first one look for; what a linear reader makes of each rung; whether annealing is right where that is known."""
    image, rng = data.valid.batch(0, 10).image, keyed_on(model, "shown")
    top, names = model.machines[-1], {"pixels": pixels}
    for k, machine in enumerate(model.machines):
        names[f"{machine.weight.shape[1]} units of machine {k + 1}"] = lambda image, k=k: model.say(image, k + 1)
    names["the classifier's last layer"] = model.classifier[:-1]
    nothing = torch.full((64, len(top.below)), 0.5, device=image.device).bernoulli(generator=rng)
    own = model.say(image, len(model.machines) - 1).bernoulli(generator=rng)
    after = [model.dream(own, rounds, rng) for rounds in (0, 1, 10, 100)]
    return {
        "dreamt": sheet(model.dream(nothing, 1000, rng), 8),
        "dreamt_on": sheet(torch.cat([image[:, 0].float(), *after]), len(image)),
        "filters": tiles(model.machines[0].weight.T[:64].unflatten(1, (1, model.side, model.side))),
        "rungs": rungs(names, data),
        "partition": annealing(knobs, model, means),
    }


def terms(model: DBN, samples: int) -> str:
    """How a likelihood was measured."""
    one, low, high = len(model.machines) == 1, *model.partition[1:].tolist()
    how = f"annealed, from {low:.2f} to {high:.2f}" if high > low else "an exact sum"
    said = str(Terms("binary", exact=one, samples=samples))
    return f"{said}; log Z {float(model.partition[0]):.2f}, {how}"


@torch.no_grad()
def score(knobs: Knobs, model: DBN, data: Data[Labelled], place: Place) -> dict[str, Score]:
    published = {"paper": 1.25, "paper_data": "MNIST test, 60,000 training images"}
    found = likelihoods(model, lambda image: nats(model, image, knobs.scored), data.test)
    test: Any = data.test
    cost = mean_score(found, "nats", test)
    half = cost.high - cost.value
    return {
        "error": error_score(model, data.test, **published),
        "log_likelihood": Score(-cost.value, -cost.value - half, -cost.value + half, "nats", "higher", test.name,
                                test.split, len(found), note=terms(model, knobs.scored)),
        "probe_error": probe_score(model.say, data, "the top layer's, before any label was seen"),
    }  # fmt: skip


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def use(model: DBN, facts: Facts, images: Sequence[Image], *,
        samples: Annotated[int, "pictures dreamt from each"] = 8,
        rounds: Annotated[int, "of dreaming, from what the machines make of the picture"] = 20,
        seed: Annotated[int, "of what is drawn"] = 0) -> list[dict[str, Media]]:  # fmt: skip
    asked(samples, 1.0, "dbn")
    if not 0 <= rounds <= 100_000:
        raise UserError("from 0 to 100,000 rounds of dreaming", str(rounds), "Thousands change a picture wholly", "dbn")
    image = seen(facts, images)
    found: list[dict[str, Media]] = []
    for one, chance in zip(image, model(image).softmax(-1), strict=True):
        cost = nats(model, one[None], ASKED)
        low = float(percentile(cost, model.usual))
        answer: dict[str, Media] = {
            "answer": Ranking.of(chance, facts["labels"]), "seen": Image.of(one),
            "log_likelihood": Number(round(-float(cost), 3), f"nats ({terms(model, ASKED)})"),
            "strange": Number(round(low, 1), "% of the validation pictures are likelier"),
        }  # fmt: skip
        if samples:
            rng = keyed_on(model, "use", seed)
            own = model.say(one[None], len(model.machines) - 1).expand(samples, -1).bernoulli(generator=rng)
            answer["dreamt"] = sheet(model.dream(own, rounds, rng))
        found.append(answer)
    return found


PRESETS = {
    "quick": Knobs(),
    "scratch": Knobs(pretrain=0),
    "small": Knobs(hidden=(500, 20)),  # whose log Z is an exact sum
    "one": Knobs(hidden=(500,)),  # a single machine, whose likelihood is no bound
    "fashion": Knobs(pretrain=5000, steps=8000),  # for --data fashion
    "paper": Knobs(hidden=(500, 500, 2000), pretrain=18_000, persistent=False, steps=30_000, anneal=14_500, scored=100),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read, loss=loss)
