"""Each page made tiny: the only place where the contract tests know a page by name."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WORDS = "king queen man woman sun sea snow water walk day night bread house tree bird stone a in the and".split()  # noqa: SIM905


class Tiny(NamedTuple):
    """Settings with which a page trains in a second, the data that it is given, and inputs that `use` takes."""

    settings: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    data: str = ""  # "digits", "table", "speech", "pairs", "text", "texts", "prose", or "" for the page's own
    parameters: int | None = None  # of the paper, for ten classes
    texts: tuple[str, ...] = ()  # what `use` takes, of a page that takes words


PAGES = {
    "descent": Tiny({"surface": "himmelblau", "steps": 30, "starts": 16}),
    "mdp": Tiny(
        {"side": 4, "discount": 0.9, "tolerance": 1e-6, "sweeps": 400, "steps": 40}, texts=("0,0", "2,3", " 3, 1")
    ),
    "perceptron": Tiny({"examples": 120, "inputs": 6, "passes": 30, "margin": 0.01}),
    "roman": Tiny(
        {"largest": 30, "examples": 200, "steps": 20, "batch": 16, "hidden": 16}, texts=("XIV + VIII", "3+4", "i+xxx")
    ),
    "parity": Tiny(
        {"bits": 8, "examples": 200, "steps": 12, "batch": 16, "width": 6, "hidden": 8}, texts=("10110", "0", "1 1 0")
    ),
    "mlp": Tiny({"steps": 40, "batch": 16, "hidden": [8]}, "table"),
    "lenet1989": Tiny({"passes": 6}, "digits", 9760),
    "driver": Tiny(
        {
            "world": "field",
            "height": 24,
            "width": 24,
            "together": 3,
            "rounds": 3,
            "steps": 12,
            "batch": 8,
            "rows": 24,
            "episodes": 2,
        }
    ),
    "dynamics": Tiny({"windows": 60, "span": 12, "width": 6, "steps": 8, "batch": 8}),
    "stack": Tiny({"pairs": 4, "examples": 200, "steps": 12, "batch": 16, "hidden": 8}, texts=("([])", "(]", "(([")),
    "lstm": Tiny({"steps": 12, "batch": 16, "width": 8, "remember": 20}, "digits"),
    "lenet": Tiny({"steps": 30, "batch": 16}, "digits", 61706),
    "zipcode": Tiny({"lines": 120, "single_steps": 8, "steps": 16, "batch": 8, "width": 4}, "digits"),
    "autoencoder": Tiny({"pretrain": 6, "steps": 16, "batch": 8, "hidden": [12], "code": 3}, "digits"),
    "dbn": Tiny(
        {"pretrain": 6, "steps": 16, "batch": 8, "hidden": [12, 10], "anneal": 20, "scored": 2},
        "digits",
    ),
    "circuit": Tiny({"steps": 12, "batch": 20, "states": 2}, "digits"),
    "alexnet": Tiny({"steps": 16, "batch": 8, "crop": 24, "side": 26}, "digits"),
    "speech": Tiny({"flat_steps": 4, "short_steps": 4, "steps": 16, "batch": 8, "channels": 8, "width": 8}, "speech"),
    "depth": Tiny(
        {
            "steps": 8,
            "wave_steps": 8,
            "start_steps": 6,
            "start_layers": 4,
            "start_width": 8,
            "batch": 16,
            "weights": 400,
            "wave_weights": 40,
            "layers": [1, 2],
        },
        "digits",
    ),
    "memory": Tiny(
        {
            "examples": 240,
            "longest": 3,
            "tested": [3, 5],
            "rows": 7,
            "row": 4,
            "width": 8,
            "units": 8,
            "steps": 8,
            "tidy_steps": 4,
            "beside_steps": 6,
            "batch": 8,
        },
        texts=("01101010", "01101010 11110000 00001111", "0000000011111111"),
    ),
    "gan": Tiny({"judge_steps": 2, "steps": 12, "batch": 8, "width": 4}, "digits", texts=("7", "0", " 3")),
    "translator": Tiny(
        {"vocabulary": 300, "width": 8, "hidden": 8, "steps": 6, "batch": 8, "beam": 1, "longest": 40},
        "pairs",
        texts=("two hundred and six", "the third of march", "x"),
    ),
    "vae": Tiny({"steps": 16, "batch": 8, "hidden": 8, "latent": 3, "scored": 5, "conditional": True}, "digits"),
    "adversarial": Tiny({"steps": 12, "standard_steps": 6, "batch": 16, "width": 4, "examples": 6}, "digits"),
    "frames": Tiny({"films": 40, "steps": 8, "batch": 8, "width": 4, "hidden": 8}),
    "sounds": Tiny({"steps": 16, "batch": 8, "width": 4}, "sounds"),
    "captions": Tiny({"pictures": 96, "steps": 16, "batch": 8, "width": 4, "hidden": 16}),
    "made": Tiny({"steps": 16, "batch": 8, "hidden": 8, "masks": 2}, "digits"),
    "resnet": Tiny({"steps": 20, "batch": 8, "width": 4, "side": 16}, "digits"),
    "alphago": Tiny(
        {
            "games": 40,
            "depth": 2,
            "channels": 4,
            "steps": 6,
            "batch": 8,
            "fast_steps": 4,
            "reinforce_steps": 4,
            "reinforce_games": 4,
            "join": 2,
            "selves": 2,
            "positions": 24,
            "until": 6,
            "value_steps": 4,
            "held": 8,
            "searched": 3,
            "pairs": 1,
        },
        texts=("c3 b2", "c3", "b2 c3 d4 pass"),
    ),
    "learned_optimizer": Tiny(
        {
            "hidden": 3,
            "side": 5,
            "horizon": 4,
            "unroll": 2,
            "longer": 2,
            "batch": 4,
            "units": 4,
            "steps": 12,
            "starts": 2,
        },
        "digits",
        texts=("3 relu 4", "4,3 tanh 2", " 3 sigmoid 3"),
    ),
    "alphazero": Tiny(
        {
            "game": "tictactoe",
            "blocks": 1,
            "channels": 4,
            "together": 8,
            "abreast": 4,
            "moves": 3,
            "steps": 12,
            "simulations": 4,
            "few": 2,
            "batch": 8,
            "first": 40,
            "rows": 80,
            "looks": 3,
            "examined": 1,
            "searched": 4,
            "pairs": 1,
            "reuse": 1.0,
            "start": 20,
            "blind": 5,
        },
        texts=("b2 a1", "b2", "a1 b2 c3"),
    ),
    "eeg": Tiny({"heads": 1, "trials": 40, "steps": 16, "batch": 16, "crop_s": 0, "dropout": 0.0}, parameters=46084),
    "bpl": Tiny({"steps": 16, "batch": 8, "points": 24, "kinds": 3, "parses": 2, "search": 2}),
    "fewshot": Tiny({"steps": 16, "batch": 8, "width": 4}),
    "scenes": Tiny({"scenes": 96, "steps": 20, "batch": 8, "width": 4}),
    "transformer": Tiny(
        {"vocabulary": 300, "width": 8, "heads": 2, "inner": 8, "layers": 1, "steps": 6, "batch": 8, "beam": 1},
        "pairs",
        texts=("two hundred and six", "the third of march", "x"),
    ),
    "charrnn": Tiny(
        {"length": 8, "width": 6, "cells": 10, "layers": 2, "steps": 6, "batch": 8, "average": 0.5},
        "text",
        texts=("In the beginning", "God said, “Let there be light,”", "x"),
    ),
    "gpt": Tiny(
        {"length": 8, "width": 8, "heads": 2, "layers": 1, "steps": 6, "batch": 8, "average": 0.5},
        "text",
        texts=("In the beginning", "God said, “Let there be light,”", "x"),
    ),
    "vectors": Tiny(
        {"vocabulary": 300, "least": 1, "steps": 8, "batch": 16, "width": 8, "buckets": 64, "sample": 0.0},
        "prose",
        texts=("king", "king - man + woman", "water"),
    ),
    "words": Tiny(
        {"buckets": 64, "vocabulary": 300, "width": 8, "hidden": 8, "heads": 2, "layers": 1, "steps": 8, "batch": 16},
        "texts",
        texts=("a walk in the snow", "sun and sea", "warm"),
    ),
    "logic": Tiny({"steps": 16, "batch": 8}, "digits"),
    "reinforce": Tiny({"steps": 12, "batch": 4, "hidden": [8], "value_steps": 2, "episodes": 4}),
    "ppo": Tiny({"together": 4, "rollout": 8, "steps": 12, "batch": 16, "epochs": 2, "hidden": [8], "episodes": 4}),
    "dqn": Tiny(
        {"together": 4, "steps": 24, "batch": 8, "start": 16, "replay": 80, "frozen": 5, "hidden": [8], "episodes": 4}
    ),
    "flow": Tiny(
        {"judge_steps": 2, "steps": 12, "batch": 8, "width": 4, "blocks": 1, "moves": 2},
        "digits",
        texts=("7", "0", " 3"),
    ),
    "pqn": Tiny({"together": 4, "rollout": 8, "steps": 12, "batch": 16, "epochs": 2, "hidden": [8], "episodes": 4}),
    "worldmodel": Tiny(
        {
            "steps": 16,
            "random": 8,
            "nets": 2,
            "hidden": [8],
            "updates": 2,
            "batch": 8,
            "candidates": 8,
            "elites": 2,
            "rounds": 1,
            "horizon": 3,
            "episodes": 2,
            "maze": False,
        }
    ),
}


def of(page: str) -> Tiny:
    """What to test a page with. A page that is not in the table fails here: add its line."""
    return PAGES[page]


def data(kind: str, folder: Path) -> tuple[str, str]:
    """The path of the data of a kind, made when missing, and the target column."""
    if kind == "digits":
        return str(digits(folder / "some-digits.npz")), ""
    if kind == "speech":
        return str(speech(folder / "some-speech")), ""
    if kind == "sounds":
        return str(sounds(folder / "some-sounds")), ""
    if kind == "table":
        return str(table(folder / "some-rows.csv")), "kind"
    if kind == "pairs":
        return str(pairs(folder / "some-pairs.tsv")), ""
    if kind == "text":
        return str(text(folder / "some-text.txt")), ""
    if kind == "texts":
        return str(texts(folder / "some-texts.csv")), ""
    if kind == "prose":
        return str(prose(folder / "some-prose.txt")), ""
    return "", ""


def digits(path: Path, count: int = 300) -> Path:
    """The first embedded digits as an .npz."""
    if not path.exists():
        import milestones.data

        with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
            np.savez(path, image=archive["image"][:count], label=archive["label"][:count])
    return path


def speech(folder: Path) -> Path:
    """Ninety recordings of two or three tones by three speakers, named by the letters that stand for the tones."""
    if not folder.exists():
        from milestones.media import Audio

        folder.mkdir()
        rng = np.random.default_rng(0)
        for k in range(90):
            label, speaker = ("ab", "ba", "aba", "bb")[k % 4], "xyz"[k % 3]
            tones = [np.sin(2 * np.pi * {"a": 500, "b": 1500}[c] * np.arange(800) / 8000) for c in label]
            gaps = np.concatenate([np.concatenate([tone, np.zeros(400)]) for tone in tones])
            samples = (0.4 * gaps + 0.01 * rng.standard_normal(len(gaps))).astype(np.float32)
            (folder / f"{label}_{speaker}_{k}.wav").write_bytes(Audio(samples, 8000).encode()[1])
    return folder


def pairs(path: Path, count: int = 240) -> Path:
    """The first embedded sentences about numbers, in two languages beside English."""
    if not path.exists():
        import gzip

        import milestones.data

        packed = Path(milestones.data.__file__).with_name("numbers.tsv.gz").read_bytes()
        rows = [line.split("\t")[1:4] for line in gzip.decompress(packed).decode().splitlines()[: count + 1]]
        path.write_text("\n".join(map("\t".join, rows)) + "\n", encoding="utf-8")
    return path


def text(path: Path, count: int = 5980) -> Path:
    """The first embedded verses in English; so long that windows of 8 can be dealt into equal batches."""
    if not path.exists():
        from milestones.data.text import verses

        path.write_text(verses()[:count], encoding="utf-8")
    return path


def sounds(folder: Path) -> Path:
    """Short high, low and hissing sounds, a folder for each class."""
    if not folder.exists():
        from milestones.media import Audio

        rng, time = np.random.default_rng(0), np.arange(2400) / 8000
        for k in range(150):
            name = ("high", "low", "hiss")[k % 3]
            hertz = {"high": 1500, "low": 300, "hiss": 0}[name] + k
            samples = 0.3 * np.sin(2 * np.pi * hertz * time) if name != "hiss" else 0.1 * rng.standard_normal(2400)
            length = 1600 + 200 * (k % 4)  # of equal ones each epoch brings others together
            (folder / name).mkdir(parents=True, exist_ok=True)
            sound = Audio((samples + 0.01 * rng.standard_normal(2400))[:length].astype(np.float32), 8000)
            (folder / name / f"{k}.wav").write_bytes(sound.encode()[1])
    return folder


def table(path: Path, count: int = 120) -> Path:
    """Rows of two kinds that two numbers and a category tell apart, a few cells missing."""
    if not path.exists():
        rng = random.Random(0)
        with open(path, "w", newline="", encoding="utf-8") as file:
            write = csv.writer(file)
            write.writerow(["length", "width", "colour", "kind"])
            for i in range(count):
                kind = i % 2
                length = "" if i % 17 == 3 else f"{rng.gauss(3 + 4 * kind, 1):.3f}"
                write.writerow([length, f"{rng.gauss(1 - kind, 0.3):.3f}", rng.choice(["red", "blue"]), "ab"[kind]])
    return path


def texts(path: Path, count: int = 180) -> Path:
    """Sentences of two kinds that one word tells apart, each different."""
    if not path.exists():
        rng = random.Random(0)
        lines = [
            f"{' '.join(rng.choices(WORDS, k=5))} {['warm', 'cold'][k % 2]} {k},{'ab'[k % 2]}" for k in range(count)
        ]
        path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


def prose(path: Path, count: int = 240) -> Path:
    """Lines of eight words each, drawn at random."""
    if not path.exists():
        rng = random.Random(0)
        path.write_text("\n".join(" ".join(rng.choices(WORDS, k=8)) for _ in range(count)) + "\n", encoding="utf-8")
    return path


def inputs(page: str, facts: dict[str, Any], folder: Path) -> list[Path]:
    """Files that `use` takes: a picture of a digit, words, moves, series, or rows; none of a page that acts
    in a world."""
    if facts["kind"] == "world":
        return []
    if facts["kind"] in ("text", "game") or of(page).texts:
        words = folder / f"{page}.txt"
        words.write_text("\n".join(of(page).texts) + "\n", encoding="utf-8")
        return [words]
    if facts["kind"] == "frames":
        from milestones.media import Video

        films = [folder / f"film-{i}.webp" for i in range(2)]
        for i, film in enumerate(films):
            film.write_bytes(Video(np.random.default_rng(i).integers(0, 255, (5 + i, 40, 30), np.uint8)).encode()[1])
        return films
    if facts["kind"] == "speech":
        return sorted(speech(folder / "some-speech").iterdir())[:3]
    if facts["kind"] == "recordings":
        file = folder / "trials.npz"
        signal = np.random.default_rng(0).normal(0, 8, (3, len(facts["channels"]), facts["samples"]))
        np.savez(file, signal=signal, rate_hz=facts["rate_hz"], channels=facts["channels"])
        return [file]
    if facts["kind"] == "sounds":
        return sorted((sounds(folder / "some-sounds") / "low").iterdir())[:3]
    if facts["kind"] in ("pictures", "captions"):
        from PIL import Image

        files = []
        with np.load(digits(folder / "some-digits.npz")) as archive:
            for i in range(3):
                big = np.kron(archive["image"][i], np.ones((3, 3), np.uint8))
                files.append(folder / f"digit-{i}.png")
                Image.fromarray(big).save(files[-1])
        return files
    if facts["kind"] == "series":
        path = folder / "series-to-use.npz"
        np.savez(path, series=np.random.default_rng(0).normal(size=(3, 20, len(facts["channels"]))))
        return [path]
    path = folder / "rows-to-use.csv"
    names = [column["name"] for column in facts["columns"]]
    kinds = {column["name"]: column["kind"] for column in facts["columns"]}
    cells = [[str(1 + i) if kinds[name] == "number" else "red" for name in names] for i in range(3)]
    path.write_text("\n".join([",".join(names), *(",".join(row) for row in cells)]) + "\n", encoding="utf-8")
    return [path]
