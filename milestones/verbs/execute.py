"""Carry out one run from its config.json: prepare, build, train, score, report. Train and resume share it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import json
import os
import platform
import re
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .. import __version__
from ..catalog import Entry, blaming, fields, find, locate, page
from ..core.config import changed
from ..core.errors import UserError, nearest
from ..core.folder import next_folder, read_json, read_weights, write_json, write_status, write_weights
from ..core.plan import Plan, chosen, cpu_name, machine
from ..core.run import Progress, Run
from ..core.source import Place
from ..core.system import System
from ..parts.diagnosis import case, diagnose
from ..parts.ensemble import Ensemble
from ..parts.vitals import look
from ..report import files
from ..report.checks import data_checks, model_checks
from ..report.evidence import examine
from ..report.health import diagnosis
from ..report.page import write as write_report
from ..report.result import early
from ..trained import MOST_MEMBERS, as_dict, members_of, order_of, system_of
from . import members, world
from .processes import Peers, Shared, Unshared, begun_by_launch, launch

BESIDE = 1.15  # a whole update takes so many times as long as loss and gradient: optimiser, log, validation
Say = Callable[[str], None]
Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Order:
    """What belongs to the run and not to the page."""

    preset: str = "quick"
    seed: int = 0
    data: str = ""
    target: str = ""
    split: str = ""
    plan: str = "auto"
    device: str = "cpu"
    minutes: float | None = None
    origin: str = ""  # --from
    freeze: bool = False
    skip_unreadable: bool = False
    members: int = 1  # of an ensemble
    paced: bool = False  # as many updates as `minutes` allow, and no more than the settings say
    auto_lr: dict[str, Any] | None = None  # the study that the settings have their rate from
    study: dict[str, Any] | None = None  # the trial of a tuning that it is: then it is not scored


class Outcome(NamedTuple):
    """What came of a run."""

    folder: Path
    ended: str  # "" when the training was finished
    report: dict[str, Any]  # report.json; empty when interrupted


def about(entry: Entry, module: Any) -> dict[str, str]:
    """The fields of the page's docstring: title, paper, idea, deviations, result."""
    return fields(inspect.cleandoc(module.__doc__ or entry.name))


def device_of(words: str) -> torch.device:
    """The device that `--device` names. UserError: no such device here."""
    try:
        device = torch.device(words)
        float(torch.zeros(1, device=device))  # "meta" has no values
    except (RuntimeError, AssertionError, ImportError) as problem:
        got = f"{words!r} ({str(problem).splitlines()[0][:100]})"
        raise UserError(
            "a device that this machine has, as cpu or cuda", got, "Leave --device out for the CPU"
        ) from None
    return device


