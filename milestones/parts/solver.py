"""Perfect play of connect four: what each column is worth if both sides play their best from then on.

A position is two words: the stones of the one to move, and all stones. Column c has the bits 7c to 7c + 6, its lowest
cell first; the seventh stays free and keeps columns apart. A worth of k > 0 says that the one to move wins with k - 1
of its 21 stones in hand, -k that it loses so, 0 that nobody wins: larger is better, and sooner wins are larger.

The search is alpha-beta in questions of yes and no, "is it worth at least so much?", which halve what is left between
the worst and the best; nobody looks at moves that lose at once, moves that threaten most come first, and what was
found out is kept by position, mirror images together (Allis 1988, A knowledge-based approach of connect-four; Pons
2015, Solving Connect 4; Tromp's bits). Its stack is an array: numba cannot keep a compiled function that calls itself.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int8, Int64, UInt64

from .compiled import njit
from .worths import NONE

ROWS, COLUMNS, CELLS = 6, 7, 42
HIGH = ROWS + 1  # bits of a column
BOTTOM = sum(1 << HIGH * column for column in range(COLUMNS))
BOARD = BOTTOM * ((1 << ROWS) - 1)
OUTER_FIRST = (0, 6, 1, 5, 2, 4, 3)  # columns; the last is tried first where moves threaten alike
BOUND = 32  # added to a bound so that it is kept in six bits
UNKNOWN = (BOUND - CELLS // 2) << 6 | (BOUND + CELLS // 2)
SPREAD = 0x9E3779B97F4A7C15 - (1 << 64)  # 2^64 over the golden ratio, as a signed word
MIRRORED = 20  # stones from which on mirror images hardly ever come up
DEEP, NEAR = 22, 1 << 17  # stones from which on positions lie in a table of their own: 1 MB
ENTRIES = 1 << 22  # of the other table: 32 MB


@njit
def count(bits: int) -> int:
    """How many bits are set."""
    bits -= bits >> 1 & 0x5555555555555555
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333)
    bits = bits + (bits >> 4) & 0x0F0F0F0F0F0F0F0F
    return bits * 0x0101010101010101 >> 56


@njit
def completing(own: int) -> int:
    """The cells, taken or free, that would make four in a row of `own`."""
    found = (own << 1) & (own << 2) & (own << 3)
    for step in range(HIGH - 1, HIGH + 2):  # falling, level, rising
        pair = (own << step) & (own << 2 * step)
        found |= pair & (own << 3 * step) | pair & (own >> step)
        pair = (own >> step) & (own >> 2 * step)
        found |= pair & (own << step) | pair & (own >> 3 * step)
    return found & BOARD


@njit
def four(own: int) -> bool:
    """Whether four of `own` are in a row."""
    found = own & own >> 1
    found &= found >> 2
    for step in range(HIGH - 1, HIGH + 2):
        pair = own & own >> step
        found |= pair & pair >> 2 * step
    return found != 0


@njit
def playable(mask: int) -> int:
    """The lowest free cell of each column that is not full."""
    return (mask + BOTTOM) & BOARD


@njit
def safe(own: int, mask: int) -> int:
    """The moves after which the other does not win at once."""
    threats = completing(own ^ mask)
    moves = playable(mask)
    forced = moves & threats
    if forced:
        if forced & (forced - 1):
            return 0
        moves = forced
    return moves & ~(threats >> 1)


@njit
def name(own: int, mask: int) -> int:
    """The number of a position and of its mirror image, from 1 on, below 2^49: in each column the stones under a one,
    as Tromp has it."""
    key = own + mask + BOTTOM
    column = (1 << HIGH) - 1
    mirror = key & column << 3 * HIGH
    mirror |= (key & column) << 6 * HIGH | key >> 6 * HIGH & column
    mirror |= (key & column << HIGH) << 4 * HIGH | key >> 4 * HIGH & column << HIGH
    mirror |= (key & column << 2 * HIGH) << 2 * HIGH | key >> 2 * HIGH & column << 2 * HIGH
    return min(key, mirror)


@njit
def title(own: int, mask: int, stones: int) -> int:
    """The number of a position in the table: `name` while mirror images come up."""
    return name(own, mask) if stones < MIRRORED else own + mask + BOTTOM


@njit
def opened(key: int) -> tuple[int, int]:
    """A position of this number: its own stones, all stones."""
    own = mask = 0
    for column in range(COLUMNS):
        held = key >> HIGH * column & ((1 << HIGH) - 1)
        one = 1
        while 2 * one <= held:
            one *= 2
        own |= (held - one) << HIGH * column
        mask |= (one - 1) << HIGH * column
    return own, mask


@njit
def reaches(own: int, mask: int, target: int, table: np.ndarray, frames: np.ndarray) -> bool:
    """Whether a position, in which the one to move cannot win at once, is worth at least `target`.

    A row of `frames` is a position on the way: own stones, all stones, target, number, moves left, and those, the best
    last. An entry of `table` is a number and two bounds. The last row counts the positions looked at.
    """
    first = count(mask)
    places = len(table) - NEAR - 1
    depth, nodes, known, answer = 0, 0, False, False
    fresh = True
    while True:
        if fresh:  # look at a position
            nodes += 1
            fresh = False
            known = True
            stones = first + depth
            moves = safe(own, mask)
            if moves == 0:
                answer = -((CELLS - stones) // 2) >= target
            elif stones >= CELLS - 2:
                answer = target <= 0
            elif (CELLS - 1 - stones) // 2 < target:
                answer = False
            elif -((CELLS - 2 - stones) // 2) >= target:
                answer = True
            else:
                key = title(own, mask, stones)
                entry = table[row(key, stones, places)]
                entry = entry if entry >> 12 == key else UNKNOWN
                if (entry >> 6 & 63) - BOUND >= target:
                    answer = True
                elif (entry & 63) - BOUND < target:
                    answer = False
                else:
                    known, answer = False, False
                    left = 0
                    for rank in range(COLUMNS):
                        move = moves & ((1 << HIGH) - 1) << HIGH * OUTER_FIRST[rank]
                        if move:
                            later = title(own ^ mask, mask | move, stones + 1)
                            entry = table[row(later, stones + 1, places)]
                            if entry >> 12 == later and (entry & 63) - BOUND <= -target:
                                known = answer = True  # this move is known to reach it
                                break
                            threats = count(completing(own | move) & ~mask)
                            order = (8 * threats + rank) << 49 | move
                            at = left
                            while at > 0 and frames[depth, 4 + at] > order:
                                frames[depth, 5 + at] = frames[depth, 4 + at]
                                at -= 1
                            frames[depth, 5 + at] = order
                            left += 1
                    frames[depth, 0], frames[depth, 1], frames[depth, 2] = own, mask, target
                    frames[depth, 3], frames[depth, 4] = key, left
        elif known:  # tell it to the position before
            if depth == 0:
                frames[len(frames) - 1, 0] += nodes
                return answer
            depth -= 1
            if answer:  # the other reached 1 - target, so that this move did not reach target
                known = False
            else:
                keep(table, row(frames[depth, 3], first + depth, places), frames[depth, 3], frames[depth, 2], True)
                answer = True
        elif frames[depth, 4] == 0:
            keep(table, row(frames[depth, 3], first + depth, places), frames[depth, 3], frames[depth, 2], False)
            known, answer = True, False
        else:
            frames[depth, 4] -= 1
            move = frames[depth, 5 + frames[depth, 4]] & ((1 << 49) - 1)
            own = frames[depth, 0] ^ frames[depth, 1]
            mask = frames[depth, 1] | move
            target = 1 - frames[depth, 2]
            depth += 1
            fresh = True


@njit
def row(key: int, stones: int, places: int) -> int:
    """Where in the table a position is kept. Those with many stones, most of all, share a part that stays in the
    processor's cache."""
    spread = key * SPREAD >> 38
    return spread & NEAR - 1 if stones >= DEEP else NEAR + (spread & places)


