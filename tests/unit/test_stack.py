"""stack: the net set by hand against a matcher of brackets, in fractions and floats; compiled machines, too."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from typing import Any

import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data import brackets as data
from milestones.media import Text
from milestones.parts import stack
from milestones.parts.stack import BALANCED, BROKEN, MACHINES, OPENED, Rule, Turing, coded, decoded, run, table
from milestones.systems.stack import Knobs, deepest, longer, nested, steps, system

PLACE = Place(torch.device("cpu"), 0)
NET = stack.brackets()


def matched(text: str) -> int:
    """By a list of what is open."""
    opened: list[str] = []
    for symbol in text:
        if symbol in stack.OPEN:
            opened.append(symbol)
        elif not opened or stack.CLOSE[stack.OPEN.index(opened.pop())] != symbol:
            return BROKEN
    return OPENED if opened else BALANCED


def tokens(text: str) -> list[int]:
    return [stack.BRACKETS.index(symbol) for symbol in text]


def text_of(row: list[int]) -> str:
    return "".join(stack.BRACKETS[symbol] for symbol in row)


def test_floats_tell_every_string_to_length_ten() -> None:
    """All of ten brackets, and so all that they begin with."""
    place, rng = 4 ** torch.arange(10), random.Random(0)
    for begin in range(0, 4**10, 4**8):
        token = torch.arange(begin, begin + 4**8)[:, None] // place % 4
        true = data.verdict(token)
        assert torch.equal(stack.verdicts(NET, token, torch.float32), true)
        for row in rng.sample(range(4**8), 200):
            assert true[row].tolist() == [matched(text_of(token[row, :n].tolist())) for n in range(1, 11)]
    assert torch.equal(stack.verdicts(NET, token, torch.float64), true)


def test_fractions_tell_every_string_to_length_five_and_many_to_ten() -> None:
    texts = ["".join(one) for n in range(6) for one in itertools.product(stack.BRACKETS, repeat=n)]
    rng = random.Random(0)
    texts += ["".join(rng.choices(stack.BRACKETS, k=rng.randint(6, 10))) for _ in range(300)]
    assert [stack.verdict_exactly(NET, text) for text in texts] == [matched(text) for text in texts]


def test_fractions_tell_long_and_deep_strings() -> None:
    for row in data.strings(12, 60, keyed("long")).token.tolist():
        assert stack.verdict_exactly(NET, text_of(row)) == matched(text_of(row))
    deep = "([" * 60 + "])" * 60
    assert stack.verdict_exactly(NET, deep) == BALANCED
    assert stack.verdict_exactly(NET, deep[:-1] + "]") == BROKEN
    assert stack.verdict_exactly(NET, deep[:-1]) == OPENED


def test_the_stack_is_the_number() -> None:
    *states, _ = stack.exactly(NET, "([[")
    assert [stack.stack_of(x) for x in states] == [Fraction(1, 4), Fraction(13, 16), Fraction(61, 64)]
    assert decoded(Fraction(61, 64), stack.OPEN) == "[[(", "the top first"
    *states, _ = stack.exactly(NET, "([[])]")
    assert stack.stack_of(states[3]) == Fraction(13, 16)
    assert states[4]["no ("] == 1


def test_what_nine_units_add_up() -> None:
    recurrent, inward, bias = stack.matrices(NET, torch.float64)
    assert (recurrent.shape, inward.shape, bias.shape) == ((9, 9), (9, 4), (9,))
    weights = torch.cat([recurrent, inward, bias[:, None]], 1)
    assert torch.equal(weights * 4, (weights * 4).round()), "quarters"
    x, u = torch.rand(9).double(), torch.eye(4).double()[2]
    one = stack.tick(NET, {name: Fraction(value) for name, value in zip(NET.units, x.tolist(), strict=True)}, ")")
    assert [float(value) for value in one.values()] == pytest.approx(
        (recurrent @ x + inward @ u + bias).clamp(0, 1).tolist()
    )


def test_how_deep_floats_reach() -> None:
    """Two bits a bracket: 24 bits hold twelve, 53 hold 26; the next one is rounded away."""
    assert deepest(torch.float32) == 12
    assert deepest(torch.float64) == 26
    for depth, dtype in ((13, torch.float32), (27, torch.float64)):
        said = stack.verdicts(NET, nested(depth, False), dtype)[:, -1]
        assert (said != BALANCED).any()
        for row in nested(depth, False)[:4].tolist():
            assert stack.verdict_exactly(NET, text_of(row)) == BALANCED


def test_nested_and_spoiled() -> None:
    for depth in (1, 2, 7):
        assert {matched(text_of(row)) for row in nested(depth, False).tolist()} == {BALANCED}
        assert {matched(text_of(row)) for row in nested(depth, True).tolist()} == {BROKEN}
        assert all(matched(text_of(row[:-1])) == OPENED for row in nested(depth, True).tolist())


@pytest.mark.parametrize("pairs", [1, 2, 10, 40])
def test_strings_are_half_balanced(pairs: int) -> None:
    drawn = data.strings(2000, pairs, keyed("s", pairs), deepest=9)
    said = [matched(text_of(row)) for row in drawn.token.tolist()]
    assert drawn.verdict[:, -1].tolist() == said
    assert 0.4 < said.count(BALANCED) / 2000 < 0.62
    balanced = data.balanced(2000, pairs, keyed("b", pairs), deepest=9)
    assert {matched(text_of(row)) for row in balanced.tolist()} == {BALANCED}
    rise = torch.where(balanced < 2, 1, -1).cumsum(1)
    assert rise.min() == 0 and rise[:, -1].max() == 0 and rise.max() == min(pairs, 9)


def test_counting_does_not_tell_a_fourth_of_the_broken_ones() -> None:
    drawn = data.strings(4000, 10, keyed("kinds"))
    broken = drawn.token[drawn.verdict[:, -1] == BROKEN]
    rise = torch.where(broken < 2, 1, -1).cumsum(1)
    fooled = (rise.min(1).values >= 0) & (rise[:, -1] == 0)
    assert fooled.float().mean() > 0.4


def test_no_string_is_in_two_sets() -> None:
    found = system.prepare(changed(Knobs(), {"examples": 3000}, "stack"), PLACE)
    rows = [{tuple(row) for row in source.examples.token.tolist()} for source in found[:3]]
    assert [len(one) for one in rows] == [len(source) for source in found[:3]], "all different"
    assert len(rows[0]) == 3000 and len(rows[1]) == len(rows[2]) > 1000
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
    assert longer(Knobs(), PLACE, "test").examples.token.shape == (2000, 100)


def test_own_data_is_refused() -> None:
    with pytest.raises(UserError, match="no --data: stack makes its own brackets"):
        system.prepare(Knobs(), PLACE._replace(choice=Choice("digits")))


# Compiled machines


def bits(most: int) -> list[str]:
    return ["".join(one) for n in range(1, most + 1) for one in itertools.product("01", repeat=n)]


def test_the_successor() -> None:
    for text in [*bits(4), "10111", "11111"]:
        found = run(MACHINES["successor"], text)
        assert found is not None and found.state == "done"
        assert found.tape == format(int(text, 2) + 1, f"0{len(text)}b")


def test_palindromes() -> None:
    for text in ["", *bits(4), "01010", "011010", "110011", "1011101"]:
        found = run(MACHINES["palindrome"], text)
        assert found is not None and found.state == ("yes" if text == text[::-1] else "no"), text


def test_as_many_of_each() -> None:
    texts = ["".join(one) for n in range(1, 4) for one in itertools.product("abc", repeat=n)]
    texts += ["", "aabbcc", "aaabbbccc", "aabbc", "aabcc", "abbcc", "aabbccc", "abcabc", "aabbcb", "acbacb", "bbaacc"]
    for text in texts:
        n = len(text) // 3
        found = run(MACHINES["abc"], text)
        assert found is not None and found.state == ("yes" if text == "a" * n + "b" * n + "c" * n else "no"), text


def simulated(machine: Turing, text: str) -> tuple[str, str, int]:
    """The machine on a tape of Python's, as a check of the net that it was compiled to."""
    rules = {(rule.at, rule.read): rule for rule in machine.rules}
    tape, head, state, steps = dict(enumerate(text)), 0, machine.rules[0].at, 0
    while state not in machine.ends:
        rule = rules[state, tape.get(head, machine.symbols[0])]
        tape[head], state, steps = rule.write, rule.then, steps + 1
        head += {"left": -1, "right": 1, "stay": 0}[rule.move]
    cells = "".join(tape.get(k, machine.symbols[0]) for k in range(min(tape), max(tape) + 1)) if tape else ""
    return state, cells.strip(machine.symbols[0]), steps


