"""The systems that made deep learning, each one readable page of Python on PyTorch.

`systems()` lists the pages, `train(name, **settings)` trains one, `load(name)` gives a trained one. PyTorch is
imported by the latter two when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .trained import Trained

__version__ = "0.1.0"
__all__ = ["load", "systems", "train"]


def systems() -> list[str]:
    """The names of all pages, by year."""
    from .catalog import TIMELINE

    return [entry.name for entry in TIMELINE]


def load(run: str, runs: str = "runs") -> Trained:
    """A trained run by folder, by name as `lenet-3`, or by page: the latest finished one, else the shipped one. Or a
    folder with the weights of a GPT-2."""
    from .catalog import load

    return load(run, runs)


def train(page: str, *, preset: str = "quick", seed: int = 0, data: str = "", target: str = "", split: str = "",
          plan: str = "auto", runs: str = "runs", **settings: Any) -> Trained:  # fmt: skip
    """Train a page (a name or a .py file) as the command does, and load what came of it. UserError on bad input."""
    from .catalog import load
    from .verbs.execute import Order, begin

    order = Order(preset=preset, seed=seed, data=data, target=target, split=split, plan=plan)
    return load(str(begin(page, settings, order, runs).folder), runs, page)
