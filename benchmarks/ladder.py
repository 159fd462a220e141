"""A ladder of representations under one linear probe: pixels, principal components, k-means, Boltzmann machines, an
autoencoder, a variational one, and nets that were told the classes; by how many labels the probe is given.

    ./go bench ladder [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each rung learns from all training pictures, those that need labels from all labels, so they are what the others may at
best come to. The probe is scikit-learn's logistic regression on standardised numbers; its penalty is the best of a few
on the validation pictures, for each rung and number of labels, and the test pictures are asked once. The labels are
those of the first pictures, in another order for each seed. A net is trained by `milestones train`, its quick preset
(for Fashion-MNIST the one of that name), and read through `load`. A rung whose page is not there is left out, and
said so. MILESTONES_DATA names the folder of MNIST's test set and of Fashion-MNIST.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _pages import end, parser
from _results import Results, project
from measure import MOST_FOREIGN, ROOT, TRIES, Value, clean, run, say, spread, table

LABELS = (100, 1000, 8000)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C
READ = 10_000  # test pictures, at most
PATCHES, CENTRES, SIDE = 20_000, 100, 6  # of k-means: patches learned from, their centres, their side in pixels

Code = Callable[[Any], Any]  # uint8 pictures "B 1 H W" -> "B D"


def learned(page: str) -> Callable[[str], list[str]]:
    """The words that train a page on a data set."""

    def words(data: str) -> list[str]:
        return ["train", page, *([] if data == "digits" else ["--data", data, "--preset", "fashion"])]

    return words


def last_of(net: Any) -> Code:
    """What goes into the last linear layer of a classifier."""
    import torch

    last = [layer for layer in net.modules() if isinstance(layer, torch.nn.Linear)][-1]

    def code(image: Any) -> Any:
        kept: list[Any] = []
        hook = last.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
        try:
            net(image)
        finally:
            hook.remove()
        return kept[0]

    return code


# name: (the page that is trained, "" if none; the words; what is read of its model)
RUNGS: dict[str, tuple[str, Any, Callable[[Any], Code]]] = {
    "pixels": ("", None, lambda data: lambda image: image.flatten(1).float() / 255),
    "principal components": ("", None, lambda data: components(data)),
    "k-means": ("", None, lambda data: centres(data)),
    "one machine": ("dbn", learned("dbn"), lambda model: lambda image: model.say(image, 1)),
    "machines stacked": ("dbn", learned("dbn"), lambda model: model.say),
    "autoencoder": ("autoencoder", learned("autoencoder"), lambda model: model.encode),
    "vae": ("vae", learned("vae"), lambda model: lambda image: model.encode(model.pixel(image), None)[0]),
    "supervised, dbn": ("dbn", learned("dbn"), lambda model: model.classifier[:-1]),
    "supervised, lenet": ("lenet", learned("lenet"), last_of),
}


def components(data: Any) -> Code:
    """As many principal components as the autoencoder's code has numbers."""
    from sklearn.decomposition import PCA

    made = PCA(30, svd_solver="full").fit(data.train.examples.image.flatten(1).numpy() / 255.0)
    return lambda image: as_tensor(made.transform(image.flatten(1).numpy() / 255.0))


def as_tensor(rows: Any) -> Any:
    import torch

    return torch.as_tensor(rows, dtype=torch.float32)


