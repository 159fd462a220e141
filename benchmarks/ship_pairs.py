"""Makes the sentence pairs that ship in milestones/data: numbers and dates in eight languages, dates in ten locales
beside their ISO form, and verses. Needs the extra `text`; the verses are taken from MILESTONES_DATA.

    python benchmarks/ship_pairs.py
"""

from __future__ import annotations

import datetime
import gzip
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from babel.dates import format_date, get_month_names
from num2words import num2words

from milestones.core.source import keyed
from milestones.data.phrases import Kind, Part, sentences

FOLDER = Path(__file__).parents[1] / "milestones" / "data"
PARTS: tuple[Part, ...] = ("train", "valid", "test")
LANGUAGES = ("de", "es", "fr", "it", "nl", "pt", "sv")
COUNTS = {"train": 16_000, "valid": 1_200, "test": 1_200}  # drawn; sentences drawn twice are kept once
COMMA = {"de": "Komma", "es": "coma", "fr": "virgule", "it": "virgola", "nl": "komma", "pt": "vírgula", "sv": "komma"}
LOCALES = ("de_DE", "en_GB", "en_US", "es_ES", "fr_FR", "it_IT", "nl_NL", "pl_PL", "pt_BR", "sv_SE")
DATES = {"train": 20_000, "valid": 1_000, "test": 1_000}


def number(n: int, language: str) -> str:
    """A whole number in words."""
    text = num2words(n, lang=language)
    if language == "es":  # before a noun, and thousand is one, uno is shortened
        text = re.sub(r"veintiuno mil\b", "veintiún mil", text)
        text = re.sub(r"\buno mil\b", "un mil", text)
    if language == "sv":
        text = text.replace("etttusen", "ettusen")
    return text


def year(n: int, language: str) -> str:
    """A year from 1900 to 2099 in words, as dates have it."""
    if language == "sv":
        rest = n % 100
        return f"nittonhundra{number(rest, 'sv') if rest else ''}" if n < 2000 else number(n, "sv")
    return num2words(n, lang=language, to="year").replace(" honderd ", "honderd").replace(" honderd", "honderd")


def day(month: int, n: int, language: str) -> str:
    """A day of the year in words."""
    name = get_month_names("wide", locale=language)[month]
    first = {"es": "primero", "fr": "premier", "it": "primo", "pt": "primeiro"}.get(language, "")
    said = first if n == 1 and first else number(n, language)
    ordinal = num2words(n, lang=language, to="ordinal")
    article = "l'" if said in ("otto", "undici") else "il "
    return {
        "de": f"der {ordinal} {name}", "es": f"el {said} de {name}", "fr": f"le {said} {name}",
        "it": f"{article}{said} {name}", "nl": f"{said} {name}", "pt": f"{said} de {name}",
        "sv": f"den {ordinal} {name}",
    }[language]  # fmt: skip


def time(hour: int, minute: int, language: str) -> str:
    """A time on a dial of twelve hours in words, in one way for each: hours, then minutes."""
    said = number(hour, language)
    if hour == 1:
        said = {"de": "ein", "es": "una", "fr": "une", "it": "una", "pt": "uma"}.get(language, said)
    if hour == 2 and language == "pt":
        said = "duas"
    rest = number(minute, language) if minute else ""
    und = f" {rest}" if rest else ""
    return {
        "de": f"{said} Uhr{und}",
        "es": f"{'la' if hour == 1 else 'las'} {said}" + (f" y {rest}" if rest else ""),
        "fr": f"{said} heure{'s' * (hour > 1)}{und}",
        "it": ("l'una" if hour == 1 else f"le {said}") + (f" e {rest}" if rest else ""),
        "nl": f"{said} uur{und}",
        "pt": f"{said} hora{'s' * (hour > 1)}" + (f" e {rest}" if rest else ""),
        "sv": f"klockan {said}{und}",
    }[language]


def words(kind: Kind, value: str, language: str) -> str:
    """The words of a meaning (see data/phrases.py) in a language."""
    if kind == "number":
        return number(int(value), language)
    if kind == "decimal":
        whole, _, digits = value.partition(".")
        return " ".join([number(int(whole), language), COMMA[language], *(number(int(d), language) for d in digits)])
    if kind == "time":
        hour, minute = map(int, value.split(":"))
        return time(hour, minute, language)
    *years, month, n = map(int, value.split("-"))
    said = day(month, n, language)
    between = " de " if language in ("es", "pt") else " "
    return said + (between + year(years[0], language) if years else "")


