"""The autoencoder: its principal components against NumPy's, what the machines hand on, what is told of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.run import Run
from milestones.core.source import Data, Held, Place
from milestones.data import Labelled
from milestones.data.rungs import missed, pixels, probe_score, read, rungs
from milestones.media import Image, pinned
from milestones.systems import autoencoder
from milestones.systems.autoencoder import Autoencoder, Knobs, errors, loss, main_axes, pretrain, system

PLACE = Place(torch.device("cpu"), 0)


def blobs(count: int, side: int = 8, seed: int = 0) -> Labelled:
    """Squares of one of two places, in noise."""
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 2
    image = torch.randint(40, (count, 1, side, side), generator=rng, dtype=torch.uint8)
    for k in range(count):
        at = 0 if label[k] else side // 2
        image[k, 0, at : at + 3, at : at + 3] = 200 + int(torch.randint(50, (1,), generator=rng))
    return Labelled(image, label)


def facts(side: int = 8) -> dict[str, Any]:
    return {"labels": ["a", "b"], "side": side, "reading": "resize", "channels": 1}


def data(side: int = 8) -> Data[Labelled]:
    held = [Held(blobs(120, side, seed), PLACE, "squares", split)
            for seed, split in enumerate(("train", "valid", "test"))]  # fmt: skip
    return Data(*held, facts(side))


def made(**knobs: Any) -> tuple[Knobs, Autoencoder]:
    torch.manual_seed(0)
    chosen = Knobs(**{"hidden": (20, 10), "code": 3, "pretrain": 20, "steps": 60, "batch": 20, **knobs})
    return chosen, Autoencoder(chosen, 8)


def test_principal_components_are_those_of_numpy() -> None:
    source = Held(blobs(50), PLACE, "squares", "train")
    x = (source.examples.image.flatten(1).double() / 255).numpy()
    mean, axes = main_axes(source, 4)
    _, values, rows = np.linalg.svd(x - x.mean(0), full_matrices=False)
    assert mean.numpy() == pytest.approx(x.mean(0), abs=1e-6)
    assert np.abs(axes.numpy().T @ rows[:4].T) == pytest.approx(np.eye(4), abs=1e-4)
    _, model = made(code=4)
    model.middle, model.axes = mean, axes
    left = (values[4:] ** 2).sum() / x.size
    assert float(errors_unclamped(model, source.examples.image)) == pytest.approx(left, rel=1e-4)


def errors_unclamped(model: Autoencoder, image: torch.Tensor) -> torch.Tensor:
    return (model.linear(image) - pixels(image)).square().mean()


def test_more_components_than_pixels_are_zeros() -> None:
    _, axes = main_axes(Held(blobs(30, 3), PLACE, "squares", "train"), 20)
    assert axes.shape == (9, 20) and float(axes[:, 9:].abs().max()) == 0


def test_loss_by_hand() -> None:
    _, model = made()
    batch = blobs(6)
    with torch.no_grad():
        found, said = loss(model, batch), model(batch.image).double().sigmoid().numpy()
    x = batch.image.flatten(1).double().numpy() / 255
    cost = -(x * np.log(said) + (1 - x) * np.log(1 - said)).sum(1).mean()
    assert float(found["loss"]) == pytest.approx(cost, rel=1e-5)
    assert float(found["reconstruction"]) == pytest.approx(((said - x) ** 2).mean(), rel=1e-5)


@torch.no_grad()
def test_code_layer_by_layer() -> None:
    _, model = made()
    image = blobs(4).image
    x = pixels(image)
    assert torch.equal(model.encode(image, 0), x)
    one = model.up[0](x).sigmoid()
    two = model.up[1](one).sigmoid()
    assert torch.allclose(model.encode(image, 1), one) and torch.allclose(model.encode(image, 2), two)
    code = model.up[2](two)
    assert torch.allclose(model.encode(image), code), "the code is a linear layer's"
    back = model.down[1](model.down[0](code).sigmoid()).sigmoid()
    assert torch.allclose(model(image), model.down[2](back))


def test_machines_are_unrolled_into_both_ways(tmp_path: Path) -> None:
    knobs, model = made(pretrain=5)
    before = [layer.weight.clone() for layer in model.up]
    with Run(tmp_path, PLACE, plan="exact") as run:
        pretrain(knobs, model, data(), run)
    assert sorted(path.stem for path in (tmp_path / "state").glob("*")) == ["layer1", "layer2", "layer3"]
    for was, up, down in zip(before, model.up, reversed(model.down), strict=True):
        assert torch.equal(up.weight.T, down.weight), "what leads to the code leads back"
        assert not torch.equal(was, up.weight)
        assert up.weight.shape == was.shape


def test_a_machine_below_learns_to_give_back(tmp_path: Path) -> None:
    """Its units say enough of the squares that they come back better than their mean does."""
    knobs, model = made(hidden=(20,), pretrain=300, pretrain_lr=0.2)
    with Run(tmp_path, PLACE, plan="exact") as run:
        pretrain(knobs, model, data(), run)
    image = blobs(40, seed=5).image
    with torch.no_grad():
        back = model.down[1](model.up[0](pixels(image)).sigmoid()).sigmoid()
    spread = float(pixels(image).var(0, unbiased=False).mean())
    assert float((back - pixels(image)).square().mean()) < 0.6 * spread


@pytest.mark.parametrize("first", [0, 300])
def test_trains_and_beats_the_mean_picture(tmp_path: Path, first: int) -> None:
    knobs, model = made(pretrain=first, steps=400, lr=1e-2, average=0.0)
    with Run(tmp_path, PLACE, plan="exact") as run:
        system.train(knobs, model, data(), run)
    found = system.score(knobs, model, data(), PLACE)
    image = data().test.sweep(500).__next__().image
    assert found["reconstruction"].value < 0.3 * float(pixels(image).var(0).mean())
    assert found["probe_error"].value <= 5 and found["pca_probe_error"].value <= 5
    assert found == system.score(knobs, model, data(), PLACE)
    assert found["reconstruction"].paper is None, "published for 30 numbers"
    assert "3 numbers" in found["reconstruction"].note
    assert "a linear reader (ridge regression) of 3 numbers, the code" in found["probe_error"].note
    names = {path.name.split("-", 2)[2].split(".")[0] for path in (tmp_path / "shows").iterdir()}
    assert names == {"rebuilt", "worst", "rungs", "ways", "codes", "codes_pca"}


def test_published_figures_are_of_a_pixel() -> None:
    """The paper has sums over the pixels."""
    knobs, model = made(code=30)
    found = system.score(knobs, model, data(), PLACE)
    assert found["reconstruction"].paper == pytest.approx(3.0 / 784)
    assert found["pca_reconstruction"].paper == pytest.approx(13.87 / 784)


def test_eight_pictures_by_heart() -> None:
    torch.manual_seed(0)
    _, model = made(hidden=(64,), code=16)
    eight = blobs(8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    before = float(loss(model, eight)["reconstruction"].detach())
    for _ in range(1000):
        optimizer.zero_grad()
        loss(model, eight)["loss"].backward()
        optimizer.step()
    assert before > 0.05
    assert float(loss(model, eight)["reconstruction"].detach()) < 2e-4


def test_use_tells_what_is_strange() -> None:
    torch.manual_seed(0)
    _, model = made(hidden=(32,), code=2)
    many = blobs(200)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        loss(model, many)["loss"].backward()
        optimizer.step()
    model.middle, model.axes = main_axes(Held(many, PLACE, "squares", "train"), 2)
    with torch.no_grad():
        model.usual.copy_(autoencoder.quantiles(errors(model.rebuilt, many.image)))
    usual = Image(blobs(1, seed=9).image[0, 0].numpy())
    strange = Image(np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8))
    with torch.inference_mode():
        one, two = autoencoder.use(model, facts(), [usual, strange])
        alone = autoencoder.use(model, facts(), [strange])[0]
    assert next(iter(one)) == "answer"
    assert set(one) == {"answer", "reconstruction", "strange", "seen", "rebuilt", "pca", "code"}
    assert two["strange"].value == 100 and one["strange"].value < 100
    assert str(two["answer"]) == str(alone["answer"]) == "100 % of the validation pictures come back better"
    assert len(two["code"].lines["code"]) == 2


def test_the_same_reader_for_each_rung() -> None:
    found = data()
    assert missed(pixels, found, found.test) == (0, 120, 64)
    wrong, over, numbers = missed(lambda image: torch.zeros(len(image), 3), found, found.test)
    assert (wrong, over, numbers) == (60, 120, 3), "nothing is told from nothing"
    table = rungs({"pixels": pixels, "nothing": lambda image: torch.zeros(len(image), 1)}, found)
    assert [row[:2] for row in table.cells] == [["pixels", 64], ["nothing", 1]]
    assert [row[2] for row in table.cells] == [0.0, 50.0]
    code, label = read(pixels, found.train, 7)
    assert len(code) == len(label) == 7
    score = probe_score(pixels, found, "the pixels")
    assert score.note.endswith("of 64 numbers, the pixels, taught 120 labels") and score.value == 0


def test_pictures_are_pinned_where_they_belong() -> None:
    ink = torch.full((3, 4, 4), 255.0)
    spots = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    sheet = pinned(spots, ink, torch.tensor([0, 1, 0]), side=40, small=4).pixels
    assert sheet.shape == (40, 40, 3)
    first, second = sheet[38, 1].tolist(), sheet[1, 38].tolist()
    assert first == sheet[1, 1].tolist() == [31, 119, 180], "the second number goes up"
    assert second == [255, 127, 14]
    assert sheet[20, 20].tolist() == sheet[38, 38].tolist() == [255, 255, 255]
