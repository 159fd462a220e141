"""The interface of all worlds: N episodes stepped together, and how they are saved and begun again."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from ..core.source import Facts


class Outcome(NamedTuple):
    """What a step of N episodes led to. An episode that is over begins anew at once: `World.observation` then is the
    first of the next one, and `final` the last of the one that is over."""

    reward: Float[Tensor, "N"]  # raw: nothing is clipped
    ended: Bool[Tensor, "N"]  # the world says that it is over: nothing follows that could be worth anything
    cut: Bool[Tensor, "N"]  # a limit of time says so: what would follow is still worth something
    final: Tensor  # N ...: what was seen after the step; equals `observation` where the episode goes on


class World(Protocol):
    """N episodes on one device. Its state is, per episode, its seed and the actions since its start; a world that
    cannot be replayed says so and starts fresh episodes when it is restored.

    `facts` has "kind": "world"; "world": its name; "shape": list, of one observation; "discrete": bool; "actions": how
    many (discrete) or how long a vector (continuous); with discrete "labels": their names; with continuous "low" and
    "high": lists; "version": of the library that runs it; and all else that decides the worth of a score ("sticky").
    """

    facts: Facts
    observation: Tensor  # N ...: legal raw values (uint8 of a screen, float32 else)

    def step(self, action: Tensor) -> Outcome:
        """`action`: N int64 (discrete) or N A float32 (continuous; clipped to what is legal)."""
        ...

    def fresh(self, count: int, seed: int) -> World:
        """The same world with `count` episodes that begin from keyed seeds: for scoring, or for play."""
        ...

    def picture(self) -> Tensor:
        """H W 3 uint8: what a person sees of the first episode."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None: ...

    def close(self) -> None: ...
