"""The trees of N searches, and what is done with them: compiled, one game after the other.

A node is a row of 32-bit words, floats `f` and integers `i` side by side (two views of one memory), so that what a step
of the descent reads lies together; for 7 moves it is two lines of the cache:

    0  visits, its own evaluation counted       1  sum of the values that came back, for the one to move there
    2  the net's value, for the one to move     3  what is proven of it: `least` + 1, and 4 times `most` + 1
    4  and then of each move: prior, -inf where illegal | visits | sum of values, for the one who moves | child, 0: none

A move that it is of no use to look at again has the sum -inf: it is closed (see `prove`).
"""

from __future__ import annotations

import math

import numpy as np

from .compiled import njit

VISITS, SUM, VALUE, PROOF, HEAD = range(5)
LINE = 16  # words of a line of the cache
OPEN = 8  # nothing is proven: between -1 and 1
UNKNOWN = 2  # a proven value is -1, 0 or 1
TINY = 1e-30  # a prior that is 0 to a float, so that it has a logarithm
FLAT = 1e-8  # a smaller range of values is none (mctx's epsilon)


def width(actions: int) -> int:
    """Words of a row."""
    return -(-(HEAD + 4 * actions) // LINE) * LINE


@njit
def least(proof):
    """What the one to move reaches at least: -1 a loss, 0 a draw, 1 a win."""
    return (proof & 3) - 1


@njit
def most(proof):
    """What the one to move can still hope for."""
    return (proof >> 2) - 1


@njit
def decided(proof):
    """Whether the value is proven."""
    return (proof & 3) == (proof >> 2)


@njit
def puct(f, i, A, rule):
    """The move of highest Q + U, U = C(s) P(a) sqrt(N(s)) / (1 + N(a)) (Silver et al. 2017, "Select"), where
    C(s) = ln((1 + N(s) + base) / base) + c (Silver et al. 2018, supplement); N(s) counts the node's own evaluation, so
    that the first move taken is the one of highest prior."""
    visits, first, share = i[VISITS], rule[2], rule[0]
    if rule[1] > 0:
        share += math.log((1 + visits + rule[1]) / rule[1])
    share *= math.sqrt(visits)
    if rule[3] > 0:
        first = np.float64(f[SUM]) / visits
        if rule[2] != 0:
            mass = 0.0
            for a in range(HEAD, HEAD + A):
                if i[a + A] > 0:
                    mass += f[a]
            first -= rule[2] * math.sqrt(mass)
    best, top = -1, -np.inf
    for a in range(HEAD, HEAD + A):
        count = i[a + A]
        q = np.float64(f[a + 2 * A]) / count if count > 0 else first
        score = q + share * f[a] / (1 + count)
        if score > top:
            best, top = a - HEAD, score
    return best


@njit
def completed(f, i, A, rule, found):
    """sigma(completed Q) of each open move in `found` (-inf: not open), and how often they were visited in all.

    sigma(q) = (c_visit + max N) c_scale q (Danihelka et al. 2022, equation 8). A move without a visit has the mixed
    value (v + sum N x mean Q of what was visited, weighted by the prior) / (1 + sum N) (appendix D). Illegal and closed
    moves count as little here as those that a game does not have."""
    total, largest, mass, weighted = 0, 0, 0.0, 0.0
    for a in range(HEAD, HEAD + A):
        count = i[a + A]
        if count > 0 and f[a + 2 * A] > -np.inf:
            p = max(np.float64(f[a]), TINY)
            total, largest = total + count, max(largest, count)
            mass += p
            weighted += p * (np.float64(f[a + 2 * A]) / count)
    value = np.float64(f[VALUE])
    if total > 0:
        value = (value + total * (weighted / mass)) / (total + 1)
    low, high = np.inf, -np.inf
    for a in range(HEAD, HEAD + A):
        count, q = i[a + A], -np.inf
        if f[a] >= 0 and f[a + 2 * A] > -np.inf:
            q = np.float64(f[a + 2 * A]) / count if count > 0 else value
            low, high = min(low, q), max(high, q)
        found[a - HEAD] = q
    scale = (rule[0] + largest) * rule[1]
    if rule[2] > 0:  # rescaled, as mctx does unless told otherwise: from 0 to 1 among these moves
        scale /= max(high - low, FLAT)
    else:
        low = 0.0
    for a in range(A):
        if found[a] > -np.inf:
            found[a] = scale * (found[a] - low)
    return total


@njit
def improve(f, A, sigma):
    """In place: sigma(completed Q) becomes the improved policy softmax(log prior + sigma) (equation 11), 0 where a move
    is not open."""
    top, total = -np.inf, 0.0
    for a in range(A):
        top = max(top, sigma[a])
    for a in range(A):
        if sigma[a] > -np.inf:
            sigma[a] = max(np.float64(f[HEAD + a]), TINY) * math.exp(sigma[a] - top)
            total += sigma[a]
        else:
            sigma[a] = 0.0
    for a in range(A):
        sigma[a] /= total


@njit
def interior(f, i, A, rule, space):
    """The open move of highest pi'(a) - N(a) / (1 + sum N), which makes the visits follow pi' (equation 14)."""
    total = completed(f, i, A, rule, space)
    best, top = -1, -np.inf
    if total == 0:  # all are worth the same: the policy is the prior
        for a in range(A):
            if space[a] > -np.inf and f[HEAD + a] > top:
                best, top = a, np.float64(f[HEAD + a])
        return best
    improve(f, A, space)
    for a in range(A):
        score = space[a] - i[HEAD + A + a] / (1 + total)
        if score > top and f[HEAD + a] >= 0 and f[HEAD + 2 * A + a] > -np.inf:
            best, top = a, score
    return best


@njit
def considered(f, i, A, rule, base, count, space):
    """At the root: the move of highest g + log prior + sigma(completed Q) among those visited `count` times (algorithm
    2). Where all of these are closed, of all that are open."""
    completed(f, i, A, rule, space)
    best, top, other, peak = -1, -np.inf, -1, -np.inf
    for a in range(A):
        score = base[a] + space[a]
        if score > peak:
            other, peak = a, score
        if score > top and i[HEAD + A + a] == count:
            best, top = a, score
    return best if best >= 0 else other


@njit
def halving(moves, simulations, order):
    """Sequential halving (Karnin, Koren & Somekh 2013), as which number of visits is looked at in each simulation: all
    of `moves` equally often, then the better half of them, until two are left, each time with an equal share."""
    rounds, left, visits, k = 0, max(moves, 1), 0, 0
    while 1 << rounds < moves:
        rounds += 1
    while k < simulations:
        for _ in range(max(1, simulations // (rounds * left)) if rounds else 1):
            for _ in range(left):
                if k < simulations:
                    order[k] = visits
                    k += 1
            visits += 1
        left = max(left // 2, min(2, left))


@njit
def prove(f, i, A, node):
    """Whether what is proven of `node` has changed with its children; closes moves that are of no more use.

    A win if one reply is a loss of the other, a loss if all are wins of the other (Winands, Bjornsson & Saito 2008);
    with draws, as bounds from below and above (Cazenave & Saffidine 2010). Closed are moves that can be no better than
    another; below the root also proven draws, since to look at them again teaches nothing."""
    low, high = -1, -1
    for a in range(HEAD, HEAD + A):
        if f[node, a] >= 0:
            child = i[node, a + 3 * A]
            proof = i[child, PROOF] if child > 0 else OPEN
            low, high = max(low, -most(proof)), max(high, -least(proof))
    for a in range(HEAD, HEAD + A):
        if f[node, a] >= 0:
            child = i[node, a + 3 * A]
            proof = i[child, PROOF] if child > 0 else OPEN
            worst, best = -most(proof), -least(proof)
            if best == -1 or best < low or (best == low and (worst < low or node > 0)):
                f[node, a + 2 * A] = -np.inf
            elif worst == best:
                f[node, a + 2 * A] = worst * i[node, a + A]
    proof = (low + 1) + 4 * (high + 1)
    changed = proof != i[node, PROOF]
    i[node, PROOF] = proof
    return changed


@njit
def back(f, i, A, node, path, length, value, solve, proven):
    """Bring the value of `node`, for the one to move there, up to the root. `solve`: in each node it becomes one that
    is still possible there; `proven`: something was proven of `node`, and what follows from that is to be found."""
    i[node, VISITS] += 1
    f[node, SUM] += value
    for k in range(length - 1, -1, -1):
        at, a = path[k, 0], path[k, 1]
        value = -value
        i[at, HEAD + A + a] += 1
        f[at, HEAD + 2 * A + a] += value
        if proven:
            proven = prove(f, i, A, at)
        if solve:
            value = min(max(value, np.float64(least(i[at, PROOF]))), np.float64(most(i[at, PROOF])))
        i[at, VISITS] += 1
        f[at, SUM] += value


@njit
def fresh(f, i, A, legal):
    """Make a row that of a new node; how many moves it has."""
    moves = 0
    f[SUM] = f[VALUE] = 0.0
    i[VISITS], i[PROOF] = 0, OPEN
    for a in range(A):
        f[HEAD + a] = 0.0 if legal[a] else -np.inf
        i[HEAD + A + a] = 0
        f[HEAD + 2 * A + a] = 0.0
        i[HEAD + 3 * A + a] = 0
        moves += legal[a]
    return moves


@njit
def plant(f, i, A, states, used, spent, budget, depth, order, m_considered, slots, new, legal, simulations, rows):
    """Begin searches; how many of them need the net: not those that are over."""
    wanted = 0
    for m in range(len(slots)):
        g = slots[m]
        states[g, 0] = new[m]
        used[g], spent[g], depth[g] = 1, 0, 0
        moves = fresh(f[g, 0], i[g, 0], A, legal[m])
        budget[g] = simulations[m] if moves else 0
        if moves:
            if m_considered > 0:
                halving(min(moves, m_considered), simulations[m], order[g])
            rows[wanted] = m
            wanted += 1
    return wanted


@njit
def descend(f, i, A, states, used, spent, budget, path, depth, base, order, rule, gumbel, solve, before, moves, slots):
    """Go down each tree to a move that nobody has tried; how many there are. A way that ends at a proven draw, or at a
    finished game where nothing is to be solved, is a simulation of its own, and the next one begins."""
    found, space = 0, np.empty(A)
    for g in range(len(used)):
        while spent[g] < budget[g] and not decided(i[g, 0, PROOF]):
            node, child, length = 0, 0, 0
            while True:
                if not gumbel:
                    a = puct(f[g, node], i[g, node], A, rule)
                elif node > 0:
                    a = interior(f[g, node], i[g, node], A, rule, space)
                else:
                    a = considered(f[g, 0], i[g, 0], A, rule, base[g], order[g, spent[g]], space)
                path[g, length, 0], path[g, length, 1] = node, a
                length += 1
                child = i[g, node, HEAD + 3 * A + a]
                if child == 0 or decided(i[g, child, PROOF]):
                    break
                node = child
            spent[g] += 1
            if child == 0:
                before[found] = states[g, node]
                moves[found], slots[found], depth[g] = a, g, length
                found += 1
                break
            back(f[g], i[g], A, child, path[g], length, np.float64(least(i[g, child, PROOF])), solve, False)
    return found


@njit
def grow(f, i, A, states, used, path, depth, solve, slots, new, legal, ended, value, rows):
    """Add what the moves led to; how many of these need the net. Where the game is over its value goes up at once."""
    wanted = 0
    for m in range(len(slots)):
        g = slots[m]
        node, last = used[g], depth[g] - 1
        used[g] += 1
        i[g, path[g, last, 0], HEAD + 3 * A + path[g, last, 1]] = node
        states[g, node] = new[m]
        moves = fresh(f[g, node], i[g, node], A, legal[m])
        if ended[m]:
            worth = int(value[m])
            assert worth == value[m] and -1 <= worth <= 1
            i[g, node, PROOF] = 5 * (worth + 1)
            f[g, node, VALUE] = worth
            back(f[g], i[g], A, node, path[g], depth[g], np.float64(worth), solve, solve)
        else:
            assert moves > 0
            rows[wanted] = m
            wanted += 1
    return wanted


@njit
def soften(f, A, logits):
    """Priors from the scores of a net: their softmax over the legal moves. Scores that are no numbers count nothing."""
    top, total, moves = -np.inf, 0.0, 0
    for a in range(A):
        if f[HEAD + a] >= 0 and logits[a] > top:
            top = np.float64(logits[a])
    for a in range(A):
        if f[HEAD + a] >= 0:
            share = math.exp(logits[a] - top)
            f[HEAD + a] = share if share >= 0 else 0.0
            total += f[HEAD + a]
            moves += 1
    for a in range(A):
        if f[HEAD + a] >= 0:
            f[HEAD + a] = f[HEAD + a] / total if total > 0 else 1 / moves


@njit
def settle(f, i, A, used, path, depth, base, prior, share, gumbel, solve, slots, logits, value):
    """Give the newest node of each game what the net says of it, and bring its value up. `base` holds the noise of the
    root; for Gumbel it becomes g + log prior."""
    for k in range(len(slots)):
        g = slots[k]
        node = used[g] - 1
        soften(f[g, node], A, logits[k])
        worth = np.float64(value[k])
        if not math.isfinite(worth):
            worth = 0.0
        f[g, node, VALUE] = worth
        if node == 0:
            for a in range(A):
                p = np.float64(f[g, 0, HEAD + a])
                prior[g, a] = max(p, 0.0)
                if p >= 0 and gumbel:
                    base[g, a] += math.log(max(p, TINY))
                elif p >= 0:
                    f[g, 0, HEAD + a] = (1 - share) * p + share * base[g, a]
        back(f[g], i[g], A, node, path[g], depth[g], worth, solve, False)


@njit
def conclude(f, i, A, base, prior, rule, gumbel, slots, policy, move, visits, q, proven, value, known):
    """What the searches found: see Answer. Where all moves are lost, none is closed."""
    space = np.empty(A)
    for m in range(len(slots)):
        g = slots[m]
        row, word, proof = f[g, 0], i[g, 0], i[g, 0, PROOF]
        known[m] = least(proof) if decided(proof) else UNKNOWN
        value[m] = least(proof) if decided(proof) else row[SUM] / max(word[VISITS], 1)
        lost = True
        for a in range(A):
            lost = lost and not (row[HEAD + a] >= 0 and row[HEAD + 2 * A + a] > -np.inf)
        if gumbel and not lost:
            completed(row, word, A, rule, space)
        best, looked, mass = -1, 0, 0.0
        for a in range(A):
            policy[m, a], visits[m, a], q[m, a], proven[m, a] = 0.0, word[HEAD + A + a], 0.0, UNKNOWN
            if row[HEAD + a] >= 0:
                child, q[m, a] = word[HEAD + 3 * A + a], value[m]
                if child > 0:
                    below, above = -most(i[g, child, PROOF]), -least(i[g, child, PROOF])
                    closed = row[HEAD + 2 * A + a] == -np.inf
                    q[m, a] = above if closed or below == above else row[HEAD + 2 * A + a] / max(visits[m, a], 1)
                    proven[m, a] = below if below == above else UNKNOWN
                if lost or row[HEAD + 2 * A + a] > -np.inf:
                    looked += visits[m, a]
                    mass += prior[g, a]
                    if q[m, a] < least(proof):
                        continue  # a draw is at hand
                    if best < 0 or visits[m, a] > visits[m, best]:
                        best = a
                    elif visits[m, a] == visits[m, best]:
                        if gumbel:
                            ahead = base[g, a] - base[g, best] + (0.0 if lost else space[a] - space[best])
                        else:
                            ahead = np.float64(q[m, a]) - q[m, best]
                            ahead = ahead if ahead != 0 else np.float64(prior[g, a]) - prior[g, best]
                        best = a if ahead > 0 else best
        move[m] = best
        if gumbel and not lost:
            improve(row, A, space)
            policy[m] = space
            continue
        for a in range(A):
            if row[HEAD + a] >= 0 and (lost or row[HEAD + 2 * A + a] > -np.inf):
                if looked > 0 and not gumbel:
                    policy[m, a] = visits[m, a] / looked
                else:
                    policy[m, a] = prior[g, a] / mass if mass > 0 else 0.0
