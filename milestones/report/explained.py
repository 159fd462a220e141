"""The page of what a net looks at in some inputs: each map over its input, with what it is worth, the best first."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..parts.maps import BOARD
from .drawn import drawn, ranking
from .page import whole
from .pictures import Html, figure, grid, heat, picture, words
from .result import took

FOR, AGAINST = (20, 92, 158), (206, 92, 20)  # as the heat maps of reports: blue above zero, orange below
SIDE = 224  # pixels to which small pictures are enlarged
INK = 0.42  # how dark the input shows below its map
MOST_ROWS = 40  # of a table of features
NARROW = "grid-template-columns:repeat(auto-fill,minmax(14.4rem,1fr))"  # three maps beside each other
READ = (
    ("Take away", "The chance of the class while what the map marks most is replaced by nothing first, mean over the "
     "way from all to nothing; beside it the same in random order. A good map lets it fall fast: low is good."),
    ("Put in", "The same while it is put into an empty input first: high is good."),
    ("Adds up", "How far the map's sum is from the score's difference from an empty input, of methods that claim it."),
    ("Random nets", "Rank correlation with the maps of nets whose weights were shuffled. Near 0 the map depends on "
     "what this net learned; near 1 it would look the same had it learned nothing. The second number leaves out what "
     "is for and what against: where most of an input is empty it is high by itself: only the rest can be marked."),
)  # fmt: skip
SMALL = 1e-3  # completeness errors below are told as such


def pictures_of(found: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, bytes]:
    """PNGs by file name: each input that is a picture or a board, and its maps over it. Notes their names in `found`,
    and for rows and sequences the maps' numbers."""
    made = {}
    for number, one in enumerate(found["inputs"], 1):
        x, empty = (tensors[f"{number}/{part}"].float() for part in ("input", "nothing"))
        if x.dim() == 3:
            one["picture"] = f"{number}-input.png"
            made[one["picture"]] = png(plain(x, empty, found["bounds"]))
            ink = shade(x, empty, found["bounds"])
            for each in one["maps"]:
                each["picture"] = f"{number}-{each['method']}.png"
                made[each["picture"]] = png(overlay(tensors[f"{number}/{each['method']}"].sum(0).numpy(), ink))
        else:
            one["values"] = [float(f"{value:.5g}") for value in x.tolist()] if x.dim() == 1 else None
            for each in one["maps"]:
                values = tensors[f"{number}/{each['method']}"]
                values = values.sum(1) if values.dim() == 2 else values
                each["values"] = [float(f"{value:.5g}") for value in values.tolist()]
    return made


def plain(x: Tensor, empty: Tensor, bounds: Sequence[float] | None) -> np.ndarray:
    """An input "C H W" as it is: a picture in grey or colour, or, if it is none, what is not empty in it."""
    if bounds and is_picture(x):
        levels = ((x - bounds[0]) / (bounds[1] - bounds[0]) * 255).clamp(0, 255).byte().permute(1, 2, 0).numpy()
        return levels.repeat(3, 2) if levels.shape[2] == 1 else levels
    return (255 * (1 - shade(x, empty, bounds)))[..., None].repeat(3, 2).astype(np.uint8)


def is_picture(x: Tensor) -> bool:
    """Whether three planes are colours: a board of few squares has planes of another meaning."""
    return x.shape[0] == 1 or (x.shape[0] == 3 and max(x.shape[1:]) > BOARD)


