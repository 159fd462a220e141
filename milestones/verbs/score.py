"""score RUN: measure a run again, on its test data or on yours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .words import answer, say
from .world import add_world, admit, shut, unchosen


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, a name as lenet-3, a page, or shipped:PAGE")
    parser.add_argument("--data", default="", help="measure on the test part of this data instead")
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")
    add_world(parser)


def run(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    import torch

    from ..catalog import load
    from ..core.errors import UserError
    from ..core.source import Place, key
    from ..trained import order_of

    admit(args.world)
    trained = load(args.run, args.runs, args.page)
    seed, choice = order_of(trained.config, trained.folder)
    if args.data:
        choice = choice._replace(data=args.data)
    place = Place(torch.device("cpu"), seed, choice=choice)
    data = trained.system.prepare(trained.knobs, place)
    unchosen(data, choice, trained.entry.name)
    for name in ("labels", "columns"):
        if data.facts.get(name) != trained.facts.get(name):
            got = f"other {name}: {str(data.facts.get(name))[:80]}"
            raise UserError(
                f"the {name} that {trained.folder.name} was trained on",
                got,
                "Pass data of the same kind",
                trained.entry.name,
            )
    torch.manual_seed(key(place.seed, "score", -1, 0))
    with torch.no_grad():
        scores = trained.system.score(trained.knobs, trained.model, data, place)
    shut(data)
    if data.facts.get("data", {}).get("note"):
        say(f"note: {data.facts['data']['note']}")
    content = {"run": str(trained.folder), "scores": {name: asdict(score) for name, score in scores.items()}}
    answer(args, content, "\n".join(f"{name}: {score}" for name, score in scores.items()))
    return 0
