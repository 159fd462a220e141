"""Roads and fields seen by a camera: geometry against brute force, the car's circle, the expert, exact state."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.state import read_state, write_state
from milestones.parts.camera import (
    EYE,
    LIGHTS,
    STEP,
    TIGHTEST,
    camera,
    driven,
    exposed,
    light,
    pursuit,
    shade,
    toward,
)
from milestones.worlds.field import GOALS, MOST_STEPS, REACHED, Field
from milestones.worlds.road import CELLS, EDGE, HALF, LAPS, LOOKS, ROADS, SHARPEST, Road, outline, painted, stripe

CPU = torch.device("cpu")
NUMBERS = ROADS + LOOKS + LIGHTS
SMALL = {"height": 8, "width": 12}  # where nobody looks at the pictures


def points(table: torch.Tensor) -> np.ndarray:
    """The middle of a road as points of the plane, C 2."""
    angle = np.arange(CELLS + 1) * 2 * np.pi / CELLS
    radius = table[:, 0].double().numpy()
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def uniform(k: int) -> torch.Tensor:
    return torch.rand(NUMBERS, generator=torch.Generator().manual_seed(k))


# Roads


@pytest.mark.parametrize("k", range(12))
def test_a_road_is_closed_and_no_bend_is_too_sharp(k: int) -> None:
    table, tilt = outline(uniform(k))
    line = points(table)
    assert line[0] == pytest.approx(line[-1], abs=1e-3)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    assert float(table[-1, 2]) == pytest.approx(steps.sum(), rel=1e-4)
    assert 200 < steps.sum() < 600
    # curvature: how the direction turns over a few cells
    part = line[:-1:8]
    chord = np.roll(part, -1, 0) - part
    turned = np.angle(np.exp(1j * np.diff(np.arctan2(chord[:, 1], chord[:, 0]))))
    bend = np.abs(turned) / np.linalg.norm(chord, axis=1)[:-1]
    assert bend.max() <= 1.05 / SHARPEST
    assert turned.min() < 0 < turned.max() or float(table[:, 0].std()) < 2, "it bends both ways"
    # the direction of driving is that of the chords
    heading = np.arange(CELLS) * 2 * np.pi / CELLS + np.pi / 2 - tilt[:-1].numpy()
    chords = np.diff(line, axis=0)
    gap = np.angle(np.exp(1j * (heading - np.arctan2(chords[:, 1], chords[:, 0]))))
    assert np.abs(gap).max() < 0.02


def test_the_distance_to_the_middle_is_right_to_centimetres() -> None:
    world = Road(6, 3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        cell = rng.integers(0, CELLS, len(world))
        aside = rng.uniform(-EDGE, EDGE, len(world))
        for n in range(len(world)):
            line = points(world._table[n])
            ahead = line[(cell[n] + 1) % CELLS] - line[cell[n]]
            outer = np.array([ahead[1], -ahead[0]]) / np.linalg.norm(ahead)  # right of a counter-clockwise road
            world.x[n], world.y[n] = (float(v) for v in line[cell[n]] + aside[n] * outer)
        world._locate()
        assert world.offset.numpy() == pytest.approx(aside, abs=0.13)
        true = [np.linalg.norm(points(world._table[n]) - [float(world.x[n]), float(world.y[n])], axis=1).min()
                for n in range(len(world))]  # fmt: skip
        assert world.offset.abs().numpy() == pytest.approx(np.array(true), abs=0.13)


# The car and its camera


def test_a_car_with_its_wheel_at_the_stop_drives_the_tightest_circle() -> None:
    start = torch.zeros(2), torch.zeros(2), torch.zeros(2)
    x, y, heading = start
    spots = []
    for _ in range(round(2 * math.pi * TIGHTEST / STEP)):
        x, y, heading = driven(x, y, heading, torch.tensor([-1.0, 1.0]))
        spots.append(torch.stack([x, y], 1))
    spots = torch.stack(spots)
    assert torch.hypot(spots[:, 0, 0], spots[:, 0, 1] - TIGHTEST) == pytest.approx(
        torch.full((50,), TIGHTEST), abs=0.05
    )
    assert torch.allclose(spots[:, 0, 1], -spots[:, 1, 1], atol=1e-4), "-1 is left, 1 the same to the right"
    assert float(torch.hypot(x, y).max()) < 1.0, "once round"


def test_pursuit_meets_the_point_that_it_aims_at() -> None:
    aim = torch.tensor([6.0, 5.0, 4.0, 6.0]), torch.tensor([0.0, 2.0, -1.5, 6.0])
    said = pursuit(*aim)
    assert said[0] == 0 and said[1] < 0 < said[2] and said[3] == -1
    for ahead, left, steering in zip(*(v[:3].tolist() for v in aim), said[:3].tolist(), strict=True):
        x, y, heading = torch.zeros(1), torch.zeros(1), torch.zeros(1)
        near = math.inf
        for _ in range(9):
            x, y, heading = driven(x, y, heading, torch.tensor([steering]))
            near = min(near, math.dist((float(x), float(y)), (ahead, left)))
        assert near < 0.55, "it passes within half a step of it"
    behind = toward(torch.zeros(1), torch.zeros(1), torch.full((1,), math.pi / 2), torch.tensor([1.0]), torch.zeros(1))
    assert behind[0] == pytest.approx(0, abs=1e-6) and behind[1] == pytest.approx(-1)


def test_pixels_look_where_inverse_perspective_says() -> None:
    view = camera(24, 48, CPU)
    assert view.horizon == 6 and view.ahead.shape == (18, 48)
    assert float(view.ahead[-1, 0]) == pytest.approx(2.7)
    assert (view.ahead[:-1] > view.ahead[1:]).all(), "higher is farther"
    assert view.left[:, 0] / view.ahead[:, 0] == pytest.approx(torch.full((18,), 23.5 / 24))
    assert torch.allclose(view.left, -view.left.flip(1), atol=1e-4)
    # a ray through each pixel from the camera's height meets the ground there: pinhole, vertical focus fall / EYE
    rows = torch.arange(18) + 0.5
    assert torch.allclose(EYE * (view.fall / EYE) / rows, view.ahead[:, 0])


def test_a_marking_covers_its_share_of_a_pixel() -> None:
    width = torch.tensor([0.05, 0.5, 2.0])
    distance = torch.linspace(-4, 4, 8001).abs()
    for k, w in enumerate(width.tolist()):
        covered = stripe(distance[:, None].expand(-1, 3), width)[:, k]
        assert covered.max() == pytest.approx(min(1.0, 0.25 / w))
        assert float(covered.sum()) * 0.001 == pytest.approx(0.25, rel=0.35 if w > 0.3 else 0.02)


def test_light_and_noise_are_the_episodes_own() -> None:
    u = torch.rand(64, LIGHTS, generator=torch.Generator().manual_seed(0))
    day, dusk = light(u), light(u, dusk=True)
    assert float(dusk.gain.mean(1).max()) < float(day.gain.mean(1).min()), "darker than any day"
    picture = torch.full((64, 3, 8, 12), 100.0)
    steps = torch.arange(64)
    one, again = exposed(picture, day, steps), exposed(picture, day, steps)
    assert torch.equal(one, again) and not torch.equal(one, exposed(picture, day, steps + 1))
    assert torch.equal(one[5:6], exposed(picture[5:6], type(day)(*(f[5:6] for f in day)), steps[5:6])), "in any company"
    still = exposed(picture, day, steps, 0.0).float()
    found = (one.float() - still).flatten(1).std(1)
    inside = (still.amin((1, 2, 3)) > 45) & (still.amax((1, 2, 3)) < 210)  # where nothing is cut off
    assert inside.sum() > 10
    assert found[inside].numpy() == pytest.approx(day.noise[inside].numpy(), rel=0.25, abs=0.4)
    x = torch.linspace(0, 60, 500).repeat(64, 1)
    shadows = shade(x, torch.zeros_like(x), day)
    assert float(shadows.max()) == 1 and 0.3 < float(shadows.min()) < 0.75
    assert ((shadows.amin(1) == 1) >= (day.level > 1)).all(), "above a level of 1 there are none"


def test_colours_are_told_apart() -> None:
    paint = painted(torch.rand(500, LOOKS, generator=torch.Generator().manual_seed(1)))
    assert float((paint.road - paint.land).abs().amax(1).min()) > 20
    kinds = {(int(a), int(b)) for a, b in zip(paint.edges, paint.middle, strict=True)}
    assert kinds == {(0, 0), (1, 0), (0, 1), (1, 1)}


# A world


def test_the_expert_drives_every_road() -> None:
    world = Road(12, 11, **SMALL)
    reward, left = torch.zeros(12), torch.zeros(12, dtype=torch.bool)
    going, steps = torch.ones(12, dtype=torch.bool), 0
    while going.any():
        outcome = world.step(world.expert())
        reward += outcome.reward * going
        steps += 1
        left |= going & outcome.ended
        going &= ~(outcome.ended | outcome.cut)
    assert not left.any()
    assert float(world.last.min()) >= LAPS
    assert 500 < steps < 1800
    assert float((reward / steps).max()) <= 1.0 and float(reward.min()) > 450, "near 1 a step"


def test_straight_on_leaves_the_road_and_the_next_begins() -> None:
    world = Road(5, 2)
    first = world.observation.clone()
    over, steps = torch.zeros(5, dtype=torch.bool), 0
    while not over.all():
        before = world.number.clone()
        outcome = world.step(torch.zeros(5, 1))
        steps += 1
        for n in range(5):
            if outcome.ended[n]:
                assert world.number[n] == before[n] + 1 and world.steps[n] == 0 and world.travelled[n] == 0
                assert not torch.equal(outcome.final[n], world.observation[n])
                assert world.offset[n].abs() < 1 and world.last[n] < 1
            else:
                assert torch.equal(outcome.final[n], world.observation[n])
        over |= outcome.ended
    assert not outcome.cut.any() and steps < 200
    assert world.observation.shape == (5, 3, 24, 48) and world.observation.dtype == torch.uint8
    assert first.float().std() > 10


def test_half_of_the_roads_turn_the_other_way() -> None:
    world = Road(30, 4, **SMALL)
    right = world._hand > 0
    assert 7 < int(right.sum()) < 23
    said = torch.zeros(30)
    for _ in range(450):  # once round and more
        action = world.expert()
        said += action[:, 0]
        world.step(action)
    assert float(said[right].max()) < 0 < float(said[~right].min()), "round to the left, to the right"


def test_an_episode_is_the_same_in_any_company() -> None:
    many, one = Road(4, 9), Road(1, 9)
    assert torch.equal(many._table[0], one._table[0]) and torch.equal(many._drawn[0], one._drawn[0])
    for _ in range(20):
        assert (many.observation[0].int() - one.observation[0].int()).abs().float().mean() < 0.2
        many.step(many.expert())
        one.step(one.expert())
    assert not torch.equal(Road(1, 10)._drawn, one._drawn)


def test_other_seeds_and_dusk() -> None:
    world = Road(8, 1)
    fresh = world.fresh(8, 2)
    assert not torch.equal(world._drawn, fresh._drawn) and fresh.facts == world.facts
    day, dusk = world.fresh(20, 5), world.fresh(20, 5, dusk=True)
    assert torch.equal(day._table, dusk._table), "the same roads"
    assert (day.observation.float().mean((1, 2, 3)) > dusk.observation.float().mean((1, 2, 3))).all()


@pytest.mark.parametrize("kind", [Road, Field])
def test_a_saved_world_goes_on_to_the_same_bits(kind: type[Road] | type[Field], tmp_path: Path) -> None:
    """Through the file of a run's state, and across ends of episodes."""
    world, rng = kind(4, 7, **SMALL), torch.Generator().manual_seed(0)
    actions = [torch.rand(4, 1, generator=rng) * 2 - 1 for _ in range(500)]
    for action in actions[:150]:
        world.step(action)
    assert write_state(tmp_path / "world.safetensors", {"world": world}, {"step": 1})
    again = kind(4, 7, **SMALL)
    read_state(tmp_path / "world.safetensors", {"world": again}, {"step": int})
    assert torch.equal(again.observation, world.observation)
    ended = 0
    for action in actions[150:]:
        one, two = world.step(action), again.step(action)
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert torch.equal(world.observation, again.observation)
        ended += int((one.ended | one.cut).sum())
    assert ended > 3, "roads were left and begun"
    assert all(torch.equal(getattr(world, name), getattr(again, name)) for name in kind._kept())


