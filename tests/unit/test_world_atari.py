"""Atari's games from the ROMs in ale-py's package: the protocol, episodes that begin alike, exact restoring."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.state import read_state, write_state
from milestones.worlds import atari as console
from milestones.worlds.atari import atari
from milestones.worlds.open import opened


def drawn(count: int, at: int, actions: int = 6) -> torch.Tensor:
    return torch.randint(actions, (count,), generator=torch.Generator().manual_seed(at))


def test_facts_tell_the_protocol() -> None:
    world = opened("ALE/Pong-v5", 2, 0)
    facts = world.facts
    assert world.observation.shape == (2, 4, 84, 84) and world.observation.dtype == torch.uint8
    assert facts["world"] == "pong" and facts["shape"] == [4, 84, 84] and facts["stack"] == 4 and facts["skip"] == 4
    assert facts["sticky"] == 0.25 and facts["limit"] == 27_000 and facts["actions"] == len(facts["labels"]) == 6
    assert facts["labels"][0] == "noop" and "fire" in facts["labels"]
    assert facts["data"]["name"] == "Atari pong, sticky 0.25"
    for words in ("cut after 108,000 frames", "no end at a lost life", "rewards as the game counts", "30 frames"):
        assert words in facts["data"]["note"]
    assert opened("pong", 1, 0, sticky=0).facts["data"]["name"] == "Atari pong, sticky 0"


def test_after_a_beginning_three_screens_are_black_and_the_newest_is_last() -> None:
    world = atari("pong", 2, 0, threads=1)
    assert world.observation[:, :3].sum() == 0 and (world.observation[:, 3].amax((1, 2)) > 0).all()
    before = world.observation[:, 3].clone()
    world.step(torch.zeros(2, dtype=torch.long))
    assert torch.equal(world.observation[:, 2], before)


def test_episodes_begin_alike_however_many_there_are_and_sticky_actions_too() -> None:
    def course(count: int, seed: int, sticky: float) -> torch.Tensor:
        world, seen = atari("breakout", count, seed, sticky=sticky, threads=1), []
        for at in range(40):
            world.step(torch.full((count,), int(drawn(1, at, 4))))
            seen.append(world.observation[0, 3].clone())
        world.close()
        return torch.stack(seen)

    assert torch.equal(course(1, 3, 0.25), course(3, 3, 0.25))
    assert not torch.equal(course(1, 3, 0.25), course(1, 4, 0.25))
    assert not torch.equal(course(1, 3, 0.25), course(1, 3, 0.9))


def test_a_lost_game_ends_shows_its_last_screen_and_counts_raw() -> None:
    world, ended, total = atari("breakout", 3, 1, threads=1), torch.zeros(3), torch.zeros(3)
    finals = 0
    for at in range(2500):
        out = world.step(drawn(3, at, 4))
        total += out.reward
        over = out.ended | out.cut
        ended += out.ended
        assert not out.cut.any()
        if over.any():
            finals += int(over.sum())
            assert (world.observation[over][:, :3] == 0).all(), "the next game has begun"
            assert (out.final[over][:, :3] > 0).any(), "the last screens of the one that is over"
        assert torch.equal(out.final[~over], world.observation[~over])
        if bool((ended >= 2).all()):
            break
    assert finals >= 6 and (total > 0).any()


def test_rewards_are_not_clipped() -> None:
    world = atari("space_invaders", 2, 0, threads=1)
    best = max(float(world.step(drawn(2, at)).reward.max()) for at in range(250))
    assert best >= 5, "an invader is worth 5 to 30 points"


@pytest.mark.parametrize("steps", [3, 300])
def test_a_game_is_restored_to_the_same_bits(steps: int, tmp_path: Path) -> None:
    world = atari("breakout", 3, 5, threads=1)
    for at in range(steps):
        world.step(drawn(3, at, 4))
    assert write_state(tmp_path / "state", {"world": world}, {"step": 1})
    again = atari("breakout", 3, 5, threads=1)
    again.step(drawn(3, 99, 4))
    read_state(tmp_path / "state", {"world": again}, {"step": int})
    assert again.reproducible and torch.equal(again.observation, world.observation)
    for at in range(steps, steps + 60):
        one, two = (each.step(drawn(3, at, 4)) for each in (world, again))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_picture_is_the_game_that_is_played() -> None:
    """In colour, by a second console that has played along; made grey and small, it is what the net sees."""
    world = atari("breakout", 2, 2, threads=1)
    for at in range(150):  # past the end of the first game
        world.step(drawn(2, at, 4))
    one = world.picture()
    assert one.shape == (210, 160, 3) and one.dtype == torch.uint8
    for at in range(150, 400):
        out = world.step(drawn(2, at, 4))
        if bool(out.ended[0]):
            continue
        grey = (world.picture().double() @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)).numpy()
        small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(grey)[None, None], (84, 84))[0, 0]
        apart = (small - world.observation[0, 3].double()).abs()
        assert float(apart.mean()) < 3
    assert not torch.equal(one, world.picture())


def test_half_an_hour_of_play_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "FRAMES", 40)
    world = atari("pong", 2, 0, threads=1)
    outs = [world.step(torch.zeros(2, dtype=torch.long)) for _ in range(20)]
    assert [bool(out.cut.all()) for out in outs] == [k % 10 == 9 for k in range(20)]
    assert not any(out.ended.any() for out in outs)


def test_all_games_are_there() -> None:
    from ale_py import roms

    from milestones.worlds.played import atari_scores

    assert set(atari_scores("nature")) <= set(roms.get_all_rom_ids()) and len(atari_scores("nature")) == 49
    assert console.known("ms_pacman") == console.known("ALE/MsPacman-v5") == "ms_pacman"


@pytest.mark.parametrize(("game", "do"), [
    ("pongg", "Did you mean 'pong'"), ("ALE/Pongg-v5", "Did you mean 'Pong'|pong"), ("warlords", "no game 'warlords'"),
    ("q", "There are: "),
])  # fmt: skip
def test_an_unknown_game_names_near_ones(game: str, do: str) -> None:
    with pytest.raises(UserError, match=f"one of the \\d+ games of Atari, got no game '{game}'.*(?:{do})|{do}"):
        opened(game, 1, 0)


def test_a_missing_rom_and_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"the ROM of pong, got .*Unset ALE_ROMS_DIR or put the file there"):
        opened("pong", 1, 0)
    (tmp_path / "pong.bin").write_bytes(b"no game")
    with pytest.raises(UserError, match=r"the ROM of pong, got The hash of pong\.bin does not match"):
        opened("pong", 1, 0)
    assert capsys.readouterr().out == "", "standard output is the answer's"
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(UserError, match=r"ale-py, which has Atari's games, got none installed.*\"milestones\[rl\]\""):
        opened("pong", 1, 0)


def test_sticky_is_a_chance() -> None:
    with pytest.raises(UserError, match="a chance from 0 to 1 that actions stick, got sticky 2"):
        opened("pong", 1, 0, sticky=2)


def test_threads_change_no_bit() -> None:
    seen: list[Any] = []
    for threads in (1, 2):
        world = atari("pong", 4, 0, threads=threads)
        for at in range(40):
            world.step(drawn(4, at))
        seen.append(world.observation.numpy().copy())
        world.close()
    assert np.array_equal(*seen)