def begin(name: str, settings: Mapping[str, Any], order: Order, root: str | Path, say: Say = lambda _: None,
          watch: Watch | None = None, peers: Peers | None = None) -> Outcome:  # fmt: skip
    """Make a new run folder of the page and carry it out. UserError on bad input, before a folder is made. Of several
    processes the first alone makes one; a run that this launch began before it was restarted is resumed."""
    entry = find(name)
    module = page(entry)
    system: System[Any, Any, Any, Any] = module.system
    if order.preset not in system.presets:
        names = ", ".join(system.presets)
        raise UserError(f"a preset of this page: {names}", repr(order.preset),
                        nearest(order.preset, system.presets, "Leave --preset out for quick"), entry.name)  # fmt: skip
    knobs = changed(system.presets[order.preset], settings, entry.name)
    chosen(order.plan)
    device_of(order.device)
    world.admit(getattr(knobs, "world", ""))
    if not 1 <= order.members <= MOST_MEMBERS:
        do = "Leave it out for one net; 5 or 10 give most of what there is to gain"
        raise UserError(f"--members from 1 to {MOST_MEMBERS}", str(order.members), do, entry.name)
    _positive(order.minutes)
    lent = order.origin.endswith(".safetensors") and Path(order.origin).is_file()
    origin = order.origin if lent else str(locate(order.origin, root)) if order.origin else ""
    config = {
        "system": entry.name, "preset": order.preset, "config": knobs.model_dump(mode="json"), "seed": order.seed,
        "choice": {"data": _absolute(order.data), "target": order.target, "split": order.split,
                   **({"skip": "unreadable"} if order.skip_unreadable else {})},
        "plan": order.plan, "device": order.device, "year": entry.year, "about": about(entry, module),
        "command": command(name, knobs, system, order), "milestones": __version__,
        "page_sha256": hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest(),
        "from": {"run": _absolute(origin), "frozen": order.freeze} if origin else None, "began": time.time(),
        **({"members": order.members} if order.members > 1 else {}),
        **({"paced": float(order.minutes)} if order.paced and order.minutes else {}),
        **({"auto_lr": order.auto_lr} if order.auto_lr else {}),
        **({"launch": launch()} if launch() else {}),
        **({"study": order.study} if order.study else {}),
    }  # fmt: skip
    if peers:
        peers.same("page, settings and version", [config[k] for k in ("system", "config", "seed", "page_sha256")])
    begun = None if peers and peers.rank else begun_by_launch(Path(root), config)
    if peers:
        begun = peers.told(str(begun) if begun else "")
    if begun:
        return go_on(
            Path(begun), entry.module if entry.module.endswith(".py") else "", order.minutes, say, watch, peers
        )
    folder = peers.scratch if peers and peers.rank else next_folder(Path(root), entry.name)
    try:
        write_json(folder / "config.json", config)
        write_json(folder / "env.json", environment())
        return carry_out(folder, entry, system, order.minutes, say, watch, peers)
    except UserError as problem:
        # Not one step was trained, or one that is worth nothing: there is nothing to keep.
        if isinstance(problem, Unshared) or not (folder / "log.jsonl").exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _absolute(word: str) -> str:
    """A path that holds from another folder, too; the name of a data set stays."""
    return str(Path(word).resolve()) if word and Path(word).exists() else word


def command(name: str, knobs: Any, system: System[Any, Any, Any, Any], order: Order) -> str:
    """The command that repeats the run."""
    words = ["milestones", "train", name]
    base = system.presets[order.preset].model_dump()
    for option, value in (("--preset", order.preset if order.preset != "quick" else ""), ("--data", order.data),
                          ("--target", order.target), ("--split", order.split), ("--from", order.origin),
                          ("--members", str(order.members) if order.members > 1 else ""),
                          ("--plan", order.plan if order.plan != "auto" else ""),
                          ("--device", order.device if order.device != "cpu" else "")):  # fmt: skip
        words += [option, value] if value else []
    words += ["--freeze"] * order.freeze + ["--skip-unreadable"] * order.skip_unreadable + ["--seed", str(order.seed)]
    for key, value in knobs.model_dump(mode="json").items():
        if knobs.model_dump()[key] != base[key]:
            values = [str(v) for v in value] if isinstance(value, list) else ["none" if value is None else str(value)]
            words += [f"--{key.replace('_', '-')}", *values]
    return shlex.join(words)


def environment() -> dict[str, Any]:
    """Versions and machine."""
    memory = 0.0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
        "milestones": __version__, "platform": platform.platform(), "cpu": cpu_name(), "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(), "memory_gb": round(memory, 1), "machine": machine(),
    }  # fmt: skip


def go_on(folder: Path, page_name: str, minutes: float | None, say: Say, watch: Watch | None = None,
          peers: Peers | None = None) -> Outcome:  # fmt: skip
    """Resume a run from its folder, which the first of several processes has."""
    if peers:
        folder = peers.shared(folder)
    config = read_json(folder, "config.json")
    entry, system = system_of(folder, config, page_name)
    return carry_out(folder, entry, system, minutes, say, watch, peers)


