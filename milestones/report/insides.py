"""The page of what a net learned: its layers counted, what excites them, what can be read where, what is alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .page import whole
from .pictures import (
    _INK,
    _MUTED,
    Html,
    Line,
    _draw,
    _text,
    chart,
    confusion,
    figure,
    grid,
    number,
    picture,
    short,
    words,
)  # fmt: skip
from .result import took

# Hues that stay apart on light and dark paper; beyond them they begin again, with another sign.
HUES = ("#2f7fb8", "#d8662b", "#4a9a4e", "#9267bd", "#b08a25", "#c94f6d", "#3aa6a0", "#8c6d5a", "#7d8ea3", "#b85fb0")
SIGNS = ("o", "s", "^", "D")
TUNED, CURVES = 16, 6  # units in the table and in the chart
SURE = 0.5  # of what an even answer leaves open: how far a concept's direction must tell its examples


def html_of(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page as text, from what `look` found and its pictures by file name. The same finding gives the same text."""
    name = words(found["system"], 80)
    sections = {
        "Layers": layers(found),
        "First filters": filters(found.get("filters"), pictures),
        "Simple to complex": hierarchy(found.get("hierarchy"), pictures),
        "What excites units": "".join(excited(one, pictures) for one in found.get("units", [])),
        "Orientation": orientation(found.get("tuning")),
        "Shift": shift(found.get("shifts"), found.get("tuning")),
        "Read out": read_out(found["probes"], found["accuracy"], found["over"]),
        "Map": maps(found["maps"], found["classes"], found["labels"]),
        "Likeness": alike(found.get("alike"), found.get("beside")),
        "Concept": concept(found.get("concept")),
        "Dream": dream(found.get("dream"), pictures),
        "Mistakes": mistakes(found, pictures),
        "Repeat it": f'<pre class="copy">{words(found["command"], 2000)}</pre>',
    }
    size, work = found["parameters"], found["multiply_adds"]
    body = (
        f'<header><p class="eyebrow">milestones · look</p><h1>{name}</h1>'
        f'<div class="hero"><p class="figure">{len(found["layers"])}<span>layers</span></p><p class="result">'
        f"{size:,} parameters, {work:,} multiply-adds for one example. {words(headline(found), 600)} It took "
        f"{took(found['seconds'])} here.</p></div></header>"
    )
    body += "".join(f'<p class="notice">{words(note, 600)}</p>' for note in found["notes"])
    for title, content in sections.items():
        body += f"<section><h2>{title}</h2><div>{content}</div></section>\n" if content else ""
    return whole(f"{name} · look", body, "Written from look.json beside it.")


def headline(found: Mapping[str, Any]) -> str:
    """From where to where the class becomes readable."""
    first, last = found["probes"][0], found["probes"][-1]
    best = max(found["probes"], key=lambda one: one["accuracy"])
    text = f"A linear reader names the class of {first['accuracy']:.1f} % of {found['data']} from the raw input, "
    text += f"and of {best['accuracy']:.1f} % from {best['layer']}"
    return text + (f" ({last['accuracy']:.1f} % from the scores)." if best is not last else ".")


def _bar(value: float, most: float, text: str) -> Html:
    return Html(f'<span class="rate" style="--w:{100 * value / max(most, 1e-9):.1f}%">{words(text)}</span>')


def layers(found: Mapping[str, Any]) -> str:
    """The census, its largest entries as bars."""
    rows, lines = [], found["census"]
    most, work = (max(one[key] for one in lines) for key in ("parameters", "multiply_adds"))
    for one in lines:
        calls = f" × {one['calls']}" if one["calls"] > 1 else ""
        shape = " × ".join(map(str, one["shape"]))
        rows.append((Html(f"<b>{words(one['name'], 60)}</b>{calls}"), one["op"], shape,
                     _bar(one["parameters"], most, f"{one['parameters']:,}"),
                     _bar(one["multiply_adds"], work, f"{one['multiply_adds']:,}")))  # fmt: skip
    rows.append((Html("<b>all</b>"), "", "", f"{found['parameters']:,}", f"{found['multiply_adds']:,}"))
    shape = " × ".join(map(str, found["input"]))
    note = (f"For one example of {shape}. Multiply-adds are those of convolutions, linear and recurrent layers and "
            "matrix products; biases, normalisation, activations and pooling are left out.")  # fmt: skip
    return grid(["Layer", "What", "Puts out", "Parameters", "Multiply-adds"], rows) + f'<p class="quiet">{note}</p>'


