"""Worlds and games that several processes play together go as in one process, end together, and are resumed by any
number of processes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from contract.conftest import page_of
from contract.test_processes import Fork, lines_of, read, said, together
from safetensors.torch import load_file

GAMES = {
    "tictactoe": {},
    "connect_four": {"examined": 1, "tested": 2, "most": 4},
    "hex3": {},
    "othello6": {"steps": 2, "looks": 1},
    "go5": {"steps": 2, "looks": 1},
    "openspiel:breakthrough(rows=6,columns=4)": {"steps": 2, "looks": 1},
}
WORLDS: dict[str, dict[str, Any]] = {
    "ppo": {}, "pqn": {}, "dqn": {}, "reinforce": {},
    "dqn surprise": {"surprise": 0.5}, "ppo Pendulum-v1": {"world": "Pendulum-v1"},
}  # fmt: skip
Trained = Callable[..., Path]


@pytest.fixture(scope="module")
def alone(forks: Fork, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A function: the run of one process, trained once."""
    kept: dict[str, Path] = {}

    def trained(page: str, settings: dict[str, Any]) -> Path:
        name = f"{page} {settings}"
        if name not in kept:
            root = tmp_path_factory.mktemp("alone")
            assert together(forks, 1, root, place, page, settings) == [0], said(root, 0)
            kept[name] = root / f"{page}-1"
        return kept[name]

    return trained


def both_logs(one: Path, other: Path, lost: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was logged in both, of so many steps only in the other: when a process was lost no mean was known."""
    left, right = lines_of(one), lines_of(other)
    steps = {line["step"] for line in left}
    assert len({line["step"] for line in right} - steps) == lost
    return left, [line for line in right if line["step"] in steps]


def same_bits(one: Path, other: Path, lost: int = 0) -> None:
    """Log and weights are the same but for the time."""
    ours, theirs = both_logs(one, other, lost)
    assert ours == theirs
    left, right = (load_file(folder / "weights.safetensors") for folder in (one, other))
    assert left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def same_curves(one: Path, other: Path, lost: int = 0) -> None:
    """All that was logged is the same, but for the order in which floats were added."""
    left, right = both_logs(one, other, lost)
    assert [line.keys() for line in left] == [line.keys() for line in right]
    for a, b in zip(left, right, strict=True):
        assert [v for v in a.values() if not isinstance(v, str)] == pytest.approx(
            [v for v in b.values() if not isinstance(v, str)], rel=1e-3, abs=1e-5
        )


def settings_of(case: str, place: Path) -> tuple[str, dict[str, Any]]:
    page = case.split()[0]
    return page, {**page_of(page, place).settings, **WORLDS[case]}


@pytest.mark.parametrize("of", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", WORLDS)
def test_worlds_go_as_in_one_process(fork: Fork, alone: Trained, tmp_path: Path, place: Path, case: str,
                                     of: int) -> None:  # fmt: skip
    page, settings = settings_of(case, place)
    assert together(fork, of, tmp_path, place, page, settings) == [0] * of, said(tmp_path, 0)
    ours, theirs = tmp_path / f"{page}-1", alone(page, settings)
    same_curves(ours, theirs)
    if page == "reinforce" or "surprise" in settings:  # each process takes the whole gradient
        same_bits(ours, theirs)
    assert read(ours, "report.json")["processes"] == of
    assert read(ours, "report.json")["world"] == read(theirs, "report.json")["world"]


@pytest.mark.parametrize(
    "game", [game if game in ("tictactoe", "connect_four") else pytest.param(game, marks=pytest.mark.slow)
             for game in GAMES]
)  # fmt: skip
def test_games_go_as_in_one_process(fork: Fork, alone: Trained, tmp_path: Path, place: Path, game: str) -> None:
    settings = {**page_of("alphazero", place).settings, "game": game, **GAMES[game]}
    assert together(fork, 2, tmp_path, place, "alphazero", settings) == [0, 0], said(tmp_path, 0)
    same_bits(tmp_path / "alphazero-1", alone("alphazero", settings))


def test_more_processes_than_groups_of_games(fork: Fork, alone: Trained, tmp_path: Path, place: Path) -> None:
    settings = {**page_of("alphazero", place).settings, "together": 12}  # three groups
    assert together(fork, 4, tmp_path, place, "alphazero", settings) == [0] * 4, said(tmp_path, 0)
    same_bits(tmp_path / "alphazero-1", alone("alphazero", settings))


@pytest.mark.parametrize(("page", "of"), [
    ("alphazero", 3), ("dqn", 3), ("pqn", 1),
    *(pytest.param(page, of, marks=pytest.mark.slow) for page, of in (("alphazero", 1), ("dqn", 1), ("pqn", 2))),
])  # fmt: skip
def test_a_lost_process_ends_the_run_and_any_number_resumes_it(fork: Fork, alone: Trained, tmp_path: Path, place: Path,
                                                               page: str, of: int) -> None:  # fmt: skip
    settings = page_of(page, place).settings
    assert together(fork, 2, tmp_path, place, page, settings, who=1, at=5, saves=True) == [2, -signal.SIGKILL]
    assert "one that was lost" in said(tmp_path, 0) and "resume" in said(tmp_path, 0)
    folder = tmp_path / f"{page}-1"
    assert read(folder, "status.json")["state"] == "failed"
    assert (folder / "state" / "train.safetensors").exists()
    assert together(fork, of, tmp_path, place, resume=str(folder)) == [0] * of, said(tmp_path, 0)
    (same_bits if page == "alphazero" else same_curves)(folder, alone(page, settings), lost=1)
    assert read(folder, "report.json")["world"]["reproducible"]


@pytest.mark.parametrize("page", ["driver", "worldmodel", "mdp"])
def test_what_cannot_be_shared_out_is_refused(fork: Fork, tmp_path: Path, place: Path, page: str) -> None:
    assert together(fork, 2, tmp_path, place, page, page_of(page, place).settings) == [2, 2]
    assert "a loop of its own that does not share its gradients. Train it without torchrun" in said(tmp_path, 0)
    assert not list(tmp_path.glob(f"{page}-*"))
