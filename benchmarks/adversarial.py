"""How far a net can be hardened on the embedded digits, and what it costs: the page `adversarial`, by its commands.

    ./go bench adversarial [--seeds 3] [--only NAME ...] [--quick] [--fresh]

`classic`: one command trains the standard net and the one that learns from FGSM's pictures, and scores both. `robust`:
PGD-robust. `certified`: by interval bounds. All learn from the 9,000 embedded digits (--split final) and are scored
once on MNIST's test set, where MILESTONES_DATA names a folder with mnist-test (else on the embedded split, labelled
so); FGSM and the bounds on all of it, PGD (40 steps, 10 restarts) and AutoAttack on its first pictures. The published
figures beside are of nets that learned from all 60,000. It reports; what was to be reached is said, also where it was
missed.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path
from typing import Any

from _results import Results, project
from digits import summed, train
from measure import Value, say, table

FINAL = ["--split", "final"]
PARTS = {
    "classic": ["train", "adversarial", *FINAL],
    "robust": ["train", "adversarial", "--preset", "robust", *FINAL, "--examples", "1000"],
    "certified": ["train", "adversarial", "--preset", "certified", *FINAL],
}
FEWER = {"robust": 1, "certified": 1}  # seeds of what takes long, unless --long
# part: (score or seconds, at least, bound, what it is)
MUSTS = {
    "classic": (
        ("accuracy_fgsm", True, 82.0, "read rightly under FGSM at 0.25"),
        ("command_seconds", False, 240.0, "seconds, scoring and start included"),
    ),
    "robust": (
        ("accuracy", True, 97.5, "read rightly as they are"),
        ("accuracy_autoattack", True, 75.0, "read rightly under AutoAttack at 0.3"),
        ("training_seconds", False, 720.0, "seconds of training"),
    ),
    "certified": (("accuracy_certified", True, 75.0, "certified at 0.3"),),
}


def verdicts(name: str, page: Value) -> list[Value]:
    """Each must of a part: what was measured, and whether it was reached."""
    found = []
    for key, least, bound, words in MUSTS[name]:
        value = page[key] if key in page else page["scores"][key]["seeds"]["mean"]
        reached = value >= bound if least else value <= bound
        found.append({"of": name, "what": words, "value": value, "least": least, "bound": bound, "reached": reached})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="as many seeds of the long trainings, too")
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a smoke run of 3 seconds each; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    files = [*project("adversarial"), Path(__file__)]
    there = bool(os.environ.get("MILESTONES_DATA"))
    results = Results("adversarial", files, sys.executable, args.fresh, args.quick, seeds=args.seeds, data_folder=there)
    summary: Value = {}
    for name, words in PARTS.items():
        seeds = 1 if args.quick else args.seeds if args.long else min(args.seeds, FEWER.get(name, args.seeds))
        key = f"{name}/{seeds}"
        if name in args.only:
            say(f"milestones {' '.join(words)} --seeds {seeds}")
            few = ["--examples", "20"] if args.quick else []
            results.part(key, functools.partial(train, [*words, *few], seeds, args.quick))
        if part := results.content["parts"].get(key):
            page = {**summed(part), "when": part["when"], "code": part["code"]}
            page["training_seconds"] = page["seconds"]["mean"]
            page["command_seconds"] = part["process_seconds"] / seeds
            summary[name] = {**page, "musts": verdicts(name, page)}
    results.write(nets=summary)
    rows = []
    for name, page in summary.items():
        for score, value in page["scores"].items():
            sample = value["sample_interval"]
            rows.append(
                [
                    f"{name} {score}",
                    f"{value['seeds']['mean']:.2f} {value['unit']}",
                    f"[{sample['low']:.2f}, {sample['high']:.2f}]",
                    f"{value['over']:,}",
                    "" if value["paper"] is None else f"{value['paper']:g} ({value['paper_data']})",
                    str(len(page["seeds"])),
                    f"{page['training_seconds']:.0f} s",
                    f"{page['command_seconds']:.0f} s",
                    value["data"],
                    "DIRTY" * page["dirty"],
                ]
            )
    say(table(["", "mean", "sample 95 %", "over", "published", "seeds", "training", "command", "data", ""], rows))
    for must in (must for page in summary.values() for must in page["musts"]):
        asked = f"{'at least' if must['least'] else 'at most'} {must['bound']:g}"
        word = "reached" if must["reached"] else "MISSED"
        say(f"{must['of']}: {must['value']:.2f} {must['what']}; must: {asked}: {word}")
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
