"""Groups of runs against each other: their learning curves with intervals over the seeds, and their scores as one
figure with a bootstrap interval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..core.interval import spread
from ..core.source import keyed
from ..parts.aggregate import bootstrap, interquartile_mean, mean, median, optimality_gap, profile, profile_band
from ..report.pictures import number

POINTS = 60  # of a curve
BEST = 2.0  # times the human, up to which a performance profile is drawn
FEW = 5  # seeds, below which an interval says little

Log = Sequence[Mapping[str, Any]]


def curve(group: Sequence[Mapping[str, Any]], logs: Sequence[Log], name: str) -> dict[str, Any] | None:
    """The mean of `name` over the runs of a group with Student's 95 % interval, where all of them have it; None where
    there is no such stretch. x: steps of the world where the reports tell them, else updates."""
    lines = []
    for run, log in zip(group, logs, strict=True):
        points = [(number(line.get("step")), number(line.get(name))) for line in log if name in line]
        xy = np.array([point for point in points if np.isfinite(point).all()]).reshape(-1, 2)
        if len(xy) < 2 or not (np.diff(xy[:, 0]) >= 0).all():
            return None
        lines.append((xy[:, 0] * (pace(run) or 1.0), xy[:, 1]))
    low, high = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    if not low < high:
        return None
    grid = np.linspace(low, high, POINTS)
    found = [spread(list(map(float, column))) for column in zip(*(np.interp(grid, *xy) for xy in lines), strict=True)]
    ends = [[one.get(end, one["mean"]) for one in found] for end in ("low", "high")]
    unit = "steps of the world" if all(map(pace, group)) else "updates"
    return {"x": grid.tolist(), "mean": [one["mean"] for one in found], "low": ends[0], "high": ends[1],
            "seeds": len(lines), "unit": unit}  # fmt: skip


def pace(run: Mapping[str, Any]) -> float:
    """Steps of the world an update, all its episodes together; 0 where the report does not tell them."""
    world = run.get("world")
    steps, updates = number(world.get("steps")) if isinstance(world, dict) else 0.0, number(run.get("steps"))
    return steps / updates if steps > 0 and updates > 0 else 0.0


def together(groups: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For each method, that is for groups which differ in their world alone: interquartile mean with the stratified
    bootstrap's interval, of `normalised` over all its games, else of the `return` in its one world."""
    methods: dict[str, dict[str, Sequence[Mapping[str, Any]]]] = {}
    for group in groups:
        config = group[0]["config"]
        knobs = dict(config["config"]) if isinstance(config.get("config"), dict) else {}
        world = str(knobs.pop("world", config.get("system")))
        same = {"system": config.get("system"), "config": knobs, "choice": config.get("choice")}
        if all(isinstance(run.get("world"), dict) for run in group):  # a process that was solved has a return, too
            methods.setdefault(json.dumps(same, sort_keys=True), {})[world] = group
    found = []
    for worlds in methods.values():
        runs = [run["run"] for group in worlds.values() for run in group]
        for name, scale, unit in (("normalised", 0.01, "of human"), ("return", 1.0, "reward")):
            rows = {world: torch.tensor([scale * run["scores"][name]["value"] for run in group], dtype=torch.float64)
                    for world, group in worlds.items() if all(name in run["scores"] for run in group)}  # fmt: skip
            if rows and (name == "normalised" or len(rows) == 1):
                whole = figures(list(rows.values()), name == "normalised")
                if name == "return":
                    unit = str(next(iter(worlds.values()))[0]["scores"][name].get("unit", unit))
                found.append({"runs": runs, "score": name, "unit": unit, "worlds": list(rows), **whole})
                break
    return found


def figures(rows: list[torch.Tensor], human: bool) -> dict[str, Any]:
    """The robust figures of runs of several worlds, each with its interval; against the human also the gap that is
    left and the performance profile."""
    kinds = {"interquartile_mean": interquartile_mean}
    if human:
        kinds |= {"median": median, "mean": mean, "optimality_gap": optimality_gap}
    found: dict[str, Any] = {"seeds": min(map(len, rows))}
    for name, figure in kinds.items():
        low, high = bootstrap(rows, figure, keyed("bootstrap", name))
        found[name] = {"value": figure(rows), "low": low, "high": high}
    if human:
        at = torch.linspace(0, BEST, 41, dtype=torch.float64)
        low, high = profile_band(rows, at, keyed("bootstrap", "profile"), 500)
        found["profile"] = {"at": at.tolist(), "share": profile(rows, at).tolist(), "low": low.tolist(),
                            "high": high.tolist()}  # fmt: skip
    return found


def lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The robust figures for a terminal."""
    text = []
    for one in found:
        runs = one["runs"][0] + (f" .. {one['runs'][-1]}" if len(one["runs"]) > 1 else "")
        what = f" over {len(one['worlds'])} games" if len(one["worlds"]) > 1 else f" in {one['worlds'][0]}"
        parts = [f"{name.replace('_', ' ')} {one[name]['value']:.4g} [{one[name]['low']:.4g}, {one[name]['high']:.4g}]"
                 for name in ("interquartile_mean", "median", "mean", "optimality_gap") if name in one]  # fmt: skip
        few = "" if one["seeds"] >= FEW else f"; {one['seeds']} seeds say little, {FEW} or more are usual"
        few = few if one["seeds"] > 1 else f"; one seed has no spread, {FEW} or more are usual"
        text.append(f"{runs}: {one['score']} {one['unit']}{what}: {', '.join(parts)}, stratified bootstrap 95 %{few}")
    return text
