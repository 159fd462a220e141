"""DQN: its loss against one in NumPy; its target network; its values against exact ones; killed, with its replay."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from unit.finite import Finite
from unit.killed import Killed, dying, save_every

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Place
from milestones.parts.decision import Process, backup
from milestones.systems import dqn as page
from milestones.worlds import replay
from milestones.worlds.mdp import garnet, grid
from milestones.worlds.replay import Lived

CPU = torch.device("cpu")


FACTS = {"shape": [5], "discrete": True, "actions": 3}
SCREEN = {"shape": [4, 84, 84], "discrete": True, "actions": 6, "stack": 4}


def knobs_of(**settings: Any) -> page.Knobs:
    return changed(page.Knobs(), settings, "dqn")


def nets(knobs: page.Knobs, facts: dict[str, Any] = FACTS, count: int = 2) -> list[page.Values]:
    """Nets of any weights, their figures of what is seen at random, so that no part of the loss is 0."""
    torch.manual_seed(0)
    found = [page.build(knobs, facts) for _ in range(count)]
    with torch.no_grad():
        for model in found:
            for weight in model.parameters():
                weight.add_(0.4 * torch.randn_like(weight))
            if model.seen is not None:
                model.seen.update(torch.randn(50, 5) * 2 + 1)
    return found


def moments(ahead: int, rows: int = 60) -> Lived:
    """Moments of which some end, some sooner than `ahead` steps later; with errors beyond 1 on either side."""
    rng = np.random.default_rng(1)
    steps = rng.integers(1, ahead + 1, rows)
    reward = np.where(np.arange(ahead) < steps[:, None], 2 * rng.standard_normal((rows, ahead)), 0)
    return Lived(
        torch.from_numpy(rng.standard_normal((rows, 5)).astype(np.float32)),
        torch.from_numpy(rng.integers(0, 3, rows)), torch.from_numpy(reward.astype(np.float32)),
        torch.from_numpy(steps), torch.from_numpy(rng.standard_normal((rows, 5)).astype(np.float32)),
        torch.from_numpy(rng.random(rows) < 0.3), torch.from_numpy(rng.random(rows).astype(np.float32)),
        torch.arange(rows),
    )  # fmt: skip


def worth_of(model: page.Values, observation: torch.Tensor) -> np.ndarray:
    """Q in NumPy, from the weights alone."""
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    x = observation.double().numpy()
    x = np.clip((x - weights["seen.mean"]) / np.sqrt(weights["seen.variance"] + 1e-8), -10, 10)
    for name in sorted({name.rsplit(".", 1)[0] for name in weights if name.startswith("features.")}):
        x = np.maximum(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"], 0)
    added = x @ weights["actions.weight"].T + weights["actions.bias"]
    if "state.weight" not in weights:
        return added
    return x @ weights["state.weight"].T + weights["state.bias"] + added - added.mean(1, keepdims=True)


def by_numpy(model: page.Values, frozen: page.Values, batch: Lived, knobs: page.Knobs) -> tuple[float, list[float]]:
    """The loss, and the errors, moment by moment."""
    now, after, chosen = (worth_of(model, batch.observation), worth_of(frozen, batch.following),
                          worth_of(model, batch.following))  # fmt: skip
    total, errors = 0.0, []
    for b in range(len(batch.action)):
        target = 0.0
        for k in range(int(batch.steps[b])):
            reward = float(batch.reward[b, k])
            target += knobs.discount**k * (max(-1.0, min(1.0, reward)) if knobs.clipped else reward)
        if not batch.ended[b]:
            best = int(np.argmax(chosen[b] if knobs.double else after[b]))
            target += knobs.discount ** int(batch.steps[b]) * after[b, best]
        error = target - now[b, int(batch.action[b])]
        size = abs(error)
        total += (
            float(batch.weight[b])
            * (0.5 * size**2 if size < (d := knobs.straight) else d * (size - d / 2))
            / len(batch.action)
        )
        errors.append(error)
    return total, errors


@pytest.mark.parametrize(
    "settings", [{}, {"double": True}, {"duelling": True}, {"ahead": 3, "straight": 0.5}, {"clipped": True, "ahead": 2},
                 {"double": True, "duelling": True, "ahead": 4, "surprise": 0.6, "discount": 0.9}],
)  # fmt: skip
def test_the_loss_is_that_of_numpy(settings: dict[str, Any]) -> None:
    knobs = knobs_of(hidden=[7, 6], **settings)
    model, frozen = nets(knobs)
    batch = moments(knobs.ahead)
    terms, errors = page.loss(model, frozen, batch, knobs)
    total, each = by_numpy(model, frozen, batch, knobs)
    assert float(terms["loss"].detach()) == pytest.approx(total, rel=1e-5)
    assert errors.tolist() == pytest.approx(each, rel=1e-4, abs=1e-4)
    assert min(each) < -1 and max(each) > 1 and min(map(abs, each)) < 1, "both parts of the loss are tried"


def test_the_slope_is_the_clipped_error_and_none_goes_into_the_target() -> None:
    knobs = knobs_of(hidden=[7])
    model, frozen = nets(knobs)
    batch = moments(1)
    terms, errors = page.loss(model, frozen, batch, knobs)
    terms["loss"].backward()
    slope = torch.zeros(3).index_add(0, batch.action, -batch.weight * errors.clamp(-1, 1) / len(errors))
    assert model.actions.bias.grad.tolist() == pytest.approx(slope.tolist(), rel=1e-4, abs=1e-6)
    assert all(weight.grad is None for weight in frozen.parameters())


@pytest.mark.parametrize("target", [5, 0])
def test_the_target_network_stands_still_between_copies(
    target: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    inner = page.loss

    with Run(tmp_path, Place(CPU, 0), "exact") as run:

        def loss(model: page.Values, frozen: page.Values, batch: Lived, knobs: page.Knobs) -> Any:
            seen.append((run.step, model.actions.weight.detach().clone(), frozen.actions.weight.detach().clone()))
            return inner(model, frozen, batch, knobs)

        monkeypatch.setattr(page, "loss", loss)
        knobs = knobs_of(frozen=target, steps=30, batch=8, start=40, together=8, hidden=[8])
        world = Finite(garnet(6, 3, 2, 0), 8, 0)
        model = page.build(knobs, world.facts)
        start = model.actions.weight.detach().clone()
        run.measure(model, lambda twin, _: twin.actions.weight.sum(), 8)  # so that no loss is tried in the training
        page.train(knobs, model, world, run)
    assert [step for step, *_ in seen] == list(range(4, 30)), "the first update comes after 40 moments"
    held = start
    for (step, now, frozen), (_, after, _) in itertools.pairwise([*seen, (30, model.actions.weight, start)]):
        assert torch.equal(frozen, held if target else now), step
        if target and (step + 1) % target == 0:
            held = after.detach()


def test_random_actions_become_fewer() -> None:
    knobs = knobs_of(steps=1000, decay=0.2, explore=0.1)
    assert [page.random_share(knobs, step) for step in (0, 100, 200, 999)] == pytest.approx([1, 0.55, 0.1, 0.1])
    assert page.random_share(knobs_of(decay=0.0), 0) == 1 and page.random_share(knobs_of(decay=0.0), 1) < 0.051
    (model,) = nets(knobs_of(tested=0.25), count=1)
    seen = torch.randn(1, 5).expand(20_000, 5)
    best = int(model(seen[:1]).argmax())
    model.chance.fill_(0.6)
    torch.manual_seed(0)
    for greedy, chance in ((True, 0.25), (False, 0.6)):
        share = float((model.act(seen, greedy) == best).float().mean())
        assert share == pytest.approx(1 - chance + chance / 3, abs=0.015)
    model.tested = 0.0
    assert set(model.act(seen).tolist()) == {best}


def exact(process: Process, discount: float) -> torch.Tensor:
    """What the actions are worth under the best policy: S A."""
    value = torch.zeros(len(process.reward), dtype=torch.float64)
    for _ in range(600):
        value = torch.where(process.ended, 0.0, backup(process, value, discount).max(1).values)
    return backup(process, value, discount)


def learned(process: Process, folder: Path, limit: int = 0, **settings: Any) -> torch.Tensor:
    """What a net comes to say the actions are worth: S A."""
    knobs = knobs_of(**{"discount": 0.8, "steps": 800, "batch": 64, "lr": 3e-3, "hidden": [64], "explore": 0.5,
                        "frozen": 25,
                        "replay": 20_000, **settings})  # fmt: skip
    world = Finite(process, knobs.together, 3, limit)
    torch.manual_seed(0)
    model = page.build(knobs, world.facts)
    folder.mkdir(exist_ok=True)
    with Run(folder, Place(CPU, 0), "exact") as run:
        page.train(knobs, model, world, run)
    assert not list((folder / "state").glob("*.ring")), "the memory is gone with the end of the training"
    return model(torch.eye(len(process.reward))).detach().double()


@pytest.mark.parametrize("settings", [{"double": True, "duelling": True}, {"surprise": 0.6}, {"limit": 4}])
def test_values_come_near_the_exact_ones(settings: dict[str, Any], tmp_path: Path) -> None:
    """Episodes that are cut after four steps change nothing: what follows is still worth something."""
    process = garnet(8, 3, 2, 1)
    truth = exact(process, 0.8)
    found = learned(process, tmp_path, **settings)
    spread = float(truth.max() - truth.min())
    assert float((found - truth).abs().max()) < 0.12 * spread
    assert float((found - truth).abs().mean()) < 0.04 * spread


def test_values_where_episodes_end(tmp_path: Path) -> None:
    process = grid(3, 0.0)
    truth, there = exact(process, 0.8), ~process.ended
    found = learned(process, tmp_path)
    assert float((found - truth)[there].abs().max()) < 0.2
    assert torch.equal(found[there].argmax(1)[-2:], truth[there].argmax(1)[-2:])


@pytest.mark.parametrize(
    ("settings", "slack"), [({}, 60), ({"ahead": 3, "surprise": 0.6, "double": True}, 60), ({"replay": 0}, 60),
                            ({"frozen": 0}, 2000)],
)  # fmt: skip
def test_killed_and_resumed_to_the_same_bits(
    settings: dict[str, Any], slack: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "SLACK", slack)
    saves: list[int] = []

    def run(folder: Path, die_at: int = -1) -> dict[str, torch.Tensor]:
        knobs = knobs_of(steps=120, batch=16, start=64, together=8, hidden=[16], **{"replay": 200, **settings})
        world = dying(Finite(garnet(6, 3, 2, 0), 8, 0, limit=7), die_at)
        torch.manual_seed(0)
        model = page.build(knobs, world.facts)
        folder.mkdir(exist_ok=True)
        with Run(folder, Place(CPU, 0), "exact") as one:
            keep = one._save

            def save(*words: Any, **named: Any) -> None:
                saves.append(one.step)
                keep(*words, **named)

            one._save = save  # type: ignore[method-assign]
            page.train(knobs, model, world, one)
        return {name: value.clone() for name, value in model.state_dict().items()}

    save_every(0, monkeypatch)
    whole = run(tmp_path / "whole")
    assert (len(saves) > 5) == (slack == 60), "a memory whose slack is used up asks for a save"
    save_every(9, monkeypatch)
    for die_at in (5, 61, 62, 99, 119):
        with pytest.raises(Killed):
            run(tmp_path / "killed", die_at)
    found = run(tmp_path / "killed")
    assert all(torch.equal(found[name], value) for name, value in whole.items())
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    told = [[line.split(", ", 3)[1::2] for line in log] for log in logs]  # without the stage and the seconds
    assert told[0] == told[1]


def test_what_a_screen_is_looked_at_with() -> None:
    model = page.build(page.PRESETS["paper"], SCREEN)
    assert sum(p.numel() for p in model.parameters()) == 1_687_206  # Nature's, with six actions
    screen = torch.randint(256, (2, 4, 84, 84), dtype=torch.uint8)
    assert model(screen).shape == (2, 6) and model.act(screen).shape == (2,)
    with pytest.raises(UserError, match=r"a world seen as pictures of 36 pixels a side or more, for --net nature"):
        page.build(knobs_of(net="nature"), FACTS)
    with pytest.raises(UserError, match=r"got observations of 4 x 19 x 19\. Take --net mlp"):
        page.build(knobs_of(net="small"), {**SCREEN, "shape": [4, 19, 19]})


def test_a_training_that_would_never_learn() -> None:
    with pytest.raises(UserError, match="an update before the steps are over, got 1,000 moments before the first one"):
        page.build(knobs_of(steps=50), FACTS)
    assert page.first_update(knobs_of(start=0, ahead=3)) == 4
    page.build(knobs_of(steps=63), FACTS)
