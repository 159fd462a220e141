"""The one shared loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .run import Run
from .source import Source
from .state import Memo, Stateful

M = TypeVar("M", bound=nn.Module)
B = TypeVar("B")


def constant(step: int) -> float:
    """The schedule that keeps the rate: 1 at every step."""
    return 1.0


def cosine(steps: int, warmup: int = 0) -> Callable[[int], float]:
    """A schedule: from 1 to 0 along half a cosine over `steps`, after a linear rise over `warmup` updates."""

    def at(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup))

    return at


def fit(model: M, loss: Callable[[M, B], dict[str, Tensor]], source: Source[B], run: Run, *, steps: int, batch: int,
        optimizer: torch.optim.Optimizer, schedule: Callable[[int], float] = constant,
        valid: Source[B] | None = None, clip: float | None = None, patience: int | None = None,
        average: float | None = None, stage: str = "train") -> None:  # fmt: skip
    """Minimise `loss` over `source`: the plain loop. It has no hooks and shall get none.

    `schedule(step)` multiplies the optimiser's rates. `clip` bounds the gradient's norm. `patience` ends the stage
    after so many evaluations on `valid` without a lower loss; `model` ends with the weights of the lowest. `average` is
    the decay of an exponential mean of the weights, with which `model` ends and is evaluated.
    """
    run.measure(model, lambda twin, plan: loss(twin, plan.lay(source.batch(0, batch)))["loss"], batch)
    rates = [group["lr"] for group in optimizer.param_groups]
    memo, device = Memo(best=math.inf, since=0), run.place.device
    mean = copy.deepcopy(model) if average else model
    best = copy.deepcopy(model) if patience else mean
    twins: dict[str, Stateful] = {**({"mean": mean} if average else {}), **({"best": best} if patience else {})}
    for step in run.steps(steps, stage, model=model, optimizer=optimizer, memo=memo, **twins):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(step)
        with run.plan.running(device):
            terms = loss(model, run.plan.lay(source.batch(step, batch)))
        optimizer.zero_grad()
        terms["loss"].backward()
        run.average(model)
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if average:
            blend(mean, model, min(average, (1 + step) / (10 + step)))
        run.log(**terms)
        if valid and run.every(max(len(source) // batch, steps // 40, 1)):
            found = evaluate(mean, loss, valid)
            run.log(**{f"valid_{name}": value for name, value in found.items()})
            memo.since, memo.best = (0, found["loss"]) if found["loss"] < memo.best else (memo.since + 1, memo.best)
            if patience and not memo.since:
                best.load_state_dict(mean.state_dict())
            elif patience and memo.since >= patience:
                run.enough()
    if average or patience:
        model.load_state_dict((best if memo.best < math.inf else mean).state_dict())


@torch.no_grad()
def blend(mean: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the exponential mean towards `model`: mean = decay * mean + (1 - decay) * model; buffers are copied."""
    for kept, now in zip(mean.parameters(), model.parameters(), strict=True):
        kept.lerp_(now, 1 - decay)
    for kept, now in zip(mean.buffers(), model.buffers(), strict=True):
        kept.copy_(now)


def evaluate(model: M, loss: Callable[[M, B], dict[str, Tensor]], source: Source[Any],
             size: int = 500) -> dict[str, float]:  # fmt: skip
    """The mean of each term of `loss` over a sweep, in evaluation mode and float32."""
    was, sums, over = model.training, {}, 0
    model.eval()
    with torch.no_grad():
        for batch in source.sweep(size):
            n = len(batch[0])
            for name, value in loss(model, batch).items():
                sums[name] = sums.get(name, 0.0) + float(value) * n
            over += n
    model.train(was)
    return {name: total / max(over, 1) for name, total in sums.items()}
