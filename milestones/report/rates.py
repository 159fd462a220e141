"""The page of a study of the learning rate: the suggested rate, the quiz, and what it rests on."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from .page import whole
from .pictures import chart, grid, number, short, words
from .result import took

HIGHEST = 1.5  # of the first loss: where a curve of the quiz leaves the picture


def html_of(found: Mapping[str, Any]) -> str:
    """The page as text, from what `study` gives. The same study gives the same text."""
    rate, low, high = (f"{found[name]:g}" for name in ("rate", "low", "high"))
    name, seeds, updates = words(found["system"], 80), found["seeds"], found["updates"]
    cost = f"{100 * found['share']:.0f} % of a training of {updates:,} updates"
    data = f" on {words(found['data'])}" if found["data"] else ""
    sections = {
        "Quiz": quiz(found["quiz"], f"{found['system']} {found['seed']}"),
        "What it rests on": f'<div class="plots">{tests(found)}{compared(found)}</div>',
        "Repeat it": f'<pre class="copy">{words(found["command"])}</pre>'
        f'<p>Train with it:</p><pre class="copy">{words(found["use"])}</pre>',
    }
    body = (
        f'<header><p class="eyebrow">milestones · learning rate</p><h1>{name}</h1>'
        f'<div class="hero"><p class="figure">{rate}</p><p class="result">is the learning rate that short trainings of '
        f"this page{data} suggest. 95 % interval of {seeds} seeds: {low} to {high}. The study cost {cost}, "
        f"{took(found['seconds'])} here.</p></div></header>"
    )
    for title, content in sections.items():
        body += f"<section><h2>{title}</h2><div>{content}</div></section>\n" if content else ""
    return whole(f"{name} · learning rate", body, "Written from study.json beside it.")


def quiz(asked: list[Mapping[str, Any]], seed: str) -> str:
    """Four real curves without their names, and the answer below, folded."""
    if not asked:
        return ""
    mixed = random.Random(seed).sample(asked, len(asked))
    top = HIGHEST * mixed[0]["losses"][0]
    lines, rows = {}, []
    for letter, one in zip("ABCD", mixed, strict=True):
        losses = [number(value) for value in one["losses"]]
        losses = [value if value < top else top for value in losses]  # what is no number leaves at the top, too
        lines[letter] = list(range(len(losses))), losses
        rows.append((letter, one["name"], f"{one['rate']:g}", one["did"]))
    picture = chart("Which rate is very high, high, good, low?", lines, "updates", "training loss", logy=False,
                    last=False)  # fmt: skip
    answer = grid(["Curve", "It is", "Rate", "What it did"], rows)
    note = (
        "The page's own schedule in few updates, on the same batches. A curve at the upper edge has left the picture."
    )
    return (f'<div class="plots"><div class="full">{picture}</div></div><p class="quiet">{note}</p>'
            f"<details><summary>The answer</summary>{answer}</details>")  # fmt: skip


def tests(found: Mapping[str, Any]) -> str:
    """The loss against the rate while the rate grows, one line a seed, and the interval of the suggestion."""
    if not found["range_tests"]:
        return "<p>This page keeps its optimiser to itself, so there is no range test.</p>"
    top = HIGHEST * found["first"]
    lines, least = {}, math.inf
    for i, one in enumerate(found["range_tests"]):
        losses = [number(value) for value in one["losses"]]
        losses = [value if value < top else math.nan for value in losses]
        least = min([least, *(value for value in losses if value == value)])
        lines[f"seed {found['seed'] + i}"] = one["rates"], losses
    level = max(0.0, least - 0.06 * (top - least))
    ends = [found["low"], found["rate"], found["high"]]
    lines[f"suggested: {found['rate']:g}, {found['low']:g} to {found['high']:g}"] = ends, [level] * 3
    picture = chart("Loss while the rate grows with each update", lines, "learning rate", "training loss", logx=True,
                    logy=False, last=False)  # fmt: skip
    edges = sorted(found["edges"])
    note = (f"Lowest at {short(edges[0])} to {short(edges[-1])}. A range test alone is a poor guide: its lowest point "
            "moves with the number of updates. It only says where to begin.")  # fmt: skip
    return f'<div>{picture}<p class="quiet">{note}</p></div>'


def compared(found: Mapping[str, Any]) -> str:
    """The validation loss at the end of short trainings, one line a seed."""
    runs, top = found["compared"], HIGHEST * found["first"]
    rates = [one["rate"] for one in runs]
    lines = {}
    for i in range(found["seeds"]):
        losses = [number(dict(enumerate(one["valid_losses"])).get(i)) for one in runs]
        lines[f"seed {found['seed'] + i}"] = rates, [value if value < top else math.nan for value in losses]
    title = f"Validation loss after {found['short']:,} updates"
    picture = chart(title, lines, "learning rate", "validation loss", logx=True, last=False)
    note = ("The page's own schedule, in few updates. Each seed has its own lowest point, of a parabola through three "
            "rates; the interval is that of their mean.")  # fmt: skip
    return f'<div>{picture}<p class="quiet">{note}</p></div>'
