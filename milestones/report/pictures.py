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
MOST_ROWS = 200  # of a listing
MOST_DOTS = 60  # steps of a path that are marked
MOST_SPOTS = 2000  # of one path
LARGEST = 1e30  # figures beyond it are drawn as gaps

_INK, _MUTED, _LINE, _PAPER = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
_SERIES = ["#0a0c00", "#0a0c01", "#0a0c02", "#0a0c03", "#0a0c04", "#0a0c05"]
_CSS = {
    _INK: "var(--ink,#22211e)", _MUTED: "var(--muted,#6c685f)", _LINE: "var(--line,#dedad0)",
    _PAPER: "var(--paper,#fbfaf7)",
    **{mark: f"var(--c{i},{colour})" for i, (mark, colour) in enumerate(zip(
        _SERIES, ["#1d6390", "#c2571a", "#3c7a3f", "#7b4fa3", "#a8862a", "#b3405f"], strict=True))},
}  # fmt: skip
_SIGNS = [("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚")]
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


def curves(lines: Iterable[Mapping[str, Any]]) -> str:
    """Figures of a log, one a stage and name; `valid_NAME` in the chart of NAME; loss and error first."""
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
    first = {"loss": 0, "error": 1}
    order = sorted(found, key=lambda place: (stages.index(place[0]), first.get(place[1], 2), place[1]))
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


def _spots(values: object) -> np.ndarray:
    """Points (x, y) as "N 2"; NaN for what is none, nothing for what is no list."""
    pairs_of = [v if isinstance(v, list) and len(v) == 2 else (None, None) for v in values[:MOST_SPOTS]] \
        if isinstance(values, list) else []  # fmt: skip
    return np.array([[number(x), number(y)] for x, y in pairs_of]).reshape(-1, 2)


def surface(title: str, values: object, window: object, paths: object, marks: object,
            xlabel: object = "", ylabel: object = "") -> str:  # fmt: skip
    """A figure with a map of a surface, darker where it is higher, and the paths over it; each ends in a sign of its
    own, so that colours are not needed to tell them apart."""
    table, edges = _matrix(values), [number(edge) for edge in window] if isinstance(window, list) else []
    if table is None or min(table.shape) < 2 or len(edges) != 4 or not (edges[0] < edges[1] and edges[2] < edges[3]):
        return ""
    if not np.isfinite(table).any():
        return ""
    lines = {str(name): _spots(path) for name, path in paths.items()} if isinstance(paths, dict) else {}
    lines = {name: path[np.isfinite(path).all(1)] for name, path in lines.items()}
    lines = {name: path for name, path in lines.items() if len(path)}
    spots = {str(name): _spots(where) for name, where in marks.items()} if isinstance(marks, dict) else {}
    # Levels at quantiles: as many lines on gentle ground as on steep, and more of them towards the lowest.
    levels = np.unique(np.nanquantile(table, np.linspace(0, 1, 14)[1:-1] ** 1.6))
    band = np.searchsorted(levels, np.nan_to_num(table, nan=levels[-1]))
    shade = np.zeros((*table.shape, 4), np.uint8)
    shade[..., :3], shade[..., 3] = (58, 130, 190), band / len(levels) * 130
    tall = (edges[3] - edges[2]) / (edges[1] - edges[0])
    aspect = "equal" if 0.4 < tall < 1.3 else "auto"
    height = 0.47 + 4.2 * 0.86 * (tall if aspect == "equal" else 0.8)

    def paint(canvas: Any) -> None:
        from matplotlib.patheffects import Normal, Stroke

        axes = canvas.add_axes((0.125, 0.4 / height, 0.86, 1 - 0.47 / height))
        axes.set(xlabel=_text(xlabel, 60), ylabel=_text(ylabel, 60))
        half = [(edges[1] - edges[0]) / (table.shape[1] - 1) / 2, (edges[3] - edges[2]) / (table.shape[0] - 1) / 2]
        wide = (
            edges[0] - half[0],
            edges[1] + half[0],
            edges[2] - half[1],
            edges[3] + half[1],
        )  # values are in the middle
        axes.imshow(shade, extent=wide, origin="lower", interpolation="none", aspect=aspect)
        across, up = (np.linspace(a, b, n) for a, b, n in zip(edges[::2], edges[1::2], table.shape[::-1], strict=True))
        axes.contour(
            across, up, np.ma.masked_invalid(table), levels, colors=_MUTED, linewidths=0.35, linestyles="solid"
        )
        halo = [Stroke(linewidth=3.2, foreground=_PAPER), Normal()]
        for i, (colour, path) in enumerate(zip(_SERIES, lines.values(), strict=False)):
            dots = "." if len(path) <= MOST_DOTS else ""
            axes.plot(*path.T, dots, linestyle="-", color=colour, linewidth=1.5, markersize=4, path_effects=halo)
            look = {"markersize": 6.5, "markeredgecolor": _PAPER, "zorder": 4 - i / 100}
            axes.plot(*path[-1], _SIGNS[i][0], color=colour, **look)
        for name, where in spots.items():
            look = {"start": ("o", 5.5, _PAPER), "local minimum": ("+", 6, _INK)}.get(name, ("x", 6.5, _INK))
            axes.plot(*where.T, look[0], markersize=look[1], color=look[2], markeredgecolor=_INK, zorder=3)
        axes.set(xlim=edges[:2], ylim=edges[2:])
        axes.grid(False)

    key = "".join(
        f'<span class="key" style="--k:var(--c{i})">{_SIGNS[i][1]} {words(name, 40)}</span> '
        for i, name in enumerate(list(lines)[:MOST_LINES])
    )
    signs, other = {"start": "\N{WHITE CIRCLE}", "local minimum": "+"}, "\N{MULTIPLICATION SIGN}"
    note = ", ".join(f"{signs.get(name, other)} {words(name, 40)}" for name in spots if len(spots[name]))
    svg = _draw(paint, f"{title}: map with paths of {', '.join(lines) or 'nothing'}", (4.2, height), layout=None)
    svg = re.sub(r' d="[^"]*"', lambda way: re.sub(r"(\.\d\d)\d+", r"\1", way[0]), svg)  # half of the file
    return figure(title, svg, note, key)


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


