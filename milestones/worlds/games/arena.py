"""Games between two players: from random openings, each played with both colours, all side by side. A player that fails
in the middle loses that game, and the others go on."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from ...core.errors import UserError
from ...core.score import Score
from ...core.source import key
from ...parts.elo import Rating, rated, scored
from .game import Game
from .opponents import Player, Seeds, States, among, opponent, winning

TRIED = 64  # openings at a time
PLAYOUTS = 64  # random games that say whether a position is balanced
EVEN = 0.4  # what they may be worth to either side, from -1 to 1
FRUITLESS = 8  # rounds without a new opening, after which it has one move more
DEEPER = 6  # moves more, at most


class Played(NamedTuple):
    """A game that is over."""

    opening: int
    first: int  # which of the two players began
    line: tuple[int, ...]  # all moves, those of the opening too
    points: float  # of player 0: 1, 0.5 or 0
    forfeit: str = ""  # why it was lost before its end


def usual_plies(game: Game) -> int:
    """Random moves of an opening, if nobody says how many."""
    return max(1, min(4, int(game.facts["longest"]) // 10))


def openings(game: Game, count: int, plies: int, seed: int) -> list[tuple[int, ...]]:
    """So many openings of `plies` random moves: positions of which none is another's mirror image, in which nobody wins
    at once and random games go to either side. Of a game with too few of them some have more moves, or are not
    balanced; if that is not enough they come again. The first ones are the same for every count."""
    found, known = list[tuple[int, ...]](), set[bytes]()
    if plies == 0:
        return [()] * count
    for balanced, more in ((b, m) for b in (True, False) for m in range(DEEPER + 1)):
        fruitless, turn = 0, 0
        while len(found) < count and fruitless < FRUITLESS:
            before, turn = len(found), turn + 1
            states, lines, fits = _tried(game, plies + more, key("openings", seed, balanced, more, turn))
            if balanced:
                fits &= _balanced(game, states, key("balance", seed, more, turn))
            for row in np.flatnonzero(fits).tolist():
                if (name := _name(game, states[row])) not in known:
                    known.add(name)
                    found.append(tuple(lines[row].tolist()))
            fruitless = fruitless + 1 if len(found) == before else 0
    if not found:
        want = f"openings of {game.facts['title']} after which it goes on"
        raise UserError(want, f"none of {plies} moves", "Take shorter ones: --openings 1", "match")
    return [found[k % len(found)] for k in range(count)]


def _name(game: Game, state: UInt64[np.ndarray, "W"]) -> bytes:
    """The same for a position and its mirror images alone."""
    seen = game.planes(state[None])[0]
    return min(seen.reshape(len(seen), -1)[:, cells].tobytes() for cells in game.twins()[0])


def _tried(game: Game, plies: int, seed: int) -> tuple[States, Int64[np.ndarray, "N T"], Bool[np.ndarray, "N"]]:
    """Positions after random moves, these moves, and whether the game goes on and nobody wins at once."""
    from ...parts.keyed import keys

    states, lines = game.begin(TRIED), np.zeros((TRIED, plies), np.int64)
    fits, turn = np.ones(TRIED, bool), game.turn(states)
    for ply in range(plies):
        rows = np.flatnonzero(fits)
        lines[rows, ply] = among(turn.legal[rows], keys(seed, rows, np.full(len(rows), ply)))
        states[rows] = game.step(states[rows], lines[rows, ply])[0]
        turn = game.turn(states)
        fits &= ~turn.ended
    return states, lines, fits & ~winning(game, states, turn.legal & fits[:, None]).any(1)


def _balanced(game: Game, states: States, seed: int) -> Bool[np.ndarray, "N"]:
    """Whether random games go to either side."""
    value = game.playout(states.repeat(PLAYOUTS, 0), seed).reshape(-1, PLAYOUTS).mean(1)
    return np.abs(value) <= EVEN


def contest(game: Game, players: Sequence[Player], lines: Sequence[tuple[int, tuple[int, ...], int]], seed: int,
            seats: Sequence[tuple[int, int]] = ()) -> Iterator[Played]:  # fmt: skip
    """Games as they end, all side by side. `lines`: of each the number of its opening, the opening, and who begins.
    `seats`: of each which two of the players meet; none: the first two in all of them."""
    from ...parts.keyed import keys

    moves = [list(opening) for _, opening, _ in lines]
    states, legal = replayed(game, moves)
    assert legal.all(), "openings by the rules"
    first = np.array([who for _, _, who in lines], np.int64)
    number = np.array([2 * opening + who for opening, _, who in lines], np.int64)
    turn, live, seat = game.turn(states), np.arange(len(lines)), np.array(seats or [(0, 1)] * len(lines)).reshape(-1, 2)
    while True:
        over = turn.ended[live]
        for n in live[over].tolist():
            points = _points(int(game.mover(states[n : n + 1])[0]), int(first[n]), float(turn.value[n]))
            yield Played(lines[n][0], int(first[n]), tuple(moves[n]), points)
        live = live[~over]
        if not len(live):
            return
        who = (game.mover(states[live]) + first[live]) % 2
        seeds = keys(seed, number[live], np.array([len(moves[n]) for n in live], np.int64))
        move, lost = np.full(len(live), -1, np.int64), [""] * len(live)
        for k, player in enumerate(players):
            rows = np.flatnonzero(seat[live, who] == k)
            if len(rows):
                at, mine = live[rows], [tuple(moves[n]) for n in live[rows]]
                move[rows], reasons = asked(game, player, states[at], mine, seeds[rows], turn.legal[at])
                for row, reason in zip(rows, reasons, strict=True):
                    lost[row] = reason
        for row in np.flatnonzero(move < 0).tolist():
            n = int(live[row])
            yield Played(lines[n][0], int(first[n]), tuple(moves[n]), float(who[row]), lost[row])
        live, move = live[move >= 0], move[move >= 0]
        states[live] = game.step(states[live], move)[0]
        turn = game.turn(states)
        for n, played in zip(live.tolist(), move.tolist(), strict=True):
            moves[n].append(played)


def _points(mover: int, first: int, value: float) -> float:
    """Those of player 0 in a game that is over: worth so much to the one who would be to move, begun by `first`."""
    return 0.5 + 0.5 * (value if (mover + first) % 2 == 0 else -value)


def replayed(game: Game, lines: Sequence[Sequence[int]]) -> tuple[States, Bool[np.ndarray, "N"]]:
    """The positions that lines of moves lead to, and whether all of their moves were allowed."""
    states, fits = game.begin(len(lines)), np.ones(len(lines), bool)
    for ply in range(max(map(len, lines), default=0)):
        rows = np.array([n for n, line in enumerate(lines) if ply < len(line) and fits[n]], np.int64)
        moves = np.array([lines[n][ply] for n in rows], np.int64)
        legal, known = game.turn(states[rows]).legal, (moves >= 0) & (moves < game.facts["actions"])
        fits[rows] = known & legal[np.arange(len(rows)), np.where(known, moves, 0)]
        on = fits[rows]
        states[rows[on]] = game.step(states[rows[on]], moves[on])[0]
    return states, fits


def points_of(game: Game, games: Sequence[Played]) -> list[float]:
    """What player 0 scored in each game by its moves; nan: they are not allowed, or it is not over."""
    states, fits = replayed(game, [one.line for one in games])
    turn, mover = game.turn(states), game.mover(states)
    return [
        _points(int(mover[n]), one.first, float(turn.value[n])) if fits[n] and turn.ended[n] else float("nan")
        for n, one in enumerate(games)
    ]


def asked(game: Game, player: Player, states: States, lines: Sequence[tuple[int, ...]],
          seeds: Seeds, legal: Bool[np.ndarray, "N A"]) -> tuple[Int64[np.ndarray, "N"], list[str]]:  # fmt: skip
    """What a player does in each position, -1 where it failed, and how it failed. Where it fails on all together, each
    is tried alone."""
    count = len(states)
    try:
        found = np.asarray(player.moves(states, lines, seeds))
        if found.shape != (count,) or found.dtype.kind not in "iu":
            raise TypeError(f"{found.dtype} of shape {found.shape} for {count} moves")
    except Exception as problem:  # whatever is wrong with it: it is its game that is lost, not the match
        if count == 1:
            return np.full(1, -1, np.int64), [f"{type(problem).__name__}: {problem}"[:200]]
        alone = [
            asked(game, player, states[n : n + 1], lines[n : n + 1], seeds[n : n + 1], legal[n : n + 1])
            for n in range(count)
        ]
        return np.concatenate([move for move, _ in alone]), [reason for _, (reason,) in alone]
    known = (found >= 0) & (found < legal.shape[1])
    fits = known & legal[np.arange(count), np.where(known, found, 0)]
    names = [game.name(int(move)) if there else f"number {move}" for move, there in zip(found, known, strict=True)]
    reasons = ["" if fit else f"the move {name}, which is not allowed" for name, fit in zip(names, fits, strict=True)]
    return np.where(fits, found, -1).astype(np.int64), reasons


def both(found: Sequence[tuple[int, ...]]) -> list[tuple[int, tuple[int, ...], int]]:
    """Each opening with either player to begin, as `contest` takes them."""
    return [(number, opening, who) for number, opening in enumerate(found) for who in (0, 1)]


def in_pairs(games: Sequence[Played]) -> list[float]:
    """What player 0 scored, from 0 to 2, in the two games of each opening."""
    found: dict[int, float] = {}
    for played in games:
        found[played.opening] = found.get(played.opening, 0.0) + played.points
    return [found[number] for number in sorted(found)]


def share(game: Game, player: Player, word: str, pairs: int = 50, seed: int = 0) -> Score:
    """Percent of the points against an opponent of fixed strength, in pairs of games from one opening, with the
    bootstrap's interval over the pairs."""
    lines = openings(game, pairs, usual_plies(game), seed)
    with contextlib.closing(opponent(word, game)) as other:
        games = list(contest(game, (player, other), both(lines), seed))
    value, low, high = scored(in_pairs(games), np.random.default_rng(key("share", seed)))
    wins, losses = (sum(one.points == points for one in games) for points in (1, 0))
    note = f"{wins} won, {len(games) - wins - losses} drawn, {losses} lost; {distinct(game, games)} different games"
    return Score(value, low, high, "%", "higher", f"{game.facts['title']} against {word}", "games", len(games),
                 note=note)  # fmt: skip


def distinct(game: Game, games: Sequence[Played]) -> int:
    """How many of them are different, move by move; mirror images are the same."""
    ways = game.twins()[1].argsort(1)  # where each move goes
    lines = {played.line for played in games}
    return len({min(tuple(way[list(line)].tolist()) for way in ways) for line in lines})


def tournament(game: Game, players: Sequence[Player], pairs: int, seed: int) -> list[Rating]:
    """Elo of each above the first, each having met each other in so many pairs of games from the same openings, all of
    them side by side."""
    lines = both(openings(game, pairs, usual_plies(game), seed))
    seats = [couple for couple in itertools.combinations(range(len(players)), 2) for _ in lines]
    every = [(n // 2, opening, first) for n, (_, opening, first) in enumerate(lines * (len(seats) // len(lines)))]
    found: dict[tuple[int, int], list[float]] = {couple: [] for couple in seats}
    points = in_pairs(list(contest(game, players, every, seed, seats)))
    for couple, one in zip(seats[::2], points, strict=True):
        found[couple].append(one)
    return rated(len(players), found, np.random.default_rng(key("elo", seed)))
