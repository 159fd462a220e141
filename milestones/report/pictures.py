"""Drawings of a run as HTML with inline SVG: curves, confusion, pictures, and every kind of media.

Colours are the page's CSS variables with a fallback: one drawing serves light, dark and print. All text that
comes in is escaped. What cannot be drawn (ragged, empty, not numbers) comes back as "".
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

MOST_POINTS = 240  # of one line: more cannot be told apart at the size of a chart
MOST_CHARTS = 12
MOST_LINES = 6
NOT_CURVES = ("step", "stage", "seconds", "format")
TABLE_CLASSES = 20  # larger confusion matrices are heat maps
LARGEST_SIDE = 8192  # pixels of an embedded picture
LARGEST = 1e30  # figures beyond it are drawn as gaps

_INK, _MUTED, _LINE, _PAPER = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
_SERIES = ["#0a0c00", "#0a0c01", "#0a0c02", "#0a0c03", "#0a0c04", "#0a0c05"]
_CSS = {
    _INK: "var(--ink,#22211e)", _MUTED: "var(--muted,#6c685f)", _LINE: "var(--line,#dedad0)",
    _PAPER: "var(--paper,#fbfaf7)",
    **{mark: f"var(--c{i},{colour})" for i, (mark, colour) in enumerate(zip(
        _SERIES, ["#1d6390", "#c2571a", "#3c7a3f", "#7b4fa3", "#a8862a", "#b3405f"], strict=True))},
}  # fmt: skip
_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False, "text.color": _INK, "font.size": 9,
    "axes.edgecolor": _LINE, "axes.labelcolor": _MUTED, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "grid.color": _LINE, "grid.linewidth": 0.6, "lines.solid_capstyle": "round",
    "xtick.color": _LINE, "xtick.labelcolor": _MUTED, "xtick.major.size": 3,
    "ytick.color": _LINE, "ytick.labelcolor": _MUTED, "ytick.major.size": 0, "ytick.minor.size": 0,
}  # fmt: skip


class Html(str):
    """Text that is HTML already, its parts escaped where it was made."""


def words(value: object, most: int = 400) -> str:
    """`value` as escaped text of at most `most` characters; what does not print is replaced."""
    return html.escape(_text(value, most))


def _text(value: object, most: int) -> str:
    text = value if isinstance(value, str) else _plain(value)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _plain(value: object) -> str:
    """A JSON value as a reader would write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 64 else "a very large number"
    if isinstance(value, float):
        return f"{value:.6g}"
    simple = isinstance(value, list) and len(value) <= 12 and all(isinstance(v, str | int | float) for v in value)
    if isinstance(value, list) and simple:
        return ", ".join(v if isinstance(v, str) else _plain(v) for v in value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return f"a {type(value).__name__} that cannot be shown"


def number(value: object) -> float:
    """A float; NaN for all that is no number or too large to draw."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return math.nan
    return float(value)


def short(value: float) -> str:
    """A figure in at most five characters or so, with thousands separated."""
    if not math.isfinite(value):
        return "not a number"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _draw(paint: Callable[[Any], None], label: str, size: tuple[float, float], layout: Any = "constrained") -> str:
    """The SVG that `paint` draws on a figure of `size` inches; the same text each time. A `layout` of None takes half
    the time; `paint` then says where its axes are."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that matplotlib's font lacks: the browser's font draws it
        matplotlib.rcdefaults()  # the user's own matplotlibrc must not change a report
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": label})
        canvas, text = Figure(size, layout=layout), io.StringIO()
        paint(canvas)
        canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view, "matplotlib writes a viewBox"
    body = svg[svg.index(">", svg.index("<svg")) + 1 :].replace("xlink:href", "href")
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans,system-ui,sans-serif)", body)
    for mark, colour in _CSS.items():
        body = body.replace(mark, colour)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return f'<svg class="chart" role="img" aria-label="{words(label)}" {view[0]}>{body}'


Line = tuple[Sequence[float], Sequence[float]]
"""x and y of equal length; NaN is a gap."""


