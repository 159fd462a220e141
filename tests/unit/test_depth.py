"""depth: the wave against its definition, Telgarsky's net, equal weights, what starts do, and what `use` says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Place
from milestones.media import Image
from milestones.parts.initial import lsuv
from milestones.systems.depth import STARTS, Knobs, by_hand, count, points, spreads, stack, system, wave, within

PLACE = Place(torch.device("cpu"), 0)
SMALL = {"layers": (1, 3), "weights": 900, "start_layers": 12}


def made(**settings: Any) -> tuple[Knobs, Any, Any]:
    knobs = changed(Knobs(), {**SMALL, **settings}, "depth")
    data = system.prepare(knobs, PLACE)
    torch.manual_seed(0)
    return knobs, data, system.build(knobs, data.facts)


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_wave_goes_up_and_down(folds: int) -> None:
    corners = torch.arange(2**folds + 1) / 2**folds
    assert wave(corners, folds).tolist() == [k % 2 for k in range(2**folds + 1)]
    middles = (corners[1:] + corners[:-1]) / 2
    assert torch.allclose(wave(middles, folds), torch.full_like(middles, 0.5)), "straight between them"


@pytest.mark.parametrize("folds", [1, 3, 6, 10])
def test_units_set_by_hand_are_the_wave(folds: int) -> None:
    net, x = by_hand(folds), torch.rand(1000, 1)
    with torch.inference_mode():
        assert torch.allclose(net(x)[:, 0], wave(x[:, 0], folds), atol=1e-3)
    assert count(net) == 4 + 6 * (folds - 1) + 3


def test_one_layer_has_a_kink_a_unit_and_no_more() -> None:
    """So it needs 2^m - 1 units for the wave."""
    torch.manual_seed(0)
    net, x = within(31, 1, 1, 1, "full").double(), torch.linspace(-50, 50, 400001, dtype=torch.float64)[:, None]
    with torch.inference_mode():
        slope = net(x)[:, 0].diff() / x[:, 0].diff()
    places = (slope.diff().abs() > 1e-6).nonzero().flatten()
    assert 1 + int((places.diff() > 2).sum()) <= 10  # a kink between two points shows twice


def test_points_are_apart_by_split() -> None:
    parts = [set(points(Knobs(), PLACE, split).examples.x.flatten().tolist()) for split in ("train", "valid", "test")]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


@pytest.mark.parametrize("kind", ["convolution", "full"])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_within_is_the_widest_that_fits(kind: str, depth: int) -> None:
    inputs = 1 if kind == "convolution" else 784
    net = within(5000, inputs, depth, 10, kind)
    width = next(p for p in net.parameters()).shape[0]
    assert count(net) <= 5000 < count(stack(inputs, depth, width + 1, 10, kind))
    image = torch.randn(3, 1, 28, 28)
    assert net(image).shape == (3, 10)


def test_too_few_weights() -> None:
    with pytest.raises(UserError, match=r"enough weights for 2 layers, got at most 100, where one unit a layer takes"):
        within(100, 784, 2, 10, "full")


def test_layers_named_twice_are_one_net() -> None:
    model = made(layers=(3, 1, 3))[2]
    assert list(model.pictures) == list(model.waves) == ["1", "3"]


def test_spreads_by_start() -> None:
    _, data, model = made()
    image = data.train.batch(0, 300).image
    lsuv(model.starts["lsuv"], image)
    ends = {name: line[-1] for name, line in spreads(model, image).lines.items()}
    assert ends.keys() == STARTS.keys()
    assert ends["lsuv"] == pytest.approx(1, abs=1e-3)
    assert ends["small"] < 1e-2 * ends["he"] < ends["he"] < 1e-2 * ends["large"]
    assert ends["glorot"] < 0.2 * ends["he"]


def test_small_and_large_are_he_scaled() -> None:
    nets = {}
    for name in ("he", "small", "large"):
        torch.manual_seed(3)
        STARTS[name](net := nn.Linear(5, 4))
        nets[name] = net.weight.detach()
    assert torch.allclose(nets["small"] * 2, nets["he"]) and torch.allclose(nets["large"] / 2, nets["he"])


def test_use_says_what_each_net_says_the_deepest_first() -> None:
    _, data, model = made()
    picture = Image(np.kron(data.valid.examples.image[0, 0].numpy(), np.ones((2, 2), np.uint8)))
    with torch.inference_mode():
        (answer,) = system.use(model, data.facts, [picture])
    assert list(answer) == ["answer", "3 hidden", "1 hidden", "seen"]
    assert answer["answer"] == answer["3 hidden"]


def test_other_pictures_can_be_learned_from(tmp_path: Path) -> None:
    """Three classes of the user's own, connected fully."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", image=(rng.random((60, 28, 28)) * 80 * (1 + label[:, None, None])).astype(np.uint8),
             label=label)  # fmt: skip
    place = PLACE._replace(choice=PLACE.choice._replace(data=str(tmp_path / "mine.npz")))
    knobs = changed(Knobs(), {**SMALL, "layer": "full", "steps": 2, "wave_steps": 2, "start_steps": 2, "batch": 8},
                    "depth")  # fmt: skip
    data = system.prepare(knobs, place)
    model = system.build(knobs, data.facts)
    folder = tmp_path / "run"
    folder.mkdir()
    with Run(folder, place, plan="exact") as run:
        system.train(knobs, model, data, run)
    scores = system.score(knobs, model, data, place)
    assert list(scores) == ["error", "layers_1_error", "layers_1_wave_rmse", "layers_3_wave_rmse"]
    assert all(math.isfinite(score.value) for score in scores.values())
    assert {path.name.split("-")[-1] for path in (folder / "shows").iterdir()} == {
        "learning.json", "nets.json", "starts.json", "spreads.json", "wave.json"}  # fmt: skip
