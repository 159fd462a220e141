"""adversarial: its attack against closed forms, what its losses weigh, bounds that hold, what `use` and `score` say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.fit import evaluate
from milestones.core.run import Run
from milestones.core.source import Place
from milestones.data import Labelled
from milestones.media import Image
from milestones.parts.attack import Ball, fgsm
from milestones.parts.ensemble import Ensemble
from milestones.systems.adversarial import Knobs, Maxout, attacked, hardening, nets_of, smallest, system

PLACE = Place(torch.device("cpu"), 0)
SMALL = {"net": "convolution", "width": 4, "examples": 5}


class Now:
    """Stands for a run: the step alone is asked for."""

    def __init__(self, step: int = 0) -> None:
        self.step = step


def made(**settings: Any) -> tuple[Knobs, Any, Any]:
    knobs = changed(Knobs(), {**SMALL, **settings}, "adversarial")
    data = system.prepare(knobs, PLACE)
    torch.manual_seed(0)
    return knobs, data, system.build(knobs, data.facts).eval()


@pytest.fixture
def linear() -> nn.Module:
    """Two classes; the second is ahead by (w, x) of a picture x of four pixels."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.0, 0, 0, 0], [0.01, -0.02, 0.03, 0.0]]))
        net[1].bias.copy_(torch.tensor([0.0, -1.0]))
    return net


IMAGE = torch.tensor([[100.0, 50.0, 120.0, 7.0], [0.0, 255.0, 250.0, 3.0]]).view(2, 1, 2, 2)
LABEL = torch.tensor([1, 0])


def test_one_step_is_the_sign_of_the_weights(linear: nn.Module) -> None:
    """The picture of class 1 loses most where each pixel goes against its weight; at the border it stays."""
    x = attacked(linear, IMAGE, LABEL, 20.0)
    assert x.flatten(1).tolist() == [[80.0, 70.0, 100.0, 7.0], [20.0, 235.0, 255.0, 3.0]]
    assert torch.equal(x, fgsm(linear, IMAGE, LABEL, Ball("inf", 20.0, 0.0, 255.0)))


def test_many_steps_stay_in_the_cube_and_end_no_lower() -> None:
    _, data, model = made()
    image, label = data.test.batch(0, 40)
    size = torch.full((40, 1, 1, 1), 50.0)
    size[::2] = 10.0
    torch.manual_seed(1)
    x = attacked(model, image, label, size, 10, 0.25, 1.0)
    assert ((x - image).abs() <= size + 1e-3).all() and x.min() >= 0 and x.max() <= 255
    assert not x.requires_grad and all(p.grad is None for p in model.parameters())
    losses = [F.cross_entropy(model(one), label, reduction="none") for one in (image, x)]
    assert (losses[1] > losses[0]).float().mean() > 0.95


def test_attack_finds_its_gradient_where_there_is_none_kept(linear: nn.Module) -> None:
    want = attacked(linear, IMAGE, LABEL, 20.0)
    with torch.no_grad():
        assert torch.equal(attacked(linear, IMAGE, LABEL, 20.0), want)
    with torch.inference_mode():
        assert torch.equal(attacked(linear, IMAGE.clone(), LABEL.clone(), 20.0), want)


def test_smallest_change_of_a_linear_net(linear: nn.Module) -> None:
    """What it is ahead by, over the sum of the weights' sizes (Hoelder), as long as no pixel meets a border."""
    image = IMAGE[:1]
    ahead = 100 * 0.01 - 50 * 0.02 + 120 * 0.03 - 1
    size, x = smallest(linear, image, 12)
    assert float(size[0]) == pytest.approx(ahead / 0.06 / 255, abs=2e-3)
    assert int(linear(x).argmax()) == 0 != int(linear(image).argmax())
    assert float((x - image).abs().max()) <= 255 * float(size[0]) + 1e-3


