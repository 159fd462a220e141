"""What a game, a world and a sound are asked of the desk, without a browser."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.media import Audio, Board, Video
from milestones.studio.acts import play
from milestones.studio.carry import carried, received


def desk(takes: tuple[type, ...] = (), facts: dict[str, Any] | None = None, made: object = None) -> Any:
    system = SimpleNamespace(takes=takes, prepare=lambda knobs, place: made)
    trained = SimpleNamespace(system=system, entry=SimpleNamespace(name="own"), facts=facts or {}, knobs=None,
                              config={}, use=lambda items: [{"board": items[0]}])  # fmt: skip
    return SimpleNamespace(trained=lambda run: trained, memory={})


class Line:
    def __init__(self) -> None:
        self.facts = {"discrete": True, "labels": ["left", "right"]}

    def fresh(self, count: int, seed: int) -> Line:
        assert count == 1
        return Line()

    def picture(self) -> torch.Tensor:
        return torch.zeros(4, 4, 3, dtype=torch.uint8)

    def step(self, action: torch.Tensor) -> Any:
        ended = action == 1
        return SimpleNamespace(reward=torch.tensor([2.0]), ended=ended, cut=torch.zeros(1))

    def close(self) -> None: ...


def test_a_world_is_played_until_it_ends() -> None:
    one = desk(made=Line())
    ask = {"do": "world", "run": "own-1"}
    with pytest.raises(UserError, match="a game that has begun, got none"):
        play.act(one, {**ask, "action": 0}, b"")
    assert play.act(one, ask, b"").content["total"] == 0
    assert play.act(one, {**ask, "action": 0}, b"").content["total"] == 2
    with pytest.raises(UserError, match=r"an action from 0 to 1, got 7. Press one of the buttons"):
        play.act(one, {**ask, "action": 7}, b"")
    assert play.act(one, {**ask, "action": 1}, b"").content["over"]
    assert play.act(one, {**ask, "action": 0}, b"").content["steps"] == 2  # no further
    with pytest.raises(UserError, match="a run of a world with pictures and named actions"):
        play.act(desk(), ask, b"")


def test_what_plays_nothing_says_so() -> None:
    with pytest.raises(UserError, match="a run that plays a game on a board, got own, which does not"):
        play.act(desk(), {"do": "move"}, b"")
    with pytest.raises(UserError, match="a run that plays by itself, got own, which wants input"):
        play.act(desk((Board,)), {"do": "watch"}, b"")
    one = desk((Board,), {"board": Board.empty(3, 3, "x").plain()})
    with pytest.raises(UserError, match="a board of 3 x 3, got one of 9 x 9"):
        play.act(one, {"do": "move"}, b"(;SZ[9];B[aa])")
    assert play.act(one, {"do": "move"}, b"").content["items"][0]["kind"] == "board"


def test_sounds_and_films_are_carried() -> None:
    samples = np.linspace(-1, 1, 8, dtype=np.float32)
    found = received({"kind": "audio", "rate_hz": 8000}, samples.tobytes(), (Audio,), "own")
    assert np.array_equal(found.samples, samples)
    with pytest.raises(UserError, match="float32 samples and their rate in hertz, got 3 bytes"):
        received({"kind": "audio", "rate_hz": 8000}, b"abc", (Audio,), "own")
    saliency = np.array([[[0.0, 1.0]], [[1.0, 0.0]]], np.float32)
    told = carried({"film": Video(np.zeros((2, 2, 4, 3), np.uint8), 5, {}, saliency), "sound": found})
    assert told.arrays["film"].shape == (2, 2, 4, 4) and told.arrays["film"][0, 1, :, 3].tolist() == [0, 0, 255, 255]
    assert told.arrays["sound"].dtype == np.float32 and told.content["items"][0]["value"]["saliency"]
