"""REINFORCE: its gradient is that of the exact return of a small process, by enumeration of all that may happen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from unit.finite import Finite

from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Place
from milestones.parts.decision import Process, evaluated
from milestones.systems import reinforce as page
from milestones.worlds.mdp import garnet, process

CPU = torch.device("cpu")
T = 3  # steps of an episode
TWO = process(
    [("a", "x", "a", 0.3, 1.0), ("a", "x", "b", 0.7, 1.0), ("a", "y", "b", 1.0, -2.0), ("b", "x", "a", 0.6, 0.5),
     ("b", "x", "b", 0.4, 0.5), ("b", "y", "a", 0.2, 3.0), ("b", "y", "b", 0.8, 3.0)],
    ["a", "b"], "a",
)  # fmt: skip
CHANCE = TWO.chance.to_dense().view(2, 2, 2)  # state, action, next


def actor(seed: int = 0, **knobs: Any) -> tuple[page.Actor, page.Knobs]:
    torch.manual_seed(seed)
    own = page.Knobs(hidden=(4,), discount=1.0, **knobs)
    model = page.build(own, Finite(TWO, 1, 0).facts)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.5 * torch.randn_like(weight))
    model.worth.update(torch.tensor([2.0, 5.0, 9.0]))  # a baseline that is not 0
    return model, own


@torch.no_grad()
def expected(model: page.Actor) -> float:
    """The exact mean return of T steps from the first state, backwards in time."""
    chance = model(torch.eye(2)).double().exp()
    value = torch.zeros(2, dtype=torch.float64)
    for _ in range(T):
        value = (chance * (TWO.reward + CHANCE @ value)).sum(1)
    return float(value[0])


@torch.no_grad()
def histories(model: page.Actor) -> Iterator[tuple[float, page.Episodes]]:
    """All episodes of T steps, with their chances."""
    policy = model(torch.eye(2)).double().exp()
    for actions in itertools.product(range(2), repeat=T):
        for states in itertools.product(range(2), repeat=T):
            path, p = [0, *states], 1.0
            for t, action in enumerate(actions):
                p *= float(policy[path[t], action] * CHANCE[path[t], action, path[t + 1]])
            if p == 0:
                continue
            state, action = torch.tensor(path), torch.tensor(actions)
            seen = torch.eye(2)[state][:, None]
            ended = torch.tensor([[False]] * (T - 1) + [[True]])
            reward = TWO.reward[state[:-1], action].float()[:, None]
            there = torch.ones(T, 1, dtype=torch.bool)
            yield p, page.Episodes(seen[:-1], action[:, None], reward, ended, ~there, seen[1:], there)


@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
def test_the_gradient_is_that_of_the_exact_return(baseline: str) -> None:
    model, own = actor(baseline=baseline)
    weights = [*model.policy.parameters(), *model.head.parameters()]
    total = 0.0
    for p, play in histories(model):
        loss = page.surrogate(model, page.judged(model, play, own), 0.0)["loss"]
        (-p * T * loss).backward()  # a mean over T steps, uphill
        total += p
    assert total == pytest.approx(1)
    start = [weight.detach().clone() for weight in weights]
    for seed in range(4):
        torch.manual_seed(seed)
        way = [torch.randn_like(weight) for weight in weights]
        slope = sum(float((weight.grad * d).sum()) for weight, d in zip(weights, way, strict=True))
        ends = []
        for side in (1, -1):
            with torch.no_grad():
                for weight, at, d in zip(weights, start, way, strict=True):
                    weight.copy_(at + side * 3e-3 * d)
            ends.append(expected(model))
        with torch.no_grad():
            for weight, at in zip(weights, start, strict=True):
                weight.copy_(at)
        assert slope == pytest.approx((ends[0] - ends[1]) / 6e-3, rel=5e-3, abs=5e-3)


def test_a_baseline_makes_it_less_noisy() -> None:
    """The variance of the gradient over all episodes, with the right values and without any."""
    spread = {}
    for baseline in ("none", "value"):
        model, own = actor(baseline=baseline)
        with torch.no_grad():  # a critic that knows: the exact values two steps before the end
            chance = model(torch.eye(2)).double().exp()
            value = torch.zeros(2, dtype=torch.float64)
            for _ in range(2):
                value = (chance * (TWO.reward + CHANCE @ value)).sum(1)
        model.foretold = lambda seen, value=value, model=model: (  # type: ignore[method-assign]
            (seen @ value.float() - model.worth.mean) / (model.worth.variance + 1e-8).sqrt()
        )
        weights = [*model.policy.parameters(), *model.head.parameters()]
        moments = [0.0, torch.zeros(sum(w.numel() for w in weights))]
        for p, play in histories(model):
            loss = page.surrogate(model, page.judged(model, play, own), 0.0)["loss"]
            grad = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
            moments = [moments[0] + p * float(grad.square().sum()), moments[1] + p * grad]
        spread[baseline] = moments[0] - float(moments[1].square().sum())
    assert spread["value"] < 0.7 * spread["none"]


def test_each_slot_counts_its_first_episode_alone() -> None:
    rows = [(s, a, t, p, 1.0) for s in "ab" for a in "xy" for t, p in ((s, 0.5), ("end", 0.5))]
    world = Finite(process(rows, ["a", "b", "end"], "a"), 20, 0)
    model = page.build(page.Knobs(hidden=(4,)), world.facts)
    torch.manual_seed(0)
    play = page.lived(model, world, 1000)
    length = play.there.sum(0)
    assert len(play.there) == int(length.max()) > int(length.min()) >= 1
    for n in range(20):
        last = int(length[n]) - 1
        assert play.there[: last + 1, n].all() and not play.there[last + 1 :, n].any()
        assert play.ended[last, n] and not play.ended[:last, n].any()
    rows = page.judged(model, play, page.Knobs(baseline="none", discount=1.0))
    assert len(rows.advantage) == int(length.sum())
    # each step pays 1, so the return to go is the number of steps that are left, itself included
    first = torch.zeros_like(play.there)
    first[0] = True
    torch.testing.assert_close(rows.advantage[first[play.there]], length.float())
    short = page.lived(model, Finite(garnet(3, 2, 2, 0), 5, 0), 7)
    assert short.there.all() and len(short.there) == 7, "one that never ends is cut"


def test_the_critic_stands_for_what_comes_after_a_cut(tmp_path: Path) -> None:
    """One action: what is foretold is the exact value of the endless process, though episodes are cut."""
    endless = garnet(5, 1, 3, 2)
    endless = endless._replace(reward=endless.reward + 2)
    exact = evaluated(endless, torch.zeros(5, dtype=torch.long), 0.8, torch.zeros(5, dtype=torch.float64))
    world = Finite(endless, 16, 0, 9)
    own = page.Knobs(batch=16, discount=0.8, trace=0.9, steps=80, value_steps=10, value_lr=5e-3, hidden=(16,))
    torch.manual_seed(0)
    model = page.build(own, world.facts)
    with Run(tmp_path, Place(CPU, 0), "contiguous/float32/1") as run:
        page.train(own, model, world, run)
    found = model.worth.back(model.foretold(torch.eye(5))).double().detach()
    assert float((found - exact).abs().max()) < 0.1 * float(exact.mean())


def best_first(world: Process) -> torch.Tensor:
    return world.reward.argmax(1)


@pytest.mark.parametrize("knobs", [{"baseline": "none"}, {"baseline": "mean"}, {"baseline": "value"}, {"trace": 0.0}])
def test_it_finds_what_pays(knobs: dict[str, Any], tmp_path: Path) -> None:
    """With a discount of 0 the best action is the one that pays most now."""
    bandit = garnet(4, 3, 2, 5)  # whose best actions pay clearly more
    world = Finite(bandit, 16, 0, 5)
    own = page.Knobs(batch=16, discount=0.0, steps=120, lr=2e-2, hidden=(16,), **knobs)
    torch.manual_seed(0)
    model = page.build(own, world.facts)
    with Run(tmp_path, Place(CPU, 0), "contiguous/float32/1") as run:
        page.train(own, model, world, run)
    assert torch.equal(model.act(torch.eye(4)), best_first(bandit))


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Finite(TWO, 1, 0).facts
    with pytest.raises(UserError, match="--baseline value where the trace is below 1: a critic, got --baseline mean"):
        page.build(page.Knobs(baseline="mean", trace=0.5), facts)
    world = Finite(TWO, 1, 0)
    world.facts["shape"] = [4, 84, 84]
    monkeypatch.setattr(page, "opened", lambda *_, **__: world)
    with pytest.raises(UserError, match=r"observations that are a vector, got 4 x 84 x 84 of pong. Take page ppo"):
        page.prepare(page.Knobs(world="pong"), Place(CPU, 0))
