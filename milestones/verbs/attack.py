"""attack RUN: how small a change of the input misleads a run. attack RUN INPUT: of your own input. --certify: what no
change can mislead."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from .subject import add_run, subject
from .words import answer, say, several

METHODS = ("fgsm", "pgd", "deepfool", "carlini", "square", "autoattack", "universal", "patch")
USUAL = ("fgsm", "pgd", "deepfool", "carlini", "autoattack")
EXAMPLES = 200


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run(parser)
    parser.add_argument("inputs", metavar="INPUT", nargs="*", help="files of your own; none: the run's test data")
    group = parser.add_argument_group("the attacks")
    group.add_argument("--norm", type=several(str, ("inf", "2")), default=["inf", "2"], metavar="NORM,...",
                       help="how a change is measured: by its largest entry, or by its length [inf,2]")  # fmt: skip
    group.add_argument("--eps", type=several(float), default=[], metavar="SIZE,...",
                       help="sizes in parts of the legal range; of a table, in its spreads [a curve]")  # fmt: skip
    group.add_argument("--method", type=several(str, METHODS), default=list(USUAL), metavar="METHOD,...",
                       help=f"of {', '.join(METHODS)} [{','.join(USUAL)}]")  # fmt: skip
    group.add_argument("--examples", type=int, default=0, help=f"of the test data [{EXAMPLES}, or what fits a minute]")
    group.add_argument("--certify", action="store_true", help="prove what no change misleads: intervals, smoothing")
    group.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random [0]")


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ..core.errors import UserError
    from ..core.folder import next_folder, write_json, write_whole
    from ..report.attacked import html_of
    from .misled import study

    if args.examples < 0:
        raise UserError("one example or more", f"--examples {args.examples}", f"Leave it out for {EXAMPLES}", args.run)
    whole = subject(args, args.inputs, args.examples or EXAMPLES)
    found, pictures = study(whole, args, say)
    name = whole.trained.entry.name
    folder = next_folder(Path(args.runs), f"{name}-attack")
    (folder / "pictures").mkdir()
    for file, content in pictures.items():
        write_whole(folder / "pictures" / file, content)
    write_json(folder / "attack.json", found)
    write_whole(folder / "report.html", html_of(found, pictures).encode())
    text = "\n".join([*lines(found, f"{folder / 'pictures'}"), f"report: {folder / 'report.html'}"])
    answer(args, {"study": str(folder), **found}, text)
    return 0


def lines(found: Mapping[str, Any], where: str) -> list[str]:
    """What a study found, for a terminal."""
    text = [f"{found['run']}: {found['examples']} examples of {found['data']}, {found['clean']:.1f} % right"]
    for norm, one in found["norms"].items():
        text += [f"norm {norm}, sizes {found['unit']}: % still right"]
        names = [name for name in one["accuracy"] if any(v is not None for v in one["accuracy"][name])]
        text += ["  " + "size".ljust(9) + "".join(name.rjust(12) for name in names)]
        for k, size in enumerate(one["sizes"]):
            cells = (one["accuracy"][name][k] for name in names)
            text += ["  " + f"{size:<9.4g}" + "".join(("-" if v is None else f"{v:.1f}").rjust(12) for v in cells)]
        for name, median in one["median"].items():
            text += [f"  {name}: half are misled at {median:.3g} or less" if median is not None else
                     f"  {name}: fewer than half are misled"]  # fmt: skip
    for one in found["shown"][:8]:
        before, after = one["before"], one["after"]
        was, now = (f"{each['label']} {100 * each['chance']:.1f} %" for each in (before, after))
        file = f"; difference x {one['magnified']:.0f}: {where}/{one['files'][1]}" if one["files"] else ""
        text += [f"{one['name']}: {was} -> {now} ({one['method']}, norm {one['norm']}, {one['distance']:.3g}){file}"]
    text += [one["words"] for one in found["more"]]
    text += [f"certified: {line}" for line in found["certified"].get("words", [])]
    return [*text, *(f"beware: {flag}" for flag in found["flags"]), found["verdict"]]
