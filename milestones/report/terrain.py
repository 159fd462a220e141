"""The page of a landscape: the loss around a solution seen from the side and from above, and the ways to others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..parts.landscape import factored
from .drawn import surface
from .page import whole
from .pictures import _INK, _LINE, _MUTED, _draw, chart, figure, grid, number, pairs, short, words
from .result import took

HIGHEST = 1.25  # of the start: where a line beside others leaves the picture
BROAD = 0.01  # of the range: how wide one eigenvalue is drawn
DEPTH = 3  # layers of the linear net beside the others


def html_of(found: Mapping[str, Any]) -> str:
    """The page as text, from what is found so far. The same landscape gives the same text."""
    name, said = words(found["system"], 80), "".join(f"<li>{words(one, 600)}</li>" for one in sentences(found))
    sections = {
        "Around it": plane(found),
        "From the start": line(found.get("line"), found),
        "Beside others": beside(found.get("beside")),
        "Curvature": curvature(found.get("curvature")),
        "To another run": between(found.get("between"), found.get("between_plane")),
        "The way of training": path(found.get("path")),
        "How it was made": pairs(made(found)),
    }
    notice = '<p class="notice">Not finished: this page is refined while it is computed.</p>'
    state = "" if found["finished"] else notice
    body = (
        f'<header><p class="eyebrow">milestones · loss landscape</p><h1>{name}</h1><div class="hero">'
        f'<p class="figure">{short(number(found["here"]["loss"]))}<span>loss</span></p>'
        f'<ul class="result">{said}</ul></div>{state}</header>'
    )
    for title, content in sections.items():
        body += f"<section><h2>{title}</h2><div>{content}</div></section>\n" if content else ""
    return whole(f"{name} · landscape", body, "Written from landscape.json beside it.")


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What was found, each in a sentence."""
    valid = "" if found["learned_from_valid"] else f", {short(found['valid_here']['loss'])} on validation examples"
    text = [f"Loss {short(found['here']['loss'])} at the solution on {found['examples']:,} training examples{valid}."]
    if one := found.get("line"):
        ends = f"from {short(number(one['loss'][0]))} to {short(number(one['loss'][-1]))}"
        text.append(f"Straight from the start to the solution the training loss {verdict(one)} ({ends}).")
    if one := found.get("curvature"):
        top = number(one["eigenvalues"][0])
        text.append(f"Sharpest curvature {short(top)}: plain descent is steady up to a rate of {short(2 / top)}."
                    if top > 0 else "The loss bends upward in no direction.")  # fmt: skip
        text.append(f"Sum of all curvatures {short(number(one['trace']))}, 95 % interval "
                    f"[{short(number(one['trace_low']))}, {short(number(one['trace_high']))}].")  # fmt: skip
    if one := found.get("between"):
        for name, way in one["ways"].items():
            high = number(way["barrier"]["train"]["loss"])
            rise = f"rises {short(high)} above its ends" if high > 0 else "rises nowhere above its ends"
            what = "Straight to the other run" if name == "straight" else "Along a bent curve"
            text.append(f"{what} the training loss {rise}.")
    if one := found.get("path"):
        text.append(f"The plane of the training path shows {100 * sum(one['shares']):.0f} % of it.")
    return text


def verdict(one: Mapping[str, Any]) -> str:
    return "falls all the way" if one["falls"] else f"rises by {short(number(one['climb']))} on the way"


def plane(found: Mapping[str, Any]) -> str:
    """The random plane from the side and from above."""
    one = found.get("plane")
    if not one:
        return ""
    side = relief("Seen from the side", one["values"], one["window"])
    above = surface("Seen from above", one["values"], one["window"], {}, {"solution": [[0, 0]]})
    coarse = f" Coarse so far: {one['size']} of {one['of']} points a side." if one["size"] < one["of"] else ""
    note = ("Two random directions; 1 is as far as each filter is long (filter normalisation, Li et al. 2018), so "
            "that nets of different scale can be compared. Lines of equal loss lie at quantiles of it, closer near the "
            f"lowest. Two of {found['weights']:,} dimensions: what is flat here may be steep elsewhere.")  # fmt: skip
    if found["batch_normalised"]:
        note += (" Batch normalisation keeps the running means of the trained net: the surface is that of the net as "
                 "it is used, and its curvature in the middle is that of the table below.")  # fmt: skip
    return f'<div class="plots">{side}{above}</div><p class="quiet">{note}{coarse}</p>'


