"""Worlds of Gymnasium: what is seen at an episode's end, how episodes begin, worlds that are restored, bad input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from milestones.core.errors import UserError
from milestones.core.source import key
from milestones.core.state import read_state, write_state
from milestones.worlds.gym import Poles, Separate, described, gym, made, needs, spec_of
from milestones.worlds.open import admitted, opened


class Counter(gymnasium.Env[Any, Any]):
    """Observes how many steps it made and where it began; ends after `most`. Faults can be ordered by class."""

    def __init__(
        self, seen: Any = None, does: Any = None, most: int = 5, fault: str = "", random: bool = False
    ) -> None:
        self.observation_space = seen or spaces.Box(-100, 100, (2,), np.float32)
        self.action_space = does or spaces.Discrete(3, start=1)
        self.most, self.fault, self.random, self.count, self.base = most, fault, random, 0, 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        rng = np.random.default_rng() if self.random else self.np_random
        self.count, self.base = 0, float(rng.uniform())
        return self.look(), {}

    def look(self) -> Any:
        if isinstance(self.observation_space, spaces.Discrete):
            return int(self.observation_space.start) + self.count % int(self.observation_space.n)
        if self.observation_space.dtype == np.uint8:
            seen = np.zeros(self.observation_space.shape, np.uint8)
            seen[0, 1, 2] = self.count
            return seen
        return np.array([self.count, self.base], np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        if self.count == 3 and self.fault == "raises":
            raise ZeroDivisionError("a fault of mine")
        seen, reward = self.look(), float(np.sum(action))
        if self.count == 3 and self.fault == "observation":
            seen = np.array([np.nan, 0], np.float32)
        return (
            seen,
            np.nan if self.count == 3 and self.fault == "reward" else reward,
            self.count >= self.most,
            False,
            {},
        )


@pytest.fixture
def own() -> Iterator[Any]:
    """A function: registers a Counter of these settings as an id, until the test is over."""
    names: list[str] = []

    def register(limit: int | None = None, **settings: Any) -> str:
        names.append(f"Counter{len(names)}-v0")
        gymnasium.register(names[-1], Counter, max_episode_steps=limit, kwargs=settings)
        return names[-1]

    yield register
    for name in names:
        del gymnasium.registry[name]


def pushed(count: int, at: int, actions: int = 2) -> torch.Tensor:
    """Actions drawn for a step."""
    return torch.randint(actions, (count,), generator=torch.Generator().manual_seed(at))


def test_the_last_observation_of_an_episode_is_final_and_the_next_one_begins_at_once(own: Any) -> None:
    world = gym(own(most=3), 2, 0)
    first = world.observation.clone()
    assert first[:, 0].tolist() == [0, 0]
    for step in range(1, 7):
        out = world.step(torch.zeros(2, dtype=torch.long))
        over = step % 3 == 0
        assert out.final[:, 0].tolist() == [step % 3 or 3] * 2, "what was seen after the step"
        assert world.observation[:, 0].tolist() == [step % 3] * 2, "the next one's first, where it is over"
        assert out.ended.tolist() == [over] * 2 and out.cut.tolist() == [False] * 2
        assert torch.equal(out.final, world.observation) is not over
        assert out.reward.tolist() == [1, 1], "the space begins at 1"
    assert world.observation.shape == (2, 2) and out.reward.dtype == torch.float32


def test_a_limit_cuts_and_an_end_is_no_cut(own: Any) -> None:
    world = gym(own(limit=2, most=9), 1, 0)
    outs = [world.step(torch.zeros(1, dtype=torch.long)) for _ in range(4)]
    assert [bool(out.cut) for out in outs] == [False, True, False, True]
    assert not any(bool(out.ended) for out in outs)
    both = gym(own(limit=3, most=3), 1, 0)
    outs = [both.step(torch.zeros(1, dtype=torch.long)) for _ in range(3)]
    assert bool(outs[-1].ended) and not bool(outs[-1].cut), "what has ended is not bootstrapped"


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0"])
def test_episodes_of_a_slot_begin_alike_however_many_slots_there_are(name: str) -> None:
    def begins(count: int, seed: int) -> list[torch.Tensor]:
        """The first observations of slot 0, of three episodes."""
        world, found = gym(name, count, seed), []
        found.append(world.observation[0].clone())
        while len(found) < 3:
            out = world.step(torch.zeros(count, dtype=torch.long))
            if bool((out.ended | out.cut)[0]):
                found.append(world.observation[0].clone())
        return found

    one, four, other = begins(1, 7), begins(4, 7), begins(1, 8)
    assert all(torch.equal(a, b) for a, b in zip(one, four, strict=True))
    assert not torch.equal(one[0], other[0]) and not torch.equal(one[0], one[1])


def test_poles_stepped_as_one_are_gymnasiums_own_one_by_one() -> None:
    """CartPole's vectorised code, which begins episodes elsewhere and later, against CartPoleEnv."""
    spec = spec_of("CartPole-v1")
    facts = described(made(spec, "CartPole-v1"), spec, "CartPole-v1")
    count = 6
    together, apart = Poles(count, 30, facts), Separate(spec, "CartPole-v1", count, facts)
    every, seeds = np.arange(count), np.arange(count) + 11
    np.testing.assert_allclose(together.begin(every, seeds), apart.begin(every, seeds), rtol=1e-6)
    ends = 0
    for step in range(200):
        action = pushed(count, step).numpy()
        mine, theirs = together.step(action), apart.step(action)
        np.testing.assert_allclose(mine.observation, theirs.observation, rtol=1e-4, atol=1e-5)
        assert mine.ended.tolist() == theirs.ended.tolist()
        assert mine.reward.tolist() == theirs.reward.tolist()
        over = np.flatnonzero(mine.ended | mine.cut)
        ends += len(over)
        if len(over):
            begun = [one.begin(over, np.full(len(over), 1000 + step)) for one in (together, apart)]
            np.testing.assert_allclose(*begun, rtol=1e-4, atol=1e-5)
    assert ends > 10


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0", "Pendulum-v1", "LunarLander-v3", "FrozenLake-v1"])
@pytest.mark.parametrize("steps", [0, 37, 230])
def test_a_world_is_restored_and_goes_on_to_the_same_bits(name: str, steps: int, tmp_path: Path) -> None:
    def action(world: Any, at: int) -> torch.Tensor:
        count, facts = len(world), world.facts
        if facts["discrete"]:
            return pushed(count, at, facts["actions"])
        return 5 * torch.randn(count, facts["actions"], generator=torch.Generator().manual_seed(at))

    world = gym(name, 3, 5)
    for at in range(steps):
        world.step(action(world, at))
    assert write_state(tmp_path / "state", {"world": world}, {"step": 1})
    again = gym(name, 3, 5)
    for at in range(9):  # it may have been anywhere
        again.step(action(again, 77 + at))
    read_state(tmp_path / "state", {"world": again}, {"step": int})
    assert again.reproducible and again.steps == steps
    assert torch.equal(again.observation, world.observation)
    for at in range(steps, steps + 120):
        one, two = (each.step(action(each, at)) for each in (world, again))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert torch.equal(world.observation, again.observation)


