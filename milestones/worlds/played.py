"""Whole episodes played to see what an agent is worth: their returns, the scores made of them, and one as a film."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from PIL import Image as Pillow
from torch import Tensor, nn

from ..core.errors import UserError
from ..core.interval import student
from ..core.score import Score
from ..core.source import Data, Facts, Held, Place, key, keyed
from ..core.system import Probe
from ..media import Text, Video
from .open import opened
from .world import World

LONGEST = 1_000_000  # steps after which an episode is not waited for
PLAYED, SHOWN = 5_000, 2_400  # steps of an episode that is shown, and those of them that its film has, at most
FRAMES, HEIGHT = 300, 240  # of a film
SLOTS, STEPS = 8, 128  # episodes side by side, and steps of each, from which examples of what is met are taken
TABLE = Path(__file__).parents[1] / "data" / "atari_scores.json"
Human = Literal["nature", "wang"]


class Returns(NamedTuple):
    """What episodes came to."""

    value: Float[Tensor, "E"]  # the sum of the rewards, undiscounted
    length: Int[Tensor, "E"]  # steps


@torch.inference_mode()
def played(world: World, act: Callable[[Tensor], Tensor], episodes: int) -> Returns:
    """The first `episodes` // N episodes of each of the world's N slots: were it the first that end anywhere, the
    short ones would be over-represented. `act`: observation -> action, in the way that is to be measured.

    UserError: an episode that does not end.
    """
    count = len(world.observation)
    each, rest = divmod(episodes, count)
    assert each >= 1 and not rest, f"{episodes} episodes in {count} slots"
    value, length = torch.zeros(2, each, count, dtype=torch.float64)
    slots, done = torch.arange(count), torch.zeros(count, dtype=torch.long)
    while bool((done < each).any()):
        out = world.step(act(world.observation))
        reward, over = out.reward.cpu().double(), (out.ended | out.cut).cpu()
        here = done < each
        row = done.clamp(max=each - 1)
        value[row[here], slots[here]] += reward[here]
        length[row[here], slots[here]] += 1
        done += over & here
        if bool((length > LONGEST).any()):
            got = f"one that goes on after {LONGEST:,} steps"
            do = "Register it with max_episode_steps, so that it is cut"
            raise UserError(f"episodes of {world.facts['world']} that end", got, do)
    return Returns(value.flatten(), length.flatten().long())


def return_score(returns: Returns, facts: Facts, *, paper: float | None = None, paper_data: str = "") -> Score:
    """The mean return of fresh episodes, with Student's 95 % interval of these episodes; of the last checkpoint."""
    count, mean = len(returns.value), float(returns.value.mean())
    half = student(count - 1) * float(returns.value.std()) / count**0.5 if count > 1 else 0.0
    middle, longest = int(returns.length.median()), int(returns.length.max())
    note = f"last checkpoint, fresh episodes of {middle:,} steps in the median, {longest:,} at most"
    if "skip" in facts:
        note += f"; {int(returns.length.sum()) * facts['skip']:,} frames"
    if more := facts.get("data", {}).get("note"):
        note += f"; {more}"
    return Score(mean, mean - half, mean + half, "points" if "skip" in facts else "reward", "higher",
                 world_name(facts), "fresh episodes", count, paper, paper_data, note)  # fmt: skip


def normalised_score(returns: Returns, facts: Facts, human: Human = "nature") -> dict[str, Score]:
    """`normalised`: 0 % is a random player, 100 % the human one of this table (Mnih et al. 2015, extended data, table
    2; Wang et al. 2016). Nothing where it has no such game."""
    ends = atari_scores(human).get(str(facts.get("world"))) if facts.get("atari") else None
    if ends is None:
        return {}
    low, high = ends
    share = 100 * (returns.value - low) / (high - low)
    whole = return_score(Returns(share, returns.length), facts)
    note = f"random {low:g}, human {high:g} by {source_of(human)}"
    return {"normalised": Score(whole.value, whole.low, whole.high, "% of human", "higher", whole.data, whole.split,
                                whole.over, note=note)}  # fmt: skip


def world_name(facts: Facts) -> str:
    """What a score says that it was measured on."""
    return str(facts.get("data", {}).get("name") or facts["world"])


@cache
def _table() -> dict[str, Any]:
    return json.loads(TABLE.read_text(encoding="utf-8"))


