"""Recurrent nets with rational weights, set by hand, that run machines with stacks (Siegelmann & Sontag 1995, On the
computational power of neural nets, Journal of Computer and System Sciences 50(1), 132-150).

All that a net does in a tick is x' = clamp(W x + U u + b, 0, 1). A stack is one number, a fraction whose digits are its
symbols, the top first: symbol i of m is the digit 2i + 1 in base 2m, and the empty stack is 0. Between numbers of
different tops there are gaps, so that a slope of 2m and the clamp read the top exactly; pushing and popping are affine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

Affine = Mapping[str, Fraction | int]
"""What a unit adds up: a weight for each unit and input that it listens to, and for ONE."""
ONE = "1"


class Net(NamedTuple):
    """What each unit adds up of the units and inputs of the tick before; an input is a symbol, 1 where it is read."""

    units: dict[str, Affine]
    inputs: tuple[str, ...] = ()


def tick(net: Net, x: Mapping[str, Fraction], symbol: str = "") -> dict[str, Fraction]:
    """All units after one tick, exactly; units that are not in `x` are 0."""
    known = {name: value for name, value in x.items() if value} | {ONE: Fraction(1)}
    if symbol in net.inputs:
        known[symbol] = Fraction(1)
    found = {}
    for name, affine in net.units.items():
        total = sum((weight * known[other] for other, weight in affine.items() if other in known), Fraction(0))
        found[name] = min(max(total, Fraction(0)), Fraction(1))
    return found


def matrices(net: Net, dtype: torch.dtype) -> tuple[Float[Tensor, "D D"], Float[Tensor, "D V"], Float[Tensor, "D"]]:
    """The net's W, U and b; in the order of its units and inputs."""
    rows = [[float(affine.get(name, 0)) for name in (*net.units, *net.inputs, ONE)] for affine in net.units.values()]
    whole, d = torch.tensor(rows, dtype=torch.float64), len(net.units)
    return whole[:, :d].to(dtype), whole[:, d:-1].to(dtype), whole[:, -1].to(dtype)


def states(net: Net, token: Int[Tensor, "B T"], dtype: torch.dtype) -> Float[Tensor, "B T D"]:
    """The units after each symbol, reckoned in `dtype`; `token` counts the net's inputs, -1 is none of them."""
    recurrent, inward, bias = (matrix.to(token.device) for matrix in matrices(net, dtype))
    columns = torch.cat([inward.T, torch.zeros_like(bias)[None]])  # the last one, which is also number -1: no symbol
    x, found = torch.zeros(len(token), len(bias), dtype=dtype, device=token.device), []
    for symbol in token.unbind(1):
        x = (x @ recurrent.T + (columns[symbol] + bias)).clamp(0, 1)  # so: nothing grows above 1 and loses a bit
        found.append(x)
    return torch.stack(found, 1)


# Brackets of two kinds: a stack remembers which are open. One tick a symbol.

OPEN, CLOSE = "([", ")]"
BRACKETS = OPEN + CLOSE
STACK = ("push (", "push [", "pop (", "pop [")  # the stack's number is their sum: after each symbol only one is not 0
WRONG = ("no (", "nothing", "no [", "broken")
BALANCED, OPENED, BROKEN = range(3)  # what a string is so far; an open one may yet be balanced, a broken one never


def brackets() -> Net:
    """The net of nine units that tells whether a string of ( ) [ ] is balanced: ( is the digit 1 in base 4, [ is 3.

    What a unit may only do at its own symbol has a bias that keeps it at 0 otherwise, and the symbol's weight makes up
    for it. Units `broken` and `balanced` tell of the string as it was before the symbol that is being read.
    """

    def q(weight: Fraction | int) -> dict[str, Fraction | int]:
        return dict.fromkeys(STACK, weight)

    push = Fraction(1, 4)
    return Net({
        "push (": q(push) | {ONE: push - 1, "(": 1},  # q/4 + 1/4
        "push [": q(push) | {ONE: 3 * push - 1, "[": 1},  # q/4 + 3/4
        "pop (": q(4) | {ONE: -1 - 3, ")": 3},  # 4q - 1
        "pop [": q(4) | {ONE: -3 - 1, "]": 1},  # 4q - 3
        "no (": q(4) | {ONE: -2 - 2, ")": 2},  # 4q - 2: 1 where a [ is on top
        "nothing": q(-4) | {")": 1},  # 1 - 4q: 1 where the stack is empty
        "no [": q(-4) | {"]": 3},  # 3 - 4q: 1 where a ( is on top, or nothing
        "broken": dict.fromkeys(WRONG, 1),  # once wrong, always wrong
        "balanced": q(-4) | dict.fromkeys(WRONG, -1) | {ONE: 1},  # the stack is empty, and nothing was wrong
    }, tuple(BRACKETS))  # fmt: skip


