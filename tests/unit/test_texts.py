"""Texts of classes: what is read of tables and folders, how it is split, each message; pieces of eight languages."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data.kinds import sight
from milestones.data.look import look
from milestones.data.texts import Texts, batched, encoded, languages, texts
from milestones.media import Text, read
from milestones.media.sheet import head, texts_in
from milestones.parts.bpe import Vocabulary, unspelled
from milestones.verbs.train import choose

LINES = [f"text number {k} of a {'good' if k % 2 else 'bad'} day,{'yes' if k % 2 else 'no'}" for k in range(60)]


def written(folder: Path, text: str, name: str = "some.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def table(folder: Path, header: str = "text,label", lines: list[str] = LINES, name: str = "some.csv") -> Path:
    return written(folder, "\n".join([header, *lines]) + "\n", name)


def loaded(path: Path | str, **choice: str) -> Any:
    return texts(Place(torch.device("cpu"), 0, choice=Choice(str(path), **choice)), 300, 64, 2, 3)


def said(data: Any, split: int) -> list[str]:
    """The texts of a split, from their tokens."""
    spelled = Vocabulary(unspelled(data.facts["merges"]))
    return [spelled.decode(row.tolist()) for batch in data[split].sweep(7) for row in batch.token]


def test_a_table_is_read_whole(tmp_path: Path) -> None:
    data = loaded(table(tmp_path))
    assert data.facts["labels"] == ["no", "yes"]
    assert [len(source) for source in data[:3]] == [48, 6, 6]
    assert sorted(text for k in range(3) for text in said(data, k)) == sorted(line.split(",")[0] for line in LINES)
    assert data.facts["counts"] == [24, 24]
    assert "texts of column 'text', classes of 'label'" in data.facts["data"]["note"]
    batch = data.train.batch(0, 8)
    assert isinstance(batch, Texts) and batch.token.dtype == torch.int32
    assert (batch.gram[batch.count == 0] == 0).all()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "label\ttext\n" + "\n".join(f"{'xy'[k % 2]}\tthis is text {k}" for k in range(40))),
        ("a.csv", "id;Sentiment;Review\n" + "\n".join(f"{k};{k % 2};this is text {k}" for k in range(40))),
        ("a.jsonl", "\n".join(json.dumps({"text": f"this is text {k}", "label": k % 2}) for k in range(40))),
        ("a.csv", "what was said,kind\n" + "\n".join(f"this is text {k},{'xy'[k % 2]}" for k in range(40))),
    ],
)
def test_columns_are_found_by_name_or_look(tmp_path: Path, name: str, content: str) -> None:
    path = written(tmp_path, content, name)
    assert sight(str(path))[0] == "texts"
    data = loaded(path)
    assert data.facts["labels"] in (["x", "y"], ["0", "1"])
    assert sum(len(source) for source in data[:3]) == 40
    assert "this is text 7" in [text for k in range(3) for text in said(data, k)]
    fit = choose(str(path))
    assert (fit.page, fit.preset, fit.settings) == ("words", "own", {"steps": 300})


def test_target_names_the_classes(tmp_path: Path) -> None:
    lines = [f"text number {k},{'ab'[k % 2]},{'xyz'[k % 3]}" for k in range(60)]
    path = table(tmp_path, "text,label,other", lines)
    assert loaded(path).facts["labels"] == ["a", "b"]
    assert loaded(path, target="other").facts["labels"] == ["x", "y", "z"]


def test_its_own_splits_are_kept(tmp_path: Path) -> None:
    lines = [f"{line},{('train', 'dev', 'test')[k // 2 % 3]}" for k, line in enumerate(LINES)]
    data = loaded(table(tmp_path, "text,label,split", lines))
    for k, word in enumerate(("train", "dev", "test")):
        assert sorted(said(data, k)) == sorted(line.split(",")[0] for line in lines if line.endswith(word))
    with pytest.raises(
        UserError, match=r"no percentages for some.csv, which has splits of its own, got --split 80/10/10"
    ):
        loaded(tmp_path / "some.csv", split="80/10/10")
    final = loaded(tmp_path / "some.csv", split="final")
    assert [len(source) for source in final[:3]] == [40, 20, 20]
    assert final.valid.name.endswith("(seen in training)")


def test_equal_texts_are_in_one_split(tmp_path: Path) -> None:
    data = loaded(table(tmp_path, lines=[line for line in LINES for _ in range(3)]))
    parts = [set(said(data, k)) for k in range(3)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert sum(len(source) for source in data[:3]) == 180


def folder_of(folder: Path) -> Path:
    for k in range(40):
        place = folder / "mail" / ["spam", "ham"][k % 2]
        place.mkdir(parents=True, exist_ok=True)
        written(place, f"this is the mail\nof number {k}\n", f"{k}.txt")
    return folder / "mail"


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    path = folder_of(tmp_path)
    assert sight(str(path))[0] == "texts"
    data = loaded(path)
    assert data.facts["labels"] == ["ham", "spam"]
    assert "this is the mail\nof number 3" in [text for k in range(3) for text in said(data, k)]
    assert choose(str(path)).page == "words"
    (path / "spam" / "0.txt").write_bytes(b"caf\xe9")
    (path / "spam" / "2.txt").write_text("  ")
    with pytest.raises(
        UserError, match=r"a text in UTF-8, got byte 0xe9 in .*spam/0.txt line 1, byte 4.*--skip-unreadable"
    ):
        loaded(path)
    note = loaded(path, skip="unreadable").facts["data"]["note"]
    assert "1 unreadable files left out (--skip-unreadable" in note
    assert "1 files without a text left out (first spam/2.txt)" in note


def test_folders_for_the_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for k in range(12):
            place = tmp_path / "mail" / split / ("pos", "neg")[k % 2]
            place.mkdir(parents=True, exist_ok=True)
            written(place, f"{split} number {k}", f"{k}.txt")
    (tmp_path / "mail" / "raw").mkdir()
    data = loaded(tmp_path / "mail")
    assert [len(source) for source in data[:3]] == [10, 2, 12]
    assert all(text.startswith("test") for text in said(data, 2))
    assert "raw/ stands beside the splits and is not read" in data.facts["data"]["note"]


MANY = [f"this is text {k},class {k}" for k in range(40)]


@pytest.mark.parametrize(
    ("header", "lines", "target", "message"),
    [
        ("text,label", [], "", "a table with a line of column names and rows"),
        ("text,label", ["only this one,x"] * 9, "", "texts of at least two classes, got only 'x' in"),
        ("text,label", MANY, "", "classes that have several texts each, got 40 classes for 40 texts"),
        ("text,label", [*LINES, "one more text,rare"], "", "at least 3 examples of each class, got 1 of 'rare'"),
        ("text,label", [*LINES, "without a class,", "another,"], "",
         "a class in 'label' for each text, got none in some.csv line 62, and 1 more"),
        ("a,b", ["1,2", "3,4"], "", "a column of texts, called text, got columns a, b in some.csv"),
        ("text,b,c", ["this is one,2,3", "this is two,4,5"], "",
         "a column of classes, called label, got columns text, b, c"),
        ("text,label", LINES, "lable",
         "the target column 'lable', got columns text, label in some.csv. Did you mean 'label'"),
        ("text,label,split", [f"{line},later" for line in LINES], "",
         "train, valid or test in column 'split', got 'later' in some.csv line 2"),
        ("text,label", [",x", ",y"], "", "texts with their classes, got none in"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table(tmp_path: Path, header: str, lines: list[str], target: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        loaded(table(tmp_path, header, lines), target=target)


def test_what_is_no_utf8_is_named_by_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes(b"text,label\na good caf\xe9 here,x\n")
    with pytest.raises(UserError, match=r"expected texts in UTF-8, got byte 0xe9 in some.csv line 2, byte 11"):
        loaded(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a table or a folder of texts, got .*none.csv, which does not exist"):
        loaded(tmp_path / "none.csv")
    (tmp_path / "some.csv").mkdir()
    with pytest.raises(UserError, match="texts with their classes, got none in"):
        loaded(tmp_path / "some.csv")


def test_a_table_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"a table of texts that can be read, got .*Permission denied"):
        loaded(path)
    folder = folder_of(tmp_path)
    monkeypatch.setattr("milestones.data.text.open", lambda *_: refuse(path), raising=False)
    with pytest.raises(UserError, match=r"a text that can be read, got .*Permission denied.*, and 39 more"):
        loaded(folder)


def test_too_few_for_three_splits(tmp_path: Path) -> None:
    lines = [f"the same text of {'x' if k % 2 else 'y'},{'x' if k % 2 else 'y'}" for k in range(12)]
    with pytest.raises(UserError, match="texts for train, valid and test, got 12, 0, 0"):
        loaded(table(tmp_path, lines=lines))


def test_empty_texts_are_counted_once(tmp_path: Path) -> None:
    data = loaded(table(tmp_path, lines=[*LINES, ",yes", "  ,no"]))
    assert "2 rows without a text left out (first line 62)" in data.facts["data"]["note"]


def test_long_texts_are_cut_and_told_of(tmp_path: Path) -> None:
    lines = [*LINES[:-1], f"{'word ' * 500},yes"]
    data = loaded(table(tmp_path, lines=lines))
    assert max(batch.token.shape[1] for source in data[:3] for batch in source.sweep(500)) == 64
    assert "1 texts of 64 tokens or more: nets that read in order see the first 64" in data.facts["data"]["note"]


def test_a_batch_of_ones_own_is_that_of_training(tmp_path: Path) -> None:
    data = loaded(table(tmp_path))
    batch = next(data.test.sweep(6))
    mine = batched(data.facts, said(data, 2))
    assert all(torch.equal(a, b) for name, a, b in zip(Texts._fields, batch, mine, strict=True) if name != "label")
    tokens, grams, count = encoded(data.facts, ["a b", "never seen ñ"])
    assert len(tokens.length) == len(grams.length) == len(count.length) == 2


def test_tables_of_other_kinds_stay_what_they_were(tmp_path: Path) -> None:
    numbers = "\n".join(f"{k},{k * k},{'ab'[k % 2]}" for k in range(30))
    assert sight(str(written(tmp_path, f"x,y,label\n{numbers}\n")))[0] == "table"
    wide = "\n".join(",".join([f"some text number {k}", "x", *map(str, range(8))]) for k in range(30))
    header = ",".join(["text", "label", *(f"n{k}" for k in range(8))])
    assert sight(str(written(tmp_path, f"{header}\n{wide}\n")))[0] == "table"
    names = "\n".join(f"name{k},{'ab'[k % 2]}" for k in range(30))
    assert sight(str(written(tmp_path, f"title,class\n{names}\n")))[0] == "table"
    long = "\n".join(f"this is text {k},and this is another {k}" for k in range(30))
    assert sight(str(written(tmp_path, f"one,two\n{long}\n")))[0] == "table"


def test_head_and_column_of_texts(tmp_path: Path) -> None:
    assert head(written(tmp_path, "not a table")) == {}
    assert head(written(tmp_path, "[1, 2]\n", "some.jsonl")) == {}
    assert head(table(tmp_path), 5)["label"] == ["no", "yes", "no", "yes", "no"]
    assert texts_in({"a": ["1", "2"], "b": ["some words here", "some more of them"]}) == "b"
    assert texts_in({"a": ["the same three words"] * 4}) == ""
    assert texts_in({}) == ""


def test_look_says_what_would_be_read(tmp_path: Path) -> None:
    found = look(table(tmp_path, lines=[*LINES, LINES[0], LINES[1].replace(",yes", ",no")]))
    assert found.kind == "texts" and found.usable
    assert found.counts["train"].keys() == {"no", "yes"}
    assert found.duplicates["texts equal to an earlier one"] == 2
    assert found.duplicates["texts that stand with several classes"] == 1
    assert any("split by content within each class" in note for note in found.notes)
    assert "is 'no'" in found.examples[0]
    broken = look(table(tmp_path, lines=["only one class here,x"] * 9))
    assert not broken.usable and "texts of at least two classes" in broken.problems[0]


def test_use_reads_the_texts_of_a_table(tmp_path: Path) -> None:
    found = read(table(tmp_path), (Text,))
    assert [item.text for item in found[:1]] == [LINES[0].split(",")[0]] and len(found) == 60
    alone = written(tmp_path, "anything\nhello\nbye\n", "one.csv")
    assert [str(item) for item in read(alone, (Text,))] == ["hello", "bye"]
    with pytest.raises(UserError, match="a column of texts, called text, got columns a, b"):
        read(written(tmp_path, "a,b\n1,2\n"), (Text,))
    with pytest.raises(UserError, match="a text in some row, got none in column 'text'"):
        read(written(tmp_path, "text,b\n,2\n"), (Text,))


def test_pieces_of_eight_languages() -> None:
    found, again = languages(), languages()
    assert (found.texts, found.labels, found.splits) == (again.texts, again.labels, again.splits)
    assert len(set(found.labels)) == 8
    assert all(4 <= len(text) <= 14 for text in found.texts)
    parts = {split: {(t, c) for t, c, s in zip(found.texts, found.labels, found.splits, strict=True) if s == split}
             for split in ("train", "valid", "test")}  # fmt: skip
    learned, held = ({text for text, _ in rows} for rows in (parts["train"], parts["valid"] | parts["test"]))
    assert not learned & held, "not even in another language"
    for rows in parts.values():
        counts = Counter(label for _, label in rows)
        assert len(counts) == 8 and max(counts.values()) < 3 * min(counts.values())
