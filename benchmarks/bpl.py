"""How well `bpl` names characters of alphabets that it never saw, from one drawing of each, and how soon it parses one.

    ./go bench bpl [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train ... --json` in a temporary folder. Scored on Omniglot's 20 official runs, 400
questions of 20 characters of one alphabet each, after learning from the pens' paths of one of the two small background
sets. Beside it `fewshot`, which learns from the same drawings' pictures, and the nearest picture, pixel for pixel, as
`fewshot` sees them. Settings were chosen on alphabets of the other background set.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import ROOT, Value, say

from milestones.data.omniglot import unpacked
from milestones.systems.bpl import Knobs, Programs, programs

PARTS = {
    "first": ["train", "bpl"],
    "second": ["train", "bpl", "--preset", "second"],
    "fewshot": ["train", "fewshot"],
}
ERROR, REACH, PARSED_S = 20.0, 8.0, 10.0  # percent at most, and hoped for; seconds of a parse at most


def parse_time() -> Value:
    """Seconds to parse a picture of the official runs: in the mean, and at most."""
    with np.load(ROOT / "milestones" / "data" / "omniglot.npz", allow_pickle=False) as archive:
        image = unpacked(archive["run_image"][:, 1]).reshape(-1, 105, 105) > 0
    torch.manual_seed(0)
    model, taken = Programs(Knobs()), []
    for one in image[::10]:
        begin = time.perf_counter()
        programs(model, one[None])
        taken.append(time.perf_counter() - begin)
    return {"pictures": len(taken), "mean_s": float(np.mean(taken)), "max_s": float(max(taken))}


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("bpl", [*project("bpl"), *project("fewshot"), Path(__file__)], sys.executable, args.fresh,
                      args.quick)  # fmt: skip
    summary = measured(results, PARTS, args)
    parse = parse_time()
    results.write(pages=summary, parse=parse)
    say(scores(summary))
    say(f"a parse: {parse['mean_s']:.3f} s in the mean of {parse['pictures']}, at most {parse['max_s']:.3f} s")
    say(target("slowest parse", parse["max_s"], PARSED_S, unit="s", higher=False))
    for name in ("first", "second"):
        if name in summary:
            error = summary[name]["scores"]["error"]["seeds"]["mean"]
            say(target(f"{name}: 20 official runs", error, ERROR, higher=False))
            say(target(f"{name}: 20 official runs, reach", error, REACH, higher=False))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
