"""Attacks against torchattacks and Foolbox at equal steps, success beside speed; AutoAttack against its reference.

    ./go bench attacks [--repeats 3] [--quick] [--fresh] [--reference FOLDER]

The shipped `lenet` and `mlp` on pictures of their test split. Ours and the peers take turns in one process with the
same pictures, sizes, steps and batch (all at once). `documented`: the net as it comes, weights asking for gradients, as
in the peers' introductions. `tuned`: weights frozen for all. Success is the share of pictures that the net had right
and is misled on, measured by us for all, the mean over repeats, which differ in the random start; of DeepFool the
median distance, too. It counts as equal within what a peer's own starts differ. `PGD, all steps` leaves nothing out
early: it shows what the steps themselves cost.

Torchattacks pins an old version of requests that fits nothing here, so both are put aside with what they import, and
without what they pin (in .venv-peers/attacks). The reference of AutoAttack is on no registry:
--reference names a folder with a copy of github.com/fra31/auto-attack (commit a392200); without it that part is left
out.

Targets: PGD and APGD at least 1.5 times each peer at equal or higher success, DeepFool at least 10 times torchattacks,
AutoAttack's accuracy within 0.1 point of the reference's.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, TRIES, Value, ask, ratios, say, spread, table

PEERS = (
    "torchattacks==3.5.1", "foolbox==3.3.4", "eagerpy==0.30.0", "GitPython==3.2.1", "gitdb==4.0.12", "smmap==5.0.3",
)  # fmt: skip
ASIDE = ROOT / ".venv-peers" / "attacks"
SPEED = {  # net, norm, size in parts of the range, pictures
    "PGD": ("lenet", "inf", 0.1, 500),
    "PGD, mlp": ("mlp", "inf", 0.05, 500),
    "PGD, all steps": ("lenet", "inf", 0.1, 500),
    "PGD, norm 2": ("lenet", "2", 1.0, 500),
    "APGD": ("lenet", "inf", 0.05, 300),
    "DeepFool": ("lenet", "2", 0.0, 60),
}
PEERS_OF = {"APGD": ("torchattacks",)}
TARGETS = {"PGD": 1.5, "APGD": 1.5, "DeepFool": 10.0}
AGREES = {
    "lenet, inf 0.05": ("lenet", "inf", 0.05),
    "lenet, 2 1.0": ("lenet", "2", 1.0),
    "mlp, inf 0.02": ("mlp", "inf", 0.02),
}
STEPS = {"PGD": 40, "APGD": 100, "DeepFool": 50}


def worker(question: Value) -> Value:
    """Seconds and success of each side, in turns; or AutoAttack's accuracies. Runs in a process of its own."""
    sys.path[:0] = [str(ROOT), str(ASIDE), *([question["reference"]] if question.get("reference") else [])]
    import torch
    from torch import Tensor, nn

    from milestones.catalog import load
    from milestones.core.source import Place
    from milestones.parts.attack import Ball, pgd
    from milestones.parts.autoattack import apgd, autoattack
    from milestones.parts.minimal import deepfool
    from milestones.trained import order_of

    trained = load(question["net"])
    seed, choice = order_of(trained.config, trained.folder)
    data = trained.system.prepare(trained.knobs, Place(torch.device("cpu"), seed, choice=choice))
    batch = next(iter(data.test.sweep(question["count"])))
    net = trained.model.eval()
    probe = trained.system.probe(net, batch)  # type: ignore[misc]
    raw, target, size, norm = probe.input, probe.target, question["size"], question["norm"]
    image = raw / 255

    class Unit(nn.Module):
        """The net for pictures from 0 to 1, as the peers want them."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x * 255)

    unit = Unit().eval()
    with torch.no_grad():
        right = unit(image).argmax(-1) == target

    def judged(x: Tensor) -> Value:
        with torch.no_grad():
            miss = (unit(x).argmax(-1) != target) & right
        change = (x - image).flatten(1)
        far = change.abs().amax(1) if norm == "inf" else change.norm(dim=1)
        allowed = miss & (far <= size * (1 + 1e-4) if size else torch.ones_like(miss))
        median = float(far[allowed].median()) if bool(allowed.any()) else 0.0
        return {"success": 100 * float(allowed.sum()) / int(right.sum()), "median": median, "largest": float(far.max())}

    if "reference" in question:
        from autoattack import AutoAttack  # type: ignore[import-not-found]

        net.requires_grad_(False)
        ball = Ball(norm, size * 255, 0.0, 255.0)
        begin = time.perf_counter()
        mine = autoattack(net, raw, target, ball)
        middle = time.perf_counter()
        queries = {"n_queries": question["queries"]} if question.get("queries") else {}
        other = AutoAttack(unit, "Linf" if norm == "inf" else "L2", size, seed=0, verbose=False, device="cpu")
        for name, value in queries.items():
            setattr(other.square, name, value)
        adversarial = other.run_standard_evaluation(image, target, bs=len(image))
        end = time.perf_counter()
        with torch.no_grad():
            stands = unit(adversarial).argmax(-1) == target
        own = torch.tensor([not name for name in mine.broken_by])
        return {"ours": 100 * float(own.float().mean()), "reference": 100 * float(stands.float().mean()),
                "differ": int((own != stands).sum()), "count": len(own),
                "ours_seconds": middle - begin, "reference_seconds": end - middle}  # fmt: skip

    import foolbox  # type: ignore[import-not-found]
    import torchattacks  # type: ignore[import-not-found]

    what, steps = question["what"], question["steps"]
    net.requires_grad_(not question["frozen"])
    ball, step = Ball(norm, size * 255, 0.0, 255.0), 2.5 * size / steps if size else 0.0

    def ours(turn: int) -> Tensor:
        if what == "APGD":
            return apgd(net, raw, target, ball, steps=steps, seed=turn) / 255
        if what == "DeepFool":
            return deepfool(net, raw, target, ball, steps=steps) / 255
        return pgd(net, raw, target, ball, steps=steps, step=step * 255, seed=turn, drop="all" not in what) / 255

    def theirs(turn: int) -> Tensor:
        if what == "APGD":
            attack = torchattacks.APGD(unit, "Linf", size, steps=steps, n_restarts=1, loss="ce")
        elif what == "DeepFool":
            attack = torchattacks.DeepFool(unit, steps=steps)
        elif norm == "2":
            attack = torchattacks.PGDL2(unit, size, step, steps)
        else:
            attack = torchattacks.PGD(unit, size, step, steps)
        return attack(image, target)

    def foolboxs(turn: int) -> Tensor:
        model, attacks = foolbox.PyTorchModel(unit, (0, 1), device="cpu"), foolbox.attacks
        if what == "DeepFool":
            return attacks.L2DeepFoolAttack(steps=steps)(model, image, target, epsilons=None)[1]
        kind = attacks.L2PGD if norm == "2" else attacks.LinfPGD
        return kind(abs_stepsize=step, steps=steps)(model, image, target, epsilons=size)[1]

    sides: dict[str, Callable[[int], Tensor]] = {"ours": ours, "torchattacks": theirs, "foolbox": foolboxs}
    sides = {name: side for name, side in sides.items() if name == "ours" or name in question["peers"]}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, list[Value]] = {name: [] for name in sides}
    for turn in range(question["repeats"] + 1):  # the first one warms up
        for name in list(sides) if turn % 2 else list(sides)[::-1]:
            begin = time.perf_counter()
            torch.manual_seed(turn)
            x = sides[name](turn)
            took = time.perf_counter() - begin
            if turn:
                seconds[name].append(took)
                found[name].append(judged(x.detach()))
    return {
        "seconds_of": seconds,
        "found": {name: meaned(each) for name, each in found.items()},
        "right": int(right.sum()),
    }


def meaned(each: list[Value]) -> Value:
    """The means of what repeats found, and how far their success lies apart."""
    success = [one["success"] for one in each]
    return {**{key: sum(one[key] for one in each) / len(each) for key in each[0]}, "apart": max(success) - min(success)}


def put_aside(python: str) -> None:
    """The two peers and what they import, beside the peers' environment."""
    if not (ASIDE / "torchattacks").exists():
        words = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(ASIDE), *PEERS]
        subprocess.run(words, check=True)


