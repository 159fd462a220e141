"""Ten LeNets on Fashion-MNIST that answer as one: accuracy, log loss, calibration, and the cost against one net.

    ./go bench ensemble [--members 10] [--seeds 1] [--steps 16000] [--quick] [--fresh]

One command trains one net with the preset fashion-long of lenet, another the ensemble with the same settings; both
are scored once, on the test set. The temperature and the thresholds of "I don't know" are chosen on validation
pictures. The cost is the ratio of the seconds of training. A second part has a small net on the rows of a table, where
the members train as one batched net. MILESTONES_DATA may name a folder with fashion-mnist.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import ROOT, Value, clean, run, say, spread, table

TARGETS = {"accuracy": 93.0, "log_loss": 0.21, "calibration_error": 1.2, "cost": 5.0}  # the first at least
ROWS = 3000  # of the table
KEPT = ("seed", "command", "plan", "device", "data", "steps", "seconds", "rate", "ended", "parameters", "scores",
        "calibration", "members")  # fmt: skip


def trained(words: list[str], seeds: int, tries: int) -> Value:
    """One command's reports."""

    def once() -> Value:
        with tempfile.TemporaryDirectory() as folder:
            typed = [*words, "--seeds", str(seeds), "--json"]
            if "rows.csv" in typed:
                rows(Path(folder) / "rows.csv")
            done = run([sys.executable, "-m", "milestones", *typed], {"PYTHONPATH": str(ROOT)}, Path(folder))
            if done["code"]:
                sys.exit(f"failed with {done['code']}: {typed}\n{done['err'][-2000:]}")
            text = done["out"].strip().splitlines()[-1].replace(str(Path(folder).resolve()) + "/", "")
        answer = json.loads(text)
        reports = [{name: one[name] for name in KEPT if name in one} for one in answer.get("runs", [answer])]
        return {"words": typed, "runs": reports, "peak_mb": round(done["peak_mb"]), "foreign": done["foreign"],
                "seconds": done["seconds"]}  # fmt: skip

    return clean(once, tries)


def rows(path: Path) -> None:
    """A table of three classes that overlap, made anew from a fixed seed."""
    import random

    rng = random.Random(0)
    lines = [",".join([*(f"x{k}" for k in range(12)), "class"])]
    for _ in range(ROWS):
        kind = rng.randrange(3)
        lines.append(",".join([*(f"{rng.gauss(kind * (k % 3 == 0), 1.5):.3f}" for k in range(12)), "abc"[kind]]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def figures(part: Value) -> Value:
    """Accuracy, log loss, calibration error and seconds over the seeds; of an ensemble what a member makes alone."""
    reports = part["runs"]
    at = [next((row for row in one["calibration"]["answering"]["test"] if row["most"] == 1.0), None) for one in reports]
    found = {
        "accuracy": spread([100 - one["scores"]["error"]["value"] for one in reports]),
        "log_loss": spread([one["calibration"]["log_loss"] for one in reports]),
        "calibration_error": spread([one["calibration"]["error"] for one in reports]),
        "seconds": spread([one["seconds"] for one in reports]),
        "at_1": [row and {key: row[key] for key in ("expected", "answered", "error")} for row in at],
        "data": reports[0]["scores"]["error"]["data"],
        "seeds": [one["seed"] for one in reports],
        "dirty": part["dirty"],
        "words": part["words"],
    }  # fmt: skip
    if members := [one["members"] for one in reports if "members" in one]:
        found["member_accuracy"] = spread([100 - one["mean_error"] for one in members])
        found["temperature"] = spread([one["temperature"] for one in members])
        found["together"] = [one["cost"] for one in members]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="updates of each member instead of the preset's")
    parser.add_argument("--quick", action="store_true", help="a smoke run of 20 updates; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    steps = 20 if args.quick else args.steps
    files = [*project("lenet", "mlp"), ROOT / "milestones" / "verbs" / "members.py", Path(__file__)]
    results = Results("ensemble", files, sys.executable, args.fresh, args.quick, members=args.members)
    more = ["--steps", str(steps)] if steps else []
    commands = {
        "lenet": ["train", "lenet", "--preset", "fashion-long", "--data", "fashion", *more],
        "table": ["train", "mlp", "--preset", "table", "--pipelines", "false", "--data", "rows.csv", "--target",
                  "class", *more],
    }  # fmt: skip
    summary, lines = {}, []
    for name, words in commands.items():
        found = {}
        for kind, many in (("one", []), ("members", ["--members", str(args.members)])):
            say(f"milestones {' '.join([*words, *many])} --seeds {args.seeds}")
            key = f"{name}/{kind}/{args.members}/{args.seeds}/{steps}"
            tries = 1 if args.quick else measure.TRIES
            found[kind] = figures(results.part(key, functools.partial(trained, [*words, *many], args.seeds, tries)))
        cost = found["members"]["seconds"]["mean"] / found["one"]["seconds"]["mean"]
        summary[name] = {**found, "cost": cost, "targets": TARGETS if name == "lenet" else {"cost": TARGETS["cost"]}}
        for kind, one in found.items():
            lines.append([f"{name}, {kind}", *(f"{one[score]['mean']:.3f}" for score in list(TARGETS)[:3]),
                          f"{one['seconds']['mean']:.1f} s", f"{cost:.1f}" if kind == "members" else "1",
                          "DIRTY" * one["dirty"]])  # fmt: skip
        for score, target in summary[name]["targets"].items():
            value = cost if score == "cost" else found["members"][score]["mean"]
            reached = value >= target if score == "accuracy" else value <= target
            lines.append(
                [f"  {score}: target {target:g}", f"{value:.3f}", "reached" if reached else "MISSED", *[""] * 4]
            )
    results.write(**summary)
    say(table(["", "accuracy, %", "log loss", "calibration error, %", "training", "cost", ""], lines))
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
