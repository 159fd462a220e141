"""Go: whether the rules are OpenSpiel's, and how a net that taught itself does against GNU Go.

    ./go bench go [--only NAME ...] [--games 50] [--simulations 200] [--positions 100000] [--run FOLDER] [--quick]
                  [--fresh]

`rules N`: so many positions of random games on N x N; what OpenSpiel allows and we do not must bring back a position
(OpenSpiel lets one do so, and calls the game drawn), all else must be equal. `5x5`: one `milestones train alphazero
--preset go5`, in a temporary folder; it plays Black against GNU Go at level 10. So that games differ, White's first
move is any legal one, drawn anew for each game; after it GNU Go plays, with another seed in each. `7x7`: preset go7,
colours alternate from openings of two random moves. Equal games count once. Points are counted as the board
stands; `disputed` are games of which GNU Go, that takes what is dead off the board, names another winner. Targets: 90 %
of 50 games on 5 x 5 after 20 minutes of training, 75 % of 200 on 7 x 7 after 90.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, run, say

SIZES = (5, 7, 9, 13, 19)
TARGETS = {"5x5": {"wins": 90.0, "seconds": 1200.0}, "7x7": {"wins": 75.0, "seconds": 5400.0}}
LEVEL, REPEATED = 10, 4  # GNU Go's; games for each that is wanted, as not all of them differ


def rules(size: int, positions: int) -> Value:
    """How often legal moves, ends and results differ."""
    import numpy as np
    import pyspiel

    from milestones.worlds.games import game

    theirs = pyspiel.load_game(f"go(board_size={size},komi=7.5,max_game_length={3 * size * size})")
    own, rng = game(f"go{size}:7.5"), random.Random(size)
    numbers = {label: move for move, label in enumerate(own.facts["labels"])}
    seen, superko, other = 0, 0, 0
    while seen < positions:
        state, mine = theirs.new_initial_state(), own.begin(1)
        turn = own.turn(mine)
        while not turn.ended[0]:
            legal, player = set(np.flatnonzero(turn.legal[0]).tolist()), state.current_player()
            names = {numbers[state.action_to_string(player, a).split()[-1].lower()]: a for a in state.legal_actions()}
            other += len(legal - set(names))
            for move in set(names) - legal:
                twin = state.clone()
                twin.apply_action(names[move])
                repeats = twin.is_terminal() and twin.returns() == [0, 0]
                superko, other = superko + repeats, other + (not repeats)
            moves = sorted(legal - {size * size})
            move = size * size if not moves or rng.random() < 0.01 else rng.choice(moves)
            state.apply_action(names[move])
            mine, turn = own.step(mine, np.array([move]))
            seen += 1
        sign = 1 - 2 * int(own.mover(mine)[0])
        other += not state.is_terminal() or state.returns()[0] != sign * turn.value[0]
    return {"positions": seen, "superko": int(superko), "other": int(other)}


def against(folder: Path, size: int, games: int, simulations: int) -> Value:
    """What a trained run does against GNU Go."""
    import numpy as np

    from milestones.catalog import load
    from milestones.parts.elo import scored
    from milestones.worlds.games import game
    from milestones.worlds.games.arena import both, contest, distinct, openings
    from milestones.worlds.games.opponents import Searching
    from milestones.worlds.games.program import GnuGo

    trained = load(str(folder))
    own = game(trained.facts["game"])
    mine, gnu = Searching("run", trained.model, trained.facts, simulations), GnuGo(own, LEVEL)
    if size == 5:
        first = int(mine.moves(own.begin(1), [()], np.zeros(1, np.uint64))[0])
        _after, turn = own.step(own.begin(1), np.array([first]))
        replies = np.random.default_rng(0).permutation(np.flatnonzero(turn.legal[0, :-1])).tolist()
        lines = [(k, (first, replies[k % len(replies)]), 0) for k in range(REPEATED * games)]
    else:
        lines = both(openings(own, games // 2, 2, 0))
    try:
        played = list(contest(own, (mine, gnu), lines, 0))
        black = [one.points if one.first == 0 else 1 - one.points for one in played]
        disputed = [2 * won - 1 != np.sign(gnu.score(one.line)) for one, won in zip(played, black, strict=True)]
    finally:
        gnu.close()
    every: dict[tuple[int, ...], float] = {one.line: one.points for one in played}
    known = dict(list(every.items())[:games])  # in the order of play
    value, low, high = scored([2 * points for points in known.values()], np.random.default_rng(0))
    return {"games": len(played), "distinct": distinct(own, played), "counted": len(known),
            "disputed": int(sum(disputed)), "wins": value, "low": low, "high": high,
            "forfeits": [one.forfeit for one in played if one.forfeit],
            "komi": own.facts["komi"], "simulations": simulations}  # fmt: skip


def played(size: int, args: Any) -> Value:
    """A run that was trained before, against GNU Go."""
    report = json.loads(Path(args.run, "report.json").read_text())
    if report["world"]["game"] != f"go{size}":
        sys.exit(f"expected a run of go{size}, got one of {report['world']['game']}: {args.run}")
    kept = {name: report[name] for name in ("command", "plan", "steps", "seconds", "scores", "versions")}
    return {**against(Path(args.run), size, args.games, args.simulations), "run": kept}


def trained(size: int, args: Any) -> Value:
    with tempfile.TemporaryDirectory() as place:
        words = ["train", "alphazero", "--preset", f"go{size}", "--json", *(["--minutes", "0.1"] if args.quick else [])]
        done = run([sys.executable, "-m", "milestones", *words], {"PYTHONPATH": str(ROOT)}, Path(place))
        if done["code"]:
            sys.exit(f"failed with {done['code']}: {words}\n{done['err'][-2000:]}")
        report = json.loads(done["out"].strip().splitlines()[-1])
        kept = {name: report[name] for name in ("command", "plan", "steps", "seconds", "scores", "versions")}
        met = against(Path(place) / "runs" / "alphazero-1", size, args.games, args.simulations)
    return {**met, "run": kept, "foreign": done["foreign"]}


def main() -> int:
    parts = [*(f"rules {size}" for size in SIZES), *TARGETS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=parts, choices=parts, metavar="NAME", help=", ".join(parts))
    parser.add_argument("--games", type=int, default=50, help="against GNU Go")
    parser.add_argument("--simulations", type=int, default=200, help="before each move of ours")
    parser.add_argument("--positions", type=int, default=100_000, help="of each size, whose rules are compared")
    parser.add_argument("--run", default="", metavar="FOLDER", help="play this run, and train none")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    if args.quick:
        args.games, args.simulations, args.positions = 4, 8, 500
    sys.path.insert(0, str(ROOT))
    games = (ROOT / "milestones" / "worlds" / "games").glob("*.py")
    files = [*project("alphazero"), *games, Path(__file__)]
    results = Results("go", files, sys.executable, args.fresh, args.quick, targets=TARGETS)
    for name in args.only:
        say(name)
        size = int(name.split()[1]) if name.startswith("rules") else int(name[0])
        measure = functools.partial(rules, size, args.positions) if name.startswith("rules") else functools.partial(
            played if args.run else trained, size, args)  # fmt: skip
        part = results.part(name, measure)
        if name.startswith("rules"):
            say(f"{part['positions']:,} positions: {part['superko']} moves that OpenSpiel alone has bring back "
                f"a position; {part['other']} other differences")  # fmt: skip
            continue
        for what, value, wanted in (("wins", part["wins"], TARGETS[name]["wins"]),
                                    ("seconds", part["run"]["seconds"], TARGETS[name]["seconds"])):  # fmt: skip
            met = value >= wanted if what == "wins" else value <= wanted
            say(f"{name}, {what}: {value:.1f}, {wanted:g} wanted: {'met' if met else 'MISSED'}")
        say(f"{part['counted']} different games, {part['disputed']} disputed; "
            f"95 %: {part['low']:.1f} to {part['high']:.1f}")  # fmt: skip
    results.write(parts={name: part for name in parts if (part := results.kept(name))})
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
