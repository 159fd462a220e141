"""Make the small trained runs that the package ships, so that `use` answers at once after installation.

    python benchmarks/ship.py [PAGE ...]

Each is trained by the command below on the embedded data, checked against its size limit and copied without its
training state into milestones/shipped/PAGE.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHIPPED = Path(__file__).resolve().parent.parent / "milestones" / "shipped"
LARGEST = 300_000  # bytes of weights
COMMANDS = {
    "perceptron": ["train", "perceptron"],
    "mlp": ["train", "mlp", "--hidden", "64", "32"],
    "lenet1989": ["train", "lenet1989", "--preset", "modern", "--split", "final"],
    "lenet": ["train", "lenet", "--split", "final"],
}
FILES = ("config.json", "facts.json", "plan.json", "env.json", "status.json", "report.json", "weights.safetensors")


def ship(page: str) -> None:
    """Train and copy one page."""
    with tempfile.TemporaryDirectory() as root:
        words = [sys.executable, "-m", "milestones", *COMMANDS[page], "--runs", root]
        subprocess.run(words, check=True)
        (folder,) = Path(root).glob(f"{page}-*")
        size = (folder / "weights.safetensors").stat().st_size
        if size > LARGEST:
            sys.exit(f"{page}: {size:,} bytes of weights, the limit is {LARGEST:,}")
        target = SHIPPED / page
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, target / name)
    config = json.loads((target / "config.json").read_text())
    config["shipped"] = "milestones " + " ".join(COMMANDS[page])
    (target / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False))
    report = json.loads((target / "report.json").read_text())
    report.pop("mistakes", None)  # their pictures are not shipped
    (target / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    print(f"{page}: {size:,} bytes of weights in {target.relative_to(SHIPPED.parent.parent)}")


for page in sys.argv[1:] or COMMANDS:
    ship(page)
