"""Atari's games by the Arcade Learning Environment, many at once in C++, with DQN's pictures.

Machado et al. (2018), Revisiting the Arcade Learning Environment, JAIR 61: actions stick, only a game that is over ends
an episode, and episodes are cut after half an hour of play. Mnih et al. (2015): what is seen is four grey screens.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
import torch

from ..core.errors import UserError, nearest
from ..core.source import Facts
from .episodes import Episodes, Seen
from .gym import CPU, MISSING, gymnasium

SKIP, STACK, SIDE = 4, 4, 84  # frames of one action; screens in an observation; pixels
NOOPS = 30  # frames without an action before an episode, at most
FRAMES = 108_000  # of an episode, after which it is cut: half an hour
PAIRS = ("combat", "joust", "maze_craze", "warlords")  # games that one cannot play alone


def atari(game: str, count: int, seed: int, *, sticky: float = 0.25, threads: int = 0,
          device: torch.device = CPU) -> Episodes:  # fmt: skip
    """N = `count` episodes of a game ("pong" or "ALE/Pong-v5"): N 4 84 84 uint8, the newest screen last. Rewards are
    the game's own. `sticky`: the chance that the console repeats the last action instead. `threads` 0: one a core.

    UserError: ale-py is missing, or the game, or its ROM.
    """
    if not 0 <= sticky <= 1:
        raise UserError("a chance from 0 to 1 that actions stick", f"sticky {sticky:g}", "0.25 is usual, or 0", game)
    name = known(game)
    facts = described(name, sticky)
    return Episodes(lambda count: Screens(name, count, sticky, threads), facts, count, seed, device)


def package() -> Any:
    """ale-py. UserError: it is not installed."""
    gymnasium()  # which its vectorised code needs
    try:
        import ale_py
    except ImportError:
        raise UserError("ale-py, which has Atari's games", "none installed", MISSING) from None
    return ale_py


def known(game: str) -> str:
    """The game's name as ale-py has it. UserError: no such game, or no ROM of it."""
    roms = package().roms
    games = {rom.title().replace("_", ""): rom for rom in sorted(roms.get_all_rom_ids()) if rom not in PAIRS}
    word = game.removeprefix("ALE/").rpartition("-v")[0] if game.startswith("ALE/") else game
    name = games.get(word, word)
    if name not in games.values():
        do = nearest(word, [*games, *games.values()], f"There are: {', '.join(list(games.values())[:12])} ...")
        raise UserError(f"one of the {len(games)} games of Atari", f"no game {game!r}", do)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # ale-py says where it looks
            path = roms.get_rom_path(name)
    except OSError as problem:
        line = " ".join(str(problem).split())[:160]
        do = "Unset ALE_ROMS_DIR or put the file there; ale-py's own package has all of them"
        raise UserError(f"the ROM of {name}", line, do) from None
    assert path is not None, "ale-py knows the game"
    return name


def made(name: str, count: int, sticky: float, threads: int, **picture: Any) -> Any:
    """The vectorised environment, in which an episode that is over waits for its reset. `picture`: of its screens."""
    with contextlib.redirect_stdout(sys.stderr):
        return package().AtariVectorEnv(
            name, count, num_threads=threads, repeat_action_probability=sticky, max_num_frames_per_episode=FRAMES,
            frameskip=SKIP, maxpool=True, noop_max=NOOPS, episodic_life=False, reward_clipping=False,
            use_fire_reset=False, full_action_space=False, autoreset_mode="NextStep", **picture,
        )  # fmt: skip


def described(name: str, sticky: float) -> Facts:
    """The facts of the game: all that decides what a score is worth."""
    env = made(name, 1, sticky, 1, stack_num=STACK, img_height=SIDE, img_width=SIDE)
    labels = [action.name.lower() for action in env.ale.get_action_set()]
    env.close()
    version = f"ale-py {package().__version__}"
    note = (f"{version}; actions stick with chance {sticky:g}; the game's {len(labels)} own actions, each for {SKIP} "
            f"frames; full games (no end at a lost life), cut after {FRAMES:,} frames; up to {NOOPS} frames without "
            f"an action before; rewards as the game counts")  # fmt: skip
    return {
        "kind": "world", "world": name, "shape": [STACK, SIDE, SIDE], "dtype": "uint8", "stack": STACK,
        "discrete": True, "actions": len(labels), "labels": labels, "version": version, "sticky": sticky,
        "skip": SKIP, "limit": FRAMES // SKIP, "noops": NOOPS, "rate_hz": 60 / SKIP, "atari": True,
        "data": {"name": f"Atari {name}, sticky {sticky:g}", "note": note},
    }  # fmt: skip


class Screens:
    """N games. The first is played along in a second console once somebody wants to see it: in colour, as it was."""

    def __init__(self, name: str, count: int, sticky: float, threads: int) -> None:
        self._how, self._fresh = (name, sticky), True
        self._env = made(name, count, sticky, threads, stack_num=STACK, img_height=SIDE, img_width=SIDE)
        self._count, self._shown = count, None  # the second console
        self._seed, self._since = 0, list[int]()  # of the first game: its seed, and its actions since

    def begin(self, slots: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        if self._fresh and len(slots) < self._count:  # all must have begun once
            self._env.reset(seed=np.arange(self._count))
        self._fresh = False
        mask = np.zeros(self._count, bool)
        mask[slots] = True
        order = np.argsort(slots)
        seen, _ = self._env.reset(seed=np.asarray(seeds)[order], options={"reset_mask": mask})
        if mask[0]:
            self._seed, self._since = int(np.asarray(seeds)[np.flatnonzero(np.asarray(slots) == 0)[0]]), []
            if self._shown is not None:
                self._screen = self._shown.reset(seed=np.array([self._seed]))[0]
        return np.asarray(seen)

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> Seen:
        chosen = action.astype(np.int64)
        seen, reward, ended, cut, _ = self._env.step(chosen)
        self._since.append(int(chosen[0]))
        if self._shown is not None:
            self._screen = self._shown.step(chosen[:1])[0]
        return Seen(np.asarray(seen), np.asarray(reward), np.array(ended, bool), np.array(cut, bool))

    def picture(self) -> np.ndarray:
        if self._shown is None:
            self._shown = made(*self._how[:1], 1, self._how[1], 1, stack_num=1, img_height=210, img_width=160,
                               grayscale=False)  # fmt: skip
            self._screen = self._shown.reset(seed=np.array([self._seed]))[0]
            for action in self._since:
                self._screen = self._shown.step(np.array([action]))[0]
        return np.asarray(self._screen[0, 0])

    def close(self) -> None:
        self._env.close()
        if self._shown is not None:
            self._shown.close()
