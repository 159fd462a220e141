"""Numbers, dates and times in words: against num2words, the calendar, and what each part promises."""

from __future__ import annotations

import datetime
from collections import Counter

import pytest
from num2words import num2words

from milestones.core.source import keyed
from milestones.data import phrases


def plain(text: str) -> str:
    """Another library's words without hyphens and commas."""
    return text.replace("-", " ").replace(",", "")


def test_numbers_are_those_of_num2words() -> None:
    for n in [*range(1200), 1999, 2000, 2005, 9999, 10_000, 12_345, 100_000, 200_013, 470_900, 999_999]:
        assert phrases.number_words(n) == plain(num2words(n))


def test_ranks_are_those_of_num2words() -> None:
    for n in range(1, 100):
        assert phrases.ordinal_words(n) == plain(num2words(n, to="ordinal"))


def test_years_are_those_of_num2words() -> None:
    for year in range(1900, 2100):
        assert phrases.year_words(year) == plain(num2words(year, to="year"))


@pytest.mark.parametrize("text", ["0.5", "42.05", "7.10", "999.99"])
def test_decimals_keep_each_digit(text: str) -> None:
    whole, digits = text.split(".")
    said = phrases.decimal_words(text)
    assert said == f"{phrases.number_words(int(whole))} point " + " ".join(phrases.SMALL[int(d)] for d in digits)
    assert said.split(" point ")[1].count(" ") == len(digits) - 1


@pytest.mark.parametrize(("hour", "minute", "said"), [
    (7, 0, "seven o'clock"), (7, 5, "seven oh five"), (12, 15, "quarter past twelve"), (7, 30, "half past seven"),
    (7, 45, "quarter to eight"), (12, 45, "quarter to one"), (11, 45, "quarter to twelve"), (7, 42, "seven forty two"),
])  # fmt: skip
def test_times(hour: int, minute: int, said: str) -> None:
    assert phrases.time_words(hour, minute) == said


def test_two_meanings_never_sound_alike() -> None:
    times = {phrases.time_words(h, m) for h in range(1, 13) for m in range(60)}
    numbers = {phrases.number_words(n) for n in range(10_000)}
    days = {phrases.day_words(d.month, d.day) for d in (phrases.CYCLE + datetime.timedelta(k) for k in range(366))}
    dates = {phrases.words_of("date", f"{year}-03-03") for year in range(1900, 2100)}
    assert [len(times), len(numbers), len(days), len(dates)] == [720, 10_000, 366, 200]
    assert len(times | numbers | days | dates) == 720 + 10_000 + 366 + 200


def test_sentences_are_drawn_from_the_generator_alone_and_mean_what_they_say() -> None:
    drawn = [phrases.sentence(keyed("a", k)) for k in range(600)]
    assert drawn == [phrases.sentence(keyed("a", k)) for k in range(600)]
    assert set(phrases.vocabulary()) >= {word for phrase in drawn for word in phrase.text.split()}
    assert {phrase.kind for phrase in drawn} == set(phrases.KINDS)
    for phrase in drawn:
        assert phrase.text == phrases.words_of(phrase.kind, phrase.value)
        if phrase.kind == "date":
            assert 1900 <= datetime.date.fromisoformat(phrase.value).year <= 2099


def test_each_meaning_belongs_to_one_part() -> None:
    drawn = {part: phrases.sentences(400, part, keyed("b", part)) for part in ("train", "valid", "test")}
    held = [{(p.kind, p.value) for p in drawn[part]} for part in ("train", "valid", "test")]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    shares = Counter(phrases.part(phrases.sentence(keyed("c", k))) for k in range(3000))
    assert 0.07 < shares["valid"] / 3000 < 0.11 and 0.07 < shares["test"] / 3000 < 0.11
    small = [phrases.Phrase("number", str(n), phrases.number_words(n)) for n in range(101)]
    assert {phrases.part(phrase) for phrase in small} == {"train"}


def test_each_word_is_in_training() -> None:
    heard = {word for phrase in phrases.sentences(4000, "train", keyed("d")) for word in phrase.text.split()}
    assert heard == set(phrases.vocabulary())