def carry_out(folder: Path, entry: Entry, system: System[Any, Any, Any, Any], minutes: float | None, say: Say,
              watch: Watch | None, peers: Peers | None = None) -> Outcome:  # fmt: skip
    """All of a run that is not yet done, under the folder's lock."""
    config = read_json(folder, "config.json")
    seed, choice = order_of(config, folder)
    place = Place(device_of(str(config.get("device", "cpu"))), seed, choice=choice)
    knobs = changed(system.presets["quick"], as_dict(config, "config", folder), entry.name)
    _positive(minutes)
    plan = str(config.get("plan", "auto"))
    if peers:
        place = place._replace(rank=peers.rank, of=peers.of)
    words = folder, place, plan, minutes, watch, look
    with Shared(peers, *words) if peers else Run(*words) as run:
        try:
            with blaming():
                outcome = _train(folder, entry, system, knobs, config, run, say)
        except UserError as problem:
            with contextlib.suppress(UserError):  # the disk may be full: the first problem is the one to tell
                _status(folder, run, "failed", problem=str(problem))
            for finding in diagnosis(folder):
                say(f"doctor: {finding}")
            raise
    return outcome


def _positive(minutes: float | None) -> None:
    if minutes is not None and not minutes > 0:
        raise UserError("--minutes above 0", str(minutes), "Leave it out for no limit")


def _train(folder: Path, entry: Entry, system: System[Any, Any, Any, Any], knobs: Any, config: dict[str, Any],
           run: Run, say: Say) -> Outcome:  # fmt: skip
    run.seed("prepare")
    data = system.prepare(knobs, run.place)
    with contextlib.ExitStack() as exits:
        exits.callback(world.shut, data)
        world.unchosen(data, run.place.choice, entry.name)
        return _learn(folder, entry, system, knobs, config, data, run, say)


