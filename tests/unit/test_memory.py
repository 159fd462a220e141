"""memory: the tasks against their definitions, what is counted as wrong, and what `use` refuses."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data.tapes import HELD, TASKS, Tape, closes, dyck, follows, measured, odd
from milestones.media import Text
from milestones.systems.memory import Knobs, lengths, loss_of, pictures, priced, system

PLACE = Place(torch.device("cpu"), 0)
SMALL = {"examples": 60, "longest": 4, "tested": (4, 6), "rows": 9, "row": 5, "width": 8, "units": 16, "layers": 1}


def knobs(**settings: Any) -> Knobs:
    return changed(Knobs(), {**SMALL, **settings}, "memory")


def drawn(task: str, length: int, count: int = 40) -> Tape:
    return TASKS[task].draw(keyed("tapes", task), count, length)


# The tasks


def test_copy_asks_for_what_was_given() -> None:
    symbol, goal = drawn("copy", 5)
    assert symbol.shape == (40, 11, 10) and goal.shape == (40, 11, 8)
    assert torch.equal(goal[:, 6:] > 0, symbol[:, :5, :8] > 0)
    assert not goal[:, :6].any() and not symbol[:, 5:, :8].any()
    assert torch.equal(symbol[..., 8].sum(0), F.one_hot(torch.tensor(5), 11) * 40), "over after the last vector"
    assert torch.equal(symbol[..., 9].bool(), goal.any(-1)), "told when to say"
    assert 0.4 < symbol[:, :5, :8].float().mean() < 0.6


def test_recall_asks_for_the_item_after() -> None:
    for symbol, goal in zip(*drawn("recall", 4), strict=True):
        words = [tuple(map(tuple, symbol[4 * k + 1 : 4 * k + 4, :6].tolist())) for k in range(4)]
        asked = tuple(map(tuple, symbol[17:20, :6].tolist()))
        answer = tuple(map(tuple, (goal[-3:] > 0).int().tolist()))
        assert answer == words[words.index(asked) + 1]
        assert symbol[:, 6].nonzero().flatten().tolist() == [0, 4, 8, 12]
        assert symbol[:, 7].nonzero().flatten().tolist() == [16, 20]
        assert not goal[:-3].any() and len(symbol) == 24


def test_recall_asks_for_each_item_but_the_last() -> None:
    symbol, _ = drawn("recall", 3, 300)
    asked = [next(k for k in range(3) if torch.equal(row[4 * k + 1 : 4 * k + 4, :6], row[13:16, :6])) for row in symbol]
    assert set(asked) == {0, 1}


def test_parity_is_that_of_the_bits_so_far() -> None:
    assert odd("01101") == [[0], [1], [0], [0], [1]]
    symbol, goal = drawn("parity", 9)
    ones = symbol[..., 1].cumsum(1) % 2
    assert torch.equal((goal[..., 0] > 0).long(), ones.long())
    assert torch.equal(symbol.sum(-1), torch.ones(40, 9)), "one sign a step"


def test_counting_tells_what_may_follow_in_the_language() -> None:
    """Against all words: a sign may follow where some word goes on with it."""
    words = ["a" * n + "b" * n + "c" * n + "$" for n in range(1, 9)]
    for n in (1, 2, 3):
        word = "a" * n + "b" * n + "c" * n
        for place, bits in enumerate(follows(word), 1):
            may = {other[place] for other in words if other.startswith(word[:place])}
            assert bits == [int(sign in may) for sign in "abc$"], (word, place)
    symbol, goal = drawn("counting", 3, 2)
    assert symbol.argmax(-1)[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert torch.equal(symbol[0], symbol[1]) and (goal[0] > 0).tolist()[-1] == [False, False, False, True]


def balanced(word: str) -> bool:
    """By taking out pairs."""
    while (less := word.replace("()", "").replace("[]", "")) != word:
        word = less
    return not word


@pytest.mark.parametrize("kinds", [1, 2])
def test_dyck_words_are_balanced_and_all_as_likely(kinds: int) -> None:
    rng = keyed("dyck")
    signs = "()[]"[: 2 * kinds]
    every = {"".join(word) for word in itertools.product(signs, repeat=6) if balanced("".join(word))}
    found = Counter(dyck(rng, 6, kinds) for _ in range(200 * len(every)))
    assert set(found) == every, "5 or 40 words"
    assert all(120 < count < 290 for count in found.values())
    assert all(balanced(dyck(rng, 40, kinds)) for _ in range(50))


def test_brackets_tell_which_may_close() -> None:
    """Against brute force: a bracket may close where what is then open can still be closed."""

    def may(prefix: str) -> bool:
        rest = prefix
        while (less := rest.replace("()", "").replace("[]", "")) != rest:
            rest = less
        return not set(rest) & set(")]")

    for word in (dyck(keyed("words", k), 10, 2) for k in range(20)):
        for place, bits in enumerate(closes(word, 2), 1):
            assert bits == [int(may(word[:place] + sign)) for sign in ")]"]
    with pytest.raises(ValueError, match=re.escape("] at place 3, which closes nothing")):
        closes("((]", 2)


@pytest.mark.parametrize("task", TASKS)
def test_strings_are_pure_and_of_their_lengths(task: str) -> None:
    longest = 6
    data, again, other = (system.prepare(knobs(task=task, longest=longest, tested=(4, 8)), PLACE._replace(seed=seed))
                          for seed in (0, 0, 1))  # fmt: skip
    for split in range(3):
        mine, same = (next(one[split].sweep(1000)) for one in (data, again))
        assert all(torch.equal(a, b) for a, b in zip(mine, same, strict=True))
    if task != "counting":
        assert not torch.equal(next(data.test.sweep(99)).symbol, next(other.test.sweep(99)).symbol)
    if task in ("copy", "recall"):
        train, valid = ({row.tobytes() for row in next(part.sweep(1000)).symbol.numpy()} for part in data[:2])
        assert len(valid) == HELD and not train & valid
    spans = data.train.columns[0].length.unique()
    first, step = TASKS[task].first, TASKS[task].step
    assert len(spans) == len(range(first, longest + 1, step))
    assert data.test.columns[0].length.max() > spans.max()
    assert len(data.test) == (8 if task == "counting" else HELD)
    assert data.facts["inputs"] == mine.symbol.shape[2] and data.facts["outputs"] == mine.goal.shape[2]
    assert set(mine.goal.unique().tolist()) <= {-1, 0, 1} and set(mine.symbol.unique().tolist()) == {0, 1}


def test_short_strings_may_be_more_frequent() -> None:
    for short, want in ((0.0, {1: 40, 2: 40, 3: 40, 4: 40}), (1.0, {1: 77, 2: 38, 3: 26, 4: 19})):
        train = system.prepare(knobs(task="parity", examples=160, short=short), PLACE).train
        assert Counter(train.columns[0].length.tolist()) == want


def test_lengths_that_there_are_not() -> None:
    with pytest.raises(UserError, match="lengths for dyck2 from 2, in steps of 2, got 5"):
        system.prepare(knobs(task="dyck2", tested=(4, 5)), PLACE)
    with pytest.raises(UserError, match="lengths for recall from 2, got 1"):
        system.prepare(knobs(task="recall", tested=(1, 4)), PLACE)
    with pytest.raises(UserError, match="no --data: memory makes its own strings"):
        system.prepare(knobs(), PLACE._replace(choice=Choice("digits")))


# What is counted


class Says(torch.nn.Module):
    """A net that says what it is told, whatever it reads."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, symbol: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_loss_and_error_count_what_is_asked() -> None:
    goal = torch.tensor([[[0, 0], [1, -1], [1, 1]]], dtype=torch.int8)
    batch = Tape(torch.zeros(1, 3, 4, dtype=torch.int8), goal)
    terms = loss_of(Says(torch.tensor([[[9.0, -9.0], [2.0, 3.0], [0.0, 1.0]]])), batch)
    assert float(terms["error"]) == 50, "3 says 1 for a 0, and 0 decides nothing: 2 of 4"
    chances = torch.tensor([2.0, -3.0, 0.0, 1.0]).sigmoid()
    assert float(terms["loss"]) == pytest.approx(float(-chances.log().mean()))
    blind = loss_of(Says(torch.full((1, 3, 2), 0.0)), batch)
    assert float(blind["loss"]) == pytest.approx(0.6931, abs=1e-4)


