"""Finite decision processes: exact solutions against dense algebra and Gymnasium's own tables, and what is learned."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Place, keyed
from milestones.core.state import Memo
from milestones.media import Text
from milestones.parts.decision import NEVER, Process, backup, bounds, drawn, evaluated, greedy
from milestones.systems import mdp as page
from milestones.worlds.mdp import LAKES, chain, garnet, grid, lake, process, table

CPU = torch.device("cpu")


def dense(world: Process) -> np.ndarray:
    """S A S."""
    return world.chance.to_dense().numpy().reshape(*world.reward.shape, -1)


def best_of_all(world: Process, discount: float) -> np.ndarray:
    """The optimal values: the best of every policy there is, each solved as a dense system."""
    chance, reward = dense(world), world.reward.numpy()
    states, actions = reward.shape
    rows = np.arange(states)
    found = []
    for policy in itertools.product(range(actions), repeat=states):
        index = rows, np.array(policy)
        found.append(np.linalg.solve(np.eye(states) - discount * chance[index], reward[index]))
    return np.max(found, 0)


def iterated(world: Process, discount: float, sweeps: int = 4000) -> torch.Tensor:
    value = torch.zeros(len(world.reward), dtype=torch.float64)
    for _ in range(sweeps):
        value = torch.where(world.ended, 0.0, backup(world, value, discount).max(1).values)
    return value


def trained(folder: Path, seed: int = 0, **knobs: object) -> tuple[page.Values, Process, page.Knobs, object]:
    own = changed(page.Knobs(), knobs, "mdp")
    place = Place(CPU, seed)
    data = page.prepare(own, place)
    model = page.build(own, data.facts)
    folder.mkdir(exist_ok=True)
    with Run(folder, place, "exact") as run:
        page.train(own, model, data, run)
    return model, data.train.process, own, data


@pytest.mark.parametrize("world", [chain(4), garnet(4, 3, 2, 1), garnet(5, 2, 3, 2)])
def test_value_iteration_finds_the_best_of_all_policies(world: Process) -> None:
    np.testing.assert_allclose(iterated(world, 0.8, 300).numpy(), best_of_all(world, 0.8), atol=1e-9)


def test_the_bounds_hold_and_close() -> None:
    for world in (garnet(30, 3, 4, 0), grid(4)):
        truth, value = iterated(world, 0.9), torch.zeros(len(world.reward), dtype=torch.float64)
        ends, widths = bool(world.ended.any()), []
        for _ in range(60):
            new = torch.where(world.ended, 0.0, backup(world, value, 0.9).max(1).values)
            low, high = bounds(new - value, 0.9, ends)
            value = new
            left = (truth - value)[~world.ended]
            assert low - 1e-9 <= left.min() and left.max() <= high + 1e-9
            widths.append(high - low)
        assert widths[-1] < 1e-2 * widths[0]


@pytest.mark.parametrize("world", [chain(6), grid(5), lake(4), garnet(40, 3, 4, 0)])
def test_a_policy_is_evaluated_as_by_dense_algebra(world: Process) -> None:
    rng = keyed("policy")
    policy = torch.randint(world.reward.shape[1], (len(world.reward),), generator=rng)
    found = evaluated(world, policy, 0.97, torch.zeros(len(policy), dtype=torch.float64), 1e-10)
    rows = np.arange(len(policy))
    chance = dense(world)[rows, policy.numpy()]
    paid = np.where(world.ended.numpy(), 0, world.reward.numpy()[rows, policy.numpy()])
    np.testing.assert_allclose(found.numpy(), np.linalg.solve(np.eye(len(rows)) - 0.97 * chance, paid), atol=1e-9)


def test_a_policy_that_goes_nowhere_is_evaluated_too() -> None:
    world = process([("a", "stay", "a", 1.0, 1.0), ("b", "stay", "b", 1.0, -2.0)], ["a", "b"], "a")
    value = evaluated(world, torch.zeros(2, dtype=torch.long), 0.9, torch.zeros(2, dtype=torch.float64))
    assert value.tolist() == pytest.approx([10.0, -20.0])


def test_equal_actions_do_not_take_turns() -> None:
    worth = torch.tensor([[1.0, 1.0 + 1e-13], [0.0, 1.0]], dtype=torch.float64)
    assert greedy(worth, torch.tensor([0, 0])).tolist() == [0, 1]
    assert greedy(worth).tolist() == [1, 1]


def test_outcomes_come_as_often_as_they_should() -> None:
    world = lake(4)
    n = 30_000
    state, action = torch.full((n,), 14), torch.full((n,), 2)  # beside the goal, to the right
    after = drawn(world, state, action, torch.rand(n, generator=keyed("often"), dtype=torch.float64))
    share = torch.bincount(after, minlength=16) / n
    assert share[[14, 15, 10]].tolist() == pytest.approx([1 / 3] * 3, abs=0.012)
    assert share.sum() == pytest.approx(1) and share[[14, 15, 10]].sum() == pytest.approx(1)
    ended = torch.tensor([15, 5])
    assert drawn(world, ended, torch.zeros(2, dtype=torch.long), torch.tensor([0.2, 0.9]).double()).tolist() == [15, 5]
    last = drawn(world, torch.tensor([14]), torch.tensor([2]), torch.tensor([1.0]).double())
    assert int(last) in (14, 15, 10), "what rounding leaves of 1 belongs to the last outcome"


@pytest.mark.parametrize(("side", "worth"), [(4, 0.5420), (8, 0.4146)])
def test_the_lake_is_gymnasiums(side: int, worth: float) -> None:
    """Its rules written out cell by cell: FrozenLake-v1, is_slippery; and the best values that courses print."""
    world, cells = lake(side), LAKES[side].split()
    chance, reward = np.zeros((side**2, 4, side**2)), np.zeros((side**2, 4))
    for r, c, action in itertools.product(range(side), range(side), range(4)):
        for b in ((action - 1) % 4, action, (action + 1) % 4) if cells[r][c] in "SF" else ():
            row, column = r, c
            if b == 0:
                column = max(c - 1, 0)
            elif b == 1:
                row = min(r + 1, side - 1)
            elif b == 2:
                column = min(c + 1, side - 1)
            else:
                row = max(r - 1, 0)
            chance[r * side + c, action, row * side + column] += 1 / 3
            reward[r * side + c, action] += (cells[row][column] == "G") / 3
    np.testing.assert_allclose(dense(world), chance, atol=1e-12)
    np.testing.assert_allclose(world.reward.numpy(), reward, atol=1e-12)
    assert float(iterated(world, 0.99)[0]) == pytest.approx(worth, abs=5e-5)


def test_known_worlds() -> None:
    free = iterated(grid(3, 0.0), 0.5)
    # without slip a cell at distance d is worth -(1 + g + ... + g^(d-1))
    assert free.view(3, 3)[0, 0].item() == pytest.approx(-sum(0.5**k for k in range(4)))
    assert free.view(3, 3)[2, 2].item() == 0


def test_both_ways_agree_and_trying_comes_near(tmp_path: Path) -> None:
    model, world, own, data = trained(tmp_path, world="lake", side=4, steps=3000)
    assert float((model.value - model.exact).abs().max()) < 1e-8
    np.testing.assert_allclose(model.exact.numpy(), iterated(world, own.discount).numpy(), atol=1e-8)
    (tmp_path / "less").mkdir()
    less = trained(tmp_path / "less", world="lake", side=4, steps=300)[0]
    apart = [float((one.learned.max(1).values - model.exact)[~world.ended].abs().max()) for one in (model, less)]
    assert apart[0] < apart[1] / 2, "ten times the outcomes come nearer"
    assert apart[0] < 0.1
    scores = page.score(own, model, data, Place(CPU, 0))
    assert scores["apart"].value < 1e-8
    found = scores["return"]
    assert found.low < 0.5420 < found.high and found.over == page.EPISODES
    assert 0 <= scores["lost"].value < 5


@pytest.mark.parametrize("world", ["chain", "grid", "garnet"])
def test_worlds_are_solved(world: str, tmp_path: Path) -> None:
    model, process, *_ = trained(tmp_path, world=world, states=25, steps=50, discount=0.95)
    assert float((model.value - model.exact).abs().max()) < 2e-9, "in float64 throughout"
    truth = iterated(process, 0.95, 2000)
    np.testing.assert_allclose(model.value.numpy(), truth.numpy(), atol=1e-8)
    np.testing.assert_allclose(model.exact.numpy(), truth.numpy(), atol=1e-8)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "taxi.csv"
    rows = [("home", "walk", "work", 1, -2), ("home", "drive", "work", 0.9, -1), ("home", "drive", "ditch", 0.1, -10),
            ("work", "rest", "home", 1, 3)]  # fmt: skip
    file.write_text(
        "State,Action,Next_State,Probability,Reward\n" + "".join(",".join(map(str, r)) + "\n" for r in rows)
    )
    world, sha = table(file)
    assert world.states == ("home", "work", "ditch") and world.actions == ("walk", "drive", "rest") and len(sha) == 64
    assert world.ended.tolist() == [False, False, True] and world.reward[0, 2] == NEVER
    place = Place(CPU, 0, choice=Choice(str(file)))
    own = page.Knobs(discount=0.9, steps=2000)
    data = page.prepare(own, place)
    model = page.build(own, data.facts)
    (tmp_path / "run").mkdir()
    with Run(tmp_path / "run", place, "exact") as run:
        page.train(own, model, data, run)
    # by hand: walking, home = -2 + 0.9 work, work = 3 + 0.9 home; driving, home = -1.9 + 0.81 work
    assert model.exact[0].item() == pytest.approx(max((-2 + 2.7) / (1 - 0.81), (-1.9 + 2.43) / (1 - 0.729)), abs=1e-8)
    policy = page.shown(model, world, data.facts, Memo(at=[], apart=[]))["policy"]
    assert [row[:2] for row in policy.cells] == [["home", "walk"], ["work", "rest"], ["ditch", None]]
    (home, over) = page.use(model, data.facts, [Text("home"), Text("ditch")])
    assert str(home["answer"]) == "walk" and [row[0] for row in home["worth"].cells] == ["walk", "drive"]
    assert str(over["answer"]) == "none: the episode is over"
    with pytest.raises(UserError, match=r"a state of taxi.csv, for example home, got 'hom'. Did you mean 'home'"):
        page.use(model, data.facts, [Text("hom")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state,action,next,reward\na,b,a,1\n", "a column 'chance', got state, action, next, reward in"),
        ("", "a table with a line of column names and rows"),
        ("s,a,s2,p,r\n", "a table with a line of column names and rows"),
        ("s,a,s2,p,r\na,b,a,x,1\n", "a chance and a reward as numbers, got 'x' and '1' in"),
        ("s,a,s2,p,r\na,b,a,1\n", "5 columns in each row, got 4 in"),
        ("s,a,s2,p,r\na,b,a,1.5,1\n", "a chance of 0 to 1, and a reward, got chance 1.5 and reward 1 in"),
        ("s,a,s2,p,r\n\na,b,a,1,nan\n", "x.csv line 3"),
        ("s,a,s2,p,r\na,b,a,0.5,1\n", "chances that sum to 1, got 0.5 for action 'b' in state 'a'"),
        (
            "s,a,s2,p,r\n" + "".join(f"{k},b,{k},1,0\n" for k in range(2001)),
            "at most 2,000 states and 100 actions, got 2,001 and 1 in",
        ),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(UserError) as found:
        table(file)
    assert message in str(found.value)
    told = {"a column": "Call them state, action, next, chance, reward.", "at most": "Give a smaller table."}
    assert next((do for want, do in told.items() if message.startswith(want)), "") in str(found.value)


def test_other_files(tmp_path: Path) -> None:
    for name, want in (("x.npz", "a table .* of columns state"), ("none.csv", "a table, got .*none.csv")):
        with pytest.raises(UserError, match=want):
            page.prepare(page.Knobs(), Place(CPU, 0, choice=Choice(str(tmp_path / name))))
    (tmp_path / "x.jsonl").write_text('{"state": 1, "action": "stay", "next": 1, "chance": 1, "reward": 2.5}\n')
    world, _ = table(tmp_path / "x.jsonl")
    assert world.states == ("1",) and world.reward.tolist() == [[2.5]]


def test_the_state_of_a_world_without_names() -> None:
    own = page.Knobs(world="garnet", states=20)
    data = page.prepare(own, Place(CPU, 0))
    model = page.build(own, data.facts)
    assert len(page.use(model, data.facts, [Text(" 19 ")])[0]["worth"].cells) == 4
    with pytest.raises(UserError, match="a state of garnet of 20 states"):
        page.use(model, data.facts, [Text("20")])


def test_training_tries_another_outcome_each_time() -> None:
    data = page.prepare(page.Knobs(world="lake", side=4), Place(CPU, 0))
    size = len(data.train)
    assert size == 44, "eleven cells from which one can go, four ways each"
    one, two = (data.train.batch(step, size) for step in (0, 1))
    again = page.prepare(page.Knobs(world="lake", side=4), Place(CPU, 0)).train.batch(1, size)
    assert all(torch.equal(x, y) for x, y in zip(two, again, strict=True))

    def after(batch: page.Outcomes) -> dict[tuple[int, int], int]:
        return {(s, a): n for s, a, n, _ in zip(*(f.tolist() for f in batch), strict=True)}

    assert after(one).keys() == after(two).keys() and after(one) != after(two)


def test_a_million_entries_stay_sparse() -> None:
    world = garnet(50_000, 4, 3, 0)
    value = torch.zeros(50_000, dtype=torch.float64)
    assert math.isfinite(float(backup(world, value, 0.9).sum())) and world.chance.values().numel() == 600_000
