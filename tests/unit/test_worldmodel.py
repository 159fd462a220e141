"""worldmodel: it learns a world whose law is known, plans in it, knows what it does not know, and resumes exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Place, keyed
from milestones.media.foretold import foretold, over_plane
from milestones.systems import worldmodel as page
from milestones.worlds.known import pendulum
from milestones.worlds.world import Outcome

CPU = torch.device("cpu")
FLOW = torch.tensor([[0.9, 0.2], [-0.1, 0.95]])
PUSH = torch.tensor([[0.0], [0.5]])
SMALL = {
    "steps": 250, "random": 60, "nets": 3, "hidden": [32], "updates": 8, "batch": 32, "lr": 5e-3, "candidates": 48,
    "elites": 8, "rounds": 2, "horizon": 6, "episodes": 4, "maze": False,
}  # fmt: skip


class Spiral:
    """s' = FLOW s + PUSH a of N points that start near a circle. It pays 1 - |s|^2 / 4 less a^2 / 10, with s from
    before the step; an episode is over beyond 3 from the middle, and cut after 20 steps. Discrete: a is -1 or 1."""

    def __init__(self, count: int = 1, seed: int = 0, discrete: bool = False) -> None:
        self.facts = {"kind": "world", "world": "Spiral", "shape": [2], "discrete": discrete, "actions": 1 + discrete,
                      "low": [-1.0], "high": [1.0], "labels": ["down", "up"]}  # fmt: skip
        self.seed, self.begun, self.age = seed, 0, torch.zeros(count, dtype=torch.long)
        self.observation = torch.stack([self._start() for _ in range(count)])

    def _start(self) -> Tensor:
        self.begun += 1
        angle = 2 * math.pi * torch.rand((), generator=keyed(self.seed, self.begun))
        return 1.5 * torch.stack([angle.cos(), angle.sin()])

    def step(self, action: Tensor) -> Outcome:
        push = 2.0 * action[:, None] - 1 if self.facts["discrete"] else action.clamp(-1, 1)
        reward = 1 - self.observation.square().sum(1) / 4 - push[:, 0].square() / 10
        final = self.observation @ FLOW.T + push @ PUSH.T
        self.age = self.age + 1
        ended = final.norm(dim=1) > 3
        cut = ~ended & (self.age >= 20)
        over = ended | cut
        self.age[over] = 0
        self.observation = torch.stack([self._start() if over[k] else final[k] for k in range(len(final))])
        return Outcome(reward, ended, cut, final)

    def fresh(self, count: int, seed: int) -> Spiral:
        return Spiral(count, seed, self.facts["discrete"])

    def close(self) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {"begun": self.begun, "age": self.age, "observation": self.observation}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.begun, self.age, self.observation = state["begun"], state["age"].clone(), state["observation"]


class Stopped(Run):
    """A run that somebody stops after so many steps."""

    most = 10**9

    def log(self, **numbers: float | Tensor) -> None:
        super().log(**numbers)
        if self.step + 1 >= self.most:
            self.ended = "stopped"


def knobs_of(**more: Any) -> page.Knobs:
    return changed(page.Knobs(), {**SMALL, **more}, "worldmodel")


def trained(folder: Path, most: int = 10**9, discrete: bool = False, **more: Any) -> tuple[page.WorldModel, Spiral]:
    knobs, world, place = knobs_of(**more), Spiral(discrete=discrete), Place(CPU, 0)
    folder.mkdir(exist_ok=True)
    with Stopped(folder, place, "contiguous/float32/1") as run:
        run.most = most
        run.seed("build")
        model = page.WorldModel(knobs, world.facts)
        page.train(knobs, model, world, run)
    return model, world


@pytest.fixture(scope="module", autouse=True)
def short_measure() -> Iterator[None]:
    """Ways of running the model are timed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("milestones.core.plan.SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[page.WorldModel, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return trained(folder)[0], folder


def tried(world: Spiral, steps: int = 60) -> page.Steps:
    """Steps of a fresh world by actions at random, "1 B ...": none of them was learned from."""
    rows, rng = [], keyed("tried")
    for _ in range(steps):
        before, action = world.observation, 2 * torch.rand(len(world.observation), 1, generator=rng) - 1
        came = world.step(action)
        rows.append(page.Steps(before, action, came.final, came.reward, came.ended, torch.ones(len(before), 3)))
    return page.Steps(*(torch.cat(field)[None] for field in zip(*rows, strict=True)))


def foreseen(model: page.WorldModel, steps: page.Steps) -> Tensor:
    """The mean of the nets, in the world's own measure."""
    mean, _ = model(steps.observation.expand(3, -1, -1), steps.action.expand(3, -1, -1))
    return mean.mean(0) * model.change + model.usual


@torch.no_grad()
def test_a_linear_law_is_learned(whole: tuple[page.WorldModel, Path]) -> None:
    model, steps = whole[0], tried(Spiral(4, seed=7))
    off = foreseen(model, steps) - page.told(steps)[0]
    usual = page.told(steps)[0].std(0)
    share = off.square().mean(0).sqrt() / usual
    assert (share[:2] < 0.05).all(), "of both changes"
    # The reward bends, and far from the middle only the first, random, steps were seen.
    assert share[2] < 0.35
    assert off.mean(0).abs().max() < 0.05


@torch.no_grad()
def test_it_knows_what_it_does_not_know(whole: tuple[page.WorldModel, Path]) -> None:
    model, steps = whole[0], tried(Spiral(4, seed=7))
    near = model.apart(steps.observation[0]).mean()
    far = model.apart(steps.observation[0] * 5).mean()
    assert far > 4 * near


@torch.no_grad()
def test_plans_are_worth_more_than_chance(whole: tuple[page.WorldModel, Path]) -> None:
    """Against all constant pushes and against chance, over whole episodes."""

    def worth(act: Callable[[Tensor], Tensor]) -> float:
        world = Spiral(40, seed=9)
        return sum(float(world.step(act(world.observation)).reward.mean()) for _ in range(20))

    rng = keyed("chance")
    chance = worth(lambda seen: 2 * torch.rand(len(seen), 1, generator=rng) - 1)
    still = worth(lambda seen: torch.zeros(len(seen), 1))
    gain = torch.linalg.solve(torch.eye(1) * 0.4 + PUSH.T @ PUSH, PUSH.T @ FLOW)  # of one step ahead, exact
    one_ahead = worth(lambda seen: (-seen @ gain.T).clamp(-1, 1))
    ours = worth(whole[0].act)
    assert ours > still + 0.5 > chance
    assert ours > one_ahead - 0.5


def test_discrete_actions_are_planned_too(tmp_path: Path) -> None:
    model, _ = trained(tmp_path, discrete=True, steps=200)

    def worth(act: Callable[[Tensor], Tensor]) -> float:
        world = Spiral(40, 9, discrete=True)
        return sum(float(world.step(act(world.observation)).reward.mean()) for _ in range(20))

    action = model.act(torch.zeros(3, 2))
    assert action.shape == (3,) and action.dtype == torch.long
    assert worth(model.act) > worth(lambda seen: torch.randint(2, (len(seen),), generator=keyed("chance"))) + 0.5


def test_a_greedy_plan_is_always_the_same(whole: tuple[page.WorldModel, Path]) -> None:
    model = whole[0]
    seen = torch.randn(6, 2, generator=keyed("seen"))
    torch.manual_seed(0)
    one = model.act(seen)
    torch.manual_seed(1)
    assert torch.equal(one, model.act(seen))
    assert torch.allclose(one[2:3], model.act(seen[2:3]), atol=1e-3), "whatever is planned beside it"
    torch.manual_seed(0)
    first = model.act(seen, greedy=False)
    assert not torch.equal(first, model.act(seen, greedy=False))
    torch.manual_seed(0)
    assert torch.equal(first, model.act(seen, greedy=False)), "its noise is the global generator's"
    assert one.shape == (6, 1) and one.abs().max() <= 1


@torch.no_grad()
def test_what_is_imagined_is_what_the_nets_say(whole: tuple[page.WorldModel, Path],
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Step by step, by hand: two places, three sequences, two particles a net, half of the paths end at each step."""
    model = whole[0]
    monkeypatch.setattr(model, "particles", 2)
    monkeypatch.setattr(model, "discount", 0.9)
    monkeypatch.setattr(type(model), "ending", lambda self, x: torch.zeros(x.shape[:2]))
    start, action = torch.randn(2, 2, generator=keyed("a")), 2 * torch.rand(2, 3, 4, 1, generator=keyed("b")) - 1
    noise = torch.randn(4, 3, 2, 1, 3, generator=keyed("c"))  # H E K 1 M
    found = list(model.imagine(start, action, keyed("c")))
    worth = torch.zeros(2, 3)
    for n in range(2):
        for p in range(3):
            for e in range(3):
                for k in range(2):
                    x = start[n]
                    for t in range(4):
                        mean, log_variance = model(x.expand(3, 1, -1), action[n, p, t].expand(3, 1, -1))
                        told = mean[e, 0] + (log_variance[e, 0] / 2).exp() * noise[t, e, k, 0]
                        moved = told * model.change + model.usual
                        x = x + moved[:2]
                        b = k * 6 + n * 3 + p
                        assert torch.allclose(found[t].observation[e, b], x, atol=1e-4)
                        assert torch.allclose(found[t].alive[e, b], torch.tensor(0.5**t))
                        worth[n, p] += 0.45**t * moved[2] / 6
    assert torch.allclose(model.worth(start, action, keyed("c")), worth, atol=1e-3)


def test_the_loss_is_the_papers() -> None:
    """Against NumPy: surprisal of the scaled targets by the bootstrap's weights, and that of the end."""
    torch.manual_seed(0)
    model = page.WorldModel(knobs_of(), Spiral().facts)
    steps = tried(Spiral(4, seed=3), 4)
    batch = page.Steps(*(field.expand(3, *field.shape[1:]) for field in steps[:5]),
                       torch.poisson(torch.ones(3, 16)))  # fmt: skip
    model.measure(page.Steps(*(field[0] for field in steps)))
    with torch.no_grad():
        found = page.loss(model, batch)
        mean, log_variance = (x.double().numpy() for x in model(batch.observation, batch.action))
        logit = model.ending(batch.next).double().numpy()
    true = page.told(steps)[0].double().numpy()
    true = (true - true.mean(0)) / true.std(0)
    variance, weight = np.exp(log_variance), batch.weight.double().numpy()
    each = 0.5 * ((mean - true) ** 2 / variance + log_variance + math.log(2 * math.pi)).mean(-1)
    change = (each * weight).sum() / weight.sum()
    ended = batch.ended.numpy()
    end = (-np.where(ended, np.log(1 / (1 + np.exp(-logit))), np.log(1 / (1 + np.exp(logit)))) * weight).sum()
    assert float(found["change"]) == pytest.approx(change, rel=1e-4)
    assert float(found["end"]) == pytest.approx(end / weight.sum(), rel=1e-4)
    assert float(found["loss"]) == pytest.approx(change + end / weight.sum() + 0.01 * 3 * 10.5, rel=1e-4)


def test_each_net_sees_its_own_bootstrap_sample() -> None:
    from milestones.core.state import Memo

    torch.manual_seed(0)
    rows = torch.arange(5.0)
    memo = Memo(observation=rows[:, None], action=rows[:, None], next=rows[:, None], reward=rows, ended=rows > 3,
                weight=rows[:, None] + torch.tensor([0.0, 0.25]))  # fmt: skip
    batch = page.batch_of(memo, 4, 200, CPU)
    assert batch.reward.shape == batch.weight.shape == (2, 200) and batch.observation.shape == (2, 200, 1)
    assert torch.equal(batch.weight, batch.reward + torch.tensor([[0.0], [0.25]]))
    assert batch.reward.unique().tolist() == [0, 1, 2, 3], "of the first four rows"
    assert not torch.equal(batch.reward[0], batch.reward[1])


def test_its_figures_are_those_of_what_was_seen() -> None:
    model = page.WorldModel(knobs_of(), Spiral().facts)
    steps = page.Steps(*(field[0] for field in tried(Spiral(4, seed=3), 5)))
    model.measure(steps)
    seen = torch.cat([steps.observation, steps.next])
    assert torch.allclose(model.mean, seen.mean(0)) and torch.allclose(model.usual, page.told(steps).mean(0))
    assert torch.allclose(model.spread, seen.std(0, unbiased=False))
    low, high = seen.amin(0), seen.amax(0)
    assert torch.allclose(model.most - model.least, 3 * (high - low)) and torch.allclose(model.least, 2 * low - high)
    one = page.Steps(*(field[:1] for field in steps))
    model.measure(one)
    assert torch.equal(model.change, torch.ones(3)) and not model.usual.any(), "one step has no spread"
    assert (model.spread > 0.01).all(), "but what was seen before and after it has"


def test_actions_are_encoded() -> None:
    free, choice = (page.WorldModel(knobs_of(), Spiral(discrete=d).facts) for d in (False, True))
    free.low, free.high = torch.tensor([-2.0]), torch.tensor([6.0])
    assert free.encoded(torch.tensor([[-2.0], [2.0], [6.0]])).tolist() == [[-1], [0], [1]]
    assert choice.encoded(torch.tensor([1, 0])).tolist() == [[0, 1], [1, 0]]
    drawn = torch.cat([free.at_random() for _ in range(200)])
    assert -2 <= float(drawn.min()) < -1 and 5 < float(drawn.max()) <= 6
    assert {int(choice.at_random()) for _ in range(30)} == {0, 1}


@pytest.mark.parametrize("most", [1, 30, 70])
def test_stopped_and_resumed_bit_for_bit(tmp_path: Path, most: int) -> None:
    """While actions are drawn, and while they are planned; in the middle of an episode."""
    short = {"steps": 100, "updates": 2, "random": 40, "rounds": 1}
    one, _ = trained(tmp_path / "whole", **short)
    trained(tmp_path / "halves", most, **short)
    two, _ = trained(tmp_path / "halves", **short)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "halves")]
    logs = [[line.split('"seconds"')[0] + line.split(",", 3)[3] for line in lines] for lines in logs]
    assert logs[0] == logs[1]