def exactly(net: Net, text: str) -> Iterator[dict[str, Fraction]]:
    """The units after each symbol of the text, and after one more tick without any."""
    x: dict[str, Fraction] = {}
    for symbol in [*text, ""]:
        x = tick(net, x, symbol)
        yield x


def stack_of(x: Mapping[str, Fraction]) -> Fraction:
    """The stack's number in the net of brackets."""
    return sum((x[name] for name in STACK), Fraction(0))


def verdict_of(x: Mapping[str, Fraction]) -> int:
    """What the net of brackets says, one tick later, of a string."""
    return BROKEN if x["broken"] > Fraction(1, 2) else BALANCED if x["balanced"] > Fraction(1, 2) else OPENED


def verdict_exactly(net: Net, text: str) -> int:
    """What the net of brackets says of a string, in exact fractions."""
    *_, x = exactly(net, text)
    return verdict_of(x)


def verdicts(net: Net, token: Int[Tensor, "B T"], dtype: torch.dtype) -> Int[Tensor, "B T"]:
    """What the net of brackets says of each beginning of each string, reckoned in `dtype`."""
    after = torch.nn.functional.pad(token, (0, 1), value=-1)
    x = states(net, after, dtype)[:, 1:]
    names = list(net.units)
    broken, balanced = (x[..., names.index(name)] > 0.5 for name in ("broken", "balanced"))
    return torch.where(broken, BROKEN, torch.where(balanced, BALANCED, OPENED))


# Any machine: a Turing machine's tape is two stacks, what is left of its head and the rest. Three ticks a step.


class Rule(NamedTuple):
    """In state `at`, where `read` is under the head: `write`, move, and go on in state `then`."""

    at: str
    read: str
    write: str
    move: Literal["left", "right", "stay"]
    then: str


class Turing(NamedTuple):
    """A machine that begins in the state of its first rule, on the first symbol of its input; symbols[0] is the blank.
    A state without rules is an end."""

    symbols: str
    rules: tuple[Rule, ...]

    @property
    def ends(self) -> list[str]:
        """The states in which it stops."""
        begun = {rule.at for rule in self.rules}
        return list(dict.fromkeys(rule.then for rule in self.rules if rule.then not in begun))


EMPTY = -1  # the top of an empty stack: the tape beyond what was written, all blanks


@lru_cache(maxsize=16)
def compiled(machine: Turing) -> Net:
    """The net of a Turing machine. A value goes round in three ticks: read (units of the states, both stacks, and how
    high their tops are), decide (a gate for each rule and what it depends on), act (what each gate makes of the stacks,
    0 but for the gate that is open). All else is 0 meanwhile, so that nothing has to keep time."""
    assert not {"left", "right"} & {rule.at for rule in machine.rules}, "names of units"
    many = len(machine.symbols)
    base, tops = 2 * many, [EMPTY, *range(many)]
    gates: dict[
        str, tuple[Rule, int, int | None]
    ] = {}  # rule, top of the right stack, of the left one where it matters
    for rule in machine.rules:
        number = machine.symbols.index(rule.read)
        for right in (EMPTY, 0) if number == 0 else (number,):
            for left in tops if rule.move == "left" else [None]:
                gates[f"{rule.at} {right} {left}"] = rule, right, left
    put = {side: [f"{side} by {name}" for name in gates] + [f"{side} begins"] for side in ("left", "right")}
    units: dict[str, Affine] = {}
    for state in dict.fromkeys([rule.at for rule in machine.rules] + machine.ends):
        units[state] = {f"then {state}": 1}
        units[f"then {state}"] = {name: 1 for name, (rule, *_) in gates.items() if rule.then == state}
    for side in ("left", "right"):
        units[side] = dict.fromkeys(put[side], 1)
        for k in range(many):  # 1 where the top is symbol k or a higher one, 0 where it is lower or there is none
            units[f"{side} from {k}"] = dict.fromkeys(put[side], base) | {ONE: -2 * k}
        units[f"{side} kept"] = {side: 1}
        units[f"{side} begins"] = {}  # holds the input at first

    def top(side: str, k: int) -> dict[str, int]:
        """1 where the top is exactly symbol k."""
        found = {ONE: 1} if k == EMPTY else {f"{side} from {k}": 1}
        return found | ({f"{side} from {k + 1}": -1} if k + 1 < many else {})

    for name, (rule, right, left) in gates.items():
        needs = [{rule.at: 1}, top("right", right), *([top("left", left)] if left is not None else [])]
        units[name] = added(*needs, {ONE: 1 - len(needs)})  # all at once
        for side, (weight, shift) in moved(rule, right, left, machine, base).items():
            # At most `base`: below 0 unless the gate is open.
            units[f"{side} by {name}"] = {f"{side} kept": weight, ONE: shift - base, name: base}
    return Net(units)


