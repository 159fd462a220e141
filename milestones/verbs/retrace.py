"""Where a run began, and the way that it went: its starting weights, and its training once more, looked at on the way.

A run folder keeps the weights of the end alone. All else follows from its seed.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import UserError
from ..core.folder import read_weights
from ..core.run import Progress, Run
from ..core.source import Place, key
from ..parts.ensemble import Ensemble
from ..parts.landscape import vector
from ..trained import Trained, order_of
from .trial import Ground, Over, Trial

SPOTS = 50  # of a path


def sole(trained: Trained) -> nn.Module:
    """The net that a page's loss asks for: of an ensemble, the first member."""
    net = trained.model
    return net.members[0] if isinstance(net, Ensemble) else net


def built(trained: Trained) -> nn.Module:
    """The page's net as training built it, from the run's seed, with what it took from another run. UserError: that
    run's weights are gone or changed."""
    config, origin = trained.config, trained.config.get("from")
    seed, _ = order_of(config, trained.folder)
    if isinstance(trained.model, Ensemble):
        seed = key(seed, "member", 0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key(seed, "build", -1, 0))
        net = trained.system.build(trained.knobs, trained.facts)
    if isinstance(origin, dict):
        source, ours = Path(str(origin.get("run"))), net.state_dict()
        theirs = read_weights(source if source.suffix == ".safetensors" else source / "weights.safetensors")
        taken = [name for name in origin.get("taken", []) if name in ours]
        if any(name not in theirs or theirs[name].shape != ours[name].shape for name in taken):
            got = "others of that name"
            raise UserError(f"the weights in {source} that the run began with", got, "Restore them", trained.entry.name)
        with torch.no_grad():
            for name in taken:
                ours[name].copy_(theirs[name])
        if origin.get("frozen"):
            for name, parameter in net.named_parameters():
                parameter.requires_grad_(name not in taken)
    return net


def beginning(trained: Trained, data: Any) -> nn.Module:
    """The net before its first update: as `built`, and as the page's `train` changes it before it counts steps (some
    set a layer by the data). UserError as `built`."""
    net, threads = built(trained), torch.get_num_threads()
    asks = [parameter.requires_grad for parameter in net.parameters()]
    seed, choice = order_of(trained.config, trained.folder)
    trial: Any = Trial(Ground("exact"), Place(torch.device("cpu"), seed, choice=choice), 0)
    try:
        with torch.random.fork_rng(devices=[]), contextlib.suppress(Over):
            trained.system.train(trained.knobs, net, data, trial)
    finally:
        torch.set_num_threads(threads)
    for parameter, ask in zip(net.parameters(), asks, strict=True):
        parameter.requires_grad_(ask)
    return net


class Way(NamedTuple):
    """The weights on the way, "T D", the last ones those of the end, and after how many updates."""

    points: Tensor
    steps: list[int]
    gap: float  # the largest difference between its end and the run's weights; 0: the same bits


def retraced(trained: Trained, watch: Callable[[Progress], None] | None = None, spots: int = SPOTS) -> Way:
    """The run's training once more, in a folder that is gone afterwards, with the weights at about `spots` moments.

    Under the same plan on the same machine it comes to the same bits; `gap` says whether it did. UserError: the run has
    several members, or its page trains its net in parts.
    """
    who = trained.entry.name
    if isinstance(trained.model, Ensemble):
        got = f"{len(trained.model.members)} members"
        raise UserError("--path for a run of one net", got, "Take a run that was trained without --members", who)
    seed, choice = order_of(trained.config, trained.folder)
    net, points, steps, before = built(trained), list[Tensor](), list[int](), [0]

    def look(model: nn.Module, step: int, total: int) -> None:
        """Before an update: keep the weights a few times in each stage."""
        if model is net and (step == 0 or step * spots // total != (step - 1) * spots // total):
            if steps and step == 0:
                before[0] = steps[-1]
            points.append(vector(net))
            steps.append(before[0] + step)

    with tempfile.TemporaryDirectory() as root:
        if (trained.folder / "plan.json").is_file():
            shutil.copy(trained.folder / "plan.json", root)
        place = Place(torch.device("cpu"), seed, choice=choice)
        with Run(Path(root), place, str(trained.config.get("plan", "auto")), None, watch, look) as run:
            run.seed("prepare")
            data = trained.system.prepare(trained.knobs, place)
            trained.system.train(trained.knobs, net, data, run)
            if run.ended:
                raise KeyboardInterrupt
            done = before[0] + run.step
    if len(points) < 3:
        got = "a training of parts of it, or with less than three updates"
        raise UserError("--path for a page that trains its whole net", got, "Leave --path out", who)
    points.append(vector(net))
    steps.append(done)
    gap = float((points[-1] - vector(trained.model)).abs().max())
    return Way(torch.stack(points), steps, gap)


def thinned(path: Way, most: int) -> Way:
    """At most `most` of a path's points, evenly; the first and the last stay."""
    if len(path.steps) <= most:
        return path
    rows = torch.linspace(0, len(path.steps) - 1, most).long().tolist()
    return path._replace(points=path.points[rows], steps=[path.steps[row] for row in rows])
