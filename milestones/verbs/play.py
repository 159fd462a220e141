"""play RUN: let a run act in its world, watch it, keep it as a film, or play the same world yourself; a board game
(see board.py) against a run."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import board, gtp
from .subject import add_run
from .words import answer, say
from .world import add_world, admit

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..media import Video
    from ..media.screen import Keys
    from ..trained import Trained

RATE_HZ = 20.0  # of a world that tells none
MOST_BYTES = 120_000_000  # of a film's frames: of more, every second one is kept
WAITING = ("noop", "nothing", "no action", "idle", "coast", "none")  # what a world calls it to do nothing


class Episode(NamedTuple):
    """One that was played to its end."""

    value: float  # the return: sum of its rewards
    length: int  # steps
    end: str  # "ended", "cut" or "stopped"


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run(parser)
    parser.add_argument("--episodes", type=int, metavar="N", help="episodes to play [3; games on a board: 1]")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes, which no training has seen [0]")
    parser.add_argument("--gif", "--film", dest="film", default="", metavar="FILE",
                        help="keep them as a film: a name that ends in .gif, .webp or .mp4 (needs ffmpeg)")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="write over a film that exists")
    parser.add_argument("--human", action="store_true", help="play yourself in the terminal, then watch the run")
    parser.add_argument("--speed", type=float, default=1.0, metavar="TIMES", help="of what is shown or filmed [1]")
    parser.add_argument("--gtp", action="store_true", help="go: answer a program on standard input and output by GTP")
    add_world(parser)
    board.add(parser)


def run(args: argparse.Namespace) -> int:
    from ..core.errors import UserError
    from .players import opened, split

    episodes = 3 if args.episodes is None else args.episodes
    if episodes < 1 or not 0.01 <= args.speed <= 100:
        got = f"--episodes {episodes} --speed {args.speed:g}"
        raise UserError("episodes from 1 and a speed from 0.01 to 100", got, "For example --episodes 3", "play")
    writable(args.film, args.overwrite)
    admit(args.world)
    trained = opened(split(args.run, args.simulations)[0], args.runs, args.page)
    if args.gtp:
        return gtp.run(trained, args.simulations)
    if trained.facts.get("kind") == "game":
        return board.run(args, trained)
    if args.opponent or args.record or args.moves:
        do = "Keep episodes by --film" if args.record else "Leave it out"
        raise UserError("--opponent, --record and --moves for a board game", f"a run of the page {trained.entry.name}",
                        do, trained.entry.name)  # fmt: skip
    facts, found = trained.facts, dict[str, list[Episode]](human=[], run=[])
    reel = Reel() if args.film else None
    shown = sys.stderr.isatty() and not args.json and not args.film
    with contextlib.closing(world_of(trained)) as world:
        rate = float(facts.get("rate_hz", RATE_HZ)) * args.speed
        say(f"{trained.entry.name} of {trained.folder.name} in {told(facts)}; exploration off")
        players = ("human", "run") if args.human else ("run",)  # both meet the same episode
        for number, who in itertools.product(range(episodes), players):
            by_hand = who == "human"
            one = played(
                trained, world, by_hand, (args.seed, number), rate, shown or by_hand, None if by_hand else reel
            )
            found[who].append(one)
            say(f"episode {number + 1}, {who}: return {one.value:.6g}, {one.length:,} steps, {one.end}")
            if one.end == "stopped":
                break
    if reel:
        reel.keep(Path(args.film), rate)
    means = {who: sum(one.value for one in each) / len(each) for who, each in found.items() if each}
    lines = [f"{who}: return {mean:.6g}, mean of {len(found[who])}" for who, mean in means.items()]
    content = {
        "run": str(trained.folder), "world": facts["world"], "film": args.film or None, "mean": means,
        "episodes": {who: [one._asdict() for one in each] for who, each in found.items() if each},
    }  # fmt: skip
    answer(args, content, "\n".join(lines + [f"film: {args.film}"] * bool(args.film)))
    return 0


def writable(film: str, overwrite: bool) -> None:
    """UserError: a film cannot be written there, which is said before anything is played."""
    from ..media.film import writer

    if film:
        writer(film)
        unused(Path(film), overwrite, "film")


def unused(target: Path, overwrite: bool, what: str) -> None:
    """UserError: a file is there, and shall not be written over, or the folder is missing."""
    from ..core.errors import UserError

    if target.exists() and not overwrite:
        do = "Choose another name, or --overwrite"
        raise UserError(f"a {what} that does not exist yet", f"{target}, which does", do, "play")
    if not target.parent.is_dir():
        raise UserError(f"a {what} in an existing folder", str(target), f"Make {target.parent} first", "play")


def world_of(trained: Trained) -> Any:
    """The world that the run acts in. UserError: it has none."""
    from ..core.errors import UserError
    from .subject import learned_in

    if trained.facts.get("kind") != "world" or not hasattr(trained.model, "act"):
        kinds = " or ".join(kind.__name__.lower() for kind in trained.system.takes) or "no world"
        got, do = f"the page {trained.entry.name}, which takes {kinds}", "Give it input: milestones use"
        raise UserError("a run that acts in a world", got, do, trained.entry.name)
    return learned_in(trained)


def told(facts: Mapping[str, Any]) -> str:
    """The world, with what decides the worth of a return in it."""
    more = [f"{name} {facts[name]}" for name in ("sticky", "version") if name in facts]
    return ", ".join([str(facts["world"]), *more])


def played(trained: Trained, world: Any, by_hand: bool, seeds: tuple[int, int], rate: float, shown: bool,
           reel: Reel | None) -> Episode:  # fmt: skip
    """One fresh episode, by the run or by whoever is at the keys; `seeds` tells which."""
    import torch

    from ..core.source import key
    from ..media.screen import Keys, Screen

    fresh = world.fresh(1, key("play", *seeds))
    screen = Screen(rate) if shown else None
    try:
        with torch.no_grad():
            if not by_hand:
                return episode(fresh, lambda: trained.model.act(fresh.observation), screen, reel)
            keymap, words = keys_of(trained.facts)
            say(f"{words}; q ends")
            with Keys() as keys:
                return episode(fresh, hand(keys, keymap, trained.facts, 1 / rate), screen, None)
    finally:
        fresh.close()


def episode(world: Any, act: Callable[[], Tensor | None], screen: Any = None, reel: Reel | None = None) -> Episode:
    """Step the world's one episode until it is over, or until `act` gives nothing."""
    total, length, reward = 0.0, 0, 0.0
    while True:
        if screen or reel:
            frame = world.picture().cpu().numpy()
            if screen:
                screen.show(frame, f"step {length:,}, return {total:.5g}")
            if reel:
                reel.add(frame, reward)
        action = act()
        if action is None:
            return Episode(total, length, "stopped")
        outcome = world.step(action)
        reward = float(outcome.reward[0])
        total, length = total + reward, length + 1
        if bool(outcome.ended[0]) or bool(outcome.cut[0]):
            return Episode(total, length, "ended" if bool(outcome.ended[0]) else "cut")


