"""Does the training doctor find what is wrong? Faults are put into healthy trainings of four pages, one at a time.

    ./go bench faults [--half open|held] [--page NAME ...] [--only FAULT ...] [--fresh] [--list]

faults.json names the faults, the findings that count as found, and the half each belongs to; it was written before the
first rule. Rules were made with the open half in view; the half that is held back is evaluated once. Printed for each
half: recall (faults that were named, of all put in), and alarms on healthy trainings, those of these four pages and
short ones of every preset in the catalog. A fault that a page cannot have (dead rectified units in a net of tanh) is
left out. Trainings are short: 300 updates or so on the embedded digits.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from _results import Results, project
from measure import HERE, Value, say, table
from torch import nn

from milestones.catalog import TIMELINE, find, page
from milestones.core.errors import UserError
from milestones.core.score import wilson
from milestones.parts.layers import Normalise
from milestones.report.health import diagnosis
from milestones.verbs.execute import Order, begin

FAULTS = json.loads((HERE / "faults.json").read_text())["faults"]
# page: (settings of a short training, what it has)
PAGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "lenet": ({"steps": 400, "batch": 64}, {"tanh", "unnormalised"}),
    "mlp": ({"steps": 500, "batch": 64, "pipelines": False}, {"rectified", "unnormalised"}),
    "alexnet": ({"steps": 250, "batch": 64, "dropout": 0.3, "lr": 2e-3}, {"rectified", "unnormalised", "modes"}),
    "resnet": ({"steps": 200, "batch": 64, "width": 12}, {"rectified", "batchnorm", "modes"}),
}
CAP = 300  # updates of a healthy preset
Data, Model = Any, nn.Module


def on_data(change: Callable[[Data], None]) -> Value:
    return {"data": change}


def on_model(change: Callable[[Model], None]) -> Value:
    return {"model": change}


def weights(model: Model, last: bool = True) -> list[nn.Parameter]:
    """All that have two dimensions or more; `last`: the last one, too."""
    found = [p for p in model.parameters() if p.dim() > 1]
    return found if last else found[:-1]


@torch.no_grad()
def scaled(model: Model, by: float, last: bool = True) -> None:
    for p in weights(model, last):
        p.mul_(by)


@torch.no_grad()
def sunk(model: Model) -> None:
    """Biases at -20, those of the last layer left alone."""
    for p in [p for p in model.parameters() if p.dim() == 1][:-1]:
        p.fill_(-20.0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.fill_(1.0)


@torch.no_grad()
def equal(model: Model) -> None:
    for p in weights(model):
        p.fill_(float(p.abs().mean()))


def raw(model: Model, by: float | None) -> None:
    """Inputs without their normalisation, or with `by` times their size."""
    for layer in model.modules():
        if isinstance(layer, Normalise):
            if by is None:
                layer.mean, layer.scale = torch.zeros_like(layer.mean), torch.ones_like(layer.scale)
            else:
                layer.scale = layer.scale * by


def frozen(model: Model) -> None:
    for p in weights(model, last=False):
        p.requires_grad_(False)


def lost(model: Model) -> None:
    free = [p for p in weights(model) if p.requires_grad]
    for p in free[: len(free) // 2]:
        p.register_hook(torch.zeros_like)


def always_training(model: Model) -> None:
    object.__setattr__(model, "train", lambda mode=True: nn.Module.train(model, True))


def squashed(model: Model) -> None:
    model.register_forward_hook(lambda module, given, scores: scores.softmax(-1))


def labelled(source: Any, label: torch.Tensor) -> None:
    source.examples = source.examples._replace(label=label)


def shuffled(data: Data, share: float) -> None:
    label, rng = data.train.examples.label.clone(), torch.Generator().manual_seed(1)
    chosen = torch.rand(len(label), generator=rng) < share
    labelled(data.train, torch.where(chosen, label[torch.randperm(len(label), generator=rng)], label))


def constant_labels(data: Data) -> None:
    for source in data[:3]:
        labelled(source, torch.zeros_like(source.examples.label))


def one_picture(data: Data) -> None:
    for source in data[:3]:
        image = source.examples.image
        source.examples = source.examples._replace(image=image[:1].expand_as(image).clone())


def leaking(data: Data) -> None:
    for source in data[1:3]:
        n = len(source) // 3
        for field, known in zip(source.examples, data.train.examples, strict=True):
            field[:n] = known[:n]


def kept(data: Data, rows: Callable[[Any], torch.Tensor]) -> None:
    found = rows(data.train.examples)
    data.train.examples = type(data.train.examples)(*(field[found] for field in data.train.examples))


def inverted(data: Data) -> None:
    for source in data[1:3]:
        source.examples = source.examples._replace(image=255 - source.examples.image)


def class_by_class(data: Data) -> None:
    kept(data, lambda examples: examples.label.argsort(stable=True))
    data.train._epoch = lambda epoch: torch.arange(len(data.train))


def one_at_a_time(data: Data) -> None:
    whole = data.train.batch
    data.train.batch = lambda step, size: type(data.train.examples)(*(field[:1] for field in whole(step, size)))


INJECT: dict[str, Value] = {
    "dead_relu": on_model(sunk),
    "saturated_tanh": on_model(lambda model: scaled(model, 40.0, last=False)),
    "tiny_weights": on_model(lambda model: scaled(model, 1 / 50)),
    "huge_weights": on_model(lambda model: scaled(model, 20.0)),
    "rate_high": {"lr": 100.0},
    "rate_low": {"lr": 1e-4},
    "labels_shuffled": on_data(lambda data: shuffled(data, 1.1)),
    "labels_noisy": on_data(lambda data: shuffled(data, 0.4)),
    "labels_constant": on_data(constant_labels),
    "inputs_unscaled": on_model(lambda model: raw(model, None)),
    "inputs_tiny": on_model(lambda model: raw(model, 1e-3)),
    "inputs_constant": on_data(one_picture),
    "leakage": on_data(leaking),
    "class_missing": on_data(lambda data: kept(data, lambda examples: examples.label != 3)),
    "few_examples": on_data(lambda data: kept(data, lambda examples: torch.arange(40))),
    "batch_of_one": on_data(one_at_a_time),
    "always_training": on_model(always_training),
    "frozen_body": on_model(frozen),
    "lost_gradients": on_model(lost),
    "unshuffled": on_data(class_by_class),
    "double_softmax": on_model(squashed),
    "validation_shifted": on_data(inverted),
    "equal_weights": on_model(equal),
    "wrong_sign": {"sign": -1.0},
}


def trained(name: str, settings: dict[str, Any], fault: Value, preset: str = "quick", keep: str = "") -> Value:
    """What the doctor finds in a short training with a fault; its run folder goes to `keep`, if that is named."""
    module = page(find(name))
    system, loss = module.system, getattr(module, "loss", None)

    def prepare(knobs: Any, place: Any) -> Any:
        data = system.prepare(knobs, place)
        fault.get("data", lambda data: None)(data)
        return data

    def build(knobs: Any, facts: Any) -> Any:
        model = system.build(knobs, facts)
        fault.get("model", lambda model: None)(model)
        return model

    def signed(model: Any, batch: Any) -> Any:
        terms = loss(model, batch)
        return {**terms, "loss": fault.get("sign", 1.0) * terms["loss"]}

    if "lr" in fault:
        lr = settings.get("lr", getattr(system.presets[preset], "lr", 0.0))
        settings = {**settings, "lr": lr * fault["lr"]}
    changed = dataclasses.replace(system, prepare=prepare, build=build, loss=signed if system.loss else None)
    with tempfile.TemporaryDirectory() as root, mock.patch.object(module, "system", changed):
        with mock.patch.object(module, "loss", signed) if loss else contextlib.nullcontext():
            try:
                begin(name, settings, Order(preset=preset, plan="exact"), root)
                problem = ""
            except UserError as failed:
                problem = str(failed)
        folders = list(Path(root).glob("*-1"))
        found = diagnosis(folders[0]) if folders else []
        if folders and keep:
            shutil.copytree(folders[0], keep, dirs_exist_ok=True)
    return {"findings": [one._asdict() for one in found], "problem": problem}


def kept_in(folder: str, key: str) -> str:
    """Where a part's run folder is kept."""
    return str(Path(folder) / key.replace(", ", "-")) if folder else ""


