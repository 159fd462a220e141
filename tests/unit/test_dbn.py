"""The deep belief net: its bound against the exact likelihood of small nets, what the machines hand on, and its use."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place
from milestones.data import Labelled
from milestones.media import Image
from milestones.parts.boltzmann import MOST, exact
from milestones.parts.likelihood import importance
from milestones.systems import dbn
from milestones.systems.dbn import DBN, Knobs, annealing, below, linear, nats, stacked, system, terms

PLACE = Place(torch.device("cpu"), 0)


def made(*hidden: int, side: int = 2, spread: float = 0.8) -> DBN:
    torch.manual_seed(0)
    model = DBN(hidden, side, 3)
    with torch.no_grad():
        for weight in model.machines.parameters():
            weight.copy_(spread * torch.randn(weight.shape))
        if min(model.machines[-1].weight.shape) <= MOST:
            model.partition.copy_(torch.tensor([exact(model.machines[-1])] * 3, dtype=torch.float64))
    return model.eval()


def states(units: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=units)))


@torch.no_grad()
def likelihood(model: DBN, v: Tensor) -> Tensor:
    """log p(v), summed over all hidden units of all machines but the top one, whose own are summed in closed form."""
    top = model.machines[-1]
    above = states(len(top.below))
    log_p = -top.free_energy(above) - exact(top)
    for machine in reversed(model.machines[:-1]):
        down = machine.down(above)
        lower = states(down.shape[1])
        off = (1 - lower)[:, None] * nn.functional.logsigmoid(-down)
        given = lower[:, None] * nn.functional.logsigmoid(down) + off
        log_p = (given.sum(-1) + log_p).logsumexp(1)
        above = lower
    place = (v @ (2.0 ** torch.arange(v.shape[1] - 1, -1, -1))).long()
    return log_p[place]


def squares(count: int, side: int = 6, seed: int = 0) -> Labelled:
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 3
    image = torch.randint(30, (count, 1, side, side), generator=rng, dtype=torch.uint8)
    for k in range(count):
        at = int(label[k]) * (side // 3)
        image[k, 0, at : at + 2, at : at + 2] = 230
    return Labelled(image, label)


def facts(side: int = 6) -> dict[str, Any]:
    return {"labels": ["a", "b", "c"], "side": side, "reading": "resize", "channels": 1}


def data() -> Data[Labelled]:
    held = [Held(squares(120, seed=seed), PLACE, "squares", split)
            for seed, split in enumerate(("train", "valid", "test"))]  # fmt: skip
    return Data(*held, facts())


def tiny(**knobs: Any) -> Knobs:
    return Knobs(**{"hidden": (12, 8), "pretrain": 20, "steps": 60, "batch": 20, "anneal": 50, "scored": 3, **knobs})


@pytest.mark.parametrize("hidden", [(3,), (3, 4), (3, 4, 2)])
def test_bound_comes_to_the_exact_likelihood(hidden: tuple[int, ...]) -> None:
    model, v = made(*hidden), states(4)
    want = likelihood(model, v)
    assert float(want.exp().sum()) == pytest.approx(1, abs=1e-5), "it is a distribution"
    image = (255 * v).to(torch.uint8).view(-1, 1, 2, 2)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        many = model.weights(image, 100_000, rng)
        error = many.exp().std(0, unbiased=False) / many.exp().mean(0) / len(many) ** 0.5
        assert float(error.max()) < 0.02
        assert bool(((importance(many) - want).abs() <= 4.5 * error + 1e-5).all())
        one = model.weights(image, 20_000, rng)
    if len(hidden) == 1:
        assert len(one) == 1 and torch.allclose(one[0], want, atol=1e-5), "no sample is needed"
    else:
        loose = want - one.mean(0)
        assert bool((loose > -0.02).all()) and float(loose.max()) > 0.01, "the mean of logarithms is a bound"
        tight = want - torch.stack([importance(part) for part in one.split(20)]).mean(0)
        assert float(tight.mean()) < float(loose.mean())


def test_likelihood_does_not_hang_on_neighbours() -> None:
    model, image = made(5, 4, side=6), squares(6).image
    found = nats(model, image, 7)
    assert found.shape == (6,)
    assert torch.allclose(nats(model, image[2:3], 7), found[2:3], rtol=1e-5)
    assert torch.equal(nats(model, image, 7), found)


def test_machines_see_drawn_units_of_those_below() -> None:
    model, rng = made(5, 4, side=6), torch.Generator().manual_seed(0)
    image = 255 * (squares(1).image > 127).to(torch.uint8).expand(3000, 1, 6, 6)
    x = below(model, 0, image, rng)
    assert torch.equal(x, image.flatten(1) / 255), "bits that were drawn stay as they are"
    h = below(model, 1, image, rng)
    assert h.shape == (3000, 5) and set(h.unique().tolist()) <= {0.0, 1.0}
    with torch.no_grad():
        assert torch.allclose(h.mean(0), model.machines[0](x[0]), atol=0.05)


@pytest.mark.parametrize("persistent", [False, True])
def test_the_classifier_begins_with_the_machines(tmp_path: Path, persistent: bool) -> None:
    knobs = tiny(persistent=persistent)
    torch.manual_seed(0)
    model = system.build(knobs, facts())
    with Run(tmp_path, PLACE, plan="exact") as run:
        stacked(knobs, model, data(), run)
    layers = linear(model)
    assert len(layers) == 3
    image = squares(5).image
    with torch.no_grad():
        for k, machine in enumerate(model.machines):
            assert torch.equal(layers[k].weight, machine.weight.T) and torch.equal(layers[k].bias, machine.above)
        assert torch.allclose(model.classifier[:-1](image), model.say(image), atol=1e-6)
    assert sorted(path.stem for path in (tmp_path / "state").glob("*")) == ["layer1", "layer2"]


def test_trains_scores_and_shows(tmp_path: Path) -> None:
    knobs = tiny(pretrain=150, steps=150, lr=1e-2)
    torch.manual_seed(0)
    model = system.build(knobs, facts())
    with torch.no_grad():
        model.partition.copy_(torch.tensor([exact(model.machines[-1])] * 3))
        before = float(nats(model, squares(90, seed=7).image, 5).mean())
    with Run(tmp_path, PLACE, plan="exact") as run:
        system.train(knobs, model, data(), run)
    found = system.score(knobs, model, data(), PLACE)
    assert found == system.score(knobs, model, data(), PLACE)
    assert found["error"].value <= 2 and found["probe_error"].value <= 5
    said = found["log_likelihood"]
    assert said.better == "higher" and said.low < said.value < said.high < 0
    assert said.value > -before + 3, "the machines have learned"
    assert said.note.startswith("binary pixels") and "3 importance samples" in said.note
    assert said.note.endswith("an exact sum"), "of 8 units"
    names = {path.name.split("-", 2)[2].split(".")[0] for path in (tmp_path / "shows").iterdir()}
    assert names == {"dreamt", "dreamt_on", "filters", "rungs", "partition"}


def test_without_machines_the_net_begins_at_random(tmp_path: Path) -> None:
    knobs = tiny(pretrain=0, steps=3)
    torch.manual_seed(0)
    model = system.build(knobs, facts())
    before = [weight.clone() for weight in model.machines.parameters()]
    with Run(tmp_path, PLACE, plan="exact") as run:
        system.train(knobs, model, data(), run)
    assert [path.stem for path in (tmp_path / "state").glob("*")] == ["train"]
    assert all(torch.equal(a, b) for a, b in zip(before, model.machines.parameters(), strict=True))


def test_annealing_is_checked_where_the_sum_is_known() -> None:
    model = made(40, 30, side=6, spread=0.3)
    model.partition.copy_(torch.tensor([50.0, 49.0, 51.0]))
    means = [torch.full((36,), 0.5), torch.full((40,), 0.5)]
    table = annealing(tiny(anneal=500), model, means)
    assert [row[0] for row in table.cells] == ["machine 1, 12 units", "machine 2, 12 units", "machine 2, all 30 units"]
    assert list(table.cells[2][1:]) == [None, 50.0, 49.0, 51.0, None]
    for row in table.cells[:2]:
        assert abs(float(row[5])) < 0.1  # type: ignore[arg-type]
        assert float(row[1]) == pytest.approx(float(row[2]) - float(row[5]))  # type: ignore[arg-type]


@torch.no_grad()
def test_dreams_follow_the_machines() -> None:
    """Biases that hold pixels on or off, and a top machine whose chains forget where they began."""
    model = made(6, 5, spread=0.0, side=4)
    model.machines[0].below[:8] = 9.0
    model.machines[0].below[8:] = -9.0
    rng = torch.Generator().manual_seed(0)
    drawn = model.dream(torch.zeros(50, 6), 3, rng)
    assert drawn.shape == (50, 4, 4)
    assert float(drawn[:, :2].min()) > 254 and float(drawn[:, 2:].max()) < 1
    top = made(6, 5, 4, spread=0.0, side=4)
    top.machines[1].below[:] = torch.tensor([9.0, 9, 9, -9, -9, -9])
    top.machines[0].weight[0] = torch.tensor([4.0, 4, 4, 0, 0, 0])
    seen = top.dream(torch.zeros(50, 5), 1, rng)
    assert float(seen[:, 0, 0].min()) > 254, "units of the second layer come down through the first"
    assert float((seen[:, 0, 1] - 127.5).abs().max()) < 1


def test_use() -> None:
    model = made(5, 4, side=6)
    image = [Image(one[0].numpy()) for one in squares(2).image]
    with torch.inference_mode():
        one, two = dbn.use(model, facts(), image, samples=3, rounds=2)
        again = dbn.use(model, facts(), image[1:], samples=3, rounds=2)[0]
        other = dbn.use(model, facts(), image[1:], samples=3, rounds=2, seed=1)[0]
        none = dbn.use(model, facts(), image[:1], samples=0)[0]
    assert next(iter(one)) == "answer" and sum(one["answer"].chances) == pytest.approx(1, abs=1e-5)
    assert set(one) == {"answer", "seen", "log_likelihood", "strange", "dreamt"}
    assert two["dreamt"].plain() == again["dreamt"].plain() != other["dreamt"].plain()
    assert two["log_likelihood"].value == pytest.approx(again["log_likelihood"].value, abs=1e-3)
    assert "dreamt" not in none
    with pytest.raises(UserError, match="from 0 to 100,000 rounds of dreaming, got -1"):
        dbn.use(model, facts(), image, rounds=-1)
    with pytest.raises(UserError, match="from 0 to 400 pictures to draw"):
        dbn.use(model, facts(), image, samples=401)


def test_terms() -> None:
    model = made(5, 4, side=6)
    model.partition.copy_(torch.tensor([10.0, 9.5, 10.5]))
    want = "a bound, 20 importance samples a picture; log Z 10.00, annealed, from 9.50 to 10.50"
    assert terms(model, 20).endswith(want)
    assert "exact; log Z" in terms(made(5, side=6), 20)
    assert math.isfinite(float(nats(model, squares(1).image, 2)))
