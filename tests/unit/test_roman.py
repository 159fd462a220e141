"""roman: numerals against an independent reading, disjoint sums, equal nets, and what `use` refuses."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.media import Text, history, read
from milestones.systems import roman
from milestones.systems.roman import STYLES, Adders, Knobs, numeral, parsed, system, texts

LETTERS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
USUAL = re.compile(r"M*(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
PLACE = Place(torch.device("cpu"), 0)


def value(text: str) -> int:
    """What a Roman numeral is worth: a letter before a larger one is taken away."""
    worth = [LETTERS[letter] for letter in text]
    return sum(-w if w < max([0, *worth[i + 1 :]]) else w for i, w in enumerate(worth))


def data(**settings: Any) -> Any:
    return system.prepare(changed(Knobs(), {"largest": 60, "examples": 400, **settings}, "roman"), PLACE)


def test_numerals_against_their_value() -> None:
    for n in range(1, 4000):
        usual, older = numeral(n, "roman"), numeral(n, "roman", subtractive=False)
        assert value(usual) == value(older) == n
        assert USUAL.fullmatch(usual)
        assert sorted(older, key="MDCLXVI".index) == list(older), "the older way is sorted and takes nothing away"
    assert numeral(1949, "roman") == "MCMXLIX"
    assert numeral(1949, "roman", subtractive=False) == "MDCCCCXXXXVIIII"
    assert numeral(49, "arabic") == "49"


@pytest.mark.parametrize("align", ["left", "right"])
@pytest.mark.parametrize("subtractive", [True, False])
def test_sums_are_true_and_the_same_in_both_styles(align: str, subtractive: bool) -> None:
    found = data(align=align, subtractive=subtractive)
    batch = next(found.test.sweep(50))
    for i, (a, b) in enumerate(zip(texts(batch.roman), texts(batch.arabic), strict=True)):
        numbers = [int(n) for n in b.split("+")]
        assert [value(n) for n in a.split("+")] == numbers
        assert value(texts(batch.roman_sum)[i]) == int(texts(batch.arabic_sum)[i]) == sum(numbers)
    blank = roman.SIGNS.index(" ")
    assert (batch.arabic[:, 0 if align == "left" else -1] != blank).all()
    assert (batch.arabic[:, -1 if align == "left" else 0] == blank).any(), "one digit is shorter than a frame"


def test_no_pair_is_in_two_sets_in_either_order() -> None:
    found = data()
    sets = []
    for source in found[:3]:
        tasks = texts(next(source.sweep(len(source))).arabic)
        pairs = [tuple(sorted(map(int, task.split("+")))) for task in tasks]
        assert len(set(pairs)) == len(pairs)
        assert min(map(min, pairs)) >= 1
        assert max(map(max, pairs)) <= 60
        sets.append(set(pairs))
    assert [len(s) for s in sets] == [400, 228, 228]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]
    orders = [int(a) < int(b) for a, b in (t.split("+") for t in texts(next(found.train.sweep(400)).arabic))]
    assert 120 < sum(orders) < 280, "both orders come"


def test_every_pair_can_be_drawn() -> None:
    found = data(largest=9, examples=10_000)
    drawn = [texts(next(source.sweep(len(source))).arabic) for source in found[:3]]
    pairs = {tuple(sorted(map(int, task.split("+")))) for part in drawn for task in part}
    assert pairs == {(a, b) for b in range(1, 10) for a in range(1, b + 1)}


def test_both_nets_are_equal_at_first_and_apart() -> None:
    torch.manual_seed(0)
    model = Adders(9, 5, 16)
    one, two = (list(model.of[style].parameters()) for style in STYLES)
    assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in zip(one, two, strict=True))


def test_loss_of_a_net_that_knows_and_of_one_that_guesses() -> None:
    batch = next(data().train.sweep(20))

    class Knows(torch.nn.Module):
        def forward(self, signs: torch.Tensor) -> torch.Tensor:
            scores = 50.0 * torch.nn.functional.one_hot(batch.roman_sum, len(roman.SIGNS)).float()
            scores[0, -1] = 0.0  # of one sum, one sign is unknown
            return scores

    found = roman.loss_in("roman", Knows(), batch)
    assert float(found["error"]) == 5.0
    signs = batch.roman_sum.numel()
    assert float(found["loss"]) == pytest.approx(math.log(len(roman.SIGNS)) / signs, rel=1e-4)


def test_parsed() -> None:
    facts = data().facts
    assert parsed(facts, "XIV + xxviii") == ("roman", [14, 28])
    assert parsed(facts, "14+28") == ("arabic", [14, 28])
    older = data(subtractive=False).facts
    assert parsed(older, "XIIII+I") == ("roman", [14, 1])


@pytest.mark.parametrize("text", ["IIV + X", "XIV + 28", "61 + 1", "0 + 1", "LXI + I", "X", "X + X + X", "", "A + B",
                                  "014 + 2", "-3 + 4", "X - I", "XIV +", "+" * 100_000])  # fmt: skip
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"roman: expected two numbers from .* in (Roman|Arabic) numerals, as"):
        parsed(data().facts, text)
    with pytest.raises(UserError, match=r"XIV.* VIII"):
        parsed(data().facts, "IIV + X")


def test_use_answers_in_the_style_of_the_question() -> None:
    facts = data().facts
    model = system.build(changed(Knobs(), {"hidden": 4}, "roman"), facts)
    with torch.inference_mode():
        answers = system.use(model, facts, [Text("XL+II"), Text("40 + 2")])
    assert [answer["true sum"].text for answer in answers] == ["XLII (42)", "42 (XLII)"]
    assert all(answer["right"].text == "no" for answer in answers)


def test_own_data_is_refused() -> None:
    with pytest.raises(UserError, match="no --data: roman makes its own sums"):
        system.prepare(Knobs(), PLACE._replace(choice=Choice("digits")))


def test_words_and_text_files_are_read_where_a_page_takes_text(tmp_path: Path) -> None:
    assert read("XIV + II", (Text,)) == [Text("XIV + II")]
    assert read("x" * 100_000, (Text,)) == [Text("x" * 100_000)]
    assert read("a\0b", (Text,)) == [Text("a\0b")]
    (tmp_path / "a.txt").write_text("1+2\n\n  3+4  \n")
    assert read(tmp_path / "a.txt", (Text,)) == [Text("1+2"), Text("3+4")]
    with pytest.raises(UserError, match="a file or a folder"):
        read("XIV + II")
    with pytest.raises(UserError, match="of another kind"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(UserError, match="a text with at least one line"):
        read(tmp_path / "a.txt", (Text,))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=r"text in UTF-8, got byte 0xff in .*a\.txt line 1, byte 1\. Save it as UTF-8"):
        read(tmp_path / "a.txt", (Text,))
    (tmp_path / "b.txt").symlink_to(tmp_path / "none")
    with pytest.raises(UserError, match="a text that can be read"):
        read(tmp_path / "b.txt", (Text,))


def test_history_of_two_stages(tmp_path: Path) -> None:
    log = ['{"stage": "a", "step": 2, "seconds": 0, "loss": 1.0, "valid_error": 30}',
           '{"stage": "a", "step": 3, "seconds": 0, "loss": 1.0}',
           '{"stage": "a", "step": 4, "seconds": 0, "loss": 1.0, "valid_error": 20}',
           '{"stage": "b", "step": 2, "seconds": 0, "loss": 1.0, "valid_error": 10}']  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(log) + "\n")
    curve = history(tmp_path, {"A": "a", "B": "b"}, "valid_error", "updates", "%")
    assert (list(curve.x), dict(curve.lines)) == ([2], {"A": [30], "B": [10]}), "where both have a value"
    assert list(history(tmp_path / "none", {"A": "a"}, "valid_error", "", "").x) == []