def test_only_actions_of_living_episodes_are_kept() -> None:
    world = gym("CartPole-v1", 8, 0)
    for at in range(600):
        world.step(pushed(8, at))
    kept = world.state_dict()
    assert len(kept["past"]) == int(kept["length"].max()) < 120
    assert kept["past"].dtype == torch.uint8


def test_what_cannot_be_played_again_says_so_once_and_begins_anew(own: Any, capsys: pytest.CaptureFixture[str]) -> None:
    name = own(most=50, random=True)
    world = gym(name, 2, 0)
    for _ in range(4):
        world.step(torch.zeros(2, dtype=torch.long))
    again = gym(name, 2, 0)
    again.load_state_dict(world.state_dict())
    assert "2 of 2 episodes are not reproducible and were begun anew" in capsys.readouterr().err
    assert not again.reproducible and again.steps == 4
    assert again.observation[:, 0].tolist() == [0, 0]
    third = gym(name, 2, 0)
    third.load_state_dict(again.state_dict())
    assert "begun anew" not in capsys.readouterr().err, "it has said so"
    with pytest.raises(ValueError, match="the state of 3 episodes"):
        gym(name, 3, 0).load_state_dict(world.state_dict())


def test_what_is_seen_in_inference_mode_can_be_learned_from() -> None:
    with torch.inference_mode():
        world = gym("CartPole-v1", 3, 0)
        out = world.step(torch.zeros(3, dtype=torch.long))
    layer = torch.nn.Linear(4, 1)
    (layer(world.observation).sum() + layer(out.final).sum() * out.reward.sum()).backward()
    assert layer.weight.grad is not None


def test_fresh_episodes_are_others(own: Any) -> None:
    world = gym("CartPole-v1", 2, 0)
    fresh = world.fresh(5, key(0, "score"))
    assert len(fresh) == 5 and fresh.facts == world.facts
    assert not torch.equal(fresh.observation[:2], world.observation)
    assert torch.equal(world.fresh(5, key(0, "score")).observation, fresh.observation)


