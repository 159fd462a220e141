"""N episodes stepped together, each begun from a seed of its own, so that all of them can be played again."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Facts, key
from .shares import Peers, joined, shares
from .world import Outcome

LONGEST = 200_000  # steps of an episode that are remembered: from a longer one nobody waits for a replay


class Seen(NamedTuple):
    """What a step of N environments led to; the arrays are the caller's."""

    observation: np.ndarray  # N ...
    reward: np.ndarray  # N float
    ended: np.ndarray  # N bool
    cut: np.ndarray  # N bool


class Engine(Protocol):
    """N environments side by side. Each begins when it is told to, from a seed, and never by itself."""

    def begin(self, slots: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """The observations of all N, "N ...", after those of `slots` have begun from `seeds` (31 bits)."""
        ...

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> Seen:
        """One step of all N; where `active`, "N" bool, is false, anything may happen until the slot begins again."""
        ...

    def picture(self) -> np.ndarray:
        """H W 3 uint8 of the first. UserError: it cannot be drawn."""
        ...

    def close(self) -> None: ...


class Split:
    """The engine of this process's share of `count` slots; what happens in the others their processes tell."""

    def __init__(self, make: Callable[[int], Engine], facts: Facts, count: int, peers: Peers) -> None:
        self.peers, self.parts = peers, shares(count, peers.of)
        self.mine = self.parts[peers.rank]
        self.engine = make(len(self.mine)) if len(self.mine) else None
        self.seen = np.zeros((count, *facts["shape"]), facts["dtype"])  # in all slots, lately

    def begin(self, slots: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """`slots` in ascending order, as Episodes has them."""
        here = np.isin(slots, self.mine)
        if self.engine is not None and here.any():
            self.seen[self.mine] = self.engine.begin(slots[here] - self.mine[0], seeds[here])
        counts = [int(np.isin(slots, part).sum()) for part in self.parts]
        (self.seen[slots],) = joined(self.peers, counts, seeds, self.seen[slots[here]])
        return self.seen.copy()

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> Seen:
        none = np.zeros(0, bool)
        came = Seen(self.seen[:0], none, none, none)
        if self.engine is not None:
            came = self.engine.step(action[self.mine], None if active is None else active[self.mine])
        kinds = (self.seen.dtype, np.float64, np.bool_, np.bool_)
        fields = (np.asarray(field, kind) for field, kind in zip(came, kinds, strict=True))
        came = Seen(*joined(self.peers, [len(part) for part in self.parts], action, *fields))
        self.seen[:] = came.observation
        return came

    def picture(self) -> np.ndarray:
        """Of the first process's first slot, which is the first of all; in others of their own first."""
        if self.engine is None:
            do = "Ask the first one"
            raise UserError("an episode to draw in this process", "none: all are played by others", do)
        return self.engine.picture()

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()


class Episodes:
    """A World of any engine. The k-th episode of slot i of a seed always begins alike, however many slots there are.

    It is saved as the actions since each episode's beginning, and restored by playing them again: seconds, or for the
    longest of Atari's episodes minutes. Where that leads elsewhere, fresh episodes begin and `reproducible` is false.
    """

    def __init__(self, make: Callable[[int], Engine], facts: Facts, count: int, seed: int,
                 device: torch.device, peers: Peers | None = None) -> None:  # fmt: skip
        self.facts, self.device, self.seed = facts, device, seed
        self.steps = 0  # of each slot so far
        self.reproducible = True
        self._make, self._count, self._peers = make, count, peers
        self._engine = Split(make, facts, count, peers) if peers else make(count)
        self._number = np.zeros(count, np.int64)  # of the episode in each slot, from 0
        self._begun = np.zeros(count, np.int64)  # at which step it began
        self._past: deque[np.ndarray] = deque(maxlen=LONGEST)  # actions, "N" or "N A"; the last is that of `steps`
        every = np.arange(count)
        self.observation = self._tensor(self._begin(every))

    def __len__(self) -> int:
        return self._count

    def step(self, action: Tensor) -> Outcome:
        """`action`: N int64 (discrete) or N A float32 (continuous; clipped to what is legal). UserError: the
        environment failed, or a reward, observation or action is no number."""
        self.steps += 1
        chosen = self._legal(action)
        try:
            seen = self._engine.step(chosen)
        except UserError:
            raise
        except Exception as problem:  # whatever the user's environment does wrong
            raise self._wrong("steps without an error", f"{type(problem).__name__}: {problem}"[:200]) from problem
        self._past.append(chosen)
        self._check(seen)
        final = observation = self._tensor(seen.observation)
        over = seen.ended | seen.cut
        if over.any():
            slots = np.flatnonzero(over)
            self._number[slots] += 1
            observation = self._tensor(self._begin(slots))
        self.observation = observation
        reward = self._tensor(np.asarray(seen.reward, np.float32))
        return Outcome(reward, self._tensor(seen.ended), self._tensor(seen.cut & ~seen.ended), final)

    def share(self, peers: Peers | None) -> int:
        """From its first step on, play this process's share of the slots alone, also of fresh worlds; None: fresh ones
        are whole again. Into how many parts the episodes can be shared out."""
        self._peers = peers
        if peers:
            assert self.steps == 0, "it has played on its own"
            self._engine.close()
            self._engine = Split(self._make, self.facts, self._count, peers)
            self.observation = self._tensor(self._begin(np.arange(self._count)))
        return self._count

    def fresh(self, count: int, seed: int) -> Episodes:
        """The same world with `count` episodes that begin from seeds of `seed`."""
        return Episodes(self._make, self.facts, count, seed, self.device, self._peers)

    def picture(self) -> Tensor:
        """H W 3 uint8: what a person sees of the first episode. UserError: it cannot be drawn."""
        return torch.from_numpy(np.ascontiguousarray(self._engine.picture()))

    def close(self) -> None:
        """Free what the environments hold."""
        self._engine.close()

    def state_dict(self) -> dict[str, Any]:
        """Per episode its number and its length, the actions since, and what is seen now."""
        past = np.stack(self._past) if self._past else np.zeros((0, self._count), np.uint8)
        return {
            "seed": self.seed, "steps": self.steps, "reproducible": self.reproducible,
            "number": torch.from_numpy(self._number.copy()), "length": torch.from_numpy(self.steps - self._begun),
            "past": torch.from_numpy(past), "observation": self.observation,
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> None:
        """Play the actions again. What is seen at the end must be what was seen; else fresh episodes begin."""
        number, length, past = (state_dict[name].numpy() for name in ("number", "length", "past"))
        want, every = state_dict["observation"], np.arange(self._count)
        if number.shape != (self._count,) or want.shape != self.observation.shape:
            got = f"one of {len(number)} with observations of {list(want.shape[1:])}"
            raise ValueError(f"the state of {self._count} episodes of {self.facts['world']}, {got}")
        if self.facts["discrete"] and past.size and not 0 <= past.min() <= past.max() < self.facts["actions"]:
            raise ValueError(f"actions from {past.min()} to {past.max()} where there are {self.facts['actions']}")
        self.seed, self.steps = int(state_dict["seed"]), int(state_dict["steps"])
        self.reproducible = bool(state_dict["reproducible"])
        self._number, self._begun = number.copy(), self.steps - length
        self._past = deque(past, maxlen=LONGEST)
        whole = length <= len(past)
        try:
            seen = self._replayed(length, past, whole)
        except UserError:  # another process is lost
            raise
        except Exception as problem:  # as in `step`
            again = "steps without an error when they are played again"
            raise self._wrong(again, f"{type(problem).__name__}: {problem}"[:200]) from problem
        same = whole & (seen == want.cpu().numpy()).reshape(self._count, -1).all(1)
        if not same.all():
            lost = every[~same]
            self._number[lost] += 1
            seen = self._begin(lost)
            if self.reproducible:
                text = f"{len(lost)} of {self._count} episodes are not reproducible and were begun anew"
                print(f"{self.facts['world']}: {text}", file=sys.stderr, flush=True)
            self.reproducible = False
        self.observation = self._tensor(seen)

    def _replayed(self, length: np.ndarray, past: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """What is seen after the last `length` actions of each slot, from the beginning of its episode."""
        every, first = np.arange(self._count), len(past) - length
        seen = self._engine.begin(every, self._seeds(every))
        for at, action in enumerate(past):
            if at and (due := np.flatnonzero(first == at)).size:
                seen = self._engine.begin(due, self._seeds(due))
            active = whole & (first <= at)
            if active.any():
                seen = self._engine.step(action, active).observation
        if (due := np.flatnonzero(whole & (first == len(past)))).size and len(past):
            seen = self._engine.begin(due, self._seeds(due))
        return seen

    def _begin(self, slots: np.ndarray) -> np.ndarray:
        """Begin the episodes of these slots; what is seen in all. Actions before the oldest episode are forgotten."""
        self._begun[slots] = self.steps
        try:
            seen = self._engine.begin(slots, self._seeds(slots))
        except UserError:
            raise
        except Exception as problem:  # as in `step`
            raise self._wrong("an episode that begins", f"{type(problem).__name__}: {problem}"[:200]) from problem
        for _ in range(len(self._past) - int((self.steps - self._begun).max())):
            self._past.popleft()
        if seen.dtype != np.uint8 and not np.isfinite(seen).all():
            raise self._wrong("observations that are finite", f"{_first(seen)} at the beginning of an episode")
        return seen

    def _seeds(self, slots: np.ndarray) -> np.ndarray:
        numbers = self._number[slots]
        return np.array([key(self.seed, "episode", *of) >> 32 for of in zip(slots, numbers, strict=True)], np.int64)

    def _legal(self, action: Tensor) -> np.ndarray:
        chosen = action.detach().cpu().numpy()
        if self.facts["discrete"]:
            assert chosen.shape == (self._count,) and chosen.min() >= 0 and chosen.max() < self.facts["actions"]
            return chosen.astype(np.uint8 if self.facts["actions"] <= 256 else np.int64)
        assert chosen.shape == (self._count, self.facts["actions"]), f"actions of shape {chosen.shape}"
        if not np.isfinite(chosen).all():
            do = "The net's answers are no numbers: the step size is likely too high, lower lr"
            raise self._wrong("finite actions", _first(chosen), do)
        return np.clip(chosen, self.facts["low"], self.facts["high"]).astype(np.float32)

    def _check(self, seen: Seen) -> None:
        for name, value in (("rewards", seen.reward), ("observations", seen.observation)):
            if value.dtype != np.uint8 and not np.isfinite(value).all():
                raise self._wrong(f"{name} that are finite", _first(value))

    def _wrong(self, expected: str, got: str, do: str = "Mend the environment, then 'milestones resume'") -> UserError:
        what = f"{got} at step {self.steps:,}"
        return UserError(f"{expected} from {self.facts['world']}", what, f"{do}. What was saved before is kept")

    def _tensor(self, value: np.ndarray) -> Tensor:
        if torch.is_inference_mode_enabled():  # what was seen in it may be learned from after it
            with torch.inference_mode(False):
                return torch.from_numpy(value).to(self.device)
        return torch.from_numpy(value).to(self.device)


def _first(value: np.ndarray) -> str:
    """The first that is no finite number, and of which slot it is."""
    place = tuple(np.argwhere(~np.isfinite(value))[0])
    return f"{value[place]} in slot {place[0]}" + (f", entry {list(map(int, place[1:]))}" if len(place) > 1 else "")
