"""The shipped LeNet on thirty pictures of digits of different size, colour, stroke and background."""

from __future__ import annotations

from pathlib import Path

import milestones
from milestones.media import Image

FOLDER = Path(__file__).parents[1] / "pictures"
PATHS = sorted(path for path in FOLDER.iterdir() if path.suffix in (".png", ".jpg"))


def test_lenet_reads_at_least_27_of_30(tmp_path: Path) -> None:
    answers = milestones.load("lenet", runs=str(tmp_path)).use([Image.open(path) for path in PATHS])
    wrong = [f"{path.name} as {a['answer'].best}" for path, a in zip(PATHS, answers, strict=True)
             if a["answer"].best != path.name[0]]  # fmt: skip
    assert len(PATHS) == 30
    print(f"read {30 - len(wrong)} of 30" + (f"; misread {', '.join(wrong)}" if wrong else ""))
    assert len(wrong) <= 3, wrong
