"""Lorenz's equations and the nets that imitate them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data.orbits import DT, lorenz, own
from milestones.media import Series
from milestones.parts.lorenz import LYAPUNOV, horizon, on_attractor, slope, stepped, trajectories
from milestones.systems.dynamics import Forecasters, Knobs, loss_of, system


def place(path: Path | str = "", split: str = "") -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(path), "", split))


def test_the_method_is_of_fourth_order() -> None:
    start = on_attractor(torch.Generator().manual_seed(0), 4, 0.02)
    fine = start
    for _ in range(64):
        fine = stepped(fine, 0.08 / 64)
    errors = []
    for parts in (1, 2, 4):
        state = start
        for _ in range(parts):
            state = stepped(state, 0.08 / parts)
        errors.append(float((state - fine).norm()))
    assert 10 < errors[0] / errors[1] < 40 and 10 < errors[1] / errors[2] < 40, "halved steps, a sixteenth of the error"
    assert torch.allclose((stepped(start, 1e-6) - start) / 1e-6, slope(start), rtol=1e-3)


def test_errors_grow_with_the_exponent_that_is_assumed() -> None:
    """Benettin's way: two near states, pulled together again after each step."""
    one = on_attractor(torch.Generator().manual_seed(1), 20, 0.02)
    two, grown, steps = one + 1e-9 / 3**0.5, torch.zeros(20).double(), 6000
    for step in range(steps):
        one, two = stepped(one, 0.01), stepped(two, 0.01)
        far = (two - one).norm(dim=1, keepdim=True)
        grown += far[:, 0].log() - np.log(1e-9) if step >= 500 else 0
        two = one + (two - one) * (1e-9 / far)
    assert float(grown.mean()) / ((steps - 500) * 0.01) == pytest.approx(LYAPUNOV, abs=0.02)


def test_horizon_by_hand() -> None:
    truth = torch.zeros(3, 5, 2)
    forecast = truth.clone()
    forecast[0, 2:, 0] = 10.0
    forecast[1, 4] = torch.nan
    assert horizon(forecast, truth, torch.tensor([2.0, 1.0])).tolist() == [2, 4, 5]
    assert horizon(forecast, truth, torch.tensor([20.0, 1.0])).tolist() == [5, 4, 5], (
        "10 is half a spread of one channel"
    )


def test_each_training_piece_is_a_trajectory_and_x_can_be_all() -> None:
    data = lorenz(place(), 20, 30, only_x=False)
    batch = data.train.batch(0, 8).series
    assert batch.shape == (8, 31, 3)
    again = trajectories(batch[:, 0].double(), 31, DT)
    assert torch.allclose(again.float(), batch, atol=1e-2)
    assert torch.equal(lorenz(place(), 20, 30, only_x=True).train.batch(0, 8).series, batch[..., :1])
    assert data.facts["lyapunov_steps"] * DT * LYAPUNOV == pytest.approx(1)


def test_a_free_run_reads_what_it_says() -> None:
    """Step by step it is the net asked about the whole of what it has said."""
    torch.manual_seed(0)
    data = lorenz(place(), 20, 30, only_x=False)
    model = Forecasters(Knobs(width=5), data.facts).eval()
    for net in model.of.values():
        torch.nn.init.normal_(net.out.weight, std=0.3)
        past = next(data.valid.sweep(2)).series[:, :9]
        with torch.no_grad():
            run, whole = net.freely(past, 4), past
            for step in range(4):
                whole = torch.cat([whole, net(whole)[:, -1:]], 1)
                assert torch.allclose(run[:, step], whole[:, -1], atol=1e-3)


def test_a_perfect_net_has_no_loss() -> None:
    data = lorenz(place(), 20, 30, only_x=False)
    net = Forecasters(Knobs(width=5, beside=False), data.facts).of["lstm"]
    batch = data.train.batch(0, 4)
    assert float(loss_of(net, batch)["loss"].detach()) == pytest.approx(1, abs=0.5), "it says that nothing changes"
    true = batch.series.diff(dim=1) * net.normalise.scale / net.change
    net.moved = lambda series: true  # type: ignore[method-assign]
    assert float(loss_of(net, batch)["loss"].detach()) == 0
    assert torch.allclose(net(batch.series[:, :-1]), batch.series[:, 1:], atol=1e-4)


def wave(path: Path, steps: int = 2000) -> Path:
    t = np.arange(steps)
    rows = ["time,a,b", *(f"{k},{np.sin(k / 9):.5f},{np.cos(k / 7):.5f}" for k in t)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_own_recordings_are_split_in_time(tmp_path: Path) -> None:
    data = own(place(wave(tmp_path / "wave.csv")), 20)
    assert data.facts["channels"] == ["a", "b"] and data.facts["free"] == 20
    a = data.train.examples.series[..., 0]  # type: ignore[attr-defined]
    assert torch.allclose(a[0], torch.sin(torch.arange(21) / 9), atol=1e-4)
    last = data.test.examples.series[-1, -1, 0]  # type: ignore[attr-defined]
    assert float(last) == pytest.approx(np.sin(1999 / 9), abs=0.5), "the end is tested on"
    model = Forecasters(Knobs(width=5, beside=False), data.facts).eval()
    with torch.inference_mode():
        answer = system.use(model, data.facts, Series.open(wave(tmp_path / "more.csv", 50)), ahead=7)
    assert answer[0]["answer"].values.shape == (7, 2)
    score = system.score(Knobs(), model, data, place())["horizon"]
    assert score.unit == "steps" and 0 <= score.value <= 20


def test_recordings_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a recording of about .* steps or more, got 300 in"):
        own(place(wave(tmp_path / "short.csv", 300)), 100)
    path = tmp_path / "gap.csv"
    path.write_text("time,a\n0,1\n1,\n2,3\n")
    with pytest.raises(UserError, match="recordings without gaps, all of the same channels, got 3 steps of a"):
        own(place(path), 20)
    path.write_text("time,a\n0,1\n1,high\n2,3\n")
    with pytest.raises(UserError, match="finite numbers, empty where one is missing"):
        own(place(path), 20)
