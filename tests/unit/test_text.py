"""A text as tokens in windows: splits, purity, codecs, large files, and what is wrong with a text."""

from __future__ import annotations

import gzip
import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.cli import main
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data import text as module
from milestones.data.kinds import kind
from milestones.data.text import Codec, Part, codec, text, verses
from milestones.data.writing import texts_in
from milestones.verbs.train import choose

SAMPLE = "".join(f"{k} little words, then {k * k} more;\n" for k in range(400))


def place(data: Any = "", seed: int = 0, split: str = "", rank: int = 0, of: int = 1) -> Place:
    return Place(torch.device("cpu"), seed, rank, of, Choice(str(data) if data else "", "", split))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.txt"
    path.write_text(SAMPLE)
    return path


def whole(part: Any) -> str:
    return "".join(chr(one) for one in part.tokens)


def spelled(data: Any, part: Any) -> str:
    return codec(data.facts).decode(part.tokens.tolist())


@pytest.mark.parametrize("level", ["character", "pairs"])
def test_split_where_it_stands(file: Path, level: str) -> None:
    data = text(place(file), level=level, vocabulary=300, length=8)
    n = len(SAMPLE)
    parts = [spelled(data, part) for part in data[:3]]
    assert parts == [SAMPLE[: int(0.9 * n)], SAMPLE[int(0.9 * n) : int(0.95 * n)], SAMPLE[int(0.95 * n) :]]
    kept = data.facts["data"]
    assert [kept[name] for name in ("train", "valid", "test")] == [len(part) for part in data[:3]]
    assert "90/5/5 % of its characters" in kept["note"] and f"{n:,} characters" in kept["note"]
    assert data.train.tokens.dtype == (np.uint8 if level == "character" else np.uint16)


def test_other_shares_and_a_final_fit(file: Path) -> None:
    n = len(SAMPLE)
    data = text(place(file, split="60/20/20"), length=8)
    assert [len(part.tokens) for part in data[:3]] == [int(0.6 * n), int(0.8 * n) - int(0.6 * n), n - int(0.8 * n)]
    final = text(place(file, split="final"), length=8)
    assert spelled(final, final.train) == SAMPLE[: int(0.95 * n)]
    assert final.valid.name == "some.txt (seen in training)" and spelled(final, final.test) == SAMPLE[int(0.95 * n) :]


def test_windows_begin_anywhere_and_say_what_follows(file: Path) -> None:
    data = text(place(file), length=16)
    kept = torch.from_numpy(data.train.tokens.astype(np.int64))
    begins = set()
    for step in range(40):
        batch = data.train.batch(step, 8)
        assert batch.token.shape == batch.target.shape == (8, 16)
        assert torch.equal(batch.token[:, 1:], batch.target[:, :-1])
        for token, target in zip(batch.token, batch.target, strict=True):
            fits = [k for k in (kept.unfold(0, 16, 1) == token).all(1).nonzero()[:, 0].tolist() if k + 16 < len(kept)]
            assert any(int(kept[k + 16]) == int(target[-1]) for k in fits)
            begins.update(fits)
    assert len({k % 16 for k in begins}) == 16, "any place of a window is a beginning"


def test_batches_are_pure_and_shared_out(file: Path) -> None:
    one, two = (text(place(file, 3), length=16).train for _ in range(2))
    before = torch.get_rng_state()
    first = [one.batch(step, 6) for step in range(3)]
    assert torch.equal(before, torch.get_rng_state())
    for step in (2, 0, 1):
        assert all(map(torch.equal, two.batch(step, 6), first[step]))
    assert not torch.equal(text(place(file, 4), length=16).train.batch(0, 6).token, first[0].token)
    halves = [text(place(file, 3, rank=rank, of=2), length=16).train.batch(1, 6).token for rank in range(2)]
    assert torch.equal(torch.cat(halves), first[1].token)


def test_an_epoch_reads_each_window_once(file: Path) -> None:
    train = text(place(file), length=16).train
    train.augment = None
    each = len(train) // 7
    rows = torch.cat([train.batch(step, 7).token for step in range(each)])
    cut = torch.from_numpy(train.tokens[: len(train) * 16].astype(np.int64)).view(-1, 16)
    known = {bytes(row.to(torch.uint8).numpy()) for row in cut}
    assert len({bytes(row.to(torch.uint8).numpy()) for row in rows} - known) == 0
    assert torch.equal(torch.cat([b.token for b in train.sweep(5)]), cut)


def test_a_sweep_foretells_each_token_once(file: Path) -> None:
    test = text(place(file), length=16).test
    target = torch.cat([batch.target.flatten() for batch in test.sweep(4)])
    assert torch.equal(target, torch.from_numpy(test.tokens[1 : len(target) + 1].astype(np.int64)))
    assert len(test.tokens) - 1 - len(target) < 16


