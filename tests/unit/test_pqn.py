"""PQN: its loss against NumPy, its targets against a plain loop, its values against exact ones; killed and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from unit.finite import Finite
from unit.killed import Killed, dying, save_every

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.plan import Plan
from milestones.core.run import Run
from milestones.core.source import Place
from milestones.core.state import Memo
from milestones.parts.decision import Process, backup
from milestones.systems import pqn as page
from milestones.worlds.mdp import garnet, grid

CPU = torch.device("cpu")


FACTS = {"shape": [5], "discrete": True, "actions": 3}
SCREEN = {"shape": [4, 84, 84], "discrete": True, "actions": 6, "stack": 4}


def knobs_of(**settings: Any) -> page.Knobs:
    return changed(page.Knobs(), settings, "pqn")


def shaken(knobs: page.Knobs, facts: dict[str, Any] = FACTS) -> page.Values:
    """A net of any weights, its figures of what is seen at random."""
    torch.manual_seed(0)
    model = page.build(knobs, facts)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    if model.seen is not None:
        model.seen.update(torch.randn(50, *facts["shape"]) * 2 + 1)
    return model


def worth_of(model: page.Values, observation: torch.Tensor) -> np.ndarray:
    """Q in NumPy, from the weights alone: each layer's sums to mean 0 and spread 1, then a gain and a shift."""
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    x = observation.double().numpy()
    x = np.clip((x - weights["seen.mean"]) / np.sqrt(weights["seen.variance"] + 1e-8), -10, 10)
    for k in range(1, 7, 3):  # linear, norm, unit; twice
        x = x @ weights[f"layers.{k}.weight"].T + weights[f"layers.{k}.bias"]
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        x = np.maximum(x * weights[f"layers.{k + 1}.weight"] + weights[f"layers.{k + 1}.bias"], 0)
    return x @ weights["actions.weight"].T + weights["actions.bias"]


def test_the_loss_is_that_of_numpy() -> None:
    model, rng = shaken(knobs_of(hidden=[7, 6])), np.random.default_rng(1)
    seen = torch.from_numpy(rng.standard_normal((40, 5)).astype(np.float32))
    action, target = rng.integers(0, 3, 40), rng.standard_normal(40).astype(np.float32)
    terms = page.loss(model, page.Moments(seen, torch.from_numpy(action), torch.from_numpy(target)))
    worth = worth_of(model, seen)
    total = sum(0.5 * (target[b] - worth[b, action[b]]) ** 2 for b in range(40)) / 40
    assert float(terms["loss"].detach()) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("clipped", [False, True])
def test_targets_are_those_of_a_plain_loop(clipped: bool) -> None:
    knobs = knobs_of(rollout=11, together=6, trace=0.7, discount=0.9, clipped=clipped, hidden=[9])
    process = grid(3)._replace(reward=grid(3).reward * 1.7)
    world, twin = (Finite(process, 6, 1, limit=4) for _ in range(2))
    model, memo = shaken(knobs, world.facts), Memo(so_far=torch.zeros(6))
    model.chance.fill_(0.5)
    torch.manual_seed(2)
    moments, returns = page.lived(model, world, knobs, Plan(), memo)
    actions, seen = moments.action.view(11, 6), [twin.observation]
    outcomes = []
    for t in range(11):
        outcomes.append(twin.step(actions[t]))
        seen.append(twin.observation)
    assert torch.equal(moments.observation.view(11, 6, -1), torch.stack(seen[:-1]))
    kinds = {"ended": 0, "cut": 0, "on": 0}
    for n in range(6):
        target = 0.0
        for t in reversed(range(11)):
            reward, ended, cut, final = (field[n] for field in outcomes[t])
            paid = float(reward.clamp(-1, 1) if clipped else reward)
            best = float(model(final[None]).detach().max())
            trace = 0.0 if ended or cut or t == 10 else 0.7
            after = 0.0 if ended else (1 - trace) * best + trace * target
            kinds["ended" if ended else "cut" if cut else "on"] += 1
            target = paid + 0.9 * after
            assert float(moments.target.view(11, 6)[t, n]) == pytest.approx(target, rel=1e-4, abs=1e-5)
    assert min(kinds.values()) > 0, kinds
    sums = [float(sum(o.reward[n] for o in outcomes)) for n in range(6)]
    assert float(returns.sum() + memo.so_far.sum()) == pytest.approx(sum(sums), rel=1e-5)


