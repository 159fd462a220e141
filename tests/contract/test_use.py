"""What `use` is told beside its inputs, what it reads on standard input, and texts that it says piece by piece."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from milestones.catalog import options
from milestones.core.errors import UserError
from milestones.media import Audio, Image, Text
from milestones.verbs.subject import piped
from milestones.verbs.use import bare, chosen, told, written


def use(model: Any, facts: Any, texts: Any, *, to: Annotated[Literal["es", "de"], "the language"] = "es",
        beam: Annotated[int, "hypotheses kept"] = 4, slow: Annotated[bool, "look twice"] = False,
        penalty: Annotated[float, "of length"] = 0.6) -> list[dict[str, Any]]:  # fmt: skip
    return [{"answer": Text(f"{to} {beam} {slow} {penalty}")} for _ in texts]


def plain(model: Any, facts: Any, texts: Any) -> list[dict[str, Any]]:
    return []


def test_options_are_the_keywords_of_use() -> None:
    assert options(plain) == {}
    found = options(use)
    assert found["to"] == {"type": "string", "default": "es", "description": "the language", "enum": ["es", "de"]}
    assert found["beam"] == {"type": "integer", "default": 4, "description": "hypotheses kept"}
    assert [found[name]["type"] for name in ("slow", "penalty")] == ["boolean", "number"]


def test_words_become_values() -> None:
    said = {"to": "de", "beam": "8", "slow": "yes", "penalty": "1"}
    assert chosen(options(use), said, "page") == {"to": "de", "beam": 8, "slow": True, "penalty": 1.0}
    assert chosen(options(use), {}, "page") == {}


@pytest.mark.parametrize(("name", "word", "match"), [
    ("beam", "many", "expected --beam as integer, got 'many'. hypotheses kept"),
    ("slow", "perhaps", "expected --slow as boolean, got 'perhaps'"),
    ("to", "dee", r"expected --to as one of es, de, got 'dee'. Did you mean 'de'\?"),
])  # fmt: skip
def test_a_word_of_another_kind(name: str, word: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        chosen(options(use), {name: word}, "page")


def standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes, terminal: bool = False) -> None:
    stream = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stream)


def test_lines_or_a_sound_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, "one\n\n zwölf \r\n".encode())
    assert piped((Text,), "page") == [Text("one"), Text("zwölf")]
    sound = Audio(np.linspace(-0.5, 0.5, 80, dtype=np.float32), 8000)
    standard_input(monkeypatch, sound.encode()[1])
    (heard,) = piped((Audio,), "page")
    assert heard.rate_hz == 8000 and np.allclose(heard.samples, sound.samples, atol=1e-4)


@pytest.mark.parametrize(("content", "takes", "terminal", "match"), [
    (b"", (Text,), True, "expected a file to answer for, got none. Name one or several files"),
    (b"x", (Image,), False, "expected a file to answer for"),
    (b"fine\nab\xff\n", (Text,), False, "expected text in UTF-8, got byte 0xff in standard input line 2, byte 3"),
    (b"\n \n", (Text,), False, "expected a text or a sound on standard input, got nothing"),
])  # fmt: skip
def test_nothing_to_answer(monkeypatch: pytest.MonkeyPatch, content: bytes, takes: Any, terminal: bool,
                           match: str) -> None:  # fmt: skip
    standard_input(monkeypatch, content, terminal)
    with pytest.raises(UserError, match=match):
        piped(takes, "page")


FAKE = """
import sys
from pathlib import Path
from types import SimpleNamespace

from milestones import catalog
from milestones.cli import main
from milestones.media import Text

def pieces(word):
    yield "To be,\\n"
    sys.stdin.readline()  # the reader has the first piece
    while word == "endless":
        yield "and so on " * 1000
    yield "or not"

class Fake:
    entry, folder, config = catalog.find("parity"), Path("fake-1"), {}
    system = SimpleNamespace(takes=(Text,))

    def use(self, inputs, options):
        return [{"answer": Text(pieces(item.text)), "beside": Text("of the same")} for item in inputs]

catalog.load = lambda *words: Fake()
sys.exit(main(["use", "parity", *sys.argv[1:]]))
"""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`use` in a process of its own, on a page that says a piece, waits for a line, and goes on."""
    (tmp_path / "fake.py").write_text(FAKE)
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> subprocess.Popen[bytes]:
        pipe, env = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        begun.append(subprocess.Popen([sys.executable, str(tmp_path / "fake.py"), *words], stdin=pipe, stdout=pipe,
                                      stderr=pipe, env=env))  # fmt: skip
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_a_text_that_flows_arrives_before_its_end(fake: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = fake("word")
    assert process.stdout is not None
    assert process.stdout.readline() == b"To be,\n"
    assert process.poll() is None, "it waits to be told"
    assert process.communicate(b"\n") == (b"or not\n", b"")
    assert process.returncode == 0


def test_json_is_one_object_of_the_whole_text(fake: Callable[..., subprocess.Popen[bytes]]) -> None:
    out, err = fake("word", "--json").communicate(b"\n")
    answers = [{"input": "word", "answer": "To be,\nor not", "beside": "of the same"}]
    assert json.loads(out) == {"run": "fake-1", "answers": answers} and out.count(b"\n") == 1 and err == b""


def test_a_reader_that_goes_away_ends_it_quietly(fake: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = fake("endless")
    assert process.stdout is not None and process.stdin is not None and process.stderr is not None
    assert process.stdout.readline() == b"To be,\n"
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""


def test_ctrl_c_ends_it_with_what_was_said(fake: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = fake("word")
    assert process.stdout is not None
    assert process.stdout.readline() == b"To be,\n"
    time.sleep(0.2)  # it waits now
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == (b"\n", b"interrupted\n")
    assert process.returncode == 130


def test_in_a_terminal_what_flows_is_set_in(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"answer": Text(iter(["To be,", "\nor", " not\n"])), "sure": Text("yes"), "rows": Text("a\nb")}
    assert written(told("To", found)) == 0
    assert capsys.readouterr().out == (
        "To:\n  answer:\n    To be,\n    or not\n    \n  sure: yes\n  rows:\n    a\n    b\n"
    )


def test_in_a_pipe_all_that_flows_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    written(bare({"answer": Text(iter(["a\n", " b"])), "next": Text("c"), "sample 2": Text(iter(["d"]))}))
    assert capsys.readouterr().out == "a\n b\nd\n"
    written(bare({"answer": Text("a\n b"), "next": Text("c")}))
    assert capsys.readouterr().out == "a b\n"
