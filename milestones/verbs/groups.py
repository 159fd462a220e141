"""Runs side by side: those that differ in their seed only are one group, with a mean and an interval. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.interval import spread

SAME = ("system", "config", "choice", "from", "page_sha256", "members")  # in a group


def gathered(runs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Groups of runs, in the order of their first; each run has "config", the content of its config.json."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        same = {name: run["config"].get(name) for name in SAME}
        groups.setdefault(json.dumps(same, sort_keys=True), []).append(run)
    return list(groups.values())


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a run but its seed, by name: the page, data and split, members, and the page's own settings."""
    more = [part for part in (config.get("choice"), config.get("config")) if isinstance(part, dict)]
    found = {"system": config.get("system"), "members": config.get("members") or 1}
    for part in more:
        found |= part
    return found


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of settings that are not the same in all."""
    names = dict.fromkeys(name for item in settings for name in item)
    return [name for name in names if len({json.dumps(item.get(name, "-")) for item in settings}) > 1]


def scored(scores: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Mean, spread and interval of each score that all runs of a group have: of the seeds, not of the test sample."""
    found = {}
    for name, first in scores[0].items():
        if all(name in each for each in scores):
            values = [each[name]["value"] for each in scores]
            about = {key: first[key] for key in ("unit", "data", "over")}
            found[name] = {**spread(values), "values": values, **about}
            if "low" in found[name] and min(values) >= 0:  # a return may be below 0, an error not
                found[name]["low"] = max(0.0, found[name]["low"])
    return found
