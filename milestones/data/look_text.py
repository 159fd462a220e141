"""What training on a text would read, and what is wrong with it."""

from __future__ import annotations

import itertools

from ..core.errors import UserError
from .look import Findings, _place
from .splits import SPLITS
from .text import chosen, text

SHORT = 60  # letters of an example


def text_found(path: str, reason: str, split: str) -> Findings:
    """The findings on a text, read as characters: windows of 64 by split, its first lines, what it is made of."""
    try:
        data = text(_place(path, "", split), length=64)
        lines = itertools.chain.from_iterable(block.splitlines() for block in chosen(path)[1]())
        examples = tuple(line[:SHORT] for line in itertools.islice(filter(str.strip, lines), 3))
    except UserError as problem:
        return Findings(path, "text", reason, problems=(str(problem),))
    counts = {name: {"windows": len(part)} for name, part in zip(SPLITS, data[:3], strict=True)}
    characters = data.facts["characters"]
    notes = (*data.facts["data"]["note"].split("; "), f"characters: {characters[:100]!r}")
    return Findings(path, "text", reason, counts, examples, notes=notes)
