"""The study of a page's learning rate: range tests find about where the loss is lowest, short trainings with the page's
own schedule find the best rate around it. It never looks at the rate that the settings have."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ..catalog import find, page
from ..core.config import changed
from ..core.errors import UserError, nearest
from ..core.interval import student
from ..core.source import Choice, Place, key
from ..core.system import System
from ..media.records import finite
from .execute import Order, command, device_of
from .trial import Ground, Over, Trial, valid_loss

BUDGET = 0.15  # of the training: what a study may cost
RANGE = (1e-5, 10.0)  # rates that a range test runs through
TESTS = 0.03  # of the training, for the range tests
EARLY = 0.05  # of the training at most, for the stages before the one that is studied
LEAST = 10, 4  # updates of a range test, of a short training
SPACE = 3.0  # from one rate that is compared to the next
MOST = 6  # rates that are compared
SHIFT = 0.7  # the best rate of the whole training over that of a short one: see docs/design.md
CAP = 0.5  # natural logarithms above the loss before any update that a lost training counts as
WIDE = 10.0  # times: an interval that leaves the matter open
SEEDS = 3
QUIZ = 4  # short trainings of the quiz, the good one among them
Say = Callable[[str], None]


class Short(NamedTuple):
    """One short training."""

    rate: float
    losses: list[float]  # before each update
    valid: float  # at its end; infinite if it was lost


class Bench(NamedTuple):
    """What all trials of a study have in common."""

    who: str
    system: System[Any, Any, Any, Any]
    knobs: Any
    place: Place
    ground: Ground
    data: Any
    seeds: int

    def trial(self, seed: int, rate: float, updates: int, ramp: Sequence[float] = ()) -> tuple[Trial, nn.Module]:
        """A training of so many updates at this rate; seeds differ in starting weights, batches and what is drawn."""
        knobs = changed(self.knobs, {"lr": rate}, self.who)
        begun = 0 if self.ground.early else seed  # where earlier stages were trained once, all go on from there
        torch.manual_seed(key(self.place.seed + begun, "build", -1, 0))
        model = self.system.build(knobs, json.loads(json.dumps(self.data.facts))).to(self.place.device)
        place = self.place._replace(seed=self.place.seed + seed)
        trial = Trial(self.ground, place, updates, seed / self.seeds, ramp, rate)
        with contextlib.suppress(Over):
            self.system.train(knobs, model, self.data, trial)  # type: ignore[arg-type]  (it stands in for a Run)
        return trial, model

    def short(self, seed: int, rate: float, updates: int) -> Short:
        trial, model = self.trial(seed, rate, updates)
        if trial.lost:
            return Short(rate, trial.losses, math.inf)
        assert self.system.loss is not None
        ground = self.ground
        cost = ground.stages[ground.studied[0]]
        most = max(3 * cost.examples * checking(updates), 100)
        value, over = valid_loss(model, self.system.loss, self.data.valid, most)
        ground.spent += cost.flops * (over / (3 * cost.examples) if cost.examples else 1)  # forward is a third
        return Short(rate, trial.losses, value)

    def lost(self, low: float, high: float) -> UserError:
        do = "Check the data ('milestones data PATH') and the settings"
        return UserError("a rate at which the loss falls", f"none from {low:g} to {high:g}", do, self.who)


def study(
    name: str, settings: Mapping[str, Any], order: Order, seeds: int, say: Say, quiz: bool = True
) -> dict[str, Any]:
    """What was found, as JSON: the `rate`, its interval `low` to `high`, the range tests, the short trainings, the
    quiz, the cost. UserError: a page or training that cannot be studied, and one in which nothing is learned."""
    begin = time.perf_counter()
    entry = find(name)
    system: System[Any, Any, Any, Any] = page(entry).system
    if order.preset not in system.presets:
        raise UserError(f"a preset of this page: {', '.join(system.presets)}", repr(order.preset),
                        nearest(order.preset, system.presets, "Leave --preset out for quick"), entry.name)  # fmt: skip
    if "lr" not in system.Config.model_fields or system.loss is None:
        do = "Train it as it is; 'milestones show PAGE' lists a page's settings"
        raise UserError("a page that descends a gradient, with a setting 'lr'", "one without", do, entry.name)
    if "lr" in settings:
        raise UserError("no --lr where the study chooses it", f"--lr {settings['lr']}", "Leave one out", entry.name)
    if seeds < 2:
        raise UserError("two seeds or more, for an interval", f"--seeds {seeds}", "Leave it out for 3", entry.name)
    knobs = changed(system.presets[order.preset], settings, entry.name)
    choice = Choice(order.data, order.target, order.split, "unreadable" if order.skip_unreadable else "")
    place = Place(device_of(order.device), order.seed, choice=choice)
    ground, threads = Ground(order.plan), torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            data = system.prepare(knobs, place)
            found = studied(Bench(entry.name, system, knobs, place, ground, data, seeds), say, quiz)
    finally:
        torch.set_num_threads(threads)
    again = command(name, knobs, system, order).replace("milestones train", "milestones lr", 1)
    use = command(name, changed(knobs, {"lr": found["rate"]}, entry.name), system, order)
    return {
        "system": entry.name, "preset": order.preset, "seed": order.seed, "seeds": seeds, **found,
        "data": data.facts.get("data", {}).get("name", ""), "seconds": round(time.perf_counter() - begin, 2),
        "command": f"{again} --seeds {seeds}" if seeds != SEEDS else again, "use": use,
    }  # fmt: skip


def for_training(name: str, settings: Mapping[str, Any], order: Order, say: Say) -> dict[str, Any]:
    """The study before a training, without the quiz: what config.json keeps of it."""
    if order.origin:
        raise UserError(
            "--auto-lr for a training from the start", f"--from {order.origin}", "Leave one of them out", name
        )
    if order.minutes is not None:
        do = "Leave --minutes out, and say --steps where that takes too long"
        raise UserError("--auto-lr without a time limit: its cost is counted in updates", "--minutes", do, name)
    found = study(name, settings, order, SEEDS, say, quiz=False)
    say(
        f"--auto-lr: {found['rate']:g}, 95 % interval of {SEEDS} seeds [{found['low']:g}, {found['high']:g}]; it cost "
        f"{100 * found['share']:.0f} % of the training, {found['seconds']:.1f} s"
    )
    kept = ("rate", "low", "high", "seed", "seeds", "updates", "short", "share", "edges", "compared", "seconds")
    return {key: found[key] for key in kept}


def studied(bench: Bench, say: Say, quiz: bool) -> dict[str, Any]:
    """The study itself."""
    seeds, ground = bench.seeds, bench.ground
    tests, updates = lengths(bench)
    say(f"{bench.who}: {seeds} range tests of {tests} updates, then short trainings of {updates}")
    ramps = [range_test(bench, seed, tests) for seed in range(seeds)]
    begun = [bench.short(seed, 1.0, 0).valid for seed in range(seeds)]
    if not all(map(math.isfinite, begun)):
        raise bench.lost(*RANGE)
    first = statistics.fmean(math.log(max(value, 1e-9)) for value in begun)  # before any update
    if ramps[0][0]:
        edges = [turn(*ramp) for ramp in ramps]
    else:  # an optimiser of the page's own: a short training a decade in place of the tests
        decades = [10.0**power for power in range(-4, 2)]
        each = max(LEAST[1], seeds * tests // len(decades))
        edges = [min(decades, key=lambda rate: bench.short(0, rate, each).valid)]
    shorts = compared(bench, statistics.geometric_mean(edges), updates)
    three = [rate for rate, each in shorts.items() if len(each) == seeds]
    if not shorts[three[0]][0].losses:
        raise UserError("a page that logs its 'loss'", "one that does not", "Add it to run.log", bench.who)
    most = first + CAP
    heights = [[min(math.log(max(one.valid, 1e-9)), most) for one in shorts[rate]] for rate in three]
    if min(map(statistics.fmean, heights)) >= first:
        raise bench.lost(*RANGE)
    rate, low, high = (float(f"{SHIFT * value:.2g}") for value in lowest(three, heights))
    asked = asked_of(bench, shorts, rate, statistics.geometric_mean(edges), updates) if quiz else []
    return {
        "rate": rate, "low": low, "high": high, "updates": ground.total, "short": updates,
        "share": round(ground.spent / ground.whole, 4), "first": math.exp(first), "edges": edges, "quiz": asked,
        "range_tests": [{"rates": ramp, "losses": finite(losses)} for ramp, losses in ramps if ramp],
        "compared": [{"rate": one, "valid_losses": finite([each.valid for each in shorts[one]])} for one in shorts],
    }  # fmt: skip


def lengths(bench: Bench) -> tuple[int, int]:
    """Updates of a range test and of a short training, such that all cost no more than BUDGET; and `early` of the
    ground, how long earlier stages are trained."""
    ground = bench.ground
    bench.trial(0, 1.0, 0)  # makes no update: which stages there are, and what one costs
    if not ground.total:
        do = "Train it as it is"
        raise UserError("a page that trains in steps", "one without", do, bench.who)
    early = {name: cost for name, cost in ground.stages.items() if name not in ground.studied}
    before, whole = sum(cost.whole for cost in early.values()) / ground.one, ground.whole / ground.one
    share = min(1.0, EARLY * whole / before) if before else 1.0
    ground.early = {name: max(1, int(cost.total * share)) for name, cost in early.items()}
    tests = max(LEAST[0], int(TESTS * whole / bench.seeds / len(ground.studied)))
    left = BUDGET * whole - share * before - bench.seeds * tests * len(ground.studied)
    runs, judged = MOST + 3 * (bench.seeds - 1) + QUIZ - 1, MOST + 3 * (bench.seeds - 1) + bench.seeds
    fit = (n for n in range(int(max(left, 0) / runs), LEAST[1], -1) if runs * n + judged * checking(n) <= left)
    return tests, next(fit, LEAST[1] * len(ground.studied))


def checking(updates: int) -> int:
    """What the validation at the end of a short training costs, in updates."""
    return max(1, updates // 5)


def range_test(bench: Bench, seed: int, updates: int) -> tuple[list[float], list[float]]:
    """Rates, and the loss after the update with each; seeds begin a little higher, so that together they are finer."""
    low, high = map(math.log, RANGE)
    width = (high - low) / updates
    ramp = [math.exp(low + width * (i + seed / bench.seeds)) for i in range(updates)]
    losses = bench.trial(seed, 1.0, updates, ramp)[0].losses[1:]
    return ramp[: len(losses)], losses


def turn(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate of a range test at which the loss, a mean of neighbours, is lowest."""
    reach = max(1, len(losses) // 24)
    high = 1e9  # for what is no number
    kept = [one if one < high else high for one in losses]
    means = [statistics.fmean(kept[max(0, i - reach) : i + reach + 1]) for i in range(len(kept))]
    return rates[min(range(len(means)), key=means.__getitem__)]


def compared(bench: Bench, start: float, updates: int) -> dict[float, list[Short]]:
    """Short trainings at rates around `start`. The first seed goes on in the direction in which its loss falls, until
    it rises on both sides or MOST rates were tried; the other seeds follow at its best rate and the two beside it."""
    found: dict[int, list[Short]] = {}

    def rate(place: int) -> float:
        return float(f"{start * SPACE**place:.3g}")

    def height(place: int) -> float:
        if place not in found:
            found[place] = [bench.short(0, rate(place), updates)]
        return found[place][0].valid

    best = min(0, -1, key=height)
    while len(found) < MOST and (ends := [place for place in (best - 1, best + 1) if place not in found]):
        best = min(best, ends[0], key=height)
    middle = min(max(best, min(found) + 1), max(found) - 1)
    for place in range(middle - 1, middle + 2):
        found[place] += [bench.short(seed, rate(place), updates) for seed in range(1, bench.seeds)]
    return {rate(place): found[place] for place in sorted(found)}


def lowest(rates: Sequence[float], heights: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """The rate with the lowest loss, between three, and its 95 % interval over the seeds: each has the vertex of its
    parabola. `heights`: the logarithm of each seed's loss, for each rate. Where the mean loss is lowest at an end,
    the interval goes on for a whole space beyond; further it never goes, as nothing was tried there."""
    middle, step, ends = math.log(rates[1]), math.log(rates[2] / rates[0]) / 2, []
    for left, mid, right in zip(*heights, strict=True):
        bend = left - 2 * mid + right
        offset = (left - right) / (2 * bend) if bend > 1e-9 else math.copysign(1.0, left - right)
        ends.append(middle + step * min(1.0, max(-1.0, offset)))
    centre = statistics.fmean(ends)
    half = student(len(ends) - 1) * statistics.stdev(ends) / math.sqrt(len(ends))
    best = min(range(3), key=lambda k: statistics.fmean(heights[k]))
    below, above = (half if best != 0 else max(half, step)), (half if best != 2 else max(half, step))
    low, high = max(centre - below, middle - 2 * step), min(centre + above, middle + 2 * step)
    return math.exp(centre), math.exp(low), math.exp(high)


def asked_of(bench: Bench, shorts: Mapping[float, Sequence[Short]], rate: float, start: float,
             updates: int) -> list[dict[str, Any]]:  # fmt: skip
    """The quiz: the losses of one seed at four rates, and what each did. `good` is the suggested one or, of those that
    were compared, the nearest to it."""
    good = min(shorts, key=lambda one: abs(math.log(one / rate)))
    high = max(SPACE * good, start)
    trials = {"low": good / 30, "good": good, "high": high, "very high": 30 * high}
    asked = []
    for name, one in trials.items():
        losses = shorts[good][0].losses if name == "good" else bench.trial(0, float(f"{one:.2g}"), updates)[0].losses
        did = told(losses)
        asked.append({"name": name, "rate": float(f"{one:.2g}"), "did": did, "losses": finite(losses)})
    return asked


def told(losses: Sequence[float]) -> str:
    """What a training did, in words."""
    if not math.isfinite(losses[-1]):
        return f"is no number after {len(losses) - 1} updates"
    last = statistics.fmean(losses[-max(1, len(losses) // 8) :])
    verb = "falls" if last < 0.9 * losses[0] else "stays" if last < 1.1 * losses[0] else "rises"
    return f"{verb} from {losses[0]:.3g} to {last:.3g} in {len(losses)} updates"


def lines(found: Mapping[str, Any]) -> list[str]:
    """What a study found, for a terminal."""
    edges, wide = sorted(found["edges"]), found["high"] > WIDE * found["low"]
    tests = f"range tests alone: loss lowest at {edges[0]:.2g} to {edges[-1]:.2g}"
    if not found["range_tests"]:
        tests = "no range test: the page keeps its optimiser to itself; short trainings alone were compared"
    return [
        f"{found['system']}: learning rate {found['rate']:g}, 95 % interval of {found['seeds']} seeds "
        f"[{found['low']:g}, {found['high']:g}]",
        *["a wide interval: so short trainings tell little of this page; more --steps or --seeds tell more"] * wide,
        tests,
        *(f"{one['name']:10}{one['rate']:<9g} {one['did']}" for one in found["quiz"]),
        f"cost: {100 * found['share']:.0f} % of a training of {found['updates']:,} updates, {found['seconds']:.1f} s",
        f"use it: {found['use']}",
    ]  # fmt: skip
