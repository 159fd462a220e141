"""Ensembles against a NumPy mean of chances; their members' randomness; what cannot be one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place
from milestones.parts.ensemble import Ensemble
from milestones.trained import members_of
from milestones.verbs import members

CPU = torch.device("cpu")


class Pairs(NamedTuple):
    input: torch.Tensor
    label: torch.Tensor


def nets(count: int, outputs: int = 4) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, outputs)) for _ in range(count)]


def chances(net: nn.Module, input: torch.Tensor) -> np.ndarray:
    scores = net(input).detach().double().numpy()
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_answers_are_the_mean_of_chances() -> None:
    each, input = nets(3), torch.randn(7, 3)
    found = Ensemble(each)(input).softmax(-1).detach().numpy()
    np.testing.assert_allclose(found, np.mean([chances(net, input) for net in each], 0), rtol=1e-5)


def test_a_temperature_is_a_power_of_the_mean() -> None:
    each, input = nets(3), torch.randn(7, 3)
    both = Ensemble(each)
    both.temperature.fill_(1.7)
    mean = np.mean([chances(net, input) for net in each], 0) ** (1 / 1.7)
    np.testing.assert_allclose(both(input).softmax(-1).detach(), mean / mean.sum(1, keepdims=True), rtol=1e-5)
    assert torch.equal(both(input).argmax(-1), torch.from_numpy(mean).argmax(-1))


def test_a_member_without_a_share_is_not_asked() -> None:
    each, input = nets(3), torch.randn(7, 3)
    both = Ensemble(each)
    both.shares.copy_(torch.tensor([0.5, 0.5, 0.0]))
    for weight in each[2].parameters():
        weight.data.fill_(float("nan"))
    found = both(input).softmax(-1).detach().numpy()
    np.testing.assert_allclose(found, np.mean([chances(net, input) for net in each[:2]], 0), rtol=1e-5)


def test_numbers_are_averaged() -> None:
    class Value(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.tensor(value))

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return self.value + input[:, 0]

    both = Ensemble([Value(1.0), Value(2.0), Value(6.0)])
    both.temperature.fill_(5.0)  # has no meaning for numbers
    torch.testing.assert_close(both(torch.tensor([[0.0], [1.0]])), torch.tensor([3.0, 4.0]))


def test_other_names_are_the_first_members() -> None:
    each = nets(2)
    each[0].smoothing = 0.25  # type: ignore[assignment]
    both = Ensemble(each)
    assert both.smoothing == 0.25
    with pytest.raises(AttributeError, match="no attribute 'roughness'"):
        _ = both.roughness
    twin = copy.deepcopy(both)
    assert torch.equal(twin(torch.ones(1, 3)), both(torch.ones(1, 3)))


def test_save_and_load() -> None:
    both, other = Ensemble(nets(2)), Ensemble([*reversed(nets(2))])
    both.temperature.fill_(1.3)
    other.load_state_dict(both.state_dict())
    input = torch.randn(4, 3)
    assert torch.equal(both(input), other(input))


def test_unequal_members(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"2\.weight of 4 x 5 in the first, of 6 x 5 in member 3"):
        Ensemble([*nets(2), *nets(1, 6)])
    widths = iter((4, 4, 6))
    system: Any = type("Page", (), {"build": staticmethod(lambda knobs, facts: nets(1, next(widths))[0])})
    with Run(tmp_path, Place(CPU, 0), "exact") as run, pytest.raises(UserError, match="expected members of one shape"):
        members.build(system, None, {}, 3, run, "mine")


@pytest.mark.parametrize("count", [0, -1, 101, 2.0, "3", True, None])
def test_edited_count(count: Any) -> None:
    with pytest.raises(UserError, match=r"1 to 100 members in config\.json"):
        members_of({"members": count}, Path("run-1"))
    assert members_of({}, Path("run-1")) == 1
    assert members_of({"members": 7}, Path("run-1")) == 7


def test_each_member_has_its_own_randomness_and_stages(tmp_path: Path) -> None:
    drawn = []
    with Run(tmp_path, Place(CPU, 3), "exact") as run:
        for _ in range(2):  # again the same
            for number in range(3):
                with run.member(number):
                    run.seed("build")
                    drawn.append(float(torch.rand(())))
        with run.member(1):
            assert list(run.steps(2, model=nets(1)[0])) == [0, 1]
        assert list(run.steps(1, model=nets(1)[0])) == [0]
        assert run.place.seed == 3
    assert drawn[:3] == drawn[3:]
    assert len(set(drawn)) == 3
    assert {path.stem for path in (tmp_path / "state").iterdir()} == {"m1_train", "train"}


def test_each_member_sees_the_examples_in_its_own_order(tmp_path: Path) -> None:
    examples = Pairs(torch.arange(40.0)[:, None].expand(-1, 3), torch.zeros(40, dtype=torch.long))
    source = Held(examples, Place(CPU, 0), "made", "train")
    seen: list[torch.Tensor] = []

    def train(knobs: Any, model: nn.Module, data: Data[Any], run: Run) -> None:
        seen.append(torch.cat([data.train.batch(step, 8).input[:, 0] for step in range(5)]))
        assert list(run.steps(1, model=model)) == [0]

    system: Any = type("Page", (), {"train": staticmethod(train)})
    first = source.batch(0, 8)
    with Run(tmp_path, Place(CPU, 0), "exact") as run:
        seconds = members.train(system, None, both := Ensemble(nets(3)), Data(source, source, source, {}), run)
    assert len(seconds) == 3
    assert all(torch.equal(order.sort().values, torch.arange(40.0)) for order in seen), "the same examples"
    assert len({tuple(order.tolist()) for order in seen}) == 3, "in another order"
    assert torch.equal(source.batch(0, 8).input, first.input), "the source itself is as it was"
    torch.testing.assert_close(both.shares, torch.full((3,), 1 / 3))


@pytest.mark.parametrize(("cut", "shares"), [(0, [1.0, 0.0, 0.0]), (1, [1.0, 0.0, 0.0]), (2, [0.5, 0.5, 0.0])])
def test_a_member_that_was_cut_off_is_left_out(tmp_path: Path, cut: int, shares: list[float]) -> None:
    source = Held(Pairs(torch.zeros(9, 3), torch.zeros(9, dtype=torch.long)), Place(CPU, 0), "made", "train")
    done: list[int] = []

    def train(knobs: Any, model: nn.Module, data: Data[Any], run: Run) -> None:
        run.ended = "minutes" if len(done) == cut else ""
        done.append(len(done))

    system: Any = type("Page", (), {"train": staticmethod(train)})
    with Run(tmp_path, Place(CPU, 0), "exact") as run:
        members.train(system, None, both := Ensemble(nets(3)), Data(source, source, source, {}), run)
    assert both.shares.tolist() == shares
    assert len(done) == cut + 1, "later ones do not begin"