def moved(rule: Rule, right: int, left: int | None, machine: Turing, base: int) -> dict[str, tuple[Fraction, Fraction]]:
    """Weight and shift of what a rule makes of each stack's number, where these are the tops."""

    def digit(k: int) -> int:
        return 0 if k == EMPTY else 2 * k + 1

    written, same = Fraction(digit(machine.symbols.index(rule.write)), base), (Fraction(1), Fraction(0))
    if rule.move == "right":  # what was written goes to the left, and the top of the right goes
        return {"left": (Fraction(1, base), written), "right": (Fraction(base), Fraction(-digit(right)))}
    over = written - Fraction(digit(right), base)  # the symbol under the head is replaced
    if rule.move == "stay":
        return {"left": same, "right": (Fraction(1), over)}
    assert left is not None, "a move to the left depends on what lies there"
    under = Fraction(digit(max(left, 0)), base)  # from beyond the tape's end comes a blank
    return {"left": (Fraction(base), Fraction(-digit(left))), "right": (Fraction(1, base), over / base + under)}


def added(*affines: Mapping[str, int]) -> dict[str, int]:
    """The sum of these."""
    names = dict.fromkeys(name for affine in affines for name in affine)
    return {name: sum(affine.get(name, 0) for affine in affines) for name in names}


class Halted(NamedTuple):
    """Where a machine stopped."""

    state: str
    tape: str  # without blanks at its ends
    steps: int
    left: list[Fraction]  # the stacks' numbers step by step
    right: list[Fraction]


def run(machine: Turing, text: str, most: int = 2000) -> Halted | None:
    """What the machine's net makes of a text, in exact fractions; None where it has not stopped after `most` steps."""
    net, first = compiled(machine), machine.rules[0].at
    x = {f"then {first}": Fraction(1), "right begins": coded(text, machine.symbols)}
    lefts, rights = [], []
    for step in range(most + 1):
        x = tick(net, x)  # read
        lefts.append(x["left"])
        rights.append(x["right"])
        if end := next((state for state in machine.ends if x[state] == 1), ""):
            tape = decoded(x["left"], machine.symbols)[::-1] + decoded(x["right"], machine.symbols)
            return Halted(end, tape.strip(machine.symbols[0]), step, lefts, rights)
        x = tick(net, tick(net, x))  # decide, act
    return None


def coded(text: str, symbols: str) -> Fraction:
    """The number of a stack with this text, its first symbol on top."""
    number = Fraction(0)
    for symbol in reversed(text):
        number = (number + 2 * symbols.index(symbol) + 1) / (2 * len(symbols))
    return number


def decoded(number: Fraction, symbols: str) -> str:
    """The text of a stack, its top first."""
    text, base = "", 2 * len(symbols)
    while number:
        digit = number * base // 1
        number = number * base - digit
        text += symbols[(int(digit) - 1) // 2]
    return text


def table(lines: str) -> tuple[Rule, ...]:
    """Rules from lines such as ``go 1 -> 0 left carry``: state, read, write, move, next state."""
    moves: dict[str, Literal["left", "right", "stay"]] = {"left": "left", "right": "right", "stay": "stay"}
    words = [line.replace("->", " ").split() for line in lines.strip().splitlines()]
    return tuple(Rule(at, read, write, moves[move], then) for at, read, write, move, then in words)


MACHINES = {
    # One more than a number in base two: to its end, and back as long as a 1 has to become 0.
    "successor": Turing("_01", table("""
        go 0 -> 0 right go
        go 1 -> 1 right go
        go _ -> _ left add
        add 1 -> 0 left add
        add 0 -> 1 stay done
        add _ -> 1 stay done
    """)),
    # As many a as b as c, in this order, which no single stack can tell: each round crosses out one of each.
    "abc": Turing("_abcx", table("""
        a x -> x right a
        a a -> x right b
        a _ -> _ stay yes
        a b -> b stay no
        a c -> c stay no
        b a -> a right b
        b x -> x right b
        b b -> x right c
        b c -> c stay no
        b _ -> _ stay no
        c b -> b right c
        c x -> x right c
        c c -> x right rest
        c a -> a stay no
        c _ -> _ stay no
        rest c -> c right rest
        rest _ -> _ left back
        rest a -> a stay no
        rest b -> b stay no
        rest x -> x stay no
        back a -> a left back
        back b -> b left back
        back c -> c left back
        back x -> x left back
        back _ -> _ right a
    """)),
    # The same forwards and backwards: takes the first, compares it with the last.
    "palindrome": Turing("_01", table("""
        first 0 -> _ right zero
        first 1 -> _ right one
        first _ -> _ stay yes
        zero 0 -> 0 right zero
        zero 1 -> 1 right zero
        zero _ -> _ left last0
        one 0 -> 0 right one
        one 1 -> 1 right one
        one _ -> _ left last1
        last0 0 -> _ left back
        last0 1 -> 1 stay no
        last0 _ -> _ stay yes
        last1 1 -> _ left back
        last1 0 -> 0 stay no
        last1 _ -> _ stay yes
        back 0 -> 0 left back
        back 1 -> 1 left back
        back _ -> _ right first
    """)),
}  # fmt: skip
