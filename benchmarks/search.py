"""Simulations a second: of the bare tree on one core, and of whole self-play on all, beside OpenSpiel and
alpha-zero-general.

    ./go bench search [--repeats 3] [--only NAME ...] [--quick] [--fresh]

Connect four, but for `go7`: whole self-play of go on 7 x 7 as on connect four, ours alone. `bare`: the tree with a
net that knows nothing (all moves alike, value 0), by each rule, on one core, all in: descent, rules, priors, values
going up. Beside it OpenSpiel's MCTSBot in C++, whose one evaluator that can be had from Python plays a random game to
its end, its MCTSBot in Python with such a net, and alpha-zero-general's search. `play`: whole self-play with a
residual net of 4 blocks of 48 channels and 64 simulations a move, ours with 256 games in one process, peers with one
process a core, each asking the net for one position at a time as they do.

    openspiel            its Python AlphaZero: MCTSBot, AlphaZeroEvaluator and its own net under flax (documented), or
                         our net in PyTorch in place of that one (tuned)
    alpha-zero-general   it is in no registry: its search is written here anew from what it publishes, with its NumPy
                         board, and our net in PyTorch

Native and held to AVX2. Targets: 1,000,000 simulations/s a core bare; 60,000/s of self-play in bfloat16, 12,000 held to
AVX2; 20 times OpenSpiel and 5 times alpha-zero-general; 15,000/s of go in bfloat16.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _results import Results, project
from measure import AVX2, ROOT, TRIES, Value, ask, instruction_sets, peers_python, ratios, say, spread, table

BLOCKS, CHANNELS, SIMULATIONS = 4, 48, 64
GAMES = 256
NARROW = {**AVX2, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi2,+popcnt,-avx512f"}
BARE = {
    "puct, 256 games": {"who": "bare", "rule": "puct", "games": 256, "simulations": 100},
    "puct, 1024 games": {"who": "bare", "rule": "puct", "games": 1024, "simulations": 100},
    "gumbel, 256 games": {"who": "bare", "rule": "gumbel", "games": 256, "simulations": 100},
    "puct, 256 games, avx2": {"who": "bare", "rule": "puct", "games": 256, "simulations": 100, "env": NARROW},
    "puct, 256 games, 800 simulations": {"who": "bare", "rule": "puct", "games": 256, "simulations": 800},
}
BARE_PEERS = {
    "openspiel, C++": {"who": "spiel-c++", "simulations": 1000},
    "openspiel, Python": {"who": "spiel-python", "simulations": 100},
    "alpha-zero-general": {"who": "general", "simulations": 100},
}
PLAY = {
    "native, bfloat16": {"who": "play", "precision": "bfloat16"},
    "native, float32": {"who": "play", "precision": "float32"},
    "avx2, float32": {"who": "play", "precision": "float32", "env": NARROW},
    "go7, bfloat16": {"who": "play", "precision": "bfloat16", "game": "go7"},
    "go7, avx2, float32": {"who": "play", "precision": "float32", "game": "go7", "env": NARROW},
}
PLAY_PEERS = {
    "openspiel, documented": {"who": "spiel-flax"},
    "openspiel, tuned": {"who": "spiel-torch"},
    "alpha-zero-general, tuned": {"who": "general-torch"},
}
PACKAGES = ("open_spiel", "numba", "jax", "flax")
TARGETS = {"bare": 1e6, "play/native, bfloat16": 6e4, "play/avx2, float32": 1.2e4, "play/go7, bfloat16": 1.5e4}
TIMES = {"openspiel": 20.0, "alpha-zero-general": 5.0}


# ours


def bare(question: Value) -> Value:
    """Simulations a second of the tree on this core."""
    sys.path.insert(0, str(ROOT))
    from milestones.parts.keyed import keys
    from milestones.parts.search import Gumbel, Puct, Tree
    from milestones.worlds.games import game as game_of

    game, games, simulations = game_of("connect_four"), question["games"], question["simulations"]
    rule = Puct() if question["rule"] == "puct" else Gumbel()
    tree = Tree(games, 7, game.words, simulations, rule)
    logits, value = np.zeros((games, 7), np.float32), np.zeros(games, np.float32)
    states, number, rng = game.begin(games), np.arange(games), np.random.default_rng(0)
    for _ in range(4):  # from positions that differ
        states, turn = game.step(states, rng.integers(0, 7, games))

    def search(time_: int) -> int:
        rows = tree.begin(states, turn.legal, keys(0, number, number * 0 + time_), simulations)
        tree.settle(logits[: len(rows)], value[: len(rows)])
        while len((leaf := tree.leaves()).moves):
            new, after = game.step(leaf.states, leaf.moves)
            rows = tree.grow(new, after.legal, after.ended, after.value)
            tree.settle(logits[: len(rows)], value[: len(rows)])
        return int(tree.answer().visits.sum())

    return rated(search, question["seconds"], warm=2)


def rated(work: Callable[[int], int], seconds: float, warm: int = 1) -> Value:
    """How many a second `work(0)`, `work(1)`, ... count; the first few only warm up."""
    for k in range(warm):
        work(k)
    done, k, began = 0, warm, time.perf_counter()
    while time.perf_counter() < began + seconds:
        done += work(k)
        k += 1
    return {"rate": done / (time.perf_counter() - began)}


def play(question: Value) -> Value:
    """Simulations a second of whole self-play: search, rules, net, moves, new games, positions kept."""
    sys.path.insert(0, str(ROOT))
    import torch

    from milestones.parts import search
    from milestones.parts.tower import Tower, player
    from milestones.worlds.games import game as game_of
    from milestones.worlds.games.selfplay import Course, SelfPlay
    from milestones.worlds.games.thinking import How

    torch.manual_seed(0)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    game = game_of(question.get("game", "connect_four"))
    net = player(Tower(game.facts["shape"], game.facts["actions"], BLOCKS, CHANNELS), question["precision"])
    world, done = SelfPlay(game, GAMES, -(-GAMES // threads), 0, Course()), []
    answer = search.Tree.answer

    def counted(tree: Any, slots: Any = None) -> Any:
        found = answer(tree, slots)
        done.append(int(found.visits.sum()))
        return found

    search.Tree.answer = counted  # type: ignore[method-assign]

    def moves(k: int) -> int:
        done.clear()
        with torch.inference_mode():
            world.play(net, How(SIMULATIONS, noise=True), 1, threads)
        return sum(done)

    return rated(moves, question["seconds"], warm=12)  # until games are at all stages


# peers: OpenSpiel


def spiel_cpp(question: Value) -> Value:
    import pyspiel

    game = pyspiel.load_game("connect_four")
    evaluator = pyspiel.RandomRolloutEvaluator(1, 0)
    bot = pyspiel.MCTSBot(game, evaluator, 1.25, question["simulations"], 1000, False, 0, False,
                          pyspiel.ChildSelectionPolicy.PUCT)  # fmt: skip
    state = game.new_initial_state()
    for move in (3, 2, 4, 3):
        state.apply_action(move)

    def search(k: int) -> int:
        return int(bot.mcts_search(state).explore_count)

    return rated(search, question["seconds"])


def level_evaluator() -> Any:
    from open_spiel.python.algorithms import mcts

    class Level(mcts.Evaluator):  # type: ignore[misc]
        """All moves alike, value 0."""

        def evaluate(self, state: Any) -> Any:
            return np.zeros(2)

        def prior(self, state: Any) -> Any:
            moves = state.legal_actions()
            return [(move, 1 / len(moves)) for move in moves]

    return Level()


def spiel_python(question: Value) -> Value:
    import pyspiel
    from open_spiel.python.algorithms import mcts

    game = pyspiel.load_game("connect_four")
    bot = mcts.MCTSBot(game, 1.25, question["simulations"], level_evaluator(), solve=False,
                       child_selection_fn=mcts.SearchNode.puct_value)  # fmt: skip
    state = game.new_initial_state()
    for move in (3, 2, 4, 3):
        state.apply_action(move)
    return rated(lambda k: int(bot.mcts_search(state).explore_count), question["seconds"])


def spiel_net(tuned: bool) -> Any:
    """Their AlphaZeroEvaluator with their net under flax, or with ours under PyTorch in its place."""
    import pyspiel
    from open_spiel.python.algorithms.alpha_zero import evaluator

    game = pyspiel.load_game("connect_four")
    shape = game.observation_tensor_shape()
    if tuned:
        net = ours_alone(3)

        class Model:
            def inference(self, observation: Any, mask: Any) -> Any:
                logits, value = net(np.asarray(observation, np.float32).reshape(1, *shape))
                logits = np.where(mask, logits, -1e9)
                chance = np.exp(logits - logits.max())
                return np.full((1, 1), value), chance / chance.sum()

        model: Any = Model()
    else:
        from open_spiel.python.algorithms.alpha_zero.utils import api_selector

        make = api_selector("nnx").Model.build_model  # their default
        model = make("resnet", shape, 7, nn_width=CHANNELS, nn_depth=BLOCKS, weight_decay=1e-4, learning_rate=1e-3,
                     path=None)  # fmt: skip
    return evaluator.AlphaZeroEvaluator(game, model)


def spiel_play(question: Value) -> Value:
    """One actor of their Python AlphaZero: games against itself, with noise, one move after the other."""
    import pyspiel
    from open_spiel.python.algorithms import mcts

    game, rng = pyspiel.load_game("connect_four"), np.random.RandomState(question["actor"])
    bot = mcts.MCTSBot(game, 1.25, SIMULATIONS, spiel_net(question["who"] == "spiel-torch"), solve=False,
                       dirichlet_noise=(0.25, 1.0), child_selection_fn=mcts.SearchNode.puct_value,
                       random_state=rng)  # fmt: skip
    state = game.new_initial_state()

    def move(k: int) -> int:
        nonlocal state
        root = bot.mcts_search(state)
        count = np.array([child.explore_count for child in root.children], float)
        state.apply_action(root.children[rng.choice(len(count), p=count / count.sum())].action)
        state = game.new_initial_state() if state.is_terminal() else state
        return int(root.explore_count)

    return rated(move, question["seconds"], warm=3)


def ours_alone(planes: int) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """Our net for a peer: one position, one thread, float32."""
    sys.path.insert(0, str(ROOT))
    import torch

    from milestones.parts.tower import Tower, player, value_of

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = player(Tower([planes, 6, 7], 7, BLOCKS, CHANNELS))

    def told(seen: np.ndarray) -> tuple[np.ndarray, float]:
        with torch.inference_mode():
            logits, wdl = net(torch.from_numpy(seen).contiguous(memory_format=torch.channels_last))
            return logits[0].numpy(), float(value_of(wdl)[0])

    return told


# peers: alpha-zero-general, whose files are in no registry; written from what it publishes: boards are NumPy arrays of
# 1 and -1 from the mover's side, known by their bytes; all that is known of them lies in dictionaries


class Boards:
    """Its connect four: the state is an array, wins are looked for in whole rows, columns and diagonals."""

    lines = tuple(
        tuple((r + k * y, c + k * x) for k in range(4))
        for r in range(6) for c in range(7) for y, x in ((1, 1), (1, -1))
        if 0 <= r + 3 * y < 6 and 0 <= c + 3 * x < 7
    )  # fmt: skip

    @staticmethod
    def free(board: np.ndarray) -> np.ndarray:
        return board[0] == 0

    @staticmethod
    def after(board: np.ndarray, move: int) -> np.ndarray:
        """As the other sees it."""
        new = board.copy()
        new[np.flatnonzero(new[:, move] == 0)[-1], move] = 1
        return -new

    @classmethod
    def result(cls, board: np.ndarray) -> float | None:
        """For the one to move; none: it goes on."""
        for sign in (1, -1):
            own = board == sign
            for way in (own, own.T):
                runs = [way[:, k : k + 4].sum(1).max() for k in range(way.shape[1] - 3)]
                if max(runs) >= 4:
                    return sign
            if any(all(own[cell] for cell in line) for line in cls.lines):
                return sign
        return None if cls.free(board).any() else 1e-4


class General:
    """Its search: Q, visits and priors by position and move, one tree for a whole game, the net asked in the leaf."""

    def __init__(self, net: Callable[[np.ndarray], tuple[np.ndarray, float]], simulations: int) -> None:
        self.net, self.simulations = net, simulations
        self.q: dict[Any, float] = {}
        self.count: dict[Any, int] = {}
        self.total: dict[bytes, int] = {}
        self.prior: dict[bytes, np.ndarray] = {}
        self.free: dict[bytes, np.ndarray] = {}
        self.result: dict[bytes, float | None] = {}

    def counts(self, board: np.ndarray) -> np.ndarray:
        for _ in range(self.simulations):
            self.visit(board)
        key = board.tobytes()
        return np.array([self.count.get((key, move), 0) for move in range(7)], float)

    def visit(self, board: np.ndarray) -> float:
        """One simulation: the value for the one who came here."""
        key = board.tobytes()
        if key not in self.result:
            self.result[key] = Boards.result(board)
        result = self.result[key]
        if result is not None:
            return -result
        if key not in self.prior:
            chance, value = self.net(board)
            free = Boards.free(board)
            chance = chance * free
            self.prior[key], self.free[key], self.total[key] = chance / chance.sum(), free, 0
            return -value
        root = math.sqrt(self.total[key] + 1e-8)
        score = np.array([
            self.q.get((key, move), 0) + self.prior[key][move] * root / (1 + self.count.get((key, move), 0))
            if self.free[key][move] else -np.inf for move in range(7)
        ])  # fmt: skip
        move = int(np.argmax(score))
        value = self.visit(Boards.after(board, move))
        edge = key, move
        seen = self.count.get(edge, 0)
        self.q[edge] = (seen * self.q.get(edge, 0.0) + value) / (seen + 1)
        self.count[edge] = seen + 1
        self.total[key] += 1
        return -value


def general_bare(question: Value) -> Value:
    board = np.zeros((6, 7))
    for move in (3, 2, 4, 3):
        board = Boards.after(board, move)
    level = np.full(7, 1 / 7)

    def search(k: int) -> int:
        return int(General(lambda board: (level, 0.0), question["simulations"]).counts(board).sum())

    return rated(search, question["seconds"])


def general_play(question: Value) -> Value:
    """One process of its self-play."""
    net, rng = ours_alone(2), np.random.default_rng(question["actor"])

    def told(board: np.ndarray) -> tuple[np.ndarray, float]:
        logits, value = net(np.stack([board == 1, board == -1])[None].astype(np.float32))
        chance = np.exp(logits - logits.max())
        return chance / chance.sum(), value

    board, mind = np.zeros((6, 7)), General(told, SIMULATIONS)

    def move(k: int) -> int:
        nonlocal board, mind
        count = mind.counts(board)
        board = Boards.after(board, int(rng.choice(7, p=count / count.sum())))
        if Boards.result(board) is not None:
            board, mind = np.zeros((6, 7)), General(told, SIMULATIONS)
        return SIMULATIONS

    return rated(move, question["seconds"], warm=3)


WORKERS: dict[str, Callable[[Value], Value]] = {
    "bare": bare, "play": play, "spiel-c++": spiel_cpp, "spiel-python": spiel_python, "spiel-flax": spiel_play,
    "spiel-torch": spiel_play, "general": general_bare, "general-torch": general_play,
}  # fmt: skip
ACTORS = ("spiel-flax", "spiel-torch", "general-torch")  # one process a core
ONE_CORE = ("bare", "spiel-c++", "spiel-python", "general")


def worker(question: Value) -> Value:
    """The answer to a question, in a process of its own; that of actors is the sum of as many as there are cores."""
    who, cores = question["who"], sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    if who in ONE_CORE and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[-1:])
    if who in ACTORS and "actor" not in question:
        words = [sys.executable, str(Path(__file__).resolve()), "--worker"]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
        actors = [subprocess.Popen(words, **pipes) for _ in cores]
        for number, actor in enumerate(actors):
            actor.stdin.write(json.dumps({**question, "actor": number}))  # type: ignore[union-attr]
            actor.stdin.close()  # type: ignore[union-attr]
        told = [json.loads(actor.stdout.read().strip().splitlines()[-1]) for actor in actors]  # type: ignore[union-attr]
        assert [actor.wait() for actor in actors] == [0] * len(actors)
        return {"rate": sum(each["rate"] for each in told)}
    if "actor" in question and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [cores[question["actor"] % len(cores)]])
    return WORKERS[who](question)


# all of it


def measured(results: Results, name: str, question: Value, args: Any, python: str) -> None:
    """The part `name`, so many times over."""
    env = dict(question.get("env", {}))
    question = {key: value for key, value in question.items() if key != "env"} | {"seconds": args.seconds}
    words = [python, str(Path(__file__).resolve()), "--worker"]
    for k in range(args.repeats):
        say(f"{name}, {k + 1} of {args.repeats}")
        results.part(f"{name}/{k}", functools.partial(ask, words, question, env, 1 if args.quick else TRIES))


def peers_of(python: str) -> Value:
    """Versions of what the peers need."""
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {PACKAGES!r}}}))"
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


def rates(results: Results, name: str, repeats: int) -> tuple[list[float], bool]:
    parts = [part for k in range(repeats) if (part := results.kept(f"{name}/{k}"))]
    return [part["rate"] for part in parts], any(part["dirty"] for part in parts)


def main() -> int:
    if "--worker" in sys.argv:  # asked by this script itself
        stdout, sys.stdout = sys.stdout, sys.stderr
        answer = worker(json.load(sys.stdin))
        sys.stdout = stdout
        print("\n" + json.dumps(answer))
        return 0
    cases = {
        **{f"bare/{name}": question for name, question in {**BARE, **BARE_PEERS}.items()},
        **{f"play/{name}": question for name, question in {**PLAY, **PLAY_PEERS}.items()},
    }
    if len(instruction_sets()) == 1:
        cases = {name: question for name, question in cases.items() if "avx2" not in name}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="all in turns, so many times")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--only", nargs="*", default=list(cases), choices=cases, metavar="NAME", help=", ".join(cases))
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    if args.quick:
        args.repeats, args.seconds = 1, 1.0
    python = peers_python()
    games = [
        ROOT / f"milestones/worlds/games/{name}.py" for name in ("game", "connect_four", "go", "selfplay", "thinking")
    ]
    files = [*project("alphazero"), *games, Path(__file__)]
    results = Results(
        "search", files, python, args.fresh, args.quick, targets={**TARGETS, **TIMES}, peers=peers_of(python)
    )
    for k in range(args.repeats):  # in turns
        for name in args.only:
            measured(results, name, cases[name], argparse.Namespace(**{**vars(args), "repeats": k + 1}), python)
    found = {name: rates(results, name, args.repeats) for name in cases}
    found = {name: value for name, value in found.items() if value[0]}
    rows = [[name, f"{spread(each)['mean']:,.0f}", f"{min(each):,.0f}", f"{max(each):,.0f}", "DIRTY" * dirty]
            for name, (each, dirty) in found.items()]  # fmt: skip
    say(table(["simulations a second", "mean", "least", "most", ""], rows))
    compared, told = {}, []
    for side, mine in (
        ("bare", "bare/puct, 256 games"),
        ("play", "play/native, bfloat16"),
        ("play", "play/native, float32"),
    ):
        for peer in [
            name for name in found if name.split("/")[1] in {**BARE_PEERS, **PLAY_PEERS} and name.startswith(side)
        ]:
            if mine in found and len(found[mine][0]) == len(found[peer][0]):
                times = ratios(found[mine][0], found[peer][0])
                compared[f"{mine} to {peer}"] = times
                told.append([mine, peer, f"{times['mean']:.1f}", f"{times['min']:.1f}", f"{times['max']:.1f}"])
    say(table(["ours", "theirs", "times", "least", "most"], told))
    results.write(
        rates={name: {**spread(each), "dirty": dirty} for name, (each, dirty) in found.items()}, times=compared
    )
    for name, (each, _) in found.items():
        side, case = name.split("/")
        if wanted := TARGETS["bare"] if side == "bare" and case in BARE else TARGETS.get(name, 0):
            word = "reached" if spread(each)["mean"] >= wanted else "MISSED"
            say(f"{name}: {spread(each)['mean']:,.0f} a second, {wanted:,.0f} wanted: {word}")
    for name, times in compared.items():
        if wanted := TIMES.get(name.split(" to play/")[-1].split(",")[0], 0):
            word = "reached" if times["min"] >= wanted else "MISSED"
            say(f"{name}: {times['mean']:.1f} times, {wanted:g} wanted: {word}")
    say(f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