def test_maxout_is_the_largest_of_five() -> None:
    torch.manual_seed(0)
    layer, x = Maxout(7, 3), torch.randn(4, 7)
    weight, bias, said = layer.linear.weight.detach(), layer.linear.bias.detach(), layer(x).detach()
    for n in range(4):
        for unit in range(3):
            values = [float(weight[5 * unit + k] @ x[n] + bias[5 * unit + k]) for k in range(5)]
            assert float(said[n, unit]) == pytest.approx(max(values), abs=1e-5)


def test_the_net_of_wong() -> None:
    model = system.build(system.presets["fast"], {"labels": list("0123456789"), "mean": 33.0, "spread": 79.0,
                                                  "channels": 1, "side": 28})  # fmt: skip
    shapes = [tuple(p.shape) for p in model.parameters() if p.dim() > 1]
    assert shapes == [(16, 1, 4, 4), (32, 16, 4, 4), (100, 1568), (10, 100)]
    assert sum(p.numel() for p in model.parameters()) == 166_406


@pytest.mark.parametrize("method", ["fgsm", "pgd", "bounds"])
def test_loss_weighs_plain_and_worst(method: str) -> None:
    knobs, data, model = made(method=method, plain=0.25, size=0.1)
    batch = data.valid.batch(0, 20)
    net = model.hardened
    found = {}
    for share in (0.0, 0.25, 1.0):
        torch.manual_seed(0)
        found[share] = hardening(knobs.model_copy(update={"plain": share}), Now(10**6))(net, batch)
    plain = F.cross_entropy(net(batch.image), batch.label)
    torch.testing.assert_close(found[1.0]["loss"], plain)
    assert found[0.0]["loss"] > plain
    torch.testing.assert_close(found[0.25]["loss"], 0.25 * plain + 0.75 * found[0.0]["loss"], rtol=1e-4, atol=1e-5)


def test_bounds_grow_in_training_and_are_whole_in_evaluation() -> None:
    knobs, data, model = made(method="bounds", plain=0.0, steps=100, growth=0.5)
    batch, net = data.valid.batch(0, 20), model.hardened
    plain = F.cross_entropy(net(batch.image), batch.label)
    net.train()
    at = {step: hardening(knobs, Now(step))(net, batch)["loss"] for step in (0, 25, 50, 99)}
    torch.testing.assert_close(at[0], plain)
    assert at[0] < at[25] < at[50]
    torch.testing.assert_close(at[50], at[99])
    net.eval()
    torch.testing.assert_close(hardening(knobs, Now(0))(net, batch)["loss"], at[99])


@pytest.mark.parametrize("method", ["fgsm", "pgd", "bounds"])
def test_loss_is_evaluated_without_gradients(method: str) -> None:
    """`fit` evaluates it under no_grad."""
    knobs, data, model = made(method=method)
    torch.manual_seed(0)
    terms = evaluate(model.hardened, hardening(knobs, Now()), data.valid)
    assert terms["error_changed"] > terms["error"] - 1
    assert all(p.grad is None for p in model.parameters())


def test_bounds_hold_for_what_an_attack_finds() -> None:
    knobs, data, model = made(method="bounds", plain=0.0, size=0.05)
    batch = data.valid.batch(0, 50)
    x = attacked(model, *batch, 0.05 * 255, 20, 0.1)
    worst = hardening(knobs, Now(10**6))(model.hardened, batch)["loss"]
    assert F.cross_entropy(model(x), batch.label) <= worst


def test_bounds_want_a_net_that_has_some() -> None:
    with pytest.raises(UserError, match="the net 'convolution' where the method is 'bounds', got net maxout"):
        made(method="bounds", net="maxout")


@pytest.fixture(scope="module")
def scored() -> tuple[Knobs, Any, Any, Any]:
    knobs, data, model = made(method="bounds")
    return knobs, data, model, system.score(knobs, model, data, PLACE)


