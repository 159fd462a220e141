"""What the report says of each class, and the labels that a model contradicts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from milestones.core.source import Data, Held, Place
from milestones.core.system import classifier_probe
from milestones.data import Labelled
from milestones.report.classes import advice, classes, table
from milestones.report.evidence import examine

MATRIX = {"labels": ["ant", "bee", "cat"], "counts": [[90, 10, 0], [30, 65, 5], [0, 0, 20]]}
FACTS = {"counts": [400, 400, 50]}


def test_classes_by_hand() -> None:
    found = classes(MATRIX, FACTS)
    assert [one.name for one in found] == ["bee", "ant", "cat"], "the least recognised first"
    bee, ant, cat = found
    assert (bee.found, bee.rival, bee.taken, bee.tested, bee.learned) == (65.0, "ant", 30, 100, 400)
    assert bee.true == pytest.approx(100 * 65 / 75) and ant.true == pytest.approx(75)
    assert (cat.found, cat.rival) == (100, "")
    assert "<table" in table(found) and table([]) == ""


def test_advice_names_what_would_help() -> None:
    said = advice(classes(MATRIX, FACTS))
    assert said[0] == "More pictures of bee, above all such as look like ant: 65 % are recognised, 80 % of all."
    assert any("cat has 50 training pictures, bee 400" in one and "--balance 1" in one for one in said)
    assert any("Fewer than 50 test pictures of cat" in one for one in said)
    perfect = {"labels": ["a", "b"], "counts": [[100, 0], [0, 100]]}
    assert advice(classes(perfect, {"counts": [300, 300]})) == []


@pytest.mark.parametrize("matrix", [{}, {"labels": ["a", "b"], "counts": [[1, 2]]}, {"labels": "ab", "counts": 3},
                                    {"labels": ["a", "b"], "counts": [[1, -2], [0, 1]]},
                                    {"labels": ["a", "b"], "counts": [[1, "x"], [0, 1]]}])  # fmt: skip
def test_another_matrix_is_nothing(matrix: dict) -> None:
    assert classes(matrix, {}) == []


def test_unknown_counts_and_a_class_never_said() -> None:
    found = classes({"labels": ["a", "b"], "counts": [[0, 9], [0, 9]]}, {})
    assert math.isnan(found[0].learned) and math.isnan(found[0].true)
    assert "never said" in table(found)


class Brightness(torch.nn.Module):
    """Says class 1 of bright pictures, and is sure of it."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        light = (image.float().mean((1, 2, 3)) - 128) / 8
        return torch.stack([-light, light], 1)


def test_a_wrong_label_is_suspicious(tmp_path: Path) -> None:
    image = torch.full((40, 3, 8, 8), 40, dtype=torch.uint8)
    image[20:] = 220
    label = torch.arange(40) // 20
    label[7] = 1  # a dark picture that is said to be bright
    place = Place(torch.device("cpu"), 0)
    train = Held(Labelled(image, label), place, "x", "train")
    test = Held(Labelled(image[::4], label[::4]), place, "x", "test")
    system = type("System", (), {"probe": staticmethod(classifier_probe)})
    (tmp_path / "shows").mkdir()
    found = examine(tmp_path, system, Brightness(), Data(train, test, test, {"labels": ["dark", "bright"]}))  # type: ignore[arg-type]
    (suspect,) = found["suspects"]
    assert (suspect["true"], suspect["said"]) == ("bright", "dark") and suspect["chance"] > 0.99
    assert (tmp_path / suspect["picture"]).exists()
    assert "mistakes" not in found and found["confusion"]["counts"] == [[5, 0], [0, 5]]
