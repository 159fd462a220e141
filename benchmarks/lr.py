"""How often the study of the learning rate is right: its rate against a grid, on every page that can be studied.

    ./go bench lr [--scale 0.25] [--seeds 1] [--studies 3] [--only PAGE ...] [--plan PLAN] [--fresh]

For each page of the catalog with a setting `lr` and a loss, preset quick: `milestones train` at nine rates, from a
sixteenth to sixteen times the preset's, and `milestones lr` with other seeds, which does not look at that rate; then
`train` at the rate that it suggests. A study is right if the last validation loss at its rate (mean over `--seeds`)
is within 10 % of the grid's lowest. No test score is read. `--scale` shortens the trainings, and the studies with
them. Each training and each study is a part of its own, so a benchmark that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, run, say, spread, table

WITHIN = 1.1  # times the grid's lowest loss
FACTORS = [2.0**k for k in range(-4, 5)]
LENGTHS = ("steps", "passes")  # the settings that say how long a page trains
MORE = {"mlp": ["--pipelines", "false"]}  # what takes time and decides nothing here
FAR = 1000  # between the seeds of trainings and those of studies


def pages() -> dict[str, tuple[float, dict[str, int]]]:
    """The pages that can be studied: the preset's rate, and the settings of its length."""
    sys.path.insert(0, str(ROOT))
    from milestones.catalog import TIMELINE, page

    found = {}
    for entry in TIMELINE:
        system = page(entry).system
        knobs = system.presets["quick"].model_dump()
        if isinstance(knobs.get("lr"), float) and system.loss is not None:
            found[entry.name] = knobs["lr"], {name: knobs[name] for name in LENGTHS if name in knobs}
    return found


def milestones(words: Sequence[str], folder: str) -> Value:
    return run([sys.executable, "-m", "milestones", *words, "--json"], {"PYTHONPATH": str(ROOT)}, Path(folder))


def trained(words: list[str]) -> Value:
    """One training: its last validation loss, a mean over the stages that have one; infinite if it diverged."""
    with tempfile.TemporaryDirectory() as folder:
        done = milestones(["train", *words], folder)
        if done["code"] and "expected a finite loss" not in done["err"]:
            sys.exit(f"failed with {done['code']}: {words}\n{done['err'][-2000:]}")
        last: dict[str, float] = {}
        for log in Path(folder).glob("runs/*/log.jsonl"):
            for line in map(json.loads, log.read_text().splitlines()):
                if "valid_loss" in line:
                    last[line["stage"]] = line["valid_loss"]
        report = json.loads(done["out"]) if not done["code"] else {}
    loss = sum(last.values()) / len(last) if last and not done["code"] else None  # None: it diverged
    return {"words": words, "valid_loss": loss, "train_seconds": report.get("seconds"), "foreign": done["foreign"]}


def studied(words: list[str]) -> Value:
    """One study: its rate, interval and cost; a rate of None where it finds none, which counts as wrong."""
    with tempfile.TemporaryDirectory() as folder:
        done = milestones(["lr", *words], folder)
    if done["code"] and "expected a rate at which the loss falls" in done["err"]:
        return {"words": words, "rate": None, "said": done["err"].strip().splitlines()[-1]}
    if done["code"]:
        sys.exit(f"failed with {done['code']}: {words}\n{done['err'][-2000:]}")
    answer = json.loads(done["out"])
    kept = ("rate", "low", "high", "edges", "share", "updates", "short", "compared")
    return {"words": words, **{name: answer[name] for name in kept}, "study_seconds": answer["seconds"],
            "foreign": done["foreign"]}  # fmt: skip


def mean(parts: Sequence[Value]) -> float:
    """The mean loss; infinite if one diverged, or none was trained."""
    values = [part["valid_loss"] for part in parts]
    return math.inf if None in values or not values else sum(values) / len(values)


