"""Which pages a check trains: changed ones first, each in its turn, never beyond the time."""

from __future__ import annotations

from learns.rotation import chosen, rotation

COSTS = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 40.0, "e": 50.0}


def test_changed_pages_come_first() -> None:
    assert rotation(COSTS, ["e", "gone", "c"], 0, 90) == {"e", "c", "a"}


def test_each_page_has_its_turn() -> None:
    seen = [rotation(COSTS, [], turn, 60) for turn in range(5)]
    assert seen[0] == {"a", "b", "c"} and seen[3] == {"d", "a"} and set().union(*seen) == set(COSTS)
    assert all(sum(COSTS[name] for name in kept) <= 60 for kept in seen)
    assert rotation(COSTS, [], 7, 60) == seen[2]


def test_one_at_least_and_all_where_there_is_time() -> None:
    assert rotation(COSTS, ["e"], 0, 1) == {"e"}
    assert rotation(COSTS, [], 3, 1000) == set(COSTS)


def test_what_is_chosen_here_is_known() -> None:
    allowed = dict.fromkeys(COSTS, 100.0)
    kept = chosen(allowed)
    assert kept and kept <= set(allowed)