def exact(process: Process, discount: float) -> torch.Tensor:
    value = torch.zeros(len(process.reward), dtype=torch.float64)
    for _ in range(600):
        value = torch.where(process.ended, 0.0, backup(process, value, discount).max(1).values)
    return backup(process, value, discount)


@pytest.mark.parametrize("limit", [0, 4])
def test_values_come_near_the_exact_ones(limit: int, tmp_path: Path) -> None:
    """With targets of one step, which random actions do not touch; and no matter whether time runs out."""
    process = garnet(8, 3, 2, 1)
    knobs = knobs_of(discount=0.8, trace=0.0, explore=0.5, steps=100, rollout=16, batch=256, lr=5e-3, hidden=[64])
    world = Finite(process, knobs.together, 3, limit)
    torch.manual_seed(0)
    model, truth = page.build(knobs, world.facts), exact(process, 0.8)
    with Run(tmp_path, Place(CPU, 0), "exact") as run:
        page.train(knobs, model, world, run)
    far = (model(torch.eye(8)).detach().double() - truth).abs()
    spread = float(truth.max() - truth.min())
    assert float(far.max()) < 0.12 * spread and float(far.mean()) < 0.04 * spread


def test_killed_and_resumed_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(folder: Path, die_at: int = -1) -> dict[str, torch.Tensor]:
        knobs = knobs_of(steps=12, rollout=5, together=8, batch=16, hidden=[16])
        world = dying(Finite(garnet(6, 3, 2, 0), 8, 0, limit=7), die_at)
        torch.manual_seed(0)
        model = page.build(knobs, world.facts)
        folder.mkdir(exist_ok=True)
        with Run(folder, Place(CPU, 0), "exact") as one:
            page.train(knobs, model, world, one)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = run(tmp_path / "whole")
    save_every(2, monkeypatch)
    for die_at in (3, 23, 41, 58):
        with pytest.raises(Killed):
            run(tmp_path / "killed", die_at)
    found = run(tmp_path / "killed")
    assert all(torch.equal(found[name], value) for name, value in whole.items())


def test_what_a_screen_is_looked_at_with() -> None:
    model = page.build(page.PRESETS["paper"], SCREEN)
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(nn.GroupNorm) == 4, "each layer is normalised"
    assert not any(isinstance(layer, nn.GroupNorm) for layer in page.build(knobs_of(normal="none"), FACTS).layers)
    screen = torch.randint(256, (2, 4, 84, 84), dtype=torch.uint8)
    assert model(screen).shape == (2, 6) and model.act(screen).shape == (2,)
    with pytest.raises(UserError, match=r"a world seen as pictures of 36 pixels a side or more, for --net nature"):
        page.build(knobs_of(net="nature"), FACTS)


def test_random_actions() -> None:
    knobs = knobs_of(steps=100, decay=0.2, explore=0.1)
    assert [page.random_share(knobs, step) for step in (0, 10, 20, 99)] == pytest.approx([1, 0.55, 0.1, 0.1])
    model = shaken(knobs_of(tested=0.25))
    seen = torch.randn(1, 5).expand(20_000, 5)
    best = int(model(seen[:1]).argmax())
    model.chance.fill_(0.6)
    torch.manual_seed(0)
    for greedy, chance in ((True, 0.25), (False, 0.6)):
        share = float((model.act(seen, greedy) == best).float().mean())
        assert share == pytest.approx(1 - chance + chance / 3, abs=0.015)
