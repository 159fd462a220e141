"""The doctor's part of a run's page: what is wrong, and what each layer did. It trusts nothing in the folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..parts.diagnosis import Finding, case, diagnose, layers_of
from . import files
from .pictures import chart, grid, number, short, words

MOST_ROWS = 40
MARKS = {"certain": "Certain", "likely": "Likely", "possible": "Possible"}


def diagnosis(folder: Path) -> list[Finding]:
    """What the doctor finds in the files of a run, the surest first; those that are damaged say nothing."""
    records = {name: files.record(folder, f"{name}.json")[0] for name in ("checks", "facts", "config", "status")}
    origin = records["config"].get("from")
    frozen = isinstance(origin, dict) and origin.get("frozen") is True
    problem = str(records["status"].get("problem") or "")
    choice, labels = records["config"].get("choice"), records["facts"].get("labels")
    final = isinstance(choice, dict) and choice.get("split") == "final"
    return diagnose(case(files.log(folder)[0], records["checks"], labels, frozen, problem, final))


def section(found: Iterable[Finding], lines: Iterable[Mapping[str, Any]]) -> str:
    """The findings, the gradient's norm and the updates in the course of the training, and each layer at its end."""
    looks = [line for line in lines if isinstance(line.get("vitals"), dict)]
    rows = "".join(
        f"<li><b>{MARKS[one.sure]}:</b> {words(one.says)}. <i>{words(one.do)}.</i></li>" for one in found
    )  # fmt: skip
    if not looks and not rows:
        return ""
    text = f"<ul>{rows}</ul>" if rows else f"<p>Nothing wrong was found in {len(looks)} looks at this training.</p>"
    stages = list(dict.fromkeys(str(line.get("stage")) for line in looks))
    for stage in stages[:2]:
        mine = [line for line in looks if str(line.get("stage")) == stage]
        before = f"{stage}: " if len(stages) > 1 else ""
        text += f'<div class="plots">{_courses(before, mine)}</div>' + _layers(before, mine[-1])
    return text


def _courses(before: str, looks: list[Mapping[str, Any]]) -> str:
    """Curves of the gradient's norm, and of the first, middle and last layer's updates."""
    steps = [number(line.get("step")) for line in looks]
    norms = [number(line["vitals"].get("norm")) for line in looks]
    names = [str(layer["name"]) for layer in layers_of(looks[-1]["vitals"]) if number(layer.get("update")) > 0]
    chosen = list(dict.fromkeys([names[0], names[len(names) // 2], names[-1]])) if names else []
    courses: dict[str, list[float]] = {name: [] for name in chosen}
    for line in looks:
        layers = {str(layer["name"]): layer for layer in layers_of(line["vitals"])}
        for name in chosen:
            update = 100 * number(layers.get(name, {}).get("update"))
            courses[name].append(update if update > 0 else float("nan"))
    text = ""
    if any(norm > 0 for norm in norms):  # a page may reckon its gradients by itself
        text = chart(f"{before}norm of the gradient", {"gradient": (steps, norms)}, xlabel="step")
    moves = {name: (steps, values) for name, values in courses.items()}
    return text + chart(f"{before}a step's share of the weights, %", moves, xlabel="step", logy=True)


def _layers(before: str, look: Mapping[str, Any]) -> str:
    """A row for each layer at the last look."""
    rows = []
    for layer in layers_of(look["vitals"])[:MOST_ROWS]:
        figures = [number(layer.get(name)) for name in ("weight", "gradient", "mean", "spread")]
        shares = [number(layer.get(name)) for name in ("dead", "saturated")]
        update = 100 * number(layer.get("update"))
        rows.append((str(layer["name"])[:60], *(short(v) if v == v else "–" for v in figures[:2]),
                     f"{update:.2g} %" if update == update else "–",
                     *(short(v) if v == v else "–" for v in figures[2:]),
                     *(f"{v:.0f} %" if v == v else "–" for v in shares)))  # fmt: skip
    names = ["Layer", "Weights", "Gradient", "Step", "Input: mean", "spread", "dead", "saturated"]
    note = "Root mean squares; a step as a share of the weights; dead: units that say the same to every example; "
    note += "saturated: at the ends of a range of -1 to 1. "
    title = f"{before}each layer at step {short(number(look.get('step')))}."
    return grid(names, rows) + f'<p class="quiet">{words(title[0].upper() + title[1:])} {note}</p>' if rows else ""
