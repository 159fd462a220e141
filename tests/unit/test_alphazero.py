"""AlphaZero: its loss against NumPy, its searches, what it says of positions; killed and resumed to the same bits."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from unit.killed import Killed, save_every

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Place
from milestones.media import Board, Curve, Listing, Move, Text
from milestones.systems import alphazero as page
from milestones.worlds.games import game
from milestones.worlds.games.analysis import liked, moves_of, positions, state_after, strewn
from milestones.worlds.games.judged import elo, judged, reachable
from milestones.worlds.games.perfect import perfect
from milestones.worlds.games.selfplay import SelfPlay
from milestones.worlds.games.thinking import How, ponder, think
from milestones.worlds.games.window import Examples

CPU = torch.device("cpu")
TINY = {"blocks": 1, "channels": 8, "together": 12, "abreast": 6, "moves": 3, "simulations": 6, "few": 3, "batch": 16,
        "first": 60, "rows": 200, "steps": 30, "looks": 2, "examined": 2, "searched": 4, "tested": 3,
        "pairs": 1, "reuse": 1.0, "start": 20, "blind": 10}  # fmt: skip


@pytest.fixture(autouse=True)
def short_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.core.plan.SECONDS", 0.0)


def knobs_of(**settings: Any) -> page.Knobs:
    return changed(page.Knobs(), {**TINY, **settings}, "alphazero")


def net_of(name: str, **settings: Any) -> tuple[page.Tower, dict[str, Any]]:
    """A net of any weights, and what it has to know of its game."""
    knobs = knobs_of(game=name, **settings)
    facts = page.prepare(knobs, Place(CPU, 0)).facts
    torch.manual_seed(0)
    model = page.build(knobs, facts)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.eval(), facts


@pytest.mark.parametrize("squared", [False, True])
def test_the_loss_is_that_of_numpy(squared: bool) -> None:
    model, _ = net_of("connect_four")
    rng = np.random.default_rng(0)
    planes = torch.from_numpy(rng.integers(0, 2, (20, 3, 6, 7), np.uint8))
    policy, chance = rng.dirichlet(np.ones(7), 20), rng.dirichlet(np.ones(3), 20)
    policy[3], chance[4] = np.eye(7)[2], [0, 0, 1]  # what is certain has no entropy, and no infinity
    batch = Examples(planes, torch.from_numpy(policy).float(), torch.from_numpy(chance).float(), torch.zeros(20, 0))
    terms = page.loss(model, batch, knobs_of(squared=squared, value=0.7))
    logits, wdl = (part.detach().double().numpy() for part in model(planes))
    says, expects = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (logits, wdl))
    cross, value, unsure = 0.0, 0.0, 0.0
    for b in range(20):
        cross -= sum(policy[b, a] * np.log(says[b, a]) for a in range(7)) / 20
        unsure -= sum(policy[b, a] * np.log(policy[b, a]) for a in range(7) if policy[b, a] > 0) / 20
        if squared:
            value += (expects[b, 0] - expects[b, 2] - chance[b, 0] + chance[b, 2]) ** 2 / 20
        else:
            value -= sum(chance[b, k] * np.log(expects[b, k]) for k in range(3)) / 20
    found = {name: float(term.detach()) for name, term in terms.items()}
    want = {"loss": cross + 0.7 * value, "kl": cross - unsure, "unsure": unsure, "value": value}
    assert found == pytest.approx(want, abs=1e-5)


def test_simulations_are_doubled_at_equal_distances() -> None:
    knobs = knobs_of(few=8, simulations=40, steps=90)
    counts = [page.looking(knobs, step).simulations for step in range(90)]
    assert sorted(set(counts)) == [8, 16, 40] and [counts.count(n) for n in (8, 16, 40)] == [30, 30, 30]
    assert counts == sorted(counts)
    same = [page.looking(knobs_of(few=50, simulations=20, steps=5), step).simulations for step in range(5)]
    assert same == [20] * 5
    paper = How(800, 0, noise=True, solve=False, scale=0.25, alpha=1.5, tempered=30)
    assert page.looking(page.PRESETS["paper"], 0) == paper


def test_the_paper_takes_each_departure_back() -> None:
    paper, facts = page.PRESETS["paper"], {"shape": [3, 6, 7], "actions": 7, "levels": 1}
    games = page.prepare(changed(paper, {"together": 4}, "alphazero"), Place(CPU, 0))
    assert games.course == (0.0, paper.most, False, 0.0) and all(group.first.max() == 0 for group in games.groups)
    with torch.device("meta"):
        tower = page.build(paper, facts)
    assert len(tower.blocks) == 19 and all(block.pool is None for block in tower.blocks)
    assert tower.stem.norm is not None and tower.stem.layer.out_channels == 256
    assert isinstance(page.METHODS[paper.method](torch.nn.Linear(2, 2), 0.1, 0.0), torch.optim.SGD)


@pytest.mark.parametrize("settings", [
    {"game": "tictactoe"},
    {"game": "connect_four", "strewn": 0.6, "most": 8, "method": "adamw", "lr": 0.002},
    {"game": "tictactoe", "considered": 0, "tempered": 3, "solve": False, "normal": "batch", "method": "sgd", "lr": 0.1,
     "average": 0.0, "squared": True, "start": 0},
])  # fmt: skip
def test_killed_and_resumed_to_the_same_bits(settings: dict[str, Any], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    play = SelfPlay.play

    def run(folder: Path, die_at: int = -1) -> dict[str, torch.Tensor]:
        knobs = knobs_of(**settings)
        games = page.prepare(knobs, Place(CPU, 0))
        torch.manual_seed(0)
        model = page.build(knobs, games.facts)
        folder.mkdir(exist_ok=True)

        def until(self: SelfPlay, *words: Any) -> Any:
            if 0 <= 3 * die_at <= self.steps:
                raise Killed
            return play(self, *words)

        monkeypatch.setattr(SelfPlay, "play", until)
        with Run(folder, Place(CPU, 0), "exact") as one:
            page.train(knobs, model, games, one)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = run(tmp_path / "whole")
    assert (tmp_path / "whole" / "shows").exists()
    save_every(2, monkeypatch)
    for die_at in (1, 5, 8):
        with pytest.raises(Killed):
            run(tmp_path / "killed", die_at)
    found = run(tmp_path / "killed")
    assert all(torch.equal(found[name], value) for name, value in whole.items())
    texts = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "killed")]
    logs = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()]
            for text in texts]  # fmt: skip
    assert logs[0] == logs[1] and any("valid_error" in line for line in logs[0])


def test_a_thought_is_one_of_its_position_alone() -> None:
    model, facts = net_of("connect_four")
    table = game("connect_four")
    states = np.stack([state_after(table, table.parse(text)) for text in ("", "4", "4453", "112233", "444444")])
    together = think(model, facts, states, 30, trees=True)
    for n in range(5):
        alone = think(model, facts, states[n : n + 1], 30, trees=True)
        assert alone.move[0] == together.move[n] and alone.line[0] == together.line[n]
        assert np.array_equal(alone.visits[0], together.visits[n])
        assert table.turn(states[n : n + 1]).legal[0, alone.move[0]]
    assert together.policy[4, 3] == 0, "a full column"
    again = think(model, facts, states, 30)
    assert np.array_equal(again.policy, together.policy) and again.line == []


def test_what_is_proved_is_played() -> None:
    model, facts = net_of("connect_four")
    table = game("connect_four")
    states = np.stack([state_after(table, table.parse(text)) for text in ("112233", "1727374", "4")])
    found = think(model, facts, states, 200, trees=True)
    assert found.move[0] == 3 and bool(found.exact[0]) and found.value[0] == 1
    assert found.line[0][:1] == [3]
    assert not found.exact[2] and abs(found.value[2]) < 1
    over = state_after(table, table.parse("1122334"))[None]
    ended = think(model, facts, over, 20)
    assert ended.move[0] == -1


def test_a_search_goes_on_and_may_be_asked_at_any_time() -> None:
    model, facts = net_of("connect_four")
    table, asked = game("connect_four"), [0]
    state = state_after(table, table.parse("4453"))[None]

    def pause() -> bool:
        asked[0] += 1
        return asked[0] % 10 == 0

    thoughts = list(ponder(model, facts, state, 40, pause))
    assert [int(one.visits.sum()) for one in thoughts] == [9, 19, 29, 39, 40]
    assert all((later.visits >= earlier.visits).all() for earlier, later in itertools.pairwise(thoughts))
    once = think(model, facts, state, 40, How(40, considered=0), trees=True)
    assert np.array_equal(thoughts[-1].visits, once.visits) and thoughts[-1].line == once.line
    assert np.array_equal(once.prior, thoughts[0].prior) and np.isclose(once.prior.sum(), 1)
    proved = list(ponder(model, facts, state_after(table, table.parse("112233"))[None], 5000, lambda: False))
    assert len(proved) == 1 and bool(proved[0].exact[0]) and proved[0].move[0] == 3


def test_a_game_of_a_file_is_told_of_and_not_replied_to() -> None:
    model, facts = net_of("connect_four")
    table, line = game("connect_four"), [0, 0, 1, 1, 2, 6, 3]
    board = replace(table.board(state_after(table, line), line), origin="a.sgf", omitted="2 variations")
    (said,) = page.use(model, facts, [board], simulations=40)
    shown, curve, costly = said["board"], said["along_the_game"], said["costly_moves"]
    assert isinstance(shown, Board) and isinstance(curve, Curve) and isinstance(costly, Listing)
    assert list(shown.moves) == list(board.moves) and shown.win == 1
    (win,) = curve.lines.values()
    assert len(win) == 8 and win[-1] == 100 and win[-2] == 100, "four in a row is at hand before it is there"
    assert [6, "red", "7"] in [row[:3] for row in costly.cells] and said["aside"] == Text("2 variations passed over")
    (empty,) = page.use(model, facts, [replace(table.board(table.begin(1)[0]), origin="b.sgf")], simulations=4)
    assert "along_the_game" not in empty and "aside" not in empty
    with pytest.raises(UserError, match=r"got one of 6 x 6 in c\.sgf"):
        page.use(model, facts, [Board(np.zeros((6, 6), np.int8), origin="c.sgf")], simulations=4)


def test_use_says_what_it_thinks_of_moves_and_boards() -> None:
    model, facts = net_of("connect_four")
    fresh = Board.of(facts["board"])
    (said,) = page.use(model, facts, [Text("112233")], simulations=50)
    board = said["board"]
    assert isinstance(board, Board) and board.turn == 1 and len(board.moves) == 6
    assert board.policy is not None and board.policy[5, 3] == board.policy.max() and board.win == 1
    assert str(said["line"]).split()[0] == "4" and said["considered"].best == "4"  # type: ignore[attr-defined]
    assert str(said["win"]) == "100 % (proved)"
    assert [node[0] for node in board.tree][:1] == ["4"]
    wish = Board(fresh.cells, fresh.pieces, 1, game=fresh.game, wish=Move(1, 0, 3))  # falls to the ground
    (replied,) = page.use(model, facts, [wish], simulations=20)
    after = replied["board"]
    assert isinstance(after, Board) and after.turn == 1 and len(after.moves) == 2 and after.cells[5, 3] == 1
    (by_json,) = page.use(model, facts, [Text(json.dumps({**fresh.plain(), "wish": [1, 0, 3]}))], simulations=20)
    assert by_json["board"].plain() == after.plain()
    (over,) = page.use(model, facts, [Text("1122334")], simulations=20)
    assert list(over) == ["board"] and over["board"].note == "yellow has won" and over["board"].win == 1  # type: ignore[attr-defined]
    (second,) = page.use(model, facts, [Text("4")], simulations=20)
    assert 0 <= second["board"].win <= 1 and second["board"].turn == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("board", "message"), [
    (Board.empty(3, 3, "x"), "a board of 6 x 7 for connect four, got one of 3 x 3"),
    (Board(np.eye(6, 7, dtype=np.int8)), "a game of connect four from its beginning, got a position that was set up"),
    (Board(np.zeros((6, 7), np.int8), wish=Move(2, 5, 0)), "a move that the rules allow, got A1 as move 1"),
    (Board(np.zeros((6, 7), np.int8), wish=Move(1, -1, -1)), "a move that the rules allow, got pass as move 1"),
])  # fmt: skip
def test_boards_that_cannot_be(board: Board, message: str) -> None:
    with pytest.raises(UserError, match=message):
        moves_of(game("connect_four"), board)


def test_texts_that_cannot_be() -> None:
    model, facts = net_of("connect_four")
    with pytest.raises(UserError, match="moves, or a board as JSON, got JSON that is damaged"):
        page.use(model, facts, [Text('{"board": ')])
    with pytest.raises(UserError, match="'8' as move 2"):
        page.use(model, facts, [Text("48")])
    with pytest.raises(UserError, match="simulations from 0 to 100,000, got -1"):
        page.use(model, facts, [Text("4")], simulations=-1)


def test_stones_are_found_again_as_moves() -> None:
    for name, text in (("othello6", ""), ("hex5", "c3 a1 b2"), ("tictactoe", "b2 a1 c3")):
        table = game(name)
        moves = table.parse(text) if text else [int(np.flatnonzero(table.turn(table.begin(1)).legal[0])[0])]
        assert moves_of(table, table.board(state_after(table, moves), moves)) == moves


def test_reachable_positions_are_all_there_are() -> None:
    states = reachable(game("tictactoe"))
    assert states is not None and len(states) == 4520
    assert len(np.unique(states, axis=0)) == 4520
    assert reachable(game("connect_four"), 1000) is None


def test_judged_against_perfect_play() -> None:
    table = game("tictactoe")
    oracle = perfect(table)

    class Known:
        def __init__(self, states: np.ndarray, best: bool) -> None:
            values = oracle.values(states).astype(int)
            self.move = values.argmax(1) if best else np.where(values == -128, 999, values).argmin(1)
            self.value = np.sign(values.max(1))

    right = judged(table, lambda states: Known(states, True))  # type: ignore[arg-type,return-value]
    wrong = judged(table, lambda states: Known(states, False))  # type: ignore[arg-type,return-value]
    assert list(right) == ["wrong_moves"] and right["wrong_moves"].value == 0 and right["wrong_moves"].over == 4520
    assert wrong["wrong_moves"].value > 40
    small = game("hex3")
    hex_oracle = perfect(small)

    class Signs:
        def __init__(self, states: np.ndarray, sign: int) -> None:
            self.move = hex_oracle.values(states).astype(int).argmax(1)
            self.value = sign * np.sign(hex_oracle.values(states).astype(int).max(1))

    for sign, want in ((1, 0), (-1, 100)):
        found = judged(small, lambda states: Signs(states, sign))  # type: ignore[arg-type,return-value]  # noqa: B023
        assert found["wrong_openings"].value == want and found["wrong_openings"].over == 9
        assert found["wrong_moves"].value == 0


def test_points_become_elo() -> None:
    from milestones.core.score import Score

    points = Score(75.0, 64.0, 100.0, "%", "higher", "connect four", "games", 100)
    found = elo(points, "")
    assert found.value == pytest.approx(400 * np.log10(3)) and found.low == pytest.approx(100, abs=0.2)
    assert found.high == pytest.approx(400 * np.log10(99.75 / 0.25))


def test_positions_to_look_at_are_such_as_the_rules_allow() -> None:
    """Stones alternate, none lies on another, and each part of the data has games of its own."""
    rules = game("connect_four")
    data = strewn(rules.facts, Place(CPU, 0))
    parts = [next(iter(part.sweep(10_000))).planes for part in data[:3]]
    assert [list(part.shape) for part in parts] == [[1000, 3, 6, 7]] * 3
    for planes in parts:
        own, other = planes[:, 0].flatten(1).sum(1).int(), planes[:, 1].flatten(1).sum(1).int()
        assert bool(((other - own == 0) | (other - own == 1)).all()) and int(planes[:, :2].sum(1).max()) == 1
        assert 0 <= int((own + other).min()) < 3 and int((own + other).max()) > 15
    assert not torch.equal(parts[0], parts[2])
    assert torch.equal(next(iter(strewn(rules.facts, Place(CPU, 0)).test.sweep(10_000))).planes, parts[2])


def test_the_probe_of_a_player_is_its_liking_of_moves() -> None:
    rules = game("connect_four")
    model = page.build(changed(page.PRESETS["quick"], {"blocks": 1, "channels": 8}, "alphazero"), rules.facts).eval()
    with torch.no_grad():
        model.moves.weight.normal_()  # at first it likes all moves alike
    batch = positions(rules.facts, [Text("4453"), Text("")])
    assert batch.planes[0, :2].sum() == 4 and batch.planes[1, :2].sum() == 0
    probe = liked(model, batch)
    with torch.no_grad():
        assert torch.allclose(probe.scores(probe.input), model(batch.planes)[0])
    assert probe.target.tolist() == probe.scores(probe.input).argmax(1).tolist() and (probe.low, probe.high) == (0, 1)
    with pytest.raises(UserError, match="4"):
        positions(rules.facts, [Text("44444444")])
