"""What excites units: against loops, hand-made fields, and linear units whose best input is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from milestones.parts import units
from milestones.parts.watch import Step, layers_of, steps_of


def conv_net(act: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    act = act or nn.Tanh()
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), act, nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), act, nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 4),
    ).eval().requires_grad_(False)  # fmt: skip


def test_fields_by_hand() -> None:
    """5 x 5; a pool of 2 adds 1; then 5 x 5 with steps of 2 adds 8; the next pool 2."""
    model = conv_net()
    found = units.fields(model, model, torch.zeros(1, 1, 28, 28), ["0", "2", "3", "5"], 11)
    assert [tuple(found[name].shape) for name in found] == [(28, 28, 4), (14, 14, 4), (10, 10, 4), (5, 5, 4)]
    middle = {name: field[field.shape[0] // 2, field.shape[1] // 2].tolist() for name, field in found.items()}
    sizes = {name: box[1] - box[0] + 1 for name, box in middle.items()}
    assert sizes == {"0": 5, "2": 6, "3": 14, "5": 16}
    assert middle["0"] == [12, 16, 12, 16]
    assert found["0"][0, 0].tolist() == [0, 2, 0, 2], "cut at the border"
    assert found["0"][3, 20].tolist() == [1, 5, 18, 22]
    for y in range(10):
        for x in range(10):
            top, left = 2 * y - 2, 2 * x - 2
            want = [max(0, top), min(27, top + 13), max(0, left), min(27, left + 13)]
            assert found["3"][y, x].tolist() == want


def test_fields_do_not_depend_on_weights() -> None:
    model = conv_net(nn.ReLU())
    for weight in model.parameters():
        weight.zero_()
    found = units.fields(model, model, torch.zeros(1, 1, 28, 28), ["3"], 64)["3"]
    assert found[5, 5].tolist() == [8, 21, 8, 21]


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_peaks_against_a_loop(chunk: int) -> None:
    model, x = conv_net(), torch.randn(9, 1, 28, 28)
    step = Step("3", "product", "Conv2d", (9, 16, 10, 10), 1)
    found = units.peaks(model, model, x, [step], chunk)["3"]
    maps = model[:4](x)
    for i in range(9):
        for c in range(16):
            assert float(found.value[i, c]) == pytest.approx(float(maps[i, c].max()), abs=1e-5)
            assert float(maps[i, c].flatten()[found.where[i, c]]) == pytest.approx(float(maps[i, c].max()), abs=1e-5)
    assert torch.allclose(found.spread, maps.std((0, 2, 3), unbiased=False), atol=1e-5)
    order = units.best(found, 4)
    assert order.shape == (16, 4)
    assert torch.equal(order[7], maps[:, 7].amax((1, 2)).argsort(descending=True)[:4])


def test_peaks_of_a_sequence_have_its_last_axis_as_units() -> None:
    model = nn.LSTM(3, 4, batch_first=True).eval()
    x = torch.randn(5, 7, 3)
    (layer,) = layers_of(steps_of(model, model, x))
    step = Step(layer.name, "product", "LSTM", layer.shape, layer.axis)
    found = units.peaks(model, model, x, [step], 2)[layer.name]
    values, where = model(x)[0].max(1)
    assert torch.allclose(found.value, values, atol=1e-6)
    assert torch.equal(found.where, where)


def test_middle() -> None:
    assert units.middle((5, 7)) == 2 * 7 + 3
    assert units.middle((9,)) == 4
    assert units.middle(()) == 0


def test_reader_reads_its_own_unit_of_each_row() -> None:
    model, x = conv_net(), torch.randn(6, 1, 28, 28)
    step, unit = Step("3", "product", "Conv2d", (6, 16, 10, 10), 1), torch.tensor([3, 3, 0, 15, 7, 2])
    read = units.reader(model, model, step, unit, units.middle((10, 10)))
    maps = model[:4](x)
    want = torch.stack([maps[i, c, 5, 5] for i, c in enumerate(unit.tolist())])
    assert torch.allclose(read(x, slice(0, 6)), want, atol=1e-5)
    assert torch.allclose(read(x[2:4], slice(2, 4)), want[2:4], atol=1e-5)


def linear(weight: Tensor) -> Callable[[Tensor, slice], Tensor]:
    return lambda x, rows: (x * weight).sum((1, 2, 3))


def test_a_linear_unit_is_excited_almost_as_far_as_the_range_allows() -> None:
    weight = torch.zeros(1, 12, 12)
    weight[:, 3:9, 2:5], weight[:, 2:8, 7:11] = 1.0, -0.5  # two bars, so that turning and scaling hide nothing
    most = float(torch.where(weight > 0, 3.0 * weight, -1.0 * weight).sum())
    scale = torch.full((3,), float(weight.norm()))
    made, value = units.excite(linear(weight), (3, 1, 12, 12), -1.0, 3.0, 1.0, 0, scale, jitter=0.0, smooth=0.0,
                               pull=0.0)  # fmt: skip
    assert made.min() >= -1 and made.max() <= 3
    assert (value > 0.97 * most).all(), (value, most)
    assert torch.allclose(value, (made * weight).sum((1, 2, 3)), atol=1e-3)
    assert not torch.equal(made[0], made[1]), "starts differ"


def test_smoothness_has_its_price() -> None:
    torch.manual_seed(1)
    weight = torch.randn(1, 9, 9)
    rough, smooth = (
        units.excite(linear(weight), (2, 1, 9, 9), 0.0, 1.0, 0.5, 0, torch.ones(2), steps=60, jitter=0.0, smooth=s)[0]
        for s in (0.0, 50.0)
    )
    assert units.total_variation(smooth).mean() < 0.5 * units.total_variation(rough).mean()


@pytest.mark.parametrize("chunk", [1, 2])
def test_pictures_do_not_depend_on_their_neighbours(chunk: int) -> None:
    model = conv_net()
    step, unit = Step("3", "product", "Conv2d", (1, 16, 10, 10), 1), torch.tensor([0, 4, 4, 9, 15])
    read = units.reader(model, model, step, unit, 55)

    def made(chunk: int) -> tuple[Tensor, Tensor]:
        return units.excite(read, (5, 1, 28, 28), 0.0, 255.0, 33.0, 3, torch.ones(5), steps=4, chunk=chunk)

    (whole, value), (parts, values) = made(5), made(chunk)
    assert torch.allclose(whole, parts, atol=0.5), "levels of 255: Adam's first steps enlarge what rounding changes"
    assert torch.allclose(value, values, rtol=1e-3)
    assert all(weight.grad is None for weight in model.parameters())


def test_excited_units_of_a_net_say_more_than_to_noise() -> None:
    model = conv_net()
    step, unit = Step("3", "product", "Conv2d", (1, 16, 10, 10), 1), torch.arange(4)
    read = units.reader(model, model, step, unit, 55)
    noise = torch.rand(400, 1, 28, 28)
    spread = model[:4](noise).std((0, 2, 3))[:4]
    _, value = units.excite(read, (4, 1, 28, 28), 0.0, 1.0, 0.5, 0, spread, steps=60)
    highest = model[:4](noise)[:, :4, 5, 5].amax(0)
    assert (value > highest).all()


def test_turned_against_its_definition() -> None:
    """A blob moved down and right; turned by a quarter; enlarged about the middle."""
    picture = torch.zeros(1, 1, 11, 13)
    picture[..., 4, 5] = 1.0
    assert torch.allclose(units.turned(picture, torch.zeros(4)), picture, atol=1e-5)
    moved = units.turned(picture, torch.tensor([2.0, 3.0, 0, 0]))
    assert torch.allclose(moved, picture.roll((2, 3), (2, 3)), atol=1e-5)
    square = torch.zeros(1, 1, 11, 11)
    square[..., 5, 8] = 1.0  # three to the right of the middle
    quarter = units.turned(square, torch.tensor([0, 0, 90.0, 0]))
    assert quarter[0, 0, :, 5].max() > 0.99, "three above or below it"
    wide = torch.zeros(1, 1, 11, 41)
    wide[..., 20 + 8] = 1.0
    tilted = units.turned(wide, torch.tensor([0, 0, 0, 0.25]))[0, 0, 5]
    assert int(tilted.argmax()) == 20 + 10
    line = torch.zeros(1, 1, 21, 41)
    line[..., 10, :] = 1.0
    slope = units.turned(line, torch.tensor([0, 0, 10.0, 0]))[0, 0].argmax(0)
    rise = abs(int(slope[5]) - int(slope[35]))
    assert rise == pytest.approx(30 * 0.1763, abs=1), "tan 10 degrees, although the picture is no square"


def test_total_variation_by_hand() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    assert float(units.total_variation(picture)) == pytest.approx((0 + 1) / 2 + (1 + 0) / 2)


def test_slopes_over_parts() -> None:
    """A gain that looks at each pixel alone has the same gradient however the picture is cut into parts."""
    picture = torch.randn(1, 1, 11, 14)
    found = units.tiled_slope(lambda parts: parts.square().sum((1, 2, 3)), picture, (4, 5))
    assert torch.allclose(found, 2 * picture, atol=1e-6)


@pytest.mark.parametrize("size", [(28, 28), (40, 61), (20, 90)])
def test_a_dream_has_more_of_it_and_stays_in_the_range(size: tuple[int, int]) -> None:
    model = conv_net()
    picture = 255 * torch.rand(1, 1, *size)
    if min(size) < 28:
        picture = units.resized(picture, (28, 126)).clamp(0, 255)

    def gain(parts: Tensor) -> Tensor:
        return model[:4](parts / 255).square().mean((1, 2, 3))

    made = units.dream(gain, picture, (28, 28), 0.0, 255.0, 0, steps=6, rate=0.02)
    assert made.shape == picture.shape
    assert made.min() >= 0 and made.max() <= 255
    assert gain(made[:, :, :28, :28]) > 1.2 * gain(picture[:, :, :28, :28])
    again = units.dream(gain, picture, (28, 28), 0.0, 255.0, 0, steps=6, rate=0.02)
    assert torch.equal(made, again)
