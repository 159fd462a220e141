"""Go: against rules written down once more, plainly, superko included; against OpenSpiel; and positions that players
know."""

from __future__ import annotations

import random

import numpy as np
import pytest

from milestones.core.errors import UserError
from milestones.media import Board
from milestones.worlds.games import Game, game

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')


class Plain:
    """A game of go in tuples and sets; positions are compared as they are."""

    def __init__(self, size: int, komi: float) -> None:
        self.size, self.komi, self.board, self.colour = size, komi, (0,) * size * size, 1
        self.past, self.passes, self.length = {self.board}, 0, 0

    def near(self, cell: int) -> list[int]:
        row, column = divmod(cell, self.size)
        ways = ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1))
        return [r * self.size + c for r, c in ways if 0 <= r < self.size and 0 <= c < self.size]

    def reach(self, board: tuple[int, ...], cell: int) -> tuple[set[int], set[int]]:
        """The points of the same kind that hang together with this one, and what is around them."""
        inside, around, left = {cell}, set(), [cell]
        while left:
            for other in self.near(left.pop()):
                if board[other] != board[cell]:
                    around.add(other)
                elif other not in inside:
                    inside.add(other)
                    left.append(other)
        return inside, around

    def free(self, board: tuple[int, ...], cell: int) -> bool:
        return any(board[other] == 0 for other in self.reach(board, cell)[1])

    def after(self, cell: int) -> tuple[int, ...] | None:
        """The board with a stone there; None: it would not live, or was there before."""
        if self.board[cell]:
            return None
        board = list(self.board)
        board[cell] = self.colour
        for other in self.near(cell):
            if board[other] == 3 - self.colour and not self.free(tuple(board), other):
                for stone in self.reach(tuple(board), other)[0]:
                    board[stone] = 0
        found = tuple(board)
        return found if self.free(found, cell) and found not in self.past else None

    def owners(self) -> list[int]:
        found = list(self.board)
        for cell in range(self.size**2):
            if not self.board[cell]:
                colours = {self.board[other] for other in self.reach(self.board, cell)[1]}
                found[cell] = colours.pop() if len(colours) == 1 else 0
        return found

    def ahead(self) -> float:
        owners = self.owners()
        return owners.count(1) - owners.count(2) - self.komi

    def over(self) -> bool:
        return self.passes == 2 or self.length >= 3 * self.size**2

    def play(self, move: int) -> None:
        if move == self.size**2:
            self.passes += 1
        else:
            board = self.after(move)
            assert board is not None
            self.board, self.passes = board, 0
            self.past.add(board)
        self.colour, self.length = 3 - self.colour, self.length + 1


def stones(own: Game, states: np.ndarray) -> list[int]:
    """0 for none, 1 black, 2 white."""
    mine, other = own.planes(states)[0, :2].reshape(2, -1).astype(int)
    mover = int(own.mover(states)[0])
    return (mine * (1 + mover) + other * (2 - mover)).tolist()


@pytest.mark.parametrize(("name", "games"), [("go5", 30), ("go5:0", 10), ("go7:8.5", 12), ("go9", 5), ("go13", 1)])
def test_rules_written_down_once_more(name: str, games: int) -> None:
    own, rng, forbidden = game(name), random.Random(name), 0
    size, komi = own.facts["rows"], own.facts["komi"]
    for number in range(games):
        plain, states = Plain(size, komi), own.begin(1)
        turn = own.turn(states)
        while True:
            again = own.turn(states)
            assert all(np.array_equal(a, b) for a, b in zip(turn, again, strict=True))
            assert stones(own, states) == list(plain.board) and own.mover(states)[0] == plain.colour - 1
            area, sign = own.area(states), 1 if plain.colour == 1 else -1
            assert (sign * area.owner[0] % 3).tolist() == plain.owners() and area.score[0] == sign * plain.ahead()
            assert bool(turn.ended[0]) == plain.over()
            if plain.over():
                assert turn.value[0] == sign * np.sign(plain.ahead()) and not turn.legal.any()
                break
            allowed = [cell for cell in range(size**2) if plain.after(cell) is not None]
            assert np.flatnonzero(turn.legal[0]).tolist() == [*allowed, size**2]
            empty = [cell for cell in range(size**2) if not plain.board[cell] and cell not in allowed]
            forbidden += len(empty)
            # Few passes, so that groups are taken, and taken back.
            move = size**2 if not allowed or rng.random() < 0.01 * (number % 3) else rng.choice(allowed)
            plain.play(move)
            states, turn = own.step(states, np.array([move]))
    assert forbidden > 20


