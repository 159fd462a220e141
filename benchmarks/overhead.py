"""What the loop costs: `fit` with log, evaluation, plan and saving, against the same steps in bare PyTorch.

    ./go bench overhead [--repeats 9] [--quick] [--fresh]

LeNet at batch 128 and a perceptron 784-64-10 with one hidden layer at batch 64, on random pictures. Both sides draw
the same batches, run under the same layout and threads, and evaluate never; ours seeds each step, logs, writes a line
every few steps, has the training doctor look, asks for a reason to stop and saves its state at the end. They take
turns in one process, so that both have the same memory and the same neighbours; the measuring of the plan, once a run,
is reported beside it.
Target: at most 5 % (ours / bare at most 1.05).
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import HERE, ROOT, Value, ask, ratios, say, spread, table

TARGET = 1.05
CASES = {
    "lenet, batch 128": {"net": "lenet", "batch": 128, "steps": 600},
    "mlp 784-64-10, batch 64": {"net": "mlp", "batch": 64, "steps": 4000},
}


def worker(question: Value) -> Value:
    """Seconds a repeat for both sides, in turns; runs in a process of its own."""
    sys.path.insert(0, str(ROOT))
    import tempfile

    import torch
    from torch import nn
    from torch.nn import functional as F

    from milestones.core.fit import cosine, fit
    from milestones.core.plan import Plan
    from milestones.core.run import Run
    from milestones.core.source import Held, Place
    from milestones.data import Labelled
    from milestones.parts.layers import Normalise
    from milestones.parts.vitals import look
    from milestones.systems.lenet import LeNet

    def net() -> nn.Module:
        torch.manual_seed(0)
        if question["net"] == "lenet":
            return LeNet(10, 33.0, 79.0)
        return nn.Sequential(Normalise(33.0, 79.0), nn.Flatten(), nn.Linear(784, 64), nn.Tanh(), nn.Linear(64, 10))

    def loss(model: nn.Module, batch: Any) -> dict[str, Any]:
        return {"loss": F.cross_entropy(model(batch.image), batch.label)}

    steps, batch, place = question["steps"], question["batch"], Place(torch.device("cpu"), 0)
    keyed = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (8000, 1, 28, 28), dtype=torch.uint8, generator=keyed)
    source = Held(Labelled(image, torch.randint(0, 10, (8000,), generator=keyed)), place, "random pictures", "train")

    def ours(folder: str, plan: Plan | None) -> tuple[float, Plan]:
        words = f"{plan.layout}/{plan.precision}/{plan.threads}" if plan else "auto"
        model = net()
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        with Run(Path(folder), place, words, doctor=look) as run:
            fit(
                model,
                loss,
                source,
                run,
                steps=steps if plan else 1,
                batch=batch,
                optimizer=optimizer,
                schedule=cosine(steps),
            )
            return run.seconds, run.plan

    def bare(plan: Plan) -> float:
        model = net()
        torch.set_num_threads(plan.threads)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        if plan.layout == "channels_last":
            model.to(memory_format=torch.channels_last)
        at, begin, order = cosine(steps), time.perf_counter(), torch.empty(0)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * at(step)
            if (step * batch) % len(image) < batch:
                order = torch.randperm(len(image))
            first = (step * batch) % (len(image) - batch)
            index = order[first : first + batch]
            picture, label = source.examples.image[index], source.examples.label[index]
            if plan.layout == "channels_last":
                picture = picture.contiguous(memory_format=torch.channels_last)
            if plan.precision == "bfloat16":
                with torch.autocast("cpu", torch.bfloat16):
                    value = F.cross_entropy(model(picture), label)
            else:
                value = F.cross_entropy(model(picture), label)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        return time.perf_counter() - begin

    with tempfile.TemporaryDirectory() as root:
        Path(root, "first").mkdir()
        os.environ["XDG_CACHE_HOME"] = root  # where no plan is remembered
        began = time.perf_counter()
        took, plan = ours(f"{root}/first", None)
        planned = time.perf_counter() - began - took
        measured: dict[str, list[float]] = {"ours": [], "bare": []}
        for i in range(question["repeats"] + 1):  # the first one warms up
            folder = Path(root, str(i))
            folder.mkdir()
            for who in ("ours", "bare") if i % 2 else ("bare", "ours"):
                seconds = ours(str(folder), plan)[0] if who == "ours" else bare(plan)
                if i:
                    measured[who].append(seconds)
    return {
        **measured,
        "plan_seconds": round(planned, 2),
        "steps": steps,
        "plan": plan.words,
        "layout": plan.layout,
        "threads": plan.threads,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.worker:
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    files = [*project("lenet"), Path(__file__)]
    results = Results("overhead", files, sys.executable, args.fresh, args.quick, target=TARGET, repeats=args.repeats)
    summary: Value = {}
    for cpu, env in measure.instruction_sets().items():
        for name, case in CASES.items():
            question = {**case, "repeats": args.repeats, **({"steps": 60, "repeats": 1} if args.quick else {})}
            command = [sys.executable, str(HERE / "overhead.py"), "--worker"]
            tries = 1 if args.quick else measure.TRIES
            found = results.part(f"{cpu}/{name}", functools.partial(ask, command, question, env, tries))
            ratio = ratios(found["ours"], found["bare"])
            micro = {who: spread([1e6 * s / found["steps"] for s in found[who]]) for who in ("ours", "bare")}
            summary[f"{cpu}/{name}"] = {
                "ratio": ratio,
                **micro,
                "plan_seconds": found["plan_seconds"],
                "dirty": found["dirty"],
                "foreign": found["foreign"],
            }
    results.write(cases=summary)
    rows = [
        [
            key,
            f"{v['ours']['median']:.0f}",
            f"{v['bare']['median']:.0f}",
            f"{v['ratio']['median']:.3f}",
            f"{v['ratio']['min']:.3f}-{v['ratio']['max']:.3f}",
            "yes" if v["ratio"]["median"] <= TARGET else "MISSED",
            f"{v['plan_seconds']:.1f}",
            f"{v['foreign']:.0f}{' DIRTY' if v['dirty'] else ''}",
        ]
        for key, v in summary.items()
    ]
    say(
        table(
            ["", "ours, us/step", "bare, us/step", "ours / bare", "all pairs", "<= 1.05", "plan, s", "others, %"], rows
        )
    )
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
