"""What training on sentence pairs would read, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import UserError
from .look import Findings
from .pairing import PAIRS
from .pairs import divided, known
from .parallel import corpus
from .splits import SPLITS

SHORT = 60  # letters of an example


def pairs_found(path: str, reason: str, target: str, split: str) -> Findings:
    """The findings on a set of pairs: counts by split and language, examples, what is left out, what stands twice."""
    try:
        found = known(path, target) if path in PAIRS and not Path(path).exists() else corpus(path, target)
        parts, how = divided(found, split, path)
    except UserError as problem:
        return Findings(path, "pairs", reason, problems=(str(problem),))
    counts: dict[str, dict[str, int]] = {}
    for name, part in zip(SPLITS, parts, strict=True):
        for pair in part:
            language = pair.language or "pairs"
            counts.setdefault(name, {})[language] = counts.get(name, {}).get(language, 0) + 1
    learned = {pair.source for pair in parts[0]}
    twins = sum(pair.source in learned for part in parts[1:] for pair in part)
    twice = len(found.pairs) - len({(pair.source, pair.target, pair.language) for pair in found.pairs})
    words = [len(pair.source.split()) for pair in found.pairs]
    length = f"{sum(words) / len(words):.1f} words a source, at most {max(words):,}"
    notes = (f"split by {how.removeprefix('by ')}", length, *found.notes)
    examples = tuple(f"{pair.source[:SHORT]!r} is {pair.target[:SHORT]!r}" for pair in found.pairs[:3])
    duplicates = {"pairs equal to another": twice, "held-out sources that are also in training": twins}
    return Findings(path, "pairs", reason, counts, examples, duplicates=duplicates, notes=notes)