@pytest.mark.parametrize(("size", "positions"), [(5, 3000), (7, 3000), (9, 3000), (13, 1500), (19, 1500)])
def test_openspiel_differs_at_superko_alone(size: int, positions: int) -> None:
    """OpenSpiel forbids to take back in a ko at once, and calls a game drawn that comes back to an earlier position."""
    pyspiel = pytest.importorskip("pyspiel", reason='OpenSpiel needs an extra: pip install "milestones[games]"')
    rules = pyspiel.load_game(f"go(board_size={size},komi=7.5,max_game_length={3 * size * size})")
    own, rng, seen, more = game(f"go{size}:7.5"), random.Random(size), 0, 0
    numbers = {label: move for move, label in enumerate(own.facts["labels"])}
    while seen < positions:
        other, states = rules.new_initial_state(), own.begin(1)
        turn = own.turn(states)
        while not turn.ended[0]:
            mine = set(np.flatnonzero(turn.legal[0]).tolist())
            player = other.current_player()
            theirs = {numbers[other.action_to_string(player, a).split()[-1].lower()]: a for a in other.legal_actions()}
            assert mine <= set(theirs)
            for move in sorted(set(theirs) - mine):  # what only they allow brings back a position
                twin = other.clone()
                twin.apply_action(theirs[move])
                assert twin.is_terminal() and twin.returns() == [0, 0], own.name(move)
                more += 1
            moves = sorted(mine - {size * size})
            move = size * size if not moves or rng.random() < 0.01 else rng.choice(moves)
            other.apply_action(theirs[move])
            states, turn = own.step(states, np.array([move]))
            seen += 1
        assert other.is_terminal()
        sign = 1 - 2 * int(own.mover(states)[0])
        assert other.returns()[0] == sign * turn.value[0]
    assert size > 5 or more, "there were such positions"


def test_ko_and_what_superko_adds() -> None:
    own = game("go5")
    line = own.parse("b3 c3 a2 d2 b1 c1 c2")  # black's c2 is taken from b2
    states = own.begin(1)
    for move in line:
        states, turn = own.step(states, np.array([move]))
    taken = own.parse("b2", states[0])[0]
    states, turn = own.step(states, np.array([taken]))
    back = own.parse("c2 pass", own.begin(1)[0])[0]
    assert not turn.legal[0, back], "black may not take back at once"
    for move in own.parse("e5 e4", states[0]):
        states, turn = own.step(states, np.array([move]))
    assert turn.legal[0, back], "after a threat and its answer it may"
    with pytest.raises(UserError, match=r"go: expected a move that is allowed there .* got 'c2' as move 9"):
        own.parse("b3 c3 a2 d2 b1 c1 c2 b2 c2")


def test_two_eyes_live_and_seki_is_nobodys() -> None:
    own = game("go5")
    black, white = ["a4", "b4", "b5", "c5", "d5", "d4", "e4"], ["a3", "b3", "c3", "d3", "e3", "c4", "c1"]
    states = own.begin(1)
    for pair in zip(black, white, strict=True):
        for move in own.parse(" ".join(pair), states[0]):
            states, turn = own.step(states, np.array([move]))
    states, turn = own.step(states, np.array([25]))  # black passes; white may fill neither eye
    assert own.mover(states).tolist() == [1]
    for eye in ("a5", "e5"):
        assert not turn.legal[0, own.facts["labels"].index(eye)], eye
    area = own.area(states)
    assert area.owner[0].reshape(5, 5)[0].tolist() == [-1, -1, -1, -1, -1], "for white, who is to move"


def test_random_games_fill_no_eyes() -> None:
    """A group of two eyes lives in each of a thousand random games: whatever happens, black keeps its corner."""
    own = game("go5:0")
    states = own.begin(1)
    for move in own.parse("a2 e5 b2 e4 b1 e3 c1 d5 c2 d4 d2 c5 d1 c4 e2 b5"):  # black lives below: a1, e1 are eyes
        states, _ = own.step(states, np.array([move]))
    value = own.playout(np.repeat(states, 1000, 0), 3)
    again = own.playout(np.repeat(states, 1000, 0), 3)
    assert np.array_equal(value, again) and not np.array_equal(value, own.playout(np.repeat(states, 1000, 0), 4))
    mean = game("go5:-20").playout(np.repeat(states, 1000, 0), 3).mean()
    assert mean == 1.0, "black has at least its own ten points: with 20 given it always wins"
    assert value.mean() < 1.0


def test_names_and_komi() -> None:
    own = game("go7:8.5")
    assert own.facts["komi"] == 8.5 and own.facts["game"] == "go7:8.5" and game("go7:9").facts["game"] == "go7"
    assert game("go").facts["rows"] == 19 and game("go9").facts["komi"] == 7 and game("go5").facts["komi"] == 7.5
    for wrong in ("go4", "go20", "go7:", "go7:9.3", "go7:x"):
        with pytest.raises(UserError, match="expected a game that is known"):
            game(wrong)
    board = own.board(own.begin(1)[0])
    assert board.crossings and not board.down and board.spot(*own.cell(own.parse("c3")[0], own.begin(1)[0])) == "C3"
    line = own.parse("c3 d4 pass e5")
    states = own.begin(1)
    for move in line:
        states, _ = own.step(states, np.array([move]))
    board = own.board(states[0], line)
    again = Board.decoded(board.sgf().encode(), "x")
    assert np.array_equal(again.cells, board.cells) and again.game == "go" and len(again.moves) == 4


def test_nets_are_told_the_same_of_positions_that_differ_in_their_past_alone() -> None:
    own = game("go5")
    ends = []
    for text in ("c3 a1 e5", "e5 a1 c3"):
        states = own.begin(1)
        for move in own.parse(text):
            states, _ = own.step(states, np.array([move]))
        ends.append(states[0])
    assert not np.array_equal(*ends) and np.array_equal(ends[0][: own.seen], ends[1][: own.seen])
    assert np.array_equal(*(own.planes(end[None]) for end in ends))
    assert np.array_equal(own.planes(ends[0][None, : own.seen]), own.planes(ends[0][None]))
