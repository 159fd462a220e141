"""Players of fixed strength: what each must do in positions where that is known; UCT against a slow one; refusals."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from milestones.core.errors import UserError
from milestones.parts.keyed import keys
from milestones.parts.uct import Trees
from milestones.worlds.games import Game, game
from milestones.worlds.games.arena import both, contest, openings, replayed
from milestones.worlds.games.opponents import OPPONENTS, Player, among, fixed, opponent, winning
from milestones.worlds.games.perfect import perfect

FOUR, THREE = game("connect_four"), game("tictactoe")


def after(own: Game, text: str) -> np.ndarray:
    states = own.begin(1)
    for move in own.parse(text):
        states, _ = own.step(states, np.array([move]))
    return states


def seeds(count: int, seed: int = 0) -> np.ndarray:
    return keys(seed, np.arange(count), np.zeros(count, np.int64))


def chosen(player: Player, states: np.ndarray, count: int = 60) -> set[int]:
    """All moves that it makes in a position with other seeds."""
    return set(player.moves(states.repeat(count, 0), [()] * count, seeds(count)).tolist())


def points(own: Game, one: str, other: str, pairs: int, plies: int = 2) -> float:
    """Percent of the first player's points."""
    lines = both(openings(own, pairs, plies, 0))
    found = list(contest(own, (opponent(one, own), opponent(other, own)), lines, 0))
    assert len(found) == 2 * pairs
    return 100 * float(np.mean([played.points for played in found]))


def test_random_makes_every_allowed_move_alike() -> None:
    moves = np.array([[True, False, True, True], [False, False, True, False]])
    drawn = among(moves.repeat(9000, 0), seeds(18_000))
    shares = np.bincount(drawn[:9000], minlength=4) / 9000
    assert shares[1] == 0
    assert shares[[0, 2, 3]] == pytest.approx(1 / 3, abs=0.02)
    assert set(drawn[9000:].tolist()) == {2}
    full = after(FOUR, "111111")
    assert chosen(opponent("random", FOUR), full) == {1, 2, 3, 4, 5, 6}


def test_all_chance_comes_from_the_seeds() -> None:
    states = after(FOUR, "44").repeat(20, 0)
    for word in ("random", "greedy", "rollouts:30"):
        player = opponent(word, FOUR)
        first, again = (player.moves(states, [()] * 20, seeds(20)) for _ in range(2))
        assert first.tolist() == again.tolist()
        assert first.tolist() != player.moves(states, [()] * 20, seeds(20, 1)).tolist()
        player.close()


def test_what_wins_at_once() -> None:
    states = after(FOUR, "414141")
    found = winning(FOUR, states, FOUR.turn(states).legal)[0]
    assert np.flatnonzero(found).tolist() == [3]
    over = after(FOUR, "4141414")
    assert not winning(FOUR, over, FOUR.turn(over).legal).any()


def test_greedy_wins_and_blocks() -> None:
    greedy = opponent("greedy", FOUR)
    assert chosen(greedy, after(FOUR, "414141")) == {3}, "it wins"
    assert chosen(greedy, after(FOUR, "41414")) == {3}, "it must block"
    assert chosen(greedy, after(FOUR, "44")) == set(range(7)), "nothing is at stake"
    assert chosen(opponent("greedy", THREE), after(THREE, "a1 b1 a2 b2")) == set(THREE.parse("a1 b1 a2 b2 a3")[4:])
    lost = after(FOUR, "31415")  # two ends are open: whatever it does, it loses
    assert len(chosen(greedy, lost)) > 2


def test_greedy_makes_no_move_that_lets_the_other_win() -> None:
    """In a thousand positions, by trying all."""
    rng, greedy, states = np.random.default_rng(0), opponent("greedy", FOUR), FOUR.begin(1000)
    for _ in range(14):
        turn = FOUR.turn(states)
        on = np.flatnonzero(~turn.ended)
        states[on] = FOUR.step(states[on], among(turn.legal[on], rng.integers(0, 2**62, len(on)).astype(np.uint64)))[0]
    states = states[~FOUR.turn(states).ended]
    moves = greedy.moves(states, [()] * len(states), seeds(len(states)))
    for n in range(0, len(states), 7):
        legal = np.flatnonzero(FOUR.turn(states[n : n + 1]).legal[0])
        loses = {}
        for move in legal.tolist():
            new, turn = FOUR.step(states[n : n + 1], np.array([move]))
            replies = np.flatnonzero(turn.legal[0])
            ends = [FOUR.step(new, np.array([reply]))[1] for reply in replies.tolist()]
            loses[move] = -1 if turn.ended[0] and turn.value[0] < 0 else int(any(e.value[0] < 0 for e in ends))
        assert loses[int(moves[n])] == min(loses.values())


def test_perfect_is_never_beaten() -> None:
    assert chosen(opponent("perfect", THREE), THREE.begin(1)) == set(range(9)), "all first moves draw"
    lines = [(0, (), 0), (1, (), 1), *((2 + k, (), k % 2) for k in range(40))]
    for word in ("random", "greedy", "rollouts:200"):
        found = list(contest(THREE, (opponent("perfect", THREE), opponent(word, THREE)), lines, 0))
        assert min(played.points for played in found) >= 0.5
    solver, won = perfect(FOUR), []
    for line in openings(FOUR, 40, 14, 5):  # where the solver is fast
        state, _ = replayed(FOUR, [line])
        if solver is not None and solver.values(state).max() > 0:
            won.append((len(won), line, 0))
    assert len(won) > 5
    players = opponent("perfect", FOUR), opponent("rollouts:200", FOUR)
    assert {played.points for played in contest(FOUR, players, won[:6], 0)} == {1}, "who begins wins"


