"""How long a number takes to be read: milliseconds a line, alone in a picture and among many lines at once.

    ./go bench zipcode [--repeats 50]

A run of the quick preset is stopped after 15 seconds (what a net has learned does not change how long it takes) and
used as `milestones use` uses it, without the start of the program: an envelope of 1,200 x 800 pixels with one line of
five digits, and that line alone, cut out; then 250 lines at once, as `score` reads them.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, ask, say, spread, table

TARGET = 10.0  # milliseconds a line


def times(repeats: int) -> Value:
    """Milliseconds of each repeat; run in a process of its own."""
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    import milestones
    from milestones import cli
    from milestones.media import Image

    with tempfile.TemporaryDirectory() as runs:
        stdout, sys.stdout = sys.stdout, sys.stderr
        cli.main(["train", "zipcode", "--minutes", "0.25", "--runs", runs])
        sys.stdout = stdout
        trained = milestones.load(str(Path(runs) / "zipcode-1"))
        sheet = Pillow.new("L", (1200, 800), 235)
        ImageDraw.Draw(sheet).text((560, 480), "80322", 40, ImageFont.load_default(70))
        pixels = np.asarray(sheet)
        pictures = {
            "an envelope of 1,200 x 800 pixels": Image(pixels),
            "the line alone": Image(pixels[470:580, 540:780]),
        }
        found: Value = {}
        for name, picture in pictures.items():
            seconds = []
            for _ in range(repeats):
                begin = time.perf_counter()
                trained.use([picture])
                seconds.append(1000 * (time.perf_counter() - begin))
            found[name] = seconds
        import torch

        from milestones.systems.zipcode import answered

        lines = torch.randint(0, 255, (250, 1, 28, 128), dtype=torch.uint8)
        seconds = []
        for _ in range(max(3, repeats // 10)):
            begin = time.perf_counter()
            answered(trained.model, lines)
            seconds.append(1000 * (time.perf_counter() - begin) / len(lines))
        found["250 lines at once, each"] = seconds
    return {"times": found}


def main() -> int:
    if "--times" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(times(json.load(sys.stdin)["repeats"])))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=50)
    args: Any = parser.parse_args()
    files = [*project("zipcode"), Path(__file__)]
    results = Results("zipcode", files, sys.executable, True, target=TARGET)
    words = [sys.executable, str(Path(__file__).resolve()), "--times"]
    env = {"PYTHONPATH": str(ROOT)}
    part = results.part("use", functools.partial(ask, words, {"repeats": args.repeats}, env))
    summary = {name: spread(values) for name, values in part["times"].items()}
    results.write(lines=summary)
    rows = [[name, f"{value['median']:.1f} ms", f"{value['min']:.1f} to {value['max']:.1f}"]
            for name, value in summary.items()]  # fmt: skip
    say(table(["a line", "median", "all"], rows))
    say(f"target {TARGET:g} ms; written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
