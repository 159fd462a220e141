"""scenes: what is drawn is what is said of it, wrong scales and controls are what they should be, and bad pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data.scenes import (
    CELL,
    GRID,
    JUG,
    KINDS,
    MUG,
    NEAR,
    SIDE,
    TALL,
    WRONG,
    Scenes,
    View,
    World,
    at_scale,
    drawn,
    fitting,
    framed,
    mirrored,
    noisy,
    rooms,
    scenes,
    trial,
    views,
    worlds,
)  # fmt: skip
from milestones.media import Image, read
from milestones.systems.scenes import CONDITIONS, Knobs, asked, loss, presence, system

PLACE = Place(torch.device("cpu"), 0)


def one_mug(zoom: float, scale: float = 1.0, tone: float = 255.0) -> tuple[World, View]:
    """A bright mug alone in a black room, its middle in the middle of the picture."""
    number = torch.tensor
    world = World(number([[MUG]]), number([[0.0]]), number([[-0.5]]), number([[scale]]), number([[1.0]]),
                  torch.full((1, 1, 3), tone), number([[0.0, 0.0, 0.0, 50.0]]))  # fmt: skip
    return world, View(number([0.0]), number([-0.5 + scale / 2]), number([zoom]))


@pytest.mark.parametrize(("zoom", "scale"), [(1.0, 1.0), (4.0, 1.0), (1.0, 4.0), (2.0, 0.5), (1.5, 2.0), (4.0, 0.25)])
def test_a_mug_is_as_tall_as_said(zoom: float, scale: float) -> None:
    found = scenes(*one_mug(zoom, scale))
    rows = (found.image[0, 0, :, SIDE // 2] > 128).sum()
    assert float(found.tall) == pytest.approx(TALL * zoom * scale)
    assert float(rows) == pytest.approx(TALL * zoom * scale, abs=1.6)
    assert found.label.tolist() == [1]


def test_the_mug_is_in_the_cell_that_is_said() -> None:
    """A scene with the mug against the same without: what differs most lies around the cell."""
    rng = keyed("place")
    world = worlds(40, rng)
    view = views(world, NEAR ** torch.rand(40, generator=rng), rng)
    nothing = world._replace(kind=torch.cat([world.kind[:, :-1], torch.full((40, 1), -1)], 1))
    seen, empty = scenes(world, view), drawn(nothing, view)
    differs = ((seen.image.float() - empty.float()).abs() > 40)[:, 0].float()
    for n in range(40):
        rows, columns = differs[n].nonzero(as_tuple=True)
        y, x = (float(at.min() + at.max() + 1) / 2 for at in (rows, columns))
        place = int(seen.place[n])
        assert abs((place // GRID + 0.5) * CELL - y) <= CELL / 2 + 0.1 * float(seen.tall[n]) + 1
        assert abs((place % GRID + 0.5) * CELL - x) <= CELL / 2 + 0.25 * float(seen.tall[n]) + 1


def test_half_of_the_scenes_have_the_mug_and_each_kind_comes() -> None:
    world, view = fitting(4000, keyed("balance"), 0.5)
    last = world.kind[:, -1]
    assert float((last == MUG).float().mean()) == 0.5
    jugs = float((last[last != MUG] == JUG).float().mean())
    assert jugs == pytest.approx(0.5, abs=0.04)
    assert set(last.unique().tolist()) == set(range(len(KINDS)))
    assert not (world.kind[:, :-1] == MUG).any(), "no second mug"
    zooms = view.zoom.log2()
    assert float(zooms.min()) >= 0 and float(zooms.max()) <= math.log2(NEAR)
    assert float(zooms.mean()) == pytest.approx(1.0, abs=0.05)


def test_mugs_fit_and_jugs_do_not() -> None:
    world, _ = fitting(2000, keyed("fit"), 0.5)
    mugs, jugs = world.scale[world.kind == MUG], world.scale[world.kind == JUG]
    assert float(mugs.min()) >= 0.95 and float(mugs.max()) <= 1.05
    assert ((jugs >= 2) | (jugs <= 0.5)).all()
    assert float(jugs.min()) >= 0.25 and float(jugs.max()) <= 4
    assert 0.15 < float((jugs < 1).float().mean()) < 0.35
    assert not (worlds(500, keyed("none")).kind == JUG).any(), "without look-alikes there is none"


def test_all_mugs_lie_in_the_picture() -> None:
    for room, zoom in ((1.0, 1.0), (1.0, 2.5), (1.0, NEAR), (WRONG, 1.0)):
        world = at_scale(worlds(500, keyed("whole")), room)
        view = views(world, torch.full((500,), zoom), keyed("view"), room)
        pixel = TALL * zoom
        x = (world.x[:, -1] - view.x) * pixel + SIDE / 2
        bottom = (view.y - world.y[:, -1]) * pixel + SIDE / 2
        top = bottom - world.scale[:, -1] * pixel
        assert float(top.min()) >= -2 and float(bottom.max()) <= SIDE + 2
        assert float(x.min()) >= 0.25 * room * pixel and float(x.max()) <= SIDE - 0.25 * room * pixel


def test_giant_and_control_have_equal_pixels_and_another_relation() -> None:
    sets = {name: trial(name, one.relative, one.zoom, 300, 20.0, 0.5, "t", one.instead)
            for name, one in CONDITIONS.items()}  # fmt: skip
    tall = {name: one.examples.tall for name, one in sets.items()}
    assert torch.allclose(tall["miss_giant"], tall["miss_control"])
    assert torch.allclose(tall["miss_giant"], WRONG * tall["miss_normal"])
    assert torch.allclose(tall["miss_tiny"], tall["miss_normal"])
    assert float(tall["miss_normal"].min()) >= 0.95 * TALL and float(tall["miss_normal"].max()) <= 1.05 * TALL
    for name, one in sets.items():
        assert one.examples.label.unique().tolist() == [int(name.startswith("miss"))], name


def test_a_giant_stands_in_the_room_of_the_mug_that_fits() -> None:
    """But for the mug and its noise the scenes of two conditions are the same."""
    normal, giant = (trial("x", relative, 1.0, 100, 0.0, 0.5, "t").examples.image for relative in (1.0, WRONG))
    top = (normal[:, :, :12] == giant[:, :, :12]).float().mean()  # a giant does not reach there; the contrast is equal
    assert float(top) > 0.95
    assert (normal != giant).any()


def test_trials_are_pure_and_splits_differ() -> None:
    once, again = (trial("x", 2.0, 1.0, 20, 30.0, 0.5, "t").examples for _ in range(2))
    other = trial("x", 2.0, 1.0, 20, 30.0, 0.5, "valid").examples
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once.image, other.image)


def test_sources_are_pure_and_shared_out() -> None:
    def source(rank: int = 0, of: int = 1, seed: int = 0) -> Any:
        return rooms(Place(torch.device("cpu"), seed, rank, of), 64, 0.5, 30.0)

    noise = torch.get_rng_state()
    whole = source().train.batch(3, 8)
    assert torch.equal(noise, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(source().train.batch(3, 8), whole, strict=True))
    shares = [source(rank, 2).train.batch(3, 8) for rank in range(2)]
    assert torch.equal(torch.cat([share.image for share in shares]), whole.image)
    assert torch.equal(source().test.examples.image, source(seed=5).test.examples.image), "one test set for all seeds"
    assert not torch.equal(source().train.examples.image, source(seed=5).train.examples.image)
    assert not torch.equal(source().valid.examples.image, source().test.examples.image)


def test_mirror() -> None:
    found = scenes(*one_mug(1.0))._replace(place=torch.tensor([3 * GRID + 2]))
    batch = Scenes(*(torch.cat([field] * 64) for field in found))
    turned = mirrored(batch, keyed("m"))
    flipped = (turned.image != batch.image).flatten(1).any(1)
    assert 10 < int(flipped.sum()) < 54
    assert torch.equal(turned.place, torch.where(flipped, 3 * GRID + GRID - 3, 3 * GRID + 2))
    assert torch.equal(turned.image[flipped], batch.image[flipped].flip(3))


def test_noise_is_as_said() -> None:
    flat = torch.full((400, 1, SIDE, SIDE), 128, dtype=torch.uint8)
    spread = noisy(flat, keyed("n"), 40.0).float().std((1, 2, 3))
    assert float(spread.min()) > 19 and float(spread.max()) < 41.5
    assert torch.equal(noisy(flat, keyed("n"), 0.0), flat)


def test_presence_is_the_chance_of_all_places() -> None:
    scores = torch.randn(3, GRID * GRID)
    every = torch.cat([torch.zeros(3, 1), scores], 1).softmax(-1)
    torch.testing.assert_close(presence(scores).softmax(-1)[:, 1], every[:, 1:].sum(1))
    torch.testing.assert_close(presence(scores).softmax(-1)[:, 0], every[:, 0])


def model_of(**settings: Any) -> tuple[Any, Any, Any]:
    knobs = changed(Knobs(), {"scenes": 128, "width": 4, **settings}, "scenes")
    data = system.prepare(knobs, PLACE)
    torch.manual_seed(0)
    return knobs, data, system.build(knobs, data.facts).eval()


def test_a_fresh_net_says_one_half_everywhere() -> None:
    _, data, model = model_of()
    with torch.inference_mode():
        chance = model(data.test.examples.image).softmax(-1)
    torch.testing.assert_close(chance, torch.full_like(chance, 0.5))


def test_one_way_sees_no_farther_than_its_place() -> None:
    """A change in a corner reaches the opposite corner's scores with the scene, and not each place alone."""
    _, data, model = model_of()
    for score in model.score:
        torch.nn.init.normal_(score.weight)
    image = data.test.examples.image[:1].float().requires_grad_()
    for way, far in ((0, True), (1, False)):
        (slope,) = torch.autograd.grad(model.sight(image).scores[0, way, 0], image)
        assert bool((slope[0, 0, 40:, 40:] != 0).any()) is far
        assert bool((slope[0, 0, :8, :8] != 0).any())


