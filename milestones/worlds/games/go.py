"""Go on 5 x 5 to 19 x 19 points: what one surrounds is one's own.

Area scoring, as Chinese rules and Tromp and Taylor's have it: stones and the empty points that only they reach. A stone
may not take its own group's last liberty, and no move may bring back a position of the whole board that was there
before, whoever was to move then (positional superko). Two passes in a row end the game; so does its longest length, and
what lies there is counted.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ...media.board import spot
from ...parts.compiled import njit
from .game import PASS, Rules, Stones

KOMI = {7: 9.0, 9: 7.0}  # at which perfect play is believed to be a draw; else 7.5
ZERO, ONE = np.uint64(0), np.uint64(1)
GOLDEN, FIRST, SECOND = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
WHITE, PASSED, OVER = np.uint64(1), np.uint64(2), np.uint64(4)  # to move; the last move was a pass; so were two
COUNT, MOST, KEPT = np.uint64(0), np.uint64(16), np.uint64(32)  # where in a word: moves, most stones so far, positions
HALF = np.uint64(0xFFFF)


def mixed(key: int) -> int:
    """Splitmix64 in Python's integers."""
    key = (key * 0x9E3779B97F4A7C15) % 2**64
    key = ((key ^ key >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    key = ((key ^ key >> 27) * 0x94D049BB133111EB) % 2**64
    return key ^ key >> 31


def go(size: int, komi: float) -> Stones:
    """The game on so many rows and columns, White getting `komi` points. Words: black stones, white stones; who is to
    move and whether one has passed; then three numbers in one, and the keys of all positions of the game so far, which
    superko asks for. A net sees what the words before those numbers say. Bit row * size + column."""
    cells, half = size * size, -(-size * size // 64)
    longest = 3 * cells
    name = f"go{size}" if komi == KOMI.get(size, 7.5) else f"go{size}:{komi:g}"
    facts = {
        "kind": "game", "game": name, "title": "go", "komi": komi,
        "aim": f"more stones and surrounded points than the other, who as White has {komi:g} more", "rows": size,
        "columns": size, "actions": cells + 1, "shape": [8, size, size], "levels": 1, "longest": longest,
        "pieces": ["black", "white"],
        "labels": [*(spot(k // size, k % size, size).lower() for k in range(cells)), PASS], "symmetries": 8,
    }  # fmt: skip
    near = np.full((cells, 8), -1)  # four beside each point, then four across
    for cell in range(cells):
        for k, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))):
            row, column = cell // size + down, cell % size + right
            if 0 <= row < size and 0 <= column < size:
                near[cell, k] = row * size + column
    keys = np.array([[mixed(1 + 2 * cell + colour) for cell in range(cells)] for colour in (0, 1)], np.uint64)
    start = np.zeros(2 * half + 2 + longest + 1, np.uint64)
    start[2 * half + 1], start[2 * half + 2] = ONE << KEPT, mixed(0)  # of the empty board

    kept = [partial(turned, turns, mirrored) for mirrored in (False, True) for turns in range(4)]
    rules = Rules(step, turn, planes, playout, mover, (near, keys, komi), counted)
    return Stones(facts, len(start), start, rules, kept, crossings=True, seen=2 * half + 1)


def turned(turns: int, mirrored: bool, board: np.ndarray) -> np.ndarray:
    return np.rot90(board[:, ::-1] if mirrored else board, turns)


def mover(states: np.ndarray, near: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return (states[:, 2 * -(-len(near) // 64)] & WHITE).astype(np.int64)


@njit
def laid(words, i, board):
    """Write the stones of position i: 0 for none, 1 black, 2 white. How many there are."""
    half, stones = (len(board) + 63) // 64, 0
    for cell in range(len(board)):
        bit, word = np.uint64(cell & 63), cell >> 6
        black, white = (words[i, word] >> bit) & ONE, (words[i, half + word] >> bit) & ONE
        board[cell] = black + white + white
        stones += np.int64(black + white)
    return stones


@njit
def grouped(board, near, keys, group, freedom, sums, sizes, queue, mark):
    """Number the groups, and tell each one's liberties, key and stones."""
    cells, count = len(board), 0
    for cell in range(cells):
        group[cell] = mark[cell] = -1
    for first in range(cells):
        colour = board[first]
        if colour == 0 or group[first] >= 0:
            continue
        at, end, found, key = 0, 1, 0, ZERO
        queue[0], group[first] = first, count
        while at < end:
            cell = queue[at]
            key ^= keys[colour - 1, cell]
            for k in range(4):
                other = near[cell, k]
                if other < 0:
                    continue
                if board[other] == 0:
                    if mark[other] != count:
                        mark[other] = count
                        found += 1
                elif board[other] == colour and group[other] < 0:
                    group[other] = count
                    queue[end] = other
                    end += 1
            at += 1
        freedom[count], sums[count], sizes[count] = found, key, end
        count += 1


@njit
def areas(board, near, owner, queue):
    """Write who owns each point: 1 black, 2 white, 0 nobody. By how many points black is ahead."""
    ahead = 0
    for cell in range(len(board)):
        owner[cell] = board[cell] if board[cell] else -1
    for first in range(len(board)):
        if owner[first] >= 0:
            continue
        at, end, touched = 0, 1, 0
        queue[0], owner[first] = first, 0
        while at < end:
            for k in range(4):
                other = near[queue[at], k]
                if other < 0:
                    continue
                if board[other]:
                    touched |= board[other]
                elif owner[other] < 0:
                    owner[other] = 0
                    queue[end] = other
                    end += 1
            at += 1
        if touched == 1 or touched == 2:
            for k in range(end):
                owner[queue[k]] = touched
    for cell in range(len(board)):
        ahead += 1 if owner[cell] == 1 else -1 if owner[cell] == 2 else 0
    return ahead


@njit
def worth(ahead, komi, white):
    """Of a game that is over, for the one to move."""
    points = ahead - komi
    value = 1.0 if points > 0 else -1.0 if points < 0 else 0.0
    return -value if white else value


@njit
def judge(words, i, near, komi, keys, board, stones, group, freedom, sums, sizes, queue, mark, legal, ended, value):
    """Write what position i is, whose stones are on the board."""
    cells = len(board)
    half = (cells + 63) // 64
    meta, numbers = words[i, 2 * half], words[i, 2 * half + 1]
    white = meta & WHITE != ZERO
    over = meta & OVER != ZERO or np.int64((numbers >> COUNT) & HALF) >= 3 * cells
    ended[i], value[i] = over, 0.0
    for move in range(cells + 1):
        legal[i, move] = False
    if over:
        value[i] = worth(areas(board, near, mark, queue), komi, white)
        return
    grouped(board, near, keys, group, freedom, sums, sizes, queue, mark)
    own = 2 if white else 1
    most, kept = np.int64((numbers >> MOST) & HALF), np.int64(numbers >> KEPT)
    now = words[i, 2 * half + 1 + kept]
    for cell in range(cells):
        if board[cell]:
            continue
        free, taken, key = False, 0, now ^ keys[own - 1, cell]
        for k in range(4):
            other = near[cell, k]
            if other < 0:
                continue
            if board[other] == 0:
                free = True
            elif board[other] == own:
                free = free or freedom[group[other]] > 1
            elif freedom[group[other]] == 1:
                new = True
                for before in range(k):
                    new = new and (near[cell, before] < 0 or group[near[cell, before]] != group[other])
                if new:
                    key ^= sums[group[other]]
                    taken += sizes[group[other]]
        if not (free or taken):
            continue
        again = False
        if stones + 1 - taken <= most:  # more stones than ever before cannot have lain there
            for k in range(kept):
                again = again or words[i, 2 * half + 2 + k] == key
        legal[i, cell] = not again
    legal[i, cells] = True


@njit
def put(board, near, cell, colour, queue, mark):
    """Lay a stone, and take the other's groups that have no liberty then; their points are the first in the queue. The
    marks are all -1, before and after. How many stones were taken."""
    board[cell], taken = colour, 0
    for k in range(4):
        first = near[cell, k]
        if first < 0 or board[first] != 3 - colour:
            continue
        at, end, free = taken, taken + 1, False
        queue[taken], mark[first] = first, 0
        while at < end:
            for j in range(4):
                other = near[queue[at], j]
                if other < 0 or mark[other] >= 0:
                    continue
                if board[other] == 0:
                    free = True
                elif board[other] == 3 - colour:
                    mark[other] = 0
                    queue[end] = other
                    end += 1
            at += 1
        for j in range(taken, end):
            mark[queue[j]] = -1
            if not free:
                board[queue[j]] = 0
        taken = taken if free else end
    return taken


@njit
def step(states, moves, near, keys, komi):
    count, cells = len(states), len(near)
    half, new = (cells + 63) // 64, states.copy()
    legal, ended = np.empty((count, cells + 1), np.bool_), np.empty(count, np.bool_)
    value, board = np.empty(count, np.float32), np.empty(cells, np.int8)
    group, freedom, sizes, queue, mark = np.full((5, cells), -1)
    sums = np.empty(cells, np.uint64)
    for i in range(count):
        move, stones = moves[i], laid(states, i, board)
        meta, numbers = states[i, 2 * half], states[i, 2 * half + 1]
        assert 0 <= move <= cells and meta & OVER == ZERO
        colour = 2 if meta & WHITE != ZERO else 1
        if move == cells:
            passed = PASSED if meta & PASSED == ZERO else PASSED | OVER
        else:
            assert board[move] == 0
            for cell in range(cells):
                mark[cell] = -1
            passed, taken = ZERO, put(board, near, move, colour, queue, mark)
            kept = np.int64(numbers >> KEPT)
            key = states[i, 2 * half + 1 + kept] ^ keys[colour - 1, move]
            new[i, (colour - 1) * half + (move >> 6)] |= ONE << np.uint64(move & 63)
            for k in range(taken):
                new[i, (2 - colour) * half + (queue[k] >> 6)] &= ~(ONE << np.uint64(queue[k] & 63))
                key ^= keys[2 - colour, queue[k]]
            stones += 1 - taken
            new[i, 2 * half + 2 + kept] = key
            most = max(stones, np.int64((numbers >> MOST) & HALF))
            numbers = (numbers & HALF) | (np.uint64(most) << MOST) | (np.uint64(kept + 1) << KEPT)
        new[i, 2 * half], new[i, 2 * half + 1] = ((meta & WHITE) ^ WHITE) | passed, numbers + ONE
        judge(new, i, near, komi, keys, board, stones, group, freedom, sums, sizes, queue, mark, legal, ended, value)
    return new, legal, ended, value


@njit
def turn(states, near, keys, komi):
    count, cells = len(states), len(near)
    legal, ended = np.empty((count, cells + 1), np.bool_), np.empty(count, np.bool_)
    value, board = np.empty(count, np.float32), np.empty(cells, np.int8)
    group, freedom, sizes, queue, mark = np.full((5, cells), -1)
    sums = np.empty(cells, np.uint64)
    for i in range(count):
        stones = laid(states, i, board)
        judge(states, i, near, komi, keys, board, stones, group, freedom, sums, sizes, queue, mark, legal, ended, value)
    return legal, ended, value


@njit
def planes(states, near, keys, komi):
    """Own stones, the other's; own and the other's groups of one liberty, and of two; whether the last move was a pass;
    whether White is to move."""
    cells = len(near)
    size, half = int(np.sqrt(cells)), (cells + 63) // 64
    seen, board = np.zeros((len(states), 8, size, size), np.uint8), np.empty(cells, np.int8)
    group, freedom, sizes, queue, mark = np.full((5, cells), -1)
    sums = np.empty(cells, np.uint64)
    for i in range(len(states)):
        laid(states, i, board)
        grouped(board, near, keys, group, freedom, sums, sizes, queue, mark)
        meta = states[i, 2 * half]
        own = 2 if meta & WHITE != ZERO else 1
        for cell in range(cells):
            row, column = cell // size, cell % size
            if board[cell]:
                other = 0 if board[cell] == own else 1
                seen[i, other, row, column] = 1
                if freedom[group[cell]] <= 2:
                    seen[i, 2 * freedom[group[cell]] + other, row, column] = 1
            seen[i, 6, row, column] = meta & PASSED != ZERO
            seen[i, 7, row, column] = own - 1
    return seen


@njit
def counted(states, near, keys, komi):
    """Who owns each point as the board stands, and by how much the one to move is ahead: nothing is taken for dead."""
    count, cells = len(states), len(near)
    half = (cells + 63) // 64
    owner, score = np.zeros((count, cells), np.int8), np.empty(count, np.float32)
    board, (own, queue) = np.empty(cells, np.int8), np.zeros((2, cells), np.int64)
    for i in range(count):
        laid(states, i, board)
        sign = -1 if states[i, 2 * half] & WHITE != ZERO else 1
        score[i] = sign * (areas(board, near, own, queue) - komi)
        for cell in range(cells):
            owner[i, cell] = sign if own[cell] == 1 else -sign if own[cell] == 2 else 0
    return owner, score


@njit
def drawn(key):
    """Splitmix64: 64 random bits of a counter."""
    key = (key ^ (key >> np.uint64(30))) * FIRST
    key = (key ^ (key >> np.uint64(27))) * SECOND
    return key ^ (key >> np.uint64(31))


@njit
def eye(board, near, cell, colour):
    """Whether the point is surrounded by one's own stones, and not to be taken from across."""
    across, edge = 0, 0
    for k in range(8):
        other = near[cell, k]
        if k < 4 and other >= 0 and board[other] != colour:
            return False
        if k >= 4:
            edge |= other < 0
            across += other >= 0 and board[other] == 3 - colour
    return across + edge < 2


@njit
def playout(states, seed, near, keys, komi):
    """Both lay stones at random where they may, but into none of their own eyes, and not back into a ko at once."""
    cells = len(near)
    half, value = (cells + 63) // 64, np.empty(len(states), np.float32)
    board = np.empty(cells, np.int8)
    mark, queue, order = np.full((3, cells), -1)
    for i in range(len(states)):
        laid(states, i, board)
        white = states[i, 2 * half] & WHITE != ZERO
        colour, passes, ko, key = 2 if white else 1, 0, -1, drawn(seed + np.uint64(i) * FIRST)
        for cell in range(cells):
            mark[cell] = -1
        for _ in range(3 * cells if states[i, 2 * half] & OVER == ZERO else 0):
            left = 0
            for cell in range(cells):
                if board[cell] == 0 and cell != ko:
                    order[left] = cell
                    left += 1
            done = False
            while left and not done:
                key += GOLDEN
                pick = np.int64(((drawn(key) >> np.uint64(32)) * np.uint64(left)) >> np.uint64(32))
                cell = order[pick]
                left -= 1
                order[pick] = order[left]
                if eye(board, near, cell, colour):
                    continue
                taken = put(board, near, cell, colour, queue, mark)
                ko = queue[0] if taken == 1 else -1
                done = taken > 0
                at, end = 0, 1
                queue[0], mark[cell] = cell, 0
                while at < end and not done:  # a liberty of the new group
                    for k in range(4):
                        other = near[queue[at], k]
                        if other >= 0 and board[other] == 0:
                            done = True
                        elif other >= 0 and board[other] == colour and mark[other] < 0:
                            mark[other] = 0
                            queue[end] = other
                            end += 1
                    at += 1
                for k in range(end):
                    mark[queue[k]] = -1
                if not done:
                    board[cell] = 0
            if not done:
                passes, ko = passes + 1, -1
                if passes == 2:
                    break
            else:
                passes = 0
            colour = 3 - colour
        value[i] = worth(areas(board, near, mark, queue), komi, white)
    return value