@pytest.mark.parametrize("kind", [Road, Field])
def test_the_state_of_another_world_is_refused(kind: type[Road] | type[Field]) -> None:
    with pytest.raises(ValueError, match="not"):
        kind(3, 0).load_state_dict(kind(2, 0).state_dict())


@pytest.mark.parametrize("kind", [Road, Field])
def test_what_a_person_sees(kind: type[Road] | type[Field]) -> None:
    world = kind(2, 0)
    before = world.observation.clone()
    picture = world.picture()
    assert picture.shape == (96, 192, 3) and picture.dtype == torch.uint8 and picture.is_contiguous()
    assert torch.equal(world.observation, before) and torch.equal(world.picture(), picture)
    small = world.observation[0].permute(1, 2, 0).float()
    large = picture.float().view(24, 4, 48, 4, 3).mean((1, 3))
    assert float((large - small)[12:].abs().median()) < 14, "the same scene, without the camera's noise"
    facts = world.facts
    assert facts["kind"] == "world" and facts["shape"] == [3, 24, 48] and not facts["discrete"]


# Fields


def test_the_expert_finds_every_post() -> None:
    world = Field(24, 3, **SMALL)
    found, going = torch.zeros(24), torch.ones(24, dtype=torch.bool)
    unseen = 0
    while going.any():
        ahead, left = toward(world.x, world.y, world.heading, world.goal_x, world.goal_y)
        unseen += int((going & (ahead < left.abs())).sum())
        outcome = world.step(world.expert())
        over = going & (outcome.ended | outcome.cut)
        found[over] = world.last[over].float()
        going &= ~over
    assert found.tolist() == [GOALS] * 24
    assert unseen > 200, "it had to look for them"


