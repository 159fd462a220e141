"""Maps of what speaks for an answer: ours against Captum and pytorch-grad-cam, at equal output.

    ./go bench explain [--repeats 7] [--quick] [--fresh]

Integrated gradients (50 points), occlusion (5 x 5, stride 2) and sampled Shapley values (2 x 2 patches, the same
orders on both sides) of the shipped lenet on test digits, and Grad-CAM of a residual net with eight layers for 32 x 32
colour pictures. Both sides run in the peers' environment, on the same net, inputs and threads, in turns. Peers have two
columns: as their documentation calls them, and tuned: Captum with as many perturbations or points at a time as make it
fastest of 1, 16, 64 and 256, found before; pytorch-grad-cam with one object for all calls and no gradient below its
layer. What comes out is compared: the largest difference, relative to the largest number of the map. Then the trust
strip: seconds that all maps of one digit take with what they are worth.
Targets: 2 times Captum and pytorch-grad-cam; at most 3 s an image with the trust strip.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import HERE, ROOT, Value, ask, peers_python, ratios, say, spread, table

TARGET, MOST_SECONDS = 2.0, 3.0
CASES = ("integrated gradients", "occlusion", "shapley", "grad-cam")


def worker(question: Value) -> Value:
    """Seconds a repeat for all sides, in turns; runs in a process of its own."""
    sys.path.insert(0, str(ROOT))
    import warnings

    import torch

    warnings.simplefilter("ignore")
    made = trust_strip if question["case"] == "trust strip" else against
    found = made(question)
    return {**found, "threads": torch.get_num_threads()}


def lenet(count: int) -> tuple[Any, Any, Any]:
    """The shipped net, test digits as floats, and the embedded data's labels of them as the net sees them."""
    import torch

    from milestones import load
    from milestones.core.source import Place

    trained = load("lenet")
    data = trained.system.prepare(trained.knobs, Place(torch.device("cpu"), 0))
    x = data.test.examples.image[:count].float()
    model = trained.model.eval().requires_grad_(False)
    return trained, x, model(x).argmax(-1)


def residual(count: int) -> tuple[Any, Any, Any]:
    """resnet's eight layers with drawn weights; its speed does not depend on what it learned."""
    import torch

    from milestones.systems.resnet import Knobs, build

    torch.manual_seed(0)
    facts = {"labels": list(range(10)), "channels": 3, "counts": [1] * 10, "mean": 120.0, "spread": 60.0}
    model = build(Knobs(stem="plain"), facts).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if "bn2" in name:  # a block begins as the identity
            weight.fill_(1.0)
    x = 255 * torch.rand(count, 3, 32, 32)
    return model, x, model(x).argmax(-1)


def against(question: Value) -> Value:
    """One method on both sides."""
    import copy

    import torch

    from milestones.parts import explain, relevance
    from milestones.parts.maps import parts_of

    case, count = question["case"], question["inputs"]
    sides: dict[str, Any] = {}
    if case == "grad-cam":
        without_torchvision()
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        model, x, target = residual(count)
        targets, frozen = [ClassifierOutputTarget(int(k)) for k in target], copy.deepcopy(model)
        model.requires_grad_(True)  # as it comes from training; a net that asks for no gradient is refused
        last, near = (getattr(net, f"layer{net.groups}")[-1] for net in (model, frozen))
        near.requires_grad_(True)  # tuned: no gradient below the layer, and one object for all calls
        held = GradCAM(model=frozen, target_layers=[near])

        def documented() -> Any:
            with GradCAM(model=model, target_layers=[last]) as cam:
                return torch.from_numpy(cam(input_tensor=x, targets=targets))

        def ours() -> Any:
            return scaled(relevance.grad_cam(explain.question(model, x, target))[:, 0])

        sides = {"ours": ours, "documented": documented,
                 "tuned": lambda: torch.from_numpy(held(input_tensor=x, targets=targets))}  # fmt: skip
    else:
        from captum.attr import IntegratedGradients, Occlusion, ShapleyValueSampling

        trained, x, target = lenet(count)
        model, parts = trained.model, parts_of(x.shape[1:])
        asked, orders = explain.question(model, x, target), explain.orders(question["orders"], parts.count)
        groups = parts.groups.expand(x.shape[1:]).contiguous()[None]
        path, hide, share = IntegratedGradients(model), Occlusion(model), ShapleyValueSampling(model)
        share.permutation_generator = lambda features, samples: iter(orders[:samples].tolist())
        size = torch.bincount(groups.flatten())[groups]

        def captum(at_once: int | None) -> Any:
            """None: as documented."""
            if case == "integrated gradients":
                more = {"internal_batch_size": at_once * count} if at_once else {}
                return path.attribute(x, 0.0, target, n_steps=50, **more).float()
            more = {"perturbations_per_eval": at_once} if at_once else {}
            if case == "occlusion":
                return hide.attribute(x, (1, 5, 5), (1, 2, 2), 0.0, target, **more)
            return share.attribute(x, 0.0, target, feature_mask=groups, n_samples=len(orders), **more) / size

        def ours() -> Any:
            if case == "integrated gradients":
                return explain.integrated_gradients(asked, 50, tolerance=float("inf"))
            if case == "occlusion":
                return explain.occlusion(asked, (1, 5, 5), (1, 2, 2))
            return explain.shapley(asked, parts.groups, orders).map

        best = min((1, 16, 64, 256), key=lambda n: clocked(lambda: captum(n)))
        sides = {"ours": ours, "documented": lambda: captum(None), "tuned": lambda: captum(best)}
    outputs = {who: make() for who, make in sides.items()}  # warms up, too
    apart = max(float((outputs["ours"] - other).abs().max() / other.abs().max()) for other in outputs.values())
    measured: dict[str, list[float]] = {who: [] for who in sides}
    for i in range(question["repeats"]):
        for who in list(sides)[:: 1 if i % 2 else -1]:
            measured[who].append(clocked(sides[who]))
    return {**measured, "difference": apart, "inputs": count}


