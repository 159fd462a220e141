"""tune --architecture: nets of other depth, width and cell, ranked before training; and what the ranking was worth."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..catalog import find, page
from ..core.errors import UserError
from ..core.source import Choice, Place, key
from ..parts.zerocost import jacobian_covariance, parameters, ranks, slopes, spearman, synflow
from .journal import opened, quiet
from .space import drawn, settings_of
from .trials import Tuning, knobs_of

CANDIDATES = 64  # that are ranked
TRIES = 600  # draws for so many that can be built
FIRST = 8  # of the ranking's best, that are trained first
EXAMPLES = 64  # of the batch that they are ranked by


class Ground:
    """What all candidates are built for: the page's system, its data, one batch."""

    def __init__(self, tuning: Tuning) -> None:
        self.tuning, self.system = tuning, page(find(tuning.page)).system
        if self.system.loss is None:
            do = "Tune its other settings: leave --architecture out"
            raise UserError("a page with a loss, by which untrained nets are ranked", "one without", do, tuning.who)
        order = tuning.order
        choice = Choice(
            order["data"], order["target"], order["split"], "unreadable" if order["skip_unreadable"] else ""
        )
        knobs = knobs_of(tuning, {})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(tuning.seed, "prepare", -1, 0))
            self.data = self.system.prepare(knobs, Place(torch.device("cpu"), tuning.seed, choice=choice))
        self.batch = self.data.train.batch(0, min(getattr(knobs, "batch", EXAMPLES), EXAMPLES))

    def proxies(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """What each proxy says of the net with these settings, before any training. UserError: it cannot be built."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(self.tuning.seed, "build", -1, 0))
            model = self.system.build(knobs_of(self.tuning, settings), self.data.facts)
            model.train()
            found = {"parameters": parameters(model)}
            found["gradient norm"], found["snip"] = slopes(model, self.system.loss(model, self.batch)["loss"])
            if self.system.probe is not None:
                probe = self.system.probe(model, self.batch)
                found["jacobian covariance"] = jacobian_covariance(probe.scores, probe.input)
                twin = copy.deepcopy(model)
                probe = self.system.probe(twin, self.batch)
                found["synflow"] = synflow(twin, probe.scores, probe.input)
        return {name: value if math.isfinite(value) else -math.inf for name, value in found.items()}


def voted(each: Sequence[Mapping[str, float]]) -> list[float]:
    """The mean rank of each candidate over the proxies; the number of weights has no vote where others have."""
    voters = [name for name in each[0] if name not in ("parameters", "gradient norm")]
    places = [ranks([one[name] for one in each]) for name in voters]
    return [sum(place[k] for place in places) / len(places) for k in range(len(each))]


def ranked(tuning: Tuning, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Candidates with what the proxies say of them, the highest in the vote first. UserError: none can be built."""
    ground, rng = Ground(tuning), random.Random(key(tuning.seed, "candidates"))
    found: list[dict[str, Any]] = []
    seen, problem = set[str](), None
    for _ in range(TRIES):
        if len(found) == CANDIDATES:
            break
        params = drawn(tuning.ranges, rng)
        settings = settings_of(tuning.ranges, params)
        if str(settings) in seen:
            continue
        seen.add(str(settings))
        try:
            found.append({"params": params, "settings": settings, "proxies": ground.proxies(settings)})
        except UserError as one:
            problem = one
    if not found:
        assert problem is not None, "a range has at least one value"
        raise problem
    votes = voted([one["proxies"] for one in found])
    order = sorted(range(len(found)), key=lambda k: -votes[k])
    say(f"{len(found)} nets were ranked before training; the first {min(FIRST, len(found))} are trained first")
    for one in found:  # what is infinite is no JSON
        one["proxies"] = {name: value if math.isfinite(value) else None for name, value in one["proxies"].items()}
    return [{**found[k], "vote": votes[k]} for k in order]


def enqueue(tuning: Tuning, candidates: Sequence[Mapping[str, Any]]) -> None:
    """Let the search begin with the ranking's best."""
    with quiet():
        study = opened(tuning.folder)
        for one in candidates[:FIRST]:
            study.enqueue_trial(dict(one["params"]), skip_if_exists=True)


def agreement(tuning: Tuning, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Spearman's rank correlation of each proxy, and of their vote, with the figure after training (a good one counts
    as high), over the control's nets: drawn at random and all trained to the end."""
    trained = [row for row in rows if row["state"] == "complete" and row["number"] and math.isfinite(row["value"])]
    if len(trained) < 2:
        return []
    ground = Ground(tuning)
    each = [ground.proxies(row["settings"]) for row in trained]
    good = [-row["value"] for row in trained]
    lists = {name: [one[name] for one in each] for name in each[0]} | {"vote": voted(each)}
    found = []
    for name, values in lists.items():
        rho, low, high = spearman(values, good)
        found.append({"proxy": name, "rho": None if math.isnan(rho) else rho, "low": low, "high": high,
                      "over": len(trained)})  # fmt: skip
    return found
