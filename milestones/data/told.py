"""Groups of pictures of numbers, of which only is told what a logic program says of all of a group together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place, keyed
from ..parts.logic import Circuit, Program
from . import Labelled
from .pictures import pictures


class Told(NamedTuple):
    """Groups of pictures, and the answer of the program."""

    image: Tensor  # B P C H W uint8
    digit: Tensor  # B P int64: the class of each picture; for scores alone, no training reads it
    answer: Tensor  # B int64: which of the program's answers is told of the group


Change = Callable[[Tensor, torch.Generator], Tensor]
"""Distorts pictures "N C H W"."""


def told(place: Place, program: Program, most: int = 0, change: Change | None = None) -> Data[Told]:
    """Training pictures in groups, each in one, at most `most` groups if that is not 0; `change` distorts them.

    Of validation and test pictures each is the first of one group, and the next ones follow, so that each is asked once
    what it shows; every so many groups share none. Facts beside those of the pictures: values (what each class stands
    for), answers (all that the program can say), pictures (of a group). UserError: classes that are no whole numbers,
    a split with fewer pictures than a group has.
    """
    data = pictures(place, default="digits", side=28)
    values, count = [whole(label) for label in data.facts["labels"]], len(program.order)
    try:
        answers = Circuit(program, values).answers
    except ValueError as problem:
        do = "Take a program that reads fewer pictures, or leave classes out"
        raise UserError(f"a program of few states for {len(values)} classes", str(problem), do, "logic") from None
    number = {answer: k for k, answer in enumerate(answers)}
    labelled = [cast("Held[Labelled]", source) for source in data[:3]]
    for source in labelled:
        if len(source) < count:
            got = f"{len(source)} of {source.split} in {source.name}"
            raise UserError(f"{count} pictures or more in each split, for one group", got, "Add pictures", "logic")

    def group(source: Held[Labelled], rows: Tensor) -> Told:
        digit = source.examples.label[rows]
        said = [number[program([values[k] for k in row])] for row in digit.tolist()]
        return Told(source.examples.image[rows], digit, torch.tensor(said, device=digit.device))

    train = labelled[0]
    groups = min(len(train) // count, most or len(train))
    order = torch.randperm(len(train), generator=keyed(place.seed, "groups"))
    parts = [group(train, order[: groups * count].view(groups, count))]
    for source in labelled[1:]:
        order = torch.randperm(len(source), generator=keyed("groups", source.split))
        parts.append(group(source, torch.stack([order.roll(-k) for k in range(count)], 1)))

    def changed(batch: Told, rng: torch.Generator) -> Told:
        assert change is not None, "only then it is asked for"
        image = change(batch.image.flatten(0, 1), rng)
        return batch._replace(image=image.unflatten(0, batch.image.shape[:2]))

    base = [re.split(r", | \(", source.name)[0] for source in labelled]
    held = [Held(part, place, f"{name}, {groups:,} groups of {count} told", source.split)
            for part, name, source in zip(parts, base, labelled, strict=True)]  # fmt: skip
    held[0].augment = changed if change else None
    about = data.facts["data"]
    note = f"{program.says} is told of groups of {count} pictures, not what each shows; {about['note']}"
    facts: Facts = {
        **{name: value for name, value in data.facts.items() if name != "counts"},  # nobody tells how often each occurs
        "values": values, "answers": [str(answer) for answer in answers], "pictures": count,
        "data": {**about, "name": f"{about['name']} in groups of {count}", "train": groups, "note": note},
    }  # fmt: skip
    return Data(held[0], held[1], held[2], facts)


def whole(label: str) -> int:
    """The number that a class stands for. UserError: none."""
    if not re.fullmatch(r"-?[0-9]{1,6}", label):
        do = "Name each folder, or write as each label, the number that its pictures show"
        raise UserError("classes that are whole numbers of up to six digits", repr(label[:40]), do, "logic")
    return int(label)
