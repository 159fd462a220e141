"""The search against one that is written as the papers tell it, and against trying all."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("numba", reason='Search needs an extra: pip install "milestones[games]"')
from unit.slow_search import Slow, proven, sequence
from unit.small_games import Dice, Game, Hex, Lines, opinion, solved

from milestones.parts.keyed import dirichlets, gumbels, keys
from milestones.parts.search import UNKNOWN, Answer, Gumbel, Puct, Tree
from milestones.parts.tree import halving

Net = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

TICTACTOE, FALLING, HEX = Lines(3, 3, 3), Lines(3, 4, 3, falls=True), Hex(3)
PAPER = Puct(fpu=0.0, relative=False)
RULES = {
    "puct": Puct(),
    "puct, as in the paper": PAPER,
    "puct, constant": Puct(c=2.0, base=0.0, fpu=0.3, noise=0.0),
    "gumbel": Gumbel(),
    "gumbel, as in mctx": Gumbel(considered=4, scale=0.1, rescale=True),
    "gumbel, for play": Gumbel(noise=0.0),
}


def net_of(game: Game) -> Net:
    return lambda states: opinion(states, game.actions)


def level(states: np.ndarray, actions: int) -> tuple[np.ndarray, np.ndarray]:
    """A net that knows nothing."""
    return np.zeros((len(states), actions), np.float32), np.zeros(len(states), np.float32)


def finish(tree: Tree, game: Game, net: Net, steps: int = 1 << 30) -> int:
    """So many steps of the search, or all that are left: how many there were."""
    for step in range(steps):
        leaf = tree.leaves()
        if not len(leaf.moves):
            return step
        assert (np.diff(leaf.slots) > 0).all()
        new, turn = game.step(leaf.states, leaf.moves)
        rows = tree.grow(new, turn.legal, turn.ended, turn.value)
        assert not turn.ended[rows].any()
        tree.settle(*net(new[rows]))
    return steps


def begin(tree: Tree, game: Game, net: Net, states: np.ndarray, simulations: int | np.ndarray,
          key: np.ndarray | None = None, slots: np.ndarray | None = None) -> None:  # fmt: skip
    key = keys(0, np.arange(len(states)), np.zeros(len(states), np.int64)) if key is None else key
    rows = tree.begin(states, game.turn(states).legal, key, simulations, slots)
    tree.settle(*net(states[rows]))


def searched(game: Game, net: Net, states: np.ndarray, simulations: int, rule: Puct | Gumbel, solve: bool = True,
             key: np.ndarray | None = None) -> tuple[Tree, Answer]:  # fmt: skip
    tree = Tree(len(states), game.actions, game.words, simulations, rule, solve=solve)
    begin(tree, game, net, states, simulations, key)
    finish(tree, game, net)
    return tree, tree.answer()


def later(game: Game, count: int, plies: int, seed: int = 0) -> np.ndarray:
    """Positions after random moves that are not over."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        states = game.begin(1)
        for _ in range(plies):
            legal = game.turn(states).legal[0].nonzero()[0]
            if len(legal):
                states, _ = game.step(states, rng.choice(legal, 1))
        found += [] if game.turn(states).ended[0] else [states[0]]
    return np.stack(found)


POSITIONS = {
    "dice": (Dice(5, 6), Dice(5, 6).begin(12)),
    "tictactoe": (TICTACTOE, np.concatenate([TICTACTOE.begin(1), later(TICTACTOE, 5, 3)])),
    "falling": (FALLING, later(FALLING, 6, 4)),
}