def main() -> int:
    if "--worker" in sys.argv:  # asked by this script itself
        stdout, sys.stdout = sys.stdout, sys.stderr
        answer = worker(json.load(sys.stdin))
        sys.stdout = stdout
        print("\n" + json.dumps(answer))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--reference", default="", help="a copy of github.com/fra31/auto-attack")
    args: Any = parser.parse_args()
    python = os.environ.get("MILESTONES_PEERS", sys.executable)
    put_aside(python)
    files = [*project("lenet", "mlp"), Path(__file__)]
    results = Results("attacks", files, python, args.fresh, args.quick, targets=TARGETS, peers=PEERS)
    words, tries = [python, str(Path(__file__).resolve()), "--worker"], 1 if args.quick else TRIES
    summary: Value = {}
    rows = []
    for frozen in (False, True):
        column = "tuned" if frozen else "documented"
        for name, (net, norm, size, count) in SPEED.items():
            kind = name.split(",")[0]
            question = {"what": name, "net": net, "norm": norm, "size": size, "count": 10 if args.quick else count,
                        "steps": 5 if args.quick else STEPS[kind], "repeats": 1 if args.quick else args.repeats,
                        "frozen": frozen, "peers": PEERS_OF.get(kind, ("torchattacks", "foolbox"))}  # fmt: skip
            part = results.part(f"{column}/{name}", functools.partial(ask, words, question, None, tries))
            taken, got = part["seconds_of"], part["found"]
            for peer in (who for who in taken if who != "ours"):
                times = ratios(taken[peer], taken["ours"])
                least = TARGETS[kind] if not (kind == "DeepFool" and peer == "foolbox") else None
                better = got["ours"]["success"] + got[peer]["apart"] >= got[peer]["success"]
                summary[f"{column}/{name}/{peer}"] = {"times": times, "ours": spread(taken["ours"]),
                                                      "peer": spread(taken[peer]), "found": got,
                                                      "dirty": part["dirty"]}  # fmt: skip
                word = "" if least is None else "reached" if times["min"] >= least and better else "MISSED"
                told = [f"{got[who]['success']:.1f} %, {got[who]['median']:.3f}" for who in ("ours", peer)]
                rows.append([f"{column} {name} / {peer}", f"{taken['ours'][0]:.2f}", f"{taken[peer][0]:.2f}",
                             f"{times['median']:.2f} ({times['min']:.2f}-{times['max']:.2f})", *told,
                             word])  # fmt: skip
    say(table(["seconds", "ours", "peer", "peer / ours", "ours misled, at", "peer misled, at", "target"], rows))
    results.write(speed=summary)
    if not args.reference:
        say("AutoAttack was not compared: name a copy of its reference with --reference")
        return 0
    agreed, lines = {}, []
    for name, (net, norm, size) in AGREES.items():
        question = {"net": net, "norm": norm, "size": size, "count": 10 if args.quick else 150,
                    "reference": str(Path(args.reference).resolve())}  # fmt: skip
        part = results.part(f"autoattack/{name}", functools.partial(ask, words, question, None, 1))
        agreed[name] = {
            key: part[key] for key in ("ours", "reference", "differ", "count", "ours_seconds", "reference_seconds")
        }
        word = "reached" if abs(part["ours"] - part["reference"]) <= 0.1 else "MISSED"
        lines.append([name, f"{part['ours']:.2f}", f"{part['reference']:.2f}", str(part["differ"]),
                      f"{part['ours_seconds']:.0f}", f"{part['reference_seconds']:.0f}", word])  # fmt: skip
    results.write(autoattack=agreed)
    say(
        table(["AutoAttack, % still right", "ours", "reference", "pictures that differ", "s", "s", "within 0.1"], lines)
    )
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
