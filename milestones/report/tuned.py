"""The page of a tuning: the winner beside the defaults, what mattered, every trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .page import whole
from .pictures import _INK, _MUTED, _SERIES, Html, _draw, _text, chart, figure, grid, number, pairs, short, words

MOST_TRIALS = 400  # rows and lines
MOST_AXES = 10


def html_of(found: Mapping[str, Any]) -> str:
    """The page as text, from tune.json. The same study gives the same text."""
    who, term = words(found.get("system", ""), 60), str(found["judge"]["term"]).replace("valid_", "validation ")
    rows = [row for row in found["trials"][:MOST_TRIALS] if isinstance(row, dict)]
    control = [row for row in found.get("control", [])[:MOST_TRIALS] if isinstance(row, dict)]
    what = "architecture search" if found.get("architecture") else "search of settings"
    sections = {
        "Result": _result(found, term),
        "On the way": f'<div class="plots">{_history(rows, control, term)}{_shares(found.get("importance", {}))}</div>',
        "Settings and figures": parallel(found["ranges"], rows, term),
        "Before training": _agreement(found),
        "Looked through": pairs({str(one["name"]): _range(one) for one in found["ranges"]}),
        "Trials": _trials(rows, term),
        "Control": _trials(control, term) if control else "",
    }
    body = (f'<header><p class="eyebrow">milestones · {what}</p><h1>{who}</h1><p class="result">Trials are judged on '
            "validation data. The test is scored for the winner and for the defaults, which are trained anew with "
            "another seed, one after the other.</p></header>")  # fmt: skip
    for title, content in sections.items():
        body += f'<section><h2>{title}</h2><div class="wide">{content}</div></section>\n' if content else ""
    return whole(f"{who} · {what}", body, "Written from tune.json beside it.")


def _settings(settings: Any) -> str:
    plain = settings if isinstance(settings, dict) else {}
    return ", ".join(f"{name} {value}" for name, value in plain.items()) or "the defaults"


def _result(found: Mapping[str, Any], term: str) -> str:
    """The verdict, and a row each for the winner and the defaults."""
    rows = []
    for name in ("winner", "defaults"):
        if one := found.get(name):
            label, score = next(iter(one["scores"].items()))
            test = f"{label} {score['value']:.4g} {score['unit']} [{score['low']:.4g}, {score['high']:.4g}]"
            rows.append((Html(f"<b>{name}</b>"), _settings(one["settings"]), f"{one['value']:.4g}", test,
                         f"{one['steps']:,}", f"{one['seconds']:.1f} s"))  # fmt: skip
    if not rows:
        return '<p class="notice">This study was stopped before its winner was trained.</p>'
    verdict = found.get("verdict", {})
    text = f"<p>{words(str(verdict.get('said', '')).capitalize(), 400)}.</p>"
    text += grid(["", "Settings", f"{term}, new seed", "Test", "Updates", "Training"], rows)
    return text + f'<h3>Use it</h3><pre class="copy">{words(verdict.get("use", ""), 2000)}</pre>'


def best_so_far(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Minutes since the first trial began, and the lowest figure by then, at the end of each finished trial."""
    done = [row for row in rows if row.get("state") == "complete" and number(row.get("value")) == row.get("value")]
    start = min((number(row.get("began")) for row in rows if row.get("began")), default=0.0)
    done.sort(key=lambda row: number(row.get("ended")))
    x, y, best = [], [], math.inf
    for row in done:
        best = min(best, float(row["value"]))
        x.append((number(row.get("ended")) - start) / 60)
        y.append(best)
    return x, y


def _history(rows: Sequence[Mapping[str, Any]], control: Sequence[Mapping[str, Any]], term: str) -> str:
    lines = {"search": best_so_far(rows)} | ({"random search": best_so_far(control)} if control else {})
    return chart("Lowest so far", lines, "minutes", term)


def _shares(shares: Mapping[str, Any]) -> str:
    """A figure with a bar for what each setting has to do with being among the best."""
    named = [(str(name), number(value)) for name, value in shares.items() if number(value) >= 0][:MOST_AXES]
    if not named:
        return ""

    def paint(canvas: Any) -> None:
        axes = canvas.add_subplot(xlabel="share, %")
        axes.grid(axis="x")
        names = [_text(name, 24) for name, _ in reversed(named)]
        bars = axes.barh(names, [100 * value for _, value in reversed(named)], color=_SERIES[0], alpha=0.75)
        axes.bar_label(bars, [f"{100 * value:.0f}" for _, value in reversed(named)], padding=3, color=_INK, fontsize=8)

    said = ", ".join(f"{name} {100 * value:.0f} %" for name, value in named)
    svg = _draw(paint, f"What mattered: {said}", (4.2, max(1.2, 0.5 + 0.3 * len(named))))
    return figure("What mattered", svg, "share of being among the best (PED-ANOVA)")


