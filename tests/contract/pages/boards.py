"""A page that plays a board game with a small net: it learns from random games who wins them, and little else.

Paper       none; a page for tests.
Idea        a move after which random games are won is a good one.
Deviations  none.
Result      none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from milestones.core.config import Config, Field
from milestones.core.fit import fit
from milestones.core.run import Run
from milestones.core.score import Score
from milestones.core.source import Data, Facts, Held, Place, key
from milestones.core.system import System
from milestones.media import Board, Media, Text
from milestones.parts.keyed import keys
from milestones.worlds.games import game
from milestones.worlds.games.analysis import analysed
from milestones.worlds.games.arena import share
from milestones.worlds.games.opponents import Searching, among


class Position(NamedTuple):
    planes: Tensor  # uint8 "B C H W"
    move: Tensor  # of those that are allowed, the one after which most random games were won
    outcome: Tensor  # 0 won, 1 drawn, 2 lost, of one random game


class Knobs(Config):
    game: str = Field(default="tictactoe", description="what to play")
    positions: int = Field(default=600, ge=10, description="of random games, to learn from")
    steps: int = Field(default=60, ge=1, description="updates")
    batch: int = Field(default=32, ge=1, description="positions an update")
    pairs: int = Field(default=4, ge=1, description="pairs of games to score")


class Net(nn.Module):
    def __init__(self, shape: Sequence[int], actions: int) -> None:
        super().__init__()
        self.body = nn.Linear(int(np.prod(shape)), 32)
        self.policy, self.outcome = nn.Linear(32, actions), nn.Linear(32, 3)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.body(planes.float().flatten(1)).relu()
        return self.policy(seen), self.outcome(seen)


def prepare(knobs: Knobs, place: Place) -> Data[Position]:
    played = game(knobs.game)
    facts = {**played.facts, "board": played.board(played.begin(1)[0]).plain(), "data": {"name": "random games"}}
    held = []
    for split, count in (("train", knobs.positions), ("valid", 64), ("test", 64)):
        seed = key(place.seed, "positions", split)
        states = played.begin(count)
        for ply in range(facts["longest"] // 2):  # each stops somewhere
            turn, drawn = played.turn(states), keys(seed, np.arange(count), np.full(count, ply))
            on = np.flatnonzero((drawn % np.uint64(4) != 0) & ~turn.ended)
            after, turn = played.step(states[on], among(turn.legal[on], drawn[on]))
            states[on[~turn.ended]] = after[~turn.ended]
        legal = played.turn(states).legal
        row, move = np.nonzero(legal)
        after, turn = played.step(states[row], move)
        worth = np.full(legal.shape, -2.0)
        worth[row, move] = -np.mean([np.where(turn.ended, turn.value, played.playout(after, seed + k))
                                     for k in range(8)], 0)  # fmt: skip
        outcome = 1 - played.playout(states, seed).astype(np.int64)
        arrays = played.planes(states), worth.argmax(1), outcome
        held.append(Held(Position(*map(torch.from_numpy, arrays)), place, "random games", split))
    return Data(*held, facts)


def build(knobs: Knobs, facts: Facts) -> Net:
    return Net(facts["shape"], facts["actions"])


def loss(model: Net, batch: Position) -> dict[str, Tensor]:
    policy, outcome = model(batch.planes)
    return {"loss": F.cross_entropy(policy, batch.move) + F.cross_entropy(outcome, batch.outcome)}


def train(knobs: Knobs, model: Net, data: Data[Position], run: Run) -> None:
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch,
        optimizer=torch.optim.Adam(model.parameters(), 1e-2))  # fmt: skip


def score(knobs: Knobs, model: Net, data: Data[Position], place: Place) -> dict[str, Score]:
    player = Searching("net", model, data.facts, 8)
    return {"against_random": share(game(knobs.game), player, "random", knobs.pairs, place.seed)}


def use(model: Net, facts: Facts, items: Sequence[Media]) -> list[dict[str, Any]]:
    return analysed(model, facts, items, 16)


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, build, train, score, use, takes=(Text, Board))
