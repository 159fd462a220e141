"""Numbers, dates and times of day in English words, each with its meaning: what the spoken corpus says and what the
translator translates, so that both work on one small world of 73 words.

Sentences are drawn from keyed randomness and never stored. A sentence belongs to training, validation or test by its
meaning alone (`part`), whoever draws it: what the recogniser hears in its test, the translator has not seen either.
"""

from __future__ import annotations

import datetime
from typing import Literal, NamedTuple

import torch

from ..core.source import key

Kind = Literal["number", "decimal", "date", "day", "time"]
Part = Literal["train", "valid", "test"]

SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
MONTHS = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
]  # fmt: skip
LINKS = ["hundred", "thousand", "and", "point", "the", "of", "oh", "o'clock", "quarter", "half", "past", "to"]
RANKS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
         "twelve": "twelfth"}  # fmt: skip
LARGEST = 999_999
YEARS = (1900, 2099)
ALWAYS = 100  # numbers to this one are in training: each word is heard there in some place
CYCLE = datetime.date(2000, 1, 1)  # a leap year, of which a day without a year is drawn


class Phrase(NamedTuple):
    """A sentence and what it means.

    `value` by `kind`: number "4207", decimal "42.5", date "1984-03-03", day "03-03" (month and day), time "07:30"
    (twelve hours, 1 to 12).
    """

    kind: Kind
    value: str
    text: str


def number_words(n: int) -> str:
    """A whole number from 0 to 999,999 as it is said: "four thousand two hundred and seven"."""
    assert 0 <= n <= LARGEST, n
    if n < 20:
        return SMALL[n]
    if n < 100:
        return TENS[n // 10] + (f" {SMALL[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{SMALL[n // 100]} hundred" + (f" and {number_words(n % 100)}" if n % 100 else "")
    rest = n % 1000
    joined = "" if not rest else f" and {number_words(rest)}" if rest < 100 else f" {number_words(rest)}"
    return f"{number_words(n // 1000)} thousand{joined}"


def decimal_words(text: str) -> str:
    """A decimal fraction, given in digits: "42.05" is "forty two point zero five"."""
    whole, _, digits = text.partition(".")
    return f"{number_words(int(whole))} point {' '.join(SMALL[int(d)] for d in digits)}"


def ordinal_words(n: int) -> str:
    """The rank of a number from 1 to 99: "twenty third"."""
    *before, last = number_words(n).split()
    ranked = RANKS.get(last, f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*before, ranked])


def year_words(year: int) -> str:
    """A year from 1900 to 2099 as it is said: "nineteen oh five", "two thousand and nine", "twenty twelve"."""
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return number_words(year)
    said = "hundred" if not rest else f"oh {SMALL[rest]}" if rest < 10 else number_words(rest)
    return f"{number_words(century)} {said}"


def day_words(month: int, day: int) -> str:
    """A day of a year: "the third of march"."""
    return f"the {ordinal_words(day)} of {MONTHS[month - 1]}"


def time_words(hour: int, minute: int) -> str:
    """A time on the dial of twelve hours: "seven o'clock", "quarter past seven", "seven oh five", "seven forty two"."""
    past = {0: f"{SMALL[hour]} o'clock", 15: f"quarter past {SMALL[hour]}", 30: f"half past {SMALL[hour]}",
            45: f"quarter to {SMALL[hour % 12 + 1]}"}  # fmt: skip
    return past.get(minute) or f"{SMALL[hour]} {'oh ' if minute < 10 else ''}{number_words(minute)}"


def words_of(kind: Kind, value: str) -> str:
    """The English words of a meaning (see Phrase)."""
    if kind == "number":
        return number_words(int(value))
    if kind == "decimal":
        return decimal_words(value)
    if kind == "time":
        hour, minute = map(int, value.split(":"))
        return time_words(hour, minute)
    *year, month, day = map(int, value.split("-"))
    return day_words(month, day) + (f" {year_words(year[0])}" if year else "")


KINDS: tuple[Kind, ...] = ("number", "number", "number", "decimal", "decimal", "date", "date", "date", "day", "time")


def sentence(rng: torch.Generator) -> Phrase:
    """One sentence drawn at random, of any part: three in ten are numbers (few digits as often as many), two decimals,
    three dates, one a day and one a time."""

    def draw(n: int) -> int:
        return int(torch.randint(n, (1,), generator=rng))

    kind = KINDS[draw(len(KINDS))]
    if kind == "time":
        hour, minute = 1 + draw(12), (0, 15, 30, 45)[draw(4)] if draw(2) else draw(60)
        value = f"{hour:02d}:{minute:02d}"
    elif kind == "day":
        value = (CYCLE + datetime.timedelta(draw(366))).isoformat()[5:]
    elif kind == "date":
        first, last = (datetime.date(YEARS[0], 1, 1), datetime.date(YEARS[1], 12, 31))
        value = (first + datetime.timedelta(draw((last - first).days + 1))).isoformat()
    else:
        digits = 1 + draw(6 if kind == "number" else 3)
        whole = draw(10) if digits == 1 else 10 ** (digits - 1) + draw(9 * 10 ** (digits - 1))
        value = str(whole)
        if kind == "decimal":
            value += "." + "".join(str(draw(10)) for _ in range(1 + draw(2)))
    return Phrase(kind, value, words_of(kind, value))


def part(phrase: Phrase) -> Part:
    """The part that a sentence belongs to, by its meaning: one in ten is for validation, one in ten for test. Numbers
    to a hundred are all in training."""
    if phrase.kind == "number" and int(phrase.value) <= ALWAYS:
        return "train"
    return {0: "valid", 1: "test"}.get(key("phrases", phrase.kind, phrase.value) % 10, "train")


def sentences(count: int, of: Part, rng: torch.Generator) -> list[Phrase]:
    """So many sentences of one part, in the order in which they were drawn; short ones come more than once."""
    found: list[Phrase] = []
    while len(found) < count:
        phrase = sentence(rng)
        if part(phrase) == of:
            found.append(phrase)
    return found


def vocabulary() -> list[str]:
    """All words that sentences consist of, sorted."""
    words = {*SMALL, *TENS[2:], *MONTHS, *LINKS}
    return sorted(words | {ordinal_words(n).split()[-1] for n in range(1, 32)})
