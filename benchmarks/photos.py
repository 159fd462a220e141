"""Photographs: scanning and decoding a folder of 60,000, CIFAR-10 by residual nets, transfer, and AlexNet's speed.

    ./go bench photos [--only PART ...] [--seeds 1] [--fresh]

The photographs are CIFAR-10 as 60,000 recompressed JPEG files, a folder per class, in cifar10-jpeg.zip of the folder
that MILESTONES_DATA names; figures on them are not comparable with those on CIFAR-10 itself. Parts: files (seconds to
scan, to decode once, and to begin again), cifar (the preset photos-long), transfer (a net
that saw five classes for 500 updates is tuned for 300 on 3,000 photographs of the other five, against 300 from
scratch), wide (speed and share of the measured peak of resnet at width 64), large (alexnet at 224 pixels: examples/s
and memory). Errors are on the test folder, scored once.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from _results import Results, project
from digits import summed, train
from measure import ROOT, Value, ask, say, spread, table

PARTS = ("files", "cifar", "longest", "transfer", "wide", "large")
SCAN_TARGET = 5.0  # seconds
HALVES = ("airplane automobile bird cat deer", "dog frog horse ship truck")
EACH = 600  # photographs of each class to tune on


def unpacked() -> Path:
    """The folder of the 60,000 files, unpacked once."""
    source = Path(os.environ.get("MILESTONES_DATA", "")) / "cifar10-jpeg.zip"
    target = Path(tempfile.gettempdir()) / "milestones-cifar10-jpeg"
    if not (target / "whole").exists():
        if not source.is_file():
            sys.exit(f"expected cifar10-jpeg.zip in the folder that MILESTONES_DATA names, found no {source}")
        shutil.rmtree(target, ignore_errors=True)
        with zipfile.ZipFile(source) as archive:
            archive.extractall(target)
        (target / "whole").touch()
    return target


def half(photos: Path, classes: str, each: int | None) -> Path:
    """A folder with some classes: `each` of the training photographs (all if None), all test ones."""
    target = photos.parent / f"milestones-half-{classes.split()[0]}-{each}"
    if not target.exists():
        for split in ("train", "test"):
            for name in classes.split():
                (target / split / name).mkdir(parents=True)
                files = sorted((photos / split / name).glob("*.jpg"))
                for file in files[: each if split == "train" else None]:
                    os.link(file, target / split / name / file.name)
    return target


def few(photos: Path) -> Path:
    """60 training and 10 test photographs of each class."""
    target = photos.parent / "milestones-few"
    if not target.exists():
        for split, count in (("train", 60), ("test", 10)):
            for folder in sorted((photos / split).iterdir()):
                (target / split / folder.name).mkdir(parents=True)
                for file in sorted(folder.glob("*.jpg"))[:count]:
                    os.link(file, target / split / folder.name / file.name)
    return target


def files_of(photos: Path) -> Value:
    """Seconds to scan, to decode for the first time, and to begin again; run in a process of its own."""
    from milestones.core.source import Choice, Place
    from milestones.data.listing import content_keys, listing
    from milestones.data.pictures import pictures

    begin = time.monotonic()
    found = listing(photos)
    content_keys(found.paths)
    scanned = time.monotonic()
    import torch

    place = Place(torch.device("cpu"), 0, choice=Choice(str(photos)))
    seconds = []
    with tempfile.TemporaryDirectory() as cache:  # empty, also where a disturbed measurement is made again
        os.environ["XDG_CACHE_HOME"] = cache
        for _ in range(2):
            start = time.monotonic()
            pictures(place, side=32, colour=True)
            seconds.append(round(time.monotonic() - start, 2))
    return {"files": len(found.paths), "scan": round(scanned - begin, 2), "first": seconds[0], "again": seconds[1]}


def transfer(photos: Path, seeds: int) -> Value:
    """Errors after tuning, and after the same training from scratch, seed by seed."""
    first, second = half(photos, HALVES[0], None), half(photos, HALVES[1], EACH)
    with tempfile.TemporaryDirectory() as folder:
        runs = str(Path(folder) / "runs")
        base = train(
            ["train", "resnet", "--preset", "photos", "--steps", "500", "--data", str(first), "--runs", runs], 1, False
        )
        words = ["train", "resnet", "--preset", "tune", "--steps", "300", "--data", str(second), "--runs", runs]
        tuned = train([*words, "--from", str(Path(runs) / "resnet-1")], seeds, False)
        scratch = train([*words, "--head-steps", "0", "--lr", "0.04"], seeds, False)
    return {"base": base, "tuned": tuned, "scratch": scratch, "foreign": 0.0, "seconds": 0.0}


def main() -> int:
    if "--files" in sys.argv:  # asked by this script itself
        folder = Path(json.load(sys.stdin)["folder"])
        print("\n" + json.dumps(files_of(folder)))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    photos = unpacked()
    results = Results("photos", [*project("resnet", "alexnet"), Path(__file__)], sys.executable, args.fresh)
    data = ["--data", str(photos)]
    commands = {
        "cifar": ["train", "resnet", "--preset", "photos-long", *data],
        "longest": ["train", "resnet", "--preset", "photos-longest", *data],
        "wide": ["train", "resnet", "--preset", "photos", "--width", "64", "--steps", "60", "--average", "0", *data],
        "large": [
            "train",
            "alexnet",
            "--preset",
            "single",
            "--batch",
            "64",
            "--steps",
            "12",
            "--crops",
            "false",
            "--data",
            str(few(photos)),
        ],
    }
    summary: Value = {}
    for name in args.only:
        say(name)
        if name == "files":
            words = [sys.executable, str(Path(__file__).resolve()), "--files"]
            env = {"PYTHONPATH": str(ROOT)}
            results.part(name, functools.partial(ask, words, {"folder": str(photos)}, env))
        elif name == "transfer":
            results.part(name, functools.partial(transfer, photos, args.seeds))
        else:
            results.part(name, functools.partial(train, commands[name], args.seeds if name == "cifar" else 1, False))
    parts = results.content["parts"]
    rows = []
    if "files" in parts:
        found = parts["files"]
        summary["files"] = {**{k: found[k] for k in ("files", "scan", "first", "again")}, "target": SCAN_TARGET}
        rows.append(["files", f"{found['files']:,} scanned in {found['scan']} s (target {SCAN_TARGET:g}), read and "
                     f"decoded in {found['first']} s, again in {found['again']} s"])  # fmt: skip
    for name in ("cifar", "longest", "wide", "large"):
        if name in parts:
            page = summed(parts[name])
            run = parts[name]["runs"][0]
            error = page["scores"]["error"]["seeds"]["mean"]
            summary[name] = {**page, "rate": run["rate"], "peak_share": run.get("peak_share")}
            rows.append([name, f"error {error:.2f} %, {page['seconds']['mean']:.0f} s, {run['rate']:,} examples/s, "
                         f"{run.get('peak_share')} % of the peak, {page['peak_mb']:,} MB"])  # fmt: skip
    if "transfer" in parts:
        errors = {kind: [run["scores"]["error"]["value"] for run in parts["transfer"][kind]["runs"]]
                  for kind in ("tuned", "scratch")}  # fmt: skip
        summary["transfer"] = {kind: spread(values) for kind, values in errors.items()}
        rows.append(["transfer", f"error tuned {errors['tuned']}, from scratch {errors['scratch']}"])
    results.write(parts=summary)
    say(table(["", ""], rows))
    say(f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
