"""say FILE.wav WORDS ...: a text to sound, by espeak-ng."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .words import answer, say


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("file", metavar="FILE.wav", nargs="?", default="",
                        help="the sound to write; -: standard output")  # fmt: skip
    parser.add_argument("words", metavar="WORD", nargs="*",
                        help="what to say, or a .txt file; none, or -: standard input, line by line")  # fmt: skip
    parser.add_argument("--language", default="en-us", help="of the text, as en-gb, es, de [en-us]")
    parser.add_argument("--voice", default="", help="its colour, as f3 or m5 [the language's own]")
    parser.add_argument("--speed", type=int, default=160, help="words a minute, 80 to 450 [160]")
    parser.add_argument("--pitch", type=int, default=50, help="0 to 99 [50]")
    parser.add_argument("--overwrite", action="store_true", help="replace a FILE.wav that exists")
    parser.add_argument("--voices", action="store_true", help="only list the languages and voices")


def run(args: argparse.Namespace) -> int:
    from ..media.voice import spoken, voices

    if args.voices:
        languages, colours = voices()
        text = f"--language: {', '.join(languages)}\n\n--voice: {', '.join(colours)}"
        answer(args, {"languages": languages, "voices": colours}, text)
        return 0
    write_to(args.file, args.overwrite, args.json)
    lines = text_of(args.words)
    sound = spoken(lines, args.language + (f"+{args.voice}" if args.voice else ""), args.speed, args.pitch)
    content = sound.encode()[1]
    if args.file == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return 0
    from ..core.folder import write_whole

    write_whole(Path(args.file), content)
    text = f"{args.file}: {sound}"
    if sys.stdout.isatty() or args.json:
        answer(args, {"file": args.file, "seconds": sound.seconds, "rate_hz": sound.rate_hz, "lines": lines}, text)
    else:
        say(text)
    return 0


def write_to(file: str, overwrite: bool, json: bool) -> None:
    """UserError: a sound cannot be written there, which is said before anything is read."""
    from ..core.errors import UserError

    if file == "-":
        if sys.stdout.isatty() or json:
            got = "a terminal" if sys.stdout.isatty() else "--json"
            raise UserError("standard output that takes a sound", got, "Name a file, or pipe it on", "say")
        return
    target = Path(file)
    if target.suffix.lower() != ".wav":
        raise UserError("a sound to write, whose name ends in .wav", repr(file), "For example out.wav", "say")
    if target.exists() and not overwrite:
        do = "Choose another name, or --overwrite"
        raise UserError("a sound that does not exist yet", f"{target}, which does", do, "say")
    if not target.parent.is_dir():
        raise UserError("a sound in an existing folder", file, f"Make {target.parent} first", "say")


def text_of(words: Sequence[str]) -> list[str]:
    """The lines to say: those of standard input or of the one .txt file named, otherwise the words as one line.
    UserError: no text, not in UTF-8."""
    from ..core.errors import UserError
    from ..media import Text, read
    from .subject import piped

    if words in ([], ["-"]):
        found = piped((Text,), "say")
    elif len(words) == 1 and words[0].lower().endswith(".txt"):
        if not Path(words[0]).exists():
            raise UserError("a text to say", f"{words[0]}, which does not exist", "Check the path", "say")
        found = read(words[0], (Text,))
    else:
        return [" ".join(words)]
    if not all(isinstance(item, Text) for item in found):
        raise UserError("a text on standard input, one line after the other", "a sound", "Pipe words into it", "say")
    return [str(item) for item in found]
