"""Checks a lab: python docs/labs/check.py LAB ANSWERS.py --student NAME [--explain]

The student's function is run on a net that ships or in a world of its page, on examples drawn from the student's name.
Prints a line for each question, and the outcome.
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
import torch
from torch import Tensor

import milestones
from milestones.data.positions import positions
from milestones.data.text import codec
from milestones.parts.attention import turned
from milestones.parts.decision import backup, drawn, evaluated, greedy
from milestones.parts.worths import NONE
from milestones.systems.gpt import normed
from milestones.worlds.mdp import lake

Names = Mapping[str, Callable[..., Any]]
DIGITS = Path(milestones.__file__).parent / "data" / "digits10k.npz"
TESTED = 9000  # from here on no page that ships has learned from a digit
TEXT = "In the beginning God created the heavens and the earth. The earth was formless and empty."


class Question(NamedTuple):
    """What was asked, whether the answer is right, and what was expected, in words."""

    asked: str
    right: bool
    expected: str


def digits(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Pictures "N 1 28 28" in grey levels and labels "N", that LeNet has not learned from."""
    with np.load(DIGITS, allow_pickle=False) as file:
        which = rng.permutation(np.arange(TESTED, len(file["label"])))[:count]
        return torch.from_numpy(file["image"][which])[:, None], torch.from_numpy(file["label"][which]).long()


