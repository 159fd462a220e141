"""How fast the solver of connect four is on six sets of positions; and how these, and its opening book, were made.

    ./go bench positions [--quick] [--fresh]
    python benchmarks/positions.py --make opening     # milestones/data/connect_four_opening.npz: hours
    python benchmarks/positions.py --make sets        # milestones/data/connect_four.npz: minutes to an hour

Without --make it solves each set of milestones/data/connect_four.npz in a process of its own, which begins with an
empty table and keeps it from one position to the next, as a game does: positions a second, whole (what is it worth?)
and column by column (what is each move worth?), and the slowest. Beside it stands how often a move drawn at random is
wrong. It only reports: no threshold.

The opening book holds the worths of all positions with OPENING stones that are not over, mirror images once; those
with fewer follow from them. It is made piece by piece and goes on where it was stopped.

The sets: games are played at random mixed with sense. Each game has a share of sense from 0 to 1, drawn evenly; with
this chance a move is drawn among those after which the other does not win at once, else among all. A game stops at a
number of stones drawn evenly from the set's, and its position is taken if the one to move cannot win at once, some
move is wrong, no set has it or its mirror image, and its set still needs one. What is left until the end follows from
its exact worth. Of each set, 200 positions drawn at random are for validation, 1,000 for the test.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _results import Results, project
from measure import ROOT, Value, ask, say, table

DATA = ROOT / "milestones" / "data"
OPENING, PIECE = 8, 200  # stones of the book's positions; positions solved between two saves
LARGE = 1 << 26  # entries of the table while making: 512 MB
TEST, VALID, SEED = 1000, 200, 1988
STONES = {"begin": (1, 14), "middle": (15, 28), "end": (29, 40)}
LARGEST = {"connect_four.npz": 300_000, "connect_four_opening.npz": 200_000}  # bytes


def write(name: str, **arrays: np.ndarray) -> None:
    """A file of milestones/data, if it is small enough to ship."""
    path = DATA / name
    np.savez_compressed(path, **arrays)
    size = path.stat().st_size
    say(f"{name}: {size:,} bytes")
    if size > LARGEST[name]:
        path.unlink()
        raise SystemExit(f"more than {LARGEST[name]:,} bytes")


def opening() -> None:
    """Solve every position with OPENING stones."""
    from milestones.parts.solver import Solver, layers, opened

    keys = layers(OPENING)[-1]
    aside = Path(tempfile.gettempdir(), f"connect_four_opening_{OPENING}.npy")
    worths = np.load(aside) if aside.exists() else np.zeros(0, np.int8)
    solver, began, first = Solver(LARGE), time.monotonic(), len(worths)
    while len(worths) < len(keys):
        piece = [opened(key) for key in keys[len(worths) : len(worths) + PIECE].tolist()]
        worths = np.concatenate([worths, solver.worths(np.array(piece, np.uint64))])
        np.save(aside, worths)
        rate = (len(worths) - first) / (time.monotonic() - began)
        say(f"{len(worths):,} of {len(keys):,}; {rate:.1f} a second, {(len(keys) - len(worths)) / rate / 60:.0f} min")
    write("connect_four_opening.npz", worths=worths, stones=np.array(OPENING))


def kind(worth: int, stones: int) -> str:
    """The set of a position."""
    from milestones.parts.solver import remaining

    left = int(remaining(np.array([worth]), np.array([stones]))[0])
    part = next(name for name, (_, most) in STONES.items() if stones <= most)
    return f"{part} {'easy' if left < 14 else 'medium' if left <= 28 else 'hard'}"


def drawn(stones: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """The position of a game after so many stones, or None if it was over before or the next stone can win it."""
    from milestones.parts.solver import completing, playable, safe

    own, mask, sense = 0, 0, rng.random()
    for _ in range(stones):
        moves = safe(own, mask) if rng.random() < sense else 0
        moves = moves or playable(mask)
        choice = [1 << bit for bit in range(moves.bit_length()) if moves >> bit & 1]
        move = choice[int(rng.integers(len(choice)))]
        if completing(own) & move:
            return None
        own, mask = own ^ mask, mask | move
    return None if completing(own) & playable(mask) else (own, mask)


def sets() -> None:
    """Fill the six sets for the test and for validation."""
    from milestones.data.positions import SETS
    from milestones.parts.solver import Solver, name
    from milestones.parts.worths import careful

    with np.load(DATA / "connect_four_opening.npz", allow_pickle=False) as book:
        solver = Solver(LARGE, book["worths"], int(book["stones"]))
    rng, seen, tried, began = np.random.default_rng(SEED), set[int](), 0, time.monotonic()
    found: dict[str, list[tuple[int, int]]] = {one: [] for one in SETS}
    values: dict[str, list[np.ndarray]] = {one: [] for one in SETS}
    while lacking := [one for one in SETS if len(found[one]) < TEST + VALID]:
        part = STONES[lacking[int(rng.integers(len(lacking)))].split()[0]]
        stones = int(rng.integers(part[0], part[1] + 1))
        position = drawn(stones, rng)
        if position is None or name(*position) in seen:
            continue
        seen.add(name(*position))
        tried += 1
        state = np.array([position], np.uint64)
        at = kind(int(solver.worths(state)[0]), stones)
        if at not in lacking:
            continue
        worths = solver.scores(state)
        if careful(worths)[0]:
            found[at].append(position)
            values[at].append(worths[0])
        if tried % 2000 == 0:
            say(f"{time.monotonic() - began:5.0f} s, {tried:,} positions solved: "
                + ", ".join(f"{one} {len(found[one])}" for one in SETS))  # fmt: skip
    for one in SETS:
        order = rng.permutation(TEST + VALID)
        found[one], values[one] = [found[one][k] for k in order], [values[one][k] for k in order]
    arrays = {}
    for split, part in (("test", slice(0, TEST)), ("valid", slice(TEST, None))):
        arrays[f"{split}_states"] = np.array([found[one][part] for one in SETS], np.uint64)
        arrays[f"{split}_values"] = np.array([values[one][part] for one in SETS], np.int8)
    write("connect_four.npz", **arrays)


def solved(question: Value) -> Value:
    """How fast one set is solved, and what it is like."""
    from milestones.data.positions import positions
    from milestones.parts.solver import Solver, remaining
    from milestones.parts.worths import NONE

    known = positions()[question["set"]]
    states, values = known.states[: question["most"]], known.values[: question["most"]]
    Solver(1 << 10).scores(states[:1])  # compiles
    Solver(1 << 10).worths(states[:1])
    solver, seconds, same = Solver(), [], True
    for n in range(len(states)):
        began = time.perf_counter()
        same &= int(solver.worths(states[n : n + 1])[0]) == values[n].max()
        seconds.append(time.perf_counter() - began)
    nodes, every = solver.nodes, Solver()
    moves = []
    for n in range(len(states)):
        began = time.perf_counter()
        same &= np.array_equal(every.scores(states[n : n + 1])[0], values[n])
        moves.append(time.perf_counter() - began)
    assert same, "the file has other worths"
    stones = np.array([int(mask).bit_count() for mask in states[:, 1]])
    best, legal = values.max(1), values != NONE
    wrong = legal & (np.sign(values) < np.sign(best)[:, None])
    return {
        "over": len(states), "a_second": len(states) / sum(seconds), "slowest": max(seconds),
        "nodes_a_second": nodes / sum(seconds), "nodes": nodes / len(states),
        "columns_a_second": len(states) / sum(moves), "columns_slowest": max(moves),
        "random_wrong": 100 * float((wrong.sum(1) / legal.sum(1)).mean()), "stones": float(stones.mean()),
        "remaining": float(remaining(best.astype(np.int64), stones).mean()),
        "won": 100 * float((best > 0).mean()), "drawn": 100 * float((best == 0).mean()),
    }  # fmt: skip


def main() -> int:
    if "--solve" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(solved(json.load(sys.stdin))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--make", choices=("opening", "sets"), help="make a file of milestones/data")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args = parser.parse_args()
    if args.make:
        opening() if args.make == "opening" else sets()
        return 0
    from milestones.data.positions import SETS

    results = Results("positions", [*project(), Path(__file__)], sys.executable, args.fresh, args.quick)
    rows = []
    for name in SETS:
        question = {"set": name, "most": 20 if args.quick else TEST}
        part = results.part(name, lambda question=question: ask(
            [sys.executable, str(Path(__file__).resolve()), "--solve"], question, {"PYTHONPATH": str(ROOT)}))  # fmt: skip
        results.write(**{name: {key: float(f"{part[key]:.4g}") for key in part if isinstance(part[key], float)}})
        rows.append([name, f"{part['stones']:.0f}", f"{part['remaining']:.0f}", f"{part['won']:.0f}/{part['drawn']:.0f}",
                     f"{part['random_wrong']:.0f}", f"{part['a_second']:,.0f}", f"{1000 * part['slowest']:.1f}",
                     f"{part['columns_a_second']:,.0f}", f"{1000 * part['columns_slowest']:.1f}",
                     f"{part['nodes']:,.0f}", f"{part['nodes_a_second'] / 1e6:.1f}"])  # fmt: skip
    say(table(["set", "stones", "left", "won/drawn %", "random wrong %", "positions/s", "slowest ms", "by column/s",
               "slowest ms", "nodes", "M nodes/s"], rows))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
