"""Every kind of media as a figure: charts, heat maps, maps with paths, tables, rankings, words."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import numpy as np

from ..media.board import spot
from .pictures import (
    _INK,
    _MUTED,
    _PAPER,
    _SERIES,
    MOST_LINES,
    Line,
    _draw,
    _matrix,
    _text,
    chart,
    figure,
    grid,
    heat,
    number,
    pairs,
    picture,
    words,
)  # fmt: skip

MOST_ROWS = 200  # of a listing
MOST_DOTS = 60  # steps of a path that are marked
MOST_SPOTS = 2000  # of one path
_SIGNS = [("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚")]


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


def board(title: str, media: dict[str, Any]) -> str:
    """A figure of a position of a game: lines or squares, stones or signs; "" where its rows are damaged."""
    table = _matrix(media["board"])
    if table is None or max(table.shape) > 52 or not np.isfinite(table).all():
        return ""
    rows, columns = table.shape
    given = media.get("pieces")
    pieces = [str(name) for name in given] if isinstance(given, list) else []
    edge = 0 if media.get("crossings") is True else 0.5
    down, lean = media.get("down") is True, 0.5 * (media.get("hexagons") is True)

    def paint(canvas: Any) -> None:
        axes = canvas.add_axes((0.1, 0.1, 0.85, 0.85))
        if lean:
            row, column = (at.reshape(-1) for at in np.indices(table.shape))
            axes.plot(column + lean * row, row, ".", color=_MUTED, markersize=2)
        else:
            axes.hlines(np.arange(rows + 2 * edge) - edge, -edge, columns - 1 + edge, _MUTED, linewidth=0.6)
            axes.vlines(np.arange(columns + 2 * edge) - edge, -edge, rows - 1 + edge, _MUTED, linewidth=0.6)
        size = 200 / max(rows, columns + lean * (rows - 1))
        for (row, column), piece in np.ndenumerate(table.astype(int)):
            if piece in (1, 2):
                look = {"color": _INK if piece == 1 else _PAPER, "markeredgecolor": _INK, "markersize": 0.85 * size}
                axes.plot(column + lean * row, row, "o", **look)
            elif piece:
                axes.text(column + lean * row, row, str(piece), ha="center", va="center")
        wide = columns + lean * (rows - 1)
        axes.set(xlim=(-0.7, wide - 0.3), ylim=(rows - 0.3, -0.7), aspect="equal")
        names = [spot(0, k, 1, down)[:-1] for k in range(columns)]
        axes.set_xticks(np.arange(columns) + lean * (rows - 1), names, fontsize=6)
        axes.set_yticks(range(rows), [str(k + 1 if down else rows - k) for k in range(rows)], fontsize=6)
        axes.grid(False)

    note = "dark: {}, light: {}".format(*(words(name, 40) for name in pieces[:2])) if len(pieces) >= 2 else ""
    note += f"; {words(media['note'], 200)}" if media.get("note") else ""
    return figure(title, _draw(paint, f"{title}: a position of {media.get('game')}", (3.4, 3.4), layout=None), note)


def wave(title: str, media: dict[str, Any]) -> str:
    """A figure of a sound's envelope over seconds."""
    pairs_of, seconds = _spots(media["envelope"]), number(media.get("seconds"))
    if not len(pairs_of) or not np.isfinite(pairs_of).all() or not seconds > 0:
        return ""

    def paint(canvas: Any) -> None:
        axes = canvas.add_subplot()
        axes.fill_between(np.linspace(0, seconds, len(pairs_of)), *pairs_of.T, color=_SERIES[0], linewidth=0.5)
        axes.set(xlabel="seconds", xlim=(0, seconds), ylim=(-1, 1))

    return figure(title, _draw(paint, f"{title}: the waveform of {seconds:.3g} seconds", (4.2, 1.6)))


def film(title: str, media: dict[str, Any]) -> str:
    """A figure that plays, and some frames side by side, which is all that is printed."""
    kind, content = media.get("moving") or ("", b"")
    note = f"{number(media.get('frames')):.0f} frames" + "; some of them, from the first to the last" * (not content)
    still = picture(media["strip"], title, 560)
    if not content:
        return figure(title, still, note)
    moving = f'<img class="film" alt="{words(title)}" src="data:image/{kind};base64,{b64encode(content).decode()}">'
    return figure(title, f"{moving}{still}", note)


def drawn(title: str, media: object) -> str:
    """A figure of what `Media.plain` gave, told by its keys; "" where it is damaged."""
    if isinstance(media, str):
        return figure(title, f"<pre>{words(media, 4000)}</pre>")
    if isinstance(media, list):
        return ranking(title, media)
    if not isinstance(media, dict):
        return ""
    if isinstance(media.get("board"), list):
        return board(title, media)
    if isinstance(media.get("envelope"), list):
        return wave(title, media)
    if isinstance(media.get("strip"), bytes):
        return film(title, media)
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