@pytest.mark.parametrize("solve", [True, False], ids=["solver", "no solver"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("where", POSITIONS)
def test_against_the_papers(where: str, rule: str, solve: bool) -> None:
    game, states = POSITIONS[where]
    net, how, simulations = net_of(game), RULES[rule], 90
    key = keys(3, np.arange(len(states)), np.full(len(states), 7))
    _, answer = searched(game, net, states, simulations, how, solve, key)
    if isinstance(how, Gumbel):
        noise = how.noise * gumbels(key, game.actions)
    else:
        noise = dirichlets(key, game.turn(states).legal, how.alpha)
    for g, state in enumerate(states):
        slow = Slow(game, net, how, simulations, solve, noise[g])
        root = slow.run(state)
        assert {a: int(answer.visits[g, a]) for a in root.edges} == {a: e.visits for a, e in root.edges.items()}
        assert (answer.visits[g] > 0).sum() == sum(e.visits > 0 for e in root.edges.values()), "no illegal move"
        assert {a: int(answer.proven[g, a]) for a in root.edges} == {a: proven(e) for a, e in root.edges.items()}
        known = root.low == root.high
        assert answer.decided[g] == (root.low if known else UNKNOWN)
        assert answer.value[g] == pytest.approx(root.low if known else root.sum / root.visits, abs=1e-6)
        policy = slow.policy()
        assert answer.policy[g] == pytest.approx([policy.get(a, 0.0) for a in range(game.actions)], abs=1e-6)
        assert answer.move[g] == slow.move()
        for a, edge in root.edges.items():
            if edge.visits and a in slow.moves(root):
                assert answer.q[g, a] == pytest.approx(edge.q(solve), abs=1e-6)
            assert answer.prior[g, a] == pytest.approx(slow.prior[a], abs=1e-7)


def test_some_of_it_is_proven_and_some_is_not() -> None:
    """What is compared above is not one case alone."""
    found = [
        set(searched(game, net_of(game), states, 90, Puct())[1].decided.tolist()) for game, states in POSITIONS.values()
    ]
    assert set().union(*found) == {-1, 0, 1, UNKNOWN}


ROOM = {0: 60_000, 1: 15_000, 2: 6_000, 3: 6_000}  # simulations by moves made before; then 2,000


@pytest.mark.parametrize("rule", ["puct", "gumbel"])
@pytest.mark.parametrize("game", [TICTACTOE, FALLING, HEX], ids=["tictactoe", "falling", "hex"])
def test_every_position_as_trying_all(game: Lines | Hex, rule: str) -> None:
    """Searched until the value is proven: it is the true one, and the move keeps it. A net that tells nonsense leads
    Gumbel only astray for a while; PUCT it may hold for long, so that is given one that knows nothing."""
    net = net_of(game) if rule == "gumbel" else functools.partial(level, actions=game.actions)
    for ply, (states, values, each) in enumerate(solved(game)):
        over = game.turn(states).ended
        states, values, each = states[~over], values[~over], each[~over]
        for rows in np.array_split(np.arange(len(states)), -(-len(states) // 400)) if len(states) else []:
            _, answer = searched(game, net, states[rows], ROOM.get(ply, 2000), RULES[rule])
            assert (answer.decided == values[rows]).all()
            assert (answer.value == values[rows]).all()
            assert (each[rows, answer.move] == values[rows]).all()
            known = answer.proven != UNKNOWN
            assert (answer.proven[known] == each[rows][known]).all(), "nothing wrong is proven on the way"
            wrong = each[rows] != values[rows][:, None]
            assert (answer.policy[wrong] == 0).all(), "nothing wrong is learned"


@pytest.mark.parametrize("rule", ["puct", "gumbel"])
def test_larger_hex_as_trying_all(rule: str) -> None:
    """4 x 4, from positions with nine cells left."""
    game = Hex(4)
    states, values, each = solved(game, later(game, 10, 7))[0]
    assert set(values.tolist()) == {-1, 1}
    _, answer = searched(game, net_of(game), states, 20_000, RULES[rule])
    assert (answer.decided == values).all()
    assert (each[np.arange(len(states)), answer.move] == values).all()


def test_a_move_that_is_worth_less_is_not_taken_for_the_best() -> None:
    """Long before all is proven: of the positions of tic-tac-toe with four stones, and a net that tells nonsense."""
    states, values, each = solved(TICTACTOE)[4]
    over = TICTACTOE.turn(states).ended
    states, values, each = states[~over], values[~over], each[~over]
    right = []
    for simulations in (4, 64, 512):
        _, answer = searched(TICTACTOE, net_of(TICTACTOE), states, simulations, Gumbel(noise=0.0))
        known = answer.decided != UNKNOWN
        assert (answer.decided[known] == values[known]).all()
        right.append((each[np.arange(len(states)), answer.move] == values).mean())
    assert right[0] < right[1] < right[2] == 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("solve", [True, False])
def test_sums_and_no_nan(rule: str, solve: bool) -> None:
    """Also with a net that has lost its mind."""
    game = Dice(6, 5, seed=4)
    states, simulations = game.begin(60), 64

    def wild(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, value = opinion(states, game.actions)
        kind = (states[:, 0] % np.uint64(8)).astype(int)
        for k, worst in enumerate((np.nan, np.inf, -np.inf, 1e30, -1e30)):
            logits[kind == k, k] = worst
        logits[kind == 6] = np.nan
        value[kind >= 6] = np.nan
        return logits, value

    for net in (net_of(game), wild):
        _, answer = searched(game, net, states, simulations, RULES[rule], solve)
        legal, total = game.turn(states).legal, answer.visits.sum(1)
        assert ((total == simulations) | (answer.decided != UNKNOWN)).all()
        assert (total[answer.decided != UNKNOWN] <= simulations).all()
        assert (answer.decided == UNKNOWN).all() or solve
        assert (answer.visits[~legal] == 0).all() and (answer.policy[~legal] == 0).all()
        for each in (answer.policy, answer.q, answer.prior, answer.value):
            assert np.isfinite(each).all()
        assert np.abs(answer.q).max() <= 1 and np.abs(answer.value).max() <= 1
        assert answer.policy.sum(1) == pytest.approx(np.ones(60), abs=1e-5)
        assert answer.prior.sum(1) == pytest.approx(np.ones(60), abs=1e-5)
        assert legal[np.arange(60), answer.move].all()
        if solve:
            held = (answer.decided[:, None] == UNKNOWN) | (answer.decided[:, None] > -1)
            assert (answer.policy[held & (answer.proven == -1)] == 0).all(), "a lost move is not learned"


def same(a: Answer, b: Answer) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("rule", ["puct", "gumbel"])
def test_neighbours_do_not_matter(rule: str) -> None:
    game = FALLING
    states, net = later(game, 20, 3), net_of(game)
    key = keys(1, np.arange(20), np.arange(20))
    _, together = searched(game, net, states, 50, RULES[rule], key=key)
    for g in range(0, 20, 3):
        _, alone = searched(game, net, states[g : g + 1], 50, RULES[rule], key=key[g : g + 1])
        assert same(alone, Answer(*(each[g : g + 1] for each in together)))


@pytest.mark.parametrize("rule", ["puct", "gumbel"])
def test_slots_forget(rule: str) -> None:
    """What was in a slot before, finished or broken off, does not matter; other slots go on untouched."""
    game = FALLING
    states, net = later(game, 8, 3), net_of(game)
    key = keys(1, np.arange(8), np.zeros(8, np.int64))
    _, right = searched(game, net, states, 60, RULES[rule], key=key)
    tree = Tree(8, game.actions, game.words, 60, RULES[rule])
    begin(tree, game, net, later(game, 8, 5, seed=9), 60)
    finish(tree, game, net)
    begin(tree, game, net, states[::-1].copy(), 60)
    finish(tree, game, net, 17)
    begin(tree, game, net, states, 60, key)
    finish(tree, game, net, 23)
    again = np.array([6, 2])  # two begin anew while six are half way
    begin(tree, game, net, states[again], 60, key[again], again)
    finish(tree, game, net)
    assert same(tree.answer(), right)
    assert same(tree.answer(again), Answer(*(each[again] for each in right)))


def test_a_search_can_be_read_on_the_way() -> None:
    game, net = TICTACTOE, net_of(TICTACTOE)
    tree = Tree(1, 9, 2, 200, Puct(noise=0.0))
    begin(tree, game, net, game.begin(1), 200)
    for done in (0, 40, 80, 200):
        finish(tree, game, net, done - int(tree.answer().visits.sum()))
        _, right = searched(game, net, game.begin(1), max(done, 1), Puct(noise=0.0))
        answer = tree.answer()
        assert answer.visits.sum() == done
        assert not done or same(answer, right)
    assert answer.policy.sum() == pytest.approx(1)


def test_before_the_first_simulation_a_net_has_its_say() -> None:
    game, net = TICTACTOE, net_of(TICTACTOE)
    for rule in (Puct(noise=0.0), Gumbel(noise=0.0)):
        tree = Tree(1, 9, 2, 8, rule)
        begin(tree, game, net, game.begin(1), 0)
        assert not len(tree.leaves().moves)
        answer, (logits, value) = tree.answer(), net(game.begin(1))
        assert answer.policy == pytest.approx(answer.prior, abs=1e-6)
        assert answer.move[0] == logits[0].argmax() and answer.value == value


def test_each_game_has_its_own_number_of_simulations() -> None:
    game, net = HEX, net_of(HEX)
    states, count = later(game, 5, 1), np.array([3, 50, 0, 17, 8])
    tree = Tree(5, 9, 2, 50, Gumbel())
    key = keys(1, np.arange(5), np.zeros(5, np.int64))
    begin(tree, game, net, states, count, key)
    finish(tree, game, net)
    for g in range(5):
        if count[g]:
            _, alone = searched(game, net, states[g : g + 1], int(count[g]), Gumbel(), key=key[g : g + 1])
            assert (tree.answer().visits[g] == alone.visits[0]).all()


def test_games_that_are_over_are_not_searched() -> None:
    game, net = TICTACTOE, net_of(TICTACTOE)
    over = np.array([[0b111, 0b11000]], np.uint64)
    states = np.concatenate([over, game.begin(1), over])
    tree, answer = searched(game, net, states, 20, Gumbel())
    assert answer.move.tolist()[::2] == [-1, -1] and answer.visits.sum(1).tolist() == [0, 20, 0]
    assert (answer.policy[::2] == 0).all() and (answer.decided[::2] == UNKNOWN).all()
    assert tree.line(0) == [] and tree.replies(0) == []


def test_a_win_ends_the_search() -> None:
    """A proven root asks for no more leaves; its move wins."""
    state = np.array([[0b011, 0b11000]], np.uint64)  # the first player completes the lowest row with cell 2
    for rule in (Puct(), Gumbel()):
        _, answer = searched(TICTACTOE, net_of(TICTACTOE), state, 500, rule)
        assert answer.decided[0] == 1 and answer.move[0] == 2 and answer.visits.sum() < 500
        assert answer.policy[0].argmax() == 2 and answer.policy[0, 2] == 1 and answer.proven[0, 2] == 1
        _, answer = searched(TICTACTOE, net_of(TICTACTOE), state, 500, rule, solve=False)
        assert answer.decided[0] == UNKNOWN and answer.move[0] == 2 and answer.visits.sum() == 500


def test_where_all_is_lost_it_resists() -> None:
    """The move that took the longest to refute, not nothing."""
    states, values, _ = solved(TICTACTOE)[5]
    states = states[(values == -1) & ~TICTACTOE.turn(states).ended]
    assert len(states) > 20
    for rule in (Puct(), Gumbel()):
        _, answer = searched(TICTACTOE, net_of(TICTACTOE), states, 500, rule)
        assert (answer.decided == -1).all() and (answer.value == -1).all()
        assert answer.policy.sum(1) == pytest.approx(np.ones(len(states)), abs=1e-5)
        legal = TICTACTOE.turn(states).legal
        assert legal[np.arange(len(states)), answer.move].all() and (answer.q[legal] == -1).all()


def test_noise_is_the_keys_alone() -> None:
    game, net = HEX, net_of(HEX)
    states = game.begin(40)
    for rule in (Puct(), Gumbel(considered=4)):
        _, first = searched(game, net, states, 16, rule)
        _, again = searched(game, net, states, 16, rule)
        assert same(first, again)
        assert len(np.unique(first.visits, axis=0)) > 10, "one position, other keys"
        quiet = rule._replace(noise=0.0)
        _, calm = searched(game, net, states, 16, quiet)
        assert len(np.unique(calm.visits, axis=0)) == 1
        assert (first.prior == calm.prior).all(), "the prior is told without noise"


def test_few_simulations_improve_the_policy() -> None:
    """What Gumbel is made for (Danihelka et al. 2022, section 3): with 2 of 12 moves looked at, what it plays is worth
    more than the prior's choice. Moves end the game at once, so their values are known."""

    class Bandit(Dice):
        def turn(self, states: np.ndarray):  # type: ignore[no-untyped-def]
            turn = super().turn(states)
            first = states[:, 1] == 0
            legal = np.broadcast_to(first[:, None], turn.legal.shape).copy()
            return turn._replace(
                legal=legal, ended=~first, value=np.where(first, np.float32(0), super().turn(states).value)
            )

    game, count = Bandit(12, 1, seed=2), 4000
    states = np.repeat(game.begin(1), count, 0)
    _, turn = game.step(np.repeat(states[:1], 12, 0), np.arange(12))
    worth = -turn.value
    logits, _ = opinion(states[:1], 12)
    prior = np.exp(logits[0]) / np.exp(logits[0]).sum()

    def net(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.repeat(logits, len(states), 0), np.full(len(states), prior @ worth, np.float32)

    assert len(set(worth.tolist())) == 3
    means = [prior @ worth]
    for simulations in (2, 4, 16):
        _, answer = searched(game, net, states, simulations, Gumbel(), solve=False)
        means.append(worth[answer.move].mean())
        assert (answer.policy @ worth).mean() > prior @ worth + 0.05
    assert means[0] + 0.1 < means[1] < means[2] <= means[3]
    _, answer = searched(game, net, states, 1, Gumbel(), solve=False)
    share = np.bincount(answer.move, minlength=12) / count
    assert share == pytest.approx(prior, abs=4 * 0.5 / count**0.5), "one simulation: a draw from the prior"


@pytest.mark.parametrize("moves", [1, 2, 3, 5, 7, 16])
def test_halving_looks_at_moves_as_mctx_does(moves: int) -> None:
    for simulations in (1, 2, 8, 16, 33, 200):
        order = np.full(simulations, -1, np.int32)
        halving(moves, simulations, order)
        assert order.tolist() == sequence(moves, simulations)


def test_the_better_half_is_looked_at_twice_as_often() -> None:
    _, answer = searched(Lines(4, 4, 4), net_of(Lines(4, 4, 4)), Lines(4, 4, 4).begin(30), 64, Gumbel(considered=8))
    assert [sorted(row[row > 0].tolist()) for row in answer.visits] == [[2, 2, 2, 2, 7, 7, 21, 21]] * 30


def test_line_and_replies() -> None:
    game, net = FALLING, net_of(FALLING)
    tree, answer = searched(game, net, game.begin(1), 300, Puct(noise=0.0))
    replies = tree.replies(0, depth=30, width=4)
    assert {move: visits for move, visits, _, _ in replies} == {
        a: n for a, n in enumerate(answer.visits[0].tolist()) if n
    }
    shut = [bool(answer.proven[0, move] == -1) for move, *_ in replies]
    assert shut == sorted(shut), "lost moves come last"
    for move, _, value, _ in replies:
        assert value == pytest.approx(float(answer.q[0, move]), abs=1e-6)
    assert tree.line(0)[0] == replies[0][0] == answer.move[0]
    states, nodes = game.begin(1), replies
    for move in tree.line(0):
        assert nodes[0][0] == move and game.turn(states).legal[0, move]
        states, _ = game.step(states, np.array([move]))
        nodes = nodes[0][3]
    assert nodes == []
    assert len(tree.line(0, most=2)) == 2 and tree.replies(0, depth=1, width=2) == [[*r[:3], []] for r in replies[:2]]


def test_steps_come_in_their_order() -> None:
    game, net = TICTACTOE, net_of(TICTACTOE)
    tree = Tree(2, 9, 2, 4)
    states = game.begin(2)
    tree.begin(states, game.turn(states).legal, keys(0, np.arange(2), np.arange(2)), 4)
    with pytest.raises(AssertionError, match="settle comes first"):
        tree.leaves()
    tree.settle(*net(states))
    with pytest.raises(AssertionError):
        begin(tree, game, net, states, 5)  # more than there is room for
