"""What a classifier got wrong on its test data: the confusion matrix and the worst mistakes, kept for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.folder import write_whole
from ..core.system import System
from ..media import Image

WORST = 24


def examine(folder: Path, system: System[Any, Any, Any, Any], model: nn.Module, data: Any) -> dict[str, Any]:
    """`confusion` and `mistakes` of report.json for a page with a probe and labels; nothing for others.

    The pictures of the mistakes (those most sure of a wrong class) are written to `shows/`.
    """
    labels = data.facts.get("labels") if hasattr(data, "facts") else None
    if not system.probe or not labels:
        return {}
    counts = torch.zeros(len(labels), len(labels), dtype=torch.long)
    worst: list[tuple[float, int, int, torch.Tensor]] = []
    with torch.inference_mode():
        for batch in data.test.sweep(500):
            probe = system.probe(model, batch)
            chance = probe.scores(probe.input).softmax(-1)
            sure, said = chance.max(-1)
            counts.index_put_(
                (probe.target.cpu(), said.cpu()), torch.ones(len(said), dtype=torch.long), accumulate=True
            )
            for i in (said != probe.target).nonzero().flatten().tolist():
                worst.append((float(sure[i]), int(probe.target[i]), int(said[i]), probe.input[i].cpu()))
    found: dict[str, Any] = {"confusion": {"labels": labels, "counts": counts.tolist()}}
    worst.sort(key=lambda mistake: -mistake[0])
    mistakes = []
    for number, (sure, target, said, picture) in enumerate(worst[:WORST]):
        if picture.dim() != 3 or picture.shape[0] not in (1, 3):
            break  # no picture: a table's row has nothing to show
        name = f"shows/mistake-{number:02d}.png"
        pixels = picture.clamp(0, 255).byte().permute(1, 2, 0).squeeze(-1).numpy()
        write_whole(folder / name, Image(pixels).encode()[1])
        mistakes.append({"true": labels[target], "said": labels[said], "chance": round(sure, 4), "picture": name})
    return {**found, "mistakes": mistakes} if mistakes else found
