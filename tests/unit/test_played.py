"""Episodes played to measure: which of them count, the scores made of them, the 49 games, and one as a film."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from milestones.core.errors import UserError
from milestones.core.interval import student
from milestones.core.source import Place
from milestones.media import Text, Video
from milestones.worlds import played as measure
from milestones.worlds.gym import gym
from milestones.worlds.open import opened
from milestones.worlds.played import (
    Met,
    Returns,
    atari_scores,
    choices,
    episode,
    met,
    normalised_score,
    played,
    return_score,
)  # fmt: skip
from milestones.worlds.world import Outcome

FACTS = {"world": "line", "data": {"name": "a line", "note": "made here"}}


class Lengths:
    """Slot i's k-th episode lasts `lengths[i][k]` steps and pays its own number once a step."""

    def __init__(self, lengths: list[list[int]]) -> None:
        self.lengths, self.facts = lengths, dict(FACTS)
        self.at, self.left = [0] * len(lengths), [row[0] for row in lengths]
        self.observation = torch.zeros(len(lengths), 1)

    def step(self, action: Tensor) -> Outcome:
        count = len(self.lengths)
        reward, ended = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
        for slot in range(count):
            reward[slot] = 10 * slot + self.at[slot] + 1
            self.left[slot] -= 1
            ended[slot] = self.left[slot] == 0
            if ended[slot]:
                self.at[slot] += 1
                row = self.lengths[slot]
                self.left[slot] = row[self.at[slot]] if self.at[slot] < len(row) else 1
        return Outcome(reward, ended & (action == 0), ended & (action == 1), self.observation)


def noop(observation: Tensor) -> Tensor:
    return torch.zeros(len(observation), dtype=torch.long)


def test_the_first_episodes_of_each_slot_count_and_no_others() -> None:
    """Slot 0 plays many short ones while slot 1 plays its long ones."""
    found = played(Lengths([[1, 2, 1, 1, 1], [9, 4, 1]]), noop, 4)
    assert found.length.tolist() == [1, 9, 2, 4]
    assert found.value.tolist() == [1 * 1, 11 * 9, 2 * 2, 12 * 4]
    cut = played(Lengths([[3], [2]]), lambda seen: noop(seen) + 1, 2)
    assert cut.length.tolist() == [3, 2], "a limit ends an episode, too"


def test_cart_pole_is_measured_as_one_by_one() -> None:
    def act(seen: Tensor) -> Tensor:
        return (seen[:, 2] + 0.5 * seen[:, 3] > 0).long()

    many = played(gym("CartPole-v1", 6, 3), act, 12)
    world, found = gym("CartPole-v1", 6, 3), [[0.0] for _ in range(6)]
    while any(len(row) < 3 for row in found):
        out = world.step(act(world.observation))
        for slot in range(6):
            found[slot][-1] += float(out.reward[slot])
            if bool(out.ended[slot] | out.cut[slot]):
                found[slot].append(0.0)
    assert many.value.tolist() == [row[k] for k in range(2) for row in found]
    assert many.value.tolist() == many.length.tolist(), "a point a step"


def test_an_episode_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LONGEST", 50)
    with pytest.raises(UserError, match=r"episodes of line that end, got one that goes on after 50 steps. Register it "
                                        "with max_episode_steps"):  # fmt: skip
        played(Lengths([[10_000]]), noop, 1)


def test_the_return_is_a_mean_with_its_interval() -> None:
    value = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    score = return_score(Returns(value, torch.tensor([4, 5, 9])), FACTS, paper=3.0, paper_data="a line")
    half = student(2) * math.sqrt(7) / math.sqrt(3)
    assert (score.value, score.low, score.high) == pytest.approx((3, 3 - half, 3 + half))
    assert (score.unit, score.better, score.data, score.split, score.over) == \
        ("reward", "higher", "a line", "fresh episodes", 3)  # fmt: skip
    assert score.comparable and score.paper == 3
    assert score.note == "last checkpoint, fresh episodes of 5 steps in the median, 9 at most; made here"
    one = return_score(Returns(value[:1], torch.tensor([4])), FACTS)
    assert one.low == one.value == one.high == 1
    frames = return_score(Returns(value, torch.tensor([4, 5, 9])), {**FACTS, "skip": 4})
    assert frames.unit == "points" and "; 72 frames" in frames.note


def test_the_human_is_100_percent_by_the_table_that_is_named() -> None:
    facts = {"world": "pong", "atari": True, "skip": 4}
    returns = Returns(torch.tensor([-20.7, 9.3], dtype=torch.float64), torch.tensor([10, 20]))
    score = normalised_score(returns, facts)["normalised"]
    assert score.value == pytest.approx(50) and score.unit == "% of human" and score.data == "pong"
    assert "random -20.7, human 9.3 by Mnih et al. (2015)" in score.note
    wang = normalised_score(returns, facts, "wang")["normalised"]
    assert wang.value == pytest.approx(50 * 30 / 35.3) and "Wang" in wang.note
    assert normalised_score(returns, {"world": "CartPole-v1"}) == {}
    assert normalised_score(returns, {**facts, "world": "tetris"}) == {}
    assert normalised_score(returns, {**facts, "world": "alien"}, "wang") == {}


