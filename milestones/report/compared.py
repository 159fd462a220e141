"""The page of a comparison: learning curves with their intervals, robust figures, performance profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .page import whole
from .pictures import _SERIES, MOST_LINES, _draw, _text, figure, grid, words

Band = tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]]
"""x, middle, low, high."""


def banded(title: str, lines: Mapping[str, Band], xlabel: str, ylabel: str) -> str:
    """A figure of lines, each within the band of its interval."""
    shown = dict(list(lines.items())[:MOST_LINES])

    def paint(canvas: Any) -> None:
        axes = canvas.add_subplot(xlabel=_text(xlabel, 60), ylabel=_text(ylabel, 60))
        axes.grid(axis="y")
        for colour, (x, middle, low, high) in zip(_SERIES, shown.values(), strict=False):
            axes.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, middle, color=colour, linewidth=1.6)

    key = "".join(f'<span class="key" style="--k:var(--c{k})">{words(name, 60)}</span> '
                  for k, name in enumerate(shown))  # fmt: skip
    note = "line: mean of the seeds, band: its 95 % interval"
    note += f"; {MOST_LINES} of {len(lines)}" if len(lines) > MOST_LINES else ""
    return figure(title, _draw(paint, f"{title}: {', '.join(shown)}", (7.2, 3.2)), note, key)


def html_of(found: Mapping[str, Any]) -> str:
    """The page as text, from what `compare` found. The same comparison gives the same text."""
    curves = {one["label"]: one["curve"] for one in found["groups"] if one.get("curve")}
    units = {one["unit"] for one in curves.values()}
    bands = {name: (one["x"], one["mean"], one["low"], one["high"]) for name, one in curves.items()}
    sections = {
        "Runs": grid(found["table"][0], found["table"][1:]),
        "Curves": banded(f"{found['curve']} while learning", bands, " and ".join(sorted(units)), found["curve"])
        if bands
        else "",
        "Robust figures": _robust(found["aggregates"]),
        "Profile": _profiles(found["aggregates"]),
    }
    body = ('<header><p class="eyebrow">milestones · comparison</p><h1>Runs side by side</h1><p class="result">Runs '
            "that differ in their seed only are one group; intervals are of the seeds.</p></header>")  # fmt: skip
    for title, content in sections.items():
        body += f'<section><h2>{title}</h2><div class="wide">{content}</div></section>\n' if content else ""
    return whole("Runs side by side", body, "Written from compare.json beside it.")


def _name(one: Mapping[str, Any]) -> str:
    return one["runs"][0] + (f" .. {one['runs'][-1]}" if len(one["runs"]) > 1 else "")


def _robust(aggregates: Sequence[Mapping[str, Any]]) -> str:
    """A row for each method and figure."""
    rows = []
    for one in aggregates:
        for name in ("interquartile_mean", "median", "mean", "optimality_gap"):
            if name in one:
                at, what = one[name], f"{one['score']}, {name.replace('_', ' ')}"
                interval, where = f"{at['low']:.4g} to {at['high']:.4g}", ", ".join(one["worlds"])[:120]
                rows.append((_name(one), what, f"{at['value']:.4g} {one['unit']}", interval, one["seeds"], where))
    columns = ["Runs", "Figure", "Value", "95 % interval", "Seeds", "Worlds"]
    note = ("Interquartile mean: of the middle half of all runs. Intervals by the stratified bootstrap over the seeds "
            "(Agarwal et al. 2021). Human: 1.")  # fmt: skip
    return grid(columns, rows) + f'<p class="quiet">{note}</p>' if rows else ""


def _profiles(aggregates: Sequence[Mapping[str, Any]]) -> str:
    """How many runs reach how much of the human score."""
    bands = {_name(one): tuple(one["profile"][key] for key in ("at", "share", "low", "high"))
             for one in aggregates if "profile" in one}  # fmt: skip
    if not bands:
        return ""
    return banded("Share of runs that score above", bands, "of the human score", "share of runs")