def capped(name: str, preset: str) -> dict[str, Any]:
    """Settings that make a preset short."""
    knobs = page(find(name)).system.presets[preset].model_dump()
    caps = {"steps": CAP, "single_steps": CAP // 2, "passes": 4, "head_steps": 20, "lines": 2000}
    found = {key: min(knobs[key], most) for key, most in caps.items() if knobs.get(key)}
    if "pipelines" in knobs:
        found["pipelines"] = False
    if knobs.get("size") == "full":  # 224 pixels: an update takes seconds
        found |= {"steps": 4, "batch": 8}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=["open", "held"], default="open")
    parser.add_argument("--page", nargs="*", default=list(PAGES), choices=PAGES, metavar="NAME")
    parser.add_argument("--only", nargs="*", default=[], metavar="FAULT")
    parser.add_argument("--healthy", action="store_true", help="healthy trainings of every preset instead")
    parser.add_argument("--keep", default="", metavar="FOLDER", help="where to keep the run folders")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    torch.set_flush_denormal(True)  # saturated nets have gradients so small that a product takes 50 times as long
    package = HERE.parent / "milestones"
    rules = [package / "report" / name for name in ("checks.py", "health.py")]
    results = Results("faults", [*project(*PAGES), *rules, Path(__file__)], sys.executable, args.fresh)
    if args.healthy:
        for entry in TIMELINE:
            for preset in page(entry).system.presets:
                key = f"healthy, {entry.name}, {preset}"
                part = results.part(key, lambda e=entry, p=preset: trained(e.name, capped(e.name, p), {}, p))  # type: ignore[misc]
                say(f"{key}: {[one['name'] for one in part['findings']] or 'no alarm'} {part['problem'][:200]}")
    else:
        for name in args.page:
            settings, has = PAGES[name]
            part = results.part(
                f"healthy, {name}",
                lambda n=name, s=settings: trained(n, s, {}, keep=kept_in(args.keep, f"healthy, {n}")),
            )  # type: ignore[misc]
            say(f"healthy, {name}: {[one['name'] for one in part['findings']] or 'no alarm'}")
            for fault in FAULTS:
                if fault["half"] != args.half or (args.only and fault["name"] not in args.only):
                    continue
                if fault["needs"] != "all" and fault["needs"] not in has:
                    continue
                key = f"{fault['half']}, {fault['name']}, {name}"
                part = results.part(
                    key,
                    lambda n=name, s=settings, f=fault, k=key: trained(
                        n, s, INJECT[f["name"]], keep=kept_in(args.keep, k)
                    ),
                )  # type: ignore[misc]
                names = [one["name"] for one in part["findings"]]
                mark = "found" if set(names) & set(fault["findings"]) else "MISSED"
                say(f"{key}: {mark}; says {names} {part['problem'][:120]}")
    summary(results)
    return 0


