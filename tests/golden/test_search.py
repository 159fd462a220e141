"""One whole search tree by each rule, node by node, against the committed ones: tic-tac-toe after two moves, with a net
that is drawn from the position.

A change on purpose: UPDATE_GOLDEN=1 python -m pytest tests/golden, and say in the commit why they moved.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason='Search needs an extra: pip install "milestones[games]"')
from unit.small_games import Lines, opinion

from milestones.parts.keyed import keys
from milestones.parts.search import Gumbel, Puct, Tree

RULES = {"puct": Puct(), "gumbel": Gumbel(considered=6)}
SIMULATIONS = 120
BEGIN = (0, 1)  # a corner, and an edge beside it: the mover wins, which 120 simulations do not prove


def searched(rule: Puct | Gumbel, seed: int = 0) -> dict[str, Any]:
    """The tree, and what it says."""
    game = Lines(3, 3, 3)
    tree, states = Tree(1, 9, 2, SIMULATIONS, rule), game.begin(1)
    for move in BEGIN:
        states, _ = game.step(states, np.array([move]))
    tree.begin(states, game.turn(states).legal, keys(seed, np.arange(1), np.arange(1)), SIMULATIONS)
    tree.settle(*opinion(states, 9))
    while len((leaf := tree.leaves()).moves):
        new, turn = game.step(leaf.states, leaf.moves)
        rows = tree.grow(new, turn.legal, turn.ended, turn.value)
        tree.settle(*opinion(new[rows], 9))
    answer = tree.answer()
    return {
        "move": int(answer.move[0]), "line": tree.line(0), "value": float(answer.value[0]),
        "proven": answer.proven[0].tolist(),
        "visits": answer.visits[0].tolist(), "policy": answer.policy[0].tolist(), "q": answer.q[0].tolist(),
        "nodes": tree.replies(0, depth=9, width=9),
    }  # fmt: skip


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 8) if isinstance(value, float) else value


def compare(found: Any, kept: Any) -> None:
    """Whole numbers are equal, others nearly."""
    if isinstance(kept, list):
        assert len(found) == len(kept)
        for one, other in zip(found, kept, strict=True):
            compare(one, other)
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=1e-5, abs=1e-7)
    else:
        assert found == kept


@pytest.mark.parametrize("name", RULES)
def test_the_whole_tree(name: str) -> None:
    file, found = Path(__file__).with_name(f"search_{name}.json"), searched(RULES[name])
    if os.environ.get("UPDATE_GOLDEN"):
        text = {
            "format": 1,
            "search": name,
            "rule": RULES[name]._asdict(),
            "simulations": SIMULATIONS,
            **rounded(found),
        }
        file.write_text(json.dumps(text) + "\n")
    assert file.exists(), "write it: UPDATE_GOLDEN=1 python -m pytest tests/golden"
    kept = json.loads(file.read_text())
    assert kept["rule"] == RULES[name]._asdict() and kept["simulations"] == SIMULATIONS
    for key, value in found.items():
        compare(value, kept[key])


def test_another_key_has_another_tree() -> None:
    for name, rule in RULES.items():
        kept = json.loads(Path(__file__).with_name(f"search_{name}.json").read_text())
        assert searched(rule, seed=1)["nodes"] != kept["nodes"]
