"""Real steps that a page needs to a target: the model-based one beside our own model-free ones.

    ./go bench worldmodel [--seeds 5] [--only WORLD ...] [--ways NAME ...] [--quick] [--fresh]

For each page and seed trainings of growing length, each from the start and with settings that the page is given for
few steps, until one reaches the target over 20 fresh episodes after its last step: that one's real steps count. Lengths
grow by the same factor for all pages, 1.3 or the next that its rollouts allow. The model-free pages get several
settings, and the one that needs the fewest steps in the mean is taken for the comparison. CartPole is cut after 200
steps (Gymnasium's CartPole-v0, whose own threshold is 195); Pendulum's actions are numbers, so dqn cannot take it. It
only reports: no threshold. Steps are counted, not timed, so other work on the machine does not matter. Intervals are
Student's of the logarithms over the seeds; the ratio's is a bootstrap's.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from _results import Results, project
from measure import ROOT, Value, ask, say, table

FACTOR, EPISODES, WANTED = 1.3, 20, 8.0
TARGETS = {"CartPole-v0": 195.0, "Pendulum-v1": -200.0}


class Way(NamedTuple):
    """A page and the settings it gets: `per` real steps make one of its steps."""

    page: str
    preset: str
    settings: dict[str, Any]
    per: int
    first: int  # real steps of the shortest training
    most: int


FEW = {"together": 8, "rollout": 32}
WAYS: dict[str, dict[str, Way]] = {
    "CartPole-v0": {
        "worldmodel": Way("worldmodel", "quick", {"maze": False}, 1, 150, 2000),
        "ppo": Way("ppo", "quick", FEW, 256, 2048, 100_000),
        "ppo, 20 epochs": Way("ppo", "quick", {**FEW, "epochs": 20, "lr": 1e-3}, 256, 2048, 100_000),
        "dqn": Way("dqn", "quick", {"together": 1, "start": 200}, 1, 1000, 100_000),
        "dqn, double, 3 ahead": Way(
            "dqn", "quick", {"together": 1, "start": 200, "double": True, "ahead": 3}, 1, 1000, 100_000
        ),
    },
    "Pendulum-v1": {
        "worldmodel": Way("worldmodel", "pendulum", {"maze": False}, 1, 400, 5000),
        "worldmodel, reward known": Way("worldmodel", "known", {"maze": False}, 1, 400, 5000),
        "ppo": Way("ppo", "pendulum", {}, 2048, 16_384, 600_000),
        "ppo, few together": Way("ppo", "pendulum", {"together": 8, "rollout": 128}, 1024, 8192, 600_000),
    },
}
OURS = "worldmodel"


def reached(question: Value) -> Value:
    """The shortest of trainings of growing length that reaches the target: its real steps, and what all came to."""
    import torch

    from milestones.verbs.execute import Order, begin

    torch.set_num_threads(1)
    way, world, seed, found = Way(*question["way"]), question["world"], question["seed"], []
    budget = float(way.first)
    while budget <= way.most:
        steps = max(1, round(budget / way.per))
        settings = {**way.settings, "world": world, "steps": steps, "episodes": EPISODES}
        with tempfile.TemporaryDirectory() as folder:
            order = Order(preset=way.preset, seed=seed, plan="contiguous/float32/1")
            report = begin(way.page, settings, order, folder).report
        value = report["scores"]["return"]["value"]
        found.append({"real": steps * way.per, "return": value, "seconds": report["seconds"]})
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        if value >= question["target"] or question["quick"]:
            break
        budget = max(budget * FACTOR, (steps + 1) * way.per)
    return {"tried": found, "reached": found[-1]["return"] >= question["target"]}


def interval(values: list[float]) -> Value:
    """The geometric mean of real steps and its 95 % interval: Student's of their logarithms."""
    from milestones.core.interval import spread

    found = spread([math.log(value) for value in values])
    return {name: math.exp(found[name]) for name in ("mean", "low", "high") if name in found}


def ratio(theirs: list[float], ours: list[float], draws: int = 4000) -> Value:
    """How many times more steps they need, of geometric means, with a bootstrap interval over the seeds of both."""
    from milestones.core.interval import quantiles

    rng = random.Random(0)

    def mean(values: list[float]) -> float:
        return sum(map(math.log, values)) / len(values)

    drawn = [mean(rng.choices(theirs, k=len(theirs))) - mean(rng.choices(ours, k=len(ours))) for _ in range(draws)]
    low, high = quantiles(drawn)
    return {"mean": math.exp(mean(theirs) - mean(ours)), "low": math.exp(low), "high": math.exp(high)}


def summed(parts: list[Value]) -> Value:
    """One way's real steps to the target by seed; the longest training stands for what never reached it."""
    steps = [part["tried"][-1]["real"] for part in parts]
    seconds = [part["tried"][-1]["seconds"] for part in parts]
    missed = sum(not part["reached"] for part in parts)
    return {"steps": steps, **interval(steps), "missed": missed, "seconds": sum(seconds) / len(seconds)}


def main() -> int:
    if "--reach" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(reached(json.load(sys.stdin))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(WAYS), choices=WAYS, metavar="WORLD", help=", ".join(WAYS))
    names = list(dict.fromkeys(name for ways in WAYS.values() for name in ways))
    parser.add_argument("--ways", nargs="*", default=names, choices=names, metavar="WAY", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a smoke run: the shortest trainings; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    files = [*project("worldmodel", "ppo", "dqn"), *sorted((ROOT / "milestones" / "worlds").glob("*.py"))]
    results = Results("worldmodel", [*files, Path(__file__)], sys.executable, args.fresh, args.quick,
                      targets=TARGETS, wanted=WANTED)  # fmt: skip
    words, env = [sys.executable, str(Path(__file__).resolve()), "--reach"], {"PYTHONPATH": str(ROOT)}
    rows = []
    for world, ways in WAYS.items():
        found: dict[str, Value] = {}
        for name, way in ways.items():
            parts = []
            for seed in range(1 if args.quick else args.seeds):
                question = {"way": way, "world": world, "seed": seed, "target": TARGETS[world], "quick": args.quick}
                label = f"{world}/{name}/{seed}"
                if world in args.only and name in args.ways:
                    parts.append(results.part(label, functools.partial(ask, words, question, env, 1)))
                    tried = parts[-1]["tried"]
                    say(f"{label}: {tried[-1]['return']:.1f} after {tried[-1]['real']:,} real steps")
                elif part := results.kept(label):
                    parts.append(part)
            if parts:
                found[name] = summed(parts)
        theirs = {name: one for name, one in found.items() if not name.startswith(OURS)}
        if theirs and OURS in found:
            best = min(theirs, key=lambda name: theirs[name]["mean"])
            found[OURS] |= {"beside": best, "fewer": ratio(theirs[best]["steps"], found[OURS]["steps"])}
        results.write(**{world: found})
        for name, one in found.items():
            between = f"{one['low']:,.0f} to {one['high']:,.0f}" if "low" in one else ""
            fewer = one.get("fewer", {})
            rows.append([f"{world}, {name}", f"{one['mean']:,.0f}", between, str(len(one["steps"])),
                         f"{one['missed']}" if one["missed"] else "", f"{one['seconds']:.0f}",
                         f"{fewer['mean']:.1f} ({fewer['low']:.1f} to {fewer['high']:.1f})" if fewer else "",
                         ("met" if fewer["low"] >= WANTED else "MISSED") if fewer else ""])  # fmt: skip
    head = ["", "real steps", "95 %", "seeds", "never", "training, s", "times fewer than the best", "8 times"]
    say(table(head, rows))
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
