"""N games that a net plays against itself, all of them one move at a time; a stopped run goes on with them exactly."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from ...core.source import Facts, key
from ..shares import Peers, joined, shares
from .game import Game
from .thinking import Found, How, Mind, Net
from .window import Positions

ROOM = 64  # moves of a game for which there is room at first
SWITCH = 50e-6  # seconds that a thread waits for Python's lock; with its 5 ms the net's short operations wait for it


class Course(NamedTuple):
    """How games go that are to be learned from."""

    strewn: float = 0.0  # chance that a game begins with moves at random
    most: int = 1  # of these; what is left to this number is spread evenly in its logarithm, as late games are short
    stop: bool = True  # a game is over as soon as the search has proved its result
    trust: float = 0.0  # share of the search's own value in what a position is said to be worth, beside the result


class Past(NamedTuple):
    """What was seen, thought and done in N games, by moves since each began."""

    state: Shaped[np.ndarray, "N T W"]
    move: Shaped[np.ndarray, "N T"]
    policy: Shaped[np.ndarray, "N T A"]
    value: Shaped[np.ndarray, "N T"]  # of the search, for the mover
    exact: Shaped[np.ndarray, "N T"]  # that it is proved


class Group:
    """Games that ask the net together. The k-th game of slot i of a seed begins alike, whatever else is played."""

    def __init__(self, game: Game, slots: Int[np.ndarray, "N"], seed: int, course: Course) -> None:
        self.game, self.slots, self.seed, self.course, size = game, slots, seed, course, len(slots)
        self.number = np.full(size, -1)  # of the game in each slot, from 0
        self.length, self.first = np.zeros(size, np.int64), np.zeros(size, np.int64)  # moves; those at random
        self.states = game.begin(size)
        self.past = Past(
            np.zeros((size, ROOM, game.words), np.uint64), np.zeros((size, ROOM), np.int32),
            np.zeros((size, ROOM, game.facts["actions"]), np.float16), np.zeros((size, ROOM), np.float32),
            np.zeros((size, ROOM), bool),
        )  # fmt: skip
        self._begin(np.arange(size))

    def keys(self) -> Shaped[np.ndarray, "N"]:
        """A number that decides all chance of the next search of each game."""
        from ...parts.keyed import keys

        return keys(self.seed, self.number * (1 << 20) + self.slots, self.length)

    def step(self, found: Found) -> Positions:
        """The chosen move in each game; all positions of the games that are over then, which begin anew."""
        every, at = np.arange(len(self.slots)), self.length
        self._room()
        _, _, policy, value, exact = self.past
        policy[every, at], value[every, at], exact[every, at] = found.policy, found.value, found.exact
        states, turn = self.game.step(self.states, found.move)
        self._done(every, found.move, states)
        proved = found.exact & self.course.stop
        over = np.flatnonzero(turn.ended | proved)
        result = np.where(turn.ended, -turn.value, found.value)[over]  # for the last to move
        rows = self._learned(over, result)
        self._begin(over)
        return rows

    def _learned(self, over: Int[np.ndarray, "M"], result: Shaped[np.ndarray, "M"]) -> Positions:
        """The positions of games that are over, but for those before their first thought."""
        length, time = self.length[over, None], np.arange(self.length[over].max(initial=0))
        state, _, policy, value, exact = (field[over, : len(time)] for field in self.past)
        mine = np.where((length - 1 - time) % 2 == 0, 1, -1)  # whether the mover is the one who moved last
        ended, trust = result[:, None] * mine, self.course.trust
        area = self.game.area(self.states[over])  # the one to move is not the one who moved last
        owner = np.zeros((len(over), 0), np.int8) if area is None else -area.owner
        owners = owner[:, None] * mine[..., None].astype(np.int8)  # M T P
        each = [np.where(exact, value == sign, (1 - trust) * (ended == sign) + trust * (1 + sign * value) / 2)
                for sign in (1, -1)]  # fmt: skip
        thought = (time >= self.first[over, None]) & (time < length)
        chance = np.stack(each, -1)[thought].astype(np.float16)
        return Positions(state[thought], policy[thought], chance, owners[thought])

    def _done(self, games: Int[np.ndarray, "M"], move: Int[np.ndarray, "M"], states: Shaped[np.ndarray, "M W"]) -> None:
        """These moves were made, and led to these states."""
        self._room()
        at = self.length[games]
        self.past.state[games, at], self.past.move[games, at] = self.states[games], move
        self.states[games] = states
        self.length[games] += 1

    def _room(self) -> None:
        """Room for another move of each game."""
        if self.length.max() >= self.past.move.shape[1]:
            self.past = Past(*(np.concatenate([field, np.zeros_like(field)], 1) for field in self.past))

    def _begin(self, games: Int[np.ndarray, "M"]) -> None:
        """New games, some of them after moves at random: of which none ends a game."""
        if not len(games):
            return
        course = self.course
        self.number[games] += 1
        self.length[games] = 0
        self.states[games] = self.game.begin(len(games))
        names = zip(self.slots[games].tolist(), self.number[games].tolist(), strict=True)
        chance = np.stack([np.random.default_rng(key(self.seed, "begin", *of)).random(course.most + 2) for of in names])
        many = (course.most + 1 - (course.most + 1) ** chance[:, 1]).round().astype(int)
        left = np.where(chance[:, 0] < course.strewn, many, 0)
        for k in range(course.most):
            going = np.flatnonzero(left > k)
            if not len(going):
                break
            states = self.states[games[going]]
            legal = self.game.turn(states).legal
            row, each = np.nonzero(legal)
            legal[row, each] = ~self.game.step(states[row], each)[1].ended
            left[going[~legal.any(1)]] = 0
            going, states, legal = (field[legal.any(1)] for field in (going, states, legal))
            place = (chance[going, 2 + k] * legal.sum(1)).astype(int)
            move = (legal.cumsum(1) > place[:, None]).argmax(1)
            self._done(games[going], move, self.game.step(states, move)[0])
        self.first[games] = self.length[games]

    def state_dict(self) -> dict[str, Any]:
        """Of each game its number, its moves and what was thought of them."""
        most = int(self.length.max())
        past = {name: torch.from_numpy(field[:, :most].copy()) for name, field in self.past._asdict().items()
                if name != "state"}  # fmt: skip
        names = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("number", "length", "first")}
        return {**names, **past, "states": torch.from_numpy(self.states.view(np.int64).copy())}

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> None:
        """Make all moves again. ValueError: they lead elsewhere."""
        found = {name: value.numpy() for name, value in state_dict.items()}
        if found["number"].shape != self.number.shape or found["policy"].shape[2:] != self.past.policy.shape[2:]:
            raise ValueError(f"{len(found['number'])} games of {found['policy'].shape[2:]} moves")
        self.number, self.first = found["number"].copy(), found["first"].copy()
        self.length = np.zeros_like(self.length)
        self.states = self.game.begin(len(self.slots))
        length, actions = found["length"], self.past.policy.shape[2]
        for k in range(int(length.max())):
            going, move = np.flatnonzero(length > k), found["move"][length > k, k].astype(np.int64)
            if not ((move >= 0) & (move < actions)).all() or not self._legal(going, move):
                raise ValueError(f"a move that the rules do not allow, at move {k + 1}")
            self._done(going, move, self.game.step(self.states[going], move)[0])
        if not np.array_equal(self.states.view(np.int64), found["states"]):
            raise ValueError("other positions than its moves lead to")
        for name in ("policy", "value", "exact"):
            getattr(self.past, name)[:, : found[name].shape[1]] = found[name]

    def _legal(self, games: Int[np.ndarray, "M"], move: Int[np.ndarray, "M"]) -> bool:
        return bool(self.game.turn(self.states[games]).legal[np.arange(len(move)), move].all())


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SelfPlay:
    """`together` games of a net against itself, `abreast` of them in a group; as many groups play at the same time as
    there are threads, and what is played depends neither on how many these are nor on how many processes."""

    def __init__(self, game: Game, together: int, abreast: int, seed: int, course: Course) -> None:
        self.game, self.seed, self.abreast, self.course = game, seed, abreast, course
        self.facts: Facts = {**game.facts, "board": game.board(game.begin(1)[0]).plain(),
                             "data": {"name": game.facts["title"]}}  # fmt: skip
        parts = np.array_split(np.arange(together), -(-together // abreast))
        self.groups = [Group(game, slots, seed, course) for slots in parts]
        self.steps = 0  # moves that were made in each game so far
        self.peers: Peers | None = None

    @property
    def observation(self) -> UInt8[Tensor, "N C H W"]:
        """What the movers see."""
        return torch.from_numpy(self.game.planes(np.concatenate([group.states for group in self.groups])))

    def play(self, net: Net, how: How, moves: int, threads: int = 0) -> Positions:
        """So many more moves in each game: the positions of all games that end meanwhile. What the net says of a
        position is remembered until then. `threads`: 0 is one for each core, however many a plan has."""
        before, threads, peers = torch.get_num_threads(), threads or cores(), self.peers
        mine = shares(len(self.groups), peers.of)[peers.rank] if peers else range(len(self.groups))

        def go(group: Group) -> tuple[Found, list[Positions]]:
            torch.set_num_threads(1)  # of this thread alone: all groups are busy
            mind, found, rows = Mind(self.game, net, remember=True), list[Found](), list[Positions]()
            with torch.inference_mode():
                for _ in range(moves):
                    found.append(mind.search(group.states, how, group.keys(), group.length))
                    rows.append(group.step(found[-1]))
            return Found(*(np.stack(field, 1) for field in zip(*found, strict=True))), rows

        patience = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        with ThreadPoolExecutor(max(1, min(threads // (peers.here if peers else 1), len(mine)))) as pool:
            played = dict(zip(mine, pool.map(go, [self.groups[k] for k in mine]), strict=True))
        sys.setswitchinterval(patience)
        torch.set_num_threads(before)
        rows = {k: part for k, (_, part) in played.items()}
        if peers:
            rows |= self._heard(peers, net, moves, {k: found for k, (found, _) in played.items()})
        self.steps += moves
        return Positions(*map(np.concatenate, zip(*(part for k in sorted(rows) for part in rows[k]), strict=True)))

    def _heard(self, peers: Peers, net: Net, moves: int, mine: dict[int, Found]) -> dict[int, list[Positions]]:
        """The positions of the groups that other processes played. What a search finds takes long, and is told by the
        process that found it; the moves are then made here, too. So each process has all games."""
        with torch.inference_mode():
            answers = net(torch.from_numpy(self.game.planes(self.game.begin(1))))
        alike = np.concatenate([answer.float().flatten().numpy() for answer in answers])
        none = Found(np.zeros((0, moves), np.int64), np.zeros((0, moves, self.facts["actions"]), np.float32),
                     np.zeros((0, moves), np.float32), np.zeros((0, moves), bool))  # fmt: skip
        counts = [sum(len(self.groups[k].slots) for k in part) for part in shares(len(self.groups), peers.of)]
        found = joined(peers, counts, alike, *map(np.concatenate, zip(none, *mine.values(), strict=True)))  # N T ...
        return {
            k: [group.step(Found(*(field[group.slots, at] for field in found))) for at in range(moves)]
            for k, group in enumerate(self.groups) if k not in mine
        }  # fmt: skip

    def blank(self, planes: UInt8[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B 3"]]:
        """What a net says that knows nothing: a search with it sees no further than what it can prove."""
        return torch.zeros(len(planes), self.facts["actions"]), torch.zeros(len(planes), 3)

    def share(self, peers: Peers | None) -> int:
        """From now on search for the moves of this process's share of the groups alone; None: for all again. Into how
        many parts the games can be shared out."""
        self.peers = peers
        return len(self.groups)

    def fresh(self, count: int, seed: int) -> SelfPlay:
        """The same game, with `count` other games."""
        return SelfPlay(self.game, count, self.abreast, seed, self.course)

    def close(self) -> None:
        """Nothing is held."""

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "groups": [group.state_dict() for group in self.groups]}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.steps = int(state_dict["steps"])
        for group, state in zip(self.groups, state_dict["groups"], strict=True):
            group.load_state_dict(state)