@njit
def keep(table: np.ndarray, at: int, key: int, target: int, reached: bool) -> None:
    """Remember that a position reached its target, or did not; what lay in its place is forgotten."""
    entry = table[at] if table[at] >> 12 == key else key << 12 | UNKNOWN
    if reached:
        table[at] = entry & ~(63 << 6) | (target + BOUND) << 6
    else:
        table[at] = entry & ~63 | (target - 1 + BOUND)


@njit
def place(key: int, keys: np.ndarray) -> int:
    """Where a number stands in the sorted `keys`."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def worth(own: int, mask: int, table: np.ndarray, frames: np.ndarray, keys: np.ndarray, values: np.ndarray,
          book: int) -> int:  # fmt: skip
    """The worth of a position that is not over; with at most `book` stones it is read from `values`."""
    stones = count(mask)
    if completing(own) & playable(mask):
        return (CELLS + 1 - stones) // 2
    if stones <= book:
        return values[place(name(own, mask), keys)]
    low, high = -((CELLS - stones) // 2), max(0, (CELLS - 1 - stones) // 2)
    while low < high:
        middle = (low + high) // 2
        if middle <= 0 and -(-low // 2) < middle:  # what would come soon is found out soonest
            middle = -(-low // 2)
        elif middle >= 0 and high // 2 > middle:
            middle = high // 2
        if reaches(own, mask, middle + 1, table, frames):
            low = middle + 1
        else:
            high = middle
    return low


@njit
def each(states: np.ndarray, table: np.ndarray, frames: np.ndarray, keys: np.ndarray, values: np.ndarray, book: int,
         scores: np.ndarray) -> None:  # fmt: skip
    """Write the worth of every column of every position into `scores`."""
    for n in range(len(states)):
        own, mask = states[n, 0], states[n, 1]
        over = four(own ^ mask)
        wins, stones = completing(own), count(mask)
        for column in range(COLUMNS):
            move = playable(mask) & ((1 << HIGH) - 1) << HIGH * column
            if over or not move:
                scores[n, column] = NONE
            elif wins & move:
                scores[n, column] = (CELLS + 1 - stones) // 2
            else:
                scores[n, column] = -worth(own ^ mask, mask | move, table, frames, keys, values, book)


@njit
def following(keys: np.ndarray) -> np.ndarray:
    """The numbers of the positions one move later, "N 7"; 0 where a column is full, -1 where the move wins."""
    after = np.zeros((len(keys), COLUMNS), np.int64)
    for n in range(len(keys)):
        own, mask = opened(keys[n])
        wins = completing(own)
        for column in range(COLUMNS):
            move = playable(mask) & ((1 << HIGH) - 1) << HIGH * column
            if move:
                after[n, column] = -1 if wins & move else name(own ^ mask, mask | move)
    return after


def layers(stones: int) -> list[Int64[np.ndarray, "K"]]:
    """The sorted numbers of all positions with 0, 1, ... `stones` stones that are not over, mirror images once."""
    reached = [np.array([BOTTOM], np.int64)]
    for _ in range(stones):
        after = np.unique(following(reached[-1]))
        reached.append(after[after > 0])
    return reached


def unfolded(last: Int8[np.ndarray, "K"], stones: int) -> tuple[Int64[np.ndarray, "L"], Int8[np.ndarray, "L"]]:
    """The sorted numbers, and the worths, of all positions with at most `stones` stones, from the worths of those with
    exactly so many (in the order of `layers`): each is the best of what follows."""
    reached = layers(stones)
    assert len(last) == len(reached[-1]), f"{len(reached[-1])} worths, not {len(last)}"
    values = [last]
    for placed in range(stones - 1, -1, -1):
        after = following(reached[placed])
        later = -values[-1][np.searchsorted(reached[placed + 1], after).clip(max=len(values[-1]) - 1)]
        later = np.where(after < 0, (CELLS + 1 - placed) // 2, np.where(after > 0, later, NONE))
        values.append(later.max(1).astype(np.int8))
    keys, worths = np.concatenate(reached), np.concatenate(values[::-1])
    order = keys.argsort()
    return keys[order], worths[order]


def remaining(worths: Int[np.ndarray, "N"], stones: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
    """How many stones are placed until the game is over, if positions with so many stones have these worths."""
    own = (worths > 0) == (stones % 2 == 1)  # the winner places the stones of even number
    last = CELLS + 2 - 2 * np.abs(worths) - np.where(own, 0, 1)
    return np.where(worths == 0, CELLS, last) - stones


class Solver:
    """What it found out stays for the next question, in a table of `entries` (a power of 2; 8 bytes each) and a small
    one that the processor's cache can hold, in which three of four positions lie: they are found three times as fast.
    `book` are the worths of all positions with exactly `stones` stones, in the order of `layers`. Not for two threads
    at once."""

    def __init__(self, entries: int = ENTRIES, book: Int8[np.ndarray, "K"] | None = None, stones: int = 0) -> None:
        assert entries & (entries - 1) == 0, f"a power of 2, not {entries}"
        self._table = np.zeros(NEAR + entries, np.int64)
        self._frames = np.zeros((CELLS + 1, 5 + COLUMNS), np.int64)
        self._keys, self._values = np.zeros(0, np.int64), np.zeros(0, np.int8)
        self._stones = -1
        if book is not None:
            self._keys, self._values = unfolded(book, stones)
            self._stones = stones

    @property
    def nodes(self) -> int:
        """How many positions it has looked at."""
        return int(self._frames[-1, 0])

    def scores(self, states: UInt64[np.ndarray, "N 2"]) -> Int8[np.ndarray, "N 7"]:
        """The worth of each column for the one to move; NONE where it is full, or the game is over."""
        scores, words = np.empty((len(states), COLUMNS), np.int8), np.ascontiguousarray(states.astype(np.int64))
        each(words, self._table, self._frames, self._keys, self._values, self._stones, scores)
        return scores

    def worths(self, states: UInt64[np.ndarray, "N 2"]) -> Int8[np.ndarray, "N"]:
        """The worth of each position, none of which is over, for the one to move."""
        more = self._table, self._frames, self._keys, self._values, self._stones
        return np.array([worth(own, mask, *more) for own, mask in states.astype(np.int64).tolist()], np.int8)

    def reaches(self, state: UInt64[np.ndarray, "1 2"], target: int) -> bool:
        """Whether a position, in which the one to move cannot win at once, is worth at least `target`."""
        own, mask = state[0].tolist()
        return bool(reaches(own, mask, target, self._table, self._frames))
