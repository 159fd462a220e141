"""A world by its name."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import warnings
from pathlib import Path

import torch

from ..core.errors import UserError
from .world import World

CPU = torch.device("cpu")
OWN = re.compile(r"([\w./\\-]+):([\w./-]+)")  # MODULE:ID or FILE.py:ID


def opened(name: str, count: int, seed: int, *, sticky: float = 0.25, device: torch.device = CPU) -> World:
    """N = `count` episodes of a world: "CartPole-v1" or any id that Gymnasium knows; "pong" or "ALE/Pong-v5", of
    Atari, whose actions stick with the chance `sticky`; "road" and "field", of a car; MODULE:ID of the user's own,
    which `admitted` let in.

    UserError: no such world, a package that is missing, spaces that are not supported.
    """
    if count < 1:
        raise UserError("one episode or more side by side", str(count), "Raise the setting 'together'", name)
    if name == "road":
        from .road import road

        return road(count, seed, device=device)
    if name == "field":
        from .field import field

        return field(count, seed, device=device)
    if name.startswith("ALE/") or re.fullmatch(r"[a-z0-9_]+", name):
        from .atari import atari

        return atari(name, count, seed, sticky=sticky, device=device)
    from .gym import gym

    return gym(name, count, seed, device=device)


def admitted(name: str) -> None:
    """Run the module or file before the colon of "MODULE:ID", where its environments register: for a name from the
    command line alone, never for one from a run folder. Other names are left as they are. UserError: it fails."""
    own = OWN.fullmatch(name)
    if not own:
        return
    module = own[1]
    path = Path(module if module.endswith(".py") else f"{module}.py")
    try:
        if path.is_file():
            spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
            assert spec is not None and spec.loader is not None  # as for each name that ends in .py
            made = importlib.util.module_from_spec(spec)
            there = sys.modules.get(path.stem)  # where Gymnasium looks for the class that was registered
            if there is None or getattr(there, "__file__", None) == made.__file__:
                sys.modules[path.stem] = made
            with warnings.catch_warnings():  # of what was registered before
                warnings.simplefilter("ignore")
                spec.loader.exec_module(made)
        else:
            importlib.import_module(module)
    except Exception as problem:  # whatever the user's module does wrong
        got = f"{type(problem).__name__}: {problem}"[:200]
        raise UserError(f"a module that can be run in {module}", got, "Mend it, or check its name") from problem