def test_search_beats_greedy_beats_random() -> None:
    assert points(FOUR, "greedy", "random", 40) > 80
    assert points(FOUR, "rollouts:100", "greedy", 20) > 70
    assert points(FOUR, "rollouts:300", "rollouts:20", 10) > 65


def test_a_search_finds_wins_of_two_moves() -> None:
    player = opponent("rollouts:400", FOUR)
    assert chosen(player, after(FOUR, "414141"), 5) == {3}
    assert chosen(player, after(FOUR, "41414"), 5) == {3}
    assert chosen(player, after(FOUR, "3141"), 5) == {4}, "three in a row with both ends open"


def slow(own: Game, state: np.ndarray, trips: int, seed: int, c: float, worth: dict[bytes, float]
         ) -> tuple[list[int], list[float]]:  # fmt: skip
    """The search of one position with Python's objects; `worth`: what a random game from a position gives."""
    root: dict = {"state": state, "children": {}, "n": 0, "w": 0.0, "parent": None}
    root["untried"] = np.flatnonzero(own.turn(state).legal[0]).tolist()
    for trip in range(trips):
        node = root
        while not node["untried"] and node["children"]:
            log, each = np.log(node["n"]), [child for _, child in sorted(node["children"].items())]
            rated = [child["w"] / child["n"] + c * np.sqrt(log / child["n"]) for child in each]
            node = each[int(np.argmax(rated))]
        if node["untried"]:
            bits = int(keyed(seed, trip)) >> 32
            move = node["untried"].pop(bits * len(node["untried"]) >> 32)
            new, turn = own.step(node["state"], np.array([move]))
            child = {"state": new, "children": {}, "n": 0, "w": 0.0, "parent": node, "end": bool(turn.ended[0]),
                     "value": float(turn.value[0]), "untried": np.flatnonzero(turn.legal[0]).tolist()}  # fmt: skip
            node["children"][move] = child
            node = child
        gain = -(node["value"] if node["end"] else worth.setdefault(node["state"].tobytes(), 0.0))
        while node is not None:
            node["n"] += 1
            node["w"] += gain
            gain, node = -gain, node["parent"]
    actions = own.facts["actions"]
    children = [root["children"].get(a) for a in range(actions)]
    return [c["n"] if c else 0 for c in children], [c["w"] / c["n"] if c else 0.0 for c in children]


def keyed(seed: int, trip: int) -> int:
    """What parts/uct.py draws in a tree's trip."""
    mask, key = 2**64 - 1, (seed + 0x9E3779B97F4A7C15 * (trip + 1)) % 2**64
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 & mask
    key = (key ^ key >> 27) * 0x94D049BB133111EB & mask
    return key ^ key >> 31


@pytest.mark.parametrize("text", ["", "b2", "a1 b2 c3", "a1 b1 a2 b2"])
def test_uct_is_the_slow_one(text: str) -> None:
    """Where random games are replaced by a function of the position, the visits are equal."""
    states, trips = after(THREE, text), 250
    worth: dict[bytes, float] = {}
    trees = Trees(states, THREE.turn(states).legal, trips, np.array([5], np.uint64), 1.4)
    for _ in range(trips):
        leaves = trees.leaves()
        rows = np.flatnonzero(leaves.move >= 0)
        new, turn = THREE.step(trees.states[rows, leaves.node[rows]], leaves.move[rows])
        trees.grow(leaves, rows, new, turn.legal, turn.ended, turn.value)
        value = trees.value[np.arange(1), leaves.node].copy()
        for k in rows.tolist():
            played = worth.setdefault(new[0].tobytes(), (len(worth) % 7 - 3) / 4)
            value[k] = turn.value[0] if turn.ended[0] else played
        trees.back(leaves, value)
    visits, mean = trees.found()
    n, q = slow(THREE, states, trips, 5, 1.4, worth)
    assert visits[0].tolist() == n
    assert sum(n) == trips
    assert mean[0].tolist() == pytest.approx(q, abs=1e-4)


def test_trees_do_not_depend_on_their_neighbours() -> None:
    """But for the random games, which are played side by side."""
    states = np.concatenate([after(THREE, text) for text in ("", "b2", "a1 b2", "a1 b1 a2 b2")])
    player = opponent("rollouts:300", THREE)
    assert player.moves(states, [()] * 4, seeds(4))[3] == THREE.parse("a1 b1 a2 b2 a3")[4]


@pytest.mark.parametrize(("word", "message"), [
    ("rollouts", "random games a move from 1 to 1,000,000, got 'rollouts'"),
    ("rollouts:0", "random games a move from 1 to 1,000,000, got 'rollouts:0'"),
    ("rollouts:-5", "got 'rollouts:-5'. For example rollouts:1000"),
    ("rollouts:99999999", "random games a move from 1 to 1,000,000"),
    ("greedi", "an opponent: random, greedy, rollouts:1000, perfect, gnugo:10, got 'greedi'. Did you mean 'greedy'?"),
    ("random:3", "an opponent: random, greedy, rollouts:1000, perfect, gnugo:10, got 'random:3'"),
])  # fmt: skip
def test_an_unknown_opponent_is_refused(word: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        opponent(word, FOUR)
    assert message in str(told.value)


def test_nobody_is_perfect_in_othello() -> None:
    with pytest.raises(
        UserError, match="a game whose perfect play is known: connect four, tic-tac-toe, hex to 5 x 5, got"
    ):
        opponent("perfect", game("othello6"))
    assert all(fixed(word) for word in OPPONENTS)
    assert not fixed("alphazero-1")