def summed(updates: int, grid: dict[float, list[Value]], studies: list[tuple[Value, list[Value]]]) -> Value:
    """A page's figures: the grid's lowest loss, and what each study's rate makes of it."""
    losses = {rate: mean(parts) for rate, parts in grid.items()}
    best = min(losses, key=losses.__getitem__)
    seconds = [part["train_seconds"] for parts in grid.values() for part in parts if part["train_seconds"]]
    ratios = [mean(parts) / losses[best] for _, parts in studies]
    answered = [study for study, _ in studies if study["rate"] is not None]
    return {
        "updates": answered[0]["updates"] if answered else updates, "best_rate": best, "best_loss": losses[best],
        "good_rates": [rate for rate, loss in losses.items() if loss <= WITHIN * losses[best]],
        "rates": [study["rate"] for study, _ in studies],
        "intervals": [[study["low"], study["high"]] for study in answered],
        "ratios": [ratio if math.isfinite(ratio) else None for ratio in ratios],
        "hits": sum(ratio <= WITHIN for ratio in ratios), "studies": len(studies),
        "share": spread([study["share"] for study in answered]) if answered else None,
        "share_seconds": spread([study["study_seconds"] * len(seconds) / sum(seconds) for study in answered])
        if answered else None,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.25, help="of the updates of a training [0.25]")
    parser.add_argument("--seeds", type=int, default=1, help="trainings at each rate [1]")
    parser.add_argument("--studies", type=int, default=3, help="studies of each page [3]")
    parser.add_argument("--only", nargs="*", metavar="PAGE", help="these pages alone")
    parser.add_argument("--plan", default="auto")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--quick", action="store_true", help="a smoke run of few updates; says nothing")
    args: Any = parser.parse_args()
    known = pages()
    if unknown := set(args.only or ()) - set(known):
        parser.error(f"--only takes {', '.join(known)}; not {', '.join(sorted(unknown))}")
    scale = 0.02 if args.quick else args.scale
    verbs = ROOT / "milestones" / "verbs"
    files = [*project(*known), verbs / "study.py", verbs / "trial.py", Path(__file__)]
    results = Results("lr", files, sys.executable, args.fresh, args.quick, scale=scale, seeds=args.seeds, within=WITHIN)
    summary: Value = {}
    for page in known if args.only is None else args.only:
        rate, lengths = known[page]
        words = [page, "--plan", args.plan, *MORE.get(page, [])]
        for name, value in lengths.items():
            words += [f"--{name}", str(max(1, round(value * scale)))]

        def at(one: float, page: str = page, words: list[str] = words) -> list[Value]:
            found = []
            for seed in range(args.seeds):
                say(f"{page}: lr {one:g}, seed {seed}")
                more = [*words, "--lr", f"{one:g}", "--seed", str(seed)]
                found.append(results.part(shown(more), functools.partial(trained, more)))
            return found

        grid = {float(f"{rate * factor:g}"): at(rate * factor) for factor in FACTORS}
        studies = []
        for number in range(args.studies):
            say(f"{page}: study {number}")
            more = [*words, "--seed", str(FAR * (number + 1))]
            study = results.part("study " + shown(more), functools.partial(studied, more))
            studies.append((study, at(study["rate"]) if study["rate"] is not None else []))
        summary[page] = summed(max(1, round(next(iter(lengths.values())) * scale)), grid, studies)
        results.write(pages={**results.content["summary"].get("pages", {}), **summary})
    hits, over = (sum(page[name] for page in summary.values()) for name in ("hits", "studies"))
    sys.path.insert(0, str(ROOT))
    from milestones.core.score import wilson

    low, high = wilson(hits, over)
    results.write(pages=summary, hits=hits, studies=over, percent=100 * hits / over, low=low, high=high)
    rows = [
        [page, f"{one['updates']:,}", f"{one['best_loss']:.4g} at {one['best_rate']:.2g}",
         ", ".join("none" if rate is None else f"{rate:.2g}" for rate in one["rates"]),
         ", ".join("none" if ratio is None else f"{100 * ratio - 100:+.0f} %" for ratio in one["ratios"]),
         f"{one['hits']} of {one['studies']}",
         *(f"{100 * one[share]['mean']:.0f} %" if one[share] else "" for share in ("share", "share_seconds"))]
        for page, one in summary.items()
    ]  # fmt: skip
    head = ["page", "updates", "grid's lowest loss", "suggested", "loss there", "within 10 %", "updates", "seconds"]
    say(table(head, rows))
    say(f"within 10 %: {hits} of {over} studies, {100 * hits / over:.0f} % (95 %: {low:.0f} to {high:.0f} %)")
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


def shown(words: Sequence[str]) -> str:
    """The words as the key of a part."""
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