def test_facts_say_what_is_seen_and_done() -> None:
    facts = gym("CartPole-v1", 1, 0).facts
    assert facts["shape"] == [4] and facts["actions"] == 2 and facts["labels"] == ["left", "right"]
    assert facts["limit"] == 500 and facts["rate_hz"] == 50 and gymnasium.__version__ in facts["version"]
    assert facts["data"]["name"] == "CartPole-v1" and "cut after 500 steps" in facts["data"]["note"]
    facts = gym("Pendulum-v1", 1, 0).facts
    assert facts["discrete"] is False and facts["low"] == [-2] and facts["high"] == [2] and "labels" not in facts


def test_discrete_observations_are_one_hot_and_screens_have_channels_first(own: Any) -> None:
    lake = gym("FrozenLake-v1", 3, 0)
    assert lake.observation.shape == (3, 16) and lake.observation.sum(1).tolist() == [1, 1, 1]
    assert lake.observation[:, 0].tolist() == [1, 1, 1]
    shifted = gym(own(seen=spaces.Discrete(4, start=2)), 1, 0)
    assert shifted.observation.tolist() == [[1, 0, 0, 0]]
    screen = gym(own(seen=spaces.Box(0, 255, (4, 5, 3), np.uint8)), 1, 0)
    assert screen.facts["shape"] == [3, 4, 5] and screen.observation.dtype == torch.uint8
    screen.step(torch.zeros(1, dtype=torch.long))
    assert int(screen.observation[0, 2, 0, 1]) == 1


def test_actions_that_are_numbers_are_clipped_to_what_is_legal(own: Any) -> None:
    world = gym(own(does=spaces.Box(np.float32([-1, -2]), np.float32([1, 2]))), 1, 0)
    assert float(world.step(torch.tensor([[9.0, 9.0]])).reward) == 3
    assert float(world.step(torch.tensor([[-9.0, 0.5]])).reward) == -0.5
    with pytest.raises(UserError, match=r"finite actions from Counter0-v0, got nan in slot 0, entry \[1\] at step 3. "
                                        "The net's answers are no numbers"):  # fmt: skip
        world.step(torch.tensor([[0.0, float("nan")]]))


@pytest.mark.parametrize(("fault", "message"), [
    ("raises", "steps without an error from Counter0-v0, got ZeroDivisionError: a fault of mine at step 3"),
    ("observation", r"observations that are finite from Counter0-v0, got nan in slot 0, entry \[0\] at step 3"),
    ("reward", "rewards that are finite from Counter0-v0, got nan in slot 0 at step 3"),
])  # fmt: skip
def test_an_environment_that_fails_says_where(own: Any, fault: str, message: str) -> None:
    world = gym(own(fault=fault), 2, 0)
    with pytest.raises(UserError, match=message + r"\. Mend the environment, then 'milestones resume'"):  # noqa: PT012
        for _ in range(4):
            world.step(torch.zeros(2, dtype=torch.long))


def test_an_environment_that_cannot_be_made_or_begun(own: Any) -> None:
    with pytest.raises(UserError, match=r"an environment Counter0-v0 that can be made, got TypeError"):
        gym(own(nonsense=1), 1, 0)

    class Broken(Counter):
        def reset(self, **_: Any) -> Any:
            raise RuntimeError("no beginning")

    gymnasium.register("Broken-v0", Broken)
    try:
        with pytest.raises(UserError, match="an episode that begins from Broken-v0, got RuntimeError: no beginning"):
            gym("Broken-v0", 1, 0)
    finally:
        del gymnasium.registry["Broken-v0"]


@pytest.mark.parametrize("space", [
    spaces.Dict(a=spaces.Discrete(2)), spaces.Text(5), spaces.Tuple([spaces.Discrete(2)]),
])  # fmt: skip
def test_observations_that_are_not_supported(own: Any, space: Any) -> None:
    with pytest.raises(UserError, match=r"observations in a Box or Discrete space, .* got observations in .*"
                                        "Wrap the environment, or take another"):  # fmt: skip
        gym(own(seen=space), 1, 0)


@pytest.mark.parametrize("space", [
    spaces.MultiDiscrete([2, 2]), spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(0, 1, (2, 2)),
])  # fmt: skip
def test_actions_that_are_not_supported(own: Any, space: Any) -> None:
    with pytest.raises(UserError, match="actions in a Discrete or a bounded flat Box space, got actions in"):
        gym(own(does=space), 1, 0)


