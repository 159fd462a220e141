"""Skeletons: lines where the middle of the ink is, their crossings, and the strokes that the pen may have taken."""

from __future__ import annotations

import numpy as np
import pytest

from milestones.parts.skeleton import GOES, SIMPLE, length, parsed, thinned, traced


def ink(*boxes: tuple[int, int, int, int], side: int = 40) -> np.ndarray:
    """A sheet with ink from row to row and column to column."""
    page = np.zeros((side, side), bool)
    for top, bottom, left, right in boxes:
        page[top:bottom, left:right] = True
    return page


def lines(page: np.ndarray) -> list[np.ndarray]:
    return parsed(traced(thinned(page[None])[0]))


def pieces(page: np.ndarray) -> int:
    """Pieces of ink that touch, corners too."""
    left, count = set(zip(*np.nonzero(page), strict=True)), 0
    while left:
        fresh, count = [left.pop()], count + 1
        while fresh:
            y, x = fresh.pop()
            for at in [(y + v, x + h) for v in (-1, 0, 1) for h in (-1, 0, 1)]:
                if at in left:
                    left.remove(at)
                    fresh.append(at)
    return count


def test_a_bar_is_its_middle_line() -> None:
    (path,) = lines(ink((18, 21, 5, 35)))
    assert np.allclose(path[:, 0], 19, atol=1) and 24 <= length(path) <= 30


def test_a_pixel_may_go_as_counted_over_its_ring() -> None:
    """By hand: an end stays, an edge of a bar goes, the inside and a bridge stay."""
    end, edge, bridge = 0b00000001, 0b00011111, 0b00010001  # bits from the top, clockwise
    assert not GOES[:, end].any() and not GOES[:, bridge].any() and not GOES[:, 255].any()
    assert GOES[1, edge] and not GOES[0, edge]
    assert SIMPLE[0b00000101] and not SIMPLE[bridge] and not SIMPLE[end] and not SIMPLE[255]


def test_thinning_keeps_pieces_and_each_piece() -> None:
    rng = np.random.default_rng(0)
    page = np.zeros((6, 30, 30), bool)
    for one in page:
        for y, x in rng.integers(2, 24, (7, 2)):
            one[y : y + rng.integers(2, 5), x : x + rng.integers(2, 5)] = True
    for before, after in zip(page, thinned(page), strict=True):
        assert pieces(before) == pieces(after) and not (after & ~before).any()


def test_a_cross_is_two_strokes() -> None:
    strokes = lines(ink((5, 35, 19, 22), (19, 22, 5, 35)))
    assert len(strokes) == 2
    spans = sorted(tuple(np.ptp(path, axis=0).round().astype(int)) for path in strokes)
    assert spans[0][0] <= 2 <= 22 <= spans[0][1] and spans[1][1] <= 2 <= 22 <= spans[1][0]


def test_a_tee_is_its_bar_and_its_stem() -> None:
    strokes = lines(ink((5, 8, 5, 35), (5, 35, 19, 22)))
    assert len(strokes) == 2
    assert max(np.ptp(path[:, 1]) for path in strokes) > 22 and max(np.ptp(path[:, 0]) for path in strokes) > 20


def test_a_ring_and_a_dot() -> None:
    ring = ink((5, 30, 5, 30))
    ring[8:27, 8:27] = False
    (path,) = lines(ring)
    assert np.allclose(path[0], path[-1]) and length(path) == pytest.approx(4 * 22, abs=12)
    strokes = lines(ink((10, 12, 10, 12)))
    assert len(strokes) == 1 and length(strokes[0]) <= 2


def test_each_line_is_drawn_once_however_it_is_parsed() -> None:
    page = ink((5, 35, 10, 13), (5, 35, 26, 29), (10, 13, 5, 35), (26, 29, 5, 35))
    found = traced(thinned(page[None])[0])
    want = sum(length(line.path) for line in found)
    counts = set()
    for seed in range(6):
        strokes = parsed(found, np.random.default_rng(seed))
        assert sum(map(length, strokes)) == pytest.approx(want)
        counts.add(len(strokes))
    assert len(parsed(found)) == 4 and len(counts) > 1
