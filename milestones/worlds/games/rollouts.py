"""A fast policy of go, linear in a few features of each point, and games that it plays to their end.

Features (Silver et al. 2016, Extended Data Table 4, in small): the 3 x 3 points around the move, alike where turned or
mirrored; whether it takes stones, saves stones from being taken, leaves a single liberty, lies beside the last move,
or fills an eye.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Int16, Int64, UInt64
from torch import Tensor, nn

from ...core.errors import UserError
from ...parts.compiled import njit
from . import game as game_of
from .game import Stones

TAKES, SAVES, ALONE, BESIDE, EYE = range(1, 6)  # what is told of a point, after its pattern
TOLD = 6
WAYS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))  # as the game names neighbours
ONE, WHITE, OVER = np.uint64(1), np.uint64(1), np.uint64(4)  # as in the game's words
GOLDEN, FIRST, SECOND = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def table(name: str) -> Stones:
    """The game of go of this name. UserError: another game."""
    found = game_of(name)
    if not isinstance(found, Stones) or found.facts["title"] != "go":
        raise UserError("a game of go: go5 to go19", f"--game {name}", "Take page alphazero for others")
    return found


@cache
def kinds() -> tuple[Int16[np.ndarray, "65536"], int]:
    """The kind of each way in which 8 neighbours can be empty, own, the other's or off the board, two bits each; how
    many kinds there are. Turned and mirrored ones are of one kind."""
    shifts, codes = 2 * np.arange(8), np.arange(1 << 16)
    spots, least = (codes[:, None] >> shifts) & 3, codes
    for down, right, swap in np.ndindex(2, 2, 2):
        order = []
        for row, column in WAYS:
            row, column = (-row if down else row), (-column if right else column)
            order.append(WAYS.index((column, row) if swap else (row, column)))
        least = np.minimum(least, (spots[:, order] << shifts).sum(1))
    kept, kind = np.unique(least, return_inverse=True)
    return kind.astype(np.int16), len(kept)


class FastPolicy(nn.Module):
    """Takes what is told of points, gives scores of moves: the sum of the weights of their features."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = kinds()[1]
        self.weight = nn.Parameter(torch.zeros(self.kinds + TOLD))  # of patterns, of features, of a pass

    def forward(self, told: Int16[Tensor, "B P F"]) -> Float[Tensor, "B A"]:
        pattern, features = told[..., 0].long(), told[..., 1:]
        scores = self.weight[pattern.clamp(min=0)] + features.to(self.weight.dtype) @ self.weight[self.kinds : -1]
        scores = scores.masked_fill(pattern < 0, -torch.inf)
        return torch.cat([scores, self.weight[-1].expand(len(told), 1)], 1)

    @torch.no_grad()
    def finish(self, game: Stones, states: UInt64[np.ndarray, "M W"]) -> Float32[np.ndarray, "M"]:
        """What the one to move gets where both go on by this policy, but fill no eye of their own. A position has one
        such game, whatever is asked beside it."""
        near, _, komi = game.rules.tables
        strong = self.weight[:-1].double().exp().cpu().numpy()
        return finished(np.ascontiguousarray(states), near, komi, kinds()[0], self.kinds, strong)


def told_of(game: Stones, states: UInt64[np.ndarray, "M W"],
            last: Int64[np.ndarray, "M"] | None = None) -> Int16[np.ndarray, "M P F"]:  # fmt: skip
    """The kind of the pattern around each point, -1 where no stone may lie (superko is not asked), and its features.
    `last`: the moves before; -1, or none: nobody knows."""
    last = np.full(len(states), -1) if last is None else np.ascontiguousarray(last, np.int64)
    return described(np.ascontiguousarray(states), last, game.rules.tables[0], kinds()[0])


@njit
def laid(words, i, board):
    """Write the stones of position i: 0 for none, 1 black, 2 white."""
    half = (len(board) + 63) // 64
    for cell in range(len(board)):
        bit, word = np.uint64(cell & 63), cell >> 6
        black, white = (words[i, word] >> bit) & ONE, (words[i, half + word] >> bit) & ONE
        board[cell] = black + white + white


@njit
def grouped(board, near, group, freedom, queue, mark):
    """Number the groups of stones, and count each one's liberties."""
    count = 0
    for cell in range(len(board)):
        group[cell] = mark[cell] = -1
    for first in range(len(board)):
        if board[first] == 0 or group[first] >= 0:
            continue
        at, end, found = 0, 1, 0
        queue[0], group[first] = first, count
        while at < end:
            for k in range(4):
                other = near[queue[at], k]
                if other < 0:
                    continue
                if board[other] == 0:
                    if mark[other] != count:
                        mark[other] = count
                        found += 1
                elif board[other] == board[first] and group[other] < 0:
                    group[other] = count
                    queue[end] = other
                    end += 1
            at += 1
        freedom[count] = found
        count += 1


