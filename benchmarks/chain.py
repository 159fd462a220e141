"""The chain from speech to speech, scored end to end: an English sentence is recognised, translated, and said.

    ./go bench chain [--seeds 3] [--to es de fr] [--again es] [--quick] [--fresh]

For each seed, `milestones train speech` and `milestones train translator` (quick, on what ships: synthetic sounds and
generated sentences), then the test recordings of the spoken corpus, whose voices and meanings neither has met, go
through both as `milestones use speech talk.wav | milestones use translator --to es` sends them. A sentence is right
when its translation is word for word the reference. Where an error arose is told by giving the translator the true
sentence, too. What `milestones say` makes of the translations is heard again by a recogniser of that language, trained
here on a folder of such sentences (`--again`): right when it hears what was said. Last, one recording goes through the
three commands and their pipes.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, ask, say, table
from ship_pairs import words

SENTENCES, SHOWN = 1600, 12  # said to train the recogniser of the other language; errors kept as examples
STEPS = 1200  # of its training
AMONG = ("as it should be", "recognition", "translation", "both", "wrong but recovered")


def arose(heard: bool, whole: bool, alone: bool) -> str:
    """Where an error arose: the sentence was heard right, the chain's translation is right, that of the true one."""
    if whole:
        return AMONG[0] if heard else AMONG[4]
    return AMONG[2] if heard else AMONG[1] if alone else AMONG[3]


def trained(page: str, seed: int, folder: Path, *more: str) -> Any:
    """The run of a training with the quick preset, loaded."""
    import milestones
    from milestones import cli

    stdout, sys.stdout = sys.stdout, sys.stderr
    code = cli.main(["train", page, "--seed", str(seed), "--runs", str(folder), *more])
    sys.stdout = stdout
    if code:
        sys.exit(f"training {page} ended with {code}")
    return milestones.load(str(max(folder.glob(f"{page}-*"), key=lambda run: run.stat().st_mtime)))


def answered(run: Any, inputs: Sequence[Any], **options: Any) -> list[str]:
    """What a run answers, one text for each input."""
    return [str(found["answer"]) for found in run.use(list(inputs), options)]


def chain(seed: int, languages: Sequence[str], again: Sequence[str], quick: bool) -> Value:
    """One seed; run in a process of its own."""
    import torch

    from milestones.core.source import Place
    from milestones.data.spoken import spoken
    from milestones.media import Audio, Text

    held = spoken(Place(torch.device("cpu"), 0))
    rows = [i for i, split in enumerate(held.split) if split == "test"][: 24 if quick else None]
    values, begin = held.samples[:2]
    sounds = [Audio((values[begin[i] : begin[i + 1]].float() / 32768).numpy(), held.rate_hz) for i in rows]
    truth = [held.text[i] for i in rows]
    short = ["--minutes", "0.1"] if quick else []
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        speech, translator = (trained(page, seed, runs, *short) for page in ("speech", "translator"))
        heard = answered(speech, sounds)
        found: Value = {"over": len(rows), "recognised": sum(a == b for a, b in zip(heard, truth, strict=True))}
        for to in languages:
            wanted = [words(held.kind[i], held.value[i], to) for i in rows]  # type: ignore[arg-type]
            whole, alone = (answered(translator, list(map(Text, texts)), to=to) for texts in (heard, truth))
            marks = [(h == t, w == r, a == r) for h, t, w, a, r in zip(heard, truth, whole, alone, wanted, strict=True)]
            missed = [i for i, mark in enumerate(marks) if not mark[1]]
            found[to] = {
                "right": sum(mark[1] for mark in marks), "right of the true sentences": sum(mark[2] for mark in marks),
                "arose": dict(Counter(arose(*mark) for mark in marks)),
                "errors": [{"said": truth[i], "heard": heard[i], "translated": whole[i], "wanted": wanted[i]}
                           for i in missed[:SHOWN]],
            }  # fmt: skip
            if to in again:
                found[to] |= reheard(to, whole, wanted, seed, runs, quick)
        found["commands"] = piped(runs, sounds[0], languages[0])
    return found


