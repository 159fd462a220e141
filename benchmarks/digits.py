"""What the pages reach: every page on its data, by the commands that users type, with both intervals.

    ./go bench digits [--seeds 5] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train ... --json` in a temporary folder. Errors are on the test set, scored once; the
interval of the seeds (Student) and that of the test sample (Wilson) are both kept. It only reports: no threshold.
MILESTONES_DATA may name a folder with mnist-test (else the embedded split is scored, and labelled so) and usps.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import ROOT, Value, clean, run, say, spread, table

PARTS = {
    "perceptron": ["train", "perceptron"],
    "roman": ["train", "roman"],
    "parity": ["train", "parity"],
    "mlp": ["train", "mlp"],
    "lenet1989 paper": ["train", "lenet1989", "--preset", "paper", "--data", "usps", "--split", "final"],
    "lenet1989 modern": ["train", "lenet1989", "--preset", "modern", "--data", "usps", "--split", "final"],
    "lenet": ["train", "lenet", "--split", "final"],
    "zipcode": ["train", "zipcode"],
    "alexnet": ["train", "alexnet"],
    "depth": ["train", "depth"],
    "resnet": ["train", "resnet"],
    "resnet fashion": ["train", "resnet", "--preset", "fashion", "--data", "fashion"],
    "resnet fashion long": ["train", "resnet", "--preset", "fashion-long", "--data", "fashion"],
}
FEWER = {"resnet fashion long": 1}  # seeds of what takes long, where more are asked for


def train(words: list[str], seeds: int, quick: bool) -> Value:
    """One command: its reports, less what a page draws."""

    def once() -> Value:
        with tempfile.TemporaryDirectory() as folder:
            more = ["--seeds", str(seeds), "--json", *(["--minutes", "0.05"] if quick else [])]
            done = run([sys.executable, "-m", "milestones", *words, *more], {"PYTHONPATH": str(ROOT)}, Path(folder))
        if done["code"]:
            sys.exit(f"failed with {done['code']}: {words}\n{done['err'][-2000:]}")
        answer = json.loads(done["out"].strip().splitlines()[-1])
        here = tempfile.gettempdir() + "/"  # folders of this machine do not belong into the results
        data = os.environ.get("MILESTONES_DATA", "").rstrip("/") + "/"
        answer, typed = (
            json.loads(json.dumps(found).replace(here, "").replace(data if len(data) > 1 else here, ""))
            for found in (answer, words)
        )
        reports = answer.get("runs", [answer])
        names = (
            "seed",
            "command",
            "plan",
            "device",
            "data",
            "steps",
            "seconds",
            "rate",
            "peak_share",
            "ended",
            "parameters",
            "scores",
            "versions",
        )
        kept = [{name: report[name] for name in names if name in report} for report in reports]
        return {
            "words": typed,
            "runs": kept,
            "group": answer.get("group", {}),
            "process_seconds": round(done["seconds"], 1),
            "peak_mb": round(done["peak_mb"]),
            "foreign": done["foreign"],
            "seconds": done["seconds"],
        }

    return clean(once, 1 if quick else measure.TRIES)


def summed(part: Value) -> Value:
    """Each score: mean over seeds with both intervals, the data it is of, seconds of training."""
    runs, scores = part["runs"], {}
    for name, first in runs[0]["scores"].items():
        found = [one["scores"][name] for one in runs]
        same = ("unit", "data", "split", "over", "paper", "paper_data", "note")
        sample = {edge: sum(score[edge] for score in found) / len(found) for edge in ("low", "high")}
        values = [score["value"] for score in found]
        group = part["group"].get(name, {})
        seeds = {edge: group[edge] for edge in ("low", "high") if edge in group}
        scores[name] = {
            "seeds": spread(values),
            "seed_interval": seeds,
            "sample_interval": sample,
            "values": values,
            **{k: first.get(k) for k in same},
        }
    return {
        "scores": scores,
        "seconds": spread([one["seconds"] for one in runs]),
        "device": runs[0]["device"],
        "steps": runs[0]["steps"],
        "parameters": runs[0]["parameters"],
        "seeds": [one["seed"] for one in runs],
        "dirty": part["dirty"],
        "words": part["words"],
        "peak_mb": part["peak_mb"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a smoke run of 3 seconds each; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    seeds = 1 if args.quick else args.seeds
    code = project(
        "perceptron", "roman", "parity", "mlp", "lenet1989", "lenet", "zipcode", "alexnet", "depth", "resnet"
    )
    files = [*(p for p in code if p.exists()), Path(__file__)]
    results = Results(
        "digits",
        files,
        sys.executable,
        args.fresh,
        args.quick,
        seeds=seeds,
        data_folder=bool(os.environ.get("MILESTONES_DATA")),
    )
    summary: Value = {}
    for name, words in PARTS.items():
        count = min(seeds, FEWER.get(name, seeds))
        key = f"{name}/{count}"
        if name in args.only:
            say(f"milestones {' '.join(words)} --seeds {count}")
            results.part(key, functools.partial(train, words, count, args.quick))
        if part := results.content["parts"].get(key):
            summary[name] = {**summed(part), "when": part["when"], "code": part["code"]}
    results.write(pages=summary)
    rows = []
    for name, page in summary.items():
        for score, value in page["scores"].items():
            seed, sample = value["seed_interval"], value["sample_interval"]
            between = f"[{seed['low']:.2f}, {seed['high']:.2f}]" if seed else ""
            rows.append(
                [
                    f"{name} {score}",
                    f"{value['seeds']['mean']:.3g} {value['unit']}",
                    between,
                    f"[{sample['low']:.2f}, {sample['high']:.2f}]",
                    f"{page['seconds']['mean']:.1f} s",
                    str(len(page["seeds"])),
                    value["data"],
                    "DIRTY" * page["dirty"],
                ]
            )
    say(table(["", "mean", "seeds 95 %", "sample 95 %", "training", "seeds", "data", ""], rows))
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