@pytest.mark.parametrize("words", ["", "low lower", " a blank first", "Wörter: 東京 🙂\n\n  two\ttabs \r\n", "a_b 84"])
def test_pairs_lose_nothing(words: str) -> None:
    from milestones.parts.bpe import Vocabulary, learn

    pairs = Codec(merges=Vocabulary(learn(["low lower lowest two two blanks\n"] * 3, 40)).spell())
    tokens = pairs.encode(words)
    assert pairs.decode(tokens) == words
    assert b"".join(map(pairs.spell, tokens)) == words.encode()
    assert sum(pairs.letters[token] for token in tokens) == len(words)
    assert all(0 <= token < len(pairs) for token in tokens) and len(pairs) > 256
    assert len(tokens) <= len(words.encode())


def test_pairs_do_not_depend_on_where_a_text_is_cut_into_blocks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = text(place(file), level="pairs", vocabulary=300, length=8)
    monkeypatch.setattr(module, "BLOCK", 50)
    two = text(place(file), level="pairs", vocabulary=300, length=8)
    assert one.facts == two.facts
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(one[:3], two[:3], strict=True))
    assert max(len(codec(one.facts).spell(k)) for k in range(len(codec(one.facts)))) > 2, "something was joined"


def test_characters_there_and_back() -> None:
    signs = Codec("\n abc")
    assert signs.encode("a b\n") == [2, 1, 3, 0] and signs.decode([2, 1, 3, 0]) == "a b\n"
    assert len(signs) == 5 and signs.letters == [1] * 5 and signs.begin == 0 and Codec("abc").begin == 0
    assert [signs.shown(k) for k in range(3)] == ["\\n", "_", "a"]
    assert Codec(merges="").begin == ord("\n") and Codec(merges="").shown(ord("\n")) == "\\n"


def test_an_unknown_character_is_named() -> None:
    message = r"seen, got '東' \(CJK UNIFIED IDEOGRAPH-6771\) in 'a東京', and 1 more that it has not\. It knows abc\."
    with pytest.raises(UserError, match=message):
        Codec("\nabc").encode("a東京")


def test_a_folder_is_joined_in_order(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name, words in (("10.txt", "ten\n\r\n"), ("2.md", "two"), ("below/1.rst", "below\n"), (".x.txt", "hidden")):
        (tmp_path / name).write_bytes(words.encode())
    (tmp_path / "picture.bin").write_bytes(b"\0\1")
    assert [file.name for file in texts_in(tmp_path)] == ["2.md", "10.txt", "1.rst"]
    assert "".join(module.read(texts_in(tmp_path))) == "two\n\nten\n\n\nbelow\n"


def test_packed_and_marked_texts_are_read(tmp_path: Path, file: Path) -> None:
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + SAMPLE.encode()))
    assert text(place(packed), length=8).facts["characters"] == text(place(file), length=8).facts["characters"]


def test_a_large_text_is_mapped(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = text(place(file), level="pairs", vocabulary=300, length=8)
    monkeypatch.setattr(module, "MAPPED", 100)
    one = text(place(file), level="pairs", vocabulary=300, length=8)
    kept = list((home / "home" / ".cache" / "milestones" / "texts").iterdir())
    assert sorted(path.suffix for path in kept) == [".json", ".tokens"]
    monkeypatch.setattr(Codec, "encode", None)  # the second time nothing is encoded
    two = text(place(file), level="pairs", vocabulary=300, length=8)
    for a, b, c in zip(held[:3], one[:3], two[:3], strict=True):
        assert isinstance(b.tokens, np.memmap)
        assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.tokens, c.tokens)
        assert torch.equal(a.batch(1, 4).token, b.batch(1, 4).token)


def test_a_damaged_file_of_the_cache_is_made_again(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAPPED", 100)
    one = text(place(file), length=8).train.tokens.copy()
    (kept,) = (home / "home" / ".cache" / "milestones" / "texts").glob("*.tokens")
    kept.write_bytes(kept.read_bytes()[:-5])
    assert np.array_equal(text(place(file), length=8).train.tokens, one)


def test_no_room_for_the_tokens(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAPPED", 100)
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=0))
        with pytest.raises(UserError, match=r"0\.0 GB free for tokens in .*, got 0\.0 GB\. Make room"):
            text(place(file), length=8)
    kept = home / "home" / ".cache" / "milestones" / "texts"
    kept.rmdir()
    kept.write_text("in the way")
    with pytest.raises(UserError, match="room for tokens in"):
        text(place(file), length=8)


