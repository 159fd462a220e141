"""PPO: its loss against one written in NumPy; its values and policies against exact solutions, cut or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from unit.finite import Finite

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.plan import Plan
from milestones.core.run import Run
from milestones.core.source import Place, keyed
from milestones.parts.decision import Process, backup, evaluated
from milestones.systems import ppo as page
from milestones.worlds.mdp import chain, garnet

CPU = torch.device("cpu")
DISCRETE = {"shape": [3], "discrete": True, "actions": 4}
NUMBERS = {"shape": [3], "discrete": False, "actions": 2, "low": [-2.0, -1.0], "high": [2.0, 1.0]}
SCREEN = {"shape": [4, 84, 84], "discrete": True, "actions": 6}


def agent(facts: dict[str, Any], seed: int = 0, **knobs: Any) -> page.Agent:
    """A small net, its weights and running means at random, so that no term of the loss is 0."""
    torch.manual_seed(seed)
    model = page.build(page.Knobs(hidden=(5,), **knobs), facts)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.4 * torch.randn_like(weight))
    model.seen.update(torch.randn(50, 3) * 2 + 1)
    return model


def batch_of(model: page.Agent, rows: int = 40, seed: int = 0) -> page.Steps:
    """Steps whose chances under the old policy are so far from the new ones that some are clipped on either side."""
    torch.manual_seed(seed)
    observation = torch.randn(rows, 3)
    with torch.no_grad():
        policy, _ = model(observation)
        action = model.head.draw(policy)
        chance = model.head.chance(policy, action) + 0.3 * torch.randn(rows)
    return page.Steps(observation, action, chance, torch.randn(rows), torch.randn(rows))


def by_numpy(weights: dict[str, np.ndarray], batch: page.Steps, knobs: page.Knobs) -> dict[str, float]:
    """The paper's objective in float64, from the weights alone."""
    x, action, old, advantage, target = (field.double().numpy() for field in batch)
    x = np.clip((x - weights["seen.mean"]) / np.sqrt(weights["seen.variance"] + 1e-8), -10, 10)

    def layer(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    out = layer(np.tanh(layer(x, "actor.1")), "head.out")
    value = layer(np.tanh(layer(x, "critic.1")), "value")[:, 0]
    if "head.spread" in weights:
        spread = np.exp(weights["head.spread"])
        density = np.exp(-(((action - out) / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi))
        new = np.log(density).sum(1)
        entropy = np.log(spread * np.sqrt(2 * np.pi * np.e)).sum()
    else:
        chances = np.exp(out - out.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        new = np.log(chances[np.arange(len(x)), action.astype(int)])
        entropy = float(np.mean([-sum(p * np.log(p) for p in row) for row in chances]))
    gain, clipped, kl = 0.0, 0, 0.0
    for k in range(len(x)):
        ratio = np.exp(new[k] - old[k])
        held = max(1 - knobs.clip, min(1 + knobs.clip, ratio))
        gain += min(ratio * advantage[k], held * advantage[k]) / len(x)
        clipped += held != ratio
        kl += (ratio - 1 - np.log(ratio)) / len(x)
    miss = float(np.mean((value - target) ** 2))
    return {"loss": knobs.value * miss - gain - knobs.entropy * entropy, "miss": miss, "entropy": float(entropy),
            "kl": kl, "clipped": 100 * clipped / len(x)}  # fmt: skip


@pytest.mark.parametrize("facts", [DISCRETE, NUMBERS], ids=["discrete", "continuous"])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_the_paper(facts: dict[str, Any], seed: int) -> None:
    knobs = page.Knobs(clip=0.2, entropy=0.03, value=0.7)
    model = agent(facts, seed)
    batch = batch_of(model, seed=seed)
    found = page.surrogate(model, batch, knobs)
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    want = by_numpy(weights, batch, knobs)
    assert found.keys() == want.keys()
    for name, value in want.items():
        assert float(found[name].detach()) == pytest.approx(value, rel=1e-4, abs=1e-5), name
    assert 5 < want["clipped"] < 95


@pytest.mark.parametrize("facts", [DISCRETE, NUMBERS], ids=["discrete", "continuous"])
def test_its_gradient_is_the_slope_of_that(facts: dict[str, Any]) -> None:
    """Along some directions in the space of weights, by finite differences in float64."""
    knobs = page.Knobs(clip=0.2, entropy=0.03, value=0.7)
    model = agent(facts, 5)
    batch = batch_of(model, seed=5)
    page.surrogate(model, batch, knobs)["loss"].backward()
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    rng = np.random.default_rng(0)
    for _ in range(4):
        way = {name: rng.normal(size=p.shape) for name, p in model.named_parameters()}
        slope = sum(float((p.grad.double().numpy() * way[name]).sum()) for name, p in model.named_parameters())
        ends = [by_numpy({**weights, **{n: weights[n] + s * 1e-6 * d for n, d in way.items()}}, batch, knobs)["loss"]
                for s in (1, -1)]  # fmt: skip
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=2e-3, abs=1e-4)


def test_nothing_is_paid_beyond_the_clip() -> None:
    """Where the chance has risen enough, more of it has no gradient; where it should not have, it has."""
    knobs = page.Knobs(clip=0.2, value=1e-9)
    for advantage, moves in ((1.0, False), (-1.0, True)):
        model = agent(DISCRETE)
        batch = batch_of(model)
        with torch.no_grad():
            now = model.head.chance(model(batch.observation)[0], batch.action)
        batch = batch._replace(chance=now - 0.5, advantage=torch.full_like(now, advantage))
        page.surrogate(model, batch, knobs)["loss"].backward()
        assert (float(model.head.out.weight.grad.abs().max()) > 1e-6) == moves


def test_a_rollout_says_what_was_played() -> None:
    world = Finite(garnet(6, 3, 2, 0), 8, 0, limit=4)
    model = page.build(page.Knobs(hidden=(5,)), world.facts)
    first = world.observation
    torch.manual_seed(0)
    play = page.rollout(model, world, 10, Plan())
    assert torch.equal(play.observation[0], first)
    over = play.ended | play.cut
    assert over.any() and not over.all()
    goes_on = ~over[:-1]
    assert torch.equal(play.final[:-1][goes_on], play.observation[1:][goes_on])
    policy, _ = model(play.observation.flatten(0, 1))
    chance = model.head.chance(policy, play.action.flatten()).detach()
    torch.testing.assert_close(play.chance.flatten(), chance)
    torch.testing.assert_close(play.value.flatten(), model.foretold(play.observation.flatten(0, 1)).detach())
    rows = page.judged(model, play, page.Knobs())
    assert float(rows.advantage.mean()) == pytest.approx(0, abs=1e-5)
    assert float(rows.advantage.std(correction=0)) == pytest.approx(1, abs=1e-4)


def trained(world: Finite, folder: Path, **knobs: Any) -> page.Agent:
    own = changed(page.Knobs(together=world.count, batch=256, hidden=(32,), lr=3e-3, epochs=4), knobs, "ppo")
    torch.manual_seed(0)
    model = page.build(own, world.facts)
    folder.mkdir(exist_ok=True)
    with Run(folder, Place(CPU, 0), "contiguous/float32/1") as run:
        page.train(own, model, world, run)
    return model


def every_state(process: Process) -> torch.Tensor:
    return torch.eye(len(process.ended))


def solved(process: Process, discount: float) -> torch.Tensor:
    value = torch.zeros(len(process.reward), dtype=torch.float64)
    for _ in range(2000):
        value = torch.where(process.ended, 0.0, backup(process, value, discount).max(1).values)
    return value


@pytest.mark.parametrize("limit", [0, 4])
def test_values_are_those_of_the_chain(limit: int, tmp_path: Path) -> None:
    """With one action there is nothing to decide: what is foretold is the exact value, though no episode is longer than
    four steps. Were time taken for an end, no value would exceed four steps' rewards."""
    process = garnet(6, 1, 3, 1)
    process = process._replace(reward=process.reward + 2)
    exact = evaluated(process, torch.zeros(6, dtype=torch.long), 0.8, torch.zeros(6, dtype=torch.float64))
    assert float(exact.min()) > 10
    model = trained(Finite(process, 32, 0, limit), tmp_path, discount=0.8, trace=0.8, steps=60, rollout=16)
    found = model.foretold(every_state(process)).double().detach()
    led_to = process.chance.to_dense().sum(0) > 0.2  # the others are seen at the beginning of an episode alone
    if limit:
        assert float((found - exact).abs().max()) < 0.06 * float(exact.mean())
    assert float((found - exact)[led_to].abs().max()) < 0.03 * float(exact.mean())


@pytest.mark.parametrize("limit", [0, 6])
def test_the_policy_is_the_best_one(limit: int, tmp_path: Path) -> None:
    """A chain in which only the far end pays much: the best values and actions, as value iteration finds them."""
    process = chain(5)
    exact = solved(process, 0.9)
    world = Finite(process, 32, 0, limit)
    model = trained(world, tmp_path, discount=0.9, trace=0.9, steps=60, rollout=16)
    assert torch.equal(model.act(every_state(process)), backup(process, exact, 0.9).argmax(1))
    found = model.foretold(every_state(process)).double().detach()
    assert float((found - exact).abs().max()) < 0.12 * float(exact.max())


def test_actions_are_greedy_or_drawn() -> None:
    model = agent(DISCRETE)
    observation = torch.randn(500, 3, generator=keyed("act"))
    policy, _ = model(observation)
    assert torch.equal(model.act(observation), policy.argmax(1))
    torch.manual_seed(0)
    assert 0 < int((model.act(observation, greedy=False) != policy.argmax(1)).sum()) < 500
    numbers = agent(NUMBERS)
    means, _ = numbers(observation)
    torch.testing.assert_close(numbers.act(observation), means.detach() * torch.tensor([2.0, 1.0]))


def test_pictures_get_a_net_for_pictures() -> None:
    model = page.build(page.Knobs(), SCREEN)
    assert model.seen is None and model.critic is None
    policy, value = model(torch.zeros(2, 4, 84, 84, dtype=torch.uint8))
    assert policy.shape == (2, 6) and value.shape == (2,)
    large = page.build(page.Knobs(net="nature"), SCREEN)
    assert sum(p.numel() for p in large.parameters()) == 1_684_128 + 513 * 7
    flat = page.build(page.Knobs(net="mlp", hidden=(4,)), SCREEN)
    assert flat(torch.zeros(2, 4, 84, 84, dtype=torch.uint8))[0].shape == (2, 6)


@pytest.mark.parametrize("facts", [DISCRETE, {**SCREEN, "shape": [3, 84, 30]}])
def test_a_net_that_cannot_look(facts: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"a world seen as pictures of 36 pixels a side or more, for --net nature, got"):
        page.build(page.Knobs(net="nature"), facts)
