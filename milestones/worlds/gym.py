"""Any environment of Gymnasium, the user's own included: N of them side by side."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..core.errors import UserError, nearest
from ..core.source import Facts
from .episodes import Engine, Episodes, Seen
from .world import World

CPU = torch.device("cpu")
SUPPORTED = "observations in a Box or Discrete space, actions in a Discrete or a bounded flat Box space"
PACKAGES = (  # pattern of an id, and where it is found
    (r"ALE/|.*NoFrameskip", "Atari's games are named here as 'pong' or 'ALE/Pong-v5'"),
    (r"(Lunar|Bipedal|CarRacing)", "Box2D: pip install \"milestones[rl]\""),
    (r"(Ant|HalfCheetah|Hopper|Humanoid|Inverted|Pusher|Reacher|Swimmer|Walker2d)", 'pip install "gymnasium[mujoco]"'),
    (r"(phys2d|tabular)/", 'pip install "gymnasium[jax]"'),
    (r"MiniGrid|BabyAI", "pip install minigrid, and name it as minigrid:ID"),
    (r"MinAtar", "pip install minatar, and name it as minatar.gym:ID"),
    (r"highway|merge|parking|intersection", "pip install highway-env, and name it as highway_env:ID"),
    (r"Fetch|Hand|Adroit|PointMaze|AntMaze|Franka", "pip install gymnasium-robotics, named as gymnasium_robotics:ID"),
    (r"dm_control/", "pip install shimmy, and name it as shimmy:ID"),
)  # fmt: skip
LABELS = {  # of actions, by the beginning of an id
    "CartPole": ("left", "right"), "MountainCar-": ("left", "none", "right"), "Acrobot": ("left", "none", "right"),
    "LunarLander-": ("none", "left engine", "main engine", "right engine"),
    "FrozenLake": ("left", "down", "right", "up"), "CliffWalking": ("up", "right", "down", "left"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"), "Blackjack": ("stick", "hit"),
}  # fmt: skip
CLOSE = 0.8  # a name that is so like another is a slip, and not another package's
MISSING = 'Install it: pip install "milestones[rl]"'


def gym(name: str, count: int, seed: int, *, device: torch.device = CPU) -> Episodes:
    """N = `count` episodes of the environment that Gymnasium knows by `name`; of "MODULE:ID" the part before the colon
    has been run before. CartPole is stepped as one by Gymnasium's own code, others one after the other.

    UserError: Gymnasium or the environment's package is missing, an unknown id, spaces that are not supported.
    """
    spec = spec_of(name)
    first = made(spec, name)
    facts = described(first, spec, name)
    limited = spec.max_episode_steps and not spec.kwargs
    poles = limited and spec.entry_point == "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    first.close()

    def make(count: int) -> Engine:
        return Poles(count, spec.max_episode_steps, facts) if poles else Separate(spec, name, count, facts)

    return Episodes(make, facts, count, seed, device)


def gymnasium() -> Any:
    """The package. UserError: it is not installed."""
    try:
        import gymnasium as package
    except ImportError:
        raise UserError("gymnasium, which has the worlds", "none installed", MISSING) from None
    return package


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Gymnasium's warnings, of older versions of an environment and the like."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def spec_of(name: str) -> Any:
    """What Gymnasium has registered under the name. UserError: nothing; with near names, and who has it."""
    # Once ale-py was imported it has registered its games, too; they would be played without DQN's pictures.
    registry = {known: spec for known, spec in gymnasium().registry.items() if "ale_py" not in str(spec.entry_point)}
    module, _, own = name.rpartition(":")
    if own in registry:
        return registry[own]
    if module:
        want = f"the environment {own}, which running {module} registers"
        ours = [known for known, spec in registry.items() if from_module(spec, module)]
        do = nearest(own, ours, f"It registers {', '.join(ours[:8])}") if ours else ""
        do = do or f"A name is run only where you give it: say --world {name}"
        raise UserError(want, "none of that name", do)
    package = next((where for pattern, where in PACKAGES if re.match(pattern, name)), "")
    stem = name.rpartition("-v")[0] or name
    versions = [known for known in registry if known.rpartition("-v")[0] == stem]
    close = versions or difflib.get_close_matches(name, registry, 1, CLOSE)
    if package and not close:
        do = f"It is not Gymnasium's own: {package}"
    else:
        near = f"Did you mean {close[-1]!r}?" if close else nearest(name, registry, "For example CartPole-v1.")
        do = f"{near} One of yours: MODULE:ID"
    raise UserError("an environment that Gymnasium knows", f"no {name!r}", do)


def from_module(spec: Any, name: str) -> bool:
    """Whether the spec's environment is of the module, or the file, of this name."""
    point, module = spec.entry_point, name.replace("\\", "/").rpartition("/")[2].removesuffix(".py")
    home = point.partition(":")[0] if isinstance(point, str) else str(getattr(point, "__module__", ""))
    return home == module or home.startswith(f"{module}.")


