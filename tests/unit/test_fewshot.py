"""fewshot: the paper's net, its loss, what it keeps, and classes that the user teaches it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place, keyed
from milestones.data.omniglot import Drawn, seen
from milestones.media import Image
from milestones.systems.fewshot import Embedding, Knobs, build, loss, pairs, prepare, read, settle, system, whole

PLACE = Place(torch.device("cpu"), 0)
FACTS = {"characters": ["a", "b", "c"], "mean": 30.0, "spread": 70.0, "side": 28}
KNOBS = changed(Knobs(), {"width": 8, "batch": 8, "steps": 2}, "fewshot")


def drawn(n: int, s: int, groups: int = 1) -> Drawn:
    image = torch.randint(256, (n, s, 1, 28, 28), generator=keyed("drawn", n, s)).byte()
    return Drawn(image, torch.arange(n), torch.arange(n) * groups // n)


@pytest.fixture
def model() -> Embedding:
    torch.manual_seed(0)
    return build(KNOBS, FACTS).eval().requires_grad_(False)


def picture(slope: float) -> Image:
    pixels = np.full((80, 80), 255, np.uint8)
    for t in np.linspace(0.1, 0.9, 300):
        y, x = int(80 * t), int(80 * (0.5 + (t - 0.5) * slope))
        pixels[y - 2 : y + 2, x - 2 : x + 2] = 0
    return Image(pixels)


def test_the_papers_net() -> None:
    net = build(Knobs(), FACTS)
    assert sum(p.numel() for p in net.parameters()) == 111_936
    assert net(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 64)


def test_the_loss_is_by_hand(model: Embedding) -> None:
    """Of two groups: each drawing among the prototypes of its own group."""
    batch = drawn(4, 3, 2)
    x = model(batch.image.flatten(0, 1)).unflatten(0, (4, 3))
    total, wrong = 0.0, 0
    for b in range(4):
        for s in range(3):
            far = [
                float((x[b, s] - torch.stack([x[c, t] for t in range(3) if t != s]).mean(0)).square().sum())
                for c in range(4)
                if batch.group[c] == batch.group[b]
            ]
            mine = far[b % 2]
            total += mine + math.log(sum(math.exp(-one) for one in far))
            wrong += mine > min(far)
    found = loss(model, batch)
    assert float(found["loss"]) == pytest.approx(total / 12, rel=1e-4)
    assert float(found["error"]) == pytest.approx(100 * wrong / 12)


def test_a_character_twice_in_a_batch_is_no_rival_of_itself(model: Embedding) -> None:
    batch = drawn(3, 2)
    twice = Drawn(*(torch.cat([field, field[:1]]) for field in batch))
    assert torch.isfinite(loss(model, twice)["loss"])
    only = Drawn(*(field[[0, 0]] for field in batch))
    assert float(loss(model, only)["loss"]) == pytest.approx(0, abs=1e-6), "nothing to tell it from"


def test_pairs_of_two_are_of_one_group(model: Embedding) -> None:
    batch = drawn(5, 2, 2)  # groups of 3 and 2
    assert batch.group.tolist() == [0, 0, 0, 1, 1]
    x = model(batch.image.flatten(0, 1)).unflatten(0, (5, 2))
    same, different = pairs(model, batch)
    for k, other in enumerate([1, 2, 0, 4, 3]):
        assert float(same[k]) == pytest.approx(float((x[k, 0] - x[k, 1]).square().sum()), rel=1e-4)
        assert float(different[k]) == pytest.approx(float((x[other, 0] - x[k, 1]).square().sum()), rel=1e-4)


def test_what_it_keeps(model: Embedding) -> None:
    train, valid = (Held(batch, PLACE, "some", "train") for batch in (drawn(3, 4), drawn(6, 2)))
    settle(model, Data(train, valid, valid, FACTS))
    want = model(whole(train).image.flatten(0, 1)).unflatten(0, (3, 4)).mean(1)
    assert torch.allclose(model.known, want, atol=1e-5)
    assert float(model.pair[0]) > 0 and torch.isfinite(model.pair).all()


def test_it_learns_eight_characters_by_heart(tmp_path: Path) -> None:
    """Without distortions, after 60 updates on the same episode of eight."""
    knobs = changed(Knobs(), {"width": 16, "turn": False, "batch": 8, "average": 0.0}, "fewshot")
    data = prepare(knobs, PLACE)
    eight = Drawn(*(field[:8] for field in whole(data.train)))
    few = eight._replace(image=eight.image[:, :2])
    torch.manual_seed(0)
    net = build(knobs, data.facts)
    before = float(loss(net, few)["loss"].detach())
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(net, few)["loss"].backward()
        optimizer.step()
    after = loss(net, few)
    assert before > 0.5 > 0.05 > float(after["loss"].detach()) and float(after["error"]) == 0


def test_scores_are_of_the_official_runs(tmp_path: Path) -> None:
    data = prepare(KNOBS, PLACE)
    torch.manual_seed(0)
    net = build(KNOBS, data.facts)
    with Run(tmp_path, PLACE, plan="exact") as run:
        system.train(KNOBS, net, data, run)
    found = system.score(KNOBS, net.eval(), data, PLACE)
    assert found["error"].over == found["error_pixels"].over == 400 and found["error_pairs"].over == 800
    assert "20 runs, 20-way 1-shot" in found["error"].note and not found["error"].comparable
    assert found["error_pixels"].value > found["error_5way_pixels"].value > 20


def test_the_user_teaches_it_classes(model: Embedding, tmp_path: Path) -> None:
    """A question that was shown is named as what it was shown as; of a class of several, the mean counts."""
    for name, slopes in {"left": (-0.9,), "right": (0.9, 0.8), "upright": (0.0,)}.items():
        (tmp_path / "signs" / name).mkdir(parents=True)
        for k, slope in enumerate(slopes):
            Pillow.fromarray(picture(slope).pixels).save(tmp_path / "signs" / name / f"{k}.png")
    with torch.inference_mode():
        answers = system.use(model, FACTS, [picture(-0.9), picture(0.0)], learn=str(tmp_path / "signs"))
        means = model(seen([picture(0.9), picture(0.8)])).mean(0)
        x = model(seen([picture(-0.9), picture(0.0)]))
    assert [answer["answer"].best for answer in answers] == ["left", "upright"]
    rows = torch.stack([x[0], means, x[1]])
    want = (-(x[:, None] - rows).square().sum(-1)).softmax(-1)
    for answer, row in zip(answers, want, strict=True):
        chances = dict(zip(answer["answer"].labels, answer["answer"].chances, strict=True))
        assert chances["right"] == pytest.approx(float(row[1]), abs=1e-4)
    with pytest.raises(UserError, match=r"fewshot: expected a folder of classes, got .* which does not exist"):
        system.use(model, FACTS, [picture(0)], learn=str(tmp_path / "absent"))


def test_it_says_whether_two_are_of_one_class(model: Embedding, tmp_path: Path) -> None:
    model.pair.copy_(torch.tensor([50.0, 0.05]))
    Pillow.fromarray(picture(0.5).pixels).save(tmp_path / "one.png")
    answer = system.use(model, FACTS, [picture(0.5)], like=str(tmp_path / "one.png"))[0]
    assert next(iter(answer)) == "same" and answer["same"].best == "same"
    plain = system.use(model, FACTS, [picture(0.5)])[0]
    assert next(iter(plain)) == "answer" and set(plain["answer"].labels) == {"a", "b", "c"}
    assert len(read(FACTS, [picture(0.5)]).image) == 1