def atari_scores(human: Human = "nature") -> dict[str, tuple[float, float]]:
    """Random's and the human's score by game, as ale-py names it."""
    return {game: (row[human][0], row[human][1]) for game, row in _table()["games"].items() if human in row}


def source_of(human: Human) -> str:
    """Where a table is from."""
    return str(_table()["sources"][human])


def episode(model: nn.Module, facts: Facts, seed: int = 0) -> dict[str, Any]:
    """One episode of the model's best actions in the world that `facts` name, as `filmed`."""
    act: Callable[..., Tensor] = model.act  # type: ignore[assignment]
    sticky = float(facts.get("sticky", 0.25))
    return filmed(opened(str(facts["world"]), 1, key(seed, "episode"), sticky=sticky), act)


def filmed(world: World, act: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The world's one episode as a film, "episode", with the sum of the rewards so far for each frame, and its "return"
    in words; the world is closed. Of a long one the film has the beginning, played faster than it went.

    UserError: it cannot be drawn.
    """
    frames, sums, every, total, steps, ended, cut = list[np.ndarray](), [0.0], 1, 0.0, 0, False, False
    try:
        frames.append(_small(world.picture()))
        with torch.inference_mode():
            while steps < PLAYED and not (ended or cut):
                out = world.step(act(world.observation))
                total, steps = total + float(out.reward), steps + 1
                ended, cut = bool(out.ended), bool(out.cut)
                if steps % every == 0 and steps <= SHOWN and not (ended or cut):  # what is seen then is the next one's
                    frames.append(_small(world.picture()))
                    sums.append(total)
                if len(frames) > FRAMES:
                    frames, sums, every = frames[::2], sums[::2], 2 * every
    finally:
        world.close()
    rate = float(world.facts.get("rate_hz", 10.0))
    film = Video(np.stack(frames), max(min(rate, 10.0), rate / every), {"return": sums})
    how = "ended" if ended else "was cut by its limit of time" if cut else "was not over then"
    shown = f"; shown are the first {SHOWN:,} steps" if steps > SHOWN else ""
    return {"episode": film, "return": Text(f"{total:.6g} in {steps:,} steps; the episode {how}{shown}")}


def _small(picture: Tensor) -> np.ndarray:
    """A picture of at most HEIGHT rows, by a whole factor."""
    pixels = picture.cpu().numpy()
    factor = -(-pixels.shape[0] // HEIGHT)
    return np.asarray(Pillow.fromarray(pixels).reduce(factor)) if factor > 1 else pixels


class Met(NamedTuple):
    """What was seen where a policy plays."""

    observation: Shaped[Tensor, "B ..."]


def choices(scores: Callable[[Tensor], Float[Tensor, "B A"]], batch: Met) -> Probe:
    """The probe of a policy that chooses among actions: what it does is taken for right. A screen has levels from 0 to
    255; a vector has no range."""
    seen = batch.observation
    low, high = (0.0, 255.0) if seen.dtype == torch.uint8 else (-math.inf, math.inf)
    with torch.no_grad():
        return Probe(seen.float(), low, high, scores, scores(seen).argmax(-1))


def met(world: World, act: Callable[[Tensor], Tensor], place: Place) -> Data[Met]:
    """What is seen where `act` plays in fresh episodes, as examples in random order, other episodes for each part of
    the data; the world is closed. UserError: its actions are numbers, of which none is chosen."""
    facts, parts = world.facts, []
    if not facts["discrete"]:
        world.close()
        do = "Take a run in a world of discrete actions"
        raise UserError("a run that chooses among actions", f"numbers as actions in {facts['world']}", do)
    name = f"what it meets in {world_name(facts)}, its own choices taken for right"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(key(place.seed, "met"))
        for split in ("train", "valid", "test"):
            fresh, seen = world.fresh(SLOTS, key(place.seed, "met", split)), list[Tensor]()
            for _ in range(STEPS):
                seen.append(fresh.observation.cpu().clone())
                fresh.step(act(fresh.observation))
            fresh.close()
            order = torch.randperm(SLOTS * STEPS, generator=keyed(place.seed, "met", split))
            parts.append(Held(Met(torch.cat(seen)[order]), place, name, split))
    world.close()
    return Data(parts[0], parts[1], parts[2], facts)
