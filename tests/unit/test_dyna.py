"""Dyna-Q in its maze: the way is the known one, and steps in the mind spare real ones."""

from __future__ import annotations

from collections import deque

from milestones.parts.dyna import MAZE, curves, dyna, ways


def shortest() -> int:
    after, start, goal = ways()
    far, queue = {start: 0}, deque([start])
    while queue:
        cell = queue.popleft()
        for there in after[cell]:
            if there not in far:
                far[there] = far[cell] + 1
                queue.append(there)
    return far[goal]


def test_walls_and_edges_hold() -> None:
    after, start, goal = ways()
    assert (start, goal, len(after)) == (18, 8, 54)
    assert after[start] == [9, 27, 18, 19]  # up, down, left (the edge), right
    assert after[19][3] == 19, "a wall"
    walls = {k for k, cell in enumerate("".join(MAZE)) if cell == "#"}
    reached = {there for cell, row in enumerate(after) if cell not in walls for there in row}
    assert not walls & reached and len(walls) == 7


def test_the_way_takes_fourteen_steps() -> None:
    assert shortest() == 14
    late = [dyna(5, seed)[-20:] for seed in range(3)]
    assert min(map(min, late)) == 14, "the best way is found"
    assert sum(map(sum, late)) / 60 < 18, "and mostly gone: one step in ten is tried at random"


def test_steps_in_the_mind_spare_real_ones() -> None:
    """Of the second to the sixth episode: the first one is chance."""
    total = [sum(sum(dyna(planning, seed)[1:6]) for seed in range(8)) for planning in (0, 5, 50)]
    assert total[0] > 3 * total[1] > 3 * 2 * total[2]


def test_a_seed_repeats_itself() -> None:
    assert dyna(5, 1, 10) == dyna(5, 1, 10) != dyna(5, 2, 10)


def test_curves_are_means() -> None:
    found = curves(2, 4)
    assert list(found) == ["0 in the mind", "5 in the mind", "50 in the mind"]
    assert found["5 in the mind"] == [(a + b) / 2 for a, b in zip(dyna(5, 0, 4), dyna(5, 1, 4), strict=True)]