def test_pictures(whole: tuple[page.WorldModel, Path]) -> None:
    names = sorted(file.name.split("-")[-1] for file in (whole[1] / "shows").iterdir())
    assert names == ["drift.json", "imagined_1.json", "imagined_2.json", "unsure.json"]
    lines = (whole[1] / "log.jsonl").read_text().splitlines()
    assert sum('"return"' in line for line in lines) >= 250 // 20
    assert all('"loss"' in line and '"surprise"' in line for line in lines)


def test_what_was_foretold() -> None:
    """Two paths that are 1 off on either side of the truth, and one episode that ends after two of four steps."""
    true = torch.zeros(4, 2, 3)
    paths = torch.stack([true + 1, true - 1], 1) + torch.tensor([0.0, 2.0]).view(1, 1, 2, 1)
    there = torch.tensor([[1, 1], [1, 1], [0, 1], [0, 0]]).bool()
    found = foretold(paths, true, there, torch.full((3,), 2.0))
    drift = found["drift"]
    assert list(drift.x) == [1, 2, 3], "nothing is left of the fourth step"
    assert drift.lines["error"] == pytest.approx([0.5**0.5, 0.5**0.5, 1.0])
    assert drift.lines["how far the paths are apart"] == pytest.approx([0.5] * 3)
    assert {name: list(line) for name, line in found["imagined_3"].lines.items()} == {
        "real": [0, 0], "imagined, mean": [0, 0], "lowest path": [-1, -1], "highest path": [1, 1]}  # fmt: skip
    ways = {"real": true[:, 0]}
    surface = over_plane(lambda at: at[:, 1] + 10 * at[:, 2], torch.tensor([9.0, 1.0, 2.0]), torch.ones(3), ways, 3)
    assert surface["unsure"].window == (-3, 5, -2, 6)
    assert surface["unsure"].values.tolist() == [[-23, -19, -15], [17, 21, 25], [57, 61, 65]]
    assert over_plane(lambda at: at, torch.ones(1), torch.ones(1), {}) == {}