def lab1(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    """LeNet's last layer, learned anew by squared error: a loss whose curvatures are known."""
    net: Any = milestones.load("shipped:lenet").model
    image, label = digits(rng, 200)
    with torch.no_grad():
        features = net.classifier[:-1](net.features(image).flatten(1)).double()
    target = torch.nn.functional.one_hot(label, 10).double()
    curvatures = torch.linalg.eigvalsh(features.T @ features / len(features)).clamp(min=0).numpy()
    rate = float(names["limit"](curvatures.copy()))

    def left(rate: float) -> float:
        """The loss after 500 steps from weights of 0, as a part of that before."""
        weight = torch.zeros(features.shape[1], 10, dtype=torch.float64)
        for _ in range(500):
            weight -= rate * features.T @ (features @ weight - target) / len(features)
        return float((features @ weight - target).square().sum() / target.square().sum())

    below, above = (left(share * rate) if rate > 0 else math.nan for share in (0.98, 1.02))
    yield Question(f"LeNet's last layer on 200 digits of yours, rate {rate:.6g}: 2 % below it the loss falls",
                   below < 1, f"a loss below that of the start; it is {below:.3g} times as large")  # fmt: skip
    yield Question("2 % above it the loss grows", above > 1 or math.isinf(above),
                   f"a loss above that of the start; it is {above:.3g} times as large")  # fmt: skip


def lab2(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    """A filter that LeNet learned, on a digit with a margin of two pixels, as LeNet's first layer has it."""
    net: Any = milestones.load("shipped:lenet").model
    (image, label), number = digits(rng, 1), int(rng.integers(6))
    with torch.no_grad():
        seen = net.features[0](image)
        want = (net.features[1](seen)[0, number] - net.features[1].bias[number]).double().numpy()
    image, kernel = np.pad(seen[0, 0].double().numpy(), 2), net.features[1].weight[number, 0].detach().double().numpy()
    found = np.asarray(names["filtered"](image.copy(), kernel.copy()), float)
    yield Question(f"filter {number + 1} of LeNet, 5 x 5, on a {int(label)} of 32 x 32: your answers are {found.shape}",
                   found.shape == (28, 28), "(28, 28)")  # fmt: skip
    if found.shape == (28, 28):
        right = int(np.isclose(found, want, atol=1e-4).sum())
        yield Question("each answer is that of LeNet's layer", right == 784, f"784 right ones; {right} are")


def lab3(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    """A head of GPT's first block, on a piece of text."""
    trained = milestones.load("shipped:gpt")
    net: Any = trained.model
    begin, length, head = int(rng.integers(40)), 24, int(rng.integers(net.blocks[0].heads))
    piece, block = TEXT[begin : begin + length], net.blocks[0]
    token = torch.tensor([codec(trained.facts).encode(piece)])
    with torch.no_grad():
        before = torch.nn.functional.pad(token[:, :-1], (1, 0), value=net.tokens)
        x = net.vectors(before, token)
        _, kept, looked = block(x, net.turn[:length], net.hidden[:length, :length])
        sides = normed(block.look(normed(x)).unflatten(2, (2 * block.heads, -1)))
        asked = turned(sides, net.turn[:length]).transpose(1, 2)[0, head]
    key, value, query = (part.double().numpy() for part in (kept.keys[0, head], kept.values[0, head], asked))
    want = looked[0, head].double().numpy() @ value
    found = np.asarray(names["attention"](query.copy(), key.copy(), value.copy()), float)
    yield Question(f"head {head + 1} of GPT on {piece!r}: what you read is {found.shape}", found.shape == want.shape,
                   str(want.shape))  # fmt: skip
    if found.shape != want.shape:
        return
    first = np.allclose(found[0], value[0], atol=1e-4)
    yield Question("the first letter reads itself alone", first, f"{value[0, :4].round(3)} ...")
    ahead = value.copy()
    ahead[-4:] += 5
    same = np.allclose(np.asarray(names["attention"](query.copy(), key.copy(), ahead))[:-4], found[:-4])
    yield Question("none looks at later ones", same, "the others unchanged by other values of the last four")
    right = int(np.isclose(found, want, atol=1e-4).all(1).sum())
    yield Question("each letter reads what it reads in GPT", right == length, f"{length} right ones; {right} are")


def lab4(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    """A digit that LeNet reads rightly, and a size of change by which one step along the slope misleads it."""
    net: Any = milestones.load("shipped:lenet").model
    image, label = digits(rng, 200)
    eps, level = 0.15, image.float() / 255
    level.requires_grad_()
    logits = net(255 * level)
    right = logits.argmax(1)
    wrong = logits.topk(2).indices[:, 1]
    gain = (logits.gather(1, wrong[:, None]) - logits.gather(1, right[:, None])).sum()
    (slopes,) = torch.autograd.grad(gain, level)
    with torch.no_grad():
        moved = net(255 * (level + eps * slopes.sign()).clamp(0, 1)).argmax(1)
    k = int(((right == label) & (moved != label)).nonzero()[0])
    x, slope = (part[k, 0].detach().double().numpy() for part in (level, slopes))
    found = np.asarray(names["misled"](x.copy(), slope.copy(), eps), float)
    yield Question(f"a {int(label[k])} that LeNet reads rightly: your picture is {found.shape}", found.shape == x.shape,
                   "(28, 28)")  # fmt: skip
    if found.shape != x.shape:
        return
    legal = bool((abs(found - x) <= eps + 1e-6).all() and (found >= 0).all() and (found <= 1).all())
    yield Question("each pixel moves by at most eps and stays between 0 and 1", legal, f"moves up to {eps}")
    best = float(np.maximum(slope * (np.maximum(x - eps, 0) - x), slope * (np.minimum(x + eps, 1) - x)).sum())
    most = float((slope * (found - x)).sum())
    yield Question(f"along the slope the {int(wrong[k])} gains as much on the {int(label[k])} as it can",
                   math.isclose(most, best, rel_tol=1e-5), f"{best:.4f}, got {most:.4f}")  # fmt: skip
    with torch.no_grad():
        said = int(net(torch.from_numpy(255 * found).float()[None, None]).argmax())
    yield Question(f"LeNet reads your picture as a {said}", said != int(label[k]), "another digit")


def lab5(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    """The frozen lake of `mdp`, where each action of each state is tried by turns, as the page tries them."""
    process, discount, rounds = lake(8), 0.9, 1000
    states, actions = process.reward.shape
    q = np.full((states, actions), 7.0)
    one = int(rng.integers(states - 10))
    names["learn"](q, one, 2, 2.0, one + 8, False, 0.25, discount)
    changed = [(int(s), int(a)) for s, a in zip(*np.nonzero(q != 7.0), strict=True)]
    yield Question(f"a moment in state {one} changes one number", changed == [(one, 2)], f"that of ({one}, 2)")
    best = torch.zeros(states, dtype=torch.float64)
    for _ in range(300):
        best = backup(process, best, discount).max(1).values.masked_fill(process.ended, 0)
    state, action = process.given.nonzero().unbind(1)
    chances = torch.from_numpy(rng.random((rounds, len(state))))
    paid = process.ended.numpy() & (np.arange(states) == states - 1)  # the goal pays 1
    q, tried = np.zeros((states, actions)), list(zip(state.tolist(), action.tolist(), strict=True))
    for k in range(rounds):
        rate, after = 1 / (1 + (1 - discount) * k), drawn(process, state, action, chances[k]).tolist()
        q[process.ended.numpy()] = 50.0  # nothing follows there: to be left out
        for (s, a), then in zip(tried, after, strict=True):
            names["learn"](q, s, a, float(paid[then]), then, bool(process.ended[then]), rate, discount)
    far = float((torch.from_numpy(q).max(1).values - best)[~process.ended].abs().max())
    yield Question(f"after {rounds * len(tried):,} moments on the frozen lake values are {far:.3f} off at most",
                   far < 0.1, "less than 0.1, of a goal that pays 1")  # fmt: skip
    policy = greedy(torch.from_numpy(q))
    share = float(evaluated(process, policy, discount, best)[0] / best[0])
    yield Question(f"who acts by your table gets {100 * share:.0f} % of the best return", share > 0.75, "75 % or more")


def lab6(names: Names, rng: np.random.Generator) -> Iterator[Question]:
    """Ends of games of connect four, whose worth a solver has found."""
    from milestones.worlds.games.connect_four import connect_four

    game, known = connect_four(), positions()["end easy"]

    def grown(states: np.ndarray, legal: np.ndarray, sign: int) -> list[Any]:
        """All that may follow: what the game is worth for the one who began where it is over, lists elsewhere."""
        tree: list[Any] = []
        for column in np.flatnonzero(legal):
            after, turn = game.step(states, np.array([column]))
            # The value is that of the one to move next.
            over = int(-sign * turn.value[0]) if turn.ended[0] else None
            tree.append(grown(after, turn.legal[0], -sign) if over is None else over)
        return tree

    def leaves(tree: Any) -> int:
        return 1 if isinstance(tree, int) else sum(map(leaves, tree))

    free = 42 - np.bitwise_count(known.states[:, 1])
    which = rng.permutation(np.flatnonzero((free >= 7) & (free <= 9)))[:4]
    trees = [grown(known.states[k : k + 1], known.values[k] != NONE, 1) for k in which]
    seen: list[int] = []

    def look(leaf: int) -> int:
        seen.append(leaf)
        return leaf

    found = [names["worth"](tree, True, look) for tree in trees]
    want, count = [int(np.sign(known.values[k].max())) for k in which], sum(map(leaves, trees))
    yield Question(f"four ends of connect four are worth {found}", found == want, f"{want}, as the solver says")
    yield Question(f"you looked at {len(seen):,} of {count:,} ends of games", 4 <= len(seen) < count * 2 // 3,
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
