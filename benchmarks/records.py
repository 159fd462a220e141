"""The games of go on 5 x 5 that ship, milestones/data/records5.sgf.gz: our strong player there, a net that taught
itself, against itself.

    python benchmarks/records.py [--games 1000] [--run alphazero-go5] [--simulations 200]

So that games differ, the first 0 to 8 moves of each are made after 16 random games a move, all others by the run's
search; its comment says from which move on there is something to learn. A game is decided when 48 random games from
there all go one way. In every other game the loser then resigns, when it is to move; in the rest both pass as soon as
the board as it stands is won by the same side. The same arguments make the same file on the same machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
FILE = ROOT / "milestones" / "data" / "records5.sgf.gz"
EARLY, WEAK, SURE, TOGETHER, LARGEST = 8, 16, 48, 250, 150_000  # moves, random games twice, games at once, bytes


def games(count: int, strong: Any, seed: int) -> dict[tuple[int, ...], tuple[str, int]]:
    """Games side by side: their moves, how each ended as SGF has it, and how many moves of it were weak."""
    from milestones.core.source import key
    from milestones.parts.keyed import keys
    from milestones.worlds.games import game
    from milestones.worlds.games.opponents import Rollouts
    from milestones.worlds.games.records import result_of

    table, rng = game("go5"), np.random.default_rng(key("records", seed))
    weak = Rollouts(table, WEAK)
    early, a_pass = rng.integers(0, EARLY + 1, count), table.facts["actions"] - 1
    lines, ends = [list[int]() for _ in range(count)], [""] * count
    states, live, ply = table.begin(count), np.arange(count), 0
    while len(live):
        sign = 1 - 2 * table.mover(states[live])
        each = table.playout(states[live].repeat(SURE, 0), key("sure", seed, ply)).reshape(-1, SURE)
        sure, points = sign * each.mean(1), sign * table.area(states[live]).score
        for row, n in enumerate(live.tolist()):
            if abs(sure[row]) < 1:
                continue
            if n % 2 == 0 and sure[row] != sign[row]:
                ends[n] = f"{'B' if sure[row] > 0 else 'W'}+R"
            if n % 2 == 1 and np.sign(points[row]) == sure[row]:
                lines[n] += [a_pass, a_pass]
                ends[n] = result_of(float(points[row]))
        live = np.array([n for n in live.tolist() if not ends[n]], np.int64)
        move = np.empty(len(live), np.int64)
        for player, mine in ((weak, early[live] > ply), (strong, early[live] <= ply)):
            rows = np.flatnonzero(mine)
            if len(rows):
                seeds = keys(seed, live[rows], np.full(len(rows), ply))
                move[rows] = player.moves(states[live[rows]], [], seeds)
        for n, played in zip(live.tolist(), move.tolist(), strict=True):
            lines[n].append(played)
        if len(live):
            states[live], turn = table.step(states[live], move)
            mover, ply = 1 - 2 * table.mover(states[live]), ply + 1
            for n, over, value in zip(live.tolist(), turn.ended, mover * table.area(states[live]).score, strict=True):
                ends[n] = result_of(float(value)) if over else ""
            live = live[~turn.ended]
    return {tuple(line): (end, int(weak)) for line, end, weak in zip(lines, ends, early, strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--run", default="alphazero-go5", help="whose search plays")
    parser.add_argument("--simulations", type=int, default=200, help="before a move")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from milestones.catalog import load
    from milestones.parts.tower import player
    from milestones.worlds.games import game
    from milestones.worlds.games.opponents import Searching
    from milestones.worlds.games.records import Record, write_records

    trained = load(args.run)
    strong = Searching(args.run, player(trained.model, "bfloat16"), trained.facts, args.simulations)
    table, found = game("go5"), dict[tuple[int, ...], tuple[str, int]]()
    for begin in range(0, args.games, TOGETHER):
        found |= games(min(TOGETHER, args.games - begin), strong, begin)
        print(f"{len(found)} different games, {sum(map(len, found)):,} moves", flush=True)
    name = f"{args.run}, {args.simulations} simulations"
    records = [
        Record(5, table.facts["komi"], line, end, (name, name), f"learn from move {early + 1}")
        for line, (end, early) in found.items()
    ]
    write_records(FILE, table, records)
    size = FILE.stat().st_size
    wins = sum(end.startswith("B") for end, _ in found.values())
    print(f"{FILE.name}: {size:,} bytes; Black won {wins} of {len(found)}")
    if size > LARGEST:
        FILE.unlink()
        raise SystemExit(f"more than {LARGEST:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
