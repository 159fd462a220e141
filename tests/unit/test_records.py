"""Records of go: whole collections are read, each game that cannot be used is named, what is written is read again."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from milestones.cli import main
from milestones.core.errors import UserError
from milestones.media.sgf import read_lines
from milestones.verbs.train import choose

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from milestones.worlds.games import game
from milestones.worlds.games.arena import replayed
from milestones.worlds.games.records import Record, read_record, read_records, result_of, usual_size, write_records

WHOLE = ("(;FF[4]GM[1]SZ[5]KM[7.5]PB[One \\[a\\]]PW[Two]RE[B+2.5];B[cc]C[first];W[bb]"
         "(;B[dd];W[])(;B[ee](;W[aa])(;W[ab])))")  # fmt: skip


def test_a_game_is_read_as_moves_of_the_game(tmp_path: Path) -> None:
    (tmp_path / "a.sgf").write_text(WHOLE)
    found = read_records(tmp_path, game("go5"))
    (one,) = found.games
    assert one == Record(5, 7.5, (12, 6, 18, 25), "B+2.5", ("One [a]", "Two"), "first")
    assert one.winner == 1 and not found.refused and found.variations == 3
    states, fits = replayed(game("go5"), [one.moves])
    assert fits.all() and game("go5").board(states[0], one.moves).cells[3, 3] == 1
    assert read_record(tmp_path / "a.sgf", game("go5")) == one


@pytest.mark.parametrize(("result", "winner"), [
    ("B+2.5", 1), ("b+r", 1), ("W+Resign", -1), ("W+", -1), ("0", 0), ("Draw", 0), ("jigo", 0), ("?", None), ("", None),
    ("Void", None), ("B", None),
])  # fmt: skip
def test_who_has_won(result: str, winner: int | None) -> None:
    assert Record(5, None, (), result).winner == winner


def test_results_in_words() -> None:
    assert [result_of(points) for points in (2.5, -3.0, 0.0)] == ["B+2.5", "W+3", "0"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    own, rng, records = game("go7"), np.random.default_rng(0), list[Record]()
    for k in range(6):
        states, moves = own.begin(1), list[int]()
        while not (turn := own.turn(states)).ended[0] and len(moves) < 20 * (k + 1):
            moves.append(int(rng.choice(np.flatnonzero(turn.legal[0]))))
            states, _ = own.step(states, np.array([moves[-1]]))
        records.append(Record(7, 9.0, tuple(moves), "W+1.5", (f"a]{k}", "b\\"), "seen\nover"))
    for name in ("all.sgf", "all.sgf.gz"):
        write_records(tmp_path / name, own, records)
        first = (tmp_path / name).read_bytes()
        found = read_records(tmp_path / name, own)
        assert found.games == records and not found.refused
        write_records(tmp_path / name, own, records)
        assert (tmp_path / name).read_bytes() == first, "equal games make equal files"
    assert len(read_records(tmp_path, own).games) == 12


BAD = [
    ("(;SZ[9];B[aa])", "game 1 of bad.sgf: a board of 9 x 9"),
    ("(;SZ[5:7];B[aa])", "game 1 of bad.sgf: a board of 5 x 7"),
    ("(;SZ[5]HA[2]AB[cc][dd];W[aa])", "handicap, or other stones that were laid by hand"),
    ("(;SZ[5];B[aa];AE[aa];W[bb])", "handicap, or other stones that were laid by hand"),
    ("(;SZ[5]C[nothing])", "game 1 of bad.sgf: no moves"),
    ("(;SZ[5];B[aa];W[bb];W[cc])", "game 1 of bad.sgf: White as move 3"),
    ("(;SZ[5];W[aa])", "game 1 of bad.sgf: White as move 1"),
    ("(;SZ[5];B[cc];W[dd];B[cc])", "game 1 of bad.sgf: C3 as move 3 is not allowed"),
    ("(;SZ[5];B[];W[];B[cc])", "game 1 of bad.sgf: C3 as move 3 is not allowed"),
    ("(;SZ[5];B[zz])", "points on a board of 5 x 5, got 'zz' in game 1 of bad.sgf"),
    ("(;GM[4]SZ[5];B[aa])", "expected a game of go, got game number 4 in game 1 of bad.sgf"),
    ("(;GM[3];B[aa])", "got game number '3' in game 1 of bad.sgf"),
    ("(;SZ[5];B[aa]", "game 1 of bad.sgf, which is damaged (it is cut off)"),
    ("", "game 1 of bad.sgf, which is empty"),
    ("no game at all", "game 1 of bad.sgf, which is of another kind"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_what_cannot_be_used_is_named_and_left_out(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "bad.sgf").write_text(text)
    with pytest.raises(UserError) as caught:
        read_records(tmp_path, game("go5"))
    assert "records: expected games of go on 5 x 5 in" in str(caught.value) and says in str(caught.value)
    assert "1 that cannot be used; the first:" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"bad\.sgf"):
        read_record(tmp_path / "bad.sgf", game("go5"))
    (tmp_path / "good.sgf").write_text(WHOLE)
    found = read_records(tmp_path, game("go5"))
    assert len(found.games) == 1 and len(found.refused) == 1 and says in found.refused[0]


def test_a_bad_game_does_not_spoil_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "many.sgf").write_text(f"{WHOLE}\n(;SZ[5];B[aa];W[aa])\n{WHOLE} (;SZ[9];B[aa]) {WHOLE}(;SZ[5];B[aa")
    found = read_records(tmp_path / "many.sgf", game("go5"))
    assert len(found.games) == 3 and found.variations == 9
    assert [why.split(":")[0] for why in found.refused if why.startswith("game")] == ["game 4 of many.sgf",
                                                                                      "game 2 of many.sgf"]  # fmt: skip
    assert any("game 6 of many.sgf, which is damaged" in why for why in found.refused) and len(found.refused) == 3


def test_files_that_are_none(tmp_path: Path) -> None:
    own = game("go5")
    for place, says in ((tmp_path / "x.sgf", "which does not exist"), (tmp_path, "without any")):
        with pytest.raises(UserError, match=says):
            read_records(place, own)
    (tmp_path / "a.sgf.gz").write_bytes(gzip.compress(WHOLE.encode())[:-9])
    with pytest.raises(UserError, match=r"an SGF file that can be read, got .*a\.sgf\.gz"):
        read_records(tmp_path, own)
    (tmp_path / "a.sgf.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"an SGF file that can be read, got .*a\.sgf\.gz"):
        read_records(tmp_path, own)
    with pytest.raises(UserError, match="records: expected records of go, got the game hex"):
        read_records(tmp_path, game("hex5"))


def test_a_file_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.worlds.games.records.LARGEST", 50)
    (tmp_path / "a.sgf.gz").write_bytes(gzip.compress(b" " * 1000))
    with pytest.raises(UserError, match="SGF files of at most 64 MiB"):
        read_records(tmp_path, game("go5"))


def test_comments_in_the_encoding_that_the_file_names() -> None:
    for charset, word in (("GB2312", "gb2312"), ("Shift_JIS", "cp932"), ("UTF-8", "utf-8"), ("ISO-8859-1", "latin-1"),
                          ("Big5", "big5"), ("no-such", "utf-8")):  # fmt: skip
        name = "\u00e9" if word == "latin-1" else "\u8868"  # in Shift JIS its second byte is a backslash
        (line,) = read_lines(f"(;CA[{charset}]SZ[5]PB[{name}];B[aa])".encode(word), "x")
        assert not isinstance(line, UserError) and line.about["PB"] == name
    (line,) = read_lines("(;SZ[5]PB[\u00e9];B[aa])".encode("latin-1"), "x")
    assert not isinstance(line, UserError) and line.about["PB"] == "\u00e9", "no encoding named: UTF-8, else Latin-1"
    for content in (b"(;CA[UTF-8]SZ[5]PB[\xff];B[aa])", b"\xef\xbb\xbf(;SZ[5]PB[12345678901\xff];B[aa])"):
        (problem,) = read_lines(content, "x.sgf")
        assert isinstance(problem, UserError)
        assert "expected a text in utf-8, as the file says, got byte" in str(problem) and "x.sgf" in str(problem)


def test_a_look_at_records_says_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = [Record(7, 9.0, tuple(range(k, k + 6)), "B+1", ("One", "Two")) for k in range(12)]
    write_records(tmp_path / "a.sgf", game("go7"), own)
    (tmp_path / "b.sgf").write_text("(;SZ[9];B[aa])(;SZ[7];B[cc];W[cc])(;SZ[7];B[cc](;W[dd])(;W[ee]))")
    assert usual_size(tmp_path) == 7 and choose(str(tmp_path))[:3] == ("alphago", "quick", {"game": "go7"})
    assert main(["data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["usable"]) == ("games", True)
    assert sum(split["games"] for split in found["counts"].values()) == 13
    assert found["examples"][0] == "One - Two, B+1, 6 moves"
    assert "1 variations passed over" in found["notes"]
    assert [note for note in found["notes"] if note.startswith("left out")] == [
        "left out: game 1 of b.sgf: a board of 9 x 9", "left out: game 2 of b.sgf: C5 as move 2 is not allowed",
    ]  # fmt: skip
    (tmp_path / "a.sgf").unlink()
    assert main(["data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "at least 10 games to learn from, got 1" in found["problems"][0] and not found["usable"]
    assert "left out: game 1 of b.sgf: a board of 9 x 9" in found["notes"]
    (tmp_path / "b.sgf").write_text("(;SZ[52];B[aa])(;GM[1]SZ[5];B[zz])")
    with pytest.raises(UserError, match=r"games of go on a square board of 5 to 19, got none in .*; 'zz' in game 2"):
        usual_size(tmp_path / "b.sgf")