def test_the_table_has_the_papers_percentages() -> None:
    """Its last column follows from the others; two games are printed with a figure that was rounded before."""
    rows = measure._table()["games"]
    assert len(rows) == 49
    for game, row in rows.items():
        low, high = row["nature"]
        percent = 100 * (row["dqn"][0] - low) / (high - low)
        assert percent == pytest.approx(row["dqn_percent"], rel=0.002, abs=1.1), game
    assert atari_scores("nature")["breakout"] == (1.7, 31.8) and atari_scores("wang")["breakout"] == (1.7, 30.5)
    above = sum(row["dqn_percent"] >= 100 for row in rows.values())
    assert above == 23


class Balancing(nn.Module):
    def act(self, observation: Tensor, greedy: bool = True) -> Tensor:
        assert not torch.is_grad_enabled() and greedy
        return (observation[:, 2] + 0.5 * observation[:, 3] > 0).long()


def test_an_episode_is_a_film_with_its_return() -> None:
    pytest.importorskip("pygame")
    found: dict[str, Any] = episode(Balancing(), gym("CartPole-v1", 1, 0).facts)
    film, text = found["episode"], found["return"]
    assert list(found) == ["episode", "return"] and isinstance(film, Video) and isinstance(text, Text)
    assert film.frames.shape[1] <= measure.HEIGHT and film.frames.shape[3] == 3
    total = float(str(text).split()[0])
    assert str(text).startswith(f"{total:g} in {total:g} steps; the episode ")
    every = 1 if total <= measure.FRAMES else 2
    assert len(film.frames) == -(-total // every) and film.rate_hz == 50 / every
    shown = [float(every * k) for k in range(len(film.frames))]
    assert film.values["return"] == shown, "the last step shows the next episode"
    again: dict[str, Any] = episode(Balancing(), gym("CartPole-v1", 1, 0).facts)
    assert again["episode"].values == film.values, "of its seed"


def test_a_long_film_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    monkeypatch.setattr(measure, "FRAMES", 20)
    monkeypatch.setattr(measure, "SHOWN", 90)
    monkeypatch.setattr(measure, "PLAYED", 120)
    found: dict[str, Any] = episode(Balancing(), gym("CartPole-v1", 1, 0).facts)
    film = found["episode"]
    assert 10 <= len(film.frames) <= 20 and film.rate_hz == 10
    assert film.values["return"] == [8.0 * k for k in range(len(film.frames))]
    assert "not over then; shown are the first 90 steps" in str(found["return"]) or "ended" in str(found["return"])


def test_an_episode_of_atari_is_a_film() -> None:
    class Noop(nn.Module):
        def act(self, observation: Tensor, greedy: bool = True) -> Tensor:
            return torch.zeros(len(observation), dtype=torch.long)

    facts = opened("pong", 1, 0).facts
    found: dict[str, Any] = episode(Noop(), facts)
    assert found["episode"].frames.shape[1:] == (210, 160, 3) and found["episode"].rate_hz == 10
    assert str(found["return"]).startswith("-21 in ")


PLACE = Place(torch.device("cpu"), 3)


def test_what_a_policy_meets_is_what_it_leads_to() -> None:
    """Who always pushes right sees a pole that falls to the left; each part of the data has episodes of its own."""
    world = opened("CartPole-v1", 1, 0)
    data = met(world, lambda seen: torch.ones(len(seen), dtype=torch.long), PLACE)
    parts = [next(iter(part.sweep(10_000))).observation for part in data[:3]]
    assert [part.shape for part in parts] == [(measure.SLOTS * measure.STEPS, 4)] * 3
    assert all(float(part[:, 1].mean()) > 0.2 > -0.1 > float(part[:, 3].mean()) for part in parts)
    assert len(torch.cat(parts).unique(dim=0)) > 0.9 * sum(map(len, parts))
    assert "its own choices taken for right" in data.test.name and data.facts["labels"] == ["left", "right"]
    again = met(opened("CartPole-v1", 1, 0), lambda seen: torch.ones(len(seen), dtype=torch.long), PLACE)
    assert torch.equal(next(iter(again.test.sweep(10_000))).observation, parts[2])


def test_numbers_as_actions_are_no_choice() -> None:
    with pytest.raises(UserError, match="a run that chooses among actions, got numbers as actions in Pendulum-v1"):
        met(opened("Pendulum-v1", 1, 0), noop, PLACE)


def test_the_probe_of_a_policy_takes_its_choice_for_right() -> None:
    weight = torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]])
    vector = choices(lambda seen: seen @ weight.T, Met(torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0]])))
    assert vector.target.tolist() == [0, 1] and (vector.low, vector.high) == (-math.inf, math.inf)
    screen = choices(lambda seen: seen.flatten(1)[:, :2].float(), Met(torch.tensor([[[[9, 4]]]], dtype=torch.uint8)))
    assert screen.target.tolist() == [0] and (screen.low, screen.high) == (0.0, 255.0)
    assert screen.input.dtype == torch.float32
