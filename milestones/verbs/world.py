"""What verbs do for a page that plays in a world, and for no other."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import UserError


def add_world(parser: argparse.ArgumentParser) -> None:
    """The option that lets a run's environment of the user's own in."""
    text = "of a run in an environment of your own: name it again, since a folder names no code"
    parser.add_argument("--world", default="", metavar="MODULE:ID", help=text)


def admit(name: object) -> None:
    """Run the module of MODULE:ID, which the user or the page's code named. UserError: it fails."""
    if isinstance(name, str) and ":" in name:
        from ..worlds.open import admitted

        admitted(name)


def is_world(data: Any) -> bool:
    """Whether what a page prepared is a World, or games against itself, and no Data."""
    return hasattr(data, "fresh")


def unchosen(data: Any, choice: Any, who: str) -> None:
    """UserError: data were named for a page that plays in a world."""
    if is_world(data) and any(choice):
        word = next(f"--{name} {value}" for name, value in choice._asdict().items() if value)
        raise UserError("no data for a page that plays in a world", word, "Leave it out, or name a --world", who)


def shut(data: Any) -> None:
    """Free what a world holds."""
    if is_world(data):
        data.close()


def account(data: Any) -> dict[str, Any]:
    """What was played in training, for report.json: steps and frames of all episodes together, and the protocol."""
    if not is_world(data):
        return {}
    facts, steps = data.facts, getattr(data, "steps", None)
    found = {name: facts[name] for name in ("world", "game", "version", "sticky", "limit") if name in facts}
    if isinstance(steps, int) and steps:  # none where a page plays in fresh worlds alone
        found["steps"] = steps * len(data.observation)
        found["frames"] = found["steps"] * int(facts.get("skip", 1))
    return {"world": {**found, "reproducible": bool(getattr(data, "reproducible", True))}}


def told(world: Mapping[str, Any], seconds: float) -> str:
    """Steps, frames, protocol and time of what was played, in one line."""
    steps, frames, sticky = (world.get(name) for name in ("steps", "frames", "sticky"))
    if not isinstance(steps, int) or not isinstance(frames, int):
        return ""
    text = f"played: {steps:,} steps"
    text += f" ({frames:,} frames)" if frames != steps else ""
    text += f", {steps / seconds:,.0f} a second" if seconds > 0 else ""
    if isinstance(sticky, int | float):
        text += f", sticky {sticky:g}" if sticky else ", actions do not stick"
    return text + ("" if world.get("reproducible", True) else "; some episodes were begun anew where it was resumed")


def film(folder: Path, model: Any, data: Any, seed: int, say: Callable[[str], None]) -> None:
    """One episode of the trained model as `shows/episode.webp`, where the world can be drawn."""
    if not is_world(data) or not hasattr(model, "act"):
        return
    from ..core.folder import write_whole
    from ..core.source import key
    from ..worlds.played import filmed

    try:
        found = filmed(data.fresh(1, key(seed, "episode")), model.act)["episode"]
    except UserError as problem:  # the training is whole without it
        say(f"no film: expected {problem.expected}, got {problem.got}. {problem.do}")
        return
    suffix, content = found.encode()
    write_whole(folder / "shows" / f"episode{suffix}", content)
