"""Advantages and returns: against plain loops over episodes, and where a formula is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from milestones.core.source import keyed
from milestones.parts.returns import advantages, episode_returns, lambda_returns

T, N = 13, 5


def made(seed: int = 0, ends: float = 0.15, cuts: float = 0.15) -> dict[str, torch.Tensor]:
    """A rollout at random. `final_value` is the next value wherever the episode goes on, as a world has it."""
    rng = keyed("rollout", seed)
    value = torch.randn(T + 1, N, generator=rng)
    ended = torch.rand(T, N, generator=rng) < ends
    cut = (torch.rand(T, N, generator=rng) < cuts) & ~ended
    other = torch.randn(T, N, generator=rng)
    final = torch.where(ended | cut, other, value[1:])
    return {"reward": torch.randn(T, N, generator=rng), "value": value[:-1], "ended": ended, "cut": cut,
            "final_value": final}  # fmt: skip


def by_hand(play: dict[str, torch.Tensor], discount: float, trace: float) -> np.ndarray:
    """Each action's advantage as the sum of the errors that come after it in its own episode, in float64."""
    reward, value, final = (play[name].double().numpy() for name in ("reward", "value", "final_value"))
    ended, cut = play["ended"].numpy(), play["cut"].numpy()
    found = np.zeros((T, N))
    for n in range(N):
        for t in range(T):
            weight = 1.0
            for k in range(t, T):
                after = 0.0 if ended[k, n] else final[k, n]
                found[t, n] += weight * (reward[k, n] + discount * after - value[k, n])
                weight *= discount * trace
                if ended[k, n] or cut[k, n]:
                    break
    return found


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_advantages_are_sums_of_errors(seed: int, trace: float) -> None:
    play = made(seed)
    advantage, target = advantages(**play, discount=0.9, trace=trace)
    np.testing.assert_allclose(advantage.numpy(), by_hand(play, 0.9, trace), atol=1e-5)
    torch.testing.assert_close(target, advantage + play["value"])


def test_what_is_not_read_changes_nothing() -> None:
    """Values after an end, and of `final` where the episode goes on, may be anything."""
    play = made(1)
    first, _ = advantages(**play, discount=0.9, trace=0.8)
    read = play["cut"].clone()
    read[-1] |= ~play["ended"][-1]
    play["final_value"] = torch.where(read, play["final_value"], torch.nan)
    again, _ = advantages(**play, discount=0.9, trace=0.8)
    assert torch.equal(first, again)


def test_an_episode_ignores_the_next_one() -> None:
    play = made(2)
    first, _ = advantages(**play, discount=0.95, trace=0.9)
    over = int((play["ended"] | play["cut"])[:, 0].nonzero()[0, 0])
    play["reward"][over + 1 :, 0] += 100.0
    play["value"][over + 1 :, 0] += 100.0
    again, _ = advantages(**play, discount=0.95, trace=0.9)
    assert torch.equal(first[: over + 1, 0], again[: over + 1, 0])
    assert not torch.equal(first[over + 1 :, 0], again[over + 1 :, 0]) or over == T - 1


def test_closed_forms() -> None:
    """One episode that pays 1 a step: geometric sums, with and without what comes after."""
    g = 0.9
    none = torch.zeros(T, 1, dtype=torch.bool)
    last = none.clone()
    last[-1] = True
    reward, value, final = torch.ones(T, 1), torch.full((T, 1), 2.0), torch.full((T, 1), 7.0)
    steps = torch.arange(T, 0, -1)[:, None].float()
    geometric = (1 - g**steps) / (1 - g)
    ends, _ = advantages(reward, value, last, none, final, g, 1.0)
    torch.testing.assert_close(ends, geometric - 2)
    for cut in (none, last):
        goes_on, target = advantages(reward, value, none, cut, final, g, 1.0)
        torch.testing.assert_close(goes_on, geometric + 7 * g**steps - 2)
        torch.testing.assert_close(target, geometric + 7 * g**steps)
    near, _ = advantages(reward, value, none, last, final, g, 0.0)
    torch.testing.assert_close(near[:-1], torch.full((T - 1, 1), 1 + g * 2 - 2))
    torch.testing.assert_close(near[-1], torch.tensor([1 + g * 7.0 - 2]))


def test_a_right_value_has_no_advantage() -> None:
    """Where the value is the discounted return, all errors are 0, whatever the trace."""
    g, reward = 0.8, torch.randn(T, N, generator=keyed("right"))
    value, after = torch.zeros(T, N), torch.zeros(N)
    for t in range(T - 1, -1, -1):
        after = reward[t] + g * after
        value[t] = after
    last = torch.zeros(T, N, dtype=torch.bool)
    last[-1] = True
    found, target = advantages(reward, value, last, torch.zeros_like(last), torch.full((T, N), 9.0), g, 0.5)
    torch.testing.assert_close(found, torch.zeros(T, N), atol=1e-5, rtol=0)
    torch.testing.assert_close(target, value)


@pytest.mark.parametrize("trace", [0.0, 0.65, 1.0])
def test_lambda_returns_by_a_plain_recursion(trace: float) -> None:
    play, g = made(3), 0.97
    best_next = torch.cat([play["value"][1:], play["final_value"][-1:]])
    found = lambda_returns(play["reward"], best_next, play["ended"], play["cut"], play["final_value"], g, trace)
    for n in range(N):
        after = 0.0
        for t in range(T - 1, -1, -1):
            reward, best = float(play["reward"][t, n]), float(best_next[t, n])
            if play["ended"][t, n]:
                after = reward
            elif play["cut"][t, n]:
                after = reward + g * float(play["final_value"][t, n])
            elif t == T - 1:
                after = reward + g * best
            else:
                after = reward + g * ((1 - trace) * best + trace * after)
            assert float(found[t, n]) == pytest.approx(after, abs=1e-5)


@pytest.mark.parametrize("trace", [0.0, 0.5, 1.0])
def test_both_are_the_same_returns(trace: float) -> None:
    """With a value in place of the best action's worth, the lambda return is the value and its advantage."""
    play = made(4)
    best_next = torch.cat([play["value"][1:], play["final_value"][-1:]])
    found = lambda_returns(play["reward"], best_next, play["ended"], play["cut"], play["final_value"], 0.9, trace)
    _, target = advantages(**play, discount=0.9, trace=trace)
    torch.testing.assert_close(found, target, atol=1e-5, rtol=1e-5)


def test_returns_of_episodes_over_two_rollouts() -> None:
    rng, so_far = keyed("episodes"), torch.zeros(N)
    running, want, got = [0.0] * N, [], []
    for _ in range(3):
        reward = torch.randint(-3, 4, (T, N), generator=rng).float()
        over = torch.rand(T, N, generator=rng) < 0.2
        for t in range(T):
            for n in range(N):
                running[n] += float(reward[t, n])
                if over[t, n]:
                    want.append(running[n])
                    running[n] = 0.0
        returns, so_far = episode_returns(reward, over, so_far)
        got += returns.tolist()
        assert so_far.tolist() == running
    assert got == want and len(want) > 10
    none, _ = episode_returns(torch.ones(T, N), torch.zeros(T, N, dtype=torch.bool), so_far)
    assert none.shape == (0,)
