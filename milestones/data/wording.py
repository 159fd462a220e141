"""Of a table or a folder: whether it holds texts with their classes, told from names and first rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..media.sheet import LABEL_COLUMNS, LOOKED_AT, SPLIT_COLUMNS, head, texts_in, words_a_cell

CLASS_COLUMNS = (
    *LABEL_COLUMNS, "labels", "classes", "sentiment", "topic", "intent", "language", "lang", "genre", "section", "tag",
    "emotion", "polarity", "rating", "stars", "spam", "y",
)  # fmt: skip
NUMBERS = ("", "id", "index", "unnamed: 0", "row")  # columns that number the rows
BESIDE = 4  # columns more than text and class in a table of texts; of more, other pages learn


def classes_in(columns: Mapping[str, Sequence[Any]], text: str) -> str:
    """The column that holds the classes of texts: one that is called so, else the one that is left beside `text`, a
    split and a number of the row; "" where that is unclear."""
    rest = {name.strip().lower(): name for name in columns if name != text}
    if named := next((rest[word] for word in CLASS_COLUMNS if word in rest), ""):
        return named
    left = [name for word, name in rest.items() if word not in (*SPLIT_COLUMNS, *NUMBERS)]
    return left[0] if len(left) == 1 else ""


def worded(path: Path) -> str:
    """Why a table holds texts with their classes, as what can follow "because"; "" where it does not."""
    columns = head(path)
    text = texts_in(columns)
    label = classes_in(columns, text) if text else ""
    if not label or len(columns) > 2 + BESIDE or words_a_cell(columns[text]) < 2:
        return ""
    said = columns[label][:LOOKED_AT]
    if words_a_cell(said) > 3 or (len(said) > 10 and 2 * len(set(said)) > len(said)):
        return ""  # mostly different: another text, or a quantity
    return f"column {text!r} of {path.name} holds texts and {label!r} their classes"
