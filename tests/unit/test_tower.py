"""The tower against a plain NumPy loop; and what plays with it says the same, in one pass or in bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from milestones.parts.tower import Rectified, Tower, player, value_of


def shaken(tower: Tower, by: float = 0.3) -> Tower:
    """Any weights."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in tower.parameters():
            weight.add_(by * torch.randn_like(weight) / weight[0].numel() ** 0.5)
    return tower


def boards(count: int, channels: int = 3, rows: int = 6, columns: int = 7, most: int = 1) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, most + 1, (count, channels, rows, columns), np.uint8))


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    side = weight.shape[-1]
    wide = np.pad(x, ((0, 0), (0, 0), (side // 2, side // 2), (side // 2, side // 2)))
    found = np.zeros((len(x), len(weight), *x.shape[2:]))
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            seen = wide[:, :, row : row + side, column : column + side]
            found[:, :, row, column] = np.einsum("bchw,kchw->bk", seen, weight) + bias
    return found


@pytest.mark.parametrize("actions", [4, 9, 10])
def test_it_is_that_of_a_plain_loop(actions: int) -> None:
    tower = shaken(Tower([2, 3, 3], actions, blocks=2, channels=5, pooled=2, levels=3))
    w = {name: value.double().numpy() for name, value in tower.state_dict().items()}
    planes = boards(6, 2, 3, 3, most=3)

    def layer(x: np.ndarray, name: str) -> np.ndarray:
        return convolved(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = np.maximum(layer(planes.double().numpy() / 3, "stem.layer") + w["place"].transpose(2, 0, 1), 0)
    for k in range(2):
        inner = layer(x, f"blocks.{k}.first.layer")
        if k == 1:
            whole = np.concatenate([x.mean((2, 3)), x.max((2, 3))], 1)
            inner += (whole @ w["blocks.1.pool.weight"].T + w["blocks.1.pool.bias"])[:, :, None, None]
        x = np.maximum(x + layer(np.maximum(inner, 0), f"blocks.{k}.second.layer"), 0)
    seen = np.maximum(layer(x, "seen.layer"), 0)
    policy, value = seen[:, :8], seen[:, 8:].reshape(6, -1)
    scores = [layer(policy, "map").reshape(6, -1)] if actions >= 9 else []
    if actions != 9:
        scores.append(policy.reshape(6, -1) @ w["moves.weight"].T + w["moves.bias"])
    hidden = np.maximum(value @ w["worth.weight"].T + w["worth.bias"], 0)
    logits, wdl = tower(planes)
    assert logits.shape == (6, actions) and wdl.shape == (6, 3)
    assert np.allclose(logits.detach().numpy(), np.concatenate(scores, 1), atol=1e-4)
    assert np.allclose(wdl.detach().numpy(), hidden @ w["wdl.weight"].T + w["wdl.bias"], atol=1e-4)


def test_at_first_nothing_is_preferred() -> None:
    tower = Tower([3, 6, 7], 7, blocks=6, channels=16)
    logits, wdl = tower(boards(50))
    assert float(logits.softmax(-1).detach().max()) < 0.2
    assert float(value_of(wdl).detach().abs().max()) < 0.1
    x = tower.stem(boards(50).float())
    assert torch.equal(tower.blocks(x), x), "each block is the identity"


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("shape", [([3, 6, 7], 7), ([4, 5, 5], 25), ([4, 6, 6], 37)])
def test_a_player_says_what_the_tower_says(shape: tuple[list[int], int], batch: bool) -> None:
    sizes, actions = shape
    tower = shaken(Tower(sizes, actions, blocks=3, channels=16, batch=batch))
    planes = boards(40, *sizes)
    for _ in range(3):  # figures of the batch that are neither 0 nor 1
        tower(planes)
    tower.eval()
    with torch.inference_mode():
        want = tower(planes)
        plays = player(tower)
        assert player(plays) is plays
        for _ in range(2):  # nothing of it is destroyed
            for rows in (slice(0, 40), slice(3, 4)):
                found = plays(planes[rows].contiguous(memory_format=torch.channels_last))
                assert all(torch.allclose(a, b[rows], atol=1e-4) for a, b in zip(found, want, strict=True))
        rough = player(tower, "bfloat16")(planes)
        for a, b in zip(rough, want, strict=True):
            assert a.dtype == torch.float32
            assert float((a - b).abs().max()) < 0.05 * float(b.std()) + 0.02
    assert not any(isinstance(part, nn.BatchNorm2d) for part in plays.modules()), "folded"
    assert tower.stem.norm is not None or not batch, "the tower itself stays"


def test_where_nothing_can_be_fused_it_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = shaken(Tower([3, 6, 7], 7, blocks=2, channels=8)).eval()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = player(tower)
    assert not any(part.fused for part in plain.modules() if isinstance(part, Rectified))
    with torch.inference_mode():
        assert torch.allclose(plain(boards(9))[0], tower(boards(9))[0], atol=1e-5)


def test_values_are_expected_results() -> None:
    wdl = torch.tensor([[9.0, -9, -9], [-9, 9, -9], [-9, -9, 9], [0, 0, 0], [1, 0, 0]])
    assert value_of(wdl).tolist() == pytest.approx([1, 0, -1, 0, (np.e - 1) / (np.e + 2)], abs=1e-6)