def relief(title: str, values: object, window: Sequence[float]) -> str:
    """A figure of a surface in three dimensions, its height logarithmic where that shows more."""
    table = np.array([[number(value) for value in row] for row in values], float)  # type: ignore[attr-defined]
    there = table[np.isfinite(table)]
    if min(table.shape) < 3 or not len(there):
        return ""
    log = bool(there.min() > 0 and there.max() / there.min() >= 20)
    height = np.log10(table) if log else table
    height = np.nan_to_num(height, nan=float(np.nanmax(np.where(np.isfinite(height), height, np.nan))))

    def paint(canvas: Any) -> None:
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

        axes: Any = canvas.add_axes((-0.04, -0.06, 1.04, 1.14), projection="3d")
        x, y = np.meshgrid(np.linspace(*window[:2], table.shape[1]), np.linspace(*window[2:], table.shape[0]))
        shades = LinearSegmentedColormap.from_list("height", ["#123f5e", "#3a82be", "#a9cbe4", "#f0d9b5"])
        axes.plot_surface(x, y, height, cmap=shades, rcount=60, ccount=60, linewidth=0.15, edgecolor="#ffffff40",
                          antialiased=True)  # fmt: skip
        axes.view_init(elev=32, azim=-58)
        axes.set_box_aspect((1, 1, 0.62), zoom=1.05)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.set_pane_color((0, 0, 0, 0))
            axis.line.set_color(_LINE)
            axis.set_major_locator(MaxNLocator(4))
            axis._axinfo["grid"].update(color=_LINE, linewidth=0.5)
        axes.tick_params(labelsize=7, colors=_INK, labelcolor=_MUTED, pad=-2)
        tens = range(math.ceil(height.min()), math.floor(height.max()) + 1)
        if log and len(tens) > 1:
            axes.zaxis.set_major_locator(FixedLocator(tens))
        axes.zaxis.set_major_formatter(FuncFormatter(lambda z, _: short(10.0**z if log else z)))
        axes.zaxis.set_rotate_label(False)

    svg = _draw(paint, f"{title}: surface in three dimensions", (4.2, 3.4), layout=None)
    svg = re.sub(r' d="[^"]*"', lambda way: re.sub(r"(\.\d)\d+", r"\1", way[0]), svg)
    return figure(title, svg, "height: loss" + ", logarithmic" * log)


