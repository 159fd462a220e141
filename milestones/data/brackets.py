"""Strings of brackets of two kinds, and what each beginning of them is: balanced, still open, or broken for good."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place, keyed
from ..parts.stack import BALANCED, BROKEN, OPENED

LABELS = ["balanced", "open", "broken"]
HELD = 2000  # strings to validate on, and to test on


class Strings(NamedTuple):
    """Strings of one length: 0 and 1 open, 2 and 3 close; and after each bracket what the string so far is."""

    token: Tensor  # B T int64
    verdict: Tensor  # B T int64


def verdict(token: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """What each beginning of each string is, by a stack of brackets."""
    count, length = token.shape
    depth = torch.zeros(count, 1, dtype=torch.long)
    stack = torch.full((count, length + 1), -1)  # below the first place there is nothing
    broken = torch.zeros(count, 1, dtype=torch.bool)
    found = []
    for symbol in token.split(1, 1):
        opens, top = symbol < 2, stack.gather(1, depth)
        broken = broken | (~opens & (top != symbol - 2))
        depth = torch.where(broken, depth, torch.where(opens, depth + 1, depth - 1))
        stack.scatter_(1, depth, torch.where(opens & ~broken, symbol, stack.gather(1, depth)))
        found.append(torch.where(broken, BROKEN, torch.where(depth == 0, BALANCED, OPENED)))
    return torch.cat(found, 1)


def balanced(count: int, pairs: int, rng: torch.Generator, deepest: int = 1000) -> Int[Tensor, "B T"]:
    """Balanced strings of so many pairs, flat ones and deep ones, at most `deepest` brackets deep."""
    lean = 0.3 + 0.6 * torch.rand(count, 1, generator=rng)  # how often a string opens where it may do both
    depth = torch.zeros(count, 1, dtype=torch.long)
    stack = torch.zeros(count, pairs + 1, dtype=torch.long)
    found = []
    for left in range(2 * pairs, 0, -1):
        may_open, may_close = (depth + 1 < left) & (depth < deepest), depth > 0
        opens = may_open & (~may_close | (torch.rand(count, 1, generator=rng) < lean))
        kind = torch.randint(0, 2, (count, 1), generator=rng)
        found.append(torch.where(opens, kind, 2 + stack.gather(1, depth)))
        depth = torch.where(opens, depth + 1, depth - 1)
        stack.scatter_(1, depth, torch.where(opens, kind, stack.gather(1, depth)))
    return torch.cat(found, 1)


def strings(count: int, pairs: int, rng: torch.Generator, deepest: int = 1000) -> Strings:
    """Half of them balanced. In the others one bracket is another one: in half of these a closing one of the other
    kind, which no count of brackets tells."""
    token = balanced(count, pairs, rng, deepest)
    at = torch.randint(0, 2 * pairs, (count, 1), generator=rng)
    other = (token.gather(1, at) + torch.randint(1, 4, (count, 1), generator=rng)) % 4
    chance = torch.rand(count, 2 * pairs, generator=rng) * (token >= 2)
    closing = chance.argmax(1, keepdim=True)
    kind = torch.rand(count, 1, generator=rng)
    at, other = torch.where(kind < 0.25, closing, at), torch.where(kind < 0.25, 5 - token.gather(1, closing), other)
    token = torch.where(kind < 0.5, token.scatter(1, at, other), token)
    return Strings(token, verdict(token))


def brackets(place: Place, pairs: int, examples: int) -> Data[Strings]:
    """So many different strings to learn from at most, and others to validate and test on. UserError: --data."""
    if place.choice.data:
        raise UserError("no --data: stack makes its own brackets", repr(place.choice.data), "Leave it out", "stack")
    rng = keyed(place.seed, "brackets")
    drawn = strings(2 * (examples + 2 * HELD), pairs, rng).token
    code = (drawn * 4 ** torch.arange(2 * pairs)).sum(1)
    code = code.unique()
    code = code[torch.randperm(len(code), generator=rng)]
    token = code[:, None] // 4 ** torch.arange(2 * pairs) % 4
    held = min(HELD, len(code) // 10)
    parts = token[:held], token[held : 2 * held], token[2 * held : 2 * held + examples]
    name = f"strings of {2 * pairs} brackets (made for this run)"
    test, valid, train = (Held(Strings(part, verdict(part)), place, name, split)
                          for part, split in zip(parts, ("test", "valid", "train"), strict=True))  # fmt: skip
    counts = {"train": len(train), "valid": len(valid), "test": len(test)}
    note = "no string is in two of these"
    facts: Facts = {"kind": "text", "labels": LABELS, "data": {"name": name, **counts, "note": note}}
    return Data(train, valid, test, facts)
