"""Train the members of an ensemble, each by the page's own `train`, and make them one."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ..core.errors import UserError
from ..core.run import Run
from ..core.source import Facts, Place
from ..core.system import System
from ..parts.calibration import temperature
from ..parts.ensemble import Ensemble, Together
from ..report.evidence import learned_from, outputs
from .trial import Ground, Over, Trial

CLEARLY = 1.5  # times as fast a batched net must be: where it pays, it is five times
TURNS, SECONDS = 100, 1.5  # of a trial, at most; four turns at least
SMALL = 16  # examples, to see whether losses agree
ELEMENTWISE = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")  # each weight's step depends on its own gradients alone


def scouted(system: System[Any, Any, Any, Any], knobs: Any, model: nn.Module, data: Any, place: Place) -> Trial:
    """How a page would train: what `fit` measures and saves, without a step."""
    trial: Any = Trial(Ground("exact"), place, 0, through=True)
    with torch.random.fork_rng(devices=[]), contextlib.suppress(Over):
        system.train(knobs, model, data, trial)
    return trial


class Abreast:
    """The training examples of all members: each one's batch, one after the other."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self.sources = sources

    def __len__(self) -> int:
        return len(self.sources[0])

    def batch(self, step: int, size: int) -> Any:
        parts = [source.batch(step, size) for source in self.sources]
        return type(parts[0])(*map(torch.cat, zip(*parts, strict=True)))

    def sweep(self, size: int) -> Iterator[Any]:
        return self.sources[0].sweep(size)


def own(data: Any, place: Place) -> Any:
    """The data of a member: the same examples, in another order and with other random changes."""
    source = copy.copy(data.train)
    if hasattr(source, "place"):
        source.place = place
    return data._replace(train=source)


def abreast(data: Any, count: int, run: Run) -> Any:
    """The data of all members, each with its own order."""
    sources = []
    for number in range(count):
        with run.member(number):
            sources.append(own(data, run.place).train)
    return data._replace(train=Abreast(sources))


def ratio(system: System[Any, Any, Any, Any], knobs: Any, model: Ensemble, data: Any, run: Run) -> float:
    """How many times as long an update of all members takes as one batched net as one of a single member: measured
    here. Infinite where it cannot be done, or would not be the same: another sum of losses, an optimiser that looks at
    a whole matrix, state beside the weights."""
    members, count = list(model.members), len(model.members)
    plain = all(len(net.state_dict()) == sum(p.requires_grad for p in net.parameters()) for net in members)
    if not plain or not hasattr(data.train, "place"):
        return math.inf
    joint, every, threads = Together(members), abreast(data, count, run), torch.get_num_threads()
    torch.set_num_threads(1)  # a busy neighbour can slow two threads tenfold, one hardly
    try:
        times, nets = [], [copy.deepcopy(members[0]), joint]
        for net, of in zip(nets, (data, every), strict=True):
            scout = scouted(system, knobs, net, of, run.place)
            for optimizer in scout.optimizers:
                ours = {id(p) for group in optimizer.param_groups for p in group["params"]}
                if type(optimizer).__name__ not in ELEMENTWISE or ours != {id(p) for p in net.parameters()}:
                    return math.inf
            times.append((scout.probes[0], scout.optimizers[0]))
        if not _same(system, joint, [copy.deepcopy(net) for net in members], every.train):
            return math.inf
        best = [math.inf, math.inf]
        end = time.perf_counter() + SECONDS
        for turn in range(TURNS):
            if turn >= 4 and time.perf_counter() > end:
                break
            for k, (probe, optimizer) in enumerate(times):
                begin = time.perf_counter()
                optimizer.zero_grad()
                probe(nets[k], run.plan).backward()
                optimizer.step()
                best[k] = min(best[k], time.perf_counter() - begin)
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError):  # the page does what vmap cannot
        return math.inf
    finally:
        torch.set_num_threads(threads)
    return best[1] / best[0]


@torch.no_grad()
def _same(system: System[Any, Any, Any, Any], joint: Together, members: list[nn.Module], source: Abreast) -> bool:
    """Whether the batched net's loss is the mean of the members', without dropout."""
    assert system.loss is not None
    joint.train().like[0].eval()
    found = float(system.loss(joint, source.batch(0, SMALL))["loss"])
    joint.train()
    each = [float(system.loss(net.eval(), own.batch(0, SMALL))["loss"]) for net, own in
            zip(members, source.sources, strict=True)]  # fmt: skip
    return abs(found - sum(each) / len(each)) <= 1e-4 * abs(found) + 1e-6


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
    if not scouted(system, knobs, copy.deepcopy(model), data, place).probes:
        got = "a training with a loop of its own"
        raise UserError("--members for a page that trains by `fit` with these settings", got, do, who)


def train(system: System[Any, Any, Any, Any], knobs: Any, model: Ensemble, data: Any, run: Run,
          together: bool = False) -> list[float]:  # fmt: skip
    """Train the members `together`, as one batched net, or one after the other; the seconds of each. Of these, one
    that was cut off is left out, unless it is alone."""
    model.shares.fill_(1 / len(model.members))
    if together:
        joint = Together(list(model.members))
        run.showing = False
        run.seed("train")
        system.train(knobs, joint, abreast(data, len(model.members), run), run)
        run.showing = True
        joint.part(list(model.members))
        return [run.seconds / len(model.members)] * len(model.members)
    model.shares.zero_()
    seconds: list[float] = []
    for number, member in enumerate(model.members):
        before = run.seconds
        with run.member(number):
            run.seed("train")
            system.train(knobs, member, own(data, run.place), run)
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
