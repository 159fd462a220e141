"""What a classifier got wrong: the confusion matrix, the worst mistakes, suspicious labels, kept for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ..core.folder import write_whole
from ..core.system import System
from ..media import Image

WORST = 24
SURE = 0.95  # chance of another class, above which a training label is suspicious
MOST_LOOKED_AT = 10_000  # training examples


def examine(folder: Path, system: System[Any, Any, Any, Any], model: nn.Module, data: Any) -> dict[str, Any]:
    """`confusion`, `mistakes` and `suspects` of report.json for a page with a probe and labels; nothing for others.

    Mistakes are test pictures, those most sure of a wrong class first; suspects are training pictures whose label the
    trained model contradicts with a chance of SURE. Both are written to `shows/`.
    """
    labels = data.facts.get("labels") if hasattr(data, "facts") else None
    if not system.probe or not labels:
        return {}
    counts = torch.zeros(len(labels), len(labels), dtype=torch.long)
    worst = _missed(system, model, data.test, None, counts)
    found: dict[str, Any] = {"confusion": {"labels": labels, "counts": counts.tolist()}}
    found |= _kept(folder, "mistake", worst, labels)
    most = min(len(data.train), MOST_LOOKED_AT)
    doubted = [one for one in _missed(system, model, data.train, most) if one.chance >= SURE]
    return found | _kept(folder, "suspect", doubted, labels)


class Missed(NamedTuple):
    """An example that the model takes for another class."""

    chance: float
    target: int
    said: int
    input: torch.Tensor


def _missed(system: System[Any, Any, Any, Any], model: nn.Module, source: Any, most: int | None,
            counts: torch.Tensor | None = None) -> list[Missed]:  # fmt: skip
    """What the model is surest of and wrong among the first `most` of `source`; `counts` "K K" is added to."""
    worst: list[Missed] = []
    seen = 0
    with torch.inference_mode():
        for batch in source.sweep(500):
            probe = system.probe(model, batch)  # type: ignore[misc]
            chance = probe.scores(probe.input).softmax(-1)
            sure, said = chance.max(-1)
            if counts is not None:
                ones = torch.ones(len(said), dtype=torch.long)
                counts.index_put_((probe.target.cpu(), said.cpu()), ones, accumulate=True)
            for i in (said != probe.target).nonzero().flatten().tolist():
                worst.append(
                    Missed(float(sure[i]), int(probe.target[i]), int(said[i]), probe.input[i].to("cpu", copy=True))
                )
            worst = sorted(worst, key=lambda one: -one.chance)[:WORST]
            seen += len(said)
            if most is not None and seen >= most:
                break
    return worst


def _kept(folder: Path, kind: str, missed: list[Missed], labels: list[str]) -> dict[str, Any]:
    """The entry of report.json for these, their pictures written; {} where they are no pictures."""
    entries = []
    for number, one in enumerate(missed):
        if one.input.dim() != 3 or one.input.shape[0] not in (1, 3):
            break  # a table's row has nothing to show
        name = f"shows/{kind}-{number:02d}.png"
        write_whole(folder / name, Image.of(one.input).encode()[1])
        entries.append(
            {"true": labels[one.target], "said": labels[one.said], "chance": round(one.chance, 4), "picture": name}
        )
    return {f"{kind}s": entries} if entries else {}