def put(world: Field, ahead: float, left: float) -> None:
    """Put the first car's goal so far ahead of it and to its left."""
    cos, sin = float(world.heading[0].cos()), float(world.heading[0].sin())
    world.goal_x[0] = world.x[0] + ahead * cos - left * sin
    world.goal_y[0] = world.y[0] + ahead * sin + left * cos


def test_who_goes_straight_on_is_cut_and_a_goal_pays() -> None:
    world = Field(6, 0, **SMALL)
    cut = torch.zeros(6, dtype=torch.bool)
    for _ in range(MOST_STEPS):
        outcome = world.step(torch.zeros(6, 1))
        cut |= outcome.cut
    assert cut.sum() >= 5, "luck aside"
    world = Field(1, 0)
    world.goal_x[0], world.goal_y[0] = (
        world.x[0] + 3.5 * world.heading[0].cos(),
        world.y[0] + 3.5 * world.heading[0].sin(),
    )
    outcome = world.step(torch.zeros(1, 1))
    assert float(outcome.reward) == pytest.approx(11.0, abs=1e-3) and int(world.reached) == 1
    again = math.hypot(float(world.goal_x - world.x), float(world.goal_y - world.y))
    assert again > REACHED + 5, "the next one stands elsewhere"


def test_the_goal_is_red_and_where_it_stands() -> None:
    world = Field(1, 5, height=96, width=192)
    world._light = world._light._replace(gain=torch.ones(1, 3), tilt=torch.zeros(1), noise=torch.zeros(1))
    for ahead, left in ((10.0, 0.0), (10.0, 4.0), (15.0, -6.0)):
        put(world, ahead, left)
        world._others[:] = 1e4
        seen = world._seen(world._view, world._slot)[0].int()
        red = (seen[0] > 180) & (seen[1] < 90) & (seen[2] < 90)
        assert red.any()
        rows, columns = red.nonzero().unbind(1)
        assert float(columns.float().mean()) + 0.5 == pytest.approx(96 - 96 * left / ahead, abs=1.5)
        assert float(rows.max()) + 1 == pytest.approx(24 + 2.7 * 71.5 / ahead, abs=1.5), "its foot on the ground"
    world.goal_x[0], world.goal_y[0] = (
        world.x[0] - 10 * world.heading.cos()[0],
        world.y[0] - 10 * world.heading.sin()[0],
    )
    seen = world._seen(world._view, world._slot)[0].int()
    assert not ((seen[0] > 180) & (seen[1] < 90) & (seen[2] < 90)).any(), "not seen behind"
    assert HALF > EDGE
