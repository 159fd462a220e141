"""Looking ahead with a net: a search for many positions at once, and what a player then thinks of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from ...core.source import Facts
from ...parts.tower import Tower, player, value_of
from . import game as game_of
from .game import Game

Net = Callable[[Tensor], tuple[Tensor, Tensor]]  # planes "B C H W" -> scores of moves "B A", of win, draw, loss "B 3"
ENTRIES = 1 << 16  # positions that are remembered
CHUNK = 256  # positions that are thought of together, at most
ROOM = 5_000_000  # moves of all nodes of their trees


class How(NamedTuple):
    """How far and by which rule a search looks ahead."""

    simulations: int
    considered: int = 16  # moves that Gumbel's search begins with; 0: PUCT
    noise: bool = False  # it explores, as in self-play
    solve: bool = True  # proved wins and losses are backed up as such
    scale: float = 1.0  # Gumbel's c_scale
    c: float = 1.25  # PUCT's
    alpha: float = 0.3  # of the Dirichlet noise of PUCT
    tempered: int = 0  # first moves of a game that chance decides with: PUCT by visits, Gumbel by its noise

    def rule(self) -> Any:
        """As the tree takes it."""
        from ...parts.search import Gumbel, Puct

        if self.considered:
            return Gumbel(self.considered, scale=self.scale, noise=float(self.noise))
        return Puct(self.c, fpu=0.0, relative=False, alpha=self.alpha, noise=0.25 if self.noise else 0.0)


class Found(NamedTuple):
    """What searches of N positions led to."""

    move: Int[np.ndarray, "N"]
    policy: Float[np.ndarray, "N A"]  # what the net should have said
    value: Float[np.ndarray, "N"]  # for the mover, -1 to 1
    exact: Bool[np.ndarray, "N"]  # the value is proved


class Thought(NamedTuple):
    """What a player thinks of N positions."""

    move: Int[np.ndarray, "N"]  # the one it would make; -1 where the game is over
    policy: Float[np.ndarray, "N A"]
    visits: Int[np.ndarray, "N A"]
    q: Float[np.ndarray, "N A"]  # what each move is worth to the mover, -1 to 1
    value: Float[np.ndarray, "N"]  # what the position is
    exact: Bool[np.ndarray, "N"]  # that is proved
    line: list[list[int]]  # what is expected to come
    tree: list[list[Any]]  # [move, visits, q, replies], the most visited first
    prior: Float[np.ndarray, "N A"]  # chances of moves as the net says them at once


@runtime_checkable
class Looking(Protocol):
    """A net that is asked about positions themselves, and not about their planes, since it plays on from them."""

    def looked(self, game: Game, states: Shaped[np.ndarray, "M W"]
               ) -> tuple[Float[np.ndarray, "M A"], Float[np.ndarray, "M"]]:  # fmt: skip
        """Scores of the moves, and what each position is worth to the mover."""
        ...


class Mind:
    """A net that is asked about positions of a game; `remember`: of each only once."""

    def __init__(self, game: Game, net: Net, remember: bool = False) -> None:
        from ...parts.cache import Cache

        self.game, self.net = game, net
        self.device = next(net.parameters()).device if isinstance(net, nn.Module) else torch.device("cpu")
        self.seen = game.seen or game.words
        self.cache = Cache(self.seen, game.facts["actions"], ENTRIES) if remember else None

    def ask(self, states: Shaped[np.ndarray, "M W"]) -> tuple[Float[np.ndarray, "M A"], Float[np.ndarray, "M"]]:
        """Scores of the moves, and what the position is worth to the mover."""
        if not len(states):
            return np.zeros((0, self.game.facts["actions"]), np.float32), np.zeros(0, np.float32)
        if isinstance(self.net, Looking):
            return self.net.looked(self.game, states)
        planes = torch.from_numpy(self.game.planes(states)).contiguous(memory_format=torch.channels_last)
        logits, wdl = self.net(planes.to(self.device))
        return logits.cpu().numpy(), value_of(wdl).cpu().numpy()

    def recall(self, states: Shaped[np.ndarray, "M W"]) -> tuple[Float[np.ndarray, "M A"], Float[np.ndarray, "M"]]:
        """`ask`, but for what is remembered."""
        if self.cache is None:
            return self.ask(states)
        told = states[:, : self.seen]
        hit, logits, value = self.cache.find(told)
        if not hit.all():
            new = ~hit
            logits[new], value[new] = found = self.ask(states[new])
            self.cache.keep(told[new], *found)
        return logits, value

    def grown(self, states: Shaped[np.ndarray, "N W"], how: How, keys: Shaped[np.ndarray, "N"]) -> Any:
        """The tree of a search of each position; `keys` decide its noise."""
        return deque(self.growing(states, how, keys), maxlen=1).pop()

    def growing(self, states: Shaped[np.ndarray, "N W"], how: How, keys: Shaped[np.ndarray, "N"]) -> Iterator[Any]:
        """The same tree again and again, with another simulation of each position in it."""
        from ...parts.search import Tree

        actions = self.game.facts["actions"]
        tree = Tree(len(states), actions, self.game.words, max(1, how.simulations), how.rule(), solve=how.solve)
        rows = tree.begin(states, self.game.turn(states).legal, keys, how.simulations)
        tree.settle(*self.recall(states[rows]))
        yield tree
        while len((leaf := tree.leaves()).moves):
            after, turn = self.game.step(leaf.states, leaf.moves)
            rows = tree.grow(after, turn.legal, turn.ended, turn.value)
            tree.settle(*self.recall(after[rows]))
            yield tree

    def search(self, states: Shaped[np.ndarray, "N W"], how: How, keys: Shaped[np.ndarray, "N"],
               made: Int[np.ndarray, "N"]) -> Found:  # fmt: skip
        """What to do in each position, of which `made` tells the moves before it, and what to learn of it."""
        from ...parts.search import UNKNOWN

        answer = self.grown(states, how, keys).answer()
        move, early = answer.move, made < how.tempered
        if how.considered:
            move = np.where(early, move, answer.policy.argmax(1))
        for n in np.flatnonzero(early) if not how.considered else ():
            sums = answer.visits[n].cumsum()
            move[n] = np.searchsorted(sums, np.random.default_rng(int(keys[n])).integers(sums[-1]), side="right")
        return Found(move, answer.policy, answer.value, answer.decided != UNKNOWN)


@torch.inference_mode()
def think(model: nn.Module, facts: Facts, states: Shaped[np.ndarray, "N W"], simulations: int = 100,
          how: How | None = None, trees: bool = False) -> Thought:  # fmt: skip
    """What the net thinks of each position after so many simulations, without noise; with `trees` its lines and trees
    too. `model`: planes -> scores of moves, of win, draw and loss; or see Looking. If nobody says how, it searches as
    its facts have it: by PUCT of the weight "puct", else by Gumbel's rule."""
    how = (how or usual(facts, simulations))._replace(noise=False)
    mind = Mind(game_of(facts["game"]), playing(model))
    how = how._replace(simulations=simulations)
    found = list[Thought]()
    size = max(1, min(CHUNK, ROOM // ((1 + simulations) * facts["actions"])))
    for begin in range(0, max(1, len(states)), size):
        part = states[begin : begin + size]
        found.append(thought(mind.grown(part, how, np.zeros(len(part), np.uint64)), trees))
    move, policy, visits, q, value, exact, prior = (
        np.concatenate([getattr(one, name) for one in found])
        for name in ("move", "policy", "visits", "q", "value", "exact", "prior")
    )
    lines, grown = ([each for one in found for each in getattr(one, name)] for name in ("line", "tree"))
    return Thought(move, policy, visits, q, value, exact, lines, grown, prior)


def ponder(model: nn.Module, facts: Facts, states: Shaped[np.ndarray, "N W"], most: int,
           pause: Callable[[], bool]) -> Iterator[Thought]:  # fmt: skip
    """What the net thinks of each position whenever `pause` says that it is time, and at the end, after so many
    simulations or a proof. It is one search that goes on: by PUCT, which may be asked at any time."""
    mind = Mind(game_of(facts["game"]), playing(model))
    search = mind.growing(states, usual(facts, most)._replace(considered=0), np.zeros(len(states), np.uint64))
    tree: Any = None
    while True:
        with torch.inference_mode():  # not over a yield, where it would hold for whoever asked
            grown = next(search, None)
        if grown is None:
            break
        tree = grown
        if pause():
            yield thought(tree, True)
    yield thought(tree, True)


def playing(model: nn.Module) -> Any:
    """The net as it plays fastest."""
    return player(model) if isinstance(model, Tower) else model.eval()


def thought(tree: Any, trees: bool) -> Thought:
    """What a tree has found so far."""
    from ...parts.search import UNKNOWN

    answer, slots = tree.answer(), range(tree.games) if trees else ()
    lines, grown = [tree.line(slot) for slot in slots], [tree.replies(slot) for slot in slots]
    exact = answer.decided != UNKNOWN
    return Thought(answer.move, answer.policy, answer.visits, answer.q, answer.value, exact, lines, grown, answer.prior)


def usual(facts: Facts, simulations: int) -> How:
    """How a net of these facts searches, if nobody says otherwise."""
    return How(simulations, considered=0, c=float(facts["puct"])) if "puct" in facts else How(simulations)
