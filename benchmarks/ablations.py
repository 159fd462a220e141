"""What each idea of AlexNet is worth: the page with all of them, and with one at a time left out.

    ./go bench ablations [--seeds 2] [--steps 800] [--only NAME ...] [--fresh]

On the 60,000 recompressed CIFAR-10 photographs of cifar10-jpeg.zip (see photos.py), preset `small`, the same updates
for all; error on the test folder, scored once a run. In so few updates what fights overfitting (dropout, colour) can
only cost: the paper's gains are of ninety passes through a million pictures. It only reports: no threshold.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any

from _results import Results, project
from digits import train
from measure import say, spread, table
from photos import unpacked

LEFT_OUT = {
    "nothing left out": [],
    "tanh for ReLU": ["--unit", "tanh"],
    "no response normalisation": ["--normalise", "false"],
    "windows side by side": ["--overlap", "false"],
    "no dropout": ["--dropout", "0"],
    "no colour": ["--tint", "0"],
    "no mirrored pictures": ["--flip", "false"],
    "the middle crop alone": ["--crops", "false"],
    "one tower": ["--towers", "1"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--only", nargs="*", default=list(LEFT_OUT), choices=LEFT_OUT, metavar="NAME")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    data = str(unpacked())
    results = Results("ablations", [*project("alexnet"), Path(__file__)], sys.executable, args.fresh)
    for name in args.only:
        say(name)
        words = ["train", "alexnet", "--preset", "small", "--steps", str(args.steps), "--data", data, *LEFT_OUT[name]]
        results.part(f"{name}, {args.steps} updates", functools.partial(train, words, args.seeds, False))
    summary, rows = {}, []
    for name, part in results.content["parts"].items():
        error = spread([run["scores"]["error"]["value"] for run in part["runs"]])
        first = part["runs"][0]
        summary[name] = {"error": error, "parameters": first["parameters"], "steps": first["steps"],
                         "seeds": len(part["runs"])}  # fmt: skip
        rows.append([name, f"{error['mean']:.2f}", f"{error['min']:.2f} to {error['max']:.2f}"])
    results.write(parts=summary)
    say(table(["AlexNet", "error, %", "over seeds"], rows))
    say(f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