def centres(data: Any) -> Code:
    """How near each quarter of a picture has patches to each centre (Coates, Lee & Ng 2011): patches are normalised and
    whitened, a centre counts where it is nearer than the mean one, and is summed over the quarter."""
    import numpy as np
    import torch
    from sklearn.cluster import KMeans

    image = data.train.examples.image.float()
    rng = np.random.default_rng(0)
    which = torch.from_numpy(rng.choice(len(image), min(len(image), PATCHES // 10), replace=False))
    patches = cut(image[which]).flatten(0, 1)
    few = normalised(patches[torch.from_numpy(rng.choice(len(patches), min(PATCHES, len(patches)), replace=False))])
    mean = few.mean(0)
    values, vectors = torch.linalg.eigh((few - mean).T @ (few - mean) / len(few))
    white = vectors @ (1 / (values.clamp(min=0) + 0.1).sqrt()).diag() @ vectors.T
    found = KMeans(CENTRES, n_init=1, max_iter=50, random_state=0).fit(((few - mean) @ white).numpy())
    middle = torch.from_numpy(found.cluster_centers_).float()

    def code(image: Any) -> Any:
        near = []
        for part in image.float().split(100):
            far = torch.cdist((normalised(cut(part)) - mean) @ white, middle)
            on = (far.mean(-1, keepdim=True) - far).clamp(min=0)  # "B patches centres"
            side = round(on.shape[1] ** 0.5)
            maps = on.unflatten(1, (side, side)).permute(0, 3, 1, 2)
            near.append(torch.nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1))
        return torch.cat(near)

    return code


def cut(image: Any) -> Any:
    """All patches of pictures, "B patches pixels"."""
    import torch

    return torch.nn.functional.unfold(image, SIDE).transpose(1, 2)


def normalised(patches: Any) -> Any:
    """Brightness and contrast taken out; flat patches stay near 0."""
    centred = patches - patches.mean(-1, keepdim=True)
    return centred / (centred.var(-1, keepdim=True) + 10).sqrt()


def pictures_of(name: str) -> Any:
    """The project's pictures: its splits, as the pages have them."""
    import torch

    from milestones.core.source import Choice, Place
    from milestones.data.pictures import pictures

    return pictures(Place(torch.device("cpu"), 0, choice=Choice(data="" if name == "digits" else name)))


def there(page: str) -> bool:
    """Whether the catalog has it."""
    from milestones.catalog import TIMELINE

    return not page or any(entry.name == page for entry in TIMELINE)


def coded(code: Code, source: Any) -> tuple[Any, Any]:
    """Codes and classes as arrays."""
    import numpy as np
    import torch

    with torch.inference_mode():
        parts = [(code(batch.image).float().numpy(), batch.label.numpy()) for batch in source.sweep(500)]
    return np.concatenate([one for one, _ in parts]), np.concatenate([label for _, label in parts])


def probed(code: Code, data: Any, seed: int, quick: bool) -> Value:
    """Percent wrong on the test pictures, by how many labels the probe was given."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    train, valid, test = (coded(code, source) for source in data[:3])
    order = np.random.default_rng(seed).permutation(len(train[1]))
    found: Value = {"numbers": int(train[0].shape[1])}
    for count in LABELS[:1] if quick else LABELS:
        x, y = train[0][order[:count]], train[1][order[:count]]
        mean, scale = x.mean(0), np.maximum(x.std(0), 1e-2 * max(float(x.std()), 1e-6))  # constant ones stay small
        x, asked, last = ((part - mean) / scale for part in (x, valid[0], test[0][:READ]))
        best: tuple[float, float, Any] = (101.0, 0.0, None)
        for penalty in PENALTIES:
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore")  # fewer updates than convergence takes are meant
                fitted = LogisticRegression(C=penalty, max_iter=100).fit(x, y)
            wrong = 100 * float((fitted.predict(asked) != valid[1]).mean())
            best = min(best, (wrong, penalty, fitted), key=lambda one: one[0])
        wrong = 100 * float((best[2].predict(last) != test[1][:READ]).mean())
        found[f"labels_{count}"] = {"valid": best[0], "test": wrong, "penalty": best[1]}
    return found


def rung(name: str, of: str, data: Any, seed: int, quick: bool, home: Path) -> Value:
    """One rung with one seed; its net is trained once for all rungs of its page, in `home`."""
    from milestones.catalog import load

    page, words, reads = RUNGS[name]
    if not page:
        return {**probed(reads(data), data, seed, quick), "training": 0.0, "foreign": 0.0}
    folder = home / f"{of}-{page}-{seed}"
    if not folder.exists():
        folder.mkdir()
        typed = [*words(of), "--seed", str(seed), "--runs", str(folder), *(["--minutes", "0.05"] if quick else [])]
        command = [sys.executable, "-m", "milestones", *typed]
        done = clean(functools.partial(run, command, {"PYTHONPATH": str(ROOT)}, folder), 1 if quick else TRIES)
        if done["code"]:
            sys.exit(f"failed with {done['code']}: {typed}\n{done['err'][-2000:]}")
        (folder / "foreign.json").write_text(json.dumps(done["foreign"]))
    trained = load(str(max(folder.glob(f"{page}-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))))
    seconds = json.loads((trained.folder / "report.json").read_text())["seconds"]
    foreign = json.loads((folder / "foreign.json").read_text())
    return {**probed(reads(trained.model), data, seed, quick), "training": seconds, "foreign": foreign}


def ladder(name: str, of: str, seeds: int, quick: bool, home: Path) -> Value:
    """One rung over all seeds."""
    data = pictures_of(of)
    each = [rung(name, of, data, seed, quick, home) for seed in range(seeds)]
    counts = [key for key in each[0] if key.startswith("labels_")]
    return {
        "numbers": each[0]["numbers"], "data": data.test.name, "over": min(READ, len(data.test)),
        "training": spread([one["training"] for one in each]),
        "dirty": any(one["foreign"] > MOST_FOREIGN for one in each),
        **{key: {what: spread([one[key][what] for one in each]) for what in ("valid", "test")} for key in counts},
        "penalties": {key: [one[key]["penalty"] for one in each] for key in counts},
    }  # fmt: skip


def rows_of(parts: Value) -> list[list[str]]:
    """A line for each rung."""
    found = []
    for name, part in parts.items():
        cells = [f"{part[key]['test']['mean']:.2f} ± {part[key]['test']['sd']:.2f}" if key in part else "-"
                 for key in (f"labels_{count}" for count in LABELS)]  # fmt: skip
        found.append([name, str(part["numbers"]), *cells, f"{part['training']['mean']:.0f}" + " DIRTY" * part["dirty"]])
    return found


def main() -> int:
    names = [f"{name}{end}" for end in ("", " on fashion") for name in RUNGS]
    args = parser(__doc__, names).parse_args()
    sys.path.insert(0, str(ROOT))
    pages = sorted({page for page, _, _ in RUNGS.values() if page and there(page)})
    results = Results("ladder", [*project(*pages), Path(__file__)], sys.executable, args.fresh, args.quick)
    seeds = 1 if args.quick else args.seeds
    with tempfile.TemporaryDirectory() as home:
        for of in ("digits", "fashion"):
            found: Value = {}
            for name, (page, _, _) in RUNGS.items():
                full = name if of == "digits" else f"{name} on {of}"
                key = f"{full}/{seeds}"
                if full in args.only and not there(page):
                    say(f"{full}: left out, there is no page {page!r} in the catalog")
                    continue
                if full in args.only:
                    say(f"{full}, {seeds} seeds")
                    results.part(key, functools.partial(ladder, name, of, seeds, args.quick, Path(home)))
                if part := results.kept(key):
                    found[name] = part
                    results.write(**{of: found})
            if found:
                head = [f"{of}: test error, %", "numbers", *(f"{count:,} labels" for count in LABELS), "training, s"]
                say(table(head, rows_of(found)))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