def line(one: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    """The terms of the loss on the straight line from the start."""
    if not one:
        return f"<p>{words(found['no_line'], 400)}</p>" if found.get("no_line") else ""
    valid = "validation" + " (learned from, too)" * bool(found["learned_from_valid"])
    text = ""
    for name in ("loss", "error"):
        if name in one:
            kinds = {"training": (one["at"], gaps(one[name])), valid: (one["at"], gaps(one[f"valid_{name}"]))}
            title = f"{name.capitalize()}{', %' * (name == 'error')}"
            text += chart(title, kinds, "from the start (0) to the solution (1)", logy=False)
    away = short(number(one["distance"]))
    note = (f"The weights go straight from those before the first update to those of the end, {away} away (Goodfellow "
            f"et al. 2015). The training loss {verdict(one)}. A line that falls all the way says that "
            "no wall stands between, not that training took it.")  # fmt: skip
    return f'<div class="plots">{text}</div><p class="quiet">{note}</p>'


def beside(runs: Sequence[Mapping[str, Any]] | None) -> str:
    """The training loss on the lines of several runs, each from 1 at its start to 0 at its end; and a linear net."""
    if not runs:
        return ""
    at, kinds, rows = runs[0]["at"], {}, []
    made = factored(at, DEPTH)
    for title, losses in [*((one["name"], gaps(one["loss"])) for one in runs),
                          (f"{DEPTH} linear layers, closed form", made)]:  # fmt: skip
        span = losses[0] - losses[-1]
        shares = [(loss - losses[-1]) / span if span else math.nan for loss in losses]
        kinds[title] = at, [share if share < HIGHEST else math.nan for share in shares]
    for one in runs:
        losses = gaps(one["loss"])
        rows.append((one["name"], short(losses[0]), short(losses[-1]), short(number(one["climb"])),
                     "falls all the way" if one["falls"] else "rises on the way"))  # fmt: skip
    axis = "from the start (0) to the solution (1)"
    picture = chart("Training loss, 1 at the start and 0 at the end", kinds, axis, logy=False, last=False)
    table = grid(["Run", "At the start", "At the end", "Largest rise", "The line"], rows)
    note = (f"A chain of {DEPTH} equal linear factors that shall make 1 is flat at first and steep later, though its "
            "line falls all the way: so much is due to layers alone, without a unit that bends (Goodfellow et al. "
            "2015; Saxe et al. 2014).")  # fmt: skip
    return f'<div class="plots"><div class="full">{picture}</div></div>{table}<p class="quiet">{note}</p>'


def curvature(one: Mapping[str, Any] | None) -> str:
    """The eigenvalues with their bounds, the trace with its interval, the spread."""
    if not one:
        return ""
    rows = [(f"{k}", short(number(value)), f"± {short(number(bound))}") for k, (value, bound) in
            enumerate(zip(one["eigenvalues"], one["bounds"], strict=True), 1)]  # fmt: skip
    table = grid(["", "Largest eigenvalues", "True within"], rows)
    interval = f"{short(number(one['trace_low']))} to {short(number(one['trace_high']))}"
    rest = pairs({
        "trace": f"{short(number(one['trace']))}, 95 % interval {interval}, of {one['probes']} probes",
        "lowest eigenvalue": f"{short(number(one['lowest']))} or below",
        "length of the gradient": short(number(one["slope"])),
        "rise at 0.05 up the gradient": short(number(one["sharpness"])),
        "products with the Hessian": f"{one['products']:,} for the eigenvalues"
        + ("" if one["exact"] else ", by differences of gradients: a layer of this net has no second derivative"),
    })  # fmt: skip
    note = ("The Hessian of the mean training loss, in evaluation mode. Lanczos' method with full reorthogonalisation; "
            "the spread is one run's estimate: its edges and outliers are sure, its inside is not.")  # fmt: skip
    return f'<div class="plots"><div>{table}{rest}</div>{spread(one)}</div><p class="quiet">{note}</p>'


def spread(one: Mapping[str, Any]) -> str:
    """How many of all eigenvalues lie where, each drawn a little broad (Ghorbani et al. 2019)."""
    nodes, shares = (np.array(gaps(one[name]), float) for name in ("nodes", "shares"))
    width = BROAD * max(float(nodes.max() - nodes.min()), 1e-12)
    x = np.linspace(nodes.min() - 4 * width, nodes.max() + 4 * width, 240)
    heights = (shares * np.exp(-0.5 * ((x[:, None] - nodes) / width) ** 2)).sum(1) / (width * math.sqrt(2 * math.pi))
    return chart("Spread of all eigenvalues", {"density": (x.tolist(), np.maximum(heights, 1e-7 / width).tolist())},
                 "eigenvalue", "", logy=True, last=False)  # fmt: skip


def between(one: Mapping[str, Any] | None, seen: Mapping[str, Any] | None) -> str:
    """The straight line and the curve to another run."""
    if not one:
        return ""
    lines = {}
    for name, way in one["ways"].items():
        lines[f"{name}, training"] = way["at"], gaps(way["loss"])
        lines[f"{name}, validation"] = way["at"], gaps(way["valid_loss"])
    picture = chart("Loss between both runs", lines, "from this run (0) to the other (1)", logy=False, last=False)
    rows = []
    for name, way in one["ways"].items():
        for split in ("train", "valid"):
            ends = gaps(way["loss" if split == "train" else "valid_loss"])
            error = way["middle"][split].get("error")
            what = f"{name}, {'training' if split == 'train' else 'validation'}"
            rows.append((what, f"{short(ends[0])}, {short(ends[-1])}", short(number(way["middle"][split]["loss"])),
                         short(number(way["barrier"][split]["loss"])),
                         "–" if error is None else f"{number(error):.3g} %"))  # fmt: skip
    table = grid(["Way", "At its ends", "In its middle", "Barrier", "Error in its middle"], rows)
    view = plane_of("The plane of both runs and the curve", seen)
    note = (f"Barrier: how far the loss rises above the line between its ends. The curve is quadratic, bent in "
            f"{one['updates']:,} updates of {one['batch']} training examples each (Garipov et al. 2018). The runs lie "
            f"{short(number(one['distance']))} apart. Running means of batch normalisation, where there are any, are "
            "taken anew at each point.")  # fmt: skip
    return f'<div class="plots">{picture}{view}</div>{table}<p class="quiet">{note}</p>'


def path(one: Mapping[str, Any] | None) -> str:
    """The way of training in the plane of its principal components."""
    if not one:
        return ""
    shares = " and ".join(f"{100 * share:.0f} %" for share in one["shares"])
    same = "The training came to the same bits." if one["gap"] == 0 else \
        f"Not to the same bits: weights differ by up to {short(number(one['gap']))}."  # fmt: skip
    note = (f"The run was trained once more, and its weights kept at {len(one['steps'])} moments. {same} The axes are "
            f"the first two principal components of the way, which hold {shares} of it; the rest leaves the plane, "
            "so the loss on the map is not quite the loss that training met. Distances are those of the weights. Where "
            "a page ends with a mean of its weights, the last stride is the one to that mean.")  # fmt: skip
    side = relief("Seen from the side", one["values"], one["window"])
    return f'<div class="plots">{plane_of("The way of training", one)}{side}</div><p class="quiet">{note}</p>'


def plane_of(title: str, one: Mapping[str, Any] | None) -> str:
    """A map with paths and marks."""
    if not one:
        return ""
    paths = {name: [list(spot) for spot in way] for name, way in one["paths"].items()}
    marks = {name: [list(spot) for spot in spots] for name, spots in one["marks"].items()}
    return surface(title, one["values"], list(one["window"]), paths, marks, "distance")


def made(found: Mapping[str, Any]) -> dict[str, object]:
    """What the figures rest on."""
    one = found.get("plane") or {}
    return {
        "run": found["run"] + ", its first member" * bool(found["first_member"]),
        "data": found["data"],
        "examples": f"{found['examples']:,} of training, {found['valid_examples']:,} of validation",
        "loss": "the page's own, mean over the examples, in evaluation mode and float32",
        "seed of the directions": found["seed"],
        "plane": f"{one.get('size', 0)} x {one.get('size', 0)} points in {took(number(one.get('seconds')))}",
        "all": f"{took(found['seconds'])} here",
    }  # fmt: skip


def gaps(values: Sequence[Any]) -> list[float]:
    return [number(value) for value in values]
