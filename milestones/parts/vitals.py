"""What a doctor measures in one step of a training: weights, gradients, updates, and what goes into each layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

EARLY = (0, 1, 3, 10, 30)  # what is wrong with starting weights shows at once
MOST_LOOKS = 24  # in a stage, beside the early ones
STEPS_A_LOOK = 100  # a look costs about a step or two: at most 2 %
MOST_LAYERS = 80
MOST_VALUES = 1 << 20  # of a layer's input that are looked at
SATURATED = 0.97  # of a unit whose outputs lie in -1 to 1


def due(step: int, total: int) -> bool:
    """Whether step `step` of `total` is looked at; the same for all runs of one length."""
    looks = max(4, min(MOST_LOOKS, total // STEPS_A_LOOK))
    return (step in EARLY and step < max(4, total // 10)) or step == total - 1 or step % max(1, total // looks) == 0


def look(model: nn.Module, step: int, total: int) -> Look | None:
    """The doctor of a run: looks at the steps that are due."""
    return Look(model) if due(step, total) else None


class Look:
    """One step looked at: made before it, `findings` after it. The model is the same before and after.

    Its hooks live for this step alone, in which only the first call of each layer counts.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._before = {name: p.detach().clone() for name, p in model.named_parameters()}
        self._inputs: dict[str, dict[str, float]] = {}
        self._hooks: list[Any] = []
        for name, layer in _layers(model)[:MOST_LAYERS]:
            self._hooks.append(layer.register_forward_pre_hook(self._seen(name, layer)))

    def _seen(self, name: str, layer: nn.Module) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def seen(_: nn.Module, given: tuple[Any, ...]) -> None:
            if name in self._inputs or not given or not torch.is_grad_enabled():
                return
            signal = given[0]
            if not isinstance(signal, Tensor) or not signal.is_floating_point():
                self._inputs[name] = {"examples": len(signal) if isinstance(signal, Tensor) else 0}
                return
            self._inputs[name] = signals(signal.detach(), 1 if isinstance(layer, nn.modules.conv._ConvNd) else -1)
            if isinstance(layer, nn.RNNBase) and signal.dim() == 3 and signal.requires_grad:
                self._inputs[name] |= {"flow": math.nan}
                signal.register_hook(lambda slope: self._through_time(name, slope, 1 if layer.batch_first else 0))

        return seen

    def _through_time(self, name: str, slope: Tensor, time: int) -> None:
        """How much of the gradient at the last tenth of the inputs arrives at the first tenth."""
        norms = slope.detach().float().square().sum([d for d in range(3) if d != time]).sqrt()
        part = max(1, len(norms) // 10)
        self._inputs[name]["flow"] = float(norms[:part].mean() / norms[-part:].mean().clamp(min=1e-30))

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @torch.no_grad()
    def findings(self) -> dict[str, Any]:
        """JSON: `norm` of the gradient; for each layer its name, number of weights, root mean squares of weights and
        gradient (None where none came), the update's share of the weights, `free` (asks for gradients), and figures
        of its input (`signals`).
        """
        self.close()
        layers, names, total = [], [], []
        for name, p in self._model.named_parameters():
            gradient = p.grad
            if gradient is not None:
                total.append(gradient.detach().float().norm())
            if p.dim() < 2 or len(names) == MOST_LAYERS:
                continue
            before = self._before[name]
            size = before.norm()
            none = torch.full((), math.nan, device=p.device)
            names.append((name, p.numel(), p.requires_grad))
            layers.append(torch.stack([
                size / p.numel() ** 0.5,
                none if gradient is None else gradient.detach().float().norm() / p.numel() ** 0.5,
                (p.detach() - before).norm() / size.clamp(min=1e-12),
            ]))  # fmt: skip
        measured = torch.stack(layers).tolist() if layers else []
        found = []
        for (name, count, free), (weight, gradient, update) in zip(names, measured, strict=True):
            layer = name.rpartition(".")[0]
            found.append({"name": name, "count": count, "free": free, "weight": short(weight),
                          "gradient": short(gradient), "update": short(update),
                          **{key: short(value) for key, value in self._inputs.pop(layer, {}).items()}})  # fmt: skip
        norm = float(torch.stack(total).norm()) if total else 0.0
        return {"norm": short(norm), "layers": found}


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules with weights of two or more dimensions of their own."""
    return [(name, module) for name, module in model.named_modules()
            if any(p.dim() > 1 for p in module.parameters(recurse=False))]  # fmt: skip


def short(value: float) -> float | None:
    """Four digits; None for what is no finite number, which JSON has no word for."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def signals(x: Tensor, units: int) -> dict[str, float]:
    """Figures of a layer's input, of which dimension `units` holds the units: `examples` in the batch, `mean` and
    `spread` of all, `dead` (percent of the units that say the same to everything), `alike` (1 where all units say the
    same) and, where units lie in -1 to 1, `saturated` (percent beyond SATURATED).
    """
    examples = len(x)
    x = x[: max(8, MOST_VALUES // max(1, x[0].numel()))].movedim(units, 0).flatten(1).float()  # units samples
    low, high = x.amin(1), x.amax(1)
    figures = [x.mean(), x.std(), ((high - low) <= 1e-6 * high.abs().clamp(min=1e-6)).float().mean(),
               (x - x[:1]).abs().amax(), low.amin(), high.amax(), (x.abs() > SATURATED).float().mean()]  # fmt: skip
    mean, spread, dead, apart, least, most, beyond = torch.stack(figures).tolist()
    found = {"examples": examples, "mean": mean, "spread": spread, "dead": 100 * dead}
    found["alike"] = float(len(x) > 1 and apart <= 1e-6 * max(abs(least), abs(most), 1e-6))
    if -1.0001 <= least < -0.3 and most <= 1.0001:
        found["saturated"] = 100 * beyond
    return found
