"""Drawings of a run as HTML with inline SVG: curves, confusion, heat maps, rankings, pictures, and every kind of media.

Colours are the page's CSS variables with a fallback, so that one drawing serves light, dark and print. All text that
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

MOST_POINTS = 240  # of one line: more cannot be told apart at the size of a chart
MOST_CHARTS = 12
MOST_LINES = 6
TABLE_CLASSES = 20  # larger confusion matrices are heat maps
LARGEST_SIDE = 8192  # pixels of an embedded picture
LARGEST = 1e30  # figures beyond it are drawn as gaps

_INK, _MUTED, _LINE = "#0a0b01", "#0a0b02", "#0a0b03"
_SERIES = ["#0a0c00", "#0a0c01", "#0a0c02", "#0a0c03", "#0a0c04", "#0a0c05"]
_CSS = {
    _INK: "var(--ink,#22211e)", _MUTED: "var(--muted,#6c685f)", _LINE: "var(--line,#dedad0)",
    **{mark: f"var(--c{i},{colour})" for i, (mark, colour) in enumerate(zip(
        _SERIES, ["#1d6390", "#c2571a", "#3c7a3f", "#7b4fa3", "#a8862a", "#b3405f"], strict=True))},
}  # fmt: skip
_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 9, "axes.edgecolor": _LINE, "axes.linewidth": 0.8,
    "axes.labelcolor": _MUTED, "xtick.color": _LINE, "ytick.color": _LINE, "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED, "text.color": _INK, "grid.color": _LINE, "grid.linewidth": 0.6, "xtick.major.size": 3,
    "ytick.major.size": 0, "ytick.minor.size": 0, "axes.spines.top": False, "axes.spines.right": False,
    "axes.spines.left": False, "axes.axisbelow": True, "lines.solid_capstyle": "round",
}  # fmt: skip


def words(value: object, most: int = 400) -> str:
    """`value` as escaped text of at most `most` characters; what does not print is replaced."""
    text = value if isinstance(value, str) else _plain(value)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text))


def _plain(value: object) -> str:
    """A JSON value as a reader would write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 64 else "a very large number"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple) and len(value) <= 12 and all(isinstance(v, str | int | float) for v in value):
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


def _draw(paint: Callable[[Any], None], label: str, size: tuple[float, float]) -> str:
    """The SVG that `paint` draws on a figure of `size` inches; the same text each time."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():  # the user's own matplotlibrc must not change a report
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": label})
        figure, text = Figure(size, layout="constrained"), io.StringIO()
        paint(figure)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf'<svg class="chart" role="img" aria-label="{words(label)}" \1>',
                 svg.replace("xlink:href", "href"), count=1)  # fmt: skip
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans,system-ui,sans-serif)", svg)
    for mark, colour in _CSS.items():
        svg = svg.replace(mark, colour)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


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
    """True when a logarithmic axis shows more: all positive, and the largest 20 times the smallest or more."""
    values = np.concatenate([line[np.isfinite(line)] for line in lines] or [np.zeros(0)])
    return len(values) > 2 and values.min() > 0 and values.max() / values.min() >= 20


def chart(title: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str = "", ylabel: str = "",
          logx: bool = False, logy: bool | None = None, last: bool = True) -> str:  # fmt: skip
    """A figure with one line chart; its key, with each line's last value, stands in the caption. `logy` None: as it helps."""
    thin = {name: _thin(xs, ys) for name, (xs, ys) in list(lines.items())[:MOST_LINES] if len(xs) == len(ys)}
    thin = {name: (x, y) for name, (x, y) in thin.items() if np.isfinite(y).any()}
    if not thin:
        return ""
    positive = all((y[np.isfinite(y)] > 0).all() for _, y in thin.values())
    log = positive and (_spans_decades(y for _, y in thin.values()) if logy is None else logy)

    def paint(figure: Any) -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

        axes = figure.add_subplot()
        axes.grid(axis="y")
        for i, (_, (x, y)) in enumerate(thin.items()):
            few = np.isfinite(y).sum() <= 30
            axes.plot(x, y, color=_SERIES[i], linewidth=1.3 if i == 0 else 1.7, marker="o" if few else "", markersize=2.6)
        axes.set_xlabel(xlabel[:60])
        axes.set_ylabel(ylabel[:60])
        plain = FuncFormatter(lambda value, _: short(value))
        if logx and all((x > 0).all() for x, _ in thin.values()):
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(plain)
        if log:
            axes.set_yscale("log")
            low, high = axes.get_ylim()
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 300 else (1.0, 2.0, 5.0), numticks=8))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(plain)

    key = "".join(
        f' <span class="key" style="--k:var(--c{i})">{words(name, 40)}'
        f"{' <b>' + short(float(y[np.isfinite(y)][-1])) + '</b>' if last else ''}</span>"
        for i, (name, (_, y)) in enumerate(thin.items()) if last or len(thin) > 1 or name != title)  # fmt: skip
    notes = [note for note, true in (
        ("logarithmic", log),
        ("with gaps where it is not a number", any(not np.isfinite(y).all() for _, y in thin.values())),
        (f"the first {MOST_LINES} of {len(lines)} lines", len(lines) > MOST_LINES)) if true]  # fmt: skip
    label = f"{title}: line chart of {', '.join(thin)}"
    note = f' <small>{", ".join(notes)}</small>' if notes else ""
    return f'<figure class="plot"><figcaption><b>{words(title, 60)}</b>{note}{key}</figcaption>{_draw(paint, label, (4.2, 2.3))}</figure>'


