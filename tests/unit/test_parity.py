"""parity: the strings and formulas against brute force, what the nets read, and what `use` refuses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data.formulas import formulas, satisfiable, spoiled
from milestones.media import Text
from milestones.systems.parity import Counts, Knobs, Strings, Tree, by_hand, parsed, strings, system

PLACE = Place(torch.device("cpu"), 0)


def prepared(**settings: Any) -> Any:
    return system.prepare(changed(Knobs(), {"examples": 500, **settings}, "parity"), PLACE)


def whole(source: Any) -> Strings:
    return next(source.sweep(len(source)))


def test_labels_are_the_parity_of_each_string() -> None:
    drawn = strings(keyed("a"), 300, 9, short=3.0)
    assert drawn.label.tolist() == [sum(map(int, row)) % 2 for row in drawn.input[..., 0].tolist()]
    assert set(drawn.input.unique().tolist()) == {0, 1}


def test_short_strings_have_zeros_before_them_and_two_bits_at_least() -> None:
    ones = strings(keyed("a"), 4000, 20, short=3.0).input[..., 0]
    used = (ones * torch.arange(20, 0, -1)).amax(1)  # bits from the first 1 to the end
    assert (used <= 2).float().mean() > 0.3, "most are short"
    assert (used > 15).float().mean() > 0.03, "some are not"
    every = strings(keyed("a"), 4000, 20).input[..., 0].float().mean(0)
    assert torch.all((every - 0.5).abs() < 0.04), "without `short` each bit is used"


def test_no_held_out_string_is_trained_on() -> None:
    for bits in (8, 20):
        data = prepared(bits=bits, examples=3000)
        train, valid, test = ({tuple(row) for row in whole(s).input[..., 0].tolist()} for s in data[:3])
        assert not train & valid
        assert not train & test
        assert not valid & test
        assert len(valid) == len(data.valid)
        assert 0.4 < whole(data.test).label.float().mean() < 0.6


@pytest.mark.parametrize("n", [2, 5, 10])
def test_units_set_by_hand_tell_every_string(n: int) -> None:
    every = torch.tensor(list(itertools.product((0, 1), repeat=n)), dtype=torch.int8)[..., None]
    with torch.inference_mode():
        said = by_hand(n)(every).argmax(1)
    assert said.tolist() == [int(row.sum()) % 2 for row in every]


def test_tree_reads_any_length_and_pads_before() -> None:
    torch.manual_seed(0)
    net = Tree(5, 1, 4)
    rows = torch.randint(0, 2, (3, 5, 1))
    padded = torch.nn.functional.pad(rows, (0, 0, 3, 0))
    assert torch.allclose(net(rows), net(padded), atol=1e-6)
    assert net(rows[:, :1]).shape == net(rows.repeat(1, 7, 1)).shape == (3, 2)


def brute(clauses: list[list[int]], variables: int) -> bool:
    """By the definition, one assignment after the other."""
    return any(
        all(any((literal > 0) == values[abs(literal) - 1] for literal in clause) for clause in clauses)
        for values in itertools.product((False, True), repeat=variables)
    )


def literals(rows: np.ndarray) -> list[list[int]]:
    return [[int(v) * (i + 1) for i, v in enumerate(row) if v] for row in rows]


@pytest.mark.parametrize(("variables", "clauses"), [(3, 10), (4, 20), (6, 32)])
def test_formulas_against_brute_force(variables: int, clauses: int) -> None:
    rows, label = formulas(variables, clauses, 60, keyed("f", variables))
    assert rows.shape == (60, clauses, variables)
    assert int(label.sum()) == 30, "half of them"
    assert torch.all(rows.abs().sum(2) == 3)
    for one, true in zip(rows.numpy(), label.tolist(), strict=True):
        assert brute(literals(one), variables) == satisfiable(one) == bool(true)


def test_each_clause_rules_out_an_eighth() -> None:
    clauses, out = spoiled(5)
    assert len({row.tobytes() for row in clauses}) == len(clauses) == 10 * 8
    assert set(np.unpackbits(out, axis=1).sum(1).tolist()) == {4}


def test_formulas_that_are_all_alike_are_refused() -> None:
    with pytest.raises(UserError, match="formulas of which some are satisfiable and some are not"):
        formulas(5, 2, 100, keyed("f"))


def test_counts_do_not_know_names_nor_signs_nor_order() -> None:
    torch.manual_seed(0)
    net, rows = Counts(12, 6, 0), formulas(6, 32, 8, keyed("f"))[0]
    other = -rows[:, torch.randperm(32)][:, :, torch.randperm(6)]
    assert torch.allclose(net(rows), net(other), atol=1e-6)


def test_half_of_the_formulas_are_satisfiable_in_all_sets() -> None:
    data = prepared(task="cnf", variables=8, clauses=40)
    assert data.facts["shape"] == [40, 8]
    assert 0.4 < whole(data.train).label.float().mean() < 0.6
    assert len(data.valid) == len(data.test) == 250


def test_parsed_bits() -> None:
    facts = prepared().facts
    assert parsed(facts, "101 10")[:, 0].tolist() == [1, 0, 1, 1, 0]
    for text in ("", "102", "odd", "1" * 1001, "٠١"):
        with pytest.raises(UserError, match="a string of up to 1,000 digits 0 and 1"):
            parsed(facts, text)


def test_parsed_formula() -> None:
    facts = prepared(task="cnf", variables=8, clauses=40).facts
    rows = parsed(facts, "1 -2 3, 8 -4 5")
    assert literals(rows.numpy()[:2]) == [[1, -2, 3], [-4, 5, 8]]
    assert int(rows[2:].abs().sum()) == 0
    for text in ("", "1 2", "1 1 2", "1 -1 2", "0 1 2", "7 8 9", "a b c", "1 2 3,", ",".join(["1 2 3"] * 41)):
        with pytest.raises(UserError, match="up to 40 clauses, each of three different variables from 1 to 8"):
            parsed(facts, text)


def test_use_knows_the_truth_and_what_is_too_long() -> None:
    data = prepared(bits=8)
    model = system.build(changed(Knobs(), {"bits": 8}, "parity"), data.facts)
    with torch.inference_mode():
        short, long = system.use(model, data.facts, [Text("0110"), Text("1" * 9)])
    assert (short["truth"].text, long["truth"].text) == ("even", "odd")
    assert long["shallow"] == Text("reads no string as long as this")
    assert short["answer"].best in ("even", "odd")
    facts = prepared(task="cnf", variables=3, clauses=10).facts
    model = system.build(changed(Knobs(), {"task": "cnf"}, "parity"), facts)
    all_eight = ", ".join(f"{a}1 {b}2 {c}3" for a, b, c in itertools.product(("", "-"), repeat=3))
    with torch.inference_mode():
        answers = system.use(model, facts, [Text(all_eight), Text("1 2 3")])
    assert [answer["truth"].text for answer in answers] == ["unsatisfiable", "satisfiable"]


def test_own_data_is_refused() -> None:
    with pytest.raises(UserError, match="no --data: parity makes its own strings"):
        system.prepare(Knobs(), PLACE._replace(choice=Choice("digits")))
