"""The world of shapes: what is said of a picture is what is drawn, and training never shows what tests ask for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from milestones.core.source import keyed
from milestones.data.shapes import (
    COLOURS,
    HELD_OUT,
    KNOWN,
    PAIRS,
    SHAPES,
    SIDE,
    SIZES,
    World,
    drawn,
    groups_of,
    named,
    sentences,
    worlds,
)  # fmt: skip

COUNT = 400


@pytest.fixture(scope="module")
def world() -> World:
    return worlds(COUNT, keyed("test of shapes"))


def things(world: World, row: int, group: int) -> np.ndarray:
    """Middle and radius of each thing of a group, "M 3"."""
    mine = world.group[row] == group
    return np.stack([world.x[row], world.y[row], world.radius[row]], 1)[mine]


def test_no_pair_that_is_held_out_is_drawn(world: World) -> None:
    assert len(KNOWN) + sum(map(len, HELD_OUT.values())) == len(PAIRS) == len(COLOURS) * len(SHAPES)
    assert not set(HELD_OUT["valid"]) & set(HELD_OUT["test"])
    colours, shapes = zip(*KNOWN, strict=True)
    assert set(colours) == set(COLOURS) and set(shapes) == set(SHAPES), "each is learned, if not each pair"
    for row in range(COUNT):
        for group in range(2):
            if world.count[row, group]:
                pair = list(COLOURS)[world.colour[row, group]], SHAPES[world.shape[row, group]]
                assert pair in KNOWN


@pytest.mark.parametrize("split", HELD_OUT)
def test_each_test_picture_has_a_pair_that_is_held_out(split: str) -> None:
    must = HELD_OUT[split]
    found = worlds(COUNT, keyed("test of shapes"), (*KNOWN, *must), must)
    seen = set()
    for row in range(COUNT):
        pairs = {(list(COLOURS)[found.colour[row, g]], SHAPES[found.shape[row, g]])
                 for g in range(2) if found.count[row, g]}  # fmt: skip
        assert pairs & set(must)
        assert pairs <= {*KNOWN, *must}
        seen |= pairs & set(must)
    assert seen == set(must)


def test_things_lie_apart_inside_the_picture(world: World) -> None:
    for row in range(COUNT):
        all_things = np.concatenate([things(world, row, 0), things(world, row, 1)])
        assert len(all_things) == world.count[row].sum()
        assert (all_things[:, :2] - all_things[:, 2:] >= 0).all()
        assert (all_things[:, :2] + all_things[:, 2:] <= SIDE).all()
        for i, a in enumerate(all_things):
            for b in all_things[:i]:
                assert np.hypot(*(a - b)[:2]) >= a[2] + b[2] + 0.9


def test_what_is_said_is_true(world: World) -> None:
    """Each sentence is taken apart and compared with where things were drawn."""
    inverse = {"left": "right", "right": "left", "above": "below", "over": "under", "below": "above", "under": "over"}
    both = 0
    for row in range(COUNT):
        said = sentences(world, row)
        assert len(set(said)) == len(said) >= 3
        names = [named(world, row, group) for group in range(2) if world.count[row, group]]
        for one in said:
            words = one.split()
            found = groups_of(words)
            assert sorted(name for name, _ in found) == sorted(names)
            assert all(" ".join(words[i] for i in at) == name for name, at in found)
            if len(found) == 1:
                continue
            both += 1
            first, second = (things(world, row, names.index(name)) for name, _ in found)
            word = next(word for word in words if word in inverse)
            axis = 0 if word in ("left", "right") else 1
            if word in ("right", "below", "under"):
                first, second = second, first
            assert (first[:, axis] + first[:, 2]).max() <= (second[:, axis] - second[:, 2]).min(), one
    assert both > COUNT


def test_what_is_true_is_said_where_nothing_is_doubtful(world: World) -> None:
    """No picture has groups that nearly lie beside each other; where they do, that may be said, both ways round."""
    for row in range(COUNT):
        if not world.count[row, 1]:
            continue
        one, other = things(world, row, 0), things(world, row, 1)
        said = sentences(world, row)
        names = [named(world, row, group) for group in range(2)]
        for axis, (low, high) in enumerate((("left of", "right of"), ("above", "below"))):
            gap = (other[:, axis] - other[:, 2]).min() - (one[:, axis] + one[:, 2]).max()
            back = (one[:, axis] - one[:, 2]).min() - (other[:, axis] + other[:, 2]).max()
            assert not -2.9 < gap < 0.9
            assert not -2.9 < back < 0.9
            assert (f"{names[0]} {low} {names[1]}" in said) == (gap > 0)
            assert (f"{names[1]} {high} {names[0]}" in said) == (gap > 0)
            assert (f"{names[0]} {high} {names[1]}" in said) == (back > 0)


def test_pixels_belong_to_the_things_that_are_drawn(world: World) -> None:
    found = drawn(world, keyed("pixels"))
    assert found.image.shape == (COUNT, 3, SIDE, SIDE) and found.image.dtype == torch.uint8
    paint = np.array(list(COLOURS.values()), float)
    for row in range(COUNT):
        for group in range(2):
            own = found.owner[row].numpy() == group + 1
            mine = things(world, row, group)
            assert bool(own.any()) == bool(len(mine))
            if not len(mine):
                continue
            y, x = np.nonzero(own)
            far = np.hypot(x[:, None] + 0.5 - mine[:, 0], y[:, None] + 0.5 - mine[:, 1]) / mine[:, 2]
            assert far.min(1).max() < 1.3
            assert len(set(far.argmin(1))) == len(mine), "each thing is seen"
            level = found.image[row].numpy()[:, own].mean(1)
            nearest = np.abs(paint - level).sum(1).argmin()
            assert nearest == world.colour[row, group]


def test_a_thing_is_as_large_as_is_said(world: World) -> None:
    sizes = np.array(list(SIZES.values()))
    for row in range(COUNT):
        for group in range(2):
            low, high = sizes[world.size[row, group]]
            radius = things(world, row, group)[:, 2]
            assert ((radius >= low) & (radius <= high)).all()


def test_forms_differ_and_have_their_area() -> None:
    """Large things of one size, counted in pixels: a disc's area is known, the others cover less in a known order."""
    n = 300
    one = worlds(n, keyed("areas"))
    single = np.flatnonzero((one.count.sum(1) == 1) & (one.size[:, 0] == 1))
    area = {name: [] for name in SHAPES}
    owner = drawn(one, keyed("areas", 1)).owner.numpy()
    for row in single:
        radius = float(things(one, row, 0)[0, 2])
        area[SHAPES[one.shape[row, 0]]].append((owner[row] == 1).sum() / (np.pi * radius**2))
    mean = {name: float(np.mean(values)) for name, values in area.items()}
    assert mean["circle"] == pytest.approx(0.97**2, abs=0.04)
    assert mean["square"] == pytest.approx(1.68**2 / np.pi, abs=0.05)
    assert mean["ring"] == pytest.approx(1 - 0.25, abs=0.06)
    assert mean["star"] < mean["cross"] + 0.15 < mean["ring"] + 0.15
    assert mean["triangle"] == pytest.approx(1.74 * 1.005 / np.pi, abs=0.05)  # half of base times height


def test_worlds_are_the_same_for_the_same_key() -> None:
    one, two, other = (worlds(40, keyed("again", k)) for k in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one.x, other.x)
    assert torch.equal(drawn(one, keyed(3)).image, drawn(two, keyed(3)).image)