def curves(lines: Iterable[Mapping[str, Any]]) -> str:
    """Figures of a log: one for each stage and name, validation (`valid_NAME`) in the chart of NAME; loss and error first."""
    found: dict[tuple[str, str], dict[str, tuple[list[float], list[float]]]] = {}
    for line in lines:
        step, stage = number(line.get("step")), str(line.get("stage") or "train")
        for name, value in line.items():
            if name in ("step", "stage", "seconds", "format") or not isinstance(value, int | float) or not step >= 0:
                continue
            kind = "validation" if name.startswith("valid_") else "training"
            at = found.setdefault((stage, name.removeprefix("valid_")), {"training": ([], []), "validation": ([], [])})
            at[kind][0].append(step)
            at[kind][1].append(number(value))
    stages = list(dict.fromkeys(stage for stage, _ in found))
    first = {"loss": 0, "error": 1}
    order = sorted(found, key=lambda at: (stages.index(at[0]), first.get(at[1], 2), at[1]))[:MOST_CHARTS]
    return "".join(
        chart(name if len(stages) == 1 else f"{stage}: {name}", {k: v for k, v in found[stage, name].items() if v[0]},
              xlabel="step", ylabel="%" if name == "error" else "")
        for stage, name in order)  # fmt: skip


def _matrix(values: object) -> np.ndarray | None:
    """Rows of equal length as floats, or None."""
    if not isinstance(values, list) or not values or not all(isinstance(row, list) and row for row in values):
        return None
    if len({len(row) for row in values}) != 1:
        return None
    return np.array([[number(value) for value in row] for row in values])


def heat(title: str, values: object, rows: object = None, columns: object = None, xlabel: str = "", ylabel: str = "") -> str:
    """A figure with a heat map: blue above zero, orange below, stronger with size. `rows`, `columns`: labels."""
    table = _matrix(values)
    if table is None:
        return ""
    most = float(np.nanmax(np.abs(table))) if np.isfinite(table).any() else 0.0
    shade = np.zeros((*table.shape, 4), np.uint8)
    shade[..., :3] = np.where((table < 0)[..., None], (214, 116, 40), (58, 130, 190))
    shade[..., 3] = np.nan_to_num(np.abs(table) / (most or 1.0) * 255)

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.imshow(shade, interpolation="none", aspect="equal" if 0.2 < table.shape[0] / table.shape[1] < 5 else "auto")
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        for axis, labels, n in ((axes.xaxis, columns, table.shape[1]), (axes.yaxis, rows, table.shape[0])):
            if isinstance(labels, list) and len(labels) == n:
                at = range(0, n, math.ceil(n / 30))
                size = 8 if n <= 12 else 5.5
                turn = 90 if axis is axes.xaxis and max(len(str(label)) for label in labels) > 2 else 0
                axis.set_ticks(at, [_plain_label(labels[i]) for i in at], fontsize=size, rotation=turn)

    size = (4.2, min(6.0, max(1.2, 0.6 + 3.6 * table.shape[0] / table.shape[1])))
    svg = _draw(paint, f"{title}: heat map of {table.shape[0]} x {table.shape[1]} values", size)
    return f'<figure class="plot"><figcaption><b>{words(title, 60)}</b> <small>strongest: {short(most)}</small></figcaption>{svg}</figure>'


def _plain_label(value: object) -> str:
    return (value if isinstance(value, str) else _plain(value))[:14]


