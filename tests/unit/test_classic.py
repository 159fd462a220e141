"""The standard pipelines: HOG against a loop over pixels, all better than chance, and none without scikit-learn."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from milestones.parts.classic import compared, hog, learning_curves, pipelines


def slow_hog(image: np.ndarray, cell: int, bins: int) -> np.ndarray:
    """One picture, pixel by pixel, after the words of Dalal and Triggs."""
    height, width = image.shape
    rows, columns = height // cell, width // cell
    votes = np.zeros((rows, columns, bins))
    for y in range(rows * cell):
        for x in range(columns * cell):
            dy = float(image[y + 1, x]) - float(image[y - 1, x]) if 0 < y < height - 1 else 0.0
            dx = float(image[y, x + 1]) - float(image[y, x - 1]) if 0 < x < width - 1 else 0.0
            angle = math.degrees(math.atan2(dy, dx)) % 180
            for b in range(bins):
                middle = (b + 0.5) * 180 / bins
                apart = min(abs(angle - middle), 180 - abs(angle - middle)) / (180 / bins)
                votes[y // cell, x // cell, b] += math.hypot(dx, dy) * max(0.0, 1 - apart)
    found = []
    for y in range(rows - 1):
        for x in range(columns - 1):
            block = np.concatenate([votes[y, x], votes[y, x + 1], votes[y + 1, x], votes[y + 1, x + 1]])
            block = np.minimum(block / math.sqrt((block**2).sum() + 1e-6), 0.2)
            found.append(block / math.sqrt((block**2).sum() + 1e-6))
    return np.concatenate(found)


@pytest.mark.parametrize(("shape", "cell", "bins"), [((12, 12), 4, 9), ((11, 14), 3, 6), ((28, 28), 4, 9)])
def test_hog_is_the_slow_loops(shape: tuple[int, int], cell: int, bins: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    images[1] //= 64
    images[2, 2:] = 0  # parts without any gradient
    fast = hog(images, cell, bins)
    assert fast.dtype == np.float32
    slow = np.stack([slow_hog(image, cell, bins) for image in images])
    np.testing.assert_allclose(fast, slow, atol=2e-5)


def test_hog_of_known_edges() -> None:
    """A vertical edge has its gradient along x: the votes are for the first and last direction, half each."""
    image = np.zeros((1, 8, 8), np.uint8)
    image[:, :, 4:] = 200
    block = hog(image)[0].reshape(4, 9)
    assert block[:, 1:8].max() == 0
    np.testing.assert_allclose(block[:, 0], block[:, 8], rtol=1e-5)
    assert block[:, 0].min() > 0.3
    assert not hog(np.full((1, 8, 8), 7, np.uint8)).any()
    many = np.random.default_rng(1).integers(0, 256, (1001, 8, 8), dtype=np.uint8)
    np.testing.assert_array_equal(hog(many)[500:502], np.concatenate([hog(many[500:501]), hog(many[501:502])]))


def strokes(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures "N 1 12 12" of a vertical, horizontal or slanted stroke with noise, and which it is."""
    rng = np.random.default_rng(seed)
    label, image = rng.integers(0, 3, n), rng.integers(0, 60, (n, 1, 12, 12))
    for k in range(n):
        for t in range(9):
            y, x = ((t, 5), (5, t), (t, t))[label[k]]
            image[k, 0, 1 + y + rng.integers(0, 2), 1 + x + rng.integers(0, 2)] = 220
    return torch.from_numpy(image).to(torch.uint8), torch.from_numpy(label)


def test_pictures() -> None:
    (image, label), (asked, right) = strokes(300, 0), strokes(200, 1)
    found = compared("classes", 12, image, label, asked)
    assert list(found) == ["nearest_neighbours", "linear", "logistic", "hog", "boosted_trees"]
    for name, (words, said) in found.items():
        assert words
        assert said.shape == (200,)
        assert (said != right.numpy()).mean() < 0.25, name  # chance: 0.67
    assert list(pipelines("classes", 10, side=6)) == ["nearest_neighbours", "linear", "logistic", "boosted_trees"]


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 8)).astype(np.float32) * [1, 10, 0.1, 1, 1, 1, 1, 1]
    return inputs.astype(np.float32), (3 * inputs[:, 0] - 0.3 * inputs[:, 1] + 7 + 0.2 * rng.normal(size=n)).astype(
        np.float32
    )


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_tables(task: str) -> None:
    (inputs, value), (asked, right) = rows(400, 0), rows(300, 1)
    if task == "classes":
        value, right = (value > 7).astype(np.int64), (right > 7).astype(np.int64)
    found = compared(task, 0, inputs, value, asked)  # type: ignore[arg-type]
    last = ["logistic"] * (task == "classes")
    assert list(found) == ["nearest_neighbours", "linear", *last, "l1", "boosted_trees"]
    chance = np.abs(right - np.median(right)).mean()
    for name, (_, said) in found.items():
        assert np.abs(said - right).mean() < 0.5 * chance, name


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_nothing_to_learn_breaks_nothing(task: str) -> None:
    """An L1 penalty that leaves no input keeps all; few examples and a single class are answered too."""
    rng = np.random.default_rng(0)
    inputs, target = rng.normal(size=(12, 3)).astype(np.float32), np.arange(12) % 2
    target = target if task == "classes" else rng.normal(size=12).astype(np.float32)
    for n in (12, 3, 2, 1):
        for name, (_, said) in compared(task, 0, inputs[:n] * (n > 5), target[:n], inputs).items():  # type: ignore[arg-type]
            assert said.shape == (12,), name
            assert np.isfinite(said).all(), name
    one = compared("classes", 0, inputs, np.full(12, 4), inputs[:5])
    assert all(said.tolist() == [4] * 5 for _, said in one.values())


def test_learning_curves() -> None:
    train, valid = rows(1000, 0), rows(300, 1)
    curves = learning_curves("numbers", 0, train, valid, [30, 1000])
    assert set(curves) == {"nearest neighbours", "linear", "l1", "boosted trees"}
    assert all(len(errors) == 2 and errors[1] < errors[0] for errors in curves.values())
    _, said = compared("numbers", 0, train[0][:30], train[1][:30], valid[0])["linear"]
    assert curves["linear"][0] == pytest.approx(np.abs(said - valid[1]).mean())
    assert learning_curves("numbers", 0, train, valid, [30, 1000]) == curves


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert compared("numbers", 0, *rows(10, 0), rows(5, 1)[0]) == {}
    assert learning_curves("numbers", 0, rows(10, 0), rows(5, 1), [10]) == {}
