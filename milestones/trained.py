"""A run folder opened: the page, its settings and facts, and the model with its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from .catalog import Entry, find, page
from .core.config import Config, changed
from .core.errors import UserError
from .core.folder import inside, read_json, read_weights
from .core.source import Choice
from .core.system import System
from .parts.ensemble import Ensemble

MOST_MEMBERS = 100


class Trained(NamedTuple):
    """A page with a trained model: `trained.use(images)` answers."""

    folder: Path
    entry: Entry
    system: System[Any, Any, Any, Any]
    knobs: Config
    facts: dict[str, Any]
    model: nn.Module
    config: dict[str, Any]  # config.json

    def use(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """One answer for each input; the first entry of an answer is the answer."""
        with torch.inference_mode():
            return self.system.use(self.model, self.facts, inputs)


def system_of(folder: Path, config: dict[str, Any], page_name: str = "") -> tuple[Entry, System[Any, Any, Any, Any]]:
    """The page that made a run. A folder never names code: a page of the user's own must be named by the user."""
    name = str(config.get("system"))
    if page_name:
        entry = find(page_name)
        if entry.name != name:
            raise UserError(
                f"the page that made {folder}: {name[:60]}", f"the page {entry.name}", "Name the right page"
            )
        return entry, page(entry).system
    try:
        return (entry := find(name if not name.endswith(".py") else "")), page(entry).system
    except UserError:
        do = f"Name its file: --page {name[:60]}.py"
        raise UserError("a run of a page of the catalog", f"a run of {name[:60]!r} in {folder}", do) from None


def order_of(config: dict[str, Any], folder: Path) -> tuple[int, Choice]:
    """Seed, and what the run learns from, as config.json has them. UserError: half-written or edited."""
    seed, choice = config.get("seed"), as_dict(config, "choice", folder)
    texts = set(choice) <= set(Choice._fields) and all(isinstance(word, str) for word in choice.values())
    if type(seed) is not int or not texts:
        raise UserError(
            f"a whole config.json in {folder}", "no seed, or another choice of data", "Restore the file or train again"
        )
    return seed, Choice(**choice)


def members_of(config: dict[str, Any], folder: Path) -> int:
    """How many nets the run is made of, as config.json has it. UserError: edited."""
    count = config.get("members", 1)
    if type(count) is not int or not 1 <= count <= MOST_MEMBERS:
        got = f"members = {count!r}"[:60]
        raise UserError(
            f"1 to {MOST_MEMBERS} members in config.json of {folder}", got, "Restore the file or train again"
        )
    return count


def open_run(folder: Path, page_name: str = "") -> Trained:
    """Read and check a run folder. UserError: half-written, edited, hostile, or of another page."""
    config = read_json(folder, "config.json")
    entry, system = system_of(folder, config, page_name)
    knobs = changed(system.presets["quick"], as_dict(config, "config", folder), entry.name)
    facts, members = read_json(folder, "facts.json"), members_of(config, folder)
    facts.pop("format")

    def build() -> nn.Module:
        nets = [system.build(knobs, facts) for _ in range(members)]
        return nets[0] if members == 1 else Ensemble(nets)

    path = inside(folder, "weights.safetensors")
    try:
        with torch.device("meta"):  # shapes first, so that hostile facts allocate nothing
            like = build().state_dict()
        weights = read_weights(path, like, entry.name)
        model = build()
    except UserError:
        raise
    except Exception as problem:
        got = f"{type(problem).__name__}: {problem}"[:160]
        raise UserError(
            f"facts.json in {folder} that fit the page {entry.name}", got, "Restore the file or train again"
        ) from None
    status = read_json(folder, "status.json")
    for file in (path, folder / "facts.json"):
        if status.get(f"{file.stem}_sha256") != hashlib.sha256(file.read_bytes()).hexdigest():
            got = f"an edited or half-written {file.name}"
            raise UserError(f"the files that {folder} was saved with", got, "Restore the file or train again")
    model.load_state_dict(weights)
    model.eval()
    return Trained(folder, entry, system, knobs, facts, model, config)


def as_dict(config: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """A part of a JSON file that must be an object. UserError otherwise."""
    part = config.get(name)
    if not isinstance(part, dict):
        raise UserError(
            f"{name!r} in config.json of {folder}", f"{type(part).__name__}", "Restore the file or train again"
        )
    return part
