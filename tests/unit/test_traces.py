"""What a reader keeps count of, by hand; cells that follow it are found, and judged on text that chose none."""

from __future__ import annotations

import numpy as np
import pytest

from milestones.parts.traces import FAR, correlations, followers, traces


def test_what_a_reader_keeps_count_of() -> None:
    found = traces('Ab c.\n"IT (x) we" “q” ')
    assert found["line"].tolist() == [1, 2, 3, 4, 5, 0, *range(1, 17)]
    assert found["word"].tolist() == [1, 2, 0, 1, 0, 0, 0, 1, 2, 0, 0, 1, 0, 0, 1, 2, 0, 0, 0, 1, 0, 0]
    assert found["sentence"].tolist() == [1, 2, 3, 4, 0, *range(1, 18)]
    assert found["quotes"].tolist() == [0] * 6 + [1] * 10 + [0, 0, 1, 1, 0, 0]
    assert found["brackets"].tolist() == [0] * 10 + [1, 1] + [0] * 10
    assert found["capitals"].nonzero()[0].tolist() == [8]
    assert traces('"a\n\nb')["quotes"].tolist() == [1, 1, 1, 0, 0], "a paragraph ends"
    assert traces("x" * (FAR + 9))["line"].max() == FAR
    assert all(len(trace) == 0 for trace in traces("").values())


def test_the_cell_that_follows_is_found() -> None:
    rng = np.random.default_rng(0)
    counts, still = rng.exponential(20, size=400).round(), np.ones(400)
    trace = np.log1p(counts)
    cells = rng.normal(size=(400, 7))
    cells[:, 3] = -2 * trace + 0.1 * rng.normal(size=400)
    cells[:, 5] = 1.0  # one that never moves
    (found,) = followers(cells, {"what": counts, "still": still})
    assert (found.what, found.cell, found.sign) == ("what", 3, -1)
    assert found.correlation == pytest.approx(-np.corrcoef(cells[200:, 3], trace[200:])[0, 1])
    np.testing.assert_allclose(correlations(cells, trace)[5], 0)


def test_it_is_judged_on_the_half_that_did_not_choose_it() -> None:
    """Of many cells that follow nothing the best of one half is nothing on the other."""
    rng = np.random.default_rng(1)
    trace, cells = rng.exponential(size=200), rng.normal(size=(200, 500))
    cells[:100, 9] = np.log1p(trace[:100])
    (found,) = followers(cells, {"what": trace})
    assert found.cell == 9 and abs(found.correlation) < 0.35
    assert followers(cells[:1], {"what": trace[:1]}) == []
