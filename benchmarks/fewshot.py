"""How well `fewshot` names characters of alphabets that it never saw, from one drawing of each.

    ./go bench fewshot [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train fewshot ... --json` in a temporary folder. Scored on Omniglot's 20 official runs, 400
questions of 20 characters of one alphabet each, after learning from one of the two small background sets. Beside it the
nearest picture, pixel for pixel: of the pictures that the net sees, scaled to a box and centred by mass, which helps
pixels much and is the stricter comparison; and of the pictures as Omniglot has them. The target is printed for both.
Settings were chosen on alphabets of the other background set.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import ROOT, Value, say

from milestones.data.omniglot import RUNS, WAY, unpacked
from milestones.parts.oneshot import missed, nearer

PARTS = {"first": ["train", "fewshot"], "second": ["train", "fewshot", "--preset", "second"]}
ERROR, AHEAD, EPISODE = 25.0, 25.0, 5  # percent at most; points at least before pixels, in episodes of five


def untouched() -> Value:
    """Percent wrong of the nearest picture on the official runs as Omniglot has them: 20-way, and 5-way."""
    with np.load(ROOT / "milestones" / "data" / "omniglot.npz", allow_pickle=False) as archive:
        image, answer = archive["run_image"], archive["run_answer"].astype(np.int64)
    known = np.concatenate([image[run, 0][answer[run]] for run in range(RUNS)])  # in the order of the questions
    example, query = (torch.from_numpy(unpacked(part).astype(np.float32))
                      for part in (known, image[:, 1].reshape(known.shape)))  # fmt: skip
    ahead, others = nearer(query, example, torch.arange(RUNS * WAY), torch.arange(RUNS * WAY) // WAY)
    return {"error": 100 * float((ahead > 0).double().mean()),
            "error_5way": 100 * float(missed(ahead, others, EPISODE).mean())}  # fmt: skip


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("fewshot", [*project("fewshot"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args)
    plain = untouched()
    results.write(pages=summary, untouched_pixels=plain)
    say(scores(summary))
    say(f"pixels as Omniglot has them: {plain['error']:.2f} % 20-way, {plain['error_5way']:.2f} % 5-way")
    for name, part in summary.items():
        mean = {score: one["seeds"]["mean"] for score, one in part["scores"].items()}
        say(target(f"{name}: 20 official runs", mean["error"], ERROR, higher=False))
        for what, pixels in (("the pixels it sees", mean["error_5way_pixels"]), ("Omniglot's", plain["error_5way"])):
            say(target(f"{name}: 5-way, ahead of {what}", pixels - mean["error_5way"], AHEAD, unit="points"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
