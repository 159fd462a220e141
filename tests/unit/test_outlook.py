"""When a curve will reach a level: exactly where it is a power of the steps, and silence where nobody can know."""

from __future__ import annotations

import pytest

from milestones.parts.outlook import reaching


def test_a_power_is_continued_exactly() -> None:
    curve = [(step, 40 * step**-0.5) for step in (10, 20, 30, 40, 50, 60)]
    found = reaching(curve, (10.0, 5.0, 2.0, 1.0), 60)
    assert found == pytest.approx({"to_5": 64 - 60, "to_2": 400 - 60, "to_1": 1600 - 60})  # 5.16 is below 10


def test_what_cannot_be_known_is_left_out() -> None:
    assert reaching([], (1.0,), 1) == {}
    assert reaching([(1, 5.0), (2, 4.0)], (1.0,), 2) == {}
    assert reaching([(1, 5.0), (2, 5.0), (3, 6.0), (4, 6.5)], (1.0,), 4) == {}, "it does not fall"
    assert reaching([(k, 5.0 - 0.001 * k) for k in range(1, 8)], (1.0,), 7) == {}, "too far away"
    assert reaching([(1, 5.0), (2, 0.0), (3, 2.0), (4, 1.0), (5, 0.0)], (0.5,), 5) == {}, "zeros have no logarithm"
