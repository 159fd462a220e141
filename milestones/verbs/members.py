"""Train the members of an ensemble, each by the page's own `train`, and make them one."""

from __future__ import annotations

import copy
from typing import Any, NoReturn

import torch
from torch import nn

from ..core.errors import UserError
from ..core.plan import Plan
from ..core.run import Run
from ..core.source import Facts, Place
from ..core.system import System
from ..parts.calibration import temperature
from ..parts.ensemble import Ensemble
from ..report.evidence import learned_from, outputs


class Scout:
    """Stands in for a Run until the first step, to see whether the page trains by `fit`, which measures before it."""

    def __init__(self, place: Place) -> None:
        self.place, self.plan, self.fits = place, Plan(), False

    def measure(self, *_: Any) -> None:
        self.fits = True

    def steps(self, *_: Any, **__: Any) -> NoReturn:
        raise StopIteration  # the page's loop begins: no more is to be known


def build(system: System[Any, Any, Any, Any], knobs: Any, facts: Facts, count: int, run: Run, who: str) -> nn.Module:
    """The page's model, or so many, each with its own starting weights, as one. UserError: unequal members."""
    if count == 1:
        run.seed("build")
        return system.build(knobs, facts)
    members = []
    for number in range(count):
        with run.member(number):
            run.seed("build")
            members.append(system.build(knobs, facts))
    try:
        return Ensemble(members)
    except ValueError as problem:
        do = "Let the settings and the data alone decide shapes in the page's 'build'"
        raise UserError("members of one shape", str(problem), do, who) from None


def check(system: System[Any, Any, Any, Any], knobs: Any, model: nn.Module, data: Any, place: Place, who: str) -> None:
    """UserError: the page's answers cannot be averaged, or it does not train by `fit`."""
    do = "Leave --members out, or take several runs by --seeds"
    if system.loss is None or system.probe is None:
        lacks = "loss" if system.loss is None else "probe"
        got = f"a page without a `{lacks}`, whose answers cannot be averaged"
        raise UserError("--members for a page whose answers are classes or numbers", got, do, who)
    scout: Any = Scout(place)
    try:
        with torch.random.fork_rng(devices=[]):
            system.train(knobs, copy.deepcopy(model), data, scout)
    except StopIteration:
        pass
    if not scout.fits:
        got = "a training with a loop of its own"
        raise UserError("--members for a page that trains by `fit` with these settings", got, do, who)


def train(system: System[Any, Any, Any, Any], knobs: Any, model: Ensemble, data: Any, run: Run) -> list[float]:
    """Train one member after the other; the seconds of each. One that was cut off is left out, unless it is alone."""
    model.shares.zero_()
    seconds: list[float] = []
    for number, member in enumerate(model.members):
        before, source = run.seconds, copy.copy(data.train)
        with run.member(number):
            if hasattr(source, "place"):  # another order and other random changes; the examples are the same
                source.place = run.place
            run.seed("train")
            system.train(knobs, member, data._replace(train=source), run)
        if run.ended and number:
            break
        model.shares[: number + 1] = 1 / (number + 1)
        seconds.append(run.seconds - before)
        if run.ended:
            break
    return seconds


@torch.no_grad()
def settle(system: System[Any, Any, Any, Any], model: Ensemble, data: Any) -> None:
    """Set the temperature, by the validation examples unless they were learned from: several nets together are less
    sure than right."""
    model.temperature.fill_(1.0)
    if data.facts.get("labels") and not learned_from(data.valid):
        model.temperature.fill_(temperature(*outputs(system, model.eval(), data.valid)))
