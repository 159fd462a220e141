"""Nets learn from games of go, then from games against themselves, and a search weighs what they say.

Paper       Silver, Huang, Maddison et al. (2016), Mastering the game of Go with deep neural networks and tree search,
            Nature 529, 484-489.
Idea        four stages. A policy learns the moves of records, and a linear one, a thousand times faster, the same. The
            policy plays earlier selves, and moves of games that were won become likelier. A value learns who wins
            these games. A search then follows the policy, and weighs a new position by the value and by a game that
            the fast policy plays from there to its end.
Deviations  small boards and nets. Records are of a net that taught itself, not of people. A pass is a move. The fast
            policy has fewer features and, where there is no other, is the prior. Adam; the gain of a game is counted
            from the mean of its colour; of earlier selves the last few are kept. Value positions are turned and
            mirrored. A new position is grown at once, and proved results are exact in the tree; no virtual loss.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, evaluate, fit
from ..core.run import Run
from ..core.score import Score, answers, mean_score, rate_score
from ..core.source import Data, Facts, Held, Place, key
from ..core.system import System
from ..data.splits import divide, shares
from ..media import Board, Media, Text, history
from ..parts.initial import he, orthogonal
from ..parts.metrics import error_rate
from ..worlds.games.analysis import analysed
from ..worlds.games.arena import share
from ..worlds.games.game import Stones
from ..worlds.games.judged import Positions, ranked
from ..worlds.games.opponents import Searching
from ..worlds.games.recorded import Ended, Recorded, facts_of, name_of, sources
from ..worlds.games.records import read_records
from ..worlds.games.rollouts import FastPolicy, table, told_of
from ..worlds.games.sampled import KINDS, duel, positions, results

RECORDS = Path(__file__).parents[1] / "data" / "records5.sgf.gz"
LARGE = "19 x 19"
# The paper's Table 7: who has the policy, the value, rollouts; Elo there, above that of rollouts alone.
PLAYERS = {
    "elo_rollouts": (False, False, True, 0.0), "elo_policy": (True, False, False, 60.0),
    "elo_value": (False, True, False, 198.0), "elo_value_rollouts": (False, True, True, 620.0),
    "elo_policy_value": (True, True, False, 720.0), "elo_policy_rollouts": (True, False, True, 959.0),
    "elo": (True, True, True, 1433.0),
}  # fmt: skip


class Knobs(Config):
    game: str = Field(default="go5", description="go5 to go19, go7:8.5 (komi); records of its size are learned from")
    games: int = Field(default=0, ge=0, description="records that are read at most; 0: all")
    depth: int = Field(default=5, ge=1, le=80, description="convolutions of each net")
    channels: int = Field(default=32, ge=1, le=1024, description="maps of each layer")
    steps: int = Field(default=1500, ge=1, description="updates of the policy that learns from records")
    batch: int = Field(default=128, ge=1, description="positions per update, of all stages but the policy gradient")
    lr: float = Field(default=2e-3, gt=0, description="Adam's step size at its peak, of nets that learn from examples")
    fast_steps: int = Field(default=400, ge=1, description="updates of the fast policy")
    fast_lr: float = Field(default=0.05, gt=0, description="Adam's step size at its peak, of the fast policy")
    reinforce_steps: int = Field(default=120, ge=1, description="updates by the policy gradient")
    reinforce_games: int = Field(default=64, ge=2, description="games of such an update")
    reinforce_lr: float = Field(default=3e-4, gt=0, description="Adam's step size of the policy gradient")
    join: int = Field(default=10, ge=1, description="updates after which the policy joins its earlier selves")
    selves: int = Field(default=8, ge=1, le=100, description="earlier selves that are kept to play against")
    positions: int = Field(default=6000, ge=1, description="positions that the value learns from, each of another game")
    until: int = Field(default=20, ge=0, description="moves at most before the position of a game that is learned from")
    value_steps: int = Field(default=1000, ge=1, description="updates of the value")
    held: int = Field(default=1000, ge=2, description="such positions of other games to validate, and to test")
    mix: float = Field(default=0.5, ge=0, le=1, description="weight of the rollout beside the value: lambda")
    explored: float = Field(default=1.5, gt=0, description="the search's weight of moves that the policy likes: c_puct")
    soft: float = Field(default=0.67, gt=0, description="the policy's scores are multiplied by it in the search")
    searched: int = Field(default=50, ge=1, description="simulations before a move when it is scored")
    pairs: int = Field(default=5, ge=1, description="pairs of games of each two players in the score")


def layers(planes: int, depth: int, channels: int) -> nn.Sequential:
    """Rectified convolutions, the first over 5 x 5 points, the others over 3 x 3."""
    wide = [(planes, 5), *[(channels, 3)] * (depth - 1)]
    convolutions = [nn.Conv2d(before, channels, side, padding=side // 2) for before, side in wide]
    return nn.Sequential(*(part for one in convolutions for part in (one, nn.ReLU())))


class Policy(nn.Module):
    """Takes planes, gives a score for each point, and for a pass."""

    def __init__(self, shape: Sequence[int], depth: int, channels: int) -> None:
        super().__init__()
        planes, rows, columns = shape
        self.layers = layers(planes, depth, channels)
        self.map, self.rest = nn.Conv2d(channels, 1, 1), nn.Linear(channels, 1)
        self.place = nn.Parameter(torch.zeros(rows * columns))  # a bias of each point's own
        he(self)
        for last in (self.map, self.rest):
            orthogonal(last, 0.01)

    def forward(self, planes: UInt8[Tensor, "B C H W"]) -> Float[Tensor, "B A"]:
        x = self.layers(planes.to(self.place.dtype))
        return torch.cat([self.map(x).flatten(1) + self.place, self.rest(x.mean((2, 3)))], 1).float()


class Value(nn.Module):
    """Takes planes, gives what the position is worth to the one to move, from -1 to 1."""

    def __init__(self, shape: Sequence[int], depth: int, channels: int) -> None:
        super().__init__()
        planes, rows, columns = shape
        self.layers, self.map = layers(planes, depth, channels), nn.Conv2d(channels, 2, 1)
        self.hidden, self.last = nn.Linear(2 * rows * columns, 64), nn.Linear(64, 1)
        he(self)
        orthogonal(self.last, 0.01)

    def forward(self, planes: UInt8[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        x = F.relu(self.map(self.layers(planes.to(self.last.weight.dtype))))
        return self.last(F.relu(self.hidden(x.flatten(1)))).tanh()[:, 0].float()


class AlphaGo(nn.Module):
    """What each stage learned, and how a search asks it."""

    told: Tensor

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        size = facts["shape"], knobs.depth, knobs.channels
        self.policy, self.actor = Policy(*size), Policy(*size)  # from records; by the policy gradient
        self.value, self.whole = Value(*size), Value(*size)  # from a position a game; from whole games, as a warning
        self.fast, self.prior, self.mix, self.soft = FastPolicy(), True, knobs.mix, knobs.soft
        self.register_buffer("told", torch.zeros(2))  # squared errors of both values in training

    def forward(self, planes: UInt8[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B"]]:
        """Scores of moves, and the value: what can be said without playing on."""
        return self.policy(planes), self.value(planes)

    def having(self, policy: bool, value: bool, rollouts: bool) -> AlphaGo:
        """The same with some of it alone. Without the policy the fast one is the prior."""
        twin = copy.copy(self)
        twin.prior, twin.mix = policy, self.mix if value and rollouts else float(rollouts)
        return twin

    @torch.inference_mode()
    def looked(self, game: Stones, states: Shaped[np.ndarray, "M W"]
               ) -> tuple[Float[np.ndarray, "M A"], Float[np.ndarray, "M"]]:  # fmt: skip
        """Scores of the moves, and (1 - mix) value + mix result of a rollout, for the one to move."""
        if self.prior:
            scores = self.soft * said(self.policy, game, states)
        else:
            scores = self.fast(torch.from_numpy(told_of(game, states)).to(self.told.device)).cpu().numpy()
        worth = np.zeros(len(states), np.float32)
        if self.mix < 1:
            worth += (1 - self.mix) * said(self.value, game, states)
        if self.mix > 0:
            worth += self.mix * self.fast.finish(game, states)
        return scores, worth


@torch.inference_mode()
def said(net: nn.Module, game: Stones, states: Shaped[np.ndarray, "M W"]) -> Float[np.ndarray, "M ..."]:
    """What a net says of positions."""
    planes = torch.from_numpy(game.planes(states)).to(next(net.parameters()).device)
    return net(planes).cpu().numpy()


def prepare(knobs: Knobs, place: Place) -> Data[Recorded]:
    """Positions of records, divided by games: those that the user chose, or those that ship."""
    game, choice = table(knobs.game), place.choice
    size = game.facts["rows"]
    if not choice.data and size != 5:
        raise UserError(f"--data with records of go on {size} x {size}", "none, and those that ship are on 5 x 5",
                        "Name an SGF file or a folder of them", "alphago")  # fmt: skip
    read = read_records(choice.data or RECORDS, game)
    read = read._replace(games=read.games[: knobs.games or None])
    part = divide([name_of(one) for one in read.games], np.zeros(len(read.games), np.int64), shares(choice.split))
    name = Path(choice.data).name if choice.data else f"games of go by {read.games[0].players[0]}, 5 x 5"
    train, valid, test = parts = sources(game, read.games, part, place, name)
    return Data(train, valid, test, {**facts_of(game, read, parts), "puct": knobs.explored})


def move_loss(model: Policy | FastPolicy, batch: Recorded) -> dict[str, Tensor]:
    logits = model(batch.told if isinstance(model, FastPolicy) else batch.planes)
    return {"loss": F.cross_entropy(logits, batch.move), "error": error_rate(logits, batch.move)}


def value_loss(model: Value, batch: Ended) -> dict[str, Tensor]:
    """The squared error. `spread`: a value that always says the same has none."""
    worth = model(batch.planes)
    return {"loss": (worth - batch.result).square().mean(), "spread": worth.std(correction=0)}


def reinforce(knobs: Knobs, model: AlphaGo, game: Stones, run: Run) -> None:
    """Moves of games that were won become likelier, against selves of before (Williams 1992)."""
    actor, place, count = model.actor, run.place, max(2, knobs.reinforce_games // run.place.of)  # each plays its own
    actor.load_state_dict(model.policy.state_dict())
    selves = nn.ModuleList(copy.deepcopy(actor) for _ in range(knobs.selves))
    optimizer = torch.optim.Adam(actor.parameters(), knobs.reinforce_lr, fused=True)
    for step in run.steps(knobs.reinforce_steps, "reinforce", model=actor, optimizer=optimizer, selves=selves):
        both = [partial(said, net, game) for net in (actor, selves[int(torch.randint(len(selves), ()))])]
        found = duel(game, *both, count, key(place.seed, "reinforce", step) + place.rank)
        planes, legal, move, result, colour = (torch.from_numpy(field).to(place.device) for field in (
            game.planes(found.states), found.legal, found.move, found.result, game.mover(found.states)))  # fmt: skip
        usual = torch.stack([result[colour == k].mean() for k in (0, 1)])
        with run.plan.running(place.device):
            logits = actor(planes)
        chance = logits.masked_fill(~legal, -torch.inf).log_softmax(-1).gather(1, move[:, None])[:, 0]
        loss = -(chance * (result - usual[colour])).sum() / count
        optimizer.zero_grad()
        loss.backward()
        run.average(actor)
        optimizer.step()
        if step % knobs.join == knobs.join - 1:
            selves[step // knobs.join % len(selves)].load_state_dict(actor.state_dict())
        run.log(loss=loss, won=50 + 50 * float(results(found).mean()), moves=len(move) / count)


def selfplay(knobs: Knobs, model: AlphaGo, game: Stones, place: Place, split: str) -> list[Held[Ended]]:
    """Positions of games that the policies play: one of each game, and as many of whole games."""
    both = (partial(said, net, game) for net in (model.policy, model.actor))
    return positions(game, *both, knobs.until, knobs.positions if split == "train" else knobs.held, place, split)


def train(knobs: Knobs, model: AlphaGo, data: Data[Recorded], run: Run) -> None:
    game = table(knobs.game)

    def learned(net: nn.Module, loss: Any, source: Any, valid: Any, steps: int, lr: float, stage: str) -> None:
        optimizer = torch.optim.Adam(net.parameters(), lr, fused=True)
        fit(net, loss, source, run, steps=steps, batch=knobs.batch, optimizer=optimizer, schedule=cosine(steps),
            valid=valid, stage=stage)  # fmt: skip

    learned(model.policy, move_loss, data.train, data.valid, knobs.steps, knobs.lr, "policy")
    learned(model.fast, move_loss, data.train, data.valid, knobs.fast_steps, knobs.fast_lr, "fast")
    reinforce(knobs, model, game, run)
    if run.ended:
        return
    (one, whole), (valid, _) = (selfplay(knobs, model, game, run.place, split) for split in ("train", "valid"))
    learned(model.value, value_loss, one, valid, knobs.value_steps, knobs.lr, "value")
    learned(model.whole, value_loss, whole, valid, knobs.value_steps, knobs.lr, "whole")
    errors = [evaluate(net, value_loss, of)["loss"] for net, of in ((model.value, one), (model.whole, whole))]
    model.told.copy_(torch.tensor(errors))
    lines = dict(zip(KINDS, ("value", "whole"), strict=True))
    if not run.ended:
        run.show(reinforced=history(run.folder, {"games won": "reinforce"}, "won", "updates", "percent"),
                 learned=history(run.folder, lines, "loss", "updates", "squared error in training"),
                 unseen=history(run.folder, lines, "valid_loss", "updates", "squared error, other games"))  # fmt: skip


def score(knobs: Knobs, model: AlphaGo, data: Data[Recorded], place: Place) -> dict[str, Score]:
    game, seed, found = table(knobs.game), key(place.seed, "score"), dict[str, Score]()
    for name, net, paper in (("policy", model.policy, 57.0), ("fast", model.fast, 24.2)):
        right = len(data.test) - round(evaluate(net, move_loss, data.test)["error"] * len(data.test) / 100)
        rate = rate_score(right, len(data.test), data.test, paper=paper, paper_data=f"games of people, {LARGE}")
        found[f"{name}_accuracy"] = replace(rate, better="higher")
    fresh, _ = selfplay(knobs, model, game, place, "test")
    for k, (name, net, paper) in enumerate((("", model.value, 0.234), ("_whole", model.whole, 0.37))):
        worth, result = answers(net, fresh)
        note = f"{float(model.told[k]):.3f} in training; {float(result.var(correction=0)):.3f} if it said their mean"
        found[f"value_error{name}"] = mean_score((worth - result).square(), "squared error", fresh, paper=paper,
                                                 paper_data=f"self-play, {LARGE}", note=note)  # fmt: skip
    wins = results(duel(game, *(partial(said, net, game) for net in (model.actor, model.policy)), knobs.held, seed)) > 0
    rate = rate_score(int(wins.sum()), len(wins), Positions("go", "games"), paper=80.0, paper_data=LARGE)
    found["wins_supervised"] = replace(rate, better="higher")
    players = {name: Searching(name, model.having(*parts), data.facts, knobs.searched * (name != "elo_policy"))
               for name, (*parts, _) in PLAYERS.items()}  # fmt: skip
    paper = {name: elo for name, (*_, elo) in PLAYERS.items()}
    found |= ranked(game, players, paper, f"{LARGE}, 5 s a move", knobs.pairs, seed)
    with contextlib.suppress(UserError):  # where GNU Go is not installed there is no such score
        found["wins_gnugo"] = share(game, players["elo"], "gnugo:10", knobs.pairs, seed)
    return found


def use(model: AlphaGo, facts: Facts, items: Sequence[Media], *,
        simulations: Annotated[int, "positions looked at for an answer"] = 200) -> list[dict[str, Media]]:  # fmt: skip
    return analysed(model, facts, items, simulations)


PRESETS = {
    "quick": Knobs(),
    "go7": Knobs(game="go7", channels=48, steps=6000, reinforce_steps=400, positions=20_000, until=40,
                 value_steps=4000),
    # Methods, and Extended Data Tables 1, 2 and 5; of games of people, which --data names.
    "paper": Knobs(game="go19", depth=13, channels=192, batch=16, steps=340_000_000, lr=0.003, reinforce_steps=10_000,
                   reinforce_games=128, join=500, selves=100, positions=30_000_000, until=449, value_steps=50_000_000,
                   explored=5.0, searched=10_000),
}  # fmt: skip
system = System(Knobs, PRESETS, prepare, AlphaGo, train, score, use, takes=(Text, Board))
