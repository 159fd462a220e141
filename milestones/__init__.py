"""The systems that made deep learning, each one readable page of Python on PyTorch.

`pages()` lists the pages, `train(name, **settings)` trains one, `load(name)` gives a trained one; `Classifier(name)`
and `Regressor(name)` are scikit-learn's estimators. PyTorch and scikit-learn are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .estimators import Classifier, Regressor
    from .trained import Trained

__version__ = "0.1.0"
__all__ = ["Classifier", "Regressor", "load", "pages", "train"]


def pages() -> list[str]:
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


def __getattr__(name: str) -> Any:
    """Classifier and Regressor, which need scikit-learn. UserError: it is missing."""
    if name not in ("Classifier", "Regressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import estimators
    except ImportError as problem:
        from .core.errors import UserError

        got = f"no package {problem.name}"
        raise UserError("scikit-learn", got, "Install it: pip install 'milestones[tables]'") from None
    return getattr(estimators, name)