def ranking(title: str, items: object) -> str:
    """A figure with the first ten of {label, chance} or [label, chance] as bars."""
    rows = ""
    for item in items[:10] if isinstance(items, list) else []:
        label, chance = item if isinstance(item, list) and len(item) == 2 else ("", None)
        if isinstance(item, dict):
            label, chance = item.get("label"), item.get("chance")
        percent = 100 * number(chance)
        if 0 <= percent <= 100:
            bar = f'<td class="bar" style="--w:{percent:.1f}%"></td><td>{percent:.1f} %</td>'
            rows += f'<tr><th scope="row">{words(label, 40)}</th>{bar}</tr>'
    return figure(title, f'<table class="ranking">{rows}</table>') if rows else ""


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


def listing(title: str, columns: object, cells: list[Any]) -> str:
    """A figure as wide as the page with a table; "" where a row is not as long as the head."""
    if (
        not isinstance(columns, list)
        or not cells
        or any(not isinstance(c, list) or len(c) != len(columns) for c in cells)
    ):
        return ""
    rows = [["–" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else cell for cell in row]
            for row in cells[:MOST_ROWS]]  # fmt: skip
    more = f"{MOST_ROWS} of {len(cells):,} rows" if len(cells) > MOST_ROWS else ""
    return figure(title, grid(columns, rows), more).replace('class="plot"', 'class="plot full"', 1)


def pairs(items: Mapping[str, object]) -> str:
    """A list of names and values."""
    body = ""
    for name, value in items.items():
        text = value if isinstance(value, Html) else words(value)
        body += f"<div><dt>{words(name, 60)}</dt><dd>{text}</dd></div>"
    return f'<dl class="pairs">{body}</dl>'


def drawn(title: str, media: object) -> str:
    """A figure of what `Media.plain` gave, told by its keys; "" where it is damaged."""
    if isinstance(media, str):
        return figure(title, f"<pre>{words(media, 4000)}</pre>")
    if isinstance(media, list):
        return ranking(title, media)
    if not isinstance(media, dict):
        return ""
    names = media.get("xlabel") or "", media.get("ylabel") or ""
    if isinstance(media.get("lines"), dict):
        lines: dict[str, Line] = {}
        for name, line in media["lines"].items():
            y = [number(value) for value in line] if isinstance(line, list) else []
            x = [number(value) for value in media["x"]] if isinstance(media.get("x"), list) else range(len(y))
            lines[str(name)] = x, y
        logx, logy = media.get("logx") is True, media.get("logy") is True
        return chart(title, lines, *map(str, names), logx, logy, last=False)
    if isinstance(media.get("surface"), list):
        return surface(title, *(media.get(key) for key in ("surface", "window", "paths", "marks")), *names)
    if isinstance(media.get("cells"), list):
        return listing(title, media.get("columns"), media["cells"])
    if isinstance(media.get("values"), list):
        return heat(title, media["values"], media.get("rows"), media.get("columns"), *names)
    if isinstance(media.get("items"), list):
        return ranking(title, media["items"])
    if isinstance(media.get("text"), str):
        return drawn(title, media["text"])
    return figure(title, pairs(dict(list(media.items())[:40]))) if media else ""
