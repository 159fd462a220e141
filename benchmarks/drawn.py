"""How good the pictures are that `flow` and `gan` draw, of digits and of clothes, and how long 64 of them take.

    ./go bench drawn [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train PAGE ... --json` in a temporary folder. Scores are of 1,000 drawn pictures of the
classes of as many test pictures: random ones, none left out. They are judged by a net that learned in the same run from
the same real training pictures; its own accuracy on real test pictures stands beside. The targets are of `flow long`;
a missed one is printed as missed. What takes a picture's time does not depend on what was learned: it is measured with
new weights, by the sampler as it is scored, the median of several turns.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import ROOT, Value, clean, run, say

PARTS = {
    "flow": ["train", "flow"],
    "gan": ["train", "gan"],
    "flow long": ["train", "flow", "--preset", "long"],
    "gan long": ["train", "gan", "--preset", "long"],
    "flow fashion": ["train", "flow", "--preset", "fashion", "--data", "fashion"],
    "gan fashion": ["train", "gan", "--preset", "fashion", "--data", "fashion"],
}
ONE_SEED = {name: 1 for name in PARTS if " " in name and name != "flow long"}
ACCURACY, TRAINING, DRAWING = 95.0, 600.0, 2.0  # percent at least; seconds at most, for 64 pictures
COUNT, TURNS = 64, 9
HERE = Path(__file__)


def drawing(page: str, preset: str) -> None:
    """Print the median seconds that COUNT pictures take."""
    import torch

    from milestones.catalog import find
    from milestones.catalog import page as module_of
    from milestones.core.source import Place
    from milestones.data.drawings import noise_of

    system = module_of(find(page)).system
    knobs, place = system.presets[preset], Place(torch.device("cpu"), 0)
    model = system.build(knobs, system.prepare(knobs, place).facts).eval()
    label, noise, more = torch.arange(COUNT) % 10, noise_of(model, COUNT, "time"), {}
    if page == "flow":
        more = {"moves": knobs.moves, "guidance": knobs.guidance}
    times = []
    with torch.inference_mode():
        for _ in range(TURNS):
            begin = time.perf_counter()
            model.draw(label, noise, **more)
            times.append(time.perf_counter() - begin)
    print(statistics.median(times[1:]))


def timed(page: str, preset: str) -> Value:
    """The same in a process of its own, without other programs at work."""

    def once() -> Value:
        done = run([sys.executable, str(HERE), "--draw", page, preset], {"PYTHONPATH": str(ROOT)}, ROOT)
        if done["code"]:
            sys.exit(f"failed with {done['code']}: {done['err'][-2000:]}")
        return {"draw_seconds": float(done["out"]), "foreign": done["foreign"], "seconds": done["seconds"]}

    return clean(once)


def main() -> int:
    if sys.argv[1:2] == ["--draw"]:
        drawing(*sys.argv[2:])
        return 0
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("drawn", [*project("flow", "gan"), HERE], sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args, ONE_SEED)
    drawn = {}
    for page in ("flow", "gan"):
        for preset in ("quick", "long"):
            key = f"{page} {preset}, {COUNT} pictures"
            results.part(key, lambda page=page, preset=preset: timed(page, preset))
            if part := results.kept(key):
                drawn[key] = {"seconds": part["draw_seconds"]}
    results.write(pages=summary, drawing=drawn)
    say(scores(summary))
    for key, one in drawn.items():
        say(target(key, one["seconds"], DRAWING, higher=False, unit="s"))
    if "flow long" in summary:
        long = summary["flow long"]
        say(target("sample accuracy", long["scores"]["sample_accuracy"]["seeds"]["mean"], ACCURACY))
        say(target("training", long["seconds"]["mean"], TRAINING, higher=False, unit="s"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