def test_the_price_is_the_entropy_of_where_the_heads_are() -> None:
    """Of the steps up to the last that is asked: padding costs nothing."""

    class Looks(torch.nn.Module):
        def run(self, symbol: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            weight = torch.zeros(1, 4, 2, 8)
            weight[:, :, :, 0] = 1  # one row
            weight[:, 0] = 1 / 8  # both heads, in the first step: all rows
            weight[:, 3] = 1 / 8  # after the end
            return torch.zeros(1, 4, 1), weight

    net: Any = Looks()
    batch = Tape(torch.zeros(1, 4, 2, dtype=torch.int8), torch.tensor([[[0], [1], [-1], [0]]], dtype=torch.int8))
    terms = priced(net, batch, 0.5)
    assert float(terms["entropy"]) == pytest.approx(math.log(8) / 3, abs=1e-3)
    assert float(terms["loss"]) == pytest.approx(0.6931 + 0.5 * float(terms["entropy"]), abs=1e-3)


def test_wrong_bits_of_a_string_at_each_length() -> None:
    class Ones(torch.nn.Module):
        def forward(self, symbol: torch.Tensor) -> torch.Tensor:
            return torch.ones(*symbol.shape[:2], 8)

    net = Ones()
    facts = system.prepare(knobs(), PLACE).facts
    for length, (wrong, bits) in zip((4, 6), lengths(net, facts, PLACE, "test"), strict=True):
        goal = next(measured("copy", PLACE, "test", length).sweep(HELD)).goal
        assert bits == 8 * length
        assert wrong.tolist() == [int((row < 0).sum()) for row in goal]
    data = system.prepare(knobs(beside="nothing"), PLACE)
    model = system.build(knobs(beside="nothing"), data.facts)
    model.of["memory"] = net
    scores = system.score(knobs(beside="nothing"), model, data, PLACE)
    assert list(scores) == ["bit_error", "error", "bit_error_4"]
    assert scores["bit_error"].value == pytest.approx(float(wrong.double().mean()))
    assert scores["bit_error"].low < scores["bit_error"].value < scores["bit_error"].high
    assert scores["error"].value == 100 and scores["bit_error"].over == HELD
    assert "6 vectors" in scores["bit_error"].data and "of 48" in scores["bit_error"].note


@pytest.mark.parametrize("task", TASKS)
def test_padding_changes_no_answer_and_no_error(task: str) -> None:
    settings = knobs(task=task, beside="both")
    data = system.prepare(settings, PLACE)
    torch.manual_seed(0)
    model = system.build(settings, data.facts).eval()
    assert list(model.of) == ["memory", "lstm", "transformer"]
    batch = next(data.valid.sweep(5))
    padded = Tape(F.pad(batch.symbol, (0, 0, 0, 3)), F.pad(batch.goal, (0, 0, 0, 3)))
    with torch.no_grad():
        for net in model.of.values():
            assert torch.allclose(net(padded.symbol)[:, : batch.symbol.shape[1]], net(batch.symbol), atol=1e-5)
            for name, value in loss_of(net, batch).items():
                assert float(value) == pytest.approx(float(loss_of(net, padded)[name]), rel=1e-4)


# What `use` takes

TEXTS = {
    "copy": ("01101010 1111 0000", "01101010 11110000"),
    "recall": ("010101 001100 111000, 000000000000000001, 111111111111111111 ? 010101001100111000",
               "000000 000000 000001"),
    "parity": ("0110 1", "0 1 0 0 1"),
    "counting": ("aabbcc", "ab ab b c c $"),
    "dyck1": ("(())", ") ) ) ."),
    "dyck2": ("([])[", ") ] ) . ]"),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_use_says_what_each_net_says_beside_the_truth(task: str) -> None:
    settings = knobs(task=task, beside="both")
    data = system.prepare(settings, PLACE)
    torch.manual_seed(0)
    model = system.build(settings, data.facts).eval()
    typed, truth = TEXTS[task]
    with torch.no_grad():
        answer, other = system.use(model, data.facts, [Text(typed), Text(typed)])
    assert answer["truth"].text == truth
    assert len(answer["answer"].text.split()) == len(truth.split())
    assert list(answer) == ["answer", "truth", "wrong", "lstm", "transformer", "target_and_said", "written", "read"]
    time = TASKS[task].read("".join(typed.split())).symbol.shape[1]
    assert answer["written"].values.shape[1] == answer["read"].values.shape[1] == time
    assert answer["answer"] == other["answer"]
    batch = system.read(data.facts, [Text(typed), Text(typed)])
    assert torch.equal(batch.symbol[0], batch.symbol[1])


def test_pictures_show_the_rows_that_were_used() -> None:
    """Heads that go backwards from row 0 come to the last rows: these stand before it."""
    model = system.build(knobs(beside="nothing"), system.prepare(knobs(beside="nothing"), PLACE).facts).of["memory"]
    batch = TASKS["copy"].read("01101010" * 2)

    def run(symbol: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weight = torch.zeros(1, 5, 2, 9)
        for step, row in enumerate((0, 8, 7, 6, 6)):
            weight[0, step, 0, row] = weight[0, step, 1, (row + 1) % 9] = 1
        return torch.ones(1, 5, 8), weight

    model.run = run
    found = pictures(model, batch)
    assert list(found["written"].rows) == list(found["read"].rows) == ["6", "7", "8", "0", "1"]
    assert found["written"].values.argmax(0).tolist() == [3, 2, 1, 0, 0]
    assert found["read"].values.argmax(0).tolist() == [4, 3, 2, 1, 1]
    assert found["target_and_said"].values.shape == (16, 2)
    assert found["target_and_said"].values[:8, 0].tolist() == [0, 1, 1, 0, 1, 0, 1, 0]


def test_read_pads_to_the_longest() -> None:
    facts = system.prepare(knobs(task="parity"), PLACE).facts
    batch = system.read(facts, [Text("011"), Text("1")])
    assert batch.goal[..., 0].tolist() == [[-1, 1, -1], [1, 0, 0]]


BAD = {
    "copy": (["", "0110", "01101012", "0" * 8 * 501, "²" * 8], "1 to 500 vectors, each of 8 digits 0 and 1"),
    "recall": (["", "01,10?01", "0" * 18 + "," + "1" * 18, "0" * 18 + "?" + "0" * 18 + "?",
                ",".join(["0" * 18] * 251) + "?" + "0" * 18], "items of 18 digits 0 and 1, commas between them"),
    "parity": (["", "012", "1" * 1001, "٠١"], "a string of 1 to 1,000 digits 0 and 1"),
    "counting": (["", "b", "aabbb", "aabcc", "aabbccc", "aba", "abcd", "a" * 1001],
                 "the beginning of a word a...ab...bc...c of equally many"),
    "dyck1": (["", "[]", "(" * 1001, "()a"], "brackets ( ), each closed by its own kind"),
    "dyck2": (["", "(])", "())", "{}"], "brackets ( ) [ ], each closed by its own kind"),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_what_is_no_string_of_the_task_is_refused(task: str) -> None:
    facts = system.prepare(knobs(task=task), PLACE).facts
    for text in BAD[task][0]:
        with pytest.raises(UserError, match=re.escape(BAD[task][1])):
            system.read(facts, [Text(text)])


def test_what_is_asked_for_must_stand_once_and_before_another() -> None:
    facts = system.prepare(knobs(task="recall"), PLACE).facts
    first, second = "0" * 18, "1" * 18
    for text, got in ((f"{first},{second}?{second}", "another, or the last"),
                      (f"{first},{second},{first}?{second}", "the same item twice"),
                      (f"{first}?{first}", "another, or the last")):  # fmt: skip
        with pytest.raises(UserError, match=f"one of the items before the last, all of them different, got {got}"):
            system.read(facts, [Text(text)])
    with pytest.raises(UserError, match=re.escape(") at place 3, which closes nothing")):
        system.read(system.prepare(knobs(task="dyck2"), PLACE).facts, [Text("[])")])
