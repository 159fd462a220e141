"""look RUN without an input: what the layers of a run learned, as pictures, figures and a page."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .words import answer, say

if TYPE_CHECKING:
    from .interior import Net

UNITS = 8  # of each layer that are shown


def options(parser: argparse.ArgumentParser) -> None:
    """The settings of looking inside."""
    group = parser.add_argument_group("what the layers learned, without INPUT")
    group.add_argument("--layer", default="", metavar="NAME", help="one layer: its units, its map, the dream it has")
    group.add_argument("--units", type=int, default=UNITS, metavar="N", help=f"so many units of each layer [{UNITS}]")
    group.add_argument("--map", default="pca", choices=("pca", "tsne"), help="how layers are drawn as points [pca]")
    group.add_argument("--concept", default="", metavar="FOLDER", help="examples of a concept: which classes use it?")
    group.add_argument("--dream", default="", metavar="PICTURE", help="a picture, to be filled with what a layer sees")


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from ..catalog import load
    from ..core.errors import UserError
    from ..core.folder import next_folder, write_json, write_whole
    from ..report.insides import html_of
    from .interior import opened

    if args.units < 1:
        raise UserError("one unit or more", f"--units {args.units}", f"Leave it out for {UNITS}", "look")
    begin = time.perf_counter()
    trained = load(args.run, args.runs, args.page)
    found, pictures = looked(opened(trained), args)
    found["seconds"], found["command"] = round(time.perf_counter() - begin, 2), command(args)
    folder = next_folder(Path(args.runs), f"{found['system']}-look")
    shown = {name: image.encode()[1] for name, image in pictures.items()}
    for name, content in shown.items():
        write_whole(folder / name, content)
    write_json(folder / "look.json", found)
    write_whole(folder / "report.html", html_of(json.loads(json.dumps(found)), shown).encode())
    answer(args, {"look": str(folder), **found}, "\n".join([*lines(found), f"report: {folder / 'report.html'}"]))
    return 0


def looked(net: Net, args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that is found, as JSON, and the pictures by file name. UserError: a wish that this run cannot fulfil."""
    from ..catalog import load
    from ..core.errors import UserError
    from ..media import Image
    from . import exhibits, interior

    if len(args.beside) > 1:
        got = f"{len(args.beside)}: {', '.join(args.beside)}"
        raise UserError("one run to compare the layers with", got, "Name one, or add --landscape", net.name)
    focus = interior.layer_of(net, args.layer) if args.layer else None
    if args.dream and not net.pictured:
        raise UserError("--dream for a run that sees pictures", f"inputs of {inputs(net)}", "Leave it out", net.name)
    image = Image.open(args.dream) if args.dream else None
    shown = interior.examples_of(net, args.concept) if args.concept else None
    other = interior.companion(net, load(args.beside[0], args.runs, args.page)) if args.beside else None
    layers = interior.some(net.layers, interior.MOST_LAYERS)
    layers += [focus] if focus is not None and focus not in layers else []
    if len(layers) < len(net.layers):
        net.notes.append(f"Read and compared: {len(layers)} of {len(net.layers)} layers, evenly out of all.")
    old, new = (interior.features(net, part.input, layers) for part in (net.train, net.test))
    found: dict[str, Any] = {
        "system": net.name, "run": net.trained.folder.name, "data": net.data, "over": len(net.test.input),
        "trained_on": len(net.train.input), "labels": list(net.labels), "classes": net.test.target.tolist(),
        "layers": [layer.name for layer in net.layers], **interior.counted(net),
    }  # fmt: skip
    place = focus or net.last or net.layers[-1]
    found["maps"] = interior.laid_out(net, new, args.map, place.name, args.seed)
    if len(net.test.input) >= interior.FEWEST_ALIKE:
        found["alike"] = interior.alike(new)
    else:
        net.notes.append(f"Likeness of layers is left out: there are but {len(net.test.input)} test examples.")
    if other is not None:
        found["beside"] = interior.beside(net, new, other)
    if shown is not None:
        found["concept"] = interior.concept(net, args.concept, shown, [focus] if focus else layers, args.seed)
    found["probes"] = interior.read_out(net, old, new)
    wrong = interior.mistaken(net, old, new)
    found |= {"confusion": wrong["confusion"], "mistakes": wrong["mistakes"], "near": wrong["by"],
              "accuracy": wrong["accuracy"]}  # fmt: skip
    pictures: dict[str, Any] = {}
    if net.pictured:
        say("looking for what excites each unit")
        parts = [exhibits.filters(net), exhibits.excited(net, [focus.name] if focus else [], args.units, args.seed),
                 exhibits.tuned(net), exhibits.moved(net)]  # fmt: skip
        if image is not None:
            parts.append(exhibits.dreamt(net, image, dreams(net) if focus is None else focus, args.seed))
        for more, drawn in parts:
            found, pictures = found | more, pictures | drawn
        pictures |= exhibits.confused(net, wrong["mistakes"], "mistakes.png")
    else:
        net.notes.append(f"Its inputs are {inputs(net)}, no pictures: filters, what excites units, orientation, shift "
                         "and the dream are left out.")  # fmt: skip
    found["notes"] = net.notes
    return found, pictures


