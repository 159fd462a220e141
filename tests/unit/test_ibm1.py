"""The table of words against the equations written as loops; a search against all orders."""

from __future__ import annotations

import itertools
import math

import pytest

from milestones.parts.ibm1 import NONE, WordByWord, word_table
from milestones.parts.ngram import END

SOURCES = [[1, 2], [1, 3], [2], [3, 4, 1]]
TARGETS = [[1, 2], [1, 3], [2], [4, 3, 1]]


def by_loops(rounds: int) -> dict[tuple[int, int], float]:
    pairs = [([NONE, *one], two) for one, two in zip(SOURCES, TARGETS, strict=True)]
    table = {(e, f): 1.0 for one, two in pairs for e in one for f in two}
    for _ in range(rounds):
        count = dict.fromkeys(table, 0.0)
        for one, two in pairs:
            for f in two:
                total = sum(table[e, f] for e in one)
                for e in one:
                    count[e, f] += table[e, f] / total
        sums = {e: sum(c for (other, _), c in count.items() if other == e) for e, _ in table}
        table = {(e, f): c / sums[e] for (e, f), c in count.items()}
    return table


@pytest.mark.parametrize("rounds", [1, 2, 10])
def test_the_table_is_that_of_the_equations(rounds: int) -> None:
    assert word_table(SOURCES, TARGETS, rounds) == pytest.approx(by_loops(rounds))


def test_words_find_their_translations() -> None:
    table = word_table(SOURCES, TARGETS, 30)
    for word in (1, 2, 3):
        assert max(range(1, 5), key=lambda two: table.get((word, two), 0)) == word


def test_the_search_finds_the_best_of_all_orders_and_words() -> None:
    model = WordByWord(SOURCES, TARGETS, 4)
    found = model.translate([3, 4, 1], width=1000, reach=3)
    best: tuple[float, list[int]] = (-math.inf, [])
    for order in itertools.permutations(range(3)):
        for chosen in itertools.product(*([None, *model.table[[3, 4, 1][k]]] for k in order)):
            score, said, last = 0.0, [END, END], -1
            for k, one in zip(order, chosen, strict=True):
                score -= 0.3 * abs(k - last - 1)
                last = k
                if one is None:
                    score += math.log(0.05)
                    continue
                if one[0] <= 0.01:
                    score = -math.inf
                    break
                score += math.log(one[0]) + math.log(model.words.chance(tuple(said), one[1])) + 0.6
                said.append(one[1])
            score += math.log(model.words.chance(tuple(said), END))
            best = max(best, (score, said[2:]))
    assert found == best[1]
    assert model.translate([9, 9]) == []
