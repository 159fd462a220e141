"""How fast `circuit` learns a hidden Chow-Liu tree beside SPFlow and libcirkit, and what it reaches.

    ./go bench circuit [--seeds 3] [--only NAME ...] [--quick] [--fresh]

`speed`: seconds an epoch of Fashion-MNIST (256 levels, 32 states, batches of 256), the same tree, pictures, float32 and
cores in one environment, the three by turns (_circuits.py says what each does); a peer that is not installed is said to
be missing. Each learns by its own rule from its own first weights, so likelihoods are printed, not compared. SPFlow
learns from all rows at once: here it makes one step a batch.

`digits`, `grey`, `fashion`: trainings as a user has them, scored once on test. The published 3.34 bits of Fashion-MNIST
is a GPU's, of 60,000 pictures; here 55,000 train and 5,000 validate. Targets that are missed are printed as missed.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import HERE, ROOT, Value, ask, peers_python, ratios, say, spread, table

from milestones.data.pictures import folders

PARTS = {
    "digits": ["train", "circuit"],
    "grey": ["train", "circuit", "--preset", "grey"],
    "fashion": ["train", "circuit", "--preset", "fashion", "--data", "fashion", "--minutes", "10"],
}
RIVALS = {"spflow": ("SPFlow 1.1.0", 10.0), "cirkit": ("libcirkit 0.3.1", 2.0)}  # title, times faster wanted
BITS, SHARE, SPARE = 3.60, 10.0, 4.0  # of Fashion-MNIST at most, in minutes; points of error that half a picture costs


def pictures() -> Path:
    """The folder with Fashion-MNIST's files."""
    for folder in folders():
        for path in (folder / "fashion-mnist", folder / "fashion", folder / "dataset-fashion-mnist"):
            if path.is_dir():
                return path
    sys.exit("expected Fashion-MNIST in $MILESTONES_DATA or the cache, found none. Fetch it: milestones data fashion")


def installed(python: str, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0


def speed(rounds: int, batches: int) -> Value:
    """Seconds an epoch of each, by turns."""
    python, found = peers_python(), {}
    names = ["ours", *(name for name in RIVALS if installed(python, name))]
    for _ in range(rounds):
        for who in names:
            question = {"who": who, "folder": str(pictures()), "states": 32, "batch": 256, "batches": batches,
                        "threads": os.cpu_count()}  # fmt: skip
            one = ask([python, str(HERE / "_circuits.py")], question, {"PYTHONPATH": str(ROOT)})
            found.setdefault(who, []).append(one)
    missing = [name for name in RIVALS if name not in names]
    return {"runs": found, "missing": missing}


def said(part: Value) -> tuple[str, Value]:
    """The table of the speeds, and their summary."""
    epochs = {who: [run["epoch"] for run in runs] for who, runs in part["runs"].items()}
    rows, summary = [["ours", f"{spread(epochs['ours'])['median']:.1f}", "", ""]], {"ours": spread(epochs["ours"])}
    for who, (title, wanted) in RIVALS.items():
        if who not in epochs:
            rows.append([title, "not installed", "", ""])
            continue
        times = ratios(epochs[who], epochs["ours"])
        summary[who] = {"epoch": spread(epochs[who]), "times": times}
        met = "met" if times["min"] >= wanted else "MISSED"
        rows.append([title, f"{spread(epochs[who])['median']:.1f}", f"{times['median']:.1f}", f"{wanted:g}: {met}"])
    return table(["", "s an epoch", "ours is so many times faster", "wanted"], rows), summary


def main() -> int:
    args = parser(__doc__, ["speed", *PARTS]).parse_args()
    code = [*project("circuit"), Path(__file__), HERE / "_circuits.py"]
    results = Results("circuit", code, sys.executable, args.fresh, args.quick)
    if "speed" in args.only:
        rounds, batches = (1, 1) if args.quick else (args.seeds, 8)
        results.part("speed", functools.partial(speed, rounds, batches))
    if part := results.kept("speed"):
        text, figures = said(part)
        say(text)
        results.write(speed=figures)
    summary = measured(results, PARTS, args)
    if summary:
        say(scores(summary))
    if "digits" in summary and {"error", "error_half"} <= set(summary["digits"]["scores"]):
        found = summary["digits"]["scores"]
        more = found["error_half"]["seeds"]["mean"] - found["error"]["seeds"]["mean"]
        say(target("error that half of the pixels cost", more, SPARE, higher=False, unit="points"))
    if "fashion" in summary and "bpd" in summary["fashion"]["scores"]:
        bits = summary["fashion"]["scores"]["bpd"]["seeds"]["mean"]
        say(target("Fashion-MNIST", bits, BITS, higher=False, unit="bits"))
        minutes = summary["fashion"]["seconds"]["mean"] / 60
        say(target("in", minutes, SHARE, higher=False, unit="min"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