def axis(one: Mapping[str, Any], values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where values lie on the axis of a range, from 0 to 1, and its marks: places and words."""
    if one["kind"] == "choice":
        choices = list(one["choices"])
        step = 1 / max(1, len(choices) - 1)
        places = [choices.index(value) * step if value in choices else math.nan for value in values]
        return places, [(k * step, str(choice)) for k, choice in enumerate(choices)]
    low, high = number(one["low"]), number(one["high"])
    log = bool(one["log"]) and low > 0
    scale = math.log if log else float
    wide = max(scale(high) - scale(low), 1e-12)
    numbers = [number(value) for value in values]
    places = [(scale(value) - scale(low)) / wide if not log or value > 0 else math.nan for value in numbers]
    middle = math.sqrt(low * high) if log else (low + high) / 2
    marks = [(low, 0.0), (middle, 0.5), (high, 1.0)]
    return places, [(at, f"{1 - value:.6g}" if one["kind"] == "below one" else short(value)) for value, at in marks]


def parallel(ranges: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], term: str) -> str:
    """A figure of parallel coordinates: an axis a setting, a line a trial, stronger the lower its figure; what was
    ended early is grey. The last axis is the figure itself."""
    ended = [row for row in rows if row.get("state") in ("complete", "pruned") and isinstance(row.get("params"), dict)]
    done = [row for row in ended if row["state"] == "complete" and math.isfinite(number(row.get("value")))]
    if len(done) < 2:
        return ""
    shown = list(ranges[:MOST_AXES])
    values = [number(row["value"]) for row in done]
    low, high = min(values), max(values)
    columns, marks = [], []
    for one in shown:
        places, labels = axis(one, [row["params"].get(one["name"]) for row in ended])
        columns.append(places)
        marks.append(labels)
    heights = {row["number"]: (number(row["value"]) - low) / max(high - low, 1e-12) for row in done}
    columns.append([heights.get(row["number"], math.nan) for row in ended])
    marks.append([(0.0, short(low)), (1.0, short(high))])
    names = [str(one["name"]) for one in shown] + [term]
    order = sorted(range(len(ended)), key=lambda k: -heights.get(ended[k]["number"], 2.0))  # the best on top

    def paint(canvas: Any) -> None:
        axes = canvas.add_subplot(xlim=(-0.15, len(names) - 0.55), ylim=(-0.06, 1.06))
        table = np.array(columns, float)
        for k in order:
            height = heights.get(ended[k]["number"])
            last = k == order[-1]
            colour = _MUTED if height is None else _SERIES[1] if last else _SERIES[0]
            alpha = 0.15 if height is None else 1.0 if last else 0.12 + 0.5 * (1 - height) ** 2
            axes.plot(range(len(names)), table[:, k], color=colour, alpha=alpha, linewidth=2 if last else 1)
        for k, labels in enumerate(marks):
            axes.axvline(k, color=_INK, linewidth=0.8)
            for at, label in labels:
                axes.text(k + 0.03, at, _text(label, 12), fontsize=7, color=_INK, va="center")
        axes.set_xticks(range(len(names)), [_text(name, 18) for name in names])
        axes.set_yticks([])

    svg = _draw(
        paint, f"Parallel coordinates of {len(ended)} trials: {', '.join(names)}", (max(4.2, 1.1 * len(names)), 3.2)
    )
    key = "".join(f'<span class="key" style="--k:var(--{colour})">{name}</span> ' for colour, name in
                  (("c1", "lowest"), ("c0", "to the end, stronger the lower"), ("muted", "ended early")))  # fmt: skip
    return figure("Trials, a line each", svg, "", key)


def _agreement(found: Mapping[str, Any]) -> str:
    """How well each proxy ranks nets as training does; the ranking's first."""
    rows = []
    for one in found.get("agreement", []):
        rho = "all alike" if one["rho"] is None else f"{one['rho']:.2f}"
        rows.append((one["proxy"], rho, f"{one['low']:.2f} to {one['high']:.2f}", one["over"]))
    text = grid(["Proxy", "Rank correlation with training", "95 % interval", "Random nets"], rows) if rows else ""
    first = [(k + 1, _settings(one["settings"]), f"{one['vote']:.1f}", f"{one['proxies']['parameters']:,.0f}")
             for k, one in enumerate(found.get("ranked", [])[:8])]  # fmt: skip
    if first:
        text += f"<h3>First of {len(found['ranked'])} in the ranking</h3>"
        text += grid(["", "Settings", "Mean rank", "Weights"], first)
    return text


def _range(one: Mapping[str, Any]) -> str:
    if one["kind"] == "choice":
        return ", ".join(map(str, one["choices"]))
    low, high = number(one["low"]), number(one["high"])
    low, high = (1 - high, 1 - low) if one["kind"] == "below one" else (low, high)
    layers = f", 1 to {one['most']} layers" if one["kind"] == "layers" else ""
    return f"{low:.4g} to {high:.4g}{', by its logarithm' if one['log'] else ''}{layers}"


def _trials(rows: Sequence[Mapping[str, Any]], term: str) -> str:
    """Every trial, the lowest first."""
    order = {"complete": 0, "pruned": 1}
    ranked = sorted(rows, key=lambda row: (order.get(str(row.get("state")), 2),
                                           number(row["value"]) if row.get("value") is not None else 0))  # fmt: skip
    words_of = {"complete": "to the end", "pruned": "ended early", "fail": "stopped", "running": "under way",
                "waiting": "to come"}  # fmt: skip
    lines = []
    for row in ranked:
        value, way = row.get("value"), row.get("way") or {}
        figures = (
            f"{value:.4g}" if value is not None else ", ".join(f"{number(v):.4g} at {p} %" for p, v in way.items())
        )
        state = (
            "could not be trained" if row.get("why") not in (None, "time") else words_of.get(str(row.get("state")), "")
        )
        lines.append((row.get("number"), state, figures, _settings(row.get("settings")), row.get("run") or ""))
    return grid(["Trial", "", term, "Settings", "Run"], lines)
