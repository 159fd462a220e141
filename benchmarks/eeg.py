"""How well the page `eeg` reads imagined movements from made recordings: crops or whole trials, the shallow net or the
deep one, each beside the classical method; and how long an update takes, ours beside braindecode's of the same net.

    ./go bench eeg [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each part is one `milestones train eeg ... --seeds N --json` in a temporary folder, scored once on the later session of
each made head. Recordings are made: the figures say how the methods compare where rhythms fade over known electrodes,
and nothing about people. `speed` runs where braindecode is installed (in the peers' environment, beside PyTorch): both
sides in one process, in turns, one update of the same batch by the same optimiser, equal numbers of parameters.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from pathlib import Path

from _pages import end, measured, parser, scores
from _results import Results, project
from measure import ROOT, Value, ask, peers_python, ratios, say, spread

PARTS = {
    "eeg": ["train", "eeg"],
    "eeg whole trials": ["train", "eeg", "--crop-s", "0"],
    "eeg deep": ["train", "eeg", "--preset", "deep"],
}
NETS = {"shallow": "ShallowFBCSPNet", "deep": "Deep4Net"}


def speed(repeats: int) -> Value:
    """Seconds of an update of each net, ours and braindecode's; run in a process of its own."""
    import torch
    from braindecode import models
    from torch.nn import functional as F

    from milestones.systems.eeg import Knobs, Reader

    facts = {"channels": list(range(22)), "rate_hz": 250.0, "samples": 1000, "labels": list("abcd"),
             "mean": [0.0] * 22, "spread": [1.0] * 22}  # fmt: skip
    signal, label = torch.randn(32, 22, 1000), torch.randint(0, 4, (32,))
    found: Value = {}
    for net, peer in NETS.items():
        pair = {"ours": Reader(Knobs(net=net, crop_s=0), facts),
                "braindecode": getattr(models, peer)(n_chans=22, n_outputs=4, n_times=1000,
                                                     final_conv_length="auto")}  # fmt: skip
        counts = {who: sum(p.numel() for p in model.parameters()) for who, model in pair.items()}
        updates = {who: torch.optim.AdamW(model.parameters(), 1e-3) for who, model in pair.items()}
        seconds: dict[str, list[float]] = {who: [] for who in pair}
        for k in range(repeats + 2):
            for who, model in pair.items():
                begin = time.perf_counter()
                scores = model(signal)
                loss = F.nll_loss(scores, label) if who == "ours" else F.cross_entropy(scores, label)
                updates[who].zero_grad()
                loss.backward()
                updates[who].step()
                if k >= 2:  # the first ones warm up
                    seconds[who].append(time.perf_counter() - begin)
        found[net] = {"parameters": counts, "seconds": seconds}
    return {"nets": found, "braindecode": __import__("importlib.metadata").metadata.version("braindecode")}


def main() -> int:
    if "--speed" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(speed(json.load(sys.stdin)["repeats"])))
        return 0
    args = parser(__doc__, [*PARTS, "speed"]).parse_args()
    results = Results("eeg", [*project("eeg"), Path(__file__)], sys.executable, args.fresh, args.quick)
    say(scores(measured(results, PARTS, args)))
    if "speed" in args.only:
        words = [peers_python(), str(Path(__file__).resolve()), "--speed"]
        repeats = 3 if args.quick else 20
        results.part("speed", functools.partial(ask, words, {"repeats": repeats}, {"PYTHONPATH": str(ROOT)}))
    if part := results.kept("speed"):
        nets = {net: {**{who: spread(seconds) for who, seconds in one["seconds"].items()},
                      "times": ratios(one["seconds"]["braindecode"], one["seconds"]["ours"]),
                      "parameters": one["parameters"]} for net, one in part["nets"].items()}  # fmt: skip
        results.write(speed=nets)
        for net, one in nets.items():
            ours, theirs = one["parameters"]["ours"], one["parameters"]["braindecode"]
            say(f"{net}: {ours:,} parameters (braindecode {theirs:,}); an update {1000 * one['ours']['median']:.0f} "
                f"ms, braindecode {one['times']['median']:.2f} times as long")  # fmt: skip
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