@njit
def told(board, near, cell, colour, last, group, freedom, kind, found):
    """Write what a stone there would be. Whether it would have a liberty."""
    code, free, friends, across, edge = 0, 0, 0, 0, 0
    takes, saves, beside, eye = False, False, False, True
    for k in range(8):
        other = near[cell, k]
        if other < 0:
            code |= 3 << (2 * k)
            edge |= k >= 4
            continue
        beside = beside or other == last
        if board[other]:
            code |= (1 if board[other] == colour else 2) << (2 * k)
        if k >= 4:
            across += board[other] == 3 - colour
        elif board[other] == 0:
            free += 1
            eye = False
        elif board[other] == colour:
            friends += freedom[group[other]] - 1
            saves = saves or freedom[group[other]] == 1
        else:
            takes = takes or freedom[group[other]] == 1
            eye = False
    alone = not takes and free + friends <= 1  # a group that touches twice counts twice
    found[0], found[TAKES], found[SAVES], found[ALONE] = kind[code], takes, saves and not alone, alone
    found[BESIDE], found[EYE] = beside, eye and across + edge < 2
    return takes or free + friends > 0


@njit
def described(states, last, near, kind):
    cells = len(near)
    half, found = (cells + 63) // 64, np.zeros((len(states), cells, TOLD), np.int16)
    board = np.empty(cells, np.int8)
    group, freedom, queue, mark = np.full((4, cells), -1)
    for i in range(len(states)):
        laid(states, i, board)
        grouped(board, near, group, freedom, queue, mark)
        colour = 2 if states[i, 2 * half] & WHITE != 0 else 1
        for cell in range(cells):
            if board[cell] or not told(board, near, cell, colour, last[i], group, freedom, kind, found[i, cell]):
                found[i, cell] = 0
                found[i, cell, 0] = -1
    return found


@njit
def mixed(key):
    """Splitmix64: 64 random bits of a counter."""
    key = (key ^ (key >> np.uint64(30))) * FIRST
    key = (key ^ (key >> np.uint64(27))) * SECOND
    return key ^ (key >> np.uint64(31))


@njit
def ahead_of(board, near, seen, queue):
    """By how many points Black is ahead, stones and what only they reach."""
    ahead = 0
    for cell in range(len(board)):
        seen[cell] = -1
        ahead += 1 if board[cell] == 1 else -1 if board[cell] == 2 else 0
    for first in range(len(board)):
        if board[first] or seen[first] >= 0:
            continue
        at, end, touched = 0, 1, 0
        queue[0], seen[first] = first, 0
        while at < end:
            for k in range(4):
                other = near[queue[at], k]
                if other >= 0 and board[other]:
                    touched |= board[other]
                elif other >= 0 and seen[other] < 0:
                    seen[other] = 0
                    queue[end] = other
                    end += 1
            at += 1
        ahead += end if touched == 1 else -end if touched == 2 else 0
    return ahead


@njit
def finished(states, near, komi, kind, patterns, strong):
    """`strong`: how many times as likely a move becomes by its pattern, and by each of its features."""
    cells = len(near)
    half, value = (cells + 63) // 64, np.empty(len(states), np.float32)
    board, found, chance = np.empty(cells, np.int8), np.empty(TOLD, np.int64), np.empty(cells)
    group, freedom, queue, mark = np.full((4, cells), -1)
    for i in range(len(states)):
        laid(states, i, board)
        meta, key = states[i, 2 * half], np.uint64(0)
        for word in range(2 * half + 2):  # stones, who is to move, how many moves there were
            key = mixed(key ^ states[i, word]) + GOLDEN
        white = meta & WHITE != 0
        colour, passes, ko, last = 2 if white else 1, 0, -1, -1
        for _ in range(3 * cells if meta & OVER == 0 else 0):
            grouped(board, near, group, freedom, queue, mark)
            total = 0.0
            for cell in range(cells):
                chance[cell] = 0.0
                if board[cell] or cell == ko:
                    continue
                if told(board, near, cell, colour, last, group, freedom, kind, found) and not found[EYE]:
                    weight = strong[found[0]]
                    for k in range(1, TOLD):
                        if found[k]:
                            weight *= strong[patterns + k - 1]
                    chance[cell] = weight
                    total += weight
            if total <= 0:
                passes, ko, last = passes + 1, -1, -1
                if passes == 2:
                    break
            else:
                key += GOLDEN
                left, move = np.float64(mixed(key) >> np.uint64(11)) * 2.0**-53 * total, -1
                for cell in range(cells):
                    if chance[cell] > 0:
                        move = cell
                        left -= chance[cell]
                        if left < 0:
                            break
                taken, gone, passes = 0, -1, 0
                board[move] = colour
                for k in range(4):
                    other = near[move, k]
                    if other >= 0 and board[other] == 3 - colour and freedom[group[other]] == 1:
                        lost = group[other]
                        for cell in range(cells):
                            if group[cell] == lost:
                                board[cell] = 0
                                group[cell] = -1
                                taken, gone = taken + 1, cell
                ko, last = gone if taken == 1 else -1, move
            colour = 3 - colour
        points = ahead_of(board, near, mark, queue) - komi
        worth = 1.0 if points > 0 else -1.0 if points < 0 else 0.0
        value[i] = -worth if white else worth
    return value