def _thin(xs: Sequence[float], ys: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST_POINTS points: means of neighbours. A gap stays a gap where all neighbours are NaN."""
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    if len(x) <= MOST_POINTS:
        return x, y
    edges = np.linspace(0, len(x), MOST_POINTS + 1).astype(int)[:-1]
    there = np.isfinite(y)
    count, sums = np.add.reduceat(there, edges, dtype=int), np.add.reduceat(np.where(there, y, 0), edges)
    thin_y = np.where(count, sums / np.maximum(count, 1), math.nan)
    return np.add.reduceat(x, edges) / np.diff([*edges, len(x)]), thin_y


def _spans_decades(lines: Iterable[np.ndarray]) -> bool:
    """True when a logarithmic axis shows more: all positive, the largest at least 20 times the smallest."""
    values = np.concatenate([line[np.isfinite(line)] for line in lines] or [np.zeros(0)])
    return len(values) > 2 and values.min() > 0 and values.max() / values.min() >= 20


def chart(title: str, lines: Mapping[str, Line], xlabel: str = "", ylabel: str = "",
          logx: bool = False, logy: bool | None = None, last: bool = True) -> str:  # fmt: skip
    """A figure with a line chart, its key in the caption. `logy` None: if it helps. `last`: in the key."""
    thin = {name: _thin(xs, ys) for name, (xs, ys) in list(lines.items())[:MOST_LINES] if len(xs) == len(ys)}
    thin = {name: (x, y) for name, (x, y) in thin.items() if np.isfinite(y).any()}
    if not thin:
        return ""
    positive = all((y[np.isfinite(y)] > 0).all() for _, y in thin.values())
    log = bool(positive and (_spans_decades(y for _, y in thin.values()) if logy is None else logy))

    def paint(canvas: Any) -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

        axes = canvas.add_subplot(xlabel=_text(xlabel, 60), ylabel=_text(ylabel, 60))
        axes.grid(axis="y")
        for i, (x, y) in enumerate(thin.values()):
            marker = "o" if np.isfinite(y).sum() <= 30 else ""
            axes.plot(x, y, color=_SERIES[i], linewidth=1.7 if i else 1.3, marker=marker, markersize=2.6)
        if logx and all((x > 0).all() for x, _ in thin.values()):
            axes.set_xscale("log")
            low, high = axes.get_xlim()
            steps = (1.0,) if high / low > 30 else (1.0, 2.0, 5.0)
            axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        if log:
            axes.set_yscale("log")
            low, high = axes.get_ylim()
            steps = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
            axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))

    key = ""
    for i, (name, (_, y)) in enumerate(thin.items()):
        end = f" <b>{short(float(y[np.isfinite(y)][-1]))}</b>" if last else ""
        key += f'<span class="key" style="--k:var(--c{i})">{words(name, 40)}{end}</span> '
    notes = ["logarithmic"] * log
    notes += ["with gaps where it is not a number"] * any(not np.isfinite(y).all() for _, y in thin.values())
    notes += [f"{MOST_LINES} of {len(lines)} lines"] * (len(lines) > MOST_LINES)
    svg = _draw(paint, f"{title}: line chart of {', '.join(thin)}", (4.2, 2.3))
    return figure(title, svg, ", ".join(notes), key)


def reliability(bins: Sequence[Mapping[str, float]]) -> str:
    """A figure of right answers against stated chances, a bar a bin, its gap to the diagonal shaded; below it how many
    answers each bin has. All in percent."""
    low, width = [one["low"] for one in bins], [one["high"] - one["low"] for one in bins]
    right, sure = [one["right"] for one in bins], [one["sure"] for one in bins]
    share = [100 * one["count"] / sum(one["count"] for one in bins) for one in bins]

    def paint(canvas: Any) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
        upper.bar(low, right, width, align="edge", color=_SERIES[0], alpha=0.75, edgecolor=_INK, linewidth=0.4)
        gaps = [s - r for s, r in zip(sure, right, strict=True)]
        upper.bar(low, gaps, width, right, align="edge", color=_SERIES[1], alpha=0.35, linewidth=0)
        upper.plot([0, 100], [0, 100], color=_MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        upper.set(ylabel="right, %", ylim=(0, 100), xlim=(0, 100), yticks=(0, 25, 50, 75, 100))
        lower.bar(low, share, width, align="edge", color=_MUTED, alpha=0.6, linewidth=0)
        lower.set(xlabel="stated chance, %", ylabel="answers, %", xticks=(0, 25, 50, 75, 100))
        for axes in (upper, lower):
            axes.grid(axis="y")

    key = "".join(f'<span class="key" style="--k:var(--c{k})">{name}</span> ' for k, name in
                  enumerate(("share of right answers", "gap to the stated chance")))  # fmt: skip
    svg = _draw(paint, "Reliability: share of right answers for each stated chance", (4.2, 3.4))
    return figure("Reliability", svg, "on the dashed line chances are true", key)


def curves(lines: Iterable[Mapping[str, Any]]) -> str:
    """Figures of a log, one a stage and name; `valid_NAME` in the chart of NAME; return, loss and error first."""
    found: dict[tuple[str, str], dict[str, tuple[list[float], list[float]]]] = {}
    for line in lines:
        step, stage = number(line.get("step")), str(line.get("stage") or "train")
        for name, value in line.items():
            if name in NOT_CURVES or not isinstance(value, int | float) or not step >= 0:
                continue
            place = (stage, name.removeprefix("valid_"))
            kinds = found.setdefault(place, {"training": ([], []), "validation": ([], [])})
            x, y = kinds["validation" if name.startswith("valid_") else "training"]
            x.append(step)
            y.append(number(value))
    stages = list(dict.fromkeys(stage for stage, _ in found))
    first = {"return": 0, "loss": 1, "error": 2}
    order = sorted(found, key=lambda place: (stages.index(place[0]), first.get(place[1], 3), place[1]))
    text = ""
    for stage, name in order[:MOST_CHARTS]:
        title = f"{stage}: " * (len(stages) > 1) + name + ", %" * (name == "error")
        text += chart(title, {kind: line for kind, line in found[stage, name].items() if line[0]}, xlabel="step")
    return text


def _matrix(values: object) -> np.ndarray | None:
    """Rows of equal length as floats, or None."""
    if not isinstance(values, list) or not values or not all(isinstance(row, list) and row for row in values):
        return None
    if len({len(row) for row in values}) != 1:
        return None
    return np.array([[number(value) for value in row] for row in values])


def heat(title: str, values: object, rows: object = None, columns: object = None,
         xlabel: object = "", ylabel: object = "") -> str:  # fmt: skip
    """A figure with a heat map: blue above zero, orange below. `rows`, `columns`: labels, if any."""
    table = _matrix(values)
    if table is None:
        return ""
    most, shape = float(np.nan_to_num(np.abs(table)).max()), table.shape
    shade = np.zeros((*shape, 4), np.uint8)
    shade[..., :3] = np.where((table < 0)[..., None], (214, 116, 40), (58, 130, 190))
    shade[..., 3] = np.nan_to_num(np.abs(table) / (most or 1.0) * 255)

    def paint(canvas: Any) -> None:
        axes = canvas.add_subplot(xlabel=_text(xlabel, 60), ylabel=_text(ylabel, 60))
        axes.imshow(shade, interpolation="none", aspect="equal" if 0.2 < shape[0] / shape[1] < 5 else "auto")
        for axis, labels, count in ((axes.xaxis, columns, shape[1]), (axes.yaxis, rows, shape[0])):
            if isinstance(labels, list) and len(labels) == count:
                at = range(0, count, math.ceil(count / 30))
                names = [_text(labels[i], 14) for i in at]
                turn = 90 if axis is axes.xaxis and max(map(len, names)) > 2 else 0
                axis.set_ticks(at, names, fontsize=8 if count <= 12 else 5.5, rotation=turn)

    size = (4.2, min(6.0, max(1.2, 0.6 + 3.6 * shape[0] / shape[1])))
    svg = _draw(paint, f"{title}: heat map of {shape[0]} x {shape[1]} values", size)
    return figure(title, svg, f"strongest: {short(most)}")


def confusion(labels: object, counts: object) -> str:
    """The confusion matrix (row: true, column: said), its largest entries in words first.

    A shaded table up to TABLE_CLASSES classes, a heat map beyond.
    """
    table = _matrix(counts)
    if table is None or not isinstance(labels, list) or table.shape != (len(labels), len(labels)):
        return ""
    table = np.maximum(np.nan_to_num(table), 0)
    names, total = [words(label, 24) for label in labels], table.sum(1)
    off = table - np.diag(np.diag(table))
    order = np.argsort(-off, axis=None, kind="stable")[:5]
    worst = [divmod(int(at), len(names)) for at in order if off.flat[at] > 0]
    said = ", ".join(f"{names[i]} as {names[j]} ({table[i, j]:,.0f} of {total[i]:,.0f})" for i, j in worst)
    said = f"<p>Most often mistaken: {said}.</p>" if said else "<p>No example was mistaken.</p>"
    if len(names) > TABLE_CLASSES:
        share = off / np.maximum(total[:, None], 1) * 100
        return said + heat("Mistakes, % of each true class", share.tolist(), labels, labels, "said", "true")
    tint = 0.42 * table / np.maximum(total[:, None], 1)  # the diagonal stays quiet, mistakes stand out
    warm = 0.08 + 0.6 * off / max(float(off.max()), 1e-9)
    rows = ""
    for i, name in enumerate(names):
        cells = ""
        for j, count in enumerate(table[i]):
            look, strength = ("right", tint[i, j]) if i == j else ("wrong", warm[i, j])
            shade = f'class="{look}" style="--p:{strength:.2f}"' if count else 'class="zero"'
            cells += f"<td {shade}>{count:,.0f}</td>"
        rate = f"{100 * off[i].sum() / total[i]:.1f}" if total[i] else "–"
        rows += f'<tr><th scope="row">{name}</th>{cells}<td class="rate">{rate}</td></tr>'
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (f'{said}<div class="wide" tabindex="0" role="region" aria-label="Confusion matrix">'
            '<table class="confusion"><caption>Rows: what it is. Columns: what was said.</caption>'
            f'<thead><tr><td></td>{head}<th scope="col" class="rate">% wrong</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>")  # fmt: skip


def picture(content: bytes, text: str, side: int = 96) -> str:
    """An <img> of a PNG held in the page, enlarged unsmoothed by a whole factor towards `side` pixels.

    "" if it is no PNG or has more than LARGEST_SIDE pixels a side.
    """
    if len(content) < 33 or content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR":
        return ""
    width, height = struct.unpack(">II", content[16:24])
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        return ""
    scale = max(1, side // max(width, height))
    sharp = ' class="sharp"' if max(width, height) <= 256 else ""
    return (f'<img{sharp} width="{width * scale}" height="{height * scale}" alt="{words(text)}" '
            f'src="data:image/png;base64,{base64.b64encode(content).decode()}">')  # fmt: skip


def figure(title: str, body: str, note: str = "", key: str = "") -> str:
    """A figure with its title, a note beside and a key below the title; `body`, `note` and `key` are HTML."""
    beside = f" <small>{note}</small>" if note else ""
    below = f"<br>{key}" if key else ""
    caption = f"<figcaption><b>{words(title, 80)}</b>{beside}{below}</figcaption>"
    return f'<figure class="plot">{caption}{body}</figure>'


def grid(columns: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table; on a narrow page each row becomes a block with its cells named."""
    names = [words(column, 60) for column in columns]
    body = ""
    for row in rows:
        body += "<tr>"
        for name, value in zip(names, row, strict=False):
            text = value if isinstance(value, Html) else words(value)
            whole = ' class="whole"' if len(re.sub(r"<[^>]*>", "", text)) <= 22 else ""  # not broken into lines
            body += f'<td data-name="{name}"{whole}>{text}</td>'
        body += "</tr>"
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f'<table class="grid"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def pairs(items: Mapping[str, object]) -> str:
    """A list of names and values."""
    body = ""
    for name, value in items.items():
        text = value if isinstance(value, Html) else words(value)
        body += f"<div><dt>{words(name, 60)}</dt><dd>{text}</dd></div>"
    return f'<dl class="pairs">{body}</dl>'
