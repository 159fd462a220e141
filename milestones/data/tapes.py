"""Tasks that are given sign by sign, for nets to carry over from short strings to long ones; made by rule, not found.

After each sign nothing is asked, or some bits. Copying and associative recall are those of Graves, Wayne & Danihelka
(2014); parity, a^n b^n c^n and brackets are formal languages, each of another class (Deletang et al. 2023): a state of
one bit, a counter, a stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import UserError
from ..core.source import Data, Place, keyed
from .ragged import Flat, Ragged

BITS = 8  # of a vector to copy
PARTS, PART_BITS = 3, 6  # an item to recall is so many vectors of so many bits
MOST = 1000  # signs of a string that `read` takes
HELD = 100  # strings of each length that are measured
WHO = "memory"


class Tape(NamedTuple):
    """Strings, sign by sign."""

    symbol: Int[Tensor, "B T C"]  # what is given: 0 or 1 in each channel
    goal: Int[Tensor, "B T K"]  # what is to be said then: -1 for a bit that is 0, 1 for one that is 1; 0: not asked


class Task(NamedTuple):
    """What strings are made of, and how they are written as text."""

    about: str
    unit: str  # what a length counts
    signs: tuple[str, ...]  # the channels
    says: tuple[str, ...]  # the bits that are asked
    first: int  # the shortest length,
    step: int  # and how far apart lengths are
    draw: Callable[[torch.Generator, int, int], Tape]  # of a generator, how many and their length
    read: Callable[[str], Tape]  # of one text without spaces. UserError: no string of this task, or too long
    spell: Callable[[Tensor], str]  # bits "S K" of the steps that were asked
    one: bool = False  # there is but one string of each length


def copied(vector: Int[Tensor, "B L 8"]) -> Tape:
    """Vectors, then a sign that they are over, then as many steps in which they are to be said."""
    n, length, bits = vector.shape
    symbol = torch.zeros(n, 2 * length + 1, bits + 2, dtype=torch.int8)
    goal = torch.zeros(n, 2 * length + 1, bits, dtype=torch.int8)
    symbol[:, :length, :bits] = vector
    symbol[:, length, bits] = 1
    symbol[:, length + 1 :, bits + 1] = 1
    goal[:, length + 1 :] = 2 * vector - 1
    return Tape(symbol, goal)


def draw_copy(rng: torch.Generator, count: int, length: int) -> Tape:
    """Random vectors."""
    return copied(torch.randint(0, 2, (count, length, BITS), generator=rng, dtype=torch.int8))


def recalled(item: Int[Tensor, "B L 3 6"], asked: Int[Tensor, "B"]) -> Tape:
    """Items, a sign before each; then one of them again between two signs of another kind: the one that came after it
    is to be said. `asked` counts from 0 and is never the last."""
    n, length = item.shape[:2]
    time = (PARTS + 1) * length + 2 * PARTS + 2
    symbol = torch.zeros(n, time, PART_BITS + 3, dtype=torch.int8)
    goal = torch.zeros(n, time, PART_BITS, dtype=torch.int8)
    given = symbol[:, : (PARTS + 1) * length].unflatten(1, (length, PARTS + 1))
    given[:, :, 0, PART_BITS] = 1
    given[:, :, 1:, :PART_BITS] = item
    row = torch.arange(n)
    symbol[:, -2 * PARTS - 2, PART_BITS + 1] = symbol[:, -PARTS - 1, PART_BITS + 1] = 1
    symbol[:, -2 * PARTS - 1 : -PARTS - 1, :PART_BITS] = item[row, asked]
    symbol[:, -PARTS:, PART_BITS + 2] = 1
    goal[:, -PARTS:] = 2 * item[row, asked + 1] - 1
    return Tape(symbol, goal)


def draw_recall(rng: torch.Generator, count: int, length: int) -> Tape:
    """Random items, and which one is asked for."""
    item = torch.randint(0, 2, (count, length, PARTS, PART_BITS), generator=rng, dtype=torch.int8)
    return recalled(item, torch.randint(0, length - 1, (count,), generator=rng))


def tape(words: Sequence[str], signs: str, after: Callable[[str], Sequence[Sequence[int]]]) -> Tape:
    """Words of one length, a channel a sign, and the bits `after` each sign."""
    index = torch.tensor([[signs.index(sign) for sign in word] for word in words])
    goal = torch.tensor([after(word) for word in words], dtype=torch.int8)
    return Tape(F.one_hot(index, len(signs)).to(torch.int8), 2 * goal - 1)


def odd(word: str) -> list[list[int]]:
    """Whether the number of ones is odd, after each sign."""
    bits, ones = [], 0
    for sign in word:
        ones += sign == "1"
        bits.append([ones % 2])
    return bits


def draw_bits(rng: torch.Generator, count: int, length: int) -> Tape:
    """Random bits."""
    rows = torch.randint(0, 2, (count, length), generator=rng).tolist()
    return tape(["".join(map(str, row)) for row in rows], "01", odd)


def follows(word: str) -> list[list[int]]:
    """Of the beginning of a^n b^n c^n, which of a, b, c and the end may come after each sign (Gers & Schmidhuber
    2001)."""
    n, bits = word.count("a"), []
    for place, sign in enumerate(word, 1):
        if sign == "a":
            bits.append([1, 1, 0, 0])
        elif sign == "b":
            bits.append([0, 1, 0, 0] if place < 2 * n else [0, 0, 1, 0])
        else:
            bits.append([0, 0, 1, 0] if place < 3 * n else [0, 0, 0, 1])
    return bits


def draw_counted(rng: torch.Generator, count: int, length: int) -> Tape:
    """The one word of that n, as often as asked for."""
    return Tape(*(field.repeat(count, 1, 1) for field in tape(["a" * length + "b" * length + "c" * length], "abc",
                                                              follows)))  # fmt: skip


PAIRS = ("()", "[]")


def closes(word: str, kinds: int) -> list[list[int]]:
    """Which closing bracket may come after each sign of the beginning of a Dyck word: the one of the bracket opened
    last, or none where all are closed. ValueError: a bracket that closes none, or one of another kind."""
    partner = {pair[0]: k for k, pair in enumerate(PAIRS)}
    stack, bits = [], []
    for place, sign in enumerate(word, 1):
        if sign in partner:
            stack.append(partner[sign])
        elif not stack or PAIRS[stack.pop()][1] != sign:
            raise ValueError(f"{sign} at place {place}, which closes nothing")
        bits.append([int(bool(stack) and stack[-1] == k) for k in range(kinds)])
    return bits


def dyck(rng: torch.Generator, length: int, kinds: int) -> str:
    """A Dyck word of that (even) length, each as likely as any other."""
    chance, kind = torch.rand(length, generator=rng).tolist(), torch.randint(0, kinds, (length,), generator=rng)
    word, stack = "", []
    for left, one, k in zip(range(length, 0, -1), chance, kind.tolist(), strict=True):
        deep = len(stack)  # of the ways on from here, the share that opens one more (by the ballot numbers)
        if one < (deep + 2) * (left - deep) / (2 * left * (deep + 1)):
            stack.append(k)
            word += PAIRS[k][0]
        else:
            word += PAIRS[stack.pop()][1]
    return word


def draw_dyck(kinds: int, rng: torch.Generator, count: int, length: int) -> Tape:
    """Dyck words of even length, each as likely as any other."""
    words = [dyck(rng, length, kinds) for _ in range(count)]
    return tape(words, "".join(PAIRS[:kinds]), partial(closes, kinds=kinds))


def shown(text: str) -> str:
    """What was typed, cut short."""
    return f"{text[:40]!r}{'...' * (len(text) > 40)} of {len(text):,} signs"


def vectors(text: str, bits: int) -> Tensor | None:
    """A string of 0 and 1 as vectors "L bits", at most so many that MOST signs are read; None where it is none."""
    if not text or set(text) - set("01") or len(text) % bits or len(text) > bits * MOST // 2:
        return None
    return torch.tensor([int(sign) for sign in text], dtype=torch.int8).unflatten(0, (-1, bits))


def read_copy(text: str) -> Tape:
    """Vectors to copy. UserError: none, or too many."""
    vector = vectors(text, BITS)
    if vector is None:
        expected = f"1 to {MOST // 2} vectors, each of {BITS} digits 0 and 1"
        raise UserError(expected, shown(text), "Write them as 01101010 11110000", WHO)
    return copied(vector[None])


def read_recall(text: str) -> Tape:
    """Items, and the one asked for. UserError: of another length, fewer than two, twice the same, or not among them."""
    before, _, query = text.partition("?")
    size = PARTS * PART_BITS
    items = [vectors(one, size) for one in before.split(",")]
    if any(one is None or len(one) != 1 for one in (*items, vectors(query, size))) or len(items) > MOST // 4:
        expected = f"2 to {MOST // 4} items of {size} digits 0 and 1, commas between them, then '?' and one of them"
        do = "Write them as 010101 001100 111000, 111000 110011 000111 ? 010101 001100 111000"
        raise UserError(expected, shown(text), do, WHO)
    names = before.split(",")
    if query not in names[:-1] or len(set(names)) != len(names):
        got = "the same item twice" if len(set(names)) != len(names) else "another, or the last"
        do = "What came after it is the answer, so it must stand once, and before another"
        raise UserError("after '?' one of the items before the last, all of them different", got, do, WHO)
    item = torch.cat([one for one in items if one is not None]).unflatten(1, (PARTS, PART_BITS))
    return recalled(item[None], torch.tensor([names.index(query)]))


def read_bits(text: str) -> Tape:
    """Bits to count. UserError: none, other signs, or too many."""
    if not 1 <= len(text) <= MOST or set(text) - set("01"):
        raise UserError(f"a string of 1 to {MOST:,} digits 0 and 1", shown(text), "Write it as 0110", WHO)
    return tape([text], "01", odd)


def read_counted(text: str) -> Tape:
    """The beginning of a^n b^n c^n. UserError: anything else, or too long."""
    parts = re.fullmatch(r"(a+)(b*)(c*)", text)
    a, b, c = map(len, parts.groups()) if parts else (0, 0, 0)
    if not 1 <= a + b + c <= MOST or b > a or c > b or (c and b < a):
        expected = f"the beginning of a word a...ab...bc...c of equally many each, at most {MOST:,} signs"
        raise UserError(expected, shown(text), "Write it as aaabbbccc, or aaab", WHO)
    return tape([text], "abc", follows)


def read_dyck(kinds: int, text: str) -> Tape:
    """The beginning of a Dyck word. UserError: other signs, what closes nothing, or too long."""
    signs, got = "".join(PAIRS[:kinds]), shown(text)
    if 1 <= len(text) <= MOST and not set(text) - set(signs):
        try:
            return tape([text], signs, partial(closes, kinds=kinds))
        except ValueError as problem:
            got = str(problem)
    expected = f"1 to {MOST:,} brackets {' '.join(signs)}, each closed by its own kind"
    raise UserError(expected, got, "Write them as (()())" if kinds == 1 else "Write them as ([]()) or ([", WHO)


def spell_bits(bits: Bool[Tensor, "S K"]) -> str:
    """Vectors as digits."""
    return " ".join("".join(str(int(bit)) for bit in row) for row in bits.tolist())


def spell_signs(says: str, bits: Bool[Tensor, "S K"]) -> str:
    """After each sign, those that may follow; a point where none of them may."""
    return " ".join("".join(s for s, bit in zip(says, row, strict=True) if bit) or "." for row in bits.tolist())


def _brackets(kinds: int) -> Task:
    signs, closing = "".join(PAIRS[:kinds]), "".join(pair[1] for pair in PAIRS[:kinds])
    about = f"which bracket may close, of words of {kinds} kind{'s' * (kinds > 1)} of brackets"
    return Task(about, "brackets", tuple(signs), tuple(closing), 2, 2, partial(draw_dyck, kinds),
                partial(read_dyck, kinds), partial(spell_signs, closing))  # fmt: skip


def _channels(bits: int, *more: str) -> tuple[str, ...]:
    return (*(f"bit {k + 1}" for k in range(bits)), *more)


TASKS = {
    "copy": Task(f"vectors of {BITS} random bits to copy", "vectors", _channels(BITS, "over", "say"), _channels(BITS),
                 1, 1, draw_copy, read_copy, spell_bits),
    "recall": Task(f"items of {PARTS} x {PART_BITS} random bits, and the one after one of them to say", "items",
                   _channels(PART_BITS, "item", "asked", "say"), _channels(PART_BITS), 2, 1, draw_recall, read_recall,
                   spell_bits),
    "parity": Task("whether the ones of random bits are odd so far", "bits", ("0", "1"), ("odd",), 1, 1, draw_bits,
                   read_bits, spell_bits),
    "counting": Task("what may follow in a^n b^n c^n", "of each letter", tuple("abc"), ("a", "b", "c", "end"), 1, 1,
                     draw_counted, read_counted, partial(spell_signs, "abc$"), one=True),
    "dyck1": _brackets(1),
    "dyck2": _brackets(2),
}  # fmt: skip


def held(name: str, place: Place, split: str, counts: Mapping[int, int], title: str) -> Ragged[Tape]:
    """So many strings of each length, as a source."""
    blocks = [TASKS[name].draw(keyed(place.seed, "tapes", name, split, length), count, length)
              for length, count in counts.items()]  # fmt: skip
    begin = torch.tensor([0, *(block.symbol.shape[1] for block in blocks for _ in block.symbol)]).cumsum(0)
    fields = (torch.cat([field.flatten(0, 1) for field in each]) for each in zip(*blocks, strict=True))
    return Ragged(Tape, [Flat(field, begin, told=False) for field in fields], place, title, split)


def measured(name: str, place: Place, split: str, length: int) -> Ragged[Tape]:
    """Strings of this length alone to measure by; where there is but one, the ten up to this length."""
    task = TASKS[name]
    counts = dict.fromkeys(range(max(1, length - 9), length + 1), 1) if task.one else {length: HELD}
    return held(name, place, split, counts, f"{task.about}; {length} {task.unit} (made for this run)")


def tapes(name: str, place: Place, examples: int, longest: int, tested: Sequence[int], short: float) -> Data[Tape]:
    """Strings of all lengths up to `longest` to train on, as many of each over its power `short`; others of that length
    to validate, and of the last of the lengths `tested` to test on. UserError: --data, or lengths that there are not.
    """
    task = TASKS[name]
    if place.choice.data:
        raise UserError("no --data: memory makes its own strings", repr(place.choice.data), "Leave it out", WHO)
    wrong = [n for n in (longest, *tested) if n < task.first or n % task.step]
    if wrong:
        expected = f"lengths for {name} from {task.first}" + f", in steps of {task.step}" * (task.step > 1)
        raise UserError(expected, str(wrong[0]), "Change longest or tested", WHO)
    lengths = range(task.first, longest + 1, task.step)
    share = {n: n**-short for n in lengths}
    each = {n: max(1, round(examples * one / sum(share.values()))) for n, one in share.items()}
    train = held(name, place, "train", each, f"{task.about}; up to {longest} {task.unit} (made for this run)")
    valid, test = measured(name, place, "valid", longest), measured(name, place, "test", tested[-1])
    counts = {"train": len(train), "valid": len(valid), "test": len(test)}
    note = f"made by rule; trained on up to {longest} {task.unit}, tested on {', '.join(map(str, tested))}"
    facts = {"kind": "text", "task": name, "inputs": len(task.signs), "outputs": len(task.says), "longest": longest,
             "tested": list(tested), "data": {"name": train.name, **counts, "note": note, "shifted": True,
                                              "hard": True, "closed": task.one}}  # fmt: skip
    return Data(train, valid, test, facts)
