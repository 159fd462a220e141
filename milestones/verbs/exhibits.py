"""What can be shown of a net that sees pictures: filters, what excites units, tuning, shift tolerance, the dream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.source import key
from ..media import Image, tiles
from ..parts import tuning, units
from ..parts.watch import Layer, Step, Watch, flat, responses
from ..report.strips import Cell, Strip, columns, strip
from .interior import INPUT, Net, some

FILTERS = 64  # that are shown
LAYERS = 6  # whose units are shown
STARTS = 3  # of an optimised picture
BEST = 9  # examples of each unit
MOVED = 300  # test pictures that are moved
DREAM = 4  # times the net's side, for small ones
SIDE = 224  # pixels: nets of this side and more dream at twice theirs

Found = tuple[dict[str, Any], dict[str, Image]]
"""What goes into the JSON, and the pictures by file name."""


def levels(net: Net, picture: Tensor) -> Tensor:
    """A picture of the net's range as levels 0 to 255."""
    return (picture - net.low) / (net.high - net.low) * 255


def centre(step: Step) -> int:
    """The place in the middle of what a step puts out."""
    return units.middle(step.shape[2:] if step.axis == 1 else step.shape[1:-1])


def weights_of(net: Net, layer: Layer) -> Tensor | None:
    """A layer's weights as pictures "N C H W"; None where they are not over pictures."""
    channels, height, width = net.test.input.shape[1:]
    named = dict(net.model.named_parameters())
    for name in sorted(net.used.get(layer.name, ())):
        weight = named[name].detach()
        if weight.dim() == 4 and weight.shape[1] in (1, 3):
            return weight
        if weight.dim() == 2 and weight.shape[1] == channels * height * width:
            return weight.view(-1, channels, height, width)
    return None