def without_torchvision() -> None:
    """pytorch-grad-cam imports torchvision for tools that are not used here. Some builds of it do not load beside some
    builds of PyTorch; an empty stand-in then takes its place."""
    from unittest.mock import MagicMock

    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules[name] = MagicMock()


def scaled(cam: Any) -> Any:
    """Each map from 0 to 1, as pytorch-grad-cam gives them: before and after it enlarges them."""
    low, high = cam.amin((1, 2), keepdim=True), cam.amax((1, 2), keepdim=True)
    return (cam - low) / (high - low + 1e-7)


def clocked(call: Any) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def trust_strip(question: Value) -> Value:
    """All methods on one digit at a time, with curves and random nets."""
    from milestones.parts.explain import question as asked_of
    from milestones.parts.maps import METHODS, Setting, maps, randoms

    trained, x, target = lenet(question["repeats"] + 1)
    seconds = []
    for b in range(len(x)):

        def once(b: int = b) -> None:
            asked = asked_of(trained.model, x[b : b + 1], target[b : b + 1])
            maps(asked, [asked._replace(scores=net) for net in randoms(trained.model, 0)], list(METHODS), Setting())

        seconds.append(clocked(once))
    return {"ours": seconds[1:]}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.worker:
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    python = peers_python()
    files = [*project("lenet", "resnet"), Path(__file__)]
    results = Results("explain", files, python, args.fresh, args.quick, target=TARGET, repeats=args.repeats)
    summary: Value = {}
    command = [python, str(HERE / "explain.py"), "--worker"]
    tries = 1 if args.quick else measure.TRIES
    for cpu, env in measure.instruction_sets().items():
        for case in (*CASES, "trust strip"):
            question = {"case": case, "inputs": 8, "orders": 10, "repeats": args.repeats}
            question |= {"inputs": 2, "orders": 2, "repeats": 1} if args.quick else {}
            found = results.part(f"{cpu}/{case}", functools.partial(ask, command, question, env, tries))
            about = {"dirty": found["dirty"], "foreign": found["foreign"], "ours": spread(found["ours"])}
            if case != "trust strip":
                about |= {who: ratios(found[who], found["ours"]) for who in ("documented", "tuned")}
                about["difference"] = found["difference"]
            summary[f"{cpu}/{case}"] = about
    results.write(cases=summary)
    rows = []
    for key, v in summary.items():
        others = f"{v['foreign']:.0f}{' DIRTY' if v['dirty'] else ''}"
        if "tuned" not in v:
            met = "yes" if v["ours"]["median"] <= MOST_SECONDS else "MISSED"
            rows.append([key, f"{v['ours']['median']:.3f}", "", "", "", f"<= {MOST_SECONDS:g} s: {met}", others])
            continue
        met = "yes" if min(v["documented"]["median"], v["tuned"]["median"]) >= TARGET else "MISSED"
        rows.append([key, f"{v['ours']['median']:.3f}",
                     *(f"{v[who]['median']:.2f} ({v[who]['min']:.2f}-{v[who]['max']:.2f})" for who in
                       ("documented", "tuned")),
                     f"{v['difference']:.1e}", f">= {TARGET:g}: {met}", others])  # fmt: skip
    say(table(["", "ours, s", "documented / ours", "tuned / ours", "difference", "target", "others, %"], rows))
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
