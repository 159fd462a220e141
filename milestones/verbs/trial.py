"""A short training of a page that leaves no trace: what the study of the learning rate compares."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.plan import Plan, chosen, count_flops, measure
from ..core.source import Place, key
from ..core.state import Stateful

STAGE = "train"  # what is studied, if there is one of the name that `fit` gives; else all stages alike
LOST = 100.0  # times the first loss, from which no training comes back in so short a time


class Over(Exception):
    """The trial has made its updates. It leaves the page's `train`: what would come after costs time, and no verb can
    ask a page not to do it."""


class Cost(NamedTuple):
    """One stage of the whole training."""

    total: int  # updates
    examples: int  # of one update; 0 where the page does not say
    flops: float  # of one update; 1 where the page does not say

    @property
    def whole(self) -> float:
        return self.total * self.flops


class Ground:
    """What the trials of one study share: the plan, what the stages cost, and the end of those before."""

    def __init__(self, plan: str) -> None:
        self.given = chosen(plan)
        self.plan = self.given or Plan()
        self.stages: dict[str, Cost] = {}  # in their order; the first trial finds them
        self.early: dict[str, int] = {}  # updates of each stage before the one that is studied
        self.kept: dict[str, dict[str, Any]] = {}  # what it ended with
        self.spent = 0.0  # floating-point operations
        self.probed = 0, 1.0  # examples and cost of one update of the stage to come

    @property
    def studied(self) -> list[str]:
        return [STAGE] if STAGE in self.stages else list(self.stages)

    @property
    def total(self) -> int:
        """Updates of all that is studied."""
        return sum(self.stages[name].total for name in self.studied)

    @property
    def one(self) -> float:
        """What one update of these costs."""
        return sum(self.stages[name].whole for name in self.studied) / max(self.total, 1)

    @property
    def whole(self) -> float:
        return sum(cost.whole for cost in self.stages.values())


class Trial:
    """Stands in for a Run: the same public names, and no folder. `steps` yields some of a stage's numbers, evenly
    spaced, so that the page runs through its own schedule in `updates` updates of all that is studied; then it raises
    Over. With none, the trial only looks at the stages; `through` all of them, and what comes after.

    With a `ramp`, one rate an update of a stage, these replace the optimiser's own; a group keeps its ratio to `base`.
    Where the page gives `steps` no optimiser, nothing can be ramped, and no number comes.
    `shift`, from 0 to 1, moves the numbers within their spaces: other batches, on the same data.
    """

    def __init__(self, ground: Ground, place: Place, updates: int, shift: float = 0.0,
                 ramp: Sequence[float] = (), base: float = 1.0, through: bool = False) -> None:  # fmt: skip
        self.ground, self.place, self.plan = ground, place, ground.plan
        self.step, self.ended, self.restored, self.rate, self.seconds = 0, "study", False, 0.0, 0.0
        self.showing = False
        self.rng = torch.Generator(device=place.device)
        self.curves: list[list[float]] = []  # the losses before each update, for each stage that is studied
        self.probes: list[Any] = []  # what was to be measured
        self.optimizers: list[Any] = []  # of each stage
        self.ramped, self._through = False, through
        self._updates, self._shift, self._ramp, self._base = updates, shift, ramp, base
        self._is_enough, self._studied = False, False

    @property
    def folder(self) -> Path:
        """There is none: who asks for it has finished training."""
        raise Over

    @property
    def losses(self) -> list[float]:
        """The losses before each update, a mean over what is studied."""
        return [sum(each) / len(each) for each in zip(*self.curves, strict=False)]

    @property
    def lost(self) -> bool:
        """True when the last loss is not finite, or far above the first."""
        return any(not curve[-1] <= LOST * max(curve[0], 1e-9) for curve in self.curves if curve)

    def seed(self, stage: str, step: int = -1) -> None:
        """As Run's: all that is drawn follows from the seed, the stage and the step."""
        number = key(self.place.seed, stage, step, self.place.rank)
        torch.manual_seed(number)
        self.rng.manual_seed(number)

    @contextlib.contextmanager
    def member(self, number: int) -> Generator[None]:
        """As Run's: within, the randomness is that of one member."""
        place = self.place
        self.place = place._replace(seed=key(place.seed, "member", number))
        yield
        self.place = place

    def beside(self, name: str) -> Path:
        """No file is kept open: a page that needs one is not studied."""
        return self.folder / name

    def steps(self, total: int, stage: str = STAGE, /, **state: Stateful) -> Iterator[int]:
        """Some of the numbers below `total`. An earlier stage is trained once a study, and restored from then on."""
        self.seed(stage)
        self.optimizers.append(state.get("optimizer"))
        ground, looking = self.ground, stage not in self.ground.stages
        ground.stages[stage] = Cost(total, *ground.probed)
        ground.probed, self._is_enough = (0, 1.0), False
        if not looking and stage in ground.studied:
            self._studied = True
            self.curves.append([])
            optimizers = [thing for thing in state.values() if isinstance(thing, torch.optim.Optimizer)]
            self.ramped = bool(self._ramp and optimizers)
            count = len(self._ramp) or (self._updates and max(1, self._updates * total // ground.total))
            if self.ramped or not self._ramp:
                with self._ramping(optimizers):
                    yield from self._some(min(count, total), total, stage)
            if self.lost or stage == ground.studied[-1]:
                raise Over
        elif looking:
            if stage == STAGE and not self._through:
                raise Over
        elif stage in ground.kept:
            for name, thing in state.items():
                thing.load_state_dict(copy.deepcopy(ground.kept[stage][name]))
        else:
            yield from self._some(ground.early[stage], total, stage)
            ground.kept[stage] = {name: copy.deepcopy(thing.state_dict()) for name, thing in state.items()}

    def _some(self, count: int, total: int, stage: str) -> Iterator[int]:
        shift = int(self._shift * (total // max(count, 1)))
        for number in range(count):
            self.step = number * total // count + shift
            self.seed(stage, self.step)
            yield self.step
            self.ground.spent += self.ground.stages[stage].flops
            if self.lost or self._is_enough:
                return

    @contextlib.contextmanager
    def _ramping(self, optimizers: list[torch.optim.Optimizer]) -> Iterator[None]:
        """While this lasts, update n of each optimiser is made with the rate `ramp[n]`, whatever the schedule says."""
        handles = []
        for optimizer in optimizers if self._ramp else []:
            ratios, left = [group["lr"] / self._base for group in optimizer.param_groups], iter(self._ramp)

            def set_rates(one: Any, *_: Any, ratios: list[float] = ratios, left: Iterator[float] = left) -> None:
                rate = next(left)
                for group, ratio in zip(one.param_groups, ratios, strict=True):
                    group["lr"] = ratio * rate

            handles.append(optimizer.register_step_pre_hook(set_rates))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def enough(self) -> None:
        self._is_enough = True

    def average(self, model: nn.Module) -> None:
        """Nothing: a trial is one process."""

    def every(self, n: int) -> bool:
        """Never: nothing is evaluated on the way."""
        return False

    def log(self, **numbers: float | Tensor) -> None:
        """Keeps the loss, and leaves the rest."""
        if "loss" in numbers and self._studied:
            loss = numbers["loss"]
            self.curves[-1].append(float(loss.detach() if isinstance(loss, Tensor) else loss))

    def show(self, **items: Any) -> None:
        """Nothing is kept."""

    def measure(self, model: nn.Module, probe: Callable[[Any, Plan], Tensor], examples: int) -> None:
        """The plan is measured, or looked up, once a study."""
        self.probes.append(probe)
        ground = self.ground
        if ground.given is None and not ground.plan.machine:
            ground.plan = measure(model, probe, examples, None, self.place.device)
        known = next((cost for cost in ground.stages.values() if cost.examples == examples), None)
        ground.probed = examples, known.flops if known else count_flops(model, probe)
        self.plan = ground.plan
        self.plan.apply(model)


def valid_loss(model: nn.Module, loss: Callable[..., dict[str, Tensor]], source: Any, most: int) -> tuple[float, int]:
    """The loss on the first examples of `source`, at least `most` if it has them, infinite if it is no number; and how
    many examples that were. Batches are normalised by themselves; the model is left in evaluation mode."""
    total, over = 0.0, 0
    model.eval()
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):  # its running means need more updates than these
            part.train()
    with torch.no_grad():
        for batch in source.sweep(min(most, 500)):
            total, over = total + float(loss(model, batch)["loss"]) * len(batch[0]), over + len(batch[0])
            if over >= most:
                break
    return total / over if over and math.isfinite(total) else math.inf, over
