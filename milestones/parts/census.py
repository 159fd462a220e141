"""A net's layers counted: shapes, parameters, multiply-adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from .watch import Watch

OTHER = "elsewhere"


class Count(NamedTuple):
    """A layer's line, for one example."""

    name: str
    op: str
    shape: tuple[int, ...]  # of what it puts out, without the batch
    parameters: int
    multiply_adds: int  # of all its calls; biases, activations, normalisation and pooling are not counted
    calls: int  # in one pass


@torch.no_grad()
def census(model: nn.Module, run: Callable[[Tensor], Any], input: Shaped[Tensor, "B ..."]) -> list[Count]:
    """One line for each step with parameters or products, and for pooling, in the order of the pass through `run`.

    Parameters that several layers share count in the first; those that the pass does not meet as they are (parts of
    them, or none) stand in a last line, so that the sum is the net's.
    """
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    with Watch(model) as seen:
        run(input)
    inside = {f"{path}.{own}".strip("."): path for path, module in model.named_modules()
              for own, _ in module.named_parameters(recurse=False)}  # fmt: skip
    done, counts = set(), []
    for step in seen.steps:
        if step.kind == "module":
            continue
        own = {name for name, path in inside.items() if (path or "net") == step.name and step.op[0].isupper()}
        own = (own | seen.used.get(step.name, set())) - done
        done |= own
        work = seen.work.get(step.name, 0)
        if own or work or step.kind == "pool":
            shape = step.shape[1:] if step.shape[:1] == input.shape[:1] else step.shape
            op = seen.ops.get(step.name, step.op.lower())
            size = sum(sizes.get(name, 0) for name in own)
            counts.append(Count(step.name, op, shape, size, work // len(input), seen.calls[step.name]))
    rest = sum(size for name, size in sizes.items() if name not in done)
    met = {step.name for step in seen.steps}
    lost = sum(work for name, work in seen.work.items() if name not in met) // len(input)
    return [*counts, Count(OTHER, "", (), rest, lost, 1)] if rest or lost else counts