def shade(x: Tensor, empty: Tensor, bounds: Sequence[float] | None) -> np.ndarray:
    """ "H W" from 0 to 1: where an input "C H W" is not empty; of a colour picture, how dark it is; of a board, own
    stones, which the first plane has, darker than the other's, and what all squares have left out."""
    if bounds and x.shape[0] == 3 and is_picture(x):
        grey = (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
        return (1 - ((grey - bounds[0]) / (bounds[1] - bounds[0])).clamp(0, 1)).numpy()
    there = (x - empty).abs()
    if len(x) > 1:
        there = there * x.new_tensor([1 - k / len(x) for k in range(len(x))]).view(-1, 1, 1)
    there = there.sum(0)
    there = there - there.min() if len(x) > 1 else there
    return (there / there.max().clamp(min=1e-12)).numpy()


def overlay(values: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """ "H W 3": the map in two colours over the input in grey; the strongest hundredth has full colour."""
    most = float(np.quantile(np.abs(values), 0.99)) or float(np.abs(values).max()) or 1.0
    strength = np.clip(np.abs(values) / most, 0, 1)[..., None] ** 0.8
    colour = np.where(values[..., None] < 0, AGAINST, FOR) / 255
    light = (1 - INK * ink)[..., None] * (1 - strength * (1 - colour))
    return np.clip(255 * light, 0, 255).round().astype(np.uint8)


def png(levels: np.ndarray) -> bytes:
    """A picture as PNG, small ones enlarged without smoothing."""
    from PIL import Image

    scale = max(1, SIDE // max(levels.shape[:2]))
    stream = io.BytesIO()
    Image.fromarray(levels.repeat(scale, 0).repeat(scale, 1)).save(stream, "PNG")
    return stream.getvalue()


def html_of(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page as text, from look.json and its pictures. The same study gives the same text."""
    name, many = words(found["system"], 80), len(found["inputs"])
    what = "an input" if many == 1 else f"{many} inputs"
    body = (
        f'<header><p class="eyebrow">milestones · look</p><h1>{name}</h1>'
        f'<p class="tagline">What speaks for its answers on {what}</p><p class="result">'
        "Blue speaks for the class that is explained, orange against it. No map is the truth, so each says what it is "
        f"worth; the best comes first. Empty here is: {words(found['nothing'])}.</p></header>"
    )  # fmt: skip
    for number, one in enumerate(found["inputs"], 1):
        body += section(one["name"], explained(number, one, found, pictures))
    if found["left_out"]:
        rows = [(found["methods"][key]["title"], f"Left out: {why}.") for key, why in found["left_out"].items()]
        body += section("Left out", grid(["Method", "Why"], rows))
    body += section("How to read it", grid(["", "What it says"], READ))
    methods = [(one["title"], one["says"].capitalize() + ".") for one in found["methods"].values()]
    body += section("What a number is", grid(["Map", "A number of it"], methods))
    note = f'<p class="quiet">Took {took(found["seconds"])}.</p>' if found.get("seconds") else ""
    body += section("Repeat it", f'<pre class="copy">{words(found["command"], 2000)}</pre>{note}')
    return whole(f"{name} · look", body, "Written from look.json and the pictures beside it.")


def section(title: str, content: str) -> str:
    return f"<section><h2>{words(title, 80)}</h2><div>{content}</div></section>\n"


def explained(number: int, one: Mapping[str, Any], found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """An input, its answer and its maps."""
    best = one["answer"][0]
    text = f"It says <b>{words(best['label'], 40)}</b>, {100 * best['chance']:.1f} % sure"
    text += f"; it is {words(one['truth'], 40)}" if one["truth"] is not None else ""
    text += f". Explained is why it says {words(one['explained'], 40)}." if one["explained"] == best["label"] else \
        f". Explained is what speaks for {words(one['explained'], 40)}."  # fmt: skip
    top = figure("Input", picture(pictures[one["picture"]], "the input", SIDE)) if "picture" in one else ""
    body = f'<p>{text}</p><div class="plots" style="{NARROW}">{top}{ranking("Answer", one["answer"][:5])}</div>'
    if "picture" in one:
        body += f'<div class="plots" style="{NARROW}">{"".join(mapped(each, pictures) for each in one["maps"])}</div>'
    else:
        body += numbers(one, found) + listed(one)
    heats = "".join(drawn(each["title"], each["heat"]) for each in one["inside"])
    return body + (
        f'<h3>Its own attention and gates, as they are</h3><div class="plots">{heats}</div>' if heats else ""
    )


def mapped(each: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """A map over its input, with its trust strip and verdict."""
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{text}</td></tr>' for name, text in strip(each).items())
    mark = "✓" if each["trusted"] else "✗"
    colour = "--c2" if each["trusted"] else "--c1"
    verdict = (f'<p style="font-size:.9rem;margin-top:.4rem"><b style="color:var({colour})">{mark}</b> '
               f'{words(each["sentence"])}</p>')  # fmt: skip
    image = picture(pictures[each["picture"]], f"{each['title']} over the input", SIDE)
    return figure(each["title"], f'{image}{verdict}<table class="ranking">{rows}</table>')


def strip(each: Mapping[str, Any]) -> dict[str, str]:
    """What is known of a map, in words."""
    off, alike, where = each["completeness"], each["similarity"], each["strength"]
    adds = "claims no sum" if off is None else "exact" if off < SMALL else f"off by {100 * off:.3g} %"
    return {
        "Take away": f"{each['deletion']:.0f} % (random {each['random_deletion']:.0f})",
        "Put in": f"{each['insertion']:.0f} % (random {each['random_insertion']:.0f})",
        "Adds up": adds,
        "Random nets": "too few places" if alike is None else f"{alike:+.2f} / {where:+.2f}",
    }  # fmt: skip


def listed(one: Mapping[str, Any]) -> str:
    """The trust of all maps as a table."""
    rows = []
    for each in one["maps"]:
        mark = "✓" if each["trusted"] else "✗"
        name = Html(f"<b>{mark} {words(each['title'])}</b><small>{words(each['sentence'])}</small>")
        rows.append((name, *strip(each).values()))
    return grid(["Map", "Take away", "Put in", "Adds up", "Random nets"], rows)


def numbers(one: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The maps of a row or a sequence: the best as bars by name, all as a heat map, each scaled to its strongest."""
    if not one["maps"]:
        return ""
    best, count = one["maps"][0], len(one["maps"][0]["values"])
    names = found["columns"] or [f"step {i + 1}" for i in range(count)]
    order = sorted(range(count), key=lambda i: -abs(best["values"][i]))[:MOST_ROWS]
    order = order if found["columns"] else sorted(order)
    most = max((abs(value) for value in best["values"]), default=0.0) or 1.0
    rows = []
    for i in order:
        value = best["values"][i]
        side = "--tint" if value >= 0 else "--warm"
        look = f"width:{100 * abs(value) / most:.1f}%;background:rgb(var({side})/.6)"
        bar = f'<span style="display:block;height:.7rem;margin-top:.35rem;min-width:1px;{look}"></span>'
        here = [f"{one['values'][i]:.4g}"] if one.get("values") else []
        rows.append((names[i], *here, f"{value:+.3g}", Html(bar)))
    head = ["Input" if found["columns"] else "Step", *(["Value"] if one.get("values") else []), "Share", best["title"]]
    scaled = []
    for each in one["maps"]:
        top = max((abs(value) for value in each["values"]), default=0.0) or 1.0
        scaled.append([each["values"][i] / top for i in order])
    chart = heat("All maps, each scaled to its strongest", scaled, [each["title"] for each in one["maps"]],
                 [str(names[i]) for i in order])  # fmt: skip
    more = f'<p class="quiet">The {MOST_ROWS} strongest of {count:,}.</p>' if count > MOST_ROWS else ""
    return grid(head, rows) + more + f'<div class="plots">{chart}</div>'
