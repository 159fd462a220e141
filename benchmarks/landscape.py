"""The loss around LeNet: how long its plane takes, when there is something to see, and what its curvature costs.

    ./go bench landscape [--repeats 3] [--quick] [--fresh]

`milestones look lenet --landscape` on the run that ships: 51 x 51 points of a filter-normalised plane on 2,000 training
pictures, the line from the start, the five largest eigenvalues of the Hessian and its trace. Seconds count from the
start of the process, the import of PyTorch included; the plane's own are beside them. Each repeat is a process. The
eigenvalues' error is measured on nets of about 1,000 parameters, against a Hessian that is written down.
Targets: the plane in 150 s, the first view in 5 s, five eigenvalues in 30 s, within 1 % of the exact ones.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import HERE, ROOT, Value, ask, say, spread, table

TARGETS = {"plane": 150.0, "first_view": 5.0, "eigenvalues": 30.0, "error": 1.0}
UNITS = ("tanh", "relu")
SEEDS = 5


def seen(question: Value) -> Value:
    """Seconds of one landscape, from the process's start to its first view and to its end."""
    sys.path.insert(0, str(ROOT))
    import tempfile

    import torch

    from milestones.cli import main
    from milestones.verbs.landscape import Study

    torch.set_num_threads(question["threads"])
    began, views = float(os.environ["BENCHMARK_BEGAN"]), []
    inner = Study.write

    def write(self: Study, last: bool = False) -> None:
        inner(self, last)
        views.append(time.monotonic() - began)

    Study.write = write  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()) as out:
        words = ["look", "lenet", "--landscape", "--runs", root, "--json"]
        assert main([*words, "--size", str(question["size"]), "--examples", str(question["examples"])]) == 0
    found = json.loads(out.getvalue())
    return {"first_view": views[0], "whole": views[-1], "plane": found["plane"]["seconds"],
            "eigenvalues": found["curvature"]["eigenvalue_seconds"], "products": found["curvature"]["products"],
            "top": found["curvature"]["eigenvalues"], "bounds": found["curvature"]["bounds"]}  # fmt: skip


def errors(question: Value) -> Value:
    """The largest error of five eigenvalues, percent, for each of several small nets."""
    sys.path.insert(0, str(ROOT))
    import torch
    from torch import nn
    from torch.func import functional_call
    from torch.nn import functional as F

    from milestones.data import Labelled
    from milestones.parts.curvature import hessian, largest
    from milestones.parts.landscape import Terrain, vector

    def loss(model: nn.Module, batch: Labelled) -> dict[str, Any]:
        return {"loss": F.cross_entropy(model(batch.image), batch.label)}

    unit, worst, sizes = {"tanh": nn.Tanh, "relu": nn.ReLU}[question["unit"]], [], []
    for seed in range(question["seeds"]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(16, 32), unit(), nn.Linear(32, 10))
        batch = Labelled(torch.randn(200, 16), torch.randint(0, 10, (200,)))
        double = Labelled(batch.image.double(), batch.label)
        shapes = {name: p.shape for name, p in net.named_parameters()}

        def height(flat: Any, shapes: Any = shapes, net: Any = net, double: Any = double) -> Any:
            parts = flat.split([math.prod(shape) for shape in shapes.values()])
            weights = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
            return F.cross_entropy(functional_call(net, weights, (double.image,)), double.label)

        exact = torch.linalg.eigvalsh(torch.func.hessian(height)(vector(net).double())).flip(0)[:5].tolist()
        product, _ = hessian(Terrain(net, loss, [batch]))
        found = largest(product, vector(net), 5, seed).values
        worst.append(max(100 * abs(a - b) / abs(b) for a, b in zip(found, exact, strict=True)))
        sizes.append(len(vector(net)))
    return {"errors": worst, "parameters": sizes[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.worker:
        question = json.load(sys.stdin)
        print("\n" + json.dumps((errors if "unit" in question else seen)(question)))
        return 0
    package = ROOT / "milestones"
    files = [*project("lenet"), *(package / "verbs" / f"{name}.py" for name in ("landscape", "retrace")),
             package / "report" / "terrain.py", Path(__file__)]  # fmt: skip
    results = Results("landscape", files, sys.executable, args.fresh, args.quick, targets=TARGETS)
    command, tries = [sys.executable, str(HERE / "landscape.py"), "--worker"], 1 if args.quick else measure.TRIES
    size, examples, repeats = (9, 100, 1) if args.quick else (51, 2000, args.repeats)
    cases: Value = {}
    for cpu, env in measure.instruction_sets().items():
        threads = 1 if args.quick else min(2, os.cpu_count() or 1)
        question = {"size": size, "examples": examples, "threads": threads}
        once = functools.partial(ask, command, question, env, tries)
        each = [results.part(f"{cpu}/{k}", once) for k in range(repeats)]
        names = ("plane", "first_view", "eigenvalues", "whole")
        cases[cpu] = {name: spread([one[name] for one in each]) for name in names}
        cases[cpu] |= {"products": each[0]["products"], "dirty": any(one["dirty"] for one in each),
                       "foreign": max(one["foreign"] for one in each)}  # fmt: skip
    seeds = 1 if args.quick else SEEDS
    small = [results.part(f"exact/{unit}", functools.partial(ask, command, {"unit": unit, "seeds": seeds}, {}, tries))
             for unit in UNITS]  # fmt: skip
    worst = max(error for one in small for error in one["errors"])
    results.write(cases=cases, error={"worst": worst, "nets": len(UNITS) * seeds, "parameters": small[0]["parameters"]})
    rows = [
        [f"{cpu}: {what}", f"{v[name]['median']:.1f}", f"{v[name]['min']:.1f}-{v[name]['max']:.1f}",
         f"{TARGETS[name]:.0f}", "yes" if v[name]["median"] <= TARGETS[name] else "MISSED",
         f"{v['foreign']:.0f}{' DIRTY' if v['dirty'] else ''}"]
        for cpu, v in cases.items()
        for name, what in (("plane", f"plane {size} x {size}"), ("first_view", "first view, from the start"),
                           ("eigenvalues", "five eigenvalues"))
    ]  # fmt: skip
    say(table(["seconds", "median", "all", "at most", "reached", "others, %"], rows))
    say(f"eigenvalues against the exact ones: at most {worst:.3g} % off (at most {TARGETS['error']:.0f} %)")
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