def write(name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of tab-separated columns, compressed: the same bytes from the same rows."""
    lines = ["\t".join(row) for row in (head, *rows)]
    path = FOLDER / f"{name}.tsv.gz"
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(("\n".join(lines) + "\n").encode())
    print(f"{path.name}: {len(lines) - 1:,} rows, {path.stat().st_size / 1e6:.2f} MB")


def numbers() -> None:
    rows = []
    for part in PARTS:
        drawn = dict.fromkeys(sentences(COUNTS[part], part, keyed("numbers", part)))
        rows += [(part, one.text, *(words(one.kind, one.value, code) for code in LANGUAGES)) for one in drawn]
    write("numbers", ("split", "en", *LANGUAGES), rows)


def dates() -> None:
    """Each day from 1900 to 2099 belongs to one part; ways of writing that do not say which number is the month are
    left out."""
    first = datetime.date(1900, 1, 1)
    order = keyed("dates")
    import torch

    every = torch.randperm((datetime.date(2099, 12, 31) - first).days + 1, generator=order).tolist()
    rows, at = [], 0
    for part in PARTS:
        for k in every[at : at + DATES[part]]:
            when = first + datetime.timedelta(k)
            draw = torch.randint(0, 1000, (3,), generator=order).tolist()
            locale = LOCALES[draw[0] % len(LOCALES)]
            text = format_date(when, ("full", "long", "medium")[draw[1] % 3], locale=locale)
            rows.append((part, text.lower() if draw[2] % 4 == 0 else text, when.isoformat()))
        at += DATES[part]
    write("dates", ("split", "source", "target"), rows)


# Books told twice (Kings and Chronicles, the Gospels, psalms) stand in training with their twins.
BOOKS = {
    "valid": ("Ruth", "Song of Solomon", "Zechariah", "I John"),
    "test": ("Esther", "Ecclesiastes", "Amos", "James"),
}


# The source has titles of last psalms at the end of 9,980 verses that have none.
STRAY = re.compile("(?:^| )(?:<title|This Psalm is a genuine one of David|A praise psalm by David\\.$).*")


def verses() -> None:
    source = Path(os.environ["MILESTONES_DATA"]) / "verses.en-es.tsv.gz"
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    part_of = {book: part for part, books in BOOKS.items() for book in books}
    rows = []
    for line in lines:
        reference, english, spanish = line.split("\t")
        part = part_of.get(reference.rsplit(" ", 1)[0], "train")
        if english := STRAY.sub("", english).strip():  # three verses are in the Spanish Bible alone
            rows.append((part, english, spanish.strip()))
    assert {row[0] for row in rows} == set(PARTS)
    rows, gone = apart(rows)
    print(f"verses of training that are like one of valid or test, left out: {gone}")
    write("verses", ("split", "en", "es"), rows)


def apart(rows: list[tuple[str, str, str]], alike: float = 0.6) -> tuple[list[tuple[str, str, str]], int]:
    """The rows without those of training that share `alike` of their words, and three in a row, with one held out."""
    sets = [frozenset(re.findall(r"\w+", row[1].lower())) for row in rows]
    held = [k for k, row in enumerate(rows) if row[0] != "train"]
    where: dict[tuple[str, ...], list[int]] = {}
    for k in held:
        said = re.findall(r"\w+", rows[k][1].lower())
        for three in zip(said, said[1:], said[2:], strict=False):
            where.setdefault(three, []).append(k)
    kept, gone = [], 0
    for k, row in enumerate(rows):
        said = re.findall(r"\w+", row[1].lower())
        near = {j for three in zip(said, said[1:], said[2:], strict=False) for j in where.get(three, ())}
        twin = row[0] == "train" and any(len(sets[k] & sets[j]) >= alike * len(sets[k] | sets[j]) for j in near)
        gone += twin
        if not twin:
            kept.append(row)
    return kept, gone


if __name__ == "__main__":
    numbers()
    dates()
    verses()