def test_loss_against_a_loop() -> None:
    _, data, model = model_of()
    for score in model.score:
        torch.nn.init.normal_(score.weight)
    batch = data.valid.batch(0, 6)
    with torch.no_grad():
        sight, found, wanted = model.sight(batch.image), loss(model, batch), 0.0
    for n in range(6):
        for way in range(2):
            odds = [0.0, *sight.scores[n, way].tolist()]
            most = max(odds)
            total = most + math.log(sum(math.exp(x - most) for x in odds))
            wanted += (total - odds[int(batch.place[n]) + 1 if batch.label[n] else 0]) / 12
        if batch.label[n]:
            off = abs(float(sight.tall[n, batch.place[n]]) - math.log2(float(batch.tall[n]) / 8))
            wanted += 0.1 * (off * off / 2 if off < 1 else off - 0.5) / 6
    assert float(found["loss"]) == pytest.approx(wanted, rel=1e-4)


def test_places_are_found_again_in_the_users_picture() -> None:
    for height, width in ((64, 64), (48, 128), (300, 100), (1, 2000)):
        picture = Image(np.random.default_rng(0).integers(0, 256, (height, width), np.uint8))
        frame = framed(picture)
        assert frame.pixels.shape == (SIDE, SIDE)
        left, right = ((x - frame.left) * frame.scale for x in (frame.left, SIDE - frame.left))
        assert (left, right) == (0, pytest.approx(width, abs=frame.scale + 1))
    assert np.array_equal(framed(Image(np.arange(4096).reshape(64, 64).astype(np.uint8))).pixels[0], np.arange(64))


