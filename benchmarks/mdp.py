"""How long value iteration and policy iteration take for a million states, and whether they agree.

    ./go bench mdp [--states 1000000] [--repeats 3] [--quick] [--fresh]

A garnet (Archibald, McKinnon & Thomas 1995) is made at random: 4 actions a state, 3 outcomes an action, discount 0.95;
a room of the same size, in which a step costs 1 and news travels one cell a sweep, is the hard case and stands beside
it with discount 0.9. Each way runs until its values are within 1e-9 of the best; seconds are those of the solution,
without making the process. The page's own functions, in a process of its own.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from pathlib import Path

from _results import Results, project
from measure import ROOT, Value, ask, say, spread, table

TARGET = {"seconds": 10.0, "apart": 1e-8}
TOLERANCE = 1e-9


def solved(question: Value) -> Value:
    """Seconds of both ways, their steps, and how far apart their values are."""
    import torch

    from milestones.parts.decision import backup, bounds, evaluated, greedy
    from milestones.worlds.mdp import garnet, grid

    states, seed, discount = question["states"], question["seed"], question["discount"]
    world = garnet(states, 4, 3, seed) if question["world"] == "garnet" else grid(int(states**0.5))
    ends, there = bool(world.ended.any()), ~world.ended
    value, sweeps, begin = torch.zeros(len(world.reward), dtype=torch.float64), 0, time.monotonic()
    low, high = -1.0, 1.0
    while high - low > TOLERANCE:
        change = torch.where(there, backup(world, value, discount).max(1).values, 0.0) - value
        value += change
        low, high = bounds(change, discount, ends)
        sweeps += 1
    value[there] += (low + high) / 2
    first = time.monotonic() - begin
    exact, policy, turns, begin = torch.zeros_like(value), world.reward.argmax(1), 0, time.monotonic()
    within = 1.0
    while True:
        exact = evaluated(world, policy, discount, exact, within)
        worth = backup(world, exact, discount)
        better = greedy(worth, policy)
        turns += 1
        same, policy = torch.equal(better, policy), better
        if same and within == TOLERANCE:
            break
        gain = float((torch.where(there, worth.max(1).values, 0.0) - exact).abs().max())
        within = TOLERANCE if same else max(TOLERANCE, min(within, 0.1 * gain))
    return {"value_iteration": first, "sweeps": sweeps, "policy_iteration": time.monotonic() - begin, "turns": turns,
            "apart": float((value - exact).abs().max())}  # fmt: skip


def main() -> int:
    if "--solve" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(solved(json.load(sys.stdin))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args = parser.parse_args()
    states = 2500 if args.quick else args.states
    results = Results("mdp", [*project("mdp"), Path(__file__)], sys.executable, args.fresh, args.quick, target=TARGET)
    rows = []
    for world, discount in (("garnet", 0.95), ("grid", 0.9)):
        parts = []
        for seed in range(1 if args.quick else args.repeats):
            question = {"world": world, "states": states, "seed": seed, "discount": discount}
            once = functools.partial(ask, [sys.executable, str(Path(__file__).resolve()), "--solve"], question,
                                     {"PYTHONPATH": str(ROOT)})  # fmt: skip
            parts.append(results.part(f"{world}/{states}/{seed}", once))
        found = {way: spread([part[way] for part in parts]) for way in ("value_iteration", "policy_iteration")}
        apart = max(part["apart"] for part in parts)
        results.write(**{world: {**found, "apart": apart, "states": states, "discount": discount,
                                 "sweeps": parts[0]["sweeps"], "turns": parts[0]["turns"]}})  # fmt: skip
        for way, one in found.items():
            count = parts[0]["sweeps" if way == "value_iteration" else "turns"]
            met = one["max"] <= TARGET["seconds"] and apart <= TARGET["apart"]
            rows.append([world, way.replace("_", " "), f"{one['median']:.1f} ({one['min']:.1f} to {one['max']:.1f})",
                         str(count), f"{apart:.1g}", "met" if met else "MISSED"])  # fmt: skip
    say(table(["world", "way", "seconds", "steps", "apart", "10 s, 1e-8"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
