"""Dyna-Q in a maze: what was lived through once is lived through again in the mind (Sutton 1990, Integrated
architectures for learning, planning and reacting, ICML 7, 216-224).

The maze and the settings are those of Sutton & Barto (2018), Reinforcement learning, 2nd edition, example 8.1. The
model is a table: what each action of each state led to when it was last tried.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

MAZE = (
    ".......#G",
    "..#....#.",
    "S.#....#.",
    "..#......",
    ".....#...",
    ".........",
)  # start, goal, walls; the way takes 14 steps
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right


def ways(maze: Sequence[str] = MAZE) -> tuple[list[list[int]], int, int]:
    """Where each move of each cell leads, and the cells where one starts and arrives. Walls and edges hold."""
    rows, columns, text = len(maze), len(maze[0]), "".join(maze)

    def moved(cell: int, move: tuple[int, int]) -> int:
        row, column = cell // columns + move[0], cell % columns + move[1]
        inside = 0 <= row < rows and 0 <= column < columns and maze[row][column] != "#"
        return row * columns + column if inside else cell

    return [[moved(cell, move) for move in MOVES] for cell in range(rows * columns)], text.index("S"), text.index("G")


def dyna(planning: int, seed: int, episodes: int = 50, discount: float = 0.95, rate: float = 0.1,
         explore: float = 0.1) -> list[int]:  # fmt: skip
    """Steps to the goal in each episode, where each step in the maze is followed by `planning` steps in the mind; with
    none it is Q-learning. The goal pays 1; an action is tried at random with chance `explore`, ties are drawn."""
    after, start, goal = ways()
    rng, taken = random.Random(seed), []
    worth = [[0.0] * len(MOVES) for _ in after]
    model: dict[tuple[int, int], int] = {}

    def learn(state: int, action: int, reached: int) -> None:
        aim = 1.0 if reached == goal else discount * max(worth[reached])
        worth[state][action] += rate * (aim - worth[state][action])

    for _ in range(episodes):
        state, count = start, 0
        while state != goal:
            row = worth[state]
            choice = list(range(len(MOVES))) if rng.random() < explore else [k for k in range(4) if row[k] == max(row)]
            action = choice[int(len(choice) * rng.random())]
            reached = model[state, action] = after[state][action]
            learn(state, action, reached)
            tried = list(model) if planning else []
            for _ in range(planning):
                at = tried[int(len(tried) * rng.random())]
                learn(*at, model[at])
            state, count = reached, count + 1
        taken.append(count)
    return taken


def curves(repeats: int = 5, episodes: int = 50) -> dict[str, list[float]]:
    """The mean of some runs of `dyna` with 0, 5 and 50 steps in the mind."""
    found = {}
    for planning in (0, 5, 50):
        runs = [dyna(planning, seed, episodes) for seed in range(repeats)]
        found[f"{planning} in the mind"] = [sum(steps) / repeats for steps in zip(*runs, strict=True)]
    return found
