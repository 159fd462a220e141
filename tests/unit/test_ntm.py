"""The memory: each equation against a loop in NumPy, and what must hold of any weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from milestones.parts.ntm import NTM, SMALL, Turn, addressed, found, moved, sharpened, written

B, N, R, M = 3, 2, 7, 4


def turn(seed: int = 0) -> Turn:
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    return Turn(draw(B, N, M), 3 * draw(B, N).abs(), draw(B, N).sigmoid(), draw(B, N, 3).softmax(-1),
                1 + draw(B, N).abs())  # fmt: skip


def state(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """A memory and where the heads were."""
    rng = torch.Generator().manual_seed(seed)
    return (torch.randn(B, R, M, generator=rng, dtype=torch.float64),
            torch.randn(B, N, R, generator=rng, dtype=torch.float64).softmax(-1))  # fmt: skip


def by_hand(memory: np.ndarray, before: np.ndarray, key: np.ndarray, strength: float, gate: float, shift: np.ndarray,
            sharpness: float) -> np.ndarray:  # fmt: skip
    """Equations 5 to 9 of one head on one memory, as they are printed."""
    likeness = np.array([key @ row / (np.linalg.norm(key) * np.linalg.norm(row)) for row in memory])
    content = np.array([np.exp(strength * k) for k in likeness])
    content /= content.sum()
    gated = gate * content + (1 - gate) * before
    rows = len(memory)
    turned = np.zeros(rows)
    for i in range(rows):
        for j in range(rows):
            step = {0: 1, 1: 2, rows - 1: 0}.get((i - j) % rows)  # stay, on, back
            turned[i] += gated[j] * (shift[step] if step is not None else 0)
    return turned**sharpness / (turned**sharpness).sum()


def test_addressing_is_that_of_the_equations() -> None:
    memory, before = state()
    t = turn()
    weight = addressed(memory, before, t).numpy()
    for b in range(B):
        for n in range(N):
            want = by_hand(memory[b].numpy(), before[b, n].numpy(), t.key[b, n].numpy(), float(t.strength[b, n]),
                           float(t.gate[b, n]), t.shift[b, n].numpy(), float(t.sharpness[b, n]))  # fmt: skip
            assert np.allclose(weight[b, n], want, atol=20 * SMALL)


def test_weights_are_shares() -> None:
    memory, weight = state()
    for seed in range(5):
        weight = addressed(memory, weight, turn(seed))
        assert torch.allclose(weight.sum(-1), torch.ones(B, N, dtype=torch.float64))
        assert bool((weight >= 0).all())


def test_a_shift_goes_round_the_end() -> None:
    at = torch.eye(R)[None]  # a head at each row
    for step, shift in ((-1, [1.0, 0.0, 0.0]), (0, [0.0, 1.0, 0.0]), (1, [0.0, 0.0, 1.0])):
        weight = moved(at, torch.tensor(shift).expand(1, R, 3))
        assert weight.argmax(-1)[0].tolist() == [(row + step) % R for row in range(R)]
        assert torch.equal(weight.sum(-1), torch.ones(1, R))


def test_sharpening_undoes_the_blur_of_a_shift() -> None:
    """A shift that is nine tenths sure would blur over 100 steps; sharpened, it stays at its row."""
    shift = torch.tensor([[[0.05, 0.05, 0.9]]])
    for sharpness, sure in ((1.0, False), (3.0, True)):
        weight = torch.eye(128)[None, :1]
        for _ in range(100):
            weight = sharpened(moved(weight, shift), torch.tensor([[sharpness]]))
        assert bool(weight[0, 0, 100] > 0.9) == sure
    even = torch.full((1, 1, R), 1 / R)
    assert torch.allclose(sharpened(even, torch.tensor([[9.0]])), even)


def test_what_is_looked_for_is_found_whatever_its_length() -> None:
    memory = torch.tensor([[[1.0, 0.0], [0.0, 5.0], [-1.0, 0.0]]])
    key = torch.tensor([[[0.0, 0.01]]])
    weight = found(memory, key, torch.tensor([[30.0]]))
    assert weight[0, 0].argmax() == 1 and weight[0, 0, 1] > 0.99
    assert torch.allclose(found(memory, key, torch.tensor([[0.0]])), torch.full((1, 1, 3), 1 / 3))


def test_writing_is_that_of_the_equations() -> None:
    memory, weight = state()
    rng = torch.Generator().manual_seed(2)
    erase, add = torch.rand(B, M, generator=rng).double(), torch.randn(B, M, generator=rng).double()
    new = written(memory, weight[:, 0], erase, add)
    for b in range(B):
        for i in range(R):
            erased = memory[b, i] * (1 - weight[b, 0, i] * erase[b])
            assert torch.allclose(new[b, i], erased + weight[b, 0, i] * add[b])
    gone = written(memory, torch.ones(B, R).double(), torch.ones(B, M).double(), torch.zeros(B, M).double())
    assert torch.equal(gone, torch.zeros_like(gone))


def net(rows: int = 9) -> NTM:
    torch.manual_seed(0)
    return NTM(3, 2, 8, rows, 4).eval()


def test_padding_changes_no_answer() -> None:
    model = net()
    symbol = torch.randint(0, 2, (2, 6, 3)).to(torch.int8)
    with torch.no_grad():
        said, weight = model.run(symbol)
        longer, where = model.run(torch.cat([symbol, torch.ones(2, 4, 3, dtype=torch.int8)], 1))
    assert torch.allclose(said, longer[:, :6], atol=1e-6)
    assert torch.allclose(weight, where[:, :6], atol=1e-6)
    assert said.shape == (2, 6, 2) and weight.shape == (2, 6, 2, 9)


def test_examples_do_not_meet() -> None:
    model = net()
    symbol = torch.randint(0, 2, (3, 6, 3))
    with torch.no_grad():
        together, alone = model(symbol), torch.cat([model(symbol[k : k + 1]) for k in range(3)])
    assert torch.allclose(together, alone, atol=1e-6)


def test_what_was_written_is_read() -> None:
    """Weights set by hand: the write head goes on a row a step and writes what it hears, the read head follows it by
    the same shift, so each step says what it heard."""
    model = net(rows=5)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        model.listen.weight[:3, :3] = 0.5 * torch.eye(3)
        add = slice(2 * 4, 3 * 4)
        model.steer.weight[add][:3, :3] = torch.eye(3)
        shifts = model.steer.bias[-6:]
        shifts[[2, 5]] = 30.0  # both heads go on
        model.steer.bias[12:16] = 10.0  # sharp
        model.steer.bias[16:18] = -30.0  # by place, not by content
        model.steer.bias[18:22] = 30.0  # what was there is erased
        model.say.weight[:, 8:] = torch.eye(2, 4)
    symbol = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0]]])
    with torch.no_grad():
        said, weight = model.run(symbol)
    assert weight[0, :, 0].argmax(-1).tolist() == weight[0, :, 1].argmax(-1).tolist() == [1, 2, 3, 4, 0, 1, 2]
    assert torch.allclose(said, torch.tanh(0.5 * symbol)[..., :2], atol=1e-3)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    memory, before = state()
    t = turn()
    memory.requires_grad_()
    before.requires_grad_()
    fields = [field.clone().requires_grad_() for field in t]

    def weights(memory: torch.Tensor, before: torch.Tensor, *fields: torch.Tensor) -> torch.Tensor:
        return addressed(memory, before, Turn(*fields))

    assert torch.autograd.gradcheck(weights, (memory, before, *fields), eps=1e-7, atol=1e-5)


def seeded(model: NTM, symbol: torch.Tensor, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return model(symbol)


def test_noise_is_of_training_alone_and_of_the_step() -> None:
    """Drawn from the global generator, which a run seeds at each step."""
    torch.manual_seed(0)
    model, symbol = NTM(3, 2, 8, 9, 4, noise=1.0), torch.ones(2, 5, 3)
    with torch.no_grad():
        first, again, other = (seeded(model, symbol, seed) for seed in (7, 7, 8))
        assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-4)
        assert not torch.allclose(first[0], first[1], atol=1e-4), "each string has its own"
        model.eval()
        quiet = model(symbol)
        torch.manual_seed(8)
        assert torch.equal(quiet, model(symbol)) and torch.equal(quiet[0], quiet[1])


@pytest.mark.parametrize("rows", [5, 40])
def test_the_number_of_rows_is_no_part_of_the_weights(rows: int) -> None:
    model, other = net(9), net(rows)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert other(torch.ones(1, 3, 3)).shape == (1, 3, 2)