def _image(name: str, pictures: Mapping[str, bytes], text: str, full: bool = True) -> str:
    content = pictures.get(name, b"")
    shown = picture(content, text, 1)
    return f'<div class="{"wide" if full else ""}">{shown}</div>' if shown else ""


def filters(found: Mapping[str, Any] | None, pictures: Mapping[str, bytes]) -> str:
    """The first layer's weights."""
    if not found:
        return ""
    size = " × ".join(map(str, found["size"][1:]))
    which = f"The {found['shown']} with the longest weight vectors of {found['count']}" \
        if found["shown"] < found["count"] else f"All {found['count']}"  # fmt: skip
    text = f"{which} filters of {found['layer']}, {size} each: grey is 0, white positive, black negative, each on its "
    text += "own scale."
    return f"<p>{words(text, 600)}</p>" + _image(found["picture"], pictures, f"filters of {found['layer']}")


def hierarchy(found: Mapping[str, Any] | None, pictures: Mapping[str, bytes]) -> str:
    """Layers side by side."""
    if not found:
        return ""
    text = ("From the first layer to the last, for some of their units: a picture made so that the unit answers most, "
            "and the example that excites it most. Convolutions are cut to what one place of their maps sees. Made "
            "pictures show what a net goes by, which need not be what people go by.")  # fmt: skip
    return f"<p>{text}</p>" + _image(found["picture"], pictures, "units of each layer, from the first to the last")


