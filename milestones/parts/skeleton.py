"""Ink thinned to lines one pixel wide, the graph of those lines, and the ways in which a pen may have run over it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # from the top, clockwise
NEAR = 5.0  # pixels: shorter lines are where two pens' widths meet, not strokes
LOOK = 8  # pixels along a line by which its direction at a node is known
TURN = 1.2  # radians: a pen that turns more at a crossing has been lifted
LOOSE = 0.4  # radians, spread of the random part of a turn

Pixel = tuple[int, int]


class Line(NamedTuple):
    """A line between two nodes, which may be one; its path runs from `a` to `b`, rows before columns."""

    a: int
    b: int
    path: Float[np.ndarray, "N 2"]


def _ring(code: int) -> list[int]:
    return [code >> k & 1 for k in range(8)]


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """For each neighbourhood: may a pixel go in each half step of Zhang and Suen; is it needed by nothing."""
    goes, simple = np.zeros((2, 256), bool), np.zeros(256, bool)
    for code in range(256):
        p = _ring(code)
        jumps = sum(not p[k] and p[(k + 1) % 8] for k in range(8))
        n, e, s, w = p[0], p[2], p[4], p[6]
        if 2 <= sum(p) <= 6 and jumps == 1:
            goes[0, code] = not (n and e and s) and not (e and s and w)
            goes[1, code] = not (n and e and w) and not (n and s and w)
        # pieces of the ring that touch, also over a corner between two of the four nearest
        hops = [p[k] or (k % 2 == 1 and p[k - 1] and p[(k + 1) % 8]) for k in range(8)]
        pieces = sum(not hops[k] and hops[(k + 1) % 8] for k in range(8))
        simple[code] = sum(p) >= 2 and pieces == 1 and not (n and e and s and w)
    return goes, simple


GOES, SIMPLE = _tables()


def thinned(ink: Bool[np.ndarray, "B H W"]) -> Bool[np.ndarray, "B H W"]:
    """The middle lines of the ink (Zhang & Suen 1984, CACM 27(3), 236-239)."""
    now = np.pad(ink, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    inner, height, width = now[:, 1:-1, 1:-1], *ink.shape[1:]
    while True:
        gone = 0
        for half in GOES:
            code = np.zeros(ink.shape, np.uint8)
            for bit, (y, x) in enumerate(AROUND):
                code |= now[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width] << bit
            away = half[code] & (inner > 0)
            square = away[:, :-1, :-1] & (code[:, :-1, :-1] == 28) & (code[:, :-1, 1:] == 112)
            away[:, :-1, :-1] &= ~(square & (code[:, 1:, :-1] == 7) & (code[:, 1:, 1:] == 193))  # it would vanish
            inner[away] = 0
            gone += int(away.sum())
        if not gone:
            return inner > 0


def traced(skeleton: Bool[np.ndarray, "H W"]) -> list[Line]:
    """The lines of a skeleton, between their ends and crossings. A dot is a line of one point; a ring begins and ends
    at its topmost pixel. Lines shorter than NEAR at a crossing are merged into it."""
    ink: set[Pixel] = {(int(y), int(x)) for y, x in zip(*np.nonzero(skeleton), strict=True)}

    def beside(at: Pixel) -> list[Pixel]:
        return [(at[0] + y, at[1] + x) for y, x in AROUND if (at[0] + y, at[1] + x) in ink]

    for y, x in sorted(ink):
        if SIMPLE[sum(((y + v, x + h) in ink) << bit for bit, (v, h) in enumerate(AROUND))]:
            ink.remove((y, x))
    node: dict[Pixel, int] = {}
    centre: list[np.ndarray] = []
    for at in sorted(ink):
        if at in node or len(beside(at)) == 2:
            continue
        group, fresh = [at], [at]
        node[at] = len(centre)
        while fresh and len(beside(at)) > 2:
            for other in beside(fresh.pop()):
                if other not in node and len(beside(other)) > 2:
                    node[other] = len(centre)
                    group.append(other)
                    fresh.append(other)
        centre.append(np.mean(group, 0))
    lines: list[Line] = []
    used: set[Pixel] = set()

    def follow(start: Pixel, at: Pixel) -> None:
        path, before = [centre[node[start]]], start
        while at not in node:
            used.add(at)
            path.append(np.array(at, float))
            before, at = at, next(one for one in beside(at) if one != before)
        lines.append(Line(node[start], node[at], np.array([*path, centre[node[at]]])))

    for start in sorted(node):
        for at in beside(start):
            if at not in used and (at not in node or node[start] < node[at]):
                follow(start, at)
        if not beside(start):
            lines.append(Line(node[start], node[start], centre[node[start]][None]))
    for start in sorted(ink):
        if start not in node and start not in used:
            node[start] = len(centre)
            centre.append(np.array(start, float))
            follow(start, beside(start)[0])
    return _merged(lines)


def length(path: Float[np.ndarray, "N 2"]) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def _degree(lines: list[Line]) -> dict[int, int]:
    found: dict[int, int] = {}
    for line in lines:
        for end in (line.a, line.b):
            found[end] = found.get(end, 0) + 1
    return found


def _merged(lines: list[Line]) -> list[Line]:
    while True:
        degree = _degree(lines)
        short = [line for line in lines if length(line.path) < NEAR and max(degree[line.a], degree[line.b]) > 2]
        if not short:
            return lines
        gone = min(short, key=lambda line: length(line.path))
        lines = [line for line in lines if line is not gone]
        if min(degree[gone.a], degree[gone.b]) > 1 and gone.a != gone.b:  # two crossings that are one
            middle = (gone.path[0] + gone.path[-1]) / 2
            for k, line in enumerate(lines):
                path, ends = line.path.copy(), [line.a, line.b]
                for side in (0, 1):
                    if ends[side] in (gone.a, gone.b):
                        path[-side], ends[side] = middle, gone.a
                lines[k] = Line(ends[0], ends[1], path)


def parsed(lines: list[Line], rng: np.random.Generator | None = None) -> list[Float[np.ndarray, "_ 2"]]:
    """Strokes that cover each line once. At a crossing the pen goes on where it turns least, up to TURN; with `rng`
    turns are taken for more or less than they are, for another parse of the same lines."""
    arms: dict[int, list[tuple[int, int]]] = {}
    for k, line in enumerate(lines):
        if len(line.path) > 1:
            arms.setdefault(line.a, []).append((k, 0))
            arms.setdefault(line.b, []).append((k, 1))

    def away(arm: tuple[int, int]) -> np.ndarray:
        path = lines[arm[0]].path if arm[1] == 0 else lines[arm[0]].path[::-1]
        step = path[min(LOOK, len(path) - 1)] - path[0]
        return step / max(float(np.hypot(*step)), 1e-9)

    partner: dict[tuple[int, int], tuple[int, int]] = {}
    for met in arms.values():
        pairs = []
        for i, one in enumerate(met):
            for other in met[:i]:
                turn = float(np.arccos(np.clip(-away(one) @ away(other), -1, 1)))
                noise = float(rng.normal(0, LOOSE)) if rng else 0.0
                pairs.append((turn + noise if len(met) > 2 else 0.0, one, other))
        for turn, one, other in sorted(pairs):
            if turn < TURN and one not in partner and other not in partner and one != other:
                partner[one], partner[other] = other, one
    strokes, done = [line.path for line in lines if len(line.path) == 1], set[int]()
    ends = [arm for met in arms.values() for arm in met]
    for arm in [*(arm for arm in ends if arm not in partner), *ends]:  # open strokes first, then rings
        path, now = [], arm
        while now[0] not in done:
            done.add(now[0])
            line = lines[now[0]].path if now[1] == 0 else lines[now[0]].path[::-1]
            path.append(line if not path else line[1:])
            far = (now[0], 1 - now[1])
            if far not in partner:
                break
            now = partner[far]
        if path:
            strokes.append(np.concatenate(path))
    return strokes