@pytest.mark.parametrize("name", MACHINES)
def test_the_net_is_the_machine_step_by_step(name: str) -> None:
    rng, machine = random.Random(name), MACHINES[name]
    letters = "abc" if name == "abc" else "01"
    for n in (1, 2, 5, 9):
        text = "".join(rng.choices(letters, k=n))
        found = run(machine, text)
        assert found is not None
        assert (found.state, found.tape, found.steps) == simulated(machine, text)
    assert max(max(found.left), max(found.right)) < 1


def test_a_busy_beaver_writes_on_both_sides() -> None:
    """Rado (1962): three states, six ones, the most that three can leave on an empty tape."""
    machine = Turing("01", table("""
        a 0 -> 1 right b
        a 1 -> 1 right halt
        b 0 -> 0 right c
        b 1 -> 1 right b
        c 0 -> 1 left c
        c 1 -> 1 left a
    """))  # fmt: skip
    found = run(machine, "")
    assert found is not None
    assert (found.state, found.tape, found.steps) == ("halt", "111111", 14) == simulated(machine, "")


def test_a_machine_that_does_not_end() -> None:
    assert run(Turing("_1", (Rule("on", "_", "1", "right", "on"), Rule("on", "1", "1", "stay", "off"))), "", 20) is None


def test_coded_and_decoded() -> None:
    for text in ("", "a", "cab", "_ab_"):
        assert decoded(coded(text, "_abc"), "_abc") == text
    assert coded("a", "_a") == Fraction(3, 4)
    assert 0 < coded("_" * 50, "_a") < Fraction(1, 2)