class Reel:
    """Frames of a film, thinned as they become too many."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.rewards: list[float] = []
        self.every, self._count = 1, 0

    def add(self, frame: np.ndarray, reward: float) -> None:
        """A frame, and the reward of the step before it."""
        if self._count % self.every == 0:
            self.frames.append(frame)
            self.rewards.append(reward)
        self._count += 1
        if len(self.frames) * frame.nbytes > MOST_BYTES or len(self.frames) > 4000:
            self.frames, self.rewards, self.every = self.frames[::2], self.rewards[::2], 2 * self.every

    def film(self, rate: float) -> Video:
        """The film: it lasts as long as if all frames were there."""
        import numpy as np

        from ..media import Video

        return Video(np.stack(self.frames), min(1000.0, rate / self.every), {"reward": self.rewards})

    def keep(self, path: Path, rate: float) -> None:
        """Write the film."""
        from ..core.folder import write_whole

        write_whole(path, self.film(rate).written(path.suffix.lower()))


def keys_of(facts: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What each key does: the number of an action, or a vector; "" is no key, and None there stands for what was done
    last. And that in words."""
    if facts["discrete"]:
        labels = [str(label).lower() for label in facts.get("labels") or map(str, range(facts["actions"]))]
        keymap: dict[str, Any] = {k: i for i, k in enumerate("0123456789abcdefgh"[: len(labels)])}
        for arrow in ("left", "right", "up", "down"):
            near = [label for label in labels if arrow in label]
            keymap |= {arrow: labels.index(min(near, key=len))} if near else {}
        keymap |= {" ": labels.index("fire")} if "fire" in labels else {}
        keymap[""] = next((labels.index(word) for word in WAITING if word in labels), None)
        return keymap, ", ".join(f"{key if key != ' ' else 'space'}: {labels[i]}" for key, i in keymap.items() if key)
    low, high = [max(-1e6, v) for v in facts["low"]], [min(1e6, v) for v in facts["high"]]
    rest = [min(max(0.0, a), b) for a, b in zip(low, high, strict=True)]
    keymap = {"": rest}
    for axis, pair in enumerate((("left", "right"), ("down", "up"))[: len(rest)]):
        for key, edge in zip(pair, (low, high), strict=True):
            keymap[key] = [edge[i] if i == axis else v for i, v in enumerate(rest)]
    more = f"; of {len(rest)} actions only two have keys" if len(rest) > 2 else ""
    return keymap, "arrow keys" + more


def hand(keys: Keys, keymap: Mapping[str, Any], facts: Mapping[str, Any],
         seconds: float) -> Callable[[], Tensor | None]:  # fmt: skip
    """A person's actions: each waits for a key for so many seconds."""
    import torch

    last = [0]

    def act() -> Tensor | None:
        pressed = keys.pressed(seconds)
        if pressed == "q":
            return None
        does = keymap.get(pressed, keymap[""])
        if facts["discrete"]:
            last[0] = last[0] if does is None else does
            return torch.tensor([last[0]])
        assert all(map(math.isfinite, does))
        return torch.tensor([does], dtype=torch.float32)

    return act
