"""How many words of real speech are misread: of speakers never heard, on the official split of spoken digits, in
strings of digits; and how fast it listens.

    ./go bench speech [--data FOLDER] [--only PART ...] [--seeds 5] [--quick] [--fresh]

FOLDER holds the recordings of the Free Spoken Digit Dataset (6 speakers, 3,000 recordings, CC BY-SA 4.0; its folder
fsdd in $MILESTONES_DATA if none is named). `speakers` trains six times without one speaker and tests on that one;
`index` is the set's official split, whose 300 test recordings are of the same speakers; `strings` composes strings of
3 to 7 held-out recordings with pauses ("composed": the pauses are no one's); `streaming` hears forwards only; `speed`
is the time for one recording after the other by the time that they last. Each line is a `milestones train speech` in a
temporary folder, scored once on its test set. It only reports: no threshold.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import ROOT, Value, ask, say, spread

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TARGETS = {"speakers": 20.0, "index": 1.5, "strings": 3.0, "speed": 0.05}


def words(part: str, folder: str) -> list[str]:
    """What a user types to train for a part."""
    typed = ["train", "speech", "--data", folder]
    if part in SPEAKERS:
        return [*typed, "--preset", "digits", "--split", f"speaker:{part}"]
    presets = {"index": "digits", "strings": "strings", "streaming": "digits"}
    return [*typed, "--preset", presets[part], "--split", "index", *["--streaming", "true"] * (part == "streaming")]


def heard(folder: str) -> Value:
    """Seconds for each recording, one after the other as a user gives them, and how long they last; in a process of its
    own. What a net has learned does not change how long it listens."""
    import milestones
    from milestones import cli
    from milestones.media import Audio

    found: Value = {}
    with tempfile.TemporaryDirectory() as runs:
        stdout, sys.stdout = sys.stdout, sys.stderr
        cli.main(["train", "speech", "--minutes", "0.5", "--runs", runs])  # the embedded corpus: sentences
        trained = milestones.load("speech", runs=runs)
        sys.stdout = stdout
        source = trained.system.prepare(trained.knobs, _place()).test
        values, begin = source.sounds[:2]
        sounds = [Audio(values[begin[i] : begin[i + 1]].numpy().astype("float32") / 32768, trained.facts["rate_hz"])
                  for i in range(100)]  # fmt: skip
        digits = [Audio.open(path) for path in sorted(Path(folder).glob("*.wav"))[::30]]
        for name, few in (("sentences", sounds), ("digits", digits)):
            for beam in (0, 8):
                factors = []
                for _ in range(3):
                    start = time.perf_counter()
                    for sound in few:
                        trained.use([sound], {"beam": beam})
                    factors.append((time.perf_counter() - start) / sum(sound.seconds for sound in few))
                found[f"{name}, beam {beam}"] = factors
    return {"factors": found}


def _place() -> Any:
    import torch

    from milestones.core.source import Place

    return Place(torch.device("cpu"), 0)


def main() -> int:
    if "--heard" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(heard(json.load(sys.stdin)["folder"])))
        return 0
    every = (*SPEAKERS, "index", "strings", "streaming")
    typed = parser(__doc__, ["speakers", *every, "speed"], seeds=5)
    typed.add_argument("--data", default=str(Path(os.environ.get("MILESTONES_DATA", "")) / "fsdd"))
    args = typed.parse_args()
    if not Path(args.data, "0_george_0.wav").is_file():
        say(f"no recordings of the Free Spoken Digit Dataset in {args.data}: name their folder with --data")
        return 2
    args.only += SPEAKERS if "speakers" in args.only else ()
    folder = str(Path(args.data).resolve())
    results = Results("speech", [*project("speech"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = measured(results, {part: words(part, folder) for part in every}, args, dict.fromkeys(SPEAKERS, 3))
    say(scores(summary))
    wrong = {part: page["scores"]["word_error"]["seeds"]["mean"] for part, page in summary.items()}
    left = [wrong[part] for part in SPEAKERS if part in wrong]
    if len(left) == len(SPEAKERS):
        results.write(speakers={"word_error": sum(left) / len(left), "worst": max(left)})
        wrong["speakers"] = sum(left) / len(left)
    for part in ("speakers", "index", "strings"):
        if part in wrong:
            say(target(f"{part}, word error", wrong[part], TARGETS[part], higher=False))
    if "speed" in args.only and not args.quick:
        script = [sys.executable, str(Path(__file__).resolve()), "--heard"]
        part = results.part("speed", functools.partial(ask, script, {"folder": folder}, {"PYTHONPATH": str(ROOT)}))
        factors = {name: spread(values) for name, values in part["factors"].items()}
        results.write(speed=factors)
        for what, one in factors.items():
            say(target(f"real-time factor, {what}", one["median"], TARGETS["speed"], higher=False, unit=""))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
