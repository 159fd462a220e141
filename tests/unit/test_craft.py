"""The craft of training, each part against a reference: formulas in NumPy, a loop written out by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.fit import evaluate, fit
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place
from milestones.data import Labelled, Rows
from milestones.parts.layers import norm
from milestones.report.result import early
from milestones.systems import lenet, mlp, resnet

CPU = torch.device("cpu")
PICTURES = {"labels": list("0123456789"), "counts": [10] * 10, "channels": 1, "side": 28, "mean": 33.0, "spread": 78.0}
TABLE = {"kind": "table", "labels": list("abc"), "inputs": 4, "mean": [0.0] * 4, "spread": [2.0] * 4}
EPS = 1e-5  # added to variances
KINDS = ("batch", "layer", "group")


def made(page: Any, facts: dict[str, Any] = PICTURES, **settings: Any) -> Any:
    """The net that the page builds, its gains and shifts other than 1 and 0."""
    torch.manual_seed(0)
    net = page.build(changed(page.PRESETS["quick"], settings, "page"), facts)
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.GroupNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -1.0, 1.0)
    return net


def normalised(x: np.ndarray, over: tuple[int, ...]) -> np.ndarray:
    return (x - x.mean(over, keepdims=True)) / np.sqrt(x.var(over, keepdims=True) + EPS)


def reference(kind: str, x: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """In training, of "B D" or "B D H W": Ioffe & Szegedy's algorithm 1, Ba et al.'s (3), Wu & He's (7)."""
    B, D, *rest = x.shape
    if kind == "batch":
        found = normalised(x, (0, *range(2, x.ndim)))
    elif kind == "layer":
        found = normalised(x, tuple(range(1, x.ndim)))
    else:
        size = next(n for n in range(8, D + 1) if D % n == 0) if D > 8 else D
        found = normalised(x.reshape(B, D // size, -1), (2,)).reshape(x.shape)
    wide = (1, D, *[1] * len(rest))
    return found * gain.reshape(wide) + shift.reshape(wide)


def through(net: nn.Module, input: Tensor, layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """What goes into `layer` and comes out while `net` sees `input`."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, given, out: seen.extend((given[0].detach(), out.detach())))
    with torch.no_grad():
        net(input)
    handle.remove()
    return seen[0].double().numpy(), seen[1].double().numpy()


CASES = {
    "mlp": (mlp, {"hidden": [12, 24]}, 2),
    "lenet": (lenet, {}, 4),
    "resnet": (resnet, {"width": 16, "stem": "plain", "side": 28}, 7),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", CASES)
def test_normalisation_in_training_and_in_evaluation(page: str, kind: str) -> None:
    """Each layer of each page's net, on digits of noise."""
    module, settings, count = CASES[page]
    net = made(module, norm=kind, **settings)
    image = torch.randint(0, 256, (6, 1, 28, 28), dtype=torch.uint8)
    layers = [one for one in net.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm | nn.GroupNorm)]
    assert len(layers) == count
    for layer in layers:
        gain, shift = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        running = np.zeros(len(gain)), np.ones(len(gain))
        if kind == "batch":
            layer.reset_running_stats()
        net.train()
        given, out = through(net, image, layer)
        np.testing.assert_allclose(out, reference(kind, given, gain, shift), atol=2e-4)
        if kind == "batch":  # a tenth of the way to this batch's; the variance without bias
            axes, over = (0, *range(2, given.ndim)), given.size / given.shape[1]
            running = given.mean(axes) / 10, 0.9 + 0.1 * given.var(axes) * over / (over - 1)
            np.testing.assert_allclose(layer.running_mean, running[0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(layer.running_var, running[1], rtol=1e-4)
        net.eval()
        given, out = through(net, image, layer)
        if kind == "batch":
            wide = (1, -1, *[1] * (given.ndim - 2))
            mean, var, gain, shift = (one.reshape(wide) for one in (*running, gain, shift))
            np.testing.assert_allclose(out, (given - mean) / np.sqrt(var + EPS) * gain + shift, rtol=1e-3, atol=2e-4)
        else:
            np.testing.assert_allclose(out, reference(kind, given, gain, shift), atol=2e-4)


@pytest.mark.parametrize("width", [1, 4, 7, 8, 12, 16, 84, 101])
def test_groups_are_equal_and_never_of_one_unit_among_others(width: int) -> None:
    """One unit that is normalised by itself is 0."""
    layer = norm("group", width)
    assert isinstance(layer, nn.GroupNorm)
    size = width // layer.num_groups
    assert size * layer.num_groups == width and size >= min(8, width)


def test_layer_normalisation_of_vectors_is_pytorchs() -> None:
    x = torch.randn(5, 12)
    torch.testing.assert_close(norm("layer", 12)(x), nn.LayerNorm(12)(x))


@pytest.mark.parametrize("kind", ["layer", "group", "none"])
def test_an_example_is_normalised_without_its_batch(kind: str) -> None:
    for module, settings in ((mlp, {"hidden": [12]}), (lenet, {}), (resnet, {"width": 8, "side": 28})):
        net = made(module, norm=kind, **settings)
        image = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
        with torch.no_grad():
            torch.testing.assert_close(net(image)[:1], net(image[:1]), atol=1e-4, rtol=1e-4)


def test_a_batch_of_one_has_no_spread() -> None:
    for module in (mlp, lenet):
        with pytest.raises(
            UserError, match=r"two (images|examples) or more per update to normalise over, got --batch 1"
        ):
            made(module, norm="batch", batch=1)
        made(module, norm="layer", batch=1)


def test_patience_belongs_to_methods_that_look_at_batches() -> None:
    with pytest.raises(UserError, match=r"patience 0 where --tolerance ends it, got patience 4"):
        made(mlp, method="rprop", patience=4)


def test_blocks_without_normalisation_begin_as_the_identity_and_have_biases() -> None:
    x = torch.randn(4, 8, 6, 6).relu()
    block = resnet.Block(8, 8, 1, project=False, kind="none")
    assert torch.equal(block(x), x)
    assert block.conv1.bias is not None and resnet.Block(8, 8, 1, project=False).conv1.bias is None


def test_all_that_is_named_none_leaves_the_pages_as_they_were() -> None:
    """Names of tensors, so that weights of older runs fit."""
    assert list(made(mlp, hidden=[5]).state_dict()) == [
        f"layers.{k}.{name}" for k in (0, 1) for name in ("weight", "bias")
    ]
    numbers = [("features", k) for k in (1, 4)] + [("classifier", k) for k in (0, 2, 4)]
    assert list(made(lenet).state_dict()) == [f"{a}.{k}.{name}" for a, k in numbers for name in ("weight", "bias")]


# Dropout


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_dropout_keeps_the_mean_and_is_off_at_evaluation(rate: float) -> None:
    """Srivastava et al. (2014), section 10: what is kept is scaled up, so that nothing need be scaled later."""
    for module, settings, count in ((mlp, {"hidden": [64]}, 1), (lenet, {}, 2)):
        net, plain = made(module, dropout=rate, **settings), made(module, **settings)
        plain.load_state_dict(dict(zip(plain.state_dict(), net.state_dict().values(), strict=True)))
        image = torch.randint(0, 256, (500, 1, 28, 28), dtype=torch.uint8)
        layers = [one for one in net.modules() if isinstance(one, nn.Dropout)]
        assert len(layers) == count
        given, out = through(net.train(), image, layers[-1])
        kept = out != 0
        np.testing.assert_allclose(out[kept], given[kept] / (1 - rate), rtol=1e-5)
        assert abs(kept[given != 0].mean() - (1 - rate)) < 0.02
        assert abs(out.mean() - given.mean()) < 0.02 * np.abs(given).mean()
        with torch.no_grad():
            torch.testing.assert_close(net.eval()(image), plain.eval()(image))


# Label smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_label_smoothing_is_the_papers_formula(smoothing: float) -> None:
    """Szegedy et al. (2016), section 7: a target is 1 - e on its class, and e / K more on each; off at evaluation."""
    net = made(resnet, width=8, side=28, smoothing=smoothing)
    image, label = torch.randint(0, 256, (6, 1, 28, 28), dtype=torch.uint8), torch.arange(6)
    logits: list[np.ndarray] = []
    net.register_forward_hook(lambda _, __, out: logits.append(out.detach().double().numpy()))
    for mode, share in ((True, smoothing), (False, 0.0)):
        with torch.no_grad():
            found = resnet.loss(net.train(mode), Labelled(image, label))["loss"]
        log = logits[-1] - np.log(np.exp(logits[-1]).sum(1, keepdims=True))
        target = (1 - share) * np.eye(10)[label] + share / 10
        assert float(found) == pytest.approx(-(target * log).sum(1).mean(), rel=1e-5)


# Weight averaging and early stopping, of real pages


@pytest.fixture(autouse=True)
def short_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.core.plan.SECONDS", 0.0)
    torch.set_num_threads(1)


def rows(n: int, split: str, noise: float = 0.0) -> Held[Rows]:
    rng = torch.Generator().manual_seed(len(split))
    input = 2 * torch.randn(n, 4, generator=rng)
    label = (input[:, 0] + noise * torch.randn(n, generator=rng) > 0).long() + (input[:, 1] > 1).long()
    return Held(Rows(input, label), Place(CPU, 0), "made", split)


def test_the_mean_of_the_weights_is_the_running_mean(tmp_path: Path) -> None:
    """Polyak's mean, exponential: in NumPy, from the weights that the same training had after each step."""
    decay, steps, after = 0.9, 25, []
    ends = []
    for average in (None, decay):
        model, folder = made(mlp, TABLE, hidden=[6]), tmp_path / str(average)
        folder.mkdir()
        adam = torch.optim.Adam(model.parameters(), 0.02)
        before = [p.detach().double().numpy().copy() for p in model.parameters()]
        if average is None:
            adam.register_step_post_hook(
                lambda one, *_: after.append(
                    [p.detach().double().numpy().copy() for p in one.param_groups[0]["params"]]
                )
            )
        with Run(folder, Place(CPU, 0), "exact") as run:
            fit(model, mlp.loss, rows(64, "train"), run, steps=steps, batch=8, optimizer=adam, average=average)
        ends.append([p.detach().double().numpy() for p in model.parameters()])
    mean = before
    for step, now in enumerate(after):
        d = min(decay, (1 + step) / (10 + step))  # so that the starting weights are soon forgotten
        mean = [d * a + (1 - d) * b for a, b in zip(mean, now, strict=True)]
    for plain, averaged, last, ours in zip(*ends, after[-1], mean, strict=True):
        np.testing.assert_array_equal(plain, last)
        np.testing.assert_allclose(averaged, ours, atol=1e-6)


def trained(
    folder: Path, patience: int, steps: int = 2000
) -> tuple[Any, list[dict[str, Any]], list[dict[str, Tensor]]]:
    """A page's own training on few noisy rows, which it soon learns by heart; its log, and the weights it evaluated."""
    knobs = mlp.Knobs(hidden=(64,), steps=steps, batch=8, lr=0.02, decay=0, patience=patience, pipelines=False)
    data, kept = Data(rows(64, "train", 1.0), rows(200, "valid", 1.0), rows(200, "test"), TABLE), []
    torch.manual_seed(0)
    model = mlp.build(knobs, TABLE)

    def watched(net: Any, *rest: Any) -> dict[str, float]:
        kept.append(copy.deepcopy(net.state_dict()))
        return evaluate(net, *rest)

    with pytest.MonkeyPatch.context() as patch, Run(folder, Place(CPU, 0), "exact") as run:
        patch.setattr("milestones.core.fit.evaluate", watched)
        mlp.train(knobs, model, data, run)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return model, [line for line in lines if "valid_loss" in line], kept


def test_early_stopping_keeps_the_best_weights_and_says_so(tmp_path: Path) -> None:
    patience, every = 3, 50  # a fortieth of the updates
    model, lines, kept = trained(tmp_path, patience)
    losses = [line["valid_loss"] for line in lines]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + patience < 40, "it ends after three evaluations that were no better"
    end = every * len(losses)
    assert lines[-1]["step"] == end
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, kept[best][name])
    assert evaluate(model, mlp.loss, rows(200, "valid", 1.0))["loss"] == pytest.approx(losses[best], rel=1e-5)
    near = lines[best]["step"]  # of the log's window of four steps
    assert 0 <= near - every * (best + 1) < 4
    assert early({"patience": patience, "steps": 2000}, lines, end) == (
        f"early stopping: ended at step {end} of 2,000: no lower loss in 3 evaluations; the weights are those of the "
        f"lowest validation loss, {losses[best]:.4g} near step {near}"
    )
    assert "never ended it; the weights are those of" in early({"patience": 9, "steps": end}, lines, end)
    assert early({"patience": 0, "steps": 2000}, lines, end) == early({}, lines, end) == ""


def test_without_patience_it_runs_on(tmp_path: Path) -> None:
    model, lines, kept = trained(tmp_path, 0, 400)
    assert len(lines) == 40
    assert all(torch.equal(weight, kept[-1][name]) for name, weight in model.state_dict().items())


def test_the_modern_preset_moves_filters_by_muon() -> None:
    """Each step on the second filters has singular values near one, in units of its length."""
    torch.manual_seed(0)
    knobs = lenet.PRESETS["modern"]
    net = lenet.build(knobs, PICTURES)
    optimizer = lenet.METHODS[knobs.method](net.parameters(), knobs.lr)
    before = net.features[5].weight.detach().clone()
    image = torch.randint(0, 256, (16, 1, 28, 28), dtype=torch.uint8)
    lenet.loss(net, Labelled(image, torch.arange(16) % 10))["loss"].backward()
    optimizer.step()
    step = (net.features[5].weight.detach() - before).flatten(1) / (knobs.lr * 0.2 * 150**0.5)
    assert torch.allclose(torch.linalg.svdvals(step), torch.ones(16), atol=0.4)
