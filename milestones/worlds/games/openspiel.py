"""Any game of OpenSpiel of two players who take turns, see everything and have no luck; one position after the other.

A position is the history that led to it, so equal positions by other ways have other words. Players here alternate:
where one of OpenSpiel's moves twice in a row, a pass of the other is put between.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt64

from ...core.errors import UserError, nearest
from ...core.source import Facts
from ...media import Board, Move
from .game import PASS, Turn, told, written

MOST_MOVES = 512  # of a game, after which it is drawn
MOST_HELD = 20_000  # positions that are kept ready
PROBES = 500  # positions of random games that are looked at before the first one
LARGEST = 52  # rows and columns of a board that is drawn
PLIES, COUNT = np.uint64(32), np.uint64(2**32 - 1)  # the first word: moves, and above bit 32 moves and passes
PLAYERS = ("player 1", "player 2")
EMPTY = ".-_+*"


def package() -> Any:
    """pyspiel. UserError: it is not installed."""
    try:
        import pyspiel
    except ImportError:
        do = 'Install it: pip install "milestones[games]"'
        raise UserError("OpenSpiel, which has the game", "none installed", do) from None
    return pyspiel


def openspiel(name: str) -> Spiel:
    """The game that OpenSpiel knows by `name`, which may have settings: "hex(board_size=5)". UserError: OpenSpiel is
    missing, it does not know the name or the settings, or the game is of another kind."""
    spiel = package()
    known = [kind.short_name for kind in spiel.registered_games()]
    short = name.partition("(")[0]
    if short not in known:
        do = nearest(short, known, "For example openspiel:breakthrough")
        raise UserError("a game that OpenSpiel knows", f"no {short!r}", do)
    try:
        rules = spiel.load_game(name)
    except (spiel.SpielError, RuntimeError) as problem:
        got = " ".join(str(problem).split())[:160]
        raise UserError(f"settings that OpenSpiel's {short} knows", got, "Correct them, or leave them out") from None
    kind, kinds = rules.get_type(), spiel.GameType
    faults = (
        (rules.num_players() != 2, f"{rules.num_players()} players"),
        (kind.dynamics != kinds.Dynamics.SEQUENTIAL, "moves at the same time"),
        (kind.chance_mode != kinds.ChanceMode.DETERMINISTIC, "chance"),
        (kind.information != kinds.Information.PERFECT_INFORMATION, "what a player cannot see"),
        (kind.utility != kinds.Utility.ZERO_SUM, "gains that are not the other's losses"),
        (not kind.provides_observation_tensor, "no numbers for a net to see"),
    )
    wrong = [what for fault, what in faults if fault]
    if wrong:
        want = "a game of two players who take turns, see everything and have no luck"
        raise UserError(want, f"{short}, which has {', '.join(wrong)}", "For example openspiel:breakthrough")
    return Spiel(name, rules)


class Probe(NamedTuple):
    """What random games have shown."""

    signed: bool  # numbers below 0 are seen
    whole: bool  # all that is seen are small whole numbers
    peak: float  # the largest
    cells: bool  # a move changes the cell of its number, and that one is drawn
    signs: list[str]  # on the drawn board; where `cells`, the first player's first


class Spiel:
    """A game of OpenSpiel as ours are. Planes are what OpenSpiel shows the one to move ("C H W", or C 1 1), numbers
    below 0 as planes of their own, and one that is 1 where the second player is to move."""

    def __init__(self, name: str, rules: Any) -> None:
        kind, start, shape = rules.get_type(), rules.new_initial_state(), list(rules.observation_tensor_shape())
        self.rules = rules
        self.moves = int(rules.num_distinct_actions())  # and behind them the pass
        self.longest = min(int(rules.max_game_length()), MOST_MOVES)
        self.bits = max(1, (self.moves - 1).bit_length())
        self.words, self.seen = 1 + -(-self.longest // (64 // self.bits)), 0
        self.first = int(start.current_player())
        self.shape = (int(np.prod(shape[:-2])), *shape[-2:]) if len(shape) > 1 else (*shape, 1, 1)
        self.probe, drawn = probed(rules, self.moves), grid(str(start))
        self._held: dict[bytes, Any] = {}  # OpenSpiel's states, which nobody changes, by the words
        self.facts: Facts = {
            "kind": "game", "game": f"openspiel:{name}", "title": kind.long_name, "aim": "as OpenSpiel has it",
            "rows": len(drawn), "columns": len(drawn[0]) if drawn else 0, "actions": self.moves + 1,
            "shape": [self.shape[0] * (1 + self.probe.signed) + 1, *self.shape[1:]],
            "levels": int(self.probe.peak) if self.probe.whole else 255, "longest": self.longest,
            "pieces": list(PLAYERS), "labels": [*map(str, range(self.moves)), PASS], "symmetries": 1,
        }  # fmt: skip

    def area(self, states: UInt64[np.ndarray, "N W"]) -> None:
        """It is not known which of OpenSpiel's games are won by points."""

    def begin(self, count: int) -> UInt64[np.ndarray, "N W"]:
        return np.zeros((count, self.words), np.uint64)

    def step(
        self, states: UInt64[np.ndarray, "N W"], moves: Int64[np.ndarray, "N"]
    ) -> tuple[UInt64[np.ndarray, "N W"], Turn]:
        each, new, found = 64 // self.bits, states.copy(), []
        for row, after, move in zip(states, new, moves.tolist(), strict=True):
            state, count = self._state(row), int(row[0] & COUNT)
            after[0] += np.uint64(1 << 32)
            if move < self.moves:
                after[0] += np.uint64(1)
                after[1 + count // each] |= np.uint64(move << count % each * self.bits)
                state = state.child(move)
            self._keep(after, state)
            found.append(state)
        return new, self._turn(new, found)

    def turn(self, states: UInt64[np.ndarray, "N W"]) -> Turn:
        return self._turn(states, [self._state(row) for row in states])

    def _turn(self, states: np.ndarray, found: list[Any]) -> Turn:
        count, movers = len(states), self.mover(states).tolist()
        legal, ended = np.zeros((count, self.moves + 1), bool), np.zeros(count, bool)
        value = np.zeros(count, np.float32)
        for i, (state, mover) in enumerate(zip(found, movers, strict=True)):
            if state.is_terminal():
                ended[i], value[i] = True, np.sign(state.returns()[mover])
            elif int(states[i, 0] & COUNT) >= self.longest:
                ended[i] = True
            else:
                legal[i, state.legal_actions() if state.current_player() == mover else [self.moves]] = True
        return Turn(legal, ended, value)

    def planes(self, states: UInt64[np.ndarray, "N _"]) -> UInt8[np.ndarray, "N C H W"]:
        seen, movers = np.empty((len(states), *self.shape), np.float32), self.mover(states)
        for i, row in enumerate(states):
            seen[i] = np.reshape(self._state(row).observation_tensor(int(movers[i])), self.shape)
        if self.probe.signed:
            seen = np.concatenate([seen, -seen], 1)
        if not self.probe.whole:
            seen *= 255 / self.probe.peak
        side = np.broadcast_to(movers[:, None, None, None], (len(states), 1, *self.shape[1:]))
        return np.concatenate([np.rint(seen).clip(0, 255), side], 1).astype(np.uint8)

    def twins(self) -> tuple[Int64[np.ndarray, "G HW"], Int64[np.ndarray, "G A"]]:
        return np.arange(self.shape[1] * self.shape[2])[None], np.arange(self.moves + 1)[None]

    def mover(self, states: UInt64[np.ndarray, "N W"]) -> Int64[np.ndarray, "N"]:
        return (self.first + (states[:, 0] >> PLIES).astype(np.int64)) % 2

    def playout(self, states: UInt64[np.ndarray, "N W"], seed: int) -> Float32[np.ndarray, "N"]:
        value, rng = np.zeros(len(states), np.float32), np.random.default_rng(seed % 2**64)
        for i, mover in enumerate(self.mover(states).tolist()):
            state, left = self._state(states[i]).clone(), self.longest - int(states[i, 0] & COUNT)
            while left and not state.is_terminal():
                legal = state.legal_actions()
                state.apply_action(legal[rng.integers(len(legal))])
                left -= 1
            value[i] = np.sign(state.returns()[mover]) if state.is_terminal() else 0
        return value

    def history(self, state: UInt64[np.ndarray, "W"]) -> list[int]:
        """The moves that led to a position, without passes."""
        each, words = 64 // self.bits, state[1:].tolist()
        return [words[k // each] >> k % each * self.bits & (1 << self.bits) - 1 for k in range(int(state[0] & COUNT))]

    def _state(self, row: np.ndarray) -> Any:
        """OpenSpiel's state, from those that are held, or played again."""
        state = self._held.get(row.tobytes())
        if state is None:
            state = self.rules.new_initial_state()
            for move in self.history(row):
                state.apply_action(move)
            self._keep(row, state)
        return state

    def _keep(self, row: np.ndarray, state: Any) -> None:
        if len(self._held) >= MOST_HELD:
            self._held = {}
        self._held[row.tobytes()] = state

    def name(self, move: int, state: UInt64[np.ndarray, "W"] | None = None) -> str:
        if state is None or move == self.moves:
            return self.facts["labels"][move]
        return self._state(state).action_to_string(int(self.mover(state[None])[0]), move)

    def parse(self, text: str, state: UInt64[np.ndarray, "W"] | None = None) -> list[int]:
        def read(rest: str, row: np.ndarray) -> tuple[int, int] | None:
            now = self._state(row)
            player = now.current_player()
            words = {} if now.is_terminal() else {now.action_to_string(player, k): k for k in now.legal_actions()}
            number = re.match(r"\d+(?!\w)", rest)
            if number and int(number[0]) < self.moves:
                words.setdefault(number[0], int(number[0]))
            words.setdefault(PASS, self.moves)
            word = max((word for word in words if word and rest.startswith(word)), key=len, default="")
            return (words[word], len(word)) if word else None

        return written(self, text, state, read)

    def cell(self, move: int, state: UInt64[np.ndarray, "W"]) -> tuple[int, int]:
        return divmod(move, self.facts["columns"]) if self.probe.cells and move < self.moves else (-1, -1)

    def board(self, state: UInt64[np.ndarray, "W"], moves: Sequence[int] = ()) -> Board:
        text, mover, turn = str(self._state(state)), int(self.mover(state[None])[0]), self.turn(state[None])
        rows, number = grid(text), {sign: 1 + k for k, sign in enumerate(self.probe.signs)}
        cells = np.array([[number.get(sign, 0) for sign in row] for row in rows] or [[0]], np.int8)
        note = told(float(turn.value[0]), mover, PLAYERS) if turn.ended[0] else f"{PLAYERS[mover]} to move"
        laid, at = [], self.begin(1)
        for move in moves if self.probe.cells else ():
            laid.append(Move(1 + int(self.mover(at)[0]), *self.cell(move, at[0])))
            at, _ = self.step(at, np.array([move]))
        pieces = tuple(self.probe.signs) if len(self.probe.signs) > 1 else PLAYERS
        return Board(cells, pieces, 0 if turn.ended[0] else 1 + mover, tuple(laid), (), self.facts["title"], False,
                     note=note if rows else f"{text}\n{note}")  # fmt: skip


def probed(rules: Any, moves: int) -> Probe:
    """What is seen in some random games, always the same ones."""
    rng, state = np.random.default_rng(0), rules.new_initial_state()
    signs: dict[str, None] = {}  # in the order in which they come
    low, peak, whole, cells = 0.0, 1.0, True, True
    for _ in range(PROBES):
        seen, before = np.asarray(state.observation_tensor(state.current_player())), grid(str(state))
        low, peak = min(low, float(seen.min())), max(peak, float(np.abs(seen).max()))
        whole = whole and bool((seen == np.rint(seen)).all())
        legal = state.legal_actions()
        move = legal[rng.integers(len(legal))]
        state.apply_action(move)
        after = grid(str(state))
        cells = cells and bool(before) and len(before) * len(before[0]) == moves and len(after) == len(before)
        if cells:
            row, column = divmod(move, len(before[0]))
            cells = before[row][column] in EMPTY and after[row][column] not in EMPTY
            signs |= dict.fromkeys(after[row][column])  # the first move's sign comes first
        signs |= dict.fromkeys(sorted(set("".join(after)) - set(EMPTY)))
        if state.is_terminal():
            state = rules.new_initial_state()
    return Probe(low < 0, whole and peak <= 255, peak, cells, list(signs)[:32])


def grid(text: str) -> list[str]:
    """The rows of the board in a position's text, a sign a cell, without the names of rows and columns; none where it
    has no such form."""
    lines = [re.sub(r"^\s*\d{1,2}(?=\D)|\s+\d{1,2}\s*$|[\s|]", "", line) for line in text.splitlines()]
    lines = [line for line in lines if line and line.lower() not in string.ascii_lowercase]
    even = 1 < len(lines) <= LARGEST and len({len(line) for line in lines}) == 1 and len(lines[0]) <= LARGEST
    return lines if even and not any(sign.isdigit() for line in lines for sign in line) else []