def test_any_picture_is_answered_with_its_chance() -> None:
    _, data, model = model_of()
    rng = np.random.default_rng(0)
    pictures = [Image(rng.integers(0, 256, shape, np.uint8)) for shape in ((5, 7), (90, 40, 3), (64, 64, 4), (1, 900))]
    with torch.inference_mode():
        answers = system.use(model, data.facts, pictures)
    for picture, answer in zip(pictures, answers, strict=True):
        assert set(answer["answer"].labels) == {"mug", "no mug"}
        assert sum(answer["answer"].chances) == pytest.approx(1, abs=1e-5)
        assert (answer["picture"].height, answer["picture"].width) == (picture.height, picture.width)
    assert list(answers[0]) == ["answer", "without the scene", "where", "picture"]


def test_what_is_no_picture_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot one")
    with pytest.raises(UserError) as caught:
        read(tmp_path / "bad.png", system.takes)
    assert "bad.png" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_data_of_the_user_is_refused() -> None:
    with pytest.raises(UserError, match=r"no --data: scenes draws its own, got 'photos'"):
        system.prepare(Knobs(), PLACE._replace(choice=Choice("photos")))


def test_asked_says_what_the_model_says() -> None:
    _, data, model = model_of()
    for score in model.score:
        torch.nn.init.normal_(score.weight, std=0.2)
    image = data.test.examples.image
    with torch.inference_mode():
        answer, chance = asked(model, image), model(image).softmax(-1)[:, 1]
    torch.testing.assert_close(answer.chance[:, 0], chance)
    torch.testing.assert_close(answer.maps.sum(-1), answer.chance)
    assert torch.equal(answer.maps.argmax(-1), answer.place)
