"""The reader of whole numbers: what it rejects, what it answers where there is nothing to read, any width."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from milestones.data.lines import SIGNS
from milestones.media import Image, Ranking
from milestones.systems import zipcode
from milestones.systems.zipcode import NOTHING, ZipReader, answered, number, read_at, rejecting, spelled


def test_rejecting_and_read_at_by_hand() -> None:
    sure = torch.tensor([0.9, 0.2, 0.8, 0.7, 0.6])
    missed = torch.tensor([False, True, False, True, False])
    kept, error = rejecting(sure, missed)
    assert kept.tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert error.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5])
    assert read_at(sure, missed) == pytest.approx(40)
    assert read_at(sure, missed, 0.3) == pytest.approx(80), "the largest share that keeps the error, not the first"
    assert read_at(sure, torch.ones(5, dtype=torch.bool)) == 0
    assert read_at(sure, torch.zeros(5, dtype=torch.bool)) == pytest.approx(100)


def test_two_answers_for_each_four_pixels_of_any_width() -> None:
    net = ZipReader(4, len(SIGNS), 30.0, 60.0).eval()
    for width in (16, 64, 176, 400):
        assert net(torch.zeros(2, 1, 28, width, dtype=torch.uint8)).shape == (2, width // 2, 13)


class Says(torch.nn.Module):
    """A net that reads one text in every line, at frames 2, 4, 6 ..., with a strength."""

    def __init__(self, text: str, strength: float) -> None:
        super().__init__()
        self.text, self.strength = text, strength

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        path = torch.zeros(image.shape[-1] // 2, dtype=torch.long)
        for k, sign in enumerate(self.text):
            path[2 + 2 * k] = SIGNS.index(sign) + 1
        return self.strength * torch.nn.functional.one_hot(path, 13).float().expand(len(image), -1, -1)


def block() -> Image:
    pixels = np.full((100, 300), 240, np.uint8)
    pixels[30:70, 50:250] = np.where(np.arange(200) // 20 % 2, 240, 20).astype(np.uint8)
    return Image(pixels)


def test_the_answer_with_places_in_the_picture() -> None:
    found = number(Says("80-1", 30.0), block())  # type: ignore[arg-type]
    answer = found["answer"]
    assert isinstance(answer, Ranking) and answer.best == "80-1" and answer.chances[0] > 0.99
    assert answer.labels == ("80-1", NOTHING) and sum(answer.chances) == pytest.approx(1, abs=1e-4)
    where = str(found["where (x, y in pixels)"])
    assert where.count(" at ") == 4 and where.startswith("8 at ")
    assert found["picture"].pixels.shape == (100, 300, 3) and found["seen"].pixels.shape[0] == 28


@pytest.mark.parametrize(("net", "image"), [
    (Says("", 30.0), block()),  # nothing read
    (Says("123", 1.0), block()),  # unsure
    (Says("1?3", 30.0), block()),  # a letter in it
    (Says("123", 30.0), Image(np.full((60, 200), 200, np.uint8))),  # no ink
])  # fmt: skip
def test_no_number(net: Says, image: Image) -> None:
    answer = number(net, image)["answer"]  # type: ignore[arg-type]
    assert answer.best == NOTHING and 0.5 < answer.chances[0] <= 1


class Torn(torch.nn.Module):
    """Reads 80322 or 8032 in whatever it is shown, three views of five a little rather the latter."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = Says("80322", 30.0)(image)
        row = torch.arange(len(image)) // (len(image) // 5)
        logits[:, 10] = 0.0
        logits[:, 10, 0], logits[:, 10, 3] = torch.where(row < 3, 9.2, 9.0), torch.where(row < 3, 9.0, 9.2)
        return logits


def test_a_zip_code_is_likelier_than_another_number() -> None:
    answer = answered(Torn(), torch.zeros(2, 1, 28, 100))  # type: ignore[arg-type]
    assert spelled(answer, 0) == spelled(answer, 1) == "80322"
    assert float(answer.sure[0]) == pytest.approx(10 * 0.49 / (0.51 + 10 * 0.49), abs=0.01), "by Bayes' rule"


def test_spelled() -> None:
    assert spelled(answered(Says("80322-4129", 9.0), torch.zeros(1, 1, 28, 200)), 0) == "80322-4129"  # type: ignore[arg-type]


class Bright(torch.nn.Module):
    """Reads a 1 wherever a column is bright."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        lit = (image[:, 0].amax(1) > 128)[:, ::2]
        return 30.0 * torch.nn.functional.one_hot(2 * lit.long(), 13).float()


def test_places_are_those_of_the_line_in_whatever_view() -> None:
    image = torch.zeros(1, 1, 28, 120)
    for x in (20, 60, 100):
        image[..., x : x + 4] = 255
    answer = answered(Bright(), image)  # type: ignore[arg-type]
    assert spelled(answer, 0) == "111"
    assert answer.x[0, :3].tolist() == pytest.approx([20, 60, 100], abs=3)


def test_confidence_is_a_probability() -> None:
    net = ZipReader(4, len(SIGNS), 30.0, 60.0).eval()
    sure, missed = zipcode.judged(net, Once())
    assert sure.shape == missed.shape == (3,) and ((sure >= 0) & (sure <= 1.0001)).all()


class Once:
    """A source of three lines of nothing."""

    def sweep(self, size: int):
        from milestones.data.lines import Lines

        yield Lines(torch.zeros(3, 1, 28, 64, dtype=torch.uint8), torch.zeros(3, 10, dtype=torch.long),
                    torch.zeros(3, dtype=torch.long))  # fmt: skip
