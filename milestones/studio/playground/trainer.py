"""The net of the playground: trained update by update, changed by hand on the way; equal settings give equal bits.

The net and its loss are those of the page `mlp`; the loop is here, since it stops after each slice of time. All
randomness is drawn from the settings' seed alone, and the curve has a point for each epoch, so that nothing depends on
how fast the machine is or when somebody looked.
"""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...catalog import find, page
from ...core.errors import UserError
from ...core.source import Facts
from ...data import Rows
from ...parts import plane
from .points import Own
from .settings import MOST_CHANGES, WHO, Change, Settings, change, changes

WINDOW = 6.0  # the plane is shown from -6 to 6
UNIT, OUTPUT = 24, 100  # pixels along a side of a unit's map, and of the output's
MOST_EPOCHS = 100_000
PATH = 300  # points of the path that are kept, at most
RULES = {
    "sgd": lambda weights, lr: torch.optim.SGD(weights, lr=lr),
    "momentum": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9),
    "nesterov": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9, nesterov=True),
    "adagrad": lambda weights, lr: torch.optim.Adagrad(weights, lr=lr),
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr=lr),
    "adam": lambda weights, lr: torch.optim.Adam(weights, lr=lr),
}


def examples(made: Settings, own: Own | None) -> tuple[Tensor, Tensor, int]:
    """Points "N 2" in random order, their classes or values "N", and how many of them are for training."""
    rng = torch.Generator().manual_seed(made.seed)
    noise = made.noise / 100
    if made.data == "own":
        if own is None:
            raise UserError("points of your own", "none", "Draw some, or load a CSV file", WHO)
        point, target = own.tensors(made.problem)
    elif made.data in plane.CLASSES:
        point, target = plane.CLASSES[made.data](made.examples, noise, made.classes, rng)
    elif made.data in plane.VALUES:
        point, target = plane.VALUES[made.data](made.examples, noise, rng)
    elif made.data == "above":
        f = made.function
        point, target = plane.above(made.examples, noise, rng, lambda x: f(x, x))
    else:
        point, target = plane.surface(made.examples, noise, rng, made.function)
    if not (target.abs() < 1e4).all():
        raise UserError("a formula that is below 10,000 everywhere", made.formula, "Shrink it, or shift it", WHO)
    order = torch.randperm(len(point), generator=rng)
    return point[order], target[order], max(1, len(point) * made.share // 100)


class Trainer:
    """An experiment under way: `step` updates are done."""

    def __init__(self, made: Settings, own: Own | None = None) -> None:
        self.settings, self.own, system = made, own, page(find("mlp")).system
        self.formulas = made.formulas
        self.points, target, self.cut = examples(made, own)
        self.inputs = self.features(self.points[:, 0], self.points[:, 1])
        if not self.inputs.isfinite().all() or self.inputs.abs().max() > 1e6:
            raise UserError("inputs that are below a million everywhere", ", ".join(made.inputs), "Change them", WHO)
        self.labels = own.labels if own else tuple(str(k) for k in range(made.classes))
        train = self.inputs[: self.cut]
        spread = train.std(0, correction=0)
        spread[spread == 0] = 1
        facts: Facts = {"inputs": len(self.formulas), "mean": train.mean(0).tolist(), "spread": spread.tolist()}
        if made.problem == "classes":
            facts["labels"] = list(self.labels)
        else:
            known = target[: self.cut]
            facts["target_mean"] = float(known.mean())
            facts["target_spread"] = float(known.std(correction=0)) or 1.0
        self.facts, self.target, self.scale = facts, target, _middle(target)
        known = {"hidden": made.hidden, "activation": made.activation, "squared": made.squared, "decay": 0.0}
        self.model, self.page_loss = system.build(system.Config(**known), facts), system.loss
        self.model.draw(torch.Generator().manual_seed(made.seed))
        self.weights = [layer.weight for layer in self.model.layers]
        self.optimizer = RULES[made.method](self.model.parameters(), made.lr)
        self.per_epoch = math.ceil(self.cut / made.batch)
        self.step, self.lr, self.decay = 0, made.lr, made.decay
        self._order = (-1, torch.empty(0))
        self.curve: list[list[float]] = []  # of each epoch from 0: loss and error in training, and on the test points
        self.path, self._stride = [], 1  # the weights on the way
        self.record()
        self.changes = changes(made)
        for one in self.changes:
            self._check(one)
        self._apply()

    def features(self, x: Tensor, y: Tensor) -> Tensor:
        """What goes into the net, "... D", raw."""
        return torch.stack([formula(x, y) for formula in self.formulas], -1)

    def rows(self, part: Any) -> Rows:
        return Rows(self.inputs[part], self.target[part])

    def penalised(self, model: Any, batch: Rows) -> dict[str, Tensor]:
        """The page's loss with the penalty added, and the loss without it as "bare"."""
        terms = self.page_loss(model, batch)
        total = terms["loss"]
        if self.settings.penalty == "l1":
            total = total + self.decay * sum(layer.weight.abs().sum() for layer in model.layers)
        elif self.settings.penalty == "l2":
            total = total + self.decay / 2 * sum(layer.weight.square().sum() for layer in model.layers)
        return {**terms, "loss": total, "bare": terms["loss"]}

    def update(self) -> None:
        """One step of the rule on the next batch; each epoch takes the points in another order."""
        epoch, at = divmod(self.step, self.per_epoch)
        if self._order[0] != epoch:
            rng = torch.Generator().manual_seed(self.settings.seed + 1 + epoch)
            self._order = epoch, torch.randperm(self.cut, generator=rng)
        index = self._order[1][at * self.settings.batch : (at + 1) * self.settings.batch]
        self.optimizer.zero_grad()
        self.penalised(self.model, self.rows(index))["loss"].backward()
        self.optimizer.step()
        self.step += 1
        if self.step % self.per_epoch == 0:
            self.record()
        self._apply()

    def advance(self, updates: int, seconds: float) -> None:
        """So many updates, fewer when the time is over; at least one. Ends where the loss is no number."""
        until, end = time.perf_counter() + seconds, min(self.step + updates, MOST_EPOCHS * self.per_epoch)
        while self.step < end and not self.diverged:
            self.update()
            if time.perf_counter() > until:
                return

    @property
    def diverged(self) -> bool:
        return not all(map(math.isfinite, self.curve[-1]))

    @property
    def halted(self) -> bool:
        return self.diverged or self.step >= MOST_EPOCHS * self.per_epoch

    def measured(self) -> list[float]:
        """Loss and error (percent, or mean distance of values) in training, then on the test points."""
        found: list[float] = []
        with torch.no_grad():
            for part in (slice(self.cut), slice(self.cut, None)):
                terms = self.page_loss(self.model, self.rows(part))
                found += [float(terms["loss"]), float(terms.get("error", terms.get("mae")))]
        return found

    def record(self) -> None:
        epoch = len(self.curve)
        self.curve.append(self.measured())
        if epoch % self._stride == 0:
            self.path.append(self.model.flat)
            if len(self.path) > PATH:
                self.path, self._stride = self.path[::2], 2 * self._stride

    def _check(self, one: Change) -> None:
        if one.what in ("w", "b"):
            layers = self.model.layers
            shape = layers[one.layer].weight.shape if one.layer < len(layers) else (0, 0)
            if one.unit >= shape[0] or one.source >= shape[1]:
                raise UserError("a weight of this net", str(one), "Reset the net", WHO)

    def _apply(self) -> None:
        """The changes that fall before the next update."""
        here = bisect.bisect_left([one.at for one in self.changes], self.step)
        for one in self.changes[here:]:
            if one.at > self.step:
                break
            self._make(one)

    @torch.no_grad()
    def _make(self, one: Change) -> None:
        if one.what == "lr":
            self.lr = one.value
            self.optimizer.param_groups[0]["lr"] = one.value
        elif one.what == "decay":
            self.decay = one.value
        elif one.what == "w":
            self.model.layers[one.layer].weight[one.unit, one.source] = one.value
        else:
            self.model.layers[one.layer].bias[one.unit] = one.value

    def steer(self, texts: Sequence[str]) -> None:
        """Make changes now: "w0.1.0=0.5", "b0.1=0.5", "lr=0.1"; they belong to the experiment from here on. Those that
        were to come later are dropped."""
        made = [change(str(change(f"{self.step}:{text}"))) for text in texts]  # the value that the link will say
        for one in made:
            self._check(one)
        spots = {one.spot for one in made}
        kept = [one for one in self.changes if one.at <= self.step and one.spot not in spots]
        if len(kept) + len(made) > MOST_CHANGES:
            raise UserError(f"at most {MOST_CHANGES} changes by hand", "one more", "Reset the net to go on", WHO)
        self.changes = kept + made
        for one in made:
            self._make(one)

    @torch.no_grad()
    def maps(self) -> tuple[Tensor, list[float], Tensor]:
        """What each unit answers over the window, "U H W" uint8 (128 is 0), the value at 255 of each; and the output
        "K H W": chances of classes (of two, the second's alone), or values, where 0 and 255 are the ends of the data.
        Units: the inputs', each hidden layer's, and the outputs' as the output is shown."""
        small, large = (self.features(*grid(side)).flatten(0, 1).nan_to_num() for side in (UNIT, OUTPUT))
        *signals, x = self.model.signals(small)
        answer = self.shown(x) if self.model.output in ("softmax", "units") else 2 * self.shown(x) - 1
        units = torch.cat([*signals, answer], 1).T.reshape(-1, UNIT, UNIT).nan_to_num()
        tops = units.abs().amax((1, 2)).clamp_min(1)
        pixels = (127.5 + 127.5 * units / tops[:, None, None]).round().to(torch.uint8)
        share = self.shown(self.model.signals(large)[-1])
        output = (255 * share.nan_to_num()).round().to(torch.uint8).T.reshape(-1, OUTPUT, OUTPUT)
        return pixels, tops.tolist(), output

    def shown(self, x: Tensor) -> Tensor:
        """ "B K" from 0 to 1: chances, of classes by one logistic unit the second's; values between the data's ends."""
        if self.model.output == "softmax":
            return x.softmax(1)
        if self.model.output == "linear":
            middle, half = self.scale
            return ((self.model.read_out(x)[:, None] - middle) / half / 2 + 0.5).clamp(0, 1)
        return torch.sigmoid(x)


def grid(side: int) -> tuple[Tensor, Tensor]:
    """x and y, "H W", of pixels in the window; the first row is the top."""
    at = WINDOW * (2 * (torch.arange(side) + 0.5) / side - 1)
    y, x = torch.meshgrid(-at, at, indexing="ij")
    return x, y


def _middle(target: Tensor) -> tuple[float, float]:
    """The middle of what values are shown, and half their range: about 0 where they go both ways."""
    low, high = float(target.min()), float(target.max())
    if low < 0 < high:
        return 0.0, max(-low, high)
    return (low + high) / 2, max((high - low) / 2, 1e-6)