def test_scores_say_what_was_done(scored: Any) -> None:
    knobs, data, _, scores = scored
    kinds = ["accuracy", "accuracy_fgsm", "accuracy_pgd", "accuracy_autoattack", "accuracy_certified"]
    assert list(scores) == [*kinds, *(f"standard_{kind}" for kind in kinds[:-1])]
    for name, one in scores.items():
        assert (one.unit, one.better) == ("%", "higher")
        assert one.over == (knobs.examples if name.endswith(("pgd", "autoattack")) else len(data.test))
        assert not one.comparable, "published on 60,000 training images"
    assert "Linf 0.25" in scores["accuracy_pgd"].note and "10 restarts" in scores["accuracy_pgd"].note
    assert scores["standard_accuracy_fgsm"].paper == 10.6


def test_nothing_that_is_certified_is_misled(scored: Any) -> None:
    scores = scored[3]
    assert scores["accuracy_certified"].value <= scores["accuracy_fgsm"].value <= 100


def test_scores_leave_the_net_as_it_was(scored: Any) -> None:
    knobs, data, model, scores = scored
    before = {name: value.clone() for name, value in model.state_dict().items()}
    again = system.score(knobs, model, data, PLACE)
    assert again == scores
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_an_ensemble_is_scored_as_one_net() -> None:
    knobs, data, one = made(standard_steps=0)
    both = Ensemble([one, made(standard_steps=0)[2]]).eval()
    assert list(nets_of(both)) == [""]
    assert list(system.score(knobs, both, data, PLACE)) == [
        "accuracy", "accuracy_fgsm", "accuracy_pgd", "accuracy_autoattack"]  # fmt: skip


def test_use_shows_the_smallest_change_for_both_nets() -> None:
    _, data, model = made()
    pictures = [Image(np.kron(data.valid.examples.image[k, 0].numpy(), np.ones((2, 2), np.uint8))) for k in range(3)]
    with torch.inference_mode():
        answers = system.use(model, data.facts, pictures)
        (alone,) = system.use(model, data.facts, pictures[1:2])
    assert len(answers) == 3
    for answer in answers:
        assert next(iter(answer)) == "answer"
        for name in ("", "standard_"):
            assert answer[f"{name}then_read_as"].best != answer[f"{name}answer"].best
            size = answer[f"{name}smallest_change"].value
            change = answer[f"{name}changed"].pixels.astype(float) - answer["seen"].pixels
            assert 0 < size < 1 and abs(change).max() <= 255 * size + 1
    assert alone["smallest_change"].value == pytest.approx(answers[1]["smallest_change"].value, abs=0.01)


def test_thresholds_start_at_even_levels() -> None:
    net = made(thresholds=3)[2].hardened
    level = torch.tensor([0.25, 0.5, 0.75]) * 255
    total = net[1](net[0](level.view(3, 1, 1, 1)))[:, :, 0, 0]  # B T: each unit's own level in turn
    torch.testing.assert_close(total.diagonal(), torch.zeros(3), atol=1e-5, rtol=0)
    assert (total - total.diagonal().diag()).abs().max() > 1e-3


def test_labels_given_decide_the_classes() -> None:
    batch = Labelled(torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]))
    net = system.build(Knobs(width=2), {"labels": ["a", "b"], "mean": 0.0, "spread": 1.0, "channels": 1, "side": 28})
    assert net(batch.image).shape == (2, 2)


@pytest.mark.parametrize("preset", system.presets)
def test_each_preset_trains_and_shows_its_pictures(preset: str, tmp_path: Path) -> None:
    plain = system.presets[preset]
    few = {"steps": 1, "standard_steps": min(1, plain.standard_steps), "batch": 4, "width": 4}
    knobs = changed(plain, few, "adversarial")
    data = system.prepare(knobs, PLACE)
    with Run(tmp_path, PLACE, "exact") as run:
        system.train(knobs, system.build(knobs, data.facts), data, run)
    shown = {file.stem.rpartition("-")[2] for file in (tmp_path / "shows").iterdir()}
    assert {"filters", "attacked", "sizes"} <= shown, shown