def filters(net: Net) -> Found:
    """The first layer's weights, each scaled to its own largest; of many, those with the longest weight vectors."""
    layer = net.layers[0]
    weights = weights_of(net, layer)
    if weights is None:
        net.notes.append(f"The weights of {layer.name} are not over the picture, so they are not shown as pictures.")
        return {}, {}
    order = weights.flatten(1).norm(dim=1).argsort(descending=True)[:FILTERS].sort().values
    side = max(weights.shape[2:])
    found = {"layer": layer.name, "count": len(weights), "shown": len(order), "size": list(weights.shape[1:])}
    return {"filters": {**found, "picture": "filters.png"}}, {
        "filters.png": tiles(weights[order], min(len(order), max(6, math.isqrt(len(order)))), max(1, 96 // side))
    }


def excited(net: Net, names: Sequence[str], count: int, seed: int) -> Found:
    """For some layers, or those named: the units that vary most over the test pictures, the examples that excite each
    most and the part of them that it sees, and pictures made for it; and all layers side by side."""
    layers = [layer for layer in net.layers if layer.name in names] or some(net.layers, LAYERS)
    totals = {layer.name: net.step(layer.total) for layer in layers}
    outs = [net.step(layer.out) for layer in layers]
    looked_at = list({step.name: step for step in [*totals.values(), *outs]}.values())
    found = units.peaks(net.model, net.run, net.test.input, looked_at, net.chunk)
    maps = [step.name for step in totals.values() if len(step.shape) == 4]
    fields = units.fields(net.model, net.run, net.test.input[:1], maps, net.chunk) if maps else {}
    level = float(net.train.input.mean())
    entries, pictures, summary = [], {}, []
    for layer in layers:
        step, peaks = totals[layer.name], found[layer.total]
        spread = peaks.spread
        # The last layer's units are classes; of others, those that vary most say most.
        most = max(count, 12) if layer is net.layers[-1] else count
        shown = spread.argsort(descending=True, stable=True)[:most].sort().values
        place = centre(step)
        seen = fields.get(step.name)
        box = seen.flatten(0, 1)[place].tolist() if seen is not None else None
        side = max(box[1] - box[0], box[3] - box[2]) + 1 if box else max(net.test.input.shape[2:])
        rows = shown.repeat_interleave(STARTS)
        made, values = units.excite(
            units.reader(net.model, net.run, step, rows, place), (len(rows), *net.test.input.shape[1:]), net.low,
            net.high, level, key(seed, "excite", layer.name), spread[rows], units.STEPS, side / 12, net.chunk,
        )  # fmt: skip
        made, values = made.unflatten(0, (-1, STARTS)), values.view(-1, STARTS)
        order = values.argsort(dim=1, descending=True)
        top = units.best(peaks, BEST)
        strips, lines = [], []
        for row, unit in enumerate(shown.tolist()):
            pair = [made[row, int(k)] for k in order[row, :2]]
            examples = top[unit]
            cells = _cells(net, examples, peaks.where[examples, unit], seen)
            first = [_cut(levels(net, one), box) for one in pair]
            name = net.labels[unit] if layer is net.layers[-1] and len(spread) == len(net.labels) else str(unit)
            strips.append(Strip(name, [first, cells[:1] if box else [], cells[1:]]))
            lines.append({
                "unit": unit, "spread": float(spread[unit]), "made": [float(v) for v in values[row, order[row]]],
                "best": [{"example": int(i), "value": float(peaks.value[i, unit])} for i in examples],
            })  # fmt: skip
        name = f"units-{len(entries) + 1}.png"
        heads = ["made for it", "where" if box else "", "what excites it most in the data"]
        pictures[name] = strip(strips, heads)
        still = int((found[layer.out].spread <= 1e-6 * found[layer.out].spread.max()).sum())
        entries.append({
            "layer": layer.name, "op": layer.op, "count": len(spread), "silent": still, "units": lines, "picture": name,
            "field": [box[1] - box[0] + 1, box[3] - box[2] + 1] if box else list(net.test.input.shape[2:]),
        })  # fmt: skip
        summary.append((layer.name, [one.groups[0][0] for one in strips], [one.groups[2][0] for one in strips]))
    pictures["hierarchy.png"] = columns(summary)
    together = {"layers": [one[0] for one in summary], "picture": "hierarchy.png"}
    return {"units": entries, "hierarchy": together}, pictures


def _cut(picture: Tensor, box: Sequence[int] | None) -> Cell:
    """A picture "C H W" of levels, or the part of it that a unit sees."""
    part = picture if box is None else picture[:, box[0] : box[1] + 1, box[2] : box[3] + 1]
    return Cell(Image.of(part.round()).pixels)


def _cells(net: Net, examples: Tensor, where: Tensor, seen: Tensor | None) -> list[Cell]:
    """The examples of a unit: first the strongest as a whole, with a frame where it is seen; then all, cut to that."""
    shown = levels(net, net.test.input[examples])
    if seen is None:
        return [_cut(shown[0], None), *(_cut(one, None) for one in shown)]
    boxes = seen.flatten(0, 1)[where].tolist()
    whole = Cell(Image.of(shown[0].round()).pixels, tuple(boxes[0]))
    return [whole, *(_cut(one, box) for one, box in zip(shown, boxes, strict=True))]


def tuned(net: Net) -> Found:
    """How what the first layer's units add up answers to gratings; and whether it matters to what they put out where
    the bars lie, before pooling and after it."""
    layer, shape = net.layers[0], net.test.input.shape[1:]
    names = [name for name in (layer.total, layer.out, layer.pool) if name]  # the first two may be one
    names = list(dict.fromkeys(names))
    axis = {name: net.step(name).axis for name in names}
    place = {name: centre(net.step(name)) for name in names}

    def keep(name: str, value: Tensor) -> Tensor:
        rows = value.movedim(axis[name], 1).flatten(2) if value.dim() > 2 else value[..., None]
        return rows[..., place[name]]

    def respond(pictures: Tensor) -> Tensor:
        found = responses(net.model, net.run, pictures, names, net.chunk, keep)
        return torch.cat([torch.cat(found[name]) for name in names], 1)

    field = max(shape[1:])
    if len(layer.shape) == 4:
        box = units.fields(net.model, net.run, net.test.input[:1], [layer.out], net.chunk)[layer.out]
        box = box.flatten(0, 1)[place[layer.out]]
        field = int(max(box[1] - box[0], box[3] - box[2])) + 1
    orientation, frequency = tuning.orientations(), tuning.frequencies(field)
    found = tuning.tune(respond, shape, net.low, net.high, orientation, frequency)
    count = layer.shape[layer.axis]
    narrow, mean = tuning.selectivity(found.curve, orientation)
    cycles = tuning.modulation(found.cycle)
    before, after = count * (layer.out != layer.total), count * (len(names) - 1)
    best = found.best
    lines = [
        {"unit": unit, "curve": [float(f"{v:.5g}") for v in found.curve[unit].tolist()],
         "preferred": orientation[best[1][unit]], "mean": float(mean[unit]), "selectivity": float(narrow[unit]),
         "cycles": frequency[best[0][unit]], "before": _number(cycles[before + unit]),
         "after": _number(cycles[after + unit]) if layer.pool else None}
        for unit in range(count)
    ]  # fmt: skip
    return {"tuning": {"layer": layer.name, "pool": layer.pool, "orientation": orientation, "frequency": frequency,
                       "units": lines}}, {}  # fmt: skip


def _number(value: Tensor) -> float | None:
    return float(value) if math.isfinite(float(value)) else None


def moved(net: Net) -> Found:
    """How much of what tells test pictures apart is left in each layer when they are moved, by pixels of the shift; the
    mean over four directions."""
    steps = {INPUT: ""}
    pooled = [one for one in net.layers if one.pool][:2]
    for layer in pooled:
        steps |= {layer.name: layer.out, f"{layer.name}, pooled": layer.pool}
    if not pooled:
        steps |= {layer.name: layer.out for layer in some(net.layers[:-1], 4)}
    last = net.last or net.layers[-1]
    steps.setdefault(last.name, last.out)
    names = [name for name in dict.fromkeys(steps.values()) if name]
    pictures = net.test.input[:MOVED]
    pixels = list(range(max(2, min(6, min(pictures.shape[2:]) // 4)) + 1))

    def seen(shown: Tensor) -> dict[str, Tensor]:
        return {"": shown.flatten(1), **flat(net.model, net.run, shown, names, net.chunk)}

    here = seen(pictures)
    lines: dict[str, list[float]] = {name: [1.0] for name in steps}
    for far in pixels[1:]:
        each: dict[str, list[float]] = {name: [] for name in steps}
        for down, right in ((far, 0), (-far, 0), (0, far), (0, -far)):
            there = seen(tuning.shifted(pictures, down, right))
            for name, step in steps.items():
                each[name].append(tuning.kept(here[step], there[step], here[step].roll(1, 0)))
        for name, values in each.items():
            lines[name].append(sum(values) / len(values))
    return {"shifts": {"pixels": pixels, "over": len(pictures), "lines": lines}}, {}


def dreamt(net: Net, image: Image, layer: Layer, seed: int) -> Found:
    """The user's picture with more of what a layer finds in it."""
    channels, height, width = net.test.input.shape[1:]
    short = (DREAM if max(height, width) < SIDE else 2) * min(height, width)
    scale = short / min(image.height, image.width)
    size = max(height, round(image.height * scale)), max(width, round(image.width * scale))
    pixels = image.resized(*size)
    raw = torch.from_numpy((pixels.grey()[None] if channels == 1 else _colours(pixels)).copy()).float()
    picture = (raw / 255 * (net.high - net.low) + net.low)[None]

    def gain(parts: Tensor) -> Tensor:
        values = []
        for part in parts.split(net.chunk):
            with Watch(net.model, (layer.total,)) as seen:
                net.run(part)
            values.append(seen.found[layer.total].clamp(min=0).flatten(1).square().mean(1))
        return torch.cat(values)

    made = units.dream(gain, picture, (height, width), net.low, net.high, key(seed, "dream"))
    with torch.no_grad():
        before, after = (float(gain(one[:, :, :height, :width]).mean()) for one in (picture, made))
    shown = {"dream-before.png": Image.of(levels(net, picture[0]).round()),
             "dream.png": Image.of(levels(net, made[0]).round())}  # fmt: skip
    return {"dream": {"layer": layer.name, "picture": "dream.png", "before": "dream-before.png", "size": list(size),
                      "gain": [before, after]}}, shown  # fmt: skip


def _colours(image: Image) -> Any:
    """Pixels "3 H W"."""
    pixels = image.pixels if image.pixels.ndim == 3 else image.pixels[..., None].repeat(3, 2)
    return pixels[..., :3].transpose(2, 0, 1)


def confused(net: Net, mistakes: list[dict[str, Any]], name: str) -> dict[str, Image]:
    """The mistakes, each beside the training pictures that the last hidden layer finds most alike."""
    if not mistakes:
        return {}
    test, train = levels(net, net.test.input), levels(net, net.train.input)
    rows = [
        Strip(f"{one['true']} as {one['said']}", [
            [_cut(test[one["example"]], None)],
            [Cell(Image.of(train[near["example"]].round()).pixels, caption=near["class"]) for near in one["near"]],
        ])
        for one in mistakes
    ]  # fmt: skip
    return {name: strip(rows, ["test", "nearest in training, and what they are"])}
