"""Checks a lab: python docs/labs/check.py LAB ANSWERS.py --student NAME [--explain]

Each student gets numbers of their own, drawn from the name. Prints a line for each question, and the outcome.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Names = Mapping[str, Callable[..., Any]]


class Question(NamedTuple):
    """What was asked, whether the answer is right, and what was expected, in words."""

    asked: str
    right: bool
    expected: str


def lab1(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    curvatures = np.round(rng.uniform(0.5, 20, 5), 2)
    rate = float(names["limit"](curvatures.copy()))

    def left(rate: float) -> float:
        """The largest coordinate after 5,000 steps from 1."""
        return float(np.max(np.abs(1 - rate * curvatures) ** 5000))

    yield Question(f"curvatures {curvatures}: 1 % below your rate it converges", rate > 0 and left(0.99 * rate) < 1e-6,
                   "steps of 0.99 times your rate to lead to 0")  # fmt: skip
    with np.errstate(over="ignore"):
        yield Question(
            "1 % above your rate it diverges", left(1.01 * rate) > 1e6, "steps of 1.01 times it to lead away"
        )


def lab2(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    image, kernel = rng.integers(0, 9, (7, 6)).astype(float), rng.integers(-3, 4, (3, 2)).astype(float)
    found = np.asarray(names["filtered"](image.copy(), kernel.copy()), float)
    yield Question(f"a filter of 3 x 2 on 7 x 6: your answers are {found.shape}", found.shape == (5, 5), "(5, 5)")
    if found.shape == (5, 5):
        want = np.lib.stride_tricks.sliding_window_view(image, (3, 2))
        right = [math.isclose(found[at], (want[at] * kernel).sum(), abs_tol=1e-9) for at in np.ndindex(5, 5)]
        yield Question("each answer is the sum of products", all(right), f"25 right ones; {sum(right)} are")


def lab3(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    query, key, value = rng.normal(0, 2, (3, 6, 4))
    found = np.asarray(names["attention"](query.copy(), key.copy(), value.copy()), float)
    yield Question(f"six positions of four numbers: yours are {found.shape}", found.shape == (6, 4), "(6, 4)")
    if found.shape != (6, 4):
        return
    yield Question("the first position reads itself alone", np.allclose(found[0], value[0]), f"{value[0].round(3)}")
    ahead = value.copy()
    ahead[4:] += 5
    same = np.allclose(np.asarray(names["attention"](query, key, ahead))[:4], found[:4])
    yield Question("none looks at later ones", same, "the first four unchanged by other values of the last two")
    scores = [math.exp(sum(a * b for a, b in zip(query[5], k, strict=True)) / 2) for k in key]
    last = sum(s * v for s, v in zip(scores, value, strict=True)) / sum(scores)
    yield Question("the last position reads all", np.allclose(found[5], last), f"{last.round(3)}")


def lab4(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    weights, bias, x, eps = rng.normal(size=(3, 30)), rng.normal(size=3), rng.uniform(0, 1, 30), 0.15
    right, wrong = (int(k) for k in rng.permutation(3)[:2])
    found = np.asarray(names["misled"](x.copy(), weights.copy(), bias.copy(), right, wrong, eps), float)
    yield Question(f"30 pixels: yours are {found.shape}", found.shape == (30,), "(30,)")
    if found.shape != (30,):
        return
    legal = bool((abs(found - x) <= eps + 1e-9).all() and (found >= 0).all() and (found <= 1).all())
    yield Question("each pixel moves by at most eps and stays between 0 and 1", legal, f"moves up to {eps}")
    pull = weights[wrong] - weights[right]
    best = sum(max(p * max(0.0, v - eps), p * min(1.0, v + eps)) for p, v in zip(pull, x, strict=True))
    most = math.isclose(float(pull @ found), best, rel_tol=1e-6)
    yield Question(f"class {wrong} gains as much on {right} as it can", most,
                   f"{best:.4f}, got {float(pull @ found):.4f}")  # fmt: skip


def lab5(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    states, actions, discount = 6, 2, 0.8
    then, reward = rng.integers(0, states, (states, actions)), rng.integers(-3, 9, (states, actions)).astype(float)
    then[:, 0] = (np.arange(states) + 1) % states  # every state is reached
    best = np.zeros((states, actions))
    for _ in range(400):
        follows = np.where(then == states - 1, 0.0, best.max(1)[then])  # the last state ends
        best = reward + discount * follows
    q = np.full((states, actions), 7.0)
    before = q.copy()
    names["learn"](q, 1, 0, 2.0, 3, False, 0.25, discount)
    changed = list(zip(*np.nonzero(q != before), strict=True))
    yield Question(
        "one moment changes one number", [tuple(map(int, at)) for at in changed] == [(1, 0)], "that of (1, 0)"
    )
    q = np.zeros((states, actions))
    for _ in range(6000):
        state, action = int(rng.integers(states - 1)), int(rng.integers(actions))
        to = int(then[state, action])
        names["learn"](q, state, action, float(reward[state, action]), to, to == states - 1, 0.2, discount)
        q[-1] = 50.0  # of a state where nothing follows: to be left out
    wrong = int((abs(q - best)[:-1] > 0.01).sum())
    yield Question(
        "after 6,000 moments the table is what the equations say", wrong == 0, f"10 right; {wrong} are wrong"
    )


def lab6(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    def grown(depth: int) -> Any:
        return [grown(depth - 1) for _ in range(3)] if depth else int(rng.integers(-50, 51))

    def plain(tree: Any, first: bool) -> int:
        return tree if isinstance(tree, int) else (max if first else min)(plain(part, not first) for part in tree)

    seen: list[int] = []
    trees = [grown(5) for _ in range(4)]
    found = [names["worth"](tree, True, lambda leaf: seen.append(leaf) or leaf) for tree in trees]
    want = [plain(tree, True) for tree in trees]
    yield Question(f"four games are worth {found}", found == want, str(want))
    yield Question(f"you looked at {len(seen)} leaves of {4 * 3**5}", 4 * 25 <= len(seen) < 4 * 3**5 * 2 // 3,
                   "fewer than two thirds, each told by look(leaf)")  # fmt: skip


LABS = {"lab1": lab1, "lab2": lab2, "lab3": lab3, "lab4": lab4, "lab5": lab5, "lab6": lab6}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lab", choices=LABS)
    parser.add_argument("answers", type=Path, help="the student's file")
    parser.add_argument("--student", required=True, help="whose numbers")
    parser.add_argument("--explain", action="store_true", help="exit with 0 also where answers are blank or wrong")
    args = parser.parse_args()
    if not args.answers.is_file():
        parser.error(f"expected the student's file, got {args.answers}, which is no file")
    seed = int.from_bytes(hashlib.sha256(f"{args.lab} {args.student}".encode()).digest()[:8])
    right = True
    try:
        names = runpy.run_path(str(args.answers))
        for question in LABS[args.lab](names, np.random.default_rng(seed)):
            right &= question.right
            end = "" if question.right else f" Expected: {question.expected}."
            print(f"{'right' if question.right else 'wrong'}: {question.asked}.{end}")
    except NotImplementedError:
        right = False
        print("blank: a function has none of your lines yet.")
    except Exception as problem:  # whatever the student's file does wrong
        right = False
        print(f"wrong: your file ended with {type(problem).__name__}: {problem}")
    print(f"{args.lab}, {args.student}: {'passed' if right else 'not passed'}")
    return 0 if right or args.explain else 1


if __name__ == "__main__":
    sys.exit(main())
