"""Make the small trained runs that the package ships, one for each page, so that `use` and every view of the studio
answer at once after installation.

    python benchmarks/ship.py [--runs FOLDER] [PAGE ...]

Each is trained by the command below and copied without its training state into milestones/shipped/PAGE: settings,
facts, scores, weights, the latest samples, and a log of fewer lines. With --runs the training is kept in FOLDER, and
one that was finished there by the same command is taken instead of another. All of it may take MOST bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from measure import ROOT

from milestones.core.folder import write_json
from milestones.report import files
from milestones.report.health import diagnosis

SHIPPED = ROOT / "milestones" / "shipped"
# Plans are given, so that a machine which is busy meanwhile makes the same weights.
FAST, PLAIN = "--plan channels_last/float32/2", "--plan contiguous/float32/2"
COMMANDS = {  # smaller than `quick` where its weights would take more than their share of what may ship
    "descent": "descent --steps 200 --starts 7",
    "perceptron": "perceptron",
    "roman": f"roman --hidden 256 --steps 8000 {PLAIN}",
    "parity": f"parity {PLAIN}",
    "mlp": f"mlp --hidden 64 32 {PLAIN}",
    "lenet1989": f"lenet1989 --preset modern --split final {FAST}",
    "lenet": f"lenet --split final {FAST}",
    "zipcode": "zipcode --plan channels_last/bfloat16/2",
    "alexnet": f"alexnet {FAST}",
    "depth": f"depth --start-width 16 {FAST}",
    "adversarial": f"adversarial --preset robust --width 8 --standard-steps 800 {FAST}",
    "resnet": f"resnet --width 16 {FAST}",
    "scenes": f"scenes {FAST}",
    "translator": f"translator {PLAIN}",
    "vectors": "vectors --vocabulary 3000 --buckets 4096 --width 48 --plan contiguous/float32/1",
    "words": "words --buckets 4096 --width 48 --plan contiguous/float32/1",
    "sounds": f"sounds {PLAIN}",
    "logic": "logic --plan contiguous/float32/1",
    "driver": "driver --plan contiguous/float32/1",
    "vae": f"vae --hidden 200 {PLAIN}",
    "made": f"made --hidden 100 {PLAIN}",
    "circuit": f"circuit --states 4 {PLAIN}",
    "gan": f"gan --width 16 {FAST}",
    "flow": f"flow --width 24 {FAST}",
    "autoencoder": f"autoencoder --hidden 200 100 {PLAIN}",
    "dbn": f"dbn --hidden 250 250 {PLAIN}",
    "fewshot": f"fewshot {FAST}",
    "bpl": f"bpl {PLAIN}",
    "learned_optimizer": "learned_optimizer --plan contiguous/float32/1",
    "alphago": f"alphago {FAST}",
    "alphazero-go5": "alphazero --preset go5 --plan channels_last/bfloat16/2",
    "alphazero-go7": "alphazero --preset go7 --steps 16000 --looks 8 --plan channels_last/bfloat16/1",
    "alphazero": "alphazero --steps 1500 --plan channels_last/bfloat16/1",
    "frames": f"frames {PLAIN}",
    "captions": "captions --plan contiguous/float32/1",
    "charrnn": "charrnn --plan contiguous/float32/1",
    "gpt": "gpt --width 96 --layers 3 --plan contiguous/float32/1",
    **{
        page: f"{page} --plan contiguous/float32/1"
        for page in (  # one thread is as fast for nets that read step by step
            "mdp",
            "reinforce",
            "ppo",
            "dqn",
            "pqn",
            "worldmodel",
            "dynamics",
            "stack",
            "lstm",
            "memory",
            "speech",
            "eeg",
            "transformer",
        )
    },
}
EMBEDDED = {"zipcode"}  # would learn from a data set that may not be shipped, if it were found
MOST = 48_000_000  # bytes of all: about one megabyte a page
LINES, VITALS, SHOWS = 150, 6, 24_000  # lines of curves, of vitals; bytes of samples
FILES = ("config.json", "facts.json", "plan.json", "env.json", "status.json", "report.json", "weights.safetensors")

Line = dict[str, Any]


def trained(name: str, root: Path) -> Path:
    """The folder of a finished training by the command of this name."""
    page = COMMANDS[name].split()[0]
    for folder in sorted(root.glob(f"{page}-*")):
        config, state = folder / "config.json", folder / "status.json"
        if state.exists() and json.loads(state.read_text())["state"] == "finished":
            settings = json.loads(config.read_text())
            if sorted(shlex.split(settings["command"])) == sorted(
                shlex.split(f"milestones train {COMMANDS[name]} --seed 0")
            ):
                return folder
    before = set(root.glob(f"{page}-*"))
    words = ["train", *shlex.split(COMMANDS[name]), "--runs", str(root)]
    environment = {k: v for k, v in os.environ.items() if k != "MILESTONES_DATA" or page not in EMBEDDED}
    subprocess.run([sys.executable, "-m", "milestones", *words], check=True, env=environment)
    (folder,) = set(root.glob(f"{page}-*")) - before
    return folder


def thinned(lines: Iterable[Line]) -> list[Line]:
    """At most LINES lines of curves, each the mean of several that follow each other in a stage, as those are means of
    steps; of the vitals the first, the last and some between."""
    lines = list(lines)
    health = [line for line in lines if "vitals" in line]
    curves = [line for line in lines if "vitals" not in line]
    size = -(-len(curves) // LINES)
    groups: list[list[Line]] = []
    for line in curves:
        if not groups or len(groups[-1]) == size or groups[-1][0]["stage"] != line["stage"]:
            groups.append([])
        groups[-1].append(line)
    kept = sorted({round(k * (len(health) - 1) / max(1, VITALS - 1)) for k in range(VITALS)}) if health else []
    order = {stage: k for k, stage in enumerate(dict.fromkeys(line["stage"] for line in lines))}
    return sorted(
        [*map(mean, groups), *(health[k] for k in kept)], key=lambda line: (order[line["stage"]], line["step"])
    )


def mean(group: list[Line]) -> Line:
    last = group[-1]
    names = dict.fromkeys(name for line in group for name in line if name not in ("stage", "step", "seconds"))
    means = {name: statistics.fmean(line[name] for line in group if name in line) for name in names}
    return {"stage": last["stage"], "step": last["step"], "seconds": last["seconds"],
            **{name: float(f"{value:.5g}") for name, value in means.items()}}  # fmt: skip


def without_format(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != "format"}


def ship(page: str, root: Path) -> None:
    """Train and copy one page."""
    folder, target = trained(page, root), SHIPPED / page
    shutil.rmtree(target, ignore_errors=True)
    (target / "shows").mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(folder / name, target / name)
    log = thinned(files.log(folder)[0])
    (target / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    left = SHOWS
    for _, name in files.latest(folder):
        size = (folder / "shows" / name).stat().st_size
        if size <= left:
            shutil.copyfile(folder / "shows" / name, target / "shows" / name)
            left -= size
    if left == SHOWS:
        (target / "shows").rmdir()
    config = json.loads((target / "config.json").read_text())
    config["shipped"] = f"milestones train {COMMANDS[page]}"
    report = json.loads((target / "report.json").read_text())
    report["findings"] = [finding._asdict() for finding in diagnosis(folder)]
    report.pop("mistakes", None)  # their pictures are not shipped
    write_json(target / "config.json", without_format(config))
    write_json(target / "report.json", without_format(report))
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    print(f"{page}: {size:,} bytes in {target.relative_to(ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="*", help="the pages to ship [all]")
    parser.add_argument("--runs", type=Path, help="keep the trainings here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        for page in args.page or COMMANDS:
            ship(page, args.runs or Path(passing))
    whole = sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file())
    print(f"all: {whole:,} bytes")
    if whole > MOST:
        sys.exit(f"the limit is {MOST:,} bytes")


if __name__ == "__main__":
    main()
