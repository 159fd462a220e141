"""A page that learns to stay on a winding road by a table of values: a world with frames, watched and played."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from milestones.core.config import Config, Field
from milestones.core.run import Run
from milestones.core.score import Score
from milestones.core.source import Facts, Place
from milestones.core.system import System
from milestones.media import Media, Number, Video

WIDTH, LENGTH, SHOWN = 11, 40, 8  # squares


class Knobs(Config):
    steps: int = Field(default=400, ge=1, description="moves")


class Outcome(NamedTuple):
    reward: Tensor
    ended: Tensor
    cut: Tensor
    final: Tensor


class Road:
    """One car; its place is the column. `observation` "1 2": car and road ahead."""

    def __init__(self) -> None:
        self.facts: Facts = {"data": {"name": "road"}, "discrete": True, "labels": ["left", "straight", "right"]}
        self.middle = (5 + 3 * np.sin(np.arange(LENGTH + SHOWN) / 4)).round().astype(int)
        self.begin()

    def begin(self) -> None:
        self.at, self.row = 5, 0
        self.observation = torch.tensor([[self.at, int(self.middle[1])]])

    def step(self, action: Tensor) -> Outcome:
        self.at = int(np.clip(self.at + int(action[0]) - 1, 0, WIDTH - 1))
        self.row += 1
        on = abs(self.at - self.middle[self.row]) <= 1
        self.observation = torch.tensor([[self.at, int(self.middle[self.row + 1])]])
        return Outcome(torch.tensor([float(on)]), torch.tensor([not on]), torch.tensor([self.row >= LENGTH]),
                       self.observation)  # fmt: skip

    def fresh(self, count: int, seed: int) -> Road:
        """All roads are alike."""
        return Road()

    def close(self) -> None: ...

    def picture(self) -> Tensor:
        return torch.from_numpy(self.frame())

    def frame(self) -> np.ndarray:
        """The road ahead from above: 8 rows of 11 squares of 6 pixels, in colour."""
        ahead = self.middle[self.row : self.row + SHOWN][::-1]
        grass = np.abs(np.arange(WIDTH) - ahead[:, None]) > 1
        colours = np.where(grass[..., None], (70, 130, 80), (120, 120, 125)).astype(np.uint8)
        colours[-1, self.at] = (200, 40, 40)
        return colours.repeat(6, 0).repeat(6, 1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(2 * WIDTH + 1, 3), requires_grad=False)

    def of(self, world: Road) -> Tensor:
        car, road = world.observation[0].tolist()
        return self.values[road - car + WIDTH]


def prepare(knobs: Knobs, place: Place) -> Road:
    return Road()


def build(knobs: Knobs, facts: Facts) -> Net:
    return Net()


def train(knobs: Knobs, model: Net, world: Road, run: Run) -> None:
    world.begin()
    for _ in run.steps(knobs.steps, "train", model=model):
        now = model.of(world)
        chosen = int(torch.randint(0, 3, ())) if torch.rand(()) < 0.3 else int(now.argmax())
        told = world.step(torch.tensor([chosen]))
        last = bool(told.ended[0]) or bool(told.cut[0])
        goal = told.reward[0] + (0.0 if last else 0.8 * model.of(world).max())
        now[chosen] += 0.5 * (goal - now[chosen])
        run.log(loss=float((goal - now[chosen]) ** 2))
        if last:
            world.begin()
        if run.every(200):
            run.show(drive=watched(model))


def watched(model: Net) -> Video:
    world, frames, values, seen = Road(), [], [], []
    while world.row < LENGTH:
        now = model.of(world)
        frames.append(world.frame())
        values.append(float(now.max()))
        glance = np.zeros((SHOWN, WIDTH), np.float32)
        glance[-2, int(world.observation[0, 1])], glance[-1, world.at] = 1, 0.5
        seen.append(glance)
        if world.step(now.argmax()[None]).ended[0]:
            break
    return Video(np.stack(frames), 8, {"value": values}, np.stack(seen))


def score(knobs: Knobs, model: Net, world: Road, place: Place) -> dict[str, Score]:
    kept = float(len(watched(model).frames))
    return {"squares": Score(kept, kept, kept, "squares", "higher", "road", "test", 1)}


def use(model: Net, facts: Facts, items: list[Any]) -> list[dict[str, Media]]:
    film = watched(model)
    return [{"drive": film, "squares": Number(float(len(film.frames)), "squares")}]


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, build, train, score, use)