def _learn(folder: Path, entry: Entry, system: System[Any, Any, Any, Any], knobs: Any, config: dict[str, Any],
           data: Any, run: Run, say: Say) -> Outcome:  # fmt: skip
    facts = json.loads(json.dumps(data.facts))
    say(f"{entry.name}: {told(facts)}; to {folder}")
    if (folder / "facts.json").exists():
        before = read_json(folder, "facts.json")
        before.pop("format")
        if before != facts:
            raise UserError(
                f"the data that {folder} began with",
                "other data (facts.json differs)",
                "Restore the data or train anew",
            )
    if isinstance(run, Shared):
        run.peers.same("data", facts)
    write_json(folder / "facts.json", facts)
    checks = {"data": data_checks(knobs, data)}
    write_json(folder / "checks.json", checks)
    final = run.place.choice.split == "final"
    for finding in diagnose(case([], checks, facts.get("labels"), final=final)):  # before an hour is spent
        say(f"doctor: {finding}")
    count = members_of(config, folder)
    model = members.build(system, knobs, facts, count, run, entry.name).to(run.place.device)
    nets: list[nn.Module] = list(model.members) if isinstance(model, Ensemble) else [model]
    if isinstance(config.get("from"), dict):
        for number, net in enumerate(nets):
            _take(folder, net, config, say if number == 0 else lambda _: None)
    if isinstance(model, Ensemble):
        members.check(system, knobs, nets[0], data, run.place, entry.name)
    if isinstance(config.get("paced"), float) and system.loss is not None:
        _positive(config["paced"])
        config["paced"] /= count
        knobs = _paced(folder, system, knobs, config, nets[0], data, run, say)
    _status(folder, run, "training")
    if not (folder / "plan.json").exists():  # a page whose own loop measures nothing keeps this one
        write_json(folder / "plan.json", asdict(run.plan))
    each: list[float] = []  # seconds of each member
    try:
        if isinstance(model, Ensemble):
            together = _together(folder, system, knobs, config, model, data, run, say)
            each = members.train(system, knobs, model, data, run, together > 0)
            if run.ended != "interrupted":
                members.settle(system, model, data)
        else:
            with run.playing(data) if isinstance(run, Shared) else contextlib.nullcontext():
                system.train(knobs, model, data, run)
    except UserError:
        # The last good weights, or those from which a world failed; in other cases those on disk may be better.
        if run.restored or world.is_world(data):
            with contextlib.suppress(UserError):
                _status(folder, run, "training", **_weights(folder, model))
        raise
    if run.place.rank:  # what comes now is for the first process alone
        return Outcome(folder, run.ended, {})
    seals = _weights(folder, model)
    if run.ended == "interrupted":
        _status(folder, run, "stopped", ended=run.ended, **seals)
        say(f"stopped at step {run.step:,}, all saved; go on with: milestones resume {folder.name}")
        return Outcome(folder, run.ended, {})
    if config.get("study"):  # the test is kept for the winner
        _status(folder, run, "stopped" if run.ended else "trained", ended=run.ended or "trained", **seals)
        return Outcome(folder, run.ended, {})
    run.seed("score")
    torch.set_num_threads(run.plan.threads or torch.get_num_threads())
    model.eval()
    scores = system.score(knobs, model, data, run.place)
    report = {name: config[name] for name in ("system", "preset", "config", "seed", "command")}
    report |= {
        "plan": run.plan.words, "device": str(run.place.device), "versions": environment(),
        "data": facts.get("data", {}),
        "steps": run.step, "seconds": round(run.seconds, 2), "rate": round(run.rate),
        "peak_share": round(run.plan.share(run.rate), 1), "ended": run.ended or "finished",
        "parameters": sum(p.numel() for p in model.parameters()),
        **({"processes": run.place.of} if run.place.of > 1 else {}),
        "scores": {name: asdict(score) for name, score in scores.items()},
    }  # fmt: skip
    report |= examine(folder, system, model, data) | world.account(data)
    world.film(folder, model, data, run.place.seed, say)
    # of an ensemble, one net stands for all: a page's loss asks for the page's own model
    write_json(folder / "checks.json", checks | {"model": model_checks(system, knobs, nets[0], data)})
    report["findings"] = [finding._asdict() for finding in diagnosis(folder)]
    if isinstance(model, Ensemble):
        cost = config.get("together", 0)  # of one batched net, times one member's; 0: trained in turn
        report["members"] = {**report.get("members", {}), "count": count, "seconds": each, "cost": cost}
        report["rate"] *= len(each)  # it is that of the last one, over the time of all
    elif said := early(config["config"], files.log(folder)[0], run.step):
        report["early"] = said
    write_json(folder / "report.json", report)
    _status(folder, run, "finished", ended=run.ended or "finished", **seals)
    write_report(folder)
    return Outcome(folder, run.ended, report)


def _together(folder: Path, system: System[Any, Any, Any, Any], knobs: Any, config: dict[str, Any], model: Ensemble,
              data: Any, run: Run, say: Say) -> float:  # fmt: skip
    """How many times as long as one net the members take as one batched net; 0 where they are trained in turn, as
    under a plan that the user chose. Measured once, and kept in config.json."""
    if "together" not in config:
        found = members.ratio(system, knobs, model, data, run) if config["plan"] == "auto" else float("inf")
        pays = found * members.CLEARLY < len(model.members)
        config["together"] = round(found, 2) if pays else 0
        write_json(folder / "config.json", {k: v for k, v in config.items() if k != "format"})
        way = f"as one batched net, {found:.1f} times as long as one" if pays else "one after the other"
        say(f"{len(model.members)} members are trained {way}")
    value = config["together"]
    return value if isinstance(value, int | float) else 0


def told(facts: Mapping[str, Any]) -> str:
    """What a run learns from, in one line."""
    data = facts.get("data", {})
    counts = " / ".join(f"{data[part]:,}" for part in ("train", "valid", "test") if part in data)
    return (
        f"{data.get('name', 'its own examples')}, {counts} to train / validate / test"
        if counts
        else str(data.get("name", ""))
    )


