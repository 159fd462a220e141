"""Nets that learn by playing: killed at any of their stages and resumed, they end at the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from unit.killed import Killed, save_every

from milestones.core.config import changed
from milestones.core.run import Run
from milestones.core.source import Place
from milestones.systems import alphago, alphazero
from milestones.worlds.games import sampled
from milestones.worlds.games.selfplay import SelfPlay

CPU = torch.device("cpu")
ZERO = {"blocks": 1, "channels": 8, "together": 12, "abreast": 6, "moves": 3, "simulations": 6, "few": 3, "batch": 16,
        "first": 60, "rows": 200, "steps": 30, "looks": 2, "examined": 2, "searched": 4, "tested": 3,
        "pairs": 1, "reuse": 1.0, "start": 20, "blind": 10}  # fmt: skip
GO = {"games": 40, "depth": 2, "channels": 4, "steps": 6, "batch": 8, "fast_steps": 4, "reinforce_steps": 6,
      "reinforce_games": 4, "join": 2, "selves": 2, "positions": 24, "until": 6, "value_steps": 6, "held": 8,
      "searched": 3, "pairs": 1}  # fmt: skip


@pytest.mark.parametrize("settings", [
    {"game": "tictactoe"},
    {"game": "connect_four", "strewn": 0.6, "most": 8, "method": "adamw", "lr": 0.002},
    {"game": "tictactoe", "considered": 0, "tempered": 3, "solve": False, "normal": "batch", "method": "sgd", "lr": 0.1,
     "average": 0.0, "squared": True, "start": 0},
])  # fmt: skip
def test_alphazero_killed_and_resumed_to_the_same_bits(settings: dict[str, Any], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    play = SelfPlay.play

    def run(folder: Path, die_at: int = -1) -> dict[str, torch.Tensor]:
        knobs = changed(alphazero.Knobs(), {**ZERO, **settings}, "alphazero")
        games = alphazero.prepare(knobs, Place(CPU, 0))
        torch.manual_seed(0)
        model = alphazero.build(knobs, games.facts)
        folder.mkdir(exist_ok=True)

        def until(self: SelfPlay, *words: Any) -> Any:
            if 0 <= 3 * die_at <= self.steps:
                raise Killed
            return play(self, *words)

        monkeypatch.setattr(SelfPlay, "play", until)
        with Run(folder, Place(CPU, 0), "exact") as one:
            alphazero.train(knobs, model, games, one)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = run(tmp_path / "whole")
    assert (tmp_path / "whole" / "shows").exists()
    save_every(2, monkeypatch)
    for die_at in (1, 5, 8):
        with pytest.raises(Killed):
            run(tmp_path / "killed", die_at)
    found = run(tmp_path / "killed")
    assert all(torch.equal(found[name], value) for name, value in whole.items())
    texts = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "killed")]
    logs = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()]
            for text in texts]  # fmt: skip
    assert logs[0] == logs[1] and any("valid_error" in line for line in logs[0])


def test_alphago_killed_and_resumed_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duel, knobs = sampled.duel, changed(alphago.Knobs(), GO, "alphago")

    def run(folder: Path, die_at: int = -1) -> dict[str, torch.Tensor]:
        data = alphago.prepare(knobs, Place(CPU, 0))
        torch.manual_seed(0)
        model, count = alphago.AlphaGo(knobs, data.facts), 0
        folder.mkdir(exist_ok=True)

        def until(*words: Any) -> Any:
            nonlocal count
            count += 1
            if count == die_at:
                raise Killed
            return duel(*words)

        monkeypatch.setattr(alphago, "duel", until)
        with Run(folder, Place(CPU, 0), "exact") as one:
            alphago.train(knobs, model, data, one)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = run(tmp_path / "whole")
    assert not torch.equal(whole["actor.place"], whole["policy.place"])
    assert {path.name.split("-")[-1] for path in (tmp_path / "whole" / "shows").iterdir()} == {
        "reinforced.json", "learned.json", "unseen.json"}  # fmt: skip
    save_every(2, monkeypatch)
    for die_at in (2, 3):
        with pytest.raises(Killed):
            run(tmp_path / "killed", die_at)
    found = run(tmp_path / "killed")
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], value) for name, value in whole.items())
    texts = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "killed")]
    logs = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()]
            for text in texts]  # fmt: skip
    assert logs[0] == logs[1]
