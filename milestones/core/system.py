"""System, the record that each page ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from .config import Config
from .run import Run
from .score import Score
from .source import Facts, Place

C = TypeVar("C", bound=Config)
D = TypeVar("D")
M = TypeVar("M", bound=nn.Module)
B = TypeVar("B")

Loss = Callable[[M, B], dict[str, Tensor]]
"""`loss` is minimised, the rest is logged; each a scalar."""


class Probe(NamedTuple):
    """A differentiable look at a model: what attack, look and the report need to know of a page."""

    input: Tensor  # B ...: raw legal values as floats
    low: float  # smallest legal input
    high: float  # largest legal input
    scores: Callable[[Tensor], Tensor]  # input -> "B K"
    target: Tensor  # B: the true class


@dataclass(frozen=True)
class System(Generic[C, D, M, B]):
    """What a page hands to the rest: its functions, no more."""

    Config: type[C]
    presets: Mapping[str, C]  # at least "quick" (the default; embedded data) and "paper"
    prepare: Callable[[C, Place], D]  # Data, World or Game; has .facts
    build: Callable[[C, Facts], M]  # takes legal raw values: normalisation is the model's first layer
    train: Callable[[C, M, D, Run], None]
    score: Callable[[C, M, D, Place], dict[str, Score]]
    use: Callable[..., list[dict[str, Any]]]  # (M, Facts, inputs, *, options): an answer's first entry is the answer
    takes: tuple[type, ...] = ()  # kinds of Media; () = plays by itself
    read: Callable[[Facts, Sequence[Any]], B] | None = None
    loss: Callable[[M, B], dict[str, Tensor]] | None = None  # landscape, doctor, ensemble
    probe: Callable[[M, B], Probe] | None = None  # attack, look, report


def classifier_probe(model: nn.Module, batch: Any) -> Probe:
    """The probe of a classifier of pictures with grey levels 0 to 255: batch is (image, label)."""
    image, label = batch
    return Probe(image.to(torch.float32), 0.0, 255.0, model, label)