def summary(results: Results) -> None:
    """Recall of both halves, alarms on healthy trainings, and whether the first finding names the fault."""
    wanted = {fault["name"]: set(fault["findings"]) for fault in FAULTS}
    counts: dict[str, list[tuple[bool, bool]]] = {"open": [], "held": []}
    alarms, missed = [], []
    for key, part in results.content["parts"].items():
        names = [one["name"] for one in part["findings"]]
        kind, *rest = key.split(", ")
        if kind == "healthy":
            alarms.append((bool(names), key))
        else:
            missed += [] if wanted[rest[0]] & set(names) else [rest]
            counts[kind].append((bool(wanted[rest[0]] & set(names)), bool(names) and names[0] in wanted[rest[0]]))
    rows, found = [], {}
    for half, each in counts.items():
        if each:
            hits, first = sum(hit for hit, _ in each), sum(first for _, first in each)
            low, high = wilson(hits, len(each))
            found[half] = {"faults": len(each), "found": hits, "recall": round(100 * hits / len(each), 1),
                           "low": round(low, 1), "high": round(high, 1), "named_first": first}  # fmt: skip
            rows.append([half, str(len(each)), f"{100 * hits / len(each):.0f} % [{low:.0f}, {high:.0f}]", str(first)])
    found["healthy"] = {"trainings": len(alarms), "alarms": sum(alarm for alarm, _ in alarms),
                        "which": [key for alarm, key in alarms if alarm]}  # fmt: skip
    results.write(**found, missed=missed)
    say(table(["half", "faults", "found", "named first"], rows))
    say(f"healthy trainings: {len(alarms)}, with alarms: {found['healthy']['alarms']} {found['healthy']['which']}")
    say(f"written to {results.path}")


if __name__ == "__main__":
    sys.exit(main())