def excited(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """A layer's units."""
    seen = f"Each sees {found['field'][0]} × {found['field'][1]} pixels. " if found["field"] else ""
    silent = f"{found['silent']} never change over the test pictures. " if found["silent"] else ""
    beaten = sum(one["made"][0] > one["best"][0]["value"] for one in found["units"])
    made = f"What was made excites {beaten} of the {len(found['units'])} shown more than any test picture does."
    title = f"<h3>{words(found['layer'], 80)}</h3>"
    note = f'<p class="quiet">{found["count"]} units, {words(found["op"].lower())}. {seen}{silent}{made}</p>'
    return title + note + _image(found["picture"], pictures, f"what excites the units of {found['layer']}")


def orientation(found: Mapping[str, Any] | None) -> str:
    """Tuning curves of the first layer."""
    if not found:
        return ""
    units = sorted(found["units"], key=lambda one: -one["selectivity"])
    shown = [units[round(k * (len(units) - 1) / (CURVES - 1))] for k in range(CURVES)] \
        if len(units) > CURVES else units  # fmt: skip
    lines: dict[str, Line] = {}
    for one in shown:
        top = max(one["curve"]) or 1.0
        lines[f"unit {one['unit']}"] = found["orientation"], [100 * value / top for value in one["curve"]]
    picture = chart("Response to bars of each orientation", lines, "degrees: 0 lying, 90 upright", "% of the largest",
                    logy=False, last=False)  # fmt: skip
    rows = [
        (one["unit"], f"{one['preferred']:.0f}°", f"{1 / one['cycles']:.1f}", f"{one['selectivity']:.2f}")
        for one in units[:TUNED]
    ]  # fmt: skip
    middle = sorted(one["selectivity"] for one in units)[len(units) // 2]
    text = (f"Gratings of {len(found['orientation'])} orientations and several widths are shown to {found['layer']}, "
            "as Hubel and Wiesel showed bars to cells; measured is what a unit adds up, before it is bent. Selectivity "
            "is 0 for a unit to which all orientations are the same, "
            f"1 for one that answers to a single one; the median here is {middle:.2f}.")  # fmt: skip
    more = f'<p class="quiet">The {TUNED} most selective of {len(units)}.</p>' if len(units) > TUNED else ""
    table = grid(["Unit", "Prefers", "Bars every, pixels", "Selectivity"], rows)
    return f'<p>{words(text, 800)}</p><div class="plots"><div>{picture}</div><div>{table}{more}</div></div>'


def shift(found: Mapping[str, Any] | None, tuning: Mapping[str, Any] | None) -> str:
    """How much a shift changes, layer by layer; and the modulation by where bars lie, before and after pooling."""
    if not found:
        return ""
    lines: dict[str, Line] = {n: (found["pixels"], [100 * v for v in line]) for n, line in found["lines"].items()}
    picture = chart("What is left of the differences when pictures move", lines, "shift, pixels", "%", logy=False)
    text = (f"{found['over']:,} test pictures are moved in four directions. 100 %: the layer says the same as before; "
            "0: it is as far off as another picture would be.")  # fmt: skip
    body = f'<p>{text}</p><div class="plots"><div>{picture}</div>'
    ratios = [(one["before"], one["after"]) for one in tuning["units"]] if tuning and tuning["pool"] else []
    before, after = ([value for value in column if value is not None] for column in zip(*ratios, strict=True)) \
        if ratios else ([], [])  # fmt: skip
    if before and after:
        simple = [sum(v > 1 for v in column) for column in (before, after)]
        middle = [sorted(column)[len(column) // 2] for column in (before, after)]
        kind = "does not make them complex" if simple[1] > len(after) / 2 else "makes most of them complex"
        note = ("Simple or complex? A drifting grating changes the response of a simple cell with every bar that "
                "passes (F1/F0 above 1; π/2 = 1.57 for a rectified sine); a complex cell does not mind (below 1). Of "
                f"{tuning['layer'] if tuning else ''}, {simple[0]} of {len(before)} units are simple, median "
                f"{middle[0]:.2f}; after pooling {simple[1]} of {len(after)}, median {middle[1]:.2f}: this pooling "
                f"{kind}.")  # fmt: skip
        body += f"<p>{words(note, 900)}</p>"
    return body + "</div>"


def read_out(probes: Sequence[Mapping[str, Any]], accuracy: float, over: int) -> str:
    """What a linear reader makes of each layer."""
    rows = [
        (Html(f"<b>{words(one['layer'], 60)}</b>"), f"{one['values']:,}",
         _bar(one["accuracy"], 100, f"{one['accuracy']:.1f} %"), f"{one['low']:.1f} to {one['high']:.1f} %")
        for one in probes
    ]  # fmt: skip
    text = ("How early can the class be read? Ridge regression on what each layer hands on, fitted to training "
            f"examples, answers {over:,} test examples. The net itself is right in {accuracy:.1f} %.")  # fmt: skip
    return f"<p>{text}</p>" + grid(["Layer", "Values", "Right answers of a linear reader", "95 % interval"], rows)


def scatter(found: Mapping[str, Any], classes: Sequence[int], labels: Sequence[str]) -> str:
    """Examples as dots, coloured by their class."""
    spots, kinds = np.array(found["points"]), np.array(classes)

    def paint(canvas: Any) -> None:
        axes = canvas.add_subplot()
        for k in range(len(labels)):
            mine = spots[kinds == k]
            look = {"color": HUES[k % len(HUES)], "markersize": 2.4, "alpha": 0.75, "markeredgewidth": 0}
            axes.plot(*mine.T, SIGNS[k // len(HUES) % len(SIGNS)], **look)
            if len(mine) and len(labels) <= 20:
                at = np.median(mine, 0)
                axes.text(*at, _text(labels[k], 12), color=_INK, fontsize=9, weight="bold", ha="center", va="center")
        axes.set(xticks=[], yticks=[])
        axes.spines["bottom"].set_visible(False)

    share = [number(value) for value in found["explained"]]
    note = f"first two components: {sum(share):.0f} % of the variance" if share else "t-SNE: only neighbours mean much"
    svg = _draw(paint, f"{found['layer']}: {len(spots)} examples as points", (3.6, 3.2))
    svg = re.sub(r'(x|y)="(-?\d+\.\d)\d*"', r'\1="\2"', svg)
    return figure(found["layer"], svg, note)


def maps(found: Sequence[Mapping[str, Any]], classes: Sequence[int], labels: Sequence[str]) -> str:
    """The examples as layers lay them out."""
    drawn = "".join(scatter(one, classes, labels) for one in found)
    return f'<div class="plots">{drawn}</div>'


def matrix(title: str, values: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], xlabel: str = "",
           most: float = 1.0, marks: Sequence[Sequence[str]] | None = None, middle: float = 0.0,
           wide: float = 4.0) -> str:  # fmt: skip
    """A table of shades, darker where it is larger, with its figures where there is room; `marks` stand behind them.
    Below `middle` shades are orange."""
    table = np.array(values, float)
    shade = np.zeros((*table.shape, 4), np.uint8)
    shade[..., :3] = np.where((table < middle)[..., None], (214, 116, 40), (58, 130, 190))
    shade[..., 3] = np.clip(np.nan_to_num(np.abs(table - middle)) / (most - middle), 0, 1) * 225
    small = max(table.shape) > 12

    def paint(canvas: Any) -> None:
        axes = canvas.add_subplot(xlabel=_text(xlabel, 60))
        axes.imshow(shade, interpolation="none", aspect="auto")
        for axis, names in ((axes.xaxis, columns), (axes.yaxis, rows)):
            cut = [_text(name, 18) for name in names]
            turn = 40 if axis is axes.xaxis and max(map(len, cut)) > 3 else 0
            axis.set_ticks(range(len(cut)), cut, fontsize=7, rotation=turn,
                           **({"ha": "right", "rotation_mode": "anchor"} if turn else {}))  # fmt: skip
        for (i, j), value in np.ndenumerate(table) if not small else ():
            sign = marks[i][j] if marks else ""
            text = (f"{value:.0f}" if most > 10 else f"{value:.2f}") + sign if math.isfinite(value) else ""
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=_INK)
        axes.tick_params(length=0)
        axes.spines["bottom"].set_color(_MUTED)

    size = wide, 0.85 + 0.27 * len(rows)
    svg = _draw(paint, f"{title}: {len(rows)} by {len(columns)} values", size)
    return figure(title, svg)


def alike(own: Mapping[str, Any] | None, beside: Mapping[str, Any] | None) -> str:
    """CKA of layers: of this net's with each other, and with those of another run."""
    if not own:
        return ""
    text = (f"Linear CKA, unbiased, over {own['over']:,} test examples: 1 for layers that are the same up to a turn "
            "and a factor, about 0 for layers that have nothing to do with each other.")  # fmt: skip
    shown = matrix("Layers of this net", own["values"], own["rows"], own["columns"])
    if beside:
        shown += matrix(f"Beside {beside['run']} (across)", beside["values"], beside["rows"], beside["columns"])
    return f'<p>{text}</p><div class="plots">{shown}</div>'


def concept(found: Mapping[str, Any] | None) -> str:
    """TCAV: which classes rise towards the concept, and whether that is more than chance."""
    if not found:
        return ""
    names = list(dict.fromkeys(one["layer"] for one in found["rows"]))
    classes = list(dict.fromkeys(one["class"] for one in found["rows"]))
    by = {(one["layer"], one["class"]): one for one in found["rows"]}
    values = [[by[name, k]["share"] for k in classes] for name in names]
    marks = [["*" if by[name, k]["significant"] else "" for k in classes] for name in names]
    sure = sum(one["significant"] for one in found["rows"])
    text = (f"{found['examples']} examples of the concept in {found['folder']} against {found['splits']} draws of "
            "training examples. The figures: of how many test examples of a class, in percent, the score rises towards "
            "the concept. * differs from directions between two draws of training examples (t-test at 5 % over "
            f"{found['tests']} comparisons); {sure} of {len(found['rows'])} do"
            + ("." if sure else ": nothing here says that the net uses this concept."))  # fmt: skip
    told = grid(["Layer", "Tells the concept's examples, left out one by one"],
                [(name, f"{value:.0f} %") for name, value in found["told"].items()])  # fmt: skip
    low = [name for name, value in found["told"].items() if value < 50 + 50 * SURE]
    warn = ""
    if low:
        warn = "A direction that hardly tells the concept's examples from others is not its direction: "
        warn = f'<p class="note">{words(warn + ", ".join(low), 600)}.</p>'
    shown = matrix("Share of test examples whose score rises, %", values, names, classes, "class", 100.0, marks, 50.0,
                   7.5)  # fmt: skip
    return f'<p>{words(text, 900)}</p><div class="plots"><div class="full">{shown}</div></div>{warn}{told}'


def dream(found: Mapping[str, Any] | None, pictures: Mapping[str, bytes]) -> str:
    """The picture before and after."""
    if not found:
        return ""
    text = f"More of what {found['layer']} finds in the picture, at several sizes (gain from {short(found['gain'][0])}"
    text += f" to {short(found['gain'][1])} in the part at the upper left)."
    sides = (("before", "the picture"), ("picture", "the dream"))
    shown = "".join(figure(title, picture(pictures.get(found[name], b""), title, 360)) for name, title in sides)
    return f'<p>{words(text, 400)}</p><div class="plots">{shown}</div>'


def mistakes(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The confusion matrix, and the mistakes with the training examples behind them."""
    matrix_of = found["confusion"]
    body = confusion(matrix_of["labels"], matrix_of["counts"])
    if not found["mistakes"]:
        return body
    text = (f"The {len(found['mistakes'])} mistakes of which the net was surest, and beside each the training examples "
            f"that {found['near']} finds most alike: what it may have gone by.")  # fmt: skip
    shown = _image("mistakes.png", pictures, "mistakes and their nearest training examples")
    if not shown:
        rows = [(f"test {one['example'] + 1}", one["true"], one["said"], f"{100 * one['chance']:.0f} %",
                 ", ".join(near["class"] for near in one["near"])) for one in found["mistakes"]]  # fmt: skip
        shown = grid(["Example", "Is", "Said", "Chance", "Classes of the nearest training examples"], rows)
    return f"{body}<p>{words(text, 400)}</p>{shown}"
