"""The lines of a run's log as a Curve, for pages that show several stages side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .records import Curve


def history(folder: Path, stages: Mapping[str, str], name: str, xlabel: str, ylabel: str) -> Curve:
    """The values of `name` in the log of the run in `folder`, a line for each of `stages` (title -> stage), where all
    of these have one. A stage's lines are whole in the log once it is finished."""
    found: dict[str, dict[int, float]] = {stage: {} for stage in stages.values()}
    log = folder / "log.jsonl"
    for text in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        line = json.loads(text)
        if name in line and line["stage"] in found:
            found[line["stage"]][line["step"]] = line[name]
    steps = sorted(set.intersection(*(set(values) for values in found.values())))
    lines = {title: [found[stage][step] for step in steps] for title, stage in stages.items()}
    return Curve(steps, lines, xlabel, ylabel)