def made(spec: Any, name: str, mode: str | None = None) -> Any:
    """One environment of the spec. UserError: its package is missing, or it cannot be made."""
    package = gymnasium()
    try:
        with quiet():
            more = {"render_mode": mode} if mode else {}
            return package.make(spec, disable_env_checker=True, **more)
    except (package.error.DependencyNotInstalled, ImportError) as problem:
        where = next((where for pattern, where in PACKAGES if re.match(pattern, spec.id)), "")
        line = " ".join(str(problem).split())[:160]
        raise UserError(f"the package that has {name}", line, where or "Install it with pip") from None
    except Exception as problem:  # whatever the user's environment does wrong
        line = f"{type(problem).__name__}: {problem}"[:200]
        raise UserError(f"an environment {name} that can be made", line, "Mend it") from problem


def described(env: Any, spec: Any, name: str) -> Facts:
    """The facts of the environment. UserError: its spaces are not supported; which are is named."""
    spaces, package = gymnasium().spaces, gymnasium()
    seen, does = (getattr(env, space, None) for space in ("observation_space", "action_space"))

    def refuse(what: str, space: Any) -> UserError:
        got = f"{what} in {str(space)[:100]}"
        return UserError(SUPPORTED, got, "Wrap the environment, or take another", name)

    if isinstance(seen, spaces.Discrete):
        shape = [int(seen.n)]
    elif isinstance(seen, spaces.Box) and 0 not in seen.shape:
        screen = seen.dtype == np.uint8 and len(seen.shape) == 3 and seen.shape[2] in (1, 3, 4)
        shape = [int(n) for n in ((seen.shape[2], *seen.shape[:2]) if screen else seen.shape)] or [1]
    else:
        raise refuse("observations", seen)
    facts: Facts = {"kind": "world", "world": name, "shape": shape, "version": f"gymnasium {package.__version__}"}
    facts["dtype"] = "uint8" if isinstance(seen, spaces.Box) and seen.dtype == np.uint8 else "float32"
    if isinstance(does, spaces.Discrete):
        labels = next((names for stem, names in LABELS.items() if spec.id.startswith(stem)), ())
        names = labels if len(labels) == does.n else tuple(map(str, range(int(does.n))))
        facts |= {"discrete": True, "actions": int(does.n), "labels": list(names), "first": int(does.start)}
    elif isinstance(does, spaces.Box) and len(does.shape) == 1 and np.isfinite([does.low, does.high]).all():
        low, high = (edge.astype(float).tolist() for edge in (does.low, does.high))
        facts |= {"discrete": False, "actions": int(does.shape[0]), "low": low, "high": high}
    else:
        raise refuse("actions", does)
    limit = spec.max_episode_steps
    note = f"episodes are cut after {limit:,} steps" if limit else "episodes are never cut"
    rate = env.metadata.get("render_fps")
    facts |= {"limit": limit, "rate_hz": float(rate) if isinstance(rate, int | float) and 0 < rate <= 1000 else 30.0}
    return facts | {"data": {"name": name, "note": f"{facts['version']}; {note}"}}