# The page


def made() -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(0)
    facts = {"kind": "text", "labels": data.LABELS}
    return system.build(changed(Knobs(), {"hidden": 6}, "stack"), facts).eval(), facts


def asked(text: str, **options: Any) -> dict[str, Any]:
    with torch.inference_mode():
        return system.use(*made(), [Text(text)], **options)[0]


@pytest.mark.parametrize(("text", "true"), [("([ ])", "balanced"), ("([)", "broken"), ("[[(", "open"), (")", "broken")])
def test_use_tells_brackets(text: str, true: str) -> None:
    found = asked(text)
    assert found["answer"] == found["float32"] == found["float64"] == Text(true)
    assert found["lstm"].text in data.LABELS
    assert len(found["stack"].x) == len(text.replace(" ", "")) + 1


def test_floats_lose_what_is_deep() -> None:
    found = asked("(" * 30 + ")" * 30)
    assert found["answer"] == Text("balanced")
    assert found["float32"] != Text("balanced") and found["float64"] != Text("balanced")


def test_the_table_of_a_string() -> None:
    assert steps("([])]") == [
        ["(", "1/4", "0.1", "open"], ["[", "13/16", "0.31", "open"], ["]", "1/4", "0.1", "open"],
        [")", "0", "0.0", "balanced"], ["]", "0", "-", "broken"],
    ]  # fmt: skip


def test_use_computes() -> None:
    assert asked("1011", machine="successor")["answer"] == Text("1100")
    assert asked("aabbcc", machine="abc")["answer"] == Text("yes")
    assert asked("aabbc", machine="abc")["answer"] == Text("no")
    found = asked("0110", machine="palindrome")
    assert found["answer"] == Text("yes") and found["ticks"].value == 3 * found["steps"].value
    assert len(found["tape"].x) == found["steps"].value + 1


@pytest.mark.parametrize(("text", "machine", "told"), [
    ("(a)", "brackets", r"1 to 400 symbols \( \) .* for the machine brackets|1 to 400 symbols \( \[ \) \] for the"),
    ("(" * 401, "brackets", "1 to 400 symbols"), ("102", "successor", "1 to 60 symbols 0 1 for the machine successor"),
    ("01", "abc", "1 to 30 symbols a b c for the machine abc"), ("", "palindrome", "1 to 24 symbols 0 1 for the"),
])  # fmt: skip
def test_use_refuses_other_symbols(text: str, machine: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        asked(text, machine=machine)


def test_the_longest_inputs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, text in (("abc", "a" * 10 + "b" * 10 + "c" * 10), ("palindrome", "01" * 6 + "10" * 6),
                          ("successor", "1" * 60)):  # fmt: skip
        assert simulated(MACHINES[machine], text)[2] < 2000


def test_what_learns_reads_any_length() -> None:
    model, _ = made()
    token = torch.randint(0, 4, (3, 12), generator=keyed("t"))
    for net in model.of.values():
        assert net(token).shape == (3, 12, 3)
        torch.testing.assert_close(net(token)[:, :5], net(token[:, :5]), msg="what comes later changes nothing")