def _weights(folder: Path, model: nn.Module) -> dict[str, str]:
    """Write weights.safetensors if all is finite, else leave what was there. The checksums of it and of facts.json."""
    tensors = model.state_dict()
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point()):
        return {}
    facts = hashlib.sha256((folder / "facts.json").read_bytes()).hexdigest()
    return {"weights_sha256": write_weights(folder / "weights.safetensors", tensors), "facts_sha256": facts}


def _status(folder: Path, run: Run, state: str, **more: Any) -> None:
    write_status(
        folder, {"state": state, "step": run.step, "seconds": round(run.seconds, 1), "updated": time.time(), **more}
    )


def _take(folder: Path, model: nn.Module, config: dict[str, Any], say: Say) -> None:
    """Start from another run's weights where names and shapes agree; freeze them if asked; say what was taken."""
    origin = config["from"]
    source = Path(str(origin.get("run")))
    ours = model.state_dict()
    if any((folder / "state").glob("*.safetensors")):  # resumed: the state has all, and the origin may be gone
        theirs = {name: ours[name] for name in origin.get("taken", []) if name in ours}
    else:
        theirs = read_weights(source if source.suffix == ".safetensors" else source / "weights.safetensors")
    taken = [n for n, tensor in ours.items() if n in theirs and theirs[n].shape == tensor.shape]
    left = [n for n in ours if n not in taken]
    if not taken:
        raise UserError(
            f"weights in {source} that fit this model",
            "none of the same name and shape",
            "Use a run of this page, or weights under its names",
        )
    with torch.no_grad():
        for name in taken:
            ours[name].copy_(theirs[name])
    if origin.get("frozen"):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in taken)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            got = f"all {len(taken)} tensors of {source.name} frozen"
            raise UserError(
                "something to train beside what is frozen", got, "Leave --freeze out, or train on other classes"
            )
    config["from"] = {**origin, "taken": taken, "left": left}
    write_json(folder / "config.json", {k: v for k, v in config.items() if k != "format"})
    verb = "took and froze" if origin.get("frozen") else "took"
    say(f"{verb} {len(taken)} tensors of {source.name}; new: {', '.join(left) or 'none'}")


def _paced(folder: Path, system: System[Any, Any, Any, Any], knobs: Any, config: dict[str, Any], model: nn.Module,
           data: Any, run: Run, say: Say) -> Any:  # fmt: skip
    """The settings with no more updates than the time allows, by a trial of some: so the step size falls to its end
    before the time is spent. They are kept in config.json; a resumed run is not paced again."""
    assert system.loss is not None
    loss, twin, limit = system.loss, copy.deepcopy(model), 60.0 * config.pop("paced")

    def probe(net: Any, plan: Plan) -> torch.Tensor:
        return loss(net, plan.lay(data.train.batch(0, knobs.batch)))["loss"]

    times: list[float] = []
    with torch.random.fork_rng(devices=[]):  # the run draws what it would draw without a limit
        run.measure(twin, probe, knobs.batch)
        while len(times) < 4 or (sum(times) < min(2.0, limit / 20) and len(times) < 50):
            begin = time.perf_counter()
            with run.plan.running(run.place.device):
                value = probe(twin, run.plan)
            value.backward()
            float(value.detach())  # waits for the device, too
            times.append(time.perf_counter() - begin)
    steps = max(1, int(min(knobs.steps, limit / (BESIDE * float(np.median(times[1:]))))))
    if steps < knobs.steps:
        say(f"{steps:,} updates instead of {knobs.steps:,}: as many as {limit / 60:g} min allow here")
        knobs = changed(knobs, {"steps": steps}, str(config["system"]))
        config["config"] = knobs.model_dump(mode="json")
        config["command"] = re.sub(r"--steps \d+", f"--steps {steps}", str(config["command"]))
    write_json(folder / "config.json", {k: v for k, v in config.items() if k != "format"})
    return knobs
