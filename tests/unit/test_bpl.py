"""bpl: what it learns from, its loss, its parses, and classes told apart by one drawing of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageDraw

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data.omniglot import unpacked
from milestones.data.strokes import drawings, matched, written
from milestones.media import Image
from milestones.systems.bpl import Knobs, build, costs, loss, prepare, programs, system

PLACE = Place(torch.device("cpu"), 0)
KNOBS = changed(Knobs(), {"points": 32, "kinds": 3, "steps": 2, "parses": 3}, "bpl")
FACTS = {"points": 32}


def picture(*lines: tuple[int, int, int, int]) -> Image:
    page = Pillow.new("L", (120, 120), 255)
    for line in lines:
        ImageDraw.Draw(page).line(line, fill=0, width=5)
    return Image(np.asarray(page))


CROSS, ELL = picture((60, 20, 60, 100), (20, 60, 100, 60)), picture((30, 20, 30, 100), (30, 100, 95, 100))


def test_the_paths_lie_in_the_pictures_ink() -> None:
    """Strokes and pictures are of the same drawings, in the same order."""
    with np.load(Path(os.fspath(Path(__file__).parents[2] / "milestones/data/omniglot.npz"))) as archive:
        image = unpacked(archive["image"])
    assert len(drawings()) == image.shape[0] * image.shape[1]
    for k in range(0, len(drawings()), 97):
        ink = np.pad(image[divmod(k, 20)], 3)
        at = np.concatenate(drawings()[k]).round().astype(int) + 3
        near = [ink[y - 3 : y + 4, x - 3 : x + 4].any() for x, y in at]
        assert np.mean(near) > 0.9


def test_what_ships_is_omniglots(shared_data: Callable[[str], Path]) -> None:
    import zipfile

    with zipfile.ZipFile(shared_data("omniglot") / "strokes_background_small1.zip") as archive:
        text = archive.read("strokes_background_small1/Balinese/character01/0108_01.txt").decode()
    first = next(line for line in text.split() if line != "START").split(",")
    assert text.count("BREAK") == len(drawings()[0])
    assert np.allclose(drawings()[0][0][0], [float(first[0]), -float(first[1])], atol=0.3)


def test_strokes_are_matched_in_any_order_and_direction() -> None:
    a, b = np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([[4.0, -6.0], [4.0, 7.0]])
    found = matched([a, b], [b[::-1], a])
    assert found is not None and np.array_equal(found[0], a) and np.array_equal(found[1], b)
    assert matched([a, b], [a]) is None
    assert matched([a, b], [a, a + np.array([0, 9])]) is None


def test_pairs_are_of_one_character() -> None:
    data = written(PLACE, "first", 32)
    batch = data.train.batch(0, 16)
    assert batch.point.shape == (16, 2, 32, 2) and torch.equal(batch.stroke[:, 0], batch.stroke[:, 1])
    assert len(data.test) == 400 and data.facts["points"] == 32
    learned = {tuple(one.flatten().tolist()) for one in next(iter(data.train.sweep(5000))).point[:, 0, :2]}
    other = {tuple(one.flatten().tolist()) for one in next(iter(data.valid.sweep(5000))).point[:, 0, :2]}
    assert not learned & other


def test_data_of_ones_own_have_no_paths() -> None:
    with pytest.raises(UserError, match=r"expected Omniglot as it ships.* got --data here"):
        prepare(KNOBS, PLACE._replace(choice=Choice(data="here")))


def test_the_loss_falls() -> None:
    data = prepare(KNOBS, PLACE)
    model, batch = build(KNOBS, data.facts), data.train.batch(0, 64)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        now = loss(model, batch)["loss"]
        now.backward()
        optimizer.step()
        losses.append(float(now.detach()))
    assert losses[-1] < losses[0] - 0.1


def test_a_cross_is_parsed_into_two_strokes_and_an_ell_into_one() -> None:
    model = build(KNOBS, FACTS)
    answers = system.use(model, FACTS, [CROSS, ELL])
    assert next(iter(answers[0])) == "strokes" and set(answers[0]) == {"strokes", "again"}
    ink = np.stack([one.pixels < 128 for one in (CROSS, ELL)])
    drawing = programs(model, ink)
    assert int(drawing.stroke[0].max()) == 1 and int(drawing.stroke[1].max()) <= 1


def test_a_drawing_is_likeliest_under_its_own_program() -> None:
    model = build(KNOBS, FACTS)
    ink = np.stack([one.pixels < 128 for one in (CROSS, ELL, picture((20, 20, 100, 100)))])
    drawing = programs(model, ink)
    cost = costs(model, drawing, drawing)
    assert cost.argmin(0).tolist() == [0, 1, 2]


def test_the_user_teaches_it_classes(tmp_path: Path) -> None:
    for name, one in {"cross": CROSS, "ell": ELL}.items():
        (tmp_path / name).mkdir()
        Pillow.fromarray(one.pixels).save(tmp_path / name / "1.png")
    asked = picture((55, 22, 64, 98), (22, 64, 98, 57))
    model = build(KNOBS, FACTS)
    assert system.use(model, FACTS, [asked], learn=str(tmp_path))[0]["answer"].best == "cross"
    with pytest.raises(UserError, match=r"bpl: expected a folder of classes"):
        system.use(model, FACTS, [asked], learn=str(tmp_path / "absent"))