def confusion(labels: object, counts: object) -> str:
    """The confusion matrix (row: true, column: said) as a shaded table up to TABLE_CLASSES classes, as a heat map beyond;
    the most frequent confusions in words before it."""
    table = _matrix(counts)
    if table is None or not isinstance(labels, list) or table.shape != (len(labels), len(labels)):
        return ""
    table = np.maximum(np.nan_to_num(table), 0)
    names, total = [words(label, 24) for label in labels], table.sum(1)
    off = table - np.diag(np.diag(table))
    worst = [divmod(int(i), len(names)) for i in np.argsort(-off, axis=None, kind="stable")[:5] if off.flat[i] > 0]
    said = ", ".join(f"{names[i]} as {names[j]} ({table[i, j]:,.0f} of {total[i]:,.0f})" for i, j in worst)
    said = f"<p>Most often mistaken: {said}.</p>" if said else "<p>No example was mistaken.</p>"
    if len(names) > TABLE_CLASSES:
        share = off / np.maximum(total[:, None], 1) * 100
        return said + heat("Mistakes, % of each true class", share.tolist(), labels, labels, "said", "true")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for i, name in enumerate(names):
        cells = []
        for j, count in enumerate(table[i]):
            strength = count / total[i] * 0.42 if i == j else (0.18 + 0.72 * count / off.max() if count else 0)
            shade = f' class="{"right" if i == j else "wrong"}" style="--p:{strength:.2f}"' if count else ""
            cells.append(f"<td{shade}>{count:,.0f}</td>" if count else '<td class="zero">0</td>')
        rate = f"{100 * (1 - table[i, i] / total[i]):.1f}" if total[i] else "–"
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}<td class="rate">{rate}</td></tr>')
    return (f'{said}<div class="wide" tabindex="0" role="region" aria-label="Confusion matrix"><table class="confusion">'
            "<caption>Rows: what it is. Columns: what was said.</caption>"
            f'<thead><tr><td></td>{head}<th scope="col" class="rate">% wrong</th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>")  # fmt: skip


def picture(content: bytes, text: str) -> str:
    """An <img> of a PNG held in the page, small ones enlarged without smoothing; "" if it is no PNG or too large."""
    if len(content) < 33 or content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR":
        return ""
    width, height = struct.unpack(">II", content[16:24])
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        return ""
    scale = max(1, 96 // max(width, height))
    sharp = ' class="sharp"' if max(width, height) <= 256 else ""
    return (f'<img{sharp} width="{width * scale}" height="{height * scale}" alt="{words(text)}" '
            f'src="data:image/png;base64,{base64.b64encode(content).decode()}">')  # fmt: skip


def ranking(title: str, items: object) -> str:
    """A figure with the best ten chances as bars; items: {label, chance} or [label, chance]."""
    pairs = [(item.get("label"), item.get("chance")) if isinstance(item, dict) else item
             for item in (items if isinstance(items, list) else []) if isinstance(item, dict) or _is_pair(item)]  # fmt: skip
    pairs = [(label, number(chance)) for label, chance in pairs if 0 <= number(chance) <= 1][:10]
    rows = "".join(f'<tr><th scope="row">{words(label, 40)}</th><td class="bar" style="--w:{100 * chance:.1f}%"></td>'
                   f"<td>{100 * chance:.1f} %</td></tr>" for label, chance in pairs)  # fmt: skip
    return _figure(title, f'<table class="ranking">{rows}</table>') if pairs else ""


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2


def _figure(title: str, body: str) -> str:
    return f'<figure class="plot"><figcaption><b>{words(title, 60)}</b></figcaption>{body}</figure>'


class Html(str):
    """Text that is HTML already, its parts escaped where it was made."""


def grid(columns: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table; on a narrow page each row becomes a block with its cells named."""
    head = "".join(f'<th scope="col">{words(column, 60)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td data-name="{words(column, 60)}">{cell if isinstance(cell, Html) else words(cell)}</td>'
                         for column, cell in zip(columns, row, strict=False)) + "</tr>" for row in rows)  # fmt: skip
    return f'<table class="grid"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def pairs(items: Mapping[str, object]) -> str:
    """A list of names and values."""
    return '<dl class="pairs">' + "".join(
        f"<div><dt>{words(name, 60)}</dt><dd>{value if isinstance(value, Html) else words(value)}</dd></div>"
        for name, value in items.items()) + "</dl>"  # fmt: skip


def drawn(title: str, media: object) -> str:
    """A figure of what `Media.plain` gave, told by its keys; "" where it is damaged."""
    if isinstance(media, str):
        return _figure(title, f"<pre>{words(media, 4000)}</pre>")
    if isinstance(media, list):
        return ranking(title, media)
    if not isinstance(media, dict):
        return ""
    if isinstance(media.get("lines"), dict):
        x = media.get("x")
        lines = {str(name): ([number(v) for v in x] if isinstance(x, list) else list(range(len(ys))), [number(v) for v in ys])
                 for name, ys in media["lines"].items() if isinstance(ys, list)}  # fmt: skip
        return chart(title, lines, str(media.get("xlabel") or ""), str(media.get("ylabel") or ""),
                     media.get("logx") is True, media.get("logy") is True, last=False)  # fmt: skip
    if isinstance(media.get("values"), list):
        return heat(title, media["values"], media.get("rows"), media.get("columns"),
                    str(media.get("xlabel") or "")[:60], str(media.get("ylabel") or "")[:60])  # fmt: skip
    if isinstance(media.get("items"), list):
        return ranking(title, media["items"])
    if isinstance(media.get("text"), str):
        return drawn(title, media["text"])
    return _figure(title, pairs(dict(list(media.items())[:40]))) if media else ""
