"""move, watch, world, sgf, film: play against a run, watch it, or play its world yourself.

A run whose facts are of the kind "game" is asked by boards.py. Another page that plays a board game takes Board, and
puts an empty one into `facts["board"]` (as `Board.plain` writes it). Its `use` judges the position's `wish`, plays it,
replies, and answers with the board after its reply. UserError: a move that the rules do not allow. A page of a world
has takes = (): its `use` of nothing gives a Video; the World that its `prepare` gives may be played by hand, a fresh
episode each time, where its actions are a few with names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import UserError
from ...media import Board, Image, Video
from ..carry import carried
from ..desk import Answer, Desk

MOST_STEPS = 100_000


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """The items that the page answers; of a world its frame, what was won, and whether it is over."""
    return {"move": move, "watch": watch, "world": world, "sgf": sgf, "film": film}[ask["do"]](desk, ask, payload)


def move(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """The page's answer to a board (or SGF file); without one the board of a new game."""
    trained = desk.trained(ask.get("run"))
    who = trained.entry.name
    if trained.facts.get("kind") == "game":
        from ..boards import answered

        return answered(desk, trained, ask, payload)
    if Board not in trained.system.takes or "board" not in trained.facts:
        raise UserError("a run that plays a game on a board", f"{who}, which does not", "Choose another run", who)
    fresh = Board.of(trained.facts["board"])
    if payload:
        board = Board.decoded(payload, "your file")
        if board.cells.shape != fresh.cells.shape:
            want, got = (" x ".join(map(str, each.cells.shape)) for each in (fresh, board))
            raise UserError(f"a board of {want}", f"one of {got}", "Choose another file", who)
        return carried({"board": board})
    if ask.get("board") is None:
        return carried({"board": fresh})
    return carried(trained.use([Board.of(ask["board"])])[0])


def sgf(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """A board as the text of an SGF file."""
    return Answer({"sgf": Board.of(ask.get("board")).sgf()})


def watch(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """What a run that plays by itself shows."""
    trained = desk.trained(ask.get("run"))
    if trained.system.takes:
        raise UserError("a run that plays by itself", f"{trained.entry.name}, which wants input", "Open Use",
                        trained.entry.name)  # fmt: skip
    return carried(trained.use([])[0])


def film(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """The frames and values of a film that a run has shown."""
    from ..library import Library

    run, file = str(ask.get("run")), str(ask.get("file"))
    return carried({"film": Video.decoded(Library(desk.root).show(run, file), "the film")})


def world(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """The frame after an action, 0 being the first; without one, of a new world. It lasts as long as the desk."""
    from ...core.source import Place
    from ...core.source import key as derived

    trained, key = desk.trained(ask.get("run")), f"world {ask.get('run')}"
    action, who = ask.get("action"), trained.entry.name
    if action is None:
        import torch

        seed = int(trained.config.get("seed", 0))
        made = trained.system.prepare(trained.knobs, Place(torch.device("cpu"), seed))
        if not hasattr(made, "fresh") or not made.facts.get("discrete"):
            raise UserError("a run of a world with pictures and named actions", f"{who}, which has none",
                            "Choose another run", who)  # fmt: skip
        if key in desk.memory:
            desk.memory.pop(key)["world"].close()
        single = made.fresh(1, derived(seed, "by hand"))
        made.close()
        desk.memory[key] = {"world": single, "total": 0.0, "steps": 0, "over": False, "frame": frame(single)}
    held = desk.memory.get(key)
    if held is None:
        raise UserError("a game that has begun", "none, since the connection was lost", "Begin a new game", who)
    names = list(held["world"].facts["labels"])
    if action is not None and not held["over"]:
        if type(action) is not int or not 0 <= action < len(names):
            raise UserError(
                f"an action from 0 to {len(names) - 1}", f"{action!r}"[:40], "Press one of the buttons", who
            )
        import torch

        outcome = held["world"].step(torch.tensor([action]))
        held["total"] += float(outcome.reward[0])
        held["steps"] += 1
        held["over"] = bool(outcome.ended[0]) or bool(outcome.cut[0]) or held["steps"] >= MOST_STEPS
        if not held["over"]:  # then the next episode is seen
            held["frame"] = frame(held["world"])
    return carried({"frame": held["frame"]}, actions=names, total=held["total"], steps=held["steps"],
                   over=held["over"])  # fmt: skip


def frame(world: Any) -> Image:
    """What is seen of a world."""
    return Image(world.picture().numpy())
