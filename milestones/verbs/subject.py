"""What attack and look work on: a trained run, some examples, and the page's probe of them."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..core.source import Place
    from ..core.system import Probe
    from ..trained import Trained


class Subject(NamedTuple):
    """A net under study. Its weights ask for no gradient, it is in evaluation mode and in float32."""

    trained: Trained
    batch: Any  # the examples as the page's loss takes them
    probe: Probe  # of these examples
    labels: tuple[str, ...]
    names: tuple[str, ...]  # what each example is called
    data: str  # what they were drawn from
    known: bool  # whether the targets are true classes; otherwise they are what the net says


def add_run(parser: argparse.ArgumentParser) -> None:
    """The words that name a run and where it lies."""
    named = "a run folder, a name as lenet-3, a page, shipped:PAGE, or published weights"
    parser.add_argument("run", metavar="RUN", help=named)
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def subject(args: argparse.Namespace, inputs: Sequence[str], most: int, split: str = "test") -> Subject:
    """The run that `args` names with the user's `inputs`, or with the first `most` examples of its own `split`.

    UserError: no such run, a page without a probe, an input of another kind, or one that has no gradient.
    """
    from ..catalog import load

    return of(load(args.run, args.runs, args.page), inputs, most, split)


def of(trained: Trained, inputs: Sequence[str], most: int, split: str = "test", first: int = 0) -> Subject:
    """The subject of an opened run, as `subject` has it; with `first`, its example of that number alone."""
    probed(trained)
    if inputs:
        batch, names = read_inputs(trained, inputs)
        return about(trained, batch, names, "your own", known=False)
    source = getattr(prepared(trained), split)
    batch, names = taken(trained, source, split, most, first)
    return about(trained, batch, names, source.name, known=True)


def probed(trained: Trained) -> None:
    """UserError: the run's page has no probe."""
    from ..core.errors import UserError

    if trained.system.probe is None:
        got = f"the page {trained.entry.name}, which has no probe"
        raise UserError("a run whose scores can be differentiated by its input", got, "Take another run",
                        trained.entry.name)  # fmt: skip


def place_of(trained: Trained) -> Place:
    """Where the run was trained, with its seed and its data."""
    import torch

    from ..core.source import Place
    from ..trained import order_of

    seed, choice = order_of(trained.config, trained.folder)
    return Place(torch.device("cpu"), seed, choice=choice)


def learned_in(trained: Trained) -> Any:
    """What the run learned from or in, as its page prepares it: data, a world, or games against itself."""
    return trained.system.prepare(trained.knobs, place_of(trained))


def prepared(trained: Trained) -> Any:
    """The data that a run learned from; of one that plays, what it meets when it does, or positions of its game."""
    from .world import is_world

    if trained.facts.get("kind") == "game":
        from ..worlds.games.analysis import strewn

        return strewn(trained.facts, place_of(trained))
    data = learned_in(trained)
    if not is_world(data):
        return data
    from ..worlds.played import met

    act: Any = trained.model.act
    return met(data, act, place_of(trained))


def taken(trained: Trained, source: Any, split: str, most: int, first: int = 0) -> tuple[Any, list[str]]:
    """The first `most` examples of a source, or the one of number `first`, and what they are called. UserError: there
    are not so many."""
    from ..core.errors import UserError

    if first > len(source):
        want, who = f"one of the {len(source):,} examples of {source.name}", trained.entry.name
        raise UserError(want, f"example {first:,}", "They are numbered from 1", who)
    size = 1 if first else max(1, min(most, len(source)))
    batch = next(itertools.islice(source.sweep(size), max(0, first - 1), None))
    return batch, [f"{split} {(first or 1) + i}" for i in range(len(batch[0]))]