def inputs(net: Net) -> str:
    """What an example is, in words."""
    shape = net.test.input.shape[1:]
    return f"rows of {shape[0]} numbers" if len(shape) == 1 else " x ".join(map(str, shape)) + " numbers"


def dreams(net: Net) -> Any:
    """The layer that dreams if none is named: the last one of maps, else the last hidden one."""
    maps = [layer for layer in net.layers if len(layer.shape) == 4]
    return maps[-1] if maps else net.last or net.layers[-1]


def command(args: argparse.Namespace) -> str:
    """The words that look again."""
    parts = ["milestones", "look", args.run]
    named = {"page": "", "runs": "runs", "seed": 0, "layer": "", "units": UNITS, "map": "pca", "beside": [],
             "concept": "", "dream": ""}  # fmt: skip
    for name, usual in named.items():
        if (value := getattr(args, name)) != usual:
            parts += [f"--{name}", ",".join(value) if isinstance(value, list) else str(value)]
    return shlex.join(parts)


def lines(found: Mapping[str, Any]) -> list[str]:
    """What was found, for a terminal."""
    wide = max(len(one["name"]) for one in found["census"])
    said = [f"{found['system']}: {len(found['layers'])} layers, {found['parameters']:,} parameters, "
            f"{found['multiply_adds']:,} multiply-adds for one example"]  # fmt: skip
    for one in found["census"]:
        shape = " x ".join(map(str, one["shape"]))
        said.append(f"  {one['name']:{wide}}  {shape:14} {one['parameters']:>12,} {one['multiply_adds']:>14,}")
    said.append("right answers of a linear reader of each layer: "
                + ", ".join(f"{one['layer']} {one['accuracy']:.1f} %" for one in found["probes"]))  # fmt: skip
    if "tuning" in found:
        chosen = sorted(one["selectivity"] for one in found["tuning"]["units"])
        said.append(f"orientation selectivity of {found['tuning']['layer']}: median {chosen[len(chosen) // 2]:.2f} of "
                    f"{len(chosen)} units")  # fmt: skip
    if "beside" in found:
        said.append(f"CKA with {found['beside']['run']}: last layers {found['beside']['values'][-1][-1]:.2f}")
    if "concept" in found:
        sure = [f"{one['class']} at {one['layer']} ({one['share']:.0f} %)" for one in found["concept"]["rows"]
                if one["significant"]]  # fmt: skip
        said.append("concept: " + (", ".join(sure[:8]) if sure else "no class differs from chance significantly"))
    return [*said, *found["notes"]]
