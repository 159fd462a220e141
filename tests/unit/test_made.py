"""The masked autoencoder: no chance depends on its own pixel or later ones, the chances of all pictures sum to 1, and
what is drawn has these chances."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Held, Place
from milestones.data import Labelled
from milestones.media import Image
from milestones.systems import made
from milestones.systems.made import MADE, Knobs, loss, system


def model_of(side: int = 3, **knobs: Any) -> MADE:
    torch.manual_seed(0)
    model = MADE(Knobs(**{"hidden": 24, **knobs}), side, 30.0, 70.0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.7 * torch.randn_like(p))  # far from even chances, direct weights too
    return model.eval().requires_grad_(False)


def all_pictures(side: int = 3) -> torch.Tensor:
    rows = torch.tensor(list(itertools.product([0, 255], repeat=side * side)), dtype=torch.uint8)
    return rows.view(-1, 1, side, side)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("direct", [False, True])
def test_chances_of_all_pictures_sum_to_one(layers: int, direct: bool) -> None:
    for masks in (1, 3):
        model = model_of(layers=layers, direct=direct, masks=masks)
        assert float(model(all_pictures()).double().exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("pixels", ["binary", "grey"])
@pytest.mark.parametrize("number", [0, 1])
def test_no_chance_depends_on_its_own_pixel_or_a_later_one(pixels: str, number: int) -> None:
    model = model_of(4, pixels=pixels, layers=2, masks=2, hidden=200)
    x = (255 * torch.rand(1, 16)).requires_grad_()
    place = torch.empty(16, dtype=torch.long)
    place[model.order[number]] = torch.arange(16)
    said = model.said(x if pixels == "grey" else x / 255, number).view(16, -1)
    reached = 0
    for pixel in range(16):
        (gradient,) = torch.autograd.grad(said[pixel].sum(), x, retain_graph=True)
        assert (gradient[0, place >= place[pixel]] == 0).all()
        reached += int((gradient[0] != 0).sum())
    assert reached == 120, "each depends on all that are before it"


def test_levels_of_two_pixels_sum_to_one() -> None:
    """A grey model of one row: over all levels of the second pixel for some of the first, and over the first alone."""
    model = model_of(2, pixels="grey", parts=2, hidden=9)
    level = torch.arange(256)
    x = torch.zeros(256, 4)
    x[:, 0] = level
    assert float(model.factors(x)[:, 0].exp().sum()) == pytest.approx(1, abs=1e-4)
    for first in (0, 17, 255):
        x = torch.full((256, 4), float(first))
        x[:, 1] = level
        assert float(model.factors(x)[:, 1].exp().sum()) == pytest.approx(1, abs=1e-4)


def test_what_is_drawn_has_its_chances() -> None:
    """40,000 pictures of 2 x 2 pixels against the chances of all 16, each within five standard deviations."""
    model = model_of(2, hidden=8)
    chance = model(all_pictures(2)).double().exp()
    found = model.draw(40_000, 1.0, torch.Generator().manual_seed(0)).flatten(1) > 127
    number = (found.long() * torch.tensor([8, 4, 2, 1])).sum(1)
    rate = number.bincount(minlength=16) / 40_000
    assert ((rate - chance).abs() <= 5 * (chance * (1 - chance) / 40_000).sqrt() + 1e-9).all()


def test_drawn_levels_have_the_mean_of_their_chances() -> None:
    model = model_of(1, pixels="grey", parts=2, hidden=4)
    x = torch.arange(256.0)[:, None]
    chance = model.factors(x)[:, 0].exp()
    mean = float((chance * x[:, 0]).sum())
    spread = float((chance * (x[:, 0] - mean).square()).sum().sqrt())
    found = model.draw(20_000, 1.0, torch.Generator().manual_seed(0))
    assert abs(float(found.mean()) - mean) <= 5 * spread / 20_000**0.5 + 1e-3
    assert set(found.unique().tolist()) <= set(map(float, range(256)))


def test_given_pixels_are_kept_and_the_rest_is_drawn_given_them() -> None:
    model = model_of(2, hidden=8)
    given = torch.tensor([1.0, 0.0, 0.0, 0.0])
    found = model.draw(30_000, 1.0, torch.Generator().manual_seed(0), given, 2).flatten(1) / 255
    assert (found[:, :2] == given[:2]).all()
    every = all_pictures(2)
    fits = ((every.flatten(1) > 0).float()[:, :2] == given[:2]).all(1)
    chance = model(every[fits]).double().softmax(0)
    rate = (2 * found[:, 2] + found[:, 3]).long().bincount(minlength=4) / 30_000
    assert ((rate - chance).abs() <= 5 * (chance * (1 - chance) / 30_000).sqrt()).all()


def test_no_temperature_draws_the_likeliest_of_each() -> None:
    model = model_of(3)
    found = model.draw(4, 0.0, torch.Generator().manual_seed(0)).flatten(1) / 255
    assert (found == found[0]).all()
    said = model.said(found)
    assert torch.equal((said > 0).float(), found)


def test_masks_take_turns_in_training_and_are_mixed_in_validation() -> None:
    class At:
        step = 4

    model, batch = model_of(masks=3), Labelled(all_pictures()[5:9], torch.zeros(4))
    term = made.by_turns(At())  # type: ignore[arg-type]
    x = model.pixel(batch.image)
    assert torch.equal(term(model.train(), batch)["loss"], -model.factors(x, 1).sum(1).mean())
    assert torch.equal(term(model.eval(), batch)["loss"], loss(model, batch)["loss"])
    each = torch.stack([model.factors(x, k).sum(1).exp() for k in range(3)]).mean(0)
    assert torch.allclose(model(batch.image), each.log(), atol=1e-4)


def test_learns_its_pictures_by_heart() -> None:
    """Two pictures that are told apart by their first pixel: log 2 nats is the least there can be."""
    torch.manual_seed(0)
    model = MADE(Knobs(hidden=32), 4, 30.0, 70.0)
    image = torch.stack([torch.zeros(1, 4, 4), torch.full((1, 4, 4), 255.0)]).to(torch.uint8)
    batch = Labelled(image, torch.zeros(2))
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)
    for _ in range(1000):
        optimizer.zero_grad()
        loss(model, batch)["loss"].backward()
        optimizer.step()
    assert 0.693 <= float(loss(model, batch)["loss"].detach()) < 0.75


def test_too_many_connections_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"made: expected at most 67,108,864 masked connections, got .*Take fewer hidden"
    ):
        MADE(Knobs(hidden=8192, masks=2), 28, 30.0, 70.0)


def test_use() -> None:
    model = model_of(28, hidden=8)
    facts = {"labels": ["a", "b"], "side": 28, "reading": "resize"}
    pixels = torch.randint(256, (2, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = [Image(one.numpy()) for one in pixels]
    with torch.inference_mode():
        one, two = made.use(model, facts, images, samples=2)
        again = made.use(model, facts, images[1:], samples=2)[0]
        none = made.use(model, facts, images, samples=0)[0]
    assert list(one) == ["answer", "nll", "strange", "atypical", "seen", "surprise", "completed", "drawn"]
    assert {name: item.plain() for name, item in two.items()} == {name: item.plain() for name, item in again.items()}
    assert "exact" in one["nll"].unit
    assert "drawn" not in none
    with pytest.raises(UserError, match="pictures to draw, got -1"):
        made.use(model, facts, images, samples=-1)


def test_score_is_exact_and_says_so() -> None:
    model = model_of(28, pixels="grey", hidden=8, direct=False)
    place = Place(torch.device("cpu"), 0)
    image = torch.randint(256, (60, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data: Any = type("D", (), {"test": Held(Labelled(image, torch.zeros(60)), place, "some", "test")})
    found = system.score(Knobs(pixels="grey"), model, data, place)
    assert found["bpd"].note == "a pixel; 8-bit pixels, not dequantised; exact"
    assert found["bpd"].over == 60
