"""Games of OpenSpiel: what they are here is what they are there; and which are refused."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from milestones.core.errors import UserError
from milestones.worlds.games import game
from milestones.worlds.games import openspiel as adapter

pyspiel = pytest.importorskip("pyspiel", reason='OpenSpiel needs an extra: pip install "milestones[games]"')

PLAYED = ["breakthrough(rows=6,columns=6)", "y(board_size=5)", "nim", "dots_and_boxes(num_rows=2,num_cols=2)",
          "tic_tac_toe", "connect_four", "chess", "mancala"]  # fmt: skip


@pytest.mark.parametrize("name", PLAYED)
def test_it_is_the_same_game(name: str) -> None:
    own, rules, rng = game(f"openspiel:{name}"), pyspiel.load_game(name), np.random.default_rng(0)
    states, count = own.begin(8), own.facts["actions"]
    theirs = [rules.new_initial_state() for _ in range(8)]
    turn, plies = own.turn(states), 0
    while len(states):
        assert (own.mover(states) == (own.first + plies) % 2).all(), "players alternate"
        moves = np.array([rng.choice(np.flatnonzero(legal)) for legal in turn.legal])
        movers = own.mover(states).tolist()
        for move, state, legal, mover in zip(moves.tolist(), theirs, turn.legal, movers, strict=True):
            if legal[-1]:
                assert legal.sum() == 1 and state.current_player() != mover
            else:
                assert np.flatnonzero(legal).tolist() == state.legal_actions() and state.current_player() == mover
                state.apply_action(move)
        states, turn = own.step(states, moves)
        plies += 1
        for row, state, ended, value in zip(states, theirs, turn.ended, turn.value, strict=True):
            assert own.history(row) == state.history()
            cut = len(state.history()) == own.longest
            assert ended == (state.is_terminal() or cut)
            if state.is_terminal():
                assert value == np.sign(state.returns()[int(own.mover(row[None])[0])])
            else:
                assert value == 0
        assert np.array_equal(own.turn(states).legal, turn.legal)
        theirs = [state for state, over in zip(theirs, turn.ended, strict=True) if not over]
        states = states[~turn.ended]
        turn = own.turn(states)
    assert own.turn(own.begin(0)).legal.shape == (0, count)


@pytest.mark.parametrize("name", PLAYED)
def test_facts_and_planes(name: str) -> None:
    own, rules = game(f"openspiel:{name}"), pyspiel.load_game(name)
    facts = json.loads(json.dumps(own.facts))
    assert game(facts["game"]).facts == own.facts and facts["kind"] == "game"
    states = own.begin(2)
    seen = own.planes(states)
    assert seen.shape == (2, *facts["shape"]) and seen.dtype == np.uint8
    assert facts["labels"][-1] == "pass" and len(facts["labels"]) == facts["actions"] == own.turn(states).legal.shape[1]
    cells, moves = own.twins()
    assert len(cells) == len(moves) == facts["symmetries"] == 1
    tensor = np.array(rules.new_initial_state().observation_tensor(own.first))
    if not own.probe.signed:
        shown = seen[0, :-1].reshape(-1) / facts["levels"] * (1 if own.probe.whole else own.probe.peak)
        assert shown * (facts["levels"] if own.probe.whole else 1) == pytest.approx(tensor, abs=own.probe.peak / 255)
    assert (seen[:, -1] == own.first).all()


def test_planes_have_a_net_s_shape() -> None:
    assert game("openspiel:nim").facts["shape"][1:] == [1, 1]
    assert game("openspiel:breakthrough").facts["shape"] == [4, 8, 8]


def test_states_are_found_again_from_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MOST_HELD", 3)
    own: Any = game("openspiel:breakthrough")
    fresh: Any = game("openspiel:breakthrough")
    rng, states = np.random.default_rng(1), own.begin(6)
    for _ in range(12):
        moves = np.array([rng.choice(np.flatnonzero(legal)) for legal in own.turn(states).legal])
        states, turn = own.step(states, moves)
        assert np.array_equal(fresh.turn(states).legal, turn.legal) and len(own._held) <= 3
        assert np.array_equal(fresh.planes(states), own.planes(states))


def test_a_long_game_is_cut_and_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MOST_MOVES", 4)
    own = game("openspiel:breakthrough")
    assert own.facts["longest"] == 4
    states, turn = own.begin(1), None
    for _ in range(4):
        states, turn = own.step(states, np.flatnonzero(own.turn(states).legal[0])[:1])
    assert turn is not None and turn.ended.all() and not turn.value.any() and not turn.legal.any()
    assert own.playout(states, 0).tolist() == [0]


def test_random_play() -> None:
    own, twin = game("openspiel:tic_tac_toe"), game("tictactoe")
    found, ours = own.playout(own.begin(800), 3), twin.playout(twin.begin(20_000), 3)
    for outcome in (-1, 0, 1):
        share = (ours == outcome).mean()
        assert abs((found == outcome).mean() - share) < 4 * np.sqrt(share * (1 - share) / 800)
    assert np.array_equal(found, own.playout(own.begin(800), 3))


def test_moves_are_read_in_openspiels_words_and_as_numbers() -> None:
    own = game("openspiel:breakthrough")
    states, line, words = own.begin(1), [], []
    rng = np.random.default_rng(2)
    while not (turn := own.turn(states)).ended[0]:
        move = int(rng.choice(np.flatnonzero(turn.legal[0])))
        line.append(move)
        words.append(own.name(move, states[0]))
        states, _ = own.step(states, np.array([move]))
    assert own.parse(" ".join(words)) == own.parse(" ".join(map(str, line))) == line
    assert [own.name(move) for move in line] == [str(move) for move in line]
    with pytest.raises(UserError, match=r"Breakthrough: expected moves written as .* got 'hello' as move 1"):
        own.parse("hello")
    with pytest.raises(UserError, match=r"a move that is allowed there .* got '0' as move 1"):
        own.parse("0")
    boxes = game("openspiel:dots_and_boxes(num_rows=1,num_cols=1)")
    assert boxes.parse("0 1 2 3") == [0, 1, 2, 3]
    two = game("openspiel:dots_and_boxes(num_rows=1,num_cols=2)")
    line = two.parse("0 4 2 5 1")  # the fourth line closes a box: its player moves on, and the pass is put in
    assert line == [0, 4, 2, 5, 7, 1] and two.name(7, two.begin(1)[0]) == "pass"


def test_boards_are_drawn_where_the_text_is_one() -> None:
    own = game("openspiel:tic_tac_toe")
    states, line = own.begin(1), [4, 0, 8]
    for move in line:
        states, _ = own.step(states, np.array([move]))
    board = own.board(states[0], line)
    assert board.cells.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 1]] and board.turn == 2 and len(board.moves) == 3
    assert board.note == "player 2 to move" and own.cell(5, states[0]) == (1, 2) and own.cell(9, states[0]) == (-1, -1)
    pawns = game("openspiel:breakthrough")
    start = pawns.begin(1)[0]
    board = pawns.board(start)
    assert board.cells.shape == (8, 8) and (board.cells > 0).sum() == 32 and pawns.cell(0, start) == (-1, -1)
    piles = game("openspiel:nim")
    board = piles.board(piles.begin(1)[0], [])
    assert board.cells.shape == (1, 1) and "player 1 to move" in board.note and len(board.note) > 20


@pytest.mark.parametrize(("name", "says"), [
    ("kuhn_poker", "no luck, got kuhn_poker, which has chance, what a player cannot see"),
    ("backgammon", "a game of two players who take turns, see everything and have no luck, got backgammon, which has"),
    ("matching_pennies_3p", "got matching_pennies_3p, which has 3 players, moves at the same time"),
    ("hanabi", "hanabi"),
    ("2048", "2048, which has 1 players"),
    ("brekthrough", "a game that OpenSpiel knows, got no 'brekthrough'. Did you mean 'breakthrough'"),
    ("qqq", "For example openspiel:breakthrough"),
    ("hex(colour=3)", "settings that OpenSpiel's hex knows, got .*Correct them, or leave them out"),
])  # fmt: skip
def test_other_games_are_refused(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        game(f"openspiel:{name}")


def test_without_openspiel_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(UserError, match=r"OpenSpiel, which has the game, got none installed. .*milestones\[games\]"):
        game("openspiel:breakthrough")