def about(trained: Trained, batch: Any, names: Sequence[str], data: str, known: bool) -> Subject:
    """The subject of examples as the page's loss takes them; `known`: whether they have their classes. UserError: as
    `subject`, but for the input's kind."""
    from ..core.errors import UserError

    system, name = trained.system, trained.entry.name
    assert system.probe is not None, "checked by `probed`"
    trained.model.eval().requires_grad_(False)
    probe = system.probe(trained.model, batch)
    labels = tuple(map(str, trained.facts.get("labels") or ()))
    scores = differentiated(probe, name)
    if scores.dim() != 2 or scores.shape[1] < 2 or probe.target.is_floating_point():
        got = "a number" if probe.target.is_floating_point() else f"scores of shape {tuple(scores.shape)}"
        raise UserError("a run that chooses among classes", got, "Take a run with classes", name)
    if not known:
        probe = probe._replace(target=scores.argmax(-1))
    labels = labels or tuple(map(str, range(scores.shape[1])))
    return Subject(trained, batch, probe, labels, tuple(names), data, known)


def read_inputs(trained: Trained, inputs: Sequence[str]) -> tuple[Any, list[str]]:
    """The user's files or words as the page's loss takes them, and what each is called."""
    from ..core.errors import UserError

    system, name = trained.system, trained.entry.name
    if system.read is None:
        raise UserError("a run that reads files", f"the page {name}, which reads none", "Leave the file out", name)
    items, names = media_of(trained, inputs)
    return system.read(trained.facts, items), names


def media_of(trained: Trained, inputs: Sequence[str]) -> tuple[list[Any], list[str]]:
    """The user's files or words as media that the page takes, and what each is called. UserError: of another kind."""
    from pathlib import Path

    from ..core.errors import UserError
    from ..media import read

    takes = trained.system.takes
    items, names = [], []
    for word in inputs:
        found = piped(takes, trained.entry.name) if word == "-" else read(word, takes)
        for number, item in enumerate(found):
            if not isinstance(item, takes):
                want = " or ".join(kind.__name__.lower() for kind in takes) or "no input"
                got = f"{type(item).__name__.lower()} in {Path(word).name}"
                raise UserError(want, got, "Pass a file of that kind", trained.entry.name)
            items.append(item)
            names.append(word if len(found) == 1 else f"{word}:{number + 1}")
    return items, names


def piped(takes: tuple[type, ...], who: str) -> list[Any]:
    """What comes on standard input: a sound in WAV, or one text a line. UserError: a terminal, or of another kind."""
    import sys

    from ..core.errors import UserError
    from ..media import Audio, Text
    from ..media.utf8 import utf8

    if sys.stdin.isatty() or not {Audio, Text} & set(takes):
        raise UserError("a file to answer for", "none", "Name one or several files", who)
    content = sys.stdin.buffer.read()
    if content[:4] == b"RIFF":
        return [Audio.decoded(content, "standard input")]
    lines = [line.strip() for line in utf8(content, "text", "standard input", who).splitlines()]
    if not any(lines):
        raise UserError("a text or a sound on standard input", "nothing", "Pipe one text a line, or a WAV file", who)
    return [Text(line) for line in lines if line]


def differentiated(probe: Probe, who: str) -> Any:
    """The scores "B K" of the probe's input. UserError: they have no gradient by it, or it is no finite number."""
    import torch

    from ..core.errors import UserError

    x = probe.input.detach().clone()
    if not x.is_floating_point():
        raise UserError("an input of real numbers", f"one of {x.dtype}", "Take another run", who)
    with torch.enable_grad():
        scores = probe.scores(x.requires_grad_().clone())  # a net may change its input in place
        slope = torch.autograd.grad(scores.sum(), x, allow_unused=True)[0] if scores.requires_grad else None
    if slope is None:
        raise UserError("scores that can be differentiated by the input", "scores without a gradient",
                        "The page's probe must not detach or round its input", who)  # fmt: skip
    if not torch.isfinite(slope).all() or not torch.isfinite(scores).all():
        raise UserError("finite scores and gradients", "values that are no numbers (NaN or infinite)",
                        "Train the run again; 'milestones doctor RUN' may say why", who)  # fmt: skip
    return scores.detach()