class Poles:
    """CartPole by Gymnasium's vectorised code. It begins episodes by itself at the step after the last one; here they
    are begun at once, in the states that CartPoleEnv draws from the same seeds."""

    def __init__(self, count: int, limit: int, facts: Facts) -> None:
        from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

        self.env, self.facts, self._drawn = CartPoleVectorEnv(count, limit), facts, None
        self.env.reset(seed=0)

    def begin(self, slots: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        env = self.env
        for slot, seed in zip(slots, seeds, strict=True):
            env.state[:, slot] = np.random.default_rng(seed).uniform(-0.05, 0.05, 4)
        env.steps[slots] = 0
        env.prev_done[slots] = False
        return np.ascontiguousarray(env.state.T, np.float32)

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> Seen:
        seen, reward, ended, cut, _ = self.env.step(action.astype(np.int64))
        return Seen(np.ascontiguousarray(seen), reward, ended, cut)

    def picture(self) -> np.ndarray:
        if self._drawn is None:
            self._drawn = made(spec_of("CartPole-v1"), self.facts["world"], "rgb_array").unwrapped
        self._drawn.state = self.env.state[:, 0]
        return rendered(self._drawn, self.facts["world"])

    def close(self) -> None:
        self.env.close()
        if self._drawn is not None:
            self._drawn.close()


class Separate:
    """Environments one by one in this process: for those that take less time than a message to another process."""

    def __init__(self, spec: Any, name: str, count: int, facts: Facts) -> None:
        self.facts, self.picturesque = facts, "rgb_array" in modes(spec)
        self.envs = [made(spec, name, "rgb_array" if self.picturesque and k == 0 else None) for k in range(count)]
        space = self.envs[0].observation_space
        self.one_hot = isinstance(space, gymnasium().spaces.Discrete)
        self.screen = len(space.shape) == 3 and list(space.shape) != facts["shape"]  # channels last, as Gymnasium's
        self.seen = np.zeros((count, *facts["shape"]), facts["dtype"])

    def begin(self, slots: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        for slot, seed in zip(slots, seeds, strict=True):
            self._put(slot, self.envs[slot].reset(seed=int(seed))[0])
        return self.seen.copy()

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> Seen:
        count, discrete = len(self.envs), self.facts["discrete"]
        reward, over = np.zeros(count, np.float64), np.zeros((2, count), bool)
        for slot in range(count) if active is None else np.flatnonzero(active):
            chosen = int(action[slot]) + self.facts["first"] if discrete else action[slot]
            seen, reward[slot], over[0, slot], over[1, slot], _ = self.envs[slot].step(chosen)
            self._put(slot, seen)
        return Seen(self.seen.copy(), reward, *over)

    def _put(self, slot: int, seen: Any) -> None:
        if self.one_hot:
            self.seen[slot] = 0
            self.seen[slot, int(seen) - int(self.envs[slot].observation_space.start)] = 1
            return
        seen = np.asarray(seen)
        self.seen[slot] = seen.transpose(2, 0, 1) if self.screen else seen.reshape(self.facts["shape"])

    def picture(self) -> np.ndarray:
        if not self.picturesque:
            do = "Give it a render_mode 'rgb_array', as Gymnasium's have"
            raise UserError(f"a world that can be drawn, {self.facts['world']}", "one without such a mode", do)
        return rendered(self.envs[0], self.facts["world"])

    def close(self) -> None:
        for env in self.envs:
            env.close()


def modes(spec: Any) -> list[str]:
    """The ways in which the environment can be drawn, as its class says before one is made."""
    from gymnasium.envs.registration import load_env_creator

    creator = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
    return list(getattr(creator, "metadata", {}).get("render_modes") or [])


def rendered(env: Any, name: str) -> np.ndarray:
    """H W 3 uint8. UserError: the package that draws is missing, or it draws no picture."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures are drawn in memory: no window is wanted
    try:
        with quiet():
            picture = env.render()
    except gymnasium().error.DependencyNotInstalled:
        raise UserError(f"pygame, which draws {name}", "none installed", MISSING) from None
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or math.prod(picture.shape) == 0:
        got = f"one of shape {list(picture.shape)}"
        raise UserError(f"a picture of rows, columns and 3 colours from {name}", got, "Mend its 'render'")
    return picture.astype(np.uint8)


def needs(world: World, *, discrete: bool, page: str) -> None:
    """UserError: the world has another kind of actions than the page's method chooses among."""
    facts = world.facts
    if facts["discrete"] != discrete:
        want = "a world with a few actions to choose among" if discrete else "a world whose actions are numbers"
        got = f"{facts['world']}, whose actions are " + ("numbers" if discrete else "a few to choose among")
        raise UserError(want, got, "Take the page ppo, which knows both, or another world", page)