def reheard(to: str, said: Sequence[str], wanted: Sequence[str], seed: int, runs: Path, quick: bool) -> Value:
    """How many of the chain's sentences are heard right again, by a recogniser of that language."""
    import torch

    from milestones.core.source import keyed
    from milestones.data.phrases import sentences
    from milestones.data.spoken import COLOURS, PITCH, SPEED
    from milestones.media.voice import spoken

    folder, rng = runs / f"spoken-{to}", keyed("chain", to, seed)
    folder.mkdir()

    def drawn(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=rng))

    def sound(text: str, colours: Sequence[str]) -> Any:
        voice = f"{to}+{colours[drawn(0, len(colours) - 1)]}"
        return spoken(text, voice, drawn(*SPEED), drawn(*PITCH)).resampled(8000)

    lines = ["file\ttext\tsplit"]
    for split, count in (("train", 60 if quick else SENTENCES), ("valid", 40), ("test", 40)):
        for k, phrase in enumerate(sentences(count, split, rng)):  # type: ignore[arg-type]
            text = words(phrase.kind, phrase.value, to)
            (folder / f"{split}-{k}.wav").write_bytes(sound(text, COLOURS[split]).encode()[1])  # type: ignore[index]
            lines.append(f"{split}-{k}.wav\t{text}\t{split}")
    (folder / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    length = ["--minutes", "0.1"] if quick else ["--steps", str(STEPS)]
    listener = trained("speech", seed, runs, "--data", str(folder), *length)
    from milestones.data.transcripts import spoken_form

    heard = answered(listener, [sound(text or "nada", COLOURS["test"]) for text in said])
    same = [a == spoken_form(b) for a, b in zip(heard, said, strict=True)]
    whole = [a == spoken_form(b) for a, b in zip(heard, wanted, strict=True)]
    pairs = [{"said": b, "heard again": a} for a, b, right in zip(heard, said, same, strict=True) if not right]
    return {"heard again": sum(same), "right to the end": sum(whole), "misheard": pairs[:SHOWN]}


def piped(runs: Path, sound: Any, to: str) -> Value:
    """The three commands with their pipes, on one recording: what each says."""
    talk, out = runs / "talk.wav", runs / "out.wav"
    talk.write_bytes(sound.encode()[1])
    here = [sys.executable, "-m", "milestones"]
    more = ["--runs", str(runs)]
    hear, turn = [*here, "use", "speech-1", str(talk), *more], [*here, "use", "translator-1", "--to", to, *more]
    heard = subprocess.run(hear, capture_output=True, check=True, cwd=ROOT).stdout
    turned = subprocess.run(turn, input=heard, capture_output=True, check=True, cwd=ROOT).stdout
    children: list[Any] = []
    said = None  # by the command before
    for command in (hear, turn, [*here, "say", str(out), "--language", to]):
        children = [*children, subprocess.Popen(command, stdin=said, stdout=subprocess.PIPE, cwd=ROOT)]
        said = children[-1].stdout
    children[-1].communicate()
    if any(child.wait() for child in children):
        raise ChildProcessError("one of the three commands failed")
    from milestones.media import Audio

    return {"heard": heard.decode().strip(), "translated": turned.decode().strip(),
            "spoken seconds": round(Audio.open(out).seconds, 2)}  # fmt: skip


def main() -> int:
    if "--chain" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(chain(**json.load(sys.stdin)), ensure_ascii=False))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--to", nargs="*", default=["es", "de", "fr"])
    parser.add_argument("--again", nargs="*", default=["es"])
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    files = [*project("speech", "translator"), Path(__file__), Path(__file__).with_name("ship_pairs.py")]
    results = Results("chain", files, sys.executable, args.fresh, args.quick)
    command, env = [sys.executable, str(Path(__file__).resolve()), "--chain"], {"PYTHONPATH": str(ROOT)}
    asked = {"languages": args.to, "again": args.again, "quick": args.quick}
    parts = []
    for seed in range(1 if args.quick else args.seeds):
        key = f"{seed} {' '.join(args.to)} again {' '.join(args.again)}"
        parts.append(results.part(key, functools.partial(ask, command, {"seed": seed, **asked}, env)))
    summary = summed(parts, args.to)
    results.write(chain=summary)
    say(table(["of the test recordings", "mean %", "each seed"],
              [[name, f"{value['mean']:.1f}", ", ".join(f"{v:.1f}" for v in value["all"])]
               for name, value in summary.items()]))  # fmt: skip
    example = parts[0]["commands"]
    lasted = f"{example['spoken seconds']} s of sound"
    say(f"through the pipes: {example['heard']!r} became {example['translated']!r}, {lasted}")
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


def summed(parts: Sequence[Value], languages: Sequence[str]) -> dict[str, Value]:
    """Percent of the sentences by what is right of them, over the seeds."""
    rows = {"recognised": [100 * part["recognised"] / part["over"] for part in parts]}
    for to in languages:
        for name in ("right", "right of the true sentences", "heard again", "right to the end"):
            if name in parts[0][to]:
                rows[f"{to}: {name}"] = [100 * part[to][name] / part["over"] for part in parts]
        for name in AMONG[1:]:
            rows[f"{to}: {name}"] = [100 * part[to]["arose"].get(name, 0) / part["over"] for part in parts]
    return {name: {"mean": statistics.mean(values), "all": values} for name, values in rows.items()}


if __name__ == "__main__":
    sys.exit(main())