@pytest.mark.parametrize(("name", "do"), [
    ("CartPole-v7", "Did you mean 'CartPole-v1'"), ("CartPol-v1", "Did you mean 'CartPole-v1'"),
    ("LunarLandr-v3", "Did you mean 'LunarLander-v3'"),
    ("MiniGrid-Empty-5x5-v0", "It is not Gymnasium's own: pip install minigrid"),
    ("Zzzzzz-v0", "For example CartPole-v1. One of yours: MODULE:ID"), ("PongNoFrameskip-v4", "named here as 'pong'"),
])  # fmt: skip
def test_an_unknown_id_names_near_ones_or_its_package(name: str, do: str) -> None:
    pytest.importorskip("ale_py")  # which registers its games under other names
    with pytest.raises(UserError, match=f"an environment that Gymnasium knows, got no '{name}'.*(?:{do})"):
        opened(name, 1, 0)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r'the package that has phys2d/CartPole-v1, got .*"gymnasium\[jax\]"'):
        opened("phys2d/CartPole-v1", 1, 0)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(UserError, match=r'gymnasium, which has the worlds, got none installed.*"milestones\[rl\]"'):
        opened("CartPole-v1", 1, 0)


def test_no_episode_is_no_world() -> None:
    with pytest.raises(UserError, match="one episode or more side by side, got 0"):
        opened("CartPole-v1", 0, 0)


def test_an_older_version_is_quiet() -> None:
    assert gym("CartPole-v0", 1, 0).facts["limit"] == 200


def test_a_page_may_need_another_kind_of_actions() -> None:
    with pytest.raises(UserError, match=r"dqn: expected a world with a few actions to choose among, got Pendulum-v1, "
                                        "whose actions are numbers. Take the page ppo"):  # fmt: skip
        needs(gym("Pendulum-v1", 1, 0), discrete=True, page="dqn")
    with pytest.raises(UserError, match="a world whose actions are numbers, got CartPole-v1"):
        needs(gym("CartPole-v1", 1, 0), discrete=False, page="other")
    needs(gym("CartPole-v1", 1, 0), discrete=True, page="dqn")


OWN = """
import gymnasium, numpy as np

class Mine(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)
    def reset(self, seed=None, options=None):
        return np.zeros(1, np.float32), {}
    def step(self, action):
        return np.zeros(1, np.float32), 1.0, True, False, {}

gymnasium.register("Mine-v0", "my_world:Mine")
"""


def test_an_environment_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_world.py").write_text(OWN)
    for name in ("my_world:Mine-v0", "my_world.py:Mine-v0"):
        want = "the environment Mine-v0, which running .* registers, got none of that name. A name is run only where"
        with pytest.raises(UserError, match=f"{want} you give it: say --world {name}"):
            opened(name, 1, 0)  # a name from a file runs nothing
        try:
            admitted(name)
            world = opened(name, 2, 0)
            assert world.step(torch.zeros(2, dtype=torch.long)).ended.all() and world.facts["world"] == name
            with pytest.raises(UserError, match=r"got none of that name\. Did you mean 'Mine-v0'"):
                opened(name.replace("Mine", "Mein"), 1, 0)
            with pytest.raises(UserError, match=r"got none of that name\. It registers Mine-v0"):
                opened(f"{name.partition(':')[0]}:Other-v7", 1, 0)
        finally:
            gymnasium.registry.pop("Mine-v0", None)
            sys.modules.pop("my_world", None)
    (tmp_path / "my_world.py").write_text("1 / 0")
    with pytest.raises(UserError, match=r"a module that can be run in my_world\.py, got ZeroDivisionError"):
        admitted("my_world.py:Mine-v0")
    admitted("CartPole-v1")  # nothing to run


def test_a_world_is_drawn() -> None:
    pytest.importorskip("pygame")
    for name in ("CartPole-v1", "MountainCar-v0"):
        world = gym(name, 2, 0)
        one = world.picture()
        assert one.dtype == torch.uint8 and one.dim() == 3 and one.shape[2] == 3 and len(one.unique()) > 2
        for _ in range(5):
            world.step(torch.zeros(2, dtype=torch.long))
        assert not torch.equal(world.picture(), one)
        world.close()


def test_a_world_that_cannot_be_drawn_says_why(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="a world that can be drawn, Counter0-v0, got one without such a mode"):
        gym(own(), 1, 0).picture()
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UserError, match=r'pygame, which draws MountainCar-v0, got none installed.*"milestones\[rl\]"'):
        gym("MountainCar-v0", 1, 0).picture()

    class Flat(Counter):
        metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

        def __init__(self, render_mode: str | None = None) -> None:
            super().__init__()
            self.render_mode = render_mode

        def render(self) -> Any:
            return np.zeros((3, 3))

    gymnasium.register("Flat-v0", Flat)
    try:
        with pytest.raises(UserError, match="a picture of rows, columns and 3 colours from Flat-v0"):
            gym("Flat-v0", 1, 0).picture()
    finally:
        del gymnasium.registry["Flat-v0"]
