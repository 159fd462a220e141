"""A net and a search teach each other a game from nothing but its rules, by self-play.

Paper       Silver, Hubert, Schrittwieser et al. (2017), Mastering chess and shogi by self-play with a general
            reinforcement learning algorithm, arXiv:1712.01815; (2018) Science 362, 1140-1144.
Idea        a search guided by a net plays better than the net. So the net learns to say at once what the search finds
            out (a policy), and how the game will end (a value); which makes the next search stronger.
Deviations  for strength a CPU minute; the preset `paper` takes each of them back. Gumbel's search at the root in place
            of noise and temperature (Danihelka et al. 2022), its simulations doubled as training goes on (Wu et al.
            2023). Proved results are exact in the tree (Winands et al. 2008), are learned, and end the game. Most games
            begin with moves at random; the first ones are played by a search without a net. Wins, draws and losses each
            have a chance, and the search's own value counts beside the result. Of the net: pooling over the board (Wu
            2019), no batch normalisation, Muon, the mean of the weights plays. The window grows with the number of
            positions to the power of 0.75.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import blend, cosine
from ..core.run import Run
from ..core.score import Score
from ..core.source import Facts, Place, key
from ..core.state import Memo
from ..core.system import System
from ..data.positions import LEVELS, wrong_share
from ..media import Board, Media, Text, history
from ..parts.muon import Muon
from ..parts.outlook import reaching
from ..parts.tower import Tower, player, value_of
from ..worlds.games import game
from ..worlds.games.analysis import analysed, liked, positions
from ..worlds.games.judged import judged, matched
from ..worlds.games.selfplay import Course, SelfPlay
from ..worlds.games.thinking import How, think
from ..worlds.games.window import Examples, Positions, Window, turned

GOALS = (10.0, 3.0, 1.0)  # percent of wrong moves: how many updates it takes to reach them is told


class Knobs(Config):
    game: str = Field(default="connect_four", description="tictactoe, connect_four, hex3 to hex11, othello6, othello8, "
                      "go5 to go19, go7:8.5 (komi) or openspiel:NAME")  # fmt: skip
    blocks: int = Field(default=4, ge=1, le=80, description="of the residual tower")
    channels: int = Field(default=48, ge=1, le=1024, description="maps of each layer")
    pooled: int = Field(default=2, ge=0, description="every so many blocks one pools over the board; 0: none")
    normal: Literal["none", "batch"] = Field(default="none", description="what keeps signals at their size")
    together: int = Field(default=256, ge=1, le=65_536, description="games played side by side")
    abreast: int = Field(default=128, ge=1, description="of these, games that ask the net at once")
    steps: int = Field(default=1000, ge=1, description="optimiser updates")
    moves: int = Field(default=8, ge=1, description="made in each game between updates, by one and the same net")
    start: int = Field(default=40_000, ge=0, description="positions played at first without a net")
    blind: int = Field(default=200, ge=1, description="simulations before each of those moves")
    simulations: int = Field(default=32, ge=1, description="of the search before a move, in the end")
    few: int = Field(default=16, ge=1, description="simulations at first; they are doubled as training goes on")
    considered: int = Field(default=16, ge=0, description="moves that Gumbel's search begins with; 0: PUCT, with noise")
    scale: float = Field(default=0.25, gt=0, description="weight of values beside the net's own policy in Gumbel's")
    explored: float = Field(default=1.25, gt=0, description="PUCT's weight of moves that the net likes")
    alpha: float = Field(default=1.0, gt=0, description="of PUCT's Dirichlet noise at the root")
    tempered: int = Field(default=8, ge=0, description="first moves of a game that chance decides with")
    solve: bool = Field(default=True, description="proved wins and losses are exact in the tree")
    stop: bool = Field(default=True, description="a proved game is over")
    strewn: float = Field(default=0.9, ge=0, le=1, description="chance that a game begins with moves at random")
    most: int = Field(default=36, ge=1, description="of such moves; late positions are likelier")
    trust: float = Field(default=0.25, ge=0, le=1, description="share of the search's value in what is learned, beside "
                         "the result")  # fmt: skip
    first: int = Field(default=20_000, ge=1, description="newest positions learned from, of so many; then more")
    growth: float = Field(default=0.75, ge=0, le=1, description="exponent of their number; 0: always so many")
    rows: int = Field(default=500_000, ge=1, description="positions that are kept at most")
    reuse: float = Field(default=8.0, gt=0, description="times that a position is learned from")
    batch: int = Field(default=512, ge=1, description="positions per update")
    method: Literal["muon", "adamw", "sgd"] = Field(default="muon", description="optimiser; sgd is the paper's")
    lr: float = Field(default=0.01, gt=0, description="step size at its peak")
    decay: float = Field(default=1e-2, ge=0, description="of the weights")
    average: float = Field(default=0.98, ge=0, lt=1, description="decay of the weights' mean, which plays; 0: none")
    value: float = Field(default=1.0, gt=0, description="weight of the value's error")
    squared: bool = Field(default=False, description="that error is squared, as in the paper")
    counted: float = Field(default=0.3, ge=0, description="weight of whose each point will be, and by how much, in go")
    looks: int = Field(default=10, ge=1, description="times that the net is examined in training")
    examined: int = Field(default=50, ge=1, description="validation positions of each kind, or pairs of games, then")
    searched: int = Field(default=100, ge=0, description="simulations before a move when it is scored")
    tested: int = Field(default=1000, ge=1, description="test positions of each kind in the score")
    pairs: int = Field(default=50, ge=1, description="pairs of games against each opponent in the score")


def prepare(knobs: Knobs, place: Place) -> SelfPlay:
    course = Course(knobs.strewn, knobs.most, knobs.stop and knobs.solve, knobs.trust)
    return SelfPlay(game(knobs.game), knobs.together, knobs.abreast, key(place.seed, "play"), course)


def build(knobs: Knobs, facts: Facts) -> Tower:
    return Tower(facts["shape"], facts["actions"], knobs.blocks, knobs.channels, knobs.pooled, knobs.normal == "batch",
                 facts["levels"], "komi" in facts and knobs.counted > 0)  # fmt: skip


def loss(model: Tower, batch: Examples, knobs: Knobs) -> dict[str, Tensor]:
    """Cross-entropy of the policy and of the result, means over the batch in nats (2018, equation 1). `kl`: how far the
    policy is from the search's; `unsure`: the entropy of that. `owned`: where points count, the cross-entropy of whose
    each of them will be, mean over the board, and the error of by how much (Wu 2019, section 3.4.2)."""
    logits, wdl, owner, score = model.heads(batch.planes)
    policy = -(batch.policy * logits.log_softmax(-1)).sum(-1).mean()
    if knobs.squared:
        value = (value_of(wdl) - batch.chance[:, 0] + batch.chance[:, 2]).square().mean()
    else:
        value = F.cross_entropy(wdl, batch.chance)
    unsure = torch.special.entr(batch.policy).sum(-1).mean()
    found = {"loss": policy + knobs.value * value, "kl": policy - unsure, "unsure": unsure, "value": value}
    if not owner.shape[1]:
        return found
    owned = F.binary_cross_entropy_with_logits(owner, (1 + batch.owner) / 2)
    owned = owned + F.smooth_l1_loss(score, batch.owner.mean(1))
    return {**found, "loss": found["loss"] + knobs.counted * owned, "owned": owned}


def looking(knobs: Knobs, step: int) -> How:
    """The search of self-play in a round: its simulations are doubled at equal distances."""
    doublings = max(0, round(math.log2(knobs.simulations / knobs.few)))
    done = min(doublings, step * (doublings + 1) // knobs.steps)
    few = knobs.few if doublings else knobs.simulations
    return How(knobs.simulations if done == doublings else few << done, knobs.considered, noise=True, solve=knobs.solve,
               scale=knobs.scale, c=knobs.explored, alpha=knobs.alpha, tempered=knobs.tempered)  # fmt: skip


METHODS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "muon": lambda model, lr, decay: Muon(model.parameters(), lr, decay=decay),
    "adamw": lambda model, lr, decay: torch.optim.AdamW(model.parameters(), lr, weight_decay=decay, fused=True),
    "sgd": lambda model, lr, decay: torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=decay),
}


def train(knobs: Knobs, model: Tower, games: SelfPlay, run: Run) -> None:
    device, rate, some = run.place.device, cosine(knobs.steps), trial(games, knobs.batch)
    run.measure(model, lambda twin, plan: loss(twin, plan.lay(some), knobs)["loss"], knobs.batch)
    optimizer, mean = METHODS[knobs.method](model, knobs.lr, knobs.decay), copy.deepcopy(model)
    points = 0 if model.owner is None else games.facts["rows"] * games.facts["columns"]
    window = Window(games.game.words, games.facts["actions"], knobs.rows, knobs.first, knobs.growth, points)
    updates = max(1, round(knobs.reuse * knobs.together * knobs.moves / knobs.batch))  # after a round of moves
    memo = Memo(curve=[])
    for step in run.steps(knobs.steps, "train", model=model, optimizer=optimizer, mean=mean, games=games, window=window,
                          memo=memo):  # fmt: skip
        due = step % updates == 0
        while due or not window.count:
            blind, due = window.count < knobs.start, False
            window.add(played(knobs, mean, games, step, blind, run.plan.precision))
        batch = Examples(*(field.to(device) for field in turned(games.game, window.draw(knobs.batch))))
        optimizer.param_groups[0]["lr"] = knobs.lr * rate(step)
        with run.plan.running(device):
            terms = loss(model, run.plan.lay(batch), knobs)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        blend(mean, model, min(knobs.average, (1 + step) / (10 + step)))
        run.log(**terms)
        if run.every(-(-knobs.steps // knobs.looks)):
            net, depth, few = player(mean, run.plan.precision), knobs.simulations, knobs.examined
            scores = strength(net, games.facts, depth, "valid", few, few, key(run.place.seed, step))
            memo.curve = [*memo.curve, [step + 1, missed(scores)]]
            told = {f"valid_{name}": score.value for name, score in scores.items()}
            run.log(valid_error=missed(scores), played=window.count, **told, **reaching(memo.curve, GOALS, step + 1))
    model.load_state_dict(mean.state_dict())
    if not run.ended:
        run.show(strength=history(run.folder, {"percent wrong": "train"}, "valid_error", "updates", "percent"))


def played(knobs: Knobs, mean: Tower, games: SelfPlay, step: int, blind: bool, precision: str) -> Positions:
    """Another round of moves: the positions of the games that are over. Those that are played without a net are cheap,
    and there are more of them."""
    how = looking(knobs, step)
    if blind:
        return games.play(games.blank, how._replace(simulations=knobs.blind), 4 * knobs.moves)
    return games.play(player(mean, precision), how, knobs.moves)


def trial(games: SelfPlay, size: int) -> Examples:
    """A batch like those to come, to time ways of running the model on."""
    seen, actions = games.observation, games.facts["actions"]
    seen = seen[torch.arange(size) % len(seen)]
    owner = torch.zeros(size, 0) if "komi" not in games.facts else torch.zeros(size, seen[0, 0].numel())
    return Examples(seen, torch.full((size, actions), 1 / actions), torch.full((size, 3), 1 / 3), owner)


def strength(model: Tower, facts: Facts, simulations: int, split: Literal["valid", "test"], most: int, pairs: int,
             seed: int) -> dict[str, Score]:  # fmt: skip
    """Percent of wrong moves where perfect play is known; in the test, and where it is not, games against others."""
    table, choose = game(facts["game"]), functools.partial(think, model, facts, simulations=simulations)
    if facts["game"] == "connect_four":
        wrong = functools.partial(wrong_share, lambda at: choose(at).move, split=split, most=most)
        found = {f"wrong_moves_{level}": wrong(level) for level in LEVELS}
    else:
        found = judged(table, choose)
    return found if found and split == "valid" else {**found, **matched(table, model, facts, simulations, pairs, seed)}


def missed(scores: dict[str, Score]) -> float:
    """Percent of wrong moves, the mean over what was looked at; or percent of the points lost to the last opponent."""
    wrong = [(score.value, score.over) for name, score in scores.items() if name.startswith("wrong")]
    over = sum(count for _, count in wrong)
    return sum(value * count for value, count in wrong) / over if over else 100 - scores["against_rollouts"].value


def score(knobs: Knobs, model: Tower, games: SelfPlay, place: Place) -> dict[str, Score]:
    return strength(model, games.facts, knobs.searched, "test", knobs.tested, knobs.pairs, key(place.seed, "score"))


def use(model: Tower, facts: Facts, items: Sequence[Media], *,
        simulations: Annotated[int, "positions looked at for an answer"] = 200) -> list[dict[str, Media]]:  # fmt: skip
    return analysed(model, facts, items, simulations)


LONG = {"blocks": 4, "channels": 64, "together": 512, "reuse": 4.0, "strewn": 0.75}
PRESETS = {
    "quick": Knobs(blocks=3, channels=32, steps=720, tested=300),
    "ten": Knobs(**LONG, steps=5000),
    "hour": Knobs(**LONG, steps=22_000, simulations=64),
    "tictactoe": Knobs(game="tictactoe", blocks=2, channels=32, steps=800, most=6, first=5000, start=5000, few=32),
    "hex5": Knobs(game="hex5", channels=32, steps=8000, most=12),
    "go5": Knobs(game="go5", channels=32, steps=2000, lr=0.006, strewn=0.5, most=12, stop=False, looks=5, examined=5,
                 pairs=20),
    "go7": Knobs(game="go7", channels=32, steps=16_000, lr=0.006, strewn=0.5, most=10, stop=False, looks=8, examined=5,
                 pairs=10),
    # The paper's settings (2018, supplement), on its smaller cousin of a board.
    "paper": Knobs(blocks=19, channels=256, pooled=0, normal="batch", together=4096, abreast=256, steps=700_000,
                   moves=1, start=0, simulations=800, few=800, considered=0, alpha=1.5, tempered=30, solve=False,
                   stop=False, strewn=0.0, trust=0.0, first=1_000_000, growth=0.0, rows=1_000_000, reuse=1.0,
                   batch=4096, method="sgd", lr=0.2, decay=1e-4, average=0.0, squared=True, looks=100, searched=800),
}  # fmt: skip
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text, Board), read=positions, probe=liked)
