"""The fast policy of go against the same written plainly; its games; positions of records and of self-play."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from milestones.core.source import Place, keyed
from milestones.worlds.games import game as game_of
from milestones.worlds.games.analysis import state_after
from milestones.worlds.games.arena import replayed
from milestones.worlds.games.recorded import Ended, alike, recorded, turned, turned_ends, unseen
from milestones.worlds.games.records import Record
from milestones.worlds.games.rollouts import (
    ALONE,
    BESIDE,
    EYE,
    SAVES,
    TAKES,
    TOLD,
    WAYS,
    FastPolicy,
    kinds,
    table,
    told_of,
)
from milestones.worlds.games.sampled import duel, played, positions, results

CPU = torch.device("cpu")


def lines_of(count: int, plies: int, seed: int = 0, size: int = 5) -> list[list[int]]:
    """Games of moves at random, in which nobody passes unless there is nothing else."""
    game, rng = table(f"go{size}"), np.random.default_rng(seed)
    states, lines = game.begin(count), [list[int]() for _ in range(count)]
    for _ in range(plies):
        legal = game.turn(states).legal
        legal[legal[:, :-1].any(1), -1] = False
        moves = (rng.random(legal.shape) * legal).argmax(1)
        states, turn = game.step(states, moves)
        assert not turn.ended.any()
        for line, move in zip(lines, moves.tolist(), strict=True):
            line.append(move)
    return lines


def plainly(cells: np.ndarray, row: int, column: int, colour: int, last: int) -> list[int] | None:
    """What a stone of this colour there would be, by sets; None: it may not lie there."""
    size = len(cells)

    def on(r: int, c: int) -> bool:
        return 0 <= r < size and 0 <= c < size

    def near(r: int, c: int) -> list[tuple[int, int]]:
        return [(r + a, c + b) for a, b in WAYS[:4] if on(r + a, c + b)]

    def group(r: int, c: int) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
        stones, free, left = {(r, c)}, set(), [(r, c)]
        while left:
            for spot in near(*left.pop()):
                if cells[spot] == 0:
                    free.add(spot)
                elif cells[spot] == cells[r, c] and spot not in stones:
                    stones.add(spot)
                    left.append(spot)
        return stones, free

    around = near(row, column)
    takes = any(cells[spot] == 3 - colour and len(group(*spot)[1]) == 1 for spot in around)
    free = sum(cells[spot] == 0 for spot in around)
    friends = [len(group(*spot)[1]) - 1 for spot in around if cells[spot] == colour]
    if not (takes or free or any(friends)):
        return None
    code = 0
    for k, (a, b) in enumerate(WAYS):
        spot = row + a, column + b
        kind = 3 if not on(*spot) else 0 if not cells[spot] else 1 if cells[spot] == colour else 2
        code |= kind << 2 * k
    alone = not takes and free + sum(friends) <= 1
    across = [cells[row + a, column + b] if on(row + a, column + b) else -1 for a, b in WAYS[4:]]
    eye = all(cells[spot] == colour for spot in around) and across.count(3 - colour) + (-1 in across) < 2
    beside = last >= 0 and max(abs(last // size - row), abs(last % size - column)) == 1
    return [int(kinds()[0][code]), takes, 0 in friends and not alone, alone, beside, eye]


@pytest.mark.parametrize(("size", "plies"), [(5, 4), (5, 17), (7, 25), (9, 60)])
def test_what_is_told_of_points(size: int, plies: int) -> None:
    game, lines = table(f"go{size}"), lines_of(20, plies, plies, size)
    states, last = replayed(game, lines)[0], np.array([line[-1] if line[-1] < size**2 else -1 for line in lines])
    found, seen = told_of(game, states, last), np.zeros(TOLD, int)
    for n, state in enumerate(states):
        cells, colour = game.board(state).cells, 1 + plies % 2
        for cell in range(size * size):
            want = None if cells.flat[cell] else plainly(cells, *divmod(cell, size), colour, int(last[n]))
            told = found[n, cell].tolist()
            assert told == ([-1, 0, 0, 0, 0, 0] if want is None else want), (n, cell)
            seen += np.array(told) > 0
    assert (seen[[BESIDE]] > 0).all() and (plies < 10 or (seen[[TAKES, SAVES, ALONE]] > 0).all())
    assert plies < 60 or seen[EYE] > 0
    assert (told_of(game, states)[:, :, BESIDE] == 0).all(), "nobody knows the last move"


def test_patterns_are_alike_where_turned_or_mirrored() -> None:
    kind, count = kinds()
    assert kind.min() == 0 and kind.max() == count - 1 == len(np.unique(kind)) - 1
    rng = np.random.default_rng(0)
    for _ in range(50):
        board = rng.integers(0, 4, (3, 3))
        twins = [np.rot90(one, k) for one in (board, board.T) for k in range(4)]
        codes = [sum(int(one[1 + a, 1 + b]) << 2 * k for k, (a, b) in enumerate(WAYS)) for one in twins]
        assert len(set(kind[codes].tolist())) == 1
    # Burnside: 8 neighbours of 4 kinds each under the square's 8 symmetries.
    assert count == (4**8 + 2 * 4**2 + 4**4 + 4 * 4**5) / 8


def test_a_score_is_the_sum_of_its_weights() -> None:
    policy, rng = FastPolicy(), np.random.default_rng(0)
    weights = rng.normal(size=policy.kinds + TOLD)
    with torch.no_grad():
        policy.weight.copy_(torch.from_numpy(weights))
    game = table("go5")
    told = told_of(game, replayed(game, lines_of(6, 12))[0])
    scores = policy(torch.from_numpy(told)).detach().numpy()
    for n in range(6):
        for cell in range(25):
            pattern, *features = told[n, cell].tolist()
            want = weights[pattern] + sum(weights[policy.kinds + k] for k, there in enumerate(features) if there)
            assert scores[n, cell] == pytest.approx(want if pattern >= 0 else -np.inf, abs=1e-5)
        assert scores[n, 25] == pytest.approx(weights[-1], abs=1e-6)


def test_games_to_the_end_are_fair_and_each_positions_own() -> None:
    """Without weights they are games at random, as the rules have them: about as often won from the same positions."""
    game, policy = table("go5"), FastPolicy()
    states = replayed(game, lines_of(3000, 8))[0]
    value = policy.finish(game, states)
    assert set(value.tolist()) == {-1.0, 1.0}
    order = np.random.default_rng(0).permutation(3000)
    assert np.array_equal(policy.finish(game, states[order]), value[order])
    assert abs(value.mean() - game.playout(states, 0).mean()) < 0.1
    late = replayed(game, lines_of(1000, 24))[0]
    sure = game.playout(late.repeat(40, 0), 1).reshape(1000, 40).mean(1)
    clear = np.abs(sure) > 0.9
    assert clear.sum() > 100 and (policy.finish(game, late)[clear] * np.sign(sure[clear])).mean() > 0.8


def test_a_game_that_is_counted_keeps_its_result() -> None:
    """Black owns all but two eyes of its own: nothing is left to play."""
    game, policy = table("go5"), FastPolicy()
    line = game.parse("a1 pass b1 pass c1 pass d1 pass e1 pass a2 pass c2 pass e2 pass a3 pass b3 pass c3 pass d3 pass "
                      "e3 pass a4 pass b4 pass c4 pass d4 pass e4 pass a5 pass b5 pass c5 pass d5 pass e5")  # fmt: skip
    state = state_after(game, line)[None]
    assert policy.finish(game, state)[0] == -1, "White is to move, and has nothing"
    assert policy.finish(table("go5:25.5"), state)[0] == 1


def test_what_saves_or_takes_is_played_when_it_weighs() -> None:
    """Who is to move takes seven stones, and has won; who does not has lost them."""
    game, policy = table("go5:0.5"), FastPolicy()
    line = game.parse("a2 b1 b2 a1 c2 c1 d2 d1 e2")  # White's four on the first row have one liberty
    state = state_after(game, [*line, 25])[None]  # White passes; Black may take
    told = told_of(game, state)[0]
    assert told[24, TAKES] == 1 and told[:, TAKES].sum() == 1
    with torch.no_grad():
        policy.weight[policy.kinds + TAKES - 1] = 12.0
    scores = policy(torch.from_numpy(told[None]))[0].detach()
    assert scores[:25].softmax(0)[24] > 0.99


def test_duels_take_turns_and_tell_who_won() -> None:
    game, rng = table("go5"), np.random.default_rng(0)
    asked = list[np.ndarray]()

    def one(states: np.ndarray) -> np.ndarray:
        asked.append(game.mover(states))
        return rng.normal(size=(len(states), 26))

    def other(states: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(states), 26))
        scores[:, 25] = 30  # it passes
        return scores

    found = duel(game, one, other, 6, 3)
    assert found.legal[np.arange(len(found.move)), found.move].all()
    assert np.array_equal((game.mover(found.states) + found.game) % 2, np.zeros(len(found.move)))
    assert set(found.game.tolist()) == set(range(6)) and {0, 1} == set(found.ply[found.game < 2] % 2)
    ends = results(found)
    assert len(ends) == 6 and all((found.result[found.game == n] == ends[n]).all() for n in range(6))
    assert (ends[::2] == 1).mean() > 0.5, "Black plays alone"
    again = duel(game, other, other, 2, 0)
    assert results(again).tolist() == [-1.0, 1.0], "two passes: komi wins"
    assert again.ply.tolist() == [0, 1], "in the second game it is White"


def test_results_are_those_of_the_lines() -> None:
    game = table("go5")
    found = played(game, 5, lambda states, games, ply: np.zeros((len(states), 26)), 1)
    for n in range(5):
        mine = found.game == n
        state = state_after(game, found.move[mine].tolist())[None]
        turn, sign = game.turn(state), 1 - 2 * int(game.mover(state)[0])
        assert turn.ended[0]
        assert np.array_equal(found.result[mine], sign * turn.value[0] * (1 - 2 * game.mover(found.states[mine])))


def test_positions_are_of_games_of_their_own_or_of_whole_ones() -> None:
    game, place = table("go5"), Place(CPU, 0)
    rng = np.random.default_rng(0)

    def says(states: np.ndarray) -> np.ndarray:
        return rng.normal(size=(len(states), 26))

    one, whole = positions(game, says, says, 5, 300, place, "train")
    assert len(one) == len(whole) == 300 and one.split == "train" and one.name != whole.name
    stones = [source.examples.planes[:, :2].sum((1, 2, 3)) for source in (one, whole)]
    assert int(stones[0].max()) <= 6 < int(stones[1].max()), "up to five moves and one at random; and to the end"
    assert set(one.examples.result.tolist()) <= {-1.0, 0.0, 1.0}
    changes = (whole.examples.result[1:] == whole.examples.result[:-1]).float().mean()
    assert changes < 0.3, "the mover's result changes its sign with each move of a game"
    valid, _ = positions(game, says, says, 5, 20, place, "valid")
    assert valid.augment is None and len(valid) == 20


def some_records(count: int = 12, plies: int = 20) -> list[Record]:
    return [Record(5, 7.5, tuple(line)) for line in lines_of(count, plies)]


def test_positions_of_records_are_before_their_moves() -> None:
    game, records = table("go5"), some_records()
    found, which = recorded(game, records)
    assert len(found.move) == 240 and which.tolist() == [n for n in range(12) for _ in range(20)]
    for n in (0, 7):
        for k in (0, 1, 9):
            state = state_after(game, list(records[n].moves[:k]))[None]
            row = 20 * n + k
            assert np.array_equal(found.planes[row].numpy(), game.planes(state)[0])
            assert int(found.move[row]) == records[n].moves[k]
            last = np.array([records[n].moves[k - 1] if k else -1])
            assert np.array_equal(found.told[row].numpy(), told_of(game, state, last)[0])


def test_a_position_is_turned_with_its_move() -> None:
    """The position after a turned move is the turned position after the move."""
    game, records = table("go5"), some_records(4, 12)
    found, _ = recorded(game, records)
    change = turned(game)
    changed = change(found, keyed("turn"))
    assert not torch.equal(changed.planes, found.planes)
    cells, moves = game.twins()
    for row in range(len(found.move)):
        fits = [g for g in range(8) if np.array_equal(
            found.planes[row].flatten(1)[:, cells[g]], changed.planes[row].flatten(1))]  # fmt: skip
        assert any(moves[g][int(changed.move[row])] == int(found.move[row]) and torch.equal(
            found.told[row][cells[g]], changed.told[row]) for g in fits)  # fmt: skip
    ends = turned_ends(game)(Ended(found.planes, torch.zeros(len(found.move))), keyed("turn"))
    assert np.array_equal(alike(game, ends.planes), alike(game, found.planes))


def test_what_is_held_out_was_never_seen() -> None:
    game = table("go5")
    found, which = recorded(game, some_records(8, 10))
    known, others = found.planes[which < 4], found.planes[which >= 4]
    mirrored = others.flip(3)
    fits = unseen(game, known, torch.cat([others, mirrored, known]))
    count = len(others)
    assert fits[:count].sum() > 10 and not fits[count:].any(), "mirror images, repetitions, the known are not new"
    assert not fits[0], "all games begin alike"
    seen = alike(game, known)
    assert not np.isin(alike(game, others[torch.from_numpy(fits[:count])]), seen).any()


def test_other_games_have_no_fast_policy() -> None:
    from milestones.core.errors import UserError

    assert game_of("go7").facts["title"] == "go"
    with pytest.raises(UserError, match="a game of go: go5 to go19, got --game tictactoe"):
        table("tictactoe")
