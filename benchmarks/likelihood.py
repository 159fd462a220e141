"""How likely test pictures are under pages that give pictures a chance; the same from nets written anew after the
papers, on the same pictures for the same time; and whether other pictures are told by it.

    ./go bench likelihood [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each training is `milestones train ... --json`, scored once; the terms of each figure stand in its note. A peer learns
from the same pictures for the mean of our seconds, once with its paper's optimiser and once with ours, and is scored on
the same bits (_likelihood_peers.py). `strange` parts train on Fashion-MNIST and score its test pictures and digits by
-log p(x) as it is, which is known to fail (Nalisnick et al. 2019), by its distance from the middle of the validation
pictures', and less what a general compressor needs (Serra et al. 2020), all three printed. Beside them stand one net
that names the class, and five that answer as one, asked how unsure they are. Another page is added by a line in PAGES,
and in LIKELY where it is asked for strange ones. MILESTONES_DATA names the folder of Fashion-MNIST and of MNIST's test
set.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import HERE, ROOT, Value, ask, clean, run, say, spread, table

PAGES = {
    "vae": ["train", "vae"],
    "made": ["train", "made"],
    "vae grey": ["train", "vae", "--preset", "grey"],
    "made grey": ["train", "made", "--preset", "grey"],
    "vae fashion": ["train", "vae", "--preset", "fashion", "--data", "fashion"],
    "made fashion": ["train", "made", "--preset", "fashion", "--data", "fashion"],
}
PEERS = {"vae": "vae", "made": "made", "vae fashion": "vae", "made fashion": "made"}  # of a part, by its page
STRANGE = {
    "strange vae": ["train", "vae", "--preset", "grey", "--data", "fashion"],
    "strange made": ["train", "made", "--preset", "grey", "--data", "fashion"],
    "strange dbn": ["train", "dbn", "--preset", "fashion", "--data", "fashion"],
    "strange autoencoder": ["train", "autoencoder", "--preset", "fashion", "--data", "fashion"],
    "strange circuit": ["train", "circuit", "--preset", "fashion", "--data", "fashion"],
    "strange net": ["train", "lenet", "--preset", "fashion", "--data", "fashion"],
    "strange ensemble": ["train", "lenet", "--preset", "fashion", "--data", "fashion", "--members", "5"],
}
LIKELY = {  # -log p(x) in nats of uint8 pictures, of a page's model
    "vae": lambda model: _module("vae").surprise(model, _noise(model)),
    "made": lambda model: lambda image: -model(image),
    "dbn": lambda model: lambda image: _module("dbn").nats(model, image, SAMPLES),
    "autoencoder": lambda model: lambda image: _crossed(model, image),  # no chance of a picture, but in nats
    "circuit": lambda model: lambda image: -model(image).logsumexp(1),
    "lenet": lambda model: lambda image: _unsure(model, image),
}
UNLIKELY = ("lenet",)  # pages without a chance of a picture: how unsure they are of its class is all that is asked
ASKED = 2000  # pictures of each set
BAR = 0.97  # area under the curve, of the best
SAMPLES = 200  # importance samples a test picture


def _module(page: str) -> Any:
    from milestones.catalog import find
    from milestones.catalog import page as module_of

    return module_of(find(page))


def _crossed(model: Any, image: Any) -> Any:
    page = _module("autoencoder")
    return page.cross_entropy(model(image), page.pixels(image))


def _unsure(model: Any, image: Any) -> Any:
    """The entropy of a classifier's chances; of an ensemble's, of their mean."""
    import torch

    return torch.special.entr(model(image).softmax(-1)).sum(-1)


def _noise(model: Any) -> Any:
    import torch

    return torch.randn(SAMPLES, 1, model.latent, generator=torch.Generator().manual_seed(0))


def pictures_of(name: str) -> Any:
    """The project's pictures: its splits, as the pages have them."""
    import torch

    from milestones.core.source import Choice, Place
    from milestones.data.pictures import pictures

    return pictures(Place(torch.device("cpu"), 0, choice=Choice(data=name)))


def file_of(words: list[str], folder: Path) -> Path:
    """What a peer learns from: levels, and the test pictures' bits, which all are scored on."""
    import numpy as np

    from milestones.parts.likelihood import bits

    name = words[words.index("--data") + 1] if "--data" in words else "digits"
    data, path = pictures_of(name), folder / f"{name}.npz"
    train, valid, test = (part.examples.image.flatten(1) for part in data[:3])
    np.savez(path, train=train.numpy(), valid=valid.numpy(), test=bits(test).to(train.dtype).numpy())
    return path


