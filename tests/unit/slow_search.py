"""The search of one game as the papers tell it: nodes are objects, nothing is compiled. parts/search is held to it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from unit.small_games import Game

from milestones.parts.search import UNKNOWN, Gumbel, Puct

Net = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Edge:
    def __init__(self) -> None:
        self.visits, self.sum, self.prior = 0, 0.0, 0.0
        self.child: Node | None = None

    def bounds(self) -> tuple[int, int]:
        """What the one who moves gets at least and at most."""
        return (-self.child.high, -self.child.low) if self.child else (-1, 1)

    def q(self, solve: bool) -> float:
        low, high = self.bounds()
        return low if solve and low == high else self.sum / self.visits


class Node:
    def __init__(self, game: Game, state: np.ndarray) -> None:
        turn = game.turn(state[None])
        self.state, self.visits, self.sum, self.value = state, 0, 0.0, 0.0
        self.over = bool(turn.ended[0])
        self.low, self.high = (int(turn.value[0]),) * 2 if self.over else (-1, 1)
        self.edges = {int(a): Edge() for a in turn.legal[0].nonzero()[0]}

    def prove(self) -> None:
        """The bounds of the best move."""
        each = [edge.bounds() for edge in self.edges.values()]
        self.low, self.high = max(low for low, _ in each), max(high for _, high in each)

    def open(self, root: bool) -> list[int]:
        """Moves that may be better than what is known to be had; at the root also those that are known to be that."""
        moves = []
        for a, edge in self.edges.items():
            low, high = edge.bounds()
            if high > -1 and (high > self.low or (root and low == self.low)):
                moves.append(a)
        return moves


class Slow:
    """Sum the noise yourself: `noise` is that of the root, by move."""

    def __init__(self, game: Game, net: Net, rule: Puct | Gumbel, simulations: int, solve: bool,
                 noise: np.ndarray) -> None:  # fmt: skip
        self.game, self.net, self.rule, self.solve, self.noise, self.simulations = (
            game,
            net,
            rule,
            solve,
            noise,
            simulations,
        )

    def run(self, state: np.ndarray) -> Node:
        root = self.root = Node(self.game, state)
        root.visits, root.sum = 1, self.expand(root)
        self.prior = {a: edge.prior for a, edge in root.edges.items()}
        self.order = sequence(min(self.rule.considered, len(root.edges)), self.simulations) if self.gumbel else []
        if isinstance(self.rule, Puct):
            for a, edge in root.edges.items():
                mix = (1 - self.rule.noise) * edge.prior + self.rule.noise * float(self.noise[a])
                edge.prior = float(np.float32(mix))
        self.done = 0
        while self.done < self.simulations and root.low != root.high:
            self.visit(root)
            self.done += 1
        return root

    @property
    def gumbel(self) -> bool:
        return isinstance(self.rule, Gumbel)

    def expand(self, node: Node) -> float:
        logits, value = self.net(node.state[None])
        top = max(float(logits[0, a]) for a in node.edges)
        share = {a: float(np.float32(math.exp(float(logits[0, a]) - top))) for a in node.edges}
        for a, edge in node.edges.items():
            edge.prior = float(np.float32(share[a] / sum(share.values())))
        node.value = float(value[0])
        return node.value

    def visit(self, node: Node) -> float:
        """One simulation below the node: its value for the one to move there."""
        if node.low == node.high:
            value = float(node.low)
        elif not node.visits:
            value = self.expand(node)
        else:
            a = self.choose(node)
            edge = node.edges[a]
            if edge.child is None:
                edge.child = Node(self.game, self.game.step(node.state[None], np.array([a]))[0][0])
            value = -self.visit(edge.child)
            edge.visits += 1
            edge.sum += value
            if self.solve:
                node.prove()
                value = min(max(value, float(node.low)), float(node.high))
        node.visits += 1
        node.sum += value
        return value

    def moves(self, node: Node) -> list[int]:
        return node.open(node is self.root) if self.solve else list(node.edges)

    def choose(self, node: Node) -> int:
        if isinstance(self.rule, Puct):
            return best({a: self.puct(node, a) for a in self.moves(node)})
        sigma = self.sigma(node, self.moves(node))
        if node is self.root:
            count = self.order[self.done]
            score = {a: self.g(a) + s for a, s in sigma.items()}
            return best({a: s for a, s in score.items() if node.edges[a].visits == count} or score)
        policy = improved(node, sigma)
        total = sum(node.edges[a].visits for a in sigma)
        if not total:
            return best({a: node.edges[a].prior for a in sigma})
        return best({a: policy[a] - node.edges[a].visits / (1 + total) for a in sigma})

    def g(self, a: int) -> float:
        return float(self.noise[a]) + math.log(self.prior[a])

    def puct(self, node: Node, a: int) -> float:
        rule, edge = self.rule, node.edges[a]
        assert isinstance(rule, Puct)
        c = rule.c + (math.log((1 + node.visits + rule.base) / rule.base) if rule.base else 0)
        q = rule.fpu
        if rule.relative:
            mass = sum(e.prior for e in node.edges.values() if e.visits)
            q = node.sum / node.visits - rule.fpu * math.sqrt(mass)
        if edge.visits:
            q = edge.q(self.solve)
        return q + c * math.sqrt(node.visits) * edge.prior / (1 + edge.visits)

    def sigma(self, node: Node, moves: list[int]) -> dict[int, float]:
        rule = self.rule
        assert isinstance(rule, Gumbel)
        seen = [a for a in moves if node.edges[a].visits]
        total = sum(node.edges[a].visits for a in seen)
        mixed = node.value
        if seen:
            mass = sum(node.edges[a].prior for a in seen)
            mean = sum(node.edges[a].prior * node.edges[a].q(self.solve) for a in seen) / mass
            mixed = (node.value + total * mean) / (total + 1)
        q = {a: node.edges[a].q(self.solve) if node.edges[a].visits else mixed for a in moves}
        if rule.rescale:
            low, high = min(q.values()), max(q.values())
            q = {a: (each - low) / max(high - low, 1e-8) for a, each in q.items()}
        largest = max((node.edges[a].visits for a in moves), default=0)
        return {a: (rule.visit + largest) * rule.scale * each for a, each in q.items()}

    def policy(self) -> dict[int, float]:
        """What the net should learn; where all moves are lost, as if nothing were known."""
        root, moves = self.root, self.moves(self.root)
        if isinstance(self.rule, Gumbel):
            chances = improved(root, self.sigma(root, moves) if moves else dict.fromkeys(root.edges, 0.0))
            return {a: chances.get(a, 0.0) for a in root.edges}
        looked = {a: root.edges[a].visits for a in moves or root.edges}
        return {a: looked.get(a, 0) / sum(looked.values()) for a in root.edges}

    def move(self) -> int:
        root = self.root
        moves = self.moves(root) or list(root.edges)
        if self.solve:  # with a draw at hand, nothing that looks worse
            moves = [a for a in moves if not root.edges[a].visits or root.edges[a].q(True) >= root.low]
        most = max(root.edges[a].visits for a in moves)
        ties = [a for a in moves if root.edges[a].visits == most]
        if isinstance(self.rule, Gumbel):
            sigma = self.sigma(root, self.moves(root)) if self.moves(root) else dict.fromkeys(root.edges, 0.0)
            return best({a: self.g(a) + sigma[a] for a in ties})
        return best({a: root.edges[a].q(self.solve) for a in ties})


def proven(edge: Edge) -> int:
    low, high = edge.bounds()
    return low if low == high else UNKNOWN


def improved(node: Node, sigma: dict[int, float]) -> dict[int, float]:
    """softmax(log prior + sigma) over the moves of sigma; the prior is the net's, without noise."""
    top = max(sigma.values())
    weight = {a: node.edges[a].prior * math.exp(s - top) for a, s in sigma.items()}
    return {a: w / sum(weight.values()) for a, w in weight.items()}


def best(score: dict[int, float]) -> int:
    """The first of the largest."""
    return max(sorted(score), key=lambda a: score[a])


def sequence(moves: int, simulations: int) -> list[int]:
    """Numbers of visits that are looked at in turn, as mctx lists them."""
    if moves <= 1:
        return list(range(simulations))
    rounds, found, visits, left = math.ceil(math.log2(moves)), [], [0] * moves, moves
    while len(found) < simulations:
        for _ in range(max(1, int(simulations / (rounds * left)))):
            found += visits[:left]
            visits = [v + (k < left) for k, v in enumerate(visits)]
        left = max(2, left // 2)
    return found[:simulations]
