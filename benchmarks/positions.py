"""How fast the solver of connect four is on six sets of positions; and how these, and its opening book, were made.

    ./go bench positions [--quick] [--fresh]
    python benchmarks/positions.py --make opening     # milestones/data/connect_four_opening.npz: hours
    python benchmarks/positions.py --make sets        # milestones/data/connect_four.npz: half an hour
    python benchmarks/positions.py --make hex         # milestones/data/hex5_opening.npz: minutes

Without --make it solves each set of milestones/data/connect_four.npz in a process of its own, which begins with an
empty table and keeps it from one position to the next, as a game does: positions a second, whole (what is it worth?)
and column by column (what is each move worth?), and the slowest. Beside it stands how often a move drawn at random is
wrong. It only reports: no threshold.

The opening book holds the worths of all positions with OPENING stones that are not over, mirror images once; those
with fewer follow from them. The one that ships has one stone only: four known worths, which the solver finds again in
a slow test; --make opening, which takes hours, has not been run to its end. It is made piece
by piece and goes on where it was stopped.

The sets: games are played at random mixed with sense. Each game has a share of sense from 0 to 1, drawn evenly; with
this chance a move is drawn among those after which the other does not win at once, else among all. A game stops at a
number of stones drawn evenly from the set's, and its position is taken if the one to move cannot win at once, some
move is wrong, no set has it or its mirror image, and its set still needs one. What is left until the end follows from
its exact worth. Of each set, 200 positions drawn at random are for validation, 1,000 for the test.
"""

from __future__ import annotations

import argparse
import functools
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
STONES = {"begin": (10, 14), "middle": (15, 28), "end": (29, 38)}
LARGEST = {"connect_four.npz": 300_000, "connect_four_opening.npz": 200_000, "hex5_opening.npz": 10_000}  # bytes


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


def hex_opening() -> None:
    """Who wins hex on 5 x 5 after each third stone; half of the positions are the others turned by half."""
    from milestones.parts.connection import Hex
    from milestones.parts.worths import NONE

    search, cells, began = Hex(5, 1 << 22), 25, time.monotonic()
    scores = np.full((cells, cells, cells), NONE, np.int8)
    for first in range(13):
        for second in (cell for cell in range(cells) if cell != first):
            legal = ~np.isin(np.arange(cells), (first, second))
            row = search.scores(np.array([1 << first]), np.array([1 << second]), legal[None])[0]
            scores[first, second], scores[cells - 1 - first, cells - 1 - second] = row, row[::-1]
        say(f"hex, {time.monotonic() - began:.0f} s: {first + 1} of 13 first stones")
    write("hex5_opening.npz", scores=scores)


def kinds(stones: int) -> list[str]:
    """The difficulty of a position with so many stones for each worth from -21 to 21."""
    from milestones.parts.solver import CELLS, remaining

    worths = np.arange(-CELLS // 2, CELLS // 2 + 1)
    left = remaining(worths, np.full(len(worths), stones)).tolist()
    return ["easy" if n < 14 else "medium" if n <= 28 else "hard" for n in left]


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


def filled(length: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The sets of a length by name: positions and worths, in mixed order. Made once, and found again."""
    from milestones.data.positions import SETS
    from milestones.parts.solver import CELLS, Solver, name
    from milestones.parts.worths import careful

    aside = Path(tempfile.gettempdir(), f"connect_four_{length}.npz")
    names = [one for one in SETS if one.startswith(length)]
    if aside.exists():
        with np.load(aside, allow_pickle=False) as archive:
            return {one: (archive[f"{one} states"], archive[f"{one} values"]) for one in names}
    solver, rng = Solver(1 << 24), np.random.default_rng([SEED, list(STONES).index(length)])
    seen, tried, began = set[int](), 0, time.monotonic()
    found: dict[str, list[tuple[tuple[int, int], np.ndarray]]] = {one: [] for one in names}
    while any(len(those) < TEST + VALID for those in found.values()):
        stones = int(rng.integers(STONES[length][0], STONES[length][1] + 1))
        position = drawn(stones, rng)
        if position is None or name(*position) in seen:
            continue
        seen.add(name(*position))
        state, hard = np.array([position], np.uint64), kinds(stones)
        tried += 1
        if tried % 500 == 0:
            say(f"{length}, {time.monotonic() - began:.0f} s, {tried:,} positions: "
                + ", ".join(f"{one} {len(those)}" for one, those in found.items()))  # fmt: skip
        # Whether it is easy is soon known; of the others one asks only while they are lacking.
        close = [k - CELLS // 2 for k, one in enumerate(hard) if one != "easy"]
        easy = not close or solver.reaches(state, max(close) + 1) or not solver.reaches(state, min(close))
        open_ = [one for one, those in found.items() if len(those) < TEST + VALID]
        if not any(one.endswith("easy") == easy for one in open_):
            continue
        at = f"{length} {hard[int(solver.worths(state)[0]) + CELLS // 2]}"
        if at in open_:
            worths = solver.scores(state)
            if careful(worths)[0]:
                found[at].append((position, worths[0]))
    mixed = {}
    for one, those in found.items():
        order = rng.permutation(len(those))
        mixed[one] = (np.array([those[k][0] for k in order], np.uint64), np.array([those[k][1] for k in order]))
    np.savez(aside, **{f"{one} {what}": those[k] for one, those in mixed.items()
                       for k, what in enumerate(("states", "values"))})  # fmt: skip
    return mixed


def sets() -> None:
    """Fill the six sets for the test and for validation."""
    arrays = {}
    for name, mixed in ((name, mixed) for length in STONES for name, mixed in filled(length).items()):
        for split, part in (("test", slice(0, TEST)), ("valid", slice(TEST, None))):
            for what, rows in zip(("states", "values"), mixed, strict=True):
                arrays[f"{split} {name} {what}"] = rows[part]
    write("connect_four.npz", **arrays)


MAKE = {"opening": opening, "sets": sets, "hex": hex_opening}


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
    parser.add_argument("--make", choices=(*MAKE, *STONES), help="make a file of milestones/data, or some sets")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args = parser.parse_args()
    if args.make:
        filled(args.make) if args.make in STONES else MAKE[args.make]()
        return 0
    from milestones.data.positions import SETS

    results = Results("positions", [*project(), Path(__file__)], sys.executable, args.fresh, args.quick)
    rows = []
    for name in SETS:
        question = {"set": name, "most": 20 if args.quick else TEST}
        words = [sys.executable, str(Path(__file__).resolve()), "--solve"]
        part = results.part(name, functools.partial(ask, words, question, {"PYTHONPATH": str(ROOT)}))
        results.write(**{name: {key: float(f"{part[key]:.4g}") for key in part if isinstance(part[key], float)}})
        shares = f"{part['won']:.0f}/{part['drawn']:.0f}"
        rows.append([name, f"{part['stones']:.0f}", f"{part['remaining']:.0f}", shares, f"{part['random_wrong']:.0f}",
                     f"{part['a_second']:,.0f}", f"{1000 * part['slowest']:.1f}", f"{part['columns_a_second']:,.0f}",
                     f"{1000 * part['columns_slowest']:.1f}", f"{part['nodes']:,.0f}",
                     f"{part['nodes_a_second'] / 1e6:.1f}"])  # fmt: skip
    say(table(["set", "stones", "left", "won/drawn %", "random wrong %", "positions/s", "slowest ms", "by column/s",
               "slowest ms", "nodes", "M nodes/s"], rows))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