def test_the_pendulums_reward() -> None:
    seen = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
    found = pendulum(seen, torch.tensor([[0.0], [1.0], [-2.0]]))
    want = [0.0, -(math.pi**2 + 0.4 + 0.001), -((math.pi / 2) ** 2 + 0.1 + 0.004)]
    assert found.tolist() == pytest.approx(want, rel=1e-5)


def test_known_rewards_are_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(page.REWARDS, "Spiral", lambda observation, action: observation[..., 0] + 100 * action[..., 0])
    model = page.WorldModel(knobs_of(reward="known"), Spiral().facts)
    start, action = torch.tensor([[2.0, 0.0]]), torch.full((1, 1, 1, 1), 0.5)
    (at,) = model.imagine(start, action, keyed("x"))
    assert torch.equal(at.reward, torch.full((3, 1), 52.0))


def test_worlds_that_it_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"shape": [4, 84, 84], "world": "pong"}
    monkeypatch.setattr(page, "opened", lambda *_, **__: SimpleNamespace(facts=facts))
    with pytest.raises(UserError, match=r"seen as a list of numbers, got 4 x 84 x 84 in pong. Train ppo or dqn on it"):
        page.prepare(knobs_of(world="pong"), Place(CPU, 0))
    facts.update(shape=[4], world="CartPole-v0")
    page.prepare(knobs_of(), Place(CPU, 0))
    want = r"--reward known with Pendulum-v1, got CartPole-v0, whose reward is not written down here. Take --reward lea"
    with pytest.raises(UserError, match=want):
        page.prepare(knobs_of(reward="known"), Place(CPU, 0))


def test_its_score_is_of_fresh_episodes(whole: tuple[page.WorldModel, Path]) -> None:
    knobs, world = knobs_of(), Spiral(1, seed=5)
    before = world.state_dict()
    one, two = (page.score(knobs, whole[0], world, Place(CPU, 0))["return"] for _ in range(2))
    assert one == two and one.over == 4 and one.low <= one.value <= one.high
    assert torch.equal(world.observation, before["observation"]), "the training's own is not stepped"
