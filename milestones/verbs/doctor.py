"""doctor: is the installation whole, what can this machine do? doctor RUN: what is wrong with a training?"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .words import answer

EXTRAS = {
    "tables": ("pandas", "pyarrow", "sklearn"),
    "speech": ("soundfile", "espeakng_loader", "sounddevice"),
    "text": ("sacrebleu", "babel", "num2words"),
    "rl": ("gymnasium", "ale_py", "Box2D", "pygame"),
    "games": ("numba", "pyspiel"),
    "studio": ("fastapi", "uvicorn", "websockets", "segno"),
    "tune": ("optuna",),
    "export": ("onnx", "onnxruntime", "onnxscript"),
}


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    text = "a run to look at: a folder, a name as lenet-3, or a page; without one, this machine"
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help=text)
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    return patient(args) if args.run else machine(args)


def patient(args: argparse.Namespace) -> int:
    """What is wrong with the training of a run, finished or not."""
    from ..catalog import locate
    from ..report import files
    from ..report.health import diagnosis

    folder = locate(args.run, args.runs)
    found = diagnosis(folder)
    lines = files.log(folder)[0]
    looks = sum(isinstance(line.get("vitals"), dict) for line in lines)
    healthy = f"{folder}: nothing wrong was found in {looks} looks at the training"
    if not looks and not found:
        healthy = f"{folder}: its log holds no look at the training, so nothing can be said"
    content = {"run": str(folder), "looks": looks, "findings": [one._asdict() for one in found]}
    answer(args, content, "\n".join(map(str, found)) or healthy)
    return 0


def machine(args: argparse.Namespace) -> int:
    """Checks of the installation, and a small training."""
    import torch

    from ..core.folder import cache_folder
    from ..core.plan import bfloat16_pays, peak_gflops
    from .execute import Order, begin, environment
    from .tables import columns

    here = environment()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cpu = torch.device("cpu")
    peak = round(peak_gflops("float32", cpu, 2048))
    found: list[dict[str, Any]] = []

    def check(what: str, good: bool, said: str, do: str = "") -> None:
        found.append({"check": what, "good": good, "found": said, "do": "" if good else do})

    check("Python", sys.version_info >= (3, 11), here["python"], "Install Python 3.11 or later")
    check(
        "PyTorch",
        tuple(map(int, here["torch"].split("+")[0].split(".")[:2])) >= (2, 10),
        here["torch"],
        "Install torch 2.10 or later",
    )
    check("processor", True, f"{here['cpu']}, {here['cores']} cores, {here['capability']}, {here['memory_gb']} GiB")
    check("float32", True, f"{peak:,} GFLOP/s in a product of 2048 x 2048")
    check("bfloat16", True, "fast here; runs try it" if bfloat16_pays(cpu) else "slow here; runs leave it out")
    check("GPU", True, torch.cuda.get_device_name() if torch.cuda.is_available() else "none; two cores are enough")
    check(
        "other work",
        busy < 0.5 * (os.cpu_count() or 1),
        f"load {busy:.1f}",
        "Other programs slow training down: end them",
    )
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        said = f"without {', '.join(missing)}" if missing else "installed"
        check(f"extra {extra}", not missing, said, f'pip install "milestones[{extra}]"')
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    check("disk", free > 1, f"{free:.0f} GiB free here", "Free some space")
    for name, folder in (("run folders", Path.cwd()), ("cache", _existing(cache_folder()))):
        said = "can be written" if (good := os.access(folder, os.W_OK)) else "is read-only"
        check(name, good, f"{folder} {said}", "Work in a folder of your own")
    with tempfile.TemporaryDirectory() as root:
        report = begin("perceptron", {}, Order(), root).report
    error = report["scores"]["error"]["value"]
    check(
        "a training",
        error < 5,
        f"perceptron: {error:.1f} % error in {report['seconds']:.1f} s",
        "Report this as a fault",
    )
    rows = [
        ["good" if c["good"] else "LOOK", c["check"], c["found"] + (f". {c['do']}" if c["do"] else "")] for c in found
    ]
    answer(args, {"checks": found, "environment": here, "float32_gflops": peak}, columns(rows))
    return 0


def _existing(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