def peer(name: str, words: list[str], seconds: float, seeds: int, quick: bool) -> Value:
    """A peer's answers, one a seed: with its paper's optimiser, and "tuned", with ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = file_of(words, Path(folder))
        question = {"peer": PEERS[name], "file": str(path), "seconds": 3.0 if quick else seconds,
                    "samples": 5 if quick else SAMPLES}  # fmt: skip
        found = [[ask([sys.executable, str(HERE / "_likelihood_peers.py")], {**question, "seed": seed, "tuned": tuned},
                      tries=1 if quick else 3) for seed in range(seeds)] for tuned in (False, True)]  # fmt: skip
    plain, tuned = ({"nll": spread([one["nll"] for one in each]), "updates": [one["updates"] for one in each],
                     "training": spread([one["training"] for one in each])} for each in found)  # fmt: skip
    return {**plain, "tuned": tuned, "note": found[0][0]["note"], "dirty": any(o["dirty"] for e in found for o in e)}


def strange(words: list[str], seeds: int, quick: bool) -> Value:
    """Areas under the curve: Fashion-MNIST's test pictures against digits, by each score that a net has."""
    found = [clean(functools.partial(told, words, seed, quick), 1 if quick else 3) for seed in range(seeds)]
    names = [name for name in found[0] if name.startswith("auroc")]
    return {**{name: spread([one[name] for one in found]) for name in names}, "dirty": any(o["dirty"] for o in found),
            "data": found[0]["data"], "words": words}  # fmt: skip


def told(words: list[str], seed: int, quick: bool) -> Value:
    """One net, trained and asked."""
    from milestones.catalog import load
    from milestones.data.likely import likelihoods
    from milestones.parts.likelihood import atypical, auroc, complexity

    with tempfile.TemporaryDirectory() as folder:
        typed = [*words, "--seed", str(seed), "--runs", folder, *(["--minutes", "0.05"] if quick else [])]
        done = run([sys.executable, "-m", "milestones", *typed], {"PYTHONPATH": str(ROOT)}, Path(folder))
        if done["code"]:
            sys.exit(f"failed with {done['code']}: {typed}\n{done['err'][-2000:]}")
        trained = load(str(next(Path(folder).glob("*-1"))))
    nats, most = LIKELY[words[1]](trained.model), 100 if quick else ASKED
    fashion, digits = pictures_of("fashion"), pictures_of("digits")
    own, other, valid = (likelihoods(trained.model, nats, source, most)[:most]
                         for source in (fashion.test, digits.test, fashion.valid))  # fmt: skip
    tested, found = digits.test.name.split(",")[0], {"auroc": auroc(own, other)}
    if words[1] not in UNLIKELY:
        sizes = [complexity(source.examples.image[:most]) for source in (fashion.test, digits.test)]
        found["auroc_typical"] = auroc(atypical(own, valid), atypical(other, valid))
        found["auroc_complexity"] = auroc(own - sizes[0], other - sizes[1])
    return {
        **found, "foreign": done["foreign"],
        "seconds": done["seconds"], "data": f"{fashion.test.name} against digits of {tested}, {len(own):,} each",
    }  # fmt: skip


def main() -> int:
    names = [*PAGES, *(f"peer {name}" for name in PEERS), *STRANGE]
    args = parser(__doc__, names).parse_args()
    sys.path.insert(0, str(ROOT))
    if any("fashion" in " ".join(PAGES.get(n.removeprefix("peer "), STRANGE.get(n, []))) for n in args.only) and not (
        os.environ.get("MILESTONES_DATA")
    ):
        sys.exit("set MILESTONES_DATA to a folder with fashion-mnist, or take --only vae made")
    pages = sorted({words[1] for words in (*PAGES.values(), *STRANGE.values())})
    files = [*project(*pages), Path(__file__), HERE / "_likelihood_peers.py"]
    results = Results("likelihood", files, sys.executable, args.fresh, args.quick, bar=BAR)
    summary, seeds = measured(results, PAGES, args), 1 if args.quick else args.seeds
    say(scores(summary))
    rows = []
    for name in PEERS:
        key = f"peer {name}/{seeds}"
        if f"peer {name}" in args.only and name in summary:
            seconds = summary[name]["seconds"]["mean"]
            say(f"peer of {name}: {seconds:.0f} s a seed")
            results.part(key, functools.partial(peer, name, PAGES[name], seconds, seeds, args.quick))
        if (part := results.kept(key)) and name in summary:
            summary[name]["peer"] = part
            ours = summary[name]["scores"]["nll"]["seeds"]
            each = [f"{one['mean']:.2f} ± {one['sd']:.2f}" for one in (ours, part["nll"], part["tuned"]["nll"])]
            rows.append([name, *each, part["note"], "DIRTY" * part["dirty"]])
            results.write(pages=summary)
    if rows:
        say(table(["nats a picture", "ours", "peer", "peer, our optimiser", "", ""], rows))
    best = []
    for name, words in STRANGE.items():
        key = f"{name}/{seeds}"
        if name in args.only:
            say(f"{name}: {' '.join(words)}, {seeds} seeds")
            results.part(key, functools.partial(strange, words, seeds, args.quick))
        if part := results.kept(key):
            results.write(strange={**results.content["summary"].get("strange", {}), name: part})
            each = {kind: value["mean"] for kind, value in part.items() if kind.startswith("auroc")}
            say(f"{name}: {part['data']}: " + ", ".join(f"{kind} {value:.3f}" for kind, value in each.items())
                + " DIRTY" * part["dirty"])  # fmt: skip
            best.append(max(each.values()))
    if best:
        say(target("the best area under the curve", max(best), BAR, unit=""))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