def test_the_embedded_verses() -> None:
    found = verses()
    assert found.startswith("In the beginning, God created the heavens and the earth.\nThe earth was formless")
    assert len(found) > 3_000_000 and found.count("\n") == 29_652
    assert "<" not in found and "genuine one of David" not in found and "praise psalm by David" not in found
    data = text(place(), length=64)
    assert data.train.name == "verses in English (World English Bible)" and len(data.facts["characters"]) < 100
    assert len(json.dumps(text(place(), level="pairs", vocabulary=4096, length=64).facts)) < 100_000


def test_tinyshakespeare_is_split_as_nanogpt_does(shared_data: Any) -> None:
    shared_data("tinyshakespeare.txt.gz")
    data = text(place("tinyshakespeare"), length=64)
    assert len(data.train.tokens) == 1_003_854, "nanoGPT's own count"
    assert len(data.valid.tokens) + len(data.test.tokens) == 111_540
    assert len(data.facts["characters"]) == 65


def test_tinyshakespeare_is_not_at_hand(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILESTONES_DATA", raising=False)
    with pytest.raises(UserError, match=r"the text tinyshakespeare\.txt\.gz, got none in .*milestones/texts"):
        text(place("tinyshakespeare"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a text, got some\.txt, which is empty"),
        (b"\xef\xbb\xbf", r"a text, got some\.txt, which is empty"),
        (b"one\ntw\xff\n" * 500, r"a text in UTF-8, got byte 0xff in .*some\.txt line 2, byte 3\. Save it as UTF-8"),
        (b"one\n" * 500 + b"two\n\0", r"a text in UTF-8, got a zero byte in .*some\.txt line 502"),
        ("one\n".encode("utf-16") * 100, r"a text in UTF-8, got a zero byte in .*some\.txt line 1\. It is no text"),
        (b"short " * 20, r"parts of more than 16 tokens, got 120 characters in some\.txt, of which valid has 6 tokens"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "some.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        text(place(tmp_path / "some.txt"), length=8)


def test_a_wrong_byte_far_down_is_told_by_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 64)
    (tmp_path / "some.txt").write_bytes(b"some words\n" * 100 + b"caf\xe9\n")
    with pytest.raises(UserError, match=r"byte 0xe9 in .*some\.txt line 101, byte 4"):
        text(place(tmp_path / "some.txt"), length=8)


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"a folder with texts \(\.txt, .*folder without any"):
        text(place(tmp_path / "folder"))
    with pytest.raises(UserError, match=r"a text file or a folder of texts, got vreses, which does not exist\. "
                       r"Did you mean 'verses'"):  # fmt: skip
        text(place("vreses"))
    (tmp_path / "bad.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"a text that can be read, got .*bad\.txt\.gz"):
        text(place(tmp_path / "bad.txt.gz"))


def test_more_characters_than_there_are_tokens_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    (tmp_path / "some.txt").write_text(SAMPLE)
    with pytest.raises(UserError, match=r"at most 20 different characters, got 2\d in some\.txt\. Take --level pairs"):
        text(place(tmp_path / "some.txt"), length=8)


def test_a_text_is_known_by_its_name(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kind(str(file)) == "text" and choose(str(file)).page == "gpt"
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text(SAMPLE)
    assert choose(str(tmp_path / "notes")).why == "it is read as text, because the folder holds texts (1)"
    assert main(["data", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["usable"] and found["examples"][0] == "0 little words, then 0 more;"
    assert found["counts"]["train"]["windows"] == len(text(place(file), length=64).train)
    (tmp_path / "empty.txt").write_text("")
    assert main(["data", str(tmp_path / "empty.txt")]) == 0
    assert "which is empty" in capsys.readouterr().out


def test_a_window_of_the_end_has_all_its_tokens() -> None:
    part = Part(np.arange(50, dtype=np.uint8), 8, place(), "some", "train")
    late = part.moved(torch.tensor([40, 41]), torch.Generator().manual_seed(0))
    assert int(late.max()) <= 41 and part.windows(late).target.shape == (2, 8)


def test_a_folder_of_folders_of_texts_holds_classes(tmp_path: Path) -> None:
    for name in ("a/1.txt", "a/2.txt", "b/3.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("some words\n")
    assert kind(str(tmp_path)) == "texts", "to be told apart"
    (tmp_path / "test").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).rename(tmp_path / "test" / name)
    assert kind(str(tmp_path)) == "texts", "in a folder of a split, too"
    (tmp_path / "4.txt").write_text("more words\n")
    assert kind(str(tmp_path)) == "text", "one text beside the folders: all is one text"
    assert kind(str(tmp_path / "test" / "a")) == "text"
