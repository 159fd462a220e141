"""Reading sentence pairs: every form of file, every fault in it, splits, and the embedded sets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data.kinds import kind
from milestones.data.look import look
from milestones.data.pairing import PAIRS
from milestones.data.pairs import NOTES, TITLES, pairs, vocabulary
from milestones.data.parallel import corpus
from milestones.data.phrases import part, words_of
from milestones.parts.bpe import Vocabulary


def place(data: str = "", target: str = "", split: str = "", skip: str = "") -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(data, target, split, skip))


def texts(source, words: Vocabulary) -> list[tuple[str, str]]:
    batch = next(iter(source.sweep(len(source))))
    return [tuple(map(words.decode, row)) for row in zip(batch.source.tolist(), batch.target.tolist(), strict=True)]


def several(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("__gz") else text.encode())
    return folder


def numbered(word: str, count: int) -> str:
    return "".join(f"{word} {k}\n" for k in range(count))


def test_two_aligned_files(tmp_path: Path) -> None:
    several(tmp_path, a__en=numbered("one", 3), a__de__gz=numbered("eins", 3))
    found = corpus(f"{tmp_path}/a.en,{tmp_path}/a.de.gz")
    assert [tuple(pair) for pair in found.pairs][:2] == [("one 0", "eins 0", "de", ""), ("one 1", "eins 1", "de", "")]
    back = corpus(f"{tmp_path}/a.de.gz,{tmp_path}/a.en")
    assert back.pairs[0][:3] == ("eins 0", "one 0", "en")


def test_a_folder_with_splits_and_three_languages(tmp_path: Path) -> None:
    parts = {"train": 4, "val": 2, "test_2016": 2, "test_2017": 1}
    files = {f"{p}__{code}": numbered(f"{code}{p}", n) for p, n in parts.items() for code in ("de", "en", "fr")}
    several(tmp_path, **files)
    found = corpus(str(tmp_path))
    assert {(pair.language, pair.split) for pair in found.pairs} == {
        (code, split) for code in ("de", "fr") for split in ("train", "valid", "test")
    }
    assert all(pair.source.startswith("en") for pair in found.pairs) and len(found.pairs) == 16
    assert found.notes == ["not used: test_2017"]
    assert {pair.language for pair in corpus(str(tmp_path), "fr").pairs} == {"fr"}
    assert corpus(str(tmp_path), "fr-en").pairs[0][:3] == ("frtrain 0", "entrain 0", "en")
    with pytest.raises(UserError, match="--target as one of its languages, or two as en-de, got --target it"):
        corpus(str(tmp_path), "it")


def test_tab_separated_with_and_without_names(tmp_path: Path) -> None:
    several(tmp_path, a__tsv="one\teins\r\ntwo\tzwei\n", b__tsv="split\ten\tes\ntrain\tone\tuno\ntest\ttwo\tdos\n")
    assert [pair[:2] for pair in corpus(f"{tmp_path}/a.tsv").pairs] == [("one", "eins"), ("two", "zwei")]
    assert [tuple(p) for p in corpus(f"{tmp_path}/b.tsv").pairs] == [
        ("one", "uno", "es", "train"), ("two", "dos", "es", "test")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [
        [{"source": "one", "target": "eins"}, {"source": "two", "target": "zwei"}],
        [{"src": "one", "tgt": "eins", "id": "7"}, {"src": "two", "tgt": "zwei", "id": "8"}],
        [{"en": "one", "de": "eins"}, {"en": "two", "de": "zwei"}],
        [{"translation": {"en": "one", "de": "eins"}}, {"translation": {"en": "two", "de": "zwei"}}],
    ],
)
def test_json_lines(tmp_path: Path, rows: list[dict]) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert [pair[:2] for pair in corpus(f"{tmp_path}/a.jsonl").pairs] == [("one", "eins"), ("two", "zwei")]


def test_a_column_of_languages(tmp_path: Path) -> None:
    rows = [{"source": "one", "target": "eins", "lang": "de"}, {"source": "one", "target": "uno", "lang": "es"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [pair.language for pair in corpus(f"{tmp_path}/a.jsonl").pairs] == ["de", "es"]


def test_empty_sides_are_left_out_and_counted(tmp_path: Path) -> None:
    several(tmp_path, a__en="one\n\nthree\nfour\n", a__de="eins\nzwei\n  \nvier\n")
    found = corpus(f"{tmp_path}/a.en,{tmp_path}/a.de")
    assert [pair.source for pair in found.pairs] == ["one", "four"]
    assert found.notes == ["2 pairs with an empty side left out (first in line 2)"]


def test_bytes_that_are_no_utf8_are_named_by_line_and_byte(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"one\teins\ntwo\tzw\xffei\nthree\tdrei\n\xfe\tvier\n")
    with pytest.raises(UserError, match=r"byte 0xff at line 2, byte 7 of a\.tsv, and 1 more such lines"):
        corpus(f"{tmp_path}/a.tsv")
    found = corpus(f"{tmp_path}/a.tsv", skip=True)
    assert [pair.source for pair in found.pairs] == ["one", "three"]
    assert "2 lines that are no UTF-8 left out" in found.notes[0]


FAULTS = {
    "unequal": ({"a__en": numbered("x", 5), "a__de": numbered("y", 4)}, "a.en,a.de",
                "files of equally many lines, got 5 in a.en and 4 in a.de"),
    "ragged": ({"a__tsv": "one\teins\ntwo\nthree\tdrei\tx\n"}, "a.tsv",
               r"2 columns in each line.* got 1 in .*line 2, and 1 more"),
    "nameless": ({"a__tsv": "Gen 1\tone\teins\n"}, "a.tsv", "two columns with a tab between, got 3 without names"),
    "empty": ({"a__tsv": ""}, "a.tsv", "which is empty"),
    "blank": ({"a__tsv": "\t\n\t\n"}, "a.tsv", "sentences with their translations, got none in"),
    "json": ({"a__jsonl": '{"source": "a", "target": "b"}\nnonsense\n'}, "a.jsonl", "got another text in .*line 2"),
    "keys": ({"a__jsonl": '{"question": "a", "answer": "b"}\n'}, "a.jsonl",
             "with source and target, got question, answer"),
    "split": ({"a__tsv": "split\ten\tde\ntrial\ta\tb\n"}, "a.tsv",
              "train, valid or test in the column split, got 'trial'"),
    "one": ({"a__tsv": "split\ten\ntrain\ta\n"}, "a.tsv", "texts in two languages, got en in"),
    "same": ({"a__en": "x\n"}, "a.en,a.en", "files of different languages, as a.en,a.de"),
    "missing": ({}, "a.en,a.de", "a file of texts, got .*No such file"),
    "folder": ({"x__txt": "hello"}, ".", "a folder of texts in two languages, got"),
    "packed": ({"a__tsv__gz": ""}, "a.tsv.gz", "which is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    files, word, message = FAULTS[name]
    several(tmp_path, **files)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        corpus(word)


def test_a_truncated_gz_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(numbered("one\teins", 99).encode())[:-9])
    with pytest.raises(UserError, match="a file of texts, got"):
        corpus(f"{tmp_path}/a.tsv.gz")


def test_a_text_larger_than_can_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several(tmp_path, a__tsv="one\teins\n")
    monkeypatch.setattr("milestones.data.parallel.LARGEST", 4)
    with pytest.raises(UserError, match="a text of at most 0 GB"):
        corpus(f"{tmp_path}/a.tsv")


def test_own_pairs_are_split_by_their_source(tmp_path: Path) -> None:
    several(tmp_path, a__tsv="".join(f"sentence {k % 50}\tSatz {k}\n" for k in range(100)))
    data = pairs(place(f"{tmp_path}/a.tsv"), size=300)
    words = vocabulary(data.facts)
    sets = [{source for source, _ in texts(part, words)} for part in data[:3]]
    assert not sets[0] & (sets[1] | sets[2]) and not sets[1] & sets[2]
    assert sum(map(len, data[:3])) == 100 and "by the content of the source" in data.facts["data"]["note"]
    half = pairs(place(f"{tmp_path}/a.tsv", split="50/25/25"), size=300)
    assert 40 <= len(half.train) <= 60 and abs(len(half.valid) - 25) <= 4  # equal sources stay together
    final = pairs(place(f"{tmp_path}/a.tsv", split="final"), size=300)
    assert len(final.train) == len(data.train) + len(data.valid) and "seen in training" in final.valid.name


def test_long_sentences_are_left_out_and_counted(tmp_path: Path) -> None:
    long = " ".join(["word"] * 10_000)
    several(tmp_path, a__tsv=f"{long}\tlang\n" + "".join(f"a {k}\tb {k}\n" for k in range(50)))
    data = pairs(place(f"{tmp_path}/a.tsv"), size=300, longest=50)
    assert sum(map(len, data[:3])) == 50
    assert "1 pairs with a side of more than 50 tokens left out" in data.facts["data"]["note"]
    assert "(10,000 words)" in data.facts["data"]["note"]


def test_too_few_pairs(tmp_path: Path) -> None:
    several(tmp_path, a__tsv="one\teins\n")
    with pytest.raises(UserError, match="pairs for each of train, valid and test, got none for valid"):
        pairs(place(f"{tmp_path}/a.tsv"))


def test_what_does_not_exist() -> None:
    with pytest.raises(UserError, match="two files or a folder of sentence pairs, got nombers"):
        pairs(place("nombers"))


def test_percentages_for_data_with_splits() -> None:
    with pytest.raises(UserError, match="which has splits of its own, got --split 80/10/10"):
        pairs(place("dates", split="80/10/10"))


def test_multi30k_is_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILESTONES_DATA", raising=False)
    with pytest.raises(UserError, match="the files of Multi30k, got none in"):
        pairs(place("multi30k"))


def test_numbers_mean_what_they_say() -> None:
    """Of each of 250 sentences the German and Spanish digits words, against their English."""
    data = pairs(place("numbers"), size=600)
    words = vocabulary(data.facts)
    assert data.facts["languages"] == ["de", "es", "fr"] and len(json.dumps(data.facts)) < 100_000
    english = dict(texts(data.test, words))
    assert len(english) == len(data.test)
    assert {source for source, _ in texts(data.train, words)}.isdisjoint(english)
    every = corpus(str(Path(__file__).parents[2] / "milestones" / "data" / "numbers.tsv.gz"))
    said = {(pair.source, pair.language): pair.target for pair in every.pairs}
    assert {pair.language for pair in every.pairs} == {"de", "es", "fr", "it", "nl", "pt", "sv"}
    assert said["twenty one", "de"] == "einundzwanzig" and said["eighty", "fr"] == "quatre-vingts"
    assert words_of("number", "21") == "twenty one" and part.__name__ == "part"


def test_dates_are_the_days_they_name() -> None:
    found = corpus(str(Path(__file__).parents[2] / "milestones" / "data" / "dates.tsv.gz"))
    days = {split: {pair.target for pair in found.pairs if pair.split == split} for split in ("train", "valid", "test")}
    assert not days["train"] & days["test"] and not days["train"] & days["valid"]
    for pair in found.pairs[:2000]:
        year, month, day = pair.target.split("-")
        assert year in pair.source and str(int(day)) in pair.source
        assert 1 <= int(month) <= 12


def test_each_known_set_has_a_title() -> None:
    assert set(TITLES) == set(PAIRS) and set(NOTES) < set(PAIRS)


KNOWN = {
    "numbers": ({}, "pairs"),
    "a.en,a.de": ({"a__en": "x\n", "a__de": "y\n"}, "pairs"),
    "both": ({"train__en": "x\n", "train__de__gz": "y\n"}, "pairs"),
    "a.tsv": ({"a__tsv": "a sentence here\tund ein Satz\n" * 3}, "pairs"),
    "b.tsv": ({"b__tsv": "split\ten\tde\ntrain\tx\ty\n"}, "pairs"),
    "c.tsv": ({"c__tsv": "source\ttarget\nx\ty\n"}, "pairs"),
    "d.tsv": ({"d__tsv": "length\twidth\tkind\n1\t2\ta\n"}, "table"),
    "e.tsv": ({"e__tsv": "length\tkind\n1\ta\n"}, "table"),
    "f.jsonl": ({"f__jsonl": '{"translation": {"en": "x", "de": "y"}}\n'}, "pairs"),
    "g.jsonl": ({"g__jsonl": '{"length": 1, "kind": "a"}\n'}, "table"),
    "h.tsv.gz": ({"h__tsv__gz": "src\ttgt\nx\ty\n"}, "pairs"),
}


@pytest.mark.parametrize("word", KNOWN)
def test_pairs_are_known_by_names_and_first_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    files, expected = KNOWN[word]
    several(tmp_path, **files)
    monkeypatch.chdir(tmp_path)
    assert kind(str(tmp_path) if word == "both" else word) == expected


def test_what_would_be_learned_is_told(tmp_path: Path) -> None:
    several(
        tmp_path, a__tsv="one\teins\n" * 3 + "two words\tzwei\n\tx\n" + "".join(f"a {k}\tb {k}\n" for k in range(40))
    )
    corpus_ = tmp_path / "a.tsv"
    corpus_.write_text("source\ttarget\n" + corpus_.read_text())
    found = look(corpus_)
    assert found.kind == "pairs" and found.usable
    assert sum(sum(part.values()) for part in found.counts.values()) == 44
    assert found.duplicates == {"pairs equal to another": 2, "held-out sources that are also in training": 0}
    assert any("1 pairs with an empty side" in note for note in found.notes)
    assert "'one' is 'eins'" in found.examples
    bad = tmp_path / "b.tsv"
    bad.write_bytes(b"source\ttarget\nx\t\xff\n")
    assert not look(bad).usable and "byte 0xff at line 2" in look(bad).problems[0]
    assert look("dates").counts["test"] == {"pairs": 1000}
