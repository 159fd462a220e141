"""What training on texts of classes would read, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..parts.grams import words_of
from .listing import ordered
from .look import Findings
from .splits import SPLITS
from .texts import checked, labelled, parted

SHORT = 60  # letters of an example


def texts_found(path: Path, reason: str, target: str, split: str) -> Findings:
    """The findings on texts of classes: counts by split and class, examples, what is left out, what stands twice."""
    try:
        found = labelled(path, target)
        checked(found, str(path))
        labels = ordered(found.labels)
        label = np.array([labels.index(one) for one in found.labels])
        part = parted(found, label, split, path)
    except UserError as problem:
        return Findings(str(path), "texts", reason, problems=(str(problem),))
    counts = {}
    for k, name in enumerate(SPLITS):
        here = np.bincount(label[part == k], minlength=len(labels))
        counts[name] = {one: int(count) for one, count in zip(labels, here, strict=True) if count}
    learned = {text for text, where in zip(found.texts, part, strict=True) if where == 0}
    twins = sum(text in learned for text, where in zip(found.texts, part, strict=True) if where)
    classes: dict[str, set[str]] = {}
    for text, one in zip(found.texts, found.labels, strict=True):
        classes.setdefault(text, set()).add(one)
    duplicates = {
        "texts equal to an earlier one": len(found.texts) - len(classes),
        "texts that stand with several classes": sum(len(those) > 1 for those in classes.values()),
        "held-out texts that are also in training": twins,
    }
    words = [len(words_of(text)) for text in found.texts]
    how = "its own" if any(found.splits) else "content within each class"
    notes = (f"{sum(words) / len(words):.1f} words a text, at most {max(words):,}", f"split by {how}", *found.notes)
    examples = tuple(
        f"{text[:SHORT]!r} is {one!r}" for text, one in list(zip(found.texts, found.labels, strict=True))[:3]
    )
    return Findings(str(path), "texts", reason, counts, examples, duplicates=duplicates, notes=notes)
