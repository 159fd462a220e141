"""The driver: its nets, what their outputs mean, what is kept to learn from, who drives, and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Place
from milestones.core.state import read_state, write_state
from milestones.media import Text, Video
from milestones.systems import driver as page
from milestones.worlds.field import Field
from milestones.worlds.road import LAPS, Road

CPU = torch.device("cpu")


def counted(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def knobs(**changes: Any) -> page.Knobs:
    return changed(
        page.Knobs(), {"together": 4, "steps": 12, "batch": 8, "rows": 40, "episodes": 3, **changes}, "driver"
    )


def trained(folder: Path, own: page.Knobs) -> tuple[page.Driver, Road | Field]:
    place = Place(CPU, 0)
    torch.manual_seed(0)
    world = page.prepare(own, place)
    model = page.build(own, world.facts)
    folder.mkdir(exist_ok=True)
    with Run(folder, place, "exact") as run:
        page.train(own, model, world, run)
    return model, world


def test_the_nets_are_those_of_the_papers() -> None:
    """About 250 thousand parameters, says Bojarski 2016, section 4; 29 hidden, 45 direction units: Pomerleau 1989."""
    assert counted(page.Driver("pilotnet", 66, 200)) == 252_219
    model = page.Driver("alvinn", 30, 32)
    assert counted(model) == (30 * 32 + 1) * 29 + (29 + 1) * 45
    picture = torch.randint(0, 256, (3, 3, 30, 32), dtype=torch.uint8)
    changed_red = picture.clone()
    changed_red[:, 0] = changed_red[:, 0].flip(2)  # mean and spread stay
    assert torch.allclose(model(picture), model(changed_red), atol=1e-5), "it sees blue alone"
    assert model.act(picture).shape == (3, 1)
    assert {name: preset.net for name, preset in page.PRESETS.items()} == {
        "quick": "small", "cloning": "small", "paper": "alvinn", "pilotnet": "pilotnet", "field": "small"}  # fmt: skip


def test_light_matters_little() -> None:
    torch.manual_seed(0)
    model = page.Driver("small", 24, 48)
    picture = torch.randint(40, 100, (5, 3, 24, 48), dtype=torch.uint8)
    assert torch.allclose(model(picture), model(2 * picture + 10), atol=0.05)


def test_a_hill_of_units_means_its_middle() -> None:
    aim = torch.linspace(-0.75, 0.75, 31)[:, None]
    distance = torch.arange(45) - (aim + 1) * 22
    hill = torch.exp(-distance.square() / 10).clamp(1e-6, 1 - 1e-6)
    assert torch.allclose(page.steering(torch.logit(hill)), aim, atol=0.01)
    assert torch.equal(page.steering(aim), aim), "one unit is the steering itself"


@pytest.mark.parametrize("net", ["small", "alvinn"])
def test_the_loss_is_that_of_numpy(net: str) -> None:
    torch.manual_seed(0)
    model = page.Driver(net, 24, 48)
    picture = torch.randint(0, 256, (6, 3, 24, 48), dtype=torch.uint8)
    aim = torch.rand(6, 1) * 2 - 1
    output = model(picture).detach().double().numpy()
    if net == "small":
        want = np.mean((output - aim.double().numpy()) ** 2)
    else:
        hill = np.exp(-((np.arange(45) - (aim.double().numpy() + 1) * 22) ** 2) / 10)
        want = np.mean((1 / (1 + np.exp(-output)) - hill) ** 2)
    terms = page.loss(model, page.Steered(picture, aim))
    assert float(terms["loss"].detach()) == pytest.approx(want, rel=1e-5)
    said = page.steering(model(picture)).detach()
    assert float(terms["off"]) == pytest.approx(100 * float((said - aim).abs().mean()), rel=1e-5)


def test_what_was_met_is_kept_and_drawn(tmp_path: Path) -> None:
    like = page.Steered(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, 1))
    seen, rng = page.Seen(10, like), torch.Generator().manual_seed(0)
    for k in range(2):
        part = torch.full((4, 3, 8, 8), 10 * k + 1, dtype=torch.uint8)
        seen.add(page.Steered(part, torch.full((4, 1), float(k))), rng)
    assert seen.count == 8
    found = seen.drawn(200, rng)
    assert set(found.steering.flatten().tolist()) == {0.0, 1.0} and len(found.picture) == 200
    assert all(int(p.max()) == 10 * int(s) + 1 for p, s in zip(found.picture, found.steering, strict=True))
    for k in range(2, 5):
        seen.add(page.Steered(part, torch.full((4, 1), float(k))), rng)
    assert seen.count == 8 and len(set(seen.drawn(200, rng).steering.flatten().tolist())) >= 3, "a sample of all"
    assert write_state(tmp_path / "seen.safetensors", {"seen": seen}, {"step": 1})
    again = page.Seen(10, like)
    read_state(tmp_path / "seen.safetensors", {"seen": again}, {"step": int})
    assert again.count == 8
    one, two = (each.drawn(5, torch.Generator().manual_seed(3)) for each in (seen, again))
    assert torch.equal(one.picture, two.picture) and torch.equal(one.steering, two.steering)


def test_in_cloning_the_expert_drives_and_with_dagger_the_net(tmp_path: Path) -> None:
    """An untrained net leaves the road; an expert never does."""
    _, cloned = trained(tmp_path / "a", knobs(rounds=1, steps=60, lr=1e-9))
    assert cloned.number.tolist() == [0, 0, 0, 0] and float(cloned.offset.abs().max()) < 1
    _, mixed = trained(tmp_path / "b", knobs(rounds=2, steps=140, lr=1e-9))
    assert mixed.number[:2].tolist() == [0, 0], "in the second round the expert drives the first half"
    assert (mixed.number[2:] > 0).all()
    assert '"return"' in (tmp_path / "b" / "log.jsonl").read_text()
    assert '"return"' not in (tmp_path / "a" / "log.jsonl").read_text(), "no episode was over"


def test_all_that_is_driven_counts_once() -> None:
    world = Road(4, 0, height=8, width=12)
    found = page.drive(world, world.expert)
    assert (found.value >= LAPS).all() and (found.returned > 450).all()
    world = Road(4, 0, height=8, width=12)
    found = page.drive(world, lambda: torch.ones(4, 1))
    assert (found.value < 0.2).all() and (found.returned < 30).all()


def test_scores_tell_the_expert_and_dusk_beside_the_net() -> None:
    own = knobs(world="field")
    world = page.prepare(own, Place(CPU, 0))
    torch.manual_seed(0)
    model = page.build(own, world.facts).eval()
    before = world.observation.clone()
    with torch.no_grad():
        scores = page.score(own, model, world, Place(CPU, 0))
    assert list(scores) == ["goals", "goals_dusk", "expert"]
    assert scores["expert"].value == 100 and scores["expert"].over == 3 and scores["expert"].low < 60
    assert scores["goals"].value < 100 and "0 of 3 episodes" in scores["goals"].note
    assert torch.equal(world.observation, before), "on fields of their own"


def test_use_drives_and_films() -> None:
    own = knobs(world="field")
    world = page.prepare(own, Place(CPU, 0))
    model = page.build(own, world.facts).eval()
    with torch.inference_mode():
        (found,) = page.use(model, world.facts, [])
    film, said = found.values()
    assert isinstance(film, Video) and film.frames.shape[1:] == (96, 192, 3) and isinstance(said, Text)
    assert len(film.values["steering"]) == len(film.values["expert"]) == len(film.frames)
    assert f"in {len(film.frames)} steps" in str(said)


def test_it_learns_to_steer(tmp_path: Path) -> None:
    """A few hundred updates: nearer to the expert than full left and right are far."""
    own = knobs(together=8, steps=160, batch=32, rows=2000, rounds=3)
    model, world = trained(tmp_path, own)
    off = []
    for _ in range(40):
        action = world.expert()
        off.append(float((model.act(world.observation) - action).abs().mean()))
        world.step(action)
    assert np.mean(off) < 0.15
    assert len(list((tmp_path / "shows").glob("*seen.png"))) == 1


@pytest.mark.parametrize(("change", "choice", "message"), [
    ({}, Choice(data="roads/"), "no --data: driver draws its own roads, got 'roads/'"),
    ({"net": "pilotnet"}, Choice(), "a picture that this net's filters fit into, got 24 x 48. Take a larger --height"),
])  # fmt: skip
def test_bad_input_is_refused(change: dict[str, Any], choice: Choice, message: str) -> None:
    own = knobs(**change)
    with pytest.raises(UserError) as refused:
        page.build(own, page.prepare(own, Place(CPU, 0, choice=choice)).facts)
    assert message in str(refused.value)
