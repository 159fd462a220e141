"""Ensembles against a NumPy mean of chances; their members' randomness; what cannot be one."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from milestones.core.errors import UserError
from milestones.core.fit import fit
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place
from milestones.parts.ensemble import Ensemble, Together
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


def test_a_batched_net_is_its_members() -> None:
    each = nets(3)
    joint, input = Together(each), torch.randn(3, 6, 3)
    torch.testing.assert_close(
        joint(input.flatten(0, 1)), torch.cat([net(x) for net, x in zip(each, input, strict=True)])
    )
    joint.eval()
    torch.testing.assert_close(joint(input[0]), Ensemble(each)(input[0]))
    assert sum(p.numel() for p in joint.parameters()) == sum(p.numel() for net in each for p in net.parameters())


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_batched_net_learns_as_its_members_do(decay: float) -> None:
    """Step for step, with a decay in the loss's own unit: gradients have the size that they have alone."""
    each = [nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))
            for _ in range(3)]  # fmt: skip
    joint = Together(each)
    input, label = torch.randn(5, 3, 6, 16), torch.randint(0, 4, (5, 3, 6))

    def optimizer(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=decay)

    whole, single = optimizer(joint), [optimizer(net) for net in each]
    for x, y in zip(input, label, strict=True):
        whole.zero_grad()
        loss = nn.functional.cross_entropy(joint(x.flatten(0, 1)), y.flatten())
        loss.backward()
        whole.step()
        alone = []
        for net, step, a, b in zip(each, single, x, y, strict=True):
            step.zero_grad()
            alone.append(nn.functional.cross_entropy(net(a), b))
            alone[-1].backward()
            step.step()
        torch.testing.assert_close(loss, torch.stack(alone).mean())
    twins = copy.deepcopy(each)
    joint.part(twins)
    for twin, net in zip(twins, each, strict=True):
        for ours, theirs in zip(twin.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_batched_net_drops_other_units_in_each_member() -> None:
    joint = Together([nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 8)) for _ in range(2)])
    for stack in joint.stacks:
        stack.data.copy_(torch.eye(8).repeat(2, 1) if stack.dim() == 2 else torch.zeros(16))
    found = joint(torch.ones(20, 8)).view(2, 10, 8)
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(found[0], found[1])
    assert torch.allclose(joint.eval()(torch.ones(20, 8)), torch.ones(20, 8).log_softmax(-1))


class Blend(torch.optim.SGD):
    """An optimiser of another name: nobody knows what it looks at."""


def ratio_of(folder: Path, make: Any, optimizer: Any, loss: Any = None) -> float:
    """The ratio of a page with such nets."""
    source = Held(Pairs(torch.randn(40, 3), torch.randint(0, 4, (40,))), Place(CPU, 0), "made", "train")

    def mean_loss(model: nn.Module, batch: Pairs) -> dict[str, torch.Tensor]:
        return {"loss": nn.functional.cross_entropy(model(batch.input), batch.label)}

    def train(knobs: Any, model: nn.Module, data: Data[Any], run: Run) -> None:
        fit(model, loss or mean_loss, data.train, run, steps=3, batch=4, optimizer=optimizer(model.parameters()))

    system: Any = type("Page", (), {"train": staticmethod(train), "loss": staticmethod(loss or mean_loss)})
    with Run(folder, Place(CPU, 0), "exact") as run:
        both = Ensemble([make() for _ in range(8)])
        found = members.ratio(system, None, both, Data(source, source, source, {}), run)
        assert list((folder / "state").iterdir()) == [], "nothing was trained"
    return found


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))


def adam(weights: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, 0.01, fused=True)


def test_small_nets_may_be_trained_together(tmp_path: Path) -> None:
    assert 0 < ratio_of(tmp_path, small, adam) < math.inf


def test_what_is_not_the_same_together_is_trained_in_turn(tmp_path: Path) -> None:
    def total(model: nn.Module, batch: Pairs) -> dict[str, torch.Tensor]:
        return {"loss": nn.functional.cross_entropy(model(batch.input), batch.label, reduction="sum")}

    def looks(model: nn.Module, batch: Pairs) -> dict[str, torch.Tensor]:
        return {"loss": nn.functional.cross_entropy(model[0](batch.input), batch.label)}  # type: ignore[index]

    class Deciding(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) if float(input.sum()) > 0 else -super().forward(input)

    for number, case in enumerate(
        [
            (small, lambda weights: Blend(weights, 0.1), None),
            (small, lambda weights: adam(list(weights)[:1]), None),
            (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), adam, None),
            (lambda: Deciding(3, 4), adam, None),
            (small, adam, total),
            (lambda: nn.Sequential(nn.Linear(3, 4)), adam, looks),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        assert ratio_of(tmp_path / str(number), *case) == math.inf, number
