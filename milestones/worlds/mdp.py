"""Finite Markov decision processes: known ones, ones made at random, and the user's own from a table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.source import keyed
from ..media.sheet import column, sheet
from ..parts.decision import NEVER, Process, sparse

LAKES = {
    4: "SFFF FHFH FFFH HFFG",
    8: "SFFFFFFF FFFFFFFF FFFHFFFF FFFFFHFF FFFHFFFF FHHFFFHF FHFFHFHF FFFHFFFG",
}  # Gymnasium's FrozenLake: start, frozen, hole, goal
MOVES = (("left", 0, -1), ("down", 1, 0), ("right", 0, 1), ("up", -1, 0))
COLUMNS = {
    "state": ("state", "s"),
    "action": ("action", "a"),
    "next": ("next", "next_state", "s2"),
    "chance": ("chance", "probability", "p", "t"),
    "reward": ("reward", "r"),
}
MOST_STATES, MOST_ACTIONS = 2_000, 100  # of a table
NEAR = 1e-6  # by which the chances of a table may miss 1


def chain(length: int) -> Process:
    """States in a row (the lecture's four, say): forward may slip; only the last pays, and going back pays little.
    Strens (2000), A Bayesian framework for reinforcement learning, figure 1, for any length."""
    rows = []
    for state in range(length):
        ahead, last = min(state + 1, length - 1), state == length - 1
        for action, forward in (("forward", 0.8), ("back", 0.2)):
            rows += [(state, action, ahead, forward, 10.0 if last else 0.0), (state, action, 0, 1 - forward, 2.0)]
    named = [(str(s), a, str(t), p, r) for s, a, t, p, r in rows]
    return process(named, [str(s) for s in range(length)], "0")._replace(states=())


def plane(side: int, ended: np.ndarray, turns: dict[int, float]) -> Tensor:
    """Where steps on a square of cells lead, as `Process.chance`: each move of MOVES is turned so many quarters, with
    these chances; walls hold, and from cells that are `ended` nothing leads anywhere."""
    row, column = np.divmod(np.flatnonzero(~ended), side)
    at, entries = row * side + column, []
    for move in range(len(MOVES)):
        for turn, chance in turns.items():
            _, down, right = MOVES[(move + turn) % len(MOVES)]
            there = np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1)
            entries.append((at * len(MOVES) + move, there, np.full(len(at), chance)))
    where, there, chance = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return compressed(where, there, chance, side * side * len(MOVES), side * side)


def grid(side: int, slip: float = 0.2) -> Process:
    """A square room, a goal in the far corner; each step costs 1. With chance `slip` the step goes to one side or the
    other instead, half each; walls hold."""
    ended = np.zeros(side * side, bool)
    ended[-1] = True
    reward = np.where(ended, 0.0, -1.0)[:, None].repeat(len(MOVES), 1)
    chance = plane(side, ended, {0: 1 - slip, 1: slip / 2, 3: slip / 2})
    return Process(chance, torch.from_numpy(reward), torch.from_numpy(ended), 0, (), tuple(n for n, *_ in MOVES),
                   (side, side))  # fmt: skip


def lake(side: int) -> Process:
    """Gymnasium's FrozenLake of 4 or 8 cells a side: the ice lets a step go where it should in one of three cases, else
    to one side; a hole ends it, the goal pays 1 and ends it."""
    cells = np.array(list(LAKES[side].replace(" ", "")))
    ended = np.isin(cells, ["H", "G"])
    chance = plane(side, ended, dict.fromkeys((0, 1, 3), 1 / 3))
    goal = torch.from_numpy(cells == "G").double()
    reward = (chance @ goal).view(-1, len(MOVES))
    return Process(chance, reward, torch.from_numpy(ended), 0, (), tuple(n for n, *_ in MOVES), (side, side))


def garnet(states: int, actions: int, branches: int, seed: int) -> Process:
    """A process made at random (Archibald, McKinnon & Thomas 1995): each action of each state leads to `branches`
    states, with chances cut at random, and pays a normal amount."""
    rng = keyed(seed, "garnet", states, actions, branches)
    count = states * actions
    index = torch.randint(states, (count, branches), generator=rng)
    cuts = torch.rand(count, branches - 1, generator=rng, dtype=torch.float64).sort(1).values
    edges = torch.cat([torch.zeros(count, 1), cuts, torch.ones(count, 1)], 1).double()
    reward = torch.randn(states, actions, generator=rng, dtype=torch.float64)
    start = torch.arange(0, count * branches + 1, branches)
    chance = sparse(start, index.flatten(), edges.diff(dim=1).flatten(), states)
    ended = torch.zeros(states, dtype=torch.bool)
    return Process(chance, reward, ended, 0, (), tuple(map(str, range(actions))))


def process(rows: Sequence[tuple[str, str, str, float, float]], states: Sequence[str], start: str) -> Process:
    """The process of rows (state, action, next state, chance, reward). A state without rows ends the episode; an action
    that a state has not costs more than any return is worth, so that no policy takes it."""
    actions = list(dict.fromkeys(row[1] for row in rows))
    at, does = {name: k for k, name in enumerate(states)}, {name: k for k, name in enumerate(actions)}
    n, k = len(states), len(actions)
    where = np.array([at[s] * k + does[a] for s, a, *_ in rows])
    there = np.array([at[row[2]] for row in rows])
    chance, paid = (np.array([row[c] for row in rows], np.float64) for c in (3, 4))
    reward = np.bincount(where, chance * paid, n * k).reshape(n, k)
    given = np.bincount(where, minlength=n * k).reshape(n, k) > 0
    ended = ~given.any(1)
    reward[~given & ~ended[:, None]] = NEVER
    return Process(compressed(where, there, chance, n * k, n), torch.from_numpy(reward), torch.from_numpy(ended),
                   at[start], tuple(states), tuple(actions))  # fmt: skip


def compressed(row: np.ndarray, column: np.ndarray, chance: np.ndarray, rows: int, columns: int) -> Tensor:
    """A sparse matrix in compressed rows; entries of one place are summed."""
    place, which = np.unique(row * columns + column, return_inverse=True)
    begin = np.concatenate([[0], np.bincount(place // columns, minlength=rows).cumsum()])
    values = np.bincount(which, chance, len(place))
    return sparse(torch.from_numpy(begin), torch.from_numpy(place % columns), torch.from_numpy(values), columns)


def table(path: Path) -> tuple[Process, str]:
    """The process in a table of columns state, action, next, chance, reward, which starts in the first row's state;
    and the sha256 of the file. UserError: what is wrong, with its line."""
    found = sheet(path)
    names = {}
    for name, words in COLUMNS.items():
        names[name] = column(found.columns, words)
        if not names[name]:
            got = f"{', '.join(found.columns)} in {path}"
            raise UserError(f"a column {name!r}", got, "Call them state, action, next, chance, reward", "mdp")
    rows = []
    for k, line in enumerate(found.lines):
        cells = {name: found.columns[own][k] for name, own in names.items()}
        try:
            chance, reward = float(cells["chance"]), float(cells["reward"])
        except (TypeError, ValueError):
            got = f"{cells['chance']!r} and {cells['reward']!r} in {path} line {line}"
            raise UserError("a chance and a reward as numbers", got, "Mend it", "mdp") from None
        if not 0 <= chance <= 1 or not np.isfinite(reward):
            got = f"chance {chance:g} and reward {reward:g} in {path} line {line}"
            raise UserError("a chance of 0 to 1, and a reward", got, "Mend it", "mdp")
        rows.append((str(cells["state"]), str(cells["action"]), str(cells["next"]), chance, reward))
    states = list(dict.fromkeys(name for row in rows for name in (row[0], row[2])))
    actions = {row[1] for row in rows}
    if len(states) > MOST_STATES or len(actions) > MOST_ACTIONS:
        got = f"{len(states):,} and {len(actions):,} in {path}"
        raise UserError(
            f"at most {MOST_STATES:,} states and {MOST_ACTIONS:,} actions", got, "Give a smaller table", "mdp"
        )
    sums: dict[tuple[str, str], float] = {}
    for state, action, _, chance, _ in rows:
        sums[state, action] = sums.get((state, action), 0.0) + chance
    for (state, action), whole in sums.items():
        if abs(whole - 1) > NEAR:
            got = f"{whole:g} for action {action!r} in state {state!r} of {path}"
            raise UserError("chances that sum to 1", got, "Give every outcome of it", "mdp")
    return process(rows, states, rows[0][0]), hashlib.sha256(path.read_bytes()).hexdigest()
